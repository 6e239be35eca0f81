/**
 * Where a sealed store keeps what is its own: four keys that are no UTF-8, so that no guest can name them. A tenant's data keys lie
 * with the tenant: one batch may depend on them in every store, an erasure takes them, and a move brings them along.
 */
import { ConfigError } from "../../../schemas/error/config.ts"
import { textOf } from "../../port/place.ts"
import type { Operation } from "../../port/store.ts"

const utf8 = new TextEncoder()
/** Short: a limit for keys may be. */
const own = (name: string): Uint8Array => Uint8Array.of(0xff, ...utf8.encode(`st${name}`))

/** The tenant of the host itself. */
export const host = new Uint8Array(0)
/** A tenant's data keys, sealed by a master key. */
export const ringKey = own("k")
/** Since when the store is sealed, by which master key: of the host's tenant. */
export const stateKey = own("s")
/** While a master key is exchanged: the next one, sealed by the one before, and the other way round. */
export const nextKey = own("n")
export const previousKey = own("p")

const all = [ringKey, stateKey, nextKey, previousKey]
/** How many more must be asked for, so that enough are left. */
export const ownMax = all.length

/** Is it a sealed store's own key, and nobody else's? */
export const isOwn = (key: Uint8Array): boolean => key[0] === 0xff && all.some((each) => Buffer.compare(each, key) === 0)

/** As a question for keys answers them: text, in which the first byte is gone. */
export const ownTexts: ReadonlySet<string> = new Set(all.map(textOf))

const keyValueOperations: ReadonlySet<string> = new Set(["set", "swap", "increment", "delete", "require"])

/** @throws ConfigError for what only the store itself may do */
export function checkReserved(operation: Operation): void {
  if (keyValueOperations.has(operation.op) && "key" in operation && isOwn(operation.key))
    throw new ConfigError("Option", { option: "key", expected: "none of a sealed store's own", actual: Buffer.from(operation.key).toString("hex") })
}
