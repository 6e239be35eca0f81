/**
 * A thread that writes for some of the tenants: what has arrived for one is a group, and tenants take turns, a commit each. A store has few of
 * these threads, whatever the number of its tenants; a tenant's writes are all made by the same one.
 */
import type { Fence } from "../../port/fence.ts"
import type { Operation } from "../../port/store.ts"
import { type Line, serve } from "../bridge.ts"
import { type ClockBase, clockFrom } from "../clock.ts"
import type { Outcome } from "../sqlite/writer.ts"
import { idOf, TenantWriters, type WritersOptions } from "./writers.ts"

const { isMainThread, workerData } = process.getBuiltinModule("node:worker_threads")

/** What the thread is started with. */
export interface Opening {
  readonly kind: "stele-tenants"
  readonly options: Omit<WritersOptions, "clock">
  readonly clockBase: ClockBase
  /** The first one does what is done once. */
  readonly isFirst: boolean
  readonly line: Line
}

/** Batches that one commit takes at most: the first of them waits for the last. */
const groupMax = 1_024

interface Waiting {
  readonly batch: ReadonlyArray<Operation>
  resolve(answers: ReadonlyArray<unknown>): void
  reject(error: Error): void
}

interface Lane {
  readonly tenant: Uint8Array
  readonly waiting: Array<Waiting>
}

/** Tenants with something to write, in turn. */
class Lanes {
  readonly #writers: TenantWriters
  readonly #lanes = new Map<string, Lane>()
  #isRunning = false

  constructor(writers: TenantWriters) {
    this.#writers = writers
  }

  apply(tenant: Uint8Array, batch: ReadonlyArray<Operation>): Promise<ReadonlyArray<unknown>> {
    return new Promise((resolve, reject) => {
      const id = idOf(tenant)
      const lane = this.#lanes.get(id) ?? { tenant, waiting: [] }
      this.#lanes.set(id, lane)
      lane.waiting.push({ batch, resolve, reject })
      if (this.#isRunning) return
      this.#isRunning = true
      setImmediate(() => this.#turn())
    })
  }

  /** One tenant's commit; between two, what has arrived is taken and what is done is answered. */
  #turn(): void {
    const [next] = this.#lanes
    if (next === undefined) {
      this.#isRunning = false
      return
    }
    const [id, { tenant, waiting }] = next
    // To the end of the ring, should there be more of it.
    this.#lanes.delete(id)
    const group = waiting.splice(0, groupMax)
    if (waiting.length > 0) this.#lanes.set(id, { tenant, waiting })
    let outcomes: ReadonlyArray<Outcome>
    try {
      outcomes = this.#writers.commit(
        tenant,
        group.map(({ batch }) => batch),
      )
    } catch (error) {
      outcomes = group.map(() => ({ error: error as Error }))
    }
    for (const [i, { resolve, reject }] of group.entries()) {
      const outcome = outcomes[i] as Outcome
      if ("error" in outcome) reject(outcome.error)
      else resolve(outcome.answers)
    }
    setImmediate(() => this.#turn())
  }
}

function run({ options, clockBase, isFirst, line }: Opening): void {
  let writers: TenantWriters
  try {
    writers = new TenantWriters({ ...options, clock: clockFrom(clockBase) })
    if (isFirst) {
      writers.tidy()
      if (options.acceptLoss) writers.accept()
    }
  } catch (error) {
    return serve(line, { open: () => Promise.reject(error as Error) }, async () => {})
  }
  const lanes = new Lanes(writers)
  const resting = setInterval(() => writers.rest(), Math.max(10, options.idleMs / 2))
  serve(
    line,
    {
      open: async () => {},
      apply: ({ tenant, batch }: { readonly tenant: Uint8Array; readonly batch: ReadonlyArray<Operation> }) => lanes.apply(tenant, batch),
      fence: async (fence: Fence | undefined) => writers.fence(fence),
      sweep: async () => writers.sweep(isFirst),
    },
    async () => {
      clearInterval(resting)
      writers.close()
    },
  )
}

const opening = workerData as Opening | null
if (!isMainThread && opening?.kind === "stele-tenants") run(opening)
