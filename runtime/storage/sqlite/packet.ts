/**
 * What goes between a store and its thread, both ways. A structured clone names every property of every operation and makes a
 * buffer for each of its parts; here the bytes of one message lie one after the other in a few buffers that are handed over,
 * their lengths in another, and only what is rare is cloned. Answers are mostly versions: numbers, side by side with their ids.
 */
import { checkTenant, copyOf } from "../operation.ts"
import type { Operation } from "../../port/store.ts"
import type { Failure, Request, Step } from "./worker.ts"
import type { Outcome } from "./writer.ts"

/** Requests of one message. */
export interface Packet {
  readonly firstId: number
  /** Requests in it. */
  readonly count: number
  /**
   * For each request: its id above `firstId`, then its number of operations × 2 + (is it blocking?), or `elsewhere`. For each of its operations: which of
   * `forms` it has, and the lengths of its bytes; or `elsewhere`.
   */
  readonly words: Uint32Array<ArrayBuffer>
  /** The bytes in their order; what does not fit into the rest of one buffer begins the next. */
  readonly buffers: ReadonlyArray<ArrayBuffer>
  /** What has no form, in its order. */
  readonly others: ReadonlyArray<unknown>
}

/** In `others`. */
const elsewhere = 0xffff_ffff
/** Instead of a tenant's length: the tenant before. */
const sameTenant = 0xffff_ffff

const bufferBytesMin = 1_024
const bufferBytesMax = 256 << 10

interface Form {
  readonly op: Operation["op"]
  readonly parts: ReadonlyArray<string>
  make(tenant: Uint8Array, second: Uint8Array, third: Uint8Array): Operation
}

/** Operations that consist of bytes alone, in the order of their numbers. All begin with their tenant. */
const forms: ReadonlyArray<Form> = [
  { op: "set", parts: ["tenant", "key", "value"], make: (tenant, key, value) => ({ op: "set", tenant, key, value }) },
  { op: "delete", parts: ["tenant", "key"], make: (tenant, key) => ({ op: "delete", tenant, key }) },
  { op: "publish", parts: ["tenant", "key", "payload"], make: (tenant, key, payload) => ({ op: "publish", tenant, key, payload }) },
  { op: "append", parts: ["tenant", "key", "payload"], make: (tenant, key, payload) => ({ op: "append", tenant, key, payload }) },
  { op: "record", parts: ["tenant", "records"], make: (tenant, records) => ({ op: "record", tenant, records }) },
]
const numberOf = new Map(forms.map(({ op }, number) => [op, number]))

/** Which form an operation has; undefined for one with anything more or less than the parts of its form. */
function formOf(operation: Operation): number | undefined {
  const number = numberOf.get(operation.op)
  if (number === undefined) return undefined
  const { parts } = forms[number] as Form
  const bytes = operation as unknown as Readonly<Record<string, unknown>>
  let count = 0
  for (const name in bytes) if (bytes[name] !== undefined) count++
  if (count !== parts.length + 1) return undefined
  for (const part of parts) if (!(bytes[part] instanceof Uint8Array)) return undefined
  return number
}

const none = new Uint8Array(0)

const isSame = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** Requests that wait to be sent: their bytes are copied when they are asked for. */
export class Outbox {
  #firstId = 0
  #count = 0
  #words = new Uint32Array(bufferBytesMin / 4)
  #wordCount = 0
  #buffers: Array<ArrayBuffer> = []
  #buffer = none
  #at = 0
  #others: Array<unknown> = []
  /** The copy of the last tenant. */
  #tenant: Uint8Array | undefined
  /** For the next packet: what the last one took. */
  #expectedBytes = bufferBytesMin

  /** Requests in it. */
  get count(): number {
    return this.#count
  }

  /**
   * Takes a batch in.
   * @throws as `copyOf`, and TypeError for bytes that are gone; then nothing of it is kept
   */
  add(id: number, batch: ReadonlyArray<Operation>, isBlocking: boolean): void {
    const [wordCount, buffers, buffer, at, others, tenant] = [this.#wordCount, this.#buffers.length, this.#buffer, this.#at, this.#others.length, this.#tenant]
    try {
      this.#begin(id)
      this.#word(batch.length * 2 + Number(isBlocking))
      for (const operation of batch) this.#operation(operation)
      this.#count++
    } catch (error) {
      this.#wordCount = wordCount
      this.#buffers.length = buffers
      this.#buffer = buffer
      this.#at = at
      this.#others.length = others
      this.#tenant = tenant
      throw error
    }
  }

  /** Takes a step of a transaction in. */
  addStep(step: Step): void {
    this.#begin(step.id)
    this.#word(elsewhere)
    this.#others.push(step)
    this.#count++
  }

  #begin(id: number): void {
    if (this.#count === 0) this.#firstId = id
    this.#word(id - this.#firstId)
  }

  #operation(operation: Operation): void {
    const number = formOf(operation)
    if (number === undefined) {
      this.#word(elsewhere)
      this.#others.push(copyOf(operation))
      return
    }
    this.#word(number)
    const bytes = operation as unknown as Readonly<Record<string, Uint8Array>>
    for (const part of (forms[number] as Form).parts) {
      if (part === "tenant") this.#addTenant(bytes[part] as Uint8Array)
      else this.#bytes(bytes[part] as Uint8Array)
    }
  }

  #addTenant(tenant: Uint8Array): void {
    if (this.#tenant !== undefined && isSame(this.#tenant, tenant)) return this.#word(sameTenant)
    checkTenant(tenant)
    this.#bytes(tenant)
    this.#tenant = this.#buffer.subarray(this.#at - tenant.length, this.#at)
  }

  #bytes(bytes: Uint8Array): void {
    const { length } = bytes
    if (length > this.#buffer.length - this.#at) {
      this.#buffer = new Uint8Array(Math.max(length, this.#expectedBytes))
      this.#buffers.push(this.#buffer.buffer as ArrayBuffer)
      this.#at = 0
    }
    // Throws for bytes that were handed over to somebody else.
    this.#buffer.set(bytes, this.#at)
    this.#at += length
    this.#word(length)
  }

  #word(word: number): void {
    if (this.#wordCount === this.#words.length) {
      const longer = new Uint32Array(2 * this.#words.length)
      longer.set(this.#words)
      this.#words = longer
    }
    this.#words[this.#wordCount++] = word
  }

  /** What is in it, which it then is no more, and the buffers to be handed over. */
  take(): readonly [packet: Packet, transfer: Array<ArrayBuffer>] {
    const packet = { firstId: this.#firstId, count: this.#count, words: this.#words, buffers: this.#buffers, others: this.#others }
    const bytes = this.#buffers.reduce((sum, { byteLength }) => sum + byteLength, this.#at - this.#buffer.length)
    this.#expectedBytes = Math.min(bufferBytesMax, Math.max(bufferBytesMin, 2 ** Math.ceil(Math.log2(bytes + 1))))
    this.#words = new Uint32Array(Math.max(bufferBytesMin / 4, 2 ** Math.ceil(Math.log2(this.#wordCount + 1))))
    this.#wordCount = 0
    this.#buffers = []
    this.#buffer = none
    this.#at = 0
    this.#others = []
    this.#tenant = undefined
    this.#count = 0
    return [packet, [packet.words.buffer, ...packet.buffers]]
  }
}

/** The requests of a packet. Their bytes are views of its buffers. */
export function unpack({ firstId, count, words, buffers, others }: Packet): Array<Request | Step> {
  let [word, other, nextBuffer, at] = [0, 0, 0, 0]
  let buffer = none.buffer
  let tenant = none
  const next = (): number => words[word++] as number
  const bytes = (): Uint8Array<ArrayBuffer> => {
    const length = next()
    if (length > buffer.byteLength - at) {
      buffer = buffers[nextBuffer++] as ArrayBuffer
      at = 0
    }
    at += length
    return new Uint8Array(buffer, at - length, length)
  }
  const tenantBytes = (): Uint8Array => {
    if (words[word] !== sameTenant) return (tenant = bytes())
    word++
    return tenant
  }
  const operation = (): Operation => {
    const number = next()
    if (number === elsewhere) return others[other++] as Operation
    const { parts, make } = forms[number] as Form
    return make(tenantBytes(), bytes(), parts.length > 2 ? bytes() : none)
  }
  const requests: Array<Request | Step> = []
  for (let left = count; left > 0; left--) {
    const id = firstId + next()
    const head = next()
    if (head === elsewhere) {
      requests.push(others[other++] as Step)
      continue
    }
    const batch: Array<Operation> = []
    for (let operations = head >>> 1; operations > 0; operations--) batch.push(operation())
    requests.push((head & 1) === 1 ? { id, batch, isBlocking: true } : { id, batch })
  }
  return requests
}

/** What became of a request that has not one number for an answer. */
export type Answered = { readonly answers: ReadonlyArray<unknown> } | { readonly failure: Failure }

/** What became of several requests, in the order in which they are to be told. */
export interface Outcomes {
  /** For each its id and its one answer, a number; NaN: the next of `others`. */
  readonly outcomes: Float64Array<ArrayBuffer>
  readonly others: ReadonlyArray<Answered>
}

export function packOutcomes(answered: ReadonlyArray<{ readonly id: number; readonly outcome: Outcome }>, failureOf: (error: Error) => Failure): Outcomes {
  const outcomes = new Float64Array(2 * answered.length)
  const others: Array<Answered> = []
  for (const [i, { id, outcome }] of answered.entries()) {
    outcomes[2 * i] = id
    const answer = "answers" in outcome && outcome.answers.length === 1 ? outcome.answers[0] : undefined
    outcomes[2 * i + 1] = typeof answer === "number" ? answer : Number.NaN
    if (Number.isNaN(outcomes[2 * i + 1])) others.push("error" in outcome ? { failure: failureOf(outcome.error) } : { answers: outcome.answers })
  }
  return { outcomes, others }
}
