/**
 * The command that starts a process isolate: this engine again, without environment, and with as little permission as it can
 * be given. A single-file binary has no other file to run: it is started again with the hidden argument `isolateArgument`, on
 * which its command line runs `process/worker.ts` and nothing else.
 */
import { builtin } from "../../server.ts"

export const isolateArgument = "--stele-isolate"

export interface Command {
  readonly file: string
  readonly args: ReadonlyArray<string>
  /** Paths that it must be able to read, besides `file`. */
  readonly reads: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
}

/** Where the isolate's program lies; a build places it. */
const address = (): URL => new URL("./worker.ts", import.meta.url)

const globals = globalThis as { readonly Bun?: unknown; readonly Deno?: unknown }
const isNode = globals.Bun === undefined && globals.Deno === undefined

/** Is this program one file with its engine in it? It then left what it carries under this key (`runtime/carried.ts`) before anything else ran. */
export const isSingleFile = (): boolean => Object.hasOwn(globalThis, Symbol.for("stele:carried"))

/** Node's own flags: nothing of the file system, no process, no thread, no addon. */
export const permissions = ["--permission", "--disable-warning=ExperimentalWarning", "--no-addons"]

/** The file of the isolate's program, where Node can be given it as text: built, it is one file that imports nothing. */
export function isolateProgram(): string | undefined {
  if (!isNode || isSingleFile()) return undefined
  const program = builtin("node:url").fileURLToPath(address())
  return program.endsWith(".ts") ? undefined : program
}

export function commandOf(): Command {
  const file = process.execPath
  // Its arguments are the program's own, so flags for the engine in it go by the variable that it reads.
  if (isSingleFile()) return { file, args: [isolateArgument], reads: [], env: isNode ? { NODE_OPTIONS: "--permission --no-addons" } : {} }
  const program = builtin("node:url").fileURLToPath(address())
  const reads = [readable(program)]
  // No module is fetched, no configuration read, nobody asked: without a flag that gives one, there is no permission at all.
  if (globals.Deno !== undefined)
    return { file: otherwise(file), args: ["run", "--no-prompt", "--no-remote", "--no-npm", "--no-config", "--no-lock", program], reads, env: {} }
  if (globals.Bun !== undefined) return { file, args: ["--no-install", program], reads, env: {} }
  return { file, args: [...permissions, `--allow-fs-read=${reads[0]}`, program], reads, env: {} }
}

/**
 * The same path, written otherwise. Deno's `node:child_process` takes its own path, also among arguments, for a program written for Node,
 * and gives it what such a program has: `deno run` becomes `deno run -A`, every permission there is.
 */
function otherwise(file: string): string {
  const { dirname, basename, sep } = builtin("node:path")
  return [dirname(file), ".", basename(file)].join(sep)
}

/** What must be read to load the program: its file once it is built, the sources in a checkout. */
function readable(program: string): string {
  const { resolve } = builtin("node:path")
  return program.endsWith(".ts") ? resolve(program, "../../../../..") : program
}
