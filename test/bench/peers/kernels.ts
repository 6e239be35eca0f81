/**
 * Other people's kernels, behind one shape: what they are given they may keep in the form that suits them best, so that only their work is timed.
 * Whoever is not installed is left out.
 */
import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { onnxModel } from "./onnx.ts"

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** One piece of work that is ready: run it, and its result's first number. */
export type Work = () => number | Promise<number>

/** A net of two dense layers with relu between them, its data and where it begins: a step is forward, the mean cross entropy of a softmax, back, and `w -= rate · dw`. */
export interface DenseTraining {
  readonly rows: number
  readonly sizes: readonly [inputs: number, hidden: number, classes: number]
  readonly rate: number
  readonly x: Float32Array
  readonly labels: Int32Array
  readonly parameters: readonly [w1: Float32Array, b1: Float32Array, w2: Float32Array, b2: Float32Array]
}

export interface Peer {
  readonly name: string
  readonly matmul?: (a: Float32Array, b: Float32Array, n: number) => Promise<Work>
  /** Of 8 bits, to 32; a peer may take its right operand as it likes best. */
  readonly matmul8?: (a: Int8Array, b: Int8Array, n: number) => Promise<Work>
  /** 3 × 3 with a border of 1. */
  readonly convolve?: (x: Float32Array, weights: Float32Array, channels: number, size: number) => Promise<Work>
  /** Work is a step, and answers the loss before it. */
  readonly train?: (of: DenseTraining) => Promise<Work>
  readonly dot?: (a: Float32Array, b: Float32Array) => () => number
}

/** A module that is there only once it is installed, so of no known type. */
const load = (name: string): Promise<any> => import(name) // oxlint-disable-line typescript/no-explicit-any

/** Installs the peers where they are missing. @returns why they are not there, or undefined */
export function install(say: (line: string) => void): string | undefined {
  if (existsSync(here("node_modules/simsimd"))) return undefined
  say("Installing the peers (npm ci in test/bench/peers)")
  try {
    execFileSync("npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"], { cwd: here("."), stdio: ["ignore", "ignore", "inherit"] })
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

async function onnx(): Promise<Peer> {
  const ort = await load("onnxruntime-web")
  ort.env.wasm.numThreads = 1
  const session = (model: Uint8Array) => ort.InferenceSession.create(model, { executionProviders: ["wasm"] })
  return {
    name: "onnxruntime-web",
    matmul: async (a, b, n) => {
      const ready = await session(onnxModel("MatMul", { a: [n, n], b: [n, n] }, [n, n]))
      const feeds = { a: new ort.Tensor("float32", a, [n, n]), b: new ort.Tensor("float32", b, [n, n]) }
      return async () => (await ready.run(feeds)).out.data[0] as number
    },
    // Unsigned, which is its fastest form.
    matmul8: async (a, b, n) => {
      const ready = await session(onnxModel("MatMulInteger", { a: [n, n], b: [n, n] }, [n, n], {}, { input: "uint8", output: "int32" }))
      const unsigned = (of: Int8Array) =>
        new ort.Tensor(
          "uint8",
          Uint8Array.from(of, (value) => value + 128),
          [n, n],
        )
      const feeds = { a: unsigned(a), b: unsigned(b) }
      return async () => (await ready.run(feeds)).out.data[0] as number
    },
    convolve: async (x, weights, channels, size) => {
      const [image, kernel] = [
        [1, channels, size, size],
        [channels, channels, 3, 3],
      ]
      const ready = await session(onnxModel("Conv", { x: image, w: kernel }, image, { pads: [1, 1, 1, 1], kernel_shape: [3, 3] }))
      const feeds = { x: new ort.Tensor("float32", x, image), w: new ort.Tensor("float32", weights, kernel) }
      return async () => (await ready.run(feeds)).out.data[0] as number
    },
  }
}

async function numpy(): Promise<Peer> {
  const np = await load("numpy-ts")
  const matrix = (of: Float32Array, n: number) =>
    np.array(
      Array.from({ length: n }, (_, row) => Array.from(of.subarray(row * n, (row + 1) * n))),
      "float32",
    )
  return {
    name: "numpy-ts",
    matmul: async (a, b, n) => {
      const [x, y] = [matrix(a, n), matrix(b, n)]
      return () => Number(np.matmul(x, y).get([0, 0]))
    },
  }
}

async function tensorflow(): Promise<Peer> {
  const tf = await load("@tensorflow/tfjs-core")
  const backend = await load("@tensorflow/tfjs-backend-wasm")
  backend.setWasmPaths(here("node_modules/@tensorflow/tfjs-backend-wasm/dist/"))
  backend.setThreadsCount(1)
  await tf.setBackend("wasm")
  await tf.ready()
  return {
    name: "tfjs-wasm",
    matmul: async (a, b, n) => {
      const [x, y] = [tf.tensor2d(a, [n, n]), tf.tensor2d(b, [n, n])]
      return () => {
        const out = tf.matMul(x, y)
        const [first] = out.dataSync()
        out.dispose()
        return first as number
      }
    },
    // By hand: its own differentiation is not in the build for Node. These are the operations that it would choose.
    train: async ({ labels, parameters, rate, rows, sizes: [inputs, hidden, classes], x: values }) => {
      const x = tf.tensor2d(values, [rows, inputs])
      const wanted = tf.cast(tf.oneHot(tf.tensor1d(labels, "int32"), classes), "float32")
      const shapes = [[inputs, hidden], [hidden], [hidden, classes], [classes]]
      let all = parameters.map((one, i) => tf.tensor(one, shapes[i]))
      return () => {
        const next = tf.tidy(() => {
          const [w1, b1, w2, b2] = all
          const h = tf.fused.matMul({ a: x, b: w1, bias: b1, activation: "relu" })
          const p = tf.softmax(tf.fused.matMul({ a: h, b: w2, bias: b2 }))
          const d = tf.div(tf.sub(p, wanted), rows)
          const dh = tf.mul(tf.matMul(d, w2, false, true), tf.step(h))
          const gradients = [tf.matMul(x, dh, true), tf.sum(dh, 0), tf.matMul(h, d, true), tf.sum(d, 0)]
          const loss = tf.neg(tf.mean(tf.sum(tf.mul(wanted, tf.log(p)), 1)))
          return [loss, ...all.map((w, i) => tf.sub(w, tf.mul(gradients[i], rate)))]
        })
        const [loss] = next[0].dataSync()
        for (const one of [...all, next[0]]) one.dispose()
        all = next.slice(1)
        return loss as number
      }
    },
  }
}

async function simsimd(): Promise<Peer> {
  const { default: native } = await load("simsimd")
  return { name: "simsimd", dot: (a, b) => () => native.dot(a, b) as number }
}

/** Those that load on this machine. */
export async function peers(say: (line: string) => void): Promise<ReadonlyArray<Peer>> {
  const missing = install(say)
  if (missing !== undefined) {
    say(`Without peers: ${missing}`)
    return []
  }
  const found: Array<Peer> = []
  for (const open of [onnx, numpy, tensorflow, simsimd])
    try {
      found.push(await open())
    } catch (error) {
      say(`Without ${open.name}: ${error instanceof Error ? error.message : String(error)}`)
    }
  return found
}
