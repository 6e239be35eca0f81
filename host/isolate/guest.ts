/**
 * The program of an isolate: one plugin, one request at a time. It holds the engine and nothing else: no grant, no port, no
 * capability. What the guest imports is asked of the parent, which holds them; what a handle of the host's stands for is a
 * number here. Everything is synchronous but loading, so that the guest runs and waits on this thread as it would inline.
 */
import { AsyncError } from "../../schemas/error/async.ts"
import type { FunctionType, ResourceType } from "../../schemas/wit/model.ts"
import { typeText } from "../../schemas/wit/print.ts"
import { anywhere } from "../../schemas/wit/tree.ts"
import type { GuestResource } from "../call/handles.ts"
import { type CallLimits, Instance } from "../call/instance.ts"
import { Remains } from "../call/remains.ts"
import type { Spent } from "../call/executor.ts"
import type { HostFunction } from "../capability/capability.ts"
import type { HandleTable } from "../abi/context.ts"
import type { ModuleCache } from "../meter/cache.ts"
import { rewriteCoreModule, rewriteSteps } from "../meter/rewrite.ts"
import type { Mechanism } from "../call/meter.ts"
import { blueprintOf, compile, type Linked } from "../link/prepare.ts"
import { defaultLimits, type Limits } from "../options.ts"
import type { GuestPlatform } from "./link.ts"
import type { GrantSet } from "../capability/grant.ts"
import type { Ports } from "../port/mod.ts"
import { nothing, type Wasi } from "../wasi/given.ts"
import type { IsolatePorts, Program } from "./port.ts"
import { ask, changesType, errorForm, errorType, loadType, type LoadRequest, programType, tell } from "./protocol.ts"
import { Decoder, Encoder, type Header, type Incoming, paramsType } from "./wire.ts"

/** The isolate's end of the channel to its parent. */
export interface GuestChannel {
  /** Memory that both sides see, to write messages into. */
  readonly data: SharedArrayBuffer | undefined
  send(message: Encoder): void
  /** Blocks until there is a message; undefined when the parent is gone. */
  receive(): Incoming | undefined
  /** Has the parent asked the running call to stop, or is it gone? */
  isStopped(): boolean
  /** Is a message there already? */
  readonly hasMore: boolean
}

/** What stands for a resource of the host's: the parent knows it by its number. */
class HostRep {
  readonly number: number
  constructor(number: number) {
    this.number = number
  }
}

/** Thrown for a host call that the parent refused: what happened is known there. */
const refusal = new Error("The parent ended the call")

/** Resources as they cross: the host's by the parent's numbers, the guest's by numbers given here. */
class Crossing implements HandleTable {
  readonly #resources = new Map<number, GuestResource>()
  #next = 1
  /** Of the plugin itself: all other resource types are the host's. */
  isGuest: (type: ResourceType) => boolean = () => false

  own(type: ResourceType, value: unknown): number {
    return this.isGuest(type) ? this.#give(value as GuestResource) : (value as HostRep).number
  }

  borrow(type: ResourceType, value: unknown): number {
    return this.own(type, value)
  }

  takeOwn(type: ResourceType, number: number): unknown {
    if (!this.isGuest(type)) return new HostRep(number)
    const resource = this.#resources.get(number)
    this.#resources.delete(number)
    return resource
  }

  lend(type: ResourceType, number: number): unknown {
    return this.isGuest(type) ? this.#resources.get(number) : new HostRep(number)
  }

  /** For its destructor. */
  take(number: number): GuestResource | undefined {
    const resource = this.#resources.get(number)
    this.#resources.delete(number)
    return resource
  }

  /** Forgets those whose instance is gone and borrows that have ended. */
  sweep(): void {
    for (const [number, resource] of this.#resources) if (!resource.isLive) this.#resources.delete(number)
  }

  #give(resource: GuestResource): number {
    this.#resources.set(this.#next, resource)
    return this.#next++
  }

  beginScope(): void {}
  endScope(): void {}
}

/** An isolate compiles each module once. */
const uncached: ModuleCache = {
  async compile(_key, rewrite) {
    const { bytes, notes } = await rewrite()
    return { module: await WebAssembly.compile(bytes as BufferSource), notes, from: "rewriter" }
  },
  flush: async () => undefined,
  counts: { memoryHits: 0, diskHits: 0, misses: 0, dropped: 0, memoryBytes: 0 },
}
/** A sleeping guest looks this often whether it is to stop. */
const waitStepMs = 5

/** An instance that starts in less is made ahead. */
const prepareMsMax = 5

/** What a component's imports never look at here. */
const nobody: unknown = undefined

const holdsEnd = anywhere(({ kind }) => kind === "stream" || kind === "future")

class Guest {
  readonly #channel: GuestChannel
  readonly #platform: GuestPlatform
  readonly #crossing = new Crossing()
  readonly #encoder: Encoder
  readonly #decoder = new Decoder(this.#crossing)
  readonly #instances = new Map<number, Instance>()
  #linked: Linked | undefined
  #foreign: IsolatePorts | undefined
  /** What a program that is called now finds. */
  #wasi: Wasi | undefined
  /** Limits of the request that is being served, for destructors. */
  #limits: CallLimits = { deadlineAtMs: Infinity, deadlineMs: Infinity, fuel: 0n }

  constructor(channel: GuestChannel, platform: GuestPlatform) {
    this.#channel = channel
    this.#platform = platform
    this.#encoder = new Encoder(this.#crossing, channel.data, 2 ** 32 - 1, () => new RangeError("A message is longer than 4 GiB"))
  }

  /** Serves until the parent is gone. */
  async serve(): Promise<void> {
    this.#encoder.begin({ kind: tell.ready })
    this.#channel.send(this.#encoder)
    for (let message = this.#next(); message !== undefined; message = this.#next()) {
      const header = this.#decoder.header(message)
      if (header.kind === ask.call) {
        const rest = this.#call(header, message)
        if (rest !== undefined) await rest
      } else await this.#other(header, message)
    }
  }

  /** Calls that came while another one waited for the parent. */
  readonly #later: Array<Incoming> = []

  #next(): Incoming | undefined {
    return this.#later.shift() ?? this.#channel.receive()
  }

  /** What the parent answers to what was sent last; undefined when it refuses, or is gone. */
  #reply(): Incoming | undefined {
    for (;;) {
      const message = this.#channel.receive()
      if (message === undefined) return undefined
      const { kind } = this.#decoder.header(message)
      if (kind === ask.answer) return message
      if (kind !== ask.call) return undefined
      this.#later.push({ buffer: message.buffer.slice(0, Math.ceil(message.length / 8) * 8), length: message.length })
    }
  }

  async #other(header: Header, message: Incoming): Promise<void> {
    try {
      if (header.kind === ask.load) await this.#load(this.#decoder.value(loadType, message, undefined) as LoadRequest)
      else if (header.kind === ask.drop) this.#drop(header)
      else if (header.kind === ask.discard) this.#instances.get(header.b)?.discard()
      else if (header.kind === ask.grants) {
        const { grants } = this.#linked as Linked
        for (const [change, grant] of this.#decoder.value(changesType, message, undefined) as ReadonlyArray<readonly [string, string]>)
          if (change === "granted") grants.grant(grant)
          else grants.revoke(grant)
      } else if (header.kind === ask.program) this.#wasi = this.#foreign?.wasi(this.#decoder.value(programType, message, undefined) as Program)
      this.#crossing.sweep()
      this.#encoder.begin({ kind: tell.done })
    } catch (error) {
      this.#encoder.begin({ kind: tell.failed, z: -1n })
      this.#encoder.value(errorType, errorForm(error), "error")
    }
    this.#channel.send(this.#encoder)
  }

  async #load({
    component,
    digest,
    tenant,
    injected,
    isSnapshot,
    mechanism: name,
    limits: given,
    grants: texts,
    numbers,
    program,
  }: LoadRequest): Promise<void> {
    const platform = this.#platform
    const mechanism = name as Mechanism
    const limits = Object.fromEntries([...Object.entries(defaultLimits), ...given]) as unknown as Limits
    // A stop that the parent asks for is noticed where the clock is read: a time after every deadline.
    const nowMs = (): number => (this.#channel.isStopped() ? Infinity : platform.nowMs())
    const blueprint = await blueprintOf(component, limits, { loadAsync: () => import("../async/mod.ts"), loadForeign: () => import("../foreign/mod.ts") })
    const maker = isSnapshot ? new (await import("../pool/snapshot.ts")).SnapshotMaker(injected) : undefined
    const prepared = await compile(
      component,
      blueprint,
      mechanism,
      limits,
      {
        nowMs: platform.nowMs,
        injected,
        modules: async () => uncached,
        sha256: async () => "",
        loadRewriter: async () => ({ rewriteCoreModule, rewriteSteps }),
      },
      // The parent ends an isolate that loads too long.
      () => undefined,
      maker?.expose,
    )
    this.#crossing.isGuest = (type) => blueprint.resources.has(type)
    const functions = new Map(
      blueprint.imports.map(({ interface: of, name, type }, index) => {
        const full = of === undefined ? name : `${of}#${name}`
        const call: HostFunction = (_call: unknown, ...args: ReadonlyArray<unknown>) => this.#hostCall(index, type, args)
        return [full, { name: full, call }]
      }),
    )
    blueprint.raws.forEach(({ import: { module, name: of, outside } }, i) => {
      if (outside === undefined) return
      const full = `${module}#${of}`
      const isOfNumbers = numbers.includes(full)
      const type = outside.type(isOfNumbers)
      functions.set(full, { name: full, call: outside.stub((args) => this.#hostCall(blueprint.imports.length + i, type, args), isOfNumbers) })
    })
    const drop = (_call: unknown, rep: unknown): void => this.#hostDrop(rep as HostRep)
    // A component's imports are asked of the parent one by one: what core modules need besides is loaded for them.
    const foreign =
      blueprint.raws.length === 0
        ? undefined
        : (await import("./port.ts")).forwardedPorts(
            texts,
            (index, type, args) => this.#ask({ kind: tell.port, a: index }, type, args),
            (ms) => this.#wait(ms),
          )
    this.#foreign = foreign
    const linked: Linked = {
      ...prepared,
      digest,
      componentBytes: component.length,
      tenant,
      injected,
      functions,
      // Every resource that is not the plugin's own is the host's, whoever names it first.
      drops: { get: (type: ResourceType) => (blueprint.resources.has(type) ? undefined : drop) } as unknown as Linked["drops"],
      classes: new Map(),
      report: [],
      links: undefined,
      mechanism,
      watchdog: undefined,
      waiting:
        blueprint.builtins === undefined ? undefined : (await import("../async/mod.ts")).planAsync(blueprint, functions, false, "Suspending" in WebAssembly),
      remains: new Remains(),
      nowMs,
      limits,
      grants: foreign?.grants ?? (nobody as GrantSet),
      ports: foreign?.ports ?? (nobody as Ports),
      wasi: (this.#wasi = foreign?.wasi(program) ?? nothing),
      // The parent has resolved it.
      resolveWasi: undefined,
      nesting: { depth: 0, deadlineAtMs: Infinity },
      callLimits: () => this.#limits,
      used: foreign?.used ?? (() => undefined),
      denied: foreign?.denied ?? ((grant) => new Error(`Nobody asks for "${grant}" here`)),
      discarded: (instance) => {
        for (const [number, one] of this.#instances) if (one === instance) this.#instances.delete(number)
      },
      released: (instance) => {
        if (instance.ownedOutside === 0 && !instance.isRunning && !this.#kept.has(instance)) instance.discard()
      },
    }
    const { deadlineMs, fuel } = limits
    this.#limits = { deadlineAtMs: platform.nowMs() + deadlineMs, deadlineMs, fuel: BigInt(fuel) }
    this.#linked = maker === undefined ? linked : { ...linked, modules: [], snapshot: await maker.take(linked) }
  }

  /** Instances that outlive their call whether resources are held of them or not. */
  readonly #kept = new WeakSet<Instance>()

  /** The parent's clock is as far behind this one's, or less: what comes first of all came fastest. */
  #behindMs = Infinity

  #callLimits({ x, y, z, v }: Header): CallLimits {
    const nowMs = this.#platform.nowMs()
    this.#behindMs = Math.min(this.#behindMs, nowMs - v)
    // A call that lay in the channel behind others has as much less time.
    return (this.#limits = { deadlineAtMs: v + this.#behindMs + x, deadlineMs: y, fuel: z, ...(this.#wasi === undefined ? {} : { wasi: this.#wasi }) })
  }

  /** A promise for a guest of the asynchronous ABI: its tasks wait for each other, since every host function answers at once here. */
  #call(header: Header, message: Incoming): void | Promise<void> {
    const linked = this.#linked as Linked
    const { a: lift, b: number, c: keeps } = header
    const limits = this.#callLimits(header)
    const spec = linked.blueprint.lifts[lift]
    const type = spec?.type as FunctionType
    const spent: Spent = { fuel: undefined, memoryPeakBytes: 0, bytesIn: 0, bytesOut: 0, hostCalls: {}, handlesLeft: 0 }
    let instance = this.#instances.get(number)
    let result: unknown
    let failure: { readonly error: unknown } | undefined
    try {
      const args = this.#decoder.value(paramsType(type), message, undefined) as ReadonlyArray<unknown>
      // Its guest would wait for a reader that is not on this thread.
      if (type.result !== undefined && holdsEnd(type.result)) throw new AsyncError("Crossing", { kind: typeText(type.result) })
      if (instance === undefined) {
        instance = this.#takeReady(limits) ?? linked.waiting?.create(linked) ?? Instance.make(linked)
        this.#instances.set(number, instance)
        if (keeps === 1) this.#kept.add(instance)
      }
      // What this call is given, and not what an earlier one was or the plugin was loaded with.
      instance.wasi = limits.wasi ?? linked.wasi
      if (!instance.isStarted) this.#start(instance, limits)
      if (linked.waiting !== undefined) return this.#callLater(header, type, instance, args, limits, spent)
      result = instance.call(this.#nameOf(lift), lift, args, limits)
    } catch (error) {
      failure = { error }
    }
    this.#answer(header, type, instance, spent, result, failure)
  }

  /** Answers when the last task has ended: nobody would give the others time after that. */
  async #callLater(header: Header, type: FunctionType, instance: Instance, args: ReadonlyArray<unknown>, limits: CallLimits, spent: Spent): Promise<void> {
    let result: unknown
    let failure: { readonly error: unknown } | undefined
    try {
      result = await instance.later(this.#nameOf(header.a), header.a, args, limits)
    } catch (error) {
      failure = { error }
    }
    await instance.rest
    this.#answer(header, type, instance, spent, result, failure)
  }

  #answer(
    { c: keeps }: Header,
    type: FunctionType,
    instance: Instance | undefined,
    spent: Spent,
    result: unknown,
    refused: { readonly error: unknown } | undefined,
  ): void {
    let failure = refused
    if (instance !== undefined) {
      instance.tell(spent)
      if (keeps !== 1 && instance.ownedOutside === 0) instance.discard()
    }
    const isAlive = instance !== undefined && !instance.isDiscarded
    const numbers = { a: isAlive ? 1 : 0, z: spent.fuel ?? -1n, x: spent.memoryPeakBytes, y: spent.bytesIn, u: spent.bytesOut }
    this.#crossing.sweep()
    if (failure === undefined) {
      try {
        this.#encoder.begin({ kind: tell.result, ...numbers })
        if (type.result !== undefined) this.#encoder.value(type.result, result, "result")
      } catch (error) {
        failure = { error }
      }
    }
    if (failure !== undefined) {
      this.#encoder.begin({ kind: tell.failed, ...numbers })
      this.#encoder.value(errorType, errorForm(failure.error), "error")
    }
    this.#channel.send(this.#encoder)
    // Whoever asked has the answer: nobody waits for what follows, unless somebody does already.
    if (keeps !== 1 && !this.#channel.hasMore && this.#later.length === 0) this.#prepare()
  }

  /** Made ahead for the next call that needs one. */
  #ready: Instance | undefined
  /** Did the last start take no longer than nobody notices, and ask the host for nothing? */
  #isQuick = false

  #start(instance: Instance, limits: CallLimits): void {
    this.#isQuick = false
    const startedMs = this.#platform.nowMs()
    instance.start(limits)
    this.#isQuick = !instance.hasAsked && this.#platform.nowMs() - startedMs < prepareMsMax
  }

  #takeReady({ fuel }: CallLimits): Instance | undefined {
    const ready = this.#ready
    this.#ready = undefined
    if (ready === undefined || !ready.meter.countsFuel || ready.meter.used() <= fuel) return ready
    ready.discard()
    return undefined
  }

  #prepare(): void {
    const linked = this.#linked as Linked
    if (!this.#isQuick || this.#ready !== undefined || linked.blueprint.servesOneCall === true) return
    const { deadlineMs, fuel } = linked.limits
    const instance = linked.waiting?.create(linked) ?? Instance.make(linked)
    try {
      this.#start(instance, { deadlineAtMs: this.#platform.nowMs() + deadlineMs, deadlineMs, fuel: BigInt(fuel) })
      // What it was told may be another thing by the time of its call.
      if (instance.hasAsked) instance.discard()
      else this.#ready = instance
    } catch {
      // A call that makes its own is told what comes of it.
    }
  }

  readonly #names = new Map<number, string>()

  #nameOf(lift: number): string {
    let name = this.#names.get(lift)
    if (name === undefined) {
      for (const spec of (this.#linked as Linked).blueprint.exports.values()) if (spec.source.kind === "lift" && spec.source.lift === lift) name ??= spec.name
      this.#names.set(lift, (name ??= `function ${lift}`))
    }
    return name
  }

  #drop(header: Header): void {
    this.#callLimits(header)
    this.#crossing.take(header.a)?.[Symbol.dispose]()
  }

  #hostCall(index: number, type: FunctionType, args: ReadonlyArray<unknown>): unknown {
    return this.#ask({ kind: tell.hostCall, a: index }, type, args)
  }

  #hostDrop({ number }: HostRep): void {
    this.#encoder.begin({ kind: tell.hostDrop, a: number })
    this.#channel.send(this.#encoder)
    if (this.#reply() === undefined) throw refusal
  }

  /** Blocks this thread, in steps, so that a stop is noticed. */
  #wait(ms: number): void {
    const cell = new Int32Array(new SharedArrayBuffer(4))
    const untilMs = this.#platform.nowMs() + ms
    for (let leftMs = ms; leftMs > 0 && !this.#channel.isStopped(); leftMs = untilMs - this.#platform.nowMs())
      Atomics.wait(cell, 0, 0, Math.min(leftMs, waitStepMs))
  }

  #ask(header: Partial<Header> & { readonly kind: number }, type: FunctionType, args: ReadonlyArray<unknown>): unknown {
    this.#encoder.begin(header)
    this.#encoder.args(type, args, "")
    this.#channel.send(this.#encoder)
    const reply = this.#reply()
    if (reply === undefined) throw refusal
    return type.result === undefined ? undefined : this.#decoder.value(type.result, reply, undefined)
  }
}

/** Runs an isolate over a channel: resolves when the parent is gone. */
export const serveGuest = (channel: GuestChannel, platform: GuestPlatform): Promise<void> => new Guest(channel, platform).serve()
