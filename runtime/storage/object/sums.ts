/**
 * How a large object lies in a file or on a server: its bytes, then a CRC-32 of each chunk, then a footer. A part of it is
 * read with the chunks it touches and proved by their sums, the sums by the footer; all of it is proved by its digest. A
 * CRC-32 finds every flipped bit and every burst up to 32 bits for certain. Against somebody who writes the file on
 * purpose it proves nothing: only a whole read does.
 *
 *     bytes ‖ u32[ceil(bytes / chunkBytes)] ‖ magic[8] bytes:u64 chunkBytes:u32 sumsSum:u32 digest[32] zero:u32 footerSum:u32
 */
import type { Digest } from "../../port/object.ts"

const { crc32 } = process.getBuiltinModule("node:zlib")

/** 64 KiB: one byte costs a read of 64 KiB, and the sums are 1/16,384 of the object. Changing it changes no file written before. */
export const chunkBytes = 64 << 10
export const footerBytes = 64
const magic = Buffer.from("SteleObj")
/** What a footer may claim: more sums than this are not read into memory (16 GiB at 4 KiB a chunk). */
const sumsBytesMax = 16 << 20

/** Sums of bytes that come in pieces of any size. */
export class SumsBuilder {
  readonly #sums: Array<number> = []
  #sum = 0
  #filled = 0
  bytes = 0

  add(piece: Uint8Array): void {
    for (let at = 0; at < piece.length;) {
      const taken = Math.min(piece.length - at, chunkBytes - this.#filled)
      this.#sum = crc32(piece.subarray(at, at + taken), this.#sum)
      this.#filled += taken
      at += taken
      if (this.#filled === chunkBytes) this.#end()
    }
    this.bytes += piece.length
  }

  #end(): void {
    this.#sums.push(this.#sum)
    this.#sum = 0
    this.#filled = 0
  }

  /** What follows the bytes; nothing can be added after it. */
  trailer(digest: Digest): Buffer {
    if (this.#filled > 0) this.#end()
    const sums = Buffer.alloc(this.#sums.length * 4)
    this.#sums.forEach((sum, i) => sums.writeUInt32LE(sum, i * 4))
    const footer = Buffer.alloc(footerBytes)
    magic.copy(footer)
    footer.writeBigUInt64LE(BigInt(this.bytes), 8)
    footer.writeUInt32LE(chunkBytes, 16)
    footer.writeUInt32LE(crc32(sums), 20)
    footer.write(digest, 24, "hex")
    footer.writeUInt32LE(crc32(footer.subarray(0, 60)), 60)
    return Buffer.concat([sums, footer])
  }
}

/** What a footer says; undefined when it is none, is damaged, or speaks of an object of another size. */
export interface Footer {
  readonly bytes: number
  readonly chunkBytes: number
  readonly sumsBytes: number
  readonly digest: Digest
  readonly sumsSum: number
}

/** `storedBytes`: the size of the whole file. */
export function readFooter(footer: Buffer, storedBytes: number): Footer | undefined {
  if (footer.length !== footerBytes || !footer.subarray(0, 8).equals(magic) || footer.readUInt32LE(60) !== crc32(footer.subarray(0, 60))) return undefined
  const bytes = Number(footer.readBigUInt64LE(8))
  const chunk = footer.readUInt32LE(16)
  const sumsBytes = Math.ceil(bytes / chunk) * 4
  if (!(sumsBytes <= sumsBytesMax) || bytes + sumsBytes + footerBytes !== storedBytes) return undefined
  return { bytes, chunkBytes: chunk, sumsBytes, digest: footer.toString("hex", 24, 56), sumsSum: footer.readUInt32LE(20) }
}

/** The sums of an object, proved by its footer. */
export class Sums {
  readonly footer: Footer
  readonly #sums: Buffer

  private constructor(footer: Footer, sums: Buffer) {
    this.footer = footer
    this.#sums = sums
  }

  /** Undefined when they are not those that the footer speaks of. */
  static of(footer: Footer, sums: Buffer): Sums | undefined {
    return sums.length === footer.sumsBytes && crc32(sums) === footer.sumsSum ? new Sums(footer, sums) : undefined
  }

  /** The whole chunks that `start` to `end` touches. */
  around(start: number, end: number): { readonly start: number; readonly end: number } {
    const { bytes, chunkBytes } = this.footer
    return { start: Math.floor(start / chunkBytes) * chunkBytes, end: Math.min(bytes, Math.ceil(end / chunkBytes) * chunkBytes) }
  }

  /** Where the first chunk of `piece`, which begins at `start`, lies that is not what was written; undefined when all are. */
  damageIn(piece: Uint8Array, start: number): number | undefined {
    const { chunkBytes } = this.footer
    for (let at = 0; at < piece.length; at += chunkBytes) {
      const index = (start + at) / chunkBytes
      if (crc32(piece.subarray(at, at + chunkBytes)) !== this.#sums.readUInt32LE(index * 4)) return start + at
    }
    return undefined
  }
}
