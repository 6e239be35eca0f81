/** What a call of `plugins/simd` costs beside the library: `node test/plugins/simd-cost.ts`. In one process, by turns; the least and the median of 25 rounds. */
import { readFile } from "node:fs/promises"
import { Host } from "../../host/mod.ts"
import { openKernels } from "../../kernels/mod.ts"

await using host = await Host.open()
await using plugin = await host.load(new Uint8Array(await readFile(new URL("../../dist/plugins/simd.wasm", import.meta.url))), {
  instances: { reuse: "principal" },
  limits: { deadlineMs: 10_000 },
})
const kernels = await openKernels()
const numbers = (length: number): Float32Array => Float32Array.from({ length }, (_, i) => Math.sin(i))
const microseconds = (times: number, run: () => unknown): number => {
  const fromMs = performance.now()
  for (let i = 0; i < times; i++) run()
  return ((performance.now() - fromMs) * 1e3) / times
}

function compare(name: string, times: number, component: () => unknown, library: () => unknown): void {
  const rounds = Array.from({ length: 25 }, () => [microseconds(times, component), microseconds(times, library)] as const)
  const shown = (which: 0 | 1): string => {
    const sorted = rounds.map((round) => round[which]).toSorted((a, b) => a - b)
    return `${(sorted[0] as number).toFixed(2)} to ${(sorted[12] as number).toFixed(2)} µs`
  }
  console.log(`${name}: component ${shown(0)}, library ${shown(1)}`)
}

const [x, y, a, b] = [numbers(1_024), numbers(1_024), numbers(16_384), numbers(16_384)]
const [kx, ky, ka, kb, kc] = [kernels.numbers(x), kernels.numbers(y), kernels.numbers(a), kernels.numbers(b), kernels.zeros(16_384)]
compare(
  "dot of 1,024",
  1_000,
  () => plugin.callSync("stele:simd/kernels#dot", [x, y]),
  () => kernels.dot(kx, ky),
)
const shape = { m: 128, k: 128, n: 128 }
compare(
  "matmul of 128",
  30,
  () => plugin.callSync("stele:simd/kernels#matmul", [a, b, 128, 128, 128]),
  () => kernels.matmul(kc, ka, kb, shape),
)
