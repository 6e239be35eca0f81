/**
 * Whoever moves money: a payment provider. Every request has an idempotency key; under the same key it is done once, and asked again it answers with what
 * came of it. A request whose answer went missing is therefore sent again with its key, by whichever node.
 */

/** An amount in the currency's smallest unit, above 0. */
export interface Money {
  readonly amount: bigint
  readonly currency: string
}

interface Request extends Money {
  /** At most 255 characters. */
  readonly idempotencyKey: string
  /** What stands on the statement of whoever pays or is paid. */
  readonly memo: string
}

export interface ChargeRequest extends Request {
  readonly account: string
}
export interface RefundRequest extends Request {
  /** As the provider named the charge. */
  readonly charge: string
}
export interface PayoutRequest extends Request {
  readonly creator: string
}

/**
 * What came of a request. `done`: the money is moved, and `id` is the provider's name of it. `declined`: it is not moved and will not be under this key.
 * `pending`: nobody knows yet; asked again with the key, the provider will say. `unavailable`: no answer; it may have been done.
 */
export type PaymentOutcome =
  | { readonly outcome: "done"; readonly id: string }
  | { readonly outcome: "declined"; readonly detail: string }
  | { readonly outcome: "pending"; readonly detail: string }
  | { readonly outcome: "unavailable"; readonly detail: string }

export interface PaymentPort {
  /** Part of ledger accounts, `cash/NAME`: letters, digits and dashes. */
  readonly name: string
  charge(request: ChargeRequest): Promise<PaymentOutcome>
  refund(request: RefundRequest): Promise<PaymentOutcome>
  payout(request: PayoutRequest): Promise<PaymentOutcome>
}
