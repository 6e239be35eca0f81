/** The event port's rows: one for each event, one for each topic with where it begins and ends. */
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { EventBatch, EventLimits } from "../../../host/port/event.ts"
import { checkLimit } from "../../../host/port/port.ts"
import type { EventOperation, EventQuestion, EventResults } from "../../port/event.ts"
import { bytesOf, type Place, textOf } from "../../port/place.ts"
import type { Finding } from "../../port/store.ts"
import type { TenantRecord } from "../../port/tenant.ts"
import { Fields, importedMax, orderOf, placeOfOrder } from "../record.ts"
import { rowsMax, sumOf } from "../row.ts"
import { statementsOf } from "./statement.ts"
import type { Table, TableContext } from "./table.ts"
import { everybody, Recount, TotalTable } from "./totals.ts"
import type { Group } from "./writer.ts"

interface Topic {
  readonly id: number
  /** Sequence number of the oldest event kept. */
  readonly first: number
  /** Sequence number of the newest event. */
  readonly last: number
  /** Of the payloads kept. */
  readonly bytes: number
}

interface Event {
  readonly sequence: number
  readonly payload: Uint8Array
  readonly sum: number
}

const utf8 = new TextEncoder()

export class EventTable implements Table<EventOperation, EventQuestion> {
  static readonly operations = ["publish", "drop"] as const
  static readonly refusedFirst = ["drop"] as const
  static readonly questions = ["events"] as const
  readonly name = "event"
  readonly counts = "topic"
  readonly totals: TotalTable
  readonly #database: DatabaseSync
  readonly #store: string
  readonly #limits: EventLimits
  readonly #topic: StatementSync
  readonly #read: StatementSync
  readonly #writing: (sql: string) => StatementSync

  constructor({ database, store, limits }: TableContext) {
    this.#database = database
    this.#limits = limits.event
    this.#store = store
    this.#writing = statementsOf(database)
    this.totals = new TotalTable(database, "event_total")
    this.#topic = database.prepare("SELECT id, first, last, bytes FROM event_topic WHERE tenant = ? AND key = ?")
    // One statement: a commit between two would make events look lost that are not.
    this.#read = database.prepare(
      "SELECT first, last, sequence, payload, sum FROM event_topic LEFT JOIN event ON topic = id AND sequence > ? WHERE tenant = ? AND key = ? ORDER BY sequence LIMIT ?",
    )
  }

  ask({ after, countMax, ...place }: EventQuestion): EventBatch {
    const none: EventBatch = { events: [], lost: 0n }
    // Beyond every number that is given out: the engine's integers end there.
    const from = after > 0x7fff_ffff_ffff_ffffn ? 0x7fff_ffff_ffff_ffffn : after
    const rows = this.#read.all(from, place.tenant, place.key, Math.max(1, rowsMax(countMax)))
    const [topic] = rows as unknown as ReadonlyArray<Pick<Topic, "first" | "last">>
    if (topic === undefined) return none
    const lost = after + 1n < BigInt(topic.first) ? BigInt(topic.first) - after - 1n : 0n
    const events: Array<EventBatch["events"][number]> = []
    let expected = after + 1n > BigInt(topic.first) ? after + 1n : BigInt(topic.first)
    if (expected > BigInt(topic.last)) return { events, lost }
    for (const row of rows) {
      const { sequence, payload, sum } = row as unknown as Event
      // Numbers have no gaps: one that is missing, or an event whose bytes changed, is not passed over.
      if (sequence === null || BigInt(sequence) !== expected || sumOf(place, payload, sequence) !== sum)
        throw new StorageError("Corrupt", { store: this.#store, table: "event", key: `${textOf(place.key)} ${expected}` })
      if (events.length < countMax) events.push({ sequence: BigInt(sequence), payload })
      expected++
    }
    return { events, lost }
  }

  apply(group: Group, operation: EventOperation): EventResults[EventOperation["op"]] {
    const topic = this.#topic.get(operation.tenant, operation.key) as Topic | undefined
    return operation.op === "publish" ? this.#publish(group, operation, operation.payload, topic) : this.#drop(group, operation, topic)
  }

  #publish(group: Group, place: Place, payload: Uint8Array, topic: Topic | undefined): bigint {
    const limits = this.#limits
    const totals = group.totals(this.totals)
    const { tenant, key } = place
    checkLimit("event", "topicBytesMax", "bytes", limits.topicBytesMax, bytesOf(place))
    checkLimit("event", "payloadBytesMax", "bytes", Math.min(limits.payloadBytesMax, limits.topicBytesKeptMax), payload.length)
    if (topic === undefined) checkLimit("event", "tenantTopicsMax", "topics", limits.tenantTopicsMax, totals.get(tenant).keys + 1)
    checkLimit("event", "totalBytesMax", "bytes", limits.totalBytesMax, totals.get(everybody).bytes + payload.length)
    group.change(utf8.encode("publish"), tenant, key, payload)
    const id =
      topic?.id ?? Number(this.#writing("INSERT INTO event_topic (tenant, key, first, last, bytes) VALUES (?, ?, 1, 0, 0)").run(tenant, key).lastInsertRowid)
    const sequence = (topic?.last ?? 0) + 1
    const sum = sumOf(place, payload, sequence)
    this.#writing("INSERT INTO event (topic, sequence, payload, sum) VALUES (?, ?, ?, ?)").run(id, sequence, payload, sum)
    totals.add(tenant, topic === undefined ? 1 : 0, payload.length, sum)
    let first = topic?.first ?? 1
    let bytes = (topic?.bytes ?? 0) + payload.length
    while (sequence - first + 1 > limits.topicEventsMax || bytes > limits.topicBytesKeptMax) {
      const oldest = this.#writing("DELETE FROM event WHERE topic = ? AND sequence = ? RETURNING sequence, length(payload) AS length, sum").get(id, first) as
        | { readonly length: number; readonly sum: number }
        | undefined
      if (oldest === undefined) throw new StorageError("Corrupt", { store: this.#store, table: "event", key: `${textOf(key)} ${first}` })
      totals.add(tenant, 0, -oldest.length, oldest.sum)
      bytes -= oldest.length
      first++
    }
    this.#writing("UPDATE event_topic SET first = ?, last = ?, bytes = ? WHERE id = ?").run(first, sequence, bytes, id)
    return BigInt(sequence)
  }

  #drop(group: Group, { tenant, key }: Place, topic: Topic | undefined): boolean {
    if (topic === undefined) return false
    group.change(utf8.encode("drop"), tenant, key)
    let sums = 0
    for (const { sum } of this.#writing("DELETE FROM event WHERE topic = ? RETURNING sum").all(topic.id)) sums ^= Number(sum)
    this.#writing("DELETE FROM event_topic WHERE id = ?").run(topic.id)
    group.totals(this.totals).add(tenant, -1, -topic.bytes, sums)
    return true
  }

  /** A topic's own record has the number 0, before its events. */
  *export(tenant: Uint8Array, after: Uint8Array | undefined, headsOnly: boolean): Generator<TenantRecord> {
    const from = after === undefined ? undefined : placeOfOrder(after)
    const topics = this.#database
      .prepare("SELECT id, key, first, last, bytes FROM event_topic WHERE tenant = ?1 AND (?2 IS NULL OR key >= ?2) ORDER BY key")
      .iterate(tenant, from?.key ?? null)
    for (const each of topics) {
      const { id, key, first, last } = each as unknown as Topic & { readonly key: Uint8Array }
      const isBegun = from !== undefined && Buffer.compare(from.key, key) === 0
      if (!isBegun) yield { order: orderOf(key, 0), fields: { first: BigInt(first), last: BigInt(last) } }
      if (headsOnly) continue
      let expected = Math.max(first, isBegun ? from.number + 1 : 0)
      const events = this.#database
        .prepare("SELECT sequence, payload, sum FROM event WHERE topic = ? AND sequence >= ? ORDER BY sequence")
        .iterate(id, expected)
      for (const event of events) {
        const { sequence, payload, sum } = event as unknown as Event
        if (sequence !== expected || sumOf({ tenant, key }, payload, sequence) !== sum) break
        yield { order: orderOf(key, sequence), fields: { payload } }
        expected++
      }
      if (expected !== last + 1) throw new StorageError("Corrupt", { store: this.#store, table: "event", key: `${textOf(key)} ${expected}` })
    }
  }

  import(group: Group, tenant: Uint8Array, record: TenantRecord): void {
    const limits = this.#limits
    const fields = new Fields(this.#store, this.name, record)
    const at = placeOfOrder(record.order)
    if (at === undefined) throw fields.refusal("its order is no topic and number")
    const place = { tenant, key: at.key }
    const topic = this.#topic.get(tenant, at.key) as Topic | undefined
    const totals = group.totals(this.totals)
    if (at.number === 0) {
      const [first, last] = [fields.integer("first", 1), fields.integer("last", 0, importedMax)]
      fields.end()
      if (first > last + 1) throw fields.refusal("it begins after its end")
      checkLimit("event", "topicBytesMax", "bytes", limits.topicBytesMax, bytesOf(place))
      checkLimit("event", "topicEventsMax", "events", limits.topicEventsMax, last - first + 1)
      if (topic === undefined) {
        checkLimit("event", "tenantTopicsMax", "topics", limits.tenantTopicsMax, totals.get(tenant).keys + 1)
        this.#writing("INSERT INTO event_topic (tenant, key, first, last, bytes) VALUES (?, ?, ?, ?, 0)").run(tenant, at.key, first, last)
        totals.add(tenant, 1, 0, 0)
        return
      }
      const [bytes] = this.#removeEvents(group, tenant, "topic = ?1 AND (sequence < ?2 OR sequence > ?3)", topic.id, first, last)
      this.#writing("UPDATE event_topic SET first = ?, last = ?, bytes = bytes - ? WHERE id = ?").run(first, last, bytes, topic.id)
      return
    }
    const payload = fields.bytes("payload")
    fields.end()
    if (topic === undefined || at.number < topic.first || at.number > topic.last) throw fields.refusal("its topic does not have this number")
    checkLimit("event", "payloadBytesMax", "bytes", limits.payloadBytesMax, payload.length)
    checkLimit("event", "totalBytesMax", "bytes", limits.totalBytesMax, totals.get(everybody).bytes + payload.length)
    const [bytes] = this.#removeEvents(group, tenant, "topic = ?1 AND sequence = ?2", topic.id, at.number)
    const sum = sumOf(place, payload, at.number)
    this.#writing("INSERT INTO event (topic, sequence, payload, sum) VALUES (?, ?, ?, ?)").run(topic.id, at.number, payload, sum)
    this.#writing("UPDATE event_topic SET bytes = bytes + ? WHERE id = ?").run(payload.length - bytes, topic.id)
    totals.add(tenant, 0, payload.length, sum)
  }

  #removeEvents(group: Group, tenant: Uint8Array, which: string, ...values: ReadonlyArray<number>): readonly [bytes: number, count: number] {
    let [bytes, sums, count] = [0, 0, 0]
    for (const row of this.#writing(`DELETE FROM event WHERE ${which} RETURNING length(payload) AS length, sum`).all(...values)) {
      bytes += Number(row["length"])
      sums ^= Number(row["sum"])
      count++
    }
    group.totals(this.totals).add(tenant, 0, -bytes, sums)
    return [bytes, count]
  }

  /** From each topic's oldest event on: a topic that is not empty yet is whole. */
  erase(group: Group, tenant: Uint8Array, countMax: number): number {
    let count = 0
    while (count < countMax) {
      const topic = this.#writing("SELECT id, first, last, bytes FROM event_topic WHERE tenant = ? LIMIT 1").get(tenant) as Topic | undefined
      if (topic === undefined) return count
      const first = Math.min(topic.last + 1, topic.first + countMax - count)
      const [bytes, found] = this.#removeEvents(group, tenant, "topic = ?1 AND sequence < ?2", topic.id, first)
      count += found
      if (first <= topic.last) {
        this.#writing("UPDATE event_topic SET first = ?, bytes = bytes - ? WHERE id = ?").run(first, bytes, topic.id)
        continue
      }
      this.#writing("DELETE FROM event_topic WHERE id = ?").run(topic.id)
      group.totals(this.totals).add(tenant, -1, 0, 0)
      count++
    }
    return count
  }

  check(): ReadonlyArray<Finding> {
    const table = this.name
    const findings: Array<Finding> = []
    const recount = new Recount()
    for (const row of this.#database.prepare("SELECT id, tenant, key, first, last, bytes FROM event_topic").all()) {
      const { id, tenant, key, first, last, bytes } = row as unknown as Topic & Place
      let expected = first
      let found = 0
      let sums = 0
      for (const each of this.#database.prepare("SELECT sequence, payload, sum FROM event WHERE topic = ? ORDER BY sequence").iterate(id)) {
        const { sequence, payload, sum } = each as unknown as Event
        const at = `${textOf(key)} ${sequence}`
        if (sumOf({ tenant, key }, payload, sequence) !== sum) findings.push({ table, key: at, detail: "its bytes are not those that were written" })
        if (sequence !== expected) findings.push({ table, key: at, detail: `${expected} comes before it and is missing` })
        expected = sequence + 1
        found += payload.length
        sums ^= sum
      }
      if (expected !== last + 1 || found !== bytes)
        findings.push({ table, key: textOf(key), detail: `it ends at ${expected - 1} with ${found} bytes, ${last} with ${bytes} were written` })
      recount.add(tenant, 1, found, sums)
    }
    return [...findings, ...recount.compare(table, this.totals)]
  }
}
