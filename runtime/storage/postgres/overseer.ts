/** What concerns all tenants, as the role that sees them: garbage, backup, moves, checks. Made for services, out of reach of guests. */
import type { Answers, Finding, Question } from "../../port/store.ts"
import type { Fence } from "../../port/fence.ts"
import { type StoreLimits, storeLimits } from "../../port/limits.ts"
import { rowsMax } from "../row.ts"
import { askOfAll } from "./blob.ts"
import type { ConnectionSettings } from "./connection.ts"
import { storageError } from "./failure.ts"
import { Pool } from "./pool.ts"
import { depthOf } from "./queue.ts"
import { checkAll, infoOf, type PostgresInfo, readerSettings, snapshot } from "./reader.ts"
import { checkWorker } from "./session.ts"
import { askSql, servicesWithRows } from "./sql.ts"
import { type Query, tables } from "./table.ts"
import { usageTenants } from "./usage.ts"
import { sumsOf } from "./usage-sums.ts"
import { fenceKey, nameOfTenant, tenantName } from "./tenant.ts"

type OfAll = Extract<
  Question,
  { readonly ask: "linked" | "references" | "tenants" | "totals" | "fence" | "usage" | "usageTenants" | "queue" | "sql" | "services" }
>
const ofAll: ReadonlyArray<Question["ask"]> = ["linked", "references", "tenants", "totals", "fence", "usageTenants", "services"]
export const isOfAll = (question: Question): question is OfAll =>
  ofAll.includes(question.ask) ||
  (question.ask === "sql" && question.isOfAll === true) ||
  ((question.ask === "usage" || question.ask === "queue") && question.tenant === undefined)

function queryOf(store: string, question: Exclude<OfAll, { readonly ask: "usage" | "sql" | "services" }>): Query {
  if (question.ask === "usageTenants") return usageTenants
  if (question.ask === "queue") return depthOf(question.key, undefined)
  if (question.ask === "fence")
    return {
      statements: [{ sql: "SELECT fence_to, fence_state FROM stele.format WHERE fence_to IS NOT NULL" }],
      answer: ([row]) => (row === undefined ? undefined : ({ to: row["fence_to"], state: row["fence_state"] } as Fence)),
    }
  if (question.ask === "totals")
    return {
      statements: [
        {
          sql: "SELECT tenant, name, keys, bytes, sums FROM stele.total WHERE name = ANY($1::text[]) AND (keys <> 0 OR bytes <> 0 OR sums <> 0)",
          parameters: [tables.map(({ name }) => name)],
        },
      ],
      answer: (rows) =>
        rows.map(({ tenant, name, keys, bytes, sums }) => ({
          tenant: nameOfTenant(tenant as Uint8Array),
          table: name as string,
          keys: Number(keys),
          bytes: Number(bytes),
          sums: Number(sums),
        })),
    }
  if (question.ask !== "tenants") return askOfAll(store, question)
  const after = question.after === undefined ? [] : [question.after]
  return {
    statements: [
      {
        sql: `SELECT tenant FROM stele.total WHERE (keys > 0 OR bytes > 0 OR sums <> 0)${after.length === 0 ? "" : ` AND ${tenantName} > $2`} GROUP BY tenant ORDER BY ${tenantName} LIMIT $1`,
        parameters: [BigInt(rowsMax(question.countMax)), ...after],
      },
    ],
    answer: (rows) => rows.map((row) => nameOfTenant(row["tenant"] as Uint8Array)),
  }
}

export class Overseer {
  readonly #pool: Pick<Pool, "address" | "use" | "close">
  readonly #limits: StoreLimits

  /** `pool` lends sessions that act as `workerRole`. */
  constructor(pool: Pick<Pool, "address" | "use" | "close">, limits: StoreLimits = storeLimits) {
    this.#pool = pool
    this.#limits = limits
  }

  static of(settings: ConnectionSettings, limits?: StoreLimits): Overseer {
    return new Overseer(new Pool(settings, 1, (connection) => checkWorker(connection, settings.address)), limits)
  }

  /** Over the database of an address, as the role that it names. */
  static at(address: string): Overseer {
    return Overseer.of(readerSettings(address))
  }

  /** What concerns all tenants. @throws StorageError */
  async ask<Q extends OfAll>(question: Q): Promise<Answers[Q["ask"]]> {
    return (await this.#answer(question)) as Answers[Q["ask"]]
  }

  async #answer(question: OfAll): Promise<unknown> {
    const { address } = this.#pool
    if (question.ask === "usage") return await this.#pool.use((connection) => snapshot(address, connection, () => sumsOf(address.name, connection, question)))
    try {
      if (question.ask === "sql") return await this.#pool.use((connection) => askSql({ store: address.name, limits: this.#limits.sql }, connection, question))
      if (question.ask === "services") return await this.#pool.use(servicesWithRows)
      const query = queryOf(address.name, question)
      return query.answer(...(await this.#pool.use((connection) => connection.all(query.statements))).map(({ rows }) => rows))
    } catch (error) {
      throw storageError(address, error)
    }
  }

  /** Waits for the groups that are under way; those that come later are refused. */
  async fence(fence: Fence | undefined): Promise<void> {
    try {
      await this.#pool.use((connection) =>
        connection.all([
          { sql: "BEGIN" },
          { sql: "SELECT pg_advisory_xact_lock($1)", parameters: [fenceKey] },
          { sql: "UPDATE stele.format SET fence_to = $1, fence_state = $2", parameters: [fence?.to ?? null, fence?.state ?? null] },
          { sql: "COMMIT" },
        ]),
      )
    } catch (error) {
      throw storageError(this.#pool.address, error)
    }
  }

  /** As the database was named. */
  get name(): string {
    return this.#pool.address.name
  }

  info(): Promise<PostgresInfo> {
    const { address } = this.#pool
    return this.#pool.use((connection) => snapshot(address, connection, () => infoOf(address.name, connection)))
  }

  check(): Promise<ReadonlyArray<Finding>> {
    return this.#pool.use((connection) => snapshot(this.#pool.address, connection, checkAll))
  }

  close(): Promise<void> {
    return this.#pool.close()
  }
}
