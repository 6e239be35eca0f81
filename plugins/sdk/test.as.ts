// @ts-nocheck: what T is after isString<T>() and its like, asc alone knows
/**
 * Tests inside the sandbox: what a plugin's modules do, where no export reaches.
 *
 *     import { expect, test } from "../bindings/sdk/test"
 *
 *     test("splits at commas", () => {
 *       expect(split("a,b")).toEqual(["a", "b"])
 *     })
 *
 * `stele test` compiles `tests/*.test.ts` with the plugin's source into a component of its own, and calls each test in a new instance. What fails
 * is reported with its place and ends the test by a trap. AssemblyScript has no closures: a test uses what is in it and what is global.
 */

// @ts-ignore: decorator
@external("stele:test/report@0.1.0", "failed")
declare function reported(at: usize, atUnits: u32, message: usize, messageUnits: u32): void

class Test {
  constructor(
    public name: string,
    public at: string,
    public body: () => void,
  ) {}
}

const tests: Array<Test> = []
/** Where the test that runs begins. */
let current: string = ""

/** Registers a test. The place is written by the compiler. */
export function test(name: string, body: () => void, at: string = ""): void {
  tests.push(new Test(name, at, body))
}

/** Ends the test as failed. */
export function fail(message: string, at: string = ""): void {
  const place = at.length > 0 ? at : current
  reported(changetype<usize>(place), place.length, changetype<usize>(message), message.length)
  unreachable()
}

/** Stands in for AssemblyScript's `abort`: what `assert` and the standard library refuse is told, with its place. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const what: string = message === null ? "assertion failed" : message
  const place: string = file === null ? current : `${file}:${line}:${column}`
  fail(what, place)
}

/** Alike: numbers, texts and booleans by value (NaN is NaN), lists by their elements, objects by their `equals`, else by identity. */
function same<T>(a: T, b: T): bool {
  if (isNullable<T>()) {
    if (changetype<usize>(a) == 0 || changetype<usize>(b) == 0) return changetype<usize>(a) == changetype<usize>(b)
    return same<NonNullable<T>>(a!, b!)
  }
  if (isFloat<T>()) return a == b || (a != a && b != b)
  if (isString<T>() || isInteger<T>()) return a == b
  if (isArrayLike<T>()) {
    if (a.length != b.length) return false
    for (let i = 0; i < a.length; i++) if (!same<valueof<T>>(a[i], b[i])) return false
    return true
  }
  // @ts-ignore: of some classes
  if (isDefined(a.equals)) return a.equals(b)
  return changetype<usize>(a) == changetype<usize>(b)
}

/** A value in a message. */
function shown<T>(value: T): string {
  if (isNullable<T>()) {
    if (changetype<usize>(value) == 0) return "null"
    return shown<NonNullable<T>>(value!)
  }
  if (isString<T>()) return `"${value}"`
  if (isBoolean<T>()) return value ? "true" : "false"
  if (isInteger<T>() || isFloat<T>()) return value.toString()
  if (isArrayLike<T>()) {
    let text = "["
    for (let i = 0; i < value.length; i++) text += (i == 0 ? "" : ", ") + shown<valueof<T>>(value[i])
    return text + "]"
  }
  // @ts-ignore: of some classes
  if (isDefined(value.toString)) return value.toString()
  return nameof<T>()
}

/** A value that something is expected of. */
export class Expected<T> {
  constructor(
    private actual: T,
    private at: string,
    private isNot: bool = false,
  ) {}
  /** The opposite: `expect(a).not.toEqual(b)`. */
  get not(): Expected<T> {
    return new Expected<T>(this.actual, this.at, !this.isNot)
  }
  /** Fails unless it is alike. */
  toEqual(expected: T): void {
    if (same<T>(this.actual, expected) != this.isNot) return
    fail(this.isNot ? `expected anything but ${shown<T>(expected)}` : `expected ${shown<T>(expected)}, got ${shown<T>(this.actual)}`, this.at)
  }
}

/** `expect(actual).toEqual(expected)`. The place is written by the compiler. */
export function expect<T>(actual: T, at: string = ""): Expected<T> {
  return new Expected<T>(actual, at)
}

// ── What the host calls ───────────────────────────────────────────────────────

/** A pointer and a length. */
const area: usize = memory.data(8, 4)

function given(text: string): usize {
  store<u32>(area, <u32>changetype<usize>(text))
  store<u32>(area, text.length, 4)
  return area
}

export function testCount(): u32 {
  return tests.length
}
export function testName(index: u32): usize {
  return given(tests[index].name)
}
export function testPlace(index: u32): usize {
  return given(tests[index].at)
}
export function testRun(index: u32): void {
  const one = tests[index]
  current = one.at
  one.body()
}
