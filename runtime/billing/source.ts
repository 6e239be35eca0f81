/**
 * What a usage record counts for. It is offered to a price list once for each metric below, with the properties `plugin`, `export`, `outcome`
 * and `tenant`; a meter that counts it takes the metric's own quantity, or the one that its `value` names.
 */
import { BillingError } from "../../schemas/error/billing.ts"
import type { UsageEntry, UsageKind } from "../port/usage.ts"
import type { PriceTable } from "./price-table.ts"

/** What a call used. */
export interface Used {
  readonly wallNs: number
  readonly fuel: bigint
  readonly memoryPeakBytes: number
  readonly bytesIn: number
  readonly bytesOut: number
  /** By whatever grant. */
  readonly hostCalls: number
}

export function usedBy({ bytesIn, bytesOut, fuel = 0n, hostCalls, memoryPeakBytes, wallNs }: UsageEntry): Used {
  let sum = 0
  for (const grant in hostCalls) sum += hostCalls[grant] as number
  return { wallNs, fuel, memoryPeakBytes, bytesIn, bytesOut, hostCalls: sum }
}

/** A quantity of a call: a whole number, over `per`. */
export interface Measure {
  readonly of: (call: Used) => number | bigint
  /** Of many calls, as a store adds them up. */
  readonly sum: (kind: UsageKind) => bigint
  readonly per: bigint
}

/** A product of two counts that 53 bits need not hold. */
function product(a: number, b: number): number | bigint {
  const found = a * b
  return found <= Number.MAX_SAFE_INTEGER ? found : BigInt(a) * BigInt(b)
}

/** Quantities of a call, by the names that a meter's `value` may have. */
export const measures: Readonly<Record<string, Measure>> = {
  calls: { of: () => 1, sum: ({ calls }) => calls, per: 1n },
  milliseconds: { of: ({ wallNs }) => wallNs, sum: ({ wallNs }) => wallNs, per: 1_000_000n },
  seconds: { of: ({ wallNs }) => wallNs, sum: ({ wallNs }) => wallNs, per: 1_000_000_000n },
  /** Time × the most memory that the call had, in 10⁹ bytes. */
  "gb-hours": { of: ({ wallNs, memoryPeakBytes }) => product(wallNs, memoryPeakBytes), sum: ({ byteNs }) => byteNs, per: 3_600_000_000_000n * 1_000_000_000n },
  "bytes-in": { of: ({ bytesIn }) => bytesIn, sum: ({ bytesIn }) => bytesIn, per: 1n },
  "bytes-out": { of: ({ bytesOut }) => bytesOut, sum: ({ bytesOut }) => bytesOut, per: 1n },
  bytes: { of: ({ bytesIn, bytesOut }) => bytesIn + bytesOut, sum: ({ bytesIn, bytesOut }) => bytesIn + bytesOut, per: 1n },
  /** 10⁹ bytes. */
  gb: { of: ({ bytesIn, bytesOut }) => bytesIn + bytesOut, sum: ({ bytesIn, bytesOut }) => bytesIn + bytesOut, per: 1_000_000_000n },
  "host-calls": { of: ({ hostCalls }) => hostCalls, sum: ({ hostCalls }) => hostCalls, per: 1n },
  fuel: { of: ({ fuel }) => fuel, sum: ({ fuel }) => fuel, per: 1n },
}

/** Metrics that usage records have, and the quantity of each. */
export const metrics: Readonly<Record<string, string>> = {
  call: "calls",
  "workflow-execution": "calls",
  "api-call": "host-calls",
  "compute-time": "gb-hours",
  "data-processed": "bytes",
  "network-bandwidth": "gb",
}

/** Metrics that no usage record has: they come as events, from whoever counts them, whether or not a price list has a meter for them yet. */
export const eventMetrics: ReadonlyArray<string> = ["storage-used", "gpu-hours"]

/** Properties that say which call it was. */
const labels = ["plugin", "export", "outcome", "tenant"] as const
type Label = (typeof labels)[number]
const labelOf = (name: string | undefined): Label | undefined => labels.find((label) => label === name)

/** What one kind of call adds to a meter. */
export interface Contribution {
  readonly meter: number
  readonly measure: Measure
  readonly attribute: Label | undefined
  readonly key: Label | undefined
}

/** How a price list wants a meter's quantity: exactly added up, or event by event. */
export interface MeterPlan {
  readonly id: string
  readonly scale: number
  /** Sums of events say the same as events: they are added up here. */
  readonly isSummed: boolean
  /** Of what is summed, the greatest counts. */
  readonly isGreatest: boolean
  /** Its quantity is a level that goes on from period to period: as it was set last, or as its changes add up. */
  readonly level: "latest" | "changes" | undefined
  readonly value: string | undefined
  readonly attribute: string | undefined
  readonly key: string | undefined
}

/** What is known of a list's meters. Of lists in a format of others nothing but what the rules say, so every meter that takes sums is one of sums. */
export function meterPlans({ description, shape }: PriceTable): ReadonlyArray<MeterPlan> {
  return description.meters.map(({ id, needsEvents, scale }, at) => {
    const meter = shape?.meters[at]
    const aggregation = meter?.aggregation
    return {
      id,
      scale,
      // Increments are those of single events.
      isSummed: !needsEvents && meter?.increment === undefined && meter?.firstIncrement === undefined,
      isGreatest: aggregation === "max",
      level: aggregation === "latest" ? "latest" : aggregation === "timeWeighted" ? "changes" : undefined,
      value: meter?.value,
      attribute: meter?.attribute,
      key: meter?.key,
    }
  })
}

/** Whether a meter may count calls: of lists in a format of others, any may. A meter without an event counts only what names it. */
export function countsCalls({ shape }: PriceTable, meter: number): boolean {
  if (shape === undefined) return true
  const event = shape.meters[meter]?.event
  return event !== undefined && Object.hasOwn(metrics, event)
}

/** What says which call it was. */
type Labelled = Readonly<Record<Label, string>>

/** Contributions of a call by what says which call it was. Remembered: few kinds of calls are many records. */
export class Sources {
  readonly #table: PriceTable
  readonly #plans: ReadonlyArray<MeterPlan>
  readonly #known = new Map<string, ReadonlyArray<Contribution>>()
  #last: { readonly entry: Labelled; readonly found: ReadonlyArray<Contribution> } | undefined

  constructor(table: PriceTable, plans: ReadonlyArray<MeterPlan>) {
    this.#table = table
    this.#plans = plans
  }

  /** Undefined where the rules must be asked first: `learn`. */
  of(entry: Labelled): ReadonlyArray<Contribution> | undefined {
    const last = this.#last
    if (
      last !== undefined &&
      entry.plugin === last.entry.plugin &&
      entry.export === last.entry.export &&
      entry.outcome === last.entry.outcome &&
      entry.tenant === last.entry.tenant
    )
      return last.found
    const found = this.#known.get(keyOf(entry))
    if (found !== undefined) this.#last = { entry, found }
    return found
  }

  async ofKind(kind: Labelled): Promise<ReadonlyArray<Contribution>> {
    if (this.of(kind) === undefined) await this.learn(kind)
    return this.of(kind) ?? []
  }

  async learn(entry: Labelled): Promise<void> {
    const properties = labels.map((label) => [label, entry[label]] as const)
    const found: Array<Contribution> = []
    for (const [metric, usual] of Object.entries(metrics))
      for (const meter of await this.#table.match(metric, properties)) {
        const plan = this.#plans[meter] as MeterPlan
        const measure = measures[plan.value ?? usual] ?? measures[usual]
        found.push({ meter, measure: measure as Measure, attribute: labelOf(plan.attribute), key: labelOf(plan.key) })
      }
    if (this.#known.size >= kindsMax) this.#known.clear()
    this.#known.set(keyOf(entry), found)
  }
}

const kindsMax = 10_000
const keyOf = ({ export: name, outcome, plugin, tenant }: Labelled): string => `${plugin}\n${name}\n${outcome}\n${tenant}`

/**
 * Refuses a list whose meters want of calls what calls do not have.
 * @throws BillingError `Catalogue`
 */
export async function checkSources({ shape }: PriceTable): Promise<void> {
  const problems = (shape?.meters ?? []).flatMap(({ event, value }, at) =>
    event !== undefined && Object.hasOwn(metrics, event) && value !== undefined && !Object.hasOwn(measures, value)
      ? [{ kind: "malformed", path: `/meters/${at}/value`, message: `Calls have no quantity "${value}": they have ${Object.keys(measures).join(", ")}` }]
      : [],
  )
  if (problems.length > 0) throw new BillingError("Catalogue", { problems })
}
