export { sqliteKeyValue } from "./key-value.ts"
export { type Finding, type Operation, type Outcome, type SqliteOptions, SqliteStore } from "./store.ts"
