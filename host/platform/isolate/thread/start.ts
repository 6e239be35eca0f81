/** Starts a thread that runs guests, on Node, Deno and Bun. */
import type { Link, StartOptions } from "../../../isolate/link.ts"
import { createMailbox, ParentSide, STOP } from "../../../isolate/mailbox.ts"
import { builtin } from "../../server.ts"
import { injectedName } from "../name.ts"

/** Where its program lies; a build places it. */
const program = new URL("./worker.ts", import.meta.url)

export function startWorker({ heapBytesMax }: StartOptions): Link {
  const { Worker } = builtin("node:worker_threads")
  const mailbox = createMailbox()
  const side = new ParentSide(mailbox)
  const stopWord = new Int32Array(mailbox.control)
  // Neither flags nor environment are inherited: what the application has there is no business of a guest's engine.
  const worker = new Worker(program, {
    workerData: mailbox,
    execArgv: [],
    env: {},
    name: "stele-isolate",
    trackUnmanagedFds: false,
    resourceLimits: { maxOldGenerationSizeMb: Math.max(64, Math.floor(heapBytesMax / 2 ** 20)) },
  })
  worker.unref()
  let detail: string | undefined
  const ended = new Promise<string>((resolve) => {
    worker.on("error", (error: unknown) => (detail ??= error instanceof Error ? error.message : String(error)))
    worker.on("exit", (code: number) => {
      side.close()
      resolve(detail ?? `it exited with ${code}`)
    })
  })
  return {
    kind: "worker",
    injected: injectedName(),
    data: mailbox.data,
    ended,
    exchange: (message, bytesMax) => side.exchange(message, bytesMax),
    stop() {
      Atomics.store(stopWord, STOP, 1)
      return true
    },
    resume: () => void Atomics.store(stopWord, STOP, 0),
    kill() {
      detail ??= "it was ended"
      worker.ref()
      void worker.terminate()
    },
    hold(isHeld) {
      if (isHeld) worker.ref()
      else worker.unref()
    },
    endsWithHost: true,
    residentBytes: () => undefined,
    processorMs: () => undefined,
  }
}
