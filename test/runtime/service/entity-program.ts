/**
 * Serves entities in a process of its own: `ADDRESS MODE NAME`. An entity's state is the list of the numbers it was sent; its first one makes it send
 * one to the entity `total`. It ends when it is told to, and says what it did.
 */
import { type Mode, sourcesOf } from "./entity-mutants.ts"

const [address = "", mode = "KEEP", name = ""] = process.argv.slice(2)
const { Entities, PostgresStore, SqliteStore } = await sourcesOf(mode as Mode)
const store = address.startsWith("postgres:") ? await PostgresStore.open(address, { connectionsMax: 2 }) : await SqliteStore.open(address)
const end = new AbortController()
process.on("SIGTERM", () => end.abort())
const accounts = await Entities.open(store, "account", { tenant: Buffer.from("ada") })
const one = Buffer.from("1")
const report = await accounts.serve<ReadonlyArray<number>>(
  {
    decode: (bytes) => JSON.parse(Buffer.from(bytes).toString()) as ReadonlyArray<number>,
    encode: (seen) => Buffer.from(JSON.stringify(seen)),
    async receive(seen = [], { id, payload, number }) {
      // Long enough to be stopped in the middle rather than in a commit, which the others would wait for.
      await new Promise((resume) => setTimeout(resume, number % 16))
      const isFirst = seen.length === 0 && id !== "total"
      return {
        state: [...seen, Number(Buffer.from(payload).toString())],
        operations: isFirst ? [accounts.message("total", one, { attemptsMax: 1_000, backoffMs: 5, backoffMsMax: 50 })] : [],
      }
    },
  },
  { signal: end.signal, holder: name, leaseMs: 1_000, pollMs: 50, graceMs: 2_000, concurrency: 16 },
)
await store.close()
console.log(JSON.stringify(report))
