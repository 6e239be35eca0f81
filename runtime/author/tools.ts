/**
 * The compilers of a project run in a thread of their own: they are the project's, found in its `node_modules`, compute for
 * seconds without a pause, and stay loaded from one build to the next.
 */
import { existsSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { pathToFileURL } from "node:url"
import { Worker } from "node:worker_threads"
import { AuthorError } from "../../schemas/error/author.ts"
import type { Answer, Job } from "./worker.ts"

/** The target that a module of this kind gets of an entry of `exports` in package.json. */
function targetOf(entry: unknown): string | undefined {
  if (typeof entry === "string") return entry
  if (typeof entry !== "object" || entry === null) return undefined
  for (const condition of ["import", "module", "node", "default", "require"]) {
    const found = targetOf((entry as Readonly<Record<string, unknown>>)[condition])
    if (found !== undefined) return found
  }
  return undefined
}

/** The nearest `node_modules/NAME` above a folder. */
function packageFolder(folder: string, name: string): string | undefined {
  for (let at = folder; ; at = dirname(at)) {
    const place = join(at, "node_modules", name)
    if (existsSync(join(place, "package.json"))) return place
    if (dirname(at) === at) return undefined
  }
}

/** A module of a project's own tools, and the line that installs it. */
export interface Tool {
  readonly language: string
  readonly specifier: string
  readonly install: string
}

/**
 * The address of a module as the project itself would import it: `assemblyscript/asc`. `require.resolve` finds no module that is there for
 * `import` alone, and `import.meta.resolve` resolves for this file only.
 * @throws AuthorError `Toolchain` where it is not installed
 */
export function toolOf(folder: string, { install, language, specifier }: Tool): string {
  const parts = specifier.split("/")
  const name = parts.splice(0, specifier.startsWith("@") ? 2 : 1).join("/")
  const place = packageFolder(folder, name)
  if (place === undefined) throw new AuthorError("Toolchain", { language, missing: `the package "${name}" is not in the project's node_modules`, install })
  const { exports, module, main } = JSON.parse(readFileSync(join(place, "package.json"), "utf8")) as Readonly<Record<"exports" | "module" | "main", unknown>>
  const subpath = parts.length === 0 ? "." : `./${parts.join("/")}`
  const entry =
    typeof exports === "object" && exports !== null && subpath in exports
      ? (exports as Readonly<Record<string, unknown>>)[subpath]
      : subpath === "."
        ? exports
        : undefined
  const target = targetOf(entry) ?? (subpath === "." ? targetOf(module ?? main) : subpath)
  return pathToFileURL(join(place, target ?? "index.js")).href
}

/** The path of a tool where the project has it. */
export function foundTool(folder: string | undefined, tool: Tool): string | undefined {
  if (folder === undefined) return undefined
  try {
    return new URL(toolOf(folder, tool)).pathname
  } catch {
    return undefined
  }
}

export interface Tools extends AsyncDisposable {
  /** Runs one job; jobs wait for each other. Rejects with what the compiler says. */
  run(job: Job): Promise<Uint8Array>
}

/** Starts the thread with the first job. */
export function openTools(): Tools {
  let worker: Worker | undefined
  let last: Promise<unknown> = Promise.resolve()
  const ask = (job: Job): Promise<Uint8Array> =>
    new Promise((resolve, reject) => {
      // What the compilers print on standard output is no result of ours.
      worker ??= new Worker(new URL("./worker.ts", import.meta.url), { name: "stele-author", stdout: true, execArgv: [] })
      const thread = worker
      const done = (): void => {
        thread.off("message", onMessage).off("error", onError).off("exit", onExit)
        thread.unref()
      }
      const onMessage = (answer: Answer): void => {
        done()
        if (answer.tag === "ok") resolve(answer.bytes)
        else reject(new AuthorError("Build", { language: job.language, detail: answer.detail }))
      }
      const gone = (detail: string): void => {
        done()
        if (worker === thread) worker = undefined
        reject(new AuthorError("Build", { language: job.language, detail }))
      }
      const onError = (error: unknown): void => gone(`the compiler failed: ${error instanceof Error ? error.message : String(error)}`)
      const onExit = (code: number): void => gone(`the compiler ended with ${code}`)
      thread.on("message", onMessage).on("error", onError).on("exit", onExit)
      thread.ref()
      thread.postMessage(job)
    })
  return {
    run(job) {
      const answer = last.then(() => ask(job))
      last = answer.catch(() => {})
      return answer
    },
    async [Symbol.asyncDispose]() {
      await worker?.terminate()
    },
  }
}
