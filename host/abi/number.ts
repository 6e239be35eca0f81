/** Integers, floats, booleans and `char`: checking host values, reading core values and memory, canonical NaNs. */
import type { FlatType } from "../../schemas/wit/layout.ts"
import type { PrimitiveKind } from "../../schemas/wit/model.ts"
import { type AbiContext, AbiTrap } from "./context.ts"
import { mismatch } from "./mismatch.ts"

/** A core value as JavaScript passes it: i64 is a bigint, the rest are numbers. */
export type CoreValue = number | bigint

export type ScalarKind = Exclude<PrimitiveKind, "string">

export interface Scalar {
  /** Host value → core value; refuses what is out of the type's domain instead of wrapping it. */
  readonly lower: (value: unknown) => CoreValue
  /** Core value → host value; bits that the type does not have are ignored (CanonicalABI.md "Flat Lifting"). */
  readonly lift: (core: CoreValue) => unknown
  readonly load: (cx: AbiContext, at: number) => unknown
  readonly store: (cx: AbiContext, value: unknown, at: number) => void
}

/** CanonicalABI.md `CANONICAL_FLOAT32_NAN` and `CANONICAL_FLOAT64_NAN`. */
export const nan32 = 0x7fc0_0000
export const nan64 = 0x7ff8_0000_0000_0000n

const cell = new ArrayBuffer(8)
const cellI32 = new Int32Array(cell)
const cellF32 = new Float32Array(cell)
const cellI64 = new BigInt64Array(cell)
const cellF64 = new Float64Array(cell)

function bitsOfF32(value: number): number {
  cellF32[0] = value
  return value !== value ? nan32 : (cellI32[0] as number)
}
function bitsOfF64(value: number): bigint {
  cellF64[0] = value
  return value !== value ? nan64 : (cellI64[0] as bigint)
}
function f32OfBits(bits: number): number {
  cellI32[0] = bits
  const value = cellF32[0] as number
  return value !== value ? Number.NaN : value
}
function f64OfBits(bits: bigint): number {
  cellI64[0] = bits
  const value = cellF64[0] as number
  return value !== value ? Number.NaN : value
}

const lowerBool = (v: unknown): number => (v === true ? 1 : v === false ? 0 : mismatch("bool", v))
const lowerS8 = (v: unknown): number => (typeof v === "number" && (v << 24) >> 24 === v ? v : mismatch("s8", v))
const lowerU8 = (v: unknown): number => (typeof v === "number" && (v & 0xff) === v ? v : mismatch("u8", v))
const lowerS16 = (v: unknown): number => (typeof v === "number" && (v << 16) >> 16 === v ? v : mismatch("s16", v))
const lowerU16 = (v: unknown): number => (typeof v === "number" && (v & 0xffff) === v ? v : mismatch("u16", v))
const lowerS32 = (v: unknown): number => (typeof v === "number" && (v | 0) === v ? v : mismatch("s32", v))
const lowerU32 = (v: unknown): number => (typeof v === "number" && v >>> 0 === v ? v : mismatch("u32", v))
const lowerS64 = (v: unknown): bigint => (typeof v === "bigint" && BigInt.asIntN(64, v) === v ? v : mismatch("s64", v))
const lowerU64 = (v: unknown): bigint => (typeof v === "bigint" && BigInt.asUintN(64, v) === v ? v : mismatch("u64", v))
const lowerF32 = (v: unknown): number => (typeof v !== "number" ? mismatch("f32", v) : v !== v ? Number.NaN : Math.fround(v))
const lowerF64 = (v: unknown): number => (typeof v !== "number" ? mismatch("f64", v) : v !== v ? Number.NaN : v)

/** One scalar value: a surrogate alone is none. */
function lowerChar(v: unknown): number {
  if (typeof v === "string" && v.length > 0 && v.length < 3) {
    const point = v.codePointAt(0) as number
    if (v.length === (point > 0xffff ? 2 : 1) && (point < 0xd800 || point > 0xdfff)) return point
  }
  return mismatch("char", v)
}

function liftChar(core: CoreValue): string {
  const point = (core as number) >>> 0
  if (point >= 0x11_0000 || (point >= 0xd800 && point <= 0xdfff)) throw new AbiTrap(`0x${point.toString(16)} is not a char`)
  return String.fromCodePoint(point)
}

const number = (core: CoreValue): number => core as number

export const scalars: { readonly [K in ScalarKind]: Scalar } = {
  bool: {
    lower: lowerBool,
    lift: (core) => core !== 0,
    load: (cx, at) => cx.u8[at] !== 0,
    store: (cx, v, at) => void (cx.u8[at] = lowerBool(v)),
  },
  s8: {
    lower: lowerS8,
    lift: (core) => (number(core) << 24) >> 24,
    load: (cx, at) => ((cx.u8[at] as number) << 24) >> 24,
    store: (cx, v, at) => void (cx.u8[at] = lowerS8(v)),
  },
  u8: {
    lower: lowerU8,
    lift: (core) => number(core) & 0xff,
    load: (cx, at) => cx.u8[at],
    store: (cx, v, at) => void (cx.u8[at] = lowerU8(v)),
  },
  s16: {
    lower: lowerS16,
    lift: (core) => (number(core) << 16) >> 16,
    load: (cx, at) => ((cx.u16[at >>> 1] as number) << 16) >> 16,
    store: (cx, v, at) => void (cx.u16[at >>> 1] = lowerS16(v)),
  },
  u16: {
    lower: lowerU16,
    lift: (core) => number(core) & 0xffff,
    load: (cx, at) => cx.u16[at >>> 1],
    store: (cx, v, at) => void (cx.u16[at >>> 1] = lowerU16(v)),
  },
  s32: {
    lower: lowerS32,
    lift: (core) => number(core) | 0,
    load: (cx, at) => cx.i32[at >>> 2],
    store: (cx, v, at) => void (cx.i32[at >>> 2] = lowerS32(v)),
  },
  u32: {
    lower: lowerU32,
    lift: (core) => number(core) >>> 0,
    load: (cx, at) => (cx.i32[at >>> 2] as number) >>> 0,
    store: (cx, v, at) => void (cx.i32[at >>> 2] = lowerU32(v)),
  },
  s64: {
    lower: lowerS64,
    lift: (core) => core,
    load: (cx, at) => cx.i64[at >>> 3],
    store: (cx, v, at) => void (cx.i64[at >>> 3] = lowerS64(v)),
  },
  u64: {
    lower: lowerU64,
    lift: (core) => BigInt.asUintN(64, core as bigint),
    load: (cx, at) => BigInt.asUintN(64, cx.i64[at >>> 3] as bigint),
    store: (cx, v, at) => void (cx.i64[at >>> 3] = lowerU64(v)),
  },
  f32: {
    lower: lowerF32,
    lift: (core) => (core !== core ? Number.NaN : core),
    load(cx, at) {
      const value = cx.f32[at >>> 2] as number
      return value !== value ? Number.NaN : value
    },
    store: (cx, v, at) => void (cx.i32[at >>> 2] = bitsOfF32(lowerF32(v))),
  },
  f64: {
    lower: lowerF64,
    lift: (core) => (core !== core ? Number.NaN : core),
    load(cx, at) {
      const value = cx.f64[at >>> 3] as number
      return value !== value ? Number.NaN : value
    },
    store(cx, v, at) {
      const value = lowerF64(v)
      if (value !== value) cx.i64[at >>> 3] = nan64
      else cx.f64[at >>> 3] = value
    },
  },
  char: {
    lower: lowerChar,
    lift: liftChar,
    load: (cx, at) => liftChar(cx.i32[at >>> 2] as number),
    store: (cx, v, at) => void (cx.i32[at >>> 2] = lowerChar(v)),
  },
}

export type Coercion = (core: CoreValue) => CoreValue

const zeroExtend: Coercion = (core) => BigInt((core as number) >>> 0)
const wrap: Coercion = (core) => Number(BigInt.asIntN(32, core as bigint))

/** How a payload's core value travels as the joined type (CanonicalABI.md `lower_flat_variant`); undefined when as it is. */
export function widening(have: FlatType, want: FlatType): Coercion | undefined {
  if (have === want) return undefined
  if (want === "i32") return (core) => bitsOfF32(core as number)
  if (have === "i32") return zeroExtend
  return have === "f32" ? (core) => BigInt(bitsOfF32(core as number) >>> 0) : (core) => bitsOfF64(core as number)
}

/** The way back (CanonicalABI.md `lift_flat_variant`, `CoerceValueIter`). */
export function narrowing(have: FlatType, want: FlatType): Coercion | undefined {
  if (have === want) return undefined
  if (have === "i32") return (core) => f32OfBits(core as number)
  if (want === "i32") return wrap
  return want === "f32" ? (core) => f32OfBits(wrap(core) as number) : (core) => f64OfBits(core as bigint)
}
