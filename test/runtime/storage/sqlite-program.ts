/** A process that works on a store: `write PATH NAME` writes 1, 2, 3 … under NAME and says each number once it is acknowledged; `add PATH TIMES` counts one key up; `append PATH TIMES` appends to one log; `many PATH TIMES` asks for that many writes at once, of all sizes, and says what became of them; `leave PATH TIMES` ends with so many writes under way (one); `read PATH` prints what is there. */
import { tenantKey } from "../../../host/port/mod.ts"
import { placeOf } from "../../../runtime/port/place.ts"
import { guestKeyValue } from "../../../runtime/storage/guest.ts"
import { SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { writeSync } from "node:fs"

const [what = "", path = "", third = ""] = process.argv.slice(2)
const store = await SqliteStore.open(path)
const keyValue = guestKeyValue(store)
const text = (value: Uint8Array | undefined): string => new TextDecoder().decode(value)
if (what === "write") {
  // Two keys in one batch: both or neither.
  const place = (name: string) => ({ tenant: Buffer.from("ada"), key: Buffer.from(`${third}-${name}`) })
  for (let i = Number(text(keyValue.get(tenantKey("ada", `${third}-left`))) || 0) + 1; ; i++) {
    const value = Buffer.from(String(i))
    store.applySync(["left", "right"].map((name) => ({ op: "set" as const, ...place(name), value })))
    writeSync(1, `${i}\n`)
  }
} else if (what === "add") {
  for (let i = 0; i < Number(third); i++) keyValue.increment(tenantKey("ada", "count"), 1n, 0n, 1n << 62n)
} else if (what === "append") {
  for (let i = 1; i <= Number(third); i++) store.applySync([{ op: "append", ...placeOf(tenantKey("ada", "log")), payload: Buffer.from(`${process.pid} ${i}`) }])
} else if (what === "many") {
  const value = (i: number): Uint8Array => new Uint8Array(i % 50 === 0 ? 1 << 20 : i % 50).fill(i)
  const place = (i: number) => placeOf(tenantKey(`tenant-${i % 3}`, `many-${i}`))
  // Each third is refused for a key that is too long.
  const outcomes = await Promise.allSettled(
    Array.from({ length: Number(third) }, (_, i) =>
      store.apply(i % 3 === 2 ? [{ op: "set", ...placeOf(`tenant/${"k".repeat(5_000)}`), value: value(1) }] : [{ op: "set", ...place(i), value: value(i) }]),
    ),
  )
  const kept = outcomes.map(
    ({ status }, i) => status === "fulfilled" && Buffer.compare(value(i), store.askSync({ ask: "get", ...place(i) })?.value ?? new Uint8Array(7)) === 0,
  )
  console.log(JSON.stringify({ kept: kept.map((is) => (is ? "k" : "-")).join(""), findings: store.reader.check() }))
} else if (what === "leave") {
  // Asks for writes and says nothing more: the process stays until they are kept, and no longer.
  for (let i = 0; i < Number(third || 1); i++) void store.apply([{ op: "set", ...placeOf(tenantKey("ada", `left-behind-${i}`)), value: Buffer.from("v") }])
} else {
  const found = Object.fromEntries(keyValue.list(tenantKey("ada", ""), undefined, 1_000).map((key) => [key, text(keyValue.get(key))]))
  console.log(JSON.stringify({ found, findings: store.reader.check(), sequence: store.reader.sequence }))
}
if (what !== "leave") await store.close()
