/** An empty folder with the packed package installed, as an embedder's first minute leaves it. */
import { spawnSync } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import { blocks } from "../check/docs.ts"

export const root = fileURLToPath(new URL("../..", import.meta.url))
const bins = [join(root, "node_modules/.bin"), join(root, "test/node_modules/.bin")]

/** How each engine runs a TypeScript file. */
export const engines: ReadonlyArray<readonly [string, ...ReadonlyArray<string>]> = [["node"], ["deno", "run", "--allow-all"], ["bun"]]

export interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

export class Folder implements AsyncDisposable {
  readonly path: string
  readonly #env: NodeJS.ProcessEnv

  private constructor(path: string) {
    this.path = path
    // A cache of its own: what an embedder's first run finds is an empty one.
    this.#env = {
      ...process.env,
      PATH: [join(path, "node_modules/.bin"), ...bins, process.env["PATH"]].join(delimiter),
      NO_COLOR: "1",
      STELE_CACHE: join(path, ".stele-cache"),
      NODE_OPTIONS: "",
    }
  }

  /** An empty folder. */
  static async empty(): Promise<Folder> {
    const folder = new Folder(await mkdtemp(join(tmpdir(), "stele-folder-")))
    await folder.write("package.json", '{ "private": true, "type": "module" }\n')
    return folder
  }

  /**
   * Packs the build that is there and installs the tarball. Throws with what npm said. From npm's cache where it has what is needed; a machine
   * that only ever ran `npm ci` has the tarballs there, but no package's list of versions, and asks its registry.
   */
  async install(): Promise<void> {
    // `--ignore-scripts`: the build is there already, and a script's words would be among the JSON.
    const packing = this.run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", this.path], root)
    if (packing.status !== 0) throw new Error(`Cannot pack: ${packing.stderr}`)
    // npm 12 prints an object by package name, npm 11 an array.
    const [packed] = Object.values(JSON.parse(packing.stdout) as Readonly<Record<string, { readonly filename: string }>>)
    const installing = this.run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", `./${packed?.filename}`])
    if (installing.status !== 0) throw new Error(`Cannot install: ${installing.stderr}`)
  }

  run(command: string, args: ReadonlyArray<string>, cwd = this.path, env: Readonly<Record<string, string>> = {}): Ended {
    const { status, stdout, stderr, error } = spawnSync(command, args, {
      cwd,
      env: { ...this.#env, ...env },
      encoding: "utf8",
      timeout: 240_000,
      maxBuffer: 64 << 20,
    })
    return { status, stdout, stderr: `${stderr}${error?.message ?? ""}` }
  }

  async write(name: string, text: string): Promise<string> {
    const path = join(this.path, name)
    await writeFile(path, text)
    return path
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.path, { recursive: true })
  }
}

/** The README's first block and what it prints. */
export async function firstBlock(): Promise<{ readonly body: string; readonly output: string }> {
  const [first] = blocks(await readFile(join(root, "README.md"), "utf8"))
  if (first?.output === undefined) throw new Error("Cannot find the README's first block with its output")
  return { body: first.body, output: first.output }
}

/** Type-checks files as a strict application would; what the compiler says. */
export const typeCheck = (folder: Folder, ...files: ReadonlyArray<string>): Ended =>
  folder.run("node", [
    join(root, "node_modules/typescript/bin/tsc"),
    "--noEmit",
    "--strict",
    "--exactOptionalPropertyTypes",
    "--noUncheckedIndexedAccess",
    "--allowImportingTsExtensions",
    "--module",
    "nodenext",
    "--target",
    "esnext",
    "--pretty",
    "false",
    ...files,
  ])
