/** The queue's table: its questions, records, erasure and checks. `docs/adr/0014-queue.md` says how it is built, also on a server. */
import type { QueueDepth, QueueOperation, QueueQuestion } from "../../port/queue.ts"
import { exportBytesMax } from "../../port/tenant.ts"
import { states } from "../queue.ts"
import { fieldsOfJob, kinds, orderIn, placeIn, scheduleOf } from "../queue-row.ts"
import { orderOf, placeOfOrder } from "../record.ts"
import { after, rowsMax } from "../row.ts"
import type { Connection, Row, Statement } from "./connection.ts"
import type { Total } from "./group.ts"
import { checkQueue } from "./queue-check.ts"
import { QueueDraft } from "./queue-draft.ts"
import {
  idempotencyBytes,
  idempotencyColumns,
  infoOf,
  jobBytes,
  jobColumns,
  jobOf,
  knownOf,
  name,
  scheduleBytes,
  scheduleColumns,
  scheduledOf,
  verified,
  verifiedKnown,
  verifiedSchedule,
} from "./queue-row.ts"
import { wakeOf } from "./queue-write.ts"
import { cut, eraseRows } from "./rows.ts"
import type { Context, Erased, Page, Query, Table } from "./table.ts"

const utf8 = new TextEncoder()
const noBytes = new Uint8Array(0)

function ask({ store, tenant }: Context, question: QueueQuestion): Query {
  const { key } = question
  const from = (what: string, columns: string): string =>
    `SELECT ${columns} FROM stele.${what} WHERE tenant = $1 AND lane = (SELECT id FROM stele.queue_lane WHERE tenant = $1 AND key = $2)`
  const info = (row: Row) => infoOf(verified(store, { tenant, key }, jobOf(row)))
  switch (question.ask) {
    case "job":
      return {
        statements: [
          {
            sql: `${from("queue_job", jobColumns)} AND id = $3::bigint`,
            parameters: [tenant, key, BigInt(Number.isSafeInteger(question.id) ? question.id : -1)],
          },
        ],
        answer: ([row] = []) => (row === undefined ? undefined : info(row)),
      }
    case "dead":
      return {
        statements: [
          {
            sql: `${from("queue_job", jobColumns)} AND state = 4 AND id > $3::bigint ORDER BY id LIMIT $4`,
            parameters: [tenant, key, BigInt(Math.trunc(question.after)), BigInt(rowsMax(question.countMax))],
          },
        ],
        answer: (rows) => rows.map(info),
      }
    case "schedules":
      return {
        statements: [{ sql: `${from("queue_schedule", scheduleColumns)} ORDER BY name`, parameters: [tenant, key] }],
        answer: (rows) =>
          rows.map((row) => {
            const found = verifiedSchedule(store, { tenant, key }, scheduledOf(row))
            return { schedule: scheduleOf(found), nextUs: found.nextUs }
          }),
      }
    case "queue":
      return depthOf(key, tenant)
    case "ready": {
      const end = after(key)
      return {
        statements: [
          {
            sql: `SELECT key FROM stele.queue_ring WHERE tenant = $1 AND key >= $2 AND (turn IS NOT NULL OR wake_us <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)${end === undefined ? "" : " AND key < $4"} ORDER BY key LIMIT $3`,
            parameters: [tenant, key, BigInt(rowsMax(question.countMax)), ...(end === undefined ? [] : [end])],
          },
        ],
        answer: (rows) => rows.map((row) => row["key"] as Uint8Array),
      }
    }
  }
}

/** Of all tenants for whoever sees them. */
export function depthOf(key: Uint8Array, tenant: Uint8Array | undefined): Query<QueueDepth> {
  return {
    statements: [
      {
        sql: `SELECT ${states.map((state) => `coalesce(sum(${state}), 0)::bigint AS ${state}`).join(", ")}, count(*) FILTER (WHERE ready + waiting + blocked + leased + dead > 0) AS tenants,
          min((SELECT enqueued_us FROM stele.queue_job j WHERE j.tenant = l.tenant AND j.lane = l.id AND j.state = 0 ORDER BY rank, j.id LIMIT 1)) AS oldest
          FROM stele.queue_lane l WHERE l.key = $1${tenant === undefined ? "" : " AND l.tenant = $2"}`,
        parameters: [key, ...(tenant === undefined ? [] : [tenant])],
      },
    ],
    answer([row = {}] = []) {
      const [ready, waiting, blocked, leased, dead] = states.map((state) => Number(row[state])) as [number, number, number, number, number]
      return { ready, waiting, blocked, leased, dead, tenants: Number(row["tenants"]), oldestUs: row["oldest"] === null ? undefined : Number(row["oldest"]) }
    },
  }
}

/** Lane after lane by the length of their names and the names, kind after kind: what belongs to a kind is asked for at once. */
function exported({ store, tenant }: Context, after: Uint8Array | undefined, countMax: number): Query<Page> {
  const from = after === undefined ? undefined : placeIn(after)
  const count = rowsMax(countMax)
  const statement = (kind: (typeof kinds)[number]): Statement => {
    const parameters: Array<unknown> = [tenant, BigInt(count + 1)]
    let [lanes, rows] = ["true", "true"]
    const [columns, table, own] = {
      job: [jobColumns, "queue_job", "id"] as const,
      schedule: [scheduleColumns, "queue_schedule", "name"] as const,
      idempotency: [idempotencyColumns, "queue_idempotency", "key"] as const,
    }[kind]
    if (from?.kind === kind) {
      const end = kind === "job" ? BigInt(placeOfOrder(from.own)?.number ?? 0) : from.own
      lanes = "(length(key), key) >= ($3::int, $4::bytea)"
      rows = `(l.key <> $4::bytea OR r.${own} > $5::${kind === "job" ? "bigint" : "bytea"})`
      parameters.push(from.key.length, from.key, end)
    }
    const bytes = kind === "job" ? "length(payload)" : kind === "schedule" ? "length(payload) + length(spec)" : "0"
    return {
      sql: `SELECT * FROM (SELECT *, sum(${bytes}) OVER (ORDER BY length(queue), queue, ${own}) - ${bytes} AS before FROM (SELECT l.key AS queue, r.* FROM (SELECT id, key FROM stele.queue_lane WHERE tenant = $1 AND ${lanes}) AS l CROSS JOIN LATERAL (SELECT ${columns} FROM stele.${table} r WHERE tenant = $1 AND lane = l.id AND ${rows} ORDER BY ${own} LIMIT $2) AS r ORDER BY length(l.key), l.key, r.${own} LIMIT $2) AS e) AS m WHERE before <= ${exportBytesMax} ORDER BY length(queue), queue, ${own}`,
      parameters,
    }
  }
  const first = from === undefined ? 0 : kinds.indexOf(from.kind)
  const asked = kinds.slice(first)
  const recordOf = (kind: (typeof kinds)[number], row: Row) => {
    const lane = { tenant, key: row["queue"] as Uint8Array }
    if (kind === "job") {
      const job = verified(store, lane, jobOf(row))
      return { order: orderIn(kind, lane, orderOf(noBytes, job.id)), fields: fieldsOfJob(job) }
    }
    if (kind === "schedule") {
      const { name, nextUs, spec, payload } = verifiedSchedule(store, lane, scheduledOf(row))
      return { order: orderIn(kind, lane, utf8.encode(name)), fields: { nextUs: BigInt(nextUs), spec: utf8.encode(spec), payload } }
    }
    const { key, job, digest, untilUs } = verifiedKnown(store, lane, knownOf(row))
    return { order: orderIn(kind, lane, utf8.encode(key)), fields: { job: BigInt(job), digest, untilUs: BigInt(untilUs) } }
  }
  return {
    statements: asked.map(statement),
    answer(...all) {
      const records: Array<Page["records"][number]> = []
      for (const [i, kind] of asked.entries()) {
        const page = cut(all[i] ?? [], count - records.length, (row) => recordOf(kind, row))
        records.push(...page.records)
        if (!page.isComplete) return { records, isComplete: false }
      }
      return { records, isComplete: true }
    },
  }
}

/** Jobs, schedules and keys in steps, with what their lanes count of them; the lanes last. The newest jobs first: who waits for another does not outlive it. */
async function erase({ tenant }: Context, connection: Connection, countMax: number): Promise<Erased> {
  const parts: Array<readonly [string, Total]> = []
  const [gone] = await connection.one(
    `WITH gone AS (DELETE FROM stele.queue_job WHERE tenant = $1 AND ctid IN (SELECT ctid FROM stele.queue_job WHERE tenant = $1 ORDER BY lane DESC, id DESC LIMIT $2) RETURNING lane, state, (${jobBytes})::bigint AS bytes, sum),
      less AS (SELECT lane, ${states.map((state, i) => `count(*) FILTER (WHERE state = ${i}) AS ${state}`).join(", ")} FROM gone GROUP BY lane),
      counted AS (UPDATE stele.queue_lane AS l SET ${states.map((state) => `${state} = l.${state} - less.${state}`).join(", ")} FROM less WHERE l.tenant = $1 AND l.id = less.lane)
      SELECT count(*) AS count, coalesce(sum(bytes), 0)::bigint AS bytes, coalesce(bit_xor(sum), 0) AS sums FROM gone`,
    [tenant, BigInt(countMax)],
  )
  let count = Number(gone?.["count"])
  parts.push([name, { keys: -count, bytes: -Number(gone?.["bytes"]), sums: Number(gone?.["sums"]) }])
  for (const [table, bytes] of [
    ["queue_schedule", scheduleBytes],
    ["queue_idempotency", idempotencyBytes],
  ] as const) {
    if (count >= countMax) break
    const { count: less, part } = await eraseRows(connection, table, tenant, bytes, 0, countMax - count)
    parts.push([name, { ...part, keys: 0 }])
    count += less
  }
  await connection.one("DELETE FROM stele.queue_ring WHERE tenant = $1", [tenant])
  if (count < countMax) {
    const [lanes] = await connection.one(
      "WITH gone AS (DELETE FROM stele.queue_lane WHERE tenant = $1 AND key IN (SELECT key FROM stele.queue_lane WHERE tenant = $1 LIMIT $2) RETURNING 1) SELECT count(*) AS count FROM gone",
      [tenant, BigInt(countMax - count)],
    )
    count += Number(lanes?.["count"])
  }
  await connection.one(
    `INSERT INTO stele.queue_ring (tenant, key, turn, wake_us) SELECT $1, key, CASE WHEN ready > 0 THEN nextval('stele.queue_turn') END, CASE WHEN ready = 0 THEN us END FROM (SELECT key, ready, ${wakeOf("l.id")} AS us FROM stele.queue_lane l WHERE tenant = $1) AS e WHERE ready > 0 OR us IS NOT NULL`,
    [tenant],
  )
  return { count, parts }
}

export const queueTable: Table<QueueOperation, QueueQuestion> = {
  name,
  counts: "job",
  operations: ["enqueue", "lease", "extend", "complete", "release", "fail", "cancel", "redrive", "schedule", "unschedule"],
  questions: ["job", "queue", "dead", "schedules", "ready"],
  bytesMax: ({ queue }) => queue.totalBytesMax,
  grows: (operation) =>
    operation.op === "enqueue"
      ? operation.jobs.reduce((sum, { payload }) => sum + (payload?.length ?? 0), 0)
      : operation.op === "schedule"
        ? (operation.schedule?.job?.payload?.length ?? 0)
        : 0,
  draft: (context, operations) => new QueueDraft(context, operations),
  ask,
  export: exported,
  erase,
  check: checkQueue,
}
