/** Runs the command line as a process of its own: from the checkout's sources, or what `npm test` has just built of them, which starts in half of the time. */
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("../..", import.meta.url))
// Sources are compiled anew by every process otherwise: 0.5 s each instead of 0.25 s.
const compiled = fileURLToPath(new URL("../../.cache/compiled", import.meta.url))
const isBuilt = process.env["npm_lifecycle_event"]?.startsWith("test") === true
export const main = fileURLToPath(new URL(isBuilt ? "../../dist/cli.js" : "../../runtime/cli/main.ts", import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Started {
  readonly input?: string | Uint8Array
  readonly env?: Readonly<Record<string, string>>
  /** Where it starts; default: the checkout. */
  readonly cwd?: string
  /** Program and its first arguments; default: this Node, as it was started, and `main`. */
  readonly program?: ReadonlyArray<string>
  /** Default 60 s. */
  readonly timeoutMs?: number
}

/** `stele ARGS…`, without colours, on storage in memory where it is not said otherwise, and with the checkout's own rewritten modules in the user's cache, as people have it. */
export function stele(
  args: ReadonlyArray<string>,
  { input = "", env = {}, cwd = root, program = [process.execPath, ...process.execArgv, main], timeoutMs = 60_000 }: Started = {},
): Ended {
  const [command = "", ...first] = program
  const { NO_COLOR: _, FORCE_COLOR: __, ...inherited } = process.env
  const { status, stdout, stderr, error } = spawnSync(command, [...first, ...args], {
    cwd,
    input,
    encoding: "utf8",
    timeout: timeoutMs,
    env: { ...inherited, NODE_COMPILE_CACHE: compiled, STELE_STORAGE: "memory", STELE_PORT: "none", ...env },
  })
  if (error !== undefined) throw error
  // Progress is said when a load takes longer than 300 ms: on a busy machine only.
  return { code: status, stdout, stderr: stderr.replace(/^Loading .* …\n/gm, "") }
}

/** The error that `--json` printed as the only line of stdout. */
export function jsonError({ stdout }: Ended): { readonly [key: string]: unknown; readonly data: Readonly<Record<string, unknown>> } {
  const lines = stdout.trimEnd().split("\n")
  if (lines.length !== 1) throw new Error(`Expected one line on stdout, found ${lines.length}: ${stdout}`)
  return (JSON.parse(stdout) as { readonly error: { readonly data: Readonly<Record<string, unknown>> } }).error
}

export const example = (name: string): string => `plugins/examples/${name}/build/${name}.wasm`
