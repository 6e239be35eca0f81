/**
 * How far elementary functions are from the true values, in units in the last place of a float: for floats of each range, evenly over their bits and
 * evenly over their values. True values come from doubles, whose own errors are below 1e-8 of such a unit.
 */
import t from "tap"
import { openKernels } from "../../kernels/kernels.ts"
import { type MapName, mapNames, type MapWithName, mapWithNames, mapsWith, pow } from "../../kernels/math/math.ts"
import { bitsOf, Random } from "./random-floats.ts"
import { replay, runsOf, seed } from "../seed.ts"

t.comment(`${replay} replays`)
const count = runsOf(20_000, 4_000_000)
const exact = await openKernels()

/** By a series of terms that are all positive. */
function erf(x: number): number {
  const a = Math.abs(x)
  if (a > 6) return Math.sign(x)
  let [term, sum] = [a, a]
  for (let n = 1; term > sum * 1e-18; n++) {
    term *= (2 * a * a) / (2 * n + 1)
    sum += term
  }
  return (Math.sign(x) * 2 * Math.exp(-a * a) * sum) / Math.sqrt(Math.PI)
}

const sigmoid = (x: number): number => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)))
const infinite = Number.POSITIVE_INFINITY
const largest = 3.4028234663852886e38

interface Bound {
  readonly name: MapName
  readonly of: (x: number) => number
  readonly from: number
  readonly to: number
  /** Units in the last place. */
  readonly ulps: number
}

/** The bounds that `kernels/README.md` states. */
const bounds: ReadonlyArray<Bound> = [
  { name: "exp", of: Math.exp, from: -103, to: 88.72, ulps: 1.1 },
  { name: "log", of: Math.log, from: 1e-45, to: largest, ulps: 0.501 },
  { name: "sigmoid", of: sigmoid, from: -87, to: 20, ulps: 3 },
  { name: "tanh", of: Math.tanh, from: -20, to: 20, ulps: 1.5 },
  { name: "erf", of: erf, from: -infinite, to: infinite, ulps: 0.51 },
  { name: "gelu", of: (x) => x * 0.5 * (1 + erf(x * Math.SQRT1_2)), from: -1, to: 100, ulps: 0.52 },
  { name: "geluTanh", of: (x) => x * 0.5 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))), from: -0.5, to: 100, ulps: 3 },
  { name: "silu", of: (x) => x * sigmoid(x), from: -87, to: 100, ulps: 3.5 },
  { name: "sqrt", of: Math.sqrt, from: 0, to: largest, ulps: 0.5 },
  { name: "softsign", of: (x) => x / (1 + Math.abs(x)), from: -largest, to: largest, ulps: 1.5 },
  { name: "softplus", of: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))), from: -103, to: largest, ulps: 0.501 },
  { name: "selu", of: (x) => 1.0507009873554805 * (x >= 0 ? x : 1.6732632423543772 * Math.expm1(x)), from: -largest, to: 3e38, ulps: 0.501 },
  { name: "sin", of: Math.sin, from: -largest, to: largest, ulps: 0.51 },
  { name: "cos", of: Math.cos, from: -largest, to: largest, ulps: 0.51 },
]

const word = new Int32Array(1)
const float = new Float32Array(word.buffer)
/** Whole numbers in the order of floats. */
const ordered = (x: number): number => {
  const bits = bitsOf(x) | 0
  return bits < 0 ? -(bits & 0x7fffffff) : bits
}
const fromOrdered = (at: number): number => {
  word[0] = at < 0 ? 0x80000000 | -at : at
  return float[0] as number
}

function samples(random: Random, from: number, to: number): Float32Array {
  const [low, high] = [ordered(from), ordered(to)]
  const [least, most] = [Math.max(from, -1e5), Math.min(to, 1e5)]
  return Float32Array.from({ length: count }, (_, i) => {
    const part = (i + random.word() / 2 ** 32) / count
    return i % 2 === 0 ? fromOrdered(Math.round(low + (high - low) * part)) : Math.min(to, Math.max(from, Math.fround(least + (most - least) * part)))
  })
}

/** In units in the last place of the true value. */
function error(found: number, wanted: number): number {
  if (Object.is(Math.fround(wanted), found)) return Math.abs(wanted) === infinite ? 0 : Math.abs(found - wanted) / unit(wanted)
  if (Math.abs(wanted) > largest) return Math.abs(found) === infinite && Math.sign(found) === Math.sign(wanted) ? 0 : infinite
  return Math.abs(found - wanted) / unit(wanted)
}

function unit(x: number): number {
  const size = Math.abs(Math.fround(x))
  return size < 2 ** -126 ? 2 ** -149 : 2 ** ((bitsOf(size) >>> 23) - 150)
}

for (const { from, name, of, to, ulps } of bounds)
  t.test(`${name} is within ${ulps} units in the last place from ${from} to ${to}`, (t) => {
    const random = new Random(seed + mapNames.indexOf(name))
    const x = samples(random, from, to)
    const [a, out] = [exact.numbers(x), exact.zeros(x.length)]
    exact.map(name, out, a)
    let [most, at] = [0, 0]
    out.array.forEach((found, i) => {
      const one = error(found, of(x[i] as number))
      if (!(one <= most)) [most, at] = [one, x[i] as number]
    })
    t.ok(most <= ulps, `${most.toFixed(4)} at ${at}`)
    t.comment(`${name}: ${most.toFixed(4)} at ${at}`)
    a.free()
    out.free()
    t.end()
  })

t.test("elu is within 0.501 units in the last place, whatever its factor", (t) => {
  const random = new Random(seed + 100)
  let most = 0
  for (const x of samples(random, -200, 1)) {
    const factor = Math.fround(random.word() / 2 ** 30)
    most = Math.max(most, error(mapsWith.elu(x, factor), x >= 0 ? x : factor * Math.expm1(x)))
  }
  t.ok(most <= 0.501, most.toFixed(4))
  t.end()
})

t.test("pow is within 0.501 units in the last place where it is a normal float", (t) => {
  const random = new Random(seed + 101)
  let [most, at] = [0, ""]
  for (const x of samples(random, 1e-45, largest)) {
    const reach = 87 / Math.abs(Math.log(x))
    const y = Math.fround((random.word() / 2 ** 31 - 1) * Math.min(reach, 1e30))
    // A double's power has the error of its product with the logarithm: near 1 that is what a wider logarithm tells apart.
    const wanted = Math.abs(x - 1) < 2 ** -8 ? Math.exp(y * Math.log1p(x - 1)) : x ** y
    const one = error(pow(x, y), wanted)
    if (one > most) [most, at] = [one, `${x} ** ${y}`]
  }
  t.ok(most <= 0.501, `${most.toFixed(4)} at ${at}`)
  t.comment(most.toFixed(4))
  t.end()
})

t.test("whole powers are exact where they are floats, and special cases are those of IEEE 754", (t) => {
  for (let x = -9; x <= 9; x++) for (let y = 0; y <= 7; y++) t.equal(pow(x, y), x ** y, `${x} ** ${y}`)
  t.equal(pow(9, 0.5), 3)
  t.equal(pow(2, -149), 2 ** -149)
  const nan = Number.NaN
  const cases: ReadonlyArray<readonly [x: number, y: number, value: number]> = [
    ...[nan, infinite, -infinite, 0, -0, 7].map((x) => [x, 0, 1] as const),
    ...[nan, infinite, -infinite, 3].map((y) => [1, y, 1] as const),
    ...[nan, 2].map((x) => [x, x === 2 ? nan : 2, nan] as const),
    [-1, infinite, 1],
    [-1, -infinite, 1],
    [-2, 0.5, nan],
    [-2, 3, -8],
    [0, -1, infinite],
    [-0, -1, -infinite],
    [-0, -2, infinite],
    [-0, 3, -0],
    [-0, 0.5, 0],
    [0.5, infinite, 0],
    [0.5, -infinite, infinite],
    [-2, infinite, infinite],
    [-2, -infinite, 0],
    [infinite, 2, infinite],
    [infinite, -2, 0],
    [-infinite, 3, -infinite],
    [-infinite, 2, infinite],
    [-infinite, -3, -0],
    [-infinite, 0.5, infinite],
    [10, 39, infinite],
    [-10, 39, -infinite],
    [10, -60, 0],
    [-1, 16777216, 1],
    [-1, 16777215, -1],
    [-3, 2 ** 40, infinite],
  ]
  for (const [x, y, value] of cases) t.ok(Object.is(pow(x, y), value), `${x} ** ${y} is ${pow(x, y)}, not ${value}`)
  t.end()
})

t.test("what is said of zeros, infinities and NaN", (t) => {
  const of = (name: MapName, x: number): number => {
    using a = exact.numbers([x])
    exact.map(name, a, a)
    return a.array[0] as number
  }
  const same = (name: MapName, x: number, y: number) => t.ok(Object.is(of(name, x), y), `${name} of ${x} is ${of(name, x)}, not ${y}`)
  for (const name of ["sin", "sign", "floor", "ceil", "round", "trunc", "softsign", "selu", "tanh", "erf"] as const) {
    same(name, -0, -0)
    same(name, 0, 0)
  }
  for (const name of mapNames) same(name, Number.NaN, Number.NaN)
  for (const name of ["sin", "cos"] as const) for (const x of [infinite, -infinite]) same(name, x, Number.NaN)
  same("cos", 0, 1)
  same("softplus", infinite, infinite)
  same("softplus", -infinite, 0)
  same("softsign", -infinite, -1)
  same("selu", -infinite, Math.fround(-1.0507009873554805 * 1.6732632423543772))
  same("round", 0.5, 0)
  same("round", -2.5, -2)
  t.end()
})

t.test("functions with parameters refuse more than they have, and names that are none", (t) => {
  const x = exact.zeros(1)
  for (const name of mapWithNames) t.throws(() => exact.mapWith(name, x, x, [1, 2, 3]), { code: "STELE-KRN-0003", message: /"parameters" is 3 numbers/ })
  t.throws(() => exact.mapWith("swish" as MapWithName, x, x), { code: "STELE-KRN-0006", message: /there are leakyRelu, elu, hardSigmoid, clip/ })
  x.free()
  t.end()
})
