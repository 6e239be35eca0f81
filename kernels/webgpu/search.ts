/**
 * Literals in a text: the card marks every place where the first bytes of a literal may begin, 32 places a thread, by a bitmap of their hashes; the program reads the
 * marks and compares what is there.
 */
import type { Match } from "../search/literals.ts"
import { lanes, type Pass, pass } from "./plan.ts"

const hashBits = 16
/** Of Fibonacci hashing: 2^32 divided by the golden ratio. */
const factor = 2_654_435_761

export interface Grams {
  /** Bytes of a literal that are looked at: all of the shortest, four at most. */
  readonly size: number
  readonly bitmap: Uint32Array<ArrayBuffer>
  /** Literals that begin with a gram, ascending. */
  readonly literals: ReadonlyMap<number, ReadonlyArray<number>>
}

const gramAt = (text: Uint8Array, at: number, size: number): number => {
  let gram = 0
  for (let i = 0; i < size; i++) gram |= (text[at + i] as number) << (8 * i)
  return gram >>> 0
}

/** Two bytes are their own hash. */
const hashing = (size: number): { readonly factor: number; readonly shift: number } => (size <= 2 ? { factor: 1, shift: 0 } : { factor, shift: 32 - hashBits })

export function gramsOf(literals: ReadonlyArray<Uint8Array>): Grams {
  const size = literals.reduce((least, { length }) => Math.min(least, length), 4)
  const { factor: by, shift } = hashing(size)
  const bitmap = new Uint32Array(2 ** hashBits / 32)
  const byGram = new Map<number, Array<number>>()
  literals.forEach((literal, i) => {
    const gram = gramAt(literal, 0, size)
    const hash = Math.imul(gram, by) >>> shift
    bitmap[hash >>> 5] = (bitmap[hash >>> 5] as number) | (1 << (hash & 31))
    const alike = byGram.get(gram)
    if (alike === undefined) byGram.set(gram, [i])
    else alike.push(i)
  })
  return { size, bitmap, literals: byGram }
}

/** Marks places of `text` in `marks`, a bit each, for so many words of marks; the text has four bytes more than they cover. */
export const marking = (words: number, size: number): Pass =>
  pass({
    uniforms: { words, mask: 2 ** (8 * size) - 1, ...hashing(size) },
    reads: { "u32 text": "text", "u32 grams": "grams" },
    writes: { "u32 marks": "marks" },
    body: `
  let i = group * ${lanes}u + lane;
  if (i >= u.words) { return; }
  var found = 0u;
  var low = text[8u * i];
  for (var word = 0u; word < 8u; word++) {
    let high = text[8u * i + word + 1u];
    for (var byte = 0u; byte < 4u; byte++) {
      let gram = select((low >> (8u * byte)) | (high << (32u - 8u * byte)), low, byte == 0u) & u.mask;
      let hash = (gram * u.factor) >> u.shift;
      found |= ((grams[hash >> 5u] >> (hash & 31u)) & 1u) << (4u * word + byte);
    }
    low = high;
  }
  marks[i] = found;`,
    groups: Math.ceil(words / lanes),
  })

/** What is there of what was marked, from place `first` on. */
export function confirm(found: Array<Match>, marks: Uint32Array, first: number, text: Uint8Array, literals: ReadonlyArray<Uint8Array>, grams: Grams): void {
  for (let word = 0; word < marks.length; word++)
    for (let left = marks[word] as number; left !== 0; left &= left - 1) {
      const at = first + 32 * word + 31 - Math.clz32(left & -left)
      if (at + grams.size > text.length) return
      for (const literal of grams.literals.get(gramAt(text, at, grams.size)) ?? []) {
        const bytes = literals[literal] as Uint8Array
        if (at + bytes.length > text.length) continue
        let i = grams.size
        while (i < bytes.length && text[at + i] === bytes[i]) i++
        if (i === bytes.length) found.push({ at, literal })
      }
    }
}
