/** A process that works on a store: `write ADDRESS NAME` writes 1, 2, 3 … to two keys at once and says each number once it is acknowledged; `add ADDRESS TIMES` counts one key up. The password is in PGPASSWORD. */
import { writeSync } from "node:fs"
import { placeOf } from "../../../../runtime/port/place.ts"
import { PostgresStore } from "../../../../runtime/storage/postgres/mod.ts"

const [what = "", address = "", third = ""] = process.argv.slice(2)
const store = await PostgresStore.open(address)
if (what === "write") {
  const found = await store.ask({ ask: "get", ...placeOf(`ada/${third}-left`) })
  for (let i = Number(Buffer.from(found?.value ?? []).toString()) + 1; ; i++) {
    const value = Buffer.from(String(i))
    store.applySync(["left", "right"].map((name) => ({ op: "set" as const, ...placeOf(`ada/${third}-${name}`), value })))
    writeSync(1, `${i}\n`)
  }
} else for (let i = 0; i < Number(third); i++) await store.apply([{ op: "increment", ...placeOf("ada/count"), delta: 1n, min: 0n, max: 1n << 62n }])
await store.close()
