/** What a program has open: its standard streams, the directories it was given, and what it opened below them. */
import type { CallContext } from "../../capability/capability.ts"
import { PerInstance } from "../../capability/per-instance.ts"
import { type InputStream, type OutputStream, type Pollable, waitFor } from "../../capability/io.ts"
import { output, stdin } from "../../wasi/stdio.ts"
import { after } from "../../capability/serve.ts"
import type { FileKind, FileStat } from "../../port/file-system.ts"
import type { Awaitable } from "../../port/mod.ts"
import * as files from "../../wasi/descriptor.ts"
import { directoryRights, errno, everyRight, expect, fileRights, Refusal, refuse, right } from "./errno.ts"

/** witx `filetype`. */
export const filetype = { unknown: 0, blockDevice: 1, characterDevice: 2, directory: 3, regularFile: 4, socketStream: 6, symbolicLink: 7 } as const

/** witx `fdflags`. */
export const fdflag = { append: 1, dsync: 2, nonblock: 4, rsync: 8, sync: 16 } as const

/** What `filestat` tells. */
export interface Stat {
  readonly type: number
  readonly device: bigint
  readonly inode: bigint
  readonly links: bigint
  readonly size: bigint
  readonly accessedNs: bigint
  readonly modifiedNs: bigint
  readonly changedNs: bigint
}

/** Something open. */
export abstract class Descriptor {
  abstract readonly filetype: number
  flags = 0
  /** What may be done with it, and what is passed on to what is opened below it. The program can only give rights up. */
  base: number
  inheriting: number
  /** Present on a directory that the program was started with: the name it has there. */
  readonly preopen: Uint8Array | undefined = undefined
  constructor(base: number, inheriting: number) {
    this.base = base
    this.inheriting = inheriting
  }

  /** Throws `notcapable` unless all of `rights` are there. */
  need(rights: number): void {
    if ((this.base & rights) !== rights) refuse("notcapable")
  }

  abstract stat(call: CallContext): Stat

  /** When it can be read; undefined: always. */
  readable(_call: CallContext): Pollable | undefined {
    return undefined
  }

  /** Bytes that can be read without waiting; 0 where that is not known. */
  available(_call: CallContext): bigint {
    return 0n
  }

  /** Called exactly once. */
  abstract close(call: CallContext): void
}

/** A standard stream: that of the call, since each call of a kept instance may bring its own. */
abstract class Stream extends Descriptor {
  readonly filetype: number

  constructor(rights: number, isTerminal: boolean) {
    super(rights | right.fdFdstatSetFlags | right.fdFilestatGet | right.pollFdReadwrite, 0)
    // A libc takes a character device that cannot seek for a terminal.
    this.filetype = isTerminal ? filetype.characterDevice : filetype.unknown
  }

  stat(): Stat {
    return { type: this.filetype, device: 0n, inode: 0n, links: 1n, size: 0n, accessedNs: 0n, modifiedNs: 0n, changedNs: 0n }
  }
}

/** Standard input. */
export class Input extends Stream {
  constructor(isTerminal: boolean) {
    super(right.fdRead, isTerminal)
  }

  override readable(call: CallContext): Pollable {
    return stdin(call).ready
  }

  /** Up to `countMax` bytes; waits for the first of them, unless the program said that it would not. */
  read(call: CallContext, countMax: number): Awaitable<ReturnType<InputStream["read"]>> {
    const stream = stdin(call)
    return after((this.flags & fdflag.nonblock) === 0 ? waitFor(call, [stream.ready], "fd_read") : undefined, () => {
      const answer = stream.read(call, countMax)
      return answer.tag === "ok" && answer.val.length === 0 && countMax > 0 ? refuse("again") : answer
    })
  }

  close(): void {
    // Nothing is held for it.
  }
}

/** Standard output or error. */
export class Output extends Stream {
  readonly #name: "stdout" | "stderr"

  constructor(name: "stdout" | "stderr", isTerminal: boolean) {
    super(right.fdWrite | right.fdSync | right.fdDatasync, isTerminal)
    this.#name = name
  }

  stream(call: CallContext): OutputStream {
    return output(call, this.#name)
  }

  close(call: CallContext): void {
    // A line of the log that has no end yet.
    this.stream(call).drop?.(call)
  }
}

/** A regular file, and where in it the program stands. */
export class File extends Descriptor {
  readonly filetype = filetype.regularFile
  readonly file: files.Descriptor
  position = 0

  constructor(file: files.Descriptor, base: number, inheriting: number, flags: number) {
    super(base & fileRights, inheriting)
    this.file = file
    this.flags = flags
  }

  stat(call: CallContext): Stat {
    return statOf(expect(files.stat(call, this.file)))
  }

  override available(call: CallContext): bigint {
    const left = this.stat(call).size - BigInt(this.position)
    return left > 0n ? left : 0n
  }

  /** Writes at `at`, or at the end where the file was opened so; answers with how many bytes, at least 1 of any. */
  write(call: CallContext, bytes: Uint8Array, at: number): number {
    const written = expect(files.write(call, this.file, bytes, (this.flags & fdflag.append) === 0 ? BigInt(at) : "end"))
    if ((this.flags & (fdflag.sync | fdflag.dsync)) !== 0) expect(files.sync(call, this.file, (this.flags & fdflag.sync) === 0))
    return written
  }

  close(call: CallContext): void {
    this.file.close(call)
  }
}

/** One name of a directory, as `fd_readdir` tells it. */
export interface Entry {
  readonly name: Uint8Array
  readonly type: number
  readonly inode: bigint
}

/** A directory, and where in it `fd_readdir` stands. */
export class Directory extends Descriptor {
  readonly filetype = filetype.directory
  readonly directory: files.Descriptor
  override readonly preopen: Uint8Array | undefined
  #listing: files.Listing | undefined
  /** Number of the entry that comes next, and the entry itself where it was looked at already. */
  #next = 0
  #peeked: Entry | undefined

  constructor(directory: files.Descriptor, base: number, inheriting: number, preopen?: Uint8Array) {
    super(base & directoryRights, inheriting)
    this.directory = directory
    this.preopen = preopen
  }

  stat(call: CallContext): Stat {
    return statOf(expect(files.stat(call, this.directory)))
  }

  /**
   * Entry number `index`, or undefined behind the last. In order each is read once; one that was asked for before is found
   * by reading from the start again. `skipped` is called for each that is passed over.
   */
  entry(call: CallContext, index: number, skipped: () => void): Entry | undefined {
    if (index < 2) return { name: encoder.encode(index === 0 ? "." : ".."), type: filetype.directory, inode: index === 0 ? this.stat(call).inode : 0n }
    if (this.#listing === undefined || index < this.#next) {
      this.#listing?.close(call)
      this.#listing = undefined
      this.#listing = expect(files.readDirectory(call, this.directory))
      this.#peeked = undefined
      this.#next = 2
    }
    for (; this.#next < index; this.#next++) {
      if (this.#peek(call, this.#listing) === undefined) return undefined
      this.#peeked = undefined
      skipped()
    }
    return this.#peek(call, this.#listing)
  }

  #peek(call: CallContext, listing: files.Listing): Entry | undefined {
    while (this.#peeked === undefined) {
      const answer = listing.next(call)
      // A name that is not UTF-8 is no name here; those after it are.
      if (answer.tag === "err" && answer.val === "illegal-byte-sequence") continue
      const entry = expect(answer)
      if (entry === undefined) return undefined
      // The number of what is there is not known without asking for each: 0 tells a libc so.
      this.#peeked = { name: encoder.encode(entry.name), type: typeOf[entry.kind], inode: 0n }
    }
    return this.#peeked
  }

  close(call: CallContext): void {
    this.#listing?.close(call)
    this.directory.close(call)
  }
}

const encoder = new TextEncoder()

const typeOf: Readonly<Record<FileKind, number>> = {
  unknown: filetype.unknown,
  "block-device": filetype.blockDevice,
  "character-device": filetype.characterDevice,
  directory: filetype.directory,
  fifo: filetype.unknown,
  "symbolic-link": filetype.symbolicLink,
  "regular-file": filetype.regularFile,
  socket: filetype.socketStream,
}

/** Preview 1 has no time before 1970. */
const since1970 = (ns: bigint): bigint => (ns < 0n ? 0n : ns)

export const statOf = ({ kind, device, inode, links, bytes, accessedNs, modifiedNs, changedNs }: FileStat): Stat => ({
  type: typeOf[kind],
  device,
  inode,
  links,
  size: bytes,
  accessedNs: since1970(accessedNs),
  modifiedNs: since1970(modifiedNs),
  changedNs: since1970(changedNs),
})

/** The descriptors of one instance by number; a new one gets the lowest that is free, as POSIX promises. */
export class Descriptors {
  readonly #open: Array<Descriptor | undefined> = []

  get(fd: number): Descriptor | undefined {
    return this.#open[fd]
  }

  add(descriptor: Descriptor): number {
    const free = this.#open.indexOf(undefined)
    const fd = free < 0 ? this.#open.length : free
    this.#open[fd] = descriptor
    return fd
  }

  set(fd: number, descriptor: Descriptor | undefined): void {
    this.#open[fd] = descriptor
  }

  close(call: CallContext): void {
    for (const descriptor of this.#open.splice(0)) descriptor?.close(call)
  }
}

const tables = new PerInstance<Descriptors>()

/** The table of this instance, made when the program first asks for something in it. */
export function descriptorsOf(call: CallContext): Descriptors {
  let table = tables.get(call)
  if (table === undefined) {
    const made = new Descriptors()
    tables.set(call, (table = made))
    call.atDiscard(() => made.close(call))
    const { terminals } = call.wasi
    made.add(new Input(terminals.includes("stdin")))
    made.add(new Output("stdout", terminals.includes("stdout")))
    made.add(new Output("stderr", terminals.includes("stderr")))
    for (const [descriptor, guest] of files.preopened(call)) made.add(new Directory(descriptor, everyRight, everyRight, encoder.encode(guest)))
  }
  return table
}

/** An open descriptor with these rights. */
export function descriptorOf(call: CallContext, fd: number, rights = 0): Descriptor {
  const descriptor = descriptorsOf(call).get(fd)
  if (descriptor === undefined) throw new Refusal(errno.badf)
  descriptor.need(rights)
  return descriptor
}
