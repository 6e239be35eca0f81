/** Subscriptions: a plan of a price list for an account, from a start on, with its changes. */
import * as Schema from "effect/Schema"
import { Agreement, Change, PriceListChange, recordLimits } from "../../schemas/billing/account.ts"
import { instantText } from "../../schemas/billing/instant.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import type { Change as WitChange, Subscription as WitSubscription, Zone } from "../../schemas/wit/stele/billing.gen.ts"
import { accountOf, checkedInput } from "./account.ts"
import type { Billing, KnownZone } from "./billing.ts"
import { priceTable } from "./catalogue.ts"
import { readDecimal } from "./decimal.ts"
import type { PriceTable } from "./price-table.ts"
import { type AccountValue, all, asRead, find, get, kinds, put, putText, type Row, type SpanValue, type SubscriptionValue } from "./record.ts"
import { localDay } from "./zones.ts"
import { textOf } from "../port/place.ts"
import { isConflict, rowsOf } from "./rows.ts"

export type { SubscriptionValue }
export type AgreementValue = typeof Agreement.Type
export type ChangeValue = typeof Change.Type
export type PriceListChangeValue = typeof PriceListChange.Type

const checkedAgreement = Schema.decodeUnknownSync(Schema.toType(Agreement), { onExcessProperty: "error" })
const checkedChange = Schema.decodeUnknownSync(Schema.toType(Change), { onExcessProperty: "error" })
const checkedList = Schema.decodeUnknownSync(Schema.toType(PriceListChange), { onExcessProperty: "error" })

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

/** When a subscription ends in a period; undefined while it goes on. */
export function endOf({ changes }: SubscriptionValue, { end }: SpanValue): bigint | undefined {
  const cancelled = changes.find(({ atPeriodEnd, what }) => what === "cancel" && atPeriodEnd !== true)
  return cancelled !== undefined && cancelled.at < end ? cancelled.at : undefined
}

/**
 * When a subscription is to be billed next; undefined when it never is. One that has ended is once more, when usage of it that comes late has been waited for.
 */
export function dueAt({ limits }: Pick<Billing, "limits">, subscription: SubscriptionValue): bigint | undefined {
  const { last, next, predecessor, sequence, start, successor } = subscription
  const graceUs = BigInt(limits.graceMs) * 1_000n
  // What the old price list gives back is there when the new one's first invoice is drawn up.
  if (next !== null && sequence === 0) return predecessor === undefined ? start : start + graceUs
  if (next !== null) return (successor === undefined ? next.end : (endOf(subscription, next) ?? next.end)) + graceUs
  return last === undefined ? undefined : last.end + graceUs + BigInt(limits.lateMs) * 1_000n
}

/** Whether usage of a period that is billed is still rated: by the period that was closed last or is closed next, so that every node decides alike. */
export function isRatedAgain({ limits }: Pick<Billing, "limits">, { last, next }: SubscriptionValue, period: SpanValue): boolean {
  const of = next ?? last
  return of !== undefined && period.end + BigInt(limits.lateMs) * 1_000n > of.end
}

/** Before a month of usage waits for a rate that never comes. @throws BillingError `Rate` */
function checkCurrency({ rate }: Billing, { currency, id }: AccountValue, { description }: PriceTable): void {
  if (rate === undefined && description.currency !== currency) throw new BillingError("Rate", { source: description.currency, currency, account: id })
}

/**
 * When what is to end at an instant ends. A period that was opened is there: what ends as it begins does so at its first microsecond, and what was billed ahead
 * of it is given back.
 */
const endsAt = ({ next, sequence }: SubscriptionValue, at: bigint): bigint => (next !== null && sequence > 0 && at === next.start ? at + 1n : at)

/** Whether two agreements are the same. */
const isSame = (a: SubscriptionValue, b: SubscriptionValue): boolean => Schema.toEquivalence(Agreement)(a, b)

/**
 * Makes a subscription. Made again with the same content it is the same one.
 * @throws BillingError `Input`, `Rate` for a price list in another currency where no rates are, `Unknown` for account or price list, `Taken`, `Rules` (`end-before-start`, `unknown-plan`, …), `Zone`
 */
export async function subscribe(billing: Billing, given: AgreementValue, { isTried = false }: Trial = {}): Promise<SubscriptionValue> {
  const agreement = checkedInput("subscription", checkedAgreement, given)
  const account = await accountOf(billing, agreement.account)
  const table = await priceTable(billing, agreement.catalogue, account)
  checkCurrency(billing, account, table)
  const fresh: SubscriptionValue = { ...agreement, zone: account.zone, changes: [], next: null, sequence: 0 }
  const next = await periodAt(billing, table, fresh, agreement.start)
  if (next === undefined) throw new BillingError("Rules", { kind: "outside-period", path: "subscription/start", detail: "No period begins with it" })
  const subscription = { ...fresh, next }
  if (isTried) return subscription
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
 * @throws BillingError `Input` for time that is billed (its fix says from when on), also where another goes on from it by another price list; `Unknown`, `Rules` for what the price list cannot do, `Zone`, `Contended`
 */
export async function changeSubscription(billing: Billing, id: string, given: ChangeValue, { isTried = false }: Trial = {}): Promise<SubscriptionValue> {
  const change = checkedInput("change", checkedChange, given)
  return changed(billing, id, change, { isTried, isRefusedOnceMoved: true })
}

/** When a subscription's successor begins. */
const movedAt = ({ changes, successor }: Pick<SubscriptionValue, "changes" | "successor">): bigint | undefined =>
  successor === undefined ? undefined : changes.find(({ what }) => what === "cancel")?.at

async function changed(
  billing: Billing,
  id: string,
  change: ChangeValue,
  { isRefusedOnceMoved, isTried }: { readonly isRefusedOnceMoved: boolean; readonly isTried: boolean },
): Promise<SubscriptionValue> {
  for (let attempts = 0; attempts < billing.limits.attempts; attempts++) {
    const row = await get(billing, kinds.subscription, id)
    const end = movedAt(row.value)
    // Its successor was agreed upon by what was in force then, and would not have it.
    if (isRefusedOnceMoved && end !== undefined && !row.value.changes.some((one) => equalChanges(one, change))) {
      const detail = `from ${instantText(end)} on it goes on as "${row.value.successor}", and stays as it is until then: change that`
      throw new BillingError("Input", { what: "change", detail })
    }
    const value = await withChange(billing, row.value, change)
    if (isTried || value === row.value) return value
    try {
      await billing.store.apply([asRead(billing, kinds.subscription, id, row), put(billing, kinds.subscription, id, value)])
      return value
    } catch (error) {
      if (!isConflict(error)) throw error
    }
  }
  throw new BillingError("Contended", { what: `the subscription "${id}"`, attempts: billing.limits.attempts })
}

const equalChanges = Schema.toEquivalence(Change)

/** A change at the end of the period that was closed last, though it was closed early, is one at the next one's start. */
async function placedChange(billing: Billing, table: PriceTable, subscription: SubscriptionValue, change: ChangeValue): Promise<ChangeValue> {
  const { next, sequence } = subscription
  if (next === null || sequence === 0) return change
  const { atPeriodEnd, ...rest } = change
  if (atPeriodEnd === true && change.at < next.start) {
    const closed = await periodAt(billing, table, subscription, next.start - 1n)
    if (closed === undefined || change.at < closed.start) return change
    const at = change.what === "cancel" ? endsAt(subscription, next.start) : next.start
    return { ...rest, at }
  }
  return change.what === "cancel" && atPeriodEnd !== true ? { ...change, at: endsAt(subscription, change.at) } : change
}

/** The subscription with a change in its place; the same object where it has it already. */
async function withChange(billing: Billing, subscription: SubscriptionValue, given: ChangeValue): Promise<SubscriptionValue> {
  if (subscription.changes.some((one) => equalChanges(one, given))) return subscription
  const table = await priceTable(billing, subscription.catalogue, await accountOf(billing, subscription.account))
  const change = await placedChange(billing, table, subscription, given)
  if (subscription.changes.some((one) => equalChanges(one, change))) return subscription
  if (subscription.changes.length >= recordLimits.changesMax)
    throw new BillingError("Input", { what: "change", detail: `a subscription has at most ${recordLimits.changesMax} changes` })
  // What was billed as it was then stays so.
  const from = subscription.next?.start
  if (from === undefined) throw new BillingError("Input", { what: "change", detail: "the subscription has ended, and all of it is billed" })
  if (change.at < from && !(change.at < subscription.start))
    throw new BillingError("Input", {
      what: "change",
      detail: `it is at ${instantText(change.at)}, and what was before ${instantText(from)} is billed`,
      fix: `the earliest that is not billed is --at ${instantText(from)}`,
    })
  const changes = [...subscription.changes, change].toSorted((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0))
  const after = { ...subscription, changes }
  // The period that is under way may end otherwise now.
  const period = await periodAt(billing, table, after, from)
  if (period === undefined)
    throw new BillingError("Input", {
      what: "change",
      detail: `the subscription would have ended by ${instantText(from)}, when its next period begins`,
      fix: `the earliest that it can end is --at ${instantText(from + 1n)}`,
    })
  return { ...after, next: period }
}

/** What is in force of a subscription at an instant: a change at its period's end waits for that. */
export function termsAt(
  { changes, plan, quantities = {}, zone }: SubscriptionValue,
  period: SpanValue,
  at: bigint,
): { readonly plan: string; readonly quantities: Readonly<Record<string, string>>; readonly zone: string; readonly isPaused: boolean } {
  const found = { plan, quantities: { ...quantities } as Record<string, string>, zone, isPaused: false }
  for (const change of changes) {
    if (change.at > at || (change.atPeriodEnd === true && change.at >= period.start)) continue
    if (change.what === "plan") found.plan = change.plan
    if (change.what === "quantity") found.quantities[change.charge] = change.quantity
    if (change.what === "zone") found.zone = change.zone
    if (change.what === "pause" || change.what === "resume") found.isPaused = change.what === "pause"
  }
  return found
}

export interface Trial {
  /** Answers what it would be, and writes nothing. */
  readonly isTried?: boolean
}

/** What a change of the price list makes: the subscription that ends, and the one that goes on. */
export interface Succession {
  readonly ended: SubscriptionValue
  readonly successor: SubscriptionValue
}

/** `ada-team`, `ada-team.2`, `ada-team.3`. */
function followingId({ id, predecessor }: SubscriptionValue): string {
  const [, base = id, number] = predecessor === undefined ? [] : (/^(.*)\.(\d+)$/.exec(id) ?? [])
  return number === undefined ? `${id}.2` : `${base}.${Number(number) + 1}`
}

/** Where nothing lay between, `endsAt` has moved it. */
const endsAsGiven = (start: bigint, at: bigint): boolean => start === at || start === at + 1n

/** Both as they would be. */
async function succession(billing: Billing, before: SubscriptionValue, change: PriceListChangeValue): Promise<Succession> {
  const account = await accountOf(billing, before.account)
  const [old, table] = [await priceTable(billing, before.catalogue, account), await priceTable(billing, change.catalogue, account)]
  const of = await periodAt(billing, old, before, change.at)
  if (of === undefined) throw new BillingError("Input", { what: "change", detail: "the subscription has ended by then" })
  checkCurrency(billing, account, table)
  const start = endsAt(before, change.atPeriodEnd === true ? of.end : change.at)
  // What takes effect when the period ends does so for the successor, too.
  const later = before.changes.filter(({ at, what }) => at >= start && what !== "zone")
  if (later.length > 0 || before.changes.some(({ what }) => what === "cancel"))
    throw new BillingError("Input", {
      what: "change",
      detail: `the subscription has changes from ${instantText(start)} on, or is cancelled: those are of the old price list`,
    })
  const waits = before.changes.find(({ at, atPeriodEnd }) => atPeriodEnd === true && at >= of.start && at < start && start < of.end)
  if (waits !== undefined)
    throw new BillingError("Input", {
      what: "change",
      detail: `a change (${waits.what}) waits for the end of the subscription's period, ${instantText(of.end)}: move it at that end (atPeriodEnd), or later`,
    })
  const ended = { ...(await withChange(billing, before, { what: "cancel", at: start })), successor: change.as ?? followingId(before) }
  const terms = termsAt(before, change.atPeriodEnd === true ? { start, end: start } : of, start)
  const zone = (await billing.zone(before.zone)).zone
  const anchorDay = before.anchorDay ?? new Date(localDay(zone, before.start) * 86_400_000).getUTCDate()
  const isZoneLater = ({ at, atPeriodEnd, what }: ChangeValue): boolean => what === "zone" && (at > start || (at === start && atPeriodEnd === true))
  const fresh: SubscriptionValue = {
    id: ended.successor,
    account: before.account,
    catalogue: change.catalogue,
    plan: change.plan,
    start,
    ...(before.trialEnd !== undefined && before.trialEnd > start ? { trialEnd: before.trialEnd } : {}),
    anchorDay,
    quantities: change.quantities ?? terms.quantities,
    zone: terms.zone,
    changes: [...(terms.isPaused ? [{ what: "pause", at: start } as const] : []), ...before.changes.filter(isZoneLater)],
    next: null,
    sequence: 0,
    predecessor: before.id,
  }
  const next = await periodAt(billing, table, fresh, start)
  if (next === undefined) throw new BillingError("Rules", { kind: "outside-period", path: "change/at", detail: "No period begins with it" })
  return { ended, successor: { ...fresh, next } }
}

/**
 * Moves a subscription to another price list, at once or when its period ends: it ends there, and a successor of the account begins, in one batch. Each bills its own
 * time by its own list; what was paid ahead and not used is the wallet's, which the successor's first invoice takes. The same change again is the same one.
 * @throws BillingError `Input` for time that is billed, or with changes after it; `Unknown`, `Taken`, `Rules`, `Contended`
 */
export async function changePriceList(billing: Billing, id: string, given: PriceListChangeValue, { isTried = false }: Trial = {}): Promise<Succession> {
  const change = checkedInput("change", checkedList, given)
  for (let attempts = 0; attempts < billing.limits.attempts; attempts++) {
    const row = await get(billing, kinds.subscription, id)
    const { successor: known } = row.value
    if (known !== undefined) {
      const successor = (await get(billing, kinds.subscription, known)).value
      const isAsGiven = successor.catalogue === change.catalogue && successor.plan === change.plan && (change.as ?? known) === known
      if (isAsGiven && (change.atPeriodEnd === true ? successor.start > change.at : endsAsGiven(successor.start, change.at)))
        return { ended: row.value, successor }
      throw new BillingError("Taken", { what: "subscription", id, detail: `"${known}" goes on from it with another price list: change that` })
    }
    const made = await succession(billing, row.value, change)
    if (isTried) return made
    const { ended, successor } = made
    try {
      await billing.store.apply([
        asRead(billing, kinds.subscription, id, row),
        put(billing, kinds.subscription, id, ended),
        asRead(billing, kinds.subscription, successor.id, undefined),
        put(billing, kinds.subscription, successor.id, successor),
        putText(billing, `${ofAccount(successor.account)}${successor.id}`, ""),
      ])
      return made
    } catch (error) {
      if (!isConflict(error)) throw error
      const other = await find(billing, kinds.subscription, successor.id)
      if (other !== undefined && other.value.predecessor !== id)
        throw new BillingError("Taken", { what: "subscription", id: successor.id, detail: "there is one of this id" }, { cause: error })
    }
  }
  throw new BillingError("Contended", { what: `the subscription "${id}"`, attempts: billing.limits.attempts })
}

/**
 * The account lives in another zone from an instant on: periods that begin later are of it.
 * @throws as `changeSubscription`
 */
export async function moveAccount(billing: Billing, account: string, zone: string, at: bigint): Promise<void> {
  await billing.zone(zone)
  const row = await get(billing, kinds.account, account)
  const change = checkedInput("change", checkedChange, { what: "zone", zone, at })
  // What has a successor by then is changed as that; one that begins later lives in the zone from its start on.
  for await (const { id, value } of subscriptionsOf(billing, account)) {
    const end = movedAt(value)
    if (value.next !== null && (end === undefined || at < end))
      await changed(billing, id, at < value.start ? { ...change, at: value.start } : change, { isRefusedOnceMoved: false, isTried: false })
  }
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
