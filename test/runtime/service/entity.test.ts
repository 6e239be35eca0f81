/** Entities: order, replies, failures, lost answers and limits on a store in memory, and what fails without each rule. */
import fc from "../../property.ts"
import t from "tap"
import type { Decision, EntityKind, EntityMessage, ServeOptions } from "../../../runtime/port/entity.ts"
import type { Operation, Question, Store } from "../../../runtime/port/store.ts"
import { Entities } from "../../../runtime/service/entity.ts"
import { rightful } from "../../../runtime/service/entity-place.ts"
import { Keyring, masterFrom, sealed } from "../../../runtime/storage/sealed/mod.ts"
import { MemoryStore } from "../../../runtime/storage/sqlite/mod.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { mutantOf } from "../storage/mutant.ts"
import type { EntitySources } from "./entity-mutants.ts"
import { until } from "./entity-processes.ts"
import { isFull, seed } from "../../seed.ts"

t.setTimeout(600_000)
const tenant = Buffer.from("ada")
const quick = { backoffMs: 1, backoffMsMax: 5 }
const bytes = (text: string): Uint8Array => Buffer.from(text)
const textOf = (found: Uint8Array | undefined): string => Buffer.from(found ?? []).toString()
const numbers = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, i) => i)

type Receive = EntityKind<Array<number>>["receive"]
/** A list of numbers. */
const kindOf = (receive: Receive): EntityKind<Array<number>> => ({
  decode: (state) => JSON.parse(textOf(state)) as Array<number>,
  encode: (state) => bytes(JSON.stringify(state)),
  receive,
})
const numberIn = ({ payload }: EntityMessage): number => Number(textOf(payload))
const adds: Receive = (seen = [], message): Decision<Array<number>> => ({ state: [...seen, numberIn(message)], reply: message.payload })
const listOf = async (entities: Entities, id: string): Promise<ReadonlyArray<number>> => JSON.parse(textOf(await entities.stateOf(id)) || "[]") as Array<number>
const holds = (entities: Entities, id: string, count: number): Promise<ReadonlyArray<number>> =>
  until(`${count} messages of ${id}`, async () => {
    const found = await listOf(entities, id)
    return found.length >= count ? found : undefined
  })

/** Serves until it is disposed of. */
function serving(entities: Entities, receive: Receive = adds, options: Partial<ServeOptions> = {}) {
  const end = new AbortController()
  const served = entities.serve(kindOf(receive), { signal: end.signal, pollMs: 10, leaseMs: 2_000, ...options })
  served.catch(() => {})
  const close = () => {
    end.abort()
    return served
  }
  return { close, [Symbol.asyncDispose]: async () => void (await close()) }
}
const deadIn = (store: Store, entities: Entities, id: string) => store.ask({ ask: "dead", ...entities.queueOf(id), after: 0, countMax: 10 })

/** A store whose answers go another way. */
const over = (store: Store, apply: (batch: ReadonlyArray<Operation>) => Promise<unknown>): Store =>
  ({
    name: store.name,
    limits: store.limits,
    ask: (question: Question) => store.ask(question),
    onCommit: (listener: () => void) => store.onCommit(listener),
    apply,
  }) as unknown as Store

t.test("each message takes effect once and in the order of sending, whatever the store below", async (t) => {
  await using memory = new MemoryStore()
  await using below = new MemoryStore()
  const sealing = sealed(below, new Keyring(below, masterFrom(new Uint8Array(32).fill(7))))
  for (const [store, whose] of [
    [memory, undefined],
    [memory, tenant],
    [sealing, tenant],
  ] as const) {
    const entities = await Entities.open(store, "counter", { shards: 8, ...(whose === undefined ? {} : { tenant: whose }) })
    await using _ = serving(entities)
    const ids = numbers(30).map((i) => `é ${i}`)
    await Promise.all(
      ids.map(async (id) => {
        for (const i of numbers(20)) await entities.send(id, bytes(String(i)))
      }),
    )
    for (const id of ids) t.strictSame(await holds(entities, id, 20), numbers(20))
    t.equal(await entities.stateOf("nobody"), undefined)
    t.strictSame(await store.check(), [])
  }
})

t.test("`ask()` answers with the reply, which is empty when there is none, and leaves nothing behind", async (t) => {
  await using store = new MemoryStore()
  const entities = await Entities.open(store, "counter", { tenant, shards: 4 })
  await using _ = serving(entities, (seen, message) => (numberIn(message) < 0 ? undefined : adds(seen, message, new AbortController().signal)))
  t.strictSame((await Promise.all(numbers(50).map((i) => entities.ask(`a ${i % 7}`, bytes(String(i)))))).map(textOf), numbers(50).map(String))
  t.equal((await entities.ask("a 0", bytes("-1"))).length, 0)
  await until("no replies", async () =>
    (await store.ask({ ask: "list", tenant, key: bytes("entity/counter/reply/"), beyond: undefined, countMax: 10 })).length === 0 ? true : undefined,
  )
})

t.test("`ask()` says that nothing came in time, and the message takes effect later", async (t) => {
  await using store = new MemoryStore()
  const entities = await Entities.open(store, "counter", { tenant, shards: 4 })
  await t.rejects(entities.ask("a", bytes("0"), { timeoutMs: 50 }), { code: "STELE-STO-0081", reason: { _tag: "EntityTimeout", type: "counter", id: "a" } })
  await using _ = serving(entities)
  t.strictSame(await holds(entities, "a", 1), [0])
})

t.test("a message that fails is delivered again before those after it; after its last attempt it is a dead letter, and can be redriven", async (t) => {
  await using store = new MemoryStore()
  const entities = await Entities.open(store, "counter", { tenant, shards: 4 })
  let [failures, isBroken] = [0, true]
  await using _ = serving(entities, (seen = [], message) => {
    const number = numberIn(message)
    // What it did to the state that it was given before it threw is not to be seen.
    seen.push(99)
    if ((number === 1 && message.attempt < 3) || (number === 3 && isBroken)) {
      failures++
      throw new Error(`no ${number}`)
    }
    seen.pop()
    return { state: [...seen, number] }
  })
  for (const i of numbers(3)) await entities.send("a", bytes(String(i)), quick)
  const asked = entities.ask("a", bytes("3"), { ...quick, attemptsMax: 2 })
  await entities.send("a", bytes("4"))
  await t.rejects(asked, { code: "STELE-STO-0082", reason: { _tag: "EntityRefused", id: "a", detail: "no 3" } })
  t.strictSame(await holds(entities, "a", 4), [0, 1, 2, 4])
  t.equal(failures, 4)
  t.match(await deadIn(store, entities, "a"), [{ error: "no 3", attempts: 2 }])
  isBroken = false
  await store.apply([{ op: "redrive", ...entities.queueOf("a"), countMax: 10 }])
  t.strictSame(await holds(entities, "a", 5), [0, 1, 2, 4, 3])
})

t.test("what a decision asks for is kept with it or not at all", async (t) => {
  await using store = new MemoryStore()
  const entities = await Entities.open(store, "counter", { tenant, shards: 4 })
  const key = bytes("written")
  await using _ = serving(entities, (seen = [], message) => {
    const number = numberIn(message)
    const more: Array<Operation> = [{ op: "append", tenant, key, payload: bytes(`${message.id} ${number}`) }]
    if (message.id === "a") more.push(entities.message("b", message.payload))
    // The second is refused each time: a row that is not there is required.
    if (number === 1 && message.id === "a") more.push({ op: "require", tenant, key: bytes("absent"), version: 1 })
    return number === 9 ? { state: null } : { state: [...seen, number], operations: more }
  })
  for (const i of numbers(4)) await entities.send("a", bytes(String(i)), { ...quick, attemptsMax: 2 })
  t.strictSame(await holds(entities, "b", 3), [0, 2, 3])
  t.strictSame(await holds(entities, "a", 3), [0, 2, 3])
  const { entries } = await store.ask({ ask: "log", tenant, key, after: 0n, countMax: 100, bytesMax: 1 << 20 })
  t.strictSame(entries.map(({ payload }) => textOf(payload)).toSorted(), ["a 0", "a 2", "a 3", "b 0", "b 2", "b 3"])
  await entities.send("a", bytes("9"))
  await until("no state", async () => ((await entities.stateOf("a")) === undefined ? true : undefined))
  await entities.send("a", bytes("5"))
  t.strictSame(await holds(entities, "a", 1), [5], "as before the first message")
})

t.test("`message()` is sent if its batch is kept; the same idempotency key is the same message, for each entity its own", async (t) => {
  await using store = new MemoryStore()
  const entities = await Entities.open(store, "counter", { tenant, shards: 1 })
  const refused = store.apply([entities.message("a", bytes("7")), { op: "require", tenant, key: bytes("absent"), version: 1 }])
  await t.rejects(refused, { code: "STELE-STO-0040" })
  const first = await entities.send("a", bytes("0"), { idempotencyKey: "k" })
  t.equal(await entities.send("a", bytes("0"), { idempotencyKey: "k" }), first)
  await entities.send("b", bytes("0"), { idempotencyKey: "k" })
  await t.rejects(entities.send("a", bytes("1"), { idempotencyKey: "k" }), { code: "STELE-STO-0051" })
  await entities.send("a", bytes("1"))
  await using _ = serving(entities)
  t.strictSame(await holds(entities, "a", 2), [0, 1])
  t.strictSame(await holds(entities, "b", 1), [0])
})

t.test("a job that is no message is a dead letter at once, and messages after it are delivered", async (t) => {
  await using store = new MemoryStore()
  const entities = await Entities.open(store, "counter", { tenant, shards: 1 })
  const jobs = [{ payload: new Uint8Array(0), orderKey: "a" }, { payload: bytes("no order key") }, { payload: new Uint8Array([200, 1]), orderKey: "a" }]
  await store.apply([{ op: "enqueue", ...entities.queueOf("a"), jobs }])
  await entities.send("a", bytes("0"))
  await using _ = serving(entities)
  t.strictSame(await holds(entities, "a", 1), [0])
  await until("dead letters", async () => ((await deadIn(store, entities, "a")).length === 3 ? true : undefined))
  for (const { error, attempts } of await deadIn(store, entities, "a")) t.match({ error, attempts }, { error: /is no message to an entity/, attempts: 1 })
})

t.test("a state that cannot be read is its messages' failure, and no other entity's", async (t) => {
  await using store = new MemoryStore()
  const entities = await Entities.open(store, "counter", { tenant, shards: 1 })
  await store.apply([{ op: "set", tenant, key: bytes("entity/counter/state/a"), value: bytes("{") }])
  await using _ = serving(entities)
  await t.rejects(entities.ask("a", bytes("0"), { ...quick, attemptsMax: 2 }), { code: "STELE-STO-0082" })
  await entities.send("b", bytes("0"))
  t.strictSame(await holds(entities, "b", 1), [0])
})

t.test("what the store refuses of a decision is its message's failure", async (t) => {
  await using store = new MemoryStore({ keyValue: { valueBytesMax: 100 } })
  const entities = await Entities.open(store, "counter", { tenant, shards: 1 })
  await using _ = serving(entities, (seen = [], message) => ({ state: numberIn(message) === 0 ? seen.concat(Array.from({ length: 200 }, () => 1)) : [1] }))
  await t.rejects(entities.ask("a", bytes("0"), { ...quick, attemptsMax: 2 }), { code: "STELE-STO-0082", message: /valueBytesMax/ })
  await entities.ask("a", bytes("1"))
  t.strictSame(await listOf(entities, "a"), [1])
})

t.test("states stay in memory while they are used, and no more of them than `entitiesMax`", async (t) => {
  await using store = new MemoryStore()
  const entities = await Entities.open(store, "counter", { tenant, shards: 4 })
  let decoded = 0
  const run = async (options: Partial<ServeOptions>): Promise<number> => {
    const end = new AbortController()
    const kind = kindOf(adds)
    const counting = { ...kind, decode: (state: Uint8Array) => (decoded++, kind.decode(state)) }
    const served = entities.serve(counting, { signal: end.signal, pollMs: 10, ...options })
    decoded = 0
    for (const _ of numbers(5)) for (const id of ["a", "b", "c"]) await entities.ask(id, bytes("1"))
    end.abort()
    await served
    return decoded
  }
  t.equal(await run({}), 0, "no state was there")
  t.equal(await run({}), 3, "each is read once")
  t.equal(await run({ entitiesMax: 2 }), 15, "the one that is wanted next was used longest ago")
  t.ok((await run({ entitiesMax: 0 })) >= 15)
})

t.test("two that serve divide the shards, and when one ends the other has all", async (t) => {
  await using store = new MemoryStore()
  const entities = await Entities.open(store, "counter", { tenant, shards: 16 })
  await using _ = serving(entities, adds, { holder: "first" })
  const counts = async () => Object.fromEntries([...(await entities.owners())].map(([name, shards]) => [name, shards.length]))
  const divided = (wanted: Readonly<Record<string, number>>) =>
    until(JSON.stringify(wanted), async () => (JSON.stringify(await counts()) === JSON.stringify(wanted) ? true : undefined))
  await divided({ first: 16 })
  const second = serving(entities, adds, { holder: "second" })
  await until("halves", async () => {
    const found = await counts()
    return found["first"] === 8 && found["second"] === 8 ? true : undefined
  })
  const sending = Promise.all(
    numbers(40).map(async (id) => {
      for (const i of numbers(10)) await entities.send(String(id), bytes(String(i)))
    }),
  )
  await holds(entities, "0", 3)
  const { completed, lost } = await second.close()
  await divided({ first: 16 })
  await sending
  for (const id of numbers(40)) t.strictSame(await holds(entities, String(id), 10), numbers(10))
  t.ok(completed > 0)
  t.equal(lost, 0, "what ran was waited for")
})

t.test("a delivery that does not end is waited for no longer than `graceMs`, and delivered again elsewhere", async (t) => {
  await using store = new MemoryStore()
  const entities = await Entities.open(store, "counter", { tenant, shards: 1 })
  const stuck = Promise.withResolvers<void>()
  const raised = Promise.withResolvers<void>()
  const first = serving(
    entities,
    (_, __, signal) => {
      signal.addEventListener("abort", () => raised.resolve())
      stuck.resolve()
      return new Promise(() => {})
    },
    { graceMs: 20 },
  )
  await entities.send("a", bytes("0"))
  await stuck.promise
  await first.close()
  await raised.promise
  await using _ = serving(entities)
  t.strictSame(await holds(entities, "a", 1), [0])
})

t.test("what takes longer than a lease keeps it", async (t) => {
  await using store = new MemoryStore()
  const entities = await Entities.open(store, "counter", { tenant, shards: 1 })
  let deliveries = 0
  await using _ = serving(
    entities,
    async (seen, message, signal) => {
      deliveries++
      await new Promise((resume) => setTimeout(resume, 1_500))
      return adds(seen, message, signal) as Decision<Array<number>>
    },
    { leaseMs: 500 },
  )
  await entities.send("a", bytes("0"))
  t.strictSame(await holds(entities, "a", 1), [0])
  t.equal(deliveries, 1)
})

/** Commits that are refused, and answers that are lost, at random: of everything that serves, nothing is spared. */
function unsure(store: Store, random: () => number): Store {
  return over(store, async (batch) => {
    const chance = random()
    if (chance < 0.05) throw new StorageError("Busy", { store: "unsure", waitedMs: 0 })
    if (chance < 0.1) throw new StorageError("Unknown", { store: "unsure", detail: "not kept" })
    const answers = await store.apply(batch)
    if (chance < 0.15) throw new StorageError("Unknown", { store: "unsure", detail: "kept" })
    return answers
  })
}

t.test("each message takes effect once and in order when commits fail and answers are lost", async (t) => {
  await using store = new MemoryStore()
  t.comment(`seed ${seed}`)
  let state = seed
  const random = (): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) / 2 ** 32
  const entities = await Entities.open(store, "counter", { tenant, shards: 4 })
  const shaken = await Entities.open(unsure(store, random), "counter", { tenant })
  await using _ = serving(shaken, adds, { leaseMs: 200, pollMs: 5 })
  await using __ = serving(shaken, adds, { leaseMs: 200, pollMs: 5 })
  const ids = numbers(isFull ? 100 : 20).map(String)
  for (const i of numbers(20)) await Promise.all(ids.map((id) => entities.send(id, bytes(String(i)), { ...quick, attemptsMax: 1_000 })))
  for (const id of ids) t.strictSame(await holds(entities, id, 20), numbers(20))
  t.strictSame(await store.check(), [])
})

t.test("`Entities.open()` and `serve()` refuse names, numbers and options out of range", async (t) => {
  await using store = new MemoryStore()
  for (const type of ["", "A", "a/b", "-a", "a".repeat(65), "é"]) await t.rejects(Entities.open(store, type), { code: "STELE-CFG-0002" }, type)
  for (const shards of [0, 1.5, 257, Number.NaN]) await t.rejects(Entities.open(store, "counter", { shards }), { code: "STELE-CFG-0002" }, String(shards))
  const entities = await Entities.open(store, "counter", { shards: 3 })
  t.equal((await Entities.open(store, "counter")).shards, 3)
  await t.rejects(Entities.open(store, "counter", { shards: 4 }), { code: "STELE-STO-0080", reason: { _tag: "EntityShards", asked: 4, found: 3 } })
  t.equal((await Entities.open(store, "counter", { tenant })).shards, 64, "another tenant's are others")
  const opened = await Promise.all(numbers(10).map(() => Entities.open(store, "race", {})))
  t.ok(opened.every(({ shards }) => shards === 64))
  for (const id of ["", "\ud800", "x".repeat(257), 1 as unknown as string])
    await t.rejects(entities.send(id, bytes("")), { code: /STELE-C(FG-0002|AP-\d+)/ }, String(id).slice(0, 9))
  await t.rejects(entities.send("a", "text" as unknown as Uint8Array), { code: "STELE-CFG-0002" })
  await t.rejects(entities.send("a", new Uint8Array(256 << 10)), { message: /messageBytesMax/ })
  await entities.send("x".repeat(256), new Uint8Array((256 << 10) - 64))
  const none = { signal: new AbortController().signal }
  for (const options of [
    { leaseMs: 99 },
    { leaseMs: 3_600_001 },
    { pollMs: 0 },
    { leaseMs: 100, pollMs: 51 },
    { concurrency: 0 },
    { entitiesMax: -1 },
    { holder: "" },
    { holder: "x".repeat(257) },
  ])
    await t.rejects(entities.serve(kindOf(adds), { ...none, ...options }), { code: "STELE-CFG-0002" }, JSON.stringify(options).slice(0, 40))
})

t.test("`serve()` ends with what the store does not get over", async (t) => {
  const store = new MemoryStore()
  const entities = await Entities.open(store, "counter", { shards: 3 })
  const served = entities.serve(kindOf(adds), { signal: new AbortController().signal, pollMs: 5 })
  served.catch(() => {})
  await until("an owner", async () => ((await entities.owners()).get("") === undefined ? true : undefined))
  await store.close()
  await t.rejects(served, { code: "STELE-STO-0010" })
})

t.test("`rightful()` gives each shard to one, none more than its part, and moves little when somebody comes", async (t) => {
  const member = fc.uuid()
  fc.assert(
    fc.property(fc.uniqueArray(member, { minLength: 1, maxLength: 12 }), member, fc.integer({ min: 1, max: 256 }), (members, other, shards) => {
      const owners = rightful(members, shards)
      const counts = new Map<string, number>()
      for (const owner of owners) counts.set(owner as string, (counts.get(owner as string) ?? 0) + 1)
      const most = Math.ceil(shards / members.length)
      if (members.includes(other)) return true
      const moved = rightful([...members, other], shards).filter((owner, shard) => owner !== owners[shard]).length
      return (
        owners.every((owner) => members.includes(owner as string)) &&
        [...counts.values()].every((count) => count <= most) &&
        // What the new one has, and for each of the others what is over the new part.
        moved <= 2 * Math.ceil(shards / (members.length + 1)) + members.length
      )
    }),
    { numRuns: isFull ? 5_000 : 300 },
  )
  t.strictSame(rightful(["a", "b", "c"], 64), rightful(["c", "a", "b"], 64), "in whatever order they are seen")
})

t.test("a source with one rule taken out does not pass", async (t) => {
  const at = new URL("./entity-sources.ts", import.meta.url)
  /** Numbers of one entity after ten messages, of which the third fails once; undefined when they never come. */
  const outcome = async ({ Entities, MemoryStore }: EntitySources): Promise<string> => {
    await using store = new MemoryStore()
    const entities = await Entities.open(store, "counter", { tenant, shards: 1 })
    const end = new AbortController()
    const kind = kindOf((seen = [], message) => {
      seen.push(numberIn(message))
      if (numberIn(message) === 3 && message.attempt === 1) throw new Error("no")
      return { state: seen.slice() }
    })
    const served = entities.serve(kind, { signal: end.signal, pollMs: 5 })
    served.catch(() => {})
    for (const i of numbers(10)) await entities.send("a", bytes(String(i)), { backoffMs: 20 })
    const depth = () => store.ask({ ask: "queue", ...entities.queueOf("a") })
    await until("an empty queue", async () => (Object.values(await depth()).every((n) => n === 0 || n === undefined) ? true : undefined), 5_000).catch(() => {})
    const found = textOf(await entities.stateOf("a"))
    end.abort()
    await served
    return found
  }
  const wanted = JSON.stringify(numbers(10))
  const delivers = "      if (isTaking) this.#deliver(shard, (answers.at(-1) as { readonly jobs: ReadonlyArray<LeasedJob> }).jobs, leasedMs)\n"
  t.equal(await outcome((await import(at.href)) as EntitySources), wanted)
  for (const [rule, file, from, to] of [
    [
      "a state that a failed handler changed is forgotten",
      "service/entity-host.ts",
      "    this.#cells.delete(id)\n    if (error instanceof Gone",
      "    if (error instanceof Gone",
    ],
    ["the new state is in memory before the next message is delivered", "service/entity-host.ts", `      kept?.()\n${delivers}`, `${delivers}      kept?.()\n`],
  ] as const)
    t.not(await outcome(await mutantOf<EntitySources>(at, [{ file, from, to }])), wanted, rule)
})
