/**
 * What an isolate holds of the host, and what the host holds of an isolate: both by numbers that mean nothing anywhere else.
 * The table of the host's resources is here, with the parent: an isolate can name what it was given, as the type it was given
 * as, and nothing more, and whatever happens to it each resource is let go of exactly once.
 */
import { LimitError } from "../../schemas/error/limit.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { SteleError } from "../../schemas/error/family.ts"
import { WitError } from "../../schemas/error/wit.ts"
import type { ResourceType } from "../../schemas/wit/model.ts"
import { AbiTrap, type HandleTable } from "../abi/context.ts"
import { GuestResource, type Home } from "../call/handles.ts"
import { Spending } from "../call/quota.ts"
import type { CallContext, CallQuota } from "../capability/capability.ts"
import type { GrantSet } from "../capability/grant.ts"
import type { Linked } from "../link/prepare.ts"
import type { Limits } from "../options.ts"
import type { Wasi } from "../wasi/given.ts"
import type { Ports, TraceContext } from "../port/mod.ts"

/** Told of what the embedder gives up: the isolate runs destructors and lets instances go when it has time. */
export interface Keeper {
  dropResource(instance: RemoteInstance, number: number): void
  released(instance: RemoteInstance): void
  /** The one that takes the place of a kept one that is gone, under the same number. */
  renew(instance: RemoteInstance): RemoteInstance
}

/** An instance in an isolate, as the host sees it: where guest resources live, and the context of its host calls. */
export class RemoteInstance implements Home, CallContext {
  /** What the isolate knows it by. */
  readonly number: number
  readonly keeper: Keeper
  readonly tenant: string
  readonly plugin: string
  readonly grants: GrantSet
  readonly ports: Ports
  readonly limits: Limits
  readonly counts = new Map<string, { calls: number; bytes: number }>()
  readonly spending = new Spending()
  /** Nothing reaches it any more; the isolate may have to be told yet. */
  isDiscarded = false
  ownedOutside = 0
  isRunning = false
  /** Does the isolate have it? */
  isThere = false
  /** Does it outlive its call whatever is held of it? */
  readonly isKept: boolean
  signal: AbortSignal | undefined = undefined
  trace: TraceContext | undefined = undefined
  wasi: Wasi
  deadlineAtMs = Infinity
  /** For the error's text. */
  deadlineMs = Infinity
  readonly linked: Linked

  constructor(linked: Linked, number: number, keeper: Keeper, isKept: boolean) {
    this.linked = linked
    this.number = number
    this.keeper = keeper
    this.isKept = isKept
    this.tenant = linked.tenant
    this.plugin = linked.digest
    this.grants = linked.grants
    this.ports = linked.ports
    this.limits = linked.limits
    this.wasi = linked.wasi
  }

  /** The isolate has it and nobody needs it. */
  get isLeft(): boolean {
    return this.isThere && !this.isRunning && (this.isDiscarded || (!this.isKept && this.ownedOutside === 0))
  }

  letGo(_type: ResourceType, rep: number): void {
    this.keeper.dropResource(this, rep)
  }

  released(): void {
    this.keeper.released(this)
  }

  remainingMs(): number {
    return Math.max(0, this.deadlineAtMs - this.linked.nowMs())
  }

  readonly #closing: Array<() => void> = []

  atDiscard(close: () => void): void {
    this.#closing.push(close)
  }

  discard(): void {
    this.isDiscarded = true
    for (const close of this.#closing.splice(0)) close()
  }

  /** Always: the guest blocks its own thread. */
  mayWait(): boolean {
    return true
  }

  #over: AbortController | undefined

  ended(): AbortSignal {
    return (this.#over ??= new AbortController()).signal
  }

  /** The call is over: what host functions have begun for it and not ended has nobody to answer. */
  endCall(): void {
    this.#over?.abort()
    this.#over = undefined
  }

  expired(): Error {
    return new LimitError("deadlineMs", { limit: this.deadlineMs })
  }

  spend(limit: CallQuota, amount: number): void {
    this.spending.spend(this.limits, limit, amount)
  }

  used(grant: string, bytes: number): void {
    const count = this.counts.get(grant)
    if (count === undefined) this.counts.set(grant, { calls: 1, bytes })
    else {
      count.calls++
      count.bytes += bytes
    }
    this.linked.used(grant, bytes)
  }

  denied(grant: string): Error {
    return this.linked.denied(grant, this.trace)
  }
}

interface Entry {
  readonly type: ResourceType
  readonly rep: unknown
  readonly isOwn: boolean
  /** Whose host calls it belongs to. */
  readonly context: RemoteInstance
}

const describe = (value: unknown): string => (value === null ? "null" : typeof value === "object" ? "an object" : typeof value)

export class Crossing implements HandleTable {
  readonly #linked: Linked
  readonly #entries = new Map<number, Entry>()
  /** Lent for the call or host call that runs. */
  #lent: Array<number> = []
  #borrowed: Array<GuestResource> = []
  /** Given to the isolate by the message that is being written, which may never be sent. */
  #given: Array<number> = []
  #next = 1
  /** The instance that what is read or written now belongs to. */
  instance: RemoteInstance | undefined
  /** Were resources of the guest's taken by the message that is being written? */
  hasTaken = false

  constructor(linked: Linked) {
    this.#linked = linked
  }

  get size(): number {
    return this.#entries.size
  }

  #isGuest(type: ResourceType): boolean {
    return this.#linked.blueprint.resources.has(type)
  }

  #add(type: ResourceType, rep: unknown, isOwn: boolean): number {
    const { handlesMax } = this.#linked.limits
    if (this.#entries.size >= handlesMax) throw new LimitError("handlesMax", { limit: handlesMax })
    const number = this.#next
    this.#next = number === 0x7fff_ffff ? 1 : number + 1
    this.#entries.set(number, { type, rep, isOwn, context: this.instance as RemoteInstance })
    return number
  }

  #isHost(type: ResourceType, value: unknown): boolean {
    if (typeof value !== "object" || value === null) return false
    const served = this.#linked.classes.get(type)
    return served === undefined || value instanceof served
  }

  own(type: ResourceType, value: unknown): number {
    if (this.#isGuest(type)) {
      const rep = GuestResource.rep(value, type, this.instance as RemoteInstance, true)
      if (rep === undefined) throw this.#notA(type, value)
      this.hasTaken = true
      return rep
    }
    if (!this.#isHost(type, value)) throw this.#notA(type, value)
    try {
      const number = this.#add(type, value, true)
      this.#given.push(number)
      return number
    } catch (error) {
      this.#release(type, value, this.instance as RemoteInstance)
      throw error
    }
  }

  borrow(type: ResourceType, value: unknown): number {
    if (this.#isGuest(type)) {
      const rep = GuestResource.rep(value, type, this.instance as RemoteInstance, false)
      if (rep === undefined) throw this.#notA(type, value)
      return rep
    }
    if (!this.#isHost(type, value)) throw this.#notA(type, value)
    const number = this.#add(type, value, false)
    this.#lent.push(number)
    return number
  }

  takeOwn(type: ResourceType, number: number): unknown {
    if (this.#isGuest(type)) {
      const home = this.instance as RemoteInstance
      // An honest guest's own table has refused before: this one names what it likes, four bytes for each.
      const { handlesMax } = this.#linked.limits
      if (home.ownedOutside >= handlesMax) throw new LimitError("handlesMax", { limit: handlesMax })
      home.ownedOutside++
      return new GuestResource(type, number, home, true)
    }
    const entry = this.#get(type, number)
    if (!entry.isOwn) throw new AbiTrap(`resource ${number} is borrowed, not owned`)
    this.#entries.delete(number)
    return entry.rep
  }

  lend(type: ResourceType, number: number): unknown {
    if (!this.#isGuest(type)) return this.#get(type, number).rep
    const { handlesMax } = this.#linked.limits
    if (this.#borrowed.length >= handlesMax) throw new LimitError("handlesMax", { limit: handlesMax })
    const resource = new GuestResource(type, number, this.instance as RemoteInstance, false)
    this.#borrowed.push(resource)
    return resource
  }

  #get(type: ResourceType, number: number): Entry {
    const entry = this.#entries.get(number)
    if (entry === undefined || entry.type !== type) throw new AbiTrap(`resource ${number} is none that this guest was given as that type`)
    return entry
  }

  beginScope(): void {}

  /** The host call that was served is over: what the guest lent for it is worth nothing any more. */
  endScope(): void {
    for (const resource of this.#borrowed) GuestResource.expire(resource)
    this.#borrowed = []
  }

  /** The call is over: what was lent for it goes. */
  endCall(): void {
    this.endScope()
    for (const number of this.#lent) this.#entries.delete(number)
    this.#lent = []
  }

  /** A message is about to be written. */
  beginMessage(instance: RemoteInstance): void {
    this.instance = instance
    this.hasTaken = false
    this.#given = []
  }

  /** The message could not be written: what it would have given away is let go of, as if its receiver had dropped it. */
  giveUp(): void {
    for (const number of this.#given) this.drop(number, true)
    this.#given = []
  }

  /** The guest dropped a resource of the host's, or its instance did. `isTold`: a failure is told to the observer, else thrown. */
  drop(number: number, isTold: boolean): void {
    const entry = this.#entries.get(number)
    if (entry === undefined) throw new AbiTrap(`resource ${number} is none that this guest was given`)
    if (!entry.isOwn) return
    this.#entries.delete(number)
    try {
      this.#release(entry.type, entry.rep, entry.context)
    } catch (error) {
      if (!isTold) throw error
      this.#tell(entry.context, error)
    }
  }

  /** The isolate is gone: all that it held is let go of. */
  clear(): void {
    const entries = [...this.#entries.values()]
    this.#entries.clear()
    this.#lent = []
    for (const { type, rep, isOwn, context } of entries) {
      if (!isOwn) continue
      try {
        this.#release(type, rep, context)
      } catch (error) {
        this.#tell(context, error)
      }
    }
  }

  #release(type: ResourceType, rep: unknown, context: RemoteInstance): void {
    const drop = this.#linked.drops.get(type) as ((call: CallContext, rep: unknown) => unknown) | undefined
    if (drop === undefined) return
    let answer: unknown
    try {
      answer = drop(context, rep)
    } catch (error) {
      throw dropFailure(error)
    }
    if (answer instanceof Promise) answer.then(undefined, (error: unknown) => this.#tell(context, dropFailure(error)))
  }

  #tell({ plugin, tenant, ports }: RemoteInstance, error: unknown): void {
    const { code, message } = dropFailure(error)
    ports.observer.emit({ type: "stop", plugin, tenant, export: "[resource-drop]", code, message })
  }

  #notA(type: ResourceType, value: unknown): WitError {
    const actual = GuestResource.is(value)
      ? value.isLive
        ? "a resource of another type or instance"
        : "a resource that was dropped or given away"
      : describe(value)
    return new WitError("Value", { path: "", expected: `resource ${type.name?.name ?? "handle"}`, actual })
  }
}

function dropFailure(error: unknown): SteleError {
  if (error instanceof SteleError) return error
  return new PluginError(
    "HostCall",
    { export: "[resource-drop]", import: "[resource-drop]", detail: error instanceof Error ? error.message : "it threw" },
    { cause: error },
  )
}
