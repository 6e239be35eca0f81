/**
 * What the direct call graph says of each function, callees first. Indirect and imported calls have no edges: a
 * function that makes one is `open`, and everything the rewriter promises for it holds for any callee.
 */
import type { CoreLayout } from "../../schemas/wasm/core-module.ts"
import { type BodyScan } from "./body.ts"
import * as Flag from "./flag.ts"

/**
 * Stack bytes that a tree of uncounted callees may take in its caller's name. Every indirect or imported call is
 * charged this much in advance, so it decides how deep a recursion through a table may go; a leaf with more than 24
 * locals and operands counts for itself.
 */
export const foldedBytesMax = 256

export interface CallGraph {
  /** Defined functions, callees before callers (within a cycle in any order). */
  readonly order: Uint32Array
  /** 1 for functions that lie on a cycle of direct calls. */
  readonly cyclic: Uint8Array
  /** 1 for functions without a static bound on what they call: cyclic, open or with a tail call. They check at entry. */
  readonly unbounded: Uint8Array
  /**
   * 1 for functions that count their stack. Closed under callers: whoever may reach a counting function counts too, so
   * the budget can be passed down as a parameter and needs no restoring on any way out.
   */
  readonly counted: Uint8Array
  /** For counted functions: bytes that one activation takes, uncounted callees included. */
  readonly chargeBytes: Uint32Array
  /** 1 for exported functions. */
  readonly exported: Uint8Array
  /** 1 for functions reachable through a table, `ref.func` or start. */
  readonly referenced: Uint8Array
}

export function buildCallGraph(layout: CoreLayout, scan: BodyScan): CallGraph {
  const count = layout.bodyStarts.length
  const { edges, edgeStarts, flags, frameBytes } = scan
  const order = new Uint32Array(count)
  const cyclic = new Uint8Array(count)
  const marked = (...lists: ReadonlyArray<Iterable<number>>): Uint8Array => {
    const marks = new Uint8Array(count)
    for (const list of lists) for (const index of list) if (index >= layout.functionsImported) marks[index - layout.functionsImported] = 1
    return marks
  }
  const exported = marked(layout.exported)
  const referenced = marked(layout.referenced, scan.references)

  // Tarjan's strongly connected components, with the recursion written out: components complete callees first.
  const visited = new Uint32Array(count) // visit number, from 1
  const low = new Uint32Array(count)
  const onStack = new Uint8Array(count)
  const next = new Uint32Array(count) // position in the function's edges
  const stack = new Uint32Array(count)
  const path = new Uint32Array(count)
  let visits = 0
  let stackSize = 0
  let done = 0
  for (let root = 0; root < count; root++) {
    if (visited[root] !== 0) continue
    let pathSize = 0
    const enter = (f: number): void => {
      visited[f] = low[f] = ++visits
      next[f] = edgeStarts[f] as number
      stack[stackSize++] = f
      onStack[f] = 1
      path[pathSize++] = f
    }
    enter(root)
    while (pathSize > 0) {
      const f = path[pathSize - 1] as number
      const at = next[f] as number
      if (at < (edgeStarts[f + 1] as number)) {
        next[f] = at + 1
        const callee = edges[at] as number
        if (callee === f) cyclic[f] = 1
        if (visited[callee] === 0) enter(callee)
        else if (onStack[callee] === 1 && (visited[callee] as number) < (low[f] as number)) low[f] = visited[callee] as number
        continue
      }
      pathSize--
      if (pathSize > 0) {
        const caller = path[pathSize - 1] as number
        if ((low[f] as number) < (low[caller] as number)) low[caller] = low[f] as number
      }
      if (low[f] !== visited[f]) continue
      const size = stackSize
      let member: number
      do {
        member = stack[--stackSize] as number
        onStack[member] = 0
        order[done++] = member
      } while (member !== f)
      if (size - stackSize > 1) for (let i = stackSize; i < size; i++) cyclic[stack[i] as number] = 1
    }
  }

  const unbounded = new Uint8Array(count)
  const counted = new Uint8Array(count)
  const chargeBytes = new Uint32Array(count)
  const folded = new Uint32Array(count) // uncounted functions: own frame and deepest callee
  const marks = Flag.Open | Flag.Tail
  for (const f of order) {
    unbounded[f] = cyclic[f] === 1 || ((flags[f] as number) & marks) !== 0 ? 1 : 0
    let counts = unbounded[f] === 1
    let deepest = ((flags[f] as number) & Flag.Open) !== 0 ? foldedBytesMax : 0
    for (let at = edgeStarts[f] as number; at < (edgeStarts[f + 1] as number); at++) {
      const callee = edges[at] as number
      // A callee of the same cycle may not be classified yet; it is cyclic, and so it counts.
      if (counted[callee] === 1 || cyclic[callee] === 1) counts = true
      else if ((folded[callee] as number) > deepest) deepest = folded[callee] as number
    }
    const bytes = (frameBytes[f] as number) + deepest
    if (counts || bytes > foldedBytesMax) {
      counted[f] = 1
      chargeBytes[f] = bytes
    } else folded[f] = bytes
  }
  return { order, cyclic, unbounded, counted, chargeBytes, exported, referenced }
}
