/** Resident bytes per live instance beyond the pages of linear memory it touched, over 6,000 plugins of one component, each with one live instance. */
import { Host } from "../../../host/mod.ts"
import { component } from "./echo.ts"

const bytes = await component()
const options = { imports: { "stele:bench/host": { note: () => undefined, size: () => 0 } }, instances: { reuse: "principal" } } as const
const host = await Host.open({ cache: false })
const collect = (globalThis as { gc?: () => void }).gc as () => void
const kept: Array<unknown> = []
const grow = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) {
    const plugin = await host.load(bytes, options)
    plugin.callSync("stele:bench/api#echo", ["x"])
    kept.push(plugin)
  }
}
const count = 6_000
// Enough before that the room which the engine keeps for the garbage of loading, up to 30 MiB, is there already.
await grow(1_500)
collect()
const before = process.memoryUsage.rss()
await grow(count)
collect()
// The guest's allocator starts at byte 1,024 and stays within the first 4 KiB page.
const touchedBytes = 4096
console.log(JSON.stringify({ bytes: (process.memoryUsage.rss() - before) / count - touchedBytes, kept: kept.length }))
process.exit(0)
