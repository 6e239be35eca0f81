/** What a hard cap is, and its rows. Nothing here asks a store. */
import { BillingError } from "../../schemas/error/billing.ts"
import { decimal, plainText } from "./decimal.ts"

/** A bound of an account's usage in one period that must not be passed. */
export interface Cap {
  readonly account: string
  /** What it bounds, `PLAN/CHARGE`. */
  readonly charge: string
  /** Microseconds since 1970. */
  readonly period: { readonly start: bigint; readonly end: bigint }
  /** A whole number at `scale`. */
  readonly upTo: bigint
  /** Digits after the point of its quantities. */
  readonly scale: number
  /** As in `execution`, for people. */
  readonly unit: string
}

/** What is promised and used of a cap, in whole numbers at its scale. */
export interface CapUse {
  readonly used: bigint
  /** Promised to calls that run, or kept ready for those to come. */
  readonly held: bigint
}

/** Its rows' common name. A limit that changes is the same cap; another period is another one. */
export const nameOfCap = ({ account, charge, period }: Cap): string => `${encodeURIComponent(account)}/${charge}/${period.start}`
export const totalKey = (name: string): string => `cap/${name}/total`
export const usedKey = (name: string): string => `cap/${name}/used`
export const nodesKey = "cap-node/"
export const selfKey = (node: string): string => `${nodesKey}${node}/self`
export const beatKey = (node: string): string => `${nodesKey}${node}/beat`
export const heldPrefix = (node: string): string => `${nodesKey}${node}/held/`

/** Beyond what any period holds: what was used is counted, whatever the bound. */
export const unbounded = 10n ** 19n

export function capReached({ account, charge, period, scale, unit, upTo }: Cap, { held, used }: CapUse): BillingError {
  const text = (quantity: bigint): string => plainText(decimal(quantity, scale))
  const until = new Date(Number(period.end / 1_000n)).toISOString()
  return new BillingError("CapReached", { account, charge, unit, upTo: text(upTo), used: text(used), held: text(held), until })
}
