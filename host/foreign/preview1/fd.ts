/** `fd_*`: what is done with something that is open. */
import { charge, checkRange } from "../../abi/memory.ts"
import { type AbiContext, refreshViews } from "../../abi/context.ts"
import type { CallContext } from "../../capability/capability.ts"
import type { FileTimes } from "../../port/file-system.ts"
import type { Awaitable } from "../../port/mod.ts"
import { after, settled } from "../../capability/serve.ts"
import * as files from "../../wasi/descriptor.ts"
import { type Descriptor, descriptorOf, descriptorsOf, Directory, fdflag, File, Input, Output, type Stat } from "./descriptor.ts"
import { expect, refuse, right } from "./errno.ts"
import { type Iovec, clear, gather, lengthOf, readBuffers, scatter, unsigned, unsigned64, writeBytes, writeU16, writeU32, writeU64, writeU8 } from "./memory.ts"
import { type Functions, serve, type Snapshot } from "./serve.ts"

/** A regular file with these rights; what a stream and a directory answer instead. */
function fileOf(call: CallContext, fd: number, rights: number, ofStream: "spipe" | "inval" = "spipe"): File {
  const descriptor = descriptorOf(call, fd)
  if (descriptor instanceof Directory) refuse("isdir")
  if (!(descriptor instanceof File)) return refuse(ofStream)
  descriptor.need(rights)
  return descriptor
}

/** An offset or size that files can have: every position is a whole number here. */
export function offsetOf(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) refuse("inval")
  return Number(value)
}

/** What there is of standard input, put into the buffers; 0 bytes at its end. */
const readInput = (call: CallContext, cx: AbiContext, input: Input, buffers: ReadonlyArray<Iovec>): Awaitable<number> =>
  after(input.read(call, lengthOf(buffers)), (answer) => {
    if (answer.tag === "err") return answer.val.tag === "closed" ? 0 : refuse("io")
    // The guest's memory may have been looked at long ago.
    refreshViews(cx)
    scatter(cx, buffers, answer.val)
    return answer.val.length
  })

function readFile(call: CallContext, cx: AbiContext, file: File, buffers: ReadonlyArray<Iovec>, from: number): number {
  let done = 0
  for (const { at, length } of buffers) {
    // Into the guest's memory itself: nothing lies between.
    const count = expect(files.read(call, file.file, cx.u8.subarray(at, at + length), BigInt(from + done)))
    cx.budget.bytesIn += count
    done += count
    if (count < length) break
  }
  return done
}

/** What the stream takes of the bytes, at least one of any. */
function writeOutput(call: CallContext, output: Output, bytes: Uint8Array): number {
  const stream = output.stream(call)
  const permit = stream.permit(call)
  if (permit.tag === "err") return refuse(permit.val.tag === "closed" ? "pipe" : "io")
  const part = bytes.subarray(0, permit.val)
  const written = stream.write(call, part)
  if (written.tag === "err") refuse(written.val.tag === "closed" ? "pipe" : "io")
  return part.length
}

function write(call: CallContext, cx: AbiContext, fd: number, buffers: ReadonlyArray<Iovec>): number {
  const descriptor = descriptorOf(call, fd)
  if (descriptor instanceof Directory) refuse("isdir")
  descriptor.need(right.fdWrite)
  const bytes = gather(cx, buffers)
  if (descriptor instanceof Output) return writeOutput(call, descriptor, bytes)
  const file = fileOf(call, fd, right.fdWrite)
  if (bytes.length === 0) return 0
  const written = file.write(call, bytes, file.position)
  file.position = (file.flags & fdflag.append) === 0 ? file.position + written : Number(file.stat(call).size)
  return written
}

function read(call: CallContext, cx: AbiContext, fd: number, buffers: ReadonlyArray<Iovec>): Awaitable<number> {
  const descriptor = descriptorOf(call, fd)
  if (descriptor instanceof Directory) refuse("isdir")
  descriptor.need(right.fdRead)
  if (buffers.length === 0) return 0
  if (descriptor instanceof Input) return readInput(call, cx, descriptor, buffers)
  const file = fileOf(call, fd, right.fdRead)
  const done = readFile(call, cx, file, buffers, file.position)
  file.position += done
  return done
}

/** Where a `filestat` has its fields: the older snapshot counts links in 32 bits. */
const statLayouts = {
  wasi_snapshot_preview1: { bytes: 64, links: 24, size: 32 },
  wasi_unstable: { bytes: 56, links: 20, size: 24 },
} as const

export function writeStat(cx: AbiContext, at: number, snapshot: Snapshot, stat: Stat): void {
  const { bytes, links, size } = statLayouts[snapshot]
  clear(cx, at, bytes)
  writeU64(cx, at, stat.device)
  writeU64(cx, at + 8, stat.inode)
  writeU8(cx, at + 16, stat.type)
  if (snapshot === "wasi_unstable") writeU32(cx, at + links, Number(BigInt.asUintN(32, stat.links)))
  else writeU64(cx, at + links, stat.links)
  for (const [i, value] of [stat.size, stat.accessedNs, stat.modifiedNs, stat.changedNs].entries()) writeU64(cx, at + size + i * 8, value)
}

/** witx `fstflags`. */
const fstflag = { atim: 1, atimNow: 2, mtim: 4, mtimNow: 8 } as const

/** What `*_filestat_set_times` asks for. The present time needs no grant: writing to the file would set it, too. */
export function timesOf(call: CallContext, accessed: bigint, modified: bigint, flags: number): FileTimes {
  const both = (one: number, other: number): boolean => (flags & one) !== 0 && (flags & other) !== 0
  if (flags > 15 || both(fstflag.atim, fstflag.atimNow) || both(fstflag.mtim, fstflag.mtimNow)) refuse("inval")
  const present = (): bigint => settled(call.ports.wallClock.nowNs(), "filestat_set_times")
  const of = (given: number, now: number, value: bigint): bigint | undefined => ((flags & given) !== 0 ? value : (flags & now) !== 0 ? present() : undefined)
  const [accessedNs, modifiedNs] = [of(fstflag.atim, fstflag.atimNow, accessed), of(fstflag.mtim, fstflag.mtimNow, modified)]
  return { ...(accessedNs === undefined ? {} : { accessedNs }), ...(modifiedNs === undefined ? {} : { modifiedNs }) }
}

/** witx `whence`, in the order of each snapshot. */
const whences = { wasi_snapshot_preview1: ["set", "cur", "end"], wasi_unstable: ["cur", "end", "set"] } as const

function seek(call: CallContext, fd: number, by: bigint, from: "set" | "cur" | "end" | undefined): number {
  // To be told where one stands is the lesser right.
  const file = fileOf(call, fd, from === "cur" && by === 0n ? right.fdTell : right.fdSeek)
  if (from === undefined) return refuse("inval")
  const to = by + (from === "set" ? 0n : from === "cur" ? BigInt(file.position) : file.stat(call).size)
  if (to < 0n) refuse("inval")
  return (file.position = offsetOf(to))
}

const direntBytes = 24

/** Fills the buffer with entries from number `cookie` on; the last may be cut, which tells the program to ask again from it on. */
function readDirectory(call: CallContext, cx: AbiContext, directory: Directory, at: number, length: number, cookie: bigint): number {
  checkRange(cx, at, length, 1)
  let used = 0
  const count = (): void => {
    charge(cx, direntBytes)
    cx.budget.checkStop()
  }
  for (let index = offsetOf(cookie); used < length; index++) {
    const entry = directory.entry(call, index, count)
    if (entry === undefined) break
    count()
    const bytes = new Uint8Array(direntBytes + entry.name.length)
    const view = new DataView(bytes.buffer)
    view.setBigUint64(0, BigInt(index + 1), true)
    view.setBigUint64(8, entry.inode, true)
    view.setUint32(16, entry.name.length, true)
    view.setUint8(20, entry.type)
    bytes.set(entry.name, direntBytes)
    const part = bytes.subarray(0, length - used)
    writeBytes(cx, at + used, part)
    used += part.length
  }
  return used
}

/** A directory that the program was started with; on anything else `badf`, which is how libcs know that there are no more. */
function preopenOf(call: CallContext, fd: number): Uint8Array {
  return descriptorOf(call, fd).preopen ?? refuse("badf")
}

const knownFlags = fdflag.append | fdflag.dsync | fdflag.nonblock | fdflag.rsync | fdflag.sync

function setFlags(descriptor: Descriptor, flags: number): void {
  descriptor.need(right.fdFdstatSetFlags)
  if ((flags & ~knownFlags) !== 0) refuse("inval")
  // What is written goes to the disk at once or not from the opening on, as with `fcntl`.
  if (((flags ^ descriptor.flags) & (fdflag.dsync | fdflag.rsync | fdflag.sync)) !== 0) refuse("notsup")
  descriptor.flags = flags
}

function setRights(descriptor: Descriptor, base: bigint, inheriting: bigint): void {
  const wider = (asked: bigint, has: number): boolean => (asked & ~BigInt(has >>> 0)) !== 0n
  if (wider(base, descriptor.base) || wider(inheriting, descriptor.inheriting)) refuse("notcapable")
  descriptor.base = Number(base)
  descriptor.inheriting = Number(inheriting)
}

export const fdFunctions = (snapshot: Snapshot): Functions => ({
  fd_advise: serve("iIIi", (call, _cx, [fd, , , advice]) => {
    fileOf(call, unsigned(fd), right.fdAdvise)
    if (unsigned(advice) > 5) refuse("inval")
  }),
  fd_allocate: serve("iII", (call, _cx, [fd, offset, length]) => {
    const file = fileOf(call, unsigned(fd), right.fdAllocate)
    const [from, count] = [unsigned64(offset), unsigned64(length)]
    if (count === 0n) refuse("inval")
    const end = offsetOf(from + count)
    if (file.stat(call).size < BigInt(end)) expect(files.setSize(call, file.file, BigInt(end)))
  }),
  fd_close: serve("i", (call, _cx, [fd]) => {
    const closed = descriptorOf(call, unsigned(fd))
    descriptorsOf(call).set(unsigned(fd), undefined)
    closed.close(call)
  }),
  fd_datasync: serve("i", (call, _cx, [fd]) => sync(call, descriptorOf(call, unsigned(fd), right.fdDatasync), true)),
  fd_fdstat_get: serve("ii", (call, cx, [fd, to]) => {
    const descriptor = descriptorOf(call, unsigned(fd))
    const at = unsigned(to)
    clear(cx, at, 24)
    writeU8(cx, at, descriptor.filetype)
    writeU16(cx, at + 2, descriptor.flags)
    writeU32(cx, at + 8, descriptor.base)
    writeU32(cx, at + 16, descriptor.inheriting)
  }),
  fd_fdstat_set_flags: serve("ii", (call, _cx, [fd, flags]) => setFlags(descriptorOf(call, unsigned(fd)), unsigned(flags))),
  fd_fdstat_set_rights: serve("iII", (call, _cx, [fd, base, inheriting]) =>
    setRights(descriptorOf(call, unsigned(fd)), unsigned64(base), unsigned64(inheriting)),
  ),
  fd_filestat_get: serve("ii", (call, cx, [fd, to]) => writeStat(cx, unsigned(to), snapshot, descriptorOf(call, unsigned(fd), right.fdFilestatGet).stat(call))),
  fd_filestat_set_size: serve("iI", (call, _cx, [fd, size]) => {
    const { file } = fileOf(call, unsigned(fd), right.fdFilestatSetSize, "inval")
    expect(files.setSize(call, file, unsigned64(size)))
  }),
  fd_filestat_set_times: serve("iIIi", (call, _cx, [fd, accessed, modified, flags]) => {
    const descriptor = descriptorOf(call, unsigned(fd), right.fdFilestatSetTimes)
    const times = timesOf(call, unsigned64(accessed), unsigned64(modified), unsigned(flags))
    if (descriptor instanceof File) expect(files.setTimes(call, descriptor.file, times))
    else if (descriptor instanceof Directory) expect(files.setTimes(call, descriptor.directory, times))
  }),
  fd_pread: serve("iiiIi", (call, cx, [fd, iovs, count, offset, to]) => {
    const file = fileOf(call, unsigned(fd), right.fdRead | right.fdSeek)
    writeU32(cx, unsigned(to), readFile(call, cx, file, readBuffers(cx, unsigned(iovs), unsigned(count)), offsetOf(unsigned64(offset))))
  }),
  fd_prestat_get: serve("ii", (call, cx, [fd, to]) => {
    const name = preopenOf(call, unsigned(fd))
    const at = unsigned(to)
    clear(cx, at, 8)
    writeU32(cx, at + 4, name.length)
  }),
  fd_prestat_dir_name: serve("iii", (call, cx, [fd, to, length]) => {
    const name = preopenOf(call, unsigned(fd))
    if (unsigned(length) < name.length) refuse("nametoolong")
    writeBytes(cx, unsigned(to), name)
  }),
  fd_pwrite: serve("iiiIi", (call, cx, [fd, iovs, count, offset, to]) => {
    const file = fileOf(call, unsigned(fd), right.fdWrite | right.fdSeek)
    const bytes = gather(cx, readBuffers(cx, unsigned(iovs), unsigned(count)))
    const at = offsetOf(unsigned64(offset))
    writeU32(cx, unsigned(to), bytes.length === 0 ? 0 : file.write(call, bytes, at))
  }),
  fd_read: serve(
    "iiii",
    (call, cx, [fd, iovs, count, to]) => {
      // Known to be writable before anything is taken from a stream that gives it once.
      writeU32(cx, unsigned(to), 0)
      return after(read(call, cx, unsigned(fd), readBuffers(cx, unsigned(iovs), unsigned(count))), (done) => writeU32(cx, unsigned(to), done))
    },
    undefined,
    true,
  ),
  fd_readdir: serve("iiiIi", (call, cx, [fd, at, length, cookie, to]) => {
    const directory = descriptorOf(call, unsigned(fd))
    if (!(directory instanceof Directory)) return refuse("notdir")
    directory.need(right.fdReaddir)
    writeU32(cx, unsigned(to), readDirectory(call, cx, directory, unsigned(at), unsigned(length), unsigned64(cookie)))
  }),
  fd_renumber: serve("ii", (call, _cx, [from, to]) => {
    const [source, target] = [unsigned(from), unsigned(to)]
    const table = descriptorsOf(call)
    const moved = table.get(source) ?? refuse("badf")
    const replaced = table.get(target) ?? refuse("badf")
    if (source === target) return
    table.set(source, undefined)
    table.set(target, moved)
    replaced.close(call)
  }),
  fd_seek: serve("iIii", (call, cx, [fd, by, from, to]) =>
    writeU64(cx, unsigned(to), BigInt(seek(call, unsigned(fd), by as bigint, whences[snapshot][unsigned(from)]))),
  ),
  fd_sync: serve("i", (call, _cx, [fd]) => sync(call, descriptorOf(call, unsigned(fd), right.fdSync), false)),
  fd_tell: serve("ii", (call, cx, [fd, to]) => writeU64(cx, unsigned(to), BigInt(seek(call, unsigned(fd), 0n, "cur")))),
  fd_write: serve("iiii", (call, cx, [fd, iovs, count, to]) => {
    writeU32(cx, unsigned(to), 0)
    writeU32(cx, unsigned(to), write(call, cx, unsigned(fd), readBuffers(cx, unsigned(iovs), unsigned(count))))
  }),
})

function sync(call: CallContext, descriptor: Descriptor, isDataOnly: boolean): void {
  if (descriptor instanceof File) expect(files.sync(call, descriptor.file, isDataOnly))
  else if (descriptor instanceof Directory) expect(files.sync(call, descriptor.directory, isDataOnly))
  else if (descriptor instanceof Output) descriptor.stream(call).flush(call)
}
