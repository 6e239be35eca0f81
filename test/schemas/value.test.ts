/** Round trips of the JSON and WAVE forms and of Effect Schemas over arbitrary types, and what each refuses. */
import * as Schema from "effect/Schema"
import fc from "../property.ts"
import t from "tap"
import { LimitError, WitError } from "../../schemas/error/mod.ts"
import { encodeBase64, fromBase64, toBase64 } from "../../schemas/value/base64.ts"
import { answerToJson, argumentsFromJson, fromJson, toJson } from "../../schemas/value/json.ts"
import { fromWave, toWave } from "../../schemas/value/wave.ts"
import { effectSchema, effectSchemaFromJson, functionEffectSchema } from "../../schemas/wit/effect-schema.ts"
import {
  borrow,
  enumeration,
  flags,
  func,
  list,
  option,
  own,
  primitive,
  record,
  resource,
  result,
  tuple,
  type ValueType,
  variant,
} from "../../schemas/wit/model.ts"
import { jsonSchema } from "../../schemas/wit/json-schema.ts"
import { typeText } from "../../schemas/wit/print.ts"
import { depth } from "../../schemas/wit/tree.ts"
import { arbitraryType, arbitraryValue, Coverage, sameValue } from "./arbitrary-type.ts"
import { replay, runsOf } from "../seed.ts"

const { bool, s8, u8, s16, u32, s64, u64, f32, f64, char, string } = primitive
const runs = runsOf(300)

/** The reason of the typed refusal that `run` throws; anything else it throws fails the test by escaping. */
function refusal(run: () => unknown): WitError["reason"] | LimitError["reason"] {
  try {
    run()
  } catch (error) {
    if (error instanceof WitError || error instanceof LimitError) return error.reason
    throw error
  }
  throw new Error("Nothing was refused")
}

t.comment(`${replay} STELE_TEST_RUNS=${runs}: ${runs} runs a property`)

t.test("JSON, WAVE and Effect Schema round-trip every value of every type", async (t) => {
  const coverage = new Coverage()
  const typed = arbitraryType().chain((type) => fc.tuple(fc.constant(type), arbitraryValue(type)))
  fc.assert(
    fc.property(typed, ([type, value]) => {
      coverage.type(type)
      const text = JSON.stringify(toJson(type, value))
      const wave = toWave(type, value)
      const schema = effectSchema(type)
      if (!sameValue(fromJson(type, JSON.parse(text)), value)) throw new Error(`JSON: ${text.slice(0, 500)}`)
      if (!sameValue(fromWave(type, wave), value)) throw new Error(`WAVE: ${wave.slice(0, 500)}`)
      if (!sameValue(Schema.decodeUnknownSync(schema)(value), value)) throw new Error("Effect Schema")
      if (!sameValue(Schema.decodeUnknownSync(effectSchemaFromJson(type))(JSON.parse(text)), value)) throw new Error("Effect Schema from JSON")
      if (!sameValue(JSON.stringify(Schema.encodeSync(effectSchemaFromJson(type))(value)), text)) throw new Error("Effect Schema to JSON")
    }),
    { numRuns: runs },
  )
  // A constructor that 300 trees do not reach would mean the generator lost it.
  t.comment(coverage.report())
  if (runs >= 300) t.strictSame(coverage.missing(), [])
})

t.test("no form throws anything but a typed refusal when given another type's value", async (t) => {
  let refused = 0
  const crossed = fc.tuple(
    arbitraryType({ levels: 2 }),
    arbitraryType({ levels: 2 }).chain((type) => arbitraryValue(type, { surrogates: true })),
  )
  const total = (run: () => unknown): void => {
    try {
      run()
    } catch (error) {
      if (!(error instanceof WitError)) throw error
      refused++
    }
  }
  fc.assert(
    fc.property(crossed, fc.json(), ([type, value], json) => {
      total(() => fromJson(type, value))
      total(() => fromJson(type, JSON.parse(json)))
      total(() => toJson(type, value))
      total(() => toWave(type, value))
    }),
    { numRuns: runs },
  )
  t.ok(refused > runs, `${refused} refusals`)
})

t.test("WAVE text changed at one place is read or refused with a position, never otherwise", async (t) => {
  let refused = 0
  const typed = arbitraryType({ levels: 2 }).chain((type) => fc.tuple(fc.constant(type), arbitraryValue(type, { listMax: 30 })))
  const change = fc.tuple(
    fc.nat(),
    fc.constantFrom("", "{", "}", "(", ")", "[", "]", ",", ":", '"', "'", "\\", "%", "-", "e", "0", " ", "\n", "//", '"""', "\ud800", "\u202e"),
  )
  fc.assert(
    fc.property(typed, change, ([type, value], [at, insert]) => {
      const text = toWave(type, value)
      const cut = at % (text.length + 1)
      const changed = text.slice(0, cut) + insert + text.slice(cut + 1)
      try {
        fromWave(type, changed)
      } catch (error) {
        if (!(error instanceof WitError) || error.reason._tag !== "Text") throw error
        refused++
        if (error.reason.line < 1 || error.reason.column < 1) throw error
      }
    }),
    { numRuns: runs },
  )
  t.ok(refused > runs / 10, `${refused} refusals`)
})

t.test("fromJson() reads the forms the contract names", async (t) => {
  const cases: ReadonlyArray<readonly [ValueType, unknown, unknown]> = [
    [u64, "18446744073709551615", 18446744073709551615n],
    [u64, 7, 7n],
    [s64, "-9223372036854775808", -9223372036854775808n],
    [f64, "NaN", Number.NaN],
    [f64, "-Infinity", Number.NEGATIVE_INFINITY],
    [f32, 0.1, Math.fround(0.1)],
    [f64, "-0", -0],
    [u8, -0, 0],
    [list(u8), "AP8=", Uint8Array.of(0, 255)],
    [list(s16), [-1, 2], Int16Array.of(-1, 2)],
    [list(u64), ["1", 2], BigUint64Array.of(1n, 2n)],
    [list(f32), [0.5, "NaN"], Float32Array.of(0.5, Number.NaN)],
    [record({ "max-bytes": u32, note: option(string) }), { maxBytes: 1 }, { maxBytes: 1, note: undefined }],
    [record({ note: option(string) }), { note: null }, { note: undefined }],
    [option(option(u8)), null, { tag: "none" }],
    [option(option(u8)), { tag: "some", val: null }, { tag: "some", val: undefined }],
    [option(option(u8)), { tag: "some", val: 1 }, { tag: "some", val: 1 }],
    [option(option(option(u8))), { tag: "some", val: { tag: "none" } }, { tag: "some", val: { tag: "none" } }],
    [variant({ days: u8, forever: undefined }), { tag: "days", val: 3 }, { tag: "days", val: 3 }],
    [variant({ days: u8, forever: undefined }), { tag: "forever", val: null }, { tag: "forever" }],
    [result(undefined, string), { tag: "ok" }, { tag: "ok" }],
    [enumeration("not-found"), "not-found", "not-found"],
    [flags("read", "write-all"), { writeAll: true }, { read: false, writeAll: true }],
    [tuple(char, bool), ["\u{1f600}", true], ["\u{1f600}", true]],
    [string, "a\ud800", "a\ufffd"],
    [string, "\u{feff}x", "\u{feff}x"],
  ]
  for (const [type, json, value] of cases) t.ok(sameValue(fromJson(type, json), value), `${type.kind} from ${JSON.stringify(json)}`)
})

t.test("fromJson() says where a value does not fit", async (t) => {
  const item = record({ name: string, size: u32 })
  const type = record({ items: list(item), kind: variant({ a: tuple(u8, u8), b: undefined }), more: option(string) })
  const good = { items: [{ name: "x", size: 1 }], kind: { tag: "b" } }
  const cases: ReadonlyArray<readonly [unknown, string, string, string]> = [
    [{ ...good, items: [good.items[0], { name: 5, size: 1 }] }, "args[0].items[1].name", "string", "number 5"],
    [{ ...good, items: [{ name: "x" }] }, "args[0].items[0].size", "u32", "undefined"],
    [{ ...good, items: [{ name: "x", size: 1.5 }] }, "args[0].items[0].size", "u32", "number 1.5"],
    [{ ...good, items: [{ name: "x", size: 2 ** 32 }] }, "args[0].items[0].size", "u32", "number 4294967296"],
    [{ ...good, items: {} }, "args[0].items", "list<record{name: string, size: u32}>", "object"],
    [{ ...good, kind: { tag: "a", val: [1, 256] } }, "args[0].kind.val[1]", "u8", "number 256"],
    [{ ...good, kind: { tag: "c" } }, "args[0].kind.tag", "a case of variant{a(tuple<u8, u8>), b}", 'string "c"'],
    [{ ...good, kind: { tag: "b", val: 1 } }, "args[0].kind.val", 'the empty payload of "b"', "number 1"],
    [
      { ...good, mroe: "x" },
      "args[0]",
      "part of record{items: list<record{name: string, size: u32}>, kind: variant{a(tuple<u8, u8>), b}, more: option<string>}",
      'unknown property "mroe"',
    ],
    [[], "args[0]", "record{items: list<record{name: string, size: u32}>, kind: variant{a(tuple<u8, u8>), b}, more: option<string>}", "array of 0"],
  ]
  for (const [json, path, expected, actual] of cases)
    t.strictSame(
      refusal(() => fromJson(type, json, "args[0]")),
      { _tag: "Value", path, expected, actual },
    )
  const error = new WitError("Value", { path: "args[0].name", expected: "string", actual: "number 5" })
  t.equal(error.message, "Cannot use number 5 as string at args[0].name")
})

t.test("fromJson() refuses what only looks like a value", async (t) => {
  const cases: ReadonlyArray<readonly [ValueType, unknown]> = [
    [u64, "18446744073709551616"],
    [u64, "-1"],
    [u64, "007"],
    [u64, "1e3"],
    [u64, " 1"],
    [u64, 2 ** 53],
    [u64, "9".repeat(1_000_000)],
    [s64, "9223372036854775808"],
    [s64, "-0"],
    [s8, 128],
    [f64, "nan"],
    [f64, "1"],
    [bool, 1],
    [char, ""],
    [char, "ab"],
    [char, "\ud800"],
    [char, "e\u0301"],
    [list(u8), [1, 2]],
    [list(u8), "AP8"],
    [list(u8), "AP9="],
    [list(u8), "A P8"],
    [list(u8), "_-8="],
    [list(u8), "===="],
    [list(u8), "AA=A"],
    [list(s8), "AP8="],
    [tuple(u8), [1, 2]],
    [tuple(u8, u8), [1]],
    [enumeration("a"), "constructor"],
    [variant({ a: undefined }), { tag: "toString" }],
    [variant({ a: undefined }), { tag: ["a"] }],
    [flags("a"), { a: 1 }],
    [flags("a"), { b: true }],
    [record({ a: u8 }), null],
    [record({ a: u8 }), Uint8Array.of(1)],
    [option(option(u8)), 1],
    [result(u8), { tag: "err", val: 1 }],
  ]
  for (const [type, json] of cases) t.equal(refusal(() => fromJson(type, json))._tag, "Value", `${type.kind} from ${String(JSON.stringify(json)).slice(0, 40)}`)
})

t.test("fromJson() reads own properties only, once, whatever their names", async (t) => {
  const type = record({ constructor: option(string), "to-string": option(u8), "value-of": u8 })
  t.strictSame(
    refusal(() => fromJson(type, {})),
    { _tag: "Value", path: "value.valueOf", expected: "u8", actual: "undefined" },
  )
  const read = fromJson(type, { valueOf: 1 }) as Record<string, unknown>
  t.strictSame([Object.keys(read), read["constructor"], read["toString"]], [["constructor", "toString", "valueOf"], undefined, undefined])
  // No kebab label is `__proto__`, but a type made by a program could have one.
  const evil: ValueType = { kind: "record", fields: [{ label: "__proto__", type: record({ polluted: bool }) }] }
  const value = fromJson(evil, JSON.parse('{"__proto__": {"polluted": true}}')) as object
  t.equal(Object.getPrototypeOf(value), Object.prototype)
  t.strictSame(Object.getOwnPropertyDescriptor(value, "__proto__")?.value, { polluted: true })
  t.equal(JSON.stringify(toJson(evil, value)), '{"__proto__":{"polluted":true}}')
  t.equal(({} as { polluted?: boolean }).polluted, undefined)
  const inherited = Object.create({ tag: "a", val: 1 }) as object
  t.equal(refusal(() => fromJson(variant({ a: u8 }), inherited))._tag, "Value")
  let reads = 0
  const counted = {
    get a() {
      return ++reads
    },
  }
  t.strictSame([fromJson(record({ a: u8 }), counted), reads], [{ a: 1 }, 1])
})

t.test("a message never carries what steers a terminal or a whole document", async (t) => {
  const hostile = `\u001b[2J\u202e${"x".repeat(100_000)}`
  for (const run of [
    () => fromJson(u8, hostile),
    () => fromJson(record({ a: option(u8) }), { [hostile]: 1 }),
    () => fromJson(u64, 10n ** 100_000n),
    () => fromWave(u8, hostile),
    () => fromWave(enumeration("a"), hostile),
    () => toJson(flags(...Array.from({ length: 10_000 }, (_, i) => `l${i}`)), 1),
  ]) {
    let message = ""
    try {
      run()
    } catch (error) {
      message = (error as Error).message
    }
    t.ok(message.length > 0 && message.length < 600 && !/[\u001b\u202e]/.test(message), message.slice(0, 60))
  }
})

t.test("a type's depth is bounded, and sharing costs nothing", async (t) => {
  let deep: ValueType = u8
  for (let i = 0; i < 100_000; i++) deep = list(deep)
  for (const run of [() => fromJson(deep, []), () => toJson(deep, []), () => fromWave(deep, "[]"), () => toWave(deep, []), () => effectSchema(deep)])
    t.strictSame(refusal(run), { _tag: "typeDepthMax", limit: 1_000, actual: 100_001 })
  let edge: ValueType = u8
  let text = "1"
  for (let i = 0; i < 999; i++) {
    edge = tuple(edge)
    text = `[${text}]`
  }
  t.equal(JSON.stringify(toJson(edge, fromJson(edge, JSON.parse(text)))), text)
  t.equal(toWave(edge, fromWave(edge, text.replaceAll("[", "(").replaceAll("]", ")"))).length, text.length)
  t.equal(refusal(() => fromJson(tuple(edge, edge), []))._tag, "typeDepthMax")
  let wide: ValueType = variant({ leaf: undefined })
  for (let i = 0; i < 90; i++) wide = variant({ leaf: undefined, left: wide, right: tuple(wide, wide) })
  t.strictSame(
    [fromJson(wide, { tag: "leaf" }), fromWave(wide, "leaf"), Schema.decodeUnknownSync(effectSchema(wide))({ tag: "leaf" })],
    Array(3).fill({ tag: "leaf" }),
  )
  t.equal(refusal(() => fromJson(u8, JSON.parse(`${"[".repeat(2_000)}${"]".repeat(2_000)}`)))._tag, "Value")
})

t.test("handles, streams and what else no value is written of have no form", async (t) => {
  const file = resource("file")
  const formless: Readonly<Record<string, ValueType>> = {
    file: own(file),
    "borrow<file>": borrow(file),
    "list<u8, 4>": { kind: "fixed-list", element: u8, length: 4 },
    "map<string, u8>": { kind: "map", key: string, value: u8 },
    "stream<u8>": { kind: "stream", element: u8 },
    future: { kind: "future" },
    "error-context": { kind: "error-context" },
  }
  for (const [shown, type] of Object.entries(formless)) {
    t.strictSame([typeText(type), depth(type)], [shown, shown.includes("u8") ? 2 : 1])
    t.equal(refusal(() => jsonSchema(type))._tag, "Inexpressible")
    t.strictSame(
      refusal(() => fromJson(list(type), [1])),
      { _tag: "Inexpressible", path: "value[0]", type: shown, form: "JSON" },
    )
    t.strictSame(
      refusal(() => toWave(tuple(type), [1])),
      { _tag: "Inexpressible", path: "value[0]", type: shown, form: "WAVE" },
    )
    t.equal(refusal(() => fromWave(type, "1"))._tag, "Inexpressible")
  }
})

t.test("argumentsFromJson() counts arguments and lets trailing options be absent", async (t) => {
  const greet = func({ name: string, title: option(string), loud: option(bool) }, result(string, u8))
  t.strictSame(argumentsFromJson("greet", greet, ["Ada"]), ["Ada", undefined, undefined])
  t.strictSame(argumentsFromJson("greet", greet, ["Ada", null, true]), ["Ada", undefined, true])
  t.strictSame(
    refusal(() => argumentsFromJson("greet", greet, [])),
    { _tag: "ArgumentCount", export: "greet", expected: 3, actual: 0 },
  )
  t.strictSame(
    refusal(() => argumentsFromJson("greet", greet, ["", "", true, 1])),
    { _tag: "ArgumentCount", export: "greet", expected: 3, actual: 4 },
  )
  t.strictSame(
    refusal(() => argumentsFromJson("greet", greet, { name: "Ada" })),
    { _tag: "Value", path: "args", expected: 'the 3 arguments of "greet" as an array', actual: "object" },
  )
  t.strictSame(
    refusal(() => argumentsFromJson("greet", greet, ["Ada", 5])),
    { _tag: "Value", path: "args[1]", expected: "string", actual: "number 5" },
  )
  t.equal(answerToJson(greet, "Hello"), "Hello")
  t.equal(answerToJson(func({}), undefined), null)
  const schema = functionEffectSchema(greet)
  t.strictSame(Schema.decodeUnknownSync(schema.params)(["Ada", undefined, true]), ["Ada", undefined, true])
  t.equal(Schema.decodeUnknownSync(schema.error)(7), 7)
})

t.test("effectSchema() refuses values outside the type with their path", async (t) => {
  const type = record({ items: list(record({ size: u32 })), id: u64 })
  const decode = Schema.decodeUnknownSync(effectSchema(type))
  t.throws(() => decode({ items: [{ size: -1 }], id: 1n }), { message: /\["items"\]\[0\]\["size"\]/ })
  t.throws(() => decode({ items: [], id: 1 }), { message: /\["id"\]/ })
  t.throws(() => decode({ items: [], id: 1n << 64n }), { message: /\["id"\]/ })
  t.throws(() => Schema.decodeUnknownSync(effectSchema(list(u8)))([1]), { message: /Uint8Array/ })
  t.throws(() => Schema.decodeUnknownSync(effectSchema(char))("ab"), { message: /Unicode scalar/ })
  t.throws(() => Schema.decodeUnknownSync(effectSchemaFromJson(type))({ items: [{ size: "x" }], id: "1" }), { message: /value\.items\[0\]\.size/ })
})

t.test("base64 is canonical and agrees with the platform's", async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const text = Buffer.from(bytes).toString("base64")
      return encodeBase64(bytes) === text && toBase64(bytes) === text && sameValue(fromBase64(text), Uint8Array.from(bytes))
    }),
  )
  for (const text of ["A", "AA", "AAA", "AAAA=", "AB==", "AAB=", "=AAA", "AA==AAAA", "AAA\u0141", "AAA\n"]) t.equal(fromBase64(text), undefined, text)
})
