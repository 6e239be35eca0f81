/** `stele`: the host of `stele/host` with storage behind its ports. */
import { Host as CoreHost, type HostOptions as CoreOptions } from "../host/host.ts"
import { ConfigError } from "../schemas/error/config.ts"
import type { UsageObserver } from "./service/usage.ts"
import { openStorage, type StorageOptions } from "./storage/storage.ts"

export * from "../host/mod.ts"
export { StorageError } from "../schemas/error/storage.ts"

export interface HostOptions extends CoreOptions, StorageOptions {
  /**
   * Where ports keep their data: `memory` (default); `sqlite:PATH` for a file that is made when it is not there and
   * keeps key-value data, events and blobs; `postgres://USER@HOST/DATABASE` for a server that `stele storage migrate` has set up. Ports
   * given in `ports` stay as they are.
   */
  readonly storage?: string | undefined
  /** Keep a usage record of every call in the storage. Default true, where it is not memory; the observer in `ports` gets its events all the same. */
  readonly usage?: boolean
}

/** Opens hosts; what it opens is the `Host` of `stele/host`. */
export const Host = {
  /** Opens a host whose ports keep their data in `storage`. Everything is denied, and calls have a deadline, unless a load says otherwise. */
  async open({ storage = "memory", acceptLoss = false, objects, usage = true, ...options }: HostOptions = {}): Promise<CoreHost> {
    if (typeof usage !== "boolean") throw new ConfigError("Option", { option: "usage", expected: "true or false", actual: String(usage) })
    const kept = await openStorage(storage, { acceptLoss, objects })
    const next = options.ports?.observer
    const observer = usage && kept.store !== undefined ? (await import("./service/usage.ts")).usageObserver(kept.store, { next }) : next
    const close = async (): Promise<void> => {
      // First: it writes what is left into the store.
      await (observer === next ? undefined : (observer as UsageObserver).close())
      await kept.close()
    }
    try {
      return await CoreHost.open({
        ...options,
        // A port that is given as undefined is not given: it must not put memory in the place of the store.
        ports: { ...kept.ports, ...Object.fromEntries(Object.entries({ ...options.ports, observer }).filter(([, port]) => port !== undefined)) },
        async onClose() {
          await close()
          await options.onClose?.()
        },
      })
    } catch (error) {
      await close()
      throw error
    }
  },
}
export type Host = CoreHost
