/**
 * The event loop's turns, shared out between guests that compute. One guest goes on in each, so that however many there
 * are, everything else waits for one stretch of one guest at most.
 */

/** A guest that has run so long gives the thread back at its next tick: it and the slice after it stay well below 10 ms (HOST.md §2). */
export const stretchMs = 2

/** Runs `run` after what the event loop has to do now. `setTimeout` would not do: 1 ms on servers, 4 ms in browsers, each time. */
const later: (run: () => void) => void = ((): ((run: () => void) => void) => {
  const { setImmediate: immediate } = globalThis as { setImmediate?: (run: () => void) => void }
  if (typeof immediate === "function") return immediate
  const { port1, port2 } = new MessageChannel()
  let next: (() => void) | undefined
  port1.onmessage = () => next?.()
  return (run) => {
    next = run
    port2.postMessage(0)
  }
})()

const waiting: Array<() => void> = []
/** When the turn that waits was asked for; `Infinity` while none does. */
let askedAtMs = Infinity

function turn(): void {
  askedAtMs = Infinity
  waiting.shift()?.()
  if (waiting.length > 0) ask()
}

let nowMs: () => number = () => 0
function ask(): void {
  askedAtMs = nowMs()
  later(turn)
}

/** Has a guest that got the thread at `sinceMs` had it long enough, or is somebody else's turn overdue? */
export const isDue = (sinceMs: number, now: number): boolean => now - (sinceMs < askedAtMs ? sinceMs : askedAtMs) >= stretchMs

/** Runs `run` in a turn of its own. */
export function inTurn(run: () => void, clock: () => number): void {
  nowMs = clock
  waiting.push(run)
  if (askedAtMs === Infinity) ask()
}
