// The API's types: what compiles and what must not. Each guest's declarations, as `stele types` writes them, are
// compiled in strict mode with calls that are right and calls that are wrong.
import { spawnSync } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import { Host } from "../../host/mod.ts"
import { declarations } from "../../schemas/wit/typescript.ts"
import { writeGuests } from "./embedding-guests.ts"

t.setTimeout(300_000)
const root = fileURLToPath(new URL("../..", import.meta.url))
const folder = await mkdtemp(join(tmpdir(), "stele-types-"))
t.teardown(() => rm(folder, { recursive: true }))
await writeGuests(folder)

const host = await Host.open({ cache: false })
t.teardown(() => host.close())
const guests = ["basic", "greeter", "caller", "counters", "shopper", "holder"] as const
for (const guest of guests) {
  const plugin = await host.load(new Uint8Array(await readFile(join(folder, `${guest}.wasm`))), { missing: "trap" })
  await writeFile(join(folder, `${guest}.d.ts`), declarations(plugin.describe().world))
}

/** Lines that must compile; lines after `// @ts-expect-error` must not, or the compiler says that the comment is idle. */
const program = `import { GuestResource, Host, type LoadOptions, type Plugin, type UsageRecord } from ${JSON.stringify(join(root, "runtime/mod.ts"))}
${guests.map((guest) => `import type * as ${guest}Types from "./${guest}.d.ts"`).join("\n")}

await using host: Host = await Host.open({ storage: "memory" })
await using basic: Plugin<basicTypes.Exports> = await host.load<basicTypes.Exports>("basic.wasm", { instances: { reuse: "principal", max: 1, idle: 1 }, tenant: "a" })

export const sum: number = await basic.call("add", [1, 2])
export const text: string = basic.callSync("echo", ["a"], { deadlineMs: 5, signal: new AbortController().signal })
export const bytes: Uint8Array = basic.callSync("echo-bytes", [new Uint8Array(1)])
export const total: bigint = basic.callSync("sum", [new Uint32Array(2)])
export const checked: number = await basic.call("check", [1])
export const nothing: void = basic.callSync("spin", [])
const { result, usage } = await basic.callWithUsage("add", [1, 2])
export const used: readonly [number, UsageRecord] = [result, usage]
export const refusal: basicTypes.Errors["check"] = { value: 1, why: "too big" }

// @ts-expect-error: no such export
await basic.call("subtract", [1, 2])
// @ts-expect-error: a missing argument
await basic.call("add", [1])
// @ts-expect-error: a wrong argument
await basic.call("add", [1, "2"])
// @ts-expect-error: a wrong answer
export const wrong: string = await basic.call("add", [1, 2])
// @ts-expect-error: no such field of the error's payload
export const field: basicTypes.Errors["check"] = { value: 1, reason: "too big" }
// @ts-expect-error: no such option
await basic.call("add", [1, 2], { deadline: 5 })
// @ts-expect-error: fuel is a bigint
await basic.call("add", [1, 2], { fuel: 5 })

const options: LoadOptions = { grants: ["log"], metering: "fuel", limits: { fuel: 1 }, missing: "trap" }
const greeter = await host.load<greeterTypes.Exports>("greeter.wasm", options)
export const greeting: { readonly message: string; readonly teaPrice?: string | undefined } = await greeter.call("acme:greeter/api#greet", [{ name: "Ada" }])
// @ts-expect-error: a record's field has another type
await greeter.call("acme:greeter/api#greet", [{ name: 5 }])
// @ts-expect-error: no such metering
await host.load("greeter.wasm", { metering: "gas" })
// @ts-expect-error: no such limit
await host.load("greeter.wasm", { limits: { memory: 5 } })
// @ts-expect-error: no such option
await host.load("greeter.wasm", { grant: ["log"] })
// @ts-expect-error: no such source
await host.load(5)
// @ts-expect-error: an address is text
await Host.open({ storage: 5 })

// Without declarations any name and any arguments go, and answers are unknown.
const untyped = await host.load("basic.wasm")
export const unknownAnswer: unknown = await untyped.call("anything", [1, "2", {}])
// @ts-expect-error: an unknown answer is no number
export const number: number = await untyped.call("add", [1, 2])
export const plain: Plugin = untyped
export const handles: ReadonlyArray<unknown> = [GuestResource]
export type Shop = shopperTypes.Imports
export type Hold = holderTypes.Exports
export type Call = callerTypes.Imports["acme:caller/host@1.2.3#answer"]
export const answer: Call = (n: number) => n
export type Count = countersTypes.Exports["acme:res/counters#dropped"]
export const dropped: ReturnType<Count> = 5
`

t.test("`load<Exports>()` types calls, and everything wrong is a compile error", async (t) => {
  await writeFile(join(folder, "program.ts"), program)
  await writeFile(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        strict: true,
        noEmit: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        verbatimModuleSyntax: true,
        allowImportingTsExtensions: true,
        module: "nodenext",
        target: "esnext",
        lib: ["esnext", "dom"],
        skipLibCheck: false,
        types: ["node"],
        typeRoots: [join(root, "node_modules/@types")],
      },
      files: ["program.ts", ...guests.map((guest) => `${guest}.d.ts`)],
    }),
  )
  await writeFile(join(folder, "package.json"), '{ "type": "module" }')
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", ".", "--pretty", "false"], {
    cwd: folder,
    encoding: "utf8",
  })
  // Only what is said about the program and the declarations counts: the checkout has a check of its own.
  t.same(
    stdout.split("\n").filter((line) => line !== "" && !/^\.\.\/.*\.ts\(|^\s/.test(line)),
    [],
    stderr,
  )
  t.ok(status === 0 || stdout !== "", "it ran")
})
