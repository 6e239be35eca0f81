/**
 * JSON Schema 2020-12 of the JSON form of values (schemas/value/json.ts): what `describe()` and `stele inspect` print.
 *
 * A node with a name, or one used in more than one place, becomes one entry of `$defs` and is never inlined, so the
 * schema is linear in the nodes of the type, not in its leaves. Values that JSON Schema cannot bound exactly (64-bit
 * decimal strings, base64) get a pattern that is as tight as a regular expression allows; `fromJson` has the last word.
 */
import { WitError } from "../error/wit.ts"
import { type FunctionType, propertyName, type ValueType } from "./model.ts"
import { typeText } from "./print.ts"
import { isLabel } from "./name.ts"
import { answer, children, depth } from "./tree.ts"

/** A schema object as plain JSON; property order is stable, so equal types print equal text. */
export interface JsonSchema {
  readonly [keyword: string]: unknown
}

/** Schemas of a function's parameters (one array schema), of its answer (ok payload) and of its error payload. */
export interface FunctionJsonSchema {
  readonly params: JsonSchema
  readonly result?: JsonSchema
  readonly error?: JsonSchema
}

export const dialect = "https://json-schema.org/draft/2020-12/schema"

const between = (minimum: number, maximum: number): JsonSchema => ({ type: "integer", minimum, maximum })
const long = (pattern: string, minimum: number): JsonSchema => ({
  anyOf: [
    { type: "string", pattern },
    { type: "integer", minimum, maximum: Number.MAX_SAFE_INTEGER },
  ],
})
const float: JsonSchema = { anyOf: [{ type: "number" }, { enum: ["NaN", "Infinity", "-Infinity", "-0"] }] }
const bytes: JsonSchema = {
  type: "string",
  contentEncoding: "base64",
  pattern: "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$",
}

/** Builds the schemas of one document; `$defs` fills as types are met. */
class Document {
  readonly defs = new Map<string, JsonSchema>()
  readonly #uses = new Map<ValueType, number>()
  readonly #refs = new Map<ValueType, JsonSchema>()

  constructor(roots: ReadonlyArray<ValueType>) {
    const pending = [...roots]
    for (let type = pending.pop(); type !== undefined; type = pending.pop()) {
      const uses = this.#uses.get(type) ?? 0
      this.#uses.set(type, uses + 1)
      if (uses === 0) pending.push(...children(type))
    }
  }

  /** The schema of one use of `type`: a reference when the type is named or shared. */
  use(type: ValueType, path: string): JsonSchema {
    const known = this.#refs.get(type)
    if (known !== undefined) return known
    const isLeaf = type.kind !== "enum" && type.kind !== "flags" && children(type).length === 0
    if (type.name === undefined && (isLeaf || this.#uses.get(type) === 1)) return this.#schema(type, path)
    const key = this.#key(type)
    const ref: JsonSchema = { $ref: `#/$defs/${key}` }
    this.#refs.set(type, ref)
    // Reserves the place, so that definitions come in the order of first use.
    this.defs.set(key, {})
    this.defs.set(key, this.#schema(type, path))
    return ref
  }

  /** A key that is safe in a JSON pointer and as a property name: the kebab label, numbered when taken; `shared` for the nameless. */
  #key(type: ValueType): string {
    const label = type.name !== undefined && isLabel(type.name.name) ? type.name.name : "shared"
    for (let n = 1; ; n++) {
      const key = n === 1 ? label : `${label}.${n}`
      if (!this.defs.has(key)) return key
    }
  }

  #schema(type: ValueType, path: string): JsonSchema {
    switch (type.kind) {
      case "bool":
        return { type: "boolean" }
      case "u8":
        return between(0, 0xff)
      case "s8":
        return between(-0x80, 0x7f)
      case "u16":
        return between(0, 0xffff)
      case "s16":
        return between(-0x8000, 0x7fff)
      case "u32":
        return between(0, 0xffff_ffff)
      case "s32":
        return between(-0x8000_0000, 0x7fff_ffff)
      case "u64":
        return long("^(?:0|[1-9][0-9]{0,19})$", 0)
      case "s64":
        return long("^(?:0|-?[1-9][0-9]{0,18})$", Number.MIN_SAFE_INTEGER)
      case "f32":
      case "f64":
        return float
      case "char":
        return { type: "string", minLength: 1, maxLength: 1 }
      case "string":
        return { type: "string" }
      case "list":
        return type.element.kind === "u8" ? bytes : { type: "array", items: this.use(type.element, `${path}[]`) }
      case "tuple":
        return array(
          type.types.map((part, i) => this.use(part, `${path}[${i}]`)),
          type.types.length,
        )
      case "record":
        return object(
          type.fields.map((field) => [propertyName(field.label), this.use(field.type, `${path}.${propertyName(field.label)}`)]),
          type.fields.filter((field) => field.type.kind !== "option").map((field) => propertyName(field.label)),
        )
      case "variant":
        return { oneOf: type.cases.map((part) => this.#tagged(part.label, part.type, path)) }
      case "result":
        return { oneOf: [this.#tagged("ok", type.ok, path), this.#tagged("err", type.err, path)] }
      case "option":
        if (type.type.kind === "option") return { oneOf: [{ type: "null" }, this.#tagged("none", undefined, path), this.#tagged("some", type.type, path)] }
        return { anyOf: [{ type: "null" }, this.use(type.type, path)] }
      case "enum":
        return { enum: type.labels }
      case "flags":
        return object(
          type.labels.map((label) => [propertyName(label), { type: "boolean" }]),
          [],
        )
      case "own":
      case "borrow":
      case "fixed-list":
      case "map":
      case "stream":
      case "future":
      case "error-context":
        throw new WitError("Inexpressible", { path, type: typeText(type), form: "JSON Schema" })
    }
  }

  #tagged(tag: string, payload: ValueType | undefined, path: string): JsonSchema {
    const parts: Array<[string, JsonSchema]> = [["tag", { const: tag }]]
    parts.push(["val", payload === undefined ? { type: "null" } : this.use(payload, `${path}.val`)])
    return object(parts, payload === undefined || payload.kind === "option" ? ["tag"] : ["tag", "val"])
  }

  finish(root: JsonSchema): JsonSchema {
    return { $schema: dialect, ...root, ...(this.defs.size === 0 ? {} : { $defs: Object.fromEntries(this.defs) }) }
  }
}

/** `Object.fromEntries` defines own properties, so that a label is never a setter of the prototype. */
const object = (properties: ReadonlyArray<readonly [string, JsonSchema]>, required: ReadonlyArray<string>): JsonSchema => ({
  type: "object",
  properties: Object.fromEntries(properties),
  ...(required.length === 0 ? {} : { required }),
  additionalProperties: false,
})

/** An array of exactly these items, of which the first `required` must be there. Draft 2020-12 forbids an empty `prefixItems`. */
const array = (items: ReadonlyArray<JsonSchema>, required: number): JsonSchema => ({
  type: "array",
  ...(items.length === 0 ? {} : { prefixItems: items }),
  items: false,
  minItems: required,
  maxItems: items.length,
})

/**
 * The schema of one type as a document of its own.
 *
 * @throws WitError `Inexpressible` for a type that contains a handle, or another type without a JSON form; LimitError `typeDepthMax` for one over 1,000 levels.
 */
export function jsonSchema(type: ValueType, path = "value"): JsonSchema {
  depth(type)
  const document = new Document([type])
  return document.finish(document.use(type, path))
}

/**
 * The schemas of a function: `params` is an array schema whose absent trailing options are allowed, `result` the answer, `error` what it may fail with.
 *
 * @throws WitError `Inexpressible` for a function that takes or gives handles; LimitError `typeDepthMax`.
 */
export function functionJsonSchema(func: FunctionType): FunctionJsonSchema {
  for (const param of func.params) depth(param.type)
  const document = new Document(func.params.map((param) => param.type))
  const params = func.params.map((param, i) => {
    const schema = document.use(param.type, `args[${i}]`)
    // `title` beside `$ref` is allowed since draft 2019-09; parameters of an array schema have no names otherwise.
    return { title: param.label, ...schema }
  })
  const required = func.params.findLastIndex((param) => param.type.kind !== "option") + 1
  const { ok, err } = answer(func)
  return {
    params: document.finish(array(params, required)),
    ...(ok === undefined ? {} : { result: jsonSchema(ok, "result") }),
    ...(err === undefined ? {} : { error: jsonSchema(err, "error") }),
  }
}

/** Schemas by name; a function with handles, which have no JSON form, is left out. */
export function schemasOf(functions: Iterable<{ readonly name: string; readonly type: FunctionType }>): ReadonlyMap<string, FunctionJsonSchema> {
  const schemas = new Map<string, FunctionJsonSchema>()
  for (const { name, type } of functions) {
    try {
      schemas.set(name, functionJsonSchema(type))
    } catch (error) {
      if (!(error instanceof WitError)) throw error
    }
  }
  return schemas
}
