// @long
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { writeFileSync } from "node:fs"
import { chmod } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import type { LeasedJob, LeaseRef } from "../../../../runtime/port/queue.ts"
import type { Operation, Question, Store } from "../../../../runtime/port/store.ts"
import type { TenantRecord } from "../../../../runtime/port/tenant.ts"
import { digestOf } from "../../../../runtime/storage/record.ts"
import { MemoryStore } from "../../../../runtime/storage/sqlite/mod.ts"
import { PostgresStore } from "../../../../runtime/storage/postgres/mod.ts"
import { type Clockwork, mondayUs, queueCases } from "../queue-cases.ts"
import { queueTestLimits } from "../queue-limits.ts"
import { type Database, migrated, missing, type Server, startServer } from "./server.ts"
import { isFull, sampled, seed } from "../../../seed.ts"

t.setTimeout(600_000)
const program = fileURLToPath(new URL("queue-program.ts", import.meta.url))
const bytes = (text: string): Uint8Array => Buffer.from(text)
const textOf = (value: Uint8Array | undefined): string => Buffer.from(value ?? []).toString()
const key = bytes("mail")
const place = (tenant: string) => ({ tenant: bytes(tenant), key })
const refOf = ({ tenant, key, id, token }: LeaseRef): LeaseRef => ({ tenant, key, id, token })

/** A database whose clock is a file: its roles find another `clock_timestamp()` before the server's own. */
async function clockwork(server: Server): Promise<{ readonly database: Database; set(us: number): void; empty(): void }> {
  const database = await migrated(server)
  const path = join(server.socket, `${database.name}.clock`)
  const set = (us: number): void => writeFileSync(path, String(Math.round(us)))
  set(mondayUs)
  await chmod(path, 0o644)
  server.sql(
    `CREATE SCHEMA clock; GRANT USAGE ON SCHEMA clock TO PUBLIC;
    CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE SECURITY DEFINER AS $$ SELECT 'epoch'::timestamptz + interval '1 microsecond' * pg_read_file('${path}')::bigint $$;
    ALTER ROLE stele_service IN DATABASE ${database.name} SET search_path = clock, pg_catalog;
    ALTER ROLE stele_worker IN DATABASE ${database.name} SET search_path = clock, pg_catalog`,
    database.name,
  )
  const names = server.sql(
    "SELECT string_agg('stele.' || relname, ', ') FROM pg_class WHERE relnamespace = 'stele'::regnamespace AND relkind = 'r' AND relname <> 'format'",
    database.name,
  )
  return { database, set, empty: () => void server.sql(`TRUNCATE ${names}`, database.name) }
}

function tests(server: Server): void {
  const { password } = server

  t.test("the rules of queues hold on a server", async (t) => {
    const { database, set, empty } = await clockwork(server)
    // A short run has every third, since stores on this machine have them all; and of the twelve that hold a limit each, the first.
    const cases = sampled(
      queueCases.filter(({ title }) => isFull || !title.startsWith("`") || title.startsWith("`payloadBytesMax`")),
      3,
    )
    t.ok(cases.length > 0)
    for (const { title, limits = {}, run } of cases) {
      await using store = await PostgresStore.open(database.service, { password, worker: database.worker, connectionsMax: 2, ...limits })
      let nowUs = mondayUs
      set(nowUs)
      const opened = {
        get nowUs() {
          return nowUs
        },
        set nowUs(us) {
          nowUs = us
          set(us)
        },
        apply: (batch: ReadonlyArray<Operation>) => store.applySync(batch),
        ask: (question: Question) => store.askSync(question),
        // The tenant's rows remember the time, not the process.
        reopen() {},
      }
      t.doesNotThrow(() => run(opened as unknown as Clockwork), title)
      t.same(await store.check(), [], title)
      empty()
    }
  })

  t.test("no job is lost or done twice, and none before its turn, when workers are killed and stopped past their leases", async (t) => {
    const database = await migrated(server)
    const count = isFull ? 10_000 : 500
    const tenants = ["ada", "bob", ""]
    t.comment(`seed ${seed}`)
    let state = seed
    const random = (): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) / 2 ** 32
    await using store = await PostgresStore.open(database.service, { password, worker: database.worker, ...queueTestLimits })
    for (let from = 0; from < count; from += 250)
      await store.apply([
        {
          op: "enqueue",
          ...place(tenants[(from / 250) % 3] as string),
          // One half in order within eight keys.
          jobs: Array.from({ length: 250 }, (_, i) => ({
            payload: bytes(String(from + i)),
            attemptsMax: 1_000,
            backoffMs: 5,
            backoffMsMax: 20,
            ...((from + i) % 2 === 0 ? {} : { orderKey: `key ${(from + i) % 16}` }),
          })),
        },
      ])
    const workers = new Map<ChildProcess, Promise<unknown>>()
    let lost = 0
    const begin = (): void => {
      const child = spawn(process.execPath, [program, "work", database.service, database.worker], {
        stdio: ["ignore", "pipe", "inherit"],
        env: { ...process.env, PGPASSWORD: password },
      })
      let said = ""
      child.stdout.on("data", (data: Buffer) => (said += data.toString()))
      workers.set(
        child,
        once(child, "close").then(() => {
          if (said !== "") lost += (JSON.parse(said) as { readonly lost: number }).lost
          workers.delete(child)
        }),
      )
    }
    for (let i = 0; i < 3; i++) begin()
    const left = async (): Promise<number> => {
      const { ready, waiting, blocked, leased } = await store.ask({ ask: "queue", key })
      return ready + waiting + blocked + leased
    }
    const counts = { killed: 0, stopped: 0 }
    for (let before = await left(); before > 0;) {
      await new Promise((resume) => setTimeout(resume, 150 + random() * 250))
      const now = await left()
      const child = [...workers.keys()][Math.floor(random() * workers.size)]
      // A machine so slow that no worker gets to work before it is killed would never be done.
      if (child === undefined || now === 0 || before - now < 5) {
        if (now === 0) break
        continue
      }
      before = now
      if (random() < 0.5) {
        child.kill("SIGKILL")
        counts.killed++
        await workers.get(child)
        begin()
      } else {
        child.kill("SIGSTOP")
        counts.stopped++
        setTimeout(() => child.kill("SIGCONT"), 500)
      }
    }
    // The stopped ones go on, find their leases lost, and end.
    await new Promise((resume) => setTimeout(resume, 600))
    for (const child of workers.keys()) child.kill("SIGTERM")
    await Promise.all(workers.values())
    const done: Array<number> = []
    for (const tenant of tenants) {
      for (const topic of ["free", ...Array.from({ length: 8 }, (_, i) => `key ${2 * i + 1}`)]) {
        const { events, lost } = await store.ask({ ask: "events", tenant: bytes(tenant), key: bytes(topic), after: 0n, countMax: count })
        t.equal(lost, 0n)
        const found = events.map(({ payload }) => Number(textOf(payload)))
        const inOrder = found.toSorted((a, b) => a - b)
        if (topic !== "free") t.same(found, inOrder, `in the order of ${tenant} ${topic}`)
        done.push(...found)
      }
    }
    t.equal(done.length, count, "none twice")
    t.equal(new Set(done).size, count, "none lost")
    t.same(await store.check(), [])
    t.comment(`${count} jobs, ${counts.killed} workers killed, ${counts.stopped} stopped, ${lost} leases lost`)
    t.ok(counts.killed + counts.stopped > 0)
  })

  t.test("a lease for all tenants needs the role that sees them, one for a tenant does not, and no batch is of two tenants", async (t) => {
    const database = await migrated(server)
    await using store = await PostgresStore.open(database.service, { password })
    await store.apply([{ op: "enqueue", ...place("ada"), jobs: [{ payload: bytes("a") }] }])
    await store.apply([{ op: "enqueue", ...place("bob"), jobs: [{ payload: bytes("b") }] }])
    await t.rejects(store.apply([{ op: "lease", key, countMax: 1, leaseMs: 1_000 }]), { code: "STELE-STO-0022" })
    await t.rejects(store.ask({ ask: "queue", key }), { code: "STELE-STO-0022" })
    const held: Array<LeasedJob> = []
    for (const tenant of ["ada", "bob"]) {
      const [{ jobs, nextUs, nowUs }] = await store.apply([{ op: "lease", ...place(tenant), countMax: 5, leaseMs: 1_000 }])
      t.same([jobs.length, nextUs], [1, nowUs + 1_000_000], "its own alone, and when its lease ends")
      held.push(...jobs)
    }
    t.same(
      held.map(({ tenant }) => textOf(tenant)),
      ["ada", "bob"],
    )
    await t.rejects(store.apply([{ op: "complete", leases: held.map(refOf) }]), { code: "STELE-STO-0028" })
    // Somebody else's number and token under one's own tenant are nobody's lease.
    await t.rejects(store.apply([{ op: "complete", leases: [{ ...refOf(held[0] as LeasedJob), tenant: bytes("eve") }] }]), { code: "STELE-STO-0050" })
    t.same(await store.apply([{ op: "complete", leases: [] }]), [undefined])
    for (const job of held) await store.apply([{ op: "complete", leases: [refOf(job)] }])
  })

  t.test("callers that share a commit are given other jobs each, and one that is refused takes nothing of the others", async (t) => {
    const database = await migrated(server)
    await using store = await PostgresStore.open(database.service, { password, worker: database.worker, connectionsMax: 1 })
    const ada = place("ada")
    const [given] = await store.apply([
      { op: "enqueue", ...ada, jobs: Array.from({ length: 30 }, (_, i) => ({ payload: bytes(String(i)), orderKey: `k${i % 20}` })) },
    ])
    const [outcomes, refused] = await Promise.all([
      Promise.all(Array.from({ length: 5 }, () => store.apply([{ op: "lease", ...ada, countMax: 3, leaseMs: 60_000 }]))),
      Promise.allSettled([
        store.apply([
          { op: "lease", ...ada, countMax: 10, leaseMs: 60_000 },
          { op: "cancel", ...ada, id: given[0]?.id as number },
          { op: "complete", leases: [{ ...ada, id: given[1]?.id as number, token: 1 }] },
        ]),
      ]),
    ])
    t.equal(refused[0]?.status, "rejected")
    const jobs = outcomes.flatMap(([{ jobs }]) => jobs)
    t.equal(new Set(jobs.map(({ id }) => id)).size, 15)
    t.same(
      jobs.map(({ payload }) => Number(textOf(payload))).toSorted((a, b) => a - b),
      Array.from({ length: 15 }, (_, i) => i),
    )
    // Two of one order key in one commit: the next is free when the first is completed there.
    const [, [{ jobs: next }]] = await Promise.all([
      store.apply([{ op: "complete", leases: jobs.filter(({ orderKey }) => orderKey === "k0" || orderKey === "k1").map(refOf) }]),
      store.apply([{ op: "lease", ...ada, countMax: 30, leaseMs: 60_000 }]),
    ])
    t.same(
      next.map(({ payload }) => Number(textOf(payload))).toSorted((a, b) => a - b),
      [15, 16, 17, 18, 19, 20, 21],
    )
    t.same(await store.check(), [])
  })

  t.test("a tenant's queues move between a server and a file as they are, and are erased in steps", async (t) => {
    const database = await migrated(server)
    await using from = await PostgresStore.open(database.service, { password, worker: database.worker })
    await using to = new MemoryStore()
    const ada = bytes("ada")
    await from.apply([{ op: "enqueue", ...place("bob"), jobs: [{ payload: bytes("other") }] }])
    for (const queue of ["mail", "a", "in\0voices"]) {
      const at = { tenant: ada, key: bytes(queue) }
      await from.apply([
        { op: "enqueue", ...at, jobs: ["1", "2", "3"].map((name) => ({ payload: bytes(name), orderKey: "k\0", idempotencyKey: `i\0${name}` })) },
      ])
      await from.apply([
        {
          op: "enqueue",
          ...at,
          jobs: [
            { payload: bytes("later"), delayMs: 3_600_000, priority: 3 },
            { payload: bytes("poison"), attemptsMax: 1 },
          ],
        },
      ])
      for (const name of ["ä", "b"])
        await from.apply([{ op: "schedule", ...at, schedule: { name, cron: "0 3 * * *", job: { payload: bytes(name), orderKey: "s" } } }])
    }
    const [{ jobs }] = await from.apply([{ op: "lease", ...place("ada"), countMax: 2, leaseMs: 60_000 }])
    await from.apply([{ op: "fail", ...refOf(jobs.find(({ attemptsMax }) => attemptsMax === 1) as LeasedJob), error: "poisoned\0" }])
    const exported = async (store: Store, countMax: number) => {
      const records: Array<TenantRecord> = []
      for (let after: Uint8Array | undefined; ;) {
        const page = await store.ask({ ask: "export", tenant: ada, table: "queue", after, countMax })
        records.push(...page.records)
        after = page.records.at(-1)?.order
        if (page.isComplete) return { records, revision: page.revision }
      }
    }
    const { records, revision } = await exported(from, 2)
    const orders = records.map(({ order }) => Buffer.from(order).toString("hex"))
    t.equal(records.length, 3 * (5 + 2 + 3))
    t.same(orders, orders.toSorted(), "in the order of bytes")
    t.same((await exported(from, 1_000)).records, records)
    for (let i = 0; i < 2; i++) for (const record of records) await to.apply([{ op: "import", tenant: ada, table: "queue", record, revision }])
    t.equal((await digestOf(to, ada, "queue")).digest, (await digestOf(from, ada, "queue")).digest)
    let erased = 0
    for (let count = 4; count === 4; erased += count) {
      ;[count] = await from.apply([{ op: "erase", tenant: ada, countMax: 4 }])
      t.same(await from.check(), [])
    }
    t.equal(erased, records.length + 3)
    // And back, twice: an import may be repeated.
    for (let i = 0; i < 2; i++) for (const record of records) await from.apply([{ op: "import", tenant: ada, table: "queue", record, revision }])
    t.same((await exported(from, 7)).records, records)
    t.same(await from.check(), [])
    const held = jobs.find(({ attemptsMax }) => attemptsMax !== 1) as LeasedJob
    await t.rejects(from.apply([{ op: "complete", leases: [{ ...refOf(held), token: held.token - 1 }] }]), { code: "STELE-STO-0050" })
    await from.apply([{ op: "complete", leases: [refOf(held)] }])
    const [{ jobs: next }] = await from.apply([{ op: "lease", ...place("ada"), countMax: 9, leaseMs: 60_000 }])
    t.same(
      next.map(({ payload }) => textOf(payload)),
      ["2"],
      "the next of its order key",
    )
    t.ok((next[0] as LeasedJob).token > held.token)
  })

  t.test("a job whose bytes changed is not handed out, and can be cancelled; `check()` finds what changed or is gone", async (t) => {
    const database = await migrated(server)
    await using store = await PostgresStore.open(database.service, { password, worker: database.worker, connectionsMax: 1 })
    const [[job]] = await store.apply([{ op: "enqueue", ...place("ada"), jobs: [{ payload: bytes("a"), idempotencyKey: "k" }] }])
    await store.apply([{ op: "schedule", ...place("ada"), schedule: { name: "s", everyMs: 60_000, job: { payload: bytes("s") } } }])
    const tables = ["job", "lane", "ring", "schedule", "idempotency"].map((name) => `queue_${name}`)
    server.sql(`CREATE SCHEMA was; ${tables.map((name) => `CREATE TABLE was.${name} AS TABLE stele.${name}`).join("; ")}`, database.name)
    for (const damage of [
      "UPDATE stele.queue_job SET attempts = attempts + 1",
      "UPDATE stele.queue_job SET tenant = 'eve'",
      "DELETE FROM stele.queue_job",
      "UPDATE stele.queue_lane SET ready = 0",
      "DELETE FROM stele.queue_lane",
      "DELETE FROM stele.queue_ring",
      "UPDATE stele.queue_ring SET turn = NULL, wake_us = 5",
      "UPDATE stele.queue_schedule SET next_us = next_us + 1",
      "DELETE FROM stele.queue_schedule",
      "UPDATE stele.queue_idempotency SET job = job + 1",
      "DELETE FROM stele.queue_idempotency",
      "UPDATE stele.queue_job SET payload = '\\x00' WHERE state = 0",
    ]) {
      server.sql(tables.map((name) => `DELETE FROM stele.${name}; INSERT INTO stele.${name} SELECT * FROM was.${name}`).join("; "), database.name)
      t.same(await store.check(), [])
      server.sql(damage, database.name)
      t.ok((await store.check()).length > 0, damage)
    }
    // The last of them stands.
    await t.rejects(store.apply([{ op: "lease", key, countMax: 1, leaseMs: 1_000 }]), { code: "STELE-STO-0005" })
    await t.rejects(store.ask({ ask: "job", ...place("ada"), id: job?.id as number }), { code: "STELE-STO-0005" })
    t.same(await store.apply([{ op: "cancel", ...place("ada"), id: job?.id as number }]), [true])
    t.same((await store.apply([{ op: "lease", key, countMax: 1, leaseMs: 1_000 }]))[0].jobs, [])
  })
}

const why = await missing()
if (why !== undefined) t.comment(`skipped: ${why}`)
else {
  const server = await startServer(isFull ? {} : { fsync: "off" })
  t.teardown(() => server.close())
  tests(server)
}
