/** A web server on Node whose answers a plugin writes: `node node.ts 8080`, then `curl -d '{"name":"Ada"}' http://127.0.0.1:8080/`. */
import { createServer } from "node:http"
import { argv } from "node:process"
import { json } from "node:stream/consumers"
import { Host, SteleError } from "stele"

const host = await Host.open()
// The plugin may log and read prices, 16 MiB and 200 ms at a time: whatever is in it can do no more.
const greeter = await host.load(new URL(import.meta.resolve("stele/examples/greeter/greeter.wasm")), {
  grants: ["log", "kv:read:prices/*"],
  limits: { memoryBytesMax: 16 << 20, deadlineMs: 200 },
  instances: { max: 8 },
})

const server = createServer(async (request, response) => {
  const answer = (status: number, body: unknown): void => void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body))
  const left = new AbortController()
  response.on("close", () => left.abort())
  try {
    answer(200, await greeter.call("acme:greeter/api#greet", [await json(request)], { signal: left.signal }))
  } catch (error) {
    // What the plugin or its caller did has a code, a status and a fix; a body that is no JSON has none.
    if (error instanceof SteleError) answer(error.status, error)
    else answer(400, { message: String(error) })
  }
})
server.listen(Number(argv[2] ?? 8080), "127.0.0.1", () => {
  const address = server.address()
  if (typeof address === "object" && address !== null) console.log(`http://127.0.0.1:${address.port}/`)
})

for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => {
    server.close(() => void host.close())
    server.closeIdleConnections()
  })
