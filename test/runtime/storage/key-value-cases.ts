/** What every key-value store does alike: the conformance cases that all backends run. */
import { CounterError, type Immediate, type KeyValueLimits, type KeyValuePort, tenantKey } from "../../../host/port/mod.ts"

export interface Check {
  same(found: unknown, wanted: unknown, message: string): void
  throws(run: () => unknown, wanted: Record<string, unknown>, message: string): void
}

export interface Case {
  readonly group: "values" | "order" | "versions" | "counters" | "limits" | "tenants"
  readonly title: string
  readonly limits?: Partial<KeyValueLimits>
  readonly run: (store: Immediate<KeyValuePort>, check: Check) => void
}

const key = (name: string, tenant = "ada"): string => tenantKey(tenant, name)
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const textOf = (value: unknown): string | undefined => (value instanceof Uint8Array ? Buffer.from(value).toString() : undefined)
const least = -(1n << 63n)
const most = (1n << 63n) - 1n

/** Keys that other orders than memcmp of UTF-8 get wrong: case, accents, NUL, beyond the first plane, prefixes of each other. */
const awkward = [
  "",
  "\u0000",
  "A",
  "B",
  "a",
  "a\u0000",
  "a\u0000b",
  "aa",
  "b",
  "z",
  "é",
  "\ue000",
  "\uffff",
  "𐀀",
  "💡",
  "\u{10ffff}",
  "ab/c",
  "ab",
  "a%2F",
  "\ufeff",
  "\ufeffa",
]
const ordered = awkward.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))

const values: ReadonlyArray<readonly [string, Uint8Array]> = [
  ["empty bytes", new Uint8Array(0)],
  ["one zero byte", Uint8Array.of(0)],
  ["all 256 bytes", Uint8Array.from({ length: 256 }, (_, i) => i)],
  ["a view into a larger buffer", new Uint8Array(Uint8Array.from([1, 2, 3, 4, 5]).buffer, 1, 3)],
  ["one MiB", new Uint8Array(1 << 20).fill(7)],
]

export const cases: ReadonlyArray<Case> = [
  ...values.map(([what, value]): Case => ({
    group: "values",
    title: `\`set()\` keeps ${what}`,
    run(store, check) {
      store.set(key("v"), value)
      const found = store.get(key("v")) as Uint8Array
      check.same(found.length, value.length, "length")
      check.same(Buffer.from(found).equals(Buffer.from(value)), true, "bytes")
      check.same(store.has(key("v")), true, "has")
    },
  })),
  ...awkward.map((name): Case => ({
    group: "values",
    title: `\`set()\` and \`delete()\` know the key ${JSON.stringify(name)}`,
    run(store, check) {
      check.same([store.get(key(name)), store.has(key(name)), store.delete(key(name))], [undefined, false, false], "absent")
      store.set(key(name), bytes(name))
      check.same(textOf(store.get(key(name))), name, "value")
      check.same([store.delete(key(name)), store.get(key(name)), store.delete(key(name))], [true, undefined, false], "deleted")
    },
  })),
  {
    group: "values",
    title: "`get()` hands out copies, and `set()` takes one",
    run(store, check) {
      const given = bytes("one")
      store.set(key("v"), given)
      given.fill(0)
      ;(store.get(key("v")) as Uint8Array).fill(0)
      check.same(textOf(store.get(key("v"))), "one", "value")
    },
  },
  {
    group: "order",
    title: "`list()` orders by memcmp of UTF-8",
    run(store, check) {
      for (const name of awkward) store.set(key(name), bytes(""))
      check.same(
        store.list(key(""), undefined, 100),
        ordered.map((name) => key(name)),
        "order",
      )
    },
  },
  ...ordered.map((name): Case => ({
    group: "order",
    title: `\`list()\` goes on after ${JSON.stringify(name)}`,
    run(store, check) {
      for (const each of awkward) store.set(key(each), bytes(""))
      const rest = ordered.slice(ordered.indexOf(name) + 1).map((each) => key(each))
      check.same(store.list(key(""), key(name), 100), rest, "rest")
      check.same(store.list(key(""), key(name), 2), rest.slice(0, 2), "two")
    },
  })),
  ...["a", "ab", "é", "\uffff", "\u{10ffff}", "𐀀", "nothing"].map((prefix): Case => ({
    group: "order",
    title: `\`list()\` finds what starts with ${JSON.stringify(prefix)}`,
    run(store, check) {
      for (const each of awkward) store.set(key(each), bytes(""))
      check.same(
        store.list(key(prefix), undefined, 100),
        ordered.filter((each) => each.startsWith(prefix)).map((each) => key(each)),
        "found",
      )
    },
  })),
  {
    group: "order",
    title: "`list()` of nothing, of none, and after keys of other tenants",
    run(store, check) {
      for (const each of ["x", "y"]) store.set(key(each), bytes(""))
      check.same(store.list(key(""), undefined, 0), [], "count 0")
      check.same(store.list(key("", "nobody"), undefined, 5), [], "nobody")
      check.same(store.list(key(""), tenantKey("aaa", "z"), 5), [key("x"), key("y")], "after an earlier tenant")
      check.same(store.list(key(""), tenantKey("zzz", "a"), 5), [], "after a later tenant")
    },
  },
  {
    group: "versions",
    title: "versions grow with every write of a key and are never used twice",
    run(store, check) {
      const seen: Array<number> = []
      const note = (): void => void seen.push((store.getVersioned(key("v")) as { version: number }).version)
      for (let i = 0; i < 3; i++) {
        store.set(key("v"), bytes(String(i)))
        note()
      }
      store.delete(key("v"))
      store.set(key("v"), bytes("again"))
      note()
      check.same(
        seen.every((version, i) => i === 0 || version > (seen[i - 1] as number)),
        true,
        seen.join(),
      )
    },
  },
  {
    group: "versions",
    title: "`swap()` writes for the version it names and for no other",
    run(store, check) {
      check.same(store.swap(key("v"), 1, bytes("x")), false, "absent, version named")
      check.same(store.swap(key("v"), undefined, bytes("one")), true, "absent, absence named")
      check.same(store.swap(key("v"), undefined, bytes("x")), false, "there, absence named")
      const { version } = store.getVersioned(key("v")) as { version: number }
      check.same(store.swap(key("v"), version + 1, bytes("x")), false, "another version")
      check.same(store.swap(key("v"), version, bytes("two")), true, "this version")
      check.same(store.swap(key("v"), version, bytes("x")), false, "a version that was")
      check.same(textOf(store.get(key("v"))), "two", "value")
    },
  },
  ...[
    ["an absent key counts from 0", undefined, 5n, "5"],
    ["a value counts on", "37", 5n, "42"],
    ["below zero", "3", -5n, "-2"],
    ["to the greatest", String(most - 1n), 1n, String(most)],
    ["to the least", String(least + 1n), -1n, String(least)],
    ["by nothing", "7", 0n, "7"],
  ].map(([what, before, delta, wanted]): Case => ({
    group: "counters",
    title: `\`increment()\`: ${what as string}`,
    run(store, check) {
      if (before !== undefined) store.set(key("n"), bytes(before as string))
      check.same(String(store.increment(key("n"), delta as bigint, least, most)), wanted, "sum")
      check.same(textOf(store.get(key("n"))), wanted, "value")
    },
  })),
  ...[
    ["text", "seven", 1n],
    ["nothing but a sign", "-", 1n],
    ["an empty value", "", 1n],
    ["twenty-one digits", "1".repeat(21), 1n],
    ["a sum over the range", String(most), 1n],
    ["a sum under the range", String(least), -1n],
  ].map(([what, before, delta]): Case => ({
    group: "counters",
    title: `\`increment()\` refuses ${what as string} and keeps the value`,
    run(store, check) {
      store.set(key("n"), bytes(before as string))
      check.throws(() => store.increment(key("n"), delta as bigint, least, most), { name: CounterError.name }, "refused")
      check.same(textOf(store.get(key("n"))), before, "kept")
    },
  })),
  ...(
    [
      ["keyBytesMax", { keyBytesMax: 8 }, "12345", "123", "1234"],
      ["valueBytesMax", { valueBytesMax: 3 }, "second", "1234", "first"],
      ["tenantKeysMax", { tenantKeysMax: 1 }, "second", "123", "first"],
      ["tenantBytesMax", { tenantBytesMax: 30 }, "second", "12345678901234567890", "first"],
      ["totalBytesMax", { totalBytesMax: 30 }, "second", "12345678901234567890", "first"],
    ] as const
  ).map(([limit, limits, over, value, under]): Case => ({
    group: "limits",
    title: `\`${limit}\` refuses what is over it, by name, and keeps what is there`,
    limits,
    run(store, check) {
      store.set(key(under), bytes("123"))
      check.throws(() => store.set(key(over), bytes(value)), { code: "STELE-CAP-0008", reason: { limit } }, "refused")
      check.same(store.has(key(over)), false, "not kept")
      check.same(textOf(store.get(key(under))), "123", "kept")
      store.delete(key(under))
      store.set(key(under), bytes("321"))
      check.same(textOf(store.get(key(under))), "321", "room again")
    },
  })),
  {
    group: "limits",
    title: "a replaced value counts once",
    limits: { tenantBytesMax: 20, totalBytesMax: 20, tenantKeysMax: 1 },
    run(store, check) {
      for (let i = 0; i < 10; i++) store.set(key("k"), bytes("1234567890"))
      check.same(textOf(store.get(key("k"))), "1234567890", "value")
    },
  },
  {
    group: "tenants",
    title: "one tenant's keys, listings and quotas are not another's",
    limits: { tenantKeysMax: 2 },
    run(store, check) {
      const names = ["ada", "ad", "ada%2F", "bob", "a/da"]
      for (const tenant of names) for (const name of ["x", "y"]) store.set(tenantKey(tenant, name), bytes(`${tenant} ${name}`))
      for (const tenant of names) {
        check.same(store.list(tenantKey(tenant, ""), undefined, 10), [tenantKey(tenant, "x"), tenantKey(tenant, "y")], tenant)
        check.same(textOf(store.get(tenantKey(tenant, "y"))), `${tenant} y`, tenant)
      }
      store.delete(tenantKey("ada", "x"))
      check.same(store.has(tenantKey("bob", "x")), true, "another's key")
    },
  },
]
