/** A translated case, put to whoever answers: the oracle, or rules. */
import type { Catalogue } from "../../schemas/billing/catalogue.ts"
import * as F from "./fraction.ts"
import { exponentOf, type Line, linesOfPeriod, type Rating, roundingOf } from "./oracle.ts"
import { allocated, type Share } from "./oracle-allocation.ts"
import { assembled, credited, type Credited, type CreditItem, type Document, type Totals } from "./oracle-document.ts"
import { Refused } from "./oracle-problem.ts"
import { type Span, type Subscription, Timeline, type Zone } from "./oracle-time.ts"
import type { Answer, Paper, Translated } from "./translate.ts"

export type Asked = Exclude<Translated, { readonly reason: string }>

/** What of a line cases ask for. */
export type AnsweredLine = Pick<Line, "charge" | "amount" | "exact" | "charged" | "billed"> & {
  readonly steps: Pick<Line["steps"], "price" | "discount" | "maximum" | "minimum">
}

/** Each throws `Refused` where there is a problem. */
export interface Answerer {
  lines(rating: Rating): readonly AnsweredLine[]
  periods(catalogue: Catalogue, subscription: Subscription, within: Span, zones: readonly Zone[]): readonly Span[]
  totals(catalogue: Catalogue, document: Document): Totals
  allocate(catalogue: Catalogue, amount: F.Fraction, shares: readonly Share[]): readonly F.Fraction[]
  credit(catalogue: Catalogue, document: Document, before: readonly Credited[], items: readonly CreditItem[]): readonly Credited[]
}

export const oracle: Answerer = {
  lines: linesOfPeriod,
  periods: (catalogue, subscription, within, zones) => new Timeline(catalogue, subscription, zones).periods(within),
  totals: assembled,
  credit: credited,
  allocate: (catalogue, amount, shares) => {
    const { "allocation.remainder": remainder = "largestFraction", "allocation.tie": tie = "order" } = catalogue.policies ?? {}
    return allocated(amount, roundingOf(catalogue).step, shares, { remainder, tie })
  },
}

/** What a case may ask of a document. */
function answersOf({ catalogue, document, rates, isOfCredits }: Paper, { totals }: Answerer): Readonly<Record<string, unknown>> {
  let made: Totals
  try {
    made = totals(catalogue, document)
  } catch (error) {
    if (error instanceof Refused && isOfCredits) return { error: error.kind === "conflict" ? "creditsNotUsedUp" : error.kind }
    throw error
  }
  if (isOfCredits) {
    const applied = document.lines.map((_, line) => made.taken.map((parts) => parts[line] as F.Fraction).filter(({ n }) => n !== 0n))
    return { applied, left: F.total(made.left), total: made.payable }
  }
  const taxes = made.taxes.map(({ base, amount }, i) => ({ rate: rates[i], base, amount }))
  return { ...made, taxes, rounding: made.payableRounding }
}

const isFraction = (value: unknown): value is F.Fraction => typeof value === "object" && value !== null && "n" in value && "d" in value

/** Whether an answer is what a case has: numbers as fractions, of objects the fields that it names. */
function agrees(found: unknown, wanted: unknown): boolean {
  if (isFraction(found)) return typeof wanted === "string" && F.same(found, F.read(wanted))
  if (Array.isArray(found)) return Array.isArray(wanted) && found.length === wanted.length && found.every((one, i) => agrees(one, wanted[i]))
  if (typeof found === "object" && found !== null && typeof wanted === "object" && wanted !== null) {
    return Object.entries(wanted).every(([name, value]) => agrees((found as Readonly<Record<string, unknown>>)[name], value))
  }
  return found === wanted
}
const shown = (value: unknown): string => JSON.stringify(value, (_, one: unknown) => (isFraction(one) ? F.text(one) : one))

function valueOf(line: AnsweredLine, of: Answer["of"], exponent: number): F.Fraction {
  if (of === "amount") return line.amount
  // Of this part of the period, as an amount is.
  if (of === "exact") return F.minus(line.exact, line.billed)
  if (of === "quantity") return line.charged
  if (of === "minor") return F.times(line.amount, F.whole(10n ** BigInt(exponent)))
  return line.steps[of]
}

/** What is answered otherwise than the case has it. */
export function differences(asked: Asked, answerer: Answerer = oracle): string[] {
  const { lines, periods } = answerer
  if ("document" in asked) {
    const found = answersOf(asked.document, answerer)
    return Object.entries(asked.document.expected).flatMap(([name, value]) =>
      agrees(found[name], value) ? [] : [`${name}: ${shown(found[name])}, not ${JSON.stringify(value)}`],
    )
  }
  if ("allocation" in asked) {
    const { catalogue, amount, shares, parts } = asked.allocation
    const found = answerer.allocate(catalogue, amount, shares)
    return shown(found) === shown(parts) ? [] : [`${shown(found)}, not ${shown(parts)}`]
  }
  if ("note" in asked) {
    const { catalogue, document, before, items, amount } = asked.note
    const found = F.total(answerer.credit(catalogue, document, before, items).flatMap(({ net, tax }) => [net, tax]))
    return F.same(found, amount) ? [] : [`${F.text(found)}, not ${F.text(amount)}`]
  }
  if ("calendar" in asked) {
    const { catalogue, subscription, zones, within, begins } = asked.calendar
    const found = periods(catalogue, subscription, within, zones).map(({ start }) => start)
    if (typeof begins === "number") return found.length === begins ? [] : [`${found.length} periods, not ${begins}`]
    return found.join() === begins.join() ? [] : [`periods begin at ${found.join()}, not ${begins.join()}`]
  }
  const all = asked.ratings.flatMap((rating) => lines(rating).map((line) => ({ line, exponent: exponentOf(rating.catalogue) })))
  return asked.answers.flatMap(({ name, of, charge, value }) => {
    const own = all.filter(({ line }) => charge === undefined || line.charge === charge)
    const got = F.total(own.map(({ line, exponent }) => valueOf(line, of, exponent)))
    return F.same(got, value) ? [] : [`${name}: ${F.text(got)}, not ${F.text(value)}`]
  })
}
