/**
 * Having an invoice paid, once. What is asked for is written down before the provider is asked, with the key: whoever comes next, after whatever crash, asks for the same under the
 * same key. What came of it is one batch with the invoice's state and the ledger.
 */
import { BillingError } from "../../schemas/error/billing.ts"
import type { PaymentPort } from "../port/payment.ts"
import type { Billing } from "./billing.ts"
import { minorUnits, paidOperations } from "./invoice.ts"
import { book, type Transaction } from "./ledger.ts"
import { askProvider } from "./provider.ts"
import { asRead, find, get, type InvoiceValue, kinds, put, type Row, type Value } from "./record.ts"
import { isConflict } from "./rows.ts"

type PaymentValue = Value<typeof kinds.payment>

/** What is left to pay of an invoice after its credit notes. */
async function dueOf(billing: Billing, { exponent, id, totals }: InvoiceValue): Promise<bigint> {
  let due = minorUnits(totals.payable, exponent)
  const { credits } = (await get(billing, kinds.state, id)).value
  for (const credit of credits)
    for (const { net, tax } of (await get(billing, kinds.credit, credit)).value.lines) due -= minorUnits(net, exponent) + minorUnits(tax, exponent)
  return due
}

const keyOf = (billing: Billing, { attempt, invoice }: PaymentValue): string => `${billing.entity}/invoice/${invoice}/${attempt}`

/** The attempt that is to be made, or goes on; undefined where nothing is to be paid. */
async function asked(billing: Billing, invoice: InvoiceValue): Promise<Row<PaymentValue> | undefined> {
  for (;;) {
    const [known, state] = await Promise.all([find(billing, kinds.payment, invoice.id), get(billing, kinds.state, invoice.id)])
    if (known?.value.status === "asked") return known
    if (state.value.status === "paid") return undefined
    if (state.value.status === "cancelled") throw new BillingError("State", { invoice: invoice.id, status: "cancelled", wanted: "paid" })
    const amount = await dueOf(billing, invoice)
    const payment: PaymentValue = {
      ...{ invoice: invoice.id, attempt: (known?.value.attempt ?? 0) + 1, amount, currency: invoice.currency, at: await billing.now() },
      ...{ status: "asked", answer: "" },
    }
    try {
      const operations = [
        asRead(billing, kinds.payment, invoice.id, known),
        asRead(billing, kinds.state, invoice.id, state),
        put(billing, kinds.payment, invoice.id, payment),
      ] as const
      const answers = await billing.store.apply(operations)
      return { value: payment, version: answers[2] as unknown as number }
    } catch (error) {
      if (!isConflict(error)) throw error
    }
  }
}

/** `isNew` is false where it was paid before. */
export interface Paid {
  readonly invoice: string
  readonly isNew: boolean
}

/**
 * Charges what is due of an invoice and makes it paid. Called again, on whatever node, after a crash or a lost answer, it goes on where it was: nothing is charged twice.
 * @throws BillingError `Declined`, after which the next call is a new attempt; `Unconfirmed`, to be called again; `State` for one that is cancelled; `Unknown`
 */
export async function payInvoice(billing: Billing, payments: PaymentPort, id: string): Promise<Paid> {
  const invoice = (await get(billing, kinds.invoice, id)).value
  const { number, account } = invoice
  for (;;) {
    const row = await asked(billing, invoice)
    if (row === undefined) return { invoice: id, isNew: false }
    const { amount, attempt, at, currency } = row.value
    const memo = `Invoice ${number}`
    const answer = await askProvider("invoice", id, () =>
      payments.charge({ account: account.id, amount, currency, idempotencyKey: keyOf(billing, row.value), memo }),
    )
    const isDone = answer.outcome === "done"
    const closed = put(billing, kinds.payment, id, { ...row.value, status: answer.outcome, answer: isDone ? answer.id : answer.detail })
    const before = asRead(billing, kinds.payment, id, row)
    try {
      if (!isDone) {
        await billing.store.apply([before, closed])
        throw new BillingError("Declined", { what: "invoice", id, detail: answer.detail })
      }
      const { status } = (await get(billing, kinds.state, id)).value
      // Read after the state: one that another node has finished is not taken for one that was paid otherwise.
      if ((await find(billing, kinds.payment, id))?.version !== row.version) continue
      const isOpen = status === "issued" || status === "overdue"
      const transaction: Transaction = {
        ...{ id: `payment/${id}/${attempt}`, at, memo, reference: { kind: "payment", id } },
        postings: [
          { account: `cash/${payments.name}`, currency, amount },
          // What was paid or cancelled meanwhile owes nothing: the money is the customer's.
          { account: isOpen ? `receivable/${account.id}` : `wallet/${account.id}`, currency, amount: -amount },
        ],
      }
      const { isNew } = await book(billing, transaction, [before, closed, ...(isOpen ? await paidOperations(billing, id, await billing.now()) : [])])
      return { invoice: id, isNew }
    } catch (error) {
      // Another node was faster, or the invoice's state has changed: what is there now says what is left to do.
      const isMoved = isConflict(error) || (error instanceof BillingError && error.reason._tag === "State")
      if (!isMoved) throw error
    }
  }
}
