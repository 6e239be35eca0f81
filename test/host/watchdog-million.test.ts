import t from "tap"
import { answer, engines } from "./engine.ts"
import { isFull, replay, seed } from "../seed.ts"

t.setTimeout(3_600_000)

interface Million {
  readonly calls: number
  readonly stops: number
  readonly early: number
  readonly unarmed: number
  readonly disagree: number
}

const counts = { node: isFull ? 1_000_000 : 20_000, deno: isFull ? 100_000 : 4_000, bun: isFull ? 100_000 : 4_000 }
for (const engine of engines) {
  t.test(
    `the watchdog stops no call early and leaves none unarmed when calls end within 0.3 ms of their deadline on ${engine}`,
    { timeout: 1_800_000 },
    async (t) => {
      const found = await answer<Million>(engine, "watchdog-program.ts", ["million", String(counts[engine]), String(seed)], { msMax: 1_800_000 })
      t.comment(`${replay}: ${JSON.stringify(found)}`)
      t.match(found, { calls: counts[engine], early: 0, unarmed: 0, disagree: 0 })
      t.ok(found.stops >= counts[engine] / 200, "the endless ones were stopped")
    },
  )
}
