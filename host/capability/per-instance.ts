/**
 * What a capability keeps for each plugin instance. An instance that has ended may be made a new one for another call, in the
 * same object: so this is let go of with the instance, not with the object that stands for it.
 */
import type { CallContext } from "./capability.ts"

export class PerInstance<A> {
  readonly #of = new WeakMap<CallContext, A>()

  get(call: CallContext): A | undefined {
    return this.#of.get(call)
  }

  set(call: CallContext, value: A): void {
    if (!this.#of.has(call)) call.atDiscard(() => this.#of.delete(call))
    this.#of.set(call, value)
  }
}
