/** What vector kernels are in `bitexact`: one rounding an operation. `Math.min` and `Math.max` of two propagate NaN and order zeros by their sign. */
const f = Math.fround

export const binary = {
  add: (x: number, y: number): number => f(x + y),
  sub: (x: number, y: number): number => f(x - y),
  mul: (x: number, y: number): number => f(x * y),
  div: (x: number, y: number): number => f(x / y),
  min: (x: number, y: number): number => Math.min(x, y),
  max: (x: number, y: number): number => Math.max(x, y),
} as const
export type BinaryName = keyof typeof binary

/** With a rounding after the multiplication. */
export const fma = (x: number, y: number, z: number): number => f(f(x * y) + z)

/** In the order of their numbers in `vector.as.ts`. */
export const comparisons = {
  lt: (x: number, y: number): boolean => x < y,
  le: (x: number, y: number): boolean => x <= y,
  eq: (x: number, y: number): boolean => x === y,
  ne: (x: number, y: number): boolean => x !== y,
  gt: (x: number, y: number): boolean => x > y,
  ge: (x: number, y: number): boolean => x >= y,
} as const
export type ComparisonName = keyof typeof comparisons
export const comparisonNames = Object.keys(comparisons) as ReadonlyArray<ComparisonName>
