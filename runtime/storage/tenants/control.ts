/**
 * What a folder of tenants' files has in common: the catalogue of tenants with the numbers of their files, the fence, and the floor below which no
 * tenant that comes later may number anything. A small SQLite database of its own. It is written when a tenant comes or goes, not for a write, and each
 * writer reads it under the lock of its tenant's file: whoever changes it and then has had that lock has been seen.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Fence } from "../../port/fence.ts"
import type { Finding } from "../../port/store.ts"
import { refuseNetwork, syncFolder } from "../disk.ts"
import { sumOf } from "../row.ts"
import { busyMsMax, pragma, reading, storageError } from "../sqlite/database.ts"
import { Database } from "../sqlite/engine.ts"
import { snapshot } from "../sqlite/statement.ts"

const { hash } = process.getBuiltinModule("node:crypto")
const { closeSync, existsSync, mkdirSync, openSync, readdirSync } = process.getBuiltinModule("node:fs")
const { dirname, join } = process.getBuiltinModule("node:path")

/** `PRAGMA application_id`: "SteT". No store of one file: nobody opens it as one. */
const applicationId = 0x5374_6554
const format = 1
const none = new Uint8Array(0)

const controlName = "control.db"
export const slotsName = "marks"
const filesName = "tenants"
/** Where objects are when nothing is said. */
export const objectsName = "objects"
/** As the store is named. */
export const nameOf = (folder: string): string => `sqlite-tenants:${folder}`
const ownNames = new Set([controlName, `${controlName}-wal`, `${controlName}-shm`, `${controlName}-journal`, slotsName, filesName, objectsName])

const tables = `
  CREATE TABLE tenant (
    tenant BLOB PRIMARY KEY,
    generation INTEGER NOT NULL UNIQUE,
    slot INTEGER NOT NULL UNIQUE,
    is_made INTEGER NOT NULL CHECK (is_made IN (0, 1)),
    sum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE erased (generation INTEGER PRIMARY KEY, file TEXT NOT NULL, slot INTEGER NOT NULL) STRICT;
  CREATE TABLE free_slot (slot INTEGER PRIMARY KEY) STRICT;
  CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    generation INTEGER NOT NULL,
    floor INTEGER NOT NULL,
    slots INTEGER NOT NULL,
    tenants INTEGER NOT NULL,
    sums INTEGER NOT NULL,
    sum INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE fence (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    destination TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('moving', 'moved')),
    sum INTEGER NOT NULL
  ) STRICT;
`

/** A tenant and its file. */
export interface Registered {
  readonly tenant: Uint8Array
  /** Greater for each file that is made in the folder, and never used twice. */
  readonly generation: number
  readonly slot: number
  /** False until its file is known to be there: only then is a missing one a loss. */
  readonly isMade: boolean
}

/** What a writer goes by, read at one moment. */
export interface Sight {
  readonly fence: Fence | undefined
  readonly found: Registered | undefined
}

interface State {
  readonly generation: number
  readonly floor: number
  readonly slots: number
  readonly tenants: number
  readonly sums: number
}

interface Row {
  readonly tenant: Uint8Array
  readonly generation: number
  readonly slot: number
  readonly isMade: number
  readonly sum: number
}

/** A row of both, either of them all null. */
interface Fenced extends Omit<Row, "generation"> {
  readonly destination: string | null
  readonly state: Fence["state"]
  readonly fenceSum: number
  readonly generation: number | null
}

const columns = "tenant, generation, slot, is_made AS isMade, sum"
const utf8 = new TextEncoder()

const sumOfRow = ({ tenant, generation, slot, isMade }: Omit<Row, "sum">): number => sumOf({ tenant, key: none }, none, generation, slot, isMade)
const sumOfState = ({ generation, floor, slots, tenants, sums }: State): number =>
  sumOf({ tenant: none, key: none }, none, generation, floor, slots, tenants, sums)
const sumOfFence = ({ to, state }: Fence): number => sumOf({ tenant: none, key: utf8.encode(state) }, utf8.encode(to), 0)

/** A tenant's file: a hash, since names are any bytes in any length and some file systems know no case, and its number, which says whose it is. */
export const fileName = (tenant: Uint8Array, generation: number): string => `${hash("sha256", tenant, "hex").slice(0, 32)}-${generation}.db`
const filePattern = /^[0-9a-f]{32}-\d+\.db$/

export const filesOf = (folder: string): string => join(folder, filesName)

/** Tenants' files that are there, whoever's they are. */
export const listFiles = (folder: string): ReadonlyArray<string> =>
  existsSync(filesOf(folder)) ? readdirSync(filesOf(folder)).filter((name) => filePattern.test(name)) : []

/** @throws StorageError `Unreachable`, `Foreign`; `TenantFile` for tenants' files without a catalogue, if that loss is not accepted */
function makeFolder(folder: string, store: string, acceptLoss: boolean): void {
  const above = dirname(folder)
  if (!existsSync(above)) throw new StorageError("Unreachable", { store, detail: `there is no folder "${above}"` })
  refuseNetwork(existsSync(folder) ? folder : above, store)
  for (const path of [folder, filesOf(folder)].filter((each) => !existsSync(each))) {
    // What plugins keep is nobody else's to read.
    mkdirSync(path, { recursive: true, mode: 0o700 })
    syncFolder(dirname(path))
  }
  const control = join(folder, controlName)
  if (existsSync(control)) return
  if (readdirSync(folder).some((name) => !ownNames.has(name))) throw new StorageError("Foreign", { store })
  const [file] = listFiles(folder)
  // Looked for again: another process may have made it, and the file with it, since.
  if (file !== undefined && !acceptLoss && !existsSync(control))
    throw new StorageError("TenantFile", { store, file, detail: `${controlName}, the catalogue of tenants, is not there` })
  try {
    closeSync(openSync(control, "wx", 0o600))
  } catch (error) {
    if ((error as { readonly code?: unknown }).code !== "EEXIST") throw error
  }
}

function prepare(database: DatabaseSync, store: string): void {
  database.exec("BEGIN IMMEDIATE")
  try {
    const [id, found] = [pragma(database, "application_id"), pragma(database, "user_version")]
    if (found === 0 && id === 0 && Number(database.prepare("SELECT count(*) AS n FROM sqlite_schema").get()?.["n"]) === 0) {
      database.exec(tables)
      const state = { generation: 0, floor: 0, slots: 0, tenants: 0, sums: 0 }
      database.prepare("INSERT INTO state VALUES (1, 0, 0, 0, 0, 0, ?)").run(sumOfState(state))
      database.exec(`PRAGMA user_version = ${format}; PRAGMA application_id = ${applicationId}`)
    } else claim(database, store)
    database.exec("COMMIT")
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK")
    throw error
  }
}

function claim(database: DatabaseSync, store: string): void {
  if (pragma(database, "application_id") !== applicationId) throw new StorageError("Foreign", { store })
  const found = pragma(database, "user_version")
  if (found > format) throw new StorageError("Newer", { store, format: found, known: format })
}

export class Control implements Disposable {
  readonly folder: string
  /** As the store is named. */
  readonly store: string
  readonly #database: DatabaseSync
  readonly #look: StatementSync
  readonly #get: StatementSync
  readonly #page: StatementSync

  private constructor(folder: string, store: string, database: DatabaseSync) {
    this.folder = folder
    this.store = store
    this.#database = database
    this.#look = database.prepare(
      `SELECT fence.destination, fence.state, fence.sum AS fenceSum, t.tenant, t.generation, t.slot, t.is_made AS isMade, t.sum
      FROM (SELECT 1) LEFT JOIN fence ON TRUE LEFT JOIN tenant AS t ON t.tenant = ?`,
    )
    this.#get = database.prepare(`SELECT ${columns} FROM tenant WHERE tenant = ?`)
    this.#page = database.prepare(`SELECT ${columns} FROM tenant WHERE ?1 IS NULL OR tenant > ?1 ORDER BY tenant LIMIT ?2`)
  }

  /**
   * Opens the folder for writing, or makes it.
   * @throws StorageError `Unreachable`, `Foreign`, `Newer`, `Busy`, `TenantFile`
   */
  static open(folder: string, store: string, acceptLoss = false): Control {
    let database: DatabaseSync | undefined
    try {
      makeFolder(folder, store, acceptLoss)
      database = new Database(join(folder, controlName), { timeout: busyMsMax })
      // Every change is on the disk before a file is made or removed for it; of an erased tenant not even the name stays.
      database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA fullfsync = 1; PRAGMA trusted_schema = 0; PRAGMA secure_delete = ON")
      prepare(database, store)
      syncFolder(folder)
      return new Control(folder, store, database)
    } catch (error) {
      database?.close()
      throw storageError(store, error)
    }
  }

  /** For who only reads. Throws `StorageError` `Unreachable` where there is no such folder. */
  static read(folder: string, store: string): Control {
    let database: DatabaseSync | undefined
    try {
      if (!existsSync(join(folder, controlName))) throw new StorageError("Unreachable", { store, detail: "there is no such folder of tenants" })
      database = new Database(join(folder, controlName), { readOnly: true, timeout: busyMsMax })
      claim(database, store)
      return new Control(folder, store, database)
    } catch (error) {
      database?.close()
      throw storageError(store, error)
    }
  }

  #registered(row: unknown): Registered {
    const { isMade, sum, ...rest } = row as Row
    if (sumOfRow({ ...rest, isMade }) !== sum)
      throw new StorageError("Corrupt", { store: this.store, table: "tenant", key: Buffer.from(rest.tenant).toString() })
    return { ...rest, isMade: isMade === 1 }
  }

  #fence(destination: string, state: Fence["state"], sum: number): Fence {
    const fence = { to: destination, state }
    if (sumOfFence(fence) !== sum) throw new StorageError("Corrupt", { store: this.store, table: "fence", key: "" })
    return fence
  }

  /** The fence and a tenant's row, of one moment. */
  look(tenant: Uint8Array): Sight {
    return reading(this.store, () => {
      const { destination, state, fenceSum, ...row } = this.#look.get(tenant) as unknown as Fenced
      return {
        fence: destination === null ? undefined : this.#fence(destination, state, fenceSum),
        found: row.generation === null ? undefined : this.#registered(row),
      }
    })
  }

  find(tenant: Uint8Array): Registered | undefined {
    return reading(this.store, () => {
      const row = this.#get.get(tenant)
      return row === undefined ? undefined : this.#registered(row)
    })
  }

  fence(): Fence | undefined {
    return this.look(none).fence
  }

  /** Tenants after one (undefined: from the first), in the order of their bytes. */
  after(tenant: Uint8Array | undefined, countMax: number): ReadonlyArray<Registered> {
    return reading(this.store, () => this.#page.all(tenant ?? null, countMax).map((row) => this.#registered(row)))
  }

  *all(from?: Uint8Array): Generator<Registered> {
    for (let after = from; ;) {
      const page = this.after(after, 500)
      yield* page
      after = page.at(-1)?.tenant
      if (after === undefined) return
    }
  }

  /** What a refused writer is told. */
  moved({ to, state }: Fence): StorageError {
    return new StorageError("Moved", { store: this.store, to, isOpen: state === "moved" })
  }

  #change<A>(change: (state: State) => readonly [answer: A, state: Partial<State>]): A {
    try {
      this.#database.exec("BEGIN IMMEDIATE")
      try {
        const { sum, ...state } = this.#database.prepare("SELECT generation, floor, slots, tenants, sums, sum FROM state").get() as unknown as State & {
          readonly sum: number
        }
        if (sumOfState(state) !== sum) throw new StorageError("Corrupt", { store: this.store, table: "state", key: "" })
        const [answer, changed] = change(state)
        const next = { ...state, ...changed }
        this.#database
          .prepare("UPDATE state SET generation = ?, floor = ?, slots = ?, tenants = ?, sums = ?, sum = ?")
          .run(next.generation, next.floor, next.slots, next.tenants, next.sums, sumOfState(next))
        this.#database.exec("COMMIT")
        return answer
      } finally {
        if (this.#database.isTransaction) this.#database.exec("ROLLBACK")
      }
    } catch (error) {
      throw storageError(this.store, error)
    }
  }

  #put(state: State, old: Registered | undefined, next: Registered | undefined): Partial<State> {
    const sumFor = (each: Registered | undefined): number => (each === undefined ? 0 : sumOfRow({ ...each, isMade: each.isMade ? 1 : 0 }))
    if (old !== undefined) this.#database.prepare("DELETE FROM tenant WHERE tenant = ?").run(old.tenant)
    if (next !== undefined)
      this.#database.prepare("INSERT INTO tenant VALUES (?, ?, ?, ?, ?)").run(next.tenant, next.generation, next.slot, next.isMade ? 1 : 0, sumFor(next))
    return {
      tenants: state.tenants + (next === undefined ? 0 : 1) - (old === undefined ? 0 : 1),
      sums: (state.sums ^ sumFor(old) ^ sumFor(next)) >>> 0,
    }
  }

  /**
   * Enters a tenant, if it is not there, and says from which number on it counts. `generation`: of a file that is there already.
   * @throws StorageError `Moved` behind a fence
   */
  register(tenant: Uint8Array, generation?: number): { readonly found: Registered; readonly floor: number } {
    return this.#change((state) => {
      const { fence, found: known } = this.look(tenant)
      if (known !== undefined) return [{ found: known, floor: state.floor }, {}]
      if (fence !== undefined) throw this.moved(fence)
      const free = this.#database.prepare("DELETE FROM free_slot WHERE slot = (SELECT min(slot) FROM free_slot) RETURNING slot").get()?.["slot"]
      const slot = free === undefined ? state.slots : Number(free)
      const found: Registered = { tenant, generation: generation ?? state.generation + 1, slot, isMade: generation !== undefined }
      const counts = { generation: Math.max(state.generation, found.generation), slots: Math.max(state.slots, slot + 1) }
      return [
        { found, floor: state.floor },
        { ...counts, ...this.#put(state, undefined, found) },
      ]
    })
  }

  /** Its file is there, durably. */
  made(registered: Registered): void {
    this.#change((state) => {
      const known = this.find(registered.tenant)
      if (known?.generation !== registered.generation || known.isMade) return [undefined, {}]
      return [undefined, this.#put(state, known, { ...known, isMade: true })]
    })
  }

  /**
   * Takes a tenant out, and notes its file as one to be removed; false when it is not there as this file any more. Nothing that comes later for this name is numbered
   * below `revision`.
   * @throws StorageError `Moved` behind a fence
   */
  forget(registered: Registered, revision: number): boolean {
    return this.#change((state) => {
      const { fence, found } = this.look(registered.tenant)
      if (found?.generation !== registered.generation) return [false, {}]
      if (fence !== undefined) throw this.moved(fence)
      this.#database.prepare("INSERT INTO erased VALUES (?, ?, ?)").run(found.generation, fileName(found.tenant, found.generation), found.slot)
      return [true, { floor: Math.max(state.floor, revision), ...this.#put(state, found, undefined) }]
    })
  }

  /** Files that are to be removed: of erased tenants, by a process that may have been killed before it did. */
  erased(): ReadonlyArray<{ readonly generation: number; readonly file: string; readonly slot: number }> {
    return this.#database.prepare("SELECT generation, file, slot FROM erased").all() as unknown as ReturnType<Control["erased"]>
  }

  /** It is removed: its slot is for another tenant. The log forgets the name too, unless somebody reads it just now. */
  removed(generation: number): void {
    this.#change(() => {
      const slot = this.#database.prepare("DELETE FROM erased WHERE generation = ? RETURNING slot").get(generation)?.["slot"]
      if (slot !== undefined) this.#database.prepare("INSERT OR IGNORE INTO free_slot VALUES (?)").run(slot)
      return [undefined, {}]
    })
    this.#database.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get()
  }

  setFence(fence: Fence | undefined): void {
    this.#change(() => {
      this.#database.exec("DELETE FROM fence")
      if (fence !== undefined) this.#database.prepare("INSERT INTO fence VALUES (1, ?, ?, ?)").run(fence.to, fence.state, sumOfFence(fence))
      return [undefined, {}]
    })
  }

  /** Files that no tenant has and no erased one had: a catalogue that went back in time, or something that was put there. */
  strays(): ReadonlyArray<string> {
    // First the folder: a tenant is entered before its file is made, and its file removed before it is out of both lists.
    const files = listFiles(this.folder)
    const known = snapshot(
      this.#database,
      () => new Set([...[...this.all()].map(({ tenant, generation }) => fileName(tenant, generation)), ...this.erased().map(({ file }) => file)]),
    )
    return files.filter((file) => !known.has(file) && existsSync(join(filesOf(this.folder), file)))
  }

  check(): ReadonlyArray<Finding> {
    const findings: Array<Finding> = []
    try {
      for (const row of this.#database.prepare("PRAGMA integrity_check").all()) {
        const detail = String(Object.values(row)[0])
        if (detail !== "ok") findings.push({ table: "control", key: "", detail })
      }
      snapshot(this.#database, () => {
        const { sum, ...state } = this.#database.prepare("SELECT generation, floor, slots, tenants, sums, sum FROM state").get() as unknown as State & {
          readonly sum: number
        }
        if (sumOfState(state) !== sum) findings.push({ table: "control", key: "state", detail: "its bytes are not those that were written" })
        let [tenants, sums] = [0, 0]
        for (const row of this.#database.prepare(`SELECT ${columns} FROM tenant`).iterate()) {
          const found = row as unknown as Row
          if (sumOfRow(found) !== found.sum)
            findings.push({ table: "control", key: Buffer.from(found.tenant).toString(), detail: "its bytes are not those that were written" })
          tenants++
          sums = (sums ^ found.sum) >>> 0
        }
        if (tenants !== state.tenants || sums !== state.sums)
          findings.push({ table: "control", key: "", detail: `${tenants} tenants are there, ${state.tenants} were written` })
        void this.fence()
      })
    } catch (error) {
      findings.push({ table: "control", key: "", detail: error instanceof Error ? error.message : String(error) })
    }
    return findings
  }

  close(): void {
    this.#database.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
