/**
 * The file system of a server, one name at a time and without following links. On Linux a directory is held open with
 * `O_PATH` and its entries are reached as `/proc/self/fd/N/NAME`: the kernel goes from the descriptor to the very
 * directory, wherever it has been moved, and `O_NOFOLLOW` holds for the one name after it. That is `openat`, which Node,
 * Deno and Bun do not offer. Where it does not work (other systems, no /proc, Deno without --allow-all) paths stand in:
 * the same checks, but between check and use another process may swap a directory for a link (`holds: "paths"`).
 */
import type * as NodeFs from "node:fs"
import type {
  DirectoryEntries,
  DirectoryEntry,
  FileError,
  FileKind,
  FileResult,
  FileStat,
  FileSystemPort,
  FileTimes,
  OpenDirectory,
  OpenFile,
  OpenOptions,
} from "../port/file-system.ts"
import { builtin } from "./server.ts"

const ok = <A>(val: A): FileResult<A> => ({ tag: "ok", val })
const done: FileResult<undefined> = { tag: "ok", val: undefined }
const err = (val: FileError): FileResult<never> => ({ tag: "err", val })

/** By errno name; what is not here is `io`. */
const errors: Readonly<Record<string, FileError>> = {
  EACCES: "access",
  EAGAIN: "would-block",
  EALREADY: "already",
  EBADF: "bad-descriptor",
  EBUSY: "busy",
  EDEADLK: "deadlock",
  EDQUOT: "quota",
  EEXIST: "exist",
  EFBIG: "file-too-large",
  EILSEQ: "illegal-byte-sequence",
  EINTR: "interrupted",
  EINVAL: "invalid",
  EISDIR: "is-directory",
  ELOOP: "loop",
  EMLINK: "too-many-links",
  ENAMETOOLONG: "name-too-long",
  ENODEV: "no-device",
  ENOENT: "no-entry",
  ENOLCK: "no-lock",
  ENOMEM: "insufficient-memory",
  // No code says that a process has too many files open.
  EMFILE: "insufficient-memory",
  ENFILE: "insufficient-memory",
  ENOSPC: "insufficient-space",
  ENOSYS: "unsupported",
  ENOTSUP: "unsupported",
  EOPNOTSUPP: "unsupported",
  ENOTDIR: "not-directory",
  ENOTEMPTY: "not-empty",
  ENXIO: "no-such-device",
  EOVERFLOW: "overflow",
  EPERM: "not-permitted",
  EPIPE: "pipe",
  EROFS: "read-only",
  ESPIPE: "invalid-seek",
  ETXTBSY: "text-file-busy",
  EXDEV: "cross-device",
}

const errorOf = (error: unknown): FileError => {
  const { code, name } = error as { readonly code?: string; readonly name?: string }
  // Deno's permission errors have no errno.
  return errors[code ?? ""] ?? (name === "NotCapable" || code === "ERR_ACCESS_DENIED" ? "access" : "io")
}

/** Runs `act`; what it throws is the system's answer. */
function attempt<A>(act: () => A): FileResult<A> {
  try {
    return ok(act())
  } catch (error) {
    return err(errorOf(error))
  }
}
function perform(act: () => void): FileResult<undefined> {
  try {
    act()
    return done
  } catch (error) {
    return err(errorOf(error))
  }
}

type BigStats = NodeFs.BigIntStats

const kindOf = (stat: Pick<BigStats, "isFile" | "isDirectory" | "isSymbolicLink" | "isFIFO" | "isSocket" | "isBlockDevice" | "isCharacterDevice">): FileKind =>
  stat.isFile()
    ? "regular-file"
    : stat.isDirectory()
      ? "directory"
      : stat.isSymbolicLink()
        ? "symbolic-link"
        : stat.isFIFO()
          ? "fifo"
          : stat.isSocket()
            ? "socket"
            : stat.isBlockDevice()
              ? "block-device"
              : stat.isCharacterDevice()
                ? "character-device"
                : "unknown"

const statOf = (stat: BigStats): FileStat => ({
  kind: kindOf(stat),
  links: stat.nlink,
  bytes: stat.size,
  accessedNs: stat.atimeNs,
  modifiedNs: stat.mtimeNs,
  changedNs: stat.ctimeNs,
  device: stat.dev,
  inode: stat.ino,
})

const secondsOf = (ns: bigint): number => Number(ns / 1_000_000_000n) + Number(ns % 1_000_000_000n) / 1e9

/** The name is not UTF-8: the engines give U+FFFD for what they could not decode, and there is no entry of that name. */
const undecoded = "\ufffd"

/** Linux `open(2)`, the same on every architecture that these engines run on; no engine has it among its constants. */
const O_PATH = 0x200000

// `statfs(2)` f_type of what the kernel shows as files: /proc/self/mem is this process's memory, /proc/self/environ its secrets.
const kernelFileSystems: ReadonlySet<number> = new Set([
  0x9fa0, // proc
  0x62656572, // sysfs
  0x27e0eb, // cgroup
  0x63677270, // cgroup2
  0x64626720, // debugfs
  0x74726163, // tracefs
  0x73636673, // securityfs
  0x62656570, // configfs
  0xcafe4a11, // bpf
  0xf97cff8c, // selinuxfs
  0xde5e81e4, // efivarfs
  0x6165676c, // pstore
  0x42494e4d, // binfmt_misc
  0x65735543, // fusectl
  0x6e736673, // nsfs
  0x1cd1, // devpts
])

/**
 * Names that Windows gives another meaning: separators, streams of a file, devices, and what it cuts off at the end.
 * "Naming Files, Paths, and Namespaces", learn.microsoft.com.
 */
// oxlint-disable-next-line no-control-regex
const windowsName = /[\u0000-\u001f<>:"/\\|?*]|[. ]$|^(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|$)/i

/** Is this a name of one entry on the system, and not a path, a device or another spelling? */
export const isPlainName = (name: string, isWindows: boolean): boolean =>
  isWindows ? !windowsName.test(name) : name !== "" && name !== "." && name !== ".." && !name.includes("/") && !name.includes("\0")

export interface FileSystemOptions {
  /** `paths` where descriptors would work, for tests. */
  readonly holds?: "paths"
}

export function serverFileSystem(options: FileSystemOptions = {}): FileSystemPort {
  const fs = builtin("node:fs")
  const { dirname, join, resolve } = builtin("node:path")
  const { constants } = fs
  const isWindows = process.platform === "win32"
  // Absent on Windows, where they mean nothing.
  const { O_NOFOLLOW = 0, O_DIRECTORY = 0, O_NONBLOCK = 0, O_NOCTTY = 0 } = constants as Partial<Record<string, number>>
  const big = { bigint: true } as const
  const isHere = { bigint: true, throwIfNoEntry: false } as const
  let holds: FileSystemPort["holds"] | undefined = process.platform === "linux" ? options.holds : "paths"

  const fd = (descriptor: number): string => `/proc/self/fd/${descriptor}`
  const close = (descriptor: number): void => void perform(() => fs.closeSync(descriptor))

  /** Does a directory's descriptor lead to its entries here? */
  function probe(descriptor: number): boolean {
    try {
      return fs.statSync(`${fd(descriptor)}/.`, big).ino === fs.fstatSync(descriptor, big).ino
    } catch {
      return false
    }
  }

  function times({ accessedNs, modifiedNs }: FileTimes, stat: () => BigStats): [number, number] {
    const now = accessedNs === undefined || modifiedNs === undefined ? stat() : undefined
    return [secondsOf(accessedNs ?? (now as BigStats).atimeNs), secondsOf(modifiedNs ?? (now as BigStats).mtimeNs)]
  }

  class File implements OpenFile {
    readonly isDirectory = false
    readonly #descriptor: number
    /** Of `O_PATH`, or read-only: neither bytes nor size can be changed through it. */
    readonly #options: Pick<OpenOptions, "read" | "write">
    #appending: number | undefined
    #isOpen = true

    constructor(descriptor: number, options: Pick<OpenOptions, "read" | "write">) {
      this.#descriptor = descriptor
      this.#options = options
    }

    // A closed descriptor's number may already be somebody else's.
    #when<A>(isAllowed: boolean, act: () => A): FileResult<A> {
      return this.#isOpen && isAllowed ? attempt(act) : err("bad-descriptor")
    }

    stat(): FileResult<FileStat> {
      return this.#when(true, () => statOf(fs.fstatSync(this.#descriptor, big)))
    }

    read(into: Uint8Array, offset: number): FileResult<number> {
      return this.#when(this.#options.read, () => (into.length === 0 ? 0 : fs.readSync(this.#descriptor, into, 0, into.length, offset)))
    }

    write(bytes: Uint8Array, offset: number): FileResult<number> {
      return this.#when(this.#options.write, () => (bytes.length === 0 ? 0 : fs.writeSync(this.#descriptor, bytes, 0, bytes.length, offset)))
    }

    append(bytes: Uint8Array): FileResult<number> {
      return this.#when(this.#options.write, () => {
        if (bytes.length === 0) return 0
        // Atomic where a second opening of the same file can be had: O_APPEND is of the opening, not of the write.
        if (holds === "descriptors") {
          this.#appending ??= fs.openSync(fd(this.#descriptor), constants.O_WRONLY | constants.O_APPEND | O_NONBLOCK)
          return fs.writeSync(this.#appending, bytes, 0, bytes.length, null)
        }
        return fs.writeSync(this.#descriptor, bytes, 0, bytes.length, Number(fs.fstatSync(this.#descriptor, big).size))
      })
    }

    setSize(bytes: number): FileResult<undefined> {
      return this.#when(this.#options.write, () => fs.ftruncateSync(this.#descriptor, bytes) as undefined)
    }

    setTimes(given: FileTimes): FileResult<undefined> {
      return this.#when(true, () => {
        const [accessed, modified] = times(given, () => fs.fstatSync(this.#descriptor, big))
        // `futimes` refuses an O_PATH descriptor; its link in /proc does not.
        if (holds === "descriptors") fs.utimesSync(fd(this.#descriptor), accessed, modified)
        else fs.futimesSync(this.#descriptor, accessed, modified)
        return undefined
      })
    }

    sync(isDataOnly: boolean): FileResult<undefined> {
      return this.#when(this.#options.read || this.#options.write, () => (isDataOnly ? fs.fdatasyncSync : fs.fsyncSync)(this.#descriptor) as undefined)
    }

    close(): void {
      if (this.#isOpen) close(this.#descriptor)
      if (this.#appending !== undefined) close(this.#appending)
      this.#isOpen = false
      this.#appending = undefined
    }
  }

  class Directory implements OpenDirectory {
    readonly isDirectory = true
    /** The descriptor; −1 once closed, or where paths stand in. */
    #descriptor: number
    /** Where paths stand in: the path without links, "" once closed. */
    #path: string
    /** Of the directory itself: a path that leads elsewhere meanwhile is noticed. */
    readonly #device: bigint
    readonly #inode: bigint

    constructor(descriptor: number, path: string, stat: Pick<BigStats, "dev" | "ino">) {
      this.#descriptor = descriptor
      this.#path = path
      this.#device = stat.dev
      this.#inode = stat.ino
    }

    /** The directory as a path that the system takes. */
    #self(): string {
      if (this.#descriptor >= 0) return `${fd(this.#descriptor)}/.`
      return this.#path
    }

    #at(name: string): string {
      return this.#descriptor >= 0 ? `${fd(this.#descriptor)}/${name}` : join(this.#path, name)
    }

    /** Why nothing can be done with `name` here. */
    #refusal(name: string | undefined): FileError | undefined {
      if (this.#descriptor < 0) {
        if (this.#path === "") return "bad-descriptor"
        // Still the directory that was opened, by a path without links? Asked each time, which a swap at the right moment gets past.
        const stat = fs.lstatSync(this.#path, isHere)
        if (stat === undefined) return "no-entry"
        if (!stat.isDirectory() || stat.ino !== this.#inode || stat.dev !== this.#device || fs.realpathSync.native(this.#path) !== this.#path)
          return "not-permitted"
      }
      return name === undefined || isPlainName(name, isWindows) ? undefined : "invalid"
    }

    #do<A>(name: string | undefined, act: () => FileResult<A>): FileResult<A> {
      try {
        const refusal = this.#refusal(name)
        return refusal === undefined ? act() : err(refusal)
      } catch (error) {
        return err(errorOf(error))
      }
    }

    /** The other directory of a rename or link, if it is one of these and still open. */
    #other(into: OpenDirectory, newName: string): FileResult<string> {
      if (!(into instanceof Directory)) return err("cross-device")
      return into.#do(newName, () => ok(into.#at(newName)))
    }

    /** A mount point below this directory may lead to what the kernel shows as files. */
    #isForeign(stat: Pick<BigStats, "dev">, path: string): boolean {
      return stat.dev !== this.#device && isKernels(path)
    }

    again(): FileResult<OpenDirectory> {
      return this.#do(undefined, () => {
        const stat = { dev: this.#device, ino: this.#inode }
        if (this.#descriptor < 0) return ok(new Directory(-1, this.#path, stat))
        return ok(new Directory(fs.openSync(this.#self(), O_PATH | O_DIRECTORY), "", stat))
      })
    }

    stat(name?: string): FileResult<FileStat> {
      return this.#do(name, () => {
        const stat = name === undefined ? fs.statSync(this.#self(), big) : fs.lstatSync(this.#at(name), isHere)
        return stat === undefined ? err("no-entry") : ok(statOf(stat))
      })
    }

    openDirectory(name: string): FileResult<OpenDirectory> {
      return this.#do<OpenDirectory>(name, () => {
        if (this.#descriptor < 0) return this.#openByPath(name, { read: true, write: false }, true) as FileResult<OpenDirectory>
        let descriptor: number
        try {
          descriptor = fs.openSync(this.#at(name), O_PATH | O_DIRECTORY | O_NOFOLLOW)
        } catch (error) {
          const code = errorOf(error)
          // ENOTDIR is the answer to a link as well as to a file.
          if (code === "not-directory" && fs.lstatSync(this.#at(name), isHere)?.isSymbolicLink() === true) return err("loop")
          return err(code)
        }
        return this.#directory(descriptor, fs.fstatSync(descriptor, big))
      })
    }

    /** A directory just opened, unless it is the kernel's. */
    #directory(descriptor: number, stat: BigStats): FileResult<OpenDirectory> {
      if (!this.#isForeign(stat, `${fd(descriptor)}/.`)) return ok(new Directory(descriptor, "", stat))
      close(descriptor)
      return err("not-permitted")
    }

    open(name: string, asked: OpenOptions): FileResult<OpenFile | OpenDirectory> {
      return this.#do(name, () => {
        // What is there is looked at before it is opened: opening a device or a pipe may wait or do something.
        for (let attempts = 0; attempts < 8; attempts++) {
          const found = this.#descriptor >= 0 ? this.#openFound(name, asked) : this.#openByPath(name, asked, false)
          if (found.tag === "ok" || found.val !== "no-entry" || asked.create !== true) return found
          const made = this.#create(name, asked)
          // Made by somebody else between the two.
          if (made.tag === "ok" || made.val !== "exist" || asked.exclusive === true) return made
        }
        return err("busy")
      })
    }

    /** Exclusively, so that what is opened is what was made: a link in its place is `exist`. */
    #create(name: string, { read, write }: OpenOptions): FileResult<OpenFile> {
      const mode = read ? constants.O_RDWR : constants.O_WRONLY
      return attempt(() => new File(fs.openSync(this.#at(name), mode | constants.O_CREAT | constants.O_EXCL | O_NOFOLLOW, 0o666), { read, write }))
    }

    #openFound(name: string, asked: OpenOptions): FileResult<OpenFile | OpenDirectory> {
      // Throws ENOENT at the price of a stack trace; asking first costs half of that.
      if (asked.create === true && fs.lstatSync(this.#at(name), isHere) === undefined) return err("no-entry")
      const descriptor = fs.openSync(this.#at(name), O_PATH | O_NOFOLLOW)
      let keeps = false
      try {
        const stat = fs.fstatSync(descriptor, big)
        const refusal = refusalOf(stat, asked)
        if (refusal !== undefined) return err(refusal)
        if (stat.isDirectory()) {
          keeps = true
          return this.#directory(descriptor, stat)
        }
        if (this.#isForeign(stat, fd(descriptor))) return err("not-permitted")
        if (!asked.read && !asked.write) {
          keeps = true
          return ok(new File(descriptor, asked))
        }
        // The magic link leads to the file that was looked at, whatever has its name by now.
        return ok(new File(fs.openSync(fd(descriptor), modeOf(asked)), asked))
      } finally {
        if (!keeps) close(descriptor)
      }
    }

    #openByPath(name: string, asked: OpenOptions, isDirectory: boolean): FileResult<OpenFile | OpenDirectory> {
      const path = this.#at(name)
      const stat = fs.lstatSync(path, isHere)
      if (stat === undefined) return err("no-entry")
      const refusal = refusalOf(stat, asked)
      if (refusal !== undefined) return err(refusal)
      if (this.#isForeign(stat, path)) return err("not-permitted")
      if (stat.isDirectory()) return ok(new Directory(-1, path, stat))
      if (isDirectory) return err("not-directory")
      const file = fs.openSync(path, modeOf({ ...asked, read: asked.read || !asked.write }) | O_NOFOLLOW)
      const opened = fs.fstatSync(file, big)
      const again = this.#refusal(name) ?? (opened.ino === stat.ino && opened.dev === stat.dev && opened.isFile() ? undefined : "not-permitted")
      if (again === undefined) return ok(new File(file, asked))
      close(file)
      return err(again)
    }

    entries(): FileResult<DirectoryEntries> {
      return this.#do(undefined, () => {
        const list = fs.opendirSync(this.#self(), { bufferSize: 256 })
        let isOpen = true
        return ok({
          next: (): FileResult<DirectoryEntry | undefined> => {
            if (!isOpen) return err("bad-descriptor")
            return this.#do<DirectoryEntry | undefined>(undefined, () => {
              const entry = list.readSync()
              if (entry === null) return ok(undefined)
              const { name } = entry
              const isKnown = entry.isFile() || entry.isDirectory() || entry.isSymbolicLink()
              const isDecoded = !name.includes(undecoded)
              if (isKnown && isDecoded) return ok({ name, kind: kindOf(entry) })
              const stat = fs.lstatSync(this.#at(name), isHere)
              if (!isDecoded && stat === undefined) return err("illegal-byte-sequence")
              return ok({ name, kind: stat === undefined ? "unknown" : kindOf(stat) })
            })
          },
          close() {
            if (isOpen) perform(() => list.closeSync())
            isOpen = false
          },
        })
      })
    }

    readLink(name: string): FileResult<string> {
      return this.#do(name, () => {
        const target = fs.readlinkSync(this.#at(name))
        return target.includes(undecoded) ? err("illegal-byte-sequence") : ok(isWindows ? target.replaceAll("\\", "/") : target)
      })
    }

    makeDirectory(name: string): FileResult<undefined> {
      return this.#do(name, () => perform(() => fs.mkdirSync(this.#at(name))))
    }

    makeLink(target: string, name: string): FileResult<undefined> {
      return this.#do(name, () => perform(() => fs.symlinkSync(target, this.#at(name))))
    }

    link(name: string, into: OpenDirectory, newName: string): FileResult<undefined> {
      return this.#do(name, () => {
        const to = this.#other(into, newName)
        if (to.tag === "err") return to
        const stat = fs.lstatSync(this.#at(name), isHere)
        if (stat === undefined) return err("no-entry")
        // Linux links a symbolic link itself; others may link what it leads to.
        if (stat.isSymbolicLink() && process.platform !== "linux") return err("unsupported")
        if (stat.isDirectory()) return err("not-permitted")
        return perform(() => fs.linkSync(this.#at(name), to.val))
      })
    }

    rename(name: string, into: OpenDirectory, newName: string): FileResult<undefined> {
      return this.#do(name, () => {
        const to = this.#other(into, newName)
        return to.tag === "err" ? to : perform(() => fs.renameSync(this.#at(name), to.val))
      })
    }

    removeDirectory(name: string): FileResult<undefined> {
      return this.#do(name, () => perform(() => fs.rmdirSync(this.#at(name))))
    }

    unlink(name: string): FileResult<undefined> {
      return this.#do(name, () => {
        // Deno's `unlink` removes empty directories, too.
        if (fs.lstatSync(this.#at(name), isHere)?.isDirectory() === true) return err("is-directory")
        return perform(() => fs.unlinkSync(this.#at(name)))
      })
    }

    setTimes(name: string | undefined, given: FileTimes): FileResult<undefined> {
      return this.#do(name, () =>
        perform(() => {
          if (name === undefined) fs.utimesSync(this.#self(), ...times(given, () => fs.statSync(this.#self(), big)))
          else fs.lutimesSync(this.#at(name), ...times(given, () => fs.lstatSync(this.#at(name), big)))
        }),
      )
    }

    sync(isDataOnly: boolean): FileResult<undefined> {
      return this.#do(undefined, () => {
        // Windows has no way to sync a directory.
        if (isWindows) return done
        const descriptor = fs.openSync(this.#self(), constants.O_RDONLY | O_DIRECTORY)
        try {
          return perform(() => (isDataOnly ? fs.fdatasyncSync : fs.fsyncSync)(descriptor))
        } finally {
          close(descriptor)
        }
      })
    }

    close(): void {
      if (this.#descriptor >= 0) close(this.#descriptor)
      this.#descriptor = -1
      this.#path = ""
    }
  }

  const modeOf = ({ read, write, truncate }: OpenOptions): number =>
    (write ? (read ? constants.O_RDWR : constants.O_WRONLY) : constants.O_RDONLY) | (truncate === true ? constants.O_TRUNC : 0) | O_NONBLOCK | O_NOCTTY

  /** Why what is there cannot be opened so. */
  function refusalOf(stat: BigStats, { write, create, exclusive, truncate }: OpenOptions): FileError | undefined {
    if (create === true && exclusive === true) return "exist"
    if (stat.isSymbolicLink()) return "loop"
    if (stat.isDirectory()) return write || create === true || truncate === true ? "is-directory" : undefined
    if (!stat.isFile()) return "unsupported"
    return truncate === true && !write ? "invalid" : undefined
  }

  /** Linux: is it one of the file systems that the kernel shows itself by? */
  function isKernels(path: string): boolean {
    if (process.platform !== "linux") return false
    try {
      return kernelFileSystems.has(Number(fs.statfsSync(path).type) >>> 0)
    } catch {
      // Deno wants a permission more for this; what it lets be read without --allow-all is not the kernel's.
      return path.startsWith("/proc/") || path.startsWith("/sys/") || path === "/proc" || path === "/sys"
    }
  }

  function realPath(path: string): string {
    const absolute = resolve(path)
    try {
      return fs.realpathSync.native(absolute)
    } catch {
      const parent = dirname(absolute)
      return parent === absolute ? absolute : join(realPath(parent), absolute.slice(parent.length))
    }
  }

  function root(path: string): FileResult<OpenDirectory> {
    try {
      const real = fs.realpathSync.native(path)
      const stat = fs.statSync(real, big)
      if (!stat.isDirectory()) return err("not-directory")
      if (isKernels(real)) return err("not-permitted")
      if (holds !== "paths") {
        const descriptor = fs.openSync(real, O_PATH | O_DIRECTORY | O_NOFOLLOW)
        holds ??= probe(descriptor) ? "descriptors" : "paths"
        if (holds === "descriptors") return ok(new Directory(descriptor, "", fs.fstatSync(descriptor, big)))
        close(descriptor)
      }
      return ok(new Directory(-1, real, stat))
    } catch (error) {
      return err(errorOf(error))
    }
  }

  return {
    root,
    realPath,
    get holds() {
      if (holds === undefined) {
        const opened = root("/")
        if (opened.tag === "ok") opened.val.close()
      }
      return holds ?? "paths"
    },
  }
}
