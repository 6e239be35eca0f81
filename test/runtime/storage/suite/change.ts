/** Changes by revision, and watching them. */
import { setTimeout as wait } from "node:timers/promises"
import type { Change, Changes } from "../../../../runtime/port/key-value.ts"
import type { Store } from "../../../../runtime/port/store.ts"
import { watch } from "../../../../runtime/storage/watch.ts"
import { append, at, badOption, bytes, compacted, raw, set, type StoreCase, text, until } from "./case.ts"

const changesOf = (
  store: Store,
  after: number,
  more: { readonly prefix?: string; readonly countMax?: number; readonly tenant?: string } = {},
): Promise<Changes> => store.ask({ ask: "changes", ...at(more.prefix ?? "", more.tenant), after, countMax: more.countMax ?? 1_000 })
const shown = ({ changes }: Pick<Changes, "changes">): ReadonlyArray<string> => changes.map(({ kind, key }) => `${kind} ${text(key)}`)
const revisionOf = (store: Store, tenant = "ada"): Promise<number> => store.ask({ ask: "revision", tenant: raw(tenant) })

/** Takes so many changes, or what there is until `signal` ends it. */
async function take(source: AsyncIterable<Change>, count: number): Promise<ReadonlyArray<Change>> {
  const taken: Array<Change> = []
  if (count > 0)
    for await (const change of source) {
      taken.push(change)
      if (taken.length === count) break
    }
  return taken
}

const changes: ReadonlyArray<StoreCase> = [
  {
    group: "changes",
    title: "each write is a change with the revision it answered",
    async run(store, check) {
      const from = await revisionOf(store)
      const [a, b] = await store.apply([set("a"), set("b")])
      const [c] = await store.apply([{ op: "swap", ...at("a"), version: a, value: bytes("c") }])
      await store.apply([
        { op: "increment", ...at("n"), delta: 1n, min: 0n, max: 9n },
        { op: "delete", ...at("b") },
      ])
      const found = await changesOf(store, from)
      check.same(shown(found), ["set a", "set b", "set a", "set n", "delete b"], "changes")
      check.same(
        found.changes.slice(0, 3).map(({ revision }) => revision),
        [a, b, c],
        "revisions",
      )
      const n = await store.ask({ ask: "get", ...at("n") })
      check.same(found.changes[3]?.revision, n?.version, "of the counter")
    },
  },
  {
    group: "changes",
    title: "revisions rise, and the answer's is not below the last",
    async run(store, check) {
      const from = await revisionOf(store)
      await Promise.all(Array.from({ length: 30 }, (_, i) => store.apply([set(`k${i}`), set(`l${i}`)])))
      const found = await changesOf(store, from)
      check.same(found.changes.length, 60, "all")
      check.same(
        found.changes.every(({ revision }, i) => revision > (found.changes[i - 1]?.revision ?? from)),
        true,
        "rising",
      )
      check.same(found.revision >= (found.changes.at(-1)?.revision ?? 0), true, "complete up to")
      check.same(await changesOf(store, found.revision), { changes: [], revision: found.revision }, "nothing after")
    },
  },
  ...[1, 2, 3, 10, 11].map((countMax): StoreCase => ({
    group: "changes",
    title: `pages of ${countMax} changes make the whole, none twice`,
    async run(store, check) {
      const from = await revisionOf(store)
      for (let i = 0; i < 10; i++) await store.apply([set(`k${i}`)])
      const found: Array<string> = []
      let after = from
      for (;;) {
        const page = await changesOf(store, after, { countMax })
        if (page.changes.length === 0) break
        check.same(page.changes.length <= countMax, true, "at most")
        found.push(...shown(page))
        after = page.revision
      }
      check.same(
        found,
        Array.from({ length: 10 }, (_, i) => `set k${i}`),
        "all",
      )
    },
  })),
  {
    group: "changes",
    title: "what wrote nothing is no change",
    limits: { keyValue: { valueBytesMax: 10 } },
    async run(store, check) {
      await store.apply([set("k")])
      const from = await revisionOf(store)
      await store.apply([{ op: "delete", ...at("no") }])
      await store.apply([{ op: "swap", ...at("k"), version: undefined, value: bytes("x") }])
      await check.refused(() => store.apply([set("l"), set("m", "x".repeat(11))]), {}, "refused")
      await store.apply([append("log", "x")])
      check.same(shown(await changesOf(store, from)), [], "none")
    },
  },
  {
    group: "changes",
    title: "a tenant's changes and their retention are not another's",
    limits: { keyValue: { tenantChangesMax: 4 } },
    async run(store, check) {
      const [from, theirs] = [await revisionOf(store), await revisionOf(store, "bob")]
      await store.apply([set("k")])
      for (let i = 0; i < 30; i++) await store.apply([set(`b${i}`, "", { tenant: "bob" })])
      check.same(shown(await changesOf(store, from)), ["set k"], "kept")
      await check.refused(() => changesOf(store, theirs, { tenant: "bob" }), { code: compacted }, "theirs is not")
    },
  },
  {
    group: "changes",
    title: "changes that are not kept are `Compacted`, with the oldest revision to go on after",
    limits: { keyValue: { tenantChangesMax: 8 } },
    async run(store, check) {
      const from = await revisionOf(store)
      const last = 60
      for (let i = 1; i <= last; i++) await store.apply([set(`k${i}`)])
      let reason: { readonly _tag: string; readonly asked: number; readonly oldest: number } | undefined
      await changesOf(store, from).catch((error: { readonly reason: NonNullable<typeof reason> }) => (reason = error.reason))
      check.same([reason?._tag, reason?.asked], ["Compacted", from], "refused")
      const kept = await changesOf(store, reason?.oldest ?? -1)
      check.same(kept.changes.length >= 8 && kept.changes.length <= 12, true, `${kept.changes.length} kept`)
      check.same(
        shown(kept),
        Array.from({ length: kept.changes.length }, (_, i) => `set k${last - kept.changes.length + 1 + i}`),
        "the newest",
      )
      await check.refused(() => changesOf(store, (reason?.oldest ?? 1) - 1), { code: compacted }, "one before")
    },
  },
  {
    group: "changes",
    title: "changes are removed when they are too old",
    limits: { keyValue: { changeAgeMsMax: 1 } },
    async run(store, check) {
      const from = await revisionOf(store)
      await store.apply([set("old")])
      await until(async () => {
        await store.apply([set("new")])
        return changesOf(store, from).then(
          () => false,
          () => true,
        )
      })
      await check.refused(() => changesOf(store, from), { code: compacted }, "removed")
    },
  },
  {
    group: "changes",
    title: "a revision that the store has not come to is `Compacted`: it is another store, or an older one",
    async run(store, check) {
      await store.apply([set("k")])
      await check.refused(() => changesOf(store, 1e12), { code: compacted, reason: { asked: 1e12 } }, "refused")
    },
  },
  ...[-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY].map((after): StoreCase => ({
    group: "changes",
    title: `\`changes\` after ${after} is refused`,
    run: (store, check) => check.refused(() => changesOf(store, after), { code: badOption }, "refused"),
  })),
  {
    group: "changes",
    title: "`entries` and the changes after its revision leave no gap under writes",
    async run(store, check) {
      const writing = (async () => {
        for (let i = 0; i < 60; i++) await store.apply([set(`k${i}`)])
      })()
      const { entries, revision } = await store.ask({ ask: "entries", ...at(""), beyond: undefined, countMax: 1_000, bytesMax: 1e9 })
      await writing
      const seen = new Set(entries.map(({ key }) => text(key)))
      for (const { key, revision: at } of (await changesOf(store, revision)).changes) {
        check.same(seen.has(text(key)), false, `${text(key)} once, ${at}`)
        seen.add(text(key))
      }
      check.same(seen.size, 60, "all")
    },
  },
]

const watching: ReadonlyArray<StoreCase> = [
  {
    group: "watch",
    title: "`watch()` gives what was and what comes, in order",
    needs: "watch",
    async run(store, check) {
      const after = await revisionOf(store)
      await store.apply([set("a"), set("b")])
      const taking = take(watch(store, { tenant: raw("ada"), prefix: raw(""), after }), 4)
      await wait(5)
      await store.apply([{ op: "delete", ...at("a") }])
      await store.apply([set("c")])
      check.same(shown({ changes: await taking }), ["set a", "set b", "delete a", "set c"], "changes")
    },
  },
  {
    group: "watch",
    title: "`watch()` goes on after a revision, once more or not at all for nothing between",
    needs: "watch",
    async run(store, check) {
      const after = await revisionOf(store)
      for (let i = 0; i < 20; i++) await store.apply([set(`k${i}`)])
      const found: Array<Change> = []
      for (let from = after; found.length < 20; from = found.at(-1)?.revision ?? from)
        found.push(...(await take(watch(store, { tenant: raw("ada"), prefix: raw(""), after: from }), Math.min(3, 20 - found.length))))
      check.same(
        shown({ changes: found }),
        Array.from({ length: 20 }, (_, i) => `set k${i}`),
        "all",
      )
    },
  },
  {
    group: "watch",
    title: "`watch()` sees only its prefix and its tenant",
    needs: "watch",
    async run(store, check) {
      const after = await revisionOf(store)
      const taking = take(watch(store, { tenant: raw("ada"), prefix: raw("p/"), after }), 2)
      await store.apply([set("p/1"), set("q/1"), set("p")])
      await store.apply([set("p/1", "", { tenant: "bob" })])
      await store.apply([set("p/2")])
      check.same(shown({ changes: await taking }), ["set p/1", "set p/2"], "changes")
    },
  },
  {
    group: "watch",
    title: "the signal ends `watch()`, before it begins and while it waits",
    needs: "watch",
    async run(store, check) {
      const after = await revisionOf(store)
      await store.apply([set("k")])
      check.same(await take(watch(store, { tenant: raw("ada"), prefix: raw(""), after, signal: AbortSignal.abort() }), 1), [], "before")
      const ending = new AbortController()
      const taking = take(watch(store, { tenant: raw("ada"), prefix: raw(""), after, signal: ending.signal }), 2)
      await wait(10)
      ending.abort()
      check.same(shown({ changes: await taking }), ["set k"], "while it waits")
    },
  },
  {
    group: "watch",
    title: "`watch()` of what is not kept is `Compacted`, at its beginning and when it falls behind",
    needs: "watch",
    limits: { keyValue: { tenantChangesMax: 4 } },
    async run(store, check) {
      const after = await revisionOf(store)
      const behind = watch(store, { tenant: raw("ada"), prefix: raw(""), after })
      await store.apply([set("first")])
      check.same(shown({ changes: [(await behind.next()).value as Change] }), ["set first"], "first")
      for (let i = 0; i < 30; i++) await store.apply([set(`k${i}`)])
      await check.refused(() => take(behind, 1), { code: compacted }, "behind")
      await check.refused(() => take(watch(store, { tenant: raw("ada"), prefix: raw(""), after }), 1), { code: compacted }, "at its beginning")
    },
  },
  {
    group: "watch",
    title: "two watchers see every one of 2,500 changes in the same order",
    needs: "watch",
    async run(store, check) {
      const after = await revisionOf(store)
      const watchers = [1, 2].map(() => take(watch(store, { tenant: raw("ada"), prefix: raw(""), after }), 2_500))
      for (let i = 0; i < 25; i++) await store.apply(Array.from({ length: 100 }, (_, n) => set(`${i}-${n}`, "")))
      const [one = [], two = []] = await Promise.all(watchers)
      check.same(
        one.map(({ revision }) => revision),
        two.map(({ revision }) => revision),
        "alike",
      )
      check.same(
        [new Set(one.map(({ key }) => text(key))).size, one.every(({ revision }, i) => revision > (one[i - 1]?.revision ?? after))],
        [2_500, true],
        "all, rising",
      )
    },
  },
  {
    group: "watch",
    title: "`watch()` tells of values that have ended",
    needs: "watch",
    async run(store, check) {
      const after = await revisionOf(store)
      await store.apply([set("k", "v", { ttlMs: 1 })])
      const taking = take(watch(store, { tenant: raw("ada"), prefix: raw(""), after }), 2)
      const writing = { isOver: false }
      void taking.finally(() => (writing.isOver = true))
      while (!writing.isOver) {
        await store.apply([])
        await wait(1)
      }
      check.same(shown({ changes: await taking }), ["set k", "expire k"], "changes")
    },
  },
  {
    group: "watch",
    title: "`onCommit()` calls its listener until it is told to stop",
    needs: "watch",
    async run(store, check) {
      let calls = 0
      const stop = store.onCommit(() => calls++)
      await store.apply([set("k")])
      await until(async () => calls > 0)
      stop()
      await wait(5)
      const before = calls
      await store.apply([set("k")])
      await wait(5)
      check.same(calls, before, "no more")
    },
  },
]

export const changeCases: ReadonlyArray<StoreCase> = [...changes, ...watching]
