/**
 * Instances made before a call needs them: while nothing else runs, a few at a time, under the plugin's own limits. What
 * making one used counts for the call that gets it, as if it had made it. Loaded by plugins that ask for it.
 */
import { SteleError } from "../../schemas/error/family.ts"
import type { CallLimits, Instance } from "../call/instance.ts"
import type { Linked } from "../link/prepare.ts"

/** Making stops for others to run after this long; one initialisation cannot be divided. */
const turnMs = 1

interface Made {
  readonly instance: Instance
  /** Of the grants when its initialisation asked the host for something; undefined when it asked for nothing. */
  readonly revision: number | undefined
}

export class Ready {
  readonly #linked: Linked
  readonly #count: number
  readonly #make: () => Instance | undefined
  readonly #made: Array<Made> = []
  #timer: ReturnType<typeof setTimeout> | undefined
  #hasFailed = false
  #isClosed = false

  /** @param make a new instance that is counted, or undefined where there may be no more */
  constructor(linked: Linked, count: number, make: () => Instance | undefined) {
    this.#linked = linked
    this.#count = count
    this.#make = make
    this.refill()
  }

  get length(): number {
    return this.#made.length
  }

  /** One for a call under these limits; undefined when none is there, when making it took more fuel, or when the call gives what making it may have asked for. */
  take({ fuel, wasi }: CallLimits): Instance | undefined {
    for (let made = this.#made.pop(); made !== undefined; made = this.#made.pop()) {
      const { instance, revision } = made
      // What it was told may be what it may no longer know.
      if (revision !== undefined && revision !== this.#linked.grants.revision) instance.discard()
      else if ((revision !== undefined && wasi !== undefined) || (instance.meter.countsFuel && instance.meter.used() > fuel)) {
        this.#made.push(made)
        return undefined
      } else {
        this.refill()
        return instance
      }
    }
    this.refill()
    return undefined
  }

  /** Makes room for a call that can have none of these. */
  discardOne(): void {
    this.#made.shift()?.instance.discard()
  }

  /** It was discarded from elsewhere. */
  remove(instance: Instance): void {
    const at = this.#made.findIndex((made) => made.instance === instance)
    if (at >= 0) this.#made.splice(at, 1)
  }

  /** A call's own instance has started: what failed before may not fail again. */
  retry(): void {
    if (!this.#hasFailed) return
    this.#hasFailed = false
    this.refill()
  }

  /** Has what is missing made in a later turn. */
  refill(): void {
    if (this.#timer !== undefined || this.#isClosed || this.#hasFailed || this.#made.length >= this.#count) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#turn()
    }, 0)
    // A process with nothing else to do ends.
    ;(this.#timer as unknown as { unref?: () => void }).unref?.()
  }

  /** Makes no more; those that are there are the pool's to discard. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
  }

  #turn(): void {
    const { grants, nowMs } = this.#linked
    const untilMs = nowMs() + turnMs
    do {
      const instance = this.#make()
      // As many as there may be: the next that ends asks again.
      if (instance === undefined) return
      const { revision } = grants
      // Until it has started: one that fails is discarded, and the pool asks for another. The next call makes its own then
      // and answers with what comes of that.
      this.#hasFailed = true
      try {
        instance.start(this.#linked.callLimits())
      } catch (error) {
        this.#tell(error)
        return
      }
      this.#hasFailed = false
      this.#made.push({ instance, revision: instance.hasAsked ? revision : undefined })
    } while (this.#made.length < this.#count && nowMs() < untilMs)
    this.refill()
  }

  #tell(error: unknown): void {
    const { digest, ports, tenant } = this.#linked
    const { code, message } = error instanceof SteleError ? error : { code: "STELE-PLG-0002", message: String(error) }
    ports.observer.emit({ type: "stop", plugin: digest, tenant, export: "(instantiate)", code, message })
  }
}
