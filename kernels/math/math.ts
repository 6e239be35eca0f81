/**
 * What elementary functions are in `bitexact`, in plain TypeScript: each step is one rounding to float (`Math.fround`) or, in `log`, `erf`, `gelu`,
 * `pow`, `sin`, `cos`, `softplus`, `elu` and `selu`, of doubles that are rounded to float once. Every NaN that is written is 0x7FC00000.
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

/** Of a finite double above 0. */
function logDouble(x: number): number {
  double[0] = x
  const k = BigInt.asIntN(64, (long[0] as bigint) - 0x3fe6a09e667f3bcdn) >> 52n
  long[0] = (long[0] as bigint) - (k << 52n)
  const m = double[0] as number
  const s = (m - 1) / (m + 1)
  const z = s * s
  let p = 1 / 15
  for (const divisor of [13, 11, 9, 7, 5, 3, 1]) p = p * z + 1 / divisor
  return Number(k) * Math.LN2 + (s + s) * p
}

export function log(x: number): number {
  if (!(x >= 0)) return Number.NaN
  if (x === 0) return Number.NEGATIVE_INFINITY
  return x === Number.POSITIVE_INFINITY ? x : f(logDouble(x))
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
export function erfDouble(x: number): number {
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

/** ln 2 in two parts (fdlibm, `e_exp.c`). */
const ln2 = [0.6931471803691238, 1.9082149292705877e-10] as const

/** `2ⁿ` and `(exp(t) - 2ⁿ) / 2ⁿ`, with n the whole number next to t / ln 2, of t brought to -200 to 200. */
function expParts(t: number): readonly [scale: number, rest: number] {
  const limited = Math.min(Math.max(t, -200), 200)
  const n = nearest(limited * Math.LOG2E)
  const r = limited - n * ln2[0] - n * ln2[1]
  let p = 1 / 39916800
  for (const factorial of [3628800, 362880, 40320, 5040, 720, 120, 24, 6, 2]) p = p * r + 1 / factorial
  return [2 ** n, p * (r * r) + r]
}

function expDouble(t: number): number {
  const [scale, rest] = expParts(t)
  return scale * rest + scale
}

function expLessOne(t: number): number {
  const [scale, rest] = expParts(t)
  return scale * rest + (scale - 1)
}

/** `log(1 + exp(x))`. */
export function softplus(x: number): number {
  const e = expDouble(-Math.abs(x))
  const u = e + 1
  return f(Math.max(x, 0) + (u === 1 ? e : (logDouble(u) * e) / (u - 1)))
}

/** Bits of 4 / π. */
const quarters = 0xa2f9836e4e441529fc2757d1f534ddc0db6295993c439041n
const quarterBits = 192n

/** `sin(x + turn · π / 2)`. */
function sine(x: number, turn: 0 | 1): number {
  const a = Math.abs(x)
  if (!(a < Number.POSITIVE_INFINITY)) return Number.NaN
  let n: number
  let r: number
  if (a < 65_536) {
    const k = nearest(a * 0.6366197723675814)
    n = k
    r = a - k * 1.5707963109016418 - k * 1.5893254773528196e-8
  } else {
    float[0] = a
    const bits = BigInt(word[0] as number)
    // The float's 24 bits times 96 of 4 / π: what is above two bits is whole turns, and what is below 64 is left out.
    const m = ((bits & 0x7fffffn) | 0x800000n) << ((bits >> 23n) & 7n)
    const first = ((bits >> 26n) & 15n) * 8n
    const window = (at: bigint): bigint => (quarters >> (quarterBits - at - 8n)) & 0xffff_ffffn
    const high = (m * window(first)) & 0xffff_ffffn
    const left = (((m * window(first + 64n)) >> 32n) + (high << 32n) + m * window(first + 32n)) & 0xffff_ffff_ffff_ffffn
    const whole = ((left + (1n << 61n)) & 0xffff_ffff_ffff_ffffn) >> 62n
    n = Number(whole)
    r = Number(BigInt.asIntN(64, left - (whole << 62n))) * 3.4061215800865545e-19
  }
  n += turn
  const z = r * r
  const w = z * z
  const y =
    n % 2 === 0
      ? r + z * r * (z * 0.008333329385889463 - 0.16666666641626524) + z * r * w * (z * 2.718311493989822e-6 - 1.9839334836096632e-4)
      : z * -0.499999997251031 + 1 + w * 0.04166662332373906 + w * z * (z * 2.439044879627741e-5 - 0.001388676377460993)
  return f(((n & 2) !== 0) !== (turn === 0 && (x < 0 || Object.is(x, -0))) ? -y : y)
}

/** As IEEE 754-2019 has `pow`: 1 of whatever to 0 and of 1 to whatever, else NaN of a NaN. */
export function pow(x: number, y: number): number {
  if (y === 0 || x === 1) return 1
  if (Number.isNaN(x) || Number.isNaN(y)) return Number.NaN
  const a = Math.abs(x)
  const isWhole = y === Math.trunc(y)
  const isEnd = a === 0 || a === Number.POSITIVE_INFINITY
  const value = isEnd ? ((a === 0) === y > 0 ? 0 : Number.POSITIVE_INFINITY) : a === 1 ? 1 : f(expDouble(y * logDouble(a)))
  if (x > 0 || Object.is(x, 0)) return value
  if (isWhole) return y % 2 === 0 || Math.abs(y) === Number.POSITIVE_INFINITY ? value : -value
  return isEnd ? value : Number.NaN
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
  sign: Math.sign,
  floor: Math.floor,
  ceil: Math.ceil,
  /** Halves to even. */
  round: (x: number): number => (Number.isFinite(x) && x !== 0 ? (x < 0 ? -nearest(-x) : nearest(x)) : x),
  trunc: Math.trunc,
  /** `x / (1 + |x|)`; of what is infinite its sign. */
  softsign: (x: number): number => (Math.abs(x) === Number.POSITIVE_INFINITY ? Math.sign(x) : f(x / f(1 + Math.abs(x)))),
  softplus,
  /** With the factors of Klambauer et al. 2017, "Self-Normalizing Neural Networks". */
  selu: (x: number): number => f(1.0507009873554805 * (x >= 0 ? x : 1.6732632423543772 * expLessOne(x))),
  sin: (x: number): number => sine(x, 0),
  cos: (x: number): number => sine(x, 1),
} as const
export type MapName = keyof typeof maps
export const mapNames = Object.keys(maps) as ReadonlyArray<MapName>

/** Functions with parameters, floats; their numbers follow those of `maps`. */
export const mapsWith = {
  /** Slope `a` below 0. */
  leakyRelu: (x: number, a: number): number => (x >= 0 ? x : f(a * x)),
  /** `a · (exp(x) - 1)` below 0. */
  elu: (x: number, a: number): number => (x >= 0 ? x : f(a * expLessOne(x))),
  /** `a · x + b`, within 0 and 1. */
  hardSigmoid: (x: number, a: number, b: number): number => Math.max(Math.min(f(f(a * x) + b), 1), 0),
  /** Within `a` and `b`; where `a` is greater, `b`. */
  clip: (x: number, a: number, b: number): number => Math.min(Math.max(x, a), b),
} as const
export type MapWithName = keyof typeof mapsWith
export const mapWithNames = Object.keys(mapsWith) as ReadonlyArray<MapWithName>
