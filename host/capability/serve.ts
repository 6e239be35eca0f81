/** Building host interfaces: tables from plain objects, results, answers of ports that must come at once. */
import { CapabilityError } from "../../schemas/error/mod.ts"
import type { FunctionType, ResourceType, ValueType } from "../../schemas/wit/model.ts"
import type { Awaitable } from "../port/mod.ts"
import type { CallContext, HostExport, HostFunction, HostInterface, HostResource } from "./capability.ts"

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

const isPromise = (answer: unknown): answer is Promise<unknown> =>
  typeof answer === "object" && answer !== null && typeof (answer as { then?: unknown }).then === "function"

/** What `next` makes of a port's answer: at once when it is there, else when it comes. The guest waits where it can; elsewhere the host call is refused. */
export const after = <A, B>(answer: Awaitable<A>, next: (answer: A) => Awaitable<B>): Awaitable<B> => (isPromise(answer) ? answer.then(next) : next(answer))

/** `after`, for a port that may refuse what it is asked, now or later: `refused` makes an answer of that, or throws. */
export function attempt<A, B>(ask: () => Awaitable<A>, next: (answer: A) => Awaitable<B>, refused: (error: unknown) => B): Awaitable<B> {
  let answer: Awaitable<A>
  try {
    answer = ask()
  } catch (error) {
    return refused(error)
  }
  return isPromise(answer) ? answer.then(next, refused) : next(answer)
}

/**
 * `step` for each item in turn, until one answers with something; `end` when none did. What waits goes on only while its
 * call does: nothing is done for a guest that is gone.
 */
export function each<A, B>(call: CallContext, items: ReadonlyArray<A>, step: (item: A) => Awaitable<B | undefined>, end: () => B): Awaitable<B> {
  for (let i = 0; i < items.length; i++) {
    const answer = step(items[i] as A)
    if (isPromise(answer)) return rest(answer, call.ended(), items.slice(i + 1), step, end)
    if (answer !== undefined) return answer
  }
  return end()
}

async function rest<A, B>(
  first: Promise<B | undefined>,
  ended: AbortSignal,
  items: ReadonlyArray<A>,
  step: (item: A) => Awaitable<B | undefined>,
  end: () => B,
): Promise<B> {
  let answer = await first
  for (const item of items) {
    if (answer !== undefined || ended.aborted) break
    answer = await step(item)
  }
  return answer ?? end()
}

/** A host function written for `flow`: it yields what it waits for. */
export type Steps<A> = Generator<Promise<unknown>, A, unknown>

/** Inside `flow`: `const value = yield* wait(port.get(key))`. */
export function* wait<A>(answer: Awaitable<A>): Steps<A> {
  return isPromise(answer) ? ((yield answer) as A) : answer
}

/**
 * A host function written as if every port answered at once: it does answer at once when they all do, and with a promise
 * when one does not. Once the call is over it goes no further; what it has in `finally` still runs.
 */
export const flow =
  <A extends ReadonlyArray<never>, R>(body: (call: CallContext, ...args: A) => Steps<R>) =>
  (call: CallContext, ...args: A): Awaitable<R> => {
    const run = body(call, ...args)
    const step = run.next()
    return step.done === true ? step.value : goOn(run, step.value, call.ended())
  }

async function goOn<R>(run: Steps<R>, first: Promise<unknown>, ended: AbortSignal): Promise<R> {
  for (let answer = first; ;) {
    let step: IteratorResult<Promise<unknown>, R>
    try {
      const value: unknown = await answer
      if (ended.aborted) run.return(undefined as R)
      ended.throwIfAborted()
      step = run.next(value)
    } catch (error) {
      step = run.throw(error)
    }
    if (step.done === true) return step.value
    answer = step.value
  }
}

/** A function of an interface: its type and implementation. */
export const serve = (type: FunctionType, call: HostFunction, waits?: HostExport["waits"]): HostExport =>
  waits === undefined ? { type, call } : { type, call, waits }

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
