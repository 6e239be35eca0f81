/**
 * A PostgreSQL of the test's own: made by `initdb` in a temporary folder, on a unix socket and a free port, and stopped by its
 * process id. It refuses to run as root, so root starts it as the user `postgres`. Its disk syncs are on.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { chown, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { createServer, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { migratePostgres, serviceRole, workerRole } from "../../../../runtime/storage/postgres/mod.ts"

export interface Server {
  readonly port: number
  /** Folder with the unix socket. */
  readonly socket: string
  /** Of the superuser, `postgres`, and of every role that `migrate` is told to make. */
  readonly password: string
  /** Runs SQL as the superuser in a database and gives what `psql` prints: fields by `|`, rows by lines. */
  sql(text: string, database?: string): string
  /** An address on the unix socket. */
  address(user: string, database: string): string
  /** Makes an empty database that belongs to the role `owner`. */
  database(name: string): void
  /** `fast` ends sessions, `immediate` is a crash. */
  stop(how?: "fast" | "immediate"): Promise<void>
  start(): Promise<void>
  close(): Promise<void>
}

const own = ["/usr/lib/postgresql", "/usr/local/lib/postgresql", "/usr/pgsql"]

async function binaries(): Promise<string | undefined> {
  for (const folder of own) {
    const versions = await readdir(folder).catch(() => [])
    for (const version of versions.toSorted((a, b) => Number(b) - Number(a))) {
      const bin = join(folder, version, "bin")
      if (Number(version) >= 15 && existsSync(join(bin, "initdb"))) return bin
    }
  }
  const found = spawnSync("pg_config", ["--bindir"], { encoding: "utf8" }).stdout?.trim()
  return found !== undefined && found !== "" && existsSync(join(found, "initdb")) ? found : undefined
}

function user(): { readonly uid?: number; readonly gid?: number } | undefined {
  if (process.getuid?.() !== 0) return {}
  const id = (flag: string) => Number(spawnSync("id", [flag, "postgres"], { encoding: "utf8" }).stdout)
  return Number.isNaN(id("-u")) || id("-u") === 0 ? undefined : { uid: id("-u"), gid: id("-g") }
}

async function freePort(): Promise<number> {
  const listener = createServer()
  await once(listener.listen(0, "127.0.0.1"), "listening")
  const { port } = listener.address() as { readonly port: number }
  await new Promise((done) => listener.close(done))
  return port
}

/** Why there is no server here, in one line; undefined where there can be one. */
export async function missing(): Promise<string | undefined> {
  if ((await binaries()) === undefined) return "PostgreSQL 15 or newer is not installed (Debian: apt-get install postgresql)"
  return user() === undefined ? "PostgreSQL does not run as root, and there is no user postgres" : undefined
}

export interface Database {
  readonly name: string
  /** Addresses by role. */
  readonly owner: string
  readonly service: string
  readonly worker: string
}

/** Databases made so far, by server. */
const databases = new WeakMap<Server, number>()

/** A database of its own that is set up: the first is migrated, the others are copies of an untouched one. */
export async function migrated(server: Server): Promise<Database> {
  const { password } = server
  const at = (name: string): Database => ({
    name,
    owner: server.address("owner", name),
    service: server.address(serviceRole, name),
    worker: server.address(workerRole, name),
  })
  const number = (databases.get(server) ?? 0) + 1
  databases.set(server, number)
  if (number === 1) {
    server.database("pattern")
    await migratePostgres(at("pattern").owner, { password, servicePassword: password, workerPassword: password })
  }
  const name = `store${number}`
  server.sql(`CREATE DATABASE ${name} OWNER owner TEMPLATE pattern`)
  return at(name)
}

export async function startServer(settings: Readonly<Record<string, string>> = {}): Promise<Server> {
  const bin = (await binaries()) as string
  const who = user() ?? {}
  const folder = await mkdtemp(join(tmpdir(), "stele-postgres-"))
  const data = join(folder, "data")
  const password = "of the test"
  const environment = { PATH: process.env["PATH"], LC_ALL: "C.UTF-8", TZ: "UTC" }
  await mkdir(data)
  await writeFile(join(folder, "password"), password)
  if (who.uid !== undefined) for (const path of [folder, data, join(folder, "password")]) await chown(path, who.uid, who.gid as number)
  const run = { ...who, env: environment, cwd: folder, encoding: "utf8" } as const
  execFileSync(join(bin, "initdb"), ["-D", data, "-U", "postgres", "-A", "scram-sha-256", `--pwfile=${join(folder, "password")}`, "-k", "--no-sync"], {
    ...run,
    stdio: "pipe",
  })
  const port = await freePort()
  const all = { fsync: "on", recovery_init_sync_method: "syncfs", max_connections: "300", shared_buffers: "64MB", ...settings }
  let running: ReturnType<typeof spawn> | undefined
  const sql = (text: string, database = "postgres"): string => {
    const found = spawnSync(join(bin, "psql"), ["-h", folder, "-p", String(port), "-U", "postgres", "-d", database, "-Atqv", "ON_ERROR_STOP=1", "-c", text], {
      ...run,
      env: { ...environment, PGPASSWORD: password },
    })
    if (found.status !== 0) throw new Error(`psql: ${found.stderr}`)
    return found.stdout.trim()
  }
  const start = async (): Promise<void> => {
    const options = Object.entries({ ...all, port: String(port), listen_addresses: "127.0.0.1", unix_socket_directories: folder })
    const child = spawn(join(bin, "postgres"), ["-D", data, ...options.flatMap(([name, value]) => ["-c", `${name}=${value}`])], {
      ...run,
      stdio: ["ignore", "ignore", "pipe"],
    })
    running = child
    // Whatever becomes of the test, the server ends with it.
    process.once("exit", () => child.kill("SIGQUIT"))
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => process.exit(1))
    let said = ""
    await new Promise<void>((resolve, reject) => {
      child.once("exit", () => reject(new Error(`PostgreSQL ended: ${said}`)))
      child.stderr?.on("data", (text: Buffer) => {
        said = `${said}${text.toString()}`.slice(-10_000)
        if (said.includes("is ready to accept connections")) resolve()
      })
    })
    child.unref()
    ;(child.stderr as Socket | null)?.unref()
  }
  const stop = async (how: "fast" | "immediate" = "fast"): Promise<void> => {
    const child = running
    running = undefined
    if (child === undefined || child.exitCode !== null) return
    const gone = once(child, "exit")
    child.ref()
    child.kill(how === "fast" ? "SIGINT" : "SIGQUIT")
    await gone
  }
  await start()
  sql(`CREATE ROLE owner LOGIN CREATEROLE PASSWORD '${password}'`)
  return {
    port,
    socket: folder,
    password,
    sql,
    address: (user, database) => `postgres://${user}@/${database}?host=${folder}&port=${port}`,
    database: (name) => void sql(`CREATE DATABASE ${name} OWNER owner`),
    stop,
    start,
    async close() {
      await stop("immediate")
      await rm(folder, { recursive: true, force: true })
    },
  }
}
