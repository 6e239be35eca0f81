/** What training needs beside inference, in one module. */
export { mapBackwardF32 } from "./math/backward.as"
export { columnSumsF32, channelSumsF32 } from "./reduce/columns.as"
export { crossEntropyF32, crossEntropyOfF32 } from "./loss/loss.as"
export * from "./normalize/backward.as"
export { convolveWeightsF32, convolveWeightsEachF32, convolveWeightsScratch } from "./convolve/backward.as"
export { poolBackwardF32 } from "./pool/backward.as"
export { gatherBackwardF32 } from "./move/backward.as"
export * from "./optimize/optimize.as"
