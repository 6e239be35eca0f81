/** One call of a plugin's function: input copied in once, output copied out once, an error told apart from a trap. */
import { LimitError } from "../../../schemas/error/limit.ts"
import { WitError } from "../../../schemas/error/wit.ts"
import { func, list, primitive, result } from "../../../schemas/wit/model.ts"
import { lowerPairOf } from "../../abi/codec.ts"
import { type AbiContext, AbiTrap, refreshViews } from "../../abi/context.ts"
import { charge, checkRange } from "../../abi/memory.ts"
import { typed } from "../../abi/mismatch.ts"
import type { ExportBinding, ExportHalves } from "../../abi/bind.ts"
import type { Limits } from "../../options.ts"
import { decodeText } from "./block.ts"
import { hostFunction } from "./kernel.ts"

const bytes = list(primitive.u8)
export const pluginFunction = func({ input: bytes }, result(bytes, primitive.string))

const lowerInput = lowerPairOf(bytes, "utf8")

type Size = () => number
const sizeOf = (cx: AbiContext, name: keyof typeof hostFunction): number => (cx.functions[hostFunction[name]] as Size)() >>> 0

function read(cx: AbiContext, at: number, size: number): Uint8Array {
  checkRange(cx, at, size, 1)
  charge(cx, size)
  return cx.u8.slice(at, at + size)
}

/** What the plugin has left in the kernel: its error, else its output, unless its code says that it failed. */
function answer(cx: AbiContext, code: number | undefined): unknown {
  const { budget } = cx
  refreshViews(cx)
  budget.scope = "outputBytesMax"
  budget.scopeBytesLeft = budget.outputBytesMax
  const errorSize = sizeOf(cx, "errorSize")
  if (errorSize > 0) return { tag: "err", val: decodeText(read(cx, sizeOf(cx, "errorAt"), errorSize)) }
  if (code !== undefined && code !== 0) return { tag: "err", val: `the function answered with code ${code}` }
  return { tag: "ok", val: read(cx, sizeOf(cx, "outputAt"), sizeOf(cx, "outputSize")) }
}

export const bindFunction =
  ({ memoryBytesMax }: Limits) =>
  (name: string): ExportBinding => {
    const begin: ExportHalves["begin"] = (cx, core, args) => {
      if (args.length !== 1) throw new WitError("ArgumentCount", { export: name, expected: 1, actual: args.length })
      const { instance } = cx
      instance.isTouched = false
      refreshViews(cx)
      try {
        lowerInput(cx, args[0])
      } catch (error) {
        // The kernel has no block for it.
        if (error instanceof AbiTrap) throw new LimitError("memoryBytesMax", { limit: memoryBytesMax })
        throw typed(error, "args[0]")
      }
      instance.isTouched = true
      return core()
    }
    return {
      signature: { params: [], results: ["i32"] },
      call: (cx, core, _postReturn, args) => answer(cx, begin(cx, core, args) as number | undefined),
      halves: { begin, finish: (cx, code) => answer(cx, code as number | undefined) },
      exited: (cx) => answer(cx, 0),
    }
  }
