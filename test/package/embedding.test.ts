// Every embedding case again, from an empty folder with nothing but the installed package, on Node, Deno and Bun.
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import t from "tap"
import { cases } from "../host/embedding.ts"
import { writeGuests } from "../host/embedding-guests.ts"
import type { Outcome } from "../host/embedding-run.ts"
import { engines, Folder, root } from "./folder.ts"

t.setTimeout(600_000)
const folder = await Folder.empty()
t.teardown(() => folder[Symbol.asyncDispose]())
await folder.install()
const guests = join(folder.path, "guests")
await writeGuests(guests)
await folder.write(
  "main.ts",
  `import * as stele from "stele"
import { outcomes } from ${JSON.stringify(pathToFileURL(join(root, "test/host/embedding-run.ts")).href)}
console.log(JSON.stringify(await outcomes(stele, ${JSON.stringify(guests)})))
`,
)

for (const [engine, ...args] of engines) {
  t.test(`the installed package does what the checkout does when ${engine} runs it`, async (t) => {
    const { status, stdout, stderr } = folder.run(engine, [...args, "main.ts"])
    t.equal(status, 0, stderr.slice(-2_000))
    const outcomes = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "[]") as ReadonlyArray<Outcome>
    t.equal(outcomes.length, cases.length)
    for (const { title, problem } of outcomes) t.equal(problem, undefined, title)
  })
}
