/** Random documents and what is given back of them, small enough for fractions of 128 bits. */
import fc from "../property.ts"
import type { Catalogue } from "../../schemas/billing/catalogue.ts"
import * as F from "./fraction.ts"
import type { ChangeValue, CreditItem, Document, DocumentChange, DocumentLine } from "./oracle-document.ts"

const number = (min: number, max: number, scaleMax: number): fc.Arbitrary<F.Fraction> =>
  fc.tuple(fc.integer({ min, max }), fc.integer({ min: 0, max: scaleMax })).map(([n, scale]) => F.fraction(BigInt(n), 10n ** BigInt(scale)))
const percent = number(0, 100, 1)

const value: fc.Arbitrary<ChangeValue> = fc.oneof(
  fc.record({ amount: number(0, 2_000, 2) }),
  fc.record({ percent }),
  fc.record({ percent, of: number(0, 5_000, 2) }),
)
const places = fc.uniqueArray(fc.nat({ max: 3 }), { maxLength: 2 })

interface Size {
  readonly lines: number
  readonly taxes: number
}
const among = (all: readonly number[], size: number): number[] => [...new Set(all.map((one) => one % Math.max(1, size)))].filter((one) => one < size)
const change = (size: Size): fc.Arbitrary<DocumentChange> =>
  fc
    .record({ isCharge: fc.boolean(), value, lines: places, taxes: places })
    .map((one) => ({ ...one, lines: among(one.lines, size.lines), taxes: among(one.taxes, size.taxes) }))

const line = (size: Size): fc.Arbitrary<DocumentLine> =>
  fc
    .record({
      value: fc.oneof(
        fc.record({ amount: number(-2_000, 9_999, 3) }),
        fc.record({ quantity: number(0, 99, 1), price: number(0, 9_999, 4), per: number(1, 12, 0) }),
      ),
      currency: fc.constantFrom("", "", "", "CHF"),
      adjustments: fc.array(change(size), { maxLength: 2 }),
      taxes: places,
      span: fc.nat({ max: 1_000 }).map((days) => ({ start: 0n, end: BigInt(days + 1) * 86_400_000_000n })),
    })
    .map((one) => ({ ...one, taxes: among(one.taxes, size.taxes) }))

const document: fc.Arbitrary<Document> = fc.record({ lines: fc.integer({ min: 0, max: 4 }), taxes: fc.integer({ min: 0, max: 3 }) }).chain((size) =>
  fc.record({
    currency: fc.constantFrom("EUR", "EUR", "JPY"),
    lines: fc.array(line(size), { minLength: size.lines, maxLength: size.lines }),
    discounts: fc.array(change(size), { maxLength: 2 }),
    adjustments: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.array(change(size), { maxLength: 2 }) }),
    taxes: fc.array(
      fc.record({
        rate: number(0, 250, 1),
        treatment: fc.constantFrom(
          "standard" as const,
          "standard" as const,
          "standard" as const,
          "zero-rated" as const,
          "exempt" as const,
          "reverse-charge" as const,
        ),
        neverIncluded: fc.constantFrom(false, false, true),
      }),
      { minLength: size.taxes, maxLength: size.taxes },
    ),
    rates: fc.constant([{ source: "CHF", value: F.fraction(9_371n, 10_000n) }]),
    balances: fc.array(fc.record({ amount: number(0, 3_000, 2), lines: places.map((all) => among(all, size.lines)) }), { maxLength: 2 }),
    paid: fc.oneof(fc.constant(F.zero), number(0, 500, 2)),
    rounding: fc.oneof(fc.constant(F.zero), number(-5, 5, 2)),
  }),
)

const optional = (name: string, ...values: readonly string[]): fc.Arbitrary<object> =>
  fc.option(fc.constantFrom(...values), { nil: undefined }).map((one) => (one === undefined ? {} : { [name]: one }))
const modes = "halfAway halfEven halfOdd halfDown halfCeiling halfFloor up down ceiling floor".split(" ")
const policies = fc
  .tuple(
    optional("rounding.mode", ...modes),
    optional("line.rounding", "currency", "none"),
    optional("total.rounding", "parts", "exact"),
    optional("tax.prices", "exclusive", "inclusive"),
    optional("tax.inclusiveRounds", "net", "tax", "lineNet", "unit"),
    optional("tax.unitScale", "2", "6"),
    optional("tax.roundingPoint", "rate", "document", "line", "unit"),
    optional("tax.roundingMode", ...modes),
    optional("discounts.order", "given", "amountFirst", "percentFirst"),
    optional("discounts.stacking", "sequential", "additive"),
    optional("discounts.base", "beforeTax", "afterTax"),
    optional("discounts.rounding", "none", "currency"),
    optional("credits.base", "afterTax", "beforeTax"),
    optional("credits.unused", "kept", "kept", "kept", "error"),
    optional("creditNote.limit", "invoiced", "paid"),
    optional("creditNote.excess", "refused", "cut"),
    optional("rounding.nil", "allowed", "never"),
    optional("payable.increment", "0.05", "1"),
    optional("payable.mode", ...modes),
  )
  .map((all) => Object.assign({}, ...all) as NonNullable<Catalogue["policies"]>)

export interface DrawnDocument {
  readonly catalogue: Catalogue
  readonly document: Document
}
export const arbitraryDocument: fc.Arbitrary<DrawnDocument> = fc
  .record({ policies, document })
  .map(({ policies: own, document: one }) => ({ document: one, catalogue: { name: "d", version: "1", currency: "EUR", policies: own, meters: [], plans: [] } }))

export const arbitraryItems: fc.Arbitrary<readonly CreditItem[]> = fc.array(
  fc.record({
    line: fc.nat({ max: 3 }),
    what: fc.oneof(
      fc.constant("rest" as const),
      fc.record({ amount: number(0, 3_000, 2) }),
      fc.record({ quantity: number(0, 9, 1) }),
      fc.record({ unusedFrom: fc.bigInt({ min: -1n, max: 86_400_000_000n * 900n }) }),
    ),
  }),
  { maxLength: 4 },
)
