// The embedding API: every case of `embedding.ts` in this process, and again on Deno and Bun.
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import * as stele from "../../runtime/mod.ts"
import { cases } from "./embedding.ts"
import { writeGuests } from "./embedding-guests.ts"
import { type Outcome, sceneOf } from "./embedding-run.ts"
import { answer } from "./engine.ts"

const folder = await mkdtemp(join(tmpdir(), "stele-embedding-"))
t.teardown(() => rm(folder, { recursive: true }))
await writeGuests(folder)

for (const { title, run } of cases) t.test(title, () => run(sceneOf(stele, folder)))

for (const engine of ["deno", "bun"] as const) {
  t.test(`the embedding API does the same when it runs on ${engine}`, async (t) => {
    const outcomes = await answer<ReadonlyArray<Outcome>>(engine, "./embedding-program.ts", [folder])
    t.equal(outcomes.length, cases.length)
    for (const { title, problem } of outcomes) t.equal(problem, undefined, title)
  })
}
