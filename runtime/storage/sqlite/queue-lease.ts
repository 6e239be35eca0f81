/** Leasing: what has come due is made ready, then the lanes of the ring give jobs in turn. Nothing here scans a queue. */
import type { Leased, LeasedJob } from "../../port/queue.ts"
import { backoffMsOf, leaseEnded, numbers, owedTimes, stateOf } from "../queue.ts"
import { type Jobs, jobColumns, type Row } from "./queue-job.ts"
import type { Lane } from "./queue-lane.ts"
import { dueSchedules } from "./queue-schedule.ts"

/** Lanes that one lease wakes at most, and jobs of one lane: the rest is for the next one. */
const lanesMax = 256
const wakesMax = 256

const utf8 = new TextEncoder()

/** Ends the waits, leases and schedules of a lane whose time has come. */
function wake(jobs: Jobs, lane: Lane): void {
  const { sql, limits } = jobs.context
  const { nowUs } = jobs.group
  if (lane.wakeUs === null || lane.wakeUs > nowUs) return
  jobs.group.change(utf8.encode("wake"), lane.tenant, lane.key)
  lane.isChanged = true
  const rows = sql(`SELECT ${jobColumns} FROM queue_job WHERE lane = ? AND wake_us <= ? ORDER BY wake_us LIMIT ?`).all(lane.id, nowUs, wakesMax)
  for (const found of rows) {
    const row = jobs.verified(lane, found as unknown as Row)
    // Who held it has died or was too slow: that was an attempt.
    if (row.state === stateOf.waiting) jobs.put(lane, row, { ...row, state: stateOf.ready, wakeUs: null })
    else if (row.attempts >= row.attemptsMax) jobs.bury(lane, row, leaseEnded)
    else jobs.again(lane, row, nowUs + backoffMsOf(row) * 1_000, { error: leaseEnded })
  }
  for (const { schedule, dueUs, next } of dueSchedules(jobs, lane, wakesMax)) {
    const { timesUs, nextUs } = owedTimes(schedule, dueUs, nowUs, limits)
    for (const scheduledUs of timesUs) jobs.add(lane, schedule.job, scheduledUs)
    next(nextUs)
  }
}

interface Turns {
  /** Who gives how many, in order. */
  readonly takes: ReadonlyArray<readonly [lane: number, count: number]>
  /** Who stands behind all others then, in order. */
  readonly order: ReadonlyArray<number>
  /** Whose turn is not over, and how many it gave of it. */
  readonly unfinished: readonly [lane: number, given: number] | undefined
}

/** Lanes in the order of the ring give up to `turnJobs` each in turn; the first may have given some of them before. */
export function turns(lanes: ReadonlyArray<Pick<Lane, "ready" | "given">>, countMax: number, turnJobs: number): Turns {
  const left = lanes.map(({ ready }) => ready)
  const given = lanes.map((lane) => lane.given)
  const ring = lanes.map((_, i) => i)
  const takes: Array<readonly [lane: number, count: number]> = []
  const quota = Math.max(1, Math.floor(turnJobs))
  const ended = new Set<number>()
  let unfinished: Turns["unfinished"]
  let at = 0
  for (let wanted = countMax; wanted > 0 && at < ring.length;) {
    const lane = ring[at++] as number
    const count = Math.min(Math.max(1, quota - (given[lane] as number)), wanted, left[lane] as number)
    left[lane] = (left[lane] as number) - count
    wanted -= count
    const last = takes.at(-1)
    if (last?.[0] === lane) takes[takes.length - 1] = [lane, last[1] + count]
    else takes.push([lane, count])
    if (left[lane] === 0) continue
    const total = (given[lane] as number) + count
    if (total < quota) {
      unfinished = [lane, total]
      // It is still its turn: before those that have had theirs, and where it was if none of them has had another one.
      return { takes, order: [...(ended.has(lane) ? [lane] : []), ...ring.slice(at).filter((each) => ended.has(each))], unfinished }
    }
    given[lane] = 0
    ended.add(lane)
    ring.push(lane)
  }
  return { takes, order: ring.slice(at).filter((each) => ended.has(each)), unfinished }
}

export function lease(jobs: Jobs, key: Uint8Array, tenant: Uint8Array | undefined, countMax: number, leaseMs: number): Leased {
  const { lanes, group } = jobs
  const only = tenant === undefined ? undefined : lanes.find({ tenant, key })
  const due = tenant === undefined ? lanes.due(key, group.nowUs, lanesMax) : only === undefined ? [] : [only]
  for (const lane of due) wake(jobs, lane)
  lanes.write()
  const ring = tenant === undefined ? lanes.ring(key, countMax) : due.filter((lane) => lane.ready > 0)
  // What has come due in a lane with ready jobs may be before them.
  if (tenant === undefined) for (const lane of ring) wake(jobs, lane)
  const { takes, order, unfinished } = turns(ring, countMax, jobs.context.limits.turnJobs)
  const untilUs = group.nowUs + leaseMs * 1_000
  // One turn after the other, so that tokens rise in the order in which the jobs are handed out.
  const leased = takes.flatMap(([lane, count]) => take(jobs, ring[lane] as Lane, count, untilUs))
  // Who asks for one tenant's jobs takes nothing of its turns.
  if (tenant === undefined) {
    lanes.toEnd(order.map((i) => ring[i] as Lane))
    if (unfinished !== undefined) (ring[unfinished[0]] as Lane).given = unfinished[1]
  }
  lanes.write()
  return { jobs: leased, nowUs: group.nowUs, nextUs: lanes.nextUs(key, group.nowUs) }
}

function take(jobs: Jobs, lane: Lane, count: number, untilUs: number): ReadonlyArray<LeasedJob> {
  const { sql } = jobs.context
  const { tenant, key } = lane
  const rows = sql(`SELECT ${jobColumns} FROM queue_job WHERE lane = ? AND state = 0 ORDER BY rank, id LIMIT ?`).all(lane.id, count)
  return rows.map((found) => {
    const row = jobs.verified(lane, found as unknown as Row)
    const token = jobs.group.change(utf8.encode("lease"), numbers(lane.id, row.id, untilUs))
    const attempt = row.attempts + 1
    jobs.put(lane, row, { ...row, state: stateOf.leased, token, attempts: attempt, wakeUs: untilUs })
    return {
      tenant,
      key,
      id: row.id,
      token,
      payload: row.payload,
      attempt,
      attemptsMax: row.attemptsMax,
      priority: row.priority,
      orderKey: row.orderKey ?? undefined,
      idempotencyKey: row.idempotencyKey ?? undefined,
      enqueuedUs: row.enqueuedUs,
      untilUs,
      scheduledUs: row.scheduledUs ?? undefined,
    }
  })
}
