/**
 * A store that keeps a SQLite file for each tenant in a folder: reads by connections of the calling thread, writes by a few threads that share the
 * tenants among them. Erasing a tenant is removing a file. `docs/adr/0021-file-per-tenant.md` says why it is built so.
 */
import { ConfigError } from "../../../schemas/error/config.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Fence, FenceOperation } from "../../port/fence.ts"
import { type StoreLimitOptions, type StoreLimits, storeLimitsFrom } from "../../port/limits.ts"
import type { Answers, BatchResults, Finding, Operation, Question, Store } from "../../port/store.ts"
import { Bridge } from "../bridge.ts"
import { type ClockBase, clockBase, clockFrom } from "../clock.ts"
import { checkWhole, copyOf } from "../operation.ts"
import { busyMsMax } from "../sqlite/database.ts"
import { nameOf } from "./control.ts"
import { checkTenant, TenantReaders } from "./readers.ts"
import { sharedTotals } from "./total.ts"
import type { Opening } from "./worker.ts"

const { resolve } = process.getBuiltinModule("node:path")
const { Worker: Thread } = process.getBuiltinModule("node:worker_threads")

export interface TenantFilesOptions extends StoreLimitOptions {
  /** Go on without tenants and commits that were acknowledged and are gone, and with files that the catalogue does not know. Default false. */
  readonly acceptLoss?: boolean
  /** Batches that may wait for the disk; the next is refused. Default 10,000. */
  readonly pendingMax?: number
  /** Threads that write, 1 to 16. Default 4; each is started when a tenant of its has something to write. */
  readonly threadsMax?: number
  /** Tenants' files that are open for writing at once (at least one a thread), and as many for reading, 1 to 4,096; three file descriptors each. Default 64. */
  readonly openMax?: number
  /** From when on a file that nobody writes to is closed, ms, at least 1. Default 30,000. */
  readonly idleMs?: number
}

const defaults = { pendingMax: 10_000, threadsMax: 4, openMax: 64, idleMs: 30_000 }
/** How long a thread may be silent before a blocked caller gives up, in ms: longer than it waits for another process. */
const silenceMsMax = busyMsMax + 25_000

interface Writing {
  readonly bridge: Bridge
  readonly opened: Promise<unknown>
  isOpen: boolean
}

const textOf = (tenant: Uint8Array): string => Buffer.from(tenant.buffer, tenant.byteOffset, tenant.length).toString()

/** Whose an operation is. Throws `StorageError` `Unsupported` for those of all tenants. */
function tenantsOf(store: string, operation: Operation): ReadonlyArray<Uint8Array> {
  if ("leases" in operation) return operation.leases.map(({ tenant }) => tenant)
  if (!("tenant" in operation) || operation.tenant === undefined) throw new StorageError("Unsupported", { store, asked: operation.op })
  return [operation.tenant]
}

function fenceIn(batch: ReadonlyArray<Operation>): FenceOperation | undefined {
  const [first] = batch
  if (first?.op !== "fence" || batch.length !== 1) return undefined
  const { fence } = first
  if (fence !== undefined && (typeof fence.to !== "string" || (fence.state !== "moving" && fence.state !== "moved")))
    throw new ConfigError("Option", { option: "fence", expected: "a store and a state", actual: "something else" })
  return first
}

export class TenantFilesStore implements Store {
  readonly name: string
  readonly folder: string
  readonly limits: StoreLimits
  readonly #options: typeof defaults
  readonly #base: ClockBase = clockBase()
  readonly #totals = sharedTotals()
  readonly #openCount = new SharedArrayBuffer(4)
  readonly #writing: Array<Writing | undefined> = []
  readonly #listeners = new Set<() => void>()
  #readers: TenantReaders | undefined
  #refusal: StorageError | undefined
  #pending = 0
  #closed: Promise<void> | undefined

  private constructor(folder: string, options: typeof defaults, limits: StoreLimits) {
    this.folder = folder
    this.name = nameOf(folder)
    this.limits = limits
    this.#options = options
  }

  /**
   * Opens a folder, which is made when it is not there.
   * @throws ConfigError; StorageError `Unreachable`, `Foreign`, `Newer`, `Busy`, `TenantFile` where there are files and no catalogue
   */
  static async open(folder: string, { acceptLoss = false, ...given }: TenantFilesOptions = {}): Promise<TenantFilesStore> {
    const { pendingMax = defaults.pendingMax, threadsMax = defaults.threadsMax, openMax = defaults.openMax, idleMs = defaults.idleMs, ...limits } = given
    checkWhole("pendingMax", pendingMax, 1)
    checkWhole("threadsMax", threadsMax, 1, 16)
    checkWhole("openMax", openMax, 1, 4_096)
    checkWhole("idleMs", idleMs, 1, 2 ** 31 - 1)
    const store = new TenantFilesStore(resolve(folder), { pendingMax, threadsMax, openMax, idleMs }, storeLimitsFrom(limits))
    try {
      const first = store.#start(0, acceptLoss)
      await first.opened
      store.#readers = new TenantReaders({
        folder: store.folder,
        store: store.name,
        clock: clockFrom(store.#base),
        limits: store.limits,
        openMax,
        isMigrating: true,
      })
      const [stray] = store.#readers.control.strays()
      if (stray !== undefined)
        store.#refusal = new StorageError("TenantFile", { store: store.name, file: stray, detail: "the catalogue of tenants does not know it" })
      return store
    } catch (error) {
      await store.close()
      throw error
    }
  }

  #start(index: number, acceptLoss = false): Writing {
    const { openMax, idleMs } = this.#options
    const options: Opening["options"] = {
      folder: this.folder,
      store: this.name,
      acceptLoss,
      limits: this.limits,
      openMax,
      idleMs,
      totals: this.#totals,
      openCount: this.#openCount,
    }
    const bridge = new Bridge(this.name, silenceMsMax, (line) => {
      const opening: Opening = { kind: "stele-tenants", options, clockBase: this.#base, isFirst: index === 0, line }
      // Neither flags nor hooks of the application have business in this thread.
      return new Thread(new URL("./worker.ts", import.meta.url), { workerData: opening, transferList: [line.port], execArgv: [], name: "stele-tenants" })
    })
    const opened = bridge.ask("open", undefined)
    const writing: Writing = { bridge, opened, isOpen: false }
    this.#writing[index] = writing
    opened.then(
      () => (writing.isOpen = true),
      () => {
        // The next who needs it starts it anew.
        if (this.#closed !== undefined || index === 0) return
        this.#writing[index] = undefined
        void bridge.close()
      },
    )
    return writing
  }

  /** A tenant's thread: the same each time, so that its batches share commits. Any other could write for it too. */
  #threadOf(tenant: Uint8Array): number {
    let mixed = 0x811c_9dc5
    for (const byte of tenant) mixed = Math.imul(mixed ^ byte, 0x0100_0193)
    return (mixed >>> 8) % this.#options.threadsMax
  }

  /** Why writes are refused, if they are: the store can still be read. */
  get refusal(): StorageError | undefined {
    return this.#refusal
  }

  get #first(): Bridge {
    return (this.#writing[0] as Writing).bridge
  }

  #check(): void {
    if (this.#closed !== undefined) throw new StorageError("Closed", { store: this.name })
  }

  /** Whose batch it is. @throws StorageError `Tenants`, `Tenant`, `Unsupported` and what refuses every write */
  #tenantOf(batch: ReadonlyArray<Operation>): Uint8Array {
    this.#check()
    if (this.#refusal !== undefined) throw this.#refusal
    if (this.#pending >= this.#options.pendingMax) throw new StorageError("Overloaded", { store: this.name, pendingMax: this.#options.pendingMax })
    const tenants = batch.flatMap((operation) => tenantsOf(this.name, operation))
    const [tenant = new Uint8Array(0)] = tenants
    if (tenants.some((each) => Buffer.compare(each, tenant) !== 0))
      throw new StorageError("Tenants", { store: this.name, tenants: [...new Set(tenants.map(textOf))] })
    checkTenant(this.name, tenant)
    return tenant
  }

  #committed(): void {
    for (const listener of this.#listeners) queueMicrotask(listener)
  }

  async apply<const B extends ReadonlyArray<Operation>>(batch: B): Promise<BatchResults<B>> {
    const copied = batch.map(copyOf)
    const fence = fenceIn(copied)
    if (fence !== undefined) return (await this.#fence(fence.fence)) as unknown as BatchResults<B>
    const tenant = this.#tenantOf(copied)
    this.#pending++
    try {
      if (copied.length === 0) await Promise.all(this.#writing.map((each) => each?.bridge.ask("sweep", undefined)))
      else {
        const index = this.#threadOf(tenant)
        const writing = this.#writing[index] ?? this.#start(index)
        if (!writing.isOpen) await writing.opened
        const answers = await writing.bridge.ask("apply", { tenant, batch: copied })
        this.#committed()
        return answers as BatchResults<B>
      }
      this.#committed()
      return [] as unknown as BatchResults<B>
    } finally {
      this.#pending--
    }
  }

  async #fence(fence: Fence | undefined): Promise<ReadonlyArray<undefined>> {
    this.#check()
    await this.#first.ask("fence", fence)
    return [undefined]
  }

  applySync<const B extends ReadonlyArray<Operation>>(batch: B): BatchResults<B> {
    const copied = batch.map(copyOf)
    const fence = fenceIn(copied)
    if (fence !== undefined) {
      this.#check()
      return [this.#first.askSync("fence", fence.fence)] as unknown as BatchResults<B>
    }
    const tenant = this.#tenantOf(copied)
    if (copied.length === 0) {
      this.#first.askSync("sweep", undefined)
      this.#committed()
      return [] as unknown as BatchResults<B>
    }
    // Who blocks this thread waits for none that may still need it to start.
    const writing = this.#writing[this.#threadOf(tenant)]
    const answers = (writing?.isOpen === true ? writing.bridge : this.#first).askSync("apply", { tenant, batch: copied })
    this.#committed()
    return answers as BatchResults<B>
  }

  get #reading(): TenantReaders {
    if (this.#closed !== undefined || this.#readers === undefined) throw new StorageError("Closed", { store: this.name })
    return this.#readers
  }

  async ask<Q extends Question>(question: Q): Promise<Answers[Q["ask"]]> {
    return await this.#reading.ask(question)
  }

  askSync<Q extends Question>(question: Q): Answers[Q["ask"]] {
    return this.#reading.askSync(question)
  }

  async check(): Promise<ReadonlyArray<Finding>> {
    return await this.#reading.check()
  }

  onCommit(listener: () => void): () => void {
    const own = (): void => listener()
    this.#listeners.add(own)
    return () => void this.#listeners.delete(own)
  }

  close(): Promise<void> {
    this.#closed ??= (async () => {
      // Before the writers: the last connection to a file takes its log into it.
      this.#readers?.close()
      await Promise.all(this.#writing.map((each) => each?.bridge.close()))
    })()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
