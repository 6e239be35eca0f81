/** Products of matrices, kept either way, in batches, with a bias. */
import type { Program } from "./plan.ts"
import { tiled } from "./tile.ts"

export const matmul: Program = ({ batch = 1, k = 0, m = 0, n = 0, transposeA = 0, transposeB = 0 }, operands) => {
  const hasBias = operands.has("bias")
  return {
    scratch: {},
    passes: [
      tiled({
        ...{ m, n, k, batch },
        reads: { a: "a", b: "b", ...(hasBias ? { bias: "bias" } : {}) },
        writes: { out: "out" },
        left: transposeA === 1 ? "a[(batch * u.k + k) * u.m + row]" : "a[(batch * u.m + row) * u.k + k]",
        right: transposeB === 1 ? "b[(batch * u.n + column) * u.k + k]" : "b[(batch * u.k + k) * u.n + column]",
        put: `out[(batch * u.m + row) * u.n + column] = value${hasBias ? " + bias[column]" : ""};`,
        isLeftByK: transposeA === 0,
        isRightByK: transposeB === 1,
      }),
    ],
  }
}
