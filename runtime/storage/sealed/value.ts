/** A sealed value opened by its tenant's keys, or one from before as it is. */
import { StorageError } from "../../../schemas/error/storage.ts"
import { type Place, textOf } from "../../port/place.ts"
import type { Keyring } from "./keyring.ts"
import type { Ring } from "./ring.ts"
import { idOf, isSameId, unseal } from "./seal.ts"
import type { Steps } from "./step.ts"

const broken = (keyring: Keyring, table: string, { key }: Place): StorageError =>
  new StorageError("SealBroken", { store: keyring.store.name, table, key: textOf(key) })

/**
 * A value by the keys at hand; undefined when none of them sealed it.
 * @throws StorageError `SealBroken`
 */
export function openedBy(keyring: Keyring, ring: Ring, table: string, place: Place, bytes: Uint8Array): Uint8Array | undefined {
  const id = idOf(bytes)
  if (id === undefined) return undefined
  for (const key of ring.keys) {
    if (!isSameId(key.id, id)) continue
    const plain = unseal(key, table, place, bytes)
    if (plain === undefined) throw broken(keyring, table, place)
    return plain
  }
  return undefined
}

/**
 * A value, opened; one from before the store was sealed as it is. No such value can name a key of the tenant: ids are drawn
 * later, and told to nobody. Where versions are known, they must agree.
 * @throws StorageError `SealBroken`, `KeyMissing`
 */
export function* opened(keyring: Keyring, table: string, place: Place, bytes: Uint8Array, version?: number): Steps<Uint8Array> {
  const id = idOf(bytes)
  const wasPlain = (plainUpTo: number | undefined): boolean => plainUpTo !== undefined && (version === undefined || version <= plainUpTo)
  let held = yield* keyring.held(place.tenant)
  const plain = held === undefined ? undefined : openedBy(keyring, held.ring, table, place, bytes)
  if (plain !== undefined) return plain
  const isPlain = (): boolean => wasPlain(held === undefined ? keyring.state.plainUpTo : held.ring.plainUpTo)
  if (id === undefined && isPlain()) return bytes
  held = yield* keyring.read(place.tenant)
  const now = held === undefined ? undefined : openedBy(keyring, held.ring, table, place, bytes)
  if (now !== undefined) return now
  if (isPlain()) return bytes
  throw id === undefined ? broken(keyring, table, place) : keyring.missing(place.tenant, id)
}
