/**
 * A server's log read record by record (PostgreSQL 15's `xlog_internal.h`, `xlogrecord.h`, `xact.h`; the same up to 18): each page says
 * where it belongs, each record names the one before it and carries a checksum. So what is archived is proved to be a log without a
 * hole, and the times of its commits are known without a server.
 */
import { epochUs } from "../postgres/replication.ts"
import { crc32c } from "./checksum.ts"
import { lsnText, segmentStart } from "./lsn.ts"

const pageHeadBytes = 24
/** Of the first page of a file. */
const longHeadBytes = 40
const recordHeadBytes = 24
/** `XLP_FIRST_IS_CONTRECORD`, `XLP_FIRST_IS_OVERWRITE_CONTRECORD` */
const [continuesFlag, overwritesFlag] = [1, 8]
/** `XLogRecordMaxSize` is 1020 MiB. */
const recordBytesMax = 1_020 << 20
/** Resource managers: the log itself, transactions. */
const [ofLog, ofTransactions] = [0, 1]
const switches = 0x40
/** `XLOG_XACT_COMMIT`, `XLOG_XACT_COMMIT_PREPARED` */
const commits = new Set([0x00, 0x30])
/** The server itself takes aborts for moments, too. */
const ends = new Set([0x00, 0x20, 0x30, 0x40])
/** What a commit's record is read up to: block, origin and id of the transaction above it, then its time. */
const keptBytesMax = 1 << 20

const aligned = (lsn: number): number => lsn + ((8 - (lsn % 8)) % 8)

/** Bytes that are no log, or not the one that they follow. */
export class LogDamage extends Error {
  override readonly name = "LogDamage"
}

/** The end of a transaction. */
export interface Ended {
  /** Where its record begins, and where the next may. */
  readonly from: number
  readonly to: number
  /** By the server's clock, µs since 1970. */
  readonly us: number
  readonly isCommit: boolean
}

interface Current {
  readonly from: number
  readonly bytes: number
  readonly previous: number
  readonly info: number
  readonly manager: number
  readonly crc: number
  readonly head: Uint8Array
  left: number
  sum: number
  /** Of a transaction's end. */
  kept: Array<Uint8Array> | undefined
}

export class LogReader {
  readonly #segmentBytes: number
  /** Hears of each transaction that ended, in order. */
  readonly #hear: (ended: Ended) => void
  #at: number
  #pageBytes: number | undefined
  /** The start of a page's or a record's head that is not whole yet. */
  #head: Uint8Array = new Uint8Array()
  /** Whether that is a page's. */
  #isPageHead = false
  /** The start of a record's head that the end of a page has cut. */
  #cut: { readonly bytes: Uint8Array; readonly from: number } | undefined
  #record: Current | undefined
  #previous: number | undefined
  #end: number
  /** Nothing is looked at before this place: the rest of a record whose start is not here, or of a file that was ended early. */
  #skipTo: number
  /** Whether that is what follows a file's early end: nothing, not even heads of pages. */
  #isEmpty = false
  #isFirstPage = true

  /** `from` is the start of a file of the log; the record before it begins at `previous`, if that is known. */
  constructor(from: number, segmentBytes: number, hear: (ended: Ended) => void, previous?: number) {
    if (from % segmentBytes !== 0) throw new RangeError("not the start of a file")
    this.#at = from
    this.#skipTo = from
    this.#end = from
    this.#within = from
    this.#segmentBytes = segmentBytes
    this.#hear = hear
    this.#previous = previous
  }

  /** Behind the last byte that was read. */
  get at(): number {
    return this.#at
  }

  /** Behind the last record that is whole. */
  get end(): number {
    return this.#end
  }

  /** Records that begin here or behind do not count for `within`. Default: all count. */
  limit = Number.POSITIVE_INFINITY
  #within: number

  /** Where a server goes on that has replayed every whole record before `limit`: the head of a page is not counted. */
  get within(): number {
    return this.behindHead(this.#within)
  }

  /** A place as a record's start: behind the head of a page where one begins there. */
  behindHead(lsn: number): number {
    return this.#pageBytes !== undefined && lsn % this.#pageBytes === 0 ? lsn + this.#longAt(lsn) : lsn
  }

  /** Where the last record that is whole begins; undefined before the first. */
  get last(): number | undefined {
    return this.#previous
  }

  #damaged(detail: string): LogDamage {
    return new LogDamage(`the log at ${lsnText(this.#at)}: ${detail}`)
  }

  /** @throws LogDamage */
  push(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length;) from += this.#take(bytes, from)
  }

  /** Consumes what belongs together; answers how many bytes. */
  #take(bytes: Uint8Array, from: number): number {
    const inPage = this.#pageBytes === undefined ? this.#at % this.#segmentBytes : this.#at % this.#pageBytes
    const isHead = this.#head.length > 0 ? this.#isPageHead : inPage === 0
    if (isHead && this.#head.length === 0) this.#isPageHead = true
    if (isHead) return this.#gather(bytes, from, this.#at - this.#head.length, this.#longAt(this.#at - this.#head.length), (head, at) => this.#page(head, at))
    const pageEnd = this.#at - inPage + (this.#pageBytes as number)
    const available = Math.min(bytes.length - from, pageEnd - this.#at)
    if (this.#at < this.#skipTo) {
      const skipped = Math.min(available, this.#skipTo - this.#at)
      this.#at += skipped
      return skipped
    }
    if (this.#record !== undefined) return this.#continue(this.#record, bytes, from, Math.min(available, this.#record.left))
    if (this.#head.length === 0 && this.#at % 8 !== 0) {
      const skipped = Math.min(available, aligned(this.#at) - this.#at)
      this.#at += skipped
      return skipped
    }
    return this.#gather(bytes, from, this.#at - this.#head.length, recordHeadBytes, (head, at) => this.#begin(head, at), available)
  }

  #longAt(at: number): number {
    return at % this.#segmentBytes === 0 ? longHeadBytes : pageHeadBytes
  }

  #gather(bytes: Uint8Array, from: number, at: number, wanted: number, whole: (head: Uint8Array, at: number) => void, available = bytes.length - from): number {
    const before = this.#isPageHead ? undefined : this.#cut
    const had = before === undefined ? this.#head : Buffer.concat([before.bytes, this.#head])
    const taken = Math.min(wanted - had.length, available)
    const head = Buffer.concat([had, bytes.subarray(from, from + taken)])
    this.#at += taken
    if (head.length < wanted) {
      this.#head = this.#isPageHead ? head : head.subarray(before?.bytes.length ?? 0)
      const isPageEnd = !this.#isPageHead && this.#at % (this.#pageBytes as number) === 0
      if (isPageEnd) {
        this.#cut = { bytes: head, from: before?.from ?? at }
        this.#head = new Uint8Array()
      }
      return taken
    }
    this.#head = new Uint8Array()
    if (!this.#isPageHead) this.#cut = undefined
    this.#isPageHead = false
    whole(head, before?.from ?? at)
    return taken
  }

  #page(bytes: Uint8Array, at: number): void {
    const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    const isSkipping = this.#skipTo > at
    if (isSkipping && this.#isEmpty) return
    if (head.length === longHeadBytes) {
      const [segmentBytes, pageBytes] = [head.readUInt32LE(32), head.readUInt32LE(36)]
      const isKnown = pageBytes >= 1_024 && pageBytes <= 65_536 && (pageBytes & (pageBytes - 1)) === 0
      if (segmentBytes !== this.#segmentBytes || !isKnown)
        throw this.#damaged("it is no log of a server with the order of bytes and the sizes that are known here")
      this.#pageBytes = pageBytes
    }
    if (Number(head.readBigUInt64LE(8)) !== at) throw this.#damaged("a page belongs to another place")
    const flags = head.readUInt16LE(2)
    const isInRecord = this.#record !== undefined || this.#cut !== undefined || isSkipping
    if (isInRecord && (flags & overwritesFlag) !== 0) {
      // After a crash the server gives up a record whose end it never had.
      this.#record = undefined
      this.#cut = undefined
      this.#skipTo = this.#at
    } else if (isInRecord !== ((flags & continuesFlag) !== 0) && !this.#isFirstPage) throw this.#damaged("a record does not go on where it should")
    // The rest of a record that began in the file before: its length says where it ends, over as many pages as that takes.
    if (this.#isFirstPage && (flags & continuesFlag) !== 0) {
      this.#skipTo = this.#behind(this.#at, head.readUInt32LE(16))
      this.#previous = undefined
    }
    this.#isFirstPage = false
  }

  /** Where `count` bytes of a record end that go on at `at`, with the heads of pages between. */
  #behind(at: number, count: number): number {
    const pageBytes = this.#pageBytes as number
    let place = at
    for (let left = count; ;) {
      const room = pageBytes - (place % pageBytes)
      if (left <= room) return place + left
      left -= room
      place += room
      place += this.#longAt(place)
    }
  }

  #begin(bytes: Uint8Array, from: number): void {
    const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    const [total, previous] = [head.readUInt32LE(0), Number(head.readBigUInt64LE(8))]
    if (total < recordHeadBytes || total > recordBytesMax) throw this.#damaged("what should be a record is none")
    if (this.#previous !== undefined && previous !== this.#previous)
      throw this.#damaged(`a record follows ${lsnText(previous)} and not ${lsnText(this.#previous)}`)
    const [info, manager] = [head[16] as number, head[17] as number]
    const isEnd = manager === ofTransactions && ends.has(info & 0x70)
    const record: Current = {
      from,
      bytes: total,
      previous,
      info,
      manager,
      crc: head.readUInt32LE(20),
      head: bytes,
      left: total - recordHeadBytes,
      sum: 0,
      kept: isEnd ? [] : undefined,
    }
    this.#record = record
    if (record.left === 0) this.#finish(record)
  }

  #continue(record: Current, bytes: Uint8Array, from: number, count: number): number {
    record.sum = crc32c(bytes, record.sum, from, from + count)
    // Subtransactions and dropped files may make it long, and come behind.
    if (record.kept !== undefined && record.bytes - record.left < keptBytesMax) record.kept.push(bytes.slice(from, from + count))
    record.left -= count
    this.#at += count
    if (record.left === 0) this.#finish(record)
    return count
  }

  #finish(record: Current): void {
    if (crc32c(record.head, record.sum, 0, 20) !== record.crc) throw this.#damaged("a record's checksum is another one")
    this.#record = undefined
    this.#previous = record.from
    this.#end = aligned(this.#at)
    if (record.manager === ofLog && (record.info & 0xf0) === switches) {
      // The rest of the file is empty.
      this.#skipTo = segmentStart(this.#at - 1, this.#segmentBytes) + this.#segmentBytes
      this.#isEmpty = true
      this.#end = this.#skipTo
    }
    if (record.from < this.limit) this.#within = this.#end
    if (record.kept === undefined) return
    const us = timeOf(Buffer.concat(record.kept))
    if (us === undefined) throw this.#damaged("the end of a transaction has no time")
    this.#hear({ from: record.from, to: this.#end, us, isCommit: commits.has(record.info & 0x70) })
  }
}

/** The first field of a transaction's end (`xl_xact_commit`, `xl_xact_abort`), behind what may come before a record's own data. */
function timeOf(body: Buffer): number | undefined {
  for (let at = 0; at < body.length;) {
    const id = body[at] as number
    // XLR_BLOCK_ID_TOPLEVEL_XID, _ORIGIN, _DATA_LONG, _DATA_SHORT; no end of a transaction refers to blocks.
    if (id === 252) at += 5
    else if (id === 253) at += 3
    else if (id !== 254 && id !== 255) return undefined
    else {
      const from = at + (id === 254 ? 5 : 2)
      return from + 8 > body.length ? undefined : Number(body.readBigInt64LE(from)) + epochUs
    }
  }
  return undefined
}
