/** A call of a lifted function, from its start to the end of what it runs. CanonicalABI.md "Task State", "Thread State": one thread each. */
import type { LiftedFunction } from "../call/instance.ts"
import { Scope } from "../call/handles.ts"
import type { LiftSpec } from "../component/blueprint.ts"

/** What a task waits for. */
export interface TaskWait {
  readonly ready: () => boolean
  /** Goes on; `true` when it does so in a microtask of its own. */
  readonly resume: (isCancelled: boolean) => boolean
  readonly isCancellable: boolean
  /** It gave the thread back and waits for nothing: everybody else goes first. */
  readonly yields: boolean
}

export interface TaskParts {
  readonly number: number
  readonly spec: LiftSpec
  readonly lifted: LiftedFunction
  /** Component instance it runs in. */
  readonly owner: number
  readonly supertask: Task | undefined
  /** It is entered on a stack of its own, so that it can be suspended. */
  readonly isStacked: boolean
  /** Lifts and answers with the arguments, when it starts. */
  readonly onStart: () => ReadonlyArray<unknown>
  readonly onResolve: (value: unknown, isCancelled: boolean) => void
}

export class Task implements TaskParts {
  readonly number: number
  readonly spec: LiftSpec
  readonly lifted: LiftedFunction
  readonly owner: number
  readonly supertask: Task | undefined
  readonly isStacked: boolean
  readonly onStart: TaskParts["onStart"]
  readonly onResolve: TaskParts["onResolve"]
  /** What its parameters borrow. */
  readonly scope = new Scope()
  /** `context.get` and `context.set`. */
  readonly slots: [number, number] = [0, 0]
  isResolved = false
  cancel: "none" | "pending" | "delivered" = "none"
  wait: TaskWait | undefined
  /** It waits outside of guest code, to be called back. */
  isInLoop = false
  /** What follows when the function that runs on its stack has returned. */
  next: ((returned: never) => void) | undefined

  constructor(parts: TaskParts) {
    this.number = parts.number
    this.spec = parts.spec
    this.lifted = parts.lifted
    this.owner = parts.owner
    this.supertask = parts.supertask
    this.isStacked = parts.isStacked
    this.onStart = parts.onStart
    this.onResolve = parts.onResolve
  }

  /** Its code does not expect to be entered while it runs: all but stackful lifts. */
  get needsExclusive(): boolean {
    return this.spec.isAsync !== true || this.spec.callback !== undefined
  }
}
