/**
 * A `GPUDevice` as a device of the accelerator: in a page, in Deno, and in Node with the package `webgpu`. It opens nothing itself: it is handed a device that exists.
 */
import { AccelerateError } from "../../schemas/error/accelerate.ts"
import type { Device, DeviceArray, Dispatch, MemoryInfo } from "../accelerate/device.ts"
import type { ElementType, Operation, Shape, Values } from "../accelerate/operation.ts"
import type { Match } from "../search/literals.ts"
import type { Binding, Pass, Plan, PlanLimits, Program } from "./plan.ts"
import { BufferPool, usages } from "./pool.ts"
import { programs } from "./programs.ts"
import { confirm, gramsOf, marking } from "./search.ts"

export interface WebGpuOptions {
  /** Default `webgpu`. */
  readonly name?: string
  /** What is told of the adapter; default the device's own. */
  readonly info?: Partial<GPUAdapterInfo>
  /** What else measurements depend on: the runtime and its version. */
  readonly fingerprint?: string
  /** Used only where it is named, and why. */
  readonly onlyByName?: string
  /** Of all buffers together, kept ones too; default 2 GiB. WebGPU tells nobody how much memory a card has. */
  readonly bytesMax?: number
  /** WGSL for more operations, or other WGSL, by the operation's name. */
  readonly programs?: ReadonlyMap<string, Program>
  /** Whether `close` destroys the `GPUDevice` too; default no: a page may draw with it. */
  readonly isOwned?: boolean
}

/** Passes of one submission: as many as there are places for their uniforms. */
const passesMax = 256
const uniformStride = 256
/** Groups along one dimension: every adapter's limit. */
const groupsAcross = 65_535
/** Of a text that is on the card at once. */
const textBytesMax = 2 ** 26
/** Plans that are kept. */
const plansMax = 1_024

const storage = usages.storage | usages.copyFrom | usages.copyTo
const staging = usages.mapRead | usages.copyTo

const software = /llvmpipe|lavapipe|softpipe|swiftshader|basic render|\bwarp\b/i

/** An adapter that is a program on this processor: by its name, since `isFallbackAdapter` does not tell of all. */
export const isSoftware = (info: Partial<GPUAdapterInfo>): boolean =>
  info.isFallbackAdapter === true || software.test([info.vendor, info.architecture, info.device, info.description].join(" "))

/** For people. */
export function describe(info: Partial<GPUAdapterInfo>): string {
  const words = [info.vendor, info.architecture, info.device, info.description].filter((word) => word !== undefined && word !== "").join(", ")
  return `${words === "" ? "an adapter that tells nothing of itself" : words}${isSoftware(info) ? " (software: it computes on this processor)" : ""}`
}

class GpuArray implements DeviceArray {
  readonly type: ElementType
  readonly length: number
  /** Undefined when it was freed. */
  buffer: GPUBuffer | undefined
  readonly #free: (array: GpuArray) => void

  constructor(type: ElementType, length: number, buffer: GPUBuffer, free: (array: GpuArray) => void) {
    this.type = type
    this.length = length
    this.buffer = buffer
    this.#free = free
  }

  free(): void {
    this.#free(this)
  }
}

/** What a binding stands for. */
interface Source {
  readonly buffer: GPUBuffer
  readonly length: number
}

const mebibytes = (bytes: number): string => `${Math.round((bytes / 2 ** 20) * 10) / 10} MiB`

/** Why a plan cannot run within limits. */
function excess({ passes, scratch }: Plan, lengths: Readonly<Record<string, number>>, { bindingBytesMax, bufferBytesMax }: PlanLimits): string | undefined {
  const all = { ...lengths, ...scratch }
  for (const [name, length] of Object.entries(all))
    if (4 * length > bufferBytesMax) return `"${name}" takes ${mebibytes(4 * length)}, over the ${mebibytes(bufferBytesMax)} of a buffer of this adapter`
  for (const { of, length = all[of] ?? 0 } of passes.flatMap(({ reads, writes }) => [...reads, ...writes]))
    if (4 * length > bindingBytesMax) return `"${of}" takes ${mebibytes(4 * length)}, over the ${mebibytes(bindingBytesMax)} of a binding of this adapter`
  return undefined
}

/** What an error scope will say. */
interface Check {
  readonly failure: Promise<AccelerateError | undefined>
  waiting: number
}

interface Timer {
  readonly set: GPUQuerySet
  readonly resolved: GPUBuffer
  readonly read: GPUBuffer
  /** Whether the last list's times were not read yet. */
  isPending: boolean
}

class WebGpuDevice implements Device {
  readonly name: string
  readonly kind = "gpu"
  readonly description: string
  readonly fingerprint: string
  readonly mode = "fast"
  readonly onlyByName?: string
  readonly lost: Promise<string>
  /** How long the adapter was busy with the list before the last `synchronize`, in ms; where it can tell. */
  lastBusyMs: number | undefined

  readonly #device: GPUDevice
  readonly #isOwned: boolean
  readonly #programs: ReadonlyMap<string, Program>
  readonly #limits: PlanLimits
  readonly #bytesMax: number
  readonly #pool: BufferPool
  readonly #arrays = new Set<GpuArray>()
  readonly #plans = new Map<string, Plan | string>()
  readonly #layouts = new Map<string, GPUBindGroupLayout>()
  readonly #pipelines = new Map<string, GPUComputePipeline>()
  readonly #uniforms: GPUBuffer
  readonly #timer: Timer | undefined
  readonly #checks = new Set<Check>()
  /** Of what nobody waited for when it failed. */
  #failure: AccelerateError | undefined
  #lost: string | undefined
  #isClosed = false

  constructor(device: GPUDevice, options: WebGpuOptions) {
    const { bytesMax = 2 ** 31, fingerprint = "", info = device.adapterInfo ?? {}, isOwned = false, name = "webgpu", onlyByName } = options
    this.name = name
    this.description = describe(info)
    this.fingerprint = ["webgpu", info.vendor, info.architecture, info.device, info.description, fingerprint]
      .filter((word) => word !== undefined && word !== "")
      .join(" ")
    if (onlyByName !== undefined) this.onlyByName = onlyByName
    this.#device = device
    this.#isOwned = isOwned
    this.#programs = options.programs === undefined ? programs : new Map([...programs, ...options.programs])
    this.#limits = { bindingBytesMax: device.limits.maxStorageBufferBindingSize, bufferBytesMax: device.limits.maxBufferSize }
    this.#bytesMax = bytesMax
    this.#pool = new BufferPool({
      ...{ device: name, bytesMax, pooledBytesMax: bytesMax / 4, bufferBytesMax: this.#limits.bufferBytesMax },
      create: (size, usage) => this.#checked(size, () => device.createBuffer({ size, usage })),
    })
    this.lost = device.lost.then(({ message, reason }) => {
      this.#lost = message === "" ? reason : message
      return this.#lost
    })
    this.#uniforms = device.createBuffer({ size: passesMax * uniformStride, usage: usages.uniform | usages.copyTo })
    if (device.features.has("timestamp-query"))
      this.#timer = {
        set: device.createQuerySet({ type: "timestamp", count: 2 }),
        resolved: device.createBuffer({ size: 16, usage: usages.queryResolve | usages.copyFrom }),
        read: device.createBuffer({ size: 16, usage: staging }),
        isPending: false,
      }
    device.addEventListener("uncapturederror", this.#uncaptured)
  }

  readonly #uncaptured = (event: Event): void => {
    event.preventDefault()
    this.#failure ??= this.#failed((event as GPUUncapturedErrorEvent).error.message)
  }

  #failed(detail: string): AccelerateError {
    return new AccelerateError("Failed", { device: this.name, detail: detail.trim() })
  }

  /** Runs what may fail later: what its error scopes catch is told by the next call that waits. `asked`: bytes, for what is told of memory. */
  #checked<A>(asked: number, run: () => A): A {
    const device = this.#device
    const scopes = ["validation", "out-of-memory", "internal"] as const
    for (const scope of scopes) device.pushErrorScope(scope)
    try {
      return run()
    } finally {
      for (const scope of scopes.toReversed()) {
        const failure = device.popErrorScope().then(
          (error) => {
            if (error === null) return undefined
            if (scope !== "out-of-memory") return this.#failed(error.message)
            return new AccelerateError("OutOfMemory", { device: this.name, asked, used: this.#pool.bytesUsed - asked, limit: this.#bytesMax })
          },
          // Of a device that is lost, which is told by itself.
          () => undefined,
        )
        const check: Check = { failure, waiting: 0 }
        this.#checks.add(check)
        void failure.then((error) => {
          this.#checks.delete(check)
          if (error !== undefined && check.waiting === 0) this.#failure ??= error
        })
      }
    }
  }

  #open(): void {
    if (this.#isClosed) throw new AccelerateError("Closed", { what: `the device "${this.name}"` })
    if (this.#lost !== undefined) throw new AccelerateError("Lost", { device: this.name, detail: this.#lost })
  }

  /** Waits for what error scopes say of everything until now, and tells it: to all who wait for it, or to the next who does. */
  async #told(): Promise<void> {
    const checks = [...this.#checks]
    for (const check of checks) check.waiting++
    const before = this.#failure
    this.#failure = undefined
    const failures = await Promise.all(checks.map(({ failure }) => failure))
    this.#open()
    const failure = before ?? failures.find((each) => each !== undefined)
    if (failure === undefined) return
    // One of them may be what failed.
    this.#pipelines.clear()
    throw failure
  }

  #plan(operation: Operation, shape: Shape, operands: ReadonlySet<string>): Plan | string {
    const key = `${operation.name} ${[...operands].join()} ${Object.values(shape).join()}`
    const kept = this.#plans.get(key)
    if (kept !== undefined) return kept
    if (this.#plans.size >= plansMax) this.#plans.clear()
    const planned = this.#planned(operation, shape, operands)
    this.#plans.set(key, planned)
    return planned
  }

  #planned(operation: Operation, shape: Shape, operands: ReadonlySet<string>): Plan | string {
    const program = this.#programs.get(operation.name)
    if (program === undefined) return "there is no WGSL for it"
    const plan = program(shape, operands, this.#limits)
    if (typeof plan === "string") return plan
    const present = [...operation.inputs(shape).filter(({ name }) => operands.has(name)), ...operation.outputs(shape)]
    return excess(plan, Object.fromEntries(present.map(({ length, name }) => [name, length])), this.#limits) ?? plan
  }

  refuse(operation: Operation, shape: Shape): string | undefined {
    const plan = this.#plan(operation, shape, new Set(operation.inputs(shape).map(({ name }) => name)))
    return typeof plan === "string" ? plan : undefined
  }

  allocate(type: ElementType, length: number): DeviceArray {
    this.#open()
    const array = new GpuArray(type, length, this.#pool.take(4 * length, storage), (freed) => {
      if (freed.buffer !== undefined) this.#pool.give(freed.buffer)
      freed.buffer = undefined
      this.#arrays.delete(freed)
    })
    this.#arrays.add(array)
    return array
  }

  #source(name: string, array: DeviceArray | undefined): Source {
    const buffer = array instanceof GpuArray ? array.buffer : undefined
    if (buffer === undefined) throw new AccelerateError("Closed", { what: `the array "${name}"` })
    return { buffer, length: (array as GpuArray).length }
  }

  copyToDevice(array: DeviceArray, values: Values): void {
    this.#open()
    const { buffer } = this.#source("array", array)
    if (array.length === 0) return
    this.#write(buffer, values.subarray(0, array.length))
  }

  /** Bytes at a buffer's beginning; up to three that are no whole number are written as one with zeros behind them. */
  #write(buffer: GPUBuffer, values: Values | Uint8Array | Uint32Array): void {
    // Not all engines take shared memory.
    const own = (values.buffer instanceof ArrayBuffer ? values : values.slice()) as ArrayBufferView<ArrayBuffer>
    const whole = own.byteLength - (own.byteLength % 4)
    this.#checked(own.byteLength, () => {
      const { queue } = this.#device
      if (whole > 0) queue.writeBuffer(buffer, 0, own.buffer, own.byteOffset, whole)
      if (whole === own.byteLength) return
      const last = new Uint8Array(4)
      last.set(new Uint8Array(own.buffer, own.byteOffset + whole, own.byteLength - whole))
      queue.writeBuffer(buffer, whole, last)
    })
  }

  async copyFromDevice(array: DeviceArray): Promise<Values> {
    this.#open()
    const { buffer, length } = this.#source("array", array)
    const bytes = await this.#read(buffer, 4 * length)
    return array.type === "f32" ? new Float32Array(bytes) : new Int32Array(bytes)
  }

  /** The first bytes of a buffer, a multiple of four. */
  async #read(buffer: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
    if (bytes === 0) {
      await this.#told()
      return new ArrayBuffer(0)
    }
    const into = this.#pool.take(bytes, staging)
    this.#checked(bytes, () => {
      const encoder = this.#device.createCommandEncoder()
      encoder.copyBufferToBuffer(buffer, 0, into, 0, bytes)
      this.#device.queue.submit([encoder.finish()])
    })
    const mapped = into.mapAsync(1, 0, bytes)
    const [told, map] = await Promise.allSettled([this.#told(), mapped])
    const isMapped = map.status === "fulfilled"
    try {
      this.#open()
      if (told.status === "rejected") throw told.reason
      if (!isMapped) throw this.#failed(`cannot read its memory: ${(map.reason as Error).message || (map.reason as Error).name}`)
      return into.getMappedRange(0, bytes).slice(0)
    } finally {
      if (isMapped) {
        into.unmap()
        this.#pool.give(into)
      } else this.#pool.drop(into)
    }
  }

  dispatch(list: ReadonlyArray<Dispatch>): void {
    this.#open()
    const scratches: Array<GPUBuffer> = []
    try {
      const passes = list.flatMap((dispatch) => this.#bound(dispatch, scratches))
      for (let at = 0; at < passes.length; at += passesMax) this.#submit(passes.slice(at, at + passesMax))
    } finally {
      for (const buffer of scratches) this.#pool.give(buffer)
    }
  }

  /** The passes of a dispatch that have something to do, with their arrays. */
  #bound({ inputs, operation, outputs, shape }: Dispatch, scratches: Array<GPUBuffer>): ReadonlyArray<readonly [Pass, (name: string) => Source]> {
    const plan = this.#plan(operation, shape, new Set(Object.keys(inputs)))
    if (typeof plan === "string") throw this.#failed(`${operation.name}: ${plan}`)
    const passes = plan.passes.filter(({ groups }) => groups > 0)
    if (passes.length === 0) return []
    const made = Object.fromEntries(
      Object.entries(plan.scratch).map(([name, length]) => {
        const buffer = this.#pool.take(4 * length, storage)
        scratches.push(buffer)
        return [name, { buffer, length }]
      }),
    )
    const source = (name: string): Source => made[name] ?? this.#source(name, inputs[name] ?? outputs[name])
    return passes.map((pass) => [pass, source])
  }

  #submit(passes: ReadonlyArray<readonly [Pass, (name: string) => Source]>): void {
    const device = this.#device
    const words = new Uint32Array((passes.length * uniformStride) / 4)
    passes.forEach(([{ uniforms }], i) => words.set(uniforms, (i * uniformStride) / 4))
    const timer = this.#timer?.isPending === false ? this.#timer : undefined
    this.#checked(0, () => {
      device.queue.writeBuffer(this.#uniforms, 0, words)
      const encoder = device.createCommandEncoder()
      const run = encoder.beginComputePass(
        timer === undefined ? {} : { timestampWrites: { querySet: timer.set, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 } },
      )
      passes.forEach(([pass, source], i) => {
        run.setPipeline(this.#pipeline(pass))
        run.setBindGroup(0, this.#group(pass, source, i))
        const across = Math.min(pass.groups, groupsAcross)
        run.dispatchWorkgroups(across, Math.ceil(pass.groups / across))
      })
      run.end()
      if (timer !== undefined) {
        encoder.resolveQuerySet(timer.set, 0, 2, timer.resolved, 0)
        encoder.copyBufferToBuffer(timer.resolved, 0, timer.read, 0, 16)
        timer.isPending = true
      }
      device.queue.submit([encoder.finish()])
    })
  }

  #layout({ reads, writes }: Pass): GPUBindGroupLayout {
    const key = `${reads.length} ${writes.length}`
    let layout = this.#layouts.get(key)
    if (layout === undefined) {
      const types = ["uniform", ...reads.map(() => "read-only-storage"), ...writes.map(() => "storage")] as ReadonlyArray<GPUBufferBindingType>
      layout = this.#device.createBindGroupLayout({ entries: types.map((type, binding) => ({ binding, visibility: 4, buffer: { type } })) })
      this.#layouts.set(key, layout)
    }
    return layout
  }

  #pipeline(pass: Pass): GPUComputePipeline {
    let pipeline = this.#pipelines.get(pass.code)
    if (pipeline === undefined) {
      const module = this.#device.createShaderModule({ code: pass.code })
      const layout = this.#device.createPipelineLayout({ bindGroupLayouts: [this.#layout(pass)] })
      pipeline = this.#device.createComputePipeline({ layout, compute: { module, entryPoint: "main" } })
      this.#pipelines.set(pass.code, pipeline)
    }
    return pipeline
  }

  #group(pass: Pass, source: (name: string) => Source, place: number): GPUBindGroup {
    const resource = ({ from = 0, length, of }: Binding): GPUBufferBinding => {
      const { buffer, length: all } = source(of)
      // Up to a multiple of 16 bytes, which every buffer has: shaders take four numbers at a time.
      return { buffer, offset: 4 * from, size: 16 * Math.max(1, Math.ceil((length ?? all) / 4)) }
    }
    const resources = [
      { buffer: this.#uniforms, offset: place * uniformStride, size: 16 * Math.ceil(pass.uniforms.length / 4) },
      ...[...pass.reads, ...pass.writes].map(resource),
    ]
    return this.#device.createBindGroup({ layout: this.#layout(pass), entries: resources.map((each, binding) => ({ binding, resource: each })) })
  }

  async synchronize(): Promise<void> {
    this.#open()
    // All at once: where an engine answers every 10 ms only, one after the other takes three times as long.
    const [told] = await Promise.allSettled([this.#told(), this.#device.queue.onSubmittedWorkDone(), this.#readTimes()])
    this.#open()
    if (told.status === "rejected") throw told.reason
  }

  async #readTimes(): Promise<void> {
    const timer = this.#timer
    if (timer?.isPending !== true) return
    try {
      await timer.read.mapAsync(1)
    } catch {
      // Two callers wait at once, and one of them reads; or the device is lost, which the next call tells.
      return
    }
    const [from = 0n, to = 0n] = new BigUint64Array(timer.read.getMappedRange())
    timer.read.unmap()
    timer.isPending = false
    this.lastBusyMs = Number(to - from) / 1e6
  }

  refuseSearch(_bytes: number, literals: ReadonlyArray<Uint8Array>): string | undefined {
    return literals.length === 0 || literals.some(({ length }) => length === 0) ? "there is nothing to search for" : undefined
  }

  async search(text: Uint8Array, literals: ReadonlyArray<Uint8Array>, { signal }: { readonly signal?: AbortSignal } = {}): Promise<ReadonlyArray<Match>> {
    this.#open()
    const found: Array<Match> = []
    const grams = gramsOf(literals)
    const size = Math.min(textBytesMax, Math.floor((this.#limits.bindingBytesMax - 64) / 32) * 32, Math.ceil(text.length / 32) * 32)
    const made: Array<GPUBuffer> = []
    const source = (length: number): Source => {
      const buffer = this.#pool.take(4 * length, storage)
      made.push(buffer)
      return { buffer, length }
    }
    try {
      const sources: Readonly<Record<string, Source>> = { text: source(size / 4 + 4), grams: source(grams.bitmap.length), marks: source(size / 32) }
      const bufferOf = (name: string): GPUBuffer => (sources[name] as Source).buffer
      this.#write(bufferOf("grams"), grams.bitmap)
      for (let from = 0; from < text.length; from += size) {
        // Nobody waits for it any more.
        if (signal?.aborted === true) break
        const part = text.subarray(from, from + size + 4)
        this.#write(bufferOf("text"), part)
        const words = Math.ceil(Math.min(size, text.length - from) / 32)
        this.#submit([[marking(words, grams.size), (name) => sources[name] as Source]])
        confirm(found, new Uint32Array(await this.#read(bufferOf("marks"), 4 * words)), from, text, literals, grams)
      }
      return found
    } finally {
      for (const buffer of made) this.#pool.give(buffer)
    }
  }

  memory(): MemoryInfo {
    return { bytesUsed: this.#pool.bytesUsed, bytesPooled: this.#pool.bytesPooled, bytesMax: this.#bytesMax, arrays: this.#arrays.size }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#device.removeEventListener("uncapturederror", this.#uncaptured)
    for (const array of this.#arrays) array.free()
    this.#pool.clear()
    this.#uniforms.destroy()
    this.#timer?.set.destroy()
    this.#timer?.resolved.destroy()
    this.#timer?.read.destroy()
    if (this.#isOwned) this.#device.destroy()
  }
}

export type { WebGpuDevice }

/** A device of the accelerator over a device of WebGPU. */
export const openWebGpu = (device: GPUDevice, options: WebGpuOptions = {}): WebGpuDevice => new WebGpuDevice(device, options)
