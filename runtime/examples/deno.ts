/** A web server on Deno whose answers a plugin writes: `deno run --allow-read --allow-env --allow-sys --allow-net deno.ts 8080`. */
import { Host, SteleError } from "stele"

const host = await Host.open()
// The plugin may log and read prices, 16 MiB and 200 ms at a time: whatever is in it can do no more.
const greeter = await host.load(new URL(import.meta.resolve("stele/examples/greeter/greeter.wasm")), {
  grants: ["log", "kv:read:prices/*"],
  limits: { memoryBytesMax: 16 << 20, deadlineMs: 200 },
  instances: { max: 8 },
})

const server = Deno.serve(
  { port: Number(Deno.args[0] ?? 8080), hostname: "127.0.0.1", onListen: ({ port }) => console.log(`http://127.0.0.1:${port}/`) },
  async (request) => {
    try {
      return Response.json(await greeter.call("acme:greeter/api#greet", [await request.json()], { signal: request.signal }))
    } catch (error) {
      // What the plugin or its caller did has a code, a status and a fix; a body that is no JSON has none.
      return error instanceof SteleError ? Response.json(error, { status: error.status }) : Response.json({ message: String(error) }, { status: 400 })
    }
  },
)

for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, () => void server.shutdown())
await server.finished
await host.close()
