/** Blocks of the kernel's memory, as the host reads and makes them. An offset of the plugin is a handle or refused. */
import { ExtismError } from "../../../schemas/error/extism.ts"
import { LimitError } from "../../../schemas/error/limit.ts"
import { type AbiContext, AbiTrap, refreshViews } from "../../abi/context.ts"
import { charge, checkRange } from "../../abi/memory.ts"
import type { CoreValue } from "../../abi/number.ts"
import type { CallContext } from "../../capability/capability.ts"
import { hostFunction } from "./kernel.ts"

type Kernel = (...args: ReadonlyArray<CoreValue>) => CoreValue

/** Asks the kernel, whose headers the plugin may have written: it may walk until it is stopped, or trap. */
export function ask(cx: AbiContext, name: keyof typeof hostFunction, ...args: ReadonlyArray<CoreValue>): CoreValue {
  try {
    return (cx.functions[hostFunction[name]] as Kernel)(...args)
  } catch {
    cx.budget.checkStop()
    throw new AbiTrap("the plugin overwrote the headers of its blocks")
  }
}

/** A copy of the bytes of a block. A block of no bytes does not exist. */
export function readBlock(cx: AbiContext, handle: CoreValue | undefined, from: string): Uint8Array {
  const offset = handle as bigint
  const size = Number(ask(cx, "length", offset))
  if (size === 0) throw new ExtismError("Handle", { function: from, offset: BigInt.asUintN(64, offset) })
  const at = Number(offset)
  // The plugin may have written any size into the block's header.
  checkRange(cx, at, size, 1)
  charge(cx, size)
  return cx.u8.slice(at, at + size)
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true })

/** A block as text that names something. */
export function readName(cx: AbiContext, handle: CoreValue | undefined, from: string): string {
  const bytes = readBlock(cx, handle, from)
  try {
    return strict.decode(bytes)
  } catch {
    throw new ExtismError("Text", { function: from })
  }
}

/** A block as text to be shown; what is no UTF-8 becomes U+FFFD. */
export const readText = (cx: AbiContext, handle: CoreValue | undefined, from: string): string => decoder.decode(readBlock(cx, handle, from))

/** A range that the kernel keeps, as text to be shown. */
export const decodeText = (bytes: Uint8Array): string => decoder.decode(bytes)

/** The handle of a new block; 0 for no bytes, since a block of none does not exist. */
export function writeBlock(call: CallContext, cx: AbiContext, bytes: Uint8Array): bigint {
  if (bytes.length === 0) return 0n
  const handle = ask(cx, "alloc", BigInt(bytes.length)) as bigint
  if (handle === 0n) throw new LimitError("memoryBytesMax", { limit: call.limits.memoryBytesMax })
  refreshViews(cx)
  const at = Number(handle)
  // A header that the plugin wrote may have been taken for a free block anywhere.
  checkRange(cx, at, bytes.length, 1)
  cx.budget.bytesIn += bytes.length
  cx.u8.set(bytes, at)
  return handle
}

const encoder = new TextEncoder()
export const writeText = (call: CallContext, cx: AbiContext, text: string): bigint => writeBlock(call, cx, encoder.encode(text))
