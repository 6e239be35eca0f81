/**
 * A period's usage, read once and a page at a time: usage records of the account's tenants and its single events. Meters that take sums are
 * added up here, exactly; rows of the others go to the rules in the order of their time. No record is kept.
 */
import { BillingError } from "../../schemas/error/billing.ts"
import type { Aggregate, Events } from "../../schemas/wit/stele/billing.gen.ts"
import { msOf, type UsageEntry, type UsageGroup, type UsageKind } from "../port/usage.ts"
import { tenantBytes, uuidText } from "../storage/usage.ts"
import { textOf } from "../port/place.ts"
import type { Billing } from "./billing.ts"
import { coefficientOf, decimal, decimalText, readDecimal } from "./decimal.ts"
import type { PriceTable } from "./price-table.ts"
import { type EventValue, kinds, type SpanValue, timeKey } from "./record.ts"
import { rowAt } from "./rows.ts"
import { type Contribution, countsCalls, type MeterPlan, meterPlans, Sources } from "./source.ts"

const { createHash } = process.getBuiltinModule("node:crypto")
const utf8 = new TextEncoder()

const none = 0xffff_ffff

/** What is to be rated. */
export interface Wanted {
  readonly table: PriceTable
  readonly account: string
  readonly tenants: ReadonlyArray<string>
  /** Of the period, as far as the subscription is there. */
  readonly span: SpanValue
  /** Sums may stand for events: the period has one plan and no end of a trial. */
  readonly isWhole: boolean
}

/** Whoever rates. */
export interface Rater {
  /** Rows of a batch, at most `batchRows`; where the rules name one, what it is called. */
  add(rows: Events, nameOf: (id: bigint) => string | undefined): Promise<void>
  addSums(sums: ReadonlyArray<Aggregate>): Promise<void>
}

export interface Read {
  /** Usage records. */
  readonly records: number
  readonly events: number
  /** Calls whose records were dropped before they could be kept. */
  readonly dropped: number
  /** Where sums were rated. */
  readonly sums: ReadonlyArray<{ readonly meter: string; readonly attribute?: string; readonly quantity: string; readonly events: bigint }>
  /** How far each meter whose quantity is a level has come: what `latest` was last, what changes add up to. */
  readonly levels: ReadonlyMap<string, string>
}

/** A sum that costs what an inexact one does until it is large. */
class Sum {
  #low = 0
  #high = 0n
  #greatest: number | bigint | undefined
  readonly #isGreatest: boolean
  readonly per: bigint
  count = 0

  constructor(isGreatest: boolean, per: bigint) {
    this.#isGreatest = isGreatest
    this.per = per
  }

  add(value: number | bigint, count = 1): void {
    this.count += count
    if (this.#isGreatest) {
      if (this.#greatest === undefined || value > this.#greatest) this.#greatest = value
    } else if (typeof value === "number" && this.#low + value <= Number.MAX_SAFE_INTEGER && this.#low + value >= Number.MIN_SAFE_INTEGER) this.#low += value
    else this.#high += BigInt(value)
  }

  /** In units of one over `per`. */
  get value(): bigint {
    return this.#isGreatest ? BigInt(this.#greatest ?? 0) : this.#high + BigInt(this.#low)
  }
}

const floor = (over: bigint, under: bigint): bigint => over / under - (over % under < 0n ? 1n : 0n)

/** Rows as columns, until they are as many as the rules take. */
class Columns {
  readonly #scale: number
  #meters: Array<number> = []
  #at: Array<bigint> = []
  #high: Array<bigint> = []
  #low: Array<bigint> = []
  #quantities: Array<bigint> = []
  #attributes: Array<number> = []
  #keys: Array<number> = []
  #texts = new Map<string, number>()
  #names = new Map<bigint, string>()

  constructor(scale: number) {
    this.#scale = scale
  }

  get length(): number {
    return this.#meters.length
  }

  #text(text: string | undefined): number {
    if (text === undefined) return none
    let place = this.#texts.get(text)
    if (place === undefined) this.#texts.set(text, (place = this.#texts.size))
    return place
  }

  push(meter: number, at: bigint, id: Id, quantity: bigint, scale: number, attribute: string | undefined, key: string | undefined): void {
    const coefficient = quantity * 10n ** BigInt(this.#scale - scale)
    if (BigInt.asIntN(64, coefficient) !== coefficient)
      throw new BillingError("Rules", {
        kind: "overflow",
        path: `event/${id.name ?? uuidOf((id.high << 64n) | id.low)}`,
        detail: "Its quantity has more than 64 bits at the scale of the price list's meters",
      })
    this.#meters.push(meter)
    this.#at.push(at)
    this.#high.push(id.high)
    this.#low.push(id.low)
    // A record is called by its id; whoever sent an event has a name of his own for it.
    if (id.name !== undefined) this.#names.set((id.high << 64n) | id.low, id.name)
    this.#quantities.push(coefficient)
    this.#attributes.push(this.#text(attribute))
    this.#keys.push(this.#text(key))
  }

  async flush(rater: Rater): Promise<void> {
    if (this.length === 0) return
    const names = this.#names
    await rater.add(
      {
        meters: Uint32Array.from(this.#meters),
        at: BigInt64Array.from(this.#at),
        idsHigh: BigUint64Array.from(this.#high),
        idsLow: BigUint64Array.from(this.#low),
        quantities: BigInt64Array.from(this.#quantities),
        scale: this.#scale,
        attributes: Uint32Array.from(this.#attributes),
        keys: Uint32Array.from(this.#keys),
        texts: [...this.#texts.keys()],
      },
      (id) => names.get(id) ?? uuidOf(id),
    )
    this.#meters = []
    this.#at = []
    this.#high = []
    this.#low = []
    this.#quantities = []
    this.#attributes = []
    this.#keys = []
    this.#texts = new Map()
    this.#names = new Map()
  }
}

interface Id {
  readonly high: bigint
  readonly low: bigint
  /** By whoever sent it; undefined for a usage record. */
  readonly name: string | undefined
}

const uuidOf = (id: bigint): string => uuidText(Buffer.from(id.toString(16).padStart(32, "0"), "hex"))

const halves = (bytes: Uint8Array, name: string | undefined): Id => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16)
  return { high: view.getBigUint64(0), low: view.getBigUint64(8), name }
}

/** The id by which the rules know an event: 128 bits of a digest over the account's name for it. */
export const eventId = ({ account, id }: Pick<EventValue, "account" | "id">): Id =>
  halves(createHash("sha256").update(`${account}\n${id}`).digest().subarray(0, 16), id)

/** Where a stream of usage has come to. */
export interface Stream {
  /** When the next one is; undefined at the end. */
  next(): bigint | undefined
  /** Reads another page where the last one is used up. */
  refill(): Promise<void>
  take(): UsageEntry | EventValue
}

const usToMs = (us: bigint): number => Number((us + 999n) / 1_000n)

/** A tenant's usage records, in the order of their ids; those after one. */
export function recordStream(billing: Billing, tenant: string, { end, start }: SpanValue, from?: Uint8Array): Stream {
  let page: ReadonlyArray<UsageEntry> = []
  let at = 0
  let isOver = false
  const place = tenantBytes(tenant)
  return {
    next: () => (at < page.length ? BigInt(msOf((page[at] as UsageEntry).id)) * 1_000n : undefined),
    async refill() {
      if (isOver || at < page.length) return
      const after = page.at(-1)?.id ?? from
      page = await billing.store.ask({
        ask: "usageRecords",
        tenant: place,
        fromMs: usToMs(start),
        toMs: usToMs(end),
        ...(after === undefined ? {} : { after }),
        countMax: billing.limits.pageRecords,
      })
      at = 0
      isOver = page.length === 0
    },
    take: () => page[at++] as UsageEntry,
  }
}

/** An account's single events, in the order of their time; those beyond a time and id, as their keys have them. */
export function eventStream(billing: Billing, account: string, { end, start }: SpanValue, from = ""): Stream {
  let page: ReadonlyArray<EventValue> = []
  let at = 0
  let isOver = false
  const first = timeKey(start)
  let beyond: Uint8Array = utf8.encode(`${kinds.event.prefix}${account}/${from > first ? from : first}`)
  return {
    next: () => (at < page.length ? (page[at] as EventValue).at : undefined),
    async refill() {
      if (isOver || at < page.length) return
      const found = await billing.store.ask({
        ask: "entries",
        ...rowAt(billing.entity, `${kinds.event.prefix}${account}/`),
        beyond,
        countMax: billing.limits.pageRecords,
        bytesMax: 4 << 20,
      })
      const events = found.entries.map(({ key, value }) => readEvent(billing, textOf(key), value))
      page = events.filter((event) => event.at < end)
      at = 0
      isOver = found.isComplete || page.length < events.length
      beyond = found.entries.at(-1)?.key ?? beyond
    },
    take: () => page[at++] as EventValue,
  }
}

function readEvent(billing: Billing, key: string, value: Uint8Array): EventValue {
  try {
    return kinds.event.decode(textOf(value))
  } catch (error) {
    throw new BillingError("Row", { entity: billing.entity, key, detail: (error as Error).message }, { cause: error })
  }
}

/** What an event counts for: the meters that match it, with quantity, attribute and key as these name them. */
export interface Counted {
  readonly meter: number
  readonly quantity: string
  readonly attribute: string | undefined
  readonly key: string | undefined
}

export async function countedOf(table: PriceTable, plans: ReadonlyArray<MeterPlan>, event: EventValue): Promise<ReadonlyArray<Counted>> {
  const properties = Object.entries(event.properties ?? {}).toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  const of = (name: string | undefined): string | undefined =>
    name !== undefined && event.properties !== undefined && Object.hasOwn(event.properties, name) ? event.properties[name] : undefined
  return (await table.match(event.name, properties)).map((meter) => {
    const plan = plans[meter] as MeterPlan
    return { meter, quantity: of(plan.value) ?? event.quantity ?? "1", attribute: of(plan.attribute), key: of(plan.key) }
  })
}

const isRecord = (one: UsageEntry | EventValue): one is UsageEntry => "wallNs" in one

class Reading {
  readonly #wanted: Wanted
  readonly #rater: Rater
  readonly #plans: ReadonlyArray<MeterPlan>
  readonly #sources: Sources
  readonly #columns: Columns
  /** By meter, attribute and denominator. */
  readonly #sums = new Map<string, { readonly meter: number; readonly attribute: string | undefined; readonly sum: Sum }>()
  /** What was not given to a row yet, since its meter's unit has fewer digits: the rows of a meter and attribute add up to their sum, cut off once. */
  readonly #carried = new Map<string, { over: bigint; given: bigint }>()
  readonly #levels = new Map<string, string>()
  records = 0
  events = 0
  dropped = 0

  readonly #rowsMax: number

  constructor(wanted: Wanted, rater: Rater, rowsMax: number) {
    this.#rowsMax = rowsMax
    this.#wanted = wanted
    this.#rater = rater
    this.#plans = meterPlans(wanted.table)
    this.#sources = new Sources(wanted.table, this.#plans)
    this.#columns = new Columns(Math.max(0, ...this.#plans.map(({ scale }) => scale)))
  }

  #isSummed({ isSummed }: MeterPlan): boolean {
    return isSummed && this.#wanted.isWhole
  }

  #add(meter: number, plan: MeterPlan, attribute: string | undefined, value: number | bigint, per: bigint, count = 1): void {
    const key = `${meter} ${per} ${attribute ?? ""}${attribute === undefined ? "" : "="}`
    let found = this.#sums.get(key)
    if (found === undefined) this.#sums.set(key, (found = { meter, attribute, sum: new Sum(plan.isGreatest, per) }))
    found.sum.add(value, count)
  }

  /** A quantity over `per` at the meter's scale. */
  #cut(plan: MeterPlan, meter: number, attribute: string | undefined, value: number | bigint, per: bigint): bigint {
    const over = BigInt(value) * 10n ** BigInt(plan.scale)
    if (!plan.isSummed || plan.isGreatest) return floor(over, per)
    const key = `${meter} ${per} ${attribute ?? ""}`
    let carried = this.#carried.get(key)
    if (carried === undefined) this.#carried.set(key, (carried = { over: 0n, given: 0n }))
    carried.over += over
    const all = floor(carried.over, per)
    const given = all - carried.given
    carried.given = all
    return given
  }

  record(entry: UsageEntry, contributions: ReadonlyArray<Contribution>): void {
    if (entry.dropped !== undefined) {
      this.dropped += entry.dropped
      return
    }
    this.records++
    for (const { attribute, key, meter, measure } of contributions) {
      const plan = this.#plans[meter] as MeterPlan
      const value = measure.of(entry)
      const of = attribute === undefined ? undefined : entry[attribute]
      if (this.#isSummed(plan)) this.#add(meter, plan, of, value, measure.per)
      else {
        const quantity = this.#cut(plan, meter, of, value, measure.per)
        const id = halves(entry.id, undefined)
        this.#level(plan, quantity)
        this.#columns.push(meter, BigInt(msOf(entry.id)) * 1_000n, id, quantity, plan.scale, of, key === undefined ? undefined : entry[key])
      }
    }
  }

  /** What many calls of one kind add up to. */
  async kind(tenant: string, kind: UsageKind): Promise<void> {
    this.dropped += Number(kind.dropped)
    if (kind.calls === 0n) return
    const calls = Number(kind.calls)
    this.records += calls
    const of = { ...kind, tenant }
    for (const { attribute, meter, measure } of await this.#sources.ofKind(of))
      this.#add(meter, this.#plans[meter] as MeterPlan, attribute === undefined ? undefined : of[attribute], measure.sum(kind), measure.per, calls)
  }

  /** Whether sums of calls say all that the meters want to know: none is of single ones. */
  get takesKinds(): boolean {
    return this.#plans.every((plan, meter) => !countsCalls(this.#wanted.table, meter) || (this.#isSummed(plan) && !plan.isGreatest))
  }

  async event(event: EventValue): Promise<void> {
    this.events++
    for (const { attribute, key, meter, quantity } of await countedOf(this.#wanted.table, this.#plans, event)) {
      const plan = this.#plans[meter] as MeterPlan
      const value = readDecimal(quantity)
      if (value === undefined) throw new BillingError("EventQuantity", { account: event.account, event: event.id, detail: `"${quantity}" is no decimal` })
      const coefficient = coefficientOf(value)
      // Digits that the unit has not: the rules say what becomes of them.
      if (this.#isSummed(plan) && value.scale <= plan.scale) this.#add(meter, plan, attribute, coefficient * 10n ** BigInt(plan.scale - value.scale), -1n)
      else {
        if (value.scale <= plan.scale) this.#level(plan, coefficient * 10n ** BigInt(plan.scale - value.scale))
        await this.#fine(meter, event, coefficient, value.scale, attribute, key)
      }
    }
  }

  /** Rows of one batch have one scale. */
  async #fine(meter: number, event: EventValue, coefficient: bigint, scale: number, attribute: string | undefined, key: string | undefined): Promise<void> {
    const usual = Math.max(0, ...this.#plans.map((plan) => plan.scale))
    if (scale <= usual) return this.#columns.push(meter, event.at, eventId(event), coefficient, scale, attribute, key)
    await this.flush()
    const own = new Columns(scale)
    own.push(meter, event.at, eventId(event), coefficient, scale, attribute, key)
    await own.flush(this.#rater)
  }

  #level({ id, level, scale }: MeterPlan, quantity: bigint): void {
    if (level === undefined) return
    const before = level === "latest" ? 0n : coefficientOf(readDecimal(this.#levels.get(id) ?? "0") as never)
    this.#levels.set(id, decimalText(decimal(level === "latest" ? quantity : before + quantity, scale)))
  }

  get isFull(): boolean {
    return this.#columns.length >= this.#rowsMax
  }

  flush(): Promise<void> {
    return this.#columns.flush(this.#rater)
  }

  contributions(entry: UsageEntry): ReadonlyArray<Contribution> | undefined {
    return this.#sources.of(entry)
  }

  learn(entry: UsageEntry): Promise<void> {
    return this.#sources.learn(entry)
  }

  async finish(): Promise<Read> {
    await this.flush()
    const sums: Array<Aggregate> = []
    const ids: Array<string> = []
    // What single events and calls add to one meter is one sum; each part is cut off at the unit's digits.
    for (const { attribute, meter, sum } of this.#sums.values()) {
      const { id, scale } = this.#plans[meter] as MeterPlan
      const quantity = sum.per < 0n ? sum.value : floor(sum.value * 10n ** BigInt(scale), sum.per)
      ids.push(id)
      sums.push({ meter, quantity: decimal(quantity, scale), events: BigInt(sum.count), ...(attribute === undefined ? {} : { attribute }) })
    }
    sums.forEach(({ quantity }, place) => {
      if (quantity.high !== BigInt.asIntN(64, quantity.high))
        throw new BillingError("Rules", { kind: "overflow", path: `meter/${ids[place]}`, detail: "Its sum is beyond 128 bits" })
    })
    if (sums.length > 0) await this.#rater.addSums(sums)
    return {
      records: this.records,
      events: this.events,
      dropped: this.dropped,
      sums: sums.map(({ attribute, events, quantity }, place) => ({
        meter: ids[place] as string,
        ...(attribute === undefined ? {} : { attribute }),
        quantity: decimalText(quantity),
        events,
      })),
      levels: this.#levels,
    }
  }
}

/** Reads a period's usage into a rater. @throws BillingError `Rules` naming the event or record that is at fault; StorageError */
export async function readUsage(billing: Billing, wanted: Wanted, rater: Rater): Promise<Read> {
  const reading = new Reading(wanted, rater, billing.limits.batchRows)
  const { takesKinds } = reading
  if (takesKinds) for (const tenant of wanted.tenants) await readKinds(billing, tenant, wanted.span, reading)
  const records = takesKinds ? [] : wanted.tenants.map((tenant) => recordStream(billing, tenant, wanted.span))
  const streams = [...records, eventStream(billing, wanted.account, wanted.span)]
  await Promise.all(streams.map((stream) => stream.refill()))
  for (;;) {
    // The one whose next is first.
    const [first, second] = nearest(streams)
    if (first === undefined) return reading.finish()
    await takeFrom(first, second?.next(), reading)
    if (reading.isFull) await reading.flush()
    await first.refill()
  }
}

/** A tenant's usage as the store adds it up: no record is made an object. */
async function readKinds(billing: Billing, tenant: string, { end, start }: SpanValue, reading: Reading): Promise<void> {
  const of = { tenant: tenantBytes(tenant), fromMs: usToMs(start), toMs: usToMs(end), countMax: billing.limits.pageRecords }
  for (let after: Uint8Array | undefined, isFirst = true; isFirst || after !== undefined; isFirst = false) {
    const part = await billing.store.ask({ ask: "usageSums", ...of, ...(after === undefined ? {} : { after }) })
    for (const kind of part.kinds) await reading.kind(tenant, kind)
    after = part.last
  }
}

/** The one whose next is first, and the one after it. */
function nearest(streams: ReadonlyArray<Stream>): readonly [first: Stream | undefined, second: Stream | undefined] {
  let [first, second]: [Stream | undefined, Stream | undefined] = [undefined, undefined]
  const isBefore = (at: bigint, other: Stream | undefined): boolean => other === undefined || at < (other.next() as bigint)
  for (const stream of streams) {
    const at = stream.next()
    if (at === undefined) continue
    if (isBefore(at, first)) [first, second] = [stream, first]
    else if (isBefore(at, second)) second = stream
  }
  return [first, second]
}

/** Takes what a stream has read, as far as it is not after `untilAt`. */
async function takeFrom(stream: Stream, untilAt: bigint | undefined, reading: Reading): Promise<void> {
  const isItsTurn = (at: bigint | undefined): boolean => at !== undefined && (untilAt === undefined || at <= untilAt)
  while (isItsTurn(stream.next()) && !reading.isFull) {
    const one = stream.take()
    if (!isRecord(one)) await reading.event(one)
    else {
      if (reading.contributions(one) === undefined) await reading.learn(one)
      reading.record(one, reading.contributions(one) ?? [])
    }
  }
}

const dayUs = 86_400_000_000n

/**
 * Changes with anything that is recorded for a span, whenever it comes: of roll-ups and of counts of single events, a day each. It is read before the
 * usage is, so that what comes between is seen as a change the next time.
 */
export async function fingerprintOf(billing: Billing, account: string, tenants: ReadonlyArray<string>, { end, start }: SpanValue): Promise<string> {
  const [fromDay, toDay] = [Number(start / dayUs), Number((end - 1n) / dayUs)]
  const parts: Array<unknown> = []
  for (const tenant of tenants) {
    const groups: ReadonlyArray<UsageGroup> = await billing.store.ask({ ask: "usage", by: "day", tenant: tenantBytes(tenant), fromDay, toDay })
    parts.push([tenant, groups.map(({ calls, dropped, failed, key, wallNs }) => [key, String(calls), String(failed), String(dropped), String(wallNs)])])
  }
  const counts: Array<readonly [string, string]> = []
  const prefix = eventDayPrefix(account)
  const days = await billing.store.ask({
    ask: "entries",
    ...rowAt(billing.entity, prefix),
    beyond: utf8.encode(`${prefix}${dayKey(fromDay)}`),
    countMax: Math.max(1, toDay - fromDay + 1),
    bytesMax: 1 << 20,
  })
  for (const { key, value } of days.entries) {
    const day = textOf(key).slice(prefix.length)
    if (day <= `${dayKey(toDay)}.`) counts.push([day, textOf(value)])
  }
  parts.push(counts)
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex")
}

const dayKey = (day: number): string => String(day).padStart(6, "0")
const eventDayPrefix = (account: string): string => `event-day/${account}/`
/** The row that counts an account's events of a day. A dot at its end: what comes after the day alone is this day's. */
export const eventDayKey = (account: string, at: bigint): string => `${eventDayPrefix(account)}${dayKey(Number(at / dayUs))}.`
