/**
 * What kernels share. One source is built twice: `bitexact` uses plain simd128 and gives the same bits everywhere, `fast` may fuse a
 * multiplication with an addition where the processor does.
 */

/** True in the build of `fast`; a constant, so the other branch is not in the module. */
@inline export const isFast: bool = ASC_FEATURE_RELAXED_SIMD

/** The one NaN that `bitexact` writes. */
@inline const nanBits: i32 = 0x7fc00000

/** `a · b + c`: two roundings in `bitexact`; in `fast` one or two. */
@inline export function madd(a: v128, b: v128, c: v128): v128 {
  if (isFast) return f32x4.relaxed_madd(a, b, c)
  return f32x4.add(c, f32x4.mul(a, b))
}

/** With every NaN the canonical one, in `bitexact`: which payload an operation gives is the engine's choice. */
@inline export function settled(v: v128): v128 {
  if (isFast) return v
  return v128.bitselect(v, i32x4.splat(nanBits), f32x4.eq(v, v))
}

/** Whether one of four vectors has a NaN, by their sum, in `bitexact`; also, now and then, where infinities or numbers near them meet. */
@inline export function isUnsettled(a: v128, b: v128, c: v128, d: v128): bool {
  if (isFast) return false
  const sum = f32x4.add(f32x4.add(a, b), f32x4.add(c, d))
  return v128.any_true(f32x4.ne(sum, sum))
}

@inline export function settledScalar(x: f32): f32 {
  if (isFast) return x
  return select(x, reinterpret<f32>(nanBits), x == x)
}

/** Four numbers or, of the last ones, the first of them. */
@inline export function loaded(at: usize, isWhole: bool): v128 {
  return isWhole ? v128.load(at) : v128.load32_zero(at)
}

@inline export function stored(at: usize, v: v128, isWhole: bool): void {
  if (isWhole) v128.store(at, v)
  else v128.store_lane<f32>(at, v, 0)
}
