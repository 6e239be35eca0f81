/** The WIT front end: what it reads, what it refuses and where, and that its text is read again as the same model. */
import t from "tap"
import { isDeepStrictEqual } from "node:util"
import { checkWit, parseWit, printWit, type Resolve, selectWorld } from "../../schemas/wit/parse/mod.ts"
import { interfaceText } from "../../schemas/wit/print.ts"
import { everything, randomWorld } from "./random-world.ts"
import { shippedPackages } from "./wit-packages.ts"
import { replay, runsOf, seed } from "../seed.ts"

const runs = runsOf(60, 2_000)
t.comment(`${replay} STELE_TEST_RUNS=${runs}: ${runs} worlds`)

/** Models are equal, and so is what was noted but for places. */
function sameResolve(a: Resolve, b: Resolve): boolean {
  return isDeepStrictEqual([...a.packages], [...b.packages]) && printWit(a) === printWit(b)
}

t.test("parseWit() reads every package that jco ships and those kept here, and printWit() says the same", async (t) => {
  const packages = shippedPackages()
  t.ok(packages.size >= 27, `${packages.size} packages`)
  for (const [name, input] of packages) {
    const resolve = parseWit(input)
    t.ok(sameResolve(parseWit(printWit(resolve)), resolve), name)
  }
})

t.test("parseWit() writes worlds out: include, use, what interfaces use, and order", async (t) => {
  const packages = shippedPackages()
  const resolve = parseWit(packages.get("0.2.12/wasi-http") ?? [])
  const { world, full } = selectWorld(resolve, "proxy")
  t.equal(full, "wasi:http/proxy@0.2.12")
  t.match([...world.imports.keys()].join(" "), /io\/poll.*io\/error.*io\/streams.*http\/types.*http\/outgoing-handler/)
  t.strictSame([...world.exports.keys()], ["wasi:http/incoming-handler@0.2.12"])
  const handler = world.exports.get("wasi:http/incoming-handler@0.2.12")
  const types = world.imports.get("wasi:http/types@0.2.12")
  t.ok(handler?.kind === "interface" && types?.kind === "interface")
  if (handler?.kind === "interface" && types?.kind === "interface") {
    t.equal(handler.exports.get("incoming-request"), types.exports.get("incoming-request"), "an export uses the import's resource")
    t.match(interfaceText("handler", handler), "handle: func(request: incoming-request, response-out: response-outparam);")
  }
})

t.test("checkWit() lists mistakes with place, caret and advice", async (t) => {
  const text = `package a:b;

interface i {
  type t = strin;
  f: func(x: u32) -> t
  record r { fooBar: u8 }
  type is fine;
  g: func(r: rr);
}
`
  const { problems } = checkWit([{ file: "a.wit", text }])
  t.strictSame(
    problems.map(({ reason }) => reason._tag),
    ["Syntax", "Syntax"],
  )
  t.match(problems[0]?.message, `Cannot read "a.wit" at line 6, column 3: expected ";", found "record"\n    record r { fooBar: u8 }\n    ^`)
  const { problems: meant } = checkWit([
    { file: "a.wit", text: text.replace("-> t\n", "-> t;\n").replace("fooBar", "foo-bar").replace("  type is fine;\n", "") },
  ])
  t.strictSame(
    meant.map(({ reason }) => reason._tag),
    ["Unknown", "Unknown"],
  )
})

t.test("printWit() is read as an equal model, and one file means what many mean", async (t) => {
  for (let i = 0; i < runs; i++) {
    const { text, input } = randomWorld(seed + i, everything)
    const resolve = parseWit(text)
    if (!sameResolve(parseWit(printWit(resolve)), resolve)) t.fail(`seed ${seed + i}: what is printed is another model`)
    if (!sameResolve(parseWit(input), resolve)) t.fail(`seed ${seed + i}: files are another model`)
  }
  t.equal(runs > 0, true, `${runs} worlds`)
})

/** `‸` stands before the place that the mistake is reported at; each text is in `package a:b@1.0.0;`, the second in an interface of it. */
const mistakes: Readonly<Record<string, ReadonlyArray<readonly [text: string, detail: RegExp]>>> = {
  Syntax: [
    ["‸foo", /expected "interface", "world", "use" or "package", found the name "foo"/],
    ["interface ‸{ }", /expected the name of the interface/],
    ["interface i ‸", /expected "\{", found the end of the text/],
    ["interface i ‸{", /this "\{" has no "\}"/],
    ["interface i { } ‸}", /this "\}" closes nothing/],
    ["interface i { f: ‸u8; }", /expected "func", found "u8"/],
    ["interface i { f: func(a ‸u8); }", /expected ":"/],
    ["interface i { f: func() -> ‸; }", /expected a type/],
    ["interface i { f: func() ‸}", /expected ";"/],
    ["interface i { type‸: func(); }", /expected the name of the type, found ":"/],
    ["interface i { record ‸r { } }", /the record "r" is empty/],
    ["interface i { enum ‸e { } }", /the enum "e" is empty/],
    ["interface i { type t = ‸tuple<>; }", /the tuple is empty/],
    ["interface i { type t = list<u8, ‸0>; }", /a list cannot have the length 0/],
    ["interface i { type t = result<‸>; }", /expected a type/],
    ["interface i { ‸use j.{}; }", /nothing is named/],
    ["use x:y‸;", /expected "\/" and the name of an interface/],
    ["world w { import ‸a:b; }", /is a package/],
    ["world w { import f: ‸u8; }", /expected "func", "interface" or the name of an interface/],
    ["world w { include x with { a ‸b } }", /expected "as"/],
    ["interface i {} ‸package c:d;", /declared after other items/],
    ["use c:d/i@‸1.0;", /expected a version of three numbers/],
    ["interface i { /* ‸", /./],
    ["interface i { ‸/* /* */", /the comment does not end/],
  ],
  Character: [
    ["interface i { ‸\u202e }", /U\+202E/],
    ["interface i { ‸! }", /begins no token/],
  ],
  Name: [
    ["interface ‸fooBar { }", /"fooBar" is no name/],
    ["interface ‸a_b { }", /is no name/],
    ["interface ‸-a { }", /is no name/],
    ["interface ‸ä { }", /is no name/],
    ["interface a { f: func(‸a--b: u8); }", /is no name/],
  ],
  Duplicate: [
    ["interface i { } world ‸i { }", /there already/],
    ["interface i { type t = u8; ‸t: func(); }", /there already/],
    ["interface i { f: func(); ‸F: func(); }", /one name to those who ignore case and dashes/],
    ["interface i { f: func(a: u8, ‸a: u8); }", /a parameter of "f"/],
    ["interface i { record r { a-b: u8, ‸ab: u8 } }", /a field of "r"/],
    ["interface i { enum e { a, ‸A } }", /a case of "e"/],
    ["interface i { resource r { constructor(); ‸constructor(); } }", /has a constructor already/],
    ["interface i { resource r { ‸r: func(); } }", /there already/],
    ["interface i { resource r { m: func(‸self: u8); } }", /a parameter of "m"/],
    ["interface i { } use c:d/i as ‸i; package c:d { interface i { } }", /there already/],
    ["interface i { } world w { import i; ‸import i; }", /imported already/],
    ["world x { import f: func(); } world w { import f: func(); include ‸x; }", /import "f" is there already/],
    ["package ‸a:b@1.0.0 { }", /the package "a:b@1.0.0" is also in/],
  ],
  Unknown: [
    ["interface i { f: func(a: ‸strin); }", /there is no type "strin" here/],
    ["interface i { f: func(); g: func(a: ‸f); }", /"f" is a function, not a type/],
    ["interface i { use ‸j.{t}; }", /"a:b@1.0.0" has no interface "j"/],
    ["interface j { type t = u8; } interface i { use j.{‸s}; }", /has no type "s"/],
    ["interface j { t: func(); } interface i { use j.{‸t}; }", /is a function/],
    ["interface i { use ‸c:d/i.{t}; }", /there is no package "c:d"/],
    ["interface i { use ‸c:d/i@2.0.0.{t}; } package c:d@1.0.0 { }", /there is no "c:d@2.0.0", but c:d@1.0.0/],
    ["world w { import ‸x; } world x { }", /"x" is a world, not an interface/],
    ["world w { include ‸i; } interface i { }", /"i" is an interface, not a world/],
    ["world w { include x with { ‸f as g } } world x { }", /has no import or export of the name "f"/],
  ],
  Cycle: [
    ["interface i { type ‸a = b; type b = list<a>; }", /"a" → "b" → "a"/],
    ["interface i { record ‸r { a: option<r> } }", /"r" → "r"/],
    ["interface ‸i { use j.{t}; } interface j { use i.{t}; }", /an interface cannot use itself/],
    ["world ‸w { include x; } world x { include w; }", /a world cannot include itself/],
    ["use x as y; use y as x; world w { import ‸x; }", /stands for itself/],
  ],
  Type: [
    ["interface i { resource r; f: func() -> ‸borrow<r>; }", /returns a borrowed handle/],
    ["interface i { resource r; record s { a: borrow<r> } f: func() -> ‸list<s>; }", /returns a borrowed handle/],
    ["interface i { type t = u8; f: func(a: borrow<‸t>); }", /"t" is no resource/],
    ["interface i { f: func(a: ‸stream<char>); }", /a stream cannot carry char/],
    ["interface i { resource r; f: func(a: ‸stream<borrow<r>>); }", /cannot carry a borrowed handle/],
    ["interface i { f: func(a: map<‸f32, u8>); }", /the key of a map/],
    ["interface i { resource r { constructor() -> ‸u8; } }", /answers something else/],
  ],
  Gate: [
    ["‸@new(version = 1.0.0) interface i { }", /there is no gate "@new"/],
    ["‸@deprecated(version = 1.0.0) interface i { }", /stands alone/],
    ["@since(version = 1.0.0) ‸@unstable(feature = x) interface i { }", /exclude each other/],
    ["‸@since(version = 2.0.0) interface i { }", /version 2.0.0 is not out/],
    ["@unstable(feature = x) interface j { } world w { import ‸j; }", /"j" is unstable: it is there with the feature "x" only/],
    ["package c:d { ‸@since(version = 1.0.0) interface i { } }", /has no version/],
  ],
  World: [
    [
      "interface a { type t = u32; } interface b { use a.{t}; } interface c { use a.{t}; use b.{t as t2}; } world ‸w { export a; export c; }",
      /is exported, but the export "a:b\/c@1.0.0" needs it as an import/,
    ],
    ["world x { type t = u8; import f: func(a: t); } world w { include x with { ‸t as u } }", /is a type, and functions name it/],
  ],
}

t.test("every mistake has its reason, its place and something to do", async (t) => {
  for (const [tag, cases] of Object.entries(mistakes)) {
    for (const [marked, detail] of cases) {
      const text = `package a:b@1.0.0;\n${marked}\n`
      const at = text.indexOf("‸") - "package a:b@1.0.0;\n".length
      const { problems } = checkWit([{ file: "x.wit", text: text.replace("‸", "") }])
      const [first] = problems
      // At the end of the text, a line behind.
      if (marked.endsWith("‸")) {
        t.equal(first?.reason._tag, "Syntax", marked)
        continue
      }
      t.match(first?.reason, { _tag: tag, line: 2, column: at + 1, detail }, marked)
      t.equal(problems.length, 1, `${marked}: nothing else is wrong`)
      t.match(first?.fix, /./)
    }
  }
})

t.test("parseWit() leaves out what waits for a feature, and has it with the feature", async (t) => {
  const text =
    "package a:b@1.0.0; interface i { f: func(); @unstable(feature = x) g: func(); @unstable(feature = y) type t = u8; } @unstable(feature = x) world w { import i; }"
  const names = (features: Iterable<string> | "all"): unknown => {
    const { main } = parseWit(text, { features })
    return [[...(main.interfaces.get("i")?.type.exports.keys() ?? [])], [...main.worlds.keys()]]
  }
  t.strictSame(names([]), [["f"], []])
  t.strictSame(names(["x"]), [["f", "g"], ["w"]])
  t.strictSame(names("all"), [["t", "f", "g"], ["w"]])
})

t.test("notes have what only the text says", async (t) => {
  const { main, notes } = parseWit([
    {
      file: "n.wit",
      text: `/// The package.
package a:b@1.2.0;

/// The interface,
///  in two lines.
interface i {
  /** The type. */
  @since(version = 1.1.0) @deprecated(version = 1.2.0)
  record r {
    /// The field.
    a: u8,
  }
  type s = r;
  // No documentation.
  f: func(a: s);
}
world w { use i.{r as q}; @external-id("\\u{2603}\\t") import one: i; }
`,
    },
  ])
  const found = main.interfaces.get("i")
  const r = found?.type.exports.get("r")
  t.strictSame(notes.of(main).docs, "The package.")
  t.match(found && notes.of(found), { docs: "The interface,\n in two lines.", place: { file: "n.wit", line: 6, column: 11 } })
  t.match(found && notes.of(found.type.exports, "r"), { docs: "The type.", since: "1.1.0", deprecated: "1.2.0" })
  t.match(r?.kind === "type" && notes.of(r.type, "a"), { docs: "The field.", place: { line: 11, column: 5 } })
  t.match(found && notes.of(found.type.exports, "s"), { alias: "r" })
  t.equal(found && notes.of(found.type.exports, "f").docs, undefined)
  const world = selectWorld({ main, packages: new Map(), notes }).world
  t.match(notes.of(world.imports, "q"), { use: { interface: "a:b/i@1.2.0", name: "r" } })
  t.match(notes.of(world.imports, "one"), { implements: "a:b/i@1.2.0", externalId: "\u2603\t" })
})

t.test("exported resources are other types than imported ones, and exports after them use the export's", async (t) => {
  const text = `package a:b;
interface types { resource r { constructor(); } record holder { a: r } }
interface api { use types.{r, holder}; f: func(a: holder) -> r; }
world both { import types; export types; export api; }
world one { import types; export api; }
`
  const resolve = parseWit(text)
  const externs = (of: ReadonlyMap<string, { readonly kind: string }>, name: string) => {
    const found = of.get(`a:b/${name}`) as { readonly exports?: ReadonlyMap<string, unknown> } | undefined
    return found?.exports ?? new Map<string, unknown>()
  }
  const both = selectWorld(resolve, "both").world
  const resourceOf = (of: ReadonlyMap<string, unknown>): unknown => (of.get("r") as { readonly resource: unknown }).resource
  t.not(resourceOf(externs(both.imports, "types")), resourceOf(externs(both.exports, "types")))
  t.equal(resourceOf(externs(both.exports, "api")), resourceOf(externs(both.exports, "types")))
  t.match(externs(both.exports, "api").get("f"), { params: [{ type: { fields: [{ type: { kind: "own" } }] } }] })
  const f = externs(both.exports, "api").get("f") as { readonly result: { readonly resource: unknown } }
  t.equal(f.result.resource, resourceOf(externs(both.exports, "types")))
  const one = selectWorld(resolve, "one").world
  t.equal(resourceOf(externs(one.exports, "api")), resourceOf(externs(one.imports, "types")))
})

t.test("selectWorld() takes the only world, a name, or a full name", async (t) => {
  const resolve = parseWit("package a:b@1.0.0; world w { } world v { } package c:d@2.0.0 { world x { } }")
  t.equal(selectWorld(resolve, "v").full, "a:b/v@1.0.0")
  t.equal(selectWorld(resolve, "c:d/x@2.0.0").full, "c:d/x@2.0.0")
  t.equal(selectWorld(resolve, "c:d/x").full, "c:d/x@2.0.0")
  t.throws(() => selectWorld(resolve), /it has 2$/)
  t.throws(() => selectWorld(resolve, "x"), /Cannot find the world "x" from "a:b@1.0.0"/)
  t.equal(selectWorld(parseWit("package a:b; world w { }")).name, "w")
})

t.test("packages are found by version, and what a package depends on is not itself", async (t) => {
  const dep = (version: string): string => `package c:d${version} { interface i { type t = u8; } }`
  const found = (wanted: string, ...versions: ReadonlyArray<string>): string | undefined => {
    const { resolve } = checkWit(`package a:b; interface k { use c:d/i${wanted}.{t}; } ${versions.map(dep).join(" ")}`)
    return resolve?.main.interfaces.get("k")?.uses[0]
  }
  t.equal(found("@1.0.0", "@1.0.0", "@1.2.0"), "c:d/i@1.0.0")
  t.equal(found("@1.0.0", "@1.2.0", "@1.10.0", "@2.0.0"), "c:d/i@1.10.0")
  t.equal(found("@1.3.0", "@1.2.0"), undefined)
  t.equal(found("@0.2.0", "@0.3.0"), undefined)
  t.equal(found("@0.2.0", "@0.2.7"), "c:d/i@0.2.7")
  t.equal(found("@0.0.1", "@0.0.2"), undefined)
  t.equal(found("@1.0.0-rc.1", "@1.0.0"), undefined)
  t.equal(found("@1.0.0", "@1.1.0-rc.1"), undefined)
  t.equal(found("", "@1.0.0"), undefined)
  t.equal(found("", ""), "c:d/i")
  const { problems } = checkWit("package a:b; interface i { use c:d/j.{x}; } interface k { type x = u8; } package c:d { interface j { use a:b/k.{x}; } }")
  t.match(problems[0]?.reason, { _tag: "Cycle", detail: /a package cannot depend on itself: "a:b" → "c:d" → "a:b"/ })
  const both = [{ file: "c.wit", text: "package c:d; interface i { }" }]
  t.equal(checkWit({ main: [{ file: "a.wit", text: "package a:b;" }], deps: [both, both] }).problems.length, 0, "the same package twice")
  t.match(
    checkWit({ main: [{ file: "a.wit", text: "package a:b;" }], deps: [both, [{ file: "d.wit", text: "package c:d; interface j { }" }]] }).problems[0]?.reason,
    { _tag: "Duplicate" },
  )
  t.match(
    checkWit([
      { file: "a.wit", text: "package a:b;" },
      { file: "b.wit", text: "package a:c;" },
    ]).problems[0]?.reason,
    { _tag: "Package" },
  )
  t.match(checkWit("interface i { }").problems[0]?.reason, { _tag: "Package" })
  t.match(checkWit("").problems[0]?.reason, { _tag: "Package" })
  t.match(checkWit([]).problems[0]?.reason, { _tag: "Package" })
})
