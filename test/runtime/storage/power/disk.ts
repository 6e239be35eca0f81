/**
 * A disk that forgets. Files are bytes by inode, folders are names apart from them, and each has what is durable and what
 * has changed since. A sync of a file makes its bytes and size durable, a sync of a folder its names, and nothing else
 * does: that is all that POSIX says. After a loss of power:
 *
 *  * each sector of 512 bytes is as some change since the last sync left it, or as it was at that sync, whatever became of
 *    the other sectors: so writes are dropped, reordered and torn. A sector itself is whole: that is what SQLite
 *    relies on (https://www.sqlite.org/psow.html), and what disks do.
 *  * the size is one of those since the last sync, whatever became of the bytes; what was never written inside it is zeros,
 *    or anything (a file system that allocates before it writes shows what the blocks held before).
 *  * each name that was made, renamed or removed since the folder's last sync is so, or is not, each for itself; only one
 *    rename inside a folder is whole.
 *
 * With the view "ext4", names are kept by a journal: they survive in order, and a sync of anything keeps all before it.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { crc32 } from "node:zlib"
import type { Random } from "../random.ts"
import type { Step } from "./trace.ts"

export const sectorBytes = 512

export type View = "posix" | "ext4"

interface Change {
  /** Index of the step. */
  readonly at: number
  /** Bytes from `offset`; a change of size has none. */
  readonly offset: number
  readonly data: Uint8Array
  /** Size of the file after it. */
  readonly size: number
}

interface File {
  readonly kind: "file"
  durable: Buffer
  durableBytes: number
  /** Size with all that has happened. */
  bytes: number
  pending: Array<Change>
}

interface Folder {
  readonly kind: "folder"
  readonly durable: Map<string, Node>
  readonly now: Map<string, Node>
}

type Node = File | Folder

/** Names that change as one: one name, or the two of a rename. */
interface Naming {
  readonly at: number
  parts: ReadonlyArray<{ readonly folder: Folder; readonly name: string; readonly node: Node | undefined }>
}

/** What survives: asked for each change, each sector of it, each size and each naming. */
export interface Fate {
  readonly name: string
  /** How much of a file's pending changes survives: per change, undefined for a torn one whose sectors are asked for one by one. */
  change(index: number, count: number): boolean | undefined
  sector(): boolean
  /** Which of `count` sizes, oldest (the durable one) first. */
  size(count: number): number
  /** Of a file's bytes that nothing was written to: zeros, or what somebody left there. */
  hasRubbish(): boolean
  naming(index: number, count: number): boolean
}

const none: Fate = { name: "nothing unsynced survives", change: () => false, sector: () => false, size: () => 0, hasRubbish: () => false, naming: () => false }
const all: Fate = { ...none, name: "everything survives", change: () => true, size: (count) => count - 1, naming: () => true }

/** The plain cases that need no luck, each a bug of its own that somebody has had. */
export const plainFates: ReadonlyArray<Fate> = [
  none,
  all,
  { ...none, name: "only bytes survive, neither sizes nor names", change: () => true },
  { ...none, name: "only names survive", naming: () => true },
  { ...all, name: "all but the names survive", naming: () => false },
  { ...none, name: "names and sizes survive, without bytes", size: (count) => count - 1, naming: () => true },
  { ...all, name: "all but the oldest change of each file survives", change: (index) => index > 0 },
  { ...all, name: "only the newest change of each file survives", change: (index, count) => index === count - 1 },
  { ...all, name: "all but the newest change of each file survives", change: (index, count) => index < count - 1 },
]

/** Every choice by chance; how likely survival is, is chosen once, so that states near "nothing" and near "everything" come up too. */
export function randomFate(random: Random): Fate {
  const likely = [5, 30, 50, 70, 95][random(5)] as number
  const torn = [0, 20, 60][random(3)] as number
  const isRubbish = random(4) === 0
  const survives = (): boolean => random(100) < likely
  return {
    name: `each survives with ${likely} %, torn with ${torn} %${isRubbish ? ", rubbish in holes" : ""}`,
    change: () => (random(100) < torn ? undefined : survives()),
    sector: survives,
    size: (count) => (survives() ? count - 1 : random(count)),
    hasRubbish: () => isRubbish,
    naming: survives,
  }
}

export class Disk {
  readonly #view: View
  readonly #root: Folder = { kind: "folder", durable: new Map(), now: new Map() }
  readonly #byInode = new Map<bigint, Node>()
  readonly #syncs = new Map<string, number>()
  readonly #isIgnored: (path: string) => boolean
  #namings: Array<Naming> = []
  #at = 0

  /** `initial`: what was there, and synced, before the first step. `isIgnored`: files that no state has, since their owner makes them anew. */
  constructor(view: View, initial: ReadonlyArray<Initial>, isIgnored: (path: string) => boolean) {
    this.#view = view
    this.#isIgnored = isIgnored
    for (const { path, inode, data } of initial) {
      const node: Node =
        data === undefined
          ? path === ""
            ? this.#root
            : { kind: "folder", durable: new Map(), now: new Map() }
          : { kind: "file", durable: Buffer.from(data), durableBytes: data.length, bytes: data.length, pending: [] }
      this.#byInode.set(inode, node)
      if (path === "" || isIgnored(path)) continue
      const { folder, name } = this.#parent(path)
      folder.now.set(name, node)
      folder.durable.set(name, node)
    }
  }

  #parent(path: string): { readonly folder: Folder; readonly name: string } {
    const parts = path.split("/")
    const name = parts.pop() as string
    let folder = this.#root
    for (const part of parts) {
      const next = folder.now.get(part)
      if (next?.kind !== "folder") throw new Error(`Cannot follow the trace: "${path}" is in no folder that it made`)
      folder = next
    }
    return { folder, name }
  }

  #name(...changes: ReadonlyArray<readonly [path: string, node: Node | undefined]>): void {
    const parts = changes.map(([path, node]) => ({ ...this.#parent(path), node }))
    for (const { folder, name, node } of parts) {
      if (node === undefined) folder.now.delete(name)
      else folder.now.set(name, node)
    }
    this.#namings.push({ at: this.#at, parts })
  }

  #file(inode: bigint): File | undefined {
    const node = this.#byInode.get(inode)
    return node?.kind === "file" ? node : undefined
  }

  /** Takes the next step of the trace. */
  take(step: Step): void {
    this.#at++
    switch (step.kind) {
      case "create":
      case "folder": {
        const node: Node =
          step.kind === "create"
            ? { kind: "file", durable: Buffer.alloc(0), durableBytes: 0, bytes: 0, pending: [] }
            : { kind: "folder", durable: new Map(), now: new Map() }
        // An inode whose file is gone may come again.
        this.#byInode.set(step.inode, node)
        if (!this.#isIgnored(step.path)) this.#name([step.path, node])
        return
      }
      case "link":
        return this.#name([step.path, this.#byInode.get(step.inode)])
      case "rename": {
        const { folder, name } = this.#parent(step.from)
        return this.#name([step.from, undefined], [step.to, folder.now.get(name)])
      }
      case "unlink":
        if (!this.#isIgnored(step.path)) this.#name([step.path, undefined])
        return
      case "write": {
        const file = this.#file(step.inode)
        if (file === undefined) return
        file.bytes = Math.max(file.bytes, step.offset + step.data.length)
        const change: Change = { at: this.#at, offset: step.offset, data: step.data, size: file.bytes }
        file.pending.push(change)
        if (step.isSynced) keep(file, this.#at)
        return
      }
      case "size": {
        const file = this.#file(step.inode)
        if (file === undefined) return
        // Cut off: what was beyond is zeros when the file grows again.
        const data = new Uint8Array(Math.max(0, file.bytes - step.size))
        file.bytes = step.size
        file.pending.push({ at: this.#at, offset: step.size, data, size: step.size })
        return
      }
      case "sync":
        this.#syncs.set(step.sync, this.#at)
        return
      case "synced": {
        const before = this.#syncs.get(step.sync) as number
        const node = this.#byInode.get(step.inode)
        if (node?.kind === "file") keep(node, before)
        for (const naming of this.#namings) {
          if (naming.at > before) break
          const isKept = ({ folder }: Naming["parts"][number]): boolean => this.#view === "ext4" || folder === node
          for (const { folder, name, node: named } of naming.parts.filter(isKept)) setName(folder.durable, name, named)
          naming.parts = naming.parts.filter((part) => !isKept(part))
        }
        this.#namings = this.#namings.filter(({ parts }) => parts.length > 0)
        return
      }
      case "note":
        return
      case "unknown":
        if (!this.#isIgnored(step.path)) throw new Error(`Cannot judge the program: it used ${step.detail} on "${step.path}"`)
    }
  }

  /** How many changes and namings could be lost now. */
  get pending(): number {
    let count = this.#namings.length
    for (const node of this.#byInode.values()) if (node.kind === "file") count += node.pending.length
    return count
  }

  /** Puts a state that a loss of power could leave now into an empty folder; answers a sum of it. */
  write(to: string, fate: Fate, random: Random): number {
    const names = new Map<Folder, Map<string, Node>>()
    const namesOf = (folder: Folder): Map<string, Node> => {
      let found = names.get(folder)
      if (found === undefined) {
        found = new Map(folder.durable)
        names.set(folder, found)
      }
      return found
    }
    // A journal keeps an unbroken beginning: the first that does not survive ends it.
    let isOver = false
    for (const [index, { parts }] of this.#namings.entries()) {
      const survives = fate.naming(index, this.#namings.length)
      isOver ||= this.#view === "ext4" && !survives
      if (survives && !isOver) for (const { folder, name, node } of parts) setName(namesOf(folder), name, node)
    }
    let sum = 0
    const put = (folder: Folder, path: string): void => {
      for (const [name, node] of [...namesOf(folder)].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
        const target = join(path, name)
        sum = crc32(target.slice(to.length), sum)
        if (node.kind === "folder") {
          mkdirSync(target)
          put(node, target)
        } else {
          const data = survivorOf(node, fate, random)
          sum = crc32(data, sum)
          writeFileSync(target, data, { mode: 0o600 })
        }
      }
    }
    put(this.#root, to)
    return sum
  }
}

/** Something that was there before. */
export interface Initial {
  readonly path: string
  readonly inode: bigint
  /** Absent for a folder. */
  readonly data?: Uint8Array
}

function setName(names: Map<string, Node>, name: string, node: Node | undefined): void {
  if (node === undefined) names.delete(name)
  else names.set(name, node)
}

/** Makes everything up to step `before` durable. */
function keep(file: File, before: number): void {
  const kept = file.pending.filter(({ at }) => at <= before)
  for (const { offset, data, size } of kept) {
    const end = Math.max(size, offset + data.length)
    if (end > file.durable.length) {
      const grown = Buffer.alloc(end * 2)
      file.durable.copy(grown)
      file.durable = grown
    }
    file.durable.set(data, offset)
    file.durableBytes = size
  }
  file.pending = file.pending.slice(kept.length)
}

/** A file's bytes as they survive. */
function survivorOf(file: File, fate: Fate, random: Random): Buffer {
  const { durable, durableBytes, pending } = file
  if (pending.length === 0) return durable.subarray(0, durableBytes)
  const sizes = [durableBytes, ...pending.map(({ size }) => size)]
  const bytes = sizes[fate.size(sizes.length)] as number
  const most = Math.max(...sizes, ...pending.map(({ offset, data }) => offset + data.length))
  // As the program saw it, and what of that reached the disk: a sector survives as it was after some change of it.
  const seen = Buffer.alloc(Math.ceil(most / sectorBytes) * sectorBytes)
  durable.copy(seen, 0, 0, Math.min(durable.length, seen.length))
  const disk = Buffer.from(seen)
  if (fate.hasRubbish()) for (let at = Math.ceil(durableBytes / sectorBytes) * sectorBytes; at < disk.length; at++) disk[at] = random(256)
  for (const [index, { offset, data }] of pending.entries()) {
    seen.set(data, offset)
    const whole = fate.change(index, pending.length)
    if (whole === false) continue
    for (let sector = Math.floor(offset / sectorBytes); sector * sectorBytes < offset + data.length; sector++)
      if (whole ?? fate.sector()) seen.copy(disk, sector * sectorBytes, sector * sectorBytes, (sector + 1) * sectorBytes)
  }
  const found = Buffer.alloc(bytes)
  disk.copy(found)
  return found
}
