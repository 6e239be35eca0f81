/**
 * `wasi:io` 0.2 in memory: error, poll and streams, for the streams and timers that other capabilities hand out.
 * Nothing here reaches outside: bytes come from what a granted capability put into a stream, and go to where it says.
 *
 * WIT: WASI 0.2.12 as shipped with jco 1.35 (`lib/wit/builtin/0.2.12/wasi-io`); 0.2.0 has the same functions.
 *
 * Timers wait (`host/capability/clock.ts`), never past the call's deadline: a wait that cannot end in time fails at once
 * instead of sleeping first. What the network brings is waited for by the waker of its port, until the deadline. A guest
 * that may wait is suspended meanwhile; any other blocks its thread. Everything else is there or never comes.
 */
import { CapabilityError } from "../../schemas/error/mod.ts"
import type { FileError } from "../port/file-system.ts"
import type { Awaitable } from "../port/mod.ts"
import type { Waker } from "../port/waker.ts"
import { borrow, func, list, own, primitive, resource, result, variant } from "../../schemas/wit/model.ts"
import type { CallContext, HostResource } from "./capability.ts"
import { PerInstance } from "./per-instance.ts"
import { after, clip, done, err, flow, hostInterface, ok, plainResource, type Result, serve, type Steps, wait } from "./serve.ts"

/** The newest WASI 0.2 served; a 0.2.x import of any x matches. */
export const wasiVersion = "0.2.12"

/** Rep of `wasi:io/error.error`: text for a human. */
export class IoError {
  readonly message: string
  /** What `filesystem-error-code` answers for it. */
  readonly fileError: FileError | undefined
  constructor(message: string, fileError?: FileError) {
    this.message = message
    this.fileError = fileError
  }
}

/** Why a stream operation failed: for good, or this once. */
export type StreamFailure = { readonly tag: "last-operation-failed"; readonly val: IoError } | { readonly tag: "closed" }
export const closed: StreamFailure = { tag: "closed" }
export const failed = (message: string, fileError?: FileError): StreamFailure => ({ tag: "last-operation-failed", val: new IoError(message, fileError) })

/** Rep of `pollable`. */
export interface Pollable {
  /** Milliseconds until it is ready, 0 when it is, `Infinity` when only its waker can tell; throws what a denied operation throws. */
  readyInMs(call: CallContext): number
  /** Who tells that it may be ready. Absent: a timer. */
  readonly waker?: Waker
}
/** What becomes ready by an event. */
export const pending = (waker: Waker, isReady: (call: CallContext) => boolean): Pollable => ({
  waker,
  readyInMs: (call) => (isReady(call) ? 0 : Number.POSITIVE_INFINITY),
})
const always: Pollable = { readyInMs: () => 0 }

/** Rep of `input-stream`. */
export interface InputStream {
  /** 1 to `countMax` bytes, or none for `countMax` 0 and while `ready` is not. The answer is the caller's. */
  read(call: CallContext, countMax: number): Result<Uint8Array, StreamFailure>
  /** Absent: always. */
  readonly ready?: Pollable
  drop?(call: CallContext): void
}

/** Rep of `output-stream`. */
export interface OutputStream {
  /** Bytes the next write may have, 1 to `chunkBytesMax`; 0 while `ready` is not. */
  permit(call: CallContext): Result<number, StreamFailure>
  /** Takes all of `bytes`, which it must copy if it keeps them. */
  write(call: CallContext, bytes: Uint8Array): Result<undefined, StreamFailure>
  flush(call: CallContext): Result<undefined, StreamFailure>
  /** Absent: always. */
  readonly ready?: Pollable
  drop?(call: CallContext): void
}

/** Bytes one read or write moves at most. */
export const chunkBytesMax = 256 << 10

/** Bytes that streams and blob values hold outside the guest's memory, for one plugin instance. */
export const heldBytesMax = 64 << 20

const held = new PerInstance<{ bytes: number }>()

/** Room left under `heldBytesMax`. */
export const holdable = (call: CallContext): number => heldBytesMax - (held.get(call)?.bytes ?? 0)

/** Counts bytes the host keeps for this instance (negative: lets go); throws `PortLimit` when they are too many. */
export function hold(call: CallContext, bytes: number): void {
  let entry = held.get(call)
  if (entry === undefined) held.set(call, (entry = { bytes: 0 }))
  if (bytes > 0 && entry.bytes + bytes > heldBytesMax)
    throw new CapabilityError("PortLimit", { port: "streams", limit: "heldBytesMax", unit: "bytes", max: heldBytesMax, actual: entry.bytes + bytes })
  entry.bytes = Math.max(0, entry.bytes + bytes)
}

/** An input stream over bytes already counted by `hold`; `guard` answers with a failure when its grant is gone. */
export function bytesInput(bytes: Uint8Array, guard: (call: CallContext) => StreamFailure | undefined): InputStream {
  let at = 0
  let isHeld = true
  return {
    read(call, countMax) {
      const failure = guard(call)
      if (failure !== undefined) return err(failure)
      if (at >= bytes.length) return err(closed)
      const chunk = bytes.slice(at, at + Math.min(countMax, chunkBytesMax))
      at += chunk.length
      return ok(chunk)
    },
    drop(call) {
      if (isHeld) hold(call, -bytes.length)
      isHeld = false
    },
  }
}

/** An output stream that takes everything and keeps nothing. */
export const discard: OutputStream = { permit: () => ok(chunkBytesMax), write: () => done, flush: () => done }

/** How much earlier than asked a wait may come back in all: rounding of the clock, seen up to 1 ms. */
const earlyMsMax = 10

/** How long a thread sleeps at once where events of two ports are waited for: each is asked in turn. */
const turnMs = 2

const soonest = (call: CallContext, pollables: ReadonlyArray<Pollable>): number =>
  pollables.reduce((ms, pollable) => Math.min(ms, pollable.readyInMs(call)), Number.POSITIVE_INFINITY)

const tooLong = (ms: number, leftMs: number): string => `it would take ${Math.ceil(ms)} ms and the call has ${Math.floor(leftMs)} ms left`

const refusal =
  (importName: string) =>
  (detail: string): never => {
    throw new CapabilityError("Wait", { import: importName, detail })
  }

/** After a wait: one that ends late ends the call, and not with what has gone wrong by then because the call's time was over. */
function inTime(call: CallContext): void {
  if (call.remainingMs() <= 0) throw call.expired()
}

/** Until one is ready: a promise where the guest may wait for it, else `blockFor`. */
export function waitFor(call: CallContext, pollables: ReadonlyArray<Pollable>, importName: string): Awaitable<void> {
  if (!call.mayWait() || (call.ports.monotonicClock.sleep === undefined && pollables.every(({ waker }) => waker === undefined)))
    return blockFor(call, pollables, importName)
  const ms = soonest(call, pollables)
  return ms <= 0 ? undefined : suspended(call, pollables, ms, refusal(importName))
}

/** Blocks until one is ready, within the port's longest wait and the call's deadline; otherwise throws `Wait` without blocking. */
export function blockFor(call: CallContext, pollables: ReadonlyArray<Pollable>, importName: string): void {
  const refuse = refusal(importName)
  const clock = call.ports.monotonicClock
  let hasWaited = false
  for (let waitedMs = 0; ; hasWaited = true) {
    let ms = Number.POSITIVE_INFINITY
    const wakers = new Set<Waker>()
    for (const pollable of pollables) {
      ms = Math.min(ms, pollable.readyInMs(call))
      if (pollable.waker !== undefined) wakers.add(pollable.waker)
    }
    if (ms <= 0) return hasWaited ? inTime(call) : undefined
    if (clock.wait === undefined) return refuse("this thread cannot block")
    if (call.signal?.aborted === true) return refuse("the signal of the call is aborted")
    const remainingMs = call.remainingMs()
    if (wakers.size > 0) {
      // An event may come at any time, so there is no knowing that it comes too late.
      if (remainingMs <= 0) throw call.expired()
      for (const waker of wakers) {
        if (waker.wait === undefined) return refuse("this thread cannot block")
        waker.wait(Math.min(ms, remainingMs, wakers.size === 1 ? Number.POSITIVE_INFINITY : turnMs))
      }
      continue
    }
    if (ms > remainingMs) return refuse(tooLong(ms, remainingMs))
    if (ms > (waitedMs === 0 ? clock.waitMsMax : clock.waitMsMax + earlyMsMax - waitedMs))
      return refuse(`it would take ${Math.ceil(ms)} ms and the longest wait is ${clock.waitMsMax} ms`)
    clock.wait(ms)
    // A clock that stands still must not keep the thread for ever.
    waitedMs += ms
  }
}

/** Wakes in a row that told of something else, after which the event loop gets a turn: a waker that always wakes must not keep it. */
const wakesMax = 16

/** The deadline and the signal of the call end it from outside; here only what can be known beforehand is refused. */
async function suspended(call: CallContext, pollables: ReadonlyArray<Pollable>, firstMs: number, refuse: (detail: string) => never): Promise<void> {
  const ended = call.ended()
  const { sleep } = call.ports.monotonicClock
  for (let [ms, wakened] = [firstMs, 0]; ms > 0 && !ended.aborted; ms = soonest(call, pollables)) {
    if (++wakened % wakesMax === 0) await new Promise((turn) => setTimeout(turn, 1))
    const wakes = [...new Set(pollables.flatMap(({ waker }) => waker ?? []))].map((waker) => waker.changed())
    const leftMs = call.remainingMs()
    if (wakes.length === 0 && ms > leftMs) return refuse(tooLong(ms, leftMs))
    if (sleep === undefined || ms === Number.POSITIVE_INFINITY) {
      await Promise.race(wakes)
      continue
    }
    const sleeping = new AbortController()
    const stop = (): void => sleeping.abort()
    ended.addEventListener("abort", stop)
    try {
      await Promise.race([...wakes, sleep(ms, sleeping.signal)])
    } finally {
      stop()
      ended.removeEventListener("abort", stop)
    }
  }
  if (!ended.aborted) inTime(call)
}

const errorType = resource("error")
const pollableType = resource("pollable")
const inputType = resource("input-stream")
const outputType = resource("output-stream")
export const streamErrorType = variant({ "last-operation-failed": own(errorType), closed: undefined })

export const errorResource: HostResource = plainResource(errorType)
export const pollableResource: HostResource = plainResource(pollableType)
export const inputResource: HostResource = { type: inputType, drop: (call, rep) => (rep as InputStream).drop?.(call) }
export const outputResource: HostResource = { type: outputType, drop: (call, rep) => (rep as OutputStream).drop?.(call) }

const { bool, string, u8, u32, u64 } = primitive
const bytes = list(u8)
const count = result(u64, streamErrorType)
const nothing = result(undefined, streamErrorType)
const input = { self: borrow(inputType) }
const output = { self: borrow(outputType) }

const streams = "wasi:io/streams"
/** Waits until the stream can go on; what goes wrong with it is told by the operation that follows. */
const settle = (call: CallContext, ready: Pollable | undefined): Steps<void> => wait(ready === undefined ? undefined : waitFor(call, [ready], streams))

function read(call: CallContext, self: InputStream, len: bigint): Result<Uint8Array, StreamFailure> {
  return self.read(call, clip(len, chunkBytesMax))
}

function skip(call: CallContext, self: InputStream, len: bigint): Result<bigint, StreamFailure> {
  const answer = self.read(call, clip(len, chunkBytesMax))
  return answer.tag === "ok" ? ok(BigInt(answer.val.length)) : answer
}

const blocking = <A>(operation: (call: CallContext, self: InputStream, length: bigint) => A) =>
  flow(function* (call, self: InputStream, length: bigint): Steps<A> {
    // Of a stream that is read nobody waits for nothing.
    if (length !== 0n) yield* settle(call, self.ready)
    return operation(call, self, length)
  })

/** A write above the permit breaks the stream's contract, which traps ("Calling `write` with more bytes than this function has permitted will trap"). */
function permitted(call: CallContext, self: OutputStream, length: number): Result<number, StreamFailure> {
  const permit = self.permit(call)
  if (permit.tag === "ok" && length > permit.val)
    throw new CapabilityError("PortLimit", { port: "streams", limit: "check-write", unit: "bytes", max: permit.val, actual: length })
  return permit
}

function write(call: CallContext, self: OutputStream, contents: Uint8Array): Result<undefined, StreamFailure> {
  const permit = permitted(call, self, contents.length)
  return permit.tag === "ok" ? self.write(call, contents) : permit
}

/** Writes in parts, each as large as is permitted when its turn comes. */
function* writeAndFlush(call: CallContext, self: OutputStream, contents: Uint8Array): Steps<Result<undefined, StreamFailure>> {
  for (let at = 0; self.ready !== undefined && at < contents.length;) {
    yield* settle(call, self.ready)
    const permit = self.permit(call)
    if (permit.tag === "err") return permit
    const written = self.write(call, contents.subarray(at, at + permit.val))
    if (written.tag === "err") return written
    at += permit.val
  }
  const written = self.ready === undefined ? write(call, self, contents) : done
  return written.tag === "ok" ? self.flush(call) : written
}

function zeroes(call: CallContext, self: OutputStream, len: bigint): Result<undefined, StreamFailure> {
  const length = clip(len, Number.MAX_SAFE_INTEGER)
  const permit = permitted(call, self, length)
  return permit.tag === "ok" ? self.write(call, new Uint8Array(length)) : permit
}

/** "A convenience combining check-write, write-zeroes and flush, for at most 4096 zeroes" (wasi-io). */
function* zeroesAndFlush(call: CallContext, self: OutputStream, len: bigint): Steps<Result<undefined, StreamFailure>> {
  if (self.ready !== undefined) return yield* writeAndFlush(call, self, new Uint8Array(clip(len, chunkBytesMax)))
  const written = zeroes(call, self, len)
  return written.tag === "ok" ? self.flush(call) : written
}

function splice(call: CallContext, self: OutputStream, src: InputStream, len: bigint): Result<bigint, StreamFailure> {
  const permit = self.permit(call)
  if (permit.tag === "err") return permit
  const chunk = src.read(call, Math.min(clip(len, chunkBytesMax), permit.val))
  if (chunk.tag === "err") return chunk
  const written = self.write(call, chunk.val)
  return written.tag === "ok" ? ok(BigInt(chunk.val.length)) : written
}

function* blockingSplice(call: CallContext, self: OutputStream, src: InputStream, len: bigint): Steps<Result<bigint, StreamFailure>> {
  if (len !== 0n) {
    yield* settle(call, self.ready)
    yield* settle(call, src.ready)
  }
  return splice(call, self, src, len)
}

export const ioInterfaces = [
  hostInterface("wasi:io/error", wasiVersion, {
    resources: { error: errorResource },
    functions: {
      "[method]error.to-debug-string": serve(func({ self: borrow(errorType) }, string), (_call, self: IoError) => self.message),
    },
  }),
  hostInterface("wasi:io/poll", wasiVersion, {
    resources: { pollable: pollableResource },
    functions: {
      "[method]pollable.ready": serve(func({ self: borrow(pollableType) }, bool), (call, self: Pollable) => self.readyInMs(call) <= 0),
      "[method]pollable.block": serve(func({ self: borrow(pollableType) }), (call, self: Pollable) => waitFor(call, [self], "wasi:io/poll"), "sink"),
      poll: serve(
        func({ in: list(borrow(pollableType)) }, list(u32)),
        (call, pollables: ReadonlyArray<Pollable>) => {
          // "This function traps if either: the list is empty" (wasi-io, `poll`).
          if (pollables.length === 0) throw new CapabilityError("Wait", { import: "wasi:io/poll", detail: "the list of pollables is empty" })
          return after(waitFor(call, pollables, "wasi:io/poll"), () => {
            const ready: Array<number> = []
            for (let i = 0; i < pollables.length; i++) if ((pollables[i] as Pollable).readyInMs(call) <= 0) ready.push(i)
            return Uint32Array.from(ready)
          })
        },
        "sink",
      ),
    },
  }),
  hostInterface("wasi:io/streams", wasiVersion, {
    resources: { error: errorResource, pollable: pollableResource, "input-stream": inputResource, "output-stream": outputResource },
    types: { "stream-error": streamErrorType },
    functions: {
      "[method]input-stream.read": serve(func({ ...input, len: u64 }, result(bytes, streamErrorType)), read),
      "[method]input-stream.blocking-read": serve(func({ ...input, len: u64 }, result(bytes, streamErrorType)), blocking(read), "sink"),
      "[method]input-stream.skip": serve(func({ ...input, len: u64 }, count), skip),
      "[method]input-stream.blocking-skip": serve(func({ ...input, len: u64 }, count), blocking(skip), "sink"),
      "[method]input-stream.subscribe": serve(func(input, own(pollableType)), (_call, self: InputStream) => self.ready ?? always),
      "[method]output-stream.check-write": serve(func(output, count), (call, self: OutputStream) => {
        const permit = self.permit(call)
        return permit.tag === "ok" ? ok(BigInt(permit.val)) : permit
      }),
      "[method]output-stream.write": serve(func({ ...output, contents: bytes }, nothing), write),
      "[method]output-stream.blocking-write-and-flush": serve(func({ ...output, contents: bytes }, nothing), flow(writeAndFlush), "sink"),
      "[method]output-stream.flush": serve(func(output, nothing), (call, self: OutputStream) => self.flush(call)),
      "[method]output-stream.blocking-flush": serve(func(output, nothing), (call, self: OutputStream) => self.flush(call)),
      "[method]output-stream.subscribe": serve(func(output, own(pollableType)), (_call, self: OutputStream) => self.ready ?? always),
      "[method]output-stream.write-zeroes": serve(func({ ...output, len: u64 }, nothing), zeroes),
      "[method]output-stream.blocking-write-zeroes-and-flush": serve(func({ ...output, len: u64 }, nothing), flow(zeroesAndFlush), "sink"),
      "[method]output-stream.splice": serve(func({ ...output, src: borrow(inputType), len: u64 }, count), splice),
      "[method]output-stream.blocking-splice": serve(func({ ...output, src: borrow(inputType), len: u64 }, count), flow(blockingSplice), "sink"),
    },
  }),
]
