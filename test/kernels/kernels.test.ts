/** Each kernel against its plain reference: equal bits in `bitexact`, a bound in `fast`, on random shapes and numbers of every kind. */
import t from "tap"
import { unpacked } from "../../kernels/memory/module.ts"
import { convolve } from "../../kernels/convolve/convolve.ts"
import { type Convolution, type Floats, Kernels, openKernels } from "../../kernels/kernels.ts"
import type { InferenceModule } from "../../kernels/inference.ts"
import { KernelMemory } from "../../kernels/memory/memory.ts"
import { maps, mapNames, mapsWith, mapWithNames } from "../../kernels/math/math.ts"
import { matmul } from "../../kernels/matmul/matmul.ts"
import { batchNorm, layerNorm, logSoftmax, rmsNorm, softmax } from "../../kernels/normalize/normalize.ts"
import { integerNames, integers } from "../../kernels/integer/integer.ts"
import { pool } from "../../kernels/pool/pool.ts"
import { dequantize, matmulI8, quantize, requantize } from "../../kernels/quantize/quantize.ts"
import * as reduce from "../../kernels/reduce/reduce.ts"
import { topk } from "../../kernels/select/select.ts"
import { binary, type BinaryName, comparisonNames, comparisons, fma } from "../../kernels/vector/vector.ts"
import { awkward, difference, distance, Random, randomFloats } from "./random-floats.ts"
import { replay, runsOf, seed } from "../seed.ts"

t.comment(`${replay} replays`)
const rounds = runsOf(40, 400)

const exact = await openKernels({ mode: "bitexact" })
const fast = await openKernels({ mode: "fast" })
const both = [exact, fast] as const

/** Lengths that begin and end in every loop of a kernel, and some at random. */
const lengths = (random: Random): ReadonlyArray<number> => [
  ...Array.from({ length: 70 }, (_, n) => n),
  ...Array.from({ length: rounds }, () => random.whole(70, 700)),
]

const freed = (...all: ReadonlyArray<Floats>): void => all.forEach((one) => one.free())

t.test("element by element", (t) => {
  const random = new Random(seed)
  for (const n of lengths(random)) {
    const [x, y, z] = [randomFloats(random, n, 15), randomFloats(random, n, 15), randomFloats(random, n, 15)]
    const [a, b, c, out] = [exact.numbers(x), exact.numbers(y), exact.numbers(z), exact.zeros(n)]
    const [relaxedA, relaxedB, relaxedOut] = [fast.numbers(x), fast.numbers(y), fast.zeros(n)]
    const check = (name: string, expected: ArrayLike<number>): void => {
      const found = difference(out.array, expected)
      if (found !== undefined) t.fail(`${name} of ${n} ${found}`)
    }
    for (const name of Object.keys(binary) as ReadonlyArray<BinaryName>) {
      exact[name](out, a, b)
      const expected = x.map((value, i) => binary[name](value, y[i] as number))
      check(name, expected)
      fast[name](relaxedOut, relaxedA, relaxedB)
      const at = relaxedOut.array.findIndex((value, i) => !Object.is(value, expected[i]))
      if (at >= 0) t.fail(`${name} of ${n}, fast, at ${at}`)
    }
    exact.fma(out, a, b, c)
    check(
      "fma",
      x.map((value, i) => fma(value, y[i] as number, z[i] as number)),
    )
    exact.addScalar(out, a, 0.3)
    check(
      "addScalar",
      x.map((value) => value + Math.fround(0.3)),
    )
    exact.mulScalar(out, a, -3)
    check(
      "mulScalar",
      x.map((value) => value * -3),
    )
    out.array.set(y)
    exact.axpy(out, 0.7, a)
    check(
      "axpy",
      x.map((value, i) => fma(Math.fround(0.7), value, y[i] as number)),
    )
    const masks = exact.integers(n)
    const bits = exact.bytes(Math.ceil(n / 8))
    for (const name of comparisonNames) {
      const expected = Array.from(x, (value, i) => Number(comparisons[name](value, y[i] as number)))
      exact.compare(name, masks, a, b)
      if (expected.some((value, i) => value !== masks.array[i])) t.fail(`compare ${name} of ${n}`)
      exact.compareBits(name, bits, a, b)
      if (expected.some((value, i) => value !== (((bits.array[i >> 3] as number) >> (i & 7)) & 1))) t.fail(`bits of ${name} of ${n}`)
      if (n % 8 !== 0 && (bits.array.at(-1) as number) >> (n % 8) !== 0) t.fail(`bits of ${name} of ${n} beyond the last`)
    }
    for (const name of mapNames) {
      exact.map(name, out, a)
      check(name, x.map(maps[name]))
    }
    for (const name of mapWithNames) {
      const [p, q] = [Math.fround(random.word() / 2 ** 30 - 2), Math.fround(random.word() / 2 ** 30 - 2)]
      exact.mapWith(name, out, a, name === "leakyRelu" || name === "elu" ? [p] : [p, q])
      check(
        name,
        x.map((value) => mapsWith[name](value, p, q)),
      )
    }
    // In place.
    exact.add(a, a, b)
    const found = difference(
      a.array,
      x.map((value, i) => binary.add(value, y[i] as number)),
    )
    if (found !== undefined) t.fail(`add in place of ${n} ${found}`)
    freed(a, b, c, out, relaxedA, relaxedB, relaxedOut)
    masks.free()
    bits.free()
  }
  t.pass(`${lengths(random).length} lengths`)
  t.end()
})

t.test("reductions", (t) => {
  const random = new Random(seed + 1)
  for (const n of lengths(random))
    for (const awkwardOf of [0, 1, 10]) {
      const [x, y] = [randomFloats(random, n, awkwardOf), randomFloats(random, n, awkwardOf)]
      const [a, b] = [exact.numbers(x), exact.numbers(y)]
      const found = Float32Array.of(exact.sum(a), exact.mean(a), exact.dot(a, b), exact.maxOf(a), exact.minOf(a), exact.argmax(a))
      const expected = [reduce.sum(x), reduce.mean(x), reduce.dot(x, y), reduce.max(x), reduce.min(x), reduce.argmax(x)]
      const problem = difference(found, expected)
      if (problem !== undefined) t.fail(`sum, mean, dot, max, min, argmax of ${n}: ${problem}`)
      freed(a, b)
    }
  // Zeros of both signs, and what is beyond them on one side.
  for (const n of lengths(random))
    for (const side of [-1, 1]) {
      const x = Float32Array.from({ length: n }, () => random.pick(n % 3 === 0 ? [side] : [-0, 0, side]) * random.pick([1, n % 2]))
      for (const kernels of both) {
        const a = kernels.numbers(x)
        const problem = difference(Float32Array.of(kernels.maxOf(a), kernels.minOf(a)), [reduce.max(x), reduce.min(x)])
        if (problem !== undefined) t.fail(`max, min of zeros and ${side}, ${n} of them: ${problem}`)
        freed(a)
      }
    }
  t.pass()
  t.end()
})

t.test("products of matrices", (t) => {
  const random = new Random(seed + 2)
  const sizes = [0, 1, 2, 5, 6, 7, 8, 9, 12, 13, 17, 33]
  for (let round = 0; round < rounds * 3; round++) {
    const [m, k, n] = [random.pick(sizes), round % 10 === 0 ? random.whole(380, 800) : random.pick(sizes), random.pick(sizes)]
    const batch = random.pick([1, 1, 2])
    const isAwkward = round % 4 === 0
    const [x, y] = [randomFloats(random, batch * m * k, isAwkward ? 2 : 0), randomFloats(random, batch * k * n, isAwkward ? 2 : 0)]
    const bias = random.whole(0, 1) === 1 ? randomFloats(random, n) : undefined
    const activation = random.pick(["none", "relu", "gelu", "tanh"] as const)
    const [isTransposedA, isTransposedB] = [random.whole(0, 1) === 1, random.whole(0, 1) === 1]
    const of = { m, k, n, activation, isTransposedA, isTransposedB }
    const expected = Array.from({ length: batch }, (_, i) =>
      matmul({ ...of, a: x.subarray(i * m * k, (i + 1) * m * k), b: y.subarray(i * k * n, (i + 1) * k * n), bias }),
    ).flatMap((one) => [...one])
    for (const kernels of both) {
      const [a, b, c] = [kernels.numbers(x), kernels.numbers(y), kernels.zeros(batch * m * n)]
      const added = bias === undefined ? undefined : kernels.numbers(bias)
      const shape = { ...of, batch, ...(added === undefined ? {} : { bias: added }) }
      const name = `[${m}, ${k}] · [${k}, ${n}] ${JSON.stringify({ batch, activation, isTransposedA, isTransposedB, bias: bias !== undefined })}`
      const check = (how: string): void => {
        if (kernels.mode === "bitexact") {
          const problem = difference(c.array, expected)
          if (problem !== undefined) t.fail(`${name} ${how} ${problem}`)
        } else if (!isAwkward && distance(c.array, expected) > 1e-5) t.fail(`${name} ${how}, fast: ${distance(c.array, expected)}`)
      }
      kernels.matmul(c, a, b, shape)
      check("")
      if (batch === 1) {
        const packed = kernels.packMatrix(b, { k, n, isTransposed: isTransposedB })
        c.array.fill(7)
        kernels.matmul(c, a, packed, shape)
        check("packed")
        packed.panels.free()
      }
      freed(a, b, c, ...(added === undefined ? [] : [added]))
    }
  }
  t.pass()
  t.end()
})

t.test("softmax and norms", (t) => {
  const random = new Random(seed + 3)
  for (const n of lengths(random).filter((n) => n > 0))
    for (const awkwardOf of [0, 1]) {
      const rows = random.whole(1, 3)
      const x = randomFloats(random, rows * n, awkwardOf)
      const [gamma, beta] = [randomFloats(random, n), randomFloats(random, n)]
      const perRow = (of: (row: Float32Array) => Float32Array): ReadonlyArray<number> =>
        Array.from({ length: rows }, (_, row) => [...of(x.subarray(row * n, (row + 1) * n))]).flat()
      for (const kernels of both) {
        const [a, out, g, b] = [kernels.numbers(x), kernels.zeros(rows * n), kernels.numbers(gamma), kernels.numbers(beta)]
        const check = (name: string, expected: ReadonlyArray<number>, bound = 1e-5): void => {
          const problem =
            kernels.mode === "bitexact"
              ? difference(out.array, expected)
              : awkwardOf === 0 && distance(out.array, expected) > bound
                ? `differs by ${distance(out.array, expected)}`
                : undefined
          if (problem !== undefined) t.fail(`${name} of ${rows} × ${n}, ${kernels.mode}: ${problem}`)
        }
        kernels.softmax(out, a, n)
        check("softmax", perRow(softmax))
        kernels.logSoftmax(out, a, n)
        check("logSoftmax", perRow(logSoftmax))
        kernels.layerNorm(out, a, n, { gamma: g, beta: b })
        check(
          "layerNorm",
          perRow((row) => layerNorm(row, gamma, beta, 1e-5)),
          1e-3,
        )
        kernels.layerNorm(out, a, n)
        check(
          "layerNorm without gamma",
          perRow((row) => layerNorm(row, undefined, undefined, 1e-5)),
          1e-3,
        )
        kernels.rmsNorm(out, a, n, { gamma: g, epsilon: 1e-6 })
        check(
          "rmsNorm",
          perRow((row) => rmsNorm(row, gamma, 1e-6)),
        )
        // Of the rows as channels of one image.
        const of = Array.from({ length: rows }, () => ({
          mean: random.word() / 2 ** 32,
          variance: random.word() / 2 ** 32,
          gamma: random.word() / 2 ** 32,
          beta: random.word() / 2 ** 32,
        }))
        const part = (key: "mean" | "variance" | "gamma" | "beta") => kernels.numbers(of.map((one) => one[key]))
        const parts = { mean: part("mean"), variance: part("variance"), gamma: part("gamma"), beta: part("beta") }
        kernels.batchNorm(out, a, parts)
        const expected = of.map((one, row) => {
          const rounded = { mean: Math.fround(one.mean), variance: Math.fround(one.variance), gamma: Math.fround(one.gamma), beta: Math.fround(one.beta) }
          return [...batchNorm(x.subarray(row * n, (row + 1) * n), rounded, 1e-5)]
        })
        check("batchNorm", expected.flat(), 1e-3)
        freed(a, out, g, b, ...Object.values(parts))
      }
    }
  t.pass()
  t.end()
})

/** A convolution that its kernel fits in. */
function randomConvolution(random: Random): Convolution {
  const dimensions = random.pick([1, 2, 2, 2, 3])
  const sizes = (least: number, most: number) => Array.from({ length: dimensions }, () => random.whole(least, most))
  const groups = random.pick([1, 1, 1, 2, 3])
  const isDepthwise = random.whole(0, 3) === 0
  const channels = isDepthwise ? 1 : random.whole(1, 4)
  const kernel = sizes(1, 3)
  const dilation = sizes(1, 2)
  const isTransposed = random.whole(0, 4) === 0
  // Transposed, padding takes away from what the kernel reaches.
  const reach = kernel.map((size, i) => (size - 1) * (dilation[i] as number))
  const padding = isTransposed ? [...reach.map((size) => random.whole(0, size)), ...sizes(0, 0)] : [...sizes(0, 2), ...sizes(0, 2)]
  return {
    batch: random.whole(1, 2),
    groups,
    inChannels: groups * channels,
    outChannels: groups * random.whole(1, 8),
    kernel,
    dilation,
    stride: sizes(1, 2),
    padding,
    inSize: reach.map((size) => size + random.whole(1, dimensions === 3 ? 5 : 14)),
    isTransposed,
  }
}

t.test("convolutions, in one, two and three dimensions, in groups, depthwise, transposed", (t) => {
  const random = new Random(seed + 4)
  let isTransposed = 0
  for (let round = 0; round < rounds * 4; round++) {
    const of = randomConvolution(random)
    const shape = exact.convolutionShape(of)
    const taps = shape.kernel[0] * shape.kernel[1] * shape.kernel[2]
    const inputs = shape.batch * shape.inChannels * shape.inSize[0] * shape.inSize[1] * shape.inSize[2]
    const outputs = shape.batch * shape.outChannels * shape.outSize[0] * shape.outSize[1] * shape.outSize[2]
    const isAwkward = round % 4 === 0
    const x = randomFloats(random, inputs, isAwkward ? 1 : 0)
    const w = randomFloats(random, (shape.outChannels * shape.inChannels * taps) / shape.groups, isAwkward ? 1 : 0)
    const bias = random.whole(0, 1) === 1 ? randomFloats(random, shape.outChannels) : undefined
    const activation = random.pick(["none", "relu"] as const)
    // The reference takes weights as [out, in / groups, …kernel].
    const [channels, high] = [shape.inChannels / shape.groups, shape.outChannels / shape.groups]
    const rows = shape.isTransposed
      ? w.map((_, i) => {
          const [tap, rest] = [i % taps, Math.floor(i / taps)]
          const [c, o] = [rest % channels, Math.floor(rest / channels)]
          return w[((Math.floor(o / high) * channels + c) * high + (o % high)) * taps + tap] as number
        })
      : w
    isTransposed += Number(shape.isTransposed)
    const expected = convolve(shape, x, rows, bias, activation)
    for (const kernels of both) {
      const [a, weights, out] = [kernels.numbers(x), kernels.numbers(w), kernels.zeros(outputs)]
      const packed = kernels.packConvolution(weights, of)
      const added = bias === undefined ? undefined : kernels.numbers(bias)
      kernels.convolve(out, a, packed, { activation, ...(added === undefined ? {} : { bias: added }) })
      const problem =
        kernels.mode === "bitexact" ? difference(out.array, expected) : !isAwkward && distance(out.array, expected) > 1e-5 ? "fast differs" : undefined
      if (problem !== undefined) t.fail(`${JSON.stringify(of)} ${kernels.mode}: ${problem}`)
      freed(a, weights, out, packed.weights, ...(added === undefined ? [] : [added]))
    }
  }
  t.ok(isTransposed > 5, `${isTransposed} of ${rounds * 4} transposed`)
  t.end()
})

t.test("pooling", (t) => {
  const random = new Random(seed + 5)
  for (let round = 0; round < rounds * 3; round++) {
    const { dilation, inSize, kernel, stride } = randomConvolution(random)
    const dimensions = inSize.length
    const padding = Array.from({ length: 2 * dimensions }, () => random.whole(0, 2))
    const planes = random.whole(0, 3)
    const of = { planes, inSize, kernel, padding, ...(stride === undefined ? {} : { stride }), ...(dilation === undefined ? {} : { dilation }) }
    const shape = exact.convolutionShape({ ...of, inChannels: 1, outChannels: 1 })
    const size = shape.inSize[0] * shape.inSize[1] * shape.inSize[2]
    const x = randomFloats(random, planes * size, 2)
    const a = exact.numbers(x)
    const out = exact.zeros(planes * shape.outSize[0] * shape.outSize[1] * shape.outSize[2])
    const end = [...Array<number>(3 - dimensions).fill(0), ...padding.slice(dimensions)]
    for (const kind of ["max", "mean"] as const)
      for (const isPadded of [false, true]) {
        exact.pool(out, a, kind, { ...of, isPadded })
        const expected = Array.from({ length: planes }, (_, i) => [...pool(shape, x.subarray(i * size, (i + 1) * size), { kind, isPadded, end })]).flat()
        const problem = difference(out.array, expected)
        if (problem !== undefined) t.fail(`${kind} ${isPadded} of ${JSON.stringify(of)} ${problem}`)
      }
    freed(a, out)
  }
  t.pass()
  t.end()
})

t.test("transposes, permutations, rows by their places", (t) => {
  const random = new Random(seed + 6)
  for (let round = 0; round < rounds * 3; round++) {
    const [rows, columns] = [random.whole(0, 40), random.whole(0, 70)]
    const x = randomFloats(random, rows * columns)
    const [a, out] = [exact.numbers(x), exact.zeros(rows * columns)]
    exact.transpose(out, a, { rows, columns })
    const turned = Array.from({ length: rows * columns }, (_, i) => x[(i % rows) * columns + Math.floor(i / rows)] as number)
    if (difference(out.array, turned) !== undefined) t.fail(`transpose of ${rows} × ${columns}`)
    const sizes = Array.from({ length: random.whole(0, 5) }, () => random.whole(round % 20 === 0 ? 0 : 1, 5))
    const order = sizes.map((_, i) => i).sort(() => random.whole(0, 1) - 0.5)
    const total = sizes.reduce((all, size) => all * size, 1)
    const y = randomFloats(random, total)
    const [b, to] = [exact.numbers(y), exact.zeros(total)]
    exact.permute(to, b, sizes, order)
    const expected = Array.from({ length: total }, (_, place) => {
      const at = sizes.map(() => 0)
      let rest = place
      for (const i of order.toReversed()) {
        at[i] = rest % (sizes[i] as number)
        rest = Math.floor(rest / (sizes[i] as number))
      }
      return y[at.reduce((sum, one, i) => sum * (sizes[i] as number) + one, 0)] as number
    })
    if (difference(to.array, expected) !== undefined) t.fail(`permutation ${order.join()} of ${sizes.join()}`)
    if (rows > 0 && columns > 0) {
      const places = exact.integers(random.whole(0, 9))
      places.array.forEach((_, i) => (places.array[i] = random.whole(-rows, rows - 1)))
      const some = exact.zeros(places.length * columns)
      exact.gather(some, a, places, columns)
      const wanted = Array.from(places.array, (place) => [...x.subarray(((place + rows) % rows) * columns, (((place + rows) % rows) + 1) * columns)]).flat()
      if (difference(some.array, wanted) !== undefined) t.fail(`gather of ${places.array.join()}`)
      places.free()
      some.free()
    }
    freed(a, out, b, to)
  }
  t.pass()
  t.end()
})

t.test("the greatest and the nearest", (t) => {
  const random = new Random(seed + 7)
  for (let round = 0; round < rounds * 5; round++) {
    const n = random.whole(0, 300)
    const k = random.whole(0, Math.min(n, random.pick([1, 10, 300])))
    const x = randomFloats(random, n, random.pick([0, 0, 5, 40]))
    if (round % 3 === 0) x.forEach((value, i) => (x[i] = Math.round(value * 3)))
    const [a, values, places] = [exact.numbers(x), exact.zeros(k), exact.integers(k)]
    exact.topk(values, places, a)
    const expected = topk(x, k)
    if (expected.join() !== [...places.array].join()) t.fail(`top ${k} of ${n}: ${[...places.array].join()}, not ${expected.join()}`)
    if ([...values.array].some((value, i) => !Object.is(value, x[expected[i] as number]))) t.fail(`values of top ${k} of ${n}`)
    freed(a, values)
    places.free()
  }
  const [rows, n] = [7, 45]
  const [x, q] = [randomFloats(random, rows * n), randomFloats(random, n)]
  const [a, query, out, norms] = [exact.numbers(x), exact.numbers(q), exact.zeros(rows), exact.zeros(rows)]
  const row = (i: number): Float32Array => x.subarray(i * n, (i + 1) * n)
  const norm = (of: Float32Array): number => Math.fround(Math.sqrt(reduce.dot(of, of)))
  exact.scores(out, a, query)
  t.equal(
    difference(
      out.array,
      Array.from({ length: rows }, (_, i) => reduce.dot(row(i), q)),
    ),
    undefined,
  )
  exact.norms(norms, a, n)
  t.equal(
    difference(
      norms.array,
      Array.from({ length: rows }, (_, i) => norm(row(i))),
    ),
    undefined,
  )
  exact.scores(out, a, query, norms)
  const cosines = Array.from({ length: rows }, (_, i) => Math.fround(reduce.dot(row(i), q) / Math.fround(norm(row(i)) * norm(q))))
  t.equal(difference(out.array, cosines), undefined)
  freed(a, query, out, norms)
  t.end()
})

t.test("the nearest of vectors made ready are those of all scores", (t) => {
  const random = new Random(seed + 13)
  for (let round = 0; round < rounds * 4; round++) {
    const [rows, n] = [random.whole(0, 70), random.pick([1, 2, 15, 16, 17, 40, 129])]
    const k = random.whole(0, Math.min(rows, random.pick([1, 10, 70])))
    const [x, q] = [randomFloats(random, rows * n, random.pick([0, 0, 3])), randomFloats(random, n, round % 10 === 0 ? 10 : 0)]
    // The same or nearly the same as another, nothing at all, and what floats hardly hold.
    for (let row = 0; row < rows; row++) {
      const one = x.subarray(row * n, (row + 1) * n)
      const kind = random.whole(0, 15)
      if (kind < 3) one.set(x.subarray(0, n))
      if (kind === 3) one.set(x.subarray(0, n).map((value) => value * (1 + random.whole(-3, 3) * 2 ** -23)))
      if (kind === 4) one.fill(0)
      if (kind === 5) one.forEach((value, i) => (one[i] = value * random.pick([1e-30, 1e30])))
      if (kind === 6) one[0] = 1e4
    }
    if (round % 4 === 0) x.forEach((value, i) => (x[i] = Math.round(value)))
    if (round % 7 === 0) q.forEach((value, i) => (q[i] = value * random.pick([0, 1e-25, 1e25])))
    for (const kernels of both) {
      const [a, query, norms, scores] = [kernels.numbers(x), kernels.numbers(q), kernels.zeros(rows), kernels.zeros(rows)]
      const [values, places, expected, at] = [kernels.zeros(k), kernels.integers(k), kernels.zeros(k), kernels.integers(k)]
      const vectors = kernels.packVectors(a, n)
      kernels.norms(norms, a, n)
      for (const by of ["cosine", "dot"] as const) {
        kernels.scores(scores, a, query, by === "cosine" ? norms : undefined)
        kernels.topk(expected, at, scores)
        kernels.nearest(values, places, vectors, query, by)
        // Of NaN there is one in bitexact only.
        const isOther = kernels === exact ? difference(values.array, expected.array) !== undefined : values.array.join() !== expected.array.join()
        if (places.array.join() !== at.array.join() || isOther)
          t.fail(`${k} nearest of ${rows} × ${n} by ${by}, ${kernels.mode}: ${places.array.join()}, not ${at.array.join()}`)
      }
      vectors.free()
      freed(a, query, norms, scores, values, expected)
      places.free()
      at.free()
    }
  }
  using x = exact.zeros(6)
  using vectors = exact.packVectors(x, 2)
  t.throws(() => exact.nearest(exact.zeros(4), exact.integers(4), vectors, exact.zeros(2)), { code: "STELE-KRN-0003", message: /at most the 3 vectors/ })
  t.throws(() => exact.nearest(exact.zeros(1), exact.integers(1), vectors, exact.zeros(3)), { code: "STELE-KRN-0001", message: /"query"/ })
  t.throws(() => exact.nearest(exact.zeros(1), exact.integers(1), vectors, exact.zeros(2), "angle" as never), { code: "STELE-KRN-0006" })
  t.end()
})

t.test("attention is products, a softmax and products", (t) => {
  const random = new Random(seed + 8)
  for (let round = 0; round < rounds; round++) {
    const of = { heads: random.whole(1, 3), queries: random.whole(1, 9), keys: random.whole(1, 20), d: random.whole(1, 17), width: random.whole(1, 17) }
    const { d, heads, keys, queries, width } = of
    const [q, k, v] = [randomFloats(random, heads * queries * d), randomFloats(random, heads * keys * d), randomFloats(random, heads * keys * width)]
    const mask = randomFloats(random, queries * keys).map((value) => (value > 0.5 ? Number.NEGATIVE_INFINITY : value))
    const expected = Array.from({ length: heads }, (_, head) => {
      const raw = matmul({ m: queries, k: d, n: keys, a: q.subarray(head * queries * d), b: k.subarray(head * keys * d), isTransposedB: true })
      const scale = Math.fround(1 / Math.fround(Math.sqrt(d)))
      const scores = raw.map((value, i) => Math.fround(value * scale) + (mask[i] as number))
      const parts = Array.from({ length: queries }, (_, i) => [...softmax(scores.subarray(i * keys, (i + 1) * keys))]).flat()
      return [...matmul({ m: queries, k: keys, n: width, a: Float32Array.from(parts), b: v.subarray(head * keys * width) })]
    }).flat()
    for (const kernels of both) {
      const all = [kernels.numbers(q), kernels.numbers(k), kernels.numbers(v), kernels.numbers(mask), kernels.zeros(heads * queries * width)] as const
      kernels.attention(all[4], all[0], all[1], all[2], { ...of, mask: all[3] })
      const problem = kernels.mode === "bitexact" ? difference(all[4].array, expected) : undefined
      if (problem !== undefined) t.fail(`${JSON.stringify(of)} ${problem}`)
      if (kernels.mode === "fast" && expected.every((value) => !Number.isNaN(value)) && distance(all[4].array, expected) > 1e-5)
        t.fail(`${JSON.stringify(of)}, fast`)
      freed(...all)
    }
  }
  t.pass()
  t.end()
})

t.test("halves: all of them, and floats of every kind", (t) => {
  const halves = exact.halves(65_536)
  halves.array.forEach((_, i) => (halves.array[i] = i))
  const floats = exact.zeros(65_536)
  exact.fromHalves(floats, halves)
  const expected = new Float16Array(halves.array.slice().buffer)
  t.equal(difference(floats.array, Float32Array.from(expected)), undefined)
  const random = new Random(seed + 9)
  const x = randomFloats(random, 60_001, 45).map((value, i) => (i % 3 === 0 ? value * 2 ** random.whole(-30, 17) : value))
  // Between two neighbours, a bit to either side.
  const bits = new Uint32Array(x.buffer)
  for (let i = 0; i < 20_000; i++) bits[i] = (0x33000000 + random.whole(0, 0x7000) * 0x2000 + 0x1000 + random.whole(-1, 1)) >>> 0
  const [a, out] = [exact.numbers(x), exact.halves(x.length)]
  exact.toHalves(out, a)
  const wanted = new Uint16Array(Float16Array.from(x).buffer).map((half) => ((half & 0x7fff) > 0x7c00 ? 0x7e00 : half))
  t.equal(
    out.array.findIndex((half, i) => half !== wanted[i]),
    -1,
  )
  freed(floats, a)
  halves.free()
  out.free()
  t.end()
})

t.test("integers of 32 bits", (t) => {
  const random = new Random(seed + 10)
  const kinds = [0, 1, -1, 2 ** 31 - 1, -(2 ** 31)]
  const numbers = (n: number) => Int32Array.from({ length: n }, () => (random.whole(0, 3) === 0 ? random.pick(kinds) : random.word() | 0))
  for (const n of lengths(random)) {
    const [x, y] = [numbers(n), numbers(n)]
    const [a, b, out] = [exact.integers(n), exact.integers(n), exact.integers(n)]
    a.array.set(x)
    b.array.set(y)
    for (const name of integerNames) {
      exact.integer(name, out, a, b)
      if (out.array.some((value, i) => value !== integers[name](x[i] as number, y[i] as number))) t.fail(`${name} of ${n}`)
    }
    const zero = y.indexOf(0)
    if (zero >= 0)
      t.throws(() => exact.divideIntegers(out, a, b), { code: "STELE-KRN-0008", message: new RegExp(`number ${zero} of the result divides by a 0 of "y"`) })
    b.array.forEach((value, i) => (b.array[i] = value === 0 ? -1 : value))
    exact.divideIntegers(out, a, b)
    if (out.array.some((value, i) => value !== (((x[i] as number) / (b.array[i] as number)) | 0))) t.fail(`quotients of ${n}`)
    exact.divideIntegers(out, a, b, "rest")
    if (out.array.some((value, i) => value !== (((x[i] as number) % (b.array[i] as number)) | 0))) t.fail(`rests of ${n}`)
    const floats = exact.zeros(n)
    exact.fromIntegers(floats, a)
    if (difference(floats.array, Float32Array.from(x)) !== undefined) t.fail(`floats of ${n}`)
    const z = randomFloats(random, n, 20).map((value) => value * 2 ** random.whole(0, 40))
    floats.array.set(z)
    exact.toIntegers(out, floats)
    const whole = (value: number) => (Number.isNaN(value) ? 0 : Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, Math.trunc(value))))
    if (out.array.some((value, i) => value !== (whole(z[i] as number) | 0))) t.fail(`integers of ${n}`)
    for (const one of [a, b, out]) one.free()
    floats.free()
  }
  t.pass()
  t.end()
})

t.test("integers of 8 bits: products are exact whichever way the processor multiplies them", async (t) => {
  const random = new Random(seed + 12)
  const { wasm } = await import("../../kernels/inference.fast.gen.ts")
  const module = await unpacked(wasm)
  if (!WebAssembly.validate(module)) return t.end()
  const memory = new KernelMemory(1 << 22)
  const { instance } = await WebAssembly.instantiate(module, { env: { memory: memory.memory } })
  const exports = instance.exports as unknown as InferenceModule
  const own = exports.byteProducts()
  t.comment(`this processor's is ${["none", "signed", "unsigned"][own]}`)
  // Of right ones from 0 to 127 signed and unsigned are the same, so a processor that has one can be asked for the other.
  for (const way of own === 0 ? [0] : [0, 1, 2]) {
    const kernels = new Kernels("fast", memory, { ...exports, byteProducts: () => way })
    for (let round = 0; round < rounds * 2; round++) {
      const [m, k, n] = [random.pick([1, 5, 6, 7, 12, 121]), random.whole(0, 70), random.pick([1, 7, 8, 9, 17])]
      const x = Int8Array.from({ length: m * k }, () => (random.whole(0, 3) === 0 ? random.pick([-128, 127]) : random.word() & 255))
      const y = Int8Array.from({ length: k * n }, () => (random.whole(0, 3) === 0 ? random.pick([-128, 127]) : random.word() & 255)).map((value) =>
        // Asked for unsigned, 128 is added: what is 0 to 127 then is -128 to -1 before.
        way === 0 || way === own ? value : way === 1 ? value & 127 : value | -128,
      )
      const [a, b, acc] = [kernels.integers8(m * k), kernels.integers8(k * n), kernels.integers(m * n)]
      a.array.set(x)
      b.array.set(y)
      const packed = kernels.packMatrix8(b, { k, n })
      kernels.matmul8(acc, a, packed, m)
      const expected = matmulI8(x, y, m, k, n)
      if (acc.array.some((value, i) => value !== expected[i])) t.fail(`way ${way}: [${m}, ${k}] · [${k}, ${n}]`)
      for (const one of [a, b, acc, packed.panels, packed.sums]) one.free()
    }
  }
  t.pass()
  t.end()
})

t.test("integers of 8 bits: products are exact, and quantisation rounds as is written", (t) => {
  const random = new Random(seed + 11)
  const sizes = [0, 1, 2, 5, 6, 7, 8, 9, 17]
  const bytes = (n: number) => Int8Array.from({ length: n }, () => (random.whole(0, 5) === 0 ? random.pick([-128, 127]) : random.word() & 255))
  for (let round = 0; round < rounds * 3; round++) {
    const [m, k, n] = [random.pick([...sizes, 121]), random.pick(sizes), random.pick(sizes)]
    const [x, y] = [bytes(m * k), bytes(k * n)]
    const isTransposed = round % 2 === 0
    const [a, b, acc] = [exact.integers8(m * k), exact.integers8(k * n), exact.integers(m * n)]
    a.array.set(x)
    b.array.set(isTransposed ? y.map((_, i) => y[(i % k) * n + Math.floor(i / k)] as number) : y)
    const packed = exact.packMatrix8(b, { k, n, isTransposed })
    exact.matmul8(acc, a, packed, m)
    const expected = matmulI8(x, y, m, k, n)
    if (acc.array.some((value, i) => value !== expected[i])) t.fail(`[${m}, ${k}] · [${k}, ${n}]`)
    if (packed.sums.array.some((sum, column) => sum !== Array.from({ length: k }, (_, at) => y[at * n + column] as number).reduce((all, one) => all + one, 0)))
      t.fail("sums of columns")
    const factors = Float32Array.from({ length: n }, () => random.word() / 2 ** random.whole(30, 44))
    const [f, bias, out] = [exact.numbers(factors), exact.integers(n), exact.integers8(m * n)]
    bias.array.forEach((_, i) => (bias.array[i] = random.whole(-1000, 1000)))
    const zero = random.whole(-128, 127)
    exact.requantize(out, acc, f, { bias, zero })
    if (out.array.some((value, i) => value !== requantize(expected[i] as number, bias.array[i % n] as number, factors[i % n] as number, zero)))
      t.fail("requantisation")
    for (const one of [a, b, acc, f, bias, out, packed.panels, packed.sums]) one.free()
  }
  const x = randomFloats(random, 5_000, 5).map((value, i) => (i % 2 === 0 ? Math.round(value * 200) / 2 : value * 300))
  for (const [scale, zero] of [
    [1, 0],
    [0.5, -3],
    [0.037, 100],
  ] as const) {
    const [a, out, back] = [exact.numbers(x), exact.integers8(x.length), exact.zeros(x.length)]
    exact.quantize(out, a, scale, zero)
    t.equal(
      out.array.findIndex((value, i) => value !== quantize(x[i] as number, scale, zero)),
      -1,
    )
    exact.dequantize(back, out, scale, zero)
    t.equal(
      difference(
        back.array,
        Array.from(out.array, (value) => dequantize(value, scale, zero)),
      ),
      undefined,
    )
    freed(a, back)
    out.free()
  }
  t.throws(() => exact.quantize(exact.integers8(1), exact.zeros(1), 1, 128), { code: "STELE-KRN-0003", message: /"zero" is 128/ })
  t.end()
})

t.test("nothing is left of what was freed", (t) => {
  for (const kernels of both) {
    const before = kernels.bytesUsed
    const all = Array.from({ length: 100 }, (_, i) => kernels.zeros(i * 37))
    for (const one of all.toSorted((a, b) => (a.length % 7) - (b.length % 7))) one.free()
    t.equal(kernels.bytesUsed, before)
  }
  t.end()
})

t.test("what was taken before memory was refused is given back", async (t) => {
  const kernels = await openKernels({ bytesMax: 1 << 20 })
  const weights = kernels.zeros(64 * 600)
  const b = kernels.integers8(600 * 700)
  const before = kernels.bytesUsed
  t.throws(() => kernels.packConvolution(weights, { inChannels: 600, outChannels: 64, inSize: [9], kernel: [1] }), { code: "STELE-KRN-0005" })
  t.throws(() => kernels.packMatrix8(b, { k: 600, n: 700 }), { code: "STELE-KRN-0005" })
  t.throws(() => kernels.packVectors(weights, 3), { code: "STELE-KRN-0005" })
  t.equal(kernels.bytesUsed, before)
})

t.test("what an array is not is said with operand, expected and found", async (t) => {
  const kernels = await openKernels({ bytesMax: 1 << 20 })
  const [two, three] = [kernels.zeros(2), kernels.zeros(3)]
  const refused = (run: (kernels: Kernels) => unknown, code: string, message: RegExp): unknown =>
    t.throws(() => run(kernels), { code, message }, String(message))
  refused((k) => k.add(two, two, three), "STELE-KRN-0001", /Cannot run add: "y" has 3 numbers, not 2/)
  refused((k) => k.compare("lt", two as never, two, two), "STELE-KRN-0002", /Cannot run compare: "out" is f32, not i32/)
  refused((k) => k.softmax(three, three, 2), "STELE-KRN-0003", /"n" is 2, expected a divisor of the 3 numbers of "x"/)
  refused((k) => k.matmul(two, two, two, { m: 1.5, k: 1, n: 1 }), "STELE-KRN-0003", /"m" is 1.5, expected a whole number/)
  refused((k) => k.convolutionShape({ inChannels: 1, outChannels: 1, inSize: [2], kernel: [5] }), "STELE-KRN-0003", /"inSize" is 2 with an output of -2/)
  refused(
    (k) => k.convolutionShape({ inChannels: 3, outChannels: 4, groups: 2, inSize: [9], kernel: [3] }),
    "STELE-KRN-0003",
    /"inChannels" is 3, expected a multiple of 2 groups/,
  )
  refused((k) => k.zeros(1 << 20), "STELE-KRN-0005", /Cannot allocate 4194304 bytes: \d+ are used, and "bytesMax" is 1048576 bytes/)
  refused((k) => k.zeros(-1), "STELE-KRN-0003", /"length" is -1/)
  refused((k) => k.map("sine" as never, two, two), "STELE-KRN-0006", /Cannot find the function "sine": there are none, relu/)
  refused((k) => k.compare("like" as never, k.integers(2), two, two), "STELE-KRN-0006", /there are lt, le, eq, ne, gt, ge/)
  two.free()
  two.free()
  refused((k) => k.sum(two), "STELE-KRN-0004", /Cannot run sum: "x" was freed/)
  refused(() => two.array, "STELE-KRN-0004", /freed/)
  refused((k) => k.sum(exact.zeros(1)), "STELE-KRN-0004", /is of other kernels/)
  await t.rejects(openKernels({ mode: "exact" as never }), { code: "STELE-KRN-0006", message: /Cannot find the mode "exact": there are bitexact, fast/ })
  await t.rejects(openKernels({ bytesMax: 0 }), { code: "STELE-KRN-0003", message: /"bytesMax" is 0/ })
})

t.test("arrays move when the memory grows; what they hold stays", async (t) => {
  const kernels = await openKernels()
  const first = kernels.numbers([1, 2, 3])
  const seen = first.array
  const large = kernels.zeros(1 << 20)
  t.equal(seen.length, 0, "the old view is empty")
  t.strictSame([...first.array], [1, 2, 3])
  t.equal(large.array.length, 1 << 20)
})

t.test("all bits of the awkward numbers come from the engine as they are", (t) => {
  const bits = Uint32Array.from(awkward)
  const numbers = exact.numbers(new Float32Array(bits.buffer))
  exact.map("none", numbers, numbers)
  t.equal(difference(numbers.array, new Float32Array(bits.buffer)), undefined)
  t.end()
})

t.test("what JavaScript passes by mistake is told, and takes no memory", async (t) => {
  const used = exact.bytesUsed
  for (const values of [{ length: -1 }, { length: Number.NaN }, undefined, BigInt64Array.of(1n)]) t.throws(() => exact.numbers(values as never))
  t.throws(() => exact.numbers({ length: -1 }), { code: "STELE-KRN-0003" })
  t.equal(exact.bytesUsed, used)
  const [a, b] = [exact.integers8(8 * 16), exact.integers8(16 * 8)]
  const packed = exact.packMatrix8(b, { k: 16, n: 8 })
  const out = exact.integers(8 * 64)
  t.throws(() => exact.matmul8(out, a, { ...packed, n: 64 }, 8), { code: "STELE-KRN-0001", message: /"b" has/ })
  const c = exact.zeros(4)
  t.throws(() => exact.matmul(c, c, c, undefined as never), { code: "STELE-KRN-0003", message: /"shape" is undefined/ })
  t.throws(() => exact.add([1] as never, c, c), { code: "STELE-KRN-0002", message: /"out" is no array of the kernels' memory/ })
  t.throws(() => exact.add(c, undefined as never, c), { code: "STELE-KRN-0002", message: /"x" is missing/ })
  for (const array of [a, b, c, out, packed.panels, packed.sums]) array.free()
})
