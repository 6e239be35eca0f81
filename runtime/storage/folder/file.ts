/** Objects in files of their own: reading parts of them, each proved, and making a folder's new entry durable. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Digest } from "../../port/object.ts"
import { type Footer, footerBytes, readFooter, Sums } from "../object/sums.ts"
import { Descriptor } from "./descriptor.ts"
import { promised } from "./promised.ts"

const { closeSync, fstatSync, openSync, readSync } = process.getBuiltinModule("node:fs")

const codeOf = (error: unknown): unknown => (error as { readonly code?: unknown }).code
export const isMissing = (error: unknown): boolean => codeOf(error) === "ENOENT"

/** Bytes that one read of a stream takes. */
export const pieceBytes = 1 << 20

/** What is the same for a file read with an event loop and without one: which bytes are wanted, and whether they are right. */
class Plan {
  readonly store: string
  readonly digest: Digest

  constructor(store: string, digest: Digest) {
    this.store = store
    this.digest = digest
  }

  damaged(detail: string): StorageError {
    return new StorageError("Damaged", { store: this.store, digest: this.digest, detail })
  }

  footer(bytes: Buffer, storedBytes: number, expectedBytes: number): Footer {
    const footer = readFooter(bytes, storedBytes)
    if (footer === undefined || footer.digest !== this.digest || footer.bytes !== expectedBytes)
      throw this.damaged("its file is cut short or its footer changed")
    return footer
  }

  sums(footer: Footer, bytes: Buffer): Sums {
    const sums = Sums.of(footer, bytes)
    if (sums === undefined) throw this.damaged("the sums in its file changed")
    return sums
  }

  piece(sums: Sums, piece: Buffer, start: number): Buffer {
    const at = sums.damageIn(piece, start)
    if (at !== undefined) throw this.damaged(`the ${sums.footer.chunkBytes} bytes from ${at} are not those that were written`)
    return piece
  }
}

function readAtBlocking(file: number, start: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  let filled = 0
  while (filled < length) {
    const count = readSync(file, bytes, filled, length - filled, start + filled)
    if (count === 0) break
    filled += count
  }
  return bytes.subarray(0, filled)
}

/** An open object; its file stays readable when it is removed or replaced meanwhile. */
export class ObjectFile implements AsyncDisposable {
  readonly #handle: Descriptor
  readonly #plan: Plan
  readonly #sums: Sums

  private constructor(handle: Descriptor, plan: Plan, sums: Sums) {
    this.#handle = handle
    this.#plan = plan
    this.#sums = sums
  }

  /** Throws `ENOENT` where there is no file, `StorageError` `Damaged` where it cannot be the object. */
  static async open(store: string, path: string, digest: Digest, bytes: number): Promise<ObjectFile> {
    const handle = await Descriptor.open(path, "r")
    try {
      const plan = new Plan(store, digest)
      const size = await handle.size()
      const footer = plan.footer(await handle.readAt(Math.max(0, size - footerBytes), footerBytes), size, bytes)
      return new ObjectFile(handle, plan, plan.sums(footer, await handle.readAt(bytes, footer.sumsBytes)))
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  get bytes(): number {
    return this.#sums.footer.bytes
  }

  /** Proved pieces of `start` to `end`, each of at most `pieceBytes`. */
  async *pieces(start: number, end: number): AsyncGenerator<Buffer, void, void> {
    if (start >= end) return
    const around = this.#sums.around(start, end)
    for (let at = around.start; at < around.end; at += pieceBytes) {
      const length = Math.min(pieceBytes, around.end - at)
      const piece = this.#plan.piece(this.#sums, await this.#handle.readAt(at, length), at)
      if (piece.length !== length) throw this.#plan.damaged("its file is cut short")
      yield piece.subarray(Math.max(0, start - at), Math.min(length, end - at))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close()
  }
}

/** `start` to `end` of a file, proved, on this thread. */
export function readBlocking(store: string, path: string, digest: Digest, bytes: number, start: number, end: number): Buffer {
  const file = openSync(path, "r")
  try {
    const plan = new Plan(store, digest)
    const { size } = fstatSync(file)
    const footer = plan.footer(readAtBlocking(file, Math.max(0, size - footerBytes), footerBytes), size, bytes)
    const sums = plan.sums(footer, readAtBlocking(file, bytes, footer.sumsBytes))
    if (start >= end) return Buffer.alloc(0)
    const around = sums.around(start, end)
    const found = plan.piece(sums, readAtBlocking(file, around.start, around.end - around.start), around.start)
    if (found.length !== around.end - around.start) throw plan.damaged("its file is cut short")
    return found.subarray(start - around.start, end - around.start)
  } finally {
    closeSync(file)
  }
}

/** Syncs of folders, shared: who asks while one runs gets the next, which begins after all that they have done. */
export class FolderSyncs {
  readonly #running = new Map<string, Promise<void>>()
  readonly #next = new Map<string, Promise<void>>()

  sync(path: string): Promise<void> {
    const waiting = this.#next.get(path)
    if (waiting !== undefined) return waiting
    const before = this.#running.get(path)
    if (before === undefined) return this.#run(path)
    const next = before
      .catch(() => undefined)
      .then(() => {
        this.#next.delete(path)
        return this.#run(path)
      })
    this.#next.set(path, next)
    return next
  }

  #run(path: string): Promise<void> {
    const run = (async () => {
      const handle = await promised().open(path, "r")
      try {
        await handle.sync()
      } finally {
        await handle.close()
      }
    })()
    this.#running.set(path, run)
    const end = (): void => {
      if (this.#running.get(path) === run) this.#running.delete(path)
    }
    run.then(end, end)
    return run
  }
}
