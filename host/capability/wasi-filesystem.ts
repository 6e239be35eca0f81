/**
 * `wasi:filesystem`: directories given by `wasi.directories`, under the grants `fs:read:DIR` and `fs:write:DIR`. What is
 * allowed, and where paths lead, is in `host/wasi/descriptor.ts`; here it gets the interface's types.
 *
 * WIT: `wasi:filesystem` 0.2.12 as shipped with jco 1.35.
 */
import {
  borrow,
  enumeration,
  flags,
  func,
  type FunctionType,
  list,
  option,
  own,
  primitive,
  record,
  resource,
  result,
  tuple,
  type ValueType,
  variant,
} from "../../schemas/wit/model.ts"
import { fileErrors, fileKinds, type FileError, type FileResult, type FileStat, type FileTimes } from "../port/file-system.ts"
import {
  createDirectoryAt,
  type Descriptor,
  ioBytesMax,
  isSameObject,
  linkAt,
  type Listing,
  openAt,
  preopened,
  read,
  readDirectory,
  readLinkAt,
  removeDirectoryAt,
  renameAt,
  setSize,
  setTimes,
  setTimesAt,
  stat,
  statAt,
  symlinkAt,
  sync,
  unlinkFileAt,
  write,
} from "../wasi/descriptor.ts"
import type { CallContext, HostExport, HostFunction, HostResource } from "./capability.ts"
import { wallClockInterface } from "./clock.ts"
import {
  chunkBytesMax,
  closed,
  errorResource,
  failed,
  type InputStream,
  inputResource,
  type IoError,
  type OutputStream,
  outputResource,
  type StreamFailure,
  wasiVersion,
} from "./io.ts"
import { clip, done, err, hostInterface, ok, type Result, serve, settled } from "./serve.ts"

const { bool, string, u8, u64 } = primitive

const datetime = wallClockInterface.types.get("datetime") as ValueType
const descriptor: HostResource = { type: resource("descriptor"), drop: (call, rep) => (rep as Descriptor).close(call) }
const entries: HostResource = { type: resource("directory-entry-stream"), drop: (call, rep) => (rep as Listing).close(call) }
const descriptorType = enumeration(...fileKinds)
const descriptorFlags = flags("read", "write", "file-integrity-sync", "data-integrity-sync", "requested-write-sync", "mutate-directory")
const descriptorStat = record({
  type: descriptorType,
  "link-count": u64,
  size: u64,
  "data-access-timestamp": option(datetime),
  "data-modification-timestamp": option(datetime),
  "status-change-timestamp": option(datetime),
})
const pathFlags = flags("symlink-follow")
const openFlags = flags("create", "directory", "exclusive", "truncate")
const newTimestamp = variant({ "no-change": undefined, now: undefined, timestamp: datetime })
const directoryEntry = record({ type: descriptorType, name: string })
const errorCode = enumeration(...fileErrors)
const advice = enumeration("normal", "sequential", "random", "will-need", "dont-need", "no-reuse")
const metadataHash = record({ lower: u64, upper: u64 })

/** A method of a descriptor. */
const method = (params: Readonly<Record<string, ValueType>>, ...rest: [HostFunction] | [answer: ValueType, HostFunction]): HostExport => {
  const type: FunctionType = func({ self: borrow(descriptor.type), ...params }, result(rest.length === 2 ? rest[0] : undefined, errorCode))
  return serve(type, rest.at(-1) as HostFunction)
}
const times = { "data-access-timestamp": newTimestamp, "data-modification-timestamp": newTimestamp }
const at = { "path-flags": pathFlags, path: string }
const target = { "new-descriptor": borrow(descriptor.type), "new-path": string }

const refused = (code: FileError): FileResult<never> => ({ tag: "err", val: code })

interface PathFlags {
  readonly symlinkFollow: boolean
}

interface Flags {
  readonly read: boolean
  readonly write: boolean
  readonly fileIntegritySync: boolean
  readonly dataIntegritySync: boolean
  readonly requestedWriteSync: boolean
  readonly mutateDirectory: boolean
}

interface OpenFlags {
  readonly create: boolean
  readonly directory: boolean
  readonly exclusive: boolean
  readonly truncate: boolean
}

/** `mutate-directory` is not refused where it cannot be had: C libraries ask for it with every directory. `get-flags` tells. */
function openDescriptor(
  call: CallContext,
  self: Descriptor,
  { symlinkFollow }: PathFlags,
  path: string,
  open: OpenFlags,
  asked: Flags,
): FileResult<Descriptor> {
  const sync = asked.fileIntegritySync || asked.requestedWriteSync ? "file" : asked.dataIntegritySync ? "data" : undefined
  return openAt(call, self, path, { ...open, follow: symlinkFollow, read: asked.read, write: asked.write, sync })
}

/** Of a directory: what may be done in it now. */
function flagsOf({ grants }: CallContext, { access, isDirectory, path }: Descriptor): Result<Flags, FileError> {
  return ok({
    read: isDirectory ? grants.reaches("fs:read", path) : access.read,
    write: !isDirectory && access.write,
    fileIntegritySync: access.sync === "file",
    dataIntegritySync: access.sync === "data",
    requestedWriteSync: false,
    mutateDirectory: isDirectory && grants.reaches("fs:write", path),
  })
}

/** One read's bytes before they are copied to their length: small reads are most. */
let scratch: Uint8Array | undefined

function readAt(call: CallContext, self: Descriptor, length: number, offset: bigint): FileResult<Uint8Array> {
  scratch ??= new Uint8Array(ioBytesMax)
  const count = read(call, self, scratch.subarray(0, length), offset)
  return count.tag === "ok" ? ok(scratch.slice(0, count.val)) : count
}

function readBytes(call: CallContext, self: Descriptor, length: bigint, offset: bigint): FileResult<readonly [Uint8Array, boolean]> {
  const bytes = readAt(call, self, clip(length, ioBytesMax), offset)
  return bytes.tag === "ok" ? ok([bytes.val, bytes.val.length === 0] as const) : bytes
}

function writeBytes(call: CallContext, self: Descriptor, buffer: Uint8Array, offset: bigint): FileResult<bigint> {
  const count = write(call, self, buffer, offset)
  return count.tag === "ok" ? ok(BigInt(count.val)) : count
}

const failure = (what: "read" | "write", code: FileError): StreamFailure => failed(`Cannot ${what} the file: ${code}`, code)

/** The file from `offset` on. Ends at the end of the file, and with its first failure. */
class FileInput implements InputStream {
  readonly #file: Descriptor
  #at: bigint
  #isEnded = false

  constructor(file: Descriptor, offset: bigint) {
    this.#file = file.share()
    this.#at = offset
  }

  read(call: CallContext, countMax: number): Result<Uint8Array, StreamFailure> {
    if (this.#isEnded) return err(closed)
    if (countMax === 0) return ok(new Uint8Array(0))
    const bytes = readAt(call, this.#file, Math.min(countMax, chunkBytesMax), this.#at)
    this.#isEnded = bytes.tag === "err" || bytes.val.length === 0
    if (bytes.tag === "err") return err(failure("read", bytes.val))
    this.#at += BigInt(bytes.val.length)
    return this.#isEnded ? err(closed) : bytes
  }

  drop(call: CallContext): void {
    this.#file.close(call)
  }
}

/** Writes go on from `offset`, or each to the end of the file. */
class FileOutput implements OutputStream {
  readonly #file: Descriptor
  #at: bigint | "end"
  #isEnded = false

  constructor(file: Descriptor, offset: bigint | "end") {
    this.#file = file.share()
    this.#at = offset
  }

  permit(): Result<number, StreamFailure> {
    return this.#isEnded ? err(closed) : ok(chunkBytesMax)
  }

  write(call: CallContext, bytes: Uint8Array): Result<undefined, StreamFailure> {
    if (this.#isEnded) return err(closed)
    for (let from = 0; from < bytes.length;) {
      const count = write(call, this.#file, bytes.subarray(from), this.#at)
      // A file system that takes nothing and says nothing would be asked for ever.
      if (count.tag === "err" || count.val === 0) {
        this.#isEnded = true
        return err(failure("write", count.tag === "err" ? count.val : "io"))
      }
      from += count.val
      if (this.#at !== "end") this.#at += BigInt(count.val)
    }
    return done
  }

  /** What is written is in the file; on the disk is what `sync` asks for. */
  flush(): Result<undefined, StreamFailure> {
    return this.#isEnded ? err(closed) : done
  }

  drop(call: CallContext): void {
    this.#file.close(call)
  }
}

function readStream(_call: CallContext, self: Descriptor, offset: bigint): FileResult<InputStream> {
  if (self.isDirectory) return refused("is-directory")
  return self.access.read ? ok(new FileInput(self, offset)) : refused("bad-descriptor")
}

function writeStream(_call: CallContext, self: Descriptor, offset: bigint | "end"): FileResult<OutputStream> {
  if (self.isDirectory) return refused("is-directory")
  return self.access.write ? ok(new FileOutput(self, offset)) : refused("bad-descriptor")
}

const datetimeOf = (ns: bigint) => (ns < 0n ? undefined : { seconds: ns / 1_000_000_000n, nanoseconds: Number(ns % 1_000_000_000n) })

function statOf(found: FileResult<FileStat>) {
  if (found.tag === "err") return found
  const { kind, links, bytes, accessedNs, modifiedNs, changedNs } = found.val
  return ok({
    type: kind,
    linkCount: links,
    size: bytes,
    dataAccessTimestamp: datetimeOf(accessedNs),
    dataModificationTimestamp: datetimeOf(modifiedNs),
    statusChangeTimestamp: datetimeOf(changedNs),
  })
}

type NewTime =
  | { readonly tag: "no-change" }
  | { readonly tag: "now" }
  | { readonly tag: "timestamp"; readonly val: { readonly seconds: bigint; readonly nanoseconds: number } }

/** Seconds of a time that is set, at most: past the year 2500 file systems differ in what they can keep. */
const secondsMax = 1n << 34n

function withTimes(call: CallContext, accessed: NewTime, modified: NewTime, act: (times: FileTimes) => FileResult<undefined>): FileResult<undefined> {
  const times: { accessedNs?: bigint; modifiedNs?: bigint } = {}
  for (const [name, time] of [["accessedNs", accessed] as const, ["modifiedNs", modified] as const]) {
    if (time.tag === "now") times[name] = settled(call.ports.wallClock.nowNs(), "wasi:filesystem/types")
    if (time.tag !== "timestamp") continue
    if (time.val.nanoseconds >= 1e9) return refused("invalid")
    if (time.val.seconds > secondsMax) return refused("overflow")
    times[name] = time.val.seconds * 1_000_000_000n + BigInt(time.val.nanoseconds)
  }
  return act(times)
}

const u64Mask = (1n << 64n) - 1n
/** SplitMix64's finaliser (Steele, Lea and Flood 2014): every bit of the answer depends on every bit given. */
function mix(value: bigint): bigint {
  let z = (value + 0x9e3779b97f4a7c15n) & u64Mask
  z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & u64Mask
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & u64Mask
  return z ^ (z >> 31n)
}

/** Of which object it is alone, as wasmtime does: C libraries make inode numbers of it, which must stay when the file changes. */
function hashOf(found: FileResult<FileStat>): FileResult<{ readonly lower: bigint; readonly upper: bigint }> {
  if (found.tag === "err") return found
  const lower = mix(found.val.inode ^ mix(found.val.device))
  return ok({ lower, upper: mix(lower ^ found.val.inode) })
}

export const interfaces = [
  hostInterface("wasi:filesystem/types", wasiVersion, {
    resources: {
      "input-stream": inputResource,
      "output-stream": outputResource,
      error: errorResource,
      descriptor,
      "directory-entry-stream": entries,
    },
    types: {
      datetime,
      filesize: u64,
      "descriptor-type": descriptorType,
      "descriptor-flags": descriptorFlags,
      "descriptor-stat": descriptorStat,
      "path-flags": pathFlags,
      "open-flags": openFlags,
      "link-count": u64,
      "new-timestamp": newTimestamp,
      "directory-entry": directoryEntry,
      "error-code": errorCode,
      advice,
      "metadata-hash-value": metadataHash,
    },
    functions: {
      "[method]descriptor.read-via-stream": method({ offset: u64 }, own(inputResource.type), readStream),
      "[method]descriptor.write-via-stream": method({ offset: u64 }, own(outputResource.type), writeStream),
      "[method]descriptor.append-via-stream": method({}, own(outputResource.type), (call, self: Descriptor) => writeStream(call, self, "end")),
      "[method]descriptor.advise": method({ offset: u64, length: u64, advice }, (_call, self: Descriptor) => (self.isDirectory ? err("bad-descriptor") : done)),
      "[method]descriptor.sync-data": method({}, (call, self: Descriptor) => sync(call, self, true)),
      "[method]descriptor.get-flags": method({}, descriptorFlags, flagsOf),
      "[method]descriptor.get-type": method({}, descriptorType, (_call, self: Descriptor) => ok(self.isDirectory ? "directory" : "regular-file")),
      "[method]descriptor.set-size": method({ size: u64 }, setSize),
      "[method]descriptor.set-times": method(times, (call, self: Descriptor, accessed: NewTime, modified: NewTime) =>
        withTimes(call, accessed, modified, (times) => setTimes(call, self, times)),
      ),
      "[method]descriptor.read": method({ length: u64, offset: u64 }, tuple(list(u8), bool), readBytes),
      "[method]descriptor.write": method({ buffer: list(u8), offset: u64 }, u64, writeBytes),
      "[method]descriptor.read-directory": method({}, own(entries.type), readDirectory),
      "[method]descriptor.sync": method({}, (call, self: Descriptor) => sync(call, self, false)),
      "[method]descriptor.create-directory-at": method({ path: string }, createDirectoryAt),
      "[method]descriptor.stat": method({}, descriptorStat, (call, self: Descriptor) => statOf(stat(call, self))),
      "[method]descriptor.stat-at": method(at, descriptorStat, (call, self: Descriptor, flags: PathFlags, path: string) =>
        statOf(statAt(call, self, path, flags.symlinkFollow)),
      ),
      "[method]descriptor.set-times-at": method(
        { ...at, ...times },
        (call, self: Descriptor, flags: PathFlags, path: string, accessed: NewTime, modified: NewTime) =>
          withTimes(call, accessed, modified, (times) => setTimesAt(call, self, path, flags.symlinkFollow, times)),
      ),
      "[method]descriptor.link-at": method(
        { "old-path-flags": pathFlags, "old-path": string, ...target },
        (call, self: Descriptor, flags: PathFlags, path: string, into: Descriptor, newPath: string) =>
          linkAt(call, self, path, flags.symlinkFollow, into, newPath),
      ),
      "[method]descriptor.open-at": method({ ...at, "open-flags": openFlags, flags: descriptorFlags }, own(descriptor.type), openDescriptor),
      "[method]descriptor.readlink-at": method({ path: string }, string, readLinkAt),
      "[method]descriptor.remove-directory-at": method({ path: string }, removeDirectoryAt),
      "[method]descriptor.rename-at": method({ "old-path": string, ...target }, renameAt),
      "[method]descriptor.symlink-at": method({ "old-path": string, "new-path": string }, symlinkAt),
      "[method]descriptor.unlink-file-at": method({ path: string }, unlinkFileAt),
      "[method]descriptor.is-same-object": serve(
        func({ self: borrow(descriptor.type), other: borrow(descriptor.type) }, bool),
        (_call, a: Descriptor, b: Descriptor) => isSameObject(a, b),
      ),
      "[method]descriptor.metadata-hash": method({}, metadataHash, (call, self: Descriptor) => hashOf(stat(call, self))),
      "[method]descriptor.metadata-hash-at": method(at, metadataHash, (call, self: Descriptor, flags: PathFlags, path: string) =>
        hashOf(statAt(call, self, path, flags.symlinkFollow)),
      ),
      "[method]directory-entry-stream.read-directory-entry": serve(
        func({ self: borrow(entries.type) }, result(option(directoryEntry), errorCode)),
        (call, self: Listing) => {
          const entry = self.next(call)
          return entry.tag === "ok" && entry.val !== undefined ? ok({ type: entry.val.kind, name: entry.val.name }) : entry
        },
      ),
      "filesystem-error-code": serve(func({ err: borrow(errorResource.type) }, option(errorCode)), (_call, error: IoError) => error.fileError),
    },
  }),
  hostInterface("wasi:filesystem/preopens", wasiVersion, {
    resources: { descriptor },
    functions: { "get-directories": serve(func({}, list(tuple(own(descriptor.type), string))), preopened) },
  }),
]
