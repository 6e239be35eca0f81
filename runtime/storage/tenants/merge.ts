/** Answers for all tenants, put together from those of each. */
import type { Place } from "../../port/place.ts"
import type { QueueDepth } from "../../port/queue.ts"
import type { Answers, Question } from "../../port/store.ts"
import type { UsageGroup } from "../../port/usage.ts"
import { rowsMax } from "../row.ts"
import type { SqliteReader } from "../sqlite/reader.ts"

export type OfAll = Extract<Question, { readonly ask: "linked" | "references" | "tenants" | "totals" | "usage" | "usageTenants" | "queue" }>
const ofAll: ReadonlySet<Question["ask"]> = new Set(["linked", "references", "tenants", "totals", "usageTenants"])

/** Does it concern more than one tenant? */
export const isOfAll = (question: Question): question is OfAll =>
  ofAll.has(question.ask) || ((question.ask === "usage" || question.ask === "queue") && question.tenant === undefined)

type Tenants = (after: Uint8Array | undefined) => Iterable<Uint8Array>
type Reader = Pick<SqliteReader, "ask">
type ReaderOf = (tenant: Uint8Array) => Reader
type Merge<A> = Generator<void, A>

/** The answer, a tenant at a step. `nobody` answers for a tenant that has nothing: what it refuses is refused. */
export function merged(question: OfAll, tenants: Tenants, readerOf: ReaderOf, nobody: Reader): Merge<unknown> {
  switch (question.ask) {
    case "tenants":
      return tenantsOf(question, tenants, readerOf)
    case "references":
      return references(question, tenants, readerOf)
    case "linked":
      return linked(question, tenants, readerOf, nobody)
    case "totals":
    case "usageTenants":
      return gathered(question, tenants, readerOf)
    case "usage":
      return usage(question, tenants, readerOf, nobody)
    case "queue":
      return depth(question, tenants, readerOf, nobody)
  }
}

function* gathered(question: Extract<OfAll, { readonly ask: "totals" | "usageTenants" }>, tenants: Tenants, readerOf: ReaderOf): Merge<ReadonlyArray<unknown>> {
  const found: Array<unknown> = []
  for (const tenant of tenants(undefined)) {
    found.push(...(readerOf(tenant).ask(question) as ReadonlyArray<unknown>))
    yield
  }
  return found
}

/** Of those that have anything. */
function* tenantsOf({ after, countMax }: Extract<OfAll, { readonly ask: "tenants" }>, tenants: Tenants, readerOf: ReaderOf): Merge<Answers["tenants"]> {
  const found: Array<Uint8Array> = []
  if (rowsMax(countMax) === 0) return found
  for (const tenant of tenants(after)) {
    if (readerOf(tenant).ask({ ask: "tenants", after: undefined, countMax: 1 }).length > 0) found.push(tenant)
    if (found.length >= rowsMax(countMax)) break
    yield
  }
  return found
}

function* references({ beyond, countMax }: Extract<OfAll, { readonly ask: "references" }>, tenants: Tenants, readerOf: ReaderOf): Merge<Answers["references"]> {
  const found: Array<Answers["references"][number]> = []
  const most = rowsMax(countMax)
  const from = function* (): Generator<Uint8Array> {
    if (beyond !== undefined) yield beyond.tenant
    yield* tenants(beyond?.tenant)
  }
  for (const tenant of from()) {
    if (found.length >= most) break
    const after: Place | undefined = beyond !== undefined && Buffer.compare(tenant, beyond.tenant) === 0 ? beyond : undefined
    found.push(...readerOf(tenant).ask({ ask: "references", beyond: after, countMax: most - found.length }))
    yield
  }
  return found
}

function* linked({ digests }: Extract<OfAll, { readonly ask: "linked" }>, tenants: Tenants, readerOf: ReaderOf, nobody: Reader): Merge<Answers["linked"]> {
  const found = [...nobody.ask({ ask: "linked", digests })]
  for (const tenant of tenants(undefined)) {
    const open = found.flatMap((isLinked, i) => (isLinked ? [] : [i]))
    if (open.length === 0) break
    const more = readerOf(tenant).ask({ ask: "linked", digests: open.map((i) => digests[i] as Uint8Array) })
    for (const [at, i] of open.entries()) found[i] = more[at] === true
    yield
  }
  return found
}

const sum = (a: UsageGroup, b: UsageGroup): UsageGroup => {
  const hostCalls = { ...a.hostCalls }
  for (const [grant, calls] of Object.entries(b.hostCalls))
    Object.defineProperty(hostCalls, grant, {
      value: (Object.hasOwn(hostCalls, grant) ? (hostCalls[grant] as bigint) : 0n) + calls,
      enumerable: true,
      configurable: true,
      writable: true,
    })
  return {
    key: a.key,
    calls: a.calls + b.calls,
    failed: a.failed + b.failed,
    dropped: a.dropped + b.dropped,
    wallNs: a.wallNs + b.wallNs,
    fuel: a.fuel + b.fuel,
    memoryPeakBytes: a.memoryPeakBytes > b.memoryPeakBytes ? a.memoryPeakBytes : b.memoryPeakBytes,
    bytesIn: a.bytesIn + b.bytesIn,
    bytesOut: a.bytesOut + b.bytesOut,
    hostCalls,
  }
}

function* usage(question: Extract<OfAll, { readonly ask: "usage" }>, tenants: Tenants, readerOf: ReaderOf, nobody: Reader): Merge<Answers["usage"]> {
  void nobody.ask(question)
  const groups = new Map<string, UsageGroup>()
  for (const tenant of tenants(undefined)) {
    for (const group of readerOf(tenant).ask(question)) {
      const old = groups.get(group.key)
      groups.set(group.key, old === undefined ? group : sum(old, group))
    }
    yield
  }
  return [...groups.values()].toSorted((a, b) => (a.key < b.key ? -1 : 1))
}

function* depth(question: Extract<OfAll, { readonly ask: "queue" }>, tenants: Tenants, readerOf: ReaderOf, nobody: Reader): Merge<QueueDepth> {
  let all = nobody.ask(question)
  for (const tenant of tenants(undefined)) {
    const each = readerOf(tenant).ask(question)
    const oldest = [all.oldestUs, each.oldestUs].filter((us) => us !== undefined)
    all = {
      ready: all.ready + each.ready,
      waiting: all.waiting + each.waiting,
      blocked: all.blocked + each.blocked,
      leased: all.leased + each.leased,
      dead: all.dead + each.dead,
      tenants: all.tenants + each.tenants,
      oldestUs: oldest.length === 0 ? undefined : Math.min(...oldest),
    }
    yield
  }
  return all
}
