/** Node ≥ 24. */
import { loadIsolates } from "./isolate/load.ts"
import type { Platform } from "./platform.ts"
import { serverPlatform } from "./server.ts"

export const platform: Platform = serverPlatform("node", { loadIsolates })
