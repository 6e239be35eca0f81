/**
 * What a running `stele up` holds: a host, the plugins loaded by name, what each has cost. The demonstration and the
 * prompt both act on it. What is loaded, and with which grants, is in the store before it is said to be done.
 */
import { resolve } from "node:path"
import { ConfigError } from "../../schemas/error/config.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { closest } from "../../schemas/value/closest.ts"
import { quote } from "../../schemas/value/form.ts"
import type { Host } from "../../host/host.ts"
import { type CallOptions, type LoadOptions, resolveLimits } from "../../host/options.ts"
import { platform } from "../../host/platform/mod.ts"
import type { Plugin } from "../../host/plugin.ts"
import { contentKey } from "../../host/port/mod.ts"
import type { UsageRecord } from "../../host/port/observer.ts"
import { Host as Storage, type HostOptions } from "../mod.ts"
import { type Installation, Installations } from "../service/installation.ts"
import { nameOf } from "../cli/call.ts"
import { type Invocation, invoke } from "../cli/invoke.ts"
import { fill, portsFrom, usageNotes } from "../cli/ports.ts"
import { at } from "../cli/report.ts"
import type { ReadInput } from "../cli/argument.ts"

/** Sums over the calls of one plugin since it was first loaded. */
export interface Totals {
  calls: number
  failed: number
  fuel: bigint
  wallNs: number
  memoryPeakBytes: number
  readonly hostCalls: Map<string, number>
}

export interface Loaded {
  readonly name: string
  readonly file: string
  readonly options: LoadOptions
  readonly plugin: Plugin
  readonly loadNs: number
  readonly totals: Totals
}

interface InForce {
  readonly granted: ReadonlyArray<string>
  /** Taken back, as a whole or out of another. */
  readonly revoked: ReadonlyArray<string>
}

/** What may be done now, and what was taken back since loading. */
function inForce({ options: { grants = [] }, plugin }: Pick<Loaded, "options" | "plugin">): InForce {
  const { granted, revoked } = plugin.describe().grants
  return { granted, revoked: [...new Set([...revoked, ...grants.filter((grant) => !granted.includes(grant))])] }
}

/** Neither a URL nor a digest: its path must mean the same from another folder. */
const isFile = (file: string): boolean => !/^(https?|file|sha256):/.test(file)

const emptyTotals = (): Totals => ({ calls: 0, failed: 0, fuel: 0n, wallNs: 0, memoryPeakBytes: 0, hostCalls: new Map() })

function add(totals: Totals, usage: UsageRecord): void {
  totals.calls++
  if (usage.outcome !== "ok") totals.failed++
  totals.fuel += usage.fuel ?? 0n
  totals.wallNs += usage.wallNs
  totals.memoryPeakBytes = Math.max(totals.memoryPeakBytes, usage.memoryPeakBytes)
  for (const [grant, count] of Object.entries(usage.hostCalls)) totals.hostCalls.set(grant, (totals.hostCalls.get(grant) ?? 0) + count)
}

export class Session implements AsyncDisposable {
  readonly #host: Host
  readonly #observer: Awaited<ReturnType<typeof portsFrom>>["observer"]
  readonly #names: Map<string, string>
  readonly #installations: Installations
  readonly #loaded = new Map<string, Loaded>()

  private constructor(host: Host, observer: Awaited<ReturnType<typeof portsFrom>>["observer"], names: Map<string, string>) {
    this.#host = host
    this.#observer = observer
    this.#names = names
    this.#installations = new Installations(host.ports)
  }

  /** Opens a host on `storage`, everything denied. `kv` is what a new store holds at first. */
  static async open({ storage, objects, storageKey }: Pick<HostOptions, "storage" | "objects" | "storageKey">, kv: ReadonlyArray<string>): Promise<Session> {
    const names = new Map<string, string>()
    const { ports, observer } = await portsFrom({ config: [], secret: [] }, (digest) => names.get(digest) ?? "plugin")
    const host = await Storage.open({ storage, objects, storageKey, ports })
    await fill(host.ports.keyValue, { tenant: "default", kv }, true)
    return new Session(host, observer, names)
  }

  get loaded(): ReadonlyMap<string, Loaded> {
    return this.#loaded
  }

  /** Loads what was loaded when the store was last used; answers with what could not be, and why. */
  async restore(): Promise<ReadonlyMap<string, unknown>> {
    const failures = new Map<string, unknown>()
    for (const { name, file, digest, options, granted, revoked } of await this.#installations.all()) {
      try {
        await this.#place(name, file, digest, options, { granted, revoked })
      } catch (error) {
        failures.set(name, error)
      }
    }
    return failures
  }

  /** Loads `file` under `name`; one of that name that is loaded already makes room once the new one stands. */
  async load(file: string, options: LoadOptions, name = nameOf(file)): Promise<Loaded> {
    return this.#install(name, file, options, { granted: options.grants ?? [], revoked: [] })
  }

  /** The same file again, as it is now, with the grants that are in force now and without what was taken out of them. */
  async reload(name: string): Promise<Loaded> {
    const loaded = this.get(name)
    return this.#install(name, loaded.file, loaded.options, inForce(loaded))
  }

  /** Closes a plugin and forgets it; what it stored stays. */
  async unload(name: string): Promise<void> {
    const loaded = this.#loaded.get(name)
    // One that could not be loaded again is known to the store alone.
    const isKnown = await this.#installations.remove(name)
    if (loaded === undefined) return isKnown ? undefined : void this.get(name)
    this.#loaded.delete(name)
    await loaded.plugin.close()
    await this.#release(loaded.plugin.digest)
  }

  /** Adds a grant; the next operation sees it. */
  async grant(name: string, grant: string): Promise<Loaded> {
    const loaded = this.get(name)
    loaded.plugin.grant(grant)
    await this.#keep(loaded)
    return loaded
  }

  /** Takes a grant back; the next operation sees it. False when nothing of it was in force. */
  async revoke(name: string, grant: string): Promise<boolean> {
    const loaded = this.get(name)
    if (!loaded.plugin.revoke(grant)) return false
    await this.#keep(loaded)
    return true
  }

  async #install(name: string, file: string, options: LoadOptions, grants: InForce): Promise<Loaded> {
    const before = this.#loaded.get(name)
    const bytes = await this.#read(file, options)
    const loaded = await this.#place(name, file, bytes ?? file, options, grants)
    if (bytes !== undefined) await this.#host.store(bytes)
    await this.#keep(loaded)
    if (before !== undefined) await this.#release(before.plugin.digest)
    return loaded
  }

  /** The bytes of a file or URL; undefined for what the host finds by itself or knows best how to refuse. */
  async #read(file: string, { limits }: LoadOptions): Promise<Uint8Array | undefined> {
    if (file.startsWith("sha256:")) return undefined
    try {
      return await platform.readBytes(file, resolveLimits(limits).componentBytesMax)
    } catch (error) {
      if (error instanceof PluginError && error.reason._tag === "NotFound") return undefined
      throw error
    }
  }

  async #place(name: string, file: string, source: Uint8Array | string, given: LoadOptions, { granted, revoked }: InForce): Promise<Loaded> {
    const startedMs = performance.now()
    // Loading asks for a grant for each import, runs no guest code, and so nothing has used what is taken back after it.
    const options = { ...given, grants: [...new Set([...granted, ...revoked])] }
    const plugin = await at({ file }, () => this.#host.load(source, options))
    for (const grant of revoked) plugin.revoke(grant)
    // What was granted again inside a revocation went with it.
    const kept = new Set(plugin.describe().grants.granted)
    for (const grant of granted) if (!kept.has(grant)) plugin.grant(grant)
    const before = this.#loaded.get(name)
    const loaded: Loaded = { name, file, options, plugin, loadNs: (performance.now() - startedMs) * 1e6, totals: before?.totals ?? emptyTotals() }
    this.#names.set(plugin.digest, name)
    this.#loaded.set(name, loaded)
    await before?.plugin.close()
    return loaded
  }

  /** What is loaded as it is now, into the store. */
  async #keep(loaded: Loaded): Promise<void> {
    const { name, file, plugin } = loaded
    const { limits, metering, tenant } = loaded.options
    const options: Installation["options"] = {
      ...(limits === undefined ? {} : { limits }),
      ...(metering === undefined ? {} : { metering }),
      ...(tenant === undefined ? {} : { tenant }),
    }
    await this.#installations.put({ name, file: isFile(file) ? resolve(file) : file, digest: plugin.digest, options, ...inForce(loaded) })
  }

  /** Bytes that no plugin is loaded from any more need no room. */
  async #release(digest: string): Promise<void> {
    const installed = await this.#installations.all()
    if (!installed.some((each) => each.digest === digest)) await this.#host.ports.blob.delete(contentKey(digest))
  }

  /** @throws ConfigError `Usage` when no plugin of this name is loaded */
  get(name: string): Loaded {
    const loaded = this.#loaded.get(name)
    if (loaded !== undefined) return loaded
    const [near] = closest(name, [...this.#loaded.keys()])
    const all = this.#loaded.size === 0 ? "load FILE loads one" : `loaded are ${[...this.#loaded.keys()].join(", ")}`
    throw new ConfigError("Usage", { detail: `No plugin ${quote(name)} is loaded`, advice: near === undefined ? all : `did you mean "${near}"` })
  }

  /** Calls an export with words as arguments; whatever happens, the cost is counted. */
  async call(name: string, wanted: string, words: ReadonlyArray<string>, options: CallOptions, read?: ReadInput): Promise<Invocation> {
    const { plugin, totals, file } = this.get(name)
    this.#observer.take()
    try {
      return await invoke(plugin, file, wanted, words, options, read)
    } finally {
      const { usage } = this.#observer.take()
      if (usage !== undefined) add(totals, usage)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await using notes = usageNotes()
    notes.observer = this.#host.ports.observer
    await this.#host.close()
  }
}
