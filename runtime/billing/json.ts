/** Invoices as JSON, the same wherever they are shown. */
import * as Schema from "effect/Schema"
import { instantText } from "../../schemas/billing/instant.ts"
import { CreditNote, Draft, Invoice } from "../../schemas/billing/invoice.ts"
import type { InvoiceAndState } from "./invoice.ts"
import type { NotProjected, Projection } from "./projection.ts"

export const encodeInvoice = Schema.encodeSync(Invoice)
export const encodeDraft = Schema.encodeSync(Draft)
export const encodeCreditNote = Schema.encodeSync(CreditNote)

/** All of an invoice, by its schema, and what became of it. */
export const invoiceJson = ({ invoice, state }: InvoiceAndState): object => ({
  ...(encodeInvoice(invoice) as object),
  state: { status: state.status, at: String(state.at), credits: state.credits },
})

/** What a list says of it. */
export const invoiceSummary = ({ invoice, state }: InvoiceAndState): object => ({
  number: invoice.number,
  id: invoice.id,
  account: invoice.account.id,
  period: { start: instantText(invoice.period.start), end: instantText(invoice.period.end) },
  payable: invoice.totals.payable,
  currency: invoice.currency,
  status: state.status,
  issuedAt: instantText(invoice.issuedAt),
  dueAt: instantText(invoice.dueAt),
})

export const projectionJson = (one: Projection | NotProjected): object =>
  "error" in one
    ? { subscription: one.subscription, error: { code: one.error.code, detail: one.error.message } }
    : { ...one, span: { start: instantText(one.span.start), end: instantText(one.span.end) }, until: instantText(one.until) }
