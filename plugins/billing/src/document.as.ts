/** Lines → what is to be paid, with every rounding that was done. */
import { Adjustment, Balance, Decimal, DocumentInput, DocumentLine, Problem, ProblemKind, Rounding, TaxTotal, TaxTreatment, Totals } from "../bindings/charging"
import { err, ok, Result } from "../bindings/runtime"
import { amountOf, decimalOf, exactOf, found, fractionOf, noDecimal, overflow } from "./convert.as"
import { currencyExponent } from "./currency.as"
import { clearOverflow, Exact, Mode, overflowed, powerOfTen } from "./exact.as"
import { digitsAfter } from "./ladder.as"
import { Policies, PriceList } from "./model.as"

const linesMax = 10_000

export class Draft {
  problem: Problem | null = null
  roundings: Array<Rounding> = []
  step: Exact = Exact.one
  scale: i32 = 0
  private policies: Policies

  /** Lines after their own allowances and charges, then after discounts. */
  lines: Array<Exact> = []
  left: Array<Exact> = []
  rates: Array<Exact> = []
  taxBases: Array<Exact> = []
  taxAmounts: Array<Exact> = []
  discount: Exact = Exact.zero
  allowances: Exact = Exact.zero
  charges: Exact = Exact.zero
  net: Exact = Exact.zero
  tax: Exact = Exact.zero
  gross: Exact = Exact.zero
  private exactNet: Exact = Exact.zero
  /** Of the document's allowances and charges. */
  private changes: Array<Exact> = []
  private exactTax: Exact = Exact.zero
  private restored: Exact = Exact.zero
  payable: Exact = Exact.zero
  payableRounding: Exact = Exact.zero
  taken: Array<Array<Decimal>> = []
  balances: Array<Decimal> = []

  constructor(
    private readonly list: PriceList,
    private readonly input: DocumentInput,
  ) {
    this.policies = list.policies
  }

  private fail(kind: ProblemKind, path: string, message: string): void {
    if (this.problem === null) this.problem = found(kind, path, message)
  }
  private read(value: Decimal, path: string): Exact {
    const number = exactOf(value)
    if (number !== null) return number
    if (this.problem === null) this.problem = noDecimal(path)
    return Exact.zero
  }
  round(value: Exact, path: string): Exact {
    return this.noted(value, this.policies.to(value, this.step, this.policies.mode), path)
  }
  private roundTax(value: Exact, path: string): Exact {
    return this.noted(value, this.policies.to(value, this.step, this.policies.taxMode < 0 ? this.policies.mode : <Mode>this.policies.taxMode), path)
  }
  private to(value: Exact, step: Exact, mode: Mode, path: string): Exact {
    return this.noted(value, value.rounded(step, mode), path)
  }
  private noted(value: Exact, rounded: Exact, path: string): Exact {
    if (!rounded.equals(value)) this.roundings.push(new Rounding(path, fractionOf(value), decimalOf(rounded)))
    return rounded
  }

  /** The currency, the taxes and the lines. */
  start(): bool {
    const input = this.input
    const policies = this.policies
    if (input.lines.length > linesMax) this.fail(ProblemKind.limit, "lines", `A document has at most ${linesMax} lines`)
    if (input.currency == this.list.currency) {
      this.step = policies.step
      this.scale = max(this.list.exponent, digitsAfter(policies.step))
    } else {
      const exponent = currencyExponent(input.currency, "")
      if (exponent < 0) this.fail(ProblemKind.unknownCurrency, "currency", `"${input.currency}" is no code of ISO 4217`)
      this.scale = max(exponent, 0)
      this.step = new Exact(1, 0, powerOfTen(this.scale), 0)
    }
    for (let t = 0; t < input.taxes.length; t += 1) {
      const rate = this.read(input.taxes[t].rate, `taxes/${t}/rate`)
      this.rates.push(input.taxes[t].treatment == TaxTreatment.standard ? rate.div(Exact.hundred) : Exact.zero)
      this.taxBases.push(Exact.zero)
      this.taxAmounts.push(Exact.zero)
    }
    for (let i = 0; i < input.lines.length && this.problem === null; i += 1) {
      const amount = this.line(input.lines[i], `lines/${i}`)
      this.lines.push(amount)
      this.left.push(amount)
    }
    return this.problem === null
  }
  private checkTaxes(taxes: StaticArray<u32>, path: string): void {
    for (let i = 0; i < taxes.length; i += 1) if (taxes[i] >= <u32>this.rates.length) this.fail(ProblemKind.unknownTax, `${path}/taxes/${i}`, `There is no tax ${taxes[i]}`)
  }
  /** Of taxes that are in a price: the sum of their rates. */
  private included(taxes: StaticArray<u32>): Exact {
    let sum = Exact.zero
    for (let i = 0; i < taxes.length; i += 1) if (!this.input.taxes[taxes[i]].neverIncluded) sum = sum.add(this.rates[taxes[i]])
    return sum
  }

  private rateOf(currency: string, path: string): Exact {
    if (currency == "" || currency == this.input.currency) return Exact.one
    for (let i = 0; i < this.input.rates.length; i += 1)
      if (this.input.rates[i].source == currency) return this.read(this.input.rates[i].value, `rates/${i}/value`)
    this.fail(ProblemKind.unknownCurrency, `${path}/currency`, `There is no rate from "${currency}" to "${this.input.currency}"`)
    return Exact.one
  }
  private line(line: DocumentLine, path: string): Exact {
    this.checkTaxes(line.taxes, path)
    if (this.problem !== null) return Exact.zero
    // A price is divided by this where its taxes are in it.
    if (this.policies.areTaxesIncluded && !Exact.one.add(this.included(line.taxes)).isPositive) {
      this.fail(ProblemKind.malformed, `${path}/taxes`, "Taxes that are in a price come to more than -100 % of it")
      return Exact.zero
    }
    let value = Exact.zero
    if (line.value.isAmount) value = this.read(line.value.asAmount, `${path}/value`)
    else {
      const priced = line.value.asPriced
      let price = this.read(priced.item1, `${path}/value`)
      const per = this.read(priced.item2, `${path}/value`)
      if (!per.isPositive) {
        this.fail(ProblemKind.malformed, `${path}/value`, "A price is for a number of units above 0")
        return Exact.zero
      }
      price = price.div(per)
      if (this.policies.areTaxesIncluded && this.policies.inclusiveRounds == 3) {
        const unit = new Exact(1, 0, powerOfTen(this.policies.unitScale), 0)
        price = this.to(price.div(Exact.one.add(this.included(line.taxes))), unit, this.policies.mode, `${path}/price`)
      }
      value = this.read(priced.item0, `${path}/value`).mul(price)
    }
    value = value.mul(this.rateOf(line.currency, path))
    let amount = value
    for (let i = 0; i < line.adjustments.length; i += 1) {
      const change = this.adjustment(line.adjustments[i], value, `${path}/adjustments/${i}`)
      amount = line.adjustments[i].isCharge ? amount.add(change) : amount.sub(change)
    }
    return this.policies.areLinesExact ? amount : this.round(amount, path)
  }
  private adjustment(one: Adjustment, base: Exact, path: string): Exact {
    if (one.value.isAmount) return this.read(one.value.asAmount, `${path}/value`)
    if (one.value.isPercent) return base.mul(this.read(one.value.asPercent, `${path}/value`)).div(Exact.hundred)
    const pair = one.value.asPercentOf
    return this.read(pair.item1, `${path}/value`).mul(this.read(pair.item0, `${path}/value`)).div(Exact.hundred)
  }

  // Discounts

  /** After tax the gross amount is all that there is. */
  private isOfGross: bool = false
  private has(lines: StaticArray<u32>, line: i32): bool {
    return lines.length == 0 || this.isOfGross || lines.includes(<u32>line)
  }
  private leftOf(lines: StaticArray<u32>): Exact {
    let sum = Exact.zero
    for (let i = 0; i < this.left.length; i += 1) if (this.has(lines, i) && this.left[i].isPositive) sum = sum.add(this.left[i])
    return sum
  }
  /** Takes an amount off lines, by what is left of each. */
  private spread(amount: Exact, lines: StaticArray<u32>, sum: Exact): void {
    if (!sum.isPositive) return
    for (let i = 0; i < this.left.length; i += 1)
      if (this.has(lines, i) && this.left[i].isPositive) this.left[i] = this.left[i].sub(amount.mul(this.left[i]).div(sum)).reduced()
  }
  private discounted(one: Adjustment, path: string): void {
    for (let i = 0; i < one.lines.length; i += 1) if (one.lines[i] >= <u32>this.input.lines.length) this.fail(ProblemKind.malformed, `${path}/lines/${i}`, `There is no line ${one.lines[i]}`)
    const sum = this.leftOf(one.lines)
    let base = sum
    if (this.policies.areDiscountsAdded) {
      base = Exact.zero
      for (let i = 0; i < this.lines.length; i += 1) if (this.has(one.lines, i) && this.lines[i].isPositive) base = base.add(this.lines[i])
    }
    let amount = this.adjustment(one, base, path)
    if (amount.isNegative) this.fail(ProblemKind.malformed, `${path}/value`, "A discount is not negative")
    if (this.policies.areDiscountsRounded) amount = this.round(amount, path)
    amount = amount.min(sum)
    this.discount = this.discount.add(amount)
    this.spread(amount, one.lines, sum)
  }
  discounts(): void {
    const all = this.input.discounts
    for (let pass = 0; pass < (this.policies.discountOrder == 0 ? 1 : 2); pass += 1)
      for (let i = 0; i < all.length && this.problem === null; i += 1) {
        const isOfAmount = all[i].value.isAmount
        const isFirst = isOfAmount == (this.policies.discountOrder == 1)
        if (this.policies.discountOrder == 0 || isFirst == (pass == 0)) this.discounted(all[i], `discounts/${i}`)
      }
  }

  /** What balances take: of lines where they lower what is taxed, else of what is due. */
  credits(due: Exact): Exact {
    let sum = Exact.zero
    for (let b = 0; b < this.input.balances.length && this.problem === null; b += 1) {
      const balance = this.input.balances[b]
      let rest = this.read(balance.amount, `balances/${b}/amount`)
      if (rest.isNegative) this.fail(ProblemKind.malformed, `balances/${b}/amount`, "A balance is not negative")
      const taken = new Array<Decimal>(0)
      if (this.policies.areCreditsBeforeTax)
        for (let i = 0; i < this.left.length; i += 1) {
          const part = this.has(balance.lines, i) ? rest.min(this.left[i].max(Exact.zero)) : Exact.zero
          this.left[i] = this.left[i].sub(part)
          rest = rest.sub(part)
          sum = sum.add(part)
          taken.push(decimalOf(part))
        }
      else {
        const part = rest.min(due.sub(sum).max(Exact.zero))
        rest = rest.sub(part)
        sum = sum.add(part)
        taken.push(decimalOf(part))
      }
      if (this.policies.mustCreditsBeUsed && rest.isPositive) this.fail(ProblemKind.conflict, `balances/${b}`, `${rest.toString()} of this credit would be left`)
      this.taken.push(taken)
      this.balances.push(decimalOf(rest))
    }
    return sum
  }

  // Taxes

  private base(taxes: StaticArray<u32>, amount: Exact): void {
    for (let i = 0; i < taxes.length; i += 1) this.taxBases[taxes[i]] = this.taxBases[taxes[i]].add(amount)
  }

  /** Prices without tax, or whose net is known: taxes come on top. `isOfAll` says whether taxes that were in the price count. */
  private onTop(nets: Array<Exact>, isOfAll: bool): void {
    const input = this.input
    let sum = Exact.zero
    for (let i = 0; i < nets.length; i += 1) {
      sum = sum.add(nets[i])
      this.base(input.lines[i].taxes, nets[i])
    }
    for (let i = 0; i < input.adjustments.length; i += 1) {
      const one = input.adjustments[i]
      const path = `adjustments/${i}`
      this.checkTaxes(one.taxes, path)
      if (this.problem !== null) return
      const amount = this.round(this.adjustment(one, sum, path), path)
      this.changes.push(amount)
      if (one.isCharge) this.charges = this.charges.add(amount)
      else this.allowances = this.allowances.add(amount)
      this.base(one.taxes, one.isCharge ? amount : amount.neg())
    }
    this.exactNet = sum.sub(this.allowances).add(this.charges)
    this.net = this.round(this.exactNet, "net")
    for (let t = 0; t < this.rates.length; t += 1) {
      if (!isOfAll && !input.taxes[t].neverIncluded) continue
      const exact = this.taxBases[t].mul(this.rates[t])
      this.exactTax = this.exactTax.add(exact)
      this.taxAmounts[t] = this.policies.taxPoint >= 2 ? this.ofLines(nets, t) : this.policies.taxPoint == 1 ? exact : this.roundTax(exact, `taxes/${t}`)
      this.tax = this.tax.add(this.taxAmounts[t])
    }
    if (this.policies.taxPoint == 1) this.settle()
    this.gross = this.policies.isTotalExact ? this.round(this.exactNet.add(this.exactTax), "gross") : this.net.add(this.tax)
  }
  /** A tax that is rounded for each line or unit. */
  private ofLines(nets: Array<Exact>, t: i32): Exact {
    const input = this.input
    let sum = Exact.zero
    for (let i = 0; i < nets.length; i += 1) {
      if (!input.lines[i].taxes.includes(<u32>t)) continue
      const value = input.lines[i].value
      if (this.policies.taxPoint == 3 && value.isPriced) {
        const quantity = this.read(value.asPriced.item0, `lines/${i}/value`)
        if (!quantity.isZero) {
          sum = sum.add(this.roundTax(nets[i].div(quantity).mul(this.rates[t]), `lines/${i}/taxes`).mul(quantity))
          continue
        }
      }
      sum = sum.add(this.roundTax(nets[i].mul(this.rates[t]), `lines/${i}/taxes`))
    }
    for (let i = 0; i < input.adjustments.length; i += 1) {
      const one = input.adjustments[i]
      if (!one.taxes.includes(<u32>t)) continue
      const tax = this.roundTax(this.changes[i].mul(this.rates[t]), `adjustments/${i}/taxes`)
      sum = one.isCharge ? sum.add(tax) : sum.sub(tax)
    }
    return sum
  }
  /** The sum of taxes is rounded once; what single ones show adds up to it. */
  private settle(): void {
    this.tax = this.roundTax(this.tax, "tax")
    let rest = this.tax
    let last = -1
    for (let t = 0; t < this.taxAmounts.length; t += 1) {
      if (this.taxAmounts[t].isZero) continue
      this.taxAmounts[t] = this.policies.to(this.taxAmounts[t], this.step, this.policies.mode)
      rest = rest.sub(this.taxAmounts[t])
      last = t
    }
    if (last >= 0) this.taxAmounts[last] = this.taxAmounts[last].add(rest)
  }

  /** Prices with tax: lines of the same taxes are one group, whose net and tax add up to its prices. */
  private within(): void {
    const input = this.input
    const policies = this.policies
    let prices = Exact.zero
    for (let i = 0; i < this.left.length; i += 1) prices = prices.add(this.left[i])
    if (input.adjustments.length > 0) this.fail(ProblemKind.unsupported, "adjustments", "A document whose prices include taxes has allowances and charges on its lines")
    const nets = new Array<Exact>(0)
    for (let i = 0; i < this.left.length; i += 1) {
      const net = this.left[i].div(Exact.one.add(this.included(input.lines[i].taxes)))
      nets.push(policies.inclusiveRounds == 2 ? this.round(net, `lines/${i}/net`) : net)
    }
    if (policies.inclusiveRounds == 2) {
      this.onTop(nets, true)
      let never = Exact.zero
      for (let t = 0; t < this.rates.length; t += 1) if (input.taxes[t].neverIncluded) never = never.add(this.taxAmounts[t])
      this.restored = prices.add(never).sub(this.gross)
      return
    }
    prices = Exact.zero
    const done = new StaticArray<bool>(nets.length)
    let net = Exact.zero
    for (let i = 0; i < nets.length; i += 1) {
      if (done[i]) continue
      let whole = Exact.zero
      for (let j = i; j < nets.length; j += 1) {
        if (done[j] || !isSame(input.lines[i].taxes, input.lines[j].taxes)) continue
        done[j] = true
        whole = whole.add(this.left[j])
      }
      const path = `lines/${i}/taxes`
      // Discounts are spread exactly: what is paid for the group is money.
      whole = this.round(whole, `lines/${i}/price`)
      prices = prices.add(whole)
      const exact = whole.div(Exact.one.add(this.included(input.lines[i].taxes)))
      let own = exact
      if (policies.taxPoint != 1) own = policies.inclusiveRounds == 1 ? whole.sub(this.roundTax(whole.sub(exact), path)) : this.round(exact, path)
      net = net.add(own)
      this.split(input.lines[i].taxes, own, whole.sub(own))
    }
    if (policies.taxPoint == 1) {
      this.tax = Exact.zero
      for (let t = 0; t < this.rates.length; t += 1) if (!input.taxes[t].neverIncluded) this.tax = this.tax.add(this.taxAmounts[t])
      this.settle()
      net = prices.sub(this.tax)
    }
    this.net = this.round(net, "net")
    for (let t = 0; t < this.rates.length; t += 1) {
      if (!input.taxes[t].neverIncluded) continue
      this.taxAmounts[t] = this.roundTax(this.taxBases[t].mul(this.rates[t]), `taxes/${t}`)
      this.tax = this.tax.add(this.taxAmounts[t])
    }
    this.gross = this.net.add(this.tax)
  }
  /** What of a group's tax is whose: the last has the rest. */
  private split(taxes: StaticArray<u32>, net: Exact, tax: Exact): void {
    let rest = tax
    let last = -1
    for (let i = 0; i < taxes.length; i += 1) {
      const t = taxes[i]
      this.taxBases[t] = this.taxBases[t].add(net)
      if (this.input.taxes[t].neverIncluded) continue
      let part = net.mul(this.rates[t])
      if (this.policies.taxPoint != 1) part = this.policies.to(part, this.step, this.policies.mode)
      this.taxAmounts[t] = this.taxAmounts[t].add(part)
      rest = rest.sub(part)
      last = <i32>t
    }
    if (last >= 0) this.taxAmounts[last] = this.taxAmounts[last].add(rest)
    this.tax = this.tax.add(tax)
  }

  finish(): void {
    const input = this.input
    const policies = this.policies
    if (!policies.areDiscountsAfterTax) this.discounts()
    let credit = Exact.zero
    if (policies.areCreditsBeforeTax) credit = this.credits(Exact.zero)
    if (this.problem !== null) return
    if (policies.areTaxesIncluded && policies.inclusiveRounds != 3) this.within()
    else this.onTop(this.left, true)
    if (this.problem !== null) return
    let due = this.gross
    if (policies.areDiscountsAfterTax) {
      this.isOfGross = true
      this.left = [this.gross]
      this.lines = [this.gross]
      this.discounts()
      due = due.sub(this.round(this.discount, "discount"))
    }
    if (!policies.areCreditsBeforeTax) due = due.sub(this.credits(due))
    due = due.add(this.restored).sub(this.read(input.paid, "paid")).add(this.read(input.rounding, "rounding"))
    const step = policies.payableStep
    this.payable = step === null ? due : this.to(due, step, policies.payableMode < 0 ? policies.mode : <Mode>policies.payableMode, "payable")
    this.payableRounding = this.payable.sub(due).add(this.restored).add(this.read(input.rounding, "rounding"))
  }
  amount(value: Exact): Decimal {
    return amountOf(value, this.scale)
  }
}

function isSame(a: StaticArray<u32>, b: StaticArray<u32>): bool {
  if (a.length != b.length) return false
  for (let i = 0; i < a.length; i += 1) if (a[i] != b[i]) return false
  return true
}

export function assembled(list: PriceList, input: DocumentInput): Result<Totals, Problem> {
  clearOverflow()
  const draft = new Draft(list, input)
  let lines = new Array<Decimal>(0)
  if (draft.start()) {
    for (let i = 0; i < draft.lines.length; i += 1) lines.push(decimalOf(draft.lines[i]))
    draft.finish()
  }
  const refused = draft.problem
  if (refused !== null) return err<Totals, Problem>(refused)
  const taxes = new Array<TaxTotal>(0)
  for (let t = 0; t < draft.taxAmounts.length; t += 1) taxes.push(new TaxTotal(<u32>t, decimalOf(draft.taxBases[t]), draft.amount(draft.taxAmounts[t])))
  const totals = new Totals(
    lines,
    draft.amount(draft.round(draft.discount, "discount")),
    draft.amount(draft.allowances),
    draft.amount(draft.charges),
    draft.amount(draft.net),
    taxes,
    draft.amount(draft.tax),
    draft.amount(draft.gross),
    draft.taken,
    draft.balances,
    draft.amount(draft.payableRounding),
    draft.amount(draft.payable),
    draft.roundings,
  )
  if (overflowed) return err<Totals, Problem>(overflow("document"))
  return ok<Totals, Problem>(totals)
}
