/**
 * Values of any type from a seed, small ones and edges first, and what is simpler than a value: for calls that nobody
 * wrote down. The same seed gives the same values on every machine.
 */
import { bigintRange, isTaggedOption, typedArrayOf } from "../../schemas/value/form.ts"
import { propertyName, type ValueType } from "../../schemas/wit/model.ts"
import { anywhere } from "../../schemas/wit/tree.ts"

/** A list in the host form: numbers are a typed array. */
const listOf = (element: ValueType, elements: ReadonlyArray<unknown>): unknown => {
  const array = typedArrayOf(element)?.make(elements.length)
  if (array === undefined) return elements
  for (const [at, value] of elements.entries()) array[at] = value as never
  return array
}

/** Types that no value can be made of: handles come from calls, streams from the host. */
const isUnmakeable = anywhere((type) => ["own", "borrow", "fixed-list", "map", "stream", "future", "error-context"].includes(type.kind))
export const isMakeable = (type: ValueType): boolean => !isUnmakeable(type)

/** SplitMix32 (Steele, Lea, Flood 2014, with the 32-bit constants of MurmurHash3): enough to choose by. */
export class Chooser {
  #state: number
  /** Elements that lists of one value may still have together: lists of lists would multiply. */
  elementsLeft = 2_000
  constructor(seed: number) {
    this.#state = seed >>> 0
  }
  next(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0
    let z = this.#state
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
    return (z ^ (z >>> 16)) >>> 0
  }
  /** 0 to `n` − 1. */
  below(n: number): number {
    return this.next() % n
  }
  /** True once in `n` times. */
  once(n: number): boolean {
    return this.below(n) === 0
  }
  of<A>(choices: ReadonlyArray<A>): A {
    return choices[this.below(choices.length)] as A
  }
}

const edges = {
  u8: [0, 1, 127, 128, 255],
  s8: [0, 1, -1, 127, -128],
  u16: [0, 1, 255, 256, 32_767, 65_535],
  s16: [0, 1, -1, 32_767, -32_768],
  u32: [0, 1, 65_535, 65_536, 2_147_483_647, 2_147_483_648, 4_294_967_295],
  s32: [0, 1, -1, 2_147_483_647, -2_147_483_648],
  f32: [0, -0, 1, -1, 0.5, Math.fround(1e-45), Math.fround(3.4028235e38), Infinity, -Infinity, Number.NaN],
  f64: [0, -0, 1, -1, 0.1, 5e-324, 1.7976931348623157e308, Infinity, -Infinity, Number.NaN],
} as const
const scalars = ["a", "\0", "\n", "\u007F", "ß", "\uFEFF", "\uFFFF", "\u{10FFFF}", "😀", "\u202E"]
/** Texts that programs stumble over. */
const texts = [
  "",
  " ",
  "a",
  "0",
  "-1",
  "null",
  "../../etc/passwd",
  "a\0b",
  "\uFEFFa",
  "e\u0301",
  "İ",
  "ﷺ",
  "😀😀",
  "\u202Ea",
  "{}",
  "[",
  '"',
  "\\",
  "%s",
  "'; --",
  "1e309",
  "\r\n",
]
/** Most elements of a list or characters of a text, by how far in the run the case is. */
const lengthMax = (size: number): number => (size < 20 ? 3 : size < 200 ? 16 : 300)

function text(choose: Chooser, size: number): string {
  if (!choose.once(3)) return choose.of(texts)
  let out = ""
  for (let left = choose.below(lengthMax(size) + 1); left > 0; left--) out += choose.once(4) ? choose.of(scalars) : String.fromCharCode(32 + choose.below(95))
  return out
}

function long(choose: Chooser, [min, max]: readonly [bigint, bigint]): bigint {
  const value = choose.of([0n, 1n, -1n, min, max, max - 1n, 1n << 32n, (1n << 53n) + 1n, BigInt(choose.next())])
  return value < min ? min : value > max ? max : value
}

/** Keeps a value of a wide type from growing with its depth. */
const depthMax = 6

/** A value of `type` in the host form. `size` is the number of the case: later ones may be larger. */
export function randomValue(type: ValueType, choose: Chooser, size: number, depth = 0): unknown {
  const inner = (part: ValueType): unknown => randomValue(part, choose, size, depth + 1)
  switch (type.kind) {
    case "bool":
      return choose.once(2)
    case "u8":
    case "s8":
    case "u16":
    case "s16":
    case "u32":
    case "s32":
      return choose.of(edges[type.kind])
    case "f32":
    case "f64":
      return choose.of(edges[type.kind])
    case "u64":
    case "s64":
      return long(choose, bigintRange[type.kind])
    case "char":
      return choose.of(scalars)
    case "string":
      return text(choose, size)
    case "list": {
      const length = depth >= depthMax ? 0 : Math.min(choose.elementsLeft, choose.below(lengthMax(size) + 1))
      choose.elementsLeft -= length
      const elements = Array.from({ length }, () => inner(type.element))
      return listOf(type.element, elements)
    }
    case "record":
      return Object.fromEntries(type.fields.map((field) => [propertyName(field.label), inner(field.type)]))
    case "tuple":
      return type.types.map(inner)
    case "variant": {
      const chosen = choose.of(type.cases)
      return chosen.type === undefined ? { tag: chosen.label } : { tag: chosen.label, val: inner(chosen.type) }
    }
    case "enum":
      return choose.of(type.labels)
    case "option": {
      const isSome = depth < depthMax && choose.once(2)
      if (isTaggedOption(type.type)) return isSome ? { tag: "some", val: inner(type.type) } : { tag: "none" }
      return isSome ? inner(type.type) : undefined
    }
    case "result": {
      const tag = choose.once(2) ? "ok" : "err"
      const payload = tag === "ok" ? type.ok : type.err
      return payload === undefined ? { tag } : { tag, val: inner(payload) }
    }
    case "flags":
      return Object.fromEntries(type.labels.map((label) => [propertyName(label), choose.once(2)]))
    default:
      throw new RangeError(`no value of ${type.kind} can be made`)
  }
}

/** Values of the same type that are simpler, simplest first. Bounded: at most some dozens. */
export function* simpler(type: ValueType, value: unknown): Generator {
  switch (type.kind) {
    case "bool":
      if (value === true) yield false
      return
    case "u64":
    case "s64":
      if (value !== 0n) yield* [0n, (value as bigint) / 2n]
      return
    case "char":
      if (value !== "a") yield "a"
      return
    case "string": {
      const characters = [...(value as string)]
      if (characters.length === 0) return
      yield ""
      if (characters.length > 1) yield* [characters.slice(0, characters.length >> 1).join(""), characters.slice(characters.length >> 1).join("")]
      if (characters.length <= 12) for (let at = 0; at < characters.length; at++) yield characters.toSpliced(at, 1).join("")
      return
    }
    case "list": {
      const elements = Array.from(value as ArrayLike<unknown>)
      const made = (parts: ReadonlyArray<unknown>): unknown => listOf(type.element, parts)
      if (elements.length === 0) return
      yield made([])
      if (elements.length > 1) yield* [made(elements.slice(0, elements.length >> 1)), made(elements.slice(elements.length >> 1))]
      if (elements.length <= 12)
        for (let at = 0; at < elements.length; at++) {
          yield made(elements.toSpliced(at, 1))
          for (const part of simpler(type.element, elements[at])) yield made(elements.with(at, part))
        }
      return
    }
    case "record": {
      const fields = value as Readonly<Record<string, unknown>>
      for (const { label, type: part } of type.fields) {
        const name = propertyName(label)
        for (const other of simpler(part, fields[name])) yield { ...fields, [name]: other }
      }
      return
    }
    case "tuple":
      for (const [at, part] of type.types.entries())
        for (const other of simpler(part, (value as ReadonlyArray<unknown>)[at])) yield (value as ReadonlyArray<unknown>).with(at, other)
      return
    case "variant": {
      const { tag, val } = value as { readonly tag: string; readonly val?: unknown }
      const [first] = type.cases
      if (first !== undefined && first.type === undefined && first.label !== tag) yield { tag: first.label }
      const payload = type.cases.find(({ label }) => label === tag)?.type
      if (payload !== undefined) for (const other of simpler(payload, val)) yield { tag, val: other }
      return
    }
    case "enum":
      if (value !== type.labels[0]) yield type.labels[0]
      return
    case "option": {
      const isTagged = isTaggedOption(type.type)
      const none = isTagged ? { tag: "none" } : undefined
      const some = isTagged ? (value as { readonly val?: unknown }).val : value
      const isNone = isTagged ? (value as { readonly tag: string }).tag === "none" : value === undefined
      if (isNone) return
      yield none
      for (const other of simpler(type.type, some)) yield isTagged ? { tag: "some", val: other } : other
      return
    }
    case "result": {
      const { tag, val } = value as { readonly tag: "ok" | "err"; readonly val?: unknown }
      const payload = type[tag]
      if (payload !== undefined) for (const other of simpler(payload, val)) yield { tag, val: other }
      return
    }
    case "flags":
      for (const [name, isSet] of Object.entries(value as Readonly<Record<string, boolean>>)) if (isSet) yield { ...(value as object), [name]: false }
      return
    default: {
      // The numbers: NaN and infinities are as simple as they get when 0 does not do.
      const number = value as number
      if (Object.is(number, 0)) return
      yield 0
      if (Number.isInteger(number) && Math.abs(number) > 1) yield Math.trunc(number / 2)
    }
  }
}
