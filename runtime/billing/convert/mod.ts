/** Prices of other systems as price lists. What cannot be carried over is refused, with its place; nothing is dropped. */
import type { Catalogue } from "../../../schemas/billing/catalogue.ts"
import { BillingError } from "../../../schemas/error/billing.ts"
import { locate } from "../../author/located.ts"
import { Mistakes, type Rules } from "../rules.ts"
import { Carry } from "./carry.ts"
import { fromLago } from "./lago.ts"
import { type Exponent, fromStripe } from "./stripe.ts"

export const formats = ["stripe", "lago"] as const
export type Format = (typeof formats)[number]

/** Digits of a currency, which the rules know; undefined for what is none. */
export const digitsBy =
  (rules: Rules): Exponent =>
  async (currency) => {
    try {
      using catalogue = (await rules.compile(JSON.stringify({ name: "digits", version: "1", currency, meters: [], plans: [] }))) as unknown as Disposable
      return (await rules.describe(catalogue as never)).exponent
    } catch (error) {
      if (error instanceof Mistakes) return undefined
      throw error
    }
  }

/**
 * @param leaveOut fields that may be left out, by name, because whoever asks says that they mean nothing here
 * @throws BillingError `Inconvertible` with every field that cannot be carried over; AuthorError `File` for what is no JSON
 */
export async function convert(rules: Rules, from: Format, text: string, file: string, leaveOut: ReadonlyArray<string> = []): Promise<Catalogue> {
  const located = locate(text, file)
  const carry = new Carry(located, leaveOut)
  const list = from === "stripe" ? await fromStripe(carry, located.value, digitsBy(rules), file) : await fromLago(carry, located.value, digitsBy(rules))
  if (carry.problems.length > 0) throw new BillingError("Inconvertible", { from, file, problems: carry.problems })
  return list
}
