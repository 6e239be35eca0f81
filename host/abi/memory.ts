/** Guest memory as a hostile party's array: allocation, range checks and charging, each in one place. */
import { LimitError } from "../../schemas/error/limit.ts"
import { type AbiContext, AbiTrap, type CallBudget, checkWords, refreshViews } from "./context.ts"

/**
 * Calls the guest's `realloc` for `bytes` fresh bytes and checks what it answers. The guest cannot leave while it runs
 * (CanonicalABI.md `may_leave`); where it traps the flag stays false, as the instance is discarded. Called for zero bytes
 * too: the guest sees the calls the specification makes.
 */
export function allocate(cx: AbiContext, align: number, bytes: number): number {
  const { realloc, instance, budget } = cx
  if (realloc === undefined) throw new AbiTrap("the function needs a realloc and declares none")
  budget.bytesIn += bytes
  instance.isTouched = true
  instance.mayLeave = false
  const at = realloc(0, 0, align, bytes) >>> 0
  instance.mayLeave = true
  refreshViews(cx)
  if ((at & (align - 1)) !== 0) throw new AbiTrap(`realloc answered ${at} for an alignment of ${align}`)
  if (at + bytes > cx.u8.length) throw outside("realloc answered", at, bytes, cx.u8.length)
  return at
}

/** Traps unless `bytes` at `at` lie in memory, aligned. Both are < 2^53, so the sum is exact. */
export function checkRange(cx: AbiContext, at: number, bytes: number, align: number): void {
  if ((at & (align - 1)) !== 0) throw new AbiTrap(`pointer ${at} is not aligned to ${align}`)
  if (at + bytes > cx.u8.length) throw outside("pointer", at, bytes, cx.u8.length)
}

function outside(what: string, at: number, bytes: number, memory: number): AbiTrap {
  return new AbiTrap(`${what} ${at} with ${bytes} bytes ends outside the memory of ${memory} bytes`)
}

/**
 * Charges bytes read out of the guest before they are read, aliased or not. `cost` is what counts against the limits
 * where that is more than the bytes themselves.
 */
export function charge(cx: AbiContext, bytes: number, cost: number = bytes): void {
  const { budget } = cx
  budget.bytesOut += bytes
  budget.liftBytesLeft -= cost
  budget.scopeBytesLeft -= cost
  if (budget.liftBytesLeft < 0 || budget.scopeBytesLeft < 0) throw overdrawn(budget)
}

function overdrawn(budget: CallBudget): LimitError {
  const name = budget.scopeBytesLeft < 0 ? budget.scope : "liftBytesMax"
  const limit = budget[name]
  return new LimitError(name, { limit, actual: limit - (budget.scopeBytesLeft < 0 ? budget.scopeBytesLeft : budget.liftBytesLeft) })
}

/** Counts what a list is about to move and looks at the stop when the allowance is used up. */
export function countWords(cx: AbiContext, words: number): void {
  if ((cx.wordsUntilCheck -= words) <= 0) {
    cx.wordsUntilCheck = checkWords
    cx.budget.checkStop()
  }
}
