/** The judge of a store that the workload wrote: opens it as the product would, and says what is wrong. */
import { cpSync, rmSync } from "node:fs"
import { join } from "node:path"
import { storeLimits } from "../../../../runtime/port/limits.ts"
import { placeOf } from "../../../../runtime/port/place.ts"
import { clockBase, clockFrom } from "../../../../runtime/storage/clock.ts"
import { SqliteReader, SqliteWriter } from "../../../../runtime/storage/sqlite/mod.ts"
import { stateFolder } from "./harness.ts"
import { batchOf, type Content, contentsOf, isRefused, progress, topicNames } from "./workload.ts"

/** The database's name in the recorded folder. */
export const database = "a.db"
/** SQLite maps this file, and makes it anew after a crash. */
export const isIgnored = (path: string): boolean => path === `${database}-shm`

const opening = { acceptLoss: false, limits: storeLimits, clock: clockFrom(clockBase()) }
/** Who writes, where nobody else does. */
export const oneTenant = "ada"

/** What differs between what a store holds of a tenant and what it should. */
function differenceOf(reader: SqliteReader, tenant: string, { values, events }: Content): string | undefined {
  const tenantPrefix = `${tenant}/`
  const names = reader.ask({ ask: "list", ...placeOf(tenantPrefix), beyond: undefined, countMax: 10_000 })
  const missing = [...values.keys()].find((name) => !names.includes(name))
  if (missing !== undefined) return `key "${missing}" is missing`
  for (const name of names) {
    const wanted = values.get(name)
    if (wanted === undefined) return `key "${name}" should not be there`
    if (!wanted.equals(reader.ask({ ask: "get", ...placeOf(tenantPrefix + name) })?.value ?? Buffer.alloc(0))) return `key "${name}" has another value`
  }
  for (const topic of topicNames) {
    const wanted = events.get(topic) ?? []
    const { events: found, lost } = reader.ask({ ask: "events", ...placeOf(tenantPrefix + topic), after: 0n, countMax: 10_000 })
    if (lost !== 0n || found.length !== wanted.length) return `topic "${topic}" has ${found.length} events of ${wanted.length}`
    for (const [i, { sequence, payload }] of found.entries())
      if (sequence !== BigInt(i + 1) || !(wanted[i] as Buffer).equals(payload)) return `event ${i + 1} of topic "${topic}" is another one`
  }
  return undefined
}

/** The number of the last batch of a tenant that a store holds; -1 for none. */
function lastOf(reader: SqliteReader, tenant: string): number {
  const found = reader.ask({ ask: "get", ...placeOf(`${tenant}/${progress}`) })
  return found === undefined ? -1 : Number(Buffer.from(found.value).toString())
}

/** The same of a folder, which stays as it is: a copy recovers. */
export function lastIn(folder: string): number {
  const copy = stateFolder()
  try {
    cpSync(folder, copy, { recursive: true })
    const path = join(copy, database)
    SqliteWriter.open(path, opening).close()
    using reader = new SqliteReader(path)
    return lastOf(reader, oneTenant)
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

/** A judge for the first `count` batches of a seed, of each tenant. */
export function judgeOf(seed: number, count: number, tenants: ReadonlyArray<string> = [oneTenant]): (folder: string, notes: string) => string | undefined {
  const contents = contentsOf(seed, count)
  const probe = batchOf(seed, isRefused(count) ? count + 1 : count, "probe")
  return (folder, notes) => {
    const path = join(folder, database)
    const acknowledged = new Map<string, number>()
    for (const line of notes.split("\n")) {
      const [tenant = "", n] = line.split(" ")
      acknowledged.set(tenant, Math.max(acknowledged.get(tenant) ?? -1, Number(n)))
    }
    try {
      using writer = SqliteWriter.open(path, opening)
      if (writer.refusal !== undefined) return `it refuses writes: ${writer.refusal.message}`
      using reader = new SqliteReader(path)
      const findings = reader.check()
      if (findings.length > 0) return `check() finds ${JSON.stringify(findings)}`
      for (const tenant of tenants) {
        const [last, wanted] = [lastOf(reader, tenant), acknowledged.get(tenant) ?? -1]
        if (last < wanted) return `it ends at batch ${last} of "${tenant}", and ${wanted} was acknowledged`
        const content = contents.get(last)
        if (content === undefined) return `it ends at batch ${last} of "${tenant}", which was never kept`
        const difference = differenceOf(reader, tenant, content)
        if (difference !== undefined) return `after batch ${last} of "${tenant}" ${difference}`
      }
      const before = reader.sequence
      const [outcome] = writer.commit([probe])
      if (outcome === undefined || "error" in outcome) return `it takes no write: ${outcome?.error.message}`
      if (reader.sequence !== before + 1) return `a write after it made commit ${reader.sequence} of ${before}`
      return undefined
    } catch (error) {
      return `it cannot be opened: ${error instanceof Error ? error.message : String(error)}`
    }
  }
}
