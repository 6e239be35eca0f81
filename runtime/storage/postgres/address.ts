/** What a `postgres://` address says, and where the password comes from, which it never holds. */
import { StorageError } from "../../../schemas/error/storage.ts"
import { workerRole } from "./schema.ts"

const { readFileSync } = process.getBuiltinModule("node:fs")

export interface Address {
  /** As it is shown: no password, no settings. */
  readonly name: string
  /** A folder with a unix socket when it starts with a slash. */
  readonly host: string
  readonly port: number
  readonly user: string
  readonly database: string
  /** `sslmode`: "disable" for unix sockets, "prefer" when nothing was said. */
  readonly tls: "disable" | "allow" | "prefer" | "require" | "verify-ca" | "verify-full"
}

const known = ["postgres://USER@HOST:PORT/DATABASE", "postgres://USER@/DATABASE?host=/SOCKET-FOLDER"]
const modes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] as const
const nowhere = "nowhere.invalid"
const settings = new Set(["host", "port", "sslmode"])

/** An address without what may not be shown. */
export const shown = (address: string): string => address.replace(/(:\/\/[^:@/]*):[^@/]*@/, "$1:…@").replace(/([?&]password=)[^&]*/, "$1…")

/**
 * Reads an address.
 * @throws StorageError `Address`, `PasswordShown`
 */
export function parseAddress(address: string): Address {
  const refuse = (): never => {
    throw new StorageError("Address", { address: shown(address), known })
  }
  // A user without a host is usual here, and no URL.
  const whole = address.replace(/^(postgres(?:ql)?:\/\/[^@/?]*@)(?=[/?]|$)/, `$1${nowhere}`)
  if (!/^postgres(ql)?:\/\//.test(address) || !URL.canParse(whole)) return refuse()
  const url = new URL(whole)
  if (url.password !== "" || url.searchParams.has("password")) throw new StorageError("PasswordShown", { address: shown(address) })
  if ([...url.searchParams.keys()].some((name) => !settings.has(name)) || url.hash !== "") return refuse()
  const text = (part: string): string => {
    try {
      return decodeURIComponent(part)
    } catch {
      return refuse()
    }
  }
  const host = url.searchParams.get("host") ?? text(url.hostname === nowhere ? "" : url.hostname).replace(/^\[(.*)\]$/, "$1")
  const port = Number(url.port || url.searchParams.get("port") || 5_432)
  const [user, database] = [text(url.username), text(url.pathname.slice(1))]
  const tls = (url.searchParams.get("sslmode") ?? (host.startsWith("/") ? "disable" : "prefer")) as Address["tls"]
  if (host === "" || user === "" || database === "" || !modes.includes(tls) || !Number.isInteger(port) || port < 1 || port > 65_535) return refuse()
  const [shownUser, shownDatabase] = [encodeURIComponent(user), encodeURIComponent(database)]
  const name = host.startsWith("/")
    ? `postgres://${shownUser}@/${shownDatabase}?host=${host}&port=${port}`
    : `postgres://${shownUser}@${host.includes(":") ? `[${host}]` : host}:${port}/${shownDatabase}`
  return { name, host, port, user, database, tls }
}

/** The contents of the file that a variable names. */
function passwordIn(variable: string, { name, user }: Address, environment: Environment): string | undefined {
  const path = environment[variable]
  if (path === undefined || path === "") return undefined
  try {
    return readFileSync(path, "utf8").replace(/\r?\n$/, "")
  } catch (cause) {
    throw new StorageError("Login", { store: name, user, detail: `the file "${path}" with its password cannot be read` }, { cause })
  }
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * The password of the environment: the file that `STELE_STORAGE_PASSWORD_FILE` names, or `PGPASSWORD`.
 * @throws StorageError `Login` when the file cannot be read
 */
export const passwordOf = (address: Address, environment: Environment = process.env): string | undefined =>
  passwordIn("STELE_STORAGE_PASSWORD_FILE", address, environment) ?? environment["PGPASSWORD"]

/** The same database as the role that sees all tenants; its settings, such as `sslmode`, stay. */
export const workerAddress = (address: string): string => address.replace(/^(postgres(?:ql)?:\/\/)[^@/?]*@/, `$1${workerRole}@`)

/**
 * That role's password: the file that `STELE_STORAGE_WORKER_PASSWORD_FILE` names; undefined where it is the service's.
 * @throws StorageError `Login` when the file cannot be read
 */
export const workerPasswordOf = (address: Address, environment: Environment = process.env): string | undefined =>
  passwordIn("STELE_STORAGE_WORKER_PASSWORD_FILE", address, environment)
