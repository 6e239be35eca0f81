/** `stele plugin add|list|remove|reload`: the plugins of a store, through the service that serves it, if one does. */
import { ConfigError } from "../../schemas/error/config.ts"
import { quote } from "../../schemas/value/form.ts"
import { escapeText } from "../../host/port/log.ts"
import { defaultLimits, type LoadOptions } from "../../host/options.ts"
import type { PluginSummary } from "../http/api.ts"
import { client, type InstallOptions } from "../http/client.ts"
import { running } from "../http/running.ts"
import { readToken, tokenFile } from "../http/token.ts"
import { failedSummary, summaryOf } from "../http/view.ts"
import { Host } from "../mod.ts"
import { installApart, Plugins } from "../service/plugins.ts"
import { defaultStorage } from "../storage/default.ts"
import { readPlugin } from "../up/session.ts"
import { loadOptions, type LoadFlags, nameOf } from "./call.ts"
import { at } from "./report.ts"
import { columns, out, printLine, table } from "./terminal.ts"

export interface WhereFlags {
  readonly storage: string | undefined
  readonly objects: string | undefined
  readonly storageKey: string | undefined
  readonly service: string | undefined
  readonly json: boolean
}
export interface NameFlags extends WhereFlags {
  readonly name: string
  readonly dryRun: boolean
}
export interface AddFlags extends WhereFlags, LoadFlags {
  readonly file: string
  readonly as: string | undefined
  readonly isolation: string | undefined
  readonly dryRun: boolean
}

/** What a plugin is put with again. */
interface Again {
  readonly source: string
  readonly options: InstallOptions
}

/** A service, or the store itself. */
interface Place extends AsyncDisposable {
  /** The service's, or the store's. */
  readonly address: string
  readonly isService: boolean
  list(): Promise<ReadonlyArray<PluginSummary>>
  again(name: string): Promise<Again>
  put(name: string, bytes: Uint8Array, options: InstallOptions): Promise<PluginSummary>
  remove(name: string): Promise<void>
}

function ofService(url: string, token: string): Place {
  const asked = client({ url, token })
  return {
    address: url,
    isService: true,
    list: () => asked.plugins(),
    async again(name) {
      const { source, grants, limits, metering, tenant, isolation, instances, missing } = await asked.plugin(name).describe()
      const changed = Object.fromEntries(Object.entries(limits).filter(([limit, value]) => defaultLimits[limit as keyof typeof defaultLimits] !== value))
      return {
        source,
        options: {
          grants: grants.granted,
          revoked: grants.revoked,
          limits: changed,
          metering: metering as NonNullable<InstallOptions["metering"]>,
          tenant,
          instances,
          missing,
          ...(isolation === undefined ? {} : { isolation }),
        },
      }
    },
    put: (name, bytes, options) => asked.install(name, bytes, options),
    remove: (name) => asked.remove(name),
    async [Symbol.asyncDispose]() {},
  }
}

async function ofStore(storage: string, { objects, storageKey }: Pick<WhereFlags, "objects" | "storageKey">): Promise<Place> {
  // Nobody waits for upkeep here; nothing is called, so there is nothing to record.
  const host = await Host.open({ storage, objects, storageKey, upkeep: false, usage: false })
  const plugins = new Plugins(host)
  return {
    address: storage,
    isService: false,
    async list() {
      await plugins.sync()
      const all = [...[...plugins.loaded.values()].map(summaryOf), ...[...plugins.failed.values()].map(failedSummary)]
      return all.toSorted((a, b) => (a.name < b.name ? -1 : 1))
    },
    async again(name) {
      const { file, options, granted, revoked } = await plugins.kept(name)
      // What does not say it was loaded by a program or at the prompt, which run theirs inline.
      return { source: file, options: { isolation: "inline", ...(options as InstallOptions), grants: granted, revoked } }
    },
    async put(name, bytes, { grants = [], revoked = [], source = `upload:${name}`, ...options }) {
      return summaryOf(await installApart(plugins, undefined, name, source, bytes, { ...(options as LoadOptions), grants }, { granted: grants, revoked }))
    },
    remove: (name) => plugins.remove(name),
    async [Symbol.asyncDispose]() {
      await plugins.close()
      await host.close()
    },
  }
}

async function placeOf(flags: WhereFlags): Promise<Place> {
  if (flags.service !== undefined) {
    const file = tokenFile(process.env)
    if (file === undefined)
      throw new ConfigError("Usage", { detail: "Cannot find the service's token: this user has no home", advice: "name its file in STELE_TOKEN_FILE" })
    return ofService(flags.service, readToken(file))
  }
  const storage = flags.storage ?? defaultStorage(process.env)
  if (storage === undefined)
    throw new ConfigError("Usage", { detail: "Cannot tell where plugins are kept: this user has no home", advice: "name a store: --storage sqlite:PATH" })
  const found = await running(storage)
  if (found !== undefined) return ofService(found.url, found.token)
  if (storage === "memory")
    throw new ConfigError("Usage", { detail: "Cannot keep a plugin in memory: nothing serves it", advice: "name a store: --storage sqlite:PATH" })
  return ofStore(storage, flags)
}

/** The bytes of a file; what cannot be read is refused as `host.load` would. */
async function bytesOf(file: string, options: LoadOptions): Promise<Uint8Array> {
  const bytes = await at({ file }, () => readPlugin(file, options))
  if (bytes !== undefined) return bytes
  await using host = await Host.open({ upkeep: false })
  await at({ file }, () => host.load(file, options))
  throw new ConfigError("Usage", { detail: `Cannot read ${quote(file, 200)}`, advice: "give a path or a URL" })
}

/** Loads it here as it would be there, to see what would refuse it. */
async function tryOut(file: string, bytes: Uint8Array, options: LoadOptions): Promise<void> {
  await using host = await Host.open({ upkeep: false })
  await at({ file }, () => host.load(bytes, options))
}

const short = (digest: string): string => digest.replace(/^sha256:(.{12}).*$/, "$1")
const grantsText = ({ grants: { granted, revoked } }: PluginSummary): string =>
  `${granted.map(escapeText).join(", ") || "nothing"}${revoked.length === 0 ? "" : `, without ${revoked.map(escapeText).join(", ")}`}`

/** The absolute form of a path, which must mean the same to a service elsewhere on this machine. */
const sourceOf = (file: string): string => (/^(https?|file):/.test(file) ? file : process.getBuiltinModule("node:path").resolve(file))

function answer(flags: WhereFlags, place: Place, done: Readonly<Record<string, unknown>>, line: string): void {
  if (flags.json) printLine(JSON.stringify({ ...done, [place.isService ? "service" : "storage"]: place.address }))
  else printLine(`${line}${out.dim(place.isService ? `, by the service at ${place.address}` : `, in ${place.address}`)}`)
}

export async function add(flags: AddFlags): Promise<void> {
  const { file, as: name = nameOf(file), isolation, dryRun } = flags
  const given = loadOptions(flags)
  // What is not one of them is refused by the host, which names those that exist.
  const options = { ...given, ...(isolation === undefined ? {} : { isolation: isolation as NonNullable<LoadOptions["isolation"]> }) }
  const bytes = await bytesOf(file, options)
  if (dryRun) {
    await tryOut(file, bytes, options)
    if (flags.json) printLine(JSON.stringify({ wouldAdd: name }))
    else printLine(`Would add ${name}`)
    return
  }
  await using place = await placeOf(flags)
  const { grants, limits, metering, tenant } = options
  const summary = await at({ file }, () =>
    place.put(name, bytes, {
      source: sourceOf(file),
      ...(grants === undefined ? {} : { grants }),
      ...(limits === undefined ? {} : { limits: limits as Readonly<Record<string, number>> }),
      ...(metering === undefined ? {} : { metering: metering as NonNullable<InstallOptions["metering"]> }),
      // The default is not said, so that it is the service's.
      ...(tenant === undefined || tenant === "default" ? {} : { tenant }),
      ...(options.isolation === undefined ? {} : { isolation: options.isolation }),
    }),
  )
  answer(flags, place, { added: summary }, `Added ${summary.name} (${short(summary.digest)}), granted ${grantsText(summary)}`)
}

export async function list(flags: WhereFlags): Promise<void> {
  await using place = await placeOf(flags)
  const plugins = await place.list()
  if (flags.json) return printLine(JSON.stringify({ plugins, [place.isService ? "service" : "storage"]: place.address }))
  if (plugins.length === 0) return printLine(`No plugins in ${place.address}`)
  const rows = plugins.map((plugin) => [
    escapeText(plugin.name),
    short(plugin.digest),
    plugin.isolation ?? "-",
    plugin.error === undefined ? `${plugin.exports.length} export${plugin.exports.length === 1 ? "" : "s"}` : plugin.error.code,
    grantsText(plugin),
  ])
  for (const line of table([["plugin", "digest", "runs", "offers", "granted"], ...rows], columns(process.stdout), 0, [out.cyan])) printLine(line)
}

export async function remove(flags: NameFlags): Promise<void> {
  await using place = await placeOf(flags)
  if (flags.dryRun) {
    await place.again(flags.name)
    return answer(flags, place, { wouldRemove: flags.name }, `Would remove ${escapeText(flags.name)}`)
  }
  await place.remove(flags.name)
  answer(flags, place, { removed: flags.name }, `Removed ${escapeText(flags.name)}; what it stored stays`)
}

export async function reload(flags: NameFlags): Promise<void> {
  const { name, dryRun } = flags
  await using place = await placeOf(flags)
  const { source, options } = await place.again(name)
  if (source.startsWith("upload:") || source.startsWith("sha256:"))
    throw new ConfigError("Usage", {
      detail: `Cannot load ${quote(name)} again: it did not come from a file`,
      advice: `add it: stele plugin add FILE --as ${name}`,
    })
  const { grants = [], revoked = [], ...rest } = options
  const whole = { ...rest, grants: [...new Set([...grants, ...revoked])] } as LoadOptions
  const bytes = await bytesOf(source, whole)
  if (dryRun) {
    await tryOut(source, bytes, whole)
    return answer(flags, place, { wouldReload: name }, `Would load ${escapeText(source)} again as ${escapeText(name)}`)
  }
  const summary = await at({ file: source }, () => place.put(name, bytes, { ...options, source }))
  answer(
    flags,
    place,
    { reloaded: summary },
    `Loaded ${escapeText(source)} again as ${escapeText(name)} (${short(summary.digest)}), granted ${grantsText(summary)}`,
  )
}
