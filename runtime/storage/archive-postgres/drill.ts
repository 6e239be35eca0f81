/** A restore of a server for practice: into a new folder, recovered, proved, measured and thrown away. */
import type { ConnectionSettings } from "../postgres/connection.ts"
import { lagOf, type Lag } from "../archive/drill.ts"
import { readServerArchive, type ServerGap } from "./catalogue.ts"
import { openWorker, workerSettings } from "./reference.ts"
import { restoreServer, type ServerRestored, type ServerRestoreOptions } from "./restore.ts"

const { chmodSync, mkdtempSync, rmSync } = process.getBuiltinModule("node:fs")
const { readdir, stat } = process.getBuiltinModule("node:fs/promises")
const { tmpdir } = process.getBuiltinModule("node:os")
const { join } = process.getBuiltinModule("node:path")

export interface ServerDrillOptions extends Omit<ServerRestoreOptions, "replace" | "isUnproved" | "archive" | "whileRunning" | "target"> {
  /** `postgres://…` of the store that is archived: then what it has and the archive has not is counted, as `stele_worker`. */
  readonly address?: string | undefined
  /** Where the folder is made for a while. Default: the system's folder for such things. */
  readonly folder?: string | undefined
}

/** What a loss of the server at this moment would cost, as measured. */
export interface ServerDrill {
  readonly restored: ServerRestored
  /** Of the restored data folder. */
  readonly storeBytes: number
  /** From the start of the restore to a folder that was recovered and is checked: the time to recovery. */
  readonly rtoMs: number
  /** Age of the oldest commit that the archive lacks; without the store, of the newest log that it has. The data that would be gone. */
  readonly rpoMs: number
  readonly isAgainstStore: boolean
  /** Commits of the store that the archive lacks; undefined without the store. */
  readonly missing: number | undefined
  /** How long commits waited for the archive, over all pieces of the log: from when the oldest in it was made to when it was written. */
  readonly lagMs: Lag
  readonly gaps: ReadonlyArray<ServerGap>
}

interface Commit {
  readonly tenant: string
  readonly sequence: number
  readonly us: number
}

const hexOf = (tenant: unknown): string => Buffer.from(tenant as Uint8Array).toString("hex")

/** The commits of all tenants that the store remembers: the newest thousand of each and more. */
async function commitsOf(settings: ConnectionSettings): Promise<ReadonlyArray<Commit>> {
  const connection = await openWorker(settings)
  try {
    const rows = await connection.one("SELECT tenant, sequence, committed_us FROM stele.commit_group")
    return rows.map(({ tenant, sequence, committed_us: us }) => ({ tenant: hexOf(tenant), sequence: Number(sequence), us: Number(us) }))
  } finally {
    await connection.close()
  }
}

/** Of each tenant, the newest commit. */
async function newestOf(settings: ConnectionSettings): Promise<ReadonlyMap<string, number>> {
  const connection = await openWorker(settings)
  try {
    const rows = await connection.one("SELECT tenant, sequence FROM stele.tenant")
    return new Map(rows.map(({ tenant, sequence }) => [hexOf(tenant), Number(sequence)]))
  } finally {
    await connection.close()
  }
}

async function bytesOf(folder: string): Promise<number> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true })
  const sizes = await Promise.all(entries.filter((entry) => entry.isFile()).map(async (entry) => (await stat(join(entry.parentPath, entry.name))).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** @throws what `restoreServer()` throws, and with a store what opening it as `stele_worker` does */
export async function drillServer(options: ServerDrillOptions): Promise<ServerDrill> {
  // What is missing is what is missing now, not after the restore.
  const archive = await readServerArchive(options.files)
  const nowUs = Date.now() * 1_000
  const live = options.address === undefined ? undefined : workerSettings(options.address)
  const [commits, heads] = live === undefined ? [[], new Map<string, number>()] : [await commitsOf(live), await newestOf(live)]
  // What was written before there was a backup has waited for nobody.
  const pieces = archive.runs.flatMap((run) => {
    const first = archive.generations.find((each) => each.run === run)?.first.lsn
    return first === undefined ? [] : run.pieces.filter(({ header }) => header.from >= first)
  })
  const folder = mkdtempSync(join(options.folder ?? tmpdir(), "stele-drill-"))
  try {
    // The user postgres must get to its own folder in here.
    chmodSync(folder, 0o711)
    const path = join(folder, "data")
    let archived: ReadonlyMap<string, number> = new Map()
    const restored = await restoreServer(path, {
      ...options,
      archive,
      whileRunning: async ({ worker }) => {
        if (live !== undefined) archived = await newestOf(worker)
      },
    })
    const lost = commits.filter(({ tenant, sequence }) => sequence > (archived.get(tenant) ?? 0))
    const missing = [...heads].reduce((sum, [tenant, sequence]) => sum + Math.max(0, sequence - (archived.get(tenant) ?? 0)), 0)
    const oldestUs = lost.reduce((oldest, { us }) => Math.min(oldest, us), nowUs)
    return {
      restored,
      storeBytes: await bytesOf(path),
      rtoMs: restored.ms,
      rpoMs: Math.max(0, (nowUs - (live === undefined ? restored.at.us : oldestUs)) / 1_000),
      isAgainstStore: live !== undefined,
      missing: live === undefined ? undefined : missing,
      lagMs: lagOf(pieces.map(({ header }) => header)),
      gaps: archive.gaps,
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
