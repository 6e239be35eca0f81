/** `stele:simd/kernels`: lengths are compared, then the kernels compute in new arrays. */
import { matmulPackedF32, matmulScratch, packMatrixF32 } from "../../../kernels/matmul/matmul.as"
import { softmaxF32 } from "../../../kernels/normalize/normalize.as"
import { dotF32, sumF32 } from "../../../kernels/reduce/reduce.as"
import { topkF32 } from "../../../kernels/select/select.as"
import { addF32, compareBitsF32, divF32, fmaF32, mulF32, subF32 } from "../../../kernels/vector/vector.as"
import { Mismatch, Order, Problem, Top } from "../bindings/kernels"
import { err, ok, Result } from "../bindings/runtime"

type Floats = StaticArray<f32>

/** Numbers of a result. */
const numbersMax: u64 = 4_000_000

function at<T>(numbers: StaticArray<T>): usize {
  return changetype<usize>(numbers)
}
function mismatch<A>(operand: string, expected: u64, found: u64): Result<A, Problem> {
  return err<A, Problem>(Problem.length(new Mismatch(operand, expected, found)))
}
function differs<A>(x: Floats, y: Floats, operand: string): Result<A, Problem> {
  return mismatch<A>(operand, x.length, y.length)
}

export function add(x: Floats, y: Floats): Result<Floats, Problem> {
  if (x.length != y.length) return differs<Floats>(x, y, "y")
  const out = new StaticArray<f32>(x.length)
  addF32(at(out), at(x), at(y), x.length)
  return ok<Floats, Problem>(out)
}

export function sub(x: Floats, y: Floats): Result<Floats, Problem> {
  if (x.length != y.length) return differs<Floats>(x, y, "y")
  const out = new StaticArray<f32>(x.length)
  subF32(at(out), at(x), at(y), x.length)
  return ok<Floats, Problem>(out)
}

export function mul(x: Floats, y: Floats): Result<Floats, Problem> {
  if (x.length != y.length) return differs<Floats>(x, y, "y")
  const out = new StaticArray<f32>(x.length)
  mulF32(at(out), at(x), at(y), x.length)
  return ok<Floats, Problem>(out)
}

export function div(x: Floats, y: Floats): Result<Floats, Problem> {
  if (x.length != y.length) return differs<Floats>(x, y, "y")
  const out = new StaticArray<f32>(x.length)
  divF32(at(out), at(x), at(y), x.length)
  return ok<Floats, Problem>(out)
}

export function fma(x: Floats, y: Floats, z: Floats): Result<Floats, Problem> {
  if (x.length != y.length) return differs<Floats>(x, y, "y")
  if (x.length != z.length) return differs<Floats>(x, z, "z")
  const out = new StaticArray<f32>(x.length)
  fmaF32(at(out), at(x), at(y), at(z), x.length)
  return ok<Floats, Problem>(out)
}

export function dot(x: Floats, y: Floats): Result<f32, Problem> {
  return x.length == y.length ? ok<f32, Problem>(dotF32(at(x), at(y), x.length)) : differs<f32>(x, y, "y")
}

export function sum(x: Floats): f32 {
  return sumF32(at(x), x.length)
}

export function compare(order: Order, x: Floats, y: Floats): Result<StaticArray<u8>, Problem> {
  if (x.length != y.length) return differs<StaticArray<u8>>(x, y, "y")
  const out = new StaticArray<u8>((x.length + 7) >> 3)
  // Orders are in the order of the kernel's.
  compareBitsF32(<i32>order, at(out), at(x), at(y), x.length)
  return ok<StaticArray<u8>, Problem>(out)
}

export function softmax(x: Floats, columns: u32): Result<Floats, Problem> {
  const n = x.length
  if (columns > <u32>n || (columns == 0 && n != 0)) return mismatch<Floats>("columns", n, columns)
  const rows = columns == 0 ? 0 : n / <i32>columns
  if (rows * <i32>columns != n) return mismatch<Floats>("x", <u64>rows * columns, n)
  const out = new StaticArray<f32>(n)
  softmaxF32(at(out), at(x), rows, columns)
  return ok<Floats, Problem>(out)
}

export function matmul(a: Floats, b: Floats, m: u32, k: u32, n: u32): Result<Floats, Problem> {
  if (<u64>m * k != a.length) return mismatch<Floats>("a", <u64>m * k, a.length)
  if (<u64>k * n != b.length) return mismatch<Floats>("b", <u64>k * n, b.length)
  const length = <u64>m * n
  if (length > numbersMax) return err<Floats, Problem>(Problem.tooLarge(length))
  const out = new StaticArray<f32>(<i32>length)
  // Nothing to compute, while the other size may be anything.
  if (length == 0) return ok<Floats, Problem>(out)
  const panels = new StaticArray<f32>(k * ((n + 7) & ~7))
  const scratch = new StaticArray<u8>(matmulScratch())
  packMatrixF32(at(panels), at(b), k, n, false)
  matmulPackedF32(at(out), <usize>n << 2, at(a), <usize>k << 2, 4, at(panels), m, k, n, 0, 0, at(scratch))
  return ok<Floats, Problem>(out)
}

export function topk(x: Floats, k: u32): Result<Top, Problem> {
  if (k > <u32>x.length) return mismatch<Top>("k", x.length, k)
  const values = new StaticArray<f32>(k)
  const places = new StaticArray<u32>(k)
  topkF32(at(values), at(places), at(x), x.length, k)
  return ok<Top, Problem>(new Top(values, places))
}
