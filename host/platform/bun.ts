/** Bun ≥ 1.4: the `node:` modules are its own, and all that is used of them is there. */
import { loadIsolates } from "./isolate/load.ts"
import type { Platform } from "./platform.ts"
import { serverPlatform } from "./server.ts"

export const platform: Platform = serverPlatform("bun", { loadIsolates, stop: "fuel slices" })
