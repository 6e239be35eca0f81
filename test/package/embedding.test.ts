// Every embedding case again, from an empty folder with nothing but the installed package, on Node, Deno and Bun: inline, and
// in processes. A case that opens hosts starts processes: on Deno and Bun every eighth runs there, all with STELE_TEST_FULL. @long
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import t from "tap"
import { cases } from "../host/embedding.ts"
import { writeGuests } from "../host/embedding-guests.ts"
import type { Outcome } from "../host/embedding-run.ts"
import { engines, Folder, root } from "./folder.ts"
import { isFull } from "../seed.ts"

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
import { cases } from ${JSON.stringify(pathToFileURL(join(root, "test/host/embedding.ts")).href)}
const [isolation, every] = process.argv.slice(2)
console.log(JSON.stringify(await outcomes(stele, ${JSON.stringify(guests)}, isolation, cases.filter((_, i) => i % Number(every) === 0))))
`,
)

for (const [engine, ...args] of engines) {
  for (const isolation of ["inline", "process"] as const) {
    t.test(`the installed package does what the checkout does when ${engine} runs it, ${isolation === "inline" ? "inline" : "in processes"}`, async (t) => {
      const every = isolation === "inline" || engine === "node" || isFull ? 1 : 8
      const { status, stdout, stderr } = folder.run(engine, [...args, "main.ts", isolation, `${every}`])
      t.equal(status, 0, stderr.slice(-2_000))
      const outcomes = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "[]") as ReadonlyArray<Outcome>
      t.equal(outcomes.length, cases.filter(({ isInline }, i) => i % every === 0 && (isolation === "inline" || !isInline)).length)
      for (const { title, problem } of outcomes) t.equal(problem, undefined, title)
    })
  }
}

await folder.write(
  "layers.ts",
  `import * as Effect from "effect/Effect"
import { Host } from "stele/effect"
import { Host as Core, SteleError } from "stele/host"
import { CapabilityError, primitive, jsonSchema } from "stele/schemas"
const url = new URL(import.meta.resolve("stele/examples/greeter/greeter.wasm"))
const program = Effect.gen(function* () {
  const host = yield* Host
  const refused = yield* host.load(url).pipe(
    Effect.as("loaded"),
    Effect.catchTag("CapabilityError", (error) => Effect.succeed([error.code, error instanceof CapabilityError, error instanceof SteleError].join())),
  )
  const greeter = yield* host.load(url, { grants: ["log", "kv:read:prices/*"] })
  return [refused, yield* greeter.call("acme:greeter/api#greet", [{ name: "Ada" }])]
}).pipe(Effect.scoped, Effect.provide(Host.layerMemory))
console.log(JSON.stringify(await Effect.runPromise(program)))
await using host = await Core.open()
console.log(host.plugins.length, JSON.stringify(jsonSchema(primitive.bool)))
`,
)

for (const [engine, ...args] of engines) {
  t.test(`\`stele/effect\`, \`stele/host\` and \`stele/schemas\` share their classes when ${engine} runs the installed package`, async (t) => {
    const { status, stdout, stderr } = folder.run(engine, [...args, "layers.ts"])
    t.equal(status, 0, stderr.slice(-2_000))
    const [layers, core] = stdout.trimEnd().split("\n")
    t.same(JSON.parse(layers ?? "null"), ["STELE-CAP-0003,true,true", { message: "Hello, Ada!" }])
    t.match(core, /^0 \{.*"boolean".*\}$/)
  })
}
