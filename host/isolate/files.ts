/**
 * Directories and files for core modules of foreign ABIs in an isolate. Their functions walk paths and keep positions where
 * the guest's memory is; each step on the file system is one call of the parent, which holds what is open. A step names
 * what it is about by a number and one name, so the parent knows the path that grants speak of, and asks them itself: an
 * isolate that has been taken over can do what its guest was granted, and look around in between.
 */
import { LimitError } from "../../schemas/error/limit.ts"
import { enumeration, func, type FunctionType, list, option, primitive, record, result, type ValueType } from "../../schemas/wit/model.ts"
import { AbiTrap } from "../abi/context.ts"
import type { CallContext } from "../capability/capability.ts"
import { PerInstance } from "../capability/per-instance.ts"
import {
  type DirectoryEntries,
  type DirectoryEntry,
  fileErrors,
  fileKinds,
  type FileResult,
  type FileStat,
  type FileTimes,
  type OpenDirectory,
  type OpenFile,
  type OpenOptions,
} from "../port/file-system.ts"

const { bool, f64, s64, string, u32, u64, u8 } = primitive

const errorType = enumeration(...fileErrors)
const kindType = enumeration(...fileKinds)
const statType = record({ kind: kindType, links: u64, bytes: u64, "accessed-ns": s64, "modified-ns": s64, "changed-ns": s64, device: u64, inode: u64 })
const timesType = record({ "accessed-ns": option(s64), "modified-ns": option(s64) })
const flagsType = record({ read: bool, write: bool, create: bool, exclusive: bool, truncate: bool })
const entryType = record({ name: string, kind: kindType })
/** What was opened: its number, and whether it is a directory. */
const openedType = record({ number: u32, "is-directory": bool })

interface Opened {
  readonly number: number
  readonly isDirectory: boolean
}

/** What is open for an isolate. */
interface Open {
  readonly node: OpenFile | OpenDirectory | DirectoryEntries
  /** As grants have it, with a slash at the end. */
  readonly path: string
  readonly isGiven: boolean
}

const bad: FileResult<never> = { tag: "err", val: "bad-descriptor" }
const err = (val: (typeof fileErrors)[number]): FileResult<never> => ({ tag: "err", val })

/** The parent's side: what is open, by numbers of one instance. */
class Table {
  readonly #call: CallContext
  readonly #open = new Map<number, Open>()
  #next: number

  constructor(call: CallContext) {
    this.#call = call
    const { preopens } = call.wasi
    for (const [number, { directory, path }] of preopens.entries()) this.#open.set(number, { node: directory, path, isGiven: true })
    this.#next = preopens.length
    call.atDiscard(() => {
      for (const { node, isGiven } of this.#open.values()) if (!isGiven) node.close()
      this.#open.clear()
    })
  }

  get(number: number): Open | undefined {
    return this.#open.get(number)
  }

  directory(number: number): { readonly node: OpenDirectory; readonly path: string } | undefined {
    const open = this.#open.get(number)
    return open !== undefined && "isDirectory" in open.node && open.node.isDirectory ? { node: open.node, path: open.path } : undefined
  }

  file(number: number): { readonly node: OpenFile; readonly path: string } | undefined {
    const open = this.#open.get(number)
    return open !== undefined && "isDirectory" in open.node && !open.node.isDirectory ? { node: open.node, path: open.path } : undefined
  }

  entries(number: number): DirectoryEntries | undefined {
    const open = this.#open.get(number)
    return open !== undefined && "next" in open.node ? open.node : undefined
  }

  add(node: OpenFile | OpenDirectory | DirectoryEntries, path: string): number {
    const { filesMax } = this.#call.limits
    // A walk holds directories besides those that the guest has open.
    if (this.#open.size >= filesMax * 2 + walkMax) {
      node.close()
      throw new LimitError("filesMax", { limit: filesMax })
    }
    this.#open.set(this.#next, { node, path, isGiven: false })
    return this.#next++
  }

  close(number: number): void {
    const open = this.#open.get(number)
    if (open === undefined || open.isGiven) return
    this.#open.delete(number)
    open.node.close()
  }
}

/** Directories that walking one path holds open at most. */
const walkMax = 256

const tables = new PerInstance<Table>()
const tableOf = (call: CallContext): Table => {
  let table = tables.get(call)
  if (table === undefined) tables.set(call, (table = new Table(call)))
  return table
}

const below = (path: string, name: string): string => {
  // Port methods take one component; anything else would say one path here and mean another there.
  if (name === "" || name === "." || name === ".." || name.includes("/") || name.includes("\\") || name.includes("\0"))
    throw new AbiTrap("a name of a file is none")
  return `${path}${name}/`
}

const reads = ({ grants }: CallContext, path: string): boolean => grants.match("fs:read", path) !== undefined
const writes = ({ grants }: CallContext, path: string): boolean => grants.match("fs:write", path) !== undefined
const sees = (call: CallContext, path: string): boolean =>
  reads(call, path) || writes(call, path) || call.grants.reaches("fs:read", path) || call.grants.reaches("fs:write", path)
/** Of a path on the way to what is granted. A sibling's kind and what a link says are told too: walking needs them. */
const passes = (call: CallContext, path: string): boolean =>
  sees(call, path) || call.wasi.preopens.some((given) => path.startsWith(given.path) && sees(call, given.path))

const option1 = (name: string | undefined, path: string): string => (name === undefined ? path : below(path, name))
const plainTimes = ({ accessedNs, modifiedNs }: { readonly accessedNs: bigint | undefined; readonly modifiedNs: bigint | undefined }): FileTimes => ({
  ...(accessedNs === undefined ? {} : { accessedNs }),
  ...(modifiedNs === undefined ? {} : { modifiedNs }),
})

function opened(call: CallContext, answer: FileResult<OpenFile | OpenDirectory>, path: string): FileResult<Opened> {
  return answer.tag === "err" ? answer : { tag: "ok", val: { number: tableOf(call).add(answer.val, path), isDirectory: answer.val.isDirectory } }
}

/** Something in a directory that changes it. */
function change(call: CallContext, number: number, name: string, act: (node: OpenDirectory) => FileResult<undefined>): FileResult<undefined> {
  const open = tableOf(call).directory(number)
  if (open === undefined) return bad
  return writes(call, below(open.path, name)) ? act(open.node) : err("read-only")
}

/** Moving must not give what the old name does not: as in `host/wasi/descriptor.ts`. */
function move(
  call: CallContext,
  from: number,
  name: string,
  to: number,
  newName: string,
  act: (a: OpenDirectory, b: OpenDirectory) => FileResult<undefined>,
): FileResult<undefined> {
  const source = tableOf(call).directory(from)
  const target = tableOf(call).directory(to)
  if (source === undefined || target === undefined) return bad
  const [old, fresh] = [below(source.path, name), below(target.path, newName)]
  const { grants } = call
  if (!writes(call, old) || !writes(call, fresh) || !grants.covers("fs:write", old)) return err("read-only")
  if (grants.reaches("fs:read", fresh) && !grants.covers("fs:read", old)) return err("access")
  return act(source.node, target.node)
}

function onFile<A>(
  call: CallContext,
  number: number,
  may: (call: CallContext, path: string) => boolean,
  refusal: "access" | "read-only",
  act: (file: OpenFile) => FileResult<A>,
): FileResult<A> {
  const open = tableOf(call).file(number)
  if (open === undefined) return bad
  return may(call, open.path) ? act(open.node) : err(refusal)
}

const answers = (ok?: ValueType): ValueType => result(ok, errorType)

/** Is this a place in a file? The system takes a negative one for "where it is now", which is below every limit. */
const isPlace = (offset: number): boolean => Number.isSafeInteger(offset) && offset >= 0

/** Bytes that one read or write moves at most. */
const chunkBytesMax = 256 << 10

/** What an isolate may ask, with the grant that the parent asks for. */
export const fileFunctions = {
  again: {
    type: func({ directory: u32 }, answers(openedType)),
    serve(call: CallContext, number: number) {
      const open = tableOf(call).directory(number)
      return open === undefined ? bad : passes(call, open.path) ? opened(call, open.node.again(), open.path) : err("access")
    },
  },
  "stat-at": {
    type: func({ directory: u32, name: option(string) }, answers(statType)),
    serve(call: CallContext, number: number, name: string | undefined) {
      const open = tableOf(call).directory(number)
      if (open === undefined) return bad
      return passes(call, option1(name, open.path)) ? open.node.stat(name) : err("access")
    },
  },
  open: {
    type: func({ directory: u32, name: string, flags: flagsType }, answers(openedType)),
    serve(call: CallContext, number: number, name: string, flags: Required<OpenOptions>) {
      const open = tableOf(call).directory(number)
      if (open === undefined) return bad
      const path = below(open.path, name)
      if ((flags.write || flags.create || flags.truncate) && !writes(call, path)) return err("read-only")
      if (flags.read && !reads(call, path)) return err("access")
      return passes(call, path) ? opened(call, open.node.open(name, flags), path) : err("access")
    },
  },
  "open-directory": {
    type: func({ directory: u32, name: string }, answers(openedType)),
    serve(call: CallContext, number: number, name: string) {
      const open = tableOf(call).directory(number)
      if (open === undefined) return bad
      const path = below(open.path, name)
      return passes(call, path) ? opened(call, open.node.openDirectory(name), path) : err("access")
    },
  },
  entries: {
    type: func({ directory: u32 }, answers(u32)),
    serve(call: CallContext, number: number): FileResult<number> {
      const open = tableOf(call).directory(number)
      if (open === undefined) return bad
      if (!reads(call, open.path)) return err("access")
      const found = open.node.entries()
      return found.tag === "err" ? found : { tag: "ok", val: tableOf(call).add(found.val, open.path) }
    },
  },
  "next-entry": {
    type: func({ entries: u32 }, answers(option(entryType))),
    serve(call: CallContext, number: number): FileResult<DirectoryEntry | undefined> {
      const path = tableOf(call).get(number)?.path
      return path !== undefined && reads(call, path) ? (tableOf(call).entries(number)?.next() ?? bad) : err("access")
    },
  },
  "read-link": {
    type: func({ directory: u32, name: string }, answers(string)),
    serve(call: CallContext, number: number, name: string) {
      const open = tableOf(call).directory(number)
      if (open === undefined) return bad
      return passes(call, below(open.path, name)) ? open.node.readLink(name) : err("access")
    },
  },
  "make-directory": {
    type: func({ directory: u32, name: string }, answers()),
    serve: (call: CallContext, number: number, name: string) => change(call, number, name, (node) => node.makeDirectory(name)),
  },
  "make-link": {
    type: func({ directory: u32, target: string, name: string }, answers()),
    serve: (call: CallContext, number: number, target: string, name: string) =>
      change(call, number, name, (node) => (/^(?:[/\\]|[A-Za-z]:|$)|\0/.test(target) ? err("not-permitted") : node.makeLink(target, name))),
  },
  link: {
    type: func({ directory: u32, name: string, into: u32, "new-name": string }, answers()),
    serve: (call: CallContext, number: number, name: string, into: number, newName: string) =>
      move(call, number, name, into, newName, (from, to) => from.link(name, to, newName)),
  },
  rename: {
    type: func({ directory: u32, name: string, into: u32, "new-name": string }, answers()),
    serve: (call: CallContext, number: number, name: string, into: number, newName: string) =>
      move(call, number, name, into, newName, (from, to) => from.rename(name, to, newName)),
  },
  "remove-directory": {
    type: func({ directory: u32, name: string }, answers()),
    serve: (call: CallContext, number: number, name: string) => change(call, number, name, (node) => node.removeDirectory(name)),
  },
  unlink: {
    type: func({ directory: u32, name: string }, answers()),
    serve: (call: CallContext, number: number, name: string) => change(call, number, name, (node) => node.unlink(name)),
  },
  "set-times-at": {
    type: func({ directory: u32, name: option(string), times: timesType }, answers()),
    serve(
      call: CallContext,
      number: number,
      name: string | undefined,
      times: { readonly accessedNs: bigint | undefined; readonly modifiedNs: bigint | undefined },
    ) {
      const open = tableOf(call).directory(number)
      if (open === undefined) return bad
      return writes(call, option1(name, open.path)) ? open.node.setTimes(name, plainTimes(times)) : err("read-only")
    },
  },
  "sync-directory": {
    type: func({ directory: u32, "is-data-only": bool }, answers()),
    serve(call: CallContext, number: number, isDataOnly: boolean) {
      const open = tableOf(call).directory(number)
      return open === undefined ? bad : sees(call, open.path) ? open.node.sync(isDataOnly) : err("access")
    },
  },
  stat: {
    type: func({ file: u32 }, answers(statType)),
    serve: (call: CallContext, number: number) => onFile(call, number, sees, "access", (file) => file.stat()),
  },
  read: {
    type: func({ file: u32, length: u32, offset: f64 }, answers(list(u8))),
    serve: (call: CallContext, number: number, length: number, offset: number) =>
      onFile(call, number, reads, "access", (file): FileResult<Uint8Array> => {
        if (!isPlace(offset)) return err("invalid")
        const bytes = new Uint8Array(Math.min(length, chunkBytesMax))
        const answer = file.read(bytes, offset)
        return answer.tag === "err" ? answer : { tag: "ok", val: bytes.subarray(0, answer.val) }
      }),
  },
  write: {
    type: func({ file: u32, bytes: list(u8), offset: f64 }, answers(u32)),
    serve: (call: CallContext, number: number, bytes: Uint8Array, offset: number) =>
      onFile(call, number, writes, "read-only", (file) =>
        !isPlace(offset) ? err("invalid") : offset + bytes.length > call.limits.fileBytesMax ? err("file-too-large") : file.write(bytes, offset),
      ),
  },
  append: {
    type: func({ file: u32, bytes: list(u8) }, answers(u32)),
    serve: (call: CallContext, number: number, bytes: Uint8Array) =>
      onFile(call, number, writes, "read-only", (file) => {
        const stat = file.stat()
        if (stat.tag === "err") return stat
        return stat.val.bytes + BigInt(bytes.length) > BigInt(call.limits.fileBytesMax) ? err("file-too-large") : file.append(bytes)
      }),
  },
  "set-size": {
    type: func({ file: u32, bytes: f64 }, answers()),
    serve: (call: CallContext, number: number, bytes: number) =>
      onFile(call, number, writes, "read-only", (file) =>
        !isPlace(bytes) ? err("invalid") : bytes > call.limits.fileBytesMax ? err("file-too-large") : file.setSize(bytes),
      ),
  },
  "set-times": {
    type: func({ file: u32, times: timesType }, answers()),
    serve: (call: CallContext, number: number, times: { readonly accessedNs: bigint | undefined; readonly modifiedNs: bigint | undefined }) =>
      onFile(call, number, writes, "read-only", (file) => file.setTimes(plainTimes(times))),
  },
  sync: {
    type: func({ file: u32, "is-data-only": bool }, answers()),
    serve: (call: CallContext, number: number, isDataOnly: boolean) => onFile(call, number, sees, "access", (file) => file.sync(isDataOnly)),
  },
  close: {
    type: func({ number: u32 }),
    serve: (call: CallContext, number: number) => tableOf(call).close(number),
  },
} as const satisfies Readonly<Record<string, { readonly type: FunctionType; readonly serve: (call: CallContext, ...args: ReadonlyArray<never>) => unknown }>>

export type FileFunction = keyof typeof fileFunctions
/** Calls one of them in the parent; the answer is of the type that stands beside its name. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters
export type AskFile = <A>(name: FileFunction, ...args: ReadonlyArray<unknown>) => A

const timesForm = ({ accessedNs, modifiedNs }: FileTimes): object => ({ accessedNs, modifiedNs })

class RemoteFile implements OpenFile {
  readonly isDirectory = false
  readonly #ask: AskFile
  readonly #number: number

  constructor(ask: AskFile, number: number) {
    this.#ask = ask
    this.#number = number
  }

  stat(): FileResult<FileStat> {
    return this.#ask("stat", this.#number)
  }

  read(into: Uint8Array, offset: number): FileResult<number> {
    const answer = this.#ask<FileResult<Uint8Array>>("read", this.#number, into.length, offset)
    if (answer.tag === "err") return answer
    into.set(answer.val)
    return { tag: "ok", val: answer.val.length }
  }

  write(bytes: Uint8Array, offset: number): FileResult<number> {
    return this.#ask("write", this.#number, Uint8Array.from(bytes.subarray(0, chunkBytesMax)), offset)
  }

  append(bytes: Uint8Array): FileResult<number> {
    return this.#ask("append", this.#number, Uint8Array.from(bytes.subarray(0, chunkBytesMax)))
  }

  setSize(bytes: number): FileResult<undefined> {
    return this.#ask("set-size", this.#number, bytes)
  }

  setTimes(times: FileTimes): FileResult<undefined> {
    return this.#ask("set-times", this.#number, timesForm(times))
  }

  sync(isDataOnly: boolean): FileResult<undefined> {
    return this.#ask("sync", this.#number, isDataOnly)
  }

  close(): void {
    this.#ask("close", this.#number)
  }
}

/** A directory that the parent holds open. */
export class RemoteDirectory implements OpenDirectory {
  readonly isDirectory = true
  readonly #ask: AskFile
  readonly #number: number

  constructor(ask: AskFile, number: number) {
    this.#ask = ask
    this.#number = number
  }

  #opened(answer: FileResult<Opened>): FileResult<OpenFile | OpenDirectory> {
    if (answer.tag === "err") return answer
    const { number, isDirectory } = answer.val
    return { tag: "ok", val: isDirectory ? new RemoteDirectory(this.#ask, number) : new RemoteFile(this.#ask, number) }
  }

  again(): FileResult<OpenDirectory> {
    return this.#opened(this.#ask("again", this.#number)) as FileResult<OpenDirectory>
  }

  stat(name?: string): FileResult<FileStat> {
    return this.#ask("stat-at", this.#number, name)
  }

  open(name: string, { read, write, create = false, exclusive = false, truncate = false }: OpenOptions): FileResult<OpenFile | OpenDirectory> {
    return this.#opened(this.#ask("open", this.#number, name, { read, write, create, exclusive, truncate }))
  }

  openDirectory(name: string): FileResult<OpenDirectory> {
    return this.#opened(this.#ask("open-directory", this.#number, name)) as FileResult<OpenDirectory>
  }

  entries(): FileResult<DirectoryEntries> {
    const answer = this.#ask<FileResult<number>>("entries", this.#number)
    if (answer.tag === "err") return answer
    const number = answer.val
    return { tag: "ok", val: { next: () => this.#ask("next-entry", number), close: () => void this.#ask("close", number) } }
  }

  readLink(name: string): FileResult<string> {
    return this.#ask("read-link", this.#number, name)
  }

  makeDirectory(name: string): FileResult<undefined> {
    return this.#ask("make-directory", this.#number, name)
  }

  makeLink(target: string, name: string): FileResult<undefined> {
    return this.#ask("make-link", this.#number, target, name)
  }

  link(name: string, into: OpenDirectory, newName: string): FileResult<undefined> {
    return this.#ask("link", this.#number, name, (into as RemoteDirectory).#number, newName)
  }

  rename(name: string, into: OpenDirectory, newName: string): FileResult<undefined> {
    return this.#ask("rename", this.#number, name, (into as RemoteDirectory).#number, newName)
  }

  removeDirectory(name: string): FileResult<undefined> {
    return this.#ask("remove-directory", this.#number, name)
  }

  unlink(name: string): FileResult<undefined> {
    return this.#ask("unlink", this.#number, name)
  }

  setTimes(name: string | undefined, times: FileTimes): FileResult<undefined> {
    return this.#ask("set-times-at", this.#number, name, timesForm(times))
  }

  sync(isDataOnly: boolean): FileResult<undefined> {
    return this.#ask("sync-directory", this.#number, isDataOnly)
  }

  close(): void {
    this.#ask("close", this.#number)
  }
}
