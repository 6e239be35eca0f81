/** What is asked of every store that is opened without a key: a file of its own, so that the rest of sealing is loaded by who has one. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Store } from "../../port/store.ts"
import { host, stateKey } from "./place.ts"

/**
 * For whoever opens a store without a key.
 * @throws StorageError `KeyRequired` when it is sealed
 */
export async function refuseSealed(store: Store): Promise<void> {
  if (await store.ask({ ask: "has", tenant: host, key: stateKey })) throw new StorageError("KeyRequired", { store: store.name })
}
