/** `tests/*.json`: tests of a plugin as data, the same for every language. Values are in the JSON form of their WIT types. */
import * as Schema from "effect/Schema"
import { described, named, schemaKey, text } from "./described.ts"

/** Bytes in a test: text, written as UTF-8, or base64 of anything. */
const Bytes = Schema.Union([Schema.String, Schema.Struct({ base64: Schema.String })])
export type Bytes = typeof Bytes.Type

const Answer = described(
  Schema.Struct({
    method: Schema.optionalKey(text("Default GET")),
    url: text("The whole URL"),
    requestBody: Schema.optionalKey(described(Bytes, "What the plugin must send; absent: anything")),
    status: Schema.optionalKey(
      described(Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 100, maximum: 599 }, { expected: "a status from 100 to 599" }))), "Default 200"),
    ),
    headers: Schema.optionalKey(named(Schema.String, "Fields of the answer")),
    body: Schema.optionalKey(described(Bytes, "The answer's body")),
    json: Schema.optionalKey(described(Schema.Unknown, "The answer's body as JSON, with its content-type")),
  }),
  "A request that the plugin may make, and its answer",
)

const Fakes = described(
  Schema.Struct({
    clock: Schema.optionalKey(
      described(
        Schema.Struct({
          now: Schema.optionalKey(text("The wall clock's time, such as 2026-01-31T12:00:00Z (default: 2026-01-01T00:00:00Z)")),
          stepMs: Schema.optionalKey(
            described(
              Schema.Finite.pipe(Schema.check(Schema.isGreaterThanOrEqualTo(0, { expected: "milliseconds, 0 or more" }))),
              "How far each reading moves it (default 0)",
            ),
          ),
        }),
        "A clock that moves only as told, and by waiting",
      ),
    ),
    random: Schema.optionalKey(described(Schema.Struct({ seed: Schema.Int }), "A generator that gives the same bytes each time (default: seed 0)")),
    keyValue: Schema.optionalKey(named(Bytes, "What the store holds at first, by BUCKET/KEY")),
    config: Schema.optionalKey(named(Schema.String, "Settings by name")),
    secret: Schema.optionalKey(named(Schema.String, "Secrets by name")),
    http: Schema.optionalKey(described(Schema.Array(Answer), "Requests that are answered; any other fails the test")),
  }),
  "The world around the plugin in this test; what is absent is empty",
)
export type Fakes = typeof Fakes.Type

export const Case = Schema.Struct({
  name: Schema.optionalKey(text("What is shown for this test")),
  call: text("The export: its full name, interface#function, or the function alone"),
  arguments: Schema.optionalKey(
    described(
      Schema.Array(Schema.Unknown),
      'In the JSON form of the parameters\' types; {"$text": FILE} is the text of a file of the project, $bytes its bytes, $json the value in it',
    ),
  ),
  fakes: Schema.optionalKey(Fakes),
  deadlineMs: Schema.optionalKey(
    described(
      Schema.Finite.pipe(Schema.check(Schema.isGreaterThan(0, { expected: "milliseconds above 0" }))),
      "When the call is stopped (default: the manifest's)",
    ),
  ),
  result: Schema.optionalKey(described(Schema.Unknown, "What it must return, in the JSON form of its type; null where it returns nothing")),
  error: Schema.optionalKey(described(Schema.Unknown, "The payload of its own error, or the code of a failure, such as STELE-LIM-0010")),
  after: Schema.optionalKey(
    described(Schema.Struct({ keyValue: Schema.optionalKey(named(Bytes, "All that the store holds then")) }), "The world as the plugin must leave it"),
  ),
  log: Schema.optionalKey(described(Schema.Array(Schema.String), "Messages that it must write, in this order")),
}).pipe(Schema.annotate({ identifier: "case", description: "One call and what must come of it" }))
export type Case = typeof Case.Type

export const TestFile = Schema.Struct({
  $schema: schemaKey,
  tests: described(Schema.Array(Case), "The tests, each in a world of its own"),
}).pipe(Schema.annotate({ identifier: "tests", title: "Tests of a plugin", description: "Tests of a plugin" }))
export type TestFile = typeof TestFile.Type
