/** The event port's rows: one for each event, one for each topic with where it begins and ends. */
import type { EventBatch } from "../../../host/port/event.ts"
import { checkLimit } from "../../../host/port/port.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { EventOperation, EventQuestion, EventResults } from "../../port/event.ts"
import { textOf } from "../../port/place.ts"
import type { Finding } from "../../port/store.ts"
import { exportBytesMax, type TenantRecord } from "../../port/tenant.ts"
import { rowsMax, sumOf } from "../row.ts"
import { Fields, importedMax, orderOf, placeOfOrder } from "../record.ts"
import type { Answer, Row, Statement } from "./connection.ts"
import type { Group } from "./group.ts"
import { eraseNumbered, pageOf } from "./numbered.ts"
import { eachOf, rowsOf } from "./rows.ts"
import type { Context, Draft, Import, Load, Page, Query, Table } from "./table.ts"
import { bytesOf, hexOf } from "./tenant.ts"

const name = "event"
const utf8 = new TextEncoder()

interface Topic {
  readonly key: Uint8Array
  /** The tenant's revision when it was made: one that is dropped and made again has another. */
  readonly id: number
  /** Sequence number of the oldest event kept. */
  readonly first: number
  /** Sequence number of the newest event. */
  readonly last: number
  /** Of the payloads kept. */
  readonly bytes: number
  /** Exclusive or of the sums of the events kept. */
  readonly sums: number
}

interface Kept {
  readonly bytes: number
  readonly sum: number
}

interface Written extends Kept {
  readonly topic: number
  readonly sequence: number
  readonly payload: Uint8Array
}

const topicOf = (row: Row): Topic => ({
  key: row["key"] as Uint8Array,
  id: Number(row["id"]),
  first: Number(row["first"]),
  last: Number(row["last"]),
  bytes: Number(row["bytes"]),
  sums: Number(row["sums"]),
})
const eventId = (topic: number, sequence: number): string => `${topic} ${sequence}`

class EventDraft implements Draft<EventOperation | Import> {
  readonly load: ReadonlyArray<Statement>
  readonly #context: Context
  /** What the group's operations may add to each topic at most. */
  readonly #asked = new Map<string, { count: number; bytes: number }>()
  readonly #topics = new Map<string, Topic>()
  readonly #before = new Map<string, Topic>()
  /** The oldest events of topics that may need room. */
  readonly #oldest = new Map<string, Kept>()
  readonly #written = new Map<string, Written>()
  readonly #changed = new Set<string>()
  /** How many of its oldest events were read, by topic. */
  readonly #read = new Map<number, number>()

  /** Numbers that imports name, by topic. */
  readonly #places: Array<{ readonly key: Uint8Array; readonly number: number }> = []

  constructor(context: Context, operations: ReadonlyArray<EventOperation | Import>) {
    this.#context = context
    const keys = new Map<string, Uint8Array>()
    for (const operation of operations) {
      if (operation.op === "import") {
        const at = placeOfOrder(operation.record.order)
        if (at === undefined) continue
        this.#places.push(at)
        keys.set(hexOf(at.key), at.key)
        continue
      }
      const id = hexOf(operation.key)
      keys.set(id, operation.key)
      const asked = this.#asked.get(id) ?? { count: 0, bytes: 0 }
      if (operation.op === "publish") this.#asked.set(id, { count: asked.count + 1, bytes: asked.bytes + operation.payload.length })
    }
    this.load = [
      {
        sql: `SELECT found.* FROM unnest($2::bytea[]) AS asked(key) ${eachOf("event_topic", "key, id, first, last, bytes, sums")}`,
        parameters: [context.tenant, [...keys.values()]],
      },
    ]
  }

  async take(answers: ReadonlyArray<Answer>, load: Load): Promise<void> {
    for (const row of answers.flatMap(({ rows }) => rows)) {
      const topic = topicOf(row)
      this.#topics.set(hexOf(topic.key), topic)
      this.#before.set(hexOf(topic.key), topic)
    }
    const places = this.#places.flatMap(({ key, number }) => {
      const topic = this.#topics.get(hexOf(key))
      return topic === undefined || number === 0 ? [] : [{ topic: BigInt(topic.id), number: BigInt(number) }]
    })
    if (places.length > 0)
      this.#takeEvents(
        await load([
          {
            sql: "SELECT topic, sequence, length(payload) AS payload_bytes, sum FROM stele.event WHERE tenant = $1 AND (topic, sequence) IN (SELECT * FROM unnest($2::bigint[], $3::bigint[]))",
            parameters: [this.#context.tenant, places.map(({ topic }) => topic), places.map(({ number }) => number)],
          },
        ]),
        false,
      )
    for (let more = this.#more(); more.length > 0; more = this.#more()) this.#takeEvents(await load(more), true)
  }

  #takeEvents(answers: ReadonlyArray<Answer>, isOldest: boolean): void {
    for (const row of answers.flatMap(({ rows }) => rows)) {
      const topic = Number(row["topic"])
      if (isOldest) this.#read.set(topic, (this.#read.get(topic) ?? 0) + 1)
      this.#oldest.set(eventId(topic, Number(row["sequence"])), { bytes: Number(row["payload_bytes"]), sum: Number(row["sum"]) })
    }
  }

  /** The oldest events, as many as the group may have to make room of. */
  #more(): ReadonlyArray<Statement> {
    const { topicEventsMax, topicBytesKeptMax } = this.#context.limits.event
    return [...this.#asked].flatMap(([id, asked]) => {
      const topic = this.#topics.get(id)
      if (topic === undefined) return []
      const count = topic.last - topic.first + 1
      const read = this.#read.get(topic.id) ?? 0
      let freed = 0
      for (let i = 0; i < read; i++) freed += this.#oldest.get(eventId(topic.id, topic.first + i))?.bytes ?? 0
      const isEnough =
        read >= Math.min(count, count + asked.count - topicEventsMax) && (topic.bytes + asked.bytes - freed <= topicBytesKeptMax || read >= count)
      // One that is missing among the oldest is found when room is made.
      if (isEnough || (read > 0 && !this.#oldest.has(eventId(topic.id, topic.first + read - 1)))) return []
      const more = Math.max(count + asked.count - topicEventsMax, read * 2, 64)
      return [
        {
          sql: "SELECT topic, sequence, length(payload) AS payload_bytes, sum FROM stele.event WHERE tenant = $1 AND topic = $2 AND sequence >= $3 ORDER BY sequence LIMIT $4",
          parameters: [this.#context.tenant, BigInt(topic.id), BigInt(topic.first + read), BigInt(more - read)],
        },
      ]
    })
  }

  apply(group: Group, operation: EventOperation | Import): EventResults[EventOperation["op"]] | undefined {
    if (operation.op === "import") return this.#import(group, operation)
    const topic = this.#topics.get(hexOf(operation.key))
    return operation.op === "publish" ? this.#publish(group, operation.key, operation.payload, topic) : this.#drop(group, operation.key, topic)
  }

  #publish(group: Group, key: Uint8Array, payload: Uint8Array, old: Topic | undefined): bigint {
    const { tenant, store } = this.#context
    const limits = this.#context.limits.event
    checkLimit("event", "topicBytesMax", "bytes", limits.topicBytesMax, bytesOf(tenant, key))
    checkLimit("event", "payloadBytesMax", "bytes", Math.min(limits.payloadBytesMax, limits.topicBytesKeptMax), payload.length)
    if (old === undefined) checkLimit("event", "tenantTopicsMax", "topics", limits.tenantTopicsMax, group.total(name).keys + 1)
    checkLimit("event", "totalBytesMax", "bytes", limits.totalBytesMax, group.bytesOfAll(name) + payload.length)
    const revision = group.change(utf8.encode("publish"), tenant, key, payload)
    const topic = old ?? { key, id: revision, first: 1, last: 0, bytes: 0, sums: 0 }
    const sequence = topic.last + 1
    const sum = sumOf({ tenant, key }, payload, sequence)
    const written = eventId(topic.id, sequence)
    this.#written.set(written, { topic: topic.id, sequence, payload, bytes: payload.length, sum })
    group.undo(() => this.#written.delete(written))
    let { first } = topic
    let bytes = topic.bytes + payload.length
    let sums = (topic.sums ^ sum) >>> 0
    while (sequence - first + 1 > limits.topicEventsMax || bytes > limits.topicBytesKeptMax) {
      const id = eventId(topic.id, first)
      const oldest = this.#written.get(id) ?? this.#oldest.get(id)
      if (oldest === undefined) throw new StorageError("Corrupt", { store, table: name, key: `${textOf(key)} ${first}` })
      bytes -= oldest.bytes
      sums = (sums ^ oldest.sum) >>> 0
      first++
    }
    group.add(name, old === undefined ? 1 : 0, bytes - topic.bytes, topic.sums ^ sums)
    this.#put(group, { key, id: topic.id, first, last: sequence, bytes, sums })
    return BigInt(sequence)
  }

  #drop(group: Group, key: Uint8Array, topic: Topic | undefined): boolean {
    if (topic === undefined) return false
    group.change(utf8.encode("drop"), this.#context.tenant, key)
    group.add(name, -1, -topic.bytes, topic.sums)
    this.#put(group, undefined, hexOf(key))
    return true
  }

  #import(group: Group, { record }: Import): undefined {
    const { tenant, store } = this.#context
    const limits = this.#context.limits.event
    const fields = new Fields(store, name, record)
    const at = placeOfOrder(record.order)
    if (at === undefined) throw fields.refusal("its order is no topic and number")
    const { key, number } = at
    const topic = this.#topics.get(hexOf(key))
    if (number === 0) {
      const [first, last] = [fields.integer("first", 1), fields.integer("last", 0, importedMax)]
      fields.end()
      if (first > last + 1) throw fields.refusal("it begins after its end")
      checkLimit("event", "topicBytesMax", "bytes", limits.topicBytesMax, bytesOf(tenant, key))
      checkLimit("event", "topicEventsMax", "events", limits.topicEventsMax, last - first + 1)
      if (topic === undefined) checkLimit("event", "tenantTopicsMax", "topics", limits.tenantTopicsMax, group.total(name).keys + 1)
      // Its events come after it: those of a topic of this name go.
      const id = group.change(utf8.encode("import"), tenant, record.order)
      group.add(name, topic === undefined ? 1 : 0, -(topic?.bytes ?? 0), topic?.sums ?? 0)
      this.#put(group, { key, id, first, last, bytes: 0, sums: 0 })
      return undefined
    }
    const payload = fields.bytes("payload")
    fields.end()
    if (topic === undefined || number < topic.first || number > topic.last) throw fields.refusal("its topic does not have this number")
    checkLimit("event", "payloadBytesMax", "bytes", limits.payloadBytesMax, payload.length)
    checkLimit("event", "totalBytesMax", "bytes", limits.totalBytesMax, group.bytesOfAll(name) + payload.length)
    group.change(utf8.encode("import"), tenant, record.order, payload)
    const id = eventId(topic.id, number)
    const [before, stored] = [this.#written.get(id), this.#oldest.get(id)]
    const old = before ?? stored
    const sum = sumOf({ tenant, key }, payload, number)
    this.#written.set(id, { topic: topic.id, sequence: number, payload, bytes: payload.length, sum })
    group.undo(() => void (before === undefined ? this.#written.delete(id) : this.#written.set(id, before)))
    const [grown, sums] = [payload.length - (old?.bytes ?? 0), (sum ^ (old?.sum ?? 0)) >>> 0]
    group.add(name, 0, grown, sums)
    this.#put(group, { ...topic, bytes: topic.bytes + grown, sums: (topic.sums ^ sums) >>> 0 })
    return undefined
  }

  #put(group: Group, topic: Topic | undefined, id = hexOf((topic as Topic).key)): void {
    const before = this.#topics.get(id)
    const put = (to: Topic | undefined): void => void (to === undefined ? this.#topics.delete(id) : this.#topics.set(id, to))
    this.#changed.add(id)
    group.undo(() => put(before))
    put(topic)
  }

  writes(): ReadonlyArray<Statement> {
    const { tenant } = this.#context
    const statements: Array<Statement> = []
    const kept: Array<Topic> = []
    for (const id of this.#changed) {
      const [before, now] = [this.#before.get(id), this.#topics.get(id)]
      if (before === now) continue
      if (before !== undefined && before.id !== now?.id) {
        statements.push({ sql: "DELETE FROM stele.event WHERE tenant = $1 AND topic = $2", parameters: [tenant, BigInt(before.id)] })
        if (now === undefined) statements.push({ sql: "DELETE FROM stele.event_topic WHERE tenant = $1 AND key = $2", parameters: [tenant, before.key] })
      } else if (before !== undefined && now !== undefined && now.first > before.first)
        statements.push({
          sql: "DELETE FROM stele.event WHERE tenant = $1 AND topic = $2 AND sequence < $3",
          parameters: [tenant, BigInt(now.id), BigInt(now.first)],
        })
      if (now !== undefined) kept.push(now)
    }
    if (kept.length > 0) {
      const column = (of: (topic: Topic) => number): ReadonlyArray<bigint> => kept.map((topic) => BigInt(of(topic)))
      statements.push({
        sql: "INSERT INTO stele.event_topic (tenant, key, id, first, last, bytes, sums) SELECT $1, * FROM unnest($2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) ON CONFLICT (tenant, key) DO UPDATE SET id = excluded.id, first = excluded.first, last = excluded.last, bytes = excluded.bytes, sums = excluded.sums",
        parameters: [
          tenant,
          kept.map(({ key }) => key),
          column(({ id }) => id),
          column(({ first }) => first),
          column(({ last }) => last),
          column(({ bytes }) => bytes),
          column(({ sums }) => sums),
        ],
      })
    }
    const first = new Map(kept.map((topic) => [topic.id, topic.first]))
    // What was published and made room for, or dropped, within the group was never there.
    const written = [...this.#written.values()].filter(({ topic, sequence }) => sequence >= (first.get(topic) ?? Number.POSITIVE_INFINITY))
    if (written.length > 0)
      statements.push({
        sql: "INSERT INTO stele.event (tenant, topic, sequence, payload, sum) SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bytea[], $5::bigint[]) ON CONFLICT (tenant, topic, sequence) DO UPDATE SET payload = excluded.payload, sum = excluded.sum",
        parameters: [
          tenant,
          written.map(({ topic }) => BigInt(topic)),
          written.map(({ sequence }) => BigInt(sequence)),
          written.map(({ payload }) => payload),
          written.map(({ sum }) => BigInt(sum)),
        ],
      })
    return statements
  }
}

/** Beyond every number that is given out: the server's integers end there. */
const most = 0x7fff_ffff_ffff_ffffn

export const eventTable: Table<EventOperation, EventQuestion> = {
  name,
  counts: "topic",
  operations: ["publish", "drop"],
  questions: ["events"],
  bytesMax: ({ event }) => event.totalBytesMax,
  grows: (operation) => (operation.op === "publish" ? operation.payload.length : 0),
  draft: (context, operations) => new EventDraft(context, operations),
  ask(context, { key, after, countMax }): Query<EventBatch> {
    const { tenant, store } = context
    return {
      statements: [
        {
          sql: "SELECT t.first, t.last, e.sequence, e.payload, e.sum FROM stele.event_topic t LEFT JOIN stele.event e ON e.tenant = t.tenant AND e.topic = t.id AND e.sequence > $3 WHERE t.tenant = $1 AND t.key = $2 ORDER BY e.sequence LIMIT $4",
          parameters: [tenant, key, after > most ? most : after, BigInt(Math.max(1, rowsMax(countMax)))],
        },
      ],
      answer(rows = []) {
        const [topic] = rows
        if (topic === undefined) return { events: [], lost: 0n }
        const [first, last] = [BigInt(topic["first"] as bigint), BigInt(topic["last"] as bigint)]
        const lost = after + 1n < first ? first - after - 1n : 0n
        const events: Array<EventBatch["events"][number]> = []
        let expected = after + 1n > first ? after + 1n : first
        if (expected > last) return { events, lost }
        for (const row of rows) {
          const [sequence, payload] = [row["sequence"] as bigint | null, row["payload"] as Uint8Array]
          // Numbers have no gaps: one that is missing, or an event whose bytes changed, is not passed over.
          if (sequence === null || sequence !== expected || sumOf({ tenant, key }, payload, Number(sequence)) !== Number(row["sum"]))
            throw new StorageError("Corrupt", { store, table: name, key: `${textOf(key)} ${expected}` })
          if (events.length < countMax) events.push({ sequence, payload })
          expected++
        }
        return { events, lost }
      },
    }
  },
  /** A topic's own record has the number 0, before its events. */
  export({ store, tenant }, after, countMax, headsOnly): Query<Page> {
    const from = after === undefined ? undefined : placeOfOrder(after)
    const parameters: Array<unknown> = [tenant, BigInt(rowsMax(countMax) + 1), ...(from === undefined ? [] : [from.key, BigInt(from.number)])]
    const beyond = `${from === undefined ? "" : " AND (key, number) > ($3, $4::bigint)"}${headsOnly ? " AND number = 0" : ""}`
    return {
      statements: [
        {
          sql: `SELECT * FROM (SELECT *, sum(coalesce(length(payload), 0)) OVER (ORDER BY key, number) - coalesce(length(payload), 0) AS before FROM (SELECT * FROM (SELECT key, 0::bigint AS number, first, last, NULL::bytea AS payload, 0::bigint AS sum FROM stele.event_topic WHERE tenant = $1 UNION ALL SELECT key, sequence, first, last, payload, sum FROM stele.event e JOIN stele.event_topic t ON t.tenant = e.tenant AND t.id = e.topic WHERE e.tenant = $1) AS u WHERE true${beyond} ORDER BY key, number LIMIT $2) AS r) AS m WHERE before <= ${exportBytesMax} ORDER BY key, number`,
          parameters,
        },
      ],
      answer(rows) {
        const records = rows.map((row): TenantRecord => {
          const [key, number, payload] = [row["key"] as Uint8Array, Number(row["number"]), row["payload"] as Uint8Array]
          if (number === 0) return { order: orderOf(key, 0), fields: { first: BigInt(row["first"] as bigint), last: BigInt(row["last"] as bigint) } }
          if (sumOf({ tenant, key }, payload, number) !== Number(row["sum"]))
            throw new StorageError("Corrupt", { store, table: name, key: `${textOf(key)} ${number}` })
          return { order: orderOf(key, number), fields: { payload } }
        })
        return pageOf(rows, records, countMax)
      },
    }
  },
  async erase(context, connection, countMax) {
    return await eraseNumbered(
      context,
      connection,
      countMax,
      { name, owner: "event_topic", numbered: "event", reference: "topic", number: "sequence" },
      (row, first, gone) => ({
        set: "first = $3::bigint, bytes = $4::bigint, sums = $5::bigint",
        values: [BigInt(first), BigInt(Number(row["bytes"]) - gone.bytes), BigInt((Number(row["sums"]) ^ gone.sums) >>> 0)],
        sums: 0,
        own: 0,
      }),
    )
  },
  async check(connection, add) {
    const findings: Array<Finding> = []
    const topics = new Map<string, { readonly topic: Topic; expected: number; found: number; sums: number }>()
    for await (const row of rowsOf(connection, "SELECT tenant, key, id, first, last, bytes, sums FROM stele.event_topic", ["tenant", "key"])) {
      const topic = topicOf(row)
      topics.set(`${hexOf(row["tenant"] as Uint8Array)} ${topic.id}`, { topic, expected: topic.first, found: 0, sums: 0 })
    }
    for await (const row of rowsOf(connection, "SELECT tenant, topic, sequence, payload, sum FROM stele.event", ["tenant", "topic", "sequence"])) {
      const [tenant, payload] = [row["tenant"] as Uint8Array, row["payload"] as Uint8Array]
      const [sequence, sum] = [Number(row["sequence"]), Number(row["sum"])]
      const of = topics.get(`${hexOf(tenant)} ${Number(row["topic"])}`)
      if (of === undefined) {
        findings.push({ table: name, key: String(sequence), detail: "its topic is not there" })
        continue
      }
      const { key } = of.topic
      const at = `${textOf(key)} ${sequence}`
      if (sumOf({ tenant, key }, payload, sequence) !== sum) findings.push({ table: name, key: at, detail: "its bytes are not those that were written" })
      if (sequence !== of.expected) findings.push({ table: name, key: at, detail: `${of.expected} comes before it and is missing` })
      of.expected = sequence + 1
      of.found += payload.length
      of.sums = (of.sums ^ sum) >>> 0
    }
    for (const [id, { topic, expected, found, sums }] of topics) {
      if (expected !== topic.last + 1 || found !== topic.bytes || sums !== topic.sums)
        findings.push({
          table: name,
          key: textOf(topic.key),
          detail: `it ends at ${expected - 1} with ${found} bytes, ${topic.last} with ${topic.bytes} were written`,
        })
      add(name, Buffer.from(id.slice(0, id.indexOf(" ")), "hex"), { keys: 1, bytes: found, sums })
    }
    return findings
  },
}
