/** Rows that say which object a tenant's key stands for. */
import { checkLimit } from "../../../host/port/port.ts"
import { ConfigError } from "../../../schemas/error/config.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { BlobOperation, BlobQuestion, BlobReference, BlobResults } from "../../port/blob.ts"
import { textOf } from "../../port/place.ts"
import type { Finding } from "../../port/store.ts"
import type { Rewrite } from "../../port/tenant.ts"
import { checkWhole } from "../operation.ts"
import { Fields } from "../record.ts"
import { after, rowsMax, sumOf } from "../row.ts"
import type { Answer, Row, Statement } from "./connection.ts"
import type { Group } from "./group.ts"
import { cut, eachOf, eraseRows, rowsOf } from "./rows.ts"
import type { Context, Draft, Import, Page, Query, Table } from "./table.ts"
import { bytesOf, hexOf, nameOfTenant, tenantName } from "./tenant.ts"

const name = "blob_reference"
const utf8 = new TextEncoder()
const [linkWord, unlinkWord, importWord] = ["link", "unlink", "import"].map((word) => utf8.encode(word)) as [Uint8Array, Uint8Array, Uint8Array]
const columns = "key, digest, bytes, created_us, revision, sum"
const digestBytes = 32

type Found = BlobReference & { readonly key: Uint8Array; readonly sum: number }

const sumOfRow = (tenant: Uint8Array, key: Uint8Array, { digest, bytes, createdAtUs, revision }: BlobReference): number =>
  sumOf({ tenant, key }, digest, revision, bytes, createdAtUs)

const foundOf = (row: Row): Found => ({
  key: row["key"] as Uint8Array,
  digest: row["digest"] as Uint8Array,
  bytes: Number(row["bytes"]),
  createdAtUs: Number(row["created_us"]),
  revision: Number(row["revision"]),
  sum: Number(row["sum"]),
})

/** @throws StorageError `Corrupt` */
function referenceOf(store: string, tenant: Uint8Array, row: Row): BlobReference {
  const { key, sum, ...reference } = foundOf(row)
  if (sumOfRow(tenant, key, reference) !== sum) throw new StorageError("Corrupt", { store, table: name, key: textOf(key) })
  return reference
}

function checkDigest(digest: Uint8Array): void {
  if (!(digest instanceof Uint8Array) || digest.length !== digestBytes)
    throw new ConfigError("Option", {
      option: "digest",
      expected: "32 bytes of SHA-256",
      actual: digest instanceof Uint8Array ? `${digest.length}` : typeof digest,
    })
}

class BlobDraft implements Draft<BlobOperation | Import | Rewrite> {
  readonly load: ReadonlyArray<Statement>
  readonly #context: Context
  readonly #found = new Map<string, Found>()
  readonly #changed = new Map<string, Uint8Array>()

  constructor(context: Context, operations: ReadonlyArray<BlobOperation | Import | Rewrite>) {
    this.#context = context
    const keys = operations.map((operation) =>
      operation.op === "import" ? operation.record.order : operation.op === "rewrite" ? operation.order : operation.key,
    )
    this.load = [{ sql: `SELECT found.* FROM unnest($2::bytea[]) AS asked(key) ${eachOf("blob_reference", columns)}`, parameters: [context.tenant, keys] }]
  }

  async take([answer]: ReadonlyArray<Answer>): Promise<void> {
    for (const row of answer?.rows ?? []) {
      const found = foundOf(row)
      this.#found.set(hexOf(found.key), found)
    }
  }

  apply(group: Group, operation: BlobOperation | Import | Rewrite): BlobResults[BlobOperation["op"]] | undefined {
    if (operation.op === "import") return this.#import(group, operation)
    if (operation.op === "rewrite") return this.#rewrite(group, operation)
    const { tenant } = this.#context
    const { key } = operation
    const old = this.#found.get(hexOf(key))
    if (operation.op === "unlink") {
      if (old === undefined) return false
      group.change(unlinkWord, tenant, key)
      this.#put(group, key, undefined)
      group.add(name, -1, -old.bytes, old.sum)
      return true
    }
    const { digest, bytes } = operation
    this.#checkRoom(group, key, old, digest, bytes)
    const revision = group.change(linkWord, tenant, key, digest, utf8.encode(String(bytes)))
    this.#keep(group, key, old, { digest, bytes, createdAtUs: group.nowUs, revision })
    return revision
  }

  #checkRoom(group: Group, key: Uint8Array, old: Found | undefined, digest: Uint8Array, bytes: number): void {
    const limits = this.#context.limits.blob
    checkDigest(digest)
    checkWhole("bytes", bytes, 0)
    checkLimit("blob", "keyBytesMax", "bytes", limits.keyBytesMax, bytesOf(this.#context.tenant, key))
    checkLimit("blob", "objectBytesMax", "bytes", limits.objectBytesMax, bytes)
    const used = group.total(name)
    const grown = bytes - (old?.bytes ?? 0)
    if (old === undefined) checkLimit("blob", "tenantObjectsMax", "objects", limits.tenantObjectsMax, used.keys + 1)
    checkLimit("blob", "tenantBytesMax", "bytes", limits.tenantBytesMax, used.bytes + grown)
    checkLimit("blob", "totalBytesMax", "bytes", limits.totalBytesMax, group.bytesOfAll(name) + grown)
  }

  #keep(group: Group, key: Uint8Array, old: Found | undefined, reference: BlobReference): void {
    const sum = sumOfRow(this.#context.tenant, key, reference)
    this.#put(group, key, { key, ...reference, sum })
    group.add(name, old === undefined ? 1 : 0, reference.bytes - (old?.bytes ?? 0), sum ^ (old?.sum ?? 0))
  }

  #import(group: Group, { record }: Import): undefined {
    const fields = new Fields(this.#context.store, name, record)
    const [digest, bytes, createdAtUs, revision] = [
      fields.bytes("digest"),
      fields.integer("bytes"),
      fields.integer("createdAtUs"),
      fields.integer("revision", 1),
    ]
    fields.end()
    if (digest.length !== digestBytes) throw fields.refusal("its digest is not of 32 bytes")
    if (revision > group.revision) throw fields.refusal(`its revision ${revision} is above that of its export`)
    const old = this.#found.get(hexOf(record.order))
    this.#checkRoom(group, record.order, old, digest, bytes)
    group.change(importWord, this.#context.tenant, record.order, digest)
    this.#keep(group, record.order, old, { digest, bytes, createdAtUs, revision })
    return undefined
  }

  #rewrite(group: Group, { order: key, field, from, to }: Rewrite): boolean {
    const { store, tenant } = this.#context
    if (field !== "digest" || to.length !== digestBytes)
      throw new StorageError("Record", { store, table: name, detail: `its field "${field}" is no digest of ${digestBytes} bytes` })
    const old = this.#found.get(hexOf(key))
    if (old === undefined) return false
    const { bytes, createdAtUs, digest } = old
    if (sumOfRow(tenant, key, old) !== old.sum) throw new StorageError("Corrupt", { store, table: name, key: textOf(key) })
    if (Buffer.compare(digest, from) !== 0) return false
    const revision = group.change(linkWord, tenant, key, to, utf8.encode(String(bytes)))
    this.#keep(group, key, old, { digest: to, bytes, createdAtUs, revision })
    return true
  }

  #put(group: Group, key: Uint8Array, found: Found | undefined): void {
    const id = hexOf(key)
    const before = this.#found.get(id)
    const put = (to: Found | undefined): void => void (to === undefined ? this.#found.delete(id) : this.#found.set(id, to))
    this.#changed.set(id, key)
    group.undo(() => put(before))
    put(found)
  }

  writes(): ReadonlyArray<Statement> {
    const { tenant } = this.#context
    const kept = [...this.#changed.keys()].flatMap((id) => this.#found.get(id) ?? [])
    const gone = [...this.#changed].flatMap(([id, key]) => (this.#found.has(id) ? [] : [key]))
    const statements: Array<Statement> = []
    if (kept.length > 0)
      statements.push({
        sql: "INSERT INTO stele.blob_reference (tenant, key, digest, bytes, created_us, revision, sum) SELECT $1, * FROM unnest($2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) ON CONFLICT (tenant, key) DO UPDATE SET digest = excluded.digest, bytes = excluded.bytes, created_us = excluded.created_us, revision = excluded.revision, sum = excluded.sum",
        parameters: [
          tenant,
          kept.map(({ key }) => key),
          kept.map(({ digest }) => digest),
          kept.map(({ bytes }) => BigInt(bytes)),
          kept.map(({ createdAtUs }) => BigInt(createdAtUs)),
          kept.map(({ revision }) => BigInt(revision)),
          kept.map(({ sum }) => BigInt(sum)),
        ],
      })
    if (gone.length > 0)
      statements.push({ sql: "DELETE FROM stele.blob_reference WHERE tenant = $1 AND key IN (SELECT unnest($2::bytea[]))", parameters: [tenant, gone] })
    return statements
  }
}

/** Questions about all tenants: for the role that sees them. */
export function askOfAll(store: string, question: Extract<BlobQuestion, { readonly ask: "linked" | "references" }>): Query {
  if (question.ask === "linked") {
    for (const digest of question.digests) checkDigest(digest)
    return {
      statements: [
        {
          sql: `SELECT DISTINCT ON (digest) tenant, ${columns} FROM stele.blob_reference WHERE digest = ANY($1::bytea[]) ORDER BY digest`,
          parameters: [question.digests],
        },
      ],
      answer(rows) {
        const found = new Set(rows.map((row) => hexOf(referenceOf(store, row["tenant"] as Uint8Array, row).digest)))
        return question.digests.map((digest) => found.has(hexOf(digest)))
      },
    }
  }
  const { beyond, countMax } = question
  const parameters: Array<unknown> = [BigInt(rowsMax(countMax)), ...(beyond === undefined ? [] : [beyond.tenant, beyond.key])]
  return {
    statements: [
      {
        sql: `SELECT tenant, ${columns} FROM stele.blob_reference${beyond === undefined ? "" : ` WHERE (${tenantName}, key) > ($2, $3)`} ORDER BY ${tenantName}, key LIMIT $1`,
        parameters,
      },
    ],
    answer: (rows) =>
      rows.map((row) => ({
        tenant: nameOfTenant(row["tenant"] as Uint8Array),
        key: row["key"] as Uint8Array,
        ...referenceOf(store, row["tenant"] as Uint8Array, row),
      })),
  }
}

export const blobTable: Table<BlobOperation, Extract<BlobQuestion, { readonly ask: "blob" | "blobs" }>> = {
  name,
  counts: "object",
  operations: ["link", "unlink"],
  questions: ["blob", "blobs"],
  bytesMax: ({ blob }) => blob.totalBytesMax,
  grows: (operation) => (operation.op === "link" ? operation.bytes : 0),
  draft: (context, operations) => new BlobDraft(context, operations),
  ask({ store, tenant }, question): Query {
    if (question.ask === "blob")
      return {
        statements: [{ sql: `SELECT ${columns} FROM stele.blob_reference WHERE tenant = $1 AND key = $2`, parameters: [tenant, question.key] }],
        answer: ([row]) => (row === undefined ? undefined : referenceOf(store, tenant, row)),
      }
    const end = after(question.key)
    const parameters: Array<unknown> = [tenant, question.key, BigInt(rowsMax(question.countMax))]
    const bound = (comparison: string, to: Uint8Array | undefined): string => (to === undefined ? "" : ` AND key ${comparison} $${parameters.push(to)}`)
    return {
      statements: [
        {
          sql: `SELECT ${columns} FROM stele.blob_reference WHERE tenant = $1 AND key >= $2${bound("<", end)}${bound(">", question.beyond)} ORDER BY key LIMIT $3`,
          parameters,
        },
      ],
      answer: (rows) => rows.map((row) => ({ key: row["key"] as Uint8Array, ...referenceOf(store, tenant, row) })),
    }
  },
  export({ store, tenant }, beyond, countMax): Query<Page> {
    const parameters: Array<unknown> = [tenant, BigInt(rowsMax(countMax) + 1), ...(beyond === undefined ? [] : [beyond])]
    return {
      statements: [
        {
          sql: `SELECT ${columns} FROM stele.blob_reference WHERE tenant = $1${beyond === undefined ? "" : " AND key > $3"} ORDER BY key LIMIT $2`,
          parameters,
        },
      ],
      answer: (rows) =>
        cut(rows, countMax, (row) => {
          const { digest, bytes, createdAtUs, revision } = referenceOf(store, tenant, row)
          return { order: row["key"] as Uint8Array, fields: { digest, bytes: BigInt(bytes), createdAtUs: BigInt(createdAtUs), revision: BigInt(revision) } }
        }),
    }
  },
  async erase({ tenant }, connection, countMax) {
    const { count, part } = await eraseRows(connection, name, tenant, "bytes", 0, countMax)
    return { count, parts: [[name, part]] }
  },
  async check(connection, add) {
    const findings: Array<Finding> = []
    for await (const row of rowsOf(connection, `SELECT tenant, ${columns} FROM stele.blob_reference`, ["tenant", "key"])) {
      const tenant = row["tenant"] as Uint8Array
      const { key, sum, ...reference } = foundOf(row)
      if (sumOfRow(tenant, key, reference) !== sum) findings.push({ table: name, key: textOf(key), detail: "its bytes are not those that were written" })
      add(name, tenant, { keys: 1, bytes: reference.bytes, sums: sum })
    }
    return findings
  },
}
