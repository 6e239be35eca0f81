/**
 * The WIT front end against wasm-tools (as jco ships them): on every package that jco ships and on random worlds, both
 * read or both refuse, and mean the same. What is printed is encoded to the same bytes as the original; what a component
 * made from the text imports and exports is what the parser found.
 */
import t from "tap"
import { decodeComponent } from "../../host/component/decode.ts"
import { elaborate } from "../../host/component/elaborate.ts"
import { limits } from "../../schemas/error/mod.ts"
import { worldDifference } from "../../schemas/wit/conform.ts"
import type { ExternType } from "../../schemas/wit/model.ts"
import { worldText } from "../../schemas/wit/print.ts"
import { checkWit, parseWit, printWit, type Resolve, selectWorld } from "../../schemas/wit/parse/mod.ts"
import { mutated, numbers } from "./mutate-wit.ts"
import { carried, everything, randomWorld } from "./random-world.ts"
import { Panic, Refusal, wasmTools } from "./wasm-tools.ts"
import { shippedPackages } from "./wit-packages.ts"
import { replay, runsOf, seed } from "../seed.ts"

const runs = runsOf(40, 1_000)
t.comment(`${replay} STELE_TEST_RUNS=${runs}: ${runs} worlds`)

const hostLimits = Object.fromEntries(Object.entries(limits).map(([name, limit]) => [name, limit.default])) as { [K in keyof typeof limits]: number }

interface Embedded {
  /** A module without code that imports and exports everything, with the world in a custom section. */
  readonly core: Uint8Array
  readonly component: Uint8Array
}

/** How often wasm-tools panicked, which is no answer. */
let [calls, panics] = [0, 0]

/** What wasm-tools make of a world; or why they refuse it, or nothing where they panic. */
async function embed(witSource: string, world: string): Promise<Embedded | string | undefined> {
  calls++
  try {
    return await wasmTools(({ componentEmbed, componentNew }) => {
      const core = componentEmbed({ dummy: true, witSource, world, features: { tag: "all" } })
      // The validator knows rules that the parser does not.
      return { core, component: componentNew(core, []) }
    })
  } catch (error) {
    if (error instanceof Refusal) return error.message
    if (!(error instanceof Panic)) throw error
    panics++
    return undefined
  }
}

/** A resource with two names in one scope has one in the model, so its text may take another index. */
function hasDoubleName({ packages }: Resolve): boolean {
  const isDouble = (externs: ReadonlyMap<string, ExternType>): boolean => {
    const resources = [...externs.values()].flatMap((extern) => (extern.kind === "resource-type" ? [extern.resource] : []))
    const inner = [...externs.values()].some((extern) => extern.kind === "interface" && isDouble(extern.exports))
    return inner || new Set(resources).size < resources.length
  }
  return [...packages.values()].some(
    ({ interfaces, worlds }) =>
      [...interfaces.values()].some(({ type }) => isDouble(type.exports)) ||
      [...worlds.values()].some(({ world }) => isDouble(world.imports) || isDouble(world.exports)),
  )
}

const isEqual = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i])

t.test("packages that jco ships mean to us what they mean to wasm-tools", async (t) => {
  for (const [name, input] of shippedPackages()) {
    const resolve = parseWit(input)
    const text = printWit(resolve)
    // wasm-tools read one file here, so that ours is what they read: it says all of the package.
    for (const world of resolve.main.worlds.keys()) {
      const made = await embed(text, world)
      if (made === undefined || typeof made === "string") t.fail(`${name} ${world}: ${made ?? "wasm-tools panicked"}`)
      else if (!name.startsWith("0.3")) {
        const decoded = elaborate(decodeComponent(made.component, hostLimits), hostLimits).world
        t.equal(worldDifference(decoded, selectWorld(resolve, world).world), undefined, `${name} ${world}`)
        const said = parseWit(`package it:self;\n${worldText("it", decoded)}`)
        t.strictSame(worldDifference(decoded, selectWorld(said, "it").world), undefined, `${name} ${world}: what is printed of the component`)
      } else t.pass(`${name} ${world}: read; async functions are not decoded`)
    }
  }
})

t.test("random worlds of all of WIT are encoded to the same bytes from the original and from what is printed", async (t) => {
  let same = 0
  for (let i = 0; i < runs; i++) {
    const { text, world } = randomWorld(seed + i, { ...everything, shuffled: false })
    const made = await embed(text, world)
    if (made === undefined) continue
    const { resolve, problems } = checkWit(text, { features: "all" })
    if (typeof made === "string" || resolve === undefined) {
      t.fail(`seed ${seed + i}: wasm-tools: ${typeof made === "string" ? made : "read"}; here: ${problems[0]?.message ?? "read"}`)
      continue
    }
    const printed = printWit(resolve)
    const again = await embed(printed, world)
    if (again === undefined) continue
    if (typeof again === "string") t.fail(`seed ${seed + i}: wasm-tools refuse what is printed: ${again}`)
    else if (isEqual(made.core, again.core)) same++
    else t.ok(hasDoubleName(resolve), `seed ${seed + i}: other bytes`)
    if (printWit(parseWit(printed, { features: "all" })) !== printed) t.fail(`seed ${seed + i}: printed twice, two texts`)
  }
  t.ok(same > runs / 2, `${same} of ${runs} the same bytes`)
})

t.test("a component imports and exports what the parser found", async (t) => {
  for (let i = 0; i < runs; i++) {
    const { text, input, world } = randomWorld(seed + i, carried)
    const made = await embed(text, world)
    if (made === undefined) continue
    if (typeof made === "string") {
      t.fail(`seed ${seed + i}: ${made}`)
      continue
    }
    const decoded = elaborate(decodeComponent(made.component, hostLimits), hostLimits).world
    for (const [form, resolve] of [
      ["one file", parseWit(text)],
      ["files and folders", parseWit(input)],
    ] as const) {
      const found = selectWorld(resolve, world).world
      t.strictSame(worldDifference(decoded, found), undefined, `seed ${seed + i}: ${form}`)
      const names = (of: ReadonlyMap<string, ExternType>): ReadonlyArray<string> =>
        [...of].flatMap(([name, extern]) => (extern.kind === "interface" ? [name] : [])).sort()
      t.strictSame(names(decoded.exports), names(found.exports), `seed ${seed + i}: ${form}: exports`)
      // A component leaves out what it does not use; a module that imports everything uses all functions.
      for (const [name, extern] of found.imports) {
        const has = extern.kind === "function" || (extern.kind === "interface" && [...extern.exports.values()].some(({ kind }) => kind === "function"))
        if (has && !decoded.imports.has(name)) t.fail(`seed ${seed + i}: ${form}: "${name}" is not imported`)
      }
    }
  }
})

/** Where we are known to differ (`schemas/wit/README.md`): what we refuse and they read, and the other way round. */
const narrower = /a borrowed handle: it may end|is a package, and packages|characters is too long/
const wider = /unexpected character '\\r'|dependency cycle|shadows previously imported/

t.test("files with a token changed are read by both or refused by both", async (t) => {
  const int = numbers(seed)
  const counts = { read: 0, refused: 0, known: 0 }
  for (let i = 0; i < runs * 2; i++) {
    const { text: original, world } = randomWorld(seed + i, { ...everything, size: 3 })
    const text = mutated(original, 1, int)
    const made = await embed(text, world)
    if (made === undefined) continue
    const { resolve, problems } = checkWit(text, { features: "all" })
    const isRead = resolve?.main.worlds.has(world) === true
    if (isRead === (typeof made !== "string")) counts[isRead ? "read" : "refused"]++
    else if (typeof made === "string" ? wider.test(made) : narrower.test(problems[0]?.message ?? "")) counts.known++
    else t.fail(`run ${i}: wasm-tools: ${typeof made === "string" ? made : "read"}; here: ${problems[0]?.message ?? "read"}`)
  }
  t.ok(counts.read > 0 && counts.refused > runs / 2, JSON.stringify(counts))
})

t.test("wasm-tools panicked at almost none of these worlds", async (t) => {
  t.ok(calls > runs && panics <= 2 + calls / 100, `${panics} of ${calls} times`)
})

t.test("a panic is told from a refusal, and another instance of wasm-tools answers after it", async (t) => {
  const seen = new Set<unknown>()
  const trapped = wasmTools((tools) => {
    seen.add(tools)
    throw new WebAssembly.RuntimeError("unreachable")
  })
  t.ok((await trapped.catch((error: unknown) => error)) instanceof Panic)
  const refused = wasmTools((tools) => {
    seen.add(tools)
    return tools.componentEmbed({ dummy: true, witSource: "package", world: "w" })
  })
  t.ok((await refused.catch((error: unknown) => error)) instanceof Refusal)
  t.equal(seen.size, 2)
  await wasmTools((tools) => seen.add(tools))
  t.equal(seen.size, 2, "after a refusal the same")
})
