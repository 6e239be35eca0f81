/** Usage: a row for each record, and for each tenant, day and plugin one with what its records add up to, written with them. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { UsageColumns, UsageOperation, UsagePart, UsageQuestion, UsageTenant } from "../../port/usage.ts"
import { rowsMax } from "../row.ts"
import { entryOf, rangeOf } from "../usage.ts"
import { rowBytes, UsageKinds, UsageRows } from "../usage-kinds.ts"
import { sumOfRow } from "../usage-row.ts"
import type { Row } from "./connection.ts"
import type { Query, Table } from "./table.ts"
import { hexOf, nameOfTenant, tenantName } from "./tenant.ts"
import { checkUsage } from "./usage-check.ts"
import { UsageDraft } from "./usage-draft.ts"
import { namesOf, reading, usageTenant } from "./usage-name.ts"
import { daysOf, UsageSumming } from "./usage-sums.ts"
import { eraseUsage, exportUsage } from "./usage-tenant.ts"

const name = "usage"

/** Who has records: for the role that sees all tenants. */
export const usageTenants: Query<ReadonlyArray<UsageTenant>> = {
  statements: [
    {
      sql: `SELECT tenant, keys, bytes, (SELECT id FROM stele.usage WHERE usage.tenant = total.tenant ORDER BY id LIMIT 1) AS oldest FROM stele.total WHERE name = $1 AND keys > 0 ORDER BY ${tenantName}`,
      parameters: [name],
    },
  ],
  answer: (rows) =>
    rows.map((row) => ({
      tenant: nameOfTenant(row["tenant"] as Uint8Array),
      records: Number(row["keys"]),
      bytes: Number(row["bytes"]),
      oldest: (row["oldest"] as Uint8Array | null) ?? undefined,
    })),
}

export const usageTable: Table<UsageOperation, Extract<UsageQuestion, { readonly ask: "usage" | "usageRecords" | "usageSums" | "usageColumns" }>> = {
  name,
  counts: "record",
  operations: ["record", "forget"],
  questions: ["usage", "usageRecords", "usageSums", "usageColumns"],
  bytesMax: ({ usage }) => usage.totalBytesMax,
  grows: (operation) => (operation.op === "record" ? operation.records.length : 0),
  draft: (context, operations) => new UsageDraft(context, operations),
  ask({ store, tenant }, question): Query {
    if (question.ask === "usage")
      return {
        statements: [daysOf([tenant], question), namesOf(tenant)],
        answer(days = [], names = []) {
          const summing = new UsageSumming(store, question)
          summing.add(tenant, days, names)
          return summing.answer()
        },
      }
    // No record has the id that a range begins with: it is of no version.
    const [from, to] = rangeOf(question.fromMs, question.toMs, question.after)
    const countMax = rowsMax(question.countMax)
    const statements = [
      {
        sql: "SELECT id, payload, sum FROM stele.usage WHERE tenant = $1 AND id > $2 AND id < $3 ORDER BY id LIMIT $4",
        parameters: [tenant, from, to, BigInt(countMax)],
      },
      namesOf(tenant),
    ]
    const corrupt = (id: Uint8Array): never => {
      throw new StorageError("Corrupt", { store, table: name, key: `${usageTenant(tenant)} ${hexOf(id)}` })
    }
    const lastOf = (rows: ReadonlyArray<Row>): Uint8Array | undefined => (rows.length < countMax ? undefined : (rows.at(-1)?.["id"] as Uint8Array | undefined))
    const addTo = (into: UsageKinds | UsageRows, rows: ReadonlyArray<Row>): void => {
      for (const row of rows) {
        const [id, payload] = [row["id"] as Uint8Array, row["payload"] as Uint8Array]
        if (into.add(rowBytes(id, payload, Number(row["sum"])), 1) !== undefined) corrupt(id)
      }
    }
    if (question.ask === "usageSums")
      return {
        statements,
        answer(rows = [], names = []): UsagePart {
          const kinds = new UsageKinds(tenant)
          addTo(kinds, rows)
          return kinds.part(reading(store, tenant, names), lastOf(rows))
        },
      }
    if (question.ask === "usageColumns")
      return {
        statements,
        answer(rows = [], names = []): UsageColumns {
          const found = new UsageRows(tenant)
          addTo(found, rows)
          return found.columns(reading(store, tenant, names), lastOf(rows))
        },
      }
    return {
      statements,
      answer(rows = [], names = []) {
        const [text, nameOf] = [usageTenant(tenant), reading(store, tenant, names)]
        return rows.map((row) => {
          const [id, payload] = [row["id"] as Uint8Array, row["payload"] as Uint8Array]
          if (sumOfRow(tenant, id, payload) !== Number(row["sum"])) corrupt(id)
          return entryOf(text, id, payload, nameOf)
        })
      },
    }
  },
  export: exportUsage,
  erase: eraseUsage,
  check: checkUsage,
}
