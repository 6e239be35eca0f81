/** `stele`: the host of `stele/host` with storage behind its ports. */
import { ConfigError } from "../schemas/error/config.ts"
import { PluginError } from "../schemas/error/plugin.ts"
import { Host as CoreHost, type HostOptions as CoreOptions } from "../host/host.ts"

export * from "../host/mod.ts"

export interface HostOptions extends CoreOptions {
  /** Where ports keep their data: `memory` (default). */
  readonly storage?: "memory"
}

/** Opens hosts; what it opens is the `Host` of `stele/host`. */
export const Host = {
  /** Opens a host whose ports keep their data in `storage`. Everything is denied, and calls have a deadline, unless a load says otherwise. */
  async open({ storage = "memory", ...options }: HostOptions = {}): Promise<CoreHost> {
    if (typeof storage !== "string") throw new ConfigError("Option", { option: "storage", expected: '"memory"', actual: typeof storage })
    if (storage !== "memory") throw new PluginError("NotBuilt", { asked: `storage: "${String(storage)}"`, exists: ['"memory"'] })
    return CoreHost.open(options)
  },
}
export type Host = CoreHost
