/** Which functions of an asynchronous component may have to wait on a stack, decided once for a plugin. */
import { AsyncError } from "../../schemas/error/async.ts"
import { type CoreSignature, flattenImport } from "../../schemas/wit/layout.ts"
import type { exportParts } from "../abi/bind.ts"
import { shimModule, waitName } from "../call/shim.ts"
import { type Plan, tickSignature, type Waiting } from "../call/waiting.ts"
import type { Blueprint, FunctionSource } from "../component/blueprint.ts"
import type { LinkedFunction } from "../link/link.ts"
import { AsyncInstance } from "./instance.ts"

export interface AsyncPlan extends Plan {
  /** By component instance: its code may have to be suspended, so it is entered on a stack of its own. */
  readonly suspends: ReadonlyArray<boolean>
  /** Of each lift, made when it is first called. */
  readonly parts: Array<ReturnType<typeof exportParts> | undefined>
}

/** Built-ins that wait for an event. `waitable-set.poll` and asynchronous forms never do. */
const waiting = new Set([
  "waitable-set.wait",
  "thread.yield",
  "subtask.cancel",
  "stream.read",
  "stream.write",
  "stream.cancel-read",
  "stream.cancel-write",
  "future.read",
  "future.write",
  "future.cancel-read",
  "future.cancel-write",
])

export const importName = (source: FunctionSource & { readonly kind: "import" }): string =>
  source.interface === undefined ? source.name : `${source.interface}#${source.name}`

/** @throws AsyncError `NoSuspension` for what this engine cannot run */
export function planAsync(blueprint: Blueprint, functions: ReadonlyMap<string, LinkedFunction>, yields: boolean, canSuspend: boolean): Waiting {
  const { builtins = [], contexts, lifts, lowerings } = blueprint
  const ownerOf = (context: number): number => (contexts[context] as { owner: number }).owner
  const stackful = lifts.findIndex(({ isAsync, callback }) => isAsync === true && callback === undefined)
  if (stackful >= 0 && !canSuspend)
    throw new AsyncError("NoSuspension", { asked: "an asynchronous lift without a callback", exists: ["lifts with a callback"] })
  const suspends = Array.from({ length: blueprint.componentInstances }, () => yields)
  const waitingBuiltins = builtins.flatMap(({ name, isAsync }, i) => (waiting.has(name) && isAsync !== true ? [i] : []))
  for (const i of waitingBuiltins) suspends[(builtins[i] as { owner: number }).owner] = true
  // A component that holds callers back makes them wait, too.
  const holdsBack = new Set(builtins.filter(({ name }) => name.startsWith("backpressure.")).map(({ owner }) => owner))
  const calleeWaits = (lift: number): boolean => {
    const { isAsync, context } = lifts[lift] as (typeof lifts)[number]
    return isAsync === true || suspends[ownerOf(context)] === true || holdsBack.has(ownerOf(context))
  }
  const waits = ({ isAsync, source }: (typeof lowerings)[number]): boolean =>
    isAsync !== true && (source.kind === "lift" ? calleeWaits(source.lift) : functions.get(importName(source))?.waits === true)
  for (let isChanged = true; isChanged;) {
    isChanged = false
    for (const lowering of lowerings) {
      const owner = ownerOf(lowering.context)
      if (suspends[owner] === true || !waits(lowering)) continue
      suspends[owner] = isChanged = true
    }
  }
  const waitingLowerings = lowerings.flatMap((lowering, i) => (waits(lowering) ? [i] : []))
  const shims = new Map<string, CoreSignature>()
  for (const i of waitingLowerings) shims.set(`f${i}`, flattenImport((lowerings[i] as { type: Parameters<typeof flattenImport>[0] }).type))
  for (const i of waitingBuiltins) shims.set(`b${i}`, (builtins[i] as { signature: CoreSignature }).signature)
  if (yields) shims.set("tick", tickSignature)
  const plan: AsyncPlan = {
    shim: canSuspend && shims.size > 0 ? shimModule(shims) : undefined,
    waitNames: [...new Set([...shims.values()].map(waitName))],
    lowerings: waitingLowerings,
    raws: [],
    builtins: waitingBuiltins,
    yields,
    halves: [],
    stacks: { count: 0 },
    parts: [],
    suspends: canSuspend ? suspends : suspends.map(() => false),
  }
  return { create: (linked) => new AsyncInstance(linked, plan), how: yields ? "yield" : plan.suspends.includes(true) || stackful >= 0 ? "suspension" : "tasks" }
}
