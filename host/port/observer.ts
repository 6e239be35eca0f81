import { limitsFrom } from "./port.ts"

/** The span of a distributed trace that a call is part of, as W3C Trace Context names it. A guest is never told. */
export interface TraceContext {
  /** 32 hexadecimal digits in lower case, not all zero. */
  readonly traceId: string
  /** 16 of them. */
  readonly spanId: string
  readonly isSampled: boolean
}

/**
 * What a call cost. One per call, whatever its outcome, told when the call is over: that of an asynchronous guest may be later than
 * its answer, and all that it did until then is in the record. Billing, audit and telemetry read the same one.
 */
export interface UsageRecord {
  /** `sha256:…` of the component. */
  readonly plugin: string
  readonly tenant: string
  /** `acme:greeter/api#greet`. */
  readonly export: string
  /** "ok", "guest" (the export's own error case), or the code of the error that ended the call. */
  readonly outcome: "ok" | "guest" | `STELE-${string}`
  /** Wall-clock time of the call, host functions included, nanoseconds. */
  readonly wallNs: number
  /** Fuel spent; absent under a metering tier that does not count it. */
  readonly fuel?: bigint
  /** Most bytes of linear memory the instance had. */
  readonly memoryPeakBytes: number
  /** Bytes moved host → guest: arguments and host functions' results. */
  readonly bytesIn: number
  /** Bytes moved guest → host. */
  readonly bytesOut: number
  /** Host calls by the grant that allowed them. */
  readonly hostCalls: Readonly<Record<string, number>>
  /** Live handles that the instance was left with, where there are any: what the guest opened and did not drop. Inline only. */
  readonly handlesLeft?: number
  /** Where the call was made with one. */
  readonly trace?: TraceContext
}

/** What the host tells the observer. */
export type ObserverEvent =
  | { readonly type: "usage"; readonly record: UsageRecord }
  | { readonly type: "denial"; readonly plugin: string; readonly tenant: string; readonly grant: string; readonly trace?: TraceContext }
  | { readonly type: "grant"; readonly plugin: string; readonly tenant: string; readonly change: "granted" | "revoked"; readonly grant: string }
  | {
      readonly type: "stop"
      readonly plugin: string
      readonly tenant: string
      readonly export: string
      readonly code: string
      readonly message: string
      readonly trace?: TraceContext
    }

/**
 * The one place usage records, denials, grant changes and stops go. `emit` runs inside calls: it must not wait, must
 * not throw, and keeps a bounded amount; what does not fit is dropped, counted, and visible in `dropped`.
 */
export interface ObserverPort {
  emit(event: ObserverEvent): void
  /** Events dropped since the observer was made. */
  readonly dropped: number
}

export const observerLimits = {
  /** Events kept until they are drained; further ones are dropped. */
  eventsMax: 10_000,
}
export type ObserverLimits = typeof observerLimits

/** Keeps events until they are drained. Under pressure the oldest stay: the start of an incident explains it. */
export function memoryObserver(options: Partial<ObserverLimits> = {}): ObserverPort & {
  readonly limits: ObserverLimits
  /** Events kept, oldest first. */
  readonly events: ReadonlyArray<ObserverEvent>
  /** Takes all events kept. */
  drain(): ReadonlyArray<ObserverEvent>
} {
  const limits = limitsFrom("observer", observerLimits, options)
  let events: Array<ObserverEvent> = []
  let dropped = 0
  return {
    limits,
    get events() {
      return events
    },
    get dropped() {
      return dropped
    },
    emit(event) {
      if (events.length < limits.eventsMax) events.push(event)
      else dropped++
    },
    drain() {
      const drained = events
      events = []
      return drained
    },
  }
}
