/**
 * Host functions that the embedder registers, `(bytes) → bytes`: what a plugin imports from `extism:host/user`, or from any
 * other name that is no ABI's. Each needs its grant: `call:NAME`, or `call:MODULE#NAME` under another module's name.
 */
import { ExtismError } from "../../../schemas/error/extism.ts"
import type { CoreValue } from "../../abi/number.ts"
import { call as callCapability } from "../../capability/call.ts"
import type { CallContext, HostFunction } from "../../capability/capability.ts"
import { printable } from "../../../schemas/wit/name.ts"
import type { CoreFunctionType, CoreValueType } from "../../../schemas/wasm/core-module.ts"
import type { AbiContext } from "../../abi/context.ts"
import { func, type FunctionType, list, primitive, type ValueType } from "../../../schemas/wit/model.ts"
import { describe } from "../../../schemas/value/form.ts"
import { isMarked, waitOf } from "../../link/waits.ts"
import type { Outside, RawImport } from "../raw.ts"
import { userModule } from "./names.ts"
import { readBlock, writeBlock, writeText } from "./block.ts"

const numbers: ReadonlySet<CoreValueType> = new Set(["i32", "i64", "f32", "f64"])
const none = new Uint8Array(0)

/** `undefined` where the signature is none that a host function can have, or the name none that can be shown as it is. */
export function userFunction(module: string, name: string, type: CoreFunctionType): RawImport | undefined {
  const full = `${module}#${name}`
  if (type.results.length > 1 || ![...type.params, ...type.results].every((each) => numbers.has(each))) return undefined
  if (printable(full) !== full) return undefined
  const scope = module === userModule ? name : full
  const grant = `call:${scope}`
  const { params } = type
  const result = type.results[0]
  return {
    module,
    name,
    type,
    memory: "abi",
    isProvided: true,
    grant: { text: grant, risk: callCapability.risk, heads: ["call"], name: scope },
    call: (call, cx, args, provided) => {
      const granted = call.grants.match("call", scope)
      if (granted === undefined) throw call.denied(grant)
      const plain = numeric.has(provided as object)
      const values = args.map((arg, i) => {
        if (params[i] !== "i64" || plain) return arg
        // No block: Extism's null.
        return arg === 0n ? none : readBlock(cx, arg, full)
      })
      const answer = ask(call, granted, provided, values)
      const lower = (value: unknown): CoreValue | undefined => lowerAnswer(call, cx, value, result, plain, full)
      // Where a call cannot wait, whoever called refuses the promise.
      return isThenable(answer) ? Promise.resolve(answer).then((value) => () => lower(value)) : lower(answer)
    },
    outside: outsideOf(type, scope, full),
  }
}

/** Calls the embedder's function, and counts the bytes that it is given. */
function ask(call: CallContext, granted: string, provided: HostFunction | undefined, values: ReadonlyArray<unknown>): unknown {
  let moved = 0
  for (const value of values) if (value instanceof Uint8Array) moved += value.length
  call.used(granted, moved)
  const body = provided as unknown as (...values: ReadonlyArray<unknown>) => unknown
  return isMarked(body) ? body(waitOf(call), ...values) : body(...values)
}

const { f32, f64, s32, s64, u8 } = primitive

function outsideOf({ params, results }: CoreFunctionType, scope: string, full: string): Outside {
  const result = results[0]
  const crossing = (type: CoreValueType, numbers: boolean): ValueType =>
    type === "i64" ? (numbers ? s64 : list(u8)) : type === "i32" ? s32 : type === "f32" ? f32 : f64
  return {
    type: (numbers): FunctionType =>
      func(Object.fromEntries(params.map((type, i) => [`p${i}`, crossing(type, numbers)])), result === undefined ? undefined : crossing(result, numbers)),
    isOfNumbers: (provided) => provided !== undefined && numeric.has(provided),
    serve(call, provided, values) {
      const granted = call.grants.match("call", scope)
      if (granted === undefined) throw call.denied(`call:${scope}`)
      const numbers = this.isOfNumbers(provided)
      const answer = ask(call, granted, provided, values)
      const given = (value: unknown): unknown => crossingAnswer(checkAnswer(value, result, numbers, full))
      return isThenable(answer) ? Promise.resolve(answer).then(given) : given(answer)
    },
    stub(askParent, numbers) {
      const stub = ((...values: ReadonlyArray<unknown>) => askParent(values)) as HostFunction
      return numbers ? withNumbers(stub) : stub
    },
  }

  /** As its type has it: what a core value would be cut to, and no block as no bytes. */
  function crossingAnswer(value: Answer): unknown {
    if (result === "i32") return (value as number) | 0
    if (typeof value === "bigint") return BigInt.asIntN(64, value)
    if (result !== "i64") return value
    return value === undefined ? none : typeof value === "string" ? encoder.encode(value) : value
  }
}

const encoder = new TextEncoder()

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function"

type Answer = number | bigint | string | Uint8Array | undefined

/** What the embedder's function answered, if it is what its type allows. */
function checkAnswer(value: unknown, type: CoreValueType | undefined, numbers: boolean, name: string): Answer {
  if (type === undefined) return undefined
  const wrong = (expected: string): ExtismError => new ExtismError("Answer", { function: name, expected, actual: describe(value) })
  if (type !== "i64") {
    if (typeof value !== "number") throw wrong("a number")
    return value
  }
  if (numbers) {
    if (typeof value !== "bigint") throw wrong("a bigint")
    return value
  }
  if (value === undefined || value === null) return undefined
  if (typeof value === "string" || value instanceof Uint8Array) return value
  throw wrong("bytes, text or nothing")
}

function lowerAnswer(
  call: CallContext,
  cx: AbiContext,
  given: unknown,
  type: CoreValueType | undefined,
  numbers: boolean,
  name: string,
): CoreValue | undefined {
  const value = checkAnswer(given, type, numbers, name)
  if (type !== "i64" || numbers) return value as CoreValue | undefined
  if (value === undefined) return 0n
  return typeof value === "string" ? writeText(call, cx, value) : writeBlock(call, cx, value as Uint8Array)
}

const numeric = new WeakSet<object>()

/** Marks a host function whose `i64` are numbers, not blocks: it gets and gives bigints. */
export function withNumbers<F extends (...args: ReadonlyArray<never>) => unknown>(call: F): F {
  numeric.add(call)
  return call
}
