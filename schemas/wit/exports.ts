/**
 * How the `.d.ts` that `stele types` writes makes calls typed: `host.load<Exports>(…)` gives a plugin whose `call`
 * accepts only the component's export names, with their arguments and answers.
 *
 * ```ts
 * import type { Exports } from "./greeter.d.ts"
 * const plugin = await host.load<Exports>("./greeter.wasm")
 * const reply = await plugin.call("acme:greeter/api#greet", [{ name: "Ada" }])
 * ```
 *
 * Types only: this file has no code.
 */

/** What a plugin loaded without a declared type exports: any name, any arguments. */
export interface UntypedExports {
  readonly [name: string]: (...args: Array<unknown>) => unknown
}

/** The export names of `E`: `interface#function`, or a function's own name when the world exports it directly. */
export type ExportName<E extends object> = keyof E & string

/** The arguments of an export, as a tuple. */
export type Arguments<E extends object, K extends ExportName<E>> = E[K] extends (...args: infer A) => unknown ? Readonly<A> : never

/** What a call of an export answers: the ok payload of its outermost `result`. */
export type AnswerOf<E extends object, K extends ExportName<E>> = E[K] extends (...args: Array<never>) => infer R ? R : never
