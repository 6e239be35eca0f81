/** Tables of which one names what the other numbers: logs and their entries, topics and their events. */
import { exportBytesMax, type TenantRecord } from "../../port/tenant.ts"
import { rowsMax } from "../row.ts"
import type { Connection, Row } from "./connection.ts"
import type { Total } from "./group.ts"
import type { Context, Page } from "./table.ts"

/** Of an export whose rows are one more than asked for, or fewer for their size, where there is more. */
export function pageOf(rows: ReadonlyArray<Row>, records: ReadonlyArray<TenantRecord>, countMax: number): Page {
  const bytes = rows.reduce((sum, row) => sum + ((row["payload"] as Uint8Array | null)?.length ?? 0), 0)
  return { records: records.slice(0, rowsMax(countMax)), isComplete: rows.length <= rowsMax(countMax) && bytes <= exportBytesMax }
}

interface Numbered {
  readonly name: string
  readonly owner: string
  readonly numbered: string
  readonly reference: string
  readonly number: string
}

/** From the oldest on: what is not empty yet is whole. `change`: what becomes of the owner's row, and what that is in sums. */
export async function eraseNumbered(
  { tenant }: Context,
  connection: Connection,
  countMax: number,
  { name: table, owner, numbered, reference, number }: Numbered,
  change: (
    row: Row,
    first: number,
    gone: Pick<Total, "bytes" | "sums">,
  ) => { readonly set: string; readonly values: ReadonlyArray<unknown>; readonly sums: number; readonly own: number },
): Promise<{ readonly count: number; readonly parts: ReadonlyArray<readonly [string, Total]> }> {
  const parts: Array<readonly [string, Total]> = []
  let count = 0
  while (count < countMax) {
    const [row] = await connection.one(`SELECT * FROM stele.${owner} WHERE tenant = $1 LIMIT 1`, [tenant])
    if (row === undefined) break
    const [id, last] = [row["id"] as bigint, Number(row["last"])]
    const first = Math.min(last + 1, Number(row["first"]) + countMax - count)
    const [gone] = await connection.one(
      `WITH gone AS (DELETE FROM stele.${numbered} WHERE tenant = $1 AND ${reference} = $2 AND ${number} < $3::bigint RETURNING length(payload) AS bytes, sum) SELECT count(*) AS count, coalesce(sum(bytes), 0)::bigint AS bytes, coalesce(bit_xor(sum), 0) AS sums FROM gone`,
      [tenant, id, BigInt(first)],
    )
    const bytes = Number(gone?.["bytes"])
    count += Number(gone?.["count"])
    const { set, values, sums, own } = change(row, first, { bytes, sums: Number(gone?.["sums"]) })
    if (first <= last) {
      parts.push([table, { keys: 0, bytes: -bytes, sums: (Number(gone?.["sums"]) ^ sums) >>> 0 }])
      await connection.one(`UPDATE stele.${owner} SET ${set} WHERE tenant = $1 AND id = $2`, [tenant, id, ...values])
    } else {
      parts.push([table, { keys: -1, bytes: -bytes, sums: (Number(gone?.["sums"]) ^ own) >>> 0 }])
      await connection.one(`DELETE FROM stele.${owner} WHERE tenant = $1 AND id = $2`, [tenant, id])
      count++
    }
  }
  return { count, parts }
}
