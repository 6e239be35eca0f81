import type { TraceContext } from "./observer.ts"
import { limitsFrom } from "./port.ts"

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "critical"

/** One message of a guest, already capped in length and tagged with who wrote it. The text is the guest's: escape it before a terminal sees it. */
export interface LogRecord {
  /** `sha256:…` of the component. */
  readonly plugin: string
  readonly tenant: string
  readonly level: LogLevel
  /** The guest's own grouping word; "stdout" or "stderr" for output streams, "stele" for the host's notes about this plugin. */
  readonly context: string
  readonly message: string
  /** True when the message was cut to the limit. */
  readonly isTruncated: boolean
  /** Of the call that wrote it, where it was made with one. */
  readonly trace?: TraceContext
}

/** Where plugins' log messages go. `write` runs inside the call and answers at once: a sink over a network buffers. */
export interface LogPort {
  write(record: LogRecord): void
  /** What one plugin may write; `logLimits` where absent. */
  readonly limits?: Partial<LogLimits>
}

export const logLimits = {
  /** Records kept; the oldest goes first. */
  recordsMax: 1_000,
  /** UTF-16 units of one message; longer ones are cut. */
  messageCharsMax: 8_192,
  /** UTF-16 units of a message's context. */
  contextCharsMax: 128,
  /** Records one plugin may write at once, and how many more each second; further ones are dropped, counted and reported in one record. */
  burstMax: 1_000,
  recordsPerSecond: 200,
}
export type LogLimits = typeof logLimits

/** Keeps the newest records in memory. */
export function memoryLog(options: Partial<LogLimits> = {}): LogPort & {
  readonly limits: LogLimits
  /** The records kept, oldest first. */
  readonly records: ReadonlyArray<LogRecord>
  /** Records that made room for newer ones. */
  readonly dropped: number
} {
  const limits = limitsFrom("log", logLimits, options)
  const records: Array<LogRecord> = []
  let dropped = 0
  return {
    limits,
    records,
    get dropped() {
      return dropped
    },
    write(record) {
      records.push(record)
      if (records.length > limits.recordsMax) {
        records.shift()
        dropped++
      }
    },
  }
}

// C0 but tab, DEL, C1, bidi controls, line and paragraph separators, the byte order mark.
// oxlint-disable-next-line no-control-regex
const unsafe = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g

/** Guest text as it may stand on a terminal or in a pretty log: control, escape and bidi characters become `\u{…}`, on one line. */
export const escapeText = (text: string): string => text.replace(unsafe, (c) => `\\u{${(c.codePointAt(0) as number).toString(16)}}`)
