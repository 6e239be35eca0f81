/** A database file while it is restored: pages written where they belong, cut to the size that the last transaction gave it. */
import type { StorageError } from "../../../schemas/error/storage.ts"

const { closeSync, ftruncateSync, openSync, writeSync } = process.getBuiltinModule("node:fs")
const { DatabaseSync: Database } = process.getBuiltinModule("node:sqlite")

export class Staged implements Disposable {
  readonly #path: string
  readonly #file: number
  readonly #pageBytes: number
  #bytes = 0

  constructor(path: string, pageBytes: number) {
    this.#path = path
    this.#pageBytes = pageBytes
    this.#file = openSync(path, "wx+", 0o600)
  }

  #write(bytes: Uint8Array, at: number): void {
    for (let done = 0; done < bytes.length;) done += writeSync(this.#file, bytes, done, bytes.length - done, at + done)
  }

  /** More of the snapshot. */
  append(bytes: Uint8Array): void {
    this.#write(bytes, this.#bytes)
    this.#bytes += bytes.length
  }

  endSnapshot(pages: number, damaged: () => StorageError): void {
    if (this.#bytes !== pages * this.#pageBytes) throw damaged()
  }

  /** One page of a transaction; pages count from 1. */
  write(page: number, bytes: Uint8Array): void {
    this.#write(bytes, (page - 1) * this.#pageBytes)
  }

  commit(pages: number): void {
    this.#bytes = pages * this.#pageBytes
  }

  /** Number of the newest commit in what is there. */
  sequence(): number {
    this.end()
    const database = new Database(this.#path)
    try {
      return Number(database.prepare("SELECT max(sequence) AS newest FROM commit_group").get()?.["newest"] ?? 0)
    } finally {
      database.close()
    }
  }

  end(): void {
    ftruncateSync(this.#file, this.#bytes)
  }

  [Symbol.dispose](): void {
    closeSync(this.#file)
  }
}
