/** Text and hashes, in one module. */
export * from "./crc32c/crc32c.as"
export * from "./keccak/keccak.as"
export * from "./search/search.as"
export * from "./utf8/utf8.as"
export { sha256Batch } from "./sha256/batch.as"
export { addGram, findLiterals } from "./search/literals.as"
export { findFew } from "./search/few.as"
