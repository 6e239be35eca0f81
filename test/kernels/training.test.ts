/** Each kernel of training against its plain reference: equal bits in `bitexact`, a bound in `fast`; and what is trained with them. */
import t, { type Test } from "tap"
import { unpacked } from "../../kernels/memory/module.ts"
import { attention, attentionBackward } from "../../kernels/attention/attention.ts"
import { convolveBackward } from "../../kernels/convolve/backward.ts"
import { type Convolution, type Floats, openKernels } from "../../kernels/kernels.ts"
import { crossEntropy } from "../../kernels/loss/loss.ts"
import { gradientNames, gradients } from "../../kernels/math/backward.ts"
import { matmul } from "../../kernels/matmul/matmul.ts"
import { gatherBackward } from "../../kernels/move/backward.ts"
import {
  batchNormBackward,
  batchStatistics,
  layerNormBackward,
  logSoftmaxBackward,
  rmsNormBackward,
  softmaxBackward,
} from "../../kernels/normalize/backward.ts"
import { logSoftmax, softmax } from "../../kernels/normalize/normalize.ts"
import * as optimize from "../../kernels/optimize/optimize.ts"
import { poolBackward } from "../../kernels/pool/backward.ts"
import { dropout, philox, uniform } from "../../kernels/random/random.ts"
import { columnSums } from "../../kernels/reduce/columns.ts"
import { mean } from "../../kernels/reduce/reduce.ts"
import { type AdamState, openTrainingKernels, type TrainingKernels } from "../../kernels/training.ts"
import { replay, runsOf, seed } from "../seed.ts"
import { difference, distance, Random, randomFloats } from "./random-floats.ts"

t.comment(`${replay} replays`)
const rounds = runsOf(40, 400)

const exact = await openTrainingKernels(await openKernels())
const fast = await openTrainingKernels(await openKernels({ mode: "fast" }))
const both = [exact, fast] as const

const freed = (...all: ReadonlyArray<Floats>): void => all.forEach((one) => one.free())

/** Sizes that begin and end in every loop of a kernel, none among them. */
const sizes = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 67]

/** Arrays in the kernels' memory, freed at the end of a block. */
class Arrays {
  readonly #training: TrainingKernels
  readonly #made: Array<{ free(): void }> = []

  constructor(training: TrainingKernels) {
    this.#training = training
  }

  of(values: ArrayLike<number>): Floats {
    const made = this.#training.kernels.numbers(values)
    this.#made.push(made)
    return made
  }

  /** What a kernel must write every number of. */
  out(length: number): Floats {
    const made = this.of(new Float32Array(length).fill(7))
    return made
  }

  integers(values: ArrayLike<number>) {
    const made = this.#training.kernels.integers(values.length)
    made.array.set(values)
    this.#made.push(made)
    return made
  }

  [Symbol.dispose](): void {
    for (const one of this.#made) one.free()
  }
}

/** Runs a kernel in both modes and compares what it wrote. `isAwkward`: among the numbers are such as `fast` says nothing of. */
function compare(
  t: Test,
  title: string,
  expected: Readonly<Record<string, Float32Array>>,
  run: (training: TrainingKernels, arrays: Arrays) => Readonly<Record<string, Floats>>,
  { bound = 1e-5, isAwkward = false } = {},
): void {
  for (const training of both) {
    const before = training.kernels.bytesUsed
    {
      using arrays = new Arrays(training)
      const found = run(training, arrays)
      for (const [name, wanted] of Object.entries(expected)) {
        const { array } = found[name] as Floats
        if (training.mode === "bitexact") {
          const problem = difference(array, wanted)
          if (problem !== undefined) t.fail(`${title}: ${name} ${problem}`)
        } else if (!isAwkward && distance(array, wanted) > bound) t.fail(`${title}, fast: ${name} is ${distance(array, wanted)} from it`)
      }
    }
    if (training.kernels.bytesUsed !== before) t.fail(`${title}: ${training.kernels.bytesUsed - before} bytes are left`)
  }
}

t.test("dense layers", (t) => {
  const random = new Random(seed)
  for (let round = 0; round < rounds * 2; round++) {
    const [m, k, n] = [random.pick(sizes), random.pick(sizes), random.pick(sizes)]
    const isTransposedB = round % 2 === 1
    const isAwkward = round % 5 === 0
    const numbers = (length: number) => randomFloats(random, length, isAwkward ? 2 : 0)
    const [x, w, dy] = [numbers(m * k), numbers(k * n), numbers(m * n)]
    const expected = {
      dx: matmul({ m, k: n, n: k, a: dy, b: w, isTransposedB: !isTransposedB }),
      dw: isTransposedB ? matmul({ m: n, k: m, n: k, a: dy, b: x, isTransposedA: true }) : matmul({ m: k, k: m, n, a: x, b: dy, isTransposedA: true }),
      db: columnSums(dy, n),
    }
    compare(
      t,
      `dense [${m}, ${k}] · [${k}, ${n}]${isTransposedB ? " transposed" : ""}`,
      expected,
      (training, arrays) => {
        const out = { dx: arrays.out(m * k), dw: arrays.out(k * n), db: arrays.out(n) }
        training.denseBackward(out, { x: arrays.of(x), w: arrays.of(w), dy: arrays.of(dy) }, { m, k, n, isTransposedB })
        return out
      },
      { isAwkward },
    )
  }
  t.pass()
  t.end()
})

t.test("functions", (t) => {
  const random = new Random(seed + 1)
  const far = [0, -0, 1, -1, 15, -15.5, 88, -88.7, 103.9, -104, 128.5, -129, 1e20, -1e20]
  for (const n of [...Array.from({ length: 40 }, (_, i) => i), ...Array.from({ length: rounds }, () => random.whole(40, 400))])
    for (const isAwkward of [false, true]) {
      const x = randomFloats(random, n, isAwkward ? 15 : 0).map((value, i) => (isAwkward && i % 7 === 3 ? random.pick(far) : value * 4))
      const dy = randomFloats(random, n, isAwkward ? 5 : 0)
      const parameters = { leakyRelu: [0.2], elu: [1.3], hardSigmoid: [0.3, 0.4], clip: [-0.5, 1.5] }
      for (const name of gradientNames) {
        // What log and sqrt are given is positive, and what they divide by far from 0 where a bound is asked for.
        const given = isAwkward || (name !== "log" && name !== "sqrt") ? x : x.map((value) => Math.abs(value) + 0.1)
        const more = name in parameters ? parameters[name as keyof typeof parameters] : []
        const [a = 0, b = 0] = more
        compare(
          t,
          `${name} of ${n}`,
          { dx: given.map((value, i) => gradients[name].at(value, dy[i] as number, a, b)) },
          (training, arrays) => {
            const dx = arrays.out(n)
            training.mapBackward(name, { dx }, { [gradients[name].of]: arrays.of(given), dy: arrays.of(dy) }, more)
            return { dx }
          },
          { isAwkward },
        )
      }
    }
  t.pass()
  t.end()
})

t.test("softmax, and its cross entropy by classes and by distributions", (t) => {
  const random = new Random(seed + 2)
  for (let round = 0; round < rounds * 3; round++) {
    const [rows, n] = [random.whole(0, 4), random.pick([...sizes.slice(1), random.whole(68, 300)])]
    const isAwkward = round % 4 === 0
    const x = randomFloats(random, rows * n, isAwkward ? 2 : 0).map((value) => value * 8)
    const dy = randomFloats(random, rows * n, isAwkward ? 1 : 0)
    const perRow = (of: (row: number) => Float32Array) => Float32Array.from(Array.from({ length: rows }, (_, row) => [...of(row)]).flat())
    const row = (of: Float32Array, at: number) => of.subarray(at * n, (at + 1) * n)
    const [y, logs] = [perRow((at) => softmax(row(x, at))), perRow((at) => logSoftmax(row(x, at)))]
    const title = `${rows} × ${n}`
    compare(
      t,
      `softmax of ${title}`,
      { dx: perRow((at) => softmaxBackward(row(y, at), row(dy, at))), dl: perRow((at) => logSoftmaxBackward(row(logs, at), row(dy, at))) },
      (training, arrays) => {
        const out = { dx: arrays.out(rows * n), dl: arrays.of(dy) }
        training.softmaxBackward(out, { y: arrays.of(y), dy: arrays.of(dy) }, n)
        // In place.
        training.logSoftmaxBackward({ dx: out.dl }, { y: arrays.of(logs), dy: out.dl }, n)
        return out
      },
      { isAwkward },
    )
    const labels = Int32Array.from({ length: rows }, () => random.whole(0, n - 1))
    // Some probabilities are 0, and where they are, what is infinite does not count.
    const p = perRow(() => {
      const parts = randomFloats(random, n).map((value) => Math.max(0, value))
      const all = parts.reduce((sum, part) => sum + part, 0)
      return parts.map((part) => part / (all === 0 ? 1 : all))
    })
    for (const target of [labels, p]) {
      const wanted = crossEntropy(x, n, (at) => (target instanceof Int32Array ? (target[at] as number) : row(target, at)))
      compare(
        t,
        `cross entropy of ${title}`,
        { ...wanted, mean: Float32Array.of(mean(wanted.losses)) },
        (training, arrays) => {
          const out = { dx: arrays.out(rows * n), losses: arrays.out(rows), mean: arrays.out(1) }
          const given = { x: arrays.of(x), labels: target instanceof Int32Array ? arrays.integers(target) : arrays.of(target) }
          out.mean.array[0] = training.crossEntropy(out, given, n)
          // In place, and without a loss of each row.
          const again = training.crossEntropy({ dx: given.x }, given, n)
          if (training.mode === "bitexact" && difference(given.x.array, out.dx.array) !== undefined) t.fail("in place it is another")
          if (training.mode === "bitexact" && !Object.is(again, out.mean.array[0])) t.fail("without losses it is another")
          return out
        },
        { isAwkward: isAwkward || rows === 0 },
      )
    }
  }
  t.pass()
  t.end()
})

t.test("norms", (t) => {
  const random = new Random(seed + 3)
  for (let round = 0; round < rounds * 3; round++) {
    const [rows, n] = [random.whole(0, 4), random.pick([...sizes.slice(1), random.whole(68, 300)])]
    const isAwkward = round % 4 === 0
    const numbers = (length: number) => randomFloats(random, length, isAwkward ? 1 : 0)
    const [x, dy] = [numbers(rows * n), numbers(rows * n)]
    const gamma = round % 3 === 0 ? undefined : numbers(n)
    const of = { x, dy, gamma, epsilon: 1e-5 }
    const given = (arrays: Arrays, dy: Floats) => ({ x: arrays.of(x), dy, ...(gamma === undefined ? {} : { gamma: arrays.of(gamma) }) })
    const options = { bound: 1e-3, isAwkward: isAwkward || n < 3 }
    compare(
      t,
      `layer norm of ${rows} × ${n}`,
      { ...layerNormBackward(n, of) },
      (training, arrays) => {
        const out = { dx: arrays.out(rows * n), dgamma: arrays.out(n), dbeta: arrays.out(n) }
        training.layerNormBackward(out, given(arrays, arrays.of(dy)), n)
        return out
      },
      options,
    )
    compare(
      t,
      `rms norm of ${rows} × ${n}`,
      { ...rmsNormBackward(n, of), alone: rmsNormBackward(n, of).dx },
      (training, arrays) => {
        const out = { dx: arrays.out(rows * n), dgamma: arrays.out(n), alone: arrays.of(dy) }
        training.rmsNormBackward(out, given(arrays, arrays.of(dy)), n)
        training.rmsNormBackward({ dx: out.alone }, given(arrays, out.alone), n)
        return out
      },
      options,
    )
  }
  t.pass()
  t.end()
})

t.test("batch norm by the batch's own statistics", (t) => {
  const random = new Random(seed + 4)
  for (let round = 0; round < rounds * 2; round++) {
    const [batch, channels, size] = [random.whole(1, 5), random.whole(0, 4), random.pick([1, 1, 2, 9, 33, 50])]
    const n = batch * channels * size
    const isAwkward = round % 4 === 0
    const numbers = (length: number) => randomFloats(random, length, isAwkward ? 1 : 0)
    const [x, dy] = [numbers(n), numbers(n)]
    const gamma = round % 3 === 0 ? undefined : numbers(channels)
    const statistics = batchStatistics(x, { batch, channels, size })
    compare(
      t,
      `batch norm of ${batch} × ${channels} × ${size}`,
      { ...statistics, ...batchNormBackward({ batch, channels, size }, { x, dy, gamma, epsilon: 1e-5, ...statistics }) },
      (training, arrays) => {
        const measured = { mean: arrays.out(channels), variance: arrays.out(channels) }
        training.batchStatistics(measured, arrays.of(x), { batch })
        const out = { dx: arrays.of(dy), dgamma: arrays.out(channels), dbeta: arrays.out(channels) }
        training.batchNormBackward(out, { x: arrays.of(x), dy: out.dx, ...measured, ...(gamma === undefined ? {} : { gamma: arrays.of(gamma) }) }, { batch })
        return { ...out, ...measured }
      },
      { bound: 1e-3, isAwkward: isAwkward || batch * size < 3 },
    )
  }
  t.pass()
  t.end()
})

/** One that its kernel fits in. */
function randomConvolution(random: Random): Convolution {
  const dimensions = random.pick([1, 2, 2, 2, 3])
  const some = (least: number, most: number) => Array.from({ length: dimensions }, () => random.whole(least, most))
  const groups = random.pick([1, 1, 1, 2, 3])
  const [kernel, dilation] = [some(1, 3), some(1, 2)]
  const reach = kernel.map((size, i) => (size - 1) * (dilation[i] as number))
  const isTransposed = random.whole(0, 3) === 0
  return {
    batch: random.whole(0, 3),
    groups,
    inChannels: groups * random.whole(1, 4),
    outChannels: groups * random.whole(1, 8),
    kernel,
    dilation,
    stride: some(1, 3),
    padding: isTransposed ? [...reach.map((size) => random.whole(0, size)), ...some(0, 0)] : [...some(0, 2), ...some(0, 2)],
    inSize: reach.map((size) => size + random.whole(1, dimensions === 3 ? 4 : 12)),
    isTransposed,
    ...(isTransposed && random.whole(0, 1) === 1 ? { outputPadding: some(0, 2) } : {}),
  }
}

t.test("convolutions", (t) => {
  const random = new Random(seed + 5)
  let isTransposed = 0
  // More pixels than a block, and more channels than a band.
  const special: ReadonlyArray<Convolution> = [
    { inChannels: 1, outChannels: 7, inSize: [21, 23], kernel: [3, 3], padding: [1, 1, 1, 1] },
    { inChannels: 2, outChannels: 985, inSize: [5], kernel: [2] },
  ]
  for (let round = 0; round < rounds * 3; round++) {
    const of = special[round] ?? randomConvolution(random)
    const shape = exact.kernels.convolutionShape(of)
    const volume = (size: readonly [number, number, number]) => size[0] * size[1] * size[2]
    const [inputs, outputs] = [shape.batch * shape.inChannels * volume(shape.inSize), shape.batch * shape.outChannels * volume(shape.outSize)]
    const weights = (shape.inChannels * shape.outChannels * volume(shape.kernel)) / shape.groups
    const isAwkward = round % 4 === 1
    const numbers = (length: number) => randomFloats(random, length, isAwkward ? 1 : 0)
    const [x, w, dy] = [numbers(inputs), numbers(weights), numbers(outputs)]
    isTransposed += Number(shape.isTransposed)
    compare(
      t,
      JSON.stringify(of),
      { ...convolveBackward(shape, x, w, dy) },
      (training, arrays) => {
        const out = { dx: arrays.out(inputs), dw: arrays.out(weights), db: arrays.out(shape.outChannels) }
        training.convolveBackward(out, { x: arrays.of(x), w: arrays.of(w), dy: arrays.of(dy) }, of)
        return out
      },
      { isAwkward },
    )
  }
  t.ok(isTransposed > 5, `${isTransposed} transposed`)
  t.end()
})

t.test("pooling", (t) => {
  const random = new Random(seed + 6)
  for (let round = 0; round < rounds * 3; round++) {
    const { dilation, inSize, kernel, stride } = randomConvolution(random)
    const dimensions = inSize.length
    const padding = Array.from({ length: 2 * dimensions }, () => random.whole(0, 2))
    const planes = random.whole(0, 3)
    const of = { planes, inSize, kernel, padding, ...(stride === undefined ? {} : { stride }), ...(dilation === undefined ? {} : { dilation }) }
    const shape = exact.kernels.convolutionShape({ ...of, inChannels: 1, outChannels: 1 })
    const [size, pixels] = [shape.inSize[0] * shape.inSize[1] * shape.inSize[2], shape.outSize[0] * shape.outSize[1] * shape.outSize[2]]
    // Many are equal, and the first of them counts.
    const x = randomFloats(random, planes * size, 3).map((value) => (Number.isFinite(value) ? Math.round(value * 2) : value))
    const dy = randomFloats(random, planes * pixels, round % 4 === 0 ? 2 : 0)
    const end = [...Array<number>(3 - dimensions).fill(0), ...padding.slice(dimensions)]
    for (const [kind, isPadded] of [
      ["max", false],
      ["mean", false],
      ["mean", true],
    ] as const)
      compare(
        t,
        `${kind} ${isPadded} of ${JSON.stringify(of)}`,
        {
          dx: Float32Array.from(
            Array.from({ length: planes }, (_, i) => [
              ...poolBackward(shape, x.subarray(i * size, (i + 1) * size), dy.subarray(i * pixels, (i + 1) * pixels), { kind, isPadded, end }),
            ]).flat(),
          ),
        },
        (training, arrays) => {
          const out = { dx: arrays.out(planes * size) }
          training.poolBackward(out, { x: arrays.of(x), dy: arrays.of(dy) }, kind, { ...of, isPadded })
          return out
        },
        { isAwkward: round % 4 === 0 },
      )
  }
  t.pass()
  t.end()
})

t.test("rows by their places", (t) => {
  const random = new Random(seed + 7)
  for (let round = 0; round < rounds * 2; round++) {
    const [rows, size, count] = [random.whole(1, 6), random.pick(sizes.slice(1)), random.pick(sizes)]
    const places = Int32Array.from({ length: count }, () => random.whole(-rows, rows - 1))
    const dy = randomFloats(random, count * size, round % 4 === 0 ? 3 : 0)
    compare(
      t,
      `${count} of ${rows} × ${size}`,
      { dx: gatherBackward(rows, size, places, dy) },
      (training, arrays) => {
        const out = { dx: arrays.out(rows * size) }
        training.gatherBackward(out, { places: arrays.integers(places), dy: arrays.of(dy) }, size)
        return out
      },
      { isAwkward: round % 4 === 0 },
    )
  }
  t.pass()
  t.end()
})

t.test("attention", (t) => {
  const random = new Random(seed + 8)
  for (let round = 0; round < rounds; round++) {
    const of = { heads: random.whole(0, 3), queries: random.whole(1, 9), keys: random.whole(1, 20), d: random.whole(1, 17), width: random.whole(1, 17) }
    const { d, heads, keys, queries, width } = of
    const isAwkward = round % 4 === 0
    const numbers = (length: number) => randomFloats(random, length, isAwkward ? 1 : 0)
    const [q, k, v, dy] = [numbers(heads * queries * d), numbers(heads * keys * d), numbers(heads * keys * width), numbers(heads * queries * width)]
    // The first key is always seen.
    const mask = randomFloats(random, queries * keys).map((value, i) => (value > 0.5 && i % keys !== 0 ? Number.NEGATIVE_INFINITY : value))
    const operands = { q, k, v, mask }
    const forward = attention(of, operands)
    compare(
      t,
      JSON.stringify(of),
      { ...forward, ...attentionBackward(of, operands, forward.weights, dy) },
      (training, arrays) => {
        const given = { q: arrays.of(q), k: arrays.of(k), v: arrays.of(v) }
        const kept = { out: arrays.out(dy.length), weights: arrays.out(heads * queries * keys) }
        const out = () => ({ dq: arrays.out(q.length), dk: arrays.out(k.length), dv: arrays.out(v.length) })
        const [first, second] = [out(), out()]
        const shape = { ...of, mask: arrays.of(mask) }
        training.attention(kept, given, shape)
        training.attentionBackward(first, { ...given, weights: kept.weights, dy: arrays.of(dy) }, shape)
        training.attentionBackward(second, { ...given, dy: arrays.of(dy) }, shape)
        for (const name of ["dq", "dk", "dv"] as const)
          if (training.mode === "bitexact" && difference(second[name].array, first[name].array) !== undefined)
            t.fail(`${name} is another when weights are not kept`)
        const plain = arrays.out(dy.length)
        training.kernels.attention(plain, given.q, given.k, given.v, shape)
        if (training.mode === "bitexact" && difference(plain.array, kept.out.array) !== undefined) t.fail("attention that keeps its weights is another")
        return { ...kept, ...first }
      },
      { isAwkward },
    )
  }
  t.pass()
  t.end()
})

t.test("optimisers, over several steps", (t) => {
  const random = new Random(seed + 9)
  for (const n of [...sizes, ...Array.from({ length: rounds }, () => random.whole(68, 200))])
    for (const isAwkward of [false, true]) {
      const numbers = () => randomFloats(random, n, isAwkward ? 5 : 0)
      const steps = Array.from({ length: 4 }, numbers)
      const w = numbers()
      const rate = random.whole(1, 100) / 1_000
      const decay = random.pick([0, 0.01])
      const [isNesterov, isDecoupled] = [random.whole(0, 1) === 1, random.whole(0, 1) === 1]
      const [bySgd, byMomentum, byAdam, y] = [w.slice(), w.slice(), w.slice(), w.slice()]
      const [velocity, m, v, powers] = [new Float32Array(n), new Float32Array(n), new Float32Array(n), Float32Array.of(1, 1)]
      for (const dw of steps) {
        optimize.sgd(bySgd, dw, { rate, decay })
        optimize.momentum(byMomentum, velocity, dw, { rate, momentum: 0.9, decay, isNesterov })
        optimize.adam(byAdam, m, v, powers, dw, { rate, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay, isDecoupled })
        optimize.lerp(y, dw, 0.1)
      }
      compare(
        t,
        `${n} parameters ${JSON.stringify({ rate, decay, isNesterov, isDecoupled })}`,
        { bySgd, byMomentum, byAdam, velocity, m, v, powers, y },
        (training, arrays) => {
          const out = { bySgd: arrays.of(w), byMomentum: arrays.of(w), byAdam: arrays.of(w), velocity: arrays.of(new Float32Array(n)), y: arrays.of(w) }
          const state = training.adamState(n)
          for (const step of steps) {
            const dw = arrays.of(step)
            training.sgd(out.bySgd, dw, { rate, decay })
            training.momentum(out.byMomentum, dw, out.velocity, { rate, decay, isNesterov })
            training.adam(out.byAdam, dw, state, { rate, decay, isDecoupled })
            training.lerp(out.y, dw, 0.1)
          }
          const kept = { m: arrays.of(state.m.array), v: arrays.of(state.v.array), powers: arrays.of(state.powers.array) }
          for (const one of Object.values(state)) one.free()
          return { ...out, ...kept }
        },
        // A step is as long as its rate where a gradient is next to 0, whichever way that rounds.
        { bound: 1e-2, isAwkward },
      )
      const [a, b] = [numbers(), numbers()]
      const [norm, clipped] = [optimize.clipByNorm([a.slice(), b.slice()], 1), [a.slice(), b.slice()]]
      optimize.clipByNorm(clipped, 1)
      // Where the norm is no number they stay as they are, bits and all.
      const parts = Number.isNaN(norm) ? {} : { a: clipped[0] as Float32Array, b: clipped[1] as Float32Array }
      compare(
        t,
        `the norm of ${n} and ${n}`,
        { ...parts, norm: Float32Array.of(norm) },
        (training, arrays) => {
          const out = { a: arrays.of(a), b: arrays.of(b), norm: arrays.out(1) }
          out.norm.array[0] = training.clipByNorm([out.a, out.b], 1)
          return out
        },
        { isAwkward },
      )
    }
  t.pass()
  t.end()
})

t.test("random numbers: Philox4x32-10", (t) => {
  // Random123 1.14, tests/kat_vectors: words of counter and key, the lowest first.
  const all = (1n << 128n) - 1n
  const hex = (of: ReadonlyArray<number>) => of.map((word) => word.toString(16).padStart(8, "0")).join(" ")
  t.equal(hex(philox(0n, 0n)), "6627e8d5 e169c58d bc57ac4c 9b00dbd8")
  t.equal(hex(philox(all & 0xffff_ffff_ffff_ffffn, all)), "408f276d 41c83b0e a20bc7c6 6d5451fd")
  t.equal(hex(philox(0x299f31d0a4093822n, 0x0370734413198a2e85a308d3243f6a88n)), "d16cfe09 94fdcceb 5001e420 24126ea1")
  const random = new Random(seed + 13)
  const bits = (count: number) => Array.from({ length: count }, () => BigInt(random.word())).reduce((all, word) => (all << 32n) | word, 0n)
  // Where the lower and the upper half of a counter end.
  const ends = [0n, (1n << 32n) - 2n, (1n << 64n) - 2n, (1n << 64n) - 5n, (1n << 96n) - 1n, all - 1n]
  for (const n of [...sizes, ...Array.from({ length: rounds }, () => random.whole(0, 100))]) {
    const stream = { seed: bits(2), counter: random.whole(0, 1) === 0 ? bits(4) : random.pick(ends) }
    const x = randomFloats(random, n, 5)
    const rate = random.pick([0, 0.1, 0.5, 0.9])
    const [least, most] = [random.whole(-9, 0) / 7, random.whole(0, 9) / 3]
    const expected = { uniform: uniform(n, { ...stream, least, most }), dropped: dropout(x, { ...stream, rate }) }
    compare(
      t,
      `${n} of ${stream.seed} from ${stream.counter}`,
      expected,
      (training, arrays) => {
        const out = { uniform: arrays.out(n), dropped: arrays.of(x) }
        const after = training.uniform(out.uniform, { ...stream, least, most })
        if (after !== BigInt.asUintN(128, stream.counter + BigInt(Math.ceil(n / 4)))) t.fail(`the next counter is ${after}`)
        if (training.dropout(out.dropped, out.dropped, { ...stream, rate }) !== after) t.fail("the next counter is another")
        return out
      },
      { isAwkward: true },
    )
    if (n === 0) continue
    // Both modes have the same.
    const wanted = fast.kernels.zeros(n)
    fast.uniform(wanted, { ...stream, least, most })
    if (difference(wanted.array, expected.uniform) !== undefined) t.fail("fast has others")
    freed(wanted)
  }
  const many = exact.kernels.zeros(40_000)
  exact.uniform(many, { seed: 1n, least: -1, most: 3 })
  t.ok(Math.abs(exact.kernels.mean(many) - 1) < 0.02, `a mean of ${exact.kernels.mean(many)}`)
  exact.kernels.map("abs", many, many)
  exact.dropout(many, many, { seed: 2n, rate: 0.25 })
  const gone = many.array.reduce((count, value) => count + Number(value === 0), 0) / many.length
  t.ok(Math.abs(gone - 0.25) < 0.01, `${gone} are gone`)
  freed(many)
  t.throws(() => exact.dropout(many, many, { seed: 0n, rate: 1 }), { code: "STELE-KRN-0003", message: /"rate" is 1, expected a number from 0 to below 1/ })
  t.end()
})

t.test("constants of modules that share a memory lie apart, below every array", async (t) => {
  for (const [source, begin, end] of [
    ["inference", 0, 32_768],
    ["training", 32_768, 65_536],
  ] as const)
    for (const mode of ["bitexact", "fast"] as const)
      // What is written shows beside one of two bytes that were everywhere before.
      for (const before of [0x55, 0xaa]) {
        const { wasm } = (await import(`../../kernels/${source}.${mode}.gen.ts`)) as { readonly wasm: string }
        const memory = new WebAssembly.Memory({ initial: 2 })
        const bytes = new Uint8Array(memory.buffer).fill(before)
        await WebAssembly.instantiate(await unpacked(wasm), { env: { memory } })
        const written = (byte: number) => byte !== before
        const [first, last] = [bytes.findIndex(written), bytes.findLastIndex(written)]
        t.ok(first === -1 || (first >= begin && last < end), `${source}, ${mode}: from ${first} to ${last}`)
      }
})

/** Three spirals of 40 points each, one a class: no straight line parts them. */
function spirals(random: Random): { readonly x: Float32Array; readonly labels: Int32Array } {
  const [count, classes] = [40, 3]
  const x = new Float32Array(count * classes * 2)
  const labels = Int32Array.from({ length: count * classes }, (_, i) => Math.floor(i / count))
  labels.forEach((label, i) => {
    const r = 0.1 + (0.9 * (i % count)) / count
    const turn = label * 2.1 + 4 * r + random.word() / 2 ** 32 / 5
    x.set([r * Math.sin(turn), r * Math.cos(turn)], i * 2)
  })
  return { x, labels }
}

/** All that a net of two layers is, to store and to go on from. */
interface Checkpoint {
  readonly parameters: ReadonlyArray<ArrayLike<number>>
  readonly states: ReadonlyArray<{ readonly m: ArrayLike<number>; readonly v: ArrayLike<number>; readonly powers: ArrayLike<number> }>
}

/** Two dense layers with a tanh between them, learning by Adam. */
class Net {
  readonly #training: TrainingKernels
  readonly #parameters: ReadonlyArray<Floats>
  readonly #gradients: ReadonlyArray<Floats>
  readonly #states: ReadonlyArray<AdamState>

  static readonly hidden = 24
  static readonly #lengths = [2 * Net.hidden, Net.hidden, Net.hidden * 3, 3]

  static first(random: Random): Checkpoint {
    return {
      parameters: Net.#lengths.map((n, i) => randomFloats(random, n).map((value) => (i % 2 === 0 ? value / (i === 0 ? 1 : 4) : 0))),
      states: Net.#lengths.map((n) => ({ m: new Float32Array(n), v: new Float32Array(n), powers: [1, 1] })),
    }
  }

  constructor(training: TrainingKernels, { parameters, states }: Checkpoint) {
    const { kernels } = training
    this.#training = training
    this.#parameters = parameters.map((one) => kernels.numbers(one))
    this.#gradients = parameters.map((one) => kernels.zeros(one.length))
    this.#states = states.map(({ m, powers, v }) => ({ m: kernels.numbers(m), v: kernels.numbers(v), powers: kernels.numbers(powers) }))
  }

  /** @returns the loss before the step */
  step(points: Float32Array, classes: Int32Array): number {
    const [training, { kernels }] = [this.#training, this.#training]
    const [w1, b1, w2, b2] = this.#parameters as [Floats, Floats, Floats, Floats]
    const [dw1, db1, dw2, db2] = this.#gradients as [Floats, Floats, Floats, Floats]
    const m = classes.length
    const [first, second] = [
      { m, k: 2, n: Net.hidden },
      { m, k: Net.hidden, n: 3 },
    ]
    using arrays = new Arrays(training)
    const [x, hidden, out, labels] = [arrays.of(points), arrays.out(m * Net.hidden), arrays.out(m * 3), arrays.integers(classes)]
    kernels.matmul(hidden, x, w1, { ...first, bias: b1, activation: "tanh" })
    kernels.matmul(out, hidden, w2, { ...second, bias: b2 })
    const [dout, dhidden] = [arrays.out(m * 3), arrays.out(m * Net.hidden)]
    const loss = training.crossEntropy({ dx: dout }, { x: out, labels }, 3)
    training.denseBackward({ dx: dhidden, dw: dw2, db: db2 }, { x: hidden, w: w2, dy: dout }, second)
    training.mapBackward("tanh", { dx: dhidden }, { y: hidden, dy: dhidden })
    training.denseBackward({ dw: dw1, db: db1 }, { x, w: w1, dy: dhidden }, first)
    training.clipByNorm(this.#gradients, 1)
    this.#parameters.forEach((w, i) => training.adam(w, this.#gradients[i] as Floats, this.#states[i] as AdamState, { rate: 0.03 }))
    return loss
  }

  checkpoint(): Checkpoint {
    return {
      parameters: this.#parameters.map(({ array }) => [...array]),
      states: this.#states.map(({ m, powers, v }) => ({ m: [...m.array], v: [...v.array], powers: [...powers.array] })),
    }
  }
}

t.test("a net of two layers learns three spirals", (t) => {
  for (const training of both) {
    const random = new Random(seed + 10)
    const { labels, x } = spirals(random)
    const net = new Net(training, Net.first(random))
    const losses = Array.from({ length: 250 }, () => net.step(x, labels))
    t.ok((losses[0] as number) > 0.9, `${training.mode}: begins at ${losses[0]}`)
    t.ok((losses.at(-1) as number) < 0.05, `${training.mode}: ends at ${losses.at(-1)}`)
  }
  t.end()
})

t.test("who goes on from a checkpoint comes to the same bits", async (t) => {
  const random = new Random(seed + 11)
  const { labels, x } = spirals(random)
  const whole = new Net(exact, Net.first(random))
  for (let i = 0; i < 15; i++) whole.step(x, labels)
  // As JSON: what is stored may be text.
  const stored = JSON.parse(JSON.stringify(whole.checkpoint())) as Checkpoint
  const resumed = new Net(await openTrainingKernels(await openKernels()), stored)
  const losses = Array.from({ length: 15 }, () => [whole.step(x, labels), resumed.step(x, labels)] as const)
  t.ok(losses.every(([a, b]) => Object.is(a, b)))
  t.strictSame(resumed.checkpoint(), whole.checkpoint())
  t.notSame(resumed.checkpoint(), stored, "it went on")
  t.end()
})

t.test("a net of a convolution, a batch norm and a pool tells lines that lie from lines that stand", (t) => {
  for (const training of both) {
    const { kernels } = training
    const random = new Random(seed + 12)
    using arrays = new Arrays(training)
    const [batch, side, channels] = [32, 8, 4]
    const of = { batch, inChannels: 1, outChannels: channels, inSize: [side, side], kernel: [3, 3], padding: [1, 1, 1, 1] }
    const pooling = { planes: batch * channels, inSize: [side, side], kernel: [2, 2], stride: [2, 2] }
    const [pixels, pooled] = [batch * channels * side * side, batch * channels * 16]
    const dense = { m: batch, k: channels * 16, n: 2 }
    const parameter = (n: number, scale: number) => arrays.of(randomFloats(random, n).map((value) => value * scale))
    const all = {
      w: parameter(channels * 9, 0.5),
      gamma: arrays.of(new Float32Array(channels).fill(1)),
      beta: parameter(channels, 0),
      v: parameter(dense.k * 2, 0.1),
      b: parameter(2, 0),
    }
    const d = Object.fromEntries(Object.entries(all).map(([name, one]) => [name, arrays.out(one.length)])) as Record<keyof typeof all, Floats>
    const velocities = Object.fromEntries(Object.entries(all).map(([name, one]) => [name, kernels.zeros(one.length)])) as Record<keyof typeof all, Floats>
    const measured = { mean: arrays.out(channels), variance: arrays.out(channels) }
    const [convolved, normed, dnormed, dconvolved] = [arrays.out(pixels), arrays.out(pixels), arrays.out(pixels), arrays.out(pixels)]
    const [means, dmeans, out, dout] = [arrays.out(pooled), arrays.out(pooled), arrays.out(batch * 2), arrays.out(batch * 2)]
    const [x, labels] = [arrays.out(batch * side * side), arrays.integers(new Int32Array(batch))]
    const step = (): number => {
      // A line of a random place in noise.
      x.array.set(randomFloats(random, x.length).map((value) => value / 2))
      for (let i = 0; i < batch; i++) {
        const [stands, place] = [random.whole(0, 1), random.whole(0, side - 1)]
        labels.array[i] = stands
        for (let j = 0; j < side; j++) x.array[i * side * side + (stands === 1 ? j * side + place : place * side + j)] = 1
      }
      const packed = kernels.packConvolution(all.w, of)
      kernels.convolve(convolved, x, packed)
      packed.weights.free()
      training.batchStatistics(measured, convolved, { batch })
      kernels.batchNorm(normed, convolved, { ...measured, gamma: all.gamma, beta: all.beta, batch })
      kernels.map("relu", normed, normed)
      kernels.pool(means, normed, "max", pooling)
      kernels.matmul(out, means, all.v, { ...dense, bias: all.b })
      const loss = training.crossEntropy({ dx: dout }, { x: out, labels }, 2)
      training.denseBackward({ dx: dmeans, dw: d.v, db: d.b }, { x: means, w: all.v, dy: dout }, dense)
      training.poolBackward({ dx: dnormed }, { x: normed, dy: dmeans }, "max", pooling)
      training.mapBackward("relu", { dx: dnormed }, { y: normed, dy: dnormed })
      training.batchNormBackward({ dx: dconvolved, dgamma: d.gamma, dbeta: d.beta }, { ...measured, x: convolved, gamma: all.gamma, dy: dnormed }, { batch })
      training.convolveBackward({ dw: d.w }, { x, w: all.w, dy: dconvolved }, of)
      for (const name of ["w", "gamma", "beta", "v", "b"] as const)
        training.momentum(all[name], d[name], velocities[name], { rate: 0.05, isNesterov: true, decay: 1e-4 })
      return loss
    }
    const losses = Array.from({ length: 120 }, step)
    const last = losses.slice(-10).reduce((sum, loss) => sum + loss / 10, 0)
    t.ok((losses[0] as number) > 0.5, `${training.mode}: begins at ${losses[0]}`)
    t.ok(last < 0.05, `${training.mode}: the last ten are ${last}`)
    freed(...Object.values(velocities))
  }
  t.end()
})

t.test("what an operand is not is said with kernel, operand, expected and found", async (t) => {
  const kernels = await openKernels()
  const training = await openTrainingKernels(kernels)
  const [two, three] = [kernels.zeros(2), kernels.zeros(3)]
  const refused = (run: () => unknown, code: string, message: RegExp): unknown => t.throws(run, { code, message }, String(message))
  refused(
    () => training.denseBackward({ dw: two }, { x: two, w: three, dy: two }, { m: 1, k: 2, n: 2 }),
    "STELE-KRN-0001",
    /Cannot run denseBackward: "w" has 3 numbers, not 4/,
  )
  refused(() => training.mapBackward("relu", { dx: two }, { x: two, dy: two }), "STELE-KRN-0002", /Cannot run relu backward: "y" is left out, not f32/)
  refused(
    () => training.mapBackward("floor" as never, { dx: two }, { x: two, dy: two }),
    "STELE-KRN-0006",
    /Cannot find the function "floor": there are none, relu/,
  )
  refused(() => training.mapBackward("elu", { dx: two }, { x: two, dy: two }, [1, 2]), "STELE-KRN-0003", /"parameters" is 2 numbers, expected at most 1/)
  refused(() => training.softmaxBackward({ dx: three }, { y: three, dy: three }, 2), "STELE-KRN-0003", /"n" is 2, expected a divisor of the 3 numbers of "dy"/)
  const labels = kernels.integers(2)
  labels.array.set([0, 3])
  const six = kernels.numbers([1, 2, 3, 4, 5, 6])
  refused(() => training.crossEntropy({ dx: six }, { x: six, labels }, 3), "STELE-KRN-0003", /"labels\[1\]" is 3, expected a class from 0 to 2/)
  labels.array.set([-1, 0])
  refused(() => training.crossEntropy({ dx: six }, { x: six, labels }, 3), "STELE-KRN-0003", /"labels\[0\]" is -1/)
  t.strictSame([...six.array], [1, 2, 3, 4, 5, 6], "nothing was written")
  labels.array.set([1, -3])
  refused(() => training.gatherBackward({ dx: six }, { places: labels, dy: six }, 3), "STELE-KRN-0003", /"places\[1\]" is -3, expected -2 to 1/)
  t.strictSame([...six.array], [1, 2, 3, 4, 5, 6], "nothing was written")
  refused(() => training.sgd(two, three, { rate: 1 }), "STELE-KRN-0001", /Cannot run sgd: "dw" has 3 numbers, not 2/)
  refused(() => training.sgd(two, exact.kernels.zeros(2), { rate: 1 }), "STELE-KRN-0004", /Cannot run sgd: "dw" was freed, or is of other kernels/)
  const small = await openKernels({ bytesMax: 200_000 })
  const narrow = await openTrainingKernels(small)
  const before = small.bytesUsed
  refused(() => narrow.adamState(2_000), "STELE-KRN-0005", /"bytesMax" is 200000 bytes/)
  t.equal(small.bytesUsed, before, "what was taken before memory was refused is given back")
})
