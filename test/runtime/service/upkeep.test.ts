/** What an open store does by itself: sweeping, collecting, forgetting, one process at a time, and nothing that keeps a process. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import { tenantKey } from "../../../host/port/mod.ts"
import { Host } from "../../../runtime/mod.ts"
import type { Place } from "../../../runtime/port/place.ts"
import type { Change } from "../../../runtime/port/key-value.ts"
import { dayOf } from "../../../runtime/port/usage.ts"
import { type Upkeep, upkeep, upkeepLimits } from "../../../runtime/service/upkeep.ts"
import { usageIds } from "../../../runtime/service/usage-id.ts"
import { clockBase, clockFrom } from "../../../runtime/storage/clock.ts"
import { openStores, type Stores } from "../../../runtime/storage/storage.ts"
import { packUsage, tenantBytes } from "../../../runtime/storage/usage.ts"
import { watch } from "../../../runtime/storage/watch.ts"
import { mutant } from "../storage/mutant.ts"

t.setTimeout(600_000)
const folder = await mkdtemp(join(tmpdir(), "stele-upkeep-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
const program = fileURLToPath(new URL("upkeep-program.ts", import.meta.url))
let files = 0
const newAddress = (): string => `sqlite:${join(folder, `${files++}.db`)}`
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const at = (name: string, tenant = "ada"): Place => ({ tenant: bytes(tenant), key: bytes(name) })
const turn = at("upkeep/turn", "")
const never = 1e9
/** Everything as soon as it can be, and everything is garbage at once. */
const soon = { sweepMs: 2, lookMs: 2, collectMs: never, graceMs: 0 }

async function opened(address = newAddress()): Promise<Stores> {
  const stores = await openStores(address)
  t.teardown(() => stores.close())
  return stores
}

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (const endMs = performance.now() + 120_000; !(await isSo());) {
    if (performance.now() > endMs) throw new Error("It did not come to be so within 120 s")
    await new Promise((resume) => setTimeout(resume, 2))
  }
}

t.test("an idle store tells who watches that a value has ended, with `upkeep()` only", async (t) => {
  const { store, objects } = await opened()
  const [revision] = await store.apply([{ op: "set", ...at("lease"), value: bytes("mine"), ttlMs: 20 }])
  const stop = new AbortController()
  const seen: Array<Change> = []
  const watching = (async () => {
    for await (const change of watch(store, { tenant: bytes("ada"), prefix: bytes(""), after: revision, signal: stop.signal })) seen.push(change)
  })()
  await new Promise((resume) => setTimeout(resume, 60))
  t.same(seen, [], "nobody does it")
  await using _ = upkeep(store, objects, { ...soon, lookMs: never })
  await until(() => seen.length > 0)
  t.match(seen, [{ kind: "expire" }])
  stop.abort()
  await watching
})

t.test("`upkeep()` sweeps more than one group takes, soon", async (t) => {
  const { store, objects } = await opened()
  await store.apply(Array.from({ length: 2_000 }, (_, i) => ({ op: "set" as const, ...at(`k${i}`), value: bytes("v"), ttlMs: 30 })))
  const rows = async (): Promise<number> => (await store.ask({ ask: "totals" })).find(({ table }) => table === "key_value")?.keys ?? 0
  // The second sweep would come too late.
  await using _ = upkeep(store, objects, { ...soon, sweepMs: 2_000, lookMs: never, random: () => 0.5 })
  await until(async () => (await rows()) < 2_000)
  const startedMs = performance.now()
  await until(async () => (await rows()) === 0)
  t.ok(performance.now() - startedMs < 10_000, "eight sweeps apart it would take 14,000 ms")
})

t.test("`upkeep()` collects garbage once, however many processes look, and again when it is due", async (t) => {
  const address = newAddress()
  const stores = [await opened(address), await opened(address), await opened(address)]
  const [{ store, objects }] = stores as [Stores]
  await objects.put(bytes("garbage"))
  await new Promise((resume) => setTimeout(resume, 5))
  const keepers = stores.map((each) => upkeep(each.store, each.objects, soon))
  await until(() => keepers.some(({ collected }) => collected !== undefined))
  await new Promise((resume) => setTimeout(resume, 100))
  t.same(
    keepers.flatMap(({ collected }) => collected ?? []),
    [{ objects: 1, bytes: 7, uploads: 0, isComplete: true }],
  )
  t.same(await objects.list(undefined, 10), [])
  for (const keeper of keepers) t.equal(keeper.problem, undefined)
  const endMs = async (): Promise<number> => ((await store.ask({ ask: "get", ...turn }))?.expiresAtUs ?? 0) / 1_000
  // The turn stays for as long as nothing is due.
  await until(async () => (await endMs()) - Date.now() > never / 2)
  for (const keeper of keepers) await keeper.close()
  await store.apply([{ op: "delete", ...turn }])
  await using again = upkeep(store, objects, soon)
  await until(() => again.collected !== undefined)
})

t.test("`upkeep()` takes the turn of one who died with it, when its time is over and no sooner", async (t) => {
  const { store, objects } = await opened()
  await store.apply([{ op: "set", ...turn, value: bytes("somebody"), ttlMs: 400 }])
  const { expiresAtUs = 0 } = (await store.ask({ ask: "get", ...turn })) ?? {}
  await using keeper = upkeep(store, objects, soon)
  await until(() => keeper.collected !== undefined)
  // The store's clock began at a whole millisecond of the wall's.
  t.ok(Date.now() >= expiresAtUs / 1_000 - 2)
})

t.test("`upkeep()` gives up a collection whose turn somebody else has taken", async (t) => {
  const { store, objects } = await opened()
  for (let i = 0; i < 450; i++) await objects.put(bytes(`garbage ${i}`))
  await new Promise((resume) => setTimeout(resume, 5))
  await using keeper = upkeep(store, objects, { ...soon, turnMs: 4 })
  // It is taken at once whenever it is free, also between two steps of who has it.
  const taking = setInterval(() => void store.apply([{ op: "set", ...turn, value: bytes("thief"), ttlMs: never }]), 1)
  await new Promise((resume) => setTimeout(resume, 150))
  clearInterval(taking)
  t.equal(keeper.collected, undefined)
  t.equal((await objects.list(undefined, 1_000)).length, 450)
})

t.test("`upkeep()` forgets usage records that are too old, without any call", async (t) => {
  const { store, objects } = await opened()
  const old = Date.now() - 500 * 86_400_000
  const id = new Uint8Array(16)
  usageIds(clockFrom(clockBase(old * 1_000)))(id, 0)
  const record = { id, tenant: "ada", plugin: `sha256:${"0".repeat(64)}`, export: "run", outcome: "ok" as const, wallNs: 1, memoryPeakBytes: 1, bytesIn: 1 }
  await store.apply([{ op: "record", tenant: tenantBytes("ada"), records: packUsage([{ ...record, bytesOut: 1, hostCalls: {} }]) }])
  const records = async (): Promise<unknown> => (await store.ask({ ask: "usageTenants" }))[0]?.oldest
  t.ok(await records(), `a record of day ${dayOf(id)}`)
  await using _ = upkeep(store, objects, soon)
  await until(async () => (await records()) === undefined)
})

t.test("`upkeep()` says what it failed for, and goes on with the rest", async (t) => {
  const { store, objects } = await opened()
  const failing = Object.create(objects, { list: { value: () => Promise.reject(new Error("no disk")) } }) as Stores["objects"]
  await using keeper = upkeep(store, failing, soon)
  await until(() => keeper.problem !== undefined)
  t.match(keeper.problem, { message: "no disk" })
  await store.apply([{ op: "set", ...at("k"), value: bytes("v"), ttlMs: 1 }])
  await until(async () => (await store.ask({ ask: "totals" })).every(({ table, keys, tenant }) => table !== "key_value" || tenant.length === 0 || keys === 0))
})

t.test("`upkeep()` ends with a store that was moved", async (t) => {
  const { store, objects } = await opened()
  await store.apply([{ op: "fence", tenant: bytes(""), fence: { to: "elsewhere", state: "moved" } }])
  let applied = 0
  const counting = Object.create(store, {
    ask: { value: store.ask.bind(store) },
    apply: {
      value: async (batch: []) => {
        applied++
        // An empty batch writes nothing that could be refused.
        return store.apply(batch.length === 0 ? [{ op: "delete", ...at("k") }] : batch)
      },
    },
  }) as Stores["store"]
  await using keeper = upkeep(counting, objects, soon)
  await until(() => (keeper.problem as { readonly code?: string } | undefined)?.code === "STELE-STO-0065" && applied >= 2)
  await new Promise((resume) => setTimeout(resume, 30))
  t.equal(applied, 2, "each of its two tasks asked once")
})

t.test("`close()` of an `upkeep()` ends a collection between two steps, and nothing is asked of the store after it", async (t) => {
  const address = newAddress()
  const { store, objects, close } = await openStores(address)
  for (let i = 0; i < 300; i++) await objects.put(bytes(`garbage ${i}`))
  let asked = 0
  const counting = Object.create(objects, {
    list: {
      value: (...given: Parameters<Stores["objects"]["list"]>) => {
        asked++
        return objects.list(...given)
      },
    },
  }) as Stores["objects"]
  const keeper: Upkeep = upkeep(store, counting, soon)
  await until(() => asked === 1)
  await keeper.close()
  const before = asked
  await close()
  await new Promise((resume) => setTimeout(resume, 20))
  t.equal(asked, before)
  t.equal(keeper.collected, undefined)
  const again = await opened(address)
  t.equal((await again.objects.list(undefined, 1_000)).length, 300)
})

t.test("`Host.open()` keeps its storage in order, unless told not to, and refuses what is no option", async (t) => {
  const address = newAddress()
  for (const [keeps, wanted] of [
    [false, true],
    [{ ...soon, sweepMs: never }, false],
  ] as const) {
    const host = await Host.open({ storage: address, upkeep: keeps })
    await host.ports.blob.put(tenantKey("ada", "k"), bytes("garbage"))
    await host.ports.blob.delete(tenantKey("ada", "k"))
    const { objects, close } = await openStores(address)
    const isThere = async (): Promise<boolean> => (await objects.list(undefined, 1)).length > 0
    if (wanted) await new Promise((resume) => setTimeout(resume, 50))
    else await until(async () => !(await isThere()))
    t.equal(await isThere(), wanted)
    await close()
    await host.close()
  }
  await t.rejects(Host.open({ storage: address, upkeep: { graceMs: -1 } }), { code: "STELE-CFG-0002" })
  await t.rejects(Host.open({ storage: address, upkeep: "no" as never }), { code: "STELE-CFG-0002" })
  await t.rejects(Host.open({ storage: address, upkeep: { everyMs: 1 } as never }), { code: "STELE-CFG-0001" })
})

t.test("a process with an open host and nothing to do ends by itself", { timeout: 60_000 }, async (t) => {
  const child = spawn(process.execPath, [program, "idle", newAddress()], { stdio: ["ignore", "ignore", "inherit"] })
  const [code] = await once(child, "exit")
  t.equal(code, 0)
  t.same([upkeepLimits.graceMs, upkeepLimits.collectMs], [86_400_000, 3_600_000], "as the documents say")
})

t.test("without the turn, every process collects", async (t) => {
  const without = await mutant<{ readonly upkeep: typeof upkeep }>(
    new URL("../../../runtime/service/upkeep.ts", import.meta.url),
    "upkeep.ts",
    'if ((await store.ask({ ask: "has", ...turn })) || !(await hold(limits.turnMs))) return\n',
    "",
  )
  const address = newAddress()
  const stores = [await opened(address), await opened(address)]
  const keepers = stores.map((each) => without.upkeep(each.store, each.objects, soon))
  await until(() => keepers.every(({ collected }) => collected !== undefined))
  t.same(
    keepers.map(({ collected }) => collected?.isComplete),
    [true, true],
  )
  for (const keeper of keepers) await keeper.close()
})
