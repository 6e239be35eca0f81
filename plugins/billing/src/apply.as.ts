/** A quantity through a charge: price, then modifiers in their order. */
import { StepKind } from "../bindings/charging"
import { Exact } from "./exact.as"
import { Charge, Modifier, ModifierKind, Part, Policies } from "./model.as"

const kinds: StaticArray<StepKind> = [
  StepKind.allowance,
  StepKind.discount,
  StepKind.discount,
  StepKind.discount,
  StepKind.maximum,
  StepKind.minimum,
  StepKind.commitment,
]

/** What modifiers of quantities leave of one. */
export function lowered(charge: Charge, quantity: Exact, share: Exact, parts: Array<Part> | null): Exact {
  let q = quantity
  if (charge.modifiers.length == 0) return q
  for (let i = 0; i < charge.modifiers.length; i += 1) {
    const modifier = charge.modifiers[i]
    let next = q
    if (modifier.kind == ModifierKind.allowance) {
      if (q.isPositive) next = q.sub(valueOf(modifier, share)).max(Exact.zero)
    } else if (modifier.kind == ModifierKind.usageDiscount) next = q.mul(modifier.value)
    else break
    if (parts !== null && !next.equals(q)) parts.push(new Part(StepKind.allowance, modifier.path, q.sub(next), Exact.zero))
    q = next
  }
  return q
}

function valueOf(modifier: Modifier, share: Exact): Exact {
  return modifier.isProrated ? modifier.value.mul(share) : modifier.value
}

/** What modifiers of amounts make of one, of which `billed` was billed before and has had its discounts. */
export function modified(charge: Charge, price: Exact, billed: Exact, share: Exact, policies: Policies, isLast: bool, parts: Array<Part> | null): Exact {
  if (charge.modifiers.length == 0) return price
  let amount = price
  let undiscounted = price
  let isFirst = true
  for (let i = 0; i < charge.modifiers.length; i += 1) {
    const modifier = charge.modifiers[i]
    if (modifier.kind <= ModifierKind.usageDiscount) continue
    const isShortfall = modifier.kind >= ModifierKind.minimum
    if (isShortfall && !isLast) continue
    if (isFirst && policies.isEachRounded) {
      const whole = policies.round(amount)
      if (parts !== null && !whole.equals(amount)) parts.push(new Part(StepKind.rounding, charge.price.path, null, whole.sub(amount)))
      amount = whole
      undiscounted = whole
    }
    isFirst = false
    let next = amount
    switch (modifier.kind) {
      case ModifierKind.percentDiscount:
        next = billed.add(amount.sub(billed).mul(modifier.value))
        break
      case ModifierKind.fixedDiscount:
        if (amount.isPositive) next = amount.sub(valueOf(modifier, share)).max(Exact.zero)
        break
      case ModifierKind.maximum:
        next = amount.min(valueOf(modifier, share))
        break
      default: {
        const from = modifier.isBeforeDiscounts ? undiscounted : amount
        next = amount.add(valueOf(modifier, share).sub(from).max(Exact.zero))
      }
    }
    if (modifier.kind != ModifierKind.percentDiscount && modifier.kind != ModifierKind.fixedDiscount) undiscounted = undiscounted.add(next.sub(amount))
    if (policies.isEachRounded) {
      next = policies.round(next)
      undiscounted = policies.round(undiscounted)
    }
    const difference = next.sub(amount)
    if (parts !== null && !difference.isZero) parts.push(new Part(kinds[modifier.kind], modifier.path, null, difference))
    amount = next
  }
  return amount
}
