/**
 * Host functions that the embedder registers, `(bytes) → bytes`: what a plugin imports from `extism:host/user`, or from any
 * other name that is no ABI's. Each needs its grant: `call:NAME`, or `call:MODULE#NAME` under another module's name.
 */
import { ExtismError } from "../../../schemas/error/extism.ts"
import type { CoreValue } from "../../abi/number.ts"
import { call as callCapability } from "../../capability/call.ts"
import type { CallContext } from "../../capability/capability.ts"
import { printable } from "../../component/name.ts"
import type { CoreFunctionType, CoreValueType } from "../../harden/core-module.ts"
import type { AbiContext } from "../../abi/context.ts"
import { describe } from "../../../schemas/value/form.ts"
import { isMarked, waitOf } from "../../link/waits.ts"
import type { RawImport } from "../raw.ts"
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
      let moved = 0
      const values = args.map((arg, i) => {
        if (params[i] !== "i64" || plain) return arg
        // No block: Extism's null.
        const bytes = arg === 0n ? none : readBlock(cx, arg, full)
        moved += bytes.length
        return bytes
      })
      call.used(granted, moved)
      const body = provided as unknown as (...values: ReadonlyArray<unknown>) => unknown
      const answer = isMarked(body) ? body(waitOf(call), ...values) : body(...values)
      const lower = (value: unknown): CoreValue | undefined => lowerAnswer(call, cx, value, result, plain, full)
      // Where a call cannot wait, whoever called refuses the promise.
      return isThenable(answer) ? Promise.resolve(answer).then((value) => () => lower(value)) : lower(answer)
    },
  }
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function"

function lowerAnswer(call: CallContext, cx: AbiContext, value: unknown, type: CoreValueType | undefined, plain: boolean, name: string): CoreValue | undefined {
  if (type === undefined) return undefined
  const wrong = (expected: string): ExtismError => new ExtismError("Answer", { function: name, expected, actual: describe(value) })
  if (type !== "i64") {
    if (typeof value !== "number") throw wrong("a number")
    return value
  }
  if (plain) {
    if (typeof value !== "bigint") throw wrong("a bigint")
    return value
  }
  if (value === undefined || value === null) return 0n
  if (typeof value === "string") return writeText(call, cx, value)
  if (value instanceof Uint8Array) return writeBlock(call, cx, value)
  throw wrong("bytes, text or nothing")
}

const numeric = new WeakSet<object>()

/** Marks a host function whose `i64` are numbers, not blocks: it gets and gives bigints. */
export function withNumbers<F extends (...args: ReadonlyArray<never>) => unknown>(call: F): F {
  numeric.add(call)
  return call
}
