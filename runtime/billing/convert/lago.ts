/**
 * A plan as Lago's API has it (https://docs.getlago.com/api-reference/plans/object): `{"plan": …, "billable_metrics": [ … ]}`. A plan's charges name
 * metrics by their code, so those must be there too. Periods are calendar ones, which is what subscriptions there have unless they say otherwise.
 */
import type { Catalogue } from "../../../schemas/billing/catalogue.ts"
import { type Carry, type Fields, idOf, isFields, type Path } from "./carry.ts"
import type { Exponent } from "./stripe.ts"

type Plan = Catalogue["plans"][number]
type Charge = Plan["charges"][number]
type Meter = Catalogue["meters"][number]

const intervals: Readonly<Record<string, Plan["interval"]>> = {
  weekly: { unit: "week", count: 1 },
  monthly: { unit: "month", count: 1 },
  quarterly: { unit: "quarter", count: 1 },
  semiannual: { unit: "month", count: 6 },
  yearly: { unit: "year", count: 1 },
}
const aggregations = {
  sum_agg: "sum",
  count_agg: "count",
  max_agg: "max",
  unique_count_agg: "unique",
  latest_agg: "latest",
  weighted_sum_agg: "timeWeighted",
} as const
/** Bookkeeping of theirs, and what other objects say. */
const silent =
  "lago_id lago_billable_metric_id created_at updated_at deleted_at draft_invoices_count active_subscriptions_count customers_count subscriptions_count plans_count fixed_charges_count invoice_display_name code".split(
    " ",
  )
/** Digits of a quantity that is no count. */
const quantityDigits = 9

interface Range {
  readonly upTo: string | null
  readonly fields: Fields
  readonly path: Path
}

/** Ranges without a hole: the next begins where the last one ended, or one after it, as whole bounds are written there. */
function rangesOf(carry: Carry, properties: Fields, name: string, path: Path, read: ReadonlyArray<string>): ReadonlyArray<Range> {
  let last: string | null | undefined
  return carry.list(properties, name, path).map((fields, i) => {
    const at = [...path, name, i]
    carry.rest(fields, at, ["from_value", "to_value", ...read])
    const from = carry.number(fields, "from_value", at)
    const joins = last === undefined ? Number(from) === 0 : last !== null && (from === last || Number(from) === Number(last) + 1)
    if (!joins) carry.refuse([...at, "from_value"], `"from_value" is ${from}, which does not join the range before`)
    last = fields["to_value"] === null || fields["to_value"] === undefined ? null : carry.number(fields, "to_value", at)
    return { upTo: last, fields, path: at }
  })
}

const isZero = (amount: string): boolean => /^0(\.0*)?$/.test(amount)

interface Priced {
  readonly price: Charge["price"]
  readonly modifiers: NonNullable<Charge["modifiers"]>
  /** What its first tier's flat fee says about no usage; undefined where there is none. */
  readonly zero: "firstTierFlatFee" | "nothing" | undefined
}

function priceOf(carry: Carry, charge: Fields, path: Path): Priced {
  const properties = isFields(charge["properties"]) ? charge["properties"] : {}
  const at = [...path, "properties"]
  const number = (name: string): string => carry.number(properties, name, at)
  const optional = (name: string): string | undefined => (properties[name] === null || properties[name] === undefined ? undefined : number(name))
  const only = (...names: ReadonlyArray<string>): void => carry.rest(properties, at, names)
  const none = { modifiers: [], zero: undefined } as const
  switch (charge["charge_model"]) {
    case "standard":
      only("amount")
      return { price: { model: "unit", price: number("amount") }, ...none }
    case "package": {
      only("amount", "free_units", "package_size")
      const free = optional("free_units")
      const modifiers = free === undefined || isZero(free) ? [] : [{ modifier: "allowance" as const, quantity: free }]
      return { price: { model: "package", size: number("package_size"), price: number("amount") }, modifiers, zero: undefined }
    }
    case "graduated":
    case "volume": {
      const name = `${charge["charge_model"]}_ranges`
      only(name)
      const tiers = rangesOf(carry, properties, name, at, ["per_unit_amount", "flat_amount"]).map(({ upTo, fields, path: of }) => ({
        upTo,
        price: carry.number(fields, "per_unit_amount", of),
        flatFee: carry.number(fields, "flat_amount", of),
      }))
      const zero = isZero(tiers[0]?.flatFee ?? "0") ? undefined : "firstTierFlatFee"
      return { price: { model: charge["charge_model"], tiers } as unknown as Charge["price"], modifiers: [], zero }
    }
    case "graduated_percentage": {
      only("graduated_percentage_ranges")
      const tiers = rangesOf(carry, properties, "graduated_percentage_ranges", at, ["rate", "flat_amount"]).map(({ upTo, fields, path: of }) => ({
        upTo,
        percent: carry.number(fields, "rate", of),
        flatFee: carry.number(fields, "flat_amount", of),
      }))
      const zero = isZero(tiers[0]?.flatFee ?? "0") ? undefined : "nothing"
      return { price: { model: "graduatedPercentage", tiers } as unknown as Charge["price"], modifiers: [], zero }
    }
    case "percentage": {
      only("rate", "fixed_amount", "free_units_per_events", "free_units_per_total_aggregation", "per_transaction_min_amount", "per_transaction_max_amount")
      const fields = {
        fixedFee: optional("fixed_amount"),
        minimum: optional("per_transaction_min_amount"),
        maximum: optional("per_transaction_max_amount"),
        freeAmount: optional("free_units_per_total_aggregation"),
      }
      const free = optional("free_units_per_events")
      const given = Object.fromEntries(Object.entries(fields).filter(([name, value]) => value !== undefined && !(name === "freeAmount" && isZero(value))))
      const events = free === undefined || isZero(free) ? {} : { freeEvents: Number(free) }
      return { price: { model: "percentage", percent: number("rate"), ...given, ...events }, ...none }
    }
    default:
      carry.refuse(
        [...path, "charge_model"],
        `"charge_model" cannot be carried over: it is ${carry.shown(charge["charge_model"])}, and standard, graduated, package, percentage, volume, graduated_percentage can`,
      )
      return { price: { model: "unset" }, ...none }
  }
}

function meterOf(carry: Carry, metric: Fields, path: Path, id: string): Meter {
  carry.rest(metric, path, ["name", "code", "aggregation_type", "field_name", "recurring", "weighted_interval"], silent)
  const aggregation = carry.choice(metric, "aggregation_type", path, aggregations, "sum")
  const isLevel = aggregation === "timeWeighted"
  if (metric["recurring"] === true && !isLevel)
    carry.refuse([...path, "recurring"], `"recurring" cannot be carried over: what persists from period to period is a weighted sum here`)
  if (metric["recurring"] !== true && isLevel)
    carry.refuse([...path, "recurring"], `"recurring" cannot be carried over as false: a level goes on from period to period here`)
  const field = typeof metric["field_name"] === "string" && metric["field_name"] !== "" ? metric["field_name"] : undefined
  const value = field === undefined || aggregation === "count" ? {} : aggregation === "unique" ? { key: field } : { value: field }
  const title = typeof metric["name"] === "string" ? { title: metric["name"] } : {}
  return { id, ...title, unit: id, aggregation, event: carry.text(metric, "code", path), ...value }
}

export async function fromLago(carry: Carry, value: unknown, exponentOf: Exponent): Promise<Catalogue> {
  const root = isFields(value) ? value : {}
  if (!isFields(root["plan"])) carry.refuse([], `There is no "plan" in it`)
  const plan = isFields(root["plan"]) ? root["plan"] : {}
  carry.rest(root, [], ["plan", "billable_metrics"])
  const path: Path = ["plan"]
  carry.rest(plan, path, ["name", "interval", "amount_cents", "amount_currency", "pay_in_advance", "charges"], silent)
  const currency = carry.text(plan, "amount_currency", path)
  const exponent = await exponentOf(currency)
  if (exponent === undefined) carry.refuse([...path, "amount_currency"], `"${currency}" is no currency of ISO 4217`)
  const interval = carry.choice(plan, "interval", path, intervals, { unit: "month", count: 1 } as const)
  const metrics = Array.isArray(root["billable_metrics"]) ? root["billable_metrics"].filter(isFields) : []
  const meters = new Map<string, Meter>()
  const ids = { meters: new Set<string>(), charges: new Set<string>(["base"]) }
  const zeros = new Map<string, Path>()
  const base = carry.minor(plan, "amount_cents", path, exponent ?? 0)
  const charges: Array<Charge> = [{ id: "base", price: { model: "flat", amount: base }, when: plan["pay_in_advance"] === true ? "advance" : "arrears" }]
  for (const [i, charge] of (Array.isArray(plan["charges"]) ? plan["charges"].filter(isFields) : []).entries()) {
    const at: Path = [...path, "charges", i]
    // `invoiceable` says true of what is on an invoice, which all is here.
    carry.rest(charge, at, ["billable_metric_code", "charge_model", "properties", "min_amount_cents", "invoiceable"], silent)
    if (charge["invoiceable"] === false) carry.refuse([...at, "invoiceable"], `"invoiceable" cannot be carried over as false: every line is on an invoice`)
    const code = carry.text(charge, "billable_metric_code", at)
    let meter = meters.get(code)
    if (meter === undefined) {
      const found = metrics.findIndex((metric) => metric["code"] === code)
      if (found < 0)
        carry.refuse(
          [...at, "billable_metric_code"],
          `The metric "${code}" is not in the file, so nobody knows how it is counted`,
          `add it: "billable_metrics": [{"code": "${code}", "aggregation_type": …}]`,
        )
      else meters.set(code, (meter = meterOf(carry, metrics[found] as Fields, ["billable_metrics", found], idOf(code, ids.meters))))
    }
    const { price, modifiers, zero } = priceOf(carry, charge, at)
    if (zero !== undefined) zeros.set(zero, at)
    if (zeros.size === 2)
      carry.refuse(
        [...at, "properties"],
        "A flat fee of the first tier is due without usage for one charge and not for another, and a price list has one rule for it",
      )
    const least = charge["min_amount_cents"] === undefined ? "0" : carry.minor(charge, "min_amount_cents", at, exponent ?? 0)
    const name = typeof charge["invoice_display_name"] === "string" && charge["invoice_display_name"] !== "" ? { title: charge["invoice_display_name"] } : {}
    charges.push({
      id: idOf(code, ids.charges),
      ...name,
      meter: meter?.id ?? "unknown",
      price,
      modifiers: [...modifiers, ...(isZero(least) ? [] : [{ modifier: "minimum" as const, amount: least, prorate: true }])],
    })
  }
  const named = typeof plan["name"] === "string" ? { title: plan["name"] } : {}
  const [zero] = zeros.keys()
  return {
    name: carry.text(plan, "code", path) || "plan",
    version: "1",
    currency,
    ...(meters.size === 0
      ? {}
      : {
          units: Object.fromEntries(
            [...meters.values()].map(({ id, aggregation }) => [id, { exponent: aggregation === "count" || aggregation === "unique" ? 0 : quantityDigits }]),
          ),
        }),
    ...(zero === undefined ? {} : { policies: { "tiers.zeroQuantity": zero as "firstTierFlatFee" | "nothing" } }),
    meters: [...meters.values()],
    plans: [{ id: idOf(carry.text(plan, "code", path), new Set()), ...named, interval, align: "calendar", charges }],
  }
}
