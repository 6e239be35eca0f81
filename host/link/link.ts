/**
 * Links a blueprint's imports: from what the embedder provides, from capabilities that are granted, or from the inert
 * set. Everything else is denied by default, and the denial names the grant to add.
 */
import { CapabilityError } from "../../schemas/error/capability.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { differenceText, functionDifference } from "../../schemas/wit/equal.ts"
import { propertyName, type ResourceType } from "../../schemas/wit/model.ts"
import type { CallContext, Capability, HostExport, HostFunction } from "../capability/capability.ts"
import type { Grant } from "../capability/grant.ts"
import { covers } from "../capability/scope.ts"
import { call as callCapability } from "../capability/call.ts"
import { findInterface } from "../capability/mod.ts"
import type { Blueprint, ImportSpec } from "../component/blueprint.ts"
import { printable, resourceFunction } from "../../schemas/wit/name.ts"
import type { RawImport } from "../foreign/raw.ts"
import type { Ports } from "../port/mod.ts"
import type { Links } from "./compose.ts"
import { isMarked, mayWait, waitOf } from "./waits.ts"

/** A host function bound to one import. */
export interface LinkedFunction {
  /** `interface#function`, or the function alone when the world imports it itself. */
  readonly name: string
  readonly call: HostFunction
  /** It may answer with a promise. */
  readonly waits?: boolean
}

/**
 * An interface the embedder implements itself: functions by lowerCamelCase name, resources as classes by
 * UpperCamelCase name (constructor, methods, statics; `[Symbol.dispose]` runs when the guest drops its handle).
 * A function whose type is `result` returns `{tag:"ok",val}` or `{tag:"err",val}`.
 */
export type ProvidedInterface = Readonly<Record<string, unknown>>

/** How an import was met, for `describe()`. */
export interface ImportReport {
  /** Full name with version, or the function's name for a world's own import. */
  readonly name: string
  readonly functions: ReadonlyArray<string>
  readonly status: "granted" | "inert" | "provided" | "missing"
  /** The least grant that links it, and what granting it means; absent for provided and unknown ones. */
  readonly grant?: string
  /** `sha256:…` of the plugin that serves it, where one does. */
  readonly plugin?: string
  readonly risk?: string
}

export type ResourceClass = new (...args: ReadonlyArray<unknown>) => object

export interface LinkedImports {
  /** By `interface#function`. */
  readonly functions: ReadonlyMap<string, LinkedFunction>
  readonly drops: ReadonlyMap<ResourceType, (call: CallContext, rep: unknown) => void>
  /** Classes of the resources that the embedder provides: what a handle of theirs must be an instance of. */
  readonly classes: ReadonlyMap<ResourceType, ResourceClass>
  readonly report: ReadonlyArray<ImportReport>
  /** Something here has to be waited for: the plugin's instances must be ones that can. */
  readonly waits: boolean
}

export interface LinkOptions {
  readonly ports: Ports
  readonly grants: ReadonlyArray<Grant>
  readonly provided: Readonly<Record<string, ProvidedInterface>>
  readonly links?: Links | undefined
  readonly missing: "refuse" | "trap"
  /** Can the engine suspend a guest? Default: no. */
  readonly canSuspend?: boolean
}

/** `ns:pkg/iface@1.2.3` → name and version. */
export function splitVersion(name: string): { readonly name: string; readonly version: string | undefined } {
  const at = name.lastIndexOf("@")
  return at < 0 ? { name, version: undefined } : { name: name.slice(0, at), version: name.slice(at + 1) }
}

export function link(blueprint: Blueprint, options: LinkOptions): LinkedImports {
  const functions = new Map<string, LinkedFunction>()
  const drops = new Map<ResourceType, (call: CallContext, rep: unknown) => void>()
  const classes = new Map<ResourceType, ResourceClass>()
  const report: Array<ImportReport> = []
  const granted = new Set(options.grants.flatMap((grant) => [grant.head, grant.capability]))
  const used = new Set<string>()
  const needed = new Set<string>()
  let first: { readonly import: string; readonly grant: string } | undefined
  let waits = false

  // Resources first: a function of one interface may take a resource of another.
  const served = new Map<ResourceType, ResourceType>()
  const groups = new Map<string, Array<ImportSpec>>()
  for (const { interface: of } of blueprint.resourceImports) if (of !== undefined) groups.set(of, [])
  for (const spec of blueprint.imports) {
    const key = spec.interface ?? spec.name
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [spec])
    else group.push(spec)
  }
  for (const { interface: of, name, resource } of blueprint.resourceImports) {
    if (of === undefined || provide(options.provided, of) !== undefined) continue
    const { name: plain, version } = splitVersion(of)
    const host = findInterface(plain, version)?.interface.resources.get(name)
    if (host === undefined) continue
    served.set(resource, host.type)
    if (host.drop !== undefined) drops.set(resource, host.drop)
  }

  const plainly = new Set(blueprint.lowerings.flatMap(({ isAsync, source }) => (isAsync === true || source.kind === "lift" ? [] : [fullName(source)])))
  const isCalledPlainly = (spec: ImportSpec): boolean => plainly.has(fullName(spec))

  for (const [name, specs] of groups) {
    const labels = specs.map((spec) => spec.name)
    const add = (spec: ImportSpec, call: HostFunction, itWaits = false): void => {
      const full = fullName(spec)
      functions.set(full, itWaits && options.canSuspend === true ? { name: full, call, waits: true } : { name: full, call })
    }
    const needsSuspension = (of: ReadonlyArray<ImportSpec>): void => {
      // A guest that calls asynchronously is told of the answer when it is there.
      if (options.canSuspend !== true && of.some((spec) => isCalledPlainly(spec))) throw new CapabilityError("Async", { import: name })
      waits = true
    }
    const linked = options.links?.get(name)
    if (linked !== undefined) {
      const missing = linked.missing(options.grants)
      if (missing.length > 0 && options.missing === "refuse") {
        for (const grant of missing) needed.add(grant)
        first ??= { import: name, grant: missing[0] as string }
        continue
      }
      if (linked.waits) needsSuspension(specs)
      for (const spec of specs) add(spec, linked.functions.get(spec.name) as HostFunction, linked.waits)
      report.push({
        name,
        functions: labels,
        status: missing.length === 0 ? "granted" : "missing",
        grant: linked.grant,
        risk: callCapability.risk,
        plugin: linked.plugin.digest,
      })
      continue
    }
    const provided = provide(options.provided, name)
    if (provided !== undefined) {
      used.add(provided.key)
      for (const spec of specs) {
        const { call, itWaits } = providedFunction(provided.value, spec)
        if (itWaits) needsSuspension([spec])
        add(spec, call, itWaits)
      }
      for (const { interface: of, name: label, resource } of blueprint.resourceImports) {
        if (of !== name) continue
        drops.set(resource, (_call, rep) => (rep as Partial<Disposable>)[Symbol.dispose]?.())
        const served = provided.value[className(label)]
        if (typeof served === "function") classes.set(resource, served as ResourceClass)
      }
      report.push({ name, functions: labels, status: "provided" })
      continue
    }
    const { name: plain, version } = splitVersion(name)
    const found = findInterface(plain, version)
    if (found === undefined) {
      if (specs.length === 0) continue
      const error = new CapabilityError("UnknownImport", { import: printable(name), detail: "no capability of this host serves it" })
      if (options.missing === "refuse") throw error
      for (const spec of specs)
        add(spec, () => {
          throw error
        })
      report.push({ name, functions: labels, status: "missing" })
      continue
    }
    const { capability, interface: host } = found
    for (const spec of specs) {
      const serves = host.functions.get(spec.name)
      if (serves === undefined) {
        throw new CapabilityError("TypeMismatch", { import: `${name}#${spec.name}`, detail: "the host serves this interface without that function" })
      }
      const difference = functionDifference(spec.type, serves.type, served, spec.name)
      if (difference !== undefined) throw new CapabilityError("TypeMismatch", { import: `${name}#${spec.name}`, detail: differenceText(difference) })
    }
    const grant = capability.needs(plain)
    const about = { name, functions: labels, ...(capability.isInert ? {} : { grant, risk: riskOf(capability, options.ports) }) }
    const heads = capability.heads(plain)
    const isGranted = heads.some((head) => granted.has(head))
    if (isGranted || heads.length === 0 || capability.isInertUngranted === true) {
      const portWaits = capability.ports.some((port) => (options.ports[port] as { readonly isAsync?: boolean } | undefined)?.isAsync === true)
      if (portWaits && capability.mode === "sync") throw new CapabilityError("Async", { import: name })
      if (portWaits || capability.mode === "async") needsSuspension(specs)
      for (const spec of specs) {
        const serves = host.functions.get(spec.name) as HostExport
        if (serves.waits === "source" && isGranted && options.canSuspend === true) waits = true
        add(spec, serves.call, portWaits || serves.waits !== undefined)
      }
      report.push({ ...about, status: isGranted ? "granted" : "inert" })
      continue
    }
    if (specs.length > 0 && options.missing === "refuse") {
      needed.add(grant)
      first ??= { import: name, grant }
      continue
    }
    // Linked but denied: a later grant is seen by the implementation, which asks the live set at every operation.
    for (const spec of specs) add(spec, (host.functions.get(spec.name) as { call: HostFunction }).call)
    report.push({ ...about, status: "missing" })
  }

  for (const specs of rawGroups(blueprint)) {
    const { module, grant, isProvided } = specs[0] as RawImport
    const names = specs.map(({ name }) => name)
    if (isProvided === true) {
      for (const name of names) {
        const full = `${module}#${name}`
        const call = rawFunction(options, module, name)
        const itWaits = mayWait(call)
        if (itWaits && options.canSuspend !== true) throw new CapabilityError("Async", { import: full })
        waits ||= itWaits
        functions.set(full, itWaits ? { name: full, call, waits: true } : { name: full, call })
      }
      used.add(module)
    }
    if (grant === undefined) {
      report.push({ name: module, functions: names, status: isProvided === true ? "provided" : "inert" })
      continue
    }
    const { heads, name } = grant
    const isGranted =
      name === undefined ? heads.some((head) => granted.has(head)) : options.grants.some((one) => heads.includes(one.head) && covers(one.scope, name))
    if (!isGranted && options.missing === "refuse" && grant.isDeniedWhenCalled !== true) {
      needed.add(grant.text)
      first ??= { import: `${module}#${names[0]}`, grant: grant.text }
      continue
    }
    report.push({ name: module, functions: names, status: isGranted ? "granted" : "missing", grant: grant.text, risk: grant.risk })
  }

  // All at once: one refusal after another would make its reader load the plugin once for each grant.
  if (first !== undefined) throw new CapabilityError("Missing", { ...first, granted: options.grants.map((g) => g.text), needed: [...needed] })
  for (const key of Object.keys(options.provided)) {
    if (!used.has(key))
      throw new ConfigError("UnknownOption", {
        option: `imports["${key}"]`,
        known: [...new Set([...groups.keys(), ...blueprint.raws.map((raw) => raw.import.module)])],
      })
  }
  if (options.canSuspend === true && blueprint.raws.some(({ import: raw }) => raw.waits === true)) waits = true
  return { functions, drops, classes, report, waits }
}

const fullName = ({ interface: of, name }: { readonly interface: string | undefined; readonly name: string }): string =>
  of === undefined ? name : `${of}#${name}`

/** What a module of a foreign ABI imports, together what comes from one module and is met in the same way. */
const rawGroups = (blueprint: Blueprint): Iterable<ReadonlyArray<RawImport>> =>
  Map.groupBy(
    blueprint.raws.map((raw) => raw.import),
    ({ module, grant, isProvided }) => `${module} ${isProvided === true} ${grant?.text ?? ""}`,
  ).values()

/** The embedder's own implementation of an import: by full name, or by name without version. */
function provide(provided: LinkOptions["provided"], name: string): { readonly key: string; readonly value: ProvidedInterface } | undefined {
  for (const key of [name, splitVersion(name).name]) {
    if (Object.hasOwn(provided, key)) return { key, value: provided[key] as ProvidedInterface }
  }
  return undefined
}

const className = (label: string): string => {
  const property = propertyName(label)
  return property.charAt(0).toUpperCase() + property.slice(1)
}

/** The embedder's function as it is: a raw import calls it with what its ABI makes of the guest's values. */
function rawFunction({ provided, missing }: LinkOptions, module: string, name: string): HostFunction {
  const served = Object.hasOwn(provided, module) ? member(provided[module] as object, name) : undefined
  if (typeof served === "function") return served as HostFunction
  const error = new CapabilityError("UnknownImport", {
    import: printable(`${module}#${name}`),
    detail: `the application gives no such function in imports["${printable(module)}"]`,
  })
  if (missing === "refuse") throw error
  return () => {
    throw error
  }
}

type AnyFunction = (...args: Array<unknown>) => unknown

/**
 * What the embedder wrote under this name, in an object or its classes. Guests choose the names: what every object and
 * function inherits (`toString`, `constructor`, `apply`) is nobody's implementation.
 */
function member(of: object, name: string): unknown {
  for (let at: object | null = of; at !== null && at !== Object.prototype && at !== Function.prototype; at = Object.getPrototypeOf(at) as object | null) {
    if (Object.hasOwn(at, name) && (at === of || name !== "constructor")) return (of as Record<string, unknown>)[name]
  }
  return undefined
}

function providedFunction(provided: ProvidedInterface, spec: ImportSpec): { readonly call: HostFunction; readonly itWaits: boolean } {
  const miss = (what: string): ConfigError =>
    new ConfigError("Option", { option: `imports["${spec.interface ?? spec.name}"]`, expected: what, actual: "an object without it" })
  const bound = (body: unknown, self: unknown): { readonly call: HostFunction; readonly itWaits: boolean } => {
    const call = body as AnyFunction
    return isMarked(call)
      ? { call: (context, ...args) => call.apply(self, [waitOf(context), ...args]), itWaits: true }
      : { call: (_context, ...args) => call.apply(self, [...args]), itWaits: mayWait(call) }
  }
  // A world's own function is provided as the function itself.
  if (spec.interface === undefined && typeof provided === "function") return bound(provided, undefined)
  const annotated = resourceFunction(spec.name)
  if (annotated === undefined) {
    const body = member(provided, propertyName(spec.name))
    if (typeof body !== "function") throw miss(`a function "${propertyName(spec.name)}"`)
    return bound(body, provided)
  }
  const constructor = member(provided, className(annotated.resource)) as ResourceClass | undefined
  if (typeof constructor !== "function") throw miss(`a class "${className(annotated.resource)}"`)
  if (annotated.kind === "constructor") return { call: (_call, ...args) => new constructor(...args), itWaits: false }
  const method = propertyName(spec.name.slice(spec.name.indexOf(".") + 1))
  if (annotated.kind === "static") {
    const body = member(constructor, method)
    if (typeof body !== "function") throw miss(`a static method "${method}" of "${className(annotated.resource)}"`)
    return bound(body, constructor)
  }
  // Own property of a prototype, but the class itself.
  const found = member(constructor.prototype as object, method)
  const body = found === constructor ? undefined : found
  if (typeof body !== "function") throw miss(`a method "${method}" of "${className(annotated.resource)}"`)
  const passes = isMarked(body)
  return {
    call: (context, self, ...args) => (self as Record<string, AnyFunction>)[method]?.(...(passes ? [waitOf(context), ...(args as Array<never>)] : args)),
    itWaits: mayWait(body),
  }
}

/** A network whose port cannot see addresses, as in a browser, says so wherever the grant is explained. */
function riskOf({ risk, ports: used }: Capability, ports: Ports): string {
  const isUnguarded = used.some((port) => (ports[port] as { readonly isGuarded?: boolean } | undefined)?.isGuarded === false)
  return isUnguarded ? `${risk} Addresses are not checked here: a name may lead to this machine or into its network.` : risk
}
