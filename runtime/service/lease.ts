/**
 * Leases over the key-value rows of any store. Two rows each: one says who holds it and ends by itself; one is written with each new holder
 * only and never ends. The second row's version is the token: the store gives versions out in order and never twice.
 */
import { StorageError } from "../../schemas/error/storage.ts"
import type { Holder, LeadOptions, Lease, LeaseOptions } from "../port/lease.ts"
import { leaseLimits } from "../port/lease.ts"
import { type Place, textOf } from "../port/place.ts"
import type { BatchResults, Operation, Store } from "../port/store.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { checkWhole } from "../storage/operation.ts"
import { pause } from "../storage/pause.ts"

const { randomUUID } = process.getBuiltinModule("node:crypto")
const { hostname } = process.getBuiltinModule("node:os")

const utf8 = new TextEncoder()
const leaseMsDefault = 15_000
const pollMsDefault = 250
/** Parts of a lease after which its holder stops, the store not having renewed it: clocks differ in pace, and stopping takes time. */
const [heldParts, parts] = [9, 10]

interface Places {
  readonly held: Place
  readonly token: Place
}

const isReason = (error: unknown, tag: string): error is StorageError => error instanceof StorageError && error.reason._tag === tag

function textChecked(option: string, text: string, bytesMax: number): string {
  const { length } = utf8.encode(text)
  if (text === "" || !text.isWellFormed() || length > bytesMax)
    throw new ConfigError("Option", { option, expected: `well-formed text of 1 to ${bytesMax} bytes`, actual: `${length} bytes` })
  return text
}

/** The rows of different kinds lie under different prefixes: no two names share a key. */
function placesOf(name: string, tenant: Uint8Array = new Uint8Array(0)): Places {
  textChecked("name", name, leaseLimits.nameBytesMax)
  const at = (row: string): Place => ({ tenant, key: utf8.encode(`lease/${row}/${name}`) })
  return { held: at("held"), token: at("token") }
}

/** What the row of a holder says: an id of this one acquisition, and a name for people. */
const idLength = 36
const rowOf = (id: string, holder: string): Uint8Array => utf8.encode(id + holder)

class Held implements Lease {
  readonly name: string
  readonly holder: string
  readonly token: number
  readonly fence: Lease["fence"]
  readonly #store: Store
  readonly #places: Places
  readonly #row: Uint8Array
  readonly #leaseMs: number
  readonly #lost = new AbortController()
  #untilMs: number
  #timer: NodeJS.Timeout | undefined
  #renewing: Promise<void> | undefined

  constructor(store: Store, name: string, places: Places, row: Uint8Array, leaseMs: number, token: number, sinceMs: number) {
    this.#store = store
    this.name = name
    this.#places = places
    this.#row = row
    this.holder = textOf(row.subarray(idLength))
    this.#leaseMs = leaseMs
    this.token = token
    this.fence = { op: "require", ...places.token, version: token }
    this.#untilMs = sinceMs + this.#heldMs
    this.#wait()
  }

  get signal(): AbortSignal {
    return this.#lost.signal
  }

  get #heldMs(): number {
    return (this.#leaseMs * heldParts) / parts
  }

  #notHolder(cause?: unknown): StorageError {
    return new StorageError("NotHolder", { store: this.#store.name, lease: this.name, token: this.token }, { cause })
  }

  #lose(cause?: unknown): void {
    clearTimeout(this.#timer)
    if (!this.#lost.signal.aborted) this.#lost.abort(this.#notHolder(cause))
  }

  /** Until the next renewal, or until it is too late for one. */
  #wait(): void {
    const leftMs = this.#untilMs - performance.now()
    if (leftMs <= 0) return this.#lose()
    this.#timer = setTimeout(
      () => {
        if (performance.now() >= this.#untilMs) return this.#lose()
        this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined))
        this.#wait()
      },
      Math.min(leftMs, this.#leaseMs / 3),
    )
  }

  async #renew(): Promise<void> {
    const sinceMs = performance.now()
    try {
      await this.#store.apply([this.fence, { op: "set", ...this.#places.held, value: this.#row, ttlMs: this.#leaseMs }])
      this.#untilMs = Math.max(this.#untilMs, sinceMs + this.#heldMs)
    } catch (error) {
      if (isReason(error, "Conflict")) this.#lose(error)
      // Anything else is tried again, until it is too late.
    }
  }

  async apply<const B extends ReadonlyArray<Operation>>(batch: B): Promise<BatchResults<B>> {
    if (this.#lost.signal.aborted) throw this.#notHolder()
    try {
      const [, ...answers] = await this.#store.apply([this.fence, ...batch])
      return answers as unknown as BatchResults<B>
    } catch (error) {
      // A condition of the batch's own may have failed as well: that is not the lease's.
      if (!isReason(error, "Conflict") || (error.reason as { readonly key: string }).key !== textOf(this.fence.key)) throw error
      this.#lose(error)
      throw this.#notHolder(error)
    }
  }

  async release(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#renewing
    const isOurs = !this.#lost.signal.aborted
    this.#lose()
    if (!isOurs) return
    try {
      await this.#store.apply([this.fence, { op: "delete", ...this.#places.held }])
    } catch (error) {
      if (!isReason(error, "Conflict")) throw error
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release()
  }
}

/**
 * Takes a lease if nobody has it: undefined otherwise. It is renewed until it is released; a process that ends without that keeps others waiting
 * for `leaseMs`. The store's clock decides when it has ended.
 * @throws ConfigError for a name or an option; what `Store.apply` and `Store.ask` throw
 */
export async function acquire(store: Store, name: string, options: LeaseOptions = {}): Promise<Lease | undefined> {
  const { leaseMs = leaseMsDefault, holder = `${hostname()} ${process.pid}` } = options
  checkWhole("leaseMs", leaseMs, leaseLimits.leaseMsMin, leaseLimits.leaseMsMax)
  textChecked("holder", holder, leaseLimits.holderBytesMax)
  const places = placesOf(name, options.tenant)
  // Most candidates find it held, and asking costs no commit.
  if (await store.ask({ ask: "has", ...places.held })) return undefined
  const row = rowOf(randomUUID(), holder)
  const sinceMs = performance.now()
  const held = (token: number): Lease => new Held(store, name, places, row, leaseMs, token, sinceMs)
  try {
    const [, token] = await store.apply([
      { op: "require", ...places.held, version: undefined },
      { op: "set", ...places.token, value: row },
      { op: "set", ...places.held, value: row, ttlMs: leaseMs },
    ])
    return held(token)
  } catch (error) {
    if (isReason(error, "Conflict")) return undefined
    if (!isReason(error, "Unknown")) throw error
    // It is ours if the newest holder's row is this one's.
    const found = await store.ask({ ask: "get", ...places.token })
    return found !== undefined && Buffer.compare(found.value, row) === 0 ? held(found.version) : undefined
  }
}

/** Who has a lease now; undefined when nobody does. */
export async function holderOf(store: Store, name: string, tenant?: Uint8Array): Promise<Holder | undefined> {
  const places = placesOf(name, tenant)
  for (;;) {
    const [held, token] = await Promise.all([store.ask({ ask: "get", ...places.held }), store.ask({ ask: "get", ...places.token })])
    if (held?.expiresAtUs === undefined || token === undefined) return undefined
    // Otherwise one has followed another between the two answers.
    if (Buffer.compare(held.value, token.value) === 0)
      return { holder: textOf(held.value.subarray(idLength)), token: token.version, expiresAtUs: held.expiresAtUs }
  }
}

/** The store had no room or no answer for the moment. */
const passing = new Set(["Busy", "Failed", "Overloaded", "Unknown", "Unreachable"])

/**
 * Stands for election until `options.signal` is raised: whenever this process has the lease, `work` runs, and ends when its signal is raised,
 * which is when the lease is lost and when the candidacy ends. Only then is the lease given back; afterwards this process is a
 * candidate again. Work that throws ends the candidacy.
 * @throws what `work` throws while it has the lease; ConfigError, and StorageErrors of a store that will not come back by itself
 */
export async function lead(
  store: Store,
  name: string,
  work: (lease: Lease, signal: AbortSignal) => Promise<void>,
  { signal, pollMs = pollMsDefault, ...options }: LeadOptions,
): Promise<void> {
  checkWhole("pollMs", pollMs, 1, leaseLimits.leaseMsMax)
  while (!signal.aborted) {
    const lease = await patiently(() => acquire(store, name, options))
    if (lease === undefined) {
      await pause(pollMs, signal)
      continue
    }
    try {
      await work(lease, AbortSignal.any([lease.signal, signal]))
    } catch (error) {
      // What a holder meets that has lost the lease is no fault of the work.
      if (!lease.signal.aborted) throw error
    } finally {
      await patiently(() => lease.release())
    }
  }
}

/** A store that passes for the moment is no end: it is asked again at the next turn. */
async function patiently<A>(run: () => Promise<A>): Promise<A | undefined> {
  try {
    return await run()
  } catch (error) {
    if (error instanceof StorageError && passing.has(error.reason._tag)) return undefined
    throw error
  }
}
