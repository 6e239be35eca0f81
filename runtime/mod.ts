/** `stele`: the host of `stele/host` with storage behind its ports. */
import { Host as CoreHost, type HostOptions as CoreOptions } from "../host/host.ts"
import { openStorage, type StorageOptions } from "./storage/storage.ts"

export * from "../host/mod.ts"
export { StorageError } from "../schemas/error/storage.ts"

export interface HostOptions extends CoreOptions, StorageOptions {
  /**
   * Where ports keep their data: `memory` (default), or `sqlite:PATH` for a file that is made when it is not there and
   * keeps key-value data, events and blobs. Ports given in `ports` stay as they are.
   */
  readonly storage?: string
}

/** Opens hosts; what it opens is the `Host` of `stele/host`. */
export const Host = {
  /** Opens a host whose ports keep their data in `storage`. Everything is denied, and calls have a deadline, unless a load says otherwise. */
  async open({ storage = "memory", acceptLoss = false, ...options }: HostOptions = {}): Promise<CoreHost> {
    const store = await openStorage(storage, { acceptLoss })
    try {
      return await CoreHost.open({
        ...options,
        // A port that is given as undefined is not given: it must not put memory in the place of the store.
        ports: { ...store.ports, ...Object.fromEntries(Object.entries(options.ports ?? {}).filter(([, port]) => port !== undefined)) },
        async onClose() {
          await store.close()
          await options.onClose?.()
        },
      })
    } catch (error) {
      await store.close()
      throw error
    }
  },
}
export type Host = CoreHost
