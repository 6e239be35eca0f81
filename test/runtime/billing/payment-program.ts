/**
 * A node in a process of its own that pays out: `ADDRESS JOURNAL`. Its provider is a file that several nodes share: a request is done by making the file named by its key, so once. It waits a moment
 * before and after that, to be killed there.
 */
import { appendFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Host } from "../../../host/mod.ts"
import { openBilling } from "../../../runtime/billing/mod.ts"
import { payOut } from "../../../runtime/billing/payout.ts"
import type { PaymentOutcome, PaymentPort, PayoutRequest } from "../../../runtime/port/payment.ts"
import { SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"

const [address = "", folder = ""] = process.argv.slice(2)
const pause = () => new Promise((resume) => setTimeout(resume, 15))
const refused = () => Promise.resolve({ outcome: "declined", detail: "payouts only" } as const)

async function payout({ amount, creator, idempotencyKey }: PayoutRequest): Promise<PaymentOutcome> {
  await pause()
  const id = encodeURIComponent(idempotencyKey)
  try {
    await writeFile(join(folder, id), String(amount), { flag: "wx" })
    await appendFile(join(folder, "journal"), `${creator} ${amount}\n`)
  } catch (error) {
    if ((error as { readonly code?: string }).code !== "EEXIST") throw error
  }
  await pause()
  return { outcome: "done", id }
}

const payments: PaymentPort = { name: "file", charge: refused, refund: refused, payout }
await using host = await Host.open()
await using store = await SqliteStore.open(address)
await using billing = openBilling({ host, store, entity: "acme" })
await payOut(billing, payments, { currency: "EUR", exponent: 2 })
