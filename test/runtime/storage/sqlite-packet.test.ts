/** What goes between a store and its thread: that it arrives as it was asked for, in its order, and that whoever waits for it leaves the event loop to others. */
import { existsSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { MessageChannel, receiveMessageOnPort } from "node:worker_threads"
import { crc32 } from "node:zlib"
import t from "tap"
import { type StorageError, tenantKey } from "../../../runtime/mod.ts"
import { storeLimitsFrom } from "../../../runtime/port/limits.ts"
import { placeOf } from "../../../runtime/port/place.ts"
import type { Operation } from "../../../runtime/port/store.ts"
import { clockBase, clockFrom } from "../../../runtime/storage/clock.ts"
import { guestKeyValue } from "../../../runtime/storage/guest.ts"
import { sumOf } from "../../../runtime/storage/row.ts"
import { SqliteStore, SqliteWriter } from "../../../runtime/storage/sqlite/mod.ts"
import { Outbox, type Packet, packOutcomes, unpack } from "../../../runtime/storage/sqlite/packet.ts"
import { type Answer, Turns } from "../../../runtime/storage/sqlite/turns.ts"
import type { Request, Step } from "../../../runtime/storage/sqlite/worker.ts"
import { answer, engines, start } from "../../host/engine.ts"
import { randomFrom } from "./random.ts"
import { seed } from "../../seed.ts"

t.setTimeout(300_000)
const folder = await mkdtemp(join(tmpdir(), "stele-packet-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
let files = 0
const program = fileURLToPath(new URL("sqlite-program.ts", import.meta.url))
const newPath = (): string => join(folder, `${files++}.db`)
const key = (name: string): string => tenantKey("ada", name)
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const set = (name: string, value: Uint8Array = bytes(name)): Operation => ({ op: "set", ...placeOf(key(name)), value })

/** As it comes out at a port's other end. */
function sent(outbox: Outbox): Array<Request | Step> {
  const { port1, port2 } = new MessageChannel()
  const [packet, transfer] = outbox.take()
  port1.postMessage(packet, transfer)
  const received = (receiveMessageOnPort(port2) as { readonly message: Packet }).message
  port1.close()
  return unpack(received)
}

/** The same with plain bytes, and without what is undefined: a view is its bytes. */
const plain = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString("hex")}`
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).flatMap(([name, each]) => (each === undefined ? [] : [[name, plain(each)]])))
}

t.test("operations of every kind arrive as they were asked for, whatever their bytes are made of", async (t) => {
  const random = randomFrom(seed)
  const sizes = [0, 1, 5, 63, 64, 65, 300, 1_023, 1_024, 1_025, 70_000, 1 << 20]
  const pool = new Uint8Array(4 << 20).map((_, i) => i * 31)
  const some = (): Uint8Array => {
    const size = sizes[random(random(8) === 0 ? sizes.length : 8)] as number
    const from = random(1_000)
    const kinds = [
      () => pool.subarray(from, from + size),
      () => Buffer.from(pool.subarray(from, from + size)),
      () => new Uint8Array(pool.subarray(from, from + size)),
      () => {
        const shared = new Uint8Array(new SharedArrayBuffer(size))
        shared.set(pool.subarray(from, from + size))
        return shared
      },
    ]
    return (kinds[random(kinds.length)] as () => Uint8Array)()
  }
  const tenants = ["", "ada", "ada", "bob", "a".repeat(300)].map(bytes)
  const operation = (): Operation => {
    const place = { tenant: tenants[random(tenants.length)] as Uint8Array, key: some() }
    const kinds: ReadonlyArray<() => Operation> = [
      () => ({ op: "set", ...place, value: some() }),
      () => ({ value: some(), ...place, op: "set" }),
      () => ({ op: "set", ...place, value: some(), ttlMs: undefined }),
      () => ({ op: "set", ...place, value: some(), ttlMs: 60_000 }),
      () => ({ op: "set", ...place, value: some(), keepsEnd: true }),
      () => ({ op: "swap", ...place, version: undefined, value: some() }),
      () => ({ op: "swap", ...place, version: 2 ** 52, value: some() }),
      () => ({ op: "increment", ...place, delta: -1n, min: -(1n << 63n), max: 1n << 62n }),
      () => ({ op: "delete", ...place }),
      () => ({ op: "require", ...place, version: undefined }),
      () => ({ op: "publish", ...place, payload: some() }),
      () => ({ op: "drop", ...place }),
      () => ({ op: "append", ...place, payload: some() }),
      () => ({ op: "append", ...place, payload: some(), expect: 3n }),
      () => ({ op: "trim", ...place, before: 1n }),
      () => ({ op: "link", ...place, digest: some(), bytes: 1 }),
      () => ({ op: "unlink", ...place }),
      () => ({ op: "record", tenant: place.tenant, records: some() }),
      () => ({ op: "erase", tenant: place.tenant, countMax: 9 }),
      () => ({ op: "enqueue", ...place, jobs: [{ payload: some(), priority: 1 }] }),
      () => ({ op: "sql", sql: "SELECT ?", parameters: [some(), 1, "text", null] }) as unknown as Operation,
    ]
    return (kinds[random(kinds.length)] as () => Operation)()
  }
  const outbox = new Outbox()
  let id = 2 ** 33
  for (let round = 0; round < 60; round++) {
    const wanted: Array<unknown> = []
    const given: Array<Uint8Array> = []
    for (let count = random(random(5) === 0 ? 400 : 20); count >= 0; count--) {
      id += 1 + random(3)
      if (random(20) === 0) {
        outbox.addStep({ id, transaction: 5, step: "commit" })
        wanted.push({ id, transaction: 5, step: "commit" })
        continue
      }
      const batch = Array.from({ length: random(4) }, operation)
      const isBlocking = random(9) === 0
      wanted.push(plain({ id, batch, ...(isBlocking ? { isBlocking } : {}) }))
      outbox.add(id, batch, isBlocking)
      for (const each of batch) for (const part of Object.values(each)) if (part instanceof Uint8Array && part.buffer !== pool.buffer) given.push(part)
    }
    // What callers do with their bytes afterwards is their own affair; tenants are the same objects in every round.
    for (const part of given) if (!tenants.includes(part)) part.fill(0xee)
    t.same(sent(outbox).map(plain), wanted, `round ${round}`)
    t.equal(outbox.count, 0)
  }
})

t.test("a batch that is refused while it is taken in leaves nothing of it with the others", async (t) => {
  const outbox = new Outbox()
  const detached = bytes("gone")
  structuredClone(detached, { transfer: [detached.buffer] })
  const first = [set("a", new Uint8Array(900)), set("b")]
  outbox.add(1, first, false)
  const refused: ReadonlyArray<readonly [batch: ReadonlyArray<Operation>, wanted: { readonly code: string } | { readonly name: string }]> = [
    [[set("c", new Uint8Array(3_000)), set("d", "text" as unknown as Uint8Array)], { code: "STELE-CFG-0002" }],
    [[{ op: "set", tenant: Uint8Array.of(0xff), key: bytes("k"), value: bytes("v") }], { code: "STELE-CFG-0002" }],
    [[{ op: "delete", tenant: bytes("eve"), key: bytes("k") }, set("e", detached)], { name: "TypeError" }],
    [
      [
        { op: "erase", tenant: bytes("eve"), countMax: 1 },
        { op: "delete", tenant: 7 as unknown as Uint8Array, key: bytes("k") },
      ],
      { code: "STELE-CFG-0002" },
    ],
  ]
  for (const [batch, wanted] of refused) t.throws(() => outbox.add(2, batch, false), wanted)
  const last: ReadonlyArray<Operation> = [set("f"), { op: "erase", tenant: bytes("f"), countMax: 2 }, set("g", new Uint8Array(2_000).fill(1))]
  outbox.add(3, last, true)
  t.equal(outbox.count, 2)
  t.same(
    sent(outbox).map(plain),
    [
      { id: 1, batch: first },
      { id: 3, batch: last, isBlocking: true },
    ].map(plain),
  )
  // Also as the first of a packet.
  t.throws(() => outbox.add(4, [set("e", detached)], false), TypeError)
  t.equal(outbox.count, 0)
  outbox.add(9, first, false)
  t.same(sent(outbox).map(plain), [plain({ id: 9, batch: first })])
})

t.test("outcomes keep their order, and numbers, whatever they are", async (t) => {
  const outcomes: ReadonlyArray<Answer["outcome"]> = [
    { answers: [7] },
    { answers: [] },
    { error: new Error("no") },
    { answers: [Number.NaN] },
    { answers: [2 ** 53 - 1] },
    { answers: [undefined] },
    { answers: [1, 2] },
    { answers: [3n] },
    { answers: [0] },
  ]
  const packed = packOutcomes(
    outcomes.map((outcome, i) => ({ id: 2 ** 40 + i, outcome })),
    ({ message }) => ({ message }),
  )
  let other = 0
  const found = outcomes.map((_, i) => {
    t.equal(packed.outcomes[2 * i], 2 ** 40 + i)
    const answer = packed.outcomes[2 * i + 1] as number
    return Number.isNaN(answer) ? packed.others[other++] : { answers: [answer] }
  })
  t.same(
    found,
    outcomes.map((outcome) => ("error" in outcome ? { failure: { message: "no" } } : outcome)),
  )
})

t.test("a row's sum is that of its parts in one piece, whatever their sizes", async (t) => {
  const whole = (number: number): Buffer => {
    const eight = Buffer.alloc(8)
    eight.writeBigUInt64BE(BigInt(number))
    return eight
  }
  const lengthOf = (part: Uint8Array): Buffer => {
    const four = Buffer.alloc(4)
    four.writeUInt32BE(part.length)
    return four
  }
  const pool = Buffer.alloc(20_000, "some bytes and others")
  const different: Array<string> = []
  for (const tenantBytes of [0, 3, 4_012, 4_013, 5_000])
    for (const keyBytes of [0, 7, 4_008, 4_012, 9_000])
      for (const valueBytes of [0, 1, 300, 3_900, 4_000, 4_012, 4_095, 20_000])
        for (const more of [[], [2 ** 53 - 1], [0, 1, 2 ** 32, 5]]) {
          const [tenant, key, value] = [pool.subarray(0, tenantBytes), pool.subarray(1, 1 + keyBytes), pool.subarray(0, valueBytes)]
          const parts = [lengthOf(tenant), lengthOf(key), lengthOf(value), whole(2 ** 40 + 1), tenant, key, value, ...more.map(whole)]
          if (sumOf({ tenant, key }, value, 2 ** 40 + 1, ...more) !== crc32(Buffer.concat(parts)))
            different.push(`${tenantBytes} ${keyBytes} ${valueBytes} ${more.length}`)
        }
  t.same(different, [])
})

t.test("5,000 writes are answered in their order, a few in each turn of the event loop", async (t) => {
  await using store = await SqliteStore.open(newPath(), { keyValue: { valueBytesMax: 100 } })
  let turn = 0
  const counting = { isOver: false }
  const count = (): void => {
    turn++
    if (!counting.isOver) setImmediate(count)
  }
  count()
  const inTurn = new Map<number, number>()
  const order: Array<number> = []
  const kinds = ["kept", "two", "STELE-CAP-0008", "counted"]
  const writes = Array.from({ length: 5_000 }, async (_, i) => {
    const batches: ReadonlyArray<ReadonlyArray<Operation>> = [
      [set(`k${i}`)],
      [set(`k${i}`), { op: "delete", ...placeOf(key(`k${i - 1}`)) }],
      [set(`k${i}`, new Uint8Array(101))],
      [{ op: "increment", ...placeOf(key("count")), delta: 1n, min: 0n, max: 1n << 40n }],
    ]
    let outcome: string
    try {
      const answers: ReadonlyArray<unknown> = await store.apply(batches[i % 4] as ReadonlyArray<Operation>)
      outcome = answers.length === 2 ? "two" : typeof answers[0] === "bigint" ? "counted" : "kept"
    } catch (error) {
      outcome = (error as { readonly code: string }).code
    }
    order.push(i)
    inTurn.set(turn, (inTurn.get(turn) ?? 0) + 1)
    return outcome
  })
  const outcomes = await Promise.all(writes)
  counting.isOver = true
  t.same(
    outcomes,
    Array.from({ length: 5_000 }, (_, i) => kinds[i % 4]),
  )
  t.same(
    order,
    Array.from({ length: 5_000 }, (_, i) => i),
  )
  // A message may come in the same turn as what is left of the one before.
  const most = Math.max(...inTurn.values())
  t.ok(most <= 128, `at most ${most} in one turn`)
  t.same(await store.check(), [])
})

t.test("a caller that blocks the thread has its answer while others wait for their turn, and sees what was asked for before", async (t) => {
  await using store = await SqliteStore.open(newPath())
  const keyValue = guestKeyValue(store)
  const order: Array<number> = []
  let blockings = 0
  await Promise.all(
    Array.from({ length: 3_000 }, async (_, i) => {
      const [version] = (await store.apply([{ op: "set", ...placeOf(key(`k${i}`)), value: bytes(String(i)) }])) as readonly [number]
      order.push(i)
      if (i % 100 !== 50) return
      // By now the others' answers are here, or on their way.
      keyValue.set(key(`k${i}`), bytes("blocking"))
      // Answers of every kind before its own, in one message.
      const others = [[], [{ op: "delete", ...placeOf(key("none")) }], [set("x"), set("y")], [set("z", new Uint8Array(2 << 20))]] as const
      const answers = Promise.allSettled(others.map((batch) => store.apply(batch)))
      t.equal(keyValue.increment(key("count"), 1n, 0n, 1_000n), BigInt(++blockings))
      t.same(
        (await answers).map((outcome) => (outcome.status === "fulfilled" ? outcome.value.length : (outcome.reason as { readonly code: string }).code)),
        [0, 1, 2, "STELE-CAP-0008"],
      )
      t.ok((keyValue.getVersioned(key(`k${i}`))?.version ?? 0) > version)
      t.equal(Buffer.from(keyValue.get(key(`k${(i + 1) % 3_000}`)) as Uint8Array).toString(), String((i + 1) % 3_000))
    }),
  )
  t.equal(blockings, 30)
  t.same(
    order,
    Array.from({ length: 3_000 }, (_, i) => i),
  )
})

t.test("`close()` tells everybody who waited, also those whose turn had not come", async (t) => {
  const path = newPath()
  const store = await SqliteStore.open(path)
  // So many that the store's thread is started.
  await Promise.all(Array.from({ length: 100 }, (_, i) => store.apply([set(`k${i}`)])))
  const writes = Promise.allSettled(Array.from({ length: 4_000 }, (_, i) => store.apply([set(`k${i}`)])))
  const closed = store.close()
  // Until the thread has let go of the file, which removes its log: what it said and that it ended are heard in one turn.
  const untilMs = performance.now() + 20_000
  while (existsSync(`${path}-wal`) && performance.now() < untilMs) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
  await closed
  t.equal((await writes).filter(({ status }) => status === "fulfilled").length, 4_000)
  await using again = await SqliteStore.open(path)
  t.equal(again.askSync({ ask: "list", ...placeOf(key("")), beyond: undefined, countMax: 5_000 }).length, 4_000)
})

t.test("a process that waits for nothing stays until the last of many writes is told, and no longer", async (t) => {
  const path = newPath()
  const { status, stderr } = await start("node", program, ["leave", path, "1500"])
  t.equal(status, 0, stderr)
  await using store = await SqliteStore.open(path)
  t.equal(store.askSync({ ask: "list", ...placeOf(key("")), beyond: undefined, countMax: 5_000 }).length, 1_500)
})

t.test("values of a mebibyte go side by side with small ones", async (t) => {
  await using store = await SqliteStore.open(newPath())
  const value = (i: number): Uint8Array => new Uint8Array(i % 3 === 0 ? 1 << 20 : i % 3 === 1 ? 0 : 10).fill(i)
  await Promise.all(Array.from({ length: 12 }, (_, i) => store.apply([set(`k${i}`, value(i))])))
  for (let i = 0; i < 12; i++) t.ok(Buffer.compare(value(i), store.askSync({ ask: "get", ...placeOf(key(`k${i}`)) })?.value as Uint8Array) === 0)
  t.same(await store.check(), [])
})

t.test("1,000 writes at once, of all sizes, are kept on every engine", async (t) => {
  for (const engine of engines)
    t.same(await answer(engine, program, ["many", newPath(), "1000"]), { kept: "kk-".repeat(334).slice(0, 1_000), findings: [] }, String(engine))
})

/** Turns over a store of their own; `arrivals` come while a group is open, one list each time it is asked. */
function turnsOver(path: string, arrivals: Array<ReadonlyArray<Request | Step>>, groupMax = 100) {
  const writer = SqliteWriter.open(path, { acceptLoss: false, limits: storeLimitsFrom({}), clock: clockFrom(clockBase()) })
  const told: Array<ReadonlyArray<readonly [id: number, outcome: string]>> = []
  const turns = new Turns(writer, path, 60_000, {
    groupMax,
    send: (answers) =>
      told.push(
        answers.map(({ id, outcome }) => [id, "answers" in outcome ? "kept" : ((outcome.error as StorageError).reason?._tag ?? outcome.error.message)]),
      ),
    more: () => arrivals.shift() ?? [],
  })
  return { writer, turns, told }
}
const request = (id: number, ...batch: ReadonlyArray<Operation>): Request => ({ id, batch })

t.test("a group takes along what arrives while it is written, up to its limit, and stops before a transaction", async (t) => {
  const arrivals: Array<ReadonlyArray<Request | Step>> = [
    [request(2, set("b")), request(3, set("c"))],
    [request(4, set("d")), { id: 5, transaction: 50, step: "begin" }, request(6, set("f"))],
  ]
  const { writer, turns, told } = turnsOver(newPath(), arrivals)
  turns.take([request(1, set("a"))])
  t.same(told, [
    [
      [1, "kept"],
      [2, "kept"],
      [3, "kept"],
      [4, "kept"],
    ],
    [[5, "kept"]],
  ])
  // The one behind waits for the transaction's end; a blocking one would wait for itself, and ends it.
  turns.take([{ ...request(7, set("g")), isBlocking: true }])
  t.same(told.slice(2), [
    [
      [6, "kept"],
      [7, "kept"],
    ],
  ])
  turns.take([{ id: 8, transaction: 50, step: "commit" }])
  t.same(told.slice(3), [[[8, "Preempted"]]])
  turns.close()
  writer.close()

  const many = Array.from({ length: 12 }, (_, i) => [request(i + 1, set(`k${i}`))])
  const small = turnsOver(newPath(), many, 5)
  small.turns.take([request(0, set("k"))])
  while (many.length > 0) small.turns.take(many.shift() ?? [])
  t.same(
    small.told.map((group) => group.length),
    [5, 5, 3],
  )
  small.writer.close()
})

t.test("what arrives while a group is written has the time of its arrival", async (t) => {
  let nowUs = 1_000_000
  const set = { op: "set" as const, ...placeOf(key("k")), value: bytes("v"), ttlMs: 1_000 }
  const { writer, database } = SqliteWriter.memory("memory", { limits: storeLimitsFrom({}), clock: () => nowUs })
  const turns = new Turns(writer, "memory", 60_000, {
    groupMax: 100,
    send: () => undefined,
    more: () => {
      if (nowUs > 5_000_000) return []
      nowUs += 2_000_000
      return [request(nowUs, { ...set, key: bytes(`k${nowUs}`) })]
    },
  })
  turns.take([request(1, set)])
  t.same(
    database
      .prepare("SELECT expires_us AS us FROM key_value ORDER BY us")
      .all()
      .map(({ us }) => us),
    [2_000_000, 4_000_000, 6_000_000, 8_000_000],
  )
  t.equal(database.prepare("SELECT max(committed_us) AS us FROM commit_group").get()?.["us"], 7_000_000)
  writer.close()
})

t.test("a blocking batch that arrives behind a beginning transaction while a group is open goes before it", async (t) => {
  const arrivals: Array<ReadonlyArray<Request | Step>> = [
    [{ id: 2, transaction: 50, step: "begin" }, request(3, set("c")), { ...request(4, set("d")), isBlocking: true }, request(5, set("e"))],
  ]
  const { writer, turns, told } = turnsOver(newPath(), arrivals)
  turns.take([request(1, set("a"))])
  t.same(told, [
    [[1, "kept"]],
    [
      [3, "kept"],
      [4, "kept"],
    ],
    [[2, "kept"]],
  ])
  turns.take([{ id: 6, transaction: 50, step: "rollback" }])
  t.same(told.slice(3), [[[6, "kept"]], [[5, "kept"]]])
  writer.close()
})

t.test("a group that fails is told to all that it had taken, and those behind it are tried", async (t) => {
  const path = newPath()
  const arrivals: Array<ReadonlyArray<Request | Step>> = [[request(3, set("c"))], [], [request(5, set("e"))]]
  const { writer, turns, told } = turnsOver(path, arrivals)
  // An operation that no table has: a bug, which nobody's refusal may look like.
  turns.take([request(1, set("a")), request(2, { op: "nothing" } as unknown as Operation)])
  t.same(
    told.map((group) => group.map(([id]) => id)),
    [[1, 2]],
  )
  t.notOk(told[0]?.some(([, outcome]) => outcome === "kept"))
  turns.take([request(4, set("d"))])
  t.same(told.slice(1), [
    [
      [4, "kept"],
      [3, "kept"],
    ],
  ])
  writer.close()
  // Refused before the first is looked at: each is told, and nothing goes on for ever.
  turns.take([request(6, set("f")), request(7, set("g"))])
  t.same(told.slice(2), [
    [
      [6, "Closed"],
      [7, "Closed"],
    ],
  ])
})
