/**
 * What a table of a store is to its writer and its reader, and which tables there are. A port's rows are one file that
 * says so here; what every table needs (savepoints, revisions, the digest, totals, checks) is done for all of them.
 */
import type { DatabaseSync } from "node:sqlite"
import type { StoreLimits } from "../../port/limits.ts"
import type { Operation, Question } from "../../port/store.ts"
import type { StoreClock } from "../clock.ts"
import { EventTable } from "./event.ts"
import { KeyValueTable } from "./key-value.ts"
import type { Finding } from "./reader.ts"
import type { TotalTable } from "./totals.ts"
import type { Group } from "./writer.ts"

export interface Table<O extends Operation, Q extends Question> {
  readonly name: string
  /** What a tenant's quota counts, in the singular. */
  readonly counts: string
  /** What its rows add up to, by tenant. */
  readonly totals: TotalTable
  apply(group: Group, operation: O): unknown
  ask(question: Q): unknown
  /** Every row against its sum, every tenant's rows against its totals. */
  check(): ReadonlyArray<Finding>
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

const kinds: ReadonlyArray<TableKind> = [KeyValueTable, EventTable]

const refusedFirst = new Set(kinds.flatMap((kind) => kind.refusedFirst))

/** May a batch be carried out without a savepoint? */
export const needsNoSavepoint = (batch: ReadonlyArray<Operation>): boolean => batch.length === 1 && refusedFirst.has((batch[0] as Operation).op)

export class Tables {
  readonly all: ReadonlyArray<Table<never, never>>
  readonly #byOperation = new Map<string, Table<never, never>>()
  readonly #byQuestion = new Map<string, Table<never, never>>()

  constructor(context: TableContext) {
    this.all = kinds.map((kind) => {
      const table = new kind(context)
      for (const op of kind.operations) this.#byOperation.set(op, table)
      for (const ask of kind.questions) this.#byQuestion.set(ask, table)
      return table
    })
  }

  apply(group: Group, operation: Operation): unknown {
    return (this.#byOperation.get(operation.op) as Table<Operation, never>).apply(group, operation)
  }

  ask(question: Question): unknown {
    return (this.#byQuestion.get(question.ask) as Table<never, Question>).ask(question)
  }
}
