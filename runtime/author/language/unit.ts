/** Tests inside the sandbox: a component of the plugin's modules and its `*.test.ts`, in the world that the plugin has. */
import { mkdir, readdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { AuthorError } from "../../../schemas/error/author.ts"
import { parseWit, selectWorld } from "../../../schemas/wit/parse/mod.ts"
import type { World } from "../../../schemas/wit/model.ts"
import type { Project } from "../project.ts"

const ending = ".test.ts"
/** Folders that are searched, at any depth. */
const folders = ["tests", "src"]
/** Files of tests that one component is made of. */
const unitFilesMax = 1_000

export const reportInterface = "stele:test/report@0.1.0"
export const casesInterface = "stele:test/cases@0.1.0"

const { imports, exports } = selectWorld(
  parseWit(`package stele:test@0.1.0;
  interface report { failed: func(at: string, message: string); }
  interface cases {
    count: func() -> u32;
    name: func(index: u32) -> string;
    place: func(index: u32) -> string;
    run: func(index: u32);
  }
  world tests { import report; export cases; }`),
  "tests",
).world

/** What the tests' component imports and exports: all that the plugin imports, and the tests. */
export const unitWorld = (plugin: World): World => ({ imports: new Map([...plugin.imports, ...imports]), exports })

/** The project's files of tests, as paths in it with `/`. */
export async function unitFiles({ folder }: Pick<Project, "folder">): Promise<ReadonlyArray<string>> {
  const found: Array<string> = []
  for (const place of folders) {
    const names = await readdir(join(folder, place), { recursive: true }).catch(() => [])
    for (const name of names) if (name.endsWith(ending)) found.push(`${place}/${name.replaceAll("\\", "/")}`)
  }
  if (found.length > unitFilesMax)
    throw new AuthorError("Units", {
      detail: `there are ${found.length} files of tests, and at most ${unitFilesMax} are read`,
      advice: "put several tests into a file",
    })
  return found.sort()
}

/** Writes the entry of the tests' component, `build/tests.ts`: what it exports, then the files whose tests register themselves. */
export async function writeUnitEntry(
  { folder }: Pick<Project, "folder">,
  lines: ReadonlyArray<string>,
  files: ReadonlyArray<string>,
  suffix: "" | ".ts",
): Promise<string> {
  const entry = "build/tests.ts"
  await mkdir(join(folder, "build"), { recursive: true })
  const imported = files.map((file) => `import "../${file.slice(0, -".ts".length)}${suffix}"`)
  await writeFile(join(folder, entry), `${["// Made by stele test.", ...lines, ...imported].join("\n")}\n`)
  return entry
}
