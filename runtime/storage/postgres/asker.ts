/** Reads: questions of one tenant that are asked at the same moment share a transaction that is bound to it, and one way to the server. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { StoreLimits } from "../../port/limits.ts"
import type { SqlQuestion } from "../../port/sql.ts"
import type { Question } from "../../port/store.ts"
import type { TenantPage } from "../../port/tenant.ts"
import { newest } from "./change.ts"
import { type Answer, ServerError } from "./connection.ts"
import { isLost, storageError } from "./failure.ts"
import { type Pool, pause } from "./pool.ts"
import { workerRole } from "./schema.ts"
import { isOfAll } from "./overseer.ts"
import { askSql } from "./sql.ts"
import { type Context, type Query, isServed, type Table, tableAsked, tableNamed, tables } from "./table.ts"
import { bind, hexOf, tenantId } from "./tenant.ts"

interface Waiting {
  readonly query: Query
  resolve(answer: unknown): void
  reject(error: Error): void
}

interface Asked {
  readonly tenant: Uint8Array
  readonly waiting: Array<Waiting>
}

/** Questions of one transaction: whoever asked first waits for the last. */
const questionsMax = 64
/** How often is asked whose session was lost. */
const attemptsMax = 4

export class Asker {
  readonly #pool: Pool
  readonly #limits: StoreLimits
  readonly #asked = new Map<string, Asked>()
  #isClosed = false

  constructor(pool: Pool, limits: StoreLimits) {
    this.#pool = pool
    this.#limits = limits
  }

  ask(question: Question): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const store = this.#pool.address.name
      if (this.#isClosed) throw new StorageError("Closed", { store })
      if (question.ask === "tables") return resolve(tables.map(({ name }) => name))
      if (question.ask === "sql" && question.isOfAll !== true) return resolve(this.#sql(question))
      if (isOfAll(question))
        throw new StorageError("Role", {
          store,
          role: this.#pool.address.user,
          detail: `it sees one tenant at a time, and "${question.ask}" concerns all`,
          wanted: workerRole,
        })
      if (!isServed(question)) throw new StorageError("Unsupported", { store, asked: (question as Question).ask })
      const tenant = tenantId(store, question.tenant)
      const context = { store, limits: this.#limits, tenant }
      const query = question.ask === "export" ? exportOf(context, question) : (tableAsked(question) as Table).ask(context, question)
      const id = hexOf(tenant)
      const asked = this.#asked.get(id)
      if (asked !== undefined) return void asked.waiting.push({ query, resolve, reject })
      this.#asked.set(id, { tenant: new Uint8Array(tenant), waiting: [{ query, resolve, reject }] })
      queueMicrotask(() => {
        const { tenant, waiting } = this.#asked.get(id) as Asked
        this.#asked.delete(id)
        for (let from = 0; from < waiting.length; from += questionsMax) void this.#answer(tenant, waiting.slice(from, from + questionsMax))
      })
    })
  }

  /** In a transaction of its own: a statement that fails would end those of others too. */
  async #sql(question: SqlQuestion): Promise<unknown> {
    const { address } = this.#pool
    const asker = { store: address.name, limits: this.#limits.sql, tenant: tenantId(address.name, question.tenant ?? new Uint8Array(0)) }
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#pool.use((connection) => askSql(asker, connection, question))
      } catch (error) {
        if (!isLost(error) || attempt >= attemptsMax) throw storageError(address, error)
        await pause(attempt)
      }
    }
  }

  async #answer(tenant: Uint8Array, waiting: ReadonlyArray<Waiting>): Promise<void> {
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          await this.#attempt(tenant, waiting)
          return
        } catch (error) {
          if (!isLost(error) || attempt >= attemptsMax) throw error
          await pause(attempt)
        }
      }
    } catch (error) {
      for (const { reject } of waiting) reject(storageError(this.#pool.address, error))
    }
  }

  async #attempt(tenant: Uint8Array, waiting: ReadonlyArray<Waiting>): Promise<void> {
    const [first] = waiting
    const alone = waiting.length === 1 ? first?.query.alone : undefined
    if (first !== undefined && alone !== undefined) {
      const [answer] = await this.#pool.use((connection) => connection.all([alone]))
      first.resolve(first.query.answer((answer as Answer).rows))
      return
    }
    const answers = await this.#pool.use((connection) =>
      connection.run([
        { sql: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" },
        bind(tenant),
        ...waiting.flatMap(({ query }) => query.statements),
        { sql: "COMMIT" },
      ]),
    )
    for (const answer of answers) if (answer instanceof ServerError) throw answer
    let at = 2
    for (const { query, resolve, reject } of waiting) {
      const rows = answers.slice(at, (at += query.statements.length)).map((answer) => (answer as Answer).rows)
      try {
        resolve(query.answer(...rows))
      } catch (error) {
        reject(error as Error)
      }
    }
  }

  close(): void {
    this.#isClosed = true
  }
}

/** A page of a tenant's records, and the revision that it belongs to. */
function exportOf(context: Context, { table, after, countMax, headsOnly = false }: Extract<Question, { readonly ask: "export" }>): Query<TenantPage> {
  const query = tableNamed(context.store, table).export(context, after, countMax, headsOnly)
  return {
    statements: [newest(context.tenant), ...query.statements],
    answer: ([head] = [], ...rows) => ({ ...query.answer(...rows), revision: Number(head?.["revision"] ?? 0) }),
  }
}
