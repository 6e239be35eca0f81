/** Answers about the platform on the engine and under the flags that run this. Prints one JSON line and ends by itself. */
import { createWatchdog } from "../../host/call/watchdog.ts"
import { platform } from "../../host/platform/mod.ts"

const [what, ...args] = process.argv.slice(2)

if (what === "watchdog") {
  const dog = createWatchdog(platform)
  console.log(JSON.stringify({ watchdog: dog !== undefined && (await dog.prepare(10_000)) }))
} else if (what === "read") {
  const results: Array<unknown> = []
  for (const source of args.slice(1)) {
    try {
      results.push((await platform.readBytes(source.startsWith("url=") ? new URL(source.slice(4)) : source, Number(args[0]))).length)
    } catch (error) {
      results.push((error as { readonly code?: string }).code ?? String(error))
    }
  }
  console.log(JSON.stringify({ name: platform.name, results, empty: await platform.sha256(new Uint8Array(0)) }))
} else if (what === "cache") {
  // cache WRITES KEY-PREFIX: opens the cache, writes and reads back, and reports its key's digest.
  const cache = await platform.openCache(64 << 20)
  let same = 0
  if (cache !== undefined) {
    for (let i = 0; i < Number(args[0]); i++) {
      const key = `${args[1] ?? ""}${i.toString(16).padStart(32, "0")}`
      await cache.put(key, new Uint8Array(4000).fill(i))
      const back = await cache.get(key)
      if (back !== undefined && back.length === 4000 && back.every((byte) => byte === (i & 255))) same++
    }
  }
  console.log(JSON.stringify({ name: platform.name, open: cache !== undefined, same, secret: cache === undefined ? "" : await platform.sha256(cache.secret) }))
} else if (what === "write") {
  // Writes the same few keys for ever, to be killed at any moment. Every entry is 256 KiB of one byte value.
  const cache = await platform.openCache(256 << 20)
  if (cache === undefined) throw new Error("no cache")
  console.log("writing")
  for (let i = 0; ; i++) await cache.put((i % 4).toString(16).padStart(32, "0"), new Uint8Array(262_144).fill(i))
}
