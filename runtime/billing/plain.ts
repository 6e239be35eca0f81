/** What the rules answer as it is kept, and back: decimals as texts, fractions as two whole numbers. Nothing is computed. */
import type { Document, Totals } from "../../schemas/billing/invoice.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import type { Decimal, DocumentInput, Fraction, Line, Totals as WitTotals } from "../../schemas/wit/stele/billing.gen.ts"
import { decimal, decimalText, ratioOf, readDecimal } from "./decimal.ts"
import type { InvoiceValue } from "./record.ts"

export type DocumentValue = typeof Document.Type
export type TotalsValue = typeof Totals.Type
export type LineValue = InvoiceValue["lines"][number]

/** @throws BillingError `Input` for what is no decimal of 128 bits */
export function decimalIn(text: string): Decimal {
  const found = readDecimal(text)
  if (found === undefined) throw new BillingError("Input", { what: "decimal", detail: `"${text.slice(0, 60)}" is none of at most 18 places` })
  return found
}

export function ratioText(fraction: Fraction): string {
  const { n, d } = ratioOf(fraction)
  return `${n}/${d}`
}

export const plainLine = (
  { amount, attribute, billed, charge, exact, meter, quantity, span, steps, taxCategory, title }: Line,
  meterIds: ReadonlyArray<string>,
  rating: number,
): LineValue => ({
  charge,
  ...(attribute === undefined ? {} : { attribute }),
  ...(meter === undefined ? {} : { meter: meterIds[meter] as string }),
  title,
  span,
  quantity: decimalText(quantity),
  amount: decimalText(amount),
  exact: ratioText(exact),
  billed: decimalText(billed),
  taxCategory,
  steps: steps.map(({ amount: of, kind, path, quantity: much }) => ({
    kind,
    path,
    ...(much === undefined ? {} : { quantity: decimalText(much) }),
    amount: ratioText(of),
  })),
  rating,
})

/** A line as the rules made it, to ask them `explain`. */
export function lineForRules(
  { amount, attribute, billed, charge, exact, meter, quantity, span, steps, taxCategory, title }: LineValue,
  meterIds: ReadonlyArray<string>,
): Line {
  const fraction = (text: string): Fraction => {
    const [n = "0", d = "1"] = text.split("/")
    return { numerator: decimal(BigInt(n), 0), denominator: decimal(BigInt(d), 0) }
  }
  return {
    charge,
    attribute,
    meter: meter === undefined ? undefined : meterIds.indexOf(meter),
    title,
    span,
    quantity: decimalIn(quantity),
    amount: decimalIn(amount),
    exact: fraction(exact),
    billed: decimalIn(billed),
    taxCategory,
    steps: steps.map(({ amount: of, kind, path, quantity: much }) => ({
      kind,
      path,
      quantity: much === undefined ? undefined : decimalIn(much),
      amount: fraction(of),
    })),
  }
}

/** A document as the rules take it. */
export const documentForRules = ({ balances, currency, discounts, lines, rates, taxes }: DocumentValue): DocumentInput => ({
  currency,
  lines: lines.map(({ amount, currency: of, span, taxes: places, title }) => ({
    title,
    value: { tag: "amount", val: decimalIn(amount) },
    currency: of,
    adjustments: [],
    taxes: Uint32Array.from(places),
    span,
  })),
  discounts: discounts.map(({ amount, id, lines: places, percent }) => ({
    id,
    isCharge: false,
    value: percent === undefined ? { tag: "amount", val: decimalIn(amount ?? "0") } : { tag: "percent", val: decimalIn(percent) },
    lines: Uint32Array.from(places),
    taxes: new Uint32Array(0),
  })),
  adjustments: [],
  taxes: taxes.map(({ code, neverIncluded, rate, treatment }) => ({ code, rate: decimalIn(rate), treatment, neverIncluded })),
  rates: rates.map(({ note, source, value }) => ({ source, value: decimalIn(value), note })),
  balances: balances.map(({ amount, id }) => ({ id, amount: decimalIn(amount), lines: new Uint32Array(0) })),
  paid: decimal(0n, 0),
  rounding: decimal(0n, 0),
})

export const plainTotals = (totals: WitTotals): TotalsValue => ({
  lines: totals.lines.map(decimalText),
  discount: decimalText(totals.discount),
  net: decimalText(totals.net),
  taxes: totals.taxes.map(({ amount, base, tax }) => ({ tax, base: decimalText(base), amount: decimalText(amount) })),
  tax: decimalText(totals.tax),
  gross: decimalText(totals.gross),
  taken: totals.taken.map((parts) => parts.map(decimalText)),
  left: totals.left.map(decimalText),
  payableRounding: decimalText(totals.payableRounding),
  payable: decimalText(totals.payable),
  roundings: totals.roundings.map(({ after, before, path }) => ({ path, before: ratioText(before), after: decimalText(after) })),
})
