/** What a process that serves entities is made of: taken together, since errors of one copy of the sources are none of another's. */
export { Entities } from "../../../runtime/service/entity.ts"
export { PostgresStore } from "../../../runtime/storage/postgres/mod.ts"
export { MemoryStore, SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
