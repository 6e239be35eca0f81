/** The rules as they answer worked cases: the questions that the oracle answers, too. */
import type { Line, Problem } from "../../../schemas/wit/stele/billing.gen.ts"
import * as F from "../../billing/fraction.ts"
import type { AnsweredLine, Answerer } from "../../billing/oracle-cases.ts"
import type { Totals } from "../../billing/oracle-document.ts"
import { Refused } from "../../billing/oracle-problem.ts"
import { creditedOf, number, totalsOf } from "./document.ts"
import { fractionOf, lineText, raterOf, subscriptionOf, zoneOf } from "./rating.ts"
import { at, refusal, type Rules } from "./rules.ts"

/** The same questions that the oracle answers, put to the rules. */
export const answererOf = (rules: Rules): Answerer => ({
  lines: (rating) => {
    const rater = raterOf(rules, rules.compile(rating.catalogue), rating)
    return rules.call(`${at}#[method]rater.finish`, [rater, rating.last]).map((line): AnsweredLine => {
      lineText(line)
      const of = (...kinds: ReadonlyArray<Line["steps"][number]["kind"]>) =>
        F.total(line.steps.filter(({ kind }) => kinds.includes(kind)).map(({ amount }) => F.over(fractionOf(amount.numerator), fractionOf(amount.denominator))))
      const quantities = (kind: Line["steps"][number]["kind"]) =>
        line.steps.flatMap((step) => (step.kind === kind && step.quantity !== undefined ? [fractionOf(step.quantity)] : []))
      const isPercentage = rating.catalogue.plans.some((plan) =>
        plan.charges.some(({ id, price }) => `${plan.id}/${id}` === line.charge && price.model === "percentage"),
      )
      return {
        charge: line.charge,
        amount: fractionOf(line.amount),
        exact: F.over(fractionOf(line.exact.numerator), fractionOf(line.exact.denominator)),
        billed: fractionOf(line.billed),
        charged: isPercentage ? F.total(quantities("price")) : F.minus(fractionOf(line.quantity), F.total(quantities("allowance"))),
        steps: { price: of("price", "flat-fee", "proration"), discount: of("discount"), maximum: of("maximum"), minimum: of("minimum", "commitment") },
      }
    })
  },
  periods: (catalogue, subscription, within, zones) =>
    rules.call(`${at}#[method]catalogue.periods`, [rules.compile(catalogue), subscriptionOf(subscription), within, zones.map(zoneOf)]),
  totals: (catalogue, document) => {
    let totals: Totals | undefined
    const refused = refusal(() => (totals = totalsOf(rules, rules.compile(catalogue), document))) as Problem | undefined
    if (totals === undefined) throw new Refused(refused?.kind ?? "", refused?.message ?? "")
    return totals
  },
  credit: (catalogue, document, before, items) => creditedOf(rules, rules.compile(catalogue), document, before, items),
  allocate: (catalogue, amount, shares) =>
    rules
      .call(`${at}#[method]catalogue.allocate`, [
        rules.compile(catalogue),
        number(amount),
        shares.map(({ weight, key = "", atMost }) => ({ weight: number(weight), key, atMost: atMost === undefined ? undefined : number(atMost) })),
      ])
      .map((one) => fractionOf(one.amount)),
})
