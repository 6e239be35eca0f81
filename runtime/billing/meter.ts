/**
 * A period's usage, read once and a page at a time: usage records of the account's tenants and its single events. Meters that take sums are
 * added up here, exactly; rows of the others go to the rules in the order of their time. No record is kept.
 */
import { BillingError } from "../../schemas/error/billing.ts"
import type { Aggregate, Events } from "../../schemas/wit/stele/billing.gen.ts"
import { msOf, type UsageColumns, type UsageEntry, type UsageGroup, type UsageKind } from "../port/usage.ts"
import { tenantBytes, uuidText } from "../storage/usage.ts"
import { textOf } from "../port/place.ts"
import { release } from "../storage/release.ts"
import type { Billing } from "./billing.ts"
import { coefficientOf, decimal, decimalText, readDecimal } from "./decimal.ts"
import type { PriceTable } from "./price-table.ts"
import { type EventValue, kinds, type SpanValue, timeKey } from "./record.ts"
import { rowAt } from "./rows.ts"
import { countsCalls, type Measure, measures, type MeterPlan, meterPlans, Sources, type Used } from "./source.ts"

const { createHash } = process.getBuiltinModule("node:crypto")
const utf8 = new TextEncoder()

const noText = 0xffff_ffff
const none = new Uint32Array(0)

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
  /** Rows of a batch, which are the rater's then, about `batchRows` of them; where the rules name one, what it is called. */
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

const two32 = 2 ** 32

/** Rows as columns, until they are as many as the rules take. Millions go through here: numbers are written as words of 32 bits, without a bigint for each. */
class Columns {
  readonly #scale: number
  #length = 0
  #capacity = 256
  #meters = new Uint32Array(0)
  #at = new BigInt64Array(0)
  #high = new BigUint64Array(0)
  #low = new BigUint64Array(0)
  #quantities = new BigInt64Array(0)
  #attributes = new Uint32Array(0)
  #keys = new Uint32Array(0)
  #words: Readonly<Record<"at" | "high" | "low" | "quantities", Uint32Array>> = { at: none, high: none, low: none, quantities: none }
  #texts = new Map<string, number>()
  #names = new Map<bigint, string>()

  constructor(scale: number) {
    this.#scale = scale
  }

  get length(): number {
    return this.#length
  }

  /** Other columns of so much room, with the rows of those before. */
  #make(rows: number): void {
    const before = [this.#meters, this.#at, this.#high, this.#low, this.#quantities, this.#attributes, this.#keys] as const
    const after = [
      (this.#meters = new Uint32Array(rows)),
      (this.#at = new BigInt64Array(rows)),
      (this.#high = new BigUint64Array(rows)),
      (this.#low = new BigUint64Array(rows)),
      (this.#quantities = new BigInt64Array(rows)),
      (this.#attributes = new Uint32Array(rows)),
      (this.#keys = new Uint32Array(rows)),
    ]
    if (this.#length > 0) after.forEach((column, place) => (column as { set(from: unknown): void }).set(before[place]))
    const wordsOf = ({ buffer }: { readonly buffer: ArrayBuffer }): Uint32Array<ArrayBuffer> => new Uint32Array(buffer)
    this.#words = { at: wordsOf(this.#at), high: wordsOf(this.#high), low: wordsOf(this.#low), quantities: wordsOf(this.#quantities) }
  }

  #text(text: string | undefined): number {
    if (text === undefined) return noText
    let place = this.#texts.get(text)
    if (place === undefined) this.#texts.set(text, (place = this.#texts.size))
    return place
  }

  #put(meter: number, attribute: string | undefined, key: string | undefined): number {
    if (this.#length === this.#meters.length) this.#make((this.#capacity = Math.max(this.#capacity, 2 * this.#length)))
    const row = this.#length++
    this.#meters[row] = meter
    this.#attributes[row] = this.#text(attribute)
    this.#keys[row] = this.#text(key)
    return row
  }

  #quantity(row: number, quantity: number | bigint, scale: number, nameOf: () => string): void {
    const power = powers[this.#scale - scale] as number
    const product = typeof quantity === "number" ? quantity * power : Number.NaN
    if (Number.isSafeInteger(product)) {
      this.#words.quantities[2 * row] = product
      this.#words.quantities[2 * row + 1] = Math.floor(product / two32)
      return
    }
    const coefficient = BigInt(quantity) * 10n ** BigInt(this.#scale - scale)
    if (BigInt.asIntN(64, coefficient) !== coefficient)
      throw new BillingError("Rules", {
        kind: "overflow",
        path: `event/${nameOf()}`,
        detail: "Its quantity has more than 64 bits at the scale of the price list's meters",
      })
    this.#quantities[row] = coefficient
  }

  /** Of a usage record: its id is at a place among others. */
  record(
    meter: number,
    ms: number,
    ids: DataView,
    place: number,
    quantity: number | bigint,
    scale: number,
    attribute: string | undefined,
    key: string | undefined,
  ): void {
    const row = this.#put(meter, attribute, key)
    const { at, high, low } = this.#words
    at[2 * row] = ms * 1_000
    at[2 * row + 1] = Math.floor((ms * 1_000) / two32)
    high[2 * row + 1] = ids.getUint32(place)
    high[2 * row] = ids.getUint32(place + 4)
    low[2 * row + 1] = ids.getUint32(place + 8)
    low[2 * row] = ids.getUint32(place + 12)
    this.#quantity(row, quantity, scale, () => uuidOf(((this.#high[row] as bigint) << 64n) | (this.#low[row] as bigint)))
  }

  /** Of an event, for which whoever sent it has a name of his own. */
  event(meter: number, at: bigint, { high, low, name }: Id, quantity: bigint, scale: number, attribute: string | undefined, key: string | undefined): void {
    const row = this.#put(meter, attribute, key)
    this.#at[row] = at
    this.#high[row] = high
    this.#low[row] = low
    this.#names.set((high << 64n) | low, name)
    this.#quantity(row, quantity, scale, () => name)
  }

  async flush(rater: Rater): Promise<void> {
    const rows = this.#length
    if (rows === 0) return
    const names = this.#names
    const cut = {
      meters: this.#meters.subarray(0, rows),
      at: this.#at.subarray(0, rows),
      idsHigh: this.#high.subarray(0, rows),
      idsLow: this.#low.subarray(0, rows),
      quantities: this.#quantities.subarray(0, rows),
      scale: this.#scale,
      // None has one: a column of none.
      attributes: this.#attributes.subarray(0, this.#texts.size === 0 ? 0 : rows),
      keys: this.#keys.subarray(0, this.#texts.size === 0 ? 0 : rows),
      texts: [...this.#texts.keys()],
    }
    // Those that were handed over are the rater's.
    this.#length = 0
    this.#meters = new Uint32Array(0)
    this.#texts = new Map()
    this.#names = new Map()
    await rater.add(cut, (id) => names.get(id) ?? uuidOf(id))
  }
}

/** Powers of ten that a number holds exactly. */
const powers = Array.from({ length: 19 }, (_, exponent) => 10 ** exponent)

interface Id {
  readonly high: bigint
  readonly low: bigint
  /** By whoever sent it. */
  readonly name: string
}

const uuidOf = (id: bigint): string => uuidText(Buffer.from(id.toString(16).padStart(32, "0"), "hex"))

/** The id by which the rules know an event: 128 bits of a digest over the account's name for it. */
export function eventId({ account, id }: Pick<EventValue, "account" | "id">): Id {
  const digest = createHash("sha256").update(`${account}\n${id}`).digest()
  return { high: digest.readBigUint64BE(0), low: digest.readBigUint64BE(8), name: id }
}

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

/** A tenant's usage records in the order of their ids, a page at a time and in columns. */
class ColumnStream {
  readonly tenant: string
  readonly #billing: Billing
  readonly #of: { readonly tenant: Uint8Array; readonly fromMs: number; readonly toMs: number; readonly countMax: number }
  #isOver = false
  #after: Uint8Array | undefined
  page: UsageColumns | undefined
  ids: DataView = new DataView(new ArrayBuffer(0))
  /** The first of the page that is not taken. */
  at = 0

  constructor(billing: Billing, tenant: string, { end, start }: SpanValue) {
    this.tenant = tenant
    this.#billing = billing
    this.#of = { tenant: tenantBytes(tenant), fromMs: usToMs(start), toMs: usToMs(end), countMax: billing.limits.pageRecords }
  }

  get length(): number {
    return this.page?.kind.length ?? 0
  }

  /** When a row of the page was. */
  msAt(row: number): number {
    return this.ids.getUint32(16 * row) * 65_536 + this.ids.getUint16(16 * row + 4)
  }

  next(): bigint | undefined {
    return this.at < this.length ? BigInt(this.msAt(this.at)) * 1_000n : undefined
  }

  async refill(): Promise<void> {
    if (this.#isOver || this.at < this.length) return
    if (this.page !== undefined) {
      const { bytesIn, bytesOut, dropped, fuel, hostCalls, ids, kind, memoryPeakBytes, wallNs } = this.page
      release(bytesIn, bytesOut, dropped, fuel, hostCalls, ids, kind, memoryPeakBytes, wallNs)
      this.page = undefined
    }
    this.page = await this.#billing.store.ask({ ask: "usageColumns", ...this.#of, ...(this.#after === undefined ? {} : { after: this.#after }) })
    const { buffer, byteLength, byteOffset } = this.page.ids
    this.ids = new DataView(buffer, byteOffset, byteLength)
    this.at = 0
    this.#after = this.page.last
    this.#isOver = this.#after === undefined
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

/** What of a meter's sum was not given to rows yet, since its unit has fewer digits: below `per`. */
interface Carried {
  rest: number | bigint
}

/** What a call of one kind does: it adds to a sum, or is a row. */
interface Route {
  readonly meter: number
  readonly scale: number
  readonly of: Measure["of"]
  readonly per: bigint
  readonly attribute: string | undefined
  readonly key: string | undefined
  readonly sum: Sum | undefined
  readonly carried: Carried | undefined
  readonly level: Level | undefined
}

/** How far a meter whose quantity is a level has come. */
interface Level {
  readonly isLatest: boolean
  /** Undefined where nothing has come. */
  value: number | bigint | undefined
}

function raise(level: Level, quantity: number | bigint): void {
  const before = level.isLatest ? 0 : (level.value ?? 0)
  const isSmall = typeof quantity === "number" && typeof before === "number" && Number.isSafeInteger(before + quantity)
  level.value = isSmall ? before + quantity : BigInt(before) + BigInt(quantity)
}

/** A quantity over `per` at a scale, cut off; of a meter whose rows are to add up to its sum, with what was not given yet. */
function cut(value: number | bigint, { carried, per, scale }: Route): number | bigint {
  const rest = carried?.rest ?? 0
  const over = Number(value) * (powers[scale] as number) + Number(rest)
  const by = Number(per)
  if (typeof value === "number" && over <= Number.MAX_SAFE_INTEGER && by <= Number.MAX_SAFE_INTEGER) {
    // The quotient of two of 53 bits may be the next whole number, where it is just below it.
    let found = Math.floor(over / by)
    if (found * by > over) found -= 1
    if (carried !== undefined) carried.rest = over - found * by
    return found
  }
  const exact = BigInt(value) * 10n ** BigInt(scale) + BigInt(rest)
  const found = floor(exact, per)
  if (carried !== undefined) carried.rest = exact - found * per
  return found
}

/** The record that is read, in place of an object for each. */
class Row implements Used {
  wallNs = 0
  fuel = 0n
  memoryPeakBytes = 0
  bytesIn = 0
  bytesOut = 0
  hostCalls = 0

  read(page: UsageColumns, row: number, hasFuel: boolean): void {
    this.wallNs = page.wallNs[row] as number
    this.memoryPeakBytes = page.memoryPeakBytes[row] as number
    this.bytesIn = page.bytesIn[row] as number
    this.bytesOut = page.bytesOut[row] as number
    this.hostCalls = page.hostCalls[row] as number
    if (hasFuel) this.fuel = page.fuel[row] as bigint
  }
}

class Reading {
  readonly #wanted: Wanted
  readonly #rater: Rater
  readonly #plans: ReadonlyArray<MeterPlan>
  readonly #sources: Sources
  readonly #columns: Columns
  /** By meter, attribute and denominator. */
  readonly #sums = new Map<string, { readonly meter: number; readonly attribute: string | undefined; readonly sum: Sum }>()
  readonly #carried = new Map<string, Carried>()
  readonly #levels = new Map<number, Level>()
  readonly #row = new Row()
  /** Of the page that is read: what a call of each kind does. */
  #routes: { readonly page: UsageColumns; readonly of: ReadonlyArray<ReadonlyArray<Route>>; readonly hasFuel: boolean } | undefined
  records = 0
  events = 0
  dropped = 0
  readonly #rowsMax: number

  constructor(wanted: Wanted, rater: Rater, rowsMax: number) {
    this.#wanted = wanted
    this.#rater = rater
    this.#plans = meterPlans(wanted.table)
    this.#sources = new Sources(wanted.table, this.#plans)
    this.#columns = new Columns(Math.max(0, ...this.#plans.map(({ scale }) => scale)))
    this.#rowsMax = rowsMax
  }

  #isSummed({ isSummed }: MeterPlan): boolean {
    return isSummed && this.#wanted.isWhole
  }

  #sum(meter: number, { isGreatest }: MeterPlan, attribute: string | undefined, per: bigint): Sum {
    const key = `${meter} ${per} ${attribute ?? ""}${attribute === undefined ? "" : "="}`
    let found = this.#sums.get(key)
    if (found === undefined) this.#sums.set(key, (found = { meter, attribute, sum: new Sum(isGreatest, per) }))
    return found.sum
  }

  /** Rows of a meter and attribute that could be a sum add up to it, cut off once. */
  #rest({ isGreatest, isSummed }: MeterPlan, meter: number, attribute: string | undefined, per: bigint): Carried | undefined {
    if (!isSummed || isGreatest) return undefined
    const key = `${meter} ${per} ${attribute ?? ""}`
    let found = this.#carried.get(key)
    if (found === undefined) this.#carried.set(key, (found = { rest: 0 }))
    return found
  }

  #level(meter: number, { level }: MeterPlan): Level | undefined {
    if (level === undefined) return undefined
    let found = this.#levels.get(meter)
    if (found === undefined) this.#levels.set(meter, (found = { isLatest: level === "latest", value: undefined }))
    return found
  }

  async #route(tenant: string, page: UsageColumns): Promise<void> {
    const of: Array<ReadonlyArray<Route>> = []
    let hasFuel = false
    for (const kind of page.kinds) {
      const call = { ...kind, tenant }
      const routes: Array<Route> = []
      for (const { attribute: named, key: keyed, meter, measure } of await this.#sources.ofKind(call)) {
        const plan = this.#plans[meter] as MeterPlan
        const attribute = named === undefined ? undefined : call[named]
        const isSum = this.#isSummed(plan)
        hasFuel ||= measure === measures["fuel"]
        routes.push({
          meter,
          scale: plan.scale,
          of: measure.of,
          per: measure.per,
          attribute,
          key: keyed === undefined ? undefined : call[keyed],
          sum: isSum ? this.#sum(meter, plan, attribute, measure.per) : undefined,
          carried: isSum ? undefined : this.#rest(plan, meter, attribute, measure.per),
          level: isSum ? undefined : this.#level(meter, plan),
        })
      }
      of.push(routes)
    }
    this.#routes = { page, of, hasFuel }
  }

  /** Takes what a stream has read, as far as it is not after `untilAt` and there is room for rows. */
  async take(stream: ColumnStream, untilAt: bigint | undefined): Promise<void> {
    const { ids, length, page, tenant } = stream
    if (page === undefined) return
    if (this.#routes?.page !== page) await this.#route(tenant, page)
    const { of = [], hasFuel = false } = this.#routes ?? {}
    const untilMs = untilAt === undefined ? Infinity : Number(untilAt) / 1_000
    const row = this.#row
    for (; stream.at < length; stream.at++) {
      const { at } = stream
      const ms = stream.msAt(at)
      if (ms > untilMs || this.isFull) return
      const dropped = page.dropped[at] as number
      if (dropped > 0) {
        this.dropped += dropped
        continue
      }
      this.records++
      row.read(page, at, hasFuel)
      for (const route of of[page.kind[at] as number] as ReadonlyArray<Route>) {
        if (route.sum !== undefined) route.sum.add(route.of(row))
        else {
          const quantity = cut(route.of(row), route)
          if (route.level !== undefined) raise(route.level, quantity)
          this.#columns.record(route.meter, ms, ids, 16 * at, quantity, route.scale, route.attribute, route.key)
        }
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
      this.#sum(meter, this.#plans[meter] as MeterPlan, attribute === undefined ? undefined : of[attribute], measure.per).add(measure.sum(kind), calls)
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
      if (this.#isSummed(plan) && value.scale <= plan.scale) this.#sum(meter, plan, attribute, -1n).add(coefficient * 10n ** BigInt(plan.scale - value.scale))
      else {
        const level = this.#level(meter, plan)
        if (level !== undefined && value.scale <= plan.scale) raise(level, coefficient * 10n ** BigInt(plan.scale - value.scale))
        await this.#fine(meter, event, coefficient, value.scale, attribute, key)
      }
    }
  }

  /** Rows of one batch have one scale. */
  async #fine(meter: number, event: EventValue, coefficient: bigint, scale: number, attribute: string | undefined, key: string | undefined): Promise<void> {
    const usual = Math.max(0, ...this.#plans.map((plan) => plan.scale))
    if (scale <= usual) return this.#columns.event(meter, event.at, eventId(event), coefficient, scale, attribute, key)
    await this.flush()
    const own = new Columns(scale)
    own.event(meter, event.at, eventId(event), coefficient, scale, attribute, key)
    await own.flush(this.#rater)
  }

  get isFull(): boolean {
    return this.#columns.length >= this.#rowsMax
  }

  flush(): Promise<void> {
    return this.#columns.flush(this.#rater)
  }

  async finish(): Promise<Read> {
    await this.flush()
    const sums: Array<Aggregate> = []
    const ids: Array<string> = []
    // What single events and calls add to one meter is one sum; each part is cut off at the unit's digits.
    for (const { attribute, meter, sum } of this.#sums.values()) {
      if (sum.count === 0) continue
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
      levels: new Map(
        Array.from(this.#levels).flatMap(([meter, { value }]) => {
          const { id, scale } = this.#plans[meter] as MeterPlan
          return value === undefined ? [] : [[id, decimalText(decimal(BigInt(value), scale))] as const]
        }),
      ),
    }
  }
}

/** Reads a period's usage into a rater. @throws BillingError `Rules` naming the event or record that is at fault; StorageError */
export async function readUsage(billing: Billing, wanted: Wanted, rater: Rater): Promise<Read> {
  const reading = new Reading(wanted, rater, billing.limits.batchRows)
  const { takesKinds } = reading
  if (takesKinds) for (const tenant of wanted.tenants) await readKinds(billing, tenant, wanted.span, reading)
  const records = takesKinds ? [] : wanted.tenants.map((tenant) => new ColumnStream(billing, tenant, wanted.span))
  const streams = [...records, eventStream(billing, wanted.account, wanted.span)]
  await Promise.all(streams.map((stream) => stream.refill()))
  for (;;) {
    // The one whose next is first.
    const [first, second] = nearest(streams)
    if (first === undefined) return reading.finish()
    if (first instanceof ColumnStream) await reading.take(first, second?.next())
    else await takeEvents(first, second?.next(), reading)
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
function nearest<A extends Pick<Stream, "next">>(streams: ReadonlyArray<A>): readonly [first: A | undefined, second: A | undefined] {
  let [first, second]: [A | undefined, A | undefined] = [undefined, undefined]
  const isBefore = (at: bigint, other: A | undefined): boolean => other === undefined || at < (other.next() as bigint)
  for (const stream of streams) {
    const at = stream.next()
    if (at === undefined) continue
    if (isBefore(at, first)) [first, second] = [stream, first]
    else if (isBefore(at, second)) second = stream
  }
  return [first, second]
}

/** Takes what a stream has read, as far as it is not after `untilAt`. */
async function takeEvents(stream: Stream, untilAt: bigint | undefined, reading: Reading): Promise<void> {
  const isItsTurn = (at: bigint | undefined): boolean => at !== undefined && (untilAt === undefined || at <= untilAt)
  while (isItsTurn(stream.next()) && !reading.isFull) await reading.event(stream.take() as EventValue)
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
