/** WAVE by the examples and rules of its README (schemas/wit/README.md pins the commit). */
import t from "tap"
import { WitError } from "../../schemas/error/mod.ts"
import { argumentsFromWave, fromWave, toWave } from "../../schemas/value/wave.ts"
import { enumeration, flags, func, list, option, primitive, record, result, tuple, type ValueType, variant } from "../../schemas/wit/model.ts"
import { sameValue } from "./arbitrary-type.ts"

const { bool, s8, u8, s32, s64, u64, f32, f64, char, string } = primitive

t.test("fromWave() reads the forms of the README", async (t) => {
  const response = variant({ empty: undefined, body: list(u8), err: string })
  const status = enumeration("ok", "not-found")
  const keywordFields = record({ true: bool, some: option(u8), none: option(u8), ok: result(), nan: f32 })
  const cases: ReadonlyArray<readonly [ValueType, string, unknown]> = [
    [bool, "true", true],
    [s8, "-9", -9],
    [u64, "18446744073709551615", 18446744073709551615n],
    [f64, "6.022e+23", 6.022e23],
    [f64, "0e-1", 0],
    [f64, "-0.0e-0", -0],
    [f64, "1e007", 1e7],
    [f32, "3.4028234664e39", Number.POSITIVE_INFINITY],
    [f32, "1.4012984643e-46", 0],
    [list(f32), "[nan, inf, -inf,]", Float32Array.of(Number.NaN, Infinity, -Infinity)],
    [char, "'x'", "x"],
    [char, "'\\''", "'"],
    [char, "'\"'", '"'],
    [char, "'\\u{0}'", "\0"],
    [char, "'\\u{01F600}'", "\u{1f600}"],
    [string, '"abc\\t123"', "abc\t123"],
    [string, '"\\\\\\\'\\"\\t\\n\\r"', "\\'\"\t\n\r"],
    [string, '"☃\\u{2603}\\u{002603}"', "☃☃☃"],
    [string, '"// no comment"', "// no comment"],
    [string, '"""\nA single line\n"""', "A single line"],
    [string, '"""\n"""', ""],
    [string, '"""\n    Indentation determined\n      by ending delimiter\n  """', "  Indentation determined\n    by ending delimiter"],
    [string, '"""\r\n  a\r\n\r\n  b\\r\r\n  """', "a\n\nb\r"],
    [string, '"""\n  double quotes: ""\\""\n  """', 'double quotes: """"'],
    [string, '"""\n\nEmpty leading and trailing lines are retained\n\n"""', "\nEmpty leading and trailing lines are retained\n"],
    [tuple(string, s32), '("abc", 123)', ["abc", 123]],
    [list(char), "[]", []],
    [list(u8), "[79, 75,]", Uint8Array.of(79, 75)],
    [list(s64), "[-1]", BigInt64Array.of(-1n)],
    [record({ "must-have": u8, optional: option(u8) }), "{must-have: 123}", { mustHave: 123, optional: undefined }],
    [record({ "must-have": u8, optional: option(u8) }), "{optional: none, %must-have: 123,}", { mustHave: 123, optional: undefined }],
    [record({ optional: option(u8) }), "{:}", { optional: undefined }],
    [record({ optional: option(option(u8)) }), "{ : }", { optional: { tag: "none" } }],
    [keywordFields, "{true: true, some: some(1), none: none, ok: ok, nan: nan}", { true: true, some: 1, none: undefined, ok: { tag: "ok" }, nan: Number.NaN }],
    [response, "empty", { tag: "empty" }],
    [response, "body([79, 75])", { tag: "body", val: Uint8Array.of(79, 75) }],
    [response, '%err("oops")', { tag: "err", val: "oops" }],
    [status, "%ok", "ok"],
    [status, "not-found", "not-found"],
    [option(u8), "123", 123],
    [option(u8), "some( 123 )", 123],
    [option(status), "%ok", "ok"],
    [option(string), '"flat some"', "flat some"],
    [option(option(u8)), "some(none)", { tag: "some", val: undefined }],
    [option(option(u8)), "some(1)", { tag: "some", val: 1 }],
    [option(result(u8)), "some(ok(1))", { tag: "ok", val: 1 }],
    [result(u8), "123", { tag: "ok", val: 123 }],
    [result(undefined, string), "ok", { tag: "ok" }],
    [result(undefined, string), 'err("oops")', { tag: "err", val: "oops" }],
    [result(), "err", { tag: "err" }],
    [flags("read", "write", "exec"), "{write, read,}", { read: true, write: true, exec: false }],
    [flags("read", "true"), "{%read, true}", { read: true, true: true }],
    [flags("read"), "{}", { read: false }],
    [enumeration("HTTP3", "method-GET", "a-1"), "method-GET", "method-GET"],
    [enumeration("HTTP3", "method-GET", "a-1"), "a-1", "a-1"],
    [tuple(u8, u8), "// first\n ( 1 // one\n , 2 ) // end", [1, 2]],
  ]
  for (const [type, text, value] of cases) t.ok(sameValue(fromWave(type, text), value), `${type.kind} from ${text}`)
})

t.test("fromWave() refuses what the README and the crate's own tests refuse", async (t) => {
  const rec = record({ required: u8, optional: option(u8) })
  const cases: ReadonlyArray<readonly [ValueType, string]> = [
    ...["\\u{d800}", "\\u{dcff}", "\\u{110000}", "\\u{ffffffff}", "\\u{-1}", "\\u{+1}", "\\u{}", "\\j", "\n", "\\"].map(
      (inner) => [string, `"${inner}"`] as const,
    ),
    ...[
      '"""',
      '""""""',
      '""" """',
      '""""\n"""',
      '"""\n""',
      '"""\n""""',
      '"""extra\n"""',
      '"""\nextra"""',
      '"""\n  """\n  """',
      '"""\n  a """ b\n  """',
      '"""\n\\u{d800}\n"""',
      '"""\n a\n  """',
      "",
    ].map((text) => [string, text] as const),
    ...["''", "'ab'", "'\n'", "'", "'a", "'''", "'\\'", "x", "'\ud800'"].map((text) => [char, text] as const),
    ...["-nan", "NaN", "infinity", "-infinity", "Infinity", "Inf", "-Inf", "INF", ".5", "5.", "+1", "0x10", "01", "1e", "%nan", "nan0", "1_000", "inf inf"].map(
      (text) => [f64, text] as const,
    ),
    ...["256", "-1", "1.0", "1e2", "1a", "--1", "- 1", "１", "99999999999999999999999", ""].map((text) => [u8, text] as const),
    ...["TRUE", "%true", "1", "true false", "truefalse", "true,"].map((text) => [bool, text] as const),
    ...[
      "{optional: none}",
      "{required: 0, required: 0}",
      "{required: 0, optional: none, optional: none}",
      "{required: 0,,}",
      "{, required: 0}",
      "{}",
      "{:}",
      "{required 0}",
      "{required: 0",
      "{Required: 0}",
      "{required: 0, x: 1}",
    ].map((text) => [rec, text] as const),
    ...["{a, a}", "{a, b}", "{,}", "{a b}", "{:}", "{a: true}"].map((text) => [flags("a"), text] as const),
    ...["ok", "%x", "ok(1)", "%ok(1)", "%%ok", "o k", "-a", "a-", "a--b", "aB"].map((text) => [enumeration("ok", "a"), text] as const),
    ...["a", "a()", "a(1", "a(1, 2)", "b(1)", "a 1", "c"].map((text) => [variant({ a: u8, b: undefined }), text] as const),
    ...["some", "none(1)", "some()", "some(some(1))", "%none", "null"].map((text) => [option(u8), text] as const),
    [option(option(u8)), "1"],
    [option(result(u8)), "1"],
    [option(result(u8)), "ok(1)"],
    [result(option(u8)), "1"],
    [result(u8), "ok"],
    [result(u8), "err(1)"],
    [result(undefined, u8), "1"],
    ...["[1", "[1 2]", "[,]", "[1,,]", "1]", "(1)", "[256]"].map((text) => [list(u8), text] as const),
    ...["(1)", "(1, 2, 3)", "1, 2", "[1, 2]"].map((text) => [tuple(u8, u8), text] as const),
  ]
  for (const [type, text] of cases) {
    let reason = "read"
    try {
      fromWave(type, text)
    } catch (error) {
      reason = error instanceof WitError ? error.reason._tag : String(error)
    }
    t.equal(reason, "Text", `${type.kind} from ${JSON.stringify(text)}`)
  }
})

t.test("fromWave() puts a caret under the mistake", async (t) => {
  const type = record({ name: string, tags: list(u8) })
  const message = (text: string): string => {
    try {
      fromWave(type, text, "args[0]")
    } catch (error) {
      return (error as WitError).message
    }
    return ""
  }
  t.equal(
    message('{name: "Ada", tags: [1, 300]}'),
    [
      "Cannot read WAVE text for args[0] at line 1, column 25: 300 is outside u8, which is 0 to 255",
      '  {name: "Ada", tags: [1, 300]}',
      "                          ^",
    ].join("\n"),
  )
  t.equal(
    message('{\n  name: "Ada",\n  size: 3,\n}'),
    ['Cannot read WAVE text for args[0] at line 3, column 3: "size" is no field of record{name: string, tags: list<u8>}', "    size: 3,", "    ^"].join("\n"),
  )
  t.equal(message(`{name: "${"x".repeat(200)}", tags: [256]}`).split("\n")[1], `  …${"x".repeat(20)}", tags: [256]}`)
  t.match(message('{name: "\u{1f600}", tags: 1}'), /column 19: expected list<u8>/)
})

t.test("fromWave() takes time linear in the text", async (t) => {
  const blanks = `${" \n// c\n".repeat(200_000)}1`
  t.equal(fromWave(u8, blanks), 1)
  t.equal((fromWave(string, `"${"\\n".repeat(200_000)}"`) as string).length, 200_000)
  const wide = enumeration(...Array.from({ length: 5_000 }, (_, i) => `l${i}`))
  t.equal((fromWave(list(wide), `[${"l4999,".repeat(100_000)}]`) as Array<string>).length, 100_000)
  t.throws(() => fromWave(u64, "9".repeat(1_000_000)), { code: "STELE-WIT-0004" })
})

t.test("toWave() writes what the README shows, invisible characters escaped", async (t) => {
  const cases: ReadonlyArray<readonly [ValueType, unknown, string]> = [
    [f64, 1e21, "1e+21"],
    [f64, -0, "-0"],
    [f32, Number.NEGATIVE_INFINITY, "-inf"],
    [char, "'", "'\\''"],
    [string, `'"\\\u{feff}\u202e☃\0`, `"'\\"\\\\\\u{feff}\\u{202e}☃\\u{0}"`],
    [option(option(u8)), { tag: "some", val: undefined }, "some(none)"],
    [result(undefined, u8), { tag: "ok" }, "ok"],
    [variant({ ok: u8 }), { tag: "ok", val: 1 }, "%ok(1)"],
    [enumeration("none"), "none", "%none"],
    [record({ "field-a": u8, some: option(u8) }), { fieldA: 1, some: undefined }, "{field-a: 1, some: none}"],
    [flags("read", "write-all"), { read: false, writeAll: true }, "{write-all}"],
    [list(u8), Uint8Array.of(1, 2), "[1, 2]"],
    [tuple(u64), [1n], "(1)"],
  ]
  for (const [type, value, text] of cases) t.equal(toWave(type, value), text)
  t.throws(() => toWave(record({ a: list(u8) }), { a: [1, "x"] }), { message: 'Cannot use string "x" as u8 at value.a[1]' })
  t.throws(() => toWave(variant({ a: undefined }), { tag: "b" }), { message: 'Cannot use string "b" as a case of variant{a} at value.tag' })
})

t.test("argumentsFromWave() lets trailing options be absent", async (t) => {
  const f = func({ a: option(u8), b: option(u8), c: option(option(u8)) })
  t.strictSame(argumentsFromWave(f, "(some(1))"), [1, undefined, { tag: "none" }])
  t.strictSame(argumentsFromWave(f, "(some(1), none, none,)"), [1, undefined, { tag: "none" }])
  t.strictSame(argumentsFromWave(f, "()"), [undefined, undefined, { tag: "none" }])
  for (const text of ["", "(1, 2, 3, 4)", "(1) 2", "(1"]) t.throws(() => argumentsFromWave(f, text), { code: "STELE-WIT-0004" })
  t.throws(() => argumentsFromWave(func({ a: u8 }), "()"), { message: /argument "a" is missing/ })
})
