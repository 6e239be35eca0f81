/** A compiled price list. */
import { DayCount } from "./daycount.as"
import { Exact, Mode } from "./exact.as"
import { Problem, ProblemKind, StepKind } from "../bindings/charging"
import { none, Option } from "../bindings/runtime"
import { Ladder } from "./kernel.as"

export enum Model {
  flat,
  unit,
  /** Tiers, each of which prices what is in it. */
  graduated,
  /** Tiers, one of which prices all. */
  volume,
  capacity,
  percentage,
  byAttribute,
  unset,
}

export class Tier {
  price: Exact = Exact.zero
  per: Exact = Exact.one
  /** Of a package; null where units are priced as they are. */
  size: Exact | null = null
  flatFee: Exact = Exact.zero
  constructor(
    /** Null for ∞. */
    readonly upTo: Exact | null,
    readonly path: string,
  ) {}

  /** What it makes of some units, without its fee. */
  of(units: Exact): Exact {
    const size = this.size
    if (size !== null) return units.div(size).whole(Mode.ceiling).mul(this.price)
    const product = units.mul(this.price)
    return this.per === Exact.one ? product : product.div(this.per)
  }
}

/** A part of an amount. */
export class Part {
  constructor(
    readonly kind: StepKind,
    readonly path: string,
    readonly quantity: Exact | null,
    public amount: Exact,
  ) {}
}

export class Price {
  /** Of `unit` and `capacity` the one tier is how units are priced. */
  tiers: Array<Tier> = []
  /** Nothing is due for q ≤ 0. */
  isOfBlocks: bool = false
  /** Its tiers are reached by the level at a time, not by its mean. */
  isByCount: bool = false
  amount: Exact = Exact.zero
  committed: Exact = Exact.zero
  /** Of `percentage`: a share of one. */
  rate: Exact = Exact.zero
  fixedFee: Exact = Exact.zero
  minimum: Exact | null = null
  maximum: Exact | null = null
  /** −1 where there is no such bound. */
  freeEvents: i64 = -1
  freeAmount: Exact | null = null
  values: Array<string> = []
  cases: Array<Price> = []
  otherwise: Price | null = null
  /** Its path of whole numbers, made when first asked for. */
  ladder: Ladder | null = null
  isLadderTried: bool = false
  ladderScale: i32 = 0

  constructor(
    readonly model: Model,
    readonly path: string,
  ) {}

  /** Whether its amount is known only with the whole period's quantity. */
  get waits(): bool {
    return this.model == Model.volume || this.model == Model.capacity
  }
  get hasEvents(): bool {
    if (this.model == Model.percentage) return true
    for (let i = 0; i < this.cases.length; i += 1) if (this.cases[i].hasEvents) return true
    const otherwise = this.otherwise
    return otherwise !== null && otherwise.hasEvents
  }
  /** That of an attribute; null where there is none. */
  ofAttribute(attribute: string): Price | null {
    if (this.model != Model.byAttribute) return this
    const at = this.values.indexOf(attribute)
    return at >= 0 ? this.cases[at] : this.otherwise
  }

  /** What a quantity costs; its parts are appended where they are wanted. Not of `percentage`, `byAttribute` and `unset`. */
  of(q: Exact, isFeeDueAtZero: bool, parts: Array<Part> | null): Exact {
    switch (this.model) {
      case Model.flat:
        if (parts !== null) parts.push(new Part(StepKind.flatFee, this.path, null, this.amount))
        return this.amount
      case Model.unit:
      case Model.capacity: {
        const units = this.model == Model.capacity ? q.max(this.committed) : q
        const amount = this.tiers[0].of(units)
        if (parts !== null) parts.push(new Part(StepKind.price, this.path, units, amount))
        return amount
      }
      case Model.graduated:
        return this.graduated(q, isFeeDueAtZero, parts)
      case Model.volume:
        return this.volume(q, isFeeDueAtZero, parts)
    }
    return Exact.zero
  }

  private graduated(q: Exact, isFeeDueAtZero: bool, parts: Array<Part> | null): Exact {
    if (this.isOfBlocks && !q.isPositive) return Exact.zero
    let sum = Exact.zero
    let lower = Exact.zero
    for (let i = 0; i < this.tiers.length; i += 1) {
      const tier = this.tiers[i]
      if (i > 0 && q.compare(lower) <= 0) break
      const upTo = tier.upTo
      const units = (upTo === null ? q : q.min(upTo)).sub(lower)
      sum = sum.add(this.tier(tier, units, q, i, isFeeDueAtZero, parts))
      if (upTo === null) break
      lower = upTo
    }
    return sum
  }
  /** What tiers make of the units within them, without their fees. */
  unitsOf(q: Exact): Exact {
    let sum = Exact.zero
    let lower = Exact.zero
    for (let i = 0; i < this.tiers.length; i += 1) {
      if (i > 0 && q.compare(lower) <= 0) break
      const upTo = this.tiers[i].upTo
      sum = sum.add(this.tiers[i].of((upTo === null ? q : q.min(upTo)).sub(lower)))
      if (upTo === null) break
      lower = upTo
    }
    return sum
  }
  /** The same of a level through time: its mean `q`, what its units came to at each time, the greatest that held, the last. */
  ofLevel(q: Exact, units: Exact, most: Exact, ending: Exact, isFeeDueAtZero: bool, parts: Array<Part> | null): Exact {
    let amount = Exact.zero
    let lower = Exact.zero
    for (let i = 0; i < this.tiers.length; i += 1) {
      const tier = this.tiers[i]
      const upTo = tier.upTo
      if (this.model == Model.volume) {
        if (upTo !== null && ending.compare(upTo) > 0) continue
        amount = tier.of(q).max(Exact.zero)
        if (parts !== null) parts.push(new Part(StepKind.price, tier.path, q, amount))
        return amount.add(this.fee(tier, i > 0 || ending.isPositive || isFeeDueAtZero, parts))
      }
      if (i == 0) {
        amount = units.max(Exact.zero)
        if (parts !== null) parts.push(new Part(StepKind.price, this.path, q, amount))
      }
      if (i > 0 && most.compare(lower) <= 0) break
      amount = amount.add(this.fee(tier, i > 0 || most.isPositive || isFeeDueAtZero, parts))
      if (upTo === null) break
      lower = upTo
    }
    return amount
  }
  private fee(tier: Tier, isDue: bool, parts: Array<Part> | null): Exact {
    if (!isDue || tier.flatFee.isZero) return Exact.zero
    if (parts !== null) parts.push(new Part(StepKind.flatFee, tier.path, null, tier.flatFee))
    return tier.flatFee
  }
  private volume(q: Exact, isFeeDueAtZero: bool, parts: Array<Part> | null): Exact {
    if (this.isOfBlocks && !q.isPositive) return Exact.zero
    for (let i = 0; i < this.tiers.length; i += 1) {
      const tier = this.tiers[i]
      const upTo = tier.upTo
      if (upTo === null || q.compare(upTo) <= 0) return this.tier(tier, q, q, i, isFeeDueAtZero, parts)
    }
    return Exact.zero
  }
  private tier(tier: Tier, units: Exact, q: Exact, at: i32, isFeeDueAtZero: bool, parts: Array<Part> | null): Exact {
    const amount = tier.of(units)
    const isFeeDue = at > 0 || q.isPositive || isFeeDueAtZero
    if (parts !== null) {
      parts.push(new Part(StepKind.price, tier.path, units, amount))
      if (isFeeDue && !tier.flatFee.isZero) parts.push(new Part(StepKind.flatFee, tier.path, null, tier.flatFee))
    }
    return isFeeDue ? amount.add(tier.flatFee) : amount
  }

  /** What one event costs of which `rest` was not free. */
  ofEvent(rest: Exact): Exact {
    let fee = this.rate.mul(rest).add(this.fixedFee)
    const minimum = this.minimum
    const maximum = this.maximum
    if (minimum !== null) fee = fee.max(minimum)
    if (maximum !== null) fee = fee.min(maximum)
    return fee
  }
}

export enum ModifierKind {
  allowance,
  usageDiscount,
  percentDiscount,
  fixedDiscount,
  maximum,
  minimum,
  commitment,
}

export class Modifier {
  constructor(
    readonly kind: ModifierKind,
    readonly path: string,
    /** A quantity, an amount, or what a percentage leaves as a share of one. */
    readonly value: Exact,
    readonly isProrated: bool,
    readonly isBeforeDiscounts: bool,
  ) {}
}

export enum Aggregation {
  sum,
  count,
  max,
  unique,
  latest,
  timeWeighted,
}

export class MeterModel {
  event: string | null = null
  whereNames: Array<string> = []
  whereValues: Array<Array<string>> = []
  firstIncrement: Exact = Exact.zero
  increment: Exact | null = null
  quantityMax: Exact | null = null
  /** Some price of it is of single events. */
  isPricedByEvent: bool = false
  constructor(
    readonly id: string,
    readonly unit: string,
    readonly scale: i32,
    readonly aggregation: Aggregation,
    readonly path: string,
  ) {}
  get needsEvents(): bool {
    return this.isPricedByEvent || this.aggregation >= Aggregation.unique
  }
}

export enum Overrun {
  none,
  block,
  bill,
  warn,
}

export class Charge {
  /** `PLAN/CHARGE`. */
  name: string = ""
  title: string = ""
  taxCategory: string = ""
  /** −1 where it is fixed. */
  meter: i32 = -1
  /** The same, as it crosses. */
  meterNumber: Option<u32> = none<u32>()
  isCounted: bool = false
  price!: Price
  modifiers: Array<Modifier> = []
  isInArrears: bool = false
  overrun: Overrun = Overrun.none
  overrunUpTo: Exact = Exact.zero
  constructor(
    readonly id: string,
    readonly path: string,
  ) {}
}

export enum IntervalUnit {
  day,
  week,
  month,
  quarter,
  year,
}

export class Plan {
  unit: IntervalUnit = IntervalUnit.month
  count: i32 = 1
  isCalendar: bool = false
  charges: Array<Charge> = []
  constructor(
    readonly id: string,
    readonly title: string,
    readonly path: string,
  ) {}
  charge(id: string): Charge | null {
    for (let i = 0; i < this.charges.length; i += 1) if (this.charges[i].id == id) return this.charges[i]
    return null
  }
}

/** What a catalogue decides by. */
export class Policies {
  mode: Mode = Mode.halfAway
  step: Exact = Exact.one
  /** What is not nothing is a step at least. */
  isNilNever: bool = false
  isEachRounded: bool = false
  isFeeDueAtZero: bool = true
  isLastUnbounded: bool = false
  isTierByCount: bool = false
  isLevelOfDays: bool = false
  isNegativeAllowed: bool = false
  isExcessRounded: bool = false
  /** 0 day, 1 second, 2 none. */
  prorationUnit: i32 = 0
  /** 0 the period, −1 the calendar month, −2 a year, else days. */
  prorationOver: i32 = 0
  dayCount: DayCount = DayCount.actual
  isWholeOne: bool = false
  isChangeDayOld: bool = false
  /** 0 prorated, 1 full, 2 none. */
  changeCredit: i32 = 0
  changeCharge: i32 = 0
  areReductionsDropped: bool = false
  isFirstFromNext: bool = false
  /** 0 clampKeepAnchor, 1 nextDay, 2 skip, 3 addDaysOfMonth. */
  missingDay: i32 = 0

  // Of documents and allocation

  /** 0 largestFraction, 1 first, 2 last, 3 cascadeFromEnd. */
  remainder: i32 = 0
  isTieByKey: bool = false
  isZeroOmitted: bool = false
  areLinesExact: bool = false
  isTotalExact: bool = false
  areTaxesIncluded: bool = false
  /** 0 net, 1 tax, 2 lineNet, 3 unit. */
  inclusiveRounds: i32 = 0
  unitScale: i32 = 4
  /** 0 rate, 1 document, 2 line, 3 unit. */
  taxPoint: i32 = 0
  /** −1 for `mode`. */
  taxMode: i32 = -1
  /** 0 given, 1 amountFirst, 2 percentFirst. */
  discountOrder: i32 = 0
  areDiscountsAdded: bool = false
  areDiscountsAfterTax: bool = false
  areDiscountsRounded: bool = false
  areCreditsBeforeTax: bool = false
  mustCreditsBeUsed: bool = false
  isNoteOfPaid: bool = false
  isNoteCut: bool = false
  payableStep: Exact | null = null
  /** −1 for `mode`. */
  payableMode: i32 = -1

  round(value: Exact): Exact {
    return this.to(value, this.step, this.mode)
  }
  to(value: Exact, step: Exact, mode: Mode): Exact {
    const rounded = value.rounded(step, mode)
    if (!this.isNilNever || !rounded.isZero || value.isZero) return rounded
    return value.isNegative ? step.neg() : step
  }
}

export class PriceList {
  name: string = ""
  version: string = ""
  currency: string = ""
  exponent: i32 = 0
  policies: Policies = new Policies()
  meters: Array<MeterModel> = []
  plans: Array<Plan> = []
  warnings: Array<Problem> = []
  /** Of the text it was made from. */
  fingerprint: u64 = 0

  plan(id: string): Plan | null {
    for (let i = 0; i < this.plans.length; i += 1) if (this.plans[i].id == id) return this.plans[i]
    return null
  }
}

export function problem(kind: ProblemKind, path: string, message: string): Problem {
  return new Problem(kind, path, message)
}
