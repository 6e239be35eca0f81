/** A device that computes by the references behind copies, as a card does, and fails when a test says so. */
import { AccelerateError } from "../../../schemas/error/accelerate.ts"
import { openCpu } from "../../../kernels/accelerate/cpu.ts"
import type { Device, DeviceArray, DeviceSource, Dispatch } from "../../../kernels/accelerate/device.ts"
import type { ElementType, Values } from "../../../kernels/accelerate/operation.ts"

export class Remote {
  readonly name: string
  opened = 0
  dispatched = 0
  read = 0
  /** What the next `synchronize` calls reject with. */
  readonly failures: Array<Error> = []
  /** Resolves the next `synchronize` only then. */
  stuck: Promise<void> | undefined
  /** Computes wrong numbers of this operation. */
  wrong: string | undefined
  onlyByName: string | undefined
  isAbsent = false
  bytesMax = Number.POSITIVE_INFINITY
  /** A clock that each `synchronize` moves on by `costMs`, in the place of real time. */
  clock: { nowMs: number } | undefined
  costMs = 0
  #lose: (reason: string) => void = () => undefined

  constructor(name = "remote") {
    this.name = name
  }

  lose(reason: string): void {
    this.#lose(reason)
  }

  readonly source = (): DeviceSource => ({
    name: this.name,
    kind: "gpu",
    open: async () => {
      if (this.isAbsent) return { state: "absent", reason: "it was unplugged" }
      this.opened += 1
      return this.#device()
    },
  })

  #device(): Device {
    const cpu = openCpu()
    let isLost = false
    const lost = new Promise<string>((done) => {
      this.#lose = (reason) => {
        isLost = true
        done(reason)
      }
    })
    const check = (): void => {
      if (isLost) throw new AccelerateError("Lost", { device: this.name, detail: "it was taken away" })
    }
    return {
      ...{ name: this.name, kind: "gpu", description: "a test's", fingerprint: `${this.name} 1`, mode: "bitexact", lost },
      ...(this.onlyByName === undefined ? {} : { onlyByName: this.onlyByName }),
      refuse: (operation) => (operation.name === "erf" ? "it has no erf" : undefined),
      allocate: (type: ElementType, length: number): DeviceArray => {
        const used = cpu.memory().bytesUsed
        if (used + 4 * length > this.bytesMax) throw new AccelerateError("OutOfMemory", { device: this.name, asked: 4 * length, used, limit: this.bytesMax })
        return cpu.allocate(type, length)
      },
      copyToDevice: (array: DeviceArray, values: Values) => cpu.copyToDevice(array, values),
      copyFromDevice: async (array: DeviceArray) => {
        check()
        this.read += 1
        return cpu.copyFromDevice(array)
      },
      dispatch: (list: ReadonlyArray<Dispatch>) => {
        this.dispatched += 1
        cpu.dispatch(list)
        for (const { operation, outputs } of list)
          if (operation.name === this.wrong) for (const array of Object.values(outputs)) cpu.copyToDevice(array, new Float32Array(array.length).fill(7))
      },
      synchronize: async () => {
        await this.stuck
        if (this.clock !== undefined) this.clock.nowMs += this.costMs
        check()
        const failure = this.failures.shift()
        if (failure !== undefined) throw failure
      },
      memory: () => cpu.memory(),
      close: () => cpu.close(),
    }
  }
}
