/** What training needs beside the operations of inference: gradients and steps of optimisers. Nothing is replaced in place: a step gives new weights and new state. */
import { attention, attentionBackward } from "../attention/attention.ts"
import { convolveBackward } from "../convolve/backward.ts"
import type { Floats, Integers } from "../kernels.ts"
import { crossEntropy } from "../loss/loss.ts"
import { gradients } from "../math/backward.ts"
import { layerNormBackward, logSoftmaxBackward, rmsNormBackward, softmaxBackward } from "../normalize/backward.ts"
import { adam, momentum, sgd } from "../optimize/optimize.ts"
import { columnSums } from "../reduce/columns.ts"
import { convolutionArithmetic, convolutionLengths, convolutionOf, convolutionSizes, referenceShapeOf } from "./convolution.ts"
import { floats, of, rowTests, vectorTests } from "./row.ts"
import type { Operand, Operation, Parameter, Shape } from "./operation.ts"

const group = "NeuralTraining"
const size = (name: string, least = 0): Parameter => ({ name, least })
const number = (name: string, other: number): Parameter => ({ name, kind: "number", default: other })
const switched = (name: string): Parameter => ({ name, default: 0, most: 1 })
const all = (length: number, ...names: ReadonlyArray<string>): ReadonlyArray<Operand> => names.map((name) => ({ name, length }))

const rowShape = [size("rows"), size("columns", 1)]

const slopes = (["relu", "sigmoid", "tanh", "gelu", "geluTanh", "silu"] as const).map((name): Operation => {
  const operand = gradients[name].of
  return {
    name: `${name}Backward`,
    group,
    summary: `dx[n] = dy[n] · the slope of ${name}, from what it ${operand === "y" ? "gave, y[n]" : "was given, x[n]"}`,
    parameters: [size("n")],
    inputs: ({ n = 0 }) => all(n, operand, "dy"),
    outputs: ({ n = 0 }) => all(n, "dx"),
    arithmetic: ({ n = 0 }) => n * (operand === "y" ? 3 : 40),
    rate: operand === "y" ? "memory" : "function",
    tolerance: 1e-5,
    tests: vectorTests,
    scaled: (n) => ({ n }),
    reference: (inputs) => ({ dx: floats(inputs, operand).map((value, i) => gradients[name].at(value, floats(inputs, "dy")[i] as number, 0, 0)) }),
    training: (kernels, inputs, { dx }) =>
      kernels.mapBackward(name, { dx: dx as Floats }, { [operand]: inputs[operand] as Floats, dy: inputs["dy"] as Floats }),
  }
})

const columnSumsOperation: Operation = {
  name: "columnSums",
  group,
  summary: "out[columns] = the sum of the rows of x[rows, columns], as the gradient of a bias is",
  parameters: [size("rows"), size("columns")],
  inputs: ({ columns = 0, rows = 0 }) => all(rows * columns, "x"),
  outputs: ({ columns = 0 }) => all(columns, "out"),
  arithmetic: ({ columns = 0, rows = 0 }) => rows * columns,
  rate: "reduction",
  tolerance: 1e-4,
  tests: rowTests,
  scaled: (n) => ({ rows: n, columns: n }),
  reference: (inputs, { columns = 0 }) => ({ out: columnSums(floats(inputs, "x"), columns) }),
  training: (training, { x }, { out }, { columns = 0, rows = 0 }) => {
    // Of a product over nothing, whose other gradients are not asked for.
    const nothing = training.kernels.zeros(0)
    try {
      training.denseBackward({ db: out as Floats }, { x: nothing, w: nothing, dy: x as Floats }, { m: rows, k: 0, n: columns })
    } finally {
      nothing.free()
    }
  },
}

/** Each row of `columns` numbers of two arrays by a function. */
function byRow(y: Float32Array, dy: Float32Array, columns: number, map: (y: Float32Array, dy: Float32Array) => Float32Array): Float32Array {
  const out = new Float32Array(y.length)
  for (let at = 0; at < y.length; at += columns) out.set(map(y.subarray(at, at + columns), dy.subarray(at, at + columns)), at)
  return out
}

const softmaxes = (
  [
    ["softmaxBackward", "softmax", softmaxBackward],
    ["logSoftmaxBackward", "the logarithm of softmax", logSoftmaxBackward],
  ] as const
).map(([name, what, reference]): Operation => ({
  name,
  group,
  summary: `dx[rows, columns] = the gradient of ${what} of each row, from what it gave, y, and dy`,
  parameters: rowShape,
  inputs: ({ columns = 0, rows = 0 }) => all(rows * columns, "y", "dy"),
  outputs: ({ columns = 0, rows = 0 }) => all(rows * columns, "dx"),
  arithmetic: ({ columns = 0, rows = 0 }) => 6 * rows * columns,
  rate: "function",
  tolerance: 1e-4,
  tests: rowTests,
  scaled: (n) => ({ rows: n, columns: n }),
  reference: (inputs, { columns = 1 }) => ({ dx: byRow(floats(inputs, "y"), floats(inputs, "dy"), columns, reference) }),
  training: (kernels, { dy, y }, { dx }, { columns = 1 }) => kernels[name]({ dx: dx as Floats }, { y: y as Floats, dy: dy as Floats }, columns),
}))

const norms = (["layerNormBackward", "rmsNormBackward"] as const).map((name): Operation => {
  const isCentred = name === "layerNormBackward"
  return {
    name,
    group,
    summary: `dx[rows, columns], dgamma[columns]${isCentred ? ", dbeta[columns]" : ""} = gradients of ${name.slice(0, -8)} of x with gamma, from dy`,
    parameters: [...rowShape, number("epsilon", 1e-5)],
    inputs: ({ columns = 0, rows = 0 }) => [...all(rows * columns, "x", "dy"), { name: "gamma", length: columns, isOptional: true }],
    outputs: ({ columns = 0, rows = 0 }) => [...all(rows * columns, "dx"), ...all(columns, "dgamma", ...(isCentred ? ["dbeta"] : []))],
    arithmetic: ({ columns = 0, rows = 0 }) => 16 * rows * columns,
    rate: "function",
    tolerance: 1e-4,
    tests: rowTests,
    scaled: (n) => ({ rows: n, columns: n }),
    reference: (inputs, { columns = 1, epsilon = 1e-5 }) => {
      const gamma = inputs["gamma"] as Float32Array | undefined
      return { ...(isCentred ? layerNormBackward : rmsNormBackward)(columns, { x: floats(inputs, "x"), dy: floats(inputs, "dy"), gamma, epsilon }) }
    },
    training: (kernels, { dy, gamma, x }, { dbeta, dgamma, dx }, { columns = 1, epsilon = 1e-5 }) => {
      const out = { dx: dx as Floats, dgamma: dgamma as Floats }
      const from = { x: x as Floats, dy: dy as Floats, ...(gamma === undefined ? {} : { gamma: gamma as Floats }) }
      if (isCentred) kernels.layerNormBackward({ ...out, dbeta: dbeta as Floats }, from, columns, { epsilon })
      else kernels.rmsNormBackward(out, from, columns, { epsilon })
    },
  }
})

const crossEntropyOperation: Operation = {
  name: "crossEntropy",
  group,
  summary: "losses[rows] = the cross entropy of the softmax of each row of x[rows, columns] for its class, labels[rows]; dx = the gradient of their mean",
  parameters: rowShape,
  inputs: ({ columns = 1, rows = 0 }) => [...all(rows * columns, "x"), { name: "labels", type: "i32", length: rows, sample: (i) => (7 * i) % columns }],
  outputs: ({ columns = 0, rows = 0 }) => [...all(rows, "losses"), ...all(rows * columns, "dx")],
  arithmetic: ({ columns = 0, rows = 0 }) => 20 * rows * columns,
  rate: "function",
  tolerance: 1e-5,
  tests: rowTests,
  scaled: (n) => ({ rows: n, columns: n }),
  reference: (inputs, { columns = 1 }) => ({ ...crossEntropy(floats(inputs, "x"), columns, (row) => (inputs["labels"] as Int32Array)[row] as number) }),
  training: (kernels, { labels, x }, { dx, losses }, { columns = 1 }) => {
    kernels.crossEntropy({ dx: dx as Floats, losses: losses as Floats }, { x: x as Floats, labels: labels as Integers }, columns)
  },
}

const conv2dBackward: Operation = {
  name: "conv2dBackward",
  group,
  summary: "dx, dw, db = gradients of conv2d of x by w, from dy[batch, outChannels, …]",
  ...convolutionSizes,
  inputs: (shape) => {
    const { out, w, x } = convolutionLengths(shape)
    return [...all(x, "x"), ...all(w, "w"), ...all(out, "dy")]
  },
  outputs: (shape) => {
    const { w, x } = convolutionLengths(shape)
    return [...all(x, "dx"), ...all(w, "dw"), ...all(of(shape, "outChannels"), "db")]
  },
  arithmetic: (shape) => 2 * convolutionArithmetic(shape),
  rate: "arithmetic",
  tolerance: 1e-4,
  reference: (inputs, shape) => ({ ...convolveBackward(referenceShapeOf(shape), floats(inputs, "x"), floats(inputs, "w"), floats(inputs, "dy")) }),
  training: (kernels, { dy, w, x }, { db, dw, dx }, shape) =>
    kernels.convolveBackward(
      { dx: dx as Floats, dw: dw as Floats, db: db as Floats },
      { x: x as Floats, w: w as Floats, dy: dy as Floats },
      convolutionOf(shape),
    ),
}

const attentionBackwardOperation: Operation = {
  name: "attentionBackward",
  group,
  summary: "dq, dk, dv = gradients of attention of q, k and v with mask, from dy[heads, queries, width]",
  parameters: [...["heads", "queries", "keys"].map((name) => size(name)), size("d", 1), { ...size("width"), default: ({ d = 1 }) => d }],
  inputs: ({ d = 1, heads = 0, keys = 0, queries = 0, width = 1 }) => [
    ...all(heads * queries * d, "q"),
    ...all(heads * keys * d, "k"),
    ...all(heads * keys * width, "v"),
    ...all(heads * queries * width, "dy"),
    { name: "mask", length: queries * keys, isOptional: true },
  ],
  outputs: ({ d = 1, heads = 0, keys = 0, queries = 0, width = 1 }) => [
    ...all(heads * queries * d, "dq"),
    ...all(heads * keys * d, "dk"),
    ...all(heads * keys * width, "dv"),
  ],
  arithmetic: ({ d = 1, heads = 0, keys = 0, queries = 0, width = 1 }) => 2 * heads * queries * keys * (3 * d + 2 * width + 15),
  rate: "arithmetic",
  tolerance: 1e-4,
  tests: [
    { heads: 1, queries: 1, keys: 1, d: 1 },
    { heads: 2, queries: 7, keys: 19, d: 12 },
    { heads: 3, queries: 33, keys: 40, d: 16, width: 9 },
  ],
  scaled: (n) => ({ heads: 4, queries: n, keys: n, d: 64 }),
  reference: (inputs, { d = 1, heads = 0, keys = 0, queries = 0, width = 1 }) => {
    const shape = { heads, queries, keys, d, width }
    const mask = inputs["mask"] as Float32Array | undefined
    const operands = { q: floats(inputs, "q"), k: floats(inputs, "k"), v: floats(inputs, "v"), ...(mask === undefined ? {} : { mask }) }
    return { ...attentionBackward(shape, operands, attention(shape, operands).weights, floats(inputs, "dy")) }
  },
  training: (kernels, { dy, k, mask, q, v }, { dk, dq, dv }, { d = 1, heads = 0, keys = 0, queries = 0, width = 1 }) =>
    kernels.attentionBackward(
      { dq: dq as Floats, dk: dk as Floats, dv: dv as Floats },
      { q: q as Floats, k: k as Floats, v: v as Floats, dy: dy as Floats },
      { heads, queries, keys, d, width, ...(mask === undefined ? {} : { mask: mask as Floats }) },
    ),
}

/** An optimiser's step: what it replaces lies in an input, and what replaces it in an output that is named alike. */
const step = (
  name: string,
  what: string,
  parameters: ReadonlyArray<Parameter>,
  state: ReadonlyArray<Operand>,
  reference: (values: Readonly<Record<string, Float32Array>>, dw: Float32Array, shape: Shape) => void,
  training: (...of: [...Parameters<NonNullable<Operation["training"]>>]) => void,
): Operation => {
  const lengths = (n: number): ReadonlyArray<Operand> => state.map((operand) => ({ ...operand, length: operand.length === 0 ? n : operand.length }))
  return {
    name,
    group,
    summary: `${state.map((operand) => `${operand.name}Next`).join(", ")} = ${what}`,
    parameters: [size("n"), ...parameters],
    inputs: ({ n = 0 }) => [...lengths(n), ...all(n, "dw")],
    outputs: ({ n = 0 }) => lengths(n).map(({ length, name: operand }) => ({ name: `${operand}Next`, length })),
    arithmetic: ({ n = 0 }) => n * 5 * state.length,
    rate: "memory",
    tolerance: 1e-5,
    tests: vectorTests,
    scaled: (n) => ({ n }),
    reference: (inputs, shape) => {
      const values = Object.fromEntries(state.map((operand) => [operand.name, floats(inputs, operand.name).slice()]))
      reference(values, floats(inputs, "dw"), shape)
      return Object.fromEntries(Object.entries(values).map(([operand, value]) => [`${operand}Next`, value]))
    },
    training: (kernels, inputs, outputs, shape) => {
      for (const operand of state) (outputs[`${operand.name}Next`] as Floats).array.set((inputs[operand.name] as Floats).array)
      training(kernels, inputs, outputs, shape)
    },
  }
}

/** `length` 0 stands for as many as there are weights. */
const weights: Operand = { name: "w", length: 0 }
const decay = number("decay", 0)

const steps: ReadonlyArray<Operation> = [
  step(
    "sgd",
    "w - rate · (dw + decay · w)",
    [number("rate", 0.01), decay],
    [weights],
    ({ w }, dw, shape) => sgd(w as Float32Array, dw, { rate: of(shape, "rate"), decay: of(shape, "decay") }),
    (kernels, { dw }, { wNext }, shape) => kernels.sgd(wNext as Floats, dw as Floats, { rate: of(shape, "rate"), decay: of(shape, "decay") }),
  ),
  step(
    "momentum",
    "w and its velocity v, which begins at 0, a step further: v = momentum · v + dw + decay · w, w - rate · v",
    [number("rate", 0.01), number("momentum", 0.9), decay, switched("isNesterov")],
    [weights, { name: "v", length: 0 }],
    ({ v, w }, dw, shape) => momentum(w as Float32Array, v as Float32Array, dw, momentumOf(shape)),
    (kernels, { dw }, { vNext, wNext }, shape) => kernels.momentum(wNext as Floats, dw as Floats, vNext as Floats, momentumOf(shape)),
  ),
  step(
    "adam",
    "w and what Adam keeps, m and v, which begin at 0, and powers[2], which begin at 1, a step further",
    [number("rate", 0.001), number("beta1", 0.9), number("beta2", 0.999), number("epsilon", 1e-8), decay, switched("isDecoupled")],
    [weights, { name: "m", length: 0 }, { name: "v", length: 0, sample: (i) => (i % 101) / 100 }, { name: "powers", length: 2, sample: (i) => 0.9 + 0.09 * i }],
    ({ m, powers, v, w }, dw, shape) => adam(w as Float32Array, m as Float32Array, v as Float32Array, powers as Float32Array, dw, adamOf(shape)),
    (kernels, { dw }, { mNext, powersNext, vNext, wNext }, shape) =>
      kernels.adam(wNext as Floats, dw as Floats, { m: mNext as Floats, v: vNext as Floats, powers: powersNext as Floats }, adamOf(shape)),
  ),
]

const momentumOf = (shape: Shape) => ({
  ...{ rate: of(shape, "rate"), momentum: of(shape, "momentum"), decay: of(shape, "decay") },
  isNesterov: of(shape, "isNesterov") === 1,
})
const adamOf = (shape: Shape) => ({
  ...{ rate: of(shape, "rate"), beta1: of(shape, "beta1"), beta2: of(shape, "beta2"), epsilon: of(shape, "epsilon"), decay: of(shape, "decay") },
  isDecoupled: of(shape, "isDecoupled") === 1,
})

export const trainingOperations: ReadonlyArray<Operation> = [
  ...slopes,
  columnSumsOperation,
  ...softmaxes,
  ...norms,
  crossEntropyOperation,
  conv2dBackward,
  attentionBackwardOperation,
  ...steps,
]
