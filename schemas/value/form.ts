/**
 * The host form of values, stated once: ranges of integers, which list is which typed array, what a scalar is, how a
 * property whose name a guest chose is read and written.
 */
import type { PrimitiveKind, ValueType } from "../wit/model.ts"

/** Integer kinds held in a JavaScript number, with their inclusive ranges. */
export const numberRange: { readonly [K in "s8" | "u8" | "s16" | "u16" | "s32" | "u32"]: readonly [min: number, max: number] } = {
  s8: [-0x80, 0x7f],
  u8: [0, 0xff],
  s16: [-0x8000, 0x7fff],
  u16: [0, 0xffff],
  s32: [-0x8000_0000, 0x7fff_ffff],
  u32: [0, 0xffff_ffff],
}

/** Integer kinds held in a bigint, with their inclusive ranges. */
export const bigintRange: { readonly [K in "s64" | "u64"]: readonly [min: bigint, max: bigint] } = {
  s64: [-(1n << 63n), (1n << 63n) - 1n],
  u64: [0n, (1n << 64n) - 1n],
}

export type NumberKind = Exclude<PrimitiveKind, "bool" | "char" | "string">

export type TypedArray =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float32Array
  | Float64Array

/** What a typed array of `length` zeros is made with, per element kind; absent for lists that are plain arrays. */
export const typedArrays: {
  readonly [K in NumberKind]: { readonly name: string; readonly make: (length: number) => TypedArray; readonly is: (value: unknown) => value is TypedArray }
} = {
  s8: { name: "Int8Array", make: (n) => new Int8Array(n), is: (v): v is Int8Array => v instanceof Int8Array },
  u8: { name: "Uint8Array", make: (n) => new Uint8Array(n), is: (v): v is Uint8Array => v instanceof Uint8Array },
  s16: { name: "Int16Array", make: (n) => new Int16Array(n), is: (v): v is Int16Array => v instanceof Int16Array },
  u16: { name: "Uint16Array", make: (n) => new Uint16Array(n), is: (v): v is Uint16Array => v instanceof Uint16Array },
  s32: { name: "Int32Array", make: (n) => new Int32Array(n), is: (v): v is Int32Array => v instanceof Int32Array },
  u32: { name: "Uint32Array", make: (n) => new Uint32Array(n), is: (v): v is Uint32Array => v instanceof Uint32Array },
  s64: { name: "BigInt64Array", make: (n) => new BigInt64Array(n), is: (v): v is BigInt64Array => v instanceof BigInt64Array },
  u64: { name: "BigUint64Array", make: (n) => new BigUint64Array(n), is: (v): v is BigUint64Array => v instanceof BigUint64Array },
  f32: { name: "Float32Array", make: (n) => new Float32Array(n), is: (v): v is Float32Array => v instanceof Float32Array },
  f64: { name: "Float64Array", make: (n) => new Float64Array(n), is: (v): v is Float64Array => v instanceof Float64Array },
}

/** The typed array that `list<element>` is, or undefined when it is a plain array. */
export const typedArrayOf = (element: ValueType) => (Object.hasOwn(typedArrays, element.kind) ? typedArrays[element.kind as NumberKind] : undefined)

/** True when `option<payload>` needs tags, since its `none` and its payload's `none` would both be undefined. */
export const isTaggedOption = (payload: ValueType): boolean => payload.kind === "option"

/** One Unicode scalar value: a code point that is no surrogate (CanonicalABI.md, `convert_i32_to_char`). */
export function isScalar(text: string): boolean {
  const point = text.codePointAt(0)
  return point !== undefined && text.length === (point > 0xffff ? 2 : 1) && (point < 0xd800 || point > 0xdfff)
}

/** A property's value if it is the object's own, else undefined: a label like `constructor` never reaches the prototype. */
export const ownField = (object: object, key: string): unknown => (Object.hasOwn(object, key) ? (object as Record<string, unknown>)[key] : undefined)

/** Sets an own property whatever its name; plain assignment to `__proto__` would change the prototype instead. */
export function setField(object: Record<string, unknown>, key: string, value: unknown): void {
  if (key === "__proto__") Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true })
  else object[key] = value
}

/** True for what can be a record, variant or flags: an object that is no array, function or view. */
export const isPlain = (value: unknown): value is object => typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value)

const clip = (text: string, max: number): string => (text.length > max ? `${text.slice(0, max)}…` : text)

/** `text` quoted and cut for a message: control, bidi and other invisible characters are escaped, so that it cannot steer a terminal. */
export function quote(text: string, max = 40): string {
  return JSON.stringify(clip(text, max)).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`)
}

/** What a value is, for an error message, at most about 60 characters. Runs no code of the value's own. */
export function describe(value: unknown): string {
  switch (typeof value) {
    case "string":
      return `string ${quote(value)}`
    case "number":
      return `number ${Object.is(value, -0) ? "-0" : value}`
    case "bigint": {
      const digits = value >= -(1n << 128n) && value <= 1n << 128n ? `${value}n` : "of more than 128 bits"
      return `bigint ${digits}`
    }
    case "boolean":
      return `boolean ${value}`
    case "object":
      if (value === null) return "null"
      if (Array.isArray(value)) return `array of ${value.length}`
      for (const view of Object.values(typedArrays)) if (view.is(value)) return `${view.name} of ${value.length}`
      return "object"
    default:
      return typeof value
  }
}
