/** Rows that say which object a tenant's key stands for. */
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { ConfigError } from "../../../schemas/error/config.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { checkLimit } from "../../../host/port/port.ts"
import type { BlobAnswers, BlobOperation, BlobQuestion, BlobReference, BlobResults } from "../../port/blob.ts"
import type { StoreLimits } from "../../port/limits.ts"
import { bytesOf, type Place, textOf } from "../../port/place.ts"
import type { Finding } from "../../port/store.ts"
import type { Rewrite, TenantRecord } from "../../port/tenant.ts"
import { checkWhole } from "../operation.ts"
import { Fields } from "../record.ts"
import { after, rowsMax, sumOf } from "../row.ts"
import { statementsOf } from "./statement.ts"
import type { Table, TableContext } from "./table.ts"
import { everybody, Recount, TotalTable } from "./totals.ts"
import type { Group } from "./writer.ts"

type Row = BlobReference & { readonly sum: number }

const utf8 = new TextEncoder()
const [linkWord, unlinkWord] = ["link", "unlink"].map((word) => utf8.encode(word)) as [Uint8Array, Uint8Array]
const columns = "digest, bytes, created_us AS createdAtUs, revision, sum"
const digestBytes = 32

const sumOfRow = (place: Place, { digest, bytes, createdAtUs, revision }: BlobReference): number => sumOf(place, digest, revision, bytes, createdAtUs)

function checkDigest(digest: Uint8Array): void {
  if (!(digest instanceof Uint8Array) || digest.length !== digestBytes)
    throw new ConfigError("Option", {
      option: "digest",
      expected: "32 bytes of SHA-256",
      actual: digest instanceof Uint8Array ? `${digest.length}` : typeof digest,
    })
}

export class BlobTable implements Table<BlobOperation, BlobQuestion> {
  static readonly operations = ["link", "unlink"] as const
  static readonly refusedFirst = BlobTable.operations
  static readonly questions = ["blob", "blobs", "linked", "references"] as const
  readonly name = "blob_reference"
  readonly counts = "object"
  readonly totals: TotalTable
  readonly #database: DatabaseSync
  readonly #store: string
  readonly #limits: StoreLimits["blob"]
  readonly #get: StatementSync
  readonly #writing: (sql: string) => StatementSync

  constructor({ database, store, limits }: TableContext) {
    this.#database = database
    this.#limits = limits.blob
    this.#store = store
    this.#writing = statementsOf(database)
    this.totals = new TotalTable(database, "blob_reference_total")
    this.#get = database.prepare(`SELECT ${columns} FROM blob_reference WHERE tenant = ? AND key = ?`)
  }

  ask(question: BlobQuestion): BlobAnswers[BlobQuestion["ask"]] {
    switch (question.ask) {
      case "blob": {
        const row = this.#row(question)
        return row === undefined ? undefined : this.#verified(question, row)
      }
      case "blobs": {
        const { tenant, key: prefix, beyond, countMax } = question
        const rows = this.#writing(
          `SELECT key, ${columns} FROM blob_reference WHERE tenant = ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3) AND (?4 IS NULL OR key > ?4) ORDER BY key LIMIT ?5`,
        ).all(tenant, prefix, after(prefix) ?? null, beyond ?? null, rowsMax(countMax)) as unknown as ReadonlyArray<Row & { readonly key: Uint8Array }>
        return rows.map(({ key, ...row }) => ({ key, ...this.#verified({ tenant, key }, row) }))
      }
      case "linked":
        return question.digests.map((digest) => {
          checkDigest(digest)
          const found = this.#writing(`SELECT tenant, key, ${columns} FROM blob_reference WHERE digest = ? LIMIT 1`).get(digest)
          if (found === undefined) return false
          const { tenant, key, ...row } = found as unknown as Row & Place
          this.#verified({ tenant, key }, row)
          return true
        })
      case "references": {
        const { beyond, countMax } = question
        const rows = this.#writing(
          `SELECT tenant, key, ${columns} FROM blob_reference WHERE ?1 IS NULL OR (tenant, key) > (?1, ?2) ORDER BY tenant, key LIMIT ?3`,
        ).all(beyond?.tenant ?? null, beyond?.key ?? null, rowsMax(countMax)) as unknown as ReadonlyArray<Row & Place>
        return rows.map(({ tenant, key, ...row }) => ({ tenant, key, ...this.#verified({ tenant, key }, row) }))
      }
    }
  }

  #row({ tenant, key }: Place): Row | undefined {
    return this.#get.get(tenant, key) as Row | undefined
  }

  #verified(place: Place, row: Row): BlobReference {
    const { sum, ...reference } = row
    if (sumOfRow(place, row) !== sum) throw new StorageError("Corrupt", { store: this.#store, table: this.name, key: textOf(place.key) })
    return reference
  }

  apply(group: Group, operation: BlobOperation): BlobResults[BlobOperation["op"]] {
    const { tenant, key } = operation
    const old = this.#row(operation)
    if (operation.op === "unlink") {
      if (old === undefined) return false
      group.change(unlinkWord, tenant, key)
      this.#writing("DELETE FROM blob_reference WHERE tenant = ? AND key = ?").run(tenant, key)
      group.totals(this.totals).add(tenant, -1, -old.bytes, old.sum)
      return true
    }
    const { digest, bytes } = operation
    this.#checkRoom(group, operation, old, digest, bytes)
    const revision = group.change(linkWord, tenant, key, digest, utf8.encode(String(bytes)))
    this.#put(group, operation, old, { digest, bytes, createdAtUs: group.nowUs, revision })
    return revision
  }

  #checkRoom(group: Group, place: Place, old: Row | undefined, digest: Uint8Array, bytes: number): void {
    const limits = this.#limits
    const totals = group.totals(this.totals)
    checkDigest(digest)
    checkWhole("bytes", bytes, 0)
    checkLimit("blob", "keyBytesMax", "bytes", limits.keyBytesMax, bytesOf(place))
    checkLimit("blob", "objectBytesMax", "bytes", limits.objectBytesMax, bytes)
    const used = totals.get(place.tenant)
    const grown = bytes - (old?.bytes ?? 0)
    if (old === undefined) checkLimit("blob", "tenantObjectsMax", "objects", limits.tenantObjectsMax, used.keys + 1)
    checkLimit("blob", "tenantBytesMax", "bytes", limits.tenantBytesMax, used.bytes + grown)
    checkLimit("blob", "totalBytesMax", "bytes", limits.totalBytesMax, totals.get(everybody).bytes + grown)
  }

  #put(group: Group, place: Place, old: Row | undefined, reference: BlobReference): void {
    const { digest, bytes, createdAtUs, revision } = reference
    const sum = sumOfRow(place, reference)
    this.#writing(
      "INSERT INTO blob_reference (tenant, key, digest, bytes, created_us, revision, sum) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, key) DO UPDATE SET digest = excluded.digest, bytes = excluded.bytes, created_us = excluded.created_us, revision = excluded.revision, sum = excluded.sum",
    ).run(place.tenant, place.key, digest, bytes, createdAtUs, revision, sum)
    group.totals(this.totals).add(place.tenant, old === undefined ? 1 : 0, bytes - (old?.bytes ?? 0), sum ^ (old?.sum ?? 0))
  }

  *export(tenant: Uint8Array, beyond: Uint8Array | undefined): Generator<TenantRecord> {
    const rows = this.#database
      .prepare(`SELECT key, ${columns} FROM blob_reference WHERE tenant = ?1 AND (?2 IS NULL OR key > ?2) ORDER BY key`)
      .iterate(tenant, beyond ?? null)
    for (const each of rows) {
      const { key, ...row } = each as unknown as Row & { readonly key: Uint8Array }
      const { digest, bytes, createdAtUs, revision } = this.#verified({ tenant, key }, row)
      yield { order: key, fields: { digest, bytes: BigInt(bytes), createdAtUs: BigInt(createdAtUs), revision: BigInt(revision) } }
    }
  }

  import(group: Group, tenant: Uint8Array, record: TenantRecord): void {
    const fields = new Fields(this.#store, this.name, record)
    const [digest, bytes, createdAtUs, revision] = [
      fields.bytes("digest"),
      fields.integer("bytes"),
      fields.integer("createdAtUs"),
      fields.integer("revision", 1),
    ]
    fields.end()
    if (digest.length !== digestBytes) throw fields.refusal("its digest is not of 32 bytes")
    if (revision > group.revision) throw fields.refusal(`its revision ${revision} is above that of its export`)
    const place = { tenant, key: record.order }
    const old = this.#row(place)
    this.#checkRoom(group, place, old, digest, bytes)
    this.#put(group, place, old, { digest, bytes, createdAtUs, revision })
  }

  rewrite(group: Group, { tenant, order: key, field, from, to }: Rewrite): boolean {
    if (field !== "digest" || to.length !== digestBytes)
      throw new StorageError("Record", { store: this.#store, table: this.name, detail: `its field "${field}" is no digest of ${digestBytes} bytes` })
    const place = { tenant, key }
    const old = this.#row(place)
    if (old === undefined || Buffer.compare(this.#verified(place, old).digest, from) !== 0) return false
    const revision = group.change(linkWord, tenant, key, to, utf8.encode(String(old.bytes)))
    this.#put(group, place, old, { digest: to, bytes: old.bytes, createdAtUs: old.createdAtUs, revision })
    return true
  }

  erase(group: Group, tenant: Uint8Array, countMax: number): number {
    const rows = this.#writing(
      "DELETE FROM blob_reference WHERE tenant = ?1 AND key IN (SELECT key FROM blob_reference WHERE tenant = ?1 LIMIT ?2) RETURNING bytes, sum",
    ).all(tenant, countMax)
    for (const { bytes, sum } of rows) group.totals(this.totals).add(tenant, -1, -Number(bytes), Number(sum))
    return rows.length
  }

  check(): ReadonlyArray<Finding> {
    const table = this.name
    const findings: Array<Finding> = []
    const recount = new Recount()
    for (const each of this.#database.prepare(`SELECT tenant, key, ${columns} FROM blob_reference`).iterate()) {
      const { tenant, key, ...row } = each as unknown as Row & Place
      if (sumOfRow({ tenant, key }, row) !== row.sum) findings.push({ table, key: textOf(key), detail: "its bytes are not those that were written" })
      recount.add(tenant, 1, row.bytes, row.sum)
    }
    return [...findings, ...recount.compare(table, this.totals)]
  }
}
