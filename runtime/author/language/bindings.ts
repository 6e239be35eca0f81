/** A project's world, and what a generator makes of it, written into the project. */
import { lstat, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { AuthorError } from "../../../schemas/error/author.ts"
import type { GeneratedFile } from "../../../schemas/generate/file.ts"
import { parseWit, type Resolve, selectWorld } from "../../../schemas/wit/parse/mod.ts"
import { readWit } from "../../wit/read.ts"
import type { Project } from "../project.ts"

export const bindingsFolder = "bindings"

export interface ProjectWorld {
  readonly resolve: Resolve
  readonly selected: ReturnType<typeof selectWorld>
}

/** The world that a project's manifest names. */
export async function worldOf({ folder, manifest, wit }: Project): Promise<ProjectWorld> {
  const resolve = parseWit(await readWit(wit, folder))
  return { resolve, selected: selectWorld(resolve, manifest.world) }
}

/** Writes the bindings where they differ from what is there, so that a watcher sees changes only; what else lies there goes, unless it is to be kept. */
export async function writeBindings(
  { folder, manifest: { language } }: Project,
  files: ReadonlyArray<GeneratedFile>,
  into = bindingsFolder,
  others: "keep" | "remove" = "remove",
): Promise<void> {
  const place = join(folder, into)
  await mkdir(place, { recursive: true })
  if (others === "remove" && (await lstat(place)).isSymbolicLink())
    throw new AuthorError("Build", { language, detail: `"${into}" is a link, and what lies where it leads would be removed` })
  for (const { path, text } of files) {
    const file = join(place, path)
    if ((await readFile(file, "utf8").catch(() => undefined)) === text) continue
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, text)
  }
  if (others === "keep") return
  for (const name of await readdir(place, { recursive: true })) {
    const path = name.replaceAll("\\", "/")
    if (!files.some((file) => file.path === path || file.path.startsWith(`${path}/`))) await rm(join(place, name), { recursive: true, force: true })
  }
}
