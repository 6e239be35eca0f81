/** Instances that start from a snapshot: nobody may be able to tell them from fresh ones, by results, errors, fuel or memory. */
import { existsSync, readFileSync } from "node:fs"
import t from "tap"
import { Host, type LoadOptions, type Plugin, type SteleError } from "../../host/mod.ts"
import { runsOf } from "../../host/pool/snapshot-module.ts"
import { snapshotBytesMax } from "../../host/pool/snapshot.ts"
import { memoryObserver } from "../../host/port/mod.ts"
import { componentOf, guest, wat } from "./component-builder.ts"
import { isFull, seed } from "../seed.ts"

t.setTimeout(120_000)
const observer = memoryObserver()
const host = await Host.open({ cache: false, ports: { observer } })
t.teardown(() => host.close())

const tiers = ["deadline", "fuel", "off"] as const

/** The outcome of a call and all of its usage record but the time. */
async function outcome(plugin: Plugin, name: string, args: ReadonlyArray<unknown>, options: object) {
  observer.drain()
  const answered = await plugin.callWithUsage(name, args as never, options).then(
    ({ result }) => ({ result }),
    (error: SteleError) => ({ code: error.code, message: error.message }),
  )
  return { answered, usage: observer.drain().flatMap((event) => (event.type === "usage" ? [{ ...event.record, wallNs: 0 }] : [])) }
}

function randomness(seed: number): (below: number) => number {
  let state = seed
  return (below) => ((state = (state * 1_103_515_245 + 12_345) & 0x7fff_ffff) >> 8) % below
}

/** Memory, globals of every type, a table, data of both kinds, growth: all made or changed by a start function. */
const various = `(module
  (memory (export "mem") 1 40)
  (table 4 funcref) (elem (i32.const 1) $double $square) (elem $spare func $double)
  (type $unary (func (param i32) (result i32)))
  (global $a (mut i32) (i32.const -5)) (global $b (mut i64) (i64.const 1)) (global $c (mut f32) (f32.const 0)) (global $d (mut f64) (f64.const 0))
  (global $fixed i32 (i32.const 77)) (global $none (mut funcref) (ref.null func))
  (data (i32.const 100) "active") (data $passive "passive bytes")
  (func $double (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func $square (param i32) (result i32) (i32.mul (local.get 0) (local.get 0)))
  (func $init (local $i i32)
    (drop (memory.grow (i32.const 2)))
    (memory.init $passive (i32.const 200) (i32.const 0) (i32.const 7))
    (loop $next
      (i32.store (i32.add (i32.const 70000) (i32.mul (local.get $i) (i32.const 1000))) (i32.mul (local.get $i) (local.get $i)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 100))))
    (i32.store8 (i32.const 100) (i32.const 65))
    (global.set $a (i32.const -2147483648)) (global.set $b (i64.const -9223372036854775808))
    (global.set $c (f32.const -0)) (global.set $d (f64.const 1e-310)))
  (start $init)
  (func (export "hash") (param $from i32) (param $to i32) (result i32) (local $h i32)
    (block $end (loop $next
      (br_if $end (i32.ge_u (local.get $from) (local.get $to)))
      (local.set $h (i32.add (i32.mul (local.get $h) (i32.const 31)) (i32.load8_u (local.get $from))))
      (local.set $from (i32.add (local.get $from) (i32.const 1))) (br $next)))
    (local.get $h))
  (func (export "store") (param $at i32) (param i32) (i32.store (local.get $at) (local.get 1)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "size") (result i32) (memory.size))
  (func (export "a") (result i32) (global.set $a (i32.add (global.get $a) (global.get $fixed))) (global.get $a))
  (func (export "b") (result i64) (global.set $b (i64.add (global.get $b) (i64.const 3))) (global.get $b))
  (func (export "c") (result i32) (i32.reinterpret_f32 (global.get $c)))
  (func (export "d") (result i64) (i64.reinterpret_f64 (global.get $d)))
  (func (export "indirect") (param i32 i32) (result i32) (call_indirect (type $unary) (local.get 1) (local.get 0)))
  (func (export "again") (param i32) (memory.init $passive (i32.const 300) (i32.const 0) (local.get 0)))
  (func (export "null") (result i32) (ref.is_null (global.get $none)))
  (func (export "trap") unreachable))`

for (const metering of tiers)
  for (const reuse of ["never", "principal"] as const) {
    t.test(`results, errors and usage are those of fresh instances over random calls (${metering}, reuse: ${reuse})`, async (t) => {
      const bytes = await wat(various)
      const options = { metering, instances: { reuse }, limits: { fuel: 200_000 } } as const
      await using fresh = await host.load(bytes, options)
      await using started = await host.load(bytes, { ...options, prepare: "snapshot" })
      t.match(started.describe().mechanisms, { prepare: "snapshot" })
      t.match(fresh.describe().mechanisms, { prepare: "fresh" })
      const next = randomness(seed)
      const calls: ReadonlyArray<() => readonly [string, ReadonlyArray<number>]> = [
        () => ["hash", [next(70_000), 0]],
        () => ["hash", [next(200_000), 0]],
        () => ["store", [next(250_000), next(1 << 30)]],
        () => ["grow", [next(4)]],
        () => ["size", []],
        () => ["a", []],
        () => ["b", []],
        () => ["c", []],
        () => ["d", []],
        () => ["indirect", [next(6), next(100)]],
        () => ["again", [next(20)]],
        () => ["null", []],
        () => ["trap", []],
      ]
      for (let i = 0; i < (isFull ? 2_000 : 150); i++) {
        const [name, args] = (calls[next(calls.length)] as (typeof calls)[number])()
        const given = name === "hash" ? [args[0] as number, (args[0] as number) + next(2_000)] : args
        t.same(await outcome(started, name, given, {}), await outcome(fresh, name, given, {}), `${name}(${given.join()})`)
      }
    })
  }

t.test("fuel runs out at the same place, also where initialisation alone takes more", async (t) => {
  const bytes = await wat(various)
  await using fresh = await host.load(bytes, { metering: "fuel" })
  await using started = await host.load(bytes, { metering: "fuel", prepare: "snapshot" })
  const { usage } = await fresh.callWithUsage("hash", [0, 500])
  const all = Number(usage.fuel)
  for (let fuel = 0; fuel <= all + 3; fuel += fuel > all - 40 ? 1 : 97) {
    const options = { fuel: BigInt(fuel) }
    const expected = await outcome(fresh, "hash", [0, 500], options)
    const actual = await outcome(started, "hash", [0, 500], options)
    t.same(actual.answered, expected.answered, `with ${fuel}`)
    t.equal(actual.usage[0]?.fuel, expected.usage[0]?.fuel)
  }
  t.match((await outcome(started, "hash", [0, 500], { fuel: BigInt(all) })).answered, { result: 0 + ((await fresh.call("hash", [0, 500])) as number) })
})

t.test("initialisation runs once for all instances, and under the plugin's limits", async (t) => {
  const endless = await wat(`(module (func $spin (loop (br 0))) (start $spin) (func (export "a") (result i32) (i32.const 1)))`)
  await t.rejects(host.load(endless, { prepare: "snapshot", limits: { deadlineMs: 30 } }), { code: "STELE-LIM-0010" })
  await t.rejects(host.load(endless, { prepare: "snapshot", metering: "fuel", limits: { fuel: 1_000 } }), { code: "STELE-LIM-0009" })
  const failing = await wat(`(module (func $fail unreachable) (start $fail) (func (export "a") (result i32) (i32.const 1)))`)
  await t.rejects(host.load(failing, { prepare: "snapshot" }), { code: "STELE-PLG-0002" })
  // 10 ms of it: a hundred instances would take a second.
  const slow = await wat(`(module (global $g (mut i32) (i32.const 0))
    (func (export "_initialize") (local $i i32)
      (loop $next (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $next (i32.lt_u (local.get $i) (i32.const 10000000)))) (global.set $g (local.get $i)))
    (func (export "a") (result i32) (global.get $g)))`)
  await using plugin = await host.load(slow, { prepare: "snapshot", limits: { deadlineMs: 20_000 } })
  const { made } = plugin.pool
  for (let i = 0; i < 100; i++) t.equal(plugin.callSync("a", [], { deadlineMs: 1_000 }), 10_000_000)
  t.equal(plugin.pool.made, made + 100)
})

t.test("modules of a component that share memory and tables start together", async (t) => {
  // The library's memory and table are filled by the module that imports them, and a third fills the table with what the second exports.
  const bytes = await wat(`(component
    (core module $lib (memory (export "memory") 1) (table (export "table") 3 funcref) (global (export "at") (mut i32) (i32.const 8)))
    (core module $main
      (import "lib" "memory" (memory 1)) (import "lib" "table" (table 3 funcref)) (import "lib" "at" (global $at (mut i32)))
      (type $f (func (result i32))) (data (i32.const 16) "\\07") (elem (i32.const 0) $seven)
      (func $seven (result i32) (i32.load8_u (i32.const 16)))
      (func $init (global.set $at (i32.const 16)) (i32.store8 (i32.const 16) (i32.const 9)) (i32.store (i32.const 60000) (i32.const 5)))
      (start $init)
      (func (export "run") (param i32) (result i32) (i32.add (i32.mul (global.get $at) (i32.const 1000)) (i32.add (call_indirect (type $f) (local.get 0)) (i32.load (i32.const 60000)))))
      (func (export "bump") (global.set $at (i32.add (global.get $at) (i32.const 1)))))
    (core module $fix (import "lib" "table" (table 3 funcref)) (import "main" "bump" (func $bump)) (func $two (result i32) (call $bump) (i32.const 2)) (elem (i32.const 1) $two))
    (core instance $l (instantiate $lib))
    (core instance $m (instantiate $main (with "lib" (instance $l))))
    (core instance $x (instantiate $fix (with "lib" (instance $l)) (with "main" (instance $m))))
    (func (export "run") (param "n" u32) (result u32) (canon lift (core func $m "run"))))`)
  for (const metering of tiers) {
    await using fresh = await host.load(bytes, { metering, instances: { reuse: "principal" } })
    await using started = await host.load(bytes, { metering, prepare: "snapshot", instances: { reuse: "principal" } })
    for (const n of [0, 1, 0, 1, 2, 0]) t.same(await outcome(started, "run", [n], {}), await outcome(fresh, "run", [n], {}), `${metering}: ${n}`)
    t.equal(started.callSync("run", [0]), 16_014)
  }
})

// ── What cannot be ──────────────────────────────────────────────────────────

const refusals: ReadonlyArray<readonly [what: string, fields: string, detail: RegExp]> = [
  ["sets a table's element", `(table 1 funcref) (func (export "f") (table.set (i32.const 0) (ref.null func)))`, /changes a table/],
  ["grows a table", `(table 1 9 externref) (func (export "f") (drop (table.grow (ref.null extern) (i32.const 1))))`, /grows a table/],
  ["fills a table", `(table 1 funcref) (func (export "f") (table.fill (i32.const 0) (ref.null func) (i32.const 1)))`, /changes a table/],
  ["copies a table", `(table 1 funcref) (func (export "f") (table.copy (i32.const 0) (i32.const 0) (i32.const 1)))`, /changes a table/],
  [
    "places a segment",
    `(table 1 funcref) (elem $e func $g) (func $g) (func (export "f") (table.init $e (i32.const 0) (i32.const 0) (i32.const 1)))`,
    /changes a table/,
  ],
  ["drops element segments", `(elem $e func $g) (func $g) (func (export "f") (elem.drop $e))`, /drops element segments/],
  ["drops data segments", `(memory 1) (data $d "x") (func (export "f") (data.drop $d))`, /drops data segments/],
  ["keeps a vector", `(global $v (mut v128) (v128.const i64x2 0 0)) (func (export "f") (drop (global.get $v)))`, /mutable v128 global/],
  ["keeps a reference", `(global $r (mut funcref) (ref.func $g)) (func $g) (func (export "f") (global.set $r (ref.null func)))`, /holds a reference/],
  ["keeps a NaN", `(global $n (mut f64) (f64.const nan:0x8000000000123)) (func (export "f") (drop (global.get $n)))`, /holds a NaN/],
]
for (const [what, fields, detail] of refusals) {
  t.test(`a module that ${what} is refused by name`, async (t) => {
    const bytes = await wat(`(module ${fields})`)
    await t.rejects(host.load(bytes, { prepare: "snapshot" }), { code: "STELE-POL-0004", message: detail, status: 422 })
    await using plugin = await host.load(bytes)
    t.equal(plugin.isClosed, false, "fresh it is loaded")
  })
}

for (const isolation of ["worker", "process"] as const)
  t.test(`in a ${isolation} the snapshot is taken there: results, fuel and refusals are those of inline`, async (t) => {
    const bytes = await wat(various)
    const options = { metering: "fuel", limits: { fuel: 200_000 }, prepare: "snapshot" } as const
    await using inline = await host.load(bytes, options)
    await using there = await host.load(bytes, { ...options, isolation })
    t.match(there.describe().mechanisms, { isolation, prepare: "snapshot" })
    for (const [name, args] of [
      ["hash", [0, 500]],
      ["a", []],
      ["a", []],
      ["b", []],
      ["store", [100_000, 7]],
      ["hash", [99_000, 101_000]],
      ["trap", []],
      ["size", []],
    ] as const)
      t.same(await outcome(there, name, args, {}), await outcome(inline, name, args, {}), name)
    const refused = refusals[0] as (typeof refusals)[number]
    await t.rejects(host.load(await wat(`(module ${refused[1]})`), { isolation, prepare: "snapshot" }), {
      code: "STELE-POL-0004",
      message: refused[2],
      status: 422,
    })
    const endless = await wat(`(module (func $spin (loop (br 0))) (start $spin) (func (export "a") (result i32) (i32.const 1)))`)
    await t.rejects(host.load(endless, { isolation, prepare: "snapshot", limits: { deadlineMs: 30 } }), { code: "STELE-LIM-0010" })
  })

t.test("initialisation that asks the host is refused by the name of what it asks, and nothing is asked", async (t) => {
  let asked = 0
  const bytes = await guest({
    core: `(import "host" "ask" (func $ask (result i32))) (global $g (mut i32) (i32.const 0)) (func $init (global.set $g (call $ask))) (start $init)
      (func (export "f") (result i32) (global.get $g))`,
    imports: { ask: "(result u32)" },
    exports: { f: "(result u32)" },
  })
  const imports = { ask: (() => ++asked) as never }
  await t.rejects(host.load(bytes, { prepare: "snapshot", imports }), { code: "STELE-POL-0004", message: /initialisation calls "ask"/ })
  const raw = await wat(`(module (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
    (func (export "_initialize") (drop (call $yield))) (func (export "f") (result i32) (i32.const 1)))`)
  await t.rejects(host.load(raw, { prepare: "snapshot" }), { code: "STELE-POL-0004", message: /initialisation calls "wasi_snapshot_preview1#sched_yield"/ })
  t.equal(asked, 0)
  await using fresh = await host.load(bytes, { imports })
  t.equal(fresh.callSync("f", []), 1)
})

t.test("initialisation that makes a resource handle is refused", async (t) => {
  const bytes = await componentOf(
    `package test:made; interface api { resource thing { constructor(); } } world w { export api; }`,
    `(module (import "[export]test:made/api" "[resource-new]thing" (func $new (param i32) (result i32)))
      (func $init (drop (call $new (i32.const 1)))) (start $init)
      (func (export "test:made/api#[constructor]thing") (result i32) (call $new (i32.const 8))))`,
  )
  await t.rejects(host.load(bytes, { prepare: "snapshot" }), { code: "STELE-POL-0004", message: /resource handles/ })
})

t.test("a memory that holds more than a snapshot may is refused, and zeros count for nothing", async (t) => {
  const filled = (bytes: number) =>
    wat(
      `(module (memory 1200) (func $init (memory.fill (i32.const 0) (i32.const 1) (i32.const ${bytes}))) (start $init) (func (export "f") (result i32) (memory.size)))`,
    )
  const options: LoadOptions = { prepare: "snapshot", limits: { memoryBytesMax: 1_200 * 65_536 } }
  await t.rejects(host.load(await filled(snapshotBytesMax + 8), options), {
    code: "STELE-POL-0004",
    message: new RegExp(`more than ${snapshotBytesMax} bytes`),
  })
  await using plugin = await host.load(await filled(1_000), options)
  t.equal(plugin.callSync("f", []), 1_200)
})

t.test("`runsOf()` finds every byte that is not zero when it lies at a border", (t) => {
  const memory = new Uint8Array(65_536)
  for (const at of [0, 7, 8, 300, 1_000, 1_256, 1_270, 65_535]) memory[at] = at % 255 || 1
  const again = new Uint8Array(65_536)
  const runs = runsOf(memory)
  for (const { at, bytes } of runs) again.set(bytes, at)
  t.same(again, memory)
  t.ok(runs.length > 2 && runs.length < 8)
  t.same(runsOf(new Uint8Array(65_536)), [])
  t.end()
})

// ── Sharing ─────────────────────────────────────────────────────────────────

t.test("tenants share a snapshot, and none sees what another's instance did", async (t) => {
  const bytes = await wat(various)
  const options = { prepare: "snapshot", instances: { reuse: "principal" } } as const
  await using a = await host.load(bytes, { ...options, tenant: "a" })
  await using b = await host.load(bytes, { ...options, tenant: "b" })
  const first = a.callSync("a", [])
  a.callSync("store", [16, 12345])
  a.callSync("a", [])
  t.equal(b.callSync("a", []), first)
  t.equal(b.callSync("hash", [0, 32]), 0)
})

t.test("a snapshot is replaced with its plugin, and instances made ahead start from one", async (t) => {
  const version = (n: number) =>
    wat(
      `(module (global $g (mut i32) (i32.const 0)) (func (export "_initialize") (global.set $g (i32.const ${n}))) (func (export "v") (result i32) (global.get $g)))`,
    )
  await using plugin = await host.load(await version(1), { prepare: "snapshot", instances: { ready: 2 } })
  t.equal(plugin.callSync("v", []), 1)
  await plugin.replace(await version(2))
  t.equal(plugin.describe().mechanisms.prepare, "snapshot")
  for (let turn = 0; turn < 500 && plugin.pool.ready < 2; turn++) await new Promise((next) => setTimeout(next, 1))
  t.equal(plugin.callSync("v", []), 2)
})

const canSuspend = "Suspending" in WebAssembly
t.test("guests that wait start from a snapshot and ahead as well", { skip: canSuspend ? false : "this engine suspends no guest" }, async (t) => {
  const bytes = await guest({
    core: `(import "host" "ask" (func $ask (param i32) (result i32))) (memory 1) (global $g (mut i32) (i32.const 0))
      (func $init (global.set $g (i32.const 40)) (i32.store (i32.const 64) (i32.const 2))) (start $init)
      (func (export "f") (param i32) (result i32) (global.set $g (i32.add (global.get $g) (i32.const 1)))
        (i32.add (call $ask (local.get 0)) (i32.add (global.get $g) (i32.load (i32.const 64)))))`,
    imports: { ask: `(param "n" u32) (result u32)` },
    exports: { f: `(param "n" u32) (result u32)` },
  })
  const imports = { ask: (async (n: number) => n * 100) as never }
  for (const metering of ["deadline", "fuel", "yield"] as const) {
    await using fresh = await host.load(bytes, { metering, imports })
    await using started = await host.load(bytes, { metering, imports, prepare: "snapshot", instances: { ready: 1 } })
    for (let round = 0; round < 3; round++) {
      t.same(await outcome(started, "f", [round], {}), await outcome(fresh, "f", [round], {}), metering)
      t.same(await Promise.all([1, 2, 3].map((n) => started.call("f", [n]))), [143, 243, 343])
      await new Promise((next) => setTimeout(next, 5))
    }
  }
})

// ── Real components ─────────────────────────────────────────────────────────

for (const metering of ["deadline", "fuel"] as const) {
  for (const [name, call, args, grants] of [
    ["text-stats", "stele:example-text/analysis#analyze", ["It was the best of times, it was the worst of times", { top: 3, minLetters: 2 }], ["log"]],
    ["table-stats", "stele:example-table/statistics#describe", ["a,b\n1,2\n3,4\n5,7\n", { separator: ",", correlations: true }], []],
  ] as const) {
    const path = new URL(`../../plugins/examples/${name}/build/${name}.wasm`, import.meta.url)
    const skip = existsSync(path) ? false : `${name} is not built`
    t.test(`the example ${name} answers from a snapshot as it does fresh (${metering})`, { skip }, async (t) => {
      const bytes = new Uint8Array(readFileSync(path))
      const options = { metering, grants, limits: { fuel: 10_000_000_000 } }
      await using fresh = await host.load(bytes, options)
      await using started = await host.load(bytes, { ...options, prepare: "snapshot" })
      for (let i = 0; i < 3; i++) {
        const expected = await outcome(fresh, call, args, {})
        t.ok("result" in expected.answered, JSON.stringify(expected.answered).slice(0, 80))
        t.same(await outcome(started, call, args, {}), expected)
      }
    })
  }
}
