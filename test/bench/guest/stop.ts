/** One program for Node, Deno and Bun: stops an endless loop 30 times and prints how late, and how long the next call took. */
import { Host, LimitError } from "../../../host/mod.ts"
import { component } from "./echo.ts"

const host = await Host.open({ cache: false })
const plugin = await host.load(await component(), { imports: { "stele:bench/host": { note: () => undefined, size: () => 0 } } })
const over: Array<number> = []
const next: Array<number> = []
plugin.callSync("stele:bench/api#echo", ["warm"])
for (let i = 0; i < 30; i++) {
  const started = performance.now()
  try {
    plugin.callSync("stele:bench/api#spin", [], { deadlineMs: 100 })
    throw new Error("Expected a stop: an endless loop returned")
  } catch (error) {
    if (!(error instanceof LimitError) || error.reason._tag !== "deadlineMs") throw error
  }
  const stopped = performance.now()
  over.push(stopped - started - 100)
  plugin.callSync("stele:bench/api#echo", ["next"])
  next.push(performance.now() - stopped)
}
console.log(JSON.stringify({ over, next }))
await host.close()
