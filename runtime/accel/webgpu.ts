/**
 * Where devices of WebGPU come from: `navigator.gpu` in Deno and in browsers, the optional package `webgpu` (dawn) in Node and Bun.
 *
 * dawn runs in this process: what crashes in a driver ends it, and no error can be caught. Its loader writes warnings on stderr where a backend is not there.
 */
import { AccelerateError } from "../../schemas/error/accelerate.ts"
import type { Absent, Device, DeviceSource } from "../../kernels/accelerate/device.ts"
import { describe, openWebGpu, type WebGpuOptions } from "../../kernels/webgpu/device.ts"

export interface WebGpuSourceOptions {
  /** dawn's, in Node and Bun: `backend=opengl`, `adapter=NAME`, `enable-dawn-features=A,B`. Default: `STELE_WEBGPU`, in which semicolons part them; `off` there has no device looked for. */
  readonly dawn?: ReadonlyArray<string>
  /** URL of the package `webgpu`, where it is not found by its name. */
  readonly module?: string
  /** Default `high-performance`. */
  readonly powerPreference?: GPUPowerPreference
  /** Of each device's buffers; default 2 GiB. */
  readonly bytesMax?: number
}

/** An optional peer of the package. */
const driver = "webgpu"

interface Dawn {
  readonly create: (options: ReadonlyArray<string>) => GPU
}

interface Platform {
  readonly navigator?: { readonly gpu?: GPU; readonly userAgent?: string }
  readonly process?: { readonly env: Readonly<Record<string, string | undefined>>; readonly versions?: Readonly<Record<string, string | undefined>> }
}
const platform = globalThis as Platform

/** What measurements hold for. */
function runtimeName(): string {
  const { navigator, process } = platform
  const name = ["deno", "bun", "node"].find((each) => process?.versions?.[each] !== undefined)
  return name === undefined ? (navigator?.userAgent ?? "") : `${name} ${process?.versions?.[name]}`
}

/** dawn's objects, never let go: what `create` returned ends the process when it is collected while a device lives. */
const pinned = new Map<string, GPU>()

/** Deno asks for permission to read a variable; without it there is none. */
function setting(): string {
  try {
    return platform.process?.env["STELE_WEBGPU"] ?? ""
  } catch {
    return ""
  }
}

const isBuiltIn = (): boolean => platform.navigator?.gpu !== undefined

/** A `GPU` with options of dawn, which others have not, or why there is none. */
async function gpuOf({ dawn, module = driver }: WebGpuSourceOptions, more: ReadonlyArray<string> = []): Promise<GPU | Absent> {
  const builtIn = platform.navigator?.gpu
  const { process } = platform
  const given =
    dawn ??
    setting()
      .split(";")
      .filter((option) => option !== "")
  if (given[0] === "off") return { state: "absent", reason: "STELE_WEBGPU is off" }
  if (builtIn !== undefined) return builtIn
  if (process?.versions === undefined) return { state: "absent", reason: "this browser has no WebGPU, or the page is not served over HTTPS" }
  const options = [...given, ...more]
  const key = JSON.stringify([module, ...options])
  const kept = pinned.get(key)
  if (kept !== undefined) return kept
  let loaded: Dawn
  try {
    loaded = (await import(module)) as Dawn
  } catch (error) {
    const { code, message } = error as { readonly code?: string; readonly message: string }
    const isMissing = code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND"
    return {
      state: "absent",
      reason: isMissing ? "the package webgpu is not installed: npm install webgpu" : `the package webgpu does not load here: ${message}`,
    }
  }
  const gpu = loaded.create(options)
  pinned.set(key, gpu)
  return gpu
}

/** TypeScript's library does not have all of them yet. */
type AdapterOptions = GPURequestAdapterOptions & { readonly featureLevel?: "core" | "compatibility" }

/** The adapter that is asked for; one of the compatibility level where there is no other. */
async function request(gpu: GPU, options: AdapterOptions): Promise<GPUAdapter | undefined> {
  return (
    (await gpu.requestAdapter(options)) ?? (await gpu.requestAdapter({ ...options, featureLevel: "compatibility" } as GPURequestAdapterOptions)) ?? undefined
  )
}

/** How one adapter is found, again for each device: an adapter gives one device only. */
type Find = () => Promise<GPUAdapter | Absent>

const none: Absent = {
  state: "absent",
  reason: "no adapter: WebGPU finds no driver of a graphics card (STELE_WEBGPU chooses dawn's backend, for example backend=opengl)",
}

const isAbsent = (found: object): found is Absent => "state" in found

const finder =
  (options: WebGpuSourceOptions, of: { readonly dawn?: ReadonlyArray<string>; readonly request?: AdapterOptions } = {}): Find =>
  async () => {
    const gpu = await gpuOf(options, of.dawn)
    if (isAbsent(gpu)) return gpu
    return (await request(gpu, of.request ?? { powerPreference: options.powerPreference ?? "high-performance" })) ?? none
  }

/** The most of what is needed, and nothing else that an adapter could give. */
async function deviceOf(adapter: GPUAdapter): Promise<GPUDevice> {
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits
  return adapter.requestDevice({
    requiredLimits: { maxBufferSize, maxStorageBufferBindingSize },
    requiredFeatures: adapter.features.has("timestamp-query") ? ["timestamp-query"] : [],
  })
}

async function opened(name: string, find: Find, { bytesMax }: WebGpuSourceOptions): Promise<Device | Absent> {
  try {
    const adapter = await find()
    if (isAbsent(adapter)) return adapter
    const options: WebGpuOptions = { name, info: adapter.info, fingerprint: runtimeName(), isOwned: true, ...(bytesMax === undefined ? {} : { bytesMax }) }
    return openWebGpu(await deviceOf(adapter), options)
  } catch (cause) {
    if (cause instanceof AccelerateError) throw cause
    throw new AccelerateError("Failed", { device: name, detail: (cause as Error).message }, { cause })
  }
}

const sourceOf = (name: string, find: Find, options: WebGpuSourceOptions): DeviceSource => ({ name, kind: "gpu", open: () => opened(name, find, options) })

/** The adapter that WebGPU prefers, as `webgpu`; nothing is loaded before it is opened. */
export const webGpuSource = (options: WebGpuSourceOptions = {}): DeviceSource => sourceOf("webgpu", finder(options), options)

/** dawn lists its adapters when it is asked for one that is not there. */
async function namedByDawn(options: WebGpuSourceOptions): Promise<ReadonlyArray<ReadonlyArray<string>>> {
  try {
    const gpu = await gpuOf(options, ["adapter=no adapter has this name"])
    if (!isAbsent(gpu)) await request(gpu, {})
  } catch (error) {
    return Array.from((error as Error).message.matchAll(/ \* backend: '([^']*)', name: '(.*)'$/gm), ([, backend, name]) => [
      `backend=${backend}`,
      `adapter=${name}`,
    ])
  }
  return []
}

export interface AdapterFound {
  /** Of its device: `webgpu`, `webgpu-1` and so on. */
  readonly name: string
  readonly description: string
  readonly source: DeviceSource
}

/** Every adapter that can be told from the others, the preferred one first. Two equal cards have one name, and are one. @throws (rejects) AccelerateError `Failed` */
export async function webGpuAdapters(options: WebGpuSourceOptions = {}): Promise<ReadonlyArray<AdapterFound>> {
  const finds = [
    finder(options),
    ...(["high-performance", "low-power"] as const).map((powerPreference) => finder(options, { request: { powerPreference } })),
    finder(options, { request: { forceFallbackAdapter: true } }),
    ...(isBuiltIn() ? [] : (await namedByDawn(options)).map((dawn) => finder(options, { dawn }))),
  ]
  const found = new Map<string, AdapterFound>()
  for (const find of finds) {
    const adapter = await find().catch((cause: unknown) => {
      throw new AccelerateError("Failed", { device: "webgpu", detail: (cause as Error).message }, { cause })
    })
    if (isAbsent(adapter)) continue
    const description = describe(adapter.info)
    const name = found.size === 0 ? "webgpu" : `webgpu-${found.size}`
    if (!found.has(description)) found.set(description, { name, description, source: sourceOf(name, find, options) })
  }
  return [...found.values()]
}

/** All adapters as sources; one that says why where there is none. */
export async function webGpuSources(options: WebGpuSourceOptions = {}): Promise<ReadonlyArray<DeviceSource>> {
  // What fails here fails again when it is opened, and is told there.
  const found = await webGpuAdapters(options).catch(() => [])
  return found.length === 0 ? [webGpuSource(options)] : found.map(({ source }) => source)
}
