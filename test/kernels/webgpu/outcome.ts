/** What a platform's own WebGPU computes: by operation, how it differs from the reference. */
import { operations } from "../../../kernels/accelerate/operation.ts"
import { selfTest } from "../../../kernels/accelerate/self-test.ts"
import { matches } from "../../../kernels/search/literals.ts"
import type { WebGpuDevice } from "../../../kernels/webgpu/device.ts"

export interface Outcome {
  readonly description: string
  readonly differences: Readonly<Record<string, string>>
  readonly passed: ReadonlyArray<string>
}

/** Of all operations, or of those that are named. */
export async function outcomeOf(device: WebGpuDevice, names: ReadonlyArray<string> = [...operations.keys()]): Promise<Outcome> {
  const differences: Record<string, string> = {}
  const passed: Array<string> = []
  for (const [name, operation] of operations) {
    if (!names.includes(name)) continue
    const difference = await selfTest(device, operation)
    if (difference === undefined) passed.push(name)
    else differences[name] = difference
  }
  const [text, ...literals] = ["a needle in a haystack", "needle", "hay", "a"].map((word) => new TextEncoder().encode(word))
  const found = JSON.stringify(await device.search(text as Uint8Array, literals))
  const expected = JSON.stringify(matches(text as Uint8Array, literals))
  if (found !== expected) differences["search"] = `${found}, not ${expected}`
  await device.close()
  return { description: device.description, differences, passed }
}
