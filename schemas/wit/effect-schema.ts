/**
 * Effect Schemas of WIT types: one for the host form of values, and one that decodes it from the JSON form.
 *
 * The only file of this room's core that loads Effect (110–145 ms from source, a few ms bundled): import it lazily, as
 * `stele/effect` does. Memoised by identity: a shared node is one schema object, so schemas are linear in nodes too.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaParser from "effect/SchemaParser"
import { SteleError } from "../error/family.ts"
import { WitError } from "../error/wit.ts"
import { bigintRange, isPlain, isScalar, isTaggedOption, numberRange, type TypedArray, typedArrayOf } from "../value/form.ts"
import { fromJson, type Json, toJson } from "../value/json.ts"
import { type FunctionType, propertyName, type ValueType } from "./model.ts"
import { shapeText, typeText } from "./print.ts"
import { answer, depth } from "./tree.ts"

/** A schema without services, whose decoded and encoded form are both the host value. */
export type ValueSchema = Schema.Codec<unknown, unknown>

/** Schemas of a function's arguments (a tuple), its answer and its error payload. */
export interface FunctionSchema {
  readonly params: Schema.Codec<ReadonlyArray<unknown>, unknown>
  readonly result: ValueSchema
  readonly error: ValueSchema
}

const integer = (kind: keyof typeof numberRange): ValueSchema => {
  const [minimum, maximum] = numberRange[kind]
  return Schema.Number.pipe(Schema.check(Schema.isInt(), Schema.isBetween({ minimum, maximum })))
}
const long = (kind: keyof typeof bigintRange): ValueSchema => {
  const [minimum, maximum] = bigintRange[kind]
  return Schema.BigInt.pipe(Schema.check(Schema.isBetweenBigInt({ minimum, maximum })))
}

/** An untagged option as a property may be absent, which is undefined. */
const fieldOf = (type: ValueType): Schema.Constraint =>
  type.kind === "option" && !isTaggedOption(type.type) ? Schema.optional(schemaOf(type)) : schemaOf(type)

/**
 * A struct whose fields were chosen by a guest: `Object.fromEntries` defines own properties whatever their names, and what
 * every object inherits, such as `constructor`, is no field of a value.
 */
const struct = (fields: ReadonlyArray<readonly [string, Schema.Constraint]>): ValueSchema => {
  const all = Schema.Struct(Object.fromEntries(fields)) as unknown as ValueSchema
  if (!fields.some(([name]) => name in Object.prototype)) return all
  return Schema.declareConstructor<unknown>()(
    [all],
    ([own]) =>
      (value, _, options) =>
        SchemaParser.decodeUnknownEffect(own)(isPlain(value) ? Object.assign(Object.create(null), value) : value, options),
  )
}

const tagged = (cases: ReadonlyArray<readonly [tag: string, payload: ValueType | undefined]>): ValueSchema =>
  Schema.Union(
    cases.map(([tag, payload]) => struct([["tag", Schema.Literal(tag)], ...(payload === undefined ? [] : [["val", fieldOf(payload)] as const])])),
  ) as unknown as ValueSchema

function build(type: ValueType): ValueSchema {
  switch (type.kind) {
    case "bool":
      return Schema.Boolean
    case "s8":
    case "u8":
    case "s16":
    case "u16":
    case "s32":
    case "u32":
      return integer(type.kind)
    case "s64":
    case "u64":
      return long(type.kind)
    case "f32":
    case "f64":
      return Schema.Number
    case "char":
      return Schema.String.pipe(Schema.check(Schema.makeFilter((text: string) => isScalar(text), { expected: "one Unicode scalar value" })))
    case "string":
      return Schema.String
    case "list": {
      const typed = typedArrayOf(type.element)
      return typed === undefined ? Schema.Array(schemaOf(type.element)) : Schema.declare<TypedArray>(typed.is, { expected: typed.name })
    }
    case "tuple":
      return Schema.Tuple(type.types.map(schemaOf)) as unknown as ValueSchema
    case "record":
      return struct(type.fields.map((field) => [propertyName(field.label), fieldOf(field.type)]))
    case "variant":
      return tagged(type.cases.map((part) => [part.label, part.type]))
    case "result":
      return tagged([
        ["ok", type.ok],
        ["err", type.err],
      ])
    case "option":
      return isTaggedOption(type.type)
        ? tagged([
            ["none", undefined],
            ["some", type.type],
          ])
        : Schema.UndefinedOr(schemaOf(type.type))
    case "enum":
      return Schema.Literals(type.labels)
    case "flags":
      return struct(type.labels.map((label) => [propertyName(label), Schema.Boolean]))
    case "own":
    case "borrow":
    case "stream":
    case "future":
    case "error-context":
      // A handle is whatever the host made it; which resource it is of is checked when it is lowered.
      return Schema.Unknown.pipe(Schema.annotate({ expected: typeText(type) }))
    case "fixed-list":
    case "map":
      throw new WitError("Inexpressible", { path: "value", type: typeText(type), form: "an Effect Schema" })
  }
}

const schemas = new WeakMap<ValueType, ValueSchema>()

function schemaOf(type: ValueType): ValueSchema {
  let schema = schemas.get(type)
  if (schema === undefined) {
    const built = build(type)
    schema = type.name === undefined ? built : (built.pipe(Schema.annotate({ title: type.name.name, description: shapeText(type) })) as ValueSchema)
    schemas.set(type, schema)
  }
  return schema
}

/**
 * The schema of the host form of `type`: records as objects, `u64` as bigint, number lists as typed arrays.
 *
 * ```ts
 * import * as Schema from "effect/Schema"
 * import { effectSchema } from "stele/effect"
 * Schema.decodeUnknownSync(effectSchema(record({ name: primitive.string })))({ name: "Ada" })
 * ```
 *
 * @throws LimitError `typeDepthMax` for a type over 1,000 levels.
 */
export function effectSchema(type: ValueType): ValueSchema {
  depth(type)
  return schemaOf(type)
}

/** Runs a codec that throws typed refusals; its message, with the path, becomes the schema's issue. */
const attempt = <A>(run: () => A): Effect.Effect<A, SchemaIssue.Issue> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(run())
    } catch (cause) {
      if (!(cause instanceof SteleError)) throw cause
      return Effect.fail(new SchemaIssue.InvalidValue({ message: cause.message }))
    }
  })

const fromJsonSchemas = new WeakMap<ValueType, Schema.Codec<unknown, unknown>>()

/**
 * A schema that decodes the JSON form into the host form and encodes back; its encoded side is plain JSON.
 *
 * @throws LimitError `typeDepthMax` for a type over 1,000 levels.
 */
export function effectSchemaFromJson(type: ValueType): Schema.Codec<unknown, unknown> {
  let schema = fromJsonSchemas.get(type)
  if (schema === undefined) {
    schema = Schema.Unknown.pipe(
      Schema.decodeTo(effectSchema(type), {
        decode: SchemaGetter.transformEffect((json: unknown) => attempt(() => fromJson(type, json))),
        encode: SchemaGetter.transformEffect((value: unknown): Effect.Effect<Json, SchemaIssue.Issue> => attempt(() => toJson(type, value))),
      }),
    )
    fromJsonSchemas.set(type, schema)
  }
  return schema
}

const nothing: ValueSchema = Schema.Undefined

/** The schemas of a function in host form; `result` is the ok payload of an outermost `result`, `error` its err payload. */
export function functionEffectSchema(func: FunctionType): FunctionSchema {
  const { ok, err } = answer(func)
  return {
    params: Schema.Tuple(func.params.map((param) => effectSchema(param.type))) as unknown as Schema.Codec<ReadonlyArray<unknown>, unknown>,
    result: ok === undefined ? nothing : effectSchema(ok),
    error: err === undefined ? nothing : effectSchema(err),
  }
}
