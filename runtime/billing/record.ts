/**
 * What an entity's books hold, by key. Values are JSON with fields in the order of their schema, so that equal values are equal bytes; each is checked
 * when it is read. Times in keys have `instantDigits` digits: keys are in their order.
 */
import * as Schema from "effect/Schema"
import { Account, Subscription, UsageEvent } from "../../schemas/billing/account.ts"
import { instantDigits } from "../../schemas/billing/instant.ts"
import { Billed, CreditNote, Draft, Invoice, InvoiceId, InvoiceState } from "../../schemas/billing/invoice.ts"
import { Span } from "../../schemas/billing/account.ts"
import { Decimal } from "../../schemas/billing/catalogue.ts"
import { Payment, Payout, Purchase } from "../../schemas/billing/payment.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import { textOf } from "../port/place.ts"
import type { Operation } from "../port/store.ts"
import { detailOf } from "./ledger-row.ts"
import { type Books, rowAt, rowsOf } from "./rows.ts"

export { detailOf }

const utf8 = new TextEncoder()

/** What a period was billed, and what it was billed of. */
export const BilledPeriod = Schema.Struct({
  period: Span,
  /** False while it is open: only what is due in advance was billed. */
  isClosed: Schema.Boolean,
  billed: Schema.Array(Billed),
  invoices: Schema.Array(InvoiceId),
  /** Whose usage it was billed of. Not there while it is open, nor in rows of before this was kept: those of the account stand for them. */
  tenants: Schema.optionalKey(Schema.Array(Schema.String)),
  /** How many usage records that were: they become more and, where nothing removes them, never fewer. */
  records: Schema.optionalKey(Schema.Int),
  /** Of what was recorded for its time when it was rated last. */
  fingerprint: Schema.String,
  /** Of meters whose quantity is a level: what it was when the period began, and when it ended; `isSet` where the period itself says what it was last. */
  levels: Schema.Array(Schema.Struct({ meter: Schema.String, start: Decimal, end: Decimal, isSet: Schema.optionalKey(Schema.Boolean) })),
})

export const RunState = Schema.Struct({
  startedUs: Schema.BigIntFromString,
  endedUs: Schema.NullOr(Schema.BigIntFromString),
  issued: Schema.Int,
  failed: Schema.Int,
})

/** A kind of rows: what their keys begin with, and what they hold. */
export interface Kind<A> {
  readonly what: string
  readonly prefix: string
  readonly encode: (value: A) => Uint8Array
  readonly decode: (text: string) => A
}

function kind<S extends Schema.Codec<unknown, unknown>>(what: string, prefix: string, schema: S): Kind<S["Type"]> {
  const json = Schema.fromJsonString(schema)
  const encode = Schema.encodeSync(json)
  const decode = Schema.decodeUnknownSync(json, { onExcessProperty: "error" })
  return { what, prefix, encode: (value) => utf8.encode(encode(value) as string), decode: (text) => decode(text) as S["Type"] }
}

export const kinds = {
  account: kind("account", "account/", Account),
  subscription: kind("subscription", "subscription/", Subscription),
  event: kind("event", "event/", UsageEvent),
  billed: kind("billed period", "billed/", BilledPeriod),
  draft: kind("draft", "draft/", Draft),
  invoice: kind("invoice", "invoice/", Invoice),
  state: kind("invoice's state", "invoice-state/", InvoiceState),
  credit: kind("credit note", "credit/", CreditNote),
  run: kind("run", "run/", RunState),
  payment: kind("payment of the invoice", "payment/", Payment),
  purchase: kind("purchase", "purchase/", Purchase),
  payout: kind("payout", "payout/", Payout),
}

export type Value<K> = K extends Kind<infer A> ? A : never
export type AccountValue = Value<typeof kinds.account>
export type SubscriptionValue = Value<typeof kinds.subscription>
export type EventValue = Value<typeof kinds.event>
export type BilledValue = Value<typeof kinds.billed>
export type DraftValue = Value<typeof kinds.draft>
export type InvoiceValue = Value<typeof kinds.invoice>
export type StateValue = Value<typeof kinds.state>
export type CreditValue = Value<typeof kinds.credit>
export type SpanValue = typeof Span.Type

/** A row as it was read; its version is a condition of what is written because of it. */
export interface Row<A> {
  readonly value: A
  readonly version: number
}

/** Instants as parts of keys. */
export const timeKey = (at: bigint): string => String(at).padStart(instantDigits, "0")

function decoded<A>(books: Books, { decode }: Kind<A>, key: string, bytes: Uint8Array): A {
  try {
    return decode(textOf(bytes))
  } catch (error) {
    throw new BillingError("Row", { entity: books.entity, key, detail: detailOf(error) }, { cause: error })
  }
}

/** The row of this id; undefined where there is none. @throws BillingError `Row` */
export async function find<A>(books: Books, kind: Kind<A>, id: string): Promise<Row<A> | undefined> {
  const key = kind.prefix + id
  const found = await books.store.ask({ ask: "get", ...rowAt(books.entity, key) })
  return found === undefined ? undefined : { value: decoded(books, kind, key, found.value), version: found.version }
}

/** The row of this id. @throws BillingError `Unknown`, `Row` */
export async function get<A>(books: Books, kind: Kind<A>, id: string): Promise<Row<A>> {
  const found = await find(books, kind, id)
  if (found === undefined) throw new BillingError("Unknown", { what: kind.what, id, entity: books.entity })
  return found
}

/** All of a kind, in the order of their keys; of those whose ids start with `under`, and come after an id. */
export async function* all<A>(books: Books, kind: Kind<A>, under = "", after?: string): AsyncGenerator<Row<A> & { readonly id: string }> {
  for await (const { key, value, version } of rowsOf(books, kind.prefix + under, after === undefined ? undefined : kind.prefix + after)) {
    const text = textOf(key)
    yield { id: text.slice(kind.prefix.length), value: decoded(books, kind, text, value), version }
  }
}

/** A condition: the row is as it was read, or is not there. */
export const asRead = (books: Books, kind: Kind<never> | Pick<Kind<unknown>, "prefix">, id: string, row: Row<unknown> | undefined): Operation => ({
  op: "require",
  ...rowAt(books.entity, kind.prefix + id),
  version: row?.version,
})

export const put = <A>(books: Books, kind: Kind<A>, id: string, value: NoInfer<A>): Operation => ({
  op: "set",
  ...rowAt(books.entity, kind.prefix + id),
  value: kind.encode(value),
})

export const putText = (books: Books, key: string, text: string): Operation => ({ op: "set", ...rowAt(books.entity, key), value: utf8.encode(text) })
export const remove = (books: Books, key: string): Operation => ({ op: "delete", ...rowAt(books.entity, key) })

export async function textAt(books: Books, key: string): Promise<{ readonly text: string; readonly version: number } | undefined> {
  const found = await books.store.ask({ ask: "get", ...rowAt(books.entity, key) })
  return found === undefined ? undefined : { text: textOf(found.value), version: found.version }
}
