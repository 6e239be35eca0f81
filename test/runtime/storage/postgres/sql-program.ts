/** `sql-program OWNER PASSWORD`: migrates a service in steps that take a while, and says each before it is done. */
import { migrate, type Migration } from "../../../../runtime/service/migrate.ts"
import { postgresTarget } from "../../../../runtime/storage/postgres/mod.ts"

/** Each step makes a table, fills it, and fills the one before it anew: half of it would show. */
export const steps: ReadonlyArray<Migration> = Array.from({ length: 6 }, (_, i) => ({
  number: i + 1,
  name: `step ${i + 1}`,
  expand: {
    sqlite: [],
    postgres: [
      `CREATE TABLE shop_t${i} (tenant bytea NOT NULL, id bigint NOT NULL, steps bigint NOT NULL DEFAULT 0, PRIMARY KEY (tenant, id))`,
      `INSERT INTO shop_t${i} (tenant, id) SELECT 'ada', n FROM generate_series(1, 3000) AS n`,
      ...(i === 0 ? [] : [`UPDATE shop_t${i - 1} SET steps = steps + 1`]),
    ],
  },
}))

if (import.meta.main) {
  const [owner = "", password = ""] = process.argv.slice(2)
  await using target = await postgresTarget(owner, "shop", { password })
  await migrate(target, { service: "shop", migrations: steps, onStep: ({ number }) => process.stdout.write(`${number}\n`) })
  process.stdout.write("done\n")
}
