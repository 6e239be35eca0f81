/** The references as a device: right, everywhere, and slow. The last that is tried. */
import type { Device, DeviceArray, Dispatch } from "./device.ts"
import type { ElementType, Values } from "./operation.ts"

class HostArray implements DeviceArray {
  readonly type: ElementType
  readonly length: number
  readonly #owner: CpuDevice
  values: Values

  constructor(owner: CpuDevice, type: ElementType, length: number) {
    this.#owner = owner
    this.type = type
    this.length = length
    this.values = type === "f32" ? new Float32Array(length) : new Int32Array(length)
    owner.arrays.add(this)
  }

  free(): void {
    this.#owner.arrays.delete(this)
  }
}

const valuesOf = (array: DeviceArray): Values => (array as HostArray).values

class CpuDevice implements Device {
  readonly name = "cpu"
  readonly kind = "cpu"
  readonly description = "plain JavaScript, the references"
  readonly fingerprint = "cpu"
  readonly mode = "bitexact"
  readonly arrays = new Set<HostArray>()

  refuse(): undefined {
    return undefined
  }

  allocate(type: ElementType, length: number): DeviceArray {
    return new HostArray(this, type, length)
  }

  copyToDevice(array: DeviceArray, values: Values): void {
    valuesOf(array).set(values)
  }

  async copyFromDevice(array: DeviceArray): Promise<Values> {
    return valuesOf(array).slice()
  }

  view(array: DeviceArray): Values {
    return valuesOf(array)
  }

  dispatch(list: ReadonlyArray<Dispatch>): void {
    for (const { inputs, operation, outputs, shape } of list) {
      const results = operation.reference(Object.fromEntries(Object.entries(inputs).map(([name, array]) => [name, valuesOf(array)])), shape)
      for (const [name, values] of Object.entries(results)) valuesOf(outputs[name] as DeviceArray).set(values)
    }
  }

  async synchronize(): Promise<void> {}

  memory() {
    const bytesUsed = [...this.arrays].reduce((all, { length }) => all + 4 * length, 0)
    return { bytesUsed, bytesPooled: 0, bytesMax: Number.MAX_SAFE_INTEGER, arrays: this.arrays.size }
  }

  async close(): Promise<void> {
    this.arrays.clear()
  }
}

export const openCpu = (): Device => new CpuDevice()
