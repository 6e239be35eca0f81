/** A process of clients: `program.ts ADDRESS HISTORY NAME SEED CLIENTS CALLS KEYS`. Each start is in the history before the store is asked. */
import { openSync, writeSync } from "node:fs"
import { openBackend, work } from "./client.ts"

const [address = "", history = "", name = "", ...numbers] = process.argv.slice(2)
const [seed = 0, clients = 0, calls = 0, keys = 0] = numbers.map(Number)
const fd = openSync(history, "a")
await using store = await openBackend(address)
await work(store, { name, seed, clients, calls, keys, say: (event) => void writeSync(fd, `${JSON.stringify(event)}\n`) })
