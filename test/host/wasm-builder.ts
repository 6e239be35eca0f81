/**
 * A byte-level WebAssembly builder for tests: sections, LEB128 and instructions by their text-format names. It shares
 * no table with the host, so that a wrong opcode or index in the host is not repeated here. It validates nothing:
 * malformed modules are as easy to write as good ones.
 *
 * ```ts
 * const m = new Module()
 * m.memory(1, 2)
 * const log = m.importFunc("env", "log", ["i32"], [])           // imports come before functions
 * m.func(["i32", "i32"], ["i32"], { export: "add" }, [get(0), get(1), "i32.add"])
 * m.func([], [], { export: "spin", locals: ["i32"] }, [loop([], br(0))])
 * const bytes = m.bytes()
 * ```
 */

export type ValueTypeName = "i32" | "i64" | "f32" | "f64" | "v128" | "funcref" | "externref" | "exnref"

/** One instruction or a sequence of them: a name without immediates, raw bytes, or a nested list. */
export type Code = string | number | ReadonlyArray<Code>

const valueTypes: Readonly<Record<ValueTypeName, number>> = {
  i32: 0x7f,
  i64: 0x7e,
  f32: 0x7d,
  f64: 0x7c,
  v128: 0x7b,
  funcref: 0x70,
  externref: 0x6f,
  exnref: 0x69,
}

/** Unsigned LEB128. */
export function u(value: number | bigint): Array<number> {
  const out: Array<number> = []
  let rest = BigInt(value)
  do {
    const byte = Number(rest & 0x7fn)
    rest >>= 7n
    out.push(rest === 0n ? byte : byte | 0x80)
  } while (rest !== 0n)
  return out
}

/** Signed LEB128. */
export function s(value: number | bigint): Array<number> {
  const out: Array<number> = []
  let rest = BigInt(value)
  for (;;) {
    const byte = Number(rest & 0x7fn)
    rest >>= 7n
    if ((rest === 0n && (byte & 0x40) === 0) || (rest === -1n && (byte & 0x40) !== 0)) {
      out.push(byte)
      return out
    }
    out.push(byte | 0x80)
  }
}

/** A name: length and UTF-8 bytes. */
export const name = (text: string): Array<number> => {
  const bytes = new TextEncoder().encode(text)
  return [...u(bytes.length), ...bytes]
}

const floatBytes = (value: number, size: 4 | 8): Array<number> => {
  const view = new DataView(new ArrayBuffer(size))
  if (size === 4) view.setFloat32(0, value, true)
  else view.setFloat64(0, value, true)
  return [...new Uint8Array(view.buffer)]
}

/** Concatenates without spreading: bodies of a mebibyte are ordinary here. */
export function append(out: Array<number>, bytes: ArrayLike<number>): void {
  for (let i = 0; i < bytes.length; i++) out.push(bytes[i] as number)
}

// ---------------------------------------------------------------------------------------------------------------
// Opcodes by name. Runs of consecutive opcodes, in the order of the specification's index of instructions.
// ---------------------------------------------------------------------------------------------------------------

const opcodes = new Map<string, ReadonlyArray<number>>()
const run = (prefix: ReadonlyArray<number>, first: number, names: string): void => {
  let code = first
  for (const text of names.split(" ")) {
    if (text !== "_") opcodes.set(text, prefix.length === 0 ? [code] : [...prefix, ...u(code)])
    code++
  }
}
run([], 0x00, "unreachable nop")
run([], 0x0a, "throw_ref end")
run([], 0x0f, "return")
run([], 0x19, "catch_all drop select")
run([], 0x45, "i32.eqz i32.eq i32.ne i32.lt_s i32.lt_u i32.gt_s i32.gt_u i32.le_s i32.le_u i32.ge_s i32.ge_u")
run([], 0x50, "i64.eqz i64.eq i64.ne i64.lt_s i64.lt_u i64.gt_s i64.gt_u i64.le_s i64.le_u i64.ge_s i64.ge_u")
run([], 0x5b, "f32.eq f32.ne f32.lt f32.gt f32.le f32.ge f64.eq f64.ne f64.lt f64.gt f64.le f64.ge")
run(
  [],
  0x67,
  "i32.clz i32.ctz i32.popcnt i32.add i32.sub i32.mul i32.div_s i32.div_u i32.rem_s i32.rem_u i32.and i32.or i32.xor i32.shl i32.shr_s i32.shr_u i32.rotl i32.rotr",
)
run(
  [],
  0x79,
  "i64.clz i64.ctz i64.popcnt i64.add i64.sub i64.mul i64.div_s i64.div_u i64.rem_s i64.rem_u i64.and i64.or i64.xor i64.shl i64.shr_s i64.shr_u i64.rotl i64.rotr",
)
run([], 0x8b, "f32.abs f32.neg f32.ceil f32.floor f32.trunc f32.nearest f32.sqrt f32.add f32.sub f32.mul f32.div f32.min f32.max f32.copysign")
run([], 0x99, "f64.abs f64.neg f64.ceil f64.floor f64.trunc f64.nearest f64.sqrt f64.add f64.sub f64.mul f64.div f64.min f64.max f64.copysign")
run(
  [],
  0xa7,
  "i32.wrap_i64 i32.trunc_f32_s i32.trunc_f32_u i32.trunc_f64_s i32.trunc_f64_u i64.extend_i32_s i64.extend_i32_u i64.trunc_f32_s i64.trunc_f32_u i64.trunc_f64_s i64.trunc_f64_u",
)
run(
  [],
  0xb2,
  "f32.convert_i32_s f32.convert_i32_u f32.convert_i64_s f32.convert_i64_u f32.demote_f64 f64.convert_i32_s f64.convert_i32_u f64.convert_i64_s f64.convert_i64_u f64.promote_f32",
)
run(
  [],
  0xbc,
  "i32.reinterpret_f32 i64.reinterpret_f64 f32.reinterpret_i32 f64.reinterpret_i64 i32.extend8_s i32.extend16_s i64.extend8_s i64.extend16_s i64.extend32_s",
)
run([], 0xd1, "ref.is_null")
run(
  [0xfc],
  0,
  "i32.trunc_sat_f32_s i32.trunc_sat_f32_u i32.trunc_sat_f64_s i32.trunc_sat_f64_u i64.trunc_sat_f32_s i64.trunc_sat_f32_u i64.trunc_sat_f64_s i64.trunc_sat_f64_u",
)
run([0xfd], 14, "i8x16.swizzle i8x16.splat i16x8.splat i32x4.splat i64x2.splat f32x4.splat f64x2.splat")
run([0xfd], 65, "f32x4.eq f32x4.ne f32x4.lt f32x4.gt f32x4.le f32x4.ge f64x2.eq f64x2.ne f64x2.lt f64x2.gt f64x2.le f64x2.ge")
run([0xfd], 77, "v128.not v128.and v128.andnot v128.or v128.xor v128.bitselect v128.any_true")
run([0xfd], 94, "f32x4.demote_f64x2_zero f64x2.promote_low_f32x4")
run([0xfd], 174, "i32x4.add _ _ i32x4.sub _ _ _ i32x4.mul")
run(
  [0xfd],
  224,
  "f32x4.abs f32x4.neg _ f32x4.sqrt f32x4.add f32x4.sub f32x4.mul f32x4.div f32x4.min f32x4.max f32x4.pmin f32x4.pmax f64x2.abs f64x2.neg _ f64x2.sqrt f64x2.add f64x2.sub f64x2.mul f64x2.div f64x2.min f64x2.max f64x2.pmin f64x2.pmax",
)
run([0xfd], 0x105, "f32x4.relaxed_madd f32x4.relaxed_nmadd")

const memoryOps = new Map<string, { readonly code: ReadonlyArray<number>; readonly align: number }>()
for (const [
  index,
  text,
] of "i32.load:2 i64.load:3 f32.load:2 f64.load:3 i32.load8_s:0 i32.load8_u:0 i32.load16_s:1 i32.load16_u:1 i64.load8_s:0 i64.load8_u:0 i64.load16_s:1 i64.load16_u:1 i64.load32_s:2 i64.load32_u:2 i32.store:2 i64.store:3 f32.store:2 f64.store:3 i32.store8:0 i32.store16:1 i64.store8:0 i64.store16:1 i64.store32:2"
  .split(" ")
  .entries()) {
  const [op, align] = text.split(":") as [string, string]
  memoryOps.set(op, { code: [0x28 + index], align: Number(align) })
}
memoryOps.set("v128.load", { code: [0xfd, 0], align: 4 })
memoryOps.set("v128.store", { code: [0xfd, 11], align: 4 })
memoryOps.set("i32.atomic.load", { code: [0xfe, 0x10], align: 2 })
memoryOps.set("i32.atomic.store", { code: [0xfe, 0x17], align: 2 })

/** The bytes of a sequence of instructions. Throws on an unknown name. */
export function assemble(code: Code, out: Array<number> = []): Array<number> {
  if (typeof code === "number") out.push(code)
  else if (typeof code === "string") {
    const bytes = opcodes.get(code)
    if (bytes === undefined) throw new Error(`Unknown instruction "${code}"`)
    append(out, bytes)
  } else for (const part of code) assemble(part, out)
  return out
}

export const get = (local: number): Code => [0x20, ...u(local)]
export const set = (local: number): Code => [0x21, ...u(local)]
export const tee = (local: number): Code => [0x22, ...u(local)]
export const globalGet = (global: number): Code => [0x23, ...u(global)]
export const globalSet = (global: number): Code => [0x24, ...u(global)]
export const tableGet = (table: number): Code => [0x25, ...u(table)]
export const tableSet = (table: number): Code => [0x26, ...u(table)]
export const i32 = (value: number): Code => [0x41, ...s(value | 0)]
export const i64 = (value: number | bigint): Code => [0x42, ...s(BigInt.asIntN(64, BigInt(value)))]
export const f32 = (value: number): Code => [0x43, ...floatBytes(value, 4)]
export const f64 = (value: number): Code => [0x44, ...floatBytes(value, 8)]
/** `f32.const` / `f64.const` by bit pattern: NaN payloads survive. */
export const f32Bits = (bits: number): Code => [0x43, bits & 255, (bits >>> 8) & 255, (bits >>> 16) & 255, bits >>> 24]
export const f64Bits = (bits: bigint): Code => [0x44, ...new Uint8Array(new BigUint64Array([bits]).buffer)]
/** `v128.const` from 16 bytes. */
export const v128 = (bytes: ReadonlyArray<number>): Code => [0xfd, 12, ...bytes]
/** Lane extraction and replacement: `lane("f32x4.extract_lane", 0)`. */
export const lane = (op: string, index: number): Code => {
  const code =
    "i8x16.extract_lane_s i8x16.extract_lane_u i8x16.replace_lane i16x8.extract_lane_s i16x8.extract_lane_u i16x8.replace_lane i32x4.extract_lane i32x4.replace_lane i64x2.extract_lane i64x2.replace_lane f32x4.extract_lane f32x4.replace_lane f64x2.extract_lane f64x2.replace_lane"
      .split(" ")
      .indexOf(op)
  if (code < 0) throw new Error(`Unknown lane instruction "${op}"`)
  return [0xfd, ...u(21 + code), index]
}

/** Loads and stores with natural alignment: `mem("i32.load", 8)`. */
export const mem = (op: string, offset = 0): Code => {
  const found = memoryOps.get(op)
  if (found === undefined) throw new Error(`Unknown memory instruction "${op}"`)
  return [...found.code, ...u(found.align), ...u(offset)]
}
export const memorySize: Code = [0x3f, 0]
export const memoryGrow: Code = [0x40, 0]
export const memoryInit = (segment: number): Code => [0xfc, 8, ...u(segment), 0]
export const dataDrop = (segment: number): Code => [0xfc, 9, ...u(segment)]
export const memoryCopy: Code = [0xfc, 10, 0, 0]
export const memoryFill: Code = [0xfc, 11, 0]
export const tableInit = (segment: number, table: number): Code => [0xfc, 12, ...u(segment), ...u(table)]
export const elemDrop = (segment: number): Code => [0xfc, 13, ...u(segment)]
export const tableCopy = (to: number, from: number): Code => [0xfc, 14, ...u(to), ...u(from)]
export const tableGrow = (table: number): Code => [0xfc, 15, ...u(table)]
export const tableSize = (table: number): Code => [0xfc, 16, ...u(table)]
export const tableFill = (table: number): Code => [0xfc, 17, ...u(table)]

/** A block type: nothing, one result, or (a number) a type index for several. */
export type BlockType = readonly [] | readonly [ValueTypeName] | number
const blockType = (type: BlockType): Array<number> => (typeof type === "number" ? s(type) : type.length === 0 ? [0x40] : [valueTypes[type[0]]])

export const block = (type: BlockType, ...body: ReadonlyArray<Code>): Code => [0x02, ...blockType(type), body, 0x0b]
export const loop = (type: BlockType, ...body: ReadonlyArray<Code>): Code => [0x03, ...blockType(type), body, 0x0b]
export const iff = (type: BlockType, then: ReadonlyArray<Code>, otherwise?: ReadonlyArray<Code>): Code => [
  0x04,
  ...blockType(type),
  then,
  otherwise === undefined ? [] : [0x05, otherwise],
  0x0b,
]
export const br = (label: number): Code => [0x0c, ...u(label)]
export const brIf = (label: number): Code => [0x0d, ...u(label)]
/** The last label is the default. */
export const brTable = (...labels: ReadonlyArray<number>): Code => [0x0e, ...u(labels.length - 1), ...labels.flatMap((label) => u(label))]
export const call = (func: number): Code => [0x10, ...u(func)]
export const callIndirect = (type: number, table = 0): Code => [0x11, ...u(type), ...u(table)]
export const returnCall = (func: number): Code => [0x12, ...u(func)]
export const returnCallIndirect = (type: number, table = 0): Code => [0x13, ...u(type), ...u(table)]
export const throwTag = (tag: number): Code => [0x08, ...u(tag)]
/** Legacy exceptions: `tryCatch([], body, [[tag, handler], …], catchAll)`. */
export const tryCatch = (
  type: BlockType,
  body: ReadonlyArray<Code>,
  handlers: ReadonlyArray<readonly [number, ReadonlyArray<Code>]>,
  catchAll?: ReadonlyArray<Code>,
): Code => [0x06, ...blockType(type), body, handlers.map(([tag, handler]) => [0x07, ...u(tag), handler]), catchAll === undefined ? [] : [0x19, catchAll], 0x0b]
export const rethrow = (label: number): Code => [0x09, ...u(label)]
/** `try_table`; labels count from outside the `try_table` itself. */
export const tryTable = (
  type: BlockType,
  catches: ReadonlyArray<{ readonly tag?: number; readonly ref?: boolean; readonly label: number }>,
  ...body: ReadonlyArray<Code>
): Code => [
  0x1f,
  ...blockType(type),
  ...u(catches.length),
  catches.map((c) => [(c.tag === undefined ? 2 : 0) + (c.ref === true ? 1 : 0), c.tag === undefined ? [] : u(c.tag), u(c.label)]),
  body,
  0x0b,
]
export const refNull = (type: "funcref" | "externref" | "exnref"): Code => [0xd0, valueTypes[type]]
export const refFunc = (func: number): Code => [0xd2, ...u(func)]
export const selectTyped = (type: ValueTypeName): Code => [0x1c, 1, valueTypes[type]]
/** `code` written `count` times. */
export const repeat = (count: number, code: Code): Code => Array.from({ length: count }, () => code)

// ---------------------------------------------------------------------------------------------------------------
// Modules
// ---------------------------------------------------------------------------------------------------------------

const limitsOf = (min: number, max: number | undefined): Array<number> => (max === undefined ? [0, ...u(min)] : [1, ...u(min), ...u(max)])
const vec = (items: ReadonlyArray<ReadonlyArray<number>>): Array<number> => {
  const out = u(items.length)
  for (const item of items) append(out, item)
  return out
}
/** A section: id, size and contents. */
export const section = (id: number, body: ReadonlyArray<number>): Array<number> => {
  const out = [id, ...u(body.length)]
  append(out, body)
  return out
}
export const preamble: ReadonlyArray<number> = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]

export interface FuncOptions {
  readonly export?: string | ReadonlyArray<string>
  readonly locals?: ReadonlyArray<ValueTypeName>
  /** A debug name for the `name` section. */
  readonly name?: string
}

export class Module {
  readonly #types: Array<Array<number>> = []
  readonly #imports: Array<Array<number>> = []
  readonly #functions: Array<Array<number>> = []
  readonly #bodies: Array<Array<number>> = []
  readonly #tables: Array<Array<number>> = []
  readonly #memories: Array<Array<number>> = []
  readonly #globals: Array<Array<number>> = []
  readonly #tags: Array<Array<number>> = []
  readonly #exports: Array<Array<number>> = []
  readonly #elems: Array<Array<number>> = []
  readonly #datas: Array<Array<number>> = []
  readonly #names: Array<readonly [number, string]> = []
  readonly #customs: Array<Array<number>> = []
  readonly #raw = new Map<number, ReadonlyArray<number>>()
  #start: number | undefined
  #counts = { func: 0, table: 0, memory: 0, global: 0, tag: 0 }
  /** Writes a data-count section; set by `memoryInit` users. */
  dataCount = false

  /** Index of a function type, added once. */
  type(params: ReadonlyArray<ValueTypeName>, results: ReadonlyArray<ValueTypeName>): number {
    return this.rawType([0x60, ...vec(params.map((t) => [valueTypes[t]])), ...vec(results.map((t) => [valueTypes[t]]))])
  }
  /** A type entry as bytes (GC forms, malformed ones). */
  rawType(bytes: Array<number>): number {
    const key = bytes.join()
    const found = this.#types.findIndex((t) => t.join() === key)
    return found >= 0 ? found : this.#types.push(bytes) - 1
  }
  importFunc(module: string, field: string, params: ReadonlyArray<ValueTypeName>, results: ReadonlyArray<ValueTypeName>): number {
    this.#imports.push([...name(module), ...name(field), 0, ...u(this.type(params, results))])
    return this.#counts.func++
  }
  importTable(module: string, field: string, element: "funcref" | "externref", min: number, max?: number): number {
    this.#imports.push([...name(module), ...name(field), 1, valueTypes[element], ...limitsOf(min, max)])
    return this.#counts.table++
  }
  importMemory(module: string, field: string, min: number, max?: number): number {
    this.#imports.push([...name(module), ...name(field), 2, ...limitsOf(min, max)])
    return this.#counts.memory++
  }
  importGlobal(module: string, field: string, type: ValueTypeName, mutable = false): number {
    this.#imports.push([...name(module), ...name(field), 3, valueTypes[type], mutable ? 1 : 0])
    return this.#counts.global++
  }
  importTag(module: string, field: string, params: ReadonlyArray<ValueTypeName>): number {
    this.#imports.push([...name(module), ...name(field), 4, 0, ...u(this.type(params, []))])
    return this.#counts.tag++
  }
  /** Adds a function; returns its index. `body` may be a function of that index, for recursion. */
  func(params: ReadonlyArray<ValueTypeName>, results: ReadonlyArray<ValueTypeName>, options: FuncOptions, body: Code | ((self: number) => Code)): number {
    const index = this.#counts.func++
    this.#functions.push(u(this.type(params, results)))
    const runs: Array<Array<number>> = []
    let previous: ValueTypeName | undefined
    let count = 0
    for (const type of [...(options.locals ?? []), undefined]) {
      if (type === previous) count++
      else {
        if (previous !== undefined) runs.push([...u(count), valueTypes[previous]])
        previous = type
        count = 1
      }
    }
    const code = vec(runs)
    append(code, assemble(typeof body === "function" ? body(index) : body))
    code.push(0x0b)
    this.#bodies.push(code)
    for (const exported of typeof options.export === "string" ? [options.export] : (options.export ?? [])) this.export(exported, "func", index)
    if (options.name !== undefined) this.#names.push([index, options.name])
    return index
  }
  /** A function whose whole body (locals and code) is given as bytes. */
  rawFunc(type: number, body: ReadonlyArray<number>): number {
    this.#functions.push(u(type))
    this.#bodies.push([...body])
    return this.#counts.func++
  }
  table(element: "funcref" | "externref", min: number, max?: number): number {
    this.#tables.push([valueTypes[element], ...limitsOf(min, max)])
    return this.#counts.table++
  }
  memory(min: number, max?: number): number {
    return this.rawMemory(limitsOf(min, max))
  }
  /** A memory by its limits' bytes (shared, memory64, custom page sizes). */
  rawMemory(bytes: Array<number>): number {
    this.#memories.push(bytes)
    return this.#counts.memory++
  }
  global(type: ValueTypeName, mutable: boolean, init: Code): number {
    this.#globals.push([valueTypes[type], mutable ? 1 : 0, ...assemble(init), 0x0b])
    return this.#counts.global++
  }
  tag(params: ReadonlyArray<ValueTypeName>): number {
    this.#tags.push([0, ...u(this.type(params, []))])
    return this.#counts.tag++
  }
  export(text: string, kind: "func" | "table" | "memory" | "global" | "tag", index: number): this {
    this.#exports.push([...name(text), ["func", "table", "memory", "global", "tag"].indexOf(kind), ...u(index)])
    return this
  }
  start(func: number): this {
    this.#start = func
    return this
  }
  /** An active element segment of table 0 from function indexes. */
  elem(offset: Code, functions: ReadonlyArray<number>): number {
    return this.rawElem([0, ...assemble(offset), 0x0b, ...vec(functions.map((f) => u(f)))])
  }
  /** A passive segment (for `table.init`), or a declarative one (for `ref.func`). */
  passiveElem(functions: ReadonlyArray<number>, declarative = false): number {
    return this.rawElem([declarative ? 3 : 1, 0, ...vec(functions.map((f) => u(f)))])
  }
  rawElem(bytes: Array<number>): number {
    return this.#elems.push(bytes) - 1
  }
  data(offset: Code | undefined, bytes: ArrayLike<number>): number {
    const out = offset === undefined ? [1] : [0, ...assemble(offset), 0x0b]
    append(out, u(bytes.length))
    append(out, bytes)
    return this.#datas.push(out) - 1
  }
  custom(text: string, bytes: ReadonlyArray<number>): this {
    this.#customs.push([...name(text), ...bytes])
    return this
  }
  /** Replaces a section's contents by these bytes. */
  raw(id: number, body: ReadonlyArray<number>): this {
    this.#raw.set(id, body)
    return this
  }

  bytes(): Uint8Array<ArrayBuffer> {
    const out: Array<number> = [...preamble]
    const put = (id: number, items: ReadonlyArray<ReadonlyArray<number>>): void => {
      const raw = this.#raw.get(id)
      if (raw !== undefined) append(out, section(id, raw))
      else if (items.length > 0) append(out, section(id, vec(items)))
    }
    put(1, this.#types)
    put(2, this.#imports)
    put(3, this.#functions)
    put(4, this.#tables)
    put(5, this.#memories)
    put(13, this.#tags)
    put(6, this.#globals)
    put(7, this.#exports)
    if (this.#start !== undefined) append(out, section(8, u(this.#start)))
    put(9, this.#elems)
    if (this.dataCount) append(out, section(12, u(this.#datas.length)))
    if (this.#raw.has(10)) put(10, [])
    else if (this.#bodies.length > 0) {
      const code = u(this.#bodies.length)
      for (const body of this.#bodies) {
        append(code, u(body.length))
        append(code, body)
      }
      append(out, section(10, code))
    }
    put(11, this.#datas)
    if (this.#names.length > 0) {
      const functions = vec(this.#names.map(([index, text]) => [...u(index), ...name(text)]))
      append(out, section(0, [...name("name"), 1, ...u(functions.length), ...functions]))
    }
    for (const custom of this.#customs) append(out, section(0, custom))
    return new Uint8Array(out)
  }
}
