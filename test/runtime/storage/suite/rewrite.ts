/** Other bytes in a field of one record, if it still has those of before: for layers that seal anew. A sealed store leaves it to itself. */
import type { Store } from "../../../../runtime/port/store.ts"
import { orderIn } from "../../../../runtime/storage/queue-row.ts"
import { recordsOf } from "../../../../runtime/storage/record.ts"
import { at, badOption, badRecord, hex, raw, type StoreCase, text } from "./case.ts"

const digest = (byte: number): Uint8Array => new Uint8Array(32).fill(byte)
const ada = raw("ada")
const rewrite = (table: string, order: Uint8Array, field: string, from: Uint8Array, to: Uint8Array, tenant = ada) =>
  ({ op: "rewrite", tenant, table, order, field: field as "digest", from, to }) as const
const blob = (store: Store, name: string) => store.ask({ ask: "blob", ...at(name) })
const enqueue = async (store: Store, payload: string, more = {}) =>
  (await store.apply([{ op: "enqueue", ...at("mail"), jobs: [{ payload: raw(payload), ...more }] }]))[0][0] as { readonly id: number; readonly isNew: boolean }
const recordIn = async (store: Store, kind: number) => {
  for await (const record of recordsOf(store, ada, "queue")) if (record.order[0] === kind) return record
  throw new Error(`Cannot find a record of kind ${kind}`)
}
const lease = async (store: Store) => (await store.apply([{ op: "lease", ...at("mail"), countMax: 9, leaseMs: 60_000 }]))[0].jobs
const schedule = { name: "s", everyMs: 86_400_000, job: { payload: raw("tick") } }

export const rewriteCases: ReadonlyArray<StoreCase> = [
  {
    group: "rewrite",
    title: "a reference is given another object, and keeps its time and size",
    async run(store, check) {
      await store.apply([{ op: "link", ...at("k"), digest: digest(1), bytes: 5 }])
      const before = await blob(store, "k")
      check.same(await store.apply([rewrite("blob_reference", raw("k"), "digest", digest(1), digest(2))]), [true], "done")
      const now = await blob(store, "k")
      check.same([hex(now?.digest as Uint8Array), now?.bytes, now?.createdAtUs], [hex(digest(2)), 5, before?.createdAtUs], "the other object")
      check.same((now?.revision as number) > (before?.revision as number), true, "a revision of its own")
      check.same(await store.ask({ ask: "linked", digests: [1, 2].map(digest) }), [false, true], "linked")
      check.same(await store.check(), [], "totals")
    },
  },
  {
    group: "rewrite",
    title: "what has other bytes by now, or is not there, stays as it is",
    async run(store, check) {
      await store.apply([{ op: "link", ...at("k"), digest: digest(1), bytes: 5 }])
      const { id } = await enqueue(store, "a", { idempotencyKey: "i" })
      await store.apply([{ op: "schedule", ...at("mail"), schedule }])
      const [job, known, planned] = [await recordIn(store, 0), await recordIn(store, 2), await recordIn(store, 1)]
      const revision = await store.ask({ ask: "revision", tenant: ada })
      const [none, other] = [raw("none"), raw("another")]
      for (const operation of [
        rewrite("blob_reference", raw("k"), "digest", digest(3), digest(2)),
        rewrite("blob_reference", raw("l"), "digest", digest(1), digest(2)),
        rewrite("blob_reference", raw("k"), "digest", digest(1), digest(2), raw("bob")),
        rewrite("queue", job.order, "payload", none, other),
        rewrite("queue", job.order, "error", none, other),
        rewrite("queue", job.order, "payload", raw("a"), other, raw("bob")),
        rewrite("queue", known.order, "digest", none, other),
        rewrite("queue", planned.order, "payload", none, other),
        rewrite("queue", orderIn("schedule", { key: raw("mail") }, raw("t")), "payload", raw("tick"), other),
        rewrite("queue", orderIn("idempotency", { key: raw("none") }, raw("i")), "digest", raw("tick"), other),
      ])
        check.same(await store.apply([operation]), [false], operation.field)
      check.same(await store.ask({ ask: "revision", tenant: ada }), revision, "nothing was written")
      check.same(text((await store.ask({ ask: "job", ...at("mail"), id }))?.payload), "a", "payload")
      check.same(hex((await blob(store, "k"))?.digest as Uint8Array), hex(digest(1)), "digest")
    },
  },
  {
    group: "rewrite",
    title: "a job is given another payload in whatever state, and what was said of it another text; its lease holds",
    async run(store, check) {
      const { id } = await enqueue(store, "a", { orderKey: "o" })
      await enqueue(store, "b", { orderKey: "o" })
      const [held] = await lease(store)
      const { order } = await recordIn(store, 0)
      check.same(await store.apply([rewrite("queue", order, "payload", raw("a"), raw("another and longer"))]), [true], "held")
      await store.apply([{ op: "fail", ...at("mail"), id, token: held?.token as number, error: "no", isFinal: true }])
      check.same(await store.apply([rewrite("queue", order, "error", raw("no"), raw("not so"))]), [true], "dead")
      const job = await store.ask({ ask: "job", ...at("mail"), id })
      check.same([text(job?.payload), job?.error, job?.state], ["another and longer", "not so", "dead"], "as it is now")
      check.same(
        (await lease(store)).map(({ payload }) => text(payload)),
        ["b"],
        "the next of its order key",
      )
      check.same(await store.check(), [], "sums and totals")
    },
  },
  {
    group: "rewrite",
    title: "a schedule is given another payload, and an idempotency key another digest, which is what is compared",
    async run(store, check) {
      await store.apply([{ op: "schedule", ...at("mail"), schedule }])
      const { id } = await enqueue(store, "a", { idempotencyKey: "i" })
      const [known, planned] = [await recordIn(store, 2), await recordIn(store, 1)]
      const print = new Uint8Array(33).fill(7)
      check.same(
        await store.apply([
          rewrite("queue", planned.order, "payload", raw("tick"), raw("tick, tock")),
          rewrite("queue", known.order, "digest", known.fields["digest"] as Uint8Array, print),
        ]),
        [true, true],
        "done",
      )
      const [found] = await store.ask({ ask: "schedules", ...at("mail") })
      check.same(text(found?.schedule.job.payload), "tick, tock", "payload")
      await check.refused(() => enqueue(store, "a", { idempotencyKey: "i" }), { code: "STELE-STO-0051" }, "another digest")
      check.same(await enqueue(store, "b", { idempotencyKey: "i", fingerprint: print }), { id, isNew: false }, "the fingerprint alone")
      for (const fingerprint of [new Uint8Array(0), new Uint8Array(65), "text"])
        await check.refused(() => enqueue(store, "c", { fingerprint }), { code: badOption }, "a fingerprint that is none")
      check.same(await store.check(), [], "sums and totals")
    },
  },
  {
    group: "rewrite",
    title: "what may not be rewritten, or is no bytes, is refused",
    async run(store, check) {
      await store.apply([{ op: "link", ...at("k"), digest: digest(1), bytes: 5 }])
      await enqueue(store, "a", { idempotencyKey: "i" })
      const [job, known] = [await recordIn(store, 0), await recordIn(store, 2)]
      const a = raw("a")
      for (const operation of [
        rewrite("key_value", raw("k"), "payload", a, a),
        rewrite("log", raw("k"), "payload", a, a),
        rewrite("nothing", raw("k"), "payload", a, a),
        rewrite("blob_reference", raw("k"), "payload", digest(1), digest(2)),
        rewrite("blob_reference", raw("k"), "digest", digest(1), raw("short")),
        rewrite("queue", job.order, "digest", a, a),
        rewrite("queue", known.order, "payload", a, a),
        rewrite("queue", raw("k"), "payload", a, a),
      ])
        await check.refused(() => store.apply([operation]), { code: badRecord }, `${operation.table} ${operation.field}`)
      for (const name of ["order", "from", "to"])
        await check.refused(() => store.apply([{ ...rewrite("queue", job.order, "payload", a, a), [name]: "text" }]), { code: badOption }, name)
    },
  },
]
