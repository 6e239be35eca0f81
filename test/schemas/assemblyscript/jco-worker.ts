/**
 * A thread in which jco makes a component of a core module, and plays ours: a component that it cannot take poisons it, so the
 * caller throws the thread away after any problem.
 */
import { rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { parentPort, workerData } from "node:worker_threads"
import { transpileBytes } from "@bytecodealliance/jco-transpile"
import { componentEmbed, componentNew } from "@bytecodealliance/jco-transpile/wasm-tools"
import { isTaggedOption } from "../../../schemas/value/form.ts"
import { memberOf, type PluginSurface } from "../../../schemas/generate/assemblyscript/mod.ts"
import { type FunctionType, propertyName, type ValueType } from "../../../schemas/wit/model.ts"
import { choosers, type Form, Given, plannedWorld, type Player, Run } from "./play.ts"

export interface JcoTask {
  readonly seed: number
  readonly core: Uint8Array
  /** By our encoder. */
  readonly component: Uint8Array
}
export interface JcoAnswer {
  /** By wit-component. */
  readonly theirs?: Uint8Array
  readonly transcript?: ReadonlyArray<string>
  readonly problem?: { readonly stage: string; readonly message: string }
}

// ── Values ──────────────────────────────────────────────────────────────────

interface Change {
  /** Of a field or flag: what it is called and what it will be. */
  readonly name?: (label: string) => readonly [from: string, to: string]
  readonly text?: (text: string) => string
  /** Whether an option is in tags, and whether it will be. */
  readonly option?: (payload: ValueType) => readonly [from: boolean, to: boolean]
}
const unnamed = (label: string) => [propertyName(label), propertyName(label)] as const
const asOurs = (payload: ValueType) => [isTaggedOption(payload), isTaggedOption(payload)] as const
/** jco tags an option only where its payload may be undefined: an option that is in tags itself may not. */
const isTaggedByJco = (payload: ValueType): boolean => payload.kind === "option" && !isTaggedByJco(payload.type)

/** jco's values have the shapes of ours, but for the names of some fields and for options of options of options. */
function changed(type: ValueType, value: unknown, change: Change): unknown {
  const { name = unnamed, option = asOurs } = change
  const inner = (part: ValueType, val: unknown): unknown => changed(part, val, change)
  const tagged = (tag: string, part: ValueType | undefined, val: unknown): unknown => (part === undefined ? { tag } : { tag, val: inner(part, val) })
  switch (type.kind) {
    case "string":
      return change.text?.(value as string) ?? value
    case "list":
      return Array.isArray(value) ? value.map((one) => inner(type.element, one)) : value
    case "tuple":
      return type.types.map((part, i) => inner(part, (value as ReadonlyArray<unknown>)[i]))
    case "record":
      return Object.fromEntries(
        type.fields.map(({ label, type: part }) => {
          const [from, to] = name(label)
          return [to, inner(part, (value as Record<string, unknown>)[from])]
        }),
      )
    case "flags":
      return Object.fromEntries(
        type.labels.map((label) => {
          const [from, to] = name(label)
          return [to, (value as Record<string, unknown>)[from]]
        }),
      )
    case "option": {
      const [from, to] = option(type.type)
      const { tag, val } = from ? (value as { readonly tag: string; readonly val?: unknown }) : { tag: value === undefined ? "none" : "some", val: value }
      if (to) return tagged(tag, tag === "some" ? type.type : undefined, val)
      return tag === "some" ? inner(type.type, val) : undefined
    }
    case "result": {
      const { tag, val } = value as { readonly tag: "ok" | "err"; readonly val?: unknown }
      return tagged(tag, type[tag], val)
    }
    case "variant": {
      const { tag, val } = value as { readonly tag: string; readonly val?: unknown }
      return tagged(tag, type.cases.find(({ label }) => label === tag)?.type, val)
    }
    default:
      return value
  }
}

/** As jco names fields: heck's lower camel case, which writes every word but the first with one capital. */
const jcoName = (label: string): string =>
  label
    .split("-")
    .map((word, i) => (i === 0 ? word.toLowerCase() : word.charAt(0).toUpperCase() + word.slice(1).toLowerCase()))
    .join("")
const jcoForm: Form = {
  received: (type, value) =>
    changed(type, value, { name: (label) => [jcoName(label), propertyName(label)], option: (of) => [isTaggedByJco(of), isTaggedOption(of)] }),
  given: (type, value) =>
    changed(type, value, { name: (label) => [propertyName(label), jcoName(label)], option: (of) => [isTaggedOption(of), isTaggedByJco(of)] }),
  // A result is its payload, returned or thrown.
  answer(type, value) {
    const whole = jcoForm.given(type, value)
    if (type.kind !== "result") return whole
    const { tag, val } = whole as { readonly tag: string; readonly val?: unknown }
    if (tag === "err") throw Object.assign(new Error("refused"), { payload: val })
    return val
  },
  // Its decoder of UTF-16 takes a leading U+FEFF for a byte order mark.
  kept: (type, value) => changed(type, value, { text: (text) => text.replace(/^\uFEFF/, "") }),
  name: jcoName,
}
const className = (label: string): string => jcoName(label).replace(/^./, (letter) => letter.toUpperCase())

// ── The plugin as jco runs it ───────────────────────────────────────────────

type Functions = Record<string, unknown>
type Body = (...args: ReadonlyArray<unknown>) => unknown

/** What our host is given, as jco's output asks for it: without versions, functions of the world as modules. */
function jcoImports(given: Given, surface: PluginSurface): Record<string, unknown> {
  const out: Record<string, Functions> = {}
  const put = (at: string, name: string, value: unknown): void => {
    const module = (out[at] ??= {})
    module[name] = value
  }
  for (const { externs, full, isExport } of surface.modules) {
    if (isExport) continue
    const functions = (given.imports[full ?? ""] ?? {}) as Functions
    for (const [label, extern] of externs) {
      const at = full?.split("@")[0]
      if (extern.kind === "resource-type")
        put(at ?? label, at === undefined ? "default" : className(label), given.classOf(surface.values.real(extern.resource) as never))
      if (extern.kind !== "function" || memberOf(label).role !== "function") continue
      if (at === undefined) put(label, "default", given.imports[label])
      else put(at, jcoName(label), functions[jcoName(label)])
    }
  }
  return out
}

class JcoPlayer implements Player {
  readonly #instance: Record<string, Functions | Body>
  constructor(instance: Record<string, Functions | Body>) {
    this.#instance = instance
  }

  async call(name: string, type: FunctionType, given: ReadonlyArray<unknown>): Promise<unknown> {
    const args = type.params.map((param, i) => jcoForm.given(param.type, given[i]))
    const { result } = type
    try {
      const value = this.#apply(name, args)
      if (result?.kind === "result") return jcoForm.received(result, { tag: "ok", val: value })
      return result === undefined ? undefined : jcoForm.received(result, value)
    } catch (error) {
      if (result?.kind !== "result") throw error
      // An error of the function's own is thrown as it is, or as the payload of an Error.
      if (!(error instanceof Error)) return jcoForm.received(result, { tag: "err", val: error })
      if (!Object.hasOwn(error, "payload")) throw error
      return jcoForm.received(result, { tag: "err", val: (error as unknown as { readonly payload: unknown }).payload })
    }
  }

  #apply(name: string, args: Array<unknown>): unknown {
    const at = name.lastIndexOf("#")
    const label = name.slice(at + 1)
    const { resource = "", role, label: member } = memberOf(label)
    const path = name.slice(0, Math.max(at, 0))
    const scope = (at < 0 ? this.#instance : (this.#instance[path] ?? this.#instance[jcoName(path)])) as Record<
      string,
      Body & (new (...args: Array<unknown>) => unknown) & Record<string, Body>
    >
    if (role === "function") return scope[jcoName(label)]!(...args)
    const made = scope[className(resource)]!
    if (role === "constructor") return new made(...args)
    if (role === "static") return made[jcoName(member)]!(...args)
    const [self, ...rest] = args as [Record<string, Body>, ...Array<unknown>]
    return self[jcoName(member)]!(...rest)
  }
}

async function answerOf({ component, core, seed }: JcoTask): Promise<JcoAnswer> {
  let stage = "embed"
  let theirs: Uint8Array | undefined
  try {
    const { full, plan, surface, wit } = plannedWorld(seed)
    theirs = new Uint8Array(await componentNew(await componentEmbed({ binary: core, witSource: wit, world: full, stringEncoding: "utf16" })))
    stage = "transpile"
    const { files } = (await transpileBytes(component, {
      name: `w${seed}`,
      instantiation: "sync",
      nodejsCompat: false,
      emitTypescriptDeclarations: false,
      minify: false,
    })) as { readonly files: Readonly<Record<string, Uint8Array>> }
    stage = "load"
    const path = join(workerData as string, `w${seed}.mjs`)
    await writeFile(path, files[`w${seed}.js`] as Uint8Array)
    const { instantiate } = (await import(pathToFileURL(path).href)) as {
      instantiate: (core: (name: string) => WebAssembly.Module, imports: object) => Record<string, Functions | Body>
    }
    const choose = choosers(seed)
    const given = new Given(surface, choose.given, jcoForm)
    const player = new JcoPlayer(instantiate((name) => new WebAssembly.Module(files[name] as BufferSource), jcoImports(given, surface)))
    await rm(path)
    stage = "call"
    const run = new Run(player, plan, given, surface, choose.calls, jcoForm)
    await run.twice()
    return { theirs, transcript: run.transcript }
  } catch (error) {
    // What wasm-tools refuse is text, as the payload of an error.
    const { payload } = error as { readonly payload?: unknown }
    const message = typeof payload === "string" ? payload : error instanceof Error ? (error.stack ?? error.message) : String(error)
    return { ...(theirs !== undefined && { theirs }), problem: { stage, message } }
  }
}

parentPort?.on("message", (task: JcoTask) => {
  void answerOf(task).then((answer) => parentPort?.postMessage(answer))
})
