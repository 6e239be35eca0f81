/** The isolates of one plugin: which call gets which, how many there may be, what waits, and what is started again. */
import { IsolateError } from "../../schemas/error/isolate.ts"
import { LimitError } from "../../schemas/error/limit.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import type { Executor, Spent, Target } from "../call/executor.ts"
import { GuestResource } from "../call/handles.ts"
import { findResource } from "../call/inline.ts"
import type { CallLimits } from "../call/instance.ts"
import type { Linked } from "../link/prepare.ts"
import type { ResolvedOptions } from "../options.ts"
import type { WaitQueue } from "../pool/queue.ts"
import { type Keeper, RemoteInstance } from "./crossing.ts"
import type { Kind } from "./link.ts"
import { Isolate, isPlain, notBegun } from "./remote.ts"
import type { Spares } from "./spare.ts"
import type { Wasi } from "../wasi/given.ts"
import { crossing, Encoder, noHandles } from "./wire.ts"

/** An isolate above `instances.idle` and `instances.ready` that nothing has used for so long is ended. */
const idleMsMax = 5_000
/** Isolates of a plugin that does not say how many it may have. */
const isolatesMaxDefault = 8

/** Who waits no longer than this is not worth another isolate. */
const lateMs = 5

/** What one isolate has besides the calls that it runs. */
interface Place {
  readonly isolate: Isolate
  /** Calls that have it. */
  taken: number
  /** Calls that must run here, because a resource of their arguments lives here. */
  readonly queue: WaitQueue<Isolate>
  /** To do when it has time, asked for by nobody who waits. */
  readonly chores: Array<() => Promise<void>>
  /** The instance that is kept between calls, where instances are kept. */
  kept: RemoteInstance | undefined
  idleSinceMs: number
}

export class IsolateExecutor implements Executor, Keeper {
  readonly isolation: Kind
  readonly #linked: Linked
  readonly #options: ResolvedOptions
  readonly #component: Uint8Array
  readonly #spares: Spares
  readonly #places = new Map<Isolate, Place>()
  readonly #homes = new WeakMap<RemoteInstance, Place>()
  /** The one used last stands last: it is the warmest. */
  readonly #idle: Array<Place> = []
  readonly #queue: WaitQueue<Isolate>
  readonly #isolatesMax: number
  /** Those that stay, used or not. */
  readonly #idleMax: number
  #starting = 0
  #isGrowing = false
  /** Isolates that run a chore now. */
  #choring = 0
  #instanceNumbers = 0
  #trim: ReturnType<typeof setTimeout> | undefined
  #isRetired = false
  #isClosed = false
  #onQuiet: (() => void) | undefined

  /** Writes the arguments of calls that wait. */
  readonly #copier: Encoder
  readonly #makeQueue: () => WaitQueue<Isolate>

  refuseSync(): Error {
    return new IsolateError("Sync", { isolation: this.isolation })
  }

  /** Starts the first isolate and loads the plugin there: what its engine refuses is refused now. */
  static async open(linked: Linked, options: ResolvedOptions, component: Uint8Array, spares: Spares): Promise<IsolateExecutor> {
    const { WaitQueue } = await import("../pool/queue.ts")
    const executor = new IsolateExecutor(linked, options, component, spares, () => new WaitQueue(options.queueMax, linked.nowMs))
    try {
      executor.#give(await executor.#start())
      executor.#grow()
    } catch (error) {
      await executor.close()
      throw error
    }
    return executor
  }

  private constructor(linked: Linked, options: ResolvedOptions, component: Uint8Array, spares: Spares, makeQueue: () => WaitQueue<Isolate>) {
    this.#makeQueue = makeQueue
    this.isolation = options.isolation as Kind
    this.#linked = linked
    this.#options = options
    this.#component = component
    this.#spares = spares
    this.#queue = makeQueue()
    const { memoryBytesMax } = linked.limits
    this.#copier = new Encoder(noHandles, undefined, crossing(memoryBytesMax), () => new LimitError("memoryBytesMax", { limit: memoryBytesMax }))
    this.#idleMax = Math.max(options.idleMax, options.readyCount, 1)
    this.#isolatesMax = options.instancesMax === Number.MAX_SAFE_INTEGER ? isolatesMaxDefault : options.instancesMax
  }

  get confinement(): ReadonlyArray<string> {
    return this.#spares.confinement(this.isolation)
  }

  get instances(): number {
    let count = 0
    for (const isolate of this.#places.keys()) count += isolate.instances.size
    return count
  }

  changed(change: "granted" | "revoked", grant: string): void {
    for (const isolate of this.#places.keys()) isolate.changed(change, grant)
  }

  async call(target: Target, args: ReadonlyArray<unknown>, given: CallLimits, signal: AbortSignal | undefined, spent: Spent): Promise<unknown> {
    // What the call is inside of stands there now, and not after the first wait.
    const limits = { ...given, depth: this.#linked.nesting.depth }
    const pinned = target.takesHandles ? this.#pinned(args, target.name) : undefined
    const home = pinned === undefined ? undefined : this.#homes.get(pinned)
    let write = (encoder: Encoder): void => encoder.args(target.type, args, target.name)
    let isolate = this.#take(home)
    if (isolate === undefined && !target.takesHandles) {
      // Arguments are copies, whatever the caller does with them while the call waits. Handles have no form outside an isolate.
      const copy = this.#copy(target, args)
      write = (encoder) => encoder.copy(copy)
    }
    for (;;) {
      isolate ??= home === undefined && isPlain(target.type) ? this.#takeBusy(limits.wasi ?? this.#linked.wasi) : undefined
      isolate ??= await this.#wait(home, target.name, limits, signal)
      const taken = isolate
      try {
        return await taken.call(target, pinned ?? this.#instanceFor(taken), write, limits, signal, spent, () => this.#give(taken))
      } catch (error) {
        if (error !== notBegun) throw error
        if (this.#isClosed) throw new PluginError("Closed", { what: "the plugin" })
        isolate = this.#take(home)
      }
    }
  }

  #instanceFor(isolate: Isolate): RemoteInstance {
    const place = this.#places.get(isolate) as Place
    const isKept = this.#options.reuse === "principal"
    if (isKept && place.kept !== undefined && !place.kept.isDiscarded) return place.kept
    const instance = new RemoteInstance(this.#linked, ++this.#instanceNumbers, this, isKept)
    this.#homes.set(instance, place)
    if (isKept) place.kept = instance
    return instance
  }

  #copy(target: Target, args: ReadonlyArray<unknown>): Uint8Array {
    this.#copier.begin({ kind: 0 })
    this.#copier.args(target.type, args, target.name)
    return this.#copier.bytes.slice()
  }

  /** The instance that the handles among the arguments live in. */
  #pinned(args: ReadonlyArray<unknown>, name: string): RemoteInstance | undefined {
    const resource = findResource(args)
    if (resource === undefined) return undefined
    const home = GuestResource.homeOf(resource)
    if (!(home instanceof RemoteInstance) || home.keeper !== this) return undefined
    if (home.isRunning) throw new PluginError("Busy", { export: name })
    return home
  }

  /** An isolate that is idle; this one, if it must be this one. */
  #take(home?: Place): Isolate | undefined {
    const at = home === undefined ? this.#idle.length - 1 : this.#idle.indexOf(home)
    const place = at < 0 ? undefined : this.#idle.splice(at, 1)[0]
    if (place !== undefined) place.taken = 1
    return place?.isolate
  }

  /** May one more call wait in its channel? */
  #hasRoom({ isolate, taken, chores, queue }: Place): boolean {
    return taken > 0 && taken < isolate.depth && chores.length === 0 && queue.length === 0 && !isolate.isEnded
  }

  /** An isolate in whose channel a call may wait, and which needs to be told nothing before: the one with the fewest. */
  #takeBusy(wasi: Wasi): Isolate | undefined {
    if (this.#queue.length > 0) return undefined
    let least: Place | undefined
    for (const place of this.#places.values())
      if (this.#hasRoom(place) && !place.isolate.hasNews(wasi) && (least === undefined || place.taken < least.taken)) least = place
    if (least !== undefined) least.taken++
    return least?.isolate
  }

  /** Waits for an isolate: this one, or whichever has time first, one that is started meanwhile included. */
  async #wait(
    home: Place | undefined,
    name: string,
    { deadlineAtMs, deadlineMs, tenant = this.#linked.tenant }: CallLimits,
    signal: AbortSignal | undefined,
  ): Promise<Isolate> {
    const call = { tenant, export: name, deadlineAtMs, deadlineMs, signal }
    if (home !== undefined) return home.queue.wait(call)
    // Calls that there may still be isolates for take no room in the queue.
    const waiting = this.#queue.wait(call, this.#isolatesMax - this.#places.size + this.#starting)
    this.#grow()
    const isolate = await waiting
    if (!this.#isClosed) return isolate
    this.#give(isolate)
    throw new PluginError("Closed", { what: "the plugin" })
  }

  /** Would those who wait have to wait for long, if nothing were started? One that boots takes its time, too. */
  #isLate(): boolean {
    if (this.#queue.length === 0) return false
    let perMs = 0
    for (const { isolate } of this.#places.values()) perMs += 1 / isolate.paceMs
    return !(this.#queue.length / perMs < lateMs)
  }

  /**
   * Starts another isolate while calls wait, or fewer are there than are to be ready. No call waits for that one: under load the ones that
   * run are free long before it has booted. One at a time, because boots that share the processors delay each other and the calls that run.
   */
  #grow(): void {
    // A chore is soon over: what it does, such as running a destructor, is not worth another isolate.
    if (this.#isClosed || this.#isGrowing || this.#choring > 0 || this.#places.size >= this.#isolatesMax) return
    if (!this.#isLate() && (this.#isRetired || this.#places.size >= this.#options.readyCount)) return
    this.#isGrowing = true
    this.#start().then(
      (isolate) => {
        this.#isGrowing = false
        this.#give(isolate)
        this.#grow()
      },
      (error: Error) => {
        this.#isGrowing = false
        // Whoever waits is served by the others; where there are none, the next who waits is worth another attempt.
        if (this.#places.size === 0 && this.#queue.fail(error)) this.#grow()
        else this.#tell(error)
        this.#rest()
      },
    )
  }

  async #start(): Promise<Isolate> {
    this.#starting++
    const startOptions = { heapBytesMax: this.#linked.limits.residentBytesMax }
    try {
      const link = this.#spares.take(this.isolation, startOptions)
      const isolate = new Isolate(link, this.#linked, (ended) => this.#ended(ended))
      const place: Place = { isolate, taken: 0, queue: this.#makeQueue(), chores: [], kept: undefined, idleSinceMs: 0 }
      this.#places.set(isolate, place)
      try {
        await isolate.load(this.#component, this.#options.prepare === "snapshot")
      } catch (error) {
        isolate.kill()
        await isolate.link.ended
        throw error
      }
      return isolate
    } finally {
      this.#starting--
      this.#spares.refill(this.isolation, startOptions)
    }
  }

  /** After a call: chores first, then who waits, then it is idle. */
  #give(isolate: Isolate): void {
    const place = this.#places.get(isolate)
    if (place === undefined) return this.#rest()
    if (place.taken > 0) place.taken--
    if (place.taken > 0) {
      while (!this.#isClosed && this.#hasRoom(place) && this.#queue.give(isolate)) place.taken++
      return
    }
    const chore = place.chores.shift()
    if (chore !== undefined) return this.#run(place, chore)
    if (!this.#isClosed && (place.queue.give(isolate) || this.#queue.give(isolate))) {
      place.taken = 1
      while (this.#hasRoom(place) && this.#queue.give(isolate)) place.taken++
      return
    }
    if (this.#isRetired && !this.#isHeld(place)) isolate.kill()
    place.idleSinceMs = this.#linked.nowMs()
    this.#idle.push(place)
    if (this.#idle.length > this.#idleMax) this.#trimLater()
    this.#rest()
  }

  #isHeld({ isolate }: Place): boolean {
    for (const instance of isolate.instances) if (instance.ownedOutside > 0) return true
    return false
  }

  /** Ends isolates that nobody has used for a while, the coldest first, but for as many as may be idle. Resources keep theirs. */
  #trimLater(): void {
    this.#trim ??= setTimeout(() => {
      this.#trim = undefined
      const before = this.#linked.nowMs() - idleMsMax
      const over = this.#idle.length - this.#idleMax
      if (over <= 0) return
      for (const place of this.#idle.slice(0, over)) if (place.idleSinceMs <= before && !this.#isHeld(place)) place.isolate.kill()
      this.#trimLater()
    }, idleMsMax)
    // The program need not live for it.
    ;(this.#trim as { unref?: () => void }).unref?.()
  }

  #ended(isolate: Isolate): void {
    const place = this.#places.get(isolate)
    if (place === undefined) return
    this.#places.delete(isolate)
    const idle = this.#idle.indexOf(place)
    if (idle >= 0) this.#idle.splice(idle, 1)
    // The resources that these calls take are gone with it.
    place.queue.close("the isolate that the resource lived in")
    if (isolate.idleCause !== undefined) this.#tell(isolate.idleCause)
    // Its place is free: whoever waits longest gets another.
    this.#grow()
    this.#rest()
  }

  /** Does something in an isolate when it has time; a failure is told to the observer. */
  #do(place: Place, chore: () => Promise<void>): void {
    const told = (): Promise<void> => chore().catch((error: unknown) => this.#tell(error))
    if (this.#take(place) === undefined) place.chores.push(told)
    else this.#run(place, told)
  }

  #run(place: Place, chore: () => Promise<void>): void {
    const { isolate } = place
    // It is no call: none waits behind it in the channel.
    place.taken = 0
    this.#choring++
    void chore().finally(() => {
      this.#choring--
      this.#give(isolate)
      this.#grow()
    })
  }

  #tell(error: unknown): void {
    const { digest, tenant, ports } = this.#linked
    const { code, message } = error as { readonly code?: string; readonly message: string }
    ports.observer.emit({ type: "stop", plugin: digest, tenant, export: "[isolate]", code: code ?? "STELE-ISO-0005", message })
  }

  // ── Keeper ────────────────────────────────────────────────────────────────

  dropResource(instance: RemoteInstance, number: number): void {
    const place = this.#homes.get(instance)
    if (place === undefined || place.isolate.isEnded) return
    this.#do(place, () => place.isolate.drop(instance, number))
  }

  released(instance: RemoteInstance): void {
    // One that is running, or whose destructor is, is looked at again when that ends.
    if (!instance.isLeft) return
    const place = this.#homes.get(instance)
    if (place === undefined || place.isolate.isEnded) return
    this.#do(place, () => place.isolate.discard(instance))
    if (this.#isRetired) this.retire()
  }

  renew({ number }: RemoteInstance): RemoteInstance {
    const place = [...this.#places.values()].find(({ kept }) => kept?.number === number)
    if (place?.kept?.isDiscarded === false) return place.kept
    const instance = new RemoteInstance(this.#linked, number, this, true)
    if (place !== undefined) {
      place.kept = instance
      this.#homes.set(instance, place)
    }
    return instance
  }

  // ── Ending ────────────────────────────────────────────────────────────────

  retire(): void {
    this.#isRetired = true
    for (const place of [...this.#idle]) if (!this.#isHeld(place)) place.isolate.kill()
  }

  /** Calls that wait are refused, calls that run end first, by their deadline at the latest; then every isolate ends. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#trim)
    this.#queue.close()
    for (const { queue } of this.#places.values()) queue.close()
    if (!this.#isQuiet()) await new Promise<void>((resolve) => (this.#onQuiet = resolve))
    const isolates = [...this.#places.keys()]
    for (const isolate of isolates) isolate.kill()
    await Promise.all(isolates.map((isolate) => isolate.link.ended))
    for (const { directory } of this.#linked.wasi.preopens) directory.close()
  }

  #isQuiet(): boolean {
    if (this.#starting > 0) return false
    for (const isolate of this.#places.keys()) if (isolate.isBusy) return false
    return true
  }

  #rest(): void {
    if (this.#onQuiet !== undefined && this.#isQuiet()) this.#onQuiet()
  }
}
