/**
 * A guest's path, walked inside the directory it is relative to. Each component is one step of the port, which follows
 * no link; links are read and walked here, so that a path, or what a link says, leads out of the directory neither by
 * `..` nor from the root, whatever others do to the tree meanwhile.
 */
import { type FileResult, nameBytesMax, type OpenDirectory } from "../port/file-system.ts"
import { utf8Length } from "../port/port.ts"

/** Links followed in one path, as Linux does (path_resolution(7)). */
export const linksMax = 40
/** Bytes of a path, and of what one link says (`PATH_MAX` without its NUL). */
export const pathBytesMax = 4_095
/** Directories a path may go down at once: each is held open for `..` behind it. */
export const pathDepthMax = 128
/** Steps of one path with all its links: a walk is not interrupted by the deadline. */
export const pathStepsMax = 1_024

/** Where a path ends. */
export interface Place {
  /** The directory that holds the last name; valid during the callback. */
  readonly directory: OpenDirectory
  /** The last name; undefined where the path is the directory itself. */
  readonly name: string | undefined
  /** The names from where the walk began, links resolved. */
  readonly names: ReadonlyArray<string>
  /** The path ended in a slash. */
  readonly mustBeDirectory: boolean
}

const err = (val: Extract<FileResult<never>, { tag: "err" }>["val"]): FileResult<never> => ({ tag: "err", val })

/** Answers with what `act` answers at the end of the path. Undefined from it: the last name is a link, to be followed. */
export function walk<A>(base: OpenDirectory, path: string, act: (place: Place) => FileResult<A> | undefined): FileResult<A> {
  if (path === "") return err("no-entry")
  if (utf8Length(path) > pathBytesMax) return err("name-too-long")
  if (path.includes("\0")) return err("invalid")
  if (path.startsWith("/")) return err("not-permitted")
  const pending = path.split("/").toReversed()
  const opened: Array<OpenDirectory> = []
  const names: Array<string> = []
  let links = 0
  try {
    for (let steps = 0; ; steps++) {
      if (steps > pathStepsMax) return err("name-too-long")
      const directory = opened.at(-1) ?? base
      const name = pending.pop()
      if (name === undefined) return act({ directory, name: undefined, names, mustBeDirectory: true }) ?? err("loop")
      if (name === "" || name === ".") continue
      if (name === "..") {
        if (opened.length === 0) return err("not-permitted")
        ;(opened.pop() as OpenDirectory).close()
        names.pop()
        continue
      }
      if (utf8Length(name) > nameBytesMax) return err("name-too-long")
      // What follows is a slash at the end, or nothing.
      if (pending.every((rest) => rest === "")) {
        const answer = act({ directory, name, names: [...names, name], mustBeDirectory: pending.length > 0 })
        if (answer !== undefined) return answer
      } else {
        const next = directory.openDirectory(name)
        if (next.tag === "ok") {
          opened.push(next.val)
          names.push(name)
          if (opened.length > pathDepthMax) return err("name-too-long")
          continue
        }
        if (next.val !== "loop") return next
      }
      if (++links > linksMax) return err("loop")
      const target = directory.readLink(name)
      // No link any more: somebody put another thing in its place.
      if (target.tag === "err") return target.val === "invalid" ? err("busy") : target
      if (target.val.startsWith("/")) return err("not-permitted")
      if (target.val === "" || target.val.includes("\0")) return err("no-entry")
      if (utf8Length(target.val) > pathBytesMax) return err("name-too-long")
      pending.push(...target.val.split("/").toReversed())
    }
  } finally {
    for (const directory of opened) directory.close()
  }
}
