/** A file system in memory, lost with the process: for browsers, for tests, and for plugins that want scratch space only. */
import { ConfigError } from "../../schemas/error/mod.ts"
import {
  type DirectoryEntry,
  type FileError,
  type FileKind,
  type FileResult,
  type FileStat,
  type FileSystemPort,
  type FileTimes,
  nameBytesMax,
  type OpenDirectory,
  type OpenFile,
  type OpenOptions,
} from "./file-system.ts"
import { limitsFrom, utf8Length } from "./port.ts"

export const memoryFileSystemLimits = {
  /** Bytes of one file. */
  fileBytesMax: 64 << 20,
  /** Bytes of all files together, each at least its size on being written: holes count. */
  totalBytesMax: 256 << 20,
  /** Names of files, directories and links together. */
  namesMax: 100_000,
}
export type MemoryFileSystemLimits = typeof memoryFileSystemLimits

interface Node {
  readonly kind: FileKind
  readonly inode: bigint
  links: number
  accessedNs: bigint
  modifiedNs: bigint
  changedNs: bigint
  /** Of a file: `bytes` of `content` are its own. */
  content: Uint8Array
  bytes: number
  /** Of a directory. */
  readonly names: Map<string, Node>
  parent: Node | undefined
  /** Of a link. */
  readonly target: string
}

const ok = <A>(val: A): FileResult<A> => ({ tag: "ok", val })
const done: FileResult<undefined> = { tag: "ok", val: undefined }
const err = (val: FileError): FileResult<never> => ({ tag: "err", val })
const nothing = new Uint8Array(0)

/** Contents by path; directories are made as needed: `{ "/data/prices.csv": "tea;2.50\n" }`. A path that ends in a slash is an empty directory. */
export function memoryFileSystem(
  files: Readonly<Record<string, string | Uint8Array>> = {},
  options: Partial<MemoryFileSystemLimits> = {},
  nowMs: () => number = Date.now,
): FileSystemPort & {
  /** The bytes of a file, links in its path not followed; undefined where there is none. A copy. */
  readonly get: (path: string) => Uint8Array | undefined
} {
  const limits = limitsFrom("fileSystem", memoryFileSystemLimits, options)
  let names = 0
  let totalBytes = 0
  let inodes = 0n
  const nowNs = (): bigint => BigInt(Math.round(nowMs() * 1e6))

  function make(kind: FileKind, target = ""): Node {
    const ns = nowNs()
    return {
      kind,
      inode: ++inodes,
      links: 0,
      accessedNs: ns,
      modifiedNs: ns,
      changedNs: ns,
      content: nothing,
      bytes: 0,
      names: new Map(),
      parent: undefined,
      target,
    }
  }
  const tree = make("directory")
  tree.links = 1

  const touch = (node: Node): void => {
    node.modifiedNs = node.changedNs = nowNs()
  }

  /** Makes the file at least `bytes` long, in room that doubles. */
  function grow(node: Node, bytes: number): FileError | undefined {
    if (bytes <= node.bytes) return undefined
    if (bytes > limits.fileBytesMax) return "file-too-large"
    if (totalBytes + bytes - node.bytes > limits.totalBytesMax) return "insufficient-space"
    if (bytes > node.content.length) {
      const larger = new Uint8Array(Math.min(limits.fileBytesMax, Math.max(bytes, node.content.length * 2, 64)))
      larger.set(node.content.subarray(0, node.bytes))
      node.content = larger
    }
    totalBytes += bytes - node.bytes
    node.bytes = bytes
    return undefined
  }

  function shrink(node: Node, bytes: number): void {
    totalBytes -= node.bytes - bytes
    // Zeros again, should the file grow back.
    node.content = node.content.slice(0, bytes)
    node.bytes = bytes
  }

  function write(node: Node, bytes: Uint8Array, offset: number): FileResult<number> {
    if (bytes.length === 0) return ok(0)
    const refused = grow(node, offset + bytes.length)
    if (refused !== undefined) return err(refused)
    node.content.set(bytes, offset)
    touch(node)
    return ok(bytes.length)
  }

  /** Open files by node: a file without a name lives until the last of them is closed. */
  const open = new Map<Node, number>()
  const retain = (node: Node): void => void open.set(node, (open.get(node) ?? 0) + 1)
  function release(node: Node): void {
    const left = (open.get(node) ?? 1) - 1
    if (left > 0) open.set(node, left)
    else {
      open.delete(node)
      collect(node)
    }
  }
  function collect(node: Node): void {
    if (node.links > 0 || open.has(node)) return
    shrink(node, 0)
  }
  function enter(directory: Node, name: string, node: Node): void {
    directory.names.set(name, node)
    names++
    node.links++
    node.parent = directory
    touch(directory)
    node.changedNs = directory.changedNs
  }
  function leave(directory: Node, name: string, node: Node): void {
    directory.names.delete(name)
    names--
    node.links--
    touch(directory)
    node.changedNs = directory.changedNs
    collect(node)
  }

  const statOf = (node: Node): FileStat => ({
    kind: node.kind,
    links: BigInt(node.kind === "directory" ? 1 : node.links),
    bytes: BigInt(node.kind === "symbolic-link" ? utf8Length(node.target) : node.bytes),
    accessedNs: node.accessedNs,
    modifiedNs: node.modifiedNs,
    changedNs: node.changedNs,
    device: 1n,
    inode: node.inode,
  })

  function setTimes(node: Node, { accessedNs, modifiedNs }: FileTimes): FileResult<undefined> {
    if (accessedNs !== undefined) node.accessedNs = accessedNs
    if (modifiedNs !== undefined) node.modifiedNs = modifiedNs
    node.changedNs = nowNs()
    return done
  }

  function file(node: Node, { read: isRead, write: isWrite }: OpenOptions): OpenFile {
    let isOpen = true
    retain(node)
    const when = <A>(isAllowed: boolean, act: () => FileResult<A>): FileResult<A> => (isOpen && isAllowed ? act() : err("bad-descriptor"))
    return {
      isDirectory: false,
      stat: () => when(true, () => ok(statOf(node))),
      read: (into, offset) =>
        when(isRead, () => {
          const chunk = node.content.subarray(Math.min(offset, node.bytes), Math.min(offset + into.length, node.bytes))
          into.set(chunk)
          return ok(chunk.length)
        }),
      write: (bytes, offset) => when(isWrite, () => write(node, bytes, offset)),
      append: (bytes) => when(isWrite, () => write(node, bytes, node.bytes)),
      setSize: (bytes) =>
        when(isWrite, () => {
          const refused = grow(node, bytes)
          if (refused !== undefined) return err(refused)
          if (bytes < node.bytes) shrink(node, bytes)
          touch(node)
          return done
        }),
      setTimes: (times) => when(true, () => setTimes(node, times)),
      sync: () => when(true, () => done),
      close() {
        if (isOpen) release(node)
        isOpen = false
      },
    }
  }

  class Directory implements OpenDirectory {
    readonly isDirectory = true
    readonly #node: Node
    #isOpen = true

    constructor(node: Node) {
      this.#node = node
      retain(node)
    }

    static nodeOf(directory: OpenDirectory): Node | undefined {
      return directory instanceof Directory && directory.#isOpen ? directory.#node : undefined
    }

    /** Runs `act` on the directory and what is under `name` in it. */
    #at<A>(name: string, act: (directory: Node, found: Node | undefined) => FileResult<A>): FileResult<A> {
      if (!this.#isOpen) return err("bad-descriptor")
      if (utf8Length(name) > nameBytesMax) return err("name-too-long")
      return act(this.#node, this.#node.names.get(name))
    }

    /** What may be made under a new name in a directory that still has a place. */
    #make(name: string, kind: FileKind, target?: string): FileResult<Node> {
      return this.#at(name, (directory, found) => {
        if (found !== undefined) return err("exist")
        if (directory.links === 0) return err("no-entry")
        if (names >= limits.namesMax) return err("insufficient-space")
        const node = make(kind, target)
        enter(directory, name, node)
        return ok(node)
      })
    }

    again(): FileResult<OpenDirectory> {
      return this.#isOpen ? ok(new Directory(this.#node)) : err("bad-descriptor")
    }

    stat(name?: string): FileResult<FileStat> {
      if (name === undefined) return this.#isOpen ? ok(statOf(this.#node)) : err("bad-descriptor")
      return this.#at(name, (_, found) => (found === undefined ? err("no-entry") : ok(statOf(found))))
    }

    open(name: string, options: OpenOptions): FileResult<OpenFile | OpenDirectory> {
      return this.#at<OpenFile | OpenDirectory>(name, (_, found) => {
        let node = found
        if (node === undefined) {
          if (options.create !== true) return err("no-entry")
          const made = this.#make(name, "regular-file")
          if (made.tag === "err") return made
          node = made.val
        } else if (options.create === true && options.exclusive === true) return err("exist")
        if (node.kind === "symbolic-link") return err("loop")
        if (node.kind === "directory")
          return options.write || options.truncate === true || options.create === true ? err("is-directory") : ok(new Directory(node))
        if (options.truncate === true) {
          if (!options.write) return err("invalid")
          shrink(node, 0)
          touch(node)
        }
        return ok(file(node, options))
      })
    }

    openDirectory(name: string): FileResult<OpenDirectory> {
      return this.#at<OpenDirectory>(name, (_, found) => {
        if (found === undefined) return err("no-entry")
        if (found.kind !== "directory") return err(found.kind === "symbolic-link" ? "loop" : "not-directory")
        return ok(new Directory(found))
      })
    }

    entries() {
      if (!this.#isOpen) return err("bad-descriptor")
      // A map's iterator sees what is added and skips what is removed meanwhile, as directories' own do.
      const entries = this.#node.names.entries()
      return ok({
        next(): FileResult<DirectoryEntry | undefined> {
          const { value } = entries.next()
          return ok(value === undefined ? undefined : { name: value[0], kind: value[1].kind })
        },
        close() {},
      })
    }

    readLink(name: string): FileResult<string> {
      return this.#at(name, (_, found) => (found === undefined ? err("no-entry") : found.kind === "symbolic-link" ? ok(found.target) : err("invalid")))
    }

    makeDirectory(name: string): FileResult<undefined> {
      const made = this.#make(name, "directory")
      return made.tag === "ok" ? done : made
    }

    makeLink(target: string, name: string): FileResult<undefined> {
      const made = this.#make(name, "symbolic-link", target)
      return made.tag === "ok" ? done : made
    }

    link(name: string, into: OpenDirectory, newName: string): FileResult<undefined> {
      return this.#at(name, (_, found) => {
        const directory = Directory.nodeOf(into)
        if (directory === undefined) return err("cross-device")
        if (utf8Length(newName) > nameBytesMax) return err("name-too-long")
        if (found === undefined || directory.links === 0) return err("no-entry")
        if (found.kind === "directory") return err("not-permitted")
        if (directory.names.has(newName)) return err("exist")
        if (names >= limits.namesMax) return err("insufficient-space")
        enter(directory, newName, found)
        return done
      })
    }

    rename(name: string, into: OpenDirectory, newName: string): FileResult<undefined> {
      return this.#at(name, (from, found) => {
        const to = Directory.nodeOf(into)
        if (to === undefined) return err("cross-device")
        if (utf8Length(newName) > nameBytesMax) return err("name-too-long")
        if (found === undefined || to.links === 0) return err("no-entry")
        // A directory cannot go into itself.
        for (let at: Node | undefined = to; at !== undefined; at = at.parent) if (at === found) return err("invalid")
        const old = to.names.get(newName)
        if (old === found) return done
        if (old !== undefined) {
          if (found.kind === "directory" && old.kind !== "directory") return err("not-directory")
          if (found.kind !== "directory" && old.kind === "directory") return err("is-directory")
          if (old.names.size > 0) return err("not-empty")
          leave(to, newName, old)
        }
        // Entered first: a node without a name would be collected.
        enter(to, newName, found)
        leave(from, name, found)
        return done
      })
    }

    removeDirectory(name: string): FileResult<undefined> {
      return this.#at(name, (directory, found) => {
        if (found === undefined) return err("no-entry")
        if (found.kind !== "directory") return err("not-directory")
        if (found.names.size > 0) return err("not-empty")
        leave(directory, name, found)
        return done
      })
    }

    unlink(name: string): FileResult<undefined> {
      return this.#at(name, (directory, found) => {
        if (found === undefined) return err("no-entry")
        if (found.kind === "directory") return err("is-directory")
        leave(directory, name, found)
        return done
      })
    }

    setTimes(name: string | undefined, times: FileTimes): FileResult<undefined> {
      if (name === undefined) return this.#isOpen ? setTimes(this.#node, times) : err("bad-descriptor")
      return this.#at(name, (_, found) => (found === undefined ? err("no-entry") : setTimes(found, times)))
    }

    sync(): FileResult<undefined> {
      return this.#isOpen ? done : err("bad-descriptor")
    }

    close(): void {
      if (this.#isOpen) release(this.#node)
      this.#isOpen = false
    }
  }

  const partsOf = (path: string): ReadonlyArray<string> => path.split("/").filter((part) => part !== "" && part !== ".")

  function find(path: string): Node | undefined {
    let at: Node | undefined = tree
    for (const part of partsOf(path)) at = at?.names.get(part)
    return at
  }

  function put(path: string, content: string | Uint8Array): void {
    const refuse = (detail: string): never => {
      throw new ConfigError("Option", {
        option: "files",
        expected: "absolute paths with room for what they hold",
        actual: `${JSON.stringify(path)} (${detail})`,
      })
    }
    const parts = [...partsOf(path)]
    if (!path.startsWith("/") || parts.some((part) => part === ".." || part.includes("\0") || utf8Length(part) > nameBytesMax)) refuse("it is no such path")
    const last = path.endsWith("/") ? undefined : parts.pop()
    let at = tree
    for (const part of parts) {
      let next = at.names.get(part)
      if (next === undefined) {
        if (names >= limits.namesMax) refuse("namesMax")
        enter(at, part, (next = make("directory")))
      }
      if (next.kind !== "directory") refuse("a file is in its way")
      at = next
    }
    if (last === undefined) return
    if (at.names.has(last) || names >= limits.namesMax) refuse("it is there already, or namesMax")
    const node = make("regular-file")
    enter(at, last, node)
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content
    if (write(node, bytes, 0).tag === "err") refuse("fileBytesMax or totalBytesMax")
  }
  for (const [path, content] of Object.entries(files)) put(path, content)

  return {
    holds: "descriptors",
    root(path) {
      const node = path.startsWith("/") ? find(path) : undefined
      return node === undefined ? err("no-entry") : node.kind === "directory" ? ok(new Directory(node)) : err("not-directory")
    },
    realPath: (path) => `/${partsOf(path).join("/")}`,
    get(path) {
      const node = find(path)
      return node?.kind === "regular-file" ? node.content.slice(0, node.bytes) : undefined
    },
  }
}
