/**
 * Where a sealed store keeps what is its own: keys that no UTF-8 starts with, after all of a tenant's others. A tenant's data keys lie
 * with the tenant: one batch may depend on them in every store, an erasure takes them, and a move brings them along.
 */
import { ConfigError } from "../../../schemas/error/config.ts"
import { textOf } from "../../port/place.ts"
import type { Operation } from "../../port/store.ts"

const utf8 = new TextEncoder()
const lead = 0xff
const own = (name: string): Uint8Array => Uint8Array.of(lead, ...utf8.encode(`stele/${name}`))

/** The tenant of the host itself. */
export const host = new Uint8Array(0)
/** A tenant's data keys, sealed by a master key. */
export const ringKey = own("keys")
/** Since when the store is sealed, by which master key: of the host's tenant. */
export const stateKey = own("sealed")
/** While a master key is exchanged: the next one, sealed by the one before, and the other way round. */
export const nextKey = own("next")
export const previousKey = own("previous")

/** Is it a sealed store's own key, and nobody else's? */
export const isOwn = (key: Uint8Array): boolean => key[0] === lead

/** As a question for keys answers them: text, in which the first byte is gone. */
export const ownTexts: ReadonlySet<string> = new Set([ringKey, stateKey, nextKey, previousKey].map(textOf))

/** @throws ConfigError for what only the store itself may do */
export function checkReserved(operation: Operation): void {
  if ("key" in operation && isOwn(operation.key)) throw new ConfigError("Option", { option: "key", expected: "UTF-8", actual: `a byte ${lead}` })
  // With the host's tenant would go what says that the store is sealed.
  if (operation.op === "erase" && operation.tenant.length === 0)
    throw new ConfigError("Option", { option: "tenant", expected: "a tenant of the store", actual: "the host's own" })
}
