/**
 * The watchdog's two programs, the calling thread's and the watchdog thread's, in one thread under a virtual clock:
 * `Atomics` is replaced so that one program can be cut before any of its atomic operations and the other run there.
 * What a million real calls meet by luck is enumerated here.
 */
import t from "tap"
import { type Watchdog, createWatchdog } from "../../host/call/watchdog.ts"
import { HEADER_WORDS, NONE, DEADLINE, TARGET, WAKE, watchdogSource } from "../../host/call/watchdog-thread.ts"
import { platform } from "../../host/platform/mod.ts"

const atomics = globalThis.Atomics
t.teardown(() => {
  globalThis.Atomics = atomics
})

/** Ends the thread's program where it would sleep. */
class Asleep extends Error {}

interface World {
  readonly dog: Watchdog
  readonly words: Int32Array
  clockMs: number
  /** One turn of the thread's loop: from waking to sleeping. `cut` runs before its atomic operation number `at`; answers how many it did. */
  turn(at?: number, cut?: () => void): number
  /** Runs `body` with `cut` before its atomic operation number `at`; answers how many it did. */
  during(body: () => void, at: number, cut: () => void): number
  /** Would the thread, now asleep, wake in time for the running call without anybody's doing? */
  wakesInTime(): boolean
}

const names = ["load", "store", "add", "or", "exchange", "compareExchange", "notify"] as const

/** The real operations, with `before` called ahead of each. */
function counted(before: () => void): typeof Atomics {
  const out: Record<string, unknown> = {}
  for (const name of names) {
    const real = atomics[name] as (...args: ReadonlyArray<unknown>) => unknown
    out[name] = (...args: ReadonlyArray<unknown>) => {
      before()
      return real.apply(atomics, args as Array<unknown>)
    }
  }
  return out as unknown as typeof Atomics
}

function world(): World {
  let thread: { readonly state: SharedArrayBuffer; readonly epoch: WebAssembly.Memory } | undefined
  let sleptOnWake = -1
  let inTurn = false

  const self: World = {
    clockMs: 1_000,
    turn(at = -1, cut) {
      let done = 0
      const operations = counted(() => {
        if (done++ === at) cut?.()
      })
      inTurn = true
      const program = new Function("Atomics", "performance", "setTimeout", `return ${watchdogSource}`)(
        Object.assign(operations, {
          wait(_words: Int32Array, _index: number, value: number): never {
            sleptOnWake = value
            throw new Asleep()
          },
        }),
        // The thread's clock has another origin.
        { now: () => self.clockMs + 77_777 },
        undefined,
      ) as (link: object) => Promise<never>
      void program(thread as object).catch((error: unknown) => {
        if (!(error instanceof Asleep)) throw error
      })
      inTurn = false
      return done
    },
    during(body, at, cut) {
      let done = 0
      let inside = false
      globalThis.Atomics = counted(() => {
        if (!inside && done++ === at) {
          inside = true
          cut()
          inside = false
        }
      })
      body()
      globalThis.Atomics = atomics
      return done
    },
    wakesInTime() {
      const tick = self.words[HEADER_WORDS + DEADLINE] as number
      const target = self.words[TARGET] as number
      return tick === NONE || self.words[WAKE] !== sleptOnWake || (target !== NONE && ((target - tick) | 0) <= 0)
    },
    get words() {
      return new Int32Array((thread as { readonly state: SharedArrayBuffer }).state)
    },
    get dog() {
      return dog
    },
  }
  const dog = createWatchdog({
    ...platform,
    canBlock: false,
    // Waiting for the thread is spinning on the clock here: that is when it gets its turn.
    nowMs: () => {
      if (thread !== undefined && !inTurn && !dog?.isReady) self.turn()
      return self.clockMs
    },
    inheritedWatchdog: () => undefined,
    offerWatchdog: () => undefined,
    startWatchdog(_source, state, epoch) {
      thread = { state, epoch }
      return { close() {} }
    },
  }) as Watchdog
  dog.push(self.clockMs + 1)
  dog.pop()
  return self
}

t.test("`pop()` and `push()` between any two steps of the thread leave the next call unstopped and armed", async (t) => {
  let steps = 0
  for (let at = 0; at === 0 || at < steps; at++) {
    const w = world()
    w.dog.push(w.clockMs + 10)
    w.turn()
    w.clockMs += 10.1
    steps = w.turn(at, () => {
      w.dog.pop()
      w.dog.push(w.clockMs + 10)
    })
    t.ok(w.dog.isReady)
    t.notOk(w.dog.isStopped(), `stopped early, cut before step ${at}`)
    t.ok(w.wakesInTime(), `unarmed, cut before step ${at}`)
    w.turn()
    t.notOk(w.dog.isStopped())
    w.clockMs += 10.1
    w.turn()
    t.ok(w.dog.isStopped())
  }
  t.ok(steps > 8, `${steps} steps`)
})

t.test("an earlier deadline pushed or restored between any two steps of the thread is armed", async (t) => {
  for (const [before, change] of [
    [(w: World) => w.dog.push(w.clockMs + 100), (w: World) => w.dog.push(w.clockMs + 1)],
    [
      (w: World) => {
        w.dog.push(w.clockMs + 100)
        w.dog.push(w.clockMs + 1)
      },
      (w: World) => w.dog.pop(),
    ],
    [() => undefined, (w: World) => w.dog.push(w.clockMs + 5)],
  ] as ReadonlyArray<readonly [(w: World) => unknown, (w: World) => unknown]>) {
    let steps = 0
    for (let at = 0; at === 0 || at < steps; at++) {
      const w = world()
      before(w)
      steps = w.turn(at, () => change(w))
      t.ok(w.wakesInTime(), `unarmed, cut before step ${at}`)
      t.notOk(w.dog.isStopped())
      w.clockMs += 101
      w.turn()
      t.ok(w.dog.isStopped())
    }
  }
})

t.test("a turn of the thread between any two steps of `push()` and `pop()` stops nothing early and loses nothing", async (t) => {
  const changes: ReadonlyArray<readonly [string, number, (w: World) => void]> = [
    ["the next call", 1, (w) => (w.dog.pop(), w.dog.push(w.clockMs + 10))],
    ["an inner call", 1, (w) => w.dog.push(w.clockMs + 5)],
    ["back to the outer call", 2, (w) => void w.dog.pop()],
  ]
  for (const [what, depth, change] of changes) {
    for (const expired of [false, true]) {
      let steps = 0
      for (let at = 0; at === 0 || at < steps; at++) {
        const w = world()
        w.dog.push(w.clockMs + 20)
        if (depth === 2) w.dog.push(w.clockMs + 10)
        w.turn()
        // The innermost call's deadline passes; with "an inner call", that of the call around it.
        if (expired) w.clockMs += depth === 2 ? 10.1 : 20.1
        const outerOver = expired && what === "an inner call"
        steps = w.during(
          () => change(w),
          at,
          () => w.turn(),
        )
        t.ok(w.wakesInTime(), `${what} unarmed, cut before step ${at}`)
        w.turn()
        t.equal(w.dog.isStopped(), outerOver, `${what}, cut before step ${at}`)
        w.clockMs += 20.2
        w.turn()
        t.ok(w.dog.isStopped(), `${what} stopped when over`)
      }
      t.ok(steps >= 3)
    }
  }
})

t.test("`push()` wakes the thread about once a deadline when calls are short and many", async (t) => {
  const w = world()
  let wakes = 0
  let seen = w.words[WAKE]
  for (let i = 0; i < 100_000; i++) {
    w.dog.push(w.clockMs + 100)
    w.clockMs += 0.01
    w.dog.pop()
    // It sleeps until TARGET unless somebody bumped WAKE.
    const target = w.words[TARGET] as number
    if (w.words[WAKE] !== seen || (target !== NONE && Math.floor((w.clockMs + 77_777) * 10) - target >= 0)) {
      w.turn()
      wakes++
      seen = w.words[WAKE]
    }
  }
  // 1,000 ms of calls with deadlines of 100 ms; the thread always wakes between two calls, when nothing is armed.
  t.ok(wakes >= 9 && wakes <= 25, `${wakes} wake-ups`)
})
