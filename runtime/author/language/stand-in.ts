/**
 * Interpreters in components import WASI themselves. Built with all of `wasi:` stubbed they import nothing, but then the plugin's own
 * imports from there are stubs, too. So the namespace is called otherwise while the component is made, by a word of the same length, and
 * called `wasi` again in the names of the finished component's imports.
 */
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join, relative } from "node:path"

const namespace = "wasi"
/** Words to stand for it: as long, so that no length in the component changes. */
const standIns = ["wasj", "wask", "wasl", "wasm"]

export interface StandIn extends AsyncDisposable {
  /** A folder with the WIT, its names changed. */
  readonly wit: string
  readonly word: string
  /** A name as the changed WIT has it. */
  called(name: string): string
  /** The component with the names of its imports changed back. */
  restored(component: Uint8Array): Uint8Array
}

async function witFiles(path: string): Promise<ReadonlyMap<string, string>> {
  if ((await stat(path)).isFile()) return new Map([["world.wit", await readFile(path, "utf8")]])
  const entries = (await readdir(path, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile() && entry.name.endsWith(".wit"))
  const paths = entries.map((entry) => join(entry.parentPath, entry.name)).sort()
  return new Map(await Promise.all(paths.map(async (file) => [relative(path, file), await readFile(file, "utf8")] as const)))
}

const renamed = (text: string, from: string, to: string): string => text.replaceAll(new RegExp(`(?<![a-z0-9-])${from}:`, "gu"), `${to}:`)

/** Gives the component's own imports their namespace back: in the sections with id 10 of the outermost component (Binary.md "Component Definitions"). */
function renameImports(component: Uint8Array, from: string, to: string): Uint8Array {
  const [wanted, put] = [`${from}:`, `${to}:`].map((text) => new TextEncoder().encode(text)) as [Uint8Array, Uint8Array]
  const bytes = component.slice()
  for (let at = 8; at < bytes.length;) {
    const id = bytes[at++]
    let size = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++] as number
      size += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) break
    }
    const end = at + size
    if (id === 10) for (let i = at; i + wanted.length <= end; i++) if (wanted.every((byte, j) => bytes[i + j] === byte)) bytes.set(put, i)
    at = end
  }
  return bytes
}

/** The WIT at `path`, a file or folder, with another word for the namespace. */
export async function openStandIn(path: string): Promise<StandIn> {
  const files = await witFiles(path)
  const word = standIns.find((each) => [...files.values()].every((text) => !text.includes(`${each}:`))) ?? namespace
  const wit = await mkdtemp(join(tmpdir(), "stele-wit-"))
  for (const [file, text] of files) {
    await mkdir(dirname(join(wit, file)), { recursive: true })
    await writeFile(join(wit, file), renamed(text, namespace, word))
  }
  return {
    wit,
    word,
    called: (name) => renamed(name, namespace, word),
    restored: (component) => renameImports(component, word, namespace),
    [Symbol.asyncDispose]: () => rm(wit, { recursive: true, force: true }),
  }
}
