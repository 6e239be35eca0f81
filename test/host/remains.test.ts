/** Memories and instances that calls leave to each other: what one guest wrote is in no later one. */
import t from "tap"
import { Remains } from "../../host/call/remains.ts"
import { Host } from "../../host/mod.ts"
import { componentOf, guest } from "./component-builder.ts"

const page = 65_536
const isZero = ({ buffer }: WebAssembly.Memory): boolean => new Uint8Array(buffer).every((byte) => byte === 0)

t.test("`take()` answers with zeros, whatever the memory was left with", async (t) => {
  const memories = new Remains()
  const first = memories.take(2, 10)
  new Uint8Array(first.memory.buffer).fill(7)
  memories.give(first)
  const second = memories.take(2, 10)
  t.equal(second.memory, first.memory, "the same one")
  t.ok(isZero(second.memory))
  t.not(memories.take(2, 10).memory, first.memory, "which nobody else has")
})

t.test("`give()` keeps none that is not what a new one would be", async (t) => {
  const memories = new Remains()
  const grown = memories.take(1, 10)
  grown.memory.grow(1)
  memories.give(grown)
  t.not(memories.take(1, 10).memory, grown.memory, "one that has grown")
  const other = memories.take(1, 10)
  memories.give(other)
  t.not(memories.take(1, 11).memory, other.memory, "one with another maximum")
  t.not(memories.take(2, 10).memory, other.memory, "one with another minimum")
  const large = memories.take(65, 100)
  memories.give(large)
  t.not(memories.take(65, 100).memory, large.memory, "one above 4 MiB")
})

t.test("`give()` keeps 128 pages, and a memory for 1,000 instances", async (t) => {
  const memories = new Remains()
  const loans = Array.from({ length: 5 }, () => memories.take(32, 32))
  for (const loan of loans) memories.give(loan)
  const again = new Set(Array.from({ length: 5 }, () => memories.take(32, 32).memory))
  t.equal(loans.filter(({ memory }) => again.has(memory)).length, 4)
  const few = new Remains()
  const seen = new Set<WebAssembly.Memory>()
  for (let i = 0; i < 2_500; i++) {
    const loan = few.take(1, 1)
    seen.add(loan.memory)
    few.give(loan)
  }
  t.equal(seen.size, 3)
})

/** Leaves marks everywhere in its memory and a global; finds what is there before. */
const built = guest({
  core: `(memory (export "memory") 2 8) (global $state (mut i32) (i32.const 5))
    (data (i32.const 100) "seed")
    (func $sum (result i32) (local $i i32) (local $sum i32)
      (loop $next
        (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $i))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $i) (i32.const ${2 * page}))))
      (i32.add (local.get $sum) (global.get $state)))
    (func (export "mark") (param $how i32) (result i32) (local $found i32)
      (local.set $found (call $sum))
      (memory.fill (i32.const 0) (i32.const 255) (i32.const ${2 * page}))
      (global.set $state (i32.const 77))
      (if (i32.eq (local.get $how) (i32.const 1)) (then (drop (memory.grow (i32.const 1)))))
      (if (i32.eq (local.get $how) (i32.const 2)) (then unreachable))
      (local.get $found))`,
  exports: { mark: `(param "how" u32) (result u32)` },
})

for (const metering of ["deadline", "fuel", "off"] as const)
  t.test(`a call finds what a first one would find, after any other (${metering})`, async (t) => {
    await using host = await Host.open({ cache: false })
    await using plugin = await host.load(await built, { metering })
    const fresh = [..."seed"].reduce((sum, c) => sum + c.charCodeAt(0), 5)
    for (const how of [0, 0, 1, 0, 2, 0, 0, 2, 1, 0]) {
      if (how === 2) t.throws(() => plugin.callSync("mark", [how]))
      else t.equal(plugin.callSync("mark", [how]), fresh, `after ${how}`)
    }
  })

t.test("an isolated guest finds the same", async (t) => {
  await using host = await Host.open({ cache: false })
  await using plugin = await host.load(await built, { isolation: "worker", instances: { max: 1 } })
  const first = await plugin.call("mark", [0])
  for (const how of [0, 1, 0]) t.equal(await plugin.call("mark", [how]), first)
})

/** What a call leaves in each kind of thing that an instance has, and what is found of the one before. */
const keeper = (body: string, more = ""): Promise<Uint8Array> =>
  guest({
    core: `(memory (export "memory") 1 4) (table $table 2 4 funcref) (elem (i32.const 0) $one $two) (elem $passive func $two $two) (data $bytes "\\07")
      (type $number (func (result i32)))
      (global $i (mut i32) (i32.const 1)) (global $l (mut i64) (i64.const 2)) (global $f (mut f32) (f32.const 3)) (global $d (mut f64) (f64.const -0))
      (func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2))
      ${more}
      (func (export "step") (param $n i32) (result i32) (local $found i32)
        (local.set $found (i32.add (i32.add (i32.add (global.get $i) (i32.wrap_i64 (global.get $l))) (i32.trunc_f32_s (global.get $f)))
          (i32.add (i32.add (i32.trunc_f64_s (f64.div (f64.const 1) (f64.add (global.get $d) (f64.const 1)))) (i32.load (i32.const 0)))
            (call_indirect $table (type $number) (i32.const 0)))))
        (global.set $i (local.get $n)) (global.set $l (i64.const -5)) (global.set $f (f32.const 100)) (global.set $d (f64.const 1000))
        (i32.store (i32.const 0) (i32.const 40))
        ${body}
        (local.get $found))`,
    exports: { step: `(param "n" u32) (result u32)` },
  })

for (const [what, body, more, isAgain] of [
  ["memory and globals", "", "", true],
  ["what its start made of them", "", "(func $init (global.set $i (i32.const 9)) (i32.store (i32.const 0) (i32.const 3))) (start $init)", true],
  ["a memory that has grown", "(drop (memory.grow (i32.const 1)))", "", false],
  ["a table", "(table.set $table (i32.const 0) (ref.func $two))", "", false],
  ["a table, by another instruction", "(table.init $table $passive (i32.const 0) (i32.const 0) (i32.const 2))", "", false],
  ["a dropped segment", "(memory.init $bytes (i32.const 8) (i32.const 0) (i32.const 1)) (data.drop $bytes)", "", false],
  ["a global that no number sets", "(global.set $ref (ref.func $two))", "(global $ref (mut funcref) (ref.null func))", false],
  ["a NaN", "", "(global $nan (mut f64) (f64.const nan:0x4000000000001))", false],
  ["more globals than are kept", "", Array.from({ length: 13 }, () => "(global (mut i32) (i32.const 0))").join(""), false],
] as const)
  t.test(`no call finds ${what} of the one before`, async (t) => {
    for (const metering of ["deadline", "fuel", "off"] as const) {
      await using host = await Host.open({ cache: false })
      await using plugin = await host.load(await keeper(body, more), { metering })
      const records = []
      const created: Array<unknown> = []
      const { Instance } = WebAssembly
      class Counted extends Instance {
        constructor(module: WebAssembly.Module, imports?: WebAssembly.Imports) {
          super(module, imports)
          created.push(module)
        }
      }
      WebAssembly.Instance = Counted
      try {
        for (let i = 0; i < 6; i++) {
          const { result, usage } = await plugin.callWithUsage("step", [i + 100])
          records.push({ result, ...usage, wallNs: 0 })
        }
      } finally {
        WebAssembly.Instance = Instance
      }
      for (const record of records) t.strictSame(record, records[0], metering)
      t.equal(created.length, isAgain ? 2 : 6, "instances that were made")
      t.match(plugin.pool, { live: 0, made: 6, discarded: 6 }, "but a call has one of its own")
    }
  })

t.test("an instance whose call failed, or that asked the host while it started, is nobody's again", async (t) => {
  await using host = await Host.open({ cache: false })
  const asking = await guest({
    core: `(import "host" "ask" (func $ask (result i32))) (memory (export "memory") 1) (global $told (mut i32) (i32.const 0))
      (func $init (global.set $told (call $ask))) (start $init)
      (func (export "told") (result i32) (global.get $told))`,
    imports: { ask: "(result u32)" },
    exports: { told: "(result u32)" },
  })
  let answer = 0
  await using plugin = await host.load(asking, { imports: { ask: () => ++answer } as never })
  for (let i = 1; i < 6; i++) t.equal(plugin.callSync("told", []), i, "each is told anew")
  await using failing = await host.load(await keeper("(if (i32.eq (local.get $n) (i32.const 7)) (then unreachable))"))
  const fresh = failing.callSync("step", [1])
  for (const n of [2, 7, 3, 7, 7, 4, 5]) {
    if (n === 7) t.throws(() => failing.callSync("step", [n]), { code: "STELE-PLG-0002" })
    else t.equal(failing.callSync("step", [n]), fresh)
  }
})

t.test("no call finds what the host keeps for the instance of the one before: random streams, handles", async (t) => {
  await using host = await Host.open({ cache: false })
  const wit = (body: string) => `package test:kept;
    world w { ${body} }
    package wasi:random@0.2.0 { interface random { get-random-u64: func() -> u64; } }`
  const drawing = await componentOf(
    wit("import wasi:random/random@0.2.0; export draw: func() -> u64;"),
    `(module (import "wasi:random/random@0.2.0" "get-random-u64" (func $next (result i64))) (memory (export "memory") 1)
      (func (export "draw") (result i64) (call $next)))`,
    { world: "test:kept/w" },
  )
  await using drawn = await host.load(drawing, { grants: ["random:seeded:x"] })
  const first = drawn.callSync("draw", [])
  for (let i = 0; i < 5; i++) t.equal(drawn.callSync("draw", []), first, "from the start for each instance")

  const holding = await componentOf(
    `package test:kept; interface things { resource thing { } make: func() -> thing; } world w { import things; export leave: func() -> u32; }`,
    `(module (import "test:kept/things" "make" (func $make (result i32))) (memory (export "memory") 1)
      (func (export "leave") (result i32) (drop (call $make)) (call $make)))`,
  )
  class Thing {}
  await using held = await host.load(holding, { limits: { handlesMax: 3 }, imports: { "test:kept/things": { make: () => new Thing(), Thing } } as never })
  for (let i = 0; i < 6; i++) {
    const { result, usage } = await held.callWithUsage("leave", [])
    t.equal(result, 2, "handles are numbered anew")
    t.equal(usage.handlesLeft, 2, "and counted anew")
  }
})
