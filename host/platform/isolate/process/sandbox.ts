/** What the system adds below the engine's own permissions, where it is there and works: tried once in a process. */
import { builtin } from "../../server.ts"

/** No core files, no file written, and few descriptors: an isolate has two, and its engine some twenty. */
const limits = ["--core=0", "--fsize=0", "--nofile=64"]

export interface SandboxReport {
  /** `prlimit` of util-linux, around processes of Node: other engines write files of their own when they start. */
  readonly prlimit: boolean
  /** Is resident memory looked at while a call runs? It needs procfs. */
  readonly residentMemory: boolean
}

let known: SandboxReport | undefined

/** For doctor, and for whoever starts processes. */
export function sandboxReport(): SandboxReport {
  if (known !== undefined) return known
  const { spawnSync } = builtin("node:child_process")
  const isNode = process.versions["bun"] === undefined && process.versions["deno"] === undefined
  const prlimit = isNode && process.platform === "linux" && spawnSync("prlimit", [...limits, "true"], { stdio: "ignore", timeout: 2_000 }).status === 0
  return (known = { prlimit, residentMemory: builtin("node:fs").existsSync("/proc/self/statm") })
}

/** The command, under what there is. */
export const confined = (file: string, args: ReadonlyArray<string>): { readonly file: string; readonly args: ReadonlyArray<string> } =>
  sandboxReport().prlimit ? { file: "prlimit", args: [...limits, file, ...args] } : { file, args }
