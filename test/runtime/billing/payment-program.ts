/**
 * A node in a process of its own that moves money: `ADDRESS FOLDER payout|money`. Its provider is a folder that several nodes share: a request is done by making the file named by its key, so
 * once. It waits a moment before and after that, to be killed there. `money`: pays the invoices and makes the sales and refunds that `FOLDER/../plan.json` has.
 */
import { writeSync } from "node:fs"
import { link, readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Host } from "../../../host/mod.ts"
import { openBilling, priceTable } from "../../../runtime/billing/mod.ts"
import { payInvoice } from "../../../runtime/billing/payment.ts"
import { payOut } from "../../../runtime/billing/payout.ts"
import { purchase, refund, sharesOf } from "../../../runtime/billing/purchase.ts"
import type { PaymentOutcome, PaymentPort } from "../../../runtime/port/payment.ts"
import { PostgresStore } from "../../../runtime/storage/postgres/mod.ts"
import { SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import type { Plan } from "./payment-processes.ts"

const [address = "", folder = "", what = ""] = process.argv.slice(2)
const pause = () => new Promise((resume) => setTimeout(resume, 10))

const does =
  (kind: string) =>
  async ({
    amount,
    idempotencyKey,
    ...rest
  }: {
    readonly amount: bigint
    readonly idempotencyKey: string
    readonly creator?: string
  }): Promise<PaymentOutcome> => {
    await pause()
    const id = encodeURIComponent(idempotencyKey)
    const draft = join(folder, "..", `${process.pid}.${id}`)
    await writeFile(draft, JSON.stringify({ kind, amount: String(amount), ...(rest.creator === undefined ? {} : { creator: rest.creator }) }))
    try {
      // There whole, or not at all.
      await link(draft, join(folder, id))
    } catch (error) {
      if ((error as { readonly code?: string }).code !== "EEXIST") throw error
    }
    await rm(draft)
    await pause()
    return { outcome: "done", id }
  }

const payments: PaymentPort = { name: "file", charge: does("charge"), refund: does("refund"), payout: does("payout") }
await using host = await Host.open()
await using store = address.startsWith("postgres:") ? await PostgresStore.open(address, { connectionsMax: 2 }) : await SqliteStore.open(address)
await using billing = openBilling({ host, store, entity: "acme" })
if (what === "payout") {
  writeSync(1, "ready\n")
  await payOut(billing, payments, { currency: "EUR", exponent: 2 })
} else {
  const plan = JSON.parse(await readFile(join(folder, "..", "plan.json"), "utf8")) as Plan
  const table = await priceTable(billing, plan.catalogue, { id: "ada" })
  const units = [
    ...plan.invoices.map((id) => () => payInvoice(billing, payments, id)),
    ...plan.sales.map(({ amount, back, id }) => async () => {
      const sale = { id, account: "ada", artifact: "acme/flow@1", currency: "EUR", exponent: 2, amount: BigInt(amount), shares: sharesOf("eve") }
      await purchase(billing, payments, table, sale)
      await refund(billing, payments, table, { purchase: id, id: "some", amount: BigInt(back) })
      await refund(billing, payments, table, { purchase: id, id: "rest" })
    }),
  ]
  // Each node from a place of its own, so that they meet.
  const from = Math.floor(Math.random() * units.length)
  const order = [...units.slice(from), ...units.slice(0, from)]
  writeSync(1, "ready\n")
  const lane = async (): Promise<void> => {
    for (let unit = order.shift(); unit !== undefined; unit = order.shift()) await unit()
  }
  await Promise.all([lane(), lane(), lane()])
}
