/** A folder with a SQLite file for each tenant: what the suite that all stores pass does not see. @long */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { chmod, copyFile, cp, mkdir, mkdtemp, readdir, readFile, readlink, rename, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { fileURLToPath } from "node:url"
import t from "tap"
import { Host, StorageError, tenantKey } from "../../../../runtime/mod.ts"
import type { StoreLimitOptions } from "../../../../runtime/port/limits.ts"
import { eraseTenant } from "../../../../runtime/storage/record.ts"
import { openStorage } from "../../../../runtime/storage/storage.ts"
import { fileName } from "../../../../runtime/storage/tenants/control.ts"
import { type TenantFilesOptions, TenantFilesStore } from "../../../../runtime/storage/tenants/mod.ts"
import { engines, start } from "../../../host/engine.ts"
import { stele } from "../../command-line.ts"
import { randomFrom } from "../random.ts"
import { isFull, seed } from "../../../seed.ts"

t.setTimeout(isFull ? 3_000_000 : 600_000)
const base = await mkdtemp(join(tmpdir(), "stele-tenants-"))
t.teardown(() => rm(base, { recursive: true, force: true }))
let folders = 0
const newFolder = (): string => join(base, String(folders++))
const program = fileURLToPath(new URL("program.ts", import.meta.url))
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const set = (tenant: string, name: string, value = name) => ({ op: "set" as const, tenant: bytes(tenant), key: bytes(name), value: bytes(value) })
const get = async (store: TenantFilesStore, tenant: string, name: string): Promise<string | undefined> => {
  const found = await store.ask({ ask: "get", tenant: bytes(tenant), key: bytes(name) })
  return found === undefined ? undefined : Buffer.from(found.value).toString()
}
const refused = async (run: () => unknown): Promise<string> => {
  try {
    await run()
    return "nothing"
  } catch (error) {
    if (error instanceof StorageError) return error.reason._tag
    throw error
  }
}
const filesIn = async (folder: string): Promise<ReadonlyArray<string>> =>
  (await readdir(join(folder, "tenants"))).filter((name) => name.endsWith(".db")).toSorted()
const pathIn = (folder: string, tenant: string, generation: number): string => join(folder, "tenants", fileName(bytes(tenant), generation))
/** A folder with tenants that have one key each, closed. */
async function filled(tenants: ReadonlyArray<string>): Promise<string> {
  const folder = newFolder()
  await using store = await TenantFilesStore.open(folder)
  for (const tenant of tenants) await store.apply([set(tenant, "k", `of ${tenant}`)])
  return folder
}
/** Its files, but not the log of what is being written: to be put in another's place, the store being closed. */
const put = async (from: string, to: string): Promise<void> => {
  for (const end of ["-wal", "-shm"]) await rm(to + end, { force: true })
  await copyFile(from, to)
}

const names = [
  "",
  "a",
  "A",
  "ä",
  "a\u0308",
  "../../../etc/passwd",
  "con",
  ".",
  "..",
  "nul\u0000",
  "%move",
  "x".repeat(512),
  "\u{1f600}",
  "a/b",
  "a\\b",
  "tenants",
]

t.test("every name that a tenant can have is a file of its own, and nothing lies outside of the folder", async (t) => {
  const folder = newFolder()
  {
    await using store = await TenantFilesStore.open(folder)
    for (const name of names) await store.apply([set(name, "whose", name)])
    for (const name of ["x".repeat(513), "\u{1f600}".repeat(129)]) t.equal(await refused(() => store.apply([set(name, "k")])), "Tenant")
    t.equal(await refused(() => store.apply([{ ...set("", "k"), tenant: Uint8Array.of(0x61, 0xc3) }])), "Tenant", "half a character")
    t.equal(await refused(() => store.ask({ ask: "get", tenant: Uint8Array.of(0xc3), key: bytes("k") })), "Tenant")
  }
  await using store = await TenantFilesStore.open(folder, { openMax: 2 })
  for (const name of names) t.equal(await get(store, name, "whose"), name, JSON.stringify(name.slice(0, 20)))
  const listed = await store.ask({ ask: "tenants", after: undefined, countMax: 100 })
  t.same(
    listed.map((name) => Buffer.from(name).toString()),
    names
      .map((name) => Buffer.from(name))
      .toSorted(Buffer.compare)
      .map((name) => name.toString()),
  )
  t.equal((await filesIn(folder)).length, names.length)
  t.equal(new Set((await filesIn(folder)).map((name) => name.toLowerCase())).size, names.length, "also where case is not told apart")
  t.same((await readdir(base)).length, folders)
  t.same(await store.check(), [])
})

t.test("a store has as many files open as it may, however many tenants it has, and none that rests", async (t) => {
  const folder = newFolder()
  await using store = await TenantFilesStore.open(folder, { openMax: 4, threadsMax: 2, idleMs: 50 })
  const tenants = Array.from({ length: 40 }, (_, i) => `t${i}`)
  const openFiles = async (): Promise<number> => {
    const links = await Promise.all((await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")))
    return links.filter((link) => link.startsWith(join(folder, "tenants"))).length
  }
  for (let round = 0; round < 3; round++) {
    await Promise.all(tenants.map((tenant) => store.apply([set(tenant, `k${round}`)])))
    for (const tenant of tenants) t.equal(await get(store, tenant, `k${round}`), `k${round}`)
    // A connection has a database, its log and their index; the index of two connections of a process is one.
    if (process.platform === "linux") t.ok((await openFiles()) <= 3 * (4 + 4), `${await openFiles()} open`)
  }
  t.same(await store.check(), [])
  if (process.platform !== "linux") return
  for (const endMs = performance.now() + 30_000; performance.now() < endMs && (await openFiles()) > 3 * 4;) await new Promise((resume) => setTimeout(resume, 5))
  t.ok((await openFiles()) <= 3 * 4, "those of readers alone")
})

t.test("options that make no sense are refused by name", async (t) => {
  for (const options of [{ openMax: 0 }, { openMax: 1e9 }, { threadsMax: 0 }, { threadsMax: 17 }, { idleMs: 0 }, { pendingMax: 0 }, { openMax: 1.5 }])
    await t.rejects(TenantFilesStore.open(newFolder(), options), { code: "STELE-CFG-0002", reason: { option: Object.keys(options)[0] } })
})

t.test("a batch is one tenant's, and what concerns all of them and cannot be had is refused by name", async (t) => {
  await using store = await TenantFilesStore.open(newFolder(), { pendingMax: 2 })
  t.equal(await refused(() => store.apply([set("a", "k"), set("b", "k")])), "Tenants")
  t.equal(await refused(() => store.applySync([set("a", "k"), set("b", "k")])), "Tenants")
  t.equal(await refused(() => store.apply([{ op: "lease", key: bytes("q"), countMax: 1, leaseMs: 1_000 }])), "Unsupported")
  t.equal(await refused(() => store.apply([{ op: "sql", service: "x", text: "CREATE TABLE x_y (z) STRICT" }])), "Unsupported")
  t.equal(await refused(() => store.ask({ ask: "sql", service: "x", text: "SELECT 1" })), "Unsupported")
  t.same(await store.ask({ ask: "tenants", after: undefined, countMax: 9 }), [], "nothing was made for it")
  const writes = await Promise.allSettled(["a", "b", "c"].map((tenant) => store.apply([set(tenant, "k")])))
  t.same(
    writes.map((each) => (each.status === "fulfilled" ? "kept" : (each.reason as StorageError).code)),
    ["kept", "kept", "STELE-STO-0011"],
  )
})

t.test("queues: jobs of a tenant are leased by its name, and counted over all of them", async (t) => {
  await using store = await TenantFilesStore.open(newFolder())
  const queue = bytes("mail")
  for (const tenant of ["a", "b"])
    await store.apply([{ op: "enqueue", tenant: bytes(tenant), key: queue, jobs: [{ payload: bytes("1") }, { payload: bytes("2") }] }])
  const [leased] = await store.apply([{ op: "lease", tenant: bytes("a"), key: queue, countMax: 5, leaseMs: 60_000 }])
  t.equal(leased.jobs.length, 2)
  await store.apply([{ op: "complete", leases: leased.jobs.slice(0, 1) }])
  t.match(await store.ask({ ask: "queue", key: queue }), { ready: 2, leased: 1, tenants: 2 })
})

t.test("of an erased tenant no file of the folder has a byte, the store being open, and its numbers are not used again", async (t) => {
  const folder = newFolder()
  await using store = await TenantFilesStore.open(folder)
  let version = 0
  for (let i = 0; i < 40; i++) [version] = await store.apply([set("secret-name", `key-of-secret ${i}`, "value-of-secret".repeat(i * 20))])
  await store.apply([set("bob", "k", "of bob")])
  await eraseTenant(store, bytes("secret-name"), 7)
  t.equal((await filesIn(folder)).length, 1)
  const all = async (within: string): Promise<string> =>
    (
      await Promise.all(
        (await readdir(within, { withFileTypes: true, recursive: true }))
          .filter((each) => each.isFile())
          .map(async (each) => `${each.name} ${(await readFile(join(each.parentPath, each.name))).toString("latin1")}`),
      )
    ).join(" ")
  t.match(await all(folder), /of bob/)
  t.notMatch(await all(folder), /secret/)
  t.equal(await get(store, "secret-name", "key-of-secret 3"), undefined)
  t.same(await store.check(), [])
  const [next] = await store.apply([set("secret-name", "again")])
  t.ok(next > version, `${next} after ${version}`)
  await t.rejects(store.ask({ ask: "changes", tenant: bytes("other"), key: bytes(""), after: version, countMax: 9 }), { code: "STELE-STO-0041" }, "of nobody")
})

t.test("two stores: what one erases and writes again the other reads and writes at once", async (t) => {
  const folder = newFolder()
  const stores = [await TenantFilesStore.open(folder), await TenantFilesStore.open(folder)] as const
  try {
    for (let round = 0; round < 12; round++) {
      const [one, two] = round % 2 === 0 ? stores : ([stores[1], stores[0]] as const)
      await one.apply([set("ada", "k", `${round}`)])
      t.equal(await get(two, "ada", "k"), `${round}`)
      await two.apply([set("ada", "l", `${round}`)])
      await eraseTenant(one, bytes("ada"))
      t.equal(await get(two, "ada", "l"), undefined, "erased is erased everywhere")
      await two.apply([set("ada", "m", `${round}`)])
      t.equal(await get(one, "ada", "m"), `${round}`, "and what comes then is seen")
      t.equal((await filesIn(folder)).length, 1)
    }
    for (const store of stores) t.same(await store.check(), [])
  } finally {
    for (const store of stores) await store.close()
  }
})

t.test("writers of a tenant that is erased again and again lose nothing that was acknowledged after the last erasure", async (t) => {
  const folder = newFolder()
  const stores = await Promise.all(Array.from({ length: 3 }, () => TenantFilesStore.open(folder, { threadsMax: 1 })))
  const counts = await Promise.all(
    stores.map(async (store, who) => {
      let kept = 0
      for (let i = 0; i < 40; i++) {
        if (who === 0 && i % 4 === 3) await eraseTenant(store, bytes("ada"), 1_000)
        else await store.apply([{ op: "append", tenant: bytes(`log ${who}`), key: bytes("l"), payload: bytes(String(i)) }])
        await store.apply([set("ada", `${who}-${i}`)])
        kept++
      }
      return kept
    }),
  )
  t.same(counts, [40, 40, 40])
  for (const store of stores) {
    t.same(await store.check(), [])
    // The last write of who erased came after its last erasure, and so did whatever is there of the others.
    t.equal(await get(store, "ada", "0-39"), "0-39")
  }
  const digests = await Promise.all(
    stores.map(async (store) =>
      JSON.stringify(
        (await store.ask({ ask: "entries", tenant: bytes("ada"), key: bytes(""), beyond: undefined, countMax: 1_000, bytesMax: 1e6 })).entries.map(({ key }) =>
          Buffer.from(key).toString(),
        ),
      ),
    ),
  )
  t.equal(new Set(digests).size, 1, "all of them see the same")
  for (const store of stores) await store.close()
})

t.test("a file that went away is a loss of its tenant alone, which is refused until it is accepted", async (t) => {
  const folder = await filled(["ada", "bob"])
  const file = pathIn(folder, "ada", 1)
  await rm(file)
  {
    await using store = await TenantFilesStore.open(folder)
    t.equal(await refused(() => get(store, "ada", "k")), "Lost")
    t.equal(await refused(() => store.apply([set("ada", "k")])), "Lost")
    t.equal(await refused(() => store.applySync([set("ada", "k")])), "Lost")
    t.equal(await get(store, "bob", "k"), "of bob")
    await store.apply([set("bob", "k", "goes on")])
    t.match(await store.check(), [{ table: "tenant", key: "ada" }])
    await t.rejects(stat(file), "and nothing was made in its place")
  }
  t.match(stele(["doctor", `sqlite-tenants:${folder}`]).stdout, /commits .*1 tenants/)
  const { code, stdout } = stele(["storage", "check", `sqlite-tenants:${folder}`])
  t.equal(code, 3)
  t.match(stdout, /ada/)
  t.equal(stele(["storage", "check", `sqlite-tenants:${folder}`, "--accept-loss"]).code, 0)
  await using store = await TenantFilesStore.open(folder)
  t.equal(await get(store, "ada", "k"), undefined)
  const [version] = await store.apply([set("ada", "k", "new")])
  t.ok(version > 1, "numbered above what was lost")
  t.equal(await get(store, "bob", "k"), "goes on")
})

t.test("a file that went back in time, with everything beside it, is read and not written to", async (t) => {
  const folder = await filled(["ada", "bob"])
  const old = newFolder()
  await cp(join(folder, "tenants"), old, { recursive: true })
  {
    await using store = await TenantFilesStore.open(folder)
    for (const tenant of ["ada", "bob"]) await store.apply([set(tenant, "k", "newer")])
  }
  await put(join(old, fileName(bytes("ada"), 1)), pathIn(folder, "ada", 1))
  {
    await using store = await TenantFilesStore.open(folder)
    t.equal(await get(store, "ada", "k"), "of ada")
    t.match(await store.apply([set("ada", "k")]).catch((error: unknown) => error), { reason: { _tag: "Lost", found: 2, known: 3 } })
    t.match(await store.check(), [{ table: "commit_group", key: "3" }])
    await store.apply([set("bob", "k", "newest")])
  }
  await using store = await TenantFilesStore.open(folder, { acceptLoss: true })
  await store.apply([set("ada", "k", "accepted")])
  t.same(await store.check(), [])
})

t.test("files that were exchanged are nobody's until they are put back", async (t) => {
  const folder = await filled(["ada", "bob", "eve"])
  const [ada, bob, aside] = [pathIn(folder, "ada", 1), pathIn(folder, "bob", 2), join(base, "aside.db")]
  const exchange = async (): Promise<void> => {
    await rename(ada, aside)
    await rename(bob, ada)
    await rename(aside, bob)
  }
  await exchange()
  {
    await using store = await TenantFilesStore.open(folder)
    for (const tenant of ["ada", "bob"]) {
      t.equal(await refused(() => get(store, tenant, "k")), "TenantFile")
      t.equal(await refused(() => store.apply([set(tenant, "k")])), "TenantFile")
      t.equal(await refused(() => eraseTenant(store, bytes(tenant))), "TenantFile")
    }
    t.equal(await get(store, "eve", "k"), "of eve")
    t.same(
      (await store.check()).map(({ key }) => key),
      ["ada", "bob"],
    )
  }
  await (await TenantFilesStore.open(folder, { acceptLoss: true })).close()
  await exchange()
  await using store = await TenantFilesStore.open(folder)
  for (const tenant of ["ada", "bob", "eve"]) t.equal(await get(store, tenant, "k"), `of ${tenant}`)
  t.same(await store.check(), [])
})

t.test("a catalogue that is gone, or went back in time, is noticed, and made anew from the files when that is accepted", async (t) => {
  const folder = await filled(["ada", "bob"])
  for (const name of ["control.db", "control.db-wal", "control.db-shm"]) await rm(join(folder, name), { force: true })
  t.equal(await refused(() => TenantFilesStore.open(folder)), "TenantFile")
  t.equal(await refused(() => TenantFilesStore.open(folder)), "TenantFile", "and nothing was made by looking")
  {
    await using store = await TenantFilesStore.open(folder, { acceptLoss: true })
    for (const tenant of ["ada", "bob"]) t.equal(await get(store, tenant, "k"), `of ${tenant}`)
    t.same(await store.check(), [])
  }
  await copyFile(join(folder, "control.db"), join(base, "old-control"))
  {
    await using store = await TenantFilesStore.open(folder)
    await store.apply([set("eve", "k", "of eve")])
  }
  await put(join(base, "old-control"), join(folder, "control.db"))
  {
    await using store = await TenantFilesStore.open(folder)
    t.match(store.refusal, { code: "STELE-STO-0085" })
    t.equal(await refused(() => store.apply([set("ada", "k")])), "TenantFile")
    t.equal(await get(store, "ada", "k"), "of ada")
    t.match(await store.check(), [{ table: "control" }])
  }
  await using store = await TenantFilesStore.open(folder, { acceptLoss: true })
  t.equal(await get(store, "eve", "k"), "of eve")
  t.same(await store.check(), [])
  const generations = (await filesIn(folder)).map((name) => name.replace(/.*-/, "")).toSorted()
  await store.apply([set("new", "k")])
  t.equal((await filesIn(folder)).length, generations.length + 1, "numbers of files go on above those that are there")
})

t.test("files of an older format get this one's when their tenants are read, or all at once", async (t) => {
  const folder = await filled(["ada", "bob", "eve"])
  for (const [i, tenant] of ["ada", "bob", "eve"].entries()) {
    const database = new DatabaseSync(pathIn(folder, tenant, i + 1))
    for (const { name } of database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'queue%'").all())
      database.exec(`DROP TABLE ${String(name)}`)
    database.exec("PRAGMA user_version = 5")
    database.close()
  }
  {
    await using store = await TenantFilesStore.open(folder)
    t.equal(await get(store, "ada", "k"), "of ada")
    await store.apply([set("bob", "k", "written")])
  }
  const address = `sqlite-tenants:${folder}`
  t.match(stele(["storage", "info", address]), { code: 6, stderr: /STELE-STO-0023/ }, "who only looks changes nothing")
  t.match(JSON.parse(stele(["storage", "migrate", address, "--dry-run", "--json"]).stdout), { from: 5 })
  t.match(JSON.parse(stele(["storage", "migrate", address, "--json"]).stdout), { from: 5 })
  t.equal(stele(["storage", "check", address]).code, 0)
})

t.test("a folder of somebody else's, or nowhere, is refused and left as it is", async (t) => {
  const folder = newFolder()
  await mkdir(folder)
  await writeFile(join(folder, "theirs"), "x")
  t.equal(await refused(() => TenantFilesStore.open(folder)), "Foreign")
  t.equal(await refused(() => TenantFilesStore.open(join(folder, "none", "below"))), "Unreachable")
  t.equal(await refused(() => TenantFilesStore.open(join(folder, "theirs"))), "Unreachable")
  const control = newFolder()
  await mkdir(control)
  await writeFile(join(control, "control.db"), "no database, and long enough to be read as the header of one".repeat(20))
  t.equal(await refused(() => TenantFilesStore.open(control)), "Unreachable")
  t.match(stele(["storage", "info", `sqlite-tenants:${newFolder()}`]).code, 69)
  t.match(stele(["storage", "info", `sqlite:${join(await filled(["a"]), "control.db")}`]).stderr, /STELE-STO-0003/)
})

t.test(
  "a folder that may not be written to is refused by name",
  { skip: process.getuid?.() !== 0 && "it takes a superuser to become somebody else" },
  async (t) => {
    const folder = await filled(["t0"])
    await chmod(base, 0o755)
    const child = spawn(process.execPath, [program, "open", folder], { uid: 65_534, gid: 65_534, stdio: ["ignore", "pipe", "pipe"], env: { HOME: "/" } })
    let said = ""
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (said += data.toString()))
    await once(child, "close")
    t.match(said, /STELE-STO-0002/)
  },
)

t.test("nothing acknowledged is lost, and no batch is half, when the process is killed at any moment", async (t) => {
  const rounds = isFull ? 100 : 4
  const [folder, tenants] = [newFolder(), 8]
  let count = 0
  for (let round = 0; round < rounds; round++) {
    const child = spawn(process.execPath, [program, round % 2 === 0 ? "write" : "churn", folder, String(tenants)], { stdio: ["ignore", "pipe", "inherit"] })
    let said = ""
    child.stdout.on("data", (data: Buffer) => (said += data.toString()))
    const wanted = 1 + ((round * 7) % 23)
    while (said.split("\n").length <= wanted) await once(child.stdout, "data")
    child.kill("SIGKILL")
    await once(child, "close")
    const kept = new Map<number, number>()
    for (const line of said.split("\n").slice(0, -1)) {
      const erased = /^erased (\d+)$/.exec(line)?.[1]
      if (erased !== undefined) kept.delete(Number(erased))
      else kept.set(Number(line) % tenants, Number(line))
      count++
    }
    await using store = await TenantFilesStore.open(folder)
    t.equal(store.refusal, undefined)
    t.same(await store.check(), [], `round ${round}`)
    const last = Math.max(0, ...kept.values())
    for (const [tenant, number] of kept) {
      const [left, right] = [await get(store, `t${tenant}`, "left"), await get(store, `t${tenant}`, "right")]
      // What was under way may be an erasure of it, in steps of one row.
      if (round % 2 === 1 && (last + 1) % tenants === tenant) continue
      t.equal(left, right, `round ${round}: both or neither`)
      t.ok(Number(left) >= number, `round ${round}, tenant ${tenant}: ${left} written, ${number} acknowledged`)
    }
  }
  t.comment(`${rounds} rounds, ${count} steps acknowledged`)
})

t.test("a process with nothing to wait for ends by itself, its last write kept", async (t) => {
  const folder = newFolder()
  const { status, stderr } = await start("node", program, ["leave", folder, "3"])
  t.equal(status, 0, stderr)
  await using store = await TenantFilesStore.open(folder)
  t.equal(await get(store, "t1", "left"), "1")
})

t.test("processes of three engines count keys of three tenants up together, awaited and blocking", async (t) => {
  const folder = newFolder()
  for (const { status, stderr } of await Promise.all(engines.map((engine) => start(engine, program, ["add", folder, "20"])))) t.equal(status, 0, stderr)
  await using store = await TenantFilesStore.open(folder)
  for (const tenant of ["ada", "bob", ""]) t.equal(await get(store, tenant, "count"), String(20 * engines.length), tenant)
  t.same(await store.check(), [])
})

t.test("from the fence on nobody writes, in any process, to tenants there are and to new ones; and no commit comes late", async (t) => {
  for (let round = 0; round < (isFull ? 30 : 1); round++) {
    const folder = await filled(Array.from({ length: 4 }, (_, i) => `t${i}`))
    const children = [8, 8].map((tenants) => {
      const child = spawn(process.execPath, [program, "until", folder, String(tenants)], { stdio: ["ignore", "pipe", "inherit"] })
      let said = ""
      child.stdout.on("data", (data: Buffer) => (said += data.toString()))
      return { child, said: () => said, closed: once(child, "close") }
    })
    for (const { child, said } of children) while (!said().includes("begun")) await once(child.stdout, "data")
    await using store = await TenantFilesStore.open(folder)
    for (let i = 0; i < 2 + round; i++) await store.apply([set("t0", `mine ${i}`)])
    await store.apply([{ op: "fence", tenant: bytes(""), fence: { to: "sqlite:elsewhere.db", state: "moving" } }])
    const then = JSON.stringify(await store.ask({ ask: "totals" }))
    for (const { closed } of children) await closed
    const results = children.map(
      ({ said }) => JSON.parse(said().split("\n").at(-2) as string) as { readonly codes: ReadonlyArray<string>; readonly written: number },
    )
    t.same(
      results.map(({ codes }) => codes),
      [["STELE-STO-0065"], ["STELE-STO-0065"]],
    )
    t.equal(
      JSON.stringify(await store.ask({ ask: "totals" })),
      then,
      `round ${round}: nothing came after ${results.map(({ written }) => written).join(" and ")} writes`,
    )
    const changes = await Promise.all(
      Array.from({ length: 8 }, (_, i) => store.ask({ ask: "list", tenant: bytes(`t${i}`), key: bytes("k"), beyond: undefined, countMax: 1e6 })),
    )
    // Every write that was acknowledged is there: each has a key of its own, besides the one of who filled it.
    t.ok(changes.reduce((sum, keys) => sum + keys.length, 0) - 4 >= results.reduce((sum, { written }) => sum + written, 0), "what was acknowledged is there")
    t.equal(await refused(() => store.apply([set("new", "k")])), "Moved")
    t.equal(await refused(() => eraseTenant(store, bytes("t1"))), "Moved")
    t.same(await store.ask({ ask: "fence" }), { to: "sqlite:elsewhere.db", state: "moving" })
    await store.apply([{ op: "fence", tenant: bytes(""), fence: undefined }])
    await store.apply([set("new", "k")])
    t.same(await store.check(), [])
  }
})

t.test("a disk that is full refuses the write, keeps what was there and takes writes again", async (t) => {
  const folder = await filled(["t0", "t1", "t2"])
  // A limit on the size of files stands in for a full disk.
  const child = spawn("sh", ["-c", `trap '' XFSZ; ulimit -f 700; exec "$0" "$1" until "$2" 3`, process.execPath, program, folder], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  let said = ""
  child.stdout.on("data", (data: Buffer) => (said += data.toString()))
  await once(child, "close")
  const { codes, written } = JSON.parse(said.split("\n").at(-2) as string) as { readonly codes: ReadonlyArray<string>; readonly written: number }
  t.ok(
    codes.every((code) => /STELE-STO-000[278]/.test(code)),
    codes.join(" "),
  )
  await using store = await TenantFilesStore.open(folder)
  const keys = await Promise.all([0, 1, 2].map((i) => store.ask({ ask: "list", tenant: bytes(`t${i}`), key: bytes("k"), beyond: undefined, countMax: 1e6 })))
  t.ok(keys.reduce((sum, each) => sum + each.length, 0) - 3 >= written, `${written} acknowledged`)
  for (const i of [0, 1, 2]) await store.apply([set(`t${i}`, "after")])
  t.same(await store.check(), [])
})

t.test("every flipped bit that changes an answer is found, in tenants' files, in the catalogue and in the marks", async (t) => {
  const tenants = ["ada", "bob", ""]
  const folder = await filled(tenants)
  const answers = async (store: TenantFilesStore): Promise<string> =>
    JSON.stringify([
      await store.ask({ ask: "fence" }),
      (await store.ask({ ask: "tenants", after: undefined, countMax: 9 })).map((name) => Buffer.from(name).toString()),
      await Promise.all(tenants.map((tenant) => get(store, tenant, "k"))),
    ])
  let all = ""
  {
    await using store = await TenantFilesStore.open(folder)
    all = await answers(store)
  }
  const files = ["control.db", "marks", ...(await filesIn(folder)).map((name) => join("tenants", name))]
  const random = randomFrom(20_261_130)
  const counts = { same: 0, found: 0 }
  for (let i = 0; i < (isFull ? 600 : 24); i++) {
    const copy = newFolder()
    await cp(folder, copy, { recursive: true })
    const path = join(copy, files[i % files.length] as string)
    const content = await readFile(path)
    // Most of it is empty: where there is something.
    const filled = [...content.entries()].filter(([, byte]) => byte !== 0).map(([at]) => at)
    const at = filled[random(filled.length)] as number
    content[at] = (content[at] as number) ^ (1 << random(8))
    await writeFile(path, content)
    let [isFound, isSame] = [false, false]
    try {
      await using store = await TenantFilesStore.open(copy, { threadsMax: 1 })
      isFound = store.refusal !== undefined || (await store.check()).length > 0
      isSame = (await answers(store)) === all
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      isFound = true
    }
    t.ok(isSame || isFound, `${path}: bit flipped in byte ${at}`)
    counts[isFound ? "found" : "same"]++
    await rm(copy, { recursive: true })
  }
  t.comment(`${counts.found} found, ${counts.same} in bytes that answer nothing`)
  t.ok(counts.found > 0)
})

t.test("a limit of all tenants is held over all of their files, also against another store's writes", async (t) => {
  const folder = newFolder()
  const limits: StoreLimitOptions = { keyValue: { totalBytesMax: 1_000 } }
  const options: TenantFilesOptions = { ...limits, threadsMax: 3 }
  await using store = await TenantFilesStore.open(folder, options)
  await using other = await TenantFilesStore.open(folder, options)
  for (let i = 0; i < 9; i++) await store.apply([set(`t${i}`, "k", "x".repeat(90))])
  const found = await Promise.allSettled(Array.from({ length: 30 }, async (_, i) => store.apply([set(`u${i}`, "k", "x".repeat(90))])))
  t.ok(found.filter(({ status }) => status === "fulfilled").length <= 3, "at most what is under way in three threads")
  // Near the limit what others wrote is seen at once, but for 20 ms.
  for (const endMs = performance.now() + 10_000; ;) {
    const error = await other.apply([set("late", "k", "x".repeat(200))]).then(
      () => eraseTenant(other, bytes("late")),
      (reason: unknown) => reason as { readonly code: string; readonly reason: { readonly max: number; readonly actual: number } },
    )
    if (typeof error === "number" && performance.now() < endMs) continue
    t.match(error, { code: "STELE-CAP-0008", reason: { limit: "totalBytesMax", max: 1_000 } })
    break
  }
  for (let i = 0; i < 9; i++) await eraseTenant(store, bytes(`t${i}`))
  await store.apply([set("room", "k", "x".repeat(90))])
})

t.test("two stores that write for one tenant in turn are held to what it has, and not to what each of them knew", async (t) => {
  const folder = newFolder()
  const options: TenantFilesOptions = { keyValue: { totalBytesMax: 1_000 }, threadsMax: 1 }
  await using store = await TenantFilesStore.open(folder, options)
  await using other = await TenantFilesStore.open(folder, options)
  for (let i = 0; i < 40; i++) await (i % 2 === 0 ? store : other).apply([set("ada", "k", "x".repeat(i * 24))])
  await t.rejects(other.apply([set("ada", "k", "x".repeat(1_000))]), { code: "STELE-CAP-0008", reason: { limit: "totalBytesMax", max: 1_000, actual: 1_005 } })
})

t.test("a fence that was there stays as it was when another cannot be put up", async (t) => {
  const folder = await filled(["ada"])
  await using store = await TenantFilesStore.open(folder)
  const fence = (state: "moving" | "moved") => store.apply([{ op: "fence", tenant: bytes(""), fence: { to: "x", state } }])
  await fence("moving")
  await writeFile(pathIn(folder, "ada", 1), "no database, and long enough to be read as the header of one".repeat(20))
  await t.rejects(fence("moved"))
  t.same(await store.ask({ ask: "fence" }), { to: "x", state: "moving" })
})

t.test("random operations on many tenants through few open files are what a map would hold", async (t) => {
  const random = randomFrom(seed)
  const folder = newFolder()
  const stores = [
    await TenantFilesStore.open(folder, { openMax: 3, threadsMax: 3, idleMs: 5 }),
    await TenantFilesStore.open(folder, { openMax: 1, threadsMax: 1 }),
  ]
  const model = new Map<string, Map<string, string>>()
  const tenants = Array.from({ length: 12 }, (_, i) => (i === 0 ? "" : `tenant ${i}`))
  for (let step = 0; step < (isFull ? 3_000 : 100); step++) {
    const which = random(2)
    if (random(60) === 0) {
      await stores[which]?.close()
      stores[which] = await TenantFilesStore.open(folder, { openMax: 1 + random(4), threadsMax: 1 + random(3), idleMs: 1 + random(20) })
    }
    const store = stores[which] as TenantFilesStore
    const [tenant, name] = [tenants[random(tenants.length)] as string, `k${random(6)}`]
    const kept = model.get(tenant) ?? new Map<string, string>()
    switch (random(7)) {
      case 0:
        await eraseTenant(store, bytes(tenant), 1 + random(50))
        model.delete(tenant)
        break
      case 1: {
        const [was] = store.applySync([{ op: "delete", tenant: bytes(tenant), key: bytes(name) }])
        t.equal(was, kept.delete(name), `seed ${seed}, step ${step}`)
        break
      }
      case 2: {
        const victim = tenants[random(tenants.length)] as string
        if (victim !== tenant) t.equal(await refused(() => store.apply([set(tenant, name, "x"), set(victim, name, "x")])), "Tenants")
        break
      }
      default:
        await store.apply([set(tenant, name, String(step)), { op: "append", tenant: bytes(tenant), key: bytes("log"), payload: bytes(tenant) }])
        model.set(tenant, kept.set(name, String(step)))
    }
    const asked = tenants[random(tenants.length)] as string
    const { entries } = await (stores[random(2)] as TenantFilesStore).ask({
      ask: "entries",
      tenant: bytes(asked),
      key: bytes(""),
      beyond: undefined,
      countMax: 99,
      bytesMax: 1e6,
    })
    const found = entries.map(({ key, value }) => [Buffer.from(key).toString(), Buffer.from(value).toString()])
    const wanted = [...(model.get(asked) ?? [])].toSorted(([a], [b]) => (a < b ? -1 : 1))
    if (JSON.stringify(found) !== JSON.stringify(wanted)) t.same(found, wanted, `seed ${seed}, step ${step}, "${asked}"`)
  }
  for (const store of stores) {
    t.same(await store.check(), [], `seed ${seed}`)
    await store.close()
  }
})

t.test("one file becomes a folder of files and one file again while it is used, and all three are equal", async (t) => {
  const [one, many, again] = [`sqlite:${join(base, "one.db")}`, `sqlite-tenants:${newFolder()}`, `sqlite:${join(base, "again.db")}`]
  const kept = await openStorage(one)
  for (const tenant of ["", "ada", "bob"]) {
    for (let i = 0; i < 30; i++) await kept.store?.apply([set(tenant, `k${i}`, `v${i}`)])
    await kept.store?.apply([
      { op: "append", tenant: bytes(tenant), key: bytes("log"), payload: bytes("entry") },
      { op: "enqueue", tenant: bytes(tenant), key: bytes("q"), jobs: [{ payload: bytes("job") }] },
      { op: "publish", tenant: bytes(tenant), key: bytes("topic"), payload: bytes("event") },
    ])
  }
  await kept.close()
  const { digestOf } = await import("../../../../runtime/storage/record.ts")
  const digests = async (address: string): Promise<string> => {
    const { openStores } = await import("../../../../runtime/storage/storage.ts")
    const { store, close } = await openStores(address)
    const found = []
    for (const tenant of await store.ask({ ask: "tenants", after: undefined, countMax: 9 }))
      for (const table of await store.ask({ ask: "tables" })) found.push([Buffer.from(tenant).toString(), table, await digestOf(store, tenant, table)])
    await close()
    return JSON.stringify(found)
  }
  const before = await digests(one)
  for (const [from, to] of [
    [one, many],
    [many, again],
  ] as const) {
    const { code, stderr } = stele(["storage", "move", from, to, "--pause", "20s", "--json"])
    t.equal(code, 0, stderr)
    t.equal(await digests(to), before)
    t.equal(stele(["storage", "check", to]).code, 0)
  }
  t.equal(stele(["storage", "move", many, one, "--json"]).code, 6, "it was moved")
})

t.test("`Host.open()` keeps data there, sealed if it is given a key", async (t) => {
  const folder = newFolder()
  const storage = `sqlite-tenants:${folder}`
  {
    await using host = await Host.open({ storage, cache: false })
    await host.ports.keyValue.set(tenantKey("ada", "k"), bytes("kept"))
    await host.ports.blob.put(tenantKey("ada", "b"), bytes("blob"))
  }
  {
    await using host = await Host.open({ storage, cache: false })
    t.equal(Buffer.from((await host.ports.keyValue.get(tenantKey("ada", "k"))) ?? []).toString(), "kept")
    t.equal(Buffer.from((await host.ports.blob.get(tenantKey("ada", "b"))) ?? []).toString(), "blob")
  }
  const key = join(base, "key")
  await writeFile(key, Buffer.alloc(32, 7))
  t.equal(stele(["storage", "rotate", storage, "--storage-key", `file:${key}`]).code, 0)
  await t.rejects(Host.open({ storage, cache: false }), { code: "STELE-STO-0073" })
  const sealed = await openStorage(storage, { storageKey: `file:${key}` })
  t.equal(Buffer.from((await sealed.store?.ask({ ask: "get", tenant: bytes("ada"), key: bytes("k") }))?.value ?? []).toString(), "kept")
  t.same(await sealed.store?.check(), [])
  await sealed.close()
})

t.test("what is published keeps it too, its threads being files of their own", async (t) => {
  const storage = `sqlite-tenants:${newFolder()}`
  const published = fileURLToPath(new URL("../../../../dist/mod.js", import.meta.url))
  const code = `
    const { Host } = await import(${JSON.stringify(published)})
    const host = await Host.open({ storage: ${JSON.stringify(storage)}, cache: false })
    for (const tenant of ["a", "b", "c", "d", "e"]) await host.ports.keyValue.set(tenant + "/k", Buffer.from(tenant))
    await host.close()
  `
  const child = spawn(process.execPath, ["--input-type=module", "-e", code], { stdio: ["ignore", "inherit", "inherit"] })
  const [status] = (await once(child, "close")) as [number]
  t.equal(status, 0)
  t.match(JSON.parse(stele(["storage", "info", storage, "--json"]).stdout), { tables: [{ table: "key_value", count: 5, tenants: 5 }] })
})

t.test("a folder is not archived as a whole, and one tenant's file is by itself, while it is written to", async (t) => {
  const folder = await filled(["ada", "bob"])
  const archive = newFolder()
  t.match(stele(["storage", "backup", `sqlite-tenants:${folder}`, "--to", archive]), { code: 2, stderr: /STELE-STO-0086/ })
  t.match(stele(["storage", "restore", archive, "--to", `sqlite-tenants:${newFolder()}`]), { code: 2, stderr: /STELE-STO-0086/ })
  await using store = await TenantFilesStore.open(folder)
  await store.apply([set("ada", "k", "newest")])
  const { code, stderr } = stele(["storage", "backup", `sqlite:${pathIn(folder, "ada", 1)}`, "--to", archive])
  t.equal(code, 0, stderr)
  await store.apply([set("ada", "k", "later")])
  t.same(await store.check(), [])
  const then = join(base, "then.db")
  t.equal(stele(["storage", "restore", archive, "--to", `sqlite:${then}`]).code, 0)
  const { store: restored, close } = await openStorage(`sqlite:${then}`)
  t.equal(Buffer.from((await restored?.ask({ ask: "get", tenant: bytes("ada"), key: bytes("k") }))?.value ?? []).toString(), "newest")
  await close()
})
