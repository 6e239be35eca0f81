/** Sentences about a line. */
import { Line, Step, StepKind } from "../bindings/charging"
import { exactOf } from "./convert.as"
import { Exact } from "./exact.as"
import { PriceList } from "./model.as"

function said(value: Exact | null): string {
  return value === null ? "?" : value.toString()
}

function sentence(step: Step, currency: string): string {
  const numerator = exactOf(step.amount.numerator)
  const denominator = exactOf(step.amount.denominator)
  let amount: Exact | null = null
  if (numerator !== null && denominator !== null && !denominator.isZero) amount = numerator.div(denominator)
  const money = `${said(amount)} ${currency}`
  const quantity = step.quantity === null ? "" : said(exactOf(step.quantity!))
  switch (step.kind) {
    case StepKind.price:
      return quantity == "" ? `${money} by the price at ${step.path}` : `${quantity} units are ${money} by the price at ${step.path}`
    case StepKind.flatFee:
      return `A fee of ${money} is due by ${step.path}`
    case StepKind.allowance:
      return `${quantity} units are free by ${step.path}`
    case StepKind.discount:
      return `A discount changes it by ${money}, by ${step.path}`
    case StepKind.maximum:
      return `The maximum at ${step.path} changes it by ${money}`
    case StepKind.minimum:
      return `The minimum at ${step.path} adds ${money}`
    case StepKind.commitment:
      return `The commitment at ${step.path} adds ${money}`
    case StepKind.proration:
      return `A part of the period with ${quantity} of it is ${money} by the price at ${step.path}`
    case StepKind.rounding:
      return `Rounding adds ${money}`
  }
  return `Billed before, and not again: ${money}`
}

export function explained(list: PriceList, line: Line): Array<string> {
  const sentences = new Array<string>(0)
  for (let i = 0; i < line.steps.length; i += 1) sentences.push(sentence(line.steps[i], list.currency))
  sentences.push(`${line.title}: ${said(exactOf(line.amount))} ${list.currency}`)
  return sentences
}
