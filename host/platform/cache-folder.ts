/**
 * The cache on disk: one folder of mode 0700 with one file an entry and the installation's key. Several processes
 * share it without locks: whatever is written appears by `rename` or `link`, whole or not at all.
 */
import type * as NodeFs from "node:fs"
import type { CacheStore } from "./platform.ts"
import { builtin, promisedFs } from "./server.ts"

const secretBytes = 32
/** What a killed writer left behind is removed after this long. */
const staleMs = 3_600_000
/** An entry's time of last use is refreshed when older than this: once an hour keeps pruning honest without a write a read. */
const touchMs = 3_600_000

/**
 * Entries up to this size are read in one go, and the folder is opened so: in a folder of the user's own, each of these calls takes some 20 µs, and
 * ten times that by way of the engine's threads, before the first answer of a process.
 */
const promptBytesMax = 256 * 1024

/** Entries that this module would create, so that a foreign file in the folder is never pruned. */
const entryName = /^m-[0-9a-f]{16,128}$/
const temporaryName = /^t-[0-9a-f]{32}$/
const keyPattern = /^[0-9a-f]{16,128}$/

type Fs = ReturnType<typeof promisedFs>

/** Ours and closed to everybody else? Where there are no owners (Windows) the profile folder's rights stand in. */
const isPrivate = (stat: NodeFs.Stats): boolean => {
  const uid = process.getuid?.()
  return uid === undefined || (stat.uid === uid && (stat.mode & 0o077) === 0)
}

/**
 * Reads the installation's key, or makes it. The key is written to a file of its own and linked into place: of
 * several processes exactly one succeeds and the others read what it linked, never a part of it.
 */
async function openSecret(fs: Fs, path: string, temporary: () => string): Promise<Uint8Array | undefined> {
  const prompt = builtin("node:fs")
  for (let attempt = 0; attempt < 4; attempt++) {
    try {
      const found = new Uint8Array(prompt.readFileSync(path))
      if (found.length === secretBytes && isPrivate(prompt.lstatSync(path))) return found
      // Truncated by a crash of the machine, or readable by others: no key. Entries under it become misses.
      await fs.rm(path, { force: true })
    } catch (error) {
      if ((error as { readonly code?: unknown }).code !== "ENOENT") return undefined
    }
    const secret = new Uint8Array(builtin("node:crypto").randomBytes(secretBytes))
    const made = temporary()
    try {
      await fs.writeFile(made, secret, { flag: "wx", mode: 0o600 })
      await fs.link(made, path)
    } catch (error) {
      const code = (error as { readonly code?: unknown }).code
      if (code === "EEXIST") continue
      // A file system without hard links: exclusive creation; who reads it half-written finds the wrong length and tries again.
      if (code !== "EPERM" && code !== "ENOTSUP" && code !== "ENOSYS" && code !== "EMLINK") return undefined
      try {
        await fs.writeFile(path, secret, { flag: "wx", mode: 0o600 })
      } catch {
        continue
      }
    } finally {
      await fs.rm(made, { force: true }).catch(() => undefined)
    }
    return secret
  }
  return undefined
}

/**
 * Opens, or makes, the cache in `folder`; undefined where it cannot be had or belongs to somebody else. A read-only
 * folder with a key in it still serves reads. Kept below `bytesMax` bytes by removing what was unused longest.
 */
export async function openFolderCache(folder: string, bytesMax: number): Promise<CacheStore | undefined> {
  const fs = promisedFs()
  const prompt = builtin("node:fs")
  const { dirname, join } = builtin("node:path")
  // Not `mkdir` with `recursive`: below a file system that answers ENOENT for a new folder (procfs) Node 26.10 never returns.
  const makeFolder = async (path: string): Promise<void> => {
    const make = (): Promise<unknown> =>
      fs.mkdir(path, { mode: 0o700 }).catch((error: { readonly code?: unknown }) => {
        if (error.code !== "EEXIST") throw error
      })
    try {
      await make()
    } catch (error) {
      if ((error as { readonly code?: unknown }).code !== "ENOENT" || dirname(path) === path) throw error
      await makeFolder(dirname(path))
      await make()
    }
  }
  const temporary = (): string => join(folder, "t-" + builtin("node:crypto").randomBytes(16).toString("hex"))
  const entry = (key: string): string => join(folder, `m-${key}`)
  try {
    let stat = prompt.statSync(folder, { throwIfNoEntry: false })
    if (stat === undefined) {
      await makeFolder(folder)
      stat = prompt.statSync(folder)
    }
    if (!stat.isDirectory()) return undefined
    if (!isPrivate(stat)) {
      await fs.chmod(folder, 0o700)
      stat = await fs.stat(folder)
      if (!isPrivate(stat)) return undefined
    }
  } catch {
    return undefined
  }
  const secret = await openSecret(fs, join(folder, "key"), temporary)
  if (secret === undefined) return undefined

  // Bytes written since the folder was last measured; the first write measures it.
  let unmeasured = Infinity
  let pruning: Promise<void> | undefined

  async function prune(): Promise<void> {
    const entries: Array<{ readonly path: string; readonly size: number; readonly usedMs: number }> = []
    let total = 0
    for (const name of await fs.readdir(folder)) {
      const path = join(folder, name)
      const stat = await fs.lstat(path).catch(() => undefined)
      if (stat === undefined) continue
      if (temporaryName.test(name)) {
        if (Date.now() - stat.mtimeMs > staleMs) await fs.rm(path, { force: true }).catch(() => undefined)
        else total += stat.size
      } else if (entryName.test(name)) {
        entries.push({ path, size: stat.size, usedMs: stat.mtimeMs })
        total += stat.size
      }
    }
    if (total <= bytesMax) return
    // Down to three quarters, so that a full cache is not measured at every write.
    entries.sort((a, b) => a.usedMs - b.usedMs)
    for (const { path, size } of entries) {
      if (total <= bytesMax * 0.75) break
      await fs.rm(path, { force: true }).catch(() => undefined)
      total -= size
    }
  }

  return {
    secret,
    async get(key) {
      if (!keyPattern.test(key)) return undefined
      let file: number | undefined
      try {
        file = prompt.openSync(entry(key), prompt.constants.O_RDONLY | (prompt.constants.O_NONBLOCK ?? 0))
        const stat = prompt.fstatSync(file)
        if (!stat.isFile() || stat.size > bytesMax) return undefined
        const bytes = new Uint8Array(stat.size <= promptBytesMax ? prompt.readFileSync(file) : await fs.readFile(file))
        if (Date.now() - stat.mtimeMs > touchMs) await fs.futimes(file, new Date(), new Date()).catch(() => undefined)
        return bytes
      } catch {
        return undefined
      } finally {
        if (file !== undefined) prompt.closeSync(file)
      }
    },
    async put(key, value) {
      // An entry that would push out most others is cheaper to rebuild.
      if (!keyPattern.test(key) || value.length > bytesMax / 2) return
      const made = temporary()
      try {
        await fs.writeFile(made, value, { flag: "wx", mode: 0o600 })
        await fs.rename(made, entry(key))
        unmeasured += value.length
        if (unmeasured > bytesMax / 8) {
          unmeasured = 0
          await (pruning ??= prune().finally(() => (pruning = undefined)))
        }
      } catch {
        await fs.rm(made, { force: true }).catch(() => undefined)
      }
    },
    async drop(key) {
      if (keyPattern.test(key)) await fs.rm(entry(key), { force: true }).catch(() => undefined)
    },
  }
}
