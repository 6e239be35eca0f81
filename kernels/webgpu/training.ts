/** Gradients of rows, convolutions and attention, and the cross entropy. Those of products are products; those of functions are in `elementwise.ts`, with the optimisers. */
import { convolvedSize } from "../accelerate/convolution.ts"
import { sizesOf, window } from "./convolution.ts"
import { lanes, type Pass, pass, type Program } from "./plan.ts"
import { byRow, most, softmax, sumOf } from "./rows.ts"
import { scoresOf } from "./attention.ts"
import { tiled } from "./tile.ts"

/** Columns that lie beside each other, so that rows are read in one piece, and threads that share the rows of a column. */
const across = 16
const along = lanes / across

/** Sums over `rows` of what `term` says at `row` and `column`. */
const sumsOf = (
  from: Readonly<Record<string, string>>,
  to: string,
  { columns, rows }: { readonly rows: number; readonly columns: number },
  term: string,
  uniforms = {},
): Pass =>
  pass({
    uniforms: { rows, columns, ...uniforms },
    reads: from,
    writes: { out: to },
    before: `var<workgroup> parts: array<f32, ${lanes}>;`,
    body: `
  let column = group * ${across}u + lane % ${across}u;
  var sum = 0.0;
  if (column < u.columns) {
    for (var row = lane / ${across}u; row < u.rows; row += ${along}u) { sum += ${term}; }
  }
  parts[lane] = sum;
  workgroupBarrier();
  for (var half = ${along / 2}u; half > 0u; half /= 2u) {
    if (lane < half * ${across}u) { parts[lane] += parts[lane + half * ${across}u]; }
    workgroupBarrier();
  }
  if (lane < ${across}u && column < u.columns) { out[column] = parts[lane]; }`,
    groups: Math.ceil(columns / across),
  })

const columnSums = (from: string, to: string, sizes: { readonly rows: number; readonly columns: number }): Pass =>
  sumsOf({ x: from }, to, sizes, "x[row * u.columns + column]")

const softmaxSlope = { steps: [sumOf("all", "dy[i] * y[i]")], value: "y[i] * (dy[i] - all)" }
const logSoftmaxSlope = { steps: [sumOf("all", "dy[i]")], value: "dy[i] - exp(y[i]) * all" }

const rowsBackward =
  (shader: typeof softmaxSlope): Program =>
  ({ columns = 0, rows = 0 }) => ({ scratch: {}, passes: [byRow(shader, { rows, columns, reads: { y: "y", dy: "dy" }, to: "dx" })] })

/** With `products`, dy · the normalised number, of which the sums are the gradient of gamma. */
const normBackward =
  (isCentred: boolean): Program =>
  ({ columns = 0, epsilon = 1e-5, rows = 0 }, operands) => {
    const over = "f32(u.columns)"
    const shifted = isCentred ? `(x[i] - sum / ${over})` : "x[i]"
    const g = operands.has("gamma") ? "dy[i] * gamma[column]" : "dy[i]"
    const factor = `inverseSqrt(squares / ${over} + u.epsilon)`
    const normal = `${shifted} * ${factor}`
    const reads = { x: "x", dy: "dy", ...(operands.has("gamma") ? { gamma: "gamma" } : {}) }
    const shader = {
      steps: [
        ...(isCentred ? [sumOf("sum", "x[i]")] : []),
        sumOf("squares", `${shifted} * ${shifted}`),
        ...(isCentred ? [sumOf("middle", g)] : []),
        sumOf("slope", `${g} * ${normal}`),
      ],
      value: `(${g}${isCentred ? ` - middle / ${over}` : ""} - ${normal} * slope / ${over}) * ${factor}`,
      also: `products[i] = dy[i] * ${normal};`,
    }
    return {
      scratch: { products: rows * columns },
      passes: [
        byRow(shader, { rows, columns, reads, to: "dx", writes: { products: "products" }, uniforms: { epsilon: { f32: epsilon } } }),
        columnSums("products", "dgamma", { rows, columns }),
        ...(isCentred ? [columnSums("dy", "dbeta", { rows, columns })] : []),
      ],
    }
  }

/** A label that is no class makes its loss NaN. */
const crossEntropy: Program = ({ columns = 0, rows = 0 }) => ({
  scratch: {},
  passes: [
    byRow(
      {
        ...{ steps: [most, sumOf("all", "exp(x[i] - most)")] },
        value: "(exp(x[i] - most) / all - select(0.0, 1.0, i32(column) == labels[row])) / f32(u.rows)",
        end: `
    let label = u32(labels[row]);
    losses[row] = bitcast<f32>(u.nan);
    if (label < u.columns) { losses[row] = log(all) - (x[first + label] - most); }`,
      },
      {
        ...{ rows, columns, to: "dx" },
        reads: { x: "x", "i32 labels": "labels" },
        writes: { losses: "losses" },
        uniforms: { nan: 0x7fc00000 },
      },
    ),
  ],
})

const conv2dBackward: Program = (shape) => {
  const [high, wide] = convolvedSize(shape)
  const { batch = 1, outChannels = 0 } = shape
  const sizes = sizesOf(shape, high, wide)
  const { height, inEach, kernelHeight, kernelWidth, outEach, parts, width } = sizes
  const taps = kernelHeight * kernelWidth
  const places = high * wide
  return {
    scratch: {},
    passes: [
      // What each output that a number was read for says of it, over outputs and places of the kernel.
      tiled({
        ...{ m: inEach, n: height * width, k: outEach * taps, batch: batch * parts },
        uniforms: sizes,
        reads: { w: "w", dy: "dy" },
        writes: { dx: "dx" },
        before: `
fn reached(image: u32, k: u32, place: u32) -> f32 {
  let y = place / u.width + u.padding - k / u.kernelWidth % u.kernelHeight * u.dilation;
  let x = place % u.width + u.padding - k % u.kernelWidth * u.dilation;
  if (y % u.stride != 0u || x % u.stride != 0u || y / u.stride >= u.high || x / u.stride >= u.wide || y >= 0x80000000u || x >= 0x80000000u) { return 0.0; }
  return dy[((image * u.outEach + k / (u.kernelWidth * u.kernelHeight)) * u.high + y / u.stride) * u.wide + x / u.stride];
}`,
        left: `w[((batch % u.parts * u.outEach + k / ${taps}u) * u.m + row) * ${taps}u + k % ${taps}u]`,
        right: "reached(batch, k, column)",
        put: "dx[(batch * u.m + row) * u.n + column] = value;",
        isLeftByK: true,
        isRightByK: false,
      }),
      tiled({
        ...{ m: outEach, n: inEach * taps, k: batch * places, batch: parts },
        uniforms: { places, ...sizes },
        reads: { image_x: "x", dy: "dy" },
        writes: { dw: "dw" },
        before: window,
        left: "dy[((k / u.places * u.parts + batch) * u.outEach + row) * u.places + k % u.places]",
        right: "inside(k / u.places * u.parts + batch, column, k % u.places)",
        put: "dw[(batch * u.m + row) * u.n + column] = value;",
        isLeftByK: true,
        isRightByK: true,
      }),
      sumsOf({ dy: "dy" }, "db", { rows: batch * places, columns: outChannels }, "dy[(row / u.places * u.columns + column) * u.places + row % u.places]", {
        places: Math.max(1, places),
      }),
    ],
  }
}

const attentionBackward: Program = (shape, operands) => {
  const { d = 1, heads = 0, keys = 0, queries = 0, width = 1 } = shape
  const scores = heads * queries * keys
  const scale = { scale: { f32: 1 / Math.sqrt(d) } }
  const byOwn = (name: string): string => `${name}[(batch * u.m + row) * u.k + k]`
  const turned = (name: string): string => `${name}[(batch * u.k + k) * u.m + row]`
  const plain = (name: string): string => `${name}[(batch * u.k + k) * u.n + column]`
  const at = "(batch * u.m + row) * u.n + column"
  return {
    scratch: { scores, weights: scores, slopes: scores },
    passes: [
      scoresOf(shape, operands),
      byRow(softmax, { rows: heads * queries, columns: keys, reads: { x: "scores" }, to: "weights" }),
      tiled({
        ...{ m: keys, n: width, k: queries, batch: heads, reads: { weights: "weights", dy: "dy" }, writes: { dv: "dv" } },
        ...{ left: turned("weights"), right: plain("dy"), put: `dv[${at}] = value;`, isLeftByK: false, isRightByK: false },
      }),
      // Scores are not needed any more: here lie the gradients of the weights.
      tiled({
        ...{ m: queries, n: keys, k: width, batch: heads, reads: { dy: "dy", v: "v" }, writes: { scores: "scores" } },
        ...{ left: byOwn("dy"), right: "v[(batch * u.n + column) * u.k + k]", put: `scores[${at}] = value;`, isLeftByK: true, isRightByK: true },
      }),
      byRow(
        { ...softmaxSlope, value: `${softmaxSlope.value} * u.scale` },
        {
          ...{ rows: heads * queries, columns: keys, reads: { y: "weights", dy: "scores" }, to: "slopes", uniforms: scale },
        },
      ),
      tiled({
        ...{ m: queries, n: d, k: keys, batch: heads, reads: { slopes: "slopes", keys: "k" }, writes: { dq: "dq" } },
        ...{ left: byOwn("slopes"), right: plain("keys"), put: `dq[${at}] = value;`, isLeftByK: true, isRightByK: false },
      }),
      tiled({
        ...{ m: keys, n: d, k: queries, batch: heads, reads: { slopes: "slopes", q: "q" }, writes: { dk: "dk" } },
        ...{ left: turned("slopes"), right: plain("q"), put: `dk[${at}] = value;`, isLeftByK: false, isRightByK: false },
      }),
    ],
  }
}

export const training: Readonly<Record<string, Program>> = {
  columnSums: ({ columns = 0, rows = 0 }) => ({ scratch: {}, passes: [columnSums("x", "out", { rows, columns })] }),
  softmaxBackward: rowsBackward(softmaxSlope),
  logSoftmaxBackward: rowsBackward(logSoftmaxSlope),
  layerNormBackward: normBackward(true),
  rmsNormBackward: normBackward(false),
  crossEntropy,
  conv2dBackward,
  attentionBackward,
}
