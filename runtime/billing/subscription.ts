/** Subscriptions: a plan of a price list for an account, from a start on, with its changes. */
import * as Schema from "effect/Schema"
import { Agreement, Change, recordLimits } from "../../schemas/billing/account.ts"
import { instantText } from "../../schemas/billing/instant.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import type { Change as WitChange, Subscription as WitSubscription, Zone } from "../../schemas/wit/stele/billing.gen.ts"
import { accountOf, checkedInput } from "./account.ts"
import type { Billing, KnownZone } from "./billing.ts"
import { priceTable } from "./catalogue.ts"
import { readDecimal } from "./decimal.ts"
import type { PriceTable } from "./price-table.ts"
import { all, asRead, find, get, kinds, put, putText, type Row, type SpanValue, type SubscriptionValue } from "./record.ts"
import { textOf } from "../port/place.ts"
import { isConflict, rowsOf } from "./rows.ts"

export type { SubscriptionValue }
export type AgreementValue = typeof Agreement.Type
export type ChangeValue = typeof Change.Type

const checkedAgreement = Schema.decodeUnknownSync(Schema.toType(Agreement), { onExcessProperty: "error" })
const checkedChange = Schema.decodeUnknownSync(Schema.toType(Change), { onExcessProperty: "error" })

const decimalIn = (text: string) => readDecimal(text) as NonNullable<ReturnType<typeof readDecimal>>

const changeForRules = (change: ChangeValue): WitChange => {
  const when = { at: change.at, atPeriodEnd: change.atPeriodEnd ?? false }
  switch (change.what) {
    case "plan":
      return { ...when, what: { tag: "plan", val: change.plan } }
    case "quantity":
      return { ...when, what: { tag: "quantity", val: [change.charge, decimalIn(change.quantity)] } }
    case "zone":
      return { ...when, what: { tag: "zone", val: change.zone } }
    default:
      return { ...when, what: { tag: change.what } }
  }
}

/** As the rules take it. */
export const forRules = ({ anchorDay, changes, id, plan, quantities = {}, start, trialEnd, zone }: SubscriptionValue): WitSubscription => ({
  id,
  plan,
  start,
  trialEnd,
  anchorDay,
  zone,
  quantities: Object.entries(quantities).map(([charge, quantity]) => [charge, decimalIn(quantity)]),
  changes: changes.map(changeForRules),
})

/** The zones that a subscription's periods are of. @throws BillingError `Zone` */
export function zonesOf(billing: Billing, { changes, zone }: SubscriptionValue): Promise<ReadonlyArray<KnownZone>> {
  const names = new Set([zone, ...changes.flatMap((change) => (change.what === "zone" ? [change.zone] : []))])
  return Promise.all(Array.from(names, (name) => billing.zone(name)))
}
export const tablesOf = (zones: ReadonlyArray<KnownZone>): ReadonlyArray<Zone> => zones.map(({ zone }) => zone)

/** The period that an instant lies in; undefined where the subscription has ended by then. @throws BillingError `Rules` */
export async function periodAt(billing: Billing, table: PriceTable, subscription: SubscriptionValue, at: bigint): Promise<SpanValue | undefined> {
  const zones = tablesOf(await zonesOf(billing, subscription))
  try {
    return await table.ask((catalogue) => table.rules.ask("[method]catalogue.assign", [catalogue, forRules(subscription), at, zones]))
  } catch (error) {
    if (error instanceof BillingError && error.reason._tag === "Rules" && error.reason.kind === "outside-period") return undefined
    throw error
  }
}

/**
 * When a subscription is to be billed next; undefined when it never is. One that has ended is once more, when usage of it that comes late has been waited for.
 */
export function dueAt({ limits }: Pick<Billing, "limits">, { last, next, sequence, start }: SubscriptionValue): bigint | undefined {
  const graceUs = BigInt(limits.graceMs) * 1_000n
  if (next !== null) return sequence === 0 ? start : next.end + graceUs
  return last === undefined ? undefined : last.end + graceUs + BigInt(limits.lateMs) * 1_000n
}

/** Whether usage of a period that is billed is still rated: by the period that was closed last or is closed next, so that every node decides alike. */
export function isRatedAgain({ limits }: Pick<Billing, "limits">, { last, next }: SubscriptionValue, period: SpanValue): boolean {
  const of = next ?? last
  return of !== undefined && period.end + BigInt(limits.lateMs) * 1_000n > of.end
}

/** Whether two agreements are the same. */
const isSame = (a: SubscriptionValue, b: SubscriptionValue): boolean => Schema.toEquivalence(Agreement)(a, b)

/**
 * Makes a subscription. Made again with the same content it is the same one.
 * @throws BillingError `Input`, `Unknown` for account or price list, `Taken`, `Rules` (`end-before-start`, `unknown-plan`, …), `Zone`
 */
export async function subscribe(billing: Billing, given: AgreementValue): Promise<SubscriptionValue> {
  const agreement = checkedInput("subscription", checkedAgreement, given)
  const account = await accountOf(billing, agreement.account)
  const table = await priceTable(billing, agreement.catalogue, account)
  const fresh: SubscriptionValue = { ...agreement, zone: account.zone, changes: [], next: null, sequence: 0 }
  const next = await periodAt(billing, table, fresh, agreement.start)
  if (next === undefined) throw new BillingError("Rules", { kind: "outside-period", path: "subscription/start", detail: "No period begins with it" })
  const subscription = { ...fresh, next }
  try {
    await billing.store.apply([
      asRead(billing, kinds.subscription, agreement.id, undefined),
      put(billing, kinds.subscription, agreement.id, subscription),
      putText(billing, `${ofAccount(agreement.account)}${agreement.id}`, ""),
    ])
    return subscription
  } catch (error) {
    if (!isConflict(error)) throw error
    const { value } = await get(billing, kinds.subscription, agreement.id)
    if (isSame(value, subscription)) return value
    throw new BillingError("Taken", { what: "subscription", id: agreement.id, detail: "there is one of this id with another content" }, { cause: error })
  }
}

/**
 * Changes a subscription, in time that is not billed yet: plan, quantity, pause, resume, cancel, zone. The same change again is the same one.
 * @throws BillingError `Input`, `Unknown`, `Rules` for what the price list cannot do, `Zone`, `Contended`
 */
export async function changeSubscription(billing: Billing, id: string, given: ChangeValue): Promise<SubscriptionValue> {
  const change = checkedInput("change", checkedChange, given)
  for (let attempts = 0; attempts < billing.limits.attempts; attempts++) {
    const row = await get(billing, kinds.subscription, id)
    const changed = await withChange(billing, row.value, change)
    if (changed === row.value) return changed
    try {
      await billing.store.apply([asRead(billing, kinds.subscription, id, row), put(billing, kinds.subscription, id, changed)])
      return changed
    } catch (error) {
      if (!isConflict(error)) throw error
    }
  }
  throw new BillingError("Contended", { what: `the subscription "${id}"`, attempts: billing.limits.attempts })
}

const equalChanges = Schema.toEquivalence(Change)

/** The subscription with a change in its place; the same object where it has it already. */
async function withChange(billing: Billing, subscription: SubscriptionValue, change: ChangeValue): Promise<SubscriptionValue> {
  if (subscription.changes.some((one) => equalChanges(one, change))) return subscription
  if (subscription.changes.length >= recordLimits.changesMax)
    throw new BillingError("Input", { what: "change", detail: `a subscription has at most ${recordLimits.changesMax} changes` })
  const { next } = subscription
  // What was billed as it was then stays so.
  const from = next?.start ?? undefined
  if (from === undefined) throw new BillingError("Input", { what: "change", detail: "the subscription has ended, and all of it is billed" })
  if (change.at < from && !(change.at < subscription.start))
    throw new BillingError("Input", { what: "change", detail: `it is at ${instantText(change.at)}, and what was before ${instantText(from)} is billed` })
  const changes = [...subscription.changes, change].toSorted((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0))
  const changed = { ...subscription, changes }
  const table = await priceTable(billing, subscription.catalogue, await accountOf(billing, subscription.account))
  // The period that is under way may end otherwise now.
  const period = await periodAt(billing, table, changed, from)
  if (period === undefined)
    throw new BillingError("Rules", { kind: "outside-period", path: "change", detail: "The subscription would have ended before what is billed" })
  return { ...changed, next: period }
}

/**
 * The account lives in another zone from an instant on: periods that begin later are of it.
 * @throws as `changeSubscription`
 */
export async function moveAccount(billing: Billing, account: string, zone: string, at: bigint): Promise<void> {
  await billing.zone(zone)
  const row = await get(billing, kinds.account, account)
  for await (const { id, value } of subscriptionsOf(billing, account))
    if (value.next !== null) await changeSubscription(billing, id, { what: "zone", zone, at })
  if (row.value.zone !== zone)
    await billing.store.apply([asRead(billing, kinds.account, account, row), put(billing, kinds.account, account, { ...row.value, zone })])
}

/** @throws BillingError `Unknown` */
export const subscriptionOf = async (billing: Billing, id: string): Promise<SubscriptionValue> => (await get(billing, kinds.subscription, id)).value
export const findSubscription = (billing: Billing, id: string): Promise<Row<SubscriptionValue> | undefined> => find(billing, kinds.subscription, id)

const ofAccount = (account: string): string => `subscription-of/${account}/`

/** Subscriptions by id; those of one account. */
export async function* subscriptionsOf(billing: Billing, account?: string): AsyncGenerator<Row<SubscriptionValue> & { readonly id: string }> {
  if (account === undefined) return yield* all(billing, kinds.subscription)
  const prefix = ofAccount(account)
  for await (const { key } of rowsOf(billing, prefix)) {
    const id = textOf(key).slice(prefix.length)
    yield { id, ...(await get(billing, kinds.subscription, id)) }
  }
}
