import { randomBytes } from "node:crypto"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { openKeyring, sealed } from "../../../../runtime/storage/sealed/mod.ts"
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
  t.match(rotate("--storage-key", `file:${key}`, "--tenant", "ada").stdout, /1 tenant, 1 value sealed by new keys/)
  t.equal(await read(`file:${key}`), "in the clear at first")
  t.equal(rotate("--storage-key", `file:${key}`, "--new-storage-key", `file:${next}`).code, 0)
  t.equal(await read(`file:${next}`), "in the clear at first")
  const refused = rotate("--storage-key", `file:${key}`, "--json")
  t.equal(refused.code, 5)
  t.match(jsonError(refused), { code: "STELE-STO-0072" })
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
