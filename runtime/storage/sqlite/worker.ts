/**
 * The writer's thread. It takes whatever has arrived as one group, and what arrives while that is written, commits it, and says so: callers
 * that wait at the same moment share a sync of the disk. It is started with an `Opening`; then come packets of
 * requests, and "close" as the last message. See `store.ts` for the other side.
 */
import type { MessagePort } from "node:worker_threads"
import { CounterError } from "../../../host/port/key-value.ts"
import { SteleError } from "../../../schemas/error/family.ts"
import { type ClockBase, clockFrom } from "../clock.ts"
import type { SqlOperation } from "../../port/sql.ts"
import type { Operation } from "../../port/store.ts"
import { type Outcomes, packOutcomes, type Packet, unpack } from "./packet.ts"
import { type Answer, groupMax, Turns } from "./turns.ts"
import { SqliteWriter, type WriterOptions } from "./writer.ts"

const { isMainThread, receiveMessageOnPort, workerData } = process.getBuiltinModule("node:worker_threads")

/** What the thread is started with. */
export interface Opening {
  readonly path: string
  readonly options: Omit<WriterOptions, "clock">
  /** Of the store's clock, see `clock.ts`. */
  readonly clockBase: ClockBase
  /** Int32: counts messages sent, for those who wait without an event loop. */
  readonly signal: SharedArrayBuffer
  readonly port: MessagePort
}

export interface Request {
  readonly id: number
  readonly batch: ReadonlyArray<Operation>
  /** Its caller's thread stands still until it is answered: it cannot wait for a transaction that the same thread must end. */
  readonly isBlocking?: true
}

/** A step of a transaction that one owner keeps open. */
export interface Step {
  readonly id: number
  readonly transaction: number
  readonly step: "begin" | "commit" | "rollback" | SqlOperation
}

/** An error as data: classes do not survive the way between threads. */
export type Failure = { readonly family: string; readonly reason: string; readonly data: object } | { readonly counter: string } | { readonly message: string }

export type Reply = { readonly opened: true; readonly refusal: Failure | undefined } | { readonly failed: Failure } | Outcomes

function failureOf(error: unknown): Failure {
  if (error instanceof SteleError) {
    const { _tag, ...data } = error.reason as { readonly _tag: string }
    return { family: error._tag, reason: _tag, data }
  }
  if (error instanceof CounterError) return { counter: error.message }
  return { message: error instanceof Error ? error.message : String(error) }
}

if (!isMainThread) {
  const { path, options, clockBase, signal, port } = workerData as Opening
  const sent = new Int32Array(signal)
  const send = (reply: Reply, transfer: Array<ArrayBuffer> = []): void => {
    port.postMessage(reply, transfer)
    Atomics.add(sent, 0, 1)
    Atomics.notify(sent, 0)
  }
  let writer: SqliteWriter | undefined
  try {
    writer = SqliteWriter.open(path, { ...options, clock: clockFrom(clockBase) })
    send({ opened: true, refusal: writer.refusal === undefined ? undefined : failureOf(writer.refusal) })
  } catch (error) {
    send({ failed: failureOf(error) })
  }
  const end = (): void => {
    turns?.close()
    writer?.close()
    port.close()
  }
  /** What has arrived meanwhile, without waiting for it. */
  const more = (): Array<Request | Step> => {
    const message = receiveMessageOnPort(port)?.message as Packet | "close" | undefined
    // The last message: whatever group is open is ended first.
    if (message === "close") setImmediate(end)
    return message === undefined || message === "close" ? [] : unpack(message)
  }
  const answer = (answers: ReadonlyArray<Answer>): void => {
    const reply = packOutcomes(answers, failureOf)
    send(reply, [reply.outcomes.buffer])
  }
  const turns = writer && new Turns(writer, path, options.limits.sql.transactionMsMax, { groupMax, send: answer, more })
  port.on("message", (message: Packet | "close") => {
    if (message === "close") end()
    else turns?.take(unpack(message))
  })
}
