/**
 * The program that is recorded: `program.ts PATH NOTES SEED FROM COUNT TENANTS` writes the batches FROM to FROM+COUNT-1 of the
 * seed into the store, several at a time as so many clients would, and notes tenant and number once each is acknowledged; of
 * several tenants, a process does so for each. The store is closed and opened again now and then: files are made and
 * removed only there.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { openSync, writeSync } from "node:fs"
import { CounterError } from "../../../../host/port/mod.ts"
import { SqliteStore } from "../../../../runtime/storage/sqlite/mod.ts"
import { batchOf } from "./workload.ts"

const [path = "", notes = "", ...rest] = process.argv.slice(2)
const [seed = 0, from = 0, count = 0] = rest.map(Number)
const tenants = (rest[3] ?? "").split(",")
const clients = 3
const fd = openSync(notes, "a")
let next = from
let isOver = false

/** Sessions of these shares of all batches: the first ones short, the last one long enough to fold the log into the database. */
const ends = [0.02, 0.06, 0.3, 1].map((share) => from + Math.ceil(count * share))

async function write(tenant: string): Promise<void> {
  for (const end of ends) {
    if (isOver) break
    const store = await SqliteStore.open(path)
    if (store.refusal !== undefined) throw store.refusal
    const client = async (): Promise<void> => {
      while (next < end && !isOver) {
        const n = next++
        try {
          await store.apply(batchOf(seed, n, tenant))
        } catch (error) {
          if (error instanceof CounterError) continue
          // Whether this one is kept, only recovery tells: those after it would not follow on what the judge knows.
          isOver = true
          process.exitCode = 3
          return
        }
        writeSync(fd, `${tenant} ${n}\n`)
      }
    }
    await Promise.all(Array.from({ length: clients }, client))
    await store.close()
  }
}

const [first = ""] = tenants
if (tenants.length === 1) await write(first)
else {
  const alone = (tenant: string): ReadonlyArray<string> => [process.argv[1] as string, path, notes, ...rest.slice(0, 3), tenant]
  const children = tenants.map((tenant) => spawn(process.execPath, alone(tenant), { stdio: ["ignore", "ignore", "inherit"] }))
  const codes = await Promise.all(children.map(async (child) => (await once(child, "close"))[0] as number | null))
  process.exitCode = Math.max(...codes.map((code) => code ?? 99))
}
