/**
 * What a running `stele up` holds: a host, the plugins loaded by name, what each has cost. The demonstration and the
 * prompt both act on it. What is loaded, and with which grants, is in the store before it is said to be done.
 */
import { ConfigError } from "../../schemas/error/config.ts"
import { HttpError } from "../../schemas/error/http.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { closest } from "../../schemas/value/closest.ts"
import { quote } from "../../schemas/value/form.ts"
import type { Host } from "../../host/host.ts"
import { type CallOptions, type LoadOptions, resolveLimits } from "../../host/options.ts"
import { platform } from "../../host/platform/mod.ts"
import type { UsageRecord } from "../../host/port/observer.ts"
import { Host as Storage, type HostOptions } from "../mod.ts"
import { inForce, type InForce, type LinkSource, type Loaded as Placed, Plugins } from "../service/plugins.ts"
import { nameOf } from "../cli/call.ts"
import { type Invocation, invoke } from "../cli/invoke.ts"
import { type LinkFlags, parseLinks } from "../cli/links.ts"
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

export interface Loaded extends Placed {
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
  readonly plugins: Plugins
  readonly #host: Host
  readonly #observer: Awaited<ReturnType<typeof portsFrom>>["observer"]
  readonly #totals = new Map<string, Totals>()

  private constructor(host: Host, observer: Awaited<ReturnType<typeof portsFrom>>["observer"], names: Map<string, string>) {
    this.#host = host
    this.#observer = observer
    this.plugins = new Plugins(host, {
      onLoaded: ({ name, plugin }) => void names.set(plugin.digest, name),
      loading: (file, work, link) => at({ file, ...(link === undefined ? {} : { grantFlag: `--link-grant ${link}=` }) }, work),
    })
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
    return new Map([...this.plugins.loaded].map(([name, placed]) => [name, this.#counted(placed)]))
  }

  #counted(placed: Placed): Loaded {
    let totals = this.#totals.get(placed.name)
    if (totals === undefined) this.#totals.set(placed.name, (totals = emptyTotals()))
    return { ...placed, totals }
  }

  /** Loads what was loaded when the store was last used; answers with what could not be, and why. */
  async restore(): Promise<ReadonlyMap<string, unknown>> {
    await this.plugins.sync()
    return new Map([...this.plugins.failed].map(([name, { error }]) => [name, error]))
  }

  /** Loads `file` under `name`; one of that name that is loaded already makes room once the new one stands. */
  async load(file: string, options: LoadOptions, name = nameOf(file), links: LinkFlags = { link: [], linkGrant: [] }): Promise<Loaded> {
    const sources: Array<LinkSource> = []
    for (const [from, { grants, names }] of parseLinks(links))
      sources.push({ names, file: from, grants, source: (await at({ file: from }, () => readPlugin(from, options))) ?? from })
    return this.#install(name, file, options, { granted: options.grants ?? [], revoked: [] }, sources)
  }

  /** The same file again, as it is now, with the grants that are in force now and without what was taken out of them. */
  async reload(name: string): Promise<Loaded> {
    const loaded = this.get(name)
    const links = loaded.linked.map(({ digest, file, grants, names }) => ({ names, file, grants, source: digest }))
    return this.#install(name, loaded.file, loaded.options, inForce(loaded), links)
  }

  /** Closes a plugin and forgets it; what it stored stays. */
  async unload(name: string): Promise<void> {
    try {
      await this.plugins.remove(name)
    } catch (error) {
      if (!(error instanceof HttpError && error.reason._tag === "UnknownPlugin")) throw error
      this.get(name)
    }
    this.#totals.delete(name)
  }

  /** Adds a grant; the next operation sees it. */
  async grant(name: string, grant: string): Promise<Loaded> {
    this.get(name)
    return this.#counted(await this.plugins.grant(name, grant))
  }

  /** Takes a grant back; the next operation sees it. False when nothing of it was in force. */
  async revoke(name: string, grant: string): Promise<boolean> {
    this.get(name)
    return this.plugins.revoke(name, grant)
  }

  async #install(name: string, file: string, options: LoadOptions, grants: InForce, links: ReadonlyArray<LinkSource>): Promise<Loaded> {
    return this.#counted(await this.plugins.install(name, file, (await readPlugin(file, options)) ?? file, options, grants, links))
  }

  /** @throws ConfigError `Usage` when no plugin of this name is loaded */
  get(name: string): Loaded {
    const loaded = this.plugins.loaded.get(name)
    if (loaded !== undefined) return this.#counted(loaded)
    const names = [...this.plugins.loaded.keys()]
    const [near] = closest(name, names)
    const all = names.length === 0 ? "load FILE loads one" : `loaded are ${names.join(", ")}`
    throw new ConfigError("Usage", { detail: `No plugin ${quote(name)} is loaded`, advice: near === undefined ? all : `did you mean "${near}"` })
  }

  /** Calls an export with words as arguments; whatever happens, the cost is counted. */
  async call(name: string, wanted: string, words: ReadonlyArray<string>, options: CallOptions, read?: ReadInput): Promise<Invocation> {
    const { totals } = this.get(name)
    return this.plugins.use(name, async ({ plugin, file }) => {
      this.#observer.take()
      let answered: Invocation | undefined
      try {
        return (answered = await invoke(plugin, file, wanted, words, options, read))
      } finally {
        const { usage } = this.#observer.take()
        // The service may have called another plugin meanwhile, and this one may go on after its answer.
        if (usage?.plugin === plugin.digest) add(totals, usage)
        else void answered?.ended.then((whole) => add(totals, whole))
      }
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await using notes = usageNotes()
    notes.observer = this.#host.ports.observer
    await this.plugins.close()
    await this.#host.close()
  }
}

/** The bytes of a file or URL; undefined for what the host finds by itself or knows best how to refuse. */
export async function readPlugin(file: string, { limits }: LoadOptions): Promise<Uint8Array | undefined> {
  if (file.startsWith("sha256:")) return undefined
  try {
    return await platform.readBytes(file, resolveLimits(limits).componentBytesMax)
  } catch (error) {
    if (error instanceof PluginError && error.reason._tag === "NotFound") return undefined
    throw error
  }
}
