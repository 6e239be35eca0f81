/** What the host functions of one call have used of its limits. */
import { LimitError } from "../../schemas/error/limit.ts"
import type { CallQuota } from "../capability/capability.ts"
import type { Limits } from "../options.ts"

export class Spending {
  readonly #used = new Map<CallQuota, number>()

  /** @throws LimitError */
  spend(limits: Limits, limit: CallQuota, amount: number): void {
    const used = (this.#used.get(limit) ?? 0) + amount
    if (!(used <= limits[limit])) throw new LimitError(limit, { limit: limits[limit], actual: used })
    this.#used.set(limit, used)
  }

  /** A call begins. */
  clear(): void {
    if (this.#used.size > 0) this.#used.clear()
  }
}
