/**
 * The run-time half of metering: the injected imports of one plugin instance, and what begins and ends a call.
 * Which mechanism stops a guest is decided once per plugin (`Mechanism`); see `docs/adr/0003-metering-and-hardening.md`.
 */
import { LimitError } from "../../schemas/error/limit.ts"
import type { SteleError } from "../../schemas/error/family.ts"
import type { Needs } from "../meter/needs.ts"
import type { Loan, Remains } from "./remains.ts"
import type { Watchdog } from "./watchdog.ts"

/**
 * `watchdog`: epoch cell and watchdog thread. `slice`: fuel slices with a clock, where there is no watchdog.
 * `fuel`: exact fuel, deadline by slices. `off`: nothing; memory and table caps still hold.
 */
export type Mechanism = "watchdog" | "slice" | "fuel" | "off"

/** Fuel of one slice before its length is known; adapted to at most about a millisecond. */
const firstSlice = 50_000n
const sliceMsTarget = 1
/**
 * The longest slice, whatever the clock says. How long one takes is up to the guest: code that an optimiser removes runs
 * sixty units a nanosecond, loads that miss every cache one in twelve. Without a bound a guest first lengthens its slices
 * with the one and then runs minutes of the other in a single "millisecond". The bounds are 3 ms of the slowest loads
 * and cost 3 % of the fastest loops. Not within them: the first touch of fresh pages (1.6 µs each measured in a virtual
 * machine, 26 ms for the default of `memoryBytesMax`), which happens once.
 */
const sliceMax = { slice: 262_144n, fuel: 65_536n } as const

/** Which budgets the modules of a plugin import. */
export type MeterNeeds = Pick<Needs, "fuel" | "stack" | "pages" | "elements">

const counter = (value: number): WebAssembly.Global<"i32"> => new WebAssembly.Global({ value: "i32", mutable: true }, value)

export class Meter {
  readonly mechanism: Mechanism
  readonly #watchdog: Watchdog | undefined
  readonly #nowMs: () => number
  readonly #stop: (error: SteleError) => void
  readonly #stackBytesMax: number
  readonly #pagesLeft: number
  readonly #stack: WebAssembly.Global<"i32"> | undefined
  readonly #pages: WebAssembly.Global<"i32"> | undefined
  readonly #elements: WebAssembly.Global<"i32"> | undefined
  readonly #fuel: WebAssembly.Global<"i64"> | undefined
  readonly #tickImport: (() => number) | undefined
  readonly #remains: Remains | undefined
  readonly #loans: Array<Loan> = []
  /** Fuel of this call that is not in the global yet. */
  #reserve = 0n
  #limit = 0n
  #slice = firstSlice
  readonly #sliceMax: bigint
  #slicedAtMs = 0
  deadlineAtMs = Infinity
  #deadlineMs = Infinity
  #isStopped = false
  #isPaused = false

  constructor(options: {
    readonly mechanism: Mechanism
    readonly watchdog: Watchdog | undefined
    readonly nowMs: () => number
    readonly needs: MeterNeeds
    readonly stackBytesMax: number
    readonly pagesLeft: number
    readonly elementsLeft: number
    readonly remains?: Remains
    /** Records the outcome of the call that is being stopped. */
    readonly stop: (error: SteleError) => void
  }) {
    const { mechanism, needs } = options
    this.mechanism = mechanism
    this.#sliceMax = mechanism === "fuel" ? sliceMax.fuel : sliceMax.slice
    this.#watchdog = options.watchdog
    this.#nowMs = options.nowMs
    this.#stop = options.stop
    this.#stackBytesMax = options.stackBytesMax
    this.#remains = options.remains
    this.#stack = needs.stack ? counter(options.stackBytesMax) : undefined
    this.#pagesLeft = options.pagesLeft
    this.#pages = needs.pages ? counter(options.pagesLeft) : undefined
    this.#elements = needs.elements ? counter(options.elementsLeft) : undefined
    if (needs.fuel) {
      this.#fuel = new WebAssembly.Global({ value: "i64", mutable: true }, 0n)
      this.#tickImport = () => (this.tick() ? 0 : 1)
    }
  }

  /** The injected imports of one module, exactly those it has, for an instantiation that follows at once; it is charged here. */
  imports(needs: Needs): Record<string, WebAssembly.ImportValue> {
    if (needs.setupFuel > 0) this.charge(needs.setupFuel)
    const imports = Object.create(null) as Record<string, WebAssembly.ImportValue>
    if (needs.epoch) imports["epoch"] = (this.#watchdog as Watchdog).epoch
    if (needs.memory !== undefined) imports["memory"] = this.#memory(needs.memory)
    if (needs.stack) imports["stack"] = this.#stack as WebAssembly.Global
    if (needs.pages) imports["pages"] = this.#pages as WebAssembly.Global
    if (needs.elements) imports["elements"] = this.#elements as WebAssembly.Global
    if (needs.fuel) imports["fuel"] = this.#fuel as WebAssembly.Global
    if (needs.tick) imports["tick"] = this.#tickImport as () => number
    return imports
  }

  #memory({ min, max }: { readonly min: number; readonly max: number }): WebAssembly.Memory {
    if (this.#remains === undefined) return new WebAssembly.Memory({ initial: min, maximum: max })
    const loan = this.#remains.take(min, max)
    this.#loans.push(loan)
    return loan.memory
  }

  /** Of its modules, in the order of their instantiation. */
  get memories(): ReadonlyArray<WebAssembly.Memory> {
    return this.#loans.map(({ memory }) => memory)
  }

  /** Gives the memories of its modules to later instances: their guest has ended well, and nothing of it runs again. */
  giveBack(): void {
    for (const loan of this.#loans.splice(0)) this.#remains?.give(loan)
  }

  /** Why the guest trapped, when it was the meter that made it: its counted stack, or an engine that refused memory below the cap. */
  cause(): "stack" | "host memory" | undefined {
    if (this.#stack !== undefined && this.#stack.value < 0) return "stack"
    if ((this.#pages !== undefined && this.#pages.value < 0) || (this.#elements !== undefined && this.#elements.value < 0)) return "host memory"
    return undefined
  }

  /** Pages that all memories together have grown by. Where the engine refused a growth the budget is −1: then all it was. */
  pagesGrown(): number {
    return this.#pages === undefined ? 0 : this.#pagesLeft - Math.max(0, this.#pages.value)
  }

  /** The instance stands where another stood after it had used so much: takes the same from its budgets. */
  restore(fuel: bigint, pages: number): void {
    if (fuel > 0n) this.charge(Number(fuel))
    if (this.#pages !== undefined) this.#pages.value = this.#pagesLeft - pages
  }

  /** Arms the deadline and fills the fuel. `deadlineMs` is for the error's text. `continues`: what was spent since the last `begin` stays spent. */
  begin(deadlineAtMs: number, deadlineMs: number, fuel: bigint, continues = false): void {
    this.deadlineAtMs = deadlineAtMs
    if (this.#stack !== undefined) this.#stack.value = this.#stackBytesMax
    this.#deadlineMs = deadlineMs
    this.#isPaused = false
    if (this.mechanism === "watchdog") {
      ;(this.#watchdog as Watchdog).push(deadlineAtMs)
      return
    }
    this.#isStopped = false
    if (this.mechanism === "off") return
    const spent = continues ? this.#limit - this.#left() : 0n
    this.#limit = this.mechanism === "fuel" ? fuel : 0x7fff_ffff_ffff_ffffn
    this.#reserve = this.#limit - spent
    if (this.#fuel === undefined) return
    this.#slicedAtMs = this.#nowMs()
    this.#refill(this.#reserve)
  }

  /** Ends the call; the deadline no longer applies. */
  end(): void {
    if (this.mechanism === "watchdog") (this.#watchdog as Watchdog).pop()
  }

  /** The guest is suspended, or is not there yet: the thread is others'. What the watchdog said until now stays said. */
  pause(): void {
    this.#isPaused = true
    if (this.mechanism === "watchdog") this.#isStopped = (this.#watchdog as Watchdog).pop()
  }

  /** The guest goes on, under the same deadline and with what fuel it had. */
  resume(): void {
    this.#isPaused = false
    if (this.mechanism === "watchdog") (this.#watchdog as Watchdog).push(this.deadlineAtMs)
    // Others had the thread meanwhile: that tells nothing about the length of a slice.
    else if (this.#fuel !== undefined) this.#slicedAtMs = this.#nowMs()
  }

  /** Poisons the running call: its guest traps at its next check. */
  poison(): void {
    if (this.mechanism === "watchdog" && !this.#isPaused) {
      ;(this.#watchdog as Watchdog).stop()
      return
    }
    if (this.#fuel !== undefined && !this.#isStopped) {
      // What is left moves to the reserve: `used` must not tell how long the slice was, which depends on the clock.
      this.#reserve += this.#fuel.value + 1n
      this.#fuel.value = -1n
    }
    this.#isStopped = true
  }

  isStopped(): boolean {
    if (this.mechanism === "watchdog") return this.#isPaused ? this.#isStopped : (this.#watchdog as Watchdog).isStopped()
    return this.#isStopped || this.#nowMs() > this.deadlineAtMs
  }

  deadlineError(): LimitError {
    return new LimitError("deadlineMs", { limit: this.#deadlineMs })
  }

  /** Fuel this call has used; exact under `fuel`, 0 where fuel is not counted. */
  used(): bigint {
    if (this.mechanism !== "fuel") return 0n
    const used = this.#limit - this.#left()
    return used > this.#limit ? this.#limit : used
  }

  get countsFuel(): boolean {
    return this.mechanism === "fuel"
  }

  /** Charges the host's work for the guest; throws when that was more than is left. Under `fuel` only. */
  charge(fuel: number): void {
    if (this.#fuel === undefined) this.#reserve -= BigInt(fuel)
    else this.#fuel.value -= BigInt(fuel)
    if (this.#left() < 0n) throw this.#fuelError()
  }

  #left(): bigint {
    return this.#reserve + (this.#fuel?.value ?? 0n)
  }

  #fuelError(): LimitError {
    return new LimitError("fuel", { limit: Number(this.#limit) })
  }

  #refill(left: bigint): void {
    const slice = left < this.#slice ? left : this.#slice
    ;(this.#fuel as WebAssembly.Global<"i64">).value = slice
    this.#reserve = left - slice
  }

  /** The slice is spent: false stops the guest. Which instruction that is depends on the sum only, never on the slices. */
  tick(): boolean {
    if (this.#isStopped) return false
    const left = this.#left()
    if (left < 0n) {
      this.#isStopped = true
      this.#stop(this.#fuelError())
      return false
    }
    const now = this.#nowMs()
    if (now > this.deadlineAtMs) {
      this.#isStopped = true
      this.#stop(this.deadlineError())
      return false
    }
    const tookMs = now - this.#slicedAtMs
    if (tookMs < sliceMsTarget / 2 && this.#slice < this.#sliceMax) this.#slice *= 2n
    else if (tookMs > sliceMsTarget * 2 && this.#slice > 1_000n) this.#slice /= 2n
    if (this.#slice > this.#sliceMax) this.#slice = this.#sliceMax
    this.#slicedAtMs = now
    this.#refill(left)
    return true
  }
}
