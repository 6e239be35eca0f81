/** Node ≥ 24. */
import type { Platform } from "./platform.ts"
import { serverPlatform } from "./server.ts"

export const platform: Platform = serverPlatform("node")
