/** Copying one tenant's rows of one table from store to store, and telling whether they are the same. */
import { SteleError } from "../../../schemas/error/family.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Operation, Store } from "../../port/store.ts"
import type { TenantRecord, TenantTotal } from "../../port/tenant.ts"
import { encodeRecord, orderOf, placeOfOrder, recordsOf } from "../record.ts"
import { type Copied, isSame, type Journal, type Pair } from "./journal.ts"

/** Records that are read, and written in one batch, at a time. */
const pageMax = 500
/** Pages after which the journal says how far a table is. */
const pagesBetweenNotes = 20

export type Total = Pick<TenantTotal, "keys" | "bytes" | "sums">
/** Totals that no table has: what they stand for is copied anew. */
export const unlike: Total = { keys: -1, bytes: -1, sums: -1 }
export const noTotal: Total = { keys: 0, bytes: 0, sums: 0 }

export interface Stores {
  readonly from: Store
  readonly to: Store
}

const isCompacted = (error: unknown): boolean => error instanceof StorageError && error.reason._tag === "Compacted"

/** What a store's rows add up to for one pair. */
export async function totalOf(store: Store, { tenant, table }: Pair): Promise<Total> {
  const found = (await store.ask({ ask: "totals" })).find((each) => each.table === table && Buffer.compare(each.tenant, tenant) === 0)
  return found ?? noTotal
}

/** Records after `copied.last` to the end; answers with the order of the last one there is. */
async function tail({ from, to }: Stores, journal: Journal, pair: Pair, copied: Copied): Promise<string | undefined> {
  let { last } = copied
  for (let pages = 1; ; pages++) {
    const after = last === undefined ? undefined : Buffer.from(last, "hex")
    const { records, isComplete, revision } = await from.ask({ ask: "export", ...pair, after, countMax: pageMax })
    if (records.length > 0) await to.apply(records.map((record) => ({ op: "import" as const, tenant: pair.tenant, table: pair.table, record, revision })))
    const newest = records.at(-1)
    if (newest !== undefined) last = Buffer.from(newest.order).toString("hex")
    if (isComplete) return last
    if (pages % pagesBetweenNotes === 0) await journal.put(pair, { ...copied, ...(last === undefined ? {} : { last }), isWhole: false })
  }
}

/** Tables of which a tenant has many records under one name, each with a head that says where it begins and ends. */
const headed = new Set(["log", "event"])

const headsOf = async (store: Store, pair: Pair): Promise<ReadonlyMap<string, TenantRecord>> => {
  const found = new Map<string, TenantRecord>()
  for (let after: Uint8Array | undefined; ;) {
    const page = await store.ask({ ask: "export", ...pair, after, countMax: pageMax, headsOnly: true })
    for (const record of page.records) found.set(Buffer.from(record.order).toString("hex"), record)
    after = page.records.at(-1)?.order
    if (page.isComplete || after === undefined) return found
  }
}

/** What was added to logs and topics since: their heads, which drop what is not there any more, and what follows the target's last. */
async function extend({ from, to }: Stores, pair: Pair): Promise<void> {
  const [heads, known] = [await headsOf(from, pair), await headsOf(to, pair)]
  for (const [name, head] of heads) {
    const before = known.get(name)?.fields
    if (before?.["first"] === head.fields["first"] && before?.["last"] === head.fields["last"]) continue
    const key = head.order.subarray(0, -8)
    const last = Number(head.fields["last"])
    let at = Math.max(Number(before?.["last"] ?? 0), Number(head.fields["first"]) - 1)
    const revision = await from.ask({ ask: "revision", tenant: pair.tenant })
    await to.apply([{ op: "import", ...pair, record: head, revision }])
    while (at < last) {
      const { records } = await from.ask({ ask: "export", ...pair, after: orderOf(key, at), countMax: Math.min(pageMax, last - at) })
      // One that was trimmed, or dropped, since its head was read: the totals tell, and the next pass brings it over.
      const own = records.filter(({ order }) => order.length === head.order.length && Buffer.compare(order.subarray(0, -8), key) === 0)
      if (own.length === 0) break
      await to.apply(own.map((record) => ({ op: "import" as const, ...pair, record, revision })))
      at = placeOfOrder((own.at(-1) as TenantRecord).order)?.number ?? last
    }
  }
}

async function erase(to: Store, { tenant, table }: Pair): Promise<void> {
  for (const countMax = 1_000; ;) {
    const [count] = await to.apply([{ op: "erase", tenant, countMax, table }])
    if (count < countMax) return
  }
}

/** Keys that changed after a revision, as they are now. */
async function follow({ from, to }: Stores, { tenant, table }: Pair, after: number): Promise<void> {
  for (let at = after; ;) {
    const page = await from.ask({ ask: "changes", tenant, key: new Uint8Array(0), after: at, countMax: pageMax })
    const keys = new Map(page.changes.map(({ key }) => [Buffer.from(key).toString("latin1"), key]))
    const batch: Array<Operation> = []
    for (const key of keys.values()) {
      const found = await from.ask({ ask: "get", tenant, key })
      if (found === undefined) batch.push({ op: "delete", tenant, key })
      else {
        const expiresAtUs = found.expiresAtUs === undefined ? null : BigInt(found.expiresAtUs)
        const record = { order: key, fields: { value: found.value, version: BigInt(found.version), expiresAtUs } }
        // What is read now may be newer than the page.
        batch.push({ op: "import", tenant, table, record, revision: Math.max(page.revision, found.version) })
      }
    }
    if (batch.length > 0) await to.apply(batch)
    at = page.revision
    if (page.changes.length < pageMax) return
  }
}

/**
 * Brings a pair up to what the source has now, by the least that will do: the changes of keys; what was added at the end; all of it.
 */
export async function copyPair(stores: Stores, journal: Journal, pair: Pair, now: Total): Promise<void> {
  const { from, to } = stores
  const known = journal.get(pair)
  const isKeyValue = pair.table === "key_value"
  const revision = await from.ask({ ask: "revision", tenant: pair.tenant })
  const done = (last: string | undefined): Promise<void> =>
    journal.put(pair, { ...pick(now), ...(last === undefined ? {} : { last }), revision, isWhole: true })
  // An erased tenant leaves no changes to follow.
  if (isSame(now, noTotal)) {
    await erase(to, pair)
    return await done(undefined)
  }
  if (known !== undefined && isSame(known, unlike)) {
    // Found to differ: nothing of it is believed.
  } else if (known !== undefined && headed.has(pair.table)) {
    await extend(stores, pair)
    if (isSame(await totalOf(to, pair), now)) return await done(undefined)
  } else if (known !== undefined && !known.isWhole) {
    // Killed on the way: what follows the last note is copied as it is now. What changed before it shows in the totals of
    // then, and of keys in the changes since then.
    const last = await tail(stores, journal, pair, known)
    if (isKeyValue) return await journal.put(pair, { ...known, ...(last === undefined ? {} : { last }), isWhole: true })
    if (isSame(await totalOf(to, pair), now)) return await done(last)
  } else if (known !== undefined && isKeyValue) {
    try {
      await follow(stores, pair, known.revision)
      return await done(known.last)
    } catch (error) {
      if (!isCompacted(error)) throw error
    }
  } else if (known !== undefined) {
    const last = await tail(stores, journal, pair, known)
    if (isSame(await totalOf(to, pair), now)) return await done(last)
  }
  await erase(to, pair)
  const begun: Copied = { ...pick(now), revision, isWhole: false }
  await journal.put(pair, begun)
  if (!headed.has(pair.table)) return await done(await tail(stores, journal, pair, begun))
  await extend(stores, pair)
  await done(undefined)
}

const pick = ({ keys, bytes, sums }: Total): Total => ({ keys, bytes, sums })

/** Has it ended by now, or so nearly that one side may have seen it and the other not? */
const hasEnded = ({ fields }: TenantRecord, nowUs: number): boolean => typeof fields["expiresAtUs"] === "bigint" && fields["expiresAtUs"] <= BigInt(nowUs)

/** Are all records the same? A value that ends while they are compared may be on one side alone. */
export async function isEqual({ from, to }: Stores, { tenant, table }: Pair): Promise<boolean> {
  const sides = [recordsOf(from, tenant, table), recordsOf(to, tenant, table)] as const
  try {
    let [a, b] = (await Promise.all(sides.map((side) => side.next()))) as [IteratorResult<TenantRecord>, IteratorResult<TenantRecord>]
    for (;;) {
      const nowUs = (Date.now() + 1_000) * 1_000
      const order = a.done === true ? 1 : b.done === true ? -1 : Buffer.compare(a.value.order, b.value.order)
      if (a.done === true && b.done === true) return true
      if (order === 0) {
        if (Buffer.compare(encodeRecord(a.value as TenantRecord), encodeRecord(b.value as TenantRecord)) !== 0) return false
        ;[a, b] = await Promise.all([sides[0].next(), sides[1].next()])
      } else {
        const [ahead, side] = order < 0 ? ([a.value, 0] as const) : ([b.value, 1] as const)
        if (!hasEnded(ahead as TenantRecord, nowUs)) return false
        if (side === 0) a = await sides[0].next()
        else b = await sides[1].next()
      }
    }
  } catch (error) {
    // A source that changes while it is read can look damaged to nobody else: it is not equal yet.
    if (error instanceof SteleError && isCompacted(error)) return false
    throw error
  } finally {
    await Promise.all(sides.map((side) => side.return(undefined)))
  }
}
