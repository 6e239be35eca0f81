/**
 * What a store does for queues of jobs, as data. A job is kept until it is completed, cancelled or dead; a worker holds it
 * by a lease with a token that rises. Run at least once; exactly once in effect where the effect and `complete` are
 * in one batch, or where the effect carries the job's `idempotencyKey` or `id`.
 */
import type { Place } from "./place.ts"

/** `tenant` whose job it is, `key` the queue's name. A queue of one name is one for all tenants: a lease takes turns among them. */
export type QueuePlace = Place

export interface NewJob {
  readonly payload: Uint8Array
  /** Not leased before this time has passed, ms. Default 0. */
  readonly delayMs?: number
  /** 0 to 9, default 0. Each level is worth `priorityAgingMs` of waiting, no more: nothing starves. */
  readonly priority?: number
  /** Jobs of a tenant with the same order key run one after the other, in the order in which they were enqueued. */
  readonly orderKey?: string
  /** Enqueued again with the same key, payload and order key it is the same job; with another, `JobConflict`. */
  readonly idempotencyKey?: string
  /** Of a layer whose payloads differ each time: what is compared for an idempotency key in their stead, 1 to 64 bytes. */
  readonly fingerprint?: Uint8Array
  /** Leases that may end without `complete` before the job is dead. Default 5. */
  readonly attemptsMax?: number
  /** Before the second attempt, ms; twice as long before each further one. Default 1,000. */
  readonly backoffMs?: number
  /** The longest wait between attempts, ms. Default one hour. */
  readonly backoffMsMax?: number
}

/** A job that is held. */
export interface LeaseRef extends QueuePlace {
  readonly id: number
  /** Greater for each lease that the store gives of the tenant's jobs: who guards a resource of a tenant refuses a smaller one than it has seen. */
  readonly token: number
}

export type SchedulePolicy = "once" | "all" | "skip"

export type ScheduleTime =
  /** Minute, hour, day of month, month, day of week; UTC. */
  | { readonly cron: string }
  /** From the moment it is scheduled, ms. */
  | { readonly everyMs: number }

export type Schedule = ScheduleTime & {
  readonly name: string
  /**
   * Of times that passed while nobody leased: `once` makes one job for all of them, `all` one for each (the newest
   * `catchUpMax`), `skip` none but for a newest one less than `scheduleGraceMs` ago. Default `once`.
   */
  readonly missed?: SchedulePolicy
  readonly job: Omit<NewJob, "delayMs" | "idempotencyKey" | "fingerprint">
}

export type QueueOperation =
  | (QueuePlace & { readonly op: "enqueue"; readonly jobs: ReadonlyArray<NewJob> })
  /**
   * Up to `countMax` jobs of the queue, of one tenant after the other; of `tenant` alone when it is given. Without it a store may
   * want it in a batch of its own (`Unsupported`), and a role that sees all tenants (`Role`).
   */
  | { readonly op: "lease"; readonly key: Uint8Array; readonly tenant?: Uint8Array; readonly countMax: number; readonly leaseMs: number }
  /** From now on, for `leaseMs`. `LeaseLost` when one of them is somebody else's by now, as for the next three. */
  | { readonly op: "extend"; readonly leases: ReadonlyArray<LeaseRef>; readonly leaseMs: number }
  /** Done: the jobs are gone. */
  | { readonly op: "complete"; readonly leases: ReadonlyArray<LeaseRef> }
  /** Back to the queue at once; the attempt does not count. */
  | { readonly op: "release"; readonly leases: ReadonlyArray<LeaseRef> }
  /** The attempt failed: again after `retryMs`, or after the job's backoff; dead when it was the last, or `isFinal`. */
  | (LeaseRef & { readonly op: "fail"; readonly error: string; readonly retryMs?: number; readonly isFinal?: boolean })
  /** Removes a job, dead or alive; who holds it finds its lease lost. */
  | (QueuePlace & { readonly op: "cancel"; readonly id: number })
  /** Dead jobs, oldest first, are enqueued again with all of their attempts: one, or up to `countMax`. */
  | (QueuePlace & { readonly op: "redrive"; readonly id?: number; readonly countMax: number })
  /** Makes a schedule or replaces the one of this name; the next time is counted from now. */
  | (QueuePlace & { readonly op: "schedule"; readonly schedule: Schedule })
  | (QueuePlace & { readonly op: "unschedule"; readonly name: string })

export interface LeasedJob extends LeaseRef {
  readonly payload: Uint8Array
  /** 1 for the first. */
  readonly attempt: number
  readonly attemptsMax: number
  readonly priority: number
  readonly orderKey: string | undefined
  readonly idempotencyKey: string | undefined
  /** µs since the Unix epoch on the store's clock, like all times of a queue. */
  readonly enqueuedUs: number
  readonly untilUs: number
  /** For which time a schedule made it. */
  readonly scheduledUs: number | undefined
}

export interface Leased {
  readonly jobs: ReadonlyArray<LeasedJob>
  /** The store's time. */
  readonly nowUs: number
  /** When something else of the queue comes due, if nothing is enqueued before; undefined when nothing will. */
  readonly nextUs: number | undefined
}

export interface QueueResults {
  /** In order; `isNew` is false for a job that was there by its idempotency key. */
  readonly enqueue: ReadonlyArray<{ readonly id: number; readonly isNew: boolean }>
  readonly lease: Leased
  /** Until when. */
  readonly extend: number
  readonly complete: void
  readonly release: void
  /** What became of it. */
  readonly fail: "waiting" | "dead"
  /** True when there was such a job. */
  readonly cancel: boolean
  /** How many. */
  readonly redrive: number
  /** The first time. */
  readonly schedule: number
  /** True when there was one. */
  readonly unschedule: boolean
}

export type JobState = "ready" | "waiting" | "blocked" | "leased" | "dead"

export interface JobInfo {
  readonly id: number
  /** `waiting` for its time, `blocked` by another of its order key. */
  readonly state: JobState
  readonly payload: Uint8Array
  readonly attempts: number
  readonly attemptsMax: number
  readonly priority: number
  readonly orderKey: string | undefined
  readonly enqueuedUs: number
  /** When its wait or its lease ends. */
  readonly wakeUs: number | undefined
  /** What the last failed attempt said. */
  readonly error: string | undefined
}

export type QueueQuestion =
  /** Undefined when it is completed, cancelled, or never was. */
  | (QueuePlace & { readonly ask: "job"; readonly id: number })
  /** Jobs of a queue by state; of one tenant when it is given. */
  | { readonly ask: "queue"; readonly key: Uint8Array; readonly tenant?: Uint8Array }
  /** Dead jobs with an id greater than `after`, oldest first. */
  | (QueuePlace & { readonly ask: "dead"; readonly after: number; readonly countMax: number })
  | (QueuePlace & { readonly ask: "schedules" })
  /** Names of the tenant's queues that start with `key` and in which a lease would find something: a job that is ready, or one whose time has come. */
  | (QueuePlace & { readonly ask: "ready"; readonly countMax: number })

export interface QueueDepth extends Readonly<Record<JobState, number>> {
  /** With jobs in the queue. */
  readonly tenants: number
  /** When the oldest of the jobs that are next for their tenants was enqueued. */
  readonly oldestUs: number | undefined
}

export interface QueueAnswers {
  readonly job: JobInfo | undefined
  readonly queue: QueueDepth
  readonly dead: ReadonlyArray<JobInfo>
  readonly schedules: ReadonlyArray<{ readonly schedule: Schedule; readonly nextUs: number }>
  readonly ready: ReadonlyArray<Uint8Array>
}

export const queueLimits = {
  /** Bytes of a queue's name with its tenant. */
  nameBytesMax: 1_024,
  /** Bytes of one job. */
  payloadBytesMax: 256 << 10,
  /** Bytes of an order key, an idempotency key or a schedule's name. */
  keyBytesMax: 512,
  /** Bytes of an error that are kept. */
  errorBytesMax: 2_048,
  /** Jobs of one operation. */
  batchJobsMax: 1_000,
  /** Jobs of one tenant, dead ones included. */
  tenantJobsMax: 1_000_000,
  /** Bytes of one tenant's jobs. */
  tenantBytesMax: 1 << 30,
  /** Bytes of all tenants together. */
  totalBytesMax: 4 * 2 ** 30,
  /** Queues of one tenant. */
  tenantQueuesMax: 1_000,
  /** Schedules of one tenant in one queue. */
  schedulesMax: 1_000,
  /** Jobs that a tenant gives in its turn: fewer are fairer, more of them lie on one page of the disk. At least 1. */
  turnJobs: 4,
  /** Levels above 0. */
  priorityMax: 9,
  /** By how much a level lets a job overtake, ms: of two jobs the one with the smaller `due - priority × this` is first. */
  priorityAgingMs: 60_000,
  /** ms */
  delayMsMax: 366 * 86_400_000,
  /** ms */
  leaseMsMax: 12 * 3_600_000,
  /** Attempts of one job. */
  attemptsMax: 1_000,
  /** How long an idempotency key is known after its enqueueing, ms; longer while the job is there. */
  idempotencyKeptMs: 86_400_000,
  /** Jobs that a schedule makes at once for times that passed. */
  catchUpMax: 100,
  /** ms */
  scheduleGraceMs: 60_000,
}
export type QueueLimits = typeof queueLimits
