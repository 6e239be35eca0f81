/** `poll_oneoff`: waits for the first of some timers and descriptors, inside the call's deadline as every wait. */
import { checkRange } from "../../abi/memory.ts"
import { type AbiContext, refreshViews } from "../../abi/context.ts"
import type { CallContext } from "../../capability/capability.ts"
import { monotonicNs, timer, wallNs } from "../../capability/clock.ts"
import { type Pollable, waitFor } from "../../capability/io.ts"
import { after } from "../../capability/serve.ts"
import { clockid } from "./clock.ts"
import { type Descriptor, descriptorOf } from "./descriptor.ts"
import { type Errno, errno, Refusal, refuse, right } from "./errno.ts"
import { clear, readU16, readU32, readU64, readU8, unsigned, writeU16, writeU32, writeU64, writeU8 } from "./memory.ts"
import { type Body, type Functions, isDenial, serve, type Snapshot } from "./serve.ts"

/** Subscriptions of one call: two for each descriptor that can be open would be fewer. */
const subscriptionsMax = 4_096

/** witx `eventtype`. */
const eventtype = { clock: 0, fdRead: 1, fdWrite: 2 } as const
const eventBytes = 32

/** Where a subscription's fields lie. The older snapshot has an identifier before the clock. */
const layouts = {
  wasi_snapshot_preview1: { size: 48, clock: 16 },
  wasi_unstable: { size: 56, clock: 24 },
} as const

/** One subscription: when it is ready, and what its event says then. */
interface Subscription {
  readonly userdata: bigint
  readonly type: number
  readonly pollable: Pollable
  readonly error: Errno
  readonly descriptor?: Descriptor
}

const now: Pollable = { readyInMs: () => 0 }
const u64Max = 0xffff_ffff_ffff_ffffn

/**
 * A relative timer tells no time of day, whichever clock it names, so it needs the monotonic one; an absolute one needs
 * the clock it compares with.
 */
function clockPollable(call: CallContext, id: number, timeout: bigint, isAbsolute: boolean): Pollable {
  if (id !== clockid.realtime && id !== clockid.monotonic) return refuse("inval")
  if (isAbsolute && id === clockid.realtime) {
    const read = (): bigint => wallNs(call, 0, "poll_oneoff")
    read()
    return { readyInMs: () => Math.max(0, Number(timeout - read()) / 1e6) }
  }
  const due = monotonicNs(call, 0) + timeout
  return timer(isAbsolute ? timeout : due > u64Max ? u64Max : due)
}

function subscriptionAt(call: CallContext, cx: AbiContext, at: number, clock: number): Subscription {
  const userdata = readU64(cx, at)
  const type = readU8(cx, at + 8)
  try {
    if (type === eventtype.clock) {
      const isAbsolute = (readU16(cx, at + clock + 24) & 1) !== 0
      return { userdata, type, pollable: clockPollable(call, readU32(cx, at + clock), readU64(cx, at + clock + 8), isAbsolute), error: errno.success }
    }
    if (type !== eventtype.fdRead && type !== eventtype.fdWrite) return refuse("inval")
    const descriptor = descriptorOf(call, readU32(cx, at + 16), right.pollFdReadwrite)
    const pollable = (type === eventtype.fdRead ? descriptor.readable(call) : undefined) ?? now
    return { userdata, type, pollable, error: errno.success, descriptor }
  } catch (error) {
    // What is wrong with one subscription is its event; the others are waited for all the same.
    if (error instanceof Refusal) return { userdata, type, pollable: now, error: error.errno }
    if (isDenial(error)) return { userdata, type, pollable: now, error: errno.notcapable }
    throw error
  }
}

function writeEvent(call: CallContext, cx: AbiContext, at: number, { userdata, type, error, descriptor }: Subscription): void {
  clear(cx, at, eventBytes)
  writeU64(cx, at, userdata)
  writeU16(cx, at + 8, error)
  writeU8(cx, at + 10, type)
  if (error === errno.success && type === eventtype.fdRead) writeU64(cx, at + 16, (descriptor as Descriptor).available(call))
}

const pollOneoff =
  (snapshot: Snapshot): Body =>
  (call, cx, [from, to, count, written]) => {
    const [subscriptions, events, wanted] = [unsigned(from), unsigned(to), unsigned(count)]
    if (wanted === 0 || wanted > subscriptionsMax) refuse("inval")
    const { size, clock } = layouts[snapshot]
    checkRange(cx, subscriptions, wanted * size, 1)
    checkRange(cx, events, wanted * eventBytes, 1)
    // Read whole before the first event is written: the two may be the same memory.
    const all = Array.from({ length: wanted }, (_, i) => subscriptionAt(call, cx, subscriptions + i * size, clock))
    const waiting = waitFor(
      call,
      all.map(({ pollable }) => pollable),
      `${snapshot}#poll_oneoff`,
    )
    return after(waiting, () => {
      refreshViews(cx)
      let ready = 0
      for (const subscription of all) {
        if (subscription.pollable.readyInMs(call) > 0) continue
        writeEvent(call, cx, events + ready * eventBytes, subscription)
        ready++
      }
      writeU32(cx, unsigned(written), ready)
    })
  }

export const pollFunctions = (snapshot: Snapshot): Functions => ({
  poll_oneoff: serve("iiii", pollOneoff(snapshot), undefined, true),
})
