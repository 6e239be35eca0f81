/** What runs operations: the interface between the accelerator, which chooses, and the backends, which compute. */
import type { Mode } from "../kernels.ts"
import type { Match } from "../search/literals.ts"
import type { ElementType, Operation, Shape, Values } from "./operation.ts"

/** In the order of capability. */
export const deviceKinds = ["gpu", "fpga", "simd", "cpu"] as const
export type DeviceKind = (typeof deviceKinds)[number]

/** Numbers in a device's memory; its owner alone knows what is behind it. */
export interface DeviceArray {
  readonly type: ElementType
  readonly length: number
  /** Gives the memory back, to a pool where the device has one; again does nothing. */
  free(): void
}

/** One operation to run. All arrays are of the device that runs it, and no output is one of the inputs. */
export interface Dispatch {
  readonly operation: Operation
  readonly shape: Shape
  /** By the operand's name; those that are optional may be missing. */
  readonly inputs: Readonly<Record<string, DeviceArray>>
  readonly outputs: Readonly<Record<string, DeviceArray>>
}

/** All in bytes. */
export interface MemoryInfo {
  /** In arrays that were not freed. */
  readonly bytesUsed: number
  /** Freed, and kept for the next arrays. */
  readonly bytesPooled: number
  /** What may be used at most. */
  readonly bytesMax: number
  readonly arrays: number
}

export interface Device {
  /** As it is named in plans and by `device`: `simd`, `webgpu`, `webgpu-1`. */
  readonly name: string
  readonly kind: DeviceKind
  /** For people: adapter, driver, number of threads. */
  readonly description: string
  /** What measurements of it hold for. */
  readonly fingerprint: string
  /** What it computes: the reference's bits, or results within the operation's tolerance. */
  readonly mode: Mode
  /** Used only where it is named: what is simulated, or asked not to be chosen. Says why. */
  readonly onlyByName?: string

  /** Why it cannot run this, or undefined: no kernel for it, a binding over the adapter's limit. */
  refuse(operation: Operation, shape: Shape): string | undefined
  /**
   * An array, its numbers undefined.
   * @throws AccelerateError `OutOfMemory`
   */
  allocate(type: ElementType, length: number): DeviceArray
  copyToDevice(array: DeviceArray, values: Values): void
  /** A copy. @throws (rejects) AccelerateError of what failed since the last time */
  copyFromDevice(array: DeviceArray): Promise<Values>
  /** The numbers themselves, where the device's memory is this program's; until anything is allocated. */
  view?(array: DeviceArray): Values
  /** Runs a list in its order, as one submission where the device has such. Errors may be told by the next `synchronize` or `copyFromDevice` only. */
  dispatch(list: ReadonlyArray<Dispatch>): void
  /** Resolves when everything dispatched has run. @throws (rejects) AccelerateError `Lost`, `Failed`; `OutOfMemory` */
  synchronize(): Promise<void>
  memory(): MemoryInfo
  /** Every place of each literal in a text, by place and then by literal. Missing where the device searches no text. */
  search?(
    text: Uint8Array,
    literals: ReadonlyArray<Uint8Array>,
    options?: { readonly deadlineMs?: number; readonly signal?: AbortSignal },
  ): Promise<ReadonlyArray<Match>>
  /** Why this search cannot be done there, or undefined. */
  refuseSearch?(bytes: number, literals: ReadonlyArray<Uint8Array>): string | undefined
  /** Resolves with a reason when it is gone for good; a device that is closed need not tell. */
  readonly lost?: Promise<string>
  /** Frees everything; again does nothing. */
  close(): Promise<void>
}

/** A device that is not there. */
export interface Absent {
  /** `absent`: it could be, with what `reason` says. `unavailable`: this package has no backend for it. `closed`: it is opened when it is named. */
  readonly state: "absent" | "unavailable" | "closed"
  readonly reason: string
}

/** How a device is had: by `openAccelerator`, and again after it was lost. */
export interface DeviceSource {
  readonly name: string
  readonly kind: DeviceKind
  /** Used only where it is named, and opened only then. Says why. */
  readonly onlyByName?: string
  /** Whether one of those could be opened, without opening it. */
  probe?(): Promise<Absent | undefined>
  /** Resolves with why it is not there where that is expected; rejects where opening failed. */
  open(): Promise<Device | Absent>
}
