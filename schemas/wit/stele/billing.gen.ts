// Do not edit, run `node runtime/build/plugins.ts --types`

/** A handle; the host makes it. */
export interface Catalogue {
  readonly "~resource": "stele:billing/charging@0.1.0#catalogue"
}

export interface Problem { readonly kind: ProblemKind; readonly path: string; readonly message: string }

export type ProblemKind = "malformed" | "tiers-overlap" | "tiers-gap" | "tier-unreachable" | "unknown-meter" | "unknown-currency" | "unknown-unit" | "unknown-plan" | "unknown-charge" | "unknown-policy" | "unknown-attribute" | "unknown-tax" | "unknown-zone" | "exponent-mismatch" | "negative-price" | "end-before-start" | "outside-period" | "off-minor-unit" | "over-credited" | "overflow" | "conflict" | "unpriced" | "limit" | "unsupported"

export interface Description { readonly name: string; readonly version: string; readonly currency: string; readonly exponent: number; readonly meters: ReadonlyArray<Meter>; readonly plans: ReadonlyArray<string>; readonly warnings: ReadonlyArray<Problem> }

export interface Meter { readonly id: string; readonly scale: number; readonly unit: string; readonly needsEvents: boolean }

export interface Subscription { readonly id: string; readonly plan: string; readonly start: bigint; readonly trialEnd?: (bigint) | undefined; readonly anchorDay?: (number) | undefined; readonly zone: string; readonly quantities: ReadonlyArray<readonly [string, Decimal]>; readonly changes: ReadonlyArray<Change> }

export interface Decimal { readonly high: bigint; readonly low: bigint; readonly scale: number }

export interface Change { readonly at: bigint; readonly atPeriodEnd: boolean; readonly what: ChangeKind }

export type ChangeKind = { readonly tag: "plan"; readonly val: string } | { readonly tag: "quantity"; readonly val: readonly [string, Decimal] } | { readonly tag: "pause" } | { readonly tag: "resume" } | { readonly tag: "cancel" } | { readonly tag: "zone"; readonly val: string }

export interface Span { readonly start: bigint; readonly end: bigint }

export interface Zone { readonly name: string; readonly release: string; readonly first: number; readonly changes: BigInt64Array; readonly offsets: Int32Array }

export interface Segment { readonly span: Span; readonly plan: string; readonly quantity: Decimal; readonly numerator: bigint; readonly denominator: bigint; readonly amount: Fraction }

export interface Fraction { readonly numerator: Decimal; readonly denominator: Decimal }

export interface Aggregate { readonly meter: number; readonly attribute?: (string) | undefined; readonly quantity: Decimal; readonly events: bigint }

export interface Prior { readonly quantities: ReadonlyArray<Aggregate>; readonly billed: ReadonlyArray<Billed> }

export interface Billed { readonly charge: string; readonly attribute?: (string) | undefined; readonly amount: Decimal }

export interface Quote { readonly lines: ReadonlyArray<Line>; readonly total: Decimal; readonly overages: ReadonlyArray<Overage> }

export interface Line { readonly charge: string; readonly attribute?: (string) | undefined; readonly meter?: (number) | undefined; readonly title: string; readonly span: Span; readonly quantity: Decimal; readonly amount: Decimal; readonly exact: Fraction; readonly billed: Decimal; readonly taxCategory: string; readonly steps: ReadonlyArray<Step> }

export interface Step { readonly kind: StepKind; readonly path: string; readonly quantity?: (Decimal) | undefined; readonly amount: Fraction }

export type StepKind = "price" | "flat-fee" | "allowance" | "discount" | "maximum" | "minimum" | "commitment" | "proration" | "rounding" | "billed-before"

export interface Overage { readonly charge: string; readonly attribute?: (string) | undefined; readonly policy: OveragePolicy; readonly upto: Decimal; readonly over: Decimal }

export type OveragePolicy = "block" | "bill" | "warn"

export interface Share { readonly weight: Decimal; readonly key: string; readonly atMost?: (Decimal) | undefined }

export interface Allocated { readonly part: number; readonly amount: Decimal }

export interface DocumentInput { readonly currency: string; readonly lines: ReadonlyArray<DocumentLine>; readonly discounts: ReadonlyArray<Adjustment>; readonly adjustments: ReadonlyArray<Adjustment>; readonly taxes: ReadonlyArray<Tax>; readonly rates: ReadonlyArray<Rate>; readonly balances: ReadonlyArray<Balance>; readonly paid: Decimal; readonly rounding: Decimal }

export interface DocumentLine { readonly title: string; readonly value: LineValue; readonly currency: string; readonly adjustments: ReadonlyArray<Adjustment>; readonly taxes: Uint32Array; readonly span?: (Span) | undefined }

export type LineValue = { readonly tag: "amount"; readonly val: Decimal } | { readonly tag: "priced"; readonly val: readonly [Decimal, Decimal, Decimal] }

export interface Adjustment { readonly id: string; readonly isCharge: boolean; readonly value: AdjustmentValue; readonly lines: Uint32Array; readonly taxes: Uint32Array }

export type AdjustmentValue = { readonly tag: "amount"; readonly val: Decimal } | { readonly tag: "percent"; readonly val: Decimal } | { readonly tag: "percent-of"; readonly val: readonly [Decimal, Decimal] }

export interface Tax { readonly code: string; readonly rate: Decimal; readonly treatment: TaxTreatment; readonly neverIncluded: boolean }

export type TaxTreatment = "standard" | "zero-rated" | "exempt" | "reverse-charge"

export interface Rate { readonly source: string; readonly value: Decimal; readonly note: string }

export interface Balance { readonly id: string; readonly amount: Decimal; readonly lines: Uint32Array }

export interface Totals { readonly lines: ReadonlyArray<Decimal>; readonly discount: Decimal; readonly allowances: Decimal; readonly charges: Decimal; readonly net: Decimal; readonly taxes: ReadonlyArray<TaxTotal>; readonly tax: Decimal; readonly gross: Decimal; readonly taken: ReadonlyArray<ReadonlyArray<Decimal>>; readonly left: ReadonlyArray<Decimal>; readonly payableRounding: Decimal; readonly payable: Decimal; readonly roundings: ReadonlyArray<Rounding> }

export interface TaxTotal { readonly tax: number; readonly base: Decimal; readonly amount: Decimal }

export interface Rounding { readonly path: string; readonly before: Fraction; readonly after: Decimal }

export interface CreditLine { readonly line: number; readonly title: string; readonly net: Decimal; readonly tax: Decimal }

export interface CreditItem { readonly line: number; readonly what: CreditedPart }

export type CreditedPart = { readonly tag: "rest" } | { readonly tag: "amount"; readonly val: Decimal } | { readonly tag: "quantity"; readonly val: Decimal } | { readonly tag: "unused-from"; readonly val: bigint }

/** A handle; the host makes it. */
export interface Rater {
  readonly "~resource": "stele:billing/charging@0.1.0#rater"
}

export interface Events { readonly meters: Uint32Array; readonly at: BigInt64Array; readonly idsHigh: BigUint64Array; readonly idsLow: BigUint64Array; readonly quantities: BigInt64Array; readonly scale: number; readonly attributes: Uint32Array; readonly keys: Uint32Array; readonly texts: ReadonlyArray<string> }

/** What the component exports: `host.load<Exports>(…)` types `plugin.call`. */
export interface Exports {
  readonly "stele:billing/charging#[static]catalogue.compile": (source: string) => Catalogue
  readonly "stele:billing/charging#[method]catalogue.describe": (self: Catalogue) => Description
  readonly "stele:billing/charging#[method]catalogue.match": (self: Catalogue, name: string, properties: ReadonlyArray<readonly [string, string]>) => Uint32Array
  readonly "stele:billing/charging#[method]catalogue.rate": (self: Catalogue, plan: string, charge: string, quantities: BigInt64Array, scale: number) => BigInt64Array
  readonly "stele:billing/charging#[method]catalogue.periods": (self: Catalogue, subscription: Subscription, within: Span, zones: ReadonlyArray<Zone>) => ReadonlyArray<Span>
  readonly "stele:billing/charging#[method]catalogue.assign": (self: Catalogue, subscription: Subscription, at: bigint, zones: ReadonlyArray<Zone>) => Span
  readonly "stele:billing/charging#[method]catalogue.prorate": (self: Catalogue, charge: string, subscription: Subscription, period: Span, zones: ReadonlyArray<Zone>) => ReadonlyArray<Segment>
  readonly "stele:billing/charging#[method]catalogue.estimate": (self: Catalogue, plan: string, quantities: ReadonlyArray<Aggregate>, counts: ReadonlyArray<readonly [string, Decimal]>, prior: Prior, steps: boolean) => Quote
  readonly "stele:billing/charging#[method]catalogue.allocate": (self: Catalogue, amount: Decimal, shares: ReadonlyArray<Share>) => ReadonlyArray<Allocated>
  readonly "stele:billing/charging#[method]catalogue.assemble": (self: Catalogue, document: DocumentInput) => Totals
  readonly "stele:billing/charging#[method]catalogue.credit": (self: Catalogue, invoice: DocumentInput, credited: ReadonlyArray<CreditLine>, items: ReadonlyArray<CreditItem>) => ReadonlyArray<CreditLine>
  readonly "stele:billing/charging#[method]catalogue.explain": (self: Catalogue, line: Line) => ReadonlyArray<string>
  readonly "stele:billing/charging#[static]rater.start": (catalogue: Catalogue, subscription: Subscription, period: Span, zones: ReadonlyArray<Zone>, prior: Prior) => Rater
  readonly "stele:billing/charging#[method]rater.add": (self: Rater, batch: Events) => void
  readonly "stele:billing/charging#[method]rater.add-aggregates": (self: Rater, sums: ReadonlyArray<Aggregate>) => void
  readonly "stele:billing/charging#[method]rater.snapshot": (self: Rater) => Uint8Array
  readonly "stele:billing/charging#[static]rater.restore": (catalogue: Catalogue, snapshot: Uint8Array) => Rater
  readonly "stele:billing/charging#[method]rater.finish": (self: Rater, last: boolean) => ReadonlyArray<Line>
}

/** Payloads of `PluginError` with reason `Guest`, by export. */
export interface Errors {
  readonly "stele:billing/charging#[static]catalogue.compile": ReadonlyArray<Problem>
  readonly "stele:billing/charging#[method]catalogue.rate": Problem
  readonly "stele:billing/charging#[method]catalogue.periods": Problem
  readonly "stele:billing/charging#[method]catalogue.assign": Problem
  readonly "stele:billing/charging#[method]catalogue.prorate": Problem
  readonly "stele:billing/charging#[method]catalogue.estimate": Problem
  readonly "stele:billing/charging#[method]catalogue.allocate": Problem
  readonly "stele:billing/charging#[method]catalogue.assemble": Problem
  readonly "stele:billing/charging#[method]catalogue.credit": Problem
  readonly "stele:billing/charging#[static]rater.start": Problem
  readonly "stele:billing/charging#[method]rater.add": Problem
  readonly "stele:billing/charging#[method]rater.add-aggregates": Problem
  readonly "stele:billing/charging#[static]rater.restore": Problem
  readonly "stele:billing/charging#[method]rater.finish": Problem
}

/** What the component imports; grants decide what it gets. */
export interface Imports {}

