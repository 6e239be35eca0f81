/** What an archive consists of: generations, each a snapshot and the segments that continue it, as their headers say. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { ArchiveFiles } from "./file.ts"
import { digestBytes, openObject } from "./object.ts"
import type { WalPosition } from "./wal.ts"

/** A commit of the store: its number, its digest (hex), and when, in µs since 1970: by the clock, and never before an earlier commit's. */
export interface ArchivedCommit {
  readonly sequence: number
  readonly digest: string
  readonly committedUs: number
  readonly orderedUs: number
}

interface Header {
  readonly generation: number
  readonly index: number
  /** SHA-256 of the object before it; of a first snapshot empty. */
  readonly previous: string
  /** The newest commit in the store after this object. */
  readonly commit: ArchivedCommit
  /** When its bytes began to be written. */
  readonly archivedUs: number
  readonly pageBytes: number
  readonly wal: WalPosition
}

export interface SnapshotHeader extends Header {
  readonly kind: "snapshot"
  readonly pages: number
  /** Whether it takes up where the generation before it was: nothing is missing between the two. */
  readonly isContinued: boolean
}

export interface SegmentHeader extends Header {
  readonly kind: "segment"
  readonly frames: number
  /** Commits in it; some of the store's transactions carry none. */
  readonly commits: number
  readonly firstCommittedUs: number | undefined
  /** The store's clock went back within it, or was ahead of the archive's: its times are not those of the calendar. */
  readonly isClockOff: boolean
}

export interface Located<H> {
  readonly name: string
  readonly bytes: number
  readonly header: H
}

export interface Generation {
  readonly generation: number
  readonly snapshot: Located<SnapshotHeader>
  readonly segments: ReadonlyArray<Located<SegmentHeader>>
  /** The commits that can be restored, and when the last was made. */
  readonly first: ArchivedCommit
  readonly last: ArchivedCommit
  readonly bytes: number
  readonly isContinued: boolean
}

export interface Gap {
  /** Behind which commit, and before which, nothing can be restored. */
  readonly after: number
  readonly before: number
  readonly afterUs: number
  readonly beforeUs: number
}

export interface Problem {
  readonly object: string
  readonly detail: string
}

export interface Archive {
  readonly place: string
  readonly isEncrypted: boolean
  readonly generations: ReadonlyArray<Generation>
  readonly gaps: ReadonlyArray<Gap>
  readonly problems: ReadonlyArray<Problem>
  /** Of all objects. */
  readonly bytes: number
  readonly blobs: number
}

const padded = (number: number): string => String(number).padStart(10, "0")
export const snapshotName = (generation: number): string => `generation-${padded(generation)}/${padded(0)}.snapshot`
export const segmentName = (generation: number, index: number): string => `generation-${padded(generation)}/${padded(index)}.segment`
const namePattern = /^generation-(\d{10})\/(\d{10})\.(snapshot|segment)$/

/** Generation and index of an object's name; undefined for other objects. */
export function placeIn(name: string): { readonly generation: number; readonly index: number } | undefined {
  const found = namePattern.exec(name)
  if (found === null || (found[3] === "snapshot") !== (Number(found[2]) === 0)) return undefined
  return { generation: Number(found[1]), index: Number(found[2]) }
}

const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isSafeInteger(value) && value >= 0

/** A header that says what its name says, or undefined. */
function headerOf(name: string, header: Readonly<Record<string, unknown>>): SnapshotHeader | SegmentHeader | undefined {
  const place = placeIn(name)
  const { generation, index, kind, commit, pageBytes } = header
  const { sequence, committedUs, orderedUs, digest } = (commit ?? {}) as Record<string, unknown>
  const isWhole = isNumber(sequence) && isNumber(committedUs) && isNumber(orderedUs) && typeof digest === "string" && isNumber(pageBytes) && pageBytes >= 512
  if (!isWhole || pageBytes > 65_536 || generation !== place?.generation || index !== place?.index) return undefined
  if (kind !== (index === 0 ? "snapshot" : "segment")) return undefined
  return header as unknown as SnapshotHeader | SegmentHeader
}

/** The header of one object. Throws `ArchiveDamaged`, `ArchiveNewer`, `ArchiveUnreachable`. */
export async function readHeader(
  files: ArchiveFiles,
  name: string,
): Promise<{ readonly header: SnapshotHeader | SegmentHeader; readonly isEncrypted: boolean }> {
  const opened = await openObject(name, files.place, files.get(name), undefined)
  await opened.close()
  const header = headerOf(name, opened.header)
  if (header === undefined) throw new StorageError("ArchiveDamaged", { archive: files.place, object: name, detail: "its header is not as it was written" })
  return { header, isEncrypted: opened.header["salt"] !== undefined }
}

/** The digest at an object's end: what the next one's `previous` must be. */
export async function readDigest(files: ArchiveFiles, name: string, bytes: number): Promise<string> {
  const parts: Array<Uint8Array> = []
  for await (const part of files.get(name, Math.max(0, bytes - digestBytes))) parts.push(part)
  return Buffer.concat(parts).toString("hex")
}

/**
 * Reads the headers of all objects and says what can be restored. Bodies are proved when they are restored.
 * @throws StorageError `NotArchive`, `ArchiveUnreachable`, `ArchiveNewer`
 */
export async function readArchive(files: ArchiveFiles): Promise<Archive> {
  const objects = await files.list()
  const problems: Array<Problem> = []
  const found = new Map<number, Array<Located<SnapshotHeader | SegmentHeader> & { readonly digest: string }>>()
  let isEncrypted = false
  for (const { name, bytes } of objects) {
    const place = placeIn(name)
    if (place === undefined) continue
    try {
      const read = await readHeader(files, name)
      isEncrypted ||= read.isEncrypted
      const located = { name, bytes, header: read.header, digest: await readDigest(files, name, bytes) }
      found.set(place.generation, [...(found.get(place.generation) ?? []), located])
    } catch (error) {
      if (!(error instanceof StorageError) || error.reason._tag !== "ArchiveDamaged") throw error
      problems.push({ object: name, detail: error.reason.detail })
    }
  }
  if (found.size === 0 && problems.length === 0) throw new StorageError("NotArchive", { archive: files.place, detail: "it holds no backup" })
  const generations: Array<Generation> = []
  let end: { readonly digests: ReadonlySet<string>; readonly last: ArchivedCommit } | undefined
  const gaps: Array<Gap> = []
  for (const [generation, [snapshot, ...rest]] of [...found].toSorted(([a], [b]) => a - b)) {
    if (snapshot?.header.kind !== "snapshot") {
      problems.push({ object: snapshotName(generation), detail: "it is missing, and with it all of its generation" })
      if (end !== undefined) end = { digests: new Set(), last: end.last }
      continue
    }
    const segments: Array<Located<SegmentHeader>> = []
    let before = snapshot
    for (const next of rest) {
      const isNext = next.header.index === segments.length + 1 && next.header.previous === before.digest
      if (!isNext || next.header.kind !== "segment") {
        problems.push({ object: next.name, detail: "the object before it is missing or another one: nothing from here on can be restored" })
        break
      }
      segments.push(next as Located<SegmentHeader>)
      before = next
    }
    const first = snapshot.header.commit
    const last = before.header.commit
    const isContinued = end !== undefined && snapshot.header.isContinued && end.digests.has(snapshot.header.previous)
    if (end !== undefined && !isContinued && first.sequence > end.last.sequence)
      gaps.push({ after: end.last.sequence, before: first.sequence, afterUs: end.last.orderedUs, beforeUs: first.orderedUs })
    const bytes = [snapshot, ...segments].reduce((sum, object) => sum + object.bytes, 0)
    generations.push({ generation, snapshot: snapshot as Located<SnapshotHeader>, segments, first, last, bytes, isContinued })
    // While a snapshot is written the generation before goes on: until the new one has caught up, that is the one that ends last.
    const isBehind = isContinued && end !== undefined && end.last.sequence > last.sequence
    end = { digests: new Set([snapshot, ...rest].map(({ digest }) => digest)), last: isBehind ? (end as { readonly last: ArchivedCommit }).last : last }
  }
  return {
    place: files.place,
    isEncrypted,
    generations,
    gaps,
    problems,
    bytes: objects.reduce((sum, object) => sum + object.bytes, 0),
    blobs: objects.filter(({ name }) => name.startsWith("blob/")).length,
  }
}

/** The generation that ends last: the newest, unless it has not caught up yet with the one that it continues. */
export function newestOf(generations: ReadonlyArray<Generation>): Generation | undefined {
  const [before, newest] = [generations.at(-2), generations.at(-1)]
  return newest?.isContinued === true && before !== undefined && before.last.sequence > newest.last.sequence ? before : newest
}
