/** Names in usage records (plugins, exports, outcomes, grants), each written once for a tenant and numbered by it. */
import { StorageError } from "../../../schemas/error/storage.ts"
import { tenantText } from "../usage.ts"
import { sumOfName } from "../usage-row.ts"
import type { Row, Statement } from "./connection.ts"
import { nameOfTenant } from "./tenant.ts"

const { hash } = process.getBuiltinModule("node:crypto")
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

/** A tenant's name in answers and reports of usage. */
export const usageTenant = (tenant: Uint8Array): string => tenantText(nameOfTenant(tenant))

/** By this names are found: they are longer than what an index takes. */
export const digestOf = (name: Uint8Array): Uint8Array => hash("sha256", name, "buffer")

export interface Name {
  readonly id: number
  readonly name: Uint8Array
  readonly sum: number
}

export const foundName = (row: Row): Name => ({ id: Number(row["id"]), name: row["name"] as Uint8Array, sum: Number(row["sum"]) })

export const namesOf = (tenant: Uint8Array): Statement => ({ sql: "SELECT id, name, sum FROM stele.usage_name WHERE tenant = $1", parameters: [tenant] })

/** Names by their numbers: each is held against its sum when it is asked for. */
export function reading(store: string, tenant: Uint8Array, rows: ReadonlyArray<Row>): (id: number) => string {
  const found = new Map(rows.map((row) => [Number(row["id"]), row]))
  const known = new Map<number, string>()
  return (id) => {
    let text = known.get(id)
    if (text === undefined) {
      const row = found.get(id)
      if (row === undefined || sumOfName(tenant, row["name"] as Uint8Array, id) !== Number(row["sum"]))
        throw new StorageError("Corrupt", { store, table: "usage_name", key: `${usageTenant(tenant)} ${id}` })
      known.set(id, (text = decoder.decode(row["name"] as Uint8Array)))
    }
    return text
  }
}
