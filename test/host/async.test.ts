// The asynchronous ABI: every case of `async-cases.ts` in this process, again on Deno and Bun, and on each engine as if it could not suspend.
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { cases, refusals } from "./async-cases.ts"
import { Host } from "../../host/mod.ts"
import { functionText } from "../../schemas/wit/print.ts"
import { declarations } from "../../schemas/wit/typescript.ts"
import { asyncGuest, writeGuests } from "./async-guests.ts"
import { answer, engines } from "./engine.ts"

t.setTimeout(300_000)
const folder = await mkdtemp(join(tmpdir(), "stele-async-"))
t.teardown(() => rm(folder, { recursive: true }))
await writeGuests(folder)

type Outcomes = ReadonlyArray<{ readonly title: string; readonly problem?: string }>

for (const { title, run } of cases) t.test(title, () => run(folder))

t.test("an isolated plugin runs its tasks among themselves, and no stream passes its border", async (t) => {
  await using host = await Host.open({ cache: false })
  for (const isolation of ["worker", "process"] as const) {
    const composed = await host.load(await asyncGuest("composed"), { isolation, imports: { f: (async (x: number) => x * 2) as never } })
    t.equal(await composed.call("run", [1] as never), 2, isolation)
    t.equal(await composed.call("eager", [1] as never), 3)
    t.equal(await composed.call("held", [1] as never), 5)
    t.equal(await composed.call("stream", [1] as never), 9)
    await t.rejects(composed.call("forward", []), { code: "STELE-ASY-0006" })
    const bytes = await host.load(await asyncGuest("bytes"), { isolation })
    await t.rejects(bytes.call("sum", [[1, 2]] as never), { code: "STELE-ASY-0006" })
    const hostile = await host.load(await asyncGuest("hostile"), { isolation, limits: { deadlineMs: 10_000 }, imports: { f: (() => 1) as never } })
    await t.rejects(hostile.call("yield-forever", [], { deadlineMs: 200 }), { code: "STELE-LIM-0010" })
    await t.rejects(hostile.call("no-return", []), { code: "STELE-PLG-0011" })
    await t.rejects(hostile.call("wait-empty", []), { code: "STELE-ASY-0004" })
    t.equal(await hostile.call("linger", [], { deadlineMs: 200 }), 1)
  }
})

t.test("`describe()` and `declarations()` show streams, futures and how a plugin waits", async (t) => {
  await using host = await Host.open({ cache: false })
  const plugin = await host.load(await asyncGuest("stacks"), { imports: { f: ((x: number) => x) as never } })
  const { exports, mechanisms, world } = plugin.describe()
  t.equal(mechanisms.wait, "suspension")
  t.same([...(await plugin.schemas()).keys()], ["plain", "wait-plain"], "streams and futures have no JSON form")
  const text = declarations(world)
  t.match(text, 'readonly "numbers": (n: number) => ReadableStream<number>')
  t.match(text, 'readonly "total": (s: AsyncIterable<number> | ReadableStream<number>) => number')
  t.match(text, 'readonly "ticks": (n: number) => ReadableStream<undefined>')
  t.match(text, 'readonly "await-text": (g: Promise<string> | string) => string')
  t.match(text, 'readonly "both": () => readonly [Promise<number>, ReadableStream<number>]')
  const bytes = await host.load(await asyncGuest("bytes"))
  t.match(declarations(bytes.describe().world), 'readonly "same": (s: AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>) => ReadableStream<Uint8Array>')
  t.equal(bytes.describe().mechanisms.wait, "tasks")
  t.match(functionText(exports.find(({ name }) => name === "both")?.type as never), "async func() -> tuple<future<u32>, stream<u32>>")
})

for (const engine of ["deno", "bun"] as const) {
  t.test(`tasks, streams and futures are alike on ${engine}`, async (t) => {
    const outcomes = await answer<Outcomes>(engine, "./async-program.ts", [folder])
    t.equal(outcomes.length, cases.length)
    for (const { title, problem } of outcomes) t.equal(problem, undefined, title)
  })
}

for (const engine of engines) {
  t.test(`callbacks work where the engine cannot suspend, and the rest is refused (${engine})`, async (t) => {
    const outcomes = await answer<Outcomes>(engine, "./async-program.ts", [folder, "plain"])
    t.equal(outcomes.length, cases.filter(({ suspends }) => suspends !== true).length + refusals.length)
    for (const { title, problem } of outcomes) t.equal(problem, undefined, title)
  })
}
