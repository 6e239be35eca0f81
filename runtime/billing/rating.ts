/**
 * One period being rated. The rules keep its state while they run; where they are stopped, it is made again from its last snapshot and what was added since,
 * or given up. Nothing of it is written.
 */
import { BillingError } from "../../schemas/error/billing.ts"
import type { Aggregate, Billed, Events, Line, Prior, Rater as Handle, Subscription, Zone } from "../../schemas/wit/stele/billing.gen.ts"
import { isHeld, isStop, type PriceTable, stopsMax } from "./price-table.ts"
import type { Rater } from "./meter.ts"
import { release } from "../storage/release.ts"
import type { SpanValue } from "./record.ts"

export interface Rated {
  readonly table: PriceTable
  readonly subscription: Subscription
  readonly period: SpanValue
  readonly zones: ReadonlyArray<Zone>
  readonly prior: Prior
}

/** What was added and is in no snapshot: so much is kept to be added again. */
const batchesMax = 8

type Added = { readonly rows: Events; readonly nameOf: (id: bigint) => string | undefined } | { readonly sums: ReadonlyArray<Aggregate> }

export class Rating implements Rater {
  readonly #of: Rated
  #rater: Handle | undefined
  #snapshot: Uint8Array | undefined
  #since: Array<Added> = []
  /** Times that the rules were stopped and what they were doing was taken up again. */
  resumed = 0

  constructor(of: Rated) {
    this.#of = of
  }

  async #held(): Promise<Handle> {
    const { period, prior, subscription, table, zones } = this.#of
    if (this.#rater !== undefined && isHeld(this.#rater)) return this.#rater
    const catalogue = await table.handle()
    this.#rater =
      this.#snapshot === undefined
        ? await table.rules.ask("[static]rater.start", [catalogue, subscription, period, zones, prior])
        : await table.rules.ask("[static]rater.restore", [catalogue, this.#snapshot])
    for (const added of this.#since) await this.#put(this.#rater, added)
    return this.#rater
  }

  #put(rater: Handle, added: Added): Promise<void> {
    const { rules } = this.#of.table
    if ("sums" in added) return rules.ask("[method]rater.add-aggregates", [rater, added.sums])
    return rules.ask("[method]rater.add", [rater, added.rows]).catch((error: unknown) => {
      throw named(error, added.nameOf)
    })
  }

  /** Does something with the rater; where it was stopped, with one that is made again. */
  async #run<A>(run: (rater: Handle) => Promise<A>): Promise<A> {
    for (let attempts = 1; ; attempts++) {
      try {
        return await run(await this.#held())
      } catch (error) {
        if (!isStop(error)) throw error
        this.#rater = undefined
        if (attempts >= stopsMax)
          throw new BillingError(
            "RulesStopped",
            { digest: this.#of.table.rules.plugin.digest, attempts, detail: `${error.code}: ${error.message}` },
            { cause: error },
          )
        this.resumed++
      }
    }
  }

  async #add(added: Added): Promise<void> {
    await this.#run((rater) => this.#put(rater, added))
    this.#since.push(added)
    if (this.#since.length < batchesMax) return
    const before = this.#snapshot
    this.#snapshot = await this.#run((rater) => this.#of.table.rules.ask("[method]rater.snapshot", [rater]))
    if (before !== undefined) release(before)
    for (const one of this.#since) {
      if ("sums" in one) continue
      const { at, attributes, idsHigh, idsLow, keys, meters, quantities } = one.rows
      release(at, attributes, idsHigh, idsLow, keys, meters, quantities)
    }
    this.#since = []
  }

  add(rows: Events, nameOf: (id: bigint) => string | undefined): Promise<void> {
    return this.#add({ rows, nameOf })
  }

  addSums(sums: ReadonlyArray<Aggregate>): Promise<void> {
    return this.#add({ sums })
  }

  /** @throws BillingError `Rules`, `RulesStopped` */
  finish(last: boolean): Promise<ReadonlyArray<Line>> {
    return this.#run((rater) => this.#of.table.rules.ask("[method]rater.finish", [rater, last]))
  }

  /** Lets go of the rater's state in the rules. */
  close(): void {
    const dispose = (this.#rater as { [Symbol.dispose]?: () => void } | undefined)?.[Symbol.dispose]
    if (this.#rater !== undefined && isHeld(this.#rater)) dispose?.call(this.#rater)
    this.#rater = undefined
  }
}

/** A problem with an event by the name that its sender gave it. */
function named(error: unknown, nameOf: (id: bigint) => string | undefined): unknown {
  if (!(error instanceof BillingError) || error.reason._tag !== "Rules") return error
  const id = /^event\/([0-9a-f]{32})/.exec(error.reason.path)?.[1]
  const name = id === undefined ? undefined : nameOf(BigInt(`0x${id}`))
  return name === undefined ? error : new BillingError("Rules", { ...error.reason, path: `event/${name}` }, { cause: error })
}

export const priorOf = (billed: ReadonlyArray<Billed>, levels: ReadonlyArray<Aggregate> = []): Prior => ({ quantities: levels, billed })
