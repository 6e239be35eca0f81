/** Hard caps: many callers in one process and in three, nodes that are killed or not heard of, clocks that are wrong, writes of which nobody knows. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { checkCaps, Reserver, type ReserverOptions, useOfCap } from "../../../runtime/billing/reserve.ts"
import type { Operation, Question, Store } from "../../../runtime/port/store.ts"
import { MemoryStore, SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { BillingError } from "../../../schemas/error/billing.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { randomFrom } from "../storage/random.ts"
import { capOf } from "./cap.ts"
import { course } from "./reserve-processes.ts"
import { isFull, replay, seed } from "../../seed.ts"

t.setTimeout(300_000)
const entity = "acme"
/** Nothing happens by itself: passes are the test's. */
const still: ReserverOptions = { flushMs: 1_000_000, idleMs: 1_000 }
const codeOf = (run: Promise<unknown>): Promise<unknown> =>
  run.then(
    () => "kept",
    (error: unknown) => (error as { readonly code?: string }).code ?? error,
  )
type Apply = (batch: ReadonlyArray<Operation>, next: (batch: ReadonlyArray<Operation>) => Promise<unknown>) => Promise<unknown>
const over = (store: Store, apply: Apply): Store =>
  ({
    name: store.name,
    ask: (question: Question) => store.ask(question),
    apply: (batch: ReadonlyArray<Operation>) => apply(batch, (same) => store.apply(same)),
  }) as unknown as Store

t.test("64 callers at a time never pass the cap together, and use all of it", async (t) => {
  t.comment(replay)
  const random = randomFrom(seed)
  await using store = new MemoryStore()
  const books = { store, entity }
  const upTo = isFull ? 20_000 : 2_000
  const cap = capOf(BigInt(upTo))
  const nodes = [1, 2].map(() => new Reserver(books, { flushMs: 5, idleMs: 10, chunkMax: 100 }))
  let [out, used, most] = [0, 0, 0]
  await Promise.all(
    Array.from({ length: 64 }, async (_, n) => {
      const node = nodes[n % 2] as Reserver
      for (let refused = 0; refused < 10;) {
        try {
          const quantity = random(3) + 1
          const reserved = await node.reserve(cap, BigInt(quantity), 10)
          out += quantity
          most = Math.max(most, out + used)
          if (random(2) === 0) await new Promise((resume) => setTimeout(resume, 1))
          const spent = random(quantity + 1)
          out -= quantity
          used += spent
          reserved.settle(BigInt(spent))
          reserved.settle(1_000_000n)
        } catch (error) {
          if (!(error instanceof BillingError)) throw error
          refused++
          await new Promise((resume) => setTimeout(resume, 10))
        }
      }
    }),
  )
  t.ok(most <= upTo, `at most ${most} of ${upTo} at a time`)
  t.ok(used <= upTo && used > upTo - 4, `${used} used`)
  for (const node of nodes) await node.close()
  t.strictSame(await useOfCap(books, cap), { used: BigInt(used), held: 0n })
  t.strictSame(await checkCaps(books), [])
  t.strictSame(
    (await store.ask({ ask: "list", tenant: Buffer.from("billing.acme"), key: Buffer.from(""), beyond: undefined, countMax: 100 })).map((key) =>
      key.replace(/.*\//, ""),
    ),
    ["total", "used"],
    "nothing is left of the nodes",
  )
})

t.test("a refusal names the cap, what is used, until when, and what to do", async (t) => {
  await using store = new MemoryStore()
  const books = { store, entity }
  await using node = new Reserver(books, still)
  const cap = capOf(3n)
  const first = await node.reserve(cap, 2n, 10)
  await t.rejects(node.reserve(cap, 2n, 10), {
    code: "STELE-BIL-0033",
    message:
      'Cannot run this for the account "ada": "team/executions" is capped at 3 executions until 2027-01-01T00:00:00.000Z, of which 0 are used and 3 promised to calls that run',
    fix: "wait for those calls or for the next period, or change the plan",
  })
  first.settle(1n)
  await node.flush()
  t.equal(await codeOf(node.reserve(cap, 2n, 10)), "kept", "what a call did not use is free again")
  t.equal(await codeOf(node.reserve({ ...cap, upTo: 2n }, 1n, 10)), "STELE-BIL-0033", "a bound that is lowered holds at once")
  t.equal(await codeOf(node.reserve(cap, 1n, 96_001)), "STELE-CFG-0002", "a call that may outlast the expiry")
})

t.test("a warm call waits for no commit", async (t) => {
  await using memory = new MemoryStore()
  let commits = 0
  const store = over(memory, (batch, next) => (commits++, next(batch)))
  await using node = new Reserver({ store, entity }, still)
  const cap = capOf(1_000_000n)
  ;(await node.reserve(cap, 1n, 10)).settle(1n)
  commits = 0
  for (let n = 0; n < 10_000; n++) (node.reserveNow(cap, 1n, 10) ?? (await node.reserve(cap, 1n, 10))).settle(1n)
  t.ok(commits <= 40, `${commits} commits of 10,000 calls`)
  await node.flush()
  t.strictSame(await checkCaps({ store: memory, entity }), [])
})

t.test("what a node held that is not heard of comes back after the expiry, once, and its late calls are counted", async (t) => {
  await using store = new MemoryStore()
  const books = { store, entity }
  const cap = capOf(10n)
  let ms = 0
  const nowMs = () => ms
  const silent = new Reserver(books, { ...still, nowMs })
  await using a = new Reserver(books, { ...still, nowMs })
  await using b = new Reserver(books, { ...still, nowMs })
  const late = await silent.reserve(cap, 10n, 10)
  t.equal(await codeOf(a.reserve(cap, 1n, 10)), "STELE-BIL-0033")
  t.strictSame([await a.sweep(), await b.sweep()], [0, 0])
  ms += 119_999
  t.strictSame([await a.sweep(), await b.sweep()], [0, 0], "not yet")
  ms += 1
  const swept = await Promise.all([a.sweep(), b.sweep()])
  t.ok(swept[0] + swept[1] >= 1, "by whoever looks")
  t.strictSame(await useOfCap(books, cap), { used: 0n, held: 0n })
  t.strictSame(await checkCaps(books), [])
  const now = await a.reserve(cap, 6n, 10)
  late.settle(9n)
  await silent.flush()
  t.strictSame((await useOfCap(books, cap)).used, 9n, "what has happened is counted, whatever the bound")
  t.strictSame(await checkCaps(books), [])
  t.equal(await codeOf(b.reserve(cap, 1n, 10)), "STELE-BIL-0033")
  now.settle(6n)
  await a.flush()
  t.strictSame((await useOfCap(books, cap)).used, 15n)
  await silent.close()
  t.strictSame(await checkCaps(books), [])
})

t.test("a node whose beats do not reach the store promises nothing that would outlast its trust", async (t) => {
  await using memory = new MemoryStore()
  let isDown = false
  const store = over(memory, (batch, next) => (isDown ? Promise.reject(new StorageError("Busy", { store: "down", waitedMs: 0 })) : next(batch)))
  let ms = 0
  await using node = new Reserver({ store, entity }, { ...still, nowMs: () => ms })
  const cap = capOf(100n)
  ;(await node.reserve(cap, 1n, 1_000)).settle(1n)
  isDown = true
  ms = 107_000
  t.not(node.reserveNow(cap, 1n, 1_000), undefined, "it ends within nine tenths of two minutes")
  t.equal(node.reserveNow(cap, 1n, 1_001), undefined)
  t.equal(await codeOf(node.reserve(cap, 1n, 1_001)), "STELE-STO-0009", "it has to be heard first")
  isDown = false
  t.equal(await codeOf(node.reserve(cap, 1n, 1_001)), "kept")
})

t.test("writes of which nobody knows whether they were kept leave no drift", async (t) => {
  t.comment(replay)
  const random = randomFrom(seed)
  await using memory = new MemoryStore()
  const books = { store: memory, entity }
  let isBad = true
  const store = over(memory, async (batch, next) => {
    const what = isBad ? random(6) : 5
    if (what === 0) throw new StorageError("Unknown", { store: "bad", detail: "before" })
    if (what === 1) throw new StorageError("Busy", { store: "bad", waitedMs: 0 })
    const answers = await next(batch)
    if (what === 2) throw new StorageError("Unknown", { store: "bad", detail: "after" })
    return answers
  })
  const node = new Reserver({ store, entity }, { ...still, chunkMax: 5 })
  const cap = capOf(150n)
  let used = 0n
  for (let n = 0; n < (isFull ? 5_000 : 500); n++) {
    const reserved = await node.reserve(cap, 1n, 10).catch(() => undefined)
    if (reserved === undefined) continue
    used++
    reserved.settle(1n)
    if (random(4) === 0) await node.flush().catch(() => undefined)
    const drift = await checkCaps(books)
    if (drift.length > 0) t.strictSame(drift, [])
  }
  isBad = false
  await node.close()
  t.equal(used, 150n)
  t.strictSame(await useOfCap(books, cap), { used, held: 0n })
  t.strictSame(await checkCaps(books), [])
})

t.test("three processes on one SQLite file never pass a cap, though one's clock is an hour ahead and one was killed before", async (t) => {
  for (let round = 0; round < (isFull ? 10 : 1); round++) {
    const folder = await mkdtemp(join(tmpdir(), "stele-cap-"))
    t.teardown(() => rm(folder, { recursive: true }))
    const path = join(folder, "books.db")
    await using store = await SqliteStore.open(path)
    const cap = capOf(isFull ? 5_000n : 600n)
    const { drift, held, lost, said, used } = await course(store, path, cap)
    t.comment(`${used} of ${cap.upTo} used, ${lost} were held by the one that was killed, ${held} are held`)
    t.ok(lost >= 8n)
    t.equal(used, BigInt(said), "what the nodes say that their calls used")
    t.ok(used <= cap.upTo)
    t.strictSame(drift, [])
    t.strictSame(await store.check(), [])
    // The three have gone on for longer than the expiry, so they have used what the dead one held, too.
    t.ok(used > cap.upTo - lost, "what it held has come back")
  }
})
