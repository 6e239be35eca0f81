/**
 * `wasi:clocks`: civil and monotonic time. WIT: WASI 0.2.12 as shipped with jco 1.35; `timezone` is unstable and not served.
 *
 * Monotonic time has steps of 100 µs unless `clock:monotonic:fine` is granted: fine clocks are what cache and branch
 * timing attacks read. Timers become ready by the same steps, so polling one is not a finer clock.
 */
import { func, own, primitive, record } from "../../schemas/wit/model.ts"
import type { CallContext, Capability } from "./capability.ts"
import { type Pollable, pollableResource, wasiVersion } from "./io.ts"
import { bare, type Grant, isWithin, refuse, special } from "./scope.ts"
import { hostInterface, serve, settled } from "./serve.ts"

/** Step of the monotonic clock without `:fine`, nanoseconds. */
export const coarseNs = 100_000n

const u64Max = 0xffff_ffff_ffff_ffffn

/** `fine` covers the coarse clock's name "" and its own. */
function parse(text: string, parts: ReadonlyArray<string>): Grant {
  switch (parts.join(":")) {
    case "wall":
      return bare("clock:wall")
    case "monotonic":
      return bare("clock:monotonic")
    case "monotonic:fine":
      return special("clock:monotonic:fine", "clock:monotonic", { text: "", isPrefix: true })
    default:
      return refuse(text, "clocks are clock:wall, clock:monotonic and clock:monotonic:fine")
  }
}

/** Step of the monotonic clock that this call sees. */
export function stepNs(call: CallContext): bigint {
  const own = call.ports.monotonicClock.resolutionNs
  return own > coarseNs || call.grants.allows("clock:monotonic", "fine") ? own : coarseNs
}

/** Monotonic time in the steps granted; throws the denial. `bytes` is what the guest gets of it. */
export function monotonicNs(call: CallContext, bytes: number): bigint {
  const grant = call.grants.match("clock:monotonic", "")
  if (grant === undefined) throw call.denied("clock:monotonic")
  const nowNs = call.ports.monotonicClock.nowNs()
  if (bytes > 0) call.used(grant, bytes)
  return nowNs - (nowNs % stepNs(call))
}

/** Rep of a timer's pollable. */
export const timer = (dueNs: bigint): Pollable => ({
  readyInMs(call) {
    const leftNs = dueNs - monotonicNs(call, 0)
    return leftNs <= 0n ? 0 : Number(leftNs) / 1e6
  },
})

/** Civil time; throws the denial. */
export function wallNs(call: CallContext, bytes: number, importName: string): bigint {
  const grant = call.grants.match("clock:wall", "")
  if (grant === undefined) throw call.denied("clock:wall")
  call.used(grant, bytes)
  return settled(call.ports.wallClock.nowNs(), importName)
}

const { u32, u64 } = primitive
const datetime = record({ seconds: u64, nanoseconds: u32 })
const asDatetime = (ns: bigint) => ({ seconds: ns / 1_000_000_000n, nanoseconds: Number(ns % 1_000_000_000n) })

export const wallClockInterface = hostInterface("wasi:clocks/wall-clock", wasiVersion, {
  types: { datetime },
  functions: {
    now: serve(func({}, datetime), (call) => asDatetime(wallNs(call, 12, "wasi:clocks/wall-clock"))),
    resolution: serve(func({}, datetime), (call) => asDatetime(call.ports.wallClock.resolutionNs)),
  },
})

const monotonicClockInterface = hostInterface("wasi:clocks/monotonic-clock", wasiVersion, {
  resources: { pollable: pollableResource },
  types: { instant: u64, duration: u64 },
  functions: {
    now: serve(func({}, u64), (call) => monotonicNs(call, 8)),
    resolution: serve(func({}, u64), stepNs),
    "subscribe-instant": serve(
      func({ when: u64 }, own(pollableResource.type)),
      (call, when: bigint) => {
        monotonicNs(call, 8)
        return timer(when)
      },
      "source",
    ),
    "subscribe-duration": serve(
      func({ when: u64 }, own(pollableResource.type)),
      (call, when: bigint) => {
        const dueNs = monotonicNs(call, 8) + when
        return timer(dueNs > u64Max ? u64Max : dueNs)
      },
      "source",
    ),
  },
})

const head = (interfaceName: string): string => (interfaceName.endsWith("/wall-clock") ? "clock:wall" : "clock:monotonic")

export const clock: Capability = {
  name: "clock",
  risk: "The plugin learns the time, so its answers can differ from run to run; the fine clock can measure side channels.",
  mode: "sync",
  forms: ["clock:wall", "clock:monotonic", "clock:monotonic:fine"],
  isInert: false,
  parse,
  subset: isWithin,
  interfaces: [wallClockInterface, monotonicClockInterface],
  needs: head,
  heads: (interfaceName) => [head(interfaceName)],
  ports: ["wallClock", "monotonicClock"],
}
