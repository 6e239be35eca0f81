/** One isolate that serves one plugin: what is asked of it, what it asks back, and how it is stopped. */
import { SteleError } from "../../schemas/error/family.ts"
import { IsolateError } from "../../schemas/error/isolate.ts"
import { LimitError } from "../../schemas/error/limit.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import type { FunctionType } from "../../schemas/wit/model.ts"
import { anywhere } from "../../schemas/wit/tree.ts"
import { AbiTrap } from "../abi/context.ts"
import type { Spent, Target } from "../call/executor.ts"
import type { CallLimits } from "../call/instance.ts"
import type { CallContext } from "../capability/capability.ts"
import type { RawImport } from "../foreign/raw.ts"
import type { LinkedFunction } from "../link/link.ts"
import type { Linked } from "../link/prepare.ts"
import { Crossing, type RemoteInstance } from "./crossing.ts"
import type { Link } from "./link.ts"
import type { Wasi } from "../wasi/given.ts"
import { forwardedAt, programForm } from "./port.ts"
import { ask, changesType, errorFrom, errorType, loadType, programType, tell } from "./protocol.ts"
import { crossing, Decoder, Encoder, type Header, headerBytes, type Incoming, paramsType } from "./wire.ts"

/** How long after its deadline a guest may take to end by itself before its isolate is ended. A stop strikes within 5 ms. */
export const graceMs = { worker: 250, process: 250 } as const
/** How often the memory of a process that runs a guest is looked at. */
const residentEveryMs = 25
/** And of one that runs none: its engine collects garbage then, and one that was taken over may take what it likes. */
const idleEveryMs = 1_000
/** Processor time that one which runs nothing may use in so long, and how often in a row it may use more: an engine compiles and cleans up for a while. */
const idleProcessorMsMax = 500
const idleStrikesMax = 3
/** Calls that lie in the channel of one isolate, and how much of its time they may be: more, and another isolate is the better place for them. */
const aheadMax = 16
const aheadMs = 1
const movesAfterMs = 20
/** What an isolate may say of an error. */
const errorBytesMax = 1 << 20

/** What runs in the isolate now. */
interface Conversation {
  readonly name: string
  readonly instance: RemoteInstance | undefined
  readonly limits: CallLimits
  readonly signal: AbortSignal | undefined
  hostCallsLeft: number
  /** Why the guest must end; told instead of whatever it says itself. */
  failure: unknown
  /** Ends the wait for a host function that answers later. */
  interrupt: ((error: unknown) => void) | undefined
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function"

const isHandle = anywhere((type) => type.kind === "own" || type.kind === "borrow")
const plain = new WeakMap<FunctionType, boolean>()

/** Does nothing that it takes or answers stand for something on either side? */
export function isPlain(type: FunctionType): boolean {
  let known = plain.get(type)
  if (known === undefined)
    plain.set(type, (known = !type.params.some((param) => isHandle(param.type)) && (type.result === undefined || !isHandle(type.result))))
  return known
}

/** What a call fails with whose isolate ended before it began: it has done nothing, and may go to another. */
export const notBegun = new Error("The isolate ended before the call began")

export class Isolate {
  readonly link: Link
  readonly crossing: Crossing
  readonly #linked: Linked
  readonly #encoder: Encoder
  readonly #decoder: Decoder
  /** Of a message from the isolate. */
  readonly #bytesMax: number
  readonly #functions: ReadonlyArray<{ readonly linked: LinkedFunction; readonly type: FunctionType } | undefined>
  readonly #onEnd: (isolate: Isolate) => void
  readonly instances = new Set<RemoteInstance>()
  /** What a program that is called finds, as the isolate was told. */
  #wasi: Wasi
  isEnded = false
  /** Its engine boots: what it holds then is its own. */
  isStarting = true
  /** Conversations that are under way or wait. */
  #busy = 0
  /** The last of the calls that are under way or wait in the channel; settled when it has ended. */
  #tail: Promise<void> | undefined
  /** Of calls that wait in the channel. Its messages are written while another call's answer to its guest may lie in the other. */
  readonly #ahead: Encoder
  /** How long a call takes, in ms; and when the one that runs began. */
  #callMs = Infinity
  #runsSinceMs: number | undefined
  /** Why it was ended, when it was the host that did. */
  #cause: unknown
  /** Changes of grants that it has not been told of. */
  readonly #changes: Array<readonly [string, string]> = []

  constructor(link: Link, linked: Linked, onEnd: (isolate: Isolate) => void) {
    this.link = link
    this.#linked = linked
    this.#onEnd = onEnd
    this.#wasi = linked.wasi
    this.crossing = new Crossing(linked)
    const { memoryBytesMax } = linked.limits
    const bytesMax = crossing(memoryBytesMax) + linked.componentBytes
    const encoder = (): Encoder => new Encoder(this.crossing, link.data, bytesMax, () => new LimitError("memoryBytesMax", { limit: memoryBytesMax }))
    this.#encoder = encoder()
    this.#ahead = encoder()
    this.#decoder = new Decoder(this.crossing)
    const { outputBytesMax, hostCallBytesMax } = linked.limits
    this.#bytesMax = headerBytes + crossing(Math.max(outputBytesMax, hostCallBytesMax, errorBytesMax))
    this.#functions = [
      ...linked.blueprint.imports.map(({ interface: of, name, type }) => ({
        linked: linked.functions.get(of === undefined ? name : `${of}#${name}`) as LinkedFunction,
        type,
      })),
      ...linked.blueprint.raws.map(({ import: raw }) => this.#outside(raw)),
    ]
    if (link.kind === "process") {
      const watch = setInterval(() => this.#watchIdle(), idleEveryMs)
      ;(watch as { unref?: () => void }).unref?.()
      this.#idleWatch = watch
    }
    void link.ended.then((detail) => this.#end(detail))
  }

  readonly #idleWatch: ReturnType<typeof setInterval> | undefined
  /** Processor time when it was last looked at while nothing ran; undefined after a call. */
  #idleFromMs: number | undefined
  #idleStrikes = 0

  #watchIdle(): void {
    if (this.isBusy || this.#isTooLarge()) return
    const fromMs = this.#idleFromMs
    this.#idleFromMs = this.link.processorMs()
    if (fromMs === undefined || this.#idleFromMs === undefined) return
    const actualMs = this.#idleFromMs - fromMs
    this.#idleStrikes = actualMs > idleProcessorMsMax ? this.#idleStrikes + 1 : 0
    if (this.#idleStrikes >= idleStrikesMax) this.kill(new IsolateError("Idle", { actualMs, everyMs: idleEveryMs }))
  }

  /** Why it was ended between calls, when the host ended it. */
  get idleCause(): unknown {
    return this.isBusy ? undefined : this.#cause
  }

  #watch: ReturnType<typeof setInterval> | undefined

  get isBusy(): boolean {
    return this.isStarting || this.#busy > 0
  }

  /** How long a call takes here, in ms, as far as is known: no less than the one that runs has taken already. */
  get paceMs(): number {
    return this.#runsSinceMs === undefined ? this.#callMs : Math.max(this.#callMs, this.#linked.nowMs() - this.#runsSinceMs)
  }

  /** Calls that it may have at a time, the one that runs included. Those that take no time wait best where they run. */
  get depth(): number {
    return this.link.post === undefined ? 1 : Math.max(1, Math.min(aheadMax, Math.floor(aheadMs / this.paceMs)))
  }

  #enter(): void {
    if (this.#busy++ > 0) return
    this.#idleFromMs = undefined
    this.#idleStrikes = 0
    this.link.hold(true)
    if (this.link.kind === "process") this.#watch = setInterval(() => this.#isTooLarge(), residentEveryMs)
  }

  #leave(): void {
    if (--this.#busy > 0) return
    clearInterval(this.#watch)
    this.link.hold(false)
  }

  #outside({ module, name, outside }: RawImport): { readonly linked: LinkedFunction; readonly type: FunctionType } | undefined {
    if (outside === undefined) return undefined
    const full = `${module}#${name}`
    const provided = this.#linked.functions.get(full)?.call
    const call = (context: CallContext, ...values: ReadonlyArray<unknown>): unknown => outside.serve(context, provided, values)
    return { linked: { name: full, call }, type: outside.type(outside.isOfNumbers(provided)) }
  }

  /** Loads the plugin: decoded and compiled there. */
  async load(component: Uint8Array, isSnapshot: boolean): Promise<void> {
    const linked = this.#linked
    const limits: CallLimits = { deadlineAtMs: linked.nowMs() + linked.limits.loadMs, deadlineMs: linked.limits.loadMs, fuel: 0n }
    const talk = this.#talk("(load)", undefined, limits, undefined)
    await this.#during(
      talk,
      () => new LimitError("loadMs", { limit: linked.limits.loadMs }),
      async () => {
        this.isStarting = false
        const hello = await this.link.exchange(undefined, headerBytes)
        if (hello === undefined || hello === "garbage" || this.#decoder.header(hello).kind !== tell.ready)
          throw await this.#lost(talk, hello, "it did not begin as an isolate does")
        this.#encoder.begin({ kind: ask.load })
        this.#encoder.value(
          loadType,
          {
            component,
            digest: linked.digest,
            tenant: linked.tenant,
            injected: this.link.injected,
            isSnapshot,
            // Slices read the clock, and that of one without a host says "too late": nothing else would end an endless loop.
            mechanism: linked.mechanism === "off" && !this.link.endsWithHost ? "slice" : linked.mechanism,
            limits: Object.entries(linked.limits),
            grants: linked.grants.list(),
            numbers: linked.blueprint.raws.flatMap(({ import: { module, name, outside } }) =>
              outside?.isOfNumbers(linked.functions.get(`${module}#${name}`)?.call) === true ? [`${module}#${name}`] : [],
            ),
            program: programForm(linked.wasi),
          },
          "load",
        )
        await this.#done(talk)
        if (this.#isTooLarge()) throw this.#cause
      },
    )
  }

  /** Remembers a change of grants; only functions that run in the isolate look at its own copy of them. */
  changed(change: "granted" | "revoked", grant: string): void {
    if (this.#linked.blueprint.raws.length > 0) this.#changes.push([change, grant])
  }

  /** Must it be told something before a call that finds `wasi`? */
  hasNews(wasi: Wasi): boolean {
    return this.#changes.length > 0 || (wasi !== this.#wasi && this.#linked.blueprint.raws.length > 0)
  }

  /** Tells the isolate what has changed. */
  async update(wasi: Wasi): Promise<void> {
    const limits = this.#linked.callLimits()
    const talk = this.#talk("(update)", undefined, limits, undefined)
    await this.#during(
      talk,
      () => new LimitError("deadlineMs", { limit: limits.deadlineMs }),
      async () => {
        if (this.#changes.length > 0) {
          this.#encoder.begin({ kind: ask.grants })
          this.#encoder.value(changesType, this.#changes.splice(0), "grants")
          await this.#done(talk)
        }
        if (wasi === this.#wasi) return
        this.#wasi = wasi
        this.#encoder.begin({ kind: ask.program })
        this.#encoder.value(programType, programForm(wasi), "wasi")
        await this.#done(talk)
      },
    )
  }

  /**
   * Runs one call in `instance`; `write` writes its arguments, and may throw before anything is sent. While others run it waits for
   * them, in the channel where that is possible. `ended`: the isolate has done with it, whether its caller waited for that or not.
   * @throws what the call fails with; `notBegun`
   */
  call(
    target: Target,
    instance: RemoteInstance,
    write: (encoder: Encoder) => void,
    limits: CallLimits,
    signal: AbortSignal | undefined,
    spent: Spent,
    ended: () => void,
  ): Promise<unknown> {
    const talk = this.#talk(target.name, instance, limits, signal)
    const wasi = limits.wasi ?? this.#linked.wasi
    const before = this.#tail
    this.#enter()
    const over = (): void => {
      this.#leave()
      ended()
    }
    let run: Promise<unknown>
    let answer: Promise<unknown>
    try {
      if (this.isEnded) throw notBegun
      if (before !== undefined) ({ run, answer } = this.#after(before, talk, target, write, wasi, spent))
      else answer = run = this.hasNews(wasi) ? this.update(wasi).then(() => this.#begin(talk, target, write, spent)) : this.#begin(talk, target, write, spent)
    } catch (error) {
      over()
      throw error
    }
    const tail: Promise<void> = run
      .then(
        () => undefined,
        () => undefined,
      )
      .then(() => {
        if (this.#tail === tail) this.#tail = undefined
        over()
      })
    this.#tail = tail
    return answer
  }

  /** A call that waits for those before it: its deadline passes and its signal is heard meanwhile. */
  #after(
    before: Promise<void>,
    asked: Conversation,
    target: Target,
    write: (encoder: Encoder) => void,
    wasi: Wasi,
    spent: Spent,
  ): { readonly run: Promise<unknown>; readonly answer: Promise<unknown> } {
    const { limits, signal } = asked
    const isSent = this.link.post !== undefined && isPlain(target.type) && !this.hasNews(wasi)
    if (isSent) {
      this.#header(this.#ahead, target, asked)
      write(this.#ahead)
      this.link.post?.(this.#ahead, this.#bytesMax)
    }
    const { promise: failed, reject } = Promise.withResolvers<never>()
    let failure: unknown
    const fail = (error: unknown): void => reject((failure ??= error))
    const onAbort = (): void => fail(new PluginError("Aborted", { export: asked.name }))
    const timer =
      limits.deadlineAtMs === Infinity
        ? undefined
        : setTimeout(() => fail(new LimitError("deadlineMs", { limit: limits.deadlineMs })), Math.max(0, limits.deadlineAtMs - this.#linked.nowMs()))
    signal?.addEventListener("abort", onAbort)
    // Behind one that takes its time: another isolate may have time. The host refuses all that it would do here, so it cannot be done twice.
    const moving = asked.instance?.isKept === false ? setTimeout(() => fail(notBegun), movesAfterMs) : undefined
    const run = before.then(async () => {
      clearTimeout(timer)
      clearTimeout(moving)
      signal?.removeEventListener("abort", onAbort)
      if (this.isEnded) throw notBegun
      const { instance } = asked
      // One that is kept may have failed meanwhile: the isolate makes another of its number.
      const talk = { ...asked, instance: instance?.isDiscarded === true ? instance.keeper.renew(instance) : instance, failure }
      if (isSent) return this.#run(talk, target, spent, true)
      if (failure !== undefined) throw failure
      if (this.hasNews(wasi)) await this.update(wasi)
      return this.#begin(talk, target, write, spent)
    })
    return { run, answer: Promise.race([run, failed]) }
  }

  #header(encoder: Encoder, target: Target, { instance, limits }: Conversation): void {
    const { number, isKept } = instance as RemoteInstance
    const nowMs = this.#linked.nowMs()
    encoder.begin({
      kind: ask.call,
      a: target.lift,
      b: number,
      c: isKept ? 1 : 0,
      x: limits.deadlineAtMs - nowMs,
      y: limits.deadlineMs,
      v: nowMs,
      z: limits.fuel,
    })
  }

  #begin(talk: Conversation, target: Target, write: (encoder: Encoder) => void, spent: Spent): Promise<unknown> {
    const instance = talk.instance as RemoteInstance
    this.crossing.beginMessage(instance)
    try {
      this.#header(this.#encoder, target, talk)
      write(this.#encoder)
    } catch (error) {
      this.crossing.giveUp()
      this.crossing.endCall()
      // Resources that the guest was to take are neither side's any more: their instance goes, as it does inline.
      if (this.crossing.hasTaken || !instance.isThere) this.#forget(instance)
      throw error
    }
    return this.#run(talk, target, spent, false)
  }

  /** `isSent`: its message is in the channel. */
  async #run(talk: Conversation, target: Target, spent: Spent, isSent: boolean): Promise<unknown> {
    const { limits, signal } = talk
    const linked = this.#linked
    const instance = talk.instance as RemoteInstance
    this.instances.add(instance)
    instance.counts.clear()
    instance.spending.clear()
    instance.isRunning = true
    instance.isThere = true
    instance.signal = signal
    instance.trace = limits.trace
    instance.wasi = limits.wasi ?? linked.wasi
    instance.deadlineAtMs = limits.deadlineAtMs
    instance.deadlineMs = limits.deadlineMs
    const startedMs = (this.#runsSinceMs = linked.nowMs())
    try {
      return await this.#during(
        talk,
        () => new LimitError("deadlineMs", { limit: limits.deadlineMs }),
        () => this.#answer(talk, target, instance, spent, isSent),
      )
    } finally {
      const tookMs = linked.nowMs() - startedMs
      this.#runsSinceMs = undefined
      this.#callMs = this.#callMs === Infinity ? tookMs : this.#callMs * 0.9 + tookMs * 0.1
      instance.isRunning = false
      instance.endCall()
      this.crossing.endCall()
      if (!instance.isKept && instance.ownedOutside === 0) this.#forget(instance)
      else instance.keeper.released(instance)
      for (const [grant, { calls }] of instance.counts) spent.hostCalls[grant] = calls
    }
  }

  async #answer(talk: Conversation, target: Target, instance: RemoteInstance, spent: Spent, isSent: boolean): Promise<unknown> {
    const { limits } = this.#linked
    const [header, message] = await this.#converse(talk, isSent)
    if (header.kind !== tell.result && header.kind !== tell.failed) throw this.#garbage(talk, `an answer of kind ${header.kind}`)
    const { fuel } = talk.limits
    spent.fuel = this.#linked.mechanism === "fuel" && header.z >= 0n ? (header.z < fuel ? header.z : fuel) : undefined
    const amount = (value: number): number => (value >= 0 && value <= Number.MAX_SAFE_INTEGER ? Math.floor(value) : 0)
    spent.memoryPeakBytes = Math.min(amount(header.x), limits.memoryBytesMax)
    spent.bytesIn = amount(header.y)
    spent.bytesOut = amount(header.u)
    this.crossing.instance = instance
    try {
      if (header.kind === tell.failed) {
        const error = this.#read(talk, () => errorFrom(this.#decoder.value(errorType, message, { name: "outputBytesMax", bytes: errorBytesMax })))
        throw talk.failure ?? error
      }
      if (talk.failure !== undefined) throw talk.failure
      const { result } = target.type
      return result === undefined
        ? undefined
        : this.#read(talk, () => this.#decoder.value(result, message, { name: "outputBytesMax", bytes: limits.outputBytesMax }))
    } finally {
      if (header.a !== 1) this.#gone(instance)
    }
  }

  /** Runs a resource's destructor. */
  async drop(instance: RemoteInstance, number: number): Promise<void> {
    const limits = this.#linked.callLimits()
    const talk = this.#talk("[drop]resource", instance, limits, undefined)
    instance.isRunning = true
    instance.deadlineAtMs = limits.deadlineAtMs
    instance.deadlineMs = limits.deadlineMs
    this.crossing.beginMessage(instance)
    try {
      await this.#during(
        talk,
        () => new LimitError("deadlineMs", { limit: limits.deadlineMs }),
        async () => {
          const nowMs = this.#linked.nowMs()
          this.#encoder.begin({ kind: ask.drop, a: number, x: limits.deadlineAtMs - nowMs, y: limits.deadlineMs, v: nowMs, z: limits.fuel })
          await this.#done(talk)
          // Its last resource: the isolate has let it go by itself.
          if (!instance.isKept && instance.ownedOutside === 0) this.#gone(instance)
        },
      )
    } finally {
      instance.isRunning = false
      instance.keeper.released(instance)
    }
  }

  async discard(instance: RemoteInstance): Promise<void> {
    const limits = this.#linked.callLimits()
    const talk = this.#talk("[discard]", instance, limits, undefined)
    this.crossing.beginMessage(instance)
    this.#gone(instance)
    await this.#during(
      talk,
      () => new LimitError("deadlineMs", { limit: limits.deadlineMs }),
      async () => {
        this.#encoder.begin({ kind: ask.discard, b: instance.number })
        await this.#done(talk)
      },
    )
  }

  /** Ends it at once; `cause` is what its running call fails with. */
  kill(cause?: unknown): void {
    this.#cause ??= cause
    this.link.kill()
  }

  /** Nothing reaches the instance any more; where the isolate has it, it is told when it has time. */
  #forget(instance: RemoteInstance): void {
    instance.discard()
    this.instances.delete(instance)
    instance.keeper.released(instance)
  }

  /** The isolate has it no more. */
  #gone(instance: RemoteInstance): void {
    instance.isThere = false
    instance.discard()
    this.instances.delete(instance)
  }

  #talk(name: string, instance: RemoteInstance | undefined, limits: CallLimits, signal: AbortSignal | undefined): Conversation {
    return { name, instance, limits, signal, hostCallsLeft: this.#linked.limits.hostCallsMax, failure: undefined, interrupt: undefined }
  }

  /** Runs `body` under a deadline, a signal and a limit of memory. `late` makes the failure when the deadline passes. */
  async #during<A>(talk: Conversation, late: () => LimitError, body: () => Promise<A>): Promise<A> {
    const { link } = this
    const { nowMs } = this.#linked
    const { signal } = talk
    let timer: ReturnType<typeof setTimeout> | undefined
    const kill = (): void => this.kill(talk.failure ?? late())
    const onAbort = (): void => {
      talk.failure ??= new PluginError("Aborted", { export: talk.name })
      if (talk.interrupt !== undefined) talk.interrupt(talk.failure)
      if (!link.stop()) return talk.interrupt === undefined ? kill() : undefined
      clearTimeout(timer)
      timer = setTimeout(kill, graceMs[link.kind])
    }
    if (talk.limits.deadlineAtMs !== Infinity) {
      timer = setTimeout(
        () => {
          if (talk.interrupt !== undefined) {
            talk.failure ??= late()
            talk.interrupt(talk.failure)
          }
          timer = setTimeout(kill, graceMs[link.kind])
        },
        Math.max(0, talk.limits.deadlineAtMs - nowMs()),
      )
    }
    signal?.addEventListener("abort", onAbort)
    link.resume()
    this.#enter()
    try {
      return await body()
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener("abort", onAbort)
      this.#leave()
    }
  }

  /** Ends a process that holds more memory than it may. */
  #isTooLarge(): boolean {
    const limit = this.#linked.limits.residentBytesMax
    const actual = this.link.residentBytes() ?? 0
    if (actual <= limit) return false
    this.kill(new LimitError("residentBytesMax", { limit, actual }))
    return true
  }

  /** Sends what the encoder has and expects that it was done. */
  async #done(talk: Conversation): Promise<void> {
    const [header, message] = await this.#converse(talk)
    if (header.kind === tell.done) return
    if (header.kind !== tell.failed) throw this.#garbage(talk, `an answer of kind ${header.kind}`)
    throw talk.failure ?? this.#read(talk, () => errorFrom(this.#decoder.value(errorType, message, { name: "outputBytesMax", bytes: errorBytesMax })))
  }

  /** Sends what the encoder has, unless that `isSent`, and serves what the guest asks, until it answers. */
  async #converse(talk: Conversation, isSent = false): Promise<readonly [Header, Incoming]> {
    let next: Encoder | undefined = isSent ? undefined : this.#encoder
    for (;;) {
      const message = await this.link.exchange(next, this.#bytesMax)
      next = this.#encoder
      if (message === undefined || message === "garbage") throw await this.#lost(talk, message, "a message that cannot be")
      const header = this.#decoder.header(message)
      if (header.kind === tell.hostCall || header.kind === tell.port) {
        const later = this.#serve(talk, header, message)
        if (later !== undefined) await later
      } else if (header.kind === tell.hostDrop) this.#serveDrop(talk, header)
      else return [header, message]
    }
  }

  /** Serves a host call; a promise when its function answers later. What fails ends the guest, and is what its call fails with. */
  #serve(talk: Conversation, header: Header, message: Incoming): Promise<void> | undefined {
    const instance = talk.instance as RemoteInstance
    try {
      if (talk.instance === undefined) throw this.#garbage(talk, "a host call outside of any call")
      if (talk.failure !== undefined) throw talk.failure
      if (talk.hostCallsLeft-- <= 0) throw new LimitError("hostCallsMax", { limit: this.#linked.limits.hostCallsMax })
      this.crossing.beginMessage(instance)
      const isPort = header.kind === tell.port
      const port = isPort ? forwardedAt(header.a) : undefined
      const known = isPort ? undefined : this.#functions[header.a]
      const type = port?.type ?? known?.type
      if (type === undefined) throw this.#garbage(talk, `a call of import ${header.a}`)
      const name = known?.linked.name ?? `port ${header.a}`
      const args = this.#read(talk, () =>
        this.#decoder.value(paramsType(type), message, { name: "hostCallBytesMax", bytes: this.#linked.limits.hostCallBytesMax }),
      ) as ReadonlyArray<unknown>
      const value = this.#invoke(talk, (known?.linked.call ?? port?.serve) as (...all: ReadonlyArray<unknown>) => unknown, name, args)
      if (!isThenable(value)) return this.#reply(type, value)
      return this.#settle(talk, type, name, value)
    } catch (error) {
      this.#refuse(talk, error)
      return undefined
    }
  }

  /** Calls a host function; what calls into plugins it begins before it first waits are calls inside this one. */
  #invoke(talk: Conversation, call: (...all: ReadonlyArray<unknown>) => unknown, name: string, args: ReadonlyArray<unknown>): unknown {
    const { nesting } = this.#linked
    const { depth, deadlineAtMs } = nesting
    nesting.depth = Math.max(depth, talk.limits.depth ?? 0) + 1
    nesting.deadlineAtMs = Math.min(talk.limits.deadlineAtMs, depth === 0 ? Infinity : deadlineAtMs)
    try {
      return call(talk.instance, ...args)
    } catch (error) {
      throw this.#hostFailure(talk, name, error)
    } finally {
      nesting.depth = depth
      nesting.deadlineAtMs = deadlineAtMs
    }
  }

  #hostFailure(talk: Conversation, name: string, error: unknown): unknown {
    if (error instanceof SteleError) return error
    return new PluginError("HostCall", { export: talk.name, import: name, detail: error instanceof Error ? error.message : String(error) }, { cause: error })
  }

  async #settle(talk: Conversation, type: FunctionType, name: string, value: PromiseLike<unknown>): Promise<void> {
    try {
      const answer = await new Promise<unknown>((resolve, reject) => {
        talk.interrupt = reject
        value.then(resolve, (error: unknown) => reject(this.#hostFailure(talk, name, error)))
      })
      this.crossing.beginMessage(talk.instance as RemoteInstance)
      this.#reply(type, answer)
    } catch (error) {
      this.#refuse(talk, error)
    } finally {
      talk.interrupt = undefined
    }
  }

  #reply(type: FunctionType, value: unknown): undefined {
    this.crossing.endScope()
    this.#encoder.begin({ kind: ask.answer })
    if (type.result !== undefined) {
      try {
        this.#encoder.value(type.result, value, "result")
      } catch (error) {
        this.crossing.giveUp()
        throw error
      }
    }
    return undefined
  }

  #refuse(talk: Conversation, error: unknown): void {
    this.crossing.endScope()
    talk.failure ??= error instanceof AbiTrap ? this.#abi(talk, error) : error
    this.#encoder.begin({ kind: ask.refuse })
  }

  #serveDrop(talk: Conversation, header: Header): void {
    try {
      // A call that has failed discards its instance: what fails then is told to the observer and ends nothing more.
      this.crossing.drop(header.a, talk.failure !== undefined)
      this.#encoder.begin({ kind: ask.answer })
    } catch (error) {
      this.#refuse(talk, error)
    }
  }

  #abi(talk: Conversation, error: AbiTrap): PluginError {
    return new PluginError("AbiViolation", { export: talk.name, detail: error.message }, { cause: error })
  }

  /** Reads what came; bytes that are no value of the type are an isolate's that has gone astray, which is ended. */
  #read<A>(talk: Conversation, read: () => A): A {
    try {
      return read()
    } catch (error) {
      if (error instanceof AbiTrap) throw this.#garbage(talk, error.message)
      throw error
    }
  }

  #garbage(talk: Conversation, what: string): IsolateError {
    const error = new IsolateError("Garbage", { what })
    talk.failure ??= error
    this.kill(error)
    return error
  }

  async #lost(talk: Conversation, message: "garbage" | Incoming | undefined, what: string): Promise<unknown> {
    if (message !== undefined) return this.#garbage(talk, what)
    this.#end(await this.link.ended)
    return talk.failure ?? this.#cause ?? new IsolateError("Ended", { isolation: this.link.kind, export: talk.name, detail: this.#detail })
  }

  #detail = "it was killed"

  #end(detail: string): void {
    if (this.isEnded) return
    this.isEnded = true
    clearInterval(this.#idleWatch)
    clearInterval(this.#watch)
    this.#detail = detail
    for (const instance of this.instances) instance.discard()
    this.instances.clear()
    this.crossing.clear()
    this.#onEnd(this)
  }
}
