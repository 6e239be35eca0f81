/** `runtime.ts` of generated bindings: what WIT has and AssemblyScript lacks, and the memory that values cross in. Fixed text. */

/** `TupleN` for the lengths that a world has. */
const tuple = (length: number): string => {
  const letters = Array.from({ length }, (_, at) => `T${at}`)
  const fields = letters.map((letter, at) => `public item${at}: ${letter}`)
  return `/** \`tuple\` of ${length}. */\nexport class Tuple${length}<${letters.join(", ")}> {\n  constructor(${fields.join(", ")}) {}\n}\n`
}

export const runtimeText = (head: string, tuples: ReadonlyArray<number>): string => `// ${head}

/** \`option\` of what cannot be null: of numbers, of options. Where \`T\` is a class or text, an option is \`T | null\` instead. */
export class Option<T> {
  isSome: bool = false
  private payload!: T
  get isNone(): bool {
    return !this.isSome
  }
  /** Traps where there is none. */
  get value(): T {
    if (!this.isSome) unreachable()
    return this.payload
  }
  fill(value: T): this {
    this.isSome = true
    this.payload = value
    return this
  }
}
export function some<T>(value: T): Option<T> {
  return new Option<T>().fill(value)
}
export function none<T>(): Option<T> {
  return new Option<T>()
}

/** What a \`result\` without a payload has. */
export type Unit = bool
export const unit: Unit = true

/** \`result\`: made by \`ok\` and \`err\`. */
export class Result<A, E> {
  isOk: bool = false
  private success!: A
  private failure!: E
  get isErr(): bool {
    return !this.isOk
  }
  /** Traps where it is an error. */
  get value(): A {
    if (!this.isOk) unreachable()
    return this.success
  }
  /** Traps where it is none. */
  get error(): E {
    if (this.isOk) unreachable()
    return this.failure
  }
  succeed(value: A): this {
    this.isOk = true
    this.success = value
    return this
  }
  fail(error: E): this {
    this.failure = error
    return this
  }
}
export function ok<A, E>(value: A): Result<A, E> {
  return new Result<A, E>().succeed(value)
}
export function err<A, E>(error: E): Result<A, E> {
  return new Result<A, E>().fail(error)
}
${tuples.map((length) => `\n${tuple(length)}`).join("")}
// Below: used by generated files only.

/** \`cabi_realloc\`. A block of size 0 is never allocated: its pointer is the alignment, which is aligned and not null. */
export function cabiRealloc(old: usize, oldSize: usize, align: usize, newSize: usize): usize {
  if (oldSize == 0) return newSize == 0 ? align : heap.alloc(newSize)
  if (newSize == 0) {
    heap.free(old)
    return align
  }
  return heap.realloc(old, newSize)
}

/** Stands in for AssemblyScript's \`abort\`: an assertion that fails is a trap, and the module imports nothing for it. */
export function abort(_message: string | null, _file: string | null, _line: u32, _column: u32): void {
  unreachable()
}

/** Takes a lifted string's block and gives it back as a string. */
export function liftString(ptr: usize, units: u32): string {
  if (units == 0) return ""
  const bytes = <usize>units << 1
  // @ts-ignore: of AssemblyScript's runtime
  const text = changetype<string>(__new(bytes, idof<string>()))
  memory.copy(changetype<usize>(text), ptr, bytes)
  heap.free(ptr)
  return text
}

/** Takes the block of a lifted list of numbers. */
export function liftNumbers<T>(ptr: usize, length: u32): StaticArray<T> {
  const bytes = <usize>length << alignof<T>()
  // @ts-ignore: of AssemblyScript's runtime
  const out = changetype<StaticArray<T>>(__new(bytes, idof<StaticArray<T>>()))
  if (bytes != 0) {
    memory.copy(changetype<usize>(out), ptr, bytes)
    heap.free(ptr)
  }
  return out
}

/** Blocks that lists of other values cross in, the newest first: each begins with the address of the one before. */
let blocks: usize = 0
/** Bytes before what a block holds: the alignment of the widest value. */
const HEAD: usize = 16

export function allocate(bytes: usize): usize {
  if (bytes == 0) return 8
  const block = heap.alloc(HEAD + bytes)
  store<usize>(block, blocks)
  blocks = block
  return block + HEAD
}
export function mark(): usize {
  return blocks
}
/** Frees the blocks that were allocated since \`mark\` gave \`since\`. */
export function freeSince(since: usize): void {
  while (blocks != since) {
    const block = blocks
    blocks = load<usize>(block)
    heap.free(block)
  }
}

/** What an export returned, until the host has read it. */
let kept: usize = 0
export function keep(value: usize): void {
  // @ts-ignore: of AssemblyScript's runtime
  kept = __pin(value)
}
/** After the host has read a result: nothing of it stays. */
export function release(): void {
  // @ts-ignore: of AssemblyScript's runtime
  __unpin(kept)
  kept = 0
  freeSince(0)
}
`
