/**
 * Walks over the type model that every derivation shares: children, depth, and what a function answers with.
 *
 * Types come from unknown binaries as graphs with shared nodes: 60 nodes can stand for 2^60 leaves. So each walk here
 * visits a node once, and depth is computed with an explicit stack, so that no type can exhaust the host's own.
 */
import { LimitError } from "../error/limit.ts"
import type { FunctionType, FutureType, StreamType, ValueType } from "./model.ts"

/**
 * The deepest type any derivation recurses into, in levels. The decoder refuses at `typeDepthMax` (default 100); this is
 * the ceiling when an embedder raises that. Measured on Node 26, Deno 2.9 and Bun 1.4: every derivation, Effect's decoder
 * included, walks a type of 1,000 levels with 6,000 frames already on the stack.
 */
export const depthMax = 1_000

const none: ReadonlyArray<ValueType> = []
const typeOf = (part: { readonly type?: ValueType }): ReadonlyArray<ValueType> => (part.type === undefined ? none : [part.type])

/** The value types directly inside `type`, in order. Handles have none: a resource is opaque. */
export function children(type: ValueType): ReadonlyArray<ValueType> {
  switch (type.kind) {
    case "list":
    case "fixed-list":
      return [type.element]
    case "record":
      return type.fields.map((field) => field.type)
    case "tuple":
      return type.types
    case "variant":
      return type.cases.flatMap(typeOf)
    case "option":
      return [type.type]
    case "map":
      return [type.key, type.value]
    case "stream":
      return type.element === undefined ? none : [type.element]
    case "future":
      return typeOf(type)
    case "result":
      return [type.ok, type.err].filter((part) => part !== undefined)
    default:
      return none
  }
}

/** What a stream or future carries; undefined where it only tells. */
export const carriedOf = (type: StreamType | FutureType): ValueType | undefined => (type.kind === "stream" ? type.element : type.type)

/** Is the type, or one inside it, one that `found` accepts? Memoised by identity, so linear in the number of nodes; as deep as the type. */
export function anywhere(found: (type: ValueType) => boolean, inside: (type: ValueType) => ReadonlyArray<ValueType> = children): (type: ValueType) => boolean {
  const known = new WeakMap<ValueType, boolean>()
  const search = (type: ValueType): boolean => {
    let answer = known.get(type)
    if (answer === undefined) {
      answer = found(type) || inside(type).some(search)
      known.set(type, answer)
    }
    return answer
  }
  return search
}

const depths = new WeakMap<ValueType, number>()

/**
 * Levels of nesting of `type`: 1 for a primitive. Linear in the number of nodes, memoised by identity.
 *
 * @throws LimitError `typeDepthMax` when the type is deeper than `depthMax` levels.
 */
export function depth(type: ValueType): number {
  const pending: Array<ValueType> = [type]
  while (pending.length > 0) {
    const top = pending[pending.length - 1] as ValueType
    if (depths.has(top)) {
      pending.pop()
      continue
    }
    const inner = children(top)
    const open = inner.filter((child) => !depths.has(child))
    if (open.length > 0) {
      for (const child of open) pending.push(child)
      continue
    }
    let deepest = 0
    for (const child of inner) deepest = Math.max(deepest, depths.get(child) ?? 0)
    depths.set(top, deepest + 1)
    pending.pop()
  }
  const levels = depths.get(type) ?? 1
  if (levels > depthMax) throw new LimitError("typeDepthMax", { limit: depthMax, actual: levels })
  return levels
}

/** What a caller of `func` receives: only an export's outermost `result` throws, so its ok payload is the answer and its err payload the error. */
export interface Answer {
  readonly ok: ValueType | undefined
  readonly err: ValueType | undefined
  /** True when the function declares a `result`, with or without payloads. */
  readonly throws: boolean
}

export function answer(func: FunctionType): Answer {
  const type = func.result
  return type?.kind === "result" ? { ok: type.ok, err: type.err, throws: true } : { ok: type, err: undefined, throws: false }
}
