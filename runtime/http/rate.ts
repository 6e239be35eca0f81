/** Token buckets: how often each of many may do something. Time is given, so that a decision is a function of it. */

export interface Rate {
  /** Requests a second, in the long run. */
  readonly perSecond: number
  /** Requests at once, after a pause. */
  readonly burst: number
}

interface Bucket {
  tokens: number
  atMs: number
}

export class Buckets {
  readonly rate: Rate
  readonly #countMax: number
  readonly #buckets = new Map<string, Bucket>()

  /** @param countMax keys that are remembered; beyond them the one that came first is forgotten, and begins with a full bucket again */
  constructor(rate: Rate, countMax = 10_000) {
    this.rate = rate
    this.#countMax = countMax
  }

  get size(): number {
    return this.#buckets.size
  }

  /** Takes a token of `key`: 0, or the milliseconds until there is one. */
  take(key: string, nowMs: number): number {
    const { perSecond, burst } = this.rate
    let bucket = this.#buckets.get(key)
    if (bucket === undefined) {
      if (this.#buckets.size >= this.#countMax) this.#buckets.delete(this.#buckets.keys().next().value as string)
      this.#buckets.set(key, (bucket = { tokens: burst, atMs: nowMs }))
    }
    bucket.tokens = Math.min(burst, bucket.tokens + (Math.max(0, nowMs - bucket.atMs) / 1_000) * perSecond)
    bucket.atMs = nowMs
    if (bucket.tokens < 1) return Math.ceil(((1 - bucket.tokens) / perSecond) * 1_000)
    bucket.tokens--
    return 0
  }
}

/** Whose bucket an address is: of IPv6 the 64 bits of the network, since one machine has all addresses in them. */
export function addressKey(address: string): string {
  if (!address.includes(":")) return address
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  const [head = "", tail] = address.replace(/%.*$/, "").split("::")
  const groups = head === "" ? [] : head.split(":")
  const after = tail === undefined || tail === "" ? [] : tail.split(":")
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - groups.length - after.length)
  return [...groups, ...Array.from({ length: zeros }, () => "0"), ...after]
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, "").toLowerCase())
    .join(":")
}
