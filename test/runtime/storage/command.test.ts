import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { DatabaseSync } from "node:sqlite"
import t from "tap"
import { tenantKey } from "../../../host/port/mod.ts"
import { guestBlob, guestEvent, guestKeyValue } from "../../../runtime/storage/guest.ts"
import { SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { openStores } from "../../../runtime/storage/storage.ts"
import { jsonError, main, root, stele } from "../command-line.ts"

t.setTimeout(120_000)
const folder = await mkdtemp(join(tmpdir(), "stele-storage-command-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
const greeter = join(root, "plugins/examples/greeter/build/greeter.wasm")

t.test("`stele call --storage` finds what an earlier call stored", async (t) => {
  const storage = `sqlite:${join(folder, "kept.db")}`
  const call = ["call", greeter, "greet", '{name: "Ada"}', "--grant", "log", "--grant", "kv:read:prices/*", "--storage", storage]
  t.match(stele([...call, "--kv", "prices/tea=3.20"]).stdout, /3\.20/)
  const { code, stdout } = stele(call)
  t.equal(code, 0)
  t.match(stdout, /3\.20/)
})

t.test("`stele storage info` counts what is in a store and changes nothing", async (t) => {
  const path = join(folder, "info.db")
  {
    await using store = await SqliteStore.open(path)
    for (const name of ["a", "b"]) guestKeyValue(store).set(tenantKey("ada", name), Buffer.from("value"))
    guestKeyValue(store).set(tenantKey("bob", "a"), Buffer.from("value"))
    guestEvent(store).publish(tenantKey("ada", "topic"), Buffer.from("payload"))
  }
  t.match(JSON.parse(stele(["storage", "info", `sqlite:${path}`, "--json"]).stdout), {
    commits: 4,
    tables: [
      { table: "key_value", counts: "key", count: 3, bytes: 3 * (5 + 5), tenants: 2 },
      { table: "event", counts: "topic", count: 1, bytes: 7, tenants: 1 },
    ],
  })
  t.match(stele(["storage", "info", `sqlite:${path}`]).stdout, /key-value +3 keys of 2 tenants/)
})

t.test("`stele storage check` names what is missing with exit code 3, and goes on without it when told to", async (t) => {
  const [path, old] = [join(folder, "check.db"), join(folder, "old.db")]
  const write = async (value: string): Promise<void> => {
    await using store = await SqliteStore.open(path)
    guestKeyValue(store).set(tenantKey("ada", "k"), Buffer.from(value))
  }
  await write("1")
  t.equal(stele(["storage", "check", `sqlite:${path}`]).code, 0)
  await copyFile(path, old)
  await write("2")
  for (const suffix of ["-wal", "-shm"]) await rm(path + suffix, { force: true })
  await copyFile(old, path)
  const found = stele(["storage", "check", `sqlite:${path}`, "--json"])
  t.equal(found.code, 3)
  t.match(JSON.parse(found.stdout), { findings: [{ table: "commit_group", key: "2" }] })
  t.equal(stele(["storage", "check", `sqlite:${path}`, "--accept-loss"]).code, 0)
  await write("3")
  t.equal(stele(["storage", "check", `sqlite:${path}`]).code, 0)
})

t.test("`stele storage` refuses what is no store, and makes no file", async (t) => {
  const none = join(folder, "none.db")
  for (const command of ["info", "check"]) {
    const missing = stele(["storage", command, `sqlite:${none}`, "--json"])
    t.equal(missing.code, 69)
    t.match(jsonError(missing), { code: "STELE-STO-0002", message: /there is no such file/ })
    t.equal(jsonError(stele(["storage", command, "sqlight:x", "--json"]))["code"], "STELE-STO-0001")
  }
  t.notOk((await readdir(folder)).some((name) => name.startsWith("none")))
})

/** A store of which ada has an object each in a row and in a file of its own, and nobody a third. */
async function withObjects(name: string): Promise<{ readonly path: string; readonly address: string }> {
  const path = join(folder, name)
  const { store, objects, close } = await openStores(`sqlite:${path}`)
  for (const [key, bytes] of [
    ["small", 10],
    ["large", 100_000],
  ] as const)
    guestBlob(store, objects).put(tenantKey("ada", key), new Uint8Array(bytes).fill(7))
  await objects.put(Buffer.from("nobody's"))
  await new Promise((resume) => setTimeout(resume, 5))
  await close()
  return { path, address: `sqlite:${path}` }
}

t.test("`stele storage collect` removes what nobody refers to, and with --dry-run says so", async (t) => {
  const { address } = await withObjects("collect.db")
  const collect = (...args: ReadonlyArray<string>) => stele(["storage", "collect", address, ...args])
  t.match(JSON.parse(collect("--json").stdout), { graceMs: 86_400_000, dryRun: false, objects: 0, isComplete: true })
  const planned = collect("--grace", "1ms", "--dry-run")
  t.equal(planned.code, 0, planned.stderr)
  t.match(planned.stdout, /Would remove 1 object, 8 /)
  t.match(JSON.parse(collect("--grace", "1ms", "--json").stdout), { graceMs: 1, objects: 1, bytes: 8 })
  t.match(collect("--grace", "1ms").stdout, /Removed 0 objects/)
  t.equal(stele(["storage", "check", address]).code, 0)
  t.equal(jsonError(collect("--grace", "long", "--json"))["code"], "STELE-CFG-0002")
  t.equal(jsonError(stele(["storage", "collect", `sqlite:${join(folder, "none.db")}`, "--json"]))["code"], "STELE-STO-0002")
  t.notOk((await readdir(folder)).some((name) => name.startsWith("none")))
})

t.test("`stele storage check` names objects that are damaged, missing or nowhere, by a key that refers to them, with exit code 3", async (t) => {
  const check = (address: string): ReadonlyArray<unknown> => {
    const { code, stdout } = stele(["storage", "check", address, "--json"])
    const { findings } = JSON.parse(stdout) as { readonly findings: ReadonlyArray<unknown> }
    t.equal(code, findings.length === 0 ? 0 : 3)
    return findings
  }
  const { path, address } = await withObjects("objects.db")
  t.same(check(address), [])
  const files = (await readdir(`${path}-objects/objects`, { recursive: true })).filter((name) => name.length > 60)
  t.equal(files.length, 1)
  const file = join(`${path}-objects/objects`, files[0] as string)
  const bytes = await readFile(file)
  bytes[50_000] = 8
  await writeFile(file, bytes)
  t.match(check(address), [{ table: "object", detail: /referred to by ada\/large/ }])
  await rm(file)
  t.match(check(address), [{ table: "object", detail: "it is not there, and referred to by ada/large" }])
  t.match(stele(["storage", "check", address]).stdout, /✗ object [0-9a-f]{64}: it is not there, and referred to by ada\/large/)
  await rm(`${path}-objects`, { recursive: true })
  const gone = check(address) as ReadonlyArray<{ readonly detail: string }>
  t.same(
    gone.map(({ detail }) => detail).toSorted(),
    ["large", "small"].map((key) => `it is not there, and referred to by ada/${key}`),
  )
  t.notOk((await readdir(folder)).includes("objects.db-objects"), "no folder is made")
})

t.test("`stele storage` takes nothing from a store that is not there, and makes none", async (t) => {
  const before = await readdir(folder)
  for (const missing of [`sqlite:${join(folder, "absent.db")}`, `pglite:${join(folder, "absent")}`])
    for (const args of [["info"], ["check"], ["collect"], ["move", `sqlite:${join(folder, "target.db")}`], ["migrate"]]) {
      const [command = "", ...more] = args
      t.match(stele(["storage", command, missing, ...more]), { code: 69, stderr: /STELE-STO-0002/ }, `${command} ${missing}`)
    }
  t.same(await readdir(folder), before)
  const shown = stele(["storage", "info", "postgres://ada:secret@127.0.0.1/stele"])
  t.match(shown, { code: 2, stderr: /STELE-STO-0024/ }, "a password in an address")
  t.notMatch(shown.stderr, /secret/)
  t.match(stele(["storage", "info", "postgres://ada@127.0.0.1:1/stele"]), { code: 69, stderr: /= fix: +check host and port/ }, "a server that is not there")
})

t.test("`stele storage migrate` takes an older file to this version's format, and says so; what only reads refuses it", async (t) => {
  const path = join(folder, "older.db")
  {
    await using store = await SqliteStore.open(path)
    guestKeyValue(store).set(tenantKey("ada", "k"), Buffer.from("kept"))
  }
  const { to } = JSON.parse(stele(["storage", "migrate", `sqlite:${path}`, "--json"]).stdout) as { readonly to: number }
  const database = new DatabaseSync(path)
  for (const { name } of database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'queue%'").all())
    database.exec(`DROP TABLE ${String(name)}`)
  database.exec("PRAGMA user_version = 5")
  database.close()
  for (const command of ["info", "check"]) {
    const refused = stele(["storage", command, `sqlite:${path}`])
    t.match(refused, { code: 6, stderr: new RegExp(`STELE-STO-0023[^]*it has format 5, this version needs ${to}[^]*stele storage migrate[^]*sqlite:`) })
  }
  const dry = stele(["storage", "migrate", `sqlite:${path}`, "--dry-run"])
  t.match(dry, { code: 0, stdout: `Would go from format 5 to ${to}, and changed nothing\n` })
  const copy = join(folder, "older-used.db")
  await copyFile(path, copy)
  const used = stele(["call", greeter, "greet", '{name: "Ada"}', "--grant", "log", "--grant", "kv:read:prices/*", "--storage", `sqlite:${copy}`], {
    // tap takes warnings away.
    env: { NODE_OPTIONS: "" },
  })
  t.match(
    used,
    { code: 0, stderr: new RegExp(`SteleMigration: The store ".*older-used.db" went from format 5 to ${to}`) },
    "whoever writes takes it along, and says so",
  )
  t.equal(stele(["storage", "migrate", `sqlite:${path}`]).stdout, `The store went from format 5 to ${to}\n`)
  t.equal(stele(["storage", "migrate", `sqlite:${path}`]).stdout, `Nothing to do: the store has format ${to}\n`)
  t.equal(stele(["storage", "check", `sqlite:${path}`]).code, 0)
  await using store = await SqliteStore.open(path)
  t.equal(Buffer.from(guestKeyValue(store).get(tenantKey("ada", "k")) ?? []).toString(), "kept")
  t.match(stele(["storage", "migrate", `sqlite:${join(folder, "nothing.db")}`]), { code: 69, stderr: /there is no such file/ })
})

t.test("`stele storage backup`, `info`, `drill` and `restore` bring a store back as it was at any commit, encrypted", async (t) => {
  const [path, archive, key] = [join(folder, "live.db"), join(folder, "archive"), join(folder, "key")]
  await writeFile(key, randomBytes(32))
  const write = async (value: string): Promise<void> => {
    await using store = await SqliteStore.open(path)
    guestKeyValue(store).set(tenantKey("ada", "k"), Buffer.from(value))
  }
  const read = async (from: string): Promise<string> => {
    await using store = await SqliteStore.open(from)
    return Buffer.from(guestKeyValue(store).get(tenantKey("ada", "k")) ?? []).toString()
  }
  await write("1")
  const given = ["--key-file", key]
  const planned = stele(["storage", "backup", `sqlite:${path}`, "--to", archive, "--dry-run", "--json"])
  t.match(JSON.parse(planned.stdout), { store: path, archive, commits: 1, isEncrypted: false })
  t.notOk((await readdir(folder)).includes("archive"))
  const first = stele(["storage", "backup", `sqlite:${path}`, "--to", archive, ...given])
  t.equal(first.code, 0, first.stderr)
  t.match(first.stdout, /up to commit 1,[^]*RTO[^]*RPO/)
  await write("2")
  const second = stele(["storage", "backup", `sqlite:${path}`, "--to", archive, "--json"], {
    env: { STELE_ARCHIVE_KEY: (await readFile(key)).toString("hex") },
  })
  t.match(JSON.parse(second.stdout), { commit: 2, drill: { missing: 0, restored: { commit: 2 } } })
  t.match(JSON.parse(stele(["storage", "info", archive, "--json"]).stdout), {
    isEncrypted: true,
    generations: [{ last: { sequence: 1 } }, { last: { sequence: 2 } }],
  })
  t.match(stele(["storage", "info", archive]).stdout, /generation 2 +commits 2 to 2/)
  t.match(JSON.parse(stele(["storage", "drill", archive, "--store", `sqlite:${path}`, ...given, "--json"]).stdout), { missing: 0, isAgainstStore: true })
  const then = join(folder, "then.db")
  const restore = ["storage", "restore", archive, "--to", `sqlite:${then}`, ...given]
  t.match(JSON.parse(stele([...restore, "--at-commit", "1", "--dry-run", "--json"]).stdout), { commit: 1, store: then })
  t.equal(stele([...restore, "--at-commit", "1"]).code, 0)
  t.equal(await read(then), "1")
  t.equal(stele(restore).code, 6)
  t.equal(stele([...restore, "--replace"]).code, 0)
  t.equal(await read(then), "2")
  t.equal(stele(["storage", "check", `sqlite:${then}`]).code, 0)
})

t.test("`stele storage restore` refuses by name what it cannot do, and makes nothing", async (t) => {
  const archive = join(folder, "archive")
  const none = `sqlite:${join(folder, "not-made.db")}`
  for (const [args, code, exit] of [
    [[archive, "--to", none], "STELE-STO-0034", 5],
    [[archive, "--to", none, "--key-file", join(folder, "no-key")], "STELE-STO-0034", 5],
    [[archive, "--to", none, "--key-file", join(folder, "key"), "--at-commit", "99"], "STELE-STO-0035", 4],
    [[archive, "--to", none, "--key-file", join(folder, "key"), "--at", "2001-01-01"], "STELE-STO-0035", 4],
    [[archive, "--to", none, "--at", "yesterday"], "STELE-CFG-0002", 2],
    [[archive, "--to", none, "--at", "2001-01-01", "--at-commit", "1"], "STELE-CFG-0003", 2],
    [[join(folder, "nowhere"), "--to", none], "STELE-STO-0030", 69],
  ] as const) {
    const ended = stele(["storage", "restore", ...args, "--json"])
    t.equal(jsonError(ended)["code"], code, args.join(" "))
    t.equal(ended.code, exit)
  }
  t.notOk((await readdir(folder)).some((name) => name.includes("not-made")))
})

t.test("`stele storage backup --follow` archives what is committed within a second, and ends when it is told to", async (t) => {
  const [path, archive] = [join(folder, "followed.db"), join(folder, "followed")]
  await using store = await SqliteStore.open(path)
  guestKeyValue(store).set(tenantKey("ada", "k"), Buffer.from("1"))
  const child = spawn(process.execPath, [main, "storage", "backup", `sqlite:${path}`, "--to", archive, "--follow", "--json"], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  const closed = once(child, "close")
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const next = async (): Promise<object> => JSON.parse(String((await lines.next()).value)) as object
  t.match(await next(), { what: "archived", snapshot: "new", commit: 1 })
  guestKeyValue(store).set(tenantKey("ada", "k"), Buffer.from("2"))
  const atMs = performance.now()
  t.match(await next(), { what: "archived", commit: 2, frames: Number })
  t.ok(performance.now() - atMs < 1_000)
  child.kill("SIGTERM")
  t.same(await closed, [0, null])
})
