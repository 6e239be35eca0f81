/** Arithmetic of unsigned 64-bit integers that stays at the greatest one instead of beginning anew. */

export function addSaturating(a: u64, b: u64): u64 {
  const sum = a + b
  return sum < a ? u64.MAX_VALUE : sum
}

export function mulSaturating(a: u64, b: u64): u64 {
  return a != 0 && b > u64.MAX_VALUE / a ? u64.MAX_VALUE : a * b
}
