/** What was chosen for a run, and why nothing else was. Plain data. */
import type { Mode } from "../kernels.ts"
import type { Prediction } from "./cost.ts"
import type { DeviceKind } from "./device.ts"
import type { Shape } from "./operation.ts"

export interface Candidate {
  readonly device: string
  readonly kind: DeviceKind
  /** Missing where it is refused before anything is known of its speed. */
  readonly predicted?: Prediction
  /** From 0.5, calibration alone, to 0.9, real runs of this size. */
  readonly confidence?: number
  /** Why it cannot serve. */
  readonly refused?: string
}

export interface Plan {
  /** Of a list, all its operations. */
  readonly operation: string
  readonly shape: Shape
  readonly mode: Mode
  /** Undefined where every device is refused. */
  readonly device: string | undefined
  readonly predictedMs: number | undefined
  readonly confidence: number | undefined
  /** Why this device, in words. */
  readonly reason: string
  /** In the order of capability. */
  readonly candidates: ReadonlyArray<Candidate>
}

const duration = (ms: number): string => (ms >= 1_000 ? `${(ms / 1_000).toFixed(2)} s` : ms >= 1 ? `${ms.toFixed(2)} ms` : `${(ms * 1_000).toFixed(1)} µs`)

/** A plan for people: the choice, and a line for each device. */
export function explainPlan(plan: Plan): string {
  const shape = Object.entries(plan.shape)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ")
  const chosen = plan.device === undefined ? "no device" : `${plan.device}, predicted ${duration(plan.predictedMs as number)}`
  const width = Math.max(...plan.candidates.map(({ device }) => device.length))
  const lines = plan.candidates.map(({ confidence, device, predicted, refused }) => {
    const what =
      predicted === undefined
        ? "refused"
        : `${duration(predicted.totalMs)} = launch ${duration(predicted.launchMs)} + up ${duration(predicted.upMs)} + work ${duration(predicted.runMs)} + down ${duration(predicted.downMs)}, confidence ${confidence?.toFixed(1)}`
    return `  ${device.padEnd(width)}  ${what}${refused === undefined ? "" : `: ${refused}`}`
  })
  return [`${plan.operation} ${shape} (${plan.mode}): ${chosen}`, `  ${plan.reason}`, ...lines].join("\n")
}
