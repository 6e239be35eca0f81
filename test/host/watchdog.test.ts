import t from "tap"
import { createWatchdog, deadlineMsMax, watchdog, watchdogDepthMax } from "../../host/call/watchdog.ts"
import { FREE, HEADER_WORDS, NONE, READY, REGISTERED, SEAT_WORDS, STATUS, channelOf, tickOf } from "../../host/call/watchdog-thread.ts"
import { platform } from "../../host/platform/mod.ts"
import type { Platform } from "../../host/platform/platform.ts"
import { answer, engines, start } from "./engine.ts"
import { guest, traps } from "./watchdog-guest.ts"
import { isFull } from "../seed.ts"

t.setTimeout(600_000)
const { nowMs } = platform

/** This thread's, as the host has it. */
function ready() {
  const dog = watchdog(platform)
  if (dog === undefined) throw new Error("no watchdog")
  return dog
}

t.test("`watchdog()` answers the same object when asked again on one thread", async (t) => {
  const dog = ready()
  t.equal(watchdog(platform), dog)
  t.ok(await dog.prepare(10_000))
  t.ok(dog.isReady)
})

t.test("`push()` lets a call end unstopped when it ends before its deadline", async (t) => {
  const dog = ready()
  const { one } = guest(dog.epoch, () => 0)
  dog.push(nowMs() + 10_000)
  t.equal(one(), 1)
  t.notOk(dog.isStopped())
  t.notOk(dog.pop())
})

t.test("`push()` stops an endless guest after its deadline, never before", async (t) => {
  const dog = ready()
  const { spin } = guest(dog.epoch, () => 0)
  for (let i = 0; i < 20; i++) {
    const atMs = nowMs() + 5
    dog.push(atMs)
    t.ok(traps(spin))
    t.ok(nowMs() >= atMs)
    t.ok(dog.isStopped())
    t.ok(dog.pop())
  }
})

t.test("`push()` begins a stopped call when its deadline is long past", async (t) => {
  const dog = ready()
  const { spin } = guest(dog.epoch, () => 0)
  for (const atMs of [-Infinity, -1e12, nowMs() - 1e9]) {
    dog.push(atMs)
    t.ok(dog.isStopped())
    t.ok(traps(spin))
    t.ok(dog.pop())
  }
})

t.test("`push()` arms nothing when the deadline is Infinity, and clamps one beyond `deadlineMsMax`", async (t) => {
  const dog = ready()
  for (const atMs of [Infinity, nowMs() + 10 * deadlineMsMax, Number.MAX_VALUE]) {
    dog.push(atMs)
    dog.push(nowMs() + 3)
    const { spin } = guest(dog.epoch, () => 0)
    t.ok(traps(spin))
    t.ok(dog.pop())
    t.notOk(dog.isStopped())
    t.notOk(dog.pop())
  }
})

t.test("`push()` throws when nested too deeply or given NaN, and leaves the calls around as they were", async (t) => {
  const dog = ready()
  t.throws(() => dog.push(NaN), RangeError)
  for (let i = 0; i < watchdogDepthMax; i++) dog.push(nowMs() + 10_000)
  t.throws(() => dog.push(nowMs()), { message: `Cannot nest calls deeper than ${watchdogDepthMax}` })
  t.notOk(dog.isStopped())
  for (let i = 0; i < watchdogDepthMax; i++) t.notOk(dog.pop())
  t.throws(() => dog.pop(), RangeError)
})

t.test("`stop()` stops the running call only, when calls are nested", async (t) => {
  const dog = ready()
  const { spin } = guest(dog.epoch, () => 0)
  dog.stop()
  t.notOk(dog.isStopped(), "no call runs")
  dog.push(nowMs() + 10_000)
  dog.push(nowMs() + 10_000)
  dog.stop()
  t.ok(traps(spin))
  t.ok(dog.pop())
  t.notOk(dog.isStopped(), "the call around it goes on")
  dog.stop()
  dog.push(nowMs() + 10_000)
  t.ok(dog.isStopped(), "a call inside a stopped one is stopped")
  t.ok(dog.pop())
  t.ok(dog.isStopped())
  t.ok(traps(spin))
  t.ok(dog.pop())
})

t.test("`push()` costs less than a microsecond when calls are short", async (t) => {
  const dog = ready()
  const atMs = nowMs() + 100_000
  const round = (): number => {
    const startMs = nowMs()
    for (let i = 0; i < 100_000; i++) {
      dog.push(atMs)
      dog.pop()
    }
    return (nowMs() - startMs) * 10
  }
  const nanoseconds = Math.min(...Array.from({ length: 10 }, round))
  t.comment(`push + pop: ${nanoseconds.toFixed(0)} ns`)
  t.ok(nanoseconds < 1000)
})

t.test("`createWatchdog()` answers undefined when the platform has no threads", async (t) => {
  t.equal(createWatchdog({ ...platform, inheritedWatchdog: () => undefined, startWatchdog: () => undefined }), undefined)
})

t.test("`push()` begins its call stopped when the thread never comes up", async (t) => {
  const dead: Platform = { ...platform, inheritedWatchdog: () => undefined, offerWatchdog: () => undefined, startWatchdog: () => ({ close() {} }) }
  const dog = createWatchdog(dead)
  t.ok(dog)
  t.notOk(await dog?.prepare(5))
  const atMs = nowMs() + 10
  dog?.push(atMs)
  t.ok(dog?.isStopped())
  t.ok(nowMs() >= atMs, "having waited for it until the deadline")
  t.ok(dog?.pop())
  const polling = createWatchdog({ ...dead, canBlock: false })
  t.notOk(await polling?.prepare(5))
})

t.test("`prepare()` polls when the thread may not block", async (t) => {
  const dog = createWatchdog({ ...platform, canBlock: false, inheritedWatchdog: () => undefined, offerWatchdog: () => undefined })
  t.ok(await dog?.prepare(10_000))
  dog?.push(nowMs() + 5)
  t.ok(traps(guest((dog as NonNullable<typeof dog>).epoch, () => 0).spin))
  t.ok(dog?.pop())
  dog?.close()
})

t.test("`push()` starts the thread again when it died, and gives up after three", async (t) => {
  const ends: Array<() => void> = []
  const dog = createWatchdog({
    ...platform,
    inheritedWatchdog: () => undefined,
    offerWatchdog: () => undefined,
    startWatchdog(source, state, epoch, onEnd) {
      ends.push(onEnd)
      return platform.startWatchdog(source, state, epoch, onEnd)
    },
  }) as NonNullable<ReturnType<typeof createWatchdog>>
  const { spin } = guest(dog.epoch, () => 0)
  for (let starts = 1; starts <= 3; starts++) {
    dog.push(nowMs() + 300)
    t.equal(ends.length, starts)
    t.ok(traps(spin))
    t.ok(dog.pop())
    ends[starts - 1]?.()
    t.notOk(dog.isReady)
  }
  dog.push(nowMs() + 10_000)
  t.ok(dog.isStopped(), "no call runs unarmed")
  t.ok(dog.pop())
  dog.close()
})

t.test("`createWatchdog()` starts its own thread when the inherited one does not answer", async (t) => {
  // A state that says READY, over which no thread runs.
  const words = new Int32Array(new SharedArrayBuffer(1 << 16))
  words[STATUS] = READY
  const dog = createWatchdog({ ...platform, inheritedWatchdog: () => words.buffer, offerWatchdog: () => undefined }) as NonNullable<
    ReturnType<typeof createWatchdog>
  >
  t.ok(await dog.prepare(10_000))
  dog.push(nowMs() + 5)
  t.ok(traps(guest(dog.epoch, () => 0).spin))
  t.ok(dog.pop())
  t.equal(words[HEADER_WORDS + SEAT_WORDS], FREE, "the seat it claimed there is free again")
  dog.close()
})

t.test("`tickOf()` rounds up and avoids the two marks", async (t) => {
  t.equal(tickOf(1), 10)
  t.equal(tickOf(1.00001), 11)
  t.equal(tickOf(0), 2)
  t.equal(tickOf(0.1), 2)
  t.equal(tickOf(2 ** 32 / 10), 2, "wrapped to the mark NONE")
  t.equal(tickOf(2 ** 31 / 10), -(2 ** 31), "wraps by sign")
  t.equal(NONE, 0)
  t.match(channelOf(new Int32Array(16)), /^stele-watchdog-0{32}$/)
})

interface Stops {
  readonly missed: number
  readonly leastMs: number
  readonly medianMs: number
  readonly p99Ms: number
  readonly nextMedianMs: number
}

for (const engine of engines) {
  // HOST figure: ≤ 5 ms after a 100 ms deadline (median), p99 ≤ 30 ms, next call ≤ 1 ms later. Other programs share this
  // machine's cores, so the figure is met when one of eight attempts meets it; soundness is asserted on every one.
  t.test(`the watchdog stops \`loop br 0\` soon after a 100 ms deadline on ${engine}`, { timeout: 300_000 }, async (t) => {
    let found: Stops | undefined
    for (let attempt = 0; attempt < 8; attempt++) {
      found = await answer<Stops>(engine, "watchdog-program.ts", ["stop", isFull ? "200" : "20", "100"])
      t.equal(found.missed, 0)
      t.ok(found.leastMs >= 0, "never early")
      if (found.medianMs <= 5 && found.p99Ms <= 30 && found.nextMedianMs <= 1) break
    }
    t.comment(JSON.stringify(found))
    t.ok(found !== undefined && found.medianMs <= 5)
    t.ok(found !== undefined && found.p99Ms <= 30)
    t.ok(found !== undefined && found.nextMedianMs <= 1)
  })

  t.test(`the watchdog keeps each nested call's own deadline on ${engine}`, async (t) => {
    interface Nest {
      readonly trapped: boolean
      readonly innerAtMs: number
      readonly outerAtMs: number
      readonly outerStoppedThen: boolean
    }
    const { shorter, longer } = await answer<{ readonly shorter: Nest; readonly longer: Nest }>(engine, "watchdog-program.ts", ["nest"])
    t.ok(shorter.trapped)
    t.ok(shorter.innerAtMs >= 30 && shorter.innerAtMs < 600, `inner at ${shorter.innerAtMs}`)
    t.notOk(shorter.outerStoppedThen)
    t.ok(shorter.outerAtMs >= 600)
    t.ok(longer.trapped)
    t.ok(longer.innerAtMs >= 40 && longer.innerAtMs < 5_000, "the outer deadline bounds the inner call")
    t.ok(longer.outerStoppedThen)
  })

  t.test(`one watchdog serves three threads, which do not disturb each other, on ${engine}`, async (t) => {
    interface Threads {
      readonly threads: ReadonlyArray<Stops & { readonly ready: boolean; readonly inherited: boolean; readonly calls: object }>
      readonly taken: ReadonlyArray<number>
    }
    const { threads, taken } = await answer<Threads>(engine, "watchdog-program.ts", ["threads", "10"])
    t.same(
      threads.map(({ inherited }) => inherited),
      [false, true, true],
    )
    t.same(taken, [REGISTERED, FREE, FREE], "threads that ended gave their seats back")
    for (const { ready: up, missed, leastMs, calls } of threads) {
      t.ok(up)
      t.equal(missed, 0)
      t.ok(leastMs >= 0)
      t.match(calls, { early: 0, unarmed: 0, disagree: 0 })
    }
  })
}

t.test("`startWatchdog()` answers undefined when Node's permission model forbids threads", async (t) => {
  const found = await start("node", "platform-program.ts", ["watchdog"], { flags: ["--permission", "--allow-fs-read=*"] })
  t.equal(found.stdout.trim(), '{"watchdog":false}')
  t.equal(found.status, 0)
})

for (const engine of engines) {
  t.test(`the watchdog thread does not keep the process alive on ${engine}`, async (t) => {
    const found = await start(engine, "platform-program.ts", ["watchdog"], { msMax: 20_000 })
    t.equal(found.stdout.trim(), '{"watchdog":true}')
    t.equal(found.status, 0)
  })
}
