/** `stele storage backup|restore|drill`, and `info` of an archive, where it is a PostgreSQL server's. */
import { ConfigError } from "../../schemas/error/config.ts"
import { quote } from "../../schemas/value/form.ts"
import {
  drillServer,
  followServer,
  lsnOf,
  lsnText,
  planServer,
  readServerArchive,
  restoreServer,
  type ServerArchived,
  ServerArchiver,
  type ServerDrill,
  type ServerGap,
  type ServerRestored,
  type ServerTarget,
} from "../storage/archive-postgres/mod.ts"
import { askFacts } from "../storage/archive-postgres/facts.ts"
import { folderFiles } from "../storage/archive/mod.ts"
import { parseAddress, passwordOf } from "../storage/postgres/address.ts"
import { serviceRole } from "../storage/postgres/mod.ts"
import { objectsOf, objectsOfDatabase, openObjects } from "../storage/storage.ts"
import { type BackupFlags, type DrillFlags, keyFor, momentText, msText, noteMissing, parseMoment, type RestoreFlags, show, untilTold } from "./archive.ts"
import { bytesText, countText, parseCount } from "./quantity.ts"
import { noteLine, out, printLine, withProgress } from "./terminal.ts"

const { existsSync } = process.getBuiltinModule("node:fs")
const { resolve } = process.getBuiltinModule("node:path")

/** Where the objects of a database are: where it is said, or where services keep them when nothing is said, if they do. */
function objectsAddress(address: string, objects: string | undefined): string | undefined {
  if (objects !== undefined) return objects
  const folder = objectsOfDatabase(parseAddress(address).name.replace(/\/\/[^@]*@/, `//${serviceRole}@`))
  return existsSync(folder) ? `folder:${folder}` : undefined
}

export async function backup(flags: BackupFlags): Promise<void> {
  const { address, to, json } = flags
  const key = keyFor(flags)
  const files = folderFiles(resolve(to))
  const generationsMax = flags.keep === undefined ? undefined : Number(parseCount("--keep", flags.keep))
  if (generationsMax === 0) throw new ConfigError("Option", { option: "--keep", expected: "at least 1", actual: quote("0") })
  const parsed = parseAddress(address)
  if (flags.dryRun) {
    const { version } = await askFacts(parsed, passwordOf(parsed))
    const found = { store: parsed.name, archive: files.place, version, isEncrypted: key !== undefined }
    return printLine(json ? JSON.stringify(found) : `${parsed.name}: PostgreSQL ${Math.floor(version / 10_000)}, would be archived in ${files.place}`)
  }
  let lsn: number | undefined
  {
    const at = objectsAddress(address, flags.objects)
    await using objects = at === undefined ? undefined : await openObjects(at)
    await using archiver = await ServerArchiver.open({ address, files, key, objects, generationsMax })
    noteSlot(archiver, json)
    if (flags.follow) return await followUntilTold(archiver, json)
    const heard: Array<ServerArchived> = []
    await withProgress("Backing up", json, () => archiver.once((event) => heard.push(event)))
    const bytes = heard.reduce((sum, event) => sum + ("bytes" in event ? event.bytes : 0), 0)
    lsn = heard.reduce<number | undefined>((last, event) => (event.what === "archived" ? event.lsn : last), undefined)
    if (!json) {
      for (const event of heard) if (event.what === "gap") noteGap(event)
      printLine(lsn === undefined ? `${files.place}: nothing new` : `${files.place}: up to ${lsnText(lsn)} of the log, ${bytesText(bytes)}`)
    } else if (flags.skipDrill) printLine(JSON.stringify({ archive: files.place, slot: archiver.slot, heard }))
    if (flags.skipDrill) return
  }
  // A backup that was never restored is a hope.
  const found = await withProgress("Restoring it for practice", json, () => drillServer({ files, key, objects: openFolder }))
  if (json) printLine(JSON.stringify({ archive: files.place, drill: found }))
  else showDrill(found)
}

const openFolder = (folder: string): ReturnType<typeof openObjects> => openObjects(`folder:${folder}`)

function noteSlot({ slot, facts }: ServerArchiver, json: boolean): void {
  if (json || facts.slotBytesMax !== undefined) return
  noteLine(
    `While nothing archives it, the server keeps all of its log for the slot "${slot}" until its disk is full. A bound on the server, as its superuser: ALTER SYSTEM SET max_slot_wal_keep_size = '16GB'; SELECT pg_reload_conf(). To give the archive up: SELECT pg_drop_replication_slot('${slot}')`,
  )
}

const noteGap = ({ after, detail }: Extract<ServerArchived, { readonly what: "gap" }>): void =>
  noteLine(`What followed ${lsnText(after)} cannot be archived any more: ${detail}. The archive has a gap, and a new base backup begins`)

async function followUntilTold(archiver: ServerArchiver, json: boolean): Promise<void> {
  let isFailing = false
  await untilTold((signal) =>
    followServer(archiver, signal, (event) => {
      if (json) {
        const what = event.what === "failed" ? { what: event.what, error: event.error.toJSON() } : event
        printLine(JSON.stringify({ at: new Date().toISOString(), ...what }))
      } else if (event.what === "gap") noteGap(event)
      else if (event.what === "failed") {
        if (!isFailing) noteLine(`${event.error.message}; trying again`)
      } else if (event.what === "base") noteLine(`Base backup ${event.generation} is whole, ${bytesText(event.bytes)}`)
      else if (isFailing) noteLine(`Archived up to ${lsnText(event.lsn)} of the log`)
      isFailing = event.what === "failed"
    }),
  )
}

function targetOf({ at, atCommit, generation }: RestoreFlags): ServerTarget {
  if (atCommit !== undefined)
    throw new ConfigError("Usage", {
      detail: "--at-commit names a commit of a SQLite store, and each tenant of this one counts its own",
      advice: "give --at TIME, or --at LSN such as 16/B374D848",
    })
  const lsn = at === undefined ? undefined : lsnOf(at)
  return {
    lsn,
    atUs: at === undefined || lsn !== undefined ? undefined : parseMoment(at),
    generation: generation === undefined ? undefined : Number(parseCount("--generation", generation)),
  }
}

export async function restore(flags: RestoreFlags): Promise<void> {
  const { to, json, replace, objects } = flags
  if (/^[a-z][a-z\d]+:/.test(to)) throw new ConfigError("Option", { option: "--to", expected: "a folder, for the archive of a server", actual: quote(to) })
  const path = resolve(to)
  const openTarget = objects === undefined ? openFolder : (): ReturnType<typeof openObjects> => openObjects(objects)
  const options = {
    files: folderFiles(resolve(flags.folder)),
    key: keyFor(flags),
    target: targetOf(flags),
    replace,
    objects: openTarget,
    isUnproved: flags.unproved,
  }
  if (flags.dryRun) {
    const planned = await planServer(options)
    if (json) return printLine(JSON.stringify({ folder: path, ...planned }))
    const { generation, objects: count, bytes, at } = planned
    return printLine(
      `${path} would be the server at ${lsnText(at.lsn)} (${momentText(at.us)}): ${count} objects of generation ${generation}, ${bytesText(bytes)}`,
    )
  }
  const restored = await withProgress("Restoring", json, () => restoreServer(path, options))
  if (json) return printLine(JSON.stringify(restored))
  printLine(`${path}: ${stateText(restored)}, ${restored.isProved ? "every row checked" : "not proved"}, in ${msText(restored.ms)}`)
  noteStart(restored, objects)
  noteMissing(restored.missingBlobs)
}

function stateText({ at, commits, committedUs }: ServerRestored): string {
  const newest =
    commits === undefined ? "" : commits === 0 ? ", no commit yet" : `, ${countText(commits)} commits, the newest of ${momentText(committedUs ?? 0)}`
  return `the server at ${lsnText(at.lsn)} of its log${newest}`
}

function noteStart({ folder, hasSettings, isProved, blobs, major }: ServerRestored, objects: string | undefined): void {
  const settings = hasSettings ? "" : " -o '-c config_file=FILE'"
  noteLine(
    `${isProved ? "Start it" : `Start it with PostgreSQL ${major}, which recovers it; then: stele storage check postgres://…. Start it`} as the user who owns the folder: pg_ctl -D ${folder}${settings} start`,
  )
  if (!hasSettings)
    noteLine("Its settings (postgresql.conf, pg_hba.conf) were not in its data folder, so the archive has none of them: FILE is a copy of yours")
  if (blobs > 0 && objects === undefined) noteLine(`Its objects are in ${objectsOf(folder)}: use the store with --objects folder:${objectsOf(folder)}`)
}

export async function drill(flags: DrillFlags): Promise<void> {
  const files = folderFiles(resolve(flags.folder))
  const options = { files, key: keyFor(flags), address: flags.store, objects: openFolder }
  const found = await withProgress("Restoring for practice", flags.json, () => drillServer(options))
  if (flags.json) printLine(JSON.stringify(found))
  else showDrill(found)
}

function showDrill({ restored, storeBytes, rtoMs, rpoMs, isAgainstStore, missing, lagMs, gaps }: ServerDrill): void {
  const objects = restored.blobs > 0 ? `, ${countText(restored.blobs)} objects` : ""
  const lost = isAgainstStore
    ? `${msText(rpoMs)}: ${countText(missing ?? 0)} commits of the store are not in the archive`
    : `at most ${msText(rpoMs)}: so old is the newest log archived; --store compares with the store`
  const lag = `${countText(lagMs.segments)} pieces of the log, written ${msText(lagMs.p50)} after their oldest commit (p50), ${msText(lagMs.p99)} (p99), ${msText(lagMs.max)} (most)`
  show([
    ["restored", `${stateText(restored)}, ${bytesText(storeBytes)}, every row checked${objects}`],
    ["RTO", `${msText(rtoMs)} to a checked store`],
    ["RPO", lost],
    ...(lagMs.segments === 0 ? [] : [["lag", lag]]),
    ...gaps.map(gapRow),
  ])
  noteMissing(restored.missingBlobs)
}

const gapRow = ({ after, before }: ServerGap): ReadonlyArray<string> => [
  "gap",
  before === undefined
    ? `from ${lsnText(after.lsn)} (${momentText(after.us)}) on nothing can be restored: no base backup has followed`
    : `between ${lsnText(after.lsn)} (${momentText(after.us)}) and ${lsnText(before.lsn)} (${momentText(before.us)}) nothing can be restored`,
]

/** What an archive of a server holds, and what it lacks: exit code 3 when objects are missing or damaged. */
export async function info(folder: string, json: boolean): Promise<void> {
  const archive = await readServerArchive(folderFiles(resolve(folder)))
  if (archive.problems.length > 0) process.exitCode = 3
  const { origin } = archive
  const major = Math.floor(origin.version / 10_000)
  if (json) {
    const generations = archive.generations.map(({ run, base, ...rest }) => ({
      ...rest,
      timeline: run.timeline,
      pieces: run.pieces.length,
      baseBytes: base.bytes,
    }))
    const { place, isEncrypted, gaps, problems, bytes, blobs } = archive
    const server = { major, version: origin.version, system: origin.system, database: origin.database, slot: `stele_${origin.archive}` }
    return printLine(JSON.stringify({ place, server, isEncrypted, generations, gaps, problems, bytes, blobs }))
  }
  printLine(out.bold(archive.place))
  const span = ({ first, last, commits, bytes, isContinued, base, run }: (typeof archive.generations)[number]): string =>
    [
      `${momentText(first.us)} to ${momentText(last.us)}`,
      `${lsnText(first.lsn)} to ${lsnText(last.lsn)}`,
      `${countText(commits)} commits in ${countText(run.pieces.length)} pieces of the log`,
      `${bytesText(bytes)}, ${bytesText(base.bytes)} of it the base backup`,
      ...(isContinued ? ["continues the one before"] : []),
    ].join(", ")
  show([
    ["server", `PostgreSQL ${major}, system ${origin.system}, database ${quote(origin.database)}, slot stele_${origin.archive}`],
    ["size", `${bytesText(archive.bytes)}${archive.isEncrypted ? ", encrypted" : ""}${archive.blobs > 0 ? `, ${countText(archive.blobs)} blobs` : ""}`],
    ...archive.generations.map((each) => [`generation ${each.generation}`, span(each)]),
    ...(archive.generations.length === 0 ? [["generations", "none: no base backup has been ended"]] : []),
    ...archive.gaps.map(gapRow),
    ...archive.problems.map(({ object, detail }) => [out.red("✗"), `${object}: ${detail}`]),
  ])
}
