/**
 * Everything the host needs of the JavaScript platform it runs on. One implementation per platform in
 * `host/platform/{node,deno,bun,browser}.ts`, chosen by package conditions, and nowhere else.
 */
import type { Isolates } from "../isolate/link.ts"
import type * as WatchdogModule from "../call/watchdog.ts"
import type * as CacheModule from "../meter/cache.ts"
import type * as RewriterModule from "../meter/rewrite.ts"
import type * as SealedModule from "../meter/sealed.ts"
import type { FileSystemPort } from "../port/file-system.ts"

/**
 * A folder of opaque bytes by key (`host/meter/cache.ts` seals and checks what lies in it). Keys are lowercase hex.
 * Every failure — missing, unreadable, full, read-only — is a miss or a write that did not happen, never an error.
 */
export interface CacheStore {
  /** 32 random bytes made once per installation, readable by this user only: the key of the entries' HMAC. */
  readonly secret: Uint8Array
  get(key: string): Promise<Uint8Array | undefined>
  /** Appears whole or not at all, also when the process is killed or several write the same key. */
  put(key: string, value: Uint8Array): Promise<void>
  /** Forgets an entry that turned out to be wrong. */
  drop(key: string): Promise<void>
}

/** What rewrites core modules (`host/meter/rewrite.ts`): a quarter of the host's code. */
export type Rewriter = Pick<typeof RewriterModule, "rewriteCoreModule" | "rewriteSteps">

/** The thread that flips stop bits. */
export interface WatchdogThread {
  /** Ends the thread; pending wake-ups are lost. */
  close(): void
}

/** What a JavaScript thread tells the watchdog when it joins: which seat it took, and the cell its guests look at. */
export interface WatchdogJoin {
  readonly slot: number
  readonly nonce: number
  readonly epoch: WebAssembly.Memory
}

export interface Platform {
  readonly name: "node" | "deno" | "bun" | "browser"
  /**
   * Which of the two ways to stop a guest costs least here. JavaScriptCore spends about 5 ns on each atomic load of the
   * epoch (kernels 3.8 times slower in the geometric mean, 1.37 by slices); V8 spends next to nothing (1.09, 1.13).
   */
  readonly stop: "epoch" | "fuel slices"
  /** May this thread block in `Atomics.wait`? False on a browser's main thread only. */
  readonly canBlock: boolean
  /** Milliseconds, monotonic within this thread (origins differ between threads); resolution ≤ 0.1 ms. About 40 ns. */
  nowMs(): number
  /**
   * Starts a thread that runs `source`, the text of a function expression called with `{state, epoch}`; or returns
   * undefined where threads, shared memory or permission are missing. The thread never keeps the process alive.
   * `onEnd` runs when it ends for another reason than `close` or the end of the process.
   */
  startWatchdog(source: string, state: SharedArrayBuffer, epoch: WebAssembly.Memory, onEnd: () => void): WatchdogThread | undefined
  /** Lets threads that this one starts from now on find the watchdog's state with `inheritedWatchdog`, where the platform can. */
  offerWatchdog(state: SharedArrayBuffer): void
  /** The state that the thread which started this one offered. */
  inheritedWatchdog(): SharedArrayBuffer | undefined
  /** A sender of join messages to the watchdog thread that listens on the named channel; `close` when it has answered. */
  openJoin(channel: string): { send(join: WatchdogJoin): void; close(): void } | undefined
  /** Runs `run` when this thread ends by itself, so that it gives its seat back; a terminated thread does not. */
  onThreadEnd(run: () => void): void
  /** Reads a path or URL whole, up to `bytesMax`; throws `PluginError` `NotFound` or `Unreadable`, or `LimitError` `componentBytesMax`. */
  readBytes(source: string | URL, bytesMax: number): Promise<Uint8Array>
  /**
   * The per-user cache of rewritten modules (`$STELE_CACHE`, else `$XDG_CACHE_HOME/stele`, else `~/.cache/stele`, mode
   * 0700; `STELE_CACHE=off` has none), kept below `bytesMax`; undefined where there is no file system or permission.
   */
  openCache(bytesMax: number): Promise<CacheStore | undefined>
  /** What stops guests from another thread, loaded with the first host that can have one. */
  loadWatchdog(): Promise<Pick<typeof WatchdogModule, "watchdog">>
  /** What keeps rewritten modules, and where there is a disk what seals them for it. */
  loadModuleCache(): Promise<Pick<typeof CacheModule, "createModuleCache"> & Partial<Pick<typeof SealedModule, "sealedIn">>>
  /** Where there is a cache, loaded when something is first to be rewritten: a process that finds all its modules there never needs it. */
  loadRewriter(): Promise<Rewriter>
  /** The machine's file system and what of it holds the host's own data: the cache. Undefined where there is none. */
  loadFileSystem(): Promise<{ readonly fileSystem: FileSystemPort; readonly guarded: ReadonlyArray<string> } | undefined>
  /** What starts threads and processes that run guests, loaded when a plugin is first isolated; undefined where there is none. `cache`: the host's folder, if it keeps one. */
  loadIsolates(cache?: () => Promise<CacheStore | undefined>): Promise<Isolates | undefined>
  /** SHA-256, lowercase hex. */
  sha256(bytes: Uint8Array): Promise<string>
  hmacSha256(key: Uint8Array, bytes: Uint8Array): Promise<Uint8Array>
  /** Unpredictable bytes, at most 65,536. */
  randomBytes(length: number): Uint8Array
}
