/**
 * The admission port that keeps hard caps (`overage.policy: block`): before a call, what it may use at most is reserved of each bounded charge of its account's
 * subscriptions; when it is over, what it used is settled. A call of a tenant that no account has, or whose plans have no such bound, is admitted as it comes.
 */
import type { AdmissionPort, CallDecision, CallDescriptor, CallLimits, Settle } from "../../host/port/admission.ts"
import type { UsageRecord } from "../../host/port/observer.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import type { UsageEntry } from "../port/usage.ts"
import { accountOf, accountOfTenant } from "./account.ts"
import type { Billing } from "./billing.ts"
import { type Cap, nameOfCap } from "./cap.ts"
import { beginCap } from "./cap-begin.ts"
import { priceTable } from "./catalogue.ts"
import { decimal } from "./decimal.ts"
import { minorUnits } from "./invoice.ts"
import type { PriceTable } from "./price-table.ts"
import type { SpanValue, SubscriptionValue } from "./record.ts"
import type { Reserved, Reserver } from "./reserve.ts"
import { type Measure, meterPlans, Sources, usedBy } from "./source.ts"
import { periodAt, subscriptionsOf } from "./subscription.ts"

export const admissionLimits = {
  /** How long what is known of a tenant's plans is believed, ms: so late a new bound is heeded. Default ten seconds. */
  planMs: 10_000,
  /** Tenants whose plans are remembered. */
  tenantsMax: 10_000,
}

/** A charge whose bound is passed: what is beyond is billed (`overage.policy: warn`). */
export interface CapWarning {
  readonly account: string
  readonly tenant: string
  /** `SUBSCRIPTION/PLAN/CHARGE`. */
  readonly charge: string
  readonly upTo: string
  readonly unit: string
  /** Used; what calls that run may use at most takes it beyond. */
  readonly used: string
  /** When the period ends, as ISO 8601. */
  readonly until: string
}

/** A bounded charge, and what calls use of its meter. */
interface Bound {
  readonly cap: Cap
  readonly policy: Policy
  readonly meter: number
  readonly sources: Sources
}

interface Known {
  readonly bounds: ReadonlyArray<Bound>
  readonly untilMs: number
}

type Policy = "block" | "warn"

const noId = new Uint8Array(16)

/** One line on stderr. */
const said = ({ account, charge, unit, until, upTo, used }: CapWarning): void =>
  void process.stderr.write(
    `billing: the account ${JSON.stringify(account)} passes ${upTo} ${unit} of "${charge}" (${used} are used); what is beyond is billed until ${until}\n`,
  )

/** As if a call used all that its limits allow; bytes that go in are the caller's, and count when they are known. */
function greatest(call: CallDescriptor, limits: CallLimits): UsageEntry {
  const { deadlineMs = 0, fuel = 0, hostCallsMax = 0, memoryBytesMax = 0, outputBytesMax = 0 } = limits
  const wallNs = Number.isFinite(deadlineMs) ? Math.ceil(deadlineMs * 1e6) : 0
  return {
    ...{ id: noId, plugin: call.plugin, tenant: call.tenant, export: call.export, outcome: "ok", wallNs, fuel: BigInt(Math.trunc(fuel)) },
    ...{ memoryPeakBytes: memoryBytesMax, bytesIn: 0, bytesOut: outputBytesMax, hostCalls: { any: hostCallsMax } },
  }
}

/** A whole number at the meter's scale; a part of a unit is one. */
function quantityOf({ of, per }: Pick<Measure, "of" | "per">, scale: number, entry: UsageEntry): bigint {
  const over = BigInt(of(usedBy(entry))) * 10n ** BigInt(scale)
  return (over + per - 1n) / per
}

function used({ cap, meter, sources }: Bound, entry: UsageEntry): bigint | undefined {
  const found = sources.of(entry)
  if (found === undefined) return undefined
  let sum = 0n
  for (const one of found) if (one.meter === meter) sum += quantityOf(one.measure, cap.scale, entry)
  return sum
}

/** The plan in force at an instant of a period, and since when its charges count usage of it: not before it was the plan, and not in a trial. */
function planAt({ changes, plan, start: from, trialEnd = from }: SubscriptionValue, { start }: SpanValue, at: bigint): PlanSince | undefined {
  let found: PlanSince | undefined = { plan, since: latest(start, from, trialEnd) }
  for (const change of changes) {
    const isInForce = change.atPeriodEnd === true ? change.at < start : change.at <= at
    if (!isInForce) continue
    if (change.what === "plan" && change.plan !== found?.plan) found = { plan: change.plan, since: latest(start, from, trialEnd, change.at) }
    else if (change.what === "cancel") found = undefined
  }
  return found
}

interface PlanSince {
  readonly plan: string
  readonly since: bigint
}

const latest = (...instants: ReadonlyArray<bigint>): bigint => instants.reduce((a, b) => (a > b ? a : b))

interface BoundOfPlan {
  readonly charge: string
  readonly meter: number
  readonly upTo: bigint
  readonly policy: Policy
}

const isHeeded = (policy: string | undefined): policy is Policy => policy === "block" || policy === "warn"

/** What the rules bound of a plan, hard or with a warning. Of price lists in a format of others it is asked what would be beyond a bound, of each meter. */
async function boundsOf(table: PriceTable, plan: string): Promise<ReadonlyArray<BoundOfPlan>> {
  const { description, shape } = table
  const scaleOf = (meter: number): number => description.meters[meter]?.scale ?? 0
  if (shape !== undefined)
    return (shape.plans.find(({ id }) => id === plan)?.charges ?? []).flatMap(({ id, meter, overage }) => {
      const at = shape.meters.findIndex((one) => one.id === meter)
      return overage !== undefined && isHeeded(overage.policy) && at >= 0
        ? [{ charge: `${plan}/${id}`, meter: at, upTo: minorUnits(overage.upTo, scaleOf(at)), policy: overage.policy }]
        : []
    })
  const found = await Promise.all(
    description.meters.map(async ({ needsEvents, scale }, meter) => {
      if (needsEvents) return []
      const quantity = { meter, attribute: undefined, quantity: decimal(10n ** BigInt(scale + 12), scale), events: 1n }
      const { overages } = await table.ask((catalogue) =>
        table.rules.ask("[method]catalogue.estimate", [catalogue, plan, [quantity], [], { quantities: [], billed: [] }, false]),
      )
      return overages.flatMap(({ charge, policy, upto }) =>
        isHeeded(policy) ? [{ charge, meter, upTo: ((upto.high << 64n) | upto.low) * 10n ** BigInt(Math.max(0, scale - upto.scale)), policy }] : [],
      )
    }),
  )
  return found.flat()
}

export interface AdmissionOptions extends Partial<typeof admissionLimits> {
  /** Told once in a period, by each node, of a charge that passes a bound which only warns. Default: a line on stderr. */
  readonly onWarning?: (warning: CapWarning) => void
}

/** Admits calls as long as no hard cap of their account is reached. The reserver is closed by its owner, after the host. Loads are admitted all. */
export function cappedAdmission(
  billing: Billing,
  reserver: Reserver,
  { onWarning = said, planMs = admissionLimits.planMs, tenantsMax = admissionLimits.tenantsMax }: AdmissionOptions = {},
): AdmissionPort {
  const known = new Map<string, Known | Promise<Known>>()
  /** Bounds that were warned of: nobody reserves of them any more. */
  const warned = new Set<string>()
  const timeNow = () => performance.now()
  /** The store's time, which costs a write, is asked once in `planMs` for all tenants. */
  let time: { readonly atUs: Promise<bigint>; readonly sinceMs: number } | undefined
  const nowUs = async (): Promise<bigint> => {
    if (time === undefined || timeNow() - time.sinceMs > planMs) time = { atUs: billing.now(), sinceMs: timeNow() }
    return (await time.atUs) + BigInt(Math.round((timeNow() - time.sinceMs) * 1_000))
  }

  async function look(tenant: string): Promise<Known> {
    const account = await accountOfTenant(billing, tenant)
    let untilMs = timeNow() + planMs
    const bounds: Array<Bound> = []
    if (account !== undefined) {
      const now = await nowUs()
      const owner = await accountOf(billing, account)
      for await (const { value: subscription } of subscriptionsOf(billing, account)) {
        const table = await priceTable(billing, subscription.catalogue, owner)
        const period = await periodAt(billing, table, subscription, now)
        const inForce = period === undefined ? undefined : planAt(subscription, period, now)
        if (period === undefined || inForce === undefined || subscription.start > now) continue
        // What ends is another cap afterwards.
        untilMs = Math.min(untilMs, timeNow() + Number((period.end - now) / 1_000n))
        const sources = new Sources(table, meterPlans(table))
        for (const { charge, meter, policy, upTo } of await boundsOf(table, inForce.plan)) {
          const { scale, unit } = table.description.meters[meter] ?? { scale: 0, unit: "" }
          const cap: Cap = { account, charge: `${subscription.id}/${charge}`, period, upTo, scale, unit }
          await beginCap(billing, cap, { account: owner, table, meter, span: { start: inForce.since, end: now } })
          bounds.push({ cap, policy, meter, sources })
        }
      }
    }
    const found = { bounds, untilMs }
    if (known.size >= tenantsMax) known.clear()
    known.set(tenant, found)
    return found
  }

  /** Undefined where somebody must be asked first. */
  function knownOf(tenant: string): Known | undefined {
    const found = known.get(tenant)
    return found === undefined || found instanceof Promise || found.untilMs <= timeNow() ? undefined : found
  }

  async function learn(tenant: string): Promise<Known> {
    const looked = known.get(tenant)
    if (looked instanceof Promise) return looked
    const looking = look(tenant)
    known.set(tenant, looking)
    looking.catch(() => known.get(tenant) === looking && known.delete(tenant))
    return looking
  }

  const isWarned = ({ cap, policy }: Bound): boolean => policy === "warn" && warned.has(nameOfCap(cap))

  /** What is reserved; undefined, once with a warning, of a bound that refuses nothing. Nothing else that goes wrong with one refuses a call either. */
  async function orWarned({ tenant }: CallDescriptor, bound: Bound, reserving: Promise<Reserved>): Promise<Reserved | undefined> {
    try {
      return await reserving
    } catch (error) {
      if (bound.policy !== "warn") throw error
      if (!(error instanceof BillingError) || error.reason._tag !== "CapReached") return undefined
      const { account, charge, unit, until, upTo, used: count } = error.reason
      if (!isWarned(bound)) {
        if (warned.size >= tenantsMax) warned.clear()
        warned.add(nameOfCap(bound.cap))
        onWarning({ account, tenant, charge, upTo, unit, used: count, until })
      }
      return undefined
    }
  }

  async function settleLater(bound: Bound, reserved: Reserved, entry: UsageEntry): Promise<void> {
    await bound.sources.learn(entry)
    reserved.settle(used(bound, entry) ?? 0n)
  }

  const settling =
    (promised: ReadonlyArray<readonly [Bound, Reserved]>): Settle =>
    (record: UsageRecord, isBegun) => {
      for (const [bound, reserved] of promised) {
        const entry = { ...record, id: noId }
        const quantity = isBegun ? used(bound, entry) : 0n
        if (quantity !== undefined) reserved.settle(quantity)
        // An outcome that was not seen before: the rules say what counts it.
        else void settleLater(bound, reserved, entry).catch(() => reserved.settle(quantityOf({ of: () => 1, per: 1n }, bound.cap.scale, entry)))
      }
    }

  /** All at once, of what is at hand; undefined where something must be waited for, nothing being kept then. */
  function atOnce(call: CallDescriptor, limits: CallLimits, { bounds }: Known): CallDecision | undefined {
    if (bounds.length === 0) return admitted
    const entry = greatest(call, limits)
    const promised: Array<readonly [Bound, Reserved]> = []
    for (const bound of bounds) {
      if (isWarned(bound)) continue
      const quantity = used(bound, entry)
      if (quantity === 0n) continue
      const reserved = quantity === undefined ? undefined : reserver.reserveNow(bound.cap, quantity, limits.deadlineMs ?? Infinity)
      if (reserved === undefined) {
        for (const [, one] of promised) one.settle(0n)
        return undefined
      }
      promised.push([bound, reserved])
    }
    return { admit: true, settle: settling(promised) }
  }

  async function afterAsking(call: CallDescriptor, limits: CallLimits): Promise<CallDecision> {
    const { bounds } = knownOf(call.tenant) ?? (await learn(call.tenant))
    const entry = greatest(call, limits)
    const promised: Array<readonly [Bound, Reserved]> = []
    try {
      for (const bound of bounds) {
        if (isWarned(bound)) continue
        if (bound.sources.of(entry) === undefined) await bound.sources.learn(entry)
        const quantity = used(bound, entry) ?? 0n
        const reserved = quantity === 0n ? undefined : await orWarned(call, bound, reserver.reserve(bound.cap, quantity, limits.deadlineMs ?? Infinity))
        if (reserved !== undefined) promised.push([bound, reserved])
      }
    } catch (error) {
      for (const [, one] of promised) one.settle(0n)
      const isRefusal = error instanceof BillingError && error.reason._tag === "CapReached"
      if (!isRefusal && !(error instanceof ConfigError)) throw error
      return { admit: false, reason: `${error.message}; ${error.fix}`, code: error.code }
    }
    return { admit: true, settle: settling(promised) }
  }

  return {
    load: () => admitted,
    call(descriptor, limits) {
      const found = knownOf(descriptor.tenant)
      return (found === undefined ? undefined : atOnce(descriptor, limits, found)) ?? afterAsking(descriptor, limits)
    },
  }
}

const admitted = { admit: true } as const
