/**
 * `npm run bench -- kernels`: numeric kernels beside those of other libraries in one process, one thread each, by turns; `turbo` is off but in the rows that name it. Peers are installed by the
 * first run, apart from everything else (`test/bench/peers`); one that does not load is left out and so are its targets.
 *
 * GFLOP/s and GB/s are of the best of many short rounds, since whatever disturbs a round only slows it.
 */
import { createHash, hash } from "node:crypto"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { type Floats, type Kernels, openKernels, openTextKernels, openTrainingKernels } from "../../kernels/mod.ts"
import { unpacked } from "../../kernels/memory/module.ts"
import { openThreadedKernels } from "../../runtime/accel/threads.ts"
import { peak, peakOperations } from "./guest/peak.ts"
import { figureRow, type Row, type Target } from "./measure.ts"
import { type DenseTraining, type Peer, peers, type Work } from "./peers/kernels.ts"

type Say = (line: string) => void

/** The least milliseconds of each, by turns: a round is as many runs as take about 20 ms. */
async function least(works: Readonly<Record<string, Work>>, rounds = 15): Promise<Record<string, number>> {
  const best: Record<string, number> = {}
  const times: Record<string, number> = {}
  for (const [name, work] of Object.entries(works)) {
    for (let i = 0; i < 3; i++) await work()
    const began = performance.now()
    await work()
    times[name] = Math.max(1, Math.round(20 / Math.max(0.001, performance.now() - began)))
    best[name] = Number.POSITIVE_INFINITY
  }
  for (let round = 0; round < rounds; round++)
    for (const [name, work] of Object.entries(works)) {
      const n = times[name] as number
      const began = performance.now()
      for (let i = 0; i < n; i++) {
        const answer = work()
        // Who answers at once is not made to wait.
        if (typeof answer !== "number") await answer
      }
      best[name] = Math.min(best[name] as number, (performance.now() - began) / n)
    }
  return best
}

const random = (n: number): Float32Array => Float32Array.from({ length: n }, () => Math.random() - 0.5)

/** What each did a millisecond, in thousands of millions a second. */
const rates = (best: Readonly<Record<string, number>>, operations: number): Record<string, number> =>
  Object.fromEntries(Object.entries(best).map(([name, ms]) => [name, operations / ms / 1e6]))

/** A row of rates: `fast` or `bitexact` is ours, the others are peers. */
function rateRow(
  figure: string,
  unit: string,
  all: Readonly<Record<string, number>>,
  mode: string,
  targets: Readonly<Record<string, number>>,
  note?: string,
): Row {
  const { [mode]: ours, ...others } = all
  const met = Object.entries(targets).flatMap(([peer, atLeast]): ReadonlyArray<Target> => {
    const beside = all[peer]
    return beside === undefined || ours === undefined ? [] : [{ name: `${mode}/${peer}`, ratio: ours / beside, atLeast }]
  })
  return figureRow(figure, unit, ours as number, others, met, note)
}

function matmulJs(a: Float32Array, b: Float32Array, n: number): () => number {
  const c = new Float32Array(n * n)
  return () => {
    c.fill(0)
    for (let i = 0; i < n; i++)
      for (let k = 0; k < n; k++) {
        const x = a[i * n + k] as number
        for (let j = 0; j < n; j++) c[i * n + j] = (c[i * n + j] as number) + x * (b[k * n + j] as number)
      }
    return c[0] as number
  }
}

async function matmulRows(modes: Readonly<Record<"bitexact" | "fast", Kernels>>, others: ReadonlyArray<Peer>): Promise<ReadonlyArray<Row>> {
  const n = 512
  const [a, b] = [random(n * n), random(n * n)]
  const run = await peak()
  const turns = 300_000
  const works: Record<string, Work> = { peak: () => run(turns), js: matmulJs(a, b, n) }
  for (const [mode, kernels] of Object.entries(modes)) {
    const [x, y, out] = [kernels.numbers(a), kernels.numbers(b), kernels.zeros(n * n)]
    works[mode] = () => {
      kernels.matmul(out, x, y, { m: n, k: n, n })
      return out.array[0] as number
    }
  }
  for (const { matmul, name } of others) if (matmul !== undefined) works[name] = await matmul(a, b, n)
  const best = await least(works)
  const all = { ...rates(best, 2 * n ** 3), peak: (turns * peakOperations) / (best["peak"] as number) / 1e6 }
  return [
    rateRow(
      "f32 matmul 512³, fast",
      "GFLOP/s",
      all,
      "fast",
      { "onnxruntime-web": 1.4, "numpy-ts": 1.4, "tfjs-wasm": 3.5, js: 25, peak: 0.8 },
      "peak: fused operations of 128 bits",
    ),
    rateRow("f32 matmul 512³, bitexact", "GFLOP/s", all, "bitexact", { peak: 0.6 }),
  ]
}

/** The same product on two threads, and with V8's vectors of 256 bits, which are a process's: processes with and without them, by turns. */
async function moreRows({ fast: one }: Readonly<Record<"bitexact" | "fast", Kernels>>): Promise<ReadonlyArray<Row>> {
  const n = 512
  const [a, b] = [random(n * n), random(n * n)]
  const { close, kernels } = await openThreadedKernels({ mode: "fast", threads: 2 })
  const on = (of: Kernels): Work => {
    const [x, y, out] = [of.numbers(a), of.numbers(b), of.zeros(n * n)]
    return () => {
      of.matmul(out, x, y, { m: n, k: n, n })
      return out.array[0] as number
    }
  }
  const all = rates(await least({ "one thread": on(one), two: on(kernels) }), 2 * n ** 3)
  await close()
  const program = fileURLToPath(new URL("./turbo-matmul.ts", import.meta.url))
  const turbo: Record<string, number> = {}
  const plain: Record<string, number> = {}
  for (let round = 0; round < 3; round++)
    for (const [best, flags] of [
      [plain, []],
      [turbo, ["--experimental-wasm-revectorize"]],
    ] as const)
      for (const [mode, ms] of Object.entries(
        JSON.parse(spawnSync(process.execPath, [...flags, program], { encoding: "utf8" }).stdout) as Record<string, number>,
      ))
        best[mode] = Math.min(best[mode] ?? Number.POSITIVE_INFINITY, ms)
  const rate = (of: Readonly<Record<string, number>>, mode: string): number => (2 * n ** 3) / (of[mode] as number) / 1e6
  return [
    rateRow("f32 matmul 512³, fast, two threads", "GFLOP/s", all, "two", { "one thread": 1.6 }),
    ...(["fast", "bitexact"] as const).map((mode) =>
      rateRow(`f32 matmul 512³, ${mode}, turbo`, "GFLOP/s", { turbo: rate(turbo, mode), without: rate(plain, mode) }, "turbo", { without: 1.5 }),
    ),
  ]
}

async function integerRows({ fast }: Readonly<Record<"bitexact" | "fast", Kernels>>, others: ReadonlyArray<Peer>): Promise<ReadonlyArray<Row>> {
  const n = 512
  const bytes = (): Int8Array => Int8Array.from({ length: n * n }, () => Math.floor(Math.random() * 255) - 127)
  const [x, y] = [bytes(), bytes()]
  const [a, b, out] = [fast.integers8(n * n), fast.integers8(n * n), fast.integers(n * n)]
  a.array.set(x)
  b.array.set(y)
  const packed = fast.packMatrix8(b, { k: n, n })
  const [floatA, floatB, floatOut] = [fast.numbers(x), fast.numbers(y), fast.zeros(n * n)]
  const panels = fast.packMatrix(floatB, { k: n, n })
  const works: Record<string, Work> = {
    ours: () => {
      fast.matmul8(out, a, packed, n)
      return out.array[0] as number
    },
    "our f32": () => {
      fast.matmul(floatOut, floatA, panels, { m: n, k: n, n })
      return floatOut.array[0] as number
    },
  }
  for (const { matmul8, name } of others) if (matmul8 !== undefined) works[name] = await matmul8(x, y, n)
  const all = rates(await least(works), 2 * n ** 3)
  return [rateRow("i8 matmul 512³ to 32 bits, right operand packed", "G operations/s", all, "ours", { "onnxruntime-web": 1, "our f32": 1.5 })]
}

async function nearestRows({ fast }: Readonly<Record<"bitexact" | "fast", Kernels>>): Promise<ReadonlyArray<Row>> {
  const [count, n, k] = [20_000, 384, 10]
  const [vectors, question] = [random(count * n), random(n)]
  const [x, query, norms, scores] = [fast.numbers(vectors), fast.numbers(question), fast.zeros(count), fast.zeros(count)]
  const [values, places] = [fast.zeros(k), fast.integers(k)]
  fast.norms(norms, x, n)
  const lengths = norms.array.slice()
  const own = Math.hypot(...question)
  const vectors8 = fast.packVectors(x, n)
  const best = await least(
    {
      "made ready": () => {
        fast.nearest(values, places, vectors8, query)
        return places.array[0] as number
      },
      "a sum of all": () => fast.sum(x),
      ours: () => {
        fast.scores(scores, x, query, norms)
        fast.topk(values, places, scores)
        return places.array[0] as number
      },
      js: () => {
        const found: Array<readonly [score: number, place: number]> = []
        for (let row = 0; row < count; row++) {
          let sum = 0
          for (let i = 0, at = row * n; i < n; i++, at++) sum += (vectors[at] as number) * (question[i] as number)
          const score = sum / ((lengths[row] as number) * own)
          if (found.length === k && score <= (found[k - 1] as readonly [number, number])[0]) continue
          let at = found.length
          while (at > 0 && (found[at - 1] as readonly [number, number])[0] < score) at--
          found.splice(at, 0, [score, row])
          if (found.length > k) found.pop()
        }
        return found[0]?.[1] ?? -1
      },
    },
    8,
  )
  const { js = 0, "made ready": ready = 0, ours = 0, "a sum of all": sum = 0 } = best
  const name = "ten nearest of 20,000 × 384, by cosine"
  const rows = [
    figureRow(
      `${name}, all scores`,
      "ms",
      ours,
      { js, "a sum of all": sum },
      [{ name: "js/ours", ratio: js / ours, atLeast: 9 }],
      "no less than a sum of all, which memory bounds",
    ),
    figureRow(`${name}, of vectors made ready`, "ms", ready, { js }, [{ name: "js/ours", ratio: js / ready, atLeast: 9 }]),
  ]
  vectors8.free()
  x.free()
  return rows
}

async function convolutionRows(modes: Readonly<Record<"bitexact" | "fast", Kernels>>, others: ReadonlyArray<Peer>): Promise<ReadonlyArray<Row>> {
  const [channels, size] = [64, 56]
  const [x, w] = [random(channels * size * size), random(channels * channels * 9)]
  const works: Record<string, Work> = {}
  const depthwise: Record<string, Work> = {}
  for (const [mode, kernels] of Object.entries(modes)) {
    const of = { inChannels: channels, outChannels: channels, inSize: [size, size], kernel: [3, 3], padding: [1, 1, 1, 1] }
    const [image, out] = [kernels.numbers(x), kernels.zeros(x.length)]
    const packed = kernels.packConvolution(kernels.numbers(w), of)
    const each = kernels.packConvolution(kernels.numbers(w.subarray(0, channels * 9)), { ...of, groups: channels })
    const ready =
      (by: typeof packed): Work =>
      () => {
        kernels.convolve(out, image, by)
        return out.array[0] as number
      }
    works[mode] = ready(packed)
    depthwise[mode] = ready(each)
  }
  for (const { convolve, name } of others) if (convolve !== undefined) works[name] = await convolve(x, w, channels, size)
  const all = rates(await least(works), 2 * channels * channels * 9 * size * size)
  return [
    rateRow("conv2d 3×3, 64→64 at 56², fast", "GFLOP/s", all, "fast", { "onnxruntime-web": 1.1 }),
    rateRow("conv2d 3×3, 64→64 at 56², bitexact", "GFLOP/s", all, "bitexact", { "onnxruntime-web": 0.95 }),
    rateRow("depthwise 3×3, 64 at 56²", "GFLOP/s", rates(await least(depthwise), 2 * channels * 9 * size * size), "fast", {}),
  ]
}

async function vectorRows({ fast }: Readonly<Record<"bitexact" | "fast", Kernels>>, others: ReadonlyArray<Peer>): Promise<ReadonlyArray<Row>> {
  const rows: Array<Row> = []
  for (const n of [128, 384, 1024, 4096]) {
    const [a, b] = [random(n), random(n)]
    const [x, y] = [fast.numbers(a), fast.numbers(b)]
    const js: Work = () => {
      let sum = 0
      for (let i = 0; i < n; i++) sum += (a[i] as number) * (b[i] as number)
      return sum
    }
    const works: Record<string, Work> = { fast: () => fast.dot(x, y), js }
    for (const { dot, name } of others) if (dot !== undefined) works[name] = dot(a, b)
    const ns = Object.fromEntries(Object.entries(await least(works)).map(([name, ms]) => [name, ms * 1e6]))
    const { fast: ours = 0, ...rest } = ns
    const beside = rest["simsimd"]
    rows.push(
      figureRow(
        `dot of ${n}, called from JavaScript`,
        "ns",
        ours,
        rest,
        beside === undefined ? [] : [{ name: "ours/simsimd", ratio: ours / beside, atMost: 1 }],
      ),
    )
    x.free()
    y.free()
  }
  const n = 2048
  const [a, b] = [random(n), random(n)]
  const sum = new Float32Array(n)
  const [x, y, out] = [fast.numbers(a), fast.numbers(b), fast.zeros(n)] as readonly [Floats, Floats, Floats]
  const all = rates(
    await least({
      fast: () => {
        fast.add(out, x, y)
        return 0
      },
      js: () => {
        for (let i = 0; i < n; i++) sum[i] = (a[i] as number) + (b[i] as number)
        return sum[0] as number
      },
    }),
    12 * n,
  )
  rows.push(rateRow("vector add of 2,048, in the first cache", "GB/s", all, "fast", { js: 12 }))
  const none = fast.zeros(0)
  const { call = 0 } = await least({ call: () => fast.dot(none, none) })
  rows.push(figureRow("a call: dot of nothing", "ns", call * 1e6, {}, [{ name: "ns", ratio: call * 1e6, atMost: 10 }]))
  return rows
}

async function rowRows({ fast, bitexact }: Readonly<Record<"bitexact" | "fast", Kernels>>): Promise<ReadonlyArray<Row>> {
  const [rows, n] = [100, 1024]
  const values = random(rows * n)
  const works: Record<string, Work> = {}
  for (const kernels of [fast, bitexact]) {
    const [x, out] = [kernels.numbers(values), kernels.zeros(rows * n)]
    works[kernels.mode] = () => {
      kernels.softmax(out, x, n)
      return 0
    }
  }
  works["js"] = () => {
    let last = 0
    for (let row = 0; row < rows; row++) {
      const of = values.subarray(row * n, (row + 1) * n)
      let [most, sum] = [Number.NEGATIVE_INFINITY, 0]
      for (const value of of) most = Math.max(most, value)
      const e = new Float32Array(n)
      for (let i = 0; i < n; i++) sum += e[i] = Math.exp((of[i] as number) - most)
      for (let i = 0; i < n; i++) last = e[i] = (e[i] as number) / sum
    }
    return last
  }
  return [rateRow("softmax of rows of 1,024", "G numbers/s", rates(await least(works), rows * n), "fast", {})]
}

/** The same step in plain loops over rows, which engines do best. */
function trainJs({ labels, parameters, rate, rows, sizes: [inputs, hidden, classes], x }: DenseTraining): Work {
  const [w1, b1, w2, b2] = parameters.map((one) => one.slice()) as [Float32Array, Float32Array, Float32Array, Float32Array]
  const [h, dh, out] = [new Float32Array(rows * hidden), new Float32Array(rows * hidden), new Float32Array(rows * classes)]
  const [dw1, db1, dw2, db2] = [w1, b1, w2, b2].map((one) => new Float32Array(one.length)) as [Float32Array, Float32Array, Float32Array, Float32Array]
  /** `c += a · b`, a by its places. */
  const add = (c: Float32Array, a: Float32Array, b: Float32Array, m: number, k: number, n: number, across: number, along: number): void => {
    for (let i = 0; i < m; i++)
      for (let at = 0; at < k; at++) {
        const value = a[i * across + at * along] as number
        for (let j = 0; j < n; j++) c[i * n + j] = (c[i * n + j] as number) + value * (b[at * n + j] as number)
      }
  }
  const columns = (to: Float32Array, of: Float32Array): void => of.forEach((value, i) => (to[i % to.length] = (to[i % to.length] as number) + value))
  return () => {
    for (const one of [dw1, db1, dw2, db2, dh]) one.fill(0)
    for (let i = 0; i < rows; i++) {
      h.set(b1, i * hidden)
      out.set(b2, i * classes)
    }
    add(h, x, w1, rows, inputs, hidden, inputs, 1)
    for (let i = 0; i < h.length; i++) if ((h[i] as number) < 0) h[i] = 0
    add(out, h, w2, rows, hidden, classes, hidden, 1)
    let loss = 0
    for (let i = 0; i < rows; i++) {
      const row = out.subarray(i * classes, (i + 1) * classes)
      const most = Math.max(...row)
      let sum = 0
      for (let j = 0; j < classes; j++) sum += row[j] = Math.exp((row[j] as number) - most)
      loss -= Math.log((row[labels[i] as number] as number) / sum) / rows
      for (let j = 0; j < classes; j++) row[j] = ((row[j] as number) / sum - (j === labels[i] ? 1 : 0)) / rows
    }
    add(dw2, h, out, hidden, rows, classes, 1, hidden)
    columns(db2, out)
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < hidden; j++) {
        let sum = 0
        for (let at = 0; at < classes; at++) sum += (out[i * classes + at] as number) * (w2[j * classes + at] as number)
        dh[i * hidden + j] = (h[i * hidden + j] as number) > 0 ? sum : 0
      }
    add(dw1, x, dh, inputs, rows, hidden, 1, inputs)
    columns(db1, dh)
    for (const [w, dw] of [
      [w1, dw1],
      [b1, db1],
      [w2, dw2],
      [b2, db2],
    ] as const)
      for (let i = 0; i < w.length; i++) w[i] = (w[i] as number) - rate * (dw[i] as number)
    return loss
  }
}

async function trainOurs(kernels: Kernels, { labels, parameters, rate, rows: m, sizes: [inputs, hidden, classes], x: values }: DenseTraining): Promise<Work> {
  const training = await openTrainingKernels(kernels)
  const [x, h, dh] = [kernels.numbers(values), kernels.zeros(m * hidden), kernels.zeros(m * hidden)]
  const [out, dout, classOf] = [kernels.zeros(m * classes), kernels.zeros(m * classes), kernels.integers(m)]
  classOf.array.set(labels)
  const [w1, b1, w2, b2] = parameters.map((one) => kernels.numbers(one)) as [Floats, Floats, Floats, Floats]
  const [dw1, db1, dw2, db2] = parameters.map((one) => kernels.zeros(one.length)) as [Floats, Floats, Floats, Floats]
  const [first, second] = [
    { m, k: inputs, n: hidden },
    { m, k: hidden, n: classes },
  ]
  return () => {
    kernels.matmul(h, x, w1, { ...first, bias: b1, activation: "relu" })
    kernels.matmul(out, h, w2, { ...second, bias: b2 })
    const loss = training.crossEntropy({ dx: dout }, { x: out, labels: classOf }, classes)
    training.denseBackward({ dx: dh, dw: dw2, db: db2 }, { x: h, w: w2, dy: dout }, second)
    training.mapBackward("relu", { dx: dh }, { y: h, dy: dh })
    training.denseBackward({ dw: dw1, db: db1 }, { x, w: w1, dy: dh }, first)
    training.sgd(w1, dw1, { rate })
    training.sgd(b1, db1, { rate })
    training.sgd(w2, dw2, { rate })
    training.sgd(b2, db2, { rate })
    return loss
  }
}

async function trainingRows(modes: Readonly<Record<"bitexact" | "fast", Kernels>>, others: ReadonlyArray<Peer>): Promise<ReadonlyArray<Row>> {
  const [rows, inputs, hidden, classes] = [256, 784, 512, 10]
  const small = (n: number, by: number) => random(n).map((value) => value / by)
  const of: DenseTraining = {
    rows,
    sizes: [inputs, hidden, classes],
    rate: 0.01,
    x: random(rows * inputs),
    labels: Int32Array.from({ length: rows }, (_, i) => i % classes),
    parameters: [small(inputs * hidden, 14), new Float32Array(hidden), small(hidden * classes, 11), new Float32Array(classes)],
  }
  const works: Record<string, Work> = { js: trainJs(of) }
  for (const [mode, kernels] of Object.entries(modes)) works[mode] = await trainOurs(kernels, of)
  for (const { name, train } of others) if (train !== undefined) works[name] = await train(of)
  const begun = await Promise.all(Object.entries(works).map(async ([name, step]) => [name, await step()] as const))
  const [, expected] = begun[0] as (typeof begun)[number]
  for (const [name, loss] of begun) if (!(Math.abs(loss - expected) < 1e-4)) throw new Error(`${name} does another step: a loss of ${loss}, not ${expected}`)
  // Forward, weights and, of the second layer, what it was given.
  const operations = 2 * rows * (2 * inputs * hidden + 3 * hidden * classes)
  const all = rates(await least(works, 8), operations)
  const note = "784 inputs, 512 hidden numbers with relu, 10 classes, plain descent; tfjs-wasm by its operations one by one"
  return [rateRow(`a training step of 256 × (784, 512, 10), ${(operations / 1e9).toFixed(2)} GFLOP`, "GFLOP/s", all, "fast", {}, note)]
}

/** What each module weighs. */
async function sizeRows(): Promise<ReadonlyArray<Row>> {
  const modules = {
    "inference, bitexact": [await import("../../kernels/inference.bitexact.gen.ts"), 60],
    "inference, fast": [await import("../../kernels/inference.fast.gen.ts"), 60],
    "training, bitexact": [await import("../../kernels/training.bitexact.gen.ts"), undefined],
    "training, fast": [await import("../../kernels/training.fast.gen.ts"), undefined],
    "text and hashes": [await import("../../kernels/text.gen.ts"), 30],
  } as const
  const rows = Object.entries(modules).map(async ([name, [{ wasm }, most]]) => {
    const bytes = await unpacked(wasm)
    const [size, gzip] = [bytes.length / 1_000, gzipSync(bytes, { level: 9 }).length / 1_000]
    return figureRow(`module of ${name}`, "KB", size, { gzip }, most === undefined ? [] : [{ name: "KB", ratio: size, atMost: most }])
  })
  return Promise.all(rows)
}

/** The textbook automaton (Aho and Corasick 1975) as one table of states and bytes, which is its fastest form in JavaScript. */
function automaton(literals: ReadonlyArray<Uint8Array>): (text: Uint8Array) => number {
  const next: Array<Int32Array> = [new Int32Array(256).fill(-1)]
  const ends: Array<number> = [0]
  for (const literal of literals) {
    let state = 0
    for (const byte of literal) {
      const row = next[state] as Int32Array
      if (row[byte] === -1) {
        row[byte] = next.length
        next.push(new Int32Array(256).fill(-1))
        ends.push(0)
      }
      state = row[byte] as number
    }
    ends[state] = (ends[state] as number) + 1
  }
  const fails = new Int32Array(next.length)
  const queue: Array<number> = []
  for (let byte = 0; byte < 256; byte++) {
    const to = (next[0] as Int32Array)[byte] as number
    if (to === -1) (next[0] as Int32Array)[byte] = 0
    else queue.push(to)
  }
  for (const state of queue) {
    const fail = fails[state] as number
    ends[state] = (ends[state] as number) + (ends[fail] as number)
    for (let byte = 0; byte < 256; byte++) {
      const row = next[state] as Int32Array
      const to = row[byte] as number
      const other = (next[fail] as Int32Array)[byte] as number
      if (to === -1) row[byte] = other
      else {
        fails[to] = other
        queue.push(to)
      }
    }
  }
  const table = new Int32Array(next.length * 256)
  next.forEach((row, state) =>
    table.set(
      row.map((to) => to * 256),
      state * 256,
    ),
  )
  const counts = Int32Array.from(ends)
  return (text) => {
    let [state, found] = [0, 0]
    for (let i = 0; i < text.length; i++) {
      state = table[state + (text[i] as number)] as number
      found += counts[state >> 8] as number
    }
    return found
  }
}

const words =
  "the of and to in is you that it he was for on are as with his they at be this have from or one had by word but not what all were we when your can said there use an each which she do how their if".split(
    " ",
  )

async function textRows(): Promise<ReadonlyArray<Row>> {
  const kernels = await openTextKernels()
  const size = 4 << 20
  let source = ""
  while (source.length < size) source += `${words[Math.floor(Math.random() * words.length)]} `
  const buffer = Buffer.from(source.slice(0, size))
  const text = buffer.toString()
  const page = kernels.bytes(buffer)
  const gigabytes = (best: Readonly<Record<string, number>>) => rates(best, size)
  const letters = (length: number) => String.fromCharCode(...Array.from({ length }, () => 97 + Math.floor(Math.random() * 26)))
  const some = (count: number, least: number, most: number) =>
    Array.from({ length: count }, () => letters(least + Math.floor(Math.random() * (most - least + 1)))).filter((one) => !text.includes(one))
  const rows: Array<Row> = []
  const wanted = kernels.bytes(Buffer.from("stelexyz"))
  rows.push(
    rateRow(
      "one literal of 8 bytes, absent, in 4 MiB of English words",
      "GB/s",
      gigabytes(
        await least({
          ours: () => kernels.indexOf(page, wanted),
          "Buffer.indexOf": () => buffer.indexOf("stelexyz"),
          "String.indexOf": () => text.indexOf("stelexyz"),
        }),
      ),
      "ours",
      { "Buffer.indexOf": 5 },
    ),
  )
  const few = some(8, 6, 12)
  const fewReady = kernels.literals(few.map((one) => Buffer.from(one)))
  const pattern = new RegExp(few.join("|"), "g")
  rows.push(
    rateRow(
      "8 literals of 6–12 letters, absent, in the same text",
      "GB/s",
      gigabytes(await least({ ours: () => kernels.find(page, fewReady).length, RegExp: () => [...text.matchAll(pattern)].length }, 5)),
      "ours",
      { RegExp: 8 },
    ),
  )
  for (const isThere of [false, true]) {
    const many = some(200, 6, 16)
    // One in a thousand words' worth of text is one of them.
    const other = Buffer.from(buffer)
    if (isThere) for (let at = 0; at + 16 < size; at += 4_096) other.write(many[(at / 4_096) % many.length] as string, at)
    const given = kernels.bytes(other)
    const bytes = many.map((one) => Buffer.from(one))
    const ready = kernels.literals(bytes)
    const automatic = automaton(bytes)
    if (automatic(other) !== kernels.find(given, ready).length) throw new Error("The automaton and the kernel find different numbers of matches")
    rows.push(
      rateRow(
        `200 literals of 6–16 letters, ${isThere ? "one every 4 KiB" : "absent"}`,
        "GB/s",
        gigabytes(await least({ ours: () => kernels.find(given, ready).length, "automaton in JavaScript": () => automatic(other) }, 5)),
        "ours",
        { "automaton in JavaScript": 1.5 },
      ),
    )
    given.free()
    ready.free()
  }
  const count = 4_000
  const leaves = kernels.bytes(Uint8Array.from({ length: 55 * count }, (_, i) => i))
  const digests = kernels.bytes(32 * count)
  const one = Buffer.alloc(55, 7)
  const shaNs = await least({
    ours: () => {
      kernels.sha256Batch(digests, leaves, 55)
      return 0
    },
    "crypto.hash": () => {
      for (let i = 0; i < count; i++) hash("sha256", one, "buffer")
      return 0
    },
  })
  const { ours: sha = 0, "crypto.hash": theirs = 0 } = Object.fromEntries(Object.entries(shaNs).map(([name, ms]) => [name, (ms * 1e6) / count]))
  rows.push(
    figureRow("SHA-256 of a packed message of 55 bytes", "ns", sha, { "crypto.hash": theirs }, [
      { name: "crypto.hash/ours", ratio: theirs / sha, atLeast: 3.5 },
    ]),
  )
  const permutations = 2_000
  const [state, states] = [kernels.bytes(200), kernels.bytes(400)]
  const rateBytes = 168
  const keccak = await least({
    one: () => {
      for (let i = 0; i < permutations; i++) kernels.keccakF1600(state)
      return 0
    },
    two: () => {
      for (let i = 0; i < permutations / 2; i++) kernels.keccakF1600x2(states)
      return 0
    },
    openssl: () => {
      createHash("shake128", { outputLength: rateBytes * permutations })
        .update("")
        .digest()
      return 0
    },
  })
  const { one: single = 0, openssl = 0, two = 0 } = Object.fromEntries(Object.entries(keccak).map(([name, ms]) => [name, (ms * 1e6) / permutations]))
  const note = "OpenSSL: SHAKE128's output of 2,000 permutations at once"
  rows.push(figureRow("Keccak-f[1600] of a state", "ns", single, { openssl }, [{ name: "ours/openssl", ratio: single / openssl, atMost: 1.2 }], note))
  rows.push(figureRow("Keccak-f[1600] of two states, each", "ns", two, { openssl }, [{ name: "ours/openssl", ratio: two / openssl, atMost: 1 }], note))
  const checks = await least({ crc32c: () => kernels.crc32c(page), utf8: () => Number(kernels.isUtf8(page)) })
  rows.push(figureRow("CRC32C of 4 MiB", "GB/s", size / (checks["crc32c"] as number) / 1e6, {}, []))
  rows.push(figureRow("UTF-8 validation of 4 MiB", "GB/s", size / (checks["utf8"] as number) / 1e6, {}, []))
  return rows
}

export async function bench(say: Say): Promise<ReadonlyArray<Row>> {
  const modes = { bitexact: await openKernels({ mode: "bitexact" }), fast: await openKernels({ mode: "fast" }) }
  const others = await peers(say)
  const rows: Array<Row> = []
  for (const measure of [matmulRows, moreRows, integerRows, convolutionRows, vectorRows, nearestRows, rowRows, trainingRows, textRows, sizeRows])
    rows.push(...(await measure(modes, others)))
  return rows
}
