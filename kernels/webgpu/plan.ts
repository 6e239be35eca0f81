/** What a device of WebGPU is told to run: passes of WGSL, as data. Programs make them from shapes; nothing here knows a `GPUDevice`. */
import type { Shape } from "../accelerate/operation.ts"

/** Numbers of an array, by the operand's name or that of a scratch array. */
export interface Binding {
  readonly of: string
  /** The first, and how many; missing: all. In numbers of 32 bits. */
  readonly from?: number
  readonly length?: number
}

/** One dispatch. */
export interface Pass {
  /** WGSL with `main`. Equal texts share a pipeline. */
  readonly code: string
  readonly reads: ReadonlyArray<Binding>
  readonly writes: ReadonlyArray<Binding>
  /** What `u` holds. */
  readonly uniforms: Uint32Array<ArrayBuffer>
  readonly groups: number
}

export interface Plan {
  /** Arrays that only this plan needs, with their lengths. */
  readonly scratch: Readonly<Record<string, number>>
  readonly passes: ReadonlyArray<Pass>
}

/** What plans must keep to. */
export interface PlanLimits {
  /** Of one binding. */
  readonly bindingBytesMax: number
  readonly bufferBytesMax: number
}

/** The passes of an operation for a shape, where those operands are given; or why there are none. */
export type Program = (shape: Shape, operands: ReadonlySet<string>, limits: PlanLimits) => Plan | string

/** Invocations of a workgroup: what every adapter has, those of the compatibility level too. */
export const lanes = 128

/** A name in WGSL, its type there, and what is bound. */
export type Bound = Readonly<Record<string, Binding | string>>

export interface Shader {
  /** Whole numbers, and floats as `{ f32 }`. */
  readonly uniforms: Readonly<Record<string, number | { readonly f32: number }>>
  /** Names in WGSL; what begins with a type has it: `vec4f x`. Default `f32`. */
  readonly reads?: Bound
  readonly writes: Bound
  /** Declarations before `main`. */
  readonly before?: string
  /** Of `main`, which has `group` and `lane`. Groups beyond `u.groups` do not run it. */
  readonly body: string
  readonly groups: number
  readonly lanes?: number
}

const float = new Float32Array(1)
const word = new Uint32Array(float.buffer)
const wordOf = (value: number | { readonly f32: number }): number => {
  if (typeof value === "number") return value
  float[0] = value.f32
  return word[0] as number
}

/** Of a declaration as `Shader` has it. */
const declared = (text: string): readonly [type: string, name: string] => {
  const [name = "", type = "f32"] = text.split(" ").toReversed()
  return [type, name]
}

export function pass({ before = "", body, groups, lanes: invocations = lanes, reads = {}, uniforms, writes }: Shader): Pass {
  const all = { groups, ...uniforms }
  const bindings = (bound: Bound, from: number, access: string): ReadonlyArray<string> =>
    Object.keys(bound).map((text, i) => {
      const [type, name] = declared(text)
      return `@group(0) @binding(${from + i}) var<storage, ${access}> ${name}: array<${type}>;`
    })
  const code = [
    "struct Uniforms {",
    ...Object.entries(all).map(([name, value]) => `  ${name}: ${typeof value === "number" ? "u32" : "f32"},`),
    "}",
    "@group(0) @binding(0) var<uniform> u: Uniforms;",
    ...bindings(reads, 1, "read"),
    ...bindings(writes, 1 + Object.keys(reads).length, "read_write"),
    before,
    `@compute @workgroup_size(${invocations})`,
    // A dimension has at most 65,535 groups, so they go on in the second.
    "fn main(@builtin(workgroup_id) at: vec3u, @builtin(num_workgroups) counts: vec3u, @builtin(local_invocation_index) lane: u32) {",
    "  let group = at.x + at.y * counts.x;",
    "  if (group >= u.groups) { return; }",
    body,
    "}",
  ].join("\n")
  const bound = (of: Bound): ReadonlyArray<Binding> => Object.values(of).map((binding) => (typeof binding === "string" ? { of: binding } : binding))
  return { code, reads: bound(reads), writes: bound(writes), uniforms: Uint32Array.from(Object.values(all), wordOf), groups }
}

/** A tree over the threads' values of `name`, each `width` of them for themselves, in `parts`; all have the result. `combine` is an expression of `a` and `b`. */
export function combined(name: string, parts: string, width: number, combine: string): string {
  if (width === 1) return ""
  return `
  ${parts}[lane] = ${name};
  workgroupBarrier();
  for (var half = ${width / 2}u; half > 0u; half /= 2u) {
    if (lane % ${width}u < half) {
      let a = ${parts}[lane];
      let b = ${parts}[lane + half];
      ${parts}[lane] = ${combine};
    }
    workgroupBarrier();
  }
  ${name} = ${parts}[lane - lane % ${width}u];
  workgroupBarrier();`
}
