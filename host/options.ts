/** Options of the embedding API: defaults, ranges, and refusal of unknown keys, so that a misspelt limit is never silently unenforced. */
import { ConfigError } from "../schemas/error/config.ts"
import { type LimitName, limits as limitTable } from "../schemas/error/limit.ts"
import { PluginError } from "../schemas/error/plugin.ts"
import type { Link } from "./link/compose.ts"
import type { ProvidedInterface } from "./link/link.ts"
import type { TraceContext } from "./port/mod.ts"
import type { PullBytes, Terminal } from "./wasi/given.ts"

/** Limits by name; units, defaults and meanings are in the table `limits` of `stele/schemas`. */
export type Limits = { readonly [K in LimitName]: number }

export const defaultLimits: Limits = Object.fromEntries(Object.entries(limitTable).map(([name, { default: value }]) => [name, value])) as Limits

/** What a program of WASI, 0.2 or preview 1, finds when it starts. Everything absent is empty or closed. */
export interface WasiCallOptions {
  /** The whole argument list; the first is by custom the program's name. */
  readonly args?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  /** What `initial-cwd` answers; it opens nothing. */
  readonly cwd?: string
  /** Bytes, or a function that gives the next ones: at most so many, none where there are none yet, undefined at the end. */
  readonly stdin?: Uint8Array | string | PullBytes
  /** Called with each piece of output, a copy. Absent: to the plugin's log where `log` is granted, else nowhere. */
  readonly stdout?: (bytes: Uint8Array) => void
  readonly stderr?: (bytes: Uint8Array) => void
  /** Which of the streams the program is told are a terminal. */
  readonly terminals?: ReadonlyArray<Terminal>
}

export interface WasiOptions extends WasiCallOptions {
  /**
   * Directories of the host by the names the program sees: `{ "/data": "/srv/data" }`. What may be done in them is what
   * the grants `fs:read:DIR` and `fs:write:DIR` say, and nothing outside them.
   */
  readonly directories?: Readonly<Record<string, string>>
}

export interface LoadOptions {
  /** What the plugin may do; everything else is denied. `["log", "kv:read:prices/*"]` */
  readonly grants?: ReadonlyArray<string>
  /** Limits that differ from the defaults. */
  readonly limits?: Partial<Limits>
  /** `deadline` (default): wall-clock stop. `fuel`: exact, deterministic cost, and the deadline. `yield`: `fuel` that gives the event loop back every few ms. `off`: neither. */
  readonly metering?: "deadline" | "fuel" | "yield" | "off"
  /** Where the guest runs: on the calling thread (default), in a worker, or in a process of its own. */
  readonly isolation?: "inline" | "worker" | "process"
  readonly instances?: {
    /** `never` (default): a fresh instance for each call. `principal`: instances keep their state between calls. */
    readonly reuse?: "never" | "principal"
    /** Most live instances of this plugin; default 1 for `principal`, unlimited for `never`. */
    readonly max?: number
    /** How many idle instances are kept; default 1. */
    readonly idle?: number
    /** Fresh instances made ahead, while nothing else runs, for calls that would make their own; they count in `max`. Default 0. */
    readonly ready?: number
    /** Calls that may wait for an instance when `max` are busy; further ones are refused. Default 100. */
    readonly queue?: number
  }
  /** Whom the plugin works for: an opaque name that prefixes every key and stands in every record. Default `default`. */
  readonly tenant?: string
  /** What happens at load to imports without a grant: `refuse` (default) or `trap` when called. */
  readonly missing?: "refuse" | "trap"
  /** Interfaces the embedder implements itself, by name with or without version; host functions of Extism plugins by the module they are imported from. */
  readonly imports?: Readonly<Record<string, ProvidedInterface>>
  /**
   * Plugins that serve interfaces this one imports, by name with or without version. Each function needs a grant:
   * `call:acme:prices/api#find`. What is called runs with its own grants, limits and tenant, and no longer than its caller may.
   */
  readonly links?: Readonly<Record<string, Link>>
  /** Settings of this plugin alone; they win over those of the `config` port. It sees those it has a grant for: `config:NAME`. */
  readonly config?: Readonly<Record<string, string>>
  /** `sha256:…` that the bytes must have; others are refused. */
  readonly digest?: string
  /** Arguments, environment, streams and directories of a program. */
  readonly wasi?: WasiOptions
  /**
   * What runs the guest: `js` (default), the engine this host lives in; for programs of WASI preview 1 also `node-wasi`
   * and `wasmtime`, each in a process of its own (`node-wasi` also in a `worker`), which refuse what they do not promise.
   */
  readonly engine?: "js" | "node-wasi" | "wasmtime"
  /** How instances start: `fresh` (default), or from a `snapshot` of one that is initialised while the plugin is loaded. */
  readonly prepare?: "fresh" | "snapshot"
}

export interface ResolvedOptions {
  readonly grants: ReadonlyArray<string>
  readonly limits: Limits
  readonly metering: "deadline" | "fuel" | "yield" | "off"
  readonly engine: "js" | "node-wasi" | "wasmtime"
  readonly isolation: "inline" | "worker" | "process"
  readonly reuse: "never" | "principal"
  readonly instancesMax: number
  readonly idleMax: number
  readonly queueMax: number
  readonly readyCount: number
  readonly tenant: string
  readonly prepare: "fresh" | "snapshot"
  readonly missing: "refuse" | "trap"
  readonly imports: Readonly<Record<string, ProvidedInterface>>
  readonly links: Readonly<Record<string, Link>> | undefined
  readonly config: Readonly<Record<string, string>> | undefined
  readonly digest: string | undefined
  readonly wasi: WasiOptions | undefined
}

/** Options of a replacement: those of a load, for whatever is to be other than it was; the tenant stays. */
export interface ReplaceOptions extends Omit<LoadOptions, "tenant"> {
  /**
   * Which exports of the old component the new one must have with equal types: those that were called (`used`, the
   * default), `all`, or none (`any`: every caller knows).
   */
  readonly exports?: "used" | "all" | "any"
}

/** Options of one call. */
export interface CallOptions {
  /** Wall-clock limit of this call in ms, instead of the plugin's `limits.deadlineMs`. Inside another call the outer deadline holds too. */
  readonly deadlineMs?: number
  /** Fuel of this call, instead of the plugin's `limits.fuel`; only with `metering: "fuel"` or `"yield"`. */
  readonly fuel?: bigint
  readonly signal?: AbortSignal
  /** What of the plugin's `wasi` is different in this call. */
  readonly wasi?: WasiCallOptions
  /** The trace that the call is part of: it stands in its records, and goes with the requests that the plugin makes where its grants let it. */
  readonly trace?: TraceContext
}

/** Deadlines are compared in 32-bit ticks: one day is the longest. */
const deadlineMsMax = 86_400_000
const memoryBytesCeiling = 4 * 1024 ** 3
const tenantCharsMax = 256
/** Instances made ahead: each has its memories. */
const readyMax = 1_000
/** The watchdog counts 32 calls inside calls (`watchdogDepthMax`); a destructor inside the innermost is one more. */
const nestingCeiling = 30

const loadKeys = [
  "grants",
  "limits",
  "metering",
  "isolation",
  "instances",
  "tenant",
  "missing",
  "imports",
  "links",
  "config",
  "digest",
  "wasi",
  "engine",
  "prepare",
]
const replaceKeys = [...loadKeys.filter((key) => key !== "tenant"), "exports"]
const instanceKeys = ["reuse", "max", "idle", "ready", "queue"]
const callKeys = ["deadlineMs", "fuel", "signal", "wasi", "trace"]

export function rejectUnknown(options: object, known: ReadonlyArray<string>, where: string): void {
  for (const key of Object.keys(options)) {
    if (!known.includes(key)) throw new ConfigError("UnknownOption", { option: where === "" ? key : `${where}.${key}`, known })
  }
}

export const show = (value: unknown): string =>
  typeof value === "string" ? JSON.stringify(value) : typeof value === "object" && value !== null ? "an object" : String(value)

export function oneOf<const A extends string>(option: string, value: unknown, built: ReadonlyArray<A>, planned: ReadonlyArray<string>): A {
  if (built.includes(value as A)) return value as A
  if (planned.includes(value as string)) throw new PluginError("NotBuilt", { asked: `${option}: "${String(value)}"`, exists: built.map((name) => `"${name}"`) })
  throw new ConfigError("Option", { option, expected: built.map((name) => `"${name}"`).join(" or "), actual: show(value) })
}

function count(option: string, value: unknown, min: number, max: number): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
    throw new ConfigError("Option", { option, expected: `a whole number from ${min} to ${max}`, actual: show(value) })
  }
  return value
}

export function resolveLimits(given: Partial<Limits> | undefined): Limits {
  if (given === undefined) return defaultLimits
  rejectUnknown(given, Object.keys(limitTable), "limits")
  const limits: { -readonly [K in LimitName]: number } = { ...defaultLimits }
  for (const [name, value] of Object.entries(given) as Array<[LimitName, number | undefined]>) {
    if (value === undefined) continue
    if (name === "deadlineMs") limits[name] = deadline("limits.deadlineMs", value)
    else
      limits[name] = count(
        `limits.${name}`,
        value,
        0,
        name === "memoryBytesMax" ? memoryBytesCeiling : name === "nestingMax" ? nestingCeiling : Number.MAX_SAFE_INTEGER,
      )
  }
  return limits
}

export function deadline(option: string, value: unknown): number {
  if (typeof value !== "number" || !(value > 0) || value > deadlineMsMax) {
    throw new ConfigError("Option", { option, expected: `milliseconds above 0 and at most ${deadlineMsMax} (one day)`, actual: show(value) })
  }
  return value
}

/** Nothing stops a guest that is not metered: a deadline given all the same would be silently unenforced. */
const unheeded = (option: string): ConfigError =>
  new ConfigError("Option", { option, expected: `a plugin loaded with metering "deadline" or "fuel"`, actual: `metering "off"` })

export const digestPattern = /^sha256:[0-9a-f]{64}$/

function pinned(digest: LoadOptions["digest"]): string | undefined {
  if (digest !== undefined && (typeof digest !== "string" || !digestPattern.test(digest)))
    throw new ConfigError("Option", { option: "digest", expected: "sha256: and 64 lowercase hexadecimal digits", actual: show(digest) })
  return digest
}

/** Copied, since a guest's reads come later. */
function settings(config: LoadOptions["config"]): ResolvedOptions["config"] {
  if (config === undefined) return undefined
  const isText = typeof config === "object" && config !== null && Object.values(config).every((value) => typeof value === "string")
  if (!isText) throw new ConfigError("Option", { option: "config", expected: "an object of texts", actual: show(config) })
  return { ...config }
}

export function resolveLoadOptions(options: LoadOptions): ResolvedOptions {
  rejectUnknown(options, loadKeys, "")
  const { instances = {}, tenant = "default" } = options
  rejectUnknown(instances, instanceKeys, "instances")
  if (typeof tenant !== "string" || tenant === "" || tenant.length > tenantCharsMax || !tenant.isWellFormed()) {
    // Half a surrogate pair becomes U+FFFD in UTF-8: two tenants would share a port's keys.
    throw new ConfigError("Option", { option: "tenant", expected: `a name of 1 to ${tenantCharsMax} characters`, actual: show(tenant) })
  }
  const engine = oneOf("engine", options.engine ?? "js", ["js", "node-wasi", "wasmtime"], [])
  // Other engines are programs of their own.
  const isolation = oneOf("isolation", options.isolation ?? (engine === "js" ? "inline" : "process"), ["inline", "worker", "process"], [])
  const prepare =
    engine === "js"
      ? oneOf("prepare", options.prepare ?? "fresh", ["fresh", "snapshot"], [])
      : oneOf("prepare", options.prepare ?? "fresh", ["fresh"], ["snapshot"])
  const reuse = oneOf("instances.reuse", instances.reuse ?? "never", ["never", "principal"], [])
  const instancesMax = instances.max === undefined ? (reuse === "principal" ? 1 : Number.MAX_SAFE_INTEGER) : count("instances.max", instances.max, 1, 16_000)
  const grants = options.grants ?? []
  if (!Array.isArray(grants) || grants.some((grant) => typeof grant !== "string")) {
    throw new ConfigError("Option", { option: "grants", expected: "a list of grants", actual: Array.isArray(grants) ? "a list of other values" : show(grants) })
  }
  const metering = oneOf("metering", options.metering ?? "deadline", ["deadline", "fuel", "yield", "off"], [])
  const limits = resolveLimits(options.limits)
  if (metering === "off" && options.limits?.deadlineMs !== undefined) throw unheeded("limits.deadlineMs")
  return {
    // Copied: what is admitted is what is granted, whatever happens to the caller's list meanwhile.
    grants: [...(grants as ReadonlyArray<string>)],
    limits,
    metering,
    engine,
    isolation,
    reuse,
    instancesMax,
    idleMax: instances.idle === undefined ? 1 : count("instances.idle", instances.idle, 0, 16_000),
    readyCount: instances.ready === undefined ? 0 : count("instances.ready", instances.ready, 0, Math.min(instancesMax, readyMax)),
    queueMax: instances.queue === undefined ? 100 : count("instances.queue", instances.queue, 0, 100_000),
    tenant,
    prepare,
    missing: oneOf("missing", options.missing ?? "refuse", ["refuse", "trap"], []),
    imports: options.imports ?? {},
    links: options.links,
    config: settings(options.config),
    digest: pinned(options.digest),
    wasi: options.wasi,
  }
}

export function checkReplaceOptions(options: ReplaceOptions): void {
  rejectUnknown(options, replaceKeys, "")
  oneOf("exports", options.exports ?? "used", ["used", "all", "any"], [])
}

function checkTrace(trace: unknown): void {
  const { traceId, spanId, isSampled } = (typeof trace === "object" && trace !== null ? trace : {}) as { readonly [K in keyof TraceContext]?: unknown }
  const isId = (id: unknown, digits: number): boolean => typeof id === "string" && id.length === digits && /^(?!0+$)[0-9a-f]+$/.test(id)
  if (!isId(traceId, 32) || !isId(spanId, 16) || typeof isSampled !== "boolean")
    throw new ConfigError("Option", {
      option: "trace",
      expected: "{ traceId, spanId, isSampled }: 32 and 16 hexadecimal digits and a boolean",
      actual: show(trace),
    })
}

/** In the options of a call that a linked plugin makes: that plugin's tenant. No application can name it. */
export const callerTenant = Symbol("the caller's tenant")
export interface LinkedCallOptions extends CallOptions {
  readonly [callerTenant]?: string
}

export function checkCallOptions(options: CallOptions, metering: ResolvedOptions["metering"]): void {
  rejectUnknown(options, callKeys, "")
  if (options.deadlineMs !== undefined) {
    deadline("deadlineMs", options.deadlineMs)
    if (metering === "off") throw unheeded("deadlineMs")
  }
  if (options.wasi !== undefined && (typeof options.wasi !== "object" || Object.hasOwn(options.wasi as object, "directories")))
    throw new ConfigError("Option", { option: "wasi", expected: "an object; directories are given when the plugin is loaded", actual: show(options.wasi) })
  if (options.trace !== undefined) checkTrace(options.trace)
  if (options.fuel === undefined) return
  if (metering !== "fuel" && metering !== "yield")
    throw new ConfigError("Option", { option: "fuel", expected: `a plugin loaded with metering "fuel" or "yield"`, actual: `metering "${metering}"` })
  if (typeof options.fuel !== "bigint" || options.fuel < 0n || options.fuel > 0x7fff_ffff_ffff_ffffn) {
    throw new ConfigError("Option", { option: "fuel", expected: "a bigint from 0n to 2n ** 63n - 1n", actual: show(options.fuel) })
  }
}
