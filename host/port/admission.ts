import type { LimitName } from "../../schemas/error/mod.ts"
import type { UsageRecord } from "./observer.ts"
import type { Awaitable, Immediate, Port } from "./port.ts"

export interface Refusal {
  readonly admit: false
  readonly reason: string
  readonly code: string
}

export type AdmissionDecision = { readonly admit: true } | Refusal

/**
 * Told what a call used that was admitted, once it is over: after its answer, or where an asynchronous guest goes on, after that. Exactly once, whatever
 * the call's outcome and wherever it ran. A call that never began, because it was refused after all, was aborted or had no time left, has used
 * nothing: `isBegun` is then false, and the observer is told of no call. It runs inside the call, on this thread: it should only note the record. What it
 * throws is an uncaught exception of the process and does the call no harm.
 */
export type Settle = (record: UsageRecord, isBegun: boolean) => void

export type CallDecision = { readonly admit: true; readonly settle?: Settle | undefined } | Refusal

/** What is about to be compiled. */
export interface LoadDescriptor {
  /** `sha256:…` of the bytes. */
  readonly plugin: string
  readonly tenant: string
  readonly bytes: number
  readonly grants: ReadonlyArray<string>
}

/** What is about to run. */
export interface CallDescriptor {
  readonly plugin: string
  readonly tenant: string
  readonly export: string
}

/** Limits of the call, by name, each in its unit. */
export type CallLimits = Readonly<Partial<Record<LimitName, number>>>

/**
 * The host's policy: quotas, licences, estimates. Asked before bytes are compiled and before a call; its time counts
 * against the call's deadline. Where there is none, nothing is asked. A refusal becomes `PluginError` `Refused`.
 */
export interface AdmissionPort extends Port {
  load(descriptor: LoadDescriptor): Awaitable<AdmissionDecision>
  call(descriptor: CallDescriptor, limits: CallLimits): Awaitable<CallDecision>
}

const admitted: AdmissionDecision = { admit: true }

/** Admits everything. */
export const memoryAdmission = (): Immediate<AdmissionPort> => ({ load: () => admitted, call: () => admitted })
