/** Calls on the calling thread: one instance a call, or instances that are kept for one principal. */
import { PluginError } from "../../schemas/error/plugin.ts"
import type { Linked } from "../link/prepare.ts"
import type { ResolvedOptions } from "../options.ts"
import type { Executor, Spent, Target } from "./executor.ts"
import { GuestResource } from "./handles.ts"
import { type CallLimits, Instance } from "./instance.ts"

/** The first live guest resource in a value. No getter runs: lowering reads each field once, later. Arguments may be graphs: each object is looked into once. */
export function findResource(value: unknown, depth = 0, seen = new Set<object>()): GuestResource | undefined {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || depth > 100 || seen.has(value)) return undefined
  if (GuestResource.is(value)) return value.isLive ? value : undefined
  seen.add(value)
  if (!Array.isArray(value) && Object.getPrototypeOf(value) !== Object.prototype && Object.getPrototypeOf(value) !== null) return undefined
  for (const key of Object.keys(value)) {
    const found = findResource(Object.getOwnPropertyDescriptor(value, key)?.value, depth + 1, seen)
    if (found !== undefined) return found
  }
  return undefined
}

export class InlineExecutor implements Executor {
  readonly isolation = "inline"
  readonly #linked: Linked
  readonly #options: ResolvedOptions
  readonly #idle: Array<Instance> = []
  readonly #live = new Set<Instance>()
  #isClosed = false

  constructor(linked: Linked, options: ResolvedOptions) {
    this.#linked = linked
    this.#options = options
    linked.discarded = (instance) => {
      this.#live.delete(instance)
      const idle = this.#idle.indexOf(instance)
      if (idle >= 0) this.#idle.splice(idle, 1)
    }
    linked.released = (instance) => {
      if (options.reuse === "never" && instance.ownedOutside === 0 && !instance.isRunning) instance.discard()
    }
  }

  get instances(): number {
    return this.#live.size
  }

  call(target: Target, args: ReadonlyArray<unknown>, limits: CallLimits, signal: AbortSignal | undefined, spent: Spent): unknown {
    const { nesting } = this.#linked
    const outerAtMs = nesting.depth === 0 ? Infinity : nesting.deadlineAtMs
    nesting.depth++
    nesting.deadlineAtMs = Math.min(limits.deadlineAtMs, outerAtMs)
    let instance: Instance | undefined
    try {
      let remaining = limits
      const pinned = target.takesHandles ? this.#pinned(args, target.name) : undefined
      instance = pinned ?? (this.#options.reuse === "principal" ? this.#idle.pop() : undefined)
      if (instance === undefined) {
        if (this.#live.size >= this.#options.instancesMax) throw new PluginError("Busy", { export: target.name })
        instance = new Instance(this.#linked)
        this.#live.add(instance)
        instance.signal = signal
        // An instance that fails to start discards itself, which counts it out again.
        instance.start(limits)
        // One budget for instantiation and call together.
        remaining = { ...limits, continues: true }
      }
      instance.signal = signal
      return instance.call(target.name, target.lift, args, remaining)
    } finally {
      nesting.depth--
      nesting.deadlineAtMs = outerAtMs
      if (instance !== undefined) {
        instance.tell(spent)
        if (!instance.isDiscarded) this.#release(instance)
      }
    }
  }

  close(): void {
    this.#isClosed = true
    for (const instance of this.#live) if (!instance.isRunning) instance.discard()
  }

  /** The instance that the handles among the arguments live in. */
  #pinned(args: ReadonlyArray<unknown>, name: string): Instance | undefined {
    const resource = findResource(args)
    if (resource === undefined) return undefined
    const instance = GuestResource.instanceOf(resource)
    if (instance.linked !== this.#linked) return undefined
    if (instance.isRunning) throw new PluginError("Busy", { export: name })
    const idle = this.#idle.indexOf(instance)
    if (idle >= 0) this.#idle.splice(idle, 1)
    return instance
  }

  #release(instance: Instance): void {
    if (this.#isClosed) instance.discard()
    else if (this.#options.reuse === "principal") {
      if (this.#idle.length < Math.max(this.#options.idleMax, 1) || instance.ownedOutside > 0) this.#idle.push(instance)
      else instance.discard()
    } else if (instance.ownedOutside === 0) instance.discard()
  }
}
