/**
 * A transaction that stays open while its owner decides, with the tenant's lock: others of the tenant wait, for as long as it may last. The
 * owner's steps come one after the other; each statement has a savepoint, so one that is refused leaves the rest as it was.
 */
import { SteleError } from "../../../schemas/error/family.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { SqlLimits, SqlResults, SqlStatement } from "../../port/sql.ts"
import { changeOf } from "../sql-statement.ts"
import type { Connection } from "./connection.ts"
import { detailOf } from "./failure.ts"
import type { Group } from "./group.ts"
import { runSql, unlocked } from "./sql.ts"

type Wanted = SqlStatement | "commit" | "rollback"

interface Step {
  readonly wanted: Wanted
  resolve(answer: unknown): void
  reject(error: Error): void
}

/** What a transaction works on. */
export interface Ground {
  readonly connection: Connection
  readonly group: Group
  readonly store: string
  readonly limits: SqlLimits
  readonly tenant: Uint8Array
}

/** Savepoints of Effect's nested transactions. */
const nested = /^(?:SAVEPOINT|ROLLBACK TO SAVEPOINT|RELEASE SAVEPOINT) effect_sql_[0-9]+$/

export class Hold {
  readonly #store: string
  readonly #msMax: number
  readonly #steps: Array<Step> = []
  #wake: (() => void) | undefined
  /** Why it has ended. */
  #ended: StorageError | undefined

  constructor(store: string, msMax: number) {
    this.#store = store
    this.#msMax = msMax
  }

  /** The owner's next step. @throws StorageError `Preempted` */
  step(wanted: Wanted): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return wanted === "rollback" ? resolve(undefined) : reject(this.#ended)
      this.#steps.push({ wanted, resolve, reject })
      this.#wake?.()
    })
  }

  /** Ends it without its owner, who hears of it at the next step. */
  end(detail: string): void {
    this.#ended ??= new StorageError("Preempted", { store: this.#store, detail })
    for (const { wanted, resolve, reject } of this.#steps.splice(0)) {
      if (wanted === "rollback") resolve(undefined)
      else reject(this.#ended)
    }
    this.#wake?.()
  }

  async #next(): Promise<Step | undefined> {
    if (this.#steps.length === 0 && this.#ended === undefined) await new Promise<void>((wake) => (this.#wake = wake))
    this.#wake = undefined
    return this.#steps.shift()
  }

  /** Carries out the owner's steps; answers with the one that asks for the commit, or undefined when nothing is to be kept. */
  async carryOut(ground: Ground): Promise<Step | undefined> {
    const untilMs = performance.now() + this.#msMax
    const timer = setTimeout(() => this.end(`it has been open for ${this.#msMax} ms`), this.#msMax)
    try {
      for (;;) {
        const step = await this.#next()
        if (step === undefined) return undefined
        const { wanted, resolve, reject } = step
        if (wanted === "commit") return step
        if (wanted === "rollback") {
          this.end("it has ended")
          resolve(undefined)
          return undefined
        }
        try {
          resolve(await run(ground, wanted, untilMs - performance.now()))
        } catch (error) {
          if (error instanceof SteleError && !(error instanceof StorageError && error.reason._tag === "Preempted")) {
            reject(error)
            continue
          }
          this.end(error instanceof StorageError && error.reason._tag === "Preempted" ? error.reason.detail : detailOf(error))
          reject(this.#ended as StorageError)
          return undefined
        }
      }
    } finally {
      clearTimeout(timer)
    }
  }

  /** After its commit, or a failure of it. */
  close(): void {
    this.end("it has ended")
  }
}

async function run({ connection, group, ...asker }: Ground, statement: SqlStatement, leftMs: number): Promise<SqlResults["sql"]> {
  if (nested.test(statement.text)) {
    await connection.one(statement.text)
    return { rows: [], changes: 0 }
  }
  await connection.one("SAVEPOINT stele_step")
  try {
    const [result] = await runSql(asker, connection, [statement], leftMs)
    await connection.one("RELEASE SAVEPOINT stele_step")
    const before = group.revision
    group.change(...changeOf(statement))
    group.end(true, before)
    return result as SqlResults["sql"]
  } catch (error) {
    if (error instanceof SteleError) await connection.all([{ sql: "ROLLBACK TO SAVEPOINT stele_step" }, { sql: "RELEASE SAVEPOINT stele_step" }, unlocked])
    throw error
  }
}
