/** Asking a payment provider for one thing until it answers, always under the same key. */
import { BillingError } from "../../schemas/error/billing.ts"
import type { PaymentOutcome, PaymentPort } from "../port/payment.ts"

export const providerLimits = {
  /** Times that a request without an answer is sent again. */
  triesMax: 4,
  /** Pause before it is sent again, ms; doubled each time. */
  pauseMs: 100,
}

export type Settled = Extract<PaymentOutcome, { readonly outcome: "done" | "declined" }>

/** Whoever goes on with what was asked of a provider has the same one. @throws BillingError `OtherProvider` */
export function checkProvider(what: string, id: string, { name }: Pick<PaymentPort, "name">, { provider }: { readonly provider?: string }): void {
  if (provider !== undefined && provider !== name) throw new BillingError("OtherProvider", { what, id, asked: provider, given: name })
}

/** @throws BillingError `Unconfirmed` where it is pending, or no answer came */
export async function askProvider(what: string, id: string, ask: () => Promise<PaymentOutcome>, { pauseMs, triesMax } = providerLimits): Promise<Settled> {
  for (let tries = 1; ; tries++) {
    let answer: PaymentOutcome
    try {
      answer = await ask()
    } catch (error) {
      // A provider that throws has not answered.
      answer = { outcome: "unavailable", detail: (error as Error).message }
    }
    if (answer.outcome === "done" || answer.outcome === "declined") return answer
    if (answer.outcome === "pending" || tries >= triesMax) throw new BillingError("Unconfirmed", { what, id, detail: answer.detail })
    await new Promise((resume) => setTimeout(resume, pauseMs * 2 ** (tries - 1)))
  }
}
