/** A loaded plugin: describe it, call it, change its grants, close it. Where its calls run is its executor's. */
import { closest } from "../schemas/value/closest.ts"
import { CapabilityError } from "../schemas/error/capability.ts"
import { ConfigError } from "../schemas/error/config.ts"
import { SteleError } from "../schemas/error/family.ts"
import { LimitError } from "../schemas/error/limit.ts"
import { PluginError } from "../schemas/error/plugin.ts"
import { WitError } from "../schemas/error/wit.ts"
import type { AnswerOf, Arguments, ExportName, UntypedExports } from "../schemas/wit/exports.ts"
import type { FunctionJsonSchema } from "../schemas/wit/json-schema.ts"
import type { FunctionType, World } from "../schemas/wit/model.ts"
import { anywhere } from "../schemas/wit/tree.ts"
import type { Executor, Spent, Target } from "./call/executor.ts"
import { linkedOfResource } from "./call/inline.ts"
import type { CallLimits } from "./call/instance.ts"
import { findInterface } from "./capability/mod.ts"
import { parseGrant } from "./capability/grant.ts"
import type { GrantReport } from "./capability/grant.ts"
import { printable } from "../schemas/wit/name.ts"
import type { Source } from "./host.ts"
import { type ImportReport, splitVersion } from "./link/link.ts"
import type { Linked } from "./link/prepare.ts"
import {
  type CallOptions,
  callerTenant,
  checkCallOptions,
  checkReplaceOptions,
  type LinkedCallOptions,
  type LoadOptions,
  type ReplaceOptions,
  type ResolvedOptions,
} from "./options.ts"
import type { PoolCounts } from "./pool/pool.ts"
import type { CallDecision, Settle, TraceContext, UsageRecord } from "./port/mod.ts"

export interface Description {
  /** `sha256:…` of the component's bytes. */
  readonly digest: string
  readonly tenant: string
  /** Imports and exports with their types. */
  readonly world: World
  /** How each import was met; `granted` and `missing` as the grants are now. */
  readonly imports: ReadonlyArray<ImportReport>
  /** Callable functions by full name; their JSON Schemas are `schemas()`. */
  readonly exports: ReadonlyArray<{ readonly name: string; readonly type: FunctionType }>
  /** Grants in force, revoked, used and denied so far. */
  readonly grants: GrantReport
  readonly mechanisms: {
    /** How an endless guest is stopped: by the watchdog's epoch, by fuel slices, by exact fuel, or not at all. */
    readonly stop: "epoch" | "fuel slices" | "fuel" | "none"
    /**
     * How a guest waits: it is suspended, or its tasks are called back, or nothing it imports has to be waited for; under `yield` it also gives
     * the thread back while it computes.
     */
    readonly wait: "none" | "suspension" | "tasks" | "yield"
    readonly isolation: "inline" | "worker" | "process"
    /** What stands around a process of its own besides its engine: what this system has of it. Empty elsewhere. */
    readonly confinement: ReadonlyArray<string>
    readonly reuse: "never" | "principal"
    /** How an instance starts: through its own initialisation, or from a snapshot of one that went through it. */
    readonly prepare: "fresh" | "snapshot"
  }
  readonly limits: ResolvedOptions["limits"]
  readonly sizes: { readonly componentBytes: number; readonly coreModules: number; readonly coreBytes: number }
}

/** `ns:pkg/iface@1.2.3#function` as `ns:pkg/iface#function`. */
const withoutVersion = (name: string): string => {
  const hash = name.indexOf("#")
  return hash < 0 ? name : `${splitVersion(name.slice(0, hash)).name}${name.slice(hash)}`
}

const traced = ({ trace }: { readonly trace?: TraceContext | undefined }): { readonly trace?: TraceContext } => (trace === undefined ? {} : { trace })

/** What a command exports, whatever its ABI. */
const commandExport = "wasi:cli/run#run"

/** The exit code that ended a command; undefined for what is none. */
function exitStatus(error: unknown): number | undefined {
  if (!(error instanceof PluginError)) return undefined
  if (error.reason._tag === "Exit") return error.reason.status
  return error.reason._tag === "Guest" ? 1 : undefined
}

const codeOf = (error: unknown): `STELE-${string}` => (error instanceof SteleError ? (error.code as `STELE-${string}`) : "STELE-PLG-0002")

/** What a call that began at `startedMs` has used until now. */
function recordOf({ name, edition: { linked } }: Callee, startedMs: number, outcome: UsageRecord["outcome"], spent: Spent): UsageRecord {
  const { fuel, memoryPeakBytes, bytesIn, bytesOut, hostCalls, handlesLeft } = spent
  return {
    plugin: linked.digest,
    tenant: linked.tenant,
    export: name,
    outcome,
    wallNs: Math.round((linked.nowMs() - startedMs) * 1e6),
    ...(fuel === undefined ? {} : { fuel }),
    memoryPeakBytes,
    bytesIn,
    bytesOut,
    // A guest that goes on adds to them.
    hostCalls: spent.rest === undefined ? hostCalls : { ...hostCalls },
    ...(handlesLeft === 0 ? {} : { handlesLeft }),
    ...traced(spent),
  }
}

const nothingSpent = (trace: TraceContext | undefined): Spent => ({
  fuel: undefined,
  memoryPeakBytes: 0,
  bytesIn: 0,
  bytesOut: 0,
  hostCalls: {},
  handlesLeft: 0,
  trace,
})

/** What the admission port said of a call that it admitted. */
interface Admitted {
  /** How long it took to say so. */
  readonly askedMs: number
  readonly settle: Settle | undefined
}

/** Where nobody is asked. */
const unasked: Admitted = { askedMs: 0, settle: undefined }

/** Whoever settles is no part of the call: what fails there is an uncaught exception. */
function settleWith(settle: Settle, record: UsageRecord, isBegun: boolean): void {
  try {
    settle(record, isBegun)
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}

/** Settles an admitted call that did not begin. */
function settleUnbegun(target: Callee, { trace }: CallOptions, settle: Settle | undefined, error: unknown): void {
  if (settle !== undefined) settleWith(settle, recordOf(target, target.edition.linked.nowMs(), codeOf(error), nothingSpent(trace)), false)
}

/** The answer of a call, and what it cost. */
export interface Answered<A> {
  readonly result: A
  /** Up to the answer. */
  readonly usage: UsageRecord
  /** Of the whole call, once it is over. Never rejects. */
  readonly ended: Promise<UsageRecord>
}

/** Where the records of a call are left for its caller. */
interface Accounts {
  usage?: UsageRecord
  ended?: Promise<UsageRecord>
}

const holdsHandle = anywhere((type) => type.kind === "own" || type.kind === "borrow")

/** The export of this full name, or of this name without version where only one has it. */
export function findCallee(edition: Edition, name: string): Callee {
  const { exports } = edition.linked.blueprint
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
  const callee: Callee = { name: found.name, type, lift: source.lift, throws: type.result?.kind === "result", takesHandles, edition }
  edition.callees.set(name, callee)
  return callee
}

/** The type a call of `name` would find, if it would find any. */
function typeOf(edition: Edition, name: string): FunctionType | undefined {
  try {
    return findCallee(edition, name).type
  } catch {
    return undefined
  }
}

/** An import's report with the grants as they are now. */
function reportNow(report: ImportReport, { blueprint, grants, links }: Linked): ImportReport {
  if (report.status === "provided") return report
  const link = links?.get(report.name)
  if (link !== undefined) return { ...report, status: link.missing(grants).length === 0 ? "granted" : "missing", plugin: link.plugin.digest }
  const { name, version } = splitVersion(report.name)
  const capability = findInterface(name, version)?.capability
  // What a module of a foreign ABI imports is no interface.
  const raw = blueprint.raws.find(({ import: { module, grant } }) => module === report.name && grant?.text === report.grant)
  const heads = capability?.heads(name) ?? raw?.import.grant?.heads ?? []
  if (heads.length === 0) return report
  const ungranted = capability?.isInertUngranted === true ? "inert" : "missing"
  const status = heads.some((head) => grants.reaches(head) || grants.holds(head)) ? "granted" : ungranted
  return status === report.status ? report : { ...report, status }
}

/** A component as it was loaded, and where its calls run. A plugin has one; while it is replaced, calls that began before end on the old one. */
export interface Edition {
  readonly linked: Linked
  /** As they were given, and with defaults. */
  readonly given: LoadOptions
  readonly options: ResolvedOptions
  readonly executor: Executor
  /** Exports called before, by the names they were called by. */
  readonly callees: Map<string, Callee>
  /** Calls that have begun and not ended, those that wait to be admitted included. */
  calls: number
}

/** An export, and the edition a call of it runs on from its beginning to its end. */
export interface Callee extends Target {
  readonly edition: Edition
}

/** How a plugin gets the edition that is to replace its own. */
export type LoadEdition = (source: Source, changed: LoadOptions, old: Edition) => Promise<Edition>

export class Plugin<E extends object = UntypedExports> implements AsyncDisposable {
  #edition: Edition
  /** Editions that were replaced and still have calls, or instances that resources are held of. */
  readonly #old = new Set<Edition>()
  readonly #load: LoadEdition
  readonly #onClose: (plugin: Plugin) => void
  #isReplacing = false
  #isClosed = false

  /** Plugins come from `host.load`. */
  constructor(edition: Edition, load: LoadEdition, onClose: (plugin: Plugin) => void) {
    this.#edition = edition
    this.#load = load
    this.#onClose = onClose
  }

  /** The edition that serves new calls of a plugin; undefined for what is none. For links between plugins. */
  static editionOf(value: unknown): { readonly plugin: Plugin; readonly edition: Edition } | undefined {
    if (typeof value !== "object" || value === null || !(#edition in value)) return undefined
    return { plugin: value as Plugin, edition: (value as Plugin).#edition }
  }

  /** `sha256:…` of the component's bytes; another one once it was replaced. */
  get digest(): string {
    return this.#edition.linked.digest
  }

  /** What the plugin is, asked for, was granted and has used; which mechanisms hold it. */
  describe(): Description {
    const { executor, linked, options } = this.#edition
    const { blueprint } = linked
    return {
      digest: linked.digest,
      tenant: linked.tenant,
      world: blueprint.world,
      imports: linked.report.map((report) => reportNow(report, linked)),
      // A re-exported import is not the plugin's to call.
      exports: [...blueprint.exports.values()].filter(({ source }) => source.kind === "lift").map(({ name, type }) => ({ name, type })),
      grants: linked.grants.report(),
      mechanisms: {
        stop: ({ watchdog: "epoch", slice: "fuel slices", fuel: "fuel", off: "none" } as const)[linked.mechanism],
        wait: linked.waiting?.how ?? "none",
        isolation: executor.isolation,
        confinement: executor.confinement ?? [],
        reuse: options.reuse,
        prepare: options.prepare,
      },
      limits: options.limits,
      sizes: {
        componentBytes: linked.componentBytes,
        coreModules: blueprint.coreModules.length,
        coreBytes: blueprint.coreModules.reduce((sum, { bytes }) => sum + bytes.length, 0),
      },
    }
  }

  /** JSON Schemas of parameters, result and error of what can be called, by full name; what takes or gives handles has no JSON form and is left out. */
  async schemas(): Promise<ReadonlyMap<string, FunctionJsonSchema>> {
    const { exports } = this.describe()
    return (await import("../schemas/wit/json-schema.ts")).schemasOf(exports)
  }

  /**
   * Calls an export by its full name, the version optional. Resolves with the result; when its type is `result`, with
   * the ok case's value.
   * @throws PluginError `Guest` with the payload of the error case; `Trap`, `UnknownExport`, `Aborted`…; WitError for
   * arguments; LimitError for a deadline or any other limit; CapabilityError for what was not granted
   */
  async call<K extends ExportName<E>>(name: K, args: Arguments<E, K>, options: CallOptions = {}): Promise<AnswerOf<E, K>> {
    return (await this.#callLater(name, args, options, undefined)) as AnswerOf<E, K>
  }

  /**
   * `call`, with the usage record of this call: `usage` up to its answer, and `ended` when it is over, which is later where an
   * asynchronous guest goes on after it has answered. `ended` never rejects; it is what the observer is told.
   */
  async callWithUsage<K extends ExportName<E>>(name: K, args: Arguments<E, K>, options: CallOptions = {}): Promise<Answered<AnswerOf<E, K>>> {
    const out: Accounts = {}
    const result = (await this.#callLater(name, args, options, out)) as AnswerOf<E, K>
    const usage = out.usage as UsageRecord
    return { result, usage, ended: out.ended ?? Promise.resolve(usage) }
  }

  /**
   * Runs a command: a component that exports `wasi:cli/run`, or a core module that is one. Resolves with its exit code, 0
   * for success; what the program itself says of a failure is on its standard error.
   * @throws PluginError `UnknownExport` where it is no command, `Trap`…; LimitError, CapabilityError as `call`
   */
  async run(options: CallOptions = {}): Promise<{ readonly exitCode: number; readonly usage: UsageRecord }> {
    const target = this.#begin(commandExport, [], options)
    const outer = { ...target.edition.linked.nesting }
    const admitted = await this.#admit(target, options)
    const out: Accounts = {}
    let exitCode = 0
    try {
      await this.#call(target, [], options, admitted, out, outer)
    } catch (error) {
      const status = exitStatus(error)
      if (status === undefined) throw error
      exitCode = status
    }
    return { exitCode, usage: out.usage as UsageRecord }
  }

  /** `call` on this thread without a promise. A plugin in a worker or process, or a host with an asynchronous admission port, refuses it. */
  callSync<K extends ExportName<E>>(name: K, args: Arguments<E, K>, options: CallOptions = {}): AnswerOf<E, K> {
    const target = this.#begin(name, args, options)
    const { executor, linked } = target.edition
    if (executor.refuseSync !== undefined) throw executor.refuseSync()
    let admitted = unasked
    if (linked.ports.admission !== undefined) {
      const startedMs = linked.nowMs()
      const decision = this.#ask(target, options)
      if (decision instanceof Promise) {
        const refusal = new CapabilityError("Async", { import: "the admission port" })
        this.#disregard(target, decision, options, refusal)
        throw refusal
      }
      admitted = this.#heed(target, decision, options, linked.nowMs() - startedMs)
    }
    return this.#call(target, args, options, admitted, undefined, undefined) as AnswerOf<E, K>
  }

  /** Adds a grant to a loaded plugin; seen by its next operation. Imports that were refused at load need a new load. */
  grant(grant: string): void {
    const parsed = parseGrant(grant)
    for (const { executor, linked } of this.#editions()) if (linked.grants.grant(parsed)) executor.changed?.("granted", parsed.text)
  }

  /** Takes a grant back, at the next operation, also on open handles. False when nothing of it was in force. */
  revoke(grant: string): boolean {
    const parsed = parseGrant(grant)
    // All of them: one that was replaced may have calls yet.
    const changed = this.#editions().filter(({ linked }) => linked.grants.revoke(parsed))
    for (const { executor } of changed) executor.changed?.("revoked", parsed.text)
    return changed.length > 0
  }

  /**
   * Loads another component and puts it in this one's place. From then on new calls run on it; those that began before end on the old
   * one, as do calls that take a resource of it. Whatever refuses the new one leaves the old one serving. Grants stay as
   * they are now, and options as they were given, but for those given here.
   * @throws what `host.load` throws; PoolError `Replacing` while another replacement runs, `Exports` when one that is in
   * use would be missing or have another type
   */
  async replace(source: Source, options: ReplaceOptions = {}): Promise<void> {
    if (this.#isClosed) throw new PluginError("Closed", { what: "the plugin" })
    checkReplaceOptions(options)
    const { exports = "used", ...changed } = options
    const { checkExports, refuseSecond } = await import("./pool/replace.ts")
    if (this.#isReplacing) refuseSecond(this.digest)
    this.#isReplacing = true
    try {
      const old = this.#edition
      const next = await this.#load(source, changed, old)
      try {
        if (this.#isClosed) throw new PluginError("Closed", { what: "the plugin" })
        next.linked.links?.refuseCycle(this as unknown as Plugin)
        checkExports(old, next.linked, exports, (name) => typeOf(next, name))
      } catch (error) {
        await next.executor.close()
        throw error
      }
      // As they are at this moment: one that was taken back while the new component was loaded stays taken back.
      if (changed.grants === undefined) next.linked.grants.take(old.linked.grants)
      this.#edition = next
      this.#old.add(old)
      this.#retire(old)
    } finally {
      this.#isReplacing = false
    }
  }

  /** A resource lives where it was made: a call that takes one of a replaced edition runs there. */
  #editionOf(args: ReadonlyArray<unknown>): Edition {
    this.#forget()
    const linked = linkedOfResource(args)
    for (const old of this.#old) if (old.linked === linked) return old
    return this.#edition
  }

  #editions(): ReadonlyArray<Edition> {
    return [this.#edition, ...this.#old]
  }

  /** Ends a replaced edition when its last call has ended; what resources are held of stays. */
  #retire(old: Edition): void {
    if (old.calls === 0) old.executor.retire()
    this.#forget()
  }

  /** Lets go of replaced editions that nothing is left of. */
  #forget(): void {
    for (const old of this.#old) {
      if (old.calls > 0 || old.executor.instances > 0) continue
      this.#old.delete(old)
      void old.executor.close()
    }
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Live instances now, running and idle. */
  get instances(): number {
    return this.#editions().reduce((sum, { executor }) => sum + executor.instances, 0)
  }

  /** Instances by what they do, and how many there were: for gauges. Those of replaced components are in it while there are any. */
  get pool(): PoolCounts {
    const sum = { live: 0, ready: 0, idle: 0, waiting: 0, made: 0, discarded: 0, memoryBytes: 0 }
    for (const { executor } of this.#editions()) {
      const counts: Partial<PoolCounts> = executor.counts?.() ?? { live: executor.instances }
      for (const key of Object.keys(sum) as Array<keyof PoolCounts>) sum[key] += counts[key] ?? 0
    }
    return sum
  }

  /** Discards every instance, those that resources are held of included; later calls are refused. A call that is running ends first. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const { executor } of this.#editions()) await executor.close()
    this.#old.clear()
    this.#onClose(this as unknown as Plugin)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** `call` and `callWithUsage`: the edition is held from the beginning to the end. */
  async #callLater(name: string, args: ReadonlyArray<unknown>, options: CallOptions, out: Accounts | undefined): Promise<unknown> {
    const target = this.#begin(name, args, options)
    const { edition } = target
    edition.calls++
    try {
      const outer = { ...edition.linked.nesting }
      const admitted = await this.#admit(target, options)
      return await this.#call(target, args, options, admitted, out, outer)
    } finally {
      edition.calls--
      if (edition !== this.#edition) this.#retire(edition)
    }
  }

  /** What is refused before anybody is asked and anything runs. */
  #begin(name: string, args: ReadonlyArray<unknown>, options: CallOptions): Callee {
    if (this.#isClosed) throw new PluginError("Closed", { what: "the plugin" })
    const edition = this.#old.size === 0 ? this.#edition : this.#editionOf(args)
    const target = edition.callees.get(name) ?? findCallee(edition, name)
    checkCallOptions(options, target.edition.options.metering)
    if (options.signal?.aborted === true) throw new PluginError("Aborted", { export: target.name })
    return target
  }

  #deadlineMs({ edition: { linked } }: Callee, options: CallOptions): number {
    return linked.mechanism === "off" ? Infinity : (options.deadlineMs ?? linked.limits.deadlineMs)
  }

  /** The admission port's answer on this call, with the limits it would run under. */
  #ask(target: Callee, { deadlineMs, fuel }: CallOptions): CallDecision | Promise<CallDecision> {
    const { digest, limits, ports, tenant } = target.edition.linked
    const asked = { ...limits, ...(deadlineMs === undefined ? {} : { deadlineMs }), ...(fuel === undefined ? {} : { fuel: Number(fuel) }) }
    return (ports.admission as NonNullable<typeof ports.admission>).call({ plugin: digest, tenant, export: target.name }, asked)
  }

  #heed(target: Callee, decision: CallDecision, options: CallOptions, askedMs: number): Admitted {
    if (!decision.admit) throw new PluginError("Refused", { reason: decision.reason, admissionCode: decision.code })
    const limit = this.#deadlineMs(target, options)
    if (askedMs <= limit) return { askedMs, settle: decision.settle }
    const error = new LimitError("deadlineMs", { limit })
    settleUnbegun(target, options, decision.settle, error)
    throw error
  }

  /** What a decision comes too late for is over before it is admitted. */
  #disregard(target: Callee, decision: Promise<CallDecision>, options: CallOptions, error: unknown): void {
    decision.then(
      (late) => (late.admit ? settleUnbegun(target, options, late.settle, error) : undefined),
      // Its failure has nobody to report to.
      () => undefined,
    )
  }

  /** Asks the admission port, no longer than the call may take. */
  async #admit(target: Callee, options: CallOptions): Promise<Admitted> {
    const { nowMs, ports } = target.edition.linked
    if (ports.admission === undefined) return unasked
    const startedMs = nowMs()
    const decision = this.#ask(target, options)
    if (!(decision instanceof Promise)) return this.#heed(target, decision, options, nowMs() - startedMs)
    let answer: CallDecision
    try {
      answer = await this.#within(decision, target, options)
    } catch (error) {
      this.#disregard(target, decision, options, error)
      throw error
    }
    return this.#heed(target, answer, options, nowMs() - startedMs)
  }

  #within<A>(answer: Promise<A>, target: Callee, options: CallOptions): Promise<A> {
    const limit = this.#deadlineMs(target, options)
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

  #call(
    target: Callee,
    args: ReadonlyArray<unknown>,
    options: CallOptions,
    { askedMs, settle }: Admitted,
    out: Accounts | undefined,
    outer: Linked["nesting"] | undefined,
  ): unknown {
    const refusal = this.#refusalOf(target, args, options)
    if (refusal !== undefined) {
      settleUnbegun(target, options, settle, refusal)
      throw refusal
    }
    const { linked } = target.edition
    const { nesting } = linked
    const { depth, deadlineAtMs } = nesting
    const startedMs = linked.nowMs()
    const spent = nothingSpent(options.trace)
    let result: unknown
    // The call it was made inside of is not on the stack any more when somebody was asked for admission.
    if (outer !== undefined) Object.assign(nesting, outer)
    try {
      const limits = this.#limits(target, options, startedMs - askedMs, outer !== undefined)
      result = target.edition.executor.call(target, args, limits, options.signal, spent)
    } catch (error) {
      throw this.#failed(target, error, startedMs, spent, out, settle)
    } finally {
      nesting.depth = depth
      nesting.deadlineAtMs = deadlineAtMs
    }
    if (!(result instanceof Promise)) return this.#answered(target, result, startedMs, spent, out, settle)
    return result.then(
      (value) => this.#answered(target, value, startedMs, spent, out, settle),
      (error) => {
        throw this.#failed(target, error, startedMs, spent, out, settle)
      },
    )
  }

  /** What refuses a call after it was admitted, which may have taken time. */
  #refusalOf(target: Callee, args: ReadonlyArray<unknown>, options: CallOptions): Error | undefined {
    if (this.#isClosed) return new PluginError("Closed", { what: "the plugin" })
    if (options.signal?.aborted === true) return new PluginError("Aborted", { export: target.name })
    if (!Array.isArray(args)) return new WitError("Value", { path: "args", expected: "an array of arguments", actual: typeof args })
    return undefined
  }

  /** Limits of a call that began at `startedMs`. One inside another has no more time than the outer one. */
  #limits(target: Callee, options: LinkedCallOptions, startedMs: number, mayWait: boolean): CallLimits {
    const { limits, mechanism, nesting } = target.edition.linked
    if (nesting.depth >= limits.nestingMax) throw new LimitError("nestingMax", { limit: limits.nestingMax })
    const deadlineMs = this.#deadlineMs(target, options)
    const outerAtMs = nesting.depth === 0 ? Infinity : nesting.deadlineAtMs
    const deadlineAtMs = mechanism === "off" ? Infinity : Math.min(startedMs + deadlineMs, outerAtMs)
    const { [callerTenant]: tenant } = options
    const call = {
      ...{ deadlineAtMs, deadlineMs, fuel: options.fuel ?? BigInt(limits.fuel), mayWait },
      ...(tenant === undefined ? {} : { tenant }),
      ...traced(options),
    }
    if (options.wasi === undefined) return call
    const { resolveWasi, wasi } = target.edition.linked
    if (resolveWasi === undefined)
      throw new ConfigError("Option", { option: "wasi", expected: "a program of WASI", actual: "a plugin that neither imports nor exports `wasi:cli`" })
    return { ...call, wasi: resolveWasi(options.wasi, wasi) }
  }

  #answered(target: Callee, result: unknown, startedMs: number, spent: Spent, out: Accounts | undefined, settle: Settle | undefined): unknown {
    const { tag, val } = target.throws ? (result as { readonly tag: "ok" | "err"; readonly val?: unknown }) : { tag: "ok", val: result }
    this.#account(target, startedMs, tag === "ok" ? "ok" : "guest", spent, out, settle)
    if (tag === "ok") return val
    throw new PluginError("Guest", { export: target.name, payload: val })
  }

  #failed(target: Callee, error: unknown, startedMs: number, spent: Spent, out: Accounts | undefined, settle: Settle | undefined): unknown {
    if (error instanceof LimitError) {
      const { code, message } = error
      const { digest, ports, tenant } = target.edition.linked
      ports.observer.emit({ type: "stop", plugin: digest, tenant, export: target.name, code, message, ...traced(spent) })
    }
    // A command that says it is done is done, however it says so.
    const status = target.name.startsWith("wasi:cli/run@") ? exitStatus(error) : undefined
    this.#account(target, startedMs, status === undefined ? codeOf(error) : status === 0 ? "ok" : "guest", spent, out, settle)
    return error
  }

  #account(target: Callee, startedMs: number, outcome: UsageRecord["outcome"], spent: Spent, out: Accounts | undefined, settle: Settle | undefined): void {
    const { observer } = target.edition.linked.ports
    const usage = recordOf(target, startedMs, outcome, spent)
    if (out !== undefined) out.usage = usage
    if (spent.rest === undefined) {
      if (settle !== undefined) settleWith(settle, usage, true)
      return observer.emit({ type: "usage", record: usage })
    }
    const ended = spent.rest.then((failure) => {
      const isFailure = failure !== undefined && exitStatus(failure) !== 0
      const record = recordOf(target, startedMs, isFailure ? codeOf(failure) : outcome, spent)
      if (settle !== undefined) settleWith(settle, record, true)
      observer.emit({ type: "usage", record })
      return record
    })
    if (out !== undefined) out.ended = ended
  }
}
