/** Bun ≥ 1.4: the `node:` modules are its own, and all that is used of them is there. */
import type { Platform } from "./platform.ts"
import { serverPlatform } from "./server.ts"

export const platform: Platform = serverPlatform("bun", { stop: "fuel slices" })
