/** Numbers for kernels, from a seed: ordinary ones and, where they are asked for, all that make arithmetic differ. */

/** Of 32 bits, from 0; a linear congruential generator of 48 bits, as POSIX `drand48` has it. */
export class Random {
  #state: bigint

  constructor(seed: number) {
    this.#state = (BigInt(seed) << 16n) | 0x330en
  }

  word(): number {
    this.#state = (this.#state * 0x5deece66dn + 0xbn) & 0xffff_ffff_ffffn
    return Number(this.#state >> 16n)
  }

  /** A whole number from `least` to `most`. */
  whole(least: number, most: number): number {
    return least + (this.word() % (most - least + 1))
  }

  pick<A>(of: ReadonlyArray<A>): A {
    return of[this.whole(0, of.length - 1)] as A
  }
}

const words = new Uint32Array(1)
const floats = new Float32Array(words.buffer)

/** NaN of both signs and several payloads, infinities, zeros, denormals, the largest and the least. */
export const awkward: ReadonlyArray<number> = [
  0x7fc00000, 0xffc00000, 0x7f800001, 0x7fc12345, 0xff812345, 0x7f800000, 0xff800000, 0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007fffff, 0x00800000,
  0x7f7fffff, 0xff7fffff, 0x3f800000, 0xbf800000,
]

/** `awkwardOf` of 100 numbers are awkward ones, as many are any bits, and the rest are between -1 and 1. */
export function randomFloats(random: Random, n: number, awkwardOf = 0): Float32Array<ArrayBuffer> {
  const out = new Float32Array(n)
  const bits = new Uint32Array(out.buffer)
  for (let i = 0; i < n; i++) {
    const kind = random.whole(0, 99)
    if (kind < awkwardOf) bits[i] = random.pick(awkward)
    else if (kind < 2 * awkwardOf) bits[i] = random.word()
    else out[i] = random.word() / 2 ** 31 - 1
  }
  return out
}

/** The bits that `bitexact` writes for a number. */
export function bitsOf(value: number): number {
  if (Number.isNaN(value)) return 0x7fc00000
  floats[0] = value
  return words[0] as number
}

/** Where two differ, in words; undefined where all bits are equal. A NaN that is expected is the canonical one. */
export function difference(found: Float32Array, expected: ArrayLike<number>): string | undefined {
  if (found.length !== expected.length) return `${found.length} numbers, not ${expected.length}`
  const bits = new Uint32Array(found.buffer, found.byteOffset, found.length)
  for (let i = 0; i < found.length; i++) {
    const wanted = bitsOf(expected[i] as number)
    if (bits[i] !== wanted) return `at ${i}: ${found[i]} (${(bits[i] as number).toString(16)}), not ${expected[i]} (${wanted.toString(16)})`
  }
  return undefined
}

/** The largest difference, as a part of the larger of 1 and the expected number. */
export function distance(found: Float32Array, expected: ArrayLike<number>): number {
  let most = 0
  for (let i = 0; i < found.length; i++) {
    const wanted = expected[i] as number
    most = Math.max(most, Math.abs((found[i] as number) - wanted) / Math.max(1, Math.abs(wanted)))
  }
  return most
}
