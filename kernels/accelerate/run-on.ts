/** Runs on one device: inputs are brought there, outputs stay there, and whoever waits waits no longer than was said. */
import { AccelerateError } from "../../schemas/error/accelerate.ts"
import { KernelError } from "../../schemas/error/kernel.ts"
import type { ComputeBuffer, ComputeBuffers, Step } from "./buffer.ts"
import type { Device, DeviceArray } from "./device.ts"
import { type Operand, type Operation, sampleOf, type Shape, type Values } from "./operation.ts"

/** Runs on a device that may be lost before their result is copied to the program, so that little has to be computed again. */
const depthMax = 64

/** How long a run may take, and who may end it. */
const timerMsMax = 2 ** 31 - 1

export class Patience {
  readonly #operation: string
  readonly #now: () => number
  readonly #endMs: number
  readonly #deadlineMs: number
  readonly #signal: AbortSignal | undefined

  constructor(operation: string, now: () => number, deadlineMs = Number.POSITIVE_INFINITY, signal?: AbortSignal) {
    this.#operation = operation
    this.#now = now
    this.#deadlineMs = deadlineMs
    this.#endMs = now() + deadlineMs
    this.#signal = signal
  }

  /** @throws AccelerateError `Aborted`, `Deadline` */
  check(device?: Device): void {
    if (this.#signal?.aborted === true || this.#now() >= this.#endMs) this.#end(device)
  }

  #end(device: Device | undefined): never {
    const operation = this.#operation
    if (this.#signal?.aborted === true) throw new AccelerateError("Aborted", { operation }, { cause: this.#signal.reason })
    throw new AccelerateError("Deadline", { operation, device: device?.name ?? "any device", deadlineMs: this.#deadlineMs })
  }

  /** Waits for a device; what it has begun goes on where the wait ends first. @throws (rejects) AccelerateError `Aborted`, `Deadline`, and as the work does */
  async wait(device: Device, work: Promise<unknown>): Promise<void> {
    const signal = this.#signal
    if (this.#endMs === Number.POSITIVE_INFINITY && signal === undefined) {
      await work
      return
    }
    let stop = (): void => undefined
    const stopped = new Promise<"stopped">((done) => {
      stop = () => done("stopped")
    })
    const leftMs = this.#endMs - this.#now()
    // Beyond that timers end at once; nobody waits for a month.
    const timer = leftMs > timerMsMax ? undefined : setTimeout(stop, Math.max(0, leftMs))
    signal?.addEventListener("abort", stop, { once: true })
    try {
      // A timer may be early by less than a clock shows: that it ended is what counts.
      if ((await Promise.race([work, stopped])) === "stopped") this.#end(device)
      this.check(device)
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener("abort", stop)
      // What fails after the wait has ended is nobody's any more.
      work.catch(() => undefined)
    }
  }
}

/** Brings inputs to a device, runs, and leaves the outputs there. */
export async function runOn(device: Device, steps: ReadonlyArray<Step>, given: ReadonlySet<ComputeBuffer>, patience: Patience): Promise<void> {
  const isShared = device.view !== undefined
  const made: Array<ComputeBuffer> = []
  const place = (buffer: ComputeBuffer): DeviceArray => {
    const array = device.allocate(buffer.type, buffer.length)
    buffer.places.set(device, array)
    made.push(buffer)
    return array
  }
  try {
    // While one is fetched another may be freed, or taken off the device by a run that failed: from the last look until all is dispatched nothing waits.
    const fetched = new Map<ComputeBuffer, Values>()
    const isLacking = (buffer: ComputeBuffer): boolean => !buffer.places.has(device) && !fetched.has(buffer)
    for (let next = [...given].find(isLacking); next !== undefined; next = [...given].find(isLacking)) {
      const values = await next.valuesNow()
      if (values.length !== next.length)
        throw new KernelError("Length", {
          kernel: "run",
          operand: "a buffer, whose array was detached or changed its length,",
          expected: next.length,
          found: values.length,
        })
      fetched.set(next, values)
      // What is computed from it may have to be computed again.
      if (!isShared && next.made === undefined) next.keep(values)
    }
    for (const [buffer, values] of fetched) if (!buffer.places.has(device)) device.copyToDevice(place(buffer), values)
    const inputsOf = (buffers: ComputeBuffers): Record<string, DeviceArray> =>
      Object.fromEntries(Object.entries(buffers).map(([operand, buffer]) => [operand, buffer.places.get(device) as DeviceArray]))
    const outputsOf = (buffers: ComputeBuffers): Record<string, DeviceArray> =>
      Object.fromEntries(Object.entries(buffers).map(([operand, buffer]) => [operand, buffer.places.get(device) ?? place(buffer)]))
    const list = steps.map(({ inputs, operation, outputs, shape }) => {
      const from = inputsOf(inputs)
      return { operation, shape, inputs: from, outputs: outputsOf(outputs) }
    })
    // A device that computes at once is asked one by one, so that a deadline is seen between them.
    for (const part of isShared ? list.map((dispatch) => [dispatch]) : [list]) {
      patience.check(device)
      device.dispatch(part)
    }
    await patience.wait(device, device.synchronize())
    if (isShared) return
    for (const step of steps) {
      const depth = 1 + Math.max(0, ...Object.values(step.inputs).map((buffer) => buffer.depth))
      for (const output of Object.values(step.outputs)) {
        output.made = { ...step, mode: device.mode }
        output.depth = depth
        const array = output.places.get(device)
        if (depth >= depthMax && array !== undefined) output.keep(await device.copyFromDevice(array))
      }
    }
  } catch (error) {
    for (const buffer of made) buffer.evict(device)
    throw error
  } finally {
    // Whoever frees an input during the run does so once. An output that was freed may be what another is computed from again.
    for (const buffer of given) if (buffer.isFreed && buffer.hasOther(device)) buffer.evict(device)
  }
}

/** Times of one operation on a device, copies apart, for about `budgetMs`; the first run is not counted. */
export async function timesOf(device: Device, operation: Operation, shape: Shape, budgetMs: number, now: () => number): Promise<ReadonlyArray<number>> {
  const arrays: Array<DeviceArray> = []
  const take = ({ length, type = "f32" }: Operand): DeviceArray => {
    const made = device.allocate(type, length)
    arrays.push(made)
    return made
  }
  try {
    const required = operation.inputs(shape).filter(({ isOptional }) => isOptional !== true)
    const inputs = Object.fromEntries(required.map((operand) => [operand.name, take(operand)]))
    for (const operand of required) device.copyToDevice(inputs[operand.name] as DeviceArray, sampleOf(operand))
    const outputs = Object.fromEntries(operation.outputs(shape).map((operand) => [operand.name, take(operand)]))
    const times: Array<number> = []
    for (const endMs = now() + budgetMs; times.length < 4 || (now() < endMs && times.length < 1_000);) {
      const startMs = now()
      device.dispatch([{ operation, shape, inputs, outputs }])
      await device.synchronize()
      times.push(now() - startMs)
      if (times.length === 1 && (times[0] as number) > budgetMs) return times
    }
    return times.slice(1)
  } finally {
    for (const array of arrays) array.free()
  }
}
