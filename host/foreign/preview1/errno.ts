/** Errors and rights of preview 1, by their names in witx (`typenames.witx`, `errno` and `rights`). */

import type { FileError, FileResult } from "../../port/file-system.ts"

/** Those that this host answers with. */
export const errno = {
  success: 0,
  tooBig: 1,
  acces: 2,
  again: 6,
  already: 7,
  badf: 8,
  busy: 10,
  deadlk: 16,
  dquot: 19,
  exist: 20,
  fbig: 22,
  ilseq: 25,
  inprogress: 26,
  intr: 27,
  inval: 28,
  io: 29,
  isdir: 31,
  loop: 32,
  mfile: 33,
  mlink: 34,
  msgsize: 35,
  nametoolong: 37,
  nodev: 43,
  noent: 44,
  nolck: 46,
  nomem: 48,
  nospc: 51,
  notdir: 54,
  notempty: 55,
  notrecoverable: 56,
  notsock: 57,
  notsup: 58,
  notty: 59,
  nxio: 60,
  overflow: 61,
  perm: 63,
  pipe: 64,
  rofs: 69,
  spipe: 70,
  txtbsy: 74,
  xdev: 75,
  notcapable: 76,
} as const

export type Errno = (typeof errno)[keyof typeof errno]

/** Thrown below a function of preview 1 to answer with an error: nothing is wrong with the guest. Not an `Error`: no stack is wanted. */
export class Refusal {
  readonly errno: Errno
  constructor(code: Errno) {
    this.errno = code
  }
}

export function refuse(name: keyof typeof errno): never {
  throw new Refusal(errno[name])
}

/** Bits in the order of witx; all of them lie in the low 32. */
export const right = {
  fdDatasync: 1 << 0,
  fdRead: 1 << 1,
  fdSeek: 1 << 2,
  fdFdstatSetFlags: 1 << 3,
  fdSync: 1 << 4,
  fdTell: 1 << 5,
  fdWrite: 1 << 6,
  fdAdvise: 1 << 7,
  fdAllocate: 1 << 8,
  pathCreateDirectory: 1 << 9,
  pathCreateFile: 1 << 10,
  pathLinkSource: 1 << 11,
  pathLinkTarget: 1 << 12,
  pathOpen: 1 << 13,
  fdReaddir: 1 << 14,
  pathReadlink: 1 << 15,
  pathRenameSource: 1 << 16,
  pathRenameTarget: 1 << 17,
  pathFilestatGet: 1 << 18,
  pathFilestatSetSize: 1 << 19,
  pathFilestatSetTimes: 1 << 20,
  fdFilestatGet: 1 << 21,
  fdFilestatSetSize: 1 << 22,
  fdFilestatSetTimes: 1 << 23,
  pathSymlink: 1 << 24,
  pathRemoveDirectory: 1 << 25,
  pathUnlinkFile: 1 << 26,
  pollFdReadwrite: 1 << 27,
  sockShutdown: 1 << 28,
  sockAccept: 1 << 29,
} as const

/** Every right there is, and those that mean something on a regular file and on a directory, as in uvwasi. */
export const everyRight = 2 ** 30 - 1
export const fileRights =
  right.fdDatasync |
  right.fdRead |
  right.fdSeek |
  right.fdFdstatSetFlags |
  right.fdSync |
  right.fdTell |
  right.fdWrite |
  right.fdAdvise |
  right.fdAllocate |
  right.fdFilestatGet |
  right.fdFilestatSetSize |
  right.fdFilestatSetTimes |
  right.pollFdReadwrite
export const directoryRights =
  right.fdFdstatSetFlags |
  right.fdSync |
  right.fdAdvise |
  right.pathCreateDirectory |
  right.pathCreateFile |
  right.pathLinkSource |
  right.pathLinkTarget |
  right.pathOpen |
  right.fdReaddir |
  right.pathReadlink |
  right.pathRenameSource |
  right.pathRenameTarget |
  right.pathFilestatGet |
  right.pathFilestatSetSize |
  right.pathFilestatSetTimes |
  right.fdFilestatGet |
  right.fdFilestatSetTimes |
  right.pathSymlink |
  right.pathRemoveDirectory |
  right.pathUnlinkFile |
  right.pollFdReadwrite

/** What the file system port says, as preview 1 says it. */
const ofFile: Readonly<Record<FileError, Errno>> = {
  access: errno.acces,
  "would-block": errno.again,
  already: errno.already,
  "bad-descriptor": errno.badf,
  busy: errno.busy,
  deadlock: errno.deadlk,
  quota: errno.dquot,
  exist: errno.exist,
  "file-too-large": errno.fbig,
  "illegal-byte-sequence": errno.ilseq,
  "in-progress": errno.inprogress,
  interrupted: errno.intr,
  invalid: errno.inval,
  io: errno.io,
  "is-directory": errno.isdir,
  loop: errno.loop,
  "too-many-links": errno.mlink,
  "message-size": errno.msgsize,
  "name-too-long": errno.nametoolong,
  "no-device": errno.nodev,
  "no-entry": errno.noent,
  "no-lock": errno.nolck,
  "insufficient-memory": errno.nomem,
  "insufficient-space": errno.nospc,
  "not-directory": errno.notdir,
  "not-empty": errno.notempty,
  "not-recoverable": errno.notrecoverable,
  unsupported: errno.notsup,
  "no-tty": errno.notty,
  "no-such-device": errno.nxio,
  overflow: errno.overflow,
  "not-permitted": errno.perm,
  pipe: errno.pipe,
  "read-only": errno.rofs,
  "invalid-seek": errno.spipe,
  "text-file-busy": errno.txtbsy,
  "cross-device": errno.xdev,
}

/** The value of an answer of the file system; its failure is the errno of the call. */
export function expect<A>(answer: FileResult<A>): A {
  if (answer.tag === "ok") return answer.val
  throw new Refusal(ofFile[answer.val])
}
