/** Documents as people see them: days of the account's zone, what each line is called, and the credit notes of an invoice. */
import { dayText } from "../port/usage.ts"
import type { Billing } from "./billing.ts"
import { creditsOf, type CreditValue } from "./credit.ts"
import { type InvoiceAndState, invoiceOf } from "./invoice.ts"
import type { InvoiceValue, SpanValue } from "./record.ts"
import { localDay } from "./zones.ts"

/** Instants as days of a zone. */
export interface Days {
  of(at: bigint): string
  /** The first and the last day of a span: what ends at midnight has the day before as its last. */
  span(span: SpanValue, between?: string): string
}

/** @throws BillingError `Zone` */
export async function daysOf(billing: Billing, name: string): Promise<Days> {
  const { zone } = await billing.zone(name)
  const of = (at: bigint): string => dayText(localDay(zone, at))
  return { of, span: ({ end, start }, between = " to ") => `${of(start)}${between}${of(end > start ? end - 1n : end)}` }
}

/** An invoice, or a draft, with all that a person is shown of it. */
export interface Shown {
  readonly invoice: InvoiceValue
  /** Undefined of a draft. */
  readonly state: InvoiceAndState["state"] | undefined
  readonly days: Days
  readonly notes: ReadonlyArray<CreditValue>
  /** What each line is called: with its attribute, and with the invoice that it corrects where its usage came late. */
  readonly titles: ReadonlyArray<string>
}

/** @throws BillingError `Unknown`, `Zone` */
export async function shownOf(billing: Billing, { invoice, state }: Pick<Shown, "invoice" | "state">): Promise<Shown> {
  const corrected = await Promise.all(
    invoice.ratings.map(async ({ invoices, kind }) => {
      if (kind !== "late") return ""
      const numbers = await Promise.all(invoices.map(async (id) => (await invoiceOf(billing, id)).invoice.number))
      return `, correction of ${numbers.join(", ")}`
    }),
  )
  return {
    invoice,
    state,
    days: await daysOf(billing, invoice.account.zone),
    notes: state === undefined ? [] : await creditsOf(billing, state),
    titles: invoice.lines.map(({ attribute, rating, title }) => `${title}${attribute === undefined ? "" : `, ${attribute}`}${corrected[rating] ?? ""}`),
  }
}
