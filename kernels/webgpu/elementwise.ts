/** Operations number by number, four at a time: one template for all of them, and ranges where an array is longer than a binding may be. */
import { type Bound, lanes, type Pass, pass, type Plan, type Program } from "./plan.ts"

/** By Abramowitz and Stegun 7.1.26, whose absolute error is below 1.5e-7. */
const erf = `
fn erf(x: vec4f) -> vec4f {
  let t = 1.0 / (1.0 + 0.3275911 * abs(x));
  let p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return sign(x) * (1.0 - p * exp(-x * x));
}`
/** Exponents that stay finite: infinities may be anything in WGSL. */
const sigmoid = `fn sigmoid(x: vec4f) -> vec4f { return 1.0 / (1.0 + exp(clamp(-x, vec4f(-87.0), vec4f(87.0)))); }`
const tanh = `fn tangent(x: vec4f) -> vec4f { return 1.0 - 2.0 / (1.0 + exp(clamp(2.0 * x, vec4f(-87.0), vec4f(87.0)))); }`

interface Elementwise {
  readonly inputs: ReadonlyArray<string>
  /** Statements before them. */
  readonly steps?: string
  /** Of the inputs, as `vec4f`, by output. */
  readonly outputs: Readonly<Record<string, string>>
  readonly before?: string
  /** Parameters that it names `u.NAME`. */
  readonly numbers?: ReadonlyArray<string>
  /** Arrays that are the same for all ranges. */
  readonly whole?: ReadonlyArray<string>
}

const two = (value: string): Elementwise => ({ inputs: ["x", "y"], outputs: { out: value } })
const one = (value: string, before = ""): Elementwise => ({ inputs: ["x"], outputs: { out: value }, before })
const slope = (operand: "x" | "y", value: string, before = ""): Elementwise => ({ inputs: [operand, "dy"], outputs: { dx: value }, before })

const table: Readonly<Record<string, Elementwise>> = {
  add: two("x + y"),
  sub: two("x - y"),
  mul: two("x * y"),
  div: two("x / y"),
  min: two("min(x, y)"),
  max: two("max(x, y)"),
  fma: { inputs: ["x", "y", "z"], outputs: { out: "x * y + z" } },
  relu: one("max(x, vec4f())"),
  sigmoid: one("sigmoid(x)", sigmoid),
  tanh: one("tangent(x)", tanh),
  gelu: one("0.5 * x * (1.0 + erf(0.7071067811865476 * x))", erf),
  geluTanh: one("0.5 * x * (1.0 + tangent(0.7978845608 * (x + 0.044715 * x * x * x)))", tanh),
  silu: one("x * sigmoid(x)", sigmoid),
  exp: one("exp(x)"),
  log: one("log(x)"),
  erf: one("erf(x)", erf),
  sqrt: one("sqrt(x)"),
  abs: one("abs(x)"),
  neg: one("-x"),
  reluBackward: slope("y", "select(vec4f(), dy, y > vec4f())"),
  sigmoidBackward: slope("y", "dy * y * (1.0 - y)"),
  tanhBackward: slope("y", "dy * (1.0 - y * y)"),
  geluBackward: slope("x", "dy * (0.5 * (1.0 + erf(0.7071067811865476 * x)) + x * exp(-0.5 * x * x) * 0.3989422804)", erf),
  geluTanhBackward: slope(
    "x",
    "dy * inner(x)",
    `${tanh}
fn inner(x: vec4f) -> vec4f {
  let t = tangent(0.7978845608 * (x + 0.044715 * x * x * x));
  return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * 0.7978845608 * (1.0 + 0.134145 * x * x);
}`,
  ),
  siluBackward: slope("x", "dy * sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x)))", sigmoid),
  sgd: { inputs: ["w", "dw"], outputs: { wNext: "w - u.rate * (dw + u.decay * w)" }, numbers: ["rate", "decay"] },
  momentum: {
    inputs: ["w", "v", "dw"],
    steps: "let g = dw + u.decay * w; let next = u.momentum * v + g;",
    outputs: { vNext: "next", wNext: "w - u.rate * select(next, u.momentum * next + g, u.isNesterov > 0.5)" },
    numbers: ["rate", "momentum", "decay", "isNesterov"],
  },
}

/** Adam's step once the powers of both betas are made. */
const adamStep: Elementwise = {
  inputs: ["w", "m", "v", "dw"],
  steps: `
  let g = dw + select(u.decay, 0.0, u.isDecoupled > 0.5) * w;
  let start = w - select(0.0, u.rate * u.decay, u.isDecoupled > 0.5) * w;
  let first = u.beta1 * m + (1.0 - u.beta1) * g;
  let second = u.beta2 * v + (1.0 - u.beta2) * g * g;`,
  outputs: {
    mNext: "first",
    vNext: "second",
    wNext: "start - u.rate * (first / (1.0 - powersNext[0])) / (sqrt(second / (1.0 - powersNext[1])) + u.epsilon)",
  },
  numbers: ["rate", "beta1", "beta2", "epsilon", "decay", "isDecoupled"],
  whole: ["powersNext"],
}

/** Ranges of `n` numbers that fit a binding; each begins where every adapter lets a binding begin, at a multiple of 256 bytes. */
export function rangesOf(n: number, bindingBytesMax: number): ReadonlyArray<{ readonly from: number; readonly length: number }> {
  const most = Math.floor(bindingBytesMax / 256) * 64
  return Array.from({ length: Math.ceil(n / most) }, (_, i) => ({ from: i * most, length: Math.min(most, n - i * most) }))
}

const programOf =
  ({ before = "", inputs, numbers = [], outputs, steps = "", whole = [] }: Elementwise): Program =>
  (shape, _, { bindingBytesMax }) => ({
    scratch: {},
    passes: rangesOf(shape["n"] ?? 0, bindingBytesMax).map((range): Pass => {
      const fours = Math.ceil(range.length / 4)
      const bound = (names: ReadonlyArray<string>, prefix: string): Bound =>
        Object.fromEntries(names.map((name) => [`vec4f ${prefix}${name}`, { of: name, ...range }]))
      return pass({
        uniforms: { fours, ...Object.fromEntries(numbers.map((name) => [name, { f32: shape[name] ?? 0 }])) },
        reads: { ...bound(inputs, "in_"), ...Object.fromEntries(whole.map((name) => [name, name])) },
        writes: bound(Object.keys(outputs), "to_"),
        before,
        // What lies behind an array's end, up to a multiple of 16 bytes, is its own.
        body: `
  let i = group * ${lanes}u + lane;
  if (i >= u.fours) { return; }
${inputs.map((name) => `  let ${name} = in_${name}[i];`).join("\n")}
  ${steps}
${Object.entries(outputs)
  .map(([name, value]) => `  to_${name}[i] = ${value};`)
  .join("\n")}`,
        groups: Math.ceil(fours / lanes),
      })
    }),
  })

/** The powers first: with them among what a step writes it would have nine arrays, and every adapter takes eight. */
const adam: Program = (shape, operands, limits) => {
  const step = programOf(adamStep)(shape, operands, limits) as Plan
  const powers = pass({
    uniforms: { beta1: { f32: shape["beta1"] ?? 0 }, beta2: { f32: shape["beta2"] ?? 0 } },
    reads: { powers: "powers" },
    writes: { powersNext: "powersNext" },
    body: "  if (lane < 2u) { powersNext[lane] = powers[lane] * select(u.beta1, u.beta2, lane == 1u); }",
    groups: 1,
  })
  return { ...step, passes: [powers, ...step.passes] }
}

export const elementwise: Readonly<Record<string, Program>> = {
  ...Object.fromEntries(Object.entries(table).map(([name, each]) => [name, programOf(each)])),
  adam,
}
