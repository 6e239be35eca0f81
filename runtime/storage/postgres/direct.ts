/**
 * Sets that a caller awaits, written over a session of its own thread: no message to the store's thread and back. Only what is one
 * statement without a transaction of the client's goes this way, since a caller that blocks its thread then holds no
 * lock; everything else, and whatever does not go through at once, is the thread's. One of the two knows how a tenant was
 * left, and hands it on with what it asks or answers.
 *
 * Batches of a tenant stay in the order in which they were asked for: while one is under way here the next wait, and while one is at the
 * thread the next go there too. A call that blocks cannot wait for the former; it is at the same time as they are.
 */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { StoreLimits } from "../../port/limits.ts"
import type { Operation } from "../../port/store.ts"
import type { Bridge } from "../bridge.ts"
import { type Answer, ServerError } from "./connection.ts"
import { Estimate } from "./estimate.ts"
import { type Handed, ownMs, type Seen, sharedMs } from "./handed.ts"
import type { Pool } from "./pool.ts"
import { isPut, type Known, type Put, putOf } from "./put.ts"
import { type Table, tables } from "./table.ts"
import { hexOf } from "./tenant.ts"
import type { Doubt, Writing, Written } from "./worker.ts"
import { operationId, sweepMsMax, tenantsOf } from "./writer.ts"

const keyValue = tables[0] as Table

interface Waiting {
  readonly batch: ReadonlyArray<Operation>
  resolve(answers: ReadonlyArray<unknown>): void
  reject(error: Error): void
}

type Outcome = { readonly answers: ReadonlyArray<unknown> } | { readonly error: Error }

interface Lane {
  readonly id: string
  readonly tenant: Uint8Array
  waiting: Array<Waiting>
  isRunning: boolean
  /** Batches that the thread has. */
  far: number
  seen: Seen | undefined
  known: Known | undefined
  sweptAtMs: number
  /** Of the pool, when it was known. */
  generation: number
}

/** Tenants that something is known of, at most. */
const lanesMax = 10_000
/** Rows of a group that is written here: making a larger one would take the caller's thread too long. */
const rowsMax = 64
/**
 * And their bytes, with keys: so few that a socket which has nothing else to send takes all of them at once. Of a message that was cut off in the
 * middle the server may have what it is to do, and not yet that it is to commit; a caller that blocks now would wait for that lock.
 */
const bytesMax = 32_768
/** What a row needs beside its key and value, at most. */
const rowBytes = 128

export class Direct {
  readonly #store: string
  readonly #limits: StoreLimits
  readonly #pool: Pool
  readonly #bridge: Bridge
  readonly #pendingMax: number
  readonly #lanes = new Map<string, Lane>()
  readonly #ofAll = new Estimate()
  /** What was added to the bytes of all tenants, and the thread does not know. */
  #untold = new Map<string, number>()
  #pending = 0
  #running = 0
  #isClosed = false
  #whenDone: Array<() => void> = []

  constructor(pool: Pool, bridge: Bridge, limits: StoreLimits, pendingMax: number) {
    this.#store = pool.address.name
    this.#limits = limits
    this.#pool = pool
    this.#bridge = bridge
    this.#pendingMax = pendingMax
  }

  apply(batch: ReadonlyArray<Operation>): Promise<ReadonlyArray<unknown>> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) throw new StorageError("Closed", { store: this.#store })
      if (this.#pending >= this.#pendingMax) throw new StorageError("Overloaded", { store: this.#store, pendingMax: this.#pendingMax })
      this.#pending++
      const waiting = { batch, resolve, reject }
      const lane = this.#laneOf(batch)
      if (lane === undefined || lane.far > 0) return this.#send(lane, [waiting])
      lane.waiting.push(waiting)
      if (lane.isRunning) return
      lane.isRunning = true
      this.#running++
      // Whoever else asks before this turn ends is in the same group.
      queueMicrotask(() => void this.#serve(lane))
    })
  }

  /** By the thread, while this one waits: what nobody has sent yet goes before it. */
  applySync(batch: ReadonlyArray<Operation>): ReadonlyArray<unknown> {
    const lane = this.#laneOf(batch)
    if (lane !== undefined) this.#send(lane, lane.waiting.splice(0))
    const { answers, handed } = this.#bridge.askSync("write", { ...this.#writing(lane, batch), isBlocking: true }) as Written
    if (lane !== undefined) this.#heard(lane, handed)
    return answers
  }

  /** None of a batch that is nobody's, or several tenants': the thread says what is wrong with it. */
  #laneOf(batch: ReadonlyArray<Operation>): Lane | undefined {
    let tenant: Uint8Array | undefined
    let id = ""
    try {
      for (const operation of batch)
        for (const each of tenantsOf(this.#store, operation)) {
          const hex = hexOf(each)
          if (tenant !== undefined && hex !== id) return undefined
          ;[tenant, id] = [each, hex]
        }
    } catch {
      return undefined
    }
    if (tenant === undefined) return undefined
    let lane = this.#lanes.get(id)
    if (lane === undefined) {
      if (this.#lanes.size >= lanesMax) this.#forgetOne()
      lane = {
        id,
        tenant: new Uint8Array(tenant),
        waiting: [],
        isRunning: false,
        far: 0,
        seen: undefined,
        known: undefined,
        sweptAtMs: Number.NEGATIVE_INFINITY,
        generation: 0,
      }
      this.#lanes.set(id, lane)
    }
    return lane
  }

  #forgetOne(): void {
    for (const [id, { isRunning, far }] of this.#lanes) {
      if (isRunning || far > 0) continue
      this.#lanes.delete(id)
      return
    }
  }

  async #serve(lane: Lane): Promise<void> {
    while (lane.waiting.length > 0) {
      const taken = lane.waiting.splice(0)
      const operation = operationId()
      const put = this.#putOf(lane, taken, operation)
      if (put === undefined || !(await this.#write(lane, taken, put, operation))) this.#send(lane, taken)
    }
    lane.isRunning = false
    if (--this.#running === 0) for (const done of this.#whenDone.splice(0)) done()
  }

  #putOf(lane: Lane, taken: ReadonlyArray<Waiting>, operation: Uint8Array): Put | undefined {
    const { known, tenant } = lane
    if (known === undefined || lane.generation !== this.#pool.generation || !this.#pool.isReady() || performance.now() - lane.sweptAtMs > sweepMsMax)
      return undefined
    let [rows, bytes] = [0, 0]
    for (const { batch } of taken) {
      rows += batch.length
      for (const each of batch) {
        if (!isPut(each)) return undefined
        const { key, value } = each as { readonly key: Uint8Array; readonly value: Uint8Array }
        // A change has the key too.
        bytes += 2 * key.length + value.length + rowBytes
      }
    }
    if (rows === 0 || rows > rowsMax || bytes > bytesMax) return undefined
    const batches = taken.map(({ batch }) => batch)
    if (this.#ofAll.isVague(new Map([[keyValue, batches.flat()]]), this.#limits)) return undefined
    return putOf({ store: this.#store, limits: this.#limits, tenant }, known, batches, this.#ofAll.bytes, operation)
  }

  /** False: nothing was written, and the thread may do it. */
  async #write(lane: Lane, taken: ReadonlyArray<Waiting>, put: Put, operation: Uint8Array): Promise<boolean> {
    const { sequence, digest } = put.head
    lane.known = undefined
    let [isSent, next]: [boolean, Known | undefined] = [false, undefined]
    try {
      const [answer] = await this.#pool.use((connection) => {
        isSent = true
        return connection.run([put.statement])
      })
      if (answer instanceof ServerError) {
        if (!answer.isLost) return false
        throw answer
      }
      const [row] = (answer as Answer).rows
      if (row === undefined) return false
      next = put.known(row)
    } catch {
      if (!isSent) return false
      // Nobody said whether it was made; the thread finds out, as of its own.
      try {
        const doubt: Doubt = { tenant: lane.tenant, seen: { sequence, digest }, operation }
        if (!((await this.#bridge.ask("wasKept", doubt)) as boolean)) return false
      } catch (error) {
        for (const waiting of taken) this.#done(waiting, { error: error as Error })
        return true
      }
    }
    // A call that blocked may have written after it.
    if (lane.seen === undefined || lane.seen.sequence < sequence) {
      lane.seen = { sequence, digest }
      lane.known = next
    }
    for (const map of [this.#ofAll.bytes, this.#untold]) for (const [table, grown] of put.group.grown) map.set(table, (map.get(table) ?? 0) + grown)
    taken.forEach((waiting, i) => this.#done(waiting, { answers: put.answers[i] as ReadonlyArray<unknown> }))
    return true
  }

  #done({ resolve, reject }: Waiting, outcome: Outcome): void {
    this.#pending--
    if ("error" in outcome) reject(outcome.error)
    else resolve(outcome.answers)
  }

  /** To the thread, in this order. */
  #send(lane: Lane | undefined, taken: ReadonlyArray<Waiting>): void {
    for (const waiting of taken) {
      if (lane !== undefined) lane.far++
      const hear = (outcome: Outcome): void => {
        if (lane !== undefined) lane.far--
        this.#done(waiting, outcome)
      }
      this.#bridge.ask("write", this.#writing(lane, waiting.batch)).then(
        (written) => {
          const { answers, handed } = written as Written
          if (lane !== undefined) this.#heard(lane, handed)
          hear({ answers })
        },
        (error: Error) => hear({ error }),
      )
    }
  }

  /** With what is known here, which is the thread's then. */
  #writing(lane: Lane | undefined, batch: ReadonlyArray<Operation>): Writing {
    if (lane === undefined) return { batch, handed: undefined, wanted: undefined }
    const { tenant, seen, known, sweptAtMs, generation } = lane
    const wanted = batch.length > 0 && batch.every(isPut) ? tenant : undefined
    if (seen === undefined) return { batch, handed: undefined, wanted }
    const isSure = known !== undefined && generation === this.#pool.generation
    const handed: Handed = {
      tenant,
      seen,
      known: isSure ? { ...known, atMs: sharedMs(known.atMs) } : undefined,
      sweptAtMs: sharedMs(sweptAtMs),
      bytesOfAll: this.#untold,
      bytesOfAllAtMs: sharedMs(this.#ofAll.atMs),
    }
    this.#untold = new Map()
    lane.known = undefined
    lane.seen = undefined
    return { batch, handed, wanted }
  }

  #heard(lane: Lane, handed: Handed | undefined): void {
    if (handed?.known === undefined) return
    lane.seen = handed.seen
    lane.known = { ...handed.known, atMs: ownMs(handed.known.atMs) }
    lane.sweptAtMs = ownMs(handed.sweptAtMs)
    lane.generation = this.#pool.generation
    this.#ofAll.bytes = new Map(handed.bytesOfAll)
    this.#ofAll.add(this.#untold)
    this.#ofAll.atMs = ownMs(handed.bytesOfAllAtMs)
  }

  /** When what is under way here was done, or handed to the thread. */
  async close(): Promise<void> {
    this.#isClosed = true
    if (this.#running > 0) await new Promise<void>((done) => this.#whenDone.push(done))
  }
}
