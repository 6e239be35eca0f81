/** What rows of the table have in common: how they read shapes and operands, and sizes that devices fail at. */
import type { Inputs, Shape } from "./operation.ts"

export const floats = (inputs: Inputs, name: string): Float32Array => inputs[name] as Float32Array
export const of = (shape: Shape, name: string): number => shape[name] as number

/** One, an odd length, more than a workgroup. */
export const vectorTests = [{ n: 1 }, { n: 67 }, { n: 1_000 }]
export const rowTests = [
  { rows: 1, columns: 1 },
  { rows: 3, columns: 67 },
  { rows: 65, columns: 130 },
]
