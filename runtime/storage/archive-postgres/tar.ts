/** A base backup's tar (POSIX ustar, as PostgreSQL writes it) unpacked into a folder that is there and empty. Nothing outside of it is touched, whatever the tar says. */
import type { FileHandle } from "node:fs/promises"

const { chown, mkdir, open } = process.getBuiltinModule("node:fs/promises")
const { join } = process.getBuiltinModule("node:path")

const blockBytes = 512

/** Who shall have what is made; undefined: whoever runs this. */
export type Owner = { readonly uid: number; readonly gid: number } | undefined

export interface TarOptions {
  readonly folder: string
  readonly owner: Owner
  /** The error for what is no tar of a base backup. */
  readonly damaged: (detail: string) => Error
}

interface Entry {
  readonly path: string
  readonly type: "file" | "folder"
  readonly bytes: number
  readonly isGroups: boolean
}

/** A number in octal digits or, above what these hold, in 256s (GNU). */
function numberIn(block: Buffer, from: number, length: number): number {
  if (((block[from] as number) & 0x80) !== 0) return block.subarray(from + 1, from + length).reduce((sum, byte) => sum * 256 + byte, 0)
  const text = block.toString("latin1", from, from + length).replace(/[\0 ].*$/s, "")
  return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN
}

const textIn = (block: Buffer, from: number, length: number): string => block.toString("utf8", from, from + length).replace(/\0.*$/s, "")

function entryOf(block: Buffer, damaged: TarOptions["damaged"]): Entry {
  let sum = 0
  for (let i = 0; i < blockBytes; i++) sum += i >= 148 && i < 156 ? 32 : (block[i] as number)
  if (sum !== numberIn(block, 148, 8)) throw damaged("a file's head in it is not as it was written")
  const [prefix, name] = [textIn(block, 345, 155), textIn(block, 0, 100)]
  const path = (prefix === "" ? name : `${prefix}/${name}`).replace(/^(\.\/)+/, "").replace(/\/+$/, "")
  const [mode, bytes] = [numberIn(block, 100, 8), numberIn(block, 124, 12)]
  const type = { "0": "file", "\0": "file", "5": "folder" } as const
  const found = type[String.fromCharCode(block[156] as number) as keyof typeof type]
  if (found === undefined) throw damaged(`"${path}" in it is neither a file nor a folder`)
  if (!Number.isSafeInteger(bytes) || bytes < 0) throw damaged(`"${path}" in it has no size`)
  if (path.startsWith("/") || path.split("/").some((part) => part === ".." || (part === "" && path !== "") || part.includes("\\")))
    throw damaged(`"${path}" in it would lie outside of the folder`)
  return { path, type: found, bytes: found === "file" ? bytes : 0, isGroups: (mode & 0o040) !== 0 }
}

/** Takes exact counts of bytes from parts of any length. */
class Parts {
  readonly #parts: AsyncIterator<Uint8Array>
  #rest: Uint8Array = new Uint8Array()

  constructor(parts: AsyncIterable<Uint8Array>) {
    this.#parts = parts[Symbol.asyncIterator]()
  }

  /** At most `max` bytes; undefined at the end. */
  async some(max: number): Promise<Uint8Array | undefined> {
    while (this.#rest.length === 0) {
      const next = await this.#parts.next()
      if (next.done === true) return undefined
      this.#rest = next.value
    }
    const taken = this.#rest.subarray(0, max)
    this.#rest = this.#rest.subarray(taken.length)
    return taken
  }

  async exactly(count: number): Promise<Buffer | undefined> {
    const parts: Array<Uint8Array> = []
    for (let left = count; left > 0;) {
      const part = await this.some(left)
      if (part === undefined) return undefined
      parts.push(part)
      left -= part.length
    }
    return Buffer.concat(parts)
  }
}

/** Reads all of `parts`, also what follows the last file. */
export async function unpack(parts: AsyncIterable<Uint8Array>, { folder, owner, damaged }: TarOptions): Promise<void> {
  const from = new Parts(parts)
  for (;;) {
    const block = await from.exactly(blockBytes)
    if (block === undefined || block.every((byte) => byte === 0)) break
    const { path, type, bytes, isGroups } = entryOf(block, damaged)
    const whole = join(folder, path)
    if (type === "folder") {
      if (path === "") continue
      await mkdir(whole, { mode: isGroups ? 0o750 : 0o700 })
      if (owner !== undefined) await chown(whole, owner.uid, owner.gid)
      continue
    }
    const file = await open(whole, "wx", isGroups ? 0o640 : 0o600)
    try {
      await fill(file, from, bytes, () => damaged("it ends within a file"))
      if (owner !== undefined) await file.chown(owner.uid, owner.gid)
    } finally {
      await file.close()
    }
    if (bytes % blockBytes > 0 && (await from.exactly(blockBytes - (bytes % blockBytes))) === undefined) throw damaged("it ends within a file")
  }
  while ((await from.some(1 << 20)) !== undefined);
}

async function fill(file: FileHandle, from: Parts, bytes: number, damaged: () => Error): Promise<void> {
  for (let left = bytes; left > 0;) {
    const part = await from.some(left)
    if (part === undefined) throw damaged()
    for (let done = 0; done < part.length;) done += (await file.write(part, done)).bytesWritten
    left -= part.length
  }
}
