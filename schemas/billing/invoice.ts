/**
 * Invoices and credit notes as they are kept. Nothing of one changes after its issue: what becomes of it (paid, overdue, cancelled) is beside it. Amounts
 * are texts with the digits of their currency, instants texts of microseconds.
 */
import * as Schema from "effect/Schema"
import { Account, Currency, Digest, RecordId, Span, Subscription, Treatment } from "./account.ts"
import { Decimal } from "./catalogue.ts"
import { Instant } from "./instant.ts"

const optional = Schema.optionalKey
/** `7/3`: whole numbers. */
const Ratio = Schema.String.check(Schema.isPattern(/^-?\d+\/[1-9]\d*$/)).annotate({ identifier: "Ratio" })

export const InvoiceId = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9._:-]*$/), Schema.isMaxLength(128)).annotate({ identifier: "InvoiceId" })

export const StepKind = Schema.Literals([
  "price",
  "flat-fee",
  "allowance",
  "discount",
  "maximum",
  "minimum",
  "commitment",
  "proration",
  "rounding",
  "billed-before",
])

/** Part of how a line came about; amounts of all add up to the line's. */
export const Step = Schema.Struct({ kind: StepKind, path: Schema.String, quantity: optional(Decimal), amount: Ratio })

/** A line as the rules made it, and which period it is of. */
export const Line = Schema.Struct({
  /** `PLAN/CHARGE`. */
  charge: Schema.String,
  attribute: optional(Schema.String),
  /** Id of the meter whose usage it is of. */
  meter: optional(Schema.String),
  title: Schema.String,
  span: Span,
  quantity: Decimal,
  amount: Decimal,
  exact: Ratio,
  billed: Decimal,
  taxCategory: Schema.String,
  steps: Schema.Array(Step),
  /** Place in the invoice's `ratings`: the period it is of. */
  rating: Schema.Int,
})

/** What a meter came to. */
export const Metered = Schema.Struct({
  meter: Schema.String,
  attribute: optional(Schema.String),
  quantity: Decimal,
  /** Rows that count for it. */
  events: Schema.BigIntFromString,
})

/** What was billed of a charge in a period. */
export const Billed = Schema.Struct({ charge: Schema.String, attribute: optional(Schema.String), amount: Decimal })

/** A period that was rated for an invoice: what its lines rest on. */
export const Rating = Schema.Struct({
  period: Span,
  /** `closing`: the period is over. `opening`: it begins, and what is due in advance is billed. `late`: an earlier one, of which usage has come since. */
  kind: Schema.Literals(["closing", "opening", "late"]),
  /** The invoices that billed it before. */
  invoices: Schema.Array(InvoiceId),
  prior: Schema.Array(Billed),
  /** Time whose usage was read, of the tenants named; nothing for one that opens. */
  usage: optional(
    Schema.Struct({
      span: Span,
      tenants: Schema.Array(Schema.String),
      /** Usage records and single events that were read, and calls whose records were dropped before they could be kept. */
      records: Schema.Int,
      events: Schema.Int,
      dropped: Schema.Int,
      /** Sums where sums were rated; not there for what was rated event by event. */
      sums: Schema.Array(Metered),
      /** Changes with anything that is recorded for that time. */
      fingerprint: Schema.String,
    }),
  ),
})

export const DocumentTax = Schema.Struct({ code: Schema.String, rate: Decimal, treatment: Treatment, neverIncluded: Schema.Boolean })
export const DocumentRate = Schema.Struct({ source: Currency, value: Decimal, note: Schema.String })
const Places = Schema.Array(Schema.Int)

/** What the rules assembled: lines by the place they have in the invoice's. */
export const Document = Schema.Struct({
  currency: Currency,
  lines: Schema.Array(Schema.Struct({ title: Schema.String, amount: Decimal, currency: Schema.String, taxes: Places, span: Span })),
  discounts: Schema.Array(Schema.Struct({ id: Schema.String, amount: optional(Decimal), percent: optional(Decimal), lines: Places })),
  taxes: Schema.Array(DocumentTax),
  rates: Schema.Array(DocumentRate),
  balances: Schema.Array(Schema.Struct({ id: Schema.String, amount: Decimal })),
})

export const Totals = Schema.Struct({
  lines: Schema.Array(Decimal),
  discount: Decimal,
  net: Decimal,
  taxes: Schema.Array(Schema.Struct({ tax: Schema.Int, base: Decimal, amount: Decimal })),
  tax: Decimal,
  gross: Decimal,
  /** Of each balance, for each line or the document. */
  taken: Schema.Array(Schema.Array(Decimal)),
  left: Schema.Array(Decimal),
  payableRounding: Decimal,
  payable: Decimal,
  roundings: Schema.Array(Schema.Struct({ path: Schema.String, before: Ratio, after: Decimal })),
})

const ZoneUsed = Schema.Struct({ name: Schema.String, release: Schema.String, digest: Digest })

/** An invoice as it is drawn up, before it has a number. */
export const Draft = Schema.Struct({
  /** The same for whoever draws it up: of subscription, period and sequence. */
  id: InvoiceId,
  entity: Schema.String,
  account: Account,
  subscription: Subscription,
  period: Span,
  sequence: Schema.Int,
  currency: Currency,
  /** Digits after the point of the currency. */
  exponent: Schema.Int,
  catalogue: Schema.Struct({ digest: Digest, name: Schema.String, version: Schema.String }),
  /** The component that decided. */
  rules: Digest,
  zones: Schema.Array(ZoneUsed),
  ratings: Schema.Array(Rating),
  lines: Schema.Array(Line),
  document: Document,
  totals: Totals,
})

export const Invoice = Schema.Struct({
  ...Draft.fields,
  number: Schema.String,
  series: RecordId,
  issuedAt: Instant,
  dueAt: Instant,
  /** The subscription's next period after this. */
  next: Schema.NullOr(Span),
})

export const InvoiceState = Schema.Struct({
  status: Schema.Literals(["issued", "paid", "overdue", "cancelled"]),
  /** Since when. */
  at: Instant,
  /** Credit notes of it. */
  credits: Schema.Array(InvoiceId),
})

export const CreditLine = Schema.Struct({ line: Schema.Int, title: Schema.String, net: Decimal, tax: Decimal })

export const CreditNote = Schema.Struct({
  id: InvoiceId,
  number: Schema.String,
  series: RecordId,
  entity: Schema.String,
  account: RecordId,
  /** The invoice that it is of. */
  invoice: InvoiceId,
  invoiceNumber: Schema.String,
  currency: Currency,
  issuedAt: Instant,
  reason: Schema.String,
  /** What was asked for, as JSON: asked for again it is the same note. */
  order: Schema.String,
  lines: Schema.Array(CreditLine),
  net: Decimal,
  tax: Decimal,
  total: Decimal,
  /** What of it came off what was owed for the invoice. */
  settled: Decimal,
  /** What of it went to the account's wallet: what was paid for already. */
  wallet: Decimal,
  /** The component that decided. */
  rules: Digest,
})
