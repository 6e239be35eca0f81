/** Buffers of a `GPUDevice` by size class: those that were given back are kept for the next that fit, up to a bound. */
import { AccelerateError } from "../../schemas/error/accelerate.ts"

/** `GPUBufferUsage`, which is a global in pages and not in Node. */
export const usages = { mapRead: 0x1, copyFrom: 0x4, copyTo: 0x8, uniform: 0x40, storage: 0x80, queryResolve: 0x200 } as const

const bytesLeast = 256

/** A buffer of this size serves all sizes down to the next class: at most an eighth of it is not needed. */
export function sizeClassOf(bytes: number): number {
  if (bytes <= bytesLeast) return bytesLeast
  const step = 2 ** Math.floor(Math.log2(bytes)) / 8
  return Math.ceil(bytes / step) * step
}

export interface PoolOptions {
  /** As errors name it. */
  readonly device: string
  /** Of all together, kept ones too. */
  readonly bytesMax: number
  /** Of those that are kept. */
  readonly pooledBytesMax: number
  /** Of one. */
  readonly bufferBytesMax: number
  readonly create: (size: number, usage: number) => GPUBuffer
}

export class BufferPool {
  readonly #options: PoolOptions
  /** By usage and size, what was given back last at the end; the key that was used last too. */
  readonly #kept = new Map<string, Array<GPUBuffer>>()
  readonly #taken = new Set<GPUBuffer>()
  bytesUsed = 0
  bytesPooled = 0

  constructor(options: PoolOptions) {
    this.#options = options
  }

  /** @throws AccelerateError `OutOfMemory` */
  take(bytes: number, usage: number): GPUBuffer {
    const { bufferBytesMax, bytesMax, create, device } = this.#options
    if (bytes > bufferBytesMax) throw new AccelerateError("OutOfMemory", { device, asked: bytes, used: this.bytesUsed, limit: bufferBytesMax })
    const size = Math.min(sizeClassOf(bytes), Math.max(bytesLeast, Math.floor(bufferBytesMax / 16) * 16))
    const key = `${usage} ${size}`
    let buffer = this.#kept.get(key)?.pop()
    if (buffer !== undefined) this.bytesPooled -= size
    else {
      if (this.bytesUsed + size > bytesMax) throw new AccelerateError("OutOfMemory", { device, asked: bytes, used: this.bytesUsed, limit: bytesMax })
      this.#shrink(bytesMax - this.bytesUsed - size)
      buffer = create(size, usage)
    }
    this.bytesUsed += size
    this.#taken.add(buffer)
    return buffer
  }

  /** Commands that were submitted before may still use it: whatever is done to it next is queued behind them. */
  give(buffer: GPUBuffer): void {
    if (!this.#taken.delete(buffer)) return
    const key = `${buffer.usage} ${buffer.size}`
    const alike = this.#kept.get(key) ?? []
    this.#kept.delete(key)
    this.#kept.set(key, alike)
    alike.push(buffer)
    this.bytesUsed -= buffer.size
    this.bytesPooled += buffer.size
    this.#shrink(this.#options.pooledBytesMax)
  }

  /** Not to be used again: nobody knows what state it is in. */
  drop(buffer: GPUBuffer): void {
    if (this.#taken.delete(buffer)) this.bytesUsed -= buffer.size
    buffer.destroy()
  }

  #shrink(bytes: number): void {
    for (const [key, alike] of this.#kept) {
      while (this.bytesPooled > bytes && alike.length > 0) {
        const buffer = alike.shift() as GPUBuffer
        this.bytesPooled -= buffer.size
        buffer.destroy()
      }
      if (alike.length === 0) this.#kept.delete(key)
      if (this.bytesPooled <= bytes) return
    }
  }

  clear(): void {
    this.#shrink(0)
    for (const buffer of this.#taken) buffer.destroy()
    this.#taken.clear()
    this.bytesUsed = 0
  }
}
