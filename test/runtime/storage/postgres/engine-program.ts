/** On whatever engine starts this: a store of the sources, written to awaited and blocking, and a host of the bundle, whose thread is another file. `ADDRESS [BUNDLE]`; the password is in PGPASSWORD. */
import { pathToFileURL } from "node:url"
import type * as Bundle from "../../../../runtime/mod.ts"
import { placeOf } from "../../../../runtime/port/place.ts"
import { PostgresStore } from "../../../../runtime/storage/postgres/mod.ts"

const [address = "", bundle] = process.argv.slice(2)
const set = (key: string, value: string) => ({ op: "set" as const, ...placeOf(`ada/${key}`), value: new TextEncoder().encode(value) })
const store = await PostgresStore.open(address)
await store.apply([set("awaited", "0")])
await Promise.all([1, 2, 3].map((i) => store.apply([set("awaited", String(i)), set(`key ${i}`, "v")])))
store.applySync([set("blocking", "of a guest")])
const blocking = store.askSync({ ask: "get", ...placeOf("ada/blocking") })
const keys = await store.ask({ ask: "list", ...placeOf("ada/"), beyond: undefined, countMax: 10 })
await store.close()
if (bundle !== undefined) {
  const { Host } = (await import(pathToFileURL(bundle).href)) as typeof Bundle
  const host = await Host.open({ storage: address, usage: false })
  await host.close()
}
console.log(JSON.stringify({ blocking: new TextDecoder().decode(blocking?.value), keys, isBundled: bundle !== undefined }))
