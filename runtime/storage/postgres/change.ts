/** Which keys of a tenant changed, by revision, for those who watch. What is not kept any more is below a number in the tenant's own row. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Change, Changes } from "../../port/key-value.ts"
import { textOf } from "../../port/place.ts"
import type { Finding } from "../../port/store.ts"
import { checkWhole } from "../operation.ts"
import { after as above, rowsMax, sumOf } from "../row.ts"
import type { Answer, Connection, Row, Statement } from "./connection.ts"
import type { Group, Total } from "./group.ts"
import { eraseRows, rowsOf } from "./rows.ts"
import type { Context, Erased, Load, Query } from "./table.ts"

/** Also of the total. */
export const name = "key_value_change"
/** By the number in a row. */
const kinds = ["set", "delete", "expire"] as const
/** Changes that one step removes at least, where there are as many that are too old. */
const stepMax = 256
/** By how much more than the limit may be kept before a group removes it: removing costs each group that does it more than what it writes. */
const slackOf = (most: number): number => Math.floor(most / 4)

interface Kept {
  readonly revision: number
  readonly key: Uint8Array
  readonly kind: number
  readonly changedUs: number
}

export type ChangeRow = Kept & { readonly sum: number }

const sumOfRow = (tenant: Uint8Array, { revision, key, kind, changedUs }: Kept): number => sumOf({ tenant, key }, Uint8Array.of(kind), revision, changedUs)
const keptOf = (row: Row): Kept => ({
  revision: Number(row["revision"]),
  key: row["key"] as Uint8Array,
  kind: Number(row["kind"]),
  changedUs: Number(row["changed_us"]),
})

export class ChangeDraft {
  readonly load: ReadonlyArray<Statement>
  readonly #context: Context
  readonly #added = new Map<number, ChangeRow>()
  #oldestUs: number | undefined
  /** Changes up to this revision go. */
  #cut = 0
  #isForgetting = false

  constructor(context: Context) {
    this.#context = context
    this.load = [{ sql: "SELECT changed_us FROM stele.key_value_change WHERE tenant = $1 ORDER BY revision LIMIT 1", parameters: [context.tenant] }]
  }

  take([answer]: ReadonlyArray<Answer>): void {
    const [row] = answer?.rows ?? []
    this.#oldestUs = row === undefined ? undefined : Number(row["changed_us"])
  }

  add(group: Group, key: Uint8Array, kind: Change["kind"], revision: number): void {
    const kept = { revision, key, kind: kinds.indexOf(kind), changedUs: group.nowUs }
    const change = { ...kept, sum: sumOfRow(this.#context.tenant, kept) }
    this.#added.set(revision, change)
    group.undo(() => this.#added.delete(revision))
    group.add(name, 1, key.length, change.sum)
  }

  /** Whatever is there up to a revision goes, once the group is decided. */
  forget(group: Group, revision: number): void {
    this.#isForgetting = true
    group.forget(revision)
  }

  #isMuch(group: Group): boolean {
    const most = this.#context.limits.keyValue.tenantChangesMax
    return group.total(name).keys > most + slackOf(most)
  }

  mustSettle(group: Group): boolean {
    return this.#isForgetting || this.#isMuch(group)
  }

  rows(): ReadonlyArray<ChangeRow> {
    return [...this.#added.values()]
  }

  /** Removes what is too old or too much, and what was forgotten. */
  async settle(group: Group, load: Load): Promise<void> {
    const { tenant, limits } = this.#context
    const most = limits.keyValue.tenantChangesMax
    const { keys } = group.total(name)
    const isMuch = this.#isMuch(group)
    const beforeUs = group.nowUs - limits.keyValue.changeAgeMsMax * 1_000
    const isOld = this.#oldestUs !== undefined && this.#oldestUs < beforeUs
    if (!isMuch && !isOld && !this.#isForgetting) return
    const excess = isMuch ? keys - most : 0
    const [answer] = await load([
      {
        sql: "SELECT count(*) AS gone, coalesce(sum(bytes), 0)::bigint AS bytes, coalesce(bit_xor(sum), 0) AS sums, coalesce(max(revision), 0) AS cut FROM (SELECT revision, length(key) AS bytes, sum FROM stele.key_value_change WHERE tenant = $1 AND (revision <= $2::bigint OR changed_us < $3::bigint OR revision <= (SELECT max(revision) FROM (SELECT revision FROM stele.key_value_change WHERE tenant = $1 ORDER BY revision LIMIT $4) AS o)) ORDER BY revision LIMIT $5) AS oldest",
        parameters: [tenant, BigInt(group.forgotten), BigInt(isOld ? beforeUs : 0), BigInt(excess), BigInt(Math.max(excess, 4 * stepMax))],
      },
    ])
    const [row] = answer?.rows ?? []
    let [gone, bytes, sums] = [Number(row?.["gone"]), Number(row?.["bytes"]), Number(row?.["sums"])]
    this.#cut = Number(row?.["cut"])
    for (const change of [...this.#added.values()]) {
      if (change.revision > group.forgotten && gone >= excess) continue
      this.#added.delete(change.revision)
      gone++
      bytes += change.key.length
      sums ^= change.sum
      this.#cut = Math.max(this.#cut, change.revision)
    }
    if (gone === 0) return
    group.add(name, -gone, -bytes, sums)
    group.forget(this.#cut)
    group.keep()
  }

  writes(): ReadonlyArray<Statement> {
    const { tenant } = this.#context
    const added = [...this.#added.values()]
    const statements: Array<Statement> = []
    if (this.#cut > 0)
      statements.push({ sql: "DELETE FROM stele.key_value_change WHERE tenant = $1 AND revision <= $2::bigint", parameters: [tenant, BigInt(this.#cut)] })
    if (added.length > 0)
      statements.push({
        sql: "INSERT INTO stele.key_value_change (tenant, revision, key, kind, changed_us, sum) SELECT $1, * FROM unnest($2::bigint[], $3::bytea[], $4::int[], $5::bigint[], $6::bigint[])",
        parameters: [
          tenant,
          added.map(({ revision }) => BigInt(revision)),
          added.map(({ key }) => key),
          added.map(({ kind }) => kind),
          added.map(({ changedUs }) => BigInt(changedUs)),
          added.map(({ sum }) => BigInt(sum)),
        ],
      })
    return statements
  }
}

/** A tenant's newest revision, and up to which its changes are gone. One that is not there begins above whatever was erased. */
export const newest = (tenant: Uint8Array): Statement => ({
  sql: "SELECT coalesce(revision, floor) AS revision, coalesce(forgotten, 0) AS forgotten FROM stele.format LEFT JOIN stele.tenant ON tenant = $1",
  parameters: [tenant],
})

export function askChanges({ store, tenant }: Context, prefix: Uint8Array, after: number, countMax: number): Query<Changes> {
  checkWhole("after", after, 0)
  const parameters: Array<unknown> = [tenant, BigInt(after), prefix]
  const end = above(prefix)
  const bound = end === undefined ? "" : ` AND key < $${parameters.push(end)}`
  return {
    statements: [
      newest(tenant),
      {
        sql: `SELECT revision, key, kind, changed_us, sum FROM stele.key_value_change WHERE tenant = $1 AND revision > $2::bigint AND key >= $3${bound} ORDER BY revision LIMIT $${parameters.push(BigInt(rowsMax(countMax)))}`,
        parameters,
      },
    ],
    answer([head], rows = []) {
      const [revision, oldest] = [Number(head?.["revision"] ?? 0), Number(head?.["forgotten"] ?? 0)]
      if (after < oldest || after > revision)
        throw new StorageError("Compacted", { store, table: "key_value", key: textOf(prefix), asked: after, oldest, newest: revision })
      const changes = rows.map((row): Change => {
        const kept = keptOf(row)
        const kind = kinds[kept.kind]
        if (kind === undefined || sumOfRow(tenant, kept) !== Number(row["sum"]))
          throw new StorageError("Corrupt", { store, table: name, key: String(kept.revision) })
        return { revision: kept.revision, key: kept.key, kind }
      })
      return { changes, revision: changes.length < rowsMax(countMax) ? revision : (changes.at(-1)?.revision ?? after) }
    },
  }
}

export async function eraseChanges(connection: Connection, tenant: Uint8Array, countMax: number): Promise<Erased> {
  const { count, part } = await eraseRows(connection, name, tenant, "length(key)", 0, countMax)
  return { count, parts: [[name, part]] }
}

export async function checkChanges(connection: Connection, add: (name: string, tenant: Uint8Array, part: Total) => void): Promise<ReadonlyArray<Finding>> {
  const findings: Array<Finding> = []
  for await (const row of rowsOf(connection, "SELECT tenant, revision, key, kind, changed_us, sum FROM stele.key_value_change", ["tenant", "revision"])) {
    const tenant = row["tenant"] as Uint8Array
    const kept = keptOf(row)
    if (sumOfRow(tenant, kept) !== Number(row["sum"]))
      findings.push({ table: name, key: String(kept.revision), detail: "its bytes are not those that were written" })
    add(name, tenant, { keys: 1, bytes: kept.key.length, sums: Number(row["sum"]) })
  }
  return findings
}
