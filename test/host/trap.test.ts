import t from "tap"
import { trap } from "../../host/call/trap.ts"
import { answer, engines } from "./engine.ts"

t.test("`trap()` raises a WebAssembly.RuntimeError when called from JavaScript", async (t) => {
  t.throws(() => trap(), WebAssembly.RuntimeError)
})

// What a stop relies on, on every engine: no handler of a guest sees a trap or a stack overflow, not even one that
// JavaScript between the two caught and threw again; and every handler sees what JavaScript itself throws.
const row = {
  trap: "RuntimeError",
  trapThroughFinally: "RuntimeError",
  trapRethrown: "RuntimeError",
  overflowRethrown: "RangeError",
  error: "caught",
  runtimeError: "caught",
  hostOverflow: "RangeError",
  guestTrap: "RuntimeError",
  guestOverflow: "RangeError",
}

for (const engine of engines) {
  t.test(`\`trap()\` passes catch_all and try_table when a host function calls it on ${engine}`, async (t) => {
    t.same(await answer(engine, "trap-program.ts"), { legacy: row, tryTable: row })
  })
}
