/**
 * The watchdog: one cell per JavaScript thread, one lazily started watchdog thread for all threads it can reach. A
 * cell holds `generation << 1 | stop`; instrumented guests test bit 0 and trap. See `docs/adr/0004-watchdog-and-platforms.md`
 * for the figures behind each choice, and `watchdog-thread.ts` for the thread's half of the protocol.
 */
import type { Platform, WatchdogThread } from "../platform/platform.ts"
import {
  AWAKE,
  CLAIMED,
  CLOCK_HIGH,
  CLOCK_LOW,
  DEAD,
  DEADLINE,
  FLAG,
  FREE,
  HEADER_WORDS,
  HINT,
  LISTENING,
  NAME,
  NONCE,
  NONE,
  READY,
  REGISTERED,
  SEAT_WORDS,
  SEATS,
  STARTING,
  STATUS,
  SYNC,
  TARGET,
  USED,
  WAKE,
  channelOf,
  tickOf,
  watchdogSource,
} from "./watchdog-thread.ts"

/** Calls inside calls on one thread. The host's own limit, `nestingMax`, is lower. */
export const watchdogDepthMax = 32
/** Furthest deadline in milliseconds from now (24 h): beyond it 32-bit ticks could not be compared. Later ones are clamped to it. */
export const deadlineMsMax = 86_400_000
/** How long a first `push` waits for a thread that does not come up, before its call begins stopped. */
const bootPushMsMax = 5_000
/** How long `prepare` waits for a thread to boot: 10–20 ms on Bun and Node, 25–55 ms on Deno, measured on two loaded cores. */
export const bootMsMax = 200

export interface Watchdog {
  /** The guests' epoch: one shared page whose Int32 at address 0 is the cell. The same object for the life of the thread. */
  readonly epoch: WebAssembly.Memory
  /** Is the thread up and this thread's clock related to its? `push` arms either way, but waits if it is not. */
  readonly isReady: boolean
  /**
   * Waits up to `waitMs` for the thread, so that the first `push` need not. False: use the slice tier. Blocks where the
   * platform allows it (the thread boots without this one), else polls.
   */
  prepare(waitMs?: number): Promise<boolean>
  /**
   * Begins a call that must end at `deadlineAtMs` of `platform.nowMs()`, or at the deadline of the call around it if
   * that is earlier. `Infinity` arms nothing. A call around it that is already stopped stops this one. While the
   * thread is not up, a finite deadline is waited for here; if it passes first, the call begins stopped: no call runs unarmed.
   * @throws RangeError when nested deeper than `watchdogDepthMax` or given NaN
   */
  push(deadlineAtMs: number): void
  /** Ends the call: was its stop bit set? The call around it goes on under its own deadline. */
  pop(): boolean
  /** Stops the running call from this thread: its guest traps at its next check. Without a running call, nothing. */
  stop(): void
  /** Is the running call stopped? */
  isStopped(): boolean
  /** Gives the seat back and, on the thread that owns the watchdog, ends it. For tests and for threads that end early. */
  close(): void
}

/** Makes a watchdog for this thread. The host uses `watchdog`, which makes one per thread. */
export function createWatchdog(platform: Platform): Watchdog | undefined {
  if (typeof SharedArrayBuffer === "undefined") return undefined
  const { nowMs } = platform
  const epoch = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })
  const cell = new Int32Array(epoch.buffer)

  // Seat: which watchdog serves this thread. `isConnected` says that the seat is registered and `offsetMs` known.
  let state: Int32Array = new Int32Array(0)
  let seat = 0
  let offsetMs = 0
  let isConnected = false
  let isOwner = false
  let own: WatchdogThread | undefined
  let ownStarts = 0
  let inherited = platform.inheritedWatchdog()

  // Calls. Frame k's deadline; whether frame k was stopped when frame k + 1 began.
  const deadlines = new Float64Array(watchdogDepthMax)
  const wasStopped = new Uint8Array(watchdogDepthMax)
  let depth = 0
  let generation = 0
  /** Deadlines up to here need no clock read to be known to be within `deadlineMsMax`. */
  let nearMs = nowMs() + deadlineMsMax

  function start(): boolean {
    // A thread that died twice dies of something that a third start does not cure; calls then begin stopped.
    if (ownStarts >= 3) return false
    ownStarts++
    const shared = new SharedArrayBuffer((HEADER_WORDS + SEATS * SEAT_WORDS) * 4)
    const words = new Int32Array(shared)
    words[USED] = 1
    words[HEADER_WORDS + FLAG] = REGISTERED
    own = platform.startWatchdog(watchdogSource, shared, epoch, () => {
      Atomics.store(words, STATUS, DEAD)
      Atomics.notify(words, STATUS)
    })
    if (own === undefined) return false
    state = words
    seat = HEADER_WORDS
    isOwner = true
    isConnected = false
    // Read for the first claimant, who comes by the offer below: so the thread boots while the random source loads (6 ms on Node).
    new Uint32Array(platform.randomBytes(16).buffer).forEach((word, i) => (words[NAME + i] = word))
    platform.offerWatchdog(shared)
    return true
  }

  /** Waits while a word keeps `value`, until `untilMs`; true when it changed. Spins where blocking is forbidden, for 5 ms at most. */
  function waitWhile(words: Int32Array, index: number, value: number, untilMs: number): boolean {
    if (platform.canBlock) {
      for (let leftMs = untilMs - nowMs(); leftMs > 0 && Atomics.load(words, index) === value; leftMs = untilMs - nowMs())
        Atomics.wait(words, index, value, leftMs)
    } else {
      for (const spinMs = Math.min(untilMs, nowMs() + 5); Atomics.load(words, index) === value && nowMs() < spinMs;);
    }
    return Atomics.load(words, index) !== value
  }

  const wakeThread = (): void => {
    Atomics.add(state, WAKE, 1)
    Atomics.notify(state, WAKE)
  }

  /** Takes a seat at the watchdog that this thread inherited; false leaves `state` alone. */
  function join(words: Int32Array, untilMs: number): boolean {
    if (!waitWhile(words, STATUS, STARTING, untilMs) || Atomics.load(words, STATUS) !== READY) return false
    let slot = 1
    while (slot < SEATS && Atomics.compareExchange(words, HEADER_WORDS + slot * SEAT_WORDS + FLAG, FREE, CLAIMED) !== FREE) slot++
    if (slot === SEATS) return false
    const claimed = HEADER_WORDS + slot * SEAT_WORDS
    const sender = platform.openJoin(channelOf(words))
    try {
      const nonce = new Int32Array(platform.randomBytes(4).buffer)[0] as number
      Atomics.store(words, claimed + NONCE, nonce)
      Atomics.store(words, claimed + DEADLINE, NONE)
      Atomics.store(words, claimed + HINT, NONE)
      Atomics.store(words, claimed + SYNC, 0)
      for (let used = Atomics.load(words, USED); used <= slot; used = Atomics.load(words, USED)) Atomics.compareExchange(words, USED, used, slot + 1)
      Atomics.add(words, WAKE, 1)
      Atomics.notify(words, WAKE)
      if (sender !== undefined && waitWhile(words, claimed + FLAG, CLAIMED, untilMs)) {
        // Sent again until answered: a message may be sent before the channel's other end has subscribed.
        while (Atomics.load(words, claimed + FLAG) === LISTENING && nowMs() < untilMs) {
          sender.send({ slot, nonce, epoch })
          waitWhile(words, claimed + FLAG, LISTENING, Math.min(untilMs, nowMs() + 20))
        }
      }
      if (Atomics.load(words, claimed + FLAG) === REGISTERED) {
        state = words
        seat = claimed
        isOwner = false
        platform.onThreadEnd(() => {
          Atomics.store(words, claimed + DEADLINE, NONE)
          Atomics.compareExchange(words, claimed + FLAG, REGISTERED, FREE)
        })
        return true
      }
      if (Atomics.compareExchange(words, claimed + FLAG, CLAIMED, FREE) !== CLAIMED) Atomics.compareExchange(words, claimed + FLAG, LISTENING, FREE)
      return false
    } finally {
      sender?.close()
    }
  }

  /**
   * Relates this thread's clock to the watchdog's: its reading lies between our readings before and after, and of that
   * interval the end is taken that makes deadlines late, never early. Until an interval is short (0.2 ms) or 16 were tried.
   */
  function synchronise(untilMs: number): boolean {
    let bestMs = Infinity
    for (let round = 0; round < 16 && bestMs > 0.2; round++) {
      const beforeMs = nowMs()
      Atomics.store(state, seat + SYNC, 1)
      wakeThread()
      if (!waitWhile(state, seat + SYNC, 1, Math.max(untilMs, beforeMs + 1))) break
      const took = nowMs() - beforeMs
      if (took >= bestMs) continue
      bestMs = took
      offsetMs = Atomics.load(state, seat + CLOCK_HIGH) * 65536 + (Atomics.load(state, seat + CLOCK_LOW) + 1) / 32768 - beforeMs
    }
    return bestMs !== Infinity
  }

  /** Reaches a watchdog that serves this thread, by `untilMs`. */
  function connect(untilMs: number): boolean {
    if (isConnected && Atomics.load(state, STATUS) === READY) return true
    isConnected = false
    if (inherited !== undefined) {
      const words = new Int32Array(inherited)
      if (join(words, Math.min(untilMs, nowMs() + bootMsMax))) return (isConnected = synchronise(untilMs))
      // Not served there, now or in time: a watchdog of our own, from here on.
      inherited = undefined
    }
    if ((own === undefined || !isOwner || Atomics.load(state, STATUS) === DEAD) && !start()) return false
    if (!waitWhile(state, STATUS, STARTING, untilMs) || Atomics.load(state, STATUS) !== READY) return false
    return (isConnected = synchronise(untilMs))
  }

  /** Arms the running call, whose generation is already in the cell. */
  function arm(atMs: number): void {
    if (atMs === Infinity) return
    if (atMs > nearMs) {
      nearMs = nowMs() + deadlineMsMax
      if (atMs > nearMs) atMs = nearMs
    }
    // Earlier than a reading of the clock that is already past: over, and perhaps out of the ticks' range.
    const isOver = atMs < nearMs - deadlineMsMax
    if (isOver || ((!isConnected || Atomics.load(state, STATUS) !== READY) && !connect(Math.min(atMs, nowMs() + bootPushMsMax)))) {
      Atomics.or(cell, 0, 1)
      return
    }
    const tick = tickOf(atMs + offsetMs)
    Atomics.store(state, seat + DEADLINE, tick)
    const target = Atomics.load(state, TARGET)
    if (target === AWAKE || target === NONE || ((tick - target) | 0) < 0) {
      Atomics.store(state, seat + HINT, tick)
      wakeThread()
    }
  }

  if (inherited === undefined && !start()) return undefined
  return {
    epoch,
    get isReady() {
      return isConnected && Atomics.load(state, STATUS) === READY
    },
    async prepare(waitMs = bootMsMax) {
      const untilMs = nowMs() + waitMs
      if (platform.canBlock) return connect(untilMs)
      while (!connect(nowMs())) {
        if (nowMs() >= untilMs) return false
        await new Promise((done) => setTimeout(done, 1))
      }
      return true
    },
    push(deadlineAtMs) {
      if (depth === watchdogDepthMax || deadlineAtMs !== deadlineAtMs) {
        throw new RangeError(depth === watchdogDepthMax ? `Cannot nest calls deeper than ${watchdogDepthMax}` : "Cannot use NaN as a deadline")
      }
      generation = (generation + 1) | 0
      const next = generation << 1
      if (depth === 0) {
        deadlines[0] = deadlineAtMs
        depth = 1
        Atomics.store(cell, 0, next)
        arm(deadlineAtMs)
        return
      }
      if (isConnected) Atomics.store(state, seat + DEADLINE, NONE)
      const stopped = Atomics.exchange(cell, 0, next) & 1
      const outerMs = deadlines[depth - 1] as number
      const atMs = deadlineAtMs < outerMs ? deadlineAtMs : outerMs
      wasStopped[depth - 1] = stopped
      deadlines[depth] = atMs
      depth++
      if (stopped === 1) Atomics.store(cell, 0, next | 1)
      else arm(atMs)
    },
    pop() {
      if (depth === 0) throw new RangeError("Cannot end a call: none is running")
      if (isConnected) Atomics.store(state, seat + DEADLINE, NONE)
      depth--
      if (depth === 0) return (Atomics.load(cell, 0) & 1) === 1
      generation = (generation + 1) | 0
      const next = generation << 1
      const stopped = Atomics.exchange(cell, 0, next) & 1
      const outerMs = deadlines[depth - 1] as number
      // The inner stop may have been the outer deadline's; the thread would say so again, but this is sooner.
      if (wasStopped[depth - 1] === 1 || (stopped === 1 && nowMs() >= outerMs)) Atomics.store(cell, 0, next | 1)
      else arm(outerMs)
      return stopped === 1
    },
    stop() {
      if (depth > 0) Atomics.or(cell, 0, 1)
    },
    isStopped() {
      return depth > 0 && (Atomics.load(cell, 0) & 1) === 1
    },
    close() {
      if (isOwner) {
        own?.close()
        Atomics.store(state, STATUS, DEAD)
        Atomics.notify(state, STATUS)
      } else if (isConnected) Atomics.store(state, seat + FLAG, FREE)
      isConnected = false
      own = undefined
    },
  }
}

let ofThread: { readonly watchdog: Watchdog | undefined } | undefined

/** This thread's watchdog, started on first use; undefined where there can be none, and `deadline` runs on fuel slices. */
export function watchdog(platform: Platform): Watchdog | undefined {
  return (ofThread ??= { watchdog: createWatchdog(platform) }).watchdog
}
