/** Where a person's data is kept when nothing is said. */
import { syncFolder } from "./disk.ts"

const { existsSync, mkdirSync } = process.getBuiltinModule("node:fs")
const { dirname, isAbsolute, join } = process.getBuiltinModule("node:path")

/** `STELE_STORAGE`, else a file in the user's data folder, which is made; undefined for a user without a home. */
export function defaultStorage(environment: Readonly<Record<string, string | undefined>>): string | undefined {
  const chosen = environment["STELE_STORAGE"]
  if (chosen !== undefined && chosen !== "") return chosen
  const folder = makeDataFolder(environment)
  return folder === undefined ? undefined : `sqlite:${join(folder, "stele.db")}`
}

/** The user's data folder, made if it can be; undefined for a user without a home. */
export function makeDataFolder(environment: Readonly<Record<string, string | undefined>>): string | undefined {
  const folder = dataFolder(environment)
  if (folder === undefined) return undefined
  try {
    make(folder)
  } catch {
    // Whoever opens the store is told that its folder is not there.
  }
  return folder
}

/** Level by level: Node's own `recursive` never ends where a folder can neither be made nor found, as under `/proc`. */
function make(folder: string): void {
  if (existsSync(folder)) return
  make(dirname(folder))
  mkdirSync(folder, { mode: 0o700 })
  // A store in a folder whose name is lost is lost.
  syncFolder(dirname(folder))
}

/** `$XDG_DATA_HOME/stele`, else `~/.local/share/stele`. */
export function dataFolder(environment: Readonly<Record<string, string | undefined>>): string | undefined {
  const xdg = environment["XDG_DATA_HOME"]
  // XDG: a relative path in the variable is invalid and must be ignored.
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, "stele")
  const home = environment["HOME"] ?? process.getBuiltinModule("node:os").homedir()
  return isAbsolute(home) ? join(home, ".local", "share", "stele") : undefined
}
