/**
 * From which quantity on a charge of one price list is cheaper or dearer than that of another: exactly, from what the rules
 * answer before rounding. Between the quantities where a price can bend it is a straight line, so two answers say all of
 * it, and where two lines cross is a division. Where it can bend is read from the list: bounds, sizes, modifiers.
 */
import type { Catalogue as List } from "../../schemas/billing/catalogue.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import type { Catalogue } from "../../schemas/wit/stele/billing.gen.ts"
import { atScale, decimal, type Ratio, ratioOf, readDecimal } from "./decimal.ts"
import { Mistakes, type Rules } from "./rules.ts"

type Plan = List["plans"][number]
type Charge = Plan["charges"][number]
type Modifier = NonNullable<Charge["modifiers"]>[number]
type Tier = { readonly upTo?: string | null; readonly size?: string; readonly count?: number | null }

export type Side = "same" | "cheaper" | "dearer"

/** From `from` up to and with `to`, in units of `10^-scale`; `to` undefined: without end. */
export interface Stretch {
  readonly from: bigint
  readonly to: bigint | undefined
  /** What the second list is, beside the first. */
  readonly side: Side
}

export interface Comparison {
  readonly plan: string
  readonly charge: string
  /** The value of the attribute, where the price is by attribute; undefined where it is not, null for all other values. */
  readonly attribute?: string | null
  /** Digits after the point of the quantities. */
  readonly scale: number
  /** In order, from 0 on. Empty where `reason` says why nothing was compared. */
  readonly stretches: ReadonlyArray<Stretch>
  /** Up to where it was compared, where steps without end are too many to look at. */
  readonly comparedTo?: bigint
  readonly reason?: string
}

/** Quantities at which one charge is asked for; each is a call. */
const cornersMax = 4_000

class Incomparable extends Error {}

/** A charge alone, in a list of its own: its amount before rounding is a function of one quantity. */
class Priced {
  readonly #rules: Rules
  readonly #catalogue: Catalogue
  readonly #plan: string
  readonly #charge: string
  readonly #isMetered: boolean
  readonly #scale: number
  readonly #known = new Map<bigint, Ratio>()

  private constructor(rules: Rules, catalogue: Catalogue, plan: string, charge: Charge, scale: number) {
    this.#rules = rules
    this.#catalogue = catalogue
    this.#plan = plan
    this.#charge = charge.id
    this.#isMetered = charge.meter !== undefined
    this.#scale = scale
  }

  static async of(rules: Rules, list: List, plan: Plan, charge: Charge, scale: number): Promise<Priced> {
    const meter = list.meters.find(({ id }) => id === charge.meter)
    // How events become a quantity is the meter's matter; rounding would bend lines.
    const aggregation = charge.price.model === "capacity" ? "max" : "sum"
    const alone = {
      ...list,
      policies: { ...list.policies, "modifiers.rounding": "line", "input.excess": "refused" },
      meters: meter === undefined ? [] : [{ id: meter.id, unit: meter.unit, aggregation }],
      plans: [{ ...plan, charges: [charge] }],
    }
    return new Priced(rules, await rules.compile(JSON.stringify(alone)), plan.id, charge, scale)
  }

  async at(quantity: bigint): Promise<Ratio> {
    const known = this.#known.get(quantity)
    if (known !== undefined) return known
    const amount = decimal(quantity, this.#scale)
    const prior = { quantities: [], billed: [] }
    const quantities = this.#isMetered ? [{ meter: 0, quantity: amount, events: 1n }] : []
    const counts = this.#isMetered ? [] : [[this.#charge, amount] as const]
    const quote = await this.#rules.ask("[method]catalogue.estimate", [this.#catalogue, this.#plan, quantities, counts, prior, false])
    const line = quote.lines[0]
    const answer = line === undefined ? { n: 0n, d: 1n } : ratioOf(line.exact)
    this.#known.set(quantity, answer)
    return answer
  }

  [Symbol.dispose](): void {
    ;(this.#catalogue as unknown as Disposable)[Symbol.dispose]()
  }
}

const minus = (a: Ratio, b: Ratio): Ratio => ({ n: a.n * b.d - b.n * a.d, d: a.d * b.d })
const floor = (n: bigint, d: bigint): bigint => n / d - (n % d !== 0n && n < 0n !== d < 0n ? 1n : 0n)

/** Where the line through (x, y) and (x + step, z) is at `level`, as a rounded-down quantity; undefined where it is flat. */
function crossing(x: bigint, step: bigint, y: Ratio, z: Ratio, level: Ratio): bigint | undefined {
  const rise = minus(z, y)
  if (rise.n === 0n) return undefined
  const need = minus(level, y)
  return x + floor(need.n * rise.d * step, need.d * rise.n)
}

/** Sorted corners: between two of them, and after the last, both charges are straight. Right after a corner they may jump. */
class Corners {
  readonly #set = new Set<bigint>([0n])
  /** Steps that go on without end were left out after this quantity. */
  cut: bigint | undefined

  add(quantity: bigint): void {
    if (quantity < 0n) return
    this.#set.add(quantity)
    if (this.#set.size > cornersMax) throw new Incomparable(`it has more than ${cornersMax} steps`)
  }
  cutAt(quantity: bigint): void {
    if (this.cut === undefined || quantity < this.cut) this.cut = quantity
  }
  get sorted(): ReadonlyArray<bigint> {
    const all = [...this.#set].filter((quantity) => this.cut === undefined || quantity <= this.cut)
    return all.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  }
}

/** Multiples that are looked at of a size that goes on without end. */
const stepsShown = 200n

/** Bounds and steps of a price, as quantities that the price sees, in units of `10^-scale`; a size may fall between two of them. */
function bendsOf(price: Charge["price"], scale: number): { readonly bends: ReadonlyArray<bigint>; readonly cut: bigint | undefined } {
  const bends: Array<bigint> = []
  let cut: bigint | undefined
  const whole = (text: string): bigint => {
    const read = readDecimal(text)
    if (read === undefined || read.scale > scale) throw new Incomparable(`"${text}" has more digits than the unit`)
    return atScale(read, scale)
  }
  const steps = (from: bigint, to: bigint | undefined, text: string): void => {
    const size = whole(text)
    const last = to ?? from + size * stepsShown
    if ((last - from) / size > BigInt(cornersMax)) throw new Incomparable(`it has more than ${cornersMax} steps`)
    for (let at = from + size; at < last; at += size) bends.push(at)
    bends.push(last)
    if (to === undefined && (cut === undefined || last < cut)) cut = last
  }
  if (price.model === "package") steps(0n, undefined, price.size)
  if (price.model === "capacity" && price.committed !== undefined) bends.push(whole(price.committed))
  if (price.model === "blocks") {
    let from = 0n
    for (const { size, count } of price.tiers) {
      const to = count === null ? undefined : from + whole(size) * BigInt(count)
      // By `reached` the sizes count from nothing on.
      if (price.mode === "reached") steps(from - (from % whole(size)), to, size)
      else steps(from, to, size)
      from = to ?? from
    }
  } else if ("tiers" in price) {
    let from = 0n
    const isVolume = price.model === "volume"
    for (const { upTo, size } of price.tiers as ReadonlyArray<Tier>) {
      const to = upTo === null || upTo === undefined ? undefined : whole(upTo)
      if (to !== undefined) bends.push(to)
      if (size !== undefined) steps(isVolume ? from - (from % whole(size)) : from, to, size)
      from = to ?? from
    }
  }
  return { bends, cut }
}

/** What a price sees of a quantity, backwards: the greatest quantities of which it sees no more. */
function seenFrom(bend: bigint, modifiers: ReadonlyArray<Modifier>, scale: number): bigint {
  // A fraction to the end: cut off after each modifier it would be another quantity.
  let [n, d] = [bend, 1n]
  for (const modifier of modifiers.toReversed()) {
    const read = readDecimal(modifier.modifier === "allowance" ? modifier.quantity : modifier.modifier === "usageDiscount" ? modifier.percent : "")
    if (read === undefined) continue
    if (modifier.modifier === "allowance") n += atScale(read, scale) * d
    else {
      const whole = 100n * 10n ** BigInt(read.scale)
      const left = whole - atScale(read, read.scale)
      // Of everything it sees nothing.
      if (left <= 0n) return -1n
      n *= whole
      d *= left
    }
  }
  return floor(n, d)
}

/** Adds the corners of one charge: those of its price, then where its amount meets what a modifier holds it to. */
async function addCorners(corners: Corners, rules: Rules, list: List, plan: Plan, charge: Charge, scale: number): Promise<void> {
  const { modifiers = [], price } = charge
  const inner = modifiers.filter(({ modifier }) => modifier === "allowance" || modifier === "usageDiscount")
  const { bends, cut } = bendsOf(price, scale)
  for (const bend of [0n, ...bends]) {
    corners.add(seenFrom(bend, inner, scale))
  }
  const bound = charge.overage?.policy === "block" ? readDecimal(charge.overage.upTo) : undefined
  if (bound !== undefined && bound.scale <= scale) corners.add(atScale(bound, scale))
  if (cut !== undefined) corners.cutAt(seenFrom(cut, inner, scale))
  for (const [i, modifier] of modifiers.entries()) {
    if (!("amount" in modifier)) continue
    const amount = readDecimal(modifier.amount)
    if (amount === undefined) continue
    const level = { n: atScale(amount, amount.scale), d: 10n ** BigInt(amount.scale) }
    const before = modifiers.slice(0, i)
    const isBase = "base" in modifier && modifier.base === "beforeDiscounts"
    const seen = isBase ? before.filter((one) => one.modifier !== "percentDiscount" && one.modifier !== "fixedDiscount") : before
    using priced = await Priced.of(rules, list, plan, { ...charge, modifiers: seen }, scale)
    const found: Array<bigint> = []
    for (const [from, to] of piecesOf(corners.sorted)) {
      const step = to === undefined ? 1n : to - from - 1n
      if (step < 1n) continue
      const x = crossing(from + 1n, step, await priced.at(from + 1n), await priced.at(from + 1n + step), level)
      if (x !== undefined && x >= from && (to === undefined || x < to)) found.push(x)
    }
    for (const x of found) corners.add(x)
  }
}

/** `(from, to]` from corner to corner; the last one is without end. */
function* piecesOf(corners: ReadonlyArray<bigint>): Generator<readonly [from: bigint, to: bigint | undefined]> {
  for (const [i, from] of corners.entries()) yield [from, corners[i + 1]]
}

const sideOf = (first: Ratio, second: Ratio): Side => {
  const { n } = minus(second, first)
  return n === 0n ? "same" : n < 0n ? "cheaper" : "dearer"
}

/** Both charges over all quantities. */
async function stretchesOf(first: Priced, second: Priced, corners: Corners): Promise<ReadonlyArray<Stretch>> {
  const found: Array<Stretch> = []
  const put = (from: bigint, to: bigint | undefined, side: Side): void => {
    const last = found.at(-1)
    if (last?.side === side) found[found.length - 1] = { ...last, to }
    else found.push({ from, to, side })
  }
  const sideAt = async (quantity: bigint): Promise<Side> => sideOf(await first.at(quantity), await second.at(quantity))
  put(0n, 0n, await sideAt(0n))
  const all = corners.sorted
  for (const [from, next] of piecesOf(all)) {
    const isLast = next === undefined
    if (isLast && corners.cut !== undefined) break
    const x = from + 1n
    const y = next ?? x + 1n
    if (x === y) {
      put(x, y, await sideAt(x))
      continue
    }
    const [a, b] = [minus(await second.at(x), await first.at(x)), minus(await second.at(y), await first.at(y))]
    const zero = crossing(x, y - x, a, b, { n: 0n, d: 1n })
    const end = isLast ? undefined : y
    const side = (value: Ratio): Side => (value.n === 0n ? "same" : value.n < 0n ? "cheaper" : "dearer")
    // Flat, or the lines meet elsewhere.
    if (zero === undefined || zero < x || (end !== undefined && zero >= end)) {
      put(x, end, side(zero === undefined || a.n !== 0n ? a : b))
      if (zero !== undefined && end !== undefined && zero === end && b.n === 0n) split(found, end)
      continue
    }
    const isExact = (await sideAt(zero)) === "same"
    if (isExact) {
      if (zero > x) put(x, zero - 1n, side(a))
      put(zero, zero, "same")
    } else put(x, zero, side(a))
    put(zero + 1n, end, await sideAt(zero + 1n))
  }
  return found
}

/** The last quantity of the last stretch is a meeting of both. */
function split(found: Array<Stretch>, at: bigint): void {
  const last = found.pop() as Stretch
  if (last.from < at) found.push({ ...last, to: at - 1n })
  found.push({ from: at, to: at, side: "same" })
}

/** A charge with the price of one value of its attribute. */
const ofAttribute = (charge: Charge, value: string | null): Charge | undefined => {
  if (charge.price.model !== "byAttribute") return undefined
  const price = value === null ? charge.price.otherwise : (charge.price.cases.find((one) => one.value === value)?.price ?? charge.price.otherwise)
  return price === undefined ? undefined : { ...charge, price }
}

const exponentOf = (list: List, charge: Charge): number => {
  if (charge.meter === undefined) return 0
  const unit = list.meters.find(({ id }) => id === charge.meter)?.unit ?? ""
  return list.units?.[unit]?.exponent ?? 0
}

type Named = Pick<Comparison, "plan" | "charge" | "attribute" | "scale">

async function compared(rules: Rules, named: Named, sides: readonly [readonly [List, Plan, Charge], readonly [List, Plan, Charge]]): Promise<Comparison> {
  try {
    const corners = new Corners()
    for (const [list, plan, charge] of sides) await addCorners(corners, rules, list, plan, charge, named.scale)
    using first = await Priced.of(rules, ...sides[0], named.scale)
    using second = await Priced.of(rules, ...sides[1], named.scale)
    const [, , { meter, counted }] = sides[0]
    // A fixed charge has one amount.
    const stretches =
      meter === undefined && counted !== true
        ? [{ from: 1n, to: undefined, side: sideOf(await first.at(1n), await second.at(1n)) }]
        : await stretchesOf(first, second, corners)
    return { ...named, stretches, ...(corners.cut === undefined ? {} : { comparedTo: corners.cut }) }
  } catch (error) {
    if (error instanceof Incomparable) return { ...named, stretches: [], reason: error.message }
    if (error instanceof Mistakes) return { ...named, stretches: [], reason: error.problems[0]?.message ?? "the rules refuse it" }
    if (!(error instanceof BillingError) || error.reason._tag !== "Rules") throw error
    return { ...named, stretches: [], reason: error.reason.detail }
  }
}

/** Every charge that both lists have, plan by plan, as the second prices it beside the first. */
export async function compareCharges(rules: Rules, before: List, after: List): Promise<ReadonlyArray<Comparison>> {
  const found: Array<Comparison> = []
  const about = ({ policies, units, meters, currencyOn }: List): string => JSON.stringify([policies, units, meters, currencyOn])
  const isAlike = about(before) === about(after)
  for (const oldPlan of before.plans) {
    const newPlan = after.plans.find(({ id }) => id === oldPlan.id)
    if (newPlan === undefined) continue
    for (const old of oldPlan.charges) {
      const now = newPlan.charges.find(({ id }) => id === old.id)
      if (now === undefined) continue
      const scale = Math.min(exponentOf(before, old), exponentOf(after, now))
      const named = { plan: oldPlan.id, charge: old.id, scale }
      const refuse = (reason: string): void => void found.push({ ...named, stretches: [], reason })
      if (before.currency !== after.currency) refuse(`${before.currency} and ${after.currency} are two currencies`)
      else if (old.meter !== now.meter || (old.counted ?? false) !== (now.counted ?? false)) refuse("they count different things")
      else if (isAlike && JSON.stringify(old) === JSON.stringify(now)) found.push({ ...named, stretches: [{ from: 0n, to: undefined, side: "same" }] })
      else if (old.price.model !== "byAttribute" && now.price.model !== "byAttribute")
        found.push(
          await compared(rules, named, [
            [before, oldPlan, old],
            [after, newPlan, now],
          ]),
        )
      else {
        const values = [old, now].flatMap(({ price }) => (price.model === "byAttribute" ? price.cases.map(({ value }) => value) : []))
        for (const value of [...new Set(values), null]) {
          const first = ofAttribute(old, value) ?? (old.price.model === "byAttribute" ? undefined : old)
          const second = ofAttribute(now, value) ?? (now.price.model === "byAttribute" ? undefined : now)
          if (first === undefined && second === undefined) continue
          const whose = { ...named, attribute: value }
          if (first === undefined || second === undefined) found.push({ ...whose, stretches: [], reason: "only one of them has a price for it" })
          else
            found.push(
              await compared(rules, whose, [
                [before, oldPlan, first],
                [after, newPlan, second],
              ]),
            )
        }
      }
    }
  }
  return found
}
