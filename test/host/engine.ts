/** Runs a test program on each of the three engines and reads the one JSON line it prints last. */
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { isFull } from "../seed.ts"

export const engines = ["node", "deno", "bun"] as const
export type EngineName = (typeof engines)[number]

/** Node is a tool of the product, the other engines of the tests alone. */
export const bin = (name: EngineName): string =>
  fileURLToPath(new URL(name === "node" ? "../../node_modules/.bin/node" : `../node_modules/.bin/${name}`, import.meta.url))

export interface Run {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Two minutes, or twenty for the full counts. */
const msMaxDefault = !isFull ? 120_000 : 1_200_000

/** Starts `program` (a path next to this file) with `args`; engine flags go before it. Killed after `msMax`. */
export function start(
  engine: EngineName,
  program: string,
  args: ReadonlyArray<string> = [],
  options: { readonly flags?: ReadonlyArray<string>; readonly env?: Readonly<Record<string, string>>; readonly msMax?: number } = {},
): Promise<Run> {
  const file = fileURLToPath(new URL(program, import.meta.url))
  const flags = options.flags ?? (engine === "deno" ? ["--allow-all"] : [])
  const command = [...(engine === "deno" ? ["run", "--no-prompt"] : []), ...flags, file, ...args]
  return new Promise((done) => {
    const child = execFile(
      bin(engine),
      command,
      { timeout: options.msMax ?? msMaxDefault, killSignal: "SIGKILL", maxBuffer: 16 << 20, env: { ...process.env, NODE_OPTIONS: "", ...options.env } },
      (_error, stdout, stderr) => done({ status: child.exitCode, stdout, stderr }),
    )
  })
}

/** The last line that `program` printed, as JSON; throws with all that it said when it failed. */
export async function answer<T>(...input: Parameters<typeof start>): Promise<T> {
  const run = await start(...input)
  const line = run.stdout.trimEnd().split("\n").at(-1) ?? ""
  if (run.status !== 0) throw new Error(`${input[0]} ${input[1]} ended with ${run.status}: ${run.stdout}${run.stderr}`)
  return JSON.parse(line) as T
}
