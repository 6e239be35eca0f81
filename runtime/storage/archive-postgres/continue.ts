/** What an archiver finds when it comes back: what it may go on with, and what nobody needs any more. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { ArchiveFiles } from "../archive/file.ts"
import { placeOf, readServerArchive, type ServerArchive } from "./catalogue.ts"
import { lsnText, segmentStart } from "./lsn.ts"

/** The archive that is there; undefined where the folder holds nothing yet. @throws StorageError `NotArchive` when it holds something else */
export async function archiveIn(files: ArchiveFiles): Promise<ServerArchive | undefined> {
  const foreign = (await files.list()).find(({ name }) => placeOf(name) === undefined && !name.startsWith("blob/"))
  if (foreign !== undefined) throw new StorageError("NotArchive", { archive: files.place, detail: `it holds "${foreign.name}" and no backup of a server` })
  try {
    return await readServerArchive(files)
  } catch (error) {
    if (error instanceof StorageError && error.reason._tag === "NotArchive") return undefined
    throw error
  }
}

/** Why the log of this server cannot continue what is archived; undefined when it may. */
export function brokenBy(archive: ServerArchive | undefined, timeline: number, flushed: number): string | undefined {
  const end = archive?.end?.header
  if (end === undefined) return archive === undefined ? undefined : "the newest piece of it is missing or damaged"
  if (end.timeline !== timeline) return `the server has gone on in timeline ${timeline}, the archive is of timeline ${end.timeline}`
  if (end.to > flushed) return `the server's log ends at ${lsnText(flushed)}, before the archive's end at ${lsnText(end.to)}`
  return undefined
}

/** Deletes the oldest generations but for `generationsMax`, and the log that only they needed, each so that what is left is whole. */
export async function prune(files: ArchiveFiles, generationsMax: number): Promise<void> {
  const archive = await readServerArchive(files)
  const kept = archive.generations.slice(-generationsMax)
  const [oldest] = kept
  if (oldest === undefined || kept.length === archive.generations.length) return
  const start = segmentStart(oldest.base.header.from, oldest.base.header.segmentBytes)
  const needed = oldest.run.pieces.find(({ header }) => header.to > start)?.header.index ?? 0
  for (const { name } of await files.list()) {
    const place = placeOf(name)
    const isOld = place !== undefined && place.number < (place.kind === "postgres-log" ? needed : oldest.generation)
    // An end comes before its base backup in the order of names: without it there is no backup.
    if (isOld) await files.delete(name)
  }
}
