/** A charge's quantity → its line. */
import { Aggregate, Billed, Line, Prior, Problem, ProblemKind, Span, Step, StepKind } from "../bindings/charging"
import { lowered, modified } from "./apply.as"
import { amountOf, decimalOf, exactOf, fractionOf, noDecimal } from "./convert.as"
import { duesOf } from "./due.as"
import { Exact } from "./exact.as"
import { Aggregation, Charge, Model, Overrun, Part, Price, PriceList, problem } from "./model.as"
import { EventSum } from "./tally.as"
import { Piece } from "./term.as"

/** What was billed before, by charge and attribute. */
export class Billing {
  problem: Problem | null = null
  private charges: Array<string> = []
  private attributes: Array<string | null> = []
  private amounts: Array<Exact> = []

  constructor(
    readonly list: PriceList,
    readonly amountScale: i32,
    prior: Prior,
  ) {
    for (let i = 0; i < prior.billed.length; i += 1) this.put(prior.billed[i], i)
  }
  private put(billed: Billed, at: i32): void {
    const amount = exactOf(billed.amount)
    if (amount === null) {
      if (this.problem === null) this.problem = noDecimal(`prior/billed/${at}/amount`)
      return
    }
    const slash = billed.charge.indexOf("/")
    const plan = this.list.plan(billed.charge.substring(0, slash))
    const charge: Charge | null = plan === null ? null : plan.charge(billed.charge.substring(slash + 1))
    if (charge === null) {
      if (this.problem === null) this.problem = problem(ProblemKind.unknownCharge, `prior/billed/${at}/charge`, `There is no charge "${billed.charge}"`)
      return
    }
    if (!amount.hasScale(this.amountScale)) {
      if (this.problem === null) this.problem = problem(ProblemKind.offMinorUnit, `prior/billed/${at}/amount`, `${amount.toString()} has more than ${this.amountScale} digits`)
      return
    }
    let attribute = billed.attribute
    if (charge.price.model == Model.byAttribute) {
      if (attribute === null) attribute = ""
    } else if (attribute !== null) {
      if (this.problem === null) this.problem = problem(ProblemKind.unknownAttribute, `prior/billed/${at}/attribute`, `"${billed.charge}" has one line, of all attributes`)
      return
    }
    this.charges.push(billed.charge)
    this.attributes.push(attribute)
    this.amounts.push(amount)
  }
  /** Null where nothing is said of it. */
  of(charge: string, attribute: string | null): Exact | null {
    let found: Exact | null = null
    for (let i = 0; i < this.charges.length; i += 1)
      if (this.charges[i] == charge && this.attributes[i] == attribute) found = found === null ? this.amounts[i] : found.add(this.amounts[i])
    return found
  }
  attributesOf(charge: string, into: Array<string>): void {
    for (let i = 0; i < this.charges.length; i += 1) {
      const attribute = this.attributes[i]
      if (this.charges[i] == charge && attribute !== null && !into.includes(attribute)) into.push(attribute)
    }
  }
}

/** A level through time: what its units came to at each time, in the mean; the greatest that held; the last. */
export class Level {
  constructor(
    readonly units: Exact,
    readonly most: Exact,
    readonly ending: Exact,
  ) {}
}

/** Of lines that do not say how they came about; nothing is ever put into it. */
const noSteps = new Array<Step>(0)

/** What a line is made of. */
export class Draft {
  problem: Problem | null = null
  quantity: Exact = Exact.zero
  exact: Exact = Exact.zero
  rounded: Exact = Exact.zero
  /** Null where nobody asks how it came about. */
  private parts: Array<Part> | null
  /** What was billed is in `exact` as it was said, and no step tells of it. */
  private isBesideBilled: bool = false

  constructor(
    private readonly list: PriceList,
    readonly charge: Charge,
    readonly attribute: string | null,
    hasSteps: bool,
  ) {
    this.parts = hasSteps ? new Array<Part>(0) : null
  }
  private say(kind: StepKind, path: string, quantity: Exact | null, amount: Exact): void {
    const parts = this.parts
    if (parts !== null) parts.push(new Part(kind, path, quantity, amount))
  }

  /** Null, after the problem is set, where it has no price. */
  private priceOf(): Price | null {
    const price = this.charge.price
    if (price.model != Model.byAttribute) return price
    const attribute = this.attribute === null ? "" : (this.attribute as string)
    const found = price.ofAttribute(attribute)
    if (found === null) this.problem = problem(ProblemKind.unknownAttribute, price.path, `There is no price for the attribute "${attribute}", and none for others`)
    return found
  }
  private unpriced(price: Price): void {
    this.problem = problem(ProblemKind.unpriced, price.path, `The price of "${this.charge.name}" was never set: a price list of the customer's own says it`)
  }

  metered(quantity: Exact, sum: EventSum | null, level: Level | null, share: Exact, isLast: bool): this {
    this.quantity = quantity
    const price = this.priceOf()
    if (price === null) return this
    const policies = this.list.policies
    let q = quantity
    if (this.charge.overrun == Overrun.block) q = q.min(this.charge.overrunUpTo)
    let amount = Exact.zero
    let billed = Exact.zero
    if (price.model == Model.percentage) {
      if (sum !== null) {
        amount = sum.amount
        this.say(StepKind.price, price.path, sum.paid, amount)
        if (sum.billed !== null) {
          billed = sum.billed as Exact
          amount = amount.add(billed)
          this.isBesideBilled = true
        }
      }
    } else {
      q = lowered(this.charge, q, share, this.parts)
      if (price.model == Model.unset) {
        if (!q.isZero) this.unpriced(price)
      } else if (price.isByCount) {
        const held = level === null ? new Level(price.unitsOf(q), q, q) : level
        amount = price.ofLevel(q, held.units, held.most, held.ending, policies.isFeeDueAtZero, this.parts)
      } else amount = price.of(q, policies.isFeeDueAtZero, this.parts)
    }
    this.end(modified(this.charge, amount, billed, share, policies, isLast, this.parts))
    return this
  }

  fixed(pieces: Array<Piece>, share: Exact, isLast: bool): this {
    const price = this.charge.price
    if (price.model == Model.unset) this.unpriced(price)
    const policies = this.list.policies
    let amount = Exact.zero
    const dues = duesOf(pieces, this.charge, policies)
    for (let i = 0; i < dues.length; i += 1) {
      if (dues[i].numerator == 0) continue
      const count = dues[i].count
      const part = dues[i].share
      const whole = price.of(count, policies.isFeeDueAtZero, null)
      const due = whole.mul(part)
      const number = count.mul(part)
      this.quantity = this.quantity.add(number)
      this.say(dues[i].isWhole ? (price.model == Model.flat ? StepKind.flatFee : StepKind.price) : StepKind.proration, price.path, number, due)
      amount = amount.add(due)
    }
    this.end(modified(this.charge, amount, Exact.zero, share, policies, isLast, this.parts))
    return this
  }

  private end(amount: Exact): void {
    this.exact = amount.reduced()
    this.rounded = this.list.policies.round(amount)
    if (this.parts !== null && !this.rounded.equals(this.exact)) this.say(StepKind.rounding, this.charge.path, null, this.rounded.sub(this.exact))
  }

  line(span: Span, billed: Exact, amountScale: i32): Line {
    if (!billed.isZero && !this.isBesideBilled) this.say(StepKind.billedBefore, this.charge.path, null, billed.neg())
    const parts = this.parts
    const steps = parts === null ? noSteps : new Array<Step>(parts.length)
    for (let i = 0; i < steps.length; i += 1) {
      const part = (parts as Array<Part>)[i]
      const quantity = part.quantity
      steps[i] = new Step(part.kind, part.path, quantity === null ? null : decimalOf(quantity), fractionOf(part.amount))
    }
    const charge = this.charge
    return new Line(
      charge.name,
      this.attribute,
      charge.meterNumber,
      charge.title,
      span,
      decimalOf(this.quantity),
      amountOf(billed.isZero ? this.rounded : this.rounded.sub(billed), amountScale),
      fractionOf(this.exact),
      amountOf(billed, amountScale),
      charge.taxCategory,
      steps,
    )
  }
}

/** Whether a charge has a line, of an attribute where it has several, before the period is over. */
export function isEarly(charge: Charge, list: PriceList, attribute: string | null): bool {
  if (charge.meter < 0) return !charge.isInArrears
  if (list.meters[charge.meter].aggregation >= Aggregation.latest) return false
  const price = charge.price.ofAttribute(attribute === null ? "" : attribute)
  return price === null || !price.waits
}

/** The problem with an aggregate, which is the `at`th of `place`. */
export function aggregateProblem(list: PriceList, aggregate: Aggregate, place: string, at: i32): Problem | null {
  if (aggregate.meter >= <u32>list.meters.length) return problem(ProblemKind.unknownMeter, `${place}/${at}/meter`, `There is no meter ${aggregate.meter}`)
  const quantity = exactOf(aggregate.quantity)
  if (quantity === null) return noDecimal(`${place}/${at}/quantity`)
  const meter = list.meters[aggregate.meter]
  if (!list.policies.isExcessRounded && !quantity.hasScale(meter.scale))
    return problem(ProblemKind.exponentMismatch, `${place}/${at}/quantity`, `${quantity.toString()} has more than the ${meter.scale} digits of "${meter.unit}"`)
  return null
}

export function aggregateQuantity(list: PriceList, aggregate: Aggregate): Exact {
  const quantity = exactOf(aggregate.quantity) as Exact
  const scale = list.meters[aggregate.meter].scale
  return quantity.hasScale(scale) ? quantity : quantity.rounded(Exact.ofScaled(0, 1, scale), list.policies.mode)
}
