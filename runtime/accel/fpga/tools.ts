/** Tools of this machine: where they are, which they are, and how they are run. */
import { constants } from "node:fs"
import { access } from "node:fs/promises"
import { delimiter, isAbsolute, join } from "node:path"
import { ConfigError } from "../../../schemas/error/config.ts"
import { FpgaError } from "../../../schemas/error/fpga.ts"
import { endGroup, startGroup } from "../../../host/platform/isolate/process/group.ts"
import type { Watch } from "./watch.ts"

export interface Tool {
  readonly name: string
  readonly file: string
  /** The first line of what it says of itself. */
  readonly version: string
}

/** What a tool says, from its end, that an error carries. */
const detailCharsMax = 4_000
/** Of what it says at all, from the end. */
const saidCharsMax = 1 << 20

/** The file of a program on a path of folders. */
async function find(name: string, path: string): Promise<string | undefined> {
  // A relative folder is one of whoever chose the current one.
  for (const folder of path.split(delimiter).filter(isAbsolute)) {
    const file = join(folder, process.platform === "win32" ? `${name}.exe` : name)
    try {
      await access(file, constants.X_OK)
      return file
    } catch {
      // The next folder may have it.
    }
  }
  return undefined
}

interface Ran {
  readonly code: number | string
  readonly said: string
}

/** Runs a tool with what it starts as a group, which ends with the watch. */
async function run(file: string, args: ReadonlyArray<string>, path: string, watch: Watch, cwd?: string): Promise<Ran> {
  // Tools that write temporary files write them where they are removed.
  const env = { PATH: path, LC_ALL: "C", ...(cwd === undefined ? {} : { TMPDIR: cwd }) }
  const child = startGroup(file, args, env, ["ignore", "pipe", "pipe"], cwd)
  let said = ""
  const hear = (bytes: Buffer): void => void (said = (said + bytes.toString("utf8")).slice(-saidCharsMax))
  child.stdout?.on("data", hear)
  child.stderr?.on("data", hear)
  const ended = new Promise<Ran>((resolve) => {
    child.on("error", (error) => resolve({ code: error.message, said }))
    child.on("close", (code, signal) => resolve({ code: code ?? signal ?? "nothing", said }))
  })
  try {
    return await watch.race(ended)
  } catch (error) {
    endGroup(child)
    await ended
    throw error
  }
}

/** A tool that is there and says which it is. */
export async function toolOf(name: string, versionFlag: string, path: string, watch: Watch): Promise<Tool | undefined> {
  const file = await find(name, path)
  if (file === undefined) return undefined
  const { code, said } = await run(file, [versionFlag], path, watch)
  return code === 0 ? { name, file, version: said.trim().split("\n")[0] ?? "" } : undefined
}

/** What a tool said. @throws (rejects) FpgaError `Build`, ConfigError `Full`, AccelerateError `Deadline`, `Aborted` */
export async function build(design: string, { name, file }: Tool, args: ReadonlyArray<string>, path: string, folder: string, watch: Watch): Promise<string> {
  const { code, said } = await run(file, args, path, watch, folder)
  if (code === 0) return said
  if (/No space left on device|Disk quota exceeded/.test(said)) throw new ConfigError("Full", { path: folder, action: "use" })
  throw new FpgaError("Build", { design, tool: name, detail: `${said.trim().slice(-detailCharsMax)}\n${name} ended with ${code}`.trim() })
}
