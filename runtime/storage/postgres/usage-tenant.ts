/**
 * A tenant's usage as a whole: exported and erased. First how far retention went, then the roll-ups, then the records: names stand
 * in each as text, since every store numbers them in its own way.
 */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { TenantRecord } from "../../port/tenant.ts"
import { dayText } from "../../port/usage.ts"
import { rowsMax } from "../row.ts"
import { entryOf, packUsage, RollUp } from "../usage.ts"
import { bytesOfRow, kinds, none, orderOfDay, orderOfForgotten, orderOfRecord, sumOfDay, sumOfRow } from "../usage-row.ts"
import type { Connection, Row, Statement } from "./connection.ts"
import { cut, eraseRows } from "./rows.ts"
import type { Context, Erased, Page, Query } from "./table.ts"
import { hexOf } from "./tenant.ts"
import { namesOf, reading, usageTenant } from "./usage-name.ts"

const table = "usage"

/** Of each kind that is not behind the page: one more than asked for, so that it is known whether there is more. */
export function exportUsage({ store, tenant }: Context, after: Uint8Array | undefined, countMax: number): Query<Page> {
  const [kind = -1] = after ?? []
  const count = BigInt(rowsMax(countMax) + 1)
  const about = after?.subarray(1) ?? none
  const pages: Array<{ readonly statement: Statement; readonly recordOf: (row: Row, nameOf: (id: number) => string) => TenantRecord }> = []
  const text = usageTenant(tenant)
  const corrupt = (what: string, key: string): StorageError => new StorageError("Corrupt", { store, table: what, key })
  if (after === undefined || Buffer.compare(after, orderOfForgotten) < 0)
    pages.push({
      statement: { sql: "SELECT id, sum FROM stele.usage_forgotten WHERE tenant = $1", parameters: [tenant] },
      recordOf(row) {
        const id = row["id"] as Uint8Array
        if (sumOfRow(tenant, id, none) !== Number(row["sum"])) throw corrupt("usage_forgotten", text)
        return { order: orderOfForgotten, fields: { id } }
      },
    })
  if (kind <= kinds.day) {
    const isWithin = kind === kinds.day && about.length >= 4
    // A roll-up whose name is gone is on every page, for its reader to be told.
    const beyond = isWithin ? " AND (n.name IS NULL OR (d.day, n.name) > ($3::bigint, $4::bytea))" : ""
    pages.push({
      statement: {
        sql: `SELECT d.day, d.plugin, d.payload, d.sum, n.name FROM stele.usage_day d LEFT JOIN stele.usage_name n ON n.tenant = d.tenant AND n.id = d.plugin WHERE d.tenant = $1${isWithin ? " AND d.day >= $3::bigint" : ""}${beyond} ORDER BY d.day, n.name NULLS FIRST LIMIT $2`,
        parameters: [tenant, count, ...(isWithin ? [BigInt(Buffer.from(about).readUInt32BE()), about.subarray(4)] : [])],
      },
      recordOf(row, nameOf) {
        const [day, plugin, payload] = [Number(row["day"]), Number(row["plugin"]), row["payload"] as Uint8Array]
        if (sumOfDay(tenant, day, plugin, payload) !== Number(row["sum"])) throw corrupt("usage_day", `${text} ${dayText(day)}`)
        // Verifies it, too.
        nameOf(plugin)
        const rollUp = new RollUp()
        rollUp.addRow(payload)
        return { order: orderOfDay(day, row["name"] as Uint8Array), fields: { sums: rollUp.packNamed(nameOf) } }
      },
    })
  }
  pages.push({
    statement: {
      sql: "SELECT id, payload, sum FROM stele.usage WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3",
      parameters: [tenant, kind === kinds.record ? about : none, count],
    },
    recordOf(row, nameOf) {
      const [id, payload] = [row["id"] as Uint8Array, row["payload"] as Uint8Array]
      if (sumOfRow(tenant, id, payload) !== Number(row["sum"])) throw corrupt(table, `${text} ${hexOf(id)}`)
      return { order: orderOfRecord(id), fields: { record: packUsage([entryOf(text, id, payload, nameOf)]) } }
    },
  })
  return {
    statements: [namesOf(tenant), ...pages.map(({ statement }) => statement)],
    answer(names = [], ...found) {
      const nameOf = reading(store, tenant, names)
      const kindOf = new Map(found.flatMap((rows, i) => rows.map((row) => [row, pages[i]] as const)))
      return cut(found.flat(), countMax, (row) => (kindOf.get(row) as (typeof pages)[number]).recordOf(row, nameOf))
    },
  }
}

/** Records first and as retention does it: until nothing is left, no roll-up claims records that are gone. */
export async function eraseUsage({ tenant }: Context, connection: Connection, countMax: number): Promise<Erased> {
  const [gone = {}] = await connection.one(
    "WITH gone AS (DELETE FROM stele.usage WHERE tenant = $1 AND id IN (SELECT id FROM stele.usage WHERE tenant = $1 ORDER BY id LIMIT $2) RETURNING id, length(payload) AS bytes, sum) SELECT count(*) AS count, coalesce(sum(bytes), 0)::bigint AS bytes, coalesce(bit_xor(sum), 0) AS sums, (SELECT id FROM gone ORDER BY id DESC LIMIT 1) AS last FROM gone",
    [tenant, BigInt(countMax)],
  )
  let count = Number(gone["count"])
  const bytes = Number(gone["bytes"]) + count * bytesOfRow(tenant, none)
  let sums = Number(gone["sums"])
  if (count > 0) {
    const last = gone["last"] as Uint8Array
    const [old] = await connection.one("SELECT sum FROM stele.usage_forgotten WHERE tenant = $1", [tenant])
    const sum = sumOfRow(tenant, last, none)
    await connection.one(
      "INSERT INTO stele.usage_forgotten (tenant, id, sum) VALUES ($1, $2, $3::bigint) ON CONFLICT (tenant) DO UPDATE SET id = excluded.id, sum = excluded.sum",
      [tenant, last, BigInt(sum)],
    )
    sums ^= sum ^ Number(old?.["sum"] ?? 0)
  }
  const records = count
  for (const rest of ["usage_day", "usage_name", "usage_forgotten"]) {
    if (count >= countMax) break
    const erased = await eraseRows(connection, rest, tenant, "0", 0, countMax - count)
    count += erased.count
    sums ^= erased.part.sums
  }
  return { count, parts: [[table, { keys: -records, bytes: -bytes, sums: sums >>> 0 }]] }
}
