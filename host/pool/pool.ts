/** The instances of one plugin: which call gets which, how many there may be, and what becomes of each after its call. See `docs/adr/0025-pools-snapshots-hot-swap.md`. */
import { PluginError } from "../../schemas/error/plugin.ts"
import { GuestResource } from "../call/handles.ts"
import { type CallLimits, Instance } from "../call/instance.ts"
import type { Linked } from "../link/prepare.ts"
import type { ResolvedOptions } from "../options.ts"
import type { WaitQueue } from "./queue.ts"
import type { Ready } from "./ready.ts"

/** What of a plugin's options its instances follow. */
export type PoolOptions = Pick<ResolvedOptions, "reuse" | "instancesMax" | "idleMax" | "queueMax" | "readyCount">

/** Instances of a plugin by what they do, and what became of those there were: `made` = `discarded` + `live`. */
export interface PoolCounts {
  readonly live: number
  /** Live ones that were made ahead. */
  readonly ready: number
  /** Live ones that have served and are kept. */
  readonly idle: number
  /** Calls that wait for an instance. */
  readonly waiting: number
  readonly made: number
  readonly discarded: number
  /** Linear memories of all live ones. */
  readonly memoryBytes: number
}

export class Pool {
  readonly #linked: Linked
  readonly #options: PoolOptions
  readonly #idle: Array<Instance> = []
  readonly #live = new Set<Instance>()
  /** Made when a call first waits. */
  #queue: WaitQueue<Instance> | undefined
  #ready: Ready | undefined
  #made = 0
  #discarded = 0
  #isClosed = false
  #isRetired = false

  constructor(linked: Linked, options: PoolOptions) {
    this.#linked = linked
    this.#options = options
    linked.discarded = (instance) => {
      if (!this.#live.delete(instance)) return
      this.#discarded++
      const idle = this.#idle.indexOf(instance)
      if (idle >= 0) this.#idle.splice(idle, 1)
      this.#ready?.remove(instance)
      if (this.#queue !== undefined && this.#queue.length > 0 && !this.#isClosed && this.#live.size < options.instancesMax) this.#queue.give(this.#make())
      else this.#ready?.refill()
    }
    linked.released = (instance) => {
      if ((options.reuse === "never" || this.#isRetired) && instance.ownedOutside === 0 && !instance.isRunning) instance.discard()
    }
    if (options.readyCount > 0) void this.#prepare(options.readyCount)
  }

  /** Live instances, running and idle. */
  get size(): number {
    return this.#live.size
  }

  counts(): PoolCounts {
    let memoryBytes = 0
    for (const instance of this.#live) memoryBytes += instance.memoryBytes()
    return {
      live: this.#live.size,
      ready: this.#ready?.length ?? 0,
      idle: this.#idle.length,
      waiting: this.#queue?.length ?? 0,
      made: this.#made,
      discarded: this.#discarded,
      memoryBytes,
    }
  }

  /**
   * The instance for a call of export `name`: the one that `resource`, an argument, lives in; one that is idle or was
   * made ahead; or a new one, which is not started yet. Undefined when there are as many as there may be.
   * @throws PluginError `Busy` when the resource's instance runs
   */
  take(name: string, resource: GuestResource | undefined, limits: CallLimits): Instance | undefined {
    const instance = (resource === undefined ? undefined : this.#pinned(resource, name)) ?? (this.#options.reuse === "principal" ? this.#idle.pop() : undefined)
    if (instance !== undefined) return instance
    const ready = this.#ready?.take(limits)
    if (ready !== undefined) return ready
    // Those made ahead that this call may not have must not keep it from an instance.
    if (this.#live.size >= this.#options.instancesMax) this.#ready?.discardOne()
    return this.#makeOne()
  }

  /**
   * The instance for a call that may wait for it.
   * @throws PoolError `QueueFull`; LimitError `deadlineMs`; PluginError `Aborted`, `Closed`
   */
  async wait(name: string, resource: GuestResource | undefined, limits: CallLimits, signal: AbortSignal | undefined): Promise<Instance> {
    const { WaitQueue } = await import("./queue.ts")
    const { nowMs, tenant } = this.#linked
    const { deadlineAtMs, deadlineMs } = limits
    const asking = limits.tenant ?? tenant
    // Something may have become free meanwhile.
    const instance = this.#isClosed || (this.#queue?.length ?? 0) > 0 ? undefined : this.take(name, resource, limits)
    const queue = (this.#queue ??= new WaitQueue(this.#options.queueMax, nowMs))
    const waited = instance ?? (await (this.#isClosed ? undefined : queue.wait({ tenant: asking, export: name, deadlineAtMs, deadlineMs, signal })))
    if (waited === undefined || this.#isClosed) throw new PluginError("Closed", { what: "the plugin" })
    if (signal?.aborted !== true) return waited
    this.give(waited)
    throw new PluginError("Aborted", { export: name })
  }

  async #prepare(count: number): Promise<void> {
    const { Ready } = await import("./ready.ts")
    if (!this.#isClosed && !this.#isRetired) this.#ready = new Ready(this.#linked, count, () => this.#makeOne())
  }

  #makeOne(): Instance | undefined {
    return this.#live.size >= this.#options.instancesMax ? undefined : this.#make()
  }

  #make(): Instance {
    const made = this.#linked.waiting?.create(this.#linked) ?? Instance.make(this.#linked)
    this.#made++
    this.#live.add(made)
    return made
  }

  /** After its call: kept or discarded. One that failed has discarded itself, which counted it out. */
  give(instance: Instance): void {
    if (instance.isDiscarded) return
    this.#ready?.retry()
    if (this.#isClosed || this.#linked.blueprint.servesOneCall === true) instance.discard()
    else if (this.#options.reuse === "principal" && this.#queue?.give(instance) === true) return
    else if (this.#options.reuse === "principal" && !this.#isRetired) {
      if (this.#idle.length < Math.max(this.#options.idleMax, 1) || instance.ownedOutside > 0) this.#idle.push(instance)
      else instance.discard()
    } else if (instance.ownedOutside === 0) instance.discard()
  }

  /** Keeps only instances that resources are held of, and those no longer than that. */
  retire(): void {
    this.#isRetired = true
    this.#ready?.close()
    for (const instance of this.#live) if (!instance.isRunning && instance.ownedOutside === 0) instance.discard()
    this.#linked.remains.close()
  }

  /** Discards every instance, those that resources are held of included; one that runs when its call ends. */
  close(): void {
    this.#isClosed = true
    this.#ready?.close()
    this.#queue?.close()
    for (const instance of this.#live) if (!instance.isRunning) instance.discard()
    this.#linked.remains.close()
  }

  #pinned(resource: GuestResource, name: string): Instance | undefined {
    const instance = GuestResource.homeOf(resource)
    if (!(instance instanceof Instance) || instance.linked !== this.#linked) return undefined
    if (instance.isRunning) throw new PluginError("Busy", { export: name })
    const idle = this.#idle.indexOf(instance)
    if (idle >= 0) this.#idle.splice(idle, 1)
    return instance
  }
}
