// Calls that wait: every case of `waiting-cases.ts` in this process, and again on Deno and Bun.
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { Host, SteleError } from "../../host/mod.ts"
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

t.test("as many calls wait as there may be stacks on a thread; one more is refused, and when they have ended the next one runs", async (t) => {
  await using host = await Host.open({ cache: false })
  const plugin = await host.load(await readFile(join(folder, "caller.wasm")), { imports: { f: (async () => new Promise(() => undefined)) as never } })
  const abort = new AbortController()
  const call = (n: number) => plugin.call("sum", [n] as never, { deadlineMs: 120_000, signal: abort.signal })
  const waiting = Promise.allSettled(Array.from({ length: 8_192 }, () => call(1)))
  await t.rejects(call(1), { code: "STELE-ASY-0003", isRetryable: true })
  abort.abort()
  t.ok((await waiting).every((one) => one.status === "rejected" && one.reason instanceof SteleError && one.reason.code === "STELE-PLG-0005"))
  await new Promise((turn) => setImmediate(turn))
  t.equal(await plugin.call("sum", [0] as never), 0)
  t.equal(plugin.instances, 0)
})
