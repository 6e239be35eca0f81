/**
 * `npm run bench -- fpga`: the simulated FPGA. Cycles first, which are exact; then what is modelled of them, at a clock whose source is said; last how fast the
 * simulators are, beside the SIMD kernel, so that nobody takes one for the other. Nothing here was measured on hardware.
 */
import { openTextKernels } from "../../kernels/mod.ts"
import { designNames, type FpgaDevice, openFpga } from "../../runtime/accel/fpga/mod.ts"
import { figureRow, type Row } from "./measure.ts"

const mebibyte = 2 ** 20
const letters = 26
const words = ["needle", "haystack", "pattern", "straddling", "sixteen letters.", "quicksand", "overflow", "determined"].map((word) =>
  new TextEncoder().encode(word),
)
const text = (bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, () => 97 + Math.floor(Math.random() * letters))

const missing = (figure: string, unit: string, note: string): Row => ({ figure, unit, ours: null, peers: {}, ratios: {}, target: "", met: null, note })

/** Megabytes a second of the simulator: the best of a few. */
async function speed(device: FpgaDevice, bytes: number, slots: number): Promise<number> {
  const page = text(bytes)
  let best = 0
  for (let round = 0; round < 3; round++) {
    const began = performance.now()
    await device.search(page, words.slice(0, slots))
    best = Math.max(best, bytes / (performance.now() - began) / 1_000)
  }
  return best
}

/** Of the SIMD kernel, for the same patterns. */
async function kernelSpeed(): Promise<number> {
  const kernels = await openTextKernels()
  using page = kernels.bytes(text(16 * mebibyte))
  using literals = kernels.literals(words)
  let best = 0
  for (let round = 0; round < 10; round++) {
    const began = performance.now()
    kernels.find(page, literals)
    best = Math.max(best, page.length / (performance.now() - began) / 1_000)
  }
  return best
}

export async function bench(say: (line: string) => void): Promise<ReadonlyArray<Row>> {
  const rows: Array<Row> = []
  const simd = await kernelSpeed()
  for (const design of designNames) {
    say(`${design}: building, placing and routing; up to two minutes the first time`)
    const device = await openFpga({ design })
    if (device.state !== "open") return [missing("FPGA", "cycles", `${device.state}: ${device.reason}`)]
    const slots = device.describe().design.patternsPerPass
    const bytes = device.describe().simulator.name === "verilator" ? mebibyte : mebibyte / 64
    await device.search(text(bytes), words.slice(0, slots))
    const { cycles, waitedCycles, loadCycles, bytesPerCycle = 0, simulator } = device.describe()
    rows.push(
      figureRow(`${design}: ${bytes} bytes, ${slots} patterns`, "cycles", cycles, { waited: waitedCycles, load: loadCycles }, []),
      figureRow(`${design}: bytes a cycle`, "B", bytesPerCycle, {}, []),
    )
    const clock = await device.measureClock().catch(() => device.describe().clock)
    const about =
      clock.source === "assumed"
        ? `assumed: ${clock.why}`
        : `by ${clock.tools.join(", ")} for ${clock.part}, ${clock.parameters.PATTERNS} of ${slots} slots, ${clock.cells.used} of ${clock.cells.all} cells`
    rows.push(figureRow(`${design}: clock, ${clock.source}`, "MHz", clock.mhz, {}, [], about))
    const [own, ...others] = device.describe().modelled
    const boards = Object.fromEntries(others.map((board) => [`${board.board} (assumed ${board.clockMhz} MHz, untried)`, board.bytesPerSecond / 1e6]))
    if (own !== undefined) rows.push(figureRow(`${design}: throughput, modelled, not measured`, "MB/s", own.bytesPerSecond / 1e6, boards, [], own.board))
    const simulated = await speed(device, bytes, slots)
    rows.push(figureRow(`${design}: speed of ${simulator.name}, a simulator`, "MB/s", simulated, { "SIMD kernel": simd }, []))
    await device.close()
    const second = simulator.name === "iverilog" ? undefined : await openFpga({ design, simulator: "iverilog" })
    if (second?.state !== "open") continue
    rows.push(figureRow(`${design}: speed of vvp, a simulator`, "MB/s", await speed(second, 16_384, slots), { "SIMD kernel": simd }, []))
    await second.close()
  }
  return rows
}
