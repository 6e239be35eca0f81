/** What a guest's handlers catch on this engine. Prints one JSON object: handler, then event, then "caught" or what came out. */
import { trap } from "../../host/call/trap.ts"
import { type Code, Module, block, call, i32, tryCatch, tryTable } from "./wasm-builder.ts"

const deep = (): number => deep() + 1

let unwound = 0
let rethrown = 0
const events: Readonly<Record<string, () => void>> = {
  trap: () => trap(),
  trapThroughFinally: () => {
    try {
      trap()
    } finally {
      unwound++
    }
  },
  // Caught and thrown again is the point of these two.
  trapRethrown: () => {
    try {
      trap()
    } catch (error) {
      rethrown++
      throw error
    }
  },
  overflowRethrown: () => {
    try {
      deep()
    } catch (error) {
      rethrown++
      throw error
    }
  },
  error: () => {
    throw new Error("from JavaScript")
  },
  runtimeError: () => {
    throw new WebAssembly.RuntimeError("made in JavaScript")
  },
  hostOverflow: () => void deep(),
}

function guest(handler: "legacy" | "tryTable", body: (event: number, recurse: number) => Code): WebAssembly.Module {
  const m = new Module()
  const event = m.importFunc("host", "event", [], [])
  const recurse = m.func([], ["i32"], {}, (self) => [call(self), i32(1), "i32.add"])
  const inner = body(event, recurse)
  m.func(
    [],
    ["i32"],
    { export: "run" },
    handler === "legacy" ? tryCatch(["i32"], [inner, i32(0)], [], [i32(1)]) : [block([], tryTable([], [{ label: 0 }], inner), i32(0), "return"), i32(1)],
  )
  return new WebAssembly.Module(m.bytes())
}

const outcome = (module: WebAssembly.Module, event: () => void): string => {
  try {
    const run = new WebAssembly.Instance(module, { host: { event } }).exports["run"] as () => number
    return run() === 1 ? "caught" : "returned"
  } catch (error) {
    return (error as Error).constructor.name
  }
}

const found: Record<string, Record<string, string>> = {}
for (const handler of ["legacy", "tryTable"] as const) {
  const row: Record<string, string> = {}
  for (const [name, event] of Object.entries(events))
    row[name] = outcome(
      guest(handler, (imported) => call(imported)),
      event,
    )
  row["guestTrap"] = outcome(
    guest(handler, () => "unreachable"),
    () => undefined,
  )
  row["guestOverflow"] = outcome(
    guest(handler, (_event, recurse) => [call(recurse), "drop"]),
    () => undefined,
  )
  found[handler] = row
}
// Both handlers' guests: JavaScript's own frames are unwound in order.
if (unwound !== 2 || rethrown !== 4) throw new Error(`finally ran ${unwound} times, catch ${rethrown} times`)
console.log(JSON.stringify(found))
