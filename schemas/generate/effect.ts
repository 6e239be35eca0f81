/**
 * A module of Effect Schemas for a world, as text: each named type, and parameters, result and error of each function. A schema
 * decodes the JSON form of a value (`schemas/value/json.ts`) into the host form, and encodes it back; `Schema.toType` of it is
 * the host form alone. What `schemas/wit/effect-schema.ts` makes while a program runs, this makes readable; it needs nothing
 * but Effect.
 *
 * Names are words of ASCII letters and digits; everything else that a component chose is in a string (see
 * `schemas/wit/typescript.ts`).
 */
import { GenerateError } from "../error/generate.ts"
import { bigintRange, isTaggedOption, numberRange, typedArrayOf } from "../value/form.ts"
import { type ExternType, type FunctionType, propertyName, type TypeName, type ValueType, type World } from "../wit/model.ts"
import { isLabel } from "../wit/name.ts"
import { shapeText, splitInterfaceName, typeText } from "../wit/print.ts"
import { answer, depth } from "../wit/tree.ts"
import { pascal } from "./file.ts"
import { Names, partsOf, refuseFunction } from "./parts.ts"

export interface EffectOptions {
  readonly world: World
  /** What comes after "Do not edit: written by" in the first line; control characters in it are dropped. */
  readonly header?: string
}

const target = "Effect Schemas"

/** What the text itself uses, each written where something needs it, with what it needs. */
const parts: Readonly<Record<string, readonly [needs: ReadonlyArray<string>, text: string]>> = {
  Scalar: [
    [],
    `/** One Unicode scalar value. */
const Scalar = Schema.String.pipe(Schema.check(Schema.isPattern(/^[\\u{0}-\\u{D7FF}\\u{E000}-\\u{10FFFF}]$/u)))`,
  ],
  integer: [
    [],
    `const integer = (minimum: number, maximum: number) => Schema.Number.pipe(Schema.check(Schema.isInt(), Schema.isBetween({ minimum, maximum })))`,
  ],
  long: [
    [],
    `/** A decimal number in JSON, since its numbers are not exact above 2^53. */
const long = (minimum: bigint, maximum: bigint) =>
  Schema.Union([Schema.String.pipe(Schema.check(Schema.isPattern(/^(?:0|-?[1-9][0-9]{0,19})$/))), Schema.Int]).pipe(
    Schema.decodeTo(Schema.BigInt.pipe(Schema.check(Schema.isBetweenBigInt({ minimum, maximum }))), {
      decode: SchemaGetter.transform((json: string | number) => BigInt(json)),
      encode: SchemaGetter.transform((value: bigint) => String(value)),
    }),
  )`,
  ],
  float: [
    [],
    `/** JSON has no NaN, no infinities and no negative zero: they are texts. */
const float = (round: (value: number) => number) =>
  Schema.Union([Schema.Number, Schema.Literals(["NaN", "Infinity", "-Infinity", "-0"])]).pipe(
    Schema.decodeTo(Schema.Number, {
      decode: SchemaGetter.transform((json: number | string) => round(Number(json))),
      encode: SchemaGetter.transform((value: number): number | "NaN" | "Infinity" | "-Infinity" | "-0" => {
        const rounded = round(value)
        return Object.is(rounded, -0) ? "-0" : Number.isFinite(rounded) ? rounded : (String(rounded) as "NaN")
      }),
    }),
  )`,
  ],
  Single: [["float"], "const Single = float(Math.fround)"],
  Double: [["float"], "const Double = float((value) => value)"],
  list: [
    [],
    `/** Numbers, which are a typed array. */
const list = <N, E, A extends Iterable<N> & object>(element: Schema.Codec<N, E>, array: (new (length: number) => A) & { from(values: Iterable<N>): A }) =>
  Schema.Array(element).pipe(
    Schema.decodeTo(Schema.instanceOf(array), {
      decode: SchemaGetter.transform((json: ReadonlyArray<N>): A => array.from(json)),
      encode: SchemaGetter.transform((value: A): ReadonlyArray<N> => Array.from(value)),
    }),
  )`,
  ],
  option: [
    [],
    `/** Null, or left out where it is a part, for none. */
const option = <A, E>(some: Schema.Codec<A, E>) =>
  Schema.NullishOr(some).pipe(
    Schema.decodeTo(Schema.UndefinedOr(Schema.toType(some)), {
      decode: SchemaGetter.transform((json: A | null | undefined): A | undefined => json ?? undefined),
      encode: SchemaGetter.transform((value: A | undefined): A | null | undefined => value ?? null),
    }),
  )`,
  ],
  own: [
    [],
    `/** Of what an object has itself alone: every object inherits names, such as \`constructor\`, that a part here has too. */
const own = <A, E>(struct: Schema.Codec<A, E>) =>
  Schema.declareConstructor<A, E>()([struct], ([parts]) => (value, _, options) =>
    SchemaParser.decodeUnknownEffect(parts)(typeof value === "object" && value !== null && !Array.isArray(value) ? Object.assign(Object.create(null), value) : value, options),
  )`,
  ],
  optionOfOption: [
    [],
    `/** With tags, since none is not a none that there is. */
const optionOfOption = <A, E>(some: Schema.Codec<A, E | null>) =>
  Schema.NullishOr(Schema.Union([Schema.Struct({ tag: Schema.Literal("some"), val: some.pipe(Schema.withDecodingDefault(Effect.succeed(null))) }), Schema.Struct({ tag: Schema.Literal("none") })])).pipe(
    Schema.decodeTo(Schema.Union([Schema.Struct({ tag: Schema.Literal("some"), val: Schema.toType(some) }), Schema.Struct({ tag: Schema.Literal("none") })]), {
      decode: SchemaGetter.transform((json) => json ?? ({ tag: "none" } as const)),
      encode: SchemaGetter.transform((value) => value),
    }),
  )`,
  ],
}

/** Names that the text itself has. */
const taken: ReadonlyArray<string> = [
  ...[
    "Effect",
    "Schema",
    "SchemaGetter",
    "SchemaParser",
    "Exports",
    "Imports",
    "Object",
    "Array",
    "BigInt",
    "String",
    "Number",
    "Math",
    "Iterable",
    "ReadonlyArray",
    "NaN",
    "Infinity",
  ],
  ...Object.keys(parts),
  ..."Int8 Uint8 Int16 Uint16 Int32 Uint32 BigInt64 BigUint64 Float32 Float64".split(" ").map((name) => `${name}Array`),
]

/** A string literal that is inert in HTML and plain in any editor. */
const literal = (text: string): string =>
  JSON.stringify(text).replace(/[<\p{C}\p{Zl}\p{Zp}]/gu, (char) =>
    Array.from({ length: char.length }, (_, i) => `\\u${char.charCodeAt(i).toString(16).padStart(4, "0")}`).join(""),
  )
const property = (label: string): string => {
  const name = propertyName(label)
  // As a shorthand, `__proto__` would set a prototype.
  return isLabel(label) && name !== "__proto__" ? name : `[${literal(name)}]`
}

interface Placed {
  readonly where: string
  readonly type: ValueType
}

class Module {
  readonly #names = new Names(target)
  readonly #known = new Map<ValueType, string>()
  readonly #wanted = new Map<ValueType, string>()
  readonly #lines: Array<string> = []
  readonly #used = new Set<string>()

  constructor() {
    for (const name of taken) this.#names.take(name, "what every such module has")
  }

  /** One of the text's own parts. */
  #part(name: string): string {
    for (const need of parts[name]?.[0] ?? []) this.#part(need)
    this.#used.add(name)
    return name
  }

  /** Chooses each named type's name: its own, else with its interface's before it, else with its package's. */
  name(types: ReadonlyArray<Placed>): void {
    const wanted = types.map(({ type, where }) => {
      const { interface: owner, name } = type.name as TypeName
      const split = owner === undefined ? undefined : splitInterfaceName(owner)
      const words = split === undefined ? [owner ?? "world"] : [...split.package.split(":"), split.interface]
      const own = pascal(name)
      return { type, where, names: [own, `${pascal(words.at(-1) ?? "")}${own}`, `${words.map(pascal).join("")}${own}`] }
    })
    for (const { names, type, where } of wanted) {
      const free = names.find((name, i) => !this.#names.has(name) && wanted.filter((other) => other.names[i] === name).length === 1)
      // Two that are alike whatever is put before them are refused, with both places.
      this.#wanted.set(type, this.#names.take(free ?? (names.at(-1) as string), where))
    }
  }

  /** An expression for a type; named ones are written before what needs them. */
  use(type: ValueType, where: string): string {
    const known = this.#known.get(type)
    if (known !== undefined) return known
    const name = this.#wanted.get(type)
    if (name === undefined) return this.#shape(type, where)
    this.#known.set(type, name)
    const shape = this.#shape(type, where)
    this.#lines.push(`/** \`${shapeText(type).replaceAll("`", "'")}\` */`, `export const ${name} = ${shape}`, `export type ${name} = typeof ${name}.Type`, "")
    return name
  }

  #tagged(cases: ReadonlyArray<readonly [tag: string, payload: ValueType | undefined]>, where: string): string {
    const one = ([tag, payload]: readonly [string, ValueType | undefined]): string =>
      `Schema.Struct({ tag: Schema.Literal(${literal(tag)})${payload === undefined ? "" : `, val: ${this.#field(payload, where)}`} })`
    return cases.length === 1 ? one(cases[0] as readonly [string, undefined]) : `Schema.Union([${cases.map(one).join(", ")}])`
  }

  /** A part of a record or case: none may be left out. */
  #field(type: ValueType, where: string): string {
    const text = this.use(type, where)
    if (type.kind !== "option") return text
    return isTaggedOption(type.type) ? `${text}.pipe(Schema.withDecodingDefault(Effect.succeed(null)))` : `Schema.optional(${text})`
  }

  #struct(labels: ReadonlyArray<string>, schemas: ReadonlyArray<string>): string {
    const struct = `Schema.Struct({ ${labels.map((label, i) => `${property(label)}: ${schemas[i]}`).join(", ")} })`
    return labels.some((label) => propertyName(label) in Object.prototype) ? `${this.#part("own")}(${struct})` : struct
  }

  #shape(type: ValueType, where: string): string {
    const inner = (part: ValueType): string => this.use(part, where)
    switch (type.kind) {
      case "bool":
        return "Schema.Boolean"
      case "string":
        return "Schema.String"
      case "char":
        return this.#part("Scalar")
      case "f32":
        return this.#part("Single")
      case "f64":
        return this.#part("Double")
      case "u64":
      case "s64": {
        const [minimum, maximum] = bigintRange[type.kind]
        return `${this.#part("long")}(${minimum}n, ${maximum}n)`
      }
      case "list": {
        if (type.element.kind === "u8") return "Schema.Uint8ArrayFromBase64"
        const array = typedArrayOf(type.element)
        return array === undefined ? `Schema.Array(${inner(type.element)})` : `${this.#part("list")}(${inner(type.element)}, ${array.name})`
      }
      case "tuple":
        return `Schema.Tuple([${type.types.map(inner).join(", ")}])`
      case "record":
        return this.#struct(
          type.fields.map(({ label }) => label),
          type.fields.map((field) => this.#field(field.type, where)),
        )
      case "flags":
        return this.#struct(
          type.labels,
          type.labels.map(() => "Schema.Boolean.pipe(Schema.withDecodingDefault(Effect.succeed(false)))"),
        )
      case "enum":
        return `Schema.Literals([${type.labels.map(literal).join(", ")}])`
      case "variant":
        return this.#tagged(
          type.cases.map((one) => [one.label, one.type]),
          where,
        )
      case "result":
        return this.#tagged(
          [
            ["ok", type.ok],
            ["err", type.err],
          ],
          where,
        )
      case "option":
        return `${this.#part(isTaggedOption(type.type) ? "optionOfOption" : "option")}(${inner(type.type)})`
      case "own":
      case "borrow":
      case "stream":
      case "future":
      case "error-context":
      case "map":
      case "fixed-list":
        throw new GenerateError("Unsupported", {
          target,
          type: typeText(type),
          where,
          advice: "leave it out of what others call: a handle or a stream is nothing that a schema can decode",
        })
      default: {
        const [minimum, maximum] = numberRange[type.kind]
        return `${this.#part("integer")}(${minimum}, ${maximum})`
      }
    }
  }

  func(type: FunctionType, where: string): string {
    const { err, ok } = answer(type)
    const parts = [
      `params: Schema.Tuple([${type.params.map((param) => this.use(param.type, `${where}, ${param.label}`)).join(", ")}])`,
      `result: ${ok === undefined ? "Schema.Undefined" : this.use(ok, where)}`,
      ...(type.result?.kind === "result" ? [`error: ${err === undefined ? "Schema.Undefined" : this.use(err, where)}`] : []),
    ]
    return `{ ${parts.join(", ")} }`
  }

  text(header: string, tables: ReadonlyArray<string>): string {
    const used = Object.keys(parts).flatMap((name) => (this.#used.has(name) ? [parts[name]?.[1] ?? "", ""] : []))
    const imports = ["Effect", "Schema", "SchemaGetter", "SchemaParser"].filter((name) =>
      `${used.join("")}${this.#lines.join("")}${tables.join("")}`.includes(`${name}.`),
    )
    const head = [
      `// Do not edit: written by ${header.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "")}`,
      ...imports.map((name) => `import * as ${name} from "effect/${name}"`),
      "",
    ]
    return [...head, ...used, ...this.#lines, ...tables].join("\n")
  }
}

/** Named types of interfaces, or that a world has itself, each once, in order. */
function namedTypes(world: World): ReadonlyArray<Placed> {
  const found = new Map<ValueType, string>()
  const visit = (type: ValueType, where: string): void => {
    if (found.has(type)) return
    partsOf(type).forEach((part) => visit(part, where))
    if (type.name !== undefined && !found.has(type)) found.set(type, `${type.name.interface === undefined ? where : type.name.interface}#${type.name.name}`)
  }
  const add = (externs: ReadonlyMap<string, ExternType>, where: string): void => {
    for (const [name, extern] of externs) {
      if (extern.kind === "type") visit(extern.type, where)
      if (extern.kind === "interface") add(extern.exports, name)
      if (extern.kind === "function")
        for (const type of [...extern.params.map((param) => param.type), ...(extern.result === undefined ? [] : [extern.result])]) visit(type, where)
    }
  }
  add(world.imports, "the world")
  add(world.exports, "the world")
  return [...found].map(([type, where]) => ({ type, where }))
}

function* functions(externs: ReadonlyMap<string, ExternType>, prefix = ""): Generator<readonly [name: string, type: FunctionType]> {
  for (const [name, extern] of externs) {
    if (extern.kind === "function") yield [`${prefix}${name}`, extern]
    if (extern.kind === "interface") yield* functions(extern.exports, `${name}#`)
  }
}

/**
 * The text of a module with a schema for each named type that functions use, and the tables `Exports` and `Imports` of
 * `{ params, result, error }` by the functions' full names. `error` is there where the function returns a `result`,
 * whose payloads `result` and `error` then are. The same world gives the same text.
 *
 * @throws GenerateError `Unsupported` for a function with a handle, stream, future, map or list of fixed length, with its place;
 *   `Collision` for two types whose names are alike. LimitError `typeDepthMax` for a type over 1,000 levels.
 */
export function effectModule({ header = "`stele types --as effect`", world }: EffectOptions): string {
  const module = new Module()
  const tables: Array<string> = []
  const all = [...functions(world.imports), ...functions(world.exports)]
  for (const [where, type] of all) {
    for (const part of [...type.params.map((param) => param.type), ...(type.result === undefined ? [] : [type.result])]) depth(part)
    refuseFunction(target, type, where)
  }
  const named = namedTypes(world)
  module.name(named)
  const table = (name: string, externs: World["exports"], comment: string): void => {
    const lines = [...functions(externs)].map(([where, type]) => `  ${literal(where)}: ${module.func(type, where)},`)
    tables.push(
      `/** ${comment} */`,
      lines.length === 0 ? `export const ${name} = {} as const` : `export const ${name} = {\n${lines.join("\n")}\n} as const`,
      "",
    )
  }
  table("Exports", world.exports, "What the component exports, by the name that `plugin.call` takes.")
  table("Imports", world.imports, "What the component imports, and the host answers.")
  // Handles only count where something that crosses holds them.
  for (const { type, where } of named) module.use(type, where)
  return module.text(header, tables)
}
