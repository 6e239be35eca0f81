/** One component in both hosts, called alike: what the functions of `guest.ts` do with values, and what each host made of them. */
import { WitError } from "../../schemas/error/wit.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import type { FunctionType, ValueType } from "../../schemas/wit/model.ts"
import { functionText, shapeText } from "../../schemas/wit/print.ts"
import type { Host, Plugin } from "../../host/mod.ts"
import { sameValue } from "../schemas/arbitrary-type.ts"
import { build, type Encoding, jcoInterface, jcoModule, load } from "./build.ts"
import { apiName, type Call, functionsOf, guestSource, type Tree, typesName, widened } from "./guest.ts"
import { Held, Resource0, Resource1 } from "./held.ts"
import { type Count, jcoAnswer, jcoArguments } from "./jco-form.ts"
import type { Spoilt } from "./spoil.ts"

export type Side = "ours" | "jco"
export const sides: ReadonlyArray<Side> = ["ours", "jco"]

/** The outermost `result` of an answer as a value: both hosts throw its error case. */
export function outcome(side: Side, type: ValueType | undefined, call: () => unknown): unknown {
  if (type?.kind !== "result") return call()
  const make = (tag: "ok" | "err", val: unknown): unknown => (type[tag] === undefined && val === undefined ? { tag } : { tag, val })
  let value: unknown
  try {
    value = call()
  } catch (error) {
    if (side === "ours" && error instanceof PluginError && error.reason._tag === "Guest") return make("err", error.reason.payload)
    // jco throws the payload itself, of whatever type; its own refusals are errors.
    if (side === "jco" && !(error instanceof Error)) return make("err", error)
    throw error
  }
  return make("ok", value)
}

/** Lone surrogates replaced, as every encoding of the canonical ABI does it. */
export function wellFormed(value: unknown): unknown {
  if (typeof value === "string") return value.toWellFormed()
  if (Array.isArray(value)) return value.map(wellFormed)
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || value instanceof Held) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, wellFormed(inner)]))
}

/** Short text of any value, for messages. */
export function show(value: unknown, max = 300): string {
  const text = JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "bigint"
      ? `${inner}n`
      : typeof inner === "number" && !Number.isFinite(inner)
        ? String(inner)
        : Object.is(inner, -0)
          ? "-0"
          : ArrayBuffer.isView(inner)
            ? Array.from(inner as unknown as ArrayLike<unknown>).slice(0, 20)
            : inner === undefined
              ? "undefined"
              : inner,
  )
  return text === undefined ? "undefined" : text.length > max ? `${text.slice(0, max)}…` : text
}

/** Where two values first differ. */
export function differing(a: unknown, b: unknown, path = ""): string {
  if (typeof a === "object" && typeof b === "object" && a !== null && b !== null) {
    for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
      const [left, right] = [(a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]]
      if (Object.hasOwn(a, key) !== Object.hasOwn(b, key))
        return `${path}.${key}: ${Object.hasOwn(a, key) ? "present" : "absent"} and ${Object.hasOwn(b, key) ? "present" : "absent"}`
      if (!sameValue(left, right)) return differing(left, right, `${path}.${key}`)
    }
    if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return `${path}: a ${a.constructor?.name} and a ${b.constructor?.name}`
  }
  return `${path === "" ? "the value" : path}: ${show(a, 120)} and ${show(b, 120)}`
}

export interface Problem {
  readonly what: string
  readonly type: string
  readonly detail: string
}

/** What a call shows: its result, and what the import received. */
export interface Shown {
  readonly result: unknown
  readonly received: ReadonlyArray<unknown> | undefined
  readonly thrown?: unknown
}

export const sameShown = (a: Shown, b: Shown): boolean =>
  a.thrown === undefined && b.thrown === undefined && sameValue(a.result, b.result) && sameValue(a.received, b.received)

/** What is known of jco: differences of form are counted as they are met, anything else must be explained by a difference. */
export interface Known {
  readonly count: Count
  /** `called` is the import that lifts the arguments. */
  readonly explains: (called: FunctionType, jco: Shown, expected: Shown) => boolean
}

const trace = (error: unknown): string =>
  `${String(error)} ${String((error as Error).stack)
    .split("\n")
    .slice(1, 4)
    .join(" ")}`

type Functions = Record<string, (...args: ReadonlyArray<unknown>) => unknown>

/** What the imports do: answer with a value of the result's type, or return anything at all. */
interface Script {
  answer: unknown
  bare?: { readonly returned: unknown }
}

/** A batch of types and functions in both hosts. */
export class Pair {
  readonly #functions: ReadonlyMap<string, FunctionType>
  readonly #plugin: Plugin
  readonly #instantiate: () => Functions
  #jco: Functions
  /** What each import call got, and what it answers. */
  readonly #received: Array<ReadonlyArray<unknown>>
  readonly #script: Script
  readonly #known: Known

  private constructor(
    functions: ReadonlyMap<string, FunctionType>,
    plugin: Plugin,
    instantiate: () => Functions,
    received: Array<ReadonlyArray<unknown>>,
    script: Script,
    known: Known,
  ) {
    this.#functions = functions
    this.#plugin = plugin
    this.#instantiate = instantiate
    this.#jco = instantiate()
    this.#received = received
    this.#script = script
    this.#known = known
  }

  static async open(host: Host, trees: ReadonlyArray<Tree>, calls: ReadonlyArray<Call>, encoding: Encoding, known: Known): Promise<Pair> {
    const functions = functionsOf(trees, calls)
    const source = guestSource(trees, calls)
    // jco has no latin1+utf16 (`differences.ts`): what it does with the same guest in UTF-8 must be the same.
    const isAlone = encoding === "compact-utf16"
    const built = await build({ ...source, world: "both", encoding, transpile: !isAlone })
    const received: Array<ReadonlyArray<unknown>> = []
    const script: Script = { answer: undefined }
    const serve = (side: Side): Readonly<Record<string, unknown>> => {
      const out: Record<string, (...args: ReadonlyArray<unknown>) => unknown> = {}
      for (const [name, type] of functions) {
        out[jsName(name)] = (...args) => {
          received.push(args)
          if (script.bare !== undefined) return script.bare.returned
          if (side === "ours") return script.answer
          const answer = jcoAnswer(type, script.answer, ignore, false)
          if (type.result?.kind !== "result") return answer
          const { tag, val } = answer as { readonly tag: string; readonly val?: unknown }
          if (tag === "ok") return val
          throw Object.assign(new Error("the error case"), { payload: val })
        }
      }
      return out
    }
    const classes = { Resource0, Resource1 }
    const usesHandles = source.core.includes("[resource-drop]")
    const plugin = await load(host, built, { [apiName]: serve("ours"), ...(usesHandles ? { [typesName]: classes } : {}) })
    const instantiate = await jcoModule(isAlone ? await build({ ...source, world: "both", encoding: "utf8" }) : built)
    const imports = { "gen:types/api": serve("jco"), "gen:types/types": classes }
    return new Pair(functions, plugin, () => jcoInterface(instantiate(imports), apiName), received, script, known)
  }

  close(): Promise<void> {
    return this.#plugin.close()
  }

  /** `call`, what the side shows left in its own form, and the value given in it. */
  raw(side: Side, name: string, args: ReadonlyArray<unknown>, answer: unknown): Shown {
    this.#received.length = 0
    this.#script.answer = answer
    return { result: outcome(side, this.#functions.get(name)?.result, () => this.#invoke(side, name, args)), received: this.#received[0] }
  }

  /** What the import `flat` gets when `wide` is called with a value, which it answers. */
  passed(side: Side, index: number, given: unknown): unknown {
    return this.raw(side, `wide-${index}`, widened(given), given).received?.[0]
  }

  /** Calls a function, whatever it returns or throws; its import returns `returned`, form and all. */
  bare(side: Side, name: string, args: ReadonlyArray<unknown>, returned?: unknown): unknown {
    this.#script.bare = { returned }
    try {
      return this.#invoke(side, name, args)
    } finally {
      delete this.#script.bare
    }
  }

  #invoke(side: Side, name: string, args: ReadonlyArray<unknown>): unknown {
    if (side === "ours") return this.#plugin.callSync(`${apiName}#${name}`, args)
    try {
      return (this.#jco[jsName(name)] as (...args: ReadonlyArray<unknown>) => unknown)(...args)
    } catch (error) {
      // What a host does with an instance that failed is its own affair; jco keeps it as it was left.
      this.#jco = this.#instantiate()
      throw error
    }
  }

  /** Calls one function on one side, its import answering `answer`: the result and what the import got. */
  call(side: Side, name: string, args: ReadonlyArray<unknown>, answer: unknown): Shown {
    return this.raw(side, name, side === "ours" ? args : jcoArguments(this.#functions.get(name) as FunctionType, args, ignore, false), answer)
  }

  /**
   * Calls `name` on both sides; ours must show what was sent, and jco the same in its form, unless a named difference
   * accounts for what it shows.
   */
  check(name: string, args: ReadonlyArray<unknown>, answer: unknown, sent: Shown): Problem | undefined {
    const type = this.#functions.get(name) as FunctionType
    for (const side of sides) {
      const shown = this.#show(side, name, args, answer)
      const expected = side === "ours" ? sent : this.#inJcoForm(name, sent)
      if (sameShown(shown, expected)) continue
      if (side === "jco" && this.#known.explains(this.#functions.get(partner(name)) as FunctionType, shown, expected)) continue
      const detail =
        shown.thrown !== undefined
          ? `${trace(shown.thrown)} for ${show(args)}`
          : !sameValue(shown.result, expected.result)
            ? `result: ${differing(shown.result, expected.result)}`
            : `import got: ${differing(shown.received, expected.received)}`
      return { what: `${side} ${name}`, type: functionText(type, 0, 2_000), detail }
    }
    return undefined
  }

  /** What jco must show where we show `shown`. */
  #inJcoForm(name: string, { received, result }: Shown): Shown {
    const type = this.#functions.get(name) as FunctionType
    // The import that `flat-N` calls is `wide-N`, and the other way round: the same value, laid out otherwise.
    const called = this.#functions.get(partner(name)) as FunctionType
    return {
      received: received === undefined ? undefined : jcoArguments(called, received, this.#known.count, true),
      result: jcoAnswer(type, result, this.#known.count, true),
    }
  }

  #show(side: Side, name: string, args: ReadonlyArray<unknown>, answer: unknown): Shown {
    try {
      return this.call(side, name, args, answer)
    } catch (thrown) {
      return { result: undefined, received: this.#received[0], thrown }
    }
  }

  /** A value through `flat`, `wide` and `echo` of one tree, `other` being what the import answers. */
  tree({ index, type }: Tree, value: unknown, other: unknown): Problem | undefined {
    const [sent, answered] = [wellFormed(value), wellFormed(other)]
    const problem =
      this.check(`flat-${index}`, [value], other, { received: widened(sent), result: answered }) ??
      this.check(`wide-${index}`, widened(value), other, { received: [sent], result: answered }) ??
      this.check(`echo-${index}`, [value], undefined, { received: undefined, result: sent })
    return problem === undefined ? undefined : { ...problem, type: deepText(type) }
  }

  /** A wrong argument and a wrong answer of the import: ours must refuse each and name the place; did jco take the argument? */
  wrong({ index, type }: Tree, sound: unknown, spoilt: Spoilt): { readonly problem?: Problem; readonly isTaken: boolean } {
    const refusal = (root: string, run: () => unknown): string | undefined => {
      try {
        return `answered ${show(run())}`
      } catch (error) {
        const path = error instanceof WitError && error.reason._tag === "Value" ? error.reason.path : undefined
        return path === root + spoilt.path ? undefined : `refused with ${String(error)}, not at ${root}${spoilt.path}`
      }
    }
    const detail =
      refusal("args[0]", () => this.raw("ours", `echo-${index}`, [spoilt.value], undefined)) ??
      refusal("result", () => this.raw("ours", `flat-${index}`, [sound], spoilt.value))
    let isTaken = true
    try {
      this.raw("jco", `echo-${index}`, [spoilt.value], undefined)
    } catch {
      isTaken = false
    }
    return detail === undefined ? { isTaken } : { isTaken, problem: { what: `ours, ${show(spoilt.value)}`, type: deepText(type), detail } }
  }

  func({ index }: Call, args: ReadonlyArray<unknown>, answer: unknown): Problem | undefined {
    return this.check(`call-${index}`, args, answer, { received: wellFormed(args) as ReadonlyArray<unknown>, result: wellFormed(answer) })
  }
}

const ignore: Count = () => undefined

/** The import that an export of `guest.ts` calls. */
const partner = (name: string): string =>
  name.startsWith("flat-") ? name.replace("flat", "wide") : name.startsWith("wide-") ? name.replace("wide", "flat") : name

export const jsName = (name: string): string => name.replace("-", "")

/** Structure of a type of this test: its generated types have no names. */
export const deepText = (type: ValueType): string => shapeText(type, 2_000)
