/** `stele:billing/charging`: decides by what came with the call and the price list that was compiled, and by nothing else. */
import {
  Aggregate,
  Allocated,
  CatalogueHandle,
  CreditItem,
  CreditLine,
  Decimal,
  Description,
  DocumentInput,
  Events,
  Line,
  Meter,
  Overage,
  OveragePolicy,
  Prior,
  Problem,
  ProblemKind,
  Quote,
  RaterHandle,
  Segment,
  Share,
  Span,
  Subscription,
  Totals,
  Zone,
} from "../bindings/charging"
import { err, ok, Result, Tuple2, unit, Unit } from "../bindings/runtime"
import { estimated } from "./estimate.as"
import { amountOf, decimalOf, fractionOf, overflow } from "./convert.as"
import { Compiler } from "./compile.as"
import { allocated } from "./allocate.as"
import { assembled } from "./document.as"
import { Due, duesOf } from "./due.as"
import { credited } from "./credit.as"
import { clearOverflow, Exact, overflowed } from "./exact.as"
import { explained } from "./explain.as"
import { digitsAfter, ladderOf } from "./ladder.as"
import { Aggregation, Charge, Model, Price, PriceList, problem } from "./model.as"
import { read, write } from "./snapshot.as"
import { Work } from "./rater.as"
import { EventSum } from "./tally.as"
import { Piece, Term } from "./term.as"

export class Catalogue {
  /** Digits after the point of amounts: the currency's, or those of a step of rounding. */
  readonly amountScale: i32
  constructor(readonly list: PriceList) {
    this.amountScale = max(list.exponent, digitsAfter(list.policies.step))
  }

  static compile(source: string): Result<CatalogueHandle, Array<Problem>> {
    const compiler = new Compiler()
    const list = compiler.compile(source)
    if (list === null) return err<CatalogueHandle, Array<Problem>>(compiler.problems)
    return ok<CatalogueHandle, Array<Problem>>(CatalogueHandle.from$(new Catalogue(list)))
  }

  describe(): Description {
    const list = this.list
    const meters = new Array<Meter>(0)
    for (let i = 0; i < list.meters.length; i += 1) {
      const meter = list.meters[i]
      meters.push(new Meter(meter.id, <u8>meter.scale, meter.unit, meter.needsEvents))
    }
    const plans = new Array<string>(0)
    for (let i = 0; i < list.plans.length; i += 1) plans.push(list.plans[i].id)
    return new Description(list.name, list.version, list.currency, <u8>this.amountScale, meters, plans, list.warnings)
  }

  match(name: string, properties: Array<Tuple2<string, string>>): StaticArray<u32> {
    const found = new Array<u32>(0)
    for (let m = 0; m < this.list.meters.length; m += 1) {
      const meter = this.list.meters[m]
      if (meter.event === null || (meter.event as string) != name) continue
      let isOne: bool = true
      for (let w = 0; w < meter.whereNames.length && isOne; w += 1) {
        let has: bool = false
        for (let p = 0; p < properties.length && !has; p += 1) has = properties[p].item0 == meter.whereNames[w] && meter.whereValues[w].includes(properties[p].item1)
        isOne = has
      }
      if (isOne) found.push(<u32>m)
    }
    return StaticArray.fromArray<u32>(found)
  }

  private chargeNamed(planId: string, chargeId: string): Charge | null {
    const plan = this.list.plan(planId)
    return plan === null ? null : plan.charge(chargeId)
  }

  rate(plan: string, charge: string, quantities: StaticArray<i64>, scale: u8): Result<StaticArray<i64>, Problem> {
    const found = this.chargeNamed(plan, charge)
    if (found === null) {
      const isPlan = this.list.plan(plan) !== null
      const which = isPlan ? ProblemKind.unknownCharge : ProblemKind.unknownPlan
      return err<StaticArray<i64>, Problem>(problem(which, isPlan ? "charge" : "plan", `There is no "${isPlan ? charge : plan}"`))
    }
    const unitScale = found.meter >= 0 ? this.list.meters[found.meter].scale : 18
    if (<i32>scale > unitScale) return err<StaticArray<i64>, Problem>(problem(ProblemKind.exponentMismatch, "scale", `Quantities of "${charge}" have at most ${unitScale} digits`))
    const price = found.price.ofAttribute("")
    if (price === null) return err<StaticArray<i64>, Problem>(problem(ProblemKind.unknownAttribute, found.price.path, "There is no price for what has no attribute"))
    if (price.model == Model.unset) return err<StaticArray<i64>, Problem>(problem(ProblemKind.unpriced, price.path, `The price of "${found.name}" was never set`))
    const out = new StaticArray<i64>(quantities.length)
    if (price.model == Model.flat && quantities.length > 0) {
      const one = new StaticArray<i64>(1)
      if (this.slowly(price, one, one, scale, false) >= 0) return err<StaticArray<i64>, Problem>(overflow("quantities/0"))
      return ok<StaticArray<i64>, Problem>(out.fill(one[0]))
    }
    if (!price.isLadderTried || price.ladderScale != <i32>scale) {
      price.ladder = ladderOf(price, scale, this.list.policies, this.amountScale)
      price.isLadderTried = true
      price.ladderScale = scale
    }
    const ladder = price.ladder
    if (ladder !== null && ladder.run(quantities, out)) {
      if (ladder.hasOthers) {
        const at = this.slowly(price, quantities, out, scale, true)
        if (at >= 0) return err<StaticArray<i64>, Problem>(overflow(`quantities/${at}`))
      }
      return ok<StaticArray<i64>, Problem>(out)
    }
    const at = this.slowly(price, quantities, out, scale, false)
    if (at >= 0) return err<StaticArray<i64>, Problem>(overflow(`quantities/${at}`))
    return ok<StaticArray<i64>, Problem>(out)
  }
  /** In fractions; the place of what is beyond 64 bits, or −1. */
  private slowly(price: Price, quantities: StaticArray<i64>, out: StaticArray<i64>, scale: i32, isOfOthers: bool): i32 {
    clearOverflow()
    for (let i = 0; i < quantities.length; i += 1) {
      const quantity = quantities[i]
      if (isOfOthers && quantity > 0) continue
      const q = Exact.ofScaled(quantity >> 63, <u64>quantity, scale)
      let amount = Exact.zero
      if (price.model == Model.percentage) {
        const sum = new EventSum(price)
        sum.add(q)
        amount = sum.amount
      } else amount = price.of(q, this.list.policies.isFeeDueAtZero, null)
      const whole = this.list.policies.round(amount).coefficient(this.amountScale)
      if (overflowed || !whole.fitsI64) return i
      out[i] = <i64>whole.low
    }
    return -1
  }

  periods(subscription: Subscription, within: Span, zones: Array<Zone>): Result<Array<Span>, Problem> {
    if (within.end < within.start) return err<Array<Span>, Problem>(problem(ProblemKind.endBeforeStart, "within", "It ends before it starts"))
    clearOverflow()
    const term = new Term(this.list, subscription, zones)
    const spans = new Array<Span>(0)
    while (term.next()) {
      if (term.start >= within.end) break
      if (term.start >= within.start) spans.push(new Span(term.start, term.end))
    }
    const refused = term.problem
    if (refused !== null) return err<Array<Span>, Problem>(refused)
    return ok<Array<Span>, Problem>(spans)
  }

  assign(subscription: Subscription, at: i64, zones: Array<Zone>): Result<Span, Problem> {
    clearOverflow()
    const term = new Term(this.list, subscription, zones)
    while (term.next()) if (at >= term.start && at < term.end) return ok<Span, Problem>(new Span(term.start, term.end))
      else if (at < term.start) break
    const refused = term.problem
    if (refused !== null) return err<Span, Problem>(refused)
    return err<Span, Problem>(problem(ProblemKind.outsidePeriod, "at", "It is in no period of this subscription"))
  }

  prorate(charge: string, subscription: Subscription, period: Span, zones: Array<Zone>): Result<Array<Segment>, Problem> {
    clearOverflow()
    const term = new Term(this.list, subscription, zones)
    if (term.problem !== null || !term.find(period)) return err<Array<Segment>, Problem>(term.problem as Problem)
    const pieces = term.pieces()
    const segments = new Array<Segment>(0)
    let isKnown = false
    const byPlan = new Map<string, Array<Due>>()
    for (let i = 0; i < pieces.length; i += 1) {
      const piece = pieces[i]
      const found = piece.plan.charge(charge)
      if (found === null) continue
      isKnown = true
      if (found.meter >= 0) return err<Array<Segment>, Problem>(problem(ProblemKind.unsupported, "charge", `"${charge}" prices usage, which has no share of time`))
      if (found.price.model == Model.unset) return err<Array<Segment>, Problem>(problem(ProblemKind.unpriced, found.price.path, `The price of "${found.name}" was never set`))
      if (!byPlan.has(found.name)) {
        const own = new Array<Piece>(0)
        for (let p = i; p < pieces.length; p += 1) if (pieces[p].plan === piece.plan) own.push(pieces[p])
        byPlan.set(found.name, duesOf(own, found, this.list.policies))
      }
      const due = byPlan.get(found.name).shift()
      const whole = found.price.of(due.count, this.list.policies.isFeeDueAtZero, null)
      segments.push(new Segment(new Span(piece.start, piece.end), piece.plan.id, decimalOf(due.count), due.numerator, piece.denominator, fractionOf(whole.mul(due.share))))
    }
    if (!isKnown) return err<Array<Segment>, Problem>(problem(ProblemKind.unknownCharge, "charge", `No plan of this period has a charge "${charge}"`))
    if (overflowed) return err<Array<Segment>, Problem>(overflow("charge"))
    return ok<Array<Segment>, Problem>(segments)
  }

  estimate(plan: string, quantities: Array<Aggregate>, counts: Array<Tuple2<string, Decimal>>, prior: Prior, steps: bool): Result<Quote, Problem> {
    return estimated(this.list, this.amountScale, plan, quantities, counts, prior, steps)
  }
  allocate(amount: Decimal, shares: Array<Share>): Result<Array<Allocated>, Problem> {
    return allocated(this.list, this.amountScale, amount, shares)
  }
  assemble(document: DocumentInput): Result<Totals, Problem> {
    return assembled(this.list, document)
  }
  credit(invoice: DocumentInput, before: Array<CreditLine>, items: Array<CreditItem>): Result<Array<CreditLine>, Problem> {
    return credited(this.list, invoice, before, items)
  }
  explain(line: Line): Array<string> {
    clearOverflow()
    return explained(this.list, line)
  }
}

export class Rater {
  constructor(readonly work: Work) {}

  static start(catalogue: Catalogue, subscription: Subscription, period: Span, zones: Array<Zone>, prior: Prior): Result<RaterHandle, Problem> {
    const work = new Work(catalogue.list, catalogue.amountScale, subscription, period, zones, prior)
    const refused = work.problem
    if (refused !== null) return err<RaterHandle, Problem>(refused)
    return ok<RaterHandle, Problem>(RaterHandle.from$(new Rater(work)))
  }

  add(batch: Events): Result<Unit, Problem> {
    const refused = this.work.add(batch)
    return refused === null ? ok<Unit, Problem>(unit) : err<Unit, Problem>(refused)
  }
  addAggregates(sums: Array<Aggregate>): Result<Unit, Problem> {
    const refused = this.work.addAggregates(sums)
    return refused === null ? ok<Unit, Problem>(unit) : err<Unit, Problem>(refused)
  }
  snapshot(): StaticArray<u8> {
    return write(this.work)
  }
  static restore(catalogue: Catalogue, snapshot: StaticArray<u8>): Result<RaterHandle, Problem> {
    const work = read(catalogue.list, catalogue.amountScale, snapshot)
    if (work === null) return err<RaterHandle, Problem>(problem(ProblemKind.malformed, "snapshot", "It is none that these rules wrote for this price list"))
    return ok<RaterHandle, Problem>(RaterHandle.from$(new Rater(work)))
  }
  finish(isLast: bool): Result<Array<Line>, Problem> {
    const refused = this.work.finish(isLast)
    return refused === null ? ok<Array<Line>, Problem>(this.work.lines) : err<Array<Line>, Problem>(refused)
  }
}
