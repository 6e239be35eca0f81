/**
 * Our binder and jco on the same components and values: generated types in every position, strings in each encoding,
 * resources in both directions, guests that break the rules, and wrong values. jco's output is evaluated only because
 * the components are written here. @long
 */
import fc from "../property.ts"
import t from "tap"
import { Host } from "../../host/mod.ts"
import type { FunctionType, ResourceType, ValueType } from "../../schemas/wit/model.ts"
import { arbitraryFunction, arbitraryType, arbitraryValue, Coverage, sameValue } from "../schemas/arbitrary-type.ts"
import { build, type Built, type Encoding, encodings, jcoInterface, type JcoInstance, jcoModule, load, type Recipe, removeFiles } from "./build.ts"
import { type Known, Pair, type Problem, type Side, sides } from "./compare.ts"
import { cornerCalls, cornerTypes } from "./corners.ts"
import { counter, counterApi, counterHost } from "./counter.ts"
import { type Difference, differences, isSignedJoin, shapes, type Stage, unmet } from "./differences.ts"
import type { Call, Tree } from "./guest.ts"
import { Resource0, Resource1 } from "./held.ts"
import type { FormName } from "./jco-form.ts"
import { lawful, liar, liarApi, liarHost } from "./liar.ts"
import { resourceLog } from "./resources.ts"
import { spoil } from "./spoil.ts"
import { isFull, replay, seed } from "../seed.ts"

const counts = isFull ? { batches: 15, types: 24, functions: 8, values: 12 } : { batches: 3, types: 20, functions: 6, values: 6 }
const differencesMax = 15

const named = (name: string): ResourceType => ({ kind: "resource", name: { name } })
const resources = [named("resource-0"), named("resource-1")] as const
let handles = 0
const handle = (type: ResourceType): fc.Arbitrary<unknown> => fc.constant(undefined).map(() => new (type === resources[0] ? Resource0 : Resource1)(handles++))
const typeOptions = { levels: 3, flagsMax: 32 }
const valueOptions = { surrogates: true, handle, listMax: isFull ? 3_000 : 400 }

const coverage = new Coverage({ handles: true, functions: true, flagsMax: 32 })
const reached: Record<string, number> = Object.fromEntries(encodings.map((encoding) => [encoding, 0]))
const met: Record<string, number> = {}
const note = (name: string): void => void (met[name] = (met[name] ?? 0) + 1)
const formNames: Readonly<Record<FormName, string>> = {
  "byte order mark": "byte order mark",
  "empty payload": "forms of option and result",
  "option of a tagged option": "forms of option and result",
  "upper-case words": "upper-case words",
}
const known: Known = {
  count: (form) => note(formNames[form]),
  explains(called, jco, expected) {
    const isKnown = isSignedJoin(called, jco, expected)
    if (isKnown) note("signed payload joined to i64")
    return isKnown
  },
}
const totals = { trees: 0, corners: 0, functions: 0, values: 0, wrong: 0, taken: 0 }

// The full count builds some 20 components twice over; the runner has its own limit.
t.setTimeout(1_800_000)
const patient = { timeout: 1_200_000 }
t.comment(`${replay} replays`)
const host = await Host.open({ cache: false })
t.teardown(async () => {
  await host.close()
  removeFiles()
})

const tell = ({ what, type, detail }: Problem): string => `${what}: ${detail}\n${type}\n${replay} replays`
const sample = <A>(arbitrary: fc.Arbitrary<A>, numRuns: number, salt: number): ReadonlyArray<A> => fc.sample(arbitrary, { numRuns, seed: (seed + salt) | 0 })

/** Moves values of every tree and function of a batch through both hosts; the first problem of each type. */
async function run(types: ReadonlyArray<ValueType>, functions: ReadonlyArray<FunctionType>, encoding: Encoding, salt: number): Promise<ReadonlyArray<string>> {
  const trees = types.map((type, index): Tree => ({ index, type }))
  const calls = functions.map((type, index): Call => ({ index, type }))
  const problems: Array<string> = []
  const pair = await Pair.open(host, trees, calls, encoding, known)
  for (const tree of trees) {
    coverage.type(tree.type)
    if (salt === 0) totals.corners++
    else totals.trees++
    const values = sample(fc.tuple(arbitraryValue(tree.type, valueOptions), arbitraryValue(tree.type, valueOptions)), counts.values, salt + 1000 + tree.index)
    for (const [value, other] of values) {
      totals.values++
      if (hasText(value)) reached[encoding] = (reached[encoding] ?? 0) + 1
      const problem = pair.tree(tree, value, other)
      if (problem === undefined) continue
      problems.push(tell(problem))
      break
    }
    const [sound, other] = values[0] as readonly [unknown, unknown]
    for (const spoilt of spoil(tree.type, sound, salt).slice(0, 10)) {
      totals.wrong++
      const { problem, isTaken } = pair.wrong(tree, other, spoilt)
      if (isTaken) totals.taken++
      if (problem === undefined) continue
      problems.push(tell(problem))
      break
    }
  }
  for (const call of calls) {
    coverage.func(call.type)
    totals.functions++
    const args = fc.tuple(...call.type.params.map((param) => arbitraryValue(param.type, valueOptions)))
    const answer = call.type.result === undefined ? fc.constant(undefined) : arbitraryValue(call.type.result, valueOptions)
    for (const [given, answered] of sample(fc.tuple(args, answer), counts.values, salt + 2000 + call.index)) {
      totals.values++
      const problem = pair.func(call, given, answered)
      if (problem === undefined) continue
      problems.push(tell(problem))
      break
    }
  }
  await pair.close()
  return problems
}

const hasText = (value: unknown): boolean =>
  typeof value === "string" || (typeof value === "object" && value !== null && !ArrayBuffer.isView(value) && Object.values(value).some(hasText))

t.test("`call()` answers as jco does for every type constructor, join and signature shape", patient, async (t) => {
  for (const encoding of isFull ? encodings : (["utf8"] as const)) t.same(await run(cornerTypes, cornerCalls(resources), encoding, 0), [], encoding)
})

t.test("`call()` answers as jco does for generated types and values, in each string encoding", patient, async (t) => {
  const order = cornerCalls(resources).slice(0, 1)
  for (let batch = 1; batch <= counts.batches; batch++) {
    const salt = batch * 10_000
    const encoding = encodings[batch % encodings.length] as Encoding
    const types = sample(arbitraryType(typeOptions), counts.types, salt)
    const functions = sample(arbitraryFunction({ ...typeOptions, levels: 2, resources }), counts.functions, salt + 1)
    t.same(await run(types, [...order, ...functions], encoding, salt), [], `batch ${batch}, ${encoding}`)
  }
})

t.test("`call()` answers as jco does for lists of tens of thousands of elements and a text of a million characters", patient, async (t) => {
  const length = isFull ? 100_000 : 30_000
  const numbers = Array.from({ length }, (_, i) => i)
  const record = (type: ValueType, label: string): ValueType => ({
    kind: "record",
    fields: [
      { label: "n", type: { kind: "u8" } },
      { label, type },
    ],
  })
  const rows: ReadonlyArray<readonly [ValueType, unknown]> = [
    [{ kind: "string" }, "aé→😀\0".repeat(200_000)],
    [{ kind: "list", element: { kind: "u8" } }, Uint8Array.from({ length: 4 << 20 }, (_, i) => i)],
    [{ kind: "list", element: { kind: "u64" } }, BigUint64Array.from(numbers, BigInt)],
    [{ kind: "list", element: { kind: "f32" } }, Float32Array.from(numbers)],
    [{ kind: "list", element: { kind: "bool" } }, numbers.map((n) => n % 3 === 0)],
    [{ kind: "list", element: { kind: "string" } }, numbers.map((n) => `${n}é`)],
    [
      { kind: "list", element: record({ kind: "option", type: { kind: "f64" } }, "x") },
      numbers.map((n) => ({ n: n % 256, x: n % 2 === 0 ? undefined : n / 3 })),
    ],
    [{ kind: "list", element: { kind: "list", element: { kind: "u16" } } }, numbers.map((n) => Uint16Array.of(n, n >>> 3))],
  ]
  const trees = rows.map(([type], index): Tree => ({ index, type }))
  for (const encoding of isFull ? encodings : (["utf16"] as const)) {
    const pair = await Pair.open(host, trees, [], encoding, known)
    for (const [i, [, value]] of rows.entries()) {
      const problem = pair.tree(trees[i] as Tree, value, value)
      t.equal(problem === undefined ? undefined : tell(problem), undefined, `${encoding}, ${trees[i]?.type.kind}`)
    }
    await pair.close()
  }
})

const fail = (thrown: unknown): { readonly thrown: unknown } => ({ thrown })
async function shown(act: () => unknown): Promise<{ readonly value: unknown } | { readonly thrown: unknown }> {
  try {
    return { value: await act() }
  } catch (error) {
    return fail(error)
  }
}

t.test("resources of the host and of the guest behave alike, and each is dropped once", async (t) => {
  const built = await build(counter)
  const logs = { ours: await resourceLog("ours", host, built), jco: await resourceLog("jco", host, built) }
  for (const [i, [step, ours]] of logs.ours.entries()) t.same(ours, logs.jco[i]?.[1], step)
  t.ok(logs.ours.length > 20 && logs.ours.length === logs.jco.length, "the whole script ran on both sides")
})

/** A host for `counter.ts` whose resources nobody asks for. */
const unused = {
  Thing: class Thing {
    get(): number {
      return 0
    }
    add(): number {
      return 0
    }
    static twin(): Thing {
      return new Thing()
    }
  },
  take: () => 0,
  pair: () => [],
}

/** What the proofs of `differences.ts` run on. */
async function openStage(): Promise<Stage> {
  const trees = Object.values(shapes).map((type, index): Tree => ({ index, type }))
  const pair = await Pair.open(host, trees, [], "utf8", { count: () => undefined, explains: () => false })
  const builtLiar = await build(liar)
  const jcoLiar = await jcoModule(builtLiar)
  class Thing {}
  const imports = { note: () => undefined, Thing }
  const ourLiar = await load(host, builtLiar, { [liarHost]: imports })
  const builtCounter = await build(counter)
  const jcoCounter = await jcoModule(builtCounter)
  const camel = (name: string): string => name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
  const invoke = (instance: JcoInstance, api: string, name: string, args: ReadonlyArray<unknown>): unknown =>
    jcoInterface(instance, api)[camel(name)]?.(...args)
  const thing = (): object => new Thing()
  /** On one side only, so that what jco cannot build does not fail ours. */
  const one = async (
    side: Side,
    recipe: Recipe,
    call: { readonly ours: (built: Built) => Promise<unknown>; readonly jco: (built: Built) => Promise<unknown> },
  ): Promise<unknown> => call[side](await build({ ...recipe, transpile: side === "jco" }))
  return {
    pair,
    lie: (side, name, args) =>
      side === "ours" ? ourLiar.callSync(`${liarApi}#${name}`, args(thing)) : invoke(jcoLiar({ [liarHost]: imports }), liarApi, name, args(thing)),
    alone: (side, component) =>
      one(
        side,
        { component },
        {
          ours: async (built) => (await load(host, built, {})).callSync("f", []),
          jco: async (built) => (await jcoModule(built))({})["f"],
        },
      ),
    encoded: (side, encoding, value) => {
      const api = "gen:text/api"
      const core = `(module (memory (export "memory") 1) (global $top (mut i32) (i32.const 1024))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (global.set $top (i32.add (global.get $top) (i32.const 64))) (global.get $top))
        (func (export "${api}#echo") (param i32 i32) (result i32) (i32.store (i32.const 8) (local.get 0)) (i32.store (i32.const 12) (local.get 1)) (i32.const 8)))`
      return one(
        side,
        { wit: "package gen:text; interface api { echo: func(v: string) -> string; } world text { export api; }", core, world: "text", encoding },
        {
          ours: async (built) => (await load(host, built, {})).callSync(`${api}#echo`, [value]),
          jco: async (built) => invoke((await jcoModule(built))({}), api, "echo", [value]),
        },
      )
    },
    async disposeTwo(side) {
      const plugin = side === "ours" ? await load(host, builtCounter, { [counterHost]: unused }) : undefined
      const instance = side === "jco" ? jcoCounter({ [counterHost]: unused }) : undefined
      const call = (name: string, ...args: ReadonlyArray<unknown>): unknown =>
        plugin === undefined ? invoke(instance as JcoInstance, counterApi, name, args) : plugin.callSync(`${counterApi}#${name}`, args)
      for (const made of call("many", 2) as ReadonlyArray<Disposable>) made[Symbol.dispose]()
      return call("drops")
    },
  }
}

const stage = await openStage()

t.test("`call()` lifts what CanonicalABI.md lifts and traps where it traps, for a guest that breaks it", async (t) => {
  const explained = new Set(differences.flatMap((one) => one.cases.map((each) => each.lie)))
  const nan: Readonly<Record<string, ReadonlyArray<unknown>>> = { "nan-bits": [Number.NaN], "nan-list-bits": [new Float64Array([Number.NaN])] }
  let trapped = 0
  for (const [name, expected] of Object.entries(lawful)) {
    const args = (thing: () => object): ReadonlyArray<unknown> => (name === "keep-borrow" || name === "drop-twice" ? [thing()] : (nan[name] ?? []))
    const ours = await shown(() => stage.lie("ours", name, args))
    if (expected === "trap") {
      trapped++
      t.match("thrown" in ours ? ours.thrown : undefined, { reason: { _tag: "AbiViolation" } }, `${name} is refused`)
    } else t.ok("value" in ours && sameValue(ours.value, expected.value), name)
    const jco = await shown(() => stage.lie("jco", name, args))
    const isLawful = expected === "trap" ? "thrown" in jco : "value" in jco && sameValue(jco.value, expected.value)
    t.ok(isLawful || explained.has(name), `${name}: jco does the same, or a difference names it`)
  }
  t.ok(trapped > 10)
})

for (const difference of differences) {
  t.test(`jco still differs by "${difference.name}"`, async (t) => {
    t.ok(difference.cases.length > 0, "it has a minimal case")
    for (const one of difference.cases) {
      for (const side of sides) {
        const problem = unmet(one[side], await shown(() => one.run(stage, side)))
        t.ok(problem === undefined, `${one.what}, ${side}${problem === undefined ? "" : ` ${problem}`}`)
      }
    }
  })
}

t.test("the differences are few, named once and cited", (t) => {
  t.ok(differences.length <= differencesMax, `${differences.length} of at most ${differencesMax}`)
  t.equal(new Set(differences.map((one: Difference) => one.name)).size, differences.length)
  t.ok(differences.every((one) => one.clause !== "" && one.why !== ""))
  for (const name of Object.keys(met))
    t.ok(
      differences.some((one) => one.name === name),
      `"${name}" was met and is in the file`,
    )
  t.end()
})

t.test("the run reached every type constructor, flattening join, signature shape and string encoding", (t) => {
  t.comment(
    `${totals.trees} generated type trees and ${totals.corners} fixed ones, ${totals.functions} functions with handles, ${totals.values} values; ${totals.wrong} wrong values refused, ${totals.taken} of them taken by jco`,
  )
  t.comment(coverage.report())
  t.comment(
    `strings: ${Object.entries(reached)
      .map(([encoding, count]) => `${encoding}: ${count}`)
      .join(", ")}`,
  )
  t.comment(
    `differences met: ${Object.entries(met)
      .map(([name, count]) => `${name}: ${count}`)
      .join(", ")}`,
  )
  t.same(coverage.missing(), [], "nothing of the types was missed")
  for (const [encoding, count] of Object.entries(reached)) t.ok(count > 0, `${encoding} was reached`)
  t.ok(totals.trees >= (isFull ? 300 : 60), `${totals.trees} type trees`)
  t.ok(totals.taken > 0, "jco takes wrong values, as the differences say")
  t.end()
})
