/**
 * Lists: number lists move in bulk as typed arrays, all others element by element.
 *
 * Lengths are latched: read once, by the engine's own getters, so that neither a subclass nor a resizable or shared
 * buffer can say one length when memory is allocated and another when it is filled.
 */
import { layoutOf } from "../../schemas/wit/layout.ts"
import type { ListType } from "../../schemas/wit/model.ts"
import { type AbiContext, checkWords } from "./context.ts"
import { allocate, charge, checkRange, countWords } from "./memory.ts"
import { Mismatch, mismatch, shown, within } from "./mismatch.ts"
import { nan32, nan64 } from "./number.ts"

/** Lowers a list: returns its pointer and words its length in elements in `cx.loweredLength`. */
export type LowerList = (cx: AbiContext, value: unknown) => number
/** Lifts `length` elements at `at`. */
export type LiftList = (cx: AbiContext, at: number, length: number) => unknown

type Load = (cx: AbiContext, at: number) => unknown
type Store = (cx: AbiContext, value: unknown, at: number) => void

/**
 * An element that is lifted one by one is charged at least the heap it takes here, in words of 8 bytes. So zero-sized
 * elements are not free, and a mebibyte of booleans, nested records or flags costs the guest what it costs the host.
 */
const wordBytes = 8
/** CanonicalABI.md `store_list_into_range`: the byte length of a list is below 2^32. */
const listBytesMax = 2 ** 32 - 1

const kinds = {
  s8: Int8Array,
  u8: Uint8Array,
  s16: Int16Array,
  u16: Uint16Array,
  s32: Int32Array,
  u32: Uint32Array,
  s64: BigInt64Array,
  u64: BigUint64Array,
  f32: Float32Array,
  f64: Float64Array,
} as const

type BulkKind = keyof typeof kinds
const isBulk = (kind: string): kind is BulkKind => Object.hasOwn(kinds, kind)

// The engine's own getters, immune to what an object says of itself. A getter bound through `call` is inlined by V8 (2 ns).
const getter = (prototype: object, key: string | symbol): ((self: object) => unknown) =>
  Function.prototype.call.bind(Object.getOwnPropertyDescriptor(prototype, key)?.get as () => unknown) as (self: object) => unknown
const typedArrayPrototype: object = Object.getPrototypeOf(Uint8Array.prototype)
const kindOf = getter(typedArrayPrototype, Symbol.toStringTag)
const lengthOf = getter(typedArrayPrototype, "length") as (self: object) => number
const bufferOf = getter(typedArrayPrototype, "buffer") as (self: object) => ArrayBuffer | SharedArrayBuffer
const offsetOf = getter(typedArrayPrototype, "byteOffset") as (self: object) => number
const isResizable = getter(ArrayBuffer.prototype, "resizable") as (self: object) => boolean
const isDetached = getter(ArrayBuffer.prototype, "detached") as (self: object) => boolean

/** Refuses buffers whose bytes or length others can change, or that are gone. */
function fixedBuffer(value: object): ArrayBuffer {
  const buffer = bufferOf(value)
  let refused: string | undefined
  try {
    refused = isResizable(buffer) ? "resizable" : isDetached(buffer) ? "detached" : undefined
  } catch {
    // The getters of ArrayBuffer refuse a SharedArrayBuffer, of whatever realm.
    refused = "shared"
  }
  if (refused !== undefined) throw new Mismatch("elements in a buffer of fixed length and sole owner", `${shown(value)} in a ${refused} buffer`)
  return buffer as ArrayBuffer
}

const byteLength = (length: number, size: number): number => {
  const bytes = length * size
  if (bytes > listBytesMax || length > 0xffff_ffff) throw new Mismatch("a list of less than 2^32 bytes", `${length} elements`)
  return bytes
}

/** Overwrites the NaNs among `length` floats at `at` with the canonical one: a copied NaN would show its bits to the guest. */
function canonicaliseNans(cx: AbiContext, size: 4 | 8, at: number, length: number): void {
  if (size === 4) {
    const { f32 } = cx
    for (let i = at >>> 2, end = i + length; i < end; i++) if (f32[i] !== f32[i]) cx.i32[i] = nan32
  } else {
    const { f64 } = cx
    for (let i = at >>> 3, end = i + length; i < end; i++) if (f64[i] !== f64[i]) cx.i64[i] = nan64
  }
}

function lowerArray(cx: AbiContext, value: ReadonlyArray<unknown>, type: ListType, store: Store): number {
  const { size, align, words } = layoutOf(type.element)
  return lowerElements(cx, value, type, store, size, align, words, stride(words))
}

/** Elements between two looks at the stop: a power of two, so that the test is one mask. */
const stride = (words: number): number => 2 ** Math.max(0, Math.floor(Math.log2(checkWords / words)))

function lowerElements(
  cx: AbiContext,
  value: ReadonlyArray<unknown>,
  type: ListType,
  store: Store,
  size: number,
  align: number,
  words: number,
  step: number,
): number {
  const { length } = value
  // A Proxy of an array may answer anything.
  if (!Number.isInteger(length) || length < 0) mismatch(type, value)
  const at = allocate(cx, align, byteLength(length, size))
  const mask = step - 1
  let i = 0
  try {
    while (i < length) {
      if ((i & mask) === 0) countWords(cx, Math.min(step, length - i) * words)
      store(cx, value[i], at + i * size)
      i++
    }
  } catch (error) {
    throw within(error, `[${i}]`)
  }
  cx.loweredLength = length
  return at
}

/** `store` writes one element; used for plain arrays of numbers, and for every element of other lists. */
export function lowerListOf(type: ListType, store: Store): LowerList {
  const { kind } = type.element
  const { size, align, words } = layoutOf(type.element)
  if (!isBulk(kind)) {
    const step = stride(words)
    return (cx, value) => {
      if (!Array.isArray(value)) mismatch(type, value)
      return lowerElements(cx, value, type, store, size, align, words, step)
    }
  }
  const { name } = kinds[kind]
  if (kind === "u8") {
    return (cx, value) => {
      if (typeof value !== "object" || value === null) mismatch(type, value)
      if (kindOf(value) !== name) return Array.isArray(value) ? lowerArray(cx, value, type, store) : mismatch(type, value)
      fixedBuffer(value)
      const length = lengthOf(value)
      const at = allocate(cx, 1, byteLength(length, 1))
      cx.u8.set(value as Uint8Array, at)
      cx.loweredLength = length
      return at
    }
  }
  const isFloat = kind === "f32" || kind === "f64"
  return (cx, value) => {
    if (typeof value !== "object" || value === null) mismatch(type, value)
    if (kindOf(value) !== name) return Array.isArray(value) ? lowerArray(cx, value, type, store) : mismatch(type, value)
    const buffer = fixedBuffer(value)
    const length = lengthOf(value)
    const bytes = byteLength(length, size)
    const at = allocate(cx, align, bytes)
    cx.u8.set(new Uint8Array(buffer, offsetOf(value), bytes), at)
    if (isFloat) canonicaliseNans(cx, size as 4 | 8, at, length)
    cx.loweredLength = length
    return at
  }
}

/** `load` reads one element; not used for number lists. */
export function liftListOf(type: ListType, load: () => Load): LiftList {
  const { kind } = type.element
  const { size, align, words } = layoutOf(type.element)
  if (kind === "u8") {
    return (cx, at, length) => {
      checkRange(cx, at, length, 1)
      charge(cx, length)
      return cx.u8.slice(at, at + length)
    }
  }
  if (kind === "f32" || kind === "f64") return liftFloats(kind)
  if (isBulk(kind)) {
    const Kind = kinds[kind]
    return (cx, at, length) => {
      const bytes = length * size
      checkRange(cx, at, bytes, align)
      charge(cx, bytes)
      return new Kind(cx.u8.buffer as ArrayBuffer, at, length).slice()
    }
  }
  const element = load()
  const charged = Math.max(size, words * wordBytes)
  const step = stride(words)
  const mask = step - 1
  return (cx, at, length) => {
    checkRange(cx, at, length * size, align)
    charge(cx, length * size, length * charged)
    const out = new Array<unknown>(length)
    for (let i = 0; i < length; i++) {
      if ((i & mask) === 0) countWords(cx, Math.min(step, length - i) * words)
      out[i] = element(cx, at + i * size)
    }
    return out
  }
}

/** A copy first, then the NaNs in it: its bits are as visible to the host as a guest's are to the guest. */
function liftFloats(kind: "f32" | "f64"): LiftList {
  if (kind === "f32") {
    return (cx, at, length) => {
      checkRange(cx, at, length * 4, 4)
      charge(cx, length * 4)
      const out = new Float32Array(cx.u8.buffer as ArrayBuffer, at, length).slice()
      let bits: Int32Array | undefined
      for (let i = 0; i < length; i++) if (out[i] !== out[i]) (bits ??= new Int32Array(out.buffer))[i] = nan32
      return out
    }
  }
  return (cx, at, length) => {
    checkRange(cx, at, length * 8, 8)
    charge(cx, length * 8)
    const out = new Float64Array(cx.u8.buffer as ArrayBuffer, at, length).slice()
    let bits: BigInt64Array | undefined
    for (let i = 0; i < length; i++) if (out[i] !== out[i]) (bits ??= new BigInt64Array(out.buffer))[i] = nan64
    return out
  }
}
