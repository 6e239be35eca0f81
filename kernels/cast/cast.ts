/** What a number is in another type: to the nearest, halves to even; towards 0 to whole numbers, within their ends, and NaN as 0. */
import type { NumberType } from "../memory/memory.ts"

const within = (x: number, least: number, most: number): number => (Number.isNaN(x) ? 0 : Math.min(most, Math.max(least, Math.trunc(x))))

/** Halves as their bits. */
const half = new Uint16Array(1)

function toHalf(x: number): number {
  if (Number.isNaN(x)) return 0x7e00
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0
  const a = Math.abs(x)
  // Halfway from the greatest half to what would follow it.
  if (a >= 65_520) return sign | 0x7c00
  // Numbers next to each other from 2ᵉ on are 2ᵉ⁻¹⁰ apart, and from 2⁻¹⁴ down 2⁻²⁴.
  const exponent = Math.max(-14, Math.floor(Math.log2(Math.max(a, 2 ** -14))))
  const step = 2 ** (exponent - 10)
  const steps = a / step
  const low = Math.floor(steps)
  const rounded = steps - low > 0.5 || (steps - low === 0.5 && low % 2 === 1) ? low + 1 : low
  half[0] = rounded >= 1_024 ? ((exponent + 14) << 10) + rounded : rounded
  return sign | (half[0] as number)
}

/** The value of a half. */
export function fromHalf(bits: number): number {
  const [exponent, rest] = [(bits >> 10) & 31, bits & 1_023]
  const size = exponent === 31 ? (rest === 0 ? Number.POSITIVE_INFINITY : Number.NaN) : exponent === 0 ? rest * 2 ** -24 : (1_024 + rest) * 2 ** (exponent - 25)
  return (bits & 0x8000) === 0 ? size : -size
}

/** From a value; halves are given and taken as their bits. */
export function cast(to: NumberType, from: NumberType, x: number): number {
  const value = from === "u16" ? fromHalf(x) : x
  if (to === "f32") return Math.fround(value)
  if (to === "f64") return value
  if (to === "u16") return toHalf(value)
  if (to === "i32") return within(value, -(2 ** 31), 2 ** 31 - 1)
  return to === "i8" ? within(value, -128, 127) : within(value, 0, 255)
}
