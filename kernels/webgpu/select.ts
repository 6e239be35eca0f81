/**
 * The k greatest: each workgroup sorts a block in its memory and keeps its k greatest, until one block is left. Numbers become keys in the order of `topk`: a NaN is
 * greater than all, zeros are equal, and of equals the first comes first.
 */
import { lanes, type Pass, pass, type Program } from "./plan.ts"

/** Numbers that a workgroup sorts: 8 bytes each of the 16 KiB that every adapter has. */
const block = 1_024
/** So that each round leaves at most a quarter. */
export const topkMost = block / 4

const before = `
struct Candidate { key: u32, place: u32 }
var<workgroup> sorted: array<Candidate, ${block}>;
fn keyOf(bits: u32) -> u32 {
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return 0xffffffffu; }
  if (bits == 0x80000000u) { return 0x80000000u; }
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}
fn isBefore(a: Candidate, b: Candidate) -> bool {
  return a.key > b.key || (a.key == b.key && a.place < b.place);
}`

/** Batcher's bitonic sort. */
const sort = `
  workgroupBarrier();
  for (var size = 2u; size <= ${block}u; size *= 2u) {
    for (var gap = size / 2u; gap > 0u; gap /= 2u) {
      for (var pair = lane; pair < ${block / 2}u; pair += ${lanes}u) {
        let i = 2u * pair - pair % gap;
        let a = sorted[i];
        let b = sorted[i + gap];
        if (isBefore(b, a) == ((i & size) == 0u)) {
          sorted[i] = b;
          sorted[i + gap] = a;
        }
      }
      workgroupBarrier();
    }
  }`

export const topk: Program = ({ k = 0, n = 0 }) => {
  if (k > topkMost) return `k is ${k}, and it finds ${topkMost} at most`
  if (k === 0) return { scratch: {}, passes: [] }
  const passes: Array<Pass> = []
  const scratch: Record<string, number> = {}
  for (let count = n, round = 0; ; round++) {
    const groups = Math.ceil(count / block)
    const isLast = groups === 1
    const from = round === 0 ? "" : `round${(round - 1) % 2}`
    const to = `round${round % 2}`
    passes.push(
      pass({
        uniforms: { count, k },
        // All of it as bits: a NaN keeps its own, and no engine flushes what is small.
        reads: { "u32 x": "x", ...(round === 0 ? {} : { "Candidate candidates": from }) },
        writes: isLast ? { "u32 values": "values", "u32 places": "places" } : { "Candidate kept": to },
        before,
        body: `
  for (var i = lane; i < ${block}u; i += ${lanes}u) {
    let at = group * ${block}u + i;
    sorted[i] = Candidate(0u, 0xffffffffu);
    if (at < u.count) { sorted[i] = ${round === 0 ? "Candidate(keyOf(x[at]), at)" : "candidates[at]"}; }
  }
${sort}
  for (var i = lane; i < u.k; i += ${lanes}u) {
    ${isLast ? "let place = sorted[i].place; values[i] = x[place]; places[i] = place;" : "kept[group * u.k + i] = sorted[i];"}
  }`,
        groups,
      }),
    )
    if (isLast) return { scratch, passes }
    count = groups * k
    scratch[to] = Math.max(scratch[to] ?? 0, 2 * count)
  }
}
