/** Leases: taking, losing and giving them back, on a store in memory; three processes on SQLite; and what fails without each rule. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import type { Lease } from "../../../runtime/port/lease.ts"
import type { Operation, Question, Store } from "../../../runtime/port/store.ts"
import { acquire, holderOf, lead } from "../../../runtime/service/lease.ts"
import { MemoryStore, SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { eraseTenant } from "../../../runtime/storage/record.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { mutant } from "../storage/mutant.ts"
import { course } from "./lease-processes.ts"

t.setTimeout(300_000)
const ada = Buffer.from("ada")
const set = (name: string, tenant: Uint8Array = new Uint8Array(0)): Operation => ({ op: "set", tenant, key: Buffer.from(name), value: Buffer.from(name) })
const outcome = (run: Promise<unknown>): Promise<unknown> =>
  run.then(
    () => "kept",
    (error: unknown) => (error instanceof StorageError ? error.reason._tag : error),
  )
/** As if its holder's process had stopped: nothing renews it. Ends with the lease's own time on the store's clock. */
async function expire(store: Store, name: string): Promise<void> {
  while ((await holderOf(store, name)) !== undefined) await new Promise((resume) => setTimeout(resume, 5))
}
const taken = async (lease: Promise<Lease | undefined>): Promise<Lease> => {
  const found = await lease
  if (found === undefined) throw new Error("The lease is somebody else's")
  return found
}
type Apply = (batch: ReadonlyArray<Operation>, next: (batch: ReadonlyArray<Operation>) => Promise<unknown>) => Promise<unknown>
/** A store whose writes go another way. */
const over = (store: Store, apply: Apply): Store =>
  ({
    name: store.name,
    ask: (question: Question) => store.ask(question),
    apply: (batch: ReadonlyArray<Operation>) => apply(batch, (same) => store.apply(same)),
  }) as unknown as Store
/** A store that takes no renewals, as a process that is stopped asks for none: its timers run, and nothing comes of them. */
const deaf = (store: Store): Store =>
  over(store, (batch, next) =>
    batch.length === 2 && batch[1]?.op === "set" && batch[1].ttlMs !== undefined
      ? Promise.reject(new StorageError("Busy", { store: "deaf", waitedMs: 0 }))
      : next(batch),
  )

t.test("`acquire()` gives a lease to one at a time, with a greater token each time", async (t) => {
  await using store = new MemoryStore()
  const first = await taken(acquire(store, "roll-up", { holder: "first" }))
  t.equal(await acquire(store, "roll-up"), undefined)
  t.match(await holderOf(store, "roll-up"), { holder: "first", token: first.token })
  await using other = await taken(acquire(store, "roll-up", { tenant: ada }))
  t.not(other, undefined, "another tenant's is another lease")
  await first.release()
  await first.release()
  t.equal(await holderOf(store, "roll-up"), undefined)
  const second = await taken(acquire(store, "roll-up"))
  t.ok(second.token > first.token, `${second.token} after ${first.token}`)
  t.equal(await outcome(first.apply([set("late")])), "NotHolder")
  t.equal(await outcome(store.apply([first.fence, set("late")])), "Conflict")
  t.equal(await outcome(second.apply([set("now")])), "kept")
  t.strictSame(await second.apply([{ op: "delete", tenant: new Uint8Array(0), key: Buffer.from("now") }]), [true], "answers are the batch's own")
  await second.release()
  const race = await Promise.all(Array.from({ length: 50 }, () => acquire(store, "race")))
  const won = race.filter((lease) => lease !== undefined)
  t.equal(won.length, 1, "of 50 at once")
  await won[0]?.release()
  t.strictSame(await store.check(), [])
})

t.test("`acquire()` gives greater tokens also when the tenant was erased", async (t) => {
  await using store = new MemoryStore()
  const first = await taken(acquire(store, "roll-up", { tenant: ada }))
  await eraseTenant(store, ada)
  t.equal(await outcome(first.apply([set("late", ada)])), "NotHolder", "a lease ends with its tenant")
  await using second = await taken(acquire(store, "roll-up", { tenant: ada }))
  t.ok(second.token > first.token)
})

t.test("`Lease.signal` is raised in time when the lease cannot be renewed, and another follows when it has ended", async (t) => {
  await using store = new MemoryStore()
  const startedMs = performance.now()
  const first = await taken(acquire(deaf(store), "roll-up", { leaseMs: 300 }))
  const raised = new Promise<number>((resume) => first.signal.addEventListener("abort", () => resume(performance.now() - startedMs)))
  const raisedMs = await raised
  t.match(first.signal.reason, { code: "STELE-STO-0075", reason: { _tag: "NotHolder", lease: "roll-up", token: first.token } })
  t.ok(raisedMs >= 200, `${raisedMs.toFixed(0)} ms`)
  await expire(store, "roll-up")
  await using second = await taken(acquire(store, "roll-up"))
  await first.release()
  t.match(await holderOf(store, "roll-up"), { token: second.token }, "giving back what was lost takes nothing from the next")
})

t.test("`Lease` stays held for many times its length while it is renewed", async (t) => {
  await using store = new MemoryStore()
  await using lease = await taken(acquire(store, "roll-up", { leaseMs: 1_500 }))
  const endMs = performance.now() + 6_000
  while (performance.now() < endMs) {
    t.equal(await acquire(store, "roll-up"), undefined)
    await new Promise((resume) => setTimeout(resume, 50))
  }
  t.notOk(lease.signal.aborted)
  t.equal(await outcome(lease.apply([set("a")])), "kept")
})

t.test("`acquire()` refuses names, holders and times out of range", async (t) => {
  await using store = new MemoryStore()
  for (const [name, options] of [
    ["", {}],
    ["\ud800", {}],
    ["x".repeat(257), {}],
    ["a", { leaseMs: 99 }],
    ["a", { leaseMs: 1.5 }],
    ["a", { leaseMs: 86_400_001 }],
    ["a", { holder: "" }],
    ["a", { holder: "x".repeat(257) }],
  ] as const)
    await t.rejects(acquire(store, name, options), { code: "STELE-CFG-0002" }, `${name.length} ${JSON.stringify(options).slice(0, 40)}`)
  await using lease = await taken(acquire(store, "x".repeat(256)))
  t.ok(lease.token > 0)
})

t.test("`acquire()` finds out what became of it when the answer was lost", async (t) => {
  await using store = new MemoryStore()
  const forgetful = (isKept: boolean): Store =>
    over(store, async (batch, next) => {
      if (isKept) await next(batch)
      throw new StorageError("Unknown", { store: "forgetful", detail: "the answer was lost" })
    })
  const lease = await taken(acquire(forgetful(true), "kept"))
  t.match(await holderOf(store, "kept"), { token: lease.token })
  t.equal(await outcome(store.apply([lease.fence, set("a")])), "kept")
  t.equal(await acquire(forgetful(false), "not kept"), undefined)
  await outcome(lease.release())
})

t.test("`lead()` works while it holds the lease, ends with its signal, and throws what the work throws", async (t) => {
  await using store = new MemoryStore()
  const end = new AbortController()
  let [leading, most, terms] = [0, 0, 0]
  const candidates = Array.from({ length: 3 }, () =>
    lead(
      store,
      "roll-up",
      async (lease) => {
        most = Math.max(most, ++leading)
        await lease.apply([set("a")])
        leading--
        if (++terms >= 10) end.abort()
      },
      { signal: end.signal, leaseMs: 1_000, pollMs: 1 },
    ),
  )
  await Promise.all(candidates)
  t.equal(most, 1, "one at a time")
  t.ok(terms >= 10)
  t.equal(await holderOf(store, "roll-up"), undefined, "given back")
  await t.rejects(
    lead(store, "roll-up", () => Promise.reject(new Error("no")), { signal: new AbortController().signal }),
    { message: "no" },
  )
  t.equal(await holderOf(store, "roll-up"), undefined, "given back")
})

t.test("leases are given to two, or stolen, when a rule is taken out", async (t) => {
  const at = new URL("../../../runtime/service/lease.ts", import.meta.url)
  const of = (from: string, to: string) => mutant<{ readonly acquire: typeof acquire }>(at, "service/lease.ts", from, to)
  await using store = new MemoryStore()
  const unguarded = await of('{ op: "require", ...places.held, version: undefined },', '{ op: "delete", ...places.held },')
  const race = await Promise.all(Array.from({ length: 2 }, () => unguarded.acquire(store, "two")))
  t.equal(race.filter((lease) => lease !== undefined).length, 2, "two at once without the condition that nobody holds it")
  for (const lease of race) await outcome((lease as Lease).release())
  const unfenced = await of(
    "this.#store.apply([this.fence, ...batch])",
    'this.#store.apply([{ op: "delete", tenant: new Uint8Array(0), key: this.#row }, ...batch])',
  )
  for (const [module, wanted] of [
    [{ acquire }, "NotHolder"],
    [unfenced, "kept"],
  ] as const) {
    const first = await taken(module.acquire(store, "late", { leaseMs: 60_000 }))
    // Its time is over for the store, and not for itself: clocks differ.
    await store.apply([{ op: "delete", tenant: new Uint8Array(0), key: Buffer.from("lease/held/late") }])
    const second = await taken(acquire(store, "late"))
    t.equal(await outcome(first.apply([set("late")])), wanted, "a stale holder's write")
    await second.release()
    await outcome(first.release())
  }
  const renewing = await of('this.#store.apply([this.fence, { op: "set"', 'this.#store.apply([{ op: "set"')
  for (const [module, isNoticed] of [
    [{ acquire }, true],
    [renewing, false],
  ] as const) {
    const first = await taken(module.acquire(store, "stolen", { leaseMs: 300 }))
    await store.apply([{ op: "delete", tenant: new Uint8Array(0), key: Buffer.from("lease/held/stolen") }])
    const second = await taken(acquire(store, "stolen", { leaseMs: 10_000 }))
    // Two renewals' time for one that notices nothing; who notices has as long as a busy machine takes.
    for (const endMs = performance.now() + (isNoticed ? 120_000 : 200); !first.signal.aborted && performance.now() < endMs;)
      await new Promise((resume) => setTimeout(resume, 5))
    t.equal(first.signal.aborted, isNoticed, "one whose renewals are not behind the fence does not notice that another holds the lease")
    await outcome(first.release())
    await second.release()
  }
})

t.test("of three processes on SQLite no two write under the lease at a time when one is stopped past it and one is killed", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "stele-lease-"))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const run = async (fence: "KEEP" | "DROP") => {
    const path = join(folder, `${fence}.db`)
    await using store = await SqliteStore.open(path)
    const found = await course(store, path, fence)
    t.strictSame(await store.check(), [])
    t.comment(
      `${fence}: ${found.tokens.length} writes of ${found.leaders} leaders, ${found.refused} refused, ${found.stale} stale, takeover ${found.takeoverMs.toFixed(0)} ms`,
    )
    return found
  }
  const found = await run("KEEP")
  t.equal(found.stale, 0, "none of a token that is not the newest")
  t.ok(found.refused >= 1, "the one that was stopped was refused")
  t.ok(found.leaders >= 2 && new Set(found.tokens).size >= 3)
  t.ok((await run("DROP")).stale > 0, "without the fence the one that was stopped writes after the next")
})
