/**
 * The newest commit of every tenant, and what its tables add up to, in one file beside the tenants' own: so a tenant's file that went away or back
 * in time, with all that lies beside it, is noticed. A tenant has a slot of two sectors, written in turn, so that a torn write leaves the other. As the mark of
 * a single file it is not synced: the kernel keeps it when the process dies, and at power loss it claims less, never something false.
 */
import type { Commit, CommitMark } from "../sqlite/mark.ts"

const { closeSync, fstatSync, openSync, readSync, writeSync } = process.getBuiltinModule("node:fs")
const { crc32 } = process.getBuiltinModule("node:zlib")

/** Of which tables a slot says how many bytes they have: those with a limit for all tenants together, by the limit's port. */
export const counted = ["keyValue", "event", "log", "blob", "queue", "usage"] as const
export type Counted = (typeof counted)[number]
export const totalsOf: Readonly<Record<Counted, string>> = {
  keyValue: "key_value_total",
  event: "event_total",
  log: "log_total",
  blob: "blob_reference_total",
  queue: "queue_total",
  usage: "usage_total",
}

export interface Slot extends Commit {
  /** Of the file that it speaks of: a slot is used again after a tenant was erased, and what is written late for the file before must mean nothing. */
  readonly generation: number
  readonly measure: Measure
}

/** What a tenant's file has after a commit. */
export interface Measure {
  /** Its newest: should the file go away, what comes later for the tenant is numbered above it. */
  readonly revision: number
  /** Of its tables, as `counted` orders them. */
  readonly bytes: ReadonlyArray<number>
}

const noMeasure: Measure = { revision: 0, bytes: counted.map(() => 0) }

const sectorBytes = 512
const slotBytes = 2 * sectorBytes
const bytesFrom = 64
const recordBytes = bytesFrom + 8 * counted.length
const magic = 0x746f_6c73 // "slot"

/** magic, CRC-32 of what follows, sequence, generation, digest, revision, bytes; little-endian. */
function encode({ sequence, generation, digest, measure: { revision, bytes } }: Slot): Buffer {
  const record = Buffer.alloc(recordBytes)
  record.writeUInt32LE(magic, 0)
  record.writeBigUInt64LE(BigInt(sequence), 8)
  record.writeBigUInt64LE(BigInt(generation), 16)
  record.set(digest, 24)
  record.writeBigUInt64LE(BigInt(revision), 56)
  for (const [i, each] of bytes.entries()) record.writeBigInt64LE(BigInt(each), bytesFrom + 8 * i)
  record.writeUInt32LE(crc32(record.subarray(8)), 4)
  return record
}

function decode(record: Buffer): Slot | undefined {
  if (record.length < recordBytes || record.readUInt32LE(0) !== magic || record.readUInt32LE(4) !== crc32(record.subarray(8))) return undefined
  return {
    sequence: Number(record.readBigUInt64LE(8)),
    generation: Number(record.readBigUInt64LE(16)),
    digest: new Uint8Array(record.subarray(24, 56)),
    measure: { revision: Number(record.readBigUInt64LE(56)), bytes: counted.map((_, i) => Number(record.readBigInt64LE(bytesFrom + 8 * i))) },
  }
}

/** The newer of the two that are whole and of this file. */
function newest(sectors: Buffer, generation: number): Slot | undefined {
  const found = [0, sectorBytes].flatMap((at) => decode(sectors.subarray(at, at + recordBytes)) ?? []).filter((each) => each.generation === generation)
  return found.toSorted((a, b) => b.sequence - a.sequence)[0]
}

export class Slots {
  readonly #file: number

  private constructor(file: number) {
    this.#file = file
  }

  /** Opens the file, or makes it. */
  static open(path: string): Slots {
    try {
      return new Slots(openSync(path, "wx+", 0o600))
    } catch (error) {
      if ((error as { readonly code?: unknown }).code !== "EEXIST") throw error
      return new Slots(openSync(path, "r+"))
    }
  }

  /** For who only reads; undefined where there is none, which claims nothing. */
  static peek(path: string): Slots | undefined {
    try {
      return new Slots(openSync(path, "r"))
    } catch {
      return undefined
    }
  }

  /** What is known of a tenant's file; undefined for a new one, and where both sectors are damaged. */
  read(slot: number, generation: number): Slot | undefined {
    const sectors = Buffer.alloc(slotBytes)
    const length = readSync(this.#file, sectors, 0, slotBytes, slot * slotBytes)
    return newest(sectors.subarray(0, length), generation)
  }

  /** Bytes by table of all these, as far as they are known: one read of the whole file. */
  sum(living: Iterable<{ readonly slot: number; readonly generation: number }>): Array<number> {
    const all = Buffer.alloc(fstatSync(this.#file).size)
    const length = readSync(this.#file, all, 0, all.length, 0)
    const sums = counted.map(() => 0)
    for (const { slot, generation } of living) {
      const found = newest(all.subarray(Math.min(slot * slotBytes, length), Math.min((slot + 1) * slotBytes, length)), generation)
      for (const [i, each] of (found?.measure.bytes ?? []).entries()) sums[i] = (sums[i] as number) + each
    }
    return sums
  }

  write(slot: number, record: Slot): void {
    writeSync(this.#file, encode(record), 0, recordBytes, slot * slotBytes + (record.sequence & 1) * sectorBytes)
  }

  /** Forgets whatever was acknowledged beyond. */
  reset(slot: number, record: Slot): void {
    for (const at of [0, sectorBytes]) writeSync(this.#file, encode(record), 0, recordBytes, slot * slotBytes + at)
  }

  /** Of a tenant that is no more. */
  clear(slot: number): void {
    writeSync(this.#file, Buffer.alloc(slotBytes), 0, slotBytes, slot * slotBytes)
  }

  close(): void {
    closeSync(this.#file)
  }
}

/** One tenant's slot as the mark of its writer. */
export class SlotMark implements CommitMark {
  readonly #slots: Slots
  readonly #slot: number
  readonly #generation: number
  readonly #measure: () => Measure
  readonly #grew: (by: ReadonlyArray<number>) => void

  /** `measure`: the file as it is; `grew` is told by how much its tables did. */
  constructor(
    slots: Slots,
    { slot, generation }: { readonly slot: number; readonly generation: number },
    measure: () => Measure,
    grew: (by: ReadonlyArray<number>) => void,
  ) {
    this.#slots = slots
    this.#slot = slot
    this.#generation = generation
    this.#measure = measure
    this.#grew = grew
  }

  /** What the tenant has in a table, as everybody was told last, by whatever process. */
  bytes(table: number): number {
    return this.#told().bytes[table] as number
  }

  #told(): Measure {
    return this.#slots.read(this.#slot, this.#generation)?.measure ?? noMeasure
  }

  read(): Commit | undefined {
    return this.#slots.read(this.#slot, this.#generation)
  }

  #record({ sequence, digest }: Commit): Slot {
    const measure = this.#measure()
    const told = this.#told()
    this.#grew(measure.bytes.map((each, i) => each - (told.bytes[i] as number)))
    return { sequence, digest, generation: this.#generation, measure }
  }

  write(commit: Commit): void {
    this.#slots.write(this.#slot, this.#record(commit))
  }

  reset(commit: Commit): void {
    this.#slots.reset(this.#slot, this.#record(commit))
  }

  /** The file of slots is everybody's. */
  close(): void {}
}
