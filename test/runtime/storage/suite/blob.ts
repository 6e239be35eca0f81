/** References to objects. */
import type { Place } from "../../../../runtime/port/place.ts"
import type { Store } from "../../../../runtime/port/store.ts"
import { at, badOption, hex, overLimit, raw, type StoreCase, text } from "./case.ts"

const digest = (byte: number): Uint8Array => new Uint8Array(32).fill(byte)
const link = (name: string, byte: number, bytes = 1, tenant?: string) => ({ op: "link" as const, ...at(name, tenant), digest: digest(byte), bytes })
const list = async (store: Store, prefix = "", more: { readonly beyond?: string; readonly countMax?: number; readonly tenant?: string } = {}) =>
  (
    await store.ask({
      ask: "blobs",
      ...at(prefix, more.tenant),
      beyond: more.beyond === undefined ? undefined : raw(more.beyond),
      countMax: more.countMax ?? 100,
    })
  ).map(({ key, digest: [byte], bytes }) => `${text(key)} ${byte} ${bytes}`)
const linked = (store: Store, ...wanted: ReadonlyArray<number>) => store.ask({ ask: "linked", digests: wanted.map(digest) })

export const blobCases: ReadonlyArray<StoreCase> = [
  {
    group: "blobs",
    title: "`link` makes a key stand for an object, with its size, its time and a revision",
    async run(store, check) {
      check.same(await store.ask({ ask: "blob", ...at("k") }), undefined, "not there")
      const [revision] = await store.apply([link("k", 7, 1_234)])
      const found = await store.ask({ ask: "blob", ...at("k") })
      check.same([hex(found?.digest as Uint8Array), found?.bytes, found?.revision], [hex(digest(7)), 1_234, revision], "reference")
      check.same(Number.isSafeInteger(found?.createdAtUs) && (found?.createdAtUs as number) > 1e15, true, "time")
    },
  },
  {
    group: "blobs",
    title: "`link` over a key replaces what it stood for, with a greater revision",
    async run(store, check) {
      const [first, second] = await store.apply([link("k", 1, 10), link("k", 2, 20)])
      check.same(second > first, true, "revision")
      check.same(await list(store), ["k 2 20"], "replaced")
      check.same(await linked(store, 1, 2), [false, true], "linked")
    },
  },
  {
    group: "blobs",
    title: "`unlink` removes a reference, once",
    async run(store, check) {
      await store.apply([link("k", 1)])
      check.same(
        await store.apply([
          { op: "unlink", ...at("k") },
          { op: "unlink", ...at("k") },
        ]),
        [true, false],
        "answers",
      )
      check.same([await store.ask({ ask: "blob", ...at("k") }), await linked(store, 1)], [undefined, [false]], "gone")
    },
  },
  ...(
    [
      ["", undefined, 100, ["a 1 1", "ab 2 1", "b 3 1", "\u00ff 4 1", "\u00ff\u00ff 5 1"]],
      ["a", undefined, 100, ["a 1 1", "ab 2 1"]],
      ["\u00ff", undefined, 100, ["\u00ff 4 1", "\u00ff\u00ff 5 1"]],
      ["", "ab", 100, ["b 3 1", "\u00ff 4 1", "\u00ff\u00ff 5 1"]],
      ["", "aa", 1, ["ab 2 1"]],
      ["a", "b", 100, []],
      ["", undefined, 0, []],
      ["", undefined, -1, []],
    ] as const
  ).map(([prefix, beyond, countMax, wanted]): StoreCase => ({
    group: "blobs",
    title: `\`blobs\` that start with ${JSON.stringify(prefix)} beyond ${JSON.stringify(beyond)}, at most ${countMax}`,
    async run(store, check) {
      await store.apply(["b", "\u00ff\u00ff", "a", "\u00ff", "ab"].map((name) => link(name, ["a", "ab", "b", "\u00ff", "\u00ff\u00ff"].indexOf(name) + 1)))
      await store.apply([link("a", 9, 1, "bob")])
      check.same(await list(store, prefix, { countMax, ...(beyond === undefined ? {} : { beyond }) }), wanted, "found")
    },
  })),
  {
    group: "blobs",
    title: "`linked` is true while anybody refers to an object, in the order asked",
    async run(store, check) {
      await store.apply([link("k", 1), link("l", 2)])
      await store.apply([link("k", 1, 1, "bob")])
      check.same(await linked(store, 3, 2, 1, 3), [false, true, true, false], "both")
      await store.apply([{ op: "unlink", ...at("k") }])
      check.same(await linked(store, 1), [true], "bob's")
      await store.apply([{ op: "unlink", ...at("k", "bob") }])
      check.same(await linked(store, 1), [false], "nobody's")
      check.same(await linked(store), [], "none asked")
    },
  },
  {
    group: "blobs",
    title: "an object of another tenant is not reached, whatever is known of it",
    async run(store, check) {
      await store.apply([link("k", 1, 10, "bob")])
      check.same([await store.ask({ ask: "blob", ...at("k") }), await list(store)], [undefined, []], "nothing")
      check.same(await store.apply([{ op: "unlink", ...at("k") }]), [false], "nothing to unlink")
      check.same(await list(store, "", { tenant: "bob" }), ["k 1 10"], "bob's")
    },
  },
  ...[1, 2, 3, 7, 100].map((countMax): StoreCase => ({
    group: "blobs",
    title: `\`references\` of all tenants in pages of ${countMax}, none twice`,
    async run(store, check) {
      const names = ["a", "ab", "b"].flatMap((tenant) => ["", "x", "y"].map((name) => [tenant, name] as const))
      for (const [tenant, name] of names.toReversed()) await store.apply([link(name, 1, 1, tenant)])
      const found: Array<Place> = []
      for (;;) {
        const page = await store.ask({ ask: "references", beyond: found.at(-1), countMax })
        if (page.length === 0) break
        check.same(page.length <= countMax, true, "at most")
        found.push(...page)
      }
      check.same(
        found.map(({ tenant, key }) => [text(tenant), text(key)]),
        names,
        "all",
      )
    },
  })),
  ...(
    [
      ["keyBytesMax", { keyBytesMax: 8 }, link("12345", 1), link("1234", 1)],
      ["objectBytesMax", { objectBytesMax: 5 }, link("b", 1, 6), link("b", 1, 5)],
      ["tenantObjectsMax", { tenantObjectsMax: 1 }, link("b", 1), link("a", 2, 9)],
      ["tenantBytesMax", { tenantBytesMax: 5 }, link("b", 1, 5), link("b", 1, 5, "bob")],
      ["totalBytesMax", { totalBytesMax: 5 }, link("b", 1, 5, "bob"), link("a", 2, 5)],
    ] as const
  ).map(([limit, limits, over, under]): StoreCase => ({
    group: "blobs",
    title: `\`${limit}\` refuses a reference, by name; unlinking and replacing make room`,
    limits: { blob: limits },
    async run(store, check) {
      await store.apply([link("a", 1)])
      await check.refused(() => store.apply([over]), { code: overLimit, reason: { limit } }, "refused")
      check.same(await list(store), ["a 1 1"], "kept")
      check.same((await store.apply([under])).length, 1, "one that fits")
    },
  })),
  {
    group: "blobs",
    title: "an object counts for each who refers to it",
    limits: { blob: { tenantBytesMax: 20, totalBytesMax: 30 } },
    async run(store, check) {
      await store.apply([link("a", 1, 10), link("b", 1, 10)])
      await check.refused(() => store.apply([link("c", 1, 1)]), { code: overLimit, reason: { limit: "tenantBytesMax", actual: 21 } }, "the tenant's")
      await store.apply([link("a", 1, 10, "bob")])
      await check.refused(() => store.apply([link("b", 1, 1, "bob")]), { code: overLimit, reason: { limit: "totalBytesMax", actual: 31 } }, "all of it")
    },
  },
  ...[new Uint8Array(0), new Uint8Array(31), new Uint8Array(33), "sha256:00"].map((wrong, i): StoreCase => ({
    group: "blobs",
    title: `a digest that is none is refused (${typeof wrong === "string" ? "text" : `${wrong.length} bytes`}, ${i})`,
    async run(store, check) {
      await check.refused(() => store.apply([{ ...link("k", 1), digest: wrong as Uint8Array }]), { code: badOption }, "link")
      await check.refused(() => store.ask({ ask: "linked", digests: [wrong as Uint8Array] }), { code: badOption }, "linked")
      check.same(await list(store), [], "nothing")
    },
  })),
  ...[-1, 1.5, Number.NaN, 2 ** 53].map((bytes): StoreCase => ({
    group: "blobs",
    title: `a size of ${bytes} bytes is refused`,
    run: (store, check) => check.refused(() => store.apply([link("k", 1, bytes)]), { code: badOption }, "refused"),
  })),
]
