/** The parent's end of a thread or process that runs guests; made by `host/platform/isolate`. */
import type { Platform } from "../platform/platform.ts"
import type { Encoder, Incoming } from "./wire.ts"

/** What the program of an isolate needs of its platform. */
export type GuestPlatform = Pick<Platform, "nowMs">

export type Kind = "worker" | "process"

export interface Link {
  readonly kind: Kind
  /** A name that no guest can know: what meters its modules is imported under it. Not the host's own, which one isolate could tell others. */
  readonly injected: string
  /** Memory that both sides see, to write messages into. */
  readonly data: SharedArrayBuffer | undefined
  /**
   * Sends a message, if there is one, and waits for the isolate's next. "garbage": what came cannot be a message, is longer
   * than `bytesMax`, or came unasked. Undefined: it has ended; `ended` says how.
   */
  exchange(message: Encoder | undefined, bytesMax: number): Promise<Incoming | "garbage" | undefined>
  /** Sends a message that is answered after those sent before it; `exchange` without a message waits for each. Absent where messages lie in one place. */
  readonly post?: (message: Encoder, bytesMax: number) => void
  /** Asks the guest that runs to stop at its next look at the clock; false where there is no such way. */
  stop(): boolean
  /** Undoes `stop`, before the next call. */
  resume(): void
  /** Ends it at once. Twice is once. */
  kill(): void
  /** Resolves when it has ended, with how in words. */
  readonly ended: Promise<string>
  /** While it is held the program stays alive for it. */
  hold(isHeld: boolean): void
  /** Does the system end it when this program ends, whatever it does? A thread ends with its program. */
  readonly endsWithHost: boolean
  /** Bytes of memory it holds now; undefined where that cannot be told. */
  residentBytes(): number | undefined
  /** Processor time it has used; undefined where that cannot be told. */
  processorMs(): number | undefined
}

/** What a platform offers. */
export interface Isolates {
  start(kind: Kind, options: StartOptions): Link
  /** What stands around an isolate of this kind besides its engine, for people. */
  confinement(kind: Kind): ReadonlyArray<string>
}

export interface StartOptions {
  /** Heap that a worker's engine may use. */
  readonly heapBytesMax: number
}
