/** Garbage: what nobody refers to goes, and nothing else ever does, whoever writes, collects, dies or is damaged meanwhile. */
import { type ChildProcess, spawn } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { DatabaseSync } from "node:sqlite"
import { fileURLToPath } from "node:url"
import fc from "../../property.ts"
import t from "tap"
import { tenantKey } from "../../../host/port/mod.ts"
import type { Place } from "../../../runtime/port/place.ts"
import { collectGarbage } from "../../../runtime/service/garbage.ts"
import { FolderStore } from "../../../runtime/storage/folder/mod.ts"
import { guestBlob } from "../../../runtime/storage/guest.ts"
import { MemoryStore } from "../../../runtime/storage/sqlite/mod.ts"
import { openStores, type Stores } from "../../../runtime/storage/storage.ts"
import { mutant } from "../storage/mutant.ts"
import { isFull } from "../../seed.ts"

t.setTimeout(600_000)
const folder = await mkdtemp(join(tmpdir(), "stele-garbage-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
const program = fileURLToPath(new URL("upkeep-program.ts", import.meta.url))
let files = 0
const newPath = (): string => join(folder, `${files++}.db`)
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const now = async (): Promise<void> => {}
/** A folder dates by the millisecond: what is put in the one that it is collected in is too young. */
const tick = (): Promise<void> => new Promise((resume) => setTimeout(resume, 3))
const at = (name: string, tenant = "ada"): Place => ({ tenant: bytes(tenant), key: bytes(name) })

async function put({ store, objects }: Pick<Stores, "store" | "objects">, name: string, value: Uint8Array, tenant?: string): Promise<string> {
  const { digest, bytes: size } = await objects.put(value)
  await store.apply([{ op: "link", ...at(name, tenant), digest: Buffer.from(digest, "hex"), bytes: size }])
  return digest
}

t.test("`collectGarbage()` removes what nobody refers to and is older than the grace time, small or large, and nothing else", async (t) => {
  const stores = await openStores(`sqlite:${newPath()}`)
  t.teardown(() => stores.close())
  const { store, objects } = stores
  const kept = [await put(stores, "small", bytes("small")), await put(stores, "large", randomBytes(200_000)), await put(stores, "", bytes("host's"), "")]
  const shared = await put(stores, "a", bytes("shared"))
  await put(stores, "b", bytes("shared"), "bob")
  await store.apply([{ op: "unlink", ...at("a") }])
  const [{ digest: lost }, { digest: lostLarge }] = [await objects.put(bytes("lost")), await objects.put(randomBytes(100_000))]
  t.match(await collectGarbage(store, objects), { objects: 0, isComplete: true }, "all of it is young")
  await tick()
  t.same(await collectGarbage(store, objects, { graceMs: 0, isDryRun: true }), { objects: 2, bytes: 100_004, uploads: 0, isComplete: true })
  t.ok(await objects.info(lost), "a dry run removes nothing")
  t.same(await collectGarbage(store, objects, { graceMs: 0 }), { objects: 2, bytes: 100_004, uploads: 0, isComplete: true })
  t.same([await objects.info(lost), await objects.info(lostLarge)], [undefined, undefined])
  for (const digest of [...kept, shared])
    t.equal(
      createHash("sha256")
        .update((await objects.read(digest)) as Uint8Array)
        .digest("hex"),
      digest,
    )
  t.same(await objects.check([...kept, shared]), [])
})

t.test("`collectGarbage()` keeps all that is referred to, after any sequence of puts, links, unlinks and erasures", async (t) => {
  const path = newPath()
  await using objects = await FolderStore.open(`${path}-objects`)
  const step = fc.record({ what: fc.constantFrom("put", "put", "keep", "unlink", "erase", "collect"), key: fc.nat(4), content: fc.nat(5), tenant: fc.nat(2) })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      await using store = new MemoryStore()
      for (const { what, key, content, tenant } of steps) {
        const [place, value] = [at(`k${key}`, `t${tenant}`), bytes(`content ${content}`)]
        if (what === "put") await put({ store, objects }, `k${key}`, value, `t${tenant}`)
        else if (what === "keep") await objects.put(value)
        else if (what === "unlink") await store.apply([{ op: "unlink", ...place }])
        else if (what === "erase") await store.apply([{ op: "erase", tenant: place.tenant, countMax: 100 }])
        else await collectGarbage(store, objects, { graceMs: 0, pause: now })
      }
      await tick()
      await collectGarbage(store, objects, { graceMs: 0, pause: now })
      const live = new Set((await store.ask({ ask: "references", beyond: undefined, countMax: 100 })).map(({ digest }) => Buffer.from(digest).toString("hex")))
      t.same(await objects.list(undefined, 100), [...live].toSorted())
      t.same(await objects.check(live), [])
    }),
    { numRuns: isFull ? 300 : 15 },
  )
})

t.test("`collectGarbage()` leaves an object that is put and linked again at any of its steps", async (t) => {
  for (let when = 1; ; when++) {
    const stores = await openStores(`sqlite:${newPath()}`)
    try {
      const { store, objects } = stores
      for (let i = 0; i < 3; i++) await put(stores, `k${i}`, bytes(`kept ${i}`))
      const { digest } = await objects.put(bytes("again"))
      await new Promise((resume) => setTimeout(resume, 60))
      let step = 0
      const pause = async (): Promise<void> => {
        if (++step === when) await put(stores, "again", bytes("again"))
      }
      const { objects: count } = await collectGarbage(store, objects, { graceMs: 50, pause })
      if (step < when) {
        t.equal(count, 1, "nobody came: it is gone")
        t.ok(when > 2, `${when - 1} moments`)
        return
      }
      t.equal(count, 0)
      t.same(await objects.check([digest]), [], `at step ${when}`)
    } finally {
      await stores.close()
    }
  }
})

/** A store with one object of ada's, and another that nobody has; closed. */
async function withOne(): Promise<{ readonly path: string; readonly digest: string }> {
  const path = newPath()
  const stores = await openStores(`sqlite:${path}`)
  const digest = await put(stores, "k", bytes("precious"))
  await put(stores, "l", bytes("too"))
  await tick()
  await stores.close()
  return { path, digest }
}

for (const [what, sql] of [
  ["a reference's object was changed", "UPDATE blob_reference SET digest = randomblob(32) WHERE key = CAST('k' AS BLOB)"],
  ["a reference vanished", "DELETE FROM blob_reference WHERE key = CAST('k' AS BLOB)"],
  ["a reference is another tenant's", "UPDATE blob_reference SET tenant = CAST('bob' AS BLOB) WHERE key = CAST('k' AS BLOB)"],
  ["a tenant's totals are gone", "DELETE FROM blob_reference_total"],
] as const)
  t.test(`\`collectGarbage()\` removes nothing when ${what}`, async (t) => {
    const { path, digest } = await withOne()
    const database = new DatabaseSync(path)
    database.exec(sql)
    database.close()
    const { store, objects, close } = await openStores(`sqlite:${path}`)
    t.teardown(close)
    const { digest: other } = await objects.put(bytes("nobody's"))
    await tick()
    await t.rejects(collectGarbage(store, objects, { graceMs: 0 }), { code: "STELE-STO-0005" })
    t.ok(await objects.info(digest))
    t.ok(await objects.info(other))
  })

/** Makes the index on digests an empty one, with all rows in their place. */
function breakIndex(path: string): void {
  const database = new DatabaseSync(path)
  database.exec("DROP INDEX blob_reference_digest; CREATE INDEX blob_reference_digest ON blob_reference (digest) WHERE digest IS NULL")
  // SQLite believes what the schema says of an index: it is empty, and said to be of all rows.
  database.enableDefensive?.(false)
  database.exec(
    "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE INDEX blob_reference_digest ON blob_reference (digest)' WHERE name = 'blob_reference_digest'; PRAGMA writable_schema = RESET",
  )
  database.close()
}

t.test("`collectGarbage()` keeps what an index that lost its entries says nobody refers to; without the proof it would be lost", async (t) => {
  const lost = async (collect: typeof collectGarbage): Promise<boolean> => {
    const { path, digest } = await withOne()
    breakIndex(path)
    const { store, objects, close } = await openStores(`sqlite:${path}`)
    try {
      t.same(await store.ask({ ask: "linked", digests: [Buffer.from(digest, "hex")] }), [false], "the index says so")
      await collect(store, objects, { graceMs: 0 })
      return (await objects.info(digest)) === undefined
    } finally {
      await close()
    }
  }
  t.notOk(await lost(collectGarbage))
  const without = await mutant<{ readonly collectGarbage: typeof collectGarbage }>(
    new URL("../../../runtime/service/garbage.ts", import.meta.url),
    "garbage.ts",
    "(await keepReferred(store, dead, pause))",
    "true",
  )
  t.ok(await lost(without.collectGarbage))
})

t.test("`linked` throws `Corrupt` for a row that is not what was written", async (t) => {
  const { path, digest } = await withOne()
  const database = new DatabaseSync(path)
  database.exec("UPDATE blob_reference SET bytes = bytes + 1 WHERE key = CAST('k' AS BLOB)")
  database.close()
  const { store, close } = await openStores(`sqlite:${path}`)
  t.teardown(close)
  await t.rejects(store.ask({ ask: "linked", digests: [Buffer.from(digest, "hex")] }), { code: "STELE-STO-0005" })
})

t.test("`collectGarbage()` refuses a store that a move has not filled yet", async (t) => {
  const stores = await openStores(`sqlite:${newPath()}`)
  t.teardown(() => stores.close())
  await stores.store.apply([{ op: "set", ...at("origin", "%move"), value: bytes("sqlite:old.db") }])
  const { digest } = await stores.objects.put(bytes("comes before its reference"))
  await tick()
  await t.rejects(collectGarbage(stores.store, stores.objects, { graceMs: 0 }), { code: "STELE-STO-0066" })
  t.ok(await stores.objects.info(digest))
})

t.test("`collectGarbage()` proves a tenant who writes all the time, and one whom it cannot prove costs nobody an object", async (t) => {
  const stores = await openStores(`sqlite:${newPath()}`)
  t.teardown(() => stores.close())
  const { store, objects } = stores
  for (let i = 0; i < 450; i++) await store.apply([{ op: "link", ...at(`k${i}`), digest: createHash("sha256").update("kept").digest(), bytes: 4 }])
  await objects.put(bytes("kept"))
  const { digest } = await objects.put(bytes("garbage"))
  await tick()
  let writes = 0
  const pause = async (): Promise<void> => void (await put(stores, `z${writes++}`, bytes("kept")))
  t.same(await collectGarbage(store, objects, { graceMs: 0, pause }), { objects: 1, bytes: 7, uploads: 0, isComplete: true })
  t.equal(await objects.info(digest), undefined)
  t.ok(writes > 10, `${writes} writes between its steps`)
})

t.test("`get()` of a guest answers with what a key stands for, when what it stood for was collected a moment ago", async (t) => {
  const stores = await openStores(`sqlite:${newPath()}`)
  t.teardown(() => stores.close())
  await put(stores, "k", bytes("old"))
  const { blocking } = stores.objects
  let isFirst = true
  const read: NonNullable<typeof blocking>["read"] = (...given) => {
    if (isFirst) {
      isFirst = false
      const { digest, bytes: size } = (blocking as NonNullable<typeof blocking>).put(bytes("new"))
      stores.store.applySync([{ op: "link", ...at("k"), digest: Buffer.from(digest, "hex"), bytes: size }])
      return undefined
    }
    return (blocking as NonNullable<typeof blocking>).read(...given)
  }
  const objects = Object.create(stores.objects, { blocking: { value: { ...blocking, read } } }) as Stores["objects"]
  t.equal(Buffer.from((await guestBlob(stores.store, objects).get(tenantKey("ada", "k"))) as Uint8Array).toString(), "new")
  await stores.objects.delete(createHash("sha256").update("new").digest("hex"))
  t.throws(() => guestBlob(stores.store, objects).get(tenantKey("ada", "k")), { code: "STELE-STO-0013" }, "one that is still referred to is damaged")
})

function start(...args: ReadonlyArray<string>): { readonly child: ChildProcess; readonly lines: Array<string>; until(count: number): Promise<void> } {
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "inherit"] })
  const lines: Array<string> = []
  const reader = createInterface({ input: child.stdout as NodeJS.ReadableStream })
  reader.on("line", (line) => lines.push(line))
  return {
    child,
    lines,
    async until(count) {
      while (lines.length < count) {
        if (child.exitCode !== null || child.signalCode !== null)
          throw new Error(`It ended with ${child.exitCode ?? child.signalCode} after ${lines.length} lines`)
        await Promise.race([once(reader, "line"), once(child, "exit")])
      }
    },
  }
}

t.test("two collectors beside two writers remove nothing that is referred to, killed again and again", async (t) => {
  const address = `sqlite:${newPath()}`
  await (await openStores(address)).close()
  const writers = ["1", "2"].map((seed) => start("write", address, "", seed))
  let removed = 0
  for (let round = 0; round < (isFull ? 20 : 2); round++) {
    const collectors = [0, 1].map(() => start("collect", address, "400"))
    const count = (): number => collectors.reduce((sum, { lines }) => sum + lines.reduce((part, line) => part + Number(line), 0), 0)
    for (let lines = 4 + (round % 5); lines === 4 + (round % 5) || count() === 0; lines++) await Promise.all(collectors.map(({ until }) => until(lines)))
    await Promise.all(
      collectors.map(async ({ child, lines }) => {
        child.kill("SIGKILL")
        await once(child, "exit")
        removed += lines.reduce((sum, line) => sum + Number(line), 0)
      }),
    )
  }
  for (const { child } of writers) {
    child.kill("SIGKILL")
    await once(child, "exit")
  }
  t.ok(
    writers.every(({ lines }) => lines.length > 10),
    `${writers.map(({ lines }) => lines.length).join(" and ")} links`,
  )
  const { store, objects, close } = await openStores(address)
  t.teardown(close)
  t.same(await store.check(), [])
  const references = await store.ask({ ask: "references", beyond: undefined, countMax: 1_000 })
  t.ok(references.length > 2 && removed > 0, `${references.length} references, ${removed} objects removed`)
  t.same(await objects.check(references.map(({ digest }) => Buffer.from(digest).toString("hex"))), [])
  await new Promise((resume) => setTimeout(resume, 5))
  await collectGarbage(store, objects, { graceMs: 0 })
  t.same(
    await objects.list(undefined, 1_000),
    [...new Set(references.map(({ digest }) => Buffer.from(digest).toString("hex")))].toSorted(),
    "all of the rest goes",
  )
})
