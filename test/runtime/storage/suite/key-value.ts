/** Values with an end, conditions, batches and entries. */
import { ended, append, at, badOption, bytes, conflict, get, hex, random, raw, set, type StoreCase, text, until, versionOf } from "./case.ts"
import type { Store } from "../../../../runtime/port/store.ts"

const keysOf = ({ entries }: { readonly entries: ReadonlyArray<{ readonly key: Uint8Array }> }): ReadonlyArray<string | undefined> =>
  entries.map(({ key }) => text(key))
const entriesOf = (
  store: Store,
  prefix = "",
  more: { readonly beyond?: string; readonly countMax?: number; readonly bytesMax?: number; readonly tenant?: string } = {},
) =>
  store.ask({
    ask: "entries",
    ...at(prefix, more.tenant),
    beyond: more.beyond === undefined ? undefined : raw(more.beyond),
    countMax: more.countMax ?? 1_000,
    bytesMax: more.bytesMax ?? 1e9,
  })
const endOf = async (store: Store, name: string) => (await store.ask({ ask: "get", ...at(name) }))?.expiresAtUs
const wide = { min: -(1n << 63n), max: (1n << 63n) - 1n }

const absences: ReadonlyArray<readonly [string, (store: Store) => Promise<unknown>, unknown]> = [
  ["`get`", (store) => store.ask({ ask: "get", ...at("k") }), undefined],
  ["`has`", (store) => store.ask({ ask: "has", ...at("k") }), false],
  ["`list`", (store) => store.ask({ ask: "list", ...at(""), beyond: undefined, countMax: 10 }), ["there"]],
  ["`entries`", async (store) => keysOf(await entriesOf(store)), ["there"]],
  ["`delete`", async (store) => (await store.apply([{ op: "delete", ...at("k") }]))[0], false],
  [
    "`swap` of what is not there",
    async (store) => (await store.apply([{ op: "swap", ...at("k"), version: undefined, value: bytes("x") }]))[0] !== undefined,
    true,
  ],
  ["`require` of nothing", async (store) => (await store.apply([{ op: "require", ...at("k"), version: undefined }, set("done")])).length, 2],
  ["`increment`", async (store) => (await store.apply([{ op: "increment", ...at("k"), delta: 3n, ...wide }]))[0], 3n],
  [
    "`export`",
    async (store) =>
      (await store.ask({ ask: "export", tenant: raw("ada"), table: "key_value", after: undefined, countMax: 10 })).records.map(({ order }) => text(order)),
    ["there"],
  ],
]

const ends: ReadonlyArray<StoreCase> = [
  ...[
    [60_000, 60_001],
    [60_000, 3_600_000],
    [60_000, 315_360_000_000],
  ].map(([short = 0, long = 0]): StoreCase => ({
    group: "ends",
    title: `ends after ${short} and ${long} ms are that far apart, to the µs`,
    async run(store, check) {
      await store.apply([set("short", "v", { ttlMs: short }), set("long", "v", { ttlMs: long })])
      const [a, b] = [await endOf(store, "short"), await endOf(store, "long")]
      check.same((b as number) - (a as number), (long - short) * 1_000, "difference")
      check.same(Number.isSafeInteger(a), true, "whole µs")
    },
  })),
  ...absences.map(([what, ask, wanted]): StoreCase => ({
    group: "ends",
    title: `a value that has ended is absent for ${what}`,
    async run(store, check) {
      await store.apply([set("there")])
      await ended(store, ["k"])
      check.same(await ask(store), wanted, what)
    },
  })),
  {
    group: "ends",
    title: "`swap` and `require` that name the version of a value that has ended do not hold",
    async run(store, check) {
      const [version] = await store.apply([set("k", "v", { ttlMs: 1 })])
      await until(async () => (await get(store, "k")) === undefined)
      check.same(await store.apply([{ op: "swap", ...at("k"), version, value: bytes("x") }]), [undefined], "swap")
      await check.refused(() => store.apply([{ op: "require", ...at("k"), version }]), { code: conflict }, "require")
    },
  },
  {
    group: "ends",
    title: "of more values that have ended than one group removes none is there for whoever writes",
    async run(store, check) {
      const names = Array.from({ length: 600 }, (_, i) => `k${i}`)
      await store.apply(names.map((name) => set(name, "v", { ttlMs: 1 })))
      await until(async () => (await get(store, "k599")) === undefined)
      const answers = await store.apply([
        { op: "delete", ...at("k599") },
        { op: "swap", ...at("k598"), version: undefined, value: bytes("x") },
        { op: "require", ...at("k597"), version: undefined },
        { op: "increment", ...at("k596"), delta: 1n, ...wide },
      ])
      check.same([answers[0], answers[1] !== undefined, answers[3]], [false, true, 1n], "answers")
      check.same(keysOf(await entriesOf(store)), ["k596", "k598"], "there")
    },
  },
  {
    group: "ends",
    title: "`set` without an end clears it",
    async run(store, check) {
      await store.apply([set("k", "v", { ttlMs: 60_000 })])
      check.same(typeof (await endOf(store, "k")), "number", "an end")
      await store.apply([set("k")])
      check.same(await endOf(store, "k"), undefined, "none")
    },
  },
  {
    group: "ends",
    title: "`swap` without an end clears it, with one sets it",
    async run(store, check) {
      const [version] = await store.apply([set("k", "v", { ttlMs: 60_000 })])
      const [next] = await store.apply([{ op: "swap", ...at("k"), version, value: bytes("x") }])
      check.same(await endOf(store, "k"), undefined, "none")
      await store.apply([{ op: "swap", ...at("k"), version: next, value: bytes("y"), ttlMs: 60_000 }])
      check.same(typeof (await endOf(store, "k")), "number", "an end")
    },
  },
  {
    group: "ends",
    title: "a refused `swap` leaves the end as it is",
    async run(store, check) {
      await store.apply([set("k", "v", { ttlMs: 60_000 })])
      const before = await endOf(store, "k")
      await store.apply([{ op: "swap", ...at("k"), version: undefined, value: bytes("x") }])
      check.same(await endOf(store, "k"), before, "end")
    },
  },
  {
    group: "ends",
    title: "`increment` keeps the end, and makes none",
    async run(store, check) {
      await store.apply([set("k", "1", { ttlMs: 60_000 })])
      const before = await endOf(store, "k")
      await store.apply([
        { op: "increment", ...at("k"), delta: 1n, ...wide },
        { op: "increment", ...at("n"), delta: 1n, ...wide },
      ])
      check.same([await endOf(store, "k"), await endOf(store, "n")], [before, undefined], "ends")
      check.same(await get(store, "k"), "2", "sum")
    },
  },
  {
    group: "ends",
    title: "`increment` after the end begins anew, without one",
    async run(store, check) {
      await ended(store, ["7"])
      await store.apply([{ op: "increment", ...at("7"), delta: 1n, ...wide }])
      check.same([await get(store, "7"), await endOf(store, "7")], ["1", undefined], "value and end")
    },
  },
  {
    group: "ends",
    title: "a value lives at least as long as it was given, and no neighbour is touched by its end",
    async run(store, check) {
      const startedMs = performance.now()
      await store.apply([set("k", "v", { ttlMs: 40 }), set("l", "v", { ttlMs: 3_600_000 }), set("m")])
      await until(async () => (await get(store, "k")) === undefined)
      check.same(performance.now() - startedMs >= 39, true, "lived")
      await store.apply([])
      check.same([await get(store, "l"), await get(store, "m")], ["v", "m"], "neighbours")
    },
  },
  {
    group: "ends",
    title: "versions grow over an end",
    async run(store, check) {
      const [before] = await store.apply([set("k", "v", { ttlMs: 1 })])
      await until(async () => (await get(store, "k")) === undefined)
      const [after] = await store.apply([set("k")])
      check.same(after > before, true, `${before} ${after}`)
    },
  },
  ...[0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 315_360_000_001, "5" as unknown as number].map((ttlMs): StoreCase => ({
    group: "ends",
    title: `an end after ${JSON.stringify(ttlMs)} (${String(ttlMs)}) ms is refused, and nothing is written`,
    async run(store, check) {
      await check.refused(() => store.apply([set("k", "v", { ttlMs })]), { code: badOption }, "refused")
      check.same(await get(store, "k"), undefined, "nothing")
    },
  })),
  ...(
    [
      ["tenantKeysMax", { tenantKeysMax: 600 }, Array.from({ length: 600 }, (_, i) => set(`new${i}`, ""))],
      ["tenantBytesMax", { tenantBytesMax: 6_000 }, [set("new", "x".repeat(5_900))]],
      ["totalBytesMax", { totalBytesMax: 6_000 }, [set("new", "x".repeat(5_900), { tenant: "bob" })]],
    ] as const
  ).map(([limit, limits, operations]): StoreCase => ({
    group: "ends",
    title: `what has ended does not count against \`${limit}\`, however much of it`,
    limits: { keyValue: limits },
    async run(store, check) {
      await store.apply(Array.from({ length: 600 }, (_, i) => set(`${i}`, "", { ttlMs: 500 })))
      await until(async () => (await entriesOf(store)).entries.length === 0)
      check.same((await store.apply(operations)).length, operations.length, "room")
    },
  })),
  {
    group: "ends",
    title: "`keepsEnd` gives a value the end of the one before it, if that has one, and goes with no `ttlMs`",
    async run(store, check) {
      const keep = (name: string) => ({ ...set(name, "kept"), keepsEnd: true as const })
      await store.apply([set("ends", "v", { ttlMs: 3_600_000 }), set("stays")])
      const end = (await store.ask({ ask: "get", ...at("ends") }))?.expiresAtUs
      await ended(store, ["over"])
      await store.apply([keep("ends"), keep("stays"), keep("new"), keep("over")])
      const found = await Promise.all(["ends", "stays", "new", "over"].map((name) => store.ask({ ask: "get", ...at(name) })))
      check.same(
        found.map((each) => [text(each?.value), each?.expiresAtUs]),
        [["kept", end], ...Array.from({ length: 3 }, () => ["kept", undefined])],
        "ends",
      )
      check.same(typeof end, "number", "an end")
      await check.refused(() => store.apply([{ ...keep("ends"), ttlMs: 1 }]), { code: badOption }, "both")
    },
  },
  {
    group: "ends",
    title: "rows that have ended are removed by later groups, each a change",
    async run(store, check) {
      const from = await store.ask({ ask: "revision", tenant: raw("ada") })
      await store.apply([set("a", "v", { ttlMs: 1 }), set("b", "v", { ttlMs: 1 }), set("c")])
      let kinds: ReadonlyArray<string> = []
      await until(async () => {
        await store.apply([])
        const { changes } = await store.ask({ ask: "changes", ...at(""), after: from, countMax: 10 })
        kinds = changes.map(({ kind, key }) => `${kind} ${text(key)}`)
        return kinds.length >= 5
      })
      check.same(kinds.slice(0, 3), ["set a", "set b", "set c"], "written")
      check.same(kinds.slice(3).toSorted(), ["expire a", "expire b"], "removed")
    },
  },
]

const holds = (name: string, version: number | undefined) => ({ op: "require" as const, ...at(name), version })

const conditions: ReadonlyArray<StoreCase> = [
  {
    group: "conditions",
    title: "a batch whose condition holds is kept, of a version and of absence",
    async run(store, check) {
      const [version] = await store.apply([set("k")])
      check.same((await store.apply([holds("k", version), holds("no", undefined), set("l")])).slice(0, 2), [undefined, undefined], "answers")
      check.same(await get(store, "l"), "l", "kept")
    },
  },
  ...(
    [
      ["another version", (version: number) => version + 1],
      ["absence of what is there", () => undefined],
      ["version 0", () => 0],
      ["a version that was", (version: number) => version - 1],
    ] as const
  ).map(([what, wanted]): StoreCase => ({
    group: "conditions",
    title: `a condition of ${what} keeps nothing of its batch`,
    async run(store, check) {
      await store.apply([set("k", "first")])
      const [version] = await store.apply([set("k")])
      const revision = await store.ask({ ask: "revision", tenant: raw("ada") })
      await check.refused(
        () => store.apply([set("before"), append("log", "before"), holds("k", wanted(version)), set("after")]),
        { code: conflict, reason: { _tag: "Conflict", table: "key_value", key: "k" } },
        "refused",
      )
      check.same([await get(store, "before"), await get(store, "after"), await get(store, "k")], [undefined, undefined, "k"], "nothing")
      check.same((await store.ask({ ask: "log", ...at("log"), after: 0n, countMax: 1, bytesMax: 1 })).last, 0n, "no entry")
      check.same((await store.ask({ ask: "changes", ...at(""), after: revision, countMax: 9 })).changes, [], "no change")
    },
  })),
  {
    group: "conditions",
    title: "a condition is held against what the operations before it left",
    async run(store, check) {
      await check.refused(() => store.apply([set("k"), holds("k", undefined)]), { code: conflict }, "there by now")
      check.same((await store.apply([set("k"), { op: "delete", ...at("k") }, holds("k", undefined), set("l")])).length, 4, "gone by now")
    },
  },
  {
    group: "conditions",
    title: "a condition alone writes nothing",
    async run(store, check) {
      const [version] = await store.apply([set("k")])
      const before = await store.ask({ ask: "changes", ...at(""), after: version, countMax: 9 })
      await store.apply([holds("k", version)])
      check.same((await store.ask({ ask: "changes", ...at(""), after: version, countMax: 9 })).changes, before.changes, "changes")
    },
  },
  {
    group: "conditions",
    title: "of batches with one condition at the same moment exactly one is kept",
    async run(store, check) {
      const [version] = await store.apply([set("k", "0")])
      const results = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => store.apply([holds("k", version), set("k", String(i)), set(`by${i}`)])))
      check.same(results.filter(({ status }) => status === "fulfilled").length, 1, "one")
      check.same(
        results.flatMap((result) => (result.status === "rejected" ? [(result.reason as { readonly code: string }).code] : [])),
        Array.from({ length: 19 }, () => conflict),
        "others",
      )
      check.same((await entriesOf(store, "by")).entries.length, 1, "one's rows")
    },
  },
  {
    group: "conditions",
    title: "a condition on another tenant's key of the same name says nothing",
    async run(store, check) {
      await store.apply([set("k", "v", { tenant: "bob" })])
      check.same((await store.apply([holds("k", undefined), set("k")])).length, 2, "held")
    },
  },
]

const refusals: ReadonlyArray<readonly [string, Parameters<Store["apply"]>[0][number]]> = [
  ["a value over its limit", set("z", "x".repeat(101))],
  ["a counter that is none", { op: "increment", ...at("text"), delta: 1n, ...wide }],
  ["an event over its limit", { op: "publish", ...at("topic"), payload: new Uint8Array(101) }],
  ["an entry over its limit", append("log", "x".repeat(101))],
  ["an entry with another offset", append("log", "x", { expect: 9n })],
  ["an object over its limit", { op: "link", ...at("blob"), digest: new Uint8Array(32), bytes: 101 }],
  ["a digest that is none", { op: "link", ...at("blob"), digest: new Uint8Array(31), bytes: 1 }],
  ["a record of no table", { op: "import", tenant: raw("ada"), table: "none", record: { order: raw("k"), fields: {} }, revision: 1 }],
]

const batches: ReadonlyArray<StoreCase> = [
  ...refusals.map(([what, operation]): StoreCase => ({
    group: "batches",
    title: `${what} keeps nothing of its batch, in any table, and nothing of its quotas`,
    limits: {
      keyValue: { valueBytesMax: 100, tenantKeysMax: 3 },
      event: { payloadBytesMax: 100, tenantTopicsMax: 1 },
      log: { payloadBytesMax: 100, tenantLogsMax: 1 },
      blob: { objectBytesMax: 100, tenantObjectsMax: 1 },
    },
    async run(store, check) {
      await store.apply([set("text", "text")])
      const good = [
        set("k"),
        { op: "publish" as const, ...at("topic"), payload: bytes("e") },
        append("log", "one"),
        { op: "link" as const, ...at("blob"), digest: new Uint8Array(32).fill(1), bytes: 1 },
      ]
      for (let i = 0; i < 3; i++) await check.refused(() => store.apply([...good, operation]), {}, "refused")
      check.same(await get(store, "k"), undefined, "no key")
      check.same((await store.ask({ ask: "events", ...at("topic"), after: 0n, countMax: 9 })).events, [], "no event")
      check.same((await store.ask({ ask: "log", ...at("log"), after: 0n, countMax: 9, bytesMax: 9 })).entries, [], "no entry")
      check.same(await store.ask({ ask: "blob", ...at("blob") }), undefined, "no reference")
      const [, event, offset] = await store.apply(good)
      check.same([event, offset], [1n, 1n], "numbers begin")
    },
  })),
  {
    group: "batches",
    title: "answers come in the order of the operations, and an empty batch has none",
    async run(store, check) {
      const [a, b, c, d] = await store.apply([
        set("k", "1"),
        { op: "increment", ...at("k"), delta: 1n, ...wide },
        { op: "delete", ...at("k") },
        append("l", "x"),
      ])
      check.same([typeof a, b, c, d], ["number", 2n, true, 1n], "answers")
      check.same((await store.apply([])).length, 0, "none")
    },
  },
  {
    group: "batches",
    title: "a batch of 500 operations on one key leaves the last, and its versions rise",
    async run(store, check) {
      const versions = await store.apply(Array.from({ length: 500 }, (_, i) => set("k", String(i))))
      check.same(
        versions.every((version, i) => i === 0 || version > (versions[i - 1] as number)),
        true,
        "rising",
      )
      check.same([await get(store, "k"), await versionOf(store, "k")], ["499", versions.at(-1)], "last")
    },
  },
  {
    group: "batches",
    title: "what one batch is refused for concerns none that comes at the same moment",
    limits: { keyValue: { valueBytesMax: 10 } },
    async run(store, check) {
      const results = await Promise.allSettled(
        Array.from({ length: 60 }, (_, i) => store.apply([set(`a${i}`), set(`b${i}`, i % 3 === 0 ? "x".repeat(11) : "x")])),
      )
      check.same(
        results.map(({ status }) => status),
        results.map((_, i) => (i % 3 === 0 ? "rejected" : "fulfilled")),
        "each its own",
      )
      check.same((await entriesOf(store)).entries.length, 80, "kept")
    },
  },
]

/** Bytes that are no text, and text whose order other orders get wrong. */
const names = [
  "",
  "\u0000",
  "A",
  "a",
  "a\u0000",
  "a\u0000b",
  "aa",
  "ab",
  "b",
  "\u0080",
  "\u00c3\u00a9",
  "\u00fe",
  "\u00ff",
  "\u00ff\u00ff",
  "\u00ff\u00ff\u0001",
]
const ordered = names.toSorted((a, b) => Buffer.compare(Buffer.from(a, "latin1"), Buffer.from(b, "latin1")))

const entries: ReadonlyArray<StoreCase> = [
  {
    group: "entries",
    title: "`entries` has keys of any bytes in memcmp order, with what `get` says of them",
    async run(store, check) {
      await store.apply(names.map((name, i) => set(name, `v${i}`, i % 2 === 0 ? {} : { ttlMs: 60_000 })))
      const found = await entriesOf(store)
      check.same(keysOf(found), ordered, "order")
      check.same(found.isComplete, true, "all")
      for (const { key, ...rest } of found.entries) check.same({ ...(await store.ask({ ask: "get", tenant: raw("ada"), key })) }, rest, hex(key))
    },
  },
  ...["", "a", "a\u0000", "\u00ff", "\u00ff\u00ff", "\u00c3", "none"].map((prefix): StoreCase => ({
    group: "entries",
    title: `\`entries\` and \`changes\` find what starts with ${JSON.stringify(prefix)}`,
    async run(store, check) {
      const after = await store.ask({ ask: "revision", tenant: raw("ada") })
      await store.apply(names.map((name) => set(name)))
      const wanted = ordered.filter((name) => name.startsWith(prefix))
      check.same(keysOf(await entriesOf(store, prefix)), wanted, "entries")
      const { changes } = await store.ask({ ask: "changes", ...at(prefix), after, countMax: 100 })
      check.same(
        changes.map(({ key }) => text(key)),
        names.filter((name) => name.startsWith(prefix)),
        "changes",
      )
    },
  })),
  ...[1, 2, 7, 100].map((countMax): StoreCase => ({
    group: "entries",
    title: `pages of ${countMax} make the whole, none twice`,
    async run(store, check) {
      await store.apply(names.map((name) => set(name)))
      const found: Array<string> = []
      for (let isComplete = false; !isComplete;) {
        const page = await entriesOf(store, "", { countMax, ...(found.length === 0 ? {} : { beyond: found.at(-1) as string }) })
        check.same(page.entries.length <= countMax, true, "at most")
        found.push(...(keysOf(page) as ReadonlyArray<string>))
        isComplete = page.isComplete
      }
      check.same(found, ordered, "all")
    },
  })),
  ...(
    [
      [0, 1],
      [11, 1],
      [22, 2],
      [32, 2],
      [33, 3],
      [Number.NaN, 1],
      [-1, 1],
    ] as const
  ).map(([bytesMax, count]): StoreCase => ({
    group: "entries",
    title: `\`bytesMax\` ${bytesMax} gives ${count} of entries with 11 bytes`,
    async run(store, check) {
      await store.apply(["a", "b", "c", "d"].map((name) => set(name, "0123456789")))
      const page = await entriesOf(store, "", { bytesMax })
      check.same([page.entries.length, page.isComplete], [count, false], "entries")
    },
  })),
  ...[0, -5, Number.NaN].map((countMax): StoreCase => ({
    group: "entries",
    title: `\`countMax\` ${countMax} gives none and says that there are more`,
    async run(store, check) {
      await store.apply([set("a")])
      const { entries: none, isComplete } = await entriesOf(store, "", { countMax })
      check.same([none, isComplete], [[], false], "none")
      check.same((await entriesOf(store, "x", { countMax })).isComplete, true, "nothing there")
    },
  })),
  {
    group: "entries",
    title: "`entries` of one tenant are not another's, whatever the names",
    async run(store, check) {
      const tenants = ["a", "ab", "b", "a%2F", "a/b"]
      await Promise.all(tenants.map((tenant) => store.apply(["x", "bx", "/x"].map((name) => set(name, tenant, { tenant })))))
      for (const tenant of tenants) {
        const found = await entriesOf(store, "", { tenant })
        check.same(
          found.entries.map(({ key, value }) => `${text(key)} ${text(value)}`),
          ["/x", "bx", "x"].map((name) => `${name} ${tenant}`),
          tenant,
        )
      }
    },
  },
  ...[1, 2, 3, 4, 5].map((seed): StoreCase => ({
    group: "entries",
    title: `random operations of three tenants leave what a plain map says (seed ${seed})`,
    async run(store, check) {
      const next = random(seed * 7_919)
      const models = new Map(["a", "ab", "b"].map((tenant) => [tenant, new Map<string, { readonly value: string; readonly version: number }>()]))
      for (let i = 0; i < 150; i++) {
        const tenant = ["a", "ab", "b"][next(3)] as string
        const model = models.get(tenant) as Map<string, { readonly value: string; readonly version: number }>
        const name = names[next(6)] as string
        const [what, value] = [next(5), String(i)]
        const known = model.get(name)
        if (what === 0) {
          const [isThere] = await store.apply([{ op: "delete", ...at(name, tenant) }])
          check.same(isThere, model.delete(name), "delete")
        } else if (what === 1) {
          const [version] = await store.apply([{ op: "swap", ...at(name, tenant), version: next(2) === 0 ? known?.version : 1, value: bytes(value) }])
          if (version !== undefined) model.set(name, { value, version })
        } else {
          const [version] = await store.apply([set(name, value, { tenant })])
          check.same(version > (known?.version ?? 0), true, "version")
          model.set(name, { value, version })
        }
      }
      for (const [tenant, model] of models) {
        const found = await entriesOf(store, "", { tenant })
        check.same(
          found.entries.map(({ key, value, version }) => [text(key), text(value), version]),
          ordered.flatMap((name) => (model.has(name) ? [[name, model.get(name)?.value, model.get(name)?.version]] : [])),
          tenant,
        )
      }
    },
  })),
]

export const keyValueCases: ReadonlyArray<StoreCase> = [...ends, ...conditions, ...batches, ...entries]
