/**
 * A guest that waits for ever, through each import that waits, is stopped at its deadline wherever it runs: suspended or
 * blocking the thread, in a worker, in a process.
 */
import { readFileSync } from "node:fs"
import { Worker } from "node:worker_threads"
import t from "tap"
import { waitFor } from "../../host/capability/io.ts"
import { Host, type LoadOptions, memoryKeyValue, memoryMonotonicClock, type Plugin } from "../../host/mod.ts"
import { openNetwork } from "../../runtime/network/network.ts"
import { testCall } from "./capability-call.ts"
import { reactorWays, sleepingGuest, sleepingReactor, storeWays, waitingForStores, waysOfWaiting } from "./sleeping-guests.ts"

/** A server that takes connections and says nothing, one that begins an answer, and a name server that hears. On a thread of their own. */
const servers = new Worker(
  `const { createServer } = require("node:net")
   const { createSocket } = require("node:dgram")
   const { parentPort } = require("node:worker_threads")
   const open = (serve) => new Promise((resolve) => {
     const server = createServer(serve).listen(0, "127.0.0.1", () => resolve(server.address().port))
   })
   const silent = open((socket) => { socket.on("error", () => {}); socket.pause() })
   const begun = open((socket) => { socket.on("error", () => {}); socket.write("HTTP/1.1 200 OK\\r\\ncontent-length: 100\\r\\n\\r\\nhalf"); socket.resume() })
   const names = new Promise((resolve) => { const socket = createSocket("udp4"); socket.bind(0, "127.0.0.1", () => resolve(socket.address().port)) })
   Promise.all([silent, begun, names]).then((ports) => parentPort.postMessage(ports))`,
  { eval: true },
)
const [silent, begun, names] = await new Promise<[number, number, number]>((resolve) => servers.once("message", resolve))
const network = openNetwork({ dnsServers: [`127.0.0.1:${names}`] })
const host = await Host.open({ cache: false, ports: { http: network.http, socket: network.socket } })
t.teardown(async () => {
  await host.close()
  await network.close()
  await servers.terminate()
})

t.setTimeout(300_000)

// A machine that is busy wakes the thread late, and by then what was waited for has failed because the call's time was over.
for (const mayWait of [false, true])
  t.test(`\`waitFor()\` says that the time is over when a wait that ${mayWait ? "suspends" : "blocks"} ends late, whatever it ends with`, async (t) => {
    const call = testCall([], { monotonicClock: memoryMonotonicClock() })
    call.mayWait = () => mayWait
    let isReady = false
    const wake = (): void => {
      isReady = true
      call.remaining = 0
    }
    const failed = { readyInMs: () => (isReady ? 0 : Infinity), waker: { wait: wake, changed: async () => wake() } }
    await t.rejects(async () => waitFor(call, [failed], "wasi:io/poll"), { code: "STELE-LIM-0010" })
    t.equal(await waitFor(call, [failed], "wasi:io/poll"), undefined, "what is there is not waited for")
  })

const deadlineMs = 120
/** Who waits for ever is not stopped by then; a machine that is busy has woken everybody. */
const lateMs = 20_000
const grants = [
  "clock:monotonic",
  "clock:wall",
  `tcp:connect:127.0.0.1:${silent}`,
  "tcp:connect:silent.test:80",
  "tcp:listen:127.0.0.1:*",
  "udp:bind:127.0.0.1:*",
  `http:*:http://127.0.0.1:${silent}/*`,
  `http:*:http://127.0.0.1:${begun}/*`,
]
const stdin = (): Uint8Array => new Uint8Array(0)
const guest = await sleepingGuest()
const reactor = await sleepingReactor()
const storing = await waitingForStores(readFileSync(new URL("../../schemas/wit/wasi/keyvalue-draft2.wit", import.meta.url), "utf8"))
const never = (): Promise<never> => new Promise(() => undefined)
const stores = await Host.open({
  cache: false,
  ports: { keyValue: { ...memoryKeyValue(), isAsync: true, get: never, set: never, list: never, increment: never } as never },
})
t.teardown(() => stores.close())

/** What a call answers with, and how long after its start. */
async function stopped(call: () => unknown): Promise<{ readonly code: string; readonly ms: number }> {
  const startedMs = performance.now()
  try {
    await call()
    return { code: "answered", ms: performance.now() - startedMs }
  } catch (error) {
    return { code: String((error as { readonly code?: unknown }).code ?? error), ms: performance.now() - startedMs }
  }
}
/** By its deadline, or because it could not end before it. */
const codes = /^STELE-(LIM-0010|CAP-0007)$/

const places: ReadonlyArray<readonly [name: string, options: LoadOptions, isSync: boolean]> = [
  ["suspended", { isolation: "inline" }, false],
  ["blocking its thread", { isolation: "inline" }, true],
  ["in a worker", { isolation: "worker" }, false],
  ["in a process", { isolation: "process" }, false],
]
for (const [place, options, isSync] of places) {
  const run = (plugin: Plugin, name: string, args: ReadonlyArray<unknown>): unknown =>
    isSync ? plugin.callSync(name, args as never, { deadlineMs }) : plugin.call(name, args as never, { deadlineMs })

  t.test(`components that wait for ever are stopped ${place}`, async (t) => {
    await using plugin = await host.load(guest, { ...options, grants, wasi: { stdin } })
    // The first call of an isolate may be its start.
    if (!isSync) await stopped(() => plugin.call("pollable-block", [0] as never, { deadlineMs: 5 }))
    for (const way of waysOfWaiting) {
      const { code, ms } = await stopped(() => run(plugin, way, [way === "http-body" ? begun : silent]))
      t.match(code, codes, way)
      t.ok(ms < lateMs, `${way} ended after ${ms.toFixed(0)} ms`)
      // A wait that can be known to be too long need not be begun.
      if (code === "STELE-LIM-0010") t.ok(ms >= deadlineMs - 10, `${way} had its time: ${ms.toFixed(0)} ms`)
    }
  })

  t.test(`programs of preview 1 that wait for ever are stopped ${place}`, async (t) => {
    await using plugin = await host.load(reactor, { ...options, grants: ["clock:monotonic", "clock:wall"], wasi: { stdin } })
    for (const way of reactorWays) {
      const { code, ms } = await stopped(() => run(plugin, way, []))
      t.match(code, codes, way)
      t.ok(ms < lateMs, `${way} ended after ${ms.toFixed(0)} ms`)
    }
  })

  if (!isSync)
    t.test(`what waits for a store that never answers is stopped ${place}`, async (t) => {
      await using plugin = await stores.load(storing, { ...options, grants: ["kv:read:*", "kv:write:*"] })
      for (const way of storeWays) {
        const { code, ms } = await stopped(() => run(plugin, way, []))
        t.equal(code, "STELE-LIM-0010", way)
        t.ok(ms >= deadlineMs - 10 && ms < lateMs, `${way} ended after ${ms.toFixed(0)} ms`)
      }
    })
}
