import type { CacheStore } from "../platform.ts"

/** What starts threads and processes, when a plugin is first isolated. */
export const loadIsolates = async (cache?: () => Promise<CacheStore | undefined>) => (await import("./start.ts")).openIsolates(cache)
