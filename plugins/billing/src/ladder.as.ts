/** A price as whole numbers, where it has some: prices that are decimals, bounds that are the unit's, nothing negative. */
import { clearOverflow, Exact, overflowed, powerOfTen } from "./exact.as"
import { Ladder } from "./kernel.as"
import { Model, Policies, Price, Tier } from "./model.as"

/** Digits after the point that a number needs; 19 where 18 are too few. */
export function digitsAfter(value: Exact): i32 {
  let digits = 0
  while (digits < 19 && !value.hasScale(digits)) digits += 1
  return digits
}

function isU64(value: Exact): bool {
  return value.high == 0 && value.under == 1 && value.underHigh == 0
}

class Rung {
  constructor(
    readonly upTo: Exact | null,
    readonly lower: Exact,
    /** What is due besides. */
    readonly base: Exact,
    readonly tier: Tier | null,
  ) {}
}

/** For quantities at `scale`; null where whole numbers of 64 bits do not hold its prices. */
export function ladderOf(price: Price, scale: i32, policies: Policies, amountScale: i32): Ladder | null {
  const ladder = made(price, scale, policies, amountScale)
  if (!overflowed) return ladder
  clearOverflow()
  return null
}

function made(price: Price, scale: i32, policies: Policies, amountScale: i32): Ladder | null {
  if (policies.isNilNever) return null
  const rungs = new Array<Rung>(0)
  switch (price.model) {
    case Model.unit:
      rungs.push(new Rung(null, Exact.zero, Exact.zero, price.tiers[0]))
      break
    case Model.capacity:
      if (price.committed.isPositive) rungs.push(new Rung(price.committed, Exact.zero, price.tiers[0].of(price.committed), null))
      rungs.push(new Rung(null, Exact.zero, Exact.zero, price.tiers[0]))
      break
    case Model.percentage: {
      const isFreeEver = price.freeEvents != 0
      const free = price.freeAmount
      if (free === null && price.freeEvents > 0) rungs.push(new Rung(null, Exact.zero, Exact.zero, null))
      else {
        const lower = free !== null && isFreeEver ? free : Exact.zero
        if (lower.isPositive) rungs.push(new Rung(lower, Exact.zero, Exact.zero, null))
        const tier = new Tier(null, price.path)
        tier.price = price.rate
        rungs.push(new Rung(null, lower, price.fixedFee, tier))
      }
      break
    }
    case Model.volume:
      for (let i = 0; i < price.tiers.length; i += 1) rungs.push(new Rung(price.tiers[i].upTo, Exact.zero, price.tiers[i].flatFee, price.tiers[i]))
      break
    case Model.graduated: {
      let lower = Exact.zero
      let base = Exact.zero
      for (let i = 0; i < price.tiers.length; i += 1) {
        const tier = price.tiers[i]
        base = base.add(tier.flatFee)
        rungs.push(new Rung(tier.upTo, lower, base, tier))
        const upTo = tier.upTo
        if (upTo === null) break
        base = base.add(tier.of(upTo.sub(lower)))
        lower = upTo
      }
      break
    }
    default:
      return null
  }
  // The least scale that holds all prices, and steps of rounding.
  let digits = max(digitsAfter(policies.step), amountScale)
  for (let i = 0; i < rungs.length; i += 1) {
    const tier = rungs[i].tier
    digits = max(digits, digitsAfter(rungs[i].base) - scale)
    if (tier !== null) digits = max(digits, tier.size === null ? digitsAfter(tier.price.div(tier.per)) : digitsAfter(tier.price) - scale)
  }
  const minimum = price.minimum
  const maximum = price.maximum
  if (minimum !== null) digits = max(digits, digitsAfter(minimum) - scale)
  if (maximum !== null) digits = max(digits, digitsAfter(maximum) - scale)
  if (digits > 18 || digits + scale > 30) return null
  const whole = Exact.ofU64(powerOfTen(digits)).mul(Exact.ofU64(powerOfTen(scale)))
  const divisor = policies.step.mul(whole).reduced()
  const stepUnits = policies.step.mul(Exact.ofU64(powerOfTen(amountScale))).reduced()
  if (!isU64(divisor) || !isU64(stepUnits) || stepUnits.low > 1 << 40) return null
  const ladder = new Ladder(rungs.length, scale, divisor.low, <i64>stepUnits.low, policies.mode)
  for (let i = 0; i < rungs.length; i += 1) {
    const rung = rungs[i]
    const upTo = rung.upTo === null ? Exact.of(i64.MAX_VALUE) : (rung.upTo as Exact).coefficient(scale)
    const lower = rung.lower.coefficient(scale)
    const base = rung.base.mul(whole).reduced()
    const tier = rung.tier
    let unit = Exact.zero
    let size = Exact.zero
    if (tier !== null) {
      unit = tier.size === null ? tier.price.div(tier.per).coefficient(digits) : tier.price.mul(whole).reduced()
      if (tier.size !== null) size = (tier.size as Exact).coefficient(scale)
    }
    const isWhole = base.under == 1 && base.underHigh == 0 && base.high >= 0
    if (!isWhole || !isU64(unit) || !isU64(size) || !isU64(lower) || !upTo.fitsI64 || <i64>lower.low < 0) return null
    ladder.add(<i64>upTo.low, <i64>lower.low, base.low, <u64>base.high, unit.low, size.low)
  }
  if ((minimum !== null || maximum !== null) && rungs[rungs.length - 1].tier !== null) {
    ladder.clampedFrom = rungs.length - 1
    if (minimum !== null) {
      const least = minimum.mul(whole).reduced()
      if (!isU64(least)) return null
      ladder.least = least.low
    }
    if (maximum !== null) {
      const most = maximum.mul(whole).reduced()
      if (!isU64(most) || most.low > <u64>i64.MAX_VALUE >> 1) return null
      ladder.most = most.low
    }
    // The path of 64 bits adds what rounding adds.
    if (ladder.least > <u64>i64.MAX_VALUE >> 1) return null
  }
  return ladder
}
