/** What there is WGSL for, by the operation's name. */
import { attention } from "./attention.ts"
import { conv2d } from "./convolution.ts"
import { elementwise } from "./elementwise.ts"
import { matmul } from "./matmul.ts"
import type { Program } from "./plan.ts"
import { reductions } from "./reduction.ts"
import { rowPrograms } from "./rows.ts"
import { topk } from "./select.ts"
import { training } from "./training.ts"

export const programs: ReadonlyMap<string, Program> = new Map(
  Object.entries({ ...elementwise, ...reductions, matmul, conv2d, ...rowPrograms, attention, topk, ...training }),
)
