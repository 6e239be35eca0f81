/**
 * The one type model of WIT: what the binary decoder reads and what the WIT front end fills.
 *
 * Values of these types cross the host's boundary; `schemas/wit/*` derives JSON Schema, Effect Schema and
 * TypeScript from it, `host/abi` derives lift and lower. Nodes are immutable and shared: a type that occurs
 * twice is the same object, so every derivation memoises by identity and stays linear in the number of nodes,
 * not in the number of leaves.
 *
 * Source: component-model `design/mvp/Explainer.md` (type definitions) and `design/mvp/CanonicalABI.md`
 * at the commit pinned in `schemas/wit/README.md`.
 */

/** Types without children. `char` is one Unicode scalar value. */
export type PrimitiveKind = "bool" | "s8" | "u8" | "s16" | "u16" | "s32" | "u32" | "s64" | "u64" | "f32" | "f64" | "char" | "string"

/** Where a type got its name: the interface that owns it (absent for a world's own types) and its kebab-case label. */
export interface TypeName {
  readonly interface?: string
  readonly name: string
}

/** A resource type. Compared by identity: two resources with the same name are different types. */
export interface ResourceType {
  readonly kind: "resource"
  /** kebab-case label of the first export or import that named it; absent while it is local to a component. */
  readonly name?: TypeName
}

/** A labelled value type: record field or parameter. `label` is checked kebab-case. */
export interface Labelled {
  readonly label: string
  readonly type: ValueType
}

/** A variant case; `type` is absent for a case without payload. */
export interface Case {
  readonly label: string
  readonly type?: ValueType
}

interface Named {
  readonly name?: TypeName
}

export interface PrimitiveType extends Named {
  readonly kind: PrimitiveKind
}
export interface ListType extends Named {
  readonly kind: "list"
  readonly element: ValueType
}
export interface RecordType extends Named {
  readonly kind: "record"
  readonly fields: ReadonlyArray<Labelled>
}
export interface TupleType extends Named {
  readonly kind: "tuple"
  readonly types: ReadonlyArray<ValueType>
}
export interface VariantType extends Named {
  readonly kind: "variant"
  readonly cases: ReadonlyArray<Case>
}
export interface EnumType extends Named {
  readonly kind: "enum"
  readonly labels: ReadonlyArray<string>
}
export interface OptionType extends Named {
  readonly kind: "option"
  readonly type: ValueType
}
export interface ResultType extends Named {
  readonly kind: "result"
  readonly ok?: ValueType
  readonly err?: ValueType
}
export interface FlagsType extends Named {
  readonly kind: "flags"
  readonly labels: ReadonlyArray<string>
}
export interface OwnType extends Named {
  readonly kind: "own"
  readonly resource: ResourceType
}
export interface BorrowType extends Named {
  readonly kind: "borrow"
  readonly resource: ResourceType
}

/** `list<T, N>`: the length is part of the type, at least 1. */
export interface FixedListType extends Named {
  readonly kind: "fixed-list"
  readonly element: ValueType
  readonly length: number
}
/** Pairs, of which the last of each key counts. `key` is a primitive other than `f32` and `f64`. */
export interface MapType extends Named {
  readonly kind: "map"
  readonly key: ValueType
  readonly value: ValueType
}
/** Values one after the other, later; `element` is absent for a stream that only ends. */
export interface StreamType extends Named {
  readonly kind: "stream"
  readonly element?: ValueType
}
/** One value, later; `type` is absent for a future that only happens. */
export interface FutureType extends Named {
  readonly kind: "future"
  readonly type?: ValueType
}
/** What a failure says for people to read; no program may depend on it. */
export interface ErrorContextType extends Named {
  readonly kind: "error-context"
}

/** Types whose values are not there yet, or are there for people: they have a host form, and none in text or JSON. */
export type LaterType = StreamType | FutureType | ErrorContextType

/** Types that WIT has and that no value crosses the host's boundary in: the binder refuses them, and so does every form of values. */
export type UncarriedType = FixedListType | MapType

/** Every type a value can have. */
export type ValueType =
  | PrimitiveType
  | ListType
  | RecordType
  | TupleType
  | VariantType
  | EnumType
  | OptionType
  | ResultType
  | FlagsType
  | OwnType
  | BorrowType
  | LaterType
  | UncarriedType

/** A function type; `result` is absent when the function returns nothing, `isAsync` unless it is an `async func`. */
export interface FunctionType {
  readonly kind: "function"
  readonly params: ReadonlyArray<Labelled>
  readonly result?: ValueType
  readonly isAsync?: true
}

/** What an instance exports: WIT's `interface`. Keys are the exported names, in order. */
export interface InterfaceType {
  readonly kind: "interface"
  readonly exports: ReadonlyMap<string, ExternType>
}

/** What a name of a world or interface stands for. */
export type ExternType =
  | FunctionType
  | InterfaceType
  | { readonly kind: "type"; readonly type: ValueType }
  | { readonly kind: "resource-type"; readonly resource: ResourceType }

/** A component seen from outside: WIT's `world`. Names are full (`wasi:clocks/wall-clock@0.2.6`) or plain labels. */
export interface World {
  readonly imports: ReadonlyMap<string, ExternType>
  readonly exports: ReadonlyMap<string, ExternType>
}

/** Shared nodes for the primitives, so that identity comparison and memoisation work across decoders. */
export const primitive: { readonly [K in PrimitiveKind]: PrimitiveType & { readonly kind: K } } = {
  bool: { kind: "bool" },
  s8: { kind: "s8" },
  u8: { kind: "u8" },
  s16: { kind: "s16" },
  u16: { kind: "u16" },
  s32: { kind: "s32" },
  u32: { kind: "u32" },
  s64: { kind: "s64" },
  u64: { kind: "u64" },
  f32: { kind: "f32" },
  f64: { kind: "f64" },
  char: { kind: "char" },
  string: { kind: "string" },
}

/** Shared, as the primitives are. */
export const errorContext: ErrorContextType = { kind: "error-context" }

/** Builders, for interfaces the host itself serves. */
export const stream = (element?: ValueType): StreamType => ({ kind: "stream", ...(element === undefined ? {} : { element }) })
export const future = (type?: ValueType): FutureType => ({ kind: "future", ...(type === undefined ? {} : { type }) })
export const list = (element: ValueType): ListType => ({ kind: "list", element })
export const tuple = (...types: ReadonlyArray<ValueType>): TupleType => ({ kind: "tuple", types })
export const option = (type: ValueType): OptionType => ({ kind: "option", type })
export const own = (resource: ResourceType): OwnType => ({ kind: "own", resource })
export const borrow = (resource: ResourceType): BorrowType => ({ kind: "borrow", resource })
export const record = (fields: Readonly<Record<string, ValueType>>): RecordType => ({
  kind: "record",
  fields: Object.entries(fields).map(([label, type]) => ({ label, type })),
})
export const variant = (cases: Readonly<Record<string, ValueType | undefined>>): VariantType => ({
  kind: "variant",
  cases: Object.entries(cases).map(([label, type]) => (type === undefined ? { label } : { label, type })),
})
export const enumeration = (...labels: ReadonlyArray<string>): EnumType => ({ kind: "enum", labels })
export const flags = (...labels: ReadonlyArray<string>): FlagsType => ({ kind: "flags", labels })
export const result = (ok?: ValueType, err?: ValueType): ResultType => ({
  kind: "result",
  ...(ok === undefined ? {} : { ok }),
  ...(err === undefined ? {} : { err }),
})
export const resource = (name: string): ResourceType => ({ kind: "resource", name: { name } })
export const func = (params: Readonly<Record<string, ValueType>>, result?: ValueType): FunctionType => ({
  kind: "function",
  params: Object.entries(params).map(([label, type]) => ({ label, type })),
  ...(result === undefined ? {} : { result }),
})

const originals = new WeakMap<ValueType, ValueType>()

/** The same type under another name, as an alias and a `use … as` make one. */
export function renamed(type: ValueType, name: TypeName): ValueType {
  const copy = { ...type, name }
  originals.set(copy, type)
  return copy
}

/** What `type` is another name of, when `renamed` made it. Types are equal by their structure; a text of them says the alias again. */
export const originalOf = (type: ValueType): ValueType | undefined => originals.get(type)

/** kebab-case label → the lowerCamelCase property name of a record field or flag (`max-bytes` → `maxBytes`, `a-URL` → `aURL`). */
export function propertyName(label: string): string {
  let out = ""
  for (const word of label.split("-")) {
    if (out === "") out = /^[A-Z]/.test(word) ? word.toLowerCase() : word
    else out += word.charAt(0).toUpperCase() + word.slice(1)
  }
  return out
}
