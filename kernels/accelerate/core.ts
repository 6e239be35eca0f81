/** Devices and what is known of them: opened, measured, tested, resting. And the choice between them, which all callers of an accelerator share. */
import { AccelerateError } from "../../schemas/error/accelerate.ts"
import { KernelError } from "../../schemas/error/kernel.ts"
import { type Mode, modes } from "../kernels.ts"
import { bestOf, type Calibration, calibrate, confidenceOf, type Correction, History, isStale, predict, type Prediction, type Task } from "./cost.ts"
import { openCpu } from "./cpu.ts"
import { type Absent, type Device, type DeviceArray, deviceKinds, type DeviceSource } from "./device.ts"
import type { Shape } from "./operation.ts"
import type { Candidate, Plan } from "./plan.ts"
import { openSimd } from "./simd.ts"

/** What is remembered of a device from one process to the next. */
export interface Remembered {
  readonly calibration: Calibration
  readonly corrections: ReadonlyArray<readonly [string, Correction]>
}

export interface AcceleratorOptions {
  /** Devices to choose from; they are opened at once. Default SIMD in both modes, and the references. */
  readonly sources?: ReadonlyArray<DeviceSource>
  /** Default `bitexact`. */
  readonly mode?: Mode
  /** By fingerprint. Default: nothing is remembered. */
  readonly memory?: { readonly get: (fingerprint: string) => Remembered | undefined; readonly set: (fingerprint: string, remembered: Remembered) => void }
  /** Milliseconds; default `performance.now`. */
  readonly now?: () => number
}

export interface ChooseOptions {
  /** Default that of the accelerator. */
  readonly mode?: Mode
  /** Only this one. */
  readonly device?: string
  /** Asked only to know: what is chosen leaves no trace in later choices. Default false. */
  readonly isTrial?: boolean
}

/** Failures in a row after which a device rests. */
const failuresMax = 3
const restMs = 30_000
/** Another device must be predicted to take less than this part to replace the one chosen last. */
const hysteresis = 0.8
export interface Slot {
  readonly source: DeviceSource
  device: Device | undefined
  absent: Absent | undefined
  calibration: Calibration | undefined
  history: History
  failures: number
  restsUntilMs: number | undefined
  /** By operation: a difference, or that there is none. */
  readonly tested: Map<string, { readonly difference: string | undefined }>
  /** What it failed with last. */
  reason: string | undefined
}

export const detailOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** SIMD in both modes, and the references. `fingerprint` names engine and processor; `isWide` is that of `openKernels`. */
export const ownSources = (options: { readonly fingerprint?: string; readonly isWide?: boolean } = {}): ReadonlyArray<DeviceSource> => [
  { name: "simd-fast", kind: "simd", open: () => openSimd({ ...options, mode: "fast" }) },
  { name: "simd", kind: "simd", open: () => openSimd(options) },
  { name: "cpu", kind: "cpu", open: async () => openCpu() },
]

/** What all callers of one accelerator share. */
export class Core {
  readonly mode: Mode
  readonly slots: ReadonlyArray<Slot>
  readonly now: () => number
  readonly #memory: AcceleratorOptions["memory"]
  /** The device chosen last, by operation, size and mode. */
  readonly #chosen = new Map<string, string>()
  readonly dropped = new FinalizationRegistry<Map<Device, DeviceArray>>((places) => places.forEach((array) => array.free()))
  isClosed = false

  constructor({ memory, mode = "bitexact", now = () => performance.now(), sources = ownSources() }: AcceleratorOptions) {
    if (!modes.includes(mode)) throw new KernelError("Unknown", { what: "mode", name: mode, known: modes.join(", ") })
    this.mode = mode
    this.now = now
    this.#memory = memory
    this.slots = sources
      .map((source): Slot => ({
        source,
        device: undefined,
        absent: source.onlyByName === undefined ? undefined : { state: "closed", reason: `opened when it is named: ${source.onlyByName}` },
        calibration: undefined,
        history: new History(),
        failures: 0,
        restsUntilMs: undefined,
        tested: new Map(),
        reason: undefined,
      }))
      .sort((a, b) => deviceKinds.indexOf(a.source.kind) - deviceKinds.indexOf(b.source.kind))
  }

  /** Opens what is not open, and measures what nothing is remembered of. One after the other: they would disturb each other's measurement. */
  async open(): Promise<void> {
    for (const slot of this.slots)
      if (slot.device === undefined && slot.absent?.state !== "unavailable" && slot.source.onlyByName === undefined) await this.#openOne(slot)
  }

  /** Asks those that are opened by name whether they could be. */
  async probe(): Promise<void> {
    for (const slot of this.slots)
      if (slot.device === undefined && slot.source.onlyByName !== undefined) slot.absent = (await slot.source.probe?.()) ?? slot.absent
  }

  async #openOne(slot: Slot): Promise<void> {
    try {
      const opened = await slot.source.open()
      if ("state" in opened) {
        slot.absent = opened
        return
      }
      slot.absent = undefined
      slot.restsUntilMs = undefined
      const known = this.#memory?.get(opened.fingerprint)
      const isMeasured = known === undefined || isStale(known.calibration, Date.now())
      const measured = isMeasured ? await calibrate(opened, { now: this.now }) : known.calibration
      slot.calibration = isMeasured && known !== undefined ? bestOf(known.calibration, measured) : measured
      slot.history = new History(known?.corrections)
      if (isMeasured && known !== undefined) slot.history = slot.history.rescaled(known.calibration, slot.calibration)
      slot.device = opened
      void opened.lost?.then((reason) => {
        if (slot.device === opened && !this.isClosed) this.#rest(slot, reason)
      })
      if (isMeasured) this.remember(slot)
    } catch (error) {
      slot.absent = { state: "absent", reason: `it could not be opened: ${detailOf(error)}` }
    }
  }

  remember({ calibration, device, history }: Slot): void {
    if (device !== undefined && calibration !== undefined) this.#memory?.set(device.fingerprint, { calibration, corrections: history.entries() })
  }

  async recalibrate(named: string | undefined): Promise<void> {
    this.#listed(named)
    await this.wake(named)
    for (const slot of this.slots) {
      if (slot.device === undefined || (named !== undefined && slot.source.name !== named)) continue
      slot.calibration = await calibrate(slot.device, { now: this.now })
      slot.history = new History()
      this.remember(slot)
    }
  }

  async close(): Promise<void> {
    if (this.isClosed) return
    this.isClosed = true
    for (const slot of this.slots) {
      this.remember(slot)
      await slot.device?.close()
      slot.device = undefined
      slot.absent = { state: "absent", reason: "the accelerator was closed" }
    }
  }

  #rest(slot: Slot, reason: string): void {
    const { device } = slot
    slot.device = undefined
    slot.reason = reason
    slot.restsUntilMs = this.now() + restMs
    slot.failures = 0
    void device?.close().catch(() => undefined)
  }

  failed(slot: Slot, device: Device, error: unknown): void {
    if (slot.device !== device) return
    const isLost = error instanceof AccelerateError && error.reason._tag === "Lost"
    slot.failures += 1
    if (isLost || slot.failures >= failuresMax) this.#rest(slot, detailOf(error))
  }

  /** Opens again what has rested for long enough, and what is named and was not opened yet. */
  async wake(named: string | undefined): Promise<void> {
    for (const slot of this.slots) {
      const isDue = slot.restsUntilMs !== undefined && this.now() >= slot.restsUntilMs
      const isNamed = slot.source.onlyByName !== undefined && slot.source.name === named && slot.device === undefined && slot.restsUntilMs === undefined
      if (isDue || isNamed) await this.#openOne(slot)
    }
  }

  /** Why a device can serve nothing of a mode now. */
  #unfit(slot: Slot, mode: Mode, named: string | undefined): string | undefined {
    const { absent, device, reason, restsUntilMs, source } = slot
    if (device === undefined) {
      if (absent?.state === "closed") return absent.reason
      if (absent !== undefined) return `${absent.state}: ${absent.reason}`
      return restsUntilMs === undefined ? "it is not open" : `resting for ${Math.max(0, (restsUntilMs - this.now()) / 1_000).toFixed(1)} s after: ${reason}`
    }
    if (named !== undefined && named !== source.name) return `"${named}" was asked for`
    if (device.onlyByName !== undefined && named !== source.name) return `used only when named: ${device.onlyByName}`
    return mode === "bitexact" && device.mode !== "bitexact" ? "it does not compute in bitexact" : undefined
  }

  #listed(named: string | undefined): void {
    if (named !== undefined && !this.slots.some(({ source }) => source.name === named))
      throw new KernelError("Unknown", { what: "device", name: named, known: this.slots.map(({ source }) => source.name).join(", ") })
  }

  /** Chooses for some tasks. `refuses` and `traffic` are asked of devices that could serve. @throws KernelError `Unknown` device or mode */
  choose(
    what: { readonly operation: string; readonly shape: Shape; readonly tasks: ReadonlyArray<Task> },
    { device: named, isTrial = false, mode = this.mode }: ChooseOptions,
    refuses: (device: Device, slot: Slot) => string | undefined,
    tried: ReadonlyMap<Slot, string> = new Map(),
    traffic: (device: Device) => { readonly bytesUp: number; readonly bytesDown: number } = () => ({ bytesUp: 0, bytesDown: 0 }),
  ): { readonly plan: Plan; readonly slot: Slot | undefined } {
    this.#listed(named)
    if (!modes.includes(mode)) throw new KernelError("Unknown", { what: "mode", name: mode, known: modes.join(", ") })
    const candidates: Array<Candidate & { readonly slot: Slot }> = this.slots.map((slot) => {
      const { calibration, device, history, source } = slot
      const base = { device: source.name, kind: source.kind, slot }
      const unfit = this.#unfit(slot, mode, named)
      if (device === undefined || calibration === undefined) return { ...base, refused: unfit ?? "it is not calibrated" }
      const refused = unfit ?? tried.get(slot) ?? refuses(device, slot)
      // What it would take is of interest where it is only not chosen.
      if (refused !== undefined && refuses(device, slot) !== undefined) return { ...base, refused }
      const predicted = predict(calibration, history, what.tasks, traffic(device))
      return { ...base, predicted, confidence: confidenceOf(history, what.tasks), ...(refused === undefined ? {} : { refused }) }
    })
    const fit = candidates
      .filter(({ refused }) => refused === undefined)
      .sort((a, b) => (a.predicted as Prediction).totalMs - (b.predicted as Prediction).totalMs)
    const least = fit[0]
    const work = what.tasks.reduce((all, task) => all + task.work, 0)
    const key = `${what.operation}/${Math.ceil(Math.log2(Math.max(1, work)))}/${mode}`
    const last = fit.find(({ device }) => device === this.#chosen.get(key))
    const isKept =
      last !== undefined &&
      least !== undefined &&
      last !== least &&
      (least.predicted as Prediction).totalMs > hysteresis * (last.predicted as Prediction).totalMs
    const best = isKept ? last : least
    if (best !== undefined && !isTrial) this.#chosen.set(key, best.device)
    const second = fit.find((one) => one !== best)
    const reason =
      best === undefined
        ? "every device is refused"
        : isKept
          ? `it was chosen before, and ${least.device} is predicted to take no less than ${hysteresis * 100} % of its time`
          : second === undefined
            ? "it is the only one that can"
            : `${second.device}, the next, is predicted to take ${((second.predicted as Prediction).totalMs / (best.predicted as Prediction).totalMs).toFixed(2)} times as long`
    return {
      slot: best?.slot,
      plan: {
        ...{ operation: what.operation, shape: what.shape, mode, device: best?.device, reason },
        predictedMs: best?.predicted?.totalMs,
        confidence: best?.confidence,
        candidates: candidates.map(({ slot: _slot, ...candidate }) => candidate),
      },
    }
  }
}
