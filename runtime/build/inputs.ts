/** What a build is made from, and how it is written: what has not changed is left alone. */
import { createHash } from "node:crypto"
import { readdir, readFile, rename, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** The files of a folder, in no order; of those below it too where it is asked for. A folder that is not there has none. */
export async function filesIn(folder: string, { recursive = false } = {}): Promise<ReadonlyArray<string>> {
  const entries = await readdir(folder, { withFileTypes: true, recursive }).catch(() => [])
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}

/** SHA-256 over files, by their places in the tree, and the versions of tools. */
export async function fingerprintOf(files: ReadonlyArray<string>, tools: ReadonlyArray<string>): Promise<string> {
  const hash = createHash("sha256")
  for (const file of files.toSorted()) for (const part of [file.slice(root.length), await readFile(file)]) hash.update(part).update("\0")
  for (const tool of tools)
    hash
      .update(tool)
      .update("\0")
      .update(await versionOf(tool))
      .update("\0")
  return hash.digest("hex")
}

/** Of an installed package; those that do not export their `package.json` are found this way. */
async function versionOf(tool: string): Promise<string> {
  for (const parent of createRequire(import.meta.url).resolve.paths(tool) ?? []) {
    const text = await textOf(join(parent, tool, "package.json"))
    if (text !== undefined) return (JSON.parse(text) as { readonly version: string }).version
  }
  throw new Error(`Cannot find the package "${tool}"`)
}

export const textOf = (path: string): Promise<string | undefined> => readFile(path, "utf8").catch(() => undefined)

/** Written whole and then renamed: a reader in another process sees the old file or the new one, never a part. */
export async function writeWhole(path: string, contents: string | Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}`
  await writeFile(temporary, contents)
  await rename(temporary, path)
}

/** Written only where it is not so already: the time of a source says whether what was built from it is stale. */
export async function writeChanged(path: string, text: string): Promise<void> {
  if ((await textOf(path)) !== text) await writeWhole(path, text)
}
