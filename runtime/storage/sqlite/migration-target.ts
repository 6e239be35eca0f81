/** A SQLite store as something whose services' tables can be migrated. */
import type { Store } from "../../port/store.ts"
import type { MigrationTarget } from "../../service/migrate.ts"

export const sqliteTarget = (store: Store, service: string): MigrationTarget => ({
  name: store.name,
  dialect: "sqlite",
  async batch(statements) {
    await store.apply(statements.map(({ text, params = [] }) => ({ op: "sql" as const, service, text, params })))
  },
  async rows(text) {
    return ((await store.ask({ ask: "sql", service, text })) ?? []) as ReadonlyArray<Readonly<Record<string, unknown>>>
  },
})
