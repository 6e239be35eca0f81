/**
 * `wasi:logging/logging`: messages of the guest, capped in length, limited in rate and tagged with their plugin.
 * WIT: WebAssembly/wasi-logging at d31c41d0d9eed81aabe02333d0025d42acf3fb75 (`package wasi:logging@0.1.0-draft`); the same
 * interface without a version is what several toolchains still import.
 */
import { enumeration, func, primitive } from "../../schemas/wit/model.ts"
import { logLimits, type LogLevel } from "../port/mod.ts"
import type { CallContext, Capability } from "./capability.ts"
import type { GrantSet } from "./grant.ts"
import { bareForm, isWithin } from "./scope.ts"
import { cut, hostInterface, serve } from "./serve.ts"

/** One plugin's token bucket; lives as long as its grants, so fresh instances share it. */
interface Bucket {
  tokens: number
  atNs: bigint
  dropped: number
}
const buckets = new WeakMap<GrantSet, Bucket>()

/** One token a record: `burstMax` at most, `recordsPerSecond` new ones a second. Returns the drops to report, or −1 to drop this one too. */
function admit(call: CallContext, burstMax: number, perSecond: number): number {
  const nowNs = call.ports.monotonicClock.nowNs()
  let bucket = buckets.get(call.grants)
  if (bucket === undefined) buckets.set(call.grants, (bucket = { tokens: burstMax, atNs: nowNs, dropped: 0 }))
  bucket.tokens = Math.min(burstMax, bucket.tokens + (Number(nowNs - bucket.atNs) * perSecond) / 1e9)
  bucket.atNs = nowNs
  if (bucket.tokens < 1) {
    bucket.dropped++
    return -1
  }
  bucket.tokens--
  const dropped = bucket.dropped
  bucket.dropped = 0
  return dropped
}

/** Writes one message of the guest under `grant`, or drops it when the plugin writes too fast. Shared with stdout and stderr. */
export function writeLog(call: CallContext, grant: string, level: LogLevel, context: string, message: string): void {
  const given = call.ports.log.limits
  call.used(grant, message.length)
  const dropped = admit(call, given?.burstMax ?? logLimits.burstMax, given?.recordsPerSecond ?? logLimits.recordsPerSecond)
  if (dropped < 0) return
  const messageCharsMax = given?.messageCharsMax ?? logLimits.messageCharsMax
  const tag = { plugin: call.plugin, tenant: call.tenant, ...(call.trace === undefined ? {} : { trace: call.trace }) }
  const sink = call.ports.log
  if (dropped > 0)
    sink.write({ ...tag, level: "warn", context: "stele", message: `${dropped} messages dropped: the plugin wrote too fast`, isTruncated: false })
  const text = cut(message, messageCharsMax)
  sink.write({
    ...tag,
    level,
    context: cut(context, given?.contextCharsMax ?? logLimits.contextCharsMax),
    message: text,
    isTruncated: text.length < message.length,
  })
}

const level = enumeration("trace", "debug", "info", "warn", "error", "critical")
const { string } = primitive

const parts = {
  types: { level },
  functions: {
    log: serve(func({ level, context: string, message: string }), (call, at: LogLevel, context: string, message: string) => {
      const grant = call.grants.match("log", "")
      if (grant === undefined) throw call.denied("log")
      writeLog(call, grant, at, context, message)
    }),
  },
}

export const log: Capability = {
  name: "log",
  risk: "The plugin can write text of its own choice into the host's log, up to a rate and a length.",
  mode: "sync",
  forms: ["log"],
  isInert: false,
  parse: bareForm("log"),
  subset: isWithin,
  interfaces: [hostInterface("wasi:logging/logging", "0.1.0-draft", parts), hostInterface("wasi:logging/logging", undefined, parts)],
  needs: () => "log",
  heads: () => ["log"],
  ports: ["log", "monotonicClock"],
}
