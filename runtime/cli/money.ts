/** `stele invoice pay|credit|cancel` and `stele payout`: commands that move money, or take back what was billed. */
import { BillingError } from "../../schemas/error/billing.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { quote } from "../../schemas/value/form.ts"
import { escapeText } from "../../host/port/log.ts"
import { cancelInvoice, creditInvoice, type CreditPart, type CreditValue } from "../billing/credit.ts"
import { decimal, decimalText, groupedText } from "../billing/decimal.ts"
import { invoiceNumbered, invoiceOf } from "../billing/invoice.ts"
import { chargeOf, payInvoice } from "../billing/payment.ts"
import { TestPayments } from "../billing/payment-test.ts"
import { digitsBy as digitsOf } from "../billing/convert/mod.ts"
import { payOut, payoutLimits, payoutsDue } from "../billing/payout.ts"
import type { PaymentPort } from "../port/payment.ts"
import { type BooksFlags, openBooks } from "./books.ts"
import { columns, printLine, table } from "./terminal.ts"

interface MoneyFlags extends BooksFlags {
  readonly dryRun: boolean
}
interface ProviderFlags extends MoneyFlags {
  readonly provider: string
}

/** What a command can pay by: a real one is given to `payInvoice` and `payOut` by whoever embeds them. */
function providerOf(name: string): PaymentPort {
  if (name === "test") return new TestPayments()
  throw new ConfigError("Option", {
    option: "--provider",
    expected: "test, which moves no money; others are embedded (PaymentPort of stele/billing)",
    actual: quote(name, 60),
  })
}

const money = (units: bigint, exponent: number, currency: string): string => `${groupedText(decimalText(decimal(units, exponent)))} ${currency}`

export async function pay({ dryRun, number, provider, ...flags }: ProviderFlags & { readonly number: string }): Promise<void> {
  const payments = providerOf(provider)
  await using books = await openBooks(flags, "there")
  const { invoice, state } = await invoiceNumbered(books.billing, number)
  const due = await chargeOf(books.billing, payments, invoice, state)
  const amount = decimalText(decimal(due, invoice.exponent))
  const shown = money(due, invoice.exponent, invoice.currency)
  if (dryRun) {
    const would = { invoice: invoice.number, amount, currency: invoice.currency, status: state.status, provider }
    if (flags.json) printLine(JSON.stringify({ wouldPay: would }))
    else
      printLine(
        due === 0n
          ? `Nothing is owed for ${invoice.number}: it is ${state.status}`
          : `Would charge ${shown} for ${invoice.number} by the provider "${provider}"`,
      )
    return
  }
  const { isNew } = await payInvoice(books.billing, payments, invoice.id)
  const after = (await invoiceOf(books.billing, invoice.id)).state.status
  if (flags.json)
    printLine(JSON.stringify({ invoice: invoice.number, amount: isNew ? amount : "0", currency: invoice.currency, status: after, provider, isNew }))
  else
    printLine(
      isNew
        ? `Charged ${shown} for ${invoice.number} by the provider "${provider}"${provider === "test" ? ", which moves no money" : ""}`
        : `${invoice.number} is ${after} already`,
    )
}

/** `2` is the rest of the second line, `2=5.00` so much of it. */
function partOf(text: string): CreditPart {
  const [, line = "", amount] = /^([1-9]\d{0,5})(?:=(\d+(?:\.\d{1,18})?))?$/.exec(text) ?? []
  if (line === "")
    throw new ConfigError("Option", { option: "--line", expected: "a line's number such as 2, or an amount of it such as 2=5.00", actual: quote(text, 60) })
  const place = Number(line) - 1
  return amount === undefined ? { line: place, what: "rest" } : { line: place, what: "amount", amount }
}

/** The rules count lines from 0, and people from 1. */
async function countedFromOne<A>(work: () => Promise<A>): Promise<A> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof BillingError) || error.reason._tag !== "Rules" || error.reason.kind !== "over-credited") throw error
    const detail = error.reason.detail.replace(/ of line (\d+)$/, (_, line: string) => ` of line ${Number(line) + 1}`)
    throw new BillingError("Rules", { ...error.reason, detail }, { cause: error })
  }
}

type Drawn = Omit<CreditValue, "number" | "series" | "issuedAt"> & Partial<Pick<CreditValue, "number">>

function printNote({ currency, invoiceNumber, lines, number, settled, total, wallet }: Drawn, flags: MoneyFlags): void {
  if (flags.json) {
    const note = {
      ...(number === undefined ? {} : { number }),
      invoice: invoiceNumber,
      total,
      settled,
      wallet,
      currency,
      lines: lines.map(({ line, ...rest }) => ({ line: line + 1, ...rest })),
    }
    return printLine(JSON.stringify(number === undefined ? { wouldCredit: note } : { credit: note }))
  }
  const where = [
    ...(Number(settled) === 0 ? [] : [`${groupedText(settled)} off what is owed`]),
    ...(Number(wallet) === 0 ? [] : [`${groupedText(wallet)} to the wallet`]),
  ]
  printLine(
    `${number === undefined ? "Would credit" : `Credited as ${number}:`} ${groupedText(total)} ${currency} of ${invoiceNumber}${where.length === 0 ? "" : `: ${where.join(", ")}`}`,
  )
}

export async function credit({
  as,
  line,
  number,
  reason,
  ...flags
}: MoneyFlags & { readonly number: string; readonly as: string; readonly reason: string; readonly line: ReadonlyArray<string> }): Promise<void> {
  const items = line.map(partOf)
  if (items.length === 0)
    throw new ConfigError("Usage", {
      detail: "Missing flag --line",
      advice: `stele invoice credit ${number} --line 1=5.00; stele invoice cancel ${number} credits all of it`,
    })
  await using books = await openBooks(flags, "there")
  const { invoice } = await invoiceNumbered(books.billing, number)
  const beyond = items.find(({ line: place }) => place >= invoice.lines.length)
  if (beyond !== undefined)
    throw new ConfigError("Option", { option: "--line", expected: `a line's number from 1 to ${invoice.lines.length}`, actual: String(beyond.line + 1) })
  const order = { id: as, invoice: invoice.id, reason, items }
  printNote(await countedFromOne(() => creditInvoice(books.billing, order, { isTried: flags.dryRun })), flags)
}

export async function cancel({ number, reason, ...flags }: MoneyFlags & { readonly number: string; readonly reason: string }): Promise<void> {
  await using books = await openBooks(flags, "there")
  const { invoice } = await invoiceNumbered(books.billing, number)
  printNote(await cancelInvoice(books.billing, invoice.id, reason, { isTried: flags.dryRun }), flags)
}

export async function payout({
  currency,
  dryRun,
  exponent: digits,
  provider,
  threshold = payoutLimits.threshold,
  ...flags
}: ProviderFlags & { readonly currency: string; readonly exponent: string | undefined; readonly threshold: string | undefined }): Promise<void> {
  const payments = providerOf(provider)
  const given = digits === undefined ? undefined : /^(?:\d|1[0-8])$/.test(digits) ? Number(digits) : -1
  if (given === -1) throw new ConfigError("Option", { option: "--exponent", expected: "digits after the point, 0 to 18", actual: quote(digits ?? "", 20) })
  if (!/^\d{1,18}(?:\.\d{1,18})?$/.test(threshold))
    throw new ConfigError("Option", { option: "--threshold", expected: "an amount such as 100.00", actual: quote(threshold, 40) })
  await using books = await openBooks(flags)
  const exponent = given ?? (await digitsOf(await books.billing.components.rulesOf(undefined, ""))(currency))
  if (exponent === undefined)
    throw new ConfigError("Option", {
      option: "--exponent",
      expected: "digits after the point of what is no currency of ISO 4217",
      actual: quote(currency, 20),
    })
  const terms = { currency, exponent, threshold }
  const found = dryRun ? await payoutsDue(books.billing, terms) : await payOut(books.billing, payments, terms)
  if (flags.json) {
    const all = found.map(({ amount, ...rest }) => ({ ...rest, amount: decimalText(decimal(amount, exponent)), currency }))
    return printLine(JSON.stringify({ [dryRun ? "wouldPayOut" : "paidOut"]: all, provider }))
  }
  if (found.length === 0) return printLine(`Nobody is owed ${threshold} ${escapeText(currency)} or more`)
  const rows = found.map(({ amount, creator, detail, status }) => [
    escapeText(creator),
    money(amount, exponent, currency),
    dryRun ? `would be paid${status === "asked" ? ", as begun before" : ""}` : status,
    escapeText(detail),
  ])
  for (const row of table([["creator", "amount", "what", ""], ...rows], columns(process.stdout), 0)) printLine(row)
}
