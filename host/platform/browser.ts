/** Browsers, and anything else with web globals only. The watchdog needs cross-origin isolation, for shared memory. */
import { webDigests } from "../meter/cache.ts"
import { rewriteCoreModule, rewriteSteps } from "../meter/rewrite.ts"
import type { Platform } from "./platform.ts"
import { fetchBytes, unreadable, webAddress } from "./read.ts"

export const platform: Platform = {
  name: "browser",
  stop: "epoch",
  // A window's thread may not block; a worker's may.
  canBlock: typeof (globalThis as { readonly window?: unknown }).window === "undefined",
  nowMs: () => performance.now(),
  startWatchdog(source, state, epoch, onEnd) {
    if (typeof Worker === "undefined" || (globalThis as { readonly crossOriginIsolated?: boolean }).crossOriginIsolated === false) return undefined
    try {
      const url = URL.createObjectURL(new Blob([`onmessage = (event) => { (${source})(event.data) }`], { type: "text/javascript" }))
      const worker = new Worker(url, { name: "stele-watchdog" })
      // A policy without `worker-src blob:` reports itself here, before the thread says that it is ready.
      worker.onerror = onEnd
      worker.postMessage({ state, epoch })
      return {
        close() {
          worker.terminate()
          URL.revokeObjectURL(url)
        },
      }
    } catch {
      return undefined
    }
  },
  // Shared memory does not travel over a browser's BroadcastChannel: every worker has its own watchdog.
  offerWatchdog() {},
  inheritedWatchdog: () => undefined,
  openJoin: () => undefined,
  onThreadEnd() {},
  async readBytes(source, bytesMax) {
    const base = (globalThis as { readonly location?: { readonly href: string } }).location?.href
    const address = webAddress(source) ?? (URL.canParse(String(source), base) ? new URL(String(source), base) : undefined)
    if (address === undefined) throw unreadable(String(source), "it is not a URL, and there is no file system here")
    return fetchBytes(address, bytesMax)
  },
  openCache: async () => undefined,
  loadRewriter: async () => ({ rewriteCoreModule, rewriteSteps }),
  ...webDigests,
  randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
}
