/** What derives from the WIT type model: JSON Schema, WIT text, declarations, equality. */
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import fc from "../property.ts"
import t from "tap"
import { fromJson, toJson } from "../../schemas/value/json.ts"
import { differenceText, functionDifference, interfaceDifference, typeDifference } from "../../schemas/wit/equal.ts"
import { functionJsonSchema, jsonSchema, type JsonSchema } from "../../schemas/wit/json-schema.ts"
import {
  borrow,
  enumeration,
  type ExternType,
  flags,
  func,
  type FunctionType,
  type InterfaceType,
  list,
  option,
  own,
  primitive,
  record,
  resource,
  type ResourceType,
  result,
  tuple,
  type ValueType,
  variant,
  type World,
} from "../../schemas/wit/model.ts"
import { functionText, interfaceText, shapeText, typeText, worldText } from "../../schemas/wit/print.ts"
import { depth } from "../../schemas/wit/tree.ts"
import { declarations } from "../../schemas/wit/typescript.ts"
import { arbitraryFunction, arbitraryType, arbitraryValue, Coverage, witPackage } from "./arbitrary-type.ts"
import { isValid } from "./json-schema.ts"
import { replay, runsOf } from "../seed.ts"

const { bool, u8, u32, u64, s64, f64, string } = primitive
const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const runs = runsOf(200)
t.comment(`${replay}: ${runs} runs a property`)

/** 2^90 leaves in 181 nodes. */
function shared(): ValueType {
  let type: ValueType = variant({ leaf: undefined })
  for (let i = 0; i < 90; i++) type = variant({ leaf: undefined, left: type, right: tuple(type, type) })
  return type
}

const named = <T extends ValueType>(type: T, name: string, owner = "acme:greeter/api@1.0.0"): T => ({ ...type, name: { interface: owner, name } })
const greeting = named(record({ name: string, "reply-to": option(string), "sent-at": u64 }), "greeting")
const reply = named(variant({ text: string, data: list(u8), none: undefined }), "reply")
const problem = named(enumeration("too-long", "rude"), "problem")
const session: ResourceType = { kind: "resource", name: { interface: "acme:greeter/api@1.0.0", name: "session" } }
const api: InterfaceType = {
  kind: "interface",
  exports: new Map<string, ExternType>([
    ["greeting", { kind: "type", type: greeting }],
    ["reply", { kind: "type", type: reply }],
    ["problem", { kind: "type", type: problem }],
    ["session", { kind: "resource-type", resource: session }],
    ["greet", func({ request: greeting, in: u8 }, result(reply, problem))],
    ["[constructor]session", func({ name: string }, own(session))],
    ["[method]session.say", func({ self: borrow(session), words: list(string) }, option(option(string)))],
    ["[static]session.count", func({}, u64)],
  ]),
}
const clock: InterfaceType = { kind: "interface", exports: new Map([["now", func({}, u64)]]) }
const world: World = {
  imports: new Map<string, ExternType>([
    ["wasi:clocks/wall-clock@0.2.6", clock],
    ["log", func({ message: string })],
  ]),
  exports: new Map<string, ExternType>([
    ["acme:greeter/api@1.0.0", api],
    ["run", func({ modes: flags("fast", "dry-run") }, list(u64))],
  ]),
}

t.test("jsonSchema() accepts exactly what fromJson() accepts", async (t) => {
  let refused = 0
  const crossed = arbitraryType({ levels: 2 }).chain((type) =>
    fc.tuple(
      fc.constant(type),
      arbitraryValue(type, { listMax: 30 }),
      arbitraryType({ levels: 2 }).chain((other) => fc.tuple(fc.constant(other), arbitraryValue(other, { listMax: 30 }))),
    ),
  )
  fc.assert(
    fc.property(crossed, fc.json({ maxDepth: 2 }), ([type, value, [other, foreign]], text) => {
      const schema = jsonSchema(type)
      const own: unknown = JSON.parse(JSON.stringify(toJson(type, value)))
      if (!isValid(own, schema)) throw new Error(`refused ${JSON.stringify(own).slice(0, 300)} by ${JSON.stringify(schema).slice(0, 500)}`)
      for (const json of [JSON.parse(JSON.stringify(toJson(other, foreign))) as unknown, JSON.parse(text) as unknown]) {
        let accepted = true
        try {
          fromJson(type, json)
        } catch {
          accepted = false
          refused++
        }
        if (isValid(json, schema) !== accepted)
          throw new Error(`${accepted} but not so by schema: ${JSON.stringify(json).slice(0, 300)} by ${JSON.stringify(schema).slice(0, 800)}`)
      }
    }),
    { numRuns: runs },
  )
  t.ok(refused > runs, `${refused} refusals agreed`)
})

t.test("jsonSchema() puts named and shared types into $defs", async (t) => {
  const start = performance.now()
  const text = JSON.stringify(jsonSchema(shared()))
  t.ok(text.length < 100_000 && performance.now() - start < 1_000, `${text.length} characters for 2^90 leaves`)
  t.strictSame(jsonSchema(list(greeting)), {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    type: "array",
    items: { $ref: "#/$defs/greeting" },
    $defs: {
      greeting: {
        type: "object",
        properties: {
          name: { type: "string" },
          replyTo: { anyOf: [{ type: "null" }, { type: "string" }] },
          sentAt: {
            anyOf: [
              { type: "string", pattern: "^(?:0|[1-9][0-9]{0,19})$" },
              { type: "integer", minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
            ],
          },
        },
        required: ["name", "sentAt"],
        additionalProperties: false,
      },
    },
  })
  const evil: ValueType = { ...record({ a: u8 }), name: { name: "__proto__" } }
  const twin: ValueType = { ...record({ b: u8 }), name: { name: "greeting" } }
  t.strictSame(Object.keys(jsonSchema(tuple(greeting, evil, twin))["$defs"] as object), ["greeting", "shared", "greeting.2"])
})

t.test("functionJsonSchema() describes arguments, answer and error", async (t) => {
  const schema = functionJsonSchema(func({ request: greeting, loud: option(bool) }, result(reply, problem)))
  t.ok(isValid([{ name: "Ada", sentAt: "1" }], schema.params))
  t.ok(isValid([{ name: "Ada", sentAt: 1 }, true], schema.params))
  for (const json of [[], [{ name: "Ada" }], [{ name: "Ada", sentAt: 1 }, true, 1], {}]) t.notOk(isValid(json, schema.params))
  t.ok(isValid({ tag: "none" }, schema.result as JsonSchema))
  t.ok(isValid("rude", schema.error as JsonSchema))
  t.strictSame(functionJsonSchema(func({})), {
    params: { $schema: "https://json-schema.org/draft/2020-12/schema", type: "array", items: false, minItems: 0, maxItems: 0 },
  })
  t.throws(() => functionJsonSchema(func({ handle: own(session) })), { message: "Cannot write session as JSON Schema at args[0]" })
})

t.test("typeText() and shapeText() print WIT, cut to a bound", async (t) => {
  t.equal(typeText(greeting), "greeting")
  t.equal(shapeText(greeting), "record{name: string, reply-to: option<string>, sent-at: u64}")
  t.equal(shapeText(result(undefined, list(greeting))), "result<_, list<greeting>>")
  t.equal(shapeText(result(tuple(u8, own(session)))), "result<tuple<u8, session>>")
  t.equal(shapeText(variant({ list: borrow(session), "a-b": undefined })), "variant{%list(borrow<session>), a-b}")
  t.equal(shapeText(enumeration('"</script>', "a b")), 'enum{"\\"</script>", "a b"}')
  t.ok(shapeText(shared()).length <= 201 && typeText(shared(), 20).length <= 21)
  let twice: ValueType = u8
  for (let i = 0; i < 60; i++) twice = tuple(twice, twice)
  t.ok(
    functionText(func({ a: twice }, twice)).length < 1 << 20 &&
      interfaceText("a", { kind: "interface", exports: new Map([["f", func({ a: twice })]]) }).length < 1 << 20,
  )
  t.equal(interfaceText("a", { kind: "interface", exports: new Map([["[method]gone.f", func({})]]) }), 'interface a {\n  "[method]gone.f": func();\n}')
  t.equal(functionText(api.exports.get("greet") as FunctionType), "func(request: greeting, in: u8) -> result<reply, problem>")
})

t.test("worldText() prints every import and export with the interfaces they name", async (t) => {
  t.equal(
    worldText("greeter", world),
    `package wasi:clocks@0.2.6 {
  interface wall-clock {
    now: func() -> u64;
  }
}

package acme:greeter@1.0.0 {
  interface api {
    record greeting {
      name: string,
      reply-to: option<string>,
      sent-at: u64,
    }
    variant reply {
      text(string),
      data(list<u8>),
      none,
    }
    enum problem {
      too-long,
      rude,
    }
    resource session {
      constructor(name: string);
      say: func(words: list<string>) -> option<option<string>>;
      count: static func() -> u64;
    }
    greet: func(request: greeting, in: u8) -> result<reply, problem>;
  }
}

world greeter {
  import wasi:clocks/wall-clock@0.2.6;
  import log: func(message: string);
  export acme:greeter/api@1.0.0;
  export run: func(modes: flags{fast, dry-run}) -> list<u64>;
}`,
  )
  const other = named(record({ at: greeting }), "other", "acme:greeter/more@1.0.0")
  const more: InterfaceType = {
    kind: "interface",
    exports: new Map<string, ExternType>([
      ["other", { kind: "type", type: other }],
      ["alias", { kind: "type", type: greeting }],
    ]),
  }
  t.equal(
    interfaceText("more", more, "acme:greeter/more@1.0.0"),
    ["interface more {", "  use acme:greeter/api@1.0.0.{greeting};", "  record other {", "    at: greeting,", "  }", "  type alias = greeting;", "}"].join(
      "\n",
    ),
  )
})

t.test("witPackage() keeps the structure of every function it prints", async (t) => {
  const coverage = new Coverage({ functions: true, handles: true })
  const files = resource("file")
  fc.assert(
    fc.property(fc.array(arbitraryFunction({ resources: [files] }), { minLength: 1, maxLength: 3 }), (funcs) => {
      const source = witPackage(new Map(funcs.map((found, i) => [`f${i}`, found])))
      const target = source.interface.exports.get("resource-0") as { readonly resource: ResourceType } | undefined
      const resources = new Map(target === undefined ? [] : [[files, target.resource]])
      for (const [i, found] of funcs.entries()) {
        coverage.func(found)
        const difference = functionDifference(found, source.interface.exports.get(`f${i}`) as FunctionType, resources)
        if (difference !== undefined) throw new Error(differenceText(difference))
      }
      // Every brace closes, and no line is left open.
      if (source.text.split("{").length !== source.text.split("}").length) throw new Error(source.text)
    }),
    { numRuns: runs },
  )
  t.comment(coverage.report())
  if (runs >= 200) t.strictSame(coverage.missing(), [])
})

t.test("typeDifference() finds equal structure equal, whatever the names, in linear time", async (t) => {
  t.equal(typeDifference(greeting, record({ name: string, "reply-to": option(string), "sent-at": u64 })), undefined)
  const start = performance.now()
  t.equal(typeDifference(shared(), shared()), undefined)
  t.ok(performance.now() - start < 1_000)
  fc.assert(
    fc.property(arbitraryType({ levels: 3 }), arbitraryType({ levels: 3 }), (a, b) => {
      // Through JSON: two trees that print equal are equal, with no node shared.
      const copy = JSON.parse(JSON.stringify(a)) as ValueType
      if (typeDifference(a, copy) !== undefined) throw new Error("a copy differs")
      if ((typeDifference(a, b) === undefined) !== (JSON.stringify(a) === JSON.stringify(b))) throw new Error("not as its text")
    }),
    { numRuns: runs },
  )
})

t.test("typeDifference() says where types part", async (t) => {
  const cases: ReadonlyArray<readonly [ValueType, ValueType, string, string, string]> = [
    [u8, u32, "type", "u32", "u8"],
    [record({ a: list(tuple(u8, u64)) }), record({ a: list(tuple(u8, s64)) }), "type.a.element.1", "s64", "u64"],
    [record({ a: u8 }), record({ b: u8 }), "type", "record{b: u8}", "record{a: u8}"],
    [record({ a: u8 }), record({ a: u8, b: u8 }), "type", "record{a: u8, b: u8}", "record{a: u8}"],
    [variant({ a: u8 }), variant({ a: undefined }), "type", "variant{a}", "variant{a(u8)}"],
    [option(result(u8, string)), option(result(u8, f64)), "type.some.err", "f64", "string"],
    [enumeration("a", "b"), enumeration("b", "a"), "type", "enum{b, a}", "enum{a, b}"],
    [enumeration("a"), flags("a"), "type", "flags{a}", "enum{a}"],
    [own(resource("file")), own(resource("file")), "type", "file", "file"],
    [own(session), borrow(session), "type", "borrow<session>", "session"],
  ]
  for (const [actual, expected, path, wanted, found] of cases) t.strictSame(typeDifference(actual, expected), { path, expected: wanted, actual: found })
  const [a, b] = [func({ key: string }, option(u8)), func({ key: string }, option(u32))]
  t.equal(
    differenceText(functionDifference(a, b, undefined, "get") as { path: string; expected: string; actual: string }),
    '"get.result.some" is u8, expected u32',
  )
  t.strictSame(functionDifference(func({ from: u8 }), func({ to: u8 })), { path: "func", expected: "func(to: u8)", actual: "func(%from: u8)" })
  t.ok(functionDifference(func({}, u8), func({})))
  let deep: ValueType = u8
  for (let i = 0; i < 100_000; i++) deep = list(deep)
  t.throws(() => typeDifference(deep, u8), { code: "STELE-LIM-0016" })
  t.equal(depth(shared()), 181)
})

t.test("interfaceDifference() binds resources by name and allows the host to serve more", async (t) => {
  const make = (size: ValueType, extra: boolean): InterfaceType => {
    const file = resource("file")
    const exports = new Map<string, ExternType>([
      ["file", { kind: "resource-type", resource: file }],
      ["open", func({ path: string }, own(file))],
      ["[method]file.size", func({ self: borrow(file) }, size)],
    ])
    if (extra) exports.set("close", func({ file: own(file) }))
    return { kind: "interface", exports }
  }
  t.equal(interfaceDifference(make(u64, false), make(u64, true)), undefined)
  t.match(interfaceDifference(make(u64, true), make(u64, false)), { path: "close", actual: "func(file: file)" })
  t.strictSame(interfaceDifference(make(u32, false), make(u64, false)), { path: "[method]file.size.result", expected: "u64", actual: "u32" })
})

/** Compiles `files` with the strict options of the project; the compiler's messages, or "" when it has none. */
function compile(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), "stele-types-"))
  try {
    const options = {
      strict: true,
      noEmit: true,
      module: "nodenext",
      target: "esnext",
      types: [],
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      allowImportingTsExtensions: true,
      skipLibCheck: false,
    }
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: options, include: ["*.ts"] }))
    writeFileSync(join(folder, "package.json"), '{"type":"module"}')
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
    const run = spawnSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", "."], { cwd: folder, encoding: "utf8" })
    return `${run.stdout}${run.stderr}`.trim()
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const use = (body: string): string => `
import type { AnswerOf, Arguments, ExportName, UntypedExports } from ${JSON.stringify(join(root, "schemas/wit/exports.ts"))}
import type { Errors, Exports, Session } from "./world.d.ts"
interface Plugin<E extends object> { call<K extends ExportName<E>>(name: K, args: Arguments<E, K>): Promise<AnswerOf<E, K>> }
declare const plugin: Plugin<Exports>
declare const untyped: Plugin<UntypedExports>
declare const session: Session
${body}
export type Used = [Errors, typeof untyped, typeof session, typeof plugin]
`

t.test("declarations() types calls by export name", async (t) => {
  const text = declarations(world)
  const good = use(`
const reply = await plugin.call("acme:greeter/api@1.0.0#greet", [{ name: "Ada", sentAt: 1n }, 1])
if (reply.tag === "data") reply.val satisfies Uint8Array
if (reply.tag === "text") reply.val satisfies string
;(await plugin.call("run", [{ fast: true, dryRun: false }])) satisfies BigUint64Array
const said = await plugin.call("acme:greeter/api@1.0.0#[method]session.say", [session, ["a"]])
if (said.tag === "some") said.val satisfies string | undefined
"rude" satisfies Errors["acme:greeter/api@1.0.0#greet"]
;(await untyped.call("anything", [1, "x"])) satisfies unknown
`)
  t.equal(compile({ "world.d.ts": text, "good.ts": good }), "")
  const wrong: ReadonlyArray<readonly [string, RegExp]> = [
    ['plugin.call("acme:greeter/api@1.0.0#great", [])', /TS2345.*great/],
    ['plugin.call("run", [])', /TS2345/],
    ['plugin.call("run", [{ fast: true }])', /TS2741.*dryRun|dryRun/],
    ['plugin.call("acme:greeter/api@1.0.0#greet", [{ name: 5, sentAt: 1n }, 1])', /TS2322/],
    ['plugin.call("acme:greeter/api@1.0.0#greet", [{ name: "Ada", sentAt: 1 }, 1])', /TS2322/],
    ['plugin.call("acme:greeter/api@1.0.0#[method]session.say", [{}, []])', /TS2741|TS2322/],
    ['(await plugin.call("run", [{ fast: true, dryRun: true }])) satisfies string', /TS1360/],
  ]
  const out = compile({ "world.d.ts": text, ...Object.fromEntries(wrong.map(([line], i) => [`wrong${i}.ts`, use(line)])) })
  for (const [i, [line, message]] of wrong.entries()) t.match(out.split(/\n(?=wrong)/).find((part) => part.startsWith(`wrong${i}.ts`)) ?? "", message, line)
})

t.test("declarations() of any world compile, and no name becomes code", async (t) => {
  const payloads = [
    'x"]: 1 }; globalThis.PWN = 1; //',
    "*/ globalThis.PWN = 1 /*",
    "`${globalThis.PWN = 1}`",
    "a\nexport const PWN = 1 //",
    "\u2028export const PWN = 1",
    "__proto__",
    "constructor",
    "'",
    "\\",
    "</script>",
  ]
  const evil = payloads.map((name, i): ValueType => {
    const parts: ReadonlyArray<ValueType> = [
      { kind: "record", fields: [{ label: name, type: u8 }], name: { interface: name, name } },
      { kind: "variant", cases: [{ label: name, type: u8 }], name: { name } },
      { kind: "enum", labels: [name], name: { interface: `${name}:x/y@${name}`, name } },
      { kind: "flags", labels: [name] },
      own({ kind: "resource", name: { interface: name, name } }),
    ]
    return i % 2 === 0 ? tuple(...parts) : variant({ a: tuple(...parts) })
  })
  const functions = (prefix: string): ReadonlyArray<readonly [string, ExternType]> =>
    evil.map((type, i) => [
      `${prefix}${payloads[i]}`,
      {
        kind: "function",
        params: [
          { label: payloads[i] as string, type },
          { label: "x", type },
          { label: "x", type: u8 },
        ],
        result: type,
      },
    ])
  const bad: World = {
    imports: new Map<string, ExternType>(payloads.map((name) => [name, { kind: "interface", exports: new Map(functions("")) }])),
    exports: new Map<string, ExternType>(functions("e")),
  }
  const arbitrary: Record<string, string> = {}
  for (const [i, found] of fc.sample(fc.array(arbitraryFunction({ levels: 3 }), { minLength: 2, maxLength: 2 }), { numRuns: 20 }).entries()) {
    const exports = new Map([["gen:types/api@0.1.0", witPackage(new Map(found.map((one, n) => [`f${n}`, one]))).interface]])
    arbitrary[`arbitrary${i}.d.ts`] = declarations({ imports: new Map(), exports })
  }
  const texts = {
    "evil.d.ts": declarations(bad, "header\u2028export const PWN = 1\nexport const PWN = 2"),
    "shared.d.ts": declarations({ imports: new Map(), exports: new Map([["f", func({ a: shared() })]]) }),
    ...arbitrary,
  }
  const probe = 'import type * as evil from "./evil.d.ts"\nexport const names: keyof typeof evil extends never ? true : false = true\n'
  t.equal(compile({ ...texts, "probe.ts": probe }), "")
  t.ok(texts["shared.d.ts"].length < 100_000, `${texts["shared.d.ts"].length} characters for 2^90 leaves`)
  // Taken out of strings and comments, the word is gone.
  t.notMatch(texts["evil.d.ts"].replace(/"(?:[^"\\]|\\.)*"/g, "").replace(/^\/\/.*$/m, ""), /PWN/)
})
