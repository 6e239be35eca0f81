import { randomBytes } from "node:crypto"
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { openKeyring, sealed, SealedObjects } from "../../../../runtime/storage/sealed/mod.ts"
import { placeOf } from "../../../../runtime/port/place.ts"
import { FolderStore } from "../../../../runtime/storage/folder/mod.ts"
import { guestBlob } from "../../../../runtime/storage/guest.ts"
import { SqliteStore } from "../../../../runtime/storage/sqlite/mod.ts"
import { jsonError, stele } from "../../command-line.ts"
import { get, set } from "../suite/case.ts"

t.setTimeout(120_000)
const folder = await mkdtemp(join(tmpdir(), "stele-rotate-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
const [path, key, next] = ["store.db", "key", "next"].map((name) => join(folder, name)) as [string, string, string]
for (const file of [key, next]) await writeFile(file, `${randomBytes(32).toString("hex")}\n`)
const rotate = (...more: ReadonlyArray<string>) => stele(["storage", "rotate", `sqlite:${path}`, ...more])
const read = async (source: string): Promise<string | undefined> => {
  await using below = await SqliteStore.open(path)
  return await get(sealed(below, await openKeyring(source, below, { isMade: false })), "k")
}

t.test("`stele storage rotate` seals a store, rotates its keys, exchanges its master key", async (t) => {
  {
    await using store = await SqliteStore.open(path)
    await store.apply([set("k", "in the clear at first")])
  }
  t.match(JSON.parse(rotate("--storage-key", `file:${key}`, "--dry-run", "--json").stdout), { dryRun: true, tenants: 1 })
  t.match(JSON.parse(rotate("--storage-key", `file:${key}`, "--json").stdout), { tenants: 2, records: 1 })
  t.match(rotate("--storage-key", `file:${key}`, "--tenant", "ada").stdout, /1 tenant, 1 record sealed by new keys/)
  t.equal(await read(`file:${key}`), "in the clear at first")
  t.equal(rotate("--storage-key", `file:${key}`, "--new-storage-key", `file:${next}`).code, 0)
  t.equal(await read(`file:${next}`), "in the clear at first")
  const refused = rotate("--storage-key", `file:${key}`, "--json")
  t.equal(refused.code, 5)
  t.match(jsonError(refused), { code: "STELE-STO-0072" })
})

t.test("`stele storage rotate` seals blobs and jobs too, and `stele storage check --storage-key` opens everything", async (t) => {
  const [path, folder_] = [join(folder, "blobs.db"), join(folder, "blobs.db-objects")]
  const run = (what: string, ...more: ReadonlyArray<string>) => stele(["storage", what, `sqlite:${path}`, "--storage-key", `file:${key}`, ...more])
  const word = Buffer.from("in the clear at first, at length")
  {
    await mkdir(folder_)
    await using store = await SqliteStore.open(path)
    await using objects = await FolderStore.open(folder_)
    await guestBlob(store, objects).put("ada/blob", word)
    await store.apply([{ op: "enqueue", ...placeOf("ada/mail"), jobs: [{ payload: word }] }])
  }
  t.match(JSON.parse(run("rotate", "--json").stdout), { tenants: 2, records: 2 })
  t.match(JSON.parse(run("rotate", "--json").stdout), { tenants: 2, records: 2 })
  t.equal(run("check").code, 0)
  t.match(stele(["storage", "collect", `sqlite:${path}`, "--grace", "0"]).code, 0)
  for (const each of [folder_, folder])
    for (const name of await readdir(each)) {
      const bytes = await readFile(join(each, name)).catch(() => Buffer.alloc(0))
      if (each === folder_ || name.startsWith("blobs")) t.equal(bytes.includes(word), false, name)
    }
  {
    await using below = await SqliteStore.open(path)
    await using objects = await FolderStore.open(folder_)
    const keyring = await openKeyring(`file:${key}`, below, { objects })
    const blob = guestBlob(sealed(below, keyring), objects, new SealedObjects(keyring, objects))
    t.ok(word.equals((await blob.get("ada/blob")) as Uint8Array))
    const { digest } = await objects.put(Buffer.from("somebody else's"))
    await below.apply([{ op: "link", ...placeOf("ada/blob"), digest: Buffer.from(digest, "hex"), bytes: word.length }])
  }
  const found = run("check", "--json")
  t.equal(found.code, 3)
  t.match(JSON.parse(found.stdout), { findings: [{ table: "blob_reference", key: "blob" }] })
  t.equal(run("rotate", "--json").code, 3)
})

t.test("`stele storage rotate` refuses what it cannot read, and shows no key", async (t) => {
  t.match(jsonError(rotate("--json")), { message: /without the store's master key/ })
  const given = (await readFile(key, "utf8")).trim()
  const refused = rotate("--storage-key", given, "--json")
  t.match(jsonError(refused), { code: "STELE-STO-0074" })
  t.equal(refused.stdout.includes(given) || refused.stderr.includes(given), false)
  t.equal(rotate("--storage-key", `file:${next}`, "--tenant", "ada", "--new-storage-key", `file:${key}`).code, 2)
  const none = stele(["storage", "rotate", `sqlite:${join(folder, "none.db")}`, "--storage-key", `file:${key}`, "--json"])
  t.match(jsonError(none), { code: "STELE-STO-0002" })
})
