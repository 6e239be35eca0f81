/** `check()` of usage: every row against its sum, every tenant's against its totals, and each roll-up against its records where all of them are there. */
import type { DatabaseSync } from "node:sqlite"
import { dayOf, dayText } from "../../port/usage.ts"
import { RollUp, tenantText, unpackContent } from "../usage.ts"
import { Packer, Unpacker } from "../varint.ts"
import type { Finding } from "../../port/store.ts"
import { Recount, type TotalTable } from "./totals.ts"
import { bytesOfRow, type DayRow, none, sumOfDay, sumOfName, sumOfRow, type UsageRow } from "../usage-row.ts"

const changed = "its bytes are not those that were written"

export function checkUsage(database: DatabaseSync, totals: TotalTable): ReadonlyArray<Finding> {
  const findings: Array<Finding> = []
  const recount = new Recount()
  const packer = new Packer()
  const oks = new Set<number>()
  for (const row of database.prepare("SELECT id, tenant, name, sum FROM usage_name").iterate()) {
    const { id, tenant, name, sum } = row as unknown as { readonly id: number; readonly tenant: Uint8Array; readonly name: Uint8Array; readonly sum: number }
    if (sumOfName(tenant, name, id) !== sum) findings.push({ table: "usage_name", key: String(id), detail: changed })
    if (Buffer.compare(name, Buffer.from("ok")) === 0) oks.add(id)
    recount.add(tenant, 0, 0, sum)
  }
  const forgotten = new Map<string, Uint8Array>()
  for (const row of database.prepare("SELECT tenant, id, sum FROM usage_forgotten").iterate()) {
    const { tenant, id, sum } = row as unknown as UsageRow & { readonly tenant: Uint8Array }
    if (sumOfRow(tenant, id, none) !== sum) findings.push({ table: "usage_forgotten", key: tenantText(tenant), detail: changed })
    forgotten.set(tenantText(tenant), id)
    recount.add(tenant, 0, 0, sum)
  }
  const keyOf = (tenant: Uint8Array, day: number, plugin: number): string => `${plugin} ${day} ${tenantText(tenant)}`
  const made = new Map<string, { readonly tenant: Uint8Array; readonly day: number; readonly rollUp: RollUp }>()
  for (const row of database.prepare("SELECT tenant, id, payload, sum FROM usage").iterate()) {
    const { tenant, id, payload, sum } = row as unknown as UsageRow & { readonly tenant: Uint8Array }
    recount.add(tenant, 1, bytesOfRow(tenant, payload), sum)
    if (sumOfRow(tenant, id, payload) !== sum) {
      findings.push({ table: "usage", key: `${tenantText(tenant)} ${Buffer.from(id).toString("hex")}`, detail: changed })
      continue
    }
    const content = unpackContent(new Unpacker(payload))
    const key = keyOf(tenant, dayOf(id), content.plugin)
    let found = made.get(key)
    if (found === undefined) made.set(key, (found = { tenant, day: dayOf(id), rollUp: new RollUp() }))
    found.rollUp.add(content, oks.has(content.outcome))
  }
  const isWhole = (tenant: Uint8Array, day: number): boolean => {
    const newest = forgotten.get(tenantText(tenant))
    return newest === undefined || day > dayOf(newest)
  }
  for (const row of database.prepare("SELECT tenant, day, plugin, payload, sum FROM usage_day").iterate()) {
    const { tenant, day, plugin, payload, sum } = row as unknown as DayRow
    recount.add(tenant, 0, 0, sum)
    const key = keyOf(tenant, day, plugin)
    const at = `${tenantText(tenant)} ${dayText(day)}`
    const found = made.get(key)
    made.delete(key)
    if (sumOfDay(tenant, day, plugin, payload) !== sum) findings.push({ table: "usage_day", key: at, detail: changed })
    else if (isWhole(tenant, day) && (found === undefined || Buffer.compare(found.rollUp.pack(packer), payload) !== 0))
      findings.push({ table: "usage_day", key: at, detail: "its records do not add up to it" })
  }
  for (const { tenant, day } of made.values())
    findings.push({ table: "usage_day", key: `${tenantText(tenant)} ${dayText(day)}`, detail: "there are records of a day that has no sums" })
  return [...findings, ...recount.compare("usage", totals)]
}
