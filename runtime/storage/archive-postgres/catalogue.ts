/**
 * What an archive of a server consists of, as its objects' headers say: base backups, and the log in pieces of which each names the digest
 * of the one before. A "run" is log without a hole; a base backup and the run that it lies in are a generation.
 */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { ArchiveFiles } from "../archive/file.ts"
import { type Problem, readDigest } from "../archive/generation.ts"
import { openObject } from "../archive/object.ts"
import { segmentStart } from "./lsn.ts"

/** What every object says of where it comes from. */
interface Origin {
  /** Of the archive: random, and part of the slot's name. */
  readonly archive: string
  /** The server's `system_identifier`: made with its data folder. */
  readonly system: string
  /** `server_version_num` */
  readonly version: number
  readonly timeline: number
  readonly segmentBytes: number
  /** Of the store in it. */
  readonly database: string
  /** By the clock of whoever archived it, µs since 1970. */
  readonly archivedUs: number
}

export interface LogHeader extends Origin {
  readonly kind: "postgres-log"
  readonly index: number
  /** SHA-256 of the piece before it; empty where a run begins. */
  readonly previous: string
  readonly from: number
  readonly to: number
  /** A time by the server's clock: what it ended up to then is in here or before. */
  readonly serverUs: number
  /** The newest end of a transaction in the run so far, also of those that were given up; 0 before the first. */
  readonly endedUs: number
  /** The newest commit in the run so far; 0 before the first. */
  readonly committedUs: number
  /** Commits whose record ends in this piece. */
  readonly commits: number
  readonly firstCommittedUs: number | undefined
  /** Where the newest record that is whole begins. */
  readonly lastRecord: number | undefined
}

export interface BaseHeader extends Origin {
  readonly kind: "postgres-base"
  readonly generation: number
  /** From where on the log is needed. */
  readonly from: number
}

/** Written when a base backup and the log up to its end are archived: before that it is none. */
export interface EndHeader extends Origin {
  readonly kind: "postgres-end"
  readonly generation: number
  readonly from: number
  /** Where the log has to be replayed to. */
  readonly to: number
  /** SHA-256 of the base backup's object. */
  readonly base: string
  /** The piece of the log that was the newest then: the base backup belongs to its run and to no other, whatever places these have. */
  readonly index: number
  /** By the server's clock, some time after that place: from then on states are known by their time. */
  readonly atUs: number
}

export interface Located<H> {
  readonly name: string
  readonly bytes: number
  readonly header: H
  readonly digest: string
}

/** A state that can be restored: its place, and a time up to which everything is in it. */
export interface Moment {
  readonly lsn: number
  readonly us: number
}

export interface Run {
  readonly timeline: number
  readonly pieces: ReadonlyArray<Located<LogHeader>>
  readonly from: number
  readonly last: Moment
}

export interface ServerGeneration {
  readonly generation: number
  readonly base: Located<BaseHeader>
  readonly run: Run
  readonly first: Moment
  readonly last: Moment
  /** Of the newest commit in it, µs since 1970; 0 when none was archived. */
  readonly committedUs: number
  readonly commits: number
  readonly bytes: number
  /** Whether nothing is missing between the one before and this one. */
  readonly isContinued: boolean
}

export interface ServerGap {
  /** Behind what, and before what, nothing can be restored; `before` is undefined while no base backup has followed. */
  readonly after: Moment
  readonly before: Moment | undefined
}

export interface ServerArchive {
  readonly place: string
  /** Of the newest object. */
  readonly origin: Origin
  readonly isEncrypted: boolean
  readonly runs: ReadonlyArray<Run>
  readonly generations: ReadonlyArray<ServerGeneration>
  readonly gaps: ReadonlyArray<ServerGap>
  readonly problems: ReadonlyArray<Problem>
  readonly bytes: number
  readonly blobs: number
  /** The newest piece of the log, if it is whole; the next one continues it. */
  readonly end: Located<LogHeader> | undefined
  /** Numbers that are taken, also by what is damaged or was not ended. */
  readonly lastIndex: number
  readonly lastGeneration: number
  /** Base backups that were not ended. */
  readonly unfinished: ReadonlyArray<string>
}

const padded = (number: number): string => String(number).padStart(10, "0")
export const logName = (index: number): string => `log/${padded(index)}.log`
export const baseName = (generation: number): string => `base/${padded(generation)}.tar`
export const endName = (generation: number): string => `base/${padded(generation)}.end`
const pattern = /^(?:log\/(\d{10})\.log|base\/(\d{10})\.(tar|end))$/

interface Place {
  readonly kind: "postgres-log" | "postgres-base" | "postgres-end"
  readonly number: number
}

/** What an object's name says; undefined for blobs and what is of another archive. */
export function placeOf(name: string): Place | undefined {
  const found = pattern.exec(name)
  if (found === null) return undefined
  if (found[1] !== undefined) return { kind: "postgres-log", number: Number(found[1]) }
  return { kind: found[3] === "tar" ? "postgres-base" : "postgres-end", number: Number(found[2]) }
}

/** Whether a folder holds an archive of a server, as its names say. */
export const isServerArchive = async (files: ArchiveFiles): Promise<boolean> => (await files.list()).some(({ name }) => placeOf(name) !== undefined)

const isCount = (value: unknown): value is number => typeof value === "number" && Number.isSafeInteger(value) && value >= 0
const isText = (value: unknown): value is string => typeof value === "string"
const sizes = new Set(Array.from({ length: 11 }, (_, power) => 2 ** (20 + power)))

type Header = LogHeader | BaseHeader | EndHeader

/** A header that says what its name says, or undefined. */
function headerOf({ kind, number }: Place, header: Readonly<Record<string, unknown>>): Header | undefined {
  const { archive, system, version, timeline, segmentBytes, database, archivedUs, from, to } = header
  const isOrigin = [archive, system, database].every(isText) && [version, timeline, archivedUs, from].every(isCount) && sizes.has(segmentBytes as number)
  if (header["kind"] !== kind || !isOrigin) return undefined
  if (kind === "postgres-base") return header["generation"] === number ? (header as unknown as BaseHeader) : undefined
  if (!isCount(to) || to < (from as number)) return undefined
  if (kind === "postgres-end")
    return header["generation"] === number && isText(header["base"]) && isCount(header["index"]) && isCount(header["atUs"])
      ? (header as unknown as EndHeader)
      : undefined
  const isLog = [header["serverUs"], header["endedUs"], header["committedUs"], header["commits"]].every(isCount) && isText(header["previous"])
  return isLog && header["index"] === number && to > (from as number) ? (header as unknown as LogHeader) : undefined
}

interface Found {
  readonly logs: Array<Located<LogHeader>>
  readonly bases: Map<number, Located<BaseHeader>>
  readonly ends: Array<Located<EndHeader>>
  readonly problems: Array<Problem>
  isEncrypted: boolean
}

/** Headers and digests of all objects, in order. */
async function readAll(files: ArchiveFiles, objects: ReadonlyArray<{ readonly name: string; readonly bytes: number }>): Promise<Found> {
  const found: Found = { logs: [], bases: new Map(), ends: [], problems: [], isEncrypted: false }
  for (const { name, bytes } of objects) {
    const place = placeOf(name)
    if (place === undefined) continue
    try {
      const opened = await openObject(name, files.place, files.get(name), undefined)
      // Nothing names the digest of an end, and all that it says is its header.
      if (place.kind === "postgres-end") await readWhole(opened.body)
      await opened.close()
      const header = headerOf(place, opened.header)
      if (header === undefined) throw new StorageError("ArchiveDamaged", { archive: files.place, object: name, detail: "its header is not as it was written" })
      found.isEncrypted ||= opened.header["salt"] !== undefined
      const located = { name, bytes, digest: await readDigest(files, name, bytes) }
      if (header.kind === "postgres-log") found.logs.push({ ...located, header })
      else if (header.kind === "postgres-base") found.bases.set(header.generation, { ...located, header })
      else found.ends.push({ ...located, header })
    } catch (error) {
      if (!(error instanceof StorageError) || error.reason._tag !== "ArchiveDamaged") throw error
      found.problems.push({ object: name, detail: error.reason.detail })
    }
  }
  return found
}

/** Holds an object against its digest; the key that it may need is asked for only afterwards. @throws StorageError `ArchiveDamaged` */
async function readWhole(body: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    for await (const _ of body);
  } catch (error) {
    if (!(error instanceof StorageError) || error.reason._tag !== "ArchiveKey") throw error
  }
}

/** The log's pieces as runs, each without a hole. */
function runsOf({ logs, problems }: Found): ReadonlyArray<Run> {
  const runs: Array<Array<Located<LogHeader>>> = []
  for (const next of logs) {
    const before = runs.at(-1)?.at(-1)
    const { header } = next
    const isSame = before !== undefined && header.system === before.header.system && header.timeline === before.header.timeline
    const isNext = isSame && header.index === before.header.index + 1 && header.previous === before.digest && header.from === before.header.to
    if (isNext) runs.at(-1)?.push(next)
    else {
      // Pieces that were deleted because nothing needed them any more leave a start without what it names.
      if (before !== undefined && header.previous !== "") problems.push({ object: next.name, detail: "the object before it is missing or another one" })
      runs.push([next])
    }
  }
  return runs.map((pieces) => {
    const [first, last] = [pieces[0], pieces.at(-1)] as [Located<LogHeader>, Located<LogHeader>]
    return { timeline: first.header.timeline, pieces, from: first.header.from, last: { lsn: last.header.to, us: last.header.serverUs } }
  })
}

function generationsOf({ bases, ends, problems }: Found, runs: ReadonlyArray<Run>): ReadonlyArray<ServerGeneration> {
  const generations: Array<ServerGeneration> = []
  for (const { name, header } of ends) {
    const { generation, from, to, base: digest, index, atUs, segmentBytes } = header
    const refuse = (object: string, detail: string): void => void problems.push({ object, detail })
    const base = bases.get(generation)
    if (base === undefined || base.digest !== digest || base.header.from !== from) {
      if (!problems.some(({ object }) => object === baseName(generation)))
        refuse(baseName(generation), "it is missing or another one, and with it its generation")
      continue
    }
    const start = segmentStart(from, segmentBytes)
    const run = runs.find(({ from: begins, last, pieces }) => begins <= start && last.lsn >= to && pieces.some((piece) => piece.header.index === index))
    if (run === undefined) {
      refuse(name, "the log that it needs is missing")
      continue
    }
    const needed = run.pieces.filter((piece) => piece.header.to > start)
    generations.push({
      generation,
      base,
      run,
      first: { lsn: to, us: atUs },
      last: run.last,
      committedUs: run.pieces.at(-1)?.header.committedUs ?? 0,
      commits: needed.reduce((sum, piece) => sum + piece.header.commits, 0),
      bytes: base.bytes + needed.reduce((sum, piece) => sum + piece.bytes, 0),
      isContinued: generations.at(-1)?.run === run,
    })
  }
  return generations
}

/** Between runs, and in the newest as long as it has no base backup. */
function gapsOf(runs: ReadonlyArray<Run>, generations: ReadonlyArray<ServerGeneration>): ReadonlyArray<ServerGap> {
  const gaps: Array<ServerGap> = []
  let after: Moment | undefined
  for (const run of runs) {
    const first = generations.find((each) => each.run === run)
    if (after !== undefined && first !== undefined) gaps.push({ after, before: first.first })
    if (first !== undefined) after = run.last
  }
  const newest = runs.at(-1)
  if (after !== undefined && newest !== undefined && !generations.some(({ run }) => run === newest)) gaps.push({ after, before: undefined })
  return gaps
}

/**
 * Reads the headers of all objects and says what can be restored. Bodies are proved when they are restored.
 * @throws StorageError `NotArchive`, `ArchiveUnreachable`, `ArchiveNewer`
 */
export async function readServerArchive(files: ArchiveFiles): Promise<ServerArchive> {
  const objects = await files.list()
  const found = await readAll(files, objects)
  const numbers = (...kinds: ReadonlyArray<Place["kind"]>): number =>
    objects.reduce((most, { name }) => {
      const place = placeOf(name)
      return place !== undefined && kinds.includes(place.kind) ? Math.max(most, place.number) : most
    }, 0)
  const [lastIndex, lastGeneration] = [numbers("postgres-log"), numbers("postgres-base", "postgres-end")]
  const runs = runsOf(found)
  const newest = found.logs.at(-1) ?? [...found.bases.values()].at(-1)
  if (newest === undefined) {
    const [problem] = found.problems
    if (problem !== undefined) throw new StorageError("ArchiveDamaged", { archive: files.place, ...problem })
    throw new StorageError("NotArchive", { archive: files.place, detail: "it holds no backup of a server" })
  }
  const generations = generationsOf(found, runs)
  const ended = new Set(found.ends.map(({ header }) => header.generation))
  const isTaken = new Set(objects.map(({ name }) => name))
  return {
    place: files.place,
    origin: newest.header,
    isEncrypted: found.isEncrypted,
    runs,
    generations,
    gaps: gapsOf(runs, generations),
    problems: found.problems,
    bytes: objects.reduce((sum, object) => sum + object.bytes, 0),
    blobs: objects.filter(({ name }) => name.startsWith("blob/")).length,
    end: found.logs.at(-1)?.header.index === lastIndex ? found.logs.at(-1) : undefined,
    lastIndex,
    lastGeneration,
    unfinished: [...found.bases.values()]
      .filter(({ header }) => !ended.has(header.generation) && !isTaken.has(endName(header.generation)))
      .map(({ name }) => name),
  }
}
