/** Sums of usage from the roll-ups: of one tenant, or of all for the role that sees them. */
import { StorageError } from "../../../schemas/error/storage.ts"
import { dayText, type UsageGroup, type UsageQuestion } from "../../port/usage.ts"
import { rowsMax } from "../row.ts"
import { RollUp } from "../usage.ts"
import { sumOfDay } from "../usage-row.ts"
import type { Answer, Connection, Row, Statement } from "./connection.ts"
import { hexOf, tenantId } from "./tenant.ts"
import { reading, usageTenant } from "./usage-name.ts"

export type SumsQuestion = Extract<UsageQuestion, { readonly ask: "usage" }>

/** Tenants that are read at once: memory holds their roll-ups. */
const tenantsMax = 16

/** A tenant numbers its names itself: grants of several have numbers that are given here. */
export class UsageSumming {
  readonly #store: string
  readonly #question: SumsQuestion
  readonly #groups = new Map<string | number, RollUp>()
  readonly #grants = new Map<string, number>()
  readonly #names: Array<string> = []

  constructor(store: string, question: SumsQuestion) {
    this.#store = store
    this.#question = question
  }

  #numberOf(grant: string): number {
    let number = this.#grants.get(grant)
    if (number === undefined) this.#grants.set(grant, (number = this.#names.push(grant) - 1))
    return number
  }

  /** @throws StorageError `Corrupt` */
  add(tenant: Uint8Array, days: ReadonlyArray<Row>, names: ReadonlyArray<Row>): void {
    const { by, plugin } = this.#question
    const text = usageTenant(tenant)
    const nameOf = reading(this.#store, tenant, names)
    for (const row of days) {
      const [day, number, payload] = [Number(row["day"]), Number(row["plugin"]), row["payload"] as Uint8Array]
      if (sumOfDay(tenant, day, number, payload) !== Number(row["sum"]))
        throw new StorageError("Corrupt", { store: this.#store, table: "usage_day", key: `${text} ${dayText(day)}` })
      if (plugin !== undefined && nameOf(number) !== plugin) continue
      const key = by === "tenant" ? text : by === "plugin" ? nameOf(number) : day
      let rollUp = this.#groups.get(key)
      if (rollUp === undefined) this.#groups.set(key, (rollUp = new RollUp()))
      rollUp.addRow(payload, (grant) => this.#numberOf(nameOf(grant)))
    }
  }

  answer(): ReadonlyArray<UsageGroup> {
    return [...this.#groups]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, rollUp]) => ({ key: typeof key === "number" ? dayText(key) : key, ...rollUp.sums((grant) => this.#names[grant] as string) }))
  }
}

/** Roll-ups of tenants within the question's days. */
export const daysOf = (tenants: ReadonlyArray<Uint8Array>, { fromDay, toDay }: SumsQuestion): Statement => ({
  sql: "SELECT tenant, day, plugin, payload, sum FROM stele.usage_day WHERE tenant = ANY($1::bytea[]) AND day BETWEEN $2::bigint AND $3::bigint",
  parameters: [tenants, BigInt(rowsMax(fromDay ?? 0)), BigInt(rowsMax(toDay ?? Number.MAX_SAFE_INTEGER))],
})

/** Each tenant is found by one step in the table's key. */
const everyTenant = `WITH RECURSIVE each(tenant) AS (
    (SELECT tenant FROM stele.usage_day ORDER BY tenant LIMIT 1)
    UNION ALL SELECT (SELECT next.tenant FROM stele.usage_day next WHERE next.tenant > each.tenant ORDER BY next.tenant LIMIT 1) FROM each WHERE each.tenant IS NOT NULL
  ) SELECT tenant FROM each WHERE tenant IS NOT NULL`

/** The sums of one tenant or all, some tenants at a time: in one snapshot, which is the caller's. */
export async function sumsOf(store: string, connection: Connection, question: SumsQuestion): Promise<ReadonlyArray<UsageGroup>> {
  const summing = new UsageSumming(store, question)
  const tenants =
    question.tenant === undefined ? (await connection.one(everyTenant)).map((row) => row["tenant"] as Uint8Array) : [tenantId(store, question.tenant)]
  for (let from = 0; from < tenants.length; from += tenantsMax) {
    const some = tenants.slice(from, from + tenantsMax)
    const [days, names] = await connection.all([
      daysOf(some, question),
      { sql: "SELECT tenant, id, name, sum FROM stele.usage_name WHERE tenant = ANY($1::bytea[])", parameters: [some] },
    ])
    const byTenant = (answer: Answer | undefined): Map<string, Array<Row>> => Map.groupBy(answer?.rows ?? [], (row) => hexOf(row["tenant"] as Uint8Array))
    const [daysBy, namesBy] = [byTenant(days), byTenant(names)]
    for (const tenant of some) summing.add(tenant, daysBy.get(hexOf(tenant)) ?? [], namesBy.get(hexOf(tenant)) ?? [])
  }
  return summing.answer()
}
