/** With V8's 256-bit vectors every operation passes its self-test, bit for bit. In a process of its own: the flag is the whole process's. */
import { spawnSync } from "node:child_process"
import t from "tap"

const program = `
import { operations } from "./kernels/accelerate/operation.ts"
import { selfTest } from "./kernels/accelerate/self-test.ts"
import { openAccelerator } from "./runtime/accel/mod.ts"
import { openSimd } from "./kernels/accelerate/simd.ts"
const accelerator = await openAccelerator({ turbo: true, memoryPath: undefined })
const device = await openSimd({ isWide: true })
const differences = []
// Twice: first as V8 compiles at once, then as it compiles what has run for long.
for (let round = 0; round < 2; round++) {
  for (const operation of operations.values()) {
    const difference = await selfTest(device, operation)
    if (difference !== undefined) differences.push(operation.name + ": " + difference)
  }
  await accelerator.benchmark("matmul", { sizes: [256], budgetMs: 200 })
}
console.log(JSON.stringify({ differences, fingerprints: accelerator.status().flatMap(({ calibration }) => calibration?.fingerprint ?? []) }))
`

t.test("every operation gives the bits of the reference", async (t) => {
  const { stderr, stdout, status } = spawnSync(process.execPath, ["--input-type=module-typescript", "--eval", program], { encoding: "utf8" })
  t.equal(status, 0, stderr)
  const { differences, fingerprints } = JSON.parse(stdout) as { readonly differences: ReadonlyArray<string>; readonly fingerprints: ReadonlyArray<string> }
  t.same(differences, [])
  t.ok(
    fingerprints.some((fingerprint) => fingerprint.endsWith("turbo")),
    "measurements are kept apart",
  )
})
