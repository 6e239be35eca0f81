/**
 * Lift and lower of one value by closures built from its type: CanonicalABI.md "Loading", "Storing", "Flat Lifting"
 * and "Flat Lowering". Four closures a type, each built when first asked for and memoised by type identity and string
 * encoding: no source is generated, and a type that occurs twice costs once.
 *
 * Reading a host value: own properties only, each once, so that neither a prototype nor a getter can show one value to
 * the check and another to the copy. Names that a guest chose are keys of a `Map` or of objects made here.
 */
import { AsyncError } from "../../schemas/error/async.ts"
import { WitError } from "../../schemas/error/wit.ts"
import { casesOf, type FlatType, layoutOf, recordLayout, variantLayout } from "../../schemas/wit/layout.ts"
import { propertyName, type ValueType } from "../../schemas/wit/model.ts"
import { isPlain, isTaggedOption, ownField, quote } from "../../schemas/value/form.ts"
import { shapeText, typeText } from "../../schemas/wit/print.ts"
import { type AbiContext, AbiTrap, type EndTable, type StringEncoding } from "./context.ts"
import { type LiftList, liftListOf, type LowerList, lowerListOf } from "./list.ts"
import { Mismatch, mismatch, untyped, within } from "./mismatch.ts"
import { type Coercion, type CoreValue, narrowing, type Scalar, scalars, widening } from "./number.ts"
import { liftString, lowerString } from "./string.ts"

/** Reads a value at an aligned address whose extent was checked. */
export type Load = (cx: AbiContext, at: number) => unknown
/** Checks a host value and writes it to an aligned address whose extent was checked. */
export type Store = (cx: AbiContext, value: unknown, at: number) => void
/** Core values of one call: its own array, which lifting may overwrite. */
export type Flat = Array<CoreValue>
/** Makes a value from the core values at `from`. */
export type Lift = (cx: AbiContext, flat: Flat, from: number) => unknown
/** Checks a host value and writes its core values at `from`. */
export type Lower = (cx: AbiContext, value: unknown, flat: Flat, from: number) => void

interface Memo<F> {
  readonly utf8: WeakMap<ValueType, F>
  readonly utf16: WeakMap<ValueType, F>
  readonly "latin1+utf16": WeakMap<ValueType, F>
}

function memoised<F>(build: (type: ValueType, encoding: StringEncoding) => F): (type: ValueType, encoding: StringEncoding) => F {
  const memo: Memo<F> = { utf8: new WeakMap(), utf16: new WeakMap(), "latin1+utf16": new WeakMap() }
  return (type, encoding) => {
    const known = memo[encoding].get(type)
    if (known !== undefined) return known
    const built = build(type, encoding)
    memo[encoding].set(type, built)
    return built
  }
}

/** The closure that reads a value of this type from memory. */
export const loadOf: (type: ValueType, encoding: StringEncoding) => Load = memoised(buildLoad)
/** The closure that writes a value of this type to memory. */
export const storeOf: (type: ValueType, encoding: StringEncoding) => Store = memoised(buildStore)
/** The closure that reads a value of this type from core values; only for types with at most 16 of them. */
export const liftOf: (type: ValueType, encoding: StringEncoding) => Lift = memoised(buildLift)
/** The closure that writes a value of this type as core values; only for types with at most 16 of them. */
export const lowerOf: (type: ValueType, encoding: StringEncoding) => Lower = memoised(buildLower)
/** The closure that lowers a string or list to a pointer and `cx.loweredLength`. */
export const lowerPairOf: (type: ValueType, encoding: StringEncoding) => LowerList = memoised((type, encoding) =>
  type.kind === "list" ? lowerListOf(type, storeOf(type.element, encoding)) : lowerString[encoding],
)
/** The closure that lifts a string or list from its pointer and length. */
export const liftPairOf: (type: ValueType, encoding: StringEncoding) => LiftList = memoised((type, encoding) =>
  type.kind === "list" ? liftListOf(type, () => loadOf(type.element, encoding)) : liftString[encoding],
)

/** At least one core value, as the flattening of the types here has. */
const flatOf = (type: ValueType): ReadonlyArray<FlatType> => layoutOf(type).flat ?? []

/** How a scalar crosses. @throws WitError `Inexpressible` for a type that is none, and whose values do not cross */
function scalarOf(type: Exclude<ValueType, { readonly kind: "string" | "list" | "record" | "tuple" }>): Scalar {
  const known = (scalars as Readonly<Record<string, Scalar>>)[type.kind]
  if (known === undefined) throw new WitError("Inexpressible", { path: "value", type: typeText(type), form: "a value of this host" })
  return known
}

function buildLoad(type: ValueType, encoding: StringEncoding): Load {
  switch (type.kind) {
    case "string":
    case "list": {
      const lift = liftPairOf(type, encoding)
      return (cx, at) => {
        const { i32 } = cx
        const word = at >>> 2
        return lift(cx, (i32[word] as number) >>> 0, (i32[word + 1] as number) >>> 0)
      }
    }
    case "record":
      return loadRecord(
        type.fields.map((field) => propertyName(field.label)),
        type.fields.map((field) => field.type),
        encoding,
      )
    case "tuple":
      return loadTuple(type.types, encoding)
    case "flags": {
      const read = wordReader(type)
      const unpack = unpackFlags(type.labels)
      return (cx, at) => unpack(read(cx, at), 0)
    }
    case "own":
    case "borrow":
    case "stream":
    case "future":
    case "error-context": {
      const take = takeHandle(type)
      return (cx, at) => take(cx, cx.i32[at >>> 2] as number)
    }
    case "variant":
    case "enum":
    case "option":
    case "result":
      return loadVariant(type, encoding)
    default:
      return scalarOf(type).load
  }
}

function buildStore(type: ValueType, encoding: StringEncoding): Store {
  switch (type.kind) {
    case "string":
    case "list": {
      const lower = lowerPairOf(type, encoding)
      return (cx, value, at) => {
        const begin = lower(cx, value)
        // After lowering: the allocation may have moved the views.
        const { i32 } = cx
        const word = at >>> 2
        i32[word] = begin
        i32[word + 1] = cx.loweredLength
      }
    }
    case "record":
      return storeRecord(
        type,
        type.fields.map((field) => propertyName(field.label)),
        type.fields.map((field) => field.type),
        encoding,
      )
    case "tuple":
      return storeTuple(type, type.types, encoding)
    case "flags": {
      const pack = packFlags(type)
      const write = wordWriter(type)
      return (cx, value, at) => write(cx, at, pack(value))
    }
    case "own":
    case "borrow":
    case "stream":
    case "future":
    case "error-context": {
      const give = giveHandle(type)
      return (cx, value, at) => {
        const handle = give(cx, value)
        cx.i32[at >>> 2] = handle
      }
    }
    case "variant":
    case "enum":
    case "option":
    case "result":
      return storeVariant(type, encoding)
    default:
      return scalarOf(type).store
  }
}

function buildLift(type: ValueType, encoding: StringEncoding): Lift {
  switch (type.kind) {
    case "string":
    case "list": {
      const lift = liftPairOf(type, encoding)
      return (cx, flat, from) => lift(cx, (flat[from] as number) >>> 0, (flat[from + 1] as number) >>> 0)
    }
    case "record":
      return liftRecord(
        type.fields.map((field) => propertyName(field.label)),
        type.fields.map((field) => field.type),
        encoding,
      )
    case "tuple":
      return liftTuple(type.types, encoding)
    case "flags": {
      const unpack = unpackFlags(type.labels)
      return (_cx, flat, from) => unpack(flat, from)
    }
    case "own":
    case "borrow":
    case "stream":
    case "future":
    case "error-context": {
      const take = takeHandle(type)
      return (cx, flat, from) => take(cx, flat[from] as number)
    }
    case "variant":
    case "enum":
    case "option":
    case "result":
      return liftVariant(type, encoding)
    default: {
      const { lift } = scalarOf(type)
      return (_cx, flat, from) => lift(flat[from] as CoreValue)
    }
  }
}

function buildLower(type: ValueType, encoding: StringEncoding): Lower {
  switch (type.kind) {
    case "string":
    case "list": {
      const lower = lowerPairOf(type, encoding)
      return (cx, value, flat, from) => {
        flat[from] = lower(cx, value)
        flat[from + 1] = cx.loweredLength
      }
    }
    case "record":
      return lowerRecord(
        type,
        type.fields.map((field) => propertyName(field.label)),
        type.fields.map((field) => field.type),
        encoding,
      )
    case "tuple":
      return lowerTuple(type, type.types, encoding)
    case "flags": {
      const pack = packFlags(type)
      return (_cx, value, flat, from) => {
        const words = pack(value)
        for (let i = 0; i < words.length; i++) flat[from + i] = words[i] as number
      }
    }
    case "own":
    case "borrow":
    case "stream":
    case "future":
    case "error-context": {
      const give = giveHandle(type)
      return (cx, value, flat, from) => void (flat[from] = give(cx, value))
    }
    case "variant":
    case "enum":
    case "option":
    case "result":
      return lowerVariant(type, encoding)
    default: {
      const { lower } = scalarOf(type)
      return (_cx, value, flat, from) => void (flat[from] = lower(value))
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------
// Records and tuples
// ---------------------------------------------------------------------------------------------------------------

type Fields = Record<string, unknown>

/** Adds a field to an object made here. Assignment is fastest, but a name that `Object.prototype` has would not become the object's own everywhere. */
const setterOf = (key: string): ((out: Fields, value: unknown) => void) | undefined =>
  key in Object.prototype ? (out, value) => void Object.defineProperty(out, key, { value, writable: true, enumerable: true, configurable: true }) : undefined

function inOrder(keys: ReadonlyArray<string>): (out: Fields, i: number, value: unknown) => void {
  const setters = keys.map(setterOf)
  return (out, i, value) => {
    const set = setters[i]
    if (set === undefined) out[keys[i] as string] = value
    else set(out, value)
  }
}

function loadRecord(keys: ReadonlyArray<string>, types: ReadonlyArray<ValueType>, encoding: StringEncoding): Load {
  const { offsets } = recordLayout(types)
  const loads = types.map((type) => loadOf(type, encoding))
  const n = keys.length
  if (keys.some((key) => key in Object.prototype)) {
    const set = inOrder(keys)
    return (cx, at) => {
      const out: Fields = {}
      for (let i = 0; i < n; i++) set(out, i, (loads[i] as Load)(cx, at + (offsets[i] as number)))
      return out
    }
  }
  const fill = fillOf(keys, loads, offsets, 0)
  return (cx, at) => {
    const out: Fields = {}
    fill(out, cx, at)
    return out
  }
}

type Fill = (out: Fields, cx: AbiContext, at: number) => void

/** Four fields a function: an engine knows few shapes at each place where a field is set, which is twice to four times as fast as one place for all. */
function fillOf(keys: ReadonlyArray<string>, loads: ReadonlyArray<Load>, offsets: ReadonlyArray<number>, from: number): Fill {
  const [k0, k1, k2, k3] = keys.slice(from) as [string, string, string, string]
  const [l0, l1, l2, l3] = loads.slice(from) as [Load, Load, Load, Load]
  const [o0, o1, o2, o3] = offsets.slice(from) as [number, number, number, number]
  switch (keys.length - from) {
    case 0:
      return () => undefined
    case 1:
      return (out, cx, at) => void (out[k0] = l0(cx, at + o0))
    case 2:
      return (out, cx, at) => {
        out[k0] = l0(cx, at + o0)
        out[k1] = l1(cx, at + o1)
      }
    case 3:
      return (out, cx, at) => {
        out[k0] = l0(cx, at + o0)
        out[k1] = l1(cx, at + o1)
        out[k2] = l2(cx, at + o2)
      }
    case 4:
      return (out, cx, at) => {
        out[k0] = l0(cx, at + o0)
        out[k1] = l1(cx, at + o1)
        out[k2] = l2(cx, at + o2)
        out[k3] = l3(cx, at + o3)
      }
  }
  const rest = fillOf(keys, loads, offsets, from + 4)
  return (out, cx, at) => {
    out[k0] = l0(cx, at + o0)
    out[k1] = l1(cx, at + o1)
    out[k2] = l2(cx, at + o2)
    out[k3] = l3(cx, at + o3)
    rest(out, cx, at)
  }
}

function liftRecord(keys: ReadonlyArray<string>, types: ReadonlyArray<ValueType>, encoding: StringEncoding): Lift {
  const froms = flatOffsets(types)
  const lifts = types.map((type) => liftOf(type, encoding))
  const n = keys.length
  const set = inOrder(keys)
  return (cx, flat, from) => {
    const out: Fields = {}
    for (let i = 0; i < n; i++) set(out, i, (lifts[i] as Lift)(cx, flat, from + (froms[i] as number)))
    return out
  }
}

const flatOffsets = (types: ReadonlyArray<ValueType>): ReadonlyArray<number> => {
  let from = 0
  return types.map((type) => {
    const here = from
    from += flatOf(type).length
    return here
  })
}

/** Fields beyond those of the type are ignored: an object with more than a plugin asks for is an ordinary argument. */
function storeRecord(type: ValueType, keys: ReadonlyArray<string>, types: ReadonlyArray<ValueType>, encoding: StringEncoding): Store {
  const { offsets } = recordLayout(types)
  const stores = types.map((field) => storeOf(field, encoding))
  const n = keys.length
  return (cx, value, at) => {
    if (!isPlain(value)) mismatch(type, value)
    let i = 0
    try {
      for (; i < n; i++) (stores[i] as Store)(cx, ownField(value, keys[i] as string), at + (offsets[i] as number))
    } catch (error) {
      throw within(error, `.${keys[i]}`)
    }
  }
}

function lowerRecord(type: ValueType, keys: ReadonlyArray<string>, types: ReadonlyArray<ValueType>, encoding: StringEncoding): Lower {
  const froms = flatOffsets(types)
  const lowers = types.map((field) => lowerOf(field, encoding))
  const n = keys.length
  return (cx, value, flat, from) => {
    if (!isPlain(value)) mismatch(type, value)
    let i = 0
    try {
      for (; i < n; i++) (lowers[i] as Lower)(cx, ownField(value, keys[i] as string), flat, from + (froms[i] as number))
    } catch (error) {
      throw within(error, `.${keys[i]}`)
    }
  }
}

function loadTuple(types: ReadonlyArray<ValueType>, encoding: StringEncoding): Load {
  const { offsets } = recordLayout(types)
  const loads = types.map((type) => loadOf(type, encoding))
  const n = types.length
  return (cx, at) => {
    const out = new Array<unknown>(n)
    for (let i = 0; i < n; i++) out[i] = (loads[i] as Load)(cx, at + (offsets[i] as number))
    return out
  }
}

function liftTuple(types: ReadonlyArray<ValueType>, encoding: StringEncoding): Lift {
  const froms = flatOffsets(types)
  const lifts = types.map((type) => liftOf(type, encoding))
  const n = types.length
  return (cx, flat, from) => {
    const out = new Array<unknown>(n)
    for (let i = 0; i < n; i++) out[i] = (lifts[i] as Lift)(cx, flat, from + (froms[i] as number))
    return out
  }
}

function elementsOf(type: ValueType, value: unknown, n: number): ReadonlyArray<unknown> {
  return Array.isArray(value) && value.length === n ? value : mismatch(type, value)
}

function storeTuple(type: ValueType, types: ReadonlyArray<ValueType>, encoding: StringEncoding): Store {
  const { offsets } = recordLayout(types)
  const stores = types.map((field) => storeOf(field, encoding))
  const n = types.length
  return (cx, value, at) => {
    const elements = elementsOf(type, value, n)
    let i = 0
    try {
      for (; i < n; i++) (stores[i] as Store)(cx, elements[i], at + (offsets[i] as number))
    } catch (error) {
      throw within(error, `[${i}]`)
    }
  }
}

function lowerTuple(type: ValueType, types: ReadonlyArray<ValueType>, encoding: StringEncoding): Lower {
  const froms = flatOffsets(types)
  const lowers = types.map((field) => lowerOf(field, encoding))
  const n = types.length
  return (cx, value, flat, from) => {
    const elements = elementsOf(type, value, n)
    let i = 0
    try {
      for (; i < n; i++) (lowers[i] as Lower)(cx, elements[i], flat, from + (froms[i] as number))
    } catch (error) {
      throw within(error, `[${i}]`)
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------
// Variants, enums, options, results
// ---------------------------------------------------------------------------------------------------------------

type VariantLike = Extract<ValueType, { readonly kind: "variant" | "enum" | "option" | "result" }>

/** What a host value stands for: a case index, and its payload in `payloadOf`. */
interface Chooser {
  readonly index: (value: unknown) => number
  readonly payload: (value: unknown, index: number) => unknown
  /** The step an error's path takes into the payload. */
  readonly step: string
  readonly make: (index: number, payload: unknown) => unknown
}

/** The host form of each variant-like type (HOST.md §1 "Values"). */
function chooserOf(type: VariantLike): Chooser {
  if (type.kind === "option" && !isTaggedOption(type.type)) return untagged
  const labels = casesOf(type).map((one) => one.label)
  const indices = new Map(labels.map((label, i) => [label, i] as const))
  const hasPayload = casesOf(type).map((one) => one.type !== undefined)
  const find = (label: unknown): number => {
    const index = typeof label === "string" ? indices.get(label) : undefined
    return index ?? mismatch(choices(type, labels), label)
  }
  if (type.kind === "enum") {
    return { index: find, payload: () => undefined, step: "", make: (index) => labels[index] }
  }
  return {
    index(value) {
      if (!isPlain(value)) mismatch(type, value)
      try {
        return find(ownField(value, "tag"))
      } catch (error) {
        throw within(error, ".tag")
      }
    },
    payload(value, index) {
      const payload = ownField(value as object, "val")
      if (payload !== undefined && hasPayload[index] === false) throw within(refused(`the empty payload of ${quote(labels[index] as string)}`, payload), ".val")
      return payload
    },
    step: ".val",
    make: (index, payload) => (hasPayload[index] === true ? { tag: labels[index], val: payload } : { tag: labels[index] }),
  }
}

const untagged: Chooser = {
  index: (value) => (value === undefined ? 0 : 1),
  payload: (value) => value,
  step: "",
  make: (_index, payload) => payload,
}

function refused(expected: string, value: unknown): unknown {
  try {
    return mismatch(expected, value)
  } catch (error) {
    return error
  }
}

const choices = (type: ValueType, labels: ReadonlyArray<string>): string =>
  labels.length > 8
    ? `a case of ${shapeText(type, 80)}`
    : labels.length === 1
      ? quote(labels[0] as string)
      : `one of ${labels.map((label) => quote(label)).join(", ")}`

function trapDiscriminant(index: number, cases: number): never {
  throw new AbiTrap(`discriminant ${index} of a type with ${cases} cases`)
}

function readDiscriminant(cx: AbiContext, at: number, size: 1 | 2 | 4): number {
  return size === 1 ? (cx.u8[at] as number) : size === 2 ? (cx.u16[at >>> 1] as number) : (cx.i32[at >>> 2] as number) >>> 0
}

function writeDiscriminant(cx: AbiContext, at: number, size: 1 | 2 | 4, index: number): void {
  if (size === 1) cx.u8[at] = index
  else if (size === 2) cx.u16[at >>> 1] = index
  else cx.i32[at >>> 2] = index
}

function loadVariant(type: VariantLike, encoding: StringEncoding): Load {
  const payloads = casesOf(type).map((one) => one.type)
  const { discriminant, payloadOffset } = variantLayout(payloads)
  const loads = payloads.map((payload) => (payload === undefined ? undefined : loadOf(payload, encoding)))
  const { make } = chooserOf(type)
  const n = payloads.length
  return (cx, at) => {
    const index = readDiscriminant(cx, at, discriminant)
    if (index >= n) trapDiscriminant(index, n)
    const load = loads[index]
    return make(index, load === undefined ? undefined : load(cx, at + payloadOffset))
  }
}

function storeVariant(type: VariantLike, encoding: StringEncoding): Store {
  const payloads = casesOf(type).map((one) => one.type)
  const { discriminant, payloadOffset } = variantLayout(payloads)
  const stores = payloads.map((payload) => (payload === undefined ? undefined : storeOf(payload, encoding)))
  const choose = chooserOf(type)
  return (cx, value, at) => {
    const index = choose.index(value)
    writeDiscriminant(cx, at, discriminant, index)
    const payload = choose.payload(value, index)
    const store = stores[index]
    if (store === undefined) return
    try {
      store(cx, payload, at + payloadOffset)
    } catch (error) {
      throw within(error, choose.step)
    }
  }
}

/** Per case: how each of its core values changes to or from the joined type; undefined when all stay as they are. */
function coercions(
  type: VariantLike,
  between: (a: FlatType, b: FlatType) => Coercion | undefined,
  toJoined: boolean,
): ReadonlyArray<ReadonlyArray<Coercion | undefined> | undefined> {
  const joined = flatOf(type).slice(1)
  return casesOf(type).map((one) => {
    if (one.type === undefined) return undefined
    const changes = flatOf(one.type).map((own, i) => (toJoined ? between(own, joined[i] as FlatType) : between(joined[i] as FlatType, own)))
    return changes.every((change) => change === undefined) ? undefined : changes
  })
}

function liftVariant(type: VariantLike, encoding: StringEncoding): Lift {
  const lifts = casesOf(type).map((one) => (one.type === undefined ? undefined : liftOf(one.type, encoding)))
  const changes = coercions(type, narrowing, false)
  const { make } = chooserOf(type)
  const n = lifts.length
  return (cx, flat, from) => {
    const index = (flat[from] as number) >>> 0
    if (index >= n) trapDiscriminant(index, n)
    const lift = lifts[index]
    if (lift === undefined) return make(index, undefined)
    const change = changes[index]
    if (change !== undefined) coerce(change, flat, from + 1)
    return make(index, lift(cx, flat, from + 1))
  }
}

function lowerVariant(type: VariantLike, encoding: StringEncoding): Lower {
  const payloads = casesOf(type).map((one) => one.type)
  const lowers = payloads.map((payload) => (payload === undefined ? undefined : lowerOf(payload, encoding)))
  const widths = payloads.map((payload) => 1 + (payload === undefined ? 0 : flatOf(payload).length))
  const changes = coercions(type, widening, true)
  const zeros = flatOf(type).map((flat): CoreValue => (flat === "i64" ? 0n : 0))
  const choose = chooserOf(type)
  return (cx, value, flat, from) => {
    const index = choose.index(value)
    flat[from] = index
    const payload = choose.payload(value, index)
    const lower = lowers[index]
    if (lower !== undefined) {
      try {
        lower(cx, payload, flat, from + 1)
      } catch (error) {
        throw within(error, choose.step)
      }
      const change = changes[index]
      if (change !== undefined) coerce(change, flat, from + 1)
    }
    for (let i = widths[index] as number; i < zeros.length; i++) flat[from + i] = zeros[i] as CoreValue
  }
}

function coerce(changes: ReadonlyArray<Coercion | undefined>, flat: Flat, from: number): void {
  for (let i = 0; i < changes.length; i++) {
    const change = changes[i]
    if (change !== undefined) flat[from + i] = change(flat[from + i] as CoreValue)
  }
}

// ---------------------------------------------------------------------------------------------------------------
// Flags
// ---------------------------------------------------------------------------------------------------------------

type FlagsLike = Extract<ValueType, { readonly kind: "flags" }>

/** Bits beyond the labels are ignored (CanonicalABI.md `unpack_flags_from_int`). */
function unpackFlags(labels: ReadonlyArray<string>): (words: ReadonlyArray<CoreValue>, from: number) => unknown {
  const keys = labels.map(propertyName)
  const set = inOrder(keys)
  return (words, from) => {
    const out: Fields = {}
    for (let i = 0; i < keys.length; i++) set(out, i, (((words[from + (i >>> 5)] as number) >>> (i & 31)) & 1) === 1)
    return out
  }
}

/**
 * An absent flag is false. A key that is no flag is refused, since a misspelt one would otherwise be a false one; it is
 * looked for only when a flag is absent, so that a full object costs nothing more.
 */
function packFlags(type: FlagsLike): (value: unknown) => ReadonlyArray<number> {
  const keys = type.labels.map(propertyName)
  const known = new Set(keys)
  const count = Math.ceil(keys.length / 32)
  return (value) => {
    if (!isPlain(value)) mismatch(type, value)
    const words = new Array<number>(count).fill(0)
    let isFull = true
    for (let i = 0; i < keys.length; i++) {
      const flag = ownField(value, keys[i] as string)
      if (flag === true) words[i >>> 5] = (words[i >>> 5] as number) | (1 << (i & 31))
      else if (flag === undefined) isFull = false
      else if (flag !== false) throw within(refused("bool", flag), `.${keys[i]}`)
    }
    if (isFull) return words
    for (const key of Object.keys(value)) if (!known.has(key)) throw new Mismatch(shapeText(type), `object with the key ${quote(key)}`)
    return words
  }
}

function wordReader(type: FlagsLike): (cx: AbiContext, at: number) => ReadonlyArray<number> {
  const { size } = layoutOf(type)
  if (size === 0) return () => []
  if (size === 1) return (cx, at) => [cx.u8[at] as number]
  if (size === 2) return (cx, at) => [cx.u16[at >>> 1] as number]
  return (cx, at) => Array.from(cx.i32.subarray(at >>> 2, (at + size) >>> 2))
}

function wordWriter(type: FlagsLike): (cx: AbiContext, at: number, words: ReadonlyArray<number>) => void {
  const { size } = layoutOf(type)
  if (size === 0) return () => undefined
  if (size === 1) return (cx, at, words) => void (cx.u8[at] = words[0] as number)
  if (size === 2) return (cx, at, words) => void (cx.u16[at >>> 1] = words[0] as number)
  return (cx, at, words) => {
    for (let i = 0; i < words.length; i++) cx.i32[(at >>> 2) + i] = words[i] as number
  }
}

// ---------------------------------------------------------------------------------------------------------------
// Handles
// ---------------------------------------------------------------------------------------------------------------

type HandleLike = Extract<ValueType, { readonly kind: "own" | "borrow" | "stream" | "future" | "error-context" }>

function takeHandle(type: HandleLike): (cx: AbiContext, handle: number) => unknown {
  if (type.kind === "own") return (cx, handle) => cx.handles.takeOwn(type.resource, handle >>> 0)
  if (type.kind === "borrow") return (cx, handle) => cx.handles.lend(type.resource, handle >>> 0)
  return (cx, handle) => endsOf(cx, type).take(type, handle >>> 0)
}

function giveHandle(type: HandleLike): (cx: AbiContext, value: unknown) => number {
  const give = (cx: AbiContext, value: unknown): number => {
    if (type.kind === "own") return cx.handles.own(type.resource, value)
    return type.kind === "borrow" ? cx.handles.borrow(type.resource, value) : endsOf(cx, type).give(type, value)
  }
  return (cx, value) => {
    if (value === undefined && type.kind !== "future") mismatch(type, value)
    try {
      const handle = give(cx, value)
      cx.instance.isTouched = true
      return handle
    } catch (error) {
      throw untyped(error)
    }
  }
}

function endsOf({ handles: { ends } }: AbiContext, { kind }: HandleLike): EndTable {
  if (ends === undefined) throw new AsyncError("Crossing", { kind })
  return ends
}
