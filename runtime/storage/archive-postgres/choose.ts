/** Which base backup and which log a restore takes: the newest state, or the one at a place in the log or at a time. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { ArchiveFiles } from "../archive/file.ts"
import { openObject } from "../archive/object.ts"
import type { Located, LogHeader, Moment, Run, ServerArchive, ServerGeneration } from "./catalogue.ts"
import { lsnText, segmentStart } from "./lsn.ts"
import { LogDamage, LogReader } from "./record.ts"

/** Which state: with every record that begins before a place; with every transaction that ended up to a time (µs since 1970); with neither, the newest. */
export interface ServerTarget {
  readonly lsn?: number | undefined
  readonly atUs?: number | undefined
  /** From this generation's base backup. */
  readonly generation?: number | undefined
}

export interface ServerPlan {
  readonly generation: number
  /** Where the log ends that is replayed, and up to when everything is in it. */
  readonly at: Moment
  readonly objects: number
  readonly bytes: number
}

export interface Chosen {
  readonly plan: ServerPlan
  readonly generation: ServerGeneration
  /** All of the run that the base backup needs or that follows it. */
  readonly pieces: ReadonlyArray<Located<LogHeader>>
  /** Records from here on are not replayed; undefined: all of the run is. */
  readonly untilLsn: number | undefined
}

const timeText = (us: number): string => new Date(us / 1_000).toISOString()
const spanText = ({ generation, first, last }: ServerGeneration): string =>
  `${timeText(first.us)} to ${timeText(last.us)} (${lsnText(first.lsn)} to ${lsnText(last.lsn)}) in generation ${generation}`

/** Reads pieces through `reader`, from where that is; `each` has its bytes first. Ends early when `isEnough`, behind a piece. @throws StorageError `ArchiveDamaged`, `ArchiveKey`, `ArchiveUnreachable` */
export async function readLog(
  files: ArchiveFiles,
  key: Uint8Array | undefined,
  pieces: ReadonlyArray<Located<LogHeader>>,
  reader: LogReader,
  each: (lsn: number, bytes: Uint8Array) => Promise<void> | void = () => {},
  isEnough: () => boolean = () => false,
): Promise<void> {
  for (const { name, header, digest } of pieces) {
    const damaged = (detail: string): StorageError => new StorageError("ArchiveDamaged", { archive: files.place, object: name, detail })
    if (isEnough()) return
    const opened = await openObject(name, files.place, files.get(name), key)
    let skipped = Math.max(0, reader.at - header.from)
    let bytes = 0
    for await (const part of opened.body) {
      bytes += part.length
      const rest = part.subarray(Math.min(skipped, part.length))
      skipped -= part.length - rest.length
      if (rest.length === 0) continue
      await each(reader.at, rest)
      try {
        reader.push(rest)
      } catch (error) {
        throw error instanceof LogDamage ? damaged(error.message) : error
      }
    }
    if (bytes !== header.to - header.from || reader.at !== header.to) throw damaged("it has another count of bytes")
    if (opened.digest !== digest) throw damaged("it was exchanged while it was read")
  }
}

/** Where the first transaction ended after a time; undefined when none in the run did. */
async function placeAfter(files: ArchiveFiles, key: Uint8Array | undefined, run: Run, atUs: number): Promise<number | undefined> {
  const found = run.pieces.find(({ header }) => header.endedUs > atUs)
  if (found === undefined) return undefined
  const { segmentBytes, from, to } = found.header
  const start = Math.max(segmentStart(from, segmentBytes), run.from)
  let place: number | undefined
  const reader = new LogReader(start, segmentBytes, (ended) => {
    if (ended.us > atUs) place ??= ended.from
  })
  await readLog(
    files,
    key,
    run.pieces.filter(({ header }) => header.to > start && header.to <= to),
    reader,
  )
  return place
}

/** @throws StorageError `NotArchived`, `ArchiveDamaged`, and those of reading */
export async function choose(archive: ServerArchive, files: ArchiveFiles, key: Uint8Array | undefined, target: ServerTarget = {}): Promise<Chosen> {
  const { lsn, atUs } = target
  const [problem] = archive.problems
  // The newest that is whole is not the newest: who asks for that shall know.
  if (problem !== undefined && lsn === undefined && atUs === undefined && target.generation === undefined)
    throw new StorageError("ArchiveDamaged", { archive: archive.place, ...problem })
  const candidates = archive.generations.filter(({ generation }) => target.generation === undefined || generation === target.generation).toReversed()
  const asked = lsn !== undefined ? lsnText(lsn) : atUs !== undefined ? `the state at ${timeText(atUs)}` : `generation ${target.generation ?? "any"}`
  const refuse = (): never => {
    throw new StorageError("NotArchived", { archive: archive.place, asked, spans: archive.generations.map(spanText) })
  }
  if (lsn !== undefined) return chosen(candidates.find(({ first, last }) => first.lsn <= lsn && lsn <= last.lsn) ?? refuse(), lsn, undefined)
  if (atUs === undefined) return chosen(candidates[0] ?? refuse(), undefined, undefined)
  // A generation of an earlier run may reach into the same time; what came last counts.
  const newest = candidates.find(({ first, last }) => first.us <= atUs && atUs <= last.us) ?? refuse()
  const place = await placeAfter(files, key, newest.run, atUs)
  const generation =
    place === undefined ? newest : (candidates.find(({ run, first }) => run === newest.run && first.us <= atUs && first.lsn <= place) ?? refuse())
  return chosen(generation, place, atUs)
}

function chosen(generation: ServerGeneration, untilLsn: number | undefined, atUs: number | undefined): Chosen {
  const { run, base, last } = generation
  const { from, segmentBytes } = base.header
  const start = segmentStart(from, segmentBytes)
  const pieces = run.pieces.filter(({ header }) => header.to > start)
  const needed = pieces.filter(({ header }) => untilLsn === undefined || header.from <= untilLsn)
  const at = { lsn: untilLsn ?? last.lsn, us: atUs ?? needed.at(-1)?.header.serverUs ?? last.us }
  const bytes = base.bytes + needed.reduce((sum, piece) => sum + piece.bytes, 0)
  return { plan: { generation: generation.generation, at, objects: 1 + needed.length, bytes }, generation, pieces, untilLsn }
}
