/** What a running `stele up` holds: a host, the plugins loaded by name, what each has cost. The demonstration and the prompt both act on it. */
import { ConfigError } from "../../schemas/error/config.ts"
import { closest } from "../../schemas/value/closest.ts"
import { quote } from "../../schemas/value/form.ts"
import type { Host } from "../../host/host.ts"
import type { CallOptions, LoadOptions } from "../../host/options.ts"
import type { Plugin } from "../../host/plugin.ts"
import type { UsageRecord } from "../../host/port/observer.ts"
import { Host as Storage } from "../mod.ts"
import { nameOf } from "../cli/call.ts"
import { type Invocation, invoke } from "../cli/invoke.ts"
import { fill, portsFrom } from "../cli/ports.ts"
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
  readonly #loaded = new Map<string, Loaded>()

  private constructor(host: Host, observer: Awaited<ReturnType<typeof portsFrom>>["observer"], names: Map<string, string>) {
    this.#host = host
    this.#observer = observer
    this.#names = names
  }

  /** Opens a host on `storage`, everything denied. `kv` is what a new store holds at first. */
  static async open(storage: string, kv: ReadonlyArray<string>): Promise<Session> {
    const names = new Map<string, string>()
    const { ports, observer } = await portsFrom({ config: [], secret: [] }, (digest) => names.get(digest) ?? "plugin")
    const host = await Storage.open({ storage, ports })
    await fill(host.ports.keyValue, { tenant: "default", kv }, true)
    return new Session(host, observer, names)
  }

  get loaded(): ReadonlyMap<string, Loaded> {
    return this.#loaded
  }

  /** Loads `file` under `name`; one of that name that is loaded already makes room once the new one stands. */
  async load(file: string, options: LoadOptions, name = nameOf(file)): Promise<Loaded> {
    const startedMs = performance.now()
    const plugin = await at({ file }, () => this.#host.load(file, options))
    const before = this.#loaded.get(name)
    const loaded: Loaded = { name, file, options, plugin, loadNs: (performance.now() - startedMs) * 1e6, totals: before?.totals ?? emptyTotals() }
    this.#names.set(plugin.digest, name)
    this.#loaded.set(name, loaded)
    await before?.plugin.close()
    return loaded
  }

  /** The same file again, as it is now, with the grants that are in force now and without what was taken out of them. */
  async reload(name: string): Promise<Loaded> {
    const { file, options, plugin } = this.get(name)
    const { granted, revoked } = plugin.describe().grants
    const loaded = await this.load(file, { ...options, grants: granted }, name)
    // Loading runs no guest code, so nothing has used what is taken back here.
    for (const grant of revoked) loaded.plugin.revoke(grant)
    // What was granted again inside a revocation went with it.
    const kept = new Set(loaded.plugin.describe().grants.granted)
    for (const grant of granted) if (!kept.has(grant)) loaded.plugin.grant(grant)
    return loaded
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
    await this.#host.close()
  }
}
