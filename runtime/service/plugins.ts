/**
 * The plugins of a host by name: loaded, replaced, granted, taken away, and kept in the host's store, so that they are
 * there again after a restart. What the prompt and the HTTP service act on. A plugin that is replaced or taken away while
 * calls run ends when the last of them has ended, so no call is lost.
 */
import { HttpError } from "../../schemas/error/http.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { closest } from "../../schemas/value/closest.ts"
import type { Host } from "../../host/host.ts"
import type { LoadOptions } from "../../host/options.ts"
import type { Plugin } from "../../host/plugin.ts"
import { contentKey } from "../../host/port/mod.ts"
import { type Installation, Installations, type KeptLink } from "./installation.ts"

export interface Loaded {
  readonly name: string
  /** Where it came from. */
  readonly file: string
  readonly options: LoadOptions
  readonly plugin: Plugin
  readonly loadNs: number
  /** What serves imports of it. */
  readonly linked: ReadonlyArray<LinkedPlugin>
}

/** A plugin that is to serve interfaces of another. */
export interface LinkSource extends Omit<KeptLink, "digest"> {
  /** Its bytes, or what the host finds them by. */
  readonly source: Uint8Array | string
}
interface LinkedPlugin extends KeptLink {
  readonly plugin: Plugin
}

/** What may be done now, and what was taken back since loading. */
export interface InForce {
  readonly granted: ReadonlyArray<string>
  /** Taken back, as a whole or out of another. */
  readonly revoked: ReadonlyArray<string>
}

export function inForce({ options: { grants = [] }, plugin }: Pick<Loaded, "options" | "plugin">): InForce {
  const { granted, revoked } = plugin.describe().grants
  return { granted, revoked: [...new Set([...revoked, ...grants.filter((grant) => !granted.includes(grant))])] }
}

export interface PluginsOptions {
  /** Most plugins at a time; default 1,000. */
  readonly pluginsMax?: number
  /** Told of each plugin that is loaded, before its first call. */
  readonly onLoaded?: (loaded: Loaded) => void
  /** Runs the loading of a file: the place to note whose errors they are. `link`: an import of another plugin that it is to serve. */
  readonly loading?: <A>(file: string, work: () => Promise<A>, link?: string) => Promise<A>
}

const { resolve } = process.getBuiltinModule("node:path")

interface Entry extends Loaded {
  /** Calls that run or wait. */
  calls: number
  isRetired: boolean
}

/** A plugin that is kept and could not be loaded. */
export interface Failed {
  readonly installation: Installation
  readonly error: unknown
}

export const pluginsMax = 1_000

/** Neither a URL nor a digest nor sent by somebody: its path must mean the same from another folder. */
const isFile = (file: string): boolean => !/^(https?|file|sha256|upload):/.test(file)

/** A row as text, to see whether somebody else has changed it. */
const rowText = ({ file, digest, options, granted, revoked, links }: Installation): string => JSON.stringify([file, digest, options, granted, revoked, links])

/** What a row loads from the content store. */
const digestsOf = ({ digest, links = [] }: Installation): ReadonlyArray<string> => [digest, ...links.map((link) => link.digest)]
const sourcesOf = ({ links = [] }: Installation): ReadonlyArray<LinkSource> => links.map(({ digest, ...link }) => ({ ...link, source: digest }))

/** Closes a plugin, then what it called. */
async function close({ linked, plugin }: Entry): Promise<void> {
  await plugin.close()
  for (const each of linked) await each.plugin.close()
}

export class Plugins implements AsyncDisposable {
  readonly host: Host
  readonly #options: PluginsOptions
  readonly #installations: Installations
  readonly #loaded = new Map<string, Entry>()
  readonly #failed = new Map<string, Failed>()
  /** Rows as this process knows them. */
  readonly #rows = new Map<string, string>()
  /** What is done with one name is done one after the other. */
  readonly #queues = new Map<string, Promise<unknown>>()
  #syncing: Promise<void> | undefined

  constructor(host: Host, options: PluginsOptions = {}) {
    this.host = host
    this.#options = options
    this.#installations = new Installations(host.ports)
  }

  get loaded(): ReadonlyMap<string, Loaded> {
    return this.#loaded
  }

  get failed(): ReadonlyMap<string, Failed> {
    return this.#failed
  }

  /** @throws HttpError `UnknownPlugin`; what kept it from being loaded, for a plugin that is kept and could not be */
  get(name: string): Loaded {
    const loaded = this.#loaded.get(name)
    if (loaded !== undefined) return loaded
    const failed = this.#failed.get(name)
    if (failed !== undefined) throw failed.error
    throw this.#unknown(name)
  }

  /** Runs `work` on a plugin, which stays as it is until `work` has ended, also when it is replaced meanwhile. */
  async use<A>(name: string, work: (loaded: Loaded) => A | Promise<A>): Promise<A> {
    const entry = this.get(name) as Entry
    entry.calls++
    try {
      return await work(entry)
    } finally {
      entry.calls--
      if (entry.isRetired && entry.calls === 0) await close(entry)
    }
  }

  /** Loads what is kept and not loaded yet, and what another process has changed; takes away what it has removed. */
  sync(): Promise<void> {
    return (this.#syncing ??= this.#sync().finally(() => (this.#syncing = undefined)))
  }

  async #sync(): Promise<void> {
    const kept = new Map((await this.#installations.all()).map((row) => [row.name, rowText(row)]))
    const names = new Set([...kept.keys(), ...this.#rows.keys()])
    for (const name of names) if (kept.get(name) !== this.#rows.get(name)) await this.#alone(name, () => this.#catchUp(name))
  }

  async #catchUp(name: string): Promise<void> {
    const row = await this.#installations.get(name)
    const text = row === undefined ? undefined : rowText(row)
    if (text === this.#rows.get(name)) return
    if (row === undefined || text === undefined) return this.#forget(name)
    this.#rows.set(name, text)
    try {
      this.#place(await this.#load(name, row.file, row.digest, row.options, row, sourcesOf(row)))
    } catch (error) {
      this.#failed.set(name, { installation: row, error })
      this.#retire(name)
    }
  }

  /** Loads a plugin, keeps it and puts it in the place of one of that name. `source` is its bytes, or what the host finds them by. */
  async install(
    name: string,
    file: string,
    source: Uint8Array | string,
    options: LoadOptions,
    grants?: InForce,
    links: ReadonlyArray<LinkSource> = [],
  ): Promise<Loaded> {
    return this.#alone(name, async () => {
      const max = this.#options.pluginsMax ?? pluginsMax
      if (!this.#loaded.has(name) && this.#loaded.size >= max) throw new HttpError("TooMany", { limit: max })
      const before = await this.#installations.get(name)
      const entry = await this.#load(name, file, source, options, grants ?? { granted: options.grants ?? [], revoked: [] }, links)
      try {
        for (const each of [source, ...links.map((link) => link.source)]) if (typeof each !== "string") await this.host.store(each)
        await this.#keep(entry)
      } catch (error) {
        await close(entry)
        throw error
      }
      this.#place(entry)
      if (before !== undefined) await this.#release(before)
      return entry
    })
  }

  /** Adds a grant; the next operation sees it. */
  async grant(name: string, grant: string): Promise<Loaded> {
    return this.#alone(name, async () => {
      const loaded = this.get(name)
      loaded.plugin.grant(grant)
      await this.#keep(loaded)
      return loaded
    })
  }

  /** Takes a grant back; the next operation sees it. False when nothing of it was in force. */
  async revoke(name: string, grant: string): Promise<boolean> {
    return this.#alone(name, async () => {
      const loaded = this.get(name)
      if (!loaded.plugin.revoke(grant)) return false
      await this.#keep(loaded)
      return true
    })
  }

  /** What is kept under a name, loaded or not. */
  async kept(name: string): Promise<Installation> {
    const row = await this.#installations.get(name)
    if (row === undefined) throw this.#unknown(name)
    return row
  }

  /** Closes a plugin and forgets it; what it stored stays. */
  async remove(name: string): Promise<void> {
    return this.#alone(name, async () => {
      const row = await this.#installations.get(name)
      // One that could not be loaded, or whose row cannot be read, is known to the store alone.
      const isKnown = await this.#installations.remove(name)
      if (!isKnown && !this.#loaded.has(name)) throw this.#unknown(name)
      this.#forget(name)
      if (row !== undefined) await this.#release(row)
    })
  }

  #unknown(name: string): HttpError {
    return new HttpError("UnknownPlugin", { name, candidates: closest(name, [...this.#loaded.keys()]) })
  }

  async #load(
    name: string,
    file: string,
    source: Uint8Array | string,
    given: LoadOptions,
    { granted, revoked }: InForce,
    links: ReadonlyArray<LinkSource>,
  ): Promise<Entry> {
    const startedMs = performance.now()
    // Loading asks for a grant for each import, runs no guest code, and so nothing has used what is taken back after it.
    const options = { ...given, grants: [...new Set([...granted, ...revoked])] }
    const loading = this.#options.loading ?? ((_file, work) => work())
    const linked: Array<LinkedPlugin> = []
    try {
      for (const { names, file: from, grants, source: bytes } of links) {
        const { isolation, limits, metering, tenant } = given
        const own = Object.fromEntries(Object.entries({ grants, isolation, limits, metering, tenant }).filter(([, value]) => value !== undefined))
        const plugin = await loading(from, (): Promise<Plugin> => this.host.load(bytes, own), names[0])
        linked.push({ names, file: from, grants, digest: plugin.digest, plugin })
      }
      const served = Object.fromEntries(linked.flatMap(({ names, plugin }) => names.map((one) => [one, plugin])))
      const plugin = await loading(file, (): Promise<Plugin> => this.host.load(source, linked.length === 0 ? options : { ...options, links: served }))
      return this.#entry(name, file, options, { granted, revoked }, plugin, linked, startedMs)
    } catch (error) {
      for (const { plugin } of linked) await plugin.close()
      throw error
    }
  }

  /** A plugin that was loaded, with the grants that are in force. */
  #entry(
    name: string,
    file: string,
    options: LoadOptions,
    { granted, revoked }: InForce,
    plugin: Plugin,
    linked: ReadonlyArray<LinkedPlugin>,
    startedMs: number,
  ): Entry {
    for (const grant of revoked) plugin.revoke(grant)
    // What was granted again inside a revocation went with it.
    const kept = new Set(plugin.describe().grants.granted)
    for (const grant of granted) if (!kept.has(grant)) plugin.grant(grant)
    return { name, file, options, plugin, loadNs: (performance.now() - startedMs) * 1e6, linked, calls: 0, isRetired: false }
  }

  /** In the place of whatever had its name. */
  #place(entry: Entry): void {
    this.#retire(entry.name)
    this.#failed.delete(entry.name)
    this.#options.onLoaded?.(entry)
    this.#loaded.set(entry.name, entry)
  }

  #retire(name: string): void {
    const entry = this.#loaded.get(name)
    if (entry === undefined) return
    this.#loaded.delete(name)
    entry.isRetired = true
    if (entry.calls === 0) void close(entry)
  }

  #forget(name: string): void {
    this.#rows.delete(name)
    this.#failed.delete(name)
    this.#retire(name)
  }

  /** What is loaded as it is now, into the store. */
  async #keep(loaded: Loaded): Promise<void> {
    const { name, file, plugin } = loaded
    const { limits, metering, tenant, isolation, instances, missing } = loaded.options
    const options: Installation["options"] = Object.fromEntries(
      Object.entries({ limits, metering, tenant, isolation, instances, missing }).filter(([, value]) => value !== undefined),
    )
    const links = loaded.linked.map(({ digest, file: from, grants, names }) => ({ names, file: isFile(from) ? resolve(from) : from, digest, grants }))
    const kept = links.length === 0 ? {} : { links }
    const row: Installation = { name, file: isFile(file) ? resolve(file) : file, digest: plugin.digest, options, ...inForce(loaded), ...kept }
    await this.#installations.put(row)
    this.#rows.set(name, rowText(row))
  }

  /** Bytes that no plugin is loaded from any more need no room. */
  async #release(row: Installation): Promise<void> {
    const used = new Set((await this.#installations.all()).flatMap(digestsOf))
    for (const digest of digestsOf(row)) if (!used.has(digest)) await this.host.ports.blob.delete(contentKey(digest))
  }

  async #alone<A>(name: string, work: () => A | Promise<A>): Promise<A> {
    const before = this.#queues.get(name) ?? Promise.resolve()
    const mine = before.then(work)
    const settled = mine.then(
      () => {},
      () => {},
    )
    this.#queues.set(name, settled)
    try {
      return await mine
    } finally {
      if (this.#queues.get(name) === settled) this.#queues.delete(name)
    }
  }

  /** Closes the plugins; they stay in the store. The host is whoever opened it's to close. */
  async close(): Promise<void> {
    await Promise.all(this.#queues.values())
    for (const name of this.#loaded.keys()) this.#retire(name)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/**
 * Installs what somebody has sent. Where it was not said, a process of its own is where strangers' plugins belong; inline where this
 * version has none. What is in force is in its description.
 */
export async function installApart(
  plugins: Plugins,
  isolation: LoadOptions["isolation"],
  name: string,
  file: string,
  bytes: Uint8Array,
  options: LoadOptions,
  grants: InForce,
): Promise<Loaded> {
  const where = options.isolation ?? isolation
  try {
    return await plugins.install(name, file, bytes, { ...options, isolation: where ?? "process" }, grants)
  } catch (error) {
    if (where !== undefined || !(error instanceof PluginError && error.reason._tag === "NotBuilt")) throw error
    return plugins.install(name, file, bytes, { ...options, isolation: "inline" }, grants)
  }
}
