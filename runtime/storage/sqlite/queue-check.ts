/** Every row of the queue's tables against its sum, every lane against its jobs, every tenant against its totals. */
import type { DatabaseSync } from "node:sqlite"
import type { JobState } from "../../port/queue.ts"
import type { Finding } from "../../port/store.ts"
import { textOf } from "../../port/place.ts"
import { bytesOfJob, stateOf, states, sumOfJob } from "../queue.ts"
import { bytesOfIdempotency, bytesOfSchedule, type IdempotencyRow, idempotencySum, type ScheduleRow, scheduleSum } from "../queue-row.ts"
import { jobColumns, type QueueContext, type Row } from "./queue-job.ts"
import { type Lane, laneColumns } from "./queue-lane.ts"
import { idempotencyColumns, scheduleColumns } from "./queue-schedule.ts"
import { Recount } from "./totals.ts"

const changed = "its bytes are not those that were written"

export function checkQueue(database: DatabaseSync, { totals }: QueueContext): ReadonlyArray<Finding> {
  const findings: Array<Finding> = []
  const recount = new Recount()
  const lanes = new Map<number, Lane>()
  for (const row of database.prepare(`SELECT ${laneColumns} FROM queue_lane`).iterate()) lanes.set(Number(row["id"]), row as unknown as Lane)
  const counts = new Map([...lanes.keys()].map((id) => [id, states.map(() => 0)]))
  const wakes = new Map<number, number>()
  /** Of each order key: is one of its jobs not blocked, and is one blocked? */
  const heads = new Map<string, { live: number; blocked: number }>()
  const find = (table: string, lane: Lane | undefined, name: string | number, detail: string): void =>
    void findings.push({ table, key: `${lane === undefined ? "" : textOf(lane.key)} ${name}`.trim(), detail })
  const wakesAt = (lane: number, us: number | null): void => {
    if (us !== null && us < (wakes.get(lane) ?? Number.POSITIVE_INFINITY)) wakes.set(lane, us)
  }

  for (const each of database.prepare(`SELECT lane, ${jobColumns} FROM queue_job`).iterate()) {
    const row = each as unknown as Row & { readonly lane: number }
    const lane = lanes.get(row.lane)
    if (lane === undefined || sumOfJob(lane, row) !== row.sum) find("queue_job", lane, row.id, lane === undefined ? "its queue is missing" : changed)
    if (lane === undefined) continue
    const count = counts.get(row.lane) as Array<number>
    count[row.state] = (count[row.state] ?? 0) + 1
    wakesAt(row.lane, row.wakeUs)
    recount.add(lane.tenant, 1, bytesOfJob(row), row.sum)
    if (row.orderKey === null || row.state === stateOf.dead) continue
    const head = heads.get(`${row.lane} ${row.orderKey}`) ?? { live: 0, blocked: 0 }
    head[row.state === stateOf.blocked ? "blocked" : "live"]++
    heads.set(`${row.lane} ${row.orderKey}`, head)
  }
  for (const each of database.prepare(`SELECT lane, ${scheduleColumns} FROM queue_schedule`).iterate()) {
    const row = each as unknown as ScheduleRow & { readonly lane: number }
    const lane = lanes.get(row.lane)
    if (lane === undefined || scheduleSum(lane, row) !== row.sum) find("queue_schedule", lane, row.name, changed)
    if (lane === undefined) continue
    wakesAt(row.lane, row.nextUs)
    recount.add(lane.tenant, 0, bytesOfSchedule(row), row.sum)
  }
  for (const each of database.prepare(`SELECT lane, ${idempotencyColumns} FROM queue_idempotency`).iterate()) {
    const row = each as unknown as IdempotencyRow & { readonly lane: number }
    const lane = lanes.get(row.lane)
    if (lane === undefined || idempotencySum(lane, row) !== row.sum) find("queue_idempotency", lane, row.key, changed)
    if (lane !== undefined) recount.add(lane.tenant, 0, bytesOfIdempotency(row), row.sum)
  }
  for (const [id, lane] of lanes) {
    const found = counts.get(id) as ReadonlyArray<number>
    const is = states.map((state, i) => `${found[i]} ${state}`).join(", ")
    const was = states.map((state) => `${lane[state as JobState]} ${state}`).join(", ")
    if (is !== was) find("queue_lane", lane, "", `${is} jobs are there, ${was} were written`)
    if ((wakes.get(id) ?? null) !== lane.wakeUs) find("queue_lane", lane, "", `it is to wake at ${wakes.get(id)}, ${lane.wakeUs} was written`)
  }
  for (const [name, { live, blocked }] of heads)
    if (live > 1 || (live === 0 && blocked > 0))
      find(
        "queue_job",
        lanes.get(Number.parseInt(name, 10)),
        name.slice(name.indexOf(" ") + 1),
        `${live} jobs of this order key go at once, ${blocked} wait for them`,
      )
  return [...findings, ...recount.compare("queue", totals)]
}
