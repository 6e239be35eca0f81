/** Layers of several kernels and convolutions of 8 bits against their references. */
import t from "tap"
import { elementwise, fold } from "../../kernels/broadcast/broadcast.ts"
import { type Convolution, openKernels } from "../../kernels/kernels.ts"
import { maps } from "../../kernels/math/math.ts"
import { matmul } from "../../kernels/matmul/matmul.ts"
import { layerNorm, softmax } from "../../kernels/normalize/normalize.ts"
import { convolveI8, quantizationFactor } from "../../kernels/quantize/quantize.ts"
import * as reduce from "../../kernels/reduce/reduce.ts"
import type { Tensor } from "../../kernels/tensor/tensor.ts"
import { replay, runsOf, seed } from "../seed.ts"
import { difference, distance, Random, randomFloats } from "./random-floats.ts"

t.comment(`${replay} replays`)
const rounds = runsOf(40, 1_000)
const exact = await openKernels()
const fast = await openKernels({ mode: "fast" })

const freed = (...all: ReadonlyArray<Tensor | undefined>): void => all.forEach((one) => one?.numbers.free())

t.test("attention of many heads, of which several share keys, with masks and in time", (t) => {
  const random = new Random(seed + 40)
  for (let round = 0; round < rounds; round++) {
    const [batch, keyHeads, shared] = [random.whole(1, 2), random.whole(1, 3), random.whole(1, 3)]
    const [queries, keys, d, width] = [random.whole(1, 9), random.whole(1, 19), random.whole(1, 9), random.whole(1, 9)]
    const heads = keyHeads * shared
    const isCausal = round % 3 === 0
    const [q, k, v] = [
      randomFloats(random, batch * heads * queries * d, round % 5 === 0 ? 1 : 0),
      randomFloats(random, batch * keyHeads * keys * d),
      randomFloats(random, batch * keyHeads * keys * width),
    ]
    const shape = [batch, heads, queries, keys]
    const maskShape = round % 4 === 0 ? undefined : shape.map((size) => random.pick([1, size])).slice(random.whole(0, 2))
    const count = (maskShape ?? []).reduce((all, size) => all * size, 1)
    const isChoice = random.whole(0, 1) === 0
    const maskValues = isChoice
      ? Int32Array.from({ length: count }, () => random.whole(0, 2))
      : randomFloats(random, count).map((value) => (value > 0.4 ? Number.NEGATIVE_INFINITY : value))
    const scale = round % 2 === 0 ? undefined : 0.3
    const factor = Math.fround(scale ?? Math.fround(1 / Math.fround(Math.sqrt(d))))
    const raw = Array.from({ length: batch * heads }, (_, head) => {
      const own = Math.floor(head / shared)
      return [...matmul({ m: queries, k: d, n: keys, a: q.subarray(head * queries * d), b: k.subarray(own * keys * d), isTransposedB: true })]
    }).flat()
    const masked = elementwise(
      shape,
      [
        { shape, values: raw },
        { shape: maskShape ?? [], values: maskShape === undefined ? [isChoice ? 1 : -0] : maskValues },
      ],
      (score, mask) => {
        const scaled = Math.fround((score as number) * factor)
        return isChoice ? (mask === 0 ? Number.NEGATIVE_INFINITY : scaled) : Math.fround(scaled + (mask as number))
      },
    )
    const scores = Float32Array.from(masked, (score, i) =>
      isCausal && (i % keys) - (keys - queries) > Math.floor(i / keys) % queries ? Number.NEGATIVE_INFINITY : score,
    )
    const expected = Array.from({ length: batch * heads }, (_, head) => {
      const own = Math.floor(head / shared)
      const rows = Array.from({ length: queries }, (_, i) => [...softmax(scores.subarray((head * queries + i) * keys, (head * queries + i + 1) * keys))])
      return [...matmul({ m: queries, k: keys, n: width, a: Float32Array.from(rows.flat()), b: v.subarray(own * keys * width) })]
    }).flat()
    for (const kernels of [exact, fast]) {
      const all = [
        kernels.tensor("f32", [batch, heads, queries, d], q),
        kernels.tensor("f32", [batch, keyHeads, keys, d], k),
        kernels.tensor("f32", [batch, keyHeads, keys, width], v),
        kernels.tensor("f32", [batch, heads, queries, width]),
      ] as const
      const mask = maskShape === undefined ? undefined : kernels.tensor(isChoice ? "i32" : "f32", maskShape, maskValues)
      const of = { isCausal, ...(mask === undefined ? {} : { mask }), ...(scale === undefined ? {} : { scale }) }
      const check = (found: Float32Array, how: string): void => {
        const isFar = () => expected.every((value) => !Number.isNaN(value)) && distance(found, expected) > 1e-5
        const problem = kernels.mode === "bitexact" ? difference(found, expected) : isFar() ? "differs" : undefined
        if (problem !== undefined)
          t.fail(`${how} ${JSON.stringify({ batch, heads, keyHeads, queries, keys, d, width, isCausal, maskShape })} ${kernels.mode} ${problem}`)
      }
      kernels.layers.attention(all[3], all[0], all[1], all[2], of)
      check(all[3].numbers.array, "attention")
      // The same with the heads side by side.
      const rows = all.map(({ shape: [b = 0, h = 0, s = 0, w = 0], numbers }) => {
        const one = kernels.tensor("f32", [b, s, h * w])
        kernels.moves.transpose({ numbers: one.numbers, shape: [b, s, h, w] }, { numbers, shape: [b, h, s, w] }, [0, 2, 1, 3])
        return one
      }) as [Tensor<"f32">, Tensor<"f32">, Tensor<"f32">, Tensor<"f32">]
      kernels.layers.multiHeadAttention(rows[3], rows[0], rows[1], rows[2], { ...of, heads, keyHeads })
      kernels.moves.transpose(all[3], { numbers: rows[3].numbers, shape: [batch, queries, heads, width] }, [0, 2, 1, 3])
      check(all[3].numbers.array, "side by side")
      freed(...all, ...rows, mask)
    }
  }
  t.pass()
  t.end()
})

t.test("softmax along any dimension, its sum in the order of a reduction", (t) => {
  const random = new Random(seed + 44)
  for (let round = 0; round < rounds; round++) {
    const shape = Array.from({ length: random.whole(1, 4) }, () => random.pick([1, 2, 3, 5, 40]))
    const axis = random.whole(0, shape.length - 1)
    const total = shape.reduce((all, size) => all * size, 1)
    const x = randomFloats(random, total, round % 4 === 0 ? 1 : 0)
    const of = (values: ArrayLike<number>) => ({ shape, values })
    const kept = { shape: shape.map((size, i) => (i === axis ? 1 : size)) }
    const folded = (values: ArrayLike<number>, step: (a: number, b: number) => number, identity: number) => ({
      ...kept,
      values: fold(of(values), [axis], step, identity),
    })
    const shifted = elementwise(shape, [of(x), folded(x, Math.max, Number.NEGATIVE_INFINITY)], (value = 0, most = 0) => Math.fround(value - most))
    const e = shifted.map(maps.exp)
    const sums = folded(e, (a, b) => Math.fround(a + b), 0)
    const [a, out] = [exact.tensor("f32", shape, x), exact.tensor("f32", shape)]
    exact.layers.softmax(out, a, axis)
    const soft = difference(
      out.numbers.array,
      elementwise(shape, [of(e), sums], (value = 0, sum = 0) => Math.fround(value / sum)),
    )
    exact.layers.logSoftmax(a, a, axis - shape.length)
    const logs = { ...kept, values: sums.values.map(maps.log) }
    const log = difference(
      a.numbers.array,
      elementwise(shape, [of(shifted), logs], (value = 0, sum = 0) => Math.fround(value - sum)),
    )
    if ((soft ?? log) !== undefined) t.fail(`[${shape.join()}] along ${axis}: ${soft ?? log}`)
    freed(a, out)
  }
  t.pass()
  t.end()
})

t.test("group norm, and pools of all there is", (t) => {
  const random = new Random(seed + 41)
  for (let round = 0; round < rounds; round++) {
    const [batch, groups, each] = [random.whole(0, 2), random.whole(1, 4), random.whole(1, 4)]
    const sizes = Array.from({ length: random.whole(0, 2) }, () => random.whole(1, 9))
    const channels = groups * each
    const shape = [batch, channels, ...sizes]
    const size = sizes.reduce((all, one) => all * one, 1)
    const n = each * size
    const x = randomFloats(random, batch * channels * size, round % 4 === 0 ? 1 : 0)
    const [g, b] = [randomFloats(random, channels), randomFloats(random, channels)]
    const [a, out, gamma, beta] = [
      exact.tensor("f32", shape, x),
      exact.tensor("f32", shape),
      exact.tensor("f32", [channels], g),
      exact.tensor("f32", [channels], b),
    ]
    const normed = Array.from({ length: batch * groups }, (_, i) => [...layerNorm(x.subarray(i * n, (i + 1) * n), undefined, undefined, 1e-3)]).flat()
    exact.layers.groupNorm(out, a, { groups, epsilon: 1e-3 })
    const plain = difference(out.numbers.array, normed)
    exact.layers.groupNorm(out, a, { groups, gamma, beta, epsilon: 1e-3 })
    const found = difference(
      out.numbers.array,
      normed.map((value, i) => {
        const c = Math.floor(i / size) % channels
        return Math.fround(Math.fround(value * (g[c] as number)) + (b[c] as number))
      }),
    )
    if ((plain ?? found) !== undefined) t.fail(`[${shape.join()}] in ${groups}: ${plain ?? found}`)
    const planes = batch * channels
    const pooled = exact.tensor("f32", [planes])
    for (const kind of ["max", "mean"] as const) {
      exact.globalPool(pooled.numbers, a.numbers, kind, planes)
      const expected = Array.from({ length: planes }, (_, i) => {
        const of = x.subarray(i * size, (i + 1) * size)
        return kind === "max" ? reduce.max(of) : Math.fround(of.reduce((sum, value) => Math.fround(sum + value), 0) / size)
      })
      const problem = difference(pooled.numbers.array, expected)
      if (problem !== undefined) t.fail(`${kind} of ${planes} × ${size} ${problem}`)
    }
    freed(a, out, gamma, beta, pooled)
  }
  const [nothing, out] = [exact.zeros(0), exact.zeros(2)]
  exact.globalPool(out, nothing, "max", 2)
  t.same([...out.array], [-Infinity, -Infinity])
  exact.globalPool(out, nothing, "mean", 2)
  t.same([...out.array], [Number.NaN, Number.NaN])
  nothing.free()
  out.free()
  t.end()
})

t.test("convolutions of integers of 8 bits, in groups, in one to three dimensions", (t) => {
  const random = new Random(seed + 42)
  const bytes = (n: number, least: number) =>
    Int8Array.from({ length: n }, () => (random.whole(0, 5) === 0 ? random.pick([least, 127]) : random.whole(least, 127)))
  for (let round = 0; round < rounds; round++) {
    const dimensions = random.pick([1, 2, 2, 3])
    const sizes = (least: number, most: number) => Array.from({ length: dimensions }, () => random.whole(least, most))
    const groups = random.pick([1, 1, 2, 3])
    const [kernel, dilation] = [sizes(1, 3), sizes(1, 2)]
    const of: Convolution = {
      batch: random.whole(0, 2),
      groups,
      inChannels: groups * random.whole(1, 4),
      outChannels: groups * random.whole(1, 9),
      kernel,
      dilation,
      stride: sizes(1, 2),
      padding: [...sizes(0, 2), ...sizes(0, 2)],
      inSize: kernel.map((size, i) => (size - 1) * (dilation[i] as number) + random.whole(1, dimensions === 3 ? 5 : 13)),
    }
    for (const kernels of [exact, fast]) {
      const shape = kernels.convolutionShape(of)
      const volume = (size: ReadonlyArray<number>): number => size.reduce((all, one) => all * one, 1)
      const x = bytes(shape.batch * shape.inChannels * volume(shape.inSize), -128)
      const w = bytes((shape.outChannels * shape.inChannels * volume(shape.kernel)) / groups, -127)
      const factors = Float32Array.from({ length: shape.outChannels }, () => quantizationFactor(0.02, 0.001 + random.whole(0, 9) / 1_000, 0.05))
      const bias = Int32Array.from({ length: shape.outChannels }, () => random.whole(-5_000, 5_000))
      const [inZero, outZero] = [random.whole(-128, 127), random.whole(-128, 127)]
      const [a, weights] = [kernels.tensor("i8", [x.length], x), kernels.tensor("i8", [w.length], w)]
      const [f, b] = [kernels.tensor("f32", [factors.length], factors), kernels.tensor("i32", [bias.length], bias)]
      const out = kernels.integers8(shape.batch * shape.outChannels * volume(shape.outSize))
      const packed = kernels.quantized.pack(weights.numbers, of)
      kernels.quantized.convolve(out, a.numbers, packed, { factors: f.numbers, bias: b.numbers, inZero, outZero })
      const expected = convolveI8(shape, x, w, { factors, bias, inZero, outZero })
      const at = out.array.findIndex((value, i) => value !== expected[i])
      if (at >= 0) t.fail(`${JSON.stringify(of)} ${kernels.mode} at ${at}: ${out.array[at]}, not ${expected[at]}`)
      packed.free()
      out.free()
      freed(a, weights, f, b)
    }
  }
  const weights = exact.tensor("i8", [3], [1, -128, 2])
  const of = { inChannels: 3, outChannels: 1, inSize: [4], kernel: [1] }
  t.throws(() => exact.quantized.pack(weights.numbers, of), {
    code: "STELE-KRN-0003",
    message: /"weights\[1\]" is -128, expected whole numbers from -127 to 127/,
  })
  const many = exact.tensor("i8", [65_537])
  t.throws(() => exact.quantized.pack(many.numbers, { ...of, inChannels: 65_537 }), {
    code: "STELE-KRN-0003",
    message: /"weights" is 65537, expected at most 65536/,
  })
  weights.numbers.array.fill(1)
  const packed = exact.quantized.pack(weights.numbers, of)
  const [x, out, factors] = [exact.integers8(12), exact.integers8(4), exact.zeros(1)]
  t.throws(() => exact.quantized.convolve(out, x, packed, { factors, inZero: 128 }), { code: "STELE-KRN-0003", message: /"inZero" is 128/ })
  t.throws(() => exact.quantized.convolve(x, x, packed, { factors }), { code: "STELE-KRN-0001", message: /"out" has 12 numbers, not 4/ })
  packed.free()
  for (const one of [x, out, factors, weights.numbers, many.numbers]) one.free()
  t.end()
})

t.test("as many products as 32 bits hold are exact", (t) => {
  const k = 65_536
  const [w, x] = [exact.tensor("i8", [k], new Int8Array(k).fill(127)), exact.tensor("i8", [k], new Int8Array(k).fill(-128))]
  const packed = exact.quantized.pack(w.numbers, { inChannels: k, outChannels: 1, inSize: [1], kernel: [1] })
  const [out, factors] = [exact.integers8(1), exact.numbers([2 ** -25])]
  exact.quantized.convolve(out, x.numbers, packed, { factors, inZero: 127 })
  // -255 · 127 · 65,536 / 2²⁵ is -63.25.
  t.equal(out.array[0], -63)
  packed.free()
  for (const one of [out, factors, w.numbers, x.numbers]) one.free()
  t.end()
})

t.test("what layers refuse is said with operand, expected and found", (t) => {
  const x = (...shape: ReadonlyArray<number>) => exact.tensor("f32", shape)
  const refused = (run: () => unknown, message: RegExp): unknown => t.throws(run, { code: "STELE-KRN-0003", message }, String(message))
  const { layers } = exact
  refused(() => layers.attention(x(1, 2, 3, 4), x(2, 3, 4), x(1, 2, 3, 4), x(1, 2, 3, 4)), /"q" is \[2, 3, 4\], expected \[batch, heads, queries, d\]/)
  refused(() => layers.attention(x(1, 2, 3, 4), x(1, 2, 3, 4), x(1, 2, 3, 5), x(1, 2, 3, 4)), /"k" is \[1, 2, 3, 5\], expected \[1, 2, 3, 4\]/)
  refused(() => layers.attention(x(1, 3, 3, 4), x(1, 3, 3, 4), x(1, 2, 3, 4), x(1, 2, 3, 4)), /"q" is \[1, 3, 3, 4\], expected a multiple of 2 heads/)
  const of = { mask: x(2, 3) }
  refused(() => layers.attention(x(1, 2, 3, 4), x(1, 2, 3, 4), x(1, 2, 3, 4), x(1, 2, 3, 4), of), /"mask" is \[2, 3\], expected sizes of \[1, 2, 3, 3\]/)
  refused(
    () => layers.multiHeadAttention(x(1, 3, 8), x(1, 3, 8), x(1, 3, 8), x(1, 3, 8), { heads: 3 }),
    /"out" is \[1, 3, 8\], expected \[batch, rows, a multiple of 3 heads\]/,
  )
  refused(() => layers.groupNorm(x(1, 6), x(1, 6), { groups: 4 }), /"x" is \[1, 6\], expected \[batch, a multiple of 4 channels/)
  refused(() => exact.globalPool(exact.zeros(2), exact.zeros(3), "max", 2), /"n" is 1.5/)
  t.end()
})
