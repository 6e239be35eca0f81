/** What operations on integers of 32 bits are; what is beyond their range wraps. In the order of their numbers in `integer.as.ts`. */
export const integers = {
  add: (x: number, y: number): number => (x + y) | 0,
  sub: (x: number, y: number): number => (x - y) | 0,
  mul: Math.imul,
  min: (x: number, y: number): number => Math.min(x, y),
  max: (x: number, y: number): number => Math.max(x, y),
  and: (x: number, y: number): number => x & y,
  or: (x: number, y: number): number => x | y,
  xor: (x: number, y: number): number => x ^ y,
} as const
/** In the order of their numbers in `integer.as.ts`. */
export const integerMaps = {
  neg: (x: number): number => -x | 0,
  abs: (x: number): number => Math.abs(x) | 0,
  sign: (x: number): number => Math.sign(x),
  not: (x: number): number => Number(x === 0),
} as const
export type IntegerName = keyof typeof integers
export const integerNames = Object.keys(integers) as ReadonlyArray<IntegerName>
