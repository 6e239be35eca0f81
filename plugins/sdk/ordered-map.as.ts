/**
 * `OrderedMap`: a map whose entries are in the order of their keys, which a comparison gives. A B+ tree: entries lie side by
 * side in leaves of 32, leaves are linked, so get, set and delete take log n comparisons and a range is a walk. Nothing depends on
 * chance or on a hash: equal sequences of operations make equal trees.
 *
 * Memory: a leaf has room for 32 keys and 32 values, 400 bytes where each has 4, and is at least half full, but for the last; keys
 * that come in their order fill leaves whole. What is deleted is let go at once.
 */

/** Entries of a leaf, and parts of a node, at most. */
const capacity: i32 = 32
/** And at least, but at the root. */
const half: i32 = capacity >> 1

class Node<K, V> {
  /** Entries of a leaf; parts of an inner node, whose keys are one fewer: `keys[i]` is the least that `parts[i + 1]` may have. */
  length: i32 = 0
  readonly keys: StaticArray<K> = new StaticArray<K>(capacity)
  readonly values: StaticArray<V>
  readonly parts: StaticArray<Node<K, V> | null>
  previous: Node<K, V> | null = null
  next: Node<K, V> | null = null

  constructor(readonly isLeaf: bool) {
    this.values = new StaticArray<V>(isLeaf ? capacity : 0)
    this.parts = new StaticArray<Node<K, V> | null>(isLeaf ? 0 : capacity)
  }
}

/** Makes room at `at` for one. A place that is vacant holds nothing. */
function open<T>(array: StaticArray<T>, at: i32, length: i32): void {
  for (let i = length; i > at; i -= 1) unchecked((array[i] = array[i - 1]))
}
/** Closes the place `at`. */
function close<T>(array: StaticArray<T>, at: i32, length: i32): void {
  for (let i = at + 1; i < length; i += 1) unchecked((array[i - 1] = array[i]))
  vacate<T>(array, length - 1)
}
/** The collector must not find there what is elsewhere or nowhere. */
function vacate<T>(array: StaticArray<T>, at: i32): void {
  if (isReference<T>()) store<usize>(changetype<usize>(array) + (<usize>at << alignof<usize>()), 0)
}
/** Moves so many from one place to another. */
function move<T>(from: StaticArray<T>, at: i32, to: StaticArray<T>, place: i32, count: i32): void {
  for (let i = 0; i < count; i += 1) {
    unchecked((to[place + i] = from[at + i]))
    vacate<T>(from, at + i)
  }
}

/** A place between two entries, which moves over them. A change of the map ends it: it traps afterwards. */
export class Cursor<K, V> {
  constructor(
    private readonly map: OrderedMap<K, V>,
    private leaf: Node<K, V> | null,
    private index: i32,
    private readonly changes: i32,
  ) {}

  /** Whether there is an entry here. */
  get isValid(): bool {
    if (this.map.changes != this.changes) unreachable()
    return this.leaf !== null
  }
  /** Traps where there is none, as does `value`. */
  get key(): K {
    if (!this.isValid) unreachable()
    return unchecked(this.leaf!.keys[this.index])
  }
  get value(): V {
    if (!this.isValid) unreachable()
    return unchecked(this.leaf!.values[this.index])
  }
  /** To the next entry; false, and none here any more, after the last. */
  next(): bool {
    if (!this.isValid) return false
    this.index += 1
    if (this.index < this.leaf!.length) return true
    this.leaf = this.leaf!.next
    this.index = 0
    return this.leaf !== null
  }
  /** To the entry before; false before the first. */
  back(): bool {
    if (!this.isValid) return false
    this.index -= 1
    if (this.index >= 0) return true
    const leaf = this.leaf!.previous
    this.leaf = leaf
    this.index = leaf === null ? 0 : leaf.length - 1
    return leaf !== null
  }
}

/** Below, at or above 0, as the first is to the second. Must give one order, and always the same. */
export type Compare<K> = (a: K, b: K) => i32

export class OrderedMap<K, V> {
  private root: Node<K, V> = new Node<K, V>(true)
  private entries: i32 = 0
  /** How often a key was added or taken away. */
  changes: i32 = 0
  /** What a split made beside its node, and the least key there. */
  private split: Node<K, V> | null = null
  private splitKey!: K

  constructor(private readonly order: Compare<K>) {}

  get size(): i32 {
    return this.entries
  }

  /** The first place in a leaf whose key is not below. */
  private lowest(leaf: Node<K, V>, key: K): i32 {
    let low = 0
    let high = leaf.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.order(unchecked(leaf.keys[middle]), key) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
  /** Which part of an inner node a key belongs to: as many as there are keys not above it. */
  private part(node: Node<K, V>, key: K): i32 {
    let low = 0
    let high = node.length - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.order(unchecked(node.keys[middle]), key) <= 0) low = middle + 1
      else high = middle
    }
    return low
  }
  private leafOf(key: K): Node<K, V> {
    let node = this.root
    while (!node.isLeaf) node = unchecked(node.parts[this.part(node, key)])!
    return node
  }
  private holds(leaf: Node<K, V>, index: i32, key: K): bool {
    return index < leaf.length && this.order(unchecked(leaf.keys[index]), key) == 0
  }

  has(key: K): bool {
    const leaf = this.leafOf(key)
    return this.holds(leaf, this.lowest(leaf, key), key)
  }
  /** Traps where there is no such key. */
  get(key: K): V {
    const leaf = this.leafOf(key)
    const index = this.lowest(leaf, key)
    if (!this.holds(leaf, index, key)) unreachable()
    return unchecked(leaf.values[index])
  }
  /** The value under a key, or `otherwise`. */
  find(key: K, otherwise: V): V {
    const leaf = this.leafOf(key)
    const index = this.lowest(leaf, key)
    return this.holds(leaf, index, key) ? unchecked(leaf.values[index]) : otherwise
  }

  /** Puts a value under a key, in the place of what is there. A cursor stays good where the key was there. */
  set(key: K, value: V): this {
    this.put(this.root, key, value)
    const right = this.split
    if (right === null) return this
    const root = new Node<K, V>(false)
    root.length = 2
    unchecked((root.keys[0] = this.splitKey))
    unchecked((root.parts[0] = this.root))
    unchecked((root.parts[1] = right))
    this.root = root
    this.split = null
    // The key that went up lies in the tree; here it would stay after its entry.
    if (isReference<K>()) store<usize>(changetype<usize>(this), 0, offsetof<OrderedMap<K, V>>("splitKey"))
    return this
  }

  /** Puts an entry below `node`; what `node` has no room for is in `split`. */
  private put(node: Node<K, V>, key: K, value: V): void {
    if (node.isLeaf) {
      const index = this.lowest(node, key)
      if (this.holds(node, index, key)) {
        unchecked((node.values[index] = value))
        return
      }
      this.entries += 1
      this.changes += 1
      if (node.length < capacity) {
        this.insert(node, index, key, value)
        return
      }
      // Keys that come in their order fill leaves whole.
      const right = new Node<K, V>(true)
      const kept = index == capacity && node.next === null ? capacity : half
      right.length = capacity - kept
      move<K>(node.keys, kept, right.keys, 0, right.length)
      move<V>(node.values, kept, right.values, 0, right.length)
      node.length = kept
      right.previous = node
      right.next = node.next
      if (right.next !== null) right.next!.previous = right
      node.next = right
      if (index > kept || kept == capacity) this.insert(right, index - kept, key, value)
      else this.insert(node, index, key, value)
      this.split = right
      this.splitKey = unchecked(right.keys[0])
      return
    }
    const at = this.part(node, key)
    this.put(unchecked(node.parts[at])!, key, value)
    const made = this.split
    if (made === null) return
    const madeKey = this.splitKey
    this.split = null
    if (node.length < capacity) {
      this.insertPart(node, at + 1, madeKey, made)
      return
    }
    const right = new Node<K, V>(false)
    right.length = capacity - half
    /** The key between the two nodes goes up. */
    const between = unchecked(node.keys[half - 1])
    move<K>(node.keys, half, right.keys, 0, right.length - 1)
    vacate<K>(node.keys, half - 1)
    move<Node<K, V> | null>(node.parts, half, right.parts, 0, right.length)
    node.length = half
    if (at + 1 > half) this.insertPart(right, at + 1 - half, madeKey, made)
    else this.insertPart(node, at + 1, madeKey, made)
    this.split = right
    this.splitKey = between
  }
  private insert(leaf: Node<K, V>, index: i32, key: K, value: V): void {
    open<K>(leaf.keys, index, leaf.length)
    open<V>(leaf.values, index, leaf.length)
    unchecked((leaf.keys[index] = key))
    unchecked((leaf.values[index] = value))
    leaf.length += 1
  }
  /** Puts a part at a place that is not the first, with the key before it. */
  private insertPart(node: Node<K, V>, at: i32, key: K, part: Node<K, V>): void {
    open<K>(node.keys, at - 1, node.length - 1)
    open<Node<K, V> | null>(node.parts, at, node.length)
    unchecked((node.keys[at - 1] = key))
    unchecked((node.parts[at] = part))
    node.length += 1
  }

  /** False where there is no such key. */
  delete(key: K): bool {
    if (!this.remove(this.root, key)) return false
    this.entries -= 1
    this.changes += 1
    if (!this.root.isLeaf && this.root.length == 1) this.root = unchecked(this.root.parts[0])!
    return true
  }
  private remove(node: Node<K, V>, key: K): bool {
    if (node.isLeaf) {
      const index = this.lowest(node, key)
      if (!this.holds(node, index, key)) return false
      close<K>(node.keys, index, node.length)
      close<V>(node.values, index, node.length)
      node.length -= 1
      return true
    }
    const at = this.part(node, key)
    const part = unchecked(node.parts[at])!
    if (!this.remove(part, key)) return false
    if (part.length < half) this.refill(node, at)
    return true
  }
  /** A part that has too little takes from a neighbour, or becomes one with it. */
  private refill(node: Node<K, V>, at: i32): void {
    const left = at > 0 ? at - 1 : at
    const a = unchecked(node.parts[left])!
    const b = unchecked(node.parts[left + 1])!
    if (a.length + b.length <= capacity) {
      this.merge(node, left, a, b)
      return
    }
    // Both get half of what both have.
    const wanted = (a.length + b.length) >> 1
    while (a.length > wanted) this.shiftRight(a, b, node, left)
    while (a.length < wanted) this.shiftLeft(a, b, node, left)
  }
  private shiftRight(a: Node<K, V>, b: Node<K, V>, node: Node<K, V>, left: i32): void {
    const last = a.length - 1
    if (a.isLeaf) {
      this.insert(b, 0, unchecked(a.keys[last]), unchecked(a.values[last]))
      vacate<K>(a.keys, last)
      vacate<V>(a.values, last)
      unchecked((node.keys[left] = b.keys[0]))
    } else {
      open<K>(b.keys, 0, b.length - 1)
      open<Node<K, V> | null>(b.parts, 0, b.length)
      unchecked((b.keys[0] = node.keys[left]))
      unchecked((b.parts[0] = a.parts[last]))
      b.length += 1
      unchecked((node.keys[left] = a.keys[last - 1]))
      vacate<K>(a.keys, last - 1)
      vacate<Node<K, V> | null>(a.parts, last)
    }
    a.length -= 1
  }
  private shiftLeft(a: Node<K, V>, b: Node<K, V>, node: Node<K, V>, left: i32): void {
    if (a.isLeaf) {
      this.insert(a, a.length, unchecked(b.keys[0]), unchecked(b.values[0]))
      close<K>(b.keys, 0, b.length)
      close<V>(b.values, 0, b.length)
      b.length -= 1
      unchecked((node.keys[left] = b.keys[0]))
      return
    }
    this.insertPart(a, a.length, unchecked(node.keys[left]), unchecked(b.parts[0])!)
    unchecked((node.keys[left] = b.keys[0]))
    close<K>(b.keys, 0, b.length - 1)
    close<Node<K, V> | null>(b.parts, 0, b.length)
    b.length -= 1
  }
  private merge(node: Node<K, V>, left: i32, a: Node<K, V>, b: Node<K, V>): void {
    if (a.isLeaf) {
      move<K>(b.keys, 0, a.keys, a.length, b.length)
      move<V>(b.values, 0, a.values, a.length, b.length)
      a.next = b.next
      if (a.next !== null) a.next!.previous = a
    } else {
      unchecked((a.keys[a.length - 1] = node.keys[left]))
      move<K>(b.keys, 0, a.keys, a.length, b.length - 1)
      move<Node<K, V> | null>(b.parts, 0, a.parts, a.length, b.length)
    }
    a.length += b.length
    close<K>(node.keys, left, node.length - 1)
    close<Node<K, V> | null>(node.parts, left + 1, node.length)
    node.length -= 1
  }

  clear(): void {
    this.root = new Node<K, V>(true)
    this.entries = 0
    this.changes += 1
  }

  private cursor(leaf: Node<K, V> | null, index: i32): Cursor<K, V> {
    return new Cursor<K, V>(this, leaf, index, this.changes)
  }
  /** At the first entry. */
  first(): Cursor<K, V> {
    let node = this.root
    while (!node.isLeaf) node = unchecked(node.parts[0])!
    return this.cursor(node.length > 0 ? node : null, 0)
  }
  /** At the last entry. */
  last(): Cursor<K, V> {
    let node = this.root
    while (!node.isLeaf) node = unchecked(node.parts[node.length - 1])!
    return this.cursor(node.length > 0 ? node : null, node.length - 1)
  }
  /** At the first entry whose key is not below: a range goes from here to where its end is reached. */
  from(key: K): Cursor<K, V> {
    const leaf = this.leafOf(key)
    const index = this.lowest(leaf, key)
    return index < leaf.length ? this.cursor(leaf, index) : this.cursor(leaf.next, 0)
  }
  /** At the last entry whose key is not above: the price that holds at a time. */
  upTo(key: K): Cursor<K, V> {
    const leaf = this.leafOf(key)
    const index = this.lowest(leaf, key)
    if (this.holds(leaf, index, key)) return this.cursor(leaf, index)
    if (index > 0) return this.cursor(leaf, index - 1)
    const before = leaf.previous
    return before === null ? this.cursor(null, 0) : this.cursor(before, before.length - 1)
  }
  keys(): Array<K> {
    const out = new Array<K>(0)
    for (const at = this.first(); at.isValid; at.next()) out.push(at.key)
    return out
  }
  values(): Array<V> {
    const out = new Array<V>(0)
    for (const at = this.first(); at.isValid; at.next()) out.push(at.value)
    return out
  }
}
