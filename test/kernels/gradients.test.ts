/**
 * Gradients against differences of the function itself, in doubles: `(f(x + h) - f(x - h)) / 2h` with h of 1e-5, whose own error is below 1e-8 here. What kernels give in floats may
 * differ by 1e-4 of the larger of 1 and the gradient.
 */
import t, { type Test } from "tap"
import { type Convolution, type Floats, openKernels } from "../../kernels/kernels.ts"
import { type GradientName, gradientNames, gradients } from "../../kernels/math/backward.ts"
import type { MapName, MapWithName } from "../../kernels/math/math.ts"
import { openTrainingKernels } from "../../kernels/training.ts"
import { replay, seed } from "../seed.ts"
import { Random } from "./random-floats.ts"

t.comment(`${replay} replays`)
const kernels = await openKernels()
const training = await openTrainingKernels(kernels)

const step = 1e-5
const bound = 1e-4

type Doubles = ReadonlyArray<number>
type Values = Readonly<Record<string, Doubles>>
type Arrays = Readonly<Record<string, Floats>>

/** Floats, so that kernels and differences begin at the same place. */
const numbers = (random: Random, n: number, least = -1, most = 1): Doubles =>
  Array.from({ length: n }, () => Math.fround(least + ((most - least) * random.word()) / 2 ** 32))

/** Compares what `backward` gives for each operand that it names `d…` with differences of `Σ dy · forward`. */
function check(
  t: Test,
  title: string,
  given: Values,
  forward: (of: Values) => Doubles,
  backward: (arrays: Arrays, dy: Floats) => Readonly<Record<string, Floats>>,
): void {
  const random = new Random(seed + 100)
  const dy = numbers(random, forward(given).length)
  const total = (of: Values): number => forward(of).reduce((sum, y, i) => sum + y * (dy[i] as number), 0)
  const arrays = Object.fromEntries(Object.entries(given).map(([name, values]) => [name, kernels.numbers(values)]))
  const from = kernels.numbers(dy)
  for (const [name, array] of Object.entries(backward(arrays, from))) {
    const operand = given[name.slice(1)] as Doubles
    t.equal(array.length, operand.length)
    array.array.forEach((found, i) => {
      const at = (by: number): number => total({ ...given, [name.slice(1)]: operand.with(i, (operand[i] as number) + by) })
      const wanted = (at(step) - at(-step)) / (2 * step)
      if (!(Math.abs(found - wanted) <= bound * Math.max(1, Math.abs(wanted)))) t.fail(`${title}: ${name}[${i}] is ${found}, and differences say ${wanted}`)
    })
  }
  t.pass(title)
}

const zeros = (of: Floats | undefined): Floats => kernels.zeros((of as Floats).length)

/** Each row of `n` by a function. */
const byRow = (x: Doubles, n: number, map: (row: Doubles) => Doubles): Doubles =>
  Array.from({ length: x.length / n }, (_, row) => map(x.slice(row * n, (row + 1) * n))).flat()

const product = (a: Doubles, b: Doubles, m: number, k: number, n: number): Doubles =>
  Array.from({ length: m * n }, (_, i) => {
    let sum = 0
    for (let at = 0; at < k; at++) sum += (a[Math.floor(i / n) * k + at] as number) * (b[at * n + (i % n)] as number)
    return sum
  })
const turned = (x: Doubles, rows: number, columns: number): Doubles =>
  Array.from({ length: x.length }, (_, i) => x[(i % rows) * columns + Math.floor(i / rows)] as number)

const sum = (x: Doubles): number => x.reduce((all, value) => all + value, 0)
const softmax = (x: Doubles): Doubles => {
  const e = x.map((value) => Math.exp(value - Math.max(...x)))
  return e.map((value) => value / sum(e))
}

t.test("dense layers", (t) => {
  const random = new Random(seed)
  const [m, k, n] = [4, 5, 3]
  for (const isTransposedB of [false, true])
    check(
      t,
      isTransposedB ? "weights [n, k]" : "weights [k, n]",
      { x: numbers(random, m * k), w: numbers(random, k * n), b: numbers(random, n) },
      ({ b = [], w = [], x = [] }) => product(x, isTransposedB ? turned(w, n, k) : w, m, k, n).map((y, i) => y + (b[i % n] as number)),
      ({ b, w, x }, dy) => {
        const out = { dx: zeros(x), dw: zeros(w), db: zeros(b) }
        training.denseBackward(out, { x: x as Floats, w: w as Floats, dy }, { m, k, n, isTransposedB })
        return out
      },
    )
  t.end()
})

/** By its series, to the last bit up to 4. */
function erf(x: number): number {
  let [term, all] = [x, x]
  for (let n = 1; n < 100; n++) {
    term *= -(x * x) / n
    all += term / (2 * n + 1)
  }
  return (2 / Math.sqrt(Math.PI)) * all
}

const functions: Readonly<Record<GradientName, (x: number) => number>> = {
  none: (x) => x,
  relu: (x) => Math.max(x, 0),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  tanh: Math.tanh,
  gelu: (x) => (x * (1 + erf(x / Math.SQRT2))) / 2,
  geluTanh: (x) => (x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))) / 2,
  silu: (x) => x / (1 + Math.exp(-x)),
  exp: Math.exp,
  log: Math.log,
  erf,
  sqrt: Math.sqrt,
  abs: Math.abs,
  neg: (x) => -x,
  softsign: (x) => x / (1 + Math.abs(x)),
  softplus: (x) => Math.log1p(Math.exp(x)),
  selu: (x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
  leakyRelu: (x) => (x > 0 ? x : 0.01 * x),
  elu: (x) => (x > 0 ? x : Math.expm1(x)),
  hardSigmoid: (x) => Math.min(Math.max(0.2 * x + 0.5, 0), 1),
  clip: (x) => x,
}

t.test("functions", (t) => {
  const random = new Random(seed + 1)
  for (const name of gradientNames) {
    const isPositive = name === "log" || name === "sqrt"
    // Not where left and right differ.
    const x = numbers(random, 60, isPositive ? 0.2 : -3.5, 3.5).map((value) => (Math.abs(value) < 0.01 || Math.abs(Math.abs(value) - 2.5) < 0.01 ? 1 : value))
    check(
      t,
      name,
      { x },
      ({ x = [] }) => x.map(functions[name]),
      ({ x }, dy) => {
        const [out, y] = [{ dx: zeros(x) }, zeros(x)]
        if (name === "leakyRelu" || name === "elu" || name === "hardSigmoid" || name === "clip") kernels.mapWith(name satisfies MapWithName, y, x as Floats)
        else kernels.map(name satisfies MapName, y, x as Floats)
        training.mapBackward(name, out, gradients[name].of === "y" ? { y, dy } : { x: x as Floats, dy })
        return out
      },
    )
  }
  t.end()
})

t.test("softmax and cross entropy", (t) => {
  const random = new Random(seed + 2)
  const [rows, n] = [3, 7]
  const x = numbers(random, rows * n, -3, 3)
  check(
    t,
    "softmax",
    { x },
    ({ x = [] }) => byRow(x, n, softmax),
    ({ x }, dy) => {
      const [out, y] = [{ dx: zeros(x) }, zeros(x)]
      kernels.softmax(y, x as Floats, n)
      training.softmaxBackward(out, { y, dy }, n)
      return out
    },
  )
  check(
    t,
    "log-softmax",
    { x },
    ({ x = [] }) => byRow(x, n, (row) => softmax(row).map(Math.log)),
    ({ x }, dy) => {
      const [out, y] = [{ dx: zeros(x) }, zeros(x)]
      kernels.logSoftmax(y, x as Floats, n)
      training.logSoftmaxBackward(out, { y, dy }, n)
      return out
    },
  )
  const labels = kernels.integers(rows)
  labels.array.set([6, 0, 3])
  const p = byRow(numbers(random, rows * n, 0, 1), n, (row) => row.map((part) => part / sum(row)))
  for (const target of [labels, kernels.numbers(p)]) {
    const parts = target.type === "i32" ? p.map((_, i) => Number(labels.array[Math.floor(i / n)] === i % n)) : p
    const loss = (x: Doubles): number => -sum(byRow(x, n, (row) => softmax(row).map(Math.log)).map((log, i) => log * (parts[i] as number))) / rows
    check(
      t,
      `cross entropy by ${target.type === "i32" ? "classes" : "distributions"}`,
      { x },
      ({ x = [] }) => [loss(x)],
      ({ x: from }, dy) => {
        const out = { dx: zeros(from) }
        const found = training.crossEntropy(out, { x: from as Floats, labels: target }, n)
        t.ok(Math.abs(found - loss(x)) < 1e-5, `${found}, which is ${loss(x)}`)
        kernels.mulScalar(out.dx, out.dx, dy.array[0] as number)
        return out
      },
    )
  }
  t.end()
})

t.test("norms", (t) => {
  const random = new Random(seed + 3)
  const [rows, n] = [3, 6]
  const epsilon = 1e-3
  const given = { x: numbers(random, rows * n), gamma: numbers(random, n), beta: numbers(random, n) }
  const normed = (x: Doubles, isCentered: boolean): Doubles => {
    const shifted = x.map((value) => value - (isCentered ? sum(x) / x.length : 0))
    return shifted.map((value) => value / Math.sqrt(sum(shifted.map((value) => value * value)) / x.length + epsilon))
  }
  check(
    t,
    "layer norm",
    given,
    ({ beta = [], gamma = [], x = [] }) => byRow(x, n, (row) => normed(row, true).map((y, i) => y * (gamma[i] as number) + (beta[i] as number))),
    ({ beta, gamma, x }, dy) => {
      const out = { dx: zeros(x), dgamma: zeros(gamma), dbeta: zeros(beta) }
      training.layerNormBackward(out, { x: x as Floats, gamma: gamma as Floats, dy }, n, { epsilon })
      return out
    },
  )
  check(
    t,
    "rms norm",
    given,
    ({ gamma = [], x = [] }) => byRow(x, n, (row) => normed(row, false).map((y, i) => y * (gamma[i] as number))),
    ({ gamma, x }, dy) => {
      const out = { dx: zeros(x), dgamma: zeros(gamma) }
      training.rmsNormBackward(out, { x: x as Floats, gamma: gamma as Floats, dy }, n, { epsilon })
      return out
    },
  )
  const [batch, channels, size] = [3, 2, 4]
  const channelOf = (i: number): number => Math.floor(i / size) % channels
  check(
    t,
    "batch norm",
    { x: numbers(random, batch * channels * size), gamma: numbers(random, channels), beta: numbers(random, channels) },
    ({ beta = [], gamma = [], x = [] }) => {
      const places = Array.from({ length: channels }, () => 0)
      const all = places.map((_, channel) =>
        normed(
          x.filter((_, i) => channelOf(i) === channel),
          true,
        ),
      )
      return x.map((_, i) => {
        const channel = channelOf(i)
        const y = all[channel]?.[places[channel] as number] as number
        places[channel] = (places[channel] as number) + 1
        return y * (gamma[channel] as number) + (beta[channel] as number)
      })
    },
    ({ beta, gamma, x }, dy) => {
      const measured = { mean: zeros(gamma), variance: zeros(gamma) }
      training.batchStatistics(measured, x as Floats, { batch })
      const out = { dx: zeros(x), dgamma: zeros(gamma), dbeta: zeros(beta) }
      training.batchNormBackward(out, { ...measured, x: x as Floats, gamma: gamma as Floats, dy }, { batch, epsilon })
      return out
    },
  )
  t.end()
})

/** In one dimension written as two: what a tap of an output meets, term by term. */
function convolved(of: Convolution, x: Doubles, w: Doubles, b: Doubles): Doubles {
  const { batch, groups, inChannels, inSize, isTransposed, kernel, outChannels, outSize, padding, stride, dilation } = kernels.convolutionShape(of)
  const [channels, high] = [inChannels / groups, outChannels / groups]
  const out = Array.from(
    { length: batch * outChannels * outSize[1] * outSize[2] },
    (_, i) => b[Math.floor(i / (outSize[1] * outSize[2])) % outChannels] as number,
  )
  for (let image = 0; image < batch; image++)
    for (let o = 0; o < outChannels; o++)
      for (let c = 0; c < channels; c++)
        for (let ky = 0; ky < kernel[1]; ky++)
          for (let kx = 0; kx < kernel[2]; kx++) {
            const group = Math.floor(o / high)
            const weight = isTransposed ? ((group * channels + c) * high + (o % high)) * kernel[1] * kernel[2] : (o * channels + c) * kernel[1] * kernel[2]
            const by = w[weight + ky * kernel[2] + kx] as number
            // Of a transposed one the image's places are what goes step by step.
            const [steps, others] = isTransposed ? [inSize, outSize] : [outSize, inSize]
            for (let sy = 0; sy < steps[1]; sy++)
              for (let sx = 0; sx < steps[2]; sx++) {
                const [y, z] = [sy * stride[1] - padding[1] + ky * dilation[1], sx * stride[2] - padding[2] + kx * dilation[2]]
                if (y < 0 || y >= others[1] || z < 0 || z >= others[2]) continue
                const [stepped, other] = [sy * steps[2] + sx, y * others[2] + z]
                const from = (image * inChannels + group * channels + c) * inSize[1] * inSize[2] + (isTransposed ? stepped : other)
                const to = (image * outChannels + o) * outSize[1] * outSize[2] + (isTransposed ? other : stepped)
                out[to] = (out[to] as number) + by * (x[from] as number)
              }
          }
  return out
}

t.test("convolutions", (t) => {
  const random = new Random(seed + 4)
  const all: ReadonlyArray<Convolution> = [
    { batch: 2, inChannels: 3, outChannels: 2, inSize: [5, 4], kernel: [3, 3], padding: [1, 1, 1, 1] },
    { batch: 2, inChannels: 4, outChannels: 6, groups: 2, inSize: [7, 6], kernel: [2, 3], stride: [2, 3], padding: [1, 0, 0, 2], dilation: [2, 1] },
    { inChannels: 3, outChannels: 3, groups: 3, inSize: [9], kernel: [3], padding: [1, 1] },
    { batch: 2, inChannels: 2, outChannels: 4, groups: 2, inSize: [3, 4], kernel: [3, 2], stride: [2, 1], padding: [1, 0, 0, 0], isTransposed: true },
    { inChannels: 2, outChannels: 3, inSize: [4], kernel: [3], stride: [3], outputPadding: [2], isTransposed: true },
  ]
  for (const of of all) {
    const { batch, groups, inChannels, inSize, kernel, outChannels } = kernels.convolutionShape(of)
    check(
      t,
      JSON.stringify(of),
      {
        x: numbers(random, batch * inChannels * inSize[1] * inSize[2]),
        w: numbers(random, (inChannels * outChannels * kernel[1] * kernel[2]) / groups),
        b: numbers(random, outChannels),
      },
      ({ b = [], w = [], x = [] }) => convolved(of, x, w, b),
      ({ b, w, x }, dy) => {
        const out = { dx: zeros(x), dw: zeros(w), db: zeros(b) }
        training.convolveBackward(out, { x: x as Floats, w: w as Floats, dy }, of)
        return out
      },
    )
  }
  t.end()
})

t.test("pooling, and rows by their places", (t) => {
  const random = new Random(seed + 5)
  const of = { planes: 2, inSize: [5, 6], kernel: [3, 2], stride: [2, 2], padding: [1, 0, 1, 1] }
  const [outH, outW] = [3, 3]
  for (const kind of ["max", "mean"] as const)
    check(
      t,
      kind,
      { x: numbers(random, 60) },
      ({ x = [] }) =>
        Array.from({ length: 2 * outH * outW }, (_, i) => {
          const [plane, oy, ox] = [Math.floor(i / (outH * outW)), Math.floor(i / outW) % outH, i % outW]
          const inside: Array<number> = []
          for (let y = oy * 2 - 1; y < oy * 2 + 2; y++)
            for (let z = ox * 2; z < ox * 2 + 2; z++) if (y >= 0 && y < 5 && z >= 0 && z < 6) inside.push(x[(plane * 5 + y) * 6 + z] as number)
          return kind === "max" ? Math.max(...inside) : sum(inside) / inside.length
        }),
      ({ x }, dy) => {
        const out = { dx: zeros(x) }
        training.poolBackward(out, { x: x as Floats, dy }, kind, of)
        return out
      },
    )
  const places = kernels.integers(5)
  places.array.set([0, 2, -1, 2, 0])
  check(
    t,
    "gather",
    { x: numbers(random, 12) },
    ({ x = [] }) => [...places.array].flatMap((place) => x.slice(((place + 4) % 4) * 3, ((place + 4) % 4) * 3 + 3)),
    ({ x }, dy) => {
      const out = { dx: zeros(x) }
      training.gatherBackward(out, { places, dy }, 3)
      return out
    },
  )
  t.end()
})

t.test("attention", (t) => {
  const random = new Random(seed + 6)
  const [heads, queries, keys, d, width] = [2, 3, 4, 5, 2]
  const mask = kernels.numbers([0, -1e9, 0, 0.5, 0, 0, -1e9, -1e9, 0, 0, 0, 0])
  const shape = { heads, queries, keys, d, width, mask }
  check(
    t,
    "attention",
    { q: numbers(random, heads * queries * d), k: numbers(random, heads * keys * d), v: numbers(random, heads * keys * width) },
    ({ k = [], q = [], v = [] }) =>
      Array.from({ length: heads }, (_, head) => {
        const part = (of: Doubles) => of.slice((head * of.length) / heads, ((head + 1) * of.length) / heads)
        const scores = product(part(q), turned(part(k), keys, d), queries, d, keys).map((score, i) => score / Math.sqrt(d) + (mask.array[i] as number))
        return product(byRow(scores, keys, softmax), part(v), queries, keys, width)
      }).flat(),
    ({ k, q, v }, dy) => {
      const given = { q: q as Floats, k: k as Floats, v: v as Floats }
      const out = { dq: zeros(q), dk: zeros(k), dv: zeros(v) }
      training.attentionBackward(out, { ...given, dy }, shape)
      return out
    },
  )
  t.end()
})
