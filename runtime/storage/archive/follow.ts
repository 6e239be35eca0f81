/** Archiving without an end: again and again, through whatever happens to the archive, and never at the store's expense. */
import { SteleError } from "../../../schemas/error/family.ts"
import type { StorageError } from "../../../schemas/error/storage.ts"
import type { Archiver, Synced } from "./archiver.ts"
import { pause } from "../pause.ts"

/** Between two looks at the log, in ms: half of what may be lost, so that the writing has the other half. */
export const intervalMsDefault = 400

export type Followed =
  | { readonly what: "archived"; readonly synced: Synced }
  /** It is tried again at the next interval. */
  | { readonly what: "failed"; readonly error: StorageError }
  /** The log was let go: it grew too long. The archive will have a gap. */
  | { readonly what: "released" }

/** Reasons that time may mend. */
const mendable: ReadonlySet<string> = new Set(["ArchiveUnreachable", "Overwritten", "Busy"])

/**
 * Calls `sync()` every `intervalMs` until `signal` says so; a last time then.
 * @throws StorageError that no waiting mends: `ArchiveBusy`, `Unreachable`, `Closed`
 */
export async function follow(archiver: Archiver, signal: AbortSignal, hear: (followed: Followed) => void, intervalMs = intervalMsDefault): Promise<void> {
  // By itself, since an archive that hangs must not let the log grow.
  const watch = setInterval(() => {
    if (archiver.relieve()) hear({ what: "released" })
  }, intervalMs)
  try {
    while (!signal.aborted) {
      const startedMs = performance.now()
      await once(archiver, hear)
      await pause(Math.max(0, intervalMs - (performance.now() - startedMs)), signal)
    }
    await once(archiver, hear)
  } finally {
    clearInterval(watch)
  }
}

async function once(archiver: Archiver, hear: (followed: Followed) => void): Promise<void> {
  try {
    const synced = await archiver.sync()
    if (synced !== undefined) hear({ what: "archived", synced })
  } catch (error) {
    if (!(error instanceof SteleError && mendable.has(error.reason._tag))) throw error
    hear({ what: "failed", error: error as StorageError })
  }
}
