/**
 * Files of tenants that a thread has open for writing: as many as are allowed, the ones used longest ago are closed first. Every group of
 * a tenant is a commit of its file. Whoever erased a tenant has removed its file: a writer that still has it open finds out under the lock of that
 * file, before it writes, and goes on with the tenant's next one.
 */
import type { DatabaseSync } from "node:sqlite"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Fence } from "../../port/fence.ts"
import type { StoreLimits } from "../../port/limits.ts"
import type { Operation } from "../../port/store.ts"
import type { StoreClock } from "../clock.ts"
import { syncFolder } from "../disk.ts"
import { busyMsMax, storageError } from "../sqlite/database.ts"
import { Database } from "../sqlite/engine.ts"
import { type Outcome, SqliteWriter } from "../sqlite/writer.ts"
import { Control, fileName, filesOf, type Registered, slotsName } from "./control.ts"
import { isGone, measureOf, nameIn, openFile, pathOf, unlink } from "./file.ts"
import { SlotMark, Slots, totalsOf } from "./slots.ts"
import { AllTotals, Beside, inFull } from "./total.ts"

const { existsSync } = process.getBuiltinModule("node:fs")
const { join } = process.getBuiltinModule("node:path")

/** How often a group is begun anew because its tenant was erased meanwhile. */
const attemptsMax = 5
/** Tenants that an empty batch looks at, besides those that are open. */
const sweptMax = 4

export const idOf = (tenant: Uint8Array): string => Buffer.from(tenant.buffer, tenant.byteOffset, tenant.length).toString("latin1")

interface OpenFile {
  readonly registered: Registered
  readonly database: DatabaseSync
  readonly writer: SqliteWriter
  /** Its tenant has another file by now, or none. */
  isStale: boolean
  usedMs: number
}

export interface WritersOptions {
  readonly folder: string
  /** As the store is named. */
  readonly store: string
  readonly acceptLoss: boolean
  readonly limits: StoreLimits
  readonly clock: StoreClock
  /** Files that are open at once, of all threads. */
  readonly openMax: number
  /** From when on a file that nobody writes to is closed, ms. */
  readonly idleMs: number
  readonly totals: SharedArrayBuffer
  /** Int32: how many files all threads have open. */
  readonly openCount: SharedArrayBuffer
}

const wholeErasure = (batches: ReadonlyArray<ReadonlyArray<Operation>>, outcomes: ReadonlyArray<Outcome>): boolean =>
  batches.some(([first, ...more], i) => {
    const outcome = outcomes[i]
    if (first?.op !== "erase" || first.table !== undefined || more.length > 0 || outcome === undefined || "error" in outcome) return false
    return (outcome.answers[0] as number) < first.countMax
  })

export class TenantWriters implements Disposable {
  readonly #options: WritersOptions
  readonly #control: Control
  readonly #slots: Slots
  readonly #totals: AllTotals
  readonly #openCount: Int32Array
  /** The one used longest ago first. */
  readonly #open = new Map<string, OpenFile>()
  /** Tenants of whose last commit nobody knows whether it was kept: nothing builds on it until the store is opened again. */
  readonly #unknown = new Map<string, StorageError>()
  /** Answers for tenants that are not there. */
  #nobody: SqliteWriter | undefined
  #sweptUpTo: Uint8Array | undefined

  /** @throws StorageError those of `Control.open` */
  constructor(options: WritersOptions) {
    this.#options = options
    this.#control = Control.open(options.folder, options.store, options.acceptLoss)
    this.#slots = Slots.open(join(options.folder, slotsName))
    this.#openCount = new Int32Array(options.openCount)
    this.#totals = new AllTotals(options.totals, this.#control, this.#slots)
  }

  get control(): Control {
    return this.#control
  }

  /** Undefined when the tenant was erased meanwhile. */
  #openFile(tenant: Uint8Array, acceptLoss: boolean): OpenFile | undefined {
    const { clock, limits, openMax } = this.#options
    // Threads share what may be open; one that has none of it opens one all the same.
    for (const id of [...this.#open.keys()]) {
      if (Atomics.load(this.#openCount, 0) < openMax) break
      this.#close(id)
    }
    const known = this.#control.find(tenant)
    const { found, floor } = known?.isMade === true ? { found: known, floor: 0 } : this.#control.register(tenant)
    const path = pathOf(this.#control, found)
    const database = openFile(this.#control, this.#slots, found, floor, clock)
    if (database === undefined) return undefined
    const mark = new SlotMark(this.#slots, found, measureOf(database), (by) => this.#totals.add(by))
    const beside = new Beside(limits, this.#totals, mark)
    const writer = SqliteWriter.over(path, database, mark, {
      acceptLoss,
      limits: beside.limits,
      clock,
      guard: () => {
        beside.begin()
        const { fence, found: now } = this.#control.look(tenant)
        if (now?.generation === found.generation) return fence === undefined ? undefined : this.#control.moved(fence)
        open.isStale = true
        return new StorageError("Busy", { store: path, waitedMs: 0 })
      },
    })
    const open: OpenFile = { registered: found, database, writer, isStale: false, usedMs: performance.now() }
    return open
  }

  #fileOf(tenant: Uint8Array, acceptLoss = false): OpenFile | undefined {
    const id = idOf(tenant)
    const open = this.#open.get(id) ?? this.#openFile(tenant, acceptLoss)
    if (open === undefined) return undefined
    open.usedMs = performance.now()
    if (!this.#open.delete(id)) Atomics.add(this.#openCount, 0, 1)
    this.#open.set(id, open)
    return open
  }

  #close(id: string): void {
    const open = this.#open.get(id)
    if (!this.#open.delete(id)) return
    Atomics.sub(this.#openCount, 0, 1)
    open?.writer.close()
  }

  /**
   * Carries out a group of one tenant's batches: on return every batch with answers is on the disk.
   * @throws as `SqliteWriter.commit`, and `TenantFile`
   */
  commit(tenant: Uint8Array, batches: ReadonlyArray<ReadonlyArray<Operation>>): ReadonlyArray<Outcome> {
    const id = idOf(tenant)
    const unknown = this.#unknown.get(id)
    if (unknown !== undefined) throw unknown
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      // Nobody has anything to erase: no file is made for it.
      if (batches.every((batch) => batch.every(({ op }) => op === "erase")) && this.#control.find(tenant) === undefined) return this.#asNobody(batches)
      const open = this.#fileOf(tenant)
      if (open === undefined) continue
      let outcomes: ReadonlyArray<Outcome>
      try {
        outcomes = open.writer.commit(batches)
      } catch (error) {
        if (error instanceof StorageError && error.reason._tag === "Unknown") this.#unknown.set(id, error)
        throw error
      }
      if (open.isStale) {
        this.#close(id)
        // One that was opened late has been made again.
        unlink(pathOf(this.#control, open.registered))
        continue
      }
      if (wholeErasure(batches, outcomes)) this.#remove(id, open)
      return outcomes.map((outcome) => ("error" in outcome ? { error: inFull(outcome.error, this.#options.limits) } : outcome))
    }
    throw new StorageError("Busy", { store: this.#options.store, waitedMs: 0 })
  }

  #asNobody(batches: ReadonlyArray<ReadonlyArray<Operation>>): ReadonlyArray<Outcome> {
    const { store, limits, clock } = this.#options
    const fence = this.#control.fence()
    if (fence !== undefined) throw this.#control.moved(fence)
    this.#nobody ??= SqliteWriter.memory(store, { limits, clock }).writer
    return this.#nobody.commit(batches)
  }

  /** Removes the file of a tenant of whom nothing is left. Under its lock: who waits for that finds that the tenant has no such file any more. */
  #remove(id: string, { database, registered }: OpenFile): void {
    const path = pathOf(this.#control, registered)
    try {
      database.exec("BEGIN IMMEDIATE")
      try {
        const isEmpty = Object.values(totalsOf).every((table) => database.prepare(`SELECT 1 FROM ${table} LIMIT 1`).get() === undefined)
        // Somebody has written since.
        if (!isEmpty || !this.#control.forget(registered, measureOf(database)().revision)) return
        this.#slots.clear(registered.slot)
        if (!unlink(path)) return
      } finally {
        if (database.isTransaction) database.exec("ROLLBACK")
        this.#close(id)
      }
      // What the closing left: the last connection takes the log into a file that has no name any more.
      unlink(path)
      syncFolder(filesOf(this.#control.folder))
      this.#control.removed(registered.generation)
    } catch {
      // It is empty and stays: its tenant has nothing, and writes to it again.
    }
  }

  /** Removes what has ended: of tenants that are open; with `isTurning` also of some others, one after another, so that everybody's turn comes. */
  sweep(isTurning: boolean): void {
    const next = isTurning ? this.#control.after(this.#sweptUpTo, sweptMax) : []
    if (isTurning) this.#sweptUpTo = next.at(-1)?.tenant
    const open = [...this.#open.values()].map(({ registered }) => registered)
    const due = new Map([...next, ...open].filter(({ isMade }) => isMade).map(({ tenant }) => [idOf(tenant), tenant]))
    for (const tenant of due.values()) {
      try {
        this.commit(tenant, [[]])
      } catch (error) {
        // One tenant's damage is nobody else's: whoever writes for it is told, and `check()` names it.
        if (error instanceof StorageError && error.reason._tag === "Moved") throw error
      }
    }
  }

  /**
   * Puts a fence up: on return no write of any tenant, by any process, is under way or comes after it. Who began before it holds the lock of its tenant's
   * file until it has committed; who has that lock later reads the fence first.
   */
  fence(fence: Fence | undefined): void {
    const before = this.#control.fence()
    this.#control.setFence(fence)
    if (fence === undefined) return
    for (const registered of this.#control.all()) {
      const path = pathOf(this.#control, registered)
      // One that is not made yet meets the fence when it is; one that is gone has no writer.
      if (!existsSync(path)) continue
      let database: DatabaseSync | undefined
      try {
        database = new Database(path, { timeout: busyMsMax })
        database.exec("BEGIN IMMEDIATE; ROLLBACK")
      } catch (error) {
        // What cannot be waited for may still be written to: then it is as it was before.
        this.#control.setFence(before)
        throw storageError(path, error)
      } finally {
        database?.close()
        if (isGone(this.#control, registered)) unlink(path)
      }
    }
  }

  /** Closes what nobody has written to for a while: the last to close a file takes its log into it. */
  rest(): void {
    for (const [id, { usedMs }] of this.#open) if (performance.now() - usedMs > this.#options.idleMs) this.#close(id)
  }

  /** Ends what a process that was killed had begun: files of erased tenants are removed. */
  tidy(): void {
    for (const { generation, file, slot } of this.#control.erased()) {
      if (!unlink(join(filesOf(this.#control.folder), file))) continue
      this.#slots.clear(slot)
      this.#control.removed(generation)
    }
  }

  /** Goes on with what is there: files that went away or back in time, and files that the catalogue does not know. */
  accept(): void {
    for (const file of this.#control.strays()) {
      const database = new Database(join(filesOf(this.#control.folder), file), { readOnly: true, timeout: busyMsMax })
      try {
        const named = nameIn(database, this.#control.store, file)
        // One with another name than it should have, or none, is left for people: nothing reaches it.
        if (named !== undefined && fileName(named.tenant, named.generation) === file) this.#control.register(named.tenant, named.generation)
      } catch {
        continue
      } finally {
        database.close()
      }
    }
    for (const registered of [...this.#control.all()]) {
      const known = this.#slots.read(registered.slot, registered.generation)
      if (registered.isMade && !existsSync(pathOf(this.#control, registered))) {
        this.#control.forget(registered, known?.measure.revision ?? 0)
        this.#slots.clear(registered.slot)
        this.#control.removed(registered.generation)
      } else if (registered.isMade)
        try {
          // A file that is damaged, or another's, stays refused.
          this.#fileOf(registered.tenant, true)
        } catch {
          continue
        }
    }
  }

  close(): void {
    for (const id of [...this.#open.keys()]) this.#close(id)
    this.#nobody?.close()
    this.#slots.close()
    this.#control.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
