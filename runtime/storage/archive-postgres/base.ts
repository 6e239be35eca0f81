/** A base backup as the server sends it, put as one object while the log goes on over its own session. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Replication } from "../postgres/replication.ts"
import { type BaseHeader, baseName } from "./catalogue.ts"
import { lsnOf } from "./lsn.ts"

/** Puts an object whole. */
export type Put = (
  name: string,
  header: object,
  body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
) => Promise<{ readonly digest: string; readonly bytes: number }>

type Begun = Omit<BaseHeader, "kind" | "from">

export class BaseBackup {
  readonly generation: number
  /** Known once its first bytes have come. */
  header: BaseHeader | undefined
  /** Once it is put: where the log has to be replayed to, and its object. */
  made: { readonly to: number; readonly digest: string; readonly bytes: number } | undefined
  error: unknown
  readonly #done: Promise<void>
  #session: Replication | undefined
  #isClosed = false

  /** Begins at once. */
  constructor(begun: Begun, open: () => Promise<Replication>, put: Put) {
    this.generation = begun.generation
    this.#done = this.#take(begun, open, put).catch((error: unknown) => void (this.error = error))
  }

  async #take(begun: Begun, open: () => Promise<Replication>, put: Put): Promise<void> {
    using session = await open()
    this.#session = session
    if (this.#isClosed) return
    let from: number | undefined
    let to = ""
    const body = session.baseBackup(`stele ${begun.archive} ${begun.generation}`, (lsn) => (from = lsnOf(lsn)))
    const parts = async function* (): AsyncGenerator<Uint8Array, void> {
      to = yield* body
    }
    const whole = parts()
    // Where it begins is known before its first bytes, and stands in the header.
    const first = await whole.next()
    if (from === undefined || first.done === true) throw new StorageError("Unreachable", { store: begun.database, detail: "its base backup is empty" })
    this.header = { kind: "postgres-base", ...begun, from }
    const kept = await put(baseName(begun.generation), this.header, chained(first.value, whole))
    this.made = { ...kept, to: lsnOf(to) ?? 0 }
  }

  /** Gives it up, if it has not ended; what it says then is heard by nobody. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#session?.close()
    await this.#done
  }
}

async function* chained(first: Uint8Array, rest: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first
  yield* rest
}
