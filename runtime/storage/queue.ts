/** The rules of a queue, whatever keeps it: what a job becomes, when it is tried again, which times a schedule owes. */
import { ConfigError } from "../../schemas/error/config.ts"
import { checkLimit, utf8Length } from "../../host/port/port.ts"
import type { JobState, NewJob, QueueLimits, Schedule } from "../port/queue.ts"
import type { Place } from "../port/place.ts"
import { type Cron, nextOf, parseCron } from "./cron.ts"

const { crc32 } = process.getBuiltinModule("node:zlib")

/** As stored; times in µs on the store's clock. */
export interface Job {
  readonly id: number
  readonly state: number
  readonly priority: number
  /** Order of ready jobs of one tenant. */
  readonly rank: number
  /** End of the wait or the lease. */
  readonly wakeUs: number | null
  /** Of the newest lease; 0 before the first. */
  readonly token: number
  readonly attempts: number
  readonly attemptsMax: number
  readonly backoffMs: number
  readonly backoffMsMax: number
  readonly enqueuedUs: number
  readonly scheduledUs: number | null
  readonly orderKey: string | null
  readonly idempotencyKey: string | null
  readonly error: string | null
  readonly payload: Uint8Array
}

export const states = ["ready", "waiting", "blocked", "leased", "dead"] as const satisfies ReadonlyArray<JobState>
export const stateOf = { ready: 0, waiting: 1, blocked: 2, leased: 3, dead: 4 } as const satisfies Record<JobState, number>

/** What the store says of a job whose worker died with the last word. */
export const leaseEnded = "its lease ended without an answer"
const fingerprintBytesMax = 64

const utf8 = new TextEncoder()
/** Lengths of five parts, then the numbers. */
const head = new Float64Array(17)
const headBytes = new Uint8Array(head.buffer)

/** CRC-32 over everything of a job and whose it is. */
export function sumOfJob({ tenant, key }: Place, job: Job): number {
  const texts = utf8.encode(`${job.orderKey ?? ""}${job.idempotencyKey ?? ""}${job.error ?? ""}`)
  head.set([
    tenant.length,
    key.length,
    job.orderKey?.length ?? -1,
    job.idempotencyKey?.length ?? -1,
    job.error?.length ?? -1,
    job.id,
    job.state,
    job.priority,
    job.rank,
    job.wakeUs ?? -1,
    job.token,
    job.attempts,
    job.attemptsMax,
    job.backoffMs,
    job.backoffMsMax,
    job.enqueuedUs,
    job.scheduledUs ?? -1,
  ])
  return crc32(job.payload, crc32(texts, crc32(key, crc32(tenant, crc32(headBytes)))))
}

/** What a job counts against quotas. */
export const bytesOfJob = (job: Pick<Job, "payload" | "orderKey" | "idempotencyKey">): number =>
  job.payload.length + utf8Length(job.orderKey ?? "") + utf8Length(job.idempotencyKey ?? "")

/**
 * Ready jobs are taken by the smallest rank. It never changes while a job waits, so a job of level p is overtaken only by
 * those that come due less than `(priorityMax − p) × priorityAgingMs` after it: nothing starves, and nothing is sorted anew.
 */
export const rankOf = (dueUs: number, priority: number, { priorityAgingMs }: QueueLimits): number => dueUs - priority * priorityAgingMs * 1_000

/**
 * The wait before the next attempt, ms: doubled for each one, and between a half and the whole of that, so that jobs which
 * failed together do not come back together. The spread is the CRC-32 of the job's number and attempt: no chance in it.
 */
export function backoffMsOf(job: Pick<Job, "id" | "attempts" | "backoffMs" | "backoffMsMax">): number {
  const fullMs = Math.min(job.backoffMsMax, job.backoffMs * 2 ** Math.min(40, Math.max(0, job.attempts - 1)))
  return Math.round(fullMs * (0.5 + crc32(`${job.id} ${job.attempts}`) / 2 ** 33))
}

/** Of what may be asked for, what was; throws `ConfigError` `Option` or `CapabilityError` `PortLimit`. */
export function checkedJob(job: NewJob, limits: QueueLimits): Required<Omit<NewJob, "orderKey" | "idempotencyKey" | "fingerprint">> {
  const { payload, delayMs = 0, priority = 0, attemptsMax = 5, backoffMs = 1_000, backoffMsMax = 3_600_000 } = job
  if (!(payload instanceof Uint8Array)) throw new ConfigError("Option", { option: "payload", expected: "bytes", actual: typeof payload })
  whole("delayMs", delayMs, 0, limits.delayMsMax, "ms", "delayMsMax")
  whole("priority", priority, 0, limits.priorityMax, "levels", "priorityMax")
  whole("attemptsMax", attemptsMax, 1, limits.attemptsMax, "attempts", "attemptsMax")
  whole("backoffMs", backoffMs, 0, limits.delayMsMax, "ms", "delayMsMax")
  whole("backoffMsMax", backoffMsMax, 0, limits.delayMsMax, "ms", "delayMsMax")
  if (job.orderKey !== undefined) text("orderKey", job.orderKey, limits)
  if (job.idempotencyKey !== undefined) text("idempotencyKey", job.idempotencyKey, limits)
  const { fingerprint } = job
  if (fingerprint !== undefined && !(fingerprint instanceof Uint8Array && fingerprint.length > 0 && fingerprint.length <= fingerprintBytesMax))
    throw new ConfigError("Option", { option: "fingerprint", expected: `1 to ${fingerprintBytesMax} bytes`, actual: typeof fingerprint })
  return { payload, delayMs, priority, attemptsMax, backoffMs, backoffMsMax }
}

export function whole(option: string, value: number, min: number, max: number, unit: string, limit: string): void {
  if (!Number.isSafeInteger(value) || value < min)
    throw new ConfigError("Option", { option, expected: `a whole number of ${unit} ≥ ${min}`, actual: String(value) })
  checkLimit("queue", limit, unit, max, value)
}

export function text(option: string, value: string, { keyBytesMax }: QueueLimits): void {
  if (typeof value !== "string" || !value.isWellFormed())
    throw new ConfigError("Option", { option, expected: "well-formed text", actual: typeof value === "string" ? "half a surrogate pair" : typeof value })
  checkLimit("queue", "keyBytesMax", "bytes", keyBytesMax, utf8Length(value))
}

/** At most this many bytes of a text, cut between characters. */
export function cut(value: string, bytesMax: number): string {
  const bytes = utf8.encode(value.toWellFormed())
  if (bytes.length <= bytesMax) return value.toWellFormed()
  return new TextDecoder().decode(bytes.subarray(0, bytesMax), { stream: true })
}

/** The first time of a schedule after `afterUs`. */
export function nextTimeUs(schedule: Schedule, afterUs: number): number {
  if ("everyMs" in schedule) return afterUs + schedule.everyMs * 1_000
  return timeUs(parseCron(schedule.cron), afterUs)
}

const timeUs = (cron: Cron, afterUs: number): number => (nextOf(cron, afterUs / 1_000) as number) * 1_000
/** An hour, a day, a month, a year, all. */
const windowsUs = [3_600e6, 86_400e6, 32 * 86_400e6, 400 * 86_400e6, Number.POSITIVE_INFINITY]

/** A schedule that is due: the times it makes jobs for, oldest first, and its next. */
export function owedTimes(
  schedule: Schedule,
  dueUs: number,
  nowUs: number,
  limits: QueueLimits,
): { readonly timesUs: ReadonlyArray<number>; readonly nextUs: number } {
  const { missed = "once" } = schedule
  const times: Array<number> = []
  let nextUs = dueUs
  if ("everyMs" in schedule) {
    // Reckoned, not counted: after a year of downtime there are millions of them.
    const everyUs = schedule.everyMs * 1_000
    const count = Math.floor((nowUs - dueUs) / everyUs) + 1
    nextUs = dueUs + count * everyUs
    for (let i = Math.max(0, count - limits.catchUpMax); i < count; i++) times.push(dueUs + i * everyUs)
  } else {
    const cron = parseCron(schedule.cron)
    // The newest ones are wanted: looked for in windows that grow, so that a year of minutes is not walked through.
    for (const windowUs of windowsUs) {
      const fromUs = Math.max(dueUs - 1, nowUs - windowUs)
      times.length = 0
      for (nextUs = timeUs(cron, fromUs); nextUs <= nowUs; nextUs = timeUs(cron, nextUs)) times.push(nextUs)
      if (times.length >= limits.catchUpMax || fromUs === dueUs - 1) break
    }
  }
  const newest = times.slice(-1)
  if (missed === "all") return { timesUs: limits.catchUpMax === 0 ? [] : times.slice(-limits.catchUpMax), nextUs }
  if (missed === "once") return { timesUs: newest, nextUs }
  return { timesUs: newest.filter((us) => nowUs - us <= limits.scheduleGraceMs * 1_000), nextUs }
}

/** Numbers for a digest. */
export const numbers = (...values: ReadonlyArray<number>): Uint8Array => new Uint8Array(Float64Array.from(values).buffer)
