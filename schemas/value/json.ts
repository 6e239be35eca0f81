/**
 * The JSON form of values: what HTTP bodies, command lines and records of calls carry.
 *
 * | WIT                     | host form                         | JSON form                                  |
 * |-------------------------|-----------------------------------|--------------------------------------------|
 * | u64, s64                | bigint                            | decimal string; safe integers are accepted |
 * | f32, f64                | number                            | number, "NaN" "Infinity" "-Infinity" "-0"  |
 * | list<u8>                | Uint8Array                        | base64 (RFC 4648 §4, padded, canonical)    |
 * | list of other numbers   | typed array                       | array                                      |
 * | record                  | object, lowerCamelCase keys       | the same                                   |
 * | option<T>               | T or undefined                    | T; null or absent is none                  |
 * | option<option<T>>       | {tag:"some",val} or {tag:"none"}  | the same; null or absent is none           |
 * | variant, result         | {tag, val}                        | the same, without val when there is none   |
 * | flags                   | object of booleans                | the same; an absent flag is false          |
 *
 * "-0" is a string because JSON.stringify writes the number as 0 and so would lose a bit that a guest can see.
 * One codec per type, built once and memoised by identity, so shared types cost once. Reads own properties only, each once.
 */
import { WitError } from "../error/wit.ts"
import { type FunctionType, type PrimitiveKind, propertyName, type ValueType } from "../wit/model.ts"
import { shapeText, typeText } from "../wit/print.ts"
import { answer, depth } from "../wit/tree.ts"
import { fromBase64, toBase64 } from "./base64.ts"
import { bigintRange, describe, isPlain, isScalar, isTaggedOption, numberRange, ownField, quote, setField, typedArrayOf } from "./form.ts"
import { Path } from "./path.ts"

/** Anything JSON.parse can answer. */
export type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [key: string]: Json }

interface Codec {
  /** JSON → host form. */
  readonly decode: (json: unknown, at: Path) => unknown
  /** Host form → JSON. */
  readonly encode: (value: unknown, at: Path) => Json
}

const decimal = /^(?:0|-?[1-9][0-9]{0,19})$/
const floatNames = new Map<string, number>([
  ["NaN", Number.NaN],
  ["Infinity", Number.POSITIVE_INFINITY],
  ["-Infinity", Number.NEGATIVE_INFINITY],
  ["-0", -0],
])

function integer(type: ValueType, [min, max]: readonly [number, number]): Codec {
  // `+ 0` turns -0 into 0: an integer has one zero.
  const check = (value: unknown, at: Path): number =>
    typeof value === "number" && Number.isInteger(value) && value >= min && value <= max ? value + 0 : at.refuse(type, value)
  return { decode: check, encode: check }
}

function long(type: ValueType, [min, max]: readonly [bigint, bigint]): Codec {
  return {
    decode(json, at) {
      const value =
        typeof json === "number" && Number.isSafeInteger(json)
          ? BigInt(json)
          : typeof json === "string" && decimal.test(json)
            ? BigInt(json)
            : at.refuse(type, json)
      return value >= min && value <= max ? value : at.refuse(type, json)
    },
    encode: (value, at) => (typeof value === "bigint" && value >= min && value <= max ? value.toString() : at.refuse(type, value)),
  }
}

function float(type: ValueType, round: (value: number) => number): Codec {
  return {
    decode(json, at) {
      if (typeof json === "number") return round(json)
      return (typeof json === "string" ? floatNames.get(json) : undefined) ?? at.refuse(type, json)
    },
    encode(value, at) {
      if (typeof value !== "number") return at.refuse(type, value)
      const rounded = round(value)
      return Number.isFinite(rounded) && !Object.is(rounded, -0) ? rounded : Object.is(rounded, -0) ? "-0" : String(rounded)
    },
  }
}

/** A codec whose two directions are one check. */
const checked = (type: ValueType, test: (value: unknown) => value is Json): Codec => {
  const check = (value: unknown, at: Path): Json => (test(value) ? value : at.refuse(type, value))
  return { decode: check, encode: check }
}

const primitives: { readonly [K in PrimitiveKind]: (type: ValueType) => Codec } = {
  bool: (type) => checked(type, (value): value is boolean => typeof value === "boolean"),
  s8: (type) => integer(type, numberRange.s8),
  u8: (type) => integer(type, numberRange.u8),
  s16: (type) => integer(type, numberRange.s16),
  u16: (type) => integer(type, numberRange.u16),
  s32: (type) => integer(type, numberRange.s32),
  u32: (type) => integer(type, numberRange.u32),
  s64: (type) => long(type, bigintRange.s64),
  u64: (type) => long(type, bigintRange.u64),
  f32: (type) => float(type, Math.fround),
  f64: (type) => float(type, (value) => value),
  char: (type) => checked(type, (value): value is string => typeof value === "string" && isScalar(value)),
  string(type) {
    // Lone surrogates become U+FFFD, as lowering does (CanonicalABI.md, "Loading strings": only scalar values cross).
    const check = (value: unknown, at: Path): string => (typeof value === "string" ? value.toWellFormed() : at.refuse(type, value))
    return { decode: check, encode: check }
  },
}

function listCodec(type: ValueType, element: ValueType): Codec {
  const inner = codecOf(element)
  const typed = typedArrayOf(element)
  const encode = (value: unknown, at: Path): Json => {
    if (typed === undefined ? !Array.isArray(value) : !(Array.isArray(value) || typed.is(value))) return at.refuse(type, value)
    const items = value as ArrayLike<unknown>
    const length = items.length
    const out = new Array<Json>(length)
    for (let i = 0; i < length; i++) {
      at.push(i)
      out[i] = inner.encode(items[i], at)
      at.pop()
    }
    return out
  }
  if (element.kind === "u8") {
    return {
      decode: (json, at) => (typeof json === "string" ? fromBase64(json) : undefined) ?? at.refuseAs(`${shapeText(type)} in base64`, describe(json)),
      encode: (value, at) => toBase64(value instanceof Uint8Array ? value : Uint8Array.from(encode(value, at) as ReadonlyArray<number>)),
    }
  }
  return {
    decode(json, at) {
      if (!Array.isArray(json)) return at.refuse(type, json)
      const length = json.length
      const out = (typed?.make(length) ?? new Array<unknown>(length)) as { [index: number]: unknown }
      for (let i = 0; i < length; i++) {
        at.push(i)
        out[i] = inner.decode(json[i], at)
        at.pop()
      }
      return out
    },
    encode,
  }
}

function tupleCodec(type: ValueType, types: ReadonlyArray<ValueType>): Codec {
  const codecs = types.map(codecOf)
  const each = (value: unknown, at: Path, direction: "decode" | "encode"): Array<unknown> => {
    if (!Array.isArray(value) || value.length !== codecs.length) return at.refuse(type, value)
    const items: ReadonlyArray<unknown> = value
    return codecs.map((codec, i) => {
      at.push(i)
      const out = codec[direction](items[i], at)
      at.pop()
      return out
    })
  }
  return { decode: (json, at) => each(json, at, "decode"), encode: (value, at) => each(value, at, "encode") as Array<Json> }
}

/** Refuses a property that the type does not have: a misspelt optional field would otherwise go unnoticed. */
function refuseUnknown(type: ValueType, object: object, known: ReadonlySet<string>, at: Path): void {
  for (const key of Object.keys(object)) if (!known.has(key)) at.refuseAs(`part of ${shapeText(type)}`, `unknown property ${quote(key)}`)
}

function recordCodec(type: ValueType & { readonly kind: "record" }): Codec {
  const fields = type.fields.map((field) => ({ key: propertyName(field.label), codec: codecOf(field.type) }))
  const known = new Set(fields.map((field) => field.key))
  return {
    decode(json, at) {
      if (!isPlain(json)) return at.refuse(type, json)
      refuseUnknown(type, json, known, at)
      const out: Record<string, unknown> = {}
      for (const { key, codec } of fields) {
        at.push(key)
        setField(out, key, codec.decode(ownField(json, key), at))
        at.pop()
      }
      return out
    },
    encode(value, at) {
      if (!isPlain(value)) return at.refuse(type, value)
      const out: Record<string, Json> = {}
      for (const { key, codec } of fields) {
        at.push(key)
        const json = codec.encode(ownField(value, key), at)
        if (json !== null) setField(out, key, json)
        at.pop()
      }
      return out
    },
  }
}

/** Variants, results and tagged options: `{tag, val}` over the given cases. */
function taggedCodec(type: ValueType, cases: ReadonlyArray<readonly [tag: string, payload: ValueType | undefined]>): Codec {
  const codecs = new Map(cases.map(([tag, payload]) => [tag, payload === undefined ? undefined : codecOf(payload)] as const))
  const known = new Set(["tag", "val"])
  const open = (value: unknown, at: Path): { readonly tag: string; readonly codec: Codec | undefined; readonly val: unknown } => {
    if (!isPlain(value)) return at.refuse(type, value)
    const tag = ownField(value, "tag")
    if (typeof tag !== "string" || !codecs.has(tag)) {
      at.push("tag")
      return at.refuseAs(`a case of ${shapeText(type)}`, describe(tag))
    }
    return { tag, codec: codecs.get(tag), val: ownField(value, "val") }
  }
  const empty = (val: unknown, tag: string, at: Path): void => {
    if (val === undefined || val === null) return
    at.push("val")
    at.refuseAs(`the empty payload of "${tag}"`, describe(val))
  }
  return {
    decode(json, at) {
      const { tag, codec, val } = open(json, at)
      refuseUnknown(type, json as object, known, at)
      if (codec === undefined) {
        empty(val, tag, at)
        return { tag }
      }
      at.push("val")
      const out = { tag, val: codec.decode(val, at) }
      at.pop()
      return out
    },
    encode(value, at) {
      const { tag, codec, val } = open(value, at)
      if (codec === undefined) {
        empty(val, tag, at)
        return { tag }
      }
      at.push("val")
      const json = codec.encode(val, at)
      at.pop()
      return json === null ? { tag } : { tag, val: json }
    },
  }
}

function optionCodec(type: ValueType, payload: ValueType): Codec {
  if (isTaggedOption(payload)) {
    const tagged = taggedCodec(type, [
      ["none", undefined],
      ["some", payload],
    ])
    return {
      decode: (json, at) => (json === null || json === undefined ? { tag: "none" } : tagged.decode(json, at)),
      encode(value, at) {
        const json = tagged.encode(value, at)
        return ownField(json as object, "tag") === "none" ? null : json
      },
    }
  }
  const inner = codecOf(payload)
  return {
    decode: (json, at) => (json === null || json === undefined ? undefined : inner.decode(json, at)),
    encode: (value, at) => (value === undefined ? null : inner.encode(value, at)),
  }
}

function enumCodec(type: ValueType, labels: ReadonlyArray<string>): Codec {
  const known = new Set(labels)
  return checked(type, (value): value is string => typeof value === "string" && known.has(value))
}

function flagsCodec(type: ValueType, labels: ReadonlyArray<string>): Codec {
  const keys = labels.map(propertyName)
  const known = new Set(keys)
  const check = (value: unknown, at: Path): { readonly [key: string]: boolean } => {
    if (!isPlain(value)) return at.refuse(type, value)
    refuseUnknown(type, value, known, at)
    const out: Record<string, boolean> = {}
    for (const key of keys) {
      const flag = ownField(value, key)
      if (flag !== undefined && typeof flag !== "boolean") {
        at.push(key)
        at.refuseAs("bool", describe(flag))
      }
      setField(out, key, flag === true)
    }
    return out
  }
  return { decode: check, encode: check }
}

function build(type: ValueType): Codec {
  switch (type.kind) {
    case "list":
      return listCodec(type, type.element)
    case "tuple":
      return tupleCodec(type, type.types)
    case "record":
      return recordCodec(type)
    case "variant":
      return taggedCodec(
        type,
        type.cases.map((part) => [part.label, part.type]),
      )
    case "result":
      return taggedCodec(type, [
        ["ok", type.ok],
        ["err", type.err],
      ])
    case "option":
      return optionCodec(type, type.type)
    case "enum":
      return enumCodec(type, type.labels)
    case "flags":
      return flagsCodec(type, type.labels)
    case "own":
    case "borrow":
    case "fixed-list":
    case "map":
    case "stream":
    case "future":
    case "error-context": {
      const refuse = (_value: unknown, at: Path): never => {
        throw new WitError("Inexpressible", { path: at.toString(), type: typeText(type), form: "JSON" })
      }
      return { decode: refuse, encode: refuse }
    }
    default:
      return primitives[type.kind](type)
  }
}

const codecs = new WeakMap<ValueType, Codec>()

function codecOf(type: ValueType): Codec {
  let codec = codecs.get(type)
  if (codec === undefined) {
    codec = build(type)
    codecs.set(type, codec)
  }
  return codec
}

function checkedCodec(type: ValueType): Codec {
  if (!codecs.has(type)) depth(type)
  return codecOf(type)
}

/**
 * The host value that `json` stands for; what plugins are called with.
 *
 * @param path what error messages call this value, such as `args[0]`.
 * @throws WitError `Value` where `json` does not fit, `Inexpressible` at a handle; LimitError `typeDepthMax` for a type over 1,000 levels.
 */
export const fromJson = (type: ValueType, json: unknown, path = "value"): unknown => checkedCodec(type).decode(json, new Path(path))

/**
 * The JSON form of a host value: `JSON.parse(JSON.stringify(…))` of it decodes to an equal value.
 *
 * @throws WitError `Value` when `value` is not the host form of `type`, `Inexpressible` at a handle; LimitError `typeDepthMax`.
 */
export const toJson = (type: ValueType, value: unknown, path = "value"): Json => checkedCodec(type).encode(value, new Path(path))

/**
 * The arguments of a call from a JSON array; absent trailing arguments are allowed where they are options.
 *
 * @throws WitError `ArgumentCount`, and as `fromJson`, with paths that start at `args`.
 */
export function argumentsFromJson(name: string, func: FunctionType, json: unknown): ReadonlyArray<unknown> {
  if (!Array.isArray(json)) return new Path("args").refuseAs(`the ${func.params.length} arguments of "${name}" as an array`, describe(json))
  const required = func.params.findLastIndex((param) => param.type.kind !== "option") + 1
  if (json.length < required || json.length > func.params.length)
    throw new WitError("ArgumentCount", { export: name, expected: func.params.length, actual: json.length })
  return func.params.map((param, i) => fromJson(param.type, json[i], `args[${i}]`))
}

/** The JSON form of what a call of `func` answered: the ok payload of an outermost `result`, null for nothing. */
export function answerToJson(func: FunctionType, value: unknown): Json {
  const { ok } = answer(func)
  return ok === undefined ? null : toJson(ok, value, "result")
}
