/** A loaded plugin: describe it, call it, change its grants, close it. Where its calls run is its executor's. */
import { closest } from "../schemas/value/closest.ts"
import { CapabilityError } from "../schemas/error/capability.ts"
import { SteleError } from "../schemas/error/family.ts"
import { LimitError } from "../schemas/error/limit.ts"
import { PluginError } from "../schemas/error/plugin.ts"
import { WitError } from "../schemas/error/wit.ts"
import type { AnswerOf, Arguments, ExportName, UntypedExports } from "../schemas/wit/exports.ts"
import { functionJsonSchema, type FunctionJsonSchema } from "../schemas/wit/json-schema.ts"
import type { FunctionType, World } from "../schemas/wit/model.ts"
import { anywhere } from "../schemas/wit/tree.ts"
import type { Executor, Spent, Target } from "./call/executor.ts"
import type { CallLimits } from "./call/instance.ts"
import { findInterface } from "./capability/mod.ts"
import { parseGrant } from "./capability/grant.ts"
import type { GrantReport } from "./capability/grant.ts"
import { printable } from "./component/name.ts"
import { type ImportReport, splitVersion } from "./link/link.ts"
import type { Linked } from "./link/prepare.ts"
import { type CallOptions, checkCallOptions, type ResolvedOptions } from "./options.ts"
import type { AdmissionDecision, UsageRecord } from "./port/mod.ts"

export interface Description {
  /** `sha256:…` of the component's bytes. */
  readonly digest: string
  readonly tenant: string
  /** Imports and exports with their types. */
  readonly world: World
  /** How each import was met; `granted` and `missing` as the grants are now. */
  readonly imports: ReadonlyArray<ImportReport>
  /** Callable functions by full name, with JSON Schemas of their parameters and result: made when read, undefined where a resource has no JSON form. */
  readonly exports: ReadonlyArray<{ readonly name: string; readonly type: FunctionType; readonly schema: FunctionJsonSchema | undefined }>
  /** Grants in force, revoked, used and denied so far. */
  readonly grants: GrantReport
  readonly mechanisms: {
    /** How an endless guest is stopped: by the watchdog's epoch, by fuel slices, by exact fuel, or not at all. */
    readonly stop: "epoch" | "fuel slices" | "fuel" | "none"
    readonly isolation: "inline" | "worker" | "process"
    readonly reuse: "never" | "principal"
  }
  readonly limits: ResolvedOptions["limits"]
  readonly sizes: { readonly componentBytes: number; readonly coreModules: number; readonly coreBytes: number }
}

/** `ns:pkg/iface@1.2.3#function` as `ns:pkg/iface#function`. */
const withoutVersion = (name: string): string => {
  const hash = name.indexOf("#")
  return hash < 0 ? name : `${splitVersion(name.slice(0, hash)).name}${name.slice(hash)}`
}

const holdsHandle = anywhere((type) => type.kind === "own" || type.kind === "borrow")

function schemaOf(type: FunctionType): FunctionJsonSchema | undefined {
  try {
    return functionJsonSchema(type)
  } catch (error) {
    if (error instanceof WitError) return undefined
    throw error
  }
}

export class Plugin<E extends object = UntypedExports> implements AsyncDisposable {
  readonly digest: string
  readonly #linked: Linked
  readonly #options: ResolvedOptions
  readonly #onClose: (plugin: Plugin) => void
  /** Exports called before, by the names they were called by. */
  readonly #targets = new Map<string, Target>()
  readonly #executor: Executor
  #isClosed = false

  /** Plugins come from `host.load`. */
  constructor(linked: Linked, options: ResolvedOptions, executor: Executor, onClose: (plugin: Plugin) => void) {
    this.digest = linked.digest
    this.#linked = linked
    this.#options = options
    this.#executor = executor
    this.#onClose = onClose
  }

  /** What the plugin is, asked for, was granted and has used; which mechanisms hold it. */
  describe(): Description {
    const { blueprint } = this.#linked
    return {
      digest: this.digest,
      tenant: this.#linked.tenant,
      world: blueprint.world,
      imports: this.#linked.report.map((report) => this.#reportNow(report)),
      exports: [...blueprint.exports.values()]
        // A re-exported import is not the plugin's to call.
        .filter(({ source }) => source.kind === "lift")
        .map(({ name, type }) => ({
          name,
          type,
          get schema() {
            return schemaOf(type)
          },
        })),
      grants: this.#linked.grants.report(),
      mechanisms: {
        stop: ({ watchdog: "epoch", slice: "fuel slices", fuel: "fuel", off: "none" } as const)[this.#linked.mechanism],
        isolation: this.#executor.isolation,
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
    const target = this.#begin(name, options)
    const askedMs = await this.#admit(target, options)
    return this.#call(target, args, options, askedMs, undefined) as AnswerOf<E, K>
  }

  /** `call`, with the usage record of this call. */
  async callWithUsage<K extends ExportName<E>>(
    name: K,
    args: Arguments<E, K>,
    options: CallOptions = {},
  ): Promise<{ readonly result: AnswerOf<E, K>; readonly usage: UsageRecord }> {
    const target = this.#begin(name, options)
    const askedMs = await this.#admit(target, options)
    const out: { usage?: UsageRecord } = {}
    const result = (await this.#call(target, args, options, askedMs, out)) as AnswerOf<E, K>
    return { result, usage: out.usage as UsageRecord }
  }

  /** `call` on this thread without a promise. A host with an asynchronous admission port refuses it. */
  callSync<K extends ExportName<E>>(name: K, args: Arguments<E, K>, options: CallOptions = {}): AnswerOf<E, K> {
    const target = this.#begin(name, options)
    let askedMs = 0
    if (this.#linked.ports.admission !== undefined) {
      const startedMs = this.#linked.nowMs()
      const decision = this.#ask(target, options)
      if (decision instanceof Promise) {
        // Its failure has nobody to report to; the refusal below is the outcome.
        decision.then(undefined, () => undefined)
        throw new CapabilityError("Async", { import: "the admission port" })
      }
      askedMs = this.#linked.nowMs() - startedMs
      this.#heed(decision, options, askedMs)
    }
    return this.#call(target, args, options, askedMs, undefined) as AnswerOf<E, K>
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
    return this.#executor.instances
  }

  /** Discards every instance, those that resources are held of included; later calls are refused. A call that is running ends first. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#executor.close()
    this.#onClose(this as unknown as Plugin)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** What is refused before anybody is asked and anything runs. */
  #begin(name: string, options: CallOptions): Target {
    if (this.#isClosed) throw new PluginError("Closed", { what: "the plugin" })
    const target = this.#targets.get(name) ?? this.#find(name)
    checkCallOptions(options, this.#options.metering)
    if (options.signal?.aborted === true) throw new PluginError("Aborted", { export: target.name })
    return target
  }

  /** The export of this full name, or of this name without version where only one has it. */
  #find(name: string): Target {
    const { exports } = this.#linked.blueprint
    let found = exports.get(name)
    if (found === undefined) {
      const same = Array.from(exports.values()).filter((one) => one.source.kind === "lift" && withoutVersion(one.name) === name)
      if (same.length === 1) found = same[0]
    }
    if (found?.source.kind !== "lift") {
      const callable = Array.from(exports.values()).filter(({ source }) => source.kind === "lift")
      throw new PluginError("UnknownExport", {
        export: printable(String(name)),
        candidates: closest(
          String(name),
          callable.map((one) => one.name),
        ),
      })
    }
    const { type, source } = found
    const takesHandles = type.params.some((param) => holdsHandle(param.type))
    const target: Target = { name: found.name, type, lift: source.lift, throws: type.result?.kind === "result", takesHandles }
    this.#targets.set(name, target)
    return target
  }

  #deadlineMs(options: CallOptions): number {
    return this.#linked.mechanism === "off" ? Infinity : (options.deadlineMs ?? this.#linked.limits.deadlineMs)
  }

  /** The admission port's answer on this call, with the limits it would run under. */
  #ask(target: Target, { deadlineMs, fuel }: CallOptions): AdmissionDecision | Promise<AdmissionDecision> {
    const { limits, ports, tenant } = this.#linked
    const asked = { ...limits, ...(deadlineMs === undefined ? {} : { deadlineMs }), ...(fuel === undefined ? {} : { fuel: Number(fuel) }) }
    return (ports.admission as NonNullable<typeof ports.admission>).call({ plugin: this.digest, tenant, export: target.name }, asked)
  }

  #heed(decision: AdmissionDecision, options: CallOptions, askedMs: number): void {
    if (!decision.admit) throw new PluginError("Refused", { reason: decision.reason, admissionCode: decision.code })
    const limit = this.#deadlineMs(options)
    if (askedMs > limit) throw new LimitError("deadlineMs", { limit })
  }

  /** Asks the admission port, no longer than the call may take; resolves with the milliseconds that took. */
  async #admit(target: Target, options: CallOptions): Promise<number> {
    if (this.#linked.ports.admission === undefined) return 0
    const { nowMs } = this.#linked
    const startedMs = nowMs()
    const decision = this.#ask(target, options)
    const answer = decision instanceof Promise ? await this.#within(decision, target, options) : decision
    const askedMs = nowMs() - startedMs
    this.#heed(answer, options, askedMs)
    return askedMs
  }

  #within<A>(answer: Promise<A>, target: Target, options: CallOptions): Promise<A> {
    const limit = this.#deadlineMs(options)
    const { signal } = options
    return new Promise<A>((resolve, reject) => {
      const onAbort = (): void => reject(new PluginError("Aborted", { export: target.name }))
      const timer = limit === Infinity ? undefined : setTimeout(() => reject(new LimitError("deadlineMs", { limit })), limit)
      signal?.addEventListener("abort", onAbort)
      answer.then(resolve, reject).finally(() => {
        clearTimeout(timer)
        signal?.removeEventListener("abort", onAbort)
      })
    })
  }

  /** An import's report with the grants as they are now. */
  #reportNow(report: ImportReport): ImportReport {
    if (report.status !== "granted" && report.status !== "missing") return report
    const { name, version } = splitVersion(report.name)
    const heads = findInterface(name, version)?.capability.heads(name)
    if (heads === undefined) return report
    const status = heads.some((head) => this.#linked.grants.reaches(head)) ? "granted" : "missing"
    return status === report.status ? report : { ...report, status }
  }

  #call(target: Target, args: ReadonlyArray<unknown>, options: CallOptions, askedMs: number, out: { usage?: UsageRecord } | undefined): unknown {
    // Again: asking for admission took time.
    if (this.#isClosed) throw new PluginError("Closed", { what: "the plugin" })
    if (options.signal?.aborted === true) throw new PluginError("Aborted", { export: target.name })
    if (!Array.isArray(args)) throw new WitError("Value", { path: "args", expected: "an array of arguments", actual: typeof args })
    const startedMs = this.#linked.nowMs()
    const limits = this.#limits(options, startedMs - askedMs)
    const spent: Spent = { fuel: undefined, memoryPeakBytes: 0, bytesIn: 0, bytesOut: 0, hostCalls: {} }
    let result: unknown
    try {
      result = this.#executor.call(target, args, limits, options.signal, spent)
    } catch (error) {
      throw this.#failed(target, error, startedMs, spent, out)
    }
    if (!(result instanceof Promise)) return this.#answered(target, result, startedMs, spent, out)
    return result.then(
      (value) => this.#answered(target, value, startedMs, spent, out),
      (error) => {
        throw this.#failed(target, error, startedMs, spent, out)
      },
    )
  }

  /** Limits of a call that began at `startedMs`. One inside another has no more time than the outer one. */
  #limits(options: CallOptions, startedMs: number): CallLimits {
    const { limits, mechanism, nesting } = this.#linked
    if (nesting.depth >= limits.nestingMax) throw new LimitError("nestingMax", { limit: limits.nestingMax })
    const deadlineMs = this.#deadlineMs(options)
    const outerAtMs = nesting.depth === 0 ? Infinity : nesting.deadlineAtMs
    const deadlineAtMs = mechanism === "off" ? Infinity : Math.min(startedMs + deadlineMs, outerAtMs)
    return { deadlineAtMs, deadlineMs, fuel: options.fuel ?? BigInt(limits.fuel) }
  }

  #answered(target: Target, result: unknown, startedMs: number, spent: Spent, out: { usage?: UsageRecord } | undefined): unknown {
    const { tag, val } = target.throws ? (result as { readonly tag: "ok" | "err"; readonly val?: unknown }) : { tag: "ok", val: result }
    this.#account(target.name, startedMs, tag === "ok" ? "ok" : "guest", spent, out)
    if (tag === "ok") return val
    throw new PluginError("Guest", { export: target.name, payload: val })
  }

  #failed(target: Target, error: unknown, startedMs: number, spent: Spent, out: { usage?: UsageRecord } | undefined): unknown {
    if (error instanceof LimitError) {
      const { code, message } = error
      this.#linked.ports.observer.emit({ type: "stop", plugin: this.digest, tenant: this.#linked.tenant, export: target.name, code, message })
    }
    this.#account(target.name, startedMs, error instanceof SteleError ? (error.code as `STELE-${string}`) : "STELE-PLG-0002", spent, out)
    return error
  }

  #account(name: string, startedMs: number, outcome: UsageRecord["outcome"], spent: Spent, out: { usage?: UsageRecord } | undefined): void {
    const linked = this.#linked
    const { fuel, memoryPeakBytes, bytesIn, bytesOut, hostCalls } = spent
    const usage: UsageRecord = {
      plugin: this.digest,
      tenant: linked.tenant,
      export: name,
      outcome,
      wallNs: Math.round((linked.nowMs() - startedMs) * 1e6),
      ...(fuel === undefined ? {} : { fuel }),
      memoryPeakBytes,
      bytesIn,
      bytesOut,
      hostCalls,
    }
    if (out !== undefined) out.usage = usage
    linked.ports.observer.emit({ type: "usage", record: usage })
  }
}
