/** A web server on Bun whose answers a plugin writes: `bun bun.ts 8080`, then `curl -d '{"name":"Ada"}' http://127.0.0.1:8080/`. */
import { Host, SteleError } from "stele"

const host = await Host.open()
// The plugin may log and read prices, 16 MiB and 200 ms at a time: whatever is in it can do no more.
const greeter = await host.load(new URL(import.meta.resolve("stele/examples/greeter/greeter.wasm")), {
  grants: ["log", "kv:read:prices/*"],
  limits: { memoryBytesMax: 16 << 20, deadlineMs: 200 },
  instances: { max: 8 },
})

const server = Bun.serve({
  port: Number(Bun.argv[2] ?? 8080),
  hostname: "127.0.0.1",
  async fetch(request) {
    try {
      return Response.json(await greeter.call("acme:greeter/api#greet", [await request.json()], { signal: request.signal }))
    } catch (error) {
      // What the plugin or its caller did has a code, a status and a fix; a body that is no JSON has none.
      return error instanceof SteleError ? Response.json(error, { status: error.status }) : Response.json({ message: String(error) }, { status: 400 })
    }
  },
})
console.log(`http://127.0.0.1:${server.port}/`)

for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, async () => {
    await server.stop()
    await host.close()
  })
