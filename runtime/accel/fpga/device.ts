/** The simulated FPGA as a device of the accelerator, which searches texts and nothing else, and only where it is named. */
import { AccelerateError } from "../../../schemas/error/accelerate.ts"
import type { Absent, Device, DeviceSource } from "../../../kernels/accelerate/device.ts"
import { type FpgaDevice, fpgaAbsence, openFpga } from "./mod.ts"

const onlyByName = "it is simulated"
const patternsMax = 512

function deviceOf(fpga: FpgaDevice): Device {
  const { design, simulator } = fpga.describe()
  const refuse = (): never => {
    throw new AccelerateError("Failed", { device: "fpga", detail: "it searches texts, and holds no numbers" })
  }
  return {
    ...{ name: "fpga", kind: "fpga", mode: "bitexact", onlyByName },
    get description() {
      const { bytesPerCycle, clock, cycles, design: own } = fpga.describe()
      const measured =
        bytesPerCycle === undefined ? `up to ${own.bytesPerCycleMax} bytes a cycle` : `${cycles} cycles, ${bytesPerCycle.toFixed(2)} bytes a cycle`
      return `simulated by ${simulator.version}: ${measured}; clock: ${clock.source}, ${clock.mhz} MHz`
    },
    fingerprint: `fpga ${design.sha256} ${simulator.version}`,
    refuse: () => "it searches texts only",
    allocate: refuse,
    copyToDevice: refuse,
    copyFromDevice: async () => refuse(),
    dispatch: refuse,
    synchronize: async () => undefined,
    memory: () => ({ bytesUsed: 0, bytesPooled: 0, bytesMax: 0, arrays: 0 }),
    refuseSearch(_bytes, literals) {
      if (literals.length > patternsMax) return `${literals.length} literals, over its ${patternsMax}`
      const longest = literals.reduce((most, { length }) => Math.max(most, length), 0)
      return longest > design.patternBytesMax ? `a literal of ${longest} bytes, over its ${design.patternBytesMax}` : undefined
    },
    search: (text, literals, options = {}) => fpga.search(text, literals, options),
    close: () => fpga.close(),
  }
}

export const fpgaSource: DeviceSource = {
  ...{ name: "fpga", kind: "fpga", onlyByName },
  probe: () => fpgaAbsence(),
  async open(): Promise<Device | Absent> {
    const opened = await openFpga({ patternsMax })
    return opened.state === "open" ? deviceOf(opened) : opened
  },
}
