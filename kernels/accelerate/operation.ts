/**
 * The operations an accelerator runs, as data: what they are called with, what they give, what they cost, what is right, and the SIMD kernel for each.
 * Everything that plans, tests, calibrates or draws goes by this table.
 */
import { KernelError } from "../../schemas/error/kernel.ts"
import { convolve } from "../convolve/convolve.ts"
import type { Floats, Integers, Kernels } from "../kernels.ts"
import { type MapName, maps } from "../math/math.ts"
import { matmul } from "../matmul/matmul.ts"
import type { Numbers } from "../memory/memory.ts"
import { layerNorm, logSoftmax, rmsNorm, softmax } from "../normalize/normalize.ts"
import * as reduce from "../reduce/reduce.ts"
import { topk } from "../select/select.ts"
import type { TrainingKernels } from "../training.ts"
import { binary, type BinaryName, fma } from "../vector/vector.ts"
import { convolutionArithmetic, convolutionLengths, convolutionOf, convolutionSizes, referenceShapeOf } from "./convolution.ts"
import { floats, of, rowTests, vectorTests } from "./row.ts"
import { trainingOperations } from "./training.ts"

export type ElementType = "f32" | "i32"
export type Values = Float32Array | Int32Array

/** Of an operation, by parameter: sizes, and numbers such as an epsilon. All are there, defaults too. */
export type Shape = Readonly<Record<string, number>>

export interface Parameter {
  readonly name: string
  /** A size is a whole number from 0; default `size`. */
  readonly kind?: "size" | "number"
  /** Missing: it must be given. A function of the parameters before it. */
  readonly default?: number | ((shape: Shape) => number)
  /** Of a size; default 0. */
  readonly least?: number
  readonly most?: number
}

export interface Operand {
  readonly name: string
  /** Default `f32`. */
  readonly type?: ElementType
  readonly length: number
  readonly isOptional?: boolean
  /** A number of it for self-tests and benchmarks, for place `i`; default from -1 to 1. */
  readonly sample?: (i: number) => number
}

/** What is measured for a device, and what counts as work of it: arithmetic operations, bytes read and written, numbers. */
export const rates = ["arithmetic", "memory", "function", "reduction"] as const
export type Rate = (typeof rates)[number]

/** What a device must be able to do; the groups people ask for. */
export const groups = ["VectorOps", "Reduction", "MatMul", "Compute", "NeuralTraining", "PatternMatching"] as const
export type Group = (typeof groups)[number]

/** By the operand's name. */
export type Inputs = Readonly<Record<string, Values>>

export interface Operation {
  readonly name: string
  readonly group: Group
  /** For people, with what it computes. */
  readonly summary: string
  /** In the order in which a command line gives them. */
  readonly parameters: ReadonlyArray<Parameter>
  readonly inputs: (shape: Shape) => ReadonlyArray<Operand>
  readonly outputs: (shape: Shape) => ReadonlyArray<Operand>
  /** What must hold between parameters: the one that does not, and what was expected of it. */
  readonly check?: (shape: Shape) => { readonly parameter: string; readonly expected: string } | undefined
  /** Additions, multiplications and the like. */
  readonly arithmetic: (shape: Shape) => number
  readonly rate: Rate
  /** By how much `fast` may differ, as a part of the larger of 1 and the number. */
  readonly tolerance: number
  /** Small shapes for self-tests, with what makes devices fail: odd sizes, one, more than a tile. */
  readonly tests: ReadonlyArray<Readonly<Record<string, number>>>
  /** A shape of about so much of its work, for charts and cut-overs. */
  readonly scaled: (size: number) => Readonly<Record<string, number>>
  readonly reference: (inputs: Inputs, shape: Shape) => Readonly<Record<string, Values>>
  /** Missing where SIMD has none. */
  readonly simd?: (kernels: Kernels, inputs: Readonly<Record<string, Numbers>>, outputs: Readonly<Record<string, Numbers>>, shape: Shape) => void
  /** The same of what the kernels for training have. */
  readonly training?: (kernels: TrainingKernels, inputs: Readonly<Record<string, Numbers>>, outputs: Readonly<Record<string, Numbers>>, shape: Shape) => void
}

const size = (name: string, other?: number): Parameter => (other === undefined ? { name } : { name, default: other })
const optional = (inputs: Inputs, name: string): Float32Array | undefined => inputs[name] as Float32Array | undefined
const one = (value: number): Float32Array => Float32Array.of(value)

/** Each row of `columns` numbers by a function. */
function byRow(x: Float32Array, columns: number, map: (row: Float32Array) => Float32Array): Float32Array {
  const out = new Float32Array(x.length)
  for (let at = 0; at < x.length; at += columns) out.set(map(x.subarray(at, at + columns)), at)
  return out
}

const binaries = (Object.keys(binary) as ReadonlyArray<BinaryName>).map((name): Operation => ({
  name,
  group: "VectorOps",
  summary: `out[n] = ${name}(x[n], y[n])`,
  parameters: [size("n")],
  inputs: ({ n = 0 }) => [
    { name: "x", length: n },
    { name: "y", length: n },
  ],
  outputs: ({ n = 0 }) => [{ name: "out", length: n }],
  arithmetic: ({ n = 0 }) => n,
  rate: "memory",
  tolerance: 1e-6,
  tests: vectorTests,
  scaled: (n) => ({ n }),
  reference: (inputs) => ({ out: floats(inputs, "x").map((x, i) => binary[name](x, floats(inputs, "y")[i] as number)) }),
  simd: (kernels, { x, y }, { out }) => kernels[name](out as Floats, x as Floats, y as Floats),
}))

const fmaOperation: Operation = {
  name: "fma",
  group: "VectorOps",
  summary: "out[n] = x[n] · y[n] + z[n]",
  parameters: [size("n")],
  inputs: ({ n = 0 }) => ["x", "y", "z"].map((name) => ({ name, length: n })),
  outputs: ({ n = 0 }) => [{ name: "out", length: n }],
  arithmetic: ({ n = 0 }) => 2 * n,
  rate: "memory",
  tolerance: 1e-6,
  tests: vectorTests,
  scaled: (n) => ({ n }),
  reference: (inputs) => ({
    out: floats(inputs, "x").map((x, i) => fma(x, floats(inputs, "y")[i] as number, floats(inputs, "z")[i] as number)),
  }),
  simd: (kernels, { x, y, z }, { out }) => kernels.fma(out as Floats, x as Floats, y as Floats, z as Floats),
}

/** Functions that are worth a device; each is about so many operations a number. */
const functionCosts: Readonly<Partial<Record<MapName, number>>> = {
  relu: 1,
  sigmoid: 20,
  tanh: 20,
  gelu: 40,
  geluTanh: 25,
  silu: 20,
  exp: 15,
  log: 25,
  erf: 40,
  sqrt: 1,
  abs: 1,
  neg: 1,
}
/** So few operations a number are done while it is read and written. */
const cheapMost = 10
const positive: ReadonlySet<string> = new Set(["log", "sqrt"])

const functions = (Object.entries(functionCosts) as ReadonlyArray<[MapName, number]>).map(([name, cost]): Operation => ({
  name,
  group: "VectorOps",
  summary: `out[n] = ${name}(x[n])`,
  parameters: [size("n")],
  inputs: ({ n = 0 }) => [{ name: "x", length: n, ...(positive.has(name) ? { sample: (i: number) => 1 + (i % 97) / 8 } : {}) }],
  outputs: ({ n = 0 }) => [{ name: "out", length: n }],
  arithmetic: ({ n = 0 }) => n * cost,
  rate: cost < cheapMost ? "memory" : "function",
  tolerance: 1e-5,
  tests: vectorTests,
  scaled: (n) => ({ n }),
  reference: (inputs) => ({ out: floats(inputs, "x").map(maps[name]) }),
  simd: (kernels, { x }, { out }) => kernels.map(name, out as Floats, x as Floats),
}))

const reductions = (
  [
    ["sum", "the sum", (x) => reduce.sum(x), (kernels, x) => kernels.sum(x)],
    ["mean", "the mean", (x) => reduce.mean(x), (kernels, x) => kernels.mean(x)],
    ["maxOf", "the greatest", (x) => reduce.max(x), (kernels, x) => kernels.maxOf(x)],
    ["minOf", "the least", (x) => reduce.min(x), (kernels, x) => kernels.minOf(x)],
  ] as ReadonlyArray<[string, string, (x: Float32Array) => number, (kernels: Kernels, x: Floats) => number]>
).map(([name, what, reference, simd]): Operation => ({
  name,
  group: "Reduction",
  summary: `out[1] = ${what} of x[n]`,
  parameters: [size("n")],
  inputs: ({ n = 0 }) => [{ name: "x", length: n }],
  outputs: () => [{ name: "out", length: 1 }],
  arithmetic: ({ n = 0 }) => n,
  rate: "reduction",
  tolerance: 1e-4,
  tests: vectorTests,
  scaled: (n) => ({ n }),
  reference: (inputs) => ({ out: one(reference(floats(inputs, "x"))) }),
  simd: (kernels, { x }, { out }) => {
    ;(out as Floats).array[0] = simd(kernels, x as Floats)
  },
}))

const dot: Operation = {
  name: "dot",
  group: "Reduction",
  summary: "out[1] = the sum of x[n] · y[n]",
  parameters: [size("n")],
  inputs: ({ n = 0 }) => [
    { name: "x", length: n },
    { name: "y", length: n },
  ],
  outputs: () => [{ name: "out", length: 1 }],
  arithmetic: ({ n = 0 }) => 2 * n,
  rate: "reduction",
  tolerance: 1e-4,
  tests: vectorTests,
  scaled: (n) => ({ n }),
  reference: (inputs) => ({ out: one(reduce.dot(floats(inputs, "x"), floats(inputs, "y"))) }),
  simd: (kernels, { x, y }, { out }) => {
    ;(out as Floats).array[0] = kernels.dot(x as Floats, y as Floats)
  },
}

const matmulOperation: Operation = {
  name: "matmul",
  group: "MatMul",
  summary: "out[batch, m, n] = a[batch, m, k] · b[batch, k, n] (+ bias[n]); transposeA, transposeB: 1 where it is kept the other way",
  parameters: [size("m"), size("k"), size("n"), size("batch", 1), { ...size("transposeA", 0), most: 1 }, { ...size("transposeB", 0), most: 1 }],
  inputs: ({ batch = 1, k = 0, m = 0, n = 0 }) => [
    { name: "a", length: batch * m * k },
    { name: "b", length: batch * k * n },
    { name: "bias", length: n, isOptional: true },
  ],
  outputs: ({ batch = 1, m = 0, n = 0 }) => [{ name: "out", length: batch * m * n }],
  arithmetic: ({ batch = 1, k = 0, m = 0, n = 0 }) => 2 * batch * m * k * n,
  rate: "arithmetic",
  tolerance: 1e-4,
  tests: [
    { m: 1, k: 1, n: 1 },
    { m: 17, k: 35, n: 13 },
    { m: 70, k: 33, n: 66, transposeB: 1 },
    { m: 5, k: 9, n: 7, batch: 3, transposeA: 1 },
  ],
  scaled: (n) => ({ m: n, k: n, n }),
  reference: (inputs, { batch = 1, k = 0, m = 0, n = 0, transposeA = 0, transposeB = 0 }) => {
    const [a, b] = [floats(inputs, "a"), floats(inputs, "b")]
    const out = new Float32Array(batch * m * n)
    for (let i = 0; i < batch; i++)
      out.set(
        matmul({
          ...{ m, k, n, bias: optional(inputs, "bias"), isTransposedA: transposeA === 1, isTransposedB: transposeB === 1 },
          a: a.subarray(i * m * k, (i + 1) * m * k),
          b: b.subarray(i * k * n, (i + 1) * k * n),
        }),
        i * m * n,
      )
    return { out }
  },
  simd: (kernels, { a, b, bias }, { out }, { batch = 1, k = 0, m = 0, n = 0, transposeA = 0, transposeB = 0 }) =>
    kernels.matmul(out as Floats, a as Floats, b as Floats, {
      ...{ m, k, n, batch, isTransposedA: transposeA === 1, isTransposedB: transposeB === 1 },
      ...(bias === undefined ? {} : { bias: bias as Floats }),
    }),
}

const conv2d: Operation = {
  name: "conv2d",
  group: "Compute",
  summary:
    "out[batch, outChannels, …] = x[batch, inChannels, height, width] convolved by w[outChannels, inChannels / groups, kernelHeight, kernelWidth] (+ bias[outChannels])",
  ...convolutionSizes,
  inputs: (shape) => {
    const { w, x } = convolutionLengths(shape)
    return [
      { name: "x", length: x },
      { name: "w", length: w },
      { name: "bias", length: of(shape, "outChannels"), isOptional: true },
    ]
  },
  outputs: (shape) => [{ name: "out", length: convolutionLengths(shape).out }],
  arithmetic: convolutionArithmetic,
  rate: "arithmetic",
  tolerance: 1e-4,
  reference: (inputs, shape) => ({ out: convolve(referenceShapeOf(shape), floats(inputs, "x"), floats(inputs, "w"), optional(inputs, "bias")) }),
  simd: (kernels, { bias, w, x }, { out }, shape) => {
    const packed = kernels.packConvolution(w as Floats, convolutionOf(shape))
    try {
      kernels.convolve(out as Floats, x as Floats, packed, bias === undefined ? {} : { bias: bias as Floats })
    } finally {
      packed.weights.free()
    }
  },
}

const rows = (
  name: string,
  what: string,
  optionals: ReadonlyArray<string>,
  more: ReadonlyArray<Parameter>,
  reference: (row: Float32Array, inputs: Inputs, shape: Shape) => Float32Array,
  simd: NonNullable<Operation["simd"]>,
): Operation => ({
  name,
  group: "Compute",
  summary: `out[rows, columns] = ${what} of each row of x[rows, columns]`,
  parameters: [size("rows"), size("columns"), ...more],
  inputs: ({ columns = 0, rows: count = 0 }) => [
    { name: "x", length: count * columns },
    ...optionals.map((operand) => ({ name: operand, length: columns, isOptional: true })),
  ],
  outputs: ({ columns = 0, rows: count = 0 }) => [{ name: "out", length: count * columns }],
  arithmetic: ({ columns = 0, rows: count = 0 }) => count * columns * (name.startsWith("log") || name === "softmax" ? 20 : 8),
  rate: "function",
  tolerance: 1e-4,
  tests: rowTests,
  scaled: (n) => ({ rows: n, columns: n }),
  reference: (inputs, shape) => ({ out: byRow(floats(inputs, "x"), of(shape, "columns"), (row) => reference(row, inputs, shape)) }),
  simd,
})

const epsilon: Parameter = { name: "epsilon", kind: "number", default: 1e-5 }
const given = <K extends string>(operands: Readonly<Record<K, Numbers | undefined>>): { readonly [N in K]?: Floats } =>
  Object.fromEntries(Object.entries(operands).filter(([, value]) => value !== undefined)) as { readonly [N in K]?: Floats }

const rowOperations: ReadonlyArray<Operation> = [
  rows("softmax", "softmax", [], [], softmax, (kernels, { x }, { out }, { columns = 0 }) => kernels.softmax(out as Floats, x as Floats, columns)),
  rows("logSoftmax", "the logarithm of softmax", [], [], logSoftmax, (kernels, { x }, { out }, { columns = 0 }) =>
    kernels.logSoftmax(out as Floats, x as Floats, columns),
  ),
  rows(
    "layerNorm",
    "layer normalisation, · gamma + beta,",
    ["gamma", "beta"],
    [epsilon],
    (row, inputs, shape) => layerNorm(row, optional(inputs, "gamma"), optional(inputs, "beta"), of(shape, "epsilon")),
    (kernels, { beta, gamma, x }, { out }, { columns = 0, epsilon: e = 1e-5 }) =>
      kernels.layerNorm(out as Floats, x as Floats, columns, { epsilon: e, ...given({ gamma, beta }) }),
  ),
  rows(
    "rmsNorm",
    "normalisation by the root mean square, · gamma,",
    ["gamma"],
    [epsilon],
    (row, inputs, shape) => rmsNorm(row, optional(inputs, "gamma"), of(shape, "epsilon")),
    (kernels, { gamma, x }, { out }, { columns = 0, epsilon: e = 1e-5 }) =>
      kernels.rmsNorm(out as Floats, x as Floats, columns, { epsilon: e, ...given({ gamma }) }),
  ),
]

const attention: Operation = {
  name: "attention",
  group: "Compute",
  summary: "out[heads, queries, width] = softmax(q[heads, queries, d] · k[heads, keys, d]ᵀ / √d + mask[queries, keys]) · v[heads, keys, width]",
  parameters: [size("heads"), size("queries"), size("keys"), { ...size("d"), least: 1 }, { ...size("width"), default: ({ d = 1 }) => d }],
  inputs: ({ d = 1, heads = 0, keys = 0, queries = 0, width = 1 }) => [
    { name: "q", length: heads * queries * d },
    { name: "k", length: heads * keys * d },
    { name: "v", length: heads * keys * width },
    { name: "mask", length: queries * keys, isOptional: true },
  ],
  outputs: ({ heads = 0, queries = 0, width = 1 }) => [{ name: "out", length: heads * queries * width }],
  arithmetic: ({ d = 1, heads = 0, keys = 0, queries = 0, width = 1 }) => 2 * heads * queries * keys * (d + width + 10),
  rate: "arithmetic",
  tolerance: 1e-4,
  tests: [
    { heads: 1, queries: 1, keys: 1, d: 1 },
    { heads: 2, queries: 7, keys: 19, d: 12 },
    { heads: 3, queries: 33, keys: 40, d: 16, width: 9 },
  ],
  scaled: (n) => ({ heads: 4, queries: n, keys: n, d: 64 }),
  reference: (inputs, { d = 1, heads = 0, keys = 0, queries = 0, width = 1 }) => {
    const [q, k, v, mask] = [floats(inputs, "q"), floats(inputs, "k"), floats(inputs, "v"), optional(inputs, "mask")]
    const scale = Math.fround(1 / Math.fround(Math.sqrt(d)))
    const out = new Float32Array(heads * queries * width)
    for (let head = 0; head < heads; head++) {
      const own = (x: Float32Array, each: number): Float32Array => x.subarray(head * each, (head + 1) * each)
      const scores = matmul({ a: own(q, queries * d), b: own(k, keys * d), isTransposedB: true, m: queries, k: d, n: keys })
      const masked = scores.map((score, i) => (mask === undefined ? score * scale : Math.fround(Math.fround(score * scale) + (mask[i] as number))))
      const weights = byRow(masked, keys, softmax)
      out.set(matmul({ a: weights, b: own(v, keys * width), m: queries, k: keys, n: width }), head * queries * width)
    }
    return { out }
  },
  simd: (kernels, { k, mask, q, v }, { out }, { d = 1, heads = 0, keys = 0, queries = 0, width = 1 }) =>
    kernels.attention(out as Floats, q as Floats, k as Floats, v as Floats, { heads, queries, keys, d, width, ...given({ mask }) }),
}

const topkOperation: Operation = {
  name: "topk",
  group: "Reduction",
  summary: "values[k], places[k] = the k greatest of x[n], the greatest first",
  parameters: [size("n"), size("k")],
  inputs: ({ n = 0 }) => [{ name: "x", length: n }],
  outputs: ({ k = 0 }) => [
    { name: "values", length: k },
    { name: "places", type: "i32", length: k },
  ],
  check: ({ k = 0, n = 0 }) => (k > n ? { parameter: "k", expected: `at most the ${n} numbers there are` } : undefined),
  arithmetic: ({ n = 0 }) => n,
  rate: "reduction",
  tolerance: 0,
  tests: [
    { n: 1, k: 1 },
    { n: 67, k: 5 },
    { n: 1_000, k: 10 },
  ],
  scaled: (n) => ({ n: Math.max(10, n), k: 10 }),
  reference: (inputs, { k = 0 }) => {
    const x = floats(inputs, "x")
    const places = topk(x, k)
    return { values: Float32Array.from(places, (place) => x[place] as number), places: Int32Array.from(places) }
  },
  simd: (kernels, { x }, { places, values }) => kernels.topk(values as Floats, places as Integers, x as Floats),
}

/** By name, in the order in which they are listed. */
export const operations: ReadonlyMap<string, Operation> = new Map(
  [...binaries, fmaOperation, ...functions, ...reductions, dot, matmulOperation, conv2d, ...rowOperations, attention, topkOperation, ...trainingOperations].map(
    (operation) => [operation.name, operation],
  ),
)

/** @throws KernelError `Unknown` */
export function operationOf(name: string): Operation {
  const operation = operations.get(name)
  if (operation === undefined) throw new KernelError("Unknown", { what: "operation", name, known: [...operations.keys()].join(", ") })
  return operation
}

/** A shape with its defaults, each value in its range. @throws KernelError `Shape`, `Unknown` for a parameter that the operation has not */
export function shapeOf(operation: Operation, values: Readonly<Record<string, number>>): Shape {
  const names = operation.parameters.map(({ name }) => name)
  for (const name of Object.keys(values))
    if (!names.includes(name)) throw new KernelError("Unknown", { what: `parameter of ${operation.name}`, name, known: names.join(", ") })
  const shape: Record<string, number> = {}
  for (const { kind = "size", least = 0, most = 2 ** 31 - 1, name, default: other } of operation.parameters) {
    const found = values[name] ?? (typeof other === "function" ? other(shape) : other)
    const isFit = found !== undefined && (kind === "number" ? Number.isFinite(found) : Number.isSafeInteger(found) && found >= least && found <= most)
    if (!isFit) {
      const expected = kind === "number" ? "a finite number" : `a whole number from ${least} to ${most}`
      throw new KernelError("Shape", { kernel: operation.name, operand: name, expected, found: String(found) })
    }
    shape[name] = found
  }
  const broken = operation.check?.(shape)
  if (broken !== undefined)
    throw new KernelError("Shape", { kernel: operation.name, operand: broken.parameter, expected: broken.expected, found: String(shape[broken.parameter]) })
  return shape
}

/** Whether these are the operands of an operation, by name. @throws KernelError `Unknown`, `Type` of one that is missing too, `Length` */
export function checkOperands(operation: Operation, shape: Shape, found: ReadonlyMap<string, { readonly type: ElementType; readonly length: number }>): void {
  const operands = operation.inputs(shape)
  const known = operands.map(({ name }) => name)
  for (const name of found.keys())
    if (!known.includes(name)) throw new KernelError("Unknown", { what: `operand of ${operation.name}`, name, known: known.join(", ") })
  for (const { isOptional = false, length, name, type = "f32" } of operands) {
    const values = found.get(name)
    const at = { kernel: operation.name, operand: name }
    if (values === undefined) {
      if (isOptional) continue
      throw new KernelError("Type", { ...at, expected: `${length} numbers`, found: "missing" })
    }
    if (values.type !== type) throw new KernelError("Type", { ...at, expected: type, found: values.type })
    if (values.length !== length) throw new KernelError("Length", { ...at, expected: length, found: values.length })
  }
}

const bytesOf = (operands: ReadonlyArray<Operand>): number => operands.reduce((all, { length }) => all + 4 * length, 0)

/** Bytes of all operands, optional ones too. */
export const trafficOf = (operation: Operation, shape: Shape): number => bytesOf(operation.inputs(shape)) + bytesOf(operation.outputs(shape))

/** What the operation's rate counts: arithmetic operations, bytes read and written, or numbers written. */
export function workOf(operation: Operation, shape: Shape): number {
  if (operation.rate === "arithmetic") return operation.arithmetic(shape)
  return operation.rate === "function" ? operation.outputs(shape).reduce((all, { length }) => all + length, 0) : trafficOf(operation, shape)
}

/** Fixed numbers for an operand, the same everywhere: from -1 to 1, or what it asks for. */
export function sampleOf({ length, name, sample, type = "f32" }: Operand): Values {
  const out = type === "f32" ? new Float32Array(length) : new Int32Array(length)
  let state = [...name].reduce((seed, character) => Math.imul(seed, 31) + character.charCodeAt(0), 17) >>> 0
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    out[i] = sample === undefined ? state / 2 ** 31 - 1 : sample(i)
  }
  return out
}
