/**
 * What an engine's process is asked and what it answers, over descriptor 3: one request, one answer, each length-prefixed,
 * integers little-endian. The answer comes from beside a hostile guest: a few numbers and a capped text, read as such.
 */

/** What a process is told to run. */
export interface Request {
  readonly args: ReadonlyArray<string>
  readonly env: ReadonlyArray<readonly [name: string, value: string]>
  readonly directories: ReadonlyArray<{ readonly guest: string; readonly host: string; readonly isWritable: boolean }>
  /** Without it a clock's call answers `notcapable`. */
  readonly wall: boolean
  readonly monotonic: boolean
  /** The monotonic clock in its own steps, and not in those of 100 µs. */
  readonly fine: boolean
  readonly random: boolean
  /** `_start`, or an export of a reactor with its arguments; 64-bit integers as decimal texts. */
  readonly export: string
  readonly params: ReadonlyArray<"i32" | "i64" | "f32" | "f64">
  readonly arguments: ReadonlyArray<number | string>
  readonly result: "i32" | "i64" | "f32" | "f64" | undefined
  /** null: none. */
  readonly deadlineMs: number | null
  readonly memoryBytesMax: number
  readonly tableElementsMax: number
  readonly stackBytesMax: number
  /** Import module of the caps that were written into the bytes, and their budgets (`node-wasi`). */
  readonly caps?: {
    readonly module: string
    readonly memory: { readonly min: number; readonly max: number } | undefined
    readonly pages: number | undefined
    readonly elements: number | undefined
    /** Of a module with checks: what it reads its stop from, what it asks when it throws, and its stack. */
    readonly epoch: boolean
    readonly tick: boolean
    readonly stack: number | undefined
  }
}

export type Answer = {
  /** Bytes of memory at the end. */
  readonly memoryBytes: number
  /** Calls that were denied, by what was not granted. */
  readonly denied: Readonly<Record<"clock:wall" | "clock:monotonic" | "random", number>>
} & (
  | { readonly tag: "value"; readonly value: number | bigint | undefined }
  | { readonly tag: "exit"; readonly status: number }
  | { readonly tag: "trap" | "failed"; readonly text: string }
  | { readonly tag: "stopped" }
)

const tags = ["value", "exit", "trap", "stopped", "failed"] as const

/** Bytes of an answer: its head, and a text. */
export const answerBytesMax = 20 + 4_096

export function encodeRequest(request: Request, module: Uint8Array): Uint8Array {
  const head = new TextEncoder().encode(JSON.stringify(request))
  const bytes = new Uint8Array(8 + head.length + module.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, head.length, true)
  view.setUint32(4, module.length, true)
  bytes.set(head, 8)
  bytes.set(module, 8 + head.length)
  return bytes
}

/**
 * tag (1 byte), three zero bytes, pages, denials of wall clock, monotonic clock and random (32 bits each), then the value's
 * 8 bytes, the status, or the text. Undefined for anything else.
 */
export function decodeAnswer(bytes: Uint8Array, result: Request["result"]): Answer | undefined {
  if (bytes.length < 20) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const tag = tags[view.getUint8(0)]
  if (tag === undefined) return undefined
  const count = (at: number): number => view.getUint32(at, true)
  const known = { memoryBytes: count(4) * 65_536, denied: { "clock:wall": count(8), "clock:monotonic": count(12), random: count(16) } }
  const rest = bytes.subarray(20)
  if (tag === "stopped") return { ...known, tag }
  if (tag === "exit") return rest.length < 4 ? undefined : { ...known, tag, status: count(20) }
  if (tag === "trap" || tag === "failed") return { ...known, tag, text: new TextDecoder().decode(rest) }
  if (result !== undefined && rest.length < 8) return undefined
  const value =
    result === undefined
      ? undefined
      : result === "i32"
        ? view.getInt32(20, true)
        : result === "i64"
          ? view.getBigInt64(20, true)
          : result === "f32"
            ? view.getFloat32(20, true)
            : view.getFloat64(20, true)
  return { ...known, tag, value }
}
