/**
 * GTypes of a world: a small algebra of JSON values that registries compare versions by. What crosses is the JSON form of values
 * (`schemas/value/json.ts`), so a GType says what a caller may send and what comes back.
 *
 * Canonical text is JSON by RFC 8785; its SHA-256 is the hash of a type. Descriptions are part of a GType and not of its hash.
 */
import { GenerateError } from "../error/generate.ts"
import { numberRange } from "../value/form.ts"
import { type ExternType, type FunctionType, propertyName, type ValueType, type World } from "../wit/model.ts"
import { typeText } from "../wit/print.ts"
import { answer } from "../wit/tree.ts"

interface Base {
  readonly nullable?: true
  readonly description?: string
}
export type GType = Base &
  (
    | { readonly type: "string"; readonly brand?: string }
    | { readonly type: "number"; readonly integer?: true; readonly minimum?: number; readonly maximum?: number }
    | { readonly type: "boolean" | "null" | "bigint" | "any" | "unknown" | "never" }
    | { readonly type: "literal"; readonly value: string }
    | { readonly type: "enum"; readonly values: ReadonlyArray<string> }
    | { readonly type: "array"; readonly items: GType; readonly minItems?: number; readonly maxItems?: number }
    | { readonly type: "tuple"; readonly items: ReadonlyArray<GType> }
    | { readonly type: "object"; readonly properties: Readonly<Record<string, GProperty>>; readonly additionalProperties: boolean }
    | { readonly type: "union"; readonly anyOf: ReadonlyArray<GType> }
    | { readonly type: "ref"; readonly definition: string }
  )
export interface GProperty {
  readonly type: GType
  readonly required: boolean
}

export interface GTypes {
  readonly version: "1.0"
  /** An object with a property for each function, by its full name: `params`, `result`, `error`. */
  readonly root: GType
  /** Named types, by label; further ones of one label are numbered. */
  readonly definitions: Readonly<Record<string, GType>>
}

const unmappable = (type: ValueType, where: string): GenerateError =>
  new GenerateError("Unsupported", {
    target: "GTypes",
    type: typeText(type),
    where,
    advice: "leave it out of what others call: a handle or a stream has no JSON form",
  })

const property = (type: GType, required = true): GProperty => ({ type, required })
const object = (properties: Readonly<Record<string, GProperty>>): GType => ({ type: "object", properties, additionalProperties: false })
const tagged = (tag: string, val: GType | undefined): GType =>
  object({ tag: property({ type: "literal", value: tag }), ...(val === undefined ? {} : { val: property(val) }) })

class Document {
  readonly definitions: Record<string, GType> = {}
  readonly #names = new Map<ValueType, string>()

  of(type: ValueType, where: string): GType {
    const { name } = type
    if (name === undefined) return this.#shape(type, where)
    let known = this.#names.get(type)
    if (known === undefined) {
      known = name.name
      // A component tells the labels of its types and not always whose they are.
      for (let next = 2; Object.hasOwn(this.definitions, known); next++) known = `${name.name}-${next}`
      this.#names.set(type, known)
      // Its place is taken before what is in it.
      this.definitions[known] = { type: "never" }
      this.definitions[known] = this.#shape(type, where)
    }
    return { type: "ref", definition: known }
  }

  #shape(type: ValueType, where: string): GType {
    const inner = (part: ValueType): GType => this.of(part, where)
    switch (type.kind) {
      case "bool":
        return { type: "boolean" }
      case "u64":
      case "s64":
        return { type: "bigint" }
      case "f32":
      case "f64":
        return { type: "number" }
      case "char":
        return { type: "string", brand: "char" }
      case "string":
        return { type: "string" }
      case "list":
        return type.element.kind === "u8" && type.element.name === undefined
          ? { type: "string", brand: "base64" }
          : { type: "array", items: inner(type.element) }
      case "tuple":
        return { type: "tuple", items: type.types.map(inner) }
      case "record":
        return object(Object.fromEntries(type.fields.map((field) => [propertyName(field.label), property(inner(field.type), field.type.kind !== "option")])))
      case "enum":
        return { type: "enum", values: type.labels }
      case "flags":
        return object(Object.fromEntries(type.labels.map((label) => [propertyName(label), property({ type: "boolean" }, false)])))
      case "option":
        if (type.type.kind === "option") return { type: "union", anyOf: [tagged("none", undefined), tagged("some", inner(type.type))], nullable: true }
        return { ...inner(type.type), nullable: true }
      case "variant":
        return { type: "union", anyOf: type.cases.map((one) => tagged(one.label, one.type === undefined ? undefined : inner(one.type))) }
      case "result":
        return { type: "union", anyOf: (["ok", "err"] as const).map((tag) => tagged(tag, type[tag] === undefined ? undefined : inner(type[tag]))) }
      case "own":
      case "borrow":
      case "stream":
      case "future":
      case "error-context":
      case "map":
      case "fixed-list":
        throw unmappable(type, where)
      default: {
        const [minimum, maximum] = numberRange[type.kind]
        return { type: "number", integer: true, minimum, maximum }
      }
    }
  }

  func(type: FunctionType, where: string): GType {
    const { ok, err } = answer(type)
    return object({
      params: property({ type: "tuple", items: type.params.map((param) => this.of(param.type, `${where}, ${param.label}`)) }),
      result: property(ok === undefined ? { type: "null" } : this.of(ok, where)),
      ...(err === undefined ? {} : { error: property(this.of(err, where)) }),
    })
  }
}

/**
 * The GTypes of what a world exports.
 * @throws GenerateError `Unsupported` for resources, streams and futures
 */
export function gtypesOf(world: World): GTypes {
  const document = new Document()
  const found: Array<readonly [name: string, type: FunctionType]> = []
  const add = (name: string, extern: ExternType): void => {
    if (extern.kind === "function") found.push([name, extern])
    if (extern.kind === "interface") for (const [label, inside] of extern.exports) add(`${name}#${label}`, inside)
  }
  for (const [name, extern] of world.exports) add(name, extern)
  // By name, so that the numbers of types with one label do not depend on the order of a file.
  const functions = Object.fromEntries(found.toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, type]) => [name, property(document.func(type, name))]))
  return { version: "1.0", root: object(functions), definitions: document.definitions }
}

/** RFC 8785 of a JSON value: keys by UTF-16 code units, numbers as ECMAScript prints them, no space. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  const entries = Object.entries(value)
    .filter(([, part]) => part !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([key, part]) => `${JSON.stringify(key)}:${canonicalJson(part)}`).join(",")}}`
}

/** What the hash of GTypes is taken of: without descriptions. */
export const gtypesText = (types: GTypes): string =>
  canonicalJson(JSON.parse(JSON.stringify(types, (key, value: unknown) => (key === "description" && typeof value === "string" ? undefined : value))))
