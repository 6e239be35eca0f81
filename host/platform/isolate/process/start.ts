/** Starts a process that runs guests, on Node, Deno and Bun. */
import { Frames } from "../../../isolate/frames.ts"
import type { Link, StartOptions } from "../../../isolate/link.ts"
import { type Encoder, headerBytes, type Incoming } from "../../../isolate/wire.ts"
import { builtin } from "../../server.ts"
import { commandOf } from "./command.ts"
import { confined } from "./sandbox.ts"

/** Where its program lies; a build places it. */
const program = new URL("./worker.ts", import.meta.url)

export function startProcess(_options: StartOptions): Link {
  const { spawn } = builtin("node:child_process")
  const command = commandOf(program)
  const { file, args } = confined(command.file, command.args)
  const child = spawn(file, args, { env: command.env ?? {}, stdio: ["pipe", "pipe", "ignore"], windowsHide: true })
  const { stdin, stdout, pid } = child
  // At once: between calls nobody else would notice, and what it goes on sending costs this program its time.
  const frames = new Frames(() => child.kill("SIGKILL"))
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
