/** `stele dev` as an author has it: a process that prints a line of JSON for each turn, and files that change beside it. */
import { type ChildProcess, spawn } from "node:child_process"
import { readFile, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { main, root, stele } from "../runtime/command-line.ts"

export interface Turn {
  readonly passed?: number
  readonly failed?: number
  readonly bytes?: number
  readonly error?: { readonly code: string }
}

/** A project made in `folder`, with the checkout's compilers as if they had been installed there. */
export async function newProject(folder: string, name: string, ...flags: ReadonlyArray<string>): Promise<string> {
  const made = stele(["new", name, ...flags], { cwd: folder })
  if (made.code !== 0) throw new Error(made.stderr)
  await symlink(join(root, "node_modules"), join(folder, name, "node_modules"))
  return join(folder, name)
}

/** A running `stele dev --json`. */
export class Dev implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #waiting: Array<(turn: Turn) => void> = []
  readonly #turns: Array<Turn> = []
  readonly project: string

  constructor(project: string) {
    this.project = project
    this.#child = spawn(process.execPath, [...process.execArgv, main, "dev", "--json"], {
      cwd: project,
      stdio: ["pipe", "pipe", "ignore"],
      env: { ...process.env, NO_COLOR: "1" },
    })
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      const turn = JSON.parse(line) as Turn
      const next = this.#waiting.shift()
      if (next === undefined) this.#turns.push(turn)
      else next(turn)
    })
  }
  turn(): Promise<Turn> {
    const [next] = this.#turns.splice(0, 1)
    return next === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(next)
  }
  /** Saves a file with `change` made to its text; resolves with the turn that comes of it and how long that took, ms. */
  async save(file: string, change: (text: string) => string): Promise<{ readonly turn: Turn; readonly ms: number }> {
    const path = join(this.project, file)
    const text = change(await readFile(path, "utf8"))
    const startedMs = performance.now()
    await writeFile(path, text)
    return { turn: await this.turn(), ms: performance.now() - startedMs }
  }
  /** A line of input: a call of the plugin as it is now. */
  type(line: string): Promise<unknown> {
    this.#child.stdin?.write(`${line}\n`)
    return this.turn()
  }
  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve))
    this.#child.kill("SIGINT")
    await ended
  }
}
