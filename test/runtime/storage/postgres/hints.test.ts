/** Hints between processes of a PostgreSQL: what they shorten, what they say, and that nothing depends on them. */
import t from "tap"
import type { Store } from "../../../../runtime/port/store.ts"
import { work } from "../../../../runtime/service/queue.ts"
import { PostgresStore } from "../../../../runtime/storage/postgres/mod.ts"
import { Connection } from "../../../../runtime/storage/postgres/connection.ts"
import { parseAddress } from "../../../../runtime/storage/postgres/address.ts"
import { watch } from "../../../../runtime/storage/watch.ts"
import { migrated, missing, type Server, startServer } from "./server.ts"

t.setTimeout(120_000)
const tenant = Buffer.from("ada")
const at = (name: string) => ({ tenant, key: Buffer.from(name) })
const median = (all: ReadonlyArray<number>): number => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)] as number

async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const endMs = performance.now() + 30_000
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`${what} did not come to be`)
    await new Promise((resume) => setTimeout(resume, 10))
  }
}

/** From the acknowledgement of a write by one store until another has seen it, ms; each write after the watch has fallen asleep. */
async function delays(writer: Store, reader: Store, count: number): Promise<ReadonlyArray<number>> {
  const end = new AbortController()
  const found: Array<number> = []
  const seen = new Map<string, PromiseWithResolvers<number>>()
  const after = await reader.ask({ ask: "revision", tenant })
  const watching = (async () => {
    for await (const { key } of watch(reader, { tenant, prefix: Buffer.from("w/"), after, signal: end.signal }))
      seen.get(Buffer.from(key).toString())?.resolve(performance.now())
  })()
  for (let i = 0; i < count; i++) {
    const name = `w/${i}`
    seen.set(name, Promise.withResolvers<number>())
    // At any moment of the watch's own turns.
    await new Promise((resume) => setTimeout(resume, 40 + ((i * 37) % 100)))
    await writer.apply([{ op: "set", ...at(name), value: Buffer.from("x") }])
    const writtenMs = performance.now()
    found.push((await (seen.get(name) as PromiseWithResolvers<number>).promise) - writtenMs)
  }
  end.abort()
  await watching
  return found
}

const listening = (server: Server, database: string): number =>
  Number(server.sql(`SELECT count(*) FROM pg_stat_activity WHERE datname = '${database}' AND query ~ '^(LISTEN|NOTIFY)'`))

function tests(server: Server): void {
  const { password } = server

  t.test("a watch sees what another process commits by a hint, and by the next look without", async (t) => {
    const { service } = await migrated(server)
    await using quiet = await PostgresStore.open(service, { password, hints: false })
    await using deaf = await PostgresStore.open(service, { password, hints: false })
    await using writer = await PostgresStore.open(service, { password })
    await using reader = await PostgresStore.open(service, { password })
    const [without, by] = [median(await delays(quiet, deaf, 20)), median(await delays(writer, reader, 20))]
    t.comment(`median of 20: ${by.toFixed(1)} ms by hints, ${without.toFixed(1)} ms without`)
    t.ok(by < without / 2, `${by.toFixed(1)} < ${without.toFixed(1)} / 2`)
  })

  t.test("hints say nothing but that something was committed, and few stand for many commits", async (t) => {
    const { service, name } = await migrated(server)
    await using store = await PostgresStore.open(service, { password })
    const ear = await Connection.open({ address: parseAddress(service), password })
    const heard: Array<string> = []
    await ear.listen(
      "stele",
      ({ payload, isOwn }) => heard.push(`${payload}${String(isOwn)}`),
      () => {},
    )
    await store.apply([{ op: "set", ...at("first"), value: Buffer.from("x") }])
    await until("a hint", () => heard.length > 0)
    const [before, fromMs] = [heard.length, performance.now()]
    for (let i = 0; i < 200; i++) await store.apply([{ op: "set", ...at("k"), value: Buffer.from(String(i)) }])
    await until("the last hint", () => heard.length > before)
    const most = (performance.now() - fromMs) / 20 + 2
    t.ok(heard.length - before <= most, `${heard.length - before} hints for 200 commits, at most ${most.toFixed(0)}`)
    t.strictSame([...new Set(heard)], ["false"], "no payload")
    // The hint for the last of them may be on its way still.
    for (let count = -1; count !== heard.length;) {
      count = heard.length
      await new Promise((resume) => setTimeout(resume, 200))
    }
    const sofar = heard.length
    await store.apply([{ op: "lease", ...at("nothing"), countMax: 1, leaseMs: 1_000 }])
    await store.apply([{ op: "set", ...at("last"), value: Buffer.from("x") }])
    await until("one more", () => heard.length > sofar)
    t.equal(heard.length, sofar + 1, "nobody is woken by a look for jobs")
    t.equal(listening(server, name), 2, "one session of the store, and this one")
    await ear.close()
  })

  t.test("a session for hints that was lost comes back, and what was committed meanwhile is seen", async (t) => {
    const { service, name } = await migrated(server)
    await using writer = await PostgresStore.open(service, { password })
    await using reader = await PostgresStore.open(service, { password })
    await delays(writer, reader, 1)
    await until("two sessions", () => listening(server, name) === 2)
    server.sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}' AND query ~ '^(LISTEN|NOTIFY)'`)
    t.equal((await delays(writer, reader, 3)).length, 3, "without hints by the next look")
    await until("two sessions again", () => listening(server, name) === 2)
    await server.stop("immediate")
    await server.start()
    t.equal((await delays(writer, reader, 3)).length, 3)
    await until("two sessions after a restart", () => listening(server, name) === 2)
  })

  t.test("`work()` on a tenant's queue takes what another process enqueues by a hint, and looks for nothing else", async (t) => {
    const { service } = await migrated(server)
    await using sender = await PostgresStore.open(service, { password })
    await using store = await PostgresStore.open(service, { password })
    let leases = 0
    const counting = new Proxy(store, {
      get(target, name) {
        if (name === "apply")
          return (batch: Parameters<Store["apply"]>[0]) => {
            if (batch.some(({ op }) => op === "lease")) leases++
            return target.apply(batch)
          }
        const value = Reflect.get(target, name, target) as unknown
        return typeof value === "function" ? (value as (...args: ReadonlyArray<unknown>) => unknown).bind(target) : value
      },
    })
    const end = new AbortController()
    const taken: Array<PromiseWithResolvers<number>> = []
    const working = work(counting, "mail", async ({ payload }) => taken[Number(Buffer.from(payload).toString())]?.resolve(performance.now()), {
      signal: end.signal,
      tenant,
      pollMsMax: 60_000,
    })
    const found: Array<number> = []
    for (let i = 0; i < 10; i++) {
      taken.push(Promise.withResolvers<number>())
      const fromMs = performance.now()
      await sender.apply([{ op: "enqueue", ...at("mail"), jobs: [{ payload: Buffer.from(String(i)) }] }])
      found.push((await (taken[i] as PromiseWithResolvers<number>).promise) - fromMs)
      await sender.apply([{ op: "set", ...at("other"), value: Buffer.from("x") }])
    }
    end.abort()
    const endedMs = performance.now()
    await working
    t.ok(performance.now() - endedMs < 30_000, "it ends though it was to sleep for a minute")
    t.comment(`median of 10 from enqueueing until taken: ${median(found).toFixed(1)} ms, ${leases} leases`)
    t.ok(median(found) < 10_000, "long before the next look")
    t.ok(leases < 40, `${leases} leases for 10 jobs and 10 other commits`)
  })
}

const why = await missing()
if (why !== undefined) t.comment(`skipped: ${why}`)
else {
  const server = await startServer()
  t.teardown(() => server.close())
  tests(server)
}
