/**
 * What is committed in the files of all tenants, read on the thread that asks. A tenant's question goes to its file, of which as many are open as are allowed;
 * the catalogue is looked at each time, since another process may have erased the tenant and made another file for it. What concerns all tenants is put together from the files,
 * one after the other: not of one moment.
 */
import { StorageError } from "../../../schemas/error/storage.ts"
import { type StoreLimits, storeLimits } from "../../port/limits.ts"
import type { Answers, Finding, Question } from "../../port/store.ts"
import { clockBase, clockFrom, type StoreClock } from "../clock.ts"
import { format, migrateSqlite, openMemory } from "../sqlite/database.ts"
import { SqliteReader, type StoreInfo } from "../sqlite/reader.ts"
import { Control, fileName, nameOf, slotsName } from "./control.ts"
import { type FileReader, isGone, pathOf, readFile } from "./file.ts"
import { isOfAll, merged, type OfAll } from "./merge.ts"
import { Slots } from "./slots.ts"
import { idOf } from "./writers.ts"

const { isUtf8 } = process.getBuiltinModule("node:buffer")
const { join } = process.getBuiltinModule("node:path")

const tenantBytesMax = 512
/** How often a tenant is looked up anew that was erased meanwhile. */
const attemptsMax = 5
/** So long the questions of others wait while all tenants are asked, ms. */
const sliceMs = 5

/** @throws StorageError `Tenant` */
export function checkTenant(store: string, tenant: Uint8Array): void {
  if (tenant.length > tenantBytesMax || !isUtf8(tenant)) throw new StorageError("Tenant", { store, tenant: Buffer.from(tenant.subarray(0, 100)).toString() })
}

export interface ReadersOptions {
  readonly folder: string
  readonly store: string
  readonly clock: StoreClock
  readonly limits: StoreLimits
  /** Files that are open at once. */
  readonly openMax: number
  /** Give files of an older version this one's format; who only reads does not. */
  readonly isMigrating: boolean
}

export class TenantReaders implements Disposable {
  readonly #options: ReadersOptions
  readonly #control: Control
  #slots: Slots | undefined
  /** The one used longest ago first. */
  readonly #open = new Map<string, FileReader>()
  readonly #nobody: SqliteReader
  #isClosed = false

  /** @throws StorageError `Unreachable`, `Foreign`, `Newer` */
  constructor(options: ReadersOptions) {
    this.#options = options
    this.#control = Control.read(options.folder, options.store)
    this.#slots = Slots.peek(join(options.folder, slotsName))
    this.#nobody = new SqliteReader(options.store, options.clock, openMemory(), options.limits)
  }

  get control(): Control {
    return this.#control
  }

  #check(): void {
    if (this.#isClosed) throw new StorageError("Closed", { store: this.#options.store })
  }

  /** A tenant's file; undefined for one that has none. */
  file(tenant: Uint8Array): FileReader | undefined {
    const { openMax, store } = this.#options
    const id = idOf(tenant)
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const found = this.#control.find(tenant)
      const open = this.#open.get(id)
      this.#open.delete(id)
      if (open !== undefined && open.generation === found?.generation) {
        this.#open.set(id, open)
        return open
      }
      open?.[Symbol.dispose]()
      if (found?.isMade !== true) return undefined
      for (const [oldest, each] of this.#open) {
        if (this.#open.size < openMax) break
        this.#open.delete(oldest)
        each[Symbol.dispose]()
      }
      this.#slots ??= Slots.peek(join(this.#options.folder, slotsName))
      try {
        const opened = readFile(this.#control, this.#slots, found, this.#options)
        this.#open.set(id, opened)
        return opened
      } catch (error) {
        if (!isGone(this.#control, found)) throw error
      }
    }
    throw new StorageError("Busy", { store, waitedMs: 0 })
  }

  #reader(tenant: Uint8Array): SqliteReader {
    return this.file(tenant)?.reader ?? this.#nobody
  }

  #one(question: Question): unknown {
    const { store } = this.#options
    if (question.ask === "fence") return this.#control.fence()
    if (question.ask === "tables") return this.#nobody.ask(question)
    // Services have no tables here.
    if (question.ask === "services") return []
    if (question.ask === "sql" || !("tenant" in question) || question.tenant === undefined)
      throw new StorageError("Unsupported", { store, asked: question.ask })
    checkTenant(store, question.tenant)
    return this.#reader(question.tenant).ask(question as Question)
  }

  #all(question: OfAll): Generator<void, unknown> {
    return merged(
      question,
      (after) => this.#tenants(after),
      (tenant) => this.#reader(tenant),
      this.#nobody,
    )
  }

  *#tenants(from: Uint8Array | undefined): Generator<Uint8Array> {
    for (const { tenant, isMade } of this.#control.all(from)) if (isMade) yield tenant
  }

  askSync<Q extends Question>(question: Q): Answers[Q["ask"]] {
    this.#check()
    if (!isOfAll(question)) return this.#one(question) as Answers[Q["ask"]]
    const steps = this.#all(question)
    for (;;) {
      const step = steps.next()
      if (step.done === true) return step.value as Answers[Q["ask"]]
    }
  }

  async ask<Q extends Question>(question: Q): Promise<Answers[Q["ask"]]> {
    this.#check()
    if (!isOfAll(question)) return this.#one(question) as Answers[Q["ask"]]
    return (await this.#inSlices(this.#all(question))) as Answers[Q["ask"]]
  }

  /** Lets others go on between two tenants, now and then. */
  async #inSlices<A>(steps: Generator<void, A>): Promise<A> {
    for (let sinceMs = performance.now(); ;) {
      const step = steps.next()
      if (step.done === true) return step.value
      if (performance.now() - sinceMs < sliceMs) continue
      await new Promise((resume) => setImmediate(resume))
      this.#check()
      sinceMs = performance.now()
    }
  }

  /** Every tenant's file, whether it is the newest that was acknowledged, and the catalogue of them. */
  check(): Promise<ReadonlyArray<Finding>> {
    this.#check()
    return this.#inSlices(this.#checked())
  }

  *#checked(): Generator<void, ReadonlyArray<Finding>> {
    const findings: Array<Finding> = [...this.#control.check()]
    for (const file of this.#control.strays())
      findings.push({ table: "control", key: file, detail: "no tenant has this file: the catalogue went back in time, or somebody put it there" })
    for (const registered of this.#control.all()) {
      yield
      const { tenant, generation, slot, isMade } = registered
      if (!isMade) continue
      // Before the snapshot: what is committed after it is not missing from it.
      const known = this.#slots?.read(slot, generation)
      try {
        const file = this.file(tenant)
        // Erased meanwhile, or made anew.
        if (file?.generation !== generation) continue
        findings.push(...this.#checkFile(fileName(tenant, generation), tenant, file, known))
      } catch (error) {
        if (isGone(this.#control, registered)) continue
        findings.push({ table: "tenant", key: Buffer.from(tenant).toString(), detail: error instanceof Error ? error.message : String(error) })
      }
    }
    return findings
  }

  #checkFile(name: string, tenant: Uint8Array, { reader, loss }: FileReader, known: Parameters<FileReader["loss"]>[0]): ReadonlyArray<Finding> {
    const findings: Array<Finding> = reader.check().map((found) => ({ ...found, detail: `${found.detail} (${name})` }))
    const lost = loss(known)
    if (lost !== undefined)
      findings.push({
        table: "commit_group",
        key: String(lost.known),
        detail: `this commit was acknowledged and is not there: the file ends at ${lost.found} (${name})`,
      })
    for (const each of reader.ask({ ask: "tenants", after: undefined, countMax: 2 }))
      if (Buffer.compare(each, tenant) !== 0)
        findings.push({ table: "tenant", key: Buffer.from(each).toString(), detail: `rows of this tenant are in the file of another (${name})` })
    return findings
  }

  /** What a look at the files, without their rows, finds: tenants' files that are not the newest that was acknowledged, and files that are nobody's. */
  losses(countMax: number): { readonly count: number; readonly losses: ReadonlyArray<string>; readonly strays: ReadonlyArray<string> } {
    this.#check()
    const losses: Array<string> = []
    let count = 0
    for (const registered of this.#control.all()) {
      if (!registered.isMade || count++ >= countMax) continue
      const known = this.#slots?.read(registered.slot, registered.generation)
      try {
        const lost = this.file(registered.tenant)?.loss(known)
        if (lost !== undefined) losses.push(`commit ${lost.known} of "${Buffer.from(registered.tenant).toString()}"`)
      } catch (error) {
        if (!isGone(this.#control, registered)) losses.push(error instanceof Error ? error.message : String(error))
      }
    }
    return { count, losses, strays: this.#control.strays() }
  }

  /** Every file gets this version's format; from the oldest that was found. */
  migrate(isDryRun: boolean): { readonly from: number; readonly to: number } {
    this.#check()
    const found = { from: format, to: format }
    for (const registered of this.#control.all()) {
      if (!registered.isMade) continue
      const { from } = migrateSqlite(pathOf(this.#control, registered), isDryRun)
      found.from = Math.min(from, found.from)
    }
    return found
  }

  /** What is in the store, in numbers: of all files together. */
  info(): StoreInfo {
    this.#check()
    const tables = new Map(this.#nobody.info().tables.map((each) => [each.table, each]))
    let [bytes, commits, committedAtMs] = [0, 0, undefined as number | undefined]
    for (const tenant of this.#tenants(undefined)) {
      const each = this.#reader(tenant).info()
      bytes += each.bytes
      commits += each.commits
      committedAtMs = each.committedAtMs === undefined ? committedAtMs : Math.max(each.committedAtMs, committedAtMs ?? 0)
      for (const row of each.tables) {
        const old = tables.get(row.table) as (typeof each.tables)[number]
        tables.set(row.table, { ...row, count: row.count + old.count, bytes: row.bytes + old.bytes, tenants: row.tenants + old.tenants })
      }
    }
    return { store: this.#options.store, format, bytes, commits, committedAtMs, tables: [...tables.values()] }
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const each of this.#open.values()) each[Symbol.dispose]()
    this.#open.clear()
    this.#slots?.close()
    this.#control.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** A folder for reading alone: whoever writes there goes on, and what is not there is not made. Throws as `TenantReaders`. */
export const tenantReaders = (folder: string): TenantReaders =>
  new TenantReaders({ folder, store: nameOf(folder), clock: clockFrom(clockBase()), limits: storeLimits, openMax: 64, isMigrating: false })
