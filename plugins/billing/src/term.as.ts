/** Periods of a subscription, and the parts of one in which nothing changes. */
import { Change, Decimal, Problem, ProblemKind, Span, Subscription, Zone } from "../bindings/charging"
import { exactOf, noDecimal } from "./convert.as"
import { counted, DayCount, yearOf } from "./daycount.as"
import { Exact } from "./exact.as"
import { IntervalUnit, Plan, PriceList, problem } from "./model.as"
import { Days, daysOf, firstOf, floorDiv, lengthOf, monthOf, split, splitDay, splitYear } from "./time.as"

/** Periods that are counted from a subscription's start. */
const periodsMax = 100_000
/** 31 December 9999, in days since 1970. */
const dateMax: i64 = 2_932_896
/** Year 1 to 9999, in microseconds. */
const earliest: i64 = -62_135_596_800_000_000
const latest: i64 = 253_402_300_800_000_000

/** A change when it takes effect, and its place in the list, which is the order at one instant. */
class Effect {
  constructor(
    readonly at: i64,
    readonly place: i32,
    readonly change: Change,
  ) {}
}

/** A part of a period. */
export class Piece {
  numerator: u64 = 0
  denominator: u64 = 1
  isPaused: bool = false
  isTrial: bool = false
  /** The parts right before and after it. */
  before: Piece | null = null
  after: Piece | null = null
  /** Units of the period before it, and after it. */
  past: u64 = 0
  rest: u64 = 0
  constructor(
    readonly start: i64,
    readonly end: i64,
    readonly plan: Plan,
    readonly names: Array<string>,
    readonly counts: Array<Exact>,
  ) {}
  get isDue(): bool {
    return !this.isPaused && !this.isTrial
  }
  count(charge: string): Exact {
    const at = this.names.indexOf(charge)
    return at >= 0 ? this.counts[at] : Exact.one
  }
  get share(): Exact {
    return new Exact(this.numerator, 0, this.denominator, 0)
  }
}

export class Term {
  /** What is wrong with what was asked, null while nothing is. */
  problem: Problem | null = null
  /** The period that the last walk ended with. */
  start: i64 = 0
  end: i64 = 0
  private days!: Days
  /** Those that take effect when they are made, and of the others those of the periods so far. */
  private effects: Array<Effect> = []
  /** The date that the period begins with in the zone of its beginning. */
  private date: i64 = 0
  /** The anchor's date, and its day of the month. */
  private anchor: i64 = 0
  private anchorDay: i64 = 0

  constructor(
    private readonly list: PriceList,
    private readonly subscription: Subscription,
    private readonly zones: Array<Zone>,
  ) {
    this.check()
    if (this.problem === null) this.begin(subscription)
  }
  private begin(subscription: Subscription): void {
    const days = this.zoneNamed(subscription.zone, "subscription/zone")
    if (days === null) return
    this.days = days
    const date = days.of(subscription.start)
    monthOf(date)
    this.anchorDay = subscription.anchorDay.isSome ? <i64>subscription.anchorDay.value : splitDay
    this.anchor = date
    for (let i = 0; i < subscription.changes.length; i += 1) {
      const change = subscription.changes[i]
      if (!change.atPeriodEnd) this.effects.push(new Effect(change.at, i, change))
    }
  }

  private fail(kind: ProblemKind, path: string, message: string): void {
    if (this.problem === null) this.problem = problem(kind, path, message)
  }

  private check(): void {
    const subscription = this.subscription
    if (this.list.plan(subscription.plan) === null) this.fail(ProblemKind.unknownPlan, "subscription/plan", `There is no plan "${subscription.plan}"`)
    if (subscription.start < earliest || subscription.start > latest) this.fail(ProblemKind.malformed, "subscription/start", "A year from 1 to 9999 is expected here")
    if (subscription.trialEnd.isSome && subscription.trialEnd.value < subscription.start)
      this.fail(ProblemKind.endBeforeStart, "subscription/trial-end", "The trial ends before the subscription starts")
    if (subscription.anchorDay.isSome && (subscription.anchorDay.value < 1 || subscription.anchorDay.value > 31))
      this.fail(ProblemKind.malformed, "subscription/anchor-day", "A day from 1 to 31 is expected here")
    for (let i = 0; i < subscription.quantities.length; i += 1) this.countOf(subscription.quantities[i].item1, `subscription/quantities/${i}`)
    for (let i = 0; i < this.zones.length; i += 1) {
      const zone = this.zones[i]
      if (zone.changes.length != zone.offsets.length) this.fail(ProblemKind.malformed, `zones/${i}`, "A zone has one offset for each change")
      for (let j = 1; j < zone.changes.length; j += 1) if (zone.changes[j] <= zone.changes[j - 1]) this.fail(ProblemKind.malformed, `zones/${i}/changes/${j}`, "Changes of a zone rise")
    }
    let before = subscription.start
    for (let i = 0; i < subscription.changes.length; i += 1) {
      const change = subscription.changes[i]
      const path = `subscription/changes/${i}`
      if (change.at < before) this.fail(ProblemKind.endBeforeStart, `${path}/at`, "Changes are in the order of their time, and none is before the start")
      if (change.at > latest) this.fail(ProblemKind.malformed, `${path}/at`, "A year from 1 to 9999 is expected here")
      before = change.at
      const what = change.what
      if (what.isPlan && this.list.plan(what.asPlan) === null) this.fail(ProblemKind.unknownPlan, `${path}/what`, `There is no plan "${what.asPlan}"`)
      if (what.isQuantity) this.countOf(what.asQuantity.item1, `${path}/what`)
      if (what.isZone) this.zoneNamed(what.asZone, `${path}/what`)
    }
  }
  private countOf(value: Decimal, path: string): Exact {
    const count = exactOf(value)
    if (count === null) {
      if (this.problem === null) this.problem = noDecimal(path)
      return Exact.zero
    }
    if (count.isNegative) this.fail(ProblemKind.malformed, path, "How many there are is not negative")
    return count
  }
  private zoneNamed(name: string, path: string): Days | null {
    for (let i = 0; i < this.zones.length; i += 1) if (this.zones[i].name == name) return new Days(this.zones[i])
    this.fail(ProblemKind.unknownZone, path, `"${name}" is none of the zones given`)
    return null
  }

  // Where periods begin

  /** The anchor's date in a month; −1 × 2⁶² where the month has none and is left out. */
  private inMonth(month: i64): i64 {
    const length = lengthOf(month)
    if (this.anchorDay <= length) return firstOf(month) + this.anchorDay - 1
    const policy = this.list.policies.missingDay
    if (policy == 1) return firstOf(month + 1)
    if (policy == 2) return skipped
    return firstOf(month) + length - 1
  }
  private months(plan: Plan): i64 {
    const unit: i64 = plan.unit == IntervalUnit.year ? 12 : plan.unit == IntervalUnit.quarter ? 3 : 1
    return unit * <i64>plan.count
  }
  /** The date on which the first period after `date` begins, or the last one up to it. */
  private boundary(plan: Plan, date: i64, isAfter: bool): i64 {
    const isOfDays = plan.unit == IntervalUnit.day || plan.unit == IntervalUnit.week
    if (isOfDays) {
      const length = (plan.unit == IntervalUnit.week ? 7 : 1) * <i64>plan.count
      // 1970-01-05 was a Monday; the anchor of days and weeks is the start's date.
      const origin = plan.isCalendar ? (plan.unit == IntervalUnit.week ? 4 : 0) : this.anchor
      return origin + (floorDiv(date - origin, length) + i64(isAfter)) * length
    }
    const length = this.months(plan)
    if (plan.isCalendar) {
      const january: i64 = 1970 * 12
      const at = january + floorDiv(monthOf(date) - january, length) * length
      return firstOf(isAfter ? at + length : at)
    }
    if (this.list.policies.missingDay == 3) return this.drifting(plan, date, isAfter)
    const origin = monthOf(this.anchor)
    let at = floorDiv(monthOf(date) - origin, length) + 1
    if (isAfter) {
      // The least that is after it: months before may be left out or their day may have moved on.
      at -= 2
      for (let tries = 0; tries < 64; tries += 1, at += 1) {
        const found = this.inMonth(origin + at * length)
        if (found != skipped && found > date) return found
      }
    } else {
      at += 1
      for (let tries = 0; tries < 64; tries += 1, at -= 1) {
        const found = this.inMonth(origin + at * length)
        if (found != skipped && found <= date) return found
      }
    }
    return skipped
  }
  /** Each period is as long as the months it begins in, from the last such day up to the start on. */
  private drifting(plan: Plan, date: i64, isAfter: bool): i64 {
    const count = this.months(plan)
    const month = monthOf(this.anchor)
    let at = this.inMonth(month)
    if (at > this.anchor) at = this.inMonth(month - 1)
    if (at > date) return isAfter ? at : skipped
    for (let tries = 0; tries < periodsMax; tries += 1) {
      const month = monthOf(at)
      const next = at + firstOf(month + count) - firstOf(month)
      if (next > date) return isAfter ? next : at
      at = next
    }
    return skipped
  }

  /** The date that the first period begins with: the last boundary, or an interval before the next one. */
  private firstDate(plan: Plan, date: i64): i64 {
    const policies = this.list.policies
    const isOfMonths = plan.unit != IntervalUnit.day && plan.unit != IntervalUnit.week
    if (!policies.isFirstFromNext || plan.isCalendar || !isOfMonths || policies.missingDay != 0 || date == this.anchor) return date
    const next = this.boundary(plan, this.anchor, true)
    split(next)
    const day = splitDay
    const month = monthOf(next) - this.months(plan)
    return firstOf(month) + min(day, lengthOf(month)) - 1
  }

  // What is in force

  private planAt(at: i64): Plan {
    let id = this.subscription.plan
    for (let i = 0; i < this.effects.length; i += 1) if (this.effects[i].at <= at && this.effects[i].change.what.isPlan) id = this.effects[i].change.what.asPlan
    return this.list.plan(id) as Plan
  }
  private zoneAt(at: i64): void {
    let name = this.subscription.zone
    for (let i = 0; i < this.effects.length; i += 1) if (this.effects[i].at <= at && this.effects[i].change.what.isZone) name = this.effects[i].change.what.asZone
    if (name != this.days.zone.name) {
      const days = this.zoneNamed(name, "subscription/zone")
      if (days !== null) this.days = days
    }
  }
  /** When it ends, or the end of time. */
  get over(): i64 {
    for (let i = 0; i < this.effects.length; i += 1) if (this.effects[i].change.what.isCancel) return this.effects[i].at
    return i64.MAX_VALUE
  }

  private walked: i32 = -1
  private taken: i32 = 0

  /** Goes to the first period, or from one to the next; false when there is none, or more than are counted. */
  next(): bool {
    if (this.problem !== null) return false
    this.walked += 1
    if (this.walked > periodsMax) {
      this.fail(ProblemKind.limit, "subscription", `It has more than ${periodsMax} periods`)
      return false
    }
    if (this.walked == 0) {
      const date = this.boundary(this.planAt(this.subscription.start), this.anchor, false)
      // The period that it lies in ends with the next boundary, whichever day the period begins on.
      this.date = this.anchor
      this.start = date == skipped ? this.subscription.start : this.days.start(this.firstDate(this.planAt(this.subscription.start), date))
    } else this.start = this.end
    if (this.over <= this.start) return false
    if (this.walked > 0) this.zoneAt(this.start)
    const plan = this.planAt(max(this.start, this.subscription.start))
    // A zone that is far behind the one before may begin the same date again.
    do {
      const date = this.boundary(plan, this.date, true)
      if (date == skipped) {
        this.fail(ProblemKind.limit, "subscription/anchor-day", "No period of this plan ever begins on this day again")
        return false
      }
      if (date > dateMax) {
        this.fail(ProblemKind.limit, "subscription", "Its periods go beyond the year 9999")
        return false
      }
      this.date = date
      this.end = this.days.start(date)
    } while (this.end <= this.start)
    const changes = this.subscription.changes
    for (; this.taken < changes.length && changes[this.taken].at < this.end; this.taken += 1)
      if (changes[this.taken].atPeriodEnd) this.put(new Effect(this.end, this.taken, changes[this.taken]))
    return this.problem === null
  }
  private put(effect: Effect): void {
    const effects = this.effects
    let at = effects.length
    effects.push(effect)
    for (; at > 0 && (effects[at - 1].at > effect.at || (effects[at - 1].at == effect.at && effects[at - 1].place > effect.place)); at -= 1) effects[at] = effects[at - 1]
    effects[at] = effect
  }

  /** Goes to the period that is [start, end); a problem where there is none. */
  find(period: Span): bool {
    if (period.end <= period.start) {
      this.fail(ProblemKind.endBeforeStart, "period", "A period ends after it starts")
      return false
    }
    while (this.next()) {
      if (this.start == period.start && this.end == period.end) return true
      if (this.start >= period.start) break
    }
    this.fail(ProblemKind.outsidePeriod, "period", "No period of this subscription begins and ends there")
    return false
  }

  // The parts of the period

  /** The date that an instant of the period belongs to. */
  dateOf(at: i64): i64 {
    return this.days.of(at)
  }
  /** The date that a part begins or ends with, which may be one that the zone left out. */
  private edge(at: i64): i64 {
    const day = this.days.of(at)
    if (at == this.start || at == this.end || at == this.subscription.start || !this.list.policies.isChangeDayOld) return day
    return min(day + 1, this.days.of(this.end))
  }
  /** How the period's dates are counted. */
  private dayCount: DayCount = DayCount.actual
  private units(from: i64, to: i64): u64 {
    if (this.list.policies.prorationUnit == 1) return <u64>max<i64>(to - from, 0)
    const first = this.edge(from)
    return <u64>counted(this.dayCount, first, max(this.edge(to), first))
  }
  private get denominator(): u64 {
    const policies = this.list.policies
    if (policies.prorationUnit == 2) return 1
    if (policies.prorationOver > 0) return <u64>policies.prorationOver * (policies.prorationUnit == 1 ? 86_400_000_000 : 1)
    if (policies.prorationOver == 0) return this.units(this.start, this.end)
    const date = this.days.of(this.start)
    if (policies.prorationOver == -1) {
      const month = monthOf(date)
      return this.whole(firstOf(month), firstOf(month + 1))
    }
    if (policies.prorationUnit == 0 && yearOf(this.dayCount) > 0) return <u64>yearOf(this.dayCount)
    split(date)
    const year = splitYear
    return this.whole(daysOf(year, 1, 1), daysOf(year + 1, 1, 1))
  }
  /** Units of a month or a year of the calendar. */
  private whole(from: i64, to: i64): u64 {
    return <u64>(this.list.policies.prorationUnit == 1 ? this.days.start(to) - this.days.start(from) : counted(this.dayCount, from, to))
  }

  /** The parts of the period in which the subscription exists, in order. */
  pieces(): Array<Piece> {
    const pieces = new Array<Piece>(0)
    const subscription = this.subscription
    const over = this.over
    const from = max(this.start, subscription.start)
    const to = min(this.end, over)
    if (from >= to) return pieces
    const cuts = new Array<i64>(0)
    cuts.push(from)
    cuts.push(to)
    if (subscription.trialEnd.isSome && subscription.trialEnd.value > from && subscription.trialEnd.value < to) cuts.push(subscription.trialEnd.value)
    for (let i = 0; i < this.effects.length; i += 1) {
      const at = this.effects[i].at
      if (at > from && at < to && !cuts.includes(at)) cuts.push(at)
    }
    cuts.sort((a, b) => i32(a > b) - i32(a < b))
    this.dayCount = this.list.policies.dayCount
    let under = this.denominator
    if (under == 0) {
      // A 31st alone has no days of a month of thirty.
      this.dayCount = DayCount.actual
      under = this.denominator
    }
    for (let i = 0; i + 1 < cuts.length; i += 1) {
      const piece = this.piece(cuts[i], cuts[i + 1])
      piece.denominator = under
      if (this.list.policies.prorationUnit != 2) {
        const isWhole = this.list.policies.isWholeOne && piece.start == this.start && piece.end == this.end
        piece.numerator = isWhole ? under : this.units(piece.start, piece.end)
      }
      piece.past = this.units(this.start, piece.start)
      piece.rest = this.units(piece.end, this.end)
      if (i > 0) {
        piece.before = pieces[i - 1]
        pieces[i - 1].after = piece
      }
      pieces.push(piece)
    }
    if (this.list.policies.prorationUnit == 2)
      for (let i = pieces.length - 1; i >= 0; i -= 1) {
        if (!pieces[i].isDue) continue
        pieces[i].numerator = 1
        break
      }
    return pieces
  }
  private piece(from: i64, to: i64): Piece {
    const subscription = this.subscription
    const names = new Array<string>(0)
    const counts = new Array<Exact>(0)
    for (let i = 0; i < subscription.quantities.length; i += 1) put(names, counts, subscription.quantities[i].item0, exactOf(subscription.quantities[i].item1))
    let isPaused = false
    for (let i = 0; i < this.effects.length; i += 1) {
      if (this.effects[i].at > from) break
      const what = this.effects[i].change.what
      if (what.isPause) isPaused = true
      if (what.isResume) isPaused = false
      if (what.isQuantity) put(names, counts, what.asQuantity.item0, exactOf(what.asQuantity.item1))
    }
    const piece = new Piece(from, to, this.planAt(from), names, counts)
    piece.isPaused = isPaused
    piece.isTrial = subscription.trialEnd.isSome && from < subscription.trialEnd.value
    return piece
  }
}

const skipped: i64 = i64.MIN_VALUE

/** Of what is named twice, the last counts. */
export function put(names: Array<string>, counts: Array<Exact>, name: string, count: Exact | null): void {
  if (count === null) return
  const at = names.indexOf(name)
  if (at >= 0) counts[at] = count
  else {
    names.push(name)
    counts.push(count)
  }
}
