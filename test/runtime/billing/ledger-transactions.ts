/** Transactions that a seed repeats: several postings in up to two currencies that add up to 0. */
import type { Posting, Transaction } from "../../../runtime/billing/ledger.ts"
import type { Random } from "../storage/random.ts"

const accounts = [
  "receivable/ada",
  "receivable/bob",
  "revenue/executions",
  "revenue/executions/eu",
  "tax/vat-at",
  "cash/test",
  "payable/eve",
  "wallet/ada",
  "rounding",
]
const kinds = ["invoice", "payment", "refund", "payout"] as const

export function randomTransaction(random: Random, id: string): Transaction {
  const postings: Array<Posting> = []
  for (const currency of random(3) === 0 ? ["EUR", "credit"] : ["EUR"]) {
    let sum = 0n
    for (let n = random(4) + 1; n > 0; n--) {
      const amount = BigInt(random(2_000_001) - 1_000_000)
      sum += amount
      postings.push({ account: accounts[random(accounts.length)] as string, currency, amount })
    }
    postings.push({ account: accounts[random(accounts.length)] as string, currency, amount: -sum })
  }
  const [first, ...rest] = postings as [Posting, ...Array<Posting>]
  const at = 1_796_000_000_000_000n + BigInt(random(1_000))
  return { id, at, memo: `of ${id}`, reference: { kind: kinds[random(4)] as "invoice", id: `R-${random(100)}` }, postings: [first, ...rest] }
}
