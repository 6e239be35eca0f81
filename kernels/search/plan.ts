/**
 * How a set of literals is best searched for: by grams at every stride-th place (`literals.as.ts`), whose cost is that of a place, or by half bytes (`few.as.ts`), which look
 * at all places at little cost as long as few of them are let pass. Both are told before any text is seen, as if it were letters.
 */

/** Buckets of literals: bits of a mask's bytes. */
const buckets = 8
/** Half bytes are for so many literals at most: beyond, eight buckets are full. */
export const fewMax = 64
/** Bytes of the masks of five half bytes. */
export const maskBytes = 5 * 16

/**
 * Nanoseconds for 16 bytes, measured in 4 MiB of English words with 1 to 64 literals of 1 to 20 letters: a place whose gram is looked at; a step by so many
 * first bytes; and all that is done at a place that is let pass.
 */
const gramNs = 15.5
const stepNs = { 2: 2.05, 3: 2.05, 4: 1.85, 5: 2.25 } as const
const passedNs = 500

type Depth = keyof typeof stepNs

export interface SearchPlan {
  /** Bytes of a gram. */
  readonly size: number
  readonly stride: number
  /** First bytes of a literal that half bytes are looked at of, and what buckets each value of each has; absent by grams alone. */
  readonly halves?: { readonly depth: Depth; readonly masks: Uint8Array }
}

/** Place and shift of each half byte. */
const halvesOf = (depth: Depth): ReadonlyArray<readonly [place: number, shift: number]> => {
  const upper = { 2: [0, 1], 3: [0], 4: [], 5: [] }[depth]
  return [...Array.from({ length: depth }, (_, place) => [place, 0] as const), ...upper.map((place) => [place, 4] as const)]
}

const valuesOf = (set: number): number => {
  let count = 0
  for (let left = set; left !== 0; left &= left - 1) count++
  return count
}

/** Literals in buckets, each to where it lets the fewest more pass; and the part of all places that is let pass. */
function inBuckets(literals: ReadonlyArray<Uint8Array>, depth: Depth): { readonly masks: Uint8Array; readonly passed: number } {
  const halves = halvesOf(depth)
  // Letters have two or three upper halves.
  const passedBy = (sets: ReadonlyArray<number>): number =>
    sets.reduce((part, set, i) => part * Math.min(1, valuesOf(set) / (halves[i]?.[1] === 4 ? 3 : 16)), 1)
  const all = Array.from({ length: buckets }, () => ({ sets: halves.map(() => 0), passed: 0 }))
  for (const literal of literals) {
    // Any byte may follow a literal that is shorter.
    const own = halves.map(([place, shift]) => (place < literal.length ? 1 << (((literal[place] as number) >> shift) & 15) : 0xffff))
    const [best] = all
      .map((bucket) => {
        const sets = bucket.sets.map((set, i) => set | (own[i] as number))
        const passed = passedBy(sets)
        return { bucket, sets, passed, more: passed - bucket.passed }
      })
      .sort((a, b) => a.more - b.more)
    if (best !== undefined) Object.assign(best.bucket, { sets: best.sets, passed: best.passed })
  }
  const masks = new Uint8Array(maskBytes)
  all.forEach(({ sets }, bucket) => {
    sets.forEach((set, i) => {
      for (let value = 0; value < 16; value++) if ((set >> value) & 1) masks[16 * i + value] = (masks[16 * i + value] as number) | (1 << bucket)
    })
  })
  return { masks, passed: all.reduce((sum, { passed }) => sum + passed, 0) }
}

/** Of literals of at least one byte each. */
export function planOf(literals: ReadonlyArray<Uint8Array>): SearchPlan {
  const shortest = literals.reduce((least, { length }) => Math.min(least, length), Number.POSITIVE_INFINITY)
  const size = Math.min(4, shortest)
  // More places would fill the bitmap with grams of long literals.
  const stride = Math.min(shortest - size + 1, 16)
  let best: { readonly plan: SearchPlan; readonly ns: number } = { plan: { size, stride }, ns: gramNs / stride }
  if (literals.length > fewMax) return best.plan
  for (const depth of [2, 3, 4, 5] as const) {
    if (depth !== 2 && depth > shortest) continue
    const { masks, passed } = inBuckets(literals, depth)
    const ns = stepNs[depth] + passedNs * passed
    if (ns < best.ns) best = { plan: { size, stride: 1, halves: { depth, masks } }, ns }
  }
  return best.plan
}
