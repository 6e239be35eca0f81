// `stele/effect`: the host as services and layers. The same errors in the typed channel, scopes that close, ports by layers.
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import t from "tap"
import { Admission, effectSchema, Host, KeyValue, layerMemory, Log, Observer, type Plugin } from "../../host/effect.ts"
import { memoryAdmission, memoryKeyValue, memoryLog, memoryObserver, tenantKey } from "../../host/mod.ts"
import { writeGuests } from "./embedding-guests.ts"

const folder = await mkdtemp(join(tmpdir(), "stele-effect-"))
t.teardown(() => rm(folder, { recursive: true }))
await writeGuests(folder)
const path = (guest: string): string => join(folder, `${guest}.wasm`)
const bytes = async (guest: string) => new Uint8Array(await readFile(path(guest)))
const greetGrants = { grants: ["log", "kv:read:prices/*"] }

interface Greeter {
  readonly "acme:greeter/api#greet": (visitor: { readonly name: string }) => { readonly message: string; readonly teaPrice?: string }
}

t.test("`Host.layerMemory` loads and calls when nothing else is provided", async (t) => {
  const program = Effect.gen(function* () {
    const host = yield* Host
    const plugin = yield* host.load<Greeter>(path("greeter"), greetGrants)
    const greeting = yield* plugin.call("acme:greeter/api#greet", [{ name: "Ada" }])
    const { result, usage } = yield* plugin.callWithUsage("acme:greeter/api#greet", [{ name: "Bob" }])
    const described = yield* plugin.describe
    return { greeting, result, usage, described, digest: plugin.digest }
  }).pipe(Effect.scoped, Effect.provide(Host.layerMemory))
  const { greeting, result, usage, described, digest } = await Effect.runPromise(program)
  t.same(greeting, { message: "Hello, Ada!", teaPrice: undefined })
  t.equal(result.message, "Hello, Bob!")
  t.same(usage.hostCalls, { "kv:read:prices/*": 1, log: 1 })
  t.equal(usage.outcome, "ok")
  t.equal(described.digest, digest)
  t.equal(described.grants.used.length, 2)
})

t.test("`load()` and `call()` fail in the typed channel, so that `catchTag` finds the family", async (t) => {
  const program = Effect.gen(function* () {
    const host = yield* Host
    const missing = yield* host.load(path("greeter")).pipe(
      Effect.as("loaded"),
      Effect.catchTag("CapabilityError", (error) => Effect.succeed(`${error.reason._tag} ${error.code}`)),
    )
    const notWasm = yield* host.load(new Uint8Array(4)).pipe(
      Effect.as("loaded"),
      Effect.catchTag("VerifyError", (error) => Effect.succeed(error.code)),
    )
    const unknown = yield* host.load(path("basic"), { limits: { memory: 5 } as object }).pipe(
      Effect.as("loaded"),
      Effect.catchTag("ConfigError", (error) => Effect.succeed(error.code)),
    )
    const basic = yield* host.load(path("basic"))
    const calls = [
      yield* basic.call("spin", [], { deadlineMs: 5 }).pipe(Effect.catchTag("LimitError", (error) => Effect.succeed(error.reason._tag))),
      yield* basic
        .call("check", [12])
        .pipe(Effect.catchTag("PluginError", (error) => Effect.succeed(error.reason._tag === "Guest" ? error.reason.payload : "none"))),
      yield* basic.call("add", [1, "2"]).pipe(Effect.catchTag("WitError", (error) => Effect.succeed(error.code))),
      yield* basic.grant("nonsense").pipe(Effect.catchTag("CapabilityError", (error) => Effect.succeed(error.code))),
    ]
    // An error of a family that is not caught stays in the channel.
    const exit = yield* Effect.exit(basic.call("trap", []).pipe(Effect.catchTag("LimitError", () => Effect.succeed("wrong"))))
    return { missing, notWasm, unknown, calls, isFailure: Exit.isFailure(exit) }
  }).pipe(Effect.scoped, Effect.provide(Host.layerMemory))
  const { missing, notWasm, unknown, calls, isFailure } = await Effect.runPromise(program)
  t.equal(missing, "Missing STELE-CAP-0003")
  t.equal(notWasm, "STELE-VFY-0001")
  t.equal(unknown, "STELE-CFG-0001")
  t.same(calls, ["deadlineMs", { value: 12, why: "too big" }, "STELE-WIT-0001", "STELE-CAP-0001"])
  t.equal(isFailure, true)
})

t.test("`load()` closes the plugin when its scope ends, and the host with its layer", async (t) => {
  let kept: Plugin | undefined
  const program = Effect.gen(function* () {
    const host = yield* Host
    yield* Effect.gen(function* () {
      kept = yield* host.load(path("basic"))
      t.equal(yield* kept.call("add", [1, 2]), 3)
    }).pipe(Effect.scoped)
    return yield* (kept as Plugin).call("add", [1, 2]).pipe(Effect.catchTag("PluginError", (error) => Effect.succeed(error.reason._tag)))
  }).pipe(Effect.provide(Host.layerMemory))
  t.equal(await Effect.runPromise(program), "Closed")

  const scope = await Effect.runPromise(Scope.make())
  const context = await Effect.runPromise(Layer.buildWithScope(Host.layerMemory, scope))
  const host = await Effect.runPromise(Host.pipe(Effect.provide(context)))
  await Effect.runPromise(host.load(path("basic")).pipe(Effect.asVoid, Effect.scoped))
  await Effect.runPromise(Scope.close(scope, Exit.void))
  const closed = host.load(path("basic")).pipe(
    Effect.as("loaded"),
    Effect.catchTag("PluginError", (error) => Effect.succeed(error.reason._tag)),
    Effect.scoped,
  )
  t.equal(await Effect.runPromise(closed), "Closed")
})

t.test("ports come from their layers when they are provided one by one", async (t) => {
  const log = memoryLog()
  const keyValue = memoryKeyValue()
  const observer = memoryObserver()
  keyValue.set(tenantKey("acme", "prices/tea"), new TextEncoder().encode("2.50"))
  const ports = Layer.mergeAll(layerMemory, Layer.succeed(Log, log), Layer.succeed(KeyValue, keyValue), Layer.succeed(Observer, observer))
  const program = Effect.gen(function* () {
    const host = yield* Host
    const plugin = yield* host.load<Greeter>(path("greeter"), { ...greetGrants, tenant: "acme" })
    const first = yield* plugin.call("acme:greeter/api#greet", [{ name: "Ada" }])
    const wasRevoked = yield* plugin.revoke("kv:read:prices/tea")
    const second = yield* Effect.exit(plugin.call("acme:greeter/api#greet", [{ name: "Ada" }]))
    yield* plugin.grant("kv:read:prices/tea")
    const third = yield* plugin.call("acme:greeter/api#greet", [{ name: "Ada" }])
    return { first, wasRevoked, second, third }
  }).pipe(Effect.scoped, Effect.provide(Host.layer({ cache: false })), Effect.provide(ports))
  const { first, wasRevoked, second, third } = await Effect.runPromise(program)
  t.equal(first.teaPrice, "2.50")
  t.equal(wasRevoked, true)
  t.equal(Exit.isFailure(second), true)
  t.equal(third.teaPrice, "2.50")
  t.same(
    log.records.map(({ tenant, message }) => `${tenant} ${message}`),
    ["acme Greeted Ada", "acme Greeted Ada"],
  )
  t.same(
    observer.events.map((event) => event.type),
    ["usage", "grant", "denial", "usage", "grant", "usage"],
  )
})

t.test("the `Admission` service refuses in the typed channel", async (t) => {
  const admission = { ...memoryAdmission(), call: () => Promise.resolve({ admit: false, reason: "over quota", code: "QUOTA" } as const) }
  const program = Effect.gen(function* () {
    const host = yield* Host
    const plugin = yield* host.load(path("basic"))
    return yield* plugin.call("add", [1, 2]).pipe(Effect.catchTag("PluginError", (error) => Effect.succeed(error.message)))
  }).pipe(Effect.scoped, Effect.provide(Host.layer({ cache: false })), Effect.provide(Layer.merge(layerMemory, Layer.succeed(Admission, admission))))
  t.equal(await Effect.runPromise(program), "Admission refused: over quota (QUOTA)")
})

t.test("interruption ends a call that waits for admission, and it never runs", async (t) => {
  const observer = memoryObserver()
  const asked = Promise.withResolvers<void>()
  const admission = { ...memoryAdmission(), call: () => (asked.resolve(), new Promise<{ readonly admit: true }>(() => undefined)) }
  const ports = Layer.mergeAll(layerMemory, Layer.succeed(Admission, admission), Layer.succeed(Observer, observer))
  const program = Effect.gen(function* () {
    const host = yield* Host
    const plugin = yield* host.load(path("basic"))
    const fiber = yield* Effect.forkChild(plugin.call("add", [1, 2]))
    yield* Effect.promise(() => asked.promise)
    yield* Fiber.interrupt(fiber)
    return yield* Fiber.await(fiber)
  }).pipe(Effect.scoped, Effect.provide(Host.layer({ cache: false })), Effect.provide(ports))
  const exit = await Effect.runPromise(program)
  t.equal(Exit.isFailure(exit) && Exit.hasInterrupts(exit), true)
  t.same(observer.events, [])
})

t.test("`store()` keeps a component for `load()` by digest, and fails typed when the store refuses", async (t) => {
  const basic = await bytes("basic")
  const program = Effect.gen(function* () {
    const host = yield* Host
    const digest = yield* host.store(basic)
    const plugin = yield* host.load(digest)
    t.equal(plugin.digest, digest)
    return yield* host.store(new Uint8Array((64 << 20) + 1)).pipe(Effect.catchTag("CapabilityError", (error) => Effect.succeed(error.reason._tag)))
  }).pipe(Effect.scoped, Effect.provide(Host.layerMemory))
  t.equal(await Effect.runPromise(program), "PortLimit")
})

t.test("what is no typed error is a defect when a port breaks", async (t) => {
  const broken = { ...memoryLog(), write: () => Reflect.get(undefined as unknown as object, "x") as undefined }
  const program = Effect.gen(function* () {
    const host = yield* Host
    const plugin = yield* host.load<Greeter>(path("greeter"), greetGrants)
    return yield* plugin.call("acme:greeter/api#greet", [{ name: "Ada" }]).pipe(Effect.catchTag("PluginError", (error) => Effect.succeed(error.reason._tag)))
  }).pipe(Effect.scoped, Effect.provide(Host.layer({ cache: false })), Effect.provide(Layer.merge(layerMemory, Layer.succeed(Log, broken))))
  t.equal(await Effect.runPromise(program), "HostCall", "within a call it is the host function's failure")

  const admission = { ...memoryAdmission(), call: (): never => Reflect.get(undefined as unknown as object, "x") as never }
  const defect = Effect.gen(function* () {
    const host = yield* Host
    const plugin = yield* host.load(path("basic"))
    return yield* plugin.call("add", [1, 2])
  }).pipe(Effect.scoped, Effect.provide(Host.layer({ cache: false })), Effect.provide(Layer.merge(layerMemory, Layer.succeed(Admission, admission))))
  const exit = await Effect.runPromiseExit(defect)
  t.equal(Exit.isFailure(exit) && Exit.hasDies(exit), true)
})

t.test("`effectSchema()` checks the values of a plugin's own types", async (t) => {
  const program = Effect.gen(function* () {
    const host = yield* Host
    const plugin = yield* host.load(path("greeter"), greetGrants)
    return yield* plugin.describe
  }).pipe(Effect.scoped, Effect.provide(Host.layerMemory))
  const visitor = (await Effect.runPromise(program)).exports[0]?.type.params[0]?.type
  const decode = Schema.decodeUnknownExit(effectSchema(visitor as NonNullable<typeof visitor>))
  t.same(decode({ name: "Ada" }), Exit.succeed({ name: "Ada" }))
  for (const wrong of [{}, { name: 5 }, "Ada"]) t.equal(Exit.isFailure(decode(wrong)), true)
})
