/**
 * `billing-invoice.ts fill PATH COUNT` writes a month of one customer's calls into a store; `billing-invoice.ts issue PATH LIST PLAN` makes the invoice of
 * that month, in a process of its own, and prints how long it took and the most memory that the process had. The list `single-events` is of prices that sums
 * do not tell.
 */
import { existsSync, readFileSync } from "node:fs"
import { argv } from "node:process"
import { fileURLToPath } from "node:url"
import { Host } from "../../host/mod.ts"
import { addCatalogue, issue, openBilling, putAccount, subscribe } from "../../runtime/billing/mod.ts"
import { namedPriceList } from "../../runtime/billing/price-list.ts"
import type { Operation } from "../../runtime/port/store.ts"
import { usageIds } from "../../runtime/service/usage-id.ts"
import { SqliteStore } from "../../runtime/storage/sqlite/mod.ts"
import { packUsage, tenantBytes } from "../../runtime/storage/usage.ts"

export interface InvoiceFigures {
  readonly ms: number
  readonly cpuMs: number
  readonly peakBytes: number
  readonly records: number
  readonly total: string
}

const [, , task = "", path = "", ...rest] = argv
const limits = { usage: { bytesMax: 1e12, totalBytesMax: 1e12 } }
/** The month before this one, in UTC: usage is not older than retention, nor ahead of the store's clock. */
const now = new Date()
const start = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1, 1)
const end = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1)

async function fill(count: number): Promise<void> {
  await using store = await SqliteStore.open(path, limits)
  let us = start * 1_000
  const nextId = usageIds(() => us)
  const stepUs = ((end - start) * 1_000) / count
  const writing: Array<Promise<unknown>> = []
  for (let n = 0; n < count; n += 10_000) {
    const entries = Array.from({ length: Math.min(10_000, count - n) }, (_, i) => {
      const id = new Uint8Array(16)
      nextId(id, 0)
      us += stepUs
      const at = n + i
      return {
        id,
        tenant: "customer",
        plugin: `sha256:${(at % 7).toString(16).padStart(64, "a")}`,
        export: at % 3 === 0 ? "acme:flow/api#run" : "acme:text/api#analyze",
        outcome: at % 50 === 0 ? ("guest" as const) : ("ok" as const),
        wallNs: 20_000 + ((at * 7_919) % 1_000_000_000),
        fuel: BigInt(10_000 + ((at * 104_729) % 1_000_000)),
        memoryPeakBytes: 1_114_112 + 65_536 * (at % 50),
        bytesIn: at % 4_096,
        bytesOut: (at * 31) % 100_000,
        hostCalls: { "kv:read:prices/*": 1 + (at % 4), log: 2 },
      }
    })
    const batch: ReadonlyArray<Operation> = [{ op: "record", tenant: tenantBytes("customer"), records: packUsage(entries) }]
    writing.push(store.apply(batch))
    if (writing.length > 3) await writing.shift()
  }
  await Promise.all(writing)
}

/** Each call is priced by its bytes: no sum tells what they cost. */
const singleEvents = JSON.stringify({
  name: "single-events",
  version: "1",
  currency: "USD",
  units: { byte: { exponent: 0 } },
  meters: [{ id: "bytes", unit: "byte", event: "call", aggregation: "sum", value: "bytes" }],
  plans: [
    {
      id: "professional",
      interval: { unit: "month", count: 1 },
      align: "calendar",
      charges: [{ id: "bytes", meter: "bytes", price: { model: "percentage", percent: "0.0001", fixedFee: "0.0001", maximum: "0.05" } }],
    },
  ],
})

/** Of this program: what the system calls its greatest resident set begins with that of whoever started it. */
function peak(): number {
  const found = existsSync("/proc/self/status") ? /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8")) : null
  return (found === null ? process.resourceUsage().maxRSS : Number(found[1])) * 1_024
}

async function invoice(list: string, plan: string): Promise<InvoiceFigures> {
  await using host = await Host.open()
  await using store = await SqliteStore.open(path, limits)
  await using billing = openBilling({ host, store, entity: "bench", clock: () => BigInt(end) * 1_000n + 10_800_000_000n })
  await putAccount(billing, { id: "customer", tenants: ["customer"], zone: "UTC", currency: "USD" })
  const { digest } = await addCatalogue(billing, list === "single-events" ? singleEvents : ((await namedPriceList(list)) ?? ""))
  const id = `${list}-${plan}`
  await subscribe(billing, { id, account: "customer", catalogue: digest, plan, start: BigInt(start) * 1_000n })
  // What is due in advance, of a first period.
  await issue(billing, id)
  const cpu = process.cpuUsage()
  const startedMs = performance.now()
  const { invoice: issued } = await issue(billing, id)
  const ms = performance.now() - startedMs
  const { user, system } = process.cpuUsage(cpu)
  if (issued === undefined) throw new Error("Nothing was issued")
  const records = issued.ratings.reduce((sum, { usage }) => sum + (usage?.records ?? 0), 0)
  return { ms, cpuMs: (user + system) / 1_000, peakBytes: peak(), records, total: issued.totals.gross }
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  if (task === "fill") await fill(Number(rest[0]))
  else console.log(JSON.stringify(await invoice(rest[0] ?? "", rest[1] ?? "")))
}
