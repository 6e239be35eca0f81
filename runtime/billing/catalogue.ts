/** Price lists in an entity's books: kept by the digest of their text, compiled by the rules of whoever is billed by them. */
import type { Description } from "../../schemas/wit/stele/billing.gen.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import { StorageError } from "../../schemas/error/storage.ts"
import type { Billing } from "./billing.ts"
import type { RulesChoice } from "./components.ts"
import type { PriceTable } from "./price-table.ts"
import { asRead, putText, textAt } from "./record.ts"
import { rowAt } from "./rows.ts"
import { checkSources } from "./source.ts"

const { createHash } = process.getBuiltinModule("node:crypto")

const prefix = "catalogue/"
const keyOf = (digest: string): string => prefix + digest.slice("sha256:".length)

export interface KnownCatalogue {
  /** `sha256:…` of its text. */
  readonly digest: string
  readonly description: Description
}

/**
 * Takes a price list in. The rules check all of it: ours, or those that an account has in their place.
 * @throws BillingError `Catalogue` with a JSON pointer for each problem; `RulesUnknown`
 */
export async function addCatalogue(billing: Billing, text: string, { rules: choice }: { readonly rules?: RulesChoice } = {}): Promise<KnownCatalogue> {
  const digest = `sha256:${createHash("sha256").update(text).digest("hex")}`
  const rules = await billing.components.rulesOf(choice, "the price list's")
  const table = await billing.components.table(rules, digest, async () => text)
  await checkSources(table)
  const key = keyOf(digest)
  if (!(await billing.store.ask({ ask: "has", ...rowAt(billing.entity, key) })))
    try {
      await billing.store.apply([asRead(billing, { prefix }, digest.slice("sha256:".length), undefined), putText(billing, key, text)])
    } catch (error) {
      // The same text by somebody else.
      if (!(error instanceof StorageError && error.reason._tag === "Conflict")) throw error
    }
  return { digest, description: table.description }
}

/** The text of a price list. @throws BillingError `Unknown` */
export async function catalogueText(billing: Billing, digest: string): Promise<string> {
  const found = await textAt(billing, keyOf(digest))
  if (found === undefined) throw new BillingError("Unknown", { what: "price list", id: digest, entity: billing.entity })
  return found.text
}

/** A price list as an account's rules have compiled it. @throws BillingError `Unknown`, `Catalogue`, `RulesUnknown` */
export async function priceTable(billing: Billing, digest: string, account: { readonly id: string; readonly rules?: RulesChoice }): Promise<PriceTable> {
  const rules = await billing.components.rulesOf(account.rules, account.id)
  return billing.components.table(rules, digest, () => catalogueText(billing, digest))
}
