/** Which rules decide for whom, and the price lists that they have compiled. */
import type { Host } from "../../host/host.ts"
import type { Limits } from "../../host/options.ts"
import type { AccountRules } from "../../schemas/billing/account.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import { SteleError } from "../../schemas/error/family.ts"
import { PriceTable } from "./price-table.ts"
import { Rules } from "./rules.ts"

/** A component in the place of ours. */
export type RulesChoice = typeof AccountRules.Type

/** Keeps the newest of what it was asked for. */
class Kept<A> {
  readonly #found = new Map<string, Promise<A>>()
  readonly #max: number
  readonly #letGo: (gone: A) => void
  constructor(max: number, letGo: (gone: A) => void) {
    this.#max = max
    this.#letGo = letGo
  }

  get(key: string, make: () => Promise<A>): Promise<A> {
    const known = this.#found.get(key)
    if (known !== undefined) {
      this.#found.delete(key)
      this.#found.set(key, known)
      return known
    }
    const made = make()
    this.#found.set(key, made)
    // What failed is tried again by whoever asks next.
    made.catch(() => this.#found.get(key) === made && this.#found.delete(key))
    const [oldest] = this.#found.keys()
    if (this.#found.size > this.#max && oldest !== undefined) {
      void this.#found.get(oldest)?.then(this.#letGo, () => undefined)
      this.#found.delete(oldest)
    }
    return made
  }

  clear(): void {
    for (const one of this.#found.values()) void one.then(this.#letGo, () => undefined)
    this.#found.clear()
  }
}

export const componentLimits = {
  /** Components of rules that are loaded at a time, ours among them. */
  rulesMax: 16,
  /** Price lists that are compiled at a time, each in an instance of its own. */
  cataloguesMax: 64,
}

export class Components {
  readonly #host: Host
  readonly #entity: string
  // More than are in use at a time: whoever has not been asked for longest is closed.
  readonly #rules = new Kept<Rules>(componentLimits.rulesMax, (rules) => void this.#close(rules))
  readonly #tables = new Kept<PriceTable>(componentLimits.cataloguesMax, () => undefined)
  readonly #loaded = new Set<Rules>()

  constructor(host: Host, entity: string) {
    this.#host = host
    this.#entity = entity
  }

  /** The rules of an account, or those in force for all. @throws BillingError `RulesUnknown` for a component that is not there, or is none */
  rulesOf(choice: RulesChoice | undefined, account: string): Promise<Rules> {
    return this.#rules.get(JSON.stringify([choice?.digest, choice?.limits]), async () => {
      const tenant = `billing.${this.#entity}`
      try {
        const rules = await Rules.open(
          this.#host,
          choice === undefined
            ? { tenant }
            : {
                tenant,
                replacement: {
                  source: choice.digest,
                  setBy: `the account "${account}"`,
                  ...(choice.limits === undefined ? {} : { limits: choice.limits as Partial<Limits> }),
                },
              },
        )
        this.#loaded.add(rules)
        return rules
      } catch (error) {
        if (choice === undefined || !(error instanceof SteleError)) throw error
        throw new BillingError("RulesUnknown", { account, digest: choice.digest, detail: `${error.code}: ${error.message}` }, { cause: error })
      }
    })
  }

  /** A price list as some rules compiled it. @throws BillingError `Catalogue` where they refuse it */
  async table(rules: Rules, digest: string, textOf: () => Promise<string>): Promise<PriceTable> {
    return this.#tables.get(`${rules.plugin.digest} ${JSON.stringify(rules.plugin.describe().limits)} ${digest}`, async () =>
      PriceTable.open(rules, digest, await textOf()),
    )
  }

  async #close(rules: Rules): Promise<void> {
    this.#loaded.delete(rules)
    await rules.plugin.close()
  }

  async close(): Promise<void> {
    this.#tables.clear()
    await Promise.all([...this.#loaded].map((rules) => this.#close(rules)))
  }
}
