// Calls that wait: every case of `waiting-cases.ts` in this process, and again on Deno and Bun.
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { answer } from "./engine.ts"
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
