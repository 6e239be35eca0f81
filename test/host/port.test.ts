import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import fc from "../property.ts"
import t from "tap"
import {
  Blob,
  Config,
  Event,
  Http,
  KeyValue,
  layerMemory,
  Log,
  MonotonicClock,
  Observer,
  portsEffect,
  Random,
  Secret,
  Socket,
  WallClock,
} from "../../host/port/layer.ts"
import {
  compareUtf8,
  contentKey,
  CounterError,
  escapeText,
  manualMonotonicClock,
  memoryAdmission,
  memoryBlob,
  memoryConfig,
  memoryEvent,
  memoryKeyValue,
  memoryLog,
  memoryMonotonicClock,
  memoryObserver,
  memoryPorts,
  memoryRandom,
  memorySecret,
  memoryWallClock,
  type ObserverEvent,
  type Ports,
  tenantKey,
} from "../../host/port/mod.ts"
import { tenantOf, utf8Length } from "../../host/port/port.ts"
import { SortedMap } from "../../host/port/sorted-map.ts"
import { CapabilityError, SteleError } from "../../schemas/error/mod.ts"
import { replay } from "../seed.ts"

t.comment(`${replay} replays`)

const bytes = (...values: ReadonlyArray<number>): Uint8Array => Uint8Array.of(...values)
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Name and figures of the limit an act runs into, or "none". */
function limitOf(act: () => unknown): string {
  try {
    act()
    return "none"
  } catch (error) {
    if (!(error instanceof CapabilityError) || error.reason._tag !== "PortLimit") return String(error)
    return `${error.reason.port}.${error.reason.limit} ${error.reason.max} < ${error.reason.actual}`
  }
}
const codeOf = (act: () => unknown): string => {
  try {
    act()
    return "none"
  } catch (error) {
    return error instanceof SteleError ? error.code : String(error)
  }
}

const text = fc.string({ unit: "binary", maxLength: 12 }).filter((s) => s.isWellFormed())

t.test("`compareUtf8()` orders strings as memcmp orders their UTF-8 bytes", async (t) => {
  fc.assert(
    fc.property(
      fc.oneof(
        text,
        fc.array(fc.constantFrom("a", "\u07ff", "\uffff", "\ue000", "𐀀", "\u{10ffff}", "\ud7ff"), { maxLength: 4 }).map((p) => p.join("")),
      ),
      text,
      (a, b) =>
        [
          [a, b],
          [`${b}${a}`, `${b}\ufffd`],
          [`${b}${a}`, `${b}\u{1f600}`],
        ].every(([x, y]) => Math.sign(compareUtf8(x as string, y as string)) === Math.sign(Buffer.compare(utf8(x as string), utf8(y as string)))),
    ),
    { numRuns: 3_000 },
  )
  t.ok(compareUtf8("\uffff", "\u{10000}") < 0, "where code unit order is wrong")
})

t.test("`utf8Length()` counts the bytes that encoding gives", async () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary", maxLength: 20 }),
      fc.constantFrom("", "\ud800", "\udc00x", "é", "鍵"),
      (a, b) => utf8Length(a + b + a) === utf8(a + b + a).length,
    ),
    { numRuns: 2_000 },
  )
})

t.test("`tenantKey()` keeps tenants apart whatever their names and the guest's names are", async (t) => {
  const nasty = fc.string({ unit: fc.constantFrom("a", "/", "%", "2", "F", "5", ".", "\u0000"), maxLength: 6 })
  fc.assert(
    fc.property(nasty, nasty, nasty, nasty, (tenant, name, otherTenant, otherName) => {
      const key = tenantKey(tenant, name)
      return (key === tenantKey(otherTenant, otherName)) === (tenant === otherTenant && name === otherName) && tenantOf(key).length + name.length === key.length
    }),
    { numRuns: 5_000 },
  )
  t.equal(contentKey("sha256:00ff"), "/sha256/00ff")
})

t.test("`SortedMap` answers as a sorted list does when keys come and go", async () => {
  const key = fc.oneof(fc.string({ unit: fc.constantFrom("a", "b", "\uffff", "𐀀"), maxLength: 4 }), text)
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), key), { maxLength: 60 }), key, key, fc.nat(10), (changes, prefix, after, countMax) => {
      const map = new SortedMap<number>()
      const model = new Map<string, number>()
      for (const [i, [isSet, k]] of changes.entries()) {
        if (isSet) {
          map.set(k, i)
          model.set(k, i)
        } else if (map.delete(k) !== model.delete(k)) return false
      }
      const sorted = [...model.keys()].sort((a, b) => Buffer.compare(utf8(a), utf8(b)))
      const page = (from: string | undefined) =>
        sorted.filter((k) => k.startsWith(prefix) && (from === undefined || Buffer.compare(utf8(k), utf8(from)) > 0)).slice(0, countMax)
      return (
        map.size === model.size &&
        sorted.every((k) => map.get(k) === model.get(k)) &&
        JSON.stringify(map.keys(prefix, undefined, countMax)) === JSON.stringify(page(undefined)) &&
        JSON.stringify(map.keys(prefix, after, countMax)) === JSON.stringify(page(after))
      )
    }),
    { numRuns: 2_000 },
  )
})

t.test("`SortedMap.keys()` pages through everything when there are many runs", async (t) => {
  const map = new SortedMap<number>()
  const count = 5_000
  // A multiplicative permutation: every key once, far from sorted.
  for (let i = 0; i < count; i++) map.set(`k${String((i * 2_654_435_761) % 1_000_003).padStart(7, "0")}`, i)
  const seen: Array<string> = []
  for (let after: string | undefined; ;) {
    const page = map.keys("k", after, 97)
    seen.push(...page)
    if (page.length < 97) break
    after = page.at(-1)
  }
  t.equal(seen.length, count)
  t.same(seen, [...seen].sort())
  t.ok(seen.every((key) => map.delete(key)))
  t.equal(map.size, 0)
  t.same(map.keys("", undefined, 10), [])
})

t.test("`memoryKeyValue()` copies values in and out", async (t) => {
  const store = memoryKeyValue()
  const value = bytes(1, 2, 3)
  store.set("t/a", value)
  value[0] = 9
  const out = store.get("t/a") as Uint8Array
  t.same(out, bytes(1, 2, 3))
  out[0] = 7
  t.same(store.get("t/a"), bytes(1, 2, 3))
  t.equal(store.get("t/b"), undefined)
  t.equal(store.has("t/a"), true)
  t.equal(store.delete("t/a"), true)
  t.equal(store.delete("t/a"), false)
})

t.test("`memoryKeyValue()` names the limit that a write exceeds, and writes nothing", async (t) => {
  const store = memoryKeyValue({ keyBytesMax: 6, valueBytesMax: 10, tenantKeysMax: 2, tenantBytesMax: 20, totalBytesMax: 30 })
  t.equal(
    limitOf(() => store.set("t/1234", bytes())),
    "none",
    "at the limit",
  )
  t.equal(
    limitOf(() => store.set("t/12345", bytes())),
    "keyValue.keyBytesMax 6 < 7",
  )
  t.equal(
    limitOf(() => store.set("t/ééé", bytes())),
    "keyValue.keyBytesMax 6 < 8",
    "bytes, not characters",
  )
  t.equal(
    limitOf(() => store.set("t/a", new Uint8Array(10))),
    "none",
  )
  t.equal(
    limitOf(() => store.set("t/a", new Uint8Array(11))),
    "keyValue.valueBytesMax 10 < 11",
  )
  t.equal(
    limitOf(() => store.set("t/b", bytes())),
    "keyValue.tenantKeysMax 2 < 3",
  )
  store.delete("t/1234")
  t.equal(
    limitOf(() => store.set("t/b", new Uint8Array(4))),
    "none",
    "20 bytes: at the limit",
  )
  t.equal(
    limitOf(() => store.set("t/b", new Uint8Array(5))),
    "keyValue.tenantBytesMax 20 < 21",
  )
  t.equal(
    limitOf(() => store.set("u/a", new Uint8Array(7))),
    "none",
    "another tenant, 30 bytes in all",
  )
  t.equal(
    limitOf(() => store.set("u/a", new Uint8Array(8))),
    "keyValue.totalBytesMax 30 < 31",
  )
  t.equal((store.get("u/a") as Uint8Array).length, 7, "a refused write leaves the old value")
  store.delete("t/a")
  t.equal(
    limitOf(() => store.set("u/a", new Uint8Array(8))),
    "none",
    "room comes back",
  )
  t.equal(store.size, 2)
  t.equal(
    codeOf(() => memoryKeyValue({ keysMax: 1 } as never)),
    "STELE-CFG-0001",
  )
  t.equal(
    codeOf(() => memoryKeyValue({ keyBytesMax: -1 })),
    "STELE-CFG-0002",
  )
  t.equal(
    codeOf(() => memoryKeyValue({ keyBytesMax: Number.NaN })),
    "STELE-CFG-0002",
  )
})

t.test("`memoryKeyValue()` swaps only while the version is the one seen", async (t) => {
  const store = memoryKeyValue()
  t.equal(store.swap("t/a", undefined, bytes(1)), true, "still absent")
  t.equal(store.swap("t/a", undefined, bytes(2)), false, "no longer absent")
  const { version } = store.getVersioned("t/a") as { version: number }
  store.set("t/a", bytes(1))
  t.equal(store.swap("t/a", version, bytes(3)), false, "written since, with the same bytes")
  store.delete("t/a")
  store.set("t/a", bytes(1))
  t.equal(store.swap("t/a", version, bytes(3)), false, "deleted and made again")
  t.equal(store.swap("t/a", (store.getVersioned("t/a") as { version: number }).version, bytes(4)), true)
  t.same(store.get("t/a"), bytes(4))
})

t.test("`memoryKeyValue()` counts in decimal text within the range asked", async (t) => {
  const store = memoryKeyValue()
  const max = (1n << 63n) - 1n
  t.equal(store.increment("t/n", 5n, -max, max), 5n)
  t.equal(store.increment("t/n", -8n, -max, max), -3n)
  t.same(store.get("t/n"), utf8("-3"))
  t.throws(() => store.increment("t/n", -1n, -3n, max), CounterError, "below the range")
  t.same(store.get("t/n"), utf8("-3"), "nothing written")
  for (const bad of ["", "1.5", "0x10", " 1", "1e3", "९", "1".repeat(21), "--1"]) {
    store.set("t/x", utf8(bad))
    t.throws(() => store.increment("t/x", 1n, -max, max), CounterError, bad)
  }
})

t.test("`memoryBlob()` replaces whole objects and reads ranges of them", async (t) => {
  let now = 1_700_000_000_000
  const store = memoryBlob({}, () => now)
  store.put("t/c/a", bytes(1, 2, 3, 4))
  t.same(store.get("t/c/a"), bytes(1, 2, 3, 4))
  t.same(store.get("t/c/a", 1, 3), bytes(2, 3))
  t.same(store.get("t/c/a", 3, 99), bytes(4))
  t.same(store.info("t/c/a"), { bytes: 4, createdAtMs: now })
  now += 5
  store.put("t/c/a", bytes(9))
  t.same(store.info("t/c/a"), { bytes: 1, createdAtMs: now })
  t.same(store.list("t/c/", undefined, 10), ["t/c/a"])
  t.equal(store.get("t/c/b"), undefined)
  t.equal(store.info("t/c/b"), undefined)
  t.equal(store.delete("t/c/a"), true)
  t.equal(store.delete("t/c/a"), false)
  t.equal(store.size, 0)
})

t.test("`memoryBlob()` names the limit that an object exceeds", async (t) => {
  const store = memoryBlob({ keyBytesMax: 4, objectBytesMax: 10, tenantObjectsMax: 2, tenantBytesMax: 15, totalBytesMax: 20 })
  t.equal(
    limitOf(() => store.put("t/aaa", bytes())),
    "blob.keyBytesMax 4 < 5",
  )
  t.equal(
    limitOf(() => store.put("t/a", new Uint8Array(11))),
    "blob.objectBytesMax 10 < 11",
  )
  t.equal(
    limitOf(() => store.put("t/a", new Uint8Array(10))),
    "none",
  )
  t.equal(
    limitOf(() => store.put("t/b", new Uint8Array(6))),
    "blob.tenantBytesMax 15 < 16",
  )
  t.equal(
    limitOf(() => store.put("t/b", new Uint8Array(5))),
    "none",
  )
  t.equal(
    limitOf(() => store.put("t/c", bytes())),
    "blob.tenantObjectsMax 2 < 3",
  )
  t.equal(
    limitOf(() => store.put("u/a", new Uint8Array(6))),
    "blob.totalBytesMax 20 < 21",
  )
  t.equal(
    limitOf(() => store.put("u/a", new Uint8Array(5))),
    "none",
  )
  store.delete("t/a")
  t.equal(
    limitOf(() => store.put("u/b", new Uint8Array(10))),
    "none",
    "room comes back",
  )
})

t.test("`memoryEvent()` numbers events, drops the oldest when full, and says how many were missed", async (t) => {
  const bus = memoryEvent({ topicEventsMax: 3 })
  t.same(bus.read("t/x", 0n, 10), { events: [], lost: 0n })
  for (let i = 1; i <= 3; i++) t.equal(bus.publish("t/x", bytes(i)), BigInt(i))
  const all = bus.read("t/x", 0n, 10)
  t.same(all, { events: [1, 2, 3].map((i) => ({ sequence: BigInt(i), payload: bytes(i) })), lost: 0n })
  t.equal(bus.publish("t/x", bytes(4)), 4n)
  t.same(bus.read("t/x", 0n, 1), { events: [{ sequence: 2n, payload: bytes(2) }], lost: 1n })
  t.same(
    bus.read("t/x", 2n, 10).events.map((e) => e.sequence),
    [3n, 4n],
  )
  t.same(bus.read("t/x", 4n, 10), { events: [], lost: 0n })
  t.same(bus.read("t/x", (1n << 64n) - 1n, 10), { events: [], lost: 0n })
  t.same(bus.read("t/y", 0n, 10).events, [], "topics are apart")
  t.ok(bus.drop("t/x"))
  t.equal(bus.publish("t/x", bytes(1)), 1n, "a dropped topic starts again")
})

t.test("`memoryEvent()` names the limit that an event exceeds", async (t) => {
  const bus = memoryEvent({ topicBytesMax: 4, payloadBytesMax: 10, tenantTopicsMax: 2, topicBytesKeptMax: 15, totalBytesMax: 20 })
  t.equal(
    limitOf(() => bus.publish("t/abc", bytes())),
    "event.topicBytesMax 4 < 5",
  )
  t.equal(
    limitOf(() => bus.publish("t/a", new Uint8Array(11))),
    "event.payloadBytesMax 10 < 11",
  )
  bus.publish("t/a", new Uint8Array(10))
  bus.publish("t/a", new Uint8Array(10))
  t.equal(bus.read("t/a", 0n, 9).lost, 1n, "bytes kept are bounded, too")
  bus.publish("t/b", bytes())
  t.equal(
    limitOf(() => bus.publish("t/c", bytes())),
    "event.tenantTopicsMax 2 < 3",
  )
  t.equal(
    limitOf(() => bus.publish("u/a", new Uint8Array(10))),
    "none",
  )
  t.equal(
    limitOf(() => bus.publish("u/b", bytes(1))),
    "event.totalBytesMax 20 < 21",
  )
  bus.drop("t/a")
  t.equal(
    limitOf(() => bus.publish("u/b", bytes(1))),
    "none",
    "room comes back",
  )
})

t.test("`memoryLog()` keeps the newest records and counts the others", async (t) => {
  const log = memoryLog({ recordsMax: 2 })
  for (const message of ["a", "b", "c"]) log.write({ plugin: "p", tenant: "t", level: "info", context: "", message, isTruncated: false })
  t.same(
    log.records.map((r) => r.message),
    ["b", "c"],
  )
  t.equal(log.dropped, 1)
})

t.test("`escapeText()` leaves no control, escape or bidi character", async (t) => {
  t.equal(escapeText("a\u001b[31mb\r\nc\u202ed\u0000\u009b\u2028\tkey 鍵"), "a\\u{1b}[31mb\\u{d}\\u{a}c\\u{202e}d\\u{0}\\u{9b}\\u{2028}\tkey 鍵")
})

t.test("`memoryObserver()` keeps a bounded number of events and shows what it dropped", async (t) => {
  const observer = memoryObserver({ eventsMax: 2 })
  const denial = (grant: string): ObserverEvent => ({ type: "denial", plugin: "p", tenant: "t", grant })
  for (const grant of ["a", "b", "c"]) observer.emit(denial(grant))
  t.equal(observer.dropped, 1)
  t.same(observer.drain(), [denial("a"), denial("b")])
  t.same(observer.events, [])
  observer.emit(denial("d"))
  t.same(observer.events, [denial("d")])
})

t.test("`memoryConfig()` and `memorySecret()` answer a tenant's own value before the shared one, and no prototype's", async (t) => {
  const config = memoryConfig({ shared: { greeting: "hello", colour: "red" }, tenants: { "a/b": { greeting: "hi" } } })
  t.equal(config.get(tenantKey("a/b", "greeting")), "hi")
  t.equal(config.get(tenantKey("x", "greeting")), "hello")
  t.equal(config.get(tenantKey("a", "b/greeting")), undefined)
  for (const name of ["__proto__", "constructor", "toString"]) t.equal(config.get(tenantKey("x", name)), undefined)
  t.same(config.list(tenantKey("a/b", ""), 10), [
    ["colour", "red"],
    ["greeting", "hi"],
  ])
  t.same(config.list(tenantKey("x", ""), 1), [["colour", "red"]])
  t.equal(
    codeOf(() => memoryConfig({ greeting: "hello" } as never)),
    "STELE-CFG-0001",
    "values without a scope",
  )
  const key = bytes(1, 2)
  const secret = memorySecret({ tenants: { x: { key } } })
  const read = secret.get(tenantKey("x", "key")) as Uint8Array
  read[0] = 9
  t.same(secret.get(tenantKey("x", "key")), bytes(1, 2))
  t.equal(secret.get(tenantKey("y", "key")), undefined)
})

t.test("`memoryRandom()` gives fresh bytes up to its limit", async (t) => {
  const random = memoryRandom({ bytesMax: 200_000 })
  const a = random.bytes(200_000) as Uint8Array
  t.equal(a.length, 200_000, "more than one request to the platform")
  t.ok(a.subarray(190_000).some((b) => b !== 0))
  t.notSame(random.bytes(32), random.bytes(32))
  t.equal((random.bytes(0) as Uint8Array).length, 0)
  t.equal(
    limitOf(() => random.bytes(200_001)),
    "random.bytesMax 200000 < 200001",
  )
})

t.test("`memoryWallClock()` and `memoryMonotonicClock()` tell the platform's time", async (t) => {
  t.equal(memoryWallClock(() => 1_234.9).nowNs(), 1_234_000_000n)
  t.equal(memoryWallClock(() => -5).nowNs(), 0n, "never before the epoch")
  const wall = memoryWallClock().nowNs()
  t.ok(Math.abs(Number(wall / 1_000_000n) - Date.now()) < 1_000)
  const clock = memoryMonotonicClock()
  let last = clock.nowNs()
  for (let i = 0; i < 1_000; i++) {
    const now = clock.nowNs()
    if (now < last) t.fail("went back")
    last = now
  }
  const before = clock.nowNs()
  clock.wait?.(2)
  t.ok(clock.wait === undefined || clock.nowNs() - before >= 1_500_000n, "waits without turning the loop")
  t.equal(memoryMonotonicClock({ waitMsMax: 0 }).wait, undefined)
})

t.test("`manualMonotonicClock()` moves only when it is told to", async (t) => {
  const clock = manualMonotonicClock(5n)
  t.equal(clock.nowNs(), 5n)
  clock.advance(10n)
  clock.wait?.(1)
  t.equal(clock.nowNs(), 1_000_015n)
})

t.test("`memoryPorts()` fills in what is not given and asks no admission unless told to", async (t) => {
  const log = memoryLog()
  const ports = memoryPorts({ log })
  t.equal(ports.log, log)
  t.equal(ports.admission, undefined)
  const admission = memoryAdmission()
  t.equal(memoryPorts({ admission }).admission, admission)
  t.same(await admission.load({ plugin: "sha256:0", tenant: "t", bytes: 1, grants: [] }), { admit: true })
  t.same(await admission.call({ plugin: "sha256:0", tenant: "t", export: "run" }, {}), { admit: true })
})

t.test("`layerMemory` provides every port as a service, made afresh for each build", async (t) => {
  const program = Effect.gen(function* () {
    const store = yield* KeyValue
    const before = store.get("t/a")
    store.set("t/a", bytes(1))
    const ports = yield* portsEffect
    return { before, isSame: ports.keyValue === store, names: Object.keys(ports).sort() }
  }).pipe(Effect.provide(layerMemory))
  for (let i = 0; i < 2; i++) {
    const seen = await Effect.runPromise(program)
    t.equal(seen.before, undefined)
    t.ok(seen.isSame)
    t.same(seen.names, [
      "admission",
      "blob",
      "config",
      "event",
      "http",
      "keyValue",
      "log",
      "monotonicClock",
      "observer",
      "random",
      "secret",
      "socket",
      "wallClock",
    ])
  }
})

t.test("`portsEffect` takes single services in place of the memory ones", async (t) => {
  const log = memoryLog()
  const layer = Layer.mergeAll(layerMemory, Layer.succeed(Log, log), Layer.succeed(Config, memoryConfig({ shared: { a: "1" } })))
  const ports = await Effect.runPromise(portsEffect.pipe(Effect.provide(layer)))
  t.equal(ports.log, log)
  t.equal(ports.config.get("t/a"), "1")
  t.same(await ports.admission?.call({ plugin: "sha256:0", tenant: "t", export: "run" }, {}), { admit: true })
})

t.test("`portsEffect` asks no admission when there is no such service", async (t) => {
  const layers = [KeyValue, Blob, Log, WallClock, MonotonicClock, Random, Config, Secret, Event, Http, Socket, Observer].map(
    (service) => service.layerMemory,
  ) as [typeof KeyValue.layerMemory]
  const ports = await Effect.runPromise(portsEffect.pipe(Effect.provide(Layer.mergeAll(...layers))) as Effect.Effect<Ports>)
  t.equal(ports.admission, undefined)
  t.ok(ports.keyValue !== undefined)
})
