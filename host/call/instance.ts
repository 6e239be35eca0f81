/**
 * One live instance of a plugin: its core instances, handle tables, meter and budgets. Plain functions; one
 * synchronous call at a time. After any failure the instance is discarded, never reused.
 */
import { CapabilityError } from "../../schemas/error/capability.ts"
import { SteleError } from "../../schemas/error/family.ts"
import { LimitError } from "../../schemas/error/limit.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { WitError } from "../../schemas/error/wit.ts"
import type { FunctionType, ResourceType } from "../../schemas/wit/model.ts"
import { type AbiContext, AbiTrap, attachMemory, type CallBudget, createContext, type InstanceState, type Realloc, refreshViews } from "../abi/context.ts"
import type { CoreFunction, ExportBinding } from "../abi/mod.ts"
import type { CoreValue } from "../abi/number.ts"
import type { CallContext, CallQuota } from "../capability/capability.ts"
import type { GrantSet } from "../capability/grant.ts"
import type { CoreRef } from "../component/blueprint.ts"
import { printable } from "../../schemas/wit/name.ts"
import type { LinkedFunction } from "../link/link.ts"
import type { Linked } from "../link/prepare.ts"
import { costTable } from "../meter/cost-table.ts"
import type { Needs } from "../meter/needs.ts"
import type { Ports, TraceContext } from "../port/mod.ts"
import type { Spent } from "./executor.ts"
import type { Wasi } from "../wasi/given.ts"
import { Handles, type Home } from "./handles.ts"
import { Meter } from "./meter.ts"
import { type Image, keptGlobals } from "./remains.ts"
import { Spending } from "./quota.ts"
import { trap } from "./trap.ts"
import { framesOf, trapText } from "./trap-report.ts"

/** Flags and tables of one component instance. */
export interface Component extends InstanceState {
  readonly handles: Handles
  /** A core function of this component instance is on the stack. */
  isEntered: boolean
}

export interface LiftedFunction {
  readonly binding: ExportBinding
  readonly core: CoreFunction
  readonly postReturn: CoreFunction | undefined
  readonly callback: CoreFunction | undefined
  readonly context: AbiContext
  readonly component: Component
}

/** What one call may use; `Infinity` and 0n where a limit does not apply. */
export interface CallLimits {
  readonly deadlineAtMs: number
  readonly deadlineMs: number
  readonly fuel: bigint
  /** The caller gets a promise; absent or false for a call that must answer at once. */
  readonly mayWait?: boolean
  /** What this call finds instead of what the plugin was loaded with. */
  readonly wasi?: Wasi
  readonly trace?: TraceContext
  /** Whose turn it is when it has to wait for an instance, where that is not the plugin's tenant: a linked plugin's. */
  readonly tenant?: string
  /** Calls around it, where they are not on this thread's stack. */
  readonly depth?: number
}

class Budget implements CallBudget {
  readonly liftBytesMax: number
  readonly outputBytesMax: number
  readonly hostCallBytesMax: number
  readonly streamBytesMax: number
  liftBytesLeft = 0
  scopeBytesLeft = 0
  scope: CallBudget["scope"] = "outputBytesMax"
  bytesIn = 0
  bytesOut = 0
  hostCallsLeft = 0
  failure: unknown = undefined
  readonly #instance: Instance

  constructor(instance: Instance) {
    this.#instance = instance
    const { liftBytesMax, outputBytesMax, hostCallBytesMax, streamBytesMax } = instance.limits
    this.streamBytesMax = streamBytesMax
    this.liftBytesMax = liftBytesMax
    this.outputBytesMax = outputBytesMax
    this.hostCallBytesMax = hostCallBytesMax
  }

  checkStop(): void {
    if (this.#instance.meter.isStopped()) throw this.failure ?? this.#instance.meter.deadlineError()
  }

  fail(error: unknown): never {
    const { meter } = this.#instance
    // A stop that struck inside an inner component comes here as its trap: the stop is the reason, not the trap.
    this.failure ??= error instanceof WebAssembly.RuntimeError && meter.isStopped() ? meter.deadlineError() : error
    meter.poison()
    trap()
  }
}

export const reentry = "a component is entered again by a destructor while it runs"
const success = { tag: "ok", val: undefined } as const
const noExports: WebAssembly.Exports = Object.create(null) as WebAssembly.Exports

/** An engine without room for a memory throws a RangeError, as it does without room on its stack. */
const isMemoryRefusal = (cause: unknown): boolean => cause instanceof RangeError && /(?:could not|cannot) allocate|out of memory/i.test(cause.message)

export const hostCallFuel = (bytes: number): number => costTable.hostCall + Math.ceil(bytes / costTable.hostCallBytesPerUnit)

/** Also an object whose `then` cannot be read: asking again would throw in the wrong place. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  try {
    return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function"
  } catch {
    return true
  }
}

/** A promise that nobody waits for any more: without a handler its failure would end the process. */
export function neglect(answer: unknown): void {
  new Promise((resolve) => resolve(answer)).then(undefined, () => undefined)
}

export class Instance implements CallContext, Home {
  readonly linked: Linked
  readonly limits: Linked["limits"]
  readonly meter: Meter
  readonly budget: Budget
  readonly tenant: string
  readonly plugin: string
  readonly grants: GrantSet
  readonly ports: Ports
  signal: AbortSignal | undefined = undefined
  trace: TraceContext | undefined = undefined
  wasi: Wasi
  /** Live handles over all tables, against `handlesMax`. */
  handles = 0
  /** Own handles of guest resources that the embedder holds: the instance is kept for them. */
  ownedOutside = 0
  isDiscarded = false
  isRunning = false
  #hasFailed = false
  /** It is instantiated, and its next call is its first: one budget for both. */
  #isFresh = false
  isStarted = false
  /** Resolves when what its call left running after the answer has ended, with what that failed with; undefined where nothing was left. */
  rest: Promise<unknown> | undefined = undefined
  /** The export that runs, for messages. */
  running = ""
  readonly counts = new Map<string, { calls: number; bytes: number }>()
  readonly spending = new Spending()
  protected readonly components: Array<Component> = []
  protected readonly contexts: Array<AbiContext>
  readonly #cores: Array<WebAssembly.Exports> = []
  readonly #lifted: Array<LiftedFunction | undefined> = []
  /** Guest resources that the embedder disposed of while a call runs here. */
  readonly #released: Array<{ readonly type: ResourceType; readonly rep: number }> = []
  readonly #atDiscard: Array<() => void> = []

  /** A new instance, or one that was taken back and is a new one when it starts. Runs nothing yet. */
  static make(linked: Linked): Instance {
    const again = linked.remains.again()
    if (again === undefined) return new Instance(linked)
    again.#renew(linked.remains.image)
    return again
  }

  /** Runs nothing yet: `start` instantiates. */
  constructor(linked: Linked) {
    this.linked = linked
    this.limits = linked.limits
    this.tenant = linked.tenant
    this.plugin = linked.digest
    this.grants = linked.grants
    this.ports = linked.ports
    this.wasi = linked.wasi
    this.budget = new Budget(this)
    this.meter = new Meter({
      mechanism: linked.mechanism,
      watchdog: linked.watchdog,
      nowMs: linked.nowMs,
      needs: linked.needs,
      stackBytesMax: this.limits.stackBytesMax,
      pagesLeft: linked.pagesLeft,
      elementsLeft: linked.elementsLeft,
      remains: linked.remains,
      stop: (error) => (this.budget.failure ??= error),
    })
    const { blueprint } = linked
    for (let owner = 0; owner < blueprint.componentInstances; owner++) {
      this.components.push({ mayLeave: true, isTouched: false, isEntered: false, handles: new Handles(this, owner) })
    }
    this.contexts = blueprint.contexts.map((spec) => {
      const component = this.components[spec.owner] as Component
      return createContext({ memory: undefined, realloc: undefined, budget: this.budget, handles: component.handles, instance: component })
    })
  }

  /** Instantiates the core modules; their start functions run here, under the limits of the call that needs the instance. */
  start(call: CallLimits): void {
    const image = this.#image
    if (image !== undefined) this.run("(instantiate)", call, () => this.#restore(image))
    else {
      this.run("(instantiate)", call, () => this.#instantiate())
      this.linked.remains.started(this)
    }
    this.isStarted = true
    this.#isFresh = true
  }

  /** Of one that was taken back: what it is to be again. */
  #image: Image | undefined
  #globals: ReadonlyArray<WebAssembly.Global> | undefined

  #renew(image: Image | undefined): void {
    this.#image = image
    this.isDiscarded = false
    this.isStarted = false
    this.#isFresh = false
    // What was left in its tables has gone with the call.
    this.handles = 0
    this.signal = undefined
    this.trace = undefined
    this.wasi = this.linked.wasi
    this.counts.clear()
    this.spending.clear()
  }

  /** Makes what a call has changed as it was when instances of this plugin had started. */
  #restore({ memories, globals, usage }: Image): undefined {
    this.meter.memories.forEach(({ buffer }, i) => new Uint8Array(buffer).set(memories[i] as Uint8Array))
    this.#globals ??= keptGlobals(this) ?? []
    this.#globals.forEach((global, i) => (global.value = globals[i]))
    this.#charge(usage)
    return undefined
  }

  /** What another instance used to start, as if it had been used here. */
  #charge({ fuel, pages, liftBytes, bytesIn, bytesOut }: Image["usage"]): void {
    const { budget, meter } = this
    meter.restore(fuel, pages)
    budget.liftBytesLeft -= liftBytes
    budget.bytesIn = bytesIn
    budget.bytesOut = bytesOut
  }

  #instantiate(): undefined {
    const { blueprint, modules, injected, snapshot } = this.linked
    const lowered: Array<CoreFunction | undefined> = []
    for (let i = 0; i < blueprint.instantiations.length; i++) {
      const step = blueprint.instantiations[i] as (typeof blueprint.instantiations)[number]
      if (step.kind !== "instantiate") {
        // Keeps instance numbers equal to positions.
        this.#cores.push(noExports)
        if (step.kind === "start" && snapshot === undefined) (this.#resolve(step.func) as () => void)()
        continue
      }
      const compiled = (snapshot === undefined ? modules[step.module] : snapshot.modules[i]) as (typeof modules)[number]
      const imports = Object.create(null) as Record<string, Record<string, WebAssembly.ImportValue>>
      for (const { module, name, item } of step.imports) {
        const group = (imports[module] ??= Object.create(null) as Record<string, WebAssembly.ImportValue>)
        group[name] = item.kind === "lowering" ? (lowered[item.lowering] ??= this.lower(item.lowering)) : this.#resolve(item)
      }
      imports[injected] = this.injected(compiled.needs)
      this.#cores.push(new WebAssembly.Instance(compiled.module, imports).exports)
      // A module without code that runs has no check of its own, however much there is to instantiate.
      this.budget.checkStop()
      for (let c = 0; c < blueprint.contexts.length; c++) {
        if (this.linked.contextReadyAfter[c] === i) this.#ready(c)
      }
    }
    if (snapshot !== undefined) this.#charge(snapshot)
    return undefined
  }

  #ready(index: number): void {
    const spec = this.linked.blueprint.contexts[index] as (typeof this.linked.blueprint.contexts)[number]
    const memory = spec.memory === undefined ? undefined : (this.#resolve(spec.memory) as WebAssembly.Memory)
    const realloc = spec.realloc === undefined ? undefined : (this.#resolve(spec.realloc) as Realloc)
    const like = memory === undefined ? undefined : this.contexts.find((context) => context.memory === memory)
    const context = this.contexts[index] as AbiContext
    attachMemory(context, memory, realloc, like)
    if (spec.functions !== undefined) context.functions = spec.functions.map((ref) => this.#resolve(ref) as CoreFunction)
  }

  #resolve(ref: CoreRef): WebAssembly.ExportValue {
    switch (ref.kind) {
      case "export":
        return (this.#cores[ref.instance] as WebAssembly.Exports)[ref.name] as WebAssembly.ExportValue
      case "lowering":
        return this.lower(ref.lowering)
      case "raw":
        return this.raw(ref.raw)
      case "builtin":
        return this.builtin(ref.builtin)
      default: {
        const component = this.components[ref.owner] as Component
        const { handles } = component
        const type = ref.resource
        const guard = <A>(body: () => A): A => {
          try {
            if (!component.mayLeave) throw new AbiTrap("a resource operation runs inside realloc, post-return or a destructor")
            return body()
          } catch (error) {
            return this.budget.fail(error)
          }
        }
        if (ref.kind === "resource-new") return (rep: number) => guard(() => handles.create(type, rep))
        if (ref.kind === "resource-rep") return (handle: number) => guard(() => handles.rep(type, handle))
        return (handle: number) => guard(() => handles.drop(type, handle))
      }
    }
  }

  /** The meter imports of one module. */
  protected injected(needs: Needs): Record<string, WebAssembly.ImportValue> {
    return this.meter.imports(needs)
  }

  protected lower(index: number): CoreFunction {
    const spec = this.linked.blueprint.lowerings[index] as (typeof this.linked.blueprint.lowerings)[number]
    const context = this.contexts[spec.context] as AbiContext
    const bind = this.linked.lowerings[index] as (typeof this.linked.lowerings)[number]
    const { source } = spec
    // A call from one component instance of this plugin into another.
    if (source.kind === "lift")
      return bind(
        context,
        this.meter.countsFuel ? (args) => this.chargedEnter(source.lift, args, spec.type.result !== undefined) : (args) => this.enter(source.lift, args),
      )
    const linked = this.linked.functions.get(source.interface === undefined ? source.name : `${source.interface}#${source.name}`) as LinkedFunction
    const core = bind(context, (args) => this.#hostCall(linked, args))
    return this.meter.countsFuel ? this.#chargingResults(core) : core
  }

  /** A core function of the asynchronous ABI. */
  protected builtin(_index: number): CoreFunction {
    throw new AbiTrap("an asynchronous function is in a component without any")
  }

  /** A core function of a foreign ABI, under the limits and stops of any host call. Never throws into the guest. */
  protected raw(index: number): CoreFunction {
    const { cx, linked } = this.servedRaw(index)
    const { budget, meter } = this
    return (...flat) => {
      try {
        if (!cx.instance.mayLeave) throw new AbiTrap(`the guest called "${linked.name}" from a function that may not call out`)
        refreshViews(cx)
        budget.scope = "hostCallBytesMax"
        budget.scopeBytesLeft = budget.hostCallBytesMax
        const before = budget.bytesIn
        const result = this.#hostCall(linked, flat)
        // It moves its bytes itself, in both directions: known when it has answered.
        if (meter.countsFuel)
          meter.charge(Math.ceil((budget.hostCallBytesMax - budget.scopeBytesLeft + budget.bytesIn - before) / costTable.hostCallBytesPerUnit))
        return result
      } catch (error) {
        return budget.fail(error)
      }
    }
  }

  protected servedRaw(index: number): { readonly cx: AbiContext; readonly linked: LinkedFunction } {
    const { import: served, context } = this.linked.blueprint.raws[index] as (typeof this.linked.blueprint.raws)[number]
    const cx = this.contexts[context] as AbiContext
    const name = `${served.module}#${served.name}`
    const provided = served.isProvided === true || served.outside !== undefined ? this.linked.functions.get(name)?.call : undefined
    return { cx, linked: { name, call: (call, ...args) => served.call(call, cx, args as ReadonlyArray<CoreValue>, provided) } }
  }

  /** The bytes of a host function's result are known when they have been lowered. */
  #chargingResults(core: CoreFunction): CoreFunction {
    const { budget, meter } = this
    return (...flat) => {
      const before = budget.bytesIn
      const result = core(...flat)
      try {
        meter.charge(Math.ceil((budget.bytesIn - before) / costTable.hostCallBytesPerUnit))
      } catch (error) {
        budget.fail(error)
      }
      return result
    }
  }

  #hostCall(linked: LinkedFunction, args: ReadonlyArray<unknown>): unknown {
    const value = this.ask(linked, args)
    if (isThenable(value)) {
      neglect(value)
      throw new CapabilityError("Async", { import: linked.name })
    }
    this.heed()
    return value
  }

  /** Calls a host function under the budgets of host calls; what it answers may be a promise. */
  protected ask(linked: LinkedFunction, args: ReadonlyArray<unknown>): unknown {
    const { budget, meter } = this
    if (budget.hostCallsLeft-- <= 0) throw new LimitError("hostCallsMax", { limit: this.limits.hostCallsMax })
    if (meter.countsFuel) meter.charge(hostCallFuel(this.limits.hostCallBytesMax - budget.scopeBytesLeft))
    try {
      return (linked.call as (call: CallContext, ...args: ReadonlyArray<unknown>) => unknown)(this, ...args)
    } catch (error) {
      throw this.hostFailure(linked.name, error)
    }
  }

  /** What a host function threw, typed. */
  protected hostFailure(name: string, error: unknown): unknown {
    // `AbiTrap` is the guest's own doing: an address, of a raw import, outside its memory.
    if (error instanceof SteleError || error instanceof AbiTrap || this.budget.failure !== undefined) return error
    return new PluginError("HostCall", { export: this.running, import: name, detail: error instanceof Error ? error.message : String(error) }, { cause: error })
  }

  /** Throws when the call was stopped or aborted meanwhile. */
  protected heed(): void {
    if (this.meter.isStopped()) throw this.budget.failure ?? this.meter.deadlineError()
    if (this.signal?.aborted === true) throw new PluginError("Aborted", { export: this.running })
  }

  /** Under fuel a call between components pays like a host call: the host moves its bytes just the same. */
  protected chargedEnter(index: number, args: ReadonlyArray<unknown>, hasResult: boolean): unknown {
    const { budget, limits, meter } = this
    meter.charge(hostCallFuel(limits.hostCallBytesMax - budget.scopeBytesLeft))
    const result = this.enter(index, args)
    if (hasResult) meter.charge(Math.ceil((limits.outputBytesMax - budget.scopeBytesLeft) / costTable.hostCallBytesPerUnit))
    return result
  }

  protected lift(index: number): LiftedFunction {
    const known = this.#lifted[index]
    if (known !== undefined) return known
    const spec = this.linked.blueprint.lifts[index] as (typeof this.linked.blueprint.lifts)[number]
    const context = this.contexts[spec.context] as AbiContext
    const owner = (this.linked.blueprint.contexts[spec.context] as { owner: number }).owner
    const lifted: LiftedFunction = {
      binding: this.linked.lift(index),
      core: this.#resolve(spec.core) as CoreFunction,
      postReturn: spec.postReturn === undefined ? undefined : (this.#resolve(spec.postReturn) as CoreFunction),
      callback: spec.callback === undefined ? undefined : (this.#resolve(spec.callback) as CoreFunction),
      context,
      component: this.components[owner] as Component,
    }
    this.#lifted[index] = lifted
    return lifted
  }

  protected enter(index: number, args: ReadonlyArray<unknown>): unknown {
    const lifted = this.lift(index)
    const { component } = lifted
    if (component.isEntered) throw new AbiTrap("a component is entered again while it runs")
    component.isEntered = true
    const result = lifted.binding.call(lifted.context, lifted.core, lifted.postReturn, args)
    component.isEntered = false
    return result
  }

  /**
   * Calls lifted export number `lift`. Throws typed errors only; on any error the instance is discarded. A program that
   * exits with code 0 has answered `ok`, where that is all there is to answer.
   */
  call(name: string, lift: number, args: ReadonlyArray<unknown>, limits: CallLimits): unknown {
    try {
      return this.run(name, limits, () => this.enter(lift, args), this.takeFresh())
    } catch (error) {
      return this.exited(lift, error)
    }
  }

  /** The answer of a program that exited with code 0: what its ABI says it is, or `ok` where that is all there is to answer; else throws `error`. */
  protected exited(lift: number, error: unknown): unknown {
    if (error instanceof PluginError && error.reason._tag === "Exit" && error.reason.status === 0) {
      const { binding, context } = this.lift(lift)
      if (binding.exited !== undefined) return binding.exited(context)
      if (this.#answersNothing(lift)) return success
    }
    throw error
  }

  /** Is `ok` of this export's result without a payload? */
  #answersNothing(lift: number): boolean {
    const { result } = (this.linked.blueprint.lifts[lift] as { readonly type: FunctionType }).type
    return result?.kind === "result" && result.ok === undefined
  }

  /** `call`, or a promise of its answer where this guest may wait. */
  later(name: string, lift: number, args: ReadonlyArray<unknown>, limits: CallLimits): unknown {
    return this.call(name, lift, args, limits)
  }

  /** Is this the first call after the start, whose budgets it shares? */
  protected takeFresh(): boolean {
    const isFresh = this.#isFresh
    this.#isFresh = false
    return isFresh
  }

  /** Arms the meter and budgets around `body`, and turns whatever it throws into a typed error. `continues`: what was used since the last one counts. */
  run<A>(name: string, call: CallLimits, body: () => A, continues = false): A {
    this.arm(name, call, continues)
    try {
      const result = body()
      this.settle()
      return result
    } catch (error) {
      throw this.fail(name, error)
    } finally {
      this.meter.end()
      this.isRunning = false
    }
  }

  /** Begins a call: budgets, meter. */
  protected arm(name: string, call: CallLimits, continues: boolean): void {
    if (this.isRunning) throw new PluginError("Busy", { export: name })
    const { budget, limits } = this
    this.isRunning = true
    budget.failure = undefined
    if (!continues) {
      budget.liftBytesLeft = limits.liftBytesMax
      budget.bytesIn = 0
      budget.bytesOut = 0
      budget.hostCallsLeft = limits.hostCallsMax
      if (this.counts.size > 0) this.counts.clear()
      this.spending.clear()
    }
    // Of earlier calls: a refused argument of this one must not end an instance that it did not touch.
    for (const component of this.components) component.isTouched = false
    this.running = name
    this.meter.begin(call.deadlineAtMs, call.deadlineMs, call.fuel, continues)
  }

  /** What a call that answered still owes. Throws what ends it all the same. */
  protected settle(): void {
    const { budget, meter } = this
    // Not while guest code that may use them is on the stack, nor while values are being written into its memory.
    for (let next = this.#released.shift(); next !== undefined; next = this.#released.shift()) this.destroy(next.type, next.rep)
    // A trap that found no stack left to trap on can be caught: what it was for still ends the call.
    if (budget.failure !== undefined) throw budget.failure
    // The last straight line of code charges without a test behind it: a call must not end well over its fuel.
    if (meter.countsFuel) meter.charge(0)
  }

  /** The typed error of a call that failed; the instance is discarded. Read before the meter ends: that clears the stop bit. */
  protected fail(name: string, error: unknown): unknown {
    this.#hasFailed = true
    const typed = this.#outcome(name, error)
    // A refused argument is the caller's mistake: a guest that was not entered keeps its state.
    const isClean = typed instanceof WitError && this.budget.failure === undefined && !this.components.some((c) => c.isTouched)
    if (!isClean) this.discard()
    for (const component of this.components) {
      component.isEntered = false
      component.handles.reset()
    }
    return typed
  }

  #outcome(name: string, error: unknown): unknown {
    const cause = this.budget.failure ?? error
    if (cause instanceof SteleError) return cause
    if (cause instanceof AbiTrap) return new PluginError("AbiViolation", { export: name, detail: cause.message }, { cause })
    // A recorded failure poisoned the call itself.
    if (this.budget.failure === undefined && this.meter.isStopped()) return this.meter.deadlineError()
    const metered = this.meter.cause()
    if (metered === "stack") return new LimitError("stackBytesMax", { limit: this.limits.stackBytesMax })
    if (metered === "host memory" || isMemoryRefusal(cause))
      return new PluginError("Trap", { export: name, trap: "the engine refused memory below the plugin's cap", frames: [] }, { cause })
    if (cause instanceof RangeError) {
      return new PluginError("Trap", { export: name, trap: "the engine's call stack is exhausted", frames: framesOf(cause) }, { cause })
    }
    if (cause instanceof WebAssembly.RuntimeError) {
      return new PluginError("Trap", { export: name, trap: trapText(cause.message), frames: framesOf(cause) }, { cause })
    }
    if (cause instanceof WebAssembly.Exception) {
      return new PluginError("Trap", { export: name, trap: "an exception was not caught", frames: [] }, { cause })
    }
    if (cause instanceof WebAssembly.LinkError) {
      return new PluginError("Trap", { export: name, trap: printable(cause.message), frames: [] }, { cause })
    }
    return cause
  }

  /** Runs a guest resource's destructor inside the running call, for component instance `by` or the embedder. */
  destroy(type: ResourceType, rep: number, by?: number): void {
    const spec = this.linked.blueprint.resources.get(type)
    if (spec === undefined) return
    // CanonicalABI.md `canon_resource_drop`: a destructor of another component instance is entered like any of its functions, and a resource without one is no different.
    if (spec.owner !== by) this.refuseDestructor(spec.owner, by)
    if (spec.destructor === undefined) return
    const component = this.components[spec.owner] as Component
    const destructor = this.#resolve(spec.destructor) as CoreFunction
    const { mayLeave } = component
    component.mayLeave = false
    destructor(rep)
    component.mayLeave = mayLeave
  }

  /** Throws where a destructor of component instance `owner` may not be entered now. */
  protected refuseDestructor(owner: number, _by: number | undefined): void {
    if ((this.components[owner] as Component).isEntered) throw new AbiTrap(reentry)
  }

  /** The embedder gives a guest resource up: destroyed by a call of its own, or before the running one ends. */
  letGo(type: ResourceType, rep: number): void {
    if (this.isRunning) this.#released.push({ type, rep })
    else this.run(`[drop]${type.name?.name ?? "resource"}`, this.linked.callLimits(), () => this.destroy(type, rep))
  }

  released(): void {
    this.linked.released(this)
  }

  /** Releases a host resource the guest dropped or the instance left behind. */
  dropHost(type: ResourceType, rep: unknown): void {
    const drop = this.linked.drops.get(type) as ((call: CallContext, rep: unknown) => unknown) | undefined
    if (drop === undefined) return
    try {
      const answer = drop(this, rep)
      if (isThenable(answer)) answer.then(undefined, (error: unknown) => this.tellFailure(error))
    } catch (error) {
      throw this.#dropFailure(error)
    }
  }

  /** Tells the observer of a failure of the embedder's code that no call can answer with. */
  tellFailure(error: unknown): void {
    const { code, message } = this.#dropFailure(error)
    this.ports.observer.emit({ type: "stop", plugin: this.plugin, tenant: this.tenant, export: this.running, code, message })
  }

  #dropFailure(error: unknown): SteleError {
    if (error instanceof SteleError) return error
    return new PluginError(
      "HostCall",
      { export: this.running, import: "[resource-drop]", detail: error instanceof Error ? error.message : "it threw" },
      { cause: error },
    )
  }

  discard(): void {
    if (this.isDiscarded) return
    this.isDiscarded = true
    for (const component of this.components) component.handles.discard()
    for (const close of this.#atDiscard.splice(0)) {
      try {
        close()
      } catch (error) {
        this.tellFailure(error)
      }
    }
    this.linked.discarded(this)
    // A guest that was stopped, or that may be suspended somewhere, is not done with what it has for certain.
    if (this.#hasFailed || this.isRunning || this.linked.waiting !== undefined) return
    if (!this.linked.remains.keep(this)) this.meter.giveBack()
  }

  /** Exports of its core instances, by step of instantiation. */
  get cores(): ReadonlyArray<WebAssembly.Exports> {
    return this.#cores
  }

  /** No handle was ever made in it. */
  get isUntouched(): boolean {
    return this.components.every(({ handles }) => handles.isUntouched)
  }

  /** What it has used since its budget began, for instances that start where it stands. */
  usage(): { readonly fuel: bigint; readonly liftBytes: number; readonly bytesIn: number; readonly bytesOut: number; readonly pages: number } {
    const { budget, limits, meter } = this
    return {
      fuel: meter.used(),
      liftBytes: limits.liftBytesMax - budget.liftBytesLeft,
      bytesIn: budget.bytesIn,
      bytesOut: budget.bytesOut,
      pages: meter.pagesGrown(),
    }
  }

  /** It has called the host since its budget began. */
  get hasAsked(): boolean {
    return this.budget.hostCallsLeft !== this.limits.hostCallsMax
  }

  /** Bytes of all linear memories now. Memories never shrink: this is the peak. */
  memoryBytes(): number {
    return (this.linked.pagesInitial + this.meter.pagesGrown()) * 65_536
  }

  /** What the call that ended last used. */
  tell(spent: Spent): void {
    const { budget, meter } = this
    if (meter.countsFuel) spent.fuel = meter.used()
    spent.memoryPeakBytes = this.memoryBytes()
    spent.bytesIn = budget.bytesIn
    spent.bytesOut = budget.bytesOut
    spent.handlesLeft = this.handles
    for (const [grant, { calls }] of this.counts) spent.hostCalls[grant] = calls
  }

  // ── CallContext ───────────────────────────────────────────────────────────

  remainingMs(): number {
    return Math.max(0, this.meter.deadlineAtMs - this.linked.nowMs())
  }

  expired(): Error {
    return this.meter.deadlineError()
  }

  atDiscard(close: () => void): void {
    this.#atDiscard.push(close)
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

  mayWait(): boolean {
    return false
  }

  ended(): AbortSignal {
    return this.signal ?? new AbortController().signal
  }
}
