/**
 * Another master key for the whole store. First the store says which one comes, so that whoever has either of the two has both;
 * then each tenant's keys are wrapped anew; then the one before is forgotten. Whatever ends this between two
 * commits, it is gone on with by whoever calls it again, with either key.
 */
import { StorageError } from "../../../schemas/error/storage.ts"
import { textOf } from "../../port/place.ts"
import { attemptsMax, hexOf, isConflict, type Keyring, table } from "./keyring.ts"
import { host, nextKey, previousKey, ringKey, stateKey } from "./place.ts"
import { encodeState } from "./ring.ts"
import { tenantsOf } from "./reseal.ts"
import { idOf, isSameId, seal, type SealingKey } from "./seal.ts"
import { apply, ask, run, type Steps } from "./step.ts"

/**
 * Wraps every tenant's keys by `next` and forgets the master key before it; answers how many tenants it were. Other processes must have `next`
 * before the end: one that has not is refused with `KeyMissing` from then on.
 * @throws StorageError `Conflict` while another master key is on its way
 */
export async function rotateMaster(keyring: Keyring, next: SealingKey): Promise<number> {
  await run(keyring.store, begun(keyring, next))
  let tenants = 0
  // Until nothing is found: a process that did not know yet may have made keys for a tenant that was passed already.
  for (let before = -1; before < tenants;) {
    before = tenants
    for await (const tenant of tenantsOf(keyring)) if (await run(keyring.store, rewrapped(keyring, tenant))) tenants++
  }
  await run(keyring.store, ended(keyring))
  return tenants
}

function* begun(keyring: Keyring, next: SealingKey): Steps<void> {
  const place = { tenant: host, key: stateKey }
  for (let attempt = 0; ; attempt++) {
    // What is known of an exchange under way, and which of the two keys is the newer, is read with the state.
    yield* keyring.open(false)
    const state = yield* ask({ ask: "get", ...place })
    const underWay = yield* ask({ ask: "get", tenant: host, key: nextKey })
    const id = state === undefined ? undefined : idOf(state.value)
    if (state === undefined || id === undefined) throw new StorageError("SealBroken", { store: keyring.store.name, table, key: textOf(stateKey) })
    if (isSameId(id, next.id)) {
      keyring.use(next)
      return
    }
    if (underWay !== undefined)
      throw new StorageError("Conflict", {
        store: keyring.store.name,
        table,
        key: textOf(nextKey),
        expected: `master key ${hexOf(next.id)}`,
        found: `${hexOf(id)}, which is on its way`,
      })
    const before = keyring.master
    const [nextPlace, previousPlace] = [nextKey, previousKey].map((key) => ({ tenant: host, key })) as [typeof place, typeof place]
    try {
      yield* apply([
        { op: "require", ...place, version: state.version },
        { op: "set", ...place, value: seal(next, table, place, encodeState(keyring.state)) },
        { op: "set", ...nextPlace, value: seal(before, table, nextPlace, next.secret) },
        { op: "set", ...previousPlace, value: seal(next, table, previousPlace, before.secret) },
      ])
      keyring.use(next)
      return
    } catch (error) {
      if (!isConflict(error) || attempt >= attemptsMax) throw error
    }
  }
}

/** One tenant's keys under the newest master key; true when they were not. */
function* rewrapped(keyring: Keyring, tenant: Uint8Array): Steps<boolean> {
  for (let attempt = 0; ; attempt++) {
    const found = yield* ask({ ask: "get", tenant, key: ringKey })
    const id = found === undefined ? undefined : idOf(found.value)
    if (id !== undefined && isSameId(id, keyring.master.id)) return false
    const held = yield* keyring.read(tenant)
    if (held === undefined) return false
    try {
      yield* keyring.write(tenant, held.version, held.ring)
      return true
    } catch (error) {
      if (!isConflict(error) || attempt >= attemptsMax) throw error
    }
  }
}

function* ended(keyring: Keyring): Steps<void> {
  const place = { tenant: host, key: stateKey }
  const state = yield* ask({ ask: "get", ...place })
  const id = state === undefined ? undefined : idOf(state.value)
  // Somebody has begun with yet another key: what it put there is not ours to remove.
  if (state === undefined || id === undefined || !isSameId(id, keyring.master.id)) return
  try {
    yield* apply([
      { op: "require", ...place, version: state.version },
      { op: "delete", tenant: host, key: nextKey },
      { op: "delete", tenant: host, key: previousKey },
    ])
  } catch (error) {
    if (!isConflict(error)) throw error
  }
  keyring.settle()
}
