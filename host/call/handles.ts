/**
 * Handle tables of the canonical ABI: what an i32 in a guest stands for. One table per component instance; index 0 is
 * never a handle. A host resource's entry holds the host's object; a guest resource's entry holds the i32 its
 * component gave to `resource.new`, and appears in JavaScript as a `GuestResource`.
 *
 * Source: component-model `design/mvp/CanonicalABI.md`, "Resource State" and `canon resource.*`.
 */
import { LimitError } from "../../schemas/error/limit.ts"
import { WitError } from "../../schemas/error/wit.ts"
import type { ResourceType } from "../../schemas/wit/model.ts"
import { AbiTrap, type EndTable, type HandleTable } from "../abi/context.ts"
import type { Linked } from "../link/prepare.ts"
import type { Instance } from "./instance.ts"

interface Entry {
  /** Undefined: no resource, but what `host/async` keeps in the same table. */
  readonly type: ResourceType | undefined
  readonly rep: unknown
  readonly isOwn: boolean
  /** Borrows of this own handle that have not ended. */
  lends: number
  /** Of a borrow: the scope it belongs to, where that is no call on the stack. */
  readonly scope?: Scope | undefined
}

/** Loans and borrows of one task or subtask, whose calls do not nest as those of a stack do. */
export class Scope {
  readonly loans: Array<Entry> = []
  readonly lent: Array<GuestResource> = []
  readonly borrowed: Array<GuestResource> = []
  /** Borrowed handles that the guest has and must drop before its task returns. */
  borrows = 0

  /** Returns what was lent. */
  end(): void {
    for (const entry of this.loans.splice(0)) entry.lends--
    for (const resource of this.lent.splice(0)) GuestResource.lend(resource, -1)
    for (const resource of this.borrowed.splice(0)) GuestResource.expire(resource)
  }
}

/** Where guest resources live: an instance here, or one in another thread or process. */
export interface Home {
  readonly linked: Linked
  readonly isDiscarded: boolean
  /** Own handles that the embedder holds. */
  ownedOutside: number
  /** The embedder gives a resource up: its destructor runs. */
  letGo(type: ResourceType, rep: number): void
  /** One resource fewer is held: an instance that was kept for it may go. */
  released(): void
}

/**
 * Instances by the own resources that keep them. An embedder that forwards results of any type may never look at the
 * resources in them: when such a one is collected its instance is not kept for it. No destructor runs, since nobody is
 * there to give it time and to hear of its failure.
 */
const abandoned = new FinalizationRegistry<Home>((home) => {
  home.ownedOutside--
  home.released()
})

/**
 * A resource that a guest implements, held by the host. It keeps the instance it lives in busy with it: calls that
 * take it run in that instance. Dispose it to run the guest's destructor; after a stop or trap of its instance every
 * use is a typed error.
 */
export class GuestResource {
  readonly type: ResourceType
  readonly #home: Home
  readonly #rep: number
  readonly #isOwn: boolean
  #isLive = true
  /** Parameters of running calls that borrow it: it cannot be given away meanwhile. */
  #lends = 0

  constructor(type: ResourceType, rep: number, home: Home, isOwn: boolean) {
    this.type = type
    this.#rep = rep
    this.#home = home
    this.#isOwn = isOwn
    if (isOwn) abandoned.register(this, home, this)
  }

  get isLive(): boolean {
    return this.#isLive && !this.#home.isDiscarded
  }

  /** By its private fields: what only has the prototype is none. */
  static is(value: unknown): value is GuestResource {
    return typeof value === "object" && value !== null && #rep in value
  }

  /** The instance this resource lives in. */
  static homeOf(resource: GuestResource): Home {
    return resource.#home
  }

  /** The guest's representation, if `resource` is a live one of this type and instance. */
  static rep(resource: unknown, type: ResourceType, home: Home, take: boolean): number | undefined {
    if (!GuestResource.is(resource) || !resource.isLive) return undefined
    if (resource.type !== type || resource.#home !== home) return undefined
    if (take) {
      if (!resource.#isOwn || resource.#lends > 0) return undefined
      resource.#isLive = false
      home.ownedOutside--
      abandoned.unregister(resource)
    }
    return resource.#rep
  }

  /** Counts a borrow by a parameter (1) or its end (−1). */
  static lend(resource: GuestResource, change: 1 | -1): void {
    resource.#lends += change
  }

  /** Ends a borrow that a host function received: it must not outlive its call. */
  static expire(resource: GuestResource): void {
    resource.#isLive = false
  }

  /** Runs the guest's destructor; inside a call into its instance, which may be using it, when that call is about to end. */
  [Symbol.dispose](): void {
    if (!this.isLive || !this.#isOwn) return
    this.#isLive = false
    const home = this.#home
    home.ownedOutside--
    abandoned.unregister(this)
    home.letGo(this.type, this.#rep)
    home.released()
  }
}

const describe = (value: unknown): string => (value === null ? "null" : typeof value === "object" ? "an object" : typeof value)

export class Handles implements HandleTable {
  readonly instance: Instance
  /** Component instance number this table belongs to. */
  readonly owner: number
  readonly #entries: Array<Entry | undefined> = [undefined]
  readonly #free: Array<number> = []
  readonly #loans: Array<Entry> = []
  readonly #borrowed: Array<GuestResource> = []
  /** Resources of the embedder that parameters borrow. */
  readonly #lent: Array<GuestResource> = []
  /** Per open scope: loans, lent resources and borrows when it began. */
  readonly #scopes: Array<number> = []
  /** Borrowed handles the guest holds and must drop before its call returns. */
  #borrows = 0
  /** Set while the values of a task are moved: loans and borrows are its own. */
  scope: Scope | undefined = undefined
  /** Set by `host/async`. */
  ends: EndTable | undefined = undefined

  constructor(instance: Instance, owner: number) {
    this.instance = instance
    this.owner = owner
  }

  get isUntouched(): boolean {
    return this.#entries.length === 1
  }

  #add(entry: Entry): number {
    if (this.instance.handles >= this.instance.limits.handlesMax) {
      throw new LimitError("handlesMax", { limit: this.instance.limits.handlesMax })
    }
    this.instance.handles++
    const free = this.#free.pop()
    if (free !== undefined) {
      this.#entries[free] = entry
      return free
    }
    this.#entries.push(entry)
    return this.#entries.length - 1
  }

  #get(type: ResourceType, handle: number): Entry {
    const entry = this.#entries[handle >>> 0]
    if (entry === undefined) throw new AbiTrap(`handle ${handle >>> 0} is unknown`)
    if (entry.type !== type) throw new AbiTrap(`handle ${handle >>> 0} is of another resource type`)
    return entry
  }

  #remove(handle: number): void {
    this.#entries[handle >>> 0] = undefined
    this.#free.push(handle >>> 0)
    this.instance.handles--
  }

  #isGuest(type: ResourceType): boolean {
    return this.instance.linked.blueprint.resources.has(type)
  }

  /** A capability's resources are its own objects; the embedder's are instances of the class it provides. */
  #isHost(type: ResourceType, value: unknown): boolean {
    if (typeof value !== "object" || value === null) return false
    const served = this.instance.linked.classes.get(type)
    return served === undefined || value instanceof served
  }

  /** `resource.new`: a representation of this component's own becomes a handle. */
  create(type: ResourceType, rep: number): number {
    return this.#add({ type, rep, isOwn: true, lends: 0 })
  }

  /** `resource.rep`. */
  rep(type: ResourceType, handle: number): number {
    return this.#get(type, handle).rep as number
  }

  /** `resource.drop`. */
  drop(type: ResourceType, handle: number): void {
    const entry = this.#get(type, handle)
    if (entry.lends > 0) throw new AbiTrap(`handle ${handle >>> 0} is dropped while it is borrowed`)
    this.#remove(handle)
    if (!entry.isOwn) {
      if (entry.scope === undefined) this.#borrows--
      else entry.scope.borrows--
    } else if (this.#isGuest(type)) this.instance.destroy(type, entry.rep as number, this.owner)
    else this.instance.dropHost(type, entry.rep)
  }

  own(type: ResourceType, value: unknown): number {
    if (!this.#isGuest(type)) {
      if (!this.#isHost(type, value)) throw this.#notA(type, value)
      try {
        return this.#add({ type, rep: value, isOwn: true, lends: 0 })
      } catch (error) {
        // Given to the guest, which cannot take it: nobody else would release it.
        this.instance.dropHost(type, value)
        throw error
      }
    }
    const rep = GuestResource.rep(value, type, this.instance, true)
    if (rep === undefined) throw this.#notA(type, value)
    return this.#add({ type, rep, isOwn: true, lends: 0 })
  }

  takeOwn(type: ResourceType, handle: number): unknown {
    const entry = this.#get(type, handle)
    if (!entry.isOwn) throw new AbiTrap(`handle ${handle >>> 0} is borrowed, not owned`)
    if (entry.lends > 0) throw new AbiTrap(`handle ${handle >>> 0} is given away while it is borrowed`)
    this.#remove(handle)
    if (!this.#isGuest(type)) return entry.rep
    this.instance.ownedOutside++
    return new GuestResource(type, entry.rep as number, this.instance, true)
  }

  lend(type: ResourceType, handle: number): unknown {
    const entry = this.#get(type, handle)
    entry.lends++
    const { scope } = this
    ;(scope?.loans ?? this.#loans).push(entry)
    if (!this.#isGuest(type)) return entry.rep
    const resource = new GuestResource(type, entry.rep as number, this.instance, false)
    ;(scope?.borrowed ?? this.#borrowed).push(resource)
    return resource
  }

  borrow(type: ResourceType, value: unknown): number {
    let rep = value
    if (this.#isGuest(type)) {
      rep = GuestResource.rep(value, type, this.instance, false)
      if (rep === undefined) throw this.#notA(type, value)
      GuestResource.lend(value as GuestResource, 1)
      ;(this.scope?.lent ?? this.#lent).push(value as GuestResource)
      // CanonicalABI.md lower_borrow: the component that implements the resource receives its representation.
      if (this.instance.linked.blueprint.resources.get(type)?.owner === this.owner) return rep as number
    } else if (!this.#isHost(type, value)) throw this.#notA(type, value)
    const { scope } = this
    if (scope === undefined) this.#borrows++
    else scope.borrows++
    return this.#add({ type, rep, isOwn: false, lends: 0, scope })
  }

  /** Puts what is no resource into the table. */
  insert(item: object): number {
    return this.#add({ type: undefined, rep: item, isOwn: false, lends: 0 })
  }

  /** What `insert` put there. */
  item(handle: number): unknown {
    const entry = this.#entries[handle >>> 0]
    return entry?.type === undefined ? entry?.rep : undefined
  }

  /** Takes out what `insert` put there. */
  remove(handle: number): void {
    this.#remove(handle)
  }

  beginScope(): void {
    this.#scopes.push(this.#loans.length, this.#lent.length, this.#borrows)
  }

  endScope(): void {
    const borrows = this.#scopes.pop() as number
    const lent = this.#scopes.pop() as number
    const from = this.#scopes.pop() as number
    while (this.#loans.length > from) (this.#loans.pop() as Entry).lends--
    while (this.#lent.length > lent) GuestResource.lend(this.#lent.pop() as GuestResource, -1)
    for (const resource of this.#borrowed) GuestResource.expire(resource)
    this.#borrowed.length = 0
    if (this.#borrows > borrows) throw new AbiTrap("a borrowed handle was not dropped before the call returned")
  }

  /** Forgets scopes that a refused call left open. */
  reset(): void {
    if (this.#scopes.length === 0) return
    this.#scopes.length = 0
    this.#loans.length = 0
    this.#borrowed.length = 0
    for (const resource of this.#lent.splice(0)) GuestResource.lend(resource, -1)
  }

  /** The instance is gone: host resources it still owned are released, each once. What releasing one throws is told and keeps none of the others. */
  discard(): void {
    const entries = this.#entries.splice(1)
    this.#free.length = 0
    this.#loans.length = 0
    for (const entry of entries) {
      if (entry?.type === undefined || !entry.isOwn || this.#isGuest(entry.type)) continue
      try {
        this.instance.dropHost(entry.type, entry.rep)
      } catch (error) {
        this.instance.tellFailure(error)
      }
    }
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
