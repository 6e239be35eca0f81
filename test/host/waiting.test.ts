// Calls that wait: every case of `waiting-cases.ts` in this process, and again on Deno and Bun.
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { Stacks } from "../../host/call/stacks.ts"
import { Host, type Plugin, SteleError } from "../../host/mod.ts"
import { answer, engines } from "./engine.ts"
import { cases } from "./waiting-cases.ts"
import { writeGuests } from "./waiting-guests.ts"

t.setTimeout(300_000)
const folder = await mkdtemp(join(tmpdir(), "stele-waiting-"))
t.teardown(() => rm(folder, { recursive: true }))
await writeGuests(folder)

for (const { title, run } of cases) t.test(title, () => run(folder))

for (const engine of ["deno", "bun"] as const) {
  t.test(`calls wait alike on ${engine}`, async (t) => {
    const outcomes = await answer<ReadonlyArray<{ readonly title: string; readonly problem?: string }>>(engine, "./waiting-program.ts", [folder])
    t.equal(outcomes.length, cases.length)
    for (const { title, problem } of outcomes) t.equal(problem, undefined, title)
  })
}

for (const engine of engines) {
  t.test(`what would have to be suspended is refused when linking where the engine cannot, and the rest works (${engine})`, async (t) => {
    t.same(await answer(engine, "./waiting-absent-program.ts", [folder]), {
      async: "STELE-CAP-0006",
      port: "STELE-CAP-0006",
      yield: "STELE-ASY-0002",
      plain: "answered 6",
      wait: "none",
      sleep: "answered undefined",
    })
  })
}

t.test(
  "as many calls of a plugin wait as its share of the thread's stacks; others still have theirs, and when they have ended the next one runs",
  async (t) => {
    await using host = await Host.open({ cache: false })
    const bytes = await readFile(join(folder, "caller.wasm"))
    const load = (tenant: string) => host.load(bytes, { tenant, imports: { f: (async () => new Promise(() => undefined)) as never } })
    const [greedy, sibling, stranger] = await Promise.all([load("a"), load("a"), load("b")])
    const abort = new AbortController()
    const call = (plugin: Plugin, n: number) => plugin.call("sum", [n] as never, { deadlineMs: 120_000, signal: abort.signal })
    // A plugin and its tenant have less than is free: n + n < 8,192 - n.
    const waiting = [Promise.allSettled(Array.from({ length: 2_731 }, () => call(greedy, 1)))]
    await t.rejects(call(greedy, 1), { code: "STELE-ASY-0007", isRetryable: true, reason: { tenant: "a", ofTenant: 2_731, ofPlugin: 2_731, limit: 8_192 } })
    waiting.push(Promise.allSettled(Array.from({ length: 500 }, () => call(sibling, 1))))
    waiting.push(Promise.allSettled(Array.from({ length: 1_000 }, () => call(stranger, 1))))
    await t.rejects(call(greedy, 1), { code: "STELE-ASY-0007", reason: { ofTenant: 3_231, ofPlugin: 2_731 } })
    await new Promise((turn) => setImmediate(turn))
    t.same([sibling.instances, stranger.instances], [500, 1_000])
    abort.abort()
    const ended = (await Promise.all(waiting)).flat()
    t.equal(ended.length, 4_231)
    t.ok(ended.every((one) => one.status === "rejected" && one.reason instanceof SteleError && one.reason.code === "STELE-PLG-0005"))
    await new Promise((turn) => setImmediate(turn))
    t.equal(await greedy.call("sum", [0] as never), 0)
    t.equal(greedy.instances, 0)
  },
)

t.test("`Stacks` leaves something for whoever comes next, until there is none", (t) => {
  const max = 100
  const stacks = new Stacks(max)
  /** As many as one plugin gets. */
  const fill = (tenant: string, plugin = { count: 0 }): number => {
    try {
      for (;;) stacks.take(tenant, plugin, "f")
    } catch (error) {
      t.match(error, { code: "STELE-ASY-0007" })
    }
    return plugin.count
  }
  t.same([fill("a"), fill("a"), fill("b"), fill("c")], [34, 11, 19, 12])
  let more = 0
  for (; more < 24; more++) stacks.take(`of one ${more}`, { count: 0 }, "f")
  t.throws(() => stacks.take("late", { count: 0 }, "f"), { code: "STELE-ASY-0003" })
  const one = { count: 1 }
  stacks.give("of one 0", one)
  t.equal(one.count, 0)
  t.throws(() => stacks.take("a", { count: 0 }, "f"), { code: "STELE-ASY-0007", reason: { ofTenant: 45, ofPlugin: 0 } })
  stacks.take("late", { count: 0 }, "f")
  t.end()
})
