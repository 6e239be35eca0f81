/**
 * Generators of WIT types and of host values for them, with a counter of what they reached.
 *
 * `arbitraryType` reaches every value type constructor; `Coverage` says which constructors, flattening joins and
 * sizes a run has met, so that a run that missed one can fail. `witPackage` prints functions as a WIT package.
 */
import fc from "../property.ts"
import { typedArrayOf } from "../../schemas/value/form.ts"
import {
  borrow,
  type Case,
  type ExternType,
  type FunctionType,
  type InterfaceType,
  type Labelled,
  own,
  primitive,
  type PrimitiveKind,
  propertyName,
  type ResourceType,
  type ValueType,
} from "../../schemas/wit/model.ts"
import { interfaceText } from "../../schemas/wit/print.ts"
import { children, depth } from "../../schemas/wit/tree.ts"

export const primitiveKinds = Object.keys(primitive) as ReadonlyArray<PrimitiveKind>

export interface TypeOptions {
  /** Levels of constructors above the leaves; default 4. */
  readonly levels?: number
  /** Resources whose handles may occur; none by default, since handles have no JSON or WAVE form. */
  readonly resources?: ReadonlyArray<ResourceType>
  /** `borrow` may occur only in parameters (WIT.md "Handles"); default true where `resources` is given. */
  readonly borrows?: boolean
  /** Largest `flags`; default 70. wasm-tools refuses more than 32 unless asked otherwise. */
  readonly flagsMax?: number
  /** Labels with upper-case words; default true. */
  readonly uppercase?: boolean
}

/** Labels that are words of WIT, of WAVE, of JavaScript's prototypes or of promises. */
const awkward =
  "list record type own borrow string result true false inf nan some none ok err constructor to-string value-of has-own-property prototype proto then tag val length name to-json default await new class arguments self u8 a-1b x-0".split(
    " ",
  )

function arbitraryLabel(options: TypeOptions): fc.Arbitrary<string> {
  const letters = "abcdefghijklmnopqrstuvwxyz"
  const tail = fc.string({ unit: fc.constantFrom(...letters, ..."0123456789"), maxLength: 4 })
  const word = fc.tuple(fc.constantFrom(...letters), tail).map(([head, rest]) => head + rest)
  const cased = options.uppercase === false ? word : fc.tuple(word, fc.integer({ min: 0, max: 9 })).map(([text, n]) => (n === 0 ? text.toUpperCase() : text))
  return fc.oneof(
    { weight: 4, arbitrary: fc.array(cased, { minLength: 1, maxLength: 3 }).map((words) => words.join("-")) },
    { weight: 1, arbitrary: fc.constantFrom(...awkward) },
  )
}

/** Unique ignoring case and dashes, as labels of one record, variant or function must be. */
const arbitraryLabels = (options: TypeOptions, minLength: number, maxLength: number): fc.Arbitrary<Array<string>> =>
  fc.uniqueArray(arbitraryLabel(options), { minLength, maxLength, selector: (label) => label.replaceAll("-", "").toLowerCase() })

/** Many labels at the cost of one number. */
const manyLabels = (min: number, max: number): fc.Arbitrary<Array<string>> =>
  fc.integer({ min, max }).map((count) => Array.from({ length: count }, (_, i) => `l${i.toString(36)}-x`))

function arbitraryLeaf(options: TypeOptions): fc.Arbitrary<ValueType> {
  const flagsMax = options.flagsMax ?? 70
  const labels = (wide: fc.Arbitrary<Array<string>>): fc.Arbitrary<Array<string>> =>
    fc.oneof({ weight: 5, arbitrary: arbitraryLabels(options, 1, 7) }, { weight: 2, arbitrary: wide })
  const leaves: Array<fc.WeightedArbitrary<ValueType>> = [
    { weight: 8, arbitrary: fc.constantFrom(...primitiveKinds).map((kind): ValueType => primitive[kind]) },
    { weight: 1, arbitrary: labels(manyLabels(8, 300)).map((found): ValueType => ({ kind: "enum", labels: found })) },
    { weight: 2, arbitrary: labels(manyLabels(8, flagsMax)).map((found): ValueType => ({ kind: "flags", labels: found.slice(0, flagsMax) })) },
  ]
  const resources = options.resources ?? []
  if (resources.length > 0) {
    leaves.push({ weight: 2, arbitrary: fc.constantFrom(...resources).map(own) })
    if (options.borrows !== false) leaves.push({ weight: 2, arbitrary: fc.constantFrom(...resources).map(borrow) })
  }
  return fc.oneof(...leaves)
}

const payload = (label: string, type: ValueType | undefined): Case => (type === undefined ? { label } : { label, type })

/** A type tree with up to `levels` levels of constructors, sharing some nodes. */
export function arbitraryType(options: TypeOptions = {}): fc.Arbitrary<ValueType> {
  const level = (levels: number): fc.Arbitrary<ValueType> => {
    const leaf = arbitraryLeaf(options)
    if (levels === 0) return leaf
    const inner = level(levels - 1)
    const maybe = fc.option(inner, { nil: undefined, freq: 2 })
    const labelled = (min: number, max: number): fc.Arbitrary<Array<Labelled>> =>
      arbitraryLabels(options, min, max).chain((labels) =>
        fc.tuple(...labels.map(() => inner)).map((types) => labels.map((label, i) => ({ label, type: types[i] as ValueType }))),
      )
    const cases = arbitraryLabels(options, 1, 6).chain((labels) =>
      fc.tuple(...labels.map(() => maybe)).map((types) => labels.map((label, i) => payload(label, types[i]))),
    )
    const wideCases = fc.tuple(manyLabels(257, 300), maybe).map(([labels, type]) => labels.map((label, i) => payload(label, i % 100 === 7 ? type : undefined)))
    return fc.oneof(
      { weight: 3, arbitrary: leaf },
      { weight: 3, arbitrary: inner.map((element): ValueType => ({ kind: "list", element })) },
      { weight: 2, arbitrary: fc.constantFrom(...primitiveKinds).map((kind): ValueType => ({ kind: "list", element: primitive[kind] })) },
      { weight: 3, arbitrary: labelled(1, 5).map((fields): ValueType => ({ kind: "record", fields })) },
      { weight: 2, arbitrary: fc.array(inner, { minLength: 1, maxLength: 4 }).map((types): ValueType => ({ kind: "tuple", types })) },
      { weight: 3, arbitrary: cases.map((found): ValueType => ({ kind: "variant", cases: found })) },
      { weight: 3, arbitrary: inner.map((type): ValueType => ({ kind: "option", type })) },
      { weight: 1, arbitrary: inner.map((type): ValueType => ({ kind: "option", type: { kind: "option", type } })) },
      {
        weight: 2,
        arbitrary: fc
          .tuple(maybe, maybe)
          .map(([ok, err]): ValueType => ({ kind: "result", ...(ok === undefined ? {} : { ok }), ...(err === undefined ? {} : { err }) })),
      },
      // One node twice: what a decoder makes of two uses of one type index.
      { weight: 1, arbitrary: inner.map((type): ValueType => ({ kind: "tuple", types: [type, type] })) },
      { weight: 1, arbitrary: listOfVariantOfRecord(options, inner) },
      { weight: 1, arbitrary: fc.array(leaf, { minLength: 17, maxLength: 20 }).map((types): ValueType => ({ kind: "tuple", types })) },
      { weight: 1, arbitrary: wideCases.map((found): ValueType => ({ kind: "variant", cases: found })) },
      { weight: 2, arbitrary: joins(options) },
    )
  }
  return level(options.levels ?? 4)
}

function listOfVariantOfRecord(options: TypeOptions, inner: fc.Arbitrary<ValueType>): fc.Arbitrary<ValueType> {
  return fc.tuple(arbitraryLabels(options, 2, 3), arbitraryLabels(options, 1, 3), inner).map(([tags, names, type]) => {
    const fields = names.map((label, i) => ({ label, type: i === 0 ? type : primitive.string }))
    return { kind: "list", element: { kind: "variant", cases: tags.map((label, i) => payload(label, i === 0 ? { kind: "record", fields } : undefined)) } }
  })
}

/** A variant whose payloads flatten to different core types: every pair that CanonicalABI.md `join` distinguishes. */
const joins = (options: TypeOptions): fc.Arbitrary<ValueType> =>
  fc
    .tuple(
      arbitraryLabels(options, 3, 5),
      fc.shuffledSubarray(["u8", "s64", "f32", "f64", "u64", "string"] as Array<PrimitiveKind>, { minLength: 3, maxLength: 5 }),
    )
    .map(([labels, kinds]) => ({ kind: "variant", cases: labels.map((label, i) => payload(label, kinds[i] === undefined ? undefined : primitive[kinds[i]])) }))

/** A function of up to 6, sometimes up to 20, parameters. */
export function arbitraryFunction(options: TypeOptions = {}): fc.Arbitrary<FunctionType> {
  const params = (min: number, max: number, levels: number): fc.Arbitrary<Array<Labelled>> =>
    arbitraryLabels(options, min, max).chain((labels) =>
      fc.tuple(...labels.map(() => arbitraryType({ ...options, levels }))).map((types) => labels.map((label, i) => ({ label, type: types[i] as ValueType }))),
    )
  const levels = options.levels ?? 4
  const result = fc.option(arbitraryType({ ...options, borrows: false }), { nil: undefined, freq: 6 })
  return fc
    .tuple(fc.oneof({ weight: 5, arbitrary: params(0, 5, levels) }, { weight: 1, arbitrary: params(17, 20, 0) }), result)
    .map(([found, type]) => ({ kind: "function", params: found, ...(type === undefined ? {} : { result: type }) }))
}

export interface ValueOptions {
  /** Lone surrogates in strings, which every form turns into U+FFFD; default false, so that values round-trip. */
  readonly surrogates?: boolean
  /** Longest list made at once; default 3,000. */
  readonly listMax?: number
  /** Makes handles of a resource; needed only for types with handles. */
  readonly handle?: (type: ResourceType, isOwn: boolean) => fc.Arbitrary<unknown>
}

const strings = [
  "",
  "\0",
  "a\0b",
  "\u{feff}bom first",
  "\u{fffd}",
  "\u{1f600}",
  "e\u0301",
  "\u{10ffff}",
  "\u007f\u0080\u07ff\u0800\uffff",
  "\u2028\u202e",
  '"quoted" \\ \t\r\n',
  "z".repeat(5_000),
  "ünïcödé→".repeat(300),
]
const broken = ["\ud800", "a\udc00b", "\udfff\ud800", "\ud83d"]

function arbitraryPrimitive(kind: PrimitiveKind, options: ValueOptions): fc.Arbitrary<unknown> {
  const range = (min: number, max: number): fc.Arbitrary<number> => fc.oneof(fc.integer({ min, max }), fc.constantFrom(min, max, 0))
  switch (kind) {
    case "bool":
      return fc.boolean()
    case "s8":
      return range(-128, 127)
    case "u8":
      return range(0, 255)
    case "s16":
      return range(-32768, 32767)
    case "u16":
      return range(0, 65535)
    case "s32":
      return range(-2147483648, 2147483647)
    case "u32":
      return range(0, 4294967295)
    case "s64":
      return fc.oneof(fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }), fc.constantFrom(-(1n << 63n), (1n << 63n) - 1n, 0n, -1n))
    case "u64":
      return fc.oneof(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), fc.constantFrom((1n << 64n) - 1n, 1n << 63n, 0n))
    case "f32":
      return fc.oneof(fc.float(), fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 0, 2 ** -149))
    case "f64":
      return fc.oneof(fc.double(), fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 0, 5e-324, Number.MAX_VALUE))
    case "char":
      return fc.oneof(
        fc.string({ unit: "binary", minLength: 1, maxLength: 1 }),
        fc.constantFrom("\0", "'", '"', "\\", "\n", "\u{feff}", "\ud7ff", "\ue000", "\u{10ffff}", "\u0301"),
      )
    case "string":
      return fc.oneof(fc.string({ unit: "binary" }), fc.string(), fc.constantFrom(...strings, ...(options.surrogates === true ? broken : [])))
  }
}

function arbitraryList(element: ValueType, options: ValueOptions): fc.Arbitrary<unknown> {
  const item = arbitraryValue(element, options)
  const short = fc.array(item, { maxLength: 5 })
  const typed = typedArrayOf(element)
  // A long list repeats a few items: length is what it is about, not variety.
  const long = fc
    .tuple(
      fc.array(item, { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 17, max: typed === undefined && children(element).length > 0 ? 30 : (options.listMax ?? 3_000) }),
    )
    .map(([items, length]) => Array.from({ length }, (_, i) => items[i % items.length]))
  const items = fc.oneof({ weight: 8, arbitrary: short }, { weight: 1, arbitrary: fc.constant([] as Array<unknown>) }, { weight: 1, arbitrary: long })
  if (typed === undefined) return items
  return items.map((found) => {
    const out = typed.make(found.length) as { [index: number]: unknown }
    for (let i = 0; i < found.length; i++) out[i] = found[i]
    return out
  })
}

const object = (entries: ReadonlyArray<readonly [string, unknown]>): Record<string, unknown> => Object.fromEntries(entries)

function arbitraryTagged(cases: ReadonlyArray<readonly [tag: string, type: ValueType | undefined]>, options: ValueOptions): fc.Arbitrary<unknown> {
  const withPayload = cases.filter(([, type]) => type !== undefined)
  const one = ([tag, type]: readonly [string, ValueType | undefined]): fc.Arbitrary<unknown> =>
    type === undefined ? fc.constant({ tag }) : arbitraryValue(type, options).map((val) => ({ tag, val }))
  // A wide variant has few payloads; without this they would hardly ever be drawn.
  const any = fc.constantFrom(...cases).chain(one)
  return withPayload.length === 0 ? any : fc.oneof(any, fc.constantFrom(...withPayload).chain(one))
}

/** Host values of `type`. */
export function arbitraryValue(type: ValueType, options: ValueOptions = {}): fc.Arbitrary<unknown> {
  switch (type.kind) {
    case "list":
      return arbitraryList(type.element, options)
    case "record":
      return fc
        .tuple(...type.fields.map((field) => arbitraryValue(field.type, options)))
        .map((values) => object(type.fields.map((field, i) => [propertyName(field.label), values[i]])))
    case "tuple":
      return fc.tuple(...type.types.map((part) => arbitraryValue(part, options)))
    case "variant":
      return arbitraryTagged(
        type.cases.map((part) => [part.label, part.type]),
        options,
      )
    case "result":
      return arbitraryTagged(
        [
          ["ok", type.ok],
          ["err", type.err],
        ],
        options,
      )
    case "enum":
      return fc.constantFrom(...type.labels)
    case "option":
      if (type.type.kind === "option")
        return arbitraryTagged(
          [
            ["none", undefined],
            ["some", type.type],
          ],
          options,
        )
      return fc.option(arbitraryValue(type.type, options), { nil: undefined, freq: 3 })
    case "flags":
      return fc
        .array(fc.boolean(), { minLength: type.labels.length, maxLength: type.labels.length })
        .map((bits) => object(type.labels.map((label, i) => [propertyName(label), bits[i]])))
    case "own":
    case "borrow":
      if (options.handle === undefined) throw new Error(`Cannot make a ${type.kind} without options.handle`)
      return options.handle(type.resource, type.kind === "own")
    case "fixed-list":
    case "map":
    case "stream":
    case "future":
    case "error-context":
      throw new Error(`Cannot make a ${type.kind}: it has no host form`)
    default:
      return arbitraryPrimitive(type.kind, options)
  }
}

/** Equality of host values: numbers by `Object.is`, typed arrays by class and elements, objects by own properties. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false
  if (Array.isArray(a) || ArrayBuffer.isView(a)) {
    const [left, right] = [a as unknown as ArrayLike<unknown>, b as unknown as ArrayLike<unknown>]
    if (left.length !== right.length) return false
    for (let i = 0; i < left.length; i++) if (!sameValue(left[i], right[i])) return false
    return true
  }
  const keys = Object.keys(a)
  if (keys.length !== Object.keys(b).length) return false
  return keys.every((key) => Object.hasOwn(b, key) && sameValue((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]))
}

type CoreType = "i32" | "i64" | "f32" | "f64"

/** CanonicalABI.md "Flattening", `join`: what two cases share one core value as. */
const join = (a: CoreType, b: CoreType): CoreType => {
  if (a === b) return a
  return [a, b].every((type) => type === "i32" || type === "f32") ? "i32" : "i64"
}

/** Counts which constructors, sizes and joins the types given to it contain. */
export class Coverage {
  readonly counts = new Map<string, number>()
  readonly #required: ReadonlyArray<string>

  constructor(options: { readonly handles?: boolean; readonly functions?: boolean; readonly flagsMax?: number } = {}) {
    const joined = ["f32+i32", "i32+i64", "f32+i64", "f64+i32", "f64+i64", "f32+f64"].map((pair) => `join ${pair}`)
    const flagsMax = options.flagsMax ?? 70
    this.#required = [
      ...primitiveKinds,
      ...primitiveKinds.map((kind) => `list<${kind}>`),
      ..."list record tuple variant enum flags option result option<option>".split(" "),
      ..."result ok|result err|result ok,err|result empty|variant empty payload|variant payload|variant > 256|enum > 256|list<variant<record>>|shared node|depth >= 4".split(
        "|",
      ),
      "flags 1..8",
      "flags 9..16",
      "flags 17..32",
      ...(flagsMax > 32 ? ["flags 33.."] : []),
      ...joined,
      ...(options.handles === true ? ["own", "borrow"] : []),
      ...(options.functions === true ? ["flat params > 16", "flat params <= 16", "flat result > 1", "flat result <= 1", "no result", "no params"] : []),
    ]
    for (const key of this.#required) this.counts.set(key, 0)
  }

  #add(key: string): void {
    this.counts.set(key, (this.counts.get(key) ?? 0) + 1)
  }

  /** Counts the constructors of `type` and answers its flat core types. */
  type(type: ValueType): ReadonlyArray<CoreType> {
    const seen = new Set<ValueType>()
    if (depth(type) >= 4) this.#add("depth >= 4")
    return this.#walk(type, seen)
  }

  func(func: FunctionType): void {
    const params = func.params.flatMap((param) => this.type(param.type))
    this.#add(params.length > 16 ? "flat params > 16" : "flat params <= 16")
    if (func.params.length === 0) this.#add("no params")
    if (func.result === undefined) return this.#add("no result")
    this.#add(this.type(func.result).length > 1 ? "flat result > 1" : "flat result <= 1")
  }

  #walk(type: ValueType, seen: Set<ValueType>): ReadonlyArray<CoreType> {
    this.#add(type.kind)
    if (children(type).length > 0 && seen.has(type)) this.#add("shared node")
    seen.add(type)
    const inner = (part: ValueType): ReadonlyArray<CoreType> => this.#walk(part, seen)
    switch (type.kind) {
      case "list":
        if (type.element.kind in primitive) this.#add(`list<${type.element.kind}>`)
        if (type.element.kind === "variant" && type.element.cases.some((part) => part.type?.kind === "record")) this.#add("list<variant<record>>")
        inner(type.element)
        return ["i32", "i32"]
      case "record":
        return type.fields.flatMap((field) => inner(field.type))
      case "tuple":
        return type.types.flatMap(inner)
      case "variant":
        if (type.cases.length > 256) this.#add("variant > 256")
        for (const part of type.cases) this.#add(part.type === undefined ? "variant empty payload" : "variant payload")
        return this.#variant(
          type.cases.map((part) => part.type),
          inner,
        )
      case "option":
        if (type.type.kind === "option") this.#add("option<option>")
        return this.#variant([undefined, type.type], inner)
      case "result": {
        const parts = [type.ok === undefined ? "" : "ok", type.err === undefined ? "" : "err"].filter((part) => part !== "")
        this.#add(`result ${parts.length === 0 ? "empty" : parts.join(",")}`)
        return this.#variant([type.ok, type.err], inner)
      }
      case "enum":
        if (type.labels.length > 256) this.#add("enum > 256")
        return ["i32"]
      case "flags": {
        const count = type.labels.length
        this.#add(count <= 8 ? "flags 1..8" : count <= 16 ? "flags 9..16" : count <= 32 ? "flags 17..32" : "flags 33..")
        return Array.from({ length: Math.ceil(count / 32) }, () => "i32" as const)
      }
      case "string":
        return ["i32", "i32"]
      case "s64":
      case "u64":
        return ["i64"]
      case "f32":
      case "f64":
        return [type.kind]
      default:
        return ["i32"]
    }
  }

  #variant(payloads: ReadonlyArray<ValueType | undefined>, inner: (type: ValueType) => ReadonlyArray<CoreType>): ReadonlyArray<CoreType> {
    const flat: Array<CoreType> = []
    const met: Array<Set<CoreType>> = []
    for (const part of payloads) {
      if (part === undefined) continue
      const types = inner(part)
      for (let i = 0; i < types.length; i++) {
        const [known, next] = [flat[i], types[i] as CoreType]
        const others = (met[i] ??= new Set())
        if (!others.has(next)) for (const other of others) this.#add(`join ${[other, next].sort().join("+")}`)
        others.add(next)
        flat[i] = known === undefined ? next : join(known, next)
      }
    }
    return ["i32", ...flat]
  }

  /** What was required and never met; a run with any fails. */
  missing(): ReadonlyArray<string> {
    return this.#required.filter((key) => this.counts.get(key) === 0)
  }

  report(): string {
    return [...this.counts].map(([key, count]) => `${key}: ${count}`).join(", ")
  }
}

export interface WitSource {
  /** `gen:types@0.1.0/api` as an interface of the model: the functions with every type that WIT wants named, named. */
  readonly interface: InterfaceType
  /** A package with the interface and worlds `importer`, `exporter` and `both` that use it. */
  readonly text: string
}

/** Prints functions as a WIT package. Records, variants, enums and flags get names; structure stays. */
export function witPackage(functions: ReadonlyMap<string, FunctionType>, interfaceName = "api", packageName = "gen:types@0.1.0"): WitSource {
  const [base = "", version] = packageName.split("@")
  const full = `${base}/${interfaceName}${version === undefined ? "" : `@${version}`}`
  const exports = new Map<string, ExternType>()
  const named = new Map<ValueType, ValueType>()
  const resources = new Map<ResourceType, ResourceType>()
  const resourceOf = (resource: ResourceType): ResourceType => {
    let found = resources.get(resource)
    if (found === undefined) {
      const name = `resource-${resources.size}`
      found = { kind: "resource", name: { interface: full, name } }
      resources.set(resource, found)
      exports.set(name, { kind: "resource-type", resource: found })
    }
    return found
  }
  const rebuild = (type: ValueType): ValueType => {
    let found = named.get(type)
    if (found !== undefined) return found
    found = copy(type)
    if (found.kind === "record" || found.kind === "variant" || found.kind === "enum" || found.kind === "flags") {
      const name = `type-n${exports.size}`
      found = { ...found, name: { interface: full, name } }
      exports.set(name, { kind: "type", type: found })
    }
    named.set(type, found)
    return found
  }
  const copy = (type: ValueType): ValueType => {
    switch (type.kind) {
      case "list":
        return { ...type, element: rebuild(type.element) }
      case "record":
        return { ...type, fields: type.fields.map((field) => ({ ...field, type: rebuild(field.type) })) }
      case "tuple":
        return { ...type, types: type.types.map(rebuild) }
      case "variant":
        return { ...type, cases: type.cases.map((part) => payload(part.label, part.type === undefined ? undefined : rebuild(part.type))) }
      case "option":
        return { ...type, type: rebuild(type.type) }
      case "result":
        return { ...type, ...(type.ok === undefined ? {} : { ok: rebuild(type.ok) }), ...(type.err === undefined ? {} : { err: rebuild(type.err) }) }
      case "own":
      case "borrow":
        return { ...type, resource: resourceOf(type.resource) }
      default:
        return type
    }
  }
  const rebuilt = [...functions].map(([name, func]): readonly [string, FunctionType] => [
    name,
    {
      kind: "function",
      params: func.params.map((param) => ({ ...param, type: rebuild(param.type) })),
      ...(func.result === undefined ? {} : { result: rebuild(func.result) }),
    },
  ])
  for (const [name, func] of rebuilt) exports.set(name, func)
  const type: InterfaceType = { kind: "interface", exports }
  const worlds = ["importer { import", "exporter { export"].map((head) => `world ${head} ${interfaceName}; }`)
  const both = `world both { import ${interfaceName}; export ${interfaceName}; }`
  return { interface: type, text: [`package ${packageName};`, interfaceText(interfaceName, type, full), ...worlds, both, ""].join("\n\n") }
}
