/** Attention as a list of passes: scores with the mask, their softmax, and the values they weigh. */
import type { Shape } from "../accelerate/operation.ts"
import type { Pass, Program } from "./plan.ts"
import { byRow, softmax } from "./rows.ts"
import { tiled } from "./tile.ts"

/** `q · kᵀ / √d + mask`, as `scores`. */
export function scoresOf({ d = 1, heads = 0, keys = 0, queries = 0 }: Shape, operands: ReadonlySet<string>): Pass {
  const hasMask = operands.has("mask")
  return tiled({
    ...{ m: queries, n: keys, k: d, batch: heads },
    uniforms: { scale: { f32: 1 / Math.sqrt(d) } },
    reads: { q: "q", keys: "k", ...(hasMask ? { mask: "mask" } : {}) },
    writes: { scores: "scores" },
    left: "q[(batch * u.m + row) * u.k + k]",
    right: "keys[(batch * u.n + column) * u.k + k]",
    put: `scores[(batch * u.m + row) * u.n + column] = value * u.scale${hasMask ? " + mask[row * u.n + column]" : ""};`,
    isLeftByK: true,
    isRightByK: true,
  })
}

export const attention: Program = (shape, operands) => {
  const { heads = 0, keys = 0, queries = 0, width = 1 } = shape
  const scores = heads * queries * keys
  return {
    scratch: { scores, weights: scores },
    passes: [
      scoresOf(shape, operands),
      byRow(softmax, { rows: heads * queries, columns: keys, reads: { x: "scores" }, to: "weights" }),
      tiled({
        ...{ m: queries, n: width, k: keys, batch: heads },
        reads: { weights: "weights", v: "v" },
        writes: { out: "out" },
        left: "weights[(batch * u.m + row) * u.k + k]",
        right: "v[(batch * u.k + k) * u.n + column]",
        put: "out[(batch * u.m + row) * u.n + column] = value;",
        isLeftByK: true,
        isRightByK: false,
      }),
    ],
  }
}
