/** One call in a thread of an engine's own, which is ended at the deadline; its streams are messages. */
import { MessageChannel, Worker } from "node:worker_threads"
import { type Ended, pullBytes, pullMs, type Streams, taking } from "./process.ts"
import { type Answer, decodeAnswer, type Request } from "./program.ts"

/** How long a thread has to close what its guest opened before it is ended all the same. */
const graceMs = 1_000

type Message = { readonly answer: Uint8Array } | { readonly to: 1 | 2; readonly bytes: Uint8Array } | { readonly pull: true }

/** Runs one request to its end, as `runProcess` does. */
export function runThread(program: string, request: Request, module: Uint8Array, streams: Streams, signal: AbortSignal | undefined): Promise<Answer | Ended> {
  return new Promise((resolve) => {
    const { port1: here, port2: port } = new MessageChannel()
    const epoch = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })
    const cells = new Int32Array(epoch.buffer)
    const { stdin } = streams
    const worker = new Worker(program, {
      eval: true,
      env: {},
      // Its own notes would stand on this process's standard error.
      execArgv: ["--no-warnings"],
      name: "stele-node-wasi",
      transferList: [port],
      workerData: { request, module, port, epoch, stdin: typeof stdin === "function" ? new Uint8Array(0) : stdin, bytesMax: streams.bytesMax },
    })
    let ended: Ended | undefined
    let answer: Answer | undefined
    let pulling: NodeJS.Timeout | undefined
    const wake = (): void => {
      Atomics.add(cells, 1, 1)
      Atomics.notify(cells, 1)
    }
    let ending: NodeJS.Timeout | undefined
    const stop = (how: Ended): void => {
      if (ended !== undefined) return
      ended = how
      Atomics.or(cells, 0, 1)
      wake()
      ending = setTimeout(() => {
        void worker.terminate()
        // Where the system does not come back from a call, neither does the thread.
        ending = setTimeout(finish, graceMs)
      }, graceMs)
    }
    const take = taking(streams, stop)
    const give = (bytes: Uint8Array | undefined): void => {
      here.postMessage({ bytes })
      wake()
    }
    const pull = (): void => {
      if (ended !== undefined) return
      try {
        const bytes = typeof stdin === "function" ? stdin(pullBytes) : undefined
        if (bytes?.length === 0) pulling = setTimeout(pull, pullMs)
        else give(bytes)
      } catch (error) {
        stop({ tag: "threw", error })
      }
    }
    const timer = request.deadlineMs === null ? undefined : setTimeout(() => stop({ tag: "deadline" }), request.deadlineMs)
    const onAbort = (): void => stop({ tag: "aborted" })
    signal?.addEventListener("abort", onAbort)
    let failure = ""
    worker.on("message", (message: Message) => {
      if (ended !== undefined) return
      if ("answer" in message) answer = decodeAnswer(message.answer, request.result)
      else if ("pull" in message) pull()
      else take(message.to === 1 ? streams.stdout : streams.stderr, message.bytes)
    })
    worker.on("error", (error: Error) => (failure = error.message))
    const finish = (code?: number): void => {
      clearTimeout(timer)
      clearTimeout(pulling)
      clearTimeout(ending)
      signal?.removeEventListener("abort", onAbort)
      here.close()
      resolve(ended ?? answer ?? { tag: "died", detail: failure === "" ? `exit code ${code}` : failure })
    }
    // After the last message.
    worker.on("exit", finish)
  })
}
