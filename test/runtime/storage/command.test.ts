import { copyFile, mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { tenantKey } from "../../../host/port/mod.ts"
import { guestEvent, guestKeyValue } from "../../../runtime/storage/guest.ts"
import { SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { jsonError, root, stele } from "../command-line.ts"

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
