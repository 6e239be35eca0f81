/**
 * One call in a process of an engine's own: empty environment, the guest's streams on descriptors 0 to 2 and nothing else
 * but the channel. It is killed at the deadline, when it has written more than it may, and when nobody waits any more.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync } from "node:fs"
import type { Duplex, Readable, Writable } from "node:stream"
import { type Answer, answerBytesMax, decodeAnswer, encodeRequest, type Request } from "./program.ts"

/** Full paths: the process gets no environment to look them up in. */
export function onPath(names: ReadonlyArray<string>): ReadonlyArray<string> {
  const isWindows = process.platform === "win32"
  const folders = (process.env["PATH"] ?? "").split(isWindows ? ";" : ":").filter((folder) => folder !== "")
  return names.flatMap((name) => folders.map((folder) => `${folder}/${name}${isWindows ? ".exe" : ""}`)).filter((file) => existsSync(file))
}

export interface Command {
  readonly file: string
  readonly args: ReadonlyArray<string>
}

/** Where the guest's streams lead. */
export interface Streams {
  /** The next bytes: none where there are none yet, undefined at the end. */
  readonly stdin: Uint8Array | ((bytesMax: number) => Uint8Array | undefined) | undefined
  readonly stdout: (bytes: Uint8Array) => void
  readonly stderr: (bytes: Uint8Array) => void
  /** Bytes the guest may write to both; one more ends it. */
  readonly bytesMax: number
  readonly count: (bytes: number) => void
}

/** How a process or thread ended that gave no answer. */
export type Ended =
  | { readonly tag: "deadline" | "aborted" | "output" }
  | { readonly tag: "died" | "absent"; readonly detail: string }
  /** A stream of the application's did. */
  | { readonly tag: "threw"; readonly error: unknown }

/** Milliseconds between two looks for standard input that is not there yet. */
export const pullMs = 5
export const pullBytes = 64 << 10

function feed(to: Writable, stdin: Streams["stdin"]): () => void {
  // The guest may end, or close it, before it has read all.
  to.on("error", () => undefined)
  if (typeof stdin !== "function") {
    to.end(stdin ?? new Uint8Array(0))
    return () => undefined
  }
  let timer: NodeJS.Timeout | undefined
  const pull = (): void => {
    const bytes = stdin(pullBytes)
    if (bytes === undefined) return void to.end()
    if (bytes.length === 0) timer = setTimeout(pull, pullMs)
    else if (to.write(bytes)) timer = setTimeout(pull, 0)
    else to.once("drain", pull)
  }
  pull()
  return () => clearTimeout(timer)
}

/** Everything on the channel, as long as it may be one answer. */
function gather(channel: Readable): () => Uint8Array | undefined {
  const chunks: Array<Uint8Array> = []
  let length = 0
  channel.on("data", (chunk: Uint8Array) => {
    length += chunk.length
    if (length <= 4 + answerBytesMax) chunks.push(chunk)
  })
  channel.on("error", () => undefined)
  return () => {
    const bytes = new Uint8Array(Buffer.concat(chunks))
    if (bytes.length < 4 || length > 4 + answerBytesMax) return undefined
    return new DataView(bytes.buffer).getUint32(0, true) === bytes.length - 4 ? bytes.subarray(4) : undefined
  }
}

const causeOf = (error: NodeJS.ErrnoException): string => (error.code === "ENOENT" ? "there is no such program" : error.message)

type Taker = (bytes: Uint8Array) => void

/** Hands on what the guest writes, and ends it when that is too much or the stream refuses it. */
export function taking(streams: Streams, stop: (how: Ended) => void): (to: Taker, bytes: Uint8Array) => void {
  let left = streams.bytesMax
  return (to, bytes) => {
    left -= bytes.length
    streams.count(bytes.length)
    if (left < 0) return stop({ tag: "output" })
    try {
      to(bytes)
    } catch (error) {
      stop({ tag: "threw", error })
    }
  }
}

/** Runs one request to its end. Never rejects. A stream's own failure ends the call with what it threw. */
export function runProcess(
  { file, args }: Command,
  request: Request,
  module: Uint8Array,
  streams: Streams,
  signal: AbortSignal | undefined,
): Promise<Answer | Ended> {
  return new Promise((resolve) => {
    let ended: Ended | undefined
    const child: ChildProcess = spawn(file, [...args], { env: {}, stdio: ["pipe", "pipe", "pipe", "pipe"], windowsHide: true })
    const stop = (how: Ended): void => {
      ended ??= how
      child.kill("SIGKILL")
    }
    const take = taking(streams, stop)
    const deliver = (from: Readable, to: Taker): void => {
      from.on("data", (bytes: Uint8Array) => {
        if (ended === undefined) take(to, new Uint8Array(bytes))
      })
    }
    const timer = request.deadlineMs === null ? undefined : setTimeout(() => stop({ tag: "deadline" }), request.deadlineMs)
    const onAbort = (): void => stop({ tag: "aborted" })
    signal?.addEventListener("abort", onAbort)
    let stopFeeding = (): void => undefined
    const finish = (outcome: Parameters<typeof resolve>[0]): void => {
      clearTimeout(timer)
      signal?.removeEventListener("abort", onAbort)
      stopFeeding()
      resolve(outcome)
    }
    child.on("error", (error: NodeJS.ErrnoException) => finish({ tag: "absent", detail: causeOf(error) }))
    if (child.pid === undefined) return
    const channel = child.stdio[3] as Duplex
    const answered = gather(channel)
    deliver(child.stdout as Readable, streams.stdout)
    deliver(child.stderr as Readable, streams.stderr)
    try {
      stopFeeding = feed(child.stdin as Writable, streams.stdin)
    } catch (error) {
      stop({ tag: "threw", error })
    }
    channel.write(encodeRequest(request, module))
    // "close": after the last byte of every stream.
    child.on("close", (code, killed) => {
      const bytes = answered()
      const answer = bytes === undefined ? undefined : decodeAnswer(bytes, request.result)
      finish(ended ?? answer ?? { tag: "died", detail: killed === null ? `exit code ${code}` : killed })
    })
  })
}
