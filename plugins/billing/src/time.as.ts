/** Dates of the proleptic Gregorian calendar, and days of a zone as instants in microseconds. */
import { Zone } from "../bindings/charging"

export const secondsOfDay: i64 = 86_400
const micros: i64 = 1_000_000

export function floorDiv(a: i64, b: i64): i64 {
  const quotient = a / b
  return quotient - i64(a % b != 0 && a < 0 != b < 0)
}

/** Days since 1970-01-01; months are counted from 1. After Howard Hinnant, "chrono-compatible low-level date algorithms". */
export function daysOf(year: i64, month: i64, day: i64): i64 {
  const y = month <= 2 ? year - 1 : year
  const era = floorDiv(y, 400)
  const ofEra = y - era * 400
  const ofYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
  return era * 146_097 + ofEra * 365 + ofEra / 4 - ofEra / 100 + ofYear - 719_468
}

/** The parts of the last date that `split` took apart. */
export let splitYear: i64 = 0
export let splitMonth: i64 = 0
export let splitDay: i64 = 0

export function split(days: i64): void {
  const shifted = days + 719_468
  const era = floorDiv(shifted, 146_097)
  const ofEra = shifted - era * 146_097
  const year = (ofEra - ofEra / 1460 + ofEra / 36_524 - ofEra / 146_096) / 365
  const ofYear = ofEra - (365 * year + year / 4 - year / 100)
  const part = (5 * ofYear + 2) / 153
  splitDay = ofYear - (153 * part + 2) / 5 + 1
  splitMonth = part < 10 ? part + 3 : part - 9
  splitYear = year + era * 400 + i64(splitMonth <= 2)
}

/** Months since January of year 0. */
export function monthOf(days: i64): i64 {
  split(days)
  return splitYear * 12 + splitMonth - 1
}
/** The first day of such a month. */
export function firstOf(month: i64): i64 {
  const year = floorDiv(month, 12)
  return daysOf(year, month - year * 12 + 1, 1)
}
export function lengthOf(month: i64): i64 {
  return firstOf(month + 1) - firstOf(month)
}

/** A zone's days. What is asked first is one read of two lists. */
export class Days {
  constructor(readonly zone: Zone) {}

  /** The place in `changes` behind the last change that is not after `second`. */
  private segment(second: i64): i32 {
    const changes = this.zone.changes
    let from = 0
    let to = changes.length
    while (from < to) {
      const middle = (from + to) >> 1
      if (changes[middle] <= second) from = middle + 1
      else to = middle
    }
    return from
  }
  private offset(segment: i32): i64 {
    return <i64>(segment == 0 ? this.zone.first : this.zone.offsets[segment - 1])
  }

  /** The first instant of a date; of one that the zone left out, that of the next. In microseconds. */
  start(day: i64): i64 {
    const changes = this.zone.changes
    const local = day * secondsOfDay
    for (let segment = this.segment(local - 2 * secondsOfDay); segment <= changes.length; segment += 1) {
      const offset = this.offset(segment)
      const from = segment == 0 ? i64.MIN_VALUE : changes[segment - 1]
      const to = segment == changes.length ? i64.MAX_VALUE : changes[segment]
      // A date that was left out begins with what follows it.
      const begin = max(from, local - offset)
      if (begin < to) return begin * micros
    }
    return local * micros
  }

  /** The date that an instant belongs to: the last one that has begun, though clocks may have been put back since. */
  of(instant: i64): i64 {
    const second = floorDiv(instant, micros)
    let day = floorDiv(second + this.offset(this.segment(second)), secondsOfDay)
    while (this.start(day + 1) <= instant) day += 1
    return day
  }
}
