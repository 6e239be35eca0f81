/**
 * Text and hashes in WebAssembly, as a library without a host. Bytes lie in a memory of their own (`bytes`), so that nothing is copied while it is worked on; all
 * results are exact.
 *
 * ```ts
 * import { openTextKernels } from "stele/kernels"
 * const text = await openTextKernels()
 * using page = text.bytes(new TextEncoder().encode("a needle in a haystack"))
 * using needles = text.literals([new TextEncoder().encode("needle"), new TextEncoder().encode("hay")])
 * text.find(page, needles) // [{ at: 2, literal: 0 }, { at: 14, literal: 1 }]
 * ```
 */
import { KernelError } from "../schemas/error/kernel.ts"
import { KernelMemory, Numbers } from "./memory/memory.ts"
import { unpacked } from "./memory/module.ts"
import { addressOf } from "./memory/operand.ts"
import type { Match } from "./search/literals.ts"
import { maskBytes, planOf } from "./search/plan.ts"

export interface TextKernelsOptions {
  /** Bytes of all arrays together; default 1 GiB, at most 4 GiB less 64 KiB. */
  readonly bytesMax?: number
}

/** Literals at once: 65,536 of up to 65,536 bytes each. */
export const literalLimits = { literalsMax: 65_536, literalBytesMax: 65_536 } as const

type Bytes = Numbers<"u8">

type Find = (set: number, text: number, n: number, from: number, out: number, capacity: number, entriesMax: number) => number

interface Exports {
  readonly indexOf: (at: number, n: number, literal: number, length: number, from: number) => number
  readonly isUtf8: (at: number, n: number) => number
  readonly crc32c: (before: number, at: number, n: number) => number
  readonly keccakF1600: (state: number) => void
  readonly keccakF1600x2: (states: number) => void
  readonly sha256Batch: (out: number, messages: number, length: number, count: number) => void
  readonly addGram: (set: number, gram: number, literal: number, place: number, index: number) => void
  readonly findLiterals: Find
  readonly findFew: Find
}

/** @throws KernelError `Engine` without WebAssembly SIMD, `Shape` of `bytesMax` */
export async function openTextKernels({ bytesMax = 1 << 30 }: TextKernelsOptions = {}): Promise<TextKernels> {
  const { wasm } = await import("./text.gen.ts")
  const module = await unpacked(wasm)
  if (!WebAssembly.validate(module)) throw new KernelError("Engine", { detail: "this engine has no WebAssembly SIMD" })
  const memory = new KernelMemory(bytesMax)
  const { instance } = await WebAssembly.instantiate(module, { env: { memory: memory.memory } })
  return new TextKernels(memory, instance.exports as unknown as Exports)
}

/** Literals made ready for a search. */
export class LiteralSet {
  readonly count: number
  /** How they are searched for: by half bytes at every place, or by grams at some. */
  readonly by: "halves" | "grams"
  /** @internal */
  readonly set: Numbers<"i32">
  /** @internal Most matches that one gram can have. */
  readonly most: number
  readonly #parts: ReadonlyArray<Numbers>

  constructor(count: number, by: "halves" | "grams", set: Numbers<"i32">, most: number, parts: ReadonlyArray<Numbers>) {
    this.count = count
    this.by = by
    this.set = set
    this.most = most
    this.#parts = parts
  }

  free(): void {
    for (const part of this.#parts) part.free()
  }

  [Symbol.dispose](): void {
    this.free()
  }
}

/** Matches that one call into the module can write. */
const matchesMax = 4_096

export class TextKernels {
  readonly #memory: KernelMemory
  readonly #module: Exports

  constructor(memory: KernelMemory, module: Exports) {
    this.#memory = memory
    this.#module = module
  }

  /** Bytes that arrays have. */
  get bytesUsed(): number {
    return this.#memory.used
  }

  /** These bytes, or so many zeros, in the kernels' memory. @throws KernelError `Memory`, `Shape` */
  bytes(values: ArrayLike<number> | number): Bytes {
    const length = typeof values === "number" ? values : values.length
    if (!(Number.isSafeInteger(length) && length >= 0))
      throw new KernelError("Shape", { kernel: "allocation", operand: "length", expected: "a whole number from 0", found: String(length) })
    const made = new Numbers(this.#memory, "u8", length)
    if (typeof values === "number") made.array.fill(0)
    else made.array.set(values)
    return made
  }

  #at(kernel: string, operand: string, of: Bytes, length = of.length): number {
    return addressOf(this.#memory, kernel, operand, of, length, "u8")
  }

  /** The first place of a literal from `from` on, or -1, as `Buffer.indexOf`. */
  indexOf(text: Bytes, literal: Bytes, from = 0): number {
    const begin = Math.min(Math.max(0, Math.trunc(from) || 0), text.length)
    const [at, wanted] = [this.#at("indexOf", "text", text), this.#at("indexOf", "literal", literal)]
    return literal.length === 0 ? begin : this.#module.indexOf(at, text.length, wanted, literal.length, begin)
  }

  /**
   * Literals for many searches, of at least one byte each. Up to some dozens are found 16 places of a text at once; of more, or of long ones, one place of every
   * `shortest - 3` is looked at. Where the first four bytes are those of literals, these are compared: at most all bytes of all of them, at each such place.
   * @throws KernelError `Shape` for none, an empty or a too long one, `Memory`
   */
  literals(all: ReadonlyArray<Uint8Array>): LiteralSet {
    const { literalBytesMax, literalsMax } = literalLimits
    const refuse = (expected: string, found: string) => new KernelError("Shape", { kernel: "literals", operand: "literals", expected, found })
    if (all.length === 0 || all.length > literalsMax) throw refuse(`1 to literalsMax (${literalsMax}) literals`, `${all.length} literals`)
    for (const { length } of all)
      if (length < 1 || length > literalBytesMax) throw refuse(`literals of 1 to literalBytesMax (${literalBytesMax}) bytes`, `one of ${length} bytes`)
    const { halves, size, stride } = planOf(all)
    const total = all.reduce((sum, { length }) => sum + length, 0)
    const parts: Array<Numbers> = []
    const make = <T extends "u8" | "i32">(type: T, length: number): Numbers<T> => {
      try {
        const made = new Numbers(this.#memory, type, length)
        made.array.fill(0)
        parts.push(made)
        return made
      } catch (error) {
        for (const part of parts) part.free()
        throw error
      }
    }
    const [bitmap, heads, entries] = [make("u8", 8_192), make("i32", 4_096), make("i32", all.length * stride * 4)]
    const [places, contents, masks, set] = [make("i32", all.length * 2), make("u8", total + 3), make("u8", maskBytes), make("i32", 9)]
    set.array.set([size === 4 ? -1 : 2 ** (8 * size) - 1, stride, bitmap.at, heads.at, entries.at, places.at, 0, masks.at, halves?.depth ?? 0])
    if (halves !== undefined) masks.array.set(halves.masks)
    const perGram = new Map<number, number>()
    let at = 0
    let index = 0
    all.forEach((literal, place) => {
      contents.array.set(literal, at)
      places.array.set([contents.at + at, literal.length], place * 2)
      at += literal.length
      for (let offset = 0; offset < stride; offset++) {
        let gram = 0
        for (let i = size - 1; i >= 0; i--) gram = (gram << 8) | (literal[offset + i] as number)
        perGram.set(gram, (perGram.get(gram) ?? 0) + 1)
        this.#module.addGram(set.at, gram, place, offset, index++)
      }
    })
    return new LiteralSet(
      all.length,
      halves === undefined ? "grams" : "halves",
      set,
      [...perGram.values()].reduce((most, one) => Math.max(most, one), 0),
      parts,
    )
  }

  /** Every place of each literal, overlapping ones too, by place and then by literal. @throws KernelError `Freed`, `Memory` */
  find(text: Bytes, literals: LiteralSet): ReadonlyArray<Match> {
    const at = this.#at("find", "text", text)
    if (!literals.set.isIn(this.#memory)) throw new KernelError("Freed", { kernel: "find", operand: "literals" })
    const capacity = Math.max(matchesMax, 8 * literals.most)
    const out = new Numbers(this.#memory, "i32", capacity * 2)
    const found: Array<Match> = []
    const search = literals.by === "halves" ? this.#module.findFew : this.#module.findLiterals
    try {
      for (let from = 0; from >= 0; from = literals.set.array[6] as number) {
        const count = search(literals.set.at, at, text.length, from, out.at, capacity, literals.most)
        const { array } = out
        for (let i = 0; i < count; i++) found.push({ at: array[2 * i] as number, literal: array[2 * i + 1] as number })
      }
    } finally {
      out.free()
    }
    return found.sort((a, b) => a.at - b.at || a.literal - b.literal)
  }

  /** Whether it is UTF-8 (RFC 3629). */
  isUtf8(text: Bytes): boolean {
    return this.#module.isUtf8(this.#at("isUtf8", "text", text), text.length) !== 0
  }

  /** CRC32C (RFC 3720) of these bytes after others, whose checksum is `before`. */
  crc32c(bytes: Bytes, before = 0): number {
    return this.#module.crc32c(before, this.#at("crc32c", "bytes", bytes), bytes.length) >>> 0
  }

  /** Keccak-f[1600] (FIPS 202) on a state of 200 bytes, in place. */
  keccakF1600(state: Bytes): void {
    this.#module.keccakF1600(this.#at("keccakF1600", "state", state, 200))
  }

  /** The same on two states whose words of eight bytes take turns, 400 bytes, in place. */
  keccakF1600x2(states: Bytes): void {
    this.#module.keccakF1600x2(this.#at("keccakF1600x2", "states", states, 400))
  }

  /** SHA-256 (FIPS 180-4) of messages of `length` bytes each that lie one behind the other: 32 bytes each to `out`. @throws KernelError `Length`, `Shape` */
  sha256Batch(out: Bytes, messages: Bytes, length: number): void {
    if (!(Number.isSafeInteger(length) && length >= 1))
      throw new KernelError("Shape", { kernel: "sha256Batch", operand: "length", expected: "a whole number from 1", found: String(length) })
    const count = Math.floor(messages.length / length)
    const from = this.#at("sha256Batch", "messages", messages, count * length)
    this.#module.sha256Batch(this.#at("sha256Batch", "out", out, 32 * count), from, length, count)
  }
}
