/**
 * Tests inside the sandbox: what a plugin's modules do, where no export reaches.
 *
 *     import { expect, test } from "../bindings/sdk/test.ts"
 *
 *     test("splits at commas", () => {
 *       expect(split("a,b")).toEqual(["a", "b"])
 *     })
 *
 * `stele test` builds `tests/*.test.ts` with the plugin's source into a component of its own, and calls each test in a new instance.
 */
// Of the host, in components of tests alone.
import { failed } from "stele:test/report@0.1.0"

interface Test {
  readonly name: string
  readonly body: () => unknown
  readonly at: string
}

const tests: Array<Test> = []

class Failure extends Error {
  readonly at: string
  constructor(message: string, at: string) {
    super(message)
    this.at = at
  }
}

/** Registers a test. The place is written by the bundler. */
export function test(name: string, body: () => unknown, at = ""): void {
  tests.push({ name, body, at })
}

/** Ends the test as failed. */
export function fail(message: string, at = ""): never {
  throw new Failure(message, at)
}

/** Alike: by value (NaN is NaN), lists and objects by what is in them. */
function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b) || a === b) return true
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false
  if (a instanceof Map && b instanceof Map) return same([...a], [...b])
  if (a instanceof Set && b instanceof Set) return same([...a], [...b])
  const [mine, others] = [Object.keys(a), Object.keys(b)]
  return (
    mine.length === others.length &&
    mine.every((key) => Object.hasOwn(b, key) && same((a as Readonly<Record<string, unknown>>)[key], (b as Readonly<Record<string, unknown>>)[key]))
  )
}

/** A value in a message. */
function shown(value: unknown): string {
  if (typeof value === "bigint") return `${value}n`
  if (typeof value !== "object" || value === null) return typeof value === "string" ? JSON.stringify(value) : String(value)
  if (value instanceof Map) return `Map ${shown([...value])}`
  if (value instanceof Set) return `Set ${shown([...value])}`
  if (value instanceof Error) return `${value.name}: ${value.message}`
  try {
    return JSON.stringify(value, (_key, part: unknown) => (typeof part === "bigint" ? `${part}n` : part))
  } catch {
    return "an object that leads to itself"
  }
}

/** A value that something is expected of. */
export class Expected<T> {
  readonly #actual: T
  readonly #at: string
  readonly #isNot: boolean
  constructor(actual: T, at: string, isNot = false) {
    this.#actual = actual
    this.#at = at
    this.#isNot = isNot
  }
  /** The opposite: `expect(a).not.toEqual(b)`. */
  get not(): Expected<T> {
    return new Expected(this.#actual, this.#at, !this.#isNot)
  }
  /** Fails unless it is alike. */
  toEqual(expected: T): void {
    if (same(this.#actual, expected) !== this.#isNot) return
    fail(this.#isNot ? `expected anything but ${shown(expected)}` : `expected ${shown(expected)}, got ${shown(this.#actual)}`, this.#at)
  }
}

/** `expect(actual).toEqual(expected)`. The place is written by the bundler. */
export function expect<T>(actual: T, at = ""): Expected<T> {
  return new Expected(actual, at)
}

/** What the host calls. */
export const cases = {
  count: (): number => tests.length,
  name: (index: number): string => tests[index]?.name ?? "",
  place: (index: number): string => tests[index]?.at ?? "",
  run(index: number): void {
    const one = tests[index]
    if (one === undefined) return
    try {
      const answer = one.body()
      if (answer instanceof Promise) fail("the test gave a promise, and a plugin answers at once")
    } catch (error) {
      if (error instanceof Failure) failed(error.at === "" ? one.at : error.at, error.message)
      else failed(one.at, `threw ${shown(error)}`)
    }
  },
}
