/** Effect Schemas as text: compiled, loaded, and compared with the host's own JSON form on values of every type. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import * as Schema from "effect/Schema"
import t from "tap"
import { Chooser, randomValue } from "../../runtime/author/random-value.ts"
import { runProgram } from "../../runtime/author/language/other.ts"
import { effectModule } from "../../schemas/generate/effect.ts"
import { fromJson, toJson } from "../../schemas/value/json.ts"
import type { ExternType, FunctionType, ValueType, World } from "../../schemas/wit/model.ts"
import { parseWit, selectWorld } from "../../schemas/wit/parse/mod.ts"
import { effectSchema } from "../../schemas/wit/effect-schema.ts"
import { answer } from "../../schemas/wit/tree.ts"
import { sameValue } from "./arbitrary-type.ts"
import { randomWorld } from "./random-world.ts"
import { replay, replayOne, runsOf, seed } from "../seed.ts"

t.setTimeout(600_000)
const count = runsOf(4, 60)

type AnySchema = Schema.Codec<unknown, unknown>
interface FunctionSchemas {
  readonly params: AnySchema
  readonly result: AnySchema
  readonly error?: AnySchema
}
type Module = Readonly<Record<string, Readonly<Record<string, FunctionSchemas>>>>

const worldOf = (wit: string, name?: string): World => selectWorld(parseWit(wit), name).world

// Where the modules find Effect.
const cache = fileURLToPath(new URL("../../.cache/", import.meta.url))
await mkdir(cache, { recursive: true })
const folder = await mkdtemp(join(cache, "effect-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
let files = 0
async function load(text: string): Promise<Module> {
  const path = join(folder, `m${files++}.ts`)
  await writeFile(path, text)
  return (await import(pathToFileURL(path).href)) as Module
}

function* functions(externs: ReadonlyMap<string, ExternType>, prefix = ""): Generator<readonly [name: string, type: FunctionType]> {
  for (const [name, extern] of externs) {
    if (extern.kind === "function") yield [`${prefix}${name}`, extern]
    if (extern.kind === "interface") yield* functions(extern.exports, `${name}#`)
  }
}

/** Values without the parts that are undefined: that a part is left out and that it is undefined are one. */
function present(value: unknown): unknown {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value
  if (Array.isArray(value)) return value.map(present)
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, part]) => part !== undefined)
      .map(([key, part]) => [key, present(part)]),
  )
}

/** Why a schema and the host's codec differ on a value. */
function difference(schema: AnySchema, type: ValueType, choose: Chooser): string | undefined {
  const json = toJson(type, randomValue(type, choose, 5))
  const value = fromJson(type, json)
  const decoded = Schema.decodeUnknownSync(schema)(json)
  if (!sameValue(present(decoded), present(value))) return `decodes ${JSON.stringify(json)} otherwise`
  const encoded = Schema.encodeUnknownSync(schema)(value)
  if (!sameValue(present(fromJson(type, JSON.parse(JSON.stringify(encoded)))), present(value)))
    return `encodes ${JSON.stringify(encoded)}, not ${JSON.stringify(json)}`
  return undefined
}

const every = `package acme:all; interface api {
  record inner { a: u8, b: option<s32>, c: list<u8>, d: list<u16>, e: option<option<u64>>, %constructor: f32, proto: list<s64>, l: list<f64> }
  variant choice { none, some(inner), maybe(option<string>) }
  record inherited { %constructor: option<f32>, to-string: option<option<u8>> }
  flags names { %constructor, value-of }
  enum level { low, high }
  flags perms { read, write-all }
  type many = list<choice>;
  f: func(x: inner, y: choice, z: tuple<u64, char>, o: option<option<string>>, m: many) -> result<level, perms>;
  g: func() -> result<f32>;
  h: func(x: bool);
  i: func(x: inherited) -> names;
} world w { import api; export api; export whole: func(x: f64) -> s64; }`

t.test("a module of every type is what the compiler takes, with types; stable; and says in its first line that it is made", async (t) => {
  const text = effectModule({ world: worldOf(every) })
  t.equal(effectModule({ world: worldOf(every) }), text)
  t.match(text, /^\/\/ Do not edit: written by `stele types --as effect`\n/)
  t.match(Object.keys(await load(text)).toSorted(), ["Choice", "Exports", "Imports", "Inherited", "Inner", "Level", "Many", "Names", "Perms"])
  const use = `import { type Choice, Exports, Inner } from "./m0.ts"
import * as Schema from "effect/Schema"
const inner = Schema.decodeUnknownSync(Inner)({})
export const a: number = inner.a, b: number | undefined = inner.b, c: Uint8Array = inner.c, d: Uint16Array = inner.d
export const nested: { readonly tag: "none" } | { readonly tag: "some"; readonly val: bigint | undefined } = inner.e
export const choice: Choice = { tag: "some", val: inner }
export const level: "low" | "high" = Schema.decodeUnknownSync(Exports["acme:all/api#f"].result)("low")
// @ts-expect-error no such case
export const none: Choice = { tag: "nothing" }
`
  await writeFile(join(folder, "use.ts"), use)
  const config = { extends: "../../tsconfig.json", compilerOptions: { isolatedModules: false }, include: ["*.ts"], exclude: [] }
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify(config))
  await t.resolves(runProgram("typescript", ["tsc", "-p", "."], folder))
})

t.test(`what the host's JSON form carries, ${count} random worlds' schemas carry alike`, async (t) => {
  t.comment(`${replay} replays`)
  const worlds = [["every type", worldOf(every)] as readonly [title: string, world: World]]
  for (let each = seed; each < seed + count; each++) {
    const { text, world } = randomWorld(each, { resources: false })
    worlds.push([replayOne(each), worldOf(text, world)])
  }
  let values = 0
  for (const [title, world] of worlds) {
    const module = await load(effectModule({ world }))
    for (const [table, externs] of [["Exports", world.exports] as const, ["Imports", world.imports] as const]) {
      for (const [name, type] of functions(externs)) {
        const schemas = module[table]?.[name] as FunctionSchemas
        const { err, ok } = answer(type)
        const params: ValueType = { kind: "tuple", types: type.params.map((param) => param.type) }
        const pairs: ReadonlyArray<readonly [schema: AnySchema | undefined, type: ValueType | undefined]> = [
          [schemas.params, params],
          [schemas.result, ok],
          [schemas.error, err],
        ]
        for (const [schema, of] of pairs) {
          if (of === undefined) continue
          for (let i = 0; i < 4; i++, values++) {
            const problem = difference(schema as AnySchema, of, new Chooser(seed + values))
            if (problem !== undefined) t.fail(`${title}: ${table} ${name} ${problem}`)
          }
        }
      }
    }
  }
  t.ok(values > 100, `${values} values`)
})

t.test("what is no value of its type is refused, whether it comes as JSON or from the host", async (t) => {
  const module = await load(effectModule({ world: worldOf(every) }))
  const { Inner, Choice } = module as unknown as Record<string, AnySchema>
  const inner = { a: 1, c: "AQ==", d: [1], e: null, constructor: "NaN", proto: ["5"], l: [] }
  const decode = Schema.decodeUnknownSync(Inner as AnySchema)
  t.equal((decode(inner) as { readonly a: number }).a, 1)
  for (const [key, value] of Object.entries({ a: 256, c: "A", d: [70_000], e: { tag: "other" }, constructor: "nan", proto: ["9223372036854775808"], l: ["x"] }))
    t.throws(() => decode({ ...inner, [key]: value }), new RegExp(key), key)
  t.throws(() => Schema.decodeUnknownSync(Choice as AnySchema)({ tag: "nothing" }))
  t.throws(() => Schema.encodeUnknownSync(Inner as AnySchema)({ ...(decode(inner) as object), proto: [1n] }), /proto/)
})

t.test("what every object inherits is no part of a value, in the module and in the schema made while a program runs", async (t) => {
  const world = worldOf(every)
  const module = (await load(effectModule({ world }))) as unknown as Record<string, AnySchema>
  const [type] = [...functions(world.exports)].filter(([name]) => name.endsWith("#i")).map(([, func]) => func.params[0]?.type as ValueType)
  const none = { tag: "none" }
  t.strictSame(present(Schema.decodeUnknownSync(module["Inherited"] as AnySchema)({})), { toString: none })
  t.strictSame(present(Schema.encodeUnknownSync(module["Inherited"] as AnySchema)({ toString: none })), { toString: none })
  t.strictSame(present(Schema.decodeUnknownSync(effectSchema(type as ValueType))({ toString: none })), { toString: none })
  t.strictSame({ ...(Schema.decodeUnknownSync(module["Names"] as AnySchema)({}) as object) }, { constructor: false, valueOf: false })
  for (const schema of [module["Inherited"], effectSchema(type as ValueType)] as ReadonlyArray<AnySchema>)
    for (const value of [{ constructor: "x", toString: none }, [], "x", undefined])
      t.throws(() => Schema.decodeUnknownSync(schema)(value), JSON.stringify(value))
})

t.test("handles and streams are refused with their place, and so are two types that would have one name", (t) => {
  const refused = (body: string): unknown => {
    try {
      return effectModule({ world: worldOf(`package a:b; interface i { ${body} } world w { export i; }`) })
    } catch (error) {
      return error
    }
  }
  t.match(refused("resource r; f: func(x: list<r>);"), { code: "STELE-GEN-0001", message: /express r in Effect Schemas, at a:b\/i#f, x/ })
  for (const type of ["stream<u8>", "future<u8>", "error-context", "map<u8, u8>", "list<u8, 4>"])
    t.match(refused(`f: func(x: ${type});`), { code: "STELE-GEN-0001", message: /in Effect Schemas, at a:b\/i#f/ }, type)
  t.match(refused("f: async func();"), { code: "STELE-GEN-0001", message: /async/ })
  const two =
    worldOf(`package a:b; interface i-x { record y { a: u8 } f: func(y: y); } interface i { record x-y { a: u8 } record y { a: s8 } f: func(x: x-y, y: y); }
    world w { export i; export i-x; }`)
  t.match(effectModule({ world: two }), /export const ABIXY = /, "the longer name where the shorter ones are alike")
  const own = worldOf("package a:b; world w { record world-schema { a: u8 } record schema { a: u8 } export f: func(a: world-schema, b: schema); }")
  t.throws(() => effectModule({ world: own }), {
    code: "STELE-GEN-0002",
    message: /"WorldSchema" in Effect Schemas: the world#world-schema and the world#schema/,
  })
  t.end()
})
