/** `stele:limiter/core` by theoretical arrival times: a key has the time at which its bucket would be full, and no count of tokens. */
/** Numbers of 64 bits are numbers to QuickJS, exact to 2⁵³. */
interface Config {
  readonly capacity: number
  readonly refillPerSecond: number
  readonly keysMax: number
}
interface Request {
  readonly key: string
  readonly tokens: number
  readonly nowMs: number
}

let config: Config | undefined
/** By key: what is missing from a full bucket, in thousandths of a token, as of a time. */
let missing = new Map<string, readonly [thousandths: bigint, atMs: number]>()
let nowMs = 0

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b)

function accept(given: Config): void {
  if (given.capacity === 0) throw { tag: "invalid-config", val: "capacity must be at least 1" }
  if (given.keysMax === 0) throw { tag: "invalid-config", val: "keys-max must be at least 1" }
}

export const core = {
  init(given: Config): void {
    accept(given)
    config = given
    nowMs = 0
    missing = new Map()
  },
  step(request: Request): unknown {
    if (config === undefined) throw { tag: "uninitialised" }
    if (request.nowMs < nowMs) throw { tag: "clock-went-back", val: nowMs }
    const known = missing.get(request.key)
    if (known === undefined && missing.size >= config.keysMax) throw { tag: "too-many-keys", val: config.keysMax }
    nowMs = request.nowMs
    const [capacity, refill, tokens] = [config.capacity, config.refillPerSecond, request.tokens].map(BigInt) as [bigint, bigint, bigint]
    const [before, atMs] = known ?? [0n, nowMs]
    const short = before - least(BigInt(nowMs - atMs) * refill, before)
    const there = capacity - (short + 999n) / 1000n
    const isGranted = tokens <= there
    missing.set(request.key, [isGranted ? short + tokens * 1000n : short, nowMs])
    if (isGranted) return { tag: "granted", val: Number(there - tokens) }
    if (tokens > capacity || refill === 0n) return { tag: "denied", val: 0 }
    return { tag: "denied", val: Number((tokens * 1000n - (capacity * 1000n - short) - 1n) / refill + 1n) }
  },
  snapshot(): Uint8Array {
    if (config === undefined) return new Uint8Array(0)
    const { capacity, refillPerSecond, keysMax } = config
    const keys = [...missing].map(([key, [thousandths, at]]) => [key, String(thousandths), at])
    const text = encodeURIComponent(JSON.stringify(["qjs1", { capacity, refillPerSecond, keysMax }, nowMs, keys]))
    return Uint8Array.from(text, (character) => character.charCodeAt(0))
  },
  restore(snapshot: Uint8Array): void {
    try {
      const text = decodeURIComponent(Array.from(snapshot, (byte) => String.fromCharCode(byte)).join(""))
      const [format, given, now, keys] = JSON.parse(text)
      if (format !== "qjs1") throw new Error("none of ours")
      accept(given)
      const found = new Map<string, readonly [bigint, number]>()
      for (const [key, thousandths, at] of keys) found.set(key, [BigInt(thousandths), at])
      config = given
      nowMs = now
      missing = found
    } catch {
      throw { tag: "invalid-snapshot", val: "it is none of this format" }
    }
  },
}
