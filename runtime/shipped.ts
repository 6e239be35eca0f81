/**
 * Folders that are shipped with the program, as they lie in a checkout, in the published package
 * (`dist/NAME`), or in a single-file binary, which lays them out in the user's cache folder.
 */
import { cacheFolder } from "../host/platform/server.ts"
import { PluginError } from "../schemas/error/plugin.ts"
import { type Carried, carried } from "./carried.ts"

// A page's bundle has this file as a part that it never loads.
const { createHash } = process.getBuiltinModule("node:crypto")
const { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, renameSync, writeFileSync } = process.getBuiltinModule("node:fs")
const { readdir } = process.getBuiltinModule("node:fs/promises")
const { tmpdir } = process.getBuiltinModule("node:os")
const { dirname, join } = process.getBuiltinModule("node:path")
const { fileURLToPath } = process.getBuiltinModule("node:url")

/** A file by which each is known, since a checkout has other folders of these names, and where a checkout has it. */
const known = {
  examples: { file: "greeter/example.json", checkout: "plugins/examples" },
  templates: { file: "assemblyscript/plugin.json", checkout: "plugins/templates" },
  sdk: { file: "int128.as.ts", checkout: "plugins/sdk" },
  plugins: { file: "index.json", checkout: "dist/plugins" },
  fpga: { file: "matcher.v", checkout: "runtime/accel/fpga/rtl" },
} as const
export type Shipped = keyof typeof known

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
function layOut(folder: Shipped, { info, read }: Carried): string {
  const base = join(cacheFolder(process.env) ?? ownFolder(tmpdir()), "carried", info.sources.slice(0, 16))
  for (const { name, bytes, sha256 } of info.files) {
    if (!name.startsWith(`${folder}/`)) continue
    const path = join(base, name)
    const there = existsSync(path) ? readFileSync(path) : undefined
    if (there?.length === bytes && createHash("sha256").update(there).digest("hex") === sha256) continue
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    // Whole or not at all: another process may be reading it.
    const draft = `${path}.${process.pid}`
    writeFileSync(draft, read(name), { mode: 0o600 })
    renameSync(draft, path)
  }
  return join(base, folder)
}

/** Where the folder is: next to the bundle or to the folder that a part of it lies in, or from here in a checkout. */
export function shippedFolder(folder: Shipped): string {
  const held = carried()
  if (held !== undefined) return layOut(folder, held)
  const { file, checkout } = known[folder]
  const candidates = [`./${folder}/`, `../${folder}/`, `../${checkout}/`].map((path) => fileURLToPath(new URL(path, import.meta.url)))
  const found = candidates.find((path) => existsSync(join(path, file)))
  if (found === undefined) throw new PluginError("NotFound", { source: candidates[0] ?? folder })
  return found
}

/** What the folder has, one folder each. Of one that is laid out only what is carried: what else lies there is nobody's. */
export async function shippedNames(folder: Shipped): Promise<ReadonlyArray<string>> {
  const held = carried()
  if (held === undefined) return (await readdir(shippedFolder(folder), { withFileTypes: true })).filter((entry) => entry.isDirectory()).map(({ name }) => name)
  const inside = held.info.files.filter(({ name }) => name.startsWith(`${folder}/`)).map(({ name }) => name.split("/")[1] as string)
  return [...new Set(inside)]
}
