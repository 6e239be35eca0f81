/**
 * Where a walk over a value stands, kept as a stack so that a value without mistakes never builds a string.
 */
import { WitError } from "../error/wit.ts"
import type { ValueType } from "../wit/model.ts"
import { shapeText } from "../wit/print.ts"
import { describe, quote } from "./form.ts"

/** A position such as `args[0].items[3].name`: `root`, then indices and property names. */
export class Path {
  readonly #root: string
  readonly #keys: Array<string | number> = []

  constructor(root: string) {
    this.#root = root
  }

  push(key: string | number): void {
    this.#keys.push(key)
  }

  pop(): void {
    this.#keys.pop()
  }

  toString(): string {
    let text = this.#root
    for (const key of this.#keys) text += typeof key === "number" ? `[${key}]` : /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${quote(key)}]`
    return text
  }

  /** @throws WitError `Value`, always: what is here is not a `type`. */
  refuse(type: ValueType, value: unknown): never {
    return this.refuseAs(shapeText(type), describe(value))
  }

  /** @throws WitError `Value`, always, in the caller's words. */
  refuseAs(expected: string, actual: string): never {
    throw new WitError("Value", { path: this.toString(), expected, actual })
  }
}
