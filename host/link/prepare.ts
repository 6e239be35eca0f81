/**
 * Bytes → `Linked`: everything about a plugin that its instances share. Decode, elaborate, link (so that a missing
 * grant is named before anything compiles), validate the original core modules, rewrite, compile.
 */
import { AsyncError } from "../../schemas/error/async.ts"
import { CapabilityError } from "../../schemas/error/capability.ts"
import { LimitError } from "../../schemas/error/limit.ts"
import { VerifyError } from "../../schemas/error/verify.ts"
import type { ResourceType } from "../../schemas/wit/model.ts"
import { bindExport, bindImport, type ExportBinding, type ImportBinding } from "../abi/mod.ts"
import type { Nesting } from "../call/executor.ts"
import type { CallLimits, Instance } from "../call/instance.ts"
import type { Mechanism, MeterNeeds } from "../call/meter.ts"
import type * as WaitingModule from "../call/waiting.ts"
import { Remains } from "../call/remains.ts"
import type { Waiting } from "../call/waiting.ts"
import type { Watchdog } from "../call/watchdog.ts"
import type { CallContext } from "../capability/capability.ts"
import { type Grant, GrantSet, parseGrant } from "../capability/grant.ts"
import { loadInterfaces } from "../capability/mod.ts"
import { grantCharsMax } from "../capability/scope.ts"
import type { Blueprint, CoreRef } from "../component/blueprint.ts"
import type { CoreModule } from "../../schemas/wasm/core-module.ts"
import { decodeComponent, isCoreModule } from "../component/decode.ts"
import { elaborate } from "../component/elaborate.ts"
import { printable } from "../../schemas/wit/name.ts"
import { AsyncForm } from "../component/reader.ts"
import type * as Asynchronous from "../async/mod.ts"
import type * as Foreign from "../foreign/mod.ts"
import type { Json, ModuleCache } from "../meter/cache.ts"
import { costTable } from "../meter/cost-table.ts"
import { instrumenterVersion, type Needs } from "../meter/needs.ts"
import type { RewriteOptions } from "../meter/rewrite.ts"
import { defaultLimits, type Limits, type ResolvedOptions } from "../options.ts"
import type { Rewriter } from "../platform/platform.ts"
import { type FileSystemPort, type Ports, type TraceContext, withSettings } from "../port/mod.ts"
import { nothing, type Wasi } from "../wasi/given.ts"
import type * as WasiOptionsModule from "../wasi/options.ts"
import type { Links } from "./compose.ts"
import { type ImportReport, link, type LinkedFunction, type ResourceClass } from "./link.ts"

export interface CompiledModule {
  readonly module: WebAssembly.Module
  /** The meter imports it has. */
  readonly needs: Needs
}

/** Core modules that begin where an initialised instance stood, and what that instance had used. */
export interface Snapshot {
  /** By step of instantiation. */
  readonly modules: ReadonlyArray<CompiledModule | undefined>
  readonly fuel: bigint
  readonly liftBytes: number
  readonly bytesIn: number
  readonly bytesOut: number
  /** Pages that its memories have grown by. */
  readonly pages: number
}

/** A plugin ready to instantiate. Shared by its instances; mutable only in the hooks its `Plugin` sets. */
export interface Linked extends Prepared {
  readonly digest: string
  readonly componentBytes: number
  readonly tenant: string
  /** Import module name of the injected meter imports: random per process, so no guest can import them. */
  readonly injected: string
  readonly functions: ReadonlyMap<string, LinkedFunction>
  readonly drops: ReadonlyMap<ResourceType, (call: CallContext, rep: unknown) => void>
  readonly classes: ReadonlyMap<ResourceType, ResourceClass>
  readonly report: ReadonlyArray<ImportReport>
  /** Plugins that serve imports of this one. */
  readonly links: Links | undefined
  readonly mechanism: Mechanism
  readonly watchdog: Watchdog | undefined
  /** How instances of this plugin wait; absent when nothing has to be waited for. */
  readonly waiting: Waiting | undefined
  /** What its instances leave to each other. */
  readonly remains: Remains
  readonly nowMs: () => number
  readonly limits: Limits
  readonly grants: GrantSet
  readonly ports: Ports
  /** What programs are given, unless a call says otherwise. */
  readonly wasi: Wasi
  /** For what a call says otherwise; absent where the plugin is no program of WASI. */
  readonly resolveWasi: (typeof WasiOptionsModule)["resolveWasi"] | undefined
  /** Calls on this host's thread that are on the stack, and the earliest of their deadlines. */
  readonly nesting: Nesting
  /** Default limits of a call that starts now, for destructors run from outside. */
  callLimits(): CallLimits
  used(grant: string, bytes: number): void
  denied(grant: string, trace?: TraceContext): Error
  discarded: (instance: Instance) => void
  released: (instance: Instance) => void
}

/** What a host lends to all its plugins. */
export interface PrepareContext {
  readonly ports: Ports
  readonly watchdog: Watchdog | undefined
  readonly nowMs: () => number
  readonly injected: string
  readonly nesting: Nesting
  /** Components decoded and compiled before, by everything that decided the result. */
  readonly prepared: PreparedCache
  /** Rewritten modules that outlive the process; opened when first needed. */
  readonly modules: () => Promise<ModuleCache>
  readonly sha256: (bytes: Uint8Array) => Promise<string>
  readonly loadRewriter: () => Promise<Rewriter>
  /** What guests that wait need: most plugins answer at once. */
  readonly loadWaiting: () => Promise<Pick<typeof WaitingModule, "planWaiting">>
  /** What core modules of foreign ABIs need: most hosts load components only. */
  readonly loadForeign: () => Promise<Pick<typeof Foreign, "foreignBlueprint">>
  /** What components of the asynchronous ABI need: most have none of it. */
  readonly loadAsync: () => Promise<Pick<typeof Asynchronous, "asyncForms" | "planAsync">>
  /** The file system of the machine and the folders in it that no plugin is given; undefined where there is none. */
  readonly loadFileSystem: () => Promise<{ readonly fileSystem: FileSystemPort; readonly guarded: ReadonlyArray<string> } | undefined>
}

/** What compiling needs of it. */
export type CompileContext = Pick<PrepareContext, "nowMs" | "injected" | "modules" | "sha256" | "loadRewriter">

/** What of a plugin depends on its bytes, limits and mechanism alone: shared by all loads of the same component. */
export interface Prepared {
  readonly blueprint: Blueprint
  readonly modules: ReadonlyArray<CompiledModule>
  /** Made when the export is first called: a component may have thousands, and most loads call a few. */
  readonly lift: (index: number) => ExportBinding
  readonly lowerings: ReadonlyArray<ImportBinding>
  /** Per context: the instantiation after which its memory and realloc exist. */
  readonly contextReadyAfter: ReadonlyArray<number>
  /** Pages that the memories of an instance have at first, and may grow by. */
  readonly pagesInitial: number
  readonly pagesLeft: number
  readonly elementsLeft: number
  /** What instances start from, where the plugin was loaded so. */
  readonly snapshot?: Snapshot
  /** What some module needs: an instance makes no budget that nobody reads. */
  readonly needs: MeterNeeds
}

/** The most recently used components of a host, bounded in number and in bytes of their binaries: uploads must not add up to gigabytes. */
export class PreparedCache {
  readonly #entries = new Map<string, { readonly prepared: Prepared; readonly bytes: number }>()
  readonly #entriesMax: number
  readonly #bytesMax: number
  #bytes = 0

  constructor(entriesMax = 64, bytesMax = 256 * 1024 ** 2) {
    this.#entriesMax = entriesMax
    this.#bytesMax = bytesMax
  }

  get(key: string): Prepared | undefined {
    const entry = this.#entries.get(key)
    if (entry !== undefined) {
      this.#entries.delete(key)
      this.#entries.set(key, entry)
    }
    return entry?.prepared
  }

  /** `bytes`: size of the component, what it is kept for is in proportion. */
  set(key: string, prepared: Prepared, bytes: number): void {
    if (bytes > this.#bytesMax) return
    this.#delete(key)
    this.#entries.set(key, { prepared, bytes })
    this.#bytes += bytes
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#entriesMax && this.#bytes <= this.#bytesMax) break
      this.#delete(oldest)
    }
  }

  #delete(key: string): void {
    this.#bytes -= this.#entries.get(key)?.bytes ?? 0
    this.#entries.delete(key)
  }

  clear(): void {
    this.#bytes = 0
    this.#entries.clear()
  }
}

/** Form of the notes beside a cached module (`Needs`): part of the key, so that an entry of another form is never read. */
const notesVersion = 2
/** Below this size rewriting costs less than looking on disk: 4 KiB take a new process about 10 ms, a look about 2. */
const diskCacheBytesMin = 4_096

const pageBytes = 65_536

/** The instantiation after which `ref` can be resolved; −1: at once. */
const readyAfter = (ref: CoreRef | undefined): number => (ref?.kind === "export" ? ref.instance : -1)

/** Decodes a component, or a core module of a foreign ABI. */
export async function blueprintOf(
  bytes: Uint8Array,
  limits: Limits,
  { loadAsync, loadForeign }: Pick<PrepareContext, "loadAsync" | "loadForeign">,
): Promise<Blueprint> {
  if (isCoreModule(bytes)) return (await loadForeign()).foreignBlueprint(bytes, limits)
  try {
    return elaborate(decodeComponent(bytes, limits), limits)
  } catch (error) {
    if (!(error instanceof AsyncForm)) throw error
    const { asyncForms } = await loadAsync()
    return elaborate(decodeComponent(bytes, limits, asyncForms), limits, asyncForms)
  }
}

/** What runs elsewhere is decoded and linked here, and compiled there: an engine never sees its bytes in this process. */
const uncompiled = (blueprint: Blueprint): Prepared => ({
  blueprint,
  modules: [],
  lift: () => {
    throw new Error("Cannot call a plugin here that runs elsewhere")
  },
  lowerings: [],
  contextReadyAfter: [],
  pagesInitial: 0,
  pagesLeft: 0,
  elementsLeft: 0,
  needs: { fuel: false, stack: false, pages: false, elements: false },
})

export async function prepare(bytes: Uint8Array, digest: string, options: ResolvedOptions, host: PrepareContext): Promise<Linked> {
  const { limits } = options
  const startedMs = host.nowMs()
  const inTime = (): void => {
    const actual = host.nowMs() - startedMs
    if (actual > limits.loadMs) throw new LimitError("loadMs", { limit: limits.loadMs, actual: Math.round(actual) })
  }
  const isElsewhere = options.engine === "js" && options.isolation !== "inline"
  // A guest elsewhere waits on its own thread.
  const canSuspend = isElsewhere || "Suspending" in WebAssembly
  const yields = options.metering === "yield" && !isElsewhere
  if (yields && !canSuspend) throw new AsyncError("NoSuspension", { asked: 'metering: "yield"', exists: ['metering: "fuel"', '"deadline"', '"off"'] })
  const mechanism: Mechanism =
    options.metering === "deadline"
      ? host.watchdog === undefined || isElsewhere
        ? "slice"
        : "watchdog"
      : options.metering === "yield"
        ? "fuel"
        : options.metering
  const parsed = options.grants.map((grant) => parseGrant(grant))
  const key = `${digest} ${mechanism} ${limits === defaultLimits ? "" : decisiveLimits.map((name) => limits[name]).join(" ")}${options.prepare === "snapshot" ? ` snapshot ${Object.values(limits).join(" ")}` : ""}`
  const known = host.prepared.get(key)
  const blueprint = known?.blueprint ?? (await blueprintOf(bytes, limits, host))
  await loadInterfaces(blueprint.imports)
  inTime()
  const ports = options.config === undefined ? host.ports : { ...host.ports, config: withSettings(options.config, host.ports.config) }
  const links = options.links === undefined ? undefined : new (await import("./compose.ts")).Links(blueprint, options.links, options.imports)
  const imports = link(blueprint, { ports, grants: parsed, provided: options.imports, links, missing: options.missing, canSuspend })
  inTime()
  // Elsewhere the snapshot is taken, too.
  const maker =
    known === undefined && options.prepare === "snapshot" && !isElsewhere ? new (await import("../pool/snapshot.ts")).SnapshotMaker(host.injected) : undefined
  const prepared = isElsewhere ? uncompiled(blueprint) : (known ?? (await compile(bytes, blueprint, mechanism, limits, host, inTime, maker?.expose)))
  if (known === undefined && maker === undefined && !isElsewhere) host.prepared.set(key, prepared, bytes.length)
  // The watchdog's thread boots while the component is decoded and compiled, 10 to 50 ms. Without it: slices.
  if (mechanism === "watchdog" && host.watchdog?.isReady === false && !(await host.watchdog.prepare())) {
    return prepare(bytes, digest, options, { ...host, watchdog: undefined })
  }

  const waiting =
    blueprint.builtins !== undefined && !isElsewhere
      ? (await host.loadAsync()).planAsync(blueprint, imports.functions, yields, canSuspend)
      : yields || (imports.waits && !isElsewhere)
        ? (await host.loadWaiting()).planWaiting(blueprint, imports.functions, yields)
        : undefined
  const { nowMs, injected, nesting } = host
  const { tenant } = options
  const wasiOptions = options.wasi === undefined && !isProgram(blueprint) ? undefined : await import("../wasi/options.ts")
  const wasi = options.wasi === undefined || wasiOptions === undefined ? nothing : await giveWasi(options, wasiOptions, parsed, host)
  const grants = new GrantSet(parsed, ({ change, grant }) => ports.observer.emit({ type: "grant", plugin: digest, tenant, change, grant }))
  const linked: Linked = {
    ...prepared,
    digest,
    componentBytes: bytes.length,
    tenant,
    injected,
    functions: imports.functions,
    drops: imports.drops,
    classes: imports.classes,
    report: imports.report,
    links,
    mechanism,
    watchdog: host.watchdog,
    waiting,
    remains: new Remains(),
    nowMs,
    limits,
    grants,
    ports,
    wasi,
    resolveWasi: wasiOptions?.resolveWasi,
    nesting,
    callLimits: () => ({
      deadlineAtMs: Math.min(nowMs() + limits.deadlineMs, nesting.depth === 0 ? Infinity : nesting.deadlineAtMs),
      deadlineMs: limits.deadlineMs,
      fuel: BigInt(limits.fuel),
    }),
    used: (grant, moved) => grants.countUse(grant, moved),
    denied: (asked, trace) => {
      // The guest chose the name in it: it goes to records, logs and terminals.
      const grant = printable(asked, grantCharsMax)
      grants.countDenial(grant)
      ports.observer.emit({ type: "denial", plugin: digest, tenant, grant, ...(trace === undefined ? {} : { trace }) })
      return new CapabilityError("Denied", { grant, granted: grants.list() })
    },
    discarded: () => undefined,
    released: () => undefined,
  }
  if (maker === undefined) return linked
  const started: Prepared = { ...prepared, modules: [], snapshot: await maker.take(linked) }
  inTime()
  host.prepared.set(key, started, bytes.length)
  return { ...linked, ...started }
}

const isProgram = ({ raws, world }: Blueprint): boolean =>
  raws.length > 0 || [...world.imports.keys(), ...world.exports.keys()].some((name) => name.startsWith("wasi:cli/"))

async function giveWasi(
  { wasi: given = {}, missing }: ResolvedOptions,
  { directoriesOf, resolveWasi }: typeof WasiOptionsModule,
  grants: ReadonlyArray<Grant>,
  host: PrepareContext,
): Promise<Wasi> {
  const wasi = resolveWasi(given, nothing)
  const directories = directoriesOf(given)
  const [first] = Object.keys(directories)
  if (first === undefined) return wasi
  const own = host.ports.fileSystem === undefined ? await host.loadFileSystem() : { fileSystem: host.ports.fileSystem, guarded: [] }
  const { noFileSystem, openPreopens } = await import("../wasi/preopen.ts")
  if (own === undefined) throw noFileSystem(first)
  return { ...wasi, preopens: openPreopens(own.fileSystem, { directories, grants, missing, guarded: own.guarded }) }
}

/** Limits that decide what preparing gives or whether it is refused. */
const decisiveLimits = [
  "memoryBytesMax",
  "tableElementsMax",
  "componentBytesMax",
  "coreModulesMax",
  "instancesMax",
  "typeSizeMax",
  "typeDepthMax",
  "functionBodyBytesMax",
] as const

export async function compile(
  component: Uint8Array,
  blueprint: Blueprint,
  mechanism: Mechanism,
  limits: Limits,
  host: CompileContext,
  inTime: () => void,
  expose?: Expose,
): Promise<Prepared> {
  const memoryPagesMax = Math.min(Math.floor(limits.memoryBytesMax / pageBytes), 65_536)
  let pages = 0
  let elements = 0
  for (const step of blueprint.instantiations) {
    if (step.kind !== "instantiate") continue
    const { module: core } = blueprint.coreModules[step.module] as (typeof blueprint.coreModules)[number]
    pages += core.memoryPagesInitial
    elements += core.tableElementsInitial
  }
  if (pages > memoryPagesMax) throw new LimitError("memoryBytesMax", { limit: limits.memoryBytesMax, actual: pages * pageBytes })
  if (elements > limits.tableElementsMax) throw new LimitError("tableElementsMax", { limit: limits.tableElementsMax, actual: elements })

  const { tableElementsMax, functionBodyBytesMax } = limits
  const tier = mechanism === "watchdog" ? "deadline" : mechanism
  const modules: Array<CompiledModule> = []
  for (const { bytes, module } of blueprint.coreModules) {
    // The engine judges the original before any of it is rewritten; what the cache holds was judged when it was made.
    const validate = (): void => {
      if (WebAssembly.validate(bytes as BufferSource)) return inTime()
      throw new VerifyError("Malformed", { offset: bytes.byteOffset - component.byteOffset, detail: "a core module is not valid WebAssembly for this engine" })
    }
    inTime()
    try {
      modules.push(
        await compileCore(
          bytes,
          module,
          { tier, injectedModule: host.injected, memoryPagesMax, tableElementsMax, functionBodyBytesMax, validate },
          host,
          inTime,
          expose,
        ),
      )
    } catch (error) {
      if (!(error instanceof WebAssembly.CompileError)) throw error
      // Near an engine's own limits, what the checks add may be what it refuses.
      throw new VerifyError("Unsupported", {
        offset: bytes.byteOffset - component.byteOffset,
        feature: "a core module that this engine refuses once it is metered",
      })
    }
    inTime()
  }
  const nameOfLift = liftNames(blueprint)
  const lifts: Array<ExportBinding | undefined> = []
  return {
    blueprint,
    modules,
    lift: (index) => {
      const { type, context, binding } = blueprint.lifts[index] as (typeof blueprint.lifts)[number]
      return (lifts[index] ??= binding?.(nameOfLift(index)) ?? bindExport(type, encodingOf(blueprint, context), nameOfLift(index)))
    },
    lowerings: blueprint.lowerings.map(({ type, context, source }) =>
      bindImport(
        type,
        encodingOf(blueprint, context),
        source.kind === "import" ? (source.interface === undefined ? source.name : `${source.interface}#${source.name}`) : nameOfLift(source.lift),
      ),
    ),
    contextReadyAfter: blueprint.contexts.map(({ memory, realloc }) => Math.max(readyAfter(memory), readyAfter(realloc), 0)),
    pagesInitial: pages,
    pagesLeft: memoryPagesMax - pages,
    elementsLeft: limits.tableElementsMax - elements,
    needs: {
      fuel: modules.some(({ needs }) => needs.fuel),
      stack: modules.some(({ needs }) => needs.stack),
      pages: modules.some(({ needs }) => needs.pages),
      elements: modules.some(({ needs }) => needs.elements),
    },
  }
}

let rewriter: Rewriter | undefined

/** What is compiled in place of a rewritten module. */
type Expose = (original: Uint8Array, layout: CoreModule["layout"], rewritten: Uint8Array, needs: Needs) => Uint8Array<ArrayBuffer>

/** Rewrites and compiles one core module; large ones in slices and through the cache on disk. */
async function compileCore(
  bytes: Uint8Array,
  module: CoreModule,
  options: RewriteOptions,
  host: CompileContext,
  inTime: () => void,
  expose?: Expose,
): Promise<CompiledModule> {
  if (expose !== undefined) {
    rewriter ??= await host.loadRewriter()
    const { bytes: out, needs } = await inSlices(rewriter.rewriteSteps(bytes, module, options), host.nowMs, inTime)
    return { module: await WebAssembly.compile(expose(bytes, module.layout, out, needs)), needs }
  }
  if (bytes.length < diskCacheBytesMin) {
    rewriter ??= await host.loadRewriter()
    const { bytes: out, needs } = rewriter.rewriteCoreModule(bytes, module, options)
    return { module: new WebAssembly.Module(out), needs }
  }
  const { tier, memoryPagesMax, tableElementsMax } = options
  const cache = await host.modules()
  const compiled = await cache.compile(
    {
      coreDigest: await host.sha256(bytes),
      tier,
      costTableVersion: costTable.version,
      instrumenterVersion,
      memoryPagesMax,
      tableElementsMax,
      features: [],
      options: { notes: notesVersion },
    },
    async () => {
      rewriter ??= await host.loadRewriter()
      const { bytes: out, needs } = await inSlices(rewriter.rewriteSteps(bytes, module, options), host.nowMs, inTime)
      return { bytes: out, nameOffsets: offsetsOf(host.injected, out), notes: needs as unknown as Json }
    },
  )
  return { module: compiled.module, needs: compiled.notes as unknown as Needs }
}

/** Runs a long rewrite without holding the event loop for more than about 10 ms at a time (HOST.md §8). */
async function inSlices<A>(steps: Generator<void, A>, nowMs: () => number, inTime: () => void): Promise<A> {
  for (let sliceStartMs = nowMs(); ;) {
    const step = steps.next()
    if (step.done === true) return step.value
    if (nowMs() - sliceStartMs < 5) continue
    inTime()
    await new Promise((resume) => setTimeout(resume, 0))
    sliceStartMs = nowMs()
  }
}

/** Where an injected name stands in a rewritten module. It is random, so nothing else in the module reads like it. */
function offsetsOf(name: string, bytes: Uint8Array): ReadonlyArray<number> {
  const wanted = new TextEncoder().encode(name)
  const offsets: Array<number> = []
  for (let at = bytes.indexOf(wanted[0] as number); at >= 0; at = bytes.indexOf(wanted[0] as number, at + 1)) {
    if (wanted.every((byte, i) => bytes[at + i] === byte)) offsets.push(at)
  }
  return offsets
}

const encodingOf = (blueprint: Blueprint, context: number) => (blueprint.contexts[context] as { encoding: "utf8" | "utf16" | "latin1+utf16" }).encoding

/** The first export's name of each lift: one pass, since a component may have as many of both as fit its bytes. */
function liftNames(blueprint: Blueprint): (lift: number) => string {
  const names = new Map<number, string>()
  for (const { name, source } of blueprint.exports.values()) if (source.kind === "lift" && !names.has(source.lift)) names.set(source.lift, name)
  return (lift) => names.get(lift) ?? `function ${lift}`
}
