/**
 * The embedding API, case by case, as an embedder sees it: nothing but what `stele` exports, so that the same cases run
 * on the checkout and on the installed package, on Node, Deno and Bun. A case fails by throwing.
 */
import assert from "node:assert/strict"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type * as SteleModule from "../../runtime/mod.ts"

export type Stele = typeof SteleModule

type Loaded = SteleModule.Plugin

/** What a case gets. `path` is a guest's file, `bytes` its contents, fresh each time. */
export interface Scene {
  readonly stele: Stele
  /** Where the plugins of this run are; its host loads all of them there unless a case says otherwise. */
  readonly isolation: "inline" | "worker" | "process"
  path(guest: string): string
  bytes(guest: string): Promise<Uint8Array>
  /** A call without a promise where there can be one, else with. */
  ask(plugin: Loaded, name: string, args: ReadonlyArray<unknown>, options?: SteleModule.CallOptions): unknown
  /** Resolves when the plugin has so many instances: elsewhere they end a little later than what they were held for. */
  hasInstances(plugin: Loaded, count: number): Promise<void>
}

export interface Case {
  readonly title: string
  readonly run: (scene: Scene) => Promise<void>
  /** It is about calls without a promise, or about what a host has besides its plugins. */
  readonly isInline: boolean
}

export const cases: Array<Case> = []
const test = (title: string, run: Case["run"]): void => void cases.push({ title, run, isInline: false })
/** A case that means nothing elsewhere. */
const inlineTest = (title: string, run: Case["run"]): void => void cases.push({ title, run, isInline: true })

interface Failure {
  readonly code: string
  readonly message: string
  readonly fix: string
  readonly reason: Readonly<Record<string, unknown>> & { readonly _tag: string }
}

/** Runs what must fail with a typed error of this code, and returns that error. */
async function failure({ SteleError }: Stele, code: string, run: () => unknown): Promise<Failure> {
  let answer: unknown
  try {
    answer = await run()
  } catch (error) {
    if (!(error instanceof SteleError)) throw error
    assert.equal(error.code, code, `it failed with ${error.code}: ${error.message}`)
    assert.match(error.message, /^[A-Z].*[^.]$/s)
    assert.equal(JSON.parse(JSON.stringify(error)).code, code, "it has a JSON form")
    return error as unknown as Failure
  }
  assert.fail(`it answered ${String(answer)}; expected ${code}`)
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const digestOf = async (bytes: Uint8Array): Promise<string> =>
  `sha256:${Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>)), (byte) => byte.toString(16).padStart(2, "0")).join("")}`

/** A host whose observer the case reads. */
async function observed({ Host, memoryObserver }: Stele, ports: object = {}) {
  const observer = memoryObserver()
  const host = await Host.open({ cache: false, ports: { observer, ...ports } })
  const records = () => observer.drain().flatMap((event) => (event.type === "usage" ? [event.record] : []))
  return { host, observer, records, [Symbol.asyncDispose]: () => host.close() }
}

const mechanisms = [
  { name: "epoch", open: { stop: "epoch" }, load: {} },
  { name: "fuel slices", open: { stop: "fuel slices" }, load: {} },
  { name: "fuel", open: {}, load: { metering: "fuel", limits: { fuel: Number.MAX_SAFE_INTEGER } } },
] as const

// ── Sources ───────────────────────────────────────────────────────────────────

test("`load()` takes a path, a file URL, bytes, an ArrayBuffer and a view of a part of one", async ({ stele, path, bytes }) => {
  await using host = await stele.Host.open({ cache: false })
  const basic = await bytes("basic")
  const padded = new Uint8Array(basic.length + 20)
  padded.set(basic, 7)
  const sources = [
    path("basic"),
    new URL(`file://${path("basic")}`),
    new URL(`file://${path("basic")}`).href,
    basic,
    basic.slice().buffer,
    padded.subarray(7, 7 + basic.length),
    new DataView(padded.buffer, 7, basic.length) as unknown as Uint8Array,
  ]
  const expected = await digestOf(basic)
  for (const source of sources) {
    const plugin = await host.load(source)
    assert.equal(plugin.digest, expected)
    assert.equal(await plugin.call("add", [40, 2]), 42)
  }
})

inlineTest("`load()` reads a stored component back by its digest, and refuses bytes that have another one", async ({ stele, bytes }) => {
  await using host = await stele.Host.open({ cache: false })
  const basic = await bytes("basic")
  const digest = await host.store(basic)
  assert.equal(digest, await digestOf(basic))
  await using plugin = await host.load(digest)
  assert.equal(plugin.digest, digest)
  const unknown = `sha256:${"0".repeat(64)}`
  assert.equal((await failure(stele, "STELE-PLG-0008", () => host.load(unknown))).reason["source"], unknown)
  // The store is not believed.
  await host.ports.blob.put(stele.contentKey(unknown), basic)
  await failure(stele, "STELE-PLG-0008", () => host.load(unknown))
  await failure(stele, "STELE-CFG-0002", () => host.load(`sha256:${"A".repeat(64)}`))
})

inlineTest("`load()` names the source when there is nothing, no component, or a package name", async ({ stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const missing = await failure(stele, "STELE-PLG-0008", () => host.load(`${path("basic")}.not-here`))
  assert.match(missing.message, /not-here/)
  await failure(stele, "STELE-PLG-0008", () => host.load(new URL("file:///not/here.wasm")))
  await failure(stele, "STELE-VFY-0001", () => host.load(text("hello")))
  await failure(stele, "STELE-VFY-0001", () => host.load(new Uint8Array()))
  // (module (import "env" "f" (func)))
  const imports = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 2, 9, 1, 3, 0x65, 0x6e, 0x76, 1, 0x66, 0, 0]
  await failure(stele, "STELE-VFY-0017", () => host.load(Uint8Array.from(imports)))
  for (const name of ["greeter@1.0.0", "acme:greeter@^2", "acme/greeter@~1.2"]) {
    const error = await failure(stele, "STELE-PLG-0007", () => host.load(name))
    assert.match(error.message, new RegExp(name.replace("^", "\\^")))
  }
  for (const source of [undefined, null, 5, {}, [], new Date()]) await failure(stele, "STELE-CFG-0002", () => host.load(source as unknown as string))
})

inlineTest("`load()` keeps the bytes as they were when the caller changes them meanwhile", async ({ stele, bytes }) => {
  await using host = await stele.Host.open({ cache: false })
  const basic = await bytes("basic")
  const digest = await digestOf(basic)
  const loading = host.load(basic)
  basic.fill(0)
  const plugin = await loading
  assert.equal(plugin.digest, digest)
  assert.equal(await plugin.call("add", [1, 2]), 3)
  const again = await bytes("basic")
  const transferred = host.load(again)
  structuredClone(again, { transfer: [again.buffer as ArrayBuffer] })
  assert.equal((await transferred).digest, digest)
  for (const detached of [again.buffer as ArrayBuffer, new Proxy(again, {})]) await failure(stele, "STELE-CFG-0002", () => host.load(detached))
  await assert.rejects(() => host.load(again), stele.SteleError)
})

// ── Options ───────────────────────────────────────────────────────────────────

inlineTest("`open()` and `load()` refuse options that they do not know", async ({ stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const load = (options: object) => host.load(path("basic"), options)
  const unknown = async (name: string, run: () => unknown) => {
    const error = await failure(stele, "STELE-CFG-0001", run)
    assert.equal(error.reason["option"], name)
  }
  await unknown("grant", () => load({ grant: ["log"] }))
  await unknown("limits.memoryMax", () => load({ limits: { memoryMax: 1 } }))
  await unknown("instances.count", () => load({ instances: { count: 1 } }))
  await unknown("strict", () => stele.Host.open({ strict: true } as object))
  await unknown("deadline", async () => (await load({})).call("add", [1, 2], { deadline: 5 } as object))
  await unknown('imports["acme:other/host"]', () => load({ imports: { "acme:other/host": {} } }))
})

inlineTest("`open()` and `load()` say what exists when an option asks for what is not built", async ({ stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const error = await failure(stele, "STELE-PLG-0007", () => host.load(path("basic"), { engine: "wasmtime", prepare: "snapshot" }))
  assert.equal(error.reason["asked"], 'prepare: "snapshot"')
  assert.ok((error.reason["exists"] as ReadonlyArray<string>).length > 0)
  const storage = await failure(stele, "STELE-PLG-0007", () => stele.Host.open({ storage: "s3://x" } as object))
  assert.match(storage.message, /memory/)
})

inlineTest("`Host.open()` keeps key-value data in a file when it is told to", async ({ stele }) => {
  const folder = await mkdtemp(join(tmpdir(), "stele-embedding-"))
  try {
    const storage = `sqlite:${join(folder, "kept.db")}`
    const key = stele.tenantKey("t", "k")
    const first = await stele.Host.open({ storage, cache: false })
    await first.ports.keyValue.set(key, text("kept"))
    await first.close()
    await using second = await stele.Host.open({ storage, cache: false })
    assert.deepEqual(await second.ports.keyValue.get(key), text("kept"))
    await failure(stele, "STELE-STO-0002", () => stele.Host.open({ storage: `sqlite:${join(folder, "none/x.db")}` }))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

inlineTest("`load()` refuses option values outside their range", async ({ stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const wrong: ReadonlyArray<object> = [
    { isolation: "none" },
    { metering: "on" },
    { engine: "v8" },
    { prepare: 1 },
    { missing: "ignore" },
    { tenant: "" },
    { tenant: "x".repeat(257) },
    { tenant: 5 },
    { grants: "log" },
    { grants: [5] },
    { instances: { reuse: "always" } },
    { instances: { max: 0 } },
    { instances: { max: 1.5 } },
    { instances: { idle: -1 } },
    { limits: { memoryBytesMax: -1 } },
    { limits: { memoryBytesMax: "64 MiB" } },
    { limits: { memoryBytesMax: 2 ** 40 } },
    { limits: { fuel: 1.5 } },
    { limits: { deadlineMs: 0 } },
    { limits: { deadlineMs: Number.NaN } },
    { limits: { deadlineMs: 86_400_001 } },
  ]
  for (const options of wrong) await failure(stele, "STELE-CFG-0002", () => host.load(path("basic"), options))
  for (const grant of ["nonsense", "kv", "kv:read", "kv:erase:x", "kv:read:a*b", ""])
    await failure(stele, "STELE-CAP-0001", () => host.load(path("basic"), { grants: [grant] }))
  await failure(stele, "STELE-CAP-0009", () => host.load(path("basic"), { grants: ["gpu"] }))
  await failure(stele, "STELE-CFG-0002", () => stele.Host.open({ storage: 5 } as object))
  await failure(stele, "STELE-CFG-0002", () => stele.Host.open({ stop: "never" } as object))
})

test("`call()` refuses options that its plugin's metering cannot keep", async ({ stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const deadline = await host.load(path("basic"))
  const error = await failure(stele, "STELE-CFG-0002", () => deadline.call("add", [1, 2], { fuel: 5n }))
  assert.match(error.message, /metering "deadline"/)
  const fuel = await host.load(path("basic"), { metering: "fuel" })
  for (const value of [-1n, 2n ** 63n, 5, "5"]) await failure(stele, "STELE-CFG-0002", () => fuel.call("add", [1, 2], { fuel: value as bigint }))
  for (const value of [0, -1, Number.NaN, Infinity, "5", 86_400_001])
    await failure(stele, "STELE-CFG-0002", () => fuel.call("add", [1, 2], { deadlineMs: value as number }))
  assert.equal(await fuel.call("add", [1, 2], { fuel: 1_000n, deadlineMs: 86_400_000 }), 3)
  const off = await host.load(path("basic"), { metering: "off" })
  await failure(stele, "STELE-CFG-0002", () => off.call("add", [1, 2], { deadlineMs: 100 }))
  assert.equal(await off.call("add", [1, 2]), 3)
  await failure(stele, "STELE-CFG-0002", () => host.load(path("basic"), { metering: "off", limits: { deadlineMs: 100 } }))
})

// ── Calls ─────────────────────────────────────────────────────────────────────

inlineTest("`call()` and `callSync()` name the nearest export when there is no such one", async ({ stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const basic = await host.load(path("basic"))
  const error = await failure(stele, "STELE-PLG-0003", () => basic.call("ehco", ["x"]))
  assert.deepEqual((error.reason["candidates"] as ReadonlyArray<string>)[0], "echo")
  assert.match(error.fix, /did you mean "echo"/)
  for (const name of ["__proto__", "constructor", "toString", ""]) await failure(stele, "STELE-PLG-0003", () => basic.callSync(name, []))
  await failure(stele, "STELE-PLG-0003", () => basic.callSync(5 as unknown as string, []))
})

test("`call()` takes an interface's version or leaves it out", async ({ stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const caller = await host.load(path("caller"), {
    imports: { "acme:caller/host": { answer: (n: number) => n + 1, note: () => undefined, pick: () => undefined } },
  })
  assert.equal(await caller.call("acme:caller/api@1.2.3#go", [1]), 2)
  assert.equal(await caller.call("acme:caller/api#go", [2]), 3)
  await failure(stele, "STELE-PLG-0003", () => caller.call("acme:caller/api@1.2.4#go", [2]))
})

test("`call()` refuses the option `wasi` when the plugin has nothing to do with WASI", async ({ ask, stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const basic = await host.load(path("basic"))
  await failure(stele, "STELE-CFG-0002", () => basic.call("count", [], { wasi: { args: ["a"] } }))
  assert.equal(await ask(basic, "count", []), 1)
})

test("`call()` says where an argument is wrong, and leaves the instance as it was", async ({ ask, isolation, stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const basic = await host.load(path("basic"), { instances: { reuse: "principal" } })
  assert.equal(await ask(basic, "count", []), 1)
  const refused = async (name: string, args: ReadonlyArray<unknown>, at: string) =>
    assert.equal((await failure(stele, "STELE-WIT-0001", () => ask(basic, name, args))).reason["path"], at)
  await refused("add", ["1", 2], "args[0]")
  await refused("add", [1, -1], "args[1]")
  await refused("add", [1, 2 ** 32], "args[1]")
  await refused("add", [1, 0.5], "args[1]")
  await refused("echo", [5], "args[0]")
  for (const args of [[], [1], [1, 2, 3]]) assert.equal((await failure(stele, "STELE-WIT-0002", () => basic.call("add", args))).reason["expected"], 2)
  for (const args of [undefined, null, "ab", { length: 2, 0: 1, 1: 2 }])
    await failure(stele, "STELE-WIT-0001", () => basic.call("add", args as unknown as [number, number]))
  assert.equal(await ask(basic, "count", []), 2, "the guest was never entered")
  // Behind the first bytes of a list its allocator has run: then the instance is given up.
  await refused("sum", [[1, 2, "3"]], "args[0][2]")
  assert.equal(await ask(basic, "count", []), isolation === "inline" ? 1 : 3, "elsewhere arguments are read before the guest hears of them")
  await refused("echo-bytes", [[1, 2, 256]], "args[0][2]")
})

inlineTest("`call()` reads hostile arguments once, and refuses buffers that can change", async ({ ask, stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const basic = await host.load(path("basic"))
  let reads = 0
  const growing = new Proxy([1, 2, 3], {
    get(target, key) {
      if (key === "length") return ++reads === 1 ? 3 : 1_000_000
      return Reflect.get(target, key)
    },
  })
  assert.equal(await ask(basic, "sum", [growing]), 6n)
  const shared = new Uint8Array(new SharedArrayBuffer(4))
  const resizable = new Uint8Array(new ArrayBuffer(4, { maxByteLength: 8 }))
  const detached = new Uint8Array(4)
  structuredClone(detached, { transfer: [detached.buffer] })
  for (const data of [shared, resizable, detached]) await failure(stele, "STELE-WIT-0001", () => ask(basic, "echo-bytes", [data]))
  const bomb = new Proxy([1], {
    get() {
      throw new TypeError("gotcha")
    },
  })
  await assert.rejects(async () => ask(basic, "sum", [bomb]))
  // Whatever an argument does while it is read, the next call works.
  assert.equal(await ask(basic, "add", [20, 22]), 42)
  const reentrant = {
    get [0]() {
      return basic.callSync("add", [1, 1])
    },
    length: 1,
  }
  await failure(stele, "STELE-WIT-0001", () => ask(basic, "sum", [reentrant]))
  const nested = [5]
  Object.defineProperty(nested, 0, { get: () => basic.callSync("add", [1, 1]) })
  assert.equal(await ask(basic, "sum", [nested]), 2n)
})

test("`call()` takes own fields of records only, whatever their prototype says", async ({ ask, stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const greeter = await host.load(path("greeter"), { grants: ["log", "kv:read:prices/*"] })
  const greet = (visitor: unknown) => ask(greeter, "acme:greeter/api#greet", [visitor])
  assert.deepEqual(await greet({ name: "Ada" }), { message: "Hello, Ada!", teaPrice: undefined })
  assert.deepEqual(await greet(Object.assign(Object.create(null), { name: "Ada" })), { message: "Hello, Ada!", teaPrice: undefined })
  for (const visitor of [Object.create({ name: "Ada" }), JSON.parse('{"__proto__": {"name": "Ada"}}'), {}, null, "Ada"]) {
    await failure(stele, "STELE-WIT-0001", () => greet(visitor))
  }
  let reads = 0
  const once = {
    get name() {
      return reads++ === 0 ? "Ada" : 5
    },
  }
  assert.deepEqual(await greet(once), { message: "Hello, Ada!", teaPrice: undefined })
  assert.equal(reads, 1)
})

test("`call()` throws the typed payload when the outermost result is an error", async ({ ask, stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const basic = await host.load(path("basic"), { instances: { reuse: "principal" } })
  assert.equal(await basic.call("check", [9]), 9)
  const error = await failure(stele, "STELE-PLG-0001", () => basic.call("check", [10]))
  assert.equal(error.reason._tag, "Guest")
  assert.equal(error.reason["export"], "check")
  assert.deepEqual(error.reason["payload"], { value: 10, why: "too big" })
  // An error case is an answer: the instance goes on.
  await ask(basic, "count", [])
  await failure(stele, "STELE-PLG-0001", () => ask(basic, "check", [11]))
  assert.equal(await ask(basic, "count", []), 2)
})

test("`call()` tells a trap with the guest's function names, and the next call works", async ({ ask, stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const basic = await host.load(path("basic"), { instances: { reuse: "principal" } })
  await ask(basic, "count", [])
  const error = await failure(stele, "STELE-PLG-0002", () => basic.call("trap", []))
  const frames = error.reason["frames"] as ReadonlyArray<string>
  assert.deepEqual(frames.slice(0, 2), ["inner-fault", "outer-fault"], frames.join())
  assert.equal(frames.length, 3)
  assert.equal(error.message, 'Plugin trapped in "trap": unreachable')
  assert.equal(await ask(basic, "count", []), 1, "the trapped instance is gone")
  await failure(stele, "STELE-LIM-0003", () => ask(basic, "recurse", []))
  assert.equal(await ask(basic, "count", []), 1)
})

for (const { name, open, load } of mechanisms) {
  test(`\`call()\` stops an endless guest at its deadline when the mechanism is ${name}`, async ({ ask, isolation, stele, path }) => {
    await using host = await stele.Host.open({ cache: false, ...open })
    const basic = await host.load(path("basic"), load)
    // Elsewhere the epoch's thread would have to be joined by each isolate: there it is slices.
    assert.equal(basic.describe().mechanisms.stop, isolation !== "inline" && name === "epoch" ? "fuel slices" : name)
    const startedMs = performance.now()
    const error = await failure(stele, "STELE-LIM-0010", () => basic.call("spin", [], { deadlineMs: 20 }))
    assert.equal(error.reason["limit"], 20)
    assert.ok(performance.now() - startedMs >= 19)
    assert.equal(await ask(basic, "add", [1, 2], { deadlineMs: 500 }), 3)
    // The plugin's own limit, when the call names none.
    const short = await host.load(path("basic"), { ...load, limits: { ...("limits" in load ? load.limits : {}), deadlineMs: 7 } })
    assert.equal((await failure(stele, "STELE-LIM-0010", () => short.call("spin", []))).reason["limit"], 7)
    assert.equal((await failure(stele, "STELE-LIM-0010", () => short.call("spin", [], { deadlineMs: 15 }))).reason["limit"], 15)
  })

  inlineTest(`a call inside a call keeps the outer deadline when the mechanism is ${name}`, async ({ stele, path }) => {
    await using host = await stele.Host.open({ cache: false, ...open })
    const inner = await host.load(path("basic"), load)
    const codes: Array<string> = []
    const spin = (deadlineMs: number) => {
      try {
        inner.callSync("spin", [], { deadlineMs })
      } catch (error) {
        codes.push((error as Failure).code)
      }
      return 1
    }
    let deadlineMs = 10_000
    const outer = await host.load(path("caller"), {
      ...load,
      imports: { "acme:caller/host": { answer: () => spin(deadlineMs), note: () => undefined, pick: () => undefined } },
    })
    const startedMs = performance.now()
    await failure(stele, "STELE-LIM-0010", () => outer.call("acme:caller/api#go", [1], { deadlineMs: 400 }))
    assert.ok(performance.now() - startedMs < 5_000)
    // An inner one that ends first leaves the outer its time.
    deadlineMs = 5
    assert.equal(await outer.call("acme:caller/api#go", [1], { deadlineMs: 5_000 }), 1)
    assert.deepEqual(codes, ["STELE-LIM-0010", "STELE-LIM-0010"])
  })
}

test("`callWithUsage()` stops a guest whose fuel is spent, and counts it", async ({ stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const basic = await host.load(path("basic"), { metering: "fuel", limits: { fuel: 50_000 } })
  const error = await failure(stele, "STELE-LIM-0009", () => basic.call("spin", []))
  assert.equal(error.reason["limit"], 50_000)
  assert.equal((await failure(stele, "STELE-LIM-0009", () => basic.call("spin", [], { fuel: 777n }))).reason["limit"], 777)
  const { usage } = await basic.callWithUsage("sum", [[1, 2, 3]])
  assert.ok(usage.fuel !== undefined && usage.fuel > 10n && usage.fuel < 1_000n)
  assert.deepEqual(await basic.callWithUsage("sum", [[4, 5, 6]]).then((both) => both.usage.fuel), usage.fuel)
  assert.equal(await basic.call("sum", [[4, 5, 6]], { fuel: usage.fuel as bigint }), 15n, "exactly enough is enough")
  await failure(stele, "STELE-LIM-0009", () => basic.call("sum", [[4, 5, 6]], { fuel: (usage.fuel as bigint) - 1n }))
})

test("`call()` refuses when its signal is aborted, before and within the call", async ({ ask, stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const basic = await host.load(path("basic"))
  for (const call of [() => basic.call("spin", [], { signal: AbortSignal.abort() }), () => ask(basic, "spin", [], { signal: AbortSignal.abort() })]) {
    await failure(stele, "STELE-PLG-0005", call)
  }
  const controller = new AbortController()
  const late = basic.call("spin", [], { signal: controller.signal })
  controller.abort()
  await failure(stele, "STELE-PLG-0005", () => late)
  const within = new AbortController()
  let calls = 0
  const caller = await host.load(path("caller"), {
    imports: { "acme:caller/host": { answer: () => (++calls === 3 && within.abort(), 1), note: () => undefined, pick: () => undefined } },
  })
  await failure(stele, "STELE-PLG-0005", () => caller.call("acme:caller/api#repeat", [1_000_000], { signal: within.signal }))
  assert.equal(calls, 3)
})

test("`load()` is typed and `call()` copies: what either side changes later changes nothing", async ({ stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const basic = await host.load<{ "echo-bytes": (data: Uint8Array) => Uint8Array; echo: (text: string) => string }>(path("basic"), {
    instances: { reuse: "principal" },
  })
  const data = Uint8Array.of(1, 2, 3)
  const echoed = await basic.call("echo-bytes", [data])
  data.fill(9)
  assert.deepEqual([...echoed], [1, 2, 3])
  echoed.fill(8)
  assert.deepEqual([...(await basic.call("echo-bytes", [Uint8Array.of(4)]))], [4])
  assert.deepEqual([...echoed], [8, 8, 8])
  assert.equal(await basic.call("echo", ["\ufeffa\u0000\ud800€𝄞"]), "\ufeffa\u0000\ufffd€𝄞")
})

// ── Grants ────────────────────────────────────────────────────────────────────

test("`load()` names the grants to add when imports have none", async ({ stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const error = await failure(stele, "STELE-CAP-0003", () => host.load(path("greeter"), { grants: ["log"] }))
  assert.deepEqual(
    { ...error.reason },
    {
      _tag: "Missing",
      import: "wasi:keyvalue/store@0.2.0-draft",
      grant: "kv:read:*",
      granted: ["log"],
      needed: ["kv:read:*"],
    },
  )
  assert.match(error.message, /"kv:read:\*"/)
  assert.match(error.fix, /--grant kv:read:\*/)
  assert.equal((await failure(stele, "STELE-CAP-0003", () => host.load(path("greeter"), { grants: ["kv:read:prices/*"] }))).reason["grant"], "log")
  const both = await failure(stele, "STELE-CAP-0003", () => host.load(path("greeter")))
  assert.deepEqual([...(both.reason["needed"] as ReadonlyArray<string>)].sort(), ["kv:read:*", "log"])
  for (const grant of ["kv:read:*", "log"]) assert.ok(both.message.includes(grant) && both.fix.includes(`--grant ${grant}`))
  const foreign = await failure(stele, "STELE-CAP-0002", () => host.load(path("caller")))
  assert.match(foreign.message, /acme:caller\/host@1\.2\.3/)
})

test("`describe()` tells what was asked, granted, inert, provided and used", async ({ isolation, stele, path, bytes }) => {
  await using host = await stele.Host.open({ cache: false })
  const greeter = await host.load(path("greeter"), { grants: ["log", "kv:read:prices/*", "kv:write:other"], tenant: "acme" })
  const before = greeter.describe()
  const greeterBytes = await bytes("greeter")
  assert.equal(before.digest, await digestOf(greeterBytes))
  assert.equal(before.tenant, "acme")
  assert.deepEqual(
    before.imports.map(({ name, status, grant }) => [name, status, grant]),
    [
      ["wasi:keyvalue/store@0.2.0-draft", "granted", "kv:read:*"],
      ["wasi:logging/logging@0.1.0-draft", "granted", "log"],
    ],
  )
  assert.ok(before.imports.every(({ risk }) => risk !== undefined && risk.length > 20))
  assert.deepEqual(
    before.exports.map(({ name }) => name),
    ["acme:greeter/api#greet"],
  )
  assert.deepEqual(before.grants, { granted: ["log", "kv:read:prices/*", "kv:write:other"], revoked: [], used: [], denied: [], deniedOther: 0 })
  // JavaScriptCore stops cheaper by slices; see `Platform.stop`.
  assert.deepEqual(before.mechanisms, {
    stop: "Bun" in globalThis || isolation !== "inline" ? "fuel slices" : "epoch",
    wait: "none",
    isolation,
    confinement: isolation === "process" ? before.mechanisms.confinement : [],
    reuse: "never",
    prepare: "fresh",
  })
  assert.equal(before.sizes.componentBytes, greeterBytes.length)
  assert.ok(before.sizes.coreModules >= 1 && before.sizes.coreBytes > 100 && before.sizes.coreBytes < greeterBytes.length)
  assert.equal(before.limits.deadlineMs, stele.defaultLimits.deadlineMs)
  const greet = (await greeter.schemas()).get("acme:greeter/api#greet")
  assert.match(JSON.stringify(greet?.params), /"name"/)
  assert.match(JSON.stringify(greet?.result), /"teaPrice"/)
  assert.match(JSON.stringify(greet?.error), /"string"/)

  await greeter.call("acme:greeter/api#greet", [{ name: "Ada" }])
  const used = greeter.describe().grants.used
  assert.deepEqual(used, [
    { grant: "kv:read:prices/*", count: 1, bytes: 0 },
    { grant: "log", count: 1, bytes: "Greeted Ada".length },
  ])
  greeter.revoke("log")
  assert.deepEqual(
    greeter.describe().imports.map(({ status }) => status),
    ["granted", "missing"],
  )
  assert.deepEqual(greeter.describe().grants.granted, ["kv:read:prices/*", "kv:write:other"])

  const counters = await host.load(path("counters"))
  const schemas = await counters.schemas()
  assert.deepEqual(
    counters.describe().exports.map(({ name }) => !schemas.has(name)),
    [true, true, true, true, true, false, true],
    "handles have no JSON form",
  )
  const caller = (
    await host.load(path("caller"), { imports: { "acme:caller/host@1.2.3": { answer: () => 1, note: () => undefined, pick: () => undefined } } })
  ).describe()
  assert.deepEqual(
    caller.imports.map(({ status, functions }) => [status, functions]),
    [["provided", ["answer", "note", "pick"]]],
  )
})

test("`revoke()` and `grant()` act at the next operation, also on handles that are open", async ({ ask, stele, path }) => {
  await using scene = await observed(stele)
  const holder = await scene.host.load(path("holder"), { grants: ["kv:read:prices/*", "log"], instances: { reuse: "principal" } })
  const { host } = scene
  await host.ports.keyValue.set(stele.tenantKey("default", "prices/tea"), text("2.50"))
  assert.equal(await ask(holder, "acme:holder/api#open", []), 0)
  assert.equal(await ask(holder, "acme:holder/api#read", []), 104)
  assert.equal(holder.revoke("kv:read:prices/tea"), true)
  assert.equal(await ask(holder, "acme:holder/api#read", []), 2, "access-denied, through the handle that was open")
  assert.equal(holder.revoke("kv:read:prices/tea"), false, "nothing of it is in force any more")
  holder.grant("kv:read:prices/tea")
  assert.equal(await ask(holder, "acme:holder/api#read", []), 104)
  holder.revoke("kv:read:*")
  assert.equal(await ask(holder, "acme:holder/api#open", []), 2)
  // Logging has no error of its own: the denial ends the call, and names the grant.
  await ask(holder, "acme:holder/api#say", [])
  holder.revoke("log")
  const denied = await failure(stele, "STELE-CAP-0004", () => ask(holder, "acme:holder/api#say", []))
  assert.equal(denied.reason["grant"], "log")
  await failure(stele, "STELE-CAP-0001", () => holder.grant("nonsense:x"))
  await failure(stele, "STELE-CAP-0001", () => holder.revoke("kv"))
  const events = scene.observer.drain()
  assert.deepEqual(
    events.flatMap((event) => (event.type === "grant" ? [`${event.change} ${event.grant}`] : [])),
    ["revoked kv:read:prices/tea", "granted kv:read:prices/tea", "revoked kv:read:*", "revoked log"],
  )
  assert.deepEqual(
    events.flatMap((event) => (event.type === "denial" ? [event.grant] : [])),
    ["kv:read:prices/tea", "kv:read:prices/*", "log"],
  )
  assert.ok(events.every((event) => (event.type === "usage" ? event.record : event).tenant === "default"))
})

test('`load()` links ungranted imports as traps when `missing` is "trap"', async ({ ask, stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const holder = await host.load(path("holder"), { missing: "trap", grants: ["log"] })
  assert.deepEqual(
    holder.describe().imports.map(({ status }) => status),
    ["missing", "granted"],
  )
  await ask(holder, "acme:holder/api#say", [])
  assert.equal(await ask(holder, "acme:holder/api#open", []), 2, "the interface has an error for it")
  holder.grant("kv:read:*")
  assert.equal(await ask(holder, "acme:holder/api#open", []), 0, "a later grant is seen")
  const caller = await host.load(path("caller"), { missing: "trap" })
  const error = await failure(stele, "STELE-CAP-0002", () => ask(caller, "acme:caller/api#go", [1]))
  assert.match(error.message, /acme:caller\/host@1\.2\.3/)
})

test("tenants do not see each other's keys, nor two plugins each other's grants", async ({ ask, stele, path }) => {
  await using scene = await observed(stele)
  const { host } = scene
  const load = (guest: string, tenant: string, grants: ReadonlyArray<string>) => host.load(path(guest), { tenant, grants: ["log", ...grants] })
  const writer = await load("snoop", "one", ["kv:write:prices/*"])
  const reader = await load("greeter", "one", ["kv:read:prices/*"])
  const stranger = await load("greeter", "two", ["kv:read:prices/*"])
  const sly = await load("greeter", "one/prices", ["kv:read:*"])
  assert.equal(await ask(writer, "stele:example-snoop/report#tamper", []), "The price of tea is now 0.00")
  const price = async (plugin: typeof reader) => ((await ask(plugin, "acme:greeter/api#greet", [{ name: "Ada" }])) as { readonly teaPrice?: string }).teaPrice
  assert.equal(await price(reader), "0.00")
  assert.equal(await price(stranger), undefined)
  assert.equal(await price(sly), undefined)
  assert.equal(reader.digest, stranger.digest)
  reader.revoke("kv:read:*")
  await failure(stele, "STELE-PLG-0001", () => price(reader))
  assert.equal(await price(stranger), undefined)
  const denied = await load("snoop", "one", ["kv:read:prices/*"])
  assert.equal(await ask(denied, "stele:example-snoop/report#tamper", []), "Cannot write the price: access was denied")
  assert.deepEqual([...new Set(scene.records().map(({ tenant }) => tenant))], ["one", "two", "one/prices"])
})

// ── Usage, observer, admission ────────────────────────────────────────────────

test("`callWithUsage()` counts what went in and out to the byte", async ({ stele, path }) => {
  await using scene = await observed(stele)
  const { host } = scene
  const basic = await host.load(path("basic"), { tenant: "t" })
  const { result, usage } = await basic.callWithUsage("echo", ["hällo"])
  assert.equal(result, "hällo")
  const { wallNs, ...rest } = usage
  // A string is a pointer and a length, 4 bytes each, and its UTF-8 bytes.
  assert.deepEqual(rest, {
    plugin: basic.digest,
    tenant: "t",
    export: "echo",
    outcome: "ok",
    memoryPeakBytes: 65_536,
    bytesIn: 8 + 6,
    bytesOut: 8 + 6,
    hostCalls: {},
  })
  assert.ok(Number.isInteger(wallNs) && wallNs > 0 && wallNs < 1e9)
  const bytes = await basic.callWithUsage("echo-bytes", [new Uint8Array(1_000)])
  assert.deepEqual([bytes.usage.bytesIn, bytes.usage.bytesOut], [1_008, 1_008])
  const grown = await basic.callWithUsage("grow", [3])
  assert.equal(grown.usage.memoryPeakBytes, 4 * 65_536)
  assert.deepEqual(scene.records(), [usage, bytes.usage, grown.usage], "the observer gets the same records")

  await host.ports.keyValue.set(stele.tenantKey("t", "prices/tea"), text("2.50 €"))
  const greeter = await host.load(path("greeter"), { grants: ["log", "kv:read:prices/*"], tenant: "t", metering: "fuel" })
  const greeting = await greeter.callWithUsage("acme:greeter/api#greet", [{ name: "Ada" }])
  assert.deepEqual(greeting.usage.hostCalls, { "kv:read:prices/*": 1, log: 1 })
  assert.equal(typeof greeting.usage.fuel, "bigint")
  assert.equal(greeting.usage.export, "acme:greeter/api#greet")
})

test("the observer gets one usage record a call, whatever its outcome, and each stop", async ({ stele, path }) => {
  await using scene = await observed(stele)
  const basic = await scene.host.load(path("basic"), { limits: { outputBytesMax: 64 } })
  await basic.call("add", [1, 2])
  await failure(stele, "STELE-PLG-0001", () => basic.call("check", [10]))
  await failure(stele, "STELE-PLG-0002", () => basic.call("trap", []))
  await failure(stele, "STELE-LIM-0010", () => basic.call("spin", [], { deadlineMs: 20 }))
  await failure(stele, "STELE-LIM-0003", () => basic.call("recurse", []))
  await failure(stele, "STELE-LIM-0004", () => basic.call("echo", ["x".repeat(100)]))
  await failure(stele, "STELE-WIT-0001", () => basic.call("add", [1, "2"]))
  await failure(stele, "STELE-PLG-0003", () => basic.call("none", []))
  const events = scene.observer.drain()
  assert.deepEqual(
    events.flatMap((event) => (event.type === "usage" ? [`${event.record.export} ${event.record.outcome}`] : [])),
    ["add ok", "check guest", "trap STELE-PLG-0002", "spin STELE-LIM-0010", "recurse STELE-LIM-0003", "echo STELE-LIM-0004", "add STELE-WIT-0001"],
  )
  const stops = events.flatMap((event) => (event.type === "stop" ? [event] : []))
  assert.deepEqual(
    stops.map(({ export: name, code }) => `${name} ${code}`),
    ["spin STELE-LIM-0010", "recurse STELE-LIM-0003", "echo STELE-LIM-0004"],
  )
  assert.deepEqual(
    { ...stops[0] },
    {
      type: "stop",
      plugin: basic.digest,
      tenant: "default",
      export: "spin",
      code: "STELE-LIM-0010",
      message: 'Cannot exceed "deadlineMs": the limit is 20 ms',
    },
  )
  const fuel = await scene.host.load(path("basic"), { metering: "fuel", limits: { fuel: 1_000 } })
  await failure(stele, "STELE-LIM-0009", () => fuel.call("spin", []))
  const [stop, usage] = scene.observer.drain()
  assert.equal(stop?.type === "stop" && stop.code, "STELE-LIM-0009")
  assert.equal(usage?.type === "usage" && usage.record.fuel, 1_000n)
})

for (const kind of ["at once", "later"] as const) {
  test(`the admission port admits and refuses loads and calls when it answers ${kind}`, async ({ ask, isolation, stele, path }) => {
    const asked: Array<object> = []
    let refuses = ""
    const decide = (what: string, ...descriptor: ReadonlyArray<object>) => {
      asked.push({ what, ...descriptor[0] })
      const decision = refuses === what ? ({ admit: false, reason: "over quota", code: "QUOTA" } as const) : ({ admit: true } as const)
      return kind === "at once" ? decision : Promise.resolve(decision)
    }
    await using host = await stele.Host.open({
      cache: false,
      ports: {
        admission: {
          load: (load) => decide("load", load),
          call: (call, limits) => decide("call", { ...call, fuel: limits.fuel, deadlineMs: limits.deadlineMs }),
        },
      },
    })
    refuses = "load"
    const refused = await failure(stele, "STELE-PLG-0010", () => host.load(path("basic"), { grants: ["log"], tenant: "t" }))
    assert.deepEqual({ ...refused.reason }, { _tag: "Refused", reason: "over quota", admissionCode: "QUOTA" })
    refuses = ""
    const basic = await host.load(path("basic"), { metering: "fuel" })
    assert.equal(await basic.call("add", [1, 2], { deadlineMs: 3_300, fuel: 44_000n }), 3)
    refuses = "call"
    await failure(stele, "STELE-PLG-0010", () => basic.call("add", [1, 2]))
    await failure(stele, kind === "at once" || isolation !== "inline" ? "STELE-PLG-0010" : "STELE-CAP-0006", () => ask(basic, "add", [1, 2]))
    const before = asked.length
    await failure(stele, "STELE-PLG-0003", () => basic.call("none", []))
    await failure(stele, "STELE-PLG-0005", () => basic.call("add", [1, 2], { signal: AbortSignal.abort() }))
    assert.equal(asked.length, before, "what fails anyway is not asked for")
    const bytes = basic.describe().sizes.componentBytes
    assert.deepEqual(asked.slice(0, 3), [
      { what: "load", plugin: basic.digest, tenant: "t", bytes, grants: ["log"] },
      { what: "load", plugin: basic.digest, tenant: "default", bytes, grants: [] },
      { what: "call", plugin: basic.digest, tenant: "default", export: "add", fuel: 44_000, deadlineMs: 3_300 },
    ])
  })
}

test("the admission port's time counts against the deadline, and an answer that never comes ends with it", async ({ ask, stele, path }) => {
  const never = new Promise<{ readonly admit: true }>(() => undefined)
  let answer: () => { readonly admit: true } | Promise<{ readonly admit: true }> = () => never
  await using host = await stele.Host.open({ cache: false, ports: { admission: { load: () => ({ admit: true }), call: () => answer() } } })
  const basic = await host.load(path("basic"))
  await failure(stele, "STELE-LIM-0010", () => basic.call("add", [1, 2], { deadlineMs: 10 }))
  const controller = new AbortController()
  const waiting = basic.call("add", [1, 2], { signal: controller.signal })
  controller.abort()
  await failure(stele, "STELE-PLG-0005", () => waiting)
  answer = () => {
    for (const untilMs = performance.now() + 300; performance.now() < untilMs;);
    return { admit: true }
  }
  const startedMs = performance.now()
  await failure(stele, "STELE-LIM-0010", () => basic.call("spin", [], { deadlineMs: 400 }))
  assert.ok(performance.now() - startedMs < 650, "300 ms of asking left 100 ms for the guest")
  await failure(stele, "STELE-LIM-0010", () => ask(basic, "add", [1, 2], { deadlineMs: 20 }))
  answer = () => Promise.reject(new Error("the quota service is down"))
  await assert.rejects(() => basic.call("add", [1, 2]), /quota service/)
})

/** What an admission port that admits everything is told when calls are over. */
function settling() {
  const settled: Array<readonly [record: SteleModule.UsageRecord, isBegun: boolean]> = []
  const decision = { admit: true, settle: (...told: readonly [SteleModule.UsageRecord, boolean]) => void settled.push(told) } as const
  return { decision, taken: () => settled.splice(0) }
}

for (const kind of ["at once", "later"] as const) {
  test(`an admitted call is settled once, with the observer's record, when the admission port answers ${kind}`, async ({ ask, isolation, stele, path }) => {
    const { decision, taken } = settling()
    const admission = { load: () => ({ admit: true }) as const, call: () => (kind === "at once" ? decision : Promise.resolve(decision)) }
    await using scene = await observed(stele, { admission })
    const basic = await scene.host.load(path("basic"), { metering: "fuel" })
    const same = (outcome: string, records = scene.records()) => {
      assert.deepEqual(
        taken(),
        records.map((record) => [record, true]),
      )
      assert.deepEqual(
        records.map((record) => record.outcome),
        [outcome],
      )
    }
    await basic.call("add", [1, 2])
    same("ok")
    const { usage } = await basic.callWithUsage("add", [1, 2])
    same("ok", [usage])
    scene.records()
    if (kind === "at once" || isolation !== "inline") {
      await ask(basic, "add", [1, 2])
      same("ok")
    }
    await failure(stele, "STELE-PLG-0001", () => basic.call("check", [10]))
    same("guest")
    await failure(stele, "STELE-PLG-0002", () => basic.call("trap", []))
    same("STELE-PLG-0002")
    await failure(stele, "STELE-LIM-0010", () => basic.call("spin", [], { deadlineMs: 50, fuel: 10n ** 15n }))
    same("STELE-LIM-0010")
    await failure(stele, "STELE-LIM-0009", () => basic.call("spin", [], { fuel: 1_000n }))
    same("STELE-LIM-0009")
    const controller = new AbortController()
    setTimeout(() => controller.abort(), 30)
    await failure(stele, isolation === "inline" ? "STELE-LIM-0010" : "STELE-PLG-0005", () =>
      basic.call("spin", [], { deadlineMs: 300, fuel: 10n ** 15n, signal: controller.signal }),
    )
    same(isolation === "inline" ? "STELE-LIM-0010" : "STELE-PLG-0005")
    await failure(stele, "STELE-WIT-0001", () => basic.call("add", ["one", 2] as never))
    same("STELE-WIT-0001")
  })
}

test("a call that was admitted and never began is settled once as having used nothing", async ({ ask, isolation, stele, path }) => {
  const { decision, taken } = settling()
  let answer: () => typeof decision | Promise<typeof decision> = () => decision
  await using scene = await observed(stele, { admission: { load: () => ({ admit: true }), call: () => answer() } })
  const basic = await scene.host.load(path("basic"), { tenant: "t" })
  const unbegun = (outcome: string) => {
    const [[{ wallNs, ...rest }, isBegun] = assert.fail("nobody was told"), ...more] = taken()
    assert.equal(isBegun, false)
    assert.deepEqual(rest, { plugin: basic.digest, tenant: "t", export: "add", outcome, memoryPeakBytes: 0, bytesIn: 0, bytesOut: 0, hostCalls: {} })
    assert.ok(wallNs < 1e9)
    assert.deepEqual(more, [])
    assert.deepEqual(scene.records(), [], "which is no call for the observer")
  }
  await failure(stele, "STELE-WIT-0001", () => basic.call("add", 5 as never))
  unbegun("STELE-WIT-0001")
  answer = () => {
    for (const untilMs = performance.now() + 40; performance.now() < untilMs;);
    return decision
  }
  await failure(stele, "STELE-LIM-0010", () => ask(basic, "add", [1, 2], { deadlineMs: 20 }))
  unbegun("STELE-LIM-0010")
  let admit = (): void => undefined
  answer = () => new Promise((resolve) => (admit = () => resolve(decision)))
  await failure(stele, "STELE-LIM-0010", () => basic.call("add", [1, 2], { deadlineMs: 10 }))
  assert.deepEqual(taken(), [], "nobody has admitted it yet")
  admit()
  await Promise.resolve()
  unbegun("STELE-LIM-0010")
  const controller = new AbortController()
  const aborted = basic.call("add", [1, 2], { signal: controller.signal })
  controller.abort()
  await failure(stele, "STELE-PLG-0005", () => aborted)
  admit()
  await Promise.resolve()
  unbegun("STELE-PLG-0005")
  if (isolation === "inline") {
    await failure(stele, "STELE-CAP-0006", () => basic.callSync("add", [1, 2]))
    admit()
    await Promise.resolve()
    unbegun("STELE-CAP-0006")
  }
  const closed = basic.call("add", [1, 2])
  const closing = basic.close()
  admit()
  await failure(stele, "STELE-PLG-0006", () => closed)
  unbegun("STELE-PLG-0006")
  await closing
})

// ── Instances ─────────────────────────────────────────────────────────────────

test("`call()` forgets state between calls unless instances are a principal's", async ({ ask, stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const fresh = await host.load(path("basic"))
  assert.deepEqual([await ask(fresh, "count", []), await fresh.call("count", []), await ask(fresh, "count", [])], [1, 1, 1])
  assert.equal(fresh.instances, 0)
  const kept = await host.load(path("basic"), { instances: { reuse: "principal" } })
  assert.deepEqual([await ask(kept, "count", []), await kept.call("count", []), await ask(kept, "count", [])], [1, 2, 3])
  assert.equal(kept.instances, 1)
  const other = await host.load(path("basic"), { instances: { reuse: "principal" }, tenant: "other" })
  assert.equal(await ask(other, "count", []), 1)
  await failure(stele, "STELE-LIM-0010", () => ask(kept, "spin", [], { deadlineMs: 5 }))
  assert.equal(await ask(kept, "count", []), 1, "a stopped instance is not used again")
  assert.deepEqual(await Promise.all(Array.from({ length: 5 }, () => kept.call("count", []))), [2, 3, 4, 5, 6])
})

inlineTest("a call back into the same plugin takes another instance or is refused as busy", async ({ stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  for (const { instances, expected } of [
    { instances: { reuse: "never" }, expected: 3 },
    { instances: { reuse: "principal", max: 4 }, expected: 3 },
    { instances: { reuse: "principal" }, expected: "STELE-PLG-0004" },
    { instances: { reuse: "never", max: 2 }, expected: "STELE-PLG-0004" },
  ] as const) {
    const answer = (n: number): number => (n === 0 ? 0 : (caller.callSync("acme:caller/api#go", [n - 1]) as number) + 1)
    const caller: Loaded = await host.load(path("caller"), {
      instances,
      imports: { "acme:caller/host": { answer, note: () => undefined, pick: () => undefined } },
    })
    const run = () => caller.callSync("acme:caller/api#go", [3])
    if (typeof expected === "number") assert.equal(run(), expected)
    else await failure(stele, expected, run)
    assert.equal(caller.callSync("acme:caller/api#go", [0]), 0)
    assert.ok(caller.instances <= 4)
    await caller.close()
    assert.equal(caller.instances, 0)
  }
})

inlineTest("instances made ahead, from a snapshot and of a replaced component answer as fresh ones", async ({ stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  for (const metering of ["deadline", "fuel"] as const) {
    const fresh = await host.load(path("basic"), { metering })
    const plugin = await host.load(path("basic"), { metering, prepare: "snapshot", instances: { ready: 2 } })
    const text = "ä".repeat(1_000)
    for (let round = 0; round < 20; round++) {
      if (round % 3 === 0) await new Promise((next) => setTimeout(next, 5))
      if (round === 10) await plugin.replace(path("basic"))
      for (const [name, args] of [
        ["count", []],
        ["echo", [text]],
        ["grow", [round % 3]],
      ] as const) {
        const [expected, actual] = [await fresh.callWithUsage(name, args as never), await plugin.callWithUsage(name, args as never)]
        const same = ({ result, usage }: typeof actual): unknown => ({ result, usage: { ...usage, wallNs: 0 } })
        assert.deepEqual(same(actual), same(expected))
      }
      await failure(stele, "STELE-PLG-0002", () => plugin.call("trap", []))
    }
    assert.equal(plugin.pool.made, plugin.pool.discarded + plugin.pool.live)
    await plugin.close()
    assert.equal(plugin.instances, 0)
  }
})

inlineTest("calls host to guest to host nest sixteen deep, no deeper", async ({ stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const answer = (n: number): number => (n === 0 ? 0 : (caller.callSync("acme:caller/api#go", [n - 1]) as number) + 1)
  const caller: Loaded = await host.load(path("caller"), {
    // An engine may compile all of it in the first call, on a busy machine.
    limits: { deadlineMs: 60_000 },
    imports: { "acme:caller/host": { answer, note: () => undefined, pick: () => undefined } },
  })
  assert.equal(caller.callSync("acme:caller/api#go", [15]), 15)
  assert.equal((await failure(stele, "STELE-LIM-0018", () => caller.callSync("acme:caller/api#go", [16]))).reason["limit"], 16)
  assert.equal(caller.callSync("acme:caller/api#go", [15]), 15)
  const flat = await host.load(path("caller"), {
    limits: { nestingMax: 1 },
    imports: { "acme:caller/host": { answer: (n: number) => flatAnswer(n), note: () => undefined, pick: () => undefined } },
  })
  const flatAnswer = (n: number): number => (n === 0 ? 0 : (flat.callSync("acme:caller/api#go", [n - 1]) as number))
  assert.equal(flat.callSync("acme:caller/api#go", [0]), 0)
  await failure(stele, "STELE-LIM-0018", () => flat.callSync("acme:caller/api#go", [1]))
})

inlineTest("an engine that has no room for a memory is told from one whose stack is exhausted", async ({ stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const basic = await host.load(path("basic"))
  const { Memory } = WebAssembly
  WebAssembly.Memory = class {
    constructor() {
      throw new RangeError("WebAssembly.Memory(): could not allocate memory")
    }
  } as unknown as typeof Memory
  try {
    assert.match(String((await failure(stele, "STELE-PLG-0002", () => basic.call("add", [1, 2]))).reason["trap"]), /refused memory/)
  } finally {
    WebAssembly.Memory = Memory
  }
  assert.equal(await basic.call("add", [1, 2]), 3)
})

test("an export's resource lives across calls in its own instance, and its destructor runs once", async ({ ask, hasInstances, isolation, stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  for (const reuse of ["never", "principal"] as const) {
    const counters = await host.load(path("counters"), { instances: { reuse, max: 3, idle: 3 } })
    const call = (name: string, ...args: ReadonlyArray<unknown>) => ask(counters, `acme:res/counters#${name}`, args as [])
    const a = (await call("[constructor]counter", 10)) as InstanceType<Stele["GuestResource"]>
    assert.ok(a instanceof stele.GuestResource && a.isLive)
    assert.equal(await call("[method]counter.inc", a), 11)
    assert.equal(await call("[method]counter.inc", a), 12)
    await hasInstances(counters, 1)
    // A second one made anew is of another instance: they cannot meet.
    const b = await call("[constructor]counter", 5)
    assert.equal(await call("sum", [a, a]), 24, "a list of borrows finds the instance of its members")
    if (reuse === "principal") assert.equal(await call("sum", [a, b]), 17)
    a[Symbol.dispose]()
    assert.equal(a.isLive, false)
    a[Symbol.dispose]()
    if (reuse === "principal") assert.equal(await call("dropped"), 1)
    await failure(stele, "STELE-WIT-0001", () => call("[method]counter.inc", a))
    assert.equal(await call("take", b), 5, "own moves into the guest")
    await failure(stele, "STELE-WIT-0001", () => call("take", b))
    await hasInstances(counters, reuse === "never" ? 0 : 1)
    if (reuse === "principal") continue
    const [one, two] = [await call("[constructor]counter", 1), await call("[constructor]counter", 2)] as ReadonlyArray<InstanceType<Stele["GuestResource"]>>
    await failure(stele, "STELE-WIT-0001", () => call("sum", [one, two]))
    // Inline the instance of the first had begun to take the list; elsewhere the list never left.
    assert.deepEqual([one?.isLive, two?.isLive], [isolation !== "inline", true])
    for (const counter of [one, two]) counter?.[Symbol.dispose]()
    await hasInstances(counters, 0)
  }
})

test("a resource dies with its instance and with its plugin", async ({ ask, stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const counters = await host.load(path("counters"))
  const other = await host.load(path("counters"))
  const make = async () => (await ask(counters, "acme:res/counters#[constructor]counter", [1])) as InstanceType<Stele["GuestResource"]>
  const stopped = await make()
  await failure(stele, "STELE-LIM-0010", () => ask(counters, "acme:res/counters#stuck", [stopped], { deadlineMs: 5 }))
  assert.equal(stopped.isLive, false)
  await failure(stele, "STELE-WIT-0001", () => ask(counters, "acme:res/counters#[method]counter.inc", [stopped]))
  const foreign = await ask(other, "acme:res/counters#[constructor]counter", [1])
  await failure(stele, "STELE-WIT-0001", () => ask(counters, "acme:res/counters#[method]counter.inc", [foreign]))
  const held = await make()
  assert.equal(counters.instances, 1)
  await counters.close()
  assert.equal(counters.instances, 0)
  assert.equal(held.isLive, false)
  held[Symbol.dispose]()
})

test("`load()` lets the embedder implement an interface, resources included", async ({ ask, stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  let open = 0
  const sent: Array<Cart> = []
  class Cart {
    readonly owner: string
    sum = 0
    disposals = 0
    constructor(owner: string) {
      this.owner = owner
      open++
    }
    add(n: number): number {
      return (this.sum += n)
    }
    static open(): number {
      return open
    }
    [Symbol.dispose](): void {
      this.disposals++
      open--
    }
  }
  const cart = { Cart, total: (one: Cart) => one.sum, send: (one: Cart) => sent.push(one) }
  const shopper = await host.load(path("shopper"), { imports: { "acme:shop/cart": cart } })
  assert.equal(await shopper.call("acme:shop/api#run", [21]), 1_042)
  assert.equal(open, 0, "the guest dropped it")
  assert.equal(await ask(shopper, "acme:shop/api#keep", []), 2)
  assert.equal(open, 1, "what the instance kept is released with it; what it sent is the embedder's")
  assert.deepEqual(
    sent.map(({ owner, disposals }) => [owner, disposals]),
    [["tea", 0]],
  )
  await failure(stele, "STELE-PLG-0002", () => ask(shopper, "acme:shop/api#fail", []))
  assert.equal(open, 1, "also after a trap")
  for (const incomplete of [{}, { Cart }, { Cart: class {}, total: cart.total, send: cart.send }, { Cart: 5, total: cart.total, send: cart.send }]) {
    await failure(stele, "STELE-CFG-0002", () => host.load(path("shopper"), { imports: { "acme:shop/cart": incomplete } }))
  }
})

test("what an embedder's function gets wrong is its own error, and the guest cannot go on", async ({ ask, isolation, stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  let pick: (n: number) => unknown = () => undefined
  const notes: Array<string> = []
  const caller = await host.load(path("caller"), {
    imports: {
      "acme:caller/host@1.2.3": {
        answer: (n: number) => (n === 7 ? Promise.resolve(1) : n),
        note: (line: string) => void notes.push(line),
        pick: (n: number) => pick(n),
      },
    },
  })
  const size = () => ask(caller, "acme:caller/api#size-of", [3])
  pick = () => ({ tag: "ok", val: { name: "tea", size: 12 } })
  assert.equal(await size(), 12)
  pick = () => ({ tag: "err", val: "none left" })
  assert.equal(await size(), 2 ** 32 - 1)
  pick = () => {
    throw new RangeError("no such shelf")
  }
  const thrown = await failure(stele, "STELE-PLG-0009", size)
  assert.equal(thrown.reason["import"], "acme:caller/host@1.2.3#pick")
  assert.match(thrown.message, /no such shelf/)
  for (const wrong of [undefined, { tag: "ok", val: { name: "tea" } }, { tag: "ok", val: { name: "tea", size: -1 } }, { tag: "fine" }, "ok"]) {
    pick = () => wrong
    await assert.rejects(async () => size(), stele.SteleError)
  }
  // Who waits in another thread can wait for an answer that comes later.
  if (isolation === "inline") await failure(stele, "STELE-CAP-0006", () => ask(caller, "acme:caller/api#go", [7]))
  else assert.equal(await ask(caller, "acme:caller/api#go", [7]), 1)
  await ask(caller, "acme:caller/api#say", ["hello"])
  assert.deepEqual(notes, ["hello"])
})

test("host calls while an instance starts count in the call that made it", async ({ ask, stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  let calls = 0
  const imports = { answer: (n: number) => ((calls += n), 42) }
  const starter = await host.load(path("starter"), { metering: "fuel", imports: imports as never })
  const { result, usage } = await starter.callWithUsage("get", [])
  assert.equal(result, 42)
  assert.equal(calls, 1)
  assert.ok((usage.fuel as bigint) >= 500n, `${usage.fuel}`)
  await failure(stele, "STELE-LIM-0009", () => ask(starter, "get", [], { fuel: 400n }))
  assert.equal(calls, 1, "a host call beyond the fuel is not made")
  const limited = await host.load(path("starter"), { limits: { hostCallsMax: 0 }, imports: imports as never })
  await failure(stele, "STELE-LIM-0007", () => ask(limited, "get", []))
  assert.equal(limited.instances, 0)
})

// ── Life cycle ────────────────────────────────────────────────────────────────

test("`close()` ends a plugin and a host, twice is once, and `await using` does it", async ({ ask, stele, path }) => {
  const host = await stele.Host.open({ cache: false })
  let plugin
  {
    await using scoped = await host.load(path("basic"), { instances: { reuse: "principal" } })
    plugin = scoped
    await ask(scoped, "count", [])
    assert.deepEqual(host.plugins, [scoped])
  }
  assert.equal(plugin.isClosed, true)
  assert.equal(plugin.instances, 0)
  assert.deepEqual(host.plugins, [])
  assert.match((await failure(stele, "STELE-PLG-0006", () => plugin.call("count", []))).message, /plugin/)
  await failure(stele, "STELE-PLG-0006", () => ask(plugin, "count", []))
  await plugin.close()
  const second = await host.load(path("basic"))
  const running = second.call("add", [1, 2]).catch((error: Failure) => error.code)
  const loading = failure(stele, "STELE-PLG-0006", () => host.load(path("basic")))
  await host.close()
  await host.close()
  assert.equal(second.isClosed, true)
  assert.equal(await running, "STELE-PLG-0006", "a call begins a turn after it is made")
  await loading
  await failure(stele, "STELE-PLG-0006", () => host.load(path("basic")))
})

test("a plugin that is closed from within its own call ends that call first", async ({ ask, stele, path }) => {
  await using host = await stele.Host.open({ cache: false })
  const closing: Array<Promise<void>> = []
  const caller: Loaded = await host.load(path("caller"), {
    instances: { reuse: "principal" },
    imports: { "acme:caller/host": { answer: (n: number) => (closing.push(caller.close()), n + 1), note: () => undefined, pick: () => undefined } },
  })
  assert.equal(await ask(caller, "acme:caller/api#go", [1]), 2)
  await Promise.all(closing)
  assert.equal(caller.instances, 0)
  await failure(stele, "STELE-PLG-0006", () => ask(caller, "acme:caller/api#go", [1]))
})

test("two hosts do not share plugins, ports or grants", async ({ ask, stele, path }) => {
  await using one = await stele.Host.open({ cache: false })
  await using two = await stele.Host.open({ cache: false })
  await one.ports.keyValue.set(stele.tenantKey("default", "prices/tea"), text("1"))
  const [a, b] = await Promise.all([one, two].map((host) => host.load(path("holder"), { grants: ["log", "kv:read:*"], instances: { reuse: "principal" } })))
  const read = async (plugin: typeof a) => {
    await ask(plugin as Loaded, "acme:holder/api#open", [])
    return ask(plugin as Loaded, "acme:holder/api#read", [])
  }
  assert.deepEqual([await read(a), await read(b)], [101, 0])
  a?.revoke("kv:read:*")
  assert.deepEqual([await ask(a as Loaded, "acme:holder/api#read", []), await ask(b as Loaded, "acme:holder/api#read", [])], [2, 0])
  await one.close()
  assert.equal(await read(b), 0)
})
