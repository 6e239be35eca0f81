/**
 * Having an invoice paid, once. What is asked for is written down before the provider is asked, with the key: whoever comes next, after whatever crash, asks for the same under the
 * same key. What came of it is one batch with the invoice's state and the ledger.
 */
import { BillingError } from "../../schemas/error/billing.ts"
import type { PaymentPort } from "../port/payment.ts"
import type { Billing } from "./billing.ts"
import { creditsOf, owedOf } from "./credit.ts"
import { paidOperations, transactionOf } from "./invoice.ts"
import { book, type Transaction } from "./ledger.ts"
import { askProvider, checkProvider } from "./provider.ts"
import { asRead, find, get, type InvoiceValue, kinds, put, type Row, type StateValue, type Value } from "./record.ts"
import { isConflict } from "./rows.ts"
import { walletAccount } from "./wallet.ts"

type PaymentValue = Value<typeof kinds.payment>

/** What is left to pay of an invoice after its credit notes. */
export const dueOf = async (billing: Billing, invoice: InvoiceValue, state: StateValue): Promise<bigint> =>
  owedOf(invoice, state, await creditsOf(billing, state))

/**
 * What `payInvoice` would charge now: what is due, or what an attempt that nobody knows the end of was begun with.
 * @throws BillingError `OtherProvider` where that was asked of another
 */
export async function chargeOf(billing: Billing, payments: Pick<PaymentPort, "name">, invoice: InvoiceValue, state: StateValue): Promise<bigint> {
  const open = (await find(billing, kinds.payment, invoice.id))?.value
  if (open?.status !== "asked") return dueOf(billing, invoice, state)
  checkProvider("invoice", invoice.id, payments, open)
  return open.amount
}

const keyOf = (billing: Billing, { attempt, invoice }: PaymentValue): string => `${billing.entity}/invoice/${invoice}/${attempt}`

/** The attempt that is to be made, or goes on; undefined where nothing is to be paid. */
async function asked(billing: Billing, { name }: PaymentPort, invoice: InvoiceValue): Promise<Row<PaymentValue> | undefined> {
  for (;;) {
    const [known, state] = await Promise.all([find(billing, kinds.payment, invoice.id), get(billing, kinds.state, invoice.id)])
    if (known?.value.status === "asked") return known
    if (state.value.status === "paid") return undefined
    if (state.value.status === "cancelled") throw new BillingError("State", { invoice: invoice.id, status: "cancelled", wanted: "paid" })
    const amount = await dueOf(billing, invoice, state.value)
    const payment: PaymentValue = {
      ...{ invoice: invoice.id, attempt: (known?.value.attempt ?? 0) + 1, amount, currency: invoice.currency, at: await billing.now() },
      ...{ status: "asked", answer: "", provider: name },
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
 * @throws BillingError `Declined`, after which the next call is a new attempt; `Unconfirmed`, to be called again; `OtherProvider` where another was asked and has not
 * answered; `State` for one that is cancelled; `Unknown`
 */
export async function payInvoice(billing: Billing, payments: PaymentPort, id: string): Promise<Paid> {
  const invoice = (await get(billing, kinds.invoice, id)).value
  const { number, account } = invoice
  for (;;) {
    const row = await asked(billing, payments, invoice)
    if (row === undefined) return { invoice: id, isNew: false }
    checkProvider("invoice", id, payments, row.value)
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
      const state = await get(billing, kinds.state, id)
      // Read after the state: one that another node has finished is not taken for one that was paid otherwise.
      if ((await find(billing, kinds.payment, id))?.version !== row.version) continue
      const due = await dueOf(billing, invoice, state.value)
      const settled = due < amount ? due : amount
      const transaction = transactionOf({
        ...{ id: `payment/${id}/${attempt}`, at, memo, reference: { kind: "payment", id }, currency },
        postings: [
          [`cash/${payments.name}`, amount],
          [`receivable/${account.id}`, -settled],
          // What was paid, cancelled or credited meanwhile is not owed: the money is the customer's.
          [walletAccount(account.id), settled - amount],
        ],
      }) as Transaction
      const beside = [before, asRead(billing, kinds.state, id, state), closed]
      const { isNew } = await book(billing, transaction, [...beside, ...(due > 0n ? await paidOperations(billing, id, await billing.now()) : [])])
      return { invoice: id, isNew }
    } catch (error) {
      // Another node was faster, or the invoice's state has changed: what is there now says what is left to do.
      const tag = error instanceof BillingError ? error.reason._tag : undefined
      const isMoved =
        isConflict(error) || tag === "State" || (tag === "TransactionConflict" && (await find(billing, kinds.payment, id))?.version !== row.version)
      if (!isMoved) throw error
    }
  }
}
