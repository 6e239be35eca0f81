/** Tenants as a whole: exported, imported into another store, compared, erased. */
import type { Operation, Store } from "../../../../runtime/port/store.ts"
import type { TenantRecord } from "../../../../runtime/port/tenant.ts"
import { digestOf, eraseTenant, orderOf, recordsOf } from "../../../../runtime/storage/record.ts"
import { append, at, badOption, badRecord, bytes, compacted, ended, get, hex, overLimit, raw, set, type StoreCase, text, until } from "./case.ts"

const ada = raw("ada")
const publish = (name: string, payload: string, tenant?: string) => ({ op: "publish" as const, ...at(name, tenant), payload: bytes(payload) })
const link = (name: string, byte: number, tenant?: string) => ({ op: "link" as const, ...at(name, tenant), digest: new Uint8Array(32).fill(byte), bytes: byte })

/** Something of everything that a tenant can have. */
async function furnish(store: Store, tenant = "ada"): Promise<void> {
  await store.apply([set("", "empty key", { tenant }), set("\u00ff\u0000", "odd", { tenant }), set("gone", "x", { tenant }), set("e", "", { tenant })])
  await store.apply([set("ends", "v", { ttlMs: 3_600_000, tenant }), { op: "delete", ...at("gone", tenant) }, set("", "again", { tenant })])
  for (let i = 1; i <= 5; i++) await store.apply([append("log", `entry ${i}`, { tenant }), publish("topic", `event ${i}`, tenant)])
  await store.apply([append("emptied", "x", { tenant }), append("", "x", { tenant }), publish("\u0000", "", tenant)])
  await store.apply([
    { op: "trim", ...at("log", tenant), before: 3n },
    { op: "trim", ...at("emptied", tenant), before: 9n },
  ])
  await store.apply([link("a", 1, tenant), link("b", 2, tenant), link("a", 3, tenant)])
}

const tablesOf = (store: Store): Promise<ReadonlyArray<string>> => store.ask({ ask: "tables" })
const digests = async (store: Store, tenant = ada): Promise<Record<string, string>> =>
  Object.fromEntries(await Promise.all((await tablesOf(store)).map(async (table) => [table, (await digestOf(store, tenant, table)).digest] as const)))
const countOf = async (store: Store, tenant = ada): Promise<number> => {
  let count = 0
  for (const table of await tablesOf(store)) count += (await digestOf(store, tenant, table)).records
  return count
}

/** All of a tenant from one store to another, so many records a batch. */
async function copy(from: Store, to: Store, { tenant = ada, pageMax = 100, isRepeated = false } = {}): Promise<void> {
  for (const table of await tablesOf(from))
    for (let after: Uint8Array | undefined; ;) {
      const page = await from.ask({ ask: "export", tenant, table, after, countMax: pageMax })
      const batch = page.records.map((record) => ({ op: "import" as const, tenant, table, record, revision: page.revision }))
      await to.apply(batch)
      if (isRepeated) await to.apply(batch)
      after = page.records.at(-1)?.order
      if (page.isComplete || after === undefined) break
    }
}

const someRecord = async (store: Store, table: string, index = 0): Promise<TenantRecord> => {
  const records = await Array.fromAsync(recordsOf(store, ada, table))
  return records[index] as TenantRecord
}

const changed: ReadonlyArray<readonly [string, string, ReadonlyArray<Operation>]> = [
  ["a value", "key_value", [set("e", "x")]],
  ["a version alone", "key_value", [set("e", "")]],
  ["a key more", "key_value", [set("f", "")]],
  ["an event", "event", [publish("topic", "")]],
  ["an entry", "log", [append("log", "")]],
  ["a trimmed entry", "log", [{ op: "trim", ...at("log"), before: 4n }]],
  ["a reference", "blob_reference", [link("a", 4)]],
  ["a reference less", "blob_reference", [{ op: "unlink", ...at("b") }]],
]

const wrong: ReadonlyArray<readonly [string, string, (record: TenantRecord) => unknown]> = [
  ["that is nothing", "key_value", () => undefined],
  ["without fields", "key_value", ({ order }) => ({ order })],
  ["without an order", "key_value", ({ fields }) => ({ fields })],
  ["with a field less", "key_value", ({ order, fields: { value } }) => ({ order, fields: { value: value as Uint8Array } })],
  ["with a field more", "key_value", ({ order, fields }) => ({ order, fields: { ...fields, more: 1n } })],
  ["with a number for an integer", "key_value", ({ order, fields }) => ({ order, fields: { ...fields, version: 1 } })],
  ["with a version above its export's revision", "key_value", ({ order, fields }) => ({ order, fields: { ...fields, version: 1n << 50n } })],
  ["with version 0", "key_value", ({ order, fields }) => ({ order, fields: { ...fields, version: 0n } })],
  ["with text for bytes", "key_value", ({ order, fields }) => ({ order, fields: { ...fields, value: "text" } })],
  ["of another table", "event", ({ order }) => ({ order, fields: { value: raw("x"), version: 1n, expiresAtUs: null } })],
  ["with an order too short", "event", ({ fields }) => ({ order: raw("short"), fields })],
  ["of an event without its topic", "event", () => ({ order: orderOf(raw("none"), 1), fields: { payload: raw("x") } })],
  ["of a topic that ends before it begins", "event", ({ order }) => ({ order, fields: { first: 9n, last: 3n } })],
  ["of an entry outside its log", "log", () => ({ order: orderOf(raw("log"), 9), fields: { payload: raw("x"), appendedAtUs: 1n } })],
  ["of a log that begins at 0", "log", ({ order }) => ({ order, fields: { first: 0n, last: 3n } })],
  ["of an offset after which few are left", "log", ({ order }) => ({ order, fields: { first: 1n, last: 1n << 52n } })],
  ["of a digest that is none", "blob_reference", ({ order, fields }) => ({ order, fields: { ...fields, digest: raw("x") } })],
  ["of fewer bytes than none", "blob_reference", ({ order, fields }) => ({ order, fields: { ...fields, bytes: -1n } })],
]

export const tenantCases: ReadonlyArray<StoreCase> = [
  ...[1, 2, 3, 1_000].map((pageMax): StoreCase => ({
    group: "tenants as a whole",
    title: `a tenant moved ${pageMax} records at a time is the same in the other store, and its rows are whole`,
    async run(store, check, open) {
      await furnish(store)
      await furnish(store, "bob")
      const other = await open()
      await other.apply([set("theirs", "v", { tenant: "carol" })])
      await copy(store, other, { pageMax })
      check.same(await digests(other), await digests(store), "digests")
      check.same(await other.check(), [], "check")
      check.same((await other.ask({ ask: "tenants", after: undefined, countMax: 9 })).map(text), ["ada", "carol"], "nobody else")
    },
  })),
  {
    group: "tenants as a whole",
    title: "an import repeated, record by record and as a whole, changes nothing",
    async run(store, check, open) {
      await furnish(store)
      const other = await open()
      await copy(store, other, { pageMax: 2, isRepeated: true })
      await copy(store, other)
      check.same(await digests(other), await digests(store), "digests")
      check.same(await other.check(), [], "check")
    },
  },
  {
    group: "tenants as a whole",
    title: "an import over an older copy takes its place, trimmed and dropped entries too",
    async run(store, check, open) {
      await furnish(store)
      const other = await open()
      await copy(store, other)
      await store.apply([set("", "newer"), append("log", "newer"), publish("topic", "newer"), link("b", 9), { op: "trim", ...at("log"), before: 6n }])
      await copy(store, other)
      check.same(await digests(other), await digests(store), "digests")
      check.same(await other.check(), [], "check")
    },
  },
  {
    group: "tenants as a whole",
    title: "there and back again leaves everything as it was",
    async run(store, check, open) {
      await furnish(store)
      const before = await digests(store)
      const other = await open()
      await copy(store, other)
      await eraseTenant(store, ada)
      check.same(await countOf(store), 0, "erased")
      await copy(other, store)
      check.same(await digests(store), before, "digests")
    },
  },
  {
    group: "tenants as a whole",
    title: "versions, ends, offsets, times and numbers go on where they were",
    async run(store, check, open) {
      await furnish(store)
      const other = await open()
      await copy(store, other)
      const known = await store.ask({ ask: "get", ...at("ends") })
      check.same({ ...(await other.ask({ ask: "get", ...at("ends") })) }, { ...known }, "an end and a version")
      check.same(
        await other.ask({ ask: "log", ...at("log"), after: 2n, countMax: 9, bytesMax: 99 }),
        await store.ask({ ask: "log", ...at("log"), after: 2n, countMax: 9, bytesMax: 99 }),
        "entries",
      )
      const revision = await store.ask({ ask: "revision", tenant: ada })
      const [version, offset, again, sequence] = await other.apply([set("new"), append("log", "new"), append("emptied", "new"), publish("topic", "new")])
      check.same(version > revision, true, "next revision")
      check.same([offset, again, sequence], [6n, 2n, 6n], "next numbers")
      check.same(
        (await other.apply([{ op: "swap", ...at("ends"), version: known?.version, value: bytes("x") }]))[0] !== undefined,
        true,
        "compare and set goes on",
      )
    },
  },
  {
    group: "tenants as a whole",
    title: "who watches a tenant that is imported is told to begin anew",
    async run(store, check, open) {
      await furnish(store)
      const other = await open()
      await other.apply([set("k")])
      const after = await other.ask({ ask: "revision", tenant: ada })
      await copy(store, other)
      await check.refused(() => other.ask({ ask: "changes", ...at(""), after, countMax: 9 }), { code: compacted }, "refused")
      const { revision, entries } = await other.ask({ ask: "entries", ...at(""), beyond: undefined, countMax: 99, bytesMax: 1e9 })
      await other.apply([set("next")])
      const { changes } = await other.ask({ ask: "changes", ...at(""), after: revision, countMax: 9 })
      check.same([entries.length, changes.map(({ key }) => text(key))], [5, ["next"]], "and goes on")
    },
  },
  {
    group: "tenants as a whole",
    title: "what has ended is not exported, and pages of large values end early",
    async run(store, check) {
      await ended(store, ["a", "b"])
      const large = new Uint8Array(1 << 20)
      for (let i = 0; i < 8; i++) await store.apply([set(`k${i}`, large)])
      const page = await store.ask({ ask: "export", tenant: ada, table: "key_value", after: undefined, countMax: 100 })
      check.same([page.isComplete, page.records.length < 8, page.records.length > 0], [false, true, true], `${page.records.length} of 8`)
      const all = await Array.fromAsync(recordsOf(store, ada, "key_value"))
      check.same(
        all.map(({ order }) => text(order)),
        Array.from({ length: 8 }, (_, i) => `k${i}`),
        "all",
      )
    },
  },
  ...changed.map(([what, table, operations]): StoreCase => ({
    group: "tenants as a whole",
    title: `the digest of a table tells ${what} apart, and of no other table`,
    async run(store, check) {
      await furnish(store)
      const before = await digests(store)
      await store.apply(operations)
      const after = await digests(store)
      check.same(
        Object.keys(before).filter((name) => before[name] !== after[name]),
        [table],
        "changed",
      )
    },
  })),
  ...wrong.map(([what, table, spoil]): StoreCase => ({
    group: "tenants as a whole",
    title: `a record ${what} is refused by table "${table}", and nothing is kept`,
    async run(store, check) {
      await furnish(store)
      const before = await digests(store)
      const revision = await store.ask({ ask: "revision", tenant: ada })
      const record = spoil(await someRecord(store, table)) as TenantRecord
      await check.refused(
        () => store.apply([set("more"), { op: "import", tenant: ada, table, record, revision }]),
        { code: badRecord, reason: { table } },
        "refused",
      )
      check.same(await digests(store), before, "as it was")
    },
  })),
  {
    group: "tenants as a whole",
    title: "a table that is not there is refused, and so is a revision that is none",
    async run(store, check) {
      await furnish(store)
      const record = await someRecord(store, "key_value")
      await check.refused(() => store.ask({ ask: "export", tenant: ada, table: "none", after: undefined, countMax: 1 }), { code: badRecord }, "export")
      await check.refused(() => store.apply([{ op: "import", tenant: ada, table: "none", record, revision: 1 }]), { code: badRecord }, "import")
      for (const revision of [-1, 0.5, Number.NaN, 2 ** 51])
        await check.refused(() => store.apply([{ op: "import", tenant: ada, table: "key_value", record, revision }]), { code: badOption }, "revision")
    },
  },
  ...(
    [
      ["key_value", "tenantKeysMax", { keyValue: { tenantKeysMax: 2 } }],
      ["event", "tenantTopicsMax", { event: { tenantTopicsMax: 1 } }],
      ["log", "tenantLogsMax", { log: { tenantLogsMax: 2 } }],
      ["blob_reference", "tenantObjectsMax", { blob: { tenantObjectsMax: 1 } }],
    ] as const
  ).map(([table, limit, limits]): StoreCase => ({
    group: "tenants as a whole",
    title: `an import into table "${table}" is held against \`${limit}\``,
    limits,
    async run(store, check) {
      const fields = {
        key_value: { value: raw(""), version: 1n, expiresAtUs: null },
        event: { first: 1n, last: 0n },
        log: { first: 1n, last: 0n },
        blob_reference: { digest: new Uint8Array(32), bytes: 1n, createdAtUs: 1n, revision: 1n },
      }[table] as TenantRecord["fields"]
      const isPlain = table === "key_value" || table === "blob_reference"
      const records = ["a", "b", "c"].map((name): TenantRecord => ({ order: isPlain ? raw(name) : orderOf(raw(name), 0), fields }))
      const take = (record: TenantRecord) => store.apply([{ op: "import", tenant: ada, table, record, revision: 5 }])
      let kept = 0
      await check.refused(
        async () => {
          for (const record of records) {
            await take(record)
            kept++
          }
        },
        { code: overLimit, reason: { limit } },
        "refused",
      )
      check.same(kept, { keyValue: 2, event: 1, log: 2, blob: 1 }[table === "key_value" ? "keyValue" : table === "blob_reference" ? "blob" : table], "kept")
    },
  })),
  ...[1, 2, 7, 1_000].map((countMax): StoreCase => ({
    group: "tenants as a whole",
    title: `\`erase\` in steps of ${countMax} leaves nothing of a tenant and all of the others`,
    async run(store, check) {
      for (const tenant of ["ad", "ada", "adab"]) await furnish(store, tenant)
      const others = [await digests(store, raw("ad")), await digests(store, raw("adab"))]
      const rows = await eraseTenant(store, ada, countMax)
      check.same(rows > 15, true, `${rows} rows`)
      check.same(await countOf(store), 0, "nothing")
      check.same((await store.ask({ ask: "tenants", after: undefined, countMax: 9 })).map(text), ["ad", "adab"], "not the name")
      check.same([await digests(store, raw("ad")), await digests(store, raw("adab"))], others, "others")
      check.same(await store.check(), [], "check")
      check.same(await store.apply([{ op: "erase", tenant: ada, countMax }]), [0], "nothing twice")
    },
  })),
  {
    group: "tenants as a whole",
    title: "`erase` gives quotas back and lets numbers begin again",
    limits: { keyValue: { tenantKeysMax: 1 }, event: { tenantTopicsMax: 1 }, log: { tenantLogsMax: 1 }, blob: { tenantObjectsMax: 1 } },
    async run(store, check) {
      const all = () => store.apply([set("k"), publish("t", "e"), append("l", "x"), link("b", 1)])
      await all()
      await eraseTenant(store, ada)
      const [, sequence, offset] = await all()
      check.same([sequence, offset], [1n, 1n], "numbers")
      check.same(await get(store, "k"), "k", "value")
    },
  },
  ...[0, -1, 1.5, Number.NaN].map((countMax): StoreCase => ({
    group: "tenants as a whole",
    title: `\`erase\` in steps of ${countMax} is refused`,
    run: (store, check) => check.refused(() => store.apply([{ op: "erase", tenant: ada, countMax }]), { code: badOption }, "refused"),
  })),
  ...[1, 2, 100].map((countMax): StoreCase => ({
    group: "tenants as a whole",
    title: `\`tenants\` in pages of ${countMax}, by the bytes of their names, from whatever table`,
    async run(store, check) {
      await store.apply([set("k", "v", { tenant: "b" })])
      await store.apply([publish("t", "e", "a")])
      await store.apply([append("l", "x", { tenant: "" })])
      await store.apply([link("b", 1, "ab"), set("k", "v", { tenant: "ab" })])
      const found: Array<Uint8Array> = []
      for (;;) {
        const page = await store.ask({ ask: "tenants", after: found.at(-1), countMax })
        if (page.length === 0) break
        found.push(...page)
      }
      check.same(found.map(text), ["", "a", "ab", "b"], "all")
    },
  })),
  ...["\u00ff", "\u00ffx", "\u00f8", "\u00fe\u0000"].map((tenant): StoreCase => ({
    group: "tenants as a whole",
    title: `a tenant whose name begins with the byte ${hex(raw(tenant)).slice(0, 2)} is refused (${tenant.length})`,
    run: (store, check) => check.refused(() => store.apply([set("k", "v", { tenant })]), { code: badOption }, "refused"),
  })),
  {
    group: "tenants as a whole",
    title: "other writers go on while a tenant is erased and another is imported",
    async run(store, check, open) {
      await furnish(store)
      const other = await open()
      await copy(store, other)
      await furnish(other, "gone")
      const erasing = { isOver: false }
      const writing = (async () => {
        let count = 0
        for (; !erasing.isOver || count === 0; count++) await other.apply([set("count", String(count), { tenant: "busy" })])
        return count
      })()
      await eraseTenant(other, raw("gone"), 1)
      await copy(store, other, { pageMax: 1 })
      erasing.isOver = true
      const count = await writing
      check.same(await get(other, "count", "busy"), String(count - 1), "last write")
      await until(async () => (await other.check()).length === 0)
      check.same(await digests(other), await digests(store), "digests")
    },
  },
]
