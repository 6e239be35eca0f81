/** Types that every run has, so that no constructor, size or join depends on luck. */
import {
  type Case,
  enumeration,
  flags,
  func,
  type FunctionType,
  list,
  option,
  own,
  borrow,
  primitive,
  type PrimitiveKind,
  record,
  type ResourceType,
  result,
  tuple,
  type ValueType,
  variant,
} from "../../schemas/wit/model.ts"

const kinds = Object.keys(primitive) as ReadonlyArray<PrimitiveKind>
const { bool, char, f32, f64, s8, s16, s64, string, u8, u16, u32, u64 } = primitive
const many = (count: number): ReadonlyArray<string> => Array.from({ length: count }, (_, i) => `l${i}-x`)
const wide = (type: ValueType): ValueType => ({ kind: "variant", cases: many(300).map((label, i): Case => (i % 100 === 7 ? { label, type } : { label })) })
const shared = record({ at: u16, text: string })
const deep = (type: ValueType, levels: number): ValueType => (levels === 0 ? type : deep(record({ pad: u8, inner: type }), levels - 1))

export const cornerTypes: ReadonlyArray<ValueType> = [
  ...kinds.map((kind) => primitive[kind]),
  ...kinds.map((kind) => list(primitive[kind])),
  // Every pair of core types that `join` distinguishes, in both orders.
  variant({ a: u32, b: f32 }),
  variant({ a: f32, b: u64 }),
  variant({ a: u8, b: s64 }),
  variant({ a: f64, b: char }),
  variant({ a: s64, b: f64 }),
  variant({ a: f32, b: f64 }),
  variant({ a: string, b: f64, c: tuple(f32, u64), d: undefined }),
  variant({ a: tuple(u8, f32, f64), b: tuple(f64, u64, u8), c: tuple(f32, u32, string) }),
  wide(string),
  wide(f64),
  // The last discriminant of one byte and the first of two.
  enumeration(...many(256)),
  enumeration(...many(257)),
  { kind: "variant", cases: many(256).map((label, i): Case => (i === 255 ? { label, type: u8 } : { label })) },
  flags(...many(8)),
  flags(...many(9)),
  flags(...many(16)),
  flags(...many(32)),
  option(option(bool)),
  option(option(option(u8))),
  result(),
  result(u64),
  result(undefined, string),
  result(list(u8), f32),
  tuple(result(), result(u8), result(undefined, u8), result(u8, u8)),
  list(variant({ line: record({ from: f64, to: f64, name: string }), none: undefined })),
  list(list(variant({ a: record({ xs: list(variant({ b: record({ n: u8, s: string }), c: undefined })) }), d: undefined }))),
  tuple(shared, shared),
  deep(list(option(string)), 8),
  // 15, 16 and 17 core values, and fields whose alignment leaves gaps.
  tuple(...Array.from({ length: 15 }, () => f64)),
  tuple(...Array.from({ length: 16 }, (_, i) => (i % 2 === 0 ? u8 : f64))),
  tuple(...Array.from({ length: 17 }, (_, i) => (i % 3 === 0 ? u64 : s8))),
  record({ a: u8, b: u64, c: u16, d: f32, e: bool, f: s16, g: option(u64), h: u8 }),
]

/** Functions with handles and with each shape of signature. */
export function cornerCalls([first, second]: readonly [ResourceType, ResourceType]): ReadonlyArray<FunctionType> {
  return [
    // First, so that the resources get their names in this order.
    func({ a: own(first), b: own(second) }, tuple(own(second), own(first))),
    func({}),
    func({}, u32),
    func({ a: string }),
    func({ a: borrow(first) }, u8),
    func({ a: borrow(first), b: borrow(first), c: borrow(second) }, own(first)),
    func({ all: list(variant({ own: own(first), lent: borrow(second), none: undefined })) }, list(own(second))),
    func({ a: option(result(borrow(first), list(borrow(second)))), b: record({ x: own(first), y: option(borrow(first)) }) }, option(own(first))),
    func(Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`p${i}`, i % 2 === 0 ? borrow(first) : f32])), result(own(second), string)),
    func(Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`p${i}`, i % 2 === 0 ? u8 : s64])), string),
    func(Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`p${i}`, i % 2 === 0 ? f64 : s8])), f64),
  ]
}
