/** The server's programs on this machine, and a server that nobody but this process can reach, for as long as it takes to recover a restored folder and prove it. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { ConnectionSettings } from "../postgres/connection.ts"
import { workerRole } from "../postgres/schema.ts"
import type { Owner } from "./tar.ts"

const { spawn, spawnSync } = process.getBuiltinModule("node:child_process")
const { chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } = process.getBuiltinModule("node:fs")
const { tmpdir } = process.getBuiltinModule("node:os")
const { delimiter, join } = process.getBuiltinModule("node:path")

export interface Programs {
  readonly postgres: string
  /** Whom the server runs as; undefined: this user. */
  readonly owner: Owner
}

/** Where packages put a major version: Debian, RPMs of postgresql.org, Homebrew. */
const foldersOf = (major: number): ReadonlyArray<string> => [
  `/usr/lib/postgresql/${major}/bin`,
  `/usr/pgsql-${major}/bin`,
  `/opt/homebrew/opt/postgresql@${major}/bin`,
  `/usr/local/opt/postgresql@${major}/bin`,
]

function serverOf(major: number): string | undefined {
  const inFolders = foldersOf(major).map((folder) => join(folder, "postgres"))
  const onPath = (process.env["PATH"] ?? "")
    .split(delimiter)
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, "postgres"))
  const known = inFolders.find((path) => existsSync(path))
  if (known !== undefined) return known
  return onPath.find((path) => existsSync(path) && new RegExp(`\\b${major}\\.`).test(spawnSync(path, ["--version"], { encoding: "utf8" }).stdout ?? ""))
}

function ownerFor(): Owner | "none" {
  if (process.getuid?.() !== 0) return undefined
  const id = (flag: string): number => Number.parseInt(spawnSync("id", [flag, "postgres"], { encoding: "utf8" }).stdout ?? "", 10)
  const [uid, gid] = [id("-u"), id("-g")]
  return Number.isNaN(uid) || uid === 0 ? "none" : { uid, gid }
}

/** @throws StorageError `Programs` where there are none of this version, or nobody to run them as */
export function findPrograms(store: string, major: number): Programs {
  const packageName = `postgresql-${major} (Debian: apt-get install postgresql-${major})`
  const postgres = serverOf(major)
  if (postgres === undefined)
    throw new StorageError("Programs", { store, detail: `the server of PostgreSQL ${major} is not installed here`, package: packageName })
  const owner = ownerFor()
  if (owner === "none")
    throw new StorageError("Programs", { store, detail: "PostgreSQL does not run as root, and there is no user postgres", package: packageName })
  return { postgres, owner }
}

/** Whom a folder is given that nobody proves: the user postgres, where root writes it. */
export function ownerOrSelf(): Owner {
  const owner = ownerFor()
  return owner === "none" ? undefined : owner
}

/**
 * Whatever the restored folder's own settings say: nothing of it reaches another place. No command of its archiving runs, no library is loaded, no
 * standby is waited for.
 */
const settings = (socket: string): Readonly<Record<string, string>> => ({
  config_file: join(socket, "postgresql.conf"),
  hba_file: join(socket, "pg_hba.conf"),
  ident_file: join(socket, "pg_ident.conf"),
  listen_addresses: "",
  unix_socket_directories: socket,
  port: "5432",
  external_pid_file: "",
  hot_standby: "off",
  archive_mode: "off",
  archive_cleanup_command: "",
  recovery_end_command: "",
  primary_conninfo: "",
  primary_slot_name: "",
  synchronous_standby_names: "",
  shared_preload_libraries: "",
  session_preload_libraries: "",
  local_preload_libraries: "",
  ssl: "off",
  autovacuum: "off",
  max_connections: "20",
  max_prepared_transactions: "1000",
  shared_buffers: "128MB",
  huge_pages: "off",
  fsync: "on",
  full_page_writes: "on",
  // What was unpacked is synced at once and not file by file, where the system can do that.
  ...(process.platform === "linux" && { recovery_init_sync_method: "syncfs" }),
  default_transaction_read_only: "off",
  log_destination: "stderr",
  logging_collector: "off",
  log_min_messages: "warning",
  lc_messages: "C",
})

/** Recovery from the log in the folder itself, up to where the records before `untilLsn` end. */
export const recoverySettings = (untilLsn: string | undefined): Readonly<Record<string, string>> => ({
  restore_command: "false",
  recovery_target: "",
  recovery_target_name: "",
  recovery_target_time: "",
  recovery_target_xid: "",
  recovery_target_lsn: untilLsn ?? "",
  recovery_target_inclusive: "off",
  recovery_target_action: "promote",
  recovery_target_timeline: "current",
})

/** Runs the server until it is told a signal, or nobody is left who could: it ends with this process, however that ends. */
const keeper = `exec 3<&0; "$0" "$@" </dev/null 3<&- & server=$!; { read -r signal <&3; kill -"\${signal:-QUIT}" "$server"; } 2>/dev/null & wait "$server"`

export interface PrivateServer {
  /** Its sessions act as the role that sees all tenants. */
  readonly worker: ConnectionSettings
  /** Waits until it has written everything down. @throws StorageError `Unproved` */
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

const said = (text: string): string =>
  text
    .split("\n")
    .filter((line) => /FATAL|PANIC|ERROR|postgres:/.test(line))
    .slice(-3)
    .map((line) => line.replace(/^.*?(?=FATAL|PANIC|ERROR)/, ""))
    .join("; ")

/**
 * Starts a server on a folder and waits until it has recovered and answers. `store` is what messages call it.
 * @throws StorageError `Unproved` with what the server said
 */
export async function startPrivate(
  { postgres, owner }: Programs,
  data: string,
  untilLsn: string | undefined,
  database: string,
  store: string,
): Promise<PrivateServer> {
  // A socket's path has at most 107 bytes, and a folder that only its user may enter keeps others away.
  const socket = mkdtempSync(join(tmpdir(), "stele-pg-"))
  const files = { "postgresql.conf": "", "pg_hba.conf": "local all all trust\n", "pg_ident.conf": "" }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(socket, name), text, { mode: 0o600 })
  if (owner !== undefined) for (const path of [socket, ...Object.keys(files).map((name) => join(socket, name))]) chownSync(path, owner.uid, owner.gid)
  const all = { ...settings(socket), ...recoverySettings(untilLsn) }
  const child = spawn("sh", ["-c", keeper, postgres, "-D", data, ...Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`])], {
    cwd: socket,
    stdio: ["pipe", "ignore", "pipe"],
    env: { PATH: process.env["PATH"] ?? "", LC_ALL: "C", TZ: "UTC" },
    ...(owner !== undefined && owner),
  })
  // A server that has ended does not listen.
  child.stdin.on("error", () => {})
  const end = (): void => {
    child.stdin.destroy()
    rmSync(socket, { recursive: true, force: true })
  }
  let text = ""
  const exited = new Promise<void>((resolve) => {
    child.once("exit", () => resolve())
    child.once("error", (error) => {
      text += `postgres: ${error.message}\n`
      resolve()
    })
  })
  const unproved = (detail: string): StorageError => new StorageError("Unproved", { store, detail: said(text) || detail })
  try {
    await new Promise<void>((resolve, reject) => {
      child.stderr?.on("data", (bytes: Buffer) => {
        text = `${text}${bytes.toString()}`.slice(-20_000)
        if (text.includes("database system is ready to accept connections")) resolve()
      })
      void exited.then(() => reject(unproved("its server ended while it recovered")))
    })
  } catch (error) {
    await exited
    end()
    throw error
  }
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.stdin.write("INT\n")
    await exited
    end()
    if (child.exitCode !== 0) throw unproved("its server did not end as it should")
  }
  return {
    worker: { address: { name: store, host: socket, port: 5_432, user: workerRole, database, tls: "disable" }, password: undefined },
    stop,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.stdin.write("QUIT\n")
      await exited
      end()
    },
  }
}
