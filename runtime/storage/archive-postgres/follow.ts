/** Archiving a server without an end: through its restarts, and whatever happens to the archive. */
import { SteleError } from "../../../schemas/error/family.ts"
import type { StorageError } from "../../../schemas/error/storage.ts"
import type { ServerArchived, ServerArchiver } from "./archiver.ts"
import { pause } from "../pause.ts"

/** Reasons that time may mend. */
const mendable: ReadonlySet<string> = new Set(["ArchiveUnreachable", "Unreachable", "Overwritten", "Busy"])
/** Between two attempts, in ms. */
const againMs = 500

/**
 * Archives until `signal` says so.
 * @throws StorageError that no waiting mends: `ArchiveBusy`, `OtherServer`, `Replication`, `Login`, `ArchiveKey`, …
 */
export async function followServer(archiver: ServerArchiver, signal: AbortSignal, hear: (archived: ServerArchived) => void): Promise<void> {
  while (!signal.aborted) {
    try {
      await archiver.run(signal, hear)
    } catch (error) {
      if (!(error instanceof SteleError && mendable.has(error.reason._tag))) throw error
      hear({ what: "failed", error: error as StorageError })
      await pause(againMs, signal)
    }
  }
}
