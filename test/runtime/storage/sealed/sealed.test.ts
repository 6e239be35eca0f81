import { randomBytes } from "node:crypto"
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import type { Operation, Question, Store } from "../../../../runtime/port/store.ts"
import { eraseTenant, recordsOf } from "../../../../runtime/storage/record.ts"
import { ringKey } from "../../../../runtime/storage/sealed/place.ts"
import * as Sealed from "../../../../runtime/storage/sealed/mod.ts"
import { idOf } from "../../../../runtime/storage/sealed/seal.ts"
import { MemoryStore, SqliteStore } from "../../../../runtime/storage/sqlite/mod.ts"
import { append, at, bytes, get, raw, set, text } from "../suite/case.ts"
import { sealedOver } from "./backend.ts"
import { roomWithout } from "./room.ts"

t.setTimeout(120_000)
const folder = await mkdtemp(join(tmpdir(), "stele-sealed-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
const { masterFrom, masterOf, openKeyring, refuseSealed, reseal, resealAll, resealStep, rotate, rotateMaster } = Sealed

const ada = raw("ada")
const publish = (name: string, payload: string, tenant?: string) => ({ op: "publish" as const, ...at(name, tenant), payload: bytes(payload) })
const memory = () => new MemoryStore(Sealed.roomForSeals({}))
const master = () => masterFrom(randomBytes(32))
/** Another process over the same store: nothing of it is shared but the rows. */
const again = async (store: Store, key: ReturnType<typeof master>) => sealedOver(store, key)
const codeOf = (run: () => Promise<unknown>): Promise<string> =>
  run().then(
    () => "answered",
    (error: unknown) => (error as { readonly code?: string }).code ?? String(error),
  )
const valueOf = async (store: Store, name: string, tenant?: string): Promise<Uint8Array> =>
  (await store.ask({ ask: "get", ...at(name, tenant) }))?.value as Uint8Array
const keyIds = async (store: Store, tenant = ada): Promise<ReadonlyArray<string>> => {
  const found = new Set<string>()
  for (const table of ["key_value", "event", "log"])
    for await (const { order, fields } of recordsOf(store, tenant, table)) {
      const value = fields["value"] ?? fields["payload"]
      if (Buffer.compare(order, ringKey) !== 0 && value instanceof Uint8Array) found.add(Buffer.from(idOf(value) ?? "").toString("hex"))
    }
  return [...found]
}
const furnish = async (store: Store, tenant = "ada", count = 5): Promise<void> => {
  for (let i = 0; i < count; i++)
    await store.apply([set(`k${i}`, `value ${i}`, { tenant }), append("log", `entry ${i}`, { tenant }), publish("topic", `event ${i}`, tenant)])
}
const contents = async (store: Store, tenant = "ada"): Promise<ReadonlyArray<string | undefined>> => {
  const { entries } = await store.ask({ ask: "entries", ...at("", tenant), beyond: undefined, countMax: 1_000, bytesMax: 1e9 })
  const log = await store.ask({ ask: "log", ...at("log", tenant), after: 0n, countMax: 1_000, bytesMax: 1e9 })
  const { events } = await store.ask({ ask: "events", ...at("topic", tenant), after: 0n, countMax: 1_000 })
  return [...entries.map(({ value }) => text(value)), ...log.entries.map(({ payload }) => text(payload)), ...events.map(({ payload }) => text(payload))]
}

const sorted = (found: ReadonlyArray<string | undefined>): ReadonlyArray<string> => found.map(String).toSorted((a, b) => (a < b ? -1 : 1))

t.test("nothing that was written is in the files in the clear, and the keys' names are", async (t) => {
  const path = join(folder, "clear.db")
  const words = ["the quick brown", "lazy dog over", "jumps in a log"] as const
  const below = await SqliteStore.open(path, Sealed.roomForSeals({}))
  const { store, keyring } = await sealedOver(below)
  await store.apply([set("visible", words[0]), publish("topic", words[1]), append("log", words[2]), set("count", "41")])
  await store.apply([{ op: "increment", ...at("count"), delta: 1_234_567n, min: 0n, max: 1n << 60n }])
  const secrets = [keyring.master.secret, ...(keyring.cached(ada)?.ring.keys.map(({ secret }) => secret) ?? [])]
  const look = async (): Promise<Buffer> =>
    Buffer.concat(await Promise.all((await readdir(folder)).filter((name) => name.startsWith("clear")).map((name) => readFile(join(folder, name)))))
  const open = await look()
  await store.close()
  for (const found of [open, await look()]) {
    for (const word of [...words, "1234608", ...secrets])
      t.equal(found.includes(typeof word === "string" ? Buffer.from(word) : Buffer.from(word)), false, String(word))
    t.equal(found.includes(Buffer.from("visible")), true)
  }
  t.equal(secrets.length, 2)
})

t.test("every bit of a sealed value that is another is found, and so is a value that is shorter", async (t) => {
  const below = memory()
  const { store } = await sealedOver(below)
  await store.apply([set("k", "a value")])
  const value = await valueOf(below, "k")
  const codes = new Map<string, number>()
  const note = async (other: Uint8Array): Promise<void> => {
    await below.apply([set("k", other)])
    const code = await codeOf(() => store.ask({ ask: "get", ...at("k") }))
    codes.set(code, (codes.get(code) ?? 0) + 1)
  }
  for (let bit = 0; bit < value.length * 8; bit++) {
    const other = Uint8Array.from(value)
    other[bit >> 3] = (other[bit >> 3] as number) ^ (1 << (bit & 7))
    await note(other)
  }
  for (let size = 0; size < value.length; size++) await note(value.slice(0, size))
  // Of the eight bytes that name the key, each bit names one that is not there.
  const wrongId = 8 * 8
  t.same(Object.fromEntries(codes), { "STELE-STO-0070": value.length * 9 - wrongId, "STELE-STO-0071": wrongId })
  await note(value)
  t.equal(codes.get("answered"), 1)
})

/** What is in another place than it was sealed for, and must not be answered. */
async function moved(sealed: (store: Store) => Promise<{ readonly store: Store }>): Promise<ReadonlyArray<string>> {
  const below = memory()
  const { store } = await sealed(below)
  await store.apply([set("a", "a's"), set("b", "b's"), append("a", "entry"), publish("a", "event")])
  await store.apply([set("a", "bob's", { tenant: "bob" })])
  const ours = await valueOf(below, "a")
  await below.apply([set("b", ours), set("a", ours, { tenant: "bob" }), { op: "append", ...at("b"), payload: ours }])
  const found = [
    await codeOf(() => store.ask({ ask: "get", ...at("b") })),
    await codeOf(() => store.ask({ ask: "get", ...at("a", "bob") })),
    await codeOf(() => store.ask({ ask: "log", ...at("b"), after: 0n, countMax: 9, bytesMax: 999 })),
    await codeOf(() => store.ask({ ask: "get", ...at("a") })),
  ]
  return [...found, String((await store.check()).length)]
}

t.test("a value moved to another key, tenant or table is found, by its reader and by `check()`", async (t) => {
  t.same(await moved(sealedOver), ["STELE-STO-0070", "STELE-STO-0071", "STELE-STO-0070", "answered", "3"])
})

t.test("keys rotate and values are sealed anew while writers go on; the old keys are gone then, versions and ends are not", async (t) => {
  const below = memory()
  const key = master()
  const { store, keyring } = await sealedOver(below, key)
  const { store: other } = await again(below, key)
  await furnish(store, "ada", 40)
  await store.apply([set("ends", "soon", { ttlMs: 3_600_000 })])
  const before = await store.ask({ ask: "get", ...at("ends") })
  const [old] = await keyIds(below)
  await rotate(keyring, ada)
  const resealing = { isOver: false }
  const writing = (async () => {
    let count = 0
    for (; !resealing.isOver || count < 10; count++) {
      await other.apply([set("count", String(count)), append("log", `more ${count}`)])
      await new Promise((resume) => setImmediate(resume))
    }
    return count
  })()
  t.ok((await reseal(keyring, ada, 7)) >= 120)
  resealing.isOver = true
  const count = await writing
  const ids = await keyIds(below)
  t.equal(ids.length, 1)
  t.not(ids[0], old)
  t.equal(keyring.cached(ada)?.ring.keys.length, 1)
  t.same(await store.ask({ ask: "get", ...at("ends") }), before)
  for (const each of [store, other, (await again(below, key)).store]) {
    t.equal(await get(each, "count"), String(count - 1))
    t.equal((await contents(each)).length, 42 + 40 + count + 40)
    t.same(await each.check(), [])
  }
  t.same(await resealStep(keyring, ada), { records: 0, next: undefined })
})

t.test("a process that knows old keys only writes nothing under them, and reads what newer ones sealed", async (t) => {
  const below = memory()
  const key = master()
  const [a, b] = [await sealedOver(below, key), await again(below, key)]
  await furnish(a.store)
  t.equal(await get(b.store, "k1"), "value 1")
  for (let round = 0; round < 3; round++) {
    await rotate(a.keyring, ada)
    await reseal(a.keyring, ada)
    await b.store.apply([set(`late ${round}`)])
    t.equal(await get(a.store, `late ${round}`), `late ${round}`)
    t.equal(await get(b.store, "k1"), "value 1")
  }
  t.equal((await keyIds(below)).length, 1)
})

t.test("two processes that rotate at once both do, and everything opens", async (t) => {
  const below = memory()
  const key = master()
  const rings = await Promise.all([sealedOver(below, key), again(below, key), again(below, key)])
  await furnish(rings[0].store)
  await Promise.all(rings.map(({ keyring }) => rotate(keyring, ada)))
  await Promise.all(rings.map(({ store }, i) => store.apply([set(`by ${i}`)])))
  await Promise.all(rings.map(({ keyring }) => reseal(keyring, ada, 2)))
  for (const { store } of rings) t.equal((await contents(store)).length, 18)
  t.equal((await keyIds(below)).length, 1)
  t.same(await rings[0].store.check(), [])
})

t.test("an erased tenant's keys are destroyed: copies of its values open for nobody, and its name begins anew", async (t) => {
  const below = memory()
  const key = master()
  const { store } = await sealedOver(below, key)
  await furnish(store)
  await furnish(store, "bob")
  const copy = await valueOf(below, "k1")
  await eraseTenant(store, ada)
  await below.apply([set("k1", copy)])
  for (const each of [store, (await again(below, key)).store]) t.equal(await codeOf(() => each.ask({ ask: "get", ...at("k1") })), "STELE-STO-0071")
  await store.apply([set("k2", "new")])
  t.equal(await get(store, "k2"), "new")
  t.equal(await codeOf(() => store.ask({ ask: "get", ...at("k1") })), "STELE-STO-0071")
  t.equal(await get(store, "k1", "bob"), "value 1")
})

t.test("a batch that erases a tenant and writes for it is refused: what it wrote would have no key", async (t) => {
  const { store } = await sealedOver(memory())
  await furnish(store)
  const erase = { op: "erase" as const, tenant: ada, countMax: 100 }
  for (const other of [set("k"), append("log", "x"), publish("topic", "x"), { op: "drop" as const, ...at("topic") }])
    t.equal(await codeOf(() => store.apply([erase, other])), "STELE-CFG-0002")
  t.equal((await contents(store)).length, 15)
})

t.test("moved as it is, below the layer, a store opens with the same master key; through it, the other one's keys seal", async (t) => {
  const key = master()
  const [from, same, other] = [memory(), memory(), memory()]
  const { store } = await sealedOver(from, key)
  await furnish(store)
  const copy = async (source: Store, target: Store): Promise<void> => {
    const revision = await source.ask({ ask: "revision", tenant: ada })
    for (const tenant of await source.ask({ ask: "tenants", after: undefined, countMax: 9 }))
      for (const table of await source.ask({ ask: "tables" }))
        for await (const record of recordsOf(source, tenant, table)) await target.apply([{ op: "import", tenant, table, record, revision }])
  }
  await copy(from, same)
  const { store: there } = await sealedOver(other)
  await copy(store, there)
  const wanted = await contents(store)
  for (const each of [(await again(same, key)).store, there]) {
    t.same(await contents(each), wanted)
    t.same(await each.check(), [])
  }
  t.same(await valueOf(same, "k1"), await valueOf(from, "k1"))
  t.notSame(await valueOf(other, "k1"), await valueOf(from, "k1"))
})

t.test("a backup has its keys with it: it opens by the master key of its time, and not by the one after", async (t) => {
  const [path, backup] = [join(folder, "live.db"), join(folder, "backup.db")]
  const [before, after] = [master(), master()]
  {
    const { store } = await sealedOver(await SqliteStore.open(path), before)
    await furnish(store)
    await store.close()
  }
  await copyFile(path, backup)
  {
    const { store, keyring } = await sealedOver(await SqliteStore.open(path), before)
    await eraseTenant(store, ada)
    await rotateMaster(keyring, after)
    await store.close()
  }
  await using below = await SqliteStore.open(backup)
  t.equal(await codeOf(() => sealedOver(below, after)), "STELE-STO-0072")
  t.equal(await get((await again(below, before)).store, "k1"), "value 1")
})

t.test("values from before are read, whatever they look like, until everything is sealed; then nothing plain is", async (t) => {
  const below = memory()
  const key = master()
  const like = Uint8Array.from([0xe1, ...randomBytes(60)])
  await furnish(below)
  await furnish(below, "bob")
  await below.apply([set("like", like), set("empty", ""), append("log", "x")])
  const { store, keyring } = await sealedOver(below, key)
  t.same(await valueOf(store, "like"), like)
  const before = await contents(store)
  await store.apply([set("k0", "value 0"), append("log", "x")])
  t.same(sorted(await contents(store)), sorted([...before, "x"]))
  await below.apply([set("k1", "by a process without the key")])
  t.equal(await codeOf(() => store.ask({ ask: "get", ...at("k1") })), "STELE-STO-0070")
  t.equal(await codeOf(() => resealAll(keyring)), "STELE-STO-0070")
  await store.apply([set("k1", "value 1")])
  t.match(await resealAll(keyring), { tenants: 3 })
  t.same(await valueOf(store, "like"), like)
  t.same(sorted(await contents((await again(below, key)).store)), sorted([...before, "x"]))
  t.same(await store.check(), [])
  await below.apply([append("log", "plain", { tenant: "bob" }), set("like", like)])
  t.equal(await codeOf(() => contents(store, "bob")), "STELE-STO-0070")
  t.equal(await codeOf(() => store.ask({ ask: "get", ...at("like") })), "STELE-STO-0071")
})

t.test("a wrong master key, none, and sources that are none are refused by name", async (t) => {
  const below = memory()
  const [file, hexFile, short] = ["key", "hex", "short"].map((name) => join(folder, name)) as [string, string, string]
  const secret = randomBytes(32)
  await writeFile(file, secret)
  await writeFile(hexFile, `${secret.toString("hex")}\n`)
  await writeFile(short, "secret")
  process.env["STELE_TEST_KEY"] = secret.toString("base64")
  t.teardown(() => delete process.env["STELE_TEST_KEY"])
  await refuseSealed(below)
  const keyring = await openKeyring(`file:${file}`, below)
  t.equal(await codeOf(() => refuseSealed(below)), "STELE-STO-0073")
  for (const source of [`file:${hexFile}`, "env:STELE_TEST_KEY"]) t.same((await openKeyring(source, below)).master.id, keyring.master.id)
  t.equal(await codeOf(() => sealedOver(below)), "STELE-STO-0072")
  for (const source of [`file:${short}`, `file:${join(folder, "none")}`, "env:STELE_NO_SUCH", secret.toString("hex"), ""]) {
    const error = await openKeyring(source, below).then(
      () => undefined,
      (thrown: Error & { readonly code?: string }) => thrown,
    )
    t.match(error, { code: "STELE-STO-0074", fix: /openssl rand/ })
    t.equal(error?.message.includes(secret.toString("hex")), false)
  }
})

/** A store whose process dies at one of its writes: before it, and for good. */
function dying(store: Store, writes: number): Store {
  let left = writes
  return {
    name: store.name,
    limits: store.limits,
    apply: (batch) => (left-- > 0 ? store.apply(batch) : Promise.reject(new Error("died"))),
    applySync: (batch) => store.applySync(batch),
    ask: (question) => store.ask(question),
    askSync: (question) => store.askSync(question),
    onCommit: (listener) => store.onCommit(listener),
    check: () => store.check(),
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  } satisfies Store
}

t.test("a master key is exchanged whatever write is the last: either key opens everything until the end, and goes on", async (t) => {
  for (let writes = 0, isDone = false; !isDone; writes++) {
    const below = memory()
    const [before, after] = [master(), master()]
    for (const tenant of ["ada", "bob", "carol"]) await furnish((await again(below, before)).store, tenant, 1)
    const { keyring } = await sealedOver(dying(below, writes), before)
    isDone = (await codeOf(() => rotateMaster(keyring, after))) === "answered"
    for (const key of isDone ? [after] : writes === 0 ? [before] : [before, after])
      for (const tenant of ["ada", "bob", "carol"]) t.equal((await contents((await again(below, key)).store, tenant)).length, 3, `after ${writes} writes`)
    if (writes > 0 && !isDone) {
      const third = await sealedOver(below, before)
      t.equal(await codeOf(() => rotateMaster(third.keyring, master())), "STELE-STO-0040")
      await third.store.apply([set("k", "v", { tenant: `new ${writes}` })])
      await rotateMaster((await again(below, writes % 2 === 0 ? before : after)).keyring, after)
    }
    if (writes === 0) continue
    t.equal(await codeOf(() => again(below, before)), "STELE-STO-0072")
    for (const tenant of ["ada", "bob", "carol"]) t.equal((await contents((await again(below, after)).store, tenant)).length, 3)
    t.ok(isDone || writes < 20)
  }
})

t.test("a reseal is gone on with whatever write was its last", async (t) => {
  for (let writes = 1, isDone = false; !isDone; writes++) {
    const below = memory()
    const key = master()
    const { store } = await sealedOver(below, key)
    await furnish(store)
    const { keyring } = await sealedOver(dying(below, writes), key)
    await rotate(keyring, ada)
    isDone = (await codeOf(() => reseal(keyring, ada, 2))) === "answered"
    t.equal((await contents(store)).length, 15, `after ${writes} writes`)
    await reseal((await again(below, key)).keyring, ada)
    t.equal((await keyIds(below)).length, 1)
    t.equal((await contents((await again(below, key)).store)).length, 15)
    t.ok(writes < 30)
  }
})

t.test("counters of several processes add up, alone and in batches, and keep their end", async (t) => {
  const below = memory()
  const key = master()
  const stores = await Promise.all([sealedOver(below, key), again(below, key), again(below, key)])
  const increment = (name: string) => ({ op: "increment" as const, ...at(name), delta: 1n, min: 0n, max: 1_000n })
  await stores[0].store.apply([set("n", "0", { ttlMs: 3_600_000 })])
  const end = (await stores[0].store.ask({ ask: "get", ...at("n") }))?.expiresAtUs
  await Promise.all(stores.flatMap(({ store }) => Array.from({ length: 20 }, () => store.apply([increment("m"), set("beside"), increment("n")]))))
  for (let i = 0; i < 5; i++) t.equal(stores[0].store.applySync([increment("m")])[0], BigInt(61 + i))
  t.equal(await get(stores[1].store, "n"), "60")
  t.equal((await stores[0].store.ask({ ask: "get", ...at("n") }))?.expiresAtUs, end)
  const [one, , , two] = await stores[0].store.apply([increment("x"), set("x", "7"), { op: "delete", ...at("y") }, increment("x"), increment("y")])
  t.same([one, two], [1n, 8n])
  const version = (await stores[0].store.ask({ ask: "get", ...at("x") }))?.version
  t.same((await stores[0].store.apply([{ op: "swap", ...at("x"), version, value: bytes("20") }, increment("x")]))[1], 21n)
  t.same((await stores[0].store.apply([{ op: "swap", ...at("x"), version, value: bytes("90") }, increment("x")])).slice(0, 2), [undefined, 22n])
  t.equal(await codeOf(() => stores[0].store.apply([{ op: "require", ...at("x"), version }, increment("x")])), "STELE-STO-0040")
  t.equal(await get(stores[0].store, "x"), "22")
})

const mutant = (file: string, line: string, instead: string) => roomWithout(folder, file, line, instead)

const over = async ({ sealed, Keyring }: typeof Sealed, store: Store, key: ReturnType<typeof master>) => {
  const { run } = await import("../../../../runtime/storage/sealed/step.ts")
  const keyring = new Keyring(store, key)
  await run(store, keyring.open(true))
  return { store: sealed(store, keyring), keyring }
}

t.test("without the place beside a value, one moved to another key is answered", async (t) => {
  const without = await mutant("seal.ts", "at += 4 + part.length", "at += 4 + part.length\n    bytes.fill(0)")
  const found = await moved((store) => over(without, store, master()))
  t.same(found, ["answered", "STELE-STO-0071", "STELE-STO-0070", "answered", "2"])
})

/** A write by keys that are given up between its plan and its commit. */
async function late(room: typeof Sealed): Promise<string> {
  const below = memory()
  const key = master()
  const [a, b] = [await over(room, below, key), await over(room, below, key)]
  await furnish(a.store)
  await get(b.store, "k1")
  await room.rotate(a.keyring, ada)
  await room.reseal(a.keyring, ada)
  await b.store.apply([set("late")])
  return codeOf(() => a.store.ask({ ask: "get", ...at("late") }))
}

t.test("a write that does not depend on its keys is lost when they go", async (t) => {
  t.equal(await late(Sealed), "answered")
  const line = "depend({ tenant, key: ringKey }, held?.version)"
  t.equal(await late(await mutant("batch.ts", line, "if (held === undefined) depend({ tenant, key: ringKey }, undefined)")), "STELE-STO-0071")
})

/** The store below, which does something between the reading of a page and what is written of it. */
function between(store: Store, work: () => Promise<unknown>): Store {
  let isDone = false
  return {
    ...dying(store, Number.POSITIVE_INFINITY),
    async ask<Q extends Question>(question: Q) {
      const answer = await store.ask(question)
      if (question.ask === "export" && !isDone && (answer as { readonly records: ReadonlyArray<unknown> }).records.length > 1) {
        isDone = true
        await work()
      }
      return answer
    },
  }
}

/** What a key, or a topic, has after a reseal that was overtaken. */
async function overtaken(
  room: typeof Sealed,
  operations: ReadonlyArray<Operation>,
  first: ReadonlyArray<Operation>,
): Promise<ReadonlyArray<string | undefined>> {
  const below = memory()
  const key = master()
  const writer = await over(room, below, key)
  await writer.store.apply(first)
  const { keyring } = await over(
    room,
    between(below, async () => {
      for (const operation of operations) await writer.store.apply([operation])
    }),
    key,
  )
  await room.rotate(keyring, ada)
  await room.reseal(keyring, ada)
  return contents((await over(room, below, key)).store)
}

t.test("a reseal that was overtaken puts nothing back: a newer value, a topic begun anew", async (t) => {
  const values = [[set("k", "newer")], [set("k", "older"), set("l", "x")]] as const
  t.same(await overtaken(Sealed, ...values), ["newer", "x"])
  const line = '? [{ op: "require", ...field.place, version: number }, put]'
  t.same(await overtaken(await mutant("reseal.ts", line, "? [put]"), ...values), ["older", "x"])
  const topics = [
    [{ op: "drop" as const, ...at("topic") }, publish("topic", "new 1"), publish("topic", "new 2")],
    [publish("topic", "old 1"), publish("topic", "old 2")],
  ] as const
  t.same(await overtaken(Sealed, ...topics), ["new 1", "new 2"])
  t.same(await overtaken(await mutant("table.ts", 'drop: "renews",', 'drop: "none",'), ...topics), ["old 1", "old 2"])
})

t.test("an increment that does not depend on what it read is lost", async (t) => {
  const count = async (room: typeof Sealed): Promise<string | undefined> => {
    const below = memory()
    const key = master()
    const stores = await Promise.all(Array.from({ length: 4 }, () => over(room, below, key)))
    await stores[0]?.store.apply([set("n", "0")])
    for (let i = 0; i < 5; i++) await Promise.all(stores.map(({ store }) => store.apply([{ op: "increment", ...at("n"), delta: 1n, min: 0n, max: 99n }])))
    return get(stores[0]?.store as Store, "n")
  }
  t.equal(await count(Sealed), "20")
  t.not(await count(await mutant("batch.ts", "    depend(place, found?.version)\n", "")), "20")
})

t.test("a source is read when it is asked for and shows nothing of the key", async (t) => {
  const path = join(folder, "shown")
  await writeFile(path, "f".repeat(64))
  t.equal(Buffer.from(masterOf(`file:${path}`).secret).toString("hex"), "f".repeat(64))
  t.equal(
    Buffer.from(masterOf(`file:${path}`).id)
      .toString("hex")
      .includes("ffff"),
    false,
  )
})
