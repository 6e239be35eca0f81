/**
 * One tenant's group of batches while it is decided: everything its operations look at has been read under the tenant's
 * lock, so they are carried out in memory, each batch taken back by itself when it is refused, and what is left is written
 * at once. No savepoints, and no statement for each operation.
 */
import type { Row } from "./connection.ts"

const { createHash, hash } = process.getBuiltinModule("node:crypto")

/** The newest of a tenant's commits. */
export interface Head {
  readonly revision: number
  readonly sequence: number
  /** 32 bytes, chained: it stands for everything committed so far. Empty before the first. */
  readonly digest: Uint8Array
  /** Changes of keys up to this revision are not kept any more. */
  readonly forgotten: number
  /** Of the server's clock, µs since the Unix epoch; never goes back. */
  readonly nowUs: number
}

/** What a tenant's rows of one table add up to. */
export interface Total {
  /** Keys, or topics: what the tenant's quota counts. */
  readonly keys: number
  readonly bytes: number
  /** Exclusive or of the rows' sums. */
  readonly sums: number
}

/** Bytes that are gathered for one call of the digest. */
const hashedMax = 65_536

export const noTotal: Total = { keys: 0, bytes: 0, sums: 0 }

export class Group {
  readonly #head: Head
  /** What the digest is of, after the one before: each part with its length. */
  readonly #kept: Array<Uint8Array> = []
  readonly #undo: Array<() => void> = []
  readonly #parts: Array<Uint8Array> = []
  readonly #totals = new Map<string, Total>()
  readonly #changed = new Set<string>()
  readonly #bytesOfAll: ReadonlyMap<string, number>
  readonly #grown = new Map<string, number>()
  revision: number
  /** See `Head`. */
  forgotten: number
  isEmpty = true

  constructor(head: Head, totals: ReadonlyArray<Row>, bytesOfAll: ReadonlyMap<string, number>) {
    this.#head = head
    this.revision = head.revision
    this.forgotten = head.forgotten
    this.#bytesOfAll = bytesOfAll
    for (const { name, keys, bytes, sums } of totals) this.#totals.set(name as string, { keys: Number(keys), bytes: Number(bytes), sums: Number(sums) })
  }

  get nowUs(): number {
    return this.#head.nowUs
  }

  /** Takes the next revision for a change and adds the change to the digest: each part with its length. */
  change(...parts: ReadonlyArray<Uint8Array>): number {
    this.#parts.push(...parts)
    return ++this.revision
  }

  /** Goes on above a revision of another store. */
  raise(revision: number): void {
    this.revision = Math.max(this.revision, revision)
  }

  /** Changes up to a revision are gone. */
  forget(revision: number): void {
    const before = this.forgotten
    this.forgotten = Math.max(before, revision)
    this.undo(() => (this.forgotten = before))
  }

  /** What is done should the batch be refused; the last first. */
  undo(how: () => void): void {
    this.#undo.push(how)
  }

  total(table: string): Total {
    return this.#totals.get(table) ?? noTotal
  }

  /** Bytes of all tenants, as far as is known. */
  bytesOfAll(table: string): number {
    return (this.#bytesOfAll.get(table) ?? 0) + (this.#grown.get(table) ?? 0)
  }

  /** `isEnded`: what goes was absent for all quotas already. */
  add(table: string, keys: number, bytes: number, sums: number, isEnded = false): void {
    const [before, grown] = [this.total(table), this.#grown.get(table) ?? 0]
    this.#totals.set(table, { keys: before.keys + keys, bytes: before.bytes + bytes, sums: (before.sums ^ sums) >>> 0 })
    if (!isEnded) this.#grown.set(table, grown + bytes)
    this.#changed.add(table)
    this.undo(() => {
      this.#totals.set(table, before)
      this.#grown.set(table, grown)
    })
  }

  /** What was done beside the batches stands. */
  keep(): void {
    this.end(true, this.#head.revision)
  }

  /** Ends a batch: what it changed stands, or never was. */
  end(isKept: boolean, revisionBefore: number): void {
    if (isKept) {
      if (this.revision > revisionBefore) this.isEmpty = false
      for (const part of this.#parts) this.#kept.push(part)
    } else {
      for (const undo of this.#undo.toReversed()) undo()
      this.revision = revisionBefore
    }
    this.#undo.length = 0
    this.#parts.length = 0
  }

  changedTotals(): ReadonlyArray<readonly [table: string, total: Total]> {
    return [...this.#changed].map((table) => [table, this.total(table)])
  }

  /** What the group added to each table's bytes. */
  get grown(): ReadonlyMap<string, number> {
    return this.#grown
  }

  digest(): Uint8Array {
    const { digest } = this.#head
    const size = this.#kept.reduce((sum, part) => sum + 4 + part.length, digest.length)
    const all = new Uint8Array(Math.min(size, hashedMax))
    all.set(digest)
    let at = digest.length
    // Gathered in pieces: two calls for each part took longer than the bytes.
    const big = size > hashedMax ? createHash("sha256") : undefined
    for (const part of this.#kept) {
      if (at + 4 + part.length > all.length) {
        big?.update(all.subarray(0, at))
        at = 0
      }
      // As the machine has a number of 4 bytes, least first.
      for (let i = 0; i < 4; i++) all[at++] = (part.length >>> (8 * i)) & 0xff
      if (part.length > all.length - 4) {
        big?.update(all.subarray(0, at)).update(part)
        at = 0
      } else {
        all.set(part, at)
        at += part.length
      }
    }
    const last = all.subarray(0, at)
    return big === undefined ? hash("sha256", last, "buffer") : big.update(last).digest()
  }
}
