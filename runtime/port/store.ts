/**
 * A store: what keeps the data of guests' ports and of services, whatever it is made of. What it does is data, not
 * methods: a batch of operations crosses a thread or a network, shares a commit with its neighbours, and is carried out all or
 * nothing. The ports that guests see are made from it once, in `runtime/storage/guest.ts`.
 */
import type { BlobAnswers, BlobOperation, BlobQuestion, BlobResults } from "./blob.ts"
import type { FenceAnswers, FenceOperation, FenceQuestion, FenceResults } from "./fence.ts"
import type { EventAnswers, EventOperation, EventQuestion, EventResults } from "./event.ts"
import type { KeyValueAnswers, KeyValueOperation, KeyValueQuestion, KeyValueResults } from "./key-value.ts"
import type { StoreLimits } from "./limits.ts"
import type { LogAnswers, LogOperation, LogQuestion, LogResults } from "./log.ts"
import type { QueueAnswers, QueueOperation, QueueQuestion, QueueResults } from "./queue.ts"
import type { ServicesQuestion, SqlAnswers, SqlOperation, SqlQuestion, SqlResults } from "./sql.ts"
import type { TenantAnswers, TenantOperation, TenantQuestion, TenantResults } from "./tenant.ts"
import type { UsageAnswers, UsageOperation, UsageQuestion, UsageResults } from "./usage.ts"

export type Operation =
  | KeyValueOperation
  | EventOperation
  | LogOperation
  | BlobOperation
  | UsageOperation
  | QueueOperation
  | SqlOperation
  | TenantOperation
  | FenceOperation
export interface Results extends KeyValueResults, EventResults, LogResults, BlobResults, UsageResults, QueueResults, SqlResults, TenantResults, FenceResults {}

export type Question =
  | KeyValueQuestion
  | EventQuestion
  | LogQuestion
  | BlobQuestion
  | UsageQuestion
  | QueueQuestion
  | SqlQuestion
  | ServicesQuestion
  | TenantQuestion
  | FenceQuestion
export interface Answers extends KeyValueAnswers, EventAnswers, LogAnswers, BlobAnswers, UsageAnswers, QueueAnswers, SqlAnswers, TenantAnswers, FenceAnswers {}

/** Something in a store that is not as it was written. */
export interface Finding {
  readonly table: string
  /** Which row, as text; empty for the table as a whole. */
  readonly key: string
  readonly detail: string
}

/** Answers of a batch, in its order. */
export type BatchResults<B extends ReadonlyArray<Operation>> = { readonly [I in keyof B]: B[I] extends Operation ? Results[B[I]["op"]] : never }

export interface Store extends AsyncDisposable {
  /** As it was named, without a password. */
  readonly name: string
  readonly limits: StoreLimits
  /**
   * Carries out a batch, all or nothing, as if no other ran at the same time; answers when it is durable, and `ask` sees it from then on.
   * @throws what an operation is refused for; StorageError `Busy` or `Failed` when nothing was kept, `Unknown` when
   * nobody can tell; `Lost`, `Overloaded`, `Closed`
   *
   * A batch is one tenant's; a store may refuse others (`Tenants`).
   * An empty batch writes nothing of its own, and does what any group does beside: it removes rows that have ended.
   */
  apply<const B extends ReadonlyArray<Operation>>(batch: B): Promise<BatchResults<B>>
  /** The same for a guest, which must have its answer in the call: blocks this thread. */
  applySync<const B extends ReadonlyArray<Operation>>(batch: B): BatchResults<B>
  /**
   * What is committed.
   * @throws StorageError `Corrupt`, `Unreachable`, `Closed`
   */
  ask<Q extends Question>(question: Q): Promise<Answers[Q["ask"]]>
  /** The same for a guest: blocks this thread, if it must wait. */
  askSync<Q extends Question>(question: Q): Answers[Q["ask"]]
  /**
   * Calls `listener` some time after something may have been committed; answers how to stop that. A hint and no more: one
   * call may stand for many commits, a call for none, and what another process commits may go without. See `watch`.
   */
  onCommit(listener: () => void): () => void
  /** Reads everything, and holds every row against its sum and every tenant's rows against its totals. */
  check(): Promise<ReadonlyArray<Finding>>
  /** Lets go of the store after everything asked for is done. */
  close(): Promise<void>
}
