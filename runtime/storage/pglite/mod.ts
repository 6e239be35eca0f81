export { type PgliteOptions, PgliteStore } from "./store.ts"
