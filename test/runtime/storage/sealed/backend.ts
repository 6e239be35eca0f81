/** Any store, sealed, as a backend of the conformance suite. */
import { randomBytes } from "node:crypto"
import type { StoreLimitOptions } from "../../../../runtime/port/limits.ts"
import { ringKey } from "../../../../runtime/storage/sealed/place.ts"
import type { ObjectStore } from "../../../../runtime/port/object.ts"
import type { Operation, Store } from "../../../../runtime/port/store.ts"
import { Keyring, masterFrom, ringBytes, roomForSeals, sealBytes, sealed, stateBytes } from "../../../../runtime/storage/sealed/mod.ts"
import { run, runSync, type Steps } from "../../../../runtime/storage/sealed/step.ts"
import type { Backend } from "../suite/conformance.ts"
import { rewriteCases } from "../suite/rewrite.ts"

const more = <L extends object>(limits: L | undefined, room: Readonly<Record<string, number>>): L =>
  Object.fromEntries(Object.entries({ ...limits }).map(([name, most]) => [name, (most as number) + (room[name] ?? 0)])) as L

const ring = ringBytes + ringKey.length + "ada/".length
const state = stateBytes + ringKey.length + 1

/** Limits of the store below, for cases whose quotas are those of one value and one tenant with a short name. */
function roomFor(limits: StoreLimitOptions): StoreLimitOptions {
  const { keyValue, event, log, ...others } = roomForSeals(limits)
  return {
    ...others,
    keyValue: more(keyValue, { tenantKeysMax: 1, tenantBytesMax: ring + sealBytes, totalBytesMax: ring + state + sealBytes }),
    event: more(event, { topicBytesKeptMax: sealBytes, totalBytesMax: sealBytes }),
    log: more(log, { logBytesMax: sealBytes, tenantBytesMax: sealBytes, totalBytesMax: sealBytes }),
  }
}

/** Cases link digests that are no object's: here each is said to be sealed by its tenant's newest key, as an object that was put is. */
function linking(store: Store, keyring: Keyring): Store {
  function* keyed(operation: Operation): Steps<Operation> {
    return operation.op === "link" ? { ...operation, keyId: (yield* keyring.ensured(operation.tenant)).ring.keys[0].id } : operation
  }
  function* all(batch: ReadonlyArray<Operation>): Steps<ReadonlyArray<Operation>> {
    const operations: Array<Operation> = []
    for (const operation of batch) operations.push(yield* keyed(operation))
    return operations
  }
  const own: Partial<Store> = {
    apply: (async (batch: ReadonlyArray<Operation>) =>
      store.apply(batch.some(({ op }) => op === "link") ? await run(keyring.store, all(batch)) : batch)) as Store["apply"],
    applySync: ((batch: ReadonlyArray<Operation>) => store.applySync(runSync(keyring.store, all(batch)))) as Store["applySync"],
  }
  return new Proxy(store, {
    get(target, name) {
      const found: unknown = Reflect.get(own, name) ?? Reflect.get(target, name, target)
      return typeof found === "function" ? found.bind(target) : found
    },
  })
}

/** A store that is sealed by a master key; without one, by one of its own. */
export async function sealedOver(
  store: Store,
  master = masterFrom(randomBytes(32)),
  limits: StoreLimitOptions = {},
  objects?: ObjectStore,
): Promise<{ readonly store: Store; readonly keyring: Keyring }> {
  const keyring = new Keyring(store, master, objects)
  await run(store, keyring.open(true))
  return { store: sealed(store, keyring, limits), keyring }
}

/** Quotas count sealed bytes, so these have other figures: they fill a quota with many small values. The first has 50 ms for sealing 600. */
const skips = new Set([
  "what has ended does not count against `tenantKeysMax`, however much of it",
  "what has ended does not count against `tenantBytesMax`, however much of it",
  "what has ended does not count against `totalBytesMax`, however much of it",
  "`totalBytesMax` refuses an entry, by name, and drops nothing",
  "trimming makes room under `logBytesMax`",
  "trimming makes room under `tenantBytesMax`",
  "trimming makes room under `totalBytesMax`",
  // A sealed store's own operation, which it takes from nobody.
  ...rewriteCases.map(({ title }) => title),
])

export const sealedBackend = (name: string, open: (limits: StoreLimitOptions) => Promise<Store>): Backend => ({
  name,
  skips,
  // Its keys are values.
  isOnePiece: true,
  async open(limits) {
    const { store, keyring } = await sealedOver(await open(roomFor(limits)), undefined, limits)
    return linking(store, keyring)
  },
})
