/** `stele doctor [ADDRESS]`: what this machine lets a host do, is what a store stands on sound, which plugins are in force, and what to do where something is not right. */
import { platform } from "../../host/platform/mod.ts"
import { type Diagnosis, fail, ok } from "../doctor/diagnosis.ts"
import { diagnoseMachine } from "../doctor/machine.ts"
import { diagnosePlugins } from "../doctor/plugins.ts"
import { diagnoseSqlite, diagnoseTenants } from "../doctor/sqlite.ts"
import { defaultStorage } from "../storage/default.ts"
import { isPostgres, pglitePath, sqlitePath, tenantsFolder } from "../storage/storage.ts"
import { columns, out, printLine, wrap } from "./terminal.ts"
import { version } from "./version.ts"

export interface DoctorFlags {
  /** Default: the user's own store. */
  readonly address: string | undefined
  /** NAME=FILE: looked at as if they were configured. */
  readonly plugin: ReadonlyArray<string>
  readonly json: boolean
}

/** What the package asks for (`engines`) and what embedding is tested on. */
const versionsMin: Readonly<Record<string, number>> = { node: 24, deno: 2.9, bun: 1.4 }

function engine(): Diagnosis {
  const found = process.versions[platform.name] ?? process.version
  const [major = 0, minor = 0] = found.replace(/^v/, "").split(".").map(Number)
  const least = versionsMin[platform.name] ?? 0
  const [leastMajor = 0, leastMinor = 0] = String(least).split(".").map(Number)
  const text = `${platform.name} ${found}, Stele ${version()}`
  return major > leastMajor || (major === leastMajor && minor >= leastMinor)
    ? ok("engine", text)
    : fail("engine", text, `install ${platform.name} ${least} or later`)
}

async function diagnose(address: string): Promise<ReadonlyArray<Diagnosis>> {
  if (isPostgres(address)) return (await import("../doctor/postgres.ts")).diagnosePostgres(address)
  const folder = pglitePath(address)
  if (folder !== undefined) return (await import("../doctor/pglite.ts")).diagnosePglite(folder)
  const tenants = tenantsFolder(address)
  if (tenants !== undefined) return diagnoseTenants(tenants)
  return address === "memory" ? [ok("store", "memory: nothing is kept when the process ends")] : diagnoseSqlite(sqlitePath(address))
}

export async function doctor({ address = defaultStorage(process.env) ?? "memory", plugin, json }: DoctorFlags): Promise<void> {
  const [machine, store, plugins] = await Promise.all([diagnoseMachine(), diagnose(address), diagnosePlugins(plugin)])
  const found = [engine(), ...store, ...machine, ...plugins]
  const worst = found.some(({ status }) => status === "fail") ? "fail" : found.some(({ status }) => status === "warn") ? "warn" : "ok"
  if (json) printLine(JSON.stringify({ storage: address, status: worst, diagnoses: found }))
  else {
    const signs = { ok: out.green("✓"), warn: out.yellow("!"), fail: out.red("✗") }
    const width = Math.max(...found.map(({ about }) => about.length)) + 2
    for (const { about, status, found: text, treatment } of found) {
      const lines = wrap(text, columns(process.stdout) - width - 2)
      lines.forEach((line, i) => printLine(`${i === 0 ? signs[status] : " "} ${out.dim((i === 0 ? about : "").padEnd(width))}${line}`))
      if (treatment !== undefined) printLine(`  ${"".padEnd(width)}${out.bold("→")} ${treatment}`)
    }
  }
  if (worst === "fail") process.exitCode = 3
}
