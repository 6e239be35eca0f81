/**
 * The run: every subscription whose next period is over is billed, every invoice whose day has passed becomes overdue. Several nodes may run at once, and one
 * may end at any moment: each invoice is one batch, and what is due is what subscriptions say.
 */
import { BillingError } from "../../schemas/error/billing.ts"
import { SteleError } from "../../schemas/error/family.ts"
import { lead } from "../service/lease.ts"
import { pause } from "../storage/pause.ts"
import type { Billing } from "./billing.ts"
import type { Unrated } from "./draft.ts"
import { type Drafted, issue, markOverdue } from "./invoice.ts"
import { asRead, find, kinds, put, type SubscriptionValue } from "./record.ts"
import { isConflict, tenantOf } from "./rows.ts"
import { sampleStorage, type Unsampled } from "./storage-sample.ts"
import { dueAt, subscriptionsOf } from "./subscription.ts"

export interface RunReport {
  /** Ids of invoices that this run wrote, in the order of their writing. */
  readonly issued: ReadonlyArray<string>
  /** Those of them that a kept draft had otherwise. */
  readonly redrawn: ReadonlyArray<Drafted & { readonly invoice: string }>
  /** Periods of which something came late that is on no invoice: the records of a tenant, by which it would be rated again, were removed. Said once. */
  readonly unrated: ReadonlyArray<Unrated & { readonly subscription: string }>
  /** Subscriptions that could not be billed, and why: each is tried again by the next run. */
  readonly failed: ReadonlyArray<{ readonly subscription: string; readonly error: SteleError }>
  /** Tenants whose storage could not be measured, and why. */
  readonly unsampled: ReadonlyArray<Unsampled>
  /** Ids of invoices that became overdue. */
  readonly overdue: ReadonlyArray<string>
}

export interface RunOptions {
  /** Ends the run after what is under way. */
  readonly signal?: AbortSignal
}

interface Written {
  readonly issued: Array<string>
  readonly redrawn: Array<RunReport["redrawn"][number]>
  readonly unrated: Array<RunReport["unrated"][number]>
}

/** Bills one subscription until nothing of it is due: after a pause of months that is an invoice for each. */
async function billUp(
  billing: Billing,
  { id, predecessor }: Pick<SubscriptionValue, "id" | "predecessor">,
  written: Written,
  signal: AbortSignal | undefined,
): Promise<void> {
  // What that gives back is taken by this one's invoice, and its levels go on here.
  if (predecessor !== undefined) await billUp(billing, { id: predecessor }, written, signal)
  const { issued, redrawn, unrated } = written
  const isEnded = (): boolean => signal?.aborted === true
  while (!isEnded()) {
    try {
      const found = await issue(billing, id)
      unrated.push(...(found.unrated ?? []).map((one) => ({ subscription: id, ...one })))
      if (!found.isNew) continue
      issued.push(found.invoice.id)
      if (found.drafted !== undefined) redrawn.push({ invoice: found.invoice.id, ...found.drafted })
    } catch (error) {
      if (error instanceof BillingError && error.reason._tag === "NotDue") return
      throw error
    }
  }
}

/**
 * Bills whatever is due.
 * @throws StorageError of a store that is gone; what is wrong with single subscriptions is in the report
 */
export async function runBilling(billing: Billing, { signal }: RunOptions = {}): Promise<RunReport> {
  const now = await billing.now()
  const written: Written = { issued: [], redrawn: [], unrated: [] }
  const failed: Array<{ readonly subscription: string; readonly error: SteleError }> = []
  const unsampled = await sampleStorage(billing, now)
  const source = subscriptionsOf(billing)
  const lane = async (): Promise<void> => {
    for (;;) {
      const { done, value } = await source.next()
      if (done === true || signal?.aborted === true) return
      const due = dueAt(billing, value.value)
      if (due === undefined || due > now) continue
      try {
        await billUp(billing, value.value, written, signal)
      } catch (error) {
        if (!(error instanceof SteleError) || error._tag === "StorageError") throw error
        failed.push({ subscription: value.id, error })
      }
    }
  }
  await Promise.all(Array.from({ length: billing.limits.concurrency }, lane))
  return { ...written, failed, unsampled, overdue: await markOverdue(billing) }
}

export const serveLimits = {
  /** Time from the beginning of a run to that of the next, ms. Default 24 hours. */
  everyMs: 86_400_000,
  /** How often is looked whether a run is due, ms. Default a minute. */
  lookMs: 60_000,
}

export interface ServeOptions extends Partial<typeof serveLimits> {
  /** Ends serving after what is under way. */
  readonly signal: AbortSignal
  /** Told of each run of this process. */
  readonly onRun?: (report: RunReport) => void
}

const lastRun = "last"
const leaseName = "billing-run"

/**
 * Runs billing every 24 hours, in one process of those that serve an entity; the others wait to follow it. When the last run began is kept
 * in the books, so that a process that follows runs when it is due, and one that comes back does not run at once.
 */
export function serveBilling(billing: Billing, { everyMs = serveLimits.everyMs, lookMs = serveLimits.lookMs, onRun, signal }: ServeOptions): Promise<void> {
  return lead(
    billing.store,
    leaseName,
    async (_lease, isOver) => {
      while (!isOver.aborted) {
        const last = await find(billing, kinds.run, lastRun)
        const now = await billing.now()
        if (last === undefined || last.value.startedUs + BigInt(everyMs) * 1_000n <= now) {
          const report = await runBilling(billing, { signal: isOver })
          // One that was ended goes on with whoever follows.
          if (isOver.aborted) return
          const state = { startedUs: now, endedUs: await billing.now(), issued: report.issued.length, failed: report.failed.length }
          try {
            await billing.store.apply([asRead(billing, kinds.run, lastRun, last), put(billing, kinds.run, lastRun, state)])
          } catch (error) {
            // Another process led meanwhile, and says so itself.
            if (!isConflict(error)) throw error
          }
          onRun?.(report)
        }
        await pause(lookMs, isOver)
      }
    },
    { signal, tenant: tenantOf(billing.entity) },
  )
}
