/** Work over a store that is written once for callers who wait and for callers who block: it says what it asks of the store, step by step. */
import type { BlockingObjectStore, Digest, ObjectStore } from "../../port/object.ts"
import type { Answers, BatchResults, Operation, Question, Store } from "../../port/store.ts"

/** A piece of an object; undefined for one that is not there. */
interface ReadStep {
  readonly read: readonly [digest: Digest, start: number, end: number]
}
export type Step =
  | { readonly ask: Question }
  | { readonly apply: ReadonlyArray<Operation> }
  | ReadStep
  /** What nobody blocks for. */
  | { readonly wait: () => Promise<unknown> }
export type Steps<A> = Generator<Step, A, unknown>

export function* ask<const Q extends Question>(question: Q): Steps<Answers[Q["ask"]]> {
  return (yield { ask: question }) as Answers[Q["ask"]]
}

export function* apply<const B extends ReadonlyArray<Operation>>(batch: B): Steps<BatchResults<B>> {
  return (yield { apply: batch }) as BatchResults<B>
}

export function* read(digest: Digest, start: number, end: number): Steps<Uint8Array | undefined> {
  return (yield { read: [digest, start, end] }) as Uint8Array | undefined
}

export function* wait<A>(work: () => Promise<A>): Steps<A> {
  return (yield { wait: work }) as A
}

function answerSync(store: Store, objects: BlockingObjectStore | undefined, step: Step): unknown {
  if ("ask" in step) return store.askSync(step.ask)
  if ("apply" in step) return store.applySync(step.apply)
  if ("read" in step && objects !== undefined) return objects.read(...step.read)
  throw new TypeError("Cannot block for what is only awaited")
}

export function runSync<A>(store: Store, steps: Steps<A>, objects?: BlockingObjectStore): A {
  let next = steps.next()
  while (next.done !== true) {
    let answer: unknown
    try {
      answer = answerSync(store, objects, next.value)
    } catch (error) {
      next = steps.throw(error)
      continue
    }
    next = steps.next(answer)
  }
  return next.value
}

function answer(store: Store, objects: Pick<ObjectStore, "read"> | undefined, step: Step): Promise<unknown> {
  if ("ask" in step) return store.ask(step.ask)
  if ("apply" in step) return store.apply(step.apply)
  if ("wait" in step) return step.wait()
  if (objects === undefined) throw new TypeError("Cannot read an object without a store of objects")
  return objects.read(...step.read)
}

/** Begins at once: what is done before the first step is done when this returns. */
export async function run<A>(store: Store, steps: Steps<A>, objects?: Pick<ObjectStore, "read">): Promise<A> {
  let next = steps.next()
  while (next.done !== true) {
    let found: unknown
    try {
      found = await answer(store, objects, next.value)
    } catch (error) {
      next = steps.throw(error)
      continue
    }
    next = steps.next(found)
  }
  return next.value
}

/** Hands on what work takes up on its way, as it comes; what it ends with is the generator's end. */
export async function* runPieces<A, P>(
  store: Store,
  objects: Pick<ObjectStore, "read">,
  make: (take: (piece: P) => void) => Steps<A>,
): AsyncGenerator<P, A, void> {
  const ready: Array<P> = []
  const steps = make((piece) => void ready.push(piece))
  let next = steps.next()
  for (;;) {
    yield* ready.splice(0)
    if (next.done === true) return next.value
    let found: unknown
    try {
      found = await answer(store, objects, next.value)
    } catch (error) {
      next = steps.throw(error)
      continue
    }
    next = steps.next(found)
  }
}
