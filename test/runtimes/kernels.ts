/**
 * What the kernels of `bitexact` give for numbers of every kind, in groups: each a line with the SHA-256 of all bits. `kernels.txt` has what they
 * were when they were last meant to change.
 */
import type * as KernelsModule from "../../kernels/mod.ts"
import type { Floats, Kernels, Numbers, NumberType, Tensor, TrainingKernels } from "../../kernels/mod.ts"
import { gradientNames } from "../../kernels/math/backward.ts"
import { comparisonNames } from "../../kernels/vector/vector.ts"
import { foldNames } from "../../kernels/tensor/folds.ts"
import { operations } from "../../kernels/tensor/elements.ts"
import { mapNames, mapWithNames } from "../../kernels/math/math.ts"
import { Random, randomFloats } from "../kernels/random-floats.ts"

export async function kernelBits({ openKernels, openTrainingKernels }: typeof KernelsModule): Promise<ReadonlyArray<string>> {
  const kernels = await openKernels()
  const random = new Random(54)
  const lines: Array<string> = []
  const group = async (name: string, results: ReadonlyArray<Numbers | number>): Promise<void> => {
    const parts = results.map((one) => (typeof one === "number" ? Float32Array.of(one) : one.array.slice()))
    const bytes = new Uint8Array(await new Blob(parts).arrayBuffer())
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))
    lines.push(`${name} ${Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("")}`)
  }
  const floats = (n: number, awkwardOf = 10): Floats => kernels.numbers(randomFloats(random, n, awkwardOf))
  /** What a kernel writes into an array of `n`. */
  const made = (n: number, run: (out: Floats) => void): Floats => {
    const out = kernels.zeros(n)
    run(out)
    return out
  }

  const n = 4_099
  const [x, y, z] = [floats(n), floats(n), floats(n)]
  await group("vector", [
    ...(["add", "sub", "mul", "div", "min", "max"] as const).map((name) => made(n, (out) => kernels[name](out, x, y))),
    made(n, (out) => kernels.fma(out, x, y, z)),
    made(n, (out) => {
      out.array.set(y.array)
      kernels.axpy(out, 0.3, x)
    }),
    ...comparisonNames.flatMap((order) => {
      const masks = kernels.integers(n)
      kernels.compare(order, masks, x, y)
      return [...masks.array]
    }),
  ])
  await group(
    "math",
    mapNames.map((name) => made(n, (out) => kernels.map(name, out, x))),
  )
  const sums = [1, 5, 31, 32, 33, 1_000].map((length) => [floats(length, 0), floats(length, 0)] as const)
  await group(
    "reduce",
    sums.flatMap(([a, b]) => [kernels.sum(a), kernels.mean(a), kernels.dot(a, b), kernels.maxOf(a), kernels.minOf(a), kernels.argmax(a)]),
  )
  const sizes = { m: 19, k: 401, n: 21 }
  const [a, b] = [floats(sizes.m * sizes.k, 0), floats(sizes.k * sizes.n, 0)]
  await group(
    "matmul",
    [false, true].flatMap((isTransposedA) =>
      [false, true].map((isTransposedB) =>
        made(sizes.m * sizes.n, (out) => kernels.matmul(out, a, b, { ...sizes, isTransposedA, isTransposedB, activation: "gelu" })),
      ),
    ),
  )
  const of = { inChannels: 4, outChannels: 14, groups: 2, inSize: [13, 17], kernel: [3, 3], padding: [1, 1, 1, 1] }
  const each = { ...of, inChannels: 2 }
  const images = floats(4 * 13 * 17, 0)
  const weights = floats(14 * 2 * 9, 0)
  await group("convolve", [
    made(14 * 13 * 17, (out) => kernels.convolve(out, images, kernels.packConvolution(weights, of), { activation: "relu" })),
    made(14 * 13 * 17, (out) => kernels.convolve(out, floats(2 * 13 * 17, 1), kernels.packConvolution(floats(14 * 9, 1), each))),
  ])
  const rows = floats(7 * 301, 0)
  await group("normalize", [
    made(7 * 301, (out) => kernels.softmax(out, rows, 301)),
    made(7 * 301, (out) => kernels.logSoftmax(out, rows, 301)),
    made(7 * 301, (out) => kernels.layerNorm(out, rows, 301)),
    made(7 * 301, (out) => kernels.rmsNorm(out, rows, 301)),
  ])
  await group(
    "mapWith",
    mapWithNames.map((name) => made(n, (out) => kernels.mapWith(name, out, x))),
  )
  const training = await openTrainingKernels(kernels)
  await group(
    "gradients",
    gradientNames.map((name) => made(n, (dx) => training.mapBackward(name, { dx }, { x, y: x, dy: y }))),
  )
  await group("train", trained(kernels, training, floats))
  // Of tensors, two whose shapes go together, of each type.
  const [rank3, rank2] = [
    [3, 5, 67],
    [5, 1],
  ] as const
  const written = <T extends NumberType>(type: T, shape: ReadonlyArray<number>, run: (out: { numbers: Numbers<T>; shape: ReadonlyArray<number> }) => void) => {
    const out = kernels.tensor(type, shape)
    run(out)
    return out.numbers
  }
  const tensors = (["f32", "f64", "i32", "u16"] as const).map((type) => {
    const [a, b] = [kernels.tensor(type, rank3), kernels.tensor(type, rank2)]
    for (const { numbers, shape } of [a, b]) kernels.elements.cast({ numbers, shape }, { numbers: floats(numbers.length), shape })
    return { type, a, b }
  })
  await group(
    "elements",
    tensors.flatMap(({ a, b, type }) => {
      const of = operations[type === "u16" ? "f32" : type].filter((name) => type !== "i32" || (name !== "div" && name !== "rem"))
      const types = ["f32", "f64", "i32", "u16", "i8", "u8"] as const
      return [
        ...of.map((name) => written(type, rank3, (out) => kernels.elements.binary(name, out, a, b))),
        ...comparisonNames.map((name) => written("i32", rank3, (out) => kernels.elements.compare(name, out, a, b))),
        ...types.map((to) => written(to, rank3, (out) => kernels.elements.cast(out, a))),
      ]
    }),
  )
  await group(
    "folds",
    tensors.flatMap(({ a, type }) =>
      foldNames
        .filter((name) => type !== "i32" || name !== "mean")
        .flatMap((name) => [
          written(type, [5], (out) => kernels.folds.reduce(name, out, a, [0, 2])),
          written(type, [67], (out) => kernels.folds.reduce(name, out, a, [0, 1])),
        ]),
    ),
  )
  await group(
    "moves",
    tensors.flatMap(({ a, type }) => [
      written(type, [67, 3, 5], (out) => kernels.moves.transpose(out, a, [2, 0, 1])),
      written(type, [4, 6, 67], (out) => kernels.moves.pad(out, a, [0, 1, 0], 2)),
    ]),
  )
  await group("random", [
    made(n, (out) => training.uniform(out, { seed: 54n, counter: 2n ** 64n - 9n, least: -1 })),
    made(n, (out) => training.dropout(out, x, { seed: 54n, rate: 0.3 })),
  ])
  const heads = ["q", "k", "v"].map((name) => kernels.tensor("f32", name === "q" ? [2, 6, 9, 8] : [2, 3, 11, 8]))
  for (const { numbers } of heads) numbers.array.set(floats(numbers.length, 0).array)
  const [q, k, v] = heads as [Tensor<"f32">, Tensor<"f32">, Tensor<"f32">]
  const bytes = { inChannels: 4, outChannels: 6, groups: 2, inSize: [9, 10], kernel: [3, 3], padding: [1, 1, 1, 1] }
  const [image, filters] = [kernels.integers8(360), kernels.integers8(108)]
  for (const { array } of [image, filters]) array.forEach((_, i) => (array[i] = ((i * 73) % 255) - 127))
  await group("layers", [
    written("f32", [2, 6, 9, 8], (out) => kernels.layers.attention(out, q, k, v, { isCausal: true })),
    written("f32", [2, 6, 9, 8], (out) => kernels.layers.groupNorm(out, q, { groups: 3 })),
    made(12, (out) => kernels.globalPool(out, q.numbers, "mean", 12)),
    written("i8", [540], ({ numbers }) =>
      kernels.quantized.convolve(numbers, image, kernels.quantized.pack(filters, bytes), {
        factors: kernels.numbers(Array<number>(6).fill(0.0037)),
        inZero: 3,
        outZero: -7,
      }),
    ),
  ])
  const vectors = floats(50 * 33, 40)
  vectors.array.fill(0, 0, 2 * 33)
  const nearby = ["cosine", "dot"] as const
  const ready = kernels.packVectors(vectors, 33)
  await group(
    "nearest",
    nearby.flatMap((by) => {
      const places = kernels.integers(20)
      return [made(20, (out) => kernels.nearest(out, places, ready, floats(33, 0), by)), places]
    }),
  )
  // Of integers `fast` is exact too, whatever the processor has.
  const [left, right] = [1, 2].map(() => Int8Array.from({ length: 131 * 133 }, () => random.word() & 255)) as [Int8Array, Int8Array]
  const products = [kernels, await openKernels({ mode: "fast" })].map((of) => {
    const [a, b, out] = [of.integers8(131 * 133), of.integers8(133 * 131), of.integers(131 * 131)]
    a.array.set(left)
    b.array.set(right)
    of.matmul8(out, a, of.packMatrix8(b, { k: 133, n: 131 }), 131)
    return out
  })
  await group("bytes", products)
  return lines
}

/** What a few steps of a net of every kind of layer leave of its parameters. */
function trained(kernels: Kernels, training: TrainingKernels, floats: (n: number, awkwardOf?: number) => Floats): ReadonlyArray<Floats | number> {
  const [batch, channels, side] = [3, 5, 6]
  const of = { batch, inChannels: 2, outChannels: channels, inSize: [11, 11], kernel: [3, 3], stride: [2, 2], padding: [1, 1, 1, 1] }
  const pooling = { planes: batch * channels, inSize: [side, side], kernel: [2, 3], padding: [0, 1, 0, 0], stride: [2, 2] }
  const [pixels, keys] = [batch * channels * side * side, channels * 3]
  const shape = { heads: batch, queries: channels, keys: channels, d: 9 }
  const dense = { m: batch * channels, k: 9, n: 4 }
  const [places, labels] = [kernels.integers(batch), kernels.integers(dense.m)]
  places.array.set([1, -1, 1])
  labels.array.forEach((_, i) => (labels.array[i] = (i * 7) % 4))
  const p = {
    table: floats(4 * 242, 0),
    w: floats(channels * 18, 0),
    gamma: floats(channels, 0),
    beta: floats(channels, 0),
    norm: floats(9, 0),
    v: floats(36, 0),
  }
  const names = Object.keys(p) as ReadonlyArray<keyof typeof p>
  const zeros = () => Object.fromEntries(names.map((name) => [name, kernels.zeros(p[name].length)])) as Record<keyof typeof p, Floats>
  const [d, velocities] = [zeros(), zeros()]
  const states = names.map((name) => training.adamState(p[name].length))
  const measured = { mean: kernels.zeros(channels), variance: kernels.zeros(channels) }
  const arrays = (count: number, n: number) => Array.from({ length: count }, () => kernels.zeros(n))
  const [x, dx] = arrays(2, batch * 242) as [Floats, Floats]
  const [convolved, normed, dnormed] = arrays(3, pixels) as [Floats, Floats, Floats]
  const [pooled, scaled, seen, dseen, dq, dk, dv] = arrays(7, batch * keys * 3) as [Floats, Floats, Floats, Floats, Floats, Floats, Floats]
  const weights = kernels.zeros(batch * channels * channels)
  const [out, dout] = arrays(2, dense.m * 4) as [Floats, Floats]
  const losses: Array<number> = []
  for (let step = 0; step < 4; step++) {
    kernels.gather(x, p.table, places, 242)
    const packed = kernels.packConvolution(p.w, of)
    kernels.convolve(convolved, x, packed)
    packed.weights.free()
    training.batchStatistics(measured, convolved, { batch })
    kernels.batchNorm(normed, convolved, { ...measured, gamma: p.gamma, beta: p.beta, batch })
    kernels.map("relu", normed, normed)
    kernels.pool(pooled, normed, step % 2 === 0 ? "max" : "mean", pooling)
    kernels.layerNorm(scaled, pooled, 9, { gamma: p.norm })
    training.attention({ out: seen, weights }, { q: scaled, k: pooled, v: scaled }, shape)
    kernels.matmul(out, seen, p.v, dense)
    losses.push(training.crossEntropy({ dx: dout }, { x: out, labels }, 4))
    training.denseBackward({ dx: dseen, dw: d.v }, { x: seen, w: p.v, dy: dout }, dense)
    training.attentionBackward({ dq, dk, dv }, { q: scaled, k: pooled, v: scaled, weights, dy: dseen }, shape)
    kernels.add(dq, dq, dv)
    training.layerNormBackward({ dx: dq, dgamma: d.norm }, { x: pooled, gamma: p.norm, dy: dq }, 9)
    kernels.add(dq, dq, dk)
    training.poolBackward({ dx: dnormed }, { x: normed, dy: dq }, step % 2 === 0 ? "max" : "mean", pooling)
    training.mapBackward("relu", { dx: dnormed }, { y: normed, dy: dnormed })
    training.batchNormBackward({ dx: dnormed, dgamma: d.gamma, dbeta: d.beta }, { ...measured, x: convolved, gamma: p.gamma, dy: dnormed }, { batch })
    training.convolveBackward({ dx, dw: d.w }, { x, w: p.w, dy: dnormed }, of)
    training.gatherBackward({ dx: d.table }, { places, dy: dx }, 242)
    losses.push(training.clipByNorm(Object.values(d), 0.3))
    names.forEach((name, i) => {
      if (step === 0) training.sgd(p[name], d[name], { rate: 0.1 })
      else if (step === 1) training.momentum(p[name], d[name], velocities[name], { rate: 0.1, isNesterov: true, decay: 0.01 })
      else training.adam(p[name], d[name], states[i] as (typeof states)[number], { rate: 0.1, decay: 0.01, isDecoupled: step === 3 })
    })
  }
  return [...Object.values(p), ...losses]
}
