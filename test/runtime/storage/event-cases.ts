/** What every event store does alike. */
import { type EventLimits, type EventPort, type Immediate, tenantKey } from "../../../host/port/mod.ts"
import type { Check } from "./key-value-cases.ts"

export interface EventCase {
  readonly group: "events"
  readonly title: string
  readonly limits?: Partial<EventLimits>
  readonly run: (store: Immediate<EventPort> & { drop(topic: string): boolean }, check: Check) => void
}

const topic = (name: string, tenant = "ada"): string => tenantKey(tenant, name)
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const batchOf = ({ events, lost }: { readonly events: ReadonlyArray<{ readonly sequence: bigint; readonly payload: Uint8Array }>; readonly lost: bigint }) => ({
  events: events.map(({ sequence, payload }) => `${sequence} ${Buffer.from(payload).toString()}`),
  lost,
})
const code = "STELE-CAP-0008"

export const eventCases: ReadonlyArray<EventCase> = [
  {
    group: "events",
    title: "`publish()` numbers events from 1 without gaps, each topic by itself",
    run(store, check) {
      for (let i = 1n; i <= 5n; i++) check.same(store.publish(topic("a"), bytes(`a${i}`)), i, "a")
      check.same(store.publish(topic("b"), bytes("b1")), 1n, "b")
      check.same(store.publish(topic("a", "bob"), bytes("bob1")), 1n, "another tenant's a")
      check.same(store.publish(topic("a"), bytes("a6")), 6n, "a again")
    },
  },
  {
    group: "events",
    title: "`read()` gives what comes after a number, oldest first, as many as asked for",
    run(store, check) {
      for (let i = 1; i <= 5; i++) store.publish(topic("a"), bytes(`a${i}`))
      check.same(batchOf(store.read(topic("a"), 0n, 10)), { events: ["1 a1", "2 a2", "3 a3", "4 a4", "5 a5"], lost: 0n }, "all")
      check.same(batchOf(store.read(topic("a"), 2n, 2)), { events: ["3 a3", "4 a4"], lost: 0n }, "two after the second")
      check.same(batchOf(store.read(topic("a"), 5n, 10)), { events: [], lost: 0n }, "after the last")
      check.same(batchOf(store.read(topic("a"), 1n << 60n, 10)), { events: [], lost: 0n }, "far beyond")
      check.same(batchOf(store.read(topic("a"), 0n, 0)), { events: [], lost: 0n }, "none asked for")
      check.same(batchOf(store.read(topic("x"), 0n, 10)), { events: [], lost: 0n }, "no such topic")
    },
  },
  {
    group: "events",
    title: "payloads are kept byte for byte, empty ones too, and handed out as copies",
    run(store, check) {
      const all = Uint8Array.from({ length: 256 }, (_, i) => i)
      for (const payload of [new Uint8Array(0), all, new Uint8Array(Uint8Array.from([1, 2, 3, 4]).buffer, 1, 2)]) store.publish(topic("a"), payload)
      const read = () => store.read(topic("a"), 0n, 10).events.map(({ payload }) => Buffer.from(payload).toString("hex"))
      const wanted = ["", Buffer.from(all).toString("hex"), "0203"]
      check.same(read(), wanted, "payloads")
      for (const { payload } of store.read(topic("a"), 0n, 10).events) payload.fill(0)
      check.same(read(), wanted, "again")
    },
  },
  {
    group: "events",
    title: "a full topic drops its oldest event, and readers are told how many they missed",
    limits: { topicEventsMax: 3 },
    run(store, check) {
      for (let i = 1; i <= 7; i++) store.publish(topic("a"), bytes(String(i)))
      check.same(batchOf(store.read(topic("a"), 0n, 10)), { events: ["5 5", "6 6", "7 7"], lost: 4n }, "from the start")
      check.same(batchOf(store.read(topic("a"), 3n, 10)), { events: ["5 5", "6 6", "7 7"], lost: 1n }, "after the third")
      check.same(batchOf(store.read(topic("a"), 4n, 1)), { events: ["5 5"], lost: 0n }, "after the fourth")
    },
  },
  {
    group: "events",
    title: "a topic over its bytes drops as many as it takes",
    limits: { topicBytesKeptMax: 10, payloadBytesMax: 10 },
    run(store, check) {
      for (const payload of ["1234", "1234", "12345678"]) store.publish(topic("a"), bytes(payload))
      check.same(batchOf(store.read(topic("a"), 0n, 10)), { events: ["3 12345678"], lost: 2n }, "kept")
    },
  },
  {
    group: "events",
    title: "`drop()` forgets a topic, whose numbers start again, and makes room",
    limits: { tenantTopicsMax: 1, totalBytesMax: 8 },
    run(store, check) {
      check.same(store.drop(topic("a")), false, "not there")
      store.publish(topic("a"), bytes("12345678"))
      check.throws(() => store.publish(topic("b"), bytes("")), { code, reason: { limit: "tenantTopicsMax" } }, "one topic")
      check.throws(() => store.publish(topic("a"), bytes("1")), { code, reason: { limit: "totalBytesMax" } }, "no room")
      check.same(store.drop(topic("a")), true, "there")
      check.same(batchOf(store.read(topic("a"), 0n, 10)), { events: [], lost: 0n }, "gone")
      check.same(store.publish(topic("b"), bytes("1")), 1n, "room")
    },
  },
  ...(
    [
      ["topicBytesMax", { topicBytesMax: 6 }, "abc", "1"],
      ["payloadBytesMax", { payloadBytesMax: 2 }, "a", "123"],
      ["tenantTopicsMax", { tenantTopicsMax: 0 }, "a", "1"],
      ["totalBytesMax", { totalBytesMax: 2 }, "a", "123"],
    ] as const
  ).map(([limit, limits, name, payload]): EventCase => ({
    group: "events",
    title: `\`${limit}\` refuses an event, by name, and keeps nothing of it`,
    limits,
    run(store, check) {
      check.throws(() => store.publish(topic(name), bytes(payload)), { code, reason: { limit } }, "refused")
      check.same(batchOf(store.read(topic(name), 0n, 10)), { events: [], lost: 0n }, "nothing")
    },
  })),
]
