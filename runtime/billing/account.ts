/** Accounts: who is billed, in which currency and zone, and whose usage that is. */
import * as Schema from "effect/Schema"
import { Account } from "../../schemas/billing/account.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import type { Operation } from "../port/store.ts"
import type { Billing } from "./billing.ts"
import { type AccountValue, all, asRead, detailOf, find, get, kinds, put, putText, remove, textAt } from "./record.ts"
import { isConflict } from "./rows.ts"

export type { AccountValue }

const checked = Schema.decodeUnknownSync(Schema.toType(Account), { onExcessProperty: "error" })

/** Checks what a caller gave by its schema. @throws BillingError `Input` */
export function checkedInput<A>(what: string, check: (value: unknown) => A, value: unknown): A {
  try {
    return check(value)
  } catch (error) {
    throw new BillingError("Input", { what, detail: detailOf(error) }, { cause: error })
  }
}

export const tenantsOf = ({ id, tenants }: Pick<AccountValue, "id" | "tenants">): ReadonlyArray<string> => tenants ?? [id]

const tenantKey = (tenant: string): string => `tenant/${encodeURIComponent(tenant)}`

/** The account that a tenant's usage is billed to; undefined for none. */
export const accountOfTenant = async (billing: Billing, tenant: string): Promise<string | undefined> => (await textAt(billing, tenantKey(tenant)))?.text

/**
 * Makes an account, or changes what is said of one: as a whole, from its next invoice on. Its subscriptions keep their zone (`moveAccount`).
 * @throws BillingError `Input`, `Taken` for a tenant of another account, `RulesUnknown`, `Zone`, `Contended`
 */
export async function putAccount(billing: Billing, given: AccountValue): Promise<AccountValue> {
  const account = checkedInput("account", checked, given)
  await billing.zone(account.zone)
  await billing.components.rulesOf(account.rules, account.id)
  for (let attempts = 0; attempts < billing.limits.attempts; attempts++) {
    const before = await find(billing, kinds.account, account.id)
    const operations: Array<Operation> = [asRead(billing, kinds.account, account.id, before), put(billing, kinds.account, account.id, account)]
    const wanted = new Set(tenantsOf(account))
    for (const tenant of wanted) {
      const owner = await textAt(billing, tenantKey(tenant))
      if (owner !== undefined && owner.text !== account.id)
        throw new BillingError("Taken", { what: "tenant", id: tenant, detail: `its usage is billed to the account "${owner.text}"` })
      operations.push(
        asRead(billing, { prefix: "" }, tenantKey(tenant), owner && { value: undefined, version: owner.version }),
        putText(billing, tenantKey(tenant), account.id),
      )
    }
    for (const tenant of before === undefined ? [] : tenantsOf(before.value)) if (!wanted.has(tenant)) operations.push(remove(billing, tenantKey(tenant)))
    try {
      await billing.store.apply(operations)
      return account
    } catch (error) {
      if (!isConflict(error)) throw error
    }
  }
  throw new BillingError("Contended", { what: `the account "${account.id}"`, attempts: billing.limits.attempts })
}

/** @throws BillingError `Unknown` */
export const accountOf = async (billing: Billing, id: string): Promise<AccountValue> => (await get(billing, kinds.account, id)).value

/** All accounts, by id. */
export async function* accounts(billing: Billing): AsyncGenerator<AccountValue> {
  for await (const { value } of all(billing, kinds.account)) yield value
}

/** Some of the accounts, by id: at most `countMax`, those after `after`, which is the `next` of the part before. */
export async function accountsPart(
  billing: Billing,
  { after, countMax }: { readonly after?: string | undefined; readonly countMax: number },
): Promise<{ readonly accounts: ReadonlyArray<AccountValue>; readonly next: string | undefined }> {
  const found: Array<AccountValue> = []
  for await (const { value } of all(billing, kinds.account, "", after)) if (found.push(value) > countMax) break
  const shown = found.slice(0, countMax)
  return { accounts: shown, next: found.length > countMax ? shown.at(-1)?.id : undefined }
}
