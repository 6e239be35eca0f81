/** What a group made of a tenant's queues, as statements: rows, counts, and the lanes' places among all tenants'. */
import { type Job, states } from "../queue.ts"
import type { Statement } from "./connection.ts"
import { bytesOrNull, type JobRow, jobColumns, type Known, type Scheduled } from "./queue-row.ts"
import type { QueueState } from "./queue-state.ts"

const utf8 = new TextEncoder()
/** Arrays of the protocol carry no NULL here: a byte before a text says whether there is one, and -1 is no time. */
const flagged = (value: string | null): Uint8Array => {
  const bytes = bytesOrNull(value)
  return bytes === null ? Uint8Array.of(0) : Buffer.concat([Uint8Array.of(1), bytes])
}
const unflagged = (column: string): string => `CASE WHEN get_byte(${column}, 0) = 0 THEN NULL ELSE substring(${column} FROM 2) END`
const big = (value: number | null): bigint => BigInt(value ?? -1)

export function writesOf(state: QueueState): ReadonlyArray<Statement> {
  const { tenant } = state.context
  const gone: Array<JobRow> = []
  const changed: Array<JobRow> = []
  const added: Array<JobRow> = []
  for (const { before, now } of state.jobs.changed()) {
    if (now === undefined) gone.push(before as JobRow)
    // A job keeps its payload; one that was imported over it comes with its own.
    else if (before !== undefined && before.payload === now.payload) changed.push(now)
    else added.push(now)
  }
  return [
    ...lanes(state),
    ...jobsGone(tenant, gone),
    ...jobsChanged(tenant, changed),
    ...jobsAdded(tenant, added),
    ...schedules(state),
    ...known(state),
    ...ring(state),
  ]
}

function lanes(state: QueueState): ReadonlyArray<Statement> {
  const touched = [...state.lanes.values()].filter(({ isTouched }) => isTouched).map(({ lane }) => lane)
  if (touched.length === 0) return []
  return [
    {
      sql: `INSERT INTO stele.queue_lane (tenant, key, id, ${states.join(", ")}) SELECT $1, * FROM unnest($2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[]) ON CONFLICT (tenant, key) DO UPDATE SET ${states.map((each) => `${each} = excluded.${each}`).join(", ")}`,
      parameters: [
        state.context.tenant,
        touched.map(({ key }) => key),
        touched.map(({ id }) => BigInt(id)),
        ...states.map((each) => touched.map((lane) => BigInt(lane[each]))),
      ],
    },
  ]
}

/**
 * The rows of `u`, each by a look into the index: a plan that was made when the table was empty, and is kept for any parameters, would go through all of a
 * tenant's jobs for each group.
 */
const found = "CROSS JOIN LATERAL (SELECT ctid FROM stele.queue_job WHERE tenant = $1 AND lane = u.lane AND id = u.id LIMIT 1) AS f"

const jobsGone = (tenant: Uint8Array, gone: ReadonlyArray<JobRow>): ReadonlyArray<Statement> =>
  gone.length === 0
    ? []
    : [
        {
          sql: `DELETE FROM stele.queue_job AS j USING unnest($2::bigint[], $3::bigint[]) AS u(lane, id) ${found} WHERE j.tenant = $1 AND j.ctid = f.ctid`,
          parameters: [tenant, gone.map(({ lane }) => BigInt(lane)), gone.map(({ id }) => BigInt(id))],
        },
      ]

const jobsChanged = (tenant: Uint8Array, changed: ReadonlyArray<JobRow>): ReadonlyArray<Statement> =>
  changed.length === 0
    ? []
    : [
        {
          sql: `UPDATE stele.queue_job AS j SET state = u.state, rank = u.rank, wake_us = NULLIF(u.wake, -1), token = u.token, attempts = u.attempts, error = ${unflagged("u.error")}, sum = u.sum FROM unnest($2::bigint[], $3::bigint[], $4::int[], $5::bigint[], $6::bigint[], $7::bigint[], $8::int[], $9::bytea[], $10::bigint[]) AS u(lane, id, state, rank, wake, token, attempts, error, sum) ${found} WHERE j.tenant = $1 AND j.ctid = f.ctid`,
          parameters: [
            tenant,
            changed.map(({ lane }) => BigInt(lane)),
            changed.map(({ id }) => BigInt(id)),
            changed.map((job) => job.state),
            changed.map(({ rank }) => BigInt(rank)),
            changed.map(({ wakeUs }) => big(wakeUs)),
            changed.map(({ token }) => BigInt(token)),
            changed.map(({ attempts }) => attempts),
            changed.map(({ error }) => flagged(error)),
            changed.map(({ sum }) => BigInt(sum)),
          ],
        },
      ]

function jobsAdded(tenant: Uint8Array, added: ReadonlyArray<JobRow>): ReadonlyArray<Statement> {
  if (added.length === 0) return []
  const whole = (of: (job: JobRow) => number | null): ReadonlyArray<bigint> => added.map((job) => big(of(job)))
  const text = (of: (job: Job) => string | null): ReadonlyArray<Uint8Array> => added.map((job) => flagged(of(job)))
  const columns = jobColumns.split(", ")
  return [
    {
      sql: `INSERT INTO stele.queue_job (tenant, ${jobColumns}) SELECT $1, u.lane, u.id, state, priority, rank, NULLIF(wake, -1), token, attempts, attempts_max, backoff, backoff_max, enqueued, NULLIF(scheduled, -1), sum, ${["order_key", "idempotency_key", "error"].map(unflagged).join(", ")}, payload FROM unnest($2::bigint[], $3::bigint[], $4::int[], $5::int[], $6::bigint[], $7::bigint[], $8::bigint[], $9::int[], $10::int[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bytea[], $17::bytea[], $18::bytea[], $19::bytea[]) AS u(lane, id, state, priority, rank, wake, token, attempts, attempts_max, backoff, backoff_max, enqueued, scheduled, sum, order_key, idempotency_key, error, payload) ON CONFLICT (tenant, lane, id) DO UPDATE SET ${columns
        .slice(2)
        .map((each) => `${each} = excluded.${each}`)
        .join(", ")}`,
      parameters: [
        tenant,
        whole(({ lane }) => lane),
        whole(({ id }) => id),
        added.map(({ state }) => state),
        added.map(({ priority }) => priority),
        whole(({ rank }) => rank),
        whole(({ wakeUs }) => wakeUs),
        whole(({ token }) => token),
        added.map(({ attempts }) => attempts),
        added.map(({ attemptsMax }) => attemptsMax),
        whole(({ backoffMs }) => backoffMs),
        whole(({ backoffMsMax }) => backoffMsMax),
        whole(({ enqueuedUs }) => enqueuedUs),
        whole(({ scheduledUs }) => scheduledUs),
        whole(({ sum }) => sum),
        text(({ orderKey }) => orderKey),
        text(({ idempotencyKey }) => idempotencyKey),
        text(({ error }) => error),
        added.map(({ payload }) => payload),
      ],
    },
  ]
}

function schedules(state: QueueState): ReadonlyArray<Statement> {
  const { tenant } = state.context
  const all = [...state.schedules.changed()]
  const kept = all.flatMap(({ now }) => (now === undefined ? [] : [now]))
  const gone = all.flatMap(({ before, now }) => (now === undefined ? [before as Scheduled] : []))
  const statements: Array<Statement> = []
  if (gone.length > 0)
    statements.push({
      sql: "DELETE FROM stele.queue_schedule WHERE tenant = $1 AND (lane, name) IN (SELECT * FROM unnest($2::bigint[], $3::bytea[]))",
      parameters: [tenant, gone.map(({ lane }) => BigInt(lane)), gone.map(({ name }) => utf8.encode(name))],
    })
  if (kept.length > 0)
    statements.push({
      sql: "INSERT INTO stele.queue_schedule (tenant, lane, name, next_us, spec, payload, sum) SELECT $1, * FROM unnest($2::bigint[], $3::bytea[], $4::bigint[], $5::bytea[], $6::bytea[], $7::bigint[]) ON CONFLICT (tenant, lane, name) DO UPDATE SET next_us = excluded.next_us, spec = excluded.spec, payload = excluded.payload, sum = excluded.sum",
      parameters: [
        tenant,
        kept.map(({ lane }) => BigInt(lane)),
        kept.map(({ name }) => utf8.encode(name)),
        kept.map(({ nextUs }) => BigInt(nextUs)),
        kept.map(({ spec }) => utf8.encode(spec)),
        kept.map(({ payload }) => payload),
        kept.map(({ sum }) => BigInt(sum)),
      ],
    })
  return statements
}

function known(state: QueueState): ReadonlyArray<Statement> {
  const { tenant } = state.context
  const all = [...state.known.changed()]
  const kept = all.flatMap(({ now }) => (now === undefined ? [] : [now]))
  const gone = all.flatMap(({ before, now }) => (now === undefined ? [before as Known] : []))
  const statements: Array<Statement> = []
  if (gone.length > 0)
    statements.push({
      sql: "DELETE FROM stele.queue_idempotency WHERE tenant = $1 AND (lane, key) IN (SELECT * FROM unnest($2::bigint[], $3::bytea[]))",
      parameters: [tenant, gone.map(({ lane }) => BigInt(lane)), gone.map(({ key }) => utf8.encode(key))],
    })
  if (kept.length > 0)
    statements.push({
      sql: "INSERT INTO stele.queue_idempotency (tenant, lane, key, job, digest, until_us, sum) SELECT $1, * FROM unnest($2::bigint[], $3::bytea[], $4::bigint[], $5::bytea[], $6::bigint[], $7::bigint[]) ON CONFLICT (tenant, lane, key) DO UPDATE SET job = excluded.job, digest = excluded.digest, until_us = excluded.until_us, sum = excluded.sum",
      parameters: [
        tenant,
        kept.map(({ lane }) => BigInt(lane)),
        kept.map(({ key }) => utf8.encode(key)),
        kept.map(({ job }) => BigInt(job)),
        kept.map(({ digest }) => digest),
        kept.map(({ untilUs }) => BigInt(untilUs)),
        kept.map(({ sum }) => BigInt(sum)),
      ],
    })
  return statements
}

/** The first end of a wait, a lease or a schedule's time in a lane: `$1` the tenant. */
export const wakeOf = (lane: string): string =>
  `LEAST((SELECT wake_us FROM stele.queue_job WHERE tenant = $1 AND lane = ${lane} AND wake_us IS NOT NULL ORDER BY wake_us LIMIT 1), (SELECT next_us FROM stele.queue_schedule WHERE tenant = $1 AND lane = ${lane} ORDER BY next_us LIMIT 1))`

/** A lane with ready jobs stands in the ring, another one waits for the first thing that comes due; who joins stands at the end. */
function ring(state: QueueState): ReadonlyArray<Statement> {
  const { tenant } = state.context
  return [...state.lanes.values()].flatMap(({ lane, before, isTouched, wasEmptied }): ReadonlyArray<Statement> => {
    const { key, id, ready } = lane
    if (!isTouched || (ready > 0 && !wasEmptied && before !== undefined && before.ready > 0)) return []
    const put = "ON CONFLICT (tenant, key) DO UPDATE SET turn = excluded.turn, given = 0, wake_us = excluded.wake_us"
    if (ready > 0)
      return [{ sql: `INSERT INTO stele.queue_ring (tenant, key, turn) VALUES ($1, $2, nextval('stele.queue_turn')) ${put}`, parameters: [tenant, key] }]
    return [
      { sql: "DELETE FROM stele.queue_ring WHERE tenant = $1 AND key = $2", parameters: [tenant, key] },
      {
        sql: `INSERT INTO stele.queue_ring (tenant, key, wake_us) SELECT $1, $2, us FROM (SELECT ${wakeOf("$3")} AS us) AS w WHERE us IS NOT NULL`,
        parameters: [tenant, key, BigInt(id)],
      },
    ]
  })
}
