/**
 * Tagged error families. A family is one class; each of its reasons has a stable code that is never reused, an
 * HTTP status, an exit code, and a fix. Plain TypeScript: the host's core throws these without loading Effect.
 */

import { toBase64 } from "../value/base64.ts"

/** Process exit codes (0 ok, 1 failed, 2 usage, 3 check found problems, 4 not found, 5 denied, 6 conflict, 7 limit, 69 unavailable, 130 interrupted). */
export type ExitCode = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 69 | 130

/** What is known of one reason, before it happens; what it means in sentences is in `explain.ts`. `D` is the data an occurrence carries. */
export interface ReasonSpec<D> {
  /** `STELE-CAP-0003`; never reused. */
  readonly code: `STELE-${string}-${string}`
  readonly status: number
  readonly exit: ExitCode
  readonly isRetryable: boolean
  /** Sentence case, no period, quoted strings, "Cannot X as Y: current value is Z". */
  readonly message: (data: D) => string
  /** What to do, runnable where it can be. */
  readonly fix: (data: D) => string
}

type DataOf<S> = S extends ReasonSpec<infer D> ? D : never
type Reasons = Readonly<Record<string, ReasonSpec<never>>>

/** One occurrence: the reason's name as `_tag` and its data. */
export type ReasonOf<R extends Reasons> = { readonly [K in keyof R & string]: { readonly _tag: K } & DataOf<R[K]> }[keyof R & string]

/** The JSON form of an error (`--json`, HTTP problem details are built from it). */
export interface ErrorJson {
  readonly code: string
  readonly family: string
  readonly reason: string
  readonly message: string
  readonly fix: string
  readonly isRetryable: boolean
  readonly status: number
  readonly data: Readonly<Record<string, unknown>>
}

/** Values that JSON has no form for, as `schemas/value/json.ts` writes them: a guest's payload can hold any of these. */
function plain(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString()
  if (typeof value === "number" && !Number.isFinite(value)) return String(value)
  if (value instanceof Uint8Array) return toBase64(value)
  return ArrayBuffer.isView(value) && !(value instanceof DataView) ? Array.from(value as unknown as ArrayLike<unknown>) : value
}

/** Base of all families; `instanceof SteleError` tells a typed refusal from a bug. */
export abstract class SteleError extends Error {
  abstract readonly _tag: string
  abstract readonly reason: { readonly _tag: string }
  readonly code: string
  readonly status: number
  readonly exitCode: ExitCode
  readonly isRetryable: boolean
  readonly fix: string

  protected constructor(spec: ReasonSpec<never>, data: object, options?: ErrorOptions) {
    const known = spec as ReasonSpec<object>
    super(known.message(data), options)
    this.code = spec.code
    this.status = spec.status
    this.exitCode = spec.exit
    this.isRetryable = spec.isRetryable
    this.fix = known.fix(data)
  }

  toJSON(): ErrorJson {
    const { _tag, ...data } = this.reason as { readonly _tag: string } & Record<string, unknown>
    return {
      code: this.code,
      family: this._tag,
      reason: _tag,
      message: this.message,
      fix: this.fix,
      isRetryable: this.isRetryable,
      status: this.status,
      data: JSON.parse(JSON.stringify(data, plain)) as Record<string, unknown>,
    }
  }
}

/** Every reason defined so far, by code: what `stele explain` reads. */
export const catalogue = new Map<string, { readonly family: string; readonly reason: string; readonly spec: ReasonSpec<never> }>()

/** Makes the class of a family from its reasons: `class LimitError extends family("LimitError", { … }) {}`. */
export function family<const Tag extends string, R extends Reasons>(tag: Tag, reasons: R) {
  for (const [reason, spec] of Object.entries(reasons)) {
    if (catalogue.has(spec.code)) throw new Error(`Cannot define error code "${spec.code}" twice`)
    catalogue.set(spec.code, { family: tag, reason, spec })
  }
  return class Family extends SteleError {
    override readonly _tag: Tag = tag
    override readonly reason: ReasonOf<R>
    constructor(reason: keyof R & string, data: object, options?: ErrorOptions) {
      super(reasons[reason] as ReasonSpec<never>, data, options)
      this.name = tag
      this.reason = { _tag: reason, ...data } as unknown as ReasonOf<R>
    }
  } as unknown as FamilyClass<Tag, R>
}

/** The constructor type of a family: reason and data must fit each other. */
export interface FamilyClass<Tag extends string, R extends Reasons> {
  new (
    ...args: { [K in keyof R & string]: [reason: K, data: DataOf<R[K]>, options?: ErrorOptions] }[keyof R & string]
  ): SteleError & { readonly _tag: Tag; readonly reason: ReasonOf<R> }
}

/** A reason with its data type stated once. */
export const reason = <D extends object>(spec: ReasonSpec<D>): ReasonSpec<D> => spec
