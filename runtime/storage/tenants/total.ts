/**
 * Limits of all tenants together (`totalBytesMax`) where each tenant has a file of its own. What the others have is taken off the limit that a file is held against. All
 * threads of a process count together; what other processes write is seen within a second, or at once where nine tenths of a limit are used.
 */
import { CapabilityError } from "../../../schemas/error/capability.ts"
import type { StoreLimits } from "../../port/limits.ts"
import type { Control } from "./control.ts"
import { counted, type SlotMark, type Slots } from "./slots.ts"

/** How old a sum may be, in ms: far from its limit, and near it. */
const [ageMsMax, nearMsMax] = [1_000, 20]
const near = 0.9

/** Sums by table, and when they were made, ms since some moment that all threads share. */
export const sharedTotals = (): SharedArrayBuffer => new SharedArrayBuffer(8 * (counted.length + 1))
const nowMs = (): number => Number(process.hrtime.bigint() / 1_000_000n)

export class AllTotals {
  readonly #sums: BigInt64Array
  readonly #control: Control
  readonly #slots: Slots

  constructor(shared: SharedArrayBuffer, control: Control, slots: Slots) {
    this.#sums = new BigInt64Array(shared)
    this.#control = control
    this.#slots = slots
  }

  add(by: ReadonlyArray<number>): void {
    for (const [i, each] of by.entries()) if (each !== 0) Atomics.add(this.#sums, i, BigInt(each))
  }

  #refresh(): void {
    for (const [i, sum] of this.#slots.sum(this.#control.all()).entries()) Atomics.store(this.#sums, i, BigInt(sum))
    Atomics.store(this.#sums, counted.length, BigInt(nowMs()))
  }

  /** What the others than this tenant have in a table; `own`: what it is counted with. */
  others(table: number, most: number, own: () => number): number {
    const known = Number(Atomics.load(this.#sums, table))
    const ageMs = nowMs() - Number(Atomics.load(this.#sums, counted.length))
    if (ageMs > ageMsMax || (known > near * most && ageMs > nearMsMax)) this.#refresh()
    return Math.max(0, Number(Atomics.load(this.#sums, table)) - own())
  }
}

/** Limits of one tenant's file: those of all tenants are what the others leave of them, worked out once a group. */
export class Beside {
  readonly limits: StoreLimits
  #others: Array<number | undefined> = []

  constructor(limits: StoreLimits, totals: AllTotals, mark: Pick<SlotMark, "bytes">) {
    const beside = counted.map((port, table) => {
      const most = limits[port].totalBytesMax
      const left = { get: () => most - (this.#others[table] ??= totals.others(table, most, () => mark.bytes(table))), enumerable: true }
      return [port, Object.defineProperty({ ...limits[port] }, "totalBytesMax", left)]
    })
    this.limits = { ...limits, ...Object.fromEntries(beside) } as StoreLimits
  }

  /** A group begins: what the others have is asked anew. */
  begin(): void {
    this.#others = []
  }
}

/** A refusal in the figures of the limit that was set, and not of what was left of it. */
export function inFull(error: Error, limits: StoreLimits): Error {
  if (!(error instanceof CapabilityError) || error.reason._tag !== "PortLimit" || error.reason.limit !== "totalBytesMax") return error
  const { _tag, ...data } = error.reason
  const { totalBytesMax } = limits[data.port as (typeof counted)[number]]
  return new CapabilityError("PortLimit", { ...data, max: totalBytesMax, actual: data.actual + totalBytesMax - data.max })
}
