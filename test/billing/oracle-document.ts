/** The oracle's documents: lines → totals, and what of them is given back, as "Documents" of `schemas/billing/README.md` has them. */
import type { Catalogue } from "../../schemas/billing/catalogue.ts"
import * as F from "./fraction.ts"
import type { Fraction, RoundingMode } from "./fraction.ts"
import { exponentOf, round, roundingOf } from "./oracle.ts"
import { refuse } from "./oracle-problem.ts"
import type { Span } from "./oracle-time.ts"

export type ChangeValue = { readonly amount: Fraction } | { readonly percent: Fraction } | { readonly percent: Fraction; readonly of: Fraction }

/** An allowance, a charge or a discount. */
export interface DocumentChange {
  readonly isCharge: boolean
  readonly value: ChangeValue
  /** Lines of a discount; all where empty. */
  readonly lines: readonly number[]
  /** Taxes of a document's allowance or charge. */
  readonly taxes: readonly number[]
}

export interface DocumentLine {
  readonly value: { readonly amount: Fraction } | { readonly quantity: Fraction; readonly price: Fraction; readonly per: Fraction }
  readonly currency?: string
  readonly adjustments: readonly DocumentChange[]
  readonly taxes: readonly number[]
  readonly span?: Span
}

export interface Document {
  readonly currency: string
  readonly lines: readonly DocumentLine[]
  readonly discounts: readonly DocumentChange[]
  readonly adjustments: readonly DocumentChange[]
  readonly taxes: ReadonlyArray<{
    readonly rate: Fraction
    readonly treatment: "standard" | "zero-rated" | "exempt" | "reverse-charge"
    readonly neverIncluded: boolean
  }>
  readonly rates: ReadonlyArray<{ readonly source: string; readonly value: Fraction }>
  readonly balances: ReadonlyArray<{ readonly amount: Fraction; readonly lines: readonly number[] }>
  readonly paid: Fraction
  readonly rounding: Fraction
}

export interface Totals {
  readonly lines: readonly Fraction[]
  readonly discount: Fraction
  readonly allowances: Fraction
  readonly charges: Fraction
  readonly net: Fraction
  readonly taxes: ReadonlyArray<{ readonly base: Fraction; readonly amount: Fraction }>
  readonly tax: Fraction
  readonly gross: Fraction
  readonly taken: ReadonlyArray<readonly Fraction[]>
  readonly left: readonly Fraction[]
  readonly payableRounding: Fraction
  readonly payable: Fraction
}

type Policies = NonNullable<Catalogue["policies"]>
const hundred = F.whole(100)
const atLeast0 = (a: Fraction): Fraction => F.greater(a, F.zero)

/** What documents of one catalogue and currency round by. */
class Books {
  readonly policies: Policies
  readonly step: Fraction
  readonly mode: RoundingMode
  constructor(catalogue: Catalogue, currency: string) {
    this.policies = catalogue.policies ?? {}
    const own = roundingOf(catalogue)
    this.mode = own.mode
    this.step = currency === catalogue.currency ? own.step : F.fraction(1n, 10n ** BigInt(exponentOf({ ...catalogue, currency, units: {} })))
  }
  round = (amount: Fraction): Fraction => round(amount, { step: this.step, mode: this.mode, keeps: this.policies["rounding.nil"] === "never" })
  roundTax = (amount: Fraction): Fraction =>
    round(amount, { step: this.step, mode: this.policies["tax.roundingMode"] ?? this.mode, keeps: this.policies["rounding.nil"] === "never" })
}

const changeOf = (value: ChangeValue, base: Fraction): Fraction =>
  "amount" in value ? value.amount : F.over(F.times("of" in value ? value.of : base, value.percent), hundred)

/** Rates that are due, as shares of one. */
const ratesOf = ({ taxes }: Document): Fraction[] => taxes.map(({ rate, treatment }) => (treatment === "standard" ? F.over(rate, hundred) : F.zero))

/** Lines after their own allowances and charges. */
function linesOf(books: Books, document: Document): Fraction[] {
  const rates = ratesOf(document)
  return document.lines.map(({ value, currency = "", adjustments, taxes }) => {
    for (const tax of taxes) if (rates[tax] === undefined) refuse("unknown-tax", `${tax}`)
    let amount: Fraction
    if ("amount" in value) amount = value.amount
    else {
      if (!F.isPositive(value.per)) refuse("malformed", "per")
      let price = F.over(value.price, value.per)
      if (books.policies["tax.prices"] === "inclusive" && books.policies["tax.inclusiveRounds"] === "unit") {
        const scale = BigInt(books.policies["tax.unitScale"] ?? "4")
        price = F.rounded(F.over(price, F.plus(F.one, includedIn(document, rates, taxes))), F.fraction(1n, 10n ** scale), books.mode)
      }
      amount = F.times(value.quantity, price)
    }
    if (currency !== "" && currency !== document.currency) {
      const rate = document.rates.find(({ source }) => source === currency) ?? refuse("unknown-currency", currency)
      amount = F.times(amount, rate.value)
    }
    const changed = F.plus(amount, F.total(adjustments.map(({ value: by, isCharge }) => (isCharge ? changeOf(by, amount) : F.negated(changeOf(by, amount))))))
    return books.policies["line.rounding"] === "none" ? changed : books.round(changed)
  })
}

const includedIn = ({ taxes }: Document, rates: readonly Fraction[], of: readonly number[]): Fraction =>
  F.total(of.filter((tax) => taxes[tax]?.neverIncluded === false).map((tax) => rates[tax] as Fraction))

/** Takes discounts off lines, and says how much they took. */
function discounted(books: Books, discounts: readonly DocumentChange[], lines: readonly Fraction[]): { readonly left: Fraction[]; readonly taken: Fraction } {
  const order = books.policies["discounts.order"] ?? "given"
  const isAmount = ({ value }: DocumentChange) => "amount" in value
  const sorted =
    order === "given"
      ? discounts
      : [...discounts.filter((one) => isAmount(one) === (order === "amountFirst")), ...discounts.filter((one) => isAmount(one) !== (order === "amountFirst"))]
  let left = [...lines]
  let taken = F.zero
  for (const { value, lines: named } of sorted) {
    const isOf = (line: number) => named.length === 0 || named.includes(line)
    const sumOf = (amounts: readonly Fraction[]) => F.total(amounts.filter((amount, i) => isOf(i) && F.isPositive(amount)))
    const sum = sumOf(left)
    let amount = changeOf(value, books.policies["discounts.stacking"] === "additive" ? sumOf(lines) : sum)
    if (F.isNegative(amount)) refuse("malformed", "a discount below 0")
    if (books.policies["discounts.rounding"] === "currency") amount = books.round(amount)
    amount = F.smaller(amount, sum)
    taken = F.plus(taken, amount)
    if (F.isPositive(sum)) left = left.map((one, i) => (isOf(i) && F.isPositive(one) ? F.minus(one, F.over(F.times(amount, one), sum)) : one))
  }
  return { left, taken }
}

interface Taxed {
  readonly net: Fraction
  readonly taxes: ReadonlyArray<{ readonly base: Fraction; readonly amount: Fraction }>
  readonly tax: Fraction
  readonly gross: Fraction
  readonly allowances: Fraction
  readonly charges: Fraction
  /** What restores the sum of prices that included taxes. */
  readonly restored: Fraction
}

/** The sum is rounded once; single ones are rounded, and the last that is something has the rest. */
function settled(books: Books, exact: readonly Fraction[]): { readonly tax: Fraction; readonly amounts: Fraction[] } {
  const tax = books.roundTax(F.total(exact))
  const amounts = exact.map((one) => books.round(one))
  const last = exact.findLastIndex(({ n }) => n !== 0n)
  if (last >= 0) amounts[last] = F.plus(amounts[last] as Fraction, F.minus(tax, F.total(amounts)))
  return { tax, amounts }
}

/** Taxes on nets. */
function onTop(books: Books, document: Document, nets: readonly Fraction[]): Taxed {
  const { policies } = books
  const rates = ratesOf(document)
  const sum = F.total(nets)
  const changes = document.adjustments.map(({ value, isCharge, taxes }) => {
    for (const tax of taxes) if (rates[tax] === undefined) refuse("unknown-tax", `${tax}`)
    const amount = books.round(changeOf(value, sum))
    return { amount, isCharge, taxes, signed: isCharge ? amount : F.negated(amount) }
  })
  const exactNet = F.plus(sum, F.total(changes.map(({ signed }) => signed)))
  const parts = [...nets.map((signed, i) => ({ signed, taxes: document.lines[i]?.taxes ?? [] })), ...changes]
  // A tax that a line names twice counts twice.
  const times = (taxes: readonly number[], tax: number) => taxes.filter((one) => one === tax).length
  const bases = rates.map((_, tax) => F.total(parts.map(({ signed, taxes }) => F.times(signed, F.whole(times(taxes, tax))))))
  const exact = bases.map((base, tax) => F.times(base, rates[tax] as Fraction))
  const point = policies["tax.roundingPoint"] ?? "rate"
  const ofLines = (tax: number): Fraction => {
    const rate = rates[tax] as Fraction
    const lines = nets.map((net, i) => {
      const { taxes, value } = document.lines[i] as DocumentLine
      if (!taxes.includes(tax)) return F.zero
      if (point !== "unit" || "amount" in value || value.quantity.n === 0n) return books.roundTax(F.times(net, rate))
      return F.times(books.roundTax(F.times(F.over(net, value.quantity), rate)), value.quantity)
    })
    const others = changes.map(({ amount, isCharge, taxes }) => {
      if (!taxes.includes(tax)) return F.zero
      const own = books.roundTax(F.times(amount, rate))
      return isCharge ? own : F.negated(own)
    })
    return F.total([...lines, ...others])
  }
  const whole = point === "document" ? settled(books, exact) : undefined
  const amounts = whole?.amounts ?? exact.map((one, tax) => (point === "rate" ? books.roundTax(one) : ofLines(tax)))
  const tax = whole?.tax ?? F.total(amounts)
  const net = books.round(exactNet)
  const gross = policies["total.rounding"] === "exact" ? books.round(F.plus(exactNet, F.total(exact))) : F.plus(net, tax)
  return {
    net,
    taxes: bases.map((base, i) => ({ base, amount: amounts[i] as Fraction })),
    tax,
    gross,
    allowances: F.total(changes.filter(({ isCharge }) => !isCharge).map(({ amount }) => amount)),
    charges: F.total(changes.filter(({ isCharge }) => isCharge).map(({ amount }) => amount)),
    restored: F.zero,
  }
}

/** Taxes out of prices. */
function within(books: Books, document: Document, prices: readonly Fraction[]): Taxed {
  const { policies } = books
  const rates = ratesOf(document)
  const rule = policies["tax.inclusiveRounds"] ?? "net"
  if (document.adjustments.length > 0) refuse("unsupported", "adjustments")
  const nets = prices.map((price, i) => F.over(price, F.plus(F.one, includedIn(document, rates, document.lines[i]?.taxes ?? []))))
  const isNever = (tax: number) => document.taxes[tax]?.neverIncluded === true
  const sum = F.total(prices)
  if (rule === "lineNet") {
    const taxed = onTop(books, document, nets.map(books.round))
    const never = F.total(taxed.taxes.map(({ amount }, tax) => (isNever(tax) ? amount : F.zero)))
    return { ...taxed, restored: F.minus(F.plus(sum, never), taxed.gross) }
  }
  const isOnce = policies["tax.roundingPoint"] === "document"
  const groups = new Map<string, number[]>()
  for (const [i, { taxes }] of document.lines.entries()) groups.set(taxes.join(), [...(groups.get(taxes.join()) ?? []), i])
  const bases = rates.map(() => F.zero)
  let amounts = rates.map(() => F.zero)
  let net = F.zero
  let tax = F.zero
  let paid = F.zero
  for (const lines of groups.values()) {
    const { taxes } = document.lines[lines[0] as number] as DocumentLine
    const whole = books.round(F.total(lines.map((i) => prices[i] as Fraction)))
    const exact = F.over(whole, F.plus(F.one, includedIn(document, rates, taxes)))
    paid = F.plus(paid, whole)
    const own = isOnce ? exact : rule === "tax" ? F.minus(whole, books.roundTax(F.minus(whole, exact))) : books.round(exact)
    net = F.plus(net, own)
    tax = F.plus(tax, F.minus(whole, own))
    let rest = F.minus(whole, own)
    for (const one of taxes) {
      bases[one] = F.plus(bases[one] as Fraction, own)
      if (isNever(one)) continue
      const part = F.times(own, rates[one] as Fraction)
      const shown = isOnce ? part : books.round(part)
      amounts[one] = F.plus(amounts[one] as Fraction, shown)
      rest = F.minus(rest, shown)
    }
    const last = taxes.findLast((one) => !isNever(one))
    if (last !== undefined) amounts[last] = F.plus(amounts[last] as Fraction, rest)
  }
  if (isOnce) {
    const whole = settled(books, amounts)
    amounts = whole.amounts
    tax = whole.tax
    net = F.minus(paid, tax)
  }
  net = books.round(net)
  for (const [one, { neverIncluded }] of document.taxes.entries()) {
    if (!neverIncluded) continue
    amounts[one] = books.roundTax(F.times(bases[one] as Fraction, rates[one] as Fraction))
    tax = F.plus(tax, amounts[one])
  }
  const taxes = bases.map((base, i) => ({ base, amount: amounts[i] as Fraction }))
  return { net, taxes, tax, gross: F.plus(net, tax), allowances: F.zero, charges: F.zero, restored: F.zero }
}

export function assembled(catalogue: Catalogue, document: Document): Totals {
  const books = new Books(catalogue, document.currency)
  const { policies } = books
  const lines = linesOf(books, document)
  const isAfterTax = policies["discounts.base"] === "afterTax"
  for (const { lines: named } of document.discounts) for (const line of named) if (lines[line] === undefined) refuse("malformed", `line ${line}`)
  let { left, taken: discount } = isAfterTax ? { left: [...lines], taken: F.zero } : discounted(books, document.discounts, lines)
  const taken: Fraction[][] = []
  const rests: Fraction[] = []
  const isBefore = policies["credits.base"] === "beforeTax"
  const use = (amount: Fraction, parts: (rest: Fraction) => { readonly used: Fraction[]; readonly rest: Fraction }) => {
    if (F.isNegative(amount)) refuse("malformed", "a balance below 0")
    const { used, rest } = parts(amount)
    if (policies["credits.unused"] === "error" && F.isPositive(rest)) refuse("conflict", "a credit would be left")
    taken.push(used)
    rests.push(rest)
  }
  if (isBefore) {
    for (const { amount, lines: named } of document.balances) {
      use(amount, (balance) => {
        let rest = balance
        const used = left.map((one, i) => {
          const part = named.length === 0 || named.includes(i) ? F.smaller(rest, atLeast0(one)) : F.zero
          rest = F.minus(rest, part)
          return part
        })
        left = left.map((one, i) => F.minus(one, used[i] as Fraction))
        return { used, rest }
      })
    }
  }
  const isGross = policies["tax.prices"] === "inclusive" && policies["tax.inclusiveRounds"] !== "unit"
  const taxed = isGross ? within(books, document, left) : onTop(books, document, left)
  let due = taxed.gross
  if (isAfterTax) {
    discount = discounted(
      books,
      document.discounts.map((one) => ({ ...one, lines: [] })),
      [due],
    ).taken
    due = F.minus(due, books.round(discount))
  }
  if (!isBefore) {
    for (const { amount } of document.balances) {
      use(amount, (balance) => {
        const part = F.smaller(balance, atLeast0(due))
        due = F.minus(due, part)
        return { used: [part], rest: F.minus(balance, part) }
      })
    }
  }
  due = F.plus(F.minus(F.plus(due, taxed.restored), document.paid), document.rounding)
  const increment = policies["payable.increment"]
  const payable = increment === undefined ? due : F.rounded(due, F.read(increment), policies["payable.mode"] ?? books.mode)
  const { restored, ...totals } = taxed
  const payableRounding = F.total([F.minus(payable, due), restored, document.rounding])
  return { ...totals, lines, discount: books.round(discount), taken, left: rests, payable, payableRounding }
}

export interface Credited {
  readonly line: number
  readonly net: Fraction
  readonly tax: Fraction
}
export interface CreditItem {
  readonly line: number
  readonly what: "rest" | { readonly amount: Fraction } | { readonly quantity: Fraction } | { readonly unusedFrom: bigint }
}

/** What is given back of a document after what was before. */
export function credited(catalogue: Catalogue, document: Document, before: readonly Credited[], items: readonly CreditItem[]): Credited[] {
  const books = new Books(catalogue, document.currency)
  const isGross = books.policies["tax.prices"] === "inclusive" && books.policies["tax.inclusiveRounds"] !== "unit"
  const rates = ratesOf(document)
  const all = discounted(books, document.discounts, linesOf(books, document)).left.map(books.round)
  const lines = all.map((whole, i) => {
    const { taxes } = document.lines[i] as DocumentLine
    if (isGross && taxes.some((tax) => document.taxes[tax]?.neverIncluded)) refuse("unsupported", "a tax that is never included")
    const rate = F.total(taxes.map((tax) => rates[tax] as Fraction))
    const net = isGross ? books.round(F.over(whole, F.plus(F.one, rate))) : whole
    const tax = isGross ? F.minus(whole, net) : books.round(F.times(net, rate))
    const earlier = before.filter(({ line }) => line === i)
    const [nets, taxed] = [F.total(earlier.map((one) => one.net)), F.total(earlier.map((one) => one.tax))]
    return { whole, rate, left: F.minus(whole, isGross ? F.plus(nets, taxed) : nets), net: F.minus(net, nets), tax: F.minus(tax, taxed) }
  })
  const cuts = books.policies["creditNote.excess"] === "cut"
  let returned = F.total(before.flatMap(({ net, tax }) => [net, tax]))
  return items.map(({ line, what }) => {
    const own = lines[line] ?? refuse("malformed", `line ${line}`)
    const { value, span } = document.lines[line] as DocumentLine
    let given = own.left
    if (what !== "rest" && "amount" in what) {
      if (F.over(what.amount, books.step).d !== 1n) refuse("off-minor-unit", F.text(what.amount))
      given = what.amount
    } else if (what !== "rest" && "quantity" in what) {
      if ("amount" in value || !F.isPositive(value.quantity)) return refuse("malformed", "no quantity")
      given = books.round(F.over(F.times(own.whole, what.quantity), value.quantity))
    } else if (what !== "rest") {
      if (span === undefined) return refuse("malformed", "no time")
      const from = what.unusedFrom < span.start ? span.start : what.unusedFrom > span.end ? span.end : what.unusedFrom
      given = books.round(F.over(F.times(own.whole, F.whole(span.end - from)), F.whole(span.end - span.start)))
    }
    if (cuts) given = F.greater(F.zero, F.smaller(given, own.left))
    if (F.isNegative(given)) refuse("malformed", "what is given back is below 0")
    if (F.compare(given, own.left) > 0) refuse("over-credited", `line ${line}`)
    // What was paid and not given back; what cancels the rest is not bounded by it.
    const isBounded = books.policies["creditNote.limit"] === "paid" && what !== "rest"
    const most = F.greater(F.zero, F.minus(document.paid, returned))
    if (isBounded && cuts && isGross) given = F.smaller(given, most)
    let left = F.minus(own.left, given)
    const isLast = left.n === 0n
    let net = given
    let tax = own.tax
    if (isGross) {
      net = isLast ? own.net : F.smaller(books.round(F.over(given, F.plus(F.one, own.rate))), own.net)
      tax = F.minus(given, net)
    } else if (!isLast) tax = F.smaller(books.round(F.times(net, own.rate)), own.tax)
    if (isBounded && F.compare(F.plus(net, tax), most) > 0) {
      if (!cuts) refuse("over-credited", `line ${line}`)
      const gross = F.plus(F.one, own.rate)
      const share = F.isPositive(gross) ? F.smaller(books.round(F.over(most, gross)), given) : given
      tax = F.smaller(F.minus(most, share), own.tax)
      net = F.minus(most, tax)
      left = F.minus(own.left, net)
    }
    returned = F.total([returned, net, tax])
    lines[line] = { ...own, left, net: F.minus(own.net, net), tax: F.minus(own.tax, tax) }
    return { line, net, tax }
  })
}
