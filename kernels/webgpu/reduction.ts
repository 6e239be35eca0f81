/** One number of many: partial results of many workgroups, which a last one makes one. */
import { rangesOf } from "./elementwise.ts"
import { combined, lanes, type Pass, pass, type Program } from "./plan.ts"

interface Reduction {
  readonly inputs: ReadonlyArray<string>
  /** Of the inputs at `i`. */
  readonly term: string
  readonly zero: string
  /** Of `a` and `b`. */
  readonly combine: string
  /** Of `v`, at the end. */
  readonly end?: string
  readonly ofNothing: number
}

const least = "-3.4028234663852886e38"
const most = "3.4028234663852886e38"

const table: Readonly<Record<string, Reduction>> = {
  sum: { inputs: ["x"], term: "x[i]", zero: "0.0", combine: "a + b", ofNothing: 0 },
  mean: { inputs: ["x"], term: "x[i]", zero: "0.0", combine: "a + b", end: "v / f32(u.all)", ofNothing: Number.NaN },
  dot: { inputs: ["x", "y"], term: "x[i] * y[i]", zero: "0.0", combine: "a + b", ofNothing: 0 },
  maxOf: { inputs: ["x"], term: "x[i]", zero: least, combine: "max(a, b)", ofNothing: Number.NEGATIVE_INFINITY },
  minOf: { inputs: ["x"], term: "x[i]", zero: most, combine: "min(a, b)", ofNothing: Number.POSITIVE_INFINITY },
}

/** Numbers that one workgroup takes before there is another, and how many of them there are at most. */
const numbersPerGroup = 16 * lanes
const groupsMax = 1_024

const stage = (
  { combine, zero }: Reduction,
  options: {
    readonly term: string
    readonly end: string
    readonly reads: Readonly<Record<string, string | { readonly of: string }>>
    readonly to: string
    readonly place: number
  },
  numbers: { readonly n: number; readonly all: number; readonly groups: number },
): Pass =>
  pass({
    uniforms: { n: numbers.n, all: numbers.all, place: options.place },
    reads: options.reads,
    writes: { out: options.to },
    before: `var<workgroup> parts: array<f32, ${lanes}>;`,
    body: `
  var v = f32(${zero});
  for (var i = group * ${lanes}u + lane; i < u.n; i += u.groups * ${lanes}u) {
    let a = v;
    let b = ${options.term};
    v = ${combine};
  }
  ${combined("v", "parts", lanes, combine)}
  if (lane == 0u) { out[u.place + group] = ${options.end}; }`,
    groups: numbers.groups,
  })

const programOf =
  (reduction: Reduction): Program =>
  ({ n = 0 }, _, { bindingBytesMax }) => {
    if (n === 0)
      return {
        scratch: {},
        passes: [
          pass({ uniforms: { value: wordOf(reduction.ofNothing) }, writes: { "u32 out": "out" }, body: "  if (lane == 0u) { out[0] = u.value; }", groups: 1 }),
        ],
      }
    const ranges = rangesOf(n, bindingBytesMax).map((range) => ({ ...range, groups: Math.min(groupsMax, Math.ceil(range.length / numbersPerGroup)) }))
    const partials = ranges.reduce((all, { groups }) => all + groups, 0)
    const end = reduction.end ?? "v"
    let place = 0
    const passes = ranges.map(({ from, groups, length }) => {
      const reads = Object.fromEntries(reduction.inputs.map((name) => [name, { of: name, from, length }]))
      const to = partials === 1 ? "out" : "partials"
      const made = stage(reduction, { term: reduction.term, end: partials === 1 ? end : "v", reads, to, place }, { n: length, all: n, groups })
      place += groups
      return made
    })
    if (partials === 1) return { scratch: {}, passes }
    const last = stage(reduction, { term: "x[i]", end, reads: { x: "partials" }, to: "out", place: 0 }, { n: partials, all: n, groups: 1 })
    return { scratch: { partials }, passes: [...passes, last] }
  }

const wordOf = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0] as number

export const reductions: Readonly<Record<string, Program>> = Object.fromEntries(Object.entries(table).map(([name, each]) => [name, programOf(each)]))
