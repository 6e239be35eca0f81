/** A group's operations on usage: what they look at is read with the lock, and they are decided in memory. */
import { SteleError } from "../../../schemas/error/family.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { checkLimit } from "../../../host/port/port.ts"
import { dayOf, dayText, msOf, type UsageAnswer, type UsageOperation, type UsageResults } from "../../port/usage.ts"
import { rowsMax } from "../row.ts"
import { numberNames, RollUp } from "../usage.ts"
import { bytesOfRow, none, sumOfDay, sumOfName, sumOfRow } from "../usage-row.ts"
import { Packer } from "../varint.ts"
import type { Answer, Row, Statement } from "./connection.ts"
import type { Group } from "./group.ts"
import type { Context, Draft, Import } from "./table.ts"
import { hexOf } from "./tenant.ts"
import { type Asked, askedOf, daysIn, idsIn } from "./usage-asked.ts"
import { digestOf, foundName, type Name, usageTenant } from "./usage-name.ts"

const table = "usage"
const utf8 = new TextEncoder()
const [recordWord, forgetWord, importWord] = ["record", "forget", "import"].map((word) => utf8.encode(word)) as [Uint8Array, Uint8Array, Uint8Array]
const isOk = (name: Uint8Array): boolean => name.length === 2 && name[0] === 0x6f && name[1] === 0x6b

interface Record {
  readonly id: Uint8Array
  /** Absent of one that is only to be removed. */
  readonly payload: Uint8Array | undefined
  readonly payloadBytes: number
  readonly sum: number
  /** Written by this group. */
  readonly isNew: boolean
}

interface Day {
  readonly day: number
  readonly plugin: number
  readonly payload: Uint8Array
  readonly sum: number
  readonly isNew: boolean
}

export class UsageDraft implements Draft<UsageOperation | Import> {
  readonly load: ReadonlyArray<Statement>
  readonly #context: Context
  readonly #asked: ReadonlyMap<UsageOperation | Import, Asked | SteleError>
  readonly #takers: Array<(rows: ReadonlyArray<Row>) => void> = []
  readonly #names = new Map<string, Name & { readonly isNew: boolean }>()
  #lastName = 0
  /** The newest id that retention removed: whether one that is not above it was recorded, nobody knows. */
  #forgotten: { readonly id: Uint8Array; readonly sum: number; readonly isNew: boolean } | undefined
  readonly #records = new Map<string, Record>()
  /** Up to here the group removed what was stored. */
  #removed: Uint8Array | undefined
  readonly #days = new Map<string, Day>()
  readonly #packer = new Packer()

  constructor(context: Context, operations: ReadonlyArray<UsageOperation | Import>) {
    this.#context = context
    this.#asked = new Map(operations.map((operation) => [operation, askedOf(context.store, operation)]))
    this.load = this.#reads([...this.#asked.values()].filter((asked): asked is Asked => !(asked instanceof SteleError)))
  }

  #reads(asked: ReadonlyArray<Asked>): ReadonlyArray<Statement> {
    const { tenant } = this.#context
    const statements: Array<Statement> = []
    const read = (sql: string, parameters: ReadonlyArray<unknown>, take: (row: Row) => void): void => {
      statements.push({ sql, parameters: [tenant, ...parameters] })
      this.#takers.push((rows) => rows.forEach(take))
    }
    const unique = (all: ReadonlyArray<Uint8Array>): ReadonlyArray<Uint8Array> => [...new Map(all.map((each) => [hexOf(each), each])).values()]
    read("SELECT id, sum FROM stele.usage_forgotten WHERE tenant = $1", [], (row) => {
      this.#forgotten = { id: row["id"] as Uint8Array, sum: Number(row["sum"]), isNew: false }
    })
    const names = unique(asked.flatMap((each) => ("names" in each ? each.names : [])))
    if (names.length > 0) {
      read("SELECT id, name, sum FROM stele.usage_name WHERE tenant = $1 AND digest = ANY($2::bytea[])", [names.map(digestOf)], (row) => {
        const name = foundName(row)
        this.#names.set(hexOf(name.name), { ...name, isNew: false })
      })
      read("SELECT id FROM stele.usage_name WHERE tenant = $1 ORDER BY id DESC LIMIT 1", [], (row) => void (this.#lastName = Number(row["id"])))
    }
    const ids = unique(asked.flatMap(idsIn))
    if (ids.length > 0)
      read("SELECT id, payload, sum FROM stele.usage WHERE tenant = $1 AND id = ANY($2::bytea[])", [ids], (row) => {
        const payload = row["payload"] as Uint8Array
        this.#find({ id: row["id"] as Uint8Array, payload, payloadBytes: payload.length, sum: Number(row["sum"]), isNew: false })
      })
    const days = asked.flatMap(daysIn)
    if (days.length > 0)
      read(
        "SELECT day, plugin, payload, sum FROM stele.usage_day WHERE tenant = $1 AND day = ANY($2::bigint[]) AND plugin IN (SELECT id FROM stele.usage_name WHERE tenant = $1 AND digest = ANY($3::bytea[]))",
        [[...new Set(days.map(([day]) => day))].map(BigInt), unique(days.map(([, plugin]) => plugin)).map(digestOf)],
        (row) => {
          const [day, plugin] = [Number(row["day"]), Number(row["plugin"])]
          this.#days.set(`${day} ${plugin}`, { day, plugin, payload: row["payload"] as Uint8Array, sum: Number(row["sum"]), isNew: false })
        },
      )
    const forgets = asked.filter(({ kind }) => kind === "forget") as ReadonlyArray<Extract<Asked, { readonly kind: "forget" }>>
    if (forgets.length > 0)
      // As many as all of them can remove, always from the oldest on.
      read(
        "SELECT id, length(payload) AS bytes, sum FROM stele.usage WHERE tenant = $1 AND id < $2 ORDER BY id LIMIT $3",
        [
          forgets.map(({ beforeId }) => beforeId).reduce((most, id) => (Buffer.compare(id, most) > 0 ? id : most)),
          BigInt(rowsMax(forgets.reduce((sum, { countMax }) => sum + rowsMax(countMax), 0))),
        ],
        (row) => this.#find({ id: row["id"] as Uint8Array, payload: undefined, payloadBytes: Number(row["bytes"]), sum: Number(row["sum"]), isNew: false }),
      )
    return statements
  }

  /** One that is read twice stays with its payload. */
  #find(record: Record): void {
    const id = hexOf(record.id)
    if (!this.#records.has(id)) this.#records.set(id, record)
  }

  async take(answers: ReadonlyArray<Answer>): Promise<void> {
    answers.forEach(({ rows }, i) => this.#takers[i]?.(rows))
  }

  apply(group: Group, operation: UsageOperation | Import): UsageResults[UsageOperation["op"]] | undefined {
    const asked = this.#asked.get(operation) as Asked | SteleError
    if (asked instanceof SteleError) throw asked
    if (asked.kind === "record") return this.#record(group, asked)
    if (asked.kind === "forget") return this.#forget(group, asked.beforeId, asked.countMax)
    this.#import(group, operation as Import, asked)
    return undefined
  }

  #corrupt(what: string, key: string): never {
    const { store, tenant } = this.#context
    throw new StorageError("Corrupt", { store, table: what, key: `${usageTenant(tenant)} ${key}`.trimEnd() })
  }

  #set<A>(group: Group, map: Map<string, A>, key: string, to: A | undefined): void {
    const before = map.get(key)
    const put = (value: A | undefined): void => void (value === undefined ? map.delete(key) : map.set(key, value))
    group.undo(() => put(before))
    put(to)
  }

  /** The number of a name, which is written if it is new. */
  #idOf(group: Group, name: Uint8Array): number {
    const { tenant } = this.#context
    const known = this.#names.get(hexOf(name))
    if (known !== undefined) {
      if (sumOfName(tenant, name, known.id) !== known.sum) this.#corrupt("usage_name", String(known.id))
      return known.id
    }
    const id = ++this.#lastName
    group.undo(() => this.#lastName--)
    const sum = sumOfName(tenant, name, id)
    this.#set(group, this.#names, hexOf(name), { id, name, sum, isNew: true })
    group.add(table, 0, 0, sum)
    return id
  }

  #newestForgotten(): Uint8Array | undefined {
    const found = this.#forgotten
    if (found !== undefined && sumOfRow(this.#context.tenant, found.id, none) !== found.sum) this.#corrupt("usage_forgotten", "")
    return found?.id
  }

  #setForgotten(group: Group, id: Uint8Array): void {
    const before = this.#forgotten
    const sum = sumOfRow(this.#context.tenant, id, none)
    group.undo(() => (this.#forgotten = before))
    this.#forgotten = { id, sum, isNew: true }
    group.add(table, 0, 0, sum ^ (before?.sum ?? 0))
  }

  #put(group: Group, id: Uint8Array, payload: Uint8Array): void {
    const { tenant } = this.#context
    const old = this.#records.get(hexOf(id))
    const sum = sumOfRow(tenant, id, payload)
    this.#set(group, this.#records, hexOf(id), { id, payload, payloadBytes: payload.length, sum, isNew: true })
    group.add(table, old === undefined ? 1 : 0, old === undefined ? bytesOfRow(tenant, payload) : payload.length - old.payloadBytes, sum ^ (old?.sum ?? 0))
  }

  #record(group: Group, { records, names, entries }: Extract<Asked, { readonly kind: "record" }>): ReadonlyArray<UsageAnswer> {
    const { tenant } = this.#context
    const limits = this.#context.limits.usage
    checkLimit("usage", "recordsMax", "records", limits.recordsMax, entries.length)
    for (const name of names) checkLimit("usage", "nameBytesMax", "bytes", limits.nameBytesMax, name.length)
    checkLimit("usage", "totalBytesMax", "bytes", limits.totalBytesMax, group.bytesOfAll(table) + records.length)
    const forgotten = this.#newestForgotten()
    const aheadMs = group.nowUs / 1_000 + limits.aheadMsMax
    const namesBefore = this.#lastName
    const ids: Array<number | undefined> = []
    const idOf = (name: number): number => (ids[name] ??= this.#idOf(group, names[name] as Uint8Array))
    const oks = names.map(isOk)
    const rollUps = new Map<string, { readonly day: number; readonly plugin: number; readonly rollUp: RollUp }>()
    const answers = entries.map((entry): UsageAnswer => {
      const { id } = entry
      if (msOf(id) > aheadMs) return "ahead"
      const payload = numberNames(this.#packer, entry, idOf)
      const old = this.#records.get(hexOf(id))
      if (old !== undefined) return Buffer.compare(old.payload as Uint8Array, payload) === 0 ? "known" : "conflict"
      if (forgotten !== undefined && Buffer.compare(id, forgotten) <= 0) return "late"
      this.#put(group, id, payload)
      const [day, plugin] = [dayOf(id), idOf(entry.plugin)]
      const key = `${day} ${plugin}`
      let found = rollUps.get(key)
      if (found === undefined) rollUps.set(key, (found = { day, plugin, rollUp: new RollUp() }))
      found.rollUp.add({ costs: entry.costs, hostCalls: entry.hostCalls.map(([grant, calls]) => [idOf(grant), calls]) }, oks[entry.outcome] === true)
      return "new"
    })
    for (const { day, plugin, rollUp } of rollUps.values()) this.#addDay(group, day, plugin, rollUp)
    if (rollUps.size > 0 || this.#lastName > namesBefore) group.change(recordWord, tenant, records)
    return answers
  }

  #addDay(group: Group, day: number, plugin: number, rollUp: RollUp): void {
    const old = this.#days.get(`${day} ${plugin}`)
    if (old !== undefined) {
      if (sumOfDay(this.#context.tenant, day, plugin, old.payload) !== old.sum) this.#corrupt("usage_day", dayText(day))
      rollUp.addRow(old.payload)
    }
    this.#putDay(group, day, plugin, rollUp.pack(this.#packer))
  }

  #putDay(group: Group, day: number, plugin: number, payload: Uint8Array): void {
    const key = `${day} ${plugin}`
    const old = this.#days.get(key)
    const sum = sumOfDay(this.#context.tenant, day, plugin, payload)
    this.#set(group, this.#days, key, { day, plugin, payload, sum, isNew: true })
    group.add(table, 0, 0, sum ^ (old?.sum ?? 0))
  }

  #forget(group: Group, before: Uint8Array, countMax: number): number {
    const { tenant } = this.#context
    const oldest = [...this.#records.values()]
      .filter(({ id }) => Buffer.compare(id, before) < 0)
      .toSorted((a, b) => Buffer.compare(a.id, b.id))
      .slice(0, rowsMax(countMax))
    const last = oldest.at(-1)
    if (last === undefined) return 0
    group.change(forgetWord, tenant, last.id)
    for (const { id, payloadBytes, sum } of oldest) {
      this.#set(group, this.#records, hexOf(id), undefined)
      group.add(table, -1, -bytesOfRow(tenant, none) - payloadBytes, sum)
    }
    const removed = this.#removed
    group.undo(() => (this.#removed = removed))
    if (removed === undefined || Buffer.compare(last.id, removed) > 0) this.#removed = last.id
    this.#setForgotten(group, last.id)
    return oldest.length
  }

  #import(group: Group, { record }: Import, asked: Exclude<Asked, { readonly kind: "record" | "forget" }>): void {
    const [content] = Object.values(record.fields)
    group.change(importWord, this.#context.tenant, record.order, content as Uint8Array)
    if (asked.kind === "import forgotten") return this.#setForgotten(group, asked.id)
    const idOf = (name: Uint8Array): number => this.#idOf(group, name)
    if (asked.kind === "import day") {
      const plugin = idOf(asked.plugin)
      return this.#putDay(group, asked.day, plugin, RollUp.unpackNamed(asked.sums, idOf).pack(this.#packer))
    }
    const { entry, names } = asked
    this.#put(
      group,
      entry.id,
      numberNames(this.#packer, entry, (name) => idOf(names[name] as Uint8Array)),
    )
  }

  writes(): ReadonlyArray<Statement> {
    const { tenant } = this.#context
    const statements: Array<Statement> = []
    const write = (sql: string, ...parameters: ReadonlyArray<unknown>): void => void statements.push({ sql, parameters: [tenant, ...parameters] })
    if (this.#removed !== undefined) write("DELETE FROM stele.usage WHERE tenant = $1 AND id <= $2", this.#removed)
    const names = [...this.#names.values()].filter(({ isNew }) => isNew)
    if (names.length > 0)
      write(
        "INSERT INTO stele.usage_name (tenant, id, name, sum) SELECT $1, * FROM unnest($2::bigint[], $3::bytea[], $4::bigint[])",
        names.map(({ id }) => BigInt(id)),
        names.map(({ name }) => name),
        names.map(({ sum }) => BigInt(sum)),
      )
    const records = [...this.#records.values()].filter(({ isNew }) => isNew)
    if (records.length > 0)
      write(
        "INSERT INTO stele.usage (tenant, id, payload, sum) SELECT $1, * FROM unnest($2::bytea[], $3::bytea[], $4::bigint[]) ON CONFLICT (tenant, id) DO UPDATE SET payload = excluded.payload, sum = excluded.sum",
        records.map(({ id }) => id),
        records.map(({ payload }) => payload),
        records.map(({ sum }) => BigInt(sum)),
      )
    const days = [...this.#days.values()].filter(({ isNew }) => isNew)
    if (days.length > 0)
      write(
        "INSERT INTO stele.usage_day (tenant, day, plugin, payload, sum) SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bytea[], $5::bigint[]) ON CONFLICT (tenant, day, plugin) DO UPDATE SET payload = excluded.payload, sum = excluded.sum",
        days.map(({ day }) => BigInt(day)),
        days.map(({ plugin }) => BigInt(plugin)),
        days.map(({ payload }) => payload),
        days.map(({ sum }) => BigInt(sum)),
      )
    if (this.#forgotten?.isNew === true)
      write(
        "INSERT INTO stele.usage_forgotten (tenant, id, sum) VALUES ($1, $2, $3::bigint) ON CONFLICT (tenant) DO UPDATE SET id = excluded.id, sum = excluded.sum",
        this.#forgotten.id,
        BigInt(this.#forgotten.sum),
      )
    return statements
  }
}
