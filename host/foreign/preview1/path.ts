/** `path_*`: what is done with a name below an open directory. No path leads out of it (`host/wasi/path.ts`). */
import type { AbiContext } from "../../abi/context.ts"
import { checkRange } from "../../abi/memory.ts"
import type { CoreValue } from "../../abi/number.ts"
import type { CallContext } from "../../capability/capability.ts"
import * as files from "../../wasi/descriptor.ts"
import { type Descriptor, descriptorOf, descriptorsOf, Directory, fdflag, File, statOf } from "./descriptor.ts"
import { everyRight, expect, refuse, right } from "./errno.ts"
import { timesOf, writeStat } from "./fd.ts"
import { readPath, unsigned, unsigned64, writeBytes, writeU32 } from "./memory.ts"
import { type Functions, serve, type Snapshot } from "./serve.ts"

/** witx `lookupflags` and `oflags`. */
const follows = (flags: CoreValue | undefined): boolean => (unsigned(flags) & 1) !== 0
const oflag = { creat: 1, directory: 2, excl: 4, trunc: 8 } as const

/** A directory with these rights. */
function directoryOf(call: CallContext, fd: CoreValue | undefined, rights: number): Directory {
  const descriptor = descriptorOf(call, unsigned(fd))
  if (!(descriptor instanceof Directory)) return refuse("notdir")
  descriptor.need(rights)
  return descriptor
}

const pathAt = (cx: AbiContext, at: CoreValue | undefined, length: CoreValue | undefined): string => readPath(cx, unsigned(at), unsigned(length))

/** Rights that are asked for. Bits that have no meaning ask for nothing. */
const asked = (rights: CoreValue | undefined): number => Number(unsigned64(rights) & BigInt(everyRight))

const knownFlags = fdflag.append | fdflag.dsync | fdflag.nonblock | fdflag.rsync | fdflag.sync

function open(
  call: CallContext,
  directory: Directory,
  path: string,
  follow: boolean,
  flags: number,
  base: number,
  inheriting: number,
  fdflags: number,
): Descriptor {
  if (flags > 15 || (fdflags & ~knownFlags) !== 0) refuse("inval")
  if (((base | inheriting) & ~directory.inheriting) !== 0) refuse("notcapable")
  const [create, truncate] = [(flags & oflag.creat) !== 0, (flags & oflag.trunc) !== 0]
  directory.need((create ? right.pathCreateFile : 0) | (truncate ? right.pathFilestatSetSize : 0))
  const opened = expect(
    files.openAt(call, directory.directory, path, {
      read: (base & right.fdRead) !== 0,
      write: (base & right.fdWrite) !== 0,
      follow,
      create,
      truncate,
      exclusive: (flags & oflag.excl) !== 0,
      directory: (flags & oflag.directory) !== 0,
    }),
  )
  return opened.isDirectory ? new Directory(opened, base, inheriting) : new File(opened, base, inheriting, fdflags)
}

export const pathFunctions = (snapshot: Snapshot): Functions => ({
  path_create_directory: serve("iii", (call, cx, [fd, path, length]) => {
    const { directory } = directoryOf(call, fd, right.pathCreateDirectory)
    expect(files.createDirectoryAt(call, directory, pathAt(cx, path, length)))
  }),
  path_filestat_get: serve("iiiii", (call, cx, [fd, flags, path, length, to]) => {
    const { directory } = directoryOf(call, fd, right.pathFilestatGet)
    writeStat(cx, unsigned(to), snapshot, statOf(expect(files.statAt(call, directory, pathAt(cx, path, length), follows(flags)))))
  }),
  path_filestat_set_times: serve("iiiiIIi", (call, cx, [fd, flags, path, length, accessed, modified, what]) => {
    const { directory } = directoryOf(call, fd, right.pathFilestatSetTimes)
    const times = timesOf(call, unsigned64(accessed), unsigned64(modified), unsigned(what))
    expect(files.setTimesAt(call, directory, pathAt(cx, path, length), follows(flags), times))
  }),
  path_link: serve("iiiiiii", (call, cx, [fd, flags, path, length, newFd, newPath, newLength]) => {
    const from = directoryOf(call, fd, right.pathLinkSource)
    const to = directoryOf(call, newFd, right.pathLinkTarget)
    expect(files.linkAt(call, from.directory, pathAt(cx, path, length), follows(flags), to.directory, pathAt(cx, newPath, newLength)))
  }),
  path_open: serve("iiiiiIIii", (call, cx, [fd, lookup, path, length, flags, base, inheriting, fdflags, to]) => {
    const directory = directoryOf(call, fd, right.pathOpen)
    // Before anything is opened that the program could not be told of.
    checkRange(cx, unsigned(to), 4, 1)
    const opened = open(call, directory, pathAt(cx, path, length), follows(lookup), unsigned(flags), asked(base), asked(inheriting), unsigned(fdflags))
    writeU32(cx, unsigned(to), descriptorsOf(call).add(opened))
  }),
  path_readlink: serve("iiiiii", (call, cx, [fd, path, length, at, space, to]) => {
    const { directory } = directoryOf(call, fd, right.pathReadlink)
    const target = new TextEncoder().encode(expect(files.readLinkAt(call, directory, pathAt(cx, path, length))))
    // What does not fit is cut, as readlink(2) does it.
    const part = target.subarray(0, unsigned(space))
    writeBytes(cx, unsigned(at), part)
    writeU32(cx, unsigned(to), part.length)
  }),
  path_remove_directory: serve("iii", (call, cx, [fd, path, length]) => {
    const { directory } = directoryOf(call, fd, right.pathRemoveDirectory)
    expect(files.removeDirectoryAt(call, directory, pathAt(cx, path, length)))
  }),
  path_rename: serve("iiiiii", (call, cx, [fd, path, length, newFd, newPath, newLength]) => {
    const from = directoryOf(call, fd, right.pathRenameSource)
    const to = directoryOf(call, newFd, right.pathRenameTarget)
    expect(files.renameAt(call, from.directory, pathAt(cx, path, length), to.directory, pathAt(cx, newPath, newLength)))
  }),
  path_symlink: serve("iiiii", (call, cx, [target, targetLength, fd, path, length]) => {
    const { directory } = directoryOf(call, fd, right.pathSymlink)
    expect(files.symlinkAt(call, directory, pathAt(cx, target, targetLength), pathAt(cx, path, length)))
  }),
  path_unlink_file: serve("iii", (call, cx, [fd, path, length]) => {
    const { directory } = directoryOf(call, fd, right.pathUnlinkFile)
    expect(files.unlinkFileAt(call, directory, pathAt(cx, path, length)))
  }),
})
