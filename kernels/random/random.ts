/** What random numbers are in `bitexact`: Philox4x32-10 (Salmon et al. 2011), whose key is the seed, word by word of counters that go up by 1. */
const f = Math.fround

const below32 = (1n << 32n) - 1n
const below128 = (1n << 128n) - 1n
/** Each of the four words of a counter is the lowest first. */
const wordsOf = (of: bigint, count: number): ReadonlyArray<bigint> => Array.from({ length: count }, (_, i) => (of >> BigInt(32 * i)) & below32)

/** Four words of a counter. */
export function philox(seed: bigint, counter: bigint): ReadonlyArray<number> {
  let [k0 = 0n, k1 = 0n] = wordsOf(seed, 2)
  let [c0 = 0n, c1 = 0n, c2 = 0n, c3 = 0n] = wordsOf(counter, 4)
  for (let round = 0; round < 10; round++) {
    const [a, b] = [c0 * 0xd2511f53n, c2 * 0xcd9e8d57n]
    ;[c0, c1, c2, c3] = [(b >> 32n) ^ c1 ^ k0, b & below32, (a >> 32n) ^ c3 ^ k1, a & below32]
    k0 = (k0 + 0x9e3779b9n) & below32
    k1 = (k1 + 0xbb67ae85n) & below32
  }
  return [c0, c1, c2, c3].map(Number)
}

export interface Stream {
  readonly seed: bigint
  readonly counter: bigint
}

/** `n` numbers from 0, below 1: the upper 24 bits of a word. */
const fractions = (n: number, { counter, seed }: Stream): ReadonlyArray<number> =>
  Array.from({ length: Math.ceil(n / 4) }, (_, i) => philox(seed, (counter + BigInt(i)) & below128))
    .flat()
    .slice(0, n)
    .map((word) => (word >>> 8) * 2 ** -24)

export const uniform = (n: number, of: Stream & { readonly least: number; readonly most: number }): Float32Array =>
  Float32Array.from(fractions(n, of), (u) => f(f(u * f(f(of.most) - f(of.least))) + f(of.least)))

export function dropout(x: Float32Array, of: Stream & { readonly rate: number }): Float32Array {
  const kept = fractions(x.length, of)
  const factor = f(1 / f(1 - f(of.rate)))
  return x.map((value, i) => ((kept[i] as number) >= f(of.rate) ? f(value * factor) : 0))
}
