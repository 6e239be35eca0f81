/** What a group's operations on queues will look at, read in as few ways to the server as what they name allows: lanes, then rows, then order keys. */
import type { QueueOperation } from "../../port/queue.ts"
import type { Rewrite } from "../../port/tenant.ts"
import { stateOf } from "../queue.ts"
import { placeIn, scheduleOf } from "../queue-row.ts"
import { placeOfOrder } from "../record.ts"
import type { Answer, Statement } from "./connection.ts"
import { bytesOrNull, idempotencyColumns, jobColumns, jobOf, knownOf, laneColumns, laneOf, scheduleColumns, scheduledOf } from "./queue-row.ts"
import type { Open, QueueState } from "./queue-state.ts"
import type { Import, Load } from "./table.ts"
import { hexOf } from "./tenant.ts"

/** A lease of turns that the ring has given out may be one of none: it wakes what has come due. */
export type QueueChange = (QueueOperation & { readonly isTurn?: boolean }) | Import | Rewrite

/** Jobs and schedules of one lane that a group wakes at most: the rest is for the next lease. */
const wakesMax = 256
const utf8 = new TextEncoder()
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

/** What is named of one queue. */
interface Wanted {
  readonly key: Uint8Array
  readonly ids: Set<number>
  readonly schedules: Set<string>
  readonly known: Set<string>
  readonly orderKeys: Set<string>
  /** Jobs that leases may take, and dead ones that may be enqueued again. */
  leased: number
  redriven: number
  enqueued: number
  isLeased: boolean
  isScheduled: boolean
}

/** Also of what is refused later: a number that the server's integers and limits know. */
const counted = (value: unknown, most: number): number => (Number.isSafeInteger(value) ? Math.max(0, Math.min(value as number, most)) : 0)
const isId = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

export class QueueLoad {
  readonly first: ReadonlyArray<Statement>
  readonly #state: QueueState
  readonly #wanted = new Map<string, Wanted>()

  constructor(state: QueueState, operations: ReadonlyArray<QueueChange>) {
    this.#state = state
    for (const operation of operations) this.#want(operation)
    this.first = [
      {
        sql: `SELECT ${laneColumns} FROM stele.queue_lane WHERE tenant = $1 AND key = ANY($2::bytea[])`,
        parameters: [state.context.tenant, [...this.#wanted.values()].map(({ key }) => key)],
      },
    ]
  }

  #of(key: Uint8Array): Wanted {
    const id = hexOf(key)
    let wanted = this.#wanted.get(id)
    if (wanted === undefined) {
      wanted = {
        key,
        ids: new Set(),
        schedules: new Set(),
        known: new Set(),
        orderKeys: new Set(),
        leased: 0,
        redriven: 0,
        enqueued: 0,
        isLeased: false,
        isScheduled: false,
      }
      this.#wanted.set(id, wanted)
    }
    return wanted
  }

  #want(operation: QueueChange): void {
    const { batchJobsMax } = this.#state.limits
    switch (operation.op) {
      case "extend":
      case "complete":
      case "release":
        for (const { key, id } of operation.leases) if (isId(id)) this.#of(key).ids.add(id)
        return
      case "enqueue": {
        const wanted = this.#of(operation.key)
        wanted.enqueued += operation.jobs.length
        for (const { orderKey, idempotencyKey } of operation.jobs) {
          if (typeof orderKey === "string") wanted.orderKeys.add(orderKey)
          if (typeof idempotencyKey === "string") wanted.known.add(idempotencyKey)
        }
        return
      }
      case "lease": {
        const wanted = this.#of(operation.key)
        wanted.isLeased = true
        wanted.leased += counted(operation.countMax, batchJobsMax)
        return
      }
      case "fail":
      case "cancel":
        if (isId(operation.id)) this.#of(operation.key).ids.add(operation.id)
        return
      case "redrive": {
        const wanted = this.#of(operation.key)
        if (operation.id === undefined) wanted.redriven += counted(operation.countMax, batchJobsMax)
        else if (isId(operation.id)) wanted.ids.add(operation.id)
        return
      }
      case "schedule":
        this.#of(operation.key).isScheduled = true
        if (typeof operation.schedule?.name === "string") this.#of(operation.key).schedules.add(operation.schedule.name)
        return
      case "unschedule":
        if (typeof operation.name === "string") this.#of(operation.key).schedules.add(operation.name)
        return
      case "rewrite":
      case "import": {
        const place = placeIn(operation.op === "import" ? operation.record.order : operation.order)
        if (place === undefined) return
        const wanted = this.#of(place.key)
        const own = place.kind === "job" ? placeOfOrder(place.own)?.number : undefined
        if (own !== undefined) wanted.ids.add(own)
        if (place.kind === "schedule") wanted.schedules.add(decoder.decode(place.own))
        if (place.kind === "idempotency") wanted.known.add(decoder.decode(place.own))
      }
    }
  }

  async take([lanes]: ReadonlyArray<Answer>, load: Load): Promise<void> {
    const state = this.#state
    const { tenant } = state.context
    for (const row of lanes?.rows ?? []) state.open(laneOf(tenant, row), laneOf(tenant, row))
    const second: Array<readonly [Statement, (answer: Answer) => void]> = []
    const ask = (sql: string, parameters: ReadonlyArray<unknown>, take: (answer: Answer) => void): void =>
      void second.push([{ sql, parameters: [tenant, ...parameters] }, take])
    if (state.lanes.size < this.#wanted.size)
      ask("SELECT count(*) AS queues FROM stele.queue_lane WHERE tenant = $1", [], ({ rows }) => (state.queues = Number(rows[0]?.["queues"])))
    for (const wanted of this.#wanted.values()) {
      const open = state.find(wanted.key)
      if (open !== undefined) this.#rows(open, wanted, ask)
    }
    const answers = second.length === 0 ? [] : await load(second.map(([statement]) => statement))
    for (const [i, answer] of answers.entries()) second[i]?.[1](answer)
    await this.#behind(load)
  }

  #rows(open: Open, wanted: Wanted, ask: (sql: string, parameters: ReadonlyArray<unknown>, take: (answer: Answer) => void) => void): void {
    const state = this.#state
    const lane = BigInt(open.lane.id)
    const jobs = ({ rows }: Answer): void => rows.forEach((row) => state.readJob(jobOf(row)))
    const select = (what: string, from: string, where: string): string => `SELECT ${what} FROM stele.${from} WHERE tenant = $1 AND lane = $2 AND ${where}`
    if (wanted.ids.size > 0) ask(select(jobColumns, "queue_job", "id = ANY($3::bigint[])"), [lane, [...wanted.ids].map(BigInt)], jobs)
    if (wanted.isLeased) {
      // Those that are named may be taken away before.
      if (wanted.leased > 0) ask(select(jobColumns, "queue_job", "state = 0 ORDER BY rank, id LIMIT $3"), [lane, BigInt(wanted.leased + wanted.ids.size)], jobs)
      ask(select(jobColumns, "queue_job", `wake_us <= ${nowUs} ORDER BY wake_us LIMIT ${wakesMax}`), [lane], (answer) => {
        jobs(answer)
        open.due.push(...answer.rows.map((row) => Number(row["id"])))
      })
      ask(select(scheduleColumns, "queue_schedule", `next_us <= ${nowUs} ORDER BY next_us LIMIT ${wakesMax}`), [lane], ({ rows }) => {
        for (const row of rows.map(scheduledOf)) {
          state.schedules.read(row.name, row)
          open.dueSchedules.push(row.name)
          const { orderKey } = scheduleOf(row).job
          if (orderKey !== undefined) wanted.orderKeys.add(orderKey)
        }
      })
    }
    if (wanted.redriven > 0) ask(select(jobColumns, "queue_job", "state = 4 ORDER BY id LIMIT $3"), [lane, BigInt(wanted.redriven + wanted.ids.size)], jobs)
    if (wanted.schedules.size > 0)
      ask(select(scheduleColumns, "queue_schedule", "name = ANY($3::bytea[])"), [lane, [...wanted.schedules].map((name) => utf8.encode(name))], ({ rows }) =>
        rows.map(scheduledOf).forEach((row) => state.schedules.read(row.name, row)),
      )
    if (wanted.isScheduled) ask(select("count(*) AS n", "queue_schedule", "true"), [lane], ({ rows }) => (open.schedules = Number(rows[0]?.["n"])))
    if (wanted.known.size > 0)
      ask(select(idempotencyColumns, "queue_idempotency", "key = ANY($3::bytea[])"), [lane, [...wanted.known].map((name) => utf8.encode(name))], ({ rows }) =>
        rows.map(knownOf).forEach((row) => state.known.read(row.key, row)),
      )
    if (wanted.enqueued > 0)
      ask(
        select(idempotencyColumns, "queue_idempotency", `until_us <= ${nowUs} ORDER BY until_us LIMIT $3`),
        [lane, BigInt(2 * wanted.enqueued)],
        ({ rows }) => {
          for (const row of rows.map(knownOf)) {
            state.known.read(row.key, row)
            state.over.push(row)
          }
        },
      )
  }

  /** Of each order key that may be looked at, the first jobs: as many as may leave, one that is ended by waking, and the one after them. */
  async #behind(load: Load): Promise<void> {
    const state = this.#state
    const { tenant } = state.context
    const statements: Array<Statement> = []
    for (const wanted of this.#wanted.values()) {
      const open = state.find(wanted.key)
      if (open === undefined) continue
      const counts = new Map([...wanted.orderKeys].map((orderKey) => [orderKey, 2]))
      const due = new Set(open.due)
      for (const { lane, id, orderKey, state: is } of state.jobs.now()) {
        if (lane !== open.lane.id || orderKey === null) continue
        if (wanted.ids.has(id) || due.has(id) || is === stateOf.dead) counts.set(orderKey, (counts.get(orderKey) ?? 2) + 1)
      }
      const lane = BigInt(open.lane.id)
      if (counts.size > 0)
        statements.push({
          sql: `SELECT j.* FROM unnest($3::bytea[], $4::bigint[]) AS w(name, n) CROSS JOIN LATERAL (SELECT ${jobColumns} FROM stele.queue_job WHERE tenant = $1 AND lane = $2 AND order_key = w.name AND state < 4 ORDER BY order_key, id LIMIT w.n) AS j`,
          parameters: [tenant, lane, [...counts.keys()].map(bytesOrNull), [...counts.values()].map(BigInt)],
        })
      const over = state.over.filter((row) => row.lane === open.lane.id)
      if (over.length > 0)
        statements.push({
          sql: `SELECT ${jobColumns} FROM stele.queue_job WHERE tenant = $1 AND lane = $2 AND id = ANY($3::bigint[])`,
          parameters: [tenant, lane, over.map(({ job }) => BigInt(job))],
        })
    }
    if (statements.length === 0) return
    for (const { rows } of await load(statements)) for (const row of rows) state.readJob(jobOf(row))
  }
}

/** Not before the tenant's newest commit, like the group's own, and not before the group's. */
const nowUs = "(SELECT GREATEST(committed_us, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) FROM stele.tenant WHERE tenant = $1)"
