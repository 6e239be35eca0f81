/**
 * The watchdog's thread: its shared state, and the program that runs over it. The program is text, because a worker
 * must start alike from a checkout, from a published bundle and from a single-file binary, none of which share a
 * path it could be loaded from; it is plain JavaScript, because no engine strips types from text.
 *
 * Shared state: Int32 words. A header, then one seat per JavaScript thread (a cache line each).
 */

/** Header words. */
export const STATUS = 0
/** Counts wake-ups; the futex that the thread sleeps on. */
export const WAKE = 1
/** The tick the thread sleeps until, `NONE` (until woken) or `AWAKE`. */
export const TARGET = 2
/** Seats ever taken: the thread scans no further. */
export const USED = 3
/** Four random words that name the join channel. */
export const NAME = 4
export const HEADER_WORDS = 16

/** Values of STATUS. */
export const STARTING = 0
export const READY = 1
export const DEAD = 2

/** Words of a seat. */
export const FLAG = 0
/** Tick of the running call's deadline, or `NONE`. */
export const DEADLINE = 1
/** Chosen by whoever claims the seat; a join message must repeat it, so that a late message of an earlier claim is void. */
export const NONCE = 2
/** Clock hand-shake: 1 asked, 2 answered. */
export const SYNC = 3
/** The thread's clock at the answer: whole 65,536 ms units, then the rest in 1/32,768 ms. */
export const CLOCK_HIGH = 4
export const CLOCK_LOW = 5
/** Deadline of the call that last woke the thread, or `NONE`: what it sleeps until when that call has already ended. */
export const HINT = 6
export const SEAT_WORDS = 16
/** Threads one watchdog serves; the next starts its own. */
export const SEATS = 256

/** Values of FLAG. A claimant waits for LISTENING, sends its cell, and waits for REGISTERED. */
export const FREE = 0
export const CLAIMED = 1
export const LISTENING = 2
export const REGISTERED = 3

/** Ticks are 0.1 ms in 32 bits and wrap after 119 h, so they are compared by difference: `(a - b) | 0`. */
export const TICKS_PER_MS = 10
export const NONE = 0
export const AWAKE = 1

/** The least tick ≥ `ms` of the thread's clock: rounded up, so that a stop is never early; steps over the two marks. */
export const tickOf = (ms: number): number => {
  const tick = Math.ceil(ms * TICKS_PER_MS) | 0
  return tick === NONE || tick === AWAKE ? 2 : tick
}

/** The name of the channel on which a new thread sends its cell to the watchdog of `state`. */
export const channelOf = (state: Int32Array): string =>
  "stele-watchdog-" + Array.from(state.subarray(NAME, NAME + 4), (word) => (word >>> 0).toString(16).padStart(8, "0")).join("")

/**
 * A function expression over `{state, epoch}`; `epoch` is the cell of seat 0. It never returns.
 *
 * Sleep protocol (Dekker's: each side writes its own word, then reads the other's). The thread marks itself AWAKE,
 * reads the deadlines, publishes the tick it will sleep until and waits on WAKE as it was before it read. An arming
 * thread writes its deadline, then reads TARGET: later than or equal to TARGET needs no wake-up, else it bumps WAKE
 * and notifies. Either the thread's scan saw the deadline, or the armer saw AWAKE or a later TARGET. Who wakes the
 * thread leaves its deadline as a hint, so that the thread sleeps until then even if it finds the call ended: a loop
 * of short calls wakes it about twice per deadline interval, not once per call.
 *
 * A call is stopped only by compareExchange of the cell that was read before the deadline. A caller disarms, then
 * changes the cell's generation, then arms: so a pair that was read across a change never exchanges.
 */
export const watchdogSource = `({ state, epoch }) => {
  const S = new Int32Array(state)
  const cells = [new Int32Array(epoch.buffer)]
  const claims = []
  let channel
  const listen = () => {
    if (channel !== undefined) return
    channel = new BroadcastChannel("stele-watchdog-" + Array.from(S.subarray(${NAME}, ${NAME} + 4), (w) => (w >>> 0).toString(16).padStart(8, "0")).join(""))
    channel.onmessage = ({ data }) => {
      const { slot, nonce } = data
      if (!(slot > 0 && slot < ${SEATS})) return
      const seat = ${HEADER_WORDS} + slot * ${SEAT_WORDS}
      if (Atomics.load(S, seat + ${NONCE}) !== nonce || Atomics.load(S, seat + ${FLAG}) !== ${LISTENING}) return
      cells[slot] = new Int32Array(data.epoch.buffer)
      Atomics.compareExchange(S, seat + ${FLAG}, ${LISTENING}, ${REGISTERED})
      Atomics.notify(S, seat + ${FLAG})
    }
  }
  const run = async () => {
    for (;;) {
      const wake = Atomics.load(S, ${WAKE})
      Atomics.store(S, ${TARGET}, ${AWAKE})
      const ms = performance.now()
      const ticks = Math.floor(ms * ${TICKS_PER_MS})
      const now = ticks | 0
      let next = ${NONE}
      let joining = false
      const used = Math.min(Atomics.load(S, ${USED}), ${SEATS})
      for (let slot = 0; slot < used; slot++) {
        const seat = ${HEADER_WORDS} + slot * ${SEAT_WORDS}
        const flag = Atomics.load(S, seat + ${FLAG})
        if (flag !== ${REGISTERED}) {
          cells[slot] = undefined
          if (flag === ${FREE}) claims[slot] = 0
          else if ((claims[slot] = (claims[slot] ?? 0) + 1) > 2000) {
            // The claimant was terminated half-way: a claim is answered within milliseconds.
            Atomics.compareExchange(S, seat + ${FLAG}, flag, ${FREE})
          } else {
            joining = true
            listen()
            if (Atomics.compareExchange(S, seat + ${FLAG}, ${CLAIMED}, ${LISTENING}) === ${CLAIMED}) Atomics.notify(S, seat + ${FLAG})
          }
          continue
        }
        claims[slot] = 0
        if (Atomics.load(S, seat + ${SYNC}) === 1) {
          const clock = performance.now()
          const high = Math.floor(clock / 65536)
          Atomics.store(S, seat + ${CLOCK_HIGH}, high)
          Atomics.store(S, seat + ${CLOCK_LOW}, Math.floor((clock - high * 65536) * 32768))
          Atomics.store(S, seat + ${SYNC}, 2)
          Atomics.notify(S, seat + ${SYNC})
        }
        const cell = cells[slot]
        if (cell === undefined) continue
        const before = Atomics.load(cell, 0)
        const deadline = Atomics.load(S, seat + ${DEADLINE})
        if (deadline === ${NONE}) {
          const hint = Atomics.load(S, seat + ${HINT})
          if (hint === ${NONE}) continue
          if (((now - hint) | 0) >= 0) Atomics.compareExchange(S, seat + ${HINT}, hint, ${NONE})
          else if (next === ${NONE} || ((hint - next) | 0) < 0) next = hint
        } else if ((before & 1) === 1) continue
        else if (((now - deadline) | 0) >= 0) Atomics.compareExchange(cell, 0, before, before | 1)
        else if (next === ${NONE} || ((deadline - next) | 0) < 0) next = deadline
      }
      Atomics.store(S, ${TARGET}, next)
      if (joining) await new Promise((done) => setTimeout(done, 1))
      else Atomics.wait(S, ${WAKE}, wake, next === ${NONE} ? Infinity : ((next - now) | 0) / ${TICKS_PER_MS} - (ms - ticks / ${TICKS_PER_MS}))
    }
  }
  Atomics.store(S, ${STATUS}, ${READY})
  Atomics.notify(S, ${STATUS})
  return run()
}`
