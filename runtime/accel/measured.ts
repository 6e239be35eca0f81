/** An operation measured by size on every device, for tables and charts. */
import type { Accelerator, CutOver, Measurement } from "../../kernels/accelerate/accelerator.ts"
import { type Operation, operationOf } from "../../kernels/accelerate/operation.ts"
import type { Mode } from "../../kernels/kernels.ts"

export interface Measured {
  readonly operation: string
  readonly measurements: ReadonlyArray<Measurement>
  readonly cutOvers: ReadonlyArray<CutOver>
}

export interface MeasureOptions {
  /** Default: doublings, `sizesFor`. */
  readonly sizes?: ReadonlyArray<number>
  readonly mode?: Mode
  /** How long one size is measured on one device, in ms; default 100. */
  readonly budgetMs?: number
  /** Sizes of which a run is predicted to take longer are left out, in ms; default 10,000. */
  readonly runMsMax?: number
}

/** The figure that people ask of an operation. */
export const unitOf = ({ rate }: Operation): "GFLOP/s" | "GB/s" => (rate === "arithmetic" ? "GFLOP/s" : "GB/s")

/** Doublings: of sides from 8 to 512, of lengths from 256 to 2²⁰. */
export function sizesFor(operation: Operation): ReadonlyArray<number> {
  const [from, count] = Object.keys(operation.scaled(8)).length === 1 ? [256, 13] : [8, 7]
  return Array.from({ length: count }, (_, i) => from * 2 ** i)
}

/** @throws (rejects) KernelError `Unknown`, `Shape` */
export async function measured(
  accelerator: Accelerator,
  name: string,
  { mode, sizes = sizesFor(operationOf(name)), ...how }: MeasureOptions = {},
): Promise<Measured> {
  const of = mode === undefined ? {} : { mode }
  const measurements = await accelerator.benchmark(name, { sizes, ...of, ...how })
  return { operation: name, measurements, cutOvers: accelerator.cutOvers(name, { most: Math.max(...sizes), ...of }) }
}
