/**
 * An instance of a component that uses the asynchronous ABI: its tasks, and who runs when. One call of the host's at a
 * time, as in every instance, but a call is many tasks: its export's, and one for each call between components; they take
 * turns on the thread, and the call is over when the last of them has ended. See `docs/adr/0033-async.md`.
 *
 * A task waits outside of guest code where its lift has a callback, else on a stack that the engine sets aside. What may
 * have to be suspended is known from the component (`plan.ts`); all else is entered plainly, so that callbacks work on
 * every engine.
 *
 * Source: component-model `design/mvp/CanonicalABI.md` at the commit pinned in `schemas/wit/README.md`; names in
 * `snake_case` below are its.
 */
import { AsyncError } from "../../schemas/error/async.ts"
import { SteleError } from "../../schemas/error/family.ts"
import { LimitError } from "../../schemas/error/limit.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { WitError } from "../../schemas/error/wit.ts"
import { type CoreSignature, flattenExport, layoutOf } from "../../schemas/wit/layout.ts"
import type { ErrorContextType, FutureType, ResourceType, StreamType, ValueType } from "../../schemas/wit/model.ts"
import { beginScope, exportParts, importParams, importParts } from "../abi/bind.ts"
import { storeOf } from "../abi/codec.ts"
import { type AbiContext, AbiTrap, type EndTable, refreshViews, type StringEncoding } from "../abi/context.ts"
import { checkRange } from "../abi/memory.ts"
import { mismatch, typed } from "../abi/mismatch.ts"
import { type CoreFunction, type CoreValue, flattenImport } from "../abi/mod.ts"
import { type Handles, Scope } from "../call/handles.ts"
import { type CallLimits, hostCallFuel, isThenable, neglect, reentry } from "../call/instance.ts"
import { inTurn, isDue } from "../call/turn.ts"
import { type Call, holdsOwn, trapped, WaitingInstance, zeroOf } from "../call/waiting.ts"
import type { LiftSpec } from "../component/blueprint.ts"
import type { LinkedFunction } from "../link/link.ts"
import type { Linked } from "../link/prepare.ts"
import { costTable } from "../meter/cost-table.ts"
import { builtins } from "./builtins.ts"
import { Channel, End, pieceOf } from "./channel.ts"
import { asyncForms } from "./forms.ts"
import { HostReader, HostSource, type Owner } from "./host-ends.ts"
import { type AsyncPlan, importName } from "./plan.ts"
import { Task, type TaskWait } from "./task.ts"
import { ErrorContext, event, Subtask, subtaskState, WaitableSet } from "./waitable.ts"
import { sameType } from "./same.ts"
import { trampoline } from "./trampoline.ts"

/** `ComponentInstance`, what of it is not in its handle table. */
export interface ComponentState {
  readonly handles: Handles
  backpressure: number
  /** A task that does not expect to be entered has it. */
  isExclusive: boolean
  entering: number
  /** `context.get` outside of any task. */
  readonly slots: [number, number]
}

/** A host function that was asked for a subtask. */
interface Asking {
  ending: AbortController | undefined
  /** Forgets the call's end: a call may ask a million times, and each would be kept until it is over. */
  forget: () => void
}

/** `CallbackCode`. */
const callbackCode = { exit: 0, yield: 1, wait: 2, poll: 3 } as const

const callbackSignature: CoreSignature = { params: ["i32", "i32", "i32"], results: ["i32"] }

export class AsyncInstance extends WaitingInstance {
  readonly #asyncPlan: AsyncPlan
  readonly states: ReadonlyArray<ComponentState>
  readonly #tasks = new Set<Task>()
  /** Tasks that wait, in the order they began to. */
  readonly #pending = new Set<Task>()
  readonly #owner: Owner
  /** What is lifted now goes to the host, which has streams of its own kind. */
  #isToHost = false
  /** Operations of the host's that may bring an event. */
  #hostOperations = 0
  #isScheduled = false
  readonly #stacked = new Map<CoreFunction, CoreFunction>()
  /** What the call's first task returned, until it is told. */
  #answer: { readonly value: unknown } | undefined
  #isAnswered = false
  #endRest: (failure: unknown) => void = () => undefined
  /** A host function is asked for this subtask: it may answer later, and is told when that is cancelled. */
  #asking: Asking | undefined

  constructor(linked: Linked, plan: AsyncPlan) {
    super(linked, plan)
    this.#asyncPlan = plan
    this.states = this.components.map(({ handles }) => ({ handles, backpressure: 0, isExclusive: false, entering: 0, slots: [0, 0] }))
    this.#owner = {
      streamBytesMax: this.limits.streamBytesMax,
      enter: (body) => this.#enterFromHost(body),
      fail: (error) => {
        if (this.current !== undefined) this.endCall(this.current, error)
      },
      failure: (name, error) => this.hostFailure(name, error),
      count: (change) => {
        this.#hostOperations += change
      },
      held: new Set(),
      given: new Set(),
      get running() {
        return instance.running
      },
    }
    // oxlint-disable-next-line unicorn/no-this-assignment, typescript/no-this-alias -- a getter of the object above
    const instance = this
    for (const component of this.components) component.handles.ends = this.#endsOf(component.handles)
  }

  // ── The call ──────────────────────────────────────────────────────────────

  override later(name: string, lift: number, args: ReadonlyArray<unknown>, limits: CallLimits): unknown {
    if (this.isRunning) throw new PluginError("Busy", { export: name })
    this.#answer = undefined
    this.#isAnswered = false
    return this.begin(name, lift, limits, () => {
      this.rest = new Promise((resolve) => {
        this.#endRest = resolve
      })
      this.#startRoot(name, lift, args)
    })
  }

  /** On this thread, without a promise: for exports that return before they would have to wait. */
  override call(name: string, lift: number, args: ReadonlyArray<unknown>, limits: CallLimits): unknown {
    if (this.isRunning) throw new PluginError("Busy", { export: name })
    this.#answer = undefined
    this.#isAnswered = false
    this.hasThread = true
    try {
      return this.run(
        name,
        limits,
        () => {
          this.#startRoot(name, lift, args)
          const answer = this.#answer as { readonly value: unknown } | undefined
          if (answer === undefined || this.#tasks.size > 0 || this.#owner.held.size > 0)
            throw new AsyncError("WouldWait", { export: name, import: "its tasks and streams", where: "the call must answer at once" })
          this.#reset()
          return answer.value
        },
        this.takeFresh(),
      )
    } catch (error) {
      this.#reset(error)
      throw error
    } finally {
      this.hasThread = false
    }
  }

  #startRoot(name: string, lift: number, args: ReadonlyArray<unknown>): void {
    const { count } = this.#parts(lift)
    if (args.length !== count) throw new WitError("ArgumentCount", { export: name, expected: count, actual: args.length })
    this.startTask(
      this.#task(
        lift,
        undefined,
        () => args,
        (value) => {
          this.#answer = { value }
        },
      ),
    )
  }

  /** Tells the answer, once no guest code is on the stack that might still fail with it. */
  #tell(call: Call): void {
    if (this.#answer === undefined || this.#isAnswered) return
    this.#isAnswered = true
    call.answer(this.#answer.value)
  }

  /** The last task has ended. */
  #finish(): void {
    const call = this.current
    if (call === undefined || call.isOver) return
    try {
      this.within(call, () => this.settle())
    } catch (error) {
      return this.endCall(call, error)
    }
    this.#tell(call)
    this.closeCall(call)
    const { held, given } = this.#owner
    let isLeft = false
    for (const reader of held) {
      isLeft ||= !reader.isClosed
      reader.leave()
    }
    // Nothing that is under way may reach into a later call.
    if (isLeft || given.size > 0 || this.#hostOperations > 0) this.discard()
    this.#reset()
    this.#endRest(undefined)
    this.rest = undefined
  }

  /** The call ended by a failure. */
  protected override over(error: unknown): void {
    // In an isolate nobody observes: what failed after the answer is told to nobody there.
    if (this.#isAnswered && error instanceof SteleError && (this.ports as Partial<typeof this.ports> | undefined)?.observer !== undefined)
      this.tellFailure(error)
    this.#reset(error)
    this.#endRest(error)
    // Who has the answer hears of it there.
    if (!this.#isAnswered) this.rest = undefined
  }

  #reset(error?: unknown): void {
    const { held, given } = this.#owner
    if (error !== undefined) for (const reader of held) reader.fail(error)
    for (const source of given) source.drop()
    this.#tasks.clear()
    this.#pending.clear()
    for (const state of this.states) {
      state.isExclusive = false
      state.entering = 0
      state.handles.scope = undefined
    }
  }

  /** The host reads, or brought something. */
  #enterFromHost(body: () => void): void {
    const call = this.current
    if (this.hasThread || call === undefined) return body()
    this.#proceed(call, body)
    this.schedule()
  }

  /** Goes on with what had to wait; a failure ends the call. */
  #proceed(call: Call, body: () => void, root = "stream"): void {
    if (call.isOver) return
    try {
      this.within(call, () => {
        this.heed()
        body()
      })
    } catch (error) {
      this.endCall(call, typed(error, root))
    }
  }

  // ── Tasks ─────────────────────────────────────────────────────────────────

  #parts(lift: number) {
    const { parts } = this.#asyncPlan
    const { type, context } = this.linked.blueprint.lifts[lift] as LiftSpec
    return (parts[lift] ??= exportParts(type, this.encodingOf(context)))
  }

  encodingOf(context: number): StringEncoding {
    return (this.linked.blueprint.contexts[context] as { readonly encoding: StringEncoding }).encoding
  }

  #task(number: number, supertask: Task | undefined, onStart: Task["onStart"], onResolve: Task["onResolve"]): Task {
    const spec = this.linked.blueprint.lifts[number] as LiftSpec
    const { owner } = this.linked.blueprint.contexts[spec.context] as { readonly owner: number }
    const isStacked = this.current !== undefined && (this.#asyncPlan.suspends[owner] === true || (spec.isAsync === true && spec.callback === undefined))
    return new Task({ number, spec, lifted: this.lift(number), owner, supertask, isStacked, onStart, onResolve })
  }

  #holdsBack({ owner, needsExclusive }: Task): boolean {
    const { backpressure, isExclusive } = this.states[owner] as ComponentState
    return backpressure > 0 || (needsExclusive && isExclusive)
  }

  /** `canon_lift` and `Task.enter`: starts now, or when its component lets it. */
  startTask(task: Task): void {
    for (let above = task.supertask; above !== undefined; above = above.supertask)
      if (above.owner === task.owner) throw new AbiTrap("a component is entered again while it runs")
    const { tasksMax } = this.limits
    if (this.#tasks.size >= tasksMax) throw new LimitError("tasksMax", { limit: tasksMax })
    this.#tasks.add(task)
    const state = this.states[task.owner] as ComponentState
    if (!this.#holdsBack(task) && state.entering === 0) return this.#enter(task)
    state.entering++
    this.pend(task, {
      ready: () => !this.#holdsBack(task),
      isCancellable: true,
      yields: false,
      resume: (isCancelled) => {
        state.entering--
        if (!isCancelled) this.#enter(task)
        else {
          this.resolve(task, undefined, true)
          this.#remove(task)
        }
        return false
      },
    })
  }

  #enter(task: Task): void {
    if (task.needsExclusive) (this.states[task.owner] as ComponentState).isExclusive = true
    const { lower, invoke, liftResult } = this.#parts(task.number)
    const { context, core, postReturn } = task.lifted
    const { instance } = context
    const args = task.onStart()
    const { handles } = this.states[task.owner] as ComponentState
    refreshViews(context)
    handles.scope = task.scope
    const { acting } = this
    this.acting = task
    let flat: Array<CoreValue>
    try {
      flat = lower(context, args)
    } finally {
      this.acting = acting
      handles.scope = undefined
    }
    instance.isTouched = true
    const { isAsync, callback } = task.spec
    this.#run(
      task,
      core,
      isAsync === true ? asyncForms.liftSignature(task.spec.type, callback !== undefined) : flattenExport(task.spec.type),
      (core) => invoke(core, flat),
      (returned) => {
        if (callback !== undefined) return this.#loop(task, returned as number)
        if (isAsync === true) return this.#exit(task)
        refreshViews(context)
        const value = liftResult === undefined ? undefined : this.lifting(handles, undefined, task.supertask === undefined, () => liftResult(context, returned))
        this.resolve(task, value, false)
        if (postReturn !== undefined) {
          instance.mayLeave = false
          if (liftResult === undefined) postReturn()
          else postReturn(returned)
          instance.mayLeave = true
        }
        this.#exit(task)
      },
    )
  }

  /** Enters guest code for a task; `then` goes on when that has returned, at once where it runs on the host's stack. */
  #run(task: Task, core: CoreFunction, type: CoreSignature, invoke: (core: CoreFunction) => unknown, then: (returned: CoreValue) => void): void {
    const { acting, isSuspendable } = this
    const call = this.current
    this.acting = task
    this.isSuspendable = task.isStacked
    let returned: CoreValue
    try {
      if (task.isStacked && call !== undefined) {
        task.next = then
        let stacked = this.#stacked.get(core)
        if (stacked === undefined) this.#stacked.set(core, (stacked = trampoline(core, type, (value) => this.#returned(value))))
        this.onStack(call, stacked, invoke).then(undefined, (error: unknown) => this.endCall(call, error))
        return
      }
      returned = invoke(core) as CoreValue
      this.isSuspendable = isSuspendable
      then(returned)
    } finally {
      this.acting = acting
      this.isSuspendable = isSuspendable
    }
  }

  /** A task's function has returned; its stack is about to be gone. */
  #returned(value: CoreValue): void {
    const task = this.acting as Task
    try {
      ;(task.next as (returned: CoreValue) => void)(value)
    } catch (error) {
      this.budget.fail(error)
    }
  }

  /** What a callback, or the function it belongs to, answered. */
  #loop(task: Task, packed: number): void {
    const code = packed & 0xf
    if (code > callbackCode.poll) throw new AbiTrap(`a callback answered with the code ${code}`)
    if (code === callbackCode.exit) return this.#exit(task)
    const state = this.states[task.owner] as ComponentState
    const set = code === callbackCode.yield ? undefined : this.setAt(state.handles, packed >>> 4)
    state.isExclusive = false
    task.isInLoop = true
    if (set !== undefined) set.waiting++
    this.pend(task, {
      ready: () => !state.isExclusive && (code !== callbackCode.wait || (set as WaitableSet).ready.size > 0),
      isCancellable: true,
      yields: code !== callbackCode.wait,
      resume: (isCancelled) => {
        if (set !== undefined) set.waiting--
        const [p0, p1, p2] = isCancelled ? [event.cancelled, 0, 0] : (set?.take() ?? [event.none, 0, 0])
        task.isInLoop = false
        state.isExclusive = true
        const callback = task.lifted.callback as CoreFunction
        // However little a callback does, the host has work with it.
        if (this.meter.countsFuel) this.meter.charge(costTable.hostCall)
        this.#run(
          task,
          callback,
          callbackSignature,
          (core) => core(p0, p1, p2),
          (returned) => this.#loop(task, returned as number),
        )
        return task.isStacked
      },
    })
  }

  setAt(handles: Handles, index: number): WaitableSet {
    const set = handles.item(index)
    if (!(set instanceof WaitableSet)) throw new AbiTrap(`handle ${index} is no waitable set`)
    return set
  }

  #exit(task: Task): void {
    if (!task.isResolved) throw new AbiTrap("a task ended without task.return or task.cancel")
    this.#remove(task)
    if (task.needsExclusive) (this.states[task.owner] as ComponentState).isExclusive = false
    this.schedule()
    if (this.#tasks.size === 0) this.#finish()
  }

  #remove(task: Task): void {
    this.#tasks.delete(task)
  }

  /** `Task.return_` and `Task.cancel`. */
  resolve(task: Task, value: unknown, isCancelled: boolean): void {
    if (task.isResolved) throw new AbiTrap("a task returns twice")
    if (task.scope.borrows > 0) throw new AbiTrap("a borrowed handle was not dropped before the task returned")
    task.isResolved = true
    task.scope.end()
    task.onResolve(value, isCancelled)
  }

  /** `Task.request_cancellation`. */
  requestCancel(task: Task): void {
    const { wait } = task
    const { isExclusive } = this.states[task.owner] as ComponentState
    if (wait?.isCancellable !== true || (task.isInLoop && isExclusive)) {
      task.cancel = "pending"
      return
    }
    task.cancel = "delivered"
    this.#wakeUp(task, wait, true)
  }

  #wakeUp(task: Task, wait: TaskWait, isCancelled: boolean): boolean {
    this.#pending.delete(task)
    task.wait = undefined
    return wait.resume(isCancelled)
  }

  // ── Waiting ───────────────────────────────────────────────────────────────

  /** A task waits; a cancellation that is due reaches it instead. */
  pend(task: Task, wait: TaskWait): void {
    if (wait.isCancellable && task.cancel === "pending") {
      task.cancel = "delivered"
      wait.resume(true)
      return
    }
    task.wait = wait
    this.#pending.add(task)
    const call = this.current
    if (call === undefined) return
    this.watch(call)
    this.schedule()
  }

  /** Suspends the stack of the task that runs until `ready`; `done` makes of it what the guest gets. */
  waitOn(name: string, wait: Pick<TaskWait, "ready" | "isCancellable" | "yields">, done: (isCancelled: boolean) => CoreValue | undefined): void {
    const call = this.current
    if (call === undefined || !this.canSuspend())
      throw new AsyncError("WouldWait", {
        export: this.running,
        import: name,
        where:
          call === undefined
            ? "the call must answer at once"
            : "Suspending" in WebAssembly
              ? "the guest is in realloc, post-return or a destructor"
              : "this engine cannot suspend WebAssembly, so that only callbacks wait",
      })
    this.heed()
    const stack = this.suspend(call, (_, reject) => reject(trapped))
    this.pend(this.acting as Task, {
      ...wait,
      resume: (isCancelled) => {
        const value = done(isCancelled)
        call.waits.delete(stack)
        this.wake(call, stack, value)
        return true
      },
    })
  }

  get isSuspendableNow(): boolean {
    return this.current !== undefined && this.canSuspend()
  }

  schedule(): void {
    if (this.#isScheduled || this.current === undefined) return
    this.#isScheduled = true
    queueMicrotask(() => this.#pump())
  }

  /** Runs tasks that can go on, one after another; gives the thread back to everybody else when it is time. */
  #pump(): void {
    this.#isScheduled = false
    const { nowMs } = this.linked
    for (;;) {
      const call = this.current
      if (call === undefined || call.isOver) return
      this.#tell(call)
      // Short stretches one after another: no watchdog sees any of them, and no timer has its turn between them.
      if (nowMs() > call.deadlineAtMs) return this.endCall(call, this.meter.deadlineError())
      let next: Task | undefined
      for (const task of this.#pending) {
        if (!(task.wait as TaskWait).ready()) continue
        next ??= task
        if ((task.wait as TaskWait).yields) continue
        next = task
        break
      }
      if (next === undefined) return this.#checkProgress(call)
      const wait = next.wait as TaskWait
      if (wait.yields || isDue(call.sinceMs, nowMs())) {
        // Others had a turn then: whoever yielded is one of many again.
        if (wait.yields) next.wait = { ...wait, yields: false }
        this.#isScheduled = true
        return inTurn(() => {
          call.sinceMs = nowMs()
          this.#pump()
        }, nowMs)
      }
      const task = next
      let isLater = false
      this.#proceed(call, () => {
        isLater = this.#wakeUp(task, wait, false)
      })
      if (isLater) return this.schedule()
    }
  }

  #checkProgress(call: Call): void {
    if (this.#tasks.size === 0 || this.#hostOperations > 0 || this.#owner.held.size > 0) return
    for (const task of this.#tasks) if (task.wait === undefined) return
    this.endCall(call, new AsyncError("Deadlock", { export: call.name }))
  }

  // ── Lowerings ─────────────────────────────────────────────────────────────

  protected override lower(index: number): CoreFunction {
    const { isAsync, source } = this.linked.blueprint.lowerings[index] as Linked["blueprint"]["lowerings"][number]
    if (isAsync === true) return this.#asyncLowering(index)
    return (this.shims[`f${index}`] as CoreFunction | undefined) ?? (source.kind === "lift" ? this.suspendingLowering(index) : super.lower(index))
  }

  protected override builtin(index: number): CoreFunction {
    return (this.shims[`b${index}`] as CoreFunction | undefined) ?? this.builtinBody(index)
  }

  protected override builtinBody(index: number): CoreFunction {
    const spec = (this.linked.blueprint.builtins as NonNullable<Linked["blueprint"]["builtins"]>)[index] as NonNullable<Linked["blueprint"]["builtins"]>[number]
    const cx = this.contexts[spec.context] as AbiContext
    const serve = builtins[spec.name] as NonNullable<(typeof builtins)[string]>
    let body: ((...flat: ReadonlyArray<number>) => CoreValue | undefined) | undefined
    const { meter } = this
    // What no context restricts may be called from anywhere.
    const isFree = spec.name.startsWith("context.") || spec.name.startsWith("backpressure.")
    return (...flat) =>
      this.#guard(cx, () => {
        if (!isFree && !cx.instance.mayLeave) throw new AbiTrap(`the guest called "${spec.name}" from realloc, post-return or a destructor`)
        if (meter.countsFuel) meter.charge(costTable.hostCall)
        body ??= serve({ instance: this, spec, cx, encoding: this.encodingOf(spec.context), state: this.states[spec.owner] as ComponentState })
        return body(...(flat as ReadonlyArray<number>))
      })
  }

  /** Runs a host function's body: what it throws ends the call and no guest sees it; what it did may let others go on. */
  #guard(cx: AbiContext, body: () => CoreValue | undefined): CoreValue | undefined {
    try {
      if (this.isDiscarded) throw new PluginError("Closed", { what: "the instance" })
      refreshViews(cx)
      const returned = body()
      if (this.#pending.size > 0) this.schedule()
      return returned
    } catch (error) {
      return this.budget.fail(typed(error, "result"))
    }
  }

  /** Lifts for the host or for another component instance; loans belong to `scope`. */
  lifting<A>(handles: Handles, scope: Scope | undefined, isToHost: boolean, body: () => A): A {
    const outer = this.#isToHost
    this.#isToHost = isToHost
    handles.scope = scope
    try {
      return body()
    } finally {
      handles.scope = undefined
      this.#isToHost = outer
    }
  }

  /** The task that calls out. */
  caller(name: string): Task {
    if (!(this.acting instanceof Task)) throw new AbiTrap(`the guest called "${name}" outside of any task`)
    return this.acting
  }

  /** The slots of the task of component instance `owner` that runs, or of the instance where none does: `realloc` is called while others run. */
  slotsOf(owner: number): [number, number] {
    const { acting } = this
    return this.#destructor ?? (acting instanceof Task && acting.owner === owner ? acting.slots : (this.states[owner] as ComponentState).slots)
  }

  /** The slots of the destructor that runs, which is a task of its own but in the component instance that drops. */
  #destructor: [number, number] | undefined

  override destroy(type: ResourceType, rep: number, by?: number): void {
    if (this.linked.blueprint.resources.get(type)?.owner === by) return super.destroy(type, rep, by)
    this.#destructor = [0, 0]
    try {
      super.destroy(type, rep, by)
    } finally {
      this.#destructor = undefined
    }
  }

  /** `Task.trap_if_on_the_stack` and `Task.enter`, but that nothing waits here. */
  protected override refuseDestructor(owner: number, by: number | undefined): void {
    // The embedder's drops are inside of no task.
    for (let above = by === undefined ? undefined : this.acting; above instanceof Task; above = above.supertask)
      if (above.owner === owner) throw new AbiTrap(reentry)
    const { backpressure, isExclusive, entering } = this.states[owner] as ComponentState
    if (backpressure === 0 && !isExclusive && entering === 0) return
    const where = "the component of the resource holds callers back, and nothing waits for a destructor"
    throw new AsyncError("WouldWait", { export: this.running, import: "[resource-drop]", where })
  }

  #asyncLowering(index: number): CoreFunction {
    const { linked, budget, meter } = this
    const { type, source, context } = linked.blueprint.lowerings[index] as Linked["blueprint"]["lowerings"][number]
    const cx = this.contexts[context] as AbiContext
    const { owner } = linked.blueprint.contexts[context] as { readonly owner: number }
    const encoding = this.encodingOf(context)
    const { lift, flatCount } = importParams(type, encoding, 4)
    const { result } = type
    const layout = result === undefined ? undefined : layoutOf(result)
    const store = result === undefined ? undefined : storeOf(result, encoding)
    const name = source.kind === "lift" ? `function ${source.lift}` : importName(source)
    const served = source.kind === "import" ? (linked.functions.get(name) as LinkedFunction) : undefined
    return (...flat) =>
      this.#guard(cx, () => {
        if (!cx.instance.mayLeave) throw new AbiTrap(`the guest called "${name}" from realloc, post-return or a destructor`)
        const caller = this.caller(name)
        const { handles } = this.states[owner] as ComponentState
        const subtask = new Subtask()
        const args = (): ReadonlyArray<unknown> => {
          refreshViews(cx)
          beginScope(cx, "hostCallBytesMax")
          const lifted = this.lifting(handles, subtask.scope, served !== undefined, () => lift(cx, flat as Array<CoreValue>))
          if (meter.countsFuel && served === undefined) meter.charge(hostCallFuel(this.limits.hostCallBytesMax - budget.scopeBytesLeft))
          return lifted
        }
        const put = (value: unknown): void => {
          subtask.state = subtaskState.returned
          if (store === undefined || layout === undefined) return
          refreshViews(cx)
          const at = (flat[flatCount] as number) >>> 0
          checkRange(cx, at, layout.size, layout.align)
          const before = budget.bytesIn
          budget.bytesIn += layout.size
          store(cx, value, at)
          if (meter.countsFuel) meter.charge(Math.ceil((budget.bytesIn - before) / costTable.hostCallBytesPerUnit))
        }
        if (served !== undefined) this.#askLater(served, subtask, args(), put, result)
        else if (source.kind === "lift") this.#callLater(source.lift, caller, subtask, args, put)
        if (subtask.isResolved) {
          subtask.deliver()
          return subtask.state
        }
        subtask.index = handles.insert(subtask)
        return subtask.state | (subtask.index << 4)
      })
  }

  /** A host function, whose promise is a subtask. */
  #askLater(served: LinkedFunction, subtask: Subtask, args: ReadonlyArray<unknown>, put: (value: unknown) => void, result: ValueType | undefined): void {
    subtask.state = subtaskState.started
    const asking: Asking = { ending: undefined, forget: () => undefined }
    this.#asking = asking
    let answer: unknown
    try {
      answer = this.askOuter(served)(args)
    } finally {
      this.#asking = undefined
    }
    if (!isThenable(answer)) {
      asking.forget()
      return put(answer)
    }
    const call = this.current
    if (call === undefined) {
      neglect(answer)
      throw new AsyncError("WouldWait", { export: this.running, import: served.name, where: "the call must answer at once" })
    }
    this.watch(call)
    this.#hostOperations++
    subtask.cancel = () => {
      subtask.state = subtaskState.cancelledBeforeReturned
      subtask.progress()
      asking.ending?.abort()
    }
    new Promise((resolve) => resolve(answer)).then(
      (value) => {
        asking.forget()
        this.#hostOperations--
        if (call.isOver || subtask.isResolved) {
          if (result !== undefined && holdsOwn(result)) this.releaseOwned(result, value)
          // The one thing that was waited for may be what was cancelled.
          return this.schedule()
        }
        const answered = (): void => {
          put(value)
          subtask.progress()
        }
        this.#proceed(call, answered, "result")
        this.schedule()
      },
      (error: unknown) => {
        asking.forget()
        this.#hostOperations--
        if (subtask.isResolved) return this.schedule()
        this.endCall(call, this.hostFailure(served.name, error))
      },
    )
  }

  /** A function of another component instance of this plugin. */
  #callLater(lift: number, caller: Task, subtask: Subtask, args: () => ReadonlyArray<unknown>, put: (value: unknown) => void): void {
    const told = (): void => {
      if (subtask.index > 0) subtask.progress()
    }
    const task = this.#task(
      lift,
      caller,
      () => {
        subtask.state = subtaskState.started
        told()
        return args()
      },
      (value, isCancelled) => {
        if (!isCancelled) put(value)
        else subtask.state = subtask.state === subtaskState.starting ? subtaskState.cancelledBeforeStarted : subtaskState.cancelledBeforeReturned
        told()
      },
    )
    subtask.cancel = () => this.requestCancel(task)
    this.startTask(task)
  }

  /** A synchronous lowering that may have to wait: its caller's stack is suspended. */
  protected override suspendingLowering(index: number): CoreFunction {
    const { linked, budget, meter } = this
    const { type, source, context } = linked.blueprint.lowerings[index] as Linked["blueprint"]["lowerings"][number]
    const cx = this.contexts[context] as AbiContext
    const { owner } = linked.blueprint.contexts[context] as { readonly owner: number }
    const { lift, lower, receiver } = importParts(type, this.encodingOf(context))
    const nothing = zeroOf(flattenImport(type))
    const name = source.kind === "lift" ? `function ${source.lift}` : importName(source)
    const served = source.kind === "import" ? (linked.functions.get(name) as LinkedFunction) : undefined
    return receiver((flat) =>
      this.#guard(cx, () => {
        if (!cx.instance.mayLeave) throw new AbiTrap(`the guest called "${name}" from realloc, post-return or a destructor`)
        const { handles } = this.states[owner] as ComponentState
        const scope = new Scope()
        const args = (): ReadonlyArray<unknown> => {
          refreshViews(cx)
          beginScope(cx, "hostCallBytesMax")
          return this.lifting(handles, scope, served !== undefined, () => lift(cx, flat))
        }
        const done = (value: unknown): CoreValue | undefined => {
          refreshViews(cx)
          const before = budget.bytesIn
          const returned = lower(cx, value, flat)
          scope.end()
          if (meter.countsFuel) meter.charge(Math.ceil((budget.bytesIn - before) / costTable.hostCallBytesPerUnit))
          return returned
        }
        if (served !== undefined) {
          const answer = this.askOuter(served)(args())
          if (!isThenable(answer)) return done(answer)
          const late = type.result !== undefined && holdsOwn(type.result) ? (value: unknown) => this.releaseOwned(type.result as ValueType, value) : undefined
          this.waitFor(name, answer, done, (error) => this.hostFailure(name, error), late)
          return nothing
        }
        let answer: { readonly value: unknown } | undefined
        const start = (): ReadonlyArray<unknown> => {
          const lifted = args()
          if (meter.countsFuel) meter.charge(hostCallFuel(this.limits.hostCallBytesMax - budget.scopeBytesLeft))
          return lifted
        }
        this.startTask(
          this.#task((source as { readonly lift: number }).lift, this.caller(name), start, (value) => {
            answer = { value }
          }),
        )
        const resolved = (): CoreValue | undefined => done((answer as { readonly value: unknown }).value)
        if (answer !== undefined) return resolved()
        this.waitOn(name, { ready: () => answer !== undefined, isCancellable: false, yields: false }, resolved)
        return nothing
      }),
    )
  }

  override mayWait(): boolean {
    return this.#asking !== undefined || super.mayWait()
  }

  override ended(): AbortSignal {
    const signal = super.ended()
    const asking = this.#asking
    if (asking === undefined) return signal
    if (asking.ending !== undefined) return asking.ending.signal
    const ending = (asking.ending = new AbortController())
    const end = (): void => ending.abort(signal.reason)
    signal.addEventListener("abort", end, { once: true })
    asking.forget = () => signal.removeEventListener("abort", end)
    return ending.signal
  }

  // ── Streams, futures, error contexts ──────────────────────────────────────

  channel(type: StreamType | FutureType): Channel {
    return new Channel(type, pieceOf(type, this.limits.streamBytesMax), (body, isToHost) => {
      const outer = this.#isToHost
      this.#isToHost = isToHost
      try {
        body()
      } finally {
        this.#isToHost = outer
      }
    })
  }

  #endsOf(handles: Handles): EndTable {
    const owner = this.#owner
    return {
      give: (type, value) => {
        if (type.kind === "error-context") return handles.insert(errorContextOf(type, value))
        const isOurs = value instanceof Channel || value instanceof HostSource
        const end = new End(isOurs ? value : new HostSource(type, value, owner), undefined)
        end.index = handles.insert(end)
        return end.index
      },
      take: (type, handle) => {
        const item = handles.item(handle)
        if (type.kind === "error-context") {
          if (!(item instanceof ErrorContext)) throw new AbiTrap(`handle ${handle} is no error-context`)
          return this.#isToHost ? { debugMessage: item.debugMessage } : item
        }
        if (!(item instanceof End) || item.writable !== undefined || !sameType(item.type, type))
          throw new AbiTrap(`handle ${handle} is not the readable end of such a ${type.kind}`)
        if (item.state !== "idle") throw new AbiTrap(`the readable end ${handle} is given away while it is ${item.state === "done" ? "done" : "read"}`)
        // What the host holds is in no table, and costs it more than what is.
        const { handlesMax } = this.limits
        if (this.#isToHost && owner.held.size >= handlesMax) throw new LimitError("handlesMax", { limit: handlesMax })
        handles.remove(handle)
        item.join(undefined)
        return this.#isToHost ? new HostReader(item.readable, owner).value : item.readable
      },
    }
  }
}

function errorContextOf(type: ErrorContextType, value: unknown): ErrorContext {
  if (value instanceof ErrorContext) return value
  if (value instanceof Error) return new ErrorContext(value.message)
  const message = typeof value === "object" && value !== null ? (value as { readonly debugMessage?: unknown }).debugMessage : undefined
  return typeof message === "string" ? new ErrorContext(message) : mismatch(type, value)
}
