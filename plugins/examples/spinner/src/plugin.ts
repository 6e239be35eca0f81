/**
 * Ends in a way that no compiler can see through: xorshift32 (Marsaglia, "Xorshift RNGs", 2003) is a permutation of the
 * non-zero states, so it never reaches zero from one of them; zero is its fixed point.
 */
export function spin(state: u32): u64 {
  let turns: u64 = 0
  while (state != 0) {
    state ^= state << 13
    state ^= state >> 17
    state ^= state << 5
    turns += 1
  }
  return turns
}
