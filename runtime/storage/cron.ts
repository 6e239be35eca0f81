/**
 * Times of a crontab's five fields in UTC (POSIX `crontab`: lists, ranges and steps; with both days given, either one
 * will do). Ours, because the thread that evaluates it is started with every store: `effect/Cron` brings 40 ms of
 * imports for time zones that are not used here. The tests hold it against that.
 */
import { ConfigError } from "../../schemas/error/config.ts"

const fields = [
  { name: "minute", min: 0, max: 59 },
  { name: "hour", min: 0, max: 23 },
  { name: "day of month", min: 1, max: 31 },
  { name: "month", min: 1, max: 12 },
  { name: "day of week", min: 0, max: 7 },
] as const

export interface Cron {
  readonly minutes: ReadonlySet<number>
  readonly hours: ReadonlySet<number>
  readonly days: ReadonlySet<number>
  readonly months: ReadonlySet<number>
  /** 0 is Sunday. */
  readonly weekdays: ReadonlySet<number>
  readonly isEitherDay: boolean
}

const part = /^(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:\/(\d{1,2}))?$/

/** @throws ConfigError `Option`, also for a time that never comes, like 30 February */
export function parseCron(text: string): Cron {
  const refuse = (expected: string): never => {
    throw new ConfigError("Option", { option: "schedule.cron", expected, actual: JSON.stringify(text.slice(0, 100)) })
  }
  const parts = text.trim().split(/\s+/)
  if (parts.length !== fields.length) refuse("five fields: minute hour day-of-month month day-of-week")
  const [minutes, hours, days, months, weekdays] = fields.map(({ name, min, max }, i) => {
    const found = new Set<number>()
    for (const each of (parts[i] as string).split(",")) {
      const [matched, from, to, step] = part.exec(each) ?? []
      const first = from === undefined ? min : Number(from)
      const last = to !== undefined ? Number(to) : from === undefined || step !== undefined ? max : first
      if (matched === undefined || first < min || last > max || first > last || Number(step ?? 1) < 1)
        return refuse(`a ${name} from ${min} to ${max}, *, a range, a step or a list of these`)
      for (let value = first; value <= last; value += Number(step ?? 1)) found.add(name === "day of week" ? value % 7 : value)
    }
    return found
  }) as [Set<number>, Set<number>, Set<number>, Set<number>, Set<number>]
  const [, , day, , weekday] = parts as [string, string, string, string, string]
  const cron = { minutes, hours, days, months, weekdays, isEitherDay: !day.startsWith("*") && !weekday.startsWith("*") }
  if (nextOf(cron, 0) === undefined) refuse("a day that there is")
  return cron
}

const dayMs = 86_400_000
/** From one 29 February to the next over a century that has none, and a week for its weekday: the longest wait there is, in days. */
const daysMax = 366 * 41

/** The first time after `afterMs`, ms since the Unix epoch. */
export function nextOf({ minutes, hours, days, months, weekdays, isEitherDay }: Cron, afterMs: number): number | undefined {
  const fromMs = (Math.floor(afterMs / 60_000) + 1) * 60_000
  for (let dayStartMs = Math.floor(fromMs / dayMs) * dayMs, i = 0; i < daysMax; i++, dayStartMs += dayMs) {
    const day = new Date(dayStartMs)
    if (!months.has(day.getUTCMonth() + 1)) continue
    const isDay = days.has(day.getUTCDate())
    const isWeekday = weekdays.has(day.getUTCDay())
    if (isEitherDay ? !isDay && !isWeekday : !isDay || !isWeekday) continue
    const first = Math.max(0, (fromMs - dayStartMs) / 60_000)
    for (let minute = first; minute < 1_440; minute++) {
      if (!hours.has(Math.floor(minute / 60))) minute += 59 - (minute % 60)
      else if (minutes.has(minute % 60)) return dayStartMs + minute * 60_000
    }
  }
  return undefined
}
