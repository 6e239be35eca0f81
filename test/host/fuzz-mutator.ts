/**
 * Mutations of component binaries from one seed: blind ones (bytes, splices, truncation) and structure-aware ones that
 * keep every enclosing size right, so that mutants reach what stands behind the framing.
 */
import { u } from "./wasm-builder.ts"

/** Mulberry32: 32 bits of state, so that a seed and an index name a mutant. */
export class Random {
  #state: number
  constructor(seed: number) {
    this.#state = seed >>> 0
  }
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let x = this.#state
    x = Math.imul(x ^ (x >>> 15), x | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return (x ^ (x >>> 14)) >>> 0
  }
  /** 0 … n − 1. */
  below(n: number): number {
    return n <= 0 ? 0 : this.next() % n
  }
  pick<A>(items: ReadonlyArray<A>): A {
    return items[this.below(items.length)] as A
  }
}

/** A section, or an item that is one: `path` leads from the file to it, as offsets of the section ids on the way. */
interface Region {
  readonly id: number
  /** Where the id stands, and where the contents begin and end. */
  readonly at: number
  readonly start: number
  readonly end: number
  readonly parent: Region | undefined
}

/** All sections of a component and of what is nested in it; stops where the bytes do not frame. */
export function regionsOf(bytes: Uint8Array): ReadonlyArray<Region> {
  const out: Array<Region> = []
  const walk = (from: number, to: number, parent: Region | undefined, isComponent: boolean): void => {
    let at = from + 8
    while (at < to) {
      const id = bytes[at] as number
      let size = 0
      let start = at + 1
      for (let shift = 0; ; shift += 7) {
        const byte = bytes[start++]
        if (byte === undefined || shift > 28) return
        size += (byte & 0x7f) * 2 ** shift
        if (byte < 0x80) break
      }
      const end = start + size
      if (end > to) return
      const region: Region = { id, at, start, end, parent }
      out.push(region)
      if (isComponent && (id === 1 || id === 4) && size > 8) walk(start, end, region, id === 4)
      at = end
    }
  }
  walk(0, bytes.length, undefined, true)
  return out
}

/** Replaces `from … to`, which lies in `region`, and rewrites the sizes around it. */
function replace(bytes: Uint8Array, region: Region, from: number, to: number, by: ArrayLike<number>): Uint8Array {
  let inner = [...bytes.subarray(region.start, from), ...Array.from(by), ...bytes.subarray(to, region.end)]
  for (let at: Region | undefined = region; at !== undefined; at = at.parent) {
    const framed: Array<number> = [at.id, ...u(inner.length), ...inner]
    const { parent } = at
    const [start, end]: [number, number] = parent === undefined ? [0, bytes.length] : [parent.start, parent.end]
    inner = [...bytes.subarray(start, at.at), ...framed, ...bytes.subarray(at.end, end)]
  }
  return Uint8Array.from(inner)
}

const interesting = [0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 31, 32, 63, 64, 65, 100, 127, 128, 255, 256, 1_000, 65_535, 65_536, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]

/** Runs of instructions of one type: i32 comparisons, i64, f32, f64; i32 arithmetic, i64, f32, f64; loads of i32; stores of i32. */
const interchangeable = [
  [0x46, 0x4f],
  [0x51, 0x5a],
  [0x6a, 0x78],
  [0x7c, 0x8a],
  [0x92, 0x98],
  [0xa0, 0xa6],
  [0x2c, 0x2d],
  [0x2e, 0x2f],
] as const

function flip(bytes: Uint8Array, random: Random): Uint8Array {
  const out = bytes.slice()
  for (let left = 1 + random.below(4); left > 0; left--) {
    const at = random.below(out.length)
    out[at] = (out[at] as number) ^ (1 << random.below(8))
  }
  return out
}

/** By name. Those but `flip`, `byte`, `truncate` and `splice` need at least one section (`regionsOf`). */
export const mutations: Readonly<Record<string, (bytes: Uint8Array, random: Random, other: Uint8Array) => Uint8Array>> = {
  flip,
  byte(bytes, random) {
    const out = bytes.slice()
    for (let left = 1 + random.below(3); left > 0; left--) out[random.below(out.length)] = random.below(256)
    return out
  },
  truncate: (bytes, random) => bytes.slice(0, random.below(bytes.length)),
  splice(bytes, random, other) {
    const from = random.below(other.length)
    const part = other.subarray(from, from + 1 + random.below(Math.min(200, other.length - from)))
    const at = random.below(bytes.length)
    const cut = random.below(Math.min(100, bytes.length - at))
    return Uint8Array.from([...bytes.subarray(0, at), ...part, ...bytes.subarray(at + cut)])
  },
  /** Deletes, repeats or swaps whole sections at one level. */
  sections(bytes, random) {
    const regions = regionsOf(bytes)
    const one = random.pick(regions)
    const siblings = regions.filter((region) => region.parent === one.parent)
    const other = random.pick(siblings)
    const whole = (region: Region): Uint8Array => bytes.subarray(region.at, region.end)
    const order = [...siblings]
    switch (random.below(3)) {
      case 0:
        order.splice(order.indexOf(one), 1)
        break
      case 1:
        order.splice(random.below(order.length + 1), 0, one)
        break
      default:
        order[siblings.indexOf(one)] = other
        order[siblings.indexOf(other)] = one
    }
    const level = order.flatMap((region) => [...whole(region)])
    const { parent } = one
    if (parent === undefined) return Uint8Array.from([...bytes.subarray(0, 8), ...level])
    return replace(bytes, parent, parent.start + 8, parent.end, level)
  },
  /** Overwrites what may be an integer inside a section with an interesting one; sizes around it stay right. */
  leb(bytes, random) {
    const region = random.pick(regionsOf(bytes))
    if (region.end === region.start) return bytes.slice(0, region.at)
    const at = region.start + random.below(Math.min(region.end - region.start, random.below(3) === 0 ? 4 : 4_096))
    let end = at + 1
    while (end < region.end && (bytes[end - 1] as number) >= 0x80) end++
    return replace(bytes, region, at, end, u(random.pick(interesting)))
  },
  /** Inserts or deletes a few bytes inside a section; sizes around it stay right. */
  resize(bytes, random) {
    const region = random.pick(regionsOf(bytes))
    const at = region.start + random.below(region.end - region.start + 1)
    const count = 1 + random.below(6)
    if (random.below(2) === 0) return replace(bytes, region, at, Math.min(at + count, region.end), [])
    return replace(
      bytes,
      region,
      at,
      at,
      Array.from({ length: count }, () => random.below(256)),
    )
  },
  /** Copies bytes of one section over or into another of the same kind, perhaps of another file. */
  cross(bytes, random, other) {
    const to = random.pick(regionsOf(bytes))
    const like = regionsOf(other).filter((region) => region.id === to.id)
    if (like.length === 0) return flip(bytes, random)
    const from = random.pick(like)
    return replace(bytes, to, to.start, to.end, other.subarray(from.start, from.end))
  },
  /** Changes one byte of a function body: most mutants of it are decoded, elaborated and hardened before they fail or run. */
  code(bytes, random) {
    const bodies = regionsOf(bytes).filter((region) => region.id === 10 && region.parent?.id === 1)
    if (bodies.length === 0) return flip(bytes, random)
    const region = random.pick(bodies)
    const out = bytes.slice()
    for (let left = 1 + random.below(2); left > 0; left--)
      out[region.start + random.below(region.end - region.start)] =
        random.below(3) === 0 ? random.below(256) : random.pick([0x00, 0x01, 0x0b, 0x0f, 0x1a, 0x20, 0x41, 0x45, 0x6a, 0x6b, 0x6c, 0x10, 0x28, 0x36])
    return out
  },
  /** Exchanges instructions for others of the same type, and constants for interesting ones: most such mutants are valid and run. */
  operate(bytes, random) {
    const bodies = regionsOf(bytes).filter((region) => region.id === 10 && region.parent?.id === 1)
    if (bodies.length === 0) return flip(bytes, random)
    const { start, end } = random.pick(bodies)
    const out = bytes.slice()
    for (let left = 1 + random.below(4), tries = 200; left > 0 && tries > 0; tries--) {
      const at = start + random.below(end - start)
      const byte = out[at] as number
      const alike = interchangeable.find(([first, last]) => byte >= first && byte <= last)
      if (alike !== undefined) out[at] = alike[0] + random.below(alike[1] - alike[0] + 1)
      else if (byte === 0x41 && at + 1 < end) {
        // i32.const: its integer keeps its length, so nothing around it moves.
        let last = at + 1
        while (last < end && (out[last] as number) >= 0x80) out[last++] = random.below(128) | 0x80
        out[last] = random.below(last - at > 4 ? 8 : 128)
      } else continue
      left--
    }
    return out
  },
  /** Changes bytes of a data segment: the guest's constants, and tables the host will read. */
  data(bytes, random) {
    const found = regionsOf(bytes).filter((region) => region.id === 11 && region.parent?.id === 1)
    if (found.length === 0) return flip(bytes, random)
    const region = random.pick(found)
    const out = bytes.slice()
    for (let left = 1 + random.below(8); left > 0; left--)
      out[region.start + random.below(region.end - region.start)] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.below(256)])
    return out
  },
}
