/** Limits of a store below a sealed one, so that what the cases keep fits as if it were not sealed. */
import type { StoreLimitOptions } from "../../../../runtime/port/limits.ts"
import { ringKey } from "../../../../runtime/storage/sealed/place.ts"
import { ringBytes, roomForSeals, sealBytes, stateBytes } from "../../../../runtime/storage/sealed/mod.ts"

const more = <L extends object>(limits: L | undefined, room: Readonly<Record<string, number>>): L =>
  Object.fromEntries(Object.entries({ ...limits }).map(([name, most]) => [name, (most as number) + (room[name] ?? 0)])) as L

const ring = ringBytes + ringKey.length + "ada/".length
const state = stateBytes + ringKey.length + 1

/** For cases whose quotas are those of one value and one tenant with a short name. */
export function roomFor(limits: StoreLimitOptions): StoreLimitOptions {
  const { keyValue, event, log, ...others } = roomForSeals(limits)
  return {
    ...others,
    keyValue: more(keyValue, { tenantKeysMax: 1, tenantBytesMax: ring + sealBytes, totalBytesMax: ring + state + sealBytes }),
    event: more(event, { topicBytesKeptMax: sealBytes, totalBytesMax: sealBytes }),
    log: more(log, { logBytesMax: sealBytes, tenantBytesMax: sealBytes, totalBytesMax: sealBytes }),
  }
}
