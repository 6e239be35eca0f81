/** Plugins in workers and processes: loaded when a host first isolates one. */
export { IsolateExecutor } from "./executor.ts"
export type { Isolates, Kind, Link, StartOptions } from "./link.ts"
export { Spares } from "./spare.ts"
