export { type Migrated, type MigrateOptions, migratePostgres } from "./migrate.ts"
export { type PostgresInfo, PostgresReader } from "./reader.ts"
export { serviceRole, workerRole } from "./schema.ts"
export { type PostgresOptions, PostgresStore } from "./store.ts"
