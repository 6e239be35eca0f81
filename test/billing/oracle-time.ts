/**
 * The oracle's time: days of a zone, periods, parts and their shares, as "Periods and shares" of `schemas/billing/README.md` has
 * them. Days are numbers since 1970-01-01, instants microseconds.
 */
import type { Catalogue } from "../../schemas/billing/catalogue.ts"
import { type Fraction, fraction, one, over, plus, read, whole, zero } from "./fraction.ts"
import { refuse } from "./oracle-problem.ts"

export interface Zone {
  readonly name: string
  readonly release: string
  /** Seconds east of UTC before the first change. */
  readonly first: number
  /** Seconds since 1970, rising. */
  readonly changes: readonly bigint[]
  readonly offsets: readonly number[]
}

export interface Span {
  readonly start: bigint
  readonly end: bigint
}

export type Change = { readonly at: bigint; readonly atPeriodEnd: boolean } & (
  | { readonly what: "plan"; readonly plan: string }
  | { readonly what: "quantity"; readonly charge: string; readonly quantity: string }
  | { readonly what: "pause" | "resume" | "cancel" }
  | { readonly what: "zone"; readonly zone: string }
)

export interface Subscription {
  readonly id: string
  readonly plan: string
  readonly start: bigint
  readonly trialEnd?: bigint | undefined
  readonly anchorDay?: number | undefined
  readonly zone: string
  readonly quantities: ReadonlyArray<readonly [charge: string, quantity: string]>
  readonly changes: readonly Change[]
}

export type Plan = Catalogue["plans"][number]
export type Policies = NonNullable<Catalogue["policies"]>

export const microsecondsPerDay = 86_400_000_000n
const forever = 2n ** 62n

/** The stretches of one offset. */
function* stretches({ first, changes, offsets }: Zone): Generator<Span & { readonly offset: bigint }> {
  let start = -forever
  let offset = first
  for (const [i, change] of changes.entries()) {
    yield { start, end: change * 1_000_000n, offset: BigInt(offset) * 1_000_000n }
    start = change * 1_000_000n
    offset = offsets[i] as number
  }
  yield { start, end: forever, offset: BigInt(offset) * 1_000_000n }
}

const dateAt = (local: bigint): number => Number((local - (((local % microsecondsPerDay) + microsecondsPerDay) % microsecondsPerDay)) / microsecondsPerDay)

/** The first instant whose date is `day`, or later where no clock showed that date. */
export function dayStart(zone: Zone, day: number): bigint {
  let begins = forever
  for (const { start, end, offset } of stretches(zone)) {
    const midnight = BigInt(day) * microsecondsPerDay - offset
    const at = midnight > start ? midnight : start
    if (at < end && at < begins) begins = at
  }
  return begins
}

/** The day that an instant lies in: of all that have begun, the last. */
export function dayOf(zone: Zone, at: bigint): number {
  let day = -Infinity
  for (const { start, end, offset } of stretches(zone)) {
    if (start <= at) day = Math.max(day, dateAt((at < end ? at : end - 1n) + offset))
  }
  return day
}

const monthOf = (day: number): number => {
  const date = new Date(day * 86_400_000)
  return (date.getUTCFullYear() - 1970) * 12 + date.getUTCMonth()
}
const monthStart = (month: number): number => Date.UTC(1970 + Math.floor(month / 12), ((month % 12) + 12) % 12, 1) / 86_400_000
const daysOfMonth = (month: number): number => monthStart(month + 1) - monthStart(month)

type DayCount = NonNullable<Policies["dayCount.convention"]>
interface CalendarDate {
  readonly year: number
  readonly month: number
  readonly day: number
}
const dateOf = (day: number): CalendarDate => {
  const date = new Date(day * 86_400_000)
  return { year: date.getUTCFullYear(), month: date.getUTCMonth(), day: date.getUTCDate() }
}
const daysOfYear = (year: number): number => monthStart((year - 1969) * 12) - monthStart((year - 1970) * 12)
const isMonthEnd = (day: number): boolean => monthOf(day + 1) !== monthOf(day)
const thirty = (from: CalendarDate, to: CalendarDate): number => (to.year - from.year) * 360 + (to.month - from.month) * 30 + to.day - from.day
const withDay = (number: number, day: number): CalendarDate => ({ ...dateOf(number), day })

/** The days from one date up to another, or the part of a year that they are, by a convention. */
function daysBetween(from: number, to: number, convention: DayCount): Fraction {
  const [first, last] = [dateOf(from), dateOf(to)]
  const atMost30 = (number: number) => withDay(number, Math.min(30, dateOf(number).day))
  const ends30 = (number: number) => (isMonthEnd(number) ? withDay(number, 30) : atMost30(number))
  switch (convention) {
    case "actual":
      return whole(to - from)
    case "30":
      return whole(thirty(first, last))
    case "30-strict":
      return whole(from === to ? 0 : thirty(ends30(from), ends30(to - 1)) + 1)
    case "30/360":
      return whole(thirty(atMost30(from), first.day >= 30 ? atMost30(to) : last))
    case "30E/360":
      return whole(thirty(atMost30(from), atMost30(to)))
    case "30E/360-ISDA":
      return whole(thirty(ends30(from), ends30(to)))
    case "actual/actual-ISDA": {
      let sum = zero
      for (let { year } = first; year <= last.year; year += 1) {
        const begins = Math.max(from, monthStart((year - 1970) * 12))
        const ends = Math.min(to, monthStart((year - 1969) * 12))
        sum = plus(sum, fraction(BigInt(ends - begins), BigInt(daysOfYear(year))))
      }
      return sum
    }
    case "actual/actual-AFB": {
      // The same day of the years before, an end of February being one again.
      const back = (years: number): number => {
        const start = monthStart((last.year - years - 1970) * 12 + last.month)
        const length = daysOfMonth(monthOf(start))
        return start + (last.month === 1 && isMonthEnd(to) ? length : last.day) - 1
      }
      let years = 0
      while (back(years + 1) >= from) years += 1
      const left = Array.from({ length: back(years) - from }, (_, i) => dateOf(from + i))
      const hasLeapDay = left.some(({ month, day }) => month === 1 && day === 29)
      return plus(whole(years), fraction(BigInt(left.length), hasLeapDay ? 366n : 365n))
    }
  }
}

/** The dates at which periods of a plan may begin, for one subscription. */
interface Grid {
  /** The date of the first period. */
  readonly first: number
  after(day: number): number
}

function grid(plan: Plan, start: number, anchorDay: number | undefined, policies: Policies): Grid {
  const { unit, count } = plan.interval
  const days = { day: 1, week: 7, month: 0, quarter: 0, year: 0 }[unit] * count
  const months = { day: 0, week: 0, month: 1, quarter: 3, year: 12 }[unit] * count
  if (plan.align === "calendar") {
    if (days > 0) {
      const origin = unit === "week" ? 4 : 0
      const begins = (day: number, later: number) => origin + (Math.floor((day - origin) / days) + later) * days
      return { first: begins(start, 0), after: (day) => begins(day, 1) }
    }
    const begins = (day: number, later: number) => monthStart((Math.floor(monthOf(day) / months) + later) * months)
    return { first: begins(start, 0), after: (day) => begins(day, 1) }
  }
  if (days > 0) return { first: start, after: (day) => start + (Math.floor((day - start) / days) + 1) * days }
  const rule = policies["schedule.missingDay"] ?? "clampKeepAnchor"
  const wanted = anchorDay ?? start - monthStart(monthOf(start)) + 1
  const inMonth = (month: number): number | undefined => {
    if (wanted <= daysOfMonth(month)) return monthStart(month) + wanted - 1
    if (rule === "clampKeepAnchor" || rule === "addDaysOfMonth") return monthStart(month + 1) - 1
    return rule === "nextDay" ? monthStart(month + 1) : undefined
  }
  const anchor = monthOf(start)
  if (rule === "addDaysOfMonth") {
    // The last such day up to the start, and from there on as many days as months have.
    const begun = [anchor, anchor - 1].map((month) => inMonth(month) as number).find((day) => day <= start) as number
    const after = (day: number) => {
      let at = begun
      while (at <= day) at += monthStart(monthOf(at) + months) - monthStart(monthOf(at))
      return at
    }
    let first = begun
    while (after(first) <= start) first = after(first)
    return { first, after }
  }
  let back = 0
  // An interval whose months never have such a day begins no period: 64 of them hold every leap year.
  while ((inMonth(anchor + back * months) ?? Infinity) > start) {
    back -= 1
    if (back < -64) refuse("limit", "no period ever begins on this day")
  }
  const first = inMonth(anchor + back * months) as number
  const after = (day: number) => {
    let k = Math.floor((monthOf(day) - anchor) / months) - 1
    for (const until = k + 66; k < until; k += 1) {
      const at = inMonth(anchor + k * months)
      if (at !== undefined && at > day) return at
    }
    return refuse("limit", "no period ever begins on this day again")
  }
  if (policies["schedule.firstPeriod"] !== "fromNext" || rule !== "clampKeepAnchor" || first === start) return { first, after }
  // An interval before the next boundary, on that one's day of the month.
  const next = after(start)
  const month = monthOf(next) - months
  return { first: monthStart(month) + Math.min(dateOf(next).day, daysOfMonth(month)) - 1, after }
}

/** What is in force from an instant on. */
export interface State {
  readonly plan: string
  readonly zone: string
  readonly paused: boolean
  readonly cancelled: boolean
  readonly quantities: ReadonlyMap<string, Fraction>
}

function changed(state: State, change: Change): State {
  switch (change.what) {
    case "plan":
      return { ...state, plan: change.plan }
    case "quantity":
      return { ...state, quantities: new Map([...state.quantities, [change.charge, read(change.quantity)]]) }
    case "zone":
      return { ...state, zone: change.zone }
    case "pause":
      return { ...state, paused: true }
    case "resume":
      return { ...state, paused: false }
    case "cancel":
      return { ...state, cancelled: true }
  }
}

interface Effect {
  readonly at: bigint
  /** In the subscription's list, which is the order at one instant. */
  readonly place: number
  readonly change: Change
}

/** A subscription beside its catalogue, through time. */
export class Timeline {
  readonly catalogue: Catalogue
  readonly subscription: Subscription
  readonly #zones: ReadonlyMap<string, Zone>
  readonly #initial: State
  readonly #policies: Policies

  constructor(catalogue: Catalogue, subscription: Subscription, zones: readonly Zone[]) {
    this.catalogue = catalogue
    this.subscription = subscription
    this.#policies = catalogue.policies ?? {}
    this.#zones = new Map(zones.map((zone) => [zone.name, zone]))
    const quantities = new Map(subscription.quantities.map(([charge, quantity]) => [charge, read(quantity)]))
    this.#initial = { plan: subscription.plan, zone: subscription.zone, paused: false, cancelled: false, quantities }
  }

  plan(id: string): Plan {
    return this.catalogue.plans.find((plan) => plan.id === id) ?? refuse("unknown-plan", id)
  }

  zone(name: string): Zone {
    return this.#zones.get(name) ?? refuse("unknown-zone", name)
  }

  /** The state after all that has taken effect up to `at`. */
  #state(effects: readonly Effect[], at: bigint): State {
    const due = effects.filter((effect) => effect.at <= at).toSorted((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : a.place - b.place))
    return due.reduce((state, { change }) => changed(state, change), this.#initial)
  }

  /** Each period from the subscription's first on, with the changes that have taken effect by its end; ends with the subscription. */
  *walk(): Generator<Span & { readonly effects: readonly Effect[] }> {
    const { start, anchorDay, changes } = this.subscription
    const startDay = dayOf(this.zone(this.subscription.zone), start)
    const gridOf = (plan: string) => grid(this.plan(plan), startDay, anchorDay, this.#policies)
    const effectOf = (change: Change, at = change.at): Effect => ({ at, place: changes.indexOf(change), change })
    let effects: readonly Effect[] = changes.filter(({ atPeriodEnd }) => !atPeriodEnd).map((change) => effectOf(change))
    let day = startDay
    let zone = this.zone(this.subscription.zone)
    let begins = dayStart(zone, gridOf(this.#state(effects, start).plan).first)
    while (!this.#state(effects, begins).cancelled) {
      // The first period is of what is in force when the subscription starts.
      const { plan } = this.#state(effects, begins > start ? begins : start)
      let ends = begins
      while (ends <= begins) {
        day = gridOf(plan).after(day)
        ends = dayStart(zone, day)
      }
      const due = changes.filter(({ atPeriodEnd, at }) => atPeriodEnd && begins <= at && at < ends)
      effects = [...effects, ...due.map((change) => effectOf(change, ends))]
      yield { start: begins, end: ends, effects }
      begins = ends
      zone = this.zone(this.#state(effects, begins).zone)
    }
  }

  /** The periods that begin within a span. */
  periods(within: Span): Span[] {
    const found: Span[] = []
    for (const { start, end } of this.walk()) {
      if (start >= within.end) break
      if (start >= within.start) found.push({ start, end })
    }
    return found
  }

  /** What is in force at instants of a period. */
  during(period: Span): (at: bigint) => State {
    return (at) => this.#state(this.#effects(period), at)
  }

  /** What has taken effect by the end of a period; a problem where the subscription has no such one. */
  #effects(period: Span): readonly Effect[] {
    if (period.end <= period.start) refuse("end-before-start", "period")
    for (const { start, end, effects } of this.walk()) {
      if (start === period.start && end === period.end) return effects
      if (start >= period.start) break
    }
    return refuse("outside-period", "period")
  }

  /** Where the subscription ends within a period, or the period's end. */
  endIn(period: Span): bigint {
    const at = this.#effects(period).flatMap((effect) => (effect.change.what === "cancel" ? [effect.at] : []))
    return at.reduce((first, one) => (one < first ? one : first), period.end)
  }

  /** A change of zone holds for periods that begin at it or later, and not for the first. */
  zoneIn(period: Span): Zone {
    return this.zone(period.start <= this.subscription.start ? this.subscription.zone : this.#state(this.#effects(period), period.start).zone)
  }

  /** The parts of a period in which a plan is in force and nothing changes, each with its share. */
  parts(period: Span): Part[] {
    const { start, trialEnd = start } = this.subscription
    const end = this.endIn(period)
    const from = start > period.start ? start : period.start
    const effects = this.#effects(period)
    const cuts = [...new Set([from, trialEnd, ...effects.map(({ at }) => at), end])]
      .filter((at) => from <= at && at <= end)
      .toSorted((a, b) => (a < b ? -1 : 1))
    const zone = this.zoneIn(period)
    const parts = cuts.slice(0, -1).map((at, i) => ({ span: { start: at, end: cuts[i + 1] as bigint }, ...this.#state(effects, at), trial: at < trialEnd }))
    const isDue = (part: { readonly trial: boolean; readonly paused: boolean }) => !part.trial && !part.paused
    const lastDue = parts.findLastIndex(isDue)
    const wanted = this.#policies["dayCount.convention"] ?? "actual"
    // A period of which a convention counts nothing is counted by its dates.
    const convention = this.#policies["proration.unit"] !== "none" && this.#denominator(period, zone, wanted).n === 0n ? "actual" : wanted
    return parts.map((part, i) => {
      if (this.#policies["proration.unit"] === "none") return { ...part, share: i === lastDue ? one : zero, past: zero, rest: zero }
      const shareOf = (span: Span) => over(this.#units(span, period, zone, convention), this.#denominator(period, zone, convention))
      const isWhole = this.#policies["proration.whole"] === "one" && part.span.start === period.start && part.span.end === period.end
      return {
        ...part,
        share: isDue(part) ? (isWhole ? one : shareOf(part.span)) : zero,
        past: shareOf({ start: period.start, end: part.span.start }),
        rest: shareOf({ start: part.span.end, end: period.end }),
      }
    })
  }

  /** What time there is, in days, microseconds, or as a part of a year. */
  #units(part: Span, period: Span, zone: Zone, convention: DayCount): Fraction {
    if (this.#policies["proration.unit"] === "second") return whole(part.end - part.start)
    const later = this.#policies["change.day"] === "old" ? 1 : 0
    const last = dayOf(zone, period.end)
    const isFirst = part.start === period.start || part.start === this.subscription.start
    const from = Math.min(last, dayOf(zone, part.start) + (isFirst ? 0 : later))
    const to = Math.min(last, dayOf(zone, part.end) + (part.end === period.end ? 0 : later))
    return daysBetween(from, to, convention)
  }

  #denominator(period: Span, zone: Zone, convention: DayCount): Fraction {
    const of = this.#policies["proration.denominator"] ?? "period"
    if (of === "period") return this.#units(period, period, zone, convention)
    const seconds = this.#policies["proration.unit"] === "second"
    if (of === "year" && !seconds && convention !== "actual") return whole(convention.startsWith("30") ? 360 : 1)
    const month = monthOf(dayOf(zone, period.start))
    const january = Math.floor(month / 12) * 12
    const [first, next] = of === "year" ? [january, january + 12] : [month, month + 1]
    if (of !== "year" && of !== "calendarMonth") return whole(BigInt(of) * (seconds ? microsecondsPerDay : 1n))
    const [from, to] = [monthStart(first), monthStart(next)]
    return seconds ? whole(dayStart(zone, to) - dayStart(zone, from)) : daysBetween(from, to, convention)
  }
}

export interface Part extends State {
  readonly span: Span
  readonly trial: boolean
  readonly share: Fraction
  /** What of the period is before it, and after it. */
  readonly past: Fraction
  readonly rest: Fraction
}

export const numberOf = (part: Part, charge: string): Fraction => part.quantities.get(charge) ?? whole(1)
