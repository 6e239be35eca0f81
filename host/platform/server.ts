/**
 * What Node, Deno and Bun have in common: `node:` built-ins, reached through `process.getBuiltinModule`, so that this
 * file has no static import that a browser's bundler would follow, loads synchronously, and costs nothing until used.
 */
import type * as NodeChildProcess from "node:child_process"
import type * as NodeCrypto from "node:crypto"
import type * as NodeFs from "node:fs"
import type * as NodeOs from "node:os"
import type * as NodePath from "node:path"
import type * as NodeUrl from "node:url"
import type * as NodeUtil from "node:util"
import type * as NodeV8 from "node:v8"
import type * as NodeWorker from "node:worker_threads"
import { hmacSha256, sha256, shortBytesMax } from "../../kernels/sha256/sha256.ts"
import { watchdog } from "../call/watchdog.ts"
import { createModuleCache } from "../meter/cache.ts"
import { sealedIn } from "../meter/sealed.ts"
import { openFolderCache } from "./cache-folder.ts"
import type { CacheStore, Platform, WatchdogJoin, WatchdogThread } from "./platform.ts"
import { fetchBytes, notFound, overSize, unreadable, webAddress } from "./read.ts"

/** The built-in modules that the server platforms use, by name. */
export interface Builtins {
  readonly "node:child_process": typeof NodeChildProcess
  readonly "node:crypto": typeof NodeCrypto
  readonly "node:fs": typeof NodeFs
  readonly "node:os": typeof NodeOs
  readonly "node:path": typeof NodePath
  readonly "node:url": typeof NodeUrl
  readonly "node:util": typeof NodeUtil
  readonly "node:v8": typeof NodeV8
  readonly "node:worker_threads": typeof NodeWorker
}

export const builtin = <N extends keyof Builtins>(name: N): Builtins[N] => process.getBuiltinModule(name) as unknown as Builtins[N]

/** The file system with promises, over its callbacks: loading `node:fs/promises` takes 1.2 ms on Node, of a start-up budget of 35. */
export function promisedFs() {
  const fs = builtin("node:fs")
  const { promisify } = builtin("node:util")
  return {
    chmod: promisify(fs.chmod),
    close: promisify(fs.close),
    fstat: promisify(fs.fstat),
    futimes: promisify(fs.futimes),
    link: promisify(fs.link),
    lstat: promisify(fs.lstat),
    mkdir: promisify(fs.mkdir),
    open: promisify(fs.open),
    read: promisify(fs.read),
    readFile: promisify(fs.readFile),
    readdir: promisify(fs.readdir),
    rename: promisify(fs.rename),
    rm: promisify(fs.rm),
    stat: promisify(fs.stat),
    writeFile: promisify(fs.writeFile),
  }
}

/** Under this key a thread's children find the watchdog's state (`setEnvironmentData` is inherited by new workers). */
const environmentKey = "stele:watchdog"

function startWatchdog(source: string, state: SharedArrayBuffer, epoch: WebAssembly.Memory, onEnd: () => void): WatchdogThread | undefined {
  try {
    const { Worker } = builtin("node:worker_threads")
    // Neither flags nor environment are inherited: a loader hook or a --require of the application has no business
    // in this thread and would delay it. No limit on its heap: V8 counts its own start-up against it (at 4 MB the
    // thread died before its first line).
    const worker = new Worker(`(${source})(require("node:worker_threads").workerData)`, {
      eval: true,
      workerData: { state, epoch },
      name: "stele-watchdog",
      execArgv: [],
      env: {},
      trackUnmanagedFds: false,
    })
    worker.on("error", onEnd)
    worker.on("exit", onEnd)
    worker.unref()
    return {
      close() {
        worker.removeListener("exit", onEnd)
        void worker.terminate()
      },
    }
  } catch {
    // Node --permission without --allow-worker (ERR_ACCESS_DENIED), or no thread to be had.
    return undefined
  }
}

async function readFile(path: string, bytesMax: number): Promise<Uint8Array> {
  const fs = promisedFs()
  let file: number | undefined
  try {
    file = await fs.open(path, "r")
    const stat = await fs.fstat(file)
    if (stat.isDirectory()) throw unreadable(path, "it is a folder")
    const { size } = stat
    if (size > bytesMax) throw overSize(bytesMax, size)
    // The size is a hint: a pipe or device has none, and a file may grow. One byte more tells the end from the limit.
    let buffer = new Uint8Array(Math.min(bytesMax, size > 0 ? size : 65_536) + 1)
    let length = 0
    for (;;) {
      const { bytesRead } = await fs.read(file, buffer, length, buffer.length - length, null)
      if (bytesRead === 0) return buffer.slice(0, length)
      length += bytesRead
      if (length > bytesMax) throw overSize(bytesMax)
      if (length === buffer.length) {
        const larger = new Uint8Array(Math.min(bytesMax + 1, buffer.length * 2))
        larger.set(buffer)
        buffer = larger
      }
    }
  } catch (error) {
    const code = (error as { readonly code?: unknown }).code
    if (code === "ENOENT" || code === "ENOTDIR") throw notFound(path, error)
    throw unreadable(path, error)
  } finally {
    if (file !== undefined) await fs.close(file).catch(() => undefined)
  }
}

/**
 * A process that loads one plugin digests it and its cached module, and names its imports by chance: for so little `node:crypto` is not loaded, which
 * takes 4.5 ms on Node, an eighth of the start-up budget (WebCrypto 6). One that goes on gets the processor's instructions for it.
 */
let digested = 0
const isShort = (bytes: Uint8Array): boolean => bytes.length <= shortBytesMax && digested++ < 8

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")

/** From the system's own source, which is what `node:crypto` seeds itself with; undefined where it is no file that may be read. */
function systemRandom(length: number): Uint8Array | undefined {
  const fs = builtin("node:fs")
  let file: number | undefined
  try {
    file = fs.openSync("/dev/urandom", "r")
    const bytes = new Uint8Array(length)
    return fs.fstatSync(file).isCharacterDevice() && fs.readSync(file, bytes) === length ? bytes : undefined
  } catch {
    return undefined
  } finally {
    if (file !== undefined) fs.closeSync(file)
  }
}

/** Folder of the cache, from the environment; undefined when it is switched off or there is no home. */
export function cacheFolder(environment: Readonly<Record<string, string | undefined>>): string | undefined {
  const { isAbsolute, join, resolve } = builtin("node:path")
  const chosen = environment["STELE_CACHE"]
  if (chosen !== undefined && chosen !== "") return chosen === "off" ? undefined : resolve(chosen)
  // XDG Base Directory: a relative path in the variable is invalid and must be ignored.
  const xdg = environment["XDG_CACHE_HOME"]
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, "stele")
  const home = environment["HOME"] ?? builtin("node:os").homedir()
  return isAbsolute(home) ? join(home, ".cache", "stele") : undefined
}

/** Also where this process uses no cache: the next one may. */
function guardedFolders(): ReadonlyArray<string> {
  const folders: Array<string> = []
  for (const environment of [process.env, { ...process.env, STELE_CACHE: undefined }]) {
    try {
      const folder = cacheFolder(environment)
      if (folder !== undefined) folders.push(folder)
    } catch {
      // Deno without permission to read the environment has no cache either.
    }
  }
  return folders
}

/** The platform of a server engine; what differs is passed in. */
export function serverPlatform(name: "node" | "deno" | "bun", overrides: Partial<Platform> = {}): Platform {
  return {
    name,
    stop: "epoch",
    canBlock: true,
    nowMs: () => performance.now(),
    startWatchdog,
    offerWatchdog(state) {
      try {
        builtin("node:worker_threads").setEnvironmentData(environmentKey, state as unknown as NodeWorker.Serializable)
      } catch {
        // Children then start their own.
      }
    },
    inheritedWatchdog() {
      try {
        const state: unknown = builtin("node:worker_threads").getEnvironmentData(environmentKey)
        return state instanceof SharedArrayBuffer ? state : undefined
      } catch {
        return undefined
      }
    },
    openJoin(channel) {
      try {
        const port = new BroadcastChannel(channel)
        return {
          send: (join: WatchdogJoin) => port.postMessage(join),
          close: () => port.close(),
        }
      } catch {
        return undefined
      }
    },
    onThreadEnd(run) {
      process.once("exit", run)
    },
    async readBytes(source, bytesMax) {
      const address = webAddress(source)
      if (address === undefined) return readFile(String(source), bytesMax)
      if (address.protocol !== "file:") return fetchBytes(address, bytesMax)
      let path: string
      try {
        path = builtin("node:url").fileURLToPath(address)
      } catch (error) {
        throw notFound(address.href, error)
      }
      return readFile(path, bytesMax)
    },
    async openCache(bytesMax): Promise<CacheStore | undefined> {
      try {
        const folder = cacheFolder(process.env)
        return folder === undefined ? undefined : await openFolderCache(folder, bytesMax)
      } catch {
        return undefined
      }
    },
    loadWatchdog: async () => ({ watchdog }),
    loadModuleCache: async () => ({ createModuleCache, sealedIn }),
    loadRewriter: () => import("../meter/rewrite.ts"),
    async loadFileSystem() {
      const { serverFileSystem } = await import("./file-system.ts")
      return { fileSystem: serverFileSystem(), guarded: guardedFolders() }
    },
    // Given by each platform: who takes only a function of this file does not get that code with it.
    loadIsolates: async () => undefined,
    sha256: async (bytes) => (isShort(bytes) ? hex(sha256(bytes)) : builtin("node:crypto").hash("sha256", bytes, "hex")),
    hmacSha256: async (key, bytes) =>
      isShort(bytes) ? hmacSha256(key, bytes) : new Uint8Array(builtin("node:crypto").createHmac("sha256", key).update(bytes).digest()),
    randomBytes: (length) => (name === "node" ? systemRandom(length) : undefined) ?? new Uint8Array(builtin("node:crypto").randomBytes(length)),
    ...overrides,
  }
}
