/** What a body was found to do: bits. Named as a namespace, so that a bundler writes the numbers. */

export const Loop = 1
/** Calls an import or through a table: the callee is not known. */
export const Open = 2
export const Tail = 4
export const Catch = 8
/** Some float result needs canonical NaN bits: scratch locals for it. */
export const NanF32 = 16
export const NanF64 = 32
export const NanV128 = 64
