/**
 * What runs the engine `node-wasi`, as text: so it starts from a checkout, a bundle and a single-file binary alike. The program is
 * one; where a request comes from, where its answer goes, and who stands in for the calls that touch streams is told before it.
 */

const program = String.raw`
const { WASI } = require("node:wasi")
const denied = { wall: 0, monotonic: 0, random: 0 }
let memory

/** Never returns: what the guest left running ends here. */
function answer(tag, rest = Buffer.alloc(0)) {
  const body = Buffer.alloc(20)
  body.writeUInt8(tag, 0)
  body.writeUInt32LE(memory === undefined ? 0 : memory.buffer.byteLength / 65536, 4)
  body.writeUInt32LE(denied.wall, 8)
  body.writeUInt32LE(denied.monotonic, 12)
  body.writeUInt32LE(denied.random, 16)
  send(Buffer.concat([body, rest]))
}
const text = (error) => Buffer.from(String(error instanceof Error ? error.message : error)).subarray(0, 4096)

function exit(status) {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(status >>> 0, 0)
  answer(1, bytes)
}

try {
  const module = new WebAssembly.Module(bytes)
  const wanted = WebAssembly.Module.imports(module).map((one) => one.module)
  const version = wanted.includes("wasi_unstable") ? "unstable" : "preview1"
  const preopens = Object.fromEntries(request.directories.map(({ guest, host }) => [guest, host]))
  const wasi = new WASI({ version, args: request.args, env: Object.fromEntries(request.env), preopens, ...descriptors })
  const [name, functions] = Object.entries(wasi.getImportObject())[0]
  stopping.closes = functions.fd_close
  const notcapable = 76
  const served = { ...functions, ...standing(functions, version), proc_exit: exit, proc_raise: () => 58 }
  served.clock_time_get = (id, precision, at) => {
    if (id > 1) return 28
    const clock = id === 0 ? "wall" : "monotonic"
    if (!request[clock]) {
      denied[clock]++
      return notcapable
    }
    const error = functions.clock_time_get(id, precision, at)
    if (error === 0 && id === 1 && !request.fine) {
      const view = new DataView(memory.buffer)
      const now = view.getBigUint64(at >>> 0, true)
      view.setBigUint64(at >>> 0, now - (now % 100000n), true)
    }
    return error
  }
  served.clock_res_get = (id, at) => (id > 1 ? 28 : functions.clock_res_get(id, at))
  if (!request.random)
    served.random_get = () => {
      denied.random++
      return notcapable
    }
  if (!request.monotonic)
    served.poll_oneoff = () => {
      denied.monotonic++
      return notcapable
    }
  const imports = { [name]: served }
  if (request.caps !== undefined) {
    const budget = (value) => new WebAssembly.Global({ value: "i32", mutable: true }, value)
    const { module, memory, pages, elements, epoch, tick, stack } = request.caps
    imports[module] = {
      ...(epoch ? { epoch: stopping.epoch } : {}),
      ...(tick ? { tick: () => (stopping.isStopped() ? 1 : 0) } : {}),
      ...(stack === undefined ? {} : { stack: budget(stack) }),
      ...(memory === undefined ? {} : { memory: new WebAssembly.Memory({ initial: memory.min, maximum: memory.max }) }),
      ...(pages === undefined ? {} : { pages: budget(pages) }),
      ...(elements === undefined ? {} : { elements: budget(elements) }),
    }
  }
  let instance
  try {
    instance = new WebAssembly.Instance(module, imports)
  } catch (error) {
    answer(error instanceof WebAssembly.RuntimeError ? 2 : 4, text(error))
  }
  memory = instance.exports.memory
  try {
    if (request.export === "_start") {
      wasi.start(instance)
      answer(0)
    }
    wasi.initialize(instance)
    const args = request.arguments.map((value, i) => (request.params[i] === "i64" ? BigInt(value) : Number(value)))
    const value = instance.exports[request.export](...args)
    const rest = Buffer.alloc(8)
    if (request.result === "i32") rest.writeInt32LE(value, 0)
    else if (request.result === "i64") rest.writeBigInt64LE(value, 0)
    else if (request.result === "f32") rest.writeFloatLE(value, 0)
    else if (request.result === "f64") rest.writeDoubleLE(value, 0)
    answer(0, rest)
  } catch (error) {
    if (stopping.isStopped()) answer(3)
    answer(2, text(error))
  }
} catch (error) {
  answer(4, text(error))
}
`

/** A process of its own (`node --eval`): the guest's standard streams are its own; descriptor 3 is the channel of `program.ts`. */
export const processProgram = String.raw`
const fs = require("node:fs")
function readExactly(length) {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; ) {
    const count = fs.readSync(3, bytes, at, length - at, null)
    if (count === 0) process.exit(1)
    at += count
  }
  return bytes
}

function send(body) {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(body.length, 0)
  const bytes = Buffer.concat([length, body])
  for (let at = 0; at < bytes.length; ) at += fs.writeSync(3, bytes, at)
  process.exit(0)
}
const descriptors = {}
const standing = () => ({})
// It is killed.
const stopping = { isStopped: () => false }

const lengths = readExactly(8)
const request = JSON.parse(readExactly(lengths.readUInt32LE(0)).toString())
const bytes = readExactly(lengths.readUInt32LE(4))
// Nobody waits any more when the channel's other end is gone: a thread minds it, since the guest has this one.
new (require("node:worker_threads").Worker)(
  'new (require("node:net").Socket)({ fd: 3 }).on("close", () => process.kill(process.pid, "SIGKILL")).resume()',
  { eval: true, env: {} },
).unref()
`.concat(program)

/**
 * A thread (a worker's text): the guest's standard streams are messages, and nothing that waits waits in the engine, where no
 * end of the thread would reach it. So `poll_oneoff` and what touches the streams stand here, and what is opened is first looked at:
 * opening a pipe waits for its other end.
 */
export const threadProgram = String.raw`
const fs = require("node:fs")
const { parentPort, receiveMessageOnPort, workerData } = require("node:worker_threads")
const { request, module: bytes, port, epoch, stdin, bytesMax } = workerData
// The guest's checks test bit 0 of the first cell; the second counts what wakes a wait.
const wake = new Int32Array(epoch.buffer)
const stopping = { epoch, isStopped: () => (Atomics.load(wake, 0) & 1) === 1 }
/** Closes what the guest has open: node:wasi closes nothing by itself. */
function send(body) {
  if (stopping.closes !== undefined) for (let fd = 3, absent = 0; absent < 1024; fd++) absent = stopping.closes(fd) === 0 ? 0 : absent + 1
  parentPort.postMessage({ answer: body })
  process.exit(0)
}
/** Sleeps until something comes, the time is over, or it is stopped: then it ends here. */
function sleep(ms) {
  if (!stopping.isStopped()) Atomics.wait(wake, 1, heard, ms)
  heard = Atomics.load(wake, 1)
  if (stopping.isStopped()) answer(3)
}

// Whatever else touches a stream finds the null device in its place.
const nothing = require("node:os").devNull
const descriptors = { stdin: fs.openSync(nothing, "r"), stdout: fs.openSync(nothing, "w"), stderr: fs.openSync(nothing, "w") }

/** Input that has come and was not read; undefined at its end. */
let input = stdin
let isAsked = false
let heard = 0
let written = 0

/** Takes what has come, after at most so many milliseconds; what is there already is not asked for. */
function listen(ms) {
  if (input === undefined || input.length > 0) return
  if (!isAsked) {
    isAsked = true
    parentPort.postMessage({ pull: true })
  }
  if (ms > 0) sleep(ms)
  const message = receiveMessageOnPort(port)
  if (message === undefined) return
  isAsked = false
  input = message.message.bytes
}

function standing(functions, version) {
  const inval = 28, notsup = 58
  const view = () => new DataView(memory.buffer)
  /** Streams that are still the guest's own and not closed, or replaced by a file. */
  const own = new Set([0, 1, 2])
  /** The parts of memory that a list of buffers names; undefined where it is not in memory. */
  const buffers = (at, count) => {
    const parts = []
    if (count > 1024) return undefined
    for (let i = 0; i < count; i++) {
      const [start, length] = [view().getUint32(at + 8 * i, true), view().getUint32(at + 8 * i + 4, true)]
      if (start + length > memory.buffer.byteLength) return undefined
      parts.push(new Uint8Array(memory.buffer, start, length))
    }
    return parts
  }
  const guarded = (act) => (...args) => {
    if (memory === undefined) return inval
    try {
      return act(...args)
    } catch (error) {
      // An address outside of the memory.
      if (error instanceof RangeError) return inval
      throw error
    }
  }
  /** Asks for something that is written into memory, and puts back what was there. */
  const asking = (act) => {
    const at = memory.buffer.byteLength - 64
    if (at < 0) return { error: inval }
    const borrowed = new Uint8Array(memory.buffer, at, 64)
    const kept = borrowed.slice()
    const error = act(at)
    const bytes = borrowed.slice()
    borrowed.set(kept)
    return { error, bytes }
  }
  const layout = version === "unstable" ? { size: 56, clock: 24 } : { size: 48, clock: 16 }
  const filetypeAt = 16
  return {
    fd_read: guarded((fd, at, count, read) => {
      if (fd !== 0 || !own.has(0)) return functions.fd_read(fd, at, count, read)
      const parts = buffers(at >>> 0, count >>> 0)
      if (parts === undefined) return inval
      let moved = 0
      if (parts.some((part) => part.length > 0)) while (input !== undefined && input.length === 0) listen(1e9)
      for (const part of parts) {
        if (input === undefined || input.length === 0) break
        const some = input.subarray(0, part.length)
        part.set(some)
        moved += some.length
        input = input.subarray(some.length)
      }
      view().setUint32(read >>> 0, moved, true)
      return 0
    }),
    fd_write: guarded((fd, at, count, wrote) => {
      if ((fd !== 1 && fd !== 2) || !own.has(fd)) return functions.fd_write(fd, at, count, wrote)
      const parts = buffers(at >>> 0, count >>> 0)
      if (parts === undefined) return inval
      const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
      let moved = 0
      for (const part of parts) {
        all.set(part, moved)
        moved += part.length
      }
      view().setUint32(wrote >>> 0, moved, true)
      written += moved
      // Who writes more than it may is ended there; nothing piles up until then.
      if (moved > 0 && written - moved <= bytesMax) parentPort.postMessage({ to: fd, bytes: all }, [all.buffer])
      return 0
    }),
    fd_close: (fd) => {
      const error = functions.fd_close(fd)
      if (error === 0) own.delete(fd)
      return error
    },
    fd_renumber: (from, to) => {
      // A stream cannot be had under another number: it is no descriptor.
      if (from <= 2 && own.has(from)) return from === to ? 0 : notsup
      const error = functions.fd_renumber(from, to)
      if (error === 0) own.delete(to)
      return error
    },
    path_open: guarded((fd, dirflags, path, length, oflags, base, inheriting, fdflags, opened) => {
      const { error: found, bytes: stat } = asking((at) => functions.path_filestat_get(fd, dirflags, path, length, at))
      if (stat === undefined) return inval
      const type = stat[filetypeAt]
      // 3 directory, 4 regular file, 7 link; what is not there may be made.
      if (found === 0 && type !== 3 && type !== 4 && type !== 7) return notsup
      return functions.path_open(fd, dirflags, path, length, oflags, base, inheriting, fdflags, opened)
    }),
    poll_oneoff: guarded((from, to, count, ready) => {
      const [subscriptions, events, wanted] = [from >>> 0, to >>> 0, count >>> 0]
      if (wanted === 0 || wanted > 4096) return inval
      const clocks = [() => BigInt(Date.now()) * 1000000n, () => process.hrtime.bigint()]
      const all = []
      for (let i = 0; i < wanted; i++) {
        const at = subscriptions + i * layout.size
        const type = view().getUint8(at + 8)
        const one = { userdata: view().getBigUint64(at, true), type, error: 0, left: () => 0n, bytes: () => 0 }
        if (type === 0) {
          const id = view().getUint32(at + layout.clock, true)
          const timeout = view().getBigUint64(at + layout.clock + 8, true)
          const isAbsolute = (view().getUint16(at + layout.clock + 24, true) & 1) !== 0
          if (id > 1) one.error = inval
          else {
            const due = isAbsolute ? timeout : clocks[id]() + timeout
            one.left = () => due - clocks[id]()
          }
        } else if (type > 2) one.error = inval
        else {
          const fd = view().getUint32(at + 16, true)
          if (fd === 0 && type === 1 && own.has(0)) {
            one.left = () => (input !== undefined && input.length === 0 ? 1n << 62n : 0n)
            one.bytes = () => (input === undefined ? 0 : input.length)
            listen(0)
          } else one.error = asking((at) => functions.fd_fdstat_get(fd, at)).error
        }
        all.push(one)
      }
      for (;;) {
        const left = all.reduce((least, one) => (one.left() < least ? one.left() : least), 1n << 62n)
        if (left <= 0n) break
        const ms = Math.min(1e9, Number(left) / 1e6)
        if (all.some((one) => one.type === 1)) listen(ms)
        else sleep(ms)
      }
      let written = 0
      for (const one of all) {
        if (one.left() > 0n) continue
        const at = events + written++ * 32
        new Uint8Array(memory.buffer, at, 32).fill(0)
        view().setBigUint64(at, one.userdata, true)
        view().setUint16(at + 8, one.error, true)
        view().setUint8(at + 10, one.type)
        if (one.type === 1) view().setBigUint64(at + 16, BigInt(one.bytes()), true)
      }
      view().setUint32(ready >>> 0, written, true)
      return 0
    }),
  }
}
`.concat(program)
