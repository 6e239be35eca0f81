/** Every row of the queue's tables against its sum, every lane against its jobs and its place in the ring. */
import { textOf } from "../../port/place.ts"
import type { JobState } from "../../port/queue.ts"
import type { Finding } from "../../port/store.ts"
import { bytesOfJob, states, stateOf, sumOfJob } from "../queue.ts"
import { bytesOfIdempotency, bytesOfSchedule, idempotencySum, scheduleSum } from "../queue-row.ts"
import type { Connection, Row } from "./connection.ts"
import type { Total } from "./group.ts"
import { idempotencyColumns, jobColumns, jobOf, knownOf, type Lane, laneColumns, laneOf, name, scheduleColumns, scheduledOf } from "./queue-row.ts"
import { rowsOf } from "./rows.ts"
import { hexOf } from "./tenant.ts"

const changed = "its bytes are not those that were written"

interface Found {
  readonly lane: Lane
  readonly counts: Array<number>
  wakeUs: number
  ring: { readonly hasTurn: boolean; readonly wakeUs: number | null } | undefined
  /** Of each order key: jobs that are not blocked, and blocked ones. */
  readonly heads: Map<string, { live: number; blocked: number }>
}

export async function checkQueue(connection: Connection, add: (name: string, tenant: Uint8Array, part: Total) => void): Promise<ReadonlyArray<Finding>> {
  const findings: Array<Finding> = []
  const lanes = new Map<string, Found>()
  const names = new Map<string, Found>()
  const find = (table: string, found: Found | undefined, own: string | number, detail: string): void =>
    void findings.push({ table, key: `${found === undefined ? "" : textOf(found.lane.key)} ${own}`.trim(), detail })
  const at = (row: Row): Found | undefined => lanes.get(`${hexOf(row["tenant"] as Uint8Array)} ${Number(row["lane"])}`)
  const wakesAt = (found: Found, us: number | null): void => {
    if (us !== null && us < found.wakeUs) found.wakeUs = us
  }
  for await (const row of rowsOf(connection, `SELECT tenant, ${laneColumns} FROM stele.queue_lane`, ["tenant", "key"])) {
    const tenant = row["tenant"] as Uint8Array
    const found: Found = { lane: laneOf(tenant, row), counts: states.map(() => 0), wakeUs: Number.POSITIVE_INFINITY, ring: undefined, heads: new Map() }
    lanes.set(`${hexOf(tenant)} ${found.lane.id}`, found)
    names.set(`${hexOf(tenant)} ${hexOf(found.lane.key)}`, found)
  }
  for await (const row of rowsOf(connection, "SELECT tenant, key, turn, wake_us FROM stele.queue_ring", ["tenant", "key"])) {
    const found = names.get(`${hexOf(row["tenant"] as Uint8Array)} ${hexOf(row["key"] as Uint8Array)}`)
    if (found === undefined) find("queue_ring", undefined, textOf(row["key"] as Uint8Array), "its queue is missing")
    else found.ring = { hasTurn: row["turn"] !== null, wakeUs: row["wake_us"] === null ? null : Number(row["wake_us"]) }
  }
  for await (const row of rowsOf(connection, `SELECT tenant, ${jobColumns} FROM stele.queue_job`, ["tenant", "lane", "id"])) {
    const [found, job] = [at(row), jobOf(row)]
    if (found === undefined || sumOfJob(found.lane, job) !== job.sum) find("queue_job", found, job.id, found === undefined ? "its queue is missing" : changed)
    add(name, row["tenant"] as Uint8Array, { keys: 1, bytes: bytesOfJob(job), sums: job.sum })
    if (found === undefined) continue
    found.counts[job.state] = (found.counts[job.state] ?? 0) + 1
    wakesAt(found, job.wakeUs)
    if (job.orderKey === null || job.state === stateOf.dead) continue
    const head = found.heads.get(job.orderKey) ?? { live: 0, blocked: 0 }
    head[job.state === stateOf.blocked ? "blocked" : "live"]++
    found.heads.set(job.orderKey, head)
  }
  for await (const row of rowsOf(connection, `SELECT tenant, ${scheduleColumns} FROM stele.queue_schedule`, ["tenant", "lane", "name"])) {
    const [found, schedule] = [at(row), scheduledOf(row)]
    if (found === undefined || scheduleSum(found.lane, schedule) !== schedule.sum) find("queue_schedule", found, schedule.name, changed)
    add(name, row["tenant"] as Uint8Array, { keys: 0, bytes: bytesOfSchedule(schedule), sums: schedule.sum })
    if (found !== undefined) wakesAt(found, schedule.nextUs)
  }
  for await (const row of rowsOf(connection, `SELECT tenant, ${idempotencyColumns} FROM stele.queue_idempotency`, ["tenant", "lane", "key"])) {
    const [found, known] = [at(row), knownOf(row)]
    if (found === undefined || idempotencySum(found.lane, known) !== known.sum) find("queue_idempotency", found, known.key, changed)
    add(name, row["tenant"] as Uint8Array, { keys: 0, bytes: bytesOfIdempotency(known), sums: known.sum })
  }
  for (const found of lanes.values()) {
    const { lane, counts, wakeUs, ring, heads } = found
    const is = states.map((state, i) => `${counts[i]} ${state}`).join(", ")
    const was = states.map((state) => `${lane[state as JobState]} ${state}`).join(", ")
    if (is !== was) find("queue_lane", found, "", `${is} jobs are there, ${was} were written`)
    const wakes = lane.ready > 0 || wakeUs === Number.POSITIVE_INFINITY ? null : wakeUs
    const { hasTurn = false, wakeUs: written = null } = ring ?? {}
    if (hasTurn !== lane.ready > 0)
      find("queue_ring", found, "", hasTurn ? "it stands in the ring and has nothing ready" : "it has jobs ready and does not stand in the ring")
    else if (written !== wakes) find("queue_ring", found, "", `it is to wake at ${wakes}, ${written} was written`)
    for (const [orderKey, { live, blocked }] of heads)
      if (live > 1 || (live === 0 && blocked > 0)) find("queue_job", found, orderKey, `${live} jobs of this order key go at once, ${blocked} wait for them`)
  }
  return findings
}
