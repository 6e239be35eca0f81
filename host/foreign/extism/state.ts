/** What an instance keeps between its calls beside its memories: the variables, and the last HTTP response's head. */
import { LimitError } from "../../../schemas/error/limit.ts"
import type { HttpField } from "../../port/mod.ts"
import type { AbiContext } from "../../abi/context.ts"

/** A variable counts its name, its value and this, as Extism counts them: Rust's `String` and `Vec`. */
export const variableBytes = 48

export class State {
  /** Head of the last answer; undefined before the first and while one is on its way. */
  response: { readonly status: number; readonly headers: ReadonlyArray<HttpField> } | undefined = undefined
  readonly #variables = new Map<string, Uint8Array>()
  #bytes = 0

  get(name: string): Uint8Array | undefined {
    return this.#variables.get(name)
  }

  /** Whether a variable may be written at all: a limit of 0 turns them off. */
  set(name: string, nameBytes: number, value: Uint8Array, limit: number): void {
    const before = this.#size(name, nameBytes)
    const cost = variableBytes + nameBytes + value.length
    // As Extism counts: the old value still stands while the new one is judged.
    if (this.#bytes + cost > limit) throw new LimitError("varBytesMax", { limit, actual: this.#bytes + cost })
    this.#variables.set(name, value)
    this.#bytes += cost - before
  }

  delete(name: string, nameBytes: number): void {
    this.#bytes -= this.#size(name, nameBytes)
    this.#variables.delete(name)
  }

  #size(name: string, nameBytes: number): number {
    const value = this.#variables.get(name)
    return value === undefined ? 0 : variableBytes + nameBytes + value.length
  }
}

const states = new WeakMap<AbiContext, State>()

/** The state of the instance whose kernel this is. */
export function stateOf(cx: AbiContext): State {
  let state = states.get(cx)
  if (state === undefined) states.set(cx, (state = new State()))
  return state
}
