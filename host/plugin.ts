/** A loaded plugin: describe it, call it, change its grants, close it. Where its calls run is its executor's. */
import { closest } from "../schemas/value/closest.ts"
import { CapabilityError } from "../schemas/error/capability.ts"
import { SteleError } from "../schemas/error/family.ts"
import { IsolateError } from "../schemas/error/isolate.ts"
import { LimitError } from "../schemas/error/limit.ts"
import { PluginError } from "../schemas/error/plugin.ts"
import { WitError } from "../schemas/error/wit.ts"
import type { AnswerOf, Arguments, ExportName, UntypedExports } from "../schemas/wit/exports.ts"
import { functionJsonSchema, type FunctionJsonSchema } from "../schemas/wit/json-schema.ts"
import type { FunctionType, World } from "../schemas/wit/model.ts"
import { anywhere } from "../schemas/wit/tree.ts"
import type { Executor, Spent, Target } from "./call/executor.ts"
import { linkedOfResource } from "./call/inline.ts"
import type { CallLimits } from "./call/instance.ts"
import { findInterface } from "./capability/mod.ts"
import { parseGrant } from "./capability/grant.ts"
import type { GrantReport } from "./capability/grant.ts"
import { printable } from "./component/name.ts"
import type { Source } from "./host.ts"
import { type ImportReport, splitVersion } from "./link/link.ts"
import type { Linked } from "./link/prepare.ts"
import { type CallOptions, checkCallOptions, checkReplaceOptions, type LoadOptions, type ReplaceOptions, type ResolvedOptions, resolveWasi } from "./options.ts"
import type { PoolCounts } from "./pool/pool.ts"
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
    /** How a guest waits: it is suspended, or nothing it imports has to be waited for; under `yield` it also gives the thread back while it computes. */
    readonly wait: "none" | "suspension" | "yield"
    readonly isolation: "inline" | "worker" | "process"
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

/** What a command exports, whatever its ABI. */
const commandExport = "wasi:cli/run#run"

/** The exit code that ended a command; undefined for what is none. */
function exitStatus(error: unknown): number | undefined {
  if (!(error instanceof PluginError)) return undefined
  if (error.reason._tag === "Exit") return error.reason.status
  return error.reason._tag === "Guest" ? 1 : undefined
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
function reportNow(report: ImportReport, { blueprint, grants }: Linked): ImportReport {
  if (report.status === "provided") return report
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
      grants: linked.grants.report(),
      mechanisms: {
        stop: ({ watchdog: "epoch", slice: "fuel slices", fuel: "fuel", off: "none" } as const)[linked.mechanism],
        wait: linked.waiting === undefined ? "none" : linked.waiting.yields ? "yield" : "suspension",
        isolation: executor.isolation,
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

  /**
   * Calls an export by its full name, the version optional. Resolves with the result; when its type is `result`, with
   * the ok case's value.
   * @throws PluginError `Guest` with the payload of the error case; `Trap`, `UnknownExport`, `Aborted`…; WitError for
   * arguments; LimitError for a deadline or any other limit; CapabilityError for what was not granted
   */
  async call<K extends ExportName<E>>(name: K, args: Arguments<E, K>, options: CallOptions = {}): Promise<AnswerOf<E, K>> {
    return (await this.#callLater(name, args, options, undefined)) as AnswerOf<E, K>
  }

  /** `call`, with the usage record of this call. */
  async callWithUsage<K extends ExportName<E>>(
    name: K,
    args: Arguments<E, K>,
    options: CallOptions = {},
  ): Promise<{ readonly result: AnswerOf<E, K>; readonly usage: UsageRecord }> {
    const out: { usage?: UsageRecord } = {}
    const result = (await this.#callLater(name, args, options, out)) as AnswerOf<E, K>
    return { result, usage: out.usage as UsageRecord }
  }

  /**
   * Runs a command: a component that exports `wasi:cli/run`, or a core module that is one. Resolves with its exit code, 0
   * for success; what the program itself says of a failure is on its standard error.
   * @throws PluginError `UnknownExport` where it is no command, `Trap`…; LimitError, CapabilityError as `call`
   */
  async run(options: CallOptions = {}): Promise<{ readonly exitCode: number; readonly usage: UsageRecord }> {
    const target = this.#begin(commandExport, [], options)
    const outer = { ...target.edition.linked.nesting }
    const askedMs = await this.#admit(target, options)
    const out: { usage?: UsageRecord } = {}
    let exitCode = 0
    try {
      await this.#call(target, [], options, askedMs, out, outer)
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
    if (executor.isolation !== "inline") throw new IsolateError("Sync", { isolation: executor.isolation })
    let askedMs = 0
    if (linked.ports.admission !== undefined) {
      const startedMs = linked.nowMs()
      const decision = this.#ask(target, options)
      if (decision instanceof Promise) {
        // Its failure has nobody to report to; the refusal below is the outcome.
        decision.then(undefined, () => undefined)
        throw new CapabilityError("Async", { import: "the admission port" })
      }
      askedMs = linked.nowMs() - startedMs
      this.#heed(target, decision, options, askedMs)
    }
    return this.#call(target, args, options, askedMs, undefined, undefined) as AnswerOf<E, K>
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
  async #callLater(name: string, args: ReadonlyArray<unknown>, options: CallOptions, out: { usage?: UsageRecord } | undefined): Promise<unknown> {
    const target = this.#begin(name, args, options)
    const { edition } = target
    edition.calls++
    try {
      const outer = { ...edition.linked.nesting }
      const askedMs = await this.#admit(target, options)
      return await this.#call(target, args, options, askedMs, out, outer)
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
  #ask(target: Callee, { deadlineMs, fuel }: CallOptions): AdmissionDecision | Promise<AdmissionDecision> {
    const { digest, limits, ports, tenant } = target.edition.linked
    const asked = { ...limits, ...(deadlineMs === undefined ? {} : { deadlineMs }), ...(fuel === undefined ? {} : { fuel: Number(fuel) }) }
    return (ports.admission as NonNullable<typeof ports.admission>).call({ plugin: digest, tenant, export: target.name }, asked)
  }

  #heed(target: Callee, decision: AdmissionDecision, options: CallOptions, askedMs: number): void {
    if (!decision.admit) throw new PluginError("Refused", { reason: decision.reason, admissionCode: decision.code })
    const limit = this.#deadlineMs(target, options)
    if (askedMs > limit) throw new LimitError("deadlineMs", { limit })
  }

  /** Asks the admission port, no longer than the call may take; resolves with the milliseconds that took. */
  async #admit(target: Callee, options: CallOptions): Promise<number> {
    const { nowMs, ports } = target.edition.linked
    if (ports.admission === undefined) return 0
    const startedMs = nowMs()
    const decision = this.#ask(target, options)
    const answer = decision instanceof Promise ? await this.#within(decision, target, options) : decision
    const askedMs = nowMs() - startedMs
    this.#heed(target, answer, options, askedMs)
    return askedMs
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
    askedMs: number,
    out: { usage?: UsageRecord } | undefined,
    outer: Linked["nesting"] | undefined,
  ): unknown {
    // Again: asking for admission took time.
    if (this.#isClosed) throw new PluginError("Closed", { what: "the plugin" })
    if (options.signal?.aborted === true) throw new PluginError("Aborted", { export: target.name })
    if (!Array.isArray(args)) throw new WitError("Value", { path: "args", expected: "an array of arguments", actual: typeof args })
    const { linked } = target.edition
    const { nesting } = linked
    const { depth, deadlineAtMs } = nesting
    const startedMs = linked.nowMs()
    const spent: Spent = { fuel: undefined, memoryPeakBytes: 0, bytesIn: 0, bytesOut: 0, hostCalls: {} }
    let result: unknown
    // The call it was made inside of is not on the stack any more when somebody was asked for admission.
    if (outer !== undefined) Object.assign(nesting, outer)
    try {
      const limits = this.#limits(target, options, startedMs - askedMs, outer !== undefined)
      result = target.edition.executor.call(target, args, limits, options.signal, spent)
    } catch (error) {
      throw this.#failed(target, error, startedMs, spent, out)
    } finally {
      nesting.depth = depth
      nesting.deadlineAtMs = deadlineAtMs
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
  #limits(target: Callee, options: CallOptions, startedMs: number, mayWait: boolean): CallLimits {
    const { limits, mechanism, nesting } = target.edition.linked
    if (nesting.depth >= limits.nestingMax) throw new LimitError("nestingMax", { limit: limits.nestingMax })
    const deadlineMs = this.#deadlineMs(target, options)
    const outerAtMs = nesting.depth === 0 ? Infinity : nesting.deadlineAtMs
    const deadlineAtMs = mechanism === "off" ? Infinity : Math.min(startedMs + deadlineMs, outerAtMs)
    const call = { deadlineAtMs, deadlineMs, fuel: options.fuel ?? BigInt(limits.fuel), mayWait }
    return options.wasi === undefined ? call : { ...call, wasi: resolveWasi(options.wasi, target.edition.linked.wasi) }
  }

  #answered(target: Callee, result: unknown, startedMs: number, spent: Spent, out: { usage?: UsageRecord } | undefined): unknown {
    const { tag, val } = target.throws ? (result as { readonly tag: "ok" | "err"; readonly val?: unknown }) : { tag: "ok", val: result }
    this.#account(target, startedMs, tag === "ok" ? "ok" : "guest", spent, out)
    if (tag === "ok") return val
    throw new PluginError("Guest", { export: target.name, payload: val })
  }

  #failed(target: Callee, error: unknown, startedMs: number, spent: Spent, out: { usage?: UsageRecord } | undefined): unknown {
    if (error instanceof LimitError) {
      const { code, message } = error
      const { digest, ports, tenant } = target.edition.linked
      ports.observer.emit({ type: "stop", plugin: digest, tenant, export: target.name, code, message })
    }
    // A command that says it is done is done, however it says so.
    const status = target.name.startsWith("wasi:cli/run@") ? exitStatus(error) : undefined
    const code = error instanceof SteleError ? (error.code as `STELE-${string}`) : "STELE-PLG-0002"
    this.#account(target, startedMs, status === undefined ? code : status === 0 ? "ok" : "guest", spent, out)
    return error
  }

  #account(target: Callee, startedMs: number, outcome: UsageRecord["outcome"], spent: Spent, out: { usage?: UsageRecord } | undefined): void {
    const { linked } = target.edition
    const { fuel, memoryPeakBytes, bytesIn, bytesOut, hostCalls } = spent
    const usage: UsageRecord = {
      plugin: linked.digest,
      tenant: linked.tenant,
      export: target.name,
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
