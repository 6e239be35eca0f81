/** Work over a store that is written once for callers who wait and for callers who block: it says what it asks of the store, step by step. */
import type { Answers, BatchResults, Operation, Question, Store } from "../../port/store.ts"

export type Step = { readonly ask: Question } | { readonly apply: ReadonlyArray<Operation> }
export type Steps<A> = Generator<Step, A, unknown>

export function* ask<const Q extends Question>(question: Q): Steps<Answers[Q["ask"]]> {
  return (yield { ask: question }) as Answers[Q["ask"]]
}

export function* apply<const B extends ReadonlyArray<Operation>>(batch: B): Steps<BatchResults<B>> {
  return (yield { apply: batch }) as BatchResults<B>
}

export function runSync<A>(store: Store, steps: Steps<A>): A {
  let next = steps.next()
  while (next.done !== true) {
    let answer: unknown
    try {
      answer = "ask" in next.value ? store.askSync(next.value.ask) : store.applySync(next.value.apply)
    } catch (error) {
      next = steps.throw(error)
      continue
    }
    next = steps.next(answer)
  }
  return next.value
}

/** Begins at once: what is done before the first step is done when this returns. */
export async function run<A>(store: Store, steps: Steps<A>): Promise<A> {
  let next = steps.next()
  while (next.done !== true) {
    let answer: unknown
    try {
      answer = await ("ask" in next.value ? store.ask(next.value.ask) : store.apply(next.value.apply))
    } catch (error) {
      next = steps.throw(error)
      continue
    }
    next = steps.next(answer)
  }
  return next.value
}
