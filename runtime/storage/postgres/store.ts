/**
 * A store in a PostgreSQL database that others use at the same time. Writes are made by the thread of `worker.ts`, but sets that are awaited
 * (`direct.ts`); those and reads that are awaited go over sessions of the calling thread, what guests ask over the thread's.
 */
import { ConfigError } from "../../../schemas/error/config.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { type StoreLimitOptions, type StoreLimits, storeLimitsFrom } from "../../port/limits.ts"
import type { SqlTransaction } from "../../port/sql.ts"
import type { Answers, BatchResults, Finding, Operation, Question } from "../../port/store.ts"
import { Bridge } from "../bridge.ts"
import { copyOf } from "../operation.ts"
import type { SqlStore } from "../sql-client.ts"
import { parseAddress, passwordOf, workerPasswordOf } from "./address.ts"
import { Asker } from "./asker.ts"
import { Hints } from "./hints.ts"
import type { ConnectionSettings } from "./connection.ts"
import { Direct } from "./direct.ts"
import { Pool } from "./pool.ts"
import { isOfAll, Overseer } from "./overseer.ts"
import { serviceRole, workerRole } from "./schema.ts"
import { checkService } from "./session.ts"
import { beginOver } from "./sql-transaction.ts"
import type { Opening } from "./worker.ts"

const { Worker: Thread } = process.getBuiltinModule("node:worker_threads")

export interface PostgresOptions extends StoreLimitOptions {
  /** Default: that of the environment, see `passwordOf`. */
  readonly password?: string
  /** An address for what concerns all tenants: `check`, and questions that name none. Guests' ports do not reach it. */
  readonly worker?: string
  /** Its password. Default: that of the environment, see `workerPasswordOf`, or the service's. */
  readonly workerPassword?: string
  /** Sessions of the thread that writes, and as many of the calling thread. Default 8. */
  readonly connectionsMax?: number
  /** Batches that may wait; the next is refused. Default 10,000. */
  readonly pendingMax?: number
  /**
   * Tell other processes that something was committed, and hear it of them, over a session more: who watches need not wait for the next look. That
   * somebody committed is all that is said. Default true.
   */
  readonly hints?: boolean
}

const connectionsMaxDefault = 8
const pendingMaxDefault = 10_000
/** How long the thread may be silent before a blocked caller gives up, in ms: longer than it asks what became of a commit. */
const silenceMsMax = 90_000
/** A row of an index holds at most 2,704 bytes, and a key's begins with its tenant. */
const keyBytesMost = 2_600

/** Nobody elsewhere waits for these: workers that look for jobs would wake each other. */
const unheard: ReadonlySet<Operation["op"]> = new Set(["lease", "extend", "require"])

/** A question whose bytes are its own: a view would send all of the buffer below it. */
export function copied<Q extends Question>(question: Q): Q {
  const copy: Record<string, unknown> = { ...question }
  for (const name in copy) if (copy[name] instanceof Uint8Array) copy[name] = new Uint8Array(copy[name])
  return copy as unknown as Q
}

/** @throws ConfigError for keys that no index of the server takes */
export function postgresLimitsFrom(options: StoreLimitOptions): StoreLimits {
  const limits = storeLimitsFrom(options)
  for (const [option, most] of [
    ["keyValue.keyBytesMax", limits.keyValue.keyBytesMax],
    ["event.topicBytesMax", limits.event.topicBytesMax],
    ["log.nameBytesMax", limits.log.nameBytesMax],
    ["blob.keyBytesMax", limits.blob.keyBytesMax],
    ["queue.nameBytesMax", limits.queue.nameBytesMax],
    // Beside the tenant's name, of at most 512 bytes.
    ["queue.keyBytesMax", limits.queue.keyBytesMax + 550],
  ] as const)
    if (most > keyBytesMost) throw new ConfigError("Option", { option, expected: `at most ${keyBytesMost} bytes`, actual: String(most) })
  return limits
}

export class PostgresStore implements SqlStore {
  readonly name: string
  readonly limits: StoreLimits
  readonly #bridge: Bridge
  readonly #pool: Pool
  readonly #asker: Asker
  readonly #direct: Direct
  /** For what concerns all tenants. */
  readonly #overseer: Overseer | undefined
  readonly #listeners = new Set<() => void>()
  readonly #hints: Hints | undefined
  #closed: Promise<void> | undefined

  private constructor(
    settings: ConnectionSettings,
    worker: ConnectionSettings | undefined,
    limits: StoreLimits,
    connectionsMax: number,
    pendingMax: number,
    hints: boolean,
  ) {
    const { address, password } = settings
    this.name = address.name
    this.limits = limits
    this.#bridge = new Bridge(this.name, silenceMsMax, (line) => {
      const opening: Opening = { kind: "stele-postgres", settings: { address, password }, worker, limits, connectionsMax, pendingMax, line }
      // Neither flags nor hooks of the application have business in this thread.
      return new Thread(new URL("./worker.ts", import.meta.url), { workerData: opening, transferList: [line.port], execArgv: [], name: "stele-postgres" })
    })
    this.#pool = new Pool(settings, connectionsMax, (connection) => checkService(connection, address))
    this.#asker = new Asker(this.#pool, limits)
    this.#direct = new Direct(this.#pool, this.#bridge, limits, pendingMax)
    this.#overseer = worker === undefined ? undefined : Overseer.of(worker, limits)
    this.#hints = hints ? new Hints(settings, () => this.#wake()) : undefined
  }

  /**
   * Opens a store that `migratePostgres` has set up.
   * @throws StorageError `Address`, `PasswordShown`, `Unreachable`, `Login`, `NoDatabase`, `Server`, `Older`, `Newer`, `Role`
   */
  static async open(
    address: string,
    { password, worker, workerPassword, connectionsMax = connectionsMaxDefault, pendingMax = pendingMaxDefault, hints = true, ...limits }: PostgresOptions = {},
  ): Promise<PostgresStore> {
    const parsed = parseAddress(address)
    const settings = { address: parsed, password: password ?? passwordOf(parsed) }
    const seeing = worker === undefined ? undefined : parseAddress(worker)
    const overseer = seeing === undefined ? undefined : { address: seeing, password: workerPassword ?? workerPasswordOf(seeing) ?? settings.password }
    const store = new PostgresStore(settings, overseer, postgresLimitsFrom(limits), connectionsMax, pendingMax, hints)
    try {
      await store.#bridge.ask("open", undefined)
    } catch (error) {
      await store.close()
      throw error
    }
    return store
  }

  /** In one transaction with whatever else waits for the tenant. */
  async apply<const B extends ReadonlyArray<Operation>>(batch: B): Promise<BatchResults<B>> {
    const [first] = batch
    if (first?.op === "fence" && batch.length === 1) {
      this.#open()
      await this.#overseeing("fence").fence(first.fence)
      return [undefined] as unknown as BatchResults<B>
    }
    this.#open()
    const answers = await this.#direct.apply(batch.map(copyOf))
    this.#committed(batch)
    return answers as BatchResults<B>
  }

  applySync<const B extends ReadonlyArray<Operation>>(batch: B): BatchResults<B> {
    this.#open()
    const answers = this.#direct.applySync(batch.map(copyOf))
    this.#committed(batch)
    return answers as BatchResults<B>
  }

  async ask<Q extends Question>(question: Q): Promise<Answers[Q["ask"]]> {
    this.#open()
    if (isOfAll(question)) return (await this.#overseeing(question.ask).ask(question)) as Answers[Q["ask"]]
    return (await this.#asker.ask(copied(question))) as Answers[Q["ask"]]
  }

  askSync<Q extends Question>(question: Q): Answers[Q["ask"]] {
    return this.#open().askSync("askSync", copied(question)) as Answers[Q["ask"]]
  }

  async check(): Promise<ReadonlyArray<Finding>> {
    this.#open()
    return await this.#overseeing("check").check()
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
        this.#told()
      },
    }
  }

  onCommit(listener: () => void): () => void {
    const own = (): void => listener()
    this.#listeners.add(own)
    this.#hints?.listen()
    return () => void this.#listeners.delete(own)
  }

  #committed(batch: ReadonlyArray<Operation>): void {
    if (batch.every(({ op }) => unheard.has(op))) this.#wake()
    else this.#told()
  }

  /** Something was committed that others may wait for, here and elsewhere. */
  #told(): void {
    this.#wake()
    this.#hints?.committed()
  }

  #wake(): void {
    for (const listener of this.#listeners) queueMicrotask(listener)
  }

  /** @throws StorageError `Role` */
  #overseeing(what: string): Overseer {
    if (this.#overseer !== undefined) return this.#overseer
    const detail = `"${what}" concerns all tenants, and the store was opened for one at a time`
    throw new StorageError("Role", { store: this.name, role: serviceRole, detail, wanted: workerRole })
  }

  #open(): Bridge {
    if (this.#closed !== undefined) throw new StorageError("Closed", { store: this.name })
    return this.#bridge
  }

  close(): Promise<void> {
    this.#closed ??= (async () => {
      this.#asker.close()
      await this.#direct.close()
      await Promise.all([this.#bridge.close(), this.#pool.close(), this.#overseer?.close(), this.#hints?.close()])
    })()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
