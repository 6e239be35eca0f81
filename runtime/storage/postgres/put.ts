/**
 * Sets of keys in one statement, one way there and back: what a process made of a tenant last is what it begins with, so it
 * decides before it has a lock, and the server keeps the group only if the tenant is still so. Of the rows that are
 * written over nobody knows here; their part of the totals is taken off there. Whatever does not fit is done the long way:
 * the function wrote nothing then.
 *
 * No transaction is open between two messages, so a caller that blocks its thread holds no lock.
 */
import { SteleError } from "../../../schemas/error/family.ts"
import type { Operation } from "../../port/store.ts"
import { name as changeName } from "./change.ts"
import type { Row, Statement } from "./connection.ts"
import { Group, type Head, type Total } from "./group.ts"
import { sumOfHead } from "./head.ts"
import { KeyValueDraft } from "./key-value.ts"
import type { Context } from "./table.ts"
import { bytesOf, hexOf } from "./tenant.ts"

const name = "key_value"
const noKey = new Uint8Array(0)

/** A tenant as its newest commit left it, and when the server's clock said what `nowUs` says. */
export interface Known {
  readonly head: Head
  readonly keyValue: Total
  readonly changes: Total
  /** Of `performance.now()`. */
  readonly atMs: number
}

export interface Put {
  readonly group: Group
  readonly head: Head
  readonly answers: ReadonlyArray<ReadonlyArray<unknown>>
  readonly statement: Statement
  /** What is known when it was made, by the function's answer. */
  known(row: Row): Known
}

export const isPut = (operation: Operation): boolean => operation.op === "set" && operation.ttlMs === undefined && operation.keepsEnd !== true

/** Of operations that `isPut`, as if none of the keys were there: undefined where even that tells of a refusal, or more is to be done than to put. */
export function putOf(
  context: Context,
  known: Known,
  batches: ReadonlyArray<ReadonlyArray<Operation>>,
  bytesOfAll: ReadonlyMap<string, number>,
  operationId: Uint8Array,
): Put | undefined {
  const operations = batches.flat()
  const { tenant } = context
  const nowUs = Math.max(known.head.nowUs, known.head.nowUs + Math.floor((performance.now() - known.atMs) * 1_000))
  const before = { ...known.head, nowUs }
  const group = new Group(before, [totalRow(name, known.keyValue), totalRow(changeName, known.changes)], bytesOfAll)
  const draft = new KeyValueDraft(context, operations as ConstructorParameters<typeof KeyValueDraft>[1])
  const answers: Array<ReadonlyArray<unknown>> = []
  try {
    for (const batch of batches) {
      const from = group.revision
      answers.push(batch.map((operation) => draft.apply(group, operation as Parameters<typeof draft.apply>[1])))
      group.end(true, from)
    }
  } catch (error) {
    if (error instanceof SteleError) return undefined
    throw error
  }
  if (draft.mustSettle(group)) return undefined
  const made = draft.put()
  const head: Head = { revision: group.revision, sequence: known.head.sequence + 1, digest: group.digest(), forgotten: known.head.forgotten, nowUs }
  const totals = { keyValue: group.total(name), changes: group.total(changeName) }
  return {
    group,
    head,
    answers,
    statement: (made.rows.length === 1 && made.changes.length === 1 ? setStatement : putStatement)({ tenant, known, head, operationId, ...made, totals }),
    known: ({ keys, bytes, sums }) => ({
      head,
      keyValue: { keys: Number(keys), bytes: Number(bytes), sums: Number(sums) },
      changes: totals.changes,
      atMs: known.atMs + (nowUs - known.head.nowUs) / 1_000,
    }),
  }
}

interface Made extends ReturnType<KeyValueDraft["put"]> {
  readonly tenant: Uint8Array
  readonly known: Known
  readonly head: Head
  readonly operationId: Uint8Array
  readonly totals: { readonly keyValue: Total; readonly changes: Total }
}

const big = (numbers: ReadonlyArray<number>): ReadonlyArray<bigint> => numbers.map(BigInt)

function putStatement({ tenant, known, head, operationId, rows, changes, totals: { keyValue, changes: changed } }: Made): Statement {
  return {
    sql: "SELECT keys, bytes, sums FROM stele.key_value_put($1, $2::bigint[], $3, $4::bigint, $5::bigint, $6::bigint, $7, $8::bigint, $9, $10::bigint[], $11::bigint[], $12::bytea[], $13::bytea[], $14::bigint[], $15::bigint[], $16::bytea[], $17::bigint[], $18::bigint)",
    parameters: [
      hexOf(tenant),
      big([known.head.revision, known.head.sequence, known.head.forgotten, known.head.nowUs]),
      known.head.digest,
      BigInt(head.nowUs),
      BigInt(head.revision),
      BigInt(head.sequence),
      head.digest,
      BigInt(sumOfHead(tenant, head.digest, head, head.nowUs)),
      operationId,
      big([keyValue.keys, keyValue.bytes, keyValue.sums, changed.keys, changed.bytes, changed.sums]),
      big(rows.map(({ revision }) => revision)),
      rows.map(({ key }) => key),
      rows.map(({ value }) => value),
      big(rows.map(({ sum }) => sum)),
      big(changes.map(({ revision }) => revision)),
      changes.map(({ key }) => key),
      big(changes.map(({ sum }) => sum)),
      BigInt(bytesOf(tenant, noKey)),
    ],
  }
}

/** The same of one row: values instead of arrays. */
function setStatement({ tenant, known, head, operationId, rows, changes, totals: { keyValue, changes: changed } }: Made): Statement {
  const [{ key, value, sum }, change] = [rows[0] as (typeof rows)[number], changes[0] as (typeof changes)[number]]
  return {
    sql: "SELECT keys, bytes, sums FROM stele.key_value_set($1, $2::bigint, $3::bigint, $4::bigint, $5::bigint, $6, $7::bigint, $8, $9::bigint, $10, $11, $12, $13::bigint, $14::bigint, $15::bigint, $16::bigint, $17::bigint, $18::bigint, $19::bigint, $20::bigint, $21::bigint) WHERE keys IS NOT NULL",
    parameters: [
      hexOf(tenant),
      BigInt(known.head.revision),
      BigInt(known.head.sequence),
      BigInt(known.head.forgotten),
      BigInt(known.head.nowUs),
      known.head.digest,
      BigInt(head.nowUs),
      head.digest,
      BigInt(sumOfHead(tenant, head.digest, head, head.nowUs)),
      operationId,
      key,
      value,
      BigInt(sum),
      BigInt(change.sum),
      BigInt(bytesOf(tenant, key)),
      BigInt(changed.keys),
      BigInt(changed.bytes),
      BigInt(changed.sums),
      BigInt(keyValue.keys),
      BigInt(keyValue.bytes),
      BigInt(keyValue.sums),
    ],
  }
}

const totalRow = (of: string, { keys, bytes, sums }: Total): Row => ({ name: of, keys, bytes, sums })
