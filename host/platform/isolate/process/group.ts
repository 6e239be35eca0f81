/**
 * What is started for a guest leads a group of processes, and the group is what is ended. Bubblewrap is several processes: ended alone
 * while it makes a sandbox, it leaves behind the one that waits for its word, for ever and with this program's pipes, because
 * `--die-with-parent` is in force only after that wait (0.8.0). A group has no such gap: the kernel either adds a child to it or
 * lets its parent make none.
 */
import type { ChildProcess, SpawnOptions } from "node:child_process"
import { builtin } from "../../server.ts"

const live = new Set<ChildProcess>()
const endAll = (): void => live.forEach(endGroup)

/** Starts what leads a group, and ends with this program. */
export function startGroup(file: string, args: ReadonlyArray<string>, env: NodeJS.ProcessEnv, stdio: SpawnOptions["stdio"], cwd?: string): ChildProcess {
  // Windows has no groups, and would open a window.
  const child = builtin("node:child_process").spawn(file, args, { env, stdio, cwd, detached: process.platform !== "win32", windowsHide: true })
  if (child.pid === undefined) return child
  if (live.size === 0) process.on("exit", endAll)
  live.add(child)
  child.once("exit", () => {
    live.delete(child)
    if (live.size === 0) process.off("exit", endAll)
  })
  return child
}

/** Ends it and what it has started. Once it has ended, its number may be another's. */
export function endGroup(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  try {
    process.kill(-child.pid, "SIGKILL")
  } catch {
    // Windows.
  }
  child.kill("SIGKILL")
}
