/**
 * The example plugins as they lie in a checkout (`plugins/examples`), in the published package (`dist/examples`), or in a
 * single-file binary, which lays them out in the user's cache folder.
 */
import { createHash } from "node:crypto"
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { readdir, readFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { cacheFolder } from "../../host/platform/server.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { type Carried, carried } from "../carried.ts"

export interface Example {
  readonly name: string
  readonly summary: string
  readonly language: string
  /** Path of the component. */
  readonly file: string
  readonly grants: ReadonlyArray<string>
  /** The call that is shown; arguments in JSON form, texts of input files read in. */
  readonly call: { readonly export: string; readonly args: ReadonlyArray<unknown>; readonly deadlineMs?: number }
  /** The arguments in short, for people: a file stands as `@NAME`. */
  readonly words: ReadonlyArray<string>
  /** What the call is there to show. */
  readonly shows: "result" | "denied" | "stopped"
}

/** `example.json`. An argument `{"$text": FILE}` stands for the text of a file beside it. */
type Manifest = Omit<Example, "file" | "words">

/**
 * A folder of this user's among everybody's: what lies there says what it is granted, so nobody else may have made it. Where
 * its name is taken by somebody else it is one that nobody can have foreseen.
 */
export function ownFolder(parent: string): string {
  const uid = process.getuid?.()
  const folder = join(parent, `stele-${uid ?? "user"}`)
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error
  }
  // The link itself, were it one. Windows has no such owners: its temporary folder is the user's own.
  const stat = lstatSync(folder)
  const isOwn = stat.isDirectory() && (uid === undefined || (stat.uid === uid && (stat.mode & 0o077) === 0))
  return isOwn ? folder : mkdtempSync(`${folder}-`)
}

/** Lays out what a binary carries; what is there already and the same stays. */
function layOut({ info, read }: Carried): string {
  const base = join(cacheFolder(process.env) ?? ownFolder(tmpdir()), "carried", info.sources.slice(0, 16))
  for (const { name, bytes, sha256 } of info.files) {
    if (!name.startsWith("examples/")) continue
    const path = join(base, name)
    const there = existsSync(path) ? readFileSync(path) : undefined
    if (there?.length === bytes && createHash("sha256").update(there).digest("hex") === sha256) continue
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    // Whole or not at all: another process may be reading it.
    const draft = `${path}.${process.pid}`
    writeFileSync(draft, read(name), { mode: 0o600 })
    renameSync(draft, path)
  }
  return join(base, "examples")
}

/** Next to the bundle, or from here in a checkout. */
function root(): string {
  const held = carried()
  if (held !== undefined) return layOut(held)
  const candidates = ["./examples/", "../../plugins/examples/"].map((path) => fileURLToPath(new URL(path, import.meta.url)))
  const found = candidates.find((path) => existsSync(path))
  if (found === undefined) throw new PluginError("NotFound", { source: candidates[0] ?? "examples" })
  return found
}

const inputOf = (arg: unknown): string | undefined => {
  const file: unknown = typeof arg === "object" && arg !== null && "$text" in arg ? arg.$text : undefined
  return typeof file === "string" ? file : undefined
}

/** As a person in this folder would write it. */
function shortest(path: string): string {
  const short = relative(process.cwd(), path)
  return short.startsWith("..") ? path : short
}

async function read(folder: string): Promise<Example> {
  const manifest = JSON.parse(await readFile(join(folder, "example.json"), "utf8")) as Manifest
  const files = [`${manifest.name}.wasm`, join("build", `${manifest.name}.wasm`)].map((file) => join(folder, file))
  const args = manifest.call.args.map(async (arg) => {
    const file = inputOf(arg)
    return file === undefined ? arg : readFile(join(folder, file), "utf8")
  })
  return {
    name: manifest.name,
    summary: manifest.summary,
    language: manifest.language,
    // A missing component is the load's error to report, under the path where it belongs.
    file: shortest(files.find((file) => existsSync(file)) ?? (files[0] as string)),
    grants: manifest.grants,
    call: { ...manifest.call, args: await Promise.all(args) },
    words: manifest.call.args.map((arg) => {
      const file = inputOf(arg)
      return file === undefined ? JSON.stringify(arg) : `@${file}`
    }),
    shows: manifest.shows,
  }
}

const order: ReadonlyArray<Example["shows"]> = ["result", "denied", "stopped"]

/** All examples: those that answer, then the one that is denied, then the one that is stopped. */
export async function examples(): Promise<ReadonlyArray<Example>> {
  const folder = root()
  const held = carried()
  // Of a folder that is laid out only what is carried: what else lies there is nobody's example.
  const names =
    held === undefined
      ? (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isDirectory()).map(({ name }) => name)
      : [...new Set(held.info.files.map(({ name }) => /^examples\/([^/]+)\//.exec(name)?.[1]).filter((name) => name !== undefined))]
  const found = await Promise.all(names.filter((name) => existsSync(join(folder, name, "example.json"))).map((name) => read(join(folder, name))))
  return found.toSorted((a, b) => order.indexOf(a.shows) - order.indexOf(b.shows) || (a.name < b.name ? -1 : 1))
}
