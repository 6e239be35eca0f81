/** How dates are counted: whole days, months of 30 days, or fractions of a year. */
import { daysOf, monthOf, split, splitDay, splitMonth, splitYear } from "./time.as"

/** In the order of the policy's values. */
export enum DayCount {
  actual,
  /** 30 × months + days. */
  thirty,
  /** The same up to the last day that is in it, a month's last day being its 30th. */
  thirtyStrict,
  /** ISDA 2006 Definitions, 4.16(f). */
  bond,
  /** 4.16(g). */
  eurobond,
  /** 4.16(h), without a termination date. */
  isdaThirty,
  /** 4.16(b). */
  isda,
  /** As ISDA's memorandum "The Actual/Actual Day Count Fraction" (1998) has it, section 3(c). */
  afb,
}

/** What a year has of the units of the last two: parts of 365 × 366. */
const yearUnits: i64 = 365 * 366

/** A year, where the convention has one of its own; else 0. */
export function yearOf(convention: DayCount): i64 {
  if (convention >= DayCount.isda) return yearUnits
  return convention == DayCount.actual ? 0 : 360
}

function isLeap(year: i64): bool {
  return daysOf(year + 1, 1, 1) - daysOf(year, 1, 1) == 366
}
function isLastOfMonth(date: i64): bool {
  const month = monthOf(date)
  return monthOf(date + 1) != month
}
/** Days of months of 30 days before a month. */
function thirties(date: i64): i64 {
  return monthOf(date) * 30
}

/** From a date up to and without another one, not before it. */
export function counted(convention: DayCount, from: i64, to: i64): i64 {
  switch (convention) {
    case DayCount.actual:
      return to - from
    case DayCount.thirty:
      return thirties(to) + dayOf(to) - thirties(from) - dayOf(from)
    case DayCount.thirtyStrict:
      return to == from ? 0 : thirties(to - 1) + strict(to - 1) - thirties(from) - strict(from) + 1
    case DayCount.bond: {
      const first = min<i64>(dayOf(from), 30)
      const last = dayOf(to)
      return thirties(to) + (last == 31 && first == 30 ? 30 : last) - thirties(from) - first
    }
    case DayCount.eurobond:
      return thirties(to) + min<i64>(dayOf(to), 30) - thirties(from) - min<i64>(dayOf(from), 30)
    case DayCount.isdaThirty:
      return thirties(to) + strict(to) - thirties(from) - strict(from)
    case DayCount.isda:
      return ofYears(from, to)
  }
  return backwards(from, to)
}
function dayOf(date: i64): i64 {
  split(date)
  return splitDay
}
/** A month's last day is its 30th. */
function strict(date: i64): i64 {
  return isLastOfMonth(date) ? 30 : min<i64>(dayOf(date), 30)
}

/** Each day over the days of its own year. */
function ofYears(from: i64, to: i64): i64 {
  let sum: i64 = 0
  for (let at = from; at < to; ) {
    split(at)
    const year = splitYear
    const next = min(daysOf(year + 1, 1, 1), to)
    sum += (next - at) * (isLeap(year) ? 365 : 366)
    at = next
  }
  return sum
}
/** Whole years back from the end; what is left over 366 if it holds a 29 February, else over 365. */
function backwards(from: i64, to: i64): i64 {
  let sum: i64 = 0
  let end = to
  for (;;) {
    split(end)
    const year = splitYear - 1
    const isFebruaryEnd = splitMonth == 2 && splitDay >= 28 && isLastOfMonth(end)
    split(end)
    const before = isFebruaryEnd ? daysOf(year, 3, 1) - 1 : daysOf(year, splitMonth, splitDay)
    if (before < from) break
    sum += yearUnits
    end = before
    if (end == from) return sum
  }
  split(end)
  let leap = isLeap(splitYear) ? splitYear : 0
  if (leap == 0) {
    split(from)
    leap = isLeap(splitYear) ? splitYear : 0
  }
  const isOver366 = leap != 0 && end > daysOf(leap, 2, 29) && from <= daysOf(leap, 2, 29)
  return sum + (end - from) * (isOver366 ? 365 : 366)
}
