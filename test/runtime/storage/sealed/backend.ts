/** Any store, sealed, as a backend of the conformance suite. */
import { randomBytes } from "node:crypto"
import type { StoreLimitOptions } from "../../../../runtime/port/limits.ts"
import { ringKey } from "../../../../runtime/storage/sealed/place.ts"
import type { Store } from "../../../../runtime/port/store.ts"
import { Keyring, masterFrom, ringBytes, roomForSeals, sealBytes, sealed, stateBytes } from "../../../../runtime/storage/sealed/mod.ts"
import { run } from "../../../../runtime/storage/sealed/step.ts"
import type { Backend } from "../suite/conformance.ts"

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

/** A store that is sealed by a master key; without one, by one of its own. */
export async function sealedOver(
  store: Store,
  master = masterFrom(randomBytes(32)),
  limits: StoreLimitOptions = {},
): Promise<{ readonly store: Store; readonly keyring: Keyring }> {
  const keyring = new Keyring(store, master)
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
])

export const sealedBackend = (name: string, open: (limits: StoreLimitOptions) => Promise<Store>): Backend => ({
  name,
  skips,
  open: async (limits) => (await sealedOver(await open(roomFor(limits)), undefined, limits)).store,
})
