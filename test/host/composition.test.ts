/** Plugins linked to plugins: what is granted, compared, passed, bounded and recorded, and what a hostile one of the two can do. */
import t from "tap"
import { GuestResource, Host, type LoadOptions, type Plugin, type UsageRecord } from "../../host/mod.ts"
import { memoryObserver } from "../../host/port/mod.ts"
import { encodeComponent } from "../../schemas/encode/mod.ts"
import type { CompositionError } from "../../schemas/error/composition.ts"
import { parseWit, selectWorld } from "../../schemas/wit/parse/mod.ts"
import { dummyCore } from "../schemas/dummy-core.ts"
import { bumpAllocator, componentOf, wat } from "./component-builder.ts"

const allocator = bumpAllocator().replace('(export "realloc")', '(export "cabi_realloc")')
const observer = memoryObserver({ eventsMax: 100_000 })
const host = await Host.open({ cache: false, ports: { observer } })
t.teardown(() => host.close())
const usages = (): ReadonlyArray<UsageRecord> => observer.drain().flatMap((event) => (event.type === "usage" ? [event.record] : []))

const number = "test:link/api#number"
const all = ["call:test:link/api#*"]
const canSuspend = "Suspending" in WebAssembly

/** Answers `number` by what it is told: 1 traps, 2 never ends, 3 exits as a success, 4 counts, else one more. */
const leafBytes = await componentOf(
  `package test:link;
   interface api { number: func(n: u32) -> u32; }
   world plugin { import wasi:cli/exit@0.2.0; export api; }
   package wasi:cli@0.2.0 { interface exit { exit: func(status: result); } }`,
  `(module (import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32))) (global $count (mut i32) (i32.const 0))
    (func (export "test:link/api#number") (param $n i32) (result i32)
      (if (i32.eq (local.get $n) (i32.const 1)) (then unreachable))
      (if (i32.eq (local.get $n) (i32.const 2)) (then (loop (br 0))))
      (if (i32.eq (local.get $n) (i32.const 3)) (then (call $exit (i32.const 0))))
      (if (i32.eq (local.get $n) (i32.const 4)) (then (global.set $count (i32.add (global.get $count) (i32.const 1))) (return (global.get $count))))
      (i32.add (local.get $n) (i32.const 1))))`,
)
/** Asks the next for `number`, whatever that does, and catches all that can be caught. */
const hopBytes = await componentOf(
  "package test:link; interface api { number: func(n: u32) -> u32; } world plugin { import api; export api; }",
  `(module (import "test:link/api" "number" (func $next (param i32) (result i32)))
    (func (export "test:link/api#number") (param $n i32) (result i32)
      (if (i32.eq (local.get $n) (i32.const 5)) (then (loop (br 0))))
      (block $h (try_table (catch_all $h) (return (call $next (local.get $n))))) (i32.const 99)))`,
)
/** Answers when the application does. */
const waiterBytes = await componentOf(
  "package test:link; interface api { number: func(n: u32) -> u32; } world plugin { import f: func(n: u32) -> u32; export api; }",
  `(module (import "$root" "f" (func $f (param i32) (result i32)))
    (func (export "test:link/api#number") (param i32) (result i32) (call $f (local.get 0))))`,
)

const leaf = (options?: LoadOptions): Promise<Plugin> => host.load(leafBytes, options)
const hop = (next: Plugin, options: LoadOptions = {}): Promise<Plugin> => host.load(hopBytes, { links: { "test:link/api": next }, grants: all, ...options })

const pricesWit = (version: string): string => `package acme:prices@${version};
  interface api {
    record price { sku: string, cents: u64 }
    find: func(sku: string, data: list<u8>) -> result<price, string>;
  }`
const pricesCore = (version: string): string => `(module ${allocator}
  (data (i32.const 64) "no such thing")
  (func (export "acme:prices/api@${version}#find") (param $at i32) (param $n i32) (param $data i32) (param $length i32) (result i32)
    (if (i32.eqz (local.get $n))
      (then (i32.store (i32.const 8) (i32.const 1)) (i32.store (i32.const 16) (i32.const 64)) (i32.store (i32.const 20) (i32.const 13)))
      (else (i32.store (i32.const 8) (i32.const 0)) (i32.store (i32.const 16) (local.get $at)) (i32.store (i32.const 20) (local.get $n))
        (i64.store (i32.const 24) (i64.extend_i32_u (i32.load8_u (local.get $data))))))
    (i32.const 8)))`
const prices = async (version: string): Promise<Uint8Array> => componentOf(`${pricesWit(version)} world plugin { export api; }`, pricesCore(version))
/** Hands on what the price list answers. */
const shop = async (version: string): Promise<Uint8Array> =>
  componentOf(
    `package acme:shop;
     interface api { use acme:prices/api@${version}.{price}; ask: func(sku: string, data: list<u8>) -> result<price, string>; }
     world plugin { import acme:prices/api@${version}; export api; }
     ${pricesWit(version).replace(";", " {")} }`,
    `(module ${allocator} (import "acme:prices/api@${version}" "find" (func $find (param i32 i32 i32 i32 i32)))
      (func (export "acme:shop/api#ask") (param i32 i32 i32 i32) (result i32)
        (call $find (local.get 0) (local.get 1) (local.get 2) (local.get 3) (i32.const 128)) (i32.const 128)))`.replace(
      /^(\(module )([\s\S]*?)(\(import .*\)\)\))\n/,
      "$1$3\n$2\n",
    ),
  )

t.test("`links` serves an import by another plugin of a compatible version, with records, texts, bytes and both cases of a result", async (t) => {
  await using callee = await host.load(await prices("1.3.0"), { tenant: "prices" })
  for (const key of ["acme:prices/api", "acme:prices/api@1.2.0"]) {
    await using caller = await host.load(await shop("1.2.0"), { links: { [key]: callee }, grants: ["call:acme:prices/api#find"] })
    t.same(caller.callSync("acme:shop/api#ask", ["tea", Uint8Array.of(250)]), { sku: "tea", cents: 250n })
    t.same(await caller.call("acme:shop/api#ask", ["mañana 🍵", Uint8Array.of(7)]), { sku: "mañana 🍵", cents: 7n })
    await t.rejects(caller.call("acme:shop/api#ask", ["", new Uint8Array()]), {
      code: "STELE-PLG-0001",
      reason: { export: "acme:shop/api#ask", payload: "no such thing" },
    })
    t.match(caller.describe().imports, [
      { name: "acme:prices/api@1.2.0", functions: ["find"], status: "granted", grant: "call:acme:prices/api#find", plugin: callee.digest },
    ])
    t.equal(caller.describe().mechanisms.wait, "none")
  }
  const records = usages()
  t.equal(records.filter(({ tenant, plugin }) => tenant === "prices" && plugin === callee.digest).length, 6, "the callee's records, of its tenant")
  const own = records.filter(({ tenant }) => tenant === "default")
  t.same(new Set(own.map(({ hostCalls }) => hostCalls["call:acme:prices/api#find"])), new Set([1]))
  t.same(new Set(own.map(({ outcome }) => outcome)), new Set(["ok", "guest"]))
})

t.test("a link whose version, interface, function or type is another is refused, naming the place", async (t) => {
  await using old = await host.load(await prices("2.0.0"))
  const links = { "acme:prices/api": old }
  await t.rejects(host.load(await shop("1.2.0"), { links, grants: ["call:*"] }), {
    code: "STELE-COM-0002",
    message: `Cannot link "acme:prices/api@1.2.0" to plugin "${old.digest}": it exports "acme:prices/api@2.0.0"`,
  })
  const other = async (wit: string, name = "number", params = "(param i32) (result i32)"): Promise<Plugin> =>
    host.load(
      await componentOf(
        `package test:link; interface api { ${wit} } world plugin { export api; }`,
        `(module (func (export "test:link/api#${name}") ${params} unreachable))`,
      ),
    )
  await using signed = await other("number: func(n: s32) -> u32;")
  await t.rejects(hop(signed), { code: "STELE-COM-0003", message: /"number\.param n" is u32, expected s32$/ })
  await using named = await other("another: func(n: u32) -> u32;", "another")
  await t.rejects(hop(named), { code: "STELE-COM-0003", message: /without that function$/ })
  await using plugin = await leaf()
  await t.rejects(leaf({ links: { "test:link/api": plugin } }), { code: "STELE-CFG-0001", message: /links\["test:link\/api"\]/ })
  await t.rejects(hop(plugin, { links: { "test:link/api": plugin, "test:lnk/api": plugin } }), { message: /links\["test:lnk\/api"\]/ })
  await t.rejects(hop(plugin, { imports: { "test:link/api": { number: () => 1 } } }), { message: /imports/ })
  for (const none of [{}, null, 7, Object.create(Object.getPrototypeOf(plugin) as object)])
    await t.rejects(hop(none as Plugin), { _tag: "ConfigError", message: /links\["test:link\/api"\]/ }, String(typeof none))
})

t.test("a link that passes a resource is refused: it lives in one plugin", async (t) => {
  const wit = "package test:link; interface api { resource thing { } make: func() -> thing; }"
  await using owner = await host.load(
    await componentOf(
      `${wit} world plugin { export api; }`,
      `(module (import "[export]test:link/api" "[resource-new]thing" (func $new (param i32) (result i32)))
        (func (export "test:link/api#make") (result i32) (call $new (i32.const 7))))`,
    ),
  )
  const made = await owner.call("test:link/api#make", [])
  t.ok(GuestResource.is(made))
  const taker = await componentOf(
    `${wit} world plugin { import api; export run: func(); }`,
    `(module (import "test:link/api" "make" (func $make (result i32))) (func (export "run") (drop (call $make))))`,
  )
  await t.rejects(host.load(taker, { links: { "test:link/api": owner }, grants: ["call:*"] }), {
    code: "STELE-COM-0004",
    reason: { import: "test:link/api#make", handle: "its result, thing" },
  })
})

/** An interface of WIT with one function, as one component that exports it and one that imports it. */
function pairOf(f: string): readonly [Uint8Array, Uint8Array] {
  const packages = parseWit(`package test:link;
    interface api { resource thing { ${f.includes("thing.") ? f.slice(f.indexOf(".") + 1) : ""} }
      record pair { n: u32, one: thing } variant maybe { one(thing), none } ${f.includes("thing.") ? "" : f} }
    world exports { export api; } world imports { import api; export run: func(); }`)
  return ["exports", "imports"].map((name) => {
    const { world } = selectWorld(packages, name)
    return encodeComponent(world, dummyCore(world))
  }) as unknown as readonly [Uint8Array, Uint8Array]
}

/** The same of a function in the text format. */
async function asyncPairOf(type: string, isResult: boolean): Promise<readonly [Uint8Array, Uint8Array]> {
  const f = isResult ? `(result ${type})` : `(param "x" ${type})`
  const [flat, options] = [type.startsWith("(list") ? "i32 i32" : type.startsWith("(option") ? "i32 i32" : "i32", '(memory (core memory $i "m"))']
  const core = isResult ? "(result i32)" : `(param ${flat})`
  const allocator = '(func (export "r") (param i32 i32 i32 i32) (result i32) unreachable)'
  return Promise.all([
    wat(`(component
      (core module $m (memory (export "m") 1) ${allocator} (func (export "f") ${core} unreachable))
      (core instance $i (instantiate $m))
      (func $f ${f} (canon lift (core func $i "f") ${options} (realloc (core func $i "r"))))
      (instance $api (export "f" (func $f))) (export "test:link/api" (instance $api)))`),
    wat(`(component
      (import "test:link/api" (instance $api (export "f" (func ${f}))))
      (core module $M (memory (export "m") 1) ${allocator}) (core instance $i (instantiate $M))
      (core func $f (canon lower (func $api "f") ${options} (realloc (core func $i "r"))))
      (core module $m (import "a" "f" (func ${isResult && flat !== "i32" ? "(param i32)" : core})) (func (export "run")))
      (core instance $c (instantiate $m (with "a" (instance (export "f" (func $f))))))
      (func (export "run") (canon lift (core func $c "run"))))`),
  ])
}

t.test("whatever lives in one plugin is refused in each direction and in each type that can hold it, with its place", async (t) => {
  const table: ReadonlyArray<readonly [string, string, () => Promise<readonly [Uint8Array, Uint8Array]> | readonly [Uint8Array, Uint8Array]]> = [
    ...[
      ["f: func() -> thing;", "its result, thing"],
      ["f: func(n: u32, x: thing);", 'parameter "x", thing'],
      ["f: func(x: borrow<thing>);", 'parameter "x", borrow<thing>'],
      ["f: func() -> list<thing>;", "its result, list<thing>"],
      ["f: func(x: list<borrow<thing>>);", 'parameter "x", list<borrow<thing>>'],
      ["f: func(x: option<thing>);", 'parameter "x", option<thing>'],
      ["f: func() -> result<thing, string>;", "its result, result<thing, string>"],
      ["f: func() -> result<string, thing>;", "its result, result<string, thing>"],
      ["f: func() -> tuple<u32, thing>;", "its result, tuple<u32, thing>"],
      ["f: func(x: pair);", 'parameter "x", pair'],
      ["f: func() -> maybe;", "its result, maybe"],
      ["thing.f: func();", 'parameter "self", borrow<thing>'],
      ["thing.constructor(n: u32);", "its result, thing"],
      ["thing.f: static func(x: thing);", 'parameter "x", thing'],
    ].map(([f = "", handle = ""]) => [f, handle, () => pairOf(f)] as const),
    ...["(stream u8)", "(stream)", "(future u32)", "(future)", "(list (stream u8))", "(option (future u32))", "error-context"].flatMap((type) =>
      [false, true].map(
        (isResult) => [`${type} ${isResult ? "out" : "in"}`, isResult ? "its result, " : 'parameter "x", ', () => asyncPairOf(type, isResult)] as const,
      ),
    ),
  ]
  for (const [name, handle, build] of table) {
    const [exporter, importer] = await build()
    await using owner = await host.load(exporter)
    const error = (await host
      .load(importer, { links: { "test:link/api": owner }, grants: ["call:*"] })
      .catch((error: unknown) => error)) as CompositionError & {
      readonly reason: { readonly handle: string }
    }
    t.match(error, { code: "STELE-COM-0004", reason: { import: /^test:link\/api#(f|\[(method|static|constructor)\]thing(\.f)?)$/ }, fix: /pass values/ }, name)
    t.ok(error.reason.handle.startsWith(handle), `${name}: ${error.reason.handle}`)
    t.match(error.message, error.reason.handle)
  }
})

t.test("without its grant a link is refused at load, and denied at the next call once it is revoked", async (t) => {
  await using end = await leaf()
  await t.rejects(hop(end, { grants: ["call:test:link/api#numb", "call:test:link/ap", "log"] }), {
    code: "STELE-CAP-0003",
    reason: { needed: ["call:test:link/api#number"] },
  })
  await using caller = await hop(end)
  t.equal(caller.callSync(number, [10]), 11)
  t.equal(caller.revoke("call:test:link/api#number"), true)
  t.throws(() => caller.callSync(number, [10]), { code: "STELE-CAP-0004", reason: { grant: "call:test:link/api#number" } })
  t.equal(caller.describe().imports[0]?.status, "missing")
  caller.grant("call:test:link/api#number")
  t.equal(caller.callSync(number, [10]), 11)
  await using trapping = await hop(end, { grants: [], missing: "trap" })
  t.equal(trapping.describe().imports[0]?.status, "missing")
  t.throws(() => trapping.callSync(number, [10]), { code: "STELE-CAP-0004", fix: /call:test:link\/api#number/ })
  trapping.grant("call:test:link/api#*")
  t.equal(trapping.callSync(number, [10]), 11)
})

t.test("what ends the callee ends its caller with what it was, whatever the caller catches; both serve on", async (t) => {
  await using end = await leaf({ limits: { deadlineMs: 60 } })
  await using caller = await hop(end)
  for (const [asked, calleeCode] of [
    [1, "STELE-PLG-0002"],
    [2, "STELE-LIM-0010"],
    [3, "STELE-PLG-0012"],
  ] as const) {
    observer.drain()
    const error = (await caller.call(number, [asked]).catch((error: unknown) => error)) as {
      code: string
      reason: { calleeCode: string }
      cause: { code: string }
    }
    t.match(error, { code: "STELE-COM-0005", reason: { _tag: "Callee", import: number, plugin: end.digest, calleeCode } })
    t.equal(error.cause.code, calleeCode)
    t.same(
      usages().map(({ plugin, outcome }) => [plugin === end.digest ? "callee" : "caller", outcome]),
      [
        ["callee", calleeCode === "STELE-PLG-0012" ? "STELE-PLG-0012" : calleeCode],
        ["caller", "STELE-COM-0005"],
      ],
    )
    t.equal(caller.callSync(number, [10]), 11)
  }
  t.equal(caller.instances + end.instances, 0)
})

t.test("the caller's deadline holds inside the callee, and is the caller's failure", async (t) => {
  await using end = await leaf()
  await using middle = await hop(end)
  await using caller = await hop(middle)
  for (const asked of [2, 5]) {
    const startedMs = performance.now()
    t.throws(() => caller.callSync(number, [asked], { deadlineMs: 50 }), { code: "STELE-LIM-0010", reason: { limit: 50 } })
    t.ok(performance.now() - startedMs < 1_500)
    t.equal(caller.callSync(number, [10]), 11)
  }
  await using unmetered = await hop(end, { metering: "off" })
  await using short = await leaf({ limits: { deadlineMs: 50 } })
  await using impatient = await hop(short, { metering: "off" })
  t.equal(unmetered.callSync(number, [10]), 11)
  t.throws(() => impatient.callSync(number, [2]), { code: "STELE-COM-0005", reason: { calleeCode: "STELE-LIM-0010" } })
})

t.test("each plugin has fuel and memory of its own", async (t) => {
  await using poor = await leaf({ metering: "fuel", limits: { fuel: 1_000 } })
  await using rich = await hop(poor, { metering: "fuel", limits: { fuel: 1_000_000 } })
  const { result, usage } = await rich.callWithUsage(number, [10])
  t.equal(result, 11)
  t.ok((usage.fuel ?? 0n) > 0n && (usage.fuel ?? 0n) < 1_000_000n)
  await t.rejects(rich.call(number, [2]), { code: "STELE-COM-0005", cause: { code: "STELE-LIM-0009" } })
})

t.test("calls through plugins are as deep as calls between host and guest may be", async (t) => {
  const plugins = [await leaf()]
  for (let i = 0; i < 20; i++) plugins.push(await hop(plugins.at(-1) as Plugin))
  t.equal((plugins[15] as Plugin).callSync(number, [10]), 11, "16 deep")
  t.throws(() => (plugins[16] as Plugin).callSync(number, [10]), { code: "STELE-COM-0005", reason: { calleeCode: "STELE-LIM-0018" } })
  await t.rejects((plugins[20] as Plugin).call(number, [10]), { code: "STELE-COM-0005" })
  t.throws(() => (plugins[15] as Plugin).callSync(number, [1]), { code: "STELE-COM-0005", reason: { calleeCode: "STELE-PLG-0002" } })
  for (const plugin of plugins) await plugin.close()
})

t.test("a circle of links is refused, naming the way, and the old component serves on", async (t) => {
  await using a = await leaf()
  await using b = await hop(a)
  await using c = await hop(b)
  const way = (n: number): ReadonlyArray<string> => Array.from({ length: n }, () => "test:link/api")
  for (const [closing, length] of [
    [a, 1],
    [b, 2],
    [c, 3],
  ] as const)
    await t.rejects(a.replace(hopBytes, { links: { "test:link/api": closing }, grants: all }), { code: "STELE-COM-0001", reason: { way: way(length) } })
  t.equal(c.callSync(number, [10]), 11)
  // Two at a time: whichever is second finds the first in place.
  await using x = await leaf()
  await using y = await leaf()
  const both = await Promise.allSettled([
    x.replace(hopBytes, { links: { "test:link/api": y }, grants: all }),
    y.replace(hopBytes, { links: { "test:link/api": x }, grants: all }),
  ])
  t.same(both.map(({ status }) => status).toSorted(), ["fulfilled", "rejected"])
  t.equal(x.callSync(number, [10]), 11)
  t.equal(y.callSync(number, [10]), 11)
  // Linked to something that does not lead back, it is none.
  await using other = await leaf()
  await a.replace(hopBytes, { links: { "test:link/api": other }, grants: all })
  t.equal(c.callSync(number, [10]), 11)
})

t.test("a callee may be replaced and closed while its callers go on", async (t) => {
  await using kept = await leaf({ instances: { reuse: "principal" } })
  await using caller = await hop(kept)
  t.equal(caller.callSync(number, [4]), 1)
  t.equal(caller.callSync(number, [4]), 2, "its kept instance keeps its state")
  await kept.replace(leafBytes)
  t.equal(caller.callSync(number, [4]), 1, "the new component's")
  const other = await componentOf(
    "package test:link; interface api { number: func(n: u64) -> u32; } world plugin { export api; }",
    `(module (func (export "test:link/api#number") (param i64) (result i32) (i32.const 1)))`,
  )
  // Another that is linked, and was not called since: its function is in use all the same.
  await using fresh = await leaf()
  await using idle = await hop(fresh)
  await t.rejects(fresh.replace(other), { code: "STELE-POL-0003" })
  t.equal(idle.callSync(number, [10]), 11)
  await kept.replace(other, { exports: "any" })
  t.throws(() => caller.callSync(number, [10]), { code: "STELE-COM-0003", reason: { plugin: kept.digest } })
  await kept.replace(leafBytes, { exports: "any" })
  t.equal(caller.callSync(number, [10]), 11)
  await kept.close()
  t.throws(() => caller.callSync(number, [10]), { code: "STELE-COM-0005", reason: { calleeCode: "STELE-PLG-0006" } })
  await t.rejects(hop(kept), { code: "STELE-PLG-0006" })
})

t.test(
  "a callee that waits makes its caller wait, each under its own deadline, signal and instances",
  { skip: canSuspend ? false : "this engine cannot suspend" },
  async (t) => {
    const waits: Array<{ readonly n: number; readonly answer: (n: number) => void }> = []
    const f = async (n: number): Promise<number> => new Promise((answer) => waits.push({ n, answer }))
    /** Until the application was asked. */
    const settled = async (): Promise<void> => {
      for (let i = 0; waits.length === 0 && i < 400; i++) await new Promise((done) => setTimeout(done, 2))
    }
    await using end = await host.load(waiterBytes, { imports: { f: f as never }, instances: { reuse: "principal", max: 1, queue: 1 } })
    await using middle = await hop(end)
    await using caller = await hop(middle)
    t.equal(caller.describe().mechanisms.wait, "suspension")
    t.throws(() => caller.callSync(number, [1]), { code: "STELE-COM-0005" }, "nothing may wait")
    waits.length = 0
    observer.drain()
    const first = caller.call(number, [1])
    const second = caller.call(number, [2])
    await settled()
    t.same(
      waits.map(({ n }) => n),
      [1],
      "the second waits for the one instance",
    )
    await t.rejects(caller.call(number, [3]), { code: "STELE-COM-0006", isRetryable: true, reason: { calleeCode: "STELE-POL-0001" } })
    waits.shift()?.answer(10)
    t.equal(await first, 10)
    await settled()
    waits.shift()?.answer(20)
    t.equal(await second, 20)
    // Over at the caller, it is over at the callee.
    await t.rejects(caller.call(number, [4], { deadlineMs: 30 }), { code: "STELE-LIM-0010", reason: { limit: 30 } })
    waits.length = 0
    const abort = new AbortController()
    const aborted = caller.call(number, [7], { signal: abort.signal })
    await settled()
    abort.abort()
    await t.rejects(aborted, { code: "STELE-PLG-0005" })
    waits.length = 0
    const last = caller.call(number, [6])
    await settled()
    waits.shift()?.answer(60)
    t.equal(await last, 60)
    const outcomes = usages().flatMap(({ plugin, outcome }) => (plugin === end.digest ? [outcome] : []))
    // Of a deadline that both have, the caller's end may be heard of first.
    t.match(outcomes.join(" "), /^STELE-POL-0001 ok ok STELE-(LIM-0010|PLG-0005) STELE-PLG-0005 ok$/, "the callee's records")
  },
)

t.test("one tenant's callers do not fill a callee's queue for another's", { skip: canSuspend ? false : "this engine cannot suspend" }, async (t) => {
  const answers: Array<(n: number) => void> = []
  const f = async (): Promise<number> => new Promise((answer) => answers.push(answer))
  await using end = await host.load(waiterBytes, { imports: { f: f as never }, instances: { reuse: "principal", max: 1, queue: 1 } })
  await using greedy = await hop(end, { tenant: "greedy" })
  await using patient = await hop(end, { tenant: "patient" })
  const calls = [greedy.call(number, [1]), greedy.call(number, [2])]
  for (let i = 0; answers.length === 0 && i < 400; i++) await new Promise((done) => setTimeout(done, 2))
  await t.rejects(greedy.call(number, [3]), { code: "STELE-COM-0006", reason: { calleeCode: "STELE-POL-0001" } })
  calls.push(patient.call(number, [4]))
  const all = Promise.all(calls)
  const answering = setInterval(() => answers.shift()?.(7), 1)
  t.same(await all, [7, 7, 7])
  clearInterval(answering)
})

t.test("callers and callees in a worker or a process are linked as any, and waited for", async (t) => {
  for (const isolation of ["worker", "process"] as const) {
    await using inside = await leaf({ isolation, limits: { deadlineMs: 10_000 } })
    if (canSuspend) {
      await using caller = await hop(inside)
      t.equal(await caller.call(number, [10]), 11, `inline calls ${isolation}`)
      t.throws(() => caller.callSync(number, [10]), { code: "STELE-COM-0005", reason: { calleeCode: "STELE-ISO-0004" } })
      await t.rejects(caller.call(number, [1]), { code: "STELE-COM-0005", reason: { calleeCode: "STELE-PLG-0002" } })
      await t.rejects(caller.call(number, [2], { deadlineMs: 200 }), { code: "STELE-LIM-0010" })
    } else await t.rejects(hop(inside), { code: "STELE-CAP-0006" })
    await using near = await leaf()
    await using isolated = await hop(near, { isolation, limits: { deadlineMs: 10_000 } })
    t.equal(await isolated.call(number, [10]), 11, `${isolation} calls inline`)
    await t.rejects(isolated.call(number, [1]), { code: "STELE-COM-0005", reason: { calleeCode: "STELE-PLG-0002" } })
    await t.rejects(isolated.call(number, [2], { deadlineMs: 200 }), { code: "STELE-LIM-0010" })
    await using both = await hop(inside, { isolation, limits: { deadlineMs: 10_000 } })
    t.equal(await both.call(number, [10]), 11, `${isolation} calls ${isolation}`)
    t.ok(both.revoke("call:test:link/api#*"))
    await t.rejects(both.call(number, [10]), { code: "STELE-CAP-0004" })
  }
})
