/** Building host interfaces: tables from plain objects, results, answers of ports that must come at once. */
import { CapabilityError } from "../../schemas/error/mod.ts"
import type { FunctionType, ResourceType, ValueType } from "../../schemas/wit/model.ts"
import type { Awaitable } from "../port/mod.ts"
import type { HostExport, HostFunction, HostInterface, HostResource } from "./capability.ts"

export interface Ok<A> {
  readonly tag: "ok"
  readonly val: A
}
export interface Err<E> {
  readonly tag: "err"
  readonly val: E
}
export type Result<A, E> = Ok<A> | Err<E>

export const ok = <A>(val: A): Ok<A> => ({ tag: "ok", val })
export const err = <E>(val: E): Err<E> => ({ tag: "err", val })
/** `ok` of a result without payload. */
export const done: Ok<undefined> = { tag: "ok", val: undefined }

/** The answer of a port, which must be there already: a synchronous guest cannot wait for it. */
export function settled<A>(answer: Awaitable<A>, importName: string): A {
  if (typeof answer !== "object" || answer === null || typeof (answer as { then?: unknown }).then !== "function") return answer as A
  // Its failure has nobody to report to; the refusal below is the outcome.
  ;(answer as Promise<A>).then(undefined, () => undefined)
  throw new CapabilityError("Async", { import: importName })
}

/** A function of an interface: its type and implementation. */
export const serve = (type: FunctionType, call: HostFunction): HostExport => ({ type, call })

export interface InterfaceParts {
  readonly functions?: Readonly<Record<string, HostExport>>
  readonly resources?: Readonly<Record<string, HostResource>>
  readonly types?: Readonly<Record<string, ValueType>>
}

export const hostInterface = (name: string, version: string | undefined, parts: InterfaceParts): HostInterface => ({
  name,
  ...(version === undefined ? {} : { version }),
  functions: new Map(Object.entries(parts.functions ?? {})),
  resources: new Map(Object.entries(parts.resources ?? {})),
  types: new Map(Object.entries(parts.types ?? {})),
})

/** A resource whose reps need nothing at the end. */
export const plainResource = (type: ResourceType): HostResource => ({ type })

/** Cuts to `max` UTF-16 units without halving a pair. What is cut off is freed: V8's slices keep the whole text alive. */
export function cut(text: string, max: number): string {
  if (text.length <= max) return text
  const isHalf = (text.charCodeAt(max - 1) & 0xfc00) === 0xd800
  // One unit in front and off again: the slice is then of a copy.
  return ` ${text.slice(0, isHalf ? max - 1 : max)}`.slice(1)
}

/** A u64 from the guest as a number, when anything above `max` means `max`. */
export const clip = (value: bigint, max: number): number => (value > BigInt(max) ? max : Number(value))
