/** Moving a store while it is used: nothing lost, nothing written twice, at most one side open for writers at any moment. @long */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import { tenantKey } from "../../../host/port/mod.ts"
import { Host, StorageError } from "../../../runtime/mod.ts"
import { originOf } from "../../../runtime/storage/move/journal.ts"
import { Move, move } from "../../../runtime/storage/move/move.ts"
import { digestOf } from "../../../runtime/storage/record.ts"
import { openStores, type Stores } from "../../../runtime/storage/storage.ts"
import { stele } from "../command-line.ts"
import { isFull } from "../../seed.ts"

t.setTimeout(600_000)
const folder = await mkdtemp(join(tmpdir(), "stele-move-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
const program = fileURLToPath(new URL("move-program.ts", import.meta.url))
let files = 0
const newAddress = (): string => `sqlite:${join(folder, `${files++}.db`)}`
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const ada = bytes("ada")
const pauseMsMax = 5_000

/** Some of everything: several tenants, the host's own too. */
async function fill({ store, objects }: Stores): Promise<void> {
  for (const tenant of [ada, bytes("bob"), bytes("")]) {
    await Promise.all(Array.from({ length: 700 }, (_, i) => store.apply([{ op: "set", tenant, key: bytes(`k${i}`), value: bytes(`v${i}`) }])))
    await store.apply([
      { op: "set", tenant, key: bytes("ends"), value: bytes("later"), ttlMs: 3_600_000 },
      { op: "set", tenant, key: bytes("ended"), value: bytes("soon"), ttlMs: 1 },
      { op: "delete", tenant, key: bytes("k7") },
      { op: "publish", tenant, key: bytes("topic"), payload: bytes("event") },
      ...Array.from({ length: 20 }, (_, i) => ({ op: "append" as const, tenant, key: bytes("journal"), payload: bytes(String(i)) })),
      { op: "trim", tenant, key: bytes("journal"), before: 5n },
    ])
    const { digest } = await objects.put(bytes(`object of ${Buffer.from(tenant).toString()}`))
    await store.apply([{ op: "link", tenant, key: bytes("object"), digest: Buffer.from(digest, "hex"), bytes: 14 }])
  }
}

/** Digests of all tenants' tables, but those of what has ended. */
async function digests({ store }: Stores): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  const tables = await store.ask({ ask: "tables" })
  for (const tenant of await store.ask({ ask: "tenants", after: undefined, countMax: 100 }))
    for (const table of tables) found[`${Buffer.from(tenant).toString()} ${table}`] = (await digestOf(store, tenant, table)).digest
  return found
}

t.test("a move leaves no rows of services behind: it is refused, also when they come in its course, and goes on when they are gone", async (t) => {
  const [from, to] = [await openStores(newAddress()), await openStores(newAddress())]
  const sql = (text: string) => ({ op: "sql" as const, service: "shop", text })
  await from.store.apply([{ op: "set", tenant: ada, key: bytes("k"), value: bytes("v") }])
  await from.store.apply([sql("CREATE TABLE shop_item (tenant BLOB NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (tenant, id)) STRICT")])
  await from.store.apply([sql("CREATE TABLE shop_migration (number INTEGER PRIMARY KEY) STRICT"), sql("INSERT INTO shop_migration VALUES (1)")])
  t.same(await from.store.ask({ ask: "services" }), [], "tables without rows, and the history, are no loss")
  const insert = sql("INSERT INTO shop_item VALUES (x'616461', 1)")
  await from.store.apply([insert])
  t.same(await from.store.ask({ ask: "services" }), ["shop"])
  await t.rejects(move(from, to, { pauseMsMax }), { code: "STELE-STO-0084", reason: { services: ["shop"] } })
  t.equal(await originOf(to.store), undefined, "nothing was begun")
  await from.store.apply([sql("DELETE FROM shop_item")])
  let passes = 0
  const report = (): void => {
    if (passes++ === 0) from.store.applySync([insert])
  }
  await t.rejects(move(from, to, { pauseMsMax, report }), { code: "STELE-STO-0084" })
  await from.store.apply([sql("DELETE FROM shop_item")])
  await move(from, to, { pauseMsMax })
  t.same((await to.store.ask({ ask: "get", tenant: ada, key: bytes("k") }))?.value, bytes("v"))
  for (const each of [from, to]) await each.close()
})

t.test("`move()` makes two stores equal, versions, ends, offsets and objects included, and closes the first", async (t) => {
  const [from, to] = [await openStores(newAddress()), await openStores(newAddress())]
  await fill(from)
  const version = (await from.store.ask({ ask: "get", tenant: ada, key: bytes("k3") }))?.version
  const before = await digests(from)
  const done = await move(from, to, { pauseMsMax })
  t.equal(done.objects, 3)
  t.equal(done.comparedByRecord, done.tables)
  t.ok(done.pauseMs < 1_000, `${done.pauseMs} ms`)
  t.same(await digests(to), before)
  t.equal((await to.store.ask({ ask: "get", tenant: ada, key: bytes("k3") }))?.version, version)
  t.equal(
    Buffer.from((await to.objects.read((await to.objects.list(undefined, 1))[0] as string)) as Uint8Array)
      .toString()
      .startsWith("object of"),
    true,
  )
  t.same(await to.store.check(), [])
  t.equal(await originOf(to.store), undefined)
  await t.rejects(from.store.apply([{ op: "set", tenant: ada, key: bytes("x"), value: bytes("y") }]), { code: "STELE-STO-0065" })
  t.throws(() => from.store.applySync([{ op: "set", tenant: ada, key: bytes("x"), value: bytes("y") }]), { code: "STELE-STO-0065" })
  const [next] = await to.store.apply([{ op: "set", tenant: ada, key: bytes("x"), value: bytes("y") }])
  t.ok(next > (version ?? Infinity), "versions go on above those that were moved")
  await t.rejects(move(from, to, { pauseMsMax }), { code: "STELE-STO-0065" }, "moved already")
  for (const each of [from, to]) await each.close()
  const again = await openStores(from.address)
  await t.rejects(again.store.apply([{ op: "delete", tenant: ada, key: bytes("k1") }]), { code: "STELE-STO-0065" }, "also after it is opened again")
  await again.close()
})

t.test("`move()` refuses a target that holds something, and a source that goes elsewhere", async (t) => {
  const [from, to, other] = [await openStores(newAddress()), await openStores(newAddress()), await openStores(newAddress())]
  await fill(from)
  await to.store.apply([{ op: "set", tenant: ada, key: bytes("here"), value: bytes("first") }])
  await t.rejects(move(from, to, { pauseMsMax }), { code: "STELE-STO-0067" })
  await Move.open(from, other, { pauseMsMax })
  await t.rejects(Host.open({ storage: other.address }), { code: "STELE-STO-0066" }, "nobody uses what is not complete")
  await t.rejects(move(to, other, { pauseMsMax }), { code: "STELE-STO-0067" }, "it is being filled from another")
  await from.store.apply([{ op: "fence", tenant: bytes(""), fence: { to: "elsewhere", state: "moving" } }])
  await t.rejects(move(from, other, { pauseMsMax }), { code: "STELE-STO-0065" })
  for (const each of [from, to, other]) await each.close()
})

t.test("`Move.undo()` lets the source take writes again, as long as the target is not open for them", async (t) => {
  const [from, to] = [await openStores(newAddress()), await openStores(newAddress())]
  await fill(from)
  await Move.open(from, to, { pauseMsMax })
  await from.store.apply([{ op: "fence", tenant: bytes(""), fence: { to: to.address, state: "moving" } }])
  await Move.undo(from, to)
  await from.store.apply([{ op: "set", tenant: ada, key: bytes("x"), value: bytes("y") }])
  await t.rejects(Host.open({ storage: to.address }), { code: "STELE-STO-0066" })
  await move(from, to, { pauseMsMax })
  await t.rejects(Move.undo(from, to), { code: "STELE-STO-0065" })
  for (const each of [from, to]) await each.close()
})

t.test("`move()` takes over what was removed, erased and changed between its passes", async (t) => {
  const [from, to] = [await openStores(newAddress()), await openStores(newAddress())]
  await fill(from)
  let steps = 0
  await move(from, to, {
    pauseMsMax,
    report() {
      // After each pass but the last, which is under the fence.
      if (steps++ > 1) return
      from.store.applySync([
        { op: "delete", tenant: ada, key: bytes(`k${steps}`) },
        { op: "set", tenant: ada, key: bytes("k300"), value: bytes(`changed ${steps}`) },
        { op: "trim", tenant: ada, key: bytes("journal"), before: BigInt(8 + steps) },
        { op: "drop", tenant: ada, key: bytes("topic") },
        { op: "unlink", tenant: bytes("bob"), key: bytes("object") },
      ])
      if (steps === 2) from.store.applySync([{ op: "erase", tenant: bytes("bob"), countMax: 10_000 }])
    },
  })
  t.same(await digests(to), await digests(from))
  t.notOk((await to.store.ask({ ask: "tenants", after: undefined, countMax: 10 })).some((tenant) => Buffer.from(tenant).toString() === "bob"))
  t.same(await to.store.check(), [])
  for (const each of [from, to]) await each.close()
})

t.test("`move()` says `Restless`, and leaves the source as it is, where writers do not let it end", async (t) => {
  const [from, to] = [await openStores(newAddress()), await openStores(newAddress())]
  await fill(from)
  await t.rejects(move(from, to, { pauseMsMax: 0.001 }), { code: "STELE-STO-0068" })
  t.equal(await from.store.ask({ ask: "fence" }), undefined)
  await from.store.apply([{ op: "set", tenant: ada, key: bytes("x"), value: bytes("y") }])
  await move(from, to, { pauseMsMax })
  t.same(await digests(to), await digests(from))
  for (const each of [from, to]) await each.close()
})

const lines = (child: ChildProcess): { readonly all: Array<string> } => {
  const all: Array<string> = []
  let rest = ""
  child.stdout?.on("data", (chunk: Buffer) => {
    const parts = (rest + chunk.toString()).split("\n")
    rest = parts.pop() ?? ""
    all.push(...parts)
  })
  return { all }
}

t.test("a store that a process writes to is moved under it, killed and begun again at random, and every write that was kept is on one side", async (t) => {
  for (let round = 0; round < (isFull ? 40 : 2); round++) {
    const [from, to] = [newAddress(), newAddress()]
    const filled = await openStores(from)
    await fill(filled)
    await filled.close()
    const writer = spawn(process.execPath, [program, "write", from], { stdio: ["ignore", "pipe", "inherit"] })
    const said = lines(writer)
    const left = once(writer, "close")
    await once(writer.stdout, "data")
    for (let kills = 0; ; kills++) {
      const mover = spawn(process.execPath, [program, "move", from, to], { stdio: ["ignore", "pipe", "pipe"] })
      const ended = once(mover, "close") as Promise<[number | null]>
      let complaint = ""
      mover.stderr.on("data", (chunk) => (complaint += String(chunk)))
      mover.stdout.resume()
      // Later each time, so that it comes to its end.
      const timer = setTimeout(() => mover.kill("SIGKILL"), kills < 3 ? 150 + Math.random() * 400 * (kills + 1) : 120_000)
      const [code] = await ended
      clearTimeout(timer)
      if (code === 0) break
      // Killed after the switch, the source only has to be told that it is over.
      if (complaint.includes("was moved to")) break
      t.equal(code, null, complaint)
      if (code === null) continue
      writer.kill("SIGKILL")
      break
    }
    await left
    const [source, target] = [await openStores(from), await openStores(to)]
    const last = Number(said.all.at(-1))
    const log = await target.store.ask({ ask: "log", tenant: ada, key: bytes("log"), after: 0n, countMax: 1_000_000, bytesMax: Infinity })
    t.ok(last > 0)
    t.strictSame(
      log.entries.map(({ payload }) => Number(Buffer.from(payload).toString())),
      Array.from({ length: Number(log.last) }, (_, i) => i + 1),
      "the log has every entry once, in order",
    )
    t.ok(Number(log.last) >= last, `${last} was acknowledged, ${log.last} is there`)
    t.same(await digests(target), await digests(source))
    t.same(await target.store.check(), [])
    t.equal((await source.store.ask({ ask: "fence" }))?.state, "moved")
    for (const each of [source, target]) await each.close()
  }
})

t.test("`stele storage move` says what it did, and what is in the way", async (t) => {
  const [from, to] = [newAddress(), newAddress()]
  const stores = await openStores(from)
  await fill(stores)
  await stores.close()
  t.match(stele(["storage", "move", from, to, "--dry-run"]).stdout, /Would copy [\d,]+ rows/)
  const { code, stdout, stderr } = stele(["storage", "move", from, to])
  t.equal(code, 0, stderr)
  t.match(stdout, /nobody could write for [\d,]+ ms\nEqual: /)
  const again = stele(["storage", "move", from, to, "--json"])
  t.equal(again.code, 6)
  t.match(JSON.parse(again.stdout), { error: { code: "STELE-STO-0065" } })
  const host = await Host.open({ storage: from })
  await t.rejects(async () => host.ports.keyValue.set(tenantKey("ada", "x"), bytes("y")), StorageError)
  await host.close()
  t.equal(stele(["storage", "move", from, from]).code, 2)
})
