/**
 * What a table of a store is to its writer and its reader, and which tables there are. A port's rows are one file that
 * says so here; what every table needs (savepoints, revisions, the digest, totals, checks) is done for all of them.
 */
import type { DatabaseSync } from "node:sqlite"
import type { StoreLimits } from "../../port/limits.ts"
import type { Finding, Operation, Question } from "../../port/store.ts"
import type { Rewrite, TenantRecord } from "../../port/tenant.ts"
import type { StoreClock } from "../clock.ts"
import { BlobTable } from "./blob.ts"
import { EventTable } from "./event.ts"
import { FenceRow } from "./fence.ts"
import { KeyValueTable } from "./key-value.ts"
import { LogTable } from "./log.ts"
import { QueueTable } from "./queue.ts"
import { SqlTable } from "./sql.ts"
import { TenantOperations } from "./tenant.ts"
import type { TotalTable } from "./totals.ts"
import { UsageTable } from "./usage.ts"
import type { Group } from "./writer.ts"

export interface Table<O extends Operation, Q extends Question> {
  readonly name: string
  /** What a tenant's quota counts, in the singular. */
  readonly counts: string
  /** What its rows add up to, by tenant. */
  readonly totals: TotalTable
  /** Of rows kept beside those that an export gives. */
  readonly totalsBeside?: TotalTable
  apply(group: Group, operation: O): unknown
  ask(question: Q): unknown
  /** Every row against its sum, every tenant's rows against its totals. */
  check(): ReadonlyArray<Finding>
  /** Removes some of what has ended by now: called in every group, before its batches. */
  sweep?(group: Group): void
  /** A tenant's records after `after`, in order, each held against its sum. Read from until somebody has enough. Heads: see the question. */
  export(tenant: Uint8Array, after: Uint8Array | undefined, headsOnly: boolean): Iterable<TenantRecord>
  /**
   * Puts a record in its place; its revision, if it has one, is below the group's.
   * @throws StorageError `Record`
   */
  import(group: Group, tenant: Uint8Array, record: TenantRecord): void
  /**
   * Other bytes in a field of a record, if it has those of before; true when it had.
   * @throws StorageError `Record`
   */
  rewrite?(group: Group, operation: Rewrite): boolean
  /** Removes up to `countMax` rows of a tenant and says how many; less means that none is left. */
  erase(group: Group, tenant: Uint8Array, countMax: number): number
}

/** What a table is made from: a connection, the store's name for its errors, what may be kept. */
export interface TableContext {
  readonly database: DatabaseSync
  readonly store: string
  readonly limits: StoreLimits
  readonly clock: StoreClock
}

interface TableKind {
  new (context: TableContext): Table<never, never>
  readonly operations: ReadonlyArray<Operation["op"]>
  /** Operations that are refused before they write anything: one alone needs no savepoint, which costs as much as a row. */
  readonly refusedFirst: ReadonlyArray<Operation["op"]>
  readonly questions: ReadonlyArray<Question["ask"]>
}

const kinds: ReadonlyArray<TableKind> = [KeyValueTable, EventTable, LogTable, BlobTable, QueueTable, UsageTable]

const refusedFirst = new Set(kinds.flatMap((kind) => kind.refusedFirst))

/** May a batch be carried out without a savepoint? Conditions before its one operation write nothing. */
export const needsNoSavepoint = (batch: ReadonlyArray<Operation>): boolean =>
  batch.length > 0 && refusedFirst.has((batch.at(-1) as Operation).op) && batch.slice(0, -1).every(({ op }) => op === "require")

export class Tables {
  readonly all: ReadonlyArray<Table<never, never>>
  readonly fence: FenceRow
  readonly #byOperation = new Map<string, Pick<Table<never, never>, "apply">>()
  readonly #byQuestion = new Map<string, Pick<Table<never, never>, "ask">>()

  constructor(context: TableContext) {
    this.all = kinds.map((kind) => {
      const table = new kind(context)
      for (const op of kind.operations) this.#byOperation.set(op, table)
      for (const ask of kind.questions) this.#byQuestion.set(ask, table)
      return table
    })
    this.fence = new FenceRow(context)
    this.#byOperation.set("fence", this.fence)
    this.#byQuestion.set("fence", this.fence)
    const tenants = new TenantOperations(context, this.all)
    for (const op of TenantOperations.operations) this.#byOperation.set(op, tenants)
    const sql = new SqlTable(context)
    for (const op of SqlTable.operations) this.#byOperation.set(op, sql)
    for (const ask of SqlTable.questions) this.#byQuestion.set(ask, sql)
    for (const ask of TenantOperations.questions) this.#byQuestion.set(ask, tenants)
  }

  sweep(group: Group): void {
    for (const table of this.all) {
      try {
        table.sweep?.(group)
      } catch (error) {
        // A number that no row of ours has: the row is damaged, for `check()` to find, and no reason to refuse every write.
        if (!(error instanceof RangeError)) throw error
      }
    }
  }

  apply(group: Group, operation: Operation): unknown {
    return (this.#byOperation.get(operation.op) as Table<Operation, never>).apply(group, operation)
  }

  ask(question: Question): unknown {
    return (this.#byQuestion.get(question.ask) as Table<never, Question>).ask(question)
  }
}
