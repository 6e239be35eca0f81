/**
 * The inert set: what ordinary toolchains' components import whether they use it or not. Linked without a grant, because
 * it tells nothing and reaches nothing: no environment, arguments or directories, an input stream at its end, output to
 * the plugin's log where `log` is granted and nowhere else, in-memory streams. Clocks and random are not in it.
 *
 * WIT: `wasi:cli`, `wasi:filesystem`, `wasi:io` 0.2.12 as shipped with jco 1.35.
 */
import { PluginError } from "../../schemas/error/mod.ts"
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
import type { CallContext, Capability, HostExport } from "./capability.ts"
import { wallClockInterface } from "./clock.ts"
import { chunkBytesMax, emptyInput, errorResource, inputResource, ioInterfaces, type OutputStream, outputResource, wasiVersion } from "./io.ts"
import { writeLog } from "./log.ts"
import { isWithin, refuse } from "./scope.ts"
import { done, err, hostInterface, ok, plainResource, serve } from "./serve.ts"

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

const lines = new WeakMap<CallContext, Record<"stdout" | "stderr", LineLog>>()

/** One buffer per instance and stream, however often the guest asks for it. */
function output(call: CallContext, name: "stdout" | "stderr"): OutputStream {
  let entry = lines.get(call)
  if (entry === undefined) lines.set(call, (entry = { stdout: new LineLog("stdout"), stderr: new LineLog("stderr") }))
  return entry[name]
}

const { bool, string, u8, u64 } = primitive

function exit(status: number): never {
  throw new PluginError("Exit", { status })
}

const terminalInput = plainResource(resource("terminal-input"))
const terminalOutput = plainResource(resource("terminal-output"))

/** No stream here is a terminal. */
const noTerminal = (name: string, handle: typeof terminalInput) =>
  hostInterface(`wasi:cli/terminal-${name}`, wasiVersion, {
    resources: { [name === "stdin" ? "terminal-input" : "terminal-output"]: handle },
    functions: { [`get-terminal-${name}`]: serve(func({}, option(own(handle.type))), () => undefined) },
  })

const cli = [
  hostInterface("wasi:cli/environment", wasiVersion, {
    functions: {
      "get-environment": serve(func({}, list(tuple(string, string))), () => []),
      "get-arguments": serve(func({}, list(string)), () => []),
      "initial-cwd": serve(func({}, option(string)), () => undefined),
    },
  }),
  hostInterface("wasi:cli/exit", wasiVersion, {
    functions: {
      exit: serve(func({ status: result() }), (_call, status: { readonly tag: "ok" | "err" }) => exit(status.tag === "ok" ? 0 : 1)),
      "exit-with-code": serve(func({ "status-code": u8 }), (_call, code: number) => exit(code)),
    },
  }),
  hostInterface("wasi:cli/stdin", wasiVersion, {
    resources: { "input-stream": inputResource },
    functions: { "get-stdin": serve(func({}, own(inputResource.type)), () => emptyInput) },
  }),
  hostInterface("wasi:cli/stdout", wasiVersion, {
    resources: { "output-stream": outputResource },
    functions: { "get-stdout": serve(func({}, own(outputResource.type)), (call) => output(call, "stdout")) },
  }),
  hostInterface("wasi:cli/stderr", wasiVersion, {
    resources: { "output-stream": outputResource },
    functions: { "get-stderr": serve(func({}, own(outputResource.type)), (call) => output(call, "stderr")) },
  }),
  hostInterface("wasi:cli/terminal-input", wasiVersion, { resources: { "terminal-input": terminalInput } }),
  hostInterface("wasi:cli/terminal-output", wasiVersion, { resources: { "terminal-output": terminalOutput } }),
  noTerminal("stdin", terminalInput),
  noTerminal("stdout", terminalOutput),
  noTerminal("stderr", terminalOutput),
]

const datetime = wallClockInterface.types.get("datetime") as ValueType
const descriptor = plainResource(resource("descriptor"))
const entries = plainResource(resource("directory-entry-stream"))
const descriptorType = enumeration("unknown", "block-device", "character-device", "directory", "fifo", "symbolic-link", "regular-file", "socket")
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
// prettier-ignore
const errorCode = enumeration(
  "access", "would-block", "already", "bad-descriptor", "busy", "deadlock", "quota", "exist", "file-too-large", "illegal-byte-sequence",
  "in-progress", "interrupted", "invalid", "io", "is-directory", "loop", "too-many-links", "message-size", "name-too-long", "no-device",
  "no-entry", "no-lock", "insufficient-memory", "insufficient-space", "not-directory", "not-empty", "not-recoverable", "unsupported",
  "no-tty", "no-such-device", "overflow", "not-permitted", "pipe", "read-only", "invalid-seek", "text-file-busy", "cross-device",
)
const advice = enumeration("normal", "sequential", "random", "will-need", "dont-need", "no-reuse")
const metadataHash = record({ lower: u64, upper: u64 })

/** No descriptor exists, so none of these can be reached with a valid handle; each refuses all the same. */
const refused = (params: Readonly<Record<string, ValueType>>, answer?: ValueType): HostExport => {
  const type: FunctionType = func({ self: borrow(descriptor.type), ...params }, result(answer, errorCode))
  return serve(type, () => err("not-permitted"))
}
const times = { "data-access-timestamp": newTimestamp, "data-modification-timestamp": newTimestamp }
const at = { "path-flags": pathFlags, path: string }
const target = { "new-descriptor": borrow(descriptor.type), "new-path": string }

const filesystem = [
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
      "[method]descriptor.read-via-stream": refused({ offset: u64 }, own(inputResource.type)),
      "[method]descriptor.write-via-stream": refused({ offset: u64 }, own(outputResource.type)),
      "[method]descriptor.append-via-stream": refused({}, own(outputResource.type)),
      "[method]descriptor.advise": refused({ offset: u64, length: u64, advice }),
      "[method]descriptor.sync-data": refused({}),
      "[method]descriptor.get-flags": refused({}, descriptorFlags),
      "[method]descriptor.get-type": refused({}, descriptorType),
      "[method]descriptor.set-size": refused({ size: u64 }),
      "[method]descriptor.set-times": refused(times),
      "[method]descriptor.read": refused({ length: u64, offset: u64 }, tuple(list(u8), bool)),
      "[method]descriptor.write": refused({ buffer: list(u8), offset: u64 }, u64),
      "[method]descriptor.read-directory": refused({}, own(entries.type)),
      "[method]descriptor.sync": refused({}),
      "[method]descriptor.create-directory-at": refused({ path: string }),
      "[method]descriptor.stat": refused({}, descriptorStat),
      "[method]descriptor.stat-at": refused(at, descriptorStat),
      "[method]descriptor.set-times-at": refused({ ...at, ...times }),
      "[method]descriptor.link-at": refused({ "old-path-flags": pathFlags, "old-path": string, ...target }),
      "[method]descriptor.open-at": refused({ ...at, "open-flags": openFlags, flags: descriptorFlags }, own(descriptor.type)),
      "[method]descriptor.readlink-at": refused({ path: string }, string),
      "[method]descriptor.remove-directory-at": refused({ path: string }),
      "[method]descriptor.rename-at": refused({ "old-path": string, ...target }),
      "[method]descriptor.symlink-at": refused({ "old-path": string, "new-path": string }),
      "[method]descriptor.unlink-file-at": refused({ path: string }),
      "[method]descriptor.is-same-object": serve(
        func({ self: borrow(descriptor.type), other: borrow(descriptor.type) }, bool),
        (_call, a: unknown, b: unknown) => a === b,
      ),
      "[method]descriptor.metadata-hash": refused({}, metadataHash),
      "[method]descriptor.metadata-hash-at": refused(at, metadataHash),
      "[method]directory-entry-stream.read-directory-entry": serve(func({ self: borrow(entries.type) }, result(option(directoryEntry), errorCode)), () =>
        err("not-permitted"),
      ),
      "filesystem-error-code": serve(func({ err: borrow(errorResource.type) }, option(errorCode)), () => undefined),
    },
  }),
  hostInterface("wasi:filesystem/preopens", wasiVersion, {
    resources: { descriptor },
    functions: { "get-directories": serve(func({}, list(tuple(own(descriptor.type), string))), () => []) },
  }),
]

export const inert: Capability = {
  name: "inert",
  risk: "None: it tells the plugin nothing and reaches nothing outside.",
  mode: "sync",
  forms: [],
  isInert: true,
  parse: (text) => refuse(text, "the inert set needs no grant"),
  subset: isWithin,
  interfaces: [...ioInterfaces, ...cli, ...filesystem],
  needs: () => "",
  heads: () => [],
  ports: ["monotonicClock", "log"],
}
