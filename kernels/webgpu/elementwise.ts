/** Operations number by number, four at a time: one template for all of them, and ranges where an array is longer than a binding may be. */
import { lanes, type Pass, pass, type Program } from "./plan.ts"

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
  /** Of the inputs, as `vec4f`. */
  readonly value: string
  readonly before?: string
}

const two = (value: string): Elementwise => ({ inputs: ["x", "y"], value })
const one = (value: string, before = ""): Elementwise => ({ inputs: ["x"], value, before })

const table: Readonly<Record<string, Elementwise>> = {
  add: two("x + y"),
  sub: two("x - y"),
  mul: two("x * y"),
  div: two("x / y"),
  min: two("min(x, y)"),
  max: two("max(x, y)"),
  fma: { inputs: ["x", "y", "z"], value: "x * y + z" },
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
}

/** Ranges of `n` numbers that fit a binding; each begins where every adapter lets a binding begin, at a multiple of 256 bytes. */
export function rangesOf(n: number, bindingBytesMax: number): ReadonlyArray<{ readonly from: number; readonly length: number }> {
  const most = Math.floor(bindingBytesMax / 256) * 64
  return Array.from({ length: Math.ceil(n / most) }, (_, i) => ({ from: i * most, length: Math.min(most, n - i * most) }))
}

const programOf =
  ({ before = "", inputs, value }: Elementwise): Program =>
  ({ n = 0 }, _, { bindingBytesMax }) => ({
    scratch: {},
    passes: rangesOf(n, bindingBytesMax).map((range): Pass => {
      const fours = Math.ceil(range.length / 4)
      return pass({
        uniforms: { fours },
        reads: Object.fromEntries(inputs.map((name) => [`vec4f in_${name}`, { of: name, ...range }])),
        writes: { "vec4f result": { of: "out", ...range } },
        before,
        // What lies behind an array's end, up to a multiple of 16 bytes, is its own.
        body: `
  let i = group * ${lanes}u + lane;
  if (i >= u.fours) { return; }
${inputs.map((name) => `  let ${name} = in_${name}[i];`).join("\n")}
  result[i] = ${value};`,
        groups: Math.ceil(fours / lanes),
      })
    }),
  })

export const elementwise: Readonly<Record<string, Program>> = Object.fromEntries(Object.entries(table).map(([name, each]) => [name, programOf(each)]))
