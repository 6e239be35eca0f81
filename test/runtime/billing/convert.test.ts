/** Prices of other systems carried over: worked cases of theirs cost the same, and what has no place here is refused by name. */
import { readFile } from "node:fs/promises"
import * as Schema from "effect/Schema"
import t from "tap"
import { Policies } from "../../../schemas/billing/catalogue.ts"
import { conventions } from "../../../runtime/billing/conventions.ts"
import { convert, type Format } from "../../../runtime/billing/convert/mod.ts"
import { decimal, ratioOf, readDecimal } from "../../../runtime/billing/decimal.ts"
import { Rules } from "../../../runtime/billing/rules.ts"
import { Host } from "../../../runtime/mod.ts"
import { stele } from "../command-line.ts"

t.setTimeout(120_000)
const host = await Host.open({ upkeep: false, usage: false })
t.teardown(() => host.close())
const rules = await Rules.open(host)

interface Tier {
  readonly upTo: string | null
  readonly unitPrice?: string
  readonly flatFee?: string
  readonly rate?: string
}
interface Case {
  readonly id: string
  readonly given: {
    readonly ask: string
    readonly currency?: string
    readonly quantity?: string
    readonly part?: string
    readonly before?: object
    readonly policies?: Readonly<Record<string, string>>
    readonly charge: {
      readonly model: string
      readonly unitPrice?: string
      readonly tiers?: ReadonlyArray<Tier>
      readonly packageSize?: string
      readonly packagePrice?: string
      readonly freeUnits?: string
    }
  }
  readonly expected: { readonly total?: string }
}
const casesOf = async (name: string): Promise<ReadonlyArray<Case>> =>
  (JSON.parse(await readFile(new URL(`../../billing/cases/${name}.json`, import.meta.url), "utf8")) as { readonly cases: ReadonlyArray<Case> }).cases

/** Hundredths of what a decimal says, as a decimal. */
const cents = (text: string | undefined): string => {
  const { scale, ...rest } = readDecimal(text ?? "0") ?? decimal(0n, 0)
  const value = (rest.high << 64n) | rest.low
  return scale >= 2
    ? `${value / 10n ** BigInt(scale - 2)}${scale === 2 ? "" : `.${String(value % 10n ** BigInt(scale - 2)).padStart(scale - 2, "0")}`}`
    : String(value * 10n ** BigInt(2 - scale))
}

function stripeOf({ charge, currency = "USD" }: Case["given"]): object | undefined {
  const price = {
    id: "price_1",
    object: "price",
    currency: currency.toLowerCase(),
    product: "prod",
    recurring: { interval: "month", interval_count: 1, usage_type: "metered", meter: "m" },
  }
  if (charge.model === "unit") return { ...price, billing_scheme: "per_unit", unit_amount_decimal: cents(charge.unitPrice) }
  if (charge.model !== "graduated" && charge.model !== "volume") return undefined
  const tiers = charge.tiers?.map(({ upTo, unitPrice, flatFee }) => ({
    up_to: upTo === null ? null : Number(upTo),
    unit_amount_decimal: cents(unitPrice),
    ...(flatFee === undefined ? {} : { flat_amount_decimal: cents(flatFee) }),
  }))
  return { ...price, billing_scheme: "tiered", tiers_mode: charge.model, tiers }
}

function lagoOf({ charge }: Case["given"]): object | undefined {
  const ranges = (charge.tiers ?? []).map(({ upTo, unitPrice = "0", flatFee = "0", rate }, i, all) => ({
    from_value: i === 0 ? 0 : Number(all[i - 1]?.upTo) + 1,
    to_value: upTo === null ? null : Number(upTo),
    ...(rate === undefined ? { per_unit_amount: unitPrice } : { rate: cents(rate) }),
    flat_amount: flatFee,
  }))
  const properties =
    charge.model === "graduated" || charge.model === "volume"
      ? { [`${charge.model}_ranges`]: ranges }
      : charge.model === "graduatedPercentage"
        ? { graduated_percentage_ranges: ranges }
        : charge.model === "package"
          ? { amount: charge.packagePrice, package_size: Number(charge.packageSize), free_units: Number(charge.freeUnits ?? 0) }
          : undefined
  if (properties === undefined) return undefined
  return {
    plan: {
      code: "plan",
      interval: "monthly",
      amount_cents: 0,
      amount_currency: "EUR",
      charges: [
        {
          billable_metric_code: "calls",
          charge_model: charge.model === "graduatedPercentage" ? "graduated_percentage" : charge.model,
          properties,
          invoiceable: true,
        },
      ],
    },
    billable_metrics: [{ code: "calls", aggregation_type: "sum_agg", field_name: "n" }],
  }
}

for (const [system, translate, least] of [
  ["stripe", stripeOf, 15],
  ["lago", lagoOf, 20],
] as const)
  t.test(`worked cases of ${system} cost the same as its own JSON, converted`, async (t) => {
    let tried = 0
    for (const { id, given, expected } of await casesOf(system)) {
      if (given.ask !== "charge" || given.quantity === undefined || expected.total === undefined || (given.part ?? "only") !== "only") continue
      if (given.policies?.["tiers.prorated"] !== undefined || given.before !== undefined) continue
      const made = translate(given)
      const quantity = readDecimal(given.quantity)
      if (made === undefined || quantity === undefined) continue
      const list = await convert(rules, system as Format, JSON.stringify(made), "made.json")
      using catalogue = (await rules.compile(JSON.stringify(list))) as unknown as Disposable
      const plan = list.plans[0] as (typeof list.plans)[number]
      const prior = { quantities: [], billed: [] }
      const quote = await rules.ask("[method]catalogue.estimate", [catalogue as never, plan.id, [{ meter: 0, quantity, events: 1n }], [], prior, false])
      const line = quote.lines.at(-1) as (typeof quote.lines)[number]
      const { n, d } = ratioOf(line.exact)
      const [top = "0", bottom = "1"] = expected.total.split("/")
      const [a, b] = [readDecimal(top), readDecimal(bottom)] as [NonNullable<ReturnType<typeof readDecimal>>, NonNullable<ReturnType<typeof readDecimal>>]
      const whole = (value: typeof a): bigint => ((value.high << 64n) | value.low) * 10n ** BigInt(18 - value.scale)
      t.equal(n * whole(b), whole(a) * d, `${id}: ${expected.total}`)
      tried++
    }
    t.ok(tried >= least, `${tried} cases`)
  })

t.test("what cannot be carried over is refused by its name and place, and can be left out by name alone", async (t) => {
  const price = (more: object) =>
    JSON.stringify({ id: "p", currency: "usd", unit_amount: 100, product: "x", recurring: { interval: "month", interval_count: 1 }, ...more })
  const fields = async (from: Format, text: string, leaveOut: ReadonlyArray<string> = []): Promise<string> => {
    try {
      await convert(rules, from, text, "x.json", leaveOut)
      return "converted"
    } catch (error) {
      const { reason } = error as { readonly reason: { readonly problems: ReadonlyArray<{ readonly message: string }> } }
      return reason.problems.map(({ message }) => message).join("; ")
    }
  }
  t.equal(await fields("stripe", price({})), "converted")
  t.match(await fields("stripe", price({ metadata: { a: "b" } })), /^"metadata" cannot be carried over: \{"a":"b"\}$/)
  t.equal(await fields("stripe", price({ metadata: { a: "b" } }), ["metadata"]), "converted")
  t.match(await fields("stripe", price({ transform_quantity: { divide_by: 10, round: "down" } })), /"round"/)
  t.match(await fields("stripe", price({ recurring: null, type: "one_time" })), /"recurring"/)
  t.match(
    await fields("stripe", price({ recurring: { interval: "month", interval_count: 1, usage_type: "metered", aggregate_usage: "last_during_period" } })),
    /"aggregate_usage"/,
  )
  t.match(await fields("stripe", price({ currency: "ugx" })), /UGX have other digits/)
  t.match(await fields("stripe", price({ currency: "xyz" })), /no currency/)
  t.match(await fields("stripe", JSON.stringify([JSON.parse(price({})), JSON.parse(price({ id: "q", currency: "eur" }))])), /USD and EUR/)
  t.match(await fields("stripe", price({ currency_options: { eur: { unit_amount: 1 } } })), /"currency_options"/)
  t.match(await fields("stripe", JSON.stringify({ object: "list", has_more: true, data: [JSON.parse(price({}))] })), /first page/)
  const plan = (charge: object, metric: object = {}) =>
    JSON.stringify({
      plan: {
        code: "p",
        interval: "monthly",
        amount_cents: 100,
        amount_currency: "EUR",
        charges: [{ billable_metric_code: "m", charge_model: "standard", properties: { amount: "1" }, ...charge }],
      },
      billable_metrics: [{ code: "m", aggregation_type: "count_agg", ...metric }],
    })
  t.equal(await fields("lago", plan({})), "converted")
  t.match(await fields("lago", plan({ billable_metric_code: "other" })), /"other" is not in the file/)
  t.match(await fields("lago", plan({ charge_model: "dynamic" })), /"charge_model".*"dynamic"/)
  t.match(await fields("lago", plan({ filters: [{ values: {} }] })), /"filters"/)
  t.match(await fields("lago", plan({ prorated: true })), /"prorated"/)
  t.match(await fields("lago", plan({ pay_in_advance: true })), /"pay_in_advance"/)
  t.match(
    await fields(
      "lago",
      plan({
        charge_model: "graduated",
        properties: {
          graduated_ranges: [
            { from_value: 0, to_value: 10, per_unit_amount: "1", flat_amount: "0" },
            { from_value: 15, to_value: null, per_unit_amount: "1", flat_amount: "0" },
          ],
        },
      }),
    ),
    /does not join/,
  )
  t.match(await fields("lago", plan({}, { rounding_function: "ceil" })), /"rounding_function"/)
})

t.test("every convention rests on a worked case, and every policy it names is one with that value", async (t) => {
  const known = new Set<string>()
  for (const { shown } of conventions) {
    const [source = ""] = shown.split("/")
    for (const { id } of await casesOf(source)) known.add(id)
  }
  const check = Schema.decodeUnknownSync(Policies)
  for (const { system, convention, policies, shown } of conventions) {
    t.ok(known.has(shown), `${system}: ${shown}`)
    t.doesNotThrow(() => check(policies, { onExcessProperty: "error" }), `${system}: ${convention}`)
  }
  t.match(stele(["prices", "convert"]).stdout, /^Kill Bill\n {2}ALL_TIERS: .*\n {4}→ model blocks, mode "through"$/m)
})

t.test("`stele prices convert` prints a list that holds", async (t) => {
  const price = {
    id: "p",
    currency: "usd",
    unit_amount_decimal: "0.5",
    product: "x",
    recurring: { interval: "month", interval_count: 1, usage_type: "metered", meter: "calls" },
  }
  const { code, stdout } = stele(["prices", "convert", "-", "--from", "stripe"], { input: JSON.stringify(price) })
  t.equal(code, 0)
  t.match(JSON.parse(stdout), { currency: "USD", plans: [{ id: "x", charges: [{ id: "p", meter: "calls", price: { model: "unit", price: "0.005" } }] }] })
  t.match(stele(["prices", "convert", "-", "--from", "stripe", "--json"], { input: JSON.stringify({ ...price, metadata: { a: 1 } }) }), {
    code: 3,
    stdout: /"STELE-BIL-0004"/,
  })
  t.match(stele(["prices", "convert", "-", "--from", "strip"], { input: "{}" }), { code: 2, stderr: /did you mean "stripe"/ })
})
