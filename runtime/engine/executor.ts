/** Calls of a plugin in processes or threads of an engine, one a call. What the host promises of calls holds here as anywhere. */
import { EngineError } from "../../schemas/error/engine.ts"
import { IsolateError } from "../../schemas/error/isolate.ts"
import { LimitError } from "../../schemas/error/limit.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { WitError } from "../../schemas/error/wit.ts"
import type { EnginePlugin } from "../../host/call/engine.ts"
import type { Executor, Spent, Target } from "../../host/call/executor.ts"
import type { CallLimits } from "../../host/call/instance.ts"
import { Spending } from "../../host/call/quota.ts"
import type { CallContext } from "../../host/capability/capability.ts"
import { printable } from "../../schemas/wit/name.ts"
import type { Wasi } from "../../host/wasi/given.ts"
import { output } from "../../host/wasi/stdio.ts"
import { directoriesOf, type Promises } from "./check.ts"
import type { Ended, Streams } from "./process.ts"
import type { Answer, Request } from "./program.ts"

/** What runs the calls of one plugin, and where. */
export interface Program {
  readonly isolation: "worker" | "process"
  readonly run: (request: Request, streams: Streams, signal: AbortSignal | undefined) => Promise<Answer | Ended>
  readonly caps?: Request["caps"]
}

type CoreNumber = "i32" | "i64" | "f32" | "f64"
const numbers: Readonly<Record<string, CoreNumber>> = { s32: "i32", s64: "i64", f32: "f32", f64: "f64" }

/** A number as its type has it; what is no such number is refused here, and not by the engine. */
function argument(kind: string, value: unknown, path: string): number | string {
  if (kind === "s64" && typeof value === "bigint" && BigInt.asIntN(64, value) === value) return String(value)
  if (kind === "s32" && typeof value === "number" && (value | 0) === value) return value
  if ((kind === "f32" || kind === "f64") && typeof value === "number") return String(value)
  throw new WitError("Value", { path, expected: kind, actual: typeof value })
}

export class EngineExecutor implements Executor {
  readonly isolation: Program["isolation"]
  readonly #promises: Promises
  readonly #plugin: EnginePlugin
  readonly #program: Program
  readonly #running = new Set<Promise<unknown>>()

  constructor(promises: Promises, plugin: EnginePlugin, program: Program) {
    this.isolation = program.isolation
    this.#promises = promises
    this.#plugin = plugin
    this.#program = program
  }

  refuseSync(): Error {
    return new IsolateError("Sync", { isolation: this.isolation })
  }

  get instances(): number {
    return this.#running.size
  }

  call(target: Target, args: ReadonlyArray<unknown>, limits: CallLimits, signal: AbortSignal | undefined, spent: Spent): Promise<unknown> {
    if (!limits.mayWait) throw new EngineError("Lacks", { engine: this.#promises.name, feature: "answers at once", advice: "use call instead of callSync" })
    if (this.#running.size >= this.#plugin.options.instancesMax) throw new PluginError("Busy", { export: target.name })
    const call = this.#call(target, args, limits, signal, spent)
    this.#running.add(call)
    const ended = (): boolean => this.#running.delete(call)
    call.then(ended, ended)
    return call
  }

  retire(): void {
    // No call leaves anything behind.
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#running)
    for (const { directory } of this.#plugin.linked.wasi.preopens) directory.close()
  }

  async #call(target: Target, args: ReadonlyArray<unknown>, limits: CallLimits, signal: AbortSignal | undefined, spent: Spent): Promise<unknown> {
    const { linked } = this.#plugin
    const wasi = limits.wasi ?? linked.wasi
    const atEnd: Array<() => void> = []
    const context = this.#context(wasi, limits, signal, spent, atEnd)
    const [stdout, stderr] = [output(context, "stdout"), output(context, "stderr")]
    const request = this.#request(target, args, limits, wasi)
    const outcome = await this.#program.run(
      request,
      {
        stdin: wasi.stdin,
        stdout: (bytes) => void stdout.write(context, bytes),
        stderr: (bytes) => void stderr.write(context, bytes),
        bytesMax: linked.limits.liftBytesMax,
        count: (bytes) => (spent.bytesOut += bytes),
      },
      signal,
    )
    stdout.drop?.(context)
    stderr.drop?.(context)
    for (const close of atEnd) close()
    switch (outcome.tag) {
      case "threw":
        throw outcome.error
      case "output":
        throw new LimitError("liftBytesMax", { limit: linked.limits.liftBytesMax })
      case "aborted":
        throw new PluginError("Aborted", { export: target.name })
      case "deadline":
        throw new LimitError("deadlineMs", { limit: limits.deadlineMs })
      case "absent":
        throw new EngineError("Unavailable", { engine: this.#promises.name, detail: outcome.detail, advice: "see what stele doctor says" })
      case "died":
        throw new EngineError("Ended", { engine: this.#promises.name, export: target.name, detail: outcome.detail })
      default:
        return this.#answer(target, outcome, limits, context, spent)
    }
  }

  #answer(target: Target, answer: Answer, limits: CallLimits, context: CallContext, spent: Spent): unknown {
    spent.memoryPeakBytes = answer.memoryBytes
    // One record for each of a thousand denials would say no more.
    for (const [grant, count] of Object.entries(answer.denied)) for (let i = 0; i < Math.min(count, 1_000); i++) context.denied(grant)
    switch (answer.tag) {
      case "value":
        return target.throws ? { tag: "ok", val: undefined } : answer.value
      case "exit":
        if (answer.status === 0 && target.throws) return { tag: "ok", val: undefined }
        throw new PluginError("Exit", { status: answer.status })
      case "stopped":
        throw new LimitError("deadlineMs", { limit: limits.deadlineMs })
      case "trap":
        throw new PluginError("Trap", { export: target.name, trap: printable(answer.text, 400), frames: [] })
      case "failed":
        throw new EngineError("Ended", { engine: this.#promises.name, export: target.name, detail: printable(answer.text, 400) })
    }
  }

  #request(target: Target, args: ReadonlyArray<unknown>, limits: CallLimits, wasi: Wasi): Request {
    const { linked } = this.#plugin
    const { grants, blueprint } = linked
    const { core } = blueprint.lifts[target.lift] as (typeof blueprint.lifts)[number]
    const kinds = target.type.params.map(({ type }) => type.kind)
    if (args.length !== kinds.length) throw new WitError("ArgumentCount", { export: target.name, expected: kinds.length, actual: args.length })
    const { caps } = this.#program
    return {
      args: wasi.args,
      env: wasi.env,
      directories: directoriesOf(this.#promises, linked),
      wall: grants.allows("clock:wall"),
      monotonic: grants.allows("clock:monotonic"),
      fine: grants.allows("clock:monotonic", "fine"),
      random: grants.allows("random"),
      export: (core as { readonly name: string }).name,
      params: kinds.map((kind) => numbers[kind] as CoreNumber),
      arguments: kinds.map((kind, i) => argument(kind, args[i], `args[${i}]`)),
      result: target.throws ? undefined : numbers[target.type.result?.kind ?? ""],
      deadlineMs: limits.deadlineAtMs === Infinity ? null : Math.max(0, limits.deadlineAtMs - linked.nowMs()),
      memoryBytesMax: linked.limits.memoryBytesMax,
      tableElementsMax: linked.limits.tableElementsMax,
      stackBytesMax: linked.limits.stackBytesMax,
      ...(caps === undefined ? {} : { caps }),
    }
  }

  /** What the plugin's streams see of the call. */
  #context(wasi: Wasi, limits: CallLimits, signal: AbortSignal | undefined, spent: Spent, atEnd: Array<() => void>): CallContext {
    const { linked } = this.#plugin
    const { tenant, grants, ports } = linked
    const spending = new Spending()
    return {
      tenant,
      plugin: linked.digest,
      grants,
      ports,
      limits: linked.limits,
      wasi,
      signal,
      trace: limits.trace,
      mayWait: () => false,
      ended: () => signal ?? new AbortController().signal,
      remainingMs: () => Math.max(0, limits.deadlineAtMs - linked.nowMs()),
      expired: () => new LimitError("deadlineMs", { limit: limits.deadlineMs }),
      atDiscard: (close) => void atEnd.push(close),
      spend: (limit, amount) => spending.spend(linked.limits, limit, amount),
      used(grant, bytes) {
        spent.hostCalls[grant] = (spent.hostCalls[grant] ?? 0) + 1
        linked.used(grant, bytes)
      },
      denied: (grant) => linked.denied(grant, limits.trace),
    }
  }
}
