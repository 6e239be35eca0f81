/**
 * Measures the watchdog on the engine that runs this: `stop COUNT DEADLINE_MS`, `million COUNT SEED`, `nest`,
 * `threads COUNT`. Prints one JSON line.
 */
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads"
import { createWatchdog } from "../../host/call/watchdog.ts"
import { FLAG, HEADER_WORDS, SEAT_WORDS } from "../../host/call/watchdog-thread.ts"
import { platform } from "../../host/platform/mod.ts"
import { guest, traps } from "./watchdog-guest.ts"

const { nowMs } = platform
let offered: SharedArrayBuffer | undefined
const dog = createWatchdog({
  ...platform,
  offerWatchdog(state) {
    offered = state
    platform.offerWatchdog(state)
  },
})
if (dog === undefined) throw new Error("no watchdog on this engine")

const sorted = (values: ReadonlyArray<number>): ReadonlyArray<number> => values.toSorted((a, b) => a - b)
const quantile = (values: ReadonlyArray<number>, q: number): number => sorted(values)[Math.min(values.length - 1, Math.floor(values.length * q))] as number

/** The endless guest, `count` times; another plugin's guest answers between. */
function stop(count: number, deadlineMs: number) {
  const endless = guest(dog!.epoch, () => 0)
  const other = guest(dog!.epoch, () => 0)
  const overMs: Array<number> = []
  const nextMs: Array<number> = []
  let missed = 0
  for (let i = 0; i < count; i++) {
    const atMs = nowMs() + deadlineMs
    dog!.push(atMs)
    const trapped = traps(endless.spin)
    const endMs = nowMs()
    const stopped = dog!.pop()
    if (!trapped || !stopped) missed++
    overMs.push(endMs - atMs)
    dog!.push(nowMs() + deadlineMs)
    if (other.one() !== 1 || dog!.pop()) missed++
    nextMs.push(nowMs() - endMs)
  }
  return {
    missed,
    leastMs: Math.min(...overMs),
    medianMs: quantile(overMs, 0.5),
    p99Ms: quantile(overMs, 0.99),
    maxMs: Math.max(...overMs),
    nextMedianMs: quantile(nextMs, 0.5),
  }
}

/** Calls that end within ±0.3 ms of their deadline; every 200th only ends by being stopped. */
function million(count: number, seed: number) {
  // mulberry32
  let word = seed | 0
  const random = (): number => {
    word = (word + 0x6d2b79f5) | 0
    let t = Math.imul(word ^ (word >>> 15), 1 | word)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
  let endMs = 0
  const { until } = guest(dog!.epoch, () => (nowMs() >= endMs ? 1 : 0))
  const found = { calls: count, stops: 0, ends: 0, early: 0, unarmed: 0, disagree: 0, worstMs: 0 }
  for (let i = 0; i < count; i++) {
    const endless = i % 200 === 199
    const atMs = nowMs() + 0.31
    endMs = endless ? atMs + 5_000 : atMs + (random() - 0.5) * 0.6
    dog!.push(atMs)
    const trapped = traps(until)
    const afterMs = nowMs()
    const stopped = dog!.pop()
    if (trapped) {
      found.stops++
      if (afterMs < atMs) found.early++
      if (!stopped) found.disagree++
      found.worstMs = Math.max(found.worstMs, afterMs - atMs)
    } else {
      found.ends++
      if (endless) found.unarmed++
      // The bit may be set between the guest's last check and `pop`, but not before the deadline.
      if (stopped && nowMs() < atMs) found.early++
    }
  }
  return found
}

/** Nested calls: each deadline of its own, the inner one never later than the outer. Times are of being stopped, from the start. */
function nest() {
  const { spin } = guest(dog!.epoch, () => 0)
  const run = (outerMs: number, innerMs: number) => {
    const startMs = nowMs()
    dog!.push(startMs + outerMs)
    dog!.push(startMs + innerMs)
    const innerTrapped = traps(spin)
    const innerAtMs = nowMs() - startMs
    const innerStopped = dog!.pop()
    const outerStoppedThen = dog!.isStopped()
    const outerTrapped = traps(spin)
    const outerAtMs = nowMs() - startMs
    return { trapped: innerTrapped && outerTrapped && innerStopped && dog!.pop(), innerAtMs, outerAtMs, outerStoppedThen }
  }
  return { shorter: run(600, 30), longer: run(40, 10_000) }
}

if (!isMainThread) {
  const { count } = workerData as { readonly count: number }
  const ready = await dog.prepare(5_000)
  parentPort!.postMessage({ ready, inherited: platform.inheritedWatchdog() !== undefined, ...stop(count, 25), calls: million(400, 1) })
} else {
  const [mode, first = "0", second = "0"] = process.argv.slice(2)
  const ready = await dog.prepare(5_000)
  if (!ready) throw new Error("the watchdog thread did not come up")
  if (mode === "stop") console.log(JSON.stringify(stop(Number(first), Number(second))))
  else if (mode === "million") console.log(JSON.stringify(million(Number(first), Number(second))))
  else if (mode === "nest") console.log(JSON.stringify(nest()))
  else {
    const others = [0, 1].map(
      () =>
        new Promise((done, fail) => {
          let answered: unknown
          const worker = new Worker(new URL(import.meta.url), { workerData: { count: Number(first) } })
          worker.on("message", (message) => (answered = message))
          worker.on("exit", () => done(answered))
          worker.on("error", fail)
        }),
    )
    const here = { ready, inherited: false, ...stop(Number(first), 25), calls: million(400, 2) }
    const threads = [here, ...(await Promise.all(others))]
    // Seats 1 and 2 were the workers', who have ended.
    const words = new Int32Array(offered as unknown as SharedArrayBuffer)
    console.log(JSON.stringify({ threads, taken: [0, 1, 2].map((slot) => words[HEADER_WORDS + slot * SEAT_WORDS + FLAG]) }))
  }
}
