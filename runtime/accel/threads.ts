/**
 * Kernels on several threads: the same class over a module that hands parts of its larger calls to workers, which have the same module over the same memory. Work is
 * split over outputs only, so every number is computed as one thread does, bit for bit.
 */
import { AccelerateError } from "../../schemas/error/accelerate.ts"
import { KernelError } from "../../schemas/error/kernel.ts"
import type { InferenceModule } from "../../kernels/inference.ts"
import { builds, checkKernelsOptions, Kernels, type KernelsOptions } from "../../kernels/kernels.ts"
import { KernelMemory } from "../../kernels/memory/memory.ts"
import { moduleBytes } from "../../kernels/memory/module.ts"
import type { Worker } from "node:worker_threads"
import { sharing } from "./shared-import.ts"

export interface ThreadsOptions extends KernelsOptions {
  /** With this one; default as many as the machine has processors, at most 16. From 2 to 64. */
  readonly threads?: number
}

export const threadsMax = 64
const threadsDefaultMax = 16

/** Numbers of 32 bits before the calls: which call this is, how many workers still run, whether one failed. */
const [turn, running, failed, header] = [0, 1, 2, 4] as const
/** Numbers of 64 bits of one call: the export's number, and its arguments. */
const callSize = 16

/**
 * A worker: waits for a turn, calls what it is told, says that it has. It looks for a while before it sleeps, since turns come close together. Runs as text in a
 * thread, and so names nothing from outside.
 */
const program = `
const { parentPort, workerData } = require("node:worker_threads")
const { bytes, calls, control, index, isWide, memory, names, spins } = workerData
WebAssembly.instantiate(bytes, { env: { memory } }).then(({ instance }) => {
  const state = new Int32Array(control), call = new Float64Array(calls, index * ${callSize} * 8, ${callSize})
  if (isWide) instance.exports.widen()
  const exports = names.map((name) => instance.exports[name])
  parentPort.postMessage("ready")
  for (let seen = 0; ; ) {
    for (let i = 0; i < spins && Atomics.load(state, ${turn}) === seen; i++);
    while (Atomics.load(state, ${turn}) === seen) Atomics.wait(state, ${turn}, seen)
    seen = Atomics.load(state, ${turn})
    if (call[0] >= 0)
      try { exports[call[0]](...call.subarray(1)) } catch { Atomics.store(state, ${failed}, 1) }
    if (Atomics.sub(state, ${running}, 1) === 1) Atomics.notify(state, ${running})
  }
})
`

type Call = readonly [name: keyof InferenceModule, ...args: ReadonlyArray<number>]

/** Rounds of looking, about 20 µs. */
const spins = 4_000

class Pool {
  readonly #module: InferenceModule
  readonly #names: ReadonlyArray<string>
  readonly #state: Int32Array
  readonly #calls: Float64Array
  readonly #workers: ReadonlyArray<Worker>
  readonly threads: number
  /** One of them has ended. */
  #isGone = false

  constructor(module: InferenceModule, names: ReadonlyArray<string>, control: SharedArrayBuffer, calls: SharedArrayBuffer, workers: ReadonlyArray<Worker>) {
    this.#module = module
    this.#names = names
    this.#state = new Int32Array(control)
    this.#calls = new Float64Array(calls)
    this.#workers = workers
    this.threads = workers.length + 1
    for (const worker of workers)
      worker.on("exit", () => {
        this.#isGone = true
      })
  }

  /** Runs calls that write to different places, the first on this thread; resolves nothing, it has run. At most as many as there are threads. */
  run(calls: ReadonlyArray<Call>): void {
    // Whoever waits for a thread that is gone waits for ever.
    if (this.#isGone) throw new AccelerateError("Closed", { what: "kernels whose threads have ended" })
    const [own, ...others] = calls as [Call, ...Array<Call>]
    const state = this.#state
    for (let i = 0; i < this.#workers.length; i++) {
      const call = others[i]
      this.#calls[i * callSize] = call === undefined ? -1 : this.#names.indexOf(call[0])
      if (call !== undefined) this.#calls.set(call.slice(1) as ReadonlyArray<number>, i * callSize + 1)
    }
    Atomics.store(state, running, this.#workers.length)
    Atomics.add(state, turn, 1)
    Atomics.notify(state, turn)
    const [name, ...args] = own
    try {
      ;(this.#module[name] as (...args: ReadonlyArray<number>) => unknown)(...args)
    } finally {
      // Also where this part failed: the others still write.
      for (let i = 0; i < spins && Atomics.load(state, running) > 0; i++);
      for (let left = Atomics.load(state, running); left > 0; left = Atomics.load(state, running)) Atomics.wait(state, running, left)
    }
    if (Atomics.exchange(state, failed, 0) !== 0) throw new AccelerateError("Failed", { device: "threads", detail: "a kernel trapped on one of its threads" })
  }

  async close(): Promise<void> {
    this.#isGone = true
    await Promise.all(this.#workers.map((worker) => worker.terminate()))
  }
}

/** Parts of `n`, each but the last a multiple of `unit`, at most one a thread. */
function parts(n: number, threads: number, unit: number): ReadonlyArray<readonly [from: number, count: number]> {
  const each = Math.ceil(n / threads / unit) * unit
  const found: Array<readonly [number, number]> = []
  for (let from = 0; from < n; from += each) found.push([from, Math.min(each, n - from)])
  return found
}

/** Below so much work the threads' turn costs more than it saves: multiplications, numbers through a function, numbers read and written. */
const [productMin, functionMin, memoryMin] = [1 << 17, 1 << 14, 1 << 20] as const

/** Sums of a tile, whose rows and columns parts begin at. */
const [tileRows, tileColumns] = [6, 8] as const

/** The module, with what is large split over the pool's threads. */
function split(module: InferenceModule, pool: Pool, memory: KernelMemory): InferenceModule {
  const { threads } = pool
  const scratch = Array.from({ length: threads }, () => memory.take(Math.max(module.matmulScratch(), module.convolutionScratch())))
  const elementwise = (name: "addF32" | "subF32" | "mulF32" | "divF32" | "minF32" | "maxF32") => (out: number, x: number, y: number, n: number) => {
    if (n < memoryMin) return module[name](out, x, y, n)
    pool.run(parts(n, threads, 32).map(([from, count]) => [name, out + from * 4, x + from * 4, y + from * 4, count]))
  }
  const rowwise =
    (name: "softmaxF32" | "layerNormF32" | "rmsNormF32") =>
    (out: number, x: number, rows: number, n: number, ...more: ReadonlyArray<number>) => {
      const call = module[name] as (...args: ReadonlyArray<number>) => void
      if (rows * n < functionMin) return call(out, x, rows, n, ...more)
      pool.run(parts(rows, threads, 1).map(([from, count]) => [name, out + from * n * 4, x + from * n * 4, count, n, ...more]))
    }
  return {
    ...module,
    ...Object.fromEntries((["addF32", "subF32", "mulF32", "divF32", "minF32", "maxF32"] as const).map((name) => [name, elementwise(name)])),
    ...Object.fromEntries((["softmaxF32", "layerNormF32", "rmsNormF32"] as const).map((name) => [name, rowwise(name)])),
    mapF32(map, out, x, n) {
      if (n < functionMin) return module.mapF32(map, out, x, n)
      pool.run(parts(n, threads, 32).map(([from, count]) => ["mapF32", map, out + from * 4, x + from * 4, count]))
    },
    scoresF32(out, x, rows, n, query, norms, own) {
      if (rows * n < functionMin) return module.scoresF32(out, x, rows, n, query, norms, own)
      const normsAt = (from: number): number => (norms === 0 ? 0 : norms + from * 4)
      pool.run(parts(rows, threads, 8).map(([from, count]) => ["scoresF32", out + from * 4, x + from * n * 4, count, n, query, normsAt(from), own]))
    },
    matmulPackedF32(c, stride, a, across, along, packed, m, k, n, bias, activation, own) {
      if (m * k * n < productMin || m < 2 * tileRows) return module.matmulPackedF32(c, stride, a, across, along, packed, m, k, n, bias, activation, own)
      pool.run(
        parts(m, threads, tileRows).map(([from, count], i) => {
          const at = scratch[i] as number
          return ["matmulPackedF32", c + from * stride, stride, a + from * across, across, along, packed, count, k, n, bias, activation, at]
        }),
      )
    },
    convolveF32(out, x, packed, bias, activation, shape, own, first, last) {
      const words = new Int32Array(memory.memory.buffer, shape, 22)
      const [batch = 0, inChannels = 0, , , , outChannels = 0, depth = 0, height = 0, width = 0] = words
      const work = batch * outChannels * (last - first) * (inChannels / (words[21] as number)) * depth * height * width
      if (work < productMin) return module.convolveF32(out, x, packed, bias, activation, shape, own, first, last)
      pool.run(
        parts(last - first, threads, tileColumns).map(([from, count], i) => {
          const begin = first + from
          return ["convolveF32", out, x, packed, bias, activation, shape, scratch[i] as number, begin, begin + count]
        }),
      )
    },
  }
}

/** Kernels whose large calls run on several threads; `close` ends those. */
export interface ThreadedKernels {
  readonly kernels: Kernels
  readonly threads: number
  close(): Promise<void>
}

/**
 * Opens kernels on several threads. Their results are those of one, bit for bit.
 * @throws (rejects) KernelError `Engine` without WebAssembly SIMD or threads, `Shape` of `threads`
 */
export async function openThreadedKernels({ bytesMax = 1 << 30, isWide = false, mode = "bitexact", threads }: ThreadsOptions = {}): Promise<ThreadedKernels> {
  const { availableParallelism } = process.getBuiltinModule("node:os")
  const count = threads ?? Math.min(threadsDefaultMax, availableParallelism())
  if (!(Number.isSafeInteger(count) && count >= 2 && count <= threadsMax))
    throw new KernelError("Shape", {
      kernel: "openThreadedKernels",
      operand: "threads",
      expected: `a whole number from 2 to ${threadsMax}`,
      found: String(count),
    })
  checkKernelsOptions({ bytesMax, mode })
  const { Worker: Thread } = process.getBuiltinModule("node:worker_threads")
  const memory = new KernelMemory(bytesMax, { isShared: true })
  const bytes = sharing(await moduleBytes(builds, mode))
  const { instance } = await WebAssembly.instantiate(bytes, { env: { memory: memory.memory } })
  const module = instance.exports as unknown as InferenceModule
  if (isWide) module.widen()
  const names = Object.keys(module)
  const control = new SharedArrayBuffer(header * 4)
  const calls = new SharedArrayBuffer((count - 1) * callSize * 8)
  const workers = Array.from({ length: count - 1 }, (_, index) => {
    const workerData = { bytes, calls, control, index, isWide, memory: memory.memory, names, spins }
    const worker = new Thread(program, { eval: true, workerData, name: "stele-kernels", execArgv: [], env: {} })
    worker.unref()
    return worker
  })
  try {
    await Promise.all(
      workers.map(
        (worker) =>
          new Promise<void>((done, refuse) => {
            // Whoever waits for it keeps the process, and nobody else.
            worker.ref()
            worker.once("message", () => {
              worker.unref()
              done()
            })
            worker.once("error", refuse)
            worker.once("exit", () => refuse(new Error("a thread ended before it began")))
          }),
      ),
    )
  } catch (error) {
    await Promise.all(workers.map((worker) => worker.terminate()))
    throw new KernelError("Engine", { detail: `threads cannot be started: ${error instanceof Error ? error.message : String(error)}` }, { cause: error })
  }
  for (const worker of workers) worker.on("error", () => undefined)
  const pool = new Pool(module, names, control, calls, workers)
  try {
    return { kernels: new Kernels(mode, memory, split(module, pool, memory)), threads: count, close: () => pool.close() }
  } catch (error) {
    await pool.close()
    throw error
  }
}
