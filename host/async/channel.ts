/**
 * Streams and futures between two ends: a read and a write that meet copy from one to the other, nothing is kept in
 * between. CanonicalABI.md "Buffer State", "Stream State", "Future State".
 */
import { loadOf, type Store, storeOf } from "../abi/codec.ts"
import { type AbiContext, AbiTrap, checkWords, refreshViews, type StringEncoding } from "../abi/context.ts"
import { liftListOf } from "../abi/list.ts"
import { checkRange } from "../abi/memory.ts"
import { beginScope } from "../abi/bind.ts"
import { layoutOf } from "../../schemas/wit/layout.ts"
import { typedArrayOf } from "../../schemas/value/form.ts"
import { type FutureType, list, type StreamType, type ValueType } from "../../schemas/wit/model.ts"
import { carriedOf } from "../../schemas/wit/tree.ts"
import { Waitable } from "./waitable.ts"

/** `CopyResult`. */
export const copied = { completed: 0, dropped: 1, cancelled: 2 } as const
export type Copied = (typeof copied)[keyof typeof copied]

/** `Buffer.MAX_LENGTH`. */
const lengthMax = 2 ** 28 - 1

/** Values on their way: a typed array where a list of them is one, else an array; undefined where they carry nothing. */
export type Chunk = ArrayLike<unknown> | undefined

/** A place that values are copied to or from. */
export interface Region {
  readonly length: number
  /** How many more it takes or has. */
  readonly remain: number
}
export interface Source extends Region {
  take(count: number): Chunk
}
export interface Sink extends Region {
  put(chunk: Chunk, count: number): void
  /** Told when what it waits for fails; absent: the call fails. */
  fail?(error: unknown): void
}

/** Told of a copy; `reclaim` ends the operation so that no more is copied. */
export type OnCopy = (reclaim: () => void) => void
export type OnDone = (result: Copied) => void

/** What can be read: a channel, or something of the host's that behaves like one. */
export interface Readable {
  readonly type: StreamType | FutureType
  read(by: object | undefined, sink: Sink, onCopy: OnCopy, onDone: OnDone): void
  cancel(): void
  drop(): void
}

/** How a type's values are moved to and from memory; made once for each type and encoding. */
interface Mover {
  readonly size: number
  readonly align: number
  readonly take: (cx: AbiContext, at: number, count: number) => Chunk
  readonly put: (cx: AbiContext, at: number, chunk: Chunk, count: number) => void
}

const movers = new WeakMap<ValueType, Map<StringEncoding, Mover>>()

export function moverOf(type: ValueType, encoding: StringEncoding): Mover {
  let known = movers.get(type)
  if (known === undefined) movers.set(type, (known = new Map()))
  let mover = known.get(encoding)
  if (mover === undefined) known.set(encoding, (mover = makeMover(type, encoding)))
  return mover
}

function makeMover(type: ValueType, encoding: StringEncoding): Mover {
  const { size, align } = layoutOf(type)
  const lift = liftListOf(list(type), () => loadOf(type, encoding))
  const store: Store = storeOf(type, encoding)
  const isBytes = type.kind === "u8"
  return {
    size,
    align,
    take: (cx, at, count) => lift(cx, at, count) as Chunk,
    put: (cx, at, chunk, count) => {
      const values = chunk as ArrayLike<unknown>
      cx.budget.bytesIn += count * size
      if (isBytes && values instanceof Uint8Array) return cx.u8.set(values, at)
      for (let i = 0; i < count; i++) {
        if ((i & (checkWords - 1)) === 0) cx.budget.checkStop()
        store(cx, values[i], at + i * size)
      }
    },
  }
}

/** Part of a guest's memory that it lends to a read or write. */
export class GuestBuffer implements Source, Sink {
  readonly #cx: AbiContext
  readonly #mover: Mover | undefined
  readonly #at: number
  readonly length: number
  progress = 0

  constructor(cx: AbiContext, element: ValueType | undefined, encoding: StringEncoding, at: number, length: number) {
    if (length > lengthMax) throw new AbiTrap(`a buffer of ${length} elements is longer than ${lengthMax}`)
    this.#cx = cx
    this.#at = at
    this.length = length
    this.#mover = element === undefined ? undefined : moverOf(element, encoding)
    if (this.#mover === undefined || length === 0) return
    refreshViews(cx)
    checkRange(cx, at, length * this.#mover.size, this.#mover.align)
  }

  get remain(): number {
    return this.length - this.progress
  }

  take(count: number): Chunk {
    const { budget } = this.#cx
    const at = this.#at + this.progress * (this.#mover?.size ?? 0)
    this.progress += count
    if (this.#mover === undefined) return undefined
    refreshViews(this.#cx)
    // Pieces are limited one by one: a stream may be longer than anything that is lifted at once.
    const { liftBytesLeft } = budget
    beginScope(this.#cx, "streamBytesMax")
    budget.liftBytesLeft = budget.streamBytesMax
    const chunk = this.#mover.take(this.#cx, at, count)
    budget.liftBytesLeft = liftBytesLeft
    return chunk
  }

  put(chunk: Chunk, count: number): void {
    const at = this.#at + this.progress * (this.#mover?.size ?? 0)
    this.progress += count
    if (this.#mover === undefined) return
    refreshViews(this.#cx)
    this.#mover.put(this.#cx, at, chunk, count)
  }
}

/** Elements that one piece may have: what they hold besides, strings and lists, is limited when it is lifted. */
export function pieceOf(type: StreamType | FutureType, streamBytesMax: number): number {
  if (type.kind === "future") return 1
  const { element } = type
  if (element === undefined) return lengthMax
  if (typedArrayOf(element) === undefined) return 16
  return Math.max(1, Math.min(65_536, Math.floor(streamBytesMax / layoutOf(element).size)))
}

interface Pending {
  readonly by: object | undefined
  readonly buffer: Source & Sink
  readonly isRead: boolean
  readonly onCopy: OnCopy
  readonly onDone: OnDone
}

/** Both ends of a stream or future that a guest made. */
export class Channel implements Readable {
  readonly type: StreamType | FutureType
  /** Copies run with it: whoever moves values decides for whom they are lifted. */
  readonly #copy: (body: () => void, isToHost: boolean) => void
  readonly #piece: number
  #pending: Pending | undefined
  #isDropped = false

  /** One end is gone: reading it touches no guest. */
  get isDropped(): boolean {
    return this.#isDropped
  }

  constructor(type: StreamType | FutureType, piece: number, copy: (body: () => void, isToHost: boolean) => void) {
    this.type = type
    this.#piece = piece
    this.#copy = copy
  }

  read(by: object | undefined, sink: Sink, onCopy: OnCopy, onDone: OnDone): void {
    this.#meet({ by, buffer: sink as Source & Sink, isRead: true, onCopy, onDone })
  }

  write(by: object | undefined, source: Source, onCopy: OnCopy, onDone: OnDone): void {
    this.#meet({ by, buffer: source as Source & Sink, isRead: false, onCopy, onDone })
  }

  #meet(mine: Pending): void {
    const other = this.#pending
    if (this.#isDropped) return mine.onDone(copied.dropped)
    if (other === undefined) {
      this.#pending = mine
      return
    }
    if (mine.by !== undefined && mine.by === other.by && carriedOf(this.type) !== undefined)
      throw new AbiTrap(`a ${this.type.kind} is read and written by one component instance`)
    const [source, sink] = mine.isRead ? [other.buffer, mine.buffer] : [mine.buffer, other.buffer]
    const reader = mine.isRead ? mine : other
    if (other.buffer.remain > 0) {
      const count = Math.min(source.remain, sink.remain)
      if (count > 0) {
        this.#copy(() => this.#move(source, sink, count), reader.by === undefined)
        if (this.type.kind === "future") this.#settle(copied.completed)
        else other.onCopy(() => this.#reclaim(other))
      }
      return mine.onDone(copied.completed)
    }
    // Zero-length operations ask for readiness: of two of them the write is done and the read goes on waiting.
    if (!mine.isRead && mine.buffer.length === 0 && other.buffer.length === 0) return mine.onDone(copied.completed)
    this.#settle(copied.completed)
    this.#pending = mine
  }

  #move(source: Source, sink: Sink, count: number): void {
    for (let left = count; left > 0;) {
      const now = Math.min(left, this.#piece)
      sink.put(source.take(now), now)
      left -= now
    }
  }

  #reclaim(pending: Pending): void {
    if (this.#pending === pending) this.#pending = undefined
  }

  #settle(result: Copied): void {
    const pending = this.#pending as Pending
    this.#pending = undefined
    pending.onDone(result)
  }

  cancel(): void {
    if (this.#pending !== undefined) this.#settle(copied.cancelled)
  }

  drop(): void {
    if (this.#isDropped) return
    this.#isDropped = true
    if (this.#pending !== undefined) this.#settle(copied.dropped)
  }
}

/** `CopyState`. */
export type CopyState = "idle" | "sync" | "async" | "done"

/** A readable or writable end in a component instance's table. */
export class End extends Waitable {
  readonly readable: Readable
  /** The channel, of a writable end. */
  readonly writable: Channel | undefined
  state: CopyState = "idle"

  constructor(readable: Readable, writable: Channel | undefined) {
    super()
    this.readable = readable
    this.writable = writable
  }

  get type(): StreamType | FutureType {
    return this.readable.type
  }
}
