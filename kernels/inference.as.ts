/** What inference needs, in one module. */
export * from "./vector/vector.as"
export * from "./reduce/reduce.as"
export * from "./matmul/matmul.as"
export * from "./normalize/normalize.as"
export { mapF32 } from "./math/math.as"
export * from "./convolve/convolve.as"
