/** Compare-and-set is linearizable: the checker proved on planted histories, then the store under clients that fight. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import type { BatchResults, Operation } from "../../../../runtime/port/store.ts"
import { textOf } from "../../../../runtime/port/place.ts"
import { randomFrom } from "../random.ts"
import { type Action, type Answer, type Call, check } from "./checker.ts"
import { callsOf, type Event, openBackend, readAll, type Register, work } from "./client.ts"
import { isFull, replay, seed } from "../../../seed.ts"

t.setTimeout(900_000)
t.comment(`${replay} replays`)
const folder = await mkdtemp(join(tmpdir(), "stele-linear-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
const program = fileURLToPath(new URL("program.ts", import.meta.url))

/** A call of one key from start to end; without an end its outcome is unknown. */
const call = (startNs: number, endNs: number | undefined, action: Action, answer?: Answer): Call => ({
  client: "a",
  key: "k",
  action,
  startNs,
  ...(endNs !== undefined && answer !== undefined && { end: { atNs: endNs, answer } }),
})
const set = (from: number, to: number | undefined, value: string, version?: number): Call =>
  call(from, to, { op: "set", value }, version === undefined ? undefined : { op: "set", version })
const swap = (from: number, to: number | undefined, expected: number | undefined, value: string, version?: number): Call =>
  call(from, to, { op: "swap", version: expected, value }, version === undefined ? { op: "swap" } : { op: "swap", version })
const get = (from: number, to: number, value?: string, version?: number): Call =>
  call(from, to, { op: "get" }, { op: "get", ...(value !== undefined && { value }), ...(version !== undefined && { version }) })
const remove = (from: number, to: number | undefined, existed: boolean): Call => call(from, to, { op: "delete" }, { op: "delete", existed })

const good: Readonly<Record<string, ReadonlyArray<Call>>> = {
  "nothing at all": [],
  "one after the other": [
    set(0, 1, "x", 1),
    get(2, 3, "x", 1),
    swap(4, 5, 1, "y", 2),
    get(6, 7, "y", 2),
    remove(8, 9, true),
    get(10, 11),
    remove(12, 13, false),
  ],
  "a read beside a write sees either": [set(0, 1, "x", 1), set(2, 9, "y", 2), get(3, 4, "x", 1), get(5, 6, "y", 2)],
  "two swaps at once, one wins": [set(0, 1, "x", 1), swap(2, 9, 1, "y", 2), swap(2, 9, 1, "z"), get(10, 11, "y", 2)],
  "a refused swap beside a write that moved on": [set(0, 1, "x", 1), set(2, 9, "y", 2), swap(3, 8, 1, "z")],
  "an unknown write that took effect later": [set(0, 1, "x", 1), set(2, undefined, "y"), get(3, 4, "x", 1), get(5, 6, "y", 2)],
  "an unknown write that never did": [set(0, 1, "x", 1), set(2, undefined, "y"), get(3, 4, "x", 1), swap(5, 6, 1, "z", 2)],
  "an unknown swap that explains a refusal": [set(0, 1, "x", 1), swap(2, undefined, 1, "y"), swap(3, 4, 1, "z")],
  "an unknown delete": [set(0, 1, "x", 1), remove(2, undefined, true), get(3, 4, "x", 1), get(5, 6), swap(7, 8, undefined, "y", 5)],
  "starts and ends at one moment are at once": [set(0, 5, "x", 1), get(5, 6)],
}

const bad: Readonly<Record<string, ReadonlyArray<Call>>> = {
  "a lost update": [set(0, 1, "x", 1), set(2, 3, "y", 2), get(4, 5, "x", 1)],
  "a write that was answered and never was": [set(0, 1, "x", 1), get(2, 3)],
  "a stale read after a newer one": [set(0, 1, "x", 1), set(2, 9, "y", 2), get(3, 4, "y", 2), get(5, 6, "x", 1)],
  "a swap that is not atomic: both win": [set(0, 1, "x", 1), swap(2, 9, 1, "y", 2), swap(2, 9, 1, "z", 3)],
  "two that make one key": [swap(0, 9, undefined, "x", 1), swap(0, 9, undefined, "y", 2)],
  "a swap refused without a reason": [set(0, 1, "x", 1), swap(2, 3, 1, "y")],
  "a swap refused that had won": [set(0, 1, "x", 1), swap(2, 3, 1, "y"), get(4, 5, "y", 2)],
  "an unknown write that took effect twice": [set(0, undefined, "x"), get(1, 2, "x", 1), set(3, 4, "y", 2), get(5, 6, "x", 1)],
  "an unknown write before its start": [get(0, 1, "x", 1), set(2, undefined, "x")],
  "a read that wavers": [set(0, 1, "x", 1), set(2, 99, "y", 2), get(3, 4, "y", 2), get(5, 6, "x", 1), get(7, 8, "y", 2)],
  "a delete of nothing that was something": [remove(0, 1, true)],
  "two deletes of one value": [set(0, 1, "x", 1), remove(2, 9, true), remove(2, 9, true)],
  "a deleted value that comes back": [set(0, 1, "x", 1), remove(2, 3, true), get(4, 5, "x", 1)],
  "a version that goes back": [set(0, 1, "x", 5), set(2, 3, "y", 4)],
  "one version for two values": [set(0, 1, "x", 1), set(2, 3, "y", 1)],
  "a value nobody wrote": [get(0, 1, "x", 1)],
}

for (const [title, calls] of Object.entries(good)) t.test(`\`check()\` accepts ${title}`, async (t) => t.same(check(calls), { isLinearizable: true }))
for (const [title, calls] of Object.entries(bad))
  t.test(`\`check()\` refuses ${title}`, async (t) => t.match(check(calls), { isLinearizable: false, key: "k" }))

/** All orders of some things. */
function* ordersOf<A>(all: ReadonlyArray<A>): Generator<ReadonlyArray<A>> {
  if (all.length === 0) yield []
  for (const [i, first] of all.entries()) for (const rest of ordersOf(all.toSpliced(i, 1))) yield [first, ...rest]
}

/** The definition itself: some order of the calls that have an answer and some of the others fits. Value `vN` has version N, where a call shows it. */
function isLinearizableByDefinition(calls: ReadonlyArray<Call>): boolean {
  const shown = new Set(
    calls.flatMap(({ action, end }) => {
      const value = end?.answer.op === "get" ? end.answer.value : "value" in action ? action.value : undefined
      return end !== undefined && "version" in end.answer ? [value] : []
    }),
  )
  const ended = calls.filter(({ end }) => end !== undefined)
  const unknown = calls.filter(({ end }) => end === undefined)
  for (let chosen = 0; chosen < 1 << unknown.length; chosen++)
    for (const order of ordersOf([...ended, ...unknown.filter((_, i) => (chosen & (1 << i)) !== 0)])) {
      if (order.some((later, i) => order.slice(i + 1).some((earlier) => (earlier.end?.atNs ?? Infinity) < later.startNs))) continue
      let value: string | undefined
      let version = -1
      const fits = order.every(({ action, end }) => {
        const answer = end?.answer
        if (action.op === "get") return answer === undefined || (answer.op === "get" && answer.value === value)
        if (action.op === "delete") {
          const existed = value !== undefined
          value = undefined
          return answer === undefined || (answer.op === "delete" && answer.existed === existed)
        }
        const isMet = action.op === "set" || (action.version === undefined ? value === undefined : shown.has(value) && value === `v${action.version}`)
        if (isMet) {
          value = action.value
          const given = Number(value.slice(1))
          if (shown.has(value) && given <= version) return false
          if (shown.has(value)) version = given
        }
        return action.op === "set" || answer === undefined || isMet === "version" in answer
      })
      if (fits) return true
    }
  return false
}

t.test("`check()` agrees with the definition on small histories", async (t) => {
  const random = randomFrom(seed)
  const counts = { yes: 0, no: 0 }
  for (let i = 0; i < (isFull ? 40_000 : 4_000); i++) {
    const count = 2 + random(4)
    const calls = Array.from({ length: count }, (_, n): Call => {
      const from = random(12)
      const isUnknown = random(5) === 0
      const to = isUnknown ? undefined : from + 1 + random(8)
      const known = random(count + 1)
      const what = random(10)
      const value = `v${n + 1}`
      if (what < 4) return known === 0 ? get(from, to ?? from) : get(from, to ?? from, `v${known}`, random(2) === 0 ? known : undefined)
      if (what < 6)
        return isUnknown ? set(from, undefined, value) : call(from, to, { op: "set", value }, { op: "set", ...(random(2) === 0 && { version: n + 1 }) })
      if (what < 9) return swap(from, to, known === 0 ? undefined : known, value, random(2) === 0 ? n + 1 : undefined)
      return remove(from, to, random(2) === 0)
    })
    const isSo = isLinearizableByDefinition(calls)
    counts[isSo ? "yes" : "no"]++
    if (check(calls).isLinearizable !== isSo) t.fail(`it is ${isSo ? "" : "not "}linearizable: ${JSON.stringify(calls)}`)
  }
  t.ok(counts.yes > 100 && counts.no > 100, JSON.stringify(counts))
})

const tell = (calls: ReadonlyArray<Call>): string => {
  const unknown = calls.filter(({ action, end }) => action.op !== "get" && end === undefined).length
  const swaps = calls.filter(({ action, end }) => action.op === "swap" && end !== undefined)
  const won = swaps.filter(({ end }) => end?.answer.op === "swap" && end.answer.version !== undefined).length
  return `${calls.length} calls, ${unknown} of unknown outcome, ${won} of ${swaps.length} swaps won`
}

/** The clients of one process over a register; what they said. */
async function history(register: Register, calls: number, keys = 4): Promise<ReadonlyArray<Call>> {
  const events: Array<Event> = []
  await work(register, { name: "own", seed, clients: 8, calls, keys, say: (event) => void events.push(event) })
  return callsOf(events)
}

t.test("clients of one process see a linearizable store", async (t) => {
  await using store = await openBackend(`sqlite:${join(folder, "own.db")}`)
  const calls = await history(store, isFull ? 6_000 : 1_200)
  t.same(check(calls), { isLinearizable: true })
  t.comment(tell(calls))
})

/** Stores that are wrong in one way each. */
const wrong: Readonly<Record<string, (store: Register) => Register>> = {
  "a swap is a read and a write": (store) => ({
    ask: (question) => store.ask(question),
    async apply<const B extends ReadonlyArray<Operation>>(batch: B) {
      const [operation] = batch
      if (operation?.op !== "swap") return store.apply(batch)
      const { tenant, key, version, value } = operation
      const found = await store.ask({ ask: "get", tenant, key })
      await new Promise((resume) => setImmediate(resume))
      if (found?.version !== version) return [undefined] as unknown as BatchResults<B>
      return (await store.apply([{ op: "set", tenant, key, value }])) as unknown as BatchResults<B>
    },
  }),
  "reads come from a memory that is refreshed now and then": (store) => {
    const known = new Map<string, unknown>()
    let reads = 0
    return {
      apply: (batch) => store.apply(batch),
      async ask(question) {
        if (question.ask !== "get") return store.ask(question)
        const name = textOf(question.key)
        if (reads++ % 3 === 0 || !known.has(name)) known.set(name, await store.ask(question))
        return known.get(name) as never
      },
    }
  },
  "a write is acknowledged first": (store) => ({
    ask: (question) => store.ask(question),
    async apply(batch) {
      if (batch[0]?.op !== "delete") return store.apply(batch)
      setTimeout(() => void store.apply(batch), 5)
      return [(await store.ask({ ask: "has", tenant: batch[0].tenant, key: batch[0].key })) as never] as never
    },
  }),
  "a write is done again later": (store) => ({
    ask: (question) => store.ask(question),
    async apply(batch) {
      const done = await store.apply(batch)
      if (batch[0]?.op === "set") setTimeout(() => void store.apply(batch), 5)
      return done
    },
  }),
}

for (const [title, make] of Object.entries(wrong))
  t.test(`a store is found out where ${title}`, async (t) => {
    await using store = await openBackend(`sqlite:${join(folder, `${Object.keys(wrong).indexOf(title)}.db`)}`)
    const calls = await history(make(store), 600, 2)
    const verdict = check(calls)
    t.equal(verdict.isLinearizable, false)
    // Writes still to come are waited for by the store's closing.
    await new Promise((resume) => setTimeout(resume, 10))
  })

t.test("clients of several processes see a linearizable store, also when some are killed", async (t) => {
  const address = `sqlite:${join(folder, "shared.db")}`
  await (await openBackend(address)).close()
  const histories: Array<string> = []
  const random = randomFrom(seed)
  const each = isFull ? 1_500 : 300
  const start = async (calls: number): Promise<ReturnType<typeof spawn>> => {
    const path = join(folder, `history-${histories.length}`)
    const name = `p${histories.length}`
    histories.push(path)
    await writeFile(path, "")
    return spawn(process.execPath, [program, address, path, name, seed + histories.length, 4, calls, 3].map(String), { stdio: ["ignore", "ignore", "inherit"] })
  }
  const lines = (path: string): number => readFileSync(path, "latin1").split("\n").length - 1
  for (let round = 0; round < (isFull ? 6 : 1); round++) {
    // Two that end by themselves, and one that is killed in the middle of its calls.
    const children = [await start(each), await start(each), await start(1_000_000)] as const
    const ended = children.map((child) => once(child, "close"))
    const path = histories.at(-1) as string
    const wanted = 50 + random(200)
    while (lines(path) < wanted && children[2].exitCode === null) await new Promise((resume) => setTimeout(resume, 2))
    children[2].kill("SIGKILL")
    const codes = (await Promise.all(ended)).map(([code]) => code as number | null)
    t.same(codes, [0, 0, null])
  }
  // What is there at the end is part of the history.
  const events: Array<Event> = histories.flatMap((path) => {
    const text = readFileSync(path, "utf8")
    return text
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Event)
  })
  await using store = await openBackend(address)
  await readAll(store, 3, (event) => void events.push(event))
  const calls = callsOf(events)
  t.same(check(calls), { isLinearizable: true })
  t.ok(
    calls.some(({ end }) => end === undefined),
    "some call was under way when its process was killed",
  )
  t.comment(tell(calls))
})
