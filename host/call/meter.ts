/**
 * The run-time half of metering: the injected imports of one plugin instance, and what begins and ends a call.
 * Which mechanism stops a guest is decided once per plugin (`Mechanism`); see `docs/adr/0003-metering-and-hardening.md`.
 */
import { LimitError } from "../../schemas/error/limit.ts"
import type { SteleError } from "../../schemas/error/family.ts"
import type { Watchdog } from "./watchdog.ts"

/**
 * `watchdog`: epoch cell and watchdog thread. `slice`: fuel slices with a clock, where there is no watchdog.
 * `fuel`: exact fuel, deadline by slices. `off`: nothing; memory and table caps still hold.
 */
export type Mechanism = "watchdog" | "slice" | "fuel" | "off"

/** Fuel of one slice before its length is known; adapted to about a millisecond. */
const firstSlice = 100_000n
const sliceMsTarget = 1

export class Meter {
  readonly mechanism: Mechanism
  readonly #watchdog: Watchdog | undefined
  readonly #nowMs: () => number
  readonly #stop: (error: SteleError) => void
  readonly imports: Record<string, WebAssembly.ImportValue>
  readonly stack: WebAssembly.Global<"i32">
  readonly #stackBytesMax: number
  readonly #fuel: WebAssembly.Global<"i64">
  /** Fuel of this call that is not in the global yet. */
  #reserve = 0n
  #limit = 0n
  #slice = firstSlice
  #slicedAtMs = 0
  deadlineAtMs = Infinity
  #deadlineMs = Infinity
  #isStopped = false

  constructor(options: {
    readonly mechanism: Mechanism
    readonly watchdog: Watchdog | undefined
    readonly nowMs: () => number
    readonly stackBytesMax: number
    readonly pagesLeft: number
    readonly elementsLeft: number
    /** Records the outcome of the call that is being stopped. */
    readonly stop: (error: SteleError) => void
  }) {
    this.mechanism = options.mechanism
    this.#watchdog = options.watchdog
    this.#nowMs = options.nowMs
    this.#stop = options.stop
    this.#stackBytesMax = options.stackBytesMax
    this.stack = new WebAssembly.Global({ value: "i32", mutable: true }, options.stackBytesMax)
    this.#fuel = new WebAssembly.Global({ value: "i64", mutable: true }, 0n)
    this.imports = Object.assign(Object.create(null) as Record<string, WebAssembly.ImportValue>, {
      stack: this.stack,
      pages: new WebAssembly.Global({ value: "i32", mutable: true }, options.pagesLeft),
      elements: new WebAssembly.Global({ value: "i32", mutable: true }, options.elementsLeft),
    })
    if (options.mechanism === "watchdog") this.imports["epoch"] = (options.watchdog as Watchdog).epoch
    if (options.mechanism === "slice" || options.mechanism === "fuel") {
      this.imports["fuel"] = this.#fuel
      this.imports["tick"] = () => (this.#tick() ? 0 : 1)
    }
  }

  /** Arms the deadline and fills the fuel. `deadlineMs` is for the error's text. */
  begin(deadlineAtMs: number, deadlineMs: number, fuel: bigint): void {
    this.deadlineAtMs = deadlineAtMs
    this.stack.value = this.#stackBytesMax
    this.#deadlineMs = deadlineMs
    if (this.mechanism === "watchdog") {
      ;(this.#watchdog as Watchdog).push(deadlineAtMs)
      return
    }
    this.#isStopped = false
    if (this.mechanism === "off") return
    this.#limit = this.mechanism === "fuel" ? fuel : 0x7fff_ffff_ffff_ffffn
    this.#slicedAtMs = this.#nowMs()
    this.#reserve = this.#limit
    this.#refill(this.#limit)
  }

  /** Ends the call; the deadline no longer applies. */
  end(): void {
    if (this.mechanism === "watchdog") (this.#watchdog as Watchdog).pop()
  }

  /** Poisons the running call: its guest traps at its next check. */
  poison(): void {
    if (this.mechanism === "watchdog") {
      ;(this.#watchdog as Watchdog).stop()
      return
    }
    this.#isStopped = true
    if (this.mechanism !== "off") this.#fuel.value = -1n
  }

  isStopped(): boolean {
    if (this.mechanism === "watchdog") return (this.#watchdog as Watchdog).isStopped()
    return this.#isStopped || this.#nowMs() > this.deadlineAtMs
  }

  deadlineError(): LimitError {
    return new LimitError("deadlineMs", { limit: this.#deadlineMs })
  }

  /** Fuel this call has used; exact under `fuel`, 0 where fuel is not counted. */
  used(): bigint {
    if (this.mechanism !== "fuel") return 0n
    const used = this.#limit - this.#reserve - this.#fuel.value
    return used > this.#limit ? this.#limit : used
  }

  get countsFuel(): boolean {
    return this.mechanism === "fuel"
  }

  /** Charges a host call. Running out stops the guest at its next check, as its own instructions would. */
  charge(fuel: number): void {
    this.#fuel.value -= BigInt(fuel)
  }

  #refill(left: bigint): void {
    const slice = left < this.#slice ? left : this.#slice
    this.#fuel.value = slice
    this.#reserve = left - slice
  }

  /** The slice is spent: false stops the guest. Which instruction that is depends on the sum only, never on the slices. */
  #tick(): boolean {
    if (this.#isStopped) return false
    const left = this.#reserve + this.#fuel.value
    if (left < 0n) {
      this.#isStopped = true
      this.#stop(new LimitError("fuel", { limit: Number(this.#limit) }))
      return false
    }
    const now = this.#nowMs()
    if (now > this.deadlineAtMs) {
      this.#isStopped = true
      this.#stop(this.deadlineError())
      return false
    }
    const tookMs = now - this.#slicedAtMs
    if (tookMs < sliceMsTarget / 2) this.#slice *= 2n
    else if (tookMs > sliceMsTarget * 2 && this.#slice > 1_000n) this.#slice /= 2n
    this.#slicedAtMs = now
    this.#refill(left)
    return true
  }
}
