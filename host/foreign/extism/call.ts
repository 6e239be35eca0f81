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
function answer(cx: AbiContext, code: number | undefined, errorSize: number): unknown {
  const { budget } = cx
  budget.scope = "outputBytesMax"
  budget.scopeBytesLeft = budget.outputBytesMax
  if (errorSize > 0) return { tag: "err", val: decodeText(read(cx, sizeOf(cx, "errorAt"), errorSize)) }
  if (code !== undefined && code !== 0) return { tag: "err", val: `the function answered with code ${code}` }
  return { tag: "ok", val: read(cx, sizeOf(cx, "outputAt"), sizeOf(cx, "outputSize")) }
}

function returned(cx: AbiContext, code: number | undefined): unknown {
  refreshViews(cx)
  return answer(cx, code, sizeOf(cx, "errorSize"))
}

/**
 * After an exit nothing stops a guest any more, so the kernel is not asked to walk headers that the plugin may have
 * written: the one before the error is read here.
 */
function exited(cx: AbiContext): unknown {
  refreshViews(cx)
  const at = sizeOf(cx, "errorAt")
  const header = at - 12
  const isBlock = at > 0 && cx.u8[header] === 1
  return answer(cx, 0, isBlock ? new DataView(cx.u8.buffer).getUint32(header + 8, true) : 0)
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
      call: (cx, core, _postReturn, args) => returned(cx, begin(cx, core, args) as number | undefined),
      halves: { begin, finish: (cx, code) => returned(cx, code as number | undefined) },
      exited,
    }
  }
