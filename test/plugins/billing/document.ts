/** A document of the oracle's shape, put to the rules; what both answer as texts that can be compared. */
import type { Adjustment, Catalogue, CreditedPart, Decimal, DocumentInput, Problem } from "../../../schemas/wit/stele/billing.gen.ts"
import * as F from "../../billing/fraction.ts"
import type { ChangeValue, Credited, CreditItem, Document, DocumentChange, Totals } from "../../billing/oracle-document.ts"
import { Refused } from "../../billing/oracle-problem.ts"
import { fractionOf } from "./rating.ts"
import { at, decimal, refusal, type Rules } from "./rules.ts"

export const number = (value: F.Fraction): Decimal => decimal(F.text(value))

const valueOf = (value: ChangeValue): Adjustment["value"] =>
  "amount" in value
    ? { tag: "amount", val: number(value.amount) }
    : "of" in value
      ? { tag: "percent-of", val: [number(value.percent), number(value.of)] }
      : { tag: "percent", val: number(value.percent) }
const changeOf = ({ isCharge, value, lines, taxes }: DocumentChange): Adjustment => ({
  id: "",
  isCharge,
  value: valueOf(value),
  lines: Uint32Array.from(lines),
  taxes: Uint32Array.from(taxes),
})
export const inputOf = (document: Document): DocumentInput => ({
  currency: document.currency,
  lines: document.lines.map(({ value, currency = "", adjustments, taxes, span }) => ({
    title: "",
    value:
      "amount" in value
        ? { tag: "amount", val: number(value.amount) }
        : { tag: "priced", val: [number(value.quantity), number(value.price), number(value.per)] },
    currency,
    adjustments: adjustments.map(changeOf),
    taxes: Uint32Array.from(taxes),
    span,
  })),
  discounts: document.discounts.map(changeOf),
  adjustments: document.adjustments.map(changeOf),
  taxes: document.taxes.map(({ rate, treatment, neverIncluded }) => ({ code: "T", rate: number(rate), treatment, neverIncluded })),
  rates: document.rates.map(({ source, value }) => ({ source, value: number(value), note: "" })),
  balances: document.balances.map(({ amount, lines }) => ({ id: "", amount: number(amount), lines: Uint32Array.from(lines) })),
  paid: number(document.paid),
  rounding: number(document.rounding),
})

export function totalsOf(rules: Rules, catalogue: Catalogue, document: Document): Totals {
  const found = rules.call(`${at}#[method]catalogue.assemble`, [catalogue, inputOf(document)])
  const { discount, allowances, charges, net, tax, gross, payableRounding, payable } = found
  return {
    lines: found.lines.map(fractionOf),
    discount: fractionOf(discount),
    allowances: fractionOf(allowances),
    charges: fractionOf(charges),
    net: fractionOf(net),
    taxes: found.taxes.map(({ base, amount }) => ({ base: fractionOf(base), amount: fractionOf(amount) })),
    tax: fractionOf(tax),
    gross: fractionOf(gross),
    taken: found.taken.map((parts) => parts.map(fractionOf)),
    left: found.left.map(fractionOf),
    payableRounding: fractionOf(payableRounding),
    payable: fractionOf(payable),
  }
}

function partOf(what: CreditItem["what"]): CreditedPart {
  if (what === "rest") return { tag: "rest" }
  if ("amount" in what) return { tag: "amount", val: number(what.amount) }
  return "quantity" in what ? { tag: "quantity", val: number(what.quantity) } : { tag: "unused-from", val: what.unusedFrom }
}

export const creditedOf = (rules: Rules, catalogue: Catalogue, document: Document, before: readonly Credited[], items: readonly CreditItem[]): Credited[] =>
  rules
    .call(`${at}#[method]catalogue.credit`, [
      catalogue,
      inputOf(document),
      before.map(({ line, net, tax }) => ({ line, title: "", net: number(net), tax: number(tax) })),
      items.map(({ line, what }) => ({ line, what: partOf(what) })),
    ])
    .map(({ line, net, tax }) => ({ line, net: fractionOf(net), tax: fractionOf(tax) }))

const places18 = F.fraction(1n, 10n ** 18n)
/** With numbers as they cross: of 18 digits. */
export const textOf = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) => {
    if (typeof one === "object" && one !== null && "gross" in one) return Object.entries(one).toSorted(([a], [b]) => (a < b ? -1 : 1))
    if (typeof one === "object" && one !== null && "n" in one && "d" in one) return F.text(F.rounded(one as F.Fraction, places18, "halfAway"))
    return typeof one === "bigint" ? `${one}` : one
  })

export interface Answered {
  readonly answer: string
  readonly wide: boolean
}
/** What the oracle answers, or the kind of what it refuses. */
export const oracleAnswer = (body: () => unknown): Answered => {
  const { value, wide } = F.watched(() => {
    try {
      return textOf(body())
    } catch (error) {
      if (error instanceof Refused) return error.kind
      throw error
    }
  })
  return { answer: value, wide }
}
export function ourAnswer(body: () => unknown): string {
  let answer = ""
  const refused = refusal(() => (answer = textOf(body()))) as Problem | undefined
  return refused === undefined ? answer : refused.kind
}
