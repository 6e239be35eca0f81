/**
 * The platform this program runs on. Chosen at run time, so that the checkout and a single-file binary need no
 * conditions; the published package replaces this module by `#platform`, where the package's conditions choose.
 */
import { platform as browser } from "./browser.ts"
import { platform as bun } from "./bun.ts"
import { platform as deno } from "./deno.ts"
import { platform as node } from "./node.ts"
import type { Platform } from "./platform.ts"

export type { CacheStore, Platform, WatchdogJoin, WatchdogThread } from "./platform.ts"

const names = globalThis as { readonly Bun?: unknown; readonly Deno?: unknown; readonly process?: { readonly versions?: { readonly node?: string } } }

// Bun and Deno also answer to `process.versions.node`, so they are asked for first.
export const platform: Platform = names.Bun !== undefined ? bun : names.Deno !== undefined ? deno : names.process?.versions?.node !== undefined ? node : browser
