/** An amount in parts that add up to it. */
import { Allocated, Decimal, Problem, ProblemKind, Share } from "../bindings/charging"
import { err, ok, Result } from "../bindings/runtime"
import { amountOf, exactOf, found, noDecimal, overflow } from "./convert.as"
import { clearOverflow, Exact, Mode, overflowed } from "./exact.as"
import { PriceList, problem } from "./model.as"

const sharesMax = 10_000

let fractions: Array<Exact> = []
let keys: Array<Share> = []
let isByKey: bool = false

/** By what was cut off, the largest first; then by key, or by place. */
function byRemainder(a: i32, b: i32): i32 {
  const order = fractions[b].compare(fractions[a])
  if (order != 0) return order
  if (isByKey && keys[a].key != keys[b].key) return keys[a].key < keys[b].key ? -1 : 1
  return a - b
}

export function allocated(list: PriceList, amountScale: i32, amount: Decimal, shares: Array<Share>): Result<Array<Allocated>, Problem> {
  clearOverflow()
  const policies = list.policies
  const whole = exactOf(amount)
  if (whole === null) return err<Array<Allocated>, Problem>(noDecimal("amount"))
  if (shares.length > sharesMax) return err<Array<Allocated>, Problem>(problem(ProblemKind.limit, "shares", `At most ${sharesMax} shares are allocated to`))
  const step = policies.step
  const steps = whole.div(step)
  if (!steps.isWhole) return err<Array<Allocated>, Problem>(problem(ProblemKind.offMinorUnit, "amount", `${whole.toString()} is no multiple of ${step.toString()}`))
  let sum = Exact.zero
  const weights = new Array<Exact>(0)
  const bounds = new Array<Exact | null>(0)
  for (let i = 0; i < shares.length; i += 1) {
    const weight = exactOf(shares[i].weight)
    if (weight === null || weight.isNegative) return err<Array<Allocated>, Problem>(problem(ProblemKind.malformed, `shares/${i}/weight`, "A decimal that is not negative is expected here"))
    weights.push(weight)
    sum = sum.add(weight)
    const most = shares[i].atMost
    if (most === null) {
      bounds.push(null)
      continue
    }
    const bound = exactOf(most)
    if (bound === null) return err<Array<Allocated>, Problem>(noDecimal(`shares/${i}/at-most`))
    bounds.push(bound.div(step).whole(Mode.down))
  }
  if (!sum.isPositive) return err<Array<Allocated>, Problem>(found(ProblemKind.malformed, "shares", "One weight at least is above 0"))
  // Of a negative amount, parts are those of its magnitude, mirrored.
  const magnitude = steps.abs()
  const parts = new Array<Exact>(shares.length)
  fractions = new Array<Exact>(0)
  let rest = magnitude
  if (policies.remainder == 3) {
    for (let i = shares.length - 1; i >= 0; i -= 1) {
      parts[i] = sum.isZero ? Exact.zero : rest.mul(weights[i]).div(sum).whole(Mode.down)
      const bound = bounds[i]
      if (bound !== null) parts[i] = parts[i].min(bound)
      rest = rest.sub(parts[i])
      sum = sum.sub(weights[i])
    }
  } else {
    for (let i = 0; i < shares.length; i += 1) {
      const exact = magnitude.mul(weights[i]).div(sum)
      parts[i] = exact.whole(Mode.down)
      const bound = bounds[i]
      if (bound !== null) parts[i] = parts[i].min(bound)
      fractions.push(exact.sub(parts[i]))
      rest = rest.sub(parts[i])
    }
    const order = new Array<i32>(shares.length)
    for (let i = 0; i < order.length; i += 1) order[i] = policies.remainder == 2 ? order.length - 1 - i : i
    if (policies.remainder == 0) {
      keys = shares
      isByKey = policies.isTieByKey
      order.sort(byRemainder)
    }
    // One step each: less than one step a part was cut off. What no part has room for is left out.
    for (let i = 0; i < order.length && rest.isPositive; i += 1) {
      const at = order[i]
      const bound = bounds[at]
      if (weights[at].isZero || (bound !== null && parts[at].compare(bound) >= 0)) continue
      parts[at] = parts[at].add(Exact.one)
      rest = rest.sub(Exact.one)
    }
  }
  if (overflowed) return err<Array<Allocated>, Problem>(overflow("amount"))
  const out = new Array<Allocated>(0)
  for (let i = 0; i < parts.length; i += 1) {
    if (policies.isZeroOmitted && parts[i].isZero) continue
    const part = parts[i].mul(step)
    out.push(new Allocated(<u32>i, amountOf(steps.isNegative ? part.neg() : part, amountScale)))
  }
  return ok<Array<Allocated>, Problem>(out)
}
