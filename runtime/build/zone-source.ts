/**
 * The IANA time zone database's source → the offsets of its zones: what `zic` does, for offsets alone. Reads the input language of zic(8), in full or
 * abbreviated as in `tzdata.zi`; a zone's lines and its rules are carried out as zic does, whose order of events decides where they meet.
 */
import type { ZoneOffsets } from "../../schemas/billing/zone-table.ts"

/** A day of a year, and the time of it in seconds. */
interface Moment {
  /** 0 to 11. */
  readonly month: number
  /** A date of the month, or a weekday: the last of the month, the first that is not before the date, the last that is not after it. */
  readonly on: "date" | "last" | "atLeast" | "atMost"
  readonly date: number
  /** From Sunday on. */
  readonly weekday: number
  readonly seconds: number
  /** Whose clock shows it: the wall's, one without daylight saving, UTC's. */
  readonly clock: "wall" | "standard" | "universal"
}

interface Rule extends Moment {
  readonly fromYear: number
  readonly toYear: number
  /** Seconds added to the standard offset from then on; may be negative. */
  readonly save: number
}

interface ZoneLine {
  readonly offset: number
  /** A set of rules by its name, or a fixed addition. */
  readonly rules: string | number
  readonly until: (Moment & { readonly year: number }) | undefined
}

const daySeconds = 86_400
const months = ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"]
const weekdays = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]

/** The place of the one that a text abbreviates. */
function abbreviated(text: string, among: ReadonlyArray<string>): number {
  const found = among.flatMap((name, i) => (name.startsWith(text.toLowerCase()) ? [i] : []))
  const exact = among.indexOf(text.toLowerCase())
  if (exact >= 0) return exact
  if (text === "" || found.length !== 1) throw new Error(`Cannot read "${text}" as one of ${among.join(", ")}`)
  return found[0] as number
}

/** `-`, `2`, `-2:30`, `24:00`, `0:44:30`: seconds. */
function duration(text: string): number {
  if (text === "-") return 0
  const found = /^(-?)(\d+)(?::(\d\d?))?(?::(\d\d?))?$/.exec(text)
  if (found === null) throw new Error(`Cannot read "${text}" as a time`)
  const [, sign, hours, minutes = "0", seconds = "0"] = found
  const total = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)
  return sign === "-" ? -total : total
}

function moment(month = "january", day = "1", time = "0"): Moment {
  const [, ofDay = "", suffix = ""] = /^(.*?)([wsugz]?)$/.exec(time) as RegExpExecArray
  const when = {
    month: abbreviated(month, months),
    seconds: duration(ofDay),
    clock: suffix === "s" ? "standard" : suffix === "u" || suffix === "g" || suffix === "z" ? "universal" : "wall",
  } as const
  if (day.startsWith("last")) return { ...when, on: "last", date: 0, weekday: abbreviated(day.slice(4), weekdays) }
  const found = /^(?:([a-z]+)([<>])=)?(\d+)$/i.exec(day)
  if (found === null) throw new Error(`Cannot read "${day}" as a day`)
  const [, weekday, side, date] = found
  if (weekday === undefined) return { ...when, on: "date", date: Number(date), weekday: 0 }
  return { ...when, on: side === ">" ? "atLeast" : "atMost", date: Number(date), weekday: abbreviated(weekday, weekdays) }
}

/** When it is in a year, by its own clock, in seconds since 1970. */
function inYear({ month, on, date, weekday, seconds }: Moment, year: number): number {
  const day = on === "last" ? Date.UTC(year, month + 1, 0) : Date.UTC(year, month, on === "atLeast" ? date + 6 : date)
  const back = on === "date" ? 0 : (new Date(day).getUTCDay() - weekday + 7) % 7
  return day / 1000 - back * daySeconds + seconds
}

export interface ZoneSource {
  /** From the first line of `tzdata.zi`; undefined elsewhere. */
  readonly release: string | undefined
  readonly rules: ReadonlyMap<string, ReadonlyArray<Rule>>
  readonly zones: ReadonlyMap<string, ReadonlyArray<ZoneLine>>
  /** Names and what they are another name of. */
  readonly links: ReadonlyMap<string, string>
}

/** @throws Error with the line when it is not in the language of zic */
export function parseZones(text: string): ZoneSource {
  const rules = new Map<string, Array<Rule>>()
  const zones = new Map<string, Array<ZoneLine>>()
  const links = new Map<string, string>()
  let open: Array<ZoneLine> | undefined
  const zoneLine = ([offset = "", use = "", , ...until]: ReadonlyArray<string>): void => {
    const at = until.length === 0 ? undefined : { year: Number(until[0]), ...moment(until[1], until[2], until[3]) }
    open?.push({ offset: duration(offset), rules: use === "-" ? 0 : /^-?\d/.test(use) ? duration(use) : use, until: at })
    if (at === undefined) open = undefined
  }
  const line = (fields: ReadonlyArray<string>): void => {
    if (open !== undefined) return zoneLine(fields)
    const [kind = "", name = "", ...rest] = fields
    switch (abbreviated(kind, ["rule", "zone", "link"])) {
      case 0: {
        const [from = "", to = "", , month, day, time, save = ""] = rest
        const fromYear = Number(from)
        const toYear = /^\d+$/.test(to) ? Number(to) : abbreviated(to, ["only", "maximum"]) === 0 ? fromYear : Infinity
        if (!Number.isInteger(fromYear) || fields.length !== 10) throw new Error(`Cannot read a rule of ${fields.length} fields: it has 10`)
        const rule = { fromYear, toYear, save: duration(save.replace(/[sd]$/, "")), ...moment(month, day, time) }
        rules.set(name, [...(rules.get(name) ?? []), rule])
        return
      }
      case 1:
        open = []
        zones.set(name, open)
        return zoneLine(rest)
      default:
        links.set(rest[0] ?? "", name)
    }
  }
  for (const [i, whole] of text.split("\n").entries()) {
    const fields = (/^(?:"[^"]*"|[^#"])*/.exec(whole) as RegExpExecArray)[0].match(/(?:"[^"]*"|[^\s"])+/g)
    if (fields === null) continue
    try {
      line(fields)
    } catch (error) {
      throw new Error(`Line ${i + 1}: ${(error as Error).message}`, { cause: error })
    }
  }
  return { release: /^# version (\S+)/.exec(text)?.[1], rules, zones, links }
}

type Change = readonly [at: number, offset: number]

/** The changes of a zone in the order of their time, from the beginning of records up to the end of a year, as zic's `outzone` finds them. */
function changesOf(lines: ReadonlyArray<ZoneLine>, rulesOf: (name: string) => ReadonlyArray<Rule>, lastYear: number): ReadonlyArray<Change> {
  const found: Array<Change> = []
  let starts = -Infinity
  for (const { offset, rules: use, until } of lines) {
    /** What is in force when the line begins, as far as rules say. */
    let initial = offset
    let save = 0
    let isDue = true
    /** A moment by the clock that is in force, or that it names. */
    const instantOf = ({ clock }: Moment, local: number) => local - (clock === "universal" ? 0 : offset) - (clock === "wall" ? save : 0)
    const end = () => (until === undefined ? Infinity : instantOf(until, inYear(until, until.year)))
    if (typeof use === "number") {
      save = use
      initial = offset + save
    } else {
      const rules = rulesOf(use)
      const endYear = Math.min(lastYear, until?.year ?? Infinity)
      for (let year = Math.min(...rules.map(({ fromYear }) => fromYear)); year <= endYear; year += 1) {
        const left = new Map(rules.filter(({ fromYear, toYear }) => fromYear <= year && year <= toYear).map((rule) => [rule, inYear(rule, year)]))
        while (left.size > 0) {
          // Which rule is next depends on the clock that the last one left.
          const [rule, at] = [...left].map(([each, local]) => [each, instantOf(each, local)] as const).reduce((a, b) => (b[1] < a[1] ? b : a))
          left.delete(rule)
          if (at >= end()) break
          save = rule.save
          if (at === starts) isDue = false
          if (isDue && at < starts) initial = offset + save
          else found.push([at, offset + save])
        }
      }
    }
    if (isDue) found.push([starts, initial])
    starts = end()
  }
  const merged: Array<Change> = []
  for (const change of found.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))) {
    const last = merged.at(-1)
    const before = merged.at(-2)
    // Clocks that a change put ahead come to no later time before they are changed again: the two are one change.
    if (last !== undefined && before !== undefined && change[0] + last[1] <= last[0] + before[1]) merged[merged.length - 1] = [last[0], change[1]]
    else merged.push(change)
  }
  return merged.filter(([, offset], i) => offset !== merged[i - 1]?.[1])
}

/** The offsets of all zones and links with the changes from one instant up to another, in seconds since 1970. */
export function compileZones({ rules, zones, links }: ZoneSource, from: number, until: number): ReadonlyMap<string, ZoneOffsets> {
  const rulesOf = (name: string): ReadonlyArray<Rule> => {
    const found = rules.get(name)
    if (found === undefined) throw new Error(`Cannot find the rules "${name}"`)
    return found
  }
  const compiled = new Map<string, ZoneOffsets>()
  const lastYear = new Date(until * 1000).getUTCFullYear()
  for (const [name, lines] of zones) {
    const changes = changesOf(lines, rulesOf, lastYear)
    const first = changes.findLast(([at]) => at <= from) as readonly [number, number]
    const later = changes.filter(([at]) => at > from && at < until)
    compiled.set(name, { first: first[1], changes: later.map(([at]) => at), offsets: later.map(([, offset]) => offset) })
  }
  for (const [name] of links) {
    let target = name
    while (links.has(target)) target = links.get(target) as string
    const zone = compiled.get(target)
    if (zone === undefined) throw new Error(`Cannot find the zone "${target}", which "${name}" is another name of`)
    compiled.set(name, zone)
  }
  return compiled
}
