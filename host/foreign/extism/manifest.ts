/**
 * Extism's manifest (extism/extism, `manifest`: `schema.json` and `src/lib.rs`) as what this host loads by: a source, grants
 * and limits. Read once and refused whole where something in it has no counterpart, so that none of it goes unheeded.
 */
import { ExtismError } from "../../../schemas/error/extism.ts"
import { fromBase64 } from "../../../schemas/value/base64.ts"
import { describe } from "../../../schemas/value/form.ts"
import { directoryName } from "../../capability/file-system.ts"
import type { AssembledSource, Source } from "../../host.ts"
import type { Limits, LoadOptions } from "../../options.ts"
import { joinModules } from "./joined.ts"
import { envModule, mainName, userModule } from "./names.ts"

/** Names that no module of a manifest may take from the host. */
const reserved: ReadonlySet<string> = new Set([envModule, userModule, "wasi_snapshot_preview1", "wasi_unstable"])

export interface ExtismLoad {
  readonly source: Source
  readonly options: LoadOptions
}

export interface ManifestOptions {
  /** The directory that relative `allowed_paths` begin in; without it they are refused. */
  readonly cwd?: string
  /** What Extism's hosts call `useWasi`: clocks and random numbers, which programs made for WASI may not start without. */
  readonly wasi?: boolean
}

type Json = Readonly<Record<string, unknown>>

const wrong = (path: string, expected: string, value: unknown): ExtismError => new ExtismError("Manifest", { path, expected, actual: describe(value) })

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

/** An object with no other keys than these; absent and null are as empty. */
function objectOf(value: unknown, path: string, known: ReadonlyArray<string>): Json {
  if (value === undefined || value === null) return {}
  if (!isObject(value)) throw wrong(path, "an object", value)
  for (const key of Object.keys(value)) {
    if (!known.includes(key))
      throw new ExtismError("Manifest", {
        path: path === "" ? key : `${path}.${key}`,
        expected: `one of ${known.join(", ")}`,
        actual: "a key that Extism does not define",
      })
  }
  return value
}

function textsOf(value: unknown, path: string): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return {}
  if (!isObject(value)) throw wrong(path, "an object of texts", value)
  for (const [key, text] of Object.entries(value)) if (typeof text !== "string") throw wrong(`${path}.${key}`, "text", text)
  return value as Readonly<Record<string, string>>
}

function count(value: unknown, path: string, min: number, max: number): number | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) throw wrong(path, `a whole number from ${min} to ${max}`, value)
  return value
}

type One = Exclude<Source, AssembledSource>

interface Item {
  readonly source: One
  readonly digest?: string
  /** As it says, or as Extism's host names it: after its file, or as the main one. */
  readonly name: string
}

/** `shout` of `/srv/shout.wasm`. */
const stem = (path: string): string => (path.split(/[/\\]/).at(-1) ?? "").replace(/\.[^.]*$/, "")

/** The modules: one, or several that are linked by name. */
function sourceOf(value: unknown): { readonly source: Source; readonly digest?: string } {
  if (!Array.isArray(value) || value.length === 0) throw wrong("wasm", "a list of modules", value)
  const items = value.map(itemOf)
  const [first] = items
  if (items.length === 1 && first !== undefined) return { source: first.source, ...(first.digest === undefined ? {} : { digest: first.digest }) }
  const main = items.find(({ name }) => name === mainName) ?? items.at(-1)
  const libraries = new Map<string, Item>()
  for (const item of items) {
    if (item === main) continue
    if (libraries.has(item.name) || item.name === mainName) throw new ExtismError("Link", { module: item.name, detail: "there are two of this name" })
    if (reserved.has(item.name)) throw new ExtismError("Link", { module: item.name, detail: "the host's own functions have this name" })
    libraries.set(item.name, item)
  }
  return {
    source: {
      assemble: async (read) => {
        const bytes = new Map<Item | undefined, Uint8Array>()
        for (const item of items) bytes.set(item, await read(item.source, item.digest))
        return joinModules({
          main: bytes.get(main) as Uint8Array,
          libraries: new Map(Array.from(libraries, ([name, item]) => [name, bytes.get(item) as Uint8Array])),
        })
      },
    },
  }
}

/** Where a module is, what digest it must have, and its name. */
function itemOf(value: unknown, i: number): Item {
  const at = `wasm[${i}]`
  const item = objectOf(value, at, ["path", "data", "url", "headers", "header", "method", "name", "hash"])
  const { hash, name } = item
  if (name !== undefined && name !== null && typeof name !== "string") throw wrong(`${at}.name`, "text", name)
  if (hash !== undefined && hash !== null && (typeof hash !== "string" || !/^[0-9a-f]{64}$/i.test(hash)))
    throw wrong(`${at}.hash`, "64 hexadecimal digits of SHA-256", hash)
  const digest = typeof hash === "string" ? { digest: `sha256:${hash.toLowerCase()}` } : {}
  const kinds = (["path", "data", "url"] as const).filter((kind) => item[kind] !== undefined)
  if (kinds.length !== 1)
    throw new ExtismError("Manifest", {
      path: at,
      expected: "one of path, data and url",
      actual: kinds.length === 0 ? "none of them" : kinds.join(" and "),
    })
  const kind = kinds[0] as "path" | "data" | "url"
  const text = item[kind]
  if (typeof text !== "string" || text === "") throw wrong(`${at}.${kind}`, "text", text)
  const own = typeof name === "string" ? name : undefined
  if (kind === "path") return { source: text.startsWith("sha256:") ? `./${text}` : text, ...digest, name: own ?? stem(text) }
  if (kind === "data") {
    const bytes = fromBase64(text)
    if (bytes === undefined) throw wrong(`${at}.data`, "bytes in base64", text)
    return { source: bytes, ...digest, name: own ?? mainName }
  }
  const instead = "get the module before, and give its path"
  if (Object.keys({ ...textsOf(item["headers"], `${at}.headers`), ...textsOf(item["header"], `${at}.header`) }).length > 0)
    throw new ExtismError("Unsupported", { path: `${at}.headers`, feature: "headers for loading a module", instead })
  const { method } = item
  if (method !== undefined && method !== null && (typeof method !== "string" || method.toUpperCase() !== "GET"))
    throw new ExtismError("Unsupported", { path: `${at}.method`, feature: "methods but GET for loading a module", instead })
  const url = URL.parse(text)
  if (url === null || !["http:", "https:", "file:"].includes(url.protocol)) throw wrong(`${at}.url`, "an http, https or file URL", text)
  return { source: url, ...digest, name: own ?? stem(url.pathname) }
}

/** `config:NAME` for a setting; a name that the grammar has no grant for is refused. */
function configGrant(name: string): string {
  if (name === "" || name.length > 256 || name.includes("*") || name.endsWith("/") || name !== name.trim() || /\p{C}/u.test(name))
    throw new ExtismError("Unsupported", {
      path: `config.${name}`,
      feature: "grant for a setting of this name",
      instead: "rename the setting: letters, digits, dots and dashes",
    })
  return `config:${name}`
}

/** Extism matches the host of a URL with a glob, whatever its port; a grant names scheme, host and the scheme's own port. */
function hostGrants(value: unknown): ReadonlyArray<string> {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw wrong("allowed_hosts", "a list of hosts", value)
  return value.flatMap((host: unknown, i) => {
    if (typeof host !== "string") throw wrong(`allowed_hosts[${i}]`, "text", host)
    if (host === "*") return ["http:*:*"]
    const name = /^(?:\*\.)?(?:[\p{L}\p{N}_-]+(?:\.[\p{L}\p{N}_-]+)*|\[?[\da-f:.]+\]?)$/iu.test(host) ? host : undefined
    if (name === undefined) {
      const instead = 'write a host, "*.DOMAIN", or "*"'
      throw new ExtismError("Unsupported", { path: `allowed_hosts[${i}]`, feature: `pattern of hosts such as "${host.slice(0, 100)}"`, instead })
    }
    const authority = name.includes(":") && !name.startsWith("[") ? `[${name}]` : name
    return [`http:*:https://${authority}/*`, `http:*:http://${authority}/*`]
  })
}

/** A path without `.` and `..`, from `cwd` where it is relative; undefined where that is not known or left. */
function absolute(path: string, cwd: string | undefined): string | undefined {
  const isAbsolute = path.startsWith("/") || /^[A-Za-z]:[\\/]/.test(path)
  if (!isAbsolute && cwd === undefined) return undefined
  const parts: Array<string> = []
  for (const part of (isAbsolute ? path : `${cwd}/${path}`).split("/")) {
    if (part === "..") parts.pop()
    else if (part !== "." && part !== "") parts.push(part)
  }
  const joined = parts.join("/")
  return directoryName(/^[A-Za-z]:/.test(joined) ? joined : `/${joined}`)
}

/** `{ host: guest }`, where `ro:` in front of the host's means to read only. */
function directoriesOf(
  value: unknown,
  cwd: string | undefined,
): { readonly grants: ReadonlyArray<string>; readonly directories: Readonly<Record<string, string>> } {
  const grants: Array<string> = []
  const directories = new Map<string, string>()
  for (const [given, guest] of Object.entries(textsOf(value, "allowed_paths"))) {
    const isReadOnly = given.startsWith("ro:")
    const name = absolute(isReadOnly ? given.slice(3) : given, cwd)
    const path = `allowed_paths.${given}`
    if (name === undefined) throw new ExtismError("Manifest", { path, expected: "an absolute path", actual: "a relative one, and no directory it begins in" })
    if (name.includes("*")) throw new ExtismError("Unsupported", { path, feature: "grant for a directory of this name", instead: "rename the directory" })
    if (directories.has(guest)) throw new ExtismError("Manifest", { path, expected: "one directory for each name", actual: "a name that stands twice" })
    const plain = name.length > 1 ? name.slice(0, -1) : name
    grants.push(`fs:read:${plain}`, ...(isReadOnly ? [] : [`fs:write:${plain}`]))
    directories.set(guest, plain)
  }
  return { grants, directories: Object.fromEntries(directories) }
}

const wasiGrants = ["clock:wall", "clock:monotonic", "random"]

const keys = ["wasm", "memory", "config", "allowed_hosts", "allowed_paths", "timeout_ms"]
const pageBytes = 65_536

/**
 * Extism's manifest, as JSON text or its value, as the arguments of `host.load`: `host.load(source, options)`.
 *
 * Grants are those that the manifest implies: its settings, its hosts, its directories, and the log. Functions of the application's own are
 * not in a manifest: add `imports`, and `call:NAME` to the grants.
 *
 * @throws ExtismError `Manifest` for what is no manifest, `Unsupported` for what this host has no counterpart of
 */
export function extismManifest(manifest: unknown, { cwd, wasi = false }: ManifestOptions = {}): ExtismLoad {
  let value = manifest
  if (typeof manifest === "string") {
    try {
      value = JSON.parse(manifest)
    } catch (cause) {
      throw new ExtismError("Manifest", { path: "", expected: "JSON", actual: cause instanceof Error ? cause.message : "other text" }, { cause })
    }
  }
  if (!isObject(value)) throw wrong("", "an object", value)
  const given = objectOf(value, "", keys)
  const memory = objectOf(given["memory"], "memory", ["max_pages", "max", "max_http_response_bytes", "max_var_bytes"])
  const pages = count(memory["max_pages"] ?? memory["max"], "memory.max_pages", 0, 65_536)
  const variables = count(memory["max_var_bytes"], "memory.max_var_bytes", 0, Number.MAX_SAFE_INTEGER)
  const timeout = count(given["timeout_ms"], "timeout_ms", 1, 86_400_000)
  const paths = directoriesOf(given["allowed_paths"], cwd)
  const response = count(memory["max_http_response_bytes"], "memory.max_http_response_bytes", 0, Number.MAX_SAFE_INTEGER)
  const config = textsOf(given["config"], "config")
  const { source, digest } = sourceOf(given["wasm"])
  const limits: Partial<Limits> = {
    ...(pages === undefined ? {} : { memoryBytesMax: pages * pageBytes }),
    ...(variables === undefined ? {} : { varBytesMax: variables }),
    ...(response === undefined ? {} : { httpResponseBytesMax: response }),
    ...(timeout === undefined ? {} : { deadlineMs: timeout }),
  }
  return {
    source,
    options: {
      grants: ["log", ...(wasi ? wasiGrants : []), ...Object.keys(config).map(configGrant), ...hostGrants(given["allowed_hosts"]), ...paths.grants],
      limits,
      config,
      ...(digest === undefined ? {} : { digest }),
      ...(paths.grants.length === 0 ? {} : { wasi: { directories: paths.directories } }),
    },
  }
}
