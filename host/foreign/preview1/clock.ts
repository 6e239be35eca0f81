/** `clock_*`, `random_get`: what needs a grant, linked without it and denied when called, since every libc imports them. */
import { clock as clockCapability, monotonicNs, stepNs, wallNs } from "../../capability/clock.ts"
import { draw, random as randomCapability } from "../../capability/random.ts"
import { checkRange } from "../../abi/memory.ts"
import { refuse } from "./errno.ts"
import { unsigned, writeBytes, writeU64 } from "./memory.ts"
import { type Functions, serve } from "./serve.ts"

/** witx `clockid`. The clocks of processor time, 2 and 3, are the host's own business. */
export const clockid = { realtime: 0, monotonic: 1 } as const

/** Bytes drawn at once; between two draws the deadline is looked at. */
const drawBytesMax = 1 << 16

export const clockFunctions: Functions = {
  clock_res_get: serve("ii", (call, cx, [id, to]) => {
    const clock = unsigned(id)
    if (clock === clockid.realtime) writeU64(cx, unsigned(to), call.ports.wallClock.resolutionNs)
    else if (clock === clockid.monotonic) writeU64(cx, unsigned(to), stepNs(call))
    else refuse("inval")
  }),
  clock_time_get: serve(
    "iIi",
    (call, cx, [id, , to]) => {
      const clock = unsigned(id)
      if (clock === clockid.realtime) writeU64(cx, unsigned(to), wallNs(call, 8, "clock_time_get"))
      else if (clock === clockid.monotonic) writeU64(cx, unsigned(to), monotonicNs(call, 8))
      else refuse("inval")
    },
    { text: "clock:monotonic", risk: clockCapability.risk, heads: ["clock:monotonic", "clock:wall"], isDeniedWhenCalled: true },
  ),
  random_get: serve(
    "ii",
    (call, cx, [to, length]) => {
      const [start, bytes] = [unsigned(to), unsigned(length)]
      checkRange(cx, start, bytes, 1)
      for (let done = 0; done < bytes; done += drawBytesMax) {
        writeBytes(cx, start + done, draw(call, "random", Math.min(drawBytesMax, bytes - done)))
        cx.budget.checkStop()
      }
    },
    { text: "random", risk: randomCapability.risk, heads: ["random"], isDeniedWhenCalled: true },
  ),
}
