/**
 * Everything the host needs of the JavaScript platform it runs on. One implementation per platform in
 * `host/platform/{node,deno,bun,browser}.ts`, chosen by package conditions, and nowhere else.
 */

/** A content cache for rewritten modules. Keys are lowercase hex; values are opaque bytes. Every failure is a miss, never an error. */
export interface CacheStore {
  get(key: string): Promise<Uint8Array | undefined>
  put(key: string, value: Uint8Array): Promise<void>
}

/** The thread that flips stop bits. */
export interface WatchdogThread {
  /** Ends the thread; pending wake-ups are lost. */
  close(): void
}

export interface Platform {
  readonly name: "node" | "deno" | "bun" | "browser"
  /** Milliseconds, monotonic within this thread; resolution ≤ 0.1 ms where the platform allows. Cheap: called twice a call. */
  nowMs(): number
  /** Milliseconds on a clock that all threads of the process share (CLOCK_MONOTONIC). */
  sharedNowMs(): number
  /**
   * Starts the watchdog thread over shared state (see `host/call/watchdog.ts`), or returns undefined where threads,
   * shared memory or permission are missing. The thread must not keep the process alive.
   */
  startWatchdog(state: SharedArrayBuffer): WatchdogThread | undefined
  /** Reads a path or URL whole, up to `bytesMax`; throws `PluginError` `NotFound` or `LimitError`. */
  readBytes(source: string | URL, bytesMax: number): Promise<Uint8Array>
  /** The per-user cache of rewritten modules, or undefined where there is no file system or permission. */
  openCache(): Promise<CacheStore | undefined>
  /** SHA-256, lowercase hex. */
  sha256(bytes: Uint8Array): Promise<string>
}
