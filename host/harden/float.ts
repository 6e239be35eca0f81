/** Float classes of an instruction, for NaN canonicalisation. Named as a namespace, so that a bundler writes the numbers. */

export const None = 0
export const F32 = 1
export const F64 = 2
export const F32x4 = 3
export const F64x2 = 4
