/**
 * Lanes: the jobs of one tenant in one queue, counted by state. Lanes with ready jobs stand in a ring: a lease takes from
 * them in turn, and a lane that gets its first ready job stands at the end. So before the k-th ready job of a tenant at
 * most k jobs of each other tenant are leased, however many those have.
 */
import type { StatementSync } from "node:sqlite"
import type { JobState } from "../../port/queue.ts"
import type { Place } from "../../port/place.ts"
import { states } from "../queue.ts"
import { after } from "../row.ts"

export interface Lane extends Place, Record<JobState, number> {
  readonly id: number
  /** Place in the ring, the smallest first. */
  turn: number
  /** Jobs that it gave of a turn which is not over. */
  given: number
  /** When the first wait, lease or schedule of the lane ends. */
  wakeUs: number | null
  isInRing: boolean
  isChanged: boolean
}

export const laneColumns = "id, tenant, key, turn, given, ready, waiting, blocked, leased, dead, wake_us AS wakeUs"

/** The lanes that one operation touches: each is read once and written once. */
export class Lanes {
  readonly #sql: (sql: string) => StatementSync
  readonly #byId = new Map<number, Lane>()
  readonly #byPlace = new Map<string, Lane>()

  constructor(sql: (sql: string) => StatementSync) {
    this.#sql = sql
  }

  #taken(row: unknown): Lane {
    const { id, ready } = row as Lane
    let lane = this.#byId.get(id)
    if (lane === undefined) {
      lane = { ...(row as Lane), isInRing: ready > 0, isChanged: false }
      this.#byId.set(id, lane)
      this.#byPlace.set(nameOf(lane), lane)
    }
    return lane
  }

  find(place: Place): Lane | undefined {
    const known = this.#byPlace.get(nameOf(place))
    if (known !== undefined) return known
    const row = this.#sql(`SELECT ${laneColumns} FROM queue_lane WHERE tenant = ? AND key = ?`).get(place.tenant, place.key)
    return row === undefined ? undefined : this.#taken(row)
  }

  byId(id: number): Lane | undefined {
    const known = this.#byId.get(id)
    if (known !== undefined) return known
    const row = this.#sql(`SELECT ${laneColumns} FROM queue_lane WHERE id = ?`).get(id)
    return row === undefined ? undefined : this.#taken(row)
  }

  make({ tenant, key }: Place): Lane {
    const sql = `INSERT INTO queue_lane (tenant, key, turn, given, ready, waiting, blocked, leased, dead) VALUES (?, ?, 0, 0, 0, 0, 0, 0, 0) RETURNING ${laneColumns}`
    return this.#taken(this.#sql(sql).get(tenant, key))
  }

  /** Lanes with nothing ready in which something has come due, the longest first. */
  due(key: Uint8Array, nowUs: number, countMax: number): ReadonlyArray<Lane> {
    const sql = `SELECT ${laneColumns} FROM queue_lane WHERE key = ? AND ready = 0 AND wake_us <= ? ORDER BY wake_us LIMIT ?`
    return this.#sql(sql)
      .all(key, nowUs, countMax)
      .map((row) => this.#taken(row))
  }

  /** Names of a tenant's lanes that start with `key` and have something to lease. */
  ready({ tenant, key }: Place, nowUs: number, countMax: number): ReadonlyArray<Uint8Array> {
    const sql = "SELECT key FROM queue_lane WHERE tenant = ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3) AND (ready > 0 OR wake_us <= ?4) ORDER BY key LIMIT ?5"
    return this.#sql(sql)
      .all(tenant, key, after(key) ?? null, nowUs, countMax)
      .map((row) => row["key"] as Uint8Array)
  }

  /** The first lanes of the ring. */
  ring(key: Uint8Array, countMax: number): ReadonlyArray<Lane> {
    return this.#sql(`SELECT ${laneColumns} FROM queue_lane WHERE key = ? AND ready > 0 ORDER BY turn, id LIMIT ?`)
      .all(key, countMax)
      .map((row) => this.#taken(row))
  }

  /** When the next lane of the queue has something due; now, if one has jobs that are ready. */
  nextUs(key: Uint8Array, nowUs: number): number | undefined {
    if (this.#sql("SELECT 1 FROM queue_lane WHERE key = ? AND ready > 0 LIMIT 1").get(key) !== undefined) return nowUs
    const row = this.#sql("SELECT wake_us AS us FROM queue_lane WHERE key = ? AND ready = 0 AND wake_us IS NOT NULL ORDER BY wake_us LIMIT 1").get(key)
    return row === undefined ? undefined : Number(row["us"])
  }

  /** The last place of the ring. */
  #lastTurn(key: Uint8Array): number {
    const row = this.#sql("SELECT turn FROM queue_lane WHERE key = ? AND ready > 0 ORDER BY turn DESC LIMIT 1").get(key)
    return Number(row?.["turn"] ?? 0)
  }

  /** Moves lanes to the end of the ring, in this order. */
  toEnd(lanes: ReadonlyArray<Lane>): void {
    let turn: number | undefined
    for (const lane of lanes) {
      turn ??= this.#lastTurn(lane.key)
      lane.turn = ++turn
      lane.given = 0
      lane.isInRing = true
      lane.isChanged = true
    }
  }

  /** After its last row. */
  remove(lane: Lane): void {
    this.#byId.delete(lane.id)
    this.#byPlace.delete(nameOf(lane))
    this.#sql("DELETE FROM queue_lane WHERE id = ?").run(lane.id)
  }

  /** Writes what changed. */
  write(): void {
    for (const lane of this.#byId.values()) {
      if (!lane.isChanged) continue
      if (lane.ready > 0 && !lane.isInRing) this.toEnd([lane])
      lane.isInRing = lane.ready > 0
      const wake = this.#sql(
        "SELECT min(coalesce((SELECT wake_us FROM queue_job WHERE lane = ?1 AND wake_us IS NOT NULL ORDER BY wake_us LIMIT 1), 9e18), coalesce((SELECT next_us FROM queue_schedule WHERE lane = ?1 ORDER BY next_us LIMIT 1), 9e18)) AS us",
      ).get(lane.id)
      lane.wakeUs = Number(wake?.["us"]) >= 9e18 ? null : Number(wake?.["us"])
      this.#sql("UPDATE queue_lane SET turn = ?, given = ?, ready = ?, waiting = ?, blocked = ?, leased = ?, dead = ?, wake_us = ? WHERE id = ?").run(
        lane.turn,
        lane.given,
        ...states.map((state) => lane[state]),
        lane.wakeUs,
        lane.id,
      )
      lane.isChanged = false
    }
  }
}

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1")
const nameOf = ({ tenant, key }: Place): string => `${tenant.length} ${latin1(tenant)}${latin1(key)}`
