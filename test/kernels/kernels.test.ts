/** Each kernel against its plain reference: equal bits in `bitexact`, a bound in `fast`, on random shapes and numbers of every kind. */
import t from "tap"
import { convolve } from "../../kernels/convolve/convolve.ts"
import { type Convolution, type Floats, type Kernels, openKernels } from "../../kernels/kernels.ts"
import { maps, mapNames } from "../../kernels/math/math.ts"
import { matmul } from "../../kernels/matmul/matmul.ts"
import { batchNorm, layerNorm, logSoftmax, rmsNorm, softmax } from "../../kernels/normalize/normalize.ts"
import * as reduce from "../../kernels/reduce/reduce.ts"
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
    const check = (name: string, expected: ArrayLike<number>): void => {
      const found = difference(out.array, expected)
      if (found !== undefined) t.fail(`${name} of ${n} ${found}`)
    }
    for (const name of Object.keys(binary) as ReadonlyArray<BinaryName>) {
      exact[name](out, a, b)
      check(
        name,
        x.map((value, i) => binary[name](value, y[i] as number)),
      )
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
    // In place.
    exact.add(a, a, b)
    const found = difference(
      a.array,
      x.map((value, i) => binary.add(value, y[i] as number)),
    )
    if (found !== undefined) t.fail(`add in place of ${n} ${found}`)
    freed(a, b, c, out)
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

t.test("nothing is left of what was freed", (t) => {
  for (const kernels of both) {
    const before = kernels.bytesUsed
    const all = Array.from({ length: 100 }, (_, i) => kernels.zeros(i * 37))
    for (const one of all.toSorted((a, b) => (a.length % 7) - (b.length % 7))) one.free()
    t.equal(kernels.bytesUsed, before)
  }
  t.end()
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
