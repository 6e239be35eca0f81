/**
 * What a run takes: launch + bytes up / bandwidth + work / rate + bytes down / bandwidth. All constants are measured on the device; real runs correct the
 * third term by operation and by power of two of work. Pure but for `calibrate`, which measures.
 */
import type { Device, DeviceArray } from "./device.ts"
import { operationOf, operations, type Rate, sampleOf, shapeOf, workOf } from "./operation.ts"

/** In milliseconds and per millisecond. */
export interface Calibration {
  /** Of the device that was measured. */
  readonly fingerprint: string
  readonly measuredAt: string
  /** Measurements that this is the best of. */
  readonly rounds: number
  readonly tookMs: number
  /** From a dispatch to the knowledge that it ran. */
  readonly launchMs: number
  /** Until the first byte is read back. */
  readonly readMs: number
  readonly upBytesPerMs: number
  readonly downBytesPerMs: number
  /** Work of each kind, as `workOf` counts it; 0 of what the device does not do. */
  readonly rates: Readonly<Record<Rate, number>>
  /** Bytes of text searched. 0 where the device searches none. */
  readonly searchBytesPerMs: number
}

export interface Task {
  readonly operation: string
  readonly work: number
  readonly rate: Rate | "search"
}

export interface Prediction {
  readonly totalMs: number
  readonly launchMs: number
  readonly upMs: number
  readonly runMs: number
  readonly downMs: number
}

/** How real runs went, as a factor on what calibration alone says. */
export interface Correction {
  readonly factor: number
  readonly runs: number
}

/** Runs after which a correction is believed. */
const runsBelieved = 5
/** The part of a correction that the last run decides. */
const weight = 0.25
/** A run that was disturbed says no more than this. */
const factorMost = 64

/** Sizes that are corrected together: powers of two of work. */
const bucketOf = ({ operation, work }: Task): string => `${operation}/${Math.ceil(Math.log2(Math.max(1, work)))}`

/** What real runs on one device have taught; serializable as its entries. */
export class History {
  readonly #corrections: Map<string, Correction>

  constructor(corrections: Iterable<readonly [string, Correction]> = []) {
    this.#corrections = new Map(corrections)
  }

  entries(): ReadonlyArray<readonly [string, Correction]> {
    return [...this.#corrections]
  }

  /** The same runs, as factors on another calibration. */
  rescaled(before: Calibration, now: Calibration): History {
    return new History(
      this.entries().map(([bucket, { factor, runs }]) => {
        const name = bucket.slice(0, bucket.lastIndexOf("/"))
        const task: Task = { operation: name, work: 1, rate: operations.get(name)?.rate ?? "search" }
        return [bucket, { factor: (factor * workMs(before, task)) / workMs(now, task), runs }]
      }),
    )
  }

  of(task: Task): Correction {
    return this.#corrections.get(bucketOf(task)) ?? { factor: 1, runs: 0 }
  }

  /** `ratio`: what the work took, as a part of what calibration alone says. */
  learn(task: Task, ratio: number): void {
    const bounded = Math.min(factorMost, Math.max(1 / factorMost, ratio))
    const { factor, runs } = this.of(task)
    // The first run replaces what was guessed; later ones move it.
    this.#corrections.set(bucketOf(task), { factor: runs === 0 ? bounded : factor + weight * (bounded - factor), runs: runs + 1 })
  }
}

/** Measurements after which a machine has been seen doing nothing else, as well as it will be. */
const roundsEnough = 3
const freshMs = 86_400_000

/** Whether to measure again: a busy machine is slower than it is, and a machine changes. `nowMs`: of the world's clock. */
export const isStale = ({ measuredAt, rounds }: Calibration, nowMs: number): boolean =>
  rounds < roundsEnough || !(Math.abs(nowMs - Date.parse(measuredAt)) <= freshMs)

/** The best of each figure: whatever else a machine does only slows what is measured. */
export function bestOf(before: Calibration, now: Calibration): Calibration {
  const rateOf = (rate: Rate): number => Math.max(before.rates[rate], now.rates[rate])
  return {
    ...now,
    rounds: before.rounds + 1,
    launchMs: Math.min(before.launchMs, now.launchMs),
    readMs: Math.min(before.readMs, now.readMs),
    upBytesPerMs: Math.max(before.upBytesPerMs, now.upBytesPerMs),
    downBytesPerMs: Math.max(before.downBytesPerMs, now.downBytesPerMs),
    rates: { arithmetic: rateOf("arithmetic"), memory: rateOf("memory"), function: rateOf("function"), reduction: rateOf("reduction") },
    searchBytesPerMs: Math.max(before.searchBytesPerMs, now.searchBytesPerMs),
  }
}

/** From 0.5, calibration alone, to 0.9, real runs of all its tasks. */
export const confidenceOf = (history: History, tasks: ReadonlyArray<Task>): number =>
  tasks.length > 0 && tasks.every((task) => history.of(task).runs >= runsBelieved) ? 0.9 : 0.5

/** What calibration alone says of the work itself. */
export const workMs = ({ rates, searchBytesPerMs }: Calibration, { rate, work }: Task): number => work / (rate === "search" ? searchBytesPerMs : rates[rate])

/** Tasks in one submission; a launch for it and, where something is read, the wait for that. */
export function predict(
  calibration: Calibration,
  history: History,
  tasks: ReadonlyArray<Task>,
  { bytesDown, bytesUp }: { readonly bytesUp: number; readonly bytesDown: number },
): Prediction {
  const upMs = bytesUp / calibration.upBytesPerMs
  const runMs = tasks.reduce((all, task) => all + workMs(calibration, task) * history.of(task).factor, 0)
  const downMs = bytesDown === 0 ? 0 : calibration.readMs + bytesDown / calibration.downBytesPerMs
  return { totalMs: calibration.launchMs + upMs + runMs + downMs, launchMs: calibration.launchMs, upMs, runMs, downMs }
}

/** The least size from which on `isBetter`, between `least` and `most`, or undefined; it is asked at powers of two, then between them. */
export function cutOver(
  isBetter: (size: number) => boolean,
  { least = 1, most = 16_384 }: { readonly least?: number; readonly most?: number } = {},
): number | undefined {
  let size = least
  while (size < most && !isBetter(size)) size *= 2
  if (size >= most && !isBetter(most)) return undefined
  let [worse, better] = [Math.floor(size / 2), Math.min(size, most)]
  while (better - worse > 1) {
    const middle = Math.floor((worse + better) / 2)
    if (middle >= least && isBetter(middle)) better = middle
    else worse = middle
  }
  return better
}

const median = (times: ReadonlyArray<number>): number => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] as number
/** Bytes per millisecond of a device to which nothing is copied. */
const unmeasured = Number.MAX_SAFE_INTEGER
/** What took less than a clock shows still took something. */
const leastMs = 1e-6

/** Measures a device within about `budgetMs` (default 50), what it compiles apart. Rejects as the device does. */
export async function calibrate(
  device: Device,
  { budgetMs = 50, now = () => performance.now() }: { readonly budgetMs?: number; readonly now?: () => number } = {},
): Promise<Calibration> {
  const timed = async (run: () => Promise<unknown>): Promise<number> => {
    const startMs = now()
    await run()
    return Math.max(leastMs, now() - startMs)
  }
  /** The median of at least three, and of as many more as fit in this part of the budget. */
  const sampled = async (part: number, run: () => Promise<unknown>): Promise<number> => {
    const times: Array<number> = []
    const endMs = now() + part * budgetMs
    while (times.length < 3 || (now() < endMs && times.length < 1_000)) times.push(await timed(run))
    return median(times)
  }

  const arrays: Array<DeviceArray> = []
  const take = (length: number, type: "f32" | "i32" = "f32"): DeviceArray => {
    const made = device.allocate(type, length)
    arrays.push(made)
    return made
  }
  const freeAll = (): void => arrays.splice(0).forEach((array) => array.free())
  /** Runs an operation of a size, with fixed numbers; what it does once is done when this resolves. */
  const prepare = async (name: string, size: number): Promise<{ readonly work: number; readonly run: () => Promise<void> }> => {
    const operation = operationOf(name)
    const shape = shapeOf(operation, operation.scaled(size))
    const inputs: Record<string, DeviceArray> = {}
    for (const operand of operation.inputs(shape).filter(({ isOptional }) => isOptional !== true)) {
      const array = (inputs[operand.name] = take(operand.length, operand.type))
      device.copyToDevice(array, sampleOf(operand))
    }
    const outputs = Object.fromEntries(operation.outputs(shape).map(({ length, name: output, type }) => [output, take(length, type)]))
    const run = async (): Promise<void> => {
      device.dispatch([{ operation, shape, inputs, outputs }])
      await device.synchronize()
    }
    await run()
    return { work: workOf(operation, shape), run }
  }

  const copies = async (launchMs: number): Promise<Pick<Calibration, "readMs" | "upBytesPerMs" | "downBytesPerMs">> => {
    const cell = take(1)
    const readMs = await sampled(0.05, () => device.copyFromDevice(cell))
    const page = new Float32Array(1 << 16)
    const large = take(page.length)
    const upMs = await sampled(0.05, async () => {
      device.copyToDevice(large, page)
      await device.synchronize()
    })
    const downMs = await sampled(0.05, () => device.copyFromDevice(large))
    freeAll()
    // What a copy takes beside the wait for anything at all; half of it where the two cannot be told apart.
    const rate = (ms: number, waitMs: number): number => page.byteLength / Math.max(leastMs, ms - Math.min(waitMs, 0.5 * ms))
    return { readMs, upBytesPerMs: rate(upMs, launchMs), downBytesPerMs: rate(downMs, readMs) }
  }

  try {
    const can = (name: string): boolean => device.refuse(operationOf(name), shapeOf(operationOf(name), operationOf(name).scaled(64))) === undefined
    // What only searches is launched by searching nothing.
    const least = can("add") ? (await prepare("add", 64)).run : async () => device.search?.(new Uint8Array(1), [new Uint8Array(1)])
    const startMs = now()
    const launchMs = await sampled(0.05, least)
    const copied = can("add") ? await copies(launchMs) : { readMs: 0, upBytesPerMs: unmeasured, downBytesPerMs: unmeasured }

    /** Sizes grow until the work is seen beside the launch. */
    const rateOf = async (name: string, first: number): Promise<number> => {
      if (!can(name)) return 0
      const endMs = now() + budgetMs * 0.14
      // Engines compile what runs often once more, and better.
      const warm = await prepare(name, first)
      for (const warmMs = now() + budgetMs * 0.05; now() < warmMs;) await warm.run()
      freeAll()
      for (let size = first; ; size *= 2) {
        const { run, work } = await prepare(name, size)
        const ms = Math.min(await timed(run), await timed(run))
        freeAll()
        // A small one says little; the time that growing it took says when to stop.
        if (ms > 8 * launchMs + 0.2 || now() >= endMs) return work / Math.max(leastMs, ms - Math.min(launchMs, 0.5 * ms))
      }
    }
    const rates = {
      arithmetic: await rateOf("matmul", 64),
      memory: await rateOf("add", 4_096),
      function: await rateOf("gelu", 2_048),
      reduction: await rateOf("sum", 8_192),
    }
    return {
      fingerprint: device.fingerprint,
      measuredAt: new Date().toISOString(),
      rounds: 1,
      launchMs,
      ...copied,
      rates,
      searchBytesPerMs: await searchRate(device, timed),
      tookMs: now() - startMs,
    }
  } finally {
    freeAll()
  }
}

/** Bytes per millisecond of a text in which nothing is found, as most are. */
async function searchRate(device: Device, timed: (run: () => Promise<unknown>) => Promise<number>): Promise<number> {
  if (device.search === undefined) return 0
  const literals = ["needle", "haystack", "wanted", "sought"].map((literal) => new TextEncoder().encode(literal))
  for (let size = 1 << 12; ; size *= 4) {
    const text = new Uint8Array(size).map((_, i) => 97 + ((i * 7) % 23))
    const search = async (): Promise<unknown> => device.search?.(text, literals)
    const ms = Math.min(await timed(search), await timed(search))
    if (ms > 0.5 || size >= 1 << 20) return size / ms
  }
}
