/** A writer in a process of its own: `ADDRESS SEED COUNT`. Books the transactions of a seed in an order of its own; others book the same ones. */
import { writeSync } from "node:fs"
import { book } from "../../../runtime/billing/ledger.ts"
import { PostgresStore } from "../../../runtime/storage/postgres/mod.ts"
import { SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { randomFrom } from "../storage/random.ts"
import { randomTransaction } from "./ledger-transactions.ts"

const [address = "", seed = "", count = ""] = process.argv.slice(2)
await using store = address.startsWith("postgres:") ? await PostgresStore.open(address) : await SqliteStore.open(address)
const random = randomFrom(Number(seed))
const transactions = Array.from({ length: Number(count) }, (_, n) => randomTransaction(random, `t/${n}`))
const own = randomFrom(process.pid)
let written = 0
await Promise.all(
  Array.from({ length: 8 }, async () => {
    while (transactions.length > 0) {
      const [transaction] = transactions.splice(own(transactions.length), 1)
      if (transaction !== undefined && (await book({ store, entity: "acme" }, transaction)).isNew) written++
    }
  }),
)
writeSync(1, String(written))
