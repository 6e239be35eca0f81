/**
 * Prices as Stripe Billing's API has them (https://docs.stripe.com/api/prices/object): one, a list of them, or an array. Each is a charge; those
 * of a product with one interval are a plan.
 */
import type { Catalogue } from "../../../schemas/billing/catalogue.ts"
import { type Carry, type Fields, idOf, isFields, type Path } from "./carry.ts"

type Plan = Catalogue["plans"][number]
type Charge = Plan["charges"][number]
type Interval = Plan["interval"]

/** Read below, or of the object and not of the price. */
const read =
  "id currency billing_scheme type recurring tiers tiers_mode transform_quantity unit_amount unit_amount_decimal tax_behavior product nickname active"
const silent = "object created livemode"
/** Amounts of these have other digits there than ISO 4217 says (https://docs.stripe.com/currencies#special-cases). */
const otherDigits: ReadonlyArray<string> = ["ISK", "MGA", "UGX"]

const intervals = { day: "day", week: "week", month: "month", year: "year" } as const

export type Exponent = (currency: string) => Promise<number | undefined>

/** `name` as an exact decimal where it is there, else as whole smallest units; undefined where it is neither. */
const amountName = (of: Fields, name: string): string | undefined => [`${name}_decimal`, name].find((one) => of[one] !== null && of[one] !== undefined)

function amountOf(carry: Carry, of: Fields, name: string, path: Path, exponent: number): string | undefined {
  const found = amountName(of, name)
  return found === undefined ? undefined : carry.minor(of, found, path, exponent)
}

function tiersOf(carry: Carry, price: Fields, path: Path, exponent: number) {
  return carry.list(price, "tiers", path).map((tier, i) => {
    const at = [...path, "tiers", i]
    carry.rest(tier, at, ["up_to", "unit_amount", "unit_amount_decimal", "flat_amount", "flat_amount_decimal"])
    const [unit, flat] = [amountOf(carry, tier, "unit_amount", at, exponent), amountOf(carry, tier, "flat_amount", at, exponent)]
    return {
      upTo: tier["up_to"] === null || tier["up_to"] === "inf" ? null : carry.number(tier, "up_to", at),
      ...(unit === undefined ? {} : { price: unit }),
      ...(flat === undefined ? {} : { flatFee: flat }),
    }
  })
}

function priceOf(carry: Carry, price: Fields, path: Path, exponent: number): Charge["price"] {
  const transform = price["transform_quantity"]
  if (price["billing_scheme"] === "tiered") {
    if (isFields(transform)) carry.refuse([...path, "transform_quantity"], `"transform_quantity" cannot be carried over beside tiers: give each tier a "size"`)
    const model = carry.choice(price, "tiers_mode", path, { graduated: "graduated", volume: "volume" } as const, "graduated")
    const tiers = tiersOf(carry, price, path, exponent)
    return { model, tiers } as unknown as Charge["price"]
  }
  const amount = amountOf(carry, price, "unit_amount", path, exponent)
  if (amount === undefined) carry.refuse(path, `There is neither "unit_amount_decimal" nor "unit_amount"`)
  if (!isFields(transform)) return { model: "unit", price: amount ?? "0" }
  carry.rest(transform, [...path, "transform_quantity"], ["divide_by", "round"])
  // A package that was begun is whole; rounding down would give it away.
  if (transform["round"] !== "up")
    carry.refuse([...path, "transform_quantity", "round"], `"round" cannot be carried over: only packages that round up are offered`)
  return { model: "package", size: carry.number(transform, "divide_by", [...path, "transform_quantity"]), price: amount ?? "0" }
}

export async function fromStripe(carry: Carry, value: unknown, exponentOf: Exponent, file: string): Promise<Catalogue> {
  const isList = isFields(value) && value["object"] === "list"
  if (isList && value["has_more"] === true)
    carry.refuse(["has_more"], "The list goes on: this is its first page alone", "export all pages, or name the prices one by one")
  const [prices, base]: readonly [ReadonlyArray<Fields>, Path] = Array.isArray(value)
    ? [value.filter(isFields), []]
    : isList
      ? [carry.list(value, "data", []), ["data"]]
      : [isFields(value) ? [value] : [], []]
  if (prices.length === 0) carry.refuse([], "There is no price in it")
  const currencies = new Set<string>()
  const inclusive = new Set<boolean>()
  const units: Record<string, { exponent: number }> = {}
  const meters = new Map<string, Catalogue["meters"][number]>()
  const plans = new Map<string, { readonly id: string; readonly interval: Interval; readonly charges: Array<Charge> }>()
  const ids = { meters: new Set<string>(), plans: new Set<string>(), charges: new Set<string>() }
  for (const [i, price] of prices.entries()) {
    const path: Path = Array.isArray(value) || isList ? [...base, i] : []
    carry.rest(price, path, read.split(" "), silent.split(" "))
    if (price["active"] === false) carry.refuse([...path, "active"], "The price is not active", "take it out")
    const currency = carry.text(price, "currency", path).toUpperCase()
    currencies.add(currency)
    if (currencies.size === 2) carry.refuse([...path, "currency"], `A price list has one currency, and these are ${[...currencies].join(" and ")}`)
    if (otherDigits.includes(currency))
      carry.refuse([...path, "currency"], `Amounts of ${currency} have other digits there than ISO 4217 says`, "write this price by hand")
    const exponent = await exponentOf(currency)
    if (exponent === undefined) carry.refuse([...path, "currency"], `"${currency}" is no currency of ISO 4217`)
    const behaviors = { unspecified: false, exclusive: false, inclusive: true }
    inclusive.add(price["tax_behavior"] === undefined ? false : carry.choice(price, "tax_behavior", path, behaviors, false))
    if (inclusive.size === 2) carry.refuse([...path, "tax_behavior"], "A price list's prices all include taxes, or none does")
    const recurring = price["recurring"]
    if (!isFields(recurring)) {
      carry.refuse([...path, "recurring"], `"recurring" is not there: what is paid once is no part of a plan`)
      continue
    }
    const at = [...path, "recurring"]
    carry.rest(recurring, at, ["interval", "interval_count", "usage_type", "aggregate_usage", "meter"])
    const unit = carry.choice(recurring, "interval", at, intervals, "month")
    const count = Number(carry.number(recurring, "interval_count", at))
    const isMetered = recurring["usage_type"] !== undefined && carry.choice(recurring, "usage_type", at, { metered: true, licensed: false }, false)
    const id = idOf(carry.text(price, "id", path), ids.charges)
    const title = typeof price["nickname"] === "string" ? { title: price["nickname"] } : {}
    const priced = priceOf(carry, price, path, exponent ?? 0)
    let of: Pick<Charge, "meter"> | Pick<Charge, "counted"> = { counted: true }
    if (isMetered) {
      // Meters add up; the older way of usage says how.
      const aggregation =
        typeof recurring["aggregate_usage"] === "string"
          ? carry.choice(recurring, "aggregate_usage", at, { sum: "sum", max: "max", last_ever: "latest" } as const, "sum")
          : "sum"
      const named = typeof recurring["meter"] === "string" ? recurring["meter"] : (price["id"] as string)
      const key = `${named} ${aggregation}`
      let meter = meters.get(key)
      if (meter === undefined) {
        const meterId = idOf(named, ids.meters)
        units[meterId] = { exponent: 0 }
        meters.set(key, (meter = { id: meterId, title: named, unit: meterId, aggregation }))
      }
      of = { meter: meter.id }
    }
    const product = isFields(price["product"]) ? String(price["product"]["id"]) : typeof price["product"] === "string" ? price["product"] : "plan"
    const key = `${product} ${unit} ${count}`
    let plan = plans.get(key)
    if (plan === undefined) {
      const isSecond = [...plans.keys()].some((other) => other.startsWith(`${product} `))
      const name = isSecond ? `${product}-${count === 1 ? "" : `${count}-`}${unit}` : product
      plans.set(key, (plan = { id: idOf(name, ids.plans), interval: { unit, count }, charges: [] }))
    }
    plan.charges.push({ id, ...title, ...of, price: priced })
  }
  return {
    name: file.replace(/^.*[\\/]/, "").replace(/\.json$/, ""),
    version: "1",
    currency: [...currencies][0] ?? "USD",
    ...(Object.keys(units).length === 0 ? {} : { units }),
    ...(inclusive.has(true) ? { policies: { "tax.prices": "inclusive" as const } } : {}),
    meters: [...meters.values()],
    plans: [...plans.values()],
  }
}
