/**
 * Standard streams of a program, for WASI 0.2 and preview 1 alike: what `wasi` in the options says, and for output that
 * nobody takes the plugin's log.
 */
import { PluginError } from "../../schemas/error/plugin.ts"
import type { CallContext } from "../capability/capability.ts"
import { PerInstance } from "../capability/per-instance.ts"
import { chunkBytesMax, closed, type InputStream, type OutputStream, pending, type Pollable, type StreamFailure } from "../capability/io.ts"
import { writeLog } from "../capability/log.ts"
import { done, err, ok, type Result } from "../capability/serve.ts"
import type { MonotonicClockPort } from "../port/mod.ts"
import type { PullBytes, Wasi } from "./given.ts"

/** Bytes of one line of output kept until its newline comes; longer lines become several records. */
export const lineBytesMax = 4_096

/** Standard output and error of one instance: bytes are gathered to lines, each line one log record. */
class LineLog implements OutputStream {
  readonly #name: "stdout" | "stderr"
  readonly #line = new Uint8Array(lineBytesMax)
  #length = 0

  constructor(name: "stdout" | "stderr") {
    this.#name = name
  }

  permit() {
    return ok(chunkBytesMax)
  }

  write(call: CallContext, bytes: Uint8Array) {
    // Asked again at every write: a revoked grant silences an open stream, and no byte waits for a later grant.
    if (call.grants.match("log", "") === undefined) this.#length = 0
    else
      for (let at = 0; at < bytes.length;) {
        const newline = bytes.indexOf(10, at)
        const end = Math.min(newline === -1 ? bytes.length : newline, at + lineBytesMax - this.#length)
        this.#line.set(bytes.subarray(at, end), this.#length)
        this.#length += end - at
        at = end
        if (at === newline) {
          at++
          this.#emit(call, true)
        } else if (this.#length === lineBytesMax) this.#emit(call, false)
      }
    return done
  }

  /** A flush is no end of line: programs flush after every fragment. */
  flush() {
    return done
  }

  drop(call: CallContext): void {
    if (this.#length > 0) this.#emit(call, false)
  }

  #emit(call: CallContext, isLine: boolean): void {
    const grant = call.grants.match("log", "")
    // An overlong line is cut between characters: the bytes of an unfinished one stay for the next record.
    const end = isLine || this.#length < lineBytesMax ? this.#length : characterEnd(this.#line)
    if (grant !== undefined) {
      const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.#line.subarray(0, end))
      writeLog(call, grant, this.#name === "stdout" ? "info" : "error", this.#name, isLine && text.endsWith("\r") ? text.slice(0, -1) : text)
    }
    this.#line.copyWithin(0, end, this.#length)
    this.#length -= end
  }
}

/** Where the last complete UTF-8 sequence of a full buffer ends; malformed bytes count as complete. */
function characterEnd(bytes: Uint8Array): number {
  for (let back = 1; back <= 3; back++) {
    const byte = bytes[bytes.length - back] as number
    if (byte < 0x80) break
    if (byte >= 0xc0) return back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? bytes.length - back : bytes.length
  }
  return bytes.length
}

/** Output that the embedder takes: each piece as it is written. */
class Sink implements OutputStream {
  readonly #take: (bytes: Uint8Array) => void

  constructor(take: (bytes: Uint8Array) => void) {
    this.#take = take
  }

  permit() {
    return ok(chunkBytesMax)
  }

  write(_call: CallContext, bytes: Uint8Array) {
    if (bytes.length > 0) this.#take(Uint8Array.from(bytes))
    return done
  }

  flush() {
    return done
  }
}

const lines = new PerInstance<Record<"stdout" | "stderr", LineLog>>()

/** One buffer per instance and stream, however often the guest asks for it. */
export function output(call: CallContext, name: "stdout" | "stderr"): OutputStream {
  const take = call.wasi[name]
  if (take !== undefined) return new Sink(take)
  let entry = lines.get(call)
  if (entry === undefined) lines.set(call, (entry = { stdout: new LineLog("stdout"), stderr: new LineLog("stderr") }))
  return entry[name]
}

/** How long a wait sleeps before it asks the source again, ms: first, and at most. */
const napMs = { first: 1, most: 20 }

/** Standard input of one instance: what was pulled and not yet read. */
class Stdin implements InputStream {
  readonly source: Wasi["stdin"]
  #rest: Uint8Array
  #isEnded: boolean
  #napMs = napMs.first
  readonly ready: Pollable

  constructor(source: Wasi["stdin"], clock: MonotonicClockPort) {
    this.source = source
    this.#rest = source instanceof Uint8Array ? source : new Uint8Array(0)
    this.#isEnded = typeof source !== "function"
    const { wait } = clock
    const nap = (mostMs: number): number => {
      const ms = Math.min(this.#napMs, mostMs)
      this.#napMs = Math.min(this.#napMs * 2, napMs.most)
      return ms
    }
    // Nobody tells when a source has bytes: it is asked again and again, and the deadline ends the call.
    this.ready = pending(
      {
        ...(wait === undefined ? {} : { wait: (ms) => wait(nap(ms)) }),
        changed: () => new Promise((resolve) => setTimeout(resolve, nap(Infinity))),
      },
      () => this.#isReady(chunkBytesMax),
    )
  }

  /** Are there bytes, or will none come? Asks the source where it has to. */
  #isReady(countMax: number): boolean {
    if (this.#rest.length === 0 && !this.#isEnded) {
      const pulled = (this.source as PullBytes)(countMax)
      if (pulled === undefined) this.#isEnded = true
      else if (pulled instanceof Uint8Array) this.#rest = Uint8Array.from(pulled)
      else throw new TypeError("wasi.stdin gave neither bytes nor undefined")
    }
    const isReady = this.#rest.length > 0 || this.#isEnded
    if (isReady) this.#napMs = napMs.first
    return isReady
  }

  read(_call: CallContext, countMax: number): Result<Uint8Array, StreamFailure> {
    if (countMax === 0) return ok(new Uint8Array(0))
    const most = Math.min(countMax, chunkBytesMax)
    if (!this.#isReady(most)) return ok(new Uint8Array(0))
    if (this.#rest.length === 0) return err(closed)
    const chunk = this.#rest.slice(0, most)
    this.#rest = this.#rest.subarray(chunk.length)
    return ok(chunk)
  }
}

const inputs = new PerInstance<Stdin>()

/** One place in the input per instance; another one when a call brings another input. */
export function stdin(call: CallContext): Stdin {
  let entry = inputs.get(call)
  if (entry === undefined || entry.source !== call.wasi.stdin) inputs.set(call, (entry = new Stdin(call.wasi.stdin, call.ports.monotonicClock)))
  return entry
}

/** The program ends itself. */
export function exit(status: number): never {
  throw new PluginError("Exit", { status })
}
