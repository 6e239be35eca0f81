/**
 * How much of the calling thread's time may go into writing for those who could wait. A thread for them costs 13 MB and 25 ms of a processor, which
 * a process with a write now and then would have for nothing; one that writes more gets it, since a commit takes as long as the disk likes.
 */

/** Length of a window, in ms, and what may be spent in it: so late is the event loop at most, but for the commit that exceeds it. */
const windowMs = 1_000
const spentMsMax = 10

export class Allowance {
  #endsMs = 0
  #spentMs = 0

  /** Is there time left in this window? */
  get isLeft(): boolean {
    const nowMs = performance.now()
    if (nowMs < this.#endsMs) return this.#spentMs < spentMsMax
    this.#endsMs = nowMs + windowMs
    this.#spentMs = 0
    return true
  }

  spend<A>(work: () => A): A {
    const startedMs = performance.now()
    try {
      return work()
    } finally {
      this.#spentMs += performance.now() - startedMs
    }
  }
}
