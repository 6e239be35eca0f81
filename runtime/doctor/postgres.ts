/** What the doctor looks at in a database on a server: whether it can be reached and is set up, and what the server does with a commit. */
import { SteleError } from "../../schemas/error/family.ts"
import { PostgresReader, PostgresStore, workerAddress } from "../storage/postgres/mod.ts"
import { type Diagnosis, fail, ok, warn } from "./diagnosis.ts"

/** Sessions that a process of Stele opens at most: those of its threads. */
const sessionsOfOne = 17

async function asService(address: string): Promise<Diagnosis> {
  try {
    const startedMs = performance.now()
    await using store = await PostgresStore.open(address)
    await store.ask({ ask: "get", tenant: new Uint8Array(0), key: new Uint8Array(0) })
    return ok("store", `${store.name} answers, opened in ${Math.round(performance.now() - startedMs)} ms`)
  } catch (error) {
    if (!(error instanceof SteleError)) throw error
    return fail("store", error.message, error.fix)
  }
}

async function asOverseer(address: string): Promise<ReadonlyArray<Diagnosis>> {
  try {
    await using reader = await PostgresReader.open(workerAddress(address))
    const { server, format, commits } = await reader.info()
    const free = server.sessionsMax - server.sessions
    return [
      ok("server", `PostgreSQL ${server.version}, format ${format}, ${commits.toLocaleString("en-US")} commits`),
      server.fsync
        ? ok("sync", "fsync is on")
        : fail("sync", "fsync is off: what is committed is lost with the machine's power", "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()"),
      server.fullPageWrites
        ? ok("pages", "full_page_writes is on")
        : fail(
            "pages",
            "full_page_writes is off: a page that was half written at power loss stays so",
            "ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf()",
          ),
      server.dataChecksums
        ? ok("checksums", "data_checksums are on")
        : warn(
            "checksums",
            "data_checksums are off: rows of Stele carry their own, the server's indexes and catalogues do not",
            "pg_checksums --enable, with the server stopped",
          ),
      free > sessionsOfOne
        ? ok("sessions", `${server.sessions} of ${server.sessionsMax} used`)
        : warn(
            "sessions",
            `${server.sessions} of ${server.sessionsMax} used: one process of Stele may open ${sessionsOfOne}`,
            "raise max_connections, or put a pooler before the server",
          ),
    ]
  } catch (error) {
    if (!(error instanceof SteleError)) throw error
    return [warn("server", `what concerns all tenants could not be looked at: ${error.message}`, error.fix)]
  }
}

/** `address`: as the service uses it. */
export async function diagnosePostgres(address: string): Promise<ReadonlyArray<Diagnosis>> {
  const store = await asService(address)
  return store.status === "ok" ? [store, ...(await asOverseer(address))] : [store]
}
