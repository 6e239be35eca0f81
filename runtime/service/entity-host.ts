/**
 * Serving entities: takes messages of the shards that this process has, keeps the states of their entities in memory, and writes what becomes of each message
 * in one batch behind the shard's token. What is in memory came from the store after the message was leased, or from a batch that was kept.
 */
import { StorageError } from "../../schemas/error/storage.ts"
import type { Decision, EntityKind, EntityMessage, ServeOptions, ServeReport } from "../port/entity.ts"
import { textOf } from "../port/place.ts"
import type { LeasedJob, LeaseRef } from "../port/queue.ts"
import type { BatchResults, Operation, Store } from "../port/store.ts"
import { type Delivery, isPassing, Membership, type Shard } from "./entity-member.ts"
import { EntityPlaces, opened } from "./entity-place.ts"
import { failureRow, replyRow } from "./entity-reply.ts"

const { clearInterval, clearTimeout, setInterval, setTimeout } = process.getBuiltinModule("node:timers")

/** Messages of a shard that a completion takes along, beside the next one of its own place. */
const alongMax = 7
/** Least time between two looks for messages, ms. */
const lookGapMs = 2
const errorTextMax = 1_024

const isReason = (error: unknown, ...tags: ReadonlyArray<string>): boolean => error instanceof StorageError && tags.includes(error.reason._tag)
/** The store serves nobody any more. */
const isOver = (error: unknown): boolean => isReason(error, "Closed", "Lost", "Moved")
const refOf = ({ tenant, key, id, token }: LeaseRef): LeaseRef => ({ tenant, key, id, token })
const saidBy = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, errorTextMax)

/** The shard, or the message, is not this process's any more: whatever was decided is dropped. */
class Gone extends Error {}

interface Cell<S> {
  readonly shard: Shard
  readonly state: S | undefined
  readonly usedMs: number
}

/** Somebody who sleeps until something may have happened. */
class Sleeper {
  #wake = (): void => {}
  #isWoken = false

  wake(): void {
    this.#isWoken = true
    this.#wake()
  }

  async sleep(ms: number): Promise<void> {
    if (!this.#isWoken)
      await new Promise<void>((resume) => {
        const timer = setTimeout(resume, ms)
        this.#wake = () => {
          clearTimeout(timer)
          resume()
        }
      })
    this.#isWoken = false
  }
}

export type HostOptions = Required<ServeOptions>

export class EntityHost<S> {
  readonly #store: Store
  readonly #places: EntityPlaces
  readonly #kind: EntityKind<S>
  readonly #options: HostOptions
  readonly #membership: Membership
  /** The one that was used longest ago first. */
  readonly #cells = new Map<string, Cell<S>>()
  readonly #report = { completed: 0, failed: 0, lost: 0 }
  readonly #mail = new Sleeper()
  readonly #pace = new Sleeper()
  /** Places for messages that are taken, or are being leased. */
  #taken = 0
  #broken: { readonly error: unknown } | undefined

  constructor(store: Store, places: EntityPlaces, kind: EntityKind<S>, options: HostOptions) {
    this.#store = store
    this.#places = places
    this.#kind = kind
    this.#options = options
    this.#membership = new Membership(store, places, options, (shard) => this.#dropped(shard))
  }

  get #isEnding(): boolean {
    return this.#options.signal.aborted || this.#broken !== undefined
  }

  #break(error: unknown): void {
    this.#broken ??= { error }
    this.#mail.wake()
    this.#pace.wake()
  }

  async run(): Promise<ServeReport> {
    const { signal, leaseMs } = this.#options
    const ended = (): void => {
      this.#mail.wake()
      this.#pace.wake()
    }
    signal.addEventListener("abort", ended)
    const stopListening = this.#store.onCommit(() => this.#mail.wake())
    const extension = setInterval(() => void this.#extend(), Math.max(1, Math.floor(leaseMs / 3)))
    try {
      await Promise.all([this.#keepPace(), this.#readMail()])
      await this.#settled()
    } finally {
      clearInterval(extension)
      stopListening()
      signal.removeEventListener("abort", ended)
      await this.#membership.close().catch((error: unknown) => this.#break(error))
    }
    if (this.#broken !== undefined) throw this.#broken.error
    return { ...this.#report }
  }

  async #keepPace(): Promise<void> {
    const { pollMs, idleMs } = this.#options
    try {
      while (!this.#isEnding) {
        const before = this.#membership.shards.size
        await this.#membership.turn()
        if (this.#membership.shards.size > before) this.#mail.wake()
        this.#forget(performance.now() - idleMs)
        await this.#pace.sleep(pollMs)
      }
    } catch (error) {
      this.#break(error)
    }
  }

  /** States that were not used since, or are more than may be kept. */
  #forget(beforeMs: number): void {
    for (const [id, { usedMs }] of this.#cells) {
      if (usedMs > beforeMs && this.#cells.size <= this.#options.entitiesMax) return
      this.#cells.delete(id)
    }
  }

  #keep(id: string, shard: Shard, state: S | undefined): void {
    this.#cells.delete(id)
    if (shard.signal.aborted) return
    this.#cells.set(id, { shard, state, usedMs: performance.now() })
    if (this.#cells.size > this.#options.entitiesMax) this.#forget(Number.NEGATIVE_INFINITY)
  }

  #dropped(shard: Shard): void {
    for (const [id, cell] of this.#cells) if (cell.shard === shard) this.#cells.delete(id)
    // What runs is given to whoever follows, where the store still has it as this process's.
    for (const { job } of shard.deliveries) void this.#release(job)
  }

  async #release(job: LeasedJob): Promise<void> {
    try {
      await this.#store.apply([{ op: "release", leases: [refOf(job)] }])
    } catch {
      // It is somebody else's, or its lease ends by itself.
    }
  }

  /** Finds messages: when something was committed, when a place is free, and every `pollMs`. */
  async #readMail(): Promise<void> {
    try {
      while (!this.#isEnding) {
        const sinceMs = performance.now()
        const free = this.#options.concurrency - this.#taken
        if (free > 0 && this.#membership.shards.size > 0) await this.#look(free)
        await this.#mail.sleep(this.#options.pollMs)
        // Whoever writes all the time is not looked after each time.
        const restMs = sinceMs + lookGapMs - performance.now()
        if (restMs > 0) await new Promise((resume) => setTimeout(resume, restMs))
      }
    } catch (error) {
      this.#break(error)
    }
  }

  async #look(free: number): Promise<void> {
    const { queues, shards } = this.#places
    let names: ReadonlyArray<Uint8Array>
    try {
      names = await this.#store.ask({ ask: "ready", ...queues, countMax: shards })
    } catch (error) {
      if (isPassing(error)) return
      throw error
    }
    const found = names.flatMap((name) => this.#membership.shards.get(Number(EntityPlaces.rest(queues, name))) ?? [])
    const open = found.filter(({ drainedSinceMs }) => drainedSinceMs === undefined)
    // As many shards as there are places, each another time if there are more of them.
    const turn = open.length > free ? open.toSorted(() => Math.random() - 0.5).slice(0, free) : open
    await Promise.all(turn.map((shard) => this.#lease(shard, Math.max(1, Math.floor(free / turn.length)))))
  }

  #leaseOf(shard: Shard, countMax: number): Extract<Operation, { readonly op: "lease" }> {
    return { op: "lease", ...shard.queue, countMax, leaseMs: this.#options.leaseMs }
  }

  async #lease(shard: Shard, countMax: number): Promise<void> {
    this.#taken += countMax
    const leasedMs = performance.now()
    try {
      const [leased] = await this.#write(shard, [this.#leaseOf(shard, countMax)] as const)
      this.#deliver(shard, leased.jobs, leasedMs)
    } catch (error) {
      if (!(error instanceof Gone)) throw error
    } finally {
      this.#taken -= countMax
    }
  }

  #deliver(shard: Shard, jobs: ReadonlyArray<LeasedJob>, leasedMs: number): void {
    for (const job of jobs) {
      const delivery: Delivery = { job, stop: new AbortController(), leasedMs }
      if (shard.signal.aborted) {
        void this.#release(job)
        continue
      }
      shard.deliveries.add(delivery)
      this.#taken++
      void this.#serve(shard, delivery)
    }
  }

  async #serve(shard: Shard, delivery: Delivery): Promise<void> {
    try {
      await this.#receive(shard, delivery)
    } catch (error) {
      if (error instanceof Gone || isReason(error, "LeaseLost")) this.#report.lost++
      else this.#break(error)
    } finally {
      shard.deliveries.delete(delivery)
      this.#taken--
      this.#mail.wake()
    }
  }

  async #receive(shard: Shard, delivery: Delivery): Promise<void> {
    const { job, stop } = delivery
    const message = opened(job)
    const id = message?.id ?? ""
    let decided: { readonly batch: ReadonlyArray<Operation>; readonly state: S | undefined }
    try {
      if (message === undefined) throw new StorageError("EntityMessage", { store: this.#store.name, queue: textOf(job.key), job: job.id })
      const before = await this.#state(shard, id)
      const isAsked = message.reply !== undefined
      const { payload } = message
      const { id: number, attempt, attemptsMax, enqueuedUs: sentUs } = job
      const seen: EntityMessage = { id, number, payload, attempt, attemptsMax, sentUs, isAsked }
      const decision = (await this.#kind.receive(before, seen, stop.signal)) ?? {}
      decided = { batch: this.#batchOf(id, decision, message.reply), state: decision.state === undefined ? before : (decision.state ?? undefined) }
    } catch (error) {
      return await this.#fail(shard, delivery, id, message?.reply, error)
    }
    if (stop.signal.aborted) throw new Gone()
    try {
      await this.#write(shard, [...decided.batch, { op: "complete", leases: [refOf(job)] }], () => {
        this.#keep(id, shard, decided.state)
        this.#report.completed++
      })
    } catch (error) {
      return await this.#fail(shard, delivery, id, message.reply, error)
    }
  }

  #batchOf(id: string, { state, reply, operations = [] }: Decision<S>, asked: string | undefined): ReadonlyArray<Operation> {
    const place = this.#places.state(id)
    return [
      ...(state === undefined
        ? []
        : [state === null ? ({ op: "delete", ...place } as const) : ({ op: "set", ...place, value: this.#kind.encode(state) } as const)]),
      ...(asked === undefined ? [] : [replyRow(this.#places, asked, reply ?? new Uint8Array(0))]),
      ...operations,
    ]
  }

  /** From memory, or from the store: read when the message is this process's, so that nobody else changes it meanwhile. */
  async #state(shard: Shard, id: string): Promise<S | undefined> {
    const cell = this.#cells.get(id)
    if (cell?.shard === shard) return cell.state
    const found = await this.#patiently(shard, () => this.#store.ask({ ask: "get", ...this.#places.state(id) }))
    return found === undefined ? undefined : this.#kind.decode(found.value)
  }

  /** The attempt failed, with nothing kept of it. */
  async #fail(shard: Shard, { job, stop }: Delivery, id: string, asked: string | undefined, error: unknown): Promise<void> {
    // What the handler did to the state that it was given is not to be seen.
    this.#cells.delete(id)
    if (error instanceof Gone || isOver(error) || isReason(error, "LeaseLost")) throw error
    if (stop.signal.aborted) throw new Gone()
    const isFinal = isReason(error, "EntityMessage")
    const isLast = isFinal || job.attempt >= job.attemptsMax
    this.#report.failed++
    const failed: Operation = { op: "fail", ...refOf(job), error: saidBy(error), isFinal }
    await this.#write(shard, isLast && asked !== undefined ? [failureRow(this.#places, asked, saidBy(error)), failed] : [failed], () => {})
  }

  /**
   * A batch behind the shard's token. With `kept`, which is called before anything that follows is delivered, it takes the shard's next messages along.
   * Throws `Gone` when it is not this process's shard.
   */
  async #write<const B extends ReadonlyArray<Operation>>(shard: Shard, batch: B, kept?: () => void): Promise<BatchResults<B>> {
    const isTaking = kept !== undefined && !this.#isEnding && shard.drainedSinceMs === undefined
    const countMax = isTaking ? 1 + Math.max(0, Math.min(alongMax, this.#options.concurrency - this.#taken)) : 0
    this.#taken += Math.max(0, countMax - 1)
    const leasedMs = performance.now()
    try {
      const all = [shard.fence, ...batch, ...(isTaking ? [this.#leaseOf(shard, countMax)] : [])]
      const [, ...answers] = await this.#patiently(shard, () => this.#store.apply(all as ReadonlyArray<Operation>))
      kept?.()
      if (isTaking) this.#deliver(shard, (answers.at(-1) as { readonly jobs: ReadonlyArray<LeasedJob> }).jobs, leasedMs)
      return answers as unknown as BatchResults<B>
    } finally {
      this.#taken -= Math.max(0, countMax - 1)
    }
  }

  async #patiently<A>(shard: Shard, run: () => Promise<A>): Promise<A> {
    for (let waitMs = 10; ; waitMs = Math.min(1_000, waitMs * 2)) {
      if (shard.signal.aborted) throw new Gone()
      try {
        return await run()
      } catch (error) {
        // Nobody can tell what became of it: a new token, and states read anew, are right either way.
        if (shard.isFenced(error) || isReason(error, "Unknown")) {
          this.#membership.lose(shard)
          throw new Gone()
        }
        if (!isPassing(error)) throw error
      }
      await new Promise((resume) => setTimeout(resume, waitMs))
    }
  }

  /** What takes long keeps its lease, as long as the shard is this process's. */
  async #extend(): Promise<void> {
    const { leaseMs } = this.#options
    const beforeMs = performance.now() - leaseMs / 3
    const old = [...this.#membership.shards.values()].flatMap((shard) =>
      [...shard.deliveries].filter(({ leasedMs }) => leasedMs < beforeMs).map((delivery) => ({ shard, delivery })),
    )
    await Promise.all(
      old.map(async ({ shard, delivery }) => {
        const sinceMs = performance.now()
        try {
          await this.#store.apply([shard.fence, { op: "extend", leases: [refOf(delivery.job)], leaseMs }])
          delivery.leasedMs = sinceMs
        } catch (error) {
          if (shard.isFenced(error)) this.#membership.lose(shard)
          // One that has just ended is not there any more; anything else is tried again at the next turn.
          else if (isReason(error, "LeaseLost")) delivery.stop.abort(error)
        }
      }),
    )
  }

  /** At the end: what runs may end, for a while. */
  async #settled(): Promise<void> {
    const untilMs = performance.now() + this.#options.graceMs
    while (this.#taken > 0 && this.#broken === undefined && performance.now() < untilMs) await this.#mail.sleep(untilMs - performance.now())
  }
}
