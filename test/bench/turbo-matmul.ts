/** Prints the least milliseconds of a product of 512 × 512 in each mode: run with and without V8's flag, which is a process's. */
import { modes, openKernels } from "../../kernels/kernels.ts"

const n = 512
const found: Record<string, number> = {}
for (const mode of modes) {
  const kernels = await openKernels({ mode, isWide: process.execArgv.includes("--experimental-wasm-revectorize") })
  const [a, out] = [kernels.numbers(Float32Array.from({ length: n * n }, (_, i) => Math.sin(i))), kernels.zeros(n * n)]
  let least = Number.POSITIVE_INFINITY
  for (const endMs = performance.now() + 600; performance.now() < endMs;) {
    const startMs = performance.now()
    kernels.matmul(out, a, a, { m: n, k: n, n })
    least = Math.min(least, performance.now() - startMs)
  }
  found[mode] = least
}
console.log(JSON.stringify(found))
