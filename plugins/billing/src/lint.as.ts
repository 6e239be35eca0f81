/** What a price list may say and hardly means: `describe().warnings`, which nobody is refused for. */
import { Problem, ProblemKind } from "../bindings/charging"
import { DayCount } from "./daycount.as"
import { Exact } from "./exact.as"
import { Aggregation, Charge, MeterModel, Model, ModifierKind, Overrun, Price, PriceList, problem, Tier } from "./model.as"

const warningsMax = 100

let found: Array<Problem> = []
function say(kind: ProblemKind, path: string, message: string): void {
  if (found.length < warningsMax) found.push(problem(kind, path, message))
}

export function warningsOf(list: PriceList): Array<Problem> {
  found = new Array<Problem>(0)
  policies(list)
  for (let m = 0; m < list.meters.length; m += 1) meter(list, m)
  for (let p = 0; p < list.plans.length; p += 1) {
    const charges = list.plans[p].charges
    for (let c = 0; c < charges.length; c += 1) charge(charges[c])
  }
  const warnings = found
  found = new Array<Problem>(0)
  return warnings
}

// Policies

function policies(list: PriceList): void {
  const policies = list.policies
  let hasLevel = false
  for (let m = 0; m < list.meters.length; m += 1) hasLevel = hasLevel || list.meters[m].aggregation == Aggregation.timeWeighted
  if (!hasLevel && policies.isTierByCount) say(ProblemKind.conflict, "/policies/tiers.timeWeighted", 'No meter has the aggregation "timeWeighted"')
  if (!hasLevel && policies.isLevelOfDays) say(ProblemKind.conflict, "/policies/timeWeighted.unit", 'No meter has the aggregation "timeWeighted"')
  let isCounted = false
  for (let p = 0; p < list.plans.length; p += 1) {
    const charges = list.plans[p].charges
    for (let c = 0; c < charges.length; c += 1) isCounted = isCounted || charges[c].isCounted
  }
  if (policies.areReductionsDropped && !isCounted) say(ProblemKind.conflict, "/policies/change.negative", "No charge is counted, so that no number of one can fall")
  if (policies.isFirstFromNext && policies.missingDay != 0)
    say(ProblemKind.conflict, "/policies/schedule.firstPeriod", 'An anchor is clamped only where "schedule.missingDay" is "clampKeepAnchor"')
  if (policies.prorationUnit == 2 && policies.changeCredit != 0) say(ProblemKind.conflict, "/policies/change.credit", 'A change has no share where "proration.unit" is "none"')
  if (policies.prorationUnit == 2 && policies.changeCharge != 0) say(ProblemKind.conflict, "/policies/change.charge", 'A change has no share where "proration.unit" is "none"')
  const unit = policies.prorationUnit == 1 ? "second" : "none"
  if (policies.prorationUnit != 0 && policies.dayCount != DayCount.actual)
    say(ProblemKind.conflict, "/policies/dayCount.convention", `Dates are not counted where "proration.unit" is "${unit}"`)
  if (policies.prorationUnit != 0 && policies.isChangeDayOld) say(ProblemKind.conflict, "/policies/change.day", `A day is not shared where "proration.unit" is "${unit}"`)
  if (policies.prorationUnit == 2 && policies.isWholeOne) say(ProblemKind.conflict, "/policies/proration.whole", 'A whole period is 1 where "proration.unit" is "none"')
}

// Meters

function isPriced(list: PriceList, meter: i32): bool {
  for (let p = 0; p < list.plans.length; p += 1) {
    const charges = list.plans[p].charges
    for (let c = 0; c < charges.length; c += 1) if (charges[c].meter == meter) return true
  }
  return false
}
function meter(list: PriceList, at: i32): void {
  const meter = list.meters[at]
  if (!isPriced(list, at)) say(ProblemKind.unpriced, meter.path, `No charge prices "${meter.id}": what it counts is never billed`)
  for (let w = 0; w < meter.whereNames.length; w += 1)
    if (meter.whereValues[w].length == 0) say(ProblemKind.conflict, `${meter.path}/where`, `No event has any of no values of "${meter.whereNames[w]}"`)
  if (meter.event === null || meter.whereNames.length == 0) return
  // Said once, of the first meter of an event of which every meter leaves some out.
  for (let other = 0; other < list.meters.length; other += 1) {
    const one = list.meters[other]
    if (one.event === null || (one.event as string) != (meter.event as string)) continue
    if (other < at || one.whereNames.length == 0) return
  }
  say(ProblemKind.unknownMeter, `${meter.path}/where`, `Events "${meter.event as string}" with other values of "${meter.whereNames[0]}" count for no meter`)
}

// Charges

/** What it costs is nothing, whatever the quantity. */
function isFree(price: Price): bool {
  switch (price.model) {
    case Model.flat:
      return price.amount.isZero
    case Model.percentage:
      return price.rate.isZero && price.fixedFee.isZero && (price.minimum === null || !(price.minimum as Exact).isPositive)
    case Model.unset:
      return false
    case Model.byAttribute: {
      const otherwise = price.otherwise
      for (let i = 0; i < price.cases.length; i += 1) if (!isFree(price.cases[i])) return false
      return otherwise !== null && isFree(otherwise)
    }
  }
  for (let i = 0; i < price.tiers.length; i += 1) if (!price.tiers[i].price.isZero || !price.tiers[i].flatFee.isZero) return false
  return true
}

function charge(charge: Charge): void {
  tiers(charge.price)
  if (charge.overrun == Overrun.block) blocked(charge, charge.price)
  const price = charge.price
  if (price.model == Model.byAttribute && price.otherwise === null)
    say(ProblemKind.unknownAttribute, price.path, "Usage with an attribute that no case names has no price, and no line of its period can be made")
  let isChanged = false
  for (let i = 0; i < charge.modifiers.length; i += 1) isChanged = isChanged || charge.modifiers[i].kind < ModifierKind.minimum
  if (isChanged && isFree(price)) say(ProblemKind.conflict, price.path, "The price is 0 whatever is used, so that no allowance, discount or maximum changes anything")
  modifiers(charge)
}

/** A unit's price, where units are priced one by one. */
function unitPrice(tier: Tier): Exact | null {
  return tier.size === null ? tier.price.div(tier.per) : null
}
function tiers(price: Price): void {
  for (let i = 0; i < price.cases.length; i += 1) tiers(price.cases[i])
  const otherwise = price.otherwise
  if (otherwise !== null) tiers(otherwise)
  if (price.model != Model.graduated && price.model != Model.volume) return
  for (let i = 1; i < price.tiers.length; i += 1) {
    const before = unitPrice(price.tiers[i - 1])
    const own = unitPrice(price.tiers[i])
    if (before === null || own === null || own.compare(before) <= 0) continue
    const bound = price.tiers[i - 1].upTo
    const where = bound === null ? "" : ` beyond ${bound.toString()}`
    say(ProblemKind.conflict, `${price.tiers[i].path}/price`, `A unit${where} is dearer than one before: ${own.toString()} after ${before.toString()}`)
  }
}
/** Tiers that begin where nothing is priced any more. */
function blocked(charge: Charge, price: Price): void {
  for (let i = 0; i < price.cases.length; i += 1) blocked(charge, price.cases[i])
  const otherwise = price.otherwise
  if (otherwise !== null) blocked(charge, otherwise)
  const upTo = charge.overrunUpTo
  for (let i = 1; i < price.tiers.length; i += 1) {
    const lower = price.tiers[i - 1].upTo
    if (lower !== null && lower.compare(upTo) >= 0) say(ProblemKind.tierUnreachable, price.tiers[i].path, `At most ${upTo.toString()} is priced, which is not above ${lower.toString()}`)
  }
}

function modifiers(charge: Charge): void {
  // Of a flat price the amount is known, until something that is prorated changes it.
  let amount: Exact | null = charge.price.model == Model.flat ? charge.price.amount : null
  let undiscounted = amount
  let discount = -1
  let isAll: bool = false
  let maximum: Exact | null = null
  for (let i = 0; i < charge.modifiers.length; i += 1) {
    const modifier = charge.modifiers[i]
    const path = modifier.path
    if (modifier.kind == ModifierKind.allowance && charge.overrun == Overrun.block && !modifier.isProrated && modifier.value.compare(charge.overrunUpTo) >= 0)
      say(ProblemKind.conflict, path, `All of the ${charge.overrunUpTo.toString()} that are priced at most are free`)
    if (modifier.kind == ModifierKind.usageDiscount && modifier.value.isZero) say(ProblemKind.conflict, path, "A discount of 100 percent leaves nothing to be priced")
    if (modifier.kind == ModifierKind.percentDiscount || modifier.kind == ModifierKind.fixedDiscount) {
      discount = i
      isAll = modifier.kind == ModifierKind.percentDiscount && modifier.value.isZero
      if (amount !== null) amount = modifier.kind == ModifierKind.percentDiscount ? amount.mul(modifier.value) : modifier.isProrated ? null : amount.sub(modifier.value).max(Exact.zero)
    } else if (modifier.kind == ModifierKind.maximum) {
      maximum = modifier.value
      if (amount !== null) amount = modifier.isProrated ? null : amount.min(modifier.value)
    } else if (modifier.kind >= ModifierKind.minimum) {
      const most = maximum
      if (most !== null && most.compare(modifier.value) < 0) say(ProblemKind.conflict, path, `It is above the maximum of ${most.toString()}, which it undoes`)
      if (discount >= 0 && !modifier.isBeforeDiscounts && !modifier.isProrated) {
        const full = undiscounted
        const isUndone = isAll || (full !== null && full.compare(modifier.value) <= 0)
        if (isUndone && modifier.value.isPositive) say(ProblemKind.conflict, path, `It takes back the discount at ${charge.modifiers[discount].path}: ${modifier.value.toString()} is due with it or without`)
      }
      if (amount !== null) amount = modifier.isProrated ? null : amount.max(modifier.value)
      discount = -1
      isAll = false
      undiscounted = amount
    }
  }
}
