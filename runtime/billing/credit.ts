/** Credit notes: what is given back of an invoice, by the rules, with a number of its own. An invoice is cancelled by one over all of it. */
import { BillingError } from "../../schemas/error/billing.ts"
import type { CreditItem, CreditLine, Decimal, DocumentInput } from "../../schemas/wit/stele/billing.gen.ts"
import type { Operation } from "../port/store.ts"
import type { Billing } from "./billing.ts"
import { priceTable } from "./catalogue.ts"
import { coefficientOf, decimal, decimalText } from "./decimal.ts"
import { documentNumbered, nextNumber } from "./document-number.ts"
import { dueKey, minorUnits, transactionOf } from "./invoice.ts"
import { ledgerOperations } from "./ledger.ts"
import { decimalIn, documentForRules } from "./plain.ts"
import type { PriceTable } from "./price-table.ts"
import { asRead, type CreditValue, find, get, type InvoiceValue, kinds, put, remove, type Row, type StateValue } from "./record.ts"
import { isConflict } from "./rows.ts"
import { walletAccount } from "./wallet.ts"

export type { CreditValue }

/** How much of a line, by its place in the invoice, is given back. */
export type CreditPart =
  | { readonly line: number; readonly what: "rest" }
  | { readonly line: number; readonly what: "amount"; readonly amount: string }
  | { readonly line: number; readonly what: "quantity"; readonly quantity: string }
  /** Its time from this instant on. */
  | { readonly line: number; readonly what: "unused"; readonly from: bigint }

export interface CreditOrder {
  /** Of the invoice's credits; asked for again it is the same one. Letters, digits, dots, dashes and underscores. */
  readonly id: string
  readonly invoice: string
  readonly reason: string
  readonly items: ReadonlyArray<CreditPart>
}

/** A note over nothing would take a number. @throws BillingError `Input` */
function checkPart(part: CreditPart): void {
  const much = part.what === "amount" ? part.amount : part.what === "quantity" ? part.quantity : undefined
  if (much !== undefined && coefficientOf(decimalIn(much)) === 0n)
    throw new BillingError("Input", {
      what: "credit",
      detail: `nothing of line ${part.line + 1} is given back`,
      fix: "give more than 0 back of each line that is named",
    })
}

const itemOf = (part: CreditPart): CreditItem => {
  switch (part.what) {
    case "rest":
      return { line: part.line, what: { tag: "rest" } }
    case "amount":
      return { line: part.line, what: { tag: "amount", val: decimalIn(part.amount) } }
    case "quantity":
      return { line: part.line, what: { tag: "quantity", val: decimalIn(part.quantity) } }
    case "unused":
      return { line: part.line, what: { tag: "unused-from", val: part.from } }
  }
}

const lineForRules = ({ line, net, tax, title }: CreditValue["lines"][number]): CreditLine => ({ line, title, net: decimalIn(net), tax: decimalIn(tax) })
const plain = ({ line, net, tax, title }: CreditLine): CreditValue["lines"][number] => ({ line, title, net: decimalText(net), tax: decimalText(tax) })

const orderText = ({ items, reason }: Pick<CreditOrder, "items" | "reason">): string =>
  JSON.stringify([reason, items], (_, value: unknown) => (typeof value === "bigint" ? String(value) : value))

/** A note before it is issued. */
export type DrawnNote = Omit<CreditValue, "number" | "series" | "issuedAt">
export interface Tried {
  /** Answers what it would be, and writes nothing. */
  readonly isTried?: boolean
}

const idPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/** What of an invoice was credited. */
export const creditsOf = (billing: Billing, { credits }: StateValue): Promise<ReadonlyArray<CreditValue>> =>
  Promise.all(credits.map(async (id) => (await get(billing, kinds.credit, id)).value))

/**
 * Tax of a credit by its codes: a line's is split by the rates that it has, as the rules allocate. Where one is withheld and another is not, parts are larger than the whole, and nothing
 * is allocated: each is its rate of the net, and the last is what is left.
 */
async function taxesOf(table: PriceTable, { document, exponent }: InvoiceValue, lines: ReadonlyArray<CreditLine>): Promise<ReadonlyMap<string, bigint>> {
  const sums = new Map<string, bigint>()
  const add = (code: string, amount: bigint): void => void sums.set(code, (sums.get(code) ?? 0n) + amount)
  for (const { line, net, tax } of lines) {
    const amount = minorUnits(decimalText(tax), exponent)
    const taxes = (document.lines[line]?.taxes ?? []).flatMap((place) => {
      const one = document.taxes[place]
      return one === undefined || one.treatment !== "standard" ? [] : [one]
    })
    const [only, ...more] = taxes
    if (amount === 0n || only === undefined) continue
    if (more.length === 0) {
      add(only.code, amount)
      continue
    }
    if (taxes.some(({ rate }) => rate.startsWith("-")) && taxes.some(({ rate }) => !rate.startsWith("-"))) {
      const base = minorUnits(decimalText(net), exponent)
      let left = amount
      for (const [place, { code, rate }] of taxes.entries()) {
        const part = place === taxes.length - 1 ? left : percentOf(base, decimalIn(rate))
        add(code, part)
        left -= part
      }
      continue
    }
    const shares = taxes.map(({ code, rate }) => ({ weight: decimalIn(rate.replace(/^-/, "")), key: code }))
    const parts = await table.ask((catalogue) => table.rules.ask("[method]catalogue.allocate", [catalogue, tax, shares]))
    for (const { amount: part, part: place } of parts) add((taxes[place] as { readonly code: string }).code, minorUnits(decimalText(part), exponent))
  }
  return sums
}

/** Halves away from 0. */
function percentOf(base: bigint, rate: Decimal): bigint {
  const exact = base * coefficientOf(rate)
  const by = 10n ** BigInt(rate.scale + 2)
  const size = ((exact < 0n ? -exact : exact) + by / 2n) / by
  return exact < 0n ? -size : size
}

interface Read {
  readonly invoice: InvoiceValue
  readonly state: Row<StateValue>
}

async function read(billing: Billing, id: string): Promise<Read> {
  const [invoice, state] = await Promise.all([get(billing, kinds.invoice, id), get(billing, kinds.state, id)])
  return { invoice: invoice.value, state }
}

const sum = (values: ReadonlyArray<bigint>): bigint => values.reduce((all, one) => all + one, 0n)

const isOpen = ({ status }: StateValue): boolean => status === "issued" || status === "overdue"

/** What of an invoice is owed after its credits, in its currency's smallest units: nothing of one that is paid or cancelled. */
export function owedOf({ exponent, totals }: InvoiceValue, state: StateValue, credits: ReadonlyArray<CreditValue>): bigint {
  if (!isOpen(state)) return 0n
  const owed = minorUnits(totals.payable, exponent) - sum(credits.map(({ settled }) => minorUnits(settled, exponent)))
  return owed > 0n ? owed : 0n
}

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b)

/**
 * Where a credit goes: off what is owed, and of what was paid to the wallet. What rounding or a discount left of the invoice nobody has given, so it is not given
 * back: it is left of what is credited last, as is given back with it what rounding took. What lines below 0 gave was the buyer's: it paid the others, and comes back with them. A cancelled
 * invoice gives back what was given, whatever its lines add up to.
 */
function placed(
  { exponent, totals }: InvoiceValue,
  {
    credit,
    given,
    credited,
    isCancelled,
    owed,
    whole,
  }: {
    readonly credit: bigint
    /** By the notes before, as their lines add up. */
    readonly credited: bigint
    /** By the notes before. */
    readonly given: bigint
    readonly isCancelled: boolean
    readonly owed: bigint
    /** Of each line, what all of it would be. */
    readonly whole: ReadonlyArray<bigint>
  },
): { readonly settled: bigint; readonly wallet: bigint; readonly rest: readonly [account: string, amount: bigint] } {
  const units = (text: string): bigint => minorUnits(text, exponent)
  const taken = sum(totals.taken.flat().map(units))
  const paid = units(totals.payable) + taken
  const left = sum(whole) - paid
  const all = sum(whole.filter((amount) => amount > 0n))
  const most = all - left - given
  const isLast = credit > 0n && credited + credit === all
  const give = isCancelled ? paid - given : isLast ? most : left > 0n ? least(credit, most) : credit
  const settled = isCancelled ? owed : owed === 0n ? 0n : least(give, owed)
  const isRounding = units(totals.gross) === paid - units(totals.payableRounding)
  return { settled, wallet: give - settled, rest: [isRounding ? "rounding" : left > 0n ? "expense/discounts" : "revenue/sales", give - credit] }
}

/** What was booked of an invoice and not credited since. */
async function leftOf(
  table: PriceTable,
  invoice: InvoiceValue,
  credited: ReadonlyArray<CreditLine>,
): Promise<{ readonly net: bigint; readonly taxes: ReadonlyMap<string, bigint> }> {
  const { document, exponent, totals } = invoice
  const units = (text: string): bigint => minorUnits(text, exponent)
  const taxes = new Map<string, bigint>()
  const add = (code: string, amount: bigint): void => void taxes.set(code, (taxes.get(code) ?? 0n) + amount)
  for (const { amount, tax } of totals.taxes) add((document.taxes[tax] as { readonly code: string }).code, units(amount))
  for (const [code, amount] of await taxesOf(table, invoice, credited)) add(code, -amount)
  return { net: units(totals.net) - sum(credited.map((line) => units(decimalText(line.net)))), taxes }
}

const isBelow = ({ amount }: InvoiceValue["document"]["lines"][number]): boolean => amount.startsWith("-")

/** Lines below 0 as a document in which they are above it, and nothing else is: rules give back no less than nothing. Discounts and balances take nothing of them. */
function mirrored(document: DocumentInput): DocumentInput {
  const zero = decimal(0n, 0)
  const lines = document.lines.map((line) => {
    const amount = line.value.tag === "amount" ? line.value.val : zero
    const value = coefficientOf(amount) < 0n ? decimal(-coefficientOf(amount), amount.scale) : zero
    return { ...line, value: { tag: "amount" as const, val: value } }
  })
  return { ...document, lines, discounts: [], balances: [] }
}
const negated = ({ line, net, tax, title }: CreditLine): CreditLine => ({
  ...{ line, title },
  net: decimal(-coefficientOf(net), net.scale),
  tax: decimal(-coefficientOf(tax), tax.scale),
})

/** The note as it would be, and its bookings. */
async function drawNote(billing: Billing, { invoice, state }: Read, { id, items, reason }: CreditOrder, isCancelled: boolean) {
  const table = await priceTable(billing, invoice.catalogue.digest, invoice.account)
  const before = await creditsOf(billing, state.value)
  const credited = before.flatMap(({ lines }) => lines.map(lineForRules))
  const owed = owedOf(invoice, state.value, before)
  // Paid in money, by the wallet or by notes before: a price list may bound what is given back by it.
  const taken = sum(invoice.totals.taken.flat().map((text) => minorUnits(text, invoice.exponent)))
  const paid = minorUnits(invoice.totals.payable, invoice.exponent) + taken - owed
  const document = { ...documentForRules(invoice.document), paid: decimal(paid, invoice.exponent) }
  const credit = (of: DocumentInput, after: ReadonlyArray<CreditLine>, what: ReadonlyArray<CreditItem>): Promise<ReadonlyArray<CreditLine>> =>
    table.ask((catalogue) => table.rules.ask("[method]catalogue.credit", [catalogue, of, after, what]))
  const restOf = (isWanted: (line: InvoiceValue["document"]["lines"][number]) => boolean): ReadonlyArray<CreditItem> =>
    invoice.document.lines.flatMap((one, line) => (isWanted(one) ? [{ line, what: { tag: "rest" } } as const] : []))
  const isAbove = (one: InvoiceValue["document"]["lines"][number]): boolean => !isBelow(one)
  const whole = await credit(document, [], restOf(isAbove))
  const below = restOf(isBelow)
  const takenBack = below.length === 0 ? [] : (await credit(mirrored(document), [], below)).map(negated)
  const lines = isCancelled
    ? [...(await credit(document, credited, restOf(isAbove))), ...takenBack].toSorted((a, b) => a.line - b.line)
    : await credit(document, credited, items.map(itemOf))
  const units = (text: string): bigint => minorUnits(text, invoice.exponent)
  const text = (amount: bigint): string => decimalText(decimal(amount, invoice.exponent))
  // What is cancelled takes back all that was booked, however its lines round.
  const { net, taxes } = isCancelled
    ? await leftOf(table, invoice, credited)
    : { net: sum(lines.map((line) => units(decimalText(line.net)))), taxes: await taxesOf(table, invoice, lines) }
  const tax = sum([...taxes.values()])
  const { rest, settled, wallet } = placed(invoice, {
    credit: net + tax,
    credited: sum(before.map((note) => units(note.total))),
    given: sum(before.map((note) => units(note.settled) + units(note.wallet))),
    isCancelled,
    owed,
    whole: [...whole, ...takenBack].map((line) => units(decimalText(line.net)) + units(decimalText(line.tax))),
  })
  return {
    /** Nothing is owed any more. */
    isSettled: isOpen(state.value) && settled === owed,
    note: {
      id: `${invoice.id}:${id}`,
      entity: billing.entity,
      account: invoice.account.id,
      invoice: invoice.id,
      invoiceNumber: invoice.number,
      currency: invoice.currency,
      reason,
      order: orderText({ items, reason }),
      lines: lines.map(plain),
      net: text(net),
      tax: text(tax),
      total: text(net + tax),
      settled: text(settled),
      wallet: text(wallet),
      rules: table.rules.plugin.digest,
    },
    postings: [
      ["revenue/sales", net],
      ...[...taxes].map(([code, amount]): readonly [string, bigint] => [`tax/${code}`, amount]),
      [`receivable/${invoice.account.id}`, -settled],
      [walletAccount(invoice.account.id), -wallet],
      rest,
    ] as ReadonlyArray<readonly [string, bigint]>,
  }
}

/**
 * Issues a credit note. What it gives back comes off what is owed for the invoice, and of what was paid goes to the account's wallet; an invoice of which nothing is owed any more is paid.
 * @throws BillingError `Unknown`, `Input`, `State` for a cancelled invoice, `Rules` (`over-credited`, `off-minor-unit`, …), `Taken` for an id with another content, `Contended`
 */
export function creditInvoice(billing: Billing, order: CreditOrder): Promise<CreditValue>
export function creditInvoice(billing: Billing, order: CreditOrder, tried: Tried): Promise<CreditValue | DrawnNote>
export function creditInvoice(billing: Billing, order: CreditOrder, { isTried = false }: Tried = {}): Promise<CreditValue | DrawnNote> {
  return credit(billing, order, undefined, isTried)
}

/**
 * Cancels an invoice that is not paid: all that is left of it is credited.
 * @throws as `creditInvoice`; BillingError `State` where it is paid or cancelled
 */
export async function cancelInvoice(billing: Billing, id: string, reason: string): Promise<CreditValue>
export async function cancelInvoice(billing: Billing, id: string, reason: string, tried: Tried): Promise<CreditValue | DrawnNote>
export async function cancelInvoice(billing: Billing, id: string, reason: string, { isTried = false }: Tried = {}): Promise<CreditValue | DrawnNote> {
  const { invoice } = await read(billing, id)
  const items = invoice.lines.map((_, line) => ({ line, what: "rest" }) as const)
  return credit(billing, { id: "cancelled", invoice: id, reason, items }, "cancelled", isTried)
}

async function credit(billing: Billing, order: CreditOrder, becomes: "cancelled" | undefined, isTried: boolean): Promise<CreditValue | DrawnNote> {
  if (!idPattern.test(order.id)) throw new BillingError("Input", { what: "credit", detail: "its id is 1 to 64 letters, digits, dots, dashes and underscores" })
  for (const part of order.items) checkPart(part)
  const id = `${order.invoice}:${order.id}`
  for (let attempts = 0; attempts < billing.limits.attempts; attempts++) {
    const found = await read(billing, order.invoice)
    const { invoice, state } = found
    const there = await find(billing, kinds.credit, id)
    if (there !== undefined) {
      if (there.value.order === orderText(order)) return there.value
      throw new BillingError("Taken", { what: "credit", id, detail: "there is one of this id with another content" })
    }
    const { status } = state.value
    if (status === "cancelled" || (becomes === "cancelled" && status === "paid"))
      throw new BillingError("State", { invoice: invoice.id, status, wanted: becomes ?? "credited" })
    const drawn = await drawNote(billing, found, order, becomes === "cancelled")
    if (isTried) return drawn.note
    const issuedAt = await billing.now()
    const series = `CN-${invoice.series}`
    const numbering = await nextNumber(billing, series)
    const note: CreditValue = { ...drawn.note, number: numbering.number, series, issuedAt }
    const transaction = transactionOf({
      id: `credit/${id}`,
      at: issuedAt,
      memo: `Credit note ${note.number} of invoice ${invoice.number}`,
      reference: { kind: "credit-note", id },
      currency: invoice.currency,
      postings: drawn.postings,
    })
    const operations: ReadonlyArray<Operation> = [
      ...numbering.operations(id),
      asRead(billing, kinds.state, invoice.id, state),
      put(billing, kinds.state, invoice.id, {
        status: becomes ?? (drawn.isSettled ? "paid" : status),
        at: becomes !== undefined || drawn.isSettled ? issuedAt : state.value.at,
        credits: [...state.value.credits, id],
      }),
      asRead(billing, kinds.credit, id, undefined),
      put(billing, kinds.credit, id, note),
      ...(becomes !== undefined || drawn.isSettled ? [remove(billing, dueKey(invoice))] : []),
      ...(transaction === undefined ? [] : ledgerOperations(billing.entity, transaction)),
    ]
    try {
      await billing.store.apply(operations)
      return note
    } catch (error) {
      if (!isConflict(error)) throw error
    }
  }
  throw new BillingError("Contended", { what: `the credit "${id}"`, attempts: billing.limits.attempts })
}

/** Credit notes of an invoice, in the order of their issue. @throws BillingError `Unknown` */
export const creditNotes = async (billing: Billing, invoice: string): Promise<ReadonlyArray<CreditValue>> =>
  creditsOf(billing, (await read(billing, invoice)).state.value)

/** A credit note by its number, or its id; undefined where there is none. */
export async function findCreditNote(billing: Billing, number: string): Promise<CreditValue | undefined> {
  const [, series, n] = /^(CN-.+)-(\d{6,12})$/.exec(number) ?? []
  const id = series === undefined ? number : await documentNumbered(billing, series, Number(n))
  return id === undefined || !id.includes(":") ? undefined : (await find(billing, kinds.credit, id))?.value
}
