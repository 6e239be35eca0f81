/**
 * Where the calls of a plugin run. `Plugin` checks, admits, accounts and throws; an executor finds or makes an instance,
 * runs one call in it and tells what that used. Inline is one of them; others run the guest in another thread or process.
 */
import type { FunctionType } from "../../schemas/wit/model.ts"
import type { PoolCounts } from "../pool/pool.ts"
import type { TraceContext } from "../port/mod.ts"
import type { CallLimits } from "./instance.ts"

/** An export that can be called. */
export interface Target {
  readonly name: string
  readonly type: FunctionType
  /** Number of its lift in the blueprint. */
  readonly lift: number
  /** The outermost type is `result`: its error case throws. */
  readonly throws: boolean
  /** Some parameter holds a handle: the call may have to run in the instance that handle lives in. */
  readonly takesHandles: boolean
}

/** What a call used, for its usage record. Filled by the executor before it answers or throws. */
export interface Spent {
  /** Under a tier that counts it. */
  fuel: bigint | undefined
  memoryPeakBytes: number
  bytesIn: number
  bytesOut: number
  /** Host calls by the grant that allowed them. */
  hostCalls: Record<string, number>
  /** Live handles of the instance after the call. */
  handlesLeft: number
  /**
   * Where the guest goes on after its answer: resolves when that has ended, with what it failed with. All else here is then
   * what the whole call used.
   */
  rest?: Promise<unknown>
  /** The trace that the call is part of. */
  readonly trace?: TraceContext | undefined
}

/** Calls of one thread that are on the stack, and the earliest of their deadlines. */
export interface Nesting {
  depth: number
  deadlineAtMs: number
}

export interface Executor {
  readonly isolation: "inline" | "worker" | "process"
  /**
   * Runs one call. Answers with the value of the export's type, its outermost `result` as `{tag,val}`, or with a promise of
   * it; throws or rejects with typed errors only.
   */
  call(target: Target, args: ReadonlyArray<unknown>, limits: CallLimits, signal: AbortSignal | undefined, spent: Spent): unknown
  /** What a call without a promise is refused with, where none can be made. */
  refuseSync?(): Error
  /** What stands around the thread or process besides its engine, for people. */
  readonly confinement?: ReadonlyArray<string>
  /** Live instances now, running and idle. */
  readonly instances: number
  /** The same by what they do, where the instances are on this thread. */
  counts?(): PoolCounts
  /** Its plugin was replaced and none of its calls is left: what remains are calls that take a resource of an instance here. Keeps nothing else. */
  retire(): void
  /** A grant was given or taken back: for executors that keep a copy of them elsewhere. */
  changed?(change: "granted" | "revoked", grant: string): void
  /** Discards every instance; one that is running ends first. No call comes after it. */
  close(): void | Promise<void>
}
