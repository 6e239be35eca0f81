export { placeOf, sqliteKeyValue } from "./key-value.ts"
export { type Finding, SqliteReader } from "./reader.ts"
export { type SqliteOptions, SqliteStore } from "./store.ts"
export { type Operation, type Outcome, SqliteWriter } from "./writer.ts"
