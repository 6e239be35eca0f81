/** How long something may take, and whether it is still wanted. */
import { AccelerateError } from "../../../schemas/error/accelerate.ts"
import { ConfigError } from "../../../schemas/error/config.ts"

export const device = "fpga"

export interface Control {
  readonly signal?: AbortSignal | undefined
  /** Of the whole, waiting for others included. */
  readonly deadlineMs?: number | undefined
}

/** Longest that a timer of the platform waits. */
const deadlineMsMax = 2 ** 31 - 1

/** @throws ConfigError of a deadline that is none */
export function deadlineOf(deadlineMs: number): number {
  if (deadlineMs > 0 && deadlineMs <= deadlineMsMax) return deadlineMs
  throw new ConfigError("Option", { option: "deadlineMs", expected: `milliseconds above 0 up to ${deadlineMsMax}`, actual: String(deadlineMs) })
}

export class Watch {
  /** A watch is one itself: that of what this is a part of. */
  static of = (operation: string, control: Control | Watch, defaultMs: number): Watch =>
    control instanceof Watch ? control : new Watch(operation, control, defaultMs)

  readonly operation: string
  readonly deadlineMs: number
  readonly #signal: AbortSignal | undefined
  readonly #endsAtMs: number

  constructor(operation: string, { signal, deadlineMs }: Control, defaultMs: number) {
    this.operation = operation
    this.deadlineMs = deadlineOf(deadlineMs ?? defaultMs)
    this.#signal = signal
    this.#endsAtMs = performance.now() + this.deadlineMs
  }

  #late = (): AccelerateError => new AccelerateError("Deadline", { operation: this.operation, device, deadlineMs: this.deadlineMs })
  #aborted = (): AccelerateError => new AccelerateError("Aborted", { operation: this.operation }, { cause: this.#signal?.reason as unknown })

  get leftMs(): number {
    return this.#endsAtMs - performance.now()
  }

  /** @throws AccelerateError `Aborted`, `Deadline` */
  check(): void {
    if (this.#signal?.aborted === true) throw this.#aborted()
    if (this.leftMs <= 0) throw this.#late()
  }

  /** What `work` comes to, if in time. It goes on where it is not: whoever began it ends it. @throws (rejects) AccelerateError `Aborted`, `Deadline` */
  async race<A>(work: Promise<A>): Promise<A> {
    // Left to itself, it may fail later.
    work.catch(() => undefined)
    this.check()
    let timer: NodeJS.Timeout | undefined
    let onAbort: (() => void) | undefined
    const over = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(this.#late()), Math.max(1, this.leftMs))
      onAbort = () => reject(this.#aborted())
      this.#signal?.addEventListener("abort", onAbort)
    })
    try {
      return await Promise.race([work, over])
    } finally {
      clearTimeout(timer)
      if (onAbort !== undefined) this.#signal?.removeEventListener("abort", onAbort)
    }
  }
}
