/**
 * How whoever asks a port for something that is not there yet comes to know that it may be: by sleeping, or by a promise.
 * Nothing is said but that something has happened; what, is asked for.
 */
export interface Waker {
  /** Blocks this thread until something has happened since the last event that was seen, `ms` at most. Absent where a thread must not or cannot block. */
  readonly wait?: (ms: number) => void
  /** Resolves when something has happened that has not been seen; never rejects. */
  changed(): Promise<void>
}

/** The waker of what is always there. */
export const idle: Waker = { wait: () => undefined, changed: () => Promise.resolve() }
