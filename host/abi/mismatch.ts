/**
 * A value that does not have its declared type, found while it was being lowered. Nothing is built on the way in: the
 * mismatch is thrown bare, each composite that it passes puts its own step before the path, and the function binding
 * turns it into a `WitError`.
 */
import { WitError } from "../../schemas/error/wit.ts"
import { describe } from "../../schemas/value/form.ts"
import type { ValueType } from "../../schemas/wit/model.ts"
import { shapeText } from "../../schemas/wit/print.ts"

/** No `Error`: it never leaves this folder, and a stack trace would cost more than the whole call. */
export class Mismatch {
  path = ""
  readonly expected: string
  readonly actual: string
  constructor(expected: string, actual: string) {
    this.expected = expected
    this.actual = actual
  }
}

/** Refuses `value`; `expected` is a type or words for what would have been right. */
export function mismatch(expected: ValueType | string, value: unknown): never {
  throw new Mismatch(typeof expected === "string" ? expected : shapeText(expected), shown(value))
}

/** In words; an object that throws when asked (a Proxy, an impostor of a typed array) is still only a wrong argument. */
export function shown(value: unknown): string {
  try {
    return describe(value)
  } catch {
    return "object"
  }
}

/** For `catch`: adds the step (`.name`, `[3]`) that led to a mismatch; anything else passes unchanged. */
export function within(error: unknown, step: string): unknown {
  if (error instanceof Mismatch) error.path = step + error.path
  return error
}

/** For `catch` at the binding: the typed error of a mismatch under `root` (`args[0]`, `result`); anything else passes unchanged. */
export function typed(error: unknown, root: string): unknown {
  if (!(error instanceof Mismatch)) return error
  return new WitError("Value", { path: root + error.path, expected: error.expected, actual: error.actual })
}

/** For `catch` around a handle table, which refuses a host value with a `WitError` but cannot know where it stood. */
export function untyped(error: unknown): unknown {
  if (!(error instanceof WitError) || error.reason._tag !== "Value") return error
  const { path, expected, actual } = error.reason
  return within(new Mismatch(expected, actual), path)
}
