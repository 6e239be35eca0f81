/**
 * `SBR2`: the catalogue's fingerprint, what a rater was started with, and what it has come to. Another catalogue or format is
 * refused.
 */
import { Aggregate, Billed, Change, ChangeKind, Decimal, Prior, Span, Subscription, Zone } from "../bindings/charging"
import { none, Option, some, Tuple2 } from "../bindings/runtime"
import { Reader, Writer } from "./bytes.as"
import { PriceList } from "./model.as"
import { Work } from "./rater.as"

const magic: u32 = 0x32524253

function decimal(writer: Writer, value: Decimal): void {
  writer.u64(<u64>value.high)
  writer.u64(value.low)
  writer.u32(value.scale)
}
function readDecimal(reader: Reader): Decimal {
  const high = <i64>reader.u64()
  const low = reader.u64()
  return new Decimal(high, low, <u8>reader.u32())
}
function optional(writer: Writer, value: string | null): void {
  writer.u32(u32(value !== null))
  if (value !== null) writer.text(value)
}
function readOptional(reader: Reader): string | null {
  return reader.u32() == 0 ? null : reader.text()
}

function change(writer: Writer, value: Change): void {
  writer.u64(<u64>value.at)
  writer.u32(u32(value.atPeriodEnd))
  const what = value.what
  writer.u32(what.tag)
  if (what.isPlan) writer.text(what.asPlan)
  if (what.isQuantity) {
    writer.text(what.asQuantity.item0)
    decimal(writer, what.asQuantity.item1)
  }
  if (what.isZone) writer.text(what.asZone)
}
function readChange(reader: Reader): Change {
  const at = <i64>reader.u64()
  const isAtEnd = reader.u32() != 0
  let what = ChangeKind.cancel()
  switch (reader.u32()) {
    case 0:
      what = ChangeKind.plan(reader.text())
      break
    case 1: {
      const name = reader.text()
      what = ChangeKind.quantity(new Tuple2<string, Decimal>(name, readDecimal(reader)))
      break
    }
    case 2:
      what = ChangeKind.pause()
      break
    case 3:
      what = ChangeKind.resume()
      break
    case 4:
      break
    case 5:
      what = ChangeKind.zone(reader.text())
      break
    default:
      reader.isBad = true
  }
  return new Change(at, isAtEnd, what)
}

export function write(work: Work): StaticArray<u8> {
  // Once, and once more for its end.
  work.leave(2 * work.bytes)
  const writer = new Writer(work.bytes + 65_536)
  writer.u32(magic)
  writer.u64(work.list.fingerprint)
  const subscription = work.subscription
  writer.text(subscription.id)
  writer.text(subscription.plan)
  writer.u64(<u64>subscription.start)
  writer.u32(u32(subscription.trialEnd.isSome))
  writer.u64(subscription.trialEnd.isSome ? <u64>subscription.trialEnd.value : 0)
  writer.u32(subscription.anchorDay.isSome ? <u32>subscription.anchorDay.value : 0)
  writer.text(subscription.zone)
  writer.u32(<u32>subscription.quantities.length)
  for (let i = 0; i < subscription.quantities.length; i += 1) {
    writer.text(subscription.quantities[i].item0)
    decimal(writer, subscription.quantities[i].item1)
  }
  writer.u32(<u32>subscription.changes.length)
  for (let i = 0; i < subscription.changes.length; i += 1) change(writer, subscription.changes[i])
  writer.u64(<u64>work.period.start)
  writer.u64(<u64>work.period.end)
  writer.u32(<u32>work.zones.length)
  for (let i = 0; i < work.zones.length; i += 1) {
    const zone = work.zones[i]
    writer.text(zone.name)
    writer.text(zone.release)
    writer.u32(<u32>zone.first)
    writer.u32(<u32>zone.changes.length)
    for (let j = 0; j < zone.changes.length; j += 1) {
      writer.u64(<u64>zone.changes[j])
      writer.u32(<u32>zone.offsets[j])
    }
  }
  const prior = work.prior
  writer.u32(<u32>prior.quantities.length)
  for (let i = 0; i < prior.quantities.length; i += 1) {
    const one = prior.quantities[i]
    writer.u32(one.meter)
    optional(writer, one.attribute)
    decimal(writer, one.quantity)
    writer.u64(one.events)
  }
  writer.u32(<u32>prior.billed.length)
  for (let i = 0; i < prior.billed.length; i += 1) {
    writer.text(prior.billed[i].charge)
    optional(writer, prior.billed[i].attribute)
    decimal(writer, prior.billed[i].amount)
  }
  work.save(writer)
  return writer.end()
}

function readSubscription(reader: Reader): Subscription {
  const id = reader.text()
  const plan = reader.text()
  const start = <i64>reader.u64()
  const hasTrial = reader.u32() != 0
  const trialEnd = <i64>reader.u64()
  const anchor = reader.u32()
  const zone = reader.text()
  const quantities = new Array<Tuple2<string, Decimal>>(0)
  for (let left = reader.count(4); left > 0 && !reader.isBad; left -= 1) {
    const name = reader.text()
    quantities.push(new Tuple2<string, Decimal>(name, readDecimal(reader)))
  }
  const changes = new Array<Change>(0)
  for (let left = reader.count(16); left > 0 && !reader.isBad; left -= 1) changes.push(readChange(reader))
  const trial: Option<i64> = hasTrial ? some<i64>(trialEnd) : none<i64>()
  const day: Option<u8> = anchor == 0 ? none<u8>() : some<u8>(<u8>anchor)
  return new Subscription(id, plan, start, trial, day, zone, quantities, changes)
}

function readZone(reader: Reader): Zone {
  const name = reader.text()
  const release = reader.text()
  const first = <i32>reader.u32()
  const count = reader.count(12)
  const changes = new StaticArray<i64>(count)
  const offsets = new StaticArray<i32>(count)
  for (let i = 0; i < count; i += 1) {
    changes[i] = <i64>reader.u64()
    offsets[i] = <i32>reader.u32()
  }
  return new Zone(name, release, first, changes, offsets)
}

/** Null where the bytes are no snapshot of a rater of this catalogue. */
export function read(list: PriceList, amountScale: i32, bytes: StaticArray<u8>): Work | null {
  const reader = new Reader(bytes)
  if (reader.u32() != magic || reader.u64() != list.fingerprint) return null
  const subscription = readSubscription(reader)
  const start = <i64>reader.u64()
  const period = new Span(start, <i64>reader.u64())
  const zones = new Array<Zone>(0)
  for (let left = reader.count(16); left > 0 && !reader.isBad; left -= 1) zones.push(readZone(reader))
  const quantities = new Array<Aggregate>(0)
  for (let left = reader.count(16); left > 0 && !reader.isBad; left -= 1) {
    const meter = reader.u32()
    const attribute = readOptional(reader)
    const quantity = readDecimal(reader)
    quantities.push(new Aggregate(meter, attribute, quantity, reader.u64()))
  }
  const billed = new Array<Billed>(0)
  for (let left = reader.count(16); left > 0 && !reader.isBad; left -= 1) {
    const charge = reader.text()
    const attribute = readOptional(reader)
    billed.push(new Billed(charge, attribute, readDecimal(reader)))
  }
  if (reader.isBad) return null
  const work = new Work(list, amountScale, subscription, period, zones, new Prior(quantities, billed))
  if (work.problem !== null) return null
  work.load(reader)
  return reader.isBad || !reader.isEnd ? null : work
}
