/** A restore for practice: into a new place, proved, measured and thrown away. */
import { SqliteReader } from "../sqlite/reader.ts"
import { type Archive, newestOf, readArchive } from "./generation.ts"
import { type RestoreOptions, type Restored, restore } from "./restore.ts"

const { mkdtempSync, rmSync, statSync } = process.getBuiltinModule("node:fs")
const { tmpdir } = process.getBuiltinModule("node:os")
const { join } = process.getBuiltinModule("node:path")

export interface DrillOptions extends Omit<RestoreOptions, "replace"> {
  /** The store that is archived: then what it has and the archive has not is counted. */
  readonly path?: string | undefined
  /** Where the store is made for a while. Default: the system's folder for such things. */
  readonly folder?: string | undefined
}

/** In ms, over objects that hold commits. */
export interface Lag {
  readonly p50: number
  readonly p99: number
  readonly max: number
  readonly segments: number
}

/** What a loss of the store at this moment would cost, as measured. */
export interface Drill {
  readonly restored: Restored
  readonly storeBytes: number
  /** From the start of the restore to a store that is checked: the time to recovery. */
  readonly rtoMs: number
  /** Age of the oldest commit that the archive lacks; without the store, of the newest that it has. The data that would be gone. */
  readonly rpoMs: number
  readonly isAgainstStore: boolean
  /** Commits of the store that the archive lacks; undefined without the store. */
  readonly missing: number | undefined
  /** How long commits waited for the archive, over all segments: from when the oldest in it was made to when it was written. */
  readonly lagMs: Lag
  readonly gaps: Archive["gaps"]
}

/** From when the oldest commit in an object was made to when it was written. */
export function lagOf(headers: ReadonlyArray<{ readonly archivedUs: number; readonly firstCommittedUs?: number | undefined }>): Lag {
  const lags = headers
    .flatMap(({ archivedUs, firstCommittedUs }) => (firstCommittedUs === undefined ? [] : [Math.max(0, archivedUs - firstCommittedUs) / 1_000]))
    .toSorted((a, b) => a - b)
  const at = (part: number): number => lags[Math.min(lags.length - 1, Math.floor(part * lags.length))] ?? 0
  return { p50: at(0.5), p99: at(0.99), max: at(1), segments: lags.length }
}

/** @throws what `restore()` throws */
export async function drill(options: DrillOptions): Promise<Drill> {
  // What is missing is what is missing now, not after the restore.
  const archive = await readArchive(options.files)
  const newest = newestOf(archive.generations)?.last
  const nowUs = Date.now() * 1_000
  let missing: number | undefined
  let lostUs = nowUs - (newest?.committedUs ?? 0)
  if (options.path !== undefined) {
    using reader = new SqliteReader(options.path)
    const after = reader.committedAfter(newest?.sequence ?? 0)
    missing = after.count
    lostUs = after.firstUs === undefined ? 0 : nowUs - after.firstUs
  }
  const folder = mkdtempSync(join(options.folder ?? tmpdir(), "stele-drill-"))
  try {
    const path = join(folder, "store")
    const startedMs = performance.now()
    const restored = await restore(path, options)
    const rtoMs = performance.now() - startedMs
    return {
      restored,
      storeBytes: statSync(path).size,
      rtoMs,
      rpoMs: Math.max(0, lostUs / 1_000),
      isAgainstStore: options.path !== undefined,
      missing,
      lagMs: lagOf(archive.generations.flatMap(({ segments }) => segments.map(({ header }) => header))),
      gaps: archive.gaps,
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
