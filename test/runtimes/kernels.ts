/**
 * What the kernels of `bitexact` give for numbers of every kind, in groups: each a line with the SHA-256 of all bits. `kernels.txt` has what they
 * were when they were last meant to change.
 */
import type * as KernelsModule from "../../kernels/mod.ts"
import type { Floats } from "../../kernels/mod.ts"
import { comparisonNames } from "../../kernels/vector/vector.ts"
import { mapNames, mapWithNames } from "../../kernels/math/math.ts"
import { Random, randomFloats } from "../kernels/random-floats.ts"

export async function kernelBits({ openKernels }: typeof KernelsModule): Promise<ReadonlyArray<string>> {
  const kernels = await openKernels()
  const random = new Random(54)
  const lines: Array<string> = []
  const group = async (name: string, results: ReadonlyArray<Floats | number>): Promise<void> => {
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
  return lines
}
