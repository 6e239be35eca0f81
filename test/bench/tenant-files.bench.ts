/**
 * A file for each tenant beside one file for all: `npm run bench -- tenant-files`. Writers of 64 tenants, one each; then a thousand tenants through 64 open files.
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Store } from "../../runtime/port/store.ts"
import { eraseTenant } from "../../runtime/storage/record.ts"
import { SqliteStore } from "../../runtime/storage/sqlite/mod.ts"
import { TenantFilesStore } from "../../runtime/storage/tenants/mod.ts"
import type { Row } from "./measure.ts"

const runMs = 2_000
const tenantsMax = 1_000
const value = new Uint8Array(300).fill(7)
const utf8 = new TextEncoder()
const set = (tenant: number, i: number) => ({ op: "set" as const, tenant: utf8.encode(`tenant ${tenant}`), key: utf8.encode(`k${i % 1_000}`), value })

const row = (figure: string, unit: string, ours: number, peers: Readonly<Record<string, number>>, note: string): Row => ({
  figure,
  unit,
  ours,
  peers,
  ratios: Object.fromEntries(Object.entries(peers).map(([name, peer]) => [name, ours / peer])),
  target: "",
  met: null,
  note,
})

interface Cost {
  readonly aSecond: number
  /** Of the processor, for each. */
  readonly us: number
}

async function costOf(count: () => number, run: () => Promise<unknown>): Promise<Cost> {
  const [before, startedMs] = [process.cpuUsage(), performance.now()]
  await run()
  const { user, system } = process.cpuUsage(before)
  return { aSecond: (count() * 1_000) / (performance.now() - startedMs), us: (user + system) / count() }
}

/** Each of so many writers waits for its last write before the next. */
async function writers(store: Store, count: number, tenants: number): Promise<Cost> {
  let written = 0
  const untilMs = performance.now() + runMs
  const one = async (writer: number): Promise<void> => {
    for (let i = 0; performance.now() < untilMs; i++) {
      await store.apply([set(writer % tenants, i)])
      written++
    }
  }
  return await costOf(
    () => written,
    () => Promise.all(Array.from({ length: count }, (_, writer) => one(writer))),
  )
}

/** One after the other, so that each opens its file and closes another's. */
const churn = (each: (tenant: number) => Promise<unknown>): Promise<Cost> =>
  costOf(
    () => tenantsMax,
    async () => {
      for (let tenant = 0; tenant < tenantsMax; tenant++) await each(tenant)
    },
  )

const rate = ({ aSecond }: Cost): number => Math.round(aSecond)
const spent = (...costs: ReadonlyArray<readonly [name: string, cost: Cost]>): string =>
  `processor: ${costs.map(([name, { us }]) => `${name} ${us.toFixed(0)} µs`).join(", ")}`

export async function bench(): Promise<ReadonlyArray<Row>> {
  const folder = await mkdtemp(join(tmpdir(), "stele-tenant-files-"))
  try {
    const one = await SqliteStore.open(join(folder, "one.db"))
    const files = await TenantFilesStore.open(join(folder, "files"))
    const single = await TenantFilesStore.open(join(folder, "single"), { threadsMax: 1 })
    for (let tenant = 0; tenant < 64; tenant++) for (const store of [one, files, single]) await store.apply([set(tenant, 0)])
    const [a, b, c] = [await writers(one, 64, 64), await writers(files, 64, 64), await writers(single, 64, 64)]
    const [d, e] = [await writers(one, 64, 1), await writers(files, 64, 1)]
    for (const store of [one, single]) await store.close()
    const made = await churn((tenant) => files.apply([set(tenant + 100, 0)]))
    const again = await churn((tenant) => files.apply([set(tenant + 100, 1)]))
    const read = await churn((tenant) => files.ask({ ask: "get", tenant: set(tenant + 100, 0).tenant, key: utf8.encode("k0") }))
    const asked = performance.now()
    await files.ask({ ask: "totals" })
    const totalsMs = performance.now() - asked
    const erased = await churn((tenant) => eraseTenant(files, set(tenant + 100, 0).tenant))
    await files.close()
    return [
      row(
        "64 writers on 64 tenants",
        "rows/s",
        rate(b),
        { "one file": rate(a), "one thread": rate(c) },
        spent(["files", b], ["one file", a], ["one thread", c]),
      ),
      row("64 writers on one tenant", "rows/s", rate(e), { "one file": rate(d) }, spent(["files", e], ["one file", d])),
      row(`${tenantsMax} new tenants, one after the other`, "tenants/s", rate(made), {}, spent(["each", made])),
      row(`a write for each of ${tenantsMax} tenants, 64 files open`, "rows/s", rate(again), {}, spent(["each", again])),
      row(`a read for each of ${tenantsMax} tenants, 64 files open`, "reads/s", rate(read), {}, spent(["each", read])),
      row(`what ${tenantsMax} tenants add up to`, "ms", Math.round(totalsMs), {}, "opens every file"),
      row(`${tenantsMax} tenants erased, one after the other`, "tenants/s", rate(erased), {}, spent(["each", erased])),
    ]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
