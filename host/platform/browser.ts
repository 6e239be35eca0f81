/** Browsers, and anything else with web globals only. The watchdog needs cross-origin isolation, for shared memory. */
import { webDigests } from "../meter/digests.ts"
import type { Platform } from "./platform.ts"
import { fetchBytes, unreadable, webAddress } from "./read.ts"

/** Threads started so far. */
let started = 0

/**
 * Where the thread's program comes from. The published file of it comes first: policies allow a site's own files more often than `blob:`, and
 * bundlers that know `new URL(…, import.meta.url)` bring it along. Where it is not, the thread's error comes at once and the next start takes the text.
 */
function programOf(source: string): { readonly url: string | URL; release(): void } {
  if (started++ % 2 === 0) return { url: new URL("./browser-watchdog.js", import.meta.url), release() {} }
  const url = URL.createObjectURL(new Blob([browserWatchdog(source)], { type: "text/javascript" }))
  return { url, release: () => URL.revokeObjectURL(url) }
}

/** The whole of the thread's program, from the text of the function. */
export const browserWatchdog = (source: string): string => `onmessage = (event) => { (${source})(event.data) }`

export const platform: Platform = {
  name: "browser",
  stop: "epoch",
  // A window's thread may not block; a worker's may.
  canBlock: typeof (globalThis as { readonly window?: unknown }).window === "undefined",
  nowMs: () => performance.now(),
  startWatchdog(source, state, epoch, onEnd) {
    if (typeof Worker === "undefined" || (globalThis as { readonly crossOriginIsolated?: boolean }).crossOriginIsolated === false) return undefined
    try {
      const program = programOf(source)
      const worker = new Worker(program.url, { name: "stele-watchdog" })
      // A file that is not there and a policy without `worker-src blob:` report themselves here, before the thread says that it is ready.
      worker.onerror = onEnd
      worker.postMessage({ state, epoch })
      return {
        close() {
          worker.terminate()
          program.release()
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
  // Nothing of the host is evaluated before this module, which it imports: what is taken from it is taken when it is used.
  loadWatchdog: () => import("../call/watchdog.ts"),
  loadModuleCache: () => import("../meter/cache.ts"),
  loadRewriter: () => import("../meter/rewrite.ts"),
  sha256: (bytes) => webDigests.sha256(bytes),
  hmacSha256: (key, bytes) => webDigests.hmacSha256(key, bytes),
  loadFileSystem: async () => undefined,
  loadIsolates: async () => undefined,
  randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
}
