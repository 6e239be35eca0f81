/**
 * Writes: callers of one tenant that wait at the same moment share a transaction, tenants go side by side. Two ways to the
 * server and back for a group of any size: lock and read, then write and commit.
 *
 * The lock is on the tenant's own row, so READ COMMITTED is enough: everything a group reads or writes is its tenant's, a
 * statement sees what was committed when it began, and all of them begin after the lock was had. Whoever holds it is
 * the only one, in whatever process; revisions and offsets are given out under it, and seen in the order of commits.
 */
import { CounterError } from "../../../host/port/key-value.ts"
import { SteleError } from "../../../schemas/error/family.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { StoreLimits } from "../../port/limits.ts"
import type { NewJob } from "../../port/queue.ts"
import type { Operation } from "../../port/store.ts"
import { checkWhole } from "../operation.ts"
import { checkRewrite, Fields, importedMax } from "../record.ts"
import { type Answer, type Connection, lockMsMax, type Row, ServerError, type Statement } from "./connection.ts"
import { Estimate } from "./estimate.ts"
import { detailOf, isContended, isLost, storageError } from "./failure.ts"
import { Group, type Head } from "./group.ts"
import { type Handed, ownMs, type Seen, sharedMs } from "./handed.ts"
import { fencedBy, headOf, lock, makeAndLock, update } from "./head.ts"
import { type Pool, pause } from "./pool.ts"
import { isPut, type Known, putOf } from "./put.ts"
import { changeOf } from "../sql-statement.ts"
import { eraseSql, runSql, unlocked } from "./sql.ts"
import { Hold } from "./sql-hold.ts"
import { type Context, type Draft, type Load, type Table, tableNamed, tableOf, tables } from "./table.ts"
import { bind, bindWriter, hexOf, tenantId, tenantText } from "./tenant.ts"

const utf8 = new TextEncoder()
const keyValue = tables[0] as Table
const { randomBytes } = process.getBuiltinModule("node:crypto")

const idBytes = 16
let ids = new Uint8Array(0)

/** Random, from a supply: asking for each took longer than to make it. */
export function operationId(): Uint8Array {
  if (ids.length === 0) ids = randomBytes(256 * idBytes)
  const id = ids.subarray(0, idBytes)
  ids = ids.subarray(idBytes)
  return id
}

interface Waiting {
  readonly batch: ReadonlyArray<Operation>
  /** A transaction that begins when it is its turn. */
  readonly hold?: Hold
  resolve(answers: ReadonlyArray<unknown>): void
  reject(error: Error): void
}

/** The writes of one tenant: one group at a time. */
interface Lane {
  readonly tenant: Uint8Array
  waiting: Array<Waiting>
  isRunning: boolean
  /** The transaction that is open. */
  hold: Hold | undefined
  /** Values with an end were written: what has ended is looked for. */
  hasEnds: boolean
  /** The newest commit that this process has seen: the server must have it. */
  seen: Seen | undefined
  /** What a group of sets can begin with; see `put.ts`. */
  known: Known | undefined
  /** Of `performance.now()`, when what had ended, or was too old, was looked for. */
  sweptAtMs: number
  /** The newest commit when old ones were forgotten. */
  forgotAt: number | undefined
  /** Of the pool, when it was seen; -1: by another thread, whose sessions were lost since. */
  generation: number
  /** Why nothing more is written for this tenant. */
  refusal: StorageError | undefined
}

type Erase = Extract<Operation, { readonly op: "erase" }>

type Outcome = { readonly answers: ReadonlyArray<unknown> } | { readonly error: Error }

/** What a group has come to before it is committed. */
interface Prepared {
  readonly head: Head
  readonly group: Group
  readonly outcomes: ReadonlyArray<Outcome>
  readonly writes: ReadonlyArray<Statement>
  /** When the server said what its clock says, by `performance.now()`. */
  readonly atMs?: number
  /** Nothing of the tenant is left, and its own rows go too. */
  readonly isErased?: boolean
}

interface Attempt {
  readonly outcomes: ReadonlyArray<Outcome>
  /** Number of the commit that was asked for and not answered. */
  readonly asked: number | undefined
}

/** Batches that one commit takes at most, and bytes after which it takes no further one. */
const groupMax = 1_024
const groupBytesMax = 16 << 20
/** Lanes that are remembered with what was seen of their tenants. */
const lanesMax = 10_000
/** How often a group is tried that others were in the way of, or whose session was lost before it could commit. */
const attemptsMax = 4
/** How long it is asked what became of a commit, in ms. */
const resolveMsMax = 30_000
/** Commits that a tenant's rows tell of, at least, and for how long, in µs: longer than anybody asks what became of one. */
const commitRowsMax = 1_000
const commitAgeUsMax = 120_000_000
/** How many commits of a tenant there are at least between two that forget old ones. */
const commitsSwept = 64
/** Commits that one forgets at most. */
const commitsForgottenMax = 16_384
/** How long groups of sets go the short way, in ms, before one looks for what has ended, and forgets old commits. */
export const sweepMsMax = 1_000
/** Tenants that an empty batch looks at. */
const lanesSweptMax = 16

/** Why a transaction ends for somebody else's sake. */
const blocked = "a call that blocks its thread must not wait for it"

/** Nothing of the group was kept, and it may be tried again. */
class NotKept extends Error {}

/** Is it a group of its own: a step of an erasure, or one with statements that cannot be taken back without the whole transaction? */
const isApart = (batch: ReadonlyArray<Operation>): boolean => batch.some(({ op }) => op === "erase" || op === "sql")

const bytesIn = (batch: ReadonlyArray<Operation>): number => batch.reduce((sum, operation) => sum + bytesOf(operation), 0)

function bytesOf(operation: Operation): number {
  if (operation.op === "record") return operation.records.length
  if ("jobs" in operation) return bytesOfJobs(operation.jobs)
  if (operation.op === "rewrite") return operation.to.length
  return "value" in operation ? operation.value.length : "payload" in operation ? operation.payload.length : 64
}

const bytesOfJobs = (jobs: ReadonlyArray<NewJob>): number => jobs.reduce((sum, { payload }) => sum + 64 + (payload?.length ?? 0), 0)

/** Whose an operation is: those on leases name a tenant with each, and one of SQL that names none is its batch's. What is no table's may have none. @throws StorageError `Unsupported`, `Tenant` */
export function tenantsOf(store: string, operation: Operation): ReadonlyArray<Uint8Array> {
  if ("leases" in operation) return operation.leases.map(({ tenant }) => tenantId(store, tenant))
  if (operation.op === "sql" && operation.tenant === undefined) return []
  if (!("tenant" in operation) || operation.tenant === undefined) throw new StorageError("Unsupported", { store, asked: operation.op })
  return [tenantId(store, operation.tenant)]
}

export class Writer {
  readonly #pool: Pool
  readonly #store: string
  readonly #limits: StoreLimits
  readonly #pendingMax: number
  readonly #lanes = new Map<string, Lane>()
  readonly #ofAll = new Estimate()
  #pending = 0
  #swept = 0
  #running = 0
  #isClosed = false
  #whenDone: Array<() => void> = []

  constructor(pool: Pool, limits: StoreLimits, pendingMax: number) {
    this.#pool = pool
    this.#store = pool.address.name
    this.#limits = limits
    this.#pendingMax = pendingMax
  }

  /** `isBlocking`: a thread waits that may be the owner's of a transaction, and could never end it. */
  apply(batch: ReadonlyArray<Operation>, isBlocking = false): Promise<ReadonlyArray<unknown>> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) throw new StorageError("Closed", { store: this.#store })
      if (this.#pending >= this.#pendingMax) throw new StorageError("Overloaded", { store: this.#store, pendingMax: this.#pendingMax })
      const [first] = batch
      if (first === undefined) return resolve(this.#sweep())
      const ids = batch.flatMap((operation) => tenantsOf(this.#store, operation))
      // Operations on no leases at all are nobody's.
      const tenant = ids[0] ?? tenantId(this.#store, new Uint8Array(0))
      const id = hexOf(tenant)
      if (ids.some((each) => hexOf(each) !== id)) throw new StorageError("Tenants", { store: this.#store, tenants: [...new Set(ids.map(tenantText))] })
      if (batch.length > 1 && batch.some(({ op }) => op === "erase"))
        throw new StorageError("Failed", { store: this.#store, detail: "a step of an erasure is a batch of its own" })
      // What no table can take would otherwise be found in the middle of a group, which is others' too.
      for (const operation of batch) {
        this.#tableOf(operation)
        if (operation.op === "rewrite") checkRewrite(operation)
        if (operation.op === "import") checkRecord(this.#store, operation.table, operation.record)
      }
      const lane = this.#laneOf(id, tenant)
      if (lane.refusal !== undefined) throw lane.refusal
      if (batch.some((operation) => "ttlMs" in operation && operation.ttlMs !== undefined)) lane.hasEnds = true
      this.#enqueue(lane, { batch, resolve, reject })
      if (isBlocking) this.#goBefore(lane)
    })
  }

  /**
   * Begins a transaction, for which others of the tenant wait; it ends by itself.
   * @throws as `apply`
   */
  begin(tenant: Uint8Array): Promise<Hold> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) throw new StorageError("Closed", { store: this.#store })
      if (this.#pending >= this.#pendingMax) throw new StorageError("Overloaded", { store: this.#store, pendingMax: this.#pendingMax })
      const id = tenantId(this.#store, tenant)
      const lane = this.#laneOf(hexOf(id), id)
      if (lane.refusal !== undefined) throw lane.refusal
      const hold = new Hold(this.#store, this.#limits.sql.transactionMsMax)
      this.#enqueue(lane, { batch: [], hold, resolve: () => resolve(hold), reject })
    })
  }

  /** What a transaction's owner is told that nobody knows any more. */
  ended(): StorageError {
    return new StorageError("Preempted", { store: this.#store, detail: "it has ended" })
  }

  /** Ends every transaction that is open: they may have the sessions that a blocked thread waits for. */
  endAll(): void {
    for (const { hold } of this.#lanes.values()) hold?.end(blocked)
  }

  /** Transactions that have not begun begin after whoever blocks a thread. */
  #goBefore(lane: Lane): void {
    lane.hold?.end(blocked)
    lane.waiting = [...lane.waiting.filter(({ hold }) => hold === undefined), ...lane.waiting.filter(({ hold }) => hold !== undefined)]
  }

  /** Removes what has ended of tenants that this process gave values with an end, some at a time. */
  async #sweep(): Promise<ReadonlyArray<unknown>> {
    const lanes = [...this.#lanes.values()].filter(({ hasEnds, refusal }) => hasEnds && refusal === undefined)
    const from = this.#swept++ * lanesSweptMax
    const due = lanes.length <= lanesSweptMax ? lanes : Array.from({ length: lanesSweptMax }, (_, i) => lanes[(from + i) % lanes.length] as Lane)
    await Promise.all(due.map((lane) => new Promise<unknown>((resolve, reject) => this.#enqueue(lane, { batch: [], resolve, reject }))))
    return []
  }

  #enqueue(lane: Lane, waiting: Waiting): void {
    this.#pending++
    lane.waiting.push(waiting)
    if (lane.isRunning) return
    lane.isRunning = true
    this.#running++
    // Whoever else asks before this turn ends is in the same group.
    queueMicrotask(() => void this.#serve(lane))
  }

  #laneOf(id: string, tenant: Uint8Array): Lane {
    let lane = this.#lanes.get(id)
    if (lane === undefined) {
      if (this.#lanes.size >= lanesMax) {
        for (const [other, { isRunning, refusal }] of this.#lanes) {
          if (isRunning || refusal !== undefined) continue
          this.#lanes.delete(other)
          break
        }
      }
      lane = {
        tenant: new Uint8Array(tenant),
        waiting: [],
        isRunning: false,
        hold: undefined,
        hasEnds: false,
        seen: undefined,
        known: undefined,
        sweptAtMs: Number.NEGATIVE_INFINITY,
        forgotAt: undefined,
        generation: this.#pool.generation,
        refusal: undefined,
      }
      this.#lanes.set(id, lane)
    }
    return lane
  }

  async #serve(lane: Lane): Promise<void> {
    while (lane.waiting.length > 0) {
      if (lane.waiting[0]?.hold !== undefined) {
        await this.#hold(lane, lane.waiting.shift() as Waiting & { readonly hold: Hold })
        this.#pending--
        continue
      }
      let count = 0
      for (let bytes = 0; count < Math.min(lane.waiting.length, groupMax) && (count === 0 || bytes < groupBytesMax); count++) {
        const { batch, hold } = lane.waiting[count] as Waiting
        if ((hold !== undefined || isApart(batch)) && count > 0) break
        bytes += bytesIn(batch)
        if (isApart(batch)) bytes = groupBytesMax
      }
      const taken = lane.waiting.splice(0, count)
      let outcomes: ReadonlyArray<Outcome>
      try {
        outcomes = await this.#commit(
          lane,
          taken.map(({ batch }) => batch),
        )
      } catch (error) {
        outcomes = taken.map(() => ({ error: error as Error }))
      }
      this.#pending -= taken.length
      taken.forEach(({ resolve, reject }, i) => {
        const outcome = outcomes[i] as Outcome
        if ("error" in outcome) reject(outcome.error)
        else resolve(outcome.answers)
      })
    }
    lane.isRunning = false
    if (--this.#running === 0) for (const done of this.#whenDone.splice(0)) done()
  }

  /**
   * Carries out a group: on return every batch with answers is durable.
   * @throws StorageError `Busy`, `Failed`, `Unknown`, `Lost`, `Unreachable`, `Closed`
   */
  async #commit(lane: Lane, batches: ReadonlyArray<ReadonlyArray<Operation>>): Promise<ReadonlyArray<Outcome>> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(lane, batches)
      } catch (error) {
        if (error instanceof SteleError) {
          // A loss stays, whoever asks; what nobody could tell concerns the group that it happened to.
          if (error instanceof StorageError && error.reason._tag === "Lost") lane.refusal = error
          // No session, no transaction.
          if (error instanceof StorageError && error.reason._tag === "Unreachable")
            throw new StorageError("Failed", { store: this.#store, detail: error.reason.detail }, { cause: error })
          throw error
        }
        const mayRetry = error instanceof NotKept || isContended(error) || isLost(error)
        if (!mayRetry || attempt >= attemptsMax) {
          if (isContended(error)) throw new StorageError("Busy", { store: this.#store, waitedMs: attempt * lockMsMax }, { cause: error })
          const known = storageError(this.#pool.address, error)
          if (known instanceof StorageError && known.reason._tag === "Corrupt") throw known
          throw new StorageError("Failed", { store: this.#store, detail: detailOf(error) }, { cause: error })
        }
        await pause(attempt)
      }
    }
  }

  async #attempt(lane: Lane, batches: ReadonlyArray<ReadonlyArray<Operation>>): Promise<ReadonlyArray<Outcome>> {
    const operation = operationId()
    const attempt = await this.#pool.use(async (connection): Promise<Attempt> => {
      const put = await this.#put(lane, batches, operation, connection)
      if (put !== undefined) return put
      let prepared: Prepared
      try {
        prepared = await this.#prepare(lane, batches, connection)
      } catch (error) {
        if (!connection.isDead) await connection.run([{ sql: "ROLLBACK" }])
        throw error
      }
      const { group, outcomes } = prepared
      if (group.isEmpty) {
        // What nobody wrote needs no commit: the tenant's new row neither.
        await connection.run([{ sql: "ROLLBACK" }])
        return { outcomes, asked: undefined }
      }
      return await this.#finish(lane, prepared, operation, connection)
    })
    // Nobody said whether the commit was made: the rows do, as soon as whoever made it is gone.
    if (attempt.asked !== undefined && !(await this.#wasKept(lane.tenant, attempt.asked, operation)))
      throw new NotKept("the connection was lost before the server committed")
    return attempt.outcomes
  }

  /** Writes what was decided, and commits. */
  async #finish(lane: Lane, prepared: Prepared, operation: Uint8Array, connection: Connection): Promise<Attempt> {
    const { head, group, outcomes, writes, atMs = 0 } = prepared
    const sequence = head.sequence + 1
    const digest = group.digest()
    const isErased = prepared.isErased === true
    const record = isErased ? forgetTenant(lane.tenant, group) : this.#record(lane, { sequence, digest, group, operation })
    const answers = await connection.run([...writes, ...record, { sql: "COMMIT" }])
    const commit = answers.at(-1)
    const failed = answers.find((answer): answer is ServerError => answer instanceof ServerError && !answer.isLost)
    // A transaction in which something failed answers its COMMIT so, or not at all: either way nothing is kept.
    if (failed !== undefined && failed !== commit) throw failed
    if (commit instanceof ServerError) return { outcomes, asked: sequence }
    if ((commit as Answer).command !== "COMMIT") throw new NotKept("the server rolled the transaction back")
    lane.seen = isErased ? undefined : { sequence, digest }
    lane.known = isErased ? undefined : knownOf({ revision: group.revision, sequence, digest, forgotten: group.forgotten, nowUs: group.nowUs }, group, atMs)
    lane.generation = this.#pool.generation
    this.#ofAll.add(group.grown)
    return { outcomes, asked: undefined }
  }

  /** Holds a transaction open until its owner ends it, or its time has come. */
  async #hold(lane: Lane, { hold, resolve, reject }: Waiting & { readonly hold: Hold }): Promise<void> {
    const operation = operationId()
    lane.hold = hold
    let committing: Awaited<ReturnType<Hold["carryOut"]>>
    try {
      const asked = await this.#pool.use(async (connection): Promise<number | undefined> => {
        try {
          const prepared = await this.#prepare(lane, [[]], connection)
          const [only] = prepared.outcomes
          if (only !== undefined && "error" in only) throw only.error
          resolve([])
          const { group } = prepared
          committing = await hold.carryOut({ connection, group, store: this.#store, limits: this.#limits.sql, tenant: lane.tenant })
          if (committing !== undefined && !group.isEmpty) return (await this.#finish(lane, prepared, operation, connection)).asked
          await connection.run([{ sql: "ROLLBACK" }])
          return undefined
        } catch (error) {
          if (!connection.isDead) await connection.run([{ sql: "ROLLBACK" }])
          throw error
        }
      })
      if (asked !== undefined && !(await this.#wasKept(lane.tenant, asked, operation))) throw new NotKept("the connection was lost before the server committed")
      committing?.resolve(undefined)
    } catch (error) {
      const failure = this.#failureOf(error)
      if (committing === undefined) reject(failure)
      else committing.reject(failure)
    } finally {
      lane.hold = undefined
      hold.close()
    }
  }

  /** Why nothing of a transaction was kept. */
  #failureOf(error: unknown): Error {
    if (error instanceof SteleError && !(error instanceof StorageError && error.reason._tag === "Unreachable")) return error
    if (isContended(error)) return new StorageError("Busy", { store: this.#store, waitedMs: lockMsMax }, { cause: error })
    return new StorageError("Failed", { store: this.#store, detail: detailOf(error) }, { cause: error })
  }

  /** The group in one statement, if it is one of sets and the tenant is as it was left; undefined: nothing was done. */
  async #put(lane: Lane, batches: ReadonlyArray<ReadonlyArray<Operation>>, operation: Uint8Array, connection: Connection): Promise<Attempt | undefined> {
    const { known, tenant } = lane
    const operations = batches.flat()
    if (operations.length === 0 || !operations.every(isPut)) return undefined
    if (known === undefined || lane.generation !== this.#pool.generation || performance.now() - lane.sweptAtMs > sweepMsMax) return undefined
    if (this.#ofAll.isVague(new Map([[keyValue, operations]]), this.#limits)) return undefined
    const put = putOf({ store: this.#store, limits: this.#limits, tenant }, known, batches, this.#ofAll.bytes, operation)
    if (put === undefined) return undefined
    lane.known = undefined
    const outcomes = put.answers.map((answers) => ({ answers }))
    const [answer] = await connection.run([put.statement])
    if (answer instanceof ServerError) {
      if (!answer.isLost) throw answer
      return { outcomes, asked: put.head.sequence }
    }
    const [row] = (answer as Answer).rows
    if (row === undefined) return undefined
    lane.known = put.known(row)
    lane.seen = { sequence: put.head.sequence, digest: put.head.digest }
    this.#ofAll.add(put.group.grown)
    return { outcomes, asked: undefined }
  }

  /** Locks, reads what the operations will look at, and carries them out in memory. */
  async #prepare(lane: Lane, batches: ReadonlyArray<ReadonlyArray<Operation>>, connection: Connection): Promise<Prepared> {
    const { tenant } = lane
    const context = { store: this.#store, limits: this.#limits, tenant }
    const byTable = new Map<Table, Array<Operation>>()
    for (const operation of batches.flat()) {
      const table = this.#tableOf(operation)
      if (table === undefined) continue
      const list = byTable.get(table)
      if (list === undefined) byTable.set(table, [operation])
      else list.push(operation)
    }
    if (lane.hasEnds && !byTable.has(keyValue)) byTable.set(keyValue, [])
    const drafts = new Map([...byTable].map(([table, operations]) => [table, table.draft(context, operations)]))
    const asksAll = this.#ofAll.isVague(byTable, this.#limits)
    const opening: ReadonlyArray<Statement> = [{ sql: "BEGIN ISOLATION LEVEL READ COMMITTED" }, bindWriter(tenant)]
    const reading: ReadonlyArray<Statement> = [
      { sql: "SELECT name, keys, bytes, sums FROM stele.total WHERE tenant = $1", parameters: [tenant] },
      ...(asksAll ? tables.map(({ name }) => ({ sql: "SELECT stele.bytes_of_all($1) AS bytes", parameters: [name] })) : []),
      ...[...drafts.values()].flatMap(({ load }) => load),
    ]
    let answers: ReadonlyArray<Answer> = (await connection.all([...opening, lock(tenant), ...reading])).slice(opening.length)
    // Nobody had a lock on what is not there: all of it is read again after the row was made.
    if (answers[0]?.rows.length === 0) answers = await connection.all([makeAndLock(tenant), ...reading])
    const atMs = performance.now()
    if (drafts.has(keyValue)) lane.sweptAtMs = atMs
    const head = headOf(this.#store, tenant, answers[0]?.rows[0] as Row)
    await this.#compare(lane, head, connection)
    const fenced = fencedBy(this.#store, answers[0]?.rows[0] as Row)
    if (fenced !== undefined) return { head, group: new Group(head, [], this.#ofAll.bytes), outcomes: batches.map(() => ({ error: fenced })), writes: [] }
    const totals = (answers[1] as Answer).rows
    let at = 2
    if (asksAll) {
      for (const { name } of tables) this.#ofAll.bytes.set(name, Number(answers[at++]?.rows[0]?.["bytes"] ?? 0))
      this.#ofAll.atMs = performance.now()
    }
    const load: Load = (statements) => connection.all(statements)
    for (const draft of drafts.values()) await draft.take(answers.slice(at, (at += draft.load.length)), load)
    const group = new Group(head, totals, this.#ofAll.bytes)
    const [first] = batches[0] ?? []
    if (first?.op === "erase") return await this.#erase(group, head, context, first, connection)
    for (const draft of drafts.values()) draft.sweep?.(group)
    group.keep()
    const sql = (batches[0] ?? []).filter((operation) => operation.op === "sql")
    const outcomes = batches.map((batch): Outcome => {
      const before = group.revision
      try {
        const answers = batch.map((operation) => {
          if (operation.op === "import") {
            checkWhole("revision", operation.revision, 0, importedMax)
            group.raise(operation.revision)
          }
          if (operation.op === "sql") return void group.change(...changeOf(operation))
          return (drafts.get(this.#tableOf(operation) as Table) as Draft).apply(group, operation)
        })
        group.end(true, before)
        return { answers }
      } catch (error) {
        // What one batch is refused for concerns nobody else in the group; anything else is the whole group's.
        if (!(error instanceof SteleError || error instanceof CounterError)) throw error
        group.end(false, before)
        return { error }
      }
    })
    const [only] = outcomes
    if (sql.length > 0 && only !== undefined && "answers" in only) {
      try {
        const results = (await runSql({ ...context, limits: this.#limits.sql }, connection, sql)).values()
        outcomes[0] = { answers: only.answers.map((answer, i) => (batches[0]?.[i]?.op === "sql" ? results.next().value : answer)) }
      } catch (error) {
        if (!(error instanceof SteleError)) throw error
        // The server has given the transaction up: there is nothing left to write.
        await connection.run([{ sql: "ROLLBACK" }, unlocked])
        return { head, group: new Group(head, [], this.#ofAll.bytes), outcomes: [{ error }], writes: [] }
      }
    }
    for (const draft of drafts.values()) await draft.answer?.(group, load)
    if (group.isEmpty) return { head, group, outcomes, writes: [] }
    for (const draft of drafts.values()) await draft.settle?.(group, load)
    return { head, group, outcomes, writes: [...drafts.values()].flatMap((draft) => draft.writes()), atMs }
  }

  #tableOf(operation: Operation): Table | undefined {
    return tableOf(this.#store, operation)
  }

  /** One step of an erasure, carried out at once: there is nothing to decide. */
  async #erase(group: Group, head: Head, context: Context, { countMax, table: named }: Erase, connection: Connection): Promise<Prepared> {
    try {
      checkWhole("countMax", countMax, 1)
    } catch (error) {
      return { head, group, outcomes: [{ error: error as Error }], writes: [] }
    }
    let count = 0
    group.change(utf8.encode("erase"), context.tenant)
    for (const table of named === undefined ? tables : [tableNamed(this.#store, named)]) {
      if (count >= countMax) break
      const erased = await table.erase(context, connection, countMax - count)
      count += erased.count
      for (const [name, { keys, bytes, sums }] of erased.parts) group.add(name, keys, bytes, sums)
    }
    if (named === undefined && count < countMax) count += await eraseSql(context, connection, countMax - count)
    group.keep()
    return { head, group, outcomes: [{ answers: [count] }], writes: [], isErased: count < countMax && named === undefined }
  }

  /** What this process saw committed must be there: a server that lost it, or another that took its place, is not written to. */
  async #compare(lane: Lane, head: Head, connection: Connection): Promise<void> {
    const { seen } = lane
    const refuse = (): never => {
      throw new StorageError("Lost", { store: this.#store, found: head.sequence, known: (seen as Seen).sequence })
    }
    if (seen !== undefined) {
      if (head.sequence < seen.sequence) refuse()
      if (head.sequence === seen.sequence && !Buffer.from(head.digest).equals(seen.digest)) refuse()
      if (head.sequence > seen.sequence && lane.generation !== this.#pool.generation) {
        const [row] = await connection.one("SELECT digest FROM stele.commit_group WHERE tenant = $1 AND sequence = $2", [lane.tenant, BigInt(seen.sequence)])
        if (row !== undefined && !Buffer.from(row["digest"] as Uint8Array).equals(seen.digest)) refuse()
      }
    }
    lane.seen = head.sequence === 0 ? undefined : { sequence: head.sequence, digest: head.digest }
    lane.generation = this.#pool.generation
  }

  /** The group itself: totals, the tenant's newest commit, and the row by which the commit is found again. */
  #record(
    lane: Lane,
    { sequence, digest, group, operation }: { readonly sequence: number; readonly digest: Uint8Array; readonly group: Group; readonly operation: Uint8Array },
  ): ReadonlyArray<Statement> {
    const { tenant } = lane
    const totals = group.changedTotals()
    const [number, revision, now] = [BigInt(sequence), BigInt(group.revision), BigInt(group.nowUs)]
    return [
      ...(totals.length === 0
        ? []
        : [
            {
              sql: "INSERT INTO stele.total (tenant, name, keys, bytes, sums) SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[]) ON CONFLICT (tenant, name) DO UPDATE SET keys = excluded.keys, bytes = excluded.bytes, sums = excluded.sums",
              parameters: [
                tenant,
                totals.map(([name]) => name),
                totals.map(([, { keys }]) => BigInt(keys)),
                totals.map(([, { bytes }]) => BigInt(bytes)),
                totals.map(([, { sums }]) => BigInt(sums)),
              ],
            },
          ]),
      {
        sql: "INSERT INTO stele.commit_group (tenant, sequence, revision, operation, digest, committed_us) VALUES ($1, $2::bigint, $3::bigint, $4, $5, $6::bigint)",
        parameters: [tenant, number, revision, operation, digest, now],
      },
      update(tenant, { revision: group.revision, sequence, digest, nowUs: group.nowUs, forgotten: group.forgotten }),
      ...this.#forget(lane, sequence, group.nowUs),
    ]
  }

  /** Old commits, when a multiple of `commitsSwept` was passed since the last time. They are in the order of their times: the oldest are enough. */
  #forget(lane: Lane, sequence: number, nowUs: number): ReadonlyArray<Statement> {
    const isDue = Math.floor(sequence / commitsSwept) > Math.floor((lane.forgotAt ?? sequence - 1) / commitsSwept)
    if (isDue || lane.forgotAt === undefined) lane.forgotAt = sequence
    if (!isDue) return []
    return [
      {
        sql: "DELETE FROM stele.commit_group WHERE tenant = $1 AND sequence <= (SELECT max(sequence) FROM (SELECT sequence, committed_us FROM stele.commit_group WHERE tenant = $1 AND sequence <= $2::bigint ORDER BY sequence LIMIT $4) AS oldest WHERE committed_us < $3::bigint)",
        parameters: [lane.tenant, BigInt(sequence - commitRowsMax), BigInt(nowUs - commitAgeUsMax), commitsForgottenMax],
      },
    ]
  }

  /**
   * Was the commit made whose answer was lost? The tenant's lock is free when the session that asked for it is over, and
   * then the rows tell. @throws StorageError `Unknown` when the server cannot be asked for `resolveMsMax`
   */
  async #wasKept(tenant: Uint8Array, sequence: number, operation: Uint8Array): Promise<boolean> {
    const untilMs = performance.now() + resolveMsMax
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#pool.use(async (connection) => {
          const found = await connection.run([
            { sql: "BEGIN" },
            bind(tenant),
            makeAndLock(tenant),
            { sql: "SELECT operation FROM stele.commit_group WHERE tenant = $1 AND sequence = $2", parameters: [tenant, BigInt(sequence)] },
            { sql: "ROLLBACK" },
          ])
          for (const answer of found) if (answer instanceof ServerError) throw answer
          const [head, row] = [(found[2] as Answer).rows[0], (found[3] as Answer).rows[0]]
          if (row !== undefined) return Buffer.from(row["operation"] as Uint8Array).equals(operation)
          if (Number(head?.["sequence"]) < sequence) return false
          throw new StorageError("Unknown", { store: this.#store, detail: `what commit ${sequence} of "${tenantText(tenant)}" was is no longer known` })
        })
      } catch (error) {
        if (error instanceof StorageError && error.reason._tag !== "Unreachable") throw error
        if (performance.now() > untilMs)
          throw new StorageError("Unknown", { store: this.#store, detail: `${detailOf(error)}, for ${resolveMsMax} ms` }, { cause: error })
        await pause(attempt)
      }
    }
  }

  /** What another thread knows of a tenant that it wrote for. */
  take({ tenant, seen, known, sweptAtMs, bytesOfAll }: Handed): void {
    this.#ofAll.add(bytesOfAll)
    const lane = this.#laneOf(hexOf(tenant), tenant)
    if (seen === undefined || (lane.seen !== undefined && lane.seen.sequence > seen.sequence)) return
    lane.seen = seen
    lane.generation = known === undefined ? -1 : this.#pool.generation
    lane.known = known === undefined ? undefined : { ...known, atMs: ownMs(known.atMs) }
    lane.sweptAtMs = ownMs(sweptAtMs)
  }

  /** What is known here, for another thread that writes next; undefined while there is more to do. */
  hand(tenant: Uint8Array): Handed | undefined {
    const lane = this.#lanes.get(hexOf(tenant))
    if (lane?.known === undefined || lane.isRunning || lane.refusal !== undefined || lane.generation !== this.#pool.generation) return undefined
    const { known, seen, sweptAtMs } = lane
    lane.known = undefined
    return {
      tenant,
      seen,
      known: { ...known, atMs: sharedMs(known.atMs) },
      sweptAtMs: sharedMs(sweptAtMs),
      bytesOfAll: this.#ofAll.bytes,
      bytesOfAllAtMs: sharedMs(this.#ofAll.atMs),
    }
  }

  /** The same for a commit of another thread, which is seen here if it was made. */
  async wasKept(tenant: Uint8Array, { sequence, digest }: Seen, operation: Uint8Array): Promise<boolean> {
    const lane = this.#laneOf(hexOf(tenant), tenant)
    const isKept = await this.#wasKept(tenant, sequence, operation)
    if (isKept && (lane.seen === undefined || lane.seen.sequence < sequence)) {
      lane.seen = { sequence, digest }
      lane.generation = -1
    }
    return isKept
  }

  /** Waits for what was asked for. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const { hold, waiting } of this.#lanes.values()) for (const each of [hold, ...waiting.map(({ hold }) => hold)]) each?.end("the store is closed")
    if (this.#running > 0) await new Promise<void>((done) => this.#whenDone.push(done))
  }
}

const knownOf = (head: Head, group: Group, atMs: number): Known => ({
  head,
  keyValue: group.total("key_value"),
  changes: group.total("key_value_change"),
  atMs,
})

/** @throws StorageError `Record` for what is no record at all */
const checkRecord = (...given: ConstructorParameters<typeof Fields>): unknown => new Fields(...given)

/** Removes a tenant's own rows. Should it come back, its numbers go on above all that it had. */
const forgetTenant = (tenant: Uint8Array, group: Group): ReadonlyArray<Statement> => [
  { sql: "DELETE FROM stele.total WHERE tenant = $1", parameters: [tenant] },
  { sql: "DELETE FROM stele.commit_group WHERE tenant = $1", parameters: [tenant] },
  {
    sql: "UPDATE stele.format SET floor = GREATEST(floor, $2::bigint, (SELECT sequence + 1 FROM stele.tenant WHERE tenant = $1))",
    parameters: [tenant, BigInt(group.revision)],
  },
  { sql: "DELETE FROM stele.tenant WHERE tenant = $1", parameters: [tenant] },
]
