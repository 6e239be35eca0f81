/** Kernels on several threads give the bits of one thread, whatever a call is split into, and threads end when they are told to. */
import t from "tap"
import { openKernels, type Kernels } from "../../../kernels/kernels.ts"
import { mapNames } from "../../../kernels/math/math.ts"
import { openThreadedKernels } from "../../../runtime/accel/threads.ts"
import { sharing } from "../../../runtime/accel/shared-import.ts"
import { openAccelerator } from "../../../runtime/accel/mod.ts"
import { Random, randomFloats } from "../../kernels/random-floats.ts"
import { replay, runsOf, seed } from "../../seed.ts"

t.comment(`${replay} replays`)
const one = await openKernels()
const several = await openThreadedKernels({ threads: 3 })
t.teardown(() => several.close())

type Floats = ReturnType<Kernels["numbers"]>

/** Runs the same on one thread and on several. */
function same(
  t: { readonly ok: (value: boolean, title: string) => unknown },
  title: string,
  values: ReadonlyArray<Float32Array>,
  size: number,
  run: (kernels: Kernels, out: Floats, ...of: ReadonlyArray<Floats>) => void,
): void {
  const [expected, found] = [one, several.kernels].map((kernels) => {
    const [out, of] = [kernels.zeros(size), values.map((array) => kernels.numbers(array))]
    try {
      run(kernels, out, ...of)
      return out.array.slice()
    } finally {
      for (const array of [out, ...of]) array.free()
    }
  }) as [Float32Array, Float32Array]
  t.ok(Buffer.from(expected.buffer).equals(Buffer.from(found.buffer)), title)
}

t.test("products, wide, high, transposed and in batches", async (t) => {
  const random = new Random(seed)
  const shapes = [
    ...[
      [64, 64, 64],
      [1, 700, 300],
      [7, 500, 130],
      [300, 300, 5],
      [129, 65, 67],
    ],
    ...Array.from({ length: runsOf(10, 200) }, () => [random.whole(1, 150), random.whole(1, 150), random.whole(1, 150)]),
  ]
  for (const [m = 0, k = 0, n = 0] of shapes) {
    const batch = random.whole(1, 2)
    const [isTransposedA, isTransposedB] = [random.whole(0, 1) === 1, random.whole(0, 1) === 1]
    const values = [randomFloats(random, batch * m * k, 2), randomFloats(random, batch * k * n, 2), randomFloats(random, n)]
    same(t, `${m} ${k} ${n}`, values, batch * m * n, (kernels, out, a, b, bias) =>
      kernels.matmul(out, a as Floats, b as Floats, { m, k, n, batch, isTransposedA, isTransposedB, bias: bias as Floats, activation: "relu" }),
    )
  }
})

t.test("convolutions, by images and by channels", async (t) => {
  const random = new Random(seed + 1)
  for (let i = 0; i < runsOf(10, 100); i++) {
    const [batch, groups] = [random.whole(1, 4), random.whole(1, 2)]
    const [inChannels, outChannels, size] = [2 * random.whole(1, 8), 2 * random.whole(1, 20), random.whole(3, 24)]
    const shape = { batch, groups, inChannels, outChannels, inSize: [size, size], kernel: [3, 3], padding: [1, 1, 1, 1] }
    const values = [
      randomFloats(random, batch * inChannels * size * size, 1),
      randomFloats(random, (outChannels * inChannels * 9) / groups),
      randomFloats(random, outChannels),
    ]
    same(t, JSON.stringify(shape), values, batch * outChannels * size * size, (kernels, out, x, w, bias) => {
      const packed = kernels.packConvolution(w as Floats, shape)
      kernels.convolve(out, x as Floats, packed, { bias: bias as Floats })
      packed.weights.free()
    })
  }
})

t.test("functions, rows and arrays that are worth it", async (t) => {
  const random = new Random(seed + 2)
  const x = randomFloats(random, 40_003, 5)
  for (const name of mapNames) same(t, name, [x], x.length, (kernels, out, of) => kernels.map(name, out, of as Floats))
  const rows = x.subarray(0, 40_000)
  same(t, "softmax", [rows], 40_000, (kernels, out, of) => kernels.softmax(out, of as Floats, 125))
  same(t, "layerNorm", [rows, x.subarray(0, 125)], 40_000, (kernels, out, of, gamma) => kernels.layerNorm(out, of as Floats, 125, { gamma: gamma as Floats }))
  same(t, "rmsNorm", [rows], 40_000, (kernels, out, of) => kernels.rmsNorm(out, of as Floats, 2_000))
  same(t, "scores", [rows, x.subarray(0, 125)], 320, (kernels, out, of, query) => kernels.scores(out, of as Floats, query as Floats))
  same(t, "attention", [rows, rows, rows], 40_000, (kernels, out, q, k, v) =>
    kernels.attention(out, q as Floats, k as Floats, v as Floats, { heads: 2, queries: 200, keys: 200, d: 100 }),
  )
  const large = new Float32Array((1 << 20) + 5).map((_, i) => (i % 1_000) - 500)
  for (const name of ["add", "sub", "mul", "div", "min", "max"] as const)
    same(t, name, [large, large.toReversed()], large.length, (kernels, out, a, b) => kernels[name](out, a as Floats, b as Floats))
})

t.test("memory that grows while threads have it is seen by all", async (t) => {
  const { close, kernels } = await openThreadedKernels({ threads: 2 })
  for (let i = 0; i < 5; i++) {
    const n = 100_000 * 2 ** i
    const [out, x] = [kernels.zeros(n), kernels.numbers(new Float32Array(n).fill(4))]
    kernels.map("sqrt", out, x)
    t.ok(out.array.every((value) => value === 2))
  }
  await close()
})

t.test("kernels whose threads have ended say so, and do not wait for them", async (t) => {
  const { close, kernels } = await openThreadedKernels({ threads: 2 })
  const x = kernels.zeros(1 << 16)
  await close()
  t.throws(() => kernels.map("exp", x, x), { code: "STELE-ACC-0008" })
})

t.test("what cannot be is refused", async (t) => {
  for (const bytesMax of [-1, Number.NaN, 2 ** 33]) await t.rejects(openThreadedKernels({ threads: 2, bytesMax }), { code: "STELE-KRN-0003" })
  await t.rejects(openThreadedKernels({ threads: 2, bytesMax: 1_000 }), { code: "STELE-KRN-0005" })
  await t.rejects(openThreadedKernels({ threads: 2, mode: "slow" as never }), { code: "STELE-KRN-0006" })
  for (const threads of [1, 65, 2.5, Number.NaN])
    await t.rejects(openThreadedKernels({ threads }), { code: "STELE-KRN-0003", message: /"threads" is .*, expected a whole number from 2 to 64/ })
  t.throws(() => sharing(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)))
})

t.test("the accelerator has them as a device", async (t) => {
  await using accelerator = await openAccelerator({ memoryPath: undefined })
  const [m, k, n] = [40, 50, 60]
  const random = new Random(seed + 3)
  const [a, b] = [randomFloats(random, m * k), randomFloats(random, k * n)]
  const inputs = { a: accelerator.buffer(a), b: accelerator.buffer(b) }
  if (accelerator.status().some(({ name, state }) => name === "threads" && state === "absent")) {
    t.comment("this machine has one processor")
    return
  }
  const results = []
  for (const device of ["threads", "simd"]) results.push(await (await accelerator.run("matmul", { m, k, n }, inputs, { device })).outputs["out"]?.read())
  t.same(results[0], results[1])
})
