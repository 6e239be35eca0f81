/** `stele usage ADDRESS`: what calls cost, by tenant, plugin or day, from the sums that a store keeps with its usage records. */
import { ConfigError } from "../../schemas/error/config.ts"
import { closest } from "../../schemas/value/closest.ts"
import { quote } from "../../schemas/value/form.ts"
import { escapeText } from "../../host/port/log.ts"
import { dayText, type UsageBy, type UsageGroup, type UsageQuestion, type UsageSums } from "../port/usage.ts"
import { defaultStorage } from "../storage/default.ts"
import { SqliteReader } from "../storage/sqlite/mod.ts"
import { isPostgres, sqlitePath, tenantsFolder } from "../storage/storage.ts"
import { tenantBytes } from "../storage/usage.ts"
import { bar } from "../up/picture.ts"
import { bytesText, countText, timeText } from "./quantity.ts"
import { columns, out, type Palette, printLine, table } from "./terminal.ts"

export interface UsageFlags {
  readonly address: string | undefined
  readonly by: string | undefined
  readonly from: string | undefined
  readonly to: string | undefined
  readonly tenant: string | undefined
  readonly plugin: string | undefined
  readonly account: string | undefined
  readonly entity: string | undefined
  readonly objects: string | undefined
  readonly storageKey: string | undefined
  readonly json: boolean
}

const bys: ReadonlyArray<UsageBy> = ["tenant", "plugin", "day"]

function parseBy(text: string): UsageBy {
  const found = bys.find((by) => by === text)
  if (found !== undefined) return found
  const [near] = closest(text, bys)
  throw new ConfigError("Usage", {
    detail: `Cannot show usage by ${quote(text)}`,
    advice: near === undefined ? `it is shown by ${bys.join(", ")}` : `did you mean "${near}"`,
  })
}

/** A day of UTC, as days since 1970-01-01. */
function parseDay(option: string, text: string): number {
  const ms = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN
  // 2026-02-30 is read as a day of March by some engines.
  if (!(ms >= 0) || dayText(ms / 86_400_000) !== text)
    throw new ConfigError("Option", { option, expected: "a day such as 2026-11-30, in UTC", actual: quote(text) })
  return ms / 86_400_000
}

/** The digest that starts with what was given, which may leave out `sha256:`. */
function digestOf(wanted: string, known: ReadonlyArray<string>): string {
  const found = known.filter((digest) => digest.startsWith(wanted) || digest.startsWith(`sha256:${wanted}`))
  const [only] = found
  if (only !== undefined && found.length === 1) return only
  throw new ConfigError("Usage", {
    detail: only === undefined ? `No usage of a plugin ${quote(wanted)} is recorded` : `${found.length} plugins start with ${quote(wanted)}`,
    advice: only === undefined ? "stele usage ADDRESS --by plugin lists them" : "give more of its digest",
  })
}

/** Sums as JSON: exact, as decimal strings, since they may pass 2^53. */
const sumsJson = ({ hostCalls, ...sums }: UsageSums): Record<string, unknown> => ({
  ...Object.fromEntries(Object.entries(sums).map(([name, value]) => [name, value.toString()])),
  hostCalls: Object.fromEntries(Object.entries(hostCalls).map(([grant, calls]) => [grant, calls.toString()])),
})

const labelOf = (by: UsageBy, key: string): string => {
  const text = escapeText(key)
  const short = by === "plugin" ? text.replace(/^sha256:(.{12}).*$/, "$1") : text
  return short.length > 28 ? `${short.slice(0, 27)}…` : short
}

/** Sums of groups: the most of what is a most, the sum of everything else. */
export function totalOf(groups: ReadonlyArray<UsageSums>): UsageSums {
  const sum = (part: (sums: UsageSums) => bigint): bigint => groups.reduce((all, sums) => all + part(sums), 0n)
  const hostCalls = new Map<string, bigint>()
  for (const group of groups) for (const [grant, calls] of Object.entries(group.hostCalls)) hostCalls.set(grant, (hostCalls.get(grant) ?? 0n) + calls)
  return {
    calls: sum(({ calls }) => calls),
    failed: sum(({ failed }) => failed),
    dropped: sum(({ dropped }) => dropped),
    wallNs: sum(({ wallNs }) => wallNs),
    fuel: sum(({ fuel }) => fuel),
    memoryPeakBytes: groups.reduce((most, { memoryPeakBytes }) => (memoryPeakBytes > most ? memoryPeakBytes : most), 0n),
    bytesIn: sum(({ bytesIn }) => bytesIn),
    bytesOut: sum(({ bytesOut }) => bytesOut),
    hostCalls: Object.fromEntries([...hostCalls].toSorted(([a], [b]) => (a < b ? -1 : 1))),
  }
}

/** The table for people: a bar for the calls where there is room, a last line for all together, and what was dropped, if anything was. */
export function usageLines(by: UsageBy, groups: ReadonlyArray<UsageGroup>, colours: Palette, width: number): ReadonlyArray<string> {
  const all = totalOf(groups)
  const most = groups.reduce((max, { calls }) => (calls > max ? calls : max), 1n)
  const row = (label: string, sums: UsageSums): ReadonlyArray<string> => [
    label,
    countText(sums.calls),
    countText(sums.failed),
    timeText(Number(sums.wallNs)),
    countText(sums.fuel),
    bytesText(Number(sums.memoryPeakBytes)),
    `${bytesText(Number(sums.bytesIn))} / ${bytesText(Number(sums.bytesOut))}`,
  ]
  const rows = [
    [by, "calls", "failed", "time", "fuel", "peak", "in / out"],
    ...groups.map(({ key, ...sums }) => row(labelOf(by, key), sums)),
    ...(groups.length > 1 ? [row("all", all)] : []),
  ]
  // As wide as they are: a row that is broken into two is no row.
  const plain = table(rows, Number.MAX_SAFE_INTEGER, 0)
  const room = Math.max(0, Math.min(24, width - Math.max(...plain.map((line) => line.length)) - 2))
  const bars = groups.map(({ calls }) => bar(Number(calls) / Number(most), room))
  const drawn = room < 8 || groups.length < 2 ? rows : rows.map(([label = "", ...rest], i) => [label, bars[i - 1] ?? "", ...rest])
  const lines = table(drawn, Number.MAX_SAFE_INTEGER, 0, drawn === rows ? [] : [String, colours.green])
  const shown = lines.map((line, i) => (i === 0 ? colours.dim(line) : groups.length > 1 && i === lines.length - 1 ? colours.bold(line) : line))
  const grants = Object.entries(all.hostCalls).map(([grant, calls]) => [escapeText(grant), countText(calls)])
  return [
    ...shown,
    ...(grants.length === 0 ? [] : ["", colours.dim("host calls by grant"), ...table(grants, width, 2)]),
    ...(all.dropped === 0n
      ? []
      : ["", colours.yellow(`${countText(all.dropped)} more calls are in no sum: their records were dropped (stele explain STELE-STO-0063)`)]),
  ]
}

type Question = Extract<UsageQuestion, { readonly ask: "usage" }>

interface Reader extends AsyncDisposable {
  readonly name: string
  usage(question: Question): Promise<ReadonlyArray<UsageGroup>>
}

/** Opens a store for reading alone: whoever writes there goes on, and what is not there is not made. */
async function open(address: string): Promise<Reader> {
  if (isPostgres(address)) {
    const { PostgresReader, workerAddress } = await import("../storage/postgres/mod.ts")
    return await PostgresReader.open(workerAddress(address))
  }
  const folder = tenantsFolder(address)
  if (folder !== undefined) {
    const readers = (await import("../storage/tenants/mod.ts")).tenantReaders(folder)
    return { name: address, usage: (question) => readers.ask(question), [Symbol.asyncDispose]: async () => readers.close() }
  }
  const reader = new SqliteReader(sqlitePath(address))
  return {
    name: reader.path,
    usage: async (question) => reader.ask(question),
    [Symbol.asyncDispose]: async () => reader.close(),
  }
}

export async function usage({ account, address, by: given, entity, from, to, tenant, plugin, json, objects, storageKey }: UsageFlags): Promise<void> {
  const by = parseBy(given ?? "tenant")
  const fromDay = from === undefined ? undefined : parseDay("--from", from)
  const toDay = to === undefined ? undefined : parseDay("--to", to)
  if (account !== undefined) {
    if (given !== undefined || tenant !== undefined || plugin !== undefined)
      throw new ConfigError("Usage", { detail: "--account is shown by day, of all its tenants", advice: `stele usage --account ${account}` })
    const books = { storage: address, objects, storageKey, entity: entity ?? "default", plugin: [], json }
    return (await import("./usage-account.ts")).usageOfAccount({ ...books, account, fromDay, toDay })
  }
  const store = address ?? defaultStorage(process.env)
  if (store === undefined) throw new ConfigError("Usage", { detail: "No store is named", advice: "name one: stele usage sqlite:stele.db" })
  await using reader = await open(store)
  const whose = {
    ...(tenant === undefined ? {} : { tenant: tenantBytes(tenant) }),
    ...(fromDay === undefined ? {} : { fromDay }),
    ...(toDay === undefined ? {} : { toDay }),
  }
  const known = plugin === undefined ? [] : await reader.usage({ ask: "usage", by: "plugin", ...whose })
  const which =
    plugin === undefined
      ? {}
      : {
          plugin: digestOf(
            plugin,
            known.map(({ key }) => key),
          ),
        }
  const groups = await reader.usage({ ask: "usage", by, ...whose, ...which })
  if (json) {
    const usage = groups.map(({ key, ...sums }) => ({ [by]: key, ...sumsJson(sums) }))
    return printLine(JSON.stringify({ store: reader.name, by, usage, total: sumsJson(totalOf(groups)) }))
  }
  if (groups.length === 0) return printLine("No usage is recorded there")
  for (const line of usageLines(by, groups, out, columns(process.stdout))) printLine(line)
}
