/**
 * Purchases whose proceeds are shared: by default 70 parts to the creator and 30 to the platform. The parts are the rules' to compute and are stored with the purchase; refunds
 * reverse them by what is left of them, so that all refunds together give back exactly what was shared. What a creator owes after a refund stays on his balance.
 */
import { BillingError } from "../../schemas/error/billing.ts"
import type { Allocated, Share } from "../../schemas/wit/stele/billing.gen.ts"
import type { PaymentPort } from "../port/payment.ts"
import type { Billing } from "./billing.ts"
import { atScale, coefficientOf, decimal, decimalText } from "./decimal.ts"
import { book, type Posting, type Transaction } from "./ledger.ts"
import { decimalIn } from "./plain.ts"
import type { PriceTable } from "./price-table.ts"
import { askProvider, checkProvider } from "./provider.ts"
import { asRead, find, get, kinds, put, type Row, type Value } from "./record.ts"
import { isConflict } from "./rows.ts"

export type PurchaseValue = Value<typeof kinds.purchase>
type RefundValue = PurchaseValue["refunds"][number]

/** Whose part, as an account of the ledger, and how large it is beside the others. */
export interface GivenShare {
  readonly account: string
  /** A decimal, not negative. */
  readonly weight: string
}

/** 70 to a creator, 30 to the platform. */
export const sharesOf = (creator: string): readonly [GivenShare, GivenShare] => [
  { account: `payable/${creator}`, weight: "70" },
  { account: "revenue/platform", weight: "30" },
]

export interface PurchaseRequest {
  /** Of this one purchase: the same again is the same purchase. */
  readonly id: string
  readonly account: string
  readonly artifact: string
  readonly currency: string
  /** Digits after the point of the currency. */
  readonly exponent: number
  /** In the currency's smallest unit, above 0. */
  readonly amount: bigint
  readonly shares: readonly [GivenShare, ...ReadonlyArray<GivenShare>]
}

/** The rules that share: a compiled price list, whose policies say who gets the rest. Amounts by the place of their share. */
async function partsOf(table: PriceTable, amount: bigint, exponent: number, shares: ReadonlyArray<Share>): Promise<ReadonlyArray<bigint>> {
  const parts = shares.map(() => 0n)
  const found: ReadonlyArray<Allocated> = await table.ask((catalogue) =>
    table.rules.ask("[method]catalogue.allocate", [catalogue, decimal(amount, exponent), shares]),
  )
  for (const { amount: part, part: place } of found)
    parts[place] = part.scale <= exponent ? atScale(part, exponent) : coefficientOf(part) / 10n ** BigInt(part.scale - exponent)
  const sum = parts.reduce((all, part) => all + part, 0n)
  if (sum !== amount)
    throw new BillingError("Rules", {
      kind: "conflict",
      path: "shares",
      detail: `the parts add up to ${decimalText(decimal(sum, exponent))}, not ${decimalText(decimal(amount, exponent))}`,
    })
  return parts
}

/** Postings of money that comes in, or goes back where `sign` is -1. */
function postingsOf(
  payments: PaymentPort,
  { currency, shares }: PurchaseValue,
  amount: bigint,
  parts: ReadonlyArray<bigint>,
  sign: 1n | -1n,
): Transaction["postings"] {
  const others = shares.flatMap(({ account }, place): ReadonlyArray<Posting> => {
    const part = parts[place] ?? 0n
    return part === 0n ? [] : [{ account, currency, amount: -sign * part }]
  })
  return [{ account: `cash/${payments.name}`, currency, amount: sign * amount }, ...others]
}

const isSame = (row: PurchaseValue, { account, amount, artifact, currency, exponent, shares }: PurchaseRequest): boolean =>
  JSON.stringify([row.account, String(row.amount), row.artifact, row.currency, row.exponent, row.shares.map((one) => [one.account, one.weight])]) ===
  JSON.stringify([account, String(amount), artifact, currency, exponent, shares.map((one) => [one.account, one.weight])])

/** Writes down what comes next of a purchase, under the condition that it is as it was read. */
async function written(billing: Billing, id: string, row: Row<PurchaseValue> | undefined, value: PurchaseValue): Promise<Row<PurchaseValue> | undefined> {
  try {
    const answers: ReadonlyArray<unknown> = await billing.store.apply([asRead(billing, kinds.purchase, id, row), put(billing, kinds.purchase, id, value)])
    return { value, version: answers[1] as number }
  } catch (error) {
    if (!isConflict(error)) throw error
    return undefined
  }
}

/**
 * Sells an artifact: charges the account, and books each one's part. Called again after whatever happened it goes on; nothing is charged twice.
 * @throws BillingError `Declined` (for good: another try is another purchase), `Unconfirmed`, `OtherProvider`, `Taken` for an id with another content, `Rules`
 */
export async function purchase(billing: Billing, payments: PaymentPort, table: PriceTable, request: PurchaseRequest): Promise<PurchaseValue> {
  const { id, shares, ...given } = request
  for (;;) {
    let row = await find(billing, kinds.purchase, id)
    if (row !== undefined && !isSame(row.value, request)) throw new BillingError("Taken", { what: "purchase", id, detail: "it is one with another content" })
    if (row === undefined) {
      const weights = shares.map(({ account, weight }): Share => ({ weight: decimalIn(weight), key: account, atMost: undefined }))
      const parts = await partsOf(table, given.amount, given.exponent, weights)
      const [first, ...rest] = shares.map((share, place) => ({ ...share, amount: parts[place] ?? 0n }))
      if (first === undefined) throw new BillingError("Input", { what: "shares", detail: "there are none" })
      const asked = { at: await billing.now(), status: "asked", answer: "", provider: payments.name, refunds: [] } as const
      row = await written(billing, id, undefined, { id, ...given, shares: [first, ...rest], ...asked })
      if (row === undefined) continue
    }
    const { value } = row
    if (value.status === "done") return value
    if (value.status === "declined") throw new BillingError("Declined", { what: "purchase", id, detail: value.answer })
    checkProvider("purchase", id, payments, value)
    const { account, amount, at, currency } = value
    const memo = `Purchase ${id}`
    const answer = await askProvider("purchase", id, () =>
      payments.charge({ account, amount, currency, idempotencyKey: `${billing.entity}/purchase/${id}`, memo }),
    )
    if (answer.outcome === "declined") {
      await written(billing, id, row, { ...value, status: "declined", answer: answer.detail })
      continue
    }
    const done: PurchaseValue = { ...value, status: "done", answer: answer.id }
    const parts = value.shares.map((share) => share.amount)
    const postings = postingsOf(payments, value, amount, parts, 1n)
    try {
      const transaction: Transaction = { id: `purchase/${id}`, at, memo, reference: { kind: "purchase", id }, postings }
      await book(billing, transaction, [asRead(billing, kinds.purchase, id, row), put(billing, kinds.purchase, id, done)])
      return done
    } catch (error) {
      if (!isConflict(error)) throw error
    }
  }
}

/** What is left of a purchase, and of each share, after what was given back or is about to be. */
function leftOf({ amount, refunds, shares }: PurchaseValue): { readonly amount: bigint; readonly parts: ReadonlyArray<bigint> } {
  const counted = refunds.filter(({ status }) => status !== "declined")
  return {
    amount: counted.reduce((left, one) => left - one.amount, amount),
    parts: shares.map((share, place) => counted.reduce((left, { parts }) => left - (parts[place] ?? 0n), share.amount)),
  }
}

/**
 * Gives back an amount of a purchase, or what is left of it. The same id again is the same refund.
 * @throws BillingError `Exceeds`, `Declined`, `Unconfirmed`, `OtherProvider` where another charged it, `State` for a purchase that is not paid, `Taken`, `Unknown`
 */
export async function refund(
  billing: Billing,
  payments: PaymentPort,
  table: PriceTable,
  { amount: asked, id, purchase: of }: { readonly purchase: string; readonly id: string; readonly amount?: bigint },
): Promise<RefundValue> {
  for (;;) {
    let row: Row<PurchaseValue> = await get(billing, kinds.purchase, of)
    const { answer: charge, currency, exponent, shares, status } = row.value
    if (status !== "done") throw new BillingError("State", { invoice: of, status, wanted: "refunded" })
    let known = row.value.refunds.find((one) => one.id === id)
    if (known !== undefined && asked !== undefined && asked !== known.amount)
      throw new BillingError("Taken", { what: "refund", id, detail: "it is one of another amount" })
    // Who charged it gives it back.
    if (known?.status !== "done") checkProvider("purchase", of, payments, row.value)
    if (known === undefined) {
      const left = leftOf(row.value)
      const amount = asked ?? left.amount
      const text = (units: bigint): string => decimalText(decimal(units, exponent))
      if (amount <= 0n || amount > left.amount)
        throw new BillingError("Exceeds", { what: "purchase", id: of, asked: text(amount), left: text(left.amount), currency })
      const weights = shares.map(({ account }, place): Share => {
        const part = decimal(left.parts[place] ?? 0n, exponent)
        return { weight: part, key: account, atMost: part }
      })
      known = { id, amount, parts: await partsOf(table, amount, exponent, weights), at: await billing.now(), status: "asked", answer: "" }
      const next = await written(billing, of, row, { ...row.value, refunds: [...row.value.refunds, known] })
      if (next === undefined) continue
      row = next
    }
    if (known.status === "done") return known
    if (known.status === "declined") throw new BillingError("Declined", { what: "refund", id, detail: known.answer })
    const { amount, at, parts } = known
    const memo = `Refund ${id}`
    const answer = await askProvider("refund", id, () =>
      payments.refund({ charge, amount, currency, idempotencyKey: `${billing.entity}/refund/${of}/${id}`, memo }),
    )
    const isDone = answer.outcome === "done"
    const closed: RefundValue = { ...known, status: answer.outcome, answer: isDone ? answer.id : answer.detail }
    const value = { ...row.value, refunds: row.value.refunds.map((one) => (one.id === id ? closed : one)) }
    if (!isDone) {
      await written(billing, of, row, value)
      continue
    }
    const postings = postingsOf(payments, row.value, amount, parts, -1n)
    try {
      const transaction: Transaction = { id: `refund/${of}/${id}`, at, memo, reference: { kind: "refund", id: of }, postings }
      await book(billing, transaction, [asRead(billing, kinds.purchase, of, row), put(billing, kinds.purchase, of, value)])
      return closed
    } catch (error) {
      // Another refund of it, or this one by another node.
      if (!isConflict(error)) throw error
    }
  }
}
