// Do not edit, run `node runtime/build/plugins.ts --types`

export type Problem = { readonly tag: "length"; readonly val: Mismatch } | { readonly tag: "too-large"; readonly val: bigint }

export interface Mismatch { readonly operand: string; readonly expected: bigint; readonly found: bigint }

export type Order = "lt" | "le" | "eq" | "ne" | "gt" | "ge"

export interface Top { readonly values: Float32Array; readonly places: Uint32Array }

/** What the component exports: `host.load<Exports>(…)` types `plugin.call`. */
export interface Exports {
  readonly "stele:simd/kernels#add": (x: Float32Array, y: Float32Array) => Float32Array
  readonly "stele:simd/kernels#sub": (x: Float32Array, y: Float32Array) => Float32Array
  readonly "stele:simd/kernels#mul": (x: Float32Array, y: Float32Array) => Float32Array
  readonly "stele:simd/kernels#div": (x: Float32Array, y: Float32Array) => Float32Array
  readonly "stele:simd/kernels#fma": (x: Float32Array, y: Float32Array, z: Float32Array) => Float32Array
  readonly "stele:simd/kernels#dot": (x: Float32Array, y: Float32Array) => number
  readonly "stele:simd/kernels#sum": (x: Float32Array) => number
  readonly "stele:simd/kernels#compare": (order: Order, x: Float32Array, y: Float32Array) => Uint8Array
  readonly "stele:simd/kernels#softmax": (x: Float32Array, columns: number) => Float32Array
  readonly "stele:simd/kernels#matmul": (a: Float32Array, b: Float32Array, m: number, k: number, n: number) => Float32Array
  readonly "stele:simd/kernels#topk": (x: Float32Array, k: number) => Top
}

/** Payloads of `PluginError` with reason `Guest`, by export. */
export interface Errors {
  readonly "stele:simd/kernels#add": Problem
  readonly "stele:simd/kernels#sub": Problem
  readonly "stele:simd/kernels#mul": Problem
  readonly "stele:simd/kernels#div": Problem
  readonly "stele:simd/kernels#fma": Problem
  readonly "stele:simd/kernels#dot": Problem
  readonly "stele:simd/kernels#compare": Problem
  readonly "stele:simd/kernels#softmax": Problem
  readonly "stele:simd/kernels#matmul": Problem
  readonly "stele:simd/kernels#topk": Problem
}

/** What the component imports; grants decide what it gets. */
export interface Imports {}

