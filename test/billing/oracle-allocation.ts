/**
 * An amount in parts that add up to it, as "Documents" of `schemas/billing/README.md` has it: each share is cut off at the step, and what is left goes out
 * by a rule, to weights above 0.
 */
import * as F from "./fraction.ts"
import type { Fraction } from "./fraction.ts"
import { refuse } from "./oracle-problem.ts"

export interface Share {
  readonly weight: Fraction
  readonly key?: string | undefined
  /** No part gets more, and what none has room for is dropped. */
  readonly atMost?: Fraction | undefined
}

export interface AllocationRule {
  readonly remainder: "first" | "last" | "largestFraction" | "cascadeFromEnd"
  readonly tie: "order" | "key"
}

export function allocated(amount: Fraction, step: Fraction, shares: readonly Share[], rule: AllocationRule): Fraction[] {
  if (F.isNegative(amount)) return allocated(F.negated(amount), step, shares, rule).map(F.negated)
  const steps = F.over(amount, step)
  if (steps.d !== 1n) refuse("off-minor-unit", F.text(amount))
  const weights = shares.map(({ weight }) => weight)
  const bounds = shares.map(({ atMost }) => (atMost === undefined ? undefined : F.whole(F.floor(F.over(atMost, step)))))
  const bounded = (part: Fraction, i: number): Fraction => (bounds[i] === undefined ? part : F.smaller(part, bounds[i]))
  const whole = F.total(weights)
  if (whole.n === 0n) refuse("malformed", "weights of 0")
  if (rule.remainder === "cascadeFromEnd") return cascaded(steps, weights, bounded).map((one) => F.times(one, step))
  const exact = weights.map((weight) => F.over(F.times(steps, weight), whole))
  const parts = exact.map((one, i) => bounded(F.whole(F.floor(one)), i))
  const places = weights.flatMap((weight, i) => (F.isPositive(weight) ? [i] : []))
  if (rule.remainder === "last") places.reverse()
  if (rule.remainder === "largestFraction") {
    const cut = (i: number) => F.minus(exact[i] as Fraction, parts[i] as Fraction)
    const key = (i: number) => (rule.tie === "key" ? (shares[i]?.key ?? "") : "")
    places.sort((a, b) => F.compare(cut(b), cut(a)) || (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : a - b))
  }
  let left = F.minus(steps, F.total(parts)).n
  for (const i of places) {
    const more = bounded(F.plus(parts[i] as Fraction, F.one), i)
    if (left === 0n || F.compare(more, parts[i] as Fraction) <= 0) continue
    parts[i] = more
    left -= 1n
  }
  return parts.map((one) => F.times(one, step))
}

/** From the last part to the first: each gets its weight's share of what is left, over the weights up to it, cut off. */
function cascaded(amount: Fraction, weights: readonly Fraction[], bounded: (part: Fraction, i: number) => Fraction): Fraction[] {
  let left = amount
  const parts = weights.map((weight, i) => ({ i, weight, upTo: F.total(weights.slice(0, i + 1)) })).toReversed()
  const made = parts.map(({ i, weight, upTo }) => {
    const part = upTo.n === 0n ? F.zero : bounded(F.whole(F.floor(F.over(F.times(left, weight), upTo))), i)
    left = F.minus(left, part)
    return part
  })
  return made.toReversed()
}
