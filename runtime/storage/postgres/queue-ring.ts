/**
 * Leases of a queue for all tenants: the role that sees them all gives out turns, and each tenant's jobs are then leased in a
 * transaction that is bound to it, like any operation. Which jobs, that role never reads.
 */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Leased, LeasedJob, QueueDepth, QueueLimits, QueueOperation } from "../../port/queue.ts"
import { whole } from "../queue.ts"
import type { ConnectionSettings } from "./connection.ts"
import { storageError } from "./failure.ts"
import { Pool } from "./pool.ts"
import { depthOf } from "./queue.ts"
import type { QueueChange } from "./queue-load.ts"
import { serviceRole, workerRole } from "./schema.ts"
import { checkWorker } from "./session.ts"
import { nameOfTenant } from "./tenant.ts"

/** Lanes that one lease wakes at most: each is a commit of its tenant's. */
const lanesMax = 32
/** How often turns are asked for that others have used up meanwhile. */
const attemptsMax = 3
const connectionsMax = 2

const now = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

export type LeaseOfAll = QueueOperation & { readonly op: "lease" }
type Apply = (batch: ReadonlyArray<QueueChange>) => Promise<ReadonlyArray<unknown>>

export class Ring {
  readonly #limits: QueueLimits
  readonly #pool: Pick<Pool, "address" | "use" | "close">
  readonly #apply: Apply

  /** `pool` lends sessions that act as `workerRole`. */
  constructor(pool: Pick<Pool, "address" | "use" | "close">, limits: QueueLimits, apply: Apply) {
    this.#limits = limits
    this.#pool = pool
    this.#apply = apply
  }

  static of(settings: ConnectionSettings, limits: QueueLimits, apply: Apply): Ring {
    return new Ring(new Pool(settings, connectionsMax, (connection) => checkWorker(connection, settings.address)), limits, apply)
  }

  /** @throws ConfigError `Option`; StorageError `Busy`, `Corrupt` and what else a tenant's own lease throws, when nobody's succeeded */
  async lease({ key, countMax, leaseMs }: LeaseOfAll): Promise<Leased> {
    whole("countMax", countMax, 1, this.#limits.batchJobsMax, "jobs", "batchJobsMax")
    whole("leaseMs", leaseMs, 1, this.#limits.leaseMsMax, "ms", "leaseMsMax")
    const jobs: Array<LeasedJob> = []
    const leaseOf = async (tenant: Uint8Array, count: number): Promise<Leased> => {
      const [leased] = await this.#apply([{ op: "lease", tenant: nameOfTenant(tenant), key, countMax: count, leaseMs, isTurn: true }])
      return leased as Leased
    }
    await this.#wake(key, leaseOf)
    let latestUs = 0
    for (let attempt = 0; attempt < attemptsMax && jobs.length === 0; attempt++) {
      const turns = await this.#turns(key, countMax)
      if (turns.length === 0) break
      const counts = new Map<string, { readonly tenant: Uint8Array; count: number }>()
      for (const { id, tenant, count } of turns) counts.set(id, { tenant, count: (counts.get(id)?.count ?? 0) + count })
      const outcomes = await Promise.allSettled([...counts.values()].map(({ tenant, count }) => leaseOf(tenant, count)))
      const given = new Map<string, Array<LeasedJob>>()
      for (const [i, id] of [...counts.keys()].entries()) {
        const outcome = outcomes[i]
        if (outcome?.status !== "fulfilled") continue
        given.set(id, [...outcome.value.jobs])
        latestUs = Math.max(latestUs, outcome.value.nowUs)
      }
      for (const { id, count } of turns) jobs.push(...(given.get(id)?.splice(0, count) ?? []))
      const refused = outcomes.find(({ status }) => status === "rejected")
      // What others of them were given is held: it is handed out, and the next lease meets the same refusal.
      if (jobs.length === 0 && refused?.status === "rejected") throw refused.reason
    }
    const next = await this.#next(key)
    return { jobs, nowUs: Math.max(latestUs, next.nowUs), nextUs: next.nextUs }
  }

  /** Lets in what has come due where nothing is ready, the longest first. Whom something is in the way of is woken by a later lease. */
  async #wake(key: Uint8Array, leaseOf: (tenant: Uint8Array, count: number) => Promise<Leased>): Promise<void> {
    const rows = await this.#ask(`SELECT tenant FROM stele.queue_ring WHERE key = $1 AND wake_us <= ${now} ORDER BY wake_us LIMIT ${lanesMax}`, [key])
    const outcomes = await Promise.allSettled(rows.map((row) => leaseOf(row["tenant"] as Uint8Array, 0)))
    const refused = outcomes.find(({ status }) => status === "rejected")
    if (refused?.status === "rejected" && outcomes.every(({ status }) => status === "rejected")) throw refused.reason
  }

  async #turns(key: Uint8Array, countMax: number): Promise<ReadonlyArray<{ readonly id: string; readonly tenant: Uint8Array; readonly count: number }>> {
    const quota = Math.max(1, Math.min(1e6, Math.floor(this.#limits.turnJobs)))
    const rows = await this.#ask("SELECT whose, jobs FROM stele.queue_turns($1, $2::int, $3::int)", [key, countMax, quota])
    return rows.map((row) => {
      const tenant = row["whose"] as Uint8Array
      return { id: Buffer.from(tenant).toString("hex"), tenant, count: Number(row["jobs"]) }
    })
  }

  async #next(key: Uint8Array): Promise<Pick<Leased, "nowUs" | "nextUs">> {
    const [row] = await this.#ask(
      `SELECT ${now} AS now, EXISTS (SELECT FROM stele.queue_ring WHERE key = $1 AND turn IS NOT NULL) AS ready, (SELECT min(wake_us) FROM stele.queue_ring WHERE key = $1 AND wake_us IS NOT NULL) AS us`,
      [key],
    )
    const nowUs = Number(row?.["now"])
    return { nowUs, nextUs: row?.["ready"] === true ? nowUs : row?.["us"] === null ? undefined : Number(row?.["us"]) }
  }

  async #ask(sql: string, parameters: ReadonlyArray<unknown>): Promise<ReadonlyArray<Readonly<Record<string, unknown>>>> {
    try {
      return await this.#pool.use((connection) => connection.one(sql, parameters))
    } catch (error) {
      throw storageError(this.#pool.address, error)
    }
  }

  async depth(key: Uint8Array): Promise<QueueDepth> {
    const { statements, answer } = depthOf(key, undefined)
    const [statement] = statements
    return answer(await this.#ask(statement?.sql ?? "", statement?.parameters ?? []))
  }

  close(): Promise<void> {
    return this.#pool.close()
  }
}

/** A store that was opened for one tenant at a time gives out no turns. */
export const noRing = (store: string): StorageError =>
  new StorageError("Role", {
    store,
    role: serviceRole,
    detail: '"lease" without a tenant concerns all tenants, and the store was opened for one at a time',
    wanted: workerRole,
  })
