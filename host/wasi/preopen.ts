/** Directories given to a plugin: opened once when it is loaded, so that what they are called later changes nothing. */
import { FileSystemError } from "../../schemas/error/file-system.ts"
import { directoryName } from "../capability/file-system.ts"
import { contains, type Grant } from "../capability/scope.ts"
import type { FileSystemPort, OpenDirectory } from "../port/file-system.ts"
import type { Preopen } from "./descriptor.ts"
import { walk } from "./path.ts"

export interface PreopenOptions {
  readonly directories: Readonly<Record<string, string>>
  readonly grants: ReadonlyArray<Grant>
  /** A directory that no grant reaches is an error, else one that denies everything. */
  readonly missing: "refuse" | "trap"
  /** Folders that no plugin is given, nor any that holds one of them. */
  readonly guarded: ReadonlyArray<string>
}

const isBelow = (path: string, folder: string): boolean => path === folder || path.startsWith(folder.endsWith("/") ? folder : `${folder}/`)

export const noFileSystem = (guest: string): FileSystemError => new FileSystemError("NoFileSystem", { guest })

/**
 * Opens each directory. Where the widest grant is of a directory above, the way down from there is walked without
 * leaving it: a link that a plugin has put there leads nowhere else.
 */
export function openPreopens(port: FileSystemPort, { directories, grants, missing, guarded }: PreopenOptions): ReadonlyArray<Preopen> {
  const reals = guarded.map((folder) => port.realPath(folder).replaceAll("\\", "/"))
  const opened: Array<Preopen> = []
  try {
    for (const [guest, host] of Object.entries(directories)) {
      const path = directoryName(host)
      if (path === undefined) throw new FileSystemError("NoDirectory", { guest, host, detail: "it is not an absolute path without . and .." })
      const scope = { text: path, isPrefix: true }
      const related = grants.filter((grant) => grant.capability === "fs" && (contains(grant.scope, scope) || contains(scope, grant.scope)))
      if (related.length === 0 && missing === "refuse") throw new FileSystemError("NotGranted", { guest, host: path.length > 1 ? path.slice(0, -1) : path })
      const real = port.realPath(host).replaceAll("\\", "/")
      const held = reals.find((folder) => isBelow(folder, real) || isBelow(real, folder))
      if (held !== undefined) throw new FileSystemError("Guarded", { guest, host, folder: held })
      const widest = related.map(({ scope: of }) => of.text).reduce((least, text) => (text.length < least.length ? text : least), path)
      opened.push({ guest, path, directory: openBelow(port, widest, path.slice(widest.length), guest, host) })
    }
  } catch (error) {
    for (const { directory } of opened) directory.close()
    throw error
  }
  return opened
}

function openBelow(port: FileSystemPort, from: string, rest: string, guest: string, host: string): OpenDirectory {
  const failed = (code: string): FileSystemError => new FileSystemError("NoDirectory", { guest, host, detail: code })
  const root = port.root(from.length > 1 && !/^[A-Z]:\/$/.test(from) ? from.slice(0, -1) : from)
  if (root.tag === "err") throw failed(root.val)
  if (rest === "") return root.val
  try {
    const found = walk<OpenDirectory>(root.val, rest, ({ directory, name }) => {
      const next = name === undefined ? directory.again() : directory.openDirectory(name)
      return next.tag === "err" && next.val === "loop" ? undefined : next
    })
    if (found.tag === "err") throw failed(found.val)
    return found.val
  } finally {
    root.val.close()
  }
}
