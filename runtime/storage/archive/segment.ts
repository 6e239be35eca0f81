/** The body of a segment: the commits in it, then its frames. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { ArchiveFiles } from "./file.ts"
import type { ArchivedCommit, Located, SegmentHeader } from "./generation.ts"
import { openObject } from "./object.ts"
import type { Frame } from "./wal.ts"

/** A commit as a segment lists it. */
type Listed = readonly [sequence: number, committedUs: number, orderedUs: number, digest: string]

const frameHeadBytes = 8
const commitsBytesMax = 64 << 20

export const listedOf = ({ sequence, committedUs, orderedUs, digest }: ArchivedCommit): Listed => [sequence, committedUs, orderedUs, digest]

/** The bytes of a body. */
export function* bodyOf(commits: ReadonlyArray<Listed>, frames: Iterable<Frame>): Generator<Uint8Array> {
  const json = Buffer.from(JSON.stringify(commits))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(json.length)
  yield Buffer.concat([length, json])
  for (const { page, pagesAfter, bytes } of frames) {
    const head = Buffer.alloc(frameHeadBytes)
    head.writeUInt32BE(page)
    head.writeUInt32BE(pagesAfter, 4)
    yield Buffer.concat([head, bytes])
  }
}

export interface Segment {
  readonly commits: ReadonlyArray<ArchivedCommit>
  /** Once. Proved when it has ended. */
  readonly frames: AsyncGenerator<Frame>
  /** Of the object, once the frames have ended. */
  digest(): string | undefined
  close(): Promise<void>
}

/** @throws StorageError `ArchiveDamaged`, `ArchiveKey`, `ArchiveUnreachable`; the frames, too */
export async function segmentOf(files: ArchiveFiles, name: string, header: SegmentHeader, key: Uint8Array | undefined): Promise<Segment> {
  const damaged = (detail: string): StorageError => new StorageError("ArchiveDamaged", { archive: files.place, object: name, detail })
  const opened = await openObject(name, files.place, files.get(name), key)
  const parts = opened.body
  let rest = Buffer.alloc(0)
  const fill = async (count: number): Promise<boolean> => {
    while (rest.length < count) {
      const next = await parts.next()
      if (next.done === true) return false
      rest = Buffer.concat([rest, next.value])
    }
    return true
  }
  let listed: ReadonlyArray<Listed>
  try {
    const length = (await fill(4)) ? rest.readUInt32BE() : commitsBytesMax + 1
    if (length > commitsBytesMax || !(await fill(4 + length))) throw damaged("its list of commits is not whole")
    listed = JSON.parse(rest.toString("utf8", 4, 4 + length)) as typeof listed
    rest = rest.subarray(4 + length)
  } catch (error) {
    await opened.close()
    throw error instanceof SyntaxError ? damaged("its list of commits is not as it was written") : error
  }
  const frames = async function* (): AsyncGenerator<Frame> {
    const size = frameHeadBytes + header.pageBytes
    let count = 0
    try {
      for (; await fill(size); count++) {
        yield { page: rest.readUInt32BE(), pagesAfter: rest.readUInt32BE(4), bytes: rest.subarray(frameHeadBytes, size) }
        rest = rest.subarray(size)
      }
    } finally {
      await opened.close()
    }
    if (rest.length > 0 || count !== header.frames) throw damaged("it has another count of frames")
  }
  return {
    commits: listed.map(([sequence, committedUs, orderedUs, digest]) => ({ sequence, committedUs, orderedUs, digest })),
    frames: frames(),
    digest: () => opened.digest,
    close: () => opened.close(),
  }
}

/** The commits in a segment, oldest first. */
export async function orderedCommits(
  files: ArchiveFiles,
  { name, header }: Located<SegmentHeader>,
  key: Uint8Array | undefined,
): Promise<ReadonlyArray<ArchivedCommit>> {
  const segment = await segmentOf(files, name, header, key)
  await segment.close()
  return segment.commits
}
