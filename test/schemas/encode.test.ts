/**
 * The encoder of components against wit-component (as jco ships it): on the same world and the same core module both
 * components decode to one world, wasm-tools validate both, and the host runs both alike.
 */
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import t from "tap"
import { Host, type LoadOptions } from "../../host/mod.ts"
import { readInputs } from "../../runtime/author/input.ts"
import { encodeComponent } from "../../schemas/encode/mod.ts"
import { EncodeError } from "../../schemas/error/encode.ts"
import { SteleError } from "../../schemas/error/mod.ts"
import {
  enumeration,
  type ExternType,
  func,
  type FunctionType,
  list,
  own,
  primitive,
  record,
  type ResourceType,
  tuple,
  type ValueType,
  type World,
} from "../../schemas/wit/model.ts"
import { parseWit, selectWorld } from "../../schemas/wit/parse/mod.ts"
import { wat } from "../host/component-builder.ts"
import { Module } from "../host/wasm-builder.ts"
import { decode, worldDifference } from "./component-difference.ts"
import { dummyCore } from "./dummy-core.ts"
import { random, randomWorld } from "./random-world.ts"
import { wasiWit } from "./wasi-wit.ts"
import { Panic, Refusal, wasmTools } from "./wasm-tools.ts"
import { isFull, replay, replayOne, runsOf, seed } from "../seed.ts"

const runs = runsOf(25, 1_500)
t.comment(`${replay} STELE_TEST_RUNS=${runs}: ${runs} worlds`)

t.setTimeout(3_600_000)

const host = await Host.open({ cache: false })
t.teardown(() => host.close())

// ── wasm-tools ──────────────────────────────────────────────────────────────

/** Validates, then prints; undefined when printing panics, which says nothing of the component. */
async function witOf(bytes: Uint8Array): Promise<string | undefined> {
  try {
    return await wasmTools(({ componentWit }) => componentWit(bytes))
  } catch (error) {
    if (error instanceof Panic) return undefined
    throw error
  }
}

interface Pair {
  readonly theirs: Uint8Array
  readonly ours: Uint8Array
}

async function pairOf(witSource: string, core: Uint8Array, world?: World, stringEncoding: "utf8" | "utf16" | "compact-utf16" = "utf8"): Promise<Pair> {
  const theirs = await wasmTools(({ componentEmbed, componentNew }) => componentNew(componentEmbed({ binary: core, witSource, stringEncoding })))
  const encoding = stringEncoding === "compact-utf16" ? "latin1+utf16" : stringEncoding
  return { theirs, ours: encodeComponent(world ?? decode(theirs).world, core, { encoding }) }
}

/** The world of a WIT text, from a component that uses all of it; undefined when wasm-tools refuse the text. */
async function worldOf(witSource: string): Promise<{ readonly world: World; readonly dummy: Uint8Array; readonly theirs: Uint8Array } | undefined> {
  try {
    const made = await wasmTools(({ componentEmbed, componentNew }) => {
      const dummy = componentEmbed({ dummy: true, witSource })
      return { dummy, theirs: componentNew(dummy) }
    })
    return { ...made, world: decode(made.theirs).world }
  } catch (error) {
    if (error instanceof Refusal) return undefined
    throw error
  }
}

/** Calls of every exported function that takes no handle, with zeros. */
async function answers(bytes: Uint8Array): Promise<ReadonlyArray<string>> {
  const options: LoadOptions = { missing: "trap", instances: { reuse: "never" }, limits: { instancesMax: 1_000 } }
  const plugin = await host.load(bytes, options)
  try {
    const out: Array<string> = []
    for (const [name, { type }] of decode(bytes).exports) {
      const shown = (value: unknown): string =>
        JSON.stringify(value, (_key, inner: unknown) => (typeof inner === "bigint" ? `${inner}n` : inner)) ?? "undefined"
      if (type.params.length > 0) continue
      try {
        out.push(`${name} ${shown(plugin.callSync(name, []))}`)
      } catch (error) {
        if (!(error instanceof SteleError)) throw error
        out.push(`${name} ${error.code}`)
      }
    }
    return out.toSorted()
  } finally {
    await plugin.close()
  }
}

t.test("`encodeComponent()` of a random world is what wit-component makes of it, in both conventions of names", async (t) => {
  const counts = { worlds: 0, refused: 0, panicked: 0, calls: 0, texts: 0, sameText: 0, theirs: 0, ours: 0 }
  for (let i = 0; i < runs; i++) {
    // wasm-tools choose the only world.
    const { text: wit } = randomWorld(seed + i, { include: false })
    const fail = (what: string): boolean => t.fail(`${replayOne(seed + i)}: ${what}\n${wit}`)
    try {
      const made = await worldOf(wit)
      if (made === undefined) {
        counts.refused++
        continue
      }
      const partial = random(seed + i)
      const cores = [dummyCore(made.world), dummyCore(made.world, { imports: () => partial() < 0.5, plain: true })]
      // The world as its text has it, and as a component has it: whose decoded types forget which of them only use one of another.
      const { world } = selectWorld(parseWit(wit))
      const pairs: Array<Pair & { readonly core: Uint8Array; readonly world: World }> = []
      for (const from of [world, made.world]) {
        pairs.push({ world: from, core: made.dummy, theirs: made.theirs, ours: encodeComponent(from, made.dummy) })
        for (const core of cores) pairs.push({ world: from, core, ...(await pairOf(wit, core, from)) })
      }
      for (const { core, world, theirs, ours } of pairs) {
        const [a, b] = [decode(theirs), decode(ours)]
        const difference = worldDifference(a.world, b.world)
        if (difference !== undefined) fail(difference)
        if (a.coreModules.length !== 1 || b.coreModules.length !== 1)
          fail(`${a.coreModules.length} and ${b.coreModules.length} core modules are left when shims are folded`)
        if (ours.length > theirs.length) fail(`${ours.length} bytes, wit-component ${theirs.length}`)
        if (Buffer.compare(ours, encodeComponent(world, core)) !== 0) fail("the second time other bytes")
        const [theirText, ourText] = [await witOf(theirs), await witOf(ours)]
        if (theirText !== undefined) {
          counts.texts++
          if (theirText === ourText) counts.sameText++
        }
        counts.theirs += theirs.length
        counts.ours += ours.length
      }
      const { theirs, ours } = pairs[1] as Pair
      const [a, b] = [await answers(theirs), await answers(ours)]
      if (a.join() !== b.join()) fail(`calls answer ${b.join()}, wit-component's ${a.join()}`)
      counts.calls += a.length
      counts.worlds++
    } catch (error) {
      if (error instanceof Panic) counts.panicked++
      else fail(error instanceof Error ? (error.stack ?? error.message) : String(error))
    }
  }
  t.comment(JSON.stringify(counts))
  t.ok(counts.worlds >= 0.8 * runs, `${counts.worlds} of ${runs} worlds`)
  if (runs >= 20) {
    t.ok(counts.calls > 0)
    // A type that is used through an interface that used it itself is one node, which does not say the way.
    t.ok(counts.sameText > 0.3 * counts.texts, `${counts.sameText} of ${counts.texts} texts are the same`)
  }
})

// ── Our plugins ─────────────────────────────────────────────────────────────

const example = async (name: string): Promise<Uint8Array> =>
  new Uint8Array(await readFile(new URL(`../../plugins/examples/${name}/build/${name}.wasm`, import.meta.url)))

/** The largest core module of a component: the main one. */
const coreOf = (component: Uint8Array): Uint8Array => decode(component).coreModules.toSorted((a, b) => b.bytes.length - a.bytes.length)[0]?.bytes as Uint8Array

interface Example {
  readonly grants: ReadonlyArray<string>
  readonly call: { readonly export: string; readonly args: ReadonlyArray<unknown>; readonly deadlineMs?: number }
}

t.test("the examples' core modules are encoded again to components that do the same", async (t) => {
  for (const name of ["greeter", "snoop", "spinner", "text-stats"]) {
    const folder = new URL(`../../plugins/examples/${name}/`, import.meta.url)
    const { grants, call } = JSON.parse(await readFile(new URL("example.json", folder), "utf8")) as Example
    const args = (await readInputs(fileURLToPath(folder), call.args, (_, problem): never => {
      throw new Error(problem)
    })) as ReadonlyArray<unknown>
    const built = await example(name)
    const { world } = decode(built)
    const ours = encodeComponent(world, coreOf(built), { encoding: "utf16" })
    t.equal(worldDifference(world, decode(ours).world), undefined, name)
    await witOf(ours)
    const outcomes: Array<unknown> = []
    const { export: exported, deadlineMs = 5_000 } = call
    for (const bytes of [built, ours]) {
      try {
        const plugin = await host.load(bytes, { grants })
        outcomes.push(await plugin.call(exported, args, { deadlineMs }).finally(() => plugin.close()))
      } catch (error) {
        if (!(error instanceof SteleError)) throw error
        outcomes.push(error.code)
      }
    }
    t.strictSame(outcomes[0], outcomes[1], name)
  }
})

t.test("the greeter's component is no larger than wit-component's around the same core module", async (t) => {
  const wit = await readFile(new URL("../../plugins/examples/greeter/build/greeter.wit", import.meta.url), "utf8")
  const core = coreOf(await example("greeter"))
  const { theirs, ours } = await pairOf(wit, core, undefined, "utf16")
  t.comment(`core ${core.length}, ours ${ours.length}, wit-component's ${theirs.length} bytes`)
  t.ok(ours.length <= theirs.length)
  t.ok(ours.length - core.length <= 1_400, "what is around the core module")
})

// ── WASI ────────────────────────────────────────────────────────────────────

t.test("a world that imports all of WASI 0.2 is what wit-component makes of it", async (t) => {
  const wit = await wasiWit()
  const made = await worldOf(wit)
  if (made === undefined) return t.fail("wasm-tools refuse it")
  const interfaces = [...made.world.imports.keys()]
  t.ok(interfaces.length >= 29, `${interfaces.length} interfaces`)
  const { world: written } = selectWorld(parseWit(wit))
  const { theirs, ours } = await pairOf(wit, dummyCore(made.world), written)
  const [a, b] = [decode(theirs), decode(ours)]
  t.equal(worldDifference(a.world, b.world), undefined)
  t.ok(ours.length < theirs.length, `${ours.length} bytes, wit-component ${theirs.length}`)
  t.equal(await witOf(ours), await witOf(theirs))
  t.equal(b.coreModules.length, 1)
  t.comment(`${b.imports.length} functions, ${ours.length} bytes`)
  // Only what is called is asked for.
  const one = encodeComponent(made.world, dummyCore(made.world, { imports: (of, name) => of === "wasi:random/random@0.2.12" && name === "get-random-u64" }))
  const { world } = decode(one)
  t.strictSame(
    [...world.imports.keys()].filter((name) => name.startsWith("wasi:random")),
    ["wasi:random/random@0.2.12"],
  )
  t.strictSame([...(world.imports.get("wasi:random/random@0.2.12") as { exports: ReadonlyMap<string, unknown> }).exports.keys()], ["get-random-u64"])
})

// ── Strings, sections, options ──────────────────────────────────────────────

t.test("each encoding of strings is written for functions that move values, and no option for others", async (t) => {
  const wit = "package a:b; world w { import log: func(s: string); export echo: func(s: string) -> string; export add: func(a: u32) -> u32; }"
  const made = await worldOf(wit)
  for (const encoding of ["utf8", "utf16", "compact-utf16"] as const) {
    const core = dummyCore(made?.world as World)
    const { theirs, ours } = await pairOf(wit, core, undefined, encoding)
    const used = (bytes: Uint8Array): ReadonlyArray<string> => {
      const { lifts, lowerings, contexts } = decode(bytes)
      return [...lifts, ...lowerings]
        .map(({ context, type }) => (type.params[0]?.type.kind === "string" ? (contexts[context]?.encoding as string) : ""))
        .toSorted()
    }
    t.strictSame(used(ours), used(theirs), encoding)
    t.equal(decode(ours).contexts.length, 2, "one context with a memory, one without")
  }
})

t.test("the section in which toolchains tell wit-component the world is left out, other custom sections stay", async (t) => {
  const wit = "package a:b; world w { export add: func(a: u32) -> u32; }"
  const m = new Module()
  m.func(["i32"], ["i32"], { export: "add", name: "add" }, [[0x20, 0]])
  m.custom("about", [1, 2, 3])
  const core = m.bytes()
  const world: World = { imports: new Map(), exports: new Map([["add", func({ a: primitive.u32 }, primitive.u32)]]) }
  const plain = encodeComponent(world, core)
  t.strictSame(encodeComponent(world, await wasmTools(({ componentEmbed }) => componentEmbed({ binary: core, witSource: wit }))), plain)
  t.strictSame(coreOf(plain), core)
})

t.test("flags of more than 32 labels, which wasm-tools refuse, are written as the host reads them", async (t) => {
  const flags = { kind: "flags", labels: Array.from({ length: 40 }, (_, i) => `f${i}`), name: { interface: "a:b/c", name: "many" } } as const
  const exports = new Map<string, ExternType>([
    ["many", { kind: "type", type: flags }],
    ["f", { kind: "function", params: [{ label: "x", type: flags }] }],
  ])
  const world: World = { imports: new Map(), exports: new Map([["a:b/c", { kind: "interface", exports }]]) }
  const { world: read } = decode(encodeComponent(world, dummyCore(world)))
  t.equal(worldDifference(read, world), undefined)
})

// ── What does not fit ───────────────────────────────────────────────────────

const worldFor = (exports: Readonly<Record<string, ExternType>>, imports: Readonly<Record<string, ExternType>> = {}): World => ({
  imports: new Map(Object.entries(imports)),
  exports: new Map(Object.entries(exports)),
})
const inInterface = (items: Readonly<Record<string, ExternType>>): ExternType => ({ kind: "interface", exports: new Map(Object.entries(items)) })

function refusal(world: World, core: Uint8Array): EncodeError {
  try {
    encodeComponent(world, core)
  } catch (error) {
    if (error instanceof EncodeError) return error
    throw error
  }
  throw new Error("it was not refused")
}

const { string, u32 } = primitive

t.test("a core module that does not fit its world is refused with the name, what is expected and what is found", async (t) => {
  const echo = worldFor({ "a:b/c": inInterface({ echo: func({ s: string }, string) }) })
  const memory = '(memory (export "memory") 1)'
  const realloc = '(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)'
  const lifted = (type: string): string => `(func (export "a:b/c#echo") ${type} unreachable)`
  const good = "(param i32 i32) (result i32)"
  const cases: ReadonlyArray<readonly [core: string, world: World, message: RegExp, fix: RegExp]> = [
    [
      `${memory}${realloc}`,
      echo,
      /^Cannot make a component of a core module that does not export "a:b\/c#echo", the function \(i32, i32\) -> \(i32\): the world exports a:b\/c#echo$/,
      /^export the function/,
    ],
    [`${memory}${realloc}(func (export "a:b/c#ecko") ${good} unreachable)`, echo, /does not export "a:b\/c#echo"/, /^did you mean "a:b\/c#ecko"\?$/],
    [
      `${memory}${realloc}${lifted("(param i32) (result i32)")}`,
      echo,
      /^Cannot use the core export "a:b\/c#echo" as the world's a:b\/c#echo: expected the function \(i32, i32\) -> \(i32\), found the function \(i32\) -> \(i32\)/,
      /bindings/,
    ],
    [`${memory}${realloc}(global (export "a:b/c#echo") i32 (i32.const 0))`, echo, /expected the function \(i32, i32\) -> \(i32\), found a global/, /bindings/],
    [`${realloc}${lifted(good)}`, echo, /does not export "memory", a memory: a:b\/c#echo passes values through it/, /^export a memory as "memory"$/],
    [
      `${memory}${lifted(good)}`,
      echo,
      /does not export "cabi_realloc", the function \(i32, i32, i32, i32\) -> \(i32\): a:b\/c#echo allocates with it/,
      /cabi_realloc/,
    ],
    [
      `${memory}(func (export "cabi_realloc") (param i32))${lifted(good)}`,
      echo,
      /expected the function \(i32, i32, i32, i32\) -> \(i32\), found the function \(i32\) -> \(\)/,
      /bindings/,
    ],
    [
      `${memory}${realloc}${lifted(good)}(func (export "cabi_post_a:b/c#echo"))`,
      echo,
      /"cabi_post_a:b\/c#echo" as what frees the result of a:b\/c#echo: expected the function \(i32\) -> \(\), found the function \(\) -> \(\)/,
      /bindings/,
    ],
    [
      `${memory}${realloc}${lifted(good)}(func (export "a:b/c#other"))`,
      echo,
      /exports "a:b\/c#other": the world exports no such function/,
      /add it to the world/,
    ],
    [
      `${memory}${realloc}${lifted(good)}(func (export "_initialize") (param i32))`,
      echo,
      /"_initialize" as the initialiser: expected the function \(\) -> \(\)/,
      /bindings/,
    ],
    [
      `(import "x:y/z" "f" (func))${memory}${realloc}${lifted(good)}`,
      echo,
      /^Cannot satisfy the core import "x:y\/z" "f", the function \(\) -> \(\): the world imports no such function$/,
      /add it to the world/,
    ],
    [`(import "env" "abort" (func (param i32 i32 i32 i32)))${memory}${realloc}${lifted(good)}`, echo, /"env" "abort"/, /--use abort=/],
    [
      `(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))${memory}${realloc}${lifted(good)}`,
      echo,
      /WASI preview 1 is no part of a world/,
      /load the core module as it is/,
    ],
    [`(import "$root" "[task-return]f" (func))${memory}${realloc}${lifted(good)}`, echo, /Cannot encode the intrinsic "\[task-return\]f"/, /without it/],
    [`${memory}${realloc}${lifted(good)}(func (export "[async-lift]f"))`, echo, /an async lift/, /without it/],
  ]
  for (const [core, world, message, fix] of cases) {
    const error = refusal(world, await wat(`(module ${core})`))
    t.match(error.message, message)
    t.match(error.fix, fix, error.message)
  }
  const imports = worldFor({}, { "a:b/c": inInterface({ log: func({ s: string }) }) })
  const importing = (name: string, type: string): Promise<Uint8Array> => wat(`(module (import "a:b/c" "${name}" (func ${type})) ${memory})`)
  t.match(
    refusal(imports, await importing("log", "(param i32)")).message,
    /^Cannot satisfy the core import "a:b\/c" "log": expected the function \(i32, i32\) -> \(\), found the function \(i32\) -> \(\)/,
  )
  t.match(refusal(imports, await importing("lag", "(param i32 i32)")).fix, /^did you mean "log"\?$/)
  t.match(refusal(imports, await wat('(module (import "a:b/c" "log" (memory 1)))')).message, /found a memory/)
  t.match(refusal(imports, await wat('(module (import "a:b/c" "log" (func (param i32 i32))))')).message, /does not export "memory"/)
})

t.test("a world that no component has is refused with the place", async (t) => {
  const core = new Module().bytes()
  const thing: ResourceType = { kind: "resource", name: { interface: "a:b/c", name: "thing" } }
  const point = record({ x: u32 })
  const asyncFunction: FunctionType = { kind: "function", params: [], isAsync: true }
  const cases: ReadonlyArray<readonly [world: World, reason: string, message: RegExp]> = [
    [worldFor({ "no such name": func({}) }), "Name", /"no such name"/],
    [worldFor({ "a:b/c": inInterface({ F: { kind: "type", type: u32 }, "f g": func({}) }) }), "Name", /"f g"/],
    [worldFor({ "a/b": inInterface({}) }), "Name", /"a\/b" as an interface/],
    [worldFor({ "f-a": func({}), "f-A": func({}) }), "World", /equal to "f-A" but for case/],
    [worldFor({ t: { kind: "type", type: u32 } }), "World", /exports functions and interfaces only/],
    [worldFor({ "a:b/c": inInterface({ inner: inInterface({}) }) }), "World", /an interface inside an interface/],
    [worldFor({ "a:b/c": inInterface({ "[method]thing.f": func({}) }) }), "World", /names no resource of its interface/],
    [worldFor({ f: asyncFunction }), "Unsupported", /async function at f/],
    [worldFor({ f: func({ x: { kind: "stream" } }) }), "Unsupported", /the type stream/],
  ]
  for (const [world, reason, message] of cases) {
    const error = refusal(world, core)
    t.equal(error.reason._tag, reason, error.message)
    t.match(error.message, message)
  }
  // Whatever is asynchronous, and what the host does not carry, in each place where it may stand.
  const uncarried: ReadonlyArray<readonly [type: ValueType, text: string]> = [
    [{ kind: "stream" }, "stream"],
    [{ kind: "stream", element: u32 }, "stream<u32>"],
    [{ kind: "future" }, "future"],
    [{ kind: "future", type: string }, "future<string>"],
    [{ kind: "error-context" }, "error-context"],
    [{ kind: "map", key: string, value: u32 }, "map<string, u32>"],
    [{ kind: "fixed-list", element: u32, length: 4 }, "list<u32, 4>"],
  ]
  for (const [type, text] of uncarried) {
    const places = [func({ x: type }), func({}, type), func({ x: list({ kind: "option", type }) }), func({}, { kind: "result", ok: tuple(u32, type) })]
    for (const [i, f] of places.entries()) {
      const error = refusal(worldFor({ "a:b/c": inInterface({ f }) }), core)
      t.match(error, { code: "STELE-ENC-0007", reason: { at: "a:b/c#f" }, fix: /without it/ }, `${text} in place ${i}`)
      t.ok(error.message.includes(text), error.message)
    }
    const asks = await wat('(module (import "a:b/c" "g" (func)))')
    t.match(
      refusal(worldFor({}, { "a:b/c": inInterface({ g: func({ x: type }) }) }), asks),
      { code: "STELE-ENC-0007", reason: { at: "a:b/c#g" } },
      `imported ${text}`,
    )
  }
  const asks = await wat('(module (import "a:b/c" "g" (func)))')
  t.match(refusal(worldFor({}, { "a:b/c": inInterface({ g: asyncFunction }) }), asks), { code: "STELE-ENC-0007", reason: { at: "a:b/c#g" } }, "imported async")

  const of = async (world: World): Promise<EncodeError> => refusal(world, dummyCore(world))
  t.match(
    (await of(worldFor({ "a:b/c": inInterface({ f: func({ p: point }) }) }))).message,
    /^Cannot encode the unnamed type record\{x: u32\} at the export "a:b\/c"$/,
  )
  t.match((await of(worldFor({ f: func({ p: point }) }))).message, /unnamed type/)
  t.match((await of(worldFor({}, { "a:b/c": inInterface({ f: func({ p: point }) }) }))).message, /at the import "a:b\/c"/)
  t.match((await of(worldFor({ "a:b/c": inInterface({ f: func({ p: own(thing) }) }) }))).message, /resource "thing" is named by no interface/)
  t.match((await of(worldFor({ f: func({ p: tuple() }) }))).message, /a tuple is empty/)
  t.match(
    (await of(worldFor({ "a:b/c": inInterface({ r: { kind: "type", type: record({ "a-b": u32, ab: u32 }) } }) }))).message,
    /equal to "ab" but for case and dashes/,
  )
})

t.test("types of the greatest depth and types that share their parts are written in time linear in their nodes", async (t) => {
  // Every one of them is a list, so one core module fits all.
  const core = dummyCore(worldFor({ "a:b/c": inInterface({ f: func({ x: list(u32) }) }) }))
  const worldWith = (type: ValueType): World =>
    worldFor({ "a:b/c": inInterface({ n: { kind: "type", type: { ...enumeration("x"), name: { name: "n" } } }, f: func({ x: type }) }) })
  const nested = (levels: number): ValueType => {
    let type: ValueType = u32
    for (let i = 1; i < levels; i++) type = list(type)
    return type
  }
  t.ok(encodeComponent(worldWith(nested(1_000)), core).length > 0)
  t.throws(() => encodeComponent(worldWith(nested(1_001)), core), { code: "STELE-LIM-0016" })
  let shared: ValueType = list(u32)
  for (let i = 0; i < 60; i++) shared = list(tuple(shared, shared))
  t.ok(encodeComponent(worldWith(shared), core).length < 2_000)
})

// ── Hostile core modules ────────────────────────────────────────────────────

t.test("any bytes as a core module give a component or a typed error", async (t) => {
  const built = await example("greeter")
  const { world } = decode(built)
  const core = coreOf(built).slice()
  const counts = { encoded: 0, refused: 0 }
  const attempt = (bytes: Uint8Array, what: string): void => {
    try {
      const component = encodeComponent(world, bytes, { encoding: "utf16" })
      counts.encoded++
      // What is accepted is a component, whatever the bodies of its functions are.
      decode(component)
    } catch (error) {
      counts.refused++
      if (!(error instanceof SteleError)) t.fail(`${what}: ${error instanceof Error ? error.stack : String(error)}`)
    }
  }
  for (let length = 0; length < core.length; length += isFull ? 1 : 7) attempt(core.subarray(0, length), `the first ${length} bytes`)
  const next = random(seed)
  const mutations = isFull ? 200_000 : 2_000
  for (let i = 0; i < mutations; i++) {
    // Mostly where the sections before the code are: the code itself is the engine's to judge.
    const at = Math.floor(next() * (next() < 0.8 ? 700 : core.length))
    const was = core[at] as number
    core[at] = Math.floor(next() * 256)
    attempt(core, `seed ${seed}: byte ${at} is ${core[at]}`)
    core[at] = was
  }
  t.comment(JSON.stringify(counts))
  t.ok(counts.encoded > 0 && counts.refused > 0)
  t.match(refusal(world, new Uint8Array()).message, /^Cannot read the core module at byte 0: it starts with nothing/)
  t.match(refusal(world, built).message, /^Cannot read the core module at byte 4/, "a component is no core module")
})
