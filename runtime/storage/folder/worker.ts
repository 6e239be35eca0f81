/** The thread of a folder's writer: takes what has arrived as one group. See `thread.ts` for the other side. */
import type { MessagePort } from "node:worker_threads"
import { SteleError } from "../../../schemas/error/family.ts"
import { type ClockBase, clockFrom } from "../clock.ts"
import { FolderWriter, groupMax, type Operation } from "./writer.ts"

const { isMainThread, receiveMessageOnPort, workerData } = process.getBuiltinModule("node:worker_threads")

export interface Opening {
  readonly folder: string
  readonly acceptLoss: boolean
  readonly clockBase: ClockBase
  /** Int32: counts messages sent, for those who wait without an event loop. */
  readonly signal: SharedArrayBuffer
  readonly port: MessagePort
}

export interface Request {
  readonly id: number
  readonly operation: Operation
}

/** A `StorageError` as data: classes do not survive the way between threads. */
export type Failure = { readonly reason: string; readonly data: object } | { readonly message: string }
export type Reply =
  | { readonly opened: true; readonly refusal: Failure | undefined }
  | { readonly failed: Failure }
  | { readonly outcomes: ReadonlyArray<{ readonly id: number; readonly answer?: boolean; readonly failure?: Failure }> }

function failureOf(error: unknown): Failure {
  if (!(error instanceof SteleError)) return { message: error instanceof Error ? error.message : String(error) }
  const { _tag, ...data } = error.reason as { readonly _tag: string }
  return { reason: _tag, data }
}

if (!isMainThread) {
  const { folder, acceptLoss, clockBase, signal, port } = workerData as Opening
  const sent = new Int32Array(signal)
  const send = (reply: Reply): void => {
    port.postMessage(reply)
    Atomics.add(sent, 0, 1)
    Atomics.notify(sent, 0)
  }
  let writer: FolderWriter | undefined
  try {
    writer = FolderWriter.open(folder, acceptLoss, clockFrom(clockBase))
    send({ opened: true, refusal: writer.refusal === undefined ? undefined : failureOf(writer.refusal) })
  } catch (error) {
    send({ failed: failureOf(error) })
  }
  port.on("message", (first: ReadonlyArray<Request> | "close") => {
    const requests: Array<Request> = []
    let isLast = false
    for (let message: ReadonlyArray<Request> | "close" | undefined = first; message !== undefined;) {
      if (message === "close") {
        isLast = true
        break
      }
      requests.push(...message)
      message = requests.length >= groupMax ? undefined : (receiveMessageOnPort(port)?.message as ReadonlyArray<Request> | "close" | undefined)
    }
    // Nobody has been told that it is open, so what came without a writer is nobody's.
    const taken = writer === undefined ? 0 : requests.length
    for (let from = 0; from < taken; from += groupMax) {
      const group = requests.slice(from, from + groupMax)
      const outcomes = (writer as FolderWriter).settle(group.map(({ operation }) => operation))
      send({
        outcomes: outcomes.map((outcome, i) => {
          const { id } = group[i] as Request
          return "error" in outcome ? { id, failure: failureOf(outcome.error) } : { id, answer: outcome.answer }
        }),
      })
    }
    if (!isLast) return
    writer?.close()
    port.close()
  })
}
