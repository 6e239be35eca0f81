/**
 * What the component format has for asynchronous components: their canonical functions, read and given their core
 * signatures. Loaded with the first component that shows one (`AsyncForm`).
 *
 * Source: component-model `design/mvp/Binary.md` (`canon`) and `CanonicalABI.md` (each built-in's validation, `flatten_functype`)
 * at the commit pinned in `schemas/wit/README.md`. Threads beyond `thread.yield` are refused by name.
 */
import { type CoreSignature, type FlatType, layoutOf, paramsLayout } from "../../schemas/wit/layout.ts"
import type { FunctionType, FutureType, StreamType, ValueType } from "../../schemas/wit/model.ts"
import { carriedOf } from "../../schemas/wit/tree.ts"
import type { BuiltinParts } from "../component/blueprint.ts"
import { type AsyncForms, type BuiltinSyntax, canonicalOptions, type CanonicalOptions, typeRef } from "../component/decode.ts"
import type { ComponentReader } from "../component/reader.ts"

/** CanonicalABI.md `MAX_FLAT_ASYNC_PARAMS`: an asynchronous lower passes more than these through memory. */
export const flatAsyncParamsMax = 4

const flatParams = (type: FunctionType, max: number): ReadonlyArray<FlatType> => {
  const { flat } = paramsLayout(type)
  return flat === undefined || flat.length > max ? ["i32"] : flat
}

const i32s = (count: number): ReadonlyArray<FlatType> => Array.from({ length: count }, () => "i32" as const)
const signature = (params: number, results: number): CoreSignature => ({ params: i32s(params), results: i32s(results) })

/** What a built-in's definition is followed by, and the signature of its core function. */
interface Form {
  readonly name: string
  readonly reads?: "type" | "type options" | "type async" | "async" | "cancellable memory" | "cancellable" | "options" | "slot" | "result"
  readonly signature?: CoreSignature
}

const ends = (kind: "stream" | "future", params: number): ReadonlyArray<Form> => [
  { name: `${kind}.new`, reads: "type", signature: { params: [], results: ["i64"] } },
  { name: `${kind}.read`, reads: "type options", signature: signature(params, 1) },
  { name: `${kind}.write`, reads: "type options", signature: signature(params, 1) },
  { name: `${kind}.cancel-read`, reads: "type async", signature: signature(1, 1) },
  { name: `${kind}.cancel-write`, reads: "type async", signature: signature(1, 1) },
  { name: `${kind}.drop-readable`, reads: "type", signature: signature(1, 0) },
  { name: `${kind}.drop-writable`, reads: "type", signature: signature(1, 0) },
]

/** By opcode. */
const forms = new Map<number, Form>([
  [0x05, { name: "task.cancel", signature: signature(0, 0) }],
  [0x06, { name: "subtask.cancel", reads: "async", signature: signature(1, 1) }],
  [0x08, { name: "backpressure.set", signature: signature(1, 0) }],
  [0x09, { name: "task.return", reads: "result" }],
  [0x0a, { name: "context.get", reads: "slot", signature: signature(0, 1) }],
  [0x0b, { name: "context.set", reads: "slot", signature: signature(1, 0) }],
  [0x0c, { name: "thread.yield", reads: "cancellable", signature: signature(0, 1) }],
  [0x0d, { name: "subtask.drop", signature: signature(1, 0) }],
  ...ends("stream", 3).map((form, i) => [0x0e + i, form] as const),
  ...ends("future", 2).map((form, i) => [0x15 + i, form] as const),
  [0x1c, { name: "error-context.new", reads: "options", signature: signature(2, 1) }],
  [0x1d, { name: "error-context.debug-message", reads: "options", signature: signature(2, 0) }],
  [0x1e, { name: "error-context.drop", signature: signature(1, 0) }],
  [0x1f, { name: "waitable-set.new", signature: signature(0, 1) }],
  [0x20, { name: "waitable-set.wait", reads: "cancellable memory", signature: signature(2, 1) }],
  [0x21, { name: "waitable-set.poll", reads: "cancellable memory", signature: signature(2, 1) }],
  [0x22, { name: "waitable-set.drop", signature: signature(1, 0) }],
  [0x23, { name: "waitable.join", signature: signature(2, 0) }],
  [0x24, { name: "backpressure.inc", signature: signature(0, 0) }],
  [0x25, { name: "backpressure.dec", signature: signature(0, 0) }],
])
const byName = new Map(Array.from(forms.values(), (form) => [form.name, form]))

/** `async?`, `cancellable?`: 0x00 or 0x01. */
function flag(r: ComponentReader): boolean {
  const byte = r.byte()
  if (byte > 1) throw r.malformed(`0x${byte.toString(16)} is not a flag`, r.at - 1)
  return byte === 1
}

const plain: CanonicalOptions = { encoding: "utf8", memory: undefined, realloc: undefined, postReturn: undefined, isAsync: false, callback: undefined }

function canon(r: ComponentReader, opcode: number, offset: number): BuiltinSyntax {
  const form = forms.get(opcode)
  if (form === undefined) {
    if (opcode === 0x07) throw r.unsupported("asynchronous resource.drop", offset)
    throw opcode >= 0x26 && opcode < 0x50 ? r.unsupported("threads of the component model", offset) : r.malformed("a canonical function is unknown", offset)
  }
  const { name } = form
  switch (form.reads) {
    case "type":
      return { name, type: r.u32() }
    case "type options": {
      const type = r.u32()
      const options = canonicalOptions(r)
      return { name, type, options, isAsync: options.isAsync }
    }
    case "type async":
      return { name, type: r.u32(), isAsync: flag(r) }
    case "async":
      return { name, isAsync: flag(r) }
    case "cancellable":
      return { name, isCancellable: flag(r) }
    case "cancellable memory":
      return { name, isCancellable: flag(r), options: { ...plain, memory: r.u32() } }
    case "options":
      return { name, options: canonicalOptions(r) }
    case "slot": {
      if (r.byte() !== 0x7f) throw r.malformed("a context slot is not an i32", r.at - 1)
      const slot = r.u32()
      if (slot > 1) throw r.malformed(`context slot ${slot} is unknown`, offset)
      return { name, slot }
    }
    case "result": {
      const hasNone = flag(r)
      if (hasNone && r.byte() !== 0x00) throw r.malformed("task.return names several results", r.at - 1)
      return { name, result: hasNone ? undefined : typeRef(r), options: canonicalOptions(r) }
    }
    default:
      return { name }
  }
}

/** A memory that the options lack, where values of the type go through one. */
const misses = (type: ValueType | undefined, { memory }: CanonicalOptions): boolean => type !== undefined && memory === undefined

export const asyncForms: AsyncForms = {
  canon,
  liftSignature: (type, hasCallback) => ({ params: flatParams(type, 16), results: hasCallback ? ["i32"] : [] }),
  lowerSignature: (type) => ({
    params: [...flatParams(type, flatAsyncParamsMax), ...(type.result === undefined ? [] : (["i32"] as const))],
    results: ["i32"],
  }),
  builtin(syntax, types) {
    const { name, type: index, options = plain, isAsync = false, isCancellable = false, slot = 0 } = syntax
    const form = byName.get(name) as Form
    if (options.callback !== undefined || options.postReturn !== undefined) return `canon ${name} has a callback or post-return`
    if (options.isAsync && form.reads !== "type options") return `canon ${name} is asynchronous`
    if (name.startsWith("error-context.") && form.reads === "options" && options.memory === undefined) return `canon ${name} has no memory`
    if (name === "error-context.debug-message" && options.realloc === undefined) return `canon ${name} has no realloc`
    const parts: BuiltinParts = { name, isAsync, isCancellable, slot }
    if (name === "task.return") {
      const result = syntax.result === undefined ? undefined : types.value(syntax.result)
      const returns: FunctionType = { kind: "function", params: result === undefined ? [] : [{ label: "result", type: result }] }
      const flat = result === undefined ? [] : layoutOf(result).flat
      if ((flat === undefined || flat.length > 16) && options.memory === undefined) return "canon task.return spills its value without a memory"
      return { signature: { params: flatParams(returns, 16), results: [] }, spec: { ...parts, returns } }
    }
    if (index === undefined) return { signature: form.signature as CoreSignature, spec: parts }
    const type = types.value(index)
    const kind = name.slice(0, name.indexOf("."))
    if (type.kind !== kind) return `canon ${name} names a type that is no ${kind}`
    if (form.reads === "type options" && misses(carriedOf(type as StreamType | FutureType), options)) return `canon ${name} moves values without a memory`
    return { signature: form.signature as CoreSignature, spec: { ...parts, type: type as StreamType | FutureType } }
  },
}
