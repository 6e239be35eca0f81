/**
 * What elementary functions are in `bitexact`, in plain TypeScript: each step is one rounding to float (`Math.fround`) or, in `log`, `erf` and `gelu`,
 * of doubles that are rounded to float once. Every NaN that is written is 0x7FC00000.
 *
 * Largest errors, in units in the last place, over all floats of the range in `test/kernels/math.test.ts`.
 */
const f = Math.fround

const word = new Int32Array(1)
const float = new Float32Array(word.buffer)
const power2 = (n: number): number => {
  word[0] = (n + 127) << 23
  return float[0] as number
}

/** To a whole number, halves to even. */
export function nearest(x: number): number {
  const low = Math.floor(x)
  const part = x - low
  if (part < 0.5) return low
  if (part > 0.5) return low + 1
  return low % 2 === 0 ? low : low + 1
}

const expTerms = [1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1].map(f)
const log2e = f(Math.LOG2E)
const ln2High = f(0.693359375)
const ln2Low = f(2.1219444e-4)
const expMax = f(88.722839)
const expMin = f(-103.97208)

export function exp(x: number): number {
  if (Number.isNaN(x)) return Number.NaN
  if (x > expMax) return Number.POSITIVE_INFINITY
  if (x < expMin) return 0
  const n = nearest(f(x * log2e))
  const r = f(f(x - f(n * ln2High)) + f(n * ln2Low))
  let p = expTerms[0] as number
  for (const term of expTerms.slice(1)) p = f(f(p * r) + term)
  const y = f(f(f(p * f(r * r)) + r) + 1)
  const half = n >> 1
  return f(f(y * power2(half)) * power2(n - half))
}

const long = new BigInt64Array(1)
const double = new Float64Array(long.buffer)

export function log(x: number): number {
  if (!(x >= 0)) return Number.NaN
  if (x === 0) return Number.NEGATIVE_INFINITY
  if (x === Number.POSITIVE_INFINITY) return x
  double[0] = x
  const k = BigInt.asIntN(64, (long[0] as bigint) - 0x3fe6a09e667f3bcdn) >> 52n
  long[0] = (long[0] as bigint) - (k << 52n)
  const m = double[0] as number
  const s = (m - 1) / (m + 1)
  const z = s * s
  let p = 1 / 15
  for (const divisor of [13, 11, 9, 7, 5, 3, 1]) p = p * z + 1 / divisor
  return f(Number(k) * Math.LN2 + (s + s) * p)
}

export function sigmoid(x: number): number {
  const e = exp(-Math.abs(x))
  return f((x >= 0 ? 1 : e) / f(1 + e))
}

const tanhTerms = [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1].map(f)

export function tanh(x: number): number {
  const a = Math.abs(x)
  const isNegative = x < 0 || Object.is(x, -0)
  let y: number
  if (a < 0.625) {
    const z = f(x * x)
    let p = tanhTerms[0] as number
    for (const term of tanhTerms.slice(1)) p = f(f(p * z) + term)
    y = f(f(f(p * z) * a) + a)
  } else y = f(1 - f(2 / f(exp(f(a + a)) + 1)))
  return isNegative ? -y : y
}

const erfOver = [
  -2.5999919519848394e-9, 8.186122127925233e-7, 6.555903454491745e-5, 0.0009362781093584551, 0.012025803395316646, 0.08135958584226496, 0.3552492560380422,
  1.1283791673583972,
]
const erfUnder = [1.0670706113993376e-5, 0.00025998733934078035, 0.0036069265726906712, 0.03236993266200068, 0.1881579755325084, 0.6481647943646744, 1]

/** A rational function that was fitted to `erf(x) / x` over x², of a relative error below 2.4e-10. */
function erfDouble(x: number): number {
  if (Math.abs(x) >= 3.95) return Math.sign(x)
  const t = x * x
  const at = (terms: ReadonlyArray<number>): number => terms.reduce((sum, term) => sum * t + term)
  return x * (at(erfOver) / at(erfUnder))
}

export const erf = (x: number): number => f(erfDouble(x))

/** `½x (1 + erf(x / √2))`. */
export const gelu = (x: number): number => (x === Number.NEGATIVE_INFINITY ? -0 : f(x * 0.5 * (1 + erfDouble(x * Math.SQRT1_2))))

export const silu = (x: number): number => (x === Number.NEGATIVE_INFINITY ? -0 : f(x * sigmoid(x)))

const geluScale = f(0.7978845608)
const geluCube = f(0.044715)

/** `½x (1 + tanh(√(2/π) (x + 0.044715 x³)))`. */
export function geluTanh(x: number): number {
  if (x === Number.NEGATIVE_INFINITY) return -0
  const inner = f(geluScale * f(x + f(geluCube * f(f(x * x) * x))))
  return f(f(0.5 * x) * f(1 + tanh(inner)))
}

/** NaN where one is, and +0 above -0. */
export const relu = (x: number): number => (Number.isNaN(x) ? x : x > 0 ? x : 0)

/** In the order of their numbers in `math.as.ts`. */
export const maps = {
  none: (x: number): number => x,
  relu,
  sigmoid,
  tanh,
  gelu,
  geluTanh,
  silu,
  exp,
  log,
  erf,
  sqrt: (x: number): number => f(Math.sqrt(x)),
  abs: Math.abs,
  neg: (x: number): number => -x,
} as const
export type MapName = keyof typeof maps
export const mapNames = Object.keys(maps) as ReadonlyArray<MapName>
