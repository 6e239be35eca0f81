import { typeDifference } from "../../schemas/wit/equal.ts"
import type { ValueType } from "../../schemas/wit/model.ts"

const known = new WeakMap<ValueType, WeakMap<ValueType, boolean>>()

/** Are the types equal? Asked at every operation of a stream, so remembered. */
export function sameType(a: ValueType, b: ValueType): boolean {
  if (a === b) return true
  let row = known.get(a)
  if (row === undefined) known.set(a, (row = new WeakMap()))
  let answer = row.get(b)
  if (answer === undefined) row.set(b, (answer = typeDifference(a, b) === undefined))
  return answer
}
