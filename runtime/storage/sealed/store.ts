/**
 * Any store with its values sealed: those that are written are encrypted before the store below sees them, those that are read
 * are opened after. `docs/adr/0016-encryption.md` says against whom, and what stays visible.
 */
import { type StoreLimitOptions, type StoreLimits, storeLimitsFrom } from "../../port/limits.ts"
import { type Place, textOf } from "../../port/place.ts"
import type { Answers, BatchResults, Finding, Operation, Question, Store } from "../../port/store.ts"
import type { TenantRecord } from "../../port/tenant.ts"
import { copyOf } from "../operation.ts"
import { applied, placeName } from "./batch.ts"
import { type Keyring, table as keyValue } from "./keyring.ts"
import { openedQueueField, plainTextBytes, queueFields, queueTable, sealedTextBytes } from "./job.ts"
import { readAll, table as referenceTable } from "./object-read.ts"
import { placeIn } from "../queue-row.ts"
import { asked } from "./open.ts"
import { isOwn } from "./place.ts"
import { ringBytesMax } from "./ring.ts"
import { sealBytes } from "./seal.ts"
import { run, runSync, type Steps } from "./step.ts"
import { isOwnRecord, isSealedTable, sealedField } from "./table.ts"
import { opened, openedBy } from "./value.ts"

const pageMax = 1_000

/**
 * Limits with which to open the store below, so that values as large as `limits` has them fit once they are sealed: they are given to
 * `sealed` as well. Quotas count sealed bytes.
 */
export function roomForSeals(limits: StoreLimitOptions): StoreLimitOptions {
  const { keyValue, event, log, queue } = storeLimitsFrom(limits)
  return {
    ...limits,
    keyValue: { ...limits.keyValue, valueBytesMax: Math.max(keyValue.valueBytesMax + sealBytes, ringBytesMax) },
    event: { ...limits.event, payloadBytesMax: event.payloadBytesMax + sealBytes },
    log: { ...limits.log, payloadBytesMax: log.payloadBytesMax + sealBytes },
    queue: { ...limits.queue, payloadBytesMax: queue.payloadBytesMax + sealBytes, errorBytesMax: sealedTextBytes(queue.errorBytesMax) },
  }
}

/** What may be put into a store whose own limits are these, at most. */
const lessSeals = (bytes: number): number => Math.max(0, bytes - sealBytes)

class SealedStore implements Store {
  readonly limits: StoreLimits
  readonly #store: Store
  readonly #keyring: Keyring
  /** Who counts on a key, one after the other: those who wait here do not spoil each other's reading. */
  readonly #counting = new Map<string, Promise<unknown>>()

  constructor(store: Store, keyring: Keyring, limits: StoreLimitOptions) {
    this.#store = store
    this.#keyring = keyring
    const { keyValue, event, log, queue } = store.limits
    const given = storeLimitsFrom(limits)
    this.limits = {
      ...store.limits,
      keyValue: { ...keyValue, valueBytesMax: Math.min(given.keyValue.valueBytesMax, lessSeals(keyValue.valueBytesMax)) },
      event: { ...event, payloadBytesMax: Math.min(given.event.payloadBytesMax, lessSeals(event.payloadBytesMax)) },
      log: { ...log, payloadBytesMax: Math.min(given.log.payloadBytesMax, lessSeals(log.payloadBytesMax)) },
      queue: {
        ...queue,
        payloadBytesMax: Math.min(given.queue.payloadBytesMax, lessSeals(queue.payloadBytesMax)),
        errorBytesMax: Math.min(given.queue.errorBytesMax, plainTextBytes(queue.errorBytesMax)),
      },
    }
  }

  get name(): string {
    return this.#store.name
  }

  async apply<const B extends ReadonlyArray<Operation>>(batch: B): Promise<BatchResults<B>> {
    const copied = batch.map(copyOf)
    const names = [...new Set(copied.flatMap((operation) => (operation.op === "increment" ? [placeName(operation)] : [])))].toSorted()
    return (await this.#inTurn(names, () => run(this.#store, applied(this.#keyring, copied, this.limits)))) as BatchResults<B>
  }

  /** After whoever else counts on one of these keys. */
  #inTurn<A>(names: ReadonlyArray<string>, work: () => Promise<A>): Promise<A> {
    if (names.length === 0) return work()
    const before = names.flatMap((name) => this.#counting.get(name) ?? [])
    const done = before.length === 0 ? work() : Promise.all(before).then(work)
    const settled = done.then(
      () => {},
      () => {},
    )
    for (const name of names) this.#counting.set(name, settled)
    void settled.then(() => {
      for (const name of names) if (this.#counting.get(name) === settled) this.#counting.delete(name)
    })
    return done
  }

  applySync<const B extends ReadonlyArray<Operation>>(batch: B): BatchResults<B> {
    return runSync(this.#store, applied(this.#keyring, batch.map(copyOf), this.limits)) as BatchResults<B>
  }

  async ask<Q extends Question>(question: Q): Promise<Answers[Q["ask"]]> {
    return run(this.#store, asked(this.#keyring, question))
  }

  askSync<Q extends Question>(question: Q): Answers[Q["ask"]] {
    return question.ask === "get" ? (this.#getSync(question) as Answers[Q["ask"]]) : runSync(this.#store, asked(this.#keyring, question))
  }

  /** The one question that guests ask all the time: without steps, if the keys are at hand. */
  #getSync(question: Place & { readonly ask: "get" }): Answers["get"] {
    const found = this.#store.askSync(question)
    if (found === undefined) return undefined
    const ring = this.#keyring.cached(question.tenant)?.ring
    const value = ring === undefined || isOwn(question.key) ? undefined : openedBy(this.#keyring, ring, keyValue, question, found.value)
    return value === undefined ? runSync(this.#store, asked(this.#keyring, question)) : { value, version: found.version, expiresAtUs: found.expiresAtUs }
  }

  onCommit(listener: () => void): () => void {
    return this.#store.onCommit(listener)
  }

  /** What the store below finds, and every value, job and object that does not open; objects where the keyring knows them. */
  async check(): Promise<ReadonlyArray<Finding>> {
    const findings: Array<Finding> = [...(await this.#store.check())]
    const tables = (await this.#store.ask({ ask: "tables" })).filter(
      (table) => isSealedTable(table) || table === queueTable || (table === referenceTable && this.#keyring.objects !== undefined),
    )
    for (let after: Uint8Array | undefined; ;) {
      const tenants = await this.#store.ask({ ask: "tenants", after, countMax: pageMax })
      for (const tenant of tenants) for (const table of tables) findings.push(...(await this.#checkTable(tenant, table)))
      after = tenants.at(-1)
      if (after === undefined) return findings
    }
  }

  /** What a record has sealed, each with how it is named and how it is opened. */
  *#sealedIn(tenant: Uint8Array, table: string, record: TenantRecord): Generator<readonly [key: string, bytes: Uint8Array, steps: Steps<unknown>]> {
    if (isOwnRecord(table, record)) return
    const { digest, bytes, revision, version } = record.fields
    if (table === referenceTable) {
      if (!(digest instanceof Uint8Array)) return
      const referred = { tenant, key: record.order, digest, bytes: Number(bytes), revision: Number(revision) }
      yield [textOf(record.order), digest, readAll(this.#keyring, referred)]
    } else if (table === queueTable) {
      for (const each of queueFields(tenant, record))
        yield [textOf(placeIn(record.order)?.key ?? record.order), each.stored, openedQueueField(this.#keyring, each)]
    } else {
      const field = sealedField(table, tenant, record)
      const number = typeof version === "bigint" ? Number(version) : undefined
      if (field !== undefined) yield [textOf(field.place.key), field.bytes, opened(this.#keyring, table, field.place, field.bytes, number)]
    }
  }

  async #checkTable(tenant: Uint8Array, table: string): Promise<ReadonlyArray<Finding>> {
    const findings: Array<Finding> = []
    for (let after: Uint8Array | undefined; ;) {
      let page: Answers["export"]
      try {
        page = await this.#store.ask({ ask: "export", tenant, table, after, countMax: pageMax })
      } catch {
        // Its own check has named the row that nobody reads beyond.
        return findings
      }
      for (const record of page.records) {
        for (const [key, bytes, steps] of this.#sealedIn(tenant, table, record)) {
          try {
            await run(this.#store, steps, this.#keyring.objects)
          } catch (error) {
            // A row that was resealed since the page was read is no finding: it is read again.
            if (await this.#isStill(tenant, table, after, record.order, bytes)) findings.push({ table, key, detail: (error as Error).message })
          }
        }
      }
      after = page.records.at(-1)?.order
      if (page.isComplete || after === undefined) return findings
    }
  }

  /** Has this record still these bytes in it, in the page that begins after `after`? */
  async #isStill(tenant: Uint8Array, table: string, after: Uint8Array | undefined, order: Uint8Array, bytes: Uint8Array): Promise<boolean> {
    const { records } = await this.#store.ask({ ask: "export", tenant, table, after, countMax: pageMax })
    const found = records.find((record) => Buffer.compare(record.order, order) === 0)
    return found !== undefined && Object.values(found.fields).some((field) => field instanceof Uint8Array && Buffer.compare(field, bytes) === 0)
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/**
 * A store over another one that keeps values sealed by the keys of a ring that was opened over it; `limits` say how large a value may be before
 * it is sealed. Closing it closes the one below.
 */
export const sealed = (store: Store, keyring: Keyring, limits: StoreLimitOptions = {}): Store => new SealedStore(store, keyring, limits)
