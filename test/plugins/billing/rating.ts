/** A question of the oracle's shape, put to the rules; what both answer as texts that can be compared. */
import type { Catalogue as Shape } from "../../../schemas/billing/catalogue.ts"
import type {
  Aggregate,
  Catalogue,
  Events,
  Line,
  Prior,
  Problem,
  Rater,
  Subscription as OurSubscription,
  Zone as OurZone,
} from "../../../schemas/wit/stele/billing.gen.ts"
import * as F from "../../billing/fraction.ts"
import { linesOfPeriod, type Line as OracleLine, type Aggregate as Sum, type Rating, type UsageEvent } from "../../billing/oracle.ts"
import { Refused, Unspecified } from "../../billing/oracle-problem.ts"
import type { Subscription, Zone } from "../../billing/oracle-time.ts"
import { at, decimal, refusal, type Rules } from "./rules.ts"

type Unscaled = { readonly high: bigint; readonly low: bigint; readonly scale: number }
export const fractionOf = ({ high, low, scale }: Unscaled): F.Fraction => F.fraction((high << 64n) | low, 10n ** BigInt(scale))

export const zoneOf = ({ name, release, first, changes, offsets }: Zone): OurZone => ({
  name,
  release,
  first,
  changes: BigInt64Array.from(changes),
  offsets: Int32Array.from(offsets),
})
export const subscriptionOf = ({ quantities, changes, ...rest }: Subscription): OurSubscription => ({
  ...rest,
  quantities: quantities.map(([charge, quantity]) => [charge, decimal(quantity)]),
  changes: changes.map((change) => {
    const when = { at: change.at, atPeriodEnd: change.atPeriodEnd }
    if (change.what === "plan") return { ...when, what: { tag: "plan", val: change.plan } }
    if (change.what === "quantity") return { ...when, what: { tag: "quantity", val: [change.charge, decimal(change.quantity)] } }
    if (change.what === "zone") return { ...when, what: { tag: "zone", val: change.zone } }
    return { ...when, what: { tag: change.what } }
  }),
})
export const sumOf = ({ meter, attribute, quantity, events }: Sum): Aggregate => ({ meter, attribute, quantity: decimal(quantity), events: BigInt(events) })
export const priorOf = ({ quantities, billed }: Rating["prior"]): Prior => ({
  quantities: quantities.map(sumOf),
  billed: billed.map(({ charge, attribute, amount }) => ({ charge, attribute, amount: decimal(amount) })),
})

const none = 0xffffffff
/** Rows for rules: at the finest of their scales. */
export function eventsOf(events: readonly UsageEvent[]): Events {
  const scale = Math.max(0, ...events.map(({ quantity }) => (quantity.split(".")[1] ?? "").length))
  const texts = [...new Set(events.flatMap(({ attribute, key }) => [attribute, key].filter((text) => text !== undefined)))]
  const place = (text: string | undefined) => (text === undefined ? none : texts.indexOf(text))
  return {
    meters: Uint32Array.from(events, ({ meter }) => meter),
    at: BigInt64Array.from(events, (event) => event.at),
    idsHigh: new BigUint64Array(events.length),
    idsLow: BigUint64Array.from(events, ({ id }) => id),
    quantities: BigInt64Array.from(events, ({ quantity }) => F.times(F.read(quantity), F.whole(10n ** BigInt(scale))).n),
    scale,
    attributes: Uint32Array.from(events, ({ attribute }) => place(attribute)),
    keys: Uint32Array.from(events, ({ key }) => place(key)),
    texts,
  }
}

/** How events reach a rater: none of it may change a line. */
export interface Way {
  /** Events before this one come in a batch of their own, after which the rater is a snapshot's. */
  readonly cut: number
  readonly reversed: boolean
}

/** The rater after all usage. */
export function raterOf(rules: Rules, catalogue: Catalogue, rating: Rating, { cut, reversed }: Way = { cut: 0, reversed: false }): Rater {
  let rater = rules.call(`${at}#[static]rater.start`, [
    catalogue,
    subscriptionOf(rating.subscription),
    rating.period,
    rating.zones.map(zoneOf),
    priorOf(rating.prior),
  ])
  const events = reversed ? rating.events.toReversed() : rating.events
  for (const batch of [events.slice(0, cut), events.slice(cut)]) {
    if (batch.length === 0) continue
    rules.call(`${at}#[method]rater.add`, [rater, eventsOf(batch)])
    if (batch === events) continue
    rater = rules.call(`${at}#[static]rater.restore`, [catalogue, rules.call(`${at}#[method]rater.snapshot`, [rater])])
  }
  if (rating.aggregates.length > 0) rules.call(`${at}#[method]rater.add-aggregates`, [rater, rating.aggregates.map(sumOf)])
  return rater
}

const places18 = F.fraction(1n, 10n ** 18n)
const shown = (charge: string, attribute: string | undefined, ...numbers: readonly F.Fraction[]): string =>
  [charge, attribute ?? "-", ...numbers.map((one) => `${one.n}/${one.d}`)].join(" ")

/** A line of the rules; throws where its steps do not add up to it. */
export function lineText({ charge, attribute, quantity, amount, exact, billed, steps }: Line): string {
  const whole = F.over(fractionOf(exact.numerator), fractionOf(exact.denominator))
  const ofSteps = F.total(steps.map((step) => F.over(fractionOf(step.amount.numerator), fractionOf(step.amount.denominator))))
  if (!F.same(ofSteps, fractionOf(amount))) throw new Error(`The steps of ${charge} add up to ${F.text(ofSteps)}, not ${F.text(fractionOf(amount))}`)
  return shown(charge, attribute, fractionOf(quantity), fractionOf(amount), whole, fractionOf(billed))
}
export const oracleText = ({ charge, attribute, quantity, amount, exact, billed }: OracleLine): string =>
  shown(charge, attribute, F.rounded(quantity, places18, "halfAway"), amount, exact, billed)

/** What the oracle says: lines, or the kinds of what is wrong; and whether a value on its way had more than 128 bits. Undefined where the contract leaves it open. */
export function expected(rating: Rating): { readonly answer: string; readonly kinds: ReadonlySet<string>; readonly wide: boolean } | undefined {
  try {
    const { value, wide } = F.watched(() => {
      try {
        return { answer: linesOfPeriod(rating).map(oracleText).join("\n"), kinds: new Set<string>() }
      } catch (error) {
        if (error instanceof Refused) return { answer: error.kind, kinds: error.kinds }
        throw error
      }
    })
    return { ...value, wide }
  } catch (error) {
    if (error instanceof Unspecified) return undefined
    throw error
  }
}

/** What the rules say: their lines, or the kind of the problem. */
export function found(rules: Rules, catalogue: Catalogue | Shape, rating: Rating, way?: Way): string {
  let answer = ""
  const refused = refusal(() => {
    const compiled = "~resource" in catalogue ? catalogue : rules.compile(catalogue as Shape)
    const rater = raterOf(rules, compiled as Catalogue, rating, way)
    answer = rules.call(`${at}#[method]rater.finish`, [rater, rating.last]).map(lineText).join("\n")
  }) as Problem | ReadonlyArray<Problem> | undefined
  if (refused === undefined) return answer
  return "kind" in refused ? refused.kind : refused.map(({ kind, path }) => `${kind} ${path}`).join()
}
