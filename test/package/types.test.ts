// `stele types` as an embedder uses it: the declarations make a wrong call a compile error, in an empty folder.
import { fileURLToPath } from "node:url"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import t from "tap"
import { Folder, typeCheck } from "./folder.ts"

t.setTimeout(300_000)
const folder = await Folder.empty()
t.teardown(() => folder[Symbol.asyncDispose]())
await folder.install()
const wasm = (name: string): string => join(folder.path, `node_modules/stele/dist/examples/${name}/${name}.wasm`)

const program = (call: string): string => `import { Host } from "stele"
import type { Exports } from "./greeter.d.ts"
await using host = await Host.open()
await using greeter = await host.load<Exports>("greeter.wasm", { grants: ["log", "kv:read:prices/*"] })
const greeting = ${call}
export const message: string = greeting.message
export const price: string | undefined = greeting.teaPrice
`
const right = `await greeter.call("acme:greeter/api#greet", [{ name: "Ada" }])`

t.test("`stele types` writes declarations that type a plugin's calls", async (t) => {
  const { status, stdout, stderr } = folder.run("stele", ["types", wasm("greeter"), "-o", "greeter.d.ts"])
  t.equal(status, 0, stderr)
  t.equal(stdout, "")
  t.match(await readFile(join(folder.path, "greeter.d.ts"), "utf8"), /readonly "acme:greeter\/api#greet": \(/)
  await folder.write("right.ts", program(right))
  t.same(typeCheck(folder, "right.ts"), { status: 0, stdout: "", stderr: "" })
})

for (const [what, call, complaint] of [
  ["a wrong export name", right.replace("#greet", "#meet"), /right.*not assignable|"acme:greeter\/api#meet"' is not assignable/],
  ["a wrong argument", right.replace('"Ada"', "5"), /Type 'number' is not assignable to type 'string'/],
  ["a missing field", right.replace('name: "Ada"', ""), /Property 'name' is missing/],
  ["too many arguments", right.replace("}]", "}, 1]"), /Source has 2 element/],
  ["a field that the answer does not have", `{ ...(${right}), message: (${right}).greeting }`, /Property 'greeting' does not exist/],
] as const) {
  t.test(`declarations of \`stele types\` make ${what} a compile error`, async (t) => {
    await folder.write("wrong.ts", program(call))
    const { status, stdout } = typeCheck(folder, "wrong.ts")
    t.not(status, 0)
    t.match(stdout, /^wrong\.ts\(5,/m)
    t.match(stdout, complaint)
  })
}

t.test("`stele types` prints what it would write, for every example", async (t) => {
  for (const name of ["greeter", "nearest", "snoop", "spinner", "table-stats", "text-stats"]) {
    const { status, stdout, stderr } = folder.run("stele", ["types", wasm(name)])
    t.equal(status, 0, stderr)
    await folder.write(`${name}-printed.d.ts`, stdout)
    t.same(typeCheck(folder, `${name}-printed.d.ts`), { status: 0, stdout: "", stderr: "" }, name)
  }
})

t.test("`stele types` is refused with a code when the file is no component", async (t) => {
  const { status, stderr } = folder.run("stele", ["types", fileURLToPath(import.meta.url)])
  t.equal(status, 3)
  t.match(stderr, /STELE-VFY-0001/)
  t.notMatch(stderr, /^\s+at /m)
})
