/**
 * The memory that kernels work in, and who has which part of it. Arrays lie in it, so that no kernel copies what it reads or writes; they are
 * given back by hand, since nothing tells when a number in WebAssembly is no longer used.
 */
import { KernelError } from "../../schemas/error/kernel.ts"

const arrays = { f32: Float32Array, f64: Float64Array, i32: Int32Array, u16: Uint16Array, i8: Int8Array, u8: Uint8Array } as const
export type NumberType = keyof typeof arrays
type ArrayOf<T extends NumberType> = InstanceType<(typeof arrays)[T]>

/** Bytes at which parts begin: a line of the cache. */
const alignment = 64
const pageBytes = 65_536
/** WebAssembly's addresses have 32 bits. */
export const bytesMaxOfAll = 65_536 * pageBytes
/** Below lie the constants of the modules. */
const firstAt = pageBytes

interface Part {
  readonly at: number
  readonly size: number
}

const rounded = (bytes: number): number => Math.max(alignment, Math.ceil(bytes / alignment) * alignment)

export class KernelMemory {
  readonly memory: WebAssembly.Memory
  readonly bytesMax: number
  /** Bytes that arrays have. */
  used = 0
  /** By address, none next to another. */
  readonly #free: Array<Part> = []
  #end = firstAt

  /** A memory that threads share takes a module that imports such a one. */
  constructor(bytesMax: number, { isShared = false }: { readonly isShared?: boolean } = {}) {
    this.bytesMax = bytesMax
    const maximum = Math.min(65_536, Math.ceil((firstAt + bytesMax + alignment) / pageBytes))
    this.memory = new WebAssembly.Memory({ initial: 2, maximum, shared: isShared })
  }

  /** @throws KernelError `Memory` */
  take(bytes: number): number {
    const size = rounded(bytes)
    if (!(this.used + size <= this.bytesMax)) throw this.#refuse(size)
    const place = this.#free.findIndex((part) => part.size >= size)
    const part = this.#free[place]
    this.used += size
    if (part === undefined) return this.#atEnd(size)
    if (part.size === size) this.#free.splice(place, 1)
    else this.#free[place] = { at: part.at + size, size: part.size - size }
    return part.at
  }

  #atEnd(size: number): number {
    const last = this.#free.at(-1)
    const joins = last !== undefined && last.at + last.size === this.#end
    const at = joins ? last.at : this.#end
    // A line more than is asked for: kernels read whole words, of which the last may begin in the last byte of an array.
    const lacking = at + size + alignment - this.memory.buffer.byteLength
    if (lacking > 0) {
      // By half of what there is, so that many small arrays do not grow it many times; views are made anew each time.
      const pages = Math.ceil(Math.max(lacking, this.memory.buffer.byteLength / 2) / pageBytes)
      if (!this.#grow(pages) && !this.#grow(Math.ceil(lacking / pageBytes))) {
        this.used -= size
        throw this.#refuse(size)
      }
    }
    if (joins) this.#free.pop()
    this.#end = at + size
    return at
  }

  #grow(pages: number): boolean {
    try {
      this.memory.grow(pages)
      return true
    } catch {
      return false
    }
  }

  #refuse(asked: number): KernelError {
    return new KernelError("Memory", { asked, used: this.used, limit: this.bytesMax })
  }

  give(at: number, bytes: number): void {
    const size = rounded(bytes)
    this.used -= size
    let place = this.#free.findIndex((part) => part.at > at)
    if (place < 0) place = this.#free.length
    const before = this.#free[place - 1]
    const after = this.#free[place]
    const joinsBefore = before !== undefined && before.at + before.size === at
    const joinsAfter = after !== undefined && at + size === after.at
    const start = joinsBefore ? before.at : at
    const end = joinsAfter ? after.at + after.size : at + size
    this.#free.splice(place - (joinsBefore ? 1 : 0), (joinsBefore ? 1 : 0) + (joinsAfter ? 1 : 0), { at: start, size: end - start })
  }
}

/** Numbers in the kernels' memory. */
export class Numbers<T extends NumberType = NumberType> {
  readonly type: T
  readonly length: number
  /** Where the first lies, in bytes; 0 once they are freed. */
  at: number
  readonly #memory: KernelMemory
  #array: ArrayOf<T> | undefined

  constructor(memory: KernelMemory, type: T, length: number) {
    this.#memory = memory
    this.type = type
    this.length = length
    this.at = memory.take(length * arrays[type].BYTES_PER_ELEMENT)
  }

  /**
   * The numbers themselves, no copy. Ask again after anything was allocated: where the memory grew, an array from before is empty.
   * @throws KernelError `Freed`
   */
  get array(): ArrayOf<T> {
    const { buffer } = this.#memory.memory
    if (this.#array?.buffer !== buffer) {
      if (this.at === 0) throw new KernelError("Freed", { kernel: "array", operand: "this" })
      this.#array = new arrays[this.type](buffer, this.at, this.length) as ArrayOf<T>
    }
    return this.#array as ArrayOf<T>
  }

  /** Whether they lie in this memory, and were not freed. */
  isIn(memory: KernelMemory): boolean {
    return this.at !== 0 && this.#memory === memory
  }

  /** Gives the memory back; again does nothing. */
  free(): void {
    if (this.at === 0) return
    this.#memory.give(this.at, this.length * arrays[this.type].BYTES_PER_ELEMENT)
    this.at = 0
    this.#array = undefined
  }

  [Symbol.dispose](): void {
    this.free()
  }
}
