/** What events of one meter, plan and attribute have come to. Quantities are whole numbers at the meter's scale. */
import { Exact, Mode } from "./exact.as"
import { Aggregation, MeterModel, Price } from "./model.as"
import { Reader, Writer } from "./bytes.as"

/** What a price of single events has come to. */
export class EventSum {
  amount: Exact = Exact.zero
  /** Of quantities, what was not free. */
  paid: Exact = Exact.zero
  freeEvents: i64
  freeAmount: Exact
  /** What was billed of events that came before; null where none did. */
  billed: Exact | null = null
  constructor(readonly price: Price) {
    this.freeEvents = price.freeEvents
    const amount = price.freeAmount
    this.freeAmount = amount === null ? Exact.zero : amount
  }
  private get isFree(): bool {
    if (this.price.freeEvents < 0 && this.price.freeAmount === null) return false
    return (this.price.freeEvents < 0 || this.freeEvents > 0) && (this.price.freeAmount === null || this.freeAmount.isPositive)
  }
  add(quantity: Exact): void {
    let rest = quantity
    if (this.isFree) {
      let free = quantity
      if (this.price.freeAmount !== null) {
        free = quantity.isNegative ? Exact.zero : quantity.min(this.freeAmount)
        this.freeAmount = this.freeAmount.sub(free)
      }
      if (this.price.freeEvents >= 0) this.freeEvents -= 1
      rest = quantity.sub(free)
      if (rest.isZero) return
    }
    this.paid = this.paid.add(rest)
    this.amount = this.amount.add(this.price.ofEvent(rest))
  }
  /** Usage that came before takes of what is free. */
  use(events: u64, quantity: Exact): void {
    if (this.price.freeEvents >= 0) this.freeEvents = max<i64>(this.freeEvents - <i64>min<u64>(events, <u64>i64.MAX_VALUE), 0)
    if (this.price.freeAmount !== null) this.freeAmount = this.freeAmount.sub(quantity).max(Exact.zero)
  }
  save(writer: Writer): void {
    writer.exact(this.amount)
    writer.exact(this.paid)
    writer.u64(<u64>this.freeEvents)
    writer.exact(this.freeAmount)
  }
  load(reader: Reader): void {
    this.amount = reader.exact()
    this.paid = reader.exact()
    this.freeEvents = <i64>reader.u64()
    this.freeAmount = reader.exact()
  }
  copy(): EventSum {
    const other = new EventSum(this.price)
    other.amount = this.amount
    other.paid = this.paid
    other.freeEvents = this.freeEvents
    other.freeAmount = this.freeAmount
    other.billed = this.billed
    return other
  }
}

/** What a price whose tiers are reached by a level has come to: its amount at each time × the time. */
export class LevelSum {
  area: Exact = Exact.zero
  constructor(readonly price: Price) {}
}

export class Tally {
  /** Of events, in two's complement. */
  sumLow: u64 = 0
  sumHigh: i64 = 0
  events: u64 = 0
  greatest: i64 = i64.MIN_VALUE
  /** The last quantity, or the level. */
  level: Exact = Exact.zero
  /** Sum of level × microseconds up to `levelAt`. */
  area: Exact = Exact.zero
  levelAt: i64 = 0
  /** The greatest level that held for some time, and that at the end of the time. */
  most: Exact = Exact.zero
  ending: Exact = Exact.zero
  levels: Array<LevelSum> = []
  keys: Set<i32> = new Set<i32>()
  /** Of aggregates. */
  more: Exact = Exact.zero
  moreGreatest: Exact | null = null
  sums: Array<EventSum> = []

  constructor(
    readonly meter: MeterModel,
    readonly plan: i32,
    readonly attribute: string,
    /** When usage is of its plan: starts and ends, one after the other. */
    readonly spans: Array<i64>,
  ) {
    this.levelAt = spans.length > 0 ? spans[0] : 0
  }

  /** Microseconds of its plan between two instants. */
  private within(from: i64, to: i64): i64 {
    let sum: i64 = 0
    for (let i = 0; i < this.spans.length; i += 2) sum += max<i64>(min(to, this.spans[i + 1]) - max(from, this.spans[i]), 0)
    return sum
  }

  /** The level goes on up to a time. */
  private pass(to: i64): void {
    const time = this.within(this.levelAt, to)
    if (time > 0) {
      this.area = this.area.add(this.level.times(time))
      for (let i = 0; i < this.levels.length; i += 1) this.levels[i].area = this.levels[i].area.add(this.levels[i].price.unitsOf(this.level).times(time))
      this.most = this.most.max(this.level)
    }
    const last = this.spans.length > 0 ? this.spans[this.spans.length - 1] : i64.MIN_VALUE
    if (this.levelAt < last && to >= last) this.ending = this.level
    this.levelAt = to
  }

  addEvent(at: i64, quantity: i64, key: i32): void {
    this.events += 1
    switch (this.meter.aggregation) {
      case Aggregation.sum:
        this.sumLow += <u64>quantity
        this.sumHigh += (quantity >> 63) + i64(this.sumLow < <u64>quantity)
        if (this.sums.length > 0) {
          const value = Exact.ofScaled(quantity >> 63, <u64>quantity, this.meter.scale)
          for (let i = 0; i < this.sums.length; i += 1) this.sums[i].add(value)
        }
        break
      case Aggregation.max:
        this.greatest = max(this.greatest, quantity)
        break
      case Aggregation.unique:
        this.keys.add(key)
        break
      case Aggregation.latest:
        this.level = Exact.ofScaled(quantity >> 63, <u64>quantity, this.meter.scale)
        break
      case Aggregation.timeWeighted:
        this.pass(at)
        this.level = this.level.add(Exact.ofScaled(quantity >> 63, <u64>quantity, this.meter.scale))
        break
    }
  }

  /** Of all of [start, end), after which nothing is added. */
  quantity(start: i64, end: i64): Exact {
    switch (this.meter.aggregation) {
      case Aggregation.sum:
        return Exact.ofScaled(this.sumHigh, this.sumLow, this.meter.scale).add(this.more)
      case Aggregation.count:
        return Exact.ofU64(this.events).add(this.more)
      case Aggregation.max: {
        let greatest = this.moreGreatest === null ? Exact.zero : (this.moreGreatest as Exact).max(Exact.zero)
        if (this.events > 0) greatest = greatest.max(Exact.ofScaled(this.greatest >> 63, <u64>this.greatest, this.meter.scale))
        return greatest
      }
      case Aggregation.unique:
        return Exact.of(this.keys.size)
      case Aggregation.latest:
        return this.level
    }
    this.pass(end)
    return this.area.div(Exact.of(end - start))
  }

  save(writer: Writer): void {
    writer.u64(this.sumLow)
    writer.u64(<u64>this.sumHigh)
    writer.u64(this.events)
    writer.u64(<u64>this.greatest)
    writer.exact(this.level)
    writer.exact(this.area)
    writer.u64(<u64>this.levelAt)
    writer.exact(this.most)
    writer.exact(this.ending)
    writer.u32(<u32>this.levels.length)
    for (let i = 0; i < this.levels.length; i += 1) writer.exact(this.levels[i].area)
    const keys = this.keys.values()
    writer.u32(<u32>keys.length)
    for (let i = 0; i < keys.length; i += 1) writer.u32(<u32>keys[i])
    writer.exact(this.more)
    writer.u32(u32(this.moreGreatest !== null))
    if (this.moreGreatest !== null) writer.exact(this.moreGreatest as Exact)
    writer.u32(<u32>this.sums.length)
    for (let i = 0; i < this.sums.length; i += 1) this.sums[i].save(writer)
  }
  load(reader: Reader): void {
    this.sumLow = reader.u64()
    this.sumHigh = <i64>reader.u64()
    this.events = reader.u64()
    this.greatest = <i64>reader.u64()
    this.level = reader.exact()
    this.area = reader.exact()
    this.levelAt = <i64>reader.u64()
    this.most = reader.exact()
    this.ending = reader.exact()
    if (reader.count(1) != this.levels.length) reader.isBad = true
    for (let i = 0; i < this.levels.length && !reader.isBad; i += 1) this.levels[i].area = reader.exact()
    const keys = reader.count(4)
    for (let i = 0; i < keys; i += 1) this.keys.add(<i32>reader.u32())
    this.more = reader.exact()
    this.moreGreatest = reader.u32() == 0 ? null : reader.exact()
    if (reader.count(1) != this.sums.length) reader.isBad = true
    for (let i = 0; i < this.sums.length && !reader.isBad; i += 1) this.sums[i].load(reader)
  }
  copy(): Tally {
    const other = new Tally(this.meter, this.plan, this.attribute, this.spans)
    other.sumLow = this.sumLow
    other.sumHigh = this.sumHigh
    other.events = this.events
    other.greatest = this.greatest
    other.level = this.level
    other.area = this.area
    other.levelAt = this.levelAt
    other.most = this.most
    other.ending = this.ending
    for (let i = 0; i < this.levels.length; i += 1) {
      const sum = new LevelSum(this.levels[i].price)
      sum.area = this.levels[i].area
      other.levels.push(sum)
    }
    const keys = this.keys.values()
    for (let i = 0; i < keys.length; i += 1) other.keys.add(keys[i])
    other.more = this.more
    other.moreGreatest = this.moreGreatest
    for (let i = 0; i < this.sums.length; i += 1) other.sums.push(this.sums[i].copy())
    return other
  }
}

/** An event's quantity raised to the meter's increments. */
export function raised(quantity: Exact, meter: MeterModel): Exact {
  if (!quantity.isPositive) return quantity
  const first = meter.firstIncrement
  if (quantity.compare(first) <= 0) return first
  const increment = meter.increment
  return increment === null ? quantity : first.add(quantity.sub(first).div(increment).whole(Mode.ceiling).mul(increment))
}
