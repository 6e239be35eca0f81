/**
 * Random valid core modules over the whole list of instructions: every numeric and SIMD one, several tables and memories'
 * bulk operations, all forms of element and data segments, blocks with parameters, several results, branches that carry
 * values, both kinds of exceptions, tail calls, references. They end: each loop turn and call takes from a counter.
 *
 * The generator keeps its own table of opcodes and its own list of instructions that make NaNs: with `mask`, each of
 * those is followed by code that replaces a NaN by the canonical one. A masked module run plain is what the same module
 * without masks must do under `fuel`, bit for bit.
 *
 * Exports: `run` (i32) → i32, `memory`, `sum` (mutable i64), and whatever else was rolled.
 */
import type { Tier } from "../../host/meter/needs.ts"
import { type Guest, instantiate, type RunOptions } from "./meter-harness.ts"
import { random } from "./stop-soundness-guests.ts"
import { append, assemble, type Code, name, preamble, s, section, u } from "./wasm-builder.ts"

type Type = "i32" | "i64" | "f32" | "f64" | "v128" | "funcref" | "externref" | "exnref"
type Types = ReadonlyArray<Type>

const typeBytes: Readonly<Record<Type, number>> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b, funcref: 0x70, externref: 0x6f, exnref: 0x69 }
const letters: Readonly<Record<string, Type>> = { i: "i32", l: "i64", f: "f32", d: "f64", v: "v128" }

/** An instruction without immediates: operands, result, and the shape of a NaN it may make. */
interface Plain {
  readonly code: ReadonlyArray<number>
  readonly takes: Types
  readonly gives: Type
  readonly nan: "f" | "d" | "vf" | "vd" | undefined
}

const plains = new Map<Type, Array<Plain>>()
/** `signature` is `operands>result`, with `!f`, `!d`, `!vf` or `!vd` behind it when the bits of a NaN are left open. */
const ops = (signature: string, prefix: ReadonlyArray<number>, codes: string): void => {
  const [type = "", nan] = signature.split("!")
  const [takes = "", gives = ""] = type.split(">")
  for (const range of codes.split(" ")) {
    const [from, to = from] = range.split("-").map((text) => Number.parseInt(text, prefix.length === 0 ? 16 : 10)) as [number, number?]
    for (let code = from; code <= to; code++) {
      const result = letters[gives] as Type
      const list = plains.get(result) ?? []
      plains.set(result, list)
      list.push({
        code: prefix.length === 0 ? [code] : [...prefix, ...u(code)],
        takes: [...takes].map((letter) => letters[letter] as Type),
        gives: result,
        nan: nan as Plain["nan"],
      })
    }
  }
}
ops("i>i", [], "45 67-69 c0-c1")
ops("ii>i", [], "46-4f 6a-78")
ops("l>i", [], "50 a7")
ops("ll>i", [], "51-5a")
ops("ff>i", [], "5b-60")
ops("dd>i", [], "61-66")
ops("f>i", [], "a8-a9 bc")
ops("d>i", [], "aa-ab")
ops("l>l", [], "79-7b c2-c4")
ops("ll>l", [], "7c-8a")
ops("i>l", [], "ac-ad")
ops("f>l", [], "ae-af")
ops("d>l", [], "b0-b1 bd")
ops("f>f", [], "8b-8c")
ops("f>f!f", [], "8d-91")
ops("ff>f!f", [], "92-97")
ops("ff>f", [], "98")
ops("i>f", [], "b2-b3 be")
ops("l>f", [], "b4-b5")
ops("d>f!f", [], "b6")
ops("d>d", [], "99-9a")
ops("d>d!d", [], "9b-9f")
ops("dd>d!d", [], "a0-a5")
ops("dd>d", [], "a6")
ops("i>d", [], "b7-b8")
ops("l>d", [], "b9-ba bf")
ops("f>d!d", [], "bb")
ops("f>i", [0xfc], "0-1")
ops("d>i", [0xfc], "2-3")
ops("f>l", [0xfc], "4-5")
ops("d>l", [0xfc], "6-7")
ops("i>v", [0xfd], "15-17")
ops("l>v", [0xfd], "18")
ops("f>v", [0xfd], "19")
ops("d>v", [0xfd], "20")
ops("v>v", [0xfd], "77 96-98 124-129 135-138 160-161 167-170 192-193 199-202 224-225 236-237 248-255")
ops("v>v!vf", [0xfd], "94 103-106 227")
ops("v>v!vd", [0xfd], "95 116-117 122 148 239")
ops("vv>v", [0xfd], "14 35-76 78-81 101-102 110-115 118-121 123 130 133-134 142-147 149-153 155-159 174 177 181-186 188-191 206 209 213-223 234-235 246-247")
ops("vv>v!vf", [0xfd], "228-233")
ops("vv>v!vd", [0xfd], "240-245")
ops("vvv>v", [0xfd], "82")
ops("vi>v", [0xfd], "107-109 139-141 171-173 203-205")
ops("v>i", [0xfd], "83 99-100 131-132 163-164 195-196")

/** Divisions, remainders and truncations that may trap: rolled seldom, so that most bodies run to their end. */
const traps = new Set([0x6d, 0x6e, 0x6f, 0x70, 0x7f, 0x80, 0x81, 0x82, 0xa8, 0xa9, 0xaa, 0xab, 0xae, 0xaf, 0xb0, 0xb1])

/** Lane instructions: opcode, lanes, scalar; the replacing form stands behind the extracting ones. */
const lanes: ReadonlyArray<readonly [extract: ReadonlyArray<number>, replace: number, count: number, scalar: Type]> = [
  [[21, 22], 23, 16, "i32"],
  [[24, 25], 26, 8, "i32"],
  [[27], 28, 4, "i32"],
  [[29], 30, 2, "i64"],
  [[31], 32, 4, "f32"],
  [[33], 34, 2, "f64"],
]
/** Loads by type: opcode and greatest alignment. */
const loads: Readonly<Partial<Record<Type, ReadonlyArray<readonly [code: ReadonlyArray<number>, align: number]>>>> = {
  i32: [[[0x28], 2], [[0x2c], 0], [[0x2d], 0], [[0x2e], 1], [[0x2f], 1]],
  i64: [[[0x29], 3], [[0x30], 0], [[0x31], 0], [[0x32], 1], [[0x33], 1], [[0x34], 2], [[0x35], 2]],
  f32: [[[0x2a], 2]],
  f64: [[[0x2b], 3]],
  v128: [
    [[0xfd, 0], 4],
    ...[1, 2, 3, 4, 5, 6].map((code) => [[0xfd, code], 3] as const),
    [[0xfd, 7], 0], [[0xfd, 8], 1], [[0xfd, 9], 2], [[0xfd, 10], 3], [[0xfd, 92], 2], [[0xfd, 93], 3],
  ],
} // oxfmt-ignore
const stores: typeof loads = {
  i32: [[[0x36], 2], [[0x3a], 0], [[0x3b], 1]],
  i64: [[[0x37], 3], [[0x3c], 0], [[0x3d], 1], [[0x3e], 2]],
  f32: [[[0x38], 2]],
  f64: [[[0x39], 3]],
  v128: [[[0xfd, 11], 4]],
} // oxfmt-ignore

interface Signature {
  readonly params: Types
  readonly results: Types
}
interface Label {
  readonly types: Types
  readonly isLoop: boolean
}

const isReference = (type: Type): boolean => type === "funcref" || type === "externref" || type === "exnref"
const same = (a: Types, b: Types): boolean => a.length === b.length && a.every((type, i) => type === b[i])

export interface RandomModule {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** What it imports, in the shape of `WebAssembly.Imports`, with fresh state; the same for every call. */
  imports(): WebAssembly.Imports
}

/** A module of this seed; `mask` canonicalises NaNs in the guest itself. The masks draw nothing: both forms are else the same. */
export function randomModule(seed: number, mask: boolean): RandomModule {
  const pick = random(seed)
  const int = (below: number): number => pick(below) | 0
  const chance = (percent: number): boolean => int(100) < percent
  const one = <A>(list: ReadonlyArray<A>): A => list[int(list.length)] as A
  const types: Array<string> = []
  const typeIndex = ({ params, results }: Signature): number => {
    const bytes = [0x60, ...u(params.length), ...params.map((p) => typeBytes[p]), ...u(results.length), ...results.map((r) => typeBytes[r])]
    const known = types.indexOf(bytes.join())
    return known >= 0 ? known : types.push(bytes.join()) - 1
  }
  const withVectors = chance(60)
  const withReferences = chance(60)
  const valueTypes: Types = [
    "i32",
    "i64",
    "f32",
    "f64",
    ...(withVectors ? (["v128", "v128"] as const) : []),
    ...(withReferences ? (["funcref", "externref"] as const) : []),
  ]
  const someTypes = (max: number): Types => Array.from({ length: int(max + 1) }, () => one(valueTypes))
  const padded = (index: number): Array<number> => (chance(5) ? [(index & 0x7f) | 0x80, ((index >> 7) & 0x7f) | 0x80, index >> 14] : u(index))

  // ── Index spaces ────────────────────────────────────────────────────────
  const importsHost = chance(70)
  const importsMemory = chance(30)
  const importsTable = chance(30)
  const importsGlobal = chance(40)
  const functions: Array<Signature> = []
  if (importsHost) functions.push({ params: ["i32"], results: ["i32"] })
  const firstDefined = functions.length
  const definedCount = 2 + int(5)
  for (let i = 0; i < definedCount; i++)
    functions.push(i === 0 ? { params: ["i32"], results: ["i32"] } : { params: someTypes(4), results: someTypes(chance(20) ? 6 : 2) })
  const globals: Array<{ readonly type: Type; readonly mutable: boolean }> = []
  if (importsGlobal) globals.push({ type: "i32", mutable: false }, { type: "i64", mutable: true })
  const firstGlobal = globals.length
  const counter = globals.push({ type: "i32", mutable: true }) - 1
  const sum = globals.push({ type: "i64", mutable: true }) - 1
  for (let i = int(5); i > 0; i--) globals.push({ type: one(valueTypes), mutable: chance(80) })
  const tables: Array<"funcref" | "externref"> = importsTable ? ["funcref"] : []
  tables.push("funcref")
  if (withReferences) tables.push("externref", ...(chance(50) ? (["funcref", "externref"] as const) : []))
  const tableTargets = 8
  const legacy = chance(50)
  const tags: Array<Types> = Array.from({ length: int(3) }, () => someTypes(2))
  const dataLengths = Array.from({ length: int(4) }, () => int(40))
  const dataKinds = dataLengths.map(() => int(3))
  /** Passive segments by element type, for `table.init`. */
  const elemTypes: Array<"funcref" | "externref"> = []
  const elems: Array<ReadonlyArray<number>> = []

  // ── Constants and canonical NaNs ────────────────────────────────────────
  const constant = (type: Type): Array<number> => {
    switch (type) {
      case "i32":
        return [0x41, ...s(chance(50) ? int(20) - 4 : one([0x7fffffff, -0x80000000, 0x10000, 0xfff8, int(0x7fffffff)]))]
      case "i64":
        return [0x42, ...s(chance(50) ? BigInt(int(20) - 4) : BigInt.asIntN(64, BigInt(int(0x7fffffff)) * 0x1_0000_0003_0001n))]
      case "f32": {
        const bits = one([
          0,
          0x80000000,
          0x3f800000,
          0x7f800000,
          0xff800000,
          0x7fc00000,
          0xffc00000,
          0x7fa00001,
          0xffa00002,
          0xff800000,
          1,
          0x4f000000,
          int(0x7fffffff),
        ])
        return [0x43, bits & 255, (bits >>> 8) & 255, (bits >>> 16) & 255, bits >>> 24]
      }
      case "f64": {
        const high = one([
          0,
          0x80000000,
          0x3ff00000,
          0x7ff00000,
          0xfff00000,
          0x7ff80000,
          0xfff80000,
          0x7ff40000,
          0xfff40000,
          0xfff00000,
          0x41e00000,
          int(0x7fffffff),
        ])
        return [
          0x44,
          ...(chance(80) ? [0, 0, 0, 0] : [int(256), int(256), int(256), int(256)]),
          high & 255,
          (high >>> 8) & 255,
          (high >>> 16) & 255,
          high >>> 24,
        ]
      }
      case "v128": {
        const half = (): Array<number> => (chance(50) ? constant("f64").slice(1) : [...constant("f32").slice(1), ...constant("f32").slice(1)])
        return [0xfd, 12, ...half(), ...half()]
      }
      default:
        return [0xd0, typeBytes[type]]
    }
  }
  const canonical: Readonly<Record<string, Code>> = {
    f: [0x43, 0, 0, 0xc0, 0x7f],
    d: [0x44, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f],
    vf: [0xfd, 12, ...Array.from({ length: 4 }, () => [0, 0, 0xc0, 0x7f]).flat()],
    vd: [0xfd, 12, ...Array.from({ length: 2 }, () => [0, 0, 0, 0, 0, 0, 0xf8, 0x7f]).flat()],
  }

  // ── One body ────────────────────────────────────────────────────────────
  let self: Signature = functions[firstDefined] as Signature
  let locals: Array<Type> = []
  let scratch: Readonly<Record<string, number>> = {}
  let labels: Array<Label> = []
  /** Labels there were when each enclosing handler of the older kind began: what `rethrow` counts from. */
  let handlers: Array<number> = []
  const local = (op: number, index: number): Code => [op, ...padded(index)]
  const masked = (nan: Plain["nan"]): Code => {
    if (nan === undefined || !mask) return []
    const at = u(scratch[nan] as number)
    const pair: Code = [0x20, ...at, 0x20, ...at]
    const choose = nan === "f" ? [0x5b, 0x1b] : nan === "d" ? [0x61, 0x1b] : nan === "vf" ? [0xfd, 65, 0xfd, 82] : [0xfd, 71, 0xfd, 82]
    return [0x22, ...at, canonical[nan] as Code, pair, choose]
  }
  const spend: Code = [0x23, ...u(counter), 0x41, 1, 0x6b, 0x24, ...u(counter), 0x23, ...u(counter), 0x41, 0, 0x48, 0x04, 0x40, 0x00, 0x0b]
  const address = (depth: number): Code => [value("i32", depth - 1), 0x41, ...s(chance(1) ? 0x1ffff : 0xfbc0), 0x71]
  const memoryArgument = (align: number): Array<number> => [int(align + 1), ...padded(chance(1) ? 0x10000 : int(16))]
  const small = (depth: number, max: number): Code => [value("i32", depth - 1), 0x41, ...s(max), 0x71]
  const values = (list: Types, depth: number): Code => list.map((type) => value(type, depth - 1))
  const drops = (list: Types): Code => list.map(() => 0x1a)
  const tablesOf = (type: Type): Array<number> => tables.flatMap((t, i) => (t === type ? [i] : []))

  /** Runs `body` under one more label; answers opener, type and code. */
  const nested = (opener: number, params: Types, results: Types, body: () => Code, between: Code = []): Code => {
    const isLoop = opener === 0x03
    labels.unshift({ types: isLoop ? params : results, isLoop })
    const code = body()
    labels.shift()
    const short = params.length === 0 && results.length < 2 && chance(70)
    const type = short ? (results.length === 0 ? [0x40] : [typeBytes[results[0] as Type]]) : s(typeIndex({ params, results }))
    return [opener, type, between, code, 0x0b]
  }
  /** Parameters of a block into locals, or off. */
  const settle = (params: Types): Code =>
    [...params].toReversed().map((type) => {
      const at = locals.flatMap((t, i) => (t === type ? [i] : []))
      return at.length > 0 && chance(70) ? local(0x21, one(at)) : 0x1a
    })

  /** Code that leaves values of these types. */
  function several(list: Types, depth: number): Code {
    if (depth <= 0) return values(list, 0)
    const choice = int(12)
    if (choice < 2) {
      const params = someTypes(2)
      return [values(params, depth), nested(0x02, params, list, () => [settle(params), statements(depth - 1), several(list, depth - 1)])]
    }
    if (choice === 2)
      return [value("i32", depth - 1), nested(0x04, [], list, () => [several(list, depth - 1), 0x05, statement(depth - 1), several(list, depth - 1)])]
    if (choice === 3) {
      const params = someTypes(1)
      return [values(params, depth), nested(0x03, params, list, () => [settle(params), spend, statements(depth - 1), several(list, depth - 1)])]
    }
    if (choice === 4) {
      const callees = functions.flatMap((f, i) => (same(f.results, list) && i > 0 ? [i] : []))
      if (callees.length > 0) return called(one(callees), depth)
    }
    if (choice === 5) {
      // A branch that may carry the values out, and may not.
      const to = labels.flatMap((label, i) => (same(label.types, list) ? [i] : []))
      if (to.length > 0) return [values(list, depth), value("i32", depth - 1), 0x0d, ...u(one(to))]
    }
    if (choice === 6 && legacy) {
      return nested(0x06, [], list, () => {
        const body: Array<Code> = [several(list, depth - 1)]
        for (const [t, carried] of tags.entries()) if (chance(60)) body.push([0x07, ...u(t)], settle(carried), handler(list, depth))
        if (chance(60)) body.push(0x19, handler(list, depth))
        return body
      })
    }
    if (choice === 7 && !legacy) {
      if (chance(30))
        // The same with a reference to the exception, dropped or thrown on.
        return nested(0x02, [], list, () => {
          labels.unshift({ types: ["exnref"], isLoop: false })
          const inner = nested(0x1f, [], list, () => several(list, depth - 1), [1, 3, 0])
          labels.shift()
          return [0x02, 0x69, inner, 0x0c, 1, 0x0b, chance(80) ? 0x1a : 0x0a, several(list, depth - 1)]
        })
      // block (result list) block (result tag…) try_table … end; br 1; end; the carried values; list; end
      const t = int(tags.length + 1)
      const carried = tags[t] ?? []
      return nested(0x02, [], list, () => [
        nested(0x02, [], carried, () => {
          const clause: Code = t < tags.length ? [0, ...u(t), 0] : [2, 0]
          return [nested(0x1f, [], list, () => several(list, depth - 1), [1, clause]), 0x0c, 1]
        }),
        settle(carried),
        several(list, depth - 1),
      ])
    }
    return values(list, depth)
  }
  const handler = (list: Types, depth: number): Code => {
    handlers.unshift(labels.length)
    const code = [statement(depth - 2), several(list, depth - 2)]
    handlers.shift()
    return code
  }
  const called = (callee: number, depth: number): Code => {
    const { params, results } = functions[callee] as Signature
    const args = several(params, depth - 1)
    if (chance(30)) return [args, small(depth, tableTargets - 1), 0x11, ...padded(typeIndex({ params, results })), ...u(one(tablesOf("funcref")))]
    return [args, 0x10, ...padded(callee)]
  }

  /** Code that leaves one value. */
  function value(type: Type, depth: number): Code {
    const at = locals.flatMap((t, i) => (t === type ? [i] : []))
    if (depth <= 0) {
      if (at.length > 0 && chance(60)) return local(0x20, one(at))
      const readable = globals.flatMap((g, i) => (g.type === type ? [i] : []))
      return readable.length > 0 && chance(40) ? [0x23, ...padded(one(readable))] : constant(type)
    }
    const choice = int(20)
    if (choice === 0 && at.length > 0) return [value(type, depth - 1), local(0x22, one(at))]
    if (choice === 1)
      return [value(type, depth - 1), value(type, depth - 1), value("i32", depth - 1), isReference(type) || chance(50) ? [0x1c, 1, typeBytes[type]] : 0x1b]
    if (choice <= 4) return several([type], depth)
    if (choice === 5 && loads[type] !== undefined) {
      const [code, align] = one(loads[type] ?? [])
      return [address(depth), code, memoryArgument(align)]
    }
    if (choice === 6 && !isReference(type)) {
      // A value below code that branches and calls.
      const under = one(valueTypes)
      return [
        value(under, depth - 1),
        value(type, depth - 2),
        nested(0x02, [type], [type], () => [statement(depth - 2)]),
        ...(at.length > 0 ? [local(0x21, one(at)), 0x1a, local(0x20, one(at))] : [[0x1a, 0x1a], constant(type)]),
      ]
    }
    if (isReference(type)) {
      const from = tablesOf(type)
      if (from.length > 0 && chance(50)) return [small(depth, 7), 0x25, ...padded(one(from))]
      return type === "funcref" && referable.length > 0 ? [0xd2, ...padded(one(referable))] : constant(type)
    }
    if (choice === 7 && type === "i32") {
      const kind = int(6)
      if (kind === 0) return [0x3f, 0]
      if (kind === 1) return [small(depth, 1), 0x40, 0]
      if (kind === 2) return [0xfc, 16, ...u(int(tables.length))]
      if (kind === 3) {
        const t = int(tables.length)
        return [value(tables[t] as Type, depth - 1), small(depth, 3), 0xfc, 15, ...u(t)]
      }
      if (kind === 4 && withReferences) return [value(one(["funcref", "externref"] as const), depth - 1), 0xd1]
    }
    if (choice <= 9 && withVectors) {
      const [extract, replace, count, scalar] = one(lanes)
      if (type === scalar) return [value("v128", depth - 1), 0xfd, ...u(one(extract)), int(count)]
      if (type === "v128" && chance(50)) return [value("v128", depth - 1), value(scalar, depth - 1), 0xfd, ...u(replace), int(count)]
      if (type === "v128") {
        if (chance(50)) return [value("v128", depth - 1), value("v128", depth - 1), 0xfd, 13, ...Array.from({ length: 16 }, () => int(32))]
        const width = int(4)
        return [address(depth), value("v128", depth - 1), 0xfd, 84 + width, memoryArgument(width), int(16 >> width)]
      }
    }
    const rough = chance(5)
    const usable = (plains.get(type) ?? []).filter((op) => (withVectors || !op.takes.includes("v128")) && (!traps.has(op.code[0] as number) || rough))
    // Half of all float arithmetic is of the kind that makes NaNs.
    const makers = usable.filter((op) => op.nan !== undefined)
    const op = one(makers.length > 0 && chance(50) ? makers : usable)
    return [values(op.takes, depth), op.code, masked(op.nan)]
  }

  const statements = (depth: number): Code => Array.from({ length: int(3) }, () => statement(depth))

  function statement(depth: number): Code {
    if (depth <= 0) return [value("i64", 0), 0x23, ...u(sum), 0x7c, 0x24, ...u(sum)]
    const choice = int(22)
    if (choice < 3) {
      const at = int(locals.length)
      return [value(locals[at] as Type, depth - 1), local(0x21, at)]
    }
    if (choice === 3) {
      const writable = globals.flatMap((g, i) => (g.mutable && i !== counter ? [i] : []))
      const at = one(writable)
      return [value((globals[at] as { type: Type }).type, depth - 1), 0x24, ...padded(at)]
    }
    if (choice <= 5) {
      const type = one(["i32", "i64", "f32", "f64", ...(withVectors ? (["v128"] as const) : [])] as const)
      const [code, align] = one(stores[type] ?? [])
      return [address(depth), value(type, depth - 1), code, memoryArgument(align)]
    }
    if (choice === 6) {
      const callee = int(functions.length)
      return [called(callee, depth), drops((functions[callee] as Signature).results)]
    }
    if (choice === 7) return [value("i32", depth - 1), nested(0x04, [], [], () => [statements(depth - 1), chance(50) ? [0x05, statements(depth - 1)] : []])]
    if (choice === 8) return nested(0x03, [], [], () => [spend, statements(depth - 1), value("i32", depth - 1), 0x0d, 0])
    if (choice === 9) {
      // Out of somewhere, with what it wants, in a block of its own: the code behind it is dead.
      return nested(0x02, [], [], () => {
        const to = int(labels.length)
        const { types: carried } = labels[to] as Label
        const kind = int(5)
        const exit: Code = [value("i32", depth - 1), 0x45, 0x0d, 0]
        if (kind === 0) return [exit, several(carried, depth - 1), 0x0c, ...u(to), chance(50) ? [statement(depth - 1)] : []]
        if (kind === 1) return [exit, several(self.results, depth - 1), 0x0f, chance(50) ? [0x1a, 0x6a, 0x1a] : []]
        if (kind === 2) {
          const alike = labels.flatMap((label, i) => (same(label.types, carried) ? [i] : []))
          return [exit, several(carried, depth - 1), small(depth, 7), 0x0e, ...u(3), ...u(one(alike)), ...u(one(alike)), ...u(to), ...u(one(alike))]
        }
        const tails = functions.flatMap((f, i) => (same(f.results, self.results) && i >= firstDefined ? [i] : []))
        if (kind === 3 && tails.length > 0) {
          const callee = one(tails)
          const signature = functions[callee] as Signature
          const args = several(signature.params, depth - 1)
          if (chance(50)) return [exit, args, small(depth, tableTargets - 1), 0x13, ...u(typeIndex(signature)), ...u(one(tablesOf("funcref")))]
          return [exit, args, 0x12, ...u(callee)]
        }
        if (handlers.length > 0 && chance(50)) return [exit, 0x09, ...u(labels.length - one(handlers))]
        if (tags.length === 0) return [chance(10) ? [exit, 0x00] : []]
        const tag = int(tags.length)
        return [exit, several(tags[tag] as Types, depth - 1), 0x08, ...u(tag)]
      })
    }
    if (choice === 10) return [address(depth), value("i32", depth - 1), small(depth, 0x3ff), 0xfc, 11, 0]
    if (choice === 11) return [address(depth), address(depth), small(depth, 0x3ff), 0xfc, 10, 0, 0]
    if (choice === 12 && dataLengths.length > 0) {
      const segment = int(dataLengths.length)
      return chance(20) ? [0xfc, 9, ...u(segment)] : [address(depth), small(depth, 15), small(depth, 15), 0xfc, 8, ...padded(segment), 0]
    }
    if (choice === 13 && elemTypes.length > 0) {
      const segment = int(elemTypes.length)
      if (chance(20)) return [0xfc, 13, ...u(segment)]
      return [small(depth, 7), small(depth, 1), small(depth, 3), 0xfc, 12, ...u(segment), ...u(one(tablesOf(elemTypes[segment] as Type)))]
    }
    if (choice === 14) {
      const t = int(tables.length)
      return [small(depth, 7), value(tables[t] as Type, depth - 1), chance(50) ? [0x26, ...u(t)] : [small(depth, 3), 0xfc, 17, ...u(t)]]
    }
    if (choice === 15) {
      const to = int(tables.length)
      return [small(depth, 7), small(depth, 7), small(depth, 3), 0xfc, 14, ...u(to), ...u(one(tablesOf(tables[to] as Type)))]
    }
    if (choice === 16 && withVectors) {
      const width = int(4)
      return [address(depth), value("v128", depth - 1), 0xfd, 88 + width, memoryArgument(width), int(16 >> width)]
    }
    if (choice === 17) {
      const list = someTypes(3)
      return [several(list, depth), drops(list)]
    }
    if (choice === 18) return 0x01
    const type = one(["i32", "i64", "f32", "f64", "f32", "f64"] as const)
    const bits: Readonly<Record<string, Code>> = { i32: 0xad, i64: [], f32: [0xbc, 0xad], f64: 0xbd }
    return [0x23, ...u(sum), value(type, depth - 1), bits[type] as Code, 0x7c, 0x24, ...u(sum)]
  }

  // ── Sections ────────────────────────────────────────────────────────────
  // References need a declaration: an export, a segment, or an initialiser.
  const exportedToo = functions.flatMap((_, i) => (i > firstDefined && chance(40) ? [i] : []))
  const anyFunction = (): number => int(functions.length)
  const declared = new Set<number>([firstDefined, ...exportedToo])
  const reference = (): number => {
    const index = anyFunction()
    declared.add(index)
    return index
  }
  const expression = (type: "funcref" | "externref"): Code => [
    type === "funcref" && chance(80) ? [0xd2, ...padded(reference())] : [0xd0, typeBytes[type]],
    0x0b,
  ]
  const offset = (max: number): Code => {
    const base: Code = [0x41, ...s(int(max))]
    if (importsGlobal && chance(20)) return [0x23, 0, 0x0b]
    return chance(30) ? [base, 0x41, 1, 0x6a, 0x0b] : [base, 0x0b]
  }
  // The table that indirect calls go through is full of functions first, then other segments of every form.
  for (const t of tablesOf("funcref")) {
    elems.push(assemble([2, ...u(t), 0x41, 0, 0x0b, 0, ...u(tableTargets), Array.from({ length: tableTargets }, () => u(reference()))]))
    elemTypes.push("funcref")
  }
  for (let left = int(7); left > 0; left--) {
    const form = int(8)
    const type = form > 4 && withReferences && chance(40) ? "externref" : "funcref"
    const count = int(4)
    const place: Code = form & 1 ? [] : [form & 2 ? u(one(tablesOf(type))) : [], offset(4)]
    if ((form & 3) === 0 && tables[0] !== type) continue
    const kind: Code = (form & 3) === 0 ? [] : form & 4 ? typeBytes[type] : 0
    const items: Code = Array.from({ length: count }, () => (form & 4 ? expression(type) : u(reference())))
    elems.push(assemble([form, place, kind, ...u(count), items]))
    elemTypes.push(type)
  }
  const initialiser = (type: Type, index: number): Code => {
    if (index === counter) return [0x41, ...s(60 + int(400)), 0x0b]
    if (type === "funcref") return expression("funcref")
    const earlier = importsGlobal && type === "i32" && chance(30)
    if (earlier) return chance(50) ? [0x23, 0, 0x0b] : [0x23, 0, 0x41, 3, 0x6c, 0x0b]
    return [constant(type), 0x0b]
  }
  const globalEntries = globals
    .slice(firstGlobal)
    .map(({ type, mutable }, i) => [typeBytes[type], mutable ? 1 : 0, ...assemble(initialiser(type, i + firstGlobal))])
  const referable = [...declared]

  const bodies: Array<Array<number>> = []
  for (let i = firstDefined; i < functions.length; i++) {
    self = functions[i] as Signature
    const own = Array.from({ length: 1 + int(6) }, () => one(valueTypes))
    const masks: Types = ["f32", "f64", ...(withVectors ? (["v128", "v128"] as const) : [])]
    locals = [...self.params, ...own]
    const base = locals.length
    scratch = { f: base, d: base + 1, vf: base + 2, vd: base + 3 }
    labels = [{ types: self.results, isLoop: false }]
    handlers = []
    const depth = 3 + int(4)
    const code = [spend, Array.from({ length: 1 + int(4) }, () => statement(depth)), several(self.results, depth)]
    const declarations = [...own, ...masks].map((type) => [1, typeBytes[type]])
    bodies.push(assemble([u(declarations.length), declarations, code, 0x0b]))
  }

  const vec = (items: ReadonlyArray<ReadonlyArray<number>>): Array<number> => [...u(items.length), ...items.flat()]
  const importEntries: Array<Array<number>> = []
  const memoryLimits = [1, 1, ...u(chance(20) ? 40 : 4)]
  if (importsHost) importEntries.push([...name("env"), ...name("mix"), 0, ...u(typeIndex(functions[0] as Signature))])
  if (importsTable) importEntries.push([...name("env"), ...name("table"), 1, 0x70, 1, ...u(tableTargets), 30])
  if (importsMemory) importEntries.push([...name("env"), ...name("memory"), 2, 1, 1, 4])
  if (importsGlobal) importEntries.push([...name("env"), ...name("base"), 3, 0x7f, 0], [...name("env"), ...name("total"), 3, 0x7e, 1])
  const exports: Array<Array<number>> = [
    [...name("run"), 0, ...u(firstDefined)],
    [...name("memory"), 2, 0],
    [...name("sum"), 3, ...u(sum)],
    ...exportedToo.map((f) => [...name(`f${f}`), 0, ...u(f)]),
    ...(chance(50) ? [[...name("run again"), 0, ...u(firstDefined)]] : []),
    ...(chance(50) ? [[...name("table"), 1, ...u(int(tables.length))]] : []),
    ...(importsHost && chance(50) ? [[...name("host"), 0, 0]] : []),
  ]
  const functionTypes = functions.slice(firstDefined).map((f) => u(typeIndex(f)))
  const tagEntries = tags.map((params) => [0, ...u(typeIndex({ params, results: [] }))])
  const startable = functions.flatMap((f, i) => (f.params.length === 0 && f.results.length === 0 && i >= firstDefined ? [i] : []))
  const datas = dataLengths.map((length, i) => {
    const bytes = Array.from({ length }, () => int(256))
    return assemble([dataKinds[i] === 1 ? 1 : dataKinds[i] === 2 ? [2, 0, offset(0x8000)] : [0, offset(0x8000)], ...u(length), bytes])
  })
  const out: Array<number> = [...preamble]
  const put = (id: number, items: ReadonlyArray<ReadonlyArray<number>>): void => {
    if (items.length > 0) append(out, section(id, vec(items)))
  }
  put(
    1,
    types.map((text) => text.split(",").map(Number)),
  )
  put(2, importEntries)
  put(3, functionTypes)
  put(
    4,
    tables.slice(importsTable ? 1 : 0).map((t) => (chance(50) ? [typeBytes[t], 1, ...u(tableTargets), 30] : [typeBytes[t], 0, ...u(tableTargets)])),
  )
  if (!importsMemory) put(5, [memoryLimits])
  put(13, tagEntries)
  put(6, globalEntries)
  put(7, exports)
  if (startable.length > 0 && chance(30)) append(out, section(8, u(one(startable))))
  put(9, elems)
  if (datas.length > 0) append(out, section(12, u(datas.length)))
  append(out, section(10, vec(bodies.map((body) => [...u(body.length), ...body]))))
  put(11, datas)
  if (chance(50)) {
    const named = functions.map((_, i) => [...u(i), ...name(`fn-${i}`)])
    const inner = vec(named)
    append(out, section(0, [...name("name"), 1, ...u(inner.length), ...inner]))
  }
  return {
    bytes: new Uint8Array(out),
    imports: () => ({
      env: {
        mix: (x: number): number => Math.imul(x, 0x9e3779b1) ^ (x >>> 15),
        table: new WebAssembly.Table({ element: "anyfunc", initial: tableTargets, maximum: 30 }),
        memory: new WebAssembly.Memory({ initial: 1, maximum: 4 }),
        base: new WebAssembly.Global({ value: "i32" }, 2),
        total: new WebAssembly.Global({ value: "i64", mutable: true }, 5n),
      },
    }),
  }
}

/** Arguments that `run` is called with, one after another on one instance. */
const calls = [3, 0, -7] as const

export interface Observed {
  /** For each call: result or kind of trap, then memory and `sum` after it. One entry when instantiation fails. */
  readonly text: ReadonlyArray<string>
  /** How calls ended, without values. */
  readonly kinds: ReadonlyArray<string>
}

/** What an embedder can see of a module: `instantiate` gives its exports, `before` runs before each call. */
export function observe(instantiate: () => WebAssembly.Exports, before: () => void = () => undefined): Observed {
  const kinds: Array<string> = []
  const attempt = (run: () => unknown): string => {
    try {
      const result = String(run())
      kinds.push("value")
      return result
    } catch (error) {
      const isTrap = error instanceof WebAssembly.RuntimeError
      if (!isTrap && !(error instanceof WebAssembly.Exception)) throw error
      kinds.push(isTrap ? `trap ${error.message}` : "exception")
      return isTrap ? "trap" : "exception"
    }
  }
  let exports: WebAssembly.Exports = {}
  const started = attempt(() => void (exports = instantiate()))
  if (started === "trap" || started === "exception") return { text: [`instantiation: ${started}`], kinds }
  kinds.pop()
  const { run, memory, sum } = exports as unknown as { run: (x: number) => number; memory: WebAssembly.Memory; sum: WebAssembly.Global }
  const text = calls.map((argument) => {
    before()
    const outcome = attempt(() => run(argument))
    let hash = 0x811c9dc5
    const words = new Int32Array(memory.buffer)
    for (let i = 0; i < words.length; i++) hash = Math.imul(hash ^ (words[i] as number), 0x01000193)
    return `${outcome}|${hash >>> 0} of ${words.length}|${String(sum.value)}`
  })
  return { text, kinds }
}

const stackBytes = 600 << 10

/** The same of a rewritten module, with the fuel it took. */
export function observeRewritten(
  module: RandomModule,
  tier: Tier,
  options: Pick<RunOptions, "fuel" | "slice" | "test"> = {},
): Observed & { readonly fuel: bigint; readonly isStackSpent: boolean } {
  let guest: Guest | undefined
  const observed = observe(
    () => (guest = instantiate(module.bytes, { ...options, tier, stackBytes, imports: module.imports() })).all,
    () => {
      if (guest !== undefined && guest.stack.value >= 0) guest.stack.value = stackBytes
    },
  )
  return { ...observed, fuel: guest?.used() ?? -1n, isStackSpent: (guest?.stack.value ?? 0) < 0 }
}
