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
import { version } from "../cli/version.ts"
import { fileMemory, memoryPath } from "./memory.ts"

export * from "../../kernels/mod.ts"

export interface MachineOptions extends Pick<AcceleratorOptions, "mode">, Quota {
  /** Where measurements are kept; default `accelerator.json` in the user's data folder. `undefined` keeps nothing. */
  readonly memoryPath?: string | undefined
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

/** Devices of this machine, in no order. */
export const machineSources = async (): Promise<ReadonlyArray<DeviceSource>> => [...nativeSources, ...ownSources(processorFingerprint())]

/** Opens the devices of this machine; where nothing is remembered of one it is measured, in 50 ms. @throws KernelError `Unknown` mode */
export async function openAccelerator(options: MachineOptions = {}): Promise<Accelerator> {
  const { memoryPath: path = "memoryPath" in options ? undefined : memoryPath(), sources = [], ...rest } = options
  return openOver({ ...rest, sources: [...sources, ...(await machineSources())], ...(path === undefined ? {} : { memory: fileMemory(path) }) })
}
