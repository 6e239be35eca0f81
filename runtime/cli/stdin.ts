/**
 * Standard input as a guest on this thread can wait for it: a thread reads, and the guest takes what is there. A read of the
 * system's own would hold this thread past any deadline. The thread starts when the guest first asks, so most never do.
 */
import { fstatSync, readSync } from "node:fs"
import { isatty } from "node:tty"
import { Worker } from "node:worker_threads"

const ringBytes = 1 << 16
/** Words of the control block: bytes put in, bytes taken out, and whether the input has ended. */
const put = 0
const taken = 1
const ended = 2

/**
 * The thread's program, as text: it starts alike from a checkout, a bundle and a single-file binary. Node's own reads in
 * the thread pool keep a process from ending, so there streams read; Bun has no streams over a descriptor in threads.
 */
const source = String.raw`
const { workerData: { control, ring, isTerminal, isNode } } = require("node:worker_threads")
const counts = new Int32Array(control)
const bytes = new Uint8Array(ring)
const end = () => { Atomics.store(counts, 2, 1); Atomics.notify(counts, 0) }
function give(chunk, next) {
  const used = (Atomics.load(counts, 0) - Atomics.load(counts, 1)) >>> 0
  const part = chunk.subarray(0, bytes.length - used)
  const at = (Atomics.load(counts, 0) >>> 0) % bytes.length
  const first = part.subarray(0, bytes.length - at)
  bytes.set(first, at)
  bytes.set(part.subarray(first.length), 0)
  Atomics.add(counts, 0, part.length)
  Atomics.notify(counts, 0)
  if (part.length === chunk.length) next()
  else setTimeout(() => give(chunk.subarray(part.length), next), 2)
}
if (isNode) {
  const stream = isTerminal ? new (require("node:tty").ReadStream)(0) : new (require("node:net").Socket)({ fd: 0, readable: true, writable: false })
  stream.on("data", (chunk) => { stream.pause(); give(chunk, () => stream.resume()) })
  stream.on("end", end)
  stream.on("error", end)
} else {
  const fs = require("node:fs")
  const buffer = new Uint8Array(bytes.length)
  const read = () => fs.read(0, buffer, 0, buffer.length, null, (error, count) => (error || count === 0 ? end() : give(buffer.subarray(0, count), read)))
  read()
}
`

/** The next bytes of standard input: none where there are none yet, undefined at its end. */
export type Pull = (bytesMax: number) => Uint8Array | undefined

/** A file gives what it has at once; it needs no thread. */
function fileInput(): Pull {
  return (bytesMax) => {
    const bytes = new Uint8Array(Math.min(bytesMax, ringBytes))
    const count = readSync(0, bytes, 0, bytes.length, null)
    return count === 0 ? undefined : bytes.subarray(0, count)
  }
}

function threadInput(): Pull {
  const control = new SharedArrayBuffer(12)
  const ring = new SharedArrayBuffer(ringBytes)
  const counts = new Int32Array(control)
  const bytes = new Uint8Array(ring)
  const { bun, deno } = process.versions
  const isNode = bun === undefined && deno === undefined
  const thread = new Worker(source, { eval: true, env: {}, execArgv: [], workerData: { control, ring, isTerminal: isatty(0), isNode } })
  thread.unref()
  thread.on("error", () => Atomics.store(counts, ended, 1))
  return (bytesMax) => {
    const isEnded = Atomics.load(counts, ended) === 1
    const from = Atomics.load(counts, taken) >>> 0
    const there = ((Atomics.load(counts, put) >>> 0) - from) >>> 0
    if (there === 0) return isEnded ? undefined : new Uint8Array(0)
    const at = from % ringBytes
    // Up to the ring's end: the rest is the next read's.
    const part = bytes.slice(at, Math.min(at + Math.min(there, bytesMax), ringBytes))
    Atomics.add(counts, taken, part.length)
    return part
  }
}

/** Standard input for a guest. A closed one is at its end. */
export function standardInput(): Pull {
  let pull: Pull | undefined
  return (bytesMax) => {
    try {
      pull ??= isFile() ? fileInput() : threadInput()
    } catch {
      // Closed before the program began.
      pull = () => undefined
    }
    return pull(bytesMax)
  }
}

function isFile(): boolean {
  const stat = fstatSync(0)
  return stat.isFile() || (stat.isCharacterDevice() && !isatty(0))
}
