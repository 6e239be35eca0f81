/**
 * Isolates that are started before they are needed: one of each kind that a host has used, engine loaded, bound to nothing
 * yet. So the first call after a crash does not wait for a thread or a process to boot. Once bound to a plugin an isolate
 * serves that one alone, and ends with it.
 */
import type { Isolates, Kind, Link, StartOptions } from "./link.ts"

export class Spares {
  readonly #isolates: Isolates
  readonly #waiting = new Map<string, Link>()
  readonly #live = new Set<Link>()
  #isClosed = false

  constructor(isolates: Isolates) {
    this.#isolates = isolates
  }

  confinement(kind: Kind): ReadonlyArray<string> {
    return this.#isolates.confinement(kind)
  }

  /** One that will be taken soon: it boots while what it is to run is read and linked. */
  begin(kind: Kind, options: StartOptions): void {
    const key = `${kind} ${options.heapBytesMax}`
    if (!this.#isClosed && !this.#waiting.has(key)) this.#waiting.set(key, this.#start(kind, options))
  }

  /** An isolate. `refill` once it has loaded, or has failed to. */
  take(kind: Kind, options: StartOptions): Link {
    const key = `${kind} ${options.heapBytesMax}`
    const waiting = this.#waiting.get(key)
    this.#waiting.delete(key)
    return waiting ?? this.#start(kind, options)
  }

  /** Another one for the next time: not while one boots that somebody waits for, and not beside the first call in that. */
  refill(kind: Kind, options: StartOptions): void {
    setTimeout(() => {
      try {
        this.begin(kind, options)
      } catch {
        // Who needs one that cannot be started is told then.
      }
    }, spareAfterMs).unref?.()
  }

  #start(kind: Kind, options: StartOptions): Link {
    const link = this.#isolates.start(kind, options)
    this.#live.add(link)
    void link.ended.then(() => {
      this.#live.delete(link)
      for (const [key, one] of this.#waiting) if (one === link) this.#waiting.delete(key)
    })
    return link
  }

  /** Ends all of them, those that serve plugins included. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#waiting.clear()
    const live = [...this.#live]
    for (const link of live) link.kill()
    await Promise.all(live.map((link) => link.ended))
  }
}

const spareAfterMs = 50
