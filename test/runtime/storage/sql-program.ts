/** `sql PATH`: a service's tables in a store, on whatever engine runs this. */
import { SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"

const [, path = ""] = process.argv.slice(2)
const store = await SqliteStore.open(path)
const service = "shop"
const run = async (text: string, params: ReadonlyArray<string | number> = []) => (await store.apply([{ op: "sql", service, text, params }]))[0]
await run("CREATE TABLE IF NOT EXISTS shop_item (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT")
const { changes } = await run("INSERT INTO shop_item (name) VALUES (?), (?)", ["a", "b"])
const refused = async (text: string): Promise<string> =>
  run(text).then(
    () => "nothing",
    (error: { readonly code: string }) => error.code,
  )
const transaction = await store.transaction()
await transaction.run({ service, text: "UPDATE shop_item SET name = name || '!'" })
await transaction.commit()
const rows = store.askSync({ ask: "sql", service, text: "SELECT count(*) AS count, max(name) AS name FROM shop_item WHERE name LIKE '%!'", isArrays: true })
const writes = store.askSync({ ask: "sql", service, text: "DELETE FROM shop_item" })
const codes = [await refused("SELECT * FROM queue_job"), await refused("CREATE TABLE shop_loose (x)"), await refused("INSERT INTO shop_item VALUES (1, 2, 3)")]
const findings = store.reader.check()
await store.close()
console.log(JSON.stringify({ changes, rows, writes: writes === undefined, codes, findings }))
