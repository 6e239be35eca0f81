/** Calls on the calling thread: one instance a call, or instances that are kept for one principal. */
import { PluginError } from "../../schemas/error/plugin.ts"
import type { Linked } from "../link/prepare.ts"
import type { ResolvedOptions } from "../options.ts"
import { Pool, type PoolCounts } from "../pool/pool.ts"
import type { Executor, Spent, Target } from "./executor.ts"
import { GuestResource } from "./handles.ts"
import type { CallLimits, Instance } from "./instance.ts"

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

/** What the first live guest resource among arguments belongs to. */
export function linkedOfResource(args: ReadonlyArray<unknown>): Linked | undefined {
  const resource = findResource(args)
  return resource === undefined ? undefined : GuestResource.homeOf(resource).linked
}

export class InlineExecutor implements Executor {
  readonly isolation = "inline"
  readonly #linked: Linked
  readonly #pool: Pool

  constructor(linked: Linked, options: ResolvedOptions) {
    this.#linked = linked
    this.#pool = new Pool(linked, options)
  }

  get instances(): number {
    return this.#pool.size
  }

  counts(): PoolCounts {
    return this.#pool.counts()
  }

  call(target: Target, args: ReadonlyArray<unknown>, limits: CallLimits, signal: AbortSignal | undefined, spent: Spent): unknown {
    const resource = target.takesHandles ? findResource(args) : undefined
    const instance = this.#pool.take(target.name, resource, limits)
    if (instance !== undefined) return this.#run(instance, target, args, limits, signal, spent)
    if (limits.mayWait !== true) throw new PluginError("Busy", { export: target.name })
    return this.#pool.wait(target.name, resource, limits, signal).then((free) => {
      // Closed since it was handed over.
      if (free.isDiscarded) throw new PluginError("Closed", { what: "the plugin" })
      return this.#run(free, target, args, limits, signal, spent)
    })
  }

  #run(instance: Instance, target: Target, args: ReadonlyArray<unknown>, limits: CallLimits, signal: AbortSignal | undefined, spent: Spent): unknown {
    const { nesting } = this.#linked
    const outerAtMs = nesting.depth === 0 ? Infinity : nesting.deadlineAtMs
    nesting.depth++
    nesting.deadlineAtMs = Math.min(limits.deadlineAtMs, outerAtMs)
    let answer: unknown
    try {
      instance.signal = signal
      instance.trace = limits.trace
      instance.wasi = limits.wasi ?? this.#linked.wasi
      if (!instance.isStarted) instance.start(limits)
      answer = limits.mayWait === true ? instance.later(target.name, target.lift, args, limits) : instance.call(target.name, target.lift, args, limits)
    } finally {
      nesting.depth--
      nesting.deadlineAtMs = outerAtMs
      if (!(answer instanceof Promise)) this.#ended(instance, spent)
    }
    return answer instanceof Promise ? answer.finally(() => this.#ended(instance, spent)) : answer
  }

  #ended(instance: Instance, spent: Spent): void {
    instance.tell(spent)
    const { rest } = instance
    if (rest === undefined) return this.#pool.give(instance)
    spent.rest = rest.then((failure) => {
      instance.tell(spent)
      this.#pool.give(instance)
      return failure
    })
  }

  retire(): void {
    this.#pool.retire()
  }

  close(): void {
    this.#pool.close()
    for (const { directory } of this.#linked.wasi.preopens) directory.close()
  }
}
