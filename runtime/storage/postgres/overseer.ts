/** What concerns all tenants, as the role that sees them: garbage, backup, moves, checks. Made for services, out of reach of guests. */
import type { Finding, Question } from "../../port/store.ts"
import { rowsMax } from "../row.ts"
import { askOfAll } from "./blob.ts"
import type { ConnectionSettings } from "./connection.ts"
import { storageError } from "./failure.ts"
import { Pool } from "./pool.ts"
import { checkAll, snapshot } from "./reader.ts"
import { checkWorker } from "./session.ts"
import type { Query } from "./table.ts"
import { nameOfTenant, tenantName } from "./tenant.ts"

type OfAll = Extract<Question, { readonly ask: "linked" | "references" | "tenants" }>
export const isOfAll = (question: Question): question is OfAll => question.ask === "linked" || question.ask === "references" || question.ask === "tenants"

function queryOf(store: string, question: OfAll): Query {
  if (question.ask !== "tenants") return askOfAll(store, question)
  const after = question.after === undefined ? [] : [question.after]
  return {
    statements: [
      {
        sql: `SELECT tenant FROM stele.total WHERE (keys > 0 OR bytes > 0)${after.length === 0 ? "" : ` AND ${tenantName} > $2`} GROUP BY tenant ORDER BY ${tenantName} LIMIT $1`,
        parameters: [BigInt(rowsMax(question.countMax)), ...after],
      },
    ],
    answer: (rows) => rows.map((row) => nameOfTenant(row["tenant"] as Uint8Array)),
  }
}

export class Overseer {
  readonly #settings: ConnectionSettings
  readonly #pool: Pool

  constructor(settings: ConnectionSettings) {
    this.#settings = settings
    this.#pool = new Pool(settings, 1, (connection) => checkWorker(connection, settings.address))
  }

  async ask(question: OfAll): Promise<unknown> {
    const query = queryOf(this.#settings.address.name, question)
    try {
      return query.answer(...(await this.#pool.use((connection) => connection.all(query.statements))).map(({ rows }) => rows))
    } catch (error) {
      throw storageError(this.#settings.address, error)
    }
  }

  check(): Promise<ReadonlyArray<Finding>> {
    return this.#pool.use((connection) => snapshot(this.#settings.address, connection, checkAll))
  }

  close(): Promise<void> {
    return this.#pool.close()
  }
}
