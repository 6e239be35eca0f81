/** What every part of billing works with: the books, the rules, the zones, the time. */
import type { Host } from "../../host/host.ts"
import { limitsFrom } from "../../host/port/port.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import type { Zone } from "../../schemas/wit/stele/billing.gen.ts"
import type { Store } from "../port/store.ts"
import { Components } from "./components.ts"
import { type Books, rowAt } from "./rows.ts"
import { shippedZones, type Zones } from "./zones.ts"

export const billingLimits = {
  /** How long after a period's end it is billed, ms: usage under way is recorded by then, and a clock that is ahead by less bills nothing early. Default two hours. */
  graceMs: 7_200_000,
  /** How long after its end a period is rated again for usage that came late, ms. Default 35 days. */
  lateMs: 35 * 86_400_000,
  /** How far ahead of the store's time an event may be, ms. Default one day. */
  aheadMs: 86_400_000,
  /** Days from an invoice's issue until it is due, for accounts that say nothing else. */
  dueDays: 14,
  /** Usage records that are read at a time. */
  pageRecords: 8_192,
  /** Rows of a batch that the rules get, at most 32,768. */
  batchRows: 16_384,
  /** Subscriptions that a run bills at a time. */
  concurrency: 4,
  /** Times that a batch is tried anew when others have changed what it rests on. */
  attempts: 20,
}
export type BillingLimits = typeof billingLimits

/** A zone's offsets, with the digest of the table that they are of. */
export interface KnownZone {
  readonly zone: Zone
  readonly digest: string
}

/** An exchange rate: one of `source` is `value` of the account's currency. */
export interface KnownRate {
  readonly value: string
  /** Where it is from and of when, for the document. */
  readonly note: string
}

export interface BillingOptions {
  /** Where the rules run. */
  readonly host: Host
  /** Where usage records and books are. */
  readonly store: Store
  /** The legal entity that sells: small letters, digits and dashes. Its books are the store tenant `billing.ENTITY`. */
  readonly entity: string
  /** Of invoices' numbers; default `INV`. Credit notes have `CN` before it. */
  readonly series?: string
  /** What is taken for the time, µs since 1970. Default: the store's. */
  readonly clock?: () => bigint | Promise<bigint>
  /** The table of zones. Default: the one that came with this program, loaded when it is first asked for. */
  readonly zones?: Zones
  /** Rates of currencies for accounts that are not billed in their price list's; undefined where there is none. */
  readonly rates?: (source: string, currency: string, at: bigint) => Promise<KnownRate | undefined>
  readonly limits?: Partial<BillingLimits>
}

/** An entity's billing, opened. */
export interface Billing extends Books, AsyncDisposable {
  readonly host: Host
  readonly components: Components
  readonly limits: BillingLimits
  readonly series: string
  /** µs since 1970 on the store's clock, or the one that was given. */
  now(): Promise<bigint>
  /** @throws BillingError `Zone` */
  zone(name: string): Promise<KnownZone>
  /** Undefined where no rates were given: then accounts are billed in their price lists' currency alone. */
  readonly rate: BillingOptions["rates"] | undefined
  /** Lets go of the rules; host and store stay open. */
  close(): Promise<void>
}

const entityPattern = /^[a-z0-9][a-z0-9-]{0,62}$/
const seriesPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/** How long the row lives by which the store's time is read, ms. */
const clockTtlMs = 60_000

/**
 * The store's time: that of a row's end, less what it was given to live. It costs a write, so nobody's clock but the one that dates commits is believed.
 */
async function storeTime({ store, entity }: Books): Promise<bigint> {
  const place = rowAt(entity, "clock")
  for (;;) {
    const [version] = await store.apply([{ op: "set", ...place, value: new Uint8Array(0), ttlMs: clockTtlMs }])
    const found = await store.ask({ ask: "get", ...place })
    // Somebody else's row may be there by now, which is as good.
    if (found?.expiresAtUs !== undefined && found.version >= version) return BigInt(found.expiresAtUs) - BigInt(clockTtlMs) * 1_000n
  }
}

/** Opens an entity's billing over a store that is open. @throws ConfigError for an option */
export function openBilling({ host, store, entity, series = "INV", clock, zones, rates, limits = {} }: BillingOptions): Billing {
  if (!entityPattern.test(entity))
    throw new ConfigError("Option", { option: "entity", expected: "1 to 63 small letters, digits and dashes", actual: JSON.stringify(entity) })
  if (!seriesPattern.test(series))
    throw new ConfigError("Option", { option: "series", expected: "1 to 64 letters, digits, dots, dashes and underscores", actual: JSON.stringify(series) })
  const books = { store, entity }
  const components = new Components(host, entity)
  const known = new Map<string, KnownZone>()
  return {
    ...books,
    host,
    components,
    series,
    limits: limitsFrom("billing", billingLimits, limits),
    now: async () => (clock === undefined ? storeTime(books) : clock()),
    async zone(name) {
      let found = known.get(name)
      if (found === undefined) {
        const table = zones ?? (await shippedZones())
        known.set(name, (found = { zone: table.zone(name), digest: `sha256:${table.digest}` }))
      }
      return found
    },
    rate: rates,
    close: () => components.close(),
    [Symbol.asyncDispose]: () => components.close(),
  }
}
