/** `check()` of usage: every row against its sum, and each roll-up against its records where all of them are there; a tenant at a time. */
import type { Finding } from "../../port/store.ts"
import { dayOf, dayText } from "../../port/usage.ts"
import { RollUp, unpackContent } from "../usage.ts"
import { bytesOfRow, none, sumOfDay, sumOfName, sumOfRow } from "../usage-row.ts"
import { Packer, Unpacker } from "../varint.ts"
import type { Connection, Row } from "./connection.ts"
import type { Total } from "./group.ts"
import { hexOf } from "./tenant.ts"
import { foundName, namesOf, usageTenant } from "./usage-name.ts"

const changed = "its bytes are not those that were written"
const everyTenant = ["usage", "usage_name", "usage_day", "usage_forgotten"].map((table) => `SELECT tenant FROM stele.${table}`).join(" UNION ")
/** Records that are read at once. */
const pageRows = 2_000

async function* recordsOf(connection: Connection, tenant: Uint8Array): AsyncGenerator<Row> {
  for (let after: Uint8Array = none; ;) {
    const rows = await connection.one("SELECT id, payload, sum FROM stele.usage WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3", [
      tenant,
      after,
      BigInt(pageRows),
    ])
    yield* rows
    if (rows.length < pageRows) return
    after = rows.at(-1)?.["id"] as Uint8Array
  }
}

async function checkTenant(connection: Connection, tenant: Uint8Array, add: (part: Total) => void): Promise<ReadonlyArray<Finding>> {
  const findings: Array<Finding> = []
  const text = usageTenant(tenant)
  const find = (table: string, rest: string, detail: string): void => void findings.push({ table, key: `${text} ${rest}`.trimEnd(), detail })
  const [names, days, forgotten] = await connection.all([
    namesOf(tenant),
    { sql: "SELECT day, plugin, payload, sum FROM stele.usage_day WHERE tenant = $1", parameters: [tenant] },
    { sql: "SELECT id, sum FROM stele.usage_forgotten WHERE tenant = $1", parameters: [tenant] },
  ])
  const oks = new Set<number>()
  for (const { id, name, sum } of (names?.rows ?? []).map(foundName)) {
    if (sumOfName(tenant, name, id) !== sum) find("usage_name", String(id), changed)
    if (Buffer.compare(name, Buffer.from("ok")) === 0) oks.add(id)
    add({ keys: 0, bytes: 0, sums: sum })
  }
  const [newest] = forgotten?.rows ?? []
  if (newest !== undefined) {
    if (sumOfRow(tenant, newest["id"] as Uint8Array, none) !== Number(newest["sum"])) find("usage_forgotten", "", changed)
    add({ keys: 0, bytes: 0, sums: Number(newest["sum"]) })
  }
  const made = new Map<string, { readonly day: number; readonly rollUp: RollUp }>()
  for await (const row of recordsOf(connection, tenant)) {
    const [id, payload, sum] = [row["id"] as Uint8Array, row["payload"] as Uint8Array, Number(row["sum"])]
    add({ keys: 1, bytes: bytesOfRow(tenant, payload), sums: sum })
    if (sumOfRow(tenant, id, payload) !== sum) {
      find("usage", hexOf(id), changed)
      continue
    }
    const content = unpackContent(new Unpacker(payload))
    const key = `${dayOf(id)} ${content.plugin}`
    let found = made.get(key)
    if (found === undefined) made.set(key, (found = { day: dayOf(id), rollUp: new RollUp() }))
    found.rollUp.add(content, oks.has(content.outcome))
  }
  const packer = new Packer()
  for (const row of days?.rows ?? []) {
    const [day, plugin, payload, sum] = [Number(row["day"]), Number(row["plugin"]), row["payload"] as Uint8Array, Number(row["sum"])]
    add({ keys: 0, bytes: 0, sums: sum })
    const found = made.get(`${day} ${plugin}`)
    made.delete(`${day} ${plugin}`)
    const isWhole = newest === undefined || day > dayOf(newest["id"] as Uint8Array)
    if (sumOfDay(tenant, day, plugin, payload) !== sum) find("usage_day", dayText(day), changed)
    else if (isWhole && (found === undefined || Buffer.compare(found.rollUp.pack(packer), payload) !== 0))
      find("usage_day", dayText(day), "its records do not add up to it")
  }
  for (const { day } of made.values()) find("usage_day", dayText(day), "there are records of a day that has no sums")
  return findings
}

export async function checkUsage(connection: Connection, add: (name: string, tenant: Uint8Array, part: Total) => void): Promise<ReadonlyArray<Finding>> {
  const findings: Array<Finding> = []
  for (const row of await connection.one(everyTenant)) {
    const tenant = row["tenant"] as Uint8Array
    findings.push(...(await checkTenant(connection, tenant, (part) => add("usage", tenant, part))))
  }
  return findings
}
