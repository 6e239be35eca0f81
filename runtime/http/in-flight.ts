/** Requests that a service answers now, and the wait until they are answered. */
export class InFlight {
  #count = 0
  #isDraining = false
  #idle: (() => void) | undefined

  get count(): number {
    return this.#count
  }

  /** Whether `drain` was called: nothing that comes from then on is to be answered. */
  get isDraining(): boolean {
    return this.#isDraining
  }

  begin(): void {
    this.#count++
  }

  end(): void {
    this.#count--
    if (this.#count === 0) this.#idle?.()
  }

  /** Resolves with true when all of them have ended, or after `ms` with false. */
  async drain(ms: number): Promise<boolean> {
    this.#isDraining = true
    if (this.#count === 0) return true
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const timer = setTimeout(() => resolve(false), ms)
    this.#idle = () => resolve(true)
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#idle = undefined
    }
  }
}
