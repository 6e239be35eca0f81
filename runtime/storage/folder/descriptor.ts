/**
 * An open file, read and written off this thread at places that are named. A `FileHandle` that somebody forgets ends the process
 * when it is collected; this one is closed then.
 */
const fs = process.getBuiltinModule("node:fs")

const forgotten = new FinalizationRegistry<number>((file) => fs.close(file, () => undefined))

type Done<A> = (error: Error | null, answer: A) => void
const promised = <A>(run: (done: Done<A>) => void): Promise<A> =>
  new Promise((resolve, reject) => run((error, answer) => (error === null || error === undefined ? resolve(answer) : reject(error))))

export class Descriptor {
  readonly #file: number
  #isClosed = false

  private constructor(file: number) {
    this.#file = file
    forgotten.register(this, file, this)
  }

  static async open(path: string, flags: "r" | "wx"): Promise<Descriptor> {
    return new Descriptor(await promised<number>((done) => fs.open(path, flags, 0o600, done)))
  }

  async size(): Promise<number> {
    return (await promised<{ readonly size: number }>((done) => fs.fstat(this.#file, done))).size
  }

  /** Fewer bytes where the file ends. */
  async readAt(start: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(length)
    let filled = 0
    while (filled < length) {
      const count = await promised<number>((done) => fs.read(this.#file, bytes, filled, length - filled, start + filled, done))
      if (count === 0) break
      filled += count
    }
    return bytes.subarray(0, filled)
  }

  async writeAt(bytes: Uint8Array, start: number): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const at = done
      done += await promised<number>((answer) => fs.write(this.#file, bytes, at, bytes.length - at, start + at, answer))
    }
  }

  datasync(): Promise<void> {
    return promised((done) => fs.fdatasync(this.#file, (error) => done(error, undefined)))
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    forgotten.unregister(this)
    await promised<void>((done) => fs.close(this.#file, (error) => done(error ?? null, undefined)))
  }
}
