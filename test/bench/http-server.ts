/** The servers that `http.bench.ts` asks: a bare hono handler and the service, on two ports of one process, until standard input ends. */
import { serve as serveNode } from "@hono/node-server"
import { Hono } from "hono"
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import { serve, service } from "../../runtime/http/mod.ts"
import { Host } from "../../runtime/mod.ts"
import { component } from "./guest/echo.ts"

const token = process.argv[2] as string
await using host = await Host.open()
const http = await service(host, { token, limits: { tokenRate: 1e9, tokenBurst: 1e9, addressRate: 1e9, addressBurst: 1e9 } })
const bytes = await component()
const imports = { "stele:bench/host": { note: () => {}, size: (text: string) => text.length } }
// Inline: one instance that is kept, a fresh one for each call, and fresh ones that are made ahead. In processes, where what is put runs: a fresh instance for each call, which is the default, and kept ones.
await http.plugins.install("reused", "bench", bytes, { imports, instances: { reuse: "principal" } })
await http.plugins.install("fresh", "bench", bytes, { imports })
await http.plugins.install("ready", "bench", bytes, { imports, instances: { ready: 32 } })
await http.plugins.install("process", "bench", bytes, { imports, isolation: "process" })
await http.plugins.install("process-one", "bench", bytes, { imports, isolation: "process", instances: { reuse: "principal" } })
await http.plugins.install("process-reused", "bench", bytes, { imports, isolation: "process", instances: { reuse: "principal", max: 2, ready: 2 } })
const server = await serve(http, { port: 0 })
const app = new Hono().post("/echo", async (c) => c.json({ result: (await c.req.json<ReadonlyArray<string>>())[0] }))
const bare = serveNode({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" })
await once(bare, "listening")
process.stdout.write(
  `${JSON.stringify({ bare: (bare.address() as AddressInfo).port, service: server.port, plugins: ["reused", "fresh", "ready", "process", "process-one", "process-reused"] })}\n`,
)
process.stdin.resume()
await once(process.stdin, "end")
bare.close()
server.destroy()
process.exit(0)
