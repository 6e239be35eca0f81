/** A loaded plugin: describe it, call it, change its grants, close it. Inline: calls run on the calling thread. */
import { closest } from "../schemas/value/closest.ts"
import { CapabilityError } from "../schemas/error/capability.ts"
import { SteleError } from "../schemas/error/family.ts"
import { LimitError } from "../schemas/error/limit.ts"
import { PluginError } from "../schemas/error/plugin.ts"
import { WitError } from "../schemas/error/wit.ts"
import type { AnswerOf, Arguments, ExportName, UntypedExports } from "../schemas/wit/exports.ts"
import type { FunctionType, World } from "../schemas/wit/model.ts"
import { GuestResource } from "./call/handles.ts"
import { type CallLimits, Instance } from "./call/instance.ts"
import { parseGrant } from "./capability/grant.ts"
import type { GrantReport } from "./capability/grant.ts"
import { type ImportReport, splitVersion } from "./link/link.ts"
import type { Linked } from "./link/prepare.ts"
import { type CallOptions, checkCallOptions, type ResolvedOptions } from "./options.ts"
import type { UsageRecord } from "./port/mod.ts"

export interface Description {
  /** `sha256:…` of the component's bytes. */
  readonly digest: string
  readonly tenant: string
  /** Imports and exports with their types. */
  readonly world: World
  readonly imports: ReadonlyArray<ImportReport>
  /** Callable functions by full name. */
  readonly exports: ReadonlyArray<{ readonly name: string; readonly type: FunctionType }>
  /** Grants in force, revoked, used and denied so far. */
  readonly grants: GrantReport
  readonly mechanisms: {
    /** How an endless guest is stopped: by the watchdog's epoch, by fuel slices, by exact fuel, or not at all. */
    readonly stop: "epoch" | "fuel slices" | "fuel" | "none"
    readonly isolation: "inline"
    readonly reuse: "never" | "principal"
  }
  readonly limits: ResolvedOptions["limits"]
  readonly sizes: { readonly componentBytes: number; readonly coreModules: number; readonly coreBytes: number }
}

interface Target {
  readonly name: string
  readonly type: FunctionType
  readonly lift: number
  /** The outermost type is `result`: its error case throws. */
  readonly throws: boolean
  /** Some parameter is a handle: the call may have to run in the instance that handle lives in. */
  readonly takesHandles: boolean
}

export class Plugin<E extends object = UntypedExports> implements AsyncDisposable {
  readonly digest: string
  readonly #linked: Linked
  readonly #options: ResolvedOptions
  readonly #onClose: (plugin: Plugin) => void
  readonly #targets = new Map<string, Target>()
  readonly #idle: Array<Instance> = []
  #live = 0
  #isClosed = false

  /** Plugins come from `host.load`. */
  constructor(linked: Linked, options: ResolvedOptions, onClose: (plugin: Plugin) => void) {
    this.digest = linked.digest
    this.#linked = linked
    this.#options = options
    this.#onClose = onClose
    const ambiguous = new Set<string>()
    for (const { name, type, source } of linked.blueprint.exports.values()) {
      if (source.kind !== "lift") continue
      const target: Target = {
        name,
        type,
        lift: source.lift,
        throws: type.result?.kind === "result",
        takesHandles: type.params.some((param) => param.type.kind === "own" || param.type.kind === "borrow"),
      }
      this.#targets.set(name, target)
      const hash = name.indexOf("#")
      if (hash < 0) continue
      // Without version, where that is unambiguous.
      const short = `${splitVersion(name.slice(0, hash)).name}${name.slice(hash)}`
      if (short === name) continue
      if (this.#targets.has(short) || ambiguous.has(short)) {
        ambiguous.add(short)
        this.#targets.delete(short)
      } else this.#targets.set(short, target)
    }
    linked.discarded = () => {
      this.#live--
    }
    linked.released = (instance) => {
      if (options.reuse === "never" && instance.ownedOutside === 0 && !instance.isRunning) instance.discard()
    }
  }

  /** What the plugin is, asked for, was granted and has used; which mechanisms hold it. */
  describe(): Description {
    const { blueprint } = this.#linked
    return {
      digest: this.digest,
      tenant: this.#linked.tenant,
      world: blueprint.world,
      imports: this.#linked.report,
      exports: [...blueprint.exports.values()].map(({ name, type }) => ({ name, type })),
      grants: this.#linked.grants.report(),
      mechanisms: {
        stop: ({ watchdog: "epoch", slice: "fuel slices", fuel: "fuel", off: "none" } as const)[this.#linked.mechanism],
        isolation: "inline",
        reuse: this.#options.reuse,
      },
      limits: this.#options.limits,
      sizes: {
        componentBytes: this.#linked.componentBytes,
        coreModules: blueprint.coreModules.length,
        coreBytes: blueprint.coreModules.reduce((sum, { bytes }) => sum + bytes.length, 0),
      },
    }
  }

  /**
   * Calls an export by its full name, the version optional. Resolves with the result; when its type is `result`, with
   * the ok case's value.
   * @throws PluginError `Guest` with the payload of the error case; `Trap`, `UnknownExport`, `Aborted`…; WitError for
   * arguments; LimitError for a deadline or any other limit; CapabilityError for what was not granted
   */
  async call<K extends ExportName<E>>(name: K, args: Arguments<E, K>, options: CallOptions = {}): Promise<AnswerOf<E, K>> {
    await this.#admit(name, options)
    return this.#call(name, args, options, undefined) as AnswerOf<E, K>
  }

  /** `call`, with the usage record of this call. */
  async callWithUsage<K extends ExportName<E>>(name: K, args: Arguments<E, K>, options: CallOptions = {}): Promise<{ readonly result: AnswerOf<E, K>; readonly usage: UsageRecord }> {
    await this.#admit(name, options)
    const out: { usage?: UsageRecord } = {}
    const result = this.#call(name, args, options, out) as AnswerOf<E, K>
    return { result, usage: out.usage as UsageRecord }
  }

  /** `call` on this thread without a promise. A host with an asynchronous admission port refuses it. */
  callSync<K extends ExportName<E>>(name: K, args: Arguments<E, K>, options: CallOptions = {}): AnswerOf<E, K> {
    const { admission } = this.#linked.ports
    if (admission !== undefined) {
      const decision = admission.call(this.#descriptor(name), this.#options.limits)
      if ("then" in decision) throw new CapabilityError("Async", { import: "the admission port" })
      if (!decision.admit) throw new PluginError("Refused", { reason: decision.reason, admissionCode: decision.code })
    }
    return this.#call(name, args, options, undefined) as AnswerOf<E, K>
  }

  /** Adds a grant to a loaded plugin; seen by its next operation. Imports that were refused at load need a new load. */
  grant(grant: string): void {
    this.#linked.grants.grant(parseGrant(grant))
  }

  /** Takes a grant back, at the next operation, also on open handles. False when nothing of it was in force. */
  revoke(grant: string): boolean {
    return this.#linked.grants.revoke(parseGrant(grant))
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Live instances now, running and idle. */
  get instances(): number {
    return this.#live
  }

  /** Discards every instance; later calls are refused. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const instance of this.#idle.splice(0)) instance.discard()
    this.#onClose(this as unknown as Plugin)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #descriptor(name: string) {
    return { plugin: this.digest, tenant: this.#linked.tenant, export: name }
  }

  async #admit(name: string, options: CallOptions): Promise<void> {
    if (options.signal?.aborted === true) throw new PluginError("Aborted", { export: name })
    const { admission } = this.#linked.ports
    if (admission === undefined) return
    const startedMs = this.#linked.nowMs()
    const decision = await admission.call(this.#descriptor(name), this.#options.limits)
    if (!decision.admit) throw new PluginError("Refused", { reason: decision.reason, admissionCode: decision.code })
    const limit = options.deadlineMs ?? this.#options.limits.deadlineMs
    if (this.#linked.nowMs() - startedMs > limit) throw new LimitError("deadlineMs", { limit })
  }

  #target(name: string): Target {
    const target = this.#targets.get(name)
    if (target !== undefined) return target
    throw new PluginError("UnknownExport", { export: name, candidates: closest(name, [...new Set([...this.#targets.values()].map((t) => t.name))]) })
  }

  #call(name: string, args: ReadonlyArray<unknown>, options: CallOptions, out: { usage?: UsageRecord } | undefined): unknown {
    if (this.#isClosed) throw new PluginError("Closed", { what: "the plugin" })
    const target = this.#target(name)
    checkCallOptions(options, this.#options.metering)
    if (options.signal?.aborted === true) throw new PluginError("Aborted", { export: target.name })
    if (!Array.isArray(args)) throw new WitError("Value", { path: "args", expected: "an array of arguments", actual: typeof args })
    const linked = this.#linked
    const { limits } = linked
    const startedMs = linked.nowMs()
    const deadlineMs = linked.mechanism === "off" ? Infinity : (options.deadlineMs ?? limits.deadlineMs)
    const call: CallLimits = { deadlineAtMs: startedMs + deadlineMs, deadlineMs, fuel: options.fuel ?? BigInt(limits.fuel) }
    if (linked.nesting.depth >= limits.nestingMax) throw new LimitError("nestingMax", { limit: limits.nestingMax })
    linked.nesting.depth++
    let instance: Instance | undefined
    let outcome: UsageRecord["outcome"] = "ok"
    try {
      let remaining = call
      const pinned = target.takesHandles ? this.#pinned(args) : undefined
      instance = pinned ?? (this.#options.reuse === "principal" ? this.#idle.pop() : undefined)
      if (instance === undefined) {
        if (this.#live >= this.#options.instancesMax) throw new PluginError("Busy", { export: target.name })
        this.#live++
        instance = new Instance(linked)
        instance.signal = options.signal
        // An instance that fails to start discards itself, which counts it out again.
        instance.start(call)
        // One budget for instantiation and call together.
        remaining = { ...call, continues: true }
      }
      instance.signal = options.signal
      const result = instance.call(target.name, target.lift, args, remaining)
      if (!target.throws) return result
      const { tag, val } = result as { readonly tag: "ok" | "err"; readonly val?: unknown }
      if (tag === "ok") return val
      outcome = "guest"
      throw new PluginError("Guest", { export: target.name, payload: val })
    } catch (error) {
      if (outcome === "ok") outcome = error instanceof SteleError ? (error.code as `STELE-${string}`) : "STELE-PLG-0002"
      throw error
    } finally {
      linked.nesting.depth--
      this.#account(target.name, instance, startedMs, outcome, out)
      if (instance !== undefined && !instance.isDiscarded) this.#release(instance)
    }
  }

  /** The instance that the handles among the arguments live in. */
  #pinned(args: ReadonlyArray<unknown>): Instance | undefined {
    for (const arg of args) {
      if (!(arg instanceof GuestResource) || !arg.isLive) continue
      const instance = GuestResource.instanceOf(arg)
      if (instance.linked !== this.#linked) continue
      const idle = this.#idle.indexOf(instance)
      if (idle >= 0) this.#idle.splice(idle, 1)
      return instance
    }
    return undefined
  }

  #release(instance: Instance): void {
    if (this.#isClosed) instance.discard()
    else if (this.#options.reuse === "principal") {
      if (this.#idle.length < Math.max(this.#options.idleMax, 1) || instance.ownedOutside > 0) this.#idle.push(instance)
      else instance.discard()
    } else if (instance.ownedOutside === 0) instance.discard()
  }

  #account(name: string, instance: Instance | undefined, startedMs: number, outcome: UsageRecord["outcome"], out: { usage?: UsageRecord } | undefined): void {
    const linked = this.#linked
    const { observer } = linked.ports
    const hostCalls: Record<string, number> = {}
    if (instance !== undefined) for (const [grant, { calls }] of instance.counts) hostCalls[grant] = calls
    const usage: UsageRecord = {
      plugin: this.digest,
      tenant: linked.tenant,
      export: name,
      outcome,
      wallNs: Math.round((linked.nowMs() - startedMs) * 1e6),
      ...(instance?.meter.countsFuel === true ? { fuel: instance.meter.used() } : {}),
      memoryPeakBytes: instance?.memoryBytes() ?? 0,
      bytesIn: instance?.budget.bytesIn ?? 0,
      bytesOut: instance?.budget.bytesOut ?? 0,
      hostCalls,
    }
    if (out !== undefined) out.usage = usage
    observer.emit({ type: "usage", record: usage })
  }
}
