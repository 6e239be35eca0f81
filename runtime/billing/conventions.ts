/**
 * What systems do that bill, and what says the same in a price list here. Each row rests on a worked case in `test/billing/cases`, named with
 * it, whose source says it; a value that is a default needs not be written. What has no word here is said so.
 */
export interface Convention {
  readonly system: string
  readonly convention: string
  /** What a price list says; undefined: it is not offered. */
  readonly here: string | undefined
  /** Policies of that, by name, where it is policies. */
  readonly policies: Readonly<Record<string, string>>
  /** A worked case that shows it. */
  readonly shown: string
}

const row = (system: string, convention: string, shown: string, here: string | undefined, policies: Readonly<Record<string, string>> = {}): Convention => ({
  system,
  convention,
  here,
  policies,
  shown,
})
const policy = (system: string, convention: string, shown: string, policies: Readonly<Record<string, string>>): Convention =>
  row(
    system,
    convention,
    shown,
    Object.entries(policies)
      .map(([name, value]) => `${name}: ${value}`)
      .join(", "),
    policies,
  )

export const conventions: ReadonlyArray<Convention> = [
  row("Stripe Billing", "graduated: each tier prices its own units; a bound belongs to the tier it ends", "stripe/graduated-6", "model graduated"),
  row("Stripe Billing", "volume: the tier reached prices all units", "stripe/volume-1", "model volume"),
  policy("Stripe Billing", "an anchor day that a month lacks is its last day, and is kept", "stripe/anchor-31", { "schedule.missingDay": "clampKeepAnchor" }),
  policy("Stripe Billing", "a change credits the old price's unused time and charges the new one's rest", "stripe/upgrade-half", {
    "proration.denominator": "period",
  }),
  policy("Lago", "no usage pays a graduated or volume price's first flat fee", "lago/graduated-0", { "tiers.zeroQuantity": "firstTierFlatFee" }),
  policy("Lago", "no usage pays no flat fee of a graduated percentage", "lago/graduated-percentage-0", { "tiers.zeroQuantity": "nothing" }),
  row("Lago", "percentage: free events and amounts in order, until the first of them ends", "lago/percentage-both-limits", "model percentage"),
  row("Lago", "package: free units come off first, a begun package is whole", "lago/package-no-free", "model package after modifier allowance"),
  row("Lago", "a minimum is held against the amount before discounts", "lago/commitment-below", 'modifier commitment with base "beforeDiscounts"'),
  policy("Lago", "the day of a change is the new plan's; days over those of the period", "lago/upgrade-arrears-old", {
    "proration.unit": "day",
    "proration.denominator": "period",
    "change.day": "new",
  }),
  policy("Lago", "the last day is used up when a subscription ends", "lago/terminate-same-day", { "change.day": "old" }),
  policy("Lago", "a unit that is there at any time pays the whole period", "lago/seat-full", { "proration.unit": "none" }),
  policy("Lago", "coupons lower what is taxed, one after the other; tax is rounded once", "lago/coupons", {
    "discounts.base": "beforeTax",
    "discounts.stacking": "sequential",
    "tax.roundingPoint": "document",
  }),
  policy("Lago", "a credit note rounds net and tax of each rate", "lago/credit-note-tax", { "line.rounding": "currency", "tax.roundingPoint": "rate" }),
  policy("Lago", "coupon and credit only lower what is due", "lago/order-after-tax", { "discounts.base": "afterTax", "credits.base": "afterTax" }),
  policy("Lago", "tiers are reached by whole units, and their time-weighted part is priced", "lago/volume-prorated", { "tiers.timeWeighted": "byCount" }),
  policy("Lago", "a unit counts from the day on which it came, that day included", "lago/prorated-units", { "timeWeighted.unit": "day" }),
  policy("Lago", "added units pay the whole price, removed ones give nothing back", "lago/units-10-15", {
    "change.credit": "full",
    "change.charge": "full",
    "change.negative": "dropped",
  }),
  row("Kill Bill", "ALL_TIERS: blocks within each tier, a begun one is whole", "kill-bill/blocks-all-5325", 'model blocks, mode "through"'),
  row("Kill Bill", "TOP_TIER: the tier reached gives block and price for all units", "kill-bill/blocks-top-1000", 'model blocks, mode "reached"'),
  policy("Kill Bill", "a quantity beyond the last tier belongs to it", "kill-bill/blocks-top-300000", { "tiers.beyondLast": "lastTier" }),
  policy("Kill Bill", "months of thirty days above and below the line", "kill-bill/stub-fixed-30-2023-05-23", {
    "dayCount.convention": "30",
    "proration.denominator": "30",
  }),
  policy("Kill Bill", "the period before a clamped first anchor is counted from the clamped day", "kill-bill/cycles-month-bcd-31", {
    "schedule.firstPeriod": "fromNext",
  }),
  policy("Chargebee", "amounts come off before percentages", "chargebee/coupon-then-percent", {
    "discounts.order": "amountFirst",
    "discounts.stacking": "sequential",
  }),
  row("Chargebee", "only whole packages are billed, rounded up", "chargebee/package-1000000", "model package"),
  policy("Chargebee", "a change that is not prorated: the new price is due whole", "chargebee/not-prorated", {
    "change.credit": "none",
    "change.charge": "full",
  }),
  row("Zuora", "each tier prices its own units", "zuora/on-demand-1", "model graduated"),
  policy("Zuora", "actual days over those of the calendar month", "zuora/actual-2021-01-27", { "proration.denominator": "calendarMonth" }),
  policy("Zuora", "actual days over thirty", "zuora/actual-360-2021-01-27", { "proration.denominator": "30" }),
  policy("Zuora", "strict months of thirty days: a month's last day is its thirtieth", "zuora/strict-360-2021-01-27", {
    "dayCount.convention": "30-strict",
    "proration.denominator": "30",
  }),
  policy("Zuora", "stacked percentages all apply to the first amount", "zuora/discounts-stacked", {
    "discounts.stacking": "additive",
    "discounts.rounding": "currency",
  }),
  policy("Zuora", "percentages come off before amounts", "zuora/discount-class", { "discounts.order": "percentFirst", "discounts.stacking": "sequential" }),
  policy("Zuora", "tax in the price: the net amount is rounded, tax is the rest", "zuora/inclusive-net", {
    "tax.prices": "inclusive",
    "tax.inclusiveRounds": "net",
  }),
  policy("Zuora", "tax in the price: tax is rounded, the net amount is the rest", "zuora/inclusive-tax", {
    "tax.prices": "inclusive",
    "tax.inclusiveRounds": "tax",
  }),
  policy("Zuora", "prepaid credit does not lower the tax", "zuora/prepaid", { "credits.base": "afterTax" }),
  row("Zuora", "a shortened term keeps its fixed discount", "zuora/shorten-3-kept", "modifier fixedDiscount"),
  row("Zuora", "a shortened term keeps a part of its fixed discount", "zuora/shorten-3-prorated", "modifier fixedDiscount with prorate"),
  row("Zuora", "usage records are rated by day", "zuora/group-day-january", "model byAttribute, the day being what the meter's attribute names"),
  row("Zuora", "usage records are rated each by itself", "zuora/group-event-january", "model byAttribute, the attribute being the record's own"),
  row("Zuora", "usage records with one property reach their tier together", "zuora/group-upload-january", "model byAttribute"),
  policy("Oracle Subscription Management", "a stub is over thirty days, a whole month is one", "oracle-subscription/fixed-30", {
    "proration.denominator": "30",
    "proration.whole": "one",
  }),
  policy("QuantLib", "30/360, bond basis", "quantlib/bond-2006-09-30-2006-10-31", { "dayCount.convention": "30/360" }),
  policy("QuantLib", "30E/360, Eurobond basis", "quantlib/euro-2008-02-28-2008-08-31", { "dayCount.convention": "30E/360" }),
  policy("QuantLib", "30E/360 by ISDA", "quantlib/isda30-2006-01-31-2006-02-28", { "dayCount.convention": "30E/360-ISDA" }),
  policy("QuantLib", "actual/actual by ISDA, as a part of a year", "quantlib/isda-2003-11-01", {
    "dayCount.convention": "actual/actual-ISDA",
    "proration.denominator": "year",
  }),
  policy("QuantLib", "actual/actual by AFB, as a part of a year", "quantlib/afb-2003-11-01", {
    "dayCount.convention": "actual/actual-AFB",
    "proration.denominator": "year",
  }),
  row("QuantLib", "actual/actual by ICMA: days over those of the period", "quantlib/icma-2003-11-01", "the default"),
  row("Recurly", "stairstep: the step reached is the whole price", "recurly/stairstep-25", "model volume, tiers with flatFee alone"),
  policy("Recurly", "remaining time over the plan's period", "recurly/user-half-june", { "proration.denominator": "period" }),
  row("Solvimon", "staircase: every step up to the one reached is paid", "solvimon/stairstep-200", "model graduated, tiers with flatFee alone"),
  row("Orb", "bulk: the number of units prices all of them", "orb/bulk-101", "model volume"),
  policy("OpenMeter", "the first tier's flat fee is due without usage", "openmeter/graduated-total-0", { "tiers.zeroQuantity": "firstTierFlatFee" }),
  row("OpenMeter", "a maximum and a minimum hold for the whole period", "openmeter/graduated-max", "modifiers maximum, minimum"),
  row("OpenMeter", "dynamic: the amount used, times a factor", "openmeter/dynamic-ten", "model passThrough"),
  policy("OpenMeter", "credit given to an invoice must be used up", "openmeter/credits-left-over", { "credits.unused": "error" }),
  policy("OpenMeter", "shares: the largest fraction gets the cent, keys decide between equals", "openmeter/allocate-keys", {
    "allocation.remainder": "largestFraction",
    "allocation.tie": "key",
  }),
  policy("Flexprice", "the day of the change is the new plan's", "flexprice/day-upgrade", { "proration.unit": "day", "change.day": "new" }),
  policy("Flexprice", "a credit note gives back at most what was paid and not given back", "flexprice/credit-limit-rest", {
    "creditNote.limit": "paid",
    "creditNote.excess": "cut",
  }),
  policy("Flexprice", "grants are prorated by seconds, to eight digits", "flexprice/grant-mid", {
    "proration.unit": "second",
    "proration.denominator": "period",
    "rounding.scale": "8",
  }),
  policy("Flexprice", "coupons lower the taxed amount, wallet credit only what is owed", "flexprice/order", {
    "discounts.base": "beforeTax",
    "credits.base": "afterTax",
    "tax.roundingPoint": "document",
  }),
  row("AWS", "free units come off first, then the line is rounded", "aws/lambda-compute", "modifier allowance, model unit"),
  row("AWS", "a price for a number of units", "aws/s3-storage", 'model unit with "per", or graduated tiers with it'),
  row("Google Cloud", "sustained use: each quarter of the month has its own rate", "google-cloud/sustained-50", "model graduated"),
  policy("Zoho Billing", "paused days are not due, over the days of the period", "zoho-billing/pause", {
    "proration.unit": "day",
    "proration.denominator": "period",
  }),
  policy("Salesforce", "a partial month is a whole one", "salesforce-proration/whole", { "proration.unit": "none" }),
  policy("Fleio", "a period is as long as the month it begins in", "fleio/december-30", { "schedule.missingDay": "addDaysOfMonth" }),
  policy("RFC 7529", "a day that does not exist is the next one", "rfc-7529/forward", { "schedule.missingDay": "nextDay" }),
  policy("RFC 5545", "a day that does not exist is left out", "rfc-7529/omit", { "schedule.missingDay": "skip" }),
  row(
    "Telephone tariffs",
    "60/10: a minute at least, then every begun ten seconds",
    "call-increments/83-60-10",
    "firstIncrement 60 and increment 10 of the meter",
  ),
  policy("Aria", "an upgrade's old price is not given back", "aria/charge-only", { "change.credit": "none" }),
  policy("Aria", "an upgrade's new price is free until the next period", "aria/credit-only", { "change.charge": "none" }),
  policy("Autumn", "an added seat pays its whole price", "autumn/increase-full", { "change.charge": "full" }),
  policy("HMRC", "a unit's tax is never rounded to nothing", "hmrc-notice-700/half-penny", { "rounding.nil": "never" }),
  policy("Google booking", "a half goes to the even cent", "google-booking/cents-2.5", { "rounding.mode": "halfEven" }),
  policy("Cash in Sweden, Australia", "what is paid in cash goes to a coin", "cash-rounding/aud-down", { "payable.increment": "0.05" }),
  policy("GOBL", "lines keep their fractions, the total is rounded once", "gobl/precise", { "line.rounding": "none", "total.rounding": "exact" }),
  policy("GOBL", "tax is taken out of the unit price, at four digits", "gobl/inclusive-unit", {
    "tax.prices": "inclusive",
    "tax.inclusiveRounds": "unit",
    "tax.unitScale": "4",
  }),
  policy("Odoo module", "tax is rounded down, once for the document", "odoo-tax-rounding/jpy-15-down", {
    "tax.roundingPoint": "document",
    "tax.roundingMode": "down",
  }),
  policy("WooCommerce", "tax is rounded on each line", "woocommerce/per-line", { "tax.roundingPoint": "line" }),
  policy("Dynamics 365", "tax of a line is rounded up", "dynamics-365/tax-line", { "tax.roundingPoint": "line", "tax.roundingMode": "up" }),
  policy("moneyphp", "shares: the first parts get the cents", "moneyphp/allocate-100-3", { "allocation.remainder": "first" }),
  policy("Shopify money", "shares, backwards: the last parts get the cents", "shopify-money/allocate-pennies-reverse", { "allocation.remainder": "last" }),
  policy("RubyMoney", "shares: from the last part on, each of what is left", "rubymoney/allocate-5-2", { "allocation.remainder": "cascadeFromEnd" }),
  row("Samsung IAP", "a difference is days of the new price", "samsung-iap/extend", undefined),
]
