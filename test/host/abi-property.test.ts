/** Host-side round trips over arbitrary types and values, each direction also against the slow reference. */
import t from "tap"
import { properties } from "./abi-properties.ts"
import { answer, engines } from "./engine.ts"
import { isFull, replay, seed } from "../seed.ts"

const runs = isFull ? 3_000 : 100
t.setTimeout(600_000)
t.comment(`${replay}: ${runs} runs a property`)

for (const { title, check } of properties) {
  t.test(title, (t) => {
    const line = check(seed, runs)
    if (line !== undefined) t.comment(line)
    t.pass("held for every run")
    t.end()
  })
}

for (const engine of engines.filter((name) => name !== "node")) {
  t.test(`the same properties hold on ${engine}, whose decoders and typed arrays are its own`, async (t) => {
    const { held } = await answer<{ readonly held: number }>(engine, "abi-program.ts", [String(seed), String(isFull ? 1_000 : 40)])
    t.equal(held, properties.length)
  })
}
