/** Months of usage for tests of billing: records as calls leave them, from a seed. */
import { Host } from "../../../host/mod.ts"
import type { UsageRecord } from "../../../host/port/observer.ts"
import type { Store } from "../../../runtime/port/store.ts"
import type { UsageEntry } from "../../../runtime/port/usage.ts"
import { MemoryStore } from "../../../runtime/storage/sqlite/memory.ts"
import { packUsage, tenantBytes } from "../../../runtime/storage/usage.ts"
import { readInstant } from "../../../schemas/billing/instant.ts"
import { idAt, record } from "../storage/usage-record.ts"

export const at = (text: string): bigint => {
  const found = readInstant(text)
  if (found === undefined) throw new Error(`no instant: ${text}`)
  return found
}

/** A store in memory whose time is what the test says. */
export function storeAt(text: string): MemoryStore & { set(text: string): void } {
  let now = Number(at(text))
  const store = new MemoryStore({ clock: () => now++ })
  return Object.assign(store, { set: (to: string): void => void (now = Math.max(now, Number(at(to)))) })
}

export const openHost = (): Promise<Host> => Host.open()

/** Numbers below one, the same each time. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

const exportsOf = ["acme:flow/api#run", "acme:flow/api#list", "acme:text/api#analyze"]

/** So many calls, spread over a span. */
export function* calls(tenant: string, from: string, to: string, count: number, seed = 1): Generator<UsageEntry> {
  const random = randomFrom(seed)
  const [start, end] = [Number(at(from) / 1_000n), Number(at(to) / 1_000n)]
  for (let i = 0; i < count; i++) {
    const given: Partial<UsageRecord> = {
      tenant,
      export: exportsOf[Math.floor(random() * exportsOf.length)] as string,
      outcome: random() < 0.02 ? "STELE-LIM-0010" : "ok",
      wallNs: Math.floor(random() * 5_000_000_000),
      memoryPeakBytes: 65_536 * (1 + Math.floor(random() * 4_000)),
      bytesIn: Math.floor(random() * 2_000_000),
      bytesOut: Math.floor(random() * 9_000_000),
      hostCalls: random() < 0.5 ? { log: 3, "kv:read:prices/*": 1 + Math.floor(random() * 20) } : {},
    }
    yield { ...record(given), id: idAt(start + Math.floor(((end - start) * i) / count), i) }
  }
}

export async function keep(store: Store, tenant: string, entries: Iterable<UsageEntry>): Promise<void> {
  let batch: Array<UsageEntry> = []
  const write = async (): Promise<void> => {
    if (batch.length === 0) return
    const [answers] = await store.apply([{ op: "record", tenant: tenantBytes(tenant), records: packUsage(batch) }])
    const refused = answers.find((answer) => answer !== "new")
    if (refused !== undefined) throw new Error(`A record is ${refused}`)
    batch = []
  }
  for (const entry of entries) if (batch.push(entry) === 2_000) await write()
  await write()
}
