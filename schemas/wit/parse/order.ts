/** Topological orders with explicit stacks: what is ordered is as deep as a stranger's text is long. */

/** Indices with the smallest at the root: a binary heap in an array. */
class Heap {
  readonly #items: Array<number> = []

  push(item: number): void {
    const items = this.#items
    let at = items.length
    for (items.push(item); at > 0;) {
      const up = (at - 1) >> 1
      if ((items[up] as number) <= item) break
      items[at] = items[up] as number
      items[up] = item
      at = up
    }
  }

  pop(): number | undefined {
    const items = this.#items
    const top = items[0]
    const last = items.pop()
    if (top === undefined || last === undefined || items.length === 0) return top
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= items.length) break
      if (child + 1 < items.length && (items[child + 1] as number) < (items[child] as number)) child++
      if ((items[child] as number) >= last) break
      items[at] = items[child] as number
      at = child
    }
    items[at] = last
    return top
  }
}

/**
 * Nodes 0 to n - 1, each after those that it needs, and otherwise in the order of their numbers. `needs[i]` are the nodes
 * that `i` needs; those in a cycle, and those that need one, are not in `order`, and `cycle` is one such circle.
 */
export function topological(needs: ReadonlyArray<ReadonlyArray<number>>): { readonly order: ReadonlyArray<number>; readonly cycle?: ReadonlyArray<number> } {
  const remaining = needs.map((edges) => edges.length)
  const dependents = needs.map((): Array<number> => [])
  needs.forEach((edges, i) => {
    for (const edge of edges) (dependents[edge] as Array<number>).push(i)
  })
  const ready = new Heap()
  for (let i = 0; i < needs.length; i++) if (remaining[i] === 0) ready.push(i)
  const order: Array<number> = []
  for (let i = ready.pop(); i !== undefined; i = ready.pop()) {
    order.push(i)
    for (const dependent of dependents[i] as Array<number>) {
      const left = (remaining[dependent] as number) - 1
      remaining[dependent] = left
      if (left === 0) ready.push(dependent)
    }
  }
  if (order.length === needs.length) return { order }
  // Whoever is left needs somebody who is left: a walk along such edges comes to where it has been.
  const way: Array<number> = []
  const seen = new Map<number, number>()
  let at = remaining.findIndex((left) => left > 0)
  while (!seen.has(at)) {
    seen.set(at, way.length)
    way.push(at)
    at = (needs[at] as ReadonlyArray<number>).find((edge) => (remaining[edge] as number) > 0) as number
  }
  return { order, cycle: way.slice(seen.get(at)) }
}

/** Calls `each` for `root` and all that it needs, needs first, for those that `isDone` does not know yet. `needs` has no cycles. */
export function afterNeeds<T>(root: T, needs: (item: T) => ReadonlyArray<T>, isDone: (item: T) => boolean, each: (item: T) => void): void {
  const frames: Array<{ readonly item: T; readonly needs: ReadonlyArray<T>; next: number }> = []
  const open = (item: T): void => void (isDone(item) || frames.push({ item, needs: needs(item), next: 0 }))
  open(root)
  for (let frame = frames.at(-1); frame !== undefined; frame = frames.at(-1)) {
    const need = frame.needs[frame.next++]
    if (need !== undefined) open(need)
    else {
      frames.pop()
      if (!isDone(frame.item)) each(frame.item)
    }
  }
}
