/**
 * A payment provider in this process, for tests and for trying things out. It keeps a journal of its own, honours idempotency keys, and can be told what to
 * answer: to decline, to answer later, to fail before or after it has done what it was asked for.
 */
import { ConfigError } from "../../schemas/error/config.ts"
import type { ChargeRequest, PaymentOutcome, PaymentPort, PayoutRequest, RefundRequest } from "../port/payment.ts"

export type Movement =
  | ({ readonly kind: "charge"; readonly id: string } & ChargeRequest)
  | ({ readonly kind: "refund"; readonly id: string } & RefundRequest)
  | ({ readonly kind: "payout"; readonly id: string } & PayoutRequest)

/** `before`: it fails and has done nothing. `after`: it has done it, and its answer is lost. `late`: it is pending until it is asked again. */
export type Behaviour = "do" | "decline" | "late" | "before" | "after"

type Asked =
  | Omit<Extract<Movement, { readonly kind: "charge" }>, "id">
  | Omit<Extract<Movement, { readonly kind: "refund" }>, "id">
  | Omit<Extract<Movement, { readonly kind: "payout" }>, "id">

export class TestPayments implements PaymentPort {
  readonly name: string
  /** What was done, in its order: each once. */
  readonly journal: Array<Movement> = []
  /** What it does with the next requests, in their order; then `do`. */
  readonly next: Array<Behaviour> = []
  readonly #known = new Map<string, { readonly asked: string; readonly outcome: PaymentOutcome }>()
  readonly #late = new Set<string>()

  constructor(name = "test") {
    if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(name))
      throw new ConfigError("Option", { option: "name", expected: "small letters, digits and dashes", actual: JSON.stringify(name) })
    this.name = name
  }

  charge = (request: ChargeRequest): Promise<PaymentOutcome> => this.#do({ kind: "charge", ...request })
  refund = (request: RefundRequest): Promise<PaymentOutcome> => this.#do({ kind: "refund", ...request })
  payout = (request: PayoutRequest): Promise<PaymentOutcome> => this.#do({ kind: "payout", ...request })

  async #do(asked: Asked): Promise<PaymentOutcome> {
    const behaviour = this.next.shift() ?? "do"
    const key = asked.idempotencyKey
    if (behaviour === "before") return { outcome: "unavailable", detail: "the connection was refused" }
    if (behaviour === "late" && !this.#known.has(key)) {
      this.#late.add(key)
      return { outcome: "pending", detail: "the bank has not answered yet" }
    }
    const outcome = this.#outcomeOf(asked, behaviour === "decline")
    return behaviour === "after" ? { outcome: "unavailable", detail: "the connection was reset" } : outcome
  }

  #outcomeOf(asked: Asked, isDeclined: boolean): PaymentOutcome {
    const text = JSON.stringify(asked, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value))
    const known = this.#known.get(asked.idempotencyKey)
    if (known !== undefined) return known.asked === text ? known.outcome : { outcome: "declined", detail: "the idempotency key was used for another request" }
    const outcome = this.#decide(asked, isDeclined)
    this.#known.set(asked.idempotencyKey, { asked: text, outcome })
    this.#late.delete(asked.idempotencyKey)
    return outcome
  }

  #decide(asked: Asked, isDeclined: boolean): PaymentOutcome {
    if (isDeclined) return { outcome: "declined", detail: "insufficient funds" }
    if (asked.amount <= 0n) return { outcome: "declined", detail: "the amount is not above 0" }
    if (asked.kind === "refund" && asked.amount > this.#leftOf(asked.charge, asked.currency))
      return { outcome: "declined", detail: "more than is left of the charge" }
    const id = `${asked.kind}-${this.journal.length + 1}`
    this.journal.push({ ...asked, id } as Movement)
    return { outcome: "done", id }
  }

  #leftOf(charge: string, currency: string): bigint {
    let left = 0n
    for (const one of this.journal) {
      if (one.currency !== currency) continue
      if (one.kind === "charge" && one.id === charge) left += one.amount
      if (one.kind === "refund" && one.charge === charge) left -= one.amount
    }
    return left
  }
}
