/**
 * Runs operations on the device that is predicted to be fastest, says why, and goes on elsewhere when one fails: [ADR 0055](../../docs/adr/0055-accelerator.md).
 *
 * ```ts
 * const accelerator = await openAccelerator()
 * using a = accelerator.buffer(new Float32Array(512 * 512).fill(1))
 * const { outputs, receipt } = await accelerator.run("matmul", { m: 512, k: 512, n: 512 }, { a, b: a })
 * receipt.device // "simd"
 * await outputs.out.read()
 * ```
 */
import { AccelerateError } from "../../schemas/error/accelerate.ts"
import { KernelError } from "../../schemas/error/kernel.ts"
import type { Mode } from "../kernels.ts"
import type { Match } from "../search/literals.ts"
import { type BufferOwner, ComputeBuffer, type ComputeBuffers, type Step } from "./buffer.ts"
import { type AcceleratorOptions, type ChooseOptions, Core, detailOf, type Slot } from "./core.ts"
import { type Calibration, cutOver, predict, type Prediction, type Task, workMs } from "./cost.ts"
import type { Device, DeviceKind, MemoryInfo } from "./device.ts"
import {
  checkOperands,
  type ElementType,
  type Group,
  groups,
  type Operation,
  operationOf,
  operations,
  type Shape,
  shapeOf,
  trafficOf,
  type Values,
  workOf,
} from "./operation.ts"
import { acceleratorKeys, checkOptions, quotaKeys, runKeys } from "./options.ts"
import type { OutputsOf } from "./outputs.ts"
import { explainPlan, type Plan } from "./plan.ts"
import { Patience, runOn, timesOf } from "./run-on.ts"
import { selfTest } from "./self-test.ts"

/** What a caller may have and do, all of its runs together. */
export interface Quota {
  /** In buffers that were not freed. Default 1 GiB. */
  readonly bytesMax?: number
  /** Operations. Default no limit. */
  readonly dispatchesMax?: number
  /** Milliseconds that devices worked. Default no limit. */
  readonly busyMsMax?: number
}

export interface RunOptions extends ChooseOptions {
  readonly signal?: AbortSignal
  /** Default: none. */
  readonly deadlineMs?: number
  /** Whether outputs are meant to be read, which is a part of what a run costs; default true. */
  readonly isRead?: boolean
}

/** How a run went. */
export interface Receipt {
  readonly device: string
  readonly mode: Mode
  readonly predictedMs: number
  /** From the first copy to the end of the last operation. */
  readonly tookMs: number
  /** Devices that were tried before, and how each failed. */
  readonly failed: ReadonlyArray<{ readonly device: string; readonly code: string; readonly detail: string }>
}

export interface Run<Name extends string = string> {
  readonly outputs: OutputsOf<Name>
  readonly receipt: Receipt
}

export interface DeviceStatus {
  readonly name: string
  readonly kind: DeviceKind
  /** `resting`: after failures, until it is opened again. */
  readonly state: "ready" | "resting" | "absent" | "unavailable" | "closed"
  readonly description?: string
  readonly mode?: Mode
  /** Why it is not ready, or used by name only. */
  readonly reason?: string
  readonly calibration?: Calibration
  readonly memory?: MemoryInfo
  /** Groups of which it does some operation (`Operation.group`), and `PatternMatching` where it searches texts. */
  readonly capabilities?: ReadonlyArray<Group>
  /** By operation: `passed`, or where its self-test differed. */
  readonly tested?: Readonly<Record<string, string>>
}

/** A measured run of an operation of one size. */
export interface Measurement {
  readonly operation: string
  readonly device: string
  readonly size: number
  readonly shape: Shape
  readonly medianMs: number
  readonly samples: number
  readonly gigaflops: number
  /** Of all operands, read and written once. */
  readonly gigabytes: number
}

const isOfDevice = (error: unknown): boolean =>
  !(error instanceof KernelError) && !(error instanceof AccelerateError && !["Lost", "Failed", "OutOfMemory"].includes(error.reason._tag))

const taskOf = ({ operation, shape }: { readonly operation: Operation; readonly shape: Shape }): Task => ({
  operation: operation.name,
  work: workOf(operation, shape),
  rate: operation.rate,
})

/** What one caller has used of what he may, and those who go through him. */
class Account {
  readonly #parent: Account | undefined
  readonly used: Record<keyof Quota, number> = { bytesMax: 0, dispatchesMax: 0, busyMsMax: 0 }
  readonly #name: string
  readonly #quota: Required<Quota>

  constructor(name: string, { busyMsMax = Number.POSITIVE_INFINITY, bytesMax = 1 << 30, dispatchesMax = Number.POSITIVE_INFINITY }: Quota, parent?: Account) {
    this.#parent = parent
    this.#name = name
    this.#quota = { busyMsMax, bytesMax, dispatchesMax }
  }

  /** @throws AccelerateError `Quota`, his own or that of one he goes through */
  allow(quota: keyof Quota, asked: number): void {
    const [used, limit] = [this.used[quota], this.#quota[quota]]
    if (used + asked > limit) throw new AccelerateError("Quota", { caller: this.#name, quota, asked, used, limit })
    this.#parent?.allow(quota, asked)
  }

  add(quota: keyof Quota, amount: number): void {
    this.used[quota] += amount
    this.#parent?.add(quota, amount)
  }
}

/** Asked with a small shape of each operation. */
const capabilitiesOf = (device: Device): ReadonlyArray<Group> =>
  groups.filter((group) =>
    group === "PatternMatching"
      ? device.search !== undefined
      : [...operations.values()].some(
          (operation) => operation.group === group && device.refuse(operation, shapeOf(operation, operation.tests[0] ?? {})) === undefined,
        ),
  )

export class Accelerator {
  readonly #core: Core
  readonly #account: Account
  /** Whether it is the embedder's, who is bounded by nobody and closes the devices. */
  readonly #isWhole: boolean
  readonly #owner: BufferOwner = {
    recompute: async (step) => {
      // What was exact is exact again.
      await this.#runSteps([step], step.mode === undefined ? {} : { mode: step.mode })
    },
    released: (bytes) => this.#account.add("bytesMax", -bytes),
  }

  /** @internal */
  constructor(core: Core, account: Account, isWhole = false) {
    this.#core = core
    this.#account = account
    this.#isWhole = isWhole
  }

  /** The same devices for somebody whose buffers and runs are counted apart, and whose own callers' are counted as his too. `name` is told in errors. */
  caller(name: string, quota: Quota = {}): Accelerator {
    checkOptions(quota, quotaKeys, quotaKeys)
    return new Accelerator(this.#core, new Account(name, quota, this.#isWhole ? undefined : this.#account))
  }

  /** Bytes in buffers, operations that were begun, and milliseconds that devices worked. */
  get used(): { readonly bytes: number; readonly dispatches: number; readonly busyMs: number } {
    const { bytesMax, busyMsMax, dispatchesMax } = this.#account.used
    return { bytes: bytesMax, dispatches: dispatchesMax, busyMs: busyMsMax }
  }

  #made(type: ElementType, length: number, host?: Values): ComputeBuffer {
    this.#account.allow("bytesMax", 4 * length)
    const made = new ComputeBuffer(this.#owner, type, length, host)
    this.#account.add("bytesMax", made.bytes)
    this.#core.dropped.register(made, made.places)
    return made
  }

  /** Numbers for runs. They are not copied: what is written to `values` later may or may not be seen. @throws AccelerateError `Quota` */
  buffer(values: Values | ReadonlyArray<number>): ComputeBuffer {
    const host = values instanceof Float32Array || values instanceof Int32Array ? values : Float32Array.from(values)
    return this.#made(host instanceof Int32Array ? "i32" : "f32", host.length, host)
  }

  /** Devices that are there, opened if they were not. */
  async detect(): Promise<ReadonlyArray<DeviceStatus>> {
    await this.#core.open()
    await this.#core.probe()
    return this.status()
  }

  /** Every device, ready or not, in the order of capability. */
  status(): ReadonlyArray<DeviceStatus> {
    return this.#core.slots.map(({ absent, calibration, device, reason, source, tested }): DeviceStatus => {
      const base = { name: source.name, kind: source.kind }
      if (device === undefined)
        return absent === undefined ? { ...base, state: "resting", ...(reason === undefined ? {} : { reason }) } : { ...base, ...absent }
      return {
        ...{ ...base, state: "ready", description: device.description, mode: device.mode, memory: device.memory() },
        ...(device.onlyByName === undefined ? {} : { reason: device.onlyByName }),
        ...(calibration === undefined ? {} : { calibration }),
        capabilities: capabilitiesOf(device),
        tested: Object.fromEntries([...tested].map(([name, { difference }]) => [name, difference ?? "passed"])),
      }
    })
  }

  #refusal(steps: ReadonlyArray<Pick<Step, "operation" | "shape">>): (device: Device, slot: Slot) => string | undefined {
    return (device, slot) => {
      for (const { operation, shape } of steps) {
        const of = steps.length === 1 ? "" : `${operation.name}: `
        const difference = slot.tested.get(operation.name)?.difference
        if (difference !== undefined) return `${of}its self-test failed: ${difference}`
        const refused = device.refuse(operation, shape)
        if (refused !== undefined) return `${of}${refused}`
      }
      return undefined
    }
  }

  /** What a run from and to the program would be done by. @throws KernelError `Unknown`, `Shape` */
  plan(name: string, values: Readonly<Record<string, number>>, options: ChooseOptions = {}): Plan {
    const operation = operationOf(name)
    const shape = shapeOf(operation, values)
    const bytes = (operands: ReturnType<Operation["inputs"]>): number =>
      operands.reduce((all, { isOptional, length }) => all + (isOptional === true ? 0 : 4 * length), 0)
    const traffic = (device: Device) =>
      device.view === undefined
        ? { bytesUp: bytes(operation.inputs(shape)), bytesDown: bytes(operation.outputs(shape)) }
        : { bytesUp: bytes(operation.inputs(shape)), bytesDown: 0 }
    return this.#core.choose(
      { operation: name, shape, tasks: [taskOf({ operation, shape })] },
      options,
      this.#refusal([{ operation, shape }]),
      undefined,
      traffic,
    ).plan
  }

  /** A plan for people: the choice, and why each other device was not chosen. @throws KernelError `Unknown`, `Shape` */
  explain(name: string, values: Readonly<Record<string, number>>, options: ChooseOptions = {}): string {
    return explainPlan(this.plan(name, values, { ...options, isTrial: true }))
  }

  /**
   * Runs one operation; resolves when it has run. Its outputs are new buffers, to be freed by whoever asked.
   * @throws KernelError `Unknown`, `Shape`, `Length`, `Type`; (rejects) AccelerateError, see its reasons
   */
  async run<const Name extends string>(
    name: Name,
    values: Readonly<Record<string, number>>,
    inputs: ComputeBuffers,
    options: RunOptions = {},
  ): Promise<Run<Name>> {
    const list = this.batch()
    const outputs = list.add(name, values, inputs)
    try {
      return { outputs, receipt: await list.run(options) }
    } catch (error) {
      for (const output of Object.values<ComputeBuffer>(outputs)) output.free()
      throw error
    }
  }

  /** Operations that are planned as one and submitted at once; nothing between them is read back. */
  batch(): Batch {
    return new Batch(
      (operation, shape) => {
        const outputs = operation.outputs(shape)
        this.#account.allow(
          "bytesMax",
          outputs.reduce((all, { length }) => all + 4 * length, 0),
        )
        return Object.fromEntries(outputs.map(({ length, name, type = "f32" }) => [name, this.#made(type, length)]))
      },
      (steps, options) => this.#runSteps(steps, options),
    )
  }

  async #runSteps(steps: ReadonlyArray<Step>, options: RunOptions): Promise<Receipt> {
    const name = [...new Set(steps.map(({ operation }) => operation.name))].join(" + ")
    const computed = new Set(steps.flatMap(({ outputs }) => Object.values(outputs)))
    const given = new Set(steps.flatMap(({ inputs }) => Object.values(inputs)).filter((buffer) => !computed.has(buffer)))
    const last = steps.at(-1)
    const bytesOf = (buffers: Iterable<ComputeBuffer>): number => [...buffers].reduce((all, { bytes }) => all + bytes, 0)
    const tasks = steps.map(taskOf)
    return this.#served(name, steps.length, options, {
      choose: (tried) =>
        this.#core.choose({ operation: name, shape: last?.shape ?? {}, tasks }, options, this.#refusal(steps), tried, (device) => ({
          bytesUp: bytesOf([...given].filter((buffer) => !buffer.places.has(device))),
          bytesDown: options.isRead !== false && device.view === undefined && last !== undefined ? bytesOf(Object.values(last.outputs)) : 0,
        })),
      prepare: (slot, device) => this.#isTested(slot, device, steps),
      attempt: async (slot, device, plan, patience) => {
        const startMs = this.#core.now()
        await runOn(device, steps, given, patience)
        this.#learn(slot, tasks, this.#core.now() - startMs, plan)
      },
    }).then(({ receipt }) => receipt)
  }

  /** Tries devices in the order of their plans until one has served. */
  async #served<A>(
    operation: string,
    dispatches: number,
    options: RunOptions,
    how: {
      readonly choose: (tried: ReadonlyMap<Slot, string>) => { readonly plan: Plan; readonly slot: Slot | undefined }
      /** False where the device turned out not to fit, which the next choice knows. */
      readonly prepare?: (slot: Slot, device: Device) => Promise<boolean>
      readonly attempt: (slot: Slot, device: Device, plan: Plan, patience: Patience) => Promise<A>
    },
  ): Promise<{ readonly result: A; readonly receipt: Receipt }> {
    checkOptions(options, runKeys, ["deadlineMs"])
    const { deadlineMs, device: named, signal } = options
    const core = this.#core
    if (core.isClosed) throw new AccelerateError("Closed", { what: "the accelerator" })
    this.#account.allow("dispatchesMax", dispatches)
    this.#account.allow("busyMsMax", 0)
    // Counted now, so that runs at the same time do not each find room, and whatever comes of them.
    this.#account.add("dispatchesMax", dispatches)
    const patience = new Patience(operation, core.now, deadlineMs, signal)
    const tried = new Map<Slot, string>()
    const failed: Array<Receipt["failed"][number]> = []
    let cause: unknown
    for (;;) {
      patience.check()
      await core.wake(named)
      const { plan, slot } = how.choose(tried)
      const device = slot?.device
      if (slot === undefined || device === undefined) {
        // Of a device that was named, the others have nothing to say.
        const asked = named === undefined ? plan.candidates : plan.candidates.filter(({ device: of }) => of === named)
        const reasons = asked.map(({ device: of, refused }) => `${of}: ${refused}`)
        throw new AccelerateError("NoDevice", { operation, mode: plan.mode, reasons }, cause === undefined ? {} : { cause })
      }
      try {
        if ((await how.prepare?.(slot, device)) === false) continue
        const startMs = core.now()
        let tookMs = 0
        const result = await how.attempt(slot, device, plan, patience).finally(() => {
          tookMs = core.now() - startMs
          this.#account.add("busyMsMax", tookMs)
        })
        slot.failures = 0
        return { result, receipt: { device: slot.source.name, mode: plan.mode, predictedMs: plan.predictedMs as number, tookMs, failed } }
      } catch (error) {
        if (!isOfDevice(error)) throw error
        cause = error
        const detail = detailOf(error)
        failed.push({ device: slot.source.name, code: error instanceof AccelerateError ? error.code : "STELE-ACC-0003", detail })
        tried.set(slot, `it failed: ${detail}`)
        // A device that is full is well.
        if (!(error instanceof AccelerateError && error.reason._tag === "OutOfMemory")) core.failed(slot, device, error)
      }
    }
  }

  /** What of a run was work is what neither launch nor copies took; a list's is shared out as it was predicted. */
  #learn(slot: Slot, tasks: ReadonlyArray<Task>, tookMs: number, plan: Plan): void {
    const { calibration, history } = slot
    const predicted = plan.candidates.find(({ device }) => device === slot.source.name)?.predicted
    if (calibration === undefined || predicted === undefined) return
    const measuredMs = tookMs - predicted.launchMs - predicted.upMs
    const aloneMs = tasks.reduce((all, task) => all + workMs(calibration, task), 0)
    // Where copies and launch are all there is, nothing is known of the work.
    if (measuredMs <= 0.1 * tookMs || aloneMs === 0) return
    for (const task of tasks) history.learn(task, measuredMs / aloneMs)
  }

  /** Tests what was not tested on a device; false where something differs, which the next plan knows. */
  async #isTested(slot: Slot, device: Device, steps: ReadonlyArray<Step>): Promise<boolean> {
    for (const { operation } of steps) if (!slot.tested.has(operation.name)) slot.tested.set(operation.name, { difference: await selfTest(device, operation) })
    return steps.every(({ operation }) => slot.tested.get(operation.name)?.difference === undefined)
  }

  /** What a search in so many bytes would be done by. */
  planSearch(bytes: number, literals: ReadonlyArray<Uint8Array>, options: ChooseOptions = {}): Plan {
    return this.#chooseSearch(bytes, literals, options).plan
  }

  #chooseSearch(bytes: number, literals: ReadonlyArray<Uint8Array>, options: ChooseOptions, tried?: ReadonlyMap<Slot, string>) {
    const tasks: ReadonlyArray<Task> = [{ operation: "search", work: bytes, rate: "search" }]
    const refuses = (device: Device): string | undefined => (device.search === undefined ? "it does not search text" : device.refuseSearch?.(bytes, literals))
    return this.#core.choose({ operation: "search", shape: { bytes, literals: literals.length }, tasks }, options, refuses, tried)
  }

  /**
   * Every place of each literal in a text, by place and then by literal; the same on every device.
   * @throws (rejects) AccelerateError, KernelError `Shape` for literals that are none
   */
  async search(
    text: Uint8Array,
    literals: ReadonlyArray<Uint8Array>,
    options: RunOptions = {},
  ): Promise<{ readonly matches: ReadonlyArray<Match>; readonly receipt: Receipt }> {
    const { receipt, result } = await this.#served("search", 1, options, {
      choose: (tried) => this.#chooseSearch(text.length, literals, options, tried),
      attempt: async (_slot, device, _plan, patience) => {
        const work = (device.search as NonNullable<Device["search"]>)(text, literals, options)
        await patience.wait(device, work)
        return work
      },
    })
    return { matches: result, receipt }
  }

  /** Measures devices anew, all or one. What real runs taught of them is forgotten. @throws KernelError `Unknown` */
  async calibrate(device?: string): Promise<ReadonlyArray<DeviceStatus>> {
    await this.#core.recalibrate(device)
    return this.status()
  }

  /**
   * Measured runs of an operation by size (`Operation.scaled`), on every device that can; a device that took more than `budgetMs` for a size is spared larger
   * ones, and those of which one run is predicted to take more than `runMsMax` (default 10 s). Other work of this thread has its turn between sizes.
   * @throws (rejects) KernelError `Unknown`
   */
  async benchmark(
    name: string,
    {
      budgetMs = 100,
      mode,
      runMsMax = 10_000,
      sizes,
    }: { readonly sizes: ReadonlyArray<number>; readonly budgetMs?: number; readonly runMsMax?: number; readonly mode?: Mode },
  ): Promise<ReadonlyArray<Measurement>> {
    const operation = operationOf(name)
    const found: Array<Measurement> = []
    for (const { calibration, device, history, source } of this.#core.slots) {
      if (device === undefined || calibration === undefined || ((mode ?? this.#core.mode) === "bitexact" && device.mode !== "bitexact")) continue
      for (const size of sizes.toSorted((a, b) => a - b)) {
        const shape = shapeOf(operation, operation.scaled(size))
        if (device.refuse(operation, shape) !== undefined) continue
        const tasks = [taskOf({ operation, shape })]
        if (predict(calibration, history, tasks, { bytesUp: 0, bytesDown: 0 }).totalMs > runMsMax) continue
        await new Promise((done) => setTimeout(done, 0))
        const times = await timesOf(device, operation, shape, budgetMs, this.#core.now)
        const medianMs = times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] as number
        found.push({
          ...{ operation: name, device: source.name, size, shape, medianMs, samples: times.length },
          gigaflops: operation.arithmetic(shape) / medianMs / 1e6,
          gigabytes: trafficOf(operation, shape) / medianMs / 1e6,
        })
        if (medianMs > budgetMs) break
      }
    }
    return found
  }

  /**
   * Sizes from which on another device is predicted to be faster, by `Operation.scaled`, from the least size on: who serves from which size.
   * @throws KernelError `Unknown`
   */
  cutOvers(name: string, { mode, most = 8_192 }: { readonly mode?: Mode; readonly most?: number } = {}): ReadonlyArray<CutOver> {
    const operation = operationOf(name)
    const fastest = (size: number): string | undefined => {
      const { candidates } = this.plan(name, operation.scaled(size), { ...(mode === undefined ? {} : { mode }), isTrial: true })
      const fit = candidates.filter(({ predicted, refused }) => predicted !== undefined && refused === undefined)
      return fit.sort((a, b) => (a.predicted as Prediction).totalMs - (b.predicted as Prediction).totalMs)[0]?.device
    }
    const found: Array<CutOver> = []
    for (let from: number | undefined = 1; from !== undefined && from <= most;) {
      const device = fastest(from)
      if (device !== undefined) found.push({ from, device })
      from = cutOver((size) => fastest(size) !== device, { least: from + 1, most })
    }
    return found
  }

  /** Frees everything on every device, for all callers; again does nothing, and neither does a caller's (`caller`). */
  async close(): Promise<void> {
    if (this.#isWhole) await this.#core.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

export interface CutOver {
  /** As `Operation.scaled` takes it. */
  readonly from: number
  readonly device: string
}

/** A list of operations, by `batch`. */
export class Batch {
  readonly #steps: Array<Step> = []
  readonly #make: (operation: Operation, shape: Shape) => ComputeBuffers
  readonly #run: (steps: ReadonlyArray<Step>, options: RunOptions) => Promise<Receipt>
  #hasRun = false

  /** @internal */
  constructor(make: (operation: Operation, shape: Shape) => ComputeBuffers, run: (steps: ReadonlyArray<Step>, options: RunOptions) => Promise<Receipt>) {
    this.#make = make
    this.#run = run
  }

  /**
   * One more operation; its outputs can be inputs of the next. They are new buffers, to be freed by whoever asked.
   * @throws KernelError `Unknown`, `Shape`, `Length`, `Type`; AccelerateError `Closed` for a buffer that was freed, `Quota`
   */
  add<const Name extends string>(name: Name, values: Readonly<Record<string, number>>, inputs: ComputeBuffers): OutputsOf<Name> {
    if (this.#hasRun) throw new AccelerateError("Closed", { what: "a batch that has run" })
    const operation = operationOf(name)
    const shape = shapeOf(operation, values)
    for (const [operand, buffer] of Object.entries(inputs)) {
      if (!(buffer instanceof ComputeBuffer))
        throw new KernelError("Type", { kernel: name, operand, expected: "a buffer of accelerator.buffer(…)", found: "something else" })
      if (buffer.isFreed) throw new AccelerateError("Closed", { what: `"${operand}" of ${name}` })
    }
    checkOperands(operation, shape, new Map(Object.entries(inputs)))
    const outputs = this.#make(operation, shape)
    this.#steps.push({ operation, shape, inputs, outputs })
    return outputs as OutputsOf<Name>
  }

  /** Runs all, in their order, on one device; once. @throws (rejects) AccelerateError */
  async run(options: RunOptions = {}): Promise<Receipt> {
    if (this.#hasRun) throw new AccelerateError("Closed", { what: "a batch that has run" })
    this.#hasRun = true
    return this.#run(this.#steps, options)
  }
}

/** Opens devices and measures them; where nothing is remembered of them, 50 ms each. @throws KernelError `Unknown` mode */
export async function openAccelerator(options: AcceleratorOptions & Quota = {}): Promise<Accelerator> {
  checkOptions(options, acceleratorKeys, quotaKeys)
  const core = new Core(options)
  await core.open()
  return new Accelerator(core, new Account("this program", options), true)
}
