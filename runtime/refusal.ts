/** What the system refused about a file or folder, as an error that says so. */
import { ConfigError } from "../schemas/error/config.ts"

const denials: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "not permitted",
  EROFS: "the file system is read-only",
}

const actions: Readonly<Record<string, string>> = {
  mkdir: "make",
  mkdtemp: "make",
  rmdir: "remove",
  unlink: "remove",
  rm: "remove",
  rename: "move",
  scandir: "list",
}

/** Nothing of anything else that the system says: that may be a mistake of ours. `folder` is named where the system names nothing, as of a write to an open file. */
export function refusalOf(error: unknown, folder?: string): ConfigError | undefined {
  if (!(error instanceof Error)) return undefined
  const { code = "", path = folder, syscall = "" } = error as NodeJS.ErrnoException
  if (path === undefined) return undefined
  const action = actions[syscall] ?? "use"
  const why = denials[code]
  if (why !== undefined) return new ConfigError("Denied", { path, action, why }, { cause: error })
  return code === "ENOSPC" || code === "EDQUOT" ? new ConfigError("Full", { path, action }, { cause: error }) : undefined
}
