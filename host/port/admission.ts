import type { LimitName } from "../../schemas/error/mod.ts"
import type { Awaitable, Immediate, Port } from "./port.ts"

export type AdmissionDecision = { readonly admit: true } | { readonly admit: false; readonly reason: string; readonly code: string }

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
  call(descriptor: CallDescriptor, limits: CallLimits): Awaitable<AdmissionDecision>
}

const admitted: AdmissionDecision = { admit: true }

/** Admits everything. */
export const memoryAdmission = (): Immediate<AdmissionPort> => ({ load: () => admitted, call: () => admitted })
