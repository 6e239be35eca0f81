/** Credit notes: what is given back of an invoice, by the rules, with a number of its own. An invoice is cancelled by one over all of it. */
import { BillingError } from "../../schemas/error/billing.ts"
import type { CreditItem, CreditLine } from "../../schemas/wit/stele/billing.gen.ts"
import type { Operation } from "../port/store.ts"
import type { Billing } from "./billing.ts"
import { priceTable } from "./catalogue.ts"
import { coefficientOf, decimal, decimalText } from "./decimal.ts"
import { nextNumber } from "./document-number.ts"
import { dueKey, minorUnits, transactionOf } from "./invoice.ts"
import { ledgerOperations } from "./ledger.ts"
import { decimalIn, documentForRules } from "./plain.ts"
import type { PriceTable } from "./price-table.ts"
import { asRead, type CreditValue, find, get, type InvoiceValue, kinds, put, remove, type Row, type StateValue } from "./record.ts"
import { isConflict } from "./rows.ts"

export type { CreditValue }

/** How much of a line, by its place in the invoice, is given back. */
export type CreditPart =
  | { readonly line: number; readonly what: "rest" }
  | { readonly line: number; readonly what: "amount"; readonly amount: string }
  | { readonly line: number; readonly what: "quantity"; readonly quantity: string }
  /** Its time from this instant on. */
  | { readonly line: number; readonly what: "unused"; readonly from: bigint }

export interface CreditOrder {
  /** Of the invoice's credits; asked for again it is the same one. Letters, digits, dots, dashes and underscores. */
  readonly id: string
  readonly invoice: string
  readonly reason: string
  readonly items: ReadonlyArray<CreditPart>
}

const itemOf = (part: CreditPart): CreditItem => {
  switch (part.what) {
    case "rest":
      return { line: part.line, what: { tag: "rest" } }
    case "amount":
      return { line: part.line, what: { tag: "amount", val: decimalIn(part.amount) } }
    case "quantity":
      return { line: part.line, what: { tag: "quantity", val: decimalIn(part.quantity) } }
    case "unused":
      return { line: part.line, what: { tag: "unused-from", val: part.from } }
  }
}

const lineForRules = ({ line, net, tax, title }: CreditValue["lines"][number]): CreditLine => ({ line, title, net: decimalIn(net), tax: decimalIn(tax) })
const plain = ({ line, net, tax, title }: CreditLine): CreditValue["lines"][number] => ({ line, title, net: decimalText(net), tax: decimalText(tax) })

const orderText = ({ items, reason }: Pick<CreditOrder, "items" | "reason">): string =>
  JSON.stringify([reason, items], (_, value: unknown) => (typeof value === "bigint" ? String(value) : value))

const idPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/** What of an invoice was credited. */
export const creditsOf = (billing: Billing, { credits }: StateValue): Promise<ReadonlyArray<CreditValue>> =>
  Promise.all(credits.map(async (id) => (await get(billing, kinds.credit, id)).value))

/** Tax of a credit by its codes: a line's is split by the rates that it has, as the rules allocate. */
async function taxesOf(table: PriceTable, { document, exponent }: InvoiceValue, lines: ReadonlyArray<CreditLine>): Promise<ReadonlyMap<string, bigint>> {
  const sums = new Map<string, bigint>()
  const add = (code: string, amount: bigint): void => void sums.set(code, (sums.get(code) ?? 0n) + amount)
  for (const { line, tax } of lines) {
    const amount = minorUnits(decimalText(tax), exponent)
    const taxes = (document.lines[line]?.taxes ?? []).flatMap((place) => {
      const one = document.taxes[place]
      return one === undefined || one.treatment !== "standard" ? [] : [one]
    })
    const [only, ...more] = taxes
    if (amount === 0n || only === undefined) continue
    if (more.length === 0) {
      add(only.code, amount)
      continue
    }
    const shares = taxes.map(({ code, rate }) => ({ weight: decimalIn(rate.replace(/^-/, "")), key: code }))
    const parts = await table.ask((catalogue) => table.rules.ask("[method]catalogue.allocate", [catalogue, tax, shares]))
    for (const { amount: part, part: place } of parts) add((taxes[place] as { readonly code: string }).code, minorUnits(decimalText(part), exponent))
  }
  return sums
}

interface Read {
  readonly invoice: InvoiceValue
  readonly state: Row<StateValue>
}

async function read(billing: Billing, id: string): Promise<Read> {
  const [invoice, state] = await Promise.all([get(billing, kinds.invoice, id), get(billing, kinds.state, id)])
  return { invoice: invoice.value, state }
}

const sum = (values: ReadonlyArray<bigint>): bigint => values.reduce((all, one) => all + one, 0n)

/** The note as it would be, and its bookings. */
async function drawNote(billing: Billing, { invoice, state }: Read, { id, items, reason }: CreditOrder) {
  const table = await priceTable(billing, invoice.catalogue.digest, invoice.account)
  const before = await creditsOf(billing, state.value)
  const credited = before.flatMap(({ lines }) => lines.map(lineForRules))
  const lines = await table.ask((catalogue) =>
    table.rules.ask("[method]catalogue.credit", [catalogue, documentForRules(invoice.document), credited, items.map(itemOf)]),
  )
  const units = (text: string): bigint => minorUnits(text, invoice.exponent)
  const text = (amount: bigint): string => decimalText(decimal(amount, invoice.exponent))
  const net = sum(lines.map((line) => units(decimalText(line.net))))
  const tax = sum(lines.map((line) => units(decimalText(line.tax))))
  const taxes = await taxesOf(table, invoice, lines)
  return {
    note: {
      id: `${invoice.id}:${id}`,
      entity: billing.entity,
      account: invoice.account.id,
      invoice: invoice.id,
      invoiceNumber: invoice.number,
      currency: invoice.currency,
      reason,
      order: orderText({ items, reason }),
      lines: lines.map(plain),
      net: text(net),
      tax: text(tax),
      total: text(net + tax),
      rules: table.rules.plugin.digest,
    },
    postings: [
      ["revenue/sales", net],
      ...[...taxes].map(([code, amount]): readonly [string, bigint] => [`tax/${code}`, amount]),
      [`receivable/${invoice.account.id}`, -(net + tax)],
    ] as ReadonlyArray<readonly [string, bigint]>,
  }
}

/**
 * Issues a credit note.
 * @throws BillingError `Unknown`, `Input`, `State` for a cancelled invoice, `Rules` (`over-credited`, `off-minor-unit`, …), `Taken` for an id with another content, `Contended`
 */
export const creditInvoice = (billing: Billing, order: CreditOrder): Promise<CreditValue> => credit(billing, order, undefined)

/**
 * Cancels an invoice that is not paid: all that is left of it is credited.
 * @throws as `creditInvoice`; BillingError `State` where it is paid or cancelled
 */
export async function cancelInvoice(billing: Billing, id: string, reason: string): Promise<CreditValue> {
  const { invoice } = await read(billing, id)
  return credit(billing, { id: "cancelled", invoice: id, reason, items: invoice.lines.map((_, line) => ({ line, what: "rest" })) }, "cancelled")
}

async function credit(billing: Billing, order: CreditOrder, becomes: "cancelled" | undefined): Promise<CreditValue> {
  if (!idPattern.test(order.id)) throw new BillingError("Input", { what: "credit", detail: "its id is 1 to 64 letters, digits, dots, dashes and underscores" })
  const id = `${order.invoice}:${order.id}`
  for (let attempts = 0; attempts < billing.limits.attempts; attempts++) {
    const found = await read(billing, order.invoice)
    const { invoice, state } = found
    const there = await find(billing, kinds.credit, id)
    if (there !== undefined) {
      if (there.value.order === orderText(order)) return there.value
      throw new BillingError("Taken", { what: "credit", id, detail: "there is one of this id with another content" })
    }
    const { status } = state.value
    if (status === "cancelled" || (becomes === "cancelled" && status === "paid"))
      throw new BillingError("State", { invoice: invoice.id, status, wanted: becomes ?? "credited" })
    const drawn = await drawNote(billing, found, order)
    const issuedAt = await billing.now()
    const series = `CN-${invoice.series}`
    const numbering = await nextNumber(billing, series)
    const note: CreditValue = { ...drawn.note, number: numbering.number, series, issuedAt }
    const transaction = transactionOf({
      id: `credit/${id}`,
      at: issuedAt,
      memo: `Credit note ${note.number} of invoice ${invoice.number}`,
      reference: { kind: "credit-note", id },
      currency: invoice.currency,
      postings: drawn.postings,
    })
    const operations: ReadonlyArray<Operation> = [
      ...numbering.operations(id),
      asRead(billing, kinds.state, invoice.id, state),
      put(billing, kinds.state, invoice.id, {
        status: becomes ?? status,
        at: becomes === undefined ? state.value.at : issuedAt,
        credits: [...state.value.credits, id],
      }),
      asRead(billing, kinds.credit, id, undefined),
      put(billing, kinds.credit, id, note),
      ...(becomes === undefined ? [] : [remove(billing, dueKey(invoice))]),
      ...(transaction === undefined ? [] : ledgerOperations(billing.entity, transaction)),
    ]
    try {
      await billing.store.apply(operations)
      return note
    } catch (error) {
      if (!isConflict(error)) throw error
    }
  }
  throw new BillingError("Contended", { what: `the credit "${id}"`, attempts: billing.limits.attempts })
}

/** Credit notes of an invoice, in the order of their issue. @throws BillingError `Unknown` */
export const creditNotes = async (billing: Billing, invoice: string): Promise<ReadonlyArray<CreditValue>> =>
  creditsOf(billing, (await read(billing, invoice)).state.value)

/** What is left of an invoice after its credits, in its currency. */
export function remaining({ exponent, totals }: InvoiceValue, credits: ReadonlyArray<CreditValue>): string {
  const left = coefficientOf(decimalIn(totals.payable)) - sum(credits.map(({ total }) => minorUnits(total, exponent)))
  return decimalText(decimal(left, exponent))
}
