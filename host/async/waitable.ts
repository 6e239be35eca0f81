/**
 * What a task can wait for: subtasks and the ends of streams and futures, alone or in sets. CanonicalABI.md "Waitable
 * State". Each has at most one event, made when it is delivered, so that it tells how things stand then.
 */
import { Scope } from "../call/handles.ts"

/** `EventCode`. */
export const event = { none: 0, subtask: 1, streamRead: 2, streamWrite: 3, futureRead: 4, futureWrite: 5, cancelled: 6 } as const

export type Event = readonly [code: number, p1: number, p2: number]

export class Waitable {
  /** Its index in the table. */
  index = 0
  #event: (() => Event) | undefined
  set: WaitableSet | undefined

  get hasEvent(): boolean {
    return this.#event !== undefined
  }

  tell(make: () => Event): void {
    this.#event = make
    this.set?.ready.add(this)
  }

  take(): Event {
    const make = this.#event as () => Event
    this.#event = undefined
    this.set?.ready.delete(this)
    return make()
  }

  join(set: WaitableSet | undefined): void {
    this.set?.members.delete(this)
    this.set?.ready.delete(this)
    this.set = set
    if (set === undefined) return
    set.members.add(this)
    if (this.hasEvent) set.ready.add(this)
  }
}

export class WaitableSet {
  readonly members = new Set<Waitable>()
  /** Those with an event, in the order it came. */
  readonly ready = new Set<Waitable>()
  /** Tasks that wait for it. */
  waiting = 0

  take(): Event {
    for (const waitable of this.ready) return waitable.take()
    return [event.none, 0, 0]
  }
}

/** `Subtask.State`. */
export const subtaskState = { starting: 0, started: 1, returned: 2, cancelledBeforeStarted: 3, cancelledBeforeReturned: 4 } as const

/** A call that a task has made asynchronously. */
export class Subtask extends Waitable {
  state: number = subtaskState.starting
  isDelivered = false
  isCancelRequested = false
  /** What its arguments borrow. */
  readonly scope = new Scope()
  /** Asks the callee to end early. */
  cancel: () => void = () => undefined

  get isResolved(): boolean {
    return this.state >= subtaskState.returned
  }

  /** Its result is about to be known: what it borrowed is given back. */
  deliver(): void {
    this.isDelivered = true
    this.scope.end()
  }

  progress(): void {
    this.tell(() => {
      if (this.isResolved && !this.isDelivered) this.deliver()
      return [event.subtask, this.index, this.state]
    })
  }
}

/** What `error-context.new` makes. */
export class ErrorContext {
  readonly debugMessage: string
  constructor(debugMessage: string) {
    this.debugMessage = debugMessage
  }
}
