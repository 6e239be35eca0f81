/**
 * Entities: things with a state and a name that take messages one at a time. Those of one type and tenant are spread over the processes that serve
 * them by shards; a state is in the memory of one process at a time, and each message takes effect exactly once, in the order in which an
 * entity's messages were sent. `docs/adr/0022-entities.md` says why it holds.
 */
import type { Operation } from "./store.ts"

export interface EntityOptions {
  /** Whose rows and queues they are: on PostgreSQL a batch is one tenant's. Default: the host's own, which no guest reaches. In another one keys that start with `entity/` are the entities'. */
  readonly tenant?: Uint8Array
  /** Among how many shards entities are divided, 1 to `shardsMax`: kept in the store by whoever opens the type first, and never changed. Default 64. */
  readonly shards?: number
}

export interface MessageOptions {
  /** Not delivered before this time has passed, ms; later messages to the same entity wait for it. Default 0. */
  readonly delayMs?: number
  /** Sent again to the same entity with the same key and payload it is the same message, for a day. */
  readonly idempotencyKey?: string
  /** Deliveries that may fail before the message is a dead letter and the next one follows. Default 5. */
  readonly attemptsMax?: number
  /** Before the second delivery, ms; twice as long before each further one. Default 1,000. */
  readonly backoffMs?: number
  /** The longest wait between deliveries, ms. Default one hour. */
  readonly backoffMsMax?: number
}

/** Each question has a reply of its own, so there is no asking the same again. */
export interface AskOptions extends Omit<MessageOptions, "idempotencyKey"> {
  /** How long the reply is waited for, ms. Default 10,000. */
  readonly timeoutMs?: number
}

/** A message as its entity gets it. */
export interface EntityMessage {
  /** The entity's. */
  readonly id: string
  /** Of the message; rises in the order of sending to one entity. */
  readonly number: number
  readonly payload: Uint8Array
  /** 1 for the first delivery. */
  readonly attempt: number
  readonly attemptsMax: number
  /** µs since the Unix epoch on the store's clock. */
  readonly sentUs: number
  /** Somebody waits for a reply. */
  readonly isAsked: boolean
}

/** What becomes of a message: all of it is kept together with its completion, or nothing. */
export interface Decision<S> {
  /** The state from now on; null: none, as before the first message. Left out: the one that was given, which `receive` has then not changed. */
  readonly state?: S | null
  /** For whoever asked; dropped when nobody did. */
  readonly reply?: Uint8Array
  /** Of the entities' tenant; messages to other entities are made by `Entities.message`. */
  readonly operations?: ReadonlyArray<Operation>
}

export interface EntityKind<S> {
  /** A state as it was kept. What it throws is the message's failure. */
  readonly decode: (bytes: Uint8Array) => S
  readonly encode: (state: S) => Uint8Array
  /**
   * Takes a message. What it throws is an attempt that failed: the message is delivered again after its backoff, before all later ones. What else it does than
   * answer may happen again. `signal` is raised when the entity is not this process's any more: what it answers then is dropped.
   */
  readonly receive: (state: S | undefined, message: EntityMessage, signal: AbortSignal) => Decision<S> | void | Promise<Decision<S> | void>
}

export interface ServeOptions {
  /** Ends serving: nothing more is taken, what runs is waited for, and shards are given back. */
  readonly signal: AbortSignal
  /** Entities that take a message at the same time. Default 32. */
  readonly concurrency?: number
  /** How long the others wait for a process that died, ms, `leaseMsMin` to `leaseMsMax`; renewed at a third of it. Default 15,000. */
  readonly leaseMs?: number
  /** How often is looked who else is there, and for messages of which no hint came, ms. Default 250. */
  readonly pollMs?: number
  /** How long messages that run are waited for when a shard is given to another process, or at the end, ms. Default 10,000. */
  readonly graceMs?: number
  /** States that are kept in memory; those that were used longest ago go first. Default 10,000. */
  readonly entitiesMax?: number
  /** How long a state stays in memory after the last message, ms. Default 60,000. */
  readonly idleMs?: number
  /** Who it is, for people: at most `holderBytesMax` bytes of UTF-8. Default: machine and process. */
  readonly holder?: string
}

export interface ServeReport {
  readonly completed: number
  /** Deliveries that failed. */
  readonly failed: number
  /** Deliveries that ended when the entity, or the message, was not this process's any more. */
  readonly lost: number
}

export const entityLimits = {
  /** Letters, digits and dashes of a type's name. */
  typeLengthMax: 64,
  /** Bytes of an entity's id in UTF-8. */
  idBytesMax: 256,
  /** Shards of one type; each is a queue of its tenant, of which a store has `tenantQueuesMax`. */
  shardsMax: 256,
  /** Processes that serve one type. */
  membersMax: 256,
  holderBytesMax: 256,
  leaseMsMin: 100,
  /** An hour. */
  leaseMsMax: 3_600_000,
  /** Questions of one process that wait for their replies. */
  asksMax: 10_000,
  /** ms */
  timeoutMsMax: 3_600_000,
  /** How long a reply is kept for who waits for it, ms. */
  replyKeptMs: 60_000,
}
