/**
 * A store in PGlite: PostgreSQL compiled to WebAssembly, in a thread of this process, on a folder or in memory. The tables, policies and code are
 * those of a server, so it is for tests and for trying out. It syncs nothing: after a loss of power anything may be gone.
 */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { StoreLimitOptions, StoreLimits } from "../../port/limits.ts"
import type { SqlTransaction } from "../../port/sql.ts"
import type { Answers, BatchResults, Finding, Operation, Question } from "../../port/store.ts"
import type { MigrationTarget } from "../../service/migrate.ts"
import { Bridge } from "../bridge.ts"
import { copyOf } from "../operation.ts"
import type { SqlStore } from "../sql-client.ts"
import type { PostgresInfo } from "../postgres/reader.ts"
import { copied, postgresLimitsFrom } from "../postgres/store.ts"
import { addressOf } from "./cluster.ts"
import { beginOver } from "../postgres/sql-transaction.ts"
import type { Opening } from "./worker.ts"

const { resolve } = process.getBuiltinModule("node:path")
const { Worker: Thread } = process.getBuiltinModule("node:worker_threads")

export interface PgliteOptions extends StoreLimitOptions {
  /** URL of the package `@electric-sql/pglite`, where it is not found by its name. */
  readonly driver?: string
  /** Batches that may wait; the next is refused. Default 10,000. */
  readonly pendingMax?: number
}

const pendingMaxDefault = 10_000
/** How long the thread may be silent before a blocked caller gives up, in ms: longer than a statement may take. */
const silenceMsMax = 90_000

export class PgliteStore implements SqlStore {
  readonly name: string
  readonly limits: StoreLimits
  readonly #bridge: Bridge
  readonly #listeners = new Set<() => void>()
  #closed: Promise<void> | undefined

  private constructor(path: string | undefined, limits: StoreLimits, driver: string | undefined, pendingMax: number) {
    const address = addressOf(path)
    this.name = address.name
    this.limits = limits
    this.#bridge = new Bridge(this.name, silenceMsMax, (line) => {
      const opening: Opening = { kind: "stele-pglite", address, path, driver, limits, pendingMax, line }
      // Neither flags nor hooks of the application have business in this thread.
      return new Thread(new URL("./worker.ts", import.meta.url), { workerData: opening, transferList: [line.port], execArgv: [], name: "stele-pglite" })
    })
  }

  /**
   * Opens a folder, which is made and set up when it is not there, or a store in memory. One process has it at a time.
   * @throws ConfigError for limits; StorageError `Driver` where `@electric-sql/pglite` is not installed, `Busy`, `Foreign`, `Older`, `Newer`, `Unreachable`
   */
  static async open(path: string | undefined, { driver, pendingMax = pendingMaxDefault, ...limits }: PgliteOptions = {}): Promise<PgliteStore> {
    const store = new PgliteStore(path === undefined ? undefined : resolve(path), postgresLimitsFrom(limits), driver, pendingMax)
    try {
      await store.#bridge.ask("open", undefined)
    } catch (error) {
      await store.close()
      throw error
    }
    return store
  }

  async apply<const B extends ReadonlyArray<Operation>>(batch: B): Promise<BatchResults<B>> {
    const [first] = batch
    if (first?.op === "fence" && batch.length === 1) return [await this.#open().ask("fence", first.fence)] as unknown as BatchResults<B>
    const answers = await this.#open().ask("apply", batch.map(copyOf))
    this.#committed()
    return answers as BatchResults<B>
  }

  applySync<const B extends ReadonlyArray<Operation>>(batch: B): BatchResults<B> {
    const answers = this.#open().askSync("applySync", batch.map(copyOf))
    this.#committed()
    return answers as BatchResults<B>
  }

  async ask<Q extends Question>(question: Q): Promise<Answers[Q["ask"]]> {
    return (await this.#open().ask("ask", copied(question))) as Answers[Q["ask"]]
  }

  askSync<Q extends Question>(question: Q): Answers[Q["ask"]] {
    return this.#open().askSync("askSync", copied(question)) as Answers[Q["ask"]]
  }

  /** What the store holds, in numbers. */
  async info(): Promise<PostgresInfo> {
    return (await this.#open().ask("info", undefined)) as PostgresInfo
  }

  async check(): Promise<ReadonlyArray<Finding>> {
    return (await this.#open().ask("check", undefined)) as ReadonlyArray<Finding>
  }

  /**
   * Begins a transaction that other writes of the tenant wait for, the host's own by default. It ends by itself after
   * `sql.transactionMsMax`, and when a call of this thread blocks it.
   * @throws as `apply`
   */
  async transaction(tenant?: Uint8Array): Promise<SqlTransaction> {
    const { commit, ...rest } = await beginOver(this.#open(), tenant)
    return {
      ...rest,
      commit: async () => {
        await commit()
        this.#committed()
      },
    }
  }

  /** Where services' tables are migrated: a folder has no owner apart from the process that has it. */
  migrationTarget(service: string): MigrationTarget {
    return {
      name: this.name,
      dialect: "postgres",
      batch: async (statements, shared = []) => void (await this.#open().ask("migrate", { service, statements, shared })),
      rows: async (text) => (await this.#open().ask("migrated", { service, text })) as ReadonlyArray<Readonly<Record<string, unknown>>>,
    }
  }

  onCommit(listener: () => void): () => void {
    const own = (): void => listener()
    this.#listeners.add(own)
    return () => void this.#listeners.delete(own)
  }

  #committed(): void {
    for (const listener of this.#listeners) queueMicrotask(listener)
  }

  #open(): Bridge {
    if (this.#closed !== undefined) throw new StorageError("Closed", { store: this.name })
    return this.#bridge
  }

  close(): Promise<void> {
    this.#closed ??= this.#bridge.close()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
