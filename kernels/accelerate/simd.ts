/** SIMD kernels of one mode as a device: its memory is WebAssembly's, its work done when `dispatch` returns. */
import { AccelerateError } from "../../schemas/error/accelerate.ts"
import { KernelError } from "../../schemas/error/kernel.ts"
import { type Kernels, type KernelsOptions, openKernels } from "../kernels.ts"
import type { Numbers } from "../memory/memory.ts"
import type { Match } from "../search/literals.ts"
import { openTextKernels, type TextKernels } from "../text.ts"
import { openTrainingKernels, type TrainingKernels } from "../training.ts"
import type { Absent, Device, DeviceArray, Dispatch } from "./device.ts"
import { type ElementType, type Operation, type Shape, trafficOf, type Values } from "./operation.ts"

class SimdDevice implements Device {
  readonly name: string
  readonly kind = "simd"
  readonly description: string
  readonly fingerprint: string
  readonly mode
  readonly #kernels: Kernels
  readonly #training: TrainingKernels | undefined
  readonly #bytesMax: number
  readonly #arrays = new Set<Numbers>()
  readonly #end: () => Promise<void>
  #text: TextKernels | undefined

  constructor(kernels: Kernels, { bytesMax = 1 << 30, close = async () => undefined, description, fingerprint, name, training }: SimdOptions) {
    this.mode = kernels.mode
    this.name = name
    this.description = description
    this.fingerprint = `${name} ${fingerprint}`
    this.#kernels = kernels
    this.#training = training
    this.#bytesMax = bytesMax
    this.#end = close
  }

  refuse(operation: Operation, shape: Shape): string | undefined {
    const bytes = trafficOf(operation, shape)
    if (bytes > this.#bytesMax) return `its operands take ${bytes} bytes, over the ${this.#bytesMax} of its memory`
    if (operation.training !== undefined) return this.#training === undefined ? "its kernels are for one thread" : undefined
    return operation.simd === undefined ? "there is no SIMD kernel for it" : undefined
  }

  /** Allocates by `make`, or tells how much there is in the accelerator's words. */
  #taken<A>(make: () => A): A {
    try {
      return make()
    } catch (error) {
      if (error instanceof KernelError && error.reason._tag === "Memory") throw new AccelerateError("OutOfMemory", { device: this.name, ...error.reason })
      throw error
    }
  }

  allocate(type: ElementType, length: number): DeviceArray {
    const made: Numbers = this.#taken(() => (type === "f32" ? this.#kernels.zeros(length) : this.#kernels.integers(length)))
    this.#arrays.add(made)
    return {
      type,
      length,
      free: () => {
        this.#arrays.delete(made)
        made.free()
      },
      numbers: made,
    } as DeviceArray
  }

  copyToDevice(array: DeviceArray, values: Values): void {
    this.view(array).set(values)
  }

  async copyFromDevice(array: DeviceArray): Promise<Values> {
    return this.view(array).slice()
  }

  view(array: DeviceArray): Values {
    return numbersOf(array).array as Values
  }

  dispatch(list: ReadonlyArray<Dispatch>): void {
    for (const { inputs, operation, outputs, shape } of list)
      this.#taken(() => {
        operation.simd?.(this.#kernels, numbered(inputs), numbered(outputs), shape)
        if (this.#training !== undefined) operation.training?.(this.#training, numbered(inputs), numbered(outputs), shape)
      })
  }

  async synchronize(): Promise<void> {}

  memory() {
    return { bytesUsed: this.#kernels.bytesUsed, bytesPooled: 0, bytesMax: this.#bytesMax, arrays: this.#arrays.size }
  }

  async search(text: Uint8Array, literals: ReadonlyArray<Uint8Array>): Promise<ReadonlyArray<Match>> {
    const kernels = (this.#text ??= await openTextKernels({ bytesMax: this.#bytesMax }))
    using page = kernels.bytes(text)
    using needles = kernels.literals(literals)
    return kernels.find(page, needles)
  }

  async close(): Promise<void> {
    for (const array of this.#arrays) array.free()
    this.#arrays.clear()
    this.#text = undefined
    await this.#end()
  }
}

const numbersOf = (array: DeviceArray): Numbers => (array as DeviceArray & { readonly numbers: Numbers }).numbers
const numbered = (arrays: Readonly<Record<string, DeviceArray>>): Readonly<Record<string, Numbers>> =>
  Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, numbersOf(array)]))

interface SimdOptions {
  readonly name: string
  readonly description: string
  /** Engine and processor. */
  readonly fingerprint: string
  /** What the kernels were opened with; default 1 GiB. */
  readonly bytesMax?: number | undefined
  /** Over the same kernels; without them operations of training are refused. */
  readonly training?: TrainingKernels
  /** Ends what the kernels run on. */
  readonly close?: () => Promise<void>
}

/** Kernels as a device, which is theirs from then on. */
export const simdDevice = (kernels: Kernels, options: SimdOptions): Device => new SimdDevice(kernels, options)

/** `fingerprint` names the engine and processor. */
export async function openSimd({ fingerprint = "", ...options }: KernelsOptions & { readonly fingerprint?: string } = {}): Promise<Device | Absent> {
  try {
    const name = options.mode === "fast" ? "simd-fast" : "simd"
    const kernels = await openKernels(options)
    const training = await openTrainingKernels(kernels)
    return simdDevice(kernels, { name, description: "WebAssembly SIMD, one thread", fingerprint, bytesMax: options.bytesMax, training })
  } catch (error) {
    if (error instanceof KernelError && error.reason._tag === "Engine") return { state: "absent", reason: error.reason.detail }
    throw error
  }
}
