import { Worker } from "node:worker_threads"
import t from "tap"
import { Bridge, type Line } from "../../../runtime/storage/bridge.ts"

t.setTimeout(240_000)

/** A thread that answers what comes and ends at once. */
const program = `
  const { port } = require("node:worker_threads").workerData
  port.on("message", (requests) => {
    if (requests !== "close") port.postMessage(requests.map(({ id }) => ({ id, answer: id })))
    port.close()
  })`

t.test("what a thread answered before it ended is heard, also by who was busy until it had ended", async (t) => {
  for (let round = 0; round < 20; round++) {
    const never = new Int32Array(new SharedArrayBuffer(4))
    const bridge = new Bridge("test", 60_000, (line: Line) => new Worker(program, { eval: true, workerData: line, transferList: [line.port] }))
    const asked = bridge.ask("anything", undefined)
    // The request is sent, and this thread sees nothing of what follows for long enough.
    await new Promise((done) => queueMicrotask(() => queueMicrotask(() => done(undefined))))
    Atomics.wait(never, 0, 0, 300)
    t.equal(await asked, 0)
    await bridge.close()
  }
})
