/**
 * `stele/accel`: the accelerator with the devices of this machine, and what was measured of them kept in the user's data folder.
 *
 * ```ts
 * import { openAccelerator } from "stele/accel"
 * await using accelerator = await openAccelerator({ mode: "fast" })
 * console.log(accelerator.explain("matmul", { m: 512, k: 512, n: 512 }))
 * ```
 */
import { type Accelerator, openAccelerator as openOver, type Quota } from "../../kernels/accelerate/accelerator.ts"
import { type AcceleratorOptions, ownSources } from "../../kernels/accelerate/core.ts"
import type { DeviceSource } from "../../kernels/accelerate/device.ts"
import { platform } from "../../host/platform/mod.ts"
import { modes } from "../../kernels/kernels.ts"
import { simdDevice } from "../../kernels/accelerate/simd.ts"
import { version } from "../cli/version.ts"
import { fpgaSource } from "./fpga/device.ts"
import { fileMemory, memoryPath } from "./memory.ts"
import { openThreadedKernels } from "./threads.ts"
import { enableTurbo } from "./turbo.ts"
import { webGpuSources, type WebGpuSourceOptions } from "./webgpu.ts"

export { type FpgaDescription, FpgaDevice, type FpgaOptions, openFpga } from "./fpga/mod.ts"
export { enableTurbo } from "./turbo.ts"
export { openThreadedKernels, type ThreadedKernels, type ThreadsOptions, threadsMax } from "./threads.ts"

export * from "../../kernels/mod.ts"
export { type AdapterFound, webGpuAdapters, webGpuSource, type WebGpuSourceOptions } from "./webgpu.ts"

export interface MachineOptions extends Pick<AcceleratorOptions, "mode">, Quota {
  /** Where measurements are kept; default `accelerator.json` in the user's data folder. `undefined` keeps nothing. */
  readonly memoryPath?: string | undefined
  /**
   * Turns on V8's 256-bit vectors, for the whole process and for good (`enableTurbo`). Measurements are kept apart. Default false.
   */
  readonly turbo?: boolean
  /** How adapters of WebGPU are found; `false` for none. Each is a device: `webgpu`, `webgpu-1`. */
  readonly webGpu?: WebGpuSourceOptions | false
  /** More devices, before those of this machine. */
  readonly sources?: ReadonlyArray<DeviceSource>
}

/** What people look for, and what it would take. */
const nativeSources: ReadonlyArray<DeviceSource> = ["cuda", "rocm", "oneapi", "opencl"].map((name) => ({
  name,
  kind: "gpu",
  open: async () => ({ state: "unavailable", reason: "needs a native backend" }),
}))

/** What measurements of a processor hold for: processor, engine, package. */
function processorFingerprint(): string {
  const { arch, cpus } = process.getBuiltinModule("node:os")
  const [first] = cpus()
  return [arch(), first?.model ?? "unknown processor", platform.name, process.versions[platform.name] ?? "", process.versions["v8"] ?? "", version()].join(" ")
}

/** SIMD on all processors, in each mode; a machine with one has nothing to share. */
const threadSources = (fingerprint: string, isWide: boolean): ReadonlyArray<DeviceSource> =>
  modes.map((mode) => {
    const name = mode === "fast" ? "threads-fast" : "threads"
    return {
      name,
      kind: "simd",
      open: async () => {
        if (process.getBuiltinModule("node:os").availableParallelism() < 2) return { state: "absent", reason: "this machine has one processor" }
        const { close, kernels, threads } = await openThreadedKernels({ mode, isWide })
        return simdDevice(kernels, { name, description: `WebAssembly SIMD, ${threads} threads`, fingerprint: `${threads} ${fingerprint}`, close })
      },
    }
  })

/** Devices of this machine, in no order. */
export async function machineSources({ turbo = false, webGpu = {} }: Pick<MachineOptions, "turbo" | "webGpu"> = {}): Promise<ReadonlyArray<DeviceSource>> {
  const fingerprint = `${processorFingerprint()}${turbo ? " turbo" : ""}`
  const gpus = webGpu === false ? [] : await webGpuSources(webGpu)
  return [...gpus, ...nativeSources, fpgaSource, ...threadSources(fingerprint, turbo), ...ownSources({ fingerprint, isWide: turbo })]
}

/** Opens the devices of this machine; where nothing is remembered of one it is measured, in 50 ms. @throws KernelError `Unknown` mode */
export async function openAccelerator(options: MachineOptions = {}): Promise<Accelerator> {
  const { memoryPath: path = "memoryPath" in options ? undefined : memoryPath(), sources = [], turbo = false, webGpu = {}, ...rest } = options
  if (turbo) enableTurbo()
  return openOver({ ...rest, sources: [...sources, ...(await machineSources({ turbo, webGpu }))], ...(path === undefined ? {} : { memory: fileMemory(path) }) })
}
