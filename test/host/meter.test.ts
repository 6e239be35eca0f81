import t from "tap"
import { Meter } from "../../host/call/meter.ts"
import { costTable } from "../../host/meter/cost-table.ts"
import { limits } from "../../schemas/error/mod.ts"
import { answer, engines } from "./engine.ts"
import { randomGuest } from "./meter-guests.ts"
import { type Guest, instantiate, outcome, plain, rewrite, tiers } from "./meter-harness.ts"
import type { MeterReport } from "./meter-program.ts"
import {
  block,
  br,
  brIf,
  brTable,
  call,
  callIndirect,
  type Code,
  f32,
  f64,
  f64Bits,
  get,
  globalGet,
  globalSet,
  i32,
  i64,
  iff,
  lane,
  loop,
  mem,
  memoryCopy,
  memoryFill,
  memoryGrow,
  memoryInit,
  Module,
  refFunc,
  refNull,
  repeat,
  returnCall,
  set,
  tableCopy,
  tableFill,
  tableGet,
  tableGrow,
  tableInit,
  tableSet,
  tableSize,
  tee,
  throwTag,
  tryCatch,
  tryTable,
} from "./wasm-builder.ts"
import { replay, runsOf, seed } from "../seed.ts"

/** A meter without a watchdog whose clock stands still, and that is not expected to stop anything. */
const stillMeter = (mechanism: "slice" | "fuel", needs: ConstructorParameters<typeof Meter>[0]["needs"], fail: (message: string) => void): Meter =>
  new Meter({ mechanism, watchdog: undefined, nowMs: () => 0, needs, stackBytesMax: 0, pagesLeft: 0, elementsLeft: 0, stop: (error) => fail(error.message) })

t.setTimeout(600_000)

const imports = { env: { mix: (x: number): number => Math.imul(x, 0x9e3779b1) ^ (x >>> 15) } }

const state = (exports: WebAssembly.Exports | Guest["exports"]): string => {
  const { memory, sum, counter } = exports as { memory: WebAssembly.Memory; sum: WebAssembly.Global; counter: WebAssembly.Global }
  let hash = 0x811c9dc5
  const words = new Int32Array(memory.buffer)
  for (let i = 0; i < words.length; i++) hash = Math.imul(hash ^ (words[i] as number), 0x01000193)
  return `${hash >>> 0} ${String(sum.value)} ${String(counter.value)} ${words.length}`
}

t.test("`rewriteCoreModule()` changes no result, trap or memory when random guests run under each tier", async (t) => {
  const count = runsOf(400)
  t.comment(`${replay}: ${count} guests`)
  const kinds = new Map<string, number>()
  for (let i = 0; i < count; i++) {
    const bytes = randomGuest(seed + i, false)
    const before = plain(bytes, imports)
    const result = outcome(() => before["run"]?.(3, 5))
    const kind = result.startsWith("trap") ? result : "value"
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
    const wanted = `${result}|${state(before)}`
    for (const tier of tiers) {
      const guest = instantiate(bytes, { tier, imports, stackBytes: 900 << 10 })
      const got = `${outcome(() => guest.exports["run"]?.(3, 5))}|${state(guest.all)}`
      if (got !== wanted) t.fail(`seed ${seed + i} under ${tier}: ${got}, plain ${wanted}`)
    }
  }
  t.comment(JSON.stringify([...kinds]))
  t.ok(kinds.size >= 4, "values and several traps were seen")
})

t.test("`fuel` gives the same outcome, fuel and memory when the engine or the slices differ", async (t) => {
  const reports = await Promise.all(engines.map((engine) => answer<MeterReport>(engine, "meter-program.ts", [String(seed), "150"])))
  const [node, ...others] = reports as [MeterReport, ...ReadonlyArray<MeterReport>]
  t.same(node.sliced, [], "exhaustion comes at the same instruction")
  t.ok(node.half.filter((line) => line.startsWith("exhausted")).length > 100, "most half budgets are exhausted")
  t.ok(node.traps > 10)
  for (const [index, other] of others.entries()) {
    t.same(other.whole, node.whole, `whole runs on ${engines[index + 1]}`)
    t.same(other.half, node.half, `half runs on ${engines[index + 1]}`)
  }
})

// ── What an unending guest meets ────────────────────────────────────────────

const spinner = (): Module => {
  const m = new Module()
  m.func([], [], { export: "spin", name: "spin" }, [loop([], br(0))])
  return m
}

t.test("`deadline` traps a loop when bit 0 of the cell is set, and only bit 0", async (t) => {
  for (const withMemory of [true, false]) {
    const m = spinner()
    if (withMemory) m.memory(1)
    m.func(["i32"], ["i32"], { export: "count", locals: ["i32"] }, [loop([], get(1), i32(1), "i32.add", tee(1), get(0), "i32.lt_s", brIf(0)), get(1)])
    const guest = instantiate(m.bytes(), { tier: "deadline" })
    guest.epoch[0] = 2
    t.equal(guest.exports["count"]?.(1_000), 1_000, "the generation does not stop")
    guest.epoch[0] = 3
    t.equal(
      outcome(() => guest.exports["spin"]?.()),
      "trap: unreachable",
    )
    t.match(
      outcome(() => guest.exports["count"]?.(1_000)),
      "trap",
    )
    guest.epoch[0] = 4
    t.equal(guest.exports["count"]?.(1_000), 1_000, "and the next call runs")
  }
})

t.test("a guest cannot reach the stop cell when it has no memory of its own", async (t) => {
  const m = spinner()
  const { needs, bytes } = rewrite(m.bytes(), { tier: "deadline" })
  t.ok(needs.epoch)
  t.equal(needs.memory, undefined)
  t.equal(WebAssembly.Module.exports(new WebAssembly.Module(bytes)).length, 1, "nothing injected is exported")
})

t.test("`Needs` is but its own memory when a module only forwards, holds data or computes little", async (t) => {
  const m = new Module()
  m.memory(1)
  m.table("funcref", 1)
  m.func(["i32"], ["i32"], { export: "inc" }, [get(0), i32(1), "i32.add"])
  const none = { epoch: false, memory: undefined, fuel: false, stack: false, pages: false, elements: false, tick: false, setupFuel: 0, kept: [] }
  for (const tier of ["off", "deadline"] as const) t.same(rewrite(m.bytes(), { tier }).needs, { ...none, memory: { min: 1, max: 1_024 } }, tier)
  const empty = new Module()
  empty.table("funcref", 4, 4)
  for (const tier of tiers) t.same(rewrite(empty.bytes(), { tier }).needs, none, tier)
})

t.test("`slice` calls tick when the units are spent, and stops when it answers nonzero", async (t) => {
  const guest = instantiate(spinner().bytes(), { tier: "slice", fuel: 1_000_000n, slice: 10_000n })
  t.equal(
    outcome(() => guest.exports["spin"]?.()),
    "trap: unreachable",
  )
  t.ok(guest.ticks.count >= 90 && guest.ticks.count <= 110, `${guest.ticks.count} ticks`)
})

// ── Fuel ────────────────────────────────────────────────────────────────────

t.test("`fuel` charges the published costs when straight code, branches and calls run", async (t) => {
  const m = new Module()
  m.memory(1)
  const leaf = m.func(["i32"], ["i32"], {}, [get(0), i32(3), "i32.div_u"])
  m.func([], ["i32"], { export: "straight" }, [i32(8), mem("i32.load"), "nop"])
  m.func([], ["i32"], { export: "calls" }, [i32(9), call(leaf)])
  m.func(["i32"], ["i32"], { export: "branch" }, [get(0), iff(["i32"], [i32(1), i32(2), "i32.add"], [i32(5)])])
  m.func(["i32"], [], { export: "loop" }, [loop([], get(0), i32(1), "i32.sub", tee(0), brIf(0))])
  m.func(["i32"], [], { export: "fill" }, [i32(0), i32(1), get(0), memoryFill])
  m.func(["i32"], ["i32"], { export: "grow" }, [get(0), memoryGrow])
  const cost = (name: string, ...args: ReadonlyArray<number>): bigint => {
    const guest = instantiate(m.bytes(), { tier: "fuel" })
    guest.exports[name]?.(...args)
    return guest.used()
  }
  const { call: callCost, divide, load, bulk, bulkBytesPerUnit, memoryGrow: growBase, memoryGrowPage } = costTable
  t.equal(cost("straight"), BigInt(1 + load))
  t.equal(cost("calls"), BigInt(1 + callCost + 2 + divide))
  t.equal(cost("branch", 1), BigInt(2 + 3))
  t.equal(cost("branch", 0), BigInt(2 + 1))
  t.equal(cost("loop", 10), BigInt(10 * 5))
  t.equal(cost("fill", 65_536), BigInt(3 + bulk + 65_536 / bulkBytesPerUnit))
  t.equal(cost("grow", 3), BigInt(1 + growBase + 3 * memoryGrowPage))
})

t.test("`fuel` traps when the engine refuses memory below the cap, and answers −1 when the budget does", async (t) => {
  const m = new Module()
  m.memory(1)
  m.func(["i32"], ["i32"], { export: "grow" }, [get(0), memoryGrow])
  for (const tier of tiers) {
    const guest = instantiate(m.bytes(), { tier, pages: 5, memoryPagesMax: 4 })
    t.equal(guest.exports["grow"]?.(6), -1, `${tier}: over the budget`)
    t.equal(guest.pages.value, 5)
    t.equal(guest.exports["grow"]?.(4), -1, `${tier}: over the maximum`)
    t.equal(guest.pages.value, 5, "what the engine refused is not taken")
    t.equal(guest.exports["grow"]?.(2), 1)
    t.equal(guest.pages.value, 3)
    t.equal(guest.exports["grow"]?.(0), 3)
    t.equal(guest.exports["grow"]?.(-1), -1)
  }
  // A memory from elsewhere, smaller than this module was told: the engine refuses where the cap would allow.
  const shared = new Module()
  shared.importMemory("env", "memory", 1, 8)
  shared.func(["i32"], ["i32"], { export: "grow" }, [get(0), memoryGrow])
  const small = (): { env: { memory: WebAssembly.Memory } } => ({ env: { memory: new WebAssembly.Memory({ initial: 1, maximum: 2 }) } })
  const fuel = instantiate(shared.bytes(), { tier: "fuel", imports: small() })
  t.equal(
    outcome(() => fuel.exports["grow"]?.(3)),
    "trap: unreachable",
  )
  t.equal(fuel.pages.value, -1, "and says whose refusal it was")
  const deadline = instantiate(shared.bytes(), { tier: "deadline", imports: small() })
  t.equal(deadline.exports["grow"]?.(3), -1)
})

t.test("`elements` caps the sum over tables when they grow", async (t) => {
  const m = new Module()
  const a = m.table("externref", 1)
  const b = m.table("funcref", 1, 1_000)
  m.func(["i32"], ["i32"], { export: "a" }, [refNull("externref"), get(0), tableGrow(a)])
  m.func(["i32"], ["i32"], { export: "b" }, [refNull("funcref"), get(0), tableGrow(b)])
  m.func([], ["i32"], { export: "size" }, [tableSize(a), tableSize(b), "i32.add"])
  for (const tier of tiers) {
    const guest = instantiate(m.bytes(), { tier, elements: 10 })
    t.equal(guest.exports["a"]?.(6), 1, tier)
    t.equal(guest.exports["b"]?.(5), -1)
    t.equal(guest.exports["b"]?.(4), 1)
    t.equal(guest.exports["a"]?.(1), -1)
    t.equal(guest.exports["size"]?.(), 12)
    t.equal(guest.elements.value, 0)
  }
})

// ── NaN ─────────────────────────────────────────────────────────────────────

t.test("`fuel` shows only canonical NaN bits when a guest looks at results, wherever it looks", async (t) => {
  const m = new Module()
  m.memory(1)
  const global = m.global("f64", true, f64(0))
  const pass = m.func(["f64"], ["i64"], {}, [get(0), "i64.reinterpret_f64"])
  // A NaN with payload, so that an engine that propagates payloads shows it.
  const payload = f64Bits(0xfff4_0000_0000_1234n)
  const nan: Code = [payload, f64(1), "f64.add"]
  const looks: Readonly<Record<string, Code>> = {
    reinterpret: [nan, "i64.reinterpret_f64"],
    store: [i32(0), nan, mem("f64.store"), i32(0), mem("i64.load")],
    call: [nan, call(pass)],
    global: [nan, globalSet(global), globalGet(global), "i64.reinterpret_f64"],
    local: [nan, set(0), get(0), "i64.reinterpret_f64"],
    select: [nan, f64(1), i32(1), "select", "i64.reinterpret_f64"],
    block: [block(["f64"], nan), "i64.reinterpret_f64"],
    sqrt: [f64(-1), "f64.sqrt", "i64.reinterpret_f64"],
    chain: [nan, f64(2), "f64.mul", "f64.floor", "i64.reinterpret_f64"],
    promote: [f32(NaN), f32(1), "f32.div", "f64.promote_f32", "i64.reinterpret_f64"],
    lanes: [f64(-1), "f64x2.splat", "f64x2.sqrt", lane("f64x2.extract_lane", 1), "i64.reinterpret_f64"],
    lanesOfTheOtherShape: [f32(-1), "f32x4.splat", "f32x4.sqrt", f64(0), "f64x2.splat", "v128.or", lane("f64x2.extract_lane", 0), "i64.reinterpret_f64"],
  }
  for (const [name, code] of Object.entries(looks)) m.func([], ["i64"], { export: name, locals: ["f64"] }, code)
  m.func([], ["f64"], { export: "copysign" }, [f64(1), f64(-1), "f64.sqrt", "f64.copysign"])
  m.func([], ["i64"], { export: "kept" }, [payload, "i64.reinterpret_f64"])
  m.func([], ["i64"], { export: "negated" }, [payload, f64(1), "f64.add", "f64.neg", "i64.reinterpret_f64"])
  const guest = instantiate(m.bytes(), { tier: "fuel" })
  const canonical = 0x7ff8_0000_0000_0000n
  for (const name of Object.keys(looks)) {
    const bits = BigInt.asUintN(64, guest.exports[name]?.() as bigint)
    t.equal(bits, name === "lanesOfTheOtherShape" ? 0x7fc0_0000_7fc0_0000n : canonical, name)
  }
  t.equal(guest.exports["copysign"]?.(), 1, "the sign of a canonical NaN is positive")
  t.equal(BigInt.asUintN(64, guest.exports["kept"]?.() as bigint), 0xfff4_0000_0000_1234n, "bits that no arithmetic made stay")
  t.equal(BigInt.asUintN(64, guest.exports["negated"]?.() as bigint), 0xfff8_0000_0000_0000n, "neg flips the sign of the canonical NaN")
})

t.test("`fuel` canonicalises only the end of a chain when float results feed float arithmetic", async (t) => {
  const m = new Module()
  m.func(["f64"], ["f64"], { export: "chain" }, [get(0), repeat(50, [f64(2), "f64.mul"])])
  const single = new Module()
  single.func(["f64"], ["f64"], { export: "one" }, [get(0), repeat(1, [f64(2), "f64.mul"])])
  const [long, short] = [m.bytes(), single.bytes()]
  const added = (bytes: Uint8Array<ArrayBuffer>): number => rewrite(bytes, { tier: "fuel" }).bytes.length - bytes.length
  t.ok(Math.abs(added(long) - added(short)) < 8, `one canonicalisation each: ${added(long)} and ${added(short)} bytes`)
})

// ── Stack ───────────────────────────────────────────────────────────────────

t.test("`stack` stops a recursion at the same depth when it is direct, mutual, through a table or in catch", async (t) => {
  const m = new Module()
  const type = m.type(["i32"], ["i32"])
  m.table("funcref", 2, 2)
  const tag = m.tag([])
  const down =
    (recurse: (self: number) => Code) =>
    (self: number): Code => [get(0), "i32.eqz", iff(["i32"], [i32(0)], [get(0), i32(1), "i32.sub", recurse(self), i32(1), "i32.add"])]
  m.func(["i32"], ["i32"], { export: "direct" }, down(call))
  const indirect = m.func(
    ["i32"],
    ["i32"],
    { export: "indirect" },
    down(() => [i32(0), callIndirect(type)]),
  )
  m.func(
    ["i32"],
    ["i32"],
    { export: "mutual" },
    down((self) => call(self + 1)),
  )
  m.func(
    ["i32"],
    ["i32"],
    {},
    down((self) => call(self - 1)),
  )
  m.func(["i32"], ["i32"], { export: "thrown" }, (self) => [
    get(0),
    "i32.eqz",
    iff([], [throwTag(tag)]),
    block([], tryTable([], [{ label: 0 }], get(0), i32(1), "i32.sub", call(self), "drop")),
    get(0),
  ])
  m.elem(i32(0), [indirect])
  for (const tier of ["deadline", "slice", "fuel"] as const) {
    for (const name of ["direct", "indirect", "mutual", "thrown"]) {
      // The deepest recursion that a budget allows grows with the budget, and is the same again and again.
      const deepest = (stackBytes: number): number => {
        let [low, high] = [0, 100_000]
        while (low < high) {
          const middle = (low + high + 1) >> 1
          const guest = instantiate(m.bytes(), { tier, stackBytes })
          const ok = !outcome(() => guest.exports[name]?.(middle)).startsWith("trap")
          if (!ok && guest.stack.value !== -1) t.fail("the trap is not told as the stack's")
          if (ok) low = middle
          else high = middle - 1
        }
        return low
      }
      const [small, large] = [deepest(8_192), deepest(65_536)]
      t.ok(small >= 8_192 / 400 && small <= 8_192 / 72, `${tier} ${name}: ${small} in 8 KiB`)
      t.ok(large / small > 7 && large / small < 9, `${tier} ${name}: ${large} in 64 KiB`)
    }
    const guest = instantiate(m.bytes(), { tier, stackBytes: 8_192 })
    for (let i = 0; i < 200; i++) guest.exports["indirect"]?.(10)
    t.equal(guest.stack.value, 8_192, `${tier}: entering again and again takes nothing`)
  }
})

for (const engine of engines)
  t.test(`the default of \`stackBytesMax\` leaves half of the engine's stack when a guest recurses on ${engine}`, async (t) => {
    // Twice the default on the whole stack stands for the default on half of it.
    const report = await answer<Record<string, string>>(engine, "meter-stack-program.ts", [String(2 * limits.stackBytesMax.default)])
    for (const [shape, found] of Object.entries(report)) t.equal(found, "counted counted", `${shape}, cold and hot`)
  })

t.test("tail calls take no stack when they are direct or through a table", async (t) => {
  const m = new Module()
  const type = m.type(["i32", "i32"], ["i32"])
  m.table("funcref", 1, 1)
  m.func(["i32", "i32"], ["i32"], { export: "direct" }, (self) => [
    get(0),
    "i32.eqz",
    iff([], [get(1), "return"]),
    get(0),
    i32(1),
    "i32.sub",
    get(1),
    i32(3),
    "i32.add",
    returnCall(self),
  ])
  const f = m.func(["i32", "i32"], ["i32"], { export: "indirect" }, [
    get(0),
    "i32.eqz",
    iff([], [get(1), "return"]),
    get(0),
    i32(1),
    "i32.sub",
    get(1),
    i32(3),
    "i32.add",
    i32(0),
    [0x13, type, 0],
  ])
  m.elem(i32(0), [f])
  for (const tier of tiers)
    for (const name of ["direct", "indirect"]) t.equal(instantiate(m.bytes(), { tier }).exports[name]?.(300_000, 0), 900_000, `${tier} ${name}`)
})

// ── Bulk operations ─────────────────────────────────────────────────────────

t.test("bulk operations leave the same bytes and elements when they are done in steps", async (t) => {
  const m = new Module()
  m.memory(96, 96)
  const from = m.table("funcref", 40_000, 40_000)
  const to = m.table("funcref", 40_000, 40_000)
  const nothing = m.func([], [], {}, [])
  const length = 2_500_000
  const data = m.data(
    undefined,
    Uint8Array.from({ length }, (_, i) => i * 7),
  )
  const elems = m.passiveElem(Array.from({ length: 20_000 }, () => nothing))
  m.dataCount = true
  m.func(["i32", "i32", "i32"], [], { export: "fill" }, [get(0), get(1), get(2), memoryFill])
  m.func(["i32", "i32", "i32"], [], { export: "copy" }, [get(0), get(1), get(2), memoryCopy])
  m.func(["i32", "i32", "i32"], [], { export: "init" }, [get(0), get(1), get(2), memoryInit(data)])
  m.func(["i32", "i32"], [], { export: "fillTable" }, [get(0), refFunc(nothing), get(1), tableFill(from)])
  m.func(["i32", "i32", "i32"], [], { export: "copyTable" }, [get(0), get(1), get(2), tableCopy(to, from)])
  m.func(["i32", "i32", "i32"], [], { export: "moveTable" }, [get(0), get(1), get(2), tableCopy(from, from)])
  m.func(["i32", "i32", "i32"], [], { export: "initTable" }, [get(0), get(1), get(2), tableInit(elems, to)])
  m.func(["i32"], ["i32"], { export: "isSet" }, [get(0), tableGet(to), "ref.is_null", "i32.eqz"])
  m.func(["i32"], ["i32"], { export: "isSetFrom" }, [get(0), tableGet(from), "ref.is_null", "i32.eqz"])
  m.export("memory", "memory", 0)
  const steps: ReadonlyArray<readonly [string, ...ReadonlyArray<number>]> = [
    ["init", 100, 5, length - 5],
    ["copy", 130, 100, 3_400_000],
    ["copy", 90, 200, 3_400_000],
    ["copy", 3_000_000, 90, 2_100_000],
    ["fill", 1_000_000, 0x5a, 1_048_577],
    ["fill", 0, 1, 1_048_576],
    ["fill", 5_000_000, 1, 1_300_000],
    ["fill", 6_291_456, 1, 1],
    ["fill", -1, 1, 5_000_000],
    ["copy", 0, 4_000_000, 3_000_000],
    ["init", 0, 1, length],
    ["init", 5_000_000, 0, length],
    ["fillTable", 100, 30_000],
    ["moveTable", 150, 0, 39_000],
    ["moveTable", 0, 90, 39_000],
    ["copyTable", 1_000, 50, 33_000],
    ["initTable", 20_000, 1, 19_000],
    ["initTable", 20_000, 0, 20_001],
    ["fillTable", 39_999, 2],
    ["copyTable", 0, 39_000, 2_000],
  ]
  const trace = (exports: Guest["exports"]): ReadonlyArray<string> =>
    steps.map(([name, ...args]) => {
      const result = outcome(() => exports[name]?.(...args))
      const bytes = new Uint8Array((exports as { memory: WebAssembly.Memory }).memory.buffer)
      let hash = 0
      if (!name.includes("Table")) for (let i = 0; i < bytes.length; i += 61) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193)
      else for (let i = 0; i < 40_000; i += 43) hash = Math.imul(hash ^ (Number(exports["isSet"]?.(i)) + 2 * Number(exports["isSetFrom"]?.(i)) + i), 0x01000193)
      return `${name} ${args.join()}: ${result} ${hash}`
    })
  const wanted = trace(plain(m.bytes()))
  t.ok(wanted.some((line) => line.includes("trap")) && wanted.some((line) => line.includes("undefined")))
  for (const tier of tiers) t.same(trace(instantiate(m.bytes(), { tier }).exports), wanted, tier)
})

t.test("a bulk operation can be stopped in its middle when it is longer than a step", async (t) => {
  const m = new Module()
  m.memory(1_000, 1_000)
  m.func(["i32"], [], { export: "fill" }, [i32(0), i32(1), get(0), memoryFill])
  m.export("memory", "memory", 0)
  const bytes = m.bytes()
  const budget = 3n + BigInt(costTable.bulk) + 5n * BigInt((1 << 20) / costTable.bulkBytesPerUnit)
  const guest = instantiate(bytes, { tier: "fuel", fuel: budget })
  t.match(
    outcome(() => guest.exports["fill"]?.(60 << 20)),
    "trap",
  )
  const filled = new Uint8Array((guest.all as { memory: WebAssembly.Memory }).memory.buffer).lastIndexOf(1) + 1
  t.equal(filled, 5 << 20, "five steps were paid for")
})

// ── Exceptions ──────────────────────────────────────────────────────────────

t.test("handlers run on with the right counters when exceptions come out of calls", async (t) => {
  for (const legacy of [true, false]) {
    const m = new Module()
    const tag = m.tag(["i32"])
    const thrower = m.func(["i32"], ["i32"], {}, [get(0), i32(3), "i32.gt_s", iff([], [get(0), throwTag(tag)]), get(0)])
    const caught = legacy
      ? tryCatch(["i32"], [get(0), call(thrower)], [[tag, [i32(100), "i32.add"]]], [i32(-1)])
      : block(["i32"], block(["i32"], tryTable(["i32"], [{ tag, label: 0 }], get(0), call(thrower)), br(1)), i32(100), "i32.add")
    m.func(["i32"], ["i32"], { export: "sum", locals: ["i32"] }, [
      loop([], caught, get(1), "i32.add", set(1), get(0), i32(1), "i32.sub", tee(0), brIf(0)),
      get(1),
    ])
    // A catch straight to the function's own label.
    m.func(["i32"], ["i32"], { export: "edge" }, legacy ? [caught] : [tryTable(["i32"], [{ tag, label: 0 }], get(0), call(thrower))])
    const bytes = m.bytes()
    const before = plain(bytes)
    for (const tier of tiers) {
      const guest = instantiate(bytes, { tier })
      for (const [name, value] of [
        ["sum", 10],
        ["edge", 2],
        ["edge", 9],
      ] as const)
        t.equal(guest.exports[name]?.(value), before[name]?.(value), `${legacy ? "legacy" : "try_table"} ${tier} ${name}`)
    }
  }
})

t.test("a guest cannot swallow a stop when it catches everything around a loop", async (t) => {
  const m = new Module()
  m.memory(1)
  m.func([], ["i32"], { export: "hold" }, [block([], tryTable([], [{ label: 0 }], loop([], br(0)))), i32(1)])
  for (const tier of ["deadline", "slice", "fuel"] as const) {
    const guest = instantiate(m.bytes(), { tier, fuel: 100_000n })
    guest.epoch[0] = 1
    t.match(
      outcome(() => guest.exports["hold"]?.()),
      "trap",
      tier,
    )
  }
})

// ── Names, starts and several modules ───────────────────────────────────────

t.test("a trap names the guest's function when it has a name section", async (t) => {
  const m = new Module()
  m.importFunc("env", "mix", ["i32"], ["i32"])
  m.memory(1)
  const inner = m.func(["i32"], ["i32"], { name: "divides_by_zero" }, [get(0), i32(0), "i32.div_s"])
  m.func(["i32"], ["i32"], { export: "outer", name: "outer_name" }, (self) => [get(0), iff(["i32"], [i32(0), call(self)], [get(0), call(inner)])])
  for (const tier of tiers) {
    const guest = instantiate(m.bytes(), { tier, imports })
    try {
      guest.exports["outer"]?.(1)
      t.fail("it traps")
    } catch (error) {
      const { stack } = error as Error
      t.match(stack, "divides_by_zero", tier)
      t.match(stack, "outer_name", tier)
    }
  }
})

t.test("a start function, tables and globals keep their meaning when indexes shift", async (t) => {
  const m = new Module()
  const mix = m.importFunc("env", "mix", ["i32"], ["i32"])
  const base = m.importGlobal("env", "base", "i32")
  m.memory(1)
  const type = m.type(["i32"], ["i32"])
  const table = m.table("funcref", 3)
  const own = m.global("i32", true, globalGet(base))
  const slot = m.global("funcref", false, refFunc(2))
  const helper = m.func(["i32"], ["i32"], {}, [get(0), call(mix)])
  const recursive = m.func(["i32"], ["i32"], {}, (self) => [get(0), "i32.eqz", iff(["i32"], [i32(7)], [get(0), i32(1), "i32.sub", call(self)])])
  m.func(["i32", "i32"], ["i32"], { export: "through" }, [get(0), get(1), callIndirect(type)])
  m.func([], ["i32"], { export: "own" }, [globalGet(own)])
  m.func([], ["i32"], { export: "isSlot" }, [[0x23, slot], "ref.is_null"])
  m.start(m.func([], [], {}, [globalGet(own), i32(5), "i32.add", globalSet(own)]))
  m.elem(i32(0), [helper, recursive, mix])
  m.export("table", "table", table)
  const env = { env: { ...imports.env, base: new WebAssembly.Global({ value: "i32", mutable: false }, 37) } }
  const bytes = m.bytes()
  const read = (exports: Guest["exports"]): ReadonlyArray<unknown> => [
    exports["own"]?.(),
    exports["isSlot"]?.(),
    ...[0, 1, 2].map((index) => exports["through"]?.(4, index)),
    ((exports as unknown as { table: WebAssembly.Table }).table.get(1) as (x: number) => number)(3),
  ]
  const wanted = read(plain(bytes, env))
  for (const tier of tiers) t.same(read(instantiate(bytes, { tier, imports: env }).exports), wanted, tier)
})

t.test("a shift of parameters keeps locals apart when functions take and declare many", async (t) => {
  const m = new Module()
  m.func(["i32", "i64", "f32"], ["i32"], { export: "run", locals: ["i32", "i64", "f64", "f64"] }, (self) => [
    get(0),
    "i32.eqz",
    iff([], [i32(11), "return"]),
    get(0),
    i32(100),
    "i32.mul",
    set(3),
    get(1),
    i64(1),
    "i64.add",
    set(4),
    get(2),
    "f64.promote_f32",
    set(6),
    get(0),
    i32(1),
    "i32.sub",
    get(4),
    get(6),
    "f32.demote_f64",
    call(self),
    get(3),
    "i32.add",
    get(4),
    "i32.wrap_i64",
    "i32.xor",
  ])
  const wanted = plain(m.bytes())["run"]?.(9, 5n, 1.5)
  for (const tier of tiers) t.equal(instantiate(m.bytes(), { tier }).exports["run"]?.(9, 5n, 1.5), wanted, tier)
})

t.test("`rewriteCoreModule()` refuses a function when it would become larger than engines compile", async (t) => {
  const m = new Module()
  // Each square root is seen by an integer instruction, so each grows by a canonicalisation.
  m.func(["v128"], ["v128"], { export: "grows" }, [get(0), repeat(250_000, ["f32x4.sqrt", "v128.not"])])
  try {
    rewrite(m.bytes(), { tier: "fuel" })
    t.fail("it is refused")
  } catch (error) {
    t.match(error, { code: "STELE-VFY-0016", reason: { what: "bytes of instrumented code in one function" } })
  }
  t.ok(WebAssembly.validate(rewrite(m.bytes(), { tier: "deadline" }).bytes))
})

t.test("`ref.func` stays valid when only an export declares its function", async (t) => {
  const m = new Module()
  m.table("funcref", 1, 1)
  const type = m.type(["i32"], ["i32"])
  const down = m.func(["i32"], ["i32"], { export: "down" }, (self) => [
    get(0),
    iff(["i32"], [get(0), i32(1), "i32.sub", call(self), i32(1), "i32.add"], [i32(7)]),
  ])
  m.func(["i32"], ["i32"], { export: "run" }, [i32(0), refFunc(down), tableSet(0), get(0), i32(0), callIndirect(type)])
  m.passiveElem([down])
  for (const bytes of [m.bytes(), withoutElements(m)]) for (const tier of tiers) t.equal(instantiate(bytes, { tier }).exports["run"]?.(5), 12, tier)
})
const withoutElements = (m: Module): Uint8Array<ArrayBuffer> => m.raw(9, [0]).bytes()

t.test("`fuel` shows only canonical NaN bits when operands lie thousands high above a result", async (t) => {
  for (const [count, drop] of [
    [1_100, repeat(1_100, "drop")],
    [2_000, [repeat(1_999, "i32.add"), "drop"]],
  ] as const) {
    const m = new Module()
    m.func([], ["i32"], { export: "run" }, [f32(0), f32(0), "f32.div", repeat(count, i32(1)), drop, "i32.reinterpret_f32"])
    t.equal(instantiate(m.bytes(), { tier: "fuel" }).exports["run"]?.(), 0x7fc00000, `${count} operands`)
  }
})

t.test("`rewriteCoreModule()` refuses a module when wrappers would make it hundreds of times as large", async (t) => {
  const m = new Module()
  const type = m.type(
    Array.from({ length: 999 }, () => "i32" as const),
    [],
  )
  const functions = Array.from({ length: 6_000 }, () => m.rawFunc(type, [0, 0x00, 0x0b]))
  m.table("funcref", functions.length)
  m.elem(i32(0), functions)
  const bytes = m.bytes()
  t.ok(bytes.length < 100_000)
  t.ok(WebAssembly.validate(bytes))
  t.throws(() => rewrite(bytes, { tier: "deadline" }), { message: /bytes of wrappers for functions that are exported or referenced/ })
})

t.test("`slice` charges work when a callee checks, returns late or throws between", async (t) => {
  const m = new Module()
  const tag = m.tag([])
  const work = repeat(6_000, [i32(1), "drop"])
  const looping = m.func([], [], {}, loop([]))
  const late = m.func([], [], {}, [loop([]), repeat(2_400, [i32(1), "drop"])])
  m.table("funcref", 1, 1)
  m.elem(i32(0), [late])
  const type = m.type([], [])
  const throwing = m.func([], [], {}, throwTag(tag))
  const through = m.func([], [], {}, [work, call(throwing)])
  const turns = 50
  const repeated = (body: Code): Code => [loop([], body, get(0), i32(1), "i32.sub", tee(0), brIf(0))]
  m.func(["i32"], [], { export: "a looping callee" }, repeated([work, call(looping)]))
  m.func(["i32"], [], { export: "a late return" }, repeated([i32(0), callIndirect(type)]))
  m.func(["i32"], [], { export: "a throwing callee" }, repeated(tryCatch([], [work, call(throwing), loop([])], [[tag, []]])))
  m.func(["i32"], [], { export: "an exception from deeper" }, repeated(tryCatch([], [call(through), loop([])], [[tag, []]])))
  const bytes = m.bytes()
  // In a module of its own: engines refuse both kinds of exception handling in one.
  const newer = new Module()
  const throws = newer.func([], [], {}, throwTag(newer.tag([])))
  newer.func(["i32"], [], { export: "an exception to a loop" }, [
    loop([], get(0), i32(1), "i32.sub", tee(0), iff([], [tryTable([], [{ label: 1 }], work, call(throws))])),
  ])
  for (const [name, units] of Object.entries({
    "a looping callee": 12_000,
    "a late return": 4_800,
    "a throwing callee": 12_000,
    "an exception from deeper": 12_000,
    "an exception to a loop": 12_000,
  })) {
    const guest = instantiate(name === "an exception to a loop" ? newer.bytes() : bytes, { tier: "slice" })
    guest.exports[name]?.(turns)
    const share = Number(guest.used()) / (units * (turns - 1))
    t.ok(share > 0.7, `${name}: ${share.toFixed(2)} of the work`)
  }
})

t.test("a throw reads the clock when fuel is left, whatever it unwinds", async (t) => {
  for (const tier of ["slice", "fuel"] as const) {
    const m = new Module()
    const tag = m.tag([])
    m.func(["i32"], ["i32"], { export: "run" }, [loop([], tryCatch([], [throwTag(tag)], [[tag, []]]), get(0), i32(1), "i32.sub", tee(0), brIf(0)), i32(9)])
    const guest = instantiate(m.bytes(), { tier })
    t.equal(guest.exports["run"]?.(10), 9)
    t.ok(guest.ticks.count >= 10, `${tier}: ${guest.ticks.count} ticks`)
  }
})

t.test("`Meter` bounds a slice when cheap code has made the clock seem slow", async (t) => {
  for (const mechanism of ["slice", "fuel"] as const) {
    const needs = { epoch: false, memory: undefined, fuel: true, stack: false, pages: false, elements: false, tick: true, setupFuel: 0, kept: [] }
    const meter = stillMeter(mechanism, needs, (message) => t.fail(message))
    const { fuel, tick } = meter.imports(needs) as { fuel: WebAssembly.Global<"i64">; tick: () => number }
    meter.begin(1_000, 1_000, 1n << 60n)
    let longest = 0n
    for (let i = 0; i < 100; i++) {
      if (fuel.value > longest) longest = fuel.value
      fuel.value = -1n
      t.equal(tick(), 0)
    }
    t.equal(longest, mechanism === "slice" ? 262_144n : 65_536n, mechanism)
  }
})

t.test("active segments are charged by length, and refused when they write one place again and again", async (t) => {
  const build = (segments: number): Uint8Array<ArrayBuffer> => {
    const m = new Module()
    m.memory(1, 1)
    m.table("funcref", 50, 50)
    const f = m.func([], [], { export: "run" }, [])
    for (let i = 0; i < segments; i++)
      m.elem(
        i32(0),
        Array.from({ length: 50 }, () => f),
      )
    m.passiveElem([f, f, f])
    for (let i = 0; i < segments; i++) m.data(i32(0), new Uint8Array(640))
    m.data(undefined, new Uint8Array(9_000))
    return m.bytes()
  }
  const { needs } = rewrite(build(2), { tier: "fuel" })
  t.equal(needs.setupFuel, 4 * costTable.bulk + 2 * 50 * costTable.bulkElement + (2 * 640) / costTable.bulkBytesPerUnit)
  for (const tier of ["off", "deadline", "slice"] as const) t.equal(rewrite(build(2), { tier }).needs.setupFuel, 0, tier)
  for (const tier of tiers) {
    t.doesNotThrow(() => rewrite(build(4), { tier, tableElementsMax: 200 }), tier)
    t.throws(() => rewrite(build(5), { tier, tableElementsMax: 200 }), { message: /"tableElementsMax": the limit is 200 elements, asked for 250/ })
    t.throws(() => rewrite(build(103), { tier, memoryPagesMax: 1 }), { message: /"memoryBytesMax": the limit is 65536 bytes, asked for 65920/ })
  }
  const meter = stillMeter("fuel", needs, (message) => t.fail(message))
  meter.begin(1_000, 1_000, BigInt(needs.setupFuel) + 1n)
  meter.imports(needs)
  t.equal(meter.used(), BigInt(needs.setupFuel))
  t.throws(() => meter.imports(needs), { message: /"fuel"/ })
})

t.test("`rewriteCoreModule()` refuses a module before a validator would be a gigabyte deep in its operands", async (t) => {
  const wide = Array.from({ length: 999 }, () => "i32" as const)
  const shapes: Readonly<Record<string, (source: number, sink: number, type: number) => Code>> = {
    "calls that only push": (source) => [repeat(2_000, call(source)), "unreachable"],
    "calls that push and pop": (source, sink) => repeat(2_000, [call(source), call(sink)]),
    "blocks with parameters": (source, sink, type) => [call(source), repeat(2_000, block(type)), call(sink)],
    "branches to one label": (source, sink, type) => [call(source), loop(type, i32(0), brTable(...Array.from({ length: 2_000 }, () => 0))), call(sink)],
  }
  for (const [shape, code] of Object.entries(shapes))
    for (const isDead of [false, true]) {
      const m = new Module()
      const source = m.func([], wide, {}, "unreachable")
      const sink = m.func(wide, [], {}, [])
      m.func([], [], { export: "run" }, [isDead ? "unreachable" : [], code(source, sink, m.type(wide, wide))])
      const bytes = m.bytes()
      t.ok(bytes.length < 20_000 && WebAssembly.validate(bytes))
      let validated = 0
      for (const tier of tiers)
        t.throws(
          () => rewrite(bytes, { tier, validate: () => validated++ }),
          { message: /operands named by calls, blocks and branches|stack frame/ },
          `${shape}, ${isDead ? "dead" : "live"}, ${tier}`,
        )
      t.equal(validated, 0, "the engine is not asked")
    }
  let validated = 0
  const m = new Module()
  m.func([], [], {}, [])
  rewrite(m.bytes(), { tier: "deadline", validate: () => validated++ })
  t.equal(validated, 1)
})
