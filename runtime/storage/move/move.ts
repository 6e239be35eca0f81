/**
 * Moving a store while it is used: passes over what changed, until the rest fits into the pause that writers are
 * given; a fence, the last pass, and the switch. `docs/adr/0017-move.md` says why it is done so.
 */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Fence } from "../../port/fence.ts"
import type { ObjectStore } from "../../port/object.ts"
import type { Store } from "../../port/store.ts"
import { isJournal, isSame, Journal, nameOf, originOf, type Pair, removeJournal } from "./journal.ts"
import { copyObjects } from "./objects.ts"
import { copyPair, isEqual, noTotal, type Total, unlike } from "./pair.ts"

export interface Side {
  /** As it was named, without a password. */
  readonly address: string
  readonly store: Store
  /** Where the objects of its references are; absent where there are none. */
  readonly objects?: ObjectStore | undefined
}

export interface MoveOptions {
  /** How long writers may be stopped, ms. */
  readonly pauseMsMax: number
  /** Called after each step, for people who watch. */
  readonly report?: (step: string) => void
}

export interface Moved {
  readonly passes: number
  /** How long nobody could write, ms. */
  readonly pauseMs: number
  /** Tables of tenants, and how many of them were compared record by record; the others by what their rows add up to, in the pause. */
  readonly tables: number
  readonly comparedByRecord: number
  readonly objects: number
}

/** Passes that may be made before a move gives up. */
const passesMax = 50
/** Passes without the next one being shorter after which it does. */
const restlessMax = 5
/** Share of the pause that a pass may have taken for the next one, under the fence, to be expected to fit. */
const share = 0.4
/** Rows of one tenant's table that are compared record by record in the pause. */
const pauseRowsMax = 2_000

const hostTenant = new Uint8Array(0)

async function totalsOf(store: Store): Promise<Map<string, Pair & Total>> {
  const all = await store.ask({ ask: "totals" })
  return new Map(all.filter(({ tenant }) => !isJournal(tenant)).map((each) => [nameOf(each), each]))
}

const fence = (store: Store, set: Fence | undefined): Promise<unknown> => store.apply([{ op: "fence", tenant: hostTenant, fence: set }])

/** Tables of services are theirs alone, and in the words of one database. @throws StorageError `ServiceRows` */
async function refuseServices({ address, store }: Side): Promise<void> {
  const services = await store.ask({ ask: "services" })
  if (services.length > 0) throw new StorageError("ServiceRows", { store: address, services })
}

export class Move {
  readonly #from: Side
  readonly #to: Side
  readonly #options: MoveOptions
  readonly #journal: Journal
  /** Totals of the source with which a pair was found equal, record by record. */
  readonly #equal = new Map<string, Total>()
  readonly #objects = new Set<string>()
  #passes = 0

  private constructor(from: Side, to: Side, options: MoveOptions, journal: Journal) {
    this.#from = from
    this.#to = to
    this.#options = options
    this.#journal = journal
  }

  /**
   * Begins a move, or goes on with one that was begun.
   * @throws StorageError `Occupied` when the target holds something else; `Moved` when the source went elsewhere; `ServiceRows` when services have tables of their own with rows
   */
  static async open(from: Side, to: Side, options: MoveOptions): Promise<Move> {
    const found = await from.store.ask({ ask: "fence" })
    if (found !== undefined && found.to !== to.address) throw new StorageError("Moved", { store: from.address, to: found.to, isOpen: found.state === "moved" })
    const origin = await originOf(to.store)
    if (found === undefined) await refuseServices(from)
    if (origin !== undefined && origin !== from.address) throw new StorageError("Occupied", { store: to.address, detail: `it is being filled from ${origin}` })
    if (origin === undefined) {
      if (found?.state === "moved") throw new StorageError("Moved", { store: from.address, to: found.to, isOpen: true })
      if (found !== undefined) {
        // The last steps of a move that was killed after the target was complete.
        await removeJournal(to.store)
        await fence(from.store, { to: to.address, state: "moved" })
        throw new StorageError("Moved", { store: from.address, to: found.to, isOpen: true })
      }
      const [first] = [...(await totalsOf(to.store)).values()]
      if (first !== undefined) throw new StorageError("Occupied", { store: to.address, detail: "it is not empty" })
    }
    return new Move(from, to, options, await Journal.open(to.store, from.address))
  }

  /**
   * Gives a move up: the target stays incomplete for good, and the source takes writes again.
   * @throws StorageError `Moved` when the target is complete
   */
  static async undo(from: Side, to: Side): Promise<void> {
    const origin = await originOf(to.store)
    const found = await from.store.ask({ ask: "fence" })
    if (found !== undefined && (origin === undefined || found.state === "moved"))
      throw new StorageError("Moved", { store: from.address, to: found.to, isOpen: true })
    await fence(from.store, undefined)
  }

  get #stores() {
    return { from: this.#from.store, to: this.#to.store }
  }

  /** Copies what changed since it was copied last; answers with how long that took, ms. */
  async #pass(): Promise<number> {
    const startedMs = performance.now()
    this.#passes++
    const totals = await totalsOf(this.#from.store)
    // Objects never change, so those that are referred to later are new.
    await copyObjects(this.#from, this.#to, this.#objects)
    const pairs = new Map<string, Pair>([...totals, ...[...this.#journal.pairs].map((pair) => [nameOf(pair), pair] as const)])
    let count = 0
    for (const [name, pair] of pairs) {
      const now = totals.get(name) ?? noTotal
      const copied = this.#journal.get(pair)
      if (copied?.isWhole === true && isSame(copied, now)) continue
      await copyPair(this.#stores, this.#journal, pair, now)
      count++
    }
    const tookMs = performance.now() - startedMs
    this.#options.report?.(`pass ${this.#passes}: ${count} of ${pairs.size} tables copied in ${Math.round(tookMs)} ms`)
    return tookMs
  }

  /** Compares what is not known to be equal, while writers go on: one that changes meanwhile is compared another time. */
  async #compare(): Promise<void> {
    for (const [name, pair] of await totalsOf(this.#from.store)) {
      const before = this.#equal.get(name)
      if (before !== undefined && isSame(before, pair)) continue
      if (!(await isEqual(this.#stores, pair))) continue
      const after = (await totalsOf(this.#from.store)).get(name)
      if (after !== undefined && isSame(pair, after)) this.#equal.set(name, pair)
    }
  }

  /** Makes both sides equal, and the target the one that is written to. */
  async run(): Promise<Moved> {
    const { pauseMsMax, report } = this.#options
    const budgetMs = pauseMsMax * share
    let shortestMs = Infinity
    for (let restless = 0; ;) {
      const tookMs = await this.#pass()
      if (tookMs <= budgetMs) {
        await this.#compare()
        // What was written while everything was compared is brought over once more before anybody is stopped.
        const againMs = await this.#pass()
        const done = againMs <= budgetMs ? await this.#switch() : undefined
        if (done !== undefined) return done
        report?.("the rest did not fit into the pause: writers go on, and so does the copy")
      }
      restless = tookMs < shortestMs * 0.9 ? 0 : restless + 1
      shortestMs = Math.min(shortestMs, tookMs)
      if (restless >= restlessMax || this.#passes >= passesMax)
        throw new StorageError("Restless", { store: this.#from.address, pauseMs: Math.ceil(tookMs / share), pauseMsMax })
    }
  }

  /** The fence, the last pass, the comparison, the switch. Undefined when it took too long: then the fence is gone again. */
  async #switch(): Promise<Moved | undefined> {
    const { pauseMsMax, report } = this.#options
    const [from, to] = [this.#from.store, this.#to.store]
    const wasFenced = (await from.ask({ ask: "fence" })) !== undefined
    const startedMs = performance.now()
    await fence(from, { to: this.#to.address, state: "moving" })
    try {
      await refuseServices(this.#from)
      const isLate = (): boolean => performance.now() - startedMs > pauseMsMax
      await this.#pass()
      if (isLate() && !wasFenced) return await this.#goOn()
      const { tables, comparedByRecord, different } = await this.#judge()
      if (different !== undefined) {
        // Copied anew by the next pass, which believes nothing that is written about it.
        report?.(`${different.table} is not the same on both sides: it is copied again`)
        await this.#journal.put(different, { ...unlike, revision: 0, isWhole: false })
        return await this.#goOn()
      }
      if (isLate() && !wasFenced) return await this.#goOn()
      await this.#journal.close()
      const pauseMs = Math.round(performance.now() - startedMs)
      await fence(from, { to: this.#to.address, state: "moved" })
      return { passes: this.#passes, pauseMs, tables, comparedByRecord, objects: this.#objects.size }
    } catch (error) {
      // Whatever happened happened before the target was opened, or after: `open` tells which when the move is run again.
      if ((await originOf(to).catch(() => undefined)) !== undefined) await fence(from, undefined).catch(() => {})
      throw error
    }
  }

  async #goOn(): Promise<undefined> {
    await fence(this.#from.store, undefined)
  }

  /** Is everything there? Nobody writes to either side. */
  async #judge(): Promise<{ readonly tables: number; readonly comparedByRecord: number; readonly different?: Pair }> {
    const [from, to] = [await totalsOf(this.#from.store), await totalsOf(this.#to.store)]
    let comparedByRecord = 0
    for (const name of new Set([...from.keys(), ...to.keys()])) {
      const pair = from.get(name) ?? (to.get(name) as Pair & Total)
      const [a, b] = [from.get(name) ?? noTotal, to.get(name) ?? noTotal]
      const known = this.#equal.get(name)
      const isKnown = known !== undefined && isSame(known, a)
      if (isKnown) comparedByRecord++
      if (isKnown && isSame(a, b)) continue
      // Totals count rows that have ended and are still there: where they differ, the records tell.
      if (isSame(a, b) && a.keys > pauseRowsMax) continue
      if (!(await isEqual(this.#stores, pair))) return { tables: from.size, comparedByRecord, different: pair }
      if (!isKnown) comparedByRecord++
    }
    return { tables: from.size, comparedByRecord }
  }
}

/**
 * Moves `from` into `to`, which is empty or was begun by the same move; at its end `to` is complete and `from` takes no
 * more writes. Killed at any step it is run again.
 * @throws StorageError `Restless`, `Occupied`, `Moved`, and those of both stores
 */
export async function move(from: Side, to: Side, options: MoveOptions): Promise<Moved> {
  return (await Move.open(from, to, options)).run()
}
