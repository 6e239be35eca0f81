/**
 * The shape of a price list, as an Effect Schema: what editors and programs that write one need. What it means, and what holds,
 * is in this folder's README; the rules check it again, all of it, and say where.
 */
import * as Schema from "effect/Schema"

const idPattern = /^[a-z0-9][a-z0-9-]{0,63}$/
const Id = Schema.String.check(Schema.isPattern(idPattern)).annotate({ identifier: "Id" })
/** An exact number of at most 18 places. */
export const Decimal = Schema.String.check(Schema.isPattern(/^-?(?:0|[1-9]\d*)(?:\.\d{1,18})?$/)).annotate({ identifier: "Decimal" })
const Count = Schema.Number.check(Schema.isInt(), Schema.isBetween({ minimum: 1, maximum: 1_000_000_000 }))
const Day = Schema.String.check(Schema.isPattern(/^\d{4}-\d{2}-\d{2}$/))
const optional = Schema.optionalKey

export const Unit = Schema.Struct({
  exponent: Schema.Number.check(Schema.isInt(), Schema.isBetween({ minimum: 0, maximum: 12 })).annotate({ description: "Digits after the point" }),
  title: optional(Schema.String),
})

export const Aggregation = Schema.Literals(["sum", "count", "max", "unique", "latest", "timeWeighted"])

export const Meter = Schema.Struct({
  id: Id,
  title: optional(Schema.String),
  unit: Id,
  aggregation: Aggregation,
  event: optional(Schema.String),
  where: optional(Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Array(Schema.String)]))),
  value: optional(Schema.String),
  attribute: optional(Schema.String),
  key: optional(Schema.String),
  firstIncrement: optional(Decimal),
  increment: optional(Decimal),
  quantityMax: optional(Decimal),
})

const Bound = Schema.NullOr(Decimal)

export const Tier = Schema.Struct({
  from: optional(Decimal),
  upTo: Bound,
  price: optional(Decimal),
  per: optional(Decimal),
  size: optional(Decimal),
  flatFee: optional(Decimal),
}).annotate({ identifier: "Tier" })

const Flat = Schema.Struct({ model: Schema.Literal("flat"), amount: Decimal })
const PerUnit = Schema.Struct({ model: Schema.Literal("unit"), price: Decimal, per: optional(Decimal) })
const Seat = Schema.Struct({ model: Schema.Literal("seat"), price: Decimal })
const Graduated = Schema.Struct({ model: Schema.Literal("graduated"), tiers: Schema.NonEmptyArray(Tier) })
const Volume = Schema.Struct({ model: Schema.Literal("volume"), tiers: Schema.NonEmptyArray(Tier) })
const Package = Schema.Struct({ model: Schema.Literal("package"), size: Decimal, price: Decimal })
const Blocks = Schema.Struct({
  model: Schema.Literal("blocks"),
  mode: Schema.Literals(["through", "reached"]),
  tiers: Schema.NonEmptyArray(Schema.Struct({ size: Decimal, count: Schema.NullOr(Count), price: Decimal })),
})
const Percentage = Schema.Struct({
  model: Schema.Literal("percentage"),
  percent: Decimal,
  fixedFee: optional(Decimal),
  minimum: optional(Decimal),
  maximum: optional(Decimal),
  freeEvents: optional(Count),
  freeAmount: optional(Decimal),
})
const GraduatedPercentage = Schema.Struct({
  model: Schema.Literal("graduatedPercentage"),
  tiers: Schema.NonEmptyArray(Schema.Struct({ from: optional(Decimal), upTo: Bound, percent: Decimal, flatFee: optional(Decimal) })),
})
const PassThrough = Schema.Struct({ model: Schema.Literal("passThrough"), multiplier: Decimal })
const Capacity = Schema.Struct({ model: Schema.Literal("capacity"), price: Decimal, per: optional(Decimal), committed: optional(Decimal) })
const Unset = Schema.Struct({ model: Schema.Literal("unset") })

const OfAttribute = Schema.Union([PerUnit, Graduated, Volume, Package, Blocks, Percentage, GraduatedPercentage, PassThrough, Capacity, Unset]).annotate({
  identifier: "PriceOfAttribute",
})
const ByAttribute = Schema.Struct({
  model: Schema.Literal("byAttribute"),
  cases: Schema.Array(Schema.Struct({ value: Schema.String, price: OfAttribute })),
  otherwise: optional(OfAttribute),
})

export const Price = Schema.Union([
  Flat,
  PerUnit,
  Seat,
  Graduated,
  Volume,
  Package,
  Blocks,
  Percentage,
  GraduatedPercentage,
  PassThrough,
  Capacity,
  ByAttribute,
  Unset,
])

const prorate = optional(Schema.Boolean)
const base = optional(Schema.Literals(["afterDiscounts", "beforeDiscounts"]))

export const Modifier = Schema.Union([
  Schema.Struct({ modifier: Schema.Literal("allowance"), quantity: Decimal, prorate }),
  Schema.Struct({ modifier: Schema.Literal("usageDiscount"), percent: Decimal }),
  Schema.Struct({ modifier: Schema.Literal("percentDiscount"), percent: Decimal }),
  Schema.Struct({ modifier: Schema.Literal("fixedDiscount"), amount: Decimal, prorate }),
  Schema.Struct({ modifier: Schema.Literal("maximum"), amount: Decimal, prorate }),
  Schema.Struct({ modifier: Schema.Literal("minimum"), amount: Decimal, prorate, base }),
  Schema.Struct({ modifier: Schema.Literal("commitment"), amount: Decimal, prorate, base }),
])

export const Charge = Schema.Struct({
  id: Id,
  title: optional(Schema.String),
  taxCategory: optional(Schema.String),
  meter: optional(Id),
  counted: optional(Schema.Boolean),
  price: Price,
  modifiers: optional(Schema.Array(Modifier)),
  when: optional(Schema.Literals(["advance", "arrears"])),
  overage: optional(Schema.Struct({ upTo: Decimal, policy: Schema.Literals(["block", "bill", "warn"]) })),
})

export const Plan = Schema.Struct({
  id: Id,
  title: optional(Schema.String),
  interval: Schema.Struct({ unit: Schema.Literals(["day", "week", "month", "quarter", "year"]), count: Count }),
  align: optional(Schema.Literals(["calendar", "anchor"])),
  charges: Schema.Array(Charge),
})

/** 1 to 100,000 days. */
const dayCount = Schema.String.check(Schema.isPattern(/^(?:[1-9]\d{0,4}|100000)$/))
const wholeNumber = Schema.String.check(Schema.isPattern(/^(?:0|[1-9]\d{0,5})$/))

const RoundingMode = Schema.Literals(["halfAway", "halfEven", "halfOdd", "halfDown", "halfCeiling", "halfFloor", "up", "down", "ceiling", "floor"])

/** Conventions; each has its default, which stands first here. */
export const Policies = Schema.Struct({
  "rounding.mode": optional(Schema.Literals(["halfAway", "halfEven", "halfOdd", "halfDown", "halfCeiling", "halfFloor", "up", "down", "ceiling", "floor"])),
  "rounding.scale": optional(wholeNumber),
  "rounding.increment": optional(Decimal),
  "rounding.nil": optional(Schema.Literals(["allowed", "never"])),
  "modifiers.rounding": optional(Schema.Literals(["line", "each"])),
  "tiers.zeroQuantity": optional(Schema.Literals(["firstTierFlatFee", "nothing"])),
  "tiers.timeWeighted": optional(Schema.Literals(["byMean", "byCount"])),
  "timeWeighted.unit": optional(Schema.Literals(["second", "day"])),
  "tiers.beyondLast": optional(Schema.Literals(["refused", "lastTier"])),
  "price.negative": optional(Schema.Literals(["refused", "allowed"])),
  "input.excess": optional(Schema.Literals(["refused", "round"])),
  "proration.unit": optional(Schema.Literals(["day", "second", "none"])),
  "proration.denominator": optional(Schema.Union([Schema.Literals(["period", "calendarMonth", "year"]), dayCount])),
  "proration.whole": optional(Schema.Literals(["counted", "one"])),
  "dayCount.convention": optional(
    Schema.Literals(["actual", "30", "30-strict", "30/360", "30E/360", "30E/360-ISDA", "actual/actual-ISDA", "actual/actual-AFB"]),
  ),
  "change.day": optional(Schema.Literals(["new", "old"])),
  "change.credit": optional(Schema.Literals(["prorated", "full", "none"])),
  "change.charge": optional(Schema.Literals(["prorated", "full", "none"])),
  "change.negative": optional(Schema.Literals(["credited", "dropped"])),
  "allocation.remainder": optional(Schema.Literals(["largestFraction", "first", "last", "cascadeFromEnd"])),
  "allocation.tie": optional(Schema.Literals(["order", "key"])),
  "allocation.zero": optional(Schema.Literals(["kept", "omitted"])),
  "line.rounding": optional(Schema.Literals(["currency", "none"])),
  "total.rounding": optional(Schema.Literals(["parts", "exact"])),
  "tax.prices": optional(Schema.Literals(["exclusive", "inclusive"])),
  "tax.inclusiveRounds": optional(Schema.Literals(["net", "tax", "lineNet", "unit"])),
  "tax.unitScale": optional(wholeNumber),
  "tax.roundingPoint": optional(Schema.Literals(["rate", "document", "line", "unit"])),
  "tax.roundingMode": optional(RoundingMode),
  "discounts.order": optional(Schema.Literals(["given", "amountFirst", "percentFirst"])),
  "discounts.stacking": optional(Schema.Literals(["sequential", "additive"])),
  "discounts.base": optional(Schema.Literals(["beforeTax", "afterTax"])),
  "discounts.rounding": optional(Schema.Literals(["none", "currency"])),
  "credits.base": optional(Schema.Literals(["afterTax", "beforeTax"])),
  "credits.unused": optional(Schema.Literals(["kept", "error"])),
  "creditNote.limit": optional(Schema.Literals(["invoiced", "paid"])),
  "creditNote.excess": optional(Schema.Literals(["refused", "cut"])),
  "payable.increment": optional(Decimal),
  "payable.mode": optional(RoundingMode),
  "schedule.firstPeriod": optional(Schema.Literals(["fromAnchor", "fromNext"])),
  "schedule.missingDay": optional(Schema.Literals(["clampKeepAnchor", "nextDay", "skip", "addDaysOfMonth"])),
})

export const Catalogue = Schema.Struct({
  $schema: optional(Schema.String),
  name: Schema.String,
  version: Schema.String,
  title: optional(Schema.String),
  currency: Schema.String.annotate({ description: "An ISO 4217 code, or one of `units`" }),
  currencyOn: optional(Day),
  units: optional(Schema.Record(Id, Unit)),
  policies: optional(Policies),
  meters: Schema.Array(Meter),
  plans: Schema.Array(Plan),
})

export type Catalogue = typeof Catalogue.Type

/** The JSON Schema of catalogues, for editors. */
export function catalogueSchemaText(): string {
  const { schema, definitions } = Schema.toJsonSchemaDocument(Catalogue, { onExcessProperty: "error" })
  return `${JSON.stringify({ $schema: "https://json-schema.org/draft/2020-12/schema", title: "A price list", ...schema, $defs: definitions }, undefined, 2)}\n`
}
