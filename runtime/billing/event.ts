/**
 * Single events: what no usage record says, from whoever counts it. An event is counted once under its id, and is refused when it comes if no
 * invoice could have it: afterwards nothing of it may hold one up.
 */
import * as Schema from "effect/Schema"
import { recordLimits, UsageEvent } from "../../schemas/billing/account.ts"
import { instantText } from "../../schemas/billing/instant.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import type { Operation } from "../port/store.ts"
import { accountOf, checkedInput } from "./account.ts"
import type { Billing } from "./billing.ts"
import { priceTable } from "./catalogue.ts"
import { readDecimal } from "./decimal.ts"
import { countedOf, eventDayKey } from "./meter.ts"
import type { PriceTable } from "./price-table.ts"
import { type AccountValue, asRead, type EventValue, find, kinds, put, putText, type Row, type SubscriptionValue, textAt, timeKey } from "./record.ts"
import { isConflict, rowAt } from "./rows.ts"
import { eventMetrics, type MeterPlan, meterPlans, metrics } from "./source.ts"
import { endOf, isRatedAgain, periodAt, subscriptionsOf } from "./subscription.ts"

export type { EventValue }

const checked = Schema.decodeUnknownSync(Schema.toType(UsageEvent), { onExcessProperty: "error" })
const isSame = Schema.toEquivalence(UsageEvent)

export const eventKey = ({ account, at, id }: Pick<EventValue, "account" | "at" | "id">): string => `${account}/${timeKey(at)}/${id}`
const idPrefix = "event-id/"
/** Written with each event of a period that is over: an invoice that is being drawn up without it is drawn up anew. */
export const lateKey = (account: string): string => `event-late/${account}`

/** Which meters count an event, of the account's subscriptions. */
export interface Recorded {
  /** False where it was recorded before. */
  readonly isNew: boolean
  /** None for a metric that nobody meters yet. */
  readonly meters: ReadonlyArray<{ readonly subscription: string; readonly meter: string }>
}

interface Agreed {
  readonly row: Row<SubscriptionValue>
  readonly table: PriceTable
  readonly plans: ReadonlyArray<MeterPlan>
}

const checkInput = (given: EventValue): EventValue => {
  const event = checkedInput("event", checked, given)
  const bytes = new TextEncoder().encode(event.id).length
  if (bytes > recordLimits.eventIdBytesMax || !event.id.isWellFormed())
    throw new BillingError("Input", { what: "event", detail: `its id is well-formed text of at most ${recordLimits.eventIdBytesMax} bytes` })
  if (Object.keys(event.properties ?? {}).length > recordLimits.propertiesMax)
    throw new BillingError("Input", { what: "event", detail: `"${event.id}" has more than ${recordLimits.propertiesMax} properties` })
  return event
}

const about = ({ account, id }: EventValue) => ({ account, event: id })

/** Quantities that its meters could not take. */
function checkQuantity(event: EventValue, { id, scale }: MeterPlan, table: PriceTable, text: string): void {
  const value = readDecimal(text)
  const refuse = (detail: string): never => {
    throw new BillingError("EventQuantity", { ...about(event), detail })
  }
  if (value === undefined) return refuse(`"${text.slice(0, 60)}" is no decimal of at most 18 places`)
  const isRounded = table.shape?.policies?.["input.excess"] === "round"
  const digits = text.includes(".") ? text.replace(/^.*\./, "").replace(/0+$/, "").length : 0
  if (digits > scale && !isRounded) refuse(`${text} has more than the ${scale} digits of the meter "${id}"`)
  const whole = text.replace(/[-+.]/g, "").length + Math.max(0, scale - value.scale)
  // What a column of the rules holds.
  if (whole > 18) refuse(`${text} is beyond 64 bits at the ${scale} digits of the meter "${id}"`)
}

/** Where the event's time lies in a subscription: undefined where that does not have it. @throws BillingError `EventTime` */
async function placeOf(billing: Billing, { row, table }: Agreed, event: EventValue, now: bigint): Promise<{ readonly isLate: boolean } | undefined> {
  const { next, start } = row.value
  if (event.at < start) return undefined
  const period = await periodAt(billing, table, row.value, event.at)
  if (period === undefined || event.at >= (endOf(row.value, period) ?? period.end)) return undefined
  const isOpen = next !== null && period.end >= next.end
  if (!isOpen && !isRatedAgain(billing, row.value, period))
    throw new BillingError("EventTime", {
      ...about(event),
      at: instantText(event.at),
      detail: `its period ended at ${instantText(period.end)} and is not billed any more`,
    })
  return { isLate: period.end <= now }
}

async function agreed(billing: Billing, account: AccountValue): Promise<ReadonlyArray<Agreed>> {
  const found: Array<Agreed> = []
  for await (const row of subscriptionsOf(billing, account.id)) {
    const table = await priceTable(billing, row.value.catalogue, account)
    found.push({ row, table, plans: meterPlans(table) })
  }
  return found
}

/** What is known, so that a misspelt name is told. */
const knownOf = (tables: ReadonlyArray<Agreed>): ReadonlyArray<string> => [
  ...new Set([...tables.flatMap(({ table }) => (table.shape?.meters ?? []).flatMap(({ event }) => event ?? [])), ...Object.keys(metrics), ...eventMetrics]),
]

interface Checked {
  readonly recorded: Recorded
  readonly isLate: boolean
  /** Subscriptions whose time it is of. */
  readonly of: ReadonlyArray<Agreed>
}

async function check(billing: Billing, tables: ReadonlyArray<Agreed>, event: EventValue, now: bigint): Promise<Checked> {
  if (event.at > now + BigInt(billing.limits.aheadMs) * 1_000n)
    throw new BillingError("EventTime", { ...about(event), at: instantText(event.at), detail: `it is ahead of now, ${instantText(now)}` })
  const meters: Array<{ readonly subscription: string; readonly meter: string }> = []
  const of: Array<Agreed> = []
  let isLate = false
  for (const one of tables) {
    const place = await placeOf(billing, one, event, now)
    if (place === undefined) continue
    of.push(one)
    isLate ||= place.isLate
    for (const { meter, quantity } of await countedOf(one.table, one.plans, event)) {
      const plan = one.plans[meter] as MeterPlan
      checkQuantity(event, plan, one.table, quantity)
      meters.push({ subscription: one.row.value.id, meter: plan.id })
    }
  }
  if (of.length === 0)
    throw new BillingError("EventTime", { ...about(event), at: instantText(event.at), detail: "the account has no subscription at that time" })
  const known = knownOf(of)
  if (meters.length === 0 && !known.includes(event.name)) throw new BillingError("EventMetric", { ...about(event), name: event.name, known })
  return { recorded: { isNew: true, meters }, isLate, of }
}

/** The event of this id, if it is there. @throws BillingError `EventConflict` where it is another one */
async function known(billing: Billing, event: EventValue): Promise<boolean> {
  const at = await textAt(billing, `${idPrefix}${event.account}/${event.id}`)
  if (at === undefined) return false
  const before = await find(billing, kinds.event, eventKey({ ...event, at: BigInt(at.text) }))
  if (before === undefined || !isSame(before.value, event)) throw new BillingError("EventConflict", about(event))
  return true
}

/**
 * Records an event, once. Answers with the meters that count it. Sent again it is known, whatever its time.
 * @throws BillingError `Input`, `Unknown` for the account, `EventConflict`, `EventMetric`, `EventTime`, `EventQuantity`, `Contended`
 */
export async function record(billing: Billing, given: EventValue): Promise<Recorded> {
  const event = checkInput(given)
  const account = await accountOf(billing, event.account)
  for (let attempts = 0; attempts < billing.limits.attempts; attempts++) {
    const tables = await agreed(billing, account)
    if (await known(billing, event)) return { isNew: false, meters: await metersOf(tables, event) }
    const { isLate, of, recorded } = await check(billing, tables, event, await billing.now())
    const own = `${event.account}/${event.id}`
    const operations: ReadonlyArray<Operation> = [
      // A period that is billed meanwhile may not have it.
      ...of.map(({ row }) => asRead(billing, kinds.subscription, row.value.id, row)),
      asRead(billing, { prefix: idPrefix }, own, undefined),
      putText(billing, idPrefix + own, String(event.at)),
      put(billing, kinds.event, eventKey(event), event),
      { op: "increment", ...rowAt(billing.entity, eventDayKey(event.account, event.at)), delta: 1n, min: 0n, max: 1n << 62n },
      ...(isLate ? [putText(billing, lateKey(event.account), event.id)] : []),
    ]
    try {
      await billing.store.apply(operations)
      return recorded
    } catch (error) {
      if (!isConflict(error)) throw error
    }
  }
  throw new BillingError("Contended", { what: `the event "${event.id}"`, attempts: billing.limits.attempts })
}

async function metersOf(tables: ReadonlyArray<Agreed>, event: EventValue): Promise<Recorded["meters"]> {
  const found: Array<{ readonly subscription: string; readonly meter: string }> = []
  for (const { plans, row, table } of tables)
    for (const { meter } of await countedOf(table, plans, event)) found.push({ subscription: row.value.id, meter: (plans[meter] as MeterPlan).id })
  return found
}
