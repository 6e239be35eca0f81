/** Starts a process that runs guests, on Node, Deno and Bun. */
import { Frames } from "../../../isolate/frames.ts"
import type { Link } from "../../../isolate/link.ts"
import { type Encoder, headerBytes } from "../../../isolate/wire.ts"
import { injectedName } from "../name.ts"
import type { Code } from "./code.ts"
import { commandOf } from "./command.ts"
import { endGroup, startGroup } from "./group.ts"
import type { Sandbox } from "./sandbox.ts"
import { ProcessTree } from "./usage.ts"

export function startProcess(sandbox: Sandbox, code?: Code): Link {
  const { command, first } = code?.start() ?? { command: commandOf(), first: undefined }
  const { file, args } = sandbox.confine(command)
  const child = startGroup(file, args, command.env, ["pipe", "pipe", "ignore"])
  // Where the system has no descriptor left there are no pipes, and the reason comes as an event that would end the program.
  child.on("error", () => undefined)
  const { stdin, stdout, pid } = child
  if (!stdin || !stdout) throw new Error("the system has no descriptor left for it")
  if (first !== undefined) stdin.write(first)
  code?.rehearse(sandbox)
  // At once: between calls nobody else would notice, and what it goes on sending costs this program its time.
  const frames = new Frames(() => endGroup(child))
  // It says that it is ready whether somebody waits for that already or not.
  frames.owe(headerBytes)
  /** Written together once this turn of the event loop has found all that there is to write. */
  const posted: Array<Uint8Array> = []
  const flush = (): void => {
    if (posted.length > 0) stdin.write(posted.length === 1 ? posted[0] : Buffer.concat(posted))
    posted.length = 0
  }
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
      tree?.end()
      frames.end()
      // Whoever has the other ends still, this program does not wait for it.
      stdin.destroy()
      stdout.destroy()
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
  /** Made when it is first looked at: until then the engine boots. */
  let tree: ProcessTree | undefined
  const processes = (): ProcessTree | undefined => (pid === undefined || !sandbox.report.residentMemory ? undefined : (tree ??= new ProcessTree(pid)))
  return {
    kind: "process",
    injected: injectedName(),
    data: undefined,
    ended,
    exchange(message: Encoder | undefined, bytesMax: number) {
      if (message !== undefined) {
        frames.owe(bytesMax)
        // Copied: a pipe that is full takes it later, and by then the next message may be being written.
        posted.push(message.framed.slice())
        flush()
      }
      return frames.next()
    },
    post(message: Encoder, bytesMax: number) {
      frames.owe(bytesMax)
      if (posted.length === 0) setImmediate(flush)
      posted.push(message.framed.slice())
    },
    stop: () => false,
    resume() {},
    kill() {
      detail ??= "it was ended"
      // The program lives until it has heard that the process is gone.
      hold(true)
      // First those that have left the group.
      tree?.end()
      endGroup(child)
    },
    hold,
    endsWithHost: sandbox.endsWithHost,
    residentBytes: () => processes()?.residentBytes(),
    processorMs: () => processes()?.processorMs(),
  }
}
