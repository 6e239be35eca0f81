/** Who is billed for what: accounts, subscriptions and single events, as they are given and as they are kept. Instants are texts of microseconds in JSON. */
import * as Schema from "effect/Schema"
import { limits as hostLimits } from "../error/limit.ts"
import { Decimal } from "./catalogue.ts"
import { Instant } from "./instant.ts"

const optional = Schema.optionalKey

export const recordLimits = {
  /** Characters of the id of an account, a subscription, a wallet, a discount. */
  idLengthMax: 64,
  /** Bytes of an event's id in UTF-8. */
  eventIdBytesMax: 200,
  /** Properties of one event. */
  propertiesMax: 32,
  /** Characters of a property's name, and of an event's. */
  nameLengthMax: 128,
  /** Characters of a property's value. */
  valueLengthMax: 1_024,
  /** Store tenants of one account. */
  tenantsMax: 100,
  /** Changes of one subscription. */
  changesMax: 1_000,
}

/** Part of keys and of document numbers: letters, digits, dots, dashes, underscores. */
export const RecordId = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, { expected: "letters, digits, dots, dashes and underscores, a letter or a digit first" }),
  Schema.isMaxLength(recordLimits.idLengthMax),
).annotate({ identifier: "RecordId" })
export const Digest = Schema.String.check(Schema.isPattern(/^sha256:[0-9a-f]{64}$/, { expected: "sha256: and 64 hexadecimal digits" })).annotate({
  identifier: "Digest",
})
/** An ISO 4217 code, or a unit of a price list. */
export const Currency = Schema.String.check(Schema.isPattern(/^(?:[A-Z]{3}|[a-z0-9][a-z0-9-]{0,63})$/, { expected: "an ISO 4217 code or a unit" })).annotate({
  identifier: "Currency",
})
const Name = Schema.String.check(Schema.isBetweenLength(1, recordLimits.nameLengthMax))

export const Treatment = Schema.Literals(["standard", "zero-rated", "exempt", "reverse-charge"])

/** A tax of an account's lines. */
export const Tax = Schema.Struct({
  /** Such as `vat-at`: part of a ledger account's name. */
  code: RecordId,
  /** In percent; negative for one that is withheld. */
  rate: Decimal,
  treatment: Treatment,
  /** Never in the price, even where a price list's prices include taxes. */
  neverIncluded: optional(Schema.Boolean),
  /** Tax categories of charges that it is of; all where it is not there. */
  categories: optional(Schema.Array(Schema.String)),
})

/** A discount on an account's invoices: an amount of its currency, or percent. */
export const Discount = Schema.Struct({
  id: RecordId,
  amount: optional(Decimal),
  percent: optional(Decimal),
  /** Lines of these charges, as `PLAN/CHARGE`; all where it is not there. */
  charges: optional(Schema.Array(Schema.String)),
  /** Invoices whose period ends by then; all where it is not there. */
  until: optional(Instant),
})

const RuleLimits = Schema.Record(Schema.String, Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))).check(
  Schema.makeFilter((given: Readonly<Record<string, number>>) => {
    const unknown = Object.keys(given).find((name) => !Object.hasOwn(hostLimits, name))
    return unknown === undefined || `"${unknown}" is no limit`
  }),
)

/** A component in the place of the billing rules, for one account. */
export const AccountRules = Schema.Struct({
  /** The component's; its bytes are in the host's content store (`host.store`). */
  digest: Digest,
  /** Limits that differ from those of our rules. */
  limits: optional(RuleLimits),
})

/** Whoever is billed. */
export const Account = Schema.Struct({
  id: RecordId,
  title: optional(Schema.String),
  /** Tenants whose usage records are this account's; its id where not there. A tenant is one account's. */
  tenants: optional(Schema.NonEmptyArray(Schema.String.check(Schema.isBetweenLength(1, 256))).check(Schema.isMaxLength(recordLimits.tenantsMax))),
  /** Of the IANA database, such as `Europe/Vienna`; what days and months are. */
  zone: Schema.String,
  /** Of its invoices. */
  currency: Currency,
  /** Of its invoices' numbers; the entity's own where not there. */
  series: optional(RecordId),
  /** Days from an invoice's issue until it is due; the entity's own where not there. */
  dueDays: optional(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 366 }))),
  taxes: optional(Schema.Array(Tax)),
  discounts: optional(Schema.Array(Discount)),
  rules: optional(AccountRules),
})

/** What changes, and when. */
export const Change = Schema.Union([
  Schema.Struct({ what: Schema.Literal("plan"), plan: Schema.String, at: Instant, atPeriodEnd: optional(Schema.Boolean) }),
  Schema.Struct({ what: Schema.Literal("quantity"), charge: Schema.String, quantity: Decimal, at: Instant, atPeriodEnd: optional(Schema.Boolean) }),
  Schema.Struct({ what: Schema.Literals(["pause", "resume", "cancel"]), at: Instant, atPeriodEnd: optional(Schema.Boolean) }),
  Schema.Struct({ what: Schema.Literal("zone"), zone: Schema.String, at: Instant, atPeriodEnd: optional(Schema.Boolean) }),
])

/** Another price list from an instant on: the subscription ends there, and its successor begins. */
export const PriceListChange = Schema.Struct({
  /** The price list's digest. */
  catalogue: Digest,
  plan: Schema.String,
  at: Instant,
  /** When the period ends that `at` lies in. */
  atPeriodEnd: optional(Schema.Boolean),
  /** The successor's id; the subscription's with the next number where not there: `ada-team.2`. */
  as: optional(RecordId),
  /** How many of each charge there are; those in force where not there. */
  quantities: optional(Schema.Record(Schema.String, Decimal)),
})

/** What is agreed upon with an account. */
export const Agreement = Schema.Struct({
  id: RecordId,
  account: RecordId,
  /** The price list's digest. */
  catalogue: Digest,
  plan: Schema.String,
  start: Instant,
  trialEnd: optional(Instant),
  /** The day of the month that periods begin at, of plans that are not aligned to the calendar; the start's where not there. */
  anchorDay: optional(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 31 }))),
  /** How many of each charge there are at the start, such as seats; 1 of those not named. */
  quantities: optional(Schema.Record(Schema.String, Decimal)),
})

export const Span = Schema.Struct({ start: Instant, end: Instant })

/** An agreement as it is kept. */
export const Subscription = Schema.Struct({
  ...Agreement.fields,
  /** The account's when it began. */
  zone: Schema.String,
  changes: Schema.Array(Change),
  /** The period that the next invoice closes; null when all are billed and it is over. */
  next: Schema.NullOr(Span),
  /** The next invoice's: 0 for the one that opens the first period. */
  sequence: Schema.Int,
  /** The last period, once it is billed, for as long as usage of it that comes late is waited for: a closing invoice is of that. */
  last: optional(Span),
  /** The subscription that goes on with another price list where this ends. */
  successor: optional(RecordId),
  /** The one that this goes on from. */
  predecessor: optional(RecordId),
})

/** One thing that happened, from whoever counts it. */
export const UsageEvent = Schema.Struct({
  account: RecordId,
  /** Sent again with the same id and content it is the same event. */
  id: Schema.String.check(Schema.isMinLength(1)),
  at: Instant,
  /** What price lists' meters call it: `gpu-hours`. */
  name: Name,
  /** How much; 1 where not there, and neither in the property that its meter names. */
  quantity: optional(Decimal),
  properties: optional(Schema.Record(Name, Schema.String.check(Schema.isMaxLength(recordLimits.valueLengthMax)))),
})
