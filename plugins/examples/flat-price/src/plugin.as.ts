/** One price for each call above a free allowance, in periods of thirty days. A price list is three words, `EUR 2 1000`: currency, cents for a call, free calls. */
import { Aggregate, Allocated, CatalogueHandle, CreditItem, CreditLine, Decimal, Description, DocumentInput, Events, Fraction, Line, Meter, Prior } from "../bindings/charging"
import { Problem, ProblemKind, Quote, RaterHandle, Segment, Share, Span, Step, StepKind, Subscription, Totals, Zone } from "../bindings/charging"
import { err, ok, Result, some, Tuple2, unit, Unit } from "../bindings/runtime"

/** Microseconds of a period; calls and cents are below the other, so that products fit 64 bits. */
const month: i64 = 30 * 86_400_000_000, most: i64 = 2_000_000_000
function no<T>(kind: ProblemKind, path: string, message: string): Result<T, Problem> { return err<T, Problem>(new Problem(kind, path, message)) }
function other<T>(path: string): Result<T, Problem> { return no<T>(ProblemKind.unsupported, path, "Only calls at one price are offered") }
function decimal(value: i64, scale: u8): Decimal { return new Decimal(value >> 63, <u64>value, scale) }
function step(kind: StepKind, cents: i64): Step { return new Step(kind, "", null, new Fraction(decimal(cents, 2), decimal(1, 0))) }

export class Catalogue {
  constructor(readonly currency: string, readonly price: i64, readonly free: i64) {}
  static compile(source: string): Result<CatalogueHandle, Array<Problem>> {
    const words = (source + "   ").split(" ")
    const made = new Catalogue(words[0], I64.parseInt(words[1]), I64.parseInt(words[2]))
    if (source == `${made.currency} ${made.price} ${made.free}` && min(made.price, made.free) >= 0 && max(made.price, made.free) < most)
      return ok<CatalogueHandle, Array<Problem>>(CatalogueHandle.from$(made))
    return err<CatalogueHandle, Array<Problem>>([new Problem(ProblemKind.malformed, "", "Currency, cents and free calls are expected here")])
  }
  describe(): Description { return new Description("flat-price", "1", this.currency, 2, [new Meter("calls", 0, "call", false)], ["flat"], []) }
  match(name: string, _: Array<Tuple2<string, string>>): StaticArray<u32> { return name == "call" ? [0] : [] }
  explain(line: Line): Array<string> { return [`${line.quantity.low} calls, ${this.free} of a period are free, at ${this.price} cents`] }
  assign(subscription: Subscription, at: i64, _: Array<Zone>): Result<Span, Problem> {
    const start = at - (at - subscription.start) % month
    return at < subscription.start ? no<Span>(ProblemKind.outsidePeriod, "at", "It is before the start") : ok<Span, Problem>(new Span(start, start + month))
  }
  assemble(from: DocumentInput): Result<Totals, Problem> {
    const hasMore = from.taxes.length + from.discounts.length + from.adjustments.length + from.balances.length > 0 || from.paid.low != 0
    if (hasMore || !from.lines.every((line) => line.value.isAmount && line.value.asAmount.scale == 2)) return other<Totals>("document")
    const lines = from.lines.map<Decimal>((line) => line.value.asAmount)
    const sum = decimal(lines.reduce<i64>((all, line) => all + <i64>line.low, 0), 2), zero = decimal(0, 2)
    return ok<Totals, Problem>(new Totals(lines, zero, zero, zero, sum, [], zero, sum, [], [], zero, sum, []))
  }
  rate(_: string, __: string, q: StaticArray<i64>, ___: u8): Result<StaticArray<i64>, Problem> { return other<StaticArray<i64>>("rate") }
  periods(_: Subscription, __: Span, ___: Array<Zone>): Result<Array<Span>, Problem> { return other<Array<Span>>("periods") }
  prorate(_: string, __: Subscription, ___: Span, ____: Array<Zone>): Result<Array<Segment>, Problem> { return other<Array<Segment>>("prorate") }
  estimate(p: string, q: Array<Aggregate>, c: Array<Tuple2<string, Decimal>>, prior: Prior, steps: bool): Result<Quote, Problem> { return other<Quote>("estimate") }
  allocate(_: Decimal, __: Array<Share>): Result<Array<Allocated>, Problem> { return other<Array<Allocated>>("allocate") }
  credit(_: DocumentInput, b: Array<CreditLine>, c: Array<CreditItem>): Result<Array<CreditLine>, Problem> { return other<Array<CreditLine>>("credit") }
}

export class Rater {
  constructor(readonly catalogue: Catalogue, readonly span: Span, public calls: i64, readonly billed: i64) {}
  static start(catalogue: Catalogue, _: Subscription, period: Span, __: Array<Zone>, prior: Prior): Result<RaterHandle, Problem> {
    const made = new Rater(catalogue, period, 0, prior.billed.reduce<i64>((all, one) => all + <i64>one.amount.low, 0))
    return prior.quantities.length > 0 ? other<RaterHandle>("prior/quantities") : ok<RaterHandle, Problem>(RaterHandle.from$(made))
  }
  add(batch: Events): Result<Unit, Problem> { return batch.meters.length > 0 ? other<Unit>("events") : ok<Unit, Problem>(unit) }
  addAggregates(sums: Array<Aggregate>): Result<Unit, Problem> {
    if (!sums.every((one) => one.meter == 0 && one.quantity.scale == 0 && one.quantity.high == 0)) return no<Unit>(ProblemKind.malformed, "sums", "Whole calls are expected")
    const calls = sums.reduce<i64>((all, one) => min<i64>(all + <i64>min<u64>(one.quantity.low, most), most), this.calls)
    if (calls < most) this.calls = calls
    return calls < most ? ok<Unit, Problem>(unit) : no<Unit>(ProblemKind.limit, "sums", `A period has fewer than ${most} calls`)
  }
  snapshot(): StaticArray<u8> { return changetype<StaticArray<u8>>(String.UTF8.encode(`${this.span.start} ${this.span.end} ${this.calls} ${this.billed}`)) }
  static restore(catalogue: Catalogue, from: StaticArray<u8>): Result<RaterHandle, Problem> {
    const its = String.UTF8.decodeUnsafe(changetype<usize>(from), from.length).split(" ").map<i64>((word) => I64.parseInt(word))
    return its.length != 4 ? other<RaterHandle>("snapshot") : ok<RaterHandle, Problem>(RaterHandle.from$(new Rater(catalogue, new Span(its[0], its[1]), its[2], its[3])))
  }
  finish(last: bool): Result<Array<Line>, Problem> {
    const cents = max<i64>(this.calls - this.catalogue.free, 0) * this.catalogue.price, due = decimal(cents - this.billed, 2)
    const steps = [step(StepKind.price, cents), step(StepKind.billedBefore, -this.billed)]
    const line = new Line("flat/calls", null, some<u32>(0), "Calls", this.span, decimal(this.calls, 0), due, steps[0].amount, decimal(this.billed, 2), "", steps)
    return ok<Array<Line>, Problem>(last || this.calls > 0 ? [line] : [])
  }
}
