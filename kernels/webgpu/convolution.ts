/** Convolutions in two dimensions: products of the weights with the image's windows, which are never written down; or a thread an output, where a group has few of them. */
import { convolvedSize } from "../accelerate/convolution.ts"
import type { Shape } from "../accelerate/operation.ts"
import { lanes, pass, type Program } from "./plan.ts"
import { tiled } from "./tile.ts"

/** Outputs of a group from which tiles are worth their threads. */
const tiledChannelsLeast = 8

export const sizesOf = (shape: Shape, high: number, wide: number) => {
  const { dilation = 1, groups = 1, height = 0, inChannels = 0, kernelHeight = 1, kernelWidth = 1, outChannels = 0, padding = 0, stride = 1, width = 0 } = shape
  return {
    ...{ parts: groups, height, width, kernelHeight, kernelWidth, stride, padding, dilation, high, wide },
    ...{ inEach: inChannels / groups, outEach: outChannels / groups },
  }
}

/** The image's number for `image` (of a batch and part), a place of the kernel `k` and an output's `place`; 0 outside. A place before the image is, unsigned, far behind it. */
export const window = `
fn inside(image: u32, k: u32, place: u32) -> f32 {
  let y = place / u.wide * u.stride + k / u.kernelWidth % u.kernelHeight * u.dilation - u.padding;
  let x = place % u.wide * u.stride + k % u.kernelWidth * u.dilation - u.padding;
  if (y >= u.height || x >= u.width) { return 0.0; }
  return image_x[((image * u.inEach + k / (u.kernelWidth * u.kernelHeight)) * u.height + y) * u.width + x];
}`

export const conv2d: Program = (shape, operands) => {
  const [high, wide] = convolvedSize(shape)
  const { batch = 1 } = shape
  const sizes = sizesOf(shape, high, wide)
  const { inEach, kernelHeight, kernelWidth, outEach, parts } = sizes
  const hasBias = operands.has("bias")
  const reads = { image_x: "x", w: "w", ...(hasBias ? { bias: "bias" } : {}) }
  const depth = inEach * kernelHeight * kernelWidth
  if (outEach >= tiledChannelsLeast)
    return {
      scratch: {},
      passes: [
        tiled({
          ...{ m: outEach, n: high * wide, k: depth, batch: batch * parts, reads },
          uniforms: sizes,
          writes: { out: "out" },
          before: window,
          left: "w[(batch % u.parts * u.m + row) * u.k + k]",
          right: "inside(batch, k, column)",
          put: `out[(batch * u.m + row) * u.n + column] = value${hasBias ? " + bias[batch % u.parts * u.m + row]" : ""};`,
          isLeftByK: true,
          isRightByK: false,
        }),
      ],
    }
  const all = batch * parts * outEach * high * wide
  return {
    scratch: {},
    passes: [
      pass({
        uniforms: { all, depth, ...sizes },
        reads,
        writes: { out: "out" },
        before: window,
        body: `
  let i = group * ${lanes}u + lane;
  if (i >= u.all) { return; }
  let channel = i / (u.high * u.wide);
  let output = channel % (u.parts * u.outEach);
  var sum = 0.0;
  for (var k = 0u; k < u.depth; k++) { sum += w[output * u.depth + k] * inside(channel / u.outEach, k, i % (u.high * u.wide)); }
  out[i] = sum${hasBias ? " + bias[output]" : ""};`,
        groups: Math.ceil(all / lanes),
      }),
    ],
  }
}
