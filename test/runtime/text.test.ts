/** What the command line reads and writes: words, quantities, arguments, values, pictures. */
import fc from "../property.ts"
import t from "tap"
import { ConfigError, PluginError, WitError } from "../../schemas/error/mod.ts"
import { toJson } from "../../schemas/value/json.ts"
import { fromWave, toWave } from "../../schemas/value/wave.ts"
import { enumeration, func, list, option, primitive, record, tuple, type ValueType, variant } from "../../schemas/wit/model.ts"
import { parseArguments } from "../../runtime/cli/argument.ts"
import { findExport } from "../../runtime/service/export.ts"
import { colourWave, prettyLines } from "../../runtime/cli/pretty.ts"
import { stderrLog } from "../../runtime/cli/ports.ts"
import { bytesText, countText, parseBytes, parseCount, parseDuration, parseLimit, timeText } from "../../runtime/cli/quantity.ts"
import { at, errorJson, errorLines } from "../../runtime/cli/report.ts"
import { palette, table, wantsColour, wrap } from "../../runtime/cli/terminal.ts"
import { bar, boxPlot, numberText, pictureLines, signedBar } from "../../runtime/up/picture.ts"
import { splitWords } from "../../runtime/up/words.ts"
import { arbitraryType, arbitraryValue, sameValue } from "../schemas/arbitrary-type.ts"
import { replay } from "../seed.ts"

const { string, u32, u8, f64, bool, char } = primitive
t.comment(`${replay} replays`)
const plain = palette(false)

t.test("`splitWords()` joins quoted and bracketed words when they hold blanks", async (t) => {
  for (const [line, words] of [
    ["call a b", ["call", "a", "b"]],
    ["  a\t b  ", ["a", "b"]],
    ['greet {name: "Ada B"} x', ["greet", '{name: "Ada B"}', "x"]],
    ["[1, [2, 3]] (4, 5)", ["[1, [2, 3]]", "(4, 5)"]],
    ['some({a: "}"}) y', ['some({a: "}"})', "y"]],
    ['\'one word\' "two \\"words\\"" don\'t', ["one word", 'two "words"', "don't"]],
    ['{a: "\\""}', ['{a: "\\""}']],
    ["\"\" ''", ["", ""]],
    ["", []],
  ] as const) {
    t.same(splitWords(line), words, line)
  }
  for (const line of ["'open", '"open\\"', "{a: [1}", '{a: "}', "[1, 2"]) t.throws(() => splitWords(line), ConfigError, line)
})

t.test("`splitWords()` gives back any words when each is quoted", async () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "grapheme" })), (words) => {
      const line = words.map((word) => `"${word.replace(/["\\]/g, "\\$&")}"`).join(" ")
      return JSON.stringify(splitWords(line)) === JSON.stringify(words)
    }),
  )
})

t.test("`parseDuration()`, `parseBytes()` and `parseCount()` read units when one is written", async (t) => {
  for (const [text, ms] of [
    ["500", 500],
    ["500ms", 500],
    ["1.5s", 1500],
    ["2m", 120_000],
    ["250us", 0.25],
    ["1h", 3_600_000],
  ] as const)
    t.equal(parseDuration("--deadline", text), ms, text)
  for (const [text, bytes] of [
    ["65536", 65_536],
    ["64KiB", 65_536],
    ["64kb", 64_000],
    ["16MiB", 16_777_216],
    ["16M", 16_777_216],
    ["1.5KiB", 1536],
    ["1_000", 1000],
  ] as const)
    t.equal(parseBytes("--memory", text), bytes, text)
  for (const [text, count] of [
    ["0", 0n],
    ["1_000_000", 1_000_000n],
    ["10M", 10_000_000n],
    ["3G", 3_000_000_000n],
    ["7k", 7000n],
  ] as const)
    t.equal(parseCount("--fuel", text), count, text)
  for (const text of ["", "-1", "1 2", "fast", "1e3", "5 parsecs"]) {
    t.throws(() => parseDuration("--deadline", text), ConfigError, `duration ${text}`)
    t.throws(() => parseBytes("--memory", text), ConfigError, `bytes ${text}`)
    t.throws(() => parseCount("--fuel", text), ConfigError, `count ${text}`)
  }
  t.throws(() => parseBytes("--memory", "0.3B"), ConfigError, "no whole number of bytes")
  t.same(parseLimit("stackBytesMax=64KiB"), ["stackBytesMax", 65_536])
  t.same(parseLimit("loadMs=2s"), ["loadMs", 2000])
  t.same(parseLimit("handlesMax=1k"), ["handlesMax", 1000])
  t.throws(() => parseLimit("handleMax=1"), { message: 'Unknown limit "handleMax"', fix: 'did you mean "handlesMax"' })
  t.throws(() => parseLimit("constructor=1"), ConfigError)
})

t.test("`countText()`, `bytesText()`, `timeText()` and `numberText()` write what people read when given numbers", async (t) => {
  t.same([0, 999, 1000, 1234567, 12345678901234567890n].map(countText), ["0", "999", "1,000", "1,234,567", "12,345,678,901,234,567,890"])
  t.same([0, 1, 1023, 1024, 1536, 1 << 20, 500 * 2 ** 20].map(bytesText), ["0 bytes", "1 byte", "1,023 bytes", "1.0 KiB", "1.5 KiB", "1.0 MiB", "500 MiB"])
  t.same([500, 4_310, 563_000, 12_300_000, 2_500_000_000].map(timeText), ["0.50 µs", "4.31 µs", "563 µs", "12.3 ms", "2.50 s"])
  t.same([0, -1500, 299852.4, 1.4213381, -0.0345, Infinity, NaN].map(numberText), ["0", "-1,500", "299,852.4", "1.4213", "-0.0345", "Infinity", "NaN"])
})

const noInput = async (): Promise<Uint8Array> => {
  throw new Error("Nothing was to be read")
}

t.test("`parseArguments()` reads JSON, WAVE and bare words when the type allows each", async (t) => {
  const visitor = record({ name: string, age: option(u8) })
  const one = async (type: ValueType, word: string): Promise<unknown> => (await parseArguments("f", func({ value: type }), [word], noInput))[0]
  for (const [type, word, value] of [
    [visitor, '{"name": "Ada"}', { name: "Ada", age: undefined }],
    [visitor, '{name: "Ada", age: some(3)}', { name: "Ada", age: 3 }],
    [string, "Ada", "Ada"],
    [string, '"Ada"', "Ada"],
    [string, "null", "null"],
    [option(string), "null", undefined],
    [option(string), "none", undefined],
    [option(string), "Ada", "Ada"],
    [u32, "7", 7],
    [char, "'x'", "x"],
    [char, '"x"', "x"],
    [enumeration("red", "dark-red"), "dark-red", "dark-red"],
    [bool, "true", true],
    [list(u8), "[1, 2]", Uint8Array.of(1, 2)],
    [list(u8), '"AQI="', Uint8Array.of(1, 2)],
  ] as const) {
    t.ok(sameValue(await one(type, word), value), `${word} as ${type.kind}`)
  }
  for (const [type, word] of [
    [u32, "-1"],
    [u32, "x"],
    [visitor, "{}"],
    [string, '"open'],
    [enumeration("red"), "blue"],
    [bool, "1"],
  ] as const) {
    await t.rejects(one(type, word), WitError, `${word} as ${type.kind}`)
  }
  await t.rejects(one(visitor, '{"name": 1}'), { message: "Cannot use number 1 as string at value.name" }, "the path starts with the parameter's name")
})

t.test("`parseArguments()` reads files and input when a word names one", async (t) => {
  const read = async (source: string): Promise<Uint8Array> => new TextEncoder().encode(source === "-" ? '{"n": 1}' : `text of ${source}`)
  const type = func({ text: string, bytes: list(u8), n: record({ n: u32 }), again: string })
  t.same(await parseArguments("f", type, ["@a.txt", "@b.bin", "-", "-"], read), [
    "text of a.txt",
    new TextEncoder().encode("text of b.bin"),
    { n: 1 },
    '{"n": 1}',
  ])
  t.same(
    await parseArguments("f", func({ text: string, rest: option(u32) }), ["@"], read),
    ["@", undefined],
    "@ alone is a word; a trailing option may be left out",
  )
  await t.rejects(parseArguments("f", type, ["a"], read), { code: "STELE-WIT-0002" })
})

t.test("`parseArguments()` gives the value back when it was written as WAVE or JSON", async () => {
  await fc.assert(
    fc.asyncProperty(
      arbitraryType({ levels: 2 }).chain((type) => fc.tuple(fc.constant(type), arbitraryValue(type))),
      async ([type, value]) => {
        const of = async (word: string): Promise<unknown> => (await parseArguments("f", func({ value: type }), [word], noInput))[0]
        const wave = toWave(type, value)
        // `-` and `@…` mean a source; no WAVE and no JSON text starts so, but the negative number.
        return sameValue(await of(wave), fromWave(type, wave)) && sameValue(await of(JSON.stringify(toJson(type, value))), value)
      },
    ),
    { numRuns: 300 },
  )
})

t.test("`findExport()` takes any name that means one export when there are several", async (t) => {
  const exports = ["a:b/one@1.0.0#go", "a:b/two@1.0.0#go", "a:b/two@1.0.0#stop", "run"].map((name) => ({ name, type: func({}) }))
  for (const [wanted, found] of [
    ["run", 3],
    ["stop", 2],
    ["one#go", 0],
    ["a:b/two#go", 1],
    ["a:b/two@1.0.0#go", 1],
  ] as const)
    t.equal(findExport(exports, wanted), exports[found], wanted)
  t.throws(() => findExport(exports, "go"), { code: "STELE-CFG-0003" }, "two have it")
  t.throws(() => findExport(exports, "stpo"), { message: 'Cannot call "stpo": the component has no such export', fix: 'did you mean "a:b/two@1.0.0#stop"' })
})

t.test("`prettyLines()` writes WAVE that reads back equal when the width is any", async () => {
  fc.assert(
    fc.property(
      arbitraryType().chain((type) => fc.tuple(fc.constant(type), arbitraryValue(type))),
      fc.integer({ min: 1, max: 120 }),
      ([type, value], width) => {
        const lines = prettyLines(type, value, width)
        const coloured = lines.map((line) => colourWave(line, palette(true)))
        // oxlint-disable-next-line no-control-regex
        const bare = coloured.map((line) => line.replace(/\u001b\[\d+m/g, ""))
        return sameValue(fromWave(type, lines.join("\n")), fromWave(type, toWave(type, value))) && bare.join("\n") === lines.join("\n")
      },
    ),
    { numRuns: 300 },
  )
})

t.test("`prettyLines()` breaks at fields and elements when a line is too long", async (t) => {
  const type = record({ name: string, children: list(record({ name: string })), kind: variant({ other: undefined, pair: tuple(string, string) }) })
  const value = { name: "root", children: [{ name: "first" }, { name: "second" }], kind: { tag: "pair", val: ["left", "right"] } }
  t.same(prettyLines(type, value, 200), ['{name: "root", children: [{name: "first"}, {name: "second"}], kind: pair(("left", "right"))}'])
  t.same(prettyLines(type, value, 30), [
    "{",
    '  name: "root",',
    "  children: [",
    '    {name: "first"},',
    '    {name: "second"},',
    "  ],",
    "  kind: pair((",
    '    "left",',
    '    "right",',
    "  )),",
    "}",
  ])
})

t.test("`pictureLines()` draws bars, box plots and correlations when the shapes are there", async (t) => {
  const words = list(record({ word: string, count: u32 }))
  t.same(
    pictureLines(
      words,
      [
        { word: "the", count: 8 },
        { word: "of\u001b[31m", count: 4 },
      ],
      plain,
      80,
    ),
    ["the           ████████████████████████████████ 8", "of\\u{1b}[31m  ████████████████ 4"],
  )
  const five = record({ minimum: f64, "lower-quartile": f64, median: f64, "upper-quartile": f64, maximum: f64 })
  const [line = ""] = pictureLines(
    list(record({ name: string, numbers: five })),
    [{ name: "x", numbers: { minimum: 0, lowerQuartile: 2, median: 5, upperQuartile: 8, maximum: 10 } }],
    plain,
    80,
  )
  t.match(line, /^x {2}0 {2}├─+▒+┃▒+─+┤ {2}10$/)
  const [left = ""] = pictureLines(list(record({ first: string, second: string, r: f64 })), [{ first: "a", second: "b", r: -1 }], plain, 80)
  t.match(left, /^a × b {2}█{10}│ {10} {2}-1\.00$/)
  t.same(pictureLines(list(u32), Uint32Array.of(1, 2), plain, 80), ["[1, 2]"], "no picture: WAVE")
})

t.test("`bar()`, `boxPlot()` and `signedBar()` stay in their width when the numbers are any", async (t) => {
  fc.assert(
    fc.property(
      fc.double(),
      fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { minLength: 5, maxLength: 5 }),
      fc.integer({ min: 2, max: 60 }),
      (share, numbers, width) => {
        const [a = 0, b = 0, c = 0, d = 0, e = 0] = numbers.toSorted((x, y) => x - y)
        return (
          bar(share, width).length <= width &&
          boxPlot([a, b, c, d, e], width).length === width &&
          signedBar(Math.max(-1, Math.min(1, share)) || 0, 21).length === 21
        )
      },
    ),
  )
  t.equal(bar(0.5, 4), "██")
  t.equal(bar(0.03125, 4), "▏")
  t.equal(boxPlot([0, 1, 2, 3, 4], 5), "├▒┃▒┤")
})

t.test("`wrap()` and `table()` keep to the width when words allow it", async (t) => {
  t.same(wrap("one two three", 7), ["one two", "three"])
  t.same(
    table(
      [
        ["a", "one two three four five six seven eight"],
        ["long", "x"],
      ],
      36,
    ),
    ["  a     one two three four five six", "        seven eight", "  long  x"],
  )
})

t.test("`wantsColour()` follows NO_COLOR, then FORCE_COLOR, then the terminal when they disagree", async (t) => {
  for (const [env, isTerminal, wanted] of [
    [{}, true, true],
    [{}, false, false],
    [{ NO_COLOR: "1" }, true, false],
    [{ NO_COLOR: "", FORCE_COLOR: "1" }, false, true],
    [{ NO_COLOR: "1", FORCE_COLOR: "1" }, true, false],
    [{ FORCE_COLOR: "0" }, true, false],
    [{ TERM: "dumb" }, true, false],
  ] as const) {
    t.equal(wantsColour(env, isTerminal), wanted, JSON.stringify(env))
  }
})

t.test("`stderrLog()` writes one escaped line when a guest logs what could steer a terminal", async (t) => {
  const written: Array<string> = []
  const write = process.stderr.write
  process.stderr.write = (text: string | Uint8Array): boolean => written.push(String(text)) > 0
  try {
    stderrLog(() => "guest").write({ plugin: "sha256:0", tenant: "t", level: "warn", context: "a\u0007", message: "b\n\u001b[2J\u202ec", isTruncated: true })
  } finally {
    process.stderr.write = write
  }
  t.same(written, ["[guest] warn a\\u{7}: b\\u{a}\\u{1b}[2J\\u{202e}c (cut)\n"])
})

t.test("`errorLines()` fits a screen and escapes when an error carries a guest's text", async (t) => {
  const frames = Array.from({ length: 200 }, (_, i) => `f${i}\u001b[31m`)
  const trap = errorLines(new PluginError("Trap", { export: "go", trap: "unreachable\u0007", frames }), plain, 80)
  t.ok(trap.length <= 24)
  t.notMatch(trap.join("\n"), /[\u0007\u001b]/)
  const payload = { tag: "err", lines: Array.from({ length: 500 }, () => "\u202e") }
  const guestError = new PluginError("Guest", { export: "go", payload: payload.lines })
  await t.rejects(at({ file: "x.wasm", payload: list(string) }, () => Promise.reject(guestError)))
  const lines = errorLines(guestError, plain, 80)
  t.ok(lines.length <= 24)
  t.match(lines.join("\n"), /= payload: \[\n/)
  t.notMatch(lines.join("\n"), /\u202e/)
  t.match(errorJson(guestError), { error: { code: "STELE-PLG-0001", file: "x.wasm", data: { payload: payload.lines } } })
  t.match(errorLines(new TypeError("x is not a function"), plain, 80)[0], /^error\[STELE-BUG-0001\]: This is a bug in stele: TypeError: x is not a function$/)
})

t.test("what the system refuses about a file is no bug of ours", (t) => {
  const refused = (code: string, syscall: string) => errorJson(Object.assign(new Error(`${code}: refused`), { code, syscall, path: "/x/build" })).error
  t.match(refused("EACCES", "mkdir"), { code: "STELE-CFG-0004", message: 'Cannot make "/x/build": permission denied', exitCode: 5 })
  t.match(refused("EROFS", "open"), { code: "STELE-CFG-0004", message: 'Cannot use "/x/build": the file system is read-only' })
  t.match(refused("ENOSPC", "write"), { code: "STELE-CFG-0005", exitCode: 7 })
  t.match(refused("ENOTDIR", "open"), { code: "STELE-BUG-0001" })
  t.match(errorJson(Object.assign(new Error("no path"), { code: "EACCES" })).error, { code: "STELE-BUG-0001" })
  t.end()
})
