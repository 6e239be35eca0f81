/** A zone's offsets as this engine's own tables have them, found by halving: what tests take for want of a compiled one. */
import type { Zone } from "./oracle-time.ts"

/** Offsets from `from` to `to`, in seconds since 1970; two changes within a day are not told apart. */
export function engineZone(name: string, from = Date.UTC(2010) / 1000, to = Date.UTC(2032) / 1000): Zone {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: name,
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  })
  const offsetAt = (second: number): number => {
    const part = new Map(format.formatToParts(second * 1000).map(({ type, value }) => [type, Number(value)]))
    const [year, month, day, hour, minute, seconds] = (["year", "month", "day", "hour", "minute", "second"] as const).map((type) => part.get(type) as number)
    return Date.UTC(year as number, (month as number) - 1, day, hour, minute, seconds) / 1000 - second
  }
  const changes: bigint[] = []
  const offsets: number[] = []
  const first = offsetAt(from)
  let offset = first
  for (let before = from; before < to;) {
    let after = before + 86_400 * 7
    const next = after
    if (offsetAt(after) !== offset) {
      let same = before
      while (after - same > 1) {
        const middle = Math.floor((same + after) / 2)
        if (offsetAt(middle) === offset) same = middle
        else after = middle
      }
      offset = offsetAt(after)
      changes.push(BigInt(after))
      offsets.push(offset)
    }
    before = next
  }
  return { name, release: `the engine's`, first, changes, offsets }
}
