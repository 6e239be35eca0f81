/** A sealed store over the code of PostgreSQL stores: values, objects and jobs, a rotation of their keys, an erasure. */
import { randomBytes } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import type { LeasedJob } from "../../../../runtime/port/queue.ts"
import { FolderStore } from "../../../../runtime/storage/folder/mod.ts"
import { guestBlob } from "../../../../runtime/storage/guest.ts"
import { eraseTenant } from "../../../../runtime/storage/record.ts"
import { masterFrom, reseal, roomForSeals, rotate, SealedObjects } from "../../../../runtime/storage/sealed/mod.ts"
import { sealedOver } from "../sealed/backend.ts"
import { get, raw, set } from "../suite/case.ts"
import { folders } from "./pglite.ts"

t.setTimeout(300_000)
const made = await folders()
t.teardown(() => made[Symbol.asyncDispose]())
const folder = await mkdtemp(join(tmpdir(), "stele-pglite-sealed-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))

t.test("on PGlite, what is sealed is sealed anew after a rotation, and gone after an erasure", async (t) => {
  const below = await made.open(roomForSeals({}))
  await using objects = await FolderStore.open(folder)
  const { store, keyring } = await sealedOver(below, masterFrom(randomBytes(32)), {}, objects)
  const [ada, at] = [raw("ada"), { tenant: raw("ada"), key: raw("mail") }]
  const blob = guestBlob(store, objects, new SealedObjects(keyring, objects))
  const job = { payload: raw("a job"), idempotencyKey: "i", orderKey: "o" }
  await store.apply([set("k", "a value")])
  await blob.put("ada/b", raw("an object"))
  await store.apply([{ op: "enqueue", ...at, jobs: [job, { payload: raw("another") }] }])
  await store.apply([{ op: "schedule", ...at, schedule: { name: "s", everyMs: 86_400_000, job: { payload: raw("tick") } } }])
  const [held] = (await store.apply([{ op: "lease", ...at, countMax: 1, leaseMs: 60_000 }]))[0].jobs as [LeasedJob]
  t.equal(Buffer.from(held.payload).toString(), "a job")
  await store.apply([{ op: "fail", ...at, id: held.id, token: held.token, error: "no stamp", isFinal: true }])
  await rotate(keyring, ada)
  // The value; the object; both jobs, the schedule, and what was said of the dead one.
  t.equal(await reseal(keyring, ada), 6)
  t.equal(keyring.cached(ada)?.ring.keys.length, 1)
  for (const each of [store, below]) t.same(await each.check(), [])
  t.equal(Buffer.from((await blob.get("ada/b")) as Uint8Array).toString(), "an object")
  t.match(await store.ask({ ask: "dead", ...at, after: 0, countMax: 9 }), [{ payload: Buffer.from("a job"), error: "no stamp" }])
  t.same((await store.apply([{ op: "enqueue", ...at, jobs: [job] }]))[0], [{ id: held.id, isNew: false }])
  t.equal(await get(store, "k"), "a value")
  await eraseTenant(store, ada)
  t.equal(await get(store, "k"), undefined)
  t.same(await store.ask({ ask: "tenants", after: undefined, countMax: 9 }), [])
})
