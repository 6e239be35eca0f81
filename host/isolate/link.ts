/** The parent's end of a thread or process that runs guests; made by `host/platform/isolate`. */
import type { Platform } from "../platform/platform.ts"
import type { Encoder, Incoming } from "./wire.ts"

/** What the program of an isolate needs of its platform. */
export type GuestPlatform = Pick<Platform, "nowMs" | "sha256" | "hmacSha256" | "randomBytes">

export type Kind = "worker" | "process"

export interface Link {
  readonly kind: Kind
  /** Memory that both sides see, to write messages into. */
  readonly data: SharedArrayBuffer | undefined
  /**
   * Sends a message, if there is one, and waits for the isolate's next. "garbage": what came cannot be a message, is longer
   * than `bytesMax`, or came unasked. Undefined: it has ended; `ended` says how.
   */
  exchange(message: Encoder | undefined, bytesMax: number): Promise<Incoming | "garbage" | undefined>
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
  /** Bytes of memory it holds now; undefined where that cannot be told. */
  residentBytes(): number | undefined
}

/** What a platform offers. */
export interface Isolates {
  start(kind: Kind, options: StartOptions): Link
}

export interface StartOptions {
  /** Heap that a worker's engine may use. */
  readonly heapBytesMax: number
}
