/** Softmax and the norms, row by row: a row has as many threads as it is worth, and several rows share a workgroup where they are short. */
import { type Bound, combined, lanes, type Pass, pass, type Program, type Shader } from "./plan.ts"

/** Of `x[i]`, where `at` is the row's first number, `i` a place of it all and `column` one of the row. */
interface RowShader {
  readonly steps: ReadonlyArray<Step>
  /** Of what the steps made. */
  readonly value: string
  /** A statement for each number beside it, and one for each row. */
  readonly also?: string
  readonly end?: string
}

/** A number of the row, made of a term of each of its numbers; steps after it can name it. */
interface Step {
  readonly name: string
  readonly term: string
  readonly zero: string
  readonly combine: string
}

export const sumOf = (name: string, term: string): Step => ({ name, term, zero: "0.0", combine: "a + b" })
export const most: Step = { name: "most", term: "x[i]", zero: "-3.4028234663852886e38", combine: "max(a, b)" }

/** Threads of a row: about one for four numbers. */
const widthOf = (columns: number): number => Math.min(lanes, 2 ** Math.ceil(Math.log2(Math.max(1, columns / 4))))

interface Rows {
  readonly rows: number
  readonly columns: number
  readonly uniforms?: Shader["uniforms"]
  readonly reads: Bound
  readonly to: string
  /** What `also` and `end` write. */
  readonly writes?: Bound
}

export function byRow({ also = "", end = "", steps, value }: RowShader, { columns, reads, rows, to, uniforms = {}, writes = {} }: Rows): Pass {
  const width = widthOf(columns)
  const perGroup = lanes / width
  const loop = (body: string): string => `
  if (isRow) {
    for (var column = lane % ${width}u; column < u.columns; column += ${width}u) {
      let i = first + column;
      ${body}
    }
  }`
  return pass({
    uniforms: { rows, columns, ...uniforms },
    reads,
    writes: { out: to, ...writes },
    before: `var<workgroup> parts: array<f32, ${lanes}>;`,
    body: `
  let row = group * ${perGroup}u + lane / ${width}u;
  let isRow = row < u.rows;
  let first = row * u.columns;
${steps
  .map(
    ({ combine, name, term, zero }) => `
  var ${name} = f32(${zero});
  ${loop(`let a = ${name}; let b = ${term}; ${name} = ${combine};`)}
  ${combined(name, "parts", width, combine)}`,
  )
  .join("\n")}
  ${loop(`out[i] = ${value}; ${also}`)}
  ${end === "" ? "" : `if (isRow && lane % ${width}u == 0u) { ${end} }`}`,
    groups: columns === 0 ? 0 : Math.ceil(rows / perGroup),
  })
}

export const softmax: RowShader = { steps: [most, sumOf("all", "exp(x[i] - most)")], value: "exp(x[i] - most) / all" }
const logSoftmax: RowShader = { steps: [most, sumOf("all", "exp(x[i] - most)")], value: "x[i] - most - log(all)" }
const over = "f32(u.columns)"
const centred = `(x[i] - sum / ${over})`
const layerNorm: RowShader = {
  steps: [sumOf("sum", "x[i]"), sumOf("squares", `${centred} * ${centred}`)],
  value: `${centred} / sqrt(squares / ${over} + u.epsilon)`,
}
const rmsNorm: RowShader = { steps: [sumOf("squares", "x[i] * x[i]")], value: `x[i] / sqrt(squares / ${over} + u.epsilon)` }

const programOf =
  (shader: RowShader): Program =>
  ({ columns = 0, epsilon, rows = 0 }, operands) => {
    const scaled = `${shader.value}${operands.has("gamma") ? " * gamma[column]" : ""}${operands.has("beta") ? " + beta[column]" : ""}`
    const reads = Object.fromEntries(["x", "gamma", "beta"].filter((name) => operands.has(name)).map((name) => [name, name]))
    return {
      scratch: {},
      passes: [
        byRow({ ...shader, value: scaled }, { rows, columns, reads, to: "out", ...(epsilon === undefined ? {} : { uniforms: { epsilon: { f32: epsilon } } }) }),
      ],
    }
  }

export const rowPrograms: Readonly<Record<string, Program>> = {
  softmax: programOf(softmax),
  logSoftmax: programOf(logSoftmax),
  layerNorm: programOf(layerNorm),
  rmsNorm: programOf(rmsNorm),
}
