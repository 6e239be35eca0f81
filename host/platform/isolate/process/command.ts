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
  readonly env?: Readonly<Record<string, string>>
}

const globals = globalThis as { readonly Bun?: unknown; readonly Deno?: unknown }
const isNode = globals.Bun === undefined && globals.Deno === undefined

/** Is this program one file with its engine in it? It then left what it carries under this key (`runtime/carried.ts`) before anything else ran. */
const isSingleFile = (): boolean => Object.hasOwn(globalThis, Symbol.for("stele:carried"))

/** `address`: where the isolate's program lies. */
export function commandOf(address: URL): Command {
  const file = process.execPath
  // Its arguments are the program's own, so flags for the engine in it go by the variable that it reads.
  if (isSingleFile()) return { file, args: [isolateArgument], ...(isNode ? { env: { NODE_OPTIONS: "--permission --no-addons" } } : {}) }
  const program = builtin("node:url").fileURLToPath(address)
  // No module is fetched, no configuration read, nobody asked: without a flag that gives one, there is no permission at all.
  if (globals.Deno !== undefined) return { file, args: ["run", "--no-prompt", "--no-remote", "--no-npm", "--no-config", "--no-lock", program] }
  if (globals.Bun !== undefined) return { file, args: ["--no-install", program] }
  return { file, args: ["--permission", `--allow-fs-read=${readable(program)}`, "--disable-warning=ExperimentalWarning", "--no-addons", program] }
}

/** What Node must read to load the program: its file once it is built, the sources in a checkout. */
function readable(program: string): string {
  const { resolve } = builtin("node:path")
  return program.endsWith(".ts") ? resolve(program, "../../../../..") : program
}
