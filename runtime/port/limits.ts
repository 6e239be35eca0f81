/** What a store takes and keeps, by port. */
import { eventLimits } from "../../host/port/event.ts"
import { limitsFrom } from "../../host/port/port.ts"
import { blobStoreLimits } from "./blob.ts"
import { keyValueStoreLimits } from "./key-value.ts"
import { logLimits } from "./log.ts"
import { queueLimits } from "./queue.ts"
import { sqlLimits } from "./sql.ts"
import { usageLimits } from "./usage.ts"

/** The defaults; each table's own file says their units. */
export const storeLimits = {
  keyValue: keyValueStoreLimits,
  event: eventLimits,
  log: logLimits,
  blob: blobStoreLimits,
  queue: queueLimits,
  usage: usageLimits,
  sql: sqlLimits,
}
export type StoreLimits = Readonly<typeof storeLimits>
export type StoreLimitOptions = { readonly [P in keyof StoreLimits]?: Partial<StoreLimits[P]> }

/** Options over the defaults. Throws `ConfigError` for an unknown limit or one that is not a number ≥ 0. */
export const storeLimitsFrom = (given: StoreLimitOptions): StoreLimits =>
  Object.fromEntries(Object.entries(storeLimits).map(([port, defaults]) => [port, limitsFrom(port, defaults, given[port as keyof StoreLimits])])) as StoreLimits
