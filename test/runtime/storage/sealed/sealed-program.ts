/**
 * A process that works on a sealed store until it is killed: `write PATH` writes numbers, jobs and objects for four tenants and says each number once all of it is
 * acknowledged; `rotate PATH` gives them new keys and seals them anew; `master PATH` exchanges the master key, one of
 * two in turn. Each opens by whichever of the two opens it.
 */
import { writeSync } from "node:fs"
import { FolderStore } from "../../../../runtime/storage/folder/mod.ts"
import { guestBlob } from "../../../../runtime/storage/guest.ts"
import { SqliteStore } from "../../../../runtime/storage/sqlite/mod.ts"
import { Keyring, masterFrom, reseal, rotate, rotateMaster, sealed, SealedObjects } from "../../../../runtime/storage/sealed/mod.ts"
import { run } from "../../../../runtime/storage/sealed/step.ts"

const [what = "", path = ""] = process.argv.slice(2)
const masters = [1, 2].map((byte) => masterFrom(new Uint8Array(32).fill(byte)))
const tenants = ["ada", "bob", "carol", "dan"].map((name) => Buffer.from(name))
const below = await SqliteStore.open(path)
const objects = await FolderStore.open(`${path}-objects`)

async function opened(): Promise<Keyring> {
  let refusal: unknown
  for (const master of masters) {
    const keyring = new Keyring(below, master, objects)
    try {
      await run(below, keyring.open(true))
      return keyring
    } catch (error) {
      refusal = error
    }
  }
  throw refusal
}

let keyring = await opened()
// An exchange that was killed is gone on with before another begins.
if (what === "master") await rotateMaster(keyring, keyring.master)
writeSync(1, "open\n")
for (let i = 1; ; i++) {
  if (what === "write") {
    const store = sealed(below, keyring)
    const tenant = tenants[i % tenants.length] as Buffer
    const value = Buffer.from(String(i))
    try {
      await store.apply([
        { op: "set", tenant, key: Buffer.from(`k${i % 50}`), value },
        { op: "set", tenant, key: Buffer.from("newest"), value },
        { op: "append", tenant, key: Buffer.from("log"), payload: value },
        { op: "enqueue", tenant, key: Buffer.from("jobs"), jobs: [{ payload: value, idempotencyKey: `${process.pid} ${i}` }] },
      ])
      const bytes = Buffer.alloc(i % 5 === 0 ? 70_000 : 100, `object ${i} `)
      await guestBlob(store, objects, new SealedObjects(keyring, objects)).put(`${tenant.toString()}/blob`, bytes)
      writeSync(1, `${tenant.toString()} ${i}\n`)
    } catch (error) {
      // The master key was exchanged since: a process like this one is given the new one.
      if ((error as { readonly code?: string }).code !== "STELE-STO-0071") throw error
      keyring = await opened()
    }
  } else if (what === "rotate") {
    for (const tenant of tenants) {
      await rotate(keyring, tenant)
      await reseal(keyring, tenant, 20)
    }
    writeSync(1, `${i}\n`)
  } else {
    const next = masters.find(({ id }) => Buffer.compare(id, keyring.master.id) !== 0)
    if (next !== undefined) await rotateMaster(keyring, next)
    writeSync(1, `${i}\n`)
  }
}
