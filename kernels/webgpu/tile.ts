/**
 * Products of matrices in tiles: a workgroup computes a tile of the result, its threads 8 × 4 or 4 × 4 numbers of it each in registers, from panels of 16 of k in the
 * workgroup's memory. Where the operands come from and where results go are expressions: matrices, images, scores of attention.
 */
import { type Bound, type Pass, pass, type Shader } from "./plan.ts"

/** Of k, in the workgroup's memory. */
const depth = 16

interface Tile {
  /** Threads along columns and rows, and numbers of a thread along rows; along columns it has four. */
  readonly wide: number
  readonly high: number
  readonly rows: number
}
const large: Tile = { wide: 16, high: 8, rows: 8 }
const small: Tile = { wide: 8, high: 8, rows: 4 }
/** Fewer workgroups than this leave most of a graphics card idle. */
const groupsLeast = 64

export interface Tiled {
  readonly m: number
  readonly n: number
  readonly k: number
  readonly batch: number
  readonly uniforms?: Shader["uniforms"]
  readonly reads: Bound
  readonly writes: Bound
  readonly before?: string
  /** WGSL of the number of the left operand at `row`, `k` of `batch`, inside it. */
  readonly left: string
  /** Of the right operand at `k`, `column`. */
  readonly right: string
  /** Statements that put `value` at `row`, `column`. */
  readonly put: string
  /** Whether neighbours in k lie beside each other: how threads share the loading. */
  readonly isLeftByK: boolean
  readonly isRightByK: boolean
}

const range = (n: number): ReadonlyArray<number> => Array.from({ length: n }, (_, i) => i)

/** Loading fours of a panel: `count` of them at each of 16 places of k. */
function loading(panel: string, fours: number, threads: number, get: string, isByK: boolean): string {
  const [place, four] = isByK ? [`i % ${depth}u`, `i / ${depth}u`] : [`i / ${fours}u`, `i % ${fours}u`]
  return `
    for (var i = lane; i < ${depth * fours}u; i += ${threads}u) {
      let place = ${place};
      let four = ${four};
      ${panel}[place * ${fours}u + four] = ${get};
    }`
}

export function tiled(of: Tiled): Pass {
  const { batch, isLeftByK, isRightByK, k, left, m, n, put, right } = of
  const groupsOf = ({ high, rows, wide }: Tile): number => batch * Math.ceil(m / (high * rows)) * Math.ceil(n / (4 * wide))
  const { high, rows, wide } = groupsOf(large) < groupsLeast ? small : large
  const threads = wide * high
  const [tileRows, tileColumns] = [high * rows, 4 * wide]
  const foursOfRows = tileRows / 4
  return pass({
    lanes: threads,
    uniforms: { m, n, k, across: Math.ceil(n / tileColumns), down: Math.ceil(m / tileRows), ...of.uniforms },
    reads: of.reads,
    writes: of.writes,
    groups: groupsOf({ high, rows, wide }),
    before: `${of.before ?? ""}
var<workgroup> lefts: array<vec4f, ${depth * foursOfRows}>;
var<workgroup> rights: array<vec4f, ${depth * wide}>;
fn leftAt(batch: u32, row: u32, k: u32) -> f32 {
  if (row >= u.m || k >= u.k) { return 0.0; }
  return ${left};
}
fn rightAt(batch: u32, k: u32, column: u32) -> f32 {
  if (k >= u.k || column >= u.n) { return 0.0; }
  return ${right};
}
fn put(batch: u32, row: u32, column: u32, value: f32) {
  if (row >= u.m || column >= u.n) { return; }
  ${put}
}`,
    body: `
  let batch = group / (u.across * u.down);
  let firstRow = (group / u.across) % u.down * ${tileRows}u;
  let firstColumn = group % u.across * ${tileColumns}u;
  let x = lane % ${wide}u;
  let y = lane / ${wide}u;
${range(rows)
  .map((i) => `  var sum${i} = vec4f();`)
  .join("\n")}
  for (var start = 0u; start < u.k; start += ${depth}u) {
    ${loading(
      "lefts",
      foursOfRows,
      threads,
      `vec4f(${range(4)
        .map((i) => `leftAt(batch, firstRow + 4u * four + ${i}u, start + place)`)
        .join()})`,
      isLeftByK,
    )}
    ${loading(
      "rights",
      wide,
      threads,
      `vec4f(${range(4)
        .map((i) => `rightAt(batch, start + place, firstColumn + 4u * four + ${i}u)`)
        .join()})`,
      isRightByK,
    )}
    workgroupBarrier();
    for (var place = 0u; place < ${depth}u; place++) {
      let right = rights[place * ${wide}u + x];
${range(rows / 4)
  .map((four) =>
    [
      `      let left${four} = lefts[place * ${foursOfRows}u + y * ${rows / 4}u + ${four}u];`,
      ...["x", "y", "z", "w"].map((part, i) => `      sum${4 * four + i} += left${four}.${part} * right;`),
    ].join("\n"),
  )
  .join("\n")}
    }
    workgroupBarrier();
  }
${range(rows)
  .flatMap((i) => ["x", "y", "z", "w"].map((part, j) => `  put(batch, firstRow + y * ${rows}u + ${i}u, firstColumn + 4u * x + ${j}u, sum${i}.${part});`))
  .join("\n")}`,
  })
}
