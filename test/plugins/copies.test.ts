/** What stands twice, because neither place may import the other, says the same in both. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import t from "tap"
import { runtimeText } from "../../schemas/generate/assemblyscript/runtime.ts"

const plugins = join(import.meta.dirname, "../../plugins")

t.test("`Result` of the SDK is that of generated bindings", async (t) => {
  const text = readFileSync(join(plugins, "sdk/result.as.ts"), "utf8")
  const written = text.slice(text.indexOf("export class Result"))
  t.ok(written.length > 500)
  t.ok(runtimeText("", []).includes(written.trimEnd()), "to the letter")
})

t.test("an example's `sdk` is that of its language's template", async (t) => {
  let count = 0
  for (const name of readdirSync(join(plugins, "examples"))) {
    const folder = join(plugins, "examples", name, "sdk")
    if (!existsSync(folder)) continue
    const { language } = JSON.parse(readFileSync(join(folder, "../plugin.json"), "utf8")) as { readonly language: string }
    for (const file of readdirSync(folder)) {
      const template = join(plugins, "templates", language, "sdk", file)
      t.equal(readFileSync(join(folder, file), "utf8"), readFileSync(template, "utf8"), `${name}/sdk/${file}`)
      count++
    }
  }
  t.ok(count > 0)
})
