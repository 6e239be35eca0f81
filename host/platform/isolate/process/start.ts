/** Starts a process that runs guests, on Node, Deno and Bun. */
import type { Link, StartOptions } from "../../../isolate/link.ts"
import { type Encoder, headerBytes, type Incoming, lengthWord, messageBuffer } from "../../../isolate/wire.ts"
import { builtin } from "../../server.ts"
import { commandOf } from "./command.ts"
import { confined } from "./sandbox.ts"

/** Where its program lies; a build places it. */
const program = new URL("./worker.ts", import.meta.url)

/** Reads messages from a stream of bytes. What comes unasked is garbage, and so is more than was asked for. */
class Frames {
  #chunks: Array<Uint8Array> = []
  #have = 0
  #bytesMax = 0
  #resolve: ((message: Incoming | "garbage" | undefined) => void) | undefined
  #isOver = false

  push(chunk: Uint8Array): void {
    if (this.#resolve === undefined) return this.#garbage()
    this.#chunks.push(chunk)
    this.#have += chunk.length
    if (this.#have < headerBytes) return
    const length = this.#length()
    if (length < headerBytes || length > this.#bytesMax || this.#have > length) return this.#garbage()
    if (this.#have < length) return
    const whole = new Uint8Array(messageBuffer(length))
    let at = 0
    for (const part of this.#chunks) {
      whole.set(part, at)
      at += part.length
    }
    this.#chunks = []
    this.#have = 0
    this.#settle({ buffer: whole.buffer, length })
  }

  #length(): number {
    const word = new Uint8Array(4)
    let at = 0
    for (const part of this.#chunks) {
      for (let i = Math.max(0, lengthWord * 4 - at); i < part.length && at + i < lengthWord * 4 + 4; i++) word[at + i - lengthWord * 4] = part[i] as number
      at += part.length
    }
    return new DataView(word.buffer).getUint32(0, true)
  }

  #garbage(): void {
    this.#isOver = true
    this.#settle("garbage")
  }

  #settle(message: Incoming | "garbage" | undefined): void {
    const resolve = this.#resolve
    this.#resolve = undefined
    resolve?.(message)
  }

  next(bytesMax: number): Promise<Incoming | "garbage" | undefined> {
    if (this.#isOver) return Promise.resolve("garbage")
    this.#bytesMax = bytesMax
    return new Promise((resolve) => (this.#resolve = resolve))
  }

  end(): void {
    this.#isOver = true
    this.#settle(undefined)
  }
}

export function startProcess(_options: StartOptions): Link {
  const { spawn } = builtin("node:child_process")
  const command = commandOf(program)
  const { file, args } = confined(command.file, command.args)
  const child = spawn(file, args, { env: command.env ?? {}, stdio: ["pipe", "pipe", "ignore"], windowsHide: true })
  const { stdin, stdout, pid } = child
  const frames = new Frames()
  // It says that it is ready whether somebody waits for that already or not.
  let hello: Promise<Incoming | "garbage" | undefined> | undefined = frames.next(headerBytes)
  let detail: string | undefined
  stdout.on("data", (chunk: Uint8Array) => frames.push(chunk))
  // A broken pipe is told by the end of the process.
  stdin.on("error", () => undefined)
  stdout.on("error", () => undefined)
  const ended = new Promise<string>((resolve) => {
    child.on("error", (error) => {
      detail ??= error.message
      frames.end()
      resolve(detail)
    })
    child.on("exit", (code, signal) => {
      detail ??= signal === null ? `it exited with ${code}` : `it was killed by ${signal}`
      frames.end()
      resolve(detail)
    })
  })
  const sockets = [stdin, stdout] as unknown as ReadonlyArray<{ ref?: () => void; unref?: () => void }>
  const hold = (isHeld: boolean): void => {
    for (const one of [child, ...sockets])
      if (isHeld) one.ref?.()
      else one.unref?.()
  }
  hold(false)
  return {
    kind: "process",
    data: undefined,
    ended,
    exchange(message: Encoder | undefined, bytesMax: number) {
      const next = hello ?? frames.next(bytesMax)
      hello = undefined
      // Copied: a pipe that is full takes it later, and by then the next message may be being written.
      if (message !== undefined) stdin.write(message.framed.slice())
      return next
    },
    stop: () => false,
    resume() {},
    kill() {
      detail ??= "it was ended"
      // The program lives until it has heard that the process is gone.
      hold(true)
      child.kill("SIGKILL")
    },
    hold,
    residentBytes: () => (pid === undefined ? undefined : residentBytes(pid)),
  }
}

/** Pages of the systems that have procfs and on which engines run. */
const pageBytes = 4_096

/** Resident memory of a process, where the system has procfs. */
function residentBytes(pid: number): number | undefined {
  try {
    const statm = builtin("node:fs").readFileSync(`/proc/${pid}/statm`, "latin1")
    return Number(statm.split(" ")[1]) * pageBytes
  } catch {
    return undefined
  }
}
