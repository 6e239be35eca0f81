/**
 * Uploads on their way in, in the folder `staging`: `ID-N` has the bytes and `ID-N.state` says how many of them are
 * durable. N counts resumptions: each writes a copy of its own, so that a process that has only stopped, and goes on
 * later, writes to a file which is nobody's object any more and whose removal its commit notices.
 */
import { StorageError } from "../../../schemas/error/storage.ts"
import { stagingOf } from "./catalogue.ts"
import { promised } from "./promised.ts"

const { closeSync, openSync, readFileSync, writeSync } = process.getBuiltinModule("node:fs")
const { join } = process.getBuiltinModule("node:path")
const { crc32 } = process.getBuiltinModule("node:zlib")

const magic = 0x7061_7553 // "Suap"
const slotBytes = 512
const recordBytes = 24

export interface Progress {
  /** Bytes that are on the disk. */
  readonly bytes: number
  /** CRC-32 of all of them. */
  readonly sum: number
}

/**
 * The progress of one upload, written after the sync of the bytes it speaks of, in two slots in turn so that a torn one
 * leaves the other. Not synced itself: at power loss an older one claims less.
 */
export class ProgressFile {
  readonly #file: number
  #turn = 0

  constructor(path: string) {
    this.#file = openSync(path, "wx", 0o600)
  }

  write({ bytes, sum }: Progress): void {
    const record = Buffer.alloc(recordBytes)
    record.writeUInt32LE(magic, 0)
    record.writeBigUInt64LE(BigInt(bytes), 8)
    record.writeUInt32LE(sum, 16)
    record.writeUInt32LE(crc32(record.subarray(8)), 4)
    writeSync(this.#file, record, 0, recordBytes, (this.#turn++ & 1) * slotBytes)
  }

  close(): void {
    closeSync(this.#file)
  }

  /** The most that a whole slot claims; undefined when none is whole. */
  static read(path: string): Progress | undefined {
    const found = readFileSync(path)
    const slots = [0, slotBytes].flatMap((at) => {
      const record = found.subarray(at, at + recordBytes)
      const isWhole = record.length === recordBytes && record.readUInt32LE(0) === magic && record.readUInt32LE(4) === crc32(record.subarray(8))
      return isWhole ? [{ bytes: Number(record.readBigUInt64LE(8)), sum: record.readUInt32LE(16) }] : []
    })
    return slots.toSorted((a, b) => b.bytes - a.bytes)[0]
  }
}

export const stagedFile = (folder: string, id: string, turn: number): string => join(stagingOf(folder), `${id}-${turn}`)
export const stateFile = (folder: string, id: string, turn: number): string => `${stagedFile(folder, id, turn)}.state`

const form = /^([0-9a-f]{32})-(\d{1,9})(\.state)?$/

/** What is there of an upload: the newest turn whose progress is known, and the first number that nobody has used. */
export async function stagedTurns(
  folder: string,
  id: string,
): Promise<{ readonly turn: number; readonly progress: Progress; readonly free: number } | undefined> {
  const turns = (await promised().readdir(stagingOf(folder))).flatMap((name) => {
    const [, owner, turn] = form.exec(name) ?? []
    return owner === id ? [Number(turn)] : []
  })
  for (const turn of [...new Set(turns)].toSorted((a, b) => b - a)) {
    try {
      const progress = ProgressFile.read(stateFile(folder, id, turn))
      if (progress !== undefined) return { turn, progress, free: Math.max(...turns) + 1 }
    } catch (error) {
      if ((error as { readonly code?: unknown }).code !== "ENOENT") throw error
    }
  }
  return undefined
}

/** Removes what is there of an upload up to `turn`. */
export async function removeStaged(folder: string, id: string, turnMax: number): Promise<void> {
  for (const name of await promised().readdir(stagingOf(folder))) {
    const [, owner, turn] = form.exec(name) ?? []
    if (owner === id && Number(turn) <= turnMax) await promised().rm(join(stagingOf(folder), name), { force: true })
  }
}

/** Removes uploads of which no file has been written since `beforeMs`; how many there were. */
export async function sweepStaging(folder: string, beforeMs: number, isOpen: (id: string) => boolean): Promise<number> {
  const newest = new Map<string, number>()
  for (const name of await promised().readdir(stagingOf(folder))) {
    const id = form.exec(name)?.[1]
    if (id === undefined) continue
    // One that is being committed at this moment is gone.
    const found = await promised()
      .stat(join(stagingOf(folder), name))
      .catch(() => undefined)
    if (found !== undefined) newest.set(id, Math.max(newest.get(id) ?? 0, found.mtimeMs))
  }
  const dead = [...newest].filter(([id, writtenMs]) => writtenMs <= beforeMs && !isOpen(id))
  for (const [id] of dead) await removeStaged(folder, id, Number.MAX_SAFE_INTEGER)
  return dead.length
}

export const noUpload = (store: string, upload: string, detail: string): StorageError => new StorageError("Upload", { store, upload, detail })
