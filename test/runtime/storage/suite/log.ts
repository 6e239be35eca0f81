/** Append logs. */
import type { LogPage } from "../../../../runtime/port/log.ts"
import type { Store } from "../../../../runtime/port/store.ts"
import { append, at, badOption, bytes, compacted, conflict, hex, overLimit, type StoreCase } from "./case.ts"

const read = (
  store: Store,
  name: string,
  after = 0n,
  more: { readonly countMax?: number; readonly bytesMax?: number; readonly tenant?: string } = {},
): Promise<LogPage> => store.ask({ ask: "log", ...at(name, more.tenant), after, countMax: more.countMax ?? 1_000, bytesMax: more.bytesMax ?? 1e9 })
const shown = ({ entries, first, last }: LogPage): string =>
  `${entries.map(({ offset, payload }) => `${offset}:${Buffer.from(payload).toString()}`).join(" ")} of ${first}-${last}`
const fill = async (store: Store, name: string, count: number): Promise<void> => {
  await store.apply(Array.from({ length: count }, (_, i) => append(name, `e${i + 1}`)))
}
const trim = async (store: Store, name: string, before: bigint): Promise<number> => (await store.apply([{ op: "trim", ...at(name), before }]))[0]

export const logCases: ReadonlyArray<StoreCase> = [
  {
    group: "log",
    title: "`append` numbers entries from 1, each log and each tenant by itself",
    async run(store, check) {
      check.same(await store.apply([append("a", "1"), append("a", "2"), append("b", "1")]), [1n, 2n, 1n], "offsets")
      check.same(await store.apply([append("a", "1", { tenant: "bob" })]), [1n], "another tenant's")
      check.same(await store.apply([append("a", "3")]), [3n], "goes on")
    },
  },
  ...(
    [
      [0n, 1_000, 1e9, "1:e1 2:e2 3:e3 4:e4 5:e5 of 1-5"],
      [2n, 1_000, 1e9, "3:e3 4:e4 5:e5 of 1-5"],
      [2n, 2, 1e9, "3:e3 4:e4 of 1-5"],
      [5n, 10, 1e9, " of 1-5"],
      [99n, 10, 1e9, " of 1-5"],
      [1n << 70n, 10, 1e9, " of 1-5"],
      [-7n, 1, 1e9, "1:e1 of 1-5"],
      [0n, 0, 1e9, " of 1-5"],
      [0n, -1, 1e9, " of 1-5"],
      [0n, 10, 4, "1:e1 2:e2 of 1-5"],
      [0n, 10, 5, "1:e1 2:e2 of 1-5"],
      [0n, 10, 6, "1:e1 2:e2 3:e3 of 1-5"],
      [0n, 10, 0, "1:e1 of 1-5"],
      [0n, 10, Number.NaN, "1:e1 of 1-5"],
    ] as const
  ).map(([after, countMax, bytesMax, wanted]): StoreCase => ({
    group: "log",
    title: `\`log\` after ${after}, at most ${countMax} entries and ${bytesMax} bytes`,
    async run(store, check) {
      await fill(store, "a", 5)
      check.same(shown(await read(store, "a", after, { countMax, bytesMax })), wanted, "read")
    },
  })),
  {
    group: "log",
    title: "a log that is not there is empty and begins at 1",
    async run(store, check) {
      check.same(shown(await read(store, "a")), " of 1-0", "empty")
      check.same(await trim(store, "a", 5n), 0, "trimmed")
      check.same(shown(await read(store, "a")), " of 1-0", "empty still")
    },
  },
  {
    group: "log",
    title: "payloads are kept byte for byte, also empty ones, with times that never fall",
    async run(store, check) {
      const payloads = [new Uint8Array(0), Uint8Array.from({ length: 256 }, (_, i) => i), new Uint8Array(1 << 20).fill(9)]
      for (const payload of payloads) await store.apply([{ op: "append", ...at("a"), payload }])
      const { entries } = await read(store, "a")
      check.same(
        entries.map(({ payload }) => hex(payload)),
        payloads.map(hex),
        "payloads",
      )
      check.same(
        entries.every(({ appendedAtUs }, i) => Number.isSafeInteger(appendedAtUs) && appendedAtUs >= (entries[i - 1]?.appendedAtUs ?? 1e15)),
        true,
        "times",
      )
    },
  },
  {
    group: "log",
    title: "`append` with the offset it gets is kept",
    async run(store, check) {
      check.same(await store.apply([append("a", "1", { expect: 1n }), append("a", "2", { expect: 2n })]), [1n, 2n], "offsets")
    },
  },
  ...[1n, 3n, 4n, 0n, -1n, 1n << 65n].map((expect): StoreCase => ({
    group: "log",
    title: `\`append\` of the third entry as number ${expect} is ${expect === 3n ? "kept" : "a conflict"}`,
    async run(store, check) {
      await fill(store, "a", 2)
      if (expect === 3n) check.same(await store.apply([append("a", "e3", { expect })]), [3n], "kept")
      else await check.refused(() => store.apply([append("a", "e3", { expect })]), { code: conflict, reason: { table: "log", found: "offset 3" } }, "refused")
      check.same((await read(store, "a")).last, expect === 3n ? 3n : 2n, "last")
    },
  })),
  {
    group: "log",
    title: "of many who append the same number exactly one does",
    async run(store, check) {
      await fill(store, "a", 3)
      const results = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => store.apply([append("a", `by ${i}`, { expect: 4n })])))
      check.same([results.filter(({ status }) => status === "fulfilled").length, (await read(store, "a")).last], [1, 4n], "one")
    },
  },
  ...(
    [
      [0n, 0, "1:e1 2:e2 3:e3 of 1-3"],
      [1n, 0, "1:e1 2:e2 3:e3 of 1-3"],
      [-5n, 0, "1:e1 2:e2 3:e3 of 1-3"],
      [2n, 1, "2:e2 3:e3 of 2-3"],
      [3n, 2, "3:e3 of 3-3"],
      [4n, 3, " of 4-3"],
      [99n, 3, " of 4-3"],
      [1n << 80n, 3, " of 4-3"],
    ] as const
  ).map(([before, count, wanted]): StoreCase => ({
    group: "log",
    title: `\`trim\` before ${before} of three removes ${count}, and offsets go on`,
    async run(store, check) {
      await fill(store, "a", 3)
      check.same(await trim(store, "a", before), count, "removed")
      check.same(shown(await read(store, "a", BigInt(count))), wanted, "left")
      check.same(await trim(store, "a", before), 0, "once")
      check.same(await store.apply([append("a", "next")]), [4n], "next")
    },
  })),
  ...[0n, 1n].map((after): StoreCase => ({
    group: "log",
    title: `\`log\` after ${after} of a log trimmed before 3 is \`Compacted\``,
    async run(store, check) {
      await fill(store, "a", 5)
      await trim(store, "a", 3n)
      await check.refused(() => read(store, "a", after), { code: compacted, reason: { asked: Number(after), oldest: 2 } }, "refused")
      check.same(shown(await read(store, "a", 2n)), "3:e3 4:e4 5:e5 of 3-5", "after the oldest")
      await trim(store, "a", 99n)
      await check.refused(() => read(store, "a", after), { code: compacted }, "all trimmed")
    },
  })),
  ...(
    [
      ["nameBytesMax", { nameBytesMax: 8 }, append("12345", ""), append("1234", "")],
      ["payloadBytesMax", { payloadBytesMax: 3 }, append("a", "1234"), append("a", "123")],
      ["tenantLogsMax", { tenantLogsMax: 1 }, append("b", ""), append("a", "")],
      ["logEntriesMax", { logEntriesMax: 1 }, append("a", ""), append("b", "")],
      ["logBytesMax", { logBytesMax: 5 }, append("a", "12345"), append("b", "12345")],
      ["tenantBytesMax", { tenantBytesMax: 5 }, append("b", "12345"), append("b", "12345", { tenant: "bob" })],
      ["totalBytesMax", { totalBytesMax: 5 }, append("b", "12345", { tenant: "bob" }), append("a", "12")],
    ] as const
  ).map(([limit, limits, over, under]): StoreCase => ({
    group: "log",
    title: `\`${limit}\` refuses an entry, by name, and drops nothing`,
    limits: { log: limits },
    async run(store, check) {
      await store.apply([append("a", "1")])
      const before = shown(await read(store, "a"))
      await check.refused(() => store.apply([over]), { code: overLimit, reason: { limit } }, "refused")
      check.same(shown(await read(store, "a")), before, "kept")
      check.same((await store.apply([under])).length, 1, "one that fits")
    },
  })),
  ...(["logEntriesMax", "logBytesMax", "tenantBytesMax", "totalBytesMax"] as const).map((limit): StoreCase => ({
    group: "log",
    title: `trimming makes room under \`${limit}\``,
    limits: { log: { [limit]: 6 } },
    async run(store, check) {
      for (let i = 1; i <= 6; i++) await store.apply([append("a", String(i))])
      await check.refused(() => store.apply([append("a", "7")]), { code: overLimit, reason: { limit } }, "full")
      await trim(store, "a", 3n)
      check.same(await store.apply([append("a", "7"), append("a", "8")]), [7n, 8n], "room")
      await check.refused(() => store.apply([append("a", "9")]), { code: overLimit }, "full again")
      check.same(shown(await read(store, "a", 2n)), "3:3 4:4 5:5 6:6 7:7 8:8 of 3-8", "all of it")
    },
  })),
  {
    group: "log",
    title: "who follows a log under many writers sees every entry, and none before the one below it",
    async run(store, check) {
      const count = 200
      const writing = Promise.all(Array.from({ length: count }, (_, i) => store.apply([append("a", String(i))])))
      const seen: Array<bigint> = []
      while (seen.length < count) {
        const { entries, last } = await read(store, "a", seen.at(-1) ?? 0n)
        for (const { offset } of entries) {
          check.same(offset, BigInt(seen.length + 1), "the next")
          seen.push(offset)
        }
        check.same(last >= BigInt(seen.length), true, "last")
        await new Promise((resume) => setImmediate(resume))
      }
      const offsets = (await writing).map(([offset]) => offset).toSorted((a, b) => Number(a - b))
      check.same(offsets, seen, "those answered")
    },
  },
  {
    group: "log",
    title: "offsets that are no bigint are refused",
    async run(store, check) {
      await fill(store, "a", 2)
      await check.refused(() => read(store, "a", 1 as unknown as bigint), { code: badOption }, "after")
      await check.refused(() => store.apply([{ op: "trim", ...at("a"), before: 1 as unknown as bigint }]), { code: badOption }, "before")
      await check.refused(
        () => store.apply([{ op: "append", ...at("a"), payload: bytes("x"), expect: "3" as unknown as bigint }]),
        { code: badOption },
        "expect",
      )
      check.same(shown(await read(store, "a")), "1:e1 2:e2 of 1-2", "as it was")
    },
  },
]
