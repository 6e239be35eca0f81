/**
 * HOST.md §7: no byte string crashes, hangs or runs code in the host. One file per guest in `guest/`; here each meets
 * every way a guest is stopped on this engine, and the whole kit runs on Deno and Bun. A short run has the whole kit on the
 * watchdog, and every sixth guest elsewhere. @long
 */
import t from "tap"
import { answer, engines } from "../host/engine.ts"
import { guests, mechanisms, openStage, runGuest } from "./kit.ts"
import { isFull, sampled } from "../seed.ts"

t.setTimeout(3_600_000)
const kit = await guests()

t.test(`the kit has ${kit.size} guests`, (t) => {
  t.ok(kit.size >= 50, "at least 50 are promised")
  t.equal(new Set([...kit.values()].map(({ threat }) => threat)).size, kit.size, "each poses a threat of its own")
  t.end()
})

for (const [i, mechanism] of mechanisms.entries()) {
  const stage = await openStage(mechanism)
  t.teardown(() => stage.host.close())
  for (const [name, guest] of mechanism === "watchdog" ? kit : sampled([...kit], 6, i)) {
    t.test(`the host survives "${name}" when it poses ${guest.threat} (${mechanism})`, async (t) => {
      t.same(await runGuest(stage, guest), [])
    })
  }
}

for (const [i, engine] of engines.filter((name) => name !== "node").entries()) {
  const names = sampled([...kit.keys()], 6, mechanisms.length + i)
  t.test(`the host survives ${isFull ? "the whole kit" : "a sixth of the kit"} when it runs on ${engine}`, async (t) => {
    const ways = isFull ? mechanisms : (["watchdog"] as const)
    const { count, problems } = await answer<{ count: number; problems: Record<string, ReadonlyArray<string>> }>(
      engine,
      "../hostile/hostile-program.ts",
      [ways.join(","), ...names],
      { msMax: 600_000 },
    )
    t.equal(count, names.length * ways.length)
    t.same(problems, {})
  })
}
