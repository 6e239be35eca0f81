/** Usage records. */
import type { Store } from "../../../../runtime/port/store.ts"
import { dayOf, dayText, msOf, type UsageAnswer, type UsageColumns, type UsageEntry, type UsagePart } from "../../../../runtime/port/usage.ts"
import { digestOf, eraseTenant, recordsOf } from "../../../../runtime/storage/record.ts"
import { packUsage } from "../../../../runtime/storage/usage.ts"
import { digest, idAt, record } from "../usage-record.ts"
import { badOption, overLimit, raw, type StoreCase } from "./case.ts"

const dayMs = 86_400_000
const startMs = Date.now() - 3_600_000
const entry = (n: number, given: Partial<UsageEntry> = {}, ms = startMs): UsageEntry => ({ ...record(), id: idAt(ms + n, n), ...given })
const put = async (store: Store, entries: ReadonlyArray<UsageEntry>, tenant = "ada"): Promise<ReadonlyArray<UsageAnswer>> =>
  (await store.apply([{ op: "record", tenant: raw(tenant), records: packUsage(entries) }]))[0]
const forget = async (store: Store, beforeId: Uint8Array, countMax = 1_000, tenant = "ada"): Promise<number> =>
  (await store.apply([{ op: "forget", tenant: raw(tenant), beforeId, countMax }]))[0]
const all = (
  store: Store,
  more: { readonly fromMs?: number; readonly toMs?: number; readonly after?: Uint8Array; readonly countMax?: number } = {},
  tenant = "ada",
) => store.ask({ ask: "usageRecords", tenant: raw(tenant), fromMs: 0, toMs: Infinity, countMax: 1e6, ...more })
const numbers = (entries: ReadonlyArray<UsageEntry>): ReadonlyArray<number> => entries.map(({ id }) => msOf(id) - startMs)
const counts = async (store: Store, by: "tenant" | "plugin" | "day" = "tenant", more: object = {}): Promise<ReadonlyArray<string>> =>
  (await store.ask({ ask: "usage", by, ...more })).map(({ key, calls, failed, wallNs }) => `${key} ${calls} ${failed} ${wallNs}`)

/** What differs, as words of a title. */
const textOf = (given: object): string => JSON.stringify(given, (_, value: unknown) => (typeof value === "bigint" ? `${value}n` : value)).replaceAll('"', "")
const first = entry(1, { wallNs: 5, fuel: 7n, hostCalls: { log: 1, "kv:read:*": 2 } })

const cases: ReadonlyArray<StoreCase> = [
  {
    group: "usage",
    title: "`record` keeps a record once, however often it is sent, in one operation, one batch or many",
    async run(store, check) {
      check.same(await put(store, [entry(1), entry(2), entry(1)]), ["new", "new", "known"], "one operation")
      const again = { op: "record" as const, tenant: raw("ada"), records: packUsage([entry(2), entry(3)]) }
      check.same(
        await store.apply([again, again]),
        [
          ["known", "new"],
          ["known", "known"],
        ],
        "one batch",
      )
      check.same(
        await Promise.all(Array.from({ length: 5 }, () => put(store, [entry(4)]))).then((found) => found.flat().filter((each) => each === "new").length),
        1,
        "many",
      )
      check.same(await counts(store), ["ada 4 0 4000"], "sums")
    },
  },
  ...(
    [
      [{ wallNs: 6 }, "conflict"],
      [{ fuel: 8n }, "conflict"],
      [{ fuel: 0n }, "conflict"],
      [{ plugin: digest(2) }, "conflict"],
      [{ export: "other" }, "conflict"],
      [{ outcome: "guest" }, "conflict"],
      [{ memoryPeakBytes: 1 }, "conflict"],
      [{ bytesIn: 0 }, "conflict"],
      [{ bytesOut: 0 }, "conflict"],
      [{ dropped: 1 }, "conflict"],
      [{ hostCalls: { log: 2, "kv:read:*": 2 } }, "conflict"],
      [{ hostCalls: { log: 1 } }, "conflict"],
      [{ hostCalls: { "kv:read:*": 2, log: 1 } }, "known"],
      [{ tenant: "somebody" }, "known"],
    ] as const
  ).map(([given, wanted]): StoreCase => ({
    group: "usage",
    title: `a record sent again with ${textOf(given)} is ${wanted}`,
    async run(store, check) {
      await put(store, [first])
      check.same(await put(store, [entry(2), { ...first, ...given }, entry(3)]), ["new", wanted, "new"], "answers")
      check.same((await all(store))[0]?.wallNs, 5, "the first stays")
      check.same(await counts(store), ["ada 3 0 2005"], "sums")
    },
  })),
  {
    group: "usage",
    title: "a record comes back as it was sent",
    async run(store, check) {
      const sent = [
        { ...first, fuel: 0xffff_ffff_ffff_ffffn, wallNs: Number.MAX_SAFE_INTEGER, hostCalls: { "a\u0000b": 1, ü: 2, __proto: 3 } },
        entry(2, { outcome: "STELE-LIM-0001", export: "", fuel: 0n }),
        entry(3, { dropped: 12 }),
      ]
      await put(store, sent)
      const found = await all(store)
      check.same(
        found.map(({ id, ...rest }) => ({ id: Buffer.from(id).toString("hex"), ...rest })),
        sent.map(({ id, ...rest }) => ({ id: Buffer.from(id).toString("hex"), ...rest })),
        "records",
      )
    },
  },
  {
    group: "usage",
    title: "records may come late and in any order, and each is of the day of its id",
    async run(store, check) {
      for (const days of [3, 0, 300, 1]) check.same(await put(store, [entry(0, {}, startMs - days * dayMs)]), ["new"], `${days} days late`)
      const keys = [300, 3, 1, 0].map((days) => `${dayText(dayOf(idAt(startMs - days * dayMs)))} 1 0 1000`)
      check.same(await counts(store, "day"), keys, "days")
      const today = dayOf(idAt(startMs))
      check.same(await counts(store, "day", { fromDay: today - 3, toDay: today - 1 }), keys.slice(1, 3), "from and to")
      check.same(await put(store, [entry(0, {}, startMs + 3 * dayMs), entry(1, {}, Date.now() + 3_600_000)]), ["ahead", "new"], "ahead")
    },
  },
  {
    group: "usage",
    title: "sums are by tenant, plugin and day, of one or all, and of nobody they are none",
    async run(store, check) {
      await put(store, [entry(1), entry(2, { plugin: digest(2), outcome: "guest" })])
      await put(store, [entry(1, { plugin: digest(2) })], "bob")
      check.same(await counts(store), ["ada 2 1 2000", "bob 1 0 1000"], "tenants")
      check.same(await counts(store, "plugin"), [`${digest(1)} 1 0 1000`, `${digest(2)} 2 1 2000`], "plugins")
      check.same(await counts(store, "plugin", { tenant: raw("bob") }), [`${digest(2)} 1 0 1000`], "of one")
      check.same(await counts(store, "tenant", { plugin: digest(1) }), ["ada 1 0 1000"], "of one plugin")
      check.same(await counts(store, "tenant", { tenant: raw("eve") }), [], "nobody")
      check.same(await counts(store, "tenant", { plugin: digest(9) }), [], "no plugin")
    },
  },
  {
    group: "usage",
    title: "sums are exact beyond 64 bits",
    async run(store, check) {
      const most = 0xffff_ffff_ffff_ffffn
      for (let round = 0; round < 3; round++)
        await put(
          store,
          [1, 2].map((n) => entry(round * 2 + n, { fuel: most, bytesIn: Number.MAX_SAFE_INTEGER })),
        )
      const [found] = await store.ask({ ask: "usage", by: "tenant" })
      check.same([found?.fuel, found?.bytesIn], [6n * most, 6n * BigInt(Number.MAX_SAFE_INTEGER)], "sums")
    },
  },
  {
    group: "usage",
    title: "`usageRecords` gives a time's records in pages, without the first ms after it",
    async run(store, check) {
      await put(
        store,
        [5, 1, 4, 2, 3].map((n) => entry(n)),
      )
      check.same(numbers(await all(store)), [1, 2, 3, 4, 5], "all")
      check.same(numbers(await all(store, { fromMs: startMs + 2, toMs: startMs + 4 })), [2, 3], "range")
      check.same(numbers(await all(store, { countMax: 2 })), [1, 2], "page")
      check.same(numbers(await all(store, { after: idAt(startMs + 2, 2), countMax: 2 })), [3, 4], "next page")
      check.same(numbers(await all(store, { after: idAt(startMs + 1, 1), fromMs: startMs + 4 })), [4, 5], "after what the range leaves out")
      check.same(numbers(await all(store, { countMax: 0 })), [], "none")
    },
  },
  {
    group: "usage",
    title: "`usageSums` adds a time's records up by plugin, export and outcome, exactly, in parts that add up to the whole",
    async run(store, check) {
      const most = 2n ** 64n - 1n
      await put(store, [
        entry(1, { wallNs: 5, fuel: 7n, hostCalls: { log: 1, "kv:read:*": 2 } }),
        entry(2, { wallNs: 2 ** 52 + 1, memoryPeakBytes: 2 ** 40 + 1, fuel: most, bytesIn: Number.MAX_SAFE_INTEGER }),
        entry(3, { wallNs: 2 ** 52 + 1, memoryPeakBytes: 2 ** 40 + 1, fuel: most, bytesIn: Number.MAX_SAFE_INTEGER, bytesOut: 9 }),
        entry(4, { outcome: "guest" }),
        entry(5, { export: "other", plugin: digest(2) }),
        entry(6, { dropped: 12 }),
      ])
      await put(store, [entry(1, { wallNs: 99 })], "bob")
      const part = (more: object = {}) => store.ask({ ask: "usageSums", tenant: raw("ada"), fromMs: 0, toMs: Infinity, countMax: 1e6, ...more })
      const told = ({ kinds }: UsagePart) => kinds.map(({ calls, export: name, outcome, wallNs }) => `${name} ${outcome} ${calls} ${wallNs}`)
      const whole = await part()
      const entries = await all(store)
      /** The plainest way to the same sums. */
      const expected = [...Map.groupBy(entries, ({ plugin, export: name, outcome }) => `${plugin}\n${name}\n${outcome}`)]
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([, of]) => {
          const calls = of.filter(({ dropped }) => dropped === undefined)
          const sum = (each: (entry: UsageEntry) => number | bigint) => calls.reduce((total, one) => total + BigInt(each(one)), 0n)
          const [{ plugin, export: name, outcome }] = of as [UsageEntry]
          return {
            plugin,
            export: name,
            outcome,
            calls: BigInt(calls.length),
            dropped: of.reduce((total, { dropped = 0 }) => total + BigInt(dropped), 0n),
            wallNs: sum(({ wallNs }) => wallNs),
            fuel: sum(({ fuel = 0n }) => fuel),
            byteNs: calls.reduce((total, { wallNs, memoryPeakBytes }) => total + BigInt(wallNs) * BigInt(memoryPeakBytes), 0n),
            bytesIn: sum(({ bytesIn }) => bytesIn),
            bytesOut: sum(({ bytesOut }) => bytesOut),
            hostCalls: calls.reduce((total, { hostCalls }) => total + Object.values(hostCalls).reduce((all, one) => all + BigInt(one), 0n), 0n),
          }
        })
      check.same(whole, { kinds: expected, last: undefined }, "all")
      check.same(expected.length, 3, "kinds")
      check.same(
        told(await part({ fromMs: startMs + 4, toMs: startMs + 5 })),
        told({ kinds: expected.filter(({ outcome }) => outcome === "guest"), last: undefined }),
        "range",
      )
      let after: Uint8Array | undefined
      const parts: Array<UsagePart> = []
      do {
        parts.push(await part({ countMax: 4, ...(after === undefined ? {} : { after }) }))
        after = parts.at(-1)?.last
      } while (after !== undefined)
      check.same(parts.length, 2, "parts")
      const total = (of: ReadonlyArray<UsagePart>) => of.flatMap(({ kinds }) => kinds).reduce((sum, { byteNs, dropped }) => sum + byteNs + dropped, 0n)
      check.same(total(parts), total([whole]), "parts add up")
      check.same(await part({ countMax: 0 }), { kinds: [], last: undefined }, "none")
    },
  },
  {
    group: "usage",
    title: "`usageColumns` has what `usageRecords` has, number for number, in pages that follow one another",
    async run(store, check) {
      const most = 2n ** 64n - 1n
      await put(store, [
        entry(1, { wallNs: 5, fuel: 7n, hostCalls: { log: 1, "kv:read:*": 2 } }),
        entry(2, { wallNs: 2 ** 52 + 1, memoryPeakBytes: 2 ** 40 + 1, fuel: most, bytesIn: Number.MAX_SAFE_INTEGER }),
        entry(3, { fuel: 2n ** 53n - 1n, bytesOut: 9 }),
        entry(4, { fuel: 2n ** 32n + 5n, outcome: "guest" }),
        entry(5, { export: "other", plugin: digest(2) }),
        entry(6, { dropped: 12 }),
      ])
      await put(store, [entry(1, { wallNs: 99 })], "bob")
      const page = (more: object = {}) => store.ask({ ask: "usageColumns", tenant: raw("ada"), fromMs: 0, toMs: Infinity, countMax: 1e6, ...more })
      const rowsOf = ({ kinds, kind, ...of }: UsageColumns) =>
        Array.from(kind, (place, row) => ({
          id: of.ids.slice(16 * row, 16 * row + 16),
          ...kinds[place],
          ...{ dropped: of.dropped[row], wallNs: of.wallNs[row], fuel: of.fuel[row], memoryPeakBytes: of.memoryPeakBytes[row] },
          ...{ bytesIn: of.bytesIn[row], bytesOut: of.bytesOut[row], hostCalls: of.hostCalls[row] },
        }))
      const expected = (await all(store)).map(({ id, plugin, export: name, outcome, dropped = 0, fuel = 0n, hostCalls, ...of }) => ({
        ...{ id, plugin, export: name, outcome, dropped },
        ...(dropped > 0
          ? { wallNs: 0, fuel: 0n, memoryPeakBytes: 0, bytesIn: 0, bytesOut: 0, hostCalls: 0 }
          : {
              ...{ wallNs: of.wallNs, fuel, memoryPeakBytes: of.memoryPeakBytes, bytesIn: of.bytesIn, bytesOut: of.bytesOut },
              hostCalls: Object.values(hostCalls).reduce((sum, one) => sum + one, 0),
            }),
      }))
      const whole = await page()
      check.same(rowsOf(whole), expected, "all")
      check.same([whole.kinds.length, whole.last], [3, undefined], "kinds")
      check.same(rowsOf(await page({ fromMs: startMs + 2, toMs: startMs + 4 })), expected.slice(1, 3), "range")
      const pages: Array<UsageColumns> = []
      for (let after: Uint8Array | undefined, isFirst = true; isFirst || after !== undefined; isFirst = false) {
        const next = await page({ countMax: 4, ...(after === undefined ? {} : { after }) })
        pages.push(next)
        after = next.last
      }
      check.same(pages.flatMap(rowsOf), expected, "pages")
      check.same(rowsOf(await page({ countMax: 0 })), [], "none")
    },
  },
  {
    group: "usage",
    title: "`forget` removes the oldest up to its count, leaves the sums, and nothing as old is taken again",
    async run(store, check) {
      await put(
        store,
        [1, 2, 3, 4, 5].map((n) => entry(n)),
      )
      check.same(await forget(store, idAt(startMs + 4), 2), 2, "two")
      check.same(await forget(store, idAt(startMs + 4)), 1, "the rest below")
      check.same(await forget(store, idAt(startMs + 4)), 0, "none left")
      check.same(numbers(await all(store)), [4, 5], "left")
      check.same(await counts(store), ["ada 5 0 5000"], "sums")
      check.same(
        await put(store, [entry(1), entry(0), entry(3, { wallNs: 1 }), entry(4), entry(4, { wallNs: 1 }), entry(6)]),
        ["late", "late", "late", "known", "conflict", "new"],
        "again",
      )
      check.same(await put(store, [entry(1)], "bob"), ["new"], "another tenant's")
    },
  },
  {
    group: "usage",
    title: "an id of one tenant is nobody else's",
    async run(store, check) {
      check.same(await put(store, [entry(1)]), ["new"], "ada")
      check.same(await put(store, [entry(1, { wallNs: 7 })], "bob"), ["new"], "bob")
      check.same(
        (await all(store, {}, "bob")).map(({ wallNs }) => wallNs),
        [7],
        "records",
      )
      await eraseTenant(store, raw("ada"), 1)
      check.same(await counts(store), ["bob 1 0 7"], "erased")
      check.same(
        (await store.ask({ ask: "usageRecords", tenant: raw("bob"), fromMs: 0, toMs: Infinity, countMax: 10 })).length,
        1,
        "names of one are not another's",
      )
      check.same(await put(store, [entry(1)]), ["new"], "erased is not forgotten")
    },
  },
  {
    group: "usage",
    title: "`usageTenants` counts what is there, and knows the oldest",
    async run(store, check) {
      await put(
        store,
        [3, 1, 2].map((n) => entry(n)),
      )
      await put(store, [entry(9)], "bob")
      await forget(store, idAt(startMs + 100), 10, "bob")
      const found = await store.ask({ ask: "usageTenants" })
      check.same(
        found.map(({ tenant, records, oldest }) => [Buffer.from(tenant).toString(), records, oldest === undefined ? undefined : msOf(oldest) - startMs]),
        [["ada", 3, 1]],
        "tenants",
      )
      check.same((found[0]?.bytes ?? 0) > 100, true, "bytes")
    },
  },
  {
    group: "usage",
    title: "a tenant's usage is the same where it is imported, twice over, and goes on there",
    async run(store, check, open) {
      const other = await open()
      await put(other, [entry(77, { export: "x", hostCalls: { y: 1 } })], "bob")
      await put(
        store,
        Array.from({ length: 30 }, (_, n) =>
          entry(n, { plugin: digest(n % 7), hostCalls: n % 2 === 0 ? { log: n } : { a: 1, log: 2 } }, startMs - (n % 4) * dayMs),
        ),
      )
      await forget(store, idAt(startMs - 2 * dayMs), 5)
      for (let round = 0; round < 2; round++)
        for await (const each of recordsOf(store, raw("ada"), "usage"))
          await other.apply([{ op: "import", tenant: raw("ada"), table: "usage", record: each, revision: 1 }])
      check.same(await digestOf(other, raw("ada"), "usage"), await digestOf(store, raw("ada"), "usage"), "digests")
      check.same(await counts(other, "plugin", { tenant: raw("ada") }), await counts(store, "plugin"), "sums")
      check.same(await put(other, [entry(0, {}, startMs - 200 * dayMs), entry(500)]), ["late", "new"], "goes on")
    },
  },
  ...(
    [
      ["nothing", new Uint8Array(0)],
      ["a count without its names", Uint8Array.of(200, 1)],
      ["a record that ends too early", packUsage([entry(1)]).subarray(0, -1)],
      ["a record and a half", Buffer.concat([packUsage([entry(1)]), Uint8Array.of(1)])],
      ["an id of no version", packUsage([{ ...entry(1), id: new Uint8Array(16) }])],
    ] as const
  ).map(([what, records]): StoreCase => ({
    group: "usage",
    title: `\`record\` refuses ${what}`,
    async run(store, check) {
      await check.refused(() => store.apply([{ op: "record", tenant: raw("ada"), records }]), { code: badOption }, "refused")
      check.same(await counts(store), [], "nothing is kept")
    },
  })),
  {
    group: "usage",
    title: "`record` refuses more records, longer names and more bytes than the limits say",
    limits: { usage: { recordsMax: 2, nameBytesMax: 80, totalBytesMax: 300 } },
    async run(store, check) {
      const refused = (entries: ReadonlyArray<UsageEntry>, what: string) => check.refused(() => put(store, entries), { code: overLimit }, what)
      await refused(
        [1, 2, 3].map((n) => entry(n)),
        "records",
      )
      await refused([entry(1, { export: "x".repeat(81) })], "name")
      for (let n = 0; n < 3; n++) await put(store, [entry(n)])
      await refused([entry(8), entry(9)], "bytes")
      check.same(await counts(store), ["ada 3 0 3000"], "sums")
    },
  },
]

export const usageCases: ReadonlyArray<StoreCase> = cases.map((each) => ({ ...each, needs: "usage" }))
