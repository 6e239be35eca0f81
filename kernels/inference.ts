/** What `inference.as.ts` exports. */
import type { BinaryName } from "./vector/vector.ts"

type Binary = (out: number, x: number, y: number, n: number) => void

/** Addresses are in bytes; what each does is said at the kernel. */
export interface InferenceModule extends Record<`${BinaryName}F32`, Binary> {
  readonly widen: () => void
  readonly addScalarF32: (out: number, x: number, s: number, n: number) => void
  readonly mulScalarF32: (out: number, x: number, s: number, n: number) => void
  readonly fmaF32: (out: number, x: number, y: number, z: number, n: number) => void
  readonly axpyF32: (y: number, s: number, x: number, n: number) => void
  readonly compareF32: (order: number, out: number, x: number, y: number, n: number) => void
  readonly compareBitsF32: (order: number, out: number, x: number, y: number, n: number) => void
  readonly mapF32: (map: number, out: number, x: number, n: number) => void
  readonly mapWithF32: (map: number, out: number, x: number, n: number, a: number, b: number) => void
  readonly sumF32: (x: number, n: number) => number
  readonly meanF32: (x: number, n: number) => number
  readonly dotF32: (x: number, y: number, n: number) => number
  readonly maxOfF32: (x: number, n: number) => number
  readonly minOfF32: (x: number, n: number) => number
  readonly argmaxF32: (x: number, n: number) => number
  readonly packMatrixF32: (to: number, b: number, k: number, n: number, isTransposed: number) => void
  readonly matmulScratch: () => number
  readonly matmulPackedF32: (
    c: number,
    stride: number,
    a: number,
    across: number,
    along: number,
    packed: number,
    m: number,
    k: number,
    n: number,
    bias: number,
    activation: number,
    scratch: number,
  ) => void
  readonly softmaxF32: (out: number, x: number, rows: number, n: number) => void
  readonly logSoftmaxF32: (out: number, x: number, rows: number, n: number, scratch: number) => void
  readonly layerNormF32: (out: number, x: number, rows: number, n: number, gamma: number, beta: number, epsilon: number) => void
  readonly rmsNormF32: (out: number, x: number, rows: number, n: number, gamma: number, epsilon: number) => void
  readonly batchNormF32: (
    out: number,
    x: number,
    batch: number,
    channels: number,
    size: number,
    mean: number,
    variance: number,
    gamma: number,
    beta: number,
    epsilon: number,
  ) => void
  readonly packConvolutionF32: (to: number, weights: number, outChannels: number, k: number, groups: number) => void
  readonly areFiniteF32: (x: number, n: number) => number
  readonly convolutionScratch: () => number
  readonly convolveF32: (
    ...addresses: [out: number, x: number, packed: number, bias: number, activation: number, shape: number, scratch: number, first: number, last: number]
  ) => void
  readonly convolveEachF32: (out: number, x: number, weights: number, bias: number, activation: number, shape: number) => void
  readonly poolF32: (out: number, x: number, planes: number, shape: number, isMean: number, isPadded: number) => void
  readonly transpose32: (out: number, x: number, rows: number, columns: number) => void
  readonly copyStrided: (size: number, out: number, x: number, plan: number, rank: number) => void
  readonly gather: (out: number, x: number, outer: number, size: number, bytes: number, places: number, count: number) => number
  readonly broadcast: (
    kind: number,
    op: number,
    size: number,
    outSize: number,
    out: number,
    x: number,
    y: number,
    z: number,
    plan: number,
    rank: number,
  ) => number
  readonly foldRows: (
    kind: number,
    op: number,
    size: number,
    out: number,
    x: number,
    y: number,
    rows: number,
    n: number,
    identity: number,
    scratch: number,
  ) => void
  readonly rowsF32: (op: number, out: number, x: number, rows: number, n: number) => void
  readonly placesOf: (type: number, isLeast: number, out: number, x: number, outer: number, n: number, inner: number) => void
  readonly mapF64: (map: number, out: number, x: number, n: number) => void
  readonly mapI32: (map: number, out: number, x: number, n: number) => void
  readonly matmulF64: (c: number, a: number, b: number, m: number, k: number, n: number) => void
  readonly castNumbers: (to: number, from: number, out: number, x: number, n: number, scratch: number) => void
  readonly topkF32: (values: number, places: number, x: number, n: number, k: number) => void
  readonly normsF32: (out: number, x: number, rows: number, n: number) => void
  readonly scoresF32: (out: number, x: number, rows: number, n: number, query: number, norms: number, queryNorm: number) => void
  readonly vectorBytes: (rows: number, n: number) => number
  readonly packVectorsI8: (bytes: number, factors: number, margins: number, x: number, rows: number, n: number) => void
  readonly nearestScratch: (rows: number, n: number) => number
  readonly nearestF32: (
    values: number,
    places: number,
    x: number,
    rows: number,
    n: number,
    query: number,
    norms: number,
    queryNorm: number,
    isCosine: number,
    bytes: number,
    factors: number,
    margins: number,
    k: number,
    scratch: number,
  ) => void
  readonly halfToFloat: (out: number, x: number, n: number) => void
  readonly floatToHalf: (out: number, x: number, n: number) => void
  readonly floatToInt: (out: number, x: number, n: number) => void
  readonly intToFloat: (out: number, x: number, n: number) => void
  readonly binaryI32: (op: number, out: number, x: number, y: number, n: number) => void
  readonly divideI32: (out: number, x: number, y: number, n: number, isRest: number) => number
  readonly matmulScratchI8: (k: number) => number
  readonly byteProducts: () => number
  readonly packedBytesI8: (k: number, n: number, way: number) => number
  readonly packMatrixI8: (to: number, b: number, k: number, n: number, isTransposed: number, way: number) => void
  readonly columnSumsI8: (out: number, b: number, k: number, n: number, isTransposed: number) => void
  readonly matmulI8: (c: number, a: number, packed: number, m: number, k: number, n: number, scratch: number, way: number) => void
  readonly columnsI8: (to: number, image: number, shape: number, first: number, count: number, zero: number) => void
  readonly causalF32: (x: number, rows: number, n: number, offset: number) => void
  readonly requantizeI8: (out: number, acc: number, rows: number, n: number, bias: number, factors: number, zero: number) => void
  readonly quantizeI8: (out: number, x: number, n: number, scale: number, zero: number) => void
  readonly dequantizeI8: (out: number, x: number, n: number, scale: number, zero: number) => void
}
