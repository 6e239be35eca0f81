/** What quantities would cost, all in one whole period of a plan. */
import { Aggregate, Decimal, Line, Overage, OveragePolicy, Prior, Problem, ProblemKind, Quote, Span } from "../bindings/charging"
import { err, ok, Result, Tuple2 } from "../bindings/runtime"
import { aggregateProblem, aggregateQuantity, Billing, Draft, isEarly } from "./bill.as"
import { amountOf, decimalOf, exactOf, noDecimal, overflow } from "./convert.as"
import { clearOverflow, Exact, overflowed } from "./exact.as"
import { Aggregation, Charge, Model, Overrun, Plan, PriceList, problem } from "./model.as"
import { Piece, put } from "./term.as"

/** All aggregates of a meter, or of one attribute of it. Null where there are none. */
function quantityOf(list: PriceList, sums: Array<Aggregate>, meter: i32, isOfOne: bool, attribute: string): Exact | null {
  let found: Exact | null = null
  const aggregation = list.meters[meter].aggregation
  for (let i = 0; i < sums.length; i += 1) {
    if (<i32>sums[i].meter != meter) continue
    const own = sums[i].attribute
    if (isOfOne && (own === null ? "" : own) != attribute) continue
    const quantity = aggregation == Aggregation.count ? Exact.ofU64(sums[i].events) : aggregateQuantity(list, sums[i])
    if (aggregation == Aggregation.max) found = (found === null ? Exact.zero : found).max(quantity)
    else found = found === null ? quantity : found.add(quantity)
  }
  return found
}

class Estimate {
  problem: Problem | null = null
  lines: Array<Line> = []
  overages: Array<Overage> = []
  total: Exact = Exact.zero
  private span: Span = new Span(0, 0)

  constructor(
    private readonly list: PriceList,
    private readonly amountScale: i32,
    private readonly sums: Array<Aggregate>,
    private readonly prior: Prior,
    private readonly billing: Billing,
    private readonly hasSteps: bool,
  ) {}

  private push(draft: Draft, billed: Exact): void {
    if (draft.problem !== null) {
      this.problem = draft.problem
      return
    }
    this.lines.push(draft.line(this.span, billed, this.amountScale))
    this.total = this.total.add(billed.isZero ? draft.rounded : draft.rounded.sub(billed))
    if (overflowed && this.problem === null) this.problem = overflow(draft.charge.path)
  }

  fixed(charge: Charge, piece: Piece): void {
    const billed = this.billing.of(charge.name, null)
    this.push(new Draft(this.list, charge, null, this.hasSteps).fixed([piece], Exact.one, true), billed === null ? Exact.zero : billed)
  }

  metered(charge: Charge): void {
    if (charge.price.model != Model.byAttribute) {
      this.one(charge, false, "")
      return
    }
    const names = new Array<string>(0)
    for (let pass = 0; pass < 2; pass += 1) {
      const sums = pass == 0 ? this.sums : this.prior.quantities
      for (let i = 0; i < sums.length; i += 1) {
        const own = sums[i].attribute
        const name = own === null ? "" : own
        if (<i32>sums[i].meter == charge.meter && !names.includes(name)) names.push(name)
      }
    }
    this.billing.attributesOf(charge.name, names)
    names.sort((a, b) => i32(a > b) - i32(a < b))
    for (let i = 0; i < names.length && this.problem === null; i += 1) this.one(charge, true, names[i])
  }

  private one(charge: Charge, isOfOne: bool, name: string): void {
    const attribute: string | null = isOfOne ? name : null
    const now = quantityOf(this.list, this.sums, charge.meter, isOfOne, name)
    const before = quantityOf(this.list, this.prior.quantities, charge.meter, isOfOne, name)
    let quantity = now === null ? Exact.zero : now
    if (before !== null) {
      const aggregation = this.list.meters[charge.meter].aggregation
      if (aggregation == Aggregation.max) quantity = quantity.max(before)
      else if (aggregation >= Aggregation.unique) quantity = now === null ? before : quantity
      else quantity = quantity.add(before)
    }
    const said = this.billing.of(charge.name, attribute)
    let billed = Exact.zero
    if (said !== null) billed = said
    else
      billed = before === null || before.isZero || !isEarly(charge, this.list, attribute) ? Exact.zero : new Draft(this.list, charge, attribute, false).metered(before, null, null, Exact.one, false).rounded
    this.push(new Draft(this.list, charge, attribute, this.hasSteps).metered(quantity, null, null, Exact.one, true), billed)
    if (charge.overrun == Overrun.none || quantity.compare(charge.overrunUpTo) <= 0) return
    const policy = charge.overrun == Overrun.block ? OveragePolicy.block : charge.overrun == Overrun.bill ? OveragePolicy.bill : OveragePolicy.warn
    this.overages.push(new Overage(charge.name, attribute, policy, decimalOf(charge.overrunUpTo), decimalOf(quantity.sub(charge.overrunUpTo))))
  }
}

const nothingBilled = new Billing(new PriceList(), 0, new Prior([], []))

export function estimated(
  list: PriceList,
  amountScale: i32,
  planId: string,
  sums: Array<Aggregate>,
  counts: Array<Tuple2<string, Decimal>>,
  prior: Prior,
  hasSteps: bool,
): Result<Quote, Problem> {
  clearOverflow()
  const plan = list.plan(planId)
  if (plan === null) return err<Quote, Problem>(problem(ProblemKind.unknownPlan, "plan", `There is no plan "${planId}"`))
  for (let pass = 0; pass < 2; pass += 1) {
    const all = pass == 0 ? sums : prior.quantities
    const place = pass == 0 ? "quantities" : "prior/quantities"
    for (let i = 0; i < all.length; i += 1) {
      const refused = aggregateProblem(list, all[i], place, i)
      if (refused !== null) return err<Quote, Problem>(refused)
      const meter = list.meters[all[i].meter]
      if (meter.isPricedByEvent) return err<Quote, Problem>(problem(ProblemKind.conflict, `${place}/${i}`, `Single events of "${meter.id}" decide, which a sum does not tell`))
    }
  }
  const names = new Array<string>(0)
  const values = new Array<Exact>(0)
  for (let i = 0; i < counts.length; i += 1) {
    const count = exactOf(counts[i].item1)
    if (count === null || count.isNegative) return err<Quote, Problem>(noDecimal(`counts/${i}`))
    put(names, values, counts[i].item0, count)
  }
  const piece = new Piece(0, 0, plan, names, values)
  piece.numerator = 1
  const billing = prior.billed.length == 0 ? nothingBilled : new Billing(list, amountScale, prior)
  if (billing.problem !== null) return err<Quote, Problem>(billing.problem as Problem)
  const estimate = new Estimate(list, amountScale, sums, prior, billing, hasSteps)
  for (let c = 0; c < plan.charges.length && estimate.problem === null; c += 1) {
    if (plan.charges[c].meter < 0) estimate.fixed(plan.charges[c], piece)
    else estimate.metered(plan.charges[c])
  }
  const refused = estimate.problem
  if (refused !== null) return err<Quote, Problem>(refused)
  return ok<Quote, Problem>(new Quote(estimate.lines, amountOf(estimate.total, amountScale), estimate.overages))
}
