/** Guests instrumented by hand as the `deadline` tier does it: an atomic load of the epoch at the loop's head, a trap when bit 0 is set. */
import { Module, br, call, i32, iff, loop, mem, name } from "./wasm-builder.ts"

const check = [i32(0), mem("i32.atomic.load"), i32(1), "i32.and", iff([], ["unreachable"])]

/** `spin` never ends by itself; `until` loops until the imported `over` is non-zero; `one` answers 1 at once. */
export interface Guest {
  readonly spin: () => void
  readonly until: () => void
  readonly one: () => number
}

let compiled: WebAssembly.Module | undefined

function build(): WebAssembly.Module {
  const m = new Module()
  const over = m.importFunc("host", "over", [], ["i32"])
  m.func([], [], { export: "spin" }, loop([], check, br(0)))
  m.func([], [], { export: "until" }, loop([], check, call(over), "i32.eqz", [0x0d, 0]))
  m.func([], ["i32"], { export: "one" }, i32(1))
  // The builder imports unshared memories only: the import section again, by hand, with the shared epoch added.
  const imports = [...name("host"), ...name("over"), 0, m.type([], ["i32"]), ...name("host"), ...name("epoch"), 2, 3, 1, 1]
  m.raw(2, [2, ...imports])
  return new WebAssembly.Module(m.bytes())
}

export function guest(epoch: WebAssembly.Memory, over: () => number): Guest {
  compiled ??= build()
  return new WebAssembly.Instance(compiled, { host: { over, epoch } }).exports as unknown as Guest
}

/** Did the guest end by a trap? Anything else it throws is passed on. */
export function traps(run: () => unknown): boolean {
  try {
    run()
    return false
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) return true
    throw error
  }
}
