import fc from "../property.ts"
import t from "tap"
import { decodeCoreModule } from "../../schemas/wasm/core-module.ts"
import { misc, simd, single } from "../../host/harden/opcodes.ts"
import type { Tier } from "../../host/meter/needs.ts"
import { rewriteCoreModule } from "../../host/meter/rewrite.ts"
import { LimitError, SteleError, VerifyError } from "../../schemas/error/mod.ts"
import { plain, rewrite, tiers } from "./meter-harness.ts"
import {
  block,
  br,
  brTable,
  call,
  callIndirect,
  f32,
  f64,
  get,
  i32,
  i64,
  iff,
  lane,
  loop,
  mem,
  memoryCopy,
  memoryFill,
  memoryGrow,
  memorySize,
  Module,
  preamble,
  refNull,
  returnCall,
  s,
  section,
  set,
  tableGrow,
  tryTable,
  u,
} from "./wasm-builder.ts"
import { replay, runsOf } from "../seed.ts"

t.setTimeout(600_000)

const bounds = { functionBodyBytesMax: 1 << 20 }
const decode = (bytes: Uint8Array): ReturnType<typeof decodeCoreModule> => decodeCoreModule(bytes, bounds)

/** Decoded and rewritten, as the host does it. */
const harden = (bytes: Uint8Array, tier: Tier = "deadline", memoryPagesMax = 100, tableElementsMax = 1_000): Uint8Array =>
  rewriteCoreModule(bytes, decode(bytes), { tier, injectedModule: "x", memoryPagesMax, tableElementsMax, functionBodyBytesMax: 1 << 20 }).bytes

const refusal = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    if (error instanceof SteleError) return `${error.name} ${error.reason._tag}`
    throw error
  }
  return "accepted"
}

/** A module with one function of this body. */
const body = (...code: ReadonlyArray<Parameters<typeof block>[1]>): Uint8Array<ArrayBuffer> => {
  const m = new Module()
  m.memory(1)
  m.table("funcref", 1)
  m.func([], [], {}, code)
  return m.bytes()
}
const memory = (...bytes: Array<number>): Uint8Array => {
  const m = new Module()
  m.rawMemory(bytes)
  return m.bytes()
}
const type = (...bytes: Array<number>): Uint8Array => {
  const m = new Module()
  m.rawType(bytes)
  return m.bytes()
}

t.test("`decodeCoreModule()` tells imports, exports and sizes when a module is good", async (t) => {
  const m = new Module()
  m.importFunc("env", "log", ["i32", "i64"], ["f64"])
  m.importGlobal("env", "base", "i32", true)
  m.importTable("env", "slots", "externref", 1, 2)
  m.importTag("env", "oops", ["f32"])
  m.memory(3, 9)
  m.table("funcref", 7)
  const f = m.func(["v128"], [], {}, [])
  m.export("run", "func", f).export("memory", "memory", 0).export("table", "table", 1).export("base", "global", 0).export("oops", "tag", 0)
  const module = decode(m.bytes())
  t.same(module.imports, [
    { module: "env", name: "log", type: { kind: "func", type: { params: ["i32", "i64"], results: ["f64"] } } },
    { module: "env", name: "base", type: { kind: "global", type: "i32", mutable: true } },
    { module: "env", name: "slots", type: { kind: "table", element: "externref", min: 1, max: 2 } },
    { module: "env", name: "oops", type: { kind: "tag", type: { params: ["f32"], results: [] } } },
  ])
  t.same(
    [...module.exports],
    [
      ["run", { kind: "func", type: { params: ["v128"], results: [] } }],
      ["memory", { kind: "memory", min: 3, max: 9 }],
      ["table", { kind: "table", element: "funcref", min: 7 }],
      ["base", { kind: "global", type: "i32", mutable: true }],
      ["oops", { kind: "tag", type: { params: ["f32"], results: [] } }],
    ],
  )
  t.equal(module.functionCount, 1)
  t.equal(module.memoryPagesInitial, 3)
  t.equal(module.tableElementsInitial, 7)
})

t.test("`decodeCoreModule()` refuses each feature under its own reason when a module uses it", async (t) => {
  const many = new Module()
  many.memory(1)
  many.memory(1)
  const imported = new Module()
  imported.importMemory("env", "memory", 1)
  imported.memory(1)
  const cases: ReadonlyArray<readonly [string, string, () => unknown]> = [
    ["no preamble", "VerifyError NotWasm", () => decode(new Uint8Array([1, 2, 3]))],
    ["no bytes", "VerifyError NotWasm", () => decode(new Uint8Array())],
    ["a component", "VerifyError Malformed", () => decode(new Uint8Array([0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0]))],
    ["shared memory", "VerifyError SharedMemory", () => decode(memory(3, 1, 1))],
    ["memory64", "VerifyError Memory64", () => decode(memory(4, 1))],
    ["custom page size", "VerifyError CustomPageSize", () => decode(memory(8, 1, 0))],
    ["two memories", "VerifyError MultipleMemories", () => decode(many.bytes())],
    ["an imported and an own memory", "VerifyError MultipleMemories", () => decode(imported.bytes())],
    ["a rec group", "VerifyError GcTypes", () => decode(type(0x4e, 1, 0x60, 0, 0))],
    ["a sub type", "VerifyError GcTypes", () => decode(type(0x50, 0, 0x60, 0, 0))],
    ["a struct", "VerifyError GcTypes", () => decode(type(0x5f, 0))],
    ["an array", "VerifyError GcTypes", () => decode(type(0x5e, 0x7f, 0))],
    ["anyref", "VerifyError GcTypes", () => decode(type(0x60, 1, 0x6e, 0))],
    ["a typed reference", "VerifyError TypedReferences", () => decode(type(0x60, 1, 0x64, 0x70, 0))],
    ["a continuation", "VerifyError StackSwitching", () => decode(type(0x5d, 0))],
    ["an atomic load", "VerifyError Threads", () => harden(body(i32(0), mem("i32.atomic.load"), "drop"))],
    ["struct.new", "VerifyError GcTypes", () => harden(body([0xfb, 0, 0]))],
    ["call_ref", "VerifyError TypedReferences", () => harden(body([0x14, 0]))],
    ["cont.new", "VerifyError StackSwitching", () => harden(body([0xe0, 0]))],
    ["an unassigned opcode", "VerifyError UnknownOpcode", () => harden(body([0x27]))],
    ["an unassigned SIMD opcode", "VerifyError UnknownOpcode", () => harden(body([0xfd, 0x9a, 0x01]))],
    ["an unassigned bulk opcode", "VerifyError UnknownOpcode", () => harden(body([0xfc, 0x12]))],
    ["an opcode behind a return", "VerifyError UnknownOpcode", () => harden(body("return", [0xfc, 0x12]))],
    ["relaxed SIMD under fuel", "VerifyError RelaxedSimd", () => harden(body([0xfd, ...u(0x105)]), "fuel")],
    [
      "a memory instruction without a memory",
      "VerifyError Malformed",
      () => {
        const m = new Module()
        m.func([], ["i32"], {}, [i32(0), mem("i32.load")])
        return harden(m.bytes())
      },
    ],
    ["memory index 1", "VerifyError MultipleMemories", () => harden(body(i32(0), [0x28, 0x42, 1, 0], "drop"))],
    ["an initial memory above the cap", "LimitError memoryBytesMax", () => harden(memory(0, ...u(101)))],
    [
      "an initial table above the cap",
      "LimitError tableElementsMax",
      () => {
        const m = new Module()
        m.table("funcref", 1_001)
        return harden(m.bytes())
      },
    ],
    ["a huge body", "LimitError functionBodyBytesMax", () => decodeCoreModule(body(["nop", "nop", "nop"]), { functionBodyBytesMax: 4 })],
    [
      "a frame of more than 32 KiB",
      "VerifyError FrameSize",
      () => {
        const m = new Module()
        m.func([], [], { locals: Array.from({ length: 4_090 }, () => "i64" as const) }, [])
        return harden(m.bytes())
      },
    ],
    [
      "more locals than engines take",
      "VerifyError TooMany",
      () => {
        const m = new Module()
        m.rawFunc(m.type([], []), [1, ...u(0xffff_ffff), 0x7f, 0x0b])
        return harden(m.bytes())
      },
    ],
    ["more types than bytes", "VerifyError Malformed", () => decode(new Uint8Array([...preamble, ...section(1, u(0xffff_ffff))]))],
    [
      "too many tables",
      "VerifyError TooMany",
      () => {
        const m = new Module()
        m.raw(4, [...u(1_001), ...Array.from({ length: 1_001 }, () => [0x70, 0, 0]).flat()])
        return decode(m.bytes())
      },
    ],
    [
      "two exports of one name",
      "VerifyError Malformed",
      () => {
        const m = new Module()
        m.memory(1)
        m.export("a", "memory", 0).export("a", "memory", 0)
        return decode(m.bytes())
      },
    ],
    ["sections out of order", "VerifyError Malformed", () => decode(new Uint8Array([...preamble, ...section(5, [1, 0, 1]), ...section(4, [1, 0x70, 0, 0])]))],
    ["a name that is not UTF-8", "VerifyError Malformed", () => decode(new Uint8Array([...preamble, ...section(2, [1, 1, 0xff, 0, 0, 0])]))],
  ]
  for (const [what, expected, run] of cases) t.equal(refusal(run), expected, what)
})

t.test("`rewriteCoreModule()` accepts an unreachable or exceptional body under relaxed SIMD when the tier is not fuel", async (t) => {
  for (const tier of ["deadline", "slice", "off"] as const) {
    const m = new Module()
    m.func(["v128"], ["v128"], { export: "madd" }, [get(0), get(0), get(0), "f32x4.relaxed_madd"])
    t.ok(WebAssembly.validate(rewrite(m.bytes(), { tier }).bytes), tier)
  }
})

t.test("`rewriteCoreModule()` writes maxima into the binary when a memory or table has none or a larger one", async (t) => {
  for (const tier of ["off", "slice", "fuel"] as const) {
    const m = new Module()
    m.memory(2)
    m.table("funcref", 3)
    m.table("externref", 3, 70_000)
    m.table("funcref", 3, 10)
    m.export("memory", "memory", 0)
    const found = decode(harden(m.bytes(), tier, 16, 500))
    t.same(found.layout.memories, [{ min: 2, max: 16 }], tier)
    t.same(
      found.layout.tables.map((table) => table.max),
      [500, 500, 10],
      tier,
    )
  }
})

t.test("`rewriteCoreModule()` keeps the exports' names and types when it rewrites", async (t) => {
  const m = new Module()
  m.importFunc("env", "f", ["i64"], ["f32", "f64"])
  m.memory(1, 4)
  const g = m.global("f64", true, f64(1))
  const f = m.func(["i32", "externref"], ["i32", "v128"], {}, [loop([], br(0)), "unreachable"])
  m.export("__proto__", "func", f).export("constructor", "global", g).export("", "memory", 0)
  const before = decode(m.bytes())
  for (const tier of ["off", "slice", "fuel"] as const) {
    const after = decode(rewrite(m.bytes(), { tier, memoryPagesMax: 4 }).bytes)
    t.same(
      [...after.exports],
      [...before.exports, ["injected:testk0", { kind: "global", type: "f64", mutable: true }]],
      `${tier}: and its mutable global once more`,
    )
    t.same(after.imports.slice(0, before.imports.length), before.imports, tier)
  }
  const { bytes, needs } = rewrite(m.bytes(), { tier: "deadline" })
  const stopped = new WebAssembly.Module(bytes)
  t.same(
    WebAssembly.Module.exports(stopped).map(({ name, kind }) => ({ name, kind })),
    [...[...before.exports].map(([name, { kind }]) => ({ name, kind: kind === "func" ? "function" : kind })), { name: "injected:testk0", kind: "global" }],
    "deadline",
  )
  t.same(needs.memory, { min: 1, max: 4 }, "the memory comes from the host, with the module's limits")
  t.equal(
    refusal(() => decode(bytes)),
    "VerifyError SharedMemory",
    "and a rewritten module does not come in again",
  )
})

t.test("`rewriteCoreModule()` drops custom sections except names and its branch hints when it rewrites", async (t) => {
  const m = new Module()
  m.func([], [], { export: "spin", name: "spinner" }, [loop([], br(0))])
  m.custom("producers", [1, 2, 3]).custom("name", [9, 9, 9]).custom("metadata.code.branch_hint", [0xff])
  for (const tier of tiers) {
    const module = new WebAssembly.Module(rewrite(m.bytes(), { tier }).bytes)
    t.equal(WebAssembly.Module.customSections(module, "name").length, 1, tier)
    t.equal(WebAssembly.Module.customSections(module, "producers").length, 0, tier)
  }
})

t.test("the allow-list knows every instruction of its tables when the engine knows it", async (t) => {
  // Each opcode that the tables accept is one that the engine at least recognises: it may fail to validate, but not as unknown.
  const unknown: Array<string> = []
  const probe = (code: ReadonlyArray<number>): void => {
    const m = new Module()
    m.memory(1)
    m.table("funcref", 1)
    m.rawFunc(m.type([], []), [0, 0x00, ...code, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0b])
    try {
      t.not(new WebAssembly.Module(m.bytes()), undefined)
    } catch (error) {
      if (/invalid (numeric )?opcode|invalid opcode 0x/i.test(String(error))) unknown.push(code.map((b) => b.toString(16)).join(" "))
    }
  }
  for (let code = 0; code < 256; code++) if (single.immediate[code] !== 0 && code < 0xfc) probe([code])
  for (let code = 0; code < misc.immediate.length; code++) if (misc.immediate[code] !== 0) probe([0xfc, ...u(code)])
  for (let code = 0; code < simd.immediate.length; code++) if (simd.immediate[code] !== 0) probe([0xfd, ...u(code)])
  t.same(unknown, [])
})

/** A module with a little of everything, to mutate. */
const everything = (): Uint8Array<ArrayBuffer> => {
  const m = new Module()
  const log = m.importFunc("env", "log", ["i32"], [])
  m.memory(1, 4)
  const table = m.table("funcref", 4, 8)
  const g = m.global("i64", true, i64(-5))
  const tag = m.tag(["i32"])
  const two = m.type(["i32"], ["i32"])
  const f = m.func(["i32"], ["i32"], { export: "f", name: "f", locals: ["f32", "f64", "v128"] }, (self) => [
    block([], block([], get(0), brTable(0, 1, 0))),
    loop([], get(0), i32(1), "i32.sub", set(0), get(0), iff([], [br(1)])),
    f32(1.5),
    f32(2.5),
    "f32.div",
    set(1),
    get(3),
    lane("f32x4.extract_lane", 1),
    "drop",
    i32(0),
    i32(7),
    i32(100),
    memoryFill,
    i32(0),
    i32(7),
    get(0),
    memoryCopy,
    i32(1),
    memoryGrow,
    "drop",
    memorySize,
    call(log),
    refNull("funcref"),
    i32(1),
    tableGrow(table),
    "drop",
    block([], block(["i32"], tryTable(["i32"], [{ tag, label: 0 }, { label: 1 }], get(0), i32(0), callIndirect(two))), set(0)),
    get(0),
    returnCall(self),
  ])
  m.elem(i32(0), [f])
  m.data(i32(8), [1, 2, 3])
  m.start(m.func([], [], {}, [[0x23, ...u(g)], "drop"]))
  return m.bytes()
}

t.test("`decodeCoreModule()` and `rewriteCoreModule()` answer or refuse with a typed error when bytes are mutated", async (t) => {
  const original = everything()
  t.ok(WebAssembly.validate(original))
  const runs = runsOf(10_000)
  t.comment(`${replay} STELE_TEST_RUNS=${runs}: ${runs} mutants`)
  let refused = 0
  let invalidAfter = 0
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(original.length - 1), fc.nat(255), fc.constantFrom("set", "insert", "delete", "cut")), { minLength: 1, maxLength: 6 }),
      fc.constantFrom(...tiers),
      (edits, tier) => {
        let bytes = Array.from(original)
        for (const [at, value, how] of edits) {
          if (how === "set") bytes[at % bytes.length] = value
          else if (how === "insert") bytes.splice(at % bytes.length, 0, value)
          else if (how === "delete") bytes.splice(at % bytes.length, 1)
          else bytes = bytes.slice(0, Math.max(8, at))
        }
        const mutant = new Uint8Array(bytes)
        let rewritten: Uint8Array<ArrayBuffer>
        try {
          rewritten = rewrite(mutant, { tier }).bytes
        } catch (error) {
          if (error instanceof VerifyError || error instanceof LimitError) {
            refused++
            return
          }
          throw error
        }
        // What the engine accepts before, it accepts after.
        if (WebAssembly.validate(mutant) && !WebAssembly.validate(rewritten)) {
          invalidAfter++
          throw new Error(`The rewritten module does not validate under ${tier}`)
        }
      },
    ),
    { numRuns: runs },
  )
  t.equal(invalidAfter, 0)
  t.ok(refused > runs / 10, `${refused} refused`)
})

t.test("`plain()` and builder agree with the engine when integers are encoded", async (t) => {
  const m = new Module()
  const values = [0, 1, -1, 63, 64, -64, -65, 2 ** 31 - 1, -(2 ** 31), 8191, 8192]
  for (const [index, value] of values.entries()) m.func([], ["i32"], { export: `v${index}` }, [i32(value)])
  const exports = plain(m.bytes())
  t.same(
    values.map((_, index) => exports[`v${index}`]?.()),
    values,
  )
  t.same(s(-1), [0x7f])
})

t.test("`decodeCoreModule()` keeps one object for a function type when thousands of imports and exports have it", async (t) => {
  const wide = Array.from({ length: 1_000 }, () => "i32" as const)
  const m = new Module()
  for (let i = 0; i < 1_000; i++) m.importFunc("", String(i), wide, wide)
  for (let i = 0; i < 1_000; i++) m.export(String(i), "func", i)
  const { imports, exports } = decode(m.bytes())
  const distinct = new Set([...imports.map(({ type }) => type), ...exports.values()].map((type) => (type.kind === "func" ? type.type : undefined)))
  t.equal(imports.length + exports.size, 2_000)
  t.equal(distinct.size, 1, "16 KB once, not for every four bytes of binary")
})
