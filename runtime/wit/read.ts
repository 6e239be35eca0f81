/** WIT from files and folders, as WIT.md "Filesystem structure" lays them out. */
import { readdir, readFile, stat } from "node:fs/promises"
import { join, relative } from "node:path"
import { WitSourceError } from "../../schemas/error/wit-source.ts"
import { excerptAt, positionAt } from "../../schemas/value/excerpt.ts"
import { type WitInput, witLimits, type WitSource } from "../../schemas/wit/parse/mod.ts"

const isWit = (name: string): boolean => name.endsWith(".wit")

/** One reading: files are counted before they are read. */
class Reading {
  readonly #base: string | undefined
  #bytes = 0

  constructor(base: string | undefined) {
    this.#base = base
  }

  /** As messages call it. */
  shown(path: string): string {
    return this.#base === undefined ? path : relative(this.#base, path)
  }

  async file(path: string): Promise<WitSource> {
    const file = this.shown(path)
    const found = await stat(path)
    // A pipe or a device has no size, and no end.
    if (!found.isFile()) throw new WitSourceError("Unreadable", { path: file, detail: "it is no file" })
    this.#bytes += found.size
    if (this.#bytes > witLimits.witBytesMax.max) throw new WitSourceError("TooLarge", { file, limit: "witBytesMax", ...witLimits.witBytesMax })
    const bytes = await readFile(path)
    try {
      return { file, text: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes) }
    } catch {
      const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes)
      const at = text.indexOf("\u{fffd}")
      const detail = "the bytes here are not UTF-8"
      throw new WitSourceError("Character", { file, ...positionAt(text, at), detail, excerpt: excerptAt(text, at), advice: "save the file as UTF-8" })
    }
  }

  async folder(path: string): Promise<ReadonlyArray<WitSource>> {
    const names = (await readdir(path)).filter(isWit).sort()
    const sources: Array<WitSource> = []
    for (const name of names) sources.push(await this.file(join(path, name)))
    return sources
  }

  /** Each file and each folder is a package of its own; a folder's own `deps` are not looked at. */
  async deps(path: string): Promise<ReadonlyArray<ReadonlyArray<WitSource>>> {
    const groups: Array<ReadonlyArray<WitSource>> = []
    const entries = await readdir(path, { withFileTypes: true }).catch(() => [])
    for (const { name } of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const inner = join(path, name)
      // A link counts as what it leads to.
      if ((await stat(inner)).isDirectory()) groups.push(await this.folder(inner))
      else if (isWit(name)) groups.push([await this.file(inner)])
    }
    return groups.filter((group) => group.length > 0)
  }
}

/**
 * The files of a package and of its dependencies: `path` is one file, which says all, or a folder of them, with
 * dependencies as files and folders in `deps`. Files are called by their paths as seen from `base`, if there is one.
 * @throws WitSourceError `Unreadable`, `TooLarge`, `Character` for bytes that are not UTF-8
 */
export async function readWit(path: string, base?: string): Promise<WitInput> {
  const reading = new Reading(base)
  try {
    if (!(await stat(path)).isDirectory()) return { main: [await reading.file(path)] }
    const main = await reading.folder(path)
    if (main.length === 0) throw new WitSourceError("Unreadable", { path: reading.shown(path), detail: "no file in this folder ends in .wit" })
    return { main, deps: await reading.deps(join(path, "deps")) }
  } catch (error) {
    if (error instanceof WitSourceError || !(error instanceof Error)) throw error
    const { code } = error as { readonly code?: string }
    const detail = code === "ENOENT" ? "there is no such file or folder" : (code ?? error.message)
    throw new WitSourceError("Unreadable", { path: reading.shown(path), detail }, { cause: error })
  }
}
