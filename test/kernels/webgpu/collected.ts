/** Devices, arrays and results of which nothing is kept, and a collection after each round: `node --expose-gc collected.ts`. */
import { operationOf } from "../../../kernels/accelerate/operation.ts"
import type { WebGpuDevice } from "../../../kernels/webgpu/device.ts"
import { openMesa } from "./mesa.ts"

const rounds = 200
const collect = (globalThis as unknown as { readonly gc: () => void }).gc
const add = operationOf("add")

let device = (await openMesa()) as WebGpuDevice
for (let round = 1; round <= rounds; round++) {
  // Half of those before are dropped, not closed.
  if (round % 20 === 0) {
    if (round % 40 === 0) await device.close()
    device = (await openMesa()) as WebGpuDevice
  }
  const [x, out] = [device.allocate("f32", 1_000), device.allocate("f32", 1_000)]
  device.copyToDevice(x, new Float32Array(1_000).fill(round))
  device.dispatch([{ operation: add, shape: { n: 1_000 }, inputs: { x, y: x }, outputs: { out } }])
  collect()
  const found = await device.copyFromDevice(out)
  if (found[999] !== 2 * round) throw new Error(`round ${round}: ${found[999]}`)
  // Every other round's arrays are left to the collector.
  if (round % 2 === 0) for (const array of [x, out]) array.free()
  collect()
}
console.log(`${rounds} rounds`)
