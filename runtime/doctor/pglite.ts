/** What the doctor looks at in a PGlite folder: the disk below it, whether the store opens, and what it never promises. */
import { SteleError } from "../../schemas/error/family.ts"
import { PgliteStore } from "../storage/pglite/mod.ts"
import { type Diagnosis, fail, ok, warn } from "./diagnosis.ts"
import { folderOf, space } from "./disk.ts"

const { existsSync } = process.getBuiltinModule("node:fs")

const noSync = warn(
  "sync",
  "PGlite syncs nothing: a crash of the process loses nothing that was acknowledged, a loss of power may",
  "for data that must survive that: stele storage move to sqlite:PATH or postgres://…",
)

async function store(path: string): Promise<Diagnosis> {
  try {
    const startedMs = performance.now()
    await using opened = await PgliteStore.open(path)
    const { format, bytes, commits, server } = await opened.info()
    const size = `${(bytes / 2 ** 20).toFixed(1)} MiB, format ${format}, ${commits.toLocaleString("en-US")} commits`
    return ok("store", `${path}: ${size}, PostgreSQL ${server.version}, opened in ${Math.round(performance.now() - startedMs)} ms`)
  } catch (error) {
    if (!(error instanceof SteleError)) throw error
    return fail("store", error.message, error.fix)
  }
}

/** `path`: of a `pglite:PATH`. Where nothing is, nothing is made. */
export async function diagnosePglite(path: string): Promise<ReadonlyArray<Diagnosis>> {
  const folder = folderOf(path)
  if (folder.status !== "ok") return [folder, noSync]
  return [folder, space(folder.found), noSync, existsSync(path) ? await store(path) : ok("store", `${path} is made when it is first used`)]
}
