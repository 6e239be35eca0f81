/** `plugins/sdk/json.as.ts` against JSON.parse and JSON.stringify, and what is hostile. */
import t from "tap"
import { many, openGuest, random } from "./sdk/guest.ts"

t.setTimeout(300_000)

const guest = await openGuest(
  `package acme:texts; world texts {
  export echo: func(text: string, sorted: bool, indent: s32) -> result<string, string>;
  export parse: func(text: string, depth-max: s32, units-max: s32, values-max: s32) -> result<string, tuple<u8, s32, s32, s32>>;
  export get: func(text: string, names: list<string>) -> list<string>;
  export figure: func(text: string) -> string;
  export build: func(count: u32) -> string;
  export units: func(units: list<u16>) -> string;
  export trap: func(what: u8) -> string;
}`,
  `import { Json, JsonKind, JsonLimits } from "../bindings/sdk/json"
import { err, ok, Result, Tuple4 } from "../bindings/runtime"
export function echo(text: string, sorted: bool, indent: i32): Result<string, string> {
  const read = Json.parse(text)
  return read.isErr ? err<string, string>(read.error.toString()) : ok<string, string>(read.value.write(sorted, indent))
}
export function parse(text: string, depthMax: i32, unitsMax: i32, valuesMax: i32): Result<string, Tuple4<u8, i32, i32, i32>> {
  const limits = new JsonLimits()
  limits.depthMax = depthMax; limits.unitsMax = unitsMax; limits.valuesMax = valuesMax
  const read = Json.parse(text, limits)
  if (read.isOk) return ok<string, Tuple4<u8, i32, i32, i32>>(read.value.toString())
  const e = read.error
  return err<string, Tuple4<u8, i32, i32, i32>>(new Tuple4<u8, i32, i32, i32>(<u8>e.reason, e.offset, e.line, e.column))
}
export function get(text: string, names: string[]): string[] {
  const json = Json.parse(text).value
  const out: string[] = []
  for (let i = 0; i < names.length; i++) {
    const found = json.get(names[i])
    out.push(found === null ? "none" : found.toString())
    if (json.has(names[i]) != (found !== null)) unreachable()
  }
  for (let i = 0; i < json.length; i++) if (json.get(json.nameAt(i)) !== json.at(i)) unreachable()
  return out
}
export function figure(text: string): string {
  const json = Json.number(text)
  if (json === null) return "no number"
  const n = json as Json
  return n.numberText + " " + (n.fitsI64 ? n.asI64.toString() : "-") + " " + (n.fitsU64 ? n.asU64.toString() : "-") + " " + reinterpret<u64>(n.asF64).toString()
}
export function build(count: u32): string {
  const object = Json.object()
  for (let i: u32 = 0; i < count; i++) object.set("k" + ((i * 7919) % count).toString(), Json.unsigned(i))
  for (let i: u32 = 0; i < count; i += 2) object.set("k" + i.toString(), Json.string("again"))
  if (count > 3 && (!object.delete("k3") || object.delete("k3") || object.has("k3"))) unreachable()
  const array = Json.array().push(Json.null_).push(Json.boolean(true)).push(Json.integer(i64.MIN_VALUE)).push(Json.unsigned(u64.MAX_VALUE))
  array.push(Json.float(1)).push(Json.float(-0.5)).push(Json.float(1e300)).push(Json.float(-0.0)).push(Json.string("a\\"b"))
  return Json.object().set("o", object).set("a", array).toString()
}
export function units(units: StaticArray<u16>): string { return Json.string(String.UTF16.decodeUnsafe(changetype<usize>(units), units.length << 1)).toString() }
export function trap(what: u8): string {
  const array = Json.array().push(Json.string("x"))
  if (what == 0) return array.at(1).toString()
  if (what == 1) return array.asString
  if (what == 2) return Json.string("1").numberText
  if (what == 3) return Json.float(NaN).toString()
  if (what == 4) return Json.number("1.5")!.asI64.toString()
  if (what == 5) return array.nameAt(0)
  if (what == 6) return array.get("x")!.toString()
  if (what == 7) return Json.null_.length.toString()
  return array.at(0).asString
}
`,
)
t.teardown(() => guest[Symbol.asyncDispose]())

const reasons = ["unexpected", "end", "control", "escape", "number", "duplicate", "depthMax", "unitsMax", "valuesMax"]
/** What the guest says of a text: what it writes, or why it is refused and where. */
function read(
  text: string,
  depthMax = 128,
  unitsMax = 1 << 24,
  valuesMax = 1_000_000,
): string | readonly [reason: string, offset: number, line: number, column: number] {
  try {
    return guest.call("parse", text, depthMax, unitsMax, valuesMax) as string
  } catch (error) {
    const [reason, offset, line, column] = (error as { readonly reason: { readonly payload: readonly [number, number, number, number] } }).reason.payload
    return [reasons[reason] as string, offset, line, column]
  }
}
const echo = (text: string, isSorted = false, indent = 0): string => guest.call("echo", text, isSorted, indent) as string
const parses = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

type Value = null | boolean | number | string | ReadonlyArray<Value> | { readonly [name: string]: Value }
function value({ below, bits }: ReturnType<typeof random>, depth: number): Value {
  const characters = [
    "a",
    "Z",
    "0",
    " ",
    '"',
    "\\",
    "/",
    "\b",
    "\f",
    "\n",
    "\r",
    "\t",
    "\u0000",
    "\u001f",
    "\u007f",
    "é",
    "\u2028",
    "€",
    "😀",
    "\ud800",
    "\udfff",
    "\uffff",
  ]
  const text = (): string =>
    Array.from({ length: below(4) === 0 ? below(40) : below(6) }, () => (below(2) === 0 ? "x" : (characters[below(characters.length)] as string))).join("")
  switch (below(depth > 0 ? 9 : 5)) {
    case 0:
      return null
    case 1:
      return below(2) === 0
    case 2:
      return Number(bits(40)) - 2 ** 39
    case 3:
      return Number(bits(50)) / 2 ** below(60)
    case 4:
      return text()
    case 5:
    case 6:
      return Array.from({ length: below(6) }, () => value({ below, bits }, depth - 1))
    default:
      return Object.fromEntries(
        Array.from({ length: below(3) === 0 ? below(40) : below(5) }, () => [`${text()}_${below(50)}`, value({ below, bits }, depth - 1)]),
      )
  }
}
/** A component's text has no half of a pair: those of the values are written as escapes, as JSON.stringify does. */
const t1 = random(41n)

t.test("what JSON.stringify writes is read, and written as it was, in one line, in many and in order", (t) => {
  const sorted = (of: Value): Value =>
    of !== null && typeof of === "object"
      ? Array.isArray(of)
        ? of.map(sorted)
        : Object.fromEntries(
            Object.entries(of)
              .sort(([a], [b]) => (a < b ? -1 : 1))
              .map(([name, member]) => [name, sorted(member as Value)]),
          )
      : of
  for (let i = 0; i < many(2_000); i++) {
    const original = value(t1, 5)
    const text = JSON.stringify(original)
    if (echo(text) !== text) t.equal(echo(text), text)
    const wide = JSON.stringify(original, null, 3)
    if (echo(text, false, 3) !== wide) t.equal(echo(text, false, 3), wide)
    if (echo(wide.replaceAll("\n", "\r\n\t ")) !== text) t.equal(echo(wide.replaceAll("\n", "\r\n\t ")), text)
    const ordered = JSON.stringify(sorted(original))
    if (echo(text, true) !== ordered) t.equal(echo(text, true), ordered)
  }
  t.pass("all alike")
  t.end()
})

t.test("a text is read just where JSON.parse reads it, but for two members of one name", (t) => {
  const { below, bits } = random(42n)
  const pieces = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"',
    '"a"',
    '"b":',
    "1",
    "-",
    "0",
    ".",
    "e",
    "+",
    "E5",
    "01",
    "true",
    "fals",
    "null",
    "\\",
    "\\u00",
    "\\n",
    " ",
    "\n",
    "\u0001",
    "\ufeff",
    "é",
    "/",
    "'",
  ]
  let valid = 0
  for (let i = 0; i < many(10_000); i++) {
    let text: string
    if (below(2) === 0) text = Array.from({ length: 1 + below(8) }, () => pieces[below(pieces.length)] as string).join("")
    else {
      const whole = JSON.stringify(value({ below, bits }, 3))
      const at = below(whole.length + 1)
      text = whole.slice(0, at) + (below(2) === 0 ? (pieces[below(pieces.length)] as string) : "") + whole.slice(at + below(2))
      if (!text.isWellFormed()) continue
    }
    const got = read(text)
    const isRead = typeof got === "string"
    if (isRead) valid += 1
    if (Array.isArray(got) && got[0] === "duplicate") continue
    if (isRead !== parses(text)) t.fail(`${JSON.stringify(text)}: ${JSON.stringify(got)}`)
    else if (isRead && JSON.stringify(JSON.parse(got)) !== JSON.stringify(JSON.parse(text))) t.fail(`${JSON.stringify(text)} is ${got}`)
  }
  t.ok(valid > many(10_000) / 20, `${valid} were valid`)
  t.end()
})

t.test("what is refused is refused at its place", (t) => {
  const cases: ReadonlyArray<readonly [string, string, number, number, number]> = [
    ["", "end", 0, 1, 1],
    [" \n ", "end", 3, 2, 2],
    ["[1,\n 2,]", "unexpected", 7, 2, 4],
    ['{"a":1,}', "unexpected", 7, 1, 8],
    ["{a:1}", "unexpected", 1, 1, 2],
    ['{"a" 1}', "unexpected", 5, 1, 6],
    ["[1 2]", "unexpected", 3, 1, 4],
    ["[1}", "unexpected", 2, 1, 3],
    ["1 1", "unexpected", 2, 1, 3],
    ["nul", "unexpected", 0, 1, 1],
    ["[", "end", 1, 1, 2],
    ['"abc', "end", 4, 1, 5],
    ['"ab\\', "end", 4, 1, 5],
    ["\r\n\r\n  x", "unexpected", 6, 3, 3],
    ["\r\rx", "unexpected", 2, 3, 1],
    ['"a\tb"', "control", 2, 1, 3],
    ['["\\x"]', "escape", 2, 1, 3],
    ['"\\u12g4"', "escape", 1, 1, 2],
    ['"\\u12"', "escape", 1, 1, 2],
    ["01", "number", 1, 1, 2],
    ["-a", "number", 1, 1, 2],
    ["-", "end", 1, 1, 2],
    ["1.", "end", 2, 1, 3],
    ["1.e5", "number", 2, 1, 3],
    ["1e+", "end", 3, 1, 4],
    ["\ufeff1", "unexpected", 0, 1, 1],
    ["\u0000", "unexpected", 0, 1, 1],
    ['{"a":1,\n"b":2,\n"a":3}', "duplicate", 15, 3, 1],
    ['{"\\u0061":1,"a":2}', "duplicate", 12, 1, 13],
  ]
  for (const [text, ...expected] of cases) t.strictSame(read(text), expected, JSON.stringify(text))
  // Of many members they are found when the object ends, and shown where they are.
  const names = Array.from({ length: 30 }, (_, i) => `"n${i}": {"n1": [{"x":1},"]","}\\""]}`)
  const text = `[{${names.join(",")}, "n7" : 1, "n5": 2}]`
  t.strictSame((read(text) as ReadonlyArray<unknown>).slice(0, 2), ["duplicate", text.indexOf('"n7" :')])
  try {
    t.fail(echo("[1,\n 2,]"))
  } catch (error) {
    t.match(error, { reason: { payload: "Cannot read JSON at line 2, column 4: this is not expected here" } })
  }
  t.end()
})

t.test("limits have names, and hostile texts end within them", (t) => {
  t.strictSame((read("[".repeat(129)) as ReadonlyArray<unknown>).slice(0, 2), ["depthMax", 128])
  t.equal(read(`${"[".repeat(128)}${"]".repeat(128)}`), `${"[".repeat(128)}${"]".repeat(128)}`)
  t.strictSame((read('{"a":'.repeat(300_000)) as ReadonlyArray<unknown>).slice(0, 2), ["depthMax", 640])
  const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`
  t.equal(read(deep, 100_000), deep, "no stack is needed for depth")
  t.strictSame(read("[1,2,3]", 1, 6), ["unitsMax", 0, 1, 1])
  t.strictSame(read("[1,2,3]", 1, 7, 3), ["valuesMax", 5, 1, 6])
  t.equal(read("[1,2,3]", 1, 7, 4), "[1,2,3]")
  t.strictSame(read("[]", 0), ["depthMax", 0, 1, 1])
  // Quadratic in anything, these would take minutes.
  const began = performance.now()
  const members = `{${Array.from({ length: 100_000 }, (_, i) => `"${i}":0`).join(",")}}`
  t.equal(read(members), members)
  t.equal(read(members.replace(/0}$/, '0,"99999":1}')).at(0), "duplicate")
  t.equal(typeof read(`"${"\\n".repeat(1_000_000)}"`), "string")
  t.equal(typeof read(`[${"1,".repeat(400_000)}1]`), "string")
  t.ok(performance.now() - began < 20_000)
  t.end()
})

t.test("members are found by name, in few and in many", (t) => {
  for (const count of [0, 1, 7, 8, 9, 10, 33, 500]) {
    const names = Array.from({ length: count }, (_, i) => `n${(i * 7) % 501}`)
    const text = JSON.stringify(Object.fromEntries(names.map((name, i) => [name, i])))
    t.strictSame(guest.call("get", text, [...names, "none", ""]), [...names.map((_, i) => `${i}`), "none", "none"])
  }
  t.end()
})

t.test("numbers keep their text, and are integers or floats where they fit", (t) => {
  const numberOf = (text: string): string => guest.call("figure", text) as string
  for (const text of ["", "+1", "01", "1.", ".5", "1e", "0x1", "1 ", " 1", "NaN", "Infinity", "--1", "1.5.5"]) t.equal(numberOf(text), "no number", text)
  const fits = (text: string): ReadonlyArray<string> => numberOf(text).split(" ").slice(0, 3)
  t.strictSame(fits("0.10"), ["0.10", "-", "-"])
  t.strictSame(fits("-0"), ["-0", "0", "-"])
  t.strictSame(fits("9007199254740993"), ["9007199254740993", "9007199254740993", "9007199254740993"])
  t.strictSame(fits("9223372036854775807"), ["9223372036854775807", "9223372036854775807", "9223372036854775807"])
  t.strictSame(fits("9223372036854775808"), ["9223372036854775808", "-", "9223372036854775808"])
  t.strictSame(fits("-9223372036854775808"), ["-9223372036854775808", "-9223372036854775808", "-"])
  t.strictSame(fits("-9223372036854775809"), ["-9223372036854775809", "-", "-"])
  t.strictSame(fits("18446744073709551615"), ["18446744073709551615", "-", "18446744073709551615"])
  t.strictSame(fits("18446744073709551616"), ["18446744073709551616", "-", "-"])
  t.strictSame(fits("100000000000000000000"), ["100000000000000000000", "-", "-"])
  t.strictSame(fits("1e3"), ["1e3", "-", "-"])
  const { below, bits } = random(43n)
  const view = new DataView(new ArrayBuffer(8))
  const bitsOf = (value: number): bigint => {
    view.setFloat64(0, value)
    return view.getBigUint64(0)
  }
  const texts = [
    "0",
    "-0",
    "0e999",
    "5e-324",
    "2.4703282292062327e-324",
    "2.4703282292062328e-324",
    "1.7976931348623157e308",
    "1.7976931348623158e308",
    "1.7976931348623159e308",
  ]
  texts.push(
    "1e999999999999",
    "-1e-999999999999",
    "9007199254740993",
    "9007199254740992.99999999999999999",
    `0.${"0".repeat(400)}1`,
    `1${"0".repeat(308)}`,
    "2.2250738585072011e-308",
  )
  for (let i = 0; i < many(2_000); i++) {
    view.setBigUint64(0, bits(64))
    const float = view.getFloat64(0)
    if (Number.isFinite(float)) texts.push(`${float}`, float.toExponential(below(20)), float.toExponential(20))
    texts.push(`${below(100_000)}.${below(1_000_000)}e${below(10)}`, `${bits(70)}e${below(600) - 320}`, `${bits(120)}.${bits(100)}`)
    // The exact middle of two floats, and just above and below it: up to 767 digits.
    if (i % 10 !== 0) continue
    const exponent = below(1060) - 1074
    const middle = ((bits(52) | (1n << 52n)) << 1n) + 1n
    const exact = exponent > 0 ? `${middle << BigInt(exponent - 1)}` : `${middle * 5n ** BigInt(1 - exponent)}e${exponent - 1}`
    texts.push(exact, exact.replace("e", `.${"0".repeat(below(900))}1e`), exact.replace("e", ".0e"))
  }
  const wrong = texts.find((text) => BigInt(numberOf(text).split(" ")[3] as string) !== bitsOf(Number(text)))
  t.equal(wrong, undefined, `${texts.length} texts are the float that is nearest`)
  t.end()
})

t.test("values are built and written", (t) => {
  for (const count of [1, 5, 31, 1000]) {
    const object: Record<string, unknown> = {}
    for (let i = 0; i < count; i++) object[`k${(i * 7919) % count}`] = i
    for (let i = 0; i < count; i += 2) object[`k${i}`] = "again"
    delete object["k3"]
    const expected = JSON.stringify({ o: object, a: [null, true, 0, 0, 1, -0.5, 1e300, 0, 'a"b'] }).replace(
      "true,0,0",
      "true,-9223372036854775808,18446744073709551615",
    )
    t.equal((guest.call("build", count) as string).replace("1e300", "1e+300"), expected)
  }
  const units = [0x41, 0xd800, 0x42, 0xdc00, 0xd83d, 0xde00, 0xd83d, 0x22, 0x1f]
  t.equal(guest.call("units", Uint16Array.from(units)), JSON.stringify(String.fromCharCode(...units)))
  t.end()
})

t.test("wrong use traps, and 5,000 calls leave the memory as it was", async (t) => {
  for (let what = 0; what < 8; what++) await t.rejects(guest.plugin.call("trap", [what]), { code: "STELE-PLG-0002" }, `${what}`)
  t.equal(await guest.plugin.call("trap", [8]), "x")
  const text = JSON.stringify(Array.from({ length: 20 }, (_, i) => ({ name: `n\n${i}`, price: i / 100, tags: ["a", null, true] })))
  const calls = (): void => void [echo(text), read(`${text},`)]
  for (let i = 0; i < 100; i++) calls()
  const before = await guest.peak("echo", text, false, 0)
  for (let i = 0; i < 5_000; i++) calls()
  t.equal(await guest.peak("echo", text, false, 0), before)
})
