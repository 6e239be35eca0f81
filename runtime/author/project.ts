/** A plugin's project: the folder with `plugin.json`, and what it says. */
import { access, readdir, stat } from "node:fs/promises"
import { dirname, join, relative, resolve } from "node:path"
import { parseGrant } from "../../host/capability/grant.ts"
import type { LoadOptions } from "../../host/options.ts"
import { AuthorError, type Problem } from "../../schemas/error/author.ts"
import { SteleError } from "../../schemas/error/family.ts"
import { type Language, Manifest } from "../../schemas/manifest/plugin.ts"
import { shippedFolder } from "../shipped.ts"
import { decodeLocated, type Located, readLocated } from "./located.ts"

export const manifestName = "plugin.json"

/** The main source file of each language, where the manifest names none. */
const entries: Readonly<Record<Language, string | undefined>> = {
  assemblyscript: "src/plugin.ts",
  typescript: "src/plugin.ts",
  rust: "src/lib.rs",
  go: "plugin.go",
  python: "plugin.py",
  c: "src/plugin.c",
  other: undefined,
}

export interface Project {
  /** Absolute. */
  readonly folder: string
  /** Where it is `plugins/NAME` of, when its WIT is `schemas/wit/stele/NAME.wit` there: its source may come from there, too (ADR 0047). Absolute. */
  readonly house?: string | undefined
  readonly manifest: Manifest
  readonly located: Located
  /** Folder or file of the WIT, absolute. */
  readonly wit: string
  /** The main source file, absolute; undefined where another tool builds. */
  readonly entry: string | undefined
  /** Where the component is, or will be, absolute: `build/NAME.wasm`. */
  readonly component: string
}

/** Is there anything at `path`? */
export const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )

/**
 * Is a file that belongs to `owner` another user's to one who is `uid`? What root has is nobody's trap, since root can do anything; who works
 * as root by sudo is who asked for it. Undefined on systems without owners.
 */
export const isForeign = (owner: number, uid: number | undefined, sudoUid: number | undefined): boolean =>
  uid !== undefined && owner !== 0 && owner !== uid && !(uid === 0 && owner === sudoUid)

/** A manifest says what programs a build runs: one that another user has put above a folder must not be found by those who work below it. */
async function refuseForeign(folder: string): Promise<void> {
  const sudo = process.env.SUDO_UID
  for (const path of [folder, join(folder, manifestName)]) {
    const { uid: owner } = await stat(path)
    if (isForeign(owner, process.getuid?.(), sudo === undefined ? undefined : Number(sudo))) throw new AuthorError("Foreign", { folder, owner })
  }
}

/**
 * The folder of the project that `from` is in: itself or one above it. `isNamed`: the author said that it is this folder, whoever it belongs to.
 * @throws AuthorError `NoProject`, `Foreign`
 */
export async function projectFolder(from: string, isNamed = false): Promise<string> {
  const start = resolve(from)
  for (let folder = start; ; folder = dirname(folder)) {
    if (await exists(join(folder, manifestName))) {
      if (!(isNamed && folder === start)) await refuseForeign(folder)
      return folder
    }
    if (dirname(folder) === folder) throw new AuthorError("NoProject", { folder: start })
  }
}

/** The main source file, absolute. @throws AuthorError `Missing` where it is not there */
export async function entryOf({ entry = "", folder }: Pick<Project, "entry" | "folder">): Promise<string> {
  if (!(await exists(entry))) throw new AuthorError("Missing", { file: relative(folder, entry), what: "entry" })
  return entry
}

/** The folders in `folder` that are projects, by name. @throws AuthorError `NoProjects` where none is */
export async function projectFolders(folder: string): Promise<ReadonlyArray<string>> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  const inside = entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(resolve(folder), name))
  const found = await Promise.all(inside.map((path) => exists(join(path, manifestName))))
  const projects = inside.filter((_, at) => found[at]).sort()
  if (projects.length === 0) throw new AuthorError("NoProjects", { folder: resolve(folder) })
  return projects
}

/** Problems of a manifest that its schema does not see. */
function meaning(manifest: Manifest, located: Located): ReadonlyArray<Problem> {
  const problems: Array<Problem> = []
  const seen = new Set<string>()
  for (const [index, { grant }] of (manifest.capabilities ?? []).entries()) {
    const path = ["capabilities", index, "grant"]
    try {
      parseGrant(grant)
    } catch (error) {
      if (!(error instanceof SteleError)) throw error
      problems.push(located.problem(path, error.message, { fix: error.fix }))
    }
    if (seen.has(grant)) problems.push(located.problem(path, `The grant ${JSON.stringify(grant)} is there twice`, { fix: "keep one of the two" }))
    seen.add(grant)
  }
  if (manifest.language === "other" && manifest.build === undefined)
    problems.push(
      located.problem(["language"], 'The language "other" needs "build"', { fix: 'add "build": {"command": ["make"], "output": "build/plugin.wasm"}' }),
    )
  return problems
}

/** The WIT of a world of ours, `stele:NAME/WORLD`: of the tree that the project is a part of, else what is shipped. */
async function witOf(folder: string, { wit, world }: Manifest): Promise<{ readonly wit: string; readonly house: string | undefined }> {
  const own = join(folder, wit ?? "wit")
  const name = /^stele:([a-z][a-z0-9-]*)\//.exec(world)?.[1]
  if (wit !== undefined || name === undefined || (await exists(own))) return { wit: own, house: undefined }
  const house = resolve(folder, "../..")
  const beside = join(house, "schemas/wit/stele", `${name}.wit`)
  if (await exists(beside)) return { wit: beside, house }
  return { wit: join(shippedFolder("plugins"), `${name}.wit`), house: undefined }
}

/** Reads the project that `from` is in. Every problem of its manifest is told at once, each at its place. */
export async function openProject(from: string, isNamed = false): Promise<Project> {
  const folder = await projectFolder(from, isNamed)
  const located = await readLocated(join(folder, manifestName), manifestName, "the manifest")
  const manifest = decodeLocated(Manifest, located)
  const problems = meaning(manifest, located)
  if (problems.length > 0) throw new AuthorError("File", { file: manifestName, problems })
  const entry = manifest.entry ?? entries[manifest.language]
  return {
    folder,
    manifest,
    located,
    ...(await witOf(folder, manifest)),
    entry: entry === undefined ? undefined : join(folder, entry),
    component: join(folder, "build", `${manifest.name}.wasm`),
  }
}

/** The longest that a call in a test takes, ms, whatever the manifest asks for: a checkout is a stranger's. */
const deadlineMsMax = 60_000

/** What the manifest asks for, as options of a load on its author's machine: there a call always has a deadline. */
export function loadOptionsOf({ capabilities, limits, metering }: Manifest): LoadOptions {
  const { deadlineMs } = limits ?? {}
  return {
    grants: (capabilities ?? []).map(({ grant }) => grant),
    ...(limits === undefined ? {} : { limits: { ...limits, ...(deadlineMs === undefined ? {} : { deadlineMs: Math.min(deadlineMs, deadlineMsMax) }) } }),
    ...(metering === undefined ? {} : { metering: metering === "off" ? "deadline" : metering }),
  }
}
