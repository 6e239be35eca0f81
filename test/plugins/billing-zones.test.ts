/**
 * Periods in every zone of the IANA database, against an oracle that was written apart from the rules and reads the system's `zic`, where there is one
 * with the pinned source: ten years of months and quarters, each day around every change of offset, accounts that move. A run without `--full` takes
 * the zones that skip or repeat a midnight and some of the others, by a seed that `STELE_TEST_SEED` repeats.
 */
import t, { type Test } from "tap"
import type { Catalogue as Shape } from "../../schemas/billing/catalogue.ts"
import type { Catalogue, Span, Subscription, Zone } from "../../schemas/wit/stele/billing.gen.ts"
import { shippedZones } from "../../runtime/billing/zones.ts"
import { pinnedSource } from "../../runtime/build/zones.ts"
import { Timeline, type Subscription as OracleSubscription, type Zone as OracleZone } from "../billing/oracle-time.ts"
import { Compiled, hasZic } from "../billing/zic.ts"
import { at, instant, Rules } from "./billing/rules.ts"
import { isFull, replay, seed } from "../seed.ts"

t.setTimeout(600_000)

t.comment(replay)
let state = seed
/** Below a bound. */
const random = (bound: number): number => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return Math.floor((state / 2 ** 32) * bound)
}

const rules = await Rules.open()
t.teardown(() => rules[Symbol.asyncDispose]())
const zones = await shippedZones()
const source = pinnedSource()
const second = source === undefined || !hasZic ? undefined : new Compiled(source)
t.teardown(() => second?.[Symbol.dispose]())

const charge = { id: "fee", price: { model: "flat", amount: "1" } } as const
const plan = (id: string, unit: "day" | "month" | "quarter", more: object = {}) => ({ id, interval: { unit, count: 1 }, charges: [charge], ...more })
const shape = {
  name: "zones",
  version: "1",
  currency: "EUR",
  units: {},
  meters: [],
  plans: [
    plan("months", "month", { align: "calendar" }),
    plan("quarters", "quarter", { align: "calendar" }),
    plan("anchored", "month"),
    plan("days", "day", { align: "calendar" }),
  ],
} as unknown as Shape
const catalogue: Catalogue = rules.compile(shape)

const oneSecond = 1_000_000n
const day = 86_400n * oneSecond
const periods = (subscription: Subscription, within: Span, known: ReadonlyArray<Zone>): ReadonlyArray<Span> =>
  rules.call(`${at}#[method]catalogue.periods`, [catalogue, subscription, within, known])
const assigned = (subscription: Subscription, instantOf: bigint, known: ReadonlyArray<Zone>): Span =>
  rules.call(`${at}#[method]catalogue.assign`, [catalogue, subscription, instantOf, known])

/** A zone as the oracle has it, with no more changes than a span needs. */
function oracleZone(name: string, within: Span): OracleZone {
  const { first, changes, offsets } = second?.offsets(name) ?? zones.zone(name)
  const from = Number(within.start / oneSecond) - 3 * 86_400
  const to = Number(within.end / oneSecond) + 800 * 86_400
  const all = Array.from(changes, Number)
  const low = all.findLastIndex((change) => change < from) + 1
  const kept = all.slice(low).filter((change) => change < to)
  return {
    name,
    release: zones.release,
    first: low === 0 ? first : (offsets[low - 1] as number),
    changes: kept.map(BigInt),
    offsets: [...offsets.slice(low, low + kept.length)],
  }
}
const subscribed = (plan: string, zone: string, start: bigint, changes: Subscription["changes"] = []): Subscription => ({
  id: "s",
  plan,
  start,
  zone,
  quantities: [],
  changes,
})
function expected(subscription: Subscription, within: Span, names: ReadonlyArray<string> = [subscription.zone]): ReadonlyArray<Span> {
  const { changes, ...rest } = subscription
  const moves = changes.map(({ at, atPeriodEnd, what }) => ({ at, atPeriodEnd, what: "zone" as const, zone: what.tag === "zone" ? what.val : "" }))
  const of: OracleSubscription = { ...rest, quantities: [], changes: moves }
  return new Timeline(
    shape,
    of,
    names.map((name) => oracleZone(name, within)),
  ).periods(within)
}
const shown = (spans: ReadonlyArray<Span>): ReadonlyArray<string> =>
  spans.map(({ start, end }) => `${new Date(Number(start / 1000n)).toISOString()} ${new Date(Number(end / 1000n)).toISOString()}`)

let compared = 0
/** Fails once for a subscription, with both answers. */
function same(t: Test, subscription: Subscription, within: Span, names?: ReadonlyArray<string>): ReadonlyArray<Span> {
  const known = (names ?? [subscription.zone]).map((name) => zones.zone(name))
  const found = periods(subscription, within, known)
  const [ours, theirs] = [shown(found), shown(expected(subscription, within, names))]
  compared += found.length
  if (ours.join() !== theirs.join()) t.same(ours, theirs, `${subscription.plan} in ${(names ?? [subscription.zone]).join(" → ")}`)
  // An instant belongs to the period that it lies in, up to its last microsecond.
  const one = found[random(found.length)]
  if (one === undefined) return found
  for (const inside of [one.start, one.end - 1n, one.start + BigInt(random(Number((one.end - one.start) / oneSecond))) * oneSecond]) {
    const span = assigned(subscription, inside, known)
    if (span.start !== one.start || span.end !== one.end) t.same(shown([span]), shown([one]), `${inside} in ${subscription.zone}`)
  }
  return found
}

/** Changes of a zone that take a midnight away, bring it again, or leave a date out. */
const movesMidnight = ({ first, changes, offsets }: Zone): boolean =>
  [...changes].some((change, i) => {
    const [before, after] = [offsets[i - 1] ?? first, offsets[i] as number]
    const local = (offset: number) => Math.floor((Number(change) + offset) / 86_400)
    return local(before) !== local(after) || (Number(change) + Math.max(before, after)) % 86_400 === 0
  })

const tricky = zones.names.filter((name) => movesMidnight(zones.zone(name)))
const others = zones.names.filter((name) => !tricky.includes(name))
const sample = isFull
  ? zones.names
  : [...tricky.filter(() => random(2) === 0), ...others.filter(() => random(8) === 0), "Pacific/Apia", "Pacific/Kwajalein", "Pacific/Kiritimati"]
const decades = (isFull ? [1970, 1980, 1990, 2000, 2010, 2020] : [[1990, 2000, 2010, 2020][random(4)] as number]).map((year) => ({
  start: instant(`${year}-01-05T12:00:00Z`),
  end: instant(`${year + 10}-01-05T12:00:00Z`),
}))

t.test(`ten years of months and quarters, calendar and anchored`, (t) => {
  for (const within of decades)
    for (const name of sample) {
      for (const plan of isFull ? ["months", "quarters", "anchored"] : ["months", "anchored"]) {
        const found = same(t, subscribed(plan, name, within.start), within)
        if (plan === "months" && found.length !== 120) t.fail(`${found.length} months in ${name}`)
        const around = { start: within.start < 100n * day ? 0n : within.start - 100n * day, end: within.end + 100n * day }
        const known = periods(subscribed(plan, name, within.start), within, [zones.zone(name, around)])
        if (shown(known).join() !== shown(found).join()) t.fail(`a part of ${name} is not as good as the whole`)
      }
    }
  t.ok(compared > 10_000, `${compared} periods of ${sample.length} zones, ${tricky.length} of all have midnights that move`)
  t.end()
})

t.test("each day around every change of offset, from 1970 to 2037", (t) => {
  let days = 0
  const seen = new Set<string>()
  for (const name of isFull ? zones.names : [...tricky, ...others.filter(() => random(20) === 0)]) {
    const zone = zones.zone(name)
    const key = [zone.first, ...zone.changes, ...zone.offsets].join()
    if (seen.has(key)) continue
    seen.add(key)
    for (const [i, change] of zone.changes.entries()) {
      const around = { start: change * oneSecond - 3n * day, end: change * oneSecond + 3n * day }
      if (around.start < 0n || change > 2_145_000_000n) continue
      if (!isFull && random(8) > 0 && Math.abs((zone.offsets[i] as number) - (zone.offsets[i - 1] ?? zone.first)) <= 7200) continue
      days += same(t, subscribed("days", name, around.start), around).length
    }
  }
  t.ok(days > 3000, `${days} days`)
  t.end()
})

t.test("a date that a zone left out is no day, and a midnight that comes twice begins one", (t) => {
  const days = (zone: string, from: string, to: string) => {
    const within = { start: instant(`${from}T00:00:00Z`) - day, end: instant(`${to}T00:00:00Z`) + day }
    return shown(periods(subscribed("days", zone, within.start), within, [zones.zone(zone)])).map((span) => span.replaceAll(":00.000Z", ""))
  }
  // 30 December 2011 was not in Samoa: the 29th lasted up to the 31st, which began as Hawaii's 30th did.
  t.same(days("Pacific/Apia", "2011-12-30", "2011-12-31").slice(0, 3), [
    "2011-12-29T10:00 2011-12-30T10:00",
    "2011-12-30T10:00 2011-12-31T10:00",
    "2011-12-31T10:00 2012-01-01T10:00",
  ])
  // Havana's clocks went back from 1:00 to 0:00: the day began with the first midnight, and had 25 hours.
  t.same(days("America/Havana", "2024-11-03", "2024-11-04").slice(1, 3), ["2024-11-03T04:00 2024-11-04T05:00", "2024-11-04T05:00 2024-11-05T05:00"])
  // Cairo's went from 24:00 to 1:00: its day began at 1:00 and had 23.
  t.same(days("Africa/Cairo", "2024-04-26", "2024-04-27").slice(0, 2), ["2024-04-25T22:00 2024-04-26T21:00", "2024-04-26T21:00 2024-04-27T21:00"])
  t.end()
})

t.test("an account that moves keeps its period, and has the next in its new zone", (t) => {
  const pick = (): string => (random(2) === 0 ? tricky[random(tricky.length)] : zones.names[random(zones.names.length)]) as string
  for (let i = 0; i < (isFull ? 2000 : 60); i += 1) {
    const [from, to, back] = [pick(), pick(), pick()]
    const start = BigInt(random(1_800_000_000)) * oneSecond
    const within = { start, end: start + 800n * day }
    const moves = [random(400), 400 + random(300)].map((days, i) => ({
      at: start + BigInt(days) * day + BigInt(random(86_400)) * oneSecond,
      atPeriodEnd: random(3) === 0,
      what: { tag: "zone", val: i === 0 ? to : back } as const,
    }))
    same(t, subscribed(["months", "anchored", "days"][random(3)] as string, from, start, moves), within, [...new Set([from, to, back])])
  }
  t.pass(`seed ${seed}`)
  t.end()
})
