/** Usage records for tests. */
import type { UsageRecord } from "../../../host/port/observer.ts"
import { firstId } from "../../../runtime/port/usage.ts"

export const digest = (n: number): string => `sha256:${n.toString(16).padStart(64, "0")}`

export const record = (given: Partial<UsageRecord> = {}): UsageRecord => ({
  plugin: digest(1),
  tenant: "ada",
  export: "acme:greeter/api#greet",
  outcome: "ok",
  wallNs: 1_000,
  memoryPeakBytes: 65_536,
  bytesIn: 10,
  bytesOut: 20,
  hostCalls: {},
  ...given,
})

/** The id of a time that is told from others of that time by a number. */
export function idAt(ms: number, n = 0): Uint8Array {
  const id = firstId(ms)
  new DataView(id.buffer).setUint32(12, n)
  id[6] = 0x70
  id[8] = 0x80
  return id
}
