export { type MemoryOptions, MemoryStore } from "./memory.ts"
export { type Finding, SqliteReader, type StoreInfo } from "./reader.ts"
export { type SqliteOptions, SqliteStore } from "./store.ts"
export { type Outcome, SqliteWriter } from "./writer.ts"
