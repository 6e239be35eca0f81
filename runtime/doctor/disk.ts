/** The disk under a store: what is left of it, how long a sync takes, and whether that can be believed. */
import { type Diagnosis, fail, ok, warn } from "./diagnosis.ts"

const { accessSync, closeSync, constants, existsSync, fsyncSync, openSync, readFileSync, statfsSync, unlinkSync, writeSync } =
  process.getBuiltinModule("node:fs")
const { dirname, join } = process.getBuiltinModule("node:path")

/** Bytes left below which a store is soon refused its next commit, and below which that should be planned for. */
const spaceBytes = { fail: 64 << 20, warn: 1 << 30 }
/** How long syncs are measured. */
const measureMs = 250
/** No disk that writes before it answers was seen below this; what answers sooner keeps the bytes in memory that forgets. */
const syncUsMin = 8

export interface SyncMeasure {
  readonly syncsPerSecond: number
  /** µs. */
  readonly medianUs: number
}

/** Writes a block and syncs it, again and again, in a file of its own that is gone afterwards. */
export function measureSyncs(folder: string): SyncMeasure {
  const path = join(folder, `.stele-sync-${process.pid}`)
  const file = openSync(path, "wx", 0o600)
  try {
    const block = new Uint8Array(4_096)
    const times: Array<number> = []
    for (const untilMs = performance.now() + measureMs; performance.now() < untilMs && times.length < 100_000;) {
      const startedMs = performance.now()
      writeSync(file, block, 0, block.length, 0)
      fsyncSync(file)
      times.push(performance.now() - startedMs)
    }
    const medianMs = times.sort((a, b) => a - b)[times.length >> 1] ?? Infinity
    return { syncsPerSecond: Math.round(1_000 / medianMs), medianUs: Math.round(medianMs * 1_000) }
  } finally {
    closeSync(file)
    unlinkSync(path)
  }
}

/** The mount that a folder is on, where the system tells: its options may take the meaning out of a sync. */
function mountOf(folder: string): { readonly type: string; readonly options: ReadonlyArray<string> } | undefined {
  try {
    const mounts = readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .map((line) => line.split(" "))
      // The longest that the folder lies under; of two on one place the later one is seen.
      .filter(([, place = "/none"]) => folder === place || folder.startsWith(place.endsWith("/") ? place : `${place}/`))
      .sort(([, a = ""], [, b = ""]) => a.length - b.length)
    const [, , type, options] = mounts.at(-1) ?? []
    return type === undefined ? undefined : { type, options: (options ?? "").split(",") }
  } catch {
    return undefined
  }
}

/** Does what a sync says hold at power loss? As far as can be told without pulling a plug. */
export function syncHonesty(folder: string): Diagnosis {
  const about = "sync"
  const mount = mountOf(folder)
  if (mount?.type === "tmpfs" || mount?.type === "ramfs")
    return warn(about, `${folder} is in memory (${mount.type})`, "name a file on a disk: what is there is lost when the machine stops")
  const barrier = mount?.options.find((option) => ["nobarrier", "barrier=0", "nobarriers"].includes(option))
  if (barrier !== undefined) return fail(about, `the file system is mounted with "${barrier}": a sync does not reach the disk`, "mount it without that option")
  if (/eatmydata/.test(process.env["LD_PRELOAD"] ?? "")) return fail(about, "LD_PRELOAD takes syncs away from this process", "start it without libeatmydata")
  const { syncsPerSecond, medianUs } = measureSyncs(folder)
  const found = `${syncsPerSecond.toLocaleString("en-US")} a second, ${medianUs} µs each${mount === undefined ? "" : `, on ${mount.type}`}`
  return medianUs < syncUsMin
    ? warn(about, `${found}: sooner than a disk can answer`, "ask the disk's or the virtual machine's settings whether it caches writes and says they are done")
    : ok(about, found)
}

/** Room that is left for a user of this rank, in bytes. */
export function space(folder: string): Diagnosis {
  const { bavail, bsize } = statfsSync(folder)
  const bytes = bavail * bsize
  const found = `${(bytes / 2 ** 30).toFixed(1)} GiB left`
  if (bytes < spaceBytes.fail) return fail("disk space", found, "free some: a store that finds no room refuses writes, and keeps what it has")
  return bytes < spaceBytes.warn ? warn("disk space", found, "free some before it is needed") : ok("disk space", found)
}

/** The folder that a store lies in: is it there, and may this user write in it? */
export function folderOf(path: string): Diagnosis {
  const folder = dirname(path)
  if (!existsSync(folder)) return fail("folder", `there is no ${folder}`, `mkdir -p ${folder}`)
  try {
    accessSync(folder, constants.W_OK | constants.R_OK)
    return ok("folder", folder)
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "EROFS")
      return fail("folder", `${folder} is on a file system that is mounted read-only`, `mount it for writing, or name a file elsewhere: mount -o remount,rw …`)
    return fail("folder", `${folder} cannot be written by this user`, `name another file, or change its owner: chown ${process.env["USER"] ?? "YOU"} ${folder}`)
  }
}
