/**
 * Who serves entities, and which shards each process has. A member is a row with an end that its process renews; a shard is a row that says whose it
 * is. A shard may be taken when it is nobody's, or when its owner's row has ended, which the same batch demands. The version of a shard's row is
 * the token: what is written for a shard requires it, so that a process that was stopped and followed writes nothing more.
 */
import { checkLimit } from "../../host/port/port.ts"
import { StorageError } from "../../schemas/error/storage.ts"
import { entityLimits } from "../port/entity.ts"
import type { KeyValueOperation } from "../port/key-value.ts"
import { type Place, textOf } from "../port/place.ts"
import type { LeasedJob } from "../port/queue.ts"
import type { Operation, Store } from "../port/store.ts"
import { EntityPlaces, rightful } from "./entity-place.ts"

const { randomUUID } = process.getBuiltinModule("node:crypto")
const { clearTimeout, setTimeout } = process.getBuiltinModule("node:timers")

const utf8 = new TextEncoder()
/** Parts of the lease after which a process stops that could not renew its row: clocks differ in pace, and stopping takes time. */
const [heldParts, parts] = [9, 10]
/** Shards that one process gives to others at a time: the rest goes on meanwhile. */
const handoverMax = 16
const page = { countMax: 1_000, bytesMax: 1 << 20 }

const isReason = (error: unknown, tag: string): boolean => error instanceof StorageError && error.reason._tag === tag
/** Nothing was kept, and the same may go well a moment later. */
export const isPassing = (error: unknown): boolean =>
  error instanceof StorageError && ["Busy", "Failed", "Overloaded", "Unreachable"].includes(error.reason._tag)

/** A message that runs. */
export interface Delivery {
  readonly job: LeasedJob
  readonly stop: AbortController
  /** Its lease is as old as this, ms on this process's clock. */
  leasedMs: number
}

export class Shard {
  readonly number: number
  readonly queue: Place
  readonly fence: Extract<KeyValueOperation, { readonly op: "require" }>
  readonly deliveries = new Set<Delivery>()
  readonly #lost = new AbortController()
  /** Since when it takes nothing more, to be given to another process. */
  drainedSinceMs: number | undefined

  constructor(places: EntityPlaces, number: number, version: number) {
    this.number = number
    this.queue = places.queue(number)
    this.fence = { op: "require", ...places.owner(number), version }
  }

  /** Raised when it is not this process's any more. */
  get signal(): AbortSignal {
    return this.#lost.signal
  }

  /** Is this the refusal of a batch because somebody else has had the shard? */
  isFenced(error: unknown): boolean {
    return isReason(error, "Conflict") && ((error as StorageError).reason as { readonly key?: string }).key === textOf(this.fence.key)
  }

  lose(): void {
    this.#lost.abort(new DOMException(`Shard ${this.number} is another process's`, "AbortError"))
    for (const { stop } of this.deliveries) stop.abort(this.#lost.signal.reason)
  }
}

interface Member {
  readonly id: string
  readonly place: Place
  readonly value: Uint8Array
  version: number
}

/** A shard's row as it was read. */
interface Owned {
  readonly shard: number
  readonly version: number | undefined
  readonly owner: string
}

export interface MemberOptions {
  readonly leaseMs: number
  readonly graceMs: number
  readonly holder: string
}

export class Membership {
  /** Those of this process, by number. */
  readonly shards = new Map<number, Shard>()
  readonly #store: Store
  readonly #places: EntityPlaces
  readonly #options: MemberOptions
  /** Told of each shard that is lost or given away, after its deliveries were told to stop. */
  readonly #onGone: (shard: Shard) => void
  #member: Member | undefined
  #untilMs = 0
  #renewMs = 0
  #timer: NodeJS.Timeout | undefined
  /** The members of the last turn. */
  #view = ""
  #rightful: ReadonlyArray<string | undefined> = []
  /** A row may say that a shard is this process's, and it does not know: an answer was lost. */
  #isUnsure = false

  constructor(store: Store, places: EntityPlaces, options: MemberOptions, onGone: (shard: Shard) => void) {
    this.#store = store
    this.#places = places
    this.#options = options
    this.#onGone = onGone
  }

  /**
   * One look around: renews its row when it is time, takes what is its by right and free, gives what is another's.
   * @throws what the store does not get over by itself
   */
  async turn(): Promise<void> {
    try {
      if (this.#member === undefined) await this.#join()
      else if (performance.now() >= this.#renewMs) await this.#renew()
      if (this.#member !== undefined) await this.#share()
    } catch (error) {
      if (isReason(error, "Unknown")) this.#isUnsure = true
      else if (!isPassing(error)) throw error
    }
  }

  async #join(): Promise<void> {
    const { leaseMs, holder } = this.#options
    const there = await this.#store.ask({ ask: "list", ...this.#places.members, beyond: undefined, countMax: page.countMax })
    checkLimit("entity", "membersMax", "processes", entityLimits.membersMax, there.length + 1)
    const id = randomUUID()
    const [place, value] = [this.#places.member(id), utf8.encode(holder)]
    const sinceMs = performance.now()
    const [version] = await this.#store.apply([{ op: "set", ...place, value, ttlMs: leaseMs }])
    this.#member = { id, place, value, version }
    this.#heldFrom(sinceMs)
  }

  async #renew(): Promise<void> {
    const member = this.#member as Member
    const { place, value } = member
    const sinceMs = performance.now()
    try {
      const [version] = await this.#store.apply([{ op: "swap", ...place, value, version: member.version, ttlMs: this.#options.leaseMs }])
      // It has ended: what others took since is theirs.
      if (version === undefined) return this.leave()
      member.version = version
      if (this.#member === member) this.#heldFrom(sinceMs)
    } catch (error) {
      if (!isReason(error, "Unknown")) throw error
      const found = await this.#store.ask({ ask: "get", ...place })
      if (found === undefined) this.leave()
      else member.version = found.version
    }
  }

  #heldFrom(sinceMs: number): void {
    const { leaseMs } = this.#options
    this.#untilMs = sinceMs + (leaseMs * heldParts) / parts
    this.#renewMs = sinceMs + leaseMs / 3
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.leave(), Math.max(0, this.#untilMs - performance.now()))
  }

  async #share(): Promise<void> {
    const me = (this.#member as Member).id
    const { members } = this.#places
    const { entries } = await this.#store.ask({ ask: "entries", ...members, beyond: undefined, ...page })
    const ids = entries.map(({ key }) => EntityPlaces.rest(members, key))
    if (!ids.includes(me)) return this.leave()
    const view = ids.join(" ")
    // Who comes and goes at once moves nothing: shards are given away by a view that two turns had.
    const isSettled = view === this.#view
    if (!isSettled) this.#rightful = rightful(ids, this.#places.shards)
    this.#view = view
    const missing = this.#rightful.flatMap((owner, shard) => (owner === me && !this.shards.has(shard) ? [shard] : []))
    if (missing.length > 0 || this.#isUnsure) await this.#claim(me, new Set(ids), missing)
    if (isSettled) this.#drain(me)
    await this.#give([...this.shards.values()].filter((shard) => shard.drainedSinceMs !== undefined && this.#isDrained(shard)))
  }

  async #claim(me: string, living: ReadonlySet<string>, missing: ReadonlyArray<number>): Promise<void> {
    const wasUnsure = this.#isUnsure
    this.#isUnsure = false
    const rows = await this.#rows()
    const isFree = ({ owner }: Owned): boolean => owner === "" || owner === me || !living.has(owner)
    const wanted = missing.map((shard) => rows.get(shard) ?? { shard, version: undefined, owner: "" }).filter(isFree)
    if (wanted.length > 0 && !(await this.#take(me, wanted))) for (const each of wanted) await this.#take(me, [each])
    if (!wasUnsure) return
    const strays = [...rows.values()].filter(({ shard, owner }) => owner === me && !this.shards.has(shard))
    for (const { shard, version } of strays) {
      const place = this.#places.owner(shard)
      await this.#refusable([
        { op: "require", ...place, version },
        { op: "set", ...place, value: new Uint8Array(0) },
      ])
    }
  }

  async #rows(): Promise<ReadonlyMap<number, Owned>> {
    const { owners } = this.#places
    const { entries } = await this.#store.ask({ ask: "entries", ...owners, beyond: undefined, ...page })
    return new Map(
      entries.map(({ key, value, version }) => {
        const shard = Number(EntityPlaces.rest(owners, key))
        return [shard, { shard, version, owner: textOf(value) }]
      }),
    )
  }

  /** All of them, or none: false when one is somebody else's by now, or its owner has come back. */
  async #take(me: string, rows: ReadonlyArray<Owned>): Promise<boolean> {
    const member = this.#member
    const ended = new Set(rows.map(({ owner }) => owner).filter((owner) => owner !== "" && owner !== me))
    const conditions = [
      ...[...ended].map((owner): Operation => ({ op: "require", ...this.#places.member(owner), version: undefined })),
      ...rows.map(({ shard, version }): Operation => ({ op: "require", ...this.#places.owner(shard), version })),
    ]
    const value = utf8.encode(me)
    const answers = await this.#refusable([...conditions, ...rows.map(({ shard }): Operation => ({ op: "set", ...this.#places.owner(shard), value }))])
    if (answers === undefined) return false
    // It may have lost its place among the members meanwhile: then the others take them from it.
    if (member === undefined || this.#member !== member) return true
    for (const [i, { shard }] of rows.entries()) this.shards.set(shard, new Shard(this.#places, shard, answers[conditions.length + i] as number))
    return true
  }

  /** Undefined when a condition did not hold. */
  async #refusable(batch: ReadonlyArray<Operation>): Promise<ReadonlyArray<unknown> | undefined> {
    try {
      return await this.#store.apply(batch)
    } catch (error) {
      if (isReason(error, "Conflict")) return undefined
      throw error
    }
  }

  #drain(me: string): void {
    let draining = 0
    for (const shard of this.shards.values()) {
      if (this.#rightful[shard.number] === me) shard.drainedSinceMs = undefined
      else if (draining++ < handoverMax) shard.drainedSinceMs ??= performance.now()
    }
  }

  #isDrained({ deliveries, drainedSinceMs = 0 }: Shard): boolean {
    return deliveries.size === 0 || performance.now() - drainedSinceMs >= this.#options.graceMs
  }

  async #give(shards: ReadonlyArray<Shard>): Promise<void> {
    if (shards.length === 0) return
    // From here on it takes nothing that the batch would not know of.
    for (const shard of shards) this.lose(shard)
    const batchOf = (all: ReadonlyArray<Shard>): ReadonlyArray<Operation> => [
      ...all.map(({ fence }) => fence),
      ...all.map(({ number }): Operation => ({ op: "set", ...this.#places.owner(number), value: new Uint8Array(0) })),
    ]
    if ((await this.#refusable(batchOf(shards))) === undefined) for (const shard of shards) await this.#refusable(batchOf([shard]))
  }

  /** Forgets a shard that is somebody else's, or may be. If a row says that it is this process's, a later turn takes it anew, under a new token. */
  lose(shard: Shard): void {
    if (this.shards.get(shard.number) === shard) this.shards.delete(shard.number)
    if (shard.signal.aborted) return
    this.#isUnsure = true
    shard.lose()
    this.#onGone(shard)
  }

  /** Is no member any more: the next turn begins as a new one. */
  leave(): void {
    clearTimeout(this.#timer)
    this.#member = undefined
    this.#view = ""
    for (const shard of [...this.shards.values()]) this.lose(shard)
  }

  /** Gives everything back, and its own row: the others follow at once. */
  async close(): Promise<void> {
    const member = this.#member
    try {
      await this.#give([...this.shards.values()])
      if (member !== undefined) await this.#store.apply([{ op: "delete", ...member.place }])
    } catch (error) {
      // The others wait for the end of its row.
      if (!isPassing(error) && !isReason(error, "Unknown")) throw error
    } finally {
      this.leave()
    }
  }
}
