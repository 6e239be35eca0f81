/**
 * Plugins linked to plugins: an import of one is met by the exports of another, which stays a plugin of its own, with its
 * grants, limits, tenant and records. Loaded with the first load that has `links`. See `docs/adr/0045-composition.md`.
 */
import { CompositionError } from "../../schemas/error/composition.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { SteleError } from "../../schemas/error/family.ts"
import { LimitError } from "../../schemas/error/limit.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { differenceText, functionDifference } from "../../schemas/wit/equal.ts"
import type { FunctionType } from "../../schemas/wit/model.ts"
import { printable } from "../../schemas/wit/name.ts"
import { typeText } from "../../schemas/wit/print.ts"
import { anywhere } from "../../schemas/wit/tree.ts"
import type { CallContext, HostFunction } from "../capability/capability.ts"
import type { Grant, GrantSet } from "../capability/grant.ts"
import { isCompatible } from "../capability/mod.ts"
import { covers } from "../capability/scope.ts"
import type { Blueprint, ImportSpec } from "../component/blueprint.ts"
import { callerTenant, type LinkedCallOptions, show } from "../options.ts"
import { type Callee, type Edition, findCallee, Plugin } from "../plugin.ts"
import { splitVersion } from "./link.ts"

/** An interface that another plugin serves. */
export interface PluginLink {
  readonly plugin: Plugin
  readonly functions: ReadonlyMap<string, HostFunction>
  /** Its functions may answer with promises. */
  readonly waits: boolean
  /** The least grant that covers it. */
  readonly grant: string
  /** Grants of its functions that `grants` do not cover. */
  missing(grants: ReadonlyArray<Grant> | GrantSet): ReadonlyArray<string>
}

export type Link = Pick<Plugin, "describe" | "digest" | "isClosed">

export class Links {
  readonly #links = new Map<string, PluginLink>()

  /**
   * Compares what the blueprint imports with what the plugins export.
   * @throws ConfigError for a link that no import is met by; CompositionError `NoInterface`, `Mismatch`, `Handle`
   */
  constructor({ imports }: Blueprint, links: Readonly<Record<string, Link>>, provided: object) {
    if (typeof links !== "object" || links === null) throw new ConfigError("Option", { option: "links", expected: "an object of plugins", actual: show(links) })
    const used = new Set<string>()
    for (const [name, specs] of Map.groupBy(imports, (spec) => spec.interface)) {
      const key = name === undefined ? undefined : [name, splitVersion(name).name].find((one) => Object.hasOwn(links, one))
      if (name === undefined || key === undefined) continue
      const option = `links["${key}"]`
      const { plugin } = Plugin.editionOf(links[key]) ?? {}
      if (plugin === undefined) throw new ConfigError("Option", { option, expected: "a plugin that a host has loaded", actual: show(links[key]) })
      if (plugin.isClosed) throw new PluginError("Closed", { what: `the plugin of ${option}` })
      if (Object.hasOwn(provided, name) || Object.hasOwn(provided, splitVersion(name).name))
        throw new ConfigError("Option", { option, expected: "an import that `imports` does not meet, too", actual: "one that both name" })
      used.add(key)
      this.#links.set(name, linkTo(plugin, name, specs))
    }
    for (const key of Object.keys(links)) {
      if (used.has(key)) continue
      const known = [...new Set(imports.flatMap((spec) => spec.interface ?? []))].map((name) => printable(name))
      throw new ConfigError("UnknownOption", { option: `links["${key}"]`, known })
    }
  }

  /** What meets the import of this name. */
  get(name: string): PluginLink | undefined {
    return this.#links.get(name)
  }

  /** @throws CompositionError `Cycle` when one of the plugins is `plugin`, or is linked to it over others */
  refuseCycle(plugin: Plugin): void {
    const way = this.#wayTo(plugin, new Set())
    if (way !== undefined) throw new CompositionError("Cycle", { way })
  }

  #wayTo(plugin: Plugin, seen: Set<Plugin>): ReadonlyArray<string> | undefined {
    for (const [name, { plugin: next }] of this.#links) {
      if (next === plugin) return [printable(name)]
      if (seen.has(next)) continue
      seen.add(next)
      const { links } = editionOf(next).linked
      const way = links === undefined ? undefined : links.#wayTo(plugin, seen)
      if (way !== undefined) return [printable(name), ...way]
    }
    return undefined
  }
}

const livesInOnePlugin = anywhere(({ kind }) => kind === "own" || kind === "borrow" || kind === "stream" || kind === "future" || kind === "error-context")

/** Where a function passes what lives in one plugin. */
const passesHandle = ({ params, result }: FunctionType): string | undefined => {
  const param = params.find(({ type }) => livesInOnePlugin(type))
  if (param !== undefined) return `parameter "${printable(param.label)}", ${typeText(param.type)}`
  return result !== undefined && livesInOnePlugin(result) ? `its result, ${typeText(result)}` : undefined
}

/** Does a call of this edition wait, or may it? Then callers need to be ones that can. */
const mayWait = ({ executor, linked }: Edition): boolean =>
  executor.refuseSync !== undefined || executor.isolation !== "inline" || linked.waiting !== undefined || linked.ports.admission !== undefined

function linkTo(plugin: Plugin, name: string, specs: ReadonlyArray<ImportSpec>): PluginLink {
  const plain = splitVersion(name).name
  const waits = mayWait(editionOf(plugin))
  const functions = new Map<string, HostFunction>()
  const asked = specs.map((spec) => `${plain}#${spec.name}`)
  for (const spec of specs) functions.set(spec.name, linkedFunction(plugin, name, spec, waits))
  return {
    plugin,
    functions,
    waits,
    grant: asked.length === 1 ? `call:${asked[0]}` : `call:${plain}#*`,
    missing: (grants) => {
      const isGranted =
        "allows" in grants ? (of: string) => grants.allows("call", of) : (of: string) => grants.some(({ head, scope }) => head === "call" && covers(scope, of))
      return asked.filter((of) => !isGranted(of)).map((of) => `call:${of}`)
    },
  }
}

const editionOf = (plugin: Plugin): Edition => (Plugin.editionOf(plugin) as { readonly edition: Edition }).edition

/** The export that meets an import, its type compared. */
function calleeOf(plugin: Plugin, name: string, spec: ImportSpec): Callee {
  const edition = editionOf(plugin)
  const full = `${name}#${spec.name}`
  const { name: plain, version } = splitVersion(name)
  const interfaces = new Set(
    [...edition.linked.blueprint.exports.values()].flatMap((one) =>
      one.source.kind === "lift" && one.name.includes("#") ? [one.name.slice(0, one.name.indexOf("#"))] : [],
    ),
  )
  const found = [...interfaces].find((one) => {
    const offered = splitVersion(one)
    if (offered.name !== plain) return false
    return version === undefined || offered.version === undefined ? version === offered.version : isCompatible(version, offered.version)
  })
  if (found === undefined)
    throw new CompositionError("NoInterface", {
      import: printable(name),
      plugin: plugin.digest,
      exports: [...interfaces].slice(0, 20).map((one) => `"${printable(one)}"`),
    })
  const exported = edition.linked.blueprint.exports.get(`${found}#${spec.name}`)
  if (exported?.source.kind !== "lift") {
    throw new CompositionError("Mismatch", { import: printable(full), plugin: plugin.digest, detail: "it exports the interface without that function" })
  }
  const handle = passesHandle(spec.type) ?? passesHandle(exported.type)
  if (handle !== undefined) throw new CompositionError("Handle", { import: printable(full), handle })
  const difference = functionDifference(spec.type, exported.type, undefined, spec.name)
  if (difference !== undefined) throw new CompositionError("Mismatch", { import: printable(full), plugin: plugin.digest, detail: differenceText(difference) })
  // From now on it is in use: a component without it does not replace this one.
  return findCallee(edition, `${found}#${spec.name}`)
}

function linkedFunction(plugin: Plugin, name: string, spec: ImportSpec, waits: boolean): HostFunction {
  const operation = `${splitVersion(name).name}#${spec.name}`
  const full = printable(`${name}#${spec.name}`)
  let callee = calleeOf(plugin, name, spec)
  return (context, ...args) => {
    const grant = context.grants.match("call", operation)
    if (grant === undefined) throw context.denied(`call:${operation}`)
    context.used(grant, 0)
    // Replaced since: by a component whose callers may have been told that they know.
    if (callee.edition !== editionOf(plugin)) callee = calleeOf(plugin, name, spec)
    const { throws } = callee
    const leftMs = context.remainingMs()
    if (leftMs <= 0) throw context.expired()
    const answered = (value: unknown): unknown => (throws ? { tag: "ok", val: value } : value)
    const { name: target } = callee
    const failed = (error: unknown): unknown => {
      // Of this export: what a plugin further away answered to somebody else is no answer to this caller.
      if (throws && error instanceof PluginError && error.reason._tag === "Guest" && error.reason.export === target)
        return { tag: "err", val: error.reason.payload }
      throw failureOf(error, context, leftMs, full, plugin)
    }
    // Its callers' tenants wait in turn: none of them fills the callee's queue for the others.
    const options: LinkedCallOptions = { [callerTenant]: context.tenant, ...(context.trace === undefined ? {} : { trace: context.trace }) }
    if (waits && context.mayWait()) return plugin.call(target, args, { ...options, signal: context.ended() }).then(answered, failed)
    let value: unknown
    try {
      value = plugin.callSync(target, args, { ...options, ...(context.signal === undefined ? {} : { signal: context.signal }) })
    } catch (error) {
      return failed(error)
    }
    return answered(value)
  }
}

/** What a callee failed with, as its caller's failure. */
function failureOf(error: unknown, context: CallContext, leftMs: number, name: string, plugin: Plugin): unknown {
  if (!(error instanceof SteleError)) return error
  // The callee's time was cut to the caller's, which is what is over.
  if (error instanceof LimitError && error.reason._tag === "deadlineMs" && leftMs <= editionOf(plugin).linked.limits.deadlineMs) return context.expired()
  if (error instanceof PluginError && error.reason._tag === "Aborted" && context.signal?.aborted === true) return error
  // Through several plugins: the one that failed first is what is to be looked at.
  if (error instanceof CompositionError) return error
  const data = { import: name, plugin: plugin.digest, calleeCode: error.code, detail: error.message }
  return error.isRetryable ? new CompositionError("CalleeBusy", data, { cause: error }) : new CompositionError("Callee", data, { cause: error })
}
