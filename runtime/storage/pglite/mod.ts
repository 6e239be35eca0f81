export { migratePglite } from "./cluster.ts"
export { type PgliteOptions, PgliteStore } from "./store.ts"
