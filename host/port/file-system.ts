/**
 * A file system as guests may reach it: open files and directories, and one name at a time. No method follows a symbolic
 * link and no name has a separator, so that whoever walks a path (`host/wasi/path.ts`) decides each step and nothing else
 * does. Everything answers at once, and a failure is a value: guests expect them all the time.
 */

// The order is that of `wasi:filesystem/types.error-code`.
// prettier-ignore
export const fileErrors = [
  "access", "would-block", "already", "bad-descriptor", "busy", "deadlock", "quota", "exist", "file-too-large", "illegal-byte-sequence",
  "in-progress", "interrupted", "invalid", "io", "is-directory", "loop", "too-many-links", "message-size", "name-too-long", "no-device",
  "no-entry", "no-lock", "insufficient-memory", "insufficient-space", "not-directory", "not-empty", "not-recoverable", "unsupported",
  "no-tty", "no-such-device", "overflow", "not-permitted", "pipe", "read-only", "invalid-seek", "text-file-busy", "cross-device",
] as const
export type FileError = (typeof fileErrors)[number]

export type FileResult<A> = { readonly tag: "ok"; readonly val: A } | { readonly tag: "err"; readonly val: FileError }

// The order is that of `wasi:filesystem/types.descriptor-type`.
// prettier-ignore
export const fileKinds = ["unknown", "block-device", "character-device", "directory", "fifo", "symbolic-link", "regular-file", "socket"] as const
export type FileKind = (typeof fileKinds)[number]

export interface FileStat {
  readonly kind: FileKind
  readonly links: bigint
  readonly bytes: bigint
  /** Nanoseconds since the Unix epoch; below 0 before it. */
  readonly accessedNs: bigint
  readonly modifiedNs: bigint
  readonly changedNs: bigint
  /** Together they tell one object from every other of this file system. */
  readonly device: bigint
  readonly inode: bigint
}

/** Times to set, nanoseconds since the Unix epoch; what is absent stays. */
export interface FileTimes {
  readonly accessedNs?: bigint
  readonly modifiedNs?: bigint
}

export interface DirectoryEntry {
  readonly name: string
  readonly kind: FileKind
}

export interface OpenOptions {
  readonly read: boolean
  readonly write: boolean
  /** Make a regular file where there is nothing. */
  readonly create?: boolean
  /** With `create`: fail where there is something. */
  readonly exclusive?: boolean
  /** Empty the file; needs `write`. */
  readonly truncate?: boolean
}

/** An open regular file, opened for reading, for writing, both, or neither (for what is about it alone). After `close` everything is `bad-descriptor`. */
export interface OpenFile {
  readonly isDirectory: false
  stat(): FileResult<FileStat>
  /** Fills the start of `into` from byte `offset`; 0 bytes at the end of the file. */
  read(into: Uint8Array, offset: number): FileResult<number>
  /** Bytes written, at least 1 of any; a hole before `offset` reads as zeros. */
  write(bytes: Uint8Array, offset: number): FileResult<number>
  /** Writes at the end, wherever others have moved it. */
  append(bytes: Uint8Array): FileResult<number>
  setSize(bytes: number): FileResult<undefined>
  setTimes(times: FileTimes): FileResult<undefined>
  /** To the disk; `isDataOnly`: without what is not needed to read it again. */
  sync(isDataOnly: boolean): FileResult<undefined>
  close(): void
}

/** Entries in the file system's own order, without `.` and `..`. */
export interface DirectoryEntries {
  /** `illegal-byte-sequence` for a name that is not UTF-8; the entries after it follow. */
  next(): FileResult<DirectoryEntry | undefined>
  close(): void
}

/**
 * An open directory: it stays the same one wherever it is moved. Names are one component: not empty, `.` or `..`,
 * without `/` and NUL. A symbolic link is never followed: `open` and `openDirectory` answer `loop` for one.
 */
export interface OpenDirectory {
  readonly isDirectory: true
  /** The same directory, to be closed on its own. */
  again(): FileResult<OpenDirectory>
  /** Of the entry, or of the directory itself without a name. */
  stat(name?: string): FileResult<FileStat>
  /** A regular file or directory; devices, pipes and sockets are `unsupported`, and none of them is touched. */
  open(name: string, options: OpenOptions): FileResult<OpenFile | OpenDirectory>
  openDirectory(name: string): FileResult<OpenDirectory>
  entries(): FileResult<DirectoryEntries>
  /** What the link says; `invalid` where the entry is no link. */
  readLink(name: string): FileResult<string>
  makeDirectory(name: string): FileResult<undefined>
  makeLink(target: string, name: string): FileResult<undefined>
  /** A second name, in `into`, for the file `name`. */
  link(name: string, into: OpenDirectory, newName: string): FileResult<undefined>
  rename(name: string, into: OpenDirectory, newName: string): FileResult<undefined>
  removeDirectory(name: string): FileResult<undefined>
  /** `is-directory` for a directory. */
  unlink(name: string): FileResult<undefined>
  /** Of the entry, a link's own included, or of the directory itself for an undefined name. */
  setTimes(name: string | undefined, times: FileTimes): FileResult<undefined>
  sync(isDataOnly: boolean): FileResult<undefined>
  close(): void
}

export interface FileSystemPort {
  /** Opens the directory at an absolute path; links in the path are followed: it comes from whoever gives directories to plugins. */
  root(path: string): FileResult<OpenDirectory>
  /** The path without links, `.` and `..`, up to the last component that is there. */
  realPath(path: string): string
  /** `descriptors`: no change made by others meanwhile leads outside. `paths`: a process that swaps a directory for a link at the right moment can. */
  readonly holds: "descriptors" | "paths"
}

/** Bytes of one name; the least of today's file systems. */
export const nameBytesMax = 255
