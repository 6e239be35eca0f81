/** Who has the stacks of a thread that guests can be suspended on: every tenant its share, and a plugin of a tenant its share of that. */
import { AsyncError } from "../../schemas/error/async.ts"

/** Stacks that one loaded plugin has. */
export interface PluginStacks {
  count: number
}

export class Stacks {
  readonly #max: number
  #taken = 0
  readonly #ofTenants = new Map<string, number>()

  /** @param max stacks of all together */
  constructor(max: number) {
    this.#max = max
  }

  /**
   * One more for a call of `name`. What its plugin and its tenant have, added up, must be less than what is free. So a plugin alone
   * gets up to a third of all, its tenant with others up to half, `n` tenants up to `1 / (n + 1)` each, and whoever comes next finds some.
   * @throws AsyncError `Share` where the rest is for others, `TooMany` where there is none
   */
  take(tenant: string, plugin: PluginStacks, name: string): void {
    const limit = this.#max
    const free = limit - this.#taken
    if (free <= 0) throw new AsyncError("TooMany", { export: name, limit })
    const ofTenant = this.#ofTenants.get(tenant) ?? 0
    if (ofTenant + plugin.count >= free) throw new AsyncError("Share", { export: name, tenant, ofTenant, ofPlugin: plugin.count, limit })
    this.#ofTenants.set(tenant, ofTenant + 1)
    plugin.count++
    this.#taken++
  }

  give(tenant: string, plugin: PluginStacks): void {
    const left = (this.#ofTenants.get(tenant) as number) - 1
    if (left === 0) this.#ofTenants.delete(tenant)
    else this.#ofTenants.set(tenant, left)
    plugin.count--
    this.#taken--
  }
}
