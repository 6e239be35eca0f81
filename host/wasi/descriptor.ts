/**
 * Open files and directories of a guest, for WASI 0.2 and preview 1 alike: containment from `path.ts`, grants asked at
 * every operation, limits and counts. A path outside the directory it is relative to is `not-permitted`, a change without
 * `fs:write` is `read-only` (as `wasi:filesystem` says of `open-at`), reading without `fs:read` is `access`.
 *
 * What is about a file (kind, size, times) is told to whoever may read or write it: a writer learns as much from errors.
 */
import { LimitError } from "../../schemas/error/limit.ts"
import type { CallContext } from "../capability/capability.ts"
import { PerInstance } from "../capability/per-instance.ts"
import type { DirectoryEntries, DirectoryEntry, FileError, FileResult, FileStat, FileTimes, OpenDirectory, OpenFile } from "../port/file-system.ts"
import { type Place, walk } from "./path.ts"

const err = (val: FileError): FileResult<never> => ({ tag: "err", val })
const ok = <A>(val: A): FileResult<A> => ({ tag: "ok", val })

/** Bytes one read or write moves at most. */
export const ioBytesMax = 256 << 10

/** Descriptors and open listings of each instance, against `filesMax`. */
const counts = new PerInstance<{ files: number }>()

function claim(call: CallContext): void {
  let count = counts.get(call)
  if (count === undefined) counts.set(call, (count = { files: 0 }))
  const limit = call.limits.filesMax
  if (count.files >= limit) throw new LimitError("filesMax", { limit })
  count.files++
}
function unclaim(call: CallContext): void {
  const count = counts.get(call)
  if (count !== undefined) count.files--
}

/** What a descriptor was opened for. */
export interface Access {
  readonly read: boolean
  readonly write: boolean
  /** What each write does before it answers: `O_DSYNC`, `O_SYNC`. */
  readonly sync?: "data" | "file" | undefined
}

/** One open file or directory of one instance. */
export class Descriptor {
  readonly node: OpenFile | OpenDirectory
  /** What it is called in grants: the path on the host, with a slash at the end. Of where it was opened; it may have been moved. */
  readonly path: string
  /** Names below the directory that was given. */
  readonly depth: number
  readonly access: Access
  /** A given directory is shared by all instances and closed with the plugin. */
  readonly #isShared: boolean
  /** The handle, and streams over it: the last one closes the file. */
  #users = 1

  constructor(node: OpenFile | OpenDirectory, path: string, depth: number, access: Access, isShared = false) {
    this.node = node
    this.path = path
    this.depth = depth
    this.access = access
    this.#isShared = isShared
  }

  get isDirectory(): boolean {
    return this.node.isDirectory
  }

  /** One more that will call `close`. */
  share(): this {
    this.#users++
    return this
  }

  close(call: CallContext): void {
    if (--this.#users !== 0) return
    unclaim(call)
    if (!this.#isShared) this.node.close()
  }
}

/** A directory given to a plugin. */
export interface Preopen {
  /** What the guest calls it: `/data`. */
  readonly guest: string
  /** What grants call it, with a slash at the end. */
  readonly path: string
  readonly directory: OpenDirectory
}

/** The given directories as descriptors of this instance. */
export function preopened(call: CallContext): ReadonlyArray<readonly [descriptor: Descriptor, guest: string]> {
  return call.wasi.preopens.map(({ guest, path, directory }) => {
    claim(call)
    return [new Descriptor(directory, path, 0, { read: true, write: true }, true), guest]
  })
}

/** A path as grants are written, for the record of a denial. */
const grantText = (head: string, path: string): string => `${head}:${path.length > 1 ? path.slice(0, -1) : path}`

/** The grant to read what is at `path`; else counts the denial. */
function toRead(call: CallContext, path: string): string | undefined {
  const grant = call.grants.match("fs:read", path)
  if (grant === undefined) call.denied(grantText("fs:read", path))
  return grant
}
function toWrite(call: CallContext, path: string): string | undefined {
  const grant = call.grants.match("fs:write", path)
  if (grant === undefined) call.denied(grantText("fs:write", path))
  return grant
}

/** The grant to know of what is at `path`: to read it, to write it, or for a directory to either below it. */
function toSee(call: CallContext, path: string): string | undefined {
  const { grants } = call
  const grant = grants.match("fs:read", path) ?? grants.match("fs:write", path)
  if (grant !== undefined) return grant
  for (const head of ["fs:read", "fs:write"]) {
    if (grants.reaches(head, path)) return grants.under(head).find(({ scope }) => scope.text.startsWith(path))?.text ?? head
  }
  call.denied(grantText("fs:read", path))
  return undefined
}

const pathOf = (base: Descriptor, { names }: Place): string => (names.length === 0 ? base.path : `${base.path}${names.join("/")}/`)

/** Walks `path` from a directory's descriptor. */
function at<A>(base: Descriptor, path: string, act: (place: Place, name: string) => FileResult<A> | undefined): FileResult<A> {
  if (!base.node.isDirectory) return err("not-directory")
  return walk(base.node, path, (place) => act(place, pathOf(base, place)))
}

/** A name to make or remove: not the directory itself. */
function entryAt<A>(base: Descriptor, path: string, act: (place: Place & { readonly name: string }, name: string) => FileResult<A>): FileResult<A> {
  return at(base, path, (place, name) => (place.name === undefined ? err("invalid") : act(place as Place & { readonly name: string }, name)))
}

export interface OpenFlags extends Access {
  /** Follow a link in the last place; a path that ends in a slash always does. */
  readonly follow: boolean
  readonly create?: boolean
  readonly directory?: boolean
  readonly exclusive?: boolean
  readonly truncate?: boolean
}

/** Opens what is at `path`. Of `read` and `write` a directory takes neither: what may be done in it is asked then. */
export function openAt(call: CallContext, base: Descriptor, path: string, flags: OpenFlags): FileResult<Descriptor> {
  const { create = false, directory = false, exclusive = false, truncate = false } = flags
  if (directory && (create || exclusive || truncate)) return err("invalid")
  const changes = flags.write || create || truncate
  return at(base, path, (place, name) => {
    const reads = call.grants.match("fs:read", name)
    const grant = changes ? toWrite(call, name) : (reads ?? toSee(call, name))
    if (grant === undefined) return err(changes ? "read-only" : "access")
    if (place.mustBeDirectory && create) return err("is-directory")
    claim(call)
    const opened = open(place, { ...flags, sync: flags.sync, read: flags.read && reads !== undefined, create, exclusive, truncate, directory })
    if (opened?.tag === "ok") {
      const node = opened.val
      const refusal: FileError | undefined = node.isDirectory
        ? undefined
        : directory || place.mustBeDirectory
          ? "not-directory"
          : flags.read && toReadAs(call, name, reads) === undefined
            ? "access"
            : undefined
      if (refusal === undefined) {
        call.used(grant, 0)
        const { read, write, sync } = flags
        return ok(new Descriptor(node, name, base.depth + place.names.length, { read, write, sync }))
      }
      node.close()
      unclaim(call)
      return err(refusal)
    }
    unclaim(call)
    if (opened.val === "loop" && (flags.follow || place.mustBeDirectory) && !(create && exclusive)) return undefined
    return opened
  })
}

const toReadAs = (call: CallContext, path: string, known: string | undefined): string | undefined => known ?? toRead(call, path)

function open({ directory, name, mustBeDirectory }: Place, flags: OpenFlags & { readonly directory: boolean }): FileResult<OpenFile | OpenDirectory> {
  if (name === undefined) {
    if (flags.create === true && flags.exclusive === true) return err("exist")
    return flags.write || flags.create === true || flags.truncate === true ? err("is-directory") : directory.again()
  }
  // A file that must be a directory is not even opened.
  return flags.directory || mustBeDirectory ? directory.openDirectory(name) : directory.open(name, flags)
}

/** The file behind a descriptor; directories are refused. */
function fileOf(descriptor: Descriptor): FileResult<OpenFile> {
  return descriptor.node.isDirectory ? err("is-directory") : ok(descriptor.node)
}

function directoryOf(descriptor: Descriptor): FileResult<OpenDirectory> {
  return descriptor.node.isDirectory ? ok(descriptor.node) : err("not-directory")
}

/** Fills the start of `into`; 0 bytes at the end. */
export function read(call: CallContext, self: Descriptor, into: Uint8Array, offset: bigint): FileResult<number> {
  const file = fileOf(self)
  if (file.tag === "err") return file
  if (!self.access.read) return err("bad-descriptor")
  const grant = toRead(call, self.path)
  if (grant === undefined) return err("access")
  // No file is that large: it has ended.
  const answer = offset > Number.MAX_SAFE_INTEGER ? ok(0) : file.val.read(into.length > ioBytesMax ? into.subarray(0, ioBytesMax) : into, Number(offset))
  if (answer.tag === "ok") call.used(grant, answer.val)
  return answer
}

/** Writes the start of `bytes` at `offset`, or at the end of the file; the answer says how many. */
export function write(call: CallContext, self: Descriptor, bytes: Uint8Array, offset: bigint | "end"): FileResult<number> {
  const file = fileOf(self)
  if (file.tag === "err") return file
  if (!self.access.write) return err("bad-descriptor")
  const grant = toWrite(call, self.path)
  if (grant === undefined) return err("read-only")
  const chunk = bytes.length > ioBytesMax ? bytes.subarray(0, ioBytesMax) : bytes
  let end = chunk.length
  if (offset === "end") {
    const stat = file.val.stat()
    if (stat.tag === "err") return stat
    end += Number(stat.val.bytes)
  } else end += Number(offset)
  checkSize(call, end)
  const answer = offset === "end" ? file.val.append(chunk) : file.val.write(chunk, Number(offset))
  if (answer.tag === "err") return answer
  call.used(grant, answer.val)
  const synced = self.access.sync === undefined ? answer : file.val.sync(self.access.sync === "data")
  return synced.tag === "err" ? synced : answer
}

function checkSize(call: CallContext, bytes: number): void {
  const limit = call.limits.fileBytesMax
  if (bytes > limit) throw new LimitError("fileBytesMax", { limit, actual: bytes })
}

export function setSize(call: CallContext, self: Descriptor, bytes: bigint): FileResult<undefined> {
  const file = fileOf(self)
  if (file.tag === "err") return file
  if (!self.access.write) return err("bad-descriptor")
  const grant = toWrite(call, self.path)
  if (grant === undefined) return err("read-only")
  checkSize(call, Number(bytes))
  call.used(grant, 0)
  return file.val.setSize(Number(bytes))
}

export function sync(call: CallContext, self: Descriptor, isDataOnly: boolean): FileResult<undefined> {
  const grant = toSee(call, self.path)
  if (grant === undefined) return err("access")
  call.used(grant, 0)
  return self.node.sync(isDataOnly)
}

export function stat(call: CallContext, self: Descriptor): FileResult<FileStat> {
  const grant = toSee(call, self.path)
  if (grant === undefined) return err("access")
  call.used(grant, 0)
  return self.node.stat()
}

export function setTimes(call: CallContext, self: Descriptor, times: FileTimes): FileResult<undefined> {
  const grant = toWrite(call, self.path)
  if (grant === undefined) return err("read-only")
  call.used(grant, 0)
  return self.node.isDirectory ? self.node.setTimes(undefined, times) : self.node.setTimes(times)
}

/** Runs `act` where the path ends, with links in the last place followed or not. */
function placeAt<A>(base: Descriptor, path: string, follow: boolean, act: (place: Place, name: string, stat: FileStat) => FileResult<A>): FileResult<A> {
  return at(base, path, (place, name) => {
    const found = place.directory.stat(place.name)
    if (found.tag === "err") return found
    if (found.val.kind === "symbolic-link" && (follow || place.mustBeDirectory)) return undefined
    if (place.mustBeDirectory && found.val.kind !== "directory") return err("not-directory")
    return act(place, name, found.val)
  })
}

export function statAt(call: CallContext, base: Descriptor, path: string, follow: boolean): FileResult<FileStat> {
  return placeAt(base, path, follow, (_place, name, found) => {
    const grant = toSee(call, name)
    if (grant === undefined) return err("access")
    call.used(grant, 0)
    return ok(found)
  })
}

export function setTimesAt(call: CallContext, base: Descriptor, path: string, follow: boolean, times: FileTimes): FileResult<undefined> {
  return placeAt(base, path, follow, ({ directory, name: last }, name) => {
    const grant = toWrite(call, name)
    if (grant === undefined) return err("read-only")
    call.used(grant, 0)
    return directory.setTimes(last, times)
  })
}

/** A change under `fs:write` for the entry `path`. `canEndInSlash`: it is of directories. */
function change(
  call: CallContext,
  base: Descriptor,
  path: string,
  canEndInSlash: boolean,
  act: (directory: OpenDirectory, name: string) => FileResult<undefined>,
): FileResult<undefined> {
  return entryAt(base, path, (place, name) => {
    const grant = toWrite(call, name)
    if (grant === undefined) return err("read-only")
    if (place.mustBeDirectory && !canEndInSlash) return err("not-directory")
    call.used(grant, 0)
    return act(place.directory, place.name)
  })
}

export const createDirectoryAt = (call: CallContext, base: Descriptor, path: string): FileResult<undefined> =>
  change(call, base, path, true, (directory, name) => directory.makeDirectory(name))

export const removeDirectoryAt = (call: CallContext, base: Descriptor, path: string): FileResult<undefined> =>
  change(call, base, path, true, (directory, name) => directory.removeDirectory(name))

export const unlinkFileAt = (call: CallContext, base: Descriptor, path: string): FileResult<undefined> =>
  change(call, base, path, false, (directory, name) => directory.unlink(name))

/** How many levels above where it starts a path goes. Behind a name nobody can say: the name may be a link, or become one. */
function climb(path: string): number {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".")
  const first = parts.findIndex((part) => part !== "..")
  const level = first === -1 ? parts.length : first
  return parts.includes("..", level) ? Infinity : level
}

/** Makes a link that says `target`. One that leads out of the given directory is refused: guests cannot follow it, but somebody else may. */
export function symlinkAt(call: CallContext, base: Descriptor, target: string, path: string): FileResult<undefined> {
  if (target === "") return err("no-entry")
  if (target.includes("\0")) return err("invalid")
  if (target.startsWith("/")) return err("not-permitted")
  return entryAt(base, path, (place, name) => {
    const grant = toWrite(call, name)
    if (grant === undefined) return err("read-only")
    if (place.mustBeDirectory) return err("no-entry")
    if (climb(target) > base.depth + place.names.length - 1) return err("not-permitted")
    call.used(grant, 0)
    return place.directory.makeLink(target, place.name)
  })
}

export function readLinkAt(call: CallContext, base: Descriptor, path: string): FileResult<string> {
  return at(base, path, (place, name) => {
    const grant = toRead(call, name)
    if (grant === undefined) return err("access")
    if (place.name === undefined || place.mustBeDirectory) return err("invalid")
    call.used(grant, 0)
    return place.directory.readLink(place.name)
  })
}

/**
 * A second name for a file, or another one, must not give what the first does not: to read under it, the whole of what
 * is moved must be readable where it was, and to write under it writable.
 */
function gives(call: CallContext, from: string, to: string): FileError | undefined {
  if (toWrite(call, from) === undefined || toWrite(call, to) === undefined) return "read-only"
  const { grants } = call
  if (!grants.covers("fs:write", from)) return "read-only"
  if (grants.reaches("fs:read", to) && !grants.covers("fs:read", from)) {
    call.denied(grantText("fs:read", from))
    return "access"
  }
  return undefined
}

export function linkAt(call: CallContext, base: Descriptor, path: string, follow: boolean, into: Descriptor, newPath: string): FileResult<undefined> {
  return placeAt(base, path, follow, (from, fromName, found) =>
    entryAt(into, newPath, (to, toName) => {
      const refusal = gives(call, fromName, toName)
      if (refusal !== undefined) return err(refusal)
      if (from.name === undefined || found.kind === "directory") return err("not-permitted")
      if (to.mustBeDirectory) return err("not-directory")
      call.used(call.grants.match("fs:write", toName) as string, 0)
      return from.directory.link(from.name, to.directory, to.name)
    }),
  )
}

export function renameAt(call: CallContext, base: Descriptor, path: string, into: Descriptor, newPath: string): FileResult<undefined> {
  return entryAt(base, path, (from, fromName) =>
    entryAt(into, newPath, (to, toName) => {
      const refusal = gives(call, fromName, toName)
      if (refusal !== undefined) return err(refusal)
      if (from.mustBeDirectory || to.mustBeDirectory) {
        const found = from.directory.stat(from.name)
        if (found.tag === "err") return found
        if (found.val.kind !== "directory") return err("not-directory")
      }
      call.used(call.grants.match("fs:write", toName) as string, 0)
      return from.directory.rename(from.name, to.directory, to.name)
    }),
  )
}

/** A listing of a directory, under the grant to read it, asked for each entry. */
export class Listing {
  readonly #path: string
  readonly #entries: DirectoryEntries
  #isOpen = true

  constructor(path: string, entries: DirectoryEntries) {
    this.#path = path
    this.#entries = entries
  }

  next(call: CallContext): FileResult<DirectoryEntry | undefined> {
    const grant = toRead(call, this.#path)
    if (grant === undefined) return err("access")
    const entry = this.#entries.next()
    if (entry.tag === "ok" && entry.val !== undefined) call.used(grant, entry.val.name.length)
    return entry
  }

  close(call: CallContext): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    unclaim(call)
    this.#entries.close()
  }
}

export function readDirectory(call: CallContext, self: Descriptor): FileResult<Listing> {
  const directory = directoryOf(self)
  if (directory.tag === "err") return directory
  if (toRead(call, self.path) === undefined) return err("access")
  claim(call)
  const entries = directory.val.entries()
  if (entries.tag === "ok") return ok(new Listing(self.path, entries.val))
  unclaim(call)
  return entries
}

export function isSameObject(a: Descriptor, b: Descriptor): boolean {
  const [x, y] = [a.node.stat(), b.node.stat()]
  return x.tag === "ok" && y.tag === "ok" && x.val.device === y.val.device && x.val.inode === y.val.inode
}
