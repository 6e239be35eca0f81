/** Decimals and fractions of the billing rules as texts and whole numbers. Nothing here rounds. */
import type { Decimal, Fraction } from "../../schemas/wit/stele/billing.gen.ts"

/** A whole number at `scale` digits after the point. */
export const decimal = (coefficient: bigint, scale: number): Decimal => ({
  high: coefficient >> 64n,
  low: BigInt.asUintN(64, coefficient),
  scale,
})

export const coefficientOf = ({ high, low }: Decimal): bigint => (high << 64n) | low

const pattern = /^([+-]?)(\d+)(?:\.(\d{1,18}))?$/

/** `"19.99"`; undefined for what is no decimal of at most 18 places and 128 bits. */
export function readDecimal(text: string): Decimal | undefined {
  const found = pattern.exec(text)
  if (found === null || text.length > 60) return undefined
  const [, sign = "", whole = "", part = ""] = found
  const size = BigInt(whole + part)
  return size >> 127n === 0n ? decimal(sign === "-" ? -size : size, part.length) : undefined
}

/** With as many digits after the point as the scale says: an amount of money of 5 is `5.00`. */
export function decimalText(value: Decimal): string {
  const coefficient = coefficientOf(value)
  if (value.scale === 0) return String(coefficient)
  const digits = String(coefficient < 0n ? -coefficient : coefficient).padStart(value.scale + 1, "0")
  return `${coefficient < 0n ? "-" : ""}${digits.slice(0, -value.scale)}.${digits.slice(-value.scale)}`
}

/** Without needless zeros: what a quantity looks like. */
export const plainText = (value: Decimal): string => {
  const text = decimalText(value)
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text
}

/** `1,234,567.5`. */
export const groupedText = (text: string): string =>
  text.replace(/^(-?)(\d+)/, (_, sign: string, whole: string) => sign + whole.replace(/\B(?=(\d{3})+$)/g, ","))

/** The same value at this scale; the scale may only grow. */
export const atScale = (value: Decimal, scale: number): bigint => coefficientOf(value) * 10n ** BigInt(scale - value.scale)

/** A fraction of whole numbers; the denominator is above 0. */
export interface Ratio {
  readonly n: bigint
  readonly d: bigint
}

export const ratioOf = ({ numerator, denominator }: Fraction): Ratio => {
  const scale = Math.max(numerator.scale, denominator.scale)
  return { n: atScale(numerator, scale), d: atScale(denominator, scale) }
}
