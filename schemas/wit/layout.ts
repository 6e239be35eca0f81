/**
 * Alignment, size and flattening of WIT types: CanonicalABI.md "Alignment", "Element Size", "Flattening".
 * Memoised by type identity, so a type that occurs twice is laid out once.
 */
import { isTaggedOption, typedArrayOf } from "../value/form.ts"
import type { Case, FunctionType, ValueType } from "./model.ts"

/** How a component's strings lie in its memory (CanonicalABI.md `string-encoding`). */
export type StringEncoding = "utf8" | "utf16" | "latin1+utf16"

export type FlatType = "i32" | "i64" | "f32" | "f64"

/** The core function type of a lifted or lowered function. */
export interface CoreSignature {
  readonly params: ReadonlyArray<FlatType>
  readonly results: ReadonlyArray<FlatType>
}

/** CanonicalABI.md "Flattening": more flat values than these go through linear memory. */
export const flatParamsMax = 16
export const flatResultsMax = 1

export interface Layout {
  /** Bytes in linear memory, a multiple of `align`. */
  readonly size: number
  readonly align: 1 | 2 | 4 | 8
  /** Core values it flattens to; undefined when more than `flatParamsMax`, which no signature ever spells out. */
  readonly flat: ReadonlyArray<FlatType> | undefined
  /**
   * 8-byte words of JavaScript heap that one lifted value takes, its slot included and inner lists' elements not; ≥ 1.
   * What a list element is charged and how much of the work between two looks at the stop it is. Measured on V8
   * (docs/adr/0007-canonical-abi-closures.md): a byte in nested records otherwise costs the host a thousand.
   */
  readonly words: number
}

export interface RecordLayout extends Layout {
  readonly offsets: ReadonlyArray<number>
}

const known = new WeakMap<ValueType, Layout>()

export const alignTo = (at: number, align: number): number => Math.ceil(at / align) * align

/** Bytes of the discriminant of `n` cases: the smallest of 1, 2 and 4 that counts them. */
export const discriminantSize = (n: number): 1 | 2 | 4 => (n <= 0x100 ? 1 : n <= 0x10000 ? 2 : 4)

/** Size in bytes of a value in linear memory. */
export const sizeOf = (type: ValueType): number => layoutOf(type).size
/** Alignment in bytes of a value in linear memory: 1, 2, 4 or 8. */
export const alignOf = (type: ValueType): number => layoutOf(type).align

export function layoutOf(type: ValueType): Layout {
  let layout = known.get(type)
  if (layout === undefined) {
    layout = compute(type)
    known.set(type, layout)
  }
  return layout
}

/** Heap words of objects, by measurement; `spilledField` is one property of an object that has many. */
const words = { string: 4, typedArray: 26, array: 6, record: 8, spilledField: 8, tuple: 6, variant: 8, double: 3, bigint: 4 } as const
/** V8 keeps an object built field by field fast up to here, then makes it a hash table. */
const fastFieldsMax = 16

const scalar = (size: 1 | 2 | 4 | 8, flat: FlatType, of: number = 1): Layout => ({ size, align: size, flat: [flat], words: of })
const pair = (of: number): Layout => ({ size: 8, align: 4, flat: ["i32", "i32"], words: of })

function compute(type: ValueType): Layout {
  switch (type.kind) {
    case "bool":
    case "s8":
    case "u8":
      return scalar(1, "i32")
    case "s16":
    case "u16":
      return scalar(2, "i32")
    case "s32":
    case "u32":
    case "char":
    case "own":
    case "borrow":
    case "stream":
    case "future":
    case "error-context":
      return scalar(4, "i32")
    case "s64":
    case "u64":
      return scalar(8, "i64", words.bigint)
    case "f32":
      return scalar(4, "f32", words.double)
    case "f64":
      return scalar(8, "f64", words.double)
    case "string":
      return pair(words.string)
    case "list":
      return pair(typedArrayOf(type.element) !== undefined ? words.typedArray : words.array)
    case "map":
      return pair(words.array)
    case "fixed-list": {
      const { size, align, flat, words: each } = layoutOf(type.element)
      const isFlat = flat !== undefined && flat.length * type.length <= flatParamsMax
      const all = isFlat ? Array.from({ length: type.length }, () => flat).flat() : undefined
      return { size: size * type.length, align, flat: all, words: words.array + each * type.length }
    }
    case "record": {
      const layout = recordLayout(type.fields.map((field) => field.type))
      return { ...layout, words: layout.words + fieldWords(type.fields.length) }
    }
    case "tuple": {
      const layout = recordLayout(type.types)
      return { ...layout, words: layout.words + words.tuple }
    }
    case "flags":
      return flagsLayout(type.labels.length)
    case "enum":
      return variantLayout(type.labels.map(() => undefined))
    default: {
      const layout = variantLayout(casesOf(type).map((one) => one.type))
      return type.kind === "option" && !isTaggedOption(type.type) ? layout : { ...layout, words: layout.words + words.variant }
    }
  }
}

const fieldWords = (n: number): number => words.record + (n > fastFieldsMax ? n * words.spilledField : 0)

/** Layout of fields in order: of a record, a tuple, or a parameter list that goes through memory. */
export function recordLayout(types: ReadonlyArray<ValueType>): RecordLayout {
  let size = 0
  let align: Layout["align"] = 1
  let sum = 0
  let flat: Array<FlatType> | undefined = []
  const offsets: Array<number> = []
  for (const type of types) {
    const field = layoutOf(type)
    size = alignTo(size, field.align)
    offsets.push(size)
    size += field.size
    if (field.align > align) align = field.align
    sum += field.words
    if (flat !== undefined) flat = field.flat === undefined || flat.length + field.flat.length > flatParamsMax ? undefined : flat.concat(field.flat)
  }
  return { size: alignTo(size, align), align, flat, words: sum, offsets }
}

export interface VariantLayout extends Layout {
  readonly discriminant: 1 | 2 | 4
  readonly payloadOffset: number
}

/** Layout of a variant's cases; `undefined` is a case without payload. */
export function variantLayout(payloads: ReadonlyArray<ValueType | undefined>): VariantLayout {
  const discriminant = discriminantSize(payloads.length)
  let payloadAlign: Layout["align"] = 1
  let payloadSize = 0
  let most = 1
  let flat: Array<FlatType> | undefined = ["i32"]
  for (const type of payloads) {
    if (type === undefined) continue
    const payload = layoutOf(type)
    if (payload.align > payloadAlign) payloadAlign = payload.align
    if (payload.size > payloadSize) payloadSize = payload.size
    if (payload.words > most) most = payload.words
    if (flat === undefined) continue
    if (payload.flat === undefined || payload.flat.length >= flatParamsMax) flat = undefined
    else for (const [i, one] of payload.flat.entries()) flat[i + 1] = flat[i + 1] === undefined ? one : join(flat[i + 1] as FlatType, one)
  }
  const align = discriminant > payloadAlign ? discriminant : payloadAlign
  const payloadOffset = alignTo(discriminant, payloadAlign)
  return { size: alignTo(payloadOffset + payloadSize, align), align, flat, words: most, discriminant, payloadOffset }
}

/** The tightest core type that carries both (CanonicalABI.md `join`). */
export function join(a: FlatType, b: FlatType): FlatType {
  if (a === b) return a
  return (a === "i32" && b === "f32") || (a === "f32" && b === "i32") ? "i32" : "i64"
}

function flagsLayout(n: number): Layout {
  const words = Math.ceil(n / 32)
  const flat: ReadonlyArray<FlatType> | undefined = words > flatParamsMax ? undefined : Array.from({ length: words }, () => "i32" as const)
  const heap = fieldWords(n) + n
  // More than 32 flags are gone from the newest text of the specification; toolchains in use still emit them as below.
  if (n === 0) return { size: 0, align: 1, flat, words: heap }
  if (n <= 8) return { size: 1, align: 1, flat, words: heap }
  if (n <= 16) return { size: 2, align: 2, flat, words: heap }
  return { size: 4 * words, align: 4, flat, words: heap }
}

/** A variant-like type as its cases (CanonicalABI.md `despecialize`). */
export function casesOf(type: Extract<ValueType, { readonly kind: "variant" | "enum" | "option" | "result" }>): ReadonlyArray<Case> {
  const payload = (label: string, of: ValueType | undefined): Case => (of === undefined ? { label } : { label, type: of })
  switch (type.kind) {
    case "variant":
      return type.cases
    case "enum":
      return type.labels.map((label) => ({ label }))
    case "option":
      return [{ label: "none" }, { label: "some", type: type.type }]
    case "result":
      return [payload("ok", type.ok), payload("err", type.err)]
  }
}

const flatResult = (type: FunctionType): ReadonlyArray<FlatType> | undefined => {
  if (type.result === undefined) return []
  const { flat } = layoutOf(type.result)
  return flat === undefined || flat.length > flatResultsMax ? undefined : flat
}

const knownParams = new WeakMap<FunctionType, RecordLayout>()

/** Layout of a function's parameters as the record they are when they go through memory. */
export function paramsLayout(type: FunctionType): RecordLayout {
  let layout = knownParams.get(type)
  if (layout === undefined) {
    layout = recordLayout(type.params.map((param) => param.type))
    knownParams.set(type, layout)
  }
  return layout
}

const flatParams = (type: FunctionType): ReadonlyArray<FlatType> => paramsLayout(type).flat ?? ["i32"]

/** The core function that `canon lift` takes: a result that does not fit comes back as a pointer. */
export function flattenExport(type: FunctionType): CoreSignature {
  return { params: flatParams(type), results: flatResult(type) ?? ["i32"] }
}

/** The core function that `canon lower` makes: a result that does not fit is written to a pointer, the last parameter. */
export function flattenImport(type: FunctionType): CoreSignature {
  const results = flatResult(type)
  return results === undefined ? { params: [...flatParams(type), "i32"], results: [] } : { params: flatParams(type), results }
}
