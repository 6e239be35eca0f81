/** Numbers that do not change, wherever they lie: with the program, on devices, or only as what they were computed from. */
import { AccelerateError } from "../../schemas/error/accelerate.ts"
import type { Mode } from "../kernels.ts"
import type { Device, DeviceArray } from "./device.ts"
import type { ElementType, Operation, Shape, Values } from "./operation.ts"

export type ComputeBuffers = Readonly<Record<string, ComputeBuffer>>

/** An operation to run, or that was. */
export interface Step {
  readonly operation: Operation
  readonly shape: Shape
  readonly inputs: ComputeBuffers
  readonly outputs: ComputeBuffers
  /** What it was computed in, where it was. */
  readonly mode?: Mode
}

/** What a buffer needs of its accelerator. */
export interface BufferOwner {
  /** Runs it again, for outputs that lay on a device that is gone. */
  recompute(step: Step): Promise<void>
  released(bytes: number): void
}

export class ComputeBuffer {
  readonly type: ElementType
  readonly length: number
  /** @internal Copies on devices. */
  readonly places = new Map<Device, DeviceArray>()
  /** @internal From what it can be had again, where it lies on a device that may be lost. */
  made: Step | undefined
  /** @internal How many runs lie between it and numbers that cannot be lost. */
  depth = 0
  readonly #owner: BufferOwner
  #host: Values | undefined
  #isFreed = false

  /** @internal */
  constructor(owner: BufferOwner, type: ElementType, length: number, host?: Values) {
    this.#owner = owner
    this.type = type
    this.length = length
    this.#host = host
  }

  get bytes(): number {
    return 4 * this.length
  }

  get isFreed(): boolean {
    return this.#isFreed
  }

  /** Where its numbers are: `host`, and names of devices. */
  get residency(): ReadonlyArray<string> {
    return [...(this.#host === undefined ? [] : ["host"]), ...[...this.places.keys()].map(({ name }) => name)]
  }

  /** @internal Numbers that the program has, which are these from now on. */
  keep(host: Values): void {
    this.#host = host
    this.made = undefined
    this.depth = 0
  }

  /**
   * The numbers: a copy where they lie on a device, and otherwise the array they were made from.
   * @throws (rejects) AccelerateError `Closed` once it was freed, and what computing them again throws
   */
  async read(): Promise<Values> {
    if (this.#isFreed) throw new AccelerateError("Closed", { what: "a buffer" })
    return this.valuesNow()
  }

  /** @internal For runs, which may need a buffer that its owner has freed since. */
  async valuesNow(): Promise<Values> {
    if (this.#host !== undefined) return this.#host
    // Those that can be looked at come first.
    const places = [...this.places].sort(([a], [b]) => Number(b.view !== undefined) - Number(a.view !== undefined))
    let cause: unknown
    for (const [device, array] of places)
      try {
        return await device.copyFromDevice(array)
      } catch (error) {
        this.places.delete(device)
        cause = error
      }
    if (this.made === undefined) throw cause ?? new AccelerateError("Closed", { what: "a buffer" })
    await this.#owner.recompute(this.made)
    return this.valuesNow()
  }

  /**
   * The numbers themselves, not copied, until the next run: where they lie with the program or on a device that shares its memory; else undefined.
   * @throws AccelerateError `Closed`
   */
  view(): Values | undefined {
    if (this.#isFreed) throw new AccelerateError("Closed", { what: "a buffer" })
    if (this.#host !== undefined) return this.#host
    for (const [device, array] of this.places) if (device.view !== undefined) return device.view(array)
    return undefined
  }

  /** Whether it can be taken off a device and had again. */
  hasOther(device: Device): boolean {
    return this.#host !== undefined || this.made !== undefined || this.places.size > (this.places.has(device) ? 1 : 0)
  }

  /** @internal Takes it off a device. */
  evict(device: Device): void {
    this.places.get(device)?.free()
    this.places.delete(device)
  }

  /** Gives back what it has on devices; again does nothing. What was computed from it stays. */
  free(): void {
    if (this.#isFreed) return
    this.#isFreed = true
    for (const device of [...this.places.keys()]) this.evict(device)
    this.#owner.released(this.bytes)
  }

  [Symbol.dispose](): void {
    this.free()
  }
}
