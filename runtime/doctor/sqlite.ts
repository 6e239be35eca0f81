/** What the doctor looks at in a store that is one file: the disk below it, the engine, and what the store says of itself. */
import { SteleError } from "../../schemas/error/family.ts"
import { SqliteReader } from "../storage/sqlite/mod.ts"
import { tenantReaders } from "../storage/tenants/mod.ts"
import { type Diagnosis, fail, ok, warn } from "./diagnosis.ts"
import { folderOf, space, syncHonesty } from "./disk.ts"

const { existsSync, statSync } = process.getBuiltinModule("node:fs")
const { dirname } = process.getBuiltinModule("node:path")

/** A log longer than this is no longer folded into the database: something holds it. Bytes. */
const logBytesMax = 256 << 20
/** A store's newest commit may be this much ahead of the clock before that is worth a word: ms. */
const aheadMsMax = 60_000

function store(path: string): ReadonlyArray<Diagnosis> {
  if (!existsSync(path)) return [ok("store", `${path} is made when it is first used`)]
  const found: Array<Diagnosis> = []
  try {
    using reader = new SqliteReader(path)
    const { bytes, format, commits, committedAtMs } = reader.info()
    found.push(ok("store", `${path}: ${(bytes / 2 ** 20).toFixed(1)} MiB, format ${format}, ${commits.toLocaleString("en-US")} commits`))
    const loss = reader.loss()
    found.push(
      loss === undefined
        ? ok("commits", "the newest that was acknowledged is there")
        : fail(
            "commits",
            `commit ${loss.known} was acknowledged, and the store ends at ${loss.found}`,
            `stele storage restore, or stele storage check sqlite:${path} --accept-loss`,
          ),
    )
    const aheadMs = (committedAtMs ?? 0) - Date.now()
    if (aheadMs > aheadMsMax)
      found.push(
        warn(
          "clock",
          `the newest commit is ${Math.round(aheadMs / 1_000)} s ahead of this machine's clock`,
          "set the clock: the store's own time does not go back",
        ),
      )
  } catch (error) {
    if (!(error instanceof SteleError)) throw error
    found.push(fail("store", error.message, error.fix))
  }
  const log = `${path}-wal`
  if (existsSync(log) && statSync(log).size > logBytesMax)
    found.push(
      warn("log", `${log} has ${(statSync(log).size / 2 ** 20).toFixed(0)} MiB`, "end what reads the store for long, or the backup that has stopped following"),
    )
  return found
}

/** `path`: of a `sqlite:PATH`. Writes nothing but a file of its own beside it, which is gone afterwards. */
export function diagnoseSqlite(path: string): ReadonlyArray<Diagnosis> {
  const folder = folderOf(path)
  return [
    ok("sqlite", process.versions["sqlite"] ?? "built in"),
    folder,
    ...(folder.status === "ok" ? [space(dirname(path)), syncHonesty(dirname(path))] : []),
    ...store(path),
  ]
}

/** Tenants whose files are looked at: opening each costs about a millisecond. */
const lookedAtMax = 1_000

function tenants(folder: string): ReadonlyArray<Diagnosis> {
  if (!existsSync(folder)) return [ok("store", `${folder} is made when it is first used`)]
  try {
    using readers = tenantReaders(folder)
    const { count, losses, strays } = readers.losses(lookedAtMax)
    const found = [ok("store", `${folder}: ${count.toLocaleString("en-US")} tenants, a file each`)]
    const [loss] = losses
    const accept = `put the files back, or stele storage check sqlite-tenants:${folder} --accept-loss`
    if (loss !== undefined) found.push(fail("commits", `${losses.length} tenants' files are not what was acknowledged, the first: ${loss}`, accept))
    else found.push(ok("commits", count <= lookedAtMax ? "the newest that were acknowledged are there" : `looked at the first ${lookedAtMax} tenants`))
    if (strays[0] !== undefined) found.push(fail("files", `${strays.length} files belong to no tenant, the first: ${strays[0]}`, accept))
    return found
  } catch (error) {
    if (!(error instanceof SteleError)) throw error
    return [fail("store", error.message, error.fix)]
  }
}

/** `folder`: of a `sqlite-tenants:FOLDER`. Writes nothing but a file of its own beside it, which is gone afterwards. */
export function diagnoseTenants(folder: string): ReadonlyArray<Diagnosis> {
  const above = folderOf(folder)
  return [
    ok("sqlite", process.versions["sqlite"] ?? "built in"),
    above,
    ...(above.status === "ok" ? [space(dirname(folder)), syncHonesty(dirname(folder))] : []),
    ...tenants(folder),
  ]
}
