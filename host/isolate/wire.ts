/**
 * How values cross to a guest in another thread or process, and back. The bytes of a message are laid out as the canonical
 * ABI lays a value out in a memory: the message is that memory, and what a string or list needs is taken from its end. So
 * there is one codec, that of `host/abi`: closures made from the type once, and a reader that is total on any bytes, checks
 * every pointer, length, discriminant and string, and charges what it reads before it reads it.
 *
 * A message begins with 64 bytes of numbers (`Header`); its value, if it has one, stands behind them.
 */
import { WitError } from "../../schemas/error/wit.ts"
import { layoutOf } from "../../schemas/wit/layout.ts"
import type { FunctionType, TupleType, ValueType } from "../../schemas/wit/model.ts"
import { loadOf, storeOf } from "../abi/codec.ts"
import { type AbiContext, attachMemory, type CallBudget, createContext, type HandleTable } from "../abi/context.ts"
import { charge, checkRange } from "../abi/memory.ts"
import { typed } from "../abi/mismatch.ts"

/** The numbers of a message; which of them mean what is a kind's own. */
export interface Header {
  kind: number
  a: number
  b: number
  c: number
  x: number
  y: number
  u: number
  v: number
  z: bigint
}

export const headerBytes = 64
/** Word of the header that a channel without lengths of its own puts the message's into. */
export const lengthWord = 14

/** Bytes of a message that came, and how many there are. */
export interface Incoming {
  readonly buffer: ArrayBufferLike
  readonly length: number
}

/** Memory for a message of `length` bytes: views of every width fit it. */
export const messageBuffer = (length: number): ArrayBuffer => new ArrayBuffer(Math.ceil(length / 8) * 8)

const memoryOf = (buffer: ArrayBufferLike): WebAssembly.Memory => ({ buffer }) as unknown as WebAssembly.Memory

const unlimited: CallBudget = {
  liftBytesMax: Infinity,
  outputBytesMax: Infinity,
  hostCallBytesMax: Infinity,
  streamBytesMax: Infinity,
  liftBytesLeft: Infinity,
  scopeBytesLeft: Infinity,
  scope: "outputBytesMax",
  bytesIn: 0,
  bytesOut: 0,
  checkStop() {},
  fail(error) {
    throw error
  },
}

const anyInstance = { mayLeave: true, isTouched: false }

/** Parameters of a function as one value. */
const tuples = new WeakMap<FunctionType, TupleType>()
export function paramsType(type: FunctionType): TupleType {
  let tuple = tuples.get(type)
  if (tuple === undefined) tuples.set(type, (tuple = { kind: "tuple", types: type.params.map((param) => param.type) }))
  return tuple
}

/** Private buffers above this size are let go of after their message. */
const keptBytesMax = 4 << 20
const firstBytes = 4 << 10

/** For values without handles. */
export const noHandles = {
  own: () => 0,
  takeOwn: () => undefined,
  lend: () => undefined,
  borrow: () => 0,
  beginScope: () => undefined,
  endScope: () => undefined,
}

/**
 * Writes one message after another. Into `home`, memory that both sides see, as long as the message fits; else, or without
 * one, into a buffer of its own that grows.
 */
export class Encoder {
  readonly #cx: AbiContext
  readonly #home: SharedArrayBuffer | undefined
  readonly #memory: { buffer: ArrayBufferLike }
  readonly #realloc: (old: number, oldSize: number, align: number, size: number) => number
  #own: ArrayBuffer | undefined
  #end = headerBytes
  /** The longest message. */
  readonly #bytesMax: number
  readonly #tooLong: () => Error

  /** `tooLong` makes the error of a message above `bytesMax`. */
  constructor(handles: HandleTable, home: SharedArrayBuffer | undefined, bytesMax: number, tooLong: () => Error) {
    this.#home = home
    this.#bytesMax = bytesMax
    this.#tooLong = tooLong
    this.#memory = { buffer: home ?? (this.#own = new ArrayBuffer(firstBytes)) }
    this.#realloc = (_old, _oldSize, align, size) => {
      const at = Math.ceil(this.#end / align) * align
      this.#reserve(at + size)
      this.#end = at + size
      return at
    }
    this.#cx = createContext({ memory: memoryOf(this.#memory.buffer), realloc: this.#realloc, budget: unlimited, handles, instance: anyInstance })
  }

  /** Begins a message: whatever the last one was has been sent or is given up. */
  begin(header: Partial<Header> & { readonly kind: number }): void {
    this.#end = headerBytes
    const start = this.#home ?? (this.#own !== undefined && this.#own.byteLength <= keptBytesMax ? this.#own : (this.#own = new ArrayBuffer(firstBytes)))
    if (start !== this.#memory.buffer) this.#use(start)
    const { i32, f64, i64 } = this.#cx
    i32[0] = header.kind
    i32[1] = header.a ?? 0
    i32[2] = header.b ?? 0
    i32[3] = header.c ?? 0
    f64[2] = header.x ?? 0
    f64[3] = header.y ?? 0
    f64[4] = header.u ?? 0
    f64[5] = header.v ?? 0
    i64[6] = header.z ?? 0n
    i64[7] = 0n
  }

  /** Puts the message's value behind its numbers. A value that has not this type is a `WitError` with a path from `root`. */
  value(type: ValueType, value: unknown, root: string): void {
    const { size } = layoutOf(type)
    this.#reserve(headerBytes + size)
    this.#end = headerBytes + size
    try {
      storeOf(type, "utf8")(this.#cx, value, headerBytes)
    } catch (error) {
      throw typed(error, root)
    }
  }

  /** A function's arguments; their number is checked too. */
  args(type: FunctionType, args: ReadonlyArray<unknown>, name: string): void {
    if (args.length !== type.params.length) throw new WitError("ArgumentCount", { export: name, expected: type.params.length, actual: args.length })
    const tuple = paramsType(type)
    const { size } = layoutOf(tuple)
    this.#reserve(headerBytes + size)
    this.#end = headerBytes + size
    // An array that says another length when it is read again: the tuple is made of what it said once.
    const copied = type.params.map((_, i) => args[i])
    try {
      storeOf(tuple, "utf8")(this.#cx, copied, headerBytes)
    } catch (error) {
      throw typed(error, "args")
    }
  }

  /** Does the message lie in the memory that both sides see? */
  get isHome(): boolean {
    return this.#memory.buffer === this.#home
  }

  get length(): number {
    return this.#end
  }

  /** The message; valid until the next one begins. */
  get bytes(): Uint8Array {
    return this.#cx.u8.subarray(0, this.#end)
  }

  /** The message with its length in it, for a channel of bytes. */
  get framed(): Uint8Array {
    this.#cx.i32[lengthWord] = this.#end
    return this.bytes
  }

  /** Takes over the value of a message that another encoder wrote. */
  copy(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#cx.u8.set(bytes.subarray(headerBytes), headerBytes)
    this.#end = bytes.length
  }

  #reserve(end: number): void {
    const { length } = this.#cx.u8
    if (end <= length) return
    if (end > this.#bytesMax) throw this.#tooLong()
    const larger = messageBuffer(Math.max(end, Math.min(length * 2, this.#bytesMax)))
    new Uint8Array(larger).set(this.#cx.u8.subarray(0, this.#end))
    this.#own = larger
    this.#use(larger)
  }

  #use(buffer: ArrayBufferLike): void {
    this.#memory.buffer = buffer
    attachMemory(this.#cx, memoryOf(buffer), this.#realloc)
  }
}

/** What a reader may read: bytes as `outputBytesMax` counts them, and the name of the limit. */
export interface ReadLimit {
  readonly name: "outputBytesMax" | "hostCallBytesMax"
  readonly bytes: number
}

/**
 * A string of the guest has at most twice its bytes as UTF-8 (Latin-1), so a value that the isolate could lift under a limit
 * is below twice that limit here.
 */
export const crossing = (limit: number): number => limit * 2 + 65_536

/** Reads messages. Total: whatever the bytes are it answers with a value of the type, or throws `AbiTrap` or `LimitError`. */
export class Decoder {
  readonly #cx: AbiContext
  readonly #budget: { -readonly [K in keyof CallBudget]: CallBudget[K] }
  readonly #memory: { buffer: ArrayBufferLike | undefined } = { buffer: undefined }

  constructor(handles: HandleTable) {
    this.#budget = { ...unlimited }
    this.#cx = createContext({ memory: undefined, realloc: undefined, budget: this.#budget, handles, instance: anyInstance })
  }

  /** The numbers of a message, which is at least as long as they are. */
  header({ buffer }: Incoming): Header {
    this.#use(buffer)
    const { i32, f64, i64 } = this.#cx
    const int = (at: number): number => i32[at] as number
    return {
      kind: int(0),
      a: int(1),
      b: int(2),
      c: int(3),
      x: f64[2] as number,
      y: f64[3] as number,
      u: f64[4] as number,
      v: f64[5] as number,
      z: i64[6] as bigint,
    }
  }

  value(type: ValueType, { buffer }: Incoming, limit: ReadLimit | undefined): unknown {
    this.#use(buffer)
    const cx = this.#cx
    const budget = this.#budget
    budget.bytesOut = 0
    const max = limit === undefined ? Infinity : crossing(limit.bytes)
    budget.liftBytesMax = budget.outputBytesMax = budget.hostCallBytesMax = budget.liftBytesLeft = budget.scopeBytesLeft = max
    budget.scope = limit?.name ?? "outputBytesMax"
    const { size, align } = layoutOf(type)
    checkRange(cx, headerBytes, size, align)
    charge(cx, size)
    return loadOf(type, "utf8")(cx, headerBytes)
  }

  #use(buffer: ArrayBufferLike): void {
    if (this.#memory.buffer === buffer) return
    this.#memory.buffer = buffer
    attachMemory(this.#cx, memoryOf(buffer), undefined)
  }
}
