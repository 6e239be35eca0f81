/**
 * Pays creators what they are owed, from a threshold on, each once: what is to be paid out is written down with the balance that it was read from as a condition, then asked
 * for under a key of its own, then booked. Any node may run it, several at once, and go on with what another left behind.
 */
import { BillingError } from "../../schemas/error/billing.ts"
import type { PaymentPort } from "../port/payment.ts"
import { textOf } from "../port/place.ts"
import type { Billing } from "./billing.ts"
import { minorUnits } from "./invoice.ts"
import { book, type Transaction } from "./ledger.ts"
import { accountIn, balanceKey, balancePrefix, readBalance } from "./ledger-row.ts"
import { askProvider, checkProvider } from "./provider.ts"
import { all, asRead, find, kinds, put, type Row, type Value } from "./record.ts"
import { isConflict, rowAt, rowsOf } from "./rows.ts"

export type PayoutValue = Value<typeof kinds.payout>

export const payoutLimits = {
  /** What must be owed at least for a payout, in whole units of the currency and parts of them. */
  threshold: "100.00",
}

const idOf = (creator: string, currency: string): string => `${creator}:${currency}`

/** What came of one creator's payout in a run. */
export interface PaidOut {
  readonly creator: string
  /** In the currency's smallest unit. */
  readonly amount: bigint
  readonly status: "done" | "declined" | "unconfirmed"
  readonly detail: string
}

/** Writes down a payout of what is owed; undefined where it is less than the threshold, or somebody else was faster. */
async function begun(
  billing: Billing,
  { name }: PaymentPort,
  { creator, currency }: Pick<PayoutValue, "creator" | "currency">,
  threshold: bigint,
): Promise<Row<PayoutValue> | undefined> {
  const key = balanceKey(`payable/${creator}`, currency)
  const id = idOf(creator, currency)
  const [known, balance] = await Promise.all([find(billing, kinds.payout, id), billing.store.ask({ ask: "get", ...rowAt(billing.entity, key) })])
  if (known?.value.status === "asked") return known
  // What is owed is a credit. A creator who owes is below 0, and what he earns next makes up for it first.
  const amount = balance === undefined ? 0n : -readBalance(billing.entity, key, balance.value)
  if (balance === undefined || amount < threshold || amount <= 0n) return undefined
  const sequence = (known?.value.sequence ?? 0) + 1
  const value: PayoutValue = { creator, currency, sequence, amount, at: await billing.now(), status: "asked", answer: "", provider: name }
  try {
    const answers: ReadonlyArray<unknown> = await billing.store.apply([
      asRead(billing, kinds.payout, id, known),
      { op: "require", ...rowAt(billing.entity, key), version: balance.version },
      put(billing, kinds.payout, id, value),
    ])
    return { value, version: answers[2] as number }
  } catch (error) {
    if (!isConflict(error)) throw error
    return undefined
  }
}

async function finish(billing: Billing, payments: PaymentPort, row: Row<PayoutValue>): Promise<PaidOut | undefined> {
  const { amount, at, creator, currency, sequence } = row.value
  const id = idOf(creator, currency)
  const memo = `Payout ${sequence}`
  const idempotencyKey = `${billing.entity}/payout/${creator}/${currency}/${sequence}`
  try {
    checkProvider("payout", id, payments, row.value)
    const answer = await askProvider("payout", id, () => payments.payout({ creator, amount, currency, idempotencyKey, memo }))
    const isDone = answer.outcome === "done"
    const detail = isDone ? answer.id : answer.detail
    const closing = [asRead(billing, kinds.payout, id, row), put(billing, kinds.payout, id, { ...row.value, status: answer.outcome, answer: detail })]
    const transaction: Transaction = {
      ...{ id: `payout/${creator}/${currency}/${sequence}`, at, memo, reference: { kind: "payout", id: creator } },
      postings: [
        { account: `payable/${creator}`, currency, amount },
        { account: `cash/${payments.name}`, currency, amount: -amount },
      ],
    }
    if (isDone) {
      if (!(await book(billing, transaction, closing)).isNew) return undefined
    } else await billing.store.apply(closing)
    return { creator, amount, status: answer.outcome, detail }
  } catch (error) {
    // Another node has finished it.
    if (isConflict(error)) return undefined
    if (error instanceof BillingError && error.reason._tag === "Unconfirmed") return { creator, amount, status: "unconfirmed", detail: error.reason.detail }
    // It is for the other to end; whoever else is owed something is paid.
    if (error instanceof BillingError && error.reason._tag === "OtherProvider") return { creator, amount, status: "unconfirmed", detail: error.message }
    throw error
  }
}

export interface PayoutTerms {
  readonly currency: string
  /** Digits after the point of the currency. */
  readonly exponent: number
  /** Default `100.00`, in the currency. */
  readonly threshold?: string
}

/** What a run would pay to a creator: `asked` is what one before has begun. */
export interface PayoutDue {
  readonly creator: string
  readonly amount: bigint
  readonly status: "due" | "asked"
  readonly detail: string
}

/** Creators that a run would pay now. Nothing is asked of a provider, and nothing is written. */
export async function payoutsDue(billing: Billing, { currency, exponent, threshold = payoutLimits.threshold }: PayoutTerms): Promise<ReadonlyArray<PayoutDue>> {
  const least = minorUnits(threshold, exponent)
  const due = new Map<string, PayoutDue>()
  for await (const { value } of all(billing, kinds.payout))
    if (value.currency === currency && value.status === "asked")
      due.set(value.creator, { creator: value.creator, amount: value.amount, status: "asked", detail: `payout ${value.sequence}` })
  for await (const { key, value } of rowsOf(billing, `${balancePrefix}payable/`)) {
    const found = accountIn(textOf(key))
    const creator = found.account.slice("payable/".length)
    const amount = -readBalance(billing.entity, textOf(key), value)
    if (found.currency === currency && !due.has(creator) && amount >= least && amount > 0n) due.set(creator, { creator, amount, status: "due", detail: "" })
  }
  return [...due.values()]
}

/**
 * Pays out a currency: first what was begun before, then every creator who is owed the threshold or more. One that is declined is tried anew by the next run; one without
 * an answer is gone on with by the next run, under the same key.
 */
export async function payOut(
  billing: Billing,
  payments: PaymentPort,
  { currency, exponent, threshold = payoutLimits.threshold }: PayoutTerms,
): Promise<ReadonlyArray<PaidOut>> {
  const least = minorUnits(threshold, exponent)
  const paid: Array<PaidOut> = []
  const seen = new Set<string>()
  const take = async (row: Row<PayoutValue> | undefined): Promise<void> => {
    if (row === undefined || seen.has(row.value.creator)) return
    seen.add(row.value.creator)
    const one = await finish(billing, payments, row)
    if (one !== undefined) paid.push(one)
  }
  for await (const row of all(billing, kinds.payout)) if (row.value.currency === currency && row.value.status === "asked") await take(row)
  for await (const { key } of rowsOf(billing, `${balancePrefix}payable/`)) {
    const found = accountIn(textOf(key))
    const creator = found.account.slice("payable/".length)
    if (found.currency === currency && !seen.has(creator)) await take(await begun(billing, payments, { creator, currency }, least))
  }
  return paid
}
