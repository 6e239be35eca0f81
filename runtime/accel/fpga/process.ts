/** The process of a simulator: asked one thing at a time by the frames of `rtl/simulate.cpp`, killed when it fails, and started again when it is asked next. */
import type { ChildProcess } from "node:child_process"
import type { Socket } from "node:net"
import { AccelerateError } from "../../../schemas/error/accelerate.ts"
import { endGroup, startGroup } from "../../../host/platform/isolate/process/group.ts"
import { device, type Watch } from "./watch.ts"

export const operations = { describe: 1, load: 2, search: 3 } as const

export interface Question {
  readonly operation: (typeof operations)[keyof typeof operations]
  readonly flags?: number
  /** A result is taken every so many clocks. */
  readonly every?: number
  readonly bytes?: Uint8Array
  /** Longest answer that can be one, in words of 32 bits. */
  readonly wordsMax: number
}

/** What it says when it fails, from the end. */
const saidCharsMax = 1_000
const none = new Uint8Array(0)

const failed = (detail: string): AccelerateError => new AccelerateError("Failed", { device, detail })

interface Running {
  readonly child: ChildProcess
  /** Settles the question under way. */
  answer: ((words: Uint32Array) => void) | undefined
  fail: ((error: AccelerateError) => void) | undefined
  wordsMax: number
  chunks: Array<Buffer>
  length: number
  said: string
}

export class Simulation {
  readonly #command: { readonly file: string; readonly args: ReadonlyArray<string> }
  #running: Running | undefined
  #starts = 0

  constructor(command: { readonly file: string; readonly args: ReadonlyArray<string> }) {
    this.#command = command
  }

  get pid(): number | undefined {
    return this.#running?.child.pid
  }

  /** How often it was started: what was loaded into an earlier one is gone. */
  get starts(): number {
    return this.#starts
  }

  /** It is no reason for this program to stay, but while it is asked. */
  #hold({ child }: Running, isHeld: boolean): void {
    for (const part of [child, child.stdin as Socket | null, child.stdout as Socket | null, child.stderr as Socket | null])
      if (isHeld) part?.ref?.()
      else part?.unref?.()
  }

  #hear(running: Running, chunk: Buffer): void {
    running.chunks.push(chunk)
    running.length += chunk.length
    if (running.answer === undefined) return this.#lose(running, failed("the simulator spoke without being asked"))
    if (running.length < 4) return
    let [first] = running.chunks as [Buffer]
    if (first.length < 4) running.chunks = [(first = Buffer.concat(running.chunks))]
    const words = first.readUInt32LE(0)
    if (words > running.wordsMax || running.length > 4 + 4 * words)
      return this.#lose(running, failed(`the simulator answered with more than ${Math.min(words, running.wordsMax)} words`))
    if (running.length < 4 + 4 * words) return
    const bytes = Buffer.concat(running.chunks)
    running.chunks = []
    running.length = 0
    running.answer(new Uint32Array(bytes.buffer.slice(bytes.byteOffset + 4, bytes.byteOffset + bytes.length)))
  }

  /** Whatever it was, it is not asked again. */
  #lose(running: Running, error: AccelerateError): void {
    if (this.#running === running) this.#running = undefined
    endGroup(running.child)
    running.fail?.(error)
  }

  #start(): Running {
    const child = startGroup(this.#command.file, this.#command.args, {}, ["pipe", "pipe", "pipe"])
    const running: Running = { child, answer: undefined, fail: undefined, wordsMax: 0, chunks: [], length: 0, said: "" }
    const lost = (how: string): void =>
      this.#lose(
        running,
        new AccelerateError("Lost", { device, detail: `the simulator ended${running.said === "" ? "" : `, "${running.said.trim()}"`} (${how})` }),
      )
    child.stdout?.on("data", (chunk: Buffer) => this.#hear(running, chunk))
    child.stderr?.on("data", (chunk: Buffer) => void (running.said = (running.said + chunk.toString("utf8")).slice(-saidCharsMax)))
    // What cannot be written to it any more is told by its end.
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.on("error", () => undefined)
    child.on("error", (error) => lost(error.message))
    child.on("close", (code, signal) => lost(code === null ? String(signal) : `exit code ${code}`))
    this.#starts++
    this.#running = running
    return running
  }

  /** One at a time. @throws (rejects) AccelerateError `Lost`, `Failed`, `Deadline`, `Aborted`, after which it is ended */
  async ask({ operation, flags = 0, every = 1, bytes = none, wordsMax }: Question, watch: Watch): Promise<Uint32Array> {
    watch.check()
    const running = this.#running ?? this.#start()
    running.wordsMax = wordsMax
    const answered = new Promise<Uint32Array>((resolve, reject) => {
      running.answer = resolve
      running.fail = reject
    })
    this.#hold(running, true)
    const head = Buffer.alloc(8)
    head.writeUInt8(operation, 0)
    head.writeUInt8(flags, 1)
    head.writeUInt16LE(every, 2)
    head.writeUInt32LE(bytes.length, 4)
    running.child.stdin?.write(head)
    if (bytes.length > 0) running.child.stdin?.write(bytes)
    try {
      return await watch.race(answered)
    } catch (error) {
      this.#end(running)
      throw error
    } finally {
      running.answer = undefined
      running.fail = undefined
      this.#hold(running, false)
    }
  }

  #end(running: Running): void {
    if (this.#running === running) this.#running = undefined
    endGroup(running.child)
  }

  /** Ends it; the next question starts another. */
  end(): void {
    if (this.#running !== undefined) this.#end(this.#running)
  }
}
