/**
 * `canon lift` and `canon lower` of whole functions (CanonicalABI.md "Canonical Definitions"), between the host and one
 * core function. Everything that depends on the type is decided here, once; a call walks arrays of closures.
 */
import { WitError } from "../../schemas/error/wit.ts"
import { type CoreSignature, flatParamsMax, flatResultsMax, flattenExport, flattenImport, layoutOf, paramsLayout } from "../../schemas/wit/layout.ts"
import type { FunctionType, ValueType } from "../../schemas/wit/model.ts"
import { anywhere } from "../../schemas/wit/tree.ts"
import { type Flat, type Lift, liftOf, type Load, loadOf, type Lower, lowerOf, type Store, storeOf } from "./codec.ts"
import { type AbiContext, AbiTrap, type CallBudget, refreshViews, type StringEncoding } from "./context.ts"
import { allocate, charge, checkRange } from "./memory.ts"
import { typed } from "./mismatch.ts"
import type { CoreValue } from "./number.ts"

/** A core function as JavaScript calls it and is called by it. */
export type CoreFunction = (...args: ReadonlyArray<CoreValue>) => unknown

/** One lifted function: what the linker needs to type-check and call it. */
export interface ExportBinding {
  readonly signature: CoreSignature
  /**
   * Lowers `args` (checked as they are read), enters the guest, lifts the result, runs `postReturn`. The result's
   * outermost `result` stays `{tag,val}`.
   *
   * Throws `WitError` (`ArgumentCount`; `Value` with a path from `args[i]`), `LimitError` (`liftBytesMax`,
   * `outputBytesMax`), `AbiTrap`, what `budget.checkStop` throws, or what the guest throws. After any of them the
   * instance must be discarded, except after a `WitError` while `cx.instance.isTouched` is false.
   */
  readonly call: (cx: AbiContext, core: CoreFunction, postReturn: CoreFunction | undefined, args: ReadonlyArray<unknown>) => unknown
  /** What the call has answered when its program ended by exit code 0, of an ABI whose answers do not come by returning. */
  readonly exited?: (cx: AbiContext) => unknown
  /** A foreign ABI's `call` in two halves, for a guest that may be suspended between them. The canonical ABI's are made in `host/call/waiting.ts`. */
  readonly halves?: ExportHalves
}

export interface ExportHalves {
  /** Lowers `args` and calls `core`; answers what that answers, a promise included. */
  readonly begin: (cx: AbiContext, core: CoreFunction, args: ReadonlyArray<unknown>) => unknown
  /** Lifts the result from what the core function returned, and runs `postReturn`. */
  readonly finish: (cx: AbiContext, returned: CoreValue, postReturn: CoreFunction | undefined) => unknown
}

/** Makes the core function that a guest imports; `host` gets lifted arguments and returns the host form of the result. */
export type ImportBinding = (cx: AbiContext, host: (args: ReadonlyArray<unknown>) => unknown) => CoreFunction

/** How the parameters travel: as core values, or stored in one block whose address is the only core value. */
interface Params<OnFlat, OnMemory> {
  readonly count: number
  readonly size: number
  readonly align: number
  readonly isFlat: boolean
  readonly flat: ReadonlyArray<OnFlat>
  readonly memory: ReadonlyArray<OnMemory>
  /** Per parameter: index of its first core value, or its offset in the block. */
  readonly places: ReadonlyArray<number>
  /** Core values in all. */
  readonly flatCount: number
}

function paramsOf<F, M>(
  type: FunctionType,
  encoding: StringEncoding,
  flat: (type: ValueType, encoding: StringEncoding) => F,
  memory: (type: ValueType, encoding: StringEncoding) => M,
  flatMax = flatParamsMax,
): Params<F, M> {
  const types = type.params.map((param) => param.type)
  const layout = paramsLayout(type)
  const { size, align } = layout
  const isFlat = layout.flat !== undefined && layout.flat.length <= flatMax
  let flatCount = 0
  const froms = types.map((one) => {
    const from = flatCount
    flatCount += layoutOf(one).flat?.length ?? 0
    return from
  })
  return {
    count: types.length,
    size,
    align,
    isFlat,
    flat: isFlat ? types.map((one) => flat(one, encoding)) : [],
    memory: isFlat ? [] : types.map((one) => memory(one, encoding)),
    places: isFlat ? froms : layout.offsets,
    flatCount: isFlat ? flatCount : 1,
  }
}

const isFlatResult = (type: ValueType): boolean => {
  const { flat } = layoutOf(type)
  return flat !== undefined && flat.length <= flatResultsMax
}

const hasBorrow = anywhere((type) => type.kind === "borrow")

/** Calls a core function with the values of an array: V8 passes spelt-out arguments without an adaptor or a spread. */
const invokers: ReadonlyArray<(core: CoreFunction, f: Flat) => unknown> = [
  (core) => core(),
  (core, f) => core(f[0]!),
  (core, f) => core(f[0]!, f[1]!),
  (core, f) => core(f[0]!, f[1]!, f[2]!),
  (core, f) => core(f[0]!, f[1]!, f[2]!, f[3]!),
  (core, f) => core(f[0]!, f[1]!, f[2]!, f[3]!, f[4]!),
  (core, f) => core(f[0]!, f[1]!, f[2]!, f[3]!, f[4]!, f[5]!),
  (core, f) => core(f[0]!, f[1]!, f[2]!, f[3]!, f[4]!, f[5]!, f[6]!),
  (core, f) => core(f[0]!, f[1]!, f[2]!, f[3]!, f[4]!, f[5]!, f[6]!, f[7]!),
  (core, f) => core(f[0]!, f[1]!, f[2]!, f[3]!, f[4]!, f[5]!, f[6]!, f[7]!, f[8]!),
  (core, f) => core(f[0]!, f[1]!, f[2]!, f[3]!, f[4]!, f[5]!, f[6]!, f[7]!, f[8]!, f[9]!),
  (core, f) => core(f[0]!, f[1]!, f[2]!, f[3]!, f[4]!, f[5]!, f[6]!, f[7]!, f[8]!, f[9]!, f[10]!),
  (core, f) => core(f[0]!, f[1]!, f[2]!, f[3]!, f[4]!, f[5]!, f[6]!, f[7]!, f[8]!, f[9]!, f[10]!, f[11]!),
  (core, f) => core(f[0]!, f[1]!, f[2]!, f[3]!, f[4]!, f[5]!, f[6]!, f[7]!, f[8]!, f[9]!, f[10]!, f[11]!, f[12]!),
  (core, f) => core(f[0]!, f[1]!, f[2]!, f[3]!, f[4]!, f[5]!, f[6]!, f[7]!, f[8]!, f[9]!, f[10]!, f[11]!, f[12]!, f[13]!),
  (core, f) => core(f[0]!, f[1]!, f[2]!, f[3]!, f[4]!, f[5]!, f[6]!, f[7]!, f[8]!, f[9]!, f[10]!, f[11]!, f[12]!, f[13]!, f[14]!),
  (core, f) => core(f[0]!, f[1]!, f[2]!, f[3]!, f[4]!, f[5]!, f[6]!, f[7]!, f[8]!, f[9]!, f[10]!, f[11]!, f[12]!, f[13]!, f[14]!, f[15]!),
]

/** Makes a core function of exact arity from one that takes an array: an engine calls an import of matching arity directly. */
type Receive = (flat: Flat) => CoreValue | undefined
const receivers: ReadonlyArray<(receive: Receive) => CoreFunction> = [
  (r) => () => r([]),
  (r) => (a) => r([a!]),
  (r) => (a, b) => r([a!, b!]),
  (r) => (a, b, c) => r([a!, b!, c!]),
  (r) => (a, b, c, d) => r([a!, b!, c!, d!]),
  (r) => (a, b, c, d, e) => r([a!, b!, c!, d!, e!]),
  (r) => (a, b, c, d, e, f) => r([a!, b!, c!, d!, e!, f!]),
]
const receiveAny =
  (receive: Receive): CoreFunction =>
  (...flat) =>
    receive(flat as Flat)

/** What a binding of an exported function is made of. */
export function exportParts(type: FunctionType, encoding: StringEncoding) {
  const params = paramsOf<Lower, Store>(type, encoding, lowerOf, storeOf)
  return {
    count: params.count,
    scoped: type.params.some((param) => hasBorrow(param.type)),
    lower: params.isFlat ? lowerFlat(params) : lowerToMemory(params),
    invoke: invokers[params.flatCount] as (core: CoreFunction, flat: Flat) => unknown,
    liftResult: resultLifter(type.result, encoding),
  }
}

/** Binds an exported function (`canon lift`): build once per (type, encoding), call with any instance's context. */
export function bindExport(type: FunctionType, encoding: StringEncoding, name: string): ExportBinding {
  const { count, scoped, lower, invoke, liftResult } = exportParts(type, encoding)

  const call: ExportBinding["call"] = (cx, core, postReturn, args) => {
    if (args.length !== count) throw new WitError("ArgumentCount", { export: name, expected: count, actual: args.length })
    const { instance, handles } = cx
    instance.isTouched = false
    refreshViews(cx)
    if (scoped) handles.beginScope()
    let flat: Flat
    try {
      flat = lower(cx, args)
    } catch (error) {
      if (scoped && !instance.isTouched) handles.endScope()
      throw error
    }
    instance.isTouched = true
    const returned = invoke(core, flat) as CoreValue
    refreshViews(cx)
    const result = liftResult === undefined ? undefined : liftResult(cx, returned)
    if (postReturn !== undefined) {
      instance.mayLeave = false
      if (liftResult === undefined) postReturn()
      else postReturn(returned)
      instance.mayLeave = true
    }
    if (scoped) handles.endScope()
    return result
  }
  return { signature: flattenExport(type), call }
}

function lowerFlat({ count, flat: lowers, places, flatCount, size }: Params<Lower, Store>): (cx: AbiContext, args: ReadonlyArray<unknown>) => Flat {
  return (cx, args) => {
    const flat = new Array<CoreValue>(flatCount)
    cx.budget.bytesIn += size
    let i = 0
    try {
      for (; i < count; i++) (lowers[i] as Lower)(cx, args[i], flat, places[i] as number)
    } catch (error) {
      throw typed(error, `args[${i}]`)
    }
    return flat
  }
}

function lowerToMemory({ count, memory: stores, places, size, align }: Params<Lower, Store>): (cx: AbiContext, args: ReadonlyArray<unknown>) => Flat {
  return (cx, args) => {
    const at = allocate(cx, align, size)
    let i = 0
    try {
      for (; i < count; i++) (stores[i] as Store)(cx, args[i], at + (places[i] as number))
    } catch (error) {
      throw typed(error, `args[${i}]`)
    }
    return [at]
  }
}

function resultLifter(type: ValueType | undefined, encoding: StringEncoding): ((cx: AbiContext, returned: CoreValue) => unknown) | undefined {
  if (type === undefined) return undefined
  const { size, align } = layoutOf(type)
  if (isFlatResult(type)) {
    const lift: Lift = liftOf(type, encoding)
    return (cx, returned) => {
      beginScope(cx, "outputBytesMax")
      charge(cx, size)
      return lift(cx, [returned], 0)
    }
  }
  const load: Load = loadOf(type, encoding)
  return (cx, returned) => {
    const at = (returned as number) >>> 0
    checkRange(cx, at, size, align)
    beginScope(cx, "outputBytesMax")
    charge(cx, size)
    return load(cx, at)
  }
}

export function beginScope({ budget }: AbiContext, scope: CallBudget["scope"]): void {
  budget.scope = scope
  budget.scopeBytesLeft = budget[scope]
}

/** How parameters are lifted that travel as at most `flatMax` core values, and how many core values they are. */
export function importParams(type: FunctionType, encoding: StringEncoding, flatMax: number) {
  const params = paramsOf<Lift, Load>(type, encoding, liftOf, loadOf, flatMax)
  return { lift: params.isFlat ? liftFlat(params) : liftFromMemory(params), flatCount: params.flatCount }
}

/** What a binding of an imported function is made of. */
export function importParts(type: FunctionType, encoding: StringEncoding) {
  const params = paramsOf<Lift, Load>(type, encoding, liftOf, loadOf)
  return {
    scoped: type.params.some((param) => hasBorrow(param.type)),
    lift: params.isFlat ? liftFlat(params) : liftFromMemory(params),
    lower: resultLowerer(type.result, encoding, params.flatCount),
    receiver: receivers[flattenImport(type).params.length] ?? receiveAny,
  }
}

/**
 * Binds an imported function (`canon lower`). The core function never throws into the guest, whose `catch_all` would
 * swallow it: every failure, the host's included, goes through `cx.budget.fail`. It reads memory and realloc through
 * `cx` on each call, so it may be made before `attachMemory`.
 */
export function bindImport(type: FunctionType, encoding: StringEncoding, name: string): ImportBinding {
  const { scoped, lift, lower, receiver } = importParts(type, encoding)
  return (cx, host) =>
    receiver((flat) => {
      try {
        if (!cx.instance.mayLeave) throw new AbiTrap(`the guest called "${name}" from realloc, post-return or a destructor`)
        refreshViews(cx)
        if (scoped) cx.handles.beginScope()
        beginScope(cx, "hostCallBytesMax")
        const result = host(lift(cx, flat))
        refreshViews(cx)
        const returned = lower(cx, result, flat)
        if (scoped) cx.handles.endScope()
        return returned
      } catch (error) {
        return cx.budget.fail(typed(error, "result"))
      }
    })
}

function liftFlat({ count, flat: lifts, places, size }: Params<Lift, Load>): (cx: AbiContext, flat: Flat) => ReadonlyArray<unknown> {
  return (cx, flat) => {
    charge(cx, size)
    const args = new Array<unknown>(count)
    for (let i = 0; i < count; i++) args[i] = (lifts[i] as Lift)(cx, flat, places[i] as number)
    return args
  }
}

function liftFromMemory({ count, memory: loads, places, size, align }: Params<Lift, Load>): (cx: AbiContext, flat: Flat) => ReadonlyArray<unknown> {
  return (cx, flat) => {
    const at = (flat[0] as number) >>> 0
    checkRange(cx, at, size, align)
    charge(cx, size)
    const args = new Array<unknown>(count)
    for (let i = 0; i < count; i++) args[i] = (loads[i] as Load)(cx, at + (places[i] as number))
    return args
  }
}

function resultLowerer(
  type: ValueType | undefined,
  encoding: StringEncoding,
  pointerAt: number,
): (cx: AbiContext, result: unknown, flat: Flat) => CoreValue | undefined {
  if (type === undefined) return () => undefined
  const { size, align } = layoutOf(type)
  if (isFlatResult(type)) {
    const lower = lowerOf(type, encoding)
    return (cx, result, flat) => {
      cx.budget.bytesIn += size
      lower(cx, result, flat, 0)
      return flat[0]
    }
  }
  const store = storeOf(type, encoding)
  return (cx, result, flat) => {
    const at = (flat[pointerAt] as number) >>> 0
    checkRange(cx, at, size, align)
    cx.budget.bytesIn += size
    store(cx, result, at)
    return undefined
  }
}
