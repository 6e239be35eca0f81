/** A process that records usage: `emit PATH FROM` emits calls whose wallNs counts up from there and says each number once it is flushed; `record PATH FROM COUNT` records calls with ids made of their numbers, which other processes record as well. */
import { writeSync } from "node:fs"
import { usageObserver } from "../../../runtime/service/usage.ts"
import { packUsage, tenantBytes } from "../../../runtime/storage/usage.ts"
import { SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { idAt, record } from "./usage-record.ts"

const [what = "", path = "", from = "", count = ""] = process.argv.slice(2)
const store = await SqliteStore.open(path)
if (what === "emit") {
  const observer = usageObserver(store, { batchRecordsMax: 50 })
  for (let i = 1 + Number(from); ; i++) {
    observer.emit({ type: "usage", record: record({ wallNs: i }) })
    if (i % 7 !== 0) continue
    await observer.flush()
    writeSync(1, `${i}\n`)
  }
}
for (let i = Number(from); i < Number(from) + Number(count); i += 20) {
  const entries = Array.from({ length: 20 }, (_, n) => ({ ...record({ wallNs: i + n }), id: idAt(1_000 + i + n, i + n) }))
  await store.apply([{ op: "record", tenant: tenantBytes("ada"), records: packUsage(entries) }])
}
await store.close()
