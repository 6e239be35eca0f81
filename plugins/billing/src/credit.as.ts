/** What is given back of an invoice: never more than is left of it. */
import { CreditItem, CreditLine, DocumentInput, Problem, ProblemKind } from "../bindings/charging"
import { err, ok, Result } from "../bindings/runtime"
import { exactOf, found, noDecimal, overflow } from "./convert.as"
import { Draft } from "./document.as"
import { clearOverflow, Exact, overflowed } from "./exact.as"
import { PriceList } from "./model.as"

function refused(kind: ProblemKind, path: string, message: string): Result<Array<CreditLine>, Problem> {
  return err<Array<CreditLine>, Problem>(found(kind, path, message))
}

export function credited(list: PriceList, invoice: DocumentInput, before: Array<CreditLine>, items: Array<CreditItem>): Result<Array<CreditLine>, Problem> {
  clearOverflow()
  const draft = new Draft(list, invoice)
  // A unit's net price makes lines without tax.
  const isGross = list.policies.areTaxesIncluded && list.policies.inclusiveRounds != 3
  if (!draft.start()) return err<Array<CreditLine>, Problem>(draft.problem as Problem)
  draft.discounts()
  if (draft.problem !== null) return err<Array<CreditLine>, Problem>(draft.problem as Problem)
  // Discounts are spread exactly; what a line is credited at most is rounded. Of prices with tax, that is the price.
  const wholes = new Array<Exact>(0)
  const rates = new Array<Exact>(0)
  const left = new Array<Exact>(0)
  const leftNets = new Array<Exact>(0)
  const leftTaxes = new Array<Exact>(0)
  for (let i = 0; i < draft.left.length; i += 1) {
    const whole = draft.round(draft.left[i], `lines/${i}`)
    let rate = Exact.zero
    for (let t = 0; t < invoice.lines[i].taxes.length; t += 1) {
      const tax = invoice.lines[i].taxes[t]
      rate = rate.add(draft.rates[tax])
      if (isGross && invoice.taxes[tax].neverIncluded) return refused(ProblemKind.unsupported, `lines/${i}/taxes/${t}`, "A line whose price includes some of its taxes and others not cannot be credited: give its net")
    }
    wholes.push(whole)
    rates.push(rate)
    left.push(whole)
    const net = isGross ? draft.round(whole.div(Exact.one.add(rate)), `lines/${i}/net`) : whole
    leftNets.push(net)
    leftTaxes.push(isGross ? whole.sub(net) : draft.round(net.mul(rate), `lines/${i}/taxes`))
  }
  for (let i = 0; i < before.length; i += 1) {
    const net = exactOf(before[i].net)
    const tax = exactOf(before[i].tax)
    if (net === null || tax === null) return err<Array<CreditLine>, Problem>(noDecimal(`credited/${i}`))
    const at = before[i].line
    if (at >= <u32>wholes.length) return refused(ProblemKind.malformed, `credited/${i}/line`, `There is no line ${at}`)
    left[at] = left[at].sub(isGross ? net.add(tax) : net)
    leftNets[at] = leftNets[at].sub(net)
    leftTaxes[at] = leftTaxes[at].sub(tax)
  }
  const policies = list.policies
  const paid = exactOf(invoice.paid)
  if (paid === null) return err<Array<CreditLine>, Problem>(noDecimal("invoice/paid"))
  let room = paid
  for (let i = 0; i < before.length; i += 1) room = room.sub((exactOf(before[i].net) as Exact).add(exactOf(before[i].tax) as Exact))
  const out = new Array<CreditLine>(0)
  for (let i = 0; i < items.length; i += 1) {
    const path = `items/${i}`
    const at = items[i].line
    if (at >= <u32>wholes.length) return refused(ProblemKind.malformed, `${path}/line`, `There is no line ${at}`)
    const line = invoice.lines[at]
    const what = items[i].what
    let given = left[at]
    if (what.isAmount) {
      const amount = exactOf(what.asAmount)
      if (amount === null) return err<Array<CreditLine>, Problem>(noDecimal(`${path}/what`))
      if (!amount.div(draft.step).isWhole) return refused(ProblemKind.offMinorUnit, `${path}/what`, `${amount.toString()} is no multiple of ${draft.step.toString()}`)
      given = amount
    } else if (what.isQuantity) {
      const quantity = exactOf(what.asQuantity)
      if (quantity === null) return err<Array<CreditLine>, Problem>(noDecimal(`${path}/what`))
      const whole = line.value.isPriced ? exactOf(line.value.asPriced.item0) : null
      if (whole === null || !whole.isPositive) return refused(ProblemKind.malformed, `${path}/what`, "The line has no quantity")
      given = draft.round(wholes[at].mul(quantity).div(whole), path)
    } else if (what.isUnusedFrom) {
      const span = line.span
      if (span === null || span.end <= span.start) return refused(ProblemKind.malformed, `${path}/what`, "The line has no time")
      const from = min(max(what.asUnusedFrom, span.start), span.end)
      given = draft.round(wholes[at].times(span.end - from).div(Exact.of(span.end - span.start)), path)
    }
    if (policies.isNoteCut) given = given.min(left[at]).max(Exact.zero)
    if (given.isNegative) return refused(ProblemKind.malformed, `${path}/what`, "What is given back is not negative")
    if (given.compare(left[at]) > 0)
      return refused(ProblemKind.overCredited, path, `${given.toString()} is more than the ${left[at].toString()} that are left of line ${at}`)
    // What cancels the rest does so whether it was paid or not.
    const isLimited = policies.isNoteOfPaid && !what.isRest
    const most = room.max(Exact.zero)
    if (isLimited && policies.isNoteCut && isGross) given = given.min(most)
    left[at] = left[at].sub(given)
    // The last of a line has the last of its net and its tax, so that parts add up to them.
    const isLast = left[at].isZero
    let net = given
    let tax = leftTaxes[at]
    if (isGross) {
      net = isLast ? leftNets[at] : draft.round(given.div(Exact.one.add(rates[at])), `${path}/net`).min(leftNets[at])
      tax = given.sub(net)
    } else if (!isLast) tax = draft.round(net.mul(rates[at]), `${path}/taxes`).min(leftTaxes[at])
    if (isLimited && net.add(tax).compare(most) > 0) {
      if (!policies.isNoteCut) return refused(ProblemKind.overCredited, path, `${net.add(tax).toString()} is more than the ${most.toString()} that were paid and not given back`)
      // Only of nets: as much of it as, with its tax, was paid.
      const gross = Exact.one.add(rates[at])
      net = gross.isPositive ? draft.round(most.div(gross), `${path}/net`).min(given) : given
      tax = most.sub(net).min(leftTaxes[at])
      net = most.sub(tax)
      left[at] = left[at].add(given).sub(net)
    }
    room = room.sub(net).sub(tax)
    leftNets[at] = leftNets[at].sub(net)
    leftTaxes[at] = leftTaxes[at].sub(tax)
    out.push(new CreditLine(at, line.title, draft.amount(net), draft.amount(tax)))
  }
  if (overflowed) return err<Array<CreditLine>, Problem>(overflow("invoice"))
  return ok<Array<CreditLine>, Problem>(out)
}
