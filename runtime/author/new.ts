/** Makes a project from a template: a folder of files whose names and texts say `my-plugin`. */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises"
import { basename, dirname, join, relative, resolve } from "node:path"
import { AuthorError } from "../../schemas/error/author.ts"
import { manifestSchemaText, testSchemaText } from "../../schemas/manifest/json-schema.ts"
import { namePattern } from "../../schemas/manifest/plugin.ts"
import { closest } from "../../schemas/value/closest.ts"
import { shippedFolder, shippedNames } from "../shipped.ts"

export interface NewOptions {
  /** Where: a folder that is not there yet or is empty; its last part is the plugin's name. */
  readonly folder: string
  readonly template: string
  /** Namespace of its WIT package. */
  readonly namespace: string
}

export interface Made {
  /** Absolute. */
  readonly folder: string
  readonly name: string
  /** Paths inside it, in order. */
  readonly files: ReadonlyArray<string>
}

/** Names that are words of WIT or of a language and so no name of a package or module. */
const taken = new Set(
  "as async bool borrow char constructor enum export f32 f64 flags from func future import include interface list option own package record resource result s16 s32 s64 s8 static stream string tuple type u16 u32 u64 u8 use variant with world map default crate self super main test".split(
    " ",
  ),
)

const words = (name: string): ReadonlyArray<string> => name.split("-")
const upper = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1)

/** Every form in which a template writes its name, in the new name's. */
function renamed(text: string, name: string, namespace: string): string {
  const [first = "", ...rest] = words(name)
  return text
    .replaceAll("acme:my-plugin", `${namespace}:${name}`)
    .replaceAll("acme_my_plugin", `${namespace}_${name}`.replaceAll("-", "_"))
    .replaceAll("my-plugin", name)
    .replaceAll("my_plugin", name.replaceAll("-", "_"))
    .replaceAll("MyPlugin", words(name).map(upper).join(""))
    .replaceAll("myPlugin", first + rest.map(upper).join(""))
}

function checkName(option: string, value: string): void {
  if (!namePattern.test(value) || taken.has(value))
    throw new AuthorError("Template", {
      option,
      value,
      expected: "words of small letters and digits with - between them, such as price-rule, that are no keyword of WIT",
    })
}

async function filesIn(folder: string): Promise<ReadonlyArray<string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort()
}

/**
 * Makes the project: all of it, or nothing.
 * @throws AuthorError `Template` for a name or template that cannot be used, `Exists` where something is already
 */
export async function newProject({ folder: given, template, namespace }: NewOptions): Promise<Made> {
  const folder = resolve(given)
  // The empty path is the current folder, whose name nobody meant.
  const name = given === "" ? "" : basename(folder)
  checkName("the name", name)
  checkName("the namespace", namespace)
  // Its packages are those of the standard, which hosts and tools know.
  if (namespace === "wasi") throw new AuthorError("Template", { option: "the namespace", value: namespace, expected: "a word of your own" })
  const templates = (await shippedNames("templates")).toSorted()
  if (!templates.includes(template)) {
    const near = closest(template, templates)
    throw new AuthorError("Template", { option: "the template", value: template, expected: `one of ${(near.length > 0 ? near : templates).join(", ")}` })
  }
  const there = await readdir(folder).catch((error: NodeJS.ErrnoException) => (error.code === "ENOENT" ? undefined : [""]))
  if (there !== undefined && there.length > 0) throw new AuthorError("Exists", { folder })
  const source = join(shippedFolder("templates"), template)
  const draft = `${folder}.${process.pid}`
  try {
    const files = new Map<string, string>()
    for (const file of await filesIn(source)) {
      const path = renamed(file.replaceAll("\\", "/"), name, namespace).replace(/(^|\/)gitignore$/, "$1.gitignore")
      files.set(path, renamed(await readFile(join(source, file), "utf8"), name, namespace))
    }
    files.set("plugin.schema.json", manifestSchemaText())
    files.set("test.schema.json", testSchemaText())
    for (const [path, text] of files) {
      await mkdir(dirname(join(draft, path)), { recursive: true })
      await writeFile(join(draft, path), text)
    }
    if (there !== undefined) await rm(folder, { recursive: true })
    await mkdir(dirname(folder), { recursive: true })
    await rename(draft, folder)
    return { folder, name, files: [...files.keys()].sort() }
  } catch (error) {
    await rm(draft, { recursive: true, force: true })
    throw error
  }
}
