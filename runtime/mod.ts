/** `stele`: the host of `stele/host` with storage behind its ports. */
import { Host as CoreHost, type HostOptions as CoreOptions, type Source } from "../host/host.ts"
import type { ObserverPort } from "../host/port/observer.ts"
import { ConfigError } from "../schemas/error/config.ts"
import { openNetwork } from "./network/network.ts"
import type { NetworkOptions } from "./network/options.ts"
import { type Replacement, setReplacements } from "./plugins/replaced.ts"
import type { Upkeep, UpkeepLimits } from "./service/upkeep.ts"
import type { UsageObserver } from "./service/usage.ts"
import type { Storage, StorageOptions } from "./storage/storage.ts"

export * from "../host/mod.ts"
export { type ExtismLoad, extismManifest, type ManifestOptions } from "../host/foreign/extism/manifest.ts"
export { withNumbers } from "../host/foreign/extism/user.ts"
export { ExtismError } from "../schemas/error/extism.ts"
export { FileSystemError } from "../schemas/error/file-system.ts"
export { IsolateError } from "../schemas/error/isolate.ts"
export { CompositionError } from "../schemas/error/composition.ts"
export { PoolError } from "../schemas/error/pool.ts"
export { NetworkError } from "../schemas/error/network.ts"
export type { NetworkOptions } from "./network/options.ts"
export { type HandlerLimits, type HandlerOptions, httpHandler } from "./serve/handler.ts"
export type { Replacement } from "./plugins/replaced.ts"
export { ReplacementError } from "../schemas/error/replacement.ts"
export { StorageError } from "../schemas/error/storage.ts"

export interface HostOptions extends CoreOptions, StorageOptions {
  /**
   * Where ports keep their data: `memory` (default); `sqlite:PATH` for a file that is made when it is not there and
   * keeps key-value data, events and blobs; `sqlite-tenants:FOLDER` for a folder with such a file for each tenant; `postgres://USER@HOST/DATABASE` for a server that `stele storage migrate` has set up. Ports
   * given in `ports` stay as they are.
   */
  readonly storage?: string | undefined
  /** Keep a usage record of every call in the storage. Default true, where it is not memory; the observer in `ports` gets its events all the same. */
  readonly usage?: boolean
  /**
   * Keep the storage in order while the host is open: remove values that have ended, objects that nobody refers to, usage records that are too old.
   * Default true, where it is not memory. How often, and the age of what is removed, can be given, in ms; `false` leaves it to other processes and to
   * `stele storage collect`.
   */
  readonly upkeep?: boolean | Partial<UpkeepLimits>
  /**
   * How plugins that are granted it reach the network; its thread starts with the first request. `false`: not at all. Default: by the system's resolver,
   * with the limits of `stele/host`.
   */
  readonly network?: NetworkOptions | false
  /**
   * Components in the place of first-party plugins, by name: `{ billing: "./mine.wasm" }`. Each must implement the plugin's world
   * (`stele/plugins/billing.wit`), and gets its limits and grants. It is compared when it is first asked for.
   */
  readonly plugins?: Readonly<Record<string, Source | Replacement>>
}

const engines: CoreOptions["engines"] = {
  "node-wasi": async () => (await import("./engine/node-wasi.ts")).nodeWasi,
  wasmtime: async () => (await import("./engine/wasmtime.ts")).wasmtime,
}

const replacementOf = (given: Source | Replacement): Replacement =>
  typeof given === "object" && given !== null && "setBy" in given ? given : { source: given, setBy: "Host.open({ plugins })" }

/** Opens hosts; what it opens is the `Host` of `stele/host`. */
export const Host = {
  /** Opens a host whose ports keep their data in `storage`. Everything is denied, and calls have a deadline, unless a load says otherwise. */
  async open({
    storage = "memory",
    acceptLoss = false,
    objects,
    storageKey,
    usage = true,
    upkeep = true,
    network = {},
    plugins,
    ...options
  }: HostOptions = {}): Promise<CoreHost> {
    if (typeof usage !== "boolean") throw new ConfigError("Option", { option: "usage", expected: "true or false", actual: String(usage) })
    if (typeof upkeep !== "boolean" && (typeof upkeep !== "object" || upkeep === null))
      throw new ConfigError("Option", { option: "upkeep", expected: "true, false or limits in ms", actual: String(upkeep) })
    if (network !== false && (typeof network !== "object" || network === null))
      throw new ConfigError("Option", { option: "network", expected: "false or options", actual: String(network) })
    if (plugins !== undefined && (typeof plugins !== "object" || plugins === null))
      throw new ConfigError("Option", { option: "plugins", expected: "an object of components by the plugins they replace", actual: String(plugins) })
    const replacements = new Map(Object.entries(plugins ?? {}).map(([name, given]) => [name, replacementOf(given)]))
    if (replacements.size > 0) await (await import("./plugins/first-party.ts")).checkReplacements(replacements)
    // A page has no sockets.
    const online = network === false || typeof process === "undefined" ? undefined : openNetwork(network)
    // Nothing of storage is loaded for a host in memory: pages have none of what it stands on.
    const kept: Storage =
      storage === "memory"
        ? { ports: {}, close: async () => {} }
        : await (await import("./storage/storage.ts")).openStorage(storage, { acceptLoss, objects, storageKey })
    const next = options.ports?.observer
    let observer: ObserverPort | undefined = next
    let keeper: Upkeep | undefined
    const close = async (): Promise<void> => {
      await keeper?.close()
      await online?.close()
      // Before the store: it writes what is left into it.
      await (observer === next ? undefined : (observer as UsageObserver).close())
      await kept.close()
    }
    try {
      if (kept.store !== undefined && usage) observer = (await import("./service/usage.ts")).usageObserver(kept.store, { next })
      if (kept.store !== undefined && kept.objects !== undefined && upkeep !== false)
        keeper = (await import("./service/upkeep.ts")).upkeep(kept.store, kept.objects, upkeep === true ? {} : upkeep)
      const host = await CoreHost.open({
        ...options,
        engines: { ...engines, ...options.engines },
        // A port that is given as undefined is not given: it must not put memory in the place of the store.
        ports: {
          ...kept.ports,
          ...(online && { http: online.http, socket: online.socket }),
          ...Object.fromEntries(Object.entries({ ...options.ports, observer }).filter(([, port]) => port !== undefined)),
        },
        guarded: async () => [
          ...(typeof options.guarded === "function" ? await options.guarded() : (options.guarded ?? [])),
          ...(typeof process === "undefined" ? [] : (await import("./storage/guarded.ts")).guardedPaths(storage, objects)),
        ],
        async onClose() {
          await close()
          await options.onClose?.()
        },
      })
      setReplacements(host, replacements)
      return host
    } catch (error) {
      await close()
      throw error
    }
  },
}
export type Host = CoreHost
