/** A net learns on a graphics card as it does by the references: each step is one list, of which nothing is read back but the loss. */
import t from "tap"
import { type Accelerator, openAccelerator } from "../../../kernels/accelerate/accelerator.ts"
import type { ComputeBuffer } from "../../../kernels/accelerate/buffer.ts"
import { openCpu } from "../../../kernels/accelerate/cpu.ts"
import { differenceOf } from "../../../kernels/accelerate/self-test.ts"
import type { WebGpuDevice } from "../../../kernels/webgpu/device.ts"
import { seed } from "../../seed.ts"
import { Random, randomFloats } from "../random-floats.ts"
import { openMesa, skip } from "./mesa.ts"

const [rows, inner, classes, width] = [24, 16, 5, 10]
const steps = 12

/** Two dense layers, cross entropy, and a step of an optimiser each: Adam, momentum and plain descent. Gives the losses and the weights. */
async function learned(
  accelerator: Accelerator,
  device: string,
): Promise<{ readonly losses: ReadonlyArray<number>; readonly weights: ReadonlyArray<Float32Array> }> {
  const random = new Random(seed)
  const made = (n: number, factor = 1): ComputeBuffer => accelerator.buffer(randomFloats(random, n).map((value) => value * factor))
  const x = made(rows * width)
  const labels = accelerator.buffer(Int32Array.from({ length: rows }, () => random.whole(0, classes - 1)))
  const zeros = (n: number): ComputeBuffer => accelerator.buffer(new Float32Array(n))
  let w1 = { w: made(width * inner, 0.5), m: zeros(width * inner), v: zeros(width * inner), powers: accelerator.buffer([1, 1]) }
  let b1 = made(inner, 0.1)
  let w2 = { w: made(inner * classes, 0.5), v: zeros(inner * classes) }
  let b2 = made(classes, 0.1)
  const losses: Array<number> = []
  for (let step = 0; step < steps; step++) {
    const list = accelerator.batch()
    const add = (name: string, shape: Record<string, number>, inputs: Record<string, ComputeBuffer>) =>
      list.add(name, shape, inputs) as Record<string, ComputeBuffer>
    const get = (of: Record<string, ComputeBuffer>, name = "out"): ComputeBuffer => of[name] as ComputeBuffer
    const hidden = get(add("matmul", { m: rows, k: width, n: inner }, { a: x, b: w1.w, bias: b1 }))
    const active = get(add("relu", { n: rows * inner }, { x: hidden }))
    const scores = get(add("matmul", { m: rows, k: inner, n: classes }, { a: active, b: w2.w, bias: b2 }))
    const entropy = add("crossEntropy", { rows, columns: classes }, { x: scores, labels })
    const loss = get(add("mean", { n: rows }, { x: get(entropy, "losses") }))
    const dScores = get(entropy, "dx")
    const dw2 = get(add("matmul", { m: inner, k: rows, n: classes, transposeA: 1 }, { a: active, b: dScores }))
    const db2 = get(add("columnSums", { rows, columns: classes }, { x: dScores }))
    const dActive = get(add("matmul", { m: rows, k: classes, n: inner, transposeB: 1 }, { a: dScores, b: w2.w }))
    const dHidden = get(add("reluBackward", { n: rows * inner }, { y: active, dy: dActive }), "dx")
    const dw1 = get(add("matmul", { m: width, k: rows, n: inner, transposeA: 1 }, { a: x, b: dHidden }))
    const db1 = get(add("columnSums", { rows, columns: inner }, { x: dHidden }))
    const adam = add("adam", { n: width * inner, rate: 0.05, decay: 0.01, isDecoupled: 1 }, { ...w1, dw: dw1 })
    const momentum = add("momentum", { n: inner * classes, rate: 0.2, momentum: 0.8, isNesterov: 1 }, { ...w2, dw: dw2 })
    w1 = { w: get(adam, "wNext"), m: get(adam, "mNext"), v: get(adam, "vNext"), powers: get(adam, "powersNext") }
    w2 = { w: get(momentum, "wNext"), v: get(momentum, "vNext") }
    b1 = get(add("sgd", { n: inner, rate: 0.2 }, { w: b1, dw: db1 }), "wNext")
    b2 = get(add("sgd", { n: classes, rate: 0.2, decay: 0.01 }, { w: b2, dw: db2 }), "wNext")
    const receipt = await list.run({ device, mode: device === "cpu" ? "bitexact" : "fast" })
    if (receipt.device !== device || receipt.failed.length > 0) throw new Error(JSON.stringify(receipt))
    losses.push((await loss.read())[0] as number)
  }
  return { losses, weights: (await Promise.all([w1.w, b1, w2.w, b2].map((buffer) => buffer.read()))) as ReadonlyArray<Float32Array> }
}

t.test("a net learns the same on a card and by the references", { skip }, async (t) => {
  await using accelerator = await openAccelerator({
    sources: [
      { name: "webgpu", kind: "gpu", open: async () => (await openMesa()) as WebGpuDevice },
      { name: "cpu", kind: "cpu", open: async () => openCpu() },
    ],
  })
  const [found, expected] = [await learned(accelerator, "webgpu"), await learned(accelerator, "cpu")]
  t.equal(differenceOf(Float32Array.from(found.losses), Float32Array.from(expected.losses), 1e-4), undefined, `losses ${found.losses.join(" ")}`)
  found.weights.forEach((weights, i) => t.equal(differenceOf(weights, expected.weights[i] as Float32Array, 1e-3), undefined))
  const [first, last] = [found.losses[0] as number, found.losses.at(-1) as number]
  t.ok(last < first / 2, `from ${first} to ${last}`)
})
