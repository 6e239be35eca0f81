/**
 * The mark: a file beside a database that remembers the newest commit acknowledged, because SQLite's recovery ends
 * silently at the first bad frame of its log. Two slots of one sector each are written in turn, so that a torn write
 * leaves the other. It is not synced: the kernel keeps it when the process dies, and at power loss an old mark claims less,
 * never something false.
 */

import type { DatabaseSync } from "node:sqlite"

const { closeSync, openSync, readSync, writeSync } = process.getBuiltinModule("node:fs")
const { crc32 } = process.getBuiltinModule("node:zlib")

export interface Commit {
  readonly sequence: number
  /** 32 bytes, chained: it stands for everything committed so far. */
  readonly digest: Uint8Array
}

const slotBytes = 512
const recordBytes = 48
const magic = 0x6b72_616d // "mark"

/** magic, CRC-32 of what follows, sequence, digest; little-endian. */
function encode({ sequence, digest }: Commit): Uint8Array {
  const record = new Uint8Array(recordBytes)
  const view = new DataView(record.buffer)
  view.setUint32(0, magic, true)
  view.setBigUint64(8, BigInt(sequence), true)
  record.set(digest, 16)
  view.setUint32(4, crc32(record.subarray(8)), true)
  return record
}

function decode(record: Uint8Array): Commit | undefined {
  const view = new DataView(record.buffer, record.byteOffset, record.length)
  if (view.getUint32(0, true) !== magic || view.getUint32(4, true) !== crc32(record.subarray(8))) return undefined
  return { sequence: Number(view.getBigUint64(8, true)), digest: record.slice(16) }
}

export class Mark {
  readonly #file: number

  private constructor(file: number) {
    this.#file = file
  }

  /** Opens or makes the file. */
  static open(path: string): Mark {
    try {
      const made = openSync(path, "wx+", 0o600)
      // Both slots have their place on the disk from now on: one that is full later does not refuse them.
      writeSync(made, new Uint8Array(2 * slotBytes))
      return new Mark(made)
    } catch (error) {
      if ((error as { readonly code?: unknown }).code !== "EEXIST") throw error
      return new Mark(openSync(path, "r+"))
    }
  }

  /** What the file remembers, without making one. */
  static peek(path: string): Commit | undefined {
    let mark: Mark | undefined
    try {
      mark = new Mark(openSync(path, "r"))
      return mark.read()
    } catch {
      return undefined
    } finally {
      mark?.close()
    }
  }

  /** The newest commit of the slots that are whole; undefined in a new file, and in one that is damaged altogether. */
  read(): Commit | undefined {
    const found = [0, 1].flatMap((slot) => {
      const record = new Uint8Array(recordBytes)
      const length = readSync(this.#file, record, 0, recordBytes, slot * slotBytes)
      const commit = length === recordBytes ? decode(record) : undefined
      return commit === undefined ? [] : [commit]
    })
    return found.toSorted((a, b) => b.sequence - a.sequence)[0]
  }

  write(commit: Commit): void {
    writeSync(this.#file, encode(commit), 0, recordBytes, (commit.sequence & 1) * slotBytes)
  }

  /** Forgets whatever was acknowledged beyond `commit`. */
  reset(commit: Commit): void {
    for (const slot of [0, 1]) writeSync(this.#file, encode(commit), 0, recordBytes, slot * slotBytes)
  }

  close(): void {
    closeSync(this.#file)
  }
}

/** What a writer needs of a mark, wherever it is kept. */
export type CommitMark = Pick<Mark, "read" | "write" | "reset" | "close">

/** Commits whose digests a store keeps, newest first: a mark is older only after a loss of power. */
export const commitRowsMax = 1_000

/** Numbers of the newest commit there is and of one that was acknowledged and is not there; undefined when nothing is missing. */
export function lossOf(database: DatabaseSync, known: Commit | undefined): { readonly found: number; readonly known: number } | undefined {
  // Nothing was acknowledged before the first commit.
  if (known === undefined || known.sequence === 0) return undefined
  const found = Number(database.prepare("SELECT max(sequence) AS newest FROM commit_group").get()?.["newest"] ?? 0)
  const row = database.prepare("SELECT digest FROM commit_group WHERE sequence = ?").get(known.sequence)
  const isPast = known.sequence <= found - commitRowsMax
  if (isPast || (row !== undefined && Buffer.from(row["digest"] as Uint8Array).equals(known.digest))) return undefined
  return { found, known: known.sequence }
}
