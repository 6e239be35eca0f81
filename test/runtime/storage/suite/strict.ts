/** A check that throws at the first thing that is not as wanted: for programs that want to know whether a case fails. */
import { deepStrictEqual } from "node:assert"
import type { Check } from "./case.ts"

function includes(found: unknown, wanted: unknown): boolean {
  if (wanted instanceof RegExp) return wanted.test(String(found))
  if (typeof wanted !== "object" || wanted === null) return Object.is(found, wanted)
  return typeof found === "object" && found !== null && Object.entries(wanted).every(([name, each]) => includes((found as Record<string, unknown>)[name], each))
}

function holds(error: unknown, wanted: object, message: string): void {
  if (!(error instanceof Error)) throw new Error(`${message}: nothing was thrown`)
  if (!includes(error, wanted)) throw new Error(`${message}: ${error.message}`, { cause: error })
}

export const strict: Check = {
  same(found, wanted, message) {
    try {
      deepStrictEqual(found, wanted)
    } catch (cause) {
      throw new Error(`${message}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    }
  },
  throws(run, wanted, message) {
    let thrown: unknown
    try {
      run()
    } catch (error) {
      thrown = error
    }
    holds(thrown, wanted, message)
  },
  async refused(run, wanted, message) {
    const thrown = await run().then(
      () => undefined,
      (error: unknown) => error,
    )
    holds(thrown, wanted, message)
  },
}
