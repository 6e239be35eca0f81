/**
 * Keeps hard caps: reserve, run, settle. What a node may give to calls it has reserved before, in chunks, by one bounded increment of the store, so a call takes
 * from the chunk and waits for no commit; what calls used is written down once a second. Of each cap there is a total, which is never above the bound, what
 * is used, and what each node holds; every batch changes them together, so that always total = used + held.
 *
 * A node that is not heard of any more gives back what it held: whoever sees its beat unchanged for `expiryMs` on his own monotonic clock removes the node and returns
 * its chunks in one step. A node whose beats do not reach the store promises nothing that would outlast that. No wall clock is asked.
 */
import { CounterError } from "../../host/port/key-value.ts"
import { limitsFrom } from "../../host/port/port.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { StorageError } from "../../schemas/error/storage.ts"
import { textOf } from "../port/place.ts"
import type { Operation } from "../port/store.ts"
import { beatKey, type Cap, capReached, type CapUse, heldPrefix, nameOfCap, nodesKey, selfKey, totalKey, unbounded, usedKey } from "./cap.ts"
import { type Books, isConflictAt, rowAt, rowsOf, tenantOf } from "./rows.ts"

const { randomUUID } = process.getBuiltinModule("node:crypto")
const { clearTimeout, setTimeout } = process.getBuiltinModule("node:timers")

export const reserveLimits = {
  /** Time after which what a silent node held comes back, ms. Calls may take four fifths of it. Default two minutes. */
  expiryMs: 120_000,
  /** Time between two writings of what was used, ms. */
  flushMs: 1_000,
  /** Calls that a node keeps enough ready for, at most, of each cap. Near a bound it is an eighth of what is left. */
  chunkMax: 1_000,
  /** Time after which what is kept ready and was not asked for is given back, ms. */
  idleMs: 5_000,
  /** How long `close()` waits for calls that are not settled, ms. */
  closeMs: 5_000,
}
export type ReserveLimits = typeof reserveLimits

/** Clocks differ in pace: a node trusts its beats for nine tenths of the time after which others would take it for dead. */
const [trustedParts, parts] = [9n, 10n]
const sweepRows = 500
const utf8 = new TextEncoder()

/** A promise that a call may use so much. */
export interface Reserved {
  /** What it used, once; the rest is free again. What is beyond the promise is counted all the same. */
  settle(used: bigint): void
}

interface Bucket {
  readonly cap: Cap
  readonly name: string
  /** Held and promised to nobody. */
  credit: bigint
  /** Promised to calls that run. */
  promised: bigint
  /** Used, and not written down yet. */
  spent: bigint
  /** Used beyond what was held, and not written down yet. */
  over: bigint
  /** Of the row of what this node holds; its number tells whether a write was kept. */
  sequence: number
  /** Writes of one bucket come one after the other. */
  writing: Promise<void> | undefined
  /** What was kept ready last. */
  chunk: bigint
  /** What callers wait for that had no credit. */
  wanted: bigint
  usedAtMs: number
}

interface Node {
  readonly id: string
  /** Of the row that says that it is one: all that it writes requires it. */
  readonly version: number
  /** When the newest beat that was kept was sent. */
  beatMs: number
}

export interface ReserverOptions extends Partial<ReserveLimits> {
  /** Monotonic, in ms. */
  readonly nowMs?: () => number
}

const isReason = (error: unknown, tag: string): boolean => error instanceof StorageError && error.reason._tag === tag

export class Reserver implements AsyncDisposable {
  readonly limits: ReserveLimits
  readonly #books: Books
  readonly #nowMs: () => number
  readonly #buckets = new Map<string, Bucket>()
  /** Beats of other nodes, and since when they are unchanged. */
  readonly #seen = new Map<string, { readonly version: number; readonly sinceMs: number }>()
  #node: Promise<Node> | undefined
  #live: Node | undefined
  #timer: NodeJS.Timeout | undefined
  #turn: Promise<void> | undefined
  /** Nothing new is promised. */
  #isClosing = false
  #isClosed = false
  /** Why the last pass failed, if it did. */
  problem: Error | undefined

  constructor(books: Books, { nowMs = () => performance.now(), ...limits }: ReserverOptions = {}) {
    this.#books = books
    this.#nowMs = nowMs
    this.limits = limitsFrom("reserve", reserveLimits, limits)
    this.#later()
  }

  /** Reserves from what this node holds; undefined when that takes a commit. `forMs`: how long the call may take. */
  reserveNow(cap: Cap, quantity: bigint, forMs: number): Reserved | undefined {
    const live = this.#live
    const bucket = this.#buckets.get(nameOfCap(cap))
    if (live === undefined || bucket === undefined || bucket.cap.upTo !== cap.upTo) return undefined
    if (bucket.credit < quantity || !this.#isTrusted(live, forMs)) return undefined
    const reserved = this.#take(bucket, live, quantity)
    // The next chunk is asked for before this one is used up.
    if (bucket.writing === undefined && bucket.credit * 4n < bucket.chunk) void this.#write(bucket, quantity).catch(() => undefined)
    return reserved
  }

  /**
   * Reserves a quantity, in whole units at the cap's scale.
   * @throws BillingError `CapReached`; ConfigError for a call that may take longer than four fifths of `expiryMs`; what `Store.apply` throws
   */
  async reserve(cap: Cap, quantity: bigint, forMs: number): Promise<Reserved> {
    if (forMs > this.limits.expiryMs * 0.8)
      throw new ConfigError("Option", {
        option: "expiryMs",
        expected: `more than a quarter above the ${forMs} ms that a call may take`,
        actual: String(this.limits.expiryMs),
      })
    for (;;) {
      if (this.#isClosing) throw new StorageError("Closed", { store: this.#books.store.name })
      const now = this.reserveNow(cap, quantity, forMs)
      if (now !== undefined) return now
      const node = await this.#joined()
      if (!this.#isTrusted(node, forMs)) {
        await this.#unlessLost(node, () => this.#beat(node))
        continue
      }
      const bucket = this.#bucketOf(cap)
      if (bucket.credit >= quantity) continue
      // Whoever waits already brings what he asked for; then it is this one's turn.
      if (bucket.writing !== undefined) {
        await bucket.writing.catch(() => undefined)
        continue
      }
      bucket.wanted += quantity
      try {
        await this.#unlessLost(node, () => this.#write(bucket, quantity))
      } finally {
        bucket.wanted -= quantity
      }
      if (bucket.credit < quantity && this.#live === node) throw capReached(cap, await useOfCap(this.#books, cap))
    }
  }

  /** Whoever was taken for dead begins anew. */
  async #unlessLost(node: Node, run: () => Promise<void>): Promise<void> {
    try {
      await run()
    } catch (error) {
      if (this.#live === node || !isConflictAt(error, rowAt(this.#books.entity, selfKey(node.id)))) throw error
    }
  }

  #isTrusted({ beatMs }: Node, forMs: number): boolean {
    return this.#nowMs() + forMs <= beatMs + (this.limits.expiryMs * Number(trustedParts)) / Number(parts)
  }

  #bucketOf(cap: Cap): Bucket {
    const name = nameOfCap(cap)
    const found = this.#buckets.get(name)
    if (found !== undefined && found.cap.upTo === cap.upTo) return found
    const fresh = { credit: 0n, promised: 0n, spent: 0n, over: 0n, sequence: 0, writing: undefined, wanted: 0n, chunk: 0n, usedAtMs: this.#nowMs() }
    const bucket: Bucket = found === undefined ? { cap, name, ...fresh } : Object.assign(found, { cap })
    this.#buckets.set(name, bucket)
    return bucket
  }

  #take(bucket: Bucket, node: Node, quantity: bigint): Reserved {
    bucket.credit -= quantity
    bucket.promised += quantity
    bucket.usedAtMs = this.#nowMs()
    let isSettled = false
    return {
      settle: (used) => {
        if (isSettled) return
        isSettled = true
        const within = used < quantity ? used : quantity
        // What was promised by a node that was taken for dead has come back already.
        if (this.#live !== node) return void (bucket.over += used)
        bucket.promised -= quantity
        bucket.spent += within
        bucket.credit += quantity - within
        bucket.over += used - within
      },
    }
  }

  /** This node as others know it: once there is something to hold. */
  #joined(): Promise<Node> {
    if (this.#isClosed) throw new StorageError("Closed", { store: this.#books.store.name })
    return (this.#node ??= this.#join().catch((error: unknown) => {
      this.#node = undefined
      throw error
    }))
  }

  async #join(): Promise<Node> {
    const id = randomUUID()
    const beatMs = this.#nowMs()
    const { entity, store } = this.#books
    const [version] = await store.apply([
      { op: "set", ...rowAt(entity, selfKey(id)), value: utf8.encode("1") },
      { op: "set", ...rowAt(entity, beatKey(id)), value: utf8.encode("1") },
    ])
    return (this.#live = { id, version, beatMs })
  }

  /** Carries out a batch if this node is one still. */
  async #fenced(node: Node, batch: ReadonlyArray<Operation>): Promise<ReadonlyArray<unknown>> {
    const self = rowAt(this.#books.entity, selfKey(node.id))
    try {
      return (await this.#books.store.apply([{ op: "require", ...self, version: node.version }, ...batch])).slice(1)
    } catch (error) {
      if (isConflictAt(error, self)) this.#lost(node)
      throw error
    }
  }

  /** Others have taken this node for dead: what it held has come back, and what its calls use is counted beyond. */
  #lost(node: Node): void {
    if (this.#live !== node) return
    this.#live = undefined
    this.#node = undefined
    for (const bucket of this.#buckets.values()) Object.assign(bucket, { credit: 0n, promised: 0n, spent: 0n, over: bucket.over + bucket.spent, sequence: 0 })
  }

  async #beat(node: Node): Promise<void> {
    const sentMs = this.#nowMs()
    await this.#fenced(node, [{ op: "set", ...rowAt(this.#books.entity, beatKey(node.id)), value: utf8.encode("1") }])
    node.beatMs = Math.max(node.beatMs, sentMs)
  }

  /** Writes down what was used, and reserves what is wanted and a chunk, or gives back, for `least` of 0, what is not asked for. */
  #write(bucket: Bucket, least: bigint): Promise<void> {
    const writing = (bucket.writing ?? Promise.resolve())
      .catch(() => undefined)
      .then(() => this.#writeNow(bucket, least))
      .finally(() => {
        if (bucket.writing === writing) bucket.writing = undefined
      })
    return (bucket.writing = writing)
  }

  async #writeNow(bucket: Bucket, least: bigint): Promise<void> {
    const { entity, store } = this.#books
    const node = await this.#joined()
    const total = await counterAt(this.#books, totalKey(bucket.name))
    const left = bucket.cap.upTo - total
    let more = -this.#idleOf(bucket)
    if (least > 0n) {
      const lacking = bucket.wanted - bucket.credit
      const chunk = least1(least * BigInt(this.limits.chunkMax), left / 8n)
      bucket.chunk = chunk
      more = lacking > chunk ? lacking : chunk - bucket.credit > 0n ? chunk - bucket.credit : 0n
      if (more > left) more = left > 0n ? left : 0n
    }
    const { over, spent } = bucket
    if (more === 0n && spent === 0n && over === 0n) return
    const held = bucket.credit + bucket.promised + bucket.spent - spent + more
    // Given back before anybody waits for the disk.
    if (more < 0n) bucket.credit += more
    const heldRow = rowAt(entity, heldPrefix(node.id) + bucket.name)
    const sequence = bucket.sequence + 1
    const batch: Array<Operation> = [{ op: "set", ...heldRow, value: utf8.encode(`${sequence} ${held}`) }]
    if (more !== 0n)
      batch.push({ op: "increment", ...rowAt(entity, totalKey(bucket.name)), delta: more, min: 0n, max: more > 0n ? bucket.cap.upTo : unbounded })
    if (over > 0n) batch.push({ op: "increment", ...rowAt(entity, totalKey(bucket.name)), delta: over, min: 0n, max: unbounded })
    if (spent + over > 0n) batch.push({ op: "increment", ...rowAt(entity, usedKey(bucket.name)), delta: spent + over, min: 0n, max: unbounded })
    try {
      await this.#fenced(node, batch)
    } catch (error) {
      const isKept = isReason(error, "Unknown") && sequenceOf(await store.ask({ ask: "get", ...heldRow })) === sequence
      if (!isKept) {
        if (this.#live === node && more < 0n) bucket.credit -= more
        // Somebody else was faster: what is left is looked at again.
        if (error instanceof CounterError && least > 0n) return this.#writeNow(bucket, least)
        throw error
      }
    }
    if (this.#live !== node) return
    bucket.sequence = sequence
    bucket.spent -= spent
    bucket.over -= over
    if (more > 0n) bucket.credit += more
  }

  #idleOf(bucket: Bucket): bigint {
    return this.#isClosing || (bucket.wanted === 0n && this.#nowMs() - bucket.usedAtMs >= this.limits.idleMs) ? bucket.credit : 0n
  }

  #later(): void {
    if (this.#isClosing) return
    this.#timer = setTimeout(() => {
      this.#turn = this.#pass()
        .catch((error: unknown) => {
          this.problem = error as Error
        })
        .finally(() => this.#later())
    }, this.limits.flushMs)
    this.#timer.unref()
  }

  async #pass(): Promise<void> {
    await this.flush()
    const live = this.#live
    if (live !== undefined && this.#nowMs() - live.beatMs > this.limits.expiryMs / 6) await this.#beat(live)
    await this.sweep()
    this.problem = undefined
  }

  /** Writes down what was used until now, and gives back what was not asked for. */
  async flush(): Promise<void> {
    for (const bucket of this.#buckets.values()) {
      // Twice where this node was taken for dead meanwhile.
      for (let tries = 0; tries < 2 && (bucket.spent + bucket.over > 0n || this.#idleOf(bucket) > 0n); tries++) {
        const node = await this.#joined()
        await this.#unlessLost(node, () => this.#write(bucket, 0n))
      }
      const isEmpty = bucket.credit + bucket.promised + bucket.spent + bucket.over === 0n
      if (isEmpty && bucket.wanted === 0n && bucket.writing === undefined && this.#nowMs() - bucket.usedAtMs >= this.limits.idleMs) await this.#forget(bucket)
    }
  }

  /** Nothing is held of it: the row that says so goes. */
  async #forget(bucket: Bucket): Promise<void> {
    const live = this.#live
    this.#buckets.delete(bucket.name)
    if (live !== undefined && bucket.sequence > 0) await this.#fenced(live, [{ op: "delete", ...rowAt(this.#books.entity, heldPrefix(live.id) + bucket.name) }])
  }

  /** Looks at the other nodes: what those held comes back that were not heard of for `expiryMs`. Answers how many those were. */
  async sweep(): Promise<number> {
    let swept = 0
    const beats = new Set<string>()
    for await (const { key, version } of rowsOf(this.#books, nodesKey)) {
      const [, node = "", what] = textOf(key).split("/")
      if (what !== "beat" || node === this.#live?.id) continue
      beats.add(node)
      const seen = this.#seen.get(node)
      if (seen?.version !== version) this.#seen.set(node, { version, sinceMs: this.#nowMs() })
      else if (this.#nowMs() - seen.sinceMs >= this.limits.expiryMs && (await this.#sweepNode(node, version))) swept++
    }
    for (const node of this.#seen.keys()) if (!beats.has(node)) this.#seen.delete(node)
    return swept
  }

  /** Removes a node, first of all what lets it write; a sweep that was broken off is gone on with by anybody. */
  async #sweepNode(node: string, beat: number): Promise<boolean> {
    const { entity, store } = this.#books
    const beatRow = rowAt(entity, beatKey(node))
    try {
      await store.apply([
        { op: "require", ...beatRow, version: beat },
        { op: "delete", ...rowAt(entity, selfKey(node)) },
      ])
      for (;;) {
        const prefix = heldPrefix(node)
        const { entries } = await store.ask({ ask: "entries", ...rowAt(entity, prefix), beyond: undefined, countMax: sweepRows, bytesMax: 1 << 20 })
        if (entries.length === 0) break
        const given = entries.flatMap(({ key, value, version }): ReadonlyArray<Operation> => {
          const row = rowAt(entity, textOf(key))
          const total = rowAt(entity, totalKey(textOf(key).slice(prefix.length)))
          return [
            { op: "require", ...row, version },
            { op: "delete", ...row },
            { op: "increment", ...total, delta: -heldIn(value), min: 0n, max: unbounded },
          ]
        })
        await store.apply(given)
      }
      await store.apply([{ op: "delete", ...beatRow }])
      return true
    } catch (error) {
      // It lives, or somebody else sweeps it.
      if (isReason(error, "Conflict")) return false
      throw error
    }
  }

  /** Writes down what was used and gives back all that no call has. Close the host before: what is not settled then is lost. */
  async close(): Promise<void> {
    if (this.#isClosing) return
    this.#isClosing = true
    clearTimeout(this.#timer)
    await this.#turn
    await this.flush()
    const untilMs = performance.now() + this.limits.closeMs
    while ([...this.#buckets.values()].some(({ over, promised, spent }) => promised + spent + over > 0n) && performance.now() < untilMs) {
      await new Promise((resume) => setTimeout(resume, 10))
      await this.flush()
    }
    const live = this.#live
    this.#isClosed = true
    if (live === undefined) return
    const { entity } = this.#books
    const gone: Array<Operation> = []
    for (const { credit, name, over, promised, spent } of this.#buckets.values())
      if (credit + promised + spent + over === 0n) gone.push({ op: "delete", ...rowAt(entity, heldPrefix(live.id) + name) })
    // What a call has that was not settled comes back when it expires.
    if (gone.length === this.#buckets.size)
      gone.push({ op: "delete", ...rowAt(entity, beatKey(live.id)) }, { op: "delete", ...rowAt(entity, selfKey(live.id)) })
    await this.#unlessLost(live, async () => void (await this.#fenced(live, gone)))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** The smaller one, but at least 1. */
const least1 = (a: bigint, b: bigint): bigint => (a < b ? a : b) || 1n
const numbersIn = (value: Uint8Array): ReadonlyArray<string> => textOf(value).split(" ")
const heldIn = (value: Uint8Array): bigint => BigInt(numbersIn(value)[1] ?? "0")
const sequenceOf = (row: { readonly value: Uint8Array } | undefined): number => (row === undefined ? 0 : Number(numbersIn(row.value)[0]))

async function counterAt({ store, entity }: Books, key: string): Promise<bigint> {
  const found = await store.ask({ ask: "get", ...rowAt(entity, key) })
  return found === undefined ? 0n : BigInt(textOf(found.value))
}

/** What is used of a cap, and promised. */
export async function useOfCap(books: Books, cap: Cap): Promise<CapUse> {
  const name = nameOfCap(cap)
  const [total, used] = await Promise.all([counterAt(books, totalKey(name)), counterAt(books, usedKey(name))])
  return { used, held: total > used ? total - used : 0n }
}

export interface CapDrift extends CapUse {
  readonly cap: string
  readonly total: bigint
}

const attemptsMax = 20

/** Caps whose total is not what is used and held, at one moment: none. @throws BillingError `Contended` where others write all the time */
export async function checkCaps(books: Books): Promise<ReadonlyArray<CapDrift>> {
  const revision = () => books.store.ask({ ask: "revision", tenant: tenantOf(books.entity) })
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const before = await revision()
    const found = await drifts(books)
    if ((await revision()) === before) return found
  }
  throw new BillingError("Contended", { what: "what was found of the caps", attempts: attemptsMax })
}

async function drifts(books: Books): Promise<ReadonlyArray<CapDrift>> {
  const rows = new Map<string, { total: bigint; used: bigint; held: bigint }>()
  const at = (name: string) => {
    const row = rows.get(name) ?? { total: 0n, used: 0n, held: 0n }
    rows.set(name, row)
    return row
  }
  for await (const { key, value } of rowsOf(books, "cap/")) {
    const text = textOf(key)
    const slash = text.lastIndexOf("/")
    at(text.slice("cap/".length, slash))[text.slice(slash + 1) as "total" | "used"] = BigInt(textOf(value))
  }
  for await (const { key, value } of rowsOf(books, nodesKey)) {
    const [, , what, ...name] = textOf(key).split("/")
    if (what === "held") at(name.join("/")).held += heldIn(value)
  }
  return [...rows].filter(([, { held, total, used }]) => total !== used + held).map(([cap, row]) => ({ cap, ...row }))
}
