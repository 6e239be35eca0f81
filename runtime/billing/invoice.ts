/**
 * Invoices: issued in one batch with their number, their bookings and the subscription's next period, so that all of it is there or nothing. Issued again,
 * by whatever node, it is the same invoice. What becomes of one afterwards is a row beside it.
 */
import * as Schema from "effect/Schema"
import { Draft } from "../../schemas/billing/invoice.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import type { Operation } from "../port/store.ts"
import type { Billing } from "./billing.ts"
import { coefficientOf } from "./decimal.ts"
import { draw, type Drawn, type Unrated } from "./draft.ts"
import { lateKey } from "./event.ts"
import { documentNumbered, isNumberTaken, nextNumber } from "./document-number.ts"
import { type Posting, type Transaction, ledgerOperations } from "./ledger.ts"
import { balanceKey } from "./ledger-row.ts"
import { decimalIn } from "./plain.ts"
import {
  all,
  asRead,
  type DraftValue,
  find,
  get,
  type InvoiceValue,
  kinds,
  put,
  putText,
  remove,
  type Row,
  type StateValue,
  type SubscriptionValue,
  timeKey,
} from "./record.ts"
import { isConflict, rowAt, rowsOf } from "./rows.ts"
import { walletAccount } from "./wallet.ts"
import { textOf } from "../port/place.ts"

const { createHash } = process.getBuiltinModule("node:crypto")

export type { DraftValue, InvoiceValue, StateValue }

export interface InvoiceAndState {
  readonly invoice: InvoiceValue
  readonly state: StateValue
}

const dayUs = 86_400_000_000n

/** An amount of the invoice's currency in its smallest units. */
export function minorUnits(text: string, exponent: number): bigint {
  const value = decimalIn(text)
  const shift = exponent - value.scale
  const coefficient = coefficientOf(value)
  if (shift >= 0) return coefficient * 10n ** BigInt(shift)
  const by = 10n ** BigInt(-shift)
  if (coefficient % by !== 0n)
    throw new BillingError("Rules", { kind: "off-minor-unit", path: "amount", detail: `${text} is no whole number of the currency's smallest units` })
  return coefficient / by
}

const sum = (values: Iterable<bigint>): bigint => {
  let found = 0n
  for (const value of values) found += value
  return found
}

/** The bookings of an invoice: what is owed, what was taken of the wallet or goes there, what was earned, taxes, and what rounding gave. */
export function invoiceTransaction({ account, currency, document, exponent, id, issuedAt, number, totals }: InvoiceValue): Transaction | undefined {
  const units = (text: string): bigint => minorUnits(text, exponent)
  const taken = sum(totals.taken.flat().map(units))
  const [payable, gross, rounded] = [units(totals.payable), units(totals.gross), units(totals.payableRounding)]
  // What discounts after tax left of it, or a wallet that was used before tax.
  const rest = gross + rounded - taken - payable
  const taxes = totals.taxes.map(({ amount, tax }): readonly [string, bigint] => [
    `tax/${(document.taxes[tax] as { readonly code: string }).code}`,
    -units(amount),
  ])
  return transactionOf({
    id: `invoice/${id}`,
    at: issuedAt,
    memo: `Invoice ${number}`,
    reference: { kind: "invoice", id },
    currency,
    postings: [
      [`receivable/${account.id}`, payable > 0n ? payable : 0n],
      // What is given back is the customer's: the next invoice takes it.
      [walletAccount(account.id), taken + (payable < 0n ? payable : 0n)],
      ["revenue/sales", -units(totals.net)],
      ...taxes,
      ["rounding", -rounded],
      [rest > 0n ? "expense/discounts" : "revenue/sales", rest],
    ],
  })
}

/** A transaction of one currency, without what is 0; undefined where nothing is left. */
export function transactionOf({
  currency,
  postings,
  ...rest
}: Omit<Transaction, "postings"> & { readonly currency: string; readonly postings: ReadonlyArray<readonly [account: string, amount: bigint]> }):
  | Transaction
  | undefined {
  const found = postings.flatMap(([account, amount]): ReadonlyArray<Posting> => (amount === 0n ? [] : [{ account, currency, amount }]))
  const [first, ...others] = found
  return first === undefined ? undefined : { ...rest, postings: [first, ...others] }
}

export const dueKey = ({ dueAt, id }: Pick<InvoiceValue, "dueAt" | "id">): string => `due/${timeKey(dueAt)}/${id}`
const ofAccountKey = (account: string, { issuedAt, id }: Pick<InvoiceValue, "issuedAt" | "id">): string => `invoice-of/${account}/${timeKey(issuedAt)}/${id}`

/** The subscription once its invoice is issued. */
function afterwards({ last, next, subscription }: Drawn): SubscriptionValue {
  const { last: _, ...rest } = subscription.value
  return { ...rest, next: next ?? null, sequence: rest.sequence + 1, ...(last === undefined ? {} : { last }) }
}

/** What is kept of the periods that were rated, by an invoice or by none. */
const periodOperations = (billing: Billing, periods: Drawn["periods"], ...ids: ReadonlyArray<string>): ReadonlyArray<Operation> =>
  periods.flatMap(({ after, before, key, removedOf }) => [
    asRead(billing, kinds.billed, key, before),
    put(billing, kinds.billed, key, { ...after, invoices: removedOf === undefined ? [...after.invoices, ...ids] : after.invoices }),
  ])

/** All rows of an issue but those that say under which number. */
function issueOperations(billing: Billing, drawn: Drawn, invoice: InvoiceValue): ReadonlyArray<Operation> {
  const { account, late, periods, subscription, wallet } = drawn
  const { id } = invoice
  const transaction = invoiceTransaction(invoice)
  const isPaid = minorUnits(invoice.totals.payable, invoice.exponent) <= 0n
  return [
    { ...asRead(billing, kinds.subscription, subscription.value.id, subscription) },
    asRead(billing, kinds.account, account.value.id, account),
    { op: "require", ...rowAt(billing.entity, lateKey(account.value.id)), version: late },
    ...periodOperations(billing, periods, id),
    ...(wallet === undefined
      ? []
      : [{ op: "require" as const, ...rowAt(billing.entity, balanceKey(walletAccount(account.value.id), invoice.currency)), version: wallet.version }]),
    put(billing, kinds.subscription, subscription.value.id, afterwards(drawn)),
    asRead(billing, kinds.invoice, id, undefined),
    put(billing, kinds.invoice, id, invoice),
    put(billing, kinds.state, id, { status: isPaid ? "paid" : "issued", at: invoice.issuedAt, credits: [] }),
    remove(billing, kinds.draft.prefix + id),
    putText(billing, ofAccountKey(account.value.id, invoice), ""),
    ...(isPaid ? [] : [putText(billing, dueKey(invoice), "")]),
    ...(transaction === undefined ? [] : ledgerOperations(billing.entity, transaction)),
  ]
}

const draftIn = Schema.encodeSync(Schema.fromJsonString(Draft))

/** Names what a draft shows: two of the same digest have the same lines, amounts, taxes and terms. */
export function draftDigest(draft: DraftValue): string {
  // What was read for it is no part: a record that nobody meters changes nothing that is shown.
  const ratings = draft.ratings.map((rating) => {
    const { usage: _, ...shown } = rating
    return shown
  })
  return `sha256:${createHash("sha256")
    .update(draftIn({ ...draft, ratings }))
    .digest("hex")}`
}

/** A draft that was kept and showed something else than what was issued. */
export interface Drafted {
  readonly digest: string
  readonly payable: string
}

export interface IssueOptions {
  /** Now, although the period is not over. One that has not begun is refused: asked for twice, nothing is billed twice. */
  readonly isEarly?: boolean
  /** Digest of the draft that was shown: what differs from it is refused. Without it whatever is due is issued, and what a kept draft had otherwise is said. */
  readonly draft?: string
}

/** Periods of which something has come late and nothing is billed. */
const unratedOf = ({ periods }: Drawn): { readonly unrated?: ReadonlyArray<Unrated> } => {
  const unrated = periods.flatMap(({ after: { period }, removedOf }) => (removedOf === undefined ? [] : [{ period, tenant: removedOf }]))
  return unrated.length === 0 ? {} : { unrated }
}

/** What an issue came to: no invoice where a subscription begins and nothing is due in advance, and where one has ended and nothing has come late. */
export type Issued =
  | { readonly invoice: InvoiceValue; readonly isNew: boolean; readonly drafted?: Drafted; readonly unrated?: ReadonlyArray<Unrated> }
  | { readonly invoice: undefined; readonly isNew: false; readonly unrated?: ReadonlyArray<Unrated> }

/**
 * Issues the next invoice of a subscription. Several nodes may do so at once: one of them writes it, the others answer with what it wrote.
 * @throws BillingError `NotDue`, `Removed`, `DraftDiffers`, `Rules`, `RulesStopped`, `Rate`, `Contended`; StorageError. Nothing is written then
 */
export async function issue(billing: Billing, subscription: string, { draft: shown, ...options }: IssueOptions = {}): Promise<Issued> {
  let wanted: string | undefined
  for (let attempts = 0; attempts < billing.limits.attempts; attempts++) {
    // What somebody else has issued meanwhile is what was to be issued here.
    const there = wanted === undefined ? undefined : await find(billing, kinds.invoice, wanted)
    if (there !== undefined) return { invoice: there.value, isNew: false }
    const drawn = await draw(billing, subscription, options)
    if (wanted !== undefined && wanted !== drawn.draft.id) return { invoice: undefined, isNew: false }
    wanted = drawn.draft.id
    const digest = draftDigest(drawn.draft)
    if (shown !== undefined && shown !== digest) {
      const { currency, id, totals } = drawn.draft
      throw new BillingError("DraftDiffers", { invoice: id, shown, digest, payable: totals.payable, currency })
    }
    const found = await issueDrawn(billing, drawn)
    if (found !== undefined) return found
  }
  throw new BillingError("Contended", { what: `the invoice "${wanted}"`, attempts: billing.limits.attempts })
}

/** Undefined where something that the draft rests on has changed. */
async function issueDrawn(billing: Billing, drawn: Drawn): Promise<Issued | undefined> {
  const { draft, next, subscription, account } = drawn
  const isOptional = draft.sequence === 0 || subscription.value.next === null
  if (isOptional && draft.lines.length === 0) return skip(billing, drawn)
  const issuedAt = await billing.now()
  const series = account.value.series ?? billing.series
  const dueAt = issuedAt + BigInt(account.value.dueDays ?? billing.limits.dueDays) * dayUs
  const drafted = await draftedOtherwise(billing, draft)
  for (let attempts = 0; attempts < billing.limits.attempts; attempts++) {
    const numbering = await nextNumber(billing, series)
    const invoice: InvoiceValue = {
      ...draft,
      number: numbering.number,
      series,
      issuedAt,
      dueAt,
      next: next ?? null,
    }
    try {
      await billing.store.apply([...numbering.operations(invoice.id), ...issueOperations(billing, drawn, invoice)])
      return { invoice, isNew: true, ...(drafted === undefined ? {} : { drafted }), ...unratedOf(drawn) }
    } catch (error) {
      if (!isConflict(error)) throw error
      // Another invoice has got the number, or this very one.
      if (!isNumberTaken(error, billing, series)) return undefined
      const row = await find(billing, kinds.invoice, invoice.id)
      if (row !== undefined) return { invoice: row.value, isNew: false }
    }
  }
  throw new BillingError("Contended", { what: `a number of the series "${series}"`, attempts: billing.limits.attempts })
}

/** The draft that is kept, where it shows something else. */
async function draftedOtherwise(billing: Billing, draft: DraftValue): Promise<Drafted | undefined> {
  const kept = await find(billing, kinds.draft, draft.id)
  if (kept === undefined) return undefined
  const digest = draftDigest(kept.value)
  return digest === draftDigest(draft) ? undefined : { digest, payable: kept.value.totals.payable }
}

/** A subscription begins, and nothing is due in advance; or it has ended, and nothing that came late has a price: no document says so. */
async function skip(billing: Billing, drawn: Drawn): Promise<Issued | undefined> {
  const { account, draft, late, periods, subscription } = drawn
  const { id } = subscription.value
  try {
    await billing.store.apply([
      asRead(billing, kinds.subscription, id, subscription),
      { op: "require", ...rowAt(billing.entity, lateKey(account.value.id)), version: late },
      // A level that came late goes on in whatever follows.
      ...periodOperations(billing, periods),
      put(billing, kinds.subscription, id, afterwards(drawn)),
      remove(billing, kinds.draft.prefix + draft.id),
    ])
    return { invoice: undefined, isNew: false, ...unratedOf(drawn) }
  } catch (error) {
    if (isConflict(error)) return undefined
    throw error
  }
}

/**
 * Draws up the next invoice of a subscription and keeps it as a draft, to be looked at. Its issue draws it up anew: given `draftDigest` of this it refuses what
 * differs, without it it says that the draft had it otherwise (`Issued.drafted`).
 * @throws as `draw`
 */
export async function draftInvoice(billing: Billing, subscription: string, options: { readonly isEarly?: boolean } = {}): Promise<DraftValue> {
  const { draft } = await draw(billing, subscription, options)
  await billing.store.apply([put(billing, kinds.draft, draft.id, draft)])
  return draft
}

/** @throws BillingError `Unknown` */
export async function invoiceOf(billing: Billing, id: string): Promise<InvoiceAndState> {
  const [invoice, state] = await Promise.all([get(billing, kinds.invoice, id), get(billing, kinds.state, id)])
  return { invoice: invoice.value, state: state.value }
}

export const findInvoice = (billing: Billing, id: string): Promise<Row<InvoiceValue> | undefined> => find(billing, kinds.invoice, id)

/** Drafts that are kept, by id. */
export async function* drafts(billing: Billing): AsyncGenerator<DraftValue> {
  for await (const { value } of all(billing, kinds.draft)) yield value
}

/** Invoices in the order of their ids; those of one account in the order of their issue. */
export async function* invoices(billing: Billing, { account }: { readonly account?: string } = {}): AsyncGenerator<InvoiceAndState> {
  if (account === undefined) {
    for await (const { id } of all(billing, kinds.state)) yield await invoiceOf(billing, id)
    return
  }
  for await (const { key } of rowsOf(billing, `invoice-of/${account}/`)) yield await invoiceOf(billing, textOf(key).split("/").slice(3).join("/"))
}

/** Some of an account's invoices, in the order of their issue: at most `countMax`, those after `after`, which is the `next` of the part before. */
export async function invoicesPart(
  billing: Billing,
  account: string,
  { after, countMax }: { readonly after?: string | undefined; readonly countMax: number },
): Promise<{ readonly invoices: ReadonlyArray<InvoiceAndState>; readonly next: string | undefined }> {
  const prefix = `invoice-of/${account}/`
  const places: Array<string> = []
  for await (const { key } of rowsOf(billing, prefix, after === undefined ? undefined : prefix + after))
    if (places.push(textOf(key).slice(prefix.length)) > countMax) break
  const shown = places.slice(0, countMax)
  return {
    invoices: await Promise.all(shown.map((place) => invoiceOf(billing, place.slice(place.indexOf("/") + 1)))),
    next: places.length > countMax ? shown.at(-1) : undefined,
  }
}

/** An invoice by its number, or its id. @throws BillingError `Unknown` */
export async function invoiceNumbered(billing: Billing, number: string): Promise<InvoiceAndState> {
  const [, series, n] = /^(.+)-(\d{6,12})$/.exec(number) ?? []
  const id = series === undefined ? undefined : await documentNumbered(billing, series, Number(n))
  return invoiceOf(billing, id ?? number)
}

/**
 * What makes an invoice paid, for the batch that books the payment: conditions and rows.
 * @throws BillingError `Unknown`, `State` where it is paid or cancelled
 */
export async function paidOperations(billing: Billing, id: string, at: bigint): Promise<ReadonlyArray<Operation>> {
  const [invoice, state] = await Promise.all([get(billing, kinds.invoice, id), get(billing, kinds.state, id)])
  const { status } = state.value
  if (status !== "issued" && status !== "overdue") throw new BillingError("State", { invoice: id, status, wanted: "paid" })
  return [
    asRead(billing, kinds.state, id, state),
    put(billing, kinds.state, id, { ...state.value, status: "paid", at }),
    remove(billing, dueKey(invoice.value)),
  ]
}

/** Makes invoices overdue that were due by now and are not paid; answers with their ids. */
export async function markOverdue(billing: Billing): Promise<ReadonlyArray<string>> {
  const now = await billing.now()
  const found: Array<string> = []
  for await (const { key } of rowsOf(billing, "due/")) {
    const [, time = "", ...rest] = textOf(key).split("/")
    if (BigInt(time) > now) break
    const id = rest.join("/")
    const state = await get(billing, kinds.state, id)
    if (state.value.status !== "issued") continue
    try {
      await billing.store.apply([
        asRead(billing, kinds.state, id, state),
        put(billing, kinds.state, id, { ...state.value, status: "overdue", at: now }),
        remove(billing, textOf(key)),
      ])
      found.push(id)
    } catch (error) {
      // It was paid this moment, or another node was first.
      if (!isConflict(error)) throw error
    }
  }
  return found
}
