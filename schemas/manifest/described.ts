/** Parts of schemas of files that people write: each says to an editor what it is. */
import * as Schema from "effect/Schema"

/** The schema with the sentence that an editor shows for it. */
export const described = <S extends Schema.Top>(schema: S, description: string): S => schema.pipe(Schema.annotate({ description })) as unknown as S

/** Any text. */
export const text = (description: string) => described(Schema.String, description)

/** Text of 1 to `max` characters. */
export const line = (max: number, description: string) =>
  described(Schema.String.pipe(Schema.check(Schema.isBetweenLength(1, max, { expected: `1 to ${max} characters` }))), description)

/** Text of a form; `expected` says which. */
export const pattern = (regExp: RegExp, expected: string, description: string) =>
  described(Schema.String.pipe(Schema.check(Schema.isPattern(regExp, { expected }))), description)

/** Values by name. */
export const named = <S extends Schema.Top>(value: S, description: string) => described(Schema.Record(Schema.String, value), description)

/** The key by which an editor finds the schema of a file. */
export const schemaKey = Schema.optionalKey(text("Where an editor finds the schema of this file"))
