/** What PGlite adds to the code of PostgreSQL stores: one session for everything, a folder that is whole or not there, and one process at a time. @long */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { cp, mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import { PGlite } from "@electric-sql/pglite"
import { placeOf } from "../../../../runtime/port/place.ts"
import type { Store } from "../../../../runtime/port/store.ts"
import { Connection, ServerError } from "../../../../runtime/storage/postgres/connection.ts"
import type { openCluster as opened } from "../../../../runtime/storage/pglite/cluster.ts"
import { PgliteStore } from "../../../../runtime/storage/pglite/mod.ts"
import { streamsOver } from "../../../../runtime/storage/pglite/stream.ts"
import { openStorage } from "../../../../runtime/storage/storage.ts"
import { mutant } from "../mutant.ts"
import { driver, folders } from "./pglite.ts"
import { isFull } from "../../../seed.ts"

t.setTimeout(isFull ? 3_000_000 : 300_000)
const made = await folders()
t.teardown(() => made[Symbol.asyncDispose]())

const address = { name: "pglite:test", host: "localhost", port: 5_432, user: "postgres", database: "postgres", tls: "disable" } as const
const read = async (store: Store, name: string): Promise<number> => Number(Buffer.from((await store.ask({ ask: "get", ...placeOf(name) }))?.value ?? []))
const refusal = (open: Promise<{ close(): Promise<void> }>): Promise<unknown> =>
  open.then(
    (store) => store.close().then(() => "opened"),
    (error: unknown) => error,
  )

t.test("`PgliteStore` has everything acknowledged, and nothing half, when its process is killed", async (t) => {
  const path = await made.make()
  let acknowledged = 0
  const rounds = isFull ? 100 : 2
  for (let round = 0; round < rounds; round++) {
    const child = spawn(process.execPath, [fileURLToPath(new URL("program.ts", import.meta.url)), path], { stdio: ["ignore", "pipe", "inherit"] })
    let said = ""
    await new Promise<void>((resume, reject) => {
      child.stdout.on("data", (data: Buffer) => {
        said += data.toString()
        if (said.split("\n").length > 20 + round * 7) resume()
      })
      child.once("exit", (code) => reject(new Error(`it ended by itself, with ${code}, after ${said.length} bytes`)))
    })
    if (round === 0)
      t.match(await refusal(PgliteStore.open(path, { driver })), { code: "STELE-STO-0009", reason: { _tag: "Busy" } }, "the process has the folder")
    child.kill("SIGKILL")
    await once(child, "close")
    acknowledged = Number(said.trimEnd().split("\n").at(-1))
  }
  const store = await PgliteStore.open(path, { driver })
  t.teardown(() => store.close())
  const [count, twin] = [await read(store, "ada/count"), await read(store, "ada/twin")]
  t.ok(count >= acknowledged && acknowledged > 20, `${count} of ${acknowledged}`)
  t.ok(count <= acknowledged + 1, "at most the one that was under way")
  t.equal(count, twin)
  t.strictSame(await store.check(), [])
})

t.test("`PgliteStore.open()` is refused when the folder is somebody's, not a store's, or the package is missing", async (t) => {
  const path = await made.make()
  const store = await PgliteStore.open(path, { driver })
  t.match(await refusal(PgliteStore.open(path, { driver })), { reason: { _tag: "Busy" } }, "this process has it")
  await store.close()
  const folder = await mkdtemp(join(tmpdir(), "stele-pglite-foreign-"))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await writeFile(join(folder, "letter.txt"), "")
  t.match(await refusal(PgliteStore.open(folder, { driver })), { reason: { _tag: "Foreign" } })
  t.strictSame(await readdir(folder), ["letter.txt"])
  t.match(await refusal(PgliteStore.open(join(folder, "no", "where"), { driver })), { reason: { _tag: "Unreachable" } })
  const missing = await refusal(PgliteStore.open(join(folder, "new"), { driver: "file:///nowhere.js" }))
  t.match(missing, { code: "STELE-STO-0019", fix: "npm install @electric-sql/pglite", reason: { _tag: "Driver" } })
  t.match(
    await refusal(openStorage(`pglite:${join(folder, "new")}`)),
    { reason: { _tag: "Driver" } },
    "as an address, where the runtime's own install lacks it",
  )
  t.match(await refusal(openStorage("pglite:")), { reason: { _tag: "Driver" } }, "in memory")
})

t.test("`PgliteStore.open()` makes the store anew when making it was interrupted", async (t) => {
  const path = await made.make()
  await cp(join(path, "data"), join(path, "data-being-made"), { recursive: true })
  await rm(join(path, "data"), { recursive: true })
  await rm(join(path, "data-being-made", "global"), { recursive: true })
  const store = await PgliteStore.open(path, { driver })
  t.teardown(() => store.close())
  await store.apply([{ op: "set", ...placeOf("ada/a"), value: new Uint8Array(1) }])
  t.strictSame(await store.check(), [])
  t.strictSame(
    (await readdir(path)).filter((name) => !name.startsWith("lock")),
    ["data"],
  )
})

t.test("`PgliteStore` acts for one tenant again when it has answered for all", async (t) => {
  const store = await made.open()
  t.teardown(() => store.close())
  const value = new Uint8Array(1)
  await Promise.all(["ada", "bob"].map((tenant) => store.apply([{ op: "set", ...placeOf(`${tenant}/a`), value }])))
  const asked = Array.from({ length: 30 }, (_, i) =>
    i % 3 === 0
      ? store.ask({ ask: "tenants", after: undefined, countMax: 10 }).then((tenants) => tenants.length)
      : store.apply([{ op: "set", ...placeOf(`${i % 2 === 0 ? "ada" : "bob"}/${i}`), value }]).then(() => 2),
  )
  t.strictSame(
    await Promise.all(asked),
    asked.map(() => 2),
  )
  await store.apply([{ op: "fence", tenant: placeOf("ada/a").tenant, fence: { to: "elsewhere", state: "moving" } }])
  t.match(await refusal(store.apply([{ op: "set", ...placeOf("ada/a"), value }]) as never), { reason: { _tag: "Moved" } })
  t.strictSame(store.askSync({ ask: "fence" }), { to: "elsewhere", state: "moving" }, "blocking")
})

t.test("`streamsOver()` gives the next stream a session without transaction, role and statements when one was cut", async (t) => {
  const instance = new PGlite(`file://${join(await made.make(), "data")}`)
  await instance.waitReady
  t.teardown(() => instance.close())
  async function twice(of: typeof streamsOver): Promise<string> {
    const stream = of(instance)
    const first = await Connection.open({ address, password: undefined, stream, role: "stele_service" })
    await first.one("BEGIN")
    await first.one("CREATE TEMP TABLE IF NOT EXISTS half (a int)")
    const failed = first.run([{ sql: "SELECT $1::int / 0", parameters: [1] }])
    first.abandon()
    await failed.catch(() => {})
    const next = await Connection.open({ address, password: undefined, stream })
    const [row] = await next.one("SELECT current_user::text AS role, to_regclass('half') IS NOT NULL AS is_there, $1::int AS given", [7])
    const error = (await next.run([{ sql: "SELECT 1 / 0" }]))[0]
    await next.close()
    return `${row?.["role"] as string} ${row?.["is_there"] as boolean} ${row?.["given"] as number} ${(error as ServerError).sqlState}`
  }
  t.equal(await twice(streamsOver), "postgres false 7 22012")
  const at = new URL("../../../../runtime/storage/pglite/stream.ts", import.meta.url)
  for (const [from, to] of [
    ['"ROLLBACK", "DISCARD ALL"', ""],
    ['"ROLLBACK", ', ""],
    [', "DISCARD ALL"', ""],
  ] as const) {
    const without = await mutant<{ readonly streamsOver: typeof streamsOver }>(at, "pglite/stream.ts", from, to)
    const found = await twice(without.streamsOver).catch((error: unknown) => (error instanceof ServerError ? error.sqlState : String(error)))
    t.not(found, "postgres false 7 22012", `without ${from}: ${found}`)
  }
})

// What must not be is shown here and nowhere near a store that is used.
t.test("`openCluster()` lets a second instance into a folder when its lock is taken out", async (t) => {
  const path = await made.make()
  const at = new URL("../../../../runtime/storage/pglite/cluster.ts", import.meta.url)
  const { openCluster } = await mutant<{ readonly openCluster: typeof opened }>(at, "pglite/cluster.ts", "unlock = lock(store, path)", "")
  const first = await openCluster(address, path, driver)
  const second = await openCluster(address, path, driver)
  t.pass("nothing else keeps the second out")
  await first.close()
  await second.close()
})
