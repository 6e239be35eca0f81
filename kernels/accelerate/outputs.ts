/** What operations make, as a type: nobody who names one in his program has to ask whether its output is there. */
import type { ComputeBuffer, ComputeBuffers } from "./buffer.ts"

/** Of those that make something else than `out`. The table has them too; a test compares. */
export const otherOutputs = {
  topk: ["values", "places"],
  reluBackward: ["dx"],
  sigmoidBackward: ["dx"],
  tanhBackward: ["dx"],
  geluBackward: ["dx"],
  geluTanhBackward: ["dx"],
  siluBackward: ["dx"],
  softmaxBackward: ["dx"],
  logSoftmaxBackward: ["dx"],
  layerNormBackward: ["dx", "dgamma", "dbeta"],
  rmsNormBackward: ["dx", "dgamma"],
  crossEntropy: ["losses", "dx"],
  conv2dBackward: ["dx", "dw", "db"],
  attentionBackward: ["dq", "dk", "dv"],
  sgd: ["wNext"],
  momentum: ["wNext", "vNext"],
  adam: ["wNext", "mNext", "vNext", "powersNext"],
} as const

type Others = typeof otherOutputs

/** Buffers by the names of an operation's outputs; of a name that is not known before, any. */
export type OutputsOf<Name extends string> = string extends Name
  ? ComputeBuffers
  : { readonly [output in Name extends keyof Others ? Others[Name][number] : "out"]: ComputeBuffer }
