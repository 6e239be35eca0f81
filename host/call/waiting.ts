/**
 * Guests that wait. Where the engine can suspend WebAssembly (JSPI), a host function may answer with a promise: the
 * guest's stack is set aside, the thread is others', and the guest goes on when the answer is there. Loaded only for
 * plugins that import something that may wait, or that run under `yield`. See `docs/adr/0030-waiting.md`.
 *
 * Who has the thread has the meter. A guest runs between `meter.resume` and `meter.pause`, and nothing else does: the
 * engine resumes a suspended stack in a microtask of its own, so what surrounds it are microtasks queued directly before
 * and after that one (`wake`). All that the host does for a guest meanwhile, such as `realloc`, runs inside `within`.
 *
 * A call that ends while its guest is suspended (deadline, signal, failure) rejects at once and its instance is
 * discarded. The guest's stack is unwound by a trap, which no guest can catch; what the host promised and still brings
 * goes nowhere.
 */
import { AsyncError } from "../../schemas/error/async.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { WitError } from "../../schemas/error/wit.ts"
import { propertyName, type ResourceType, type ValueType } from "../../schemas/wit/model.ts"
import { anywhere } from "../../schemas/wit/tree.ts"
import { beginScope, type ExportHalves, exportParts, importParts } from "../abi/bind.ts"
import { type AbiContext, AbiTrap, type CoreFunction, type CoreSignature, type CoreValue, flattenImport, refreshViews } from "../abi/mod.ts"
import { typed } from "../abi/mismatch.ts"
import type { Blueprint } from "../component/blueprint.ts"
import type { LinkedFunction } from "../link/link.ts"
import type { Linked } from "../link/prepare.ts"
import { costTable } from "../meter/cost-table.ts"
import type { Needs } from "../meter/needs.ts"
import { type CallLimits, hostCallFuel, Instance, isThenable, neglect } from "./instance.ts"
import { shimModule, waitName } from "./shim.ts"
import { type PluginStacks, Stacks } from "./stacks.ts"
import { trap } from "./trap.ts"
import { inTurn, isDue } from "./turn.ts"

interface Jspi {
  readonly Suspending: new (body: (...args: ReadonlyArray<CoreValue>) => unknown) => WebAssembly.ImportValue
  readonly promising: (core: unknown) => CoreFunction
}

/** A core function whose calls answer with promises. What is no function of the guest's (a host function lifted again) is called as it is. */
function promising(core: CoreFunction): CoreFunction {
  try {
    return (WebAssembly as unknown as Jspi).promising(core)
  } catch {
    return (...flat) => Promise.resolve(core(...flat))
  }
}

/** A trap that has happened: an import that rejects with it unwinds the guest past every handler, as the trap itself would. */
export const trapped: unknown = (() => {
  try {
    return trap()
  } catch (error) {
    return error
  }
})()

/**
 * Stacks of guests on this thread, and how many there may be. V8 ends the process when it can map no more: at 32,700 of
 * them where a process may have 65,530 mappings, and memories need some, too.
 */
export const stacksMax = 8_192
const stacks = new Stacks(stacksMax)

/** One suspended stack. */
export interface Wait {
  /** Whose it is, for `acting`. */
  readonly of: unknown
  readonly resolve: (value: CoreValue | undefined) => void
  /** Unwinds the stack: its call is over. */
  readonly stop: () => void
}

/** One call, from its start to its answer; of an asynchronous component, to the end of its last task. */
export interface Call {
  readonly name: string
  readonly lift: number
  /** For the calls that host functions make: of how many this is one, and when it ends. */
  readonly depth: number
  readonly deadlineAtMs: number
  readonly answer: (value: unknown) => void
  readonly refuse: (error: unknown) => void
  /** Its suspended stacks, innermost first: one for each component instance between the export and what is waited for. */
  readonly waits: Set<Wait>
  /** Told to what waits for it, when somebody asked. */
  ending: AbortController | undefined
  timer: ReturnType<typeof setTimeout> | undefined
  onAbort: (() => void) | undefined
  /** When it last got the thread in a turn of its own. */
  sinceMs: number
  isOver: boolean
}

/** What of a plugin's waiting is the same for all its instances. */
export interface Waiting {
  readonly create: (linked: Linked) => Instance
  /** How, for `describe()`. */
  readonly how: "suspension" | "yield" | "tasks"
}

export interface Plan {
  /** Undefined: this engine cannot suspend. */
  readonly shim: WebAssembly.Module | undefined
  readonly waitNames: ReadonlyArray<string>
  /** Lowerings and raw imports that may wait, by number. */
  readonly lowerings: ReadonlyArray<number>
  readonly raws: ReadonlyArray<number>
  /** Built-ins of the asynchronous ABI that may wait, by number. */
  readonly builtins?: ReadonlyArray<number>
  readonly yields: boolean
  readonly halves: Array<ExportHalves | undefined>
  /** Those that its instances have now. */
  readonly stacks: PluginStacks
}

export const tickSignature: CoreSignature = { params: [], results: ["i32"] }

/** Decides which imports of a plugin may suspend it: host functions that say so, and every call between its components. */
export function planWaiting(blueprint: Blueprint, functions: ReadonlyMap<string, LinkedFunction>, yields: boolean): Waiting {
  const shims = new Map<string, CoreSignature>()
  const lowerings: Array<number> = []
  const raws: Array<number> = []
  blueprint.lowerings.forEach(({ type, source }, i) => {
    const waits = source.kind === "lift" || functions.get(source.interface === undefined ? source.name : `${source.interface}#${source.name}`)?.waits === true
    if (!waits) return
    lowerings.push(i)
    shims.set(`f${i}`, flattenImport(type))
  })
  blueprint.raws.forEach(({ import: raw }, i) => {
    if (raw.waits !== true && (raw.isProvided !== true || functions.get(`${raw.module}#${raw.name}`)?.waits !== true)) return
    raws.push(i)
    shims.set(`r${i}`, raw.type as CoreSignature)
  })
  if (yields) shims.set("tick", tickSignature)
  const plan: Plan = {
    shim: shimModule(shims),
    waitNames: [...new Set([...shims.values()].map(waitName))],
    lowerings,
    raws,
    yields,
    halves: [],
    stacks: { count: 0 },
  }
  return { create: (linked) => new WaitingInstance(linked, plan), how: yields ? "yield" : "suspension" }
}

/** The two halves of an export's canonical ABI, as `bindExport` has them in one. */
function canonicalHalves(linked: Linked, index: number): ExportHalves {
  const { type, context } = linked.blueprint.lifts[index] as (typeof linked.blueprint.lifts)[number]
  const { encoding } = linked.blueprint.contexts[context] as (typeof linked.blueprint.contexts)[number]
  const { count, scoped, lower, invoke, liftResult } = exportParts(type, encoding)
  return {
    begin(cx, core, args) {
      if (args.length !== count) throw new WitError("ArgumentCount", { export: exportName(linked, index), expected: count, actual: args.length })
      const { instance, handles } = cx
      instance.isTouched = false
      refreshViews(cx)
      if (scoped) handles.beginScope()
      let flat
      try {
        flat = lower(cx, args)
      } catch (error) {
        if (scoped && !instance.isTouched) handles.endScope()
        throw error
      }
      instance.isTouched = true
      return invoke(core, flat)
    },
    finish(cx, returned, postReturn) {
      const { instance } = cx
      refreshViews(cx)
      const result = liftResult === undefined ? undefined : liftResult(cx, returned)
      if (postReturn !== undefined) {
        instance.mayLeave = false
        if (liftResult === undefined) postReturn()
        else postReturn(returned)
        instance.mayLeave = true
      }
      if (scoped) cx.handles.endScope()
      return result
    },
  }
}

function exportName(linked: Linked, lift: number): string {
  for (const { name, source } of linked.blueprint.exports.values()) if (source.kind === "lift" && source.lift === lift) return name
  return `function ${lift}`
}

interface Owned {
  readonly type: ResourceType
  readonly rep: unknown
}

/** Adds the resources that a value owns to `found`. */
function ownedIn(type: ValueType, value: unknown, found: Array<Owned>): void {
  if (!holdsOwn(type) || value === undefined) return
  const [parts, tagged] = [value as Readonly<Record<string, unknown>>, value as { readonly tag: string; readonly val?: unknown }]
  switch (type.kind) {
    case "own":
      found.push({ type: type.resource, rep: value })
      break
    case "list":
      for (const item of value as ReadonlyArray<unknown>) ownedIn(type.element, item, found)
      break
    case "tuple":
      type.types.forEach((one, i) => ownedIn(one, (value as ReadonlyArray<unknown>)[i], found))
      break
    case "record":
      for (const { label, type: one } of type.fields) ownedIn(one, parts[propertyName(label)], found)
      break
    case "option":
      ownedIn(type.type, type.type.kind === "option" ? tagged.val : value, found)
      break
    case "result": {
      const one = tagged.tag === "ok" ? type.ok : type.err
      if (one !== undefined) ownedIn(one, tagged.val, found)
      break
    }
    case "variant": {
      const one = type.cases.find(({ label }) => label === tagged.tag)?.type
      if (one !== undefined) ownedIn(one, tagged.val, found)
      break
    }
    default:
  }
}

export const holdsOwn = anywhere((type) => type.kind === "own")

/** What a shim's plain call answers when it has left a promise behind: a value of its type that nobody reads. */
export const zeroOf = ({ results }: CoreSignature): CoreValue | undefined => (results.length === 0 ? undefined : results[0] === "i64" ? 0n : 0)

export class WaitingInstance extends Instance {
  protected readonly plan: Plan
  protected readonly shims: WebAssembly.Exports
  /** Told to the shim: a promise was left behind. */
  readonly #pending = new WebAssembly.Global({ value: "i32", mutable: true }, 0)
  #promise: Promise<CoreValue | undefined> | undefined
  readonly #promising = new Map<CoreFunction, CoreFunction>()
  protected current: Call | undefined
  /** A host function is being asked that may answer with a promise. */
  protected isAsking = false
  /** The stack below was entered by `promising`: what JavaScript calls plainly in between is told by `mayLeave`. */
  protected isSuspendable = false
  /** The guest has the thread, or the host works for it: the meter runs. */
  protected hasThread = false
  /** What of the guest runs, where it is more than one; whoever resumes a stack sets it. */
  protected acting: unknown = undefined
  // Of those who had the thread when the guest got it.
  #outerDepth = 0
  #outerDeadlineAtMs = Infinity

  constructor(linked: Linked, plan: Plan) {
    super(linked)
    this.plan = plan
    if (plan.shim === undefined) {
      this.shims = {}
      return
    }
    const plain: Record<string, WebAssembly.ImportValue> = {}
    for (const i of plan.lowerings) plain[`f${i}`] = this.suspendingLowering(i)
    for (const i of plan.builtins ?? []) plain[`b${i}`] = this.builtinBody(i)
    for (const i of plan.raws) plain[`r${i}`] = this.#rawLowering(i)
    if (plan.yields) plain["tick"] = () => this.#tick()
    const { Suspending } = WebAssembly as unknown as Jspi
    const host: Record<string, WebAssembly.ImportValue> = { pending: this.#pending }
    const wait = new Suspending(() => {
      const promise = this.#promise
      this.#promise = undefined
      this.#pending.value = 0
      return promise
    })
    for (const name of plan.waitNames) host[name] = wait
    this.shims = new WebAssembly.Instance(plan.shim, { p: plain, h: host }).exports
  }

  protected override lower(index: number): CoreFunction {
    return (this.shims[`f${index}`] as CoreFunction | undefined) ?? super.lower(index)
  }

  /** What a built-in's shim calls plainly. */
  protected builtinBody(index: number): CoreFunction {
    return this.builtin(index)
  }

  protected override raw(index: number): CoreFunction {
    return (this.shims[`r${index}`] as CoreFunction | undefined) ?? super.raw(index)
  }

  protected override injected(needs: Needs): Record<string, WebAssembly.ImportValue> {
    const imports = super.injected(needs)
    if (needs.tick && this.plan.yields) imports["tick"] = this.shims["tick"] as CoreFunction
    return imports
  }

  override mayWait(): boolean {
    return this.isAsking && this.canSuspend()
  }

  protected canSuspend(): boolean {
    return this.isSuspendable && this.current !== undefined && this.components.every((component) => component.mayLeave)
  }

  override ended(): AbortSignal {
    return this.current === undefined ? super.ended() : (this.current.ending ??= new AbortController()).signal
  }

  /** A guest whose call is over while it was about to go on runs into a trap, not into the world. */
  protected override ask(linked: LinkedFunction, args: ReadonlyArray<unknown>): unknown {
    if (this.isDiscarded) throw new PluginError("Closed", { what: "the instance" })
    return super.ask(linked, args)
  }

  // ── The call ──────────────────────────────────────────────────────────────

  override later(name: string, lift: number, args: ReadonlyArray<unknown>, limits: CallLimits): unknown {
    const halves = this.#halvesOf(lift)
    if (halves === undefined) return this.call(name, lift, args, limits)
    return this.begin(name, lift, limits, (call) => {
      this.isSuspendable = true
      try {
        this.#enterLater(call, lift, halves, args).then(
          (value) => this.#answered(call, value),
          (error: unknown) => this.endCall(call, error),
        )
      } finally {
        this.isSuspendable = false
      }
    })
  }

  /** Arms a call and runs `body`, its first stretch; answers with the promise of what the call answers. */
  protected begin(name: string, lift: number, limits: CallLimits, body: (call: Call) => void): Promise<unknown> {
    this.arm(name, limits, this.takeFresh())
    const { nesting, nowMs } = this.linked
    return new Promise((answer, refuse) => {
      const call: Call = {
        name,
        lift,
        depth: nesting.depth,
        deadlineAtMs: limits.deadlineAtMs,
        answer,
        refuse,
        waits: new Set(),
        ending: undefined,
        timer: undefined,
        onAbort: undefined,
        sinceMs: nowMs(),
        isOver: false,
      }
      this.current = call
      this.hasThread = true
      try {
        body(call)
      } catch (error) {
        this.endCall(call, error)
      } finally {
        this.hasThread = false
        this.meter.pause()
      }
    })
  }

  #halvesOf(lift: number): ExportHalves | undefined {
    const { halves } = this.plan
    const known = halves[lift]
    if (known !== undefined) return known
    const { linked } = this
    const foreign = linked.blueprint.lifts[lift]?.binding !== undefined
    return (halves[lift] = foreign ? linked.lift(lift).halves : canonicalHalves(linked, lift))
  }

  /** Enters a lifted function so that it can be suspended. Throws what goes wrong before the guest runs. */
  #enterLater(call: Call, index: number, { begin, finish }: ExportHalves, args: ReadonlyArray<unknown>, after?: () => void): Promise<unknown> {
    const lifted = this.lift(index)
    const { component, context, postReturn } = lifted
    if (component.isEntered) throw new AbiTrap("a component is entered again while it runs")
    const running = this.onStack(call, lifted.core, (core) => {
      component.isEntered = true
      return begin(context, core, args)
    })
    return running.then((returned) =>
      this.within(call, () => {
        if (call.isOver) throw trapped
        const result = finish(context, returned, postReturn)
        component.isEntered = false
        after?.()
        return result
      }),
    )
  }

  /** Runs `enter` with a variant of `core` that has a stack of its own, and so can be suspended. */
  protected onStack(call: Call, core: CoreFunction, enter: (core: CoreFunction) => unknown): Promise<CoreValue> {
    const { tenant, plan } = this
    let stacked = this.#promising.get(core)
    if (stacked === undefined) this.#promising.set(core, (stacked = promising(core)))
    stacks.take(tenant, plan.stacks, call.name)
    const ended = (): void => stacks.give(tenant, plan.stacks)
    let running: Promise<CoreValue>
    try {
      running = enter(stacked) as Promise<CoreValue>
    } catch (error) {
      ended()
      throw error
    }
    running.then(ended, ended)
    return running
  }

  #answered(call: Call, value: unknown): void {
    if (call.isOver) return
    try {
      this.within(call, () => this.settle())
    } catch (error) {
      return this.endCall(call, error)
    }
    this.closeCall(call)
    call.answer(value)
  }

  /** The call failed, or may not go on: it rejects now, whatever its guest waits for. */
  protected endCall(call: Call, error: unknown): void {
    if (call.isOver) return
    const outcome = this.fail(call.name, error)
    this.closeCall(call)
    try {
      call.answer(this.exited(call.lift, outcome))
    } catch (refusal) {
      call.refuse(refusal)
    }
    this.over(outcome)
    call.ending?.abort(outcome)
    for (const wait of call.waits) wait.stop()
    call.waits.clear()
  }

  /** A call has ended by `error`. */
  protected over(_error: unknown): void {}

  protected closeCall(call: Call): void {
    call.isOver = true
    clearTimeout(call.timer)
    if (call.onAbort !== undefined) this.signal?.removeEventListener("abort", call.onAbort)
    this.current = undefined
    this.isRunning = false
  }

  // ── Who has the thread ────────────────────────────────────────────────────

  protected takeThread(call: Call): void {
    const { nesting } = this.linked
    this.#outerDepth = nesting.depth
    this.#outerDeadlineAtMs = nesting.deadlineAtMs
    nesting.depth = call.depth
    nesting.deadlineAtMs = call.deadlineAtMs
    this.hasThread = true
    this.meter.resume()
    if (call.isOver) this.meter.poison()
  }

  protected giveThread(): void {
    const { nesting } = this.linked
    this.hasThread = false
    this.meter.pause()
    nesting.depth = this.#outerDepth
    nesting.deadlineAtMs = this.#outerDeadlineAtMs
  }

  /** Runs the host's work for a suspended guest under the guest's meter. */
  protected within<A>(call: Call, body: () => A): A {
    if (this.hasThread) return body()
    this.takeThread(call)
    try {
      return body()
    } finally {
      this.giveThread()
    }
  }

  /**
   * Lets a suspended stack go on. Resolving queues the engine's own microtask, which runs the guest until it waits again
   * or ends; the ones queued here run directly before and after it.
   */
  protected wake(call: Call, wait: Wait, value: CoreValue | undefined): void {
    queueMicrotask(() => {
      this.takeThread(call)
      this.isSuspendable = true
      this.acting = wait.of
    })
    wait.resolve(value)
    queueMicrotask(() => {
      this.isSuspendable = false
      this.acting = undefined
      this.giveThread()
    })
  }

  // ── Suspending ────────────────────────────────────────────────────────────

  /** Leaves a promise for the shim, which the guest is then suspended with. */
  protected suspend(call: Call, stop: (resolve: Wait["resolve"], reject: (error: unknown) => void) => void): Wait {
    this.watch(call)
    let wait: Wait | undefined
    this.#promise = new Promise((resolve, reject) => {
      wait = { of: this.acting, resolve, stop: () => stop(resolve, reject) }
    })
    this.#pending.value = 1
    const made = wait as unknown as Wait
    call.waits.add(made)
    return made
  }

  /** From the first wait on, the deadline and the signal must be heard without the guest. */
  protected watch(call: Call): void {
    if (call.onAbort !== undefined) return
    const { linked, signal } = this
    call.onAbort = () => this.endCall(call, new PluginError("Aborted", { export: call.name }))
    signal?.addEventListener("abort", call.onAbort)
    if (call.deadlineAtMs === Infinity) return
    const look = (): void => {
      const leftMs = call.deadlineAtMs - linked.nowMs()
      if (leftMs <= 0) this.endCall(call, this.meter.deadlineError())
      // Timers may come early by a rounding.
      else call.timer = setTimeout(look, Math.ceil(leftMs))
    }
    call.timer = setTimeout(look, Math.max(0, Math.ceil(call.deadlineAtMs - linked.nowMs())))
  }

  /**
   * Suspends the guest until `answer` settles; `done` then makes of it what the guest gets. `late` takes an answer that
   * comes after the call is over.
   */
  protected waitFor(
    name: string,
    answer: PromiseLike<unknown>,
    done: (value: unknown) => CoreValue | undefined,
    failed: (error: unknown) => unknown,
    late?: (value: unknown) => void,
  ): void {
    const call = this.current
    if (call === undefined || !this.canSuspend()) {
      neglect(answer)
      throw new AsyncError("WouldWait", {
        export: this.running,
        import: name,
        where: call === undefined ? "the call must answer at once" : "the guest is in realloc, post-return or a destructor",
      })
    }
    try {
      this.heed()
    } catch (error) {
      neglect(answer)
      throw error
    }
    const wait = this.suspend(call, (_, reject) => reject(trapped))
    // A promise of our own: a thenable may throw, settle twice or answer before it returns.
    new Promise((resolve) => resolve(answer)).then(
      (value) => {
        if (call.isOver) return late?.(value)
        let returned: CoreValue | undefined
        try {
          returned = this.within(call, () => {
            this.heed()
            return done(value)
          })
        } catch (error) {
          return this.endCall(call, typed(error, "result"))
        }
        call.waits.delete(wait)
        this.wake(call, wait, returned)
      },
      (error: unknown) => this.endCall(call, failed(error)),
    )
  }

  /** The slice is spent: gives the thread back when the guest has had it long enough. */
  #tick(): number {
    const { meter } = this
    if (!meter.tick()) return 1
    const call = this.current
    const { nowMs } = this.linked
    if (call === undefined || !isDue(call.sinceMs, nowMs()) || !this.canSuspend()) return 0
    // Injected code traps when it is told 1.
    const wait = this.suspend(call, (resolve) => resolve(1))
    inTurn(() => {
      if (call.isOver) return
      call.sinceMs = nowMs()
      call.waits.delete(wait)
      this.wake(call, wait, 0)
    }, nowMs)
    return 0
  }

  // ── Imports ───────────────────────────────────────────────────────────────

  protected suspendingLowering(index: number): CoreFunction {
    const { linked } = this
    const { type, source, context } = linked.blueprint.lowerings[index] as (typeof linked.blueprint.lowerings)[number]
    const cx = this.contexts[context] as AbiContext
    const { encoding } = linked.blueprint.contexts[context] as (typeof linked.blueprint.contexts)[number]
    const { scoped, lift, lower, receiver } = importParts(type, encoding)
    const nothing = zeroOf(flattenImport(type))
    const { budget, meter } = this
    const name = source.kind === "lift" ? `function ${source.lift}` : source.interface === undefined ? source.name : `${source.interface}#${source.name}`
    const ask = source.kind === "lift" ? this.#inner(source.lift, type.result !== undefined) : this.askOuter(linked.functions.get(name) as LinkedFunction)
    const failed = source.kind === "lift" ? (error: unknown) => error : (error: unknown) => this.hostFailure(name, error)
    const late =
      source.kind === "import" && type.result !== undefined && holdsOwn(type.result)
        ? (value: unknown) => this.releaseOwned(type.result as ValueType, value)
        : undefined
    return receiver((flat) => {
      try {
        if (!cx.instance.mayLeave) throw new AbiTrap(`the guest called "${name}" from realloc, post-return or a destructor`)
        refreshViews(cx)
        if (scoped) cx.handles.beginScope()
        beginScope(cx, "hostCallBytesMax")
        const done = (value: unknown): CoreValue | undefined => {
          refreshViews(cx)
          const before = budget.bytesIn
          const returned = lower(cx, value, flat)
          if (scoped) cx.handles.endScope()
          if (meter.countsFuel && source.kind === "import") meter.charge(Math.ceil((budget.bytesIn - before) / costTable.hostCallBytesPerUnit))
          return returned
        }
        const answer = ask(lift(cx, flat))
        if (!isThenable(answer)) return done(answer)
        this.waitFor(name, answer, done, failed, late)
        return nothing
      } catch (error) {
        return budget.fail(typed(error, "result"))
      }
    })
  }

  /** A host function. */
  protected askOuter(linked: LinkedFunction): (args: ReadonlyArray<unknown>) => unknown {
    return (args) => {
      this.isAsking = true
      let answer: unknown
      try {
        answer = this.ask(linked, args)
      } finally {
        this.isAsking = false
      }
      if (!isThenable(answer)) this.heed()
      return answer
    }
  }

  /** A call from one component instance of this plugin into another: suspendable where the caller is. */
  #inner(lift: number, hasResult: boolean): (args: ReadonlyArray<unknown>) => unknown {
    const { budget, limits, meter } = this
    return (args) => {
      const call = this.current
      const halves = call !== undefined && this.canSuspend() ? this.#halvesOf(lift) : undefined
      if (call === undefined || halves === undefined) return meter.countsFuel ? this.chargedEnter(lift, args, hasResult) : this.enter(lift, args)
      if (!meter.countsFuel) return this.#enterLater(call, lift, halves, args)
      meter.charge(hostCallFuel(limits.hostCallBytesMax - budget.scopeBytesLeft))
      return this.#enterLater(call, lift, halves, args, () => {
        if (hasResult) meter.charge(Math.ceil((limits.outputBytesMax - budget.scopeBytesLeft) / costTable.hostCallBytesPerUnit))
      })
    }
  }

  #rawLowering(index: number): CoreFunction {
    const { cx, linked } = this.servedRaw(index)
    const { name } = linked
    const { budget, meter } = this
    const nothing = zeroOf(this.linked.blueprint.raws[index]?.import.type as CoreSignature)
    return (...flat) => {
      try {
        if (!cx.instance.mayLeave) throw new AbiTrap(`the guest called "${name}" from a function that may not call out`)
        refreshViews(cx)
        beginScope(cx, "hostCallBytesMax")
        const before = budget.bytesIn
        const done = (later: unknown): CoreValue | undefined => {
          refreshViews(cx)
          const value: unknown = typeof later === "function" ? later() : later
          if (meter.countsFuel)
            meter.charge(Math.ceil((budget.hostCallBytesMax - budget.scopeBytesLeft + budget.bytesIn - before) / costTable.hostCallBytesPerUnit))
          return value as CoreValue | undefined
        }
        const answer = this.askOuter(linked)(flat)
        if (!isThenable(answer)) return done(answer)
        this.waitFor(name, answer, done, (error) => this.hostFailure(name, error))
        return nothing
      } catch (error) {
        return budget.fail(error)
      }
    }
  }

  /** An answer came too late for the guest that would have owned what is in it: nobody else would release it. */
  protected releaseOwned(type: ValueType, value: unknown): void {
    const found: Array<Owned> = []
    try {
      ownedIn(type, value, found)
    } catch {
      // No value of its type: what was found before that showed is released.
    }
    for (const { type: resource, rep } of found) {
      try {
        this.dropHost(resource, rep)
      } catch (error) {
        this.tellFailure(error)
      }
    }
  }
}
