/** What a table of a store is to its writer and its readers, and which tables there are. A port's rows are one file that says so here. */
import type { StoreLimits } from "../../port/limits.ts"
import type { Finding, Operation, Question } from "../../port/store.ts"
import type { TenantRecord } from "../../port/tenant.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { blobTable } from "./blob.ts"
import type { Answer, Connection, Row, Statement } from "./connection.ts"
import { eventTable } from "./event.ts"
import type { Group, Total } from "./group.ts"
import { keyValueTable } from "./key-value.ts"
import { logTable } from "./log.ts"
import { queueTable } from "./queue.ts"
import { usageTable } from "./usage.ts"

/** Who asks: the store's name for errors, what may be kept, whose rows. */
export interface Context {
  readonly store: string
  readonly limits: StoreLimits
  /** As the tables call the tenant. */
  readonly tenant: Uint8Array
}

/** A question as SQL, in one snapshot, and what its rows mean. */
export interface Query<A = unknown> {
  readonly statements: ReadonlyArray<Statement>
  /** The same in one statement that binds its tenant itself: for a question that nothing else is asked with. */
  readonly alone?: Statement
  /** Rows of each statement. */
  answer(...rows: ReadonlyArray<ReadonlyArray<Row>>): A
}

/** Reads more within the group's transaction. */
export type Load = (statements: ReadonlyArray<Statement>) => Promise<ReadonlyArray<Answer>>

/** What a group makes of a table: first it reads what its operations will look at, then they are carried out in memory. */
export interface Draft<O extends Operation = Operation> {
  /** What is to be read with the lock. */
  readonly load: ReadonlyArray<Statement>
  /** Takes what was read, and reads what that makes necessary. */
  take(answers: ReadonlyArray<Answer>, load: Load): Promise<void>
  /** Removes some of what has ended by now: before the batches. */
  sweep?(group: Group): void
  apply(group: Group, operation: O): unknown
  /** After the batches, also when nothing was written: what answers still want to know. */
  answer?(group: Group, load: Load): Promise<void>
  /** After the batches: what is kept for so long and so many. */
  settle?(group: Group, load: Load): Promise<void>
  /** What is left of all batches that were not refused. */
  writes(): ReadonlyArray<Statement>
}

/** What one step of an erasure removed. */
export interface Erased {
  readonly count: number
  readonly parts: ReadonlyArray<readonly [table: string, part: Total]>
}

export interface Table<O extends Operation = Operation, Q extends Question = Question> {
  readonly name: string
  /** What a tenant's quota counts, in the singular. */
  readonly counts: string
  readonly operations: ReadonlyArray<O["op"]>
  readonly questions: ReadonlyArray<Q["ask"]>
  /** Bytes that all tenants may have. */
  bytesMax(limits: StoreLimits): number
  /** Bytes that an operation may add at most. */
  grows(operation: O): number
  draft(context: Context, operations: ReadonlyArray<O | Import>): Draft
  ask(context: Context, question: Q): Query
  /** A tenant's records after `after`, in order: one page, of one record at least until there is none. Heads: see the question. */
  export(context: Context, after: Uint8Array | undefined, countMax: number, headsOnly: boolean): Query<Page>
  /** Removes up to `countMax` rows of a tenant; fewer means that none is left. */
  erase(context: Context, connection: Connection, countMax: number): Promise<Erased>
  /** Every row against its sum; adds up what each tenant has, by the name of its total. */
  check(connection: Connection, add: (name: string, tenant: Uint8Array, part: Total) => void): Promise<ReadonlyArray<Finding>>
}

export type Import = Extract<Operation, { readonly op: "import" }>
/** Of these tables alone something may be rewritten. */
export const rewritable: ReadonlySet<string> = new Set(["blob_reference", "queue"])
export interface Page {
  readonly records: ReadonlyArray<TenantRecord>
  readonly isComplete: boolean
}

export const tables = [keyValueTable, eventTable, logTable, blobTable, queueTable, usageTable] as unknown as ReadonlyArray<Table>

const byName = new Map(tables.map((table) => [table.name, table]))
const byOperation = new Map(tables.flatMap((table) => table.operations.map((op) => [op as string, table] as const)))
const byQuestion = new Map(tables.flatMap((table) => table.questions.map((ask) => [ask as string, table] as const)))

/** @throws StorageError `Record` for one that the store does not have */
export function tableNamed(store: string, name: string): Table {
  const table = byName.get(name)
  if (table === undefined) throw new StorageError("Record", { store, table: name, detail: "the store has no such table" })
  return table
}

/** Whose rows an operation changes; undefined for what concerns all of a tenant's, and for services' own statements. */
export function tableOf(store: string, operation: Operation): Table | undefined {
  if (operation.op === "import") return tableNamed(store, operation.table)
  if (operation.op === "rewrite") {
    const table = tableNamed(store, operation.table)
    if (!rewritable.has(table.name)) throw new StorageError("Record", { store, table: table.name, detail: "nothing of it may be rewritten" })
    return table
  }
  const table = byOperation.get(operation.op)
  if (table === undefined && operation.op !== "erase" && operation.op !== "sql") throw new StorageError("Unsupported", { store, asked: operation.op })
  return table
}
/** Is it a question about one tenant that some table answers? */
export const isServed = (question: Question): question is Extract<Question, { readonly tenant: Uint8Array }> =>
  "tenant" in question && question.tenant !== undefined && (question.ask === "export" || byQuestion.has(question.ask))
export const tableAsked = ({ ask }: Question): Table | undefined => byQuestion.get(ask)
