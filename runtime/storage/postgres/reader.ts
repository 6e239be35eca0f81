/** What a store holds, over all tenants: for reports and checks, as the role for that. */
import { StorageError } from "../../../schemas/error/storage.ts"
import { type Address, parseAddress, passwordOf, workerPasswordOf } from "./address.ts"
import { Connection, type ConnectionSettings } from "./connection.ts"
import { storageError } from "./failure.ts"
import { noTotal, type Total } from "./group.ts"
import { isWhole } from "./head.ts"
import { rowsOf } from "./rows.ts"
import { workerRole } from "./schema.ts"
import { checkWorker } from "./session.ts"
import type { Finding } from "../../port/store.ts"
import type { UsageGroup } from "../../port/usage.ts"
import { tables } from "./table.ts"
import { hexOf, tenantText } from "./tenant.ts"
import { type SumsQuestion, sumsOf } from "./usage-sums.ts"

export interface TableInfo {
  readonly table: string
  /** What is counted: "key", "topic". */
  readonly counts: string
  readonly count: number
  /** Of what is counted and what is kept under it. */
  readonly bytes: number
  readonly tenants: number
}

export interface PostgresInfo {
  readonly store: string
  readonly format: number
  /** Of the tables and their indexes. */
  readonly bytes: number
  /** Of all tenants. */
  readonly commits: number
  readonly committedAtMs: number | undefined
  readonly tables: ReadonlyArray<TableInfo>
  readonly server: {
    readonly version: string
    /** False: the server does not notice when its disk gives back other bytes than were written. Our rows have sums all the same. */
    readonly dataChecksums: boolean
    /** False: what was acknowledged may be gone after a loss of power. */
    readonly fsync: boolean
    readonly fullPageWrites: boolean
    /** Clients that are connected, and how many may be. */
    readonly sessions: number
    readonly sessionsMax: number
  }
}

/** How the role of an address logs in; one that sees all tenants may have a password of its own. */
export function readerSettings(address: string, password?: string): ConnectionSettings {
  const parsed = parseAddress(address)
  const own = parsed.user === workerRole ? workerPasswordOf(parsed) : undefined
  return { address: parsed, password: password ?? own ?? passwordOf(parsed) }
}

export class PostgresReader implements AsyncDisposable {
  readonly name: string
  readonly #address: Address
  readonly #connection: Connection

  private constructor(address: Address, connection: Connection) {
    this.name = address.name
    this.#address = address
    this.#connection = connection
  }

  /** @throws StorageError `Address`, `PasswordShown`, `Unreachable`, `Login`, `NoDatabase`, `Server`, `Older`, `Newer`, `Role` */
  static async open(address: string, { password }: { readonly password?: string } = {}): Promise<PostgresReader> {
    return await PostgresReader.over(readerSettings(address, password))
  }

  static async over(settings: ConnectionSettings): Promise<PostgresReader> {
    let connection: Connection | undefined
    try {
      connection = await Connection.open(settings)
      await checkWorker(connection, settings.address)
      return new PostgresReader(settings.address, connection)
    } catch (error) {
      await connection?.close()
      throw storageError(settings.address, error)
    }
  }

  #reading<A>(read: (connection: Connection) => Promise<A>): Promise<A> {
    if (this.#connection.isDead) throw new StorageError("Closed", { store: this.name })
    return snapshot(this.#address, this.#connection, read)
  }

  info(): Promise<PostgresInfo> {
    return this.#reading((connection) => infoOf(this.name, connection))
  }

  /** Sums of usage, of one tenant or all. */
  usage(question: SumsQuestion): Promise<ReadonlyArray<UsageGroup>> {
    return this.#reading((connection) => sumsOf(this.name, connection, question))
  }

  /** Reads every row and holds it against its sum, its tenant's totals and its tenant's commits. */
  check(): Promise<ReadonlyArray<Finding>> {
    return this.#reading(checkAll)
  }

  async close(): Promise<void> {
    await this.#connection.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** What a database holds, over all tenants. */
export async function infoOf(store: string, connection: Connection): Promise<PostgresInfo> {
  const [newest = {}] = await connection.one(
    "SELECT (SELECT number FROM stele.format) AS format, coalesce(sum(sequence), 0)::bigint AS commits, max(committed_us) AS committed_us FROM stele.tenant WHERE sequence > 0",
  )
  const [server = {}] = await connection.one(
    "SELECT current_setting('server_version') AS version, current_setting('data_checksums') AS checksums, current_setting('fsync') AS fsync, current_setting('full_page_writes') AS pages, current_setting('max_connections')::int AS sessions_max, (SELECT count(*)::int FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend') AS sessions, (SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE nspname = 'stele' AND relkind = 'r') AS bytes",
  )
  const totals = await connection.one(
    "SELECT name, sum(keys)::bigint AS keys, sum(bytes)::bigint AS bytes, count(*) FILTER (WHERE keys > 0) AS tenants FROM stele.total GROUP BY name",
  )
  return {
    store,
    format: Number(newest["format"]),
    bytes: Number(server["bytes"]),
    commits: Number(newest["commits"]),
    committedAtMs: newest["committed_us"] === null ? undefined : Number(newest["committed_us"]) / 1_000,
    tables: tables.map(({ name, counts }) => {
      const row = totals.find((total) => total["name"] === name)
      return { table: name, counts, count: Number(row?.["keys"] ?? 0), bytes: Number(row?.["bytes"] ?? 0), tenants: Number(row?.["tenants"] ?? 0) }
    }),
    server: {
      version: String(server["version"]),
      dataChecksums: server["checksums"] === "on",
      fsync: server["fsync"] === "on",
      fullPageWrites: server["pages"] === "on",
      sessions: Number(server["sessions"]),
      sessionsMax: Number(server["sessions_max"]),
    },
  }
}

/** Numbers without gaps, up to the one that the tenant's own row names with its digest. */
async function checkCommits(connection: Connection): Promise<ReadonlyArray<Finding>> {
  const gaps = await connection.one(
    "SELECT sequence FROM (SELECT sequence, lag(sequence) OVER (PARTITION BY tenant ORDER BY sequence) AS before FROM stele.commit_group) AS pair WHERE before <> sequence - 1",
  )
  const ends = await connection.one(
    "SELECT t.sequence FROM stele.tenant t LEFT JOIN stele.commit_group g ON g.tenant = t.tenant AND g.sequence = t.sequence AND g.digest = t.digest AND g.revision = t.revision WHERE t.digest <> '' AND g.tenant IS NULL",
  )
  const damaged: Array<Finding> = []
  for await (const row of rowsOf(connection, "SELECT tenant, revision, sequence, digest, committed_us, forgotten, sum FROM stele.tenant", ["tenant"]))
    if (!isWhole(row["tenant"] as Uint8Array, row))
      damaged.push({ table: "tenant", key: tenantText(row["tenant"] as Uint8Array), detail: "its bytes are not those that were written" })
  return [
    ...damaged,
    ...gaps.map(({ sequence }) => ({ table: "commit_group", key: String(sequence), detail: "the commit before it is missing" })),
    ...ends.map(({ sequence }) => ({ table: "commit_group", key: String(sequence), detail: "its tenant's newest commit is not there, or another" })),
  ]
}

/** In one snapshot: rows and totals of different commits do not agree. */
export async function snapshot<A>(address: Address, connection: Connection, read: (connection: Connection) => Promise<A>): Promise<A> {
  try {
    await connection.one("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    return await read(connection)
  } catch (error) {
    throw storageError(address, error)
  } finally {
    if (!connection.isDead) await connection.run([{ sql: "ROLLBACK" }])
  }
}

export async function checkAll(connection: Connection): Promise<ReadonlyArray<Finding>> {
  const findings: Array<Finding> = []
  const written = new Map<string, Total>()
  for await (const row of rowsOf(connection, "SELECT tenant, name, keys, bytes, sums FROM stele.total", ["tenant", "name"]))
    written.set(`${String(row["name"])} ${hexOf(row["tenant"] as Uint8Array)}`, {
      keys: Number(row["keys"]),
      bytes: Number(row["bytes"]),
      sums: Number(row["sums"]),
    })
  const found = new Map<string, Total>()
  for (const table of tables)
    findings.push(
      ...(await table.check(connection, (name, tenant, part) => {
        const id = `${name} ${hexOf(tenant)}`
        const total = found.get(id) ?? noTotal
        found.set(id, { keys: total.keys + part.keys, bytes: total.bytes + part.bytes, sums: (total.sums ^ part.sums) >>> 0 })
      })),
    )
  for (const id of new Set([...found.keys(), ...written.keys()])) {
    const [is, was] = [found.get(id) ?? noTotal, written.get(id) ?? noTotal]
    if (is.keys === was.keys && is.bytes === was.bytes && is.sums === was.sums) continue
    const [table = "", tenant = ""] = id.split(" ")
    const whose = tenantText(Buffer.from(tenant, "hex"))
    findings.push({
      table,
      key: "",
      detail: `tenant "${whose}": ${is.keys} keys and ${is.bytes} bytes are there, ${was.keys} and ${was.bytes} were written`,
    })
  }
  return [...findings, ...(await checkCommits(connection))]
}
