/** The instances of one plugin: which call gets which, how many there may be, and what becomes of each after its call. */
import { PluginError } from "../../schemas/error/plugin.ts"
import { GuestResource } from "../call/handles.ts"
import { Instance } from "../call/instance.ts"
import type { Linked } from "../link/prepare.ts"
import type { ResolvedOptions } from "../options.ts"

export class Pool {
  readonly #linked: Linked
  readonly #options: Pick<ResolvedOptions, "reuse" | "instancesMax" | "idleMax">
  readonly #idle: Array<Instance> = []
  readonly #live = new Set<Instance>()
  #isClosed = false
  #isRetired = false

  constructor(linked: Linked, options: Pick<ResolvedOptions, "reuse" | "instancesMax" | "idleMax">) {
    this.#linked = linked
    this.#options = options
    linked.discarded = (instance) => {
      this.#live.delete(instance)
      const idle = this.#idle.indexOf(instance)
      if (idle >= 0) this.#idle.splice(idle, 1)
    }
    linked.released = (instance) => {
      if ((options.reuse === "never" || this.#isRetired) && instance.ownedOutside === 0 && !instance.isRunning) instance.discard()
    }
  }

  /** Live instances, running and idle. */
  get size(): number {
    return this.#live.size
  }

  /**
   * The instance for a call of export `name`: the one that `resource`, an argument, lives in; one that is idle; or a new
   * one, which is not started yet.
   * @throws PluginError `Busy` when that instance runs, or when there are as many as there may be
   */
  take(name: string, resource: GuestResource | undefined): Instance {
    const instance = (resource === undefined ? undefined : this.#pinned(resource, name)) ?? (this.#options.reuse === "principal" ? this.#idle.pop() : undefined)
    if (instance !== undefined) return instance
    if (this.#live.size >= this.#options.instancesMax) throw new PluginError("Busy", { export: name })
    const made = new Instance(this.#linked)
    this.#live.add(made)
    return made
  }

  /** After its call: kept or discarded. One that failed has discarded itself, which counted it out. */
  give(instance: Instance): void {
    if (instance.isDiscarded) return
    if (this.#isClosed) instance.discard()
    else if (this.#options.reuse === "principal" && !this.#isRetired) {
      if (this.#idle.length < Math.max(this.#options.idleMax, 1) || instance.ownedOutside > 0) this.#idle.push(instance)
      else instance.discard()
    } else if (instance.ownedOutside === 0) instance.discard()
  }

  /** Keeps only instances that resources are held of, and those no longer than that. */
  retire(): void {
    this.#isRetired = true
    for (const instance of this.#live) if (!instance.isRunning && instance.ownedOutside === 0) instance.discard()
  }

  /** Discards every instance, those that resources are held of included; one that runs when its call ends. */
  close(): void {
    this.#isClosed = true
    for (const instance of this.#live) if (!instance.isRunning) instance.discard()
  }

  #pinned(resource: GuestResource, name: string): Instance | undefined {
    const instance = GuestResource.instanceOf(resource)
    if (instance.linked !== this.#linked) return undefined
    if (instance.isRunning) throw new PluginError("Busy", { export: name })
    const idle = this.#idle.indexOf(instance)
    if (idle >= 0) this.#idle.splice(idle, 1)
    return instance
  }
}
