/**
 * The canonical ABI a second time, as slow and as close to CanonicalABI.md as can be: one value, one DataView, no
 * layout tables, no caching. It shares no code with `host/abi`, so that a wrong offset or join there is not repeated.
 * Sound values and memory only: it checks nothing.
 */
import { propertyName, type ValueType } from "../../schemas/wit/model.ts"

export type Encoding = "utf8" | "utf16" | "latin1+utf16"
export type Core = "i32" | "i64" | "f32" | "f64"
export interface CoreTyped {
  readonly type: Core
  readonly value: number | bigint
}

/** A guest's memory as the specification sees it. */
export interface ReferenceMemory {
  readonly view: () => DataView
  readonly alloc: (align: number, bytes: number) => number
  readonly encoding: Encoding
}

type Variant = ReadonlyArray<{ readonly label: string; readonly type?: ValueType | undefined }>

function cases(type: ValueType): Variant | undefined {
  if (type.kind === "variant") return type.cases
  if (type.kind === "enum") return type.labels.map((label) => ({ label }))
  if (type.kind === "option") return [{ label: "none" }, { label: "some", type: type.type }]
  if (type.kind === "result")
    return [
      { label: "ok", type: type.ok },
      { label: "err", type: type.err },
    ]
  return undefined
}
function fields(type: ValueType): ReadonlyArray<ValueType> | undefined {
  if (type.kind === "record") return type.fields.map((field) => field.type)
  return type.kind === "tuple" ? type.types : undefined
}
const up = (at: number, align: number): number => at + ((align - (at % align)) % align)
const discriminant = (n: number): number => (Math.ceil(Math.log2(n) / 8) <= 1 ? 1 : Math.ceil(Math.log2(n) / 8) === 2 ? 2 : 4)
const scalarSizes: Readonly<Record<string, number>> = {
  bool: 1,
  s8: 1,
  u8: 1,
  s16: 2,
  u16: 2,
  s32: 4,
  u32: 4,
  f32: 4,
  char: 4,
  own: 4,
  borrow: 4,
  s64: 8,
  u64: 8,
  f64: 8,
}

export function alignment(type: ValueType): number {
  if (type.kind === "string" || type.kind === "list") return 4
  if (type.kind === "flags") return type.labels.length <= 8 ? 1 : type.labels.length <= 16 ? 2 : 4
  const parts = fields(type)
  if (parts !== undefined) return Math.max(1, ...parts.map(alignment))
  const found = cases(type)
  if (found !== undefined) return Math.max(discriminant(found.length), payloadAlignment(found))
  return scalarSizes[type.kind] as number
}
const payloadAlignment = (found: Variant): number => Math.max(1, ...found.map((one) => (one.type === undefined ? 1 : alignment(one.type))))

export function size(type: ValueType): number {
  if (type.kind === "string" || type.kind === "list") return 8
  if (type.kind === "flags") {
    const n = type.labels.length
    return n === 0 ? 0 : n <= 8 ? 1 : n <= 16 ? 2 : 4 * Math.ceil(n / 32)
  }
  const parts = fields(type)
  if (parts !== undefined) {
    let at = 0
    for (const part of parts) at = up(at, alignment(part)) + size(part)
    return up(at, alignment(type))
  }
  const found = cases(type)
  if (found !== undefined) {
    const payload = Math.max(0, ...found.map((one) => (one.type === undefined ? 0 : size(one.type))))
    return up(up(discriminant(found.length), payloadAlignment(found)) + payload, alignment(type))
  }
  return scalarSizes[type.kind] as number
}

export function flatten(type: ValueType): ReadonlyArray<Core> {
  if (type.kind === "string" || type.kind === "list") return ["i32", "i32"]
  if (type.kind === "flags") return Array.from({ length: Math.ceil(type.labels.length / 32) }, () => "i32" as const)
  const parts = fields(type)
  if (parts !== undefined) return parts.flatMap(flatten)
  const found = cases(type)
  if (found === undefined) return [type.kind === "f32" || type.kind === "f64" ? type.kind : type.kind === "s64" || type.kind === "u64" ? "i64" : "i32"]
  const flat: Array<Core> = []
  for (const one of found) {
    for (const [i, core] of (one.type === undefined ? [] : flatten(one.type)).entries()) {
      const known = flat[i]
      flat[i] = known === undefined || known === core ? core : [known, core].every((c) => c === "i32" || c === "f32") ? "i32" : "i64"
    }
  }
  return ["i32", ...flat]
}

const tagged = (type: ValueType): boolean => !(type.kind === "option" && type.type.kind !== "option") && type.kind !== "enum"

function compose(type: ValueType, found: Variant, index: number, payload: unknown): unknown {
  const one = found[index]
  if (one === undefined) throw new Error(`no case ${index}`)
  if (type.kind === "enum") return one.label
  if (!tagged(type)) return payload
  return one.type === undefined ? { tag: one.label } : { tag: one.label, val: payload }
}

function decompose(type: ValueType, found: Variant, value: unknown): { readonly index: number; readonly payload: unknown } {
  if (type.kind === "enum") return { index: found.findIndex((one) => one.label === value), payload: undefined }
  if (!tagged(type)) return { index: value === undefined ? 0 : 1, payload: value }
  const { tag, val } = value as { readonly tag: string; readonly val?: unknown }
  return { index: found.findIndex((one) => one.label === tag), payload: val }
}

const named = (type: ValueType, values: ReadonlyArray<unknown>): unknown =>
  type.kind === "record" ? Object.fromEntries(type.fields.map((field, i) => [propertyName(field.label), values[i]])) : values
const unnamed = (type: ValueType, value: unknown): ReadonlyArray<unknown> =>
  type.kind === "record" ? type.fields.map((field) => (value as Record<string, unknown>)[propertyName(field.label)]) : (value as ReadonlyArray<unknown>)

function text(memory: ReferenceMemory, at: number, tagged: number): string {
  const isUtf16 = memory.encoding === "utf16" || (memory.encoding === "latin1+utf16" && tagged >= 2 ** 31)
  const n = memory.encoding === "latin1+utf16" ? tagged % 2 ** 31 : tagged
  if (memory.encoding === "utf8") return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(new Uint8Array(memory.view().buffer, at, n))
  let out = ""
  for (let i = 0; i < n; i++) out += String.fromCharCode(isUtf16 ? memory.view().getUint16(at + 2 * i, true) : memory.view().getUint8(at + i))
  return out.toWellFormed()
}

function intoMemory(memory: ReferenceMemory, raw: string): readonly [at: number, tagged: number] {
  const value = raw.toWellFormed()
  if (memory.encoding === "utf8") {
    const bytes = new TextEncoder().encode(value)
    const at = memory.alloc(1, bytes.length)
    for (const [i, byte] of bytes.entries()) memory.view().setUint8(at + i, byte)
    return [at, bytes.length]
  }
  const units = Array.from({ length: value.length }, (_, i) => value.charCodeAt(i))
  const isLatin1 = memory.encoding === "latin1+utf16" && units.every((unit) => unit < 256)
  const at = memory.alloc(2, units.length * (isLatin1 ? 1 : 2))
  for (const [i, unit] of units.entries()) {
    if (isLatin1) memory.view().setUint8(at + i, unit)
    else memory.view().setUint16(at + 2 * i, unit, true)
  }
  return [at, memory.encoding === "latin1+utf16" && !isLatin1 ? units.length + 2 ** 31 : units.length]
}

const arrays: Readonly<Record<string, (values: ReadonlyArray<never>) => unknown>> = {
  s8: (v) => Int8Array.from(v),
  u8: (v) => Uint8Array.from(v),
  s16: (v) => Int16Array.from(v),
  u16: (v) => Uint16Array.from(v),
  s32: (v) => Int32Array.from(v),
  u32: (v) => Uint32Array.from(v),
  s64: (v) => BigInt64Array.from(v),
  u64: (v) => BigUint64Array.from(v),
  f32: (v) => Float32Array.from(v),
  f64: (v) => Float64Array.from(v),
}
function elements(memory: ReferenceMemory, at: number, n: number, element: ValueType): unknown {
  const values = Array.from({ length: n }, (_, i) => load(memory, at + i * size(element), element))
  const make = arrays[element.kind]
  return make === undefined ? values : make(values as unknown as ReadonlyArray<never>)
}
function elementsInto(memory: ReferenceMemory, value: ArrayLike<unknown>, element: ValueType): readonly [at: number, n: number] {
  const at = memory.alloc(alignment(element), value.length * size(element))
  for (let i = 0; i < value.length; i++) store(memory, value[i], element, at + i * size(element))
  return [at, value.length]
}

const flagsOf = (labels: ReadonlyArray<string>, bits: bigint): unknown =>
  Object.fromEntries(labels.map((label, i) => [propertyName(label), ((bits >> BigInt(i)) & 1n) === 1n]))
const bitsOf = (labels: ReadonlyArray<string>, value: unknown): bigint =>
  labels.reduce((bits, label, i) => bits | ((value as Record<string, boolean>)[propertyName(label)] === true ? 1n << BigInt(i) : 0n), 0n)

/** Reads a value at `at`. */
export function load(memory: ReferenceMemory, at: number, type: ValueType): unknown {
  const view = memory.view()
  switch (type.kind) {
    case "bool":
      return view.getUint8(at) !== 0
    case "s8":
      return view.getInt8(at)
    case "u8":
      return view.getUint8(at)
    case "s16":
      return view.getInt16(at, true)
    case "u16":
      return view.getUint16(at, true)
    case "s32":
      return view.getInt32(at, true)
    case "u32":
    case "own":
    case "borrow":
      return view.getUint32(at, true)
    case "s64":
      return view.getBigInt64(at, true)
    case "u64":
      return view.getBigUint64(at, true)
    case "f32":
      return view.getFloat32(at, true)
    case "f64":
      return view.getFloat64(at, true)
    case "char":
      return String.fromCodePoint(view.getUint32(at, true))
    case "string":
      return text(memory, view.getUint32(at, true), view.getUint32(at + 4, true))
    case "list":
      return elements(memory, view.getUint32(at, true), view.getUint32(at + 4, true), type.element)
    case "flags": {
      let bits = 0n
      for (let i = 0; i < size(type); i++) bits |= BigInt(view.getUint8(at + i)) << BigInt(8 * i)
      return flagsOf(type.labels, bits)
    }
    case "record":
    case "tuple": {
      let here = at
      return named(
        type,
        (fields(type) ?? []).map((part) => {
          here = up(here, alignment(part))
          const value = load(memory, here, part)
          here += size(part)
          return value
        }),
      )
    }
    default: {
      const found = cases(type) ?? []
      const bytes = discriminant(found.length)
      const index = bytes === 1 ? view.getUint8(at) : bytes === 2 ? view.getUint16(at, true) : view.getUint32(at, true)
      const payload = found[index]?.type
      return compose(type, found, index, payload === undefined ? undefined : load(memory, at + up(bytes, payloadAlignment(found)), payload))
    }
  }
}

/** Writes a value at `at`. */
export function store(memory: ReferenceMemory, value: unknown, type: ValueType, at: number): void {
  const put = (...[begin, length]: readonly [number, number]): void => {
    memory.view().setUint32(at, begin, true)
    memory.view().setUint32(at + 4, length, true)
  }
  const view = memory.view()
  switch (type.kind) {
    case "bool":
      return view.setUint8(at, value === true ? 1 : 0)
    case "s8":
    case "u8":
      return view.setUint8(at, value as number)
    case "s16":
    case "u16":
      return view.setUint16(at, value as number, true)
    case "s32":
    case "u32":
    case "own":
    case "borrow":
      return view.setUint32(at, value as number, true)
    case "s64":
    case "u64":
      return view.setBigUint64(at, value as bigint, true)
    case "f32":
      return view.setFloat32(at, value as number, true)
    case "f64":
      return view.setFloat64(at, value as number, true)
    case "char":
      return view.setUint32(at, (value as string).codePointAt(0) as number, true)
    case "string":
      return put(...intoMemory(memory, value as string))
    case "list":
      return put(...elementsInto(memory, value as ArrayLike<unknown>, type.element))
    case "flags": {
      const bits = bitsOf(type.labels, value)
      for (let i = 0; i < size(type); i++) view.setUint8(at + i, Number((bits >> BigInt(8 * i)) & 0xffn))
      return
    }
    case "record":
    case "tuple": {
      let here = at
      const values = unnamed(type, value)
      for (const [i, part] of (fields(type) ?? []).entries()) {
        here = up(here, alignment(part))
        store(memory, values[i], part, here)
        here += size(part)
      }
      return
    }
    default: {
      const found = cases(type) ?? []
      const bytes = discriminant(found.length)
      const { index, payload } = decompose(type, found, value)
      for (let i = 0; i < bytes; i++) view.setUint8(at + i, (index >>> (8 * i)) & 0xff)
      const one = found[index]?.type
      if (one !== undefined) store(memory, payload, one, at + up(bytes, payloadAlignment(found)))
    }
  }
}

const cell = new DataView(new ArrayBuffer(8))
/** Reinterprets a core value as another core type, zero-extending or wrapping where the widths differ. */
function reinterpret({ type, value }: CoreTyped, as: Core): number | bigint {
  if (type === as) return value
  cell.setBigUint64(0, 0n, true)
  if (type === "i32") cell.setInt32(0, value as number, true)
  else if (type === "i64") cell.setBigInt64(0, value as bigint, true)
  else if (type === "f32") cell.setFloat32(0, value as number, true)
  else cell.setFloat64(0, value as number, true)
  return as === "i32" ? cell.getInt32(0, true) : as === "i64" ? cell.getBigInt64(0, true) : as === "f32" ? cell.getFloat32(0, true) : cell.getFloat64(0, true)
}

/** Reads a value from core values, taking them off the front of `flat`. */
export function liftFlat(memory: ReferenceMemory, flat: Array<CoreTyped>, type: ValueType): unknown {
  const next = (): number | bigint => (flat.shift() as CoreTyped).value
  const int = (bytes: 1 | 2 | 4): DataView => {
    cell.setInt32(0, Number(next()), true)
    return new DataView(cell.buffer, 0, bytes)
  }
  switch (type.kind) {
    case "bool":
      return next() !== 0
    case "s8":
      return int(1).getInt8(0)
    case "u8":
      return int(1).getUint8(0)
    case "s16":
      return int(2).getInt16(0, true)
    case "u16":
      return int(2).getUint16(0, true)
    case "s32":
      return int(4).getInt32(0, true)
    case "u32":
    case "own":
    case "borrow":
      return int(4).getUint32(0, true)
    case "s64":
      return BigInt.asIntN(64, next() as bigint)
    case "u64":
      return BigInt.asUintN(64, next() as bigint)
    case "f32":
    case "f64":
      return next()
    case "char":
      return String.fromCodePoint(int(4).getUint32(0, true))
    case "string":
      return text(memory, int(4).getUint32(0, true), int(4).getUint32(0, true))
    case "list":
      return elements(memory, int(4).getUint32(0, true), int(4).getUint32(0, true), type.element)
    case "flags": {
      let bits = 0n
      for (let i = 0; i < Math.ceil(type.labels.length / 32); i++) bits |= BigInt(int(4).getUint32(0, true)) << BigInt(32 * i)
      return flagsOf(type.labels, bits)
    }
    case "record":
    case "tuple":
      return named(
        type,
        (fields(type) ?? []).map((part) => liftFlat(memory, flat, part)),
      )
    default: {
      const found = cases(type) ?? []
      const mine = flat.splice(0, flatten(type).length)
      const index = Number((mine.shift() as CoreTyped).value)
      const payload = found[index]?.type
      if (payload === undefined) return compose(type, found, index, undefined)
      return compose(
        type,
        found,
        index,
        liftFlat(
          memory,
          flatten(payload).map((core, i) => ({ type: core, value: reinterpret(mine[i] as CoreTyped, core) })),
          payload,
        ),
      )
    }
  }
}

/** The core values of a value. */
export function lowerFlat(memory: ReferenceMemory, value: unknown, type: ValueType): Array<CoreTyped> {
  const pair = ([at, length]: readonly [number, number]): Array<CoreTyped> => [
    { type: "i32", value: at | 0 },
    { type: "i32", value: length | 0 },
  ]
  switch (type.kind) {
    case "string":
      return pair(intoMemory(memory, value as string))
    case "list":
      return pair(elementsInto(memory, value as ArrayLike<unknown>, type.element))
    case "flags": {
      const bits = bitsOf(type.labels, value)
      return flatten(type).map((core, i) => ({ type: core, value: Number(BigInt.asIntN(32, bits >> BigInt(32 * i))) }))
    }
    case "record":
    case "tuple": {
      const values = unnamed(type, value)
      return (fields(type) ?? []).flatMap((part, i) => lowerFlat(memory, values[i], part))
    }
    case "variant":
    case "enum":
    case "option":
    case "result": {
      const found = cases(type) ?? []
      const { index, payload } = decompose(type, found, value)
      const one = found[index]?.type
      const lowered = one === undefined ? [] : lowerFlat(memory, payload, one)
      const [head, ...joined] = flatten(type)
      return [
        { type: head as Core, value: index },
        ...joined.map((core, i): CoreTyped => {
          const own = lowered[i]
          return { type: core, value: own === undefined ? (core === "i64" ? 0n : 0) : reinterpret(own, core) }
        }),
      ]
    }
    case "bool":
      return [{ type: "i32", value: value === true ? 1 : 0 }]
    case "char":
      return [{ type: "i32", value: (value as string).codePointAt(0) as number }]
    case "s64":
    case "u64":
      return [{ type: "i64", value: BigInt.asIntN(64, value as bigint) }]
    case "f32":
      return [{ type: "f32", value: Math.fround(value as number) }]
    case "f64":
      return [{ type: "f64", value: value as number }]
    default:
      return [{ type: "i32", value: (value as number) | 0 }]
  }
}
