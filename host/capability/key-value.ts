/**
 * `wasi:keyvalue`: small values in buckets. A bucket is a prefix of the tenant's one key space: the name that grants
 * speak of is `BUCKET/KEY`, or `KEY` in the bucket "". Every operation asks the grants again, so a revocation reaches
 * open buckets; a denial is the interface's `access-denied`.
 *
 * WIT: `0.2.0-draft` at bytecodealliance/wasmtime b429c746679fbbf4808f43afddc4ec579b674fea; `0.2.0-draft2` at
 * fermyon/spin 470a264ca6f4c9d88701f8d99e6b88f4b7beacf9 (WebAssembly/wasi-keyvalue has no tag of it). They differ in
 * cursors (u64, string) and in `atomics` (u64 increment; s64 increment and compare-and-swap).
 */
import { borrow, func, list, option, own, primitive, record, resource, result, tuple, type ValueType, variant } from "../../schemas/wit/model.ts"
import { type Awaitable, compareUtf8, CounterError, tenantKey } from "../port/mod.ts"
import { isPortLimit } from "../port/port.ts"
import type { CallContext, Capability, HostInterface } from "./capability.ts"
import { actionForm, isWithin } from "./scope.ts"
import { after, attempt, done, each, err, type Err, hostInterface, ok, plainResource, type Result, serve } from "./serve.ts"

/** Keys that one `list-keys` answers with at most. */
export const pageKeysMax = 1_000
/** Keys of one batch operation; one over is an error, before anything is done. */
export const batchKeysMax = 1_000
/** Bytes of values that one `get-many` collects: asking for one large value a thousand times must not cost the host a gigabyte. */
export const batchBytesMax = 16 << 20
/** u64 cursors that one open bucket remembers; older ones are errors. */
const cursorsMax = 64

type StoreFailure = { readonly tag: "no-such-store" } | { readonly tag: "access-denied" } | { readonly tag: "other"; readonly val: string }
type Outcome<A> = Result<A, StoreFailure>

/** Rep of `bucket`. */
class Bucket {
  /** "" or `BUCKET/`. */
  readonly prefix: string
  readonly cursors = new Map<bigint, string>()
  cursorsMade = 0n
  constructor(prefix: string) {
    this.prefix = prefix
  }
}

/** Rep of `cas`: the version seen last. Not the value: ten thousand handles of 1 MiB would be 10 GiB. */
class Cas {
  readonly name: string
  version: number | undefined
  constructor(name: string, version: number | undefined) {
    this.name = name
    this.version = version
  }
}

const denied = (call: CallContext, action: "read" | "write", name: string): Err<StoreFailure> => {
  call.denied(`kv:${action}:${name}`)
  return err({ tag: "access-denied" })
}
const other = (detail: string): Err<StoreFailure> => err({ tag: "other", val: detail })

/** A port's refusal becomes the interface's error; anything else is not the guest's to see. */
function refused(error: unknown): Err<StoreFailure> {
  if (error instanceof CounterError || isPortLimit(error)) return other((error as Error).message)
  throw error
}

function open(call: CallContext, identifier: string): Outcome<Bucket> {
  const prefix = identifier === "" ? "" : `${identifier}/`
  if (!call.grants.reaches("kv:read", prefix) && !call.grants.reaches("kv:write", prefix)) return denied(call, "read", `${prefix}*`)
  return ok(new Bucket(prefix))
}

function get(call: CallContext, self: Bucket, key: string): Awaitable<Outcome<Uint8Array | undefined>> {
  const name = self.prefix + key
  const grant = call.grants.match("kv:read", name)
  if (grant === undefined) return denied(call, "read", name)
  return after(call.ports.keyValue.get(tenantKey(call.tenant, name)), (value) => {
    call.used(grant, value?.length ?? 0)
    return ok(value)
  })
}

function set(call: CallContext, self: Bucket, key: string, value: Uint8Array): Awaitable<Outcome<undefined>> {
  const name = self.prefix + key
  const grant = call.grants.match("kv:write", name)
  if (grant === undefined) return denied(call, "write", name)
  call.used(grant, value.length)
  return attempt<void, Outcome<undefined>>(
    () => call.ports.keyValue.set(tenantKey(call.tenant, name), value),
    () => done,
    refused,
  )
}

function remove(call: CallContext, self: Bucket, key: string): Awaitable<Outcome<undefined>> {
  const name = self.prefix + key
  const grant = call.grants.match("kv:write", name)
  if (grant === undefined) return denied(call, "write", name)
  call.used(grant, 0)
  return after(call.ports.keyValue.delete(tenantKey(call.tenant, name)), () => done)
}

function exists(call: CallContext, self: Bucket, key: string): Awaitable<Outcome<boolean>> {
  const name = self.prefix + key
  const grant = call.grants.match("kv:read", name)
  if (grant === undefined) return denied(call, "read", name)
  call.used(grant, 0)
  return after(call.ports.keyValue.has(tenantKey(call.tenant, name)), ok)
}

/** Prefixes to scan for what the grants show of a bucket, in key order and disjoint. */
function ranges(call: CallContext, prefix: string): ReadonlyArray<string> {
  const starts = call.grants
    .under("kv:read")
    .map((g) => g.scope)
    .filter((s) => s.text.startsWith(prefix) || (s.isPrefix && prefix.startsWith(s.text)))
    .map((s) => (s.text.length > prefix.length ? s.text : prefix))
    .sort(compareUtf8)
  // In this order everything below a start comes right after it, so the one kept last tells.
  const kept: Array<string> = []
  for (const start of starts) if (kept.length === 0 || !start.startsWith(kept.at(-1) as string)) kept.push(start)
  return kept
}

/** One page of the keys the grants show, after `after` (a key of the bucket). The last key is the next page's `after`. */
function page(
  call: CallContext,
  self: Bucket,
  beyond: string | undefined,
): Awaitable<Outcome<{ readonly keys: ReadonlyArray<string>; readonly last: string | undefined }>> {
  if (!call.grants.reaches("kv:read", self.prefix)) return denied(call, "read", `${self.prefix}*`)
  const tenant = tenantKey(call.tenant, "")
  const keys: Array<string> = []
  const from = beyond === undefined ? undefined : tenant + self.prefix + beyond
  const wanted = ranges(call, self.prefix)
  let range = 0
  let at = from
  /** Takes a batch in; true when the page is full. */
  const fill = (batch: ReadonlyArray<string>, want: number): boolean => {
    for (const key of batch) {
      const name = key.slice(tenant.length)
      const grant = call.grants.match("kv:read", name)
      if (grant === undefined) continue
      if (keys.length === pageKeysMax) return true
      call.used(grant, name.length)
      keys.push(name.slice(self.prefix.length))
    }
    at = batch.at(-1)
    if (batch.length < want) {
      range++
      at = from
    }
    return false
  }
  const read = (): Awaitable<Outcome<{ readonly keys: ReadonlyArray<string>; readonly last: string | undefined }>> => {
    // Keys in a revoked hole are read and skipped; the deadline bounds how many.
    while (range < wanted.length && call.remainingMs() > 0) {
      const want = pageKeysMax + 1 - keys.length
      const batch = call.ports.keyValue.list(tenant + (wanted[range] as string), at, want)
      if (batch instanceof Promise) return batch.then((found) => (fill(found, want) ? ok({ keys, last: keys.at(-1) }) : read()))
      if (fill(batch, want)) return ok({ keys, last: keys.at(-1) })
    }
    return ok({ keys, last: undefined })
  }
  return read()
}

function listByString(call: CallContext, self: Bucket, cursor: string | undefined) {
  return after(page(call, self, cursor), (found) => (found.tag === "err" ? found : ok({ keys: found.val.keys, cursor: found.val.last })))
}

function listByNumber(call: CallContext, self: Bucket, cursor: bigint | undefined) {
  const beyond = cursor === undefined ? undefined : self.cursors.get(cursor)
  if (cursor !== undefined && beyond === undefined) return other("Cannot go on listing: the cursor is not one of this bucket's last ones")
  return after(page(call, self, beyond), (found) => {
    if (found.tag === "err") return found
    const { keys, last } = found.val
    if (last === undefined) return ok({ keys, cursor: undefined })
    const next = ++self.cursorsMade
    self.cursors.set(next, last)
    self.cursors.delete(next - BigInt(cursorsMax))
    return ok({ keys, cursor: next })
  })
}

/** Adds within the range of the draft's integer type; needs both grants, since the sum tells the value. */
const increment =
  (min: bigint, max: bigint) =>
  (call: CallContext, bucket: Bucket, key: string, delta: bigint): Awaitable<Outcome<bigint>> => {
    const name = bucket.prefix + key
    if (!call.grants.allows("kv:read", name)) return denied(call, "read", name)
    const grant = call.grants.match("kv:write", name)
    if (grant === undefined) return denied(call, "write", name)
    call.used(grant, 8)
    return attempt<bigint, Outcome<bigint>>(() => call.ports.keyValue.increment(tenantKey(call.tenant, name), delta, min, max), ok, refused)
  }

const newCas = (call: CallContext, bucket: Bucket, key: string): Awaitable<Outcome<Cas>> => casOf(call, bucket.prefix + key)

function casOf(call: CallContext, name: string): Awaitable<Outcome<Cas>> {
  const grant = call.grants.match("kv:read", name)
  if (grant === undefined) return denied(call, "read", name)
  return after(call.ports.keyValue.getVersioned(tenantKey(call.tenant, name)), (entry) => {
    call.used(grant, 0)
    return ok(new Cas(name, entry?.version))
  })
}

/** Reads again and moves the version along, so that `swap` fails exactly when the value answered here is no longer the stored one. */
function current(call: CallContext, self: Cas): Awaitable<Outcome<Uint8Array | undefined>> {
  const grant = call.grants.match("kv:read", self.name)
  if (grant === undefined) return denied(call, "read", self.name)
  return after(call.ports.keyValue.getVersioned(tenantKey(call.tenant, self.name)), (entry) => {
    call.used(grant, entry?.value.length ?? 0)
    self.version = entry?.version
    return ok(entry?.value)
  })
}

type CasFailure = { readonly tag: "store-error"; readonly val: StoreFailure } | { readonly tag: "cas-failed"; readonly val: Cas }

function swap(call: CallContext, cas: Cas, value: Uint8Array): Awaitable<Result<undefined, CasFailure>> {
  const storeError = (failure: Err<StoreFailure>): Err<CasFailure> => err({ tag: "store-error", val: failure.val })
  const grant = call.grants.match("kv:write", cas.name)
  if (grant === undefined) return storeError(denied(call, "write", cas.name))
  call.used(grant, value.length)
  return attempt<boolean, Result<undefined, CasFailure>>(
    () => call.ports.keyValue.swap(tenantKey(call.tenant, cas.name), cas.version, value),
    (swapped) =>
      swapped
        ? done
        : after(casOf(call, cas.name), (fresh): Err<CasFailure> => (fresh.tag === "ok" ? err({ tag: "cas-failed", val: fresh.val }) : storeError(fresh))),
    (error) => storeError(refused(error)),
  )
}

const failed = (answer: Outcome<undefined>): Err<StoreFailure> | undefined => (answer.tag === "err" ? answer : undefined)
const tooMany = (count: number): Err<StoreFailure> => other(`Cannot take ${count} keys in one batch: the limit is ${batchKeysMax}`)

function getMany(call: CallContext, bucket: Bucket, keys: ReadonlyArray<string>): Awaitable<Outcome<ReadonlyArray<readonly [string, Uint8Array] | undefined>>> {
  if (keys.length > batchKeysMax) return tooMany(keys.length)
  const found: Array<readonly [string, Uint8Array] | undefined> = []
  let total = 0
  return each<string, Outcome<typeof found>>(
    call,
    keys,
    (key) =>
      after(get(call, bucket, key), (answer) => {
        if (answer.tag === "err") return answer
        total += answer.val?.length ?? 0
        if (total > batchBytesMax) return other(`Cannot answer with more than ${batchBytesMax} bytes in one batch`)
        found.push(answer.val === undefined ? undefined : [key, answer.val])
        return undefined
      }),
    () => ok(found),
  )
}

function setMany(call: CallContext, bucket: Bucket, pairs: ReadonlyArray<readonly [string, Uint8Array]>): Awaitable<Outcome<undefined>> {
  if (pairs.length > batchKeysMax) return tooMany(pairs.length)
  return each<readonly [string, Uint8Array], Outcome<undefined>>(
    call,
    pairs,
    ([key, value]) => after(set(call, bucket, key, value), failed),
    () => done,
  )
}

function deleteMany(call: CallContext, bucket: Bucket, keys: ReadonlyArray<string>): Awaitable<Outcome<undefined>> {
  if (keys.length > batchKeysMax) return tooMany(keys.length)
  return each<string, Outcome<undefined>>(
    call,
    keys,
    (key) => after(remove(call, bucket, key), failed),
    () => done,
  )
}

const { bool, string, s64, u8, u64 } = primitive
const bytes = list(u8)

/** The three interfaces of one draft; its resources are its own, so two drafts in one plugin never mix handles. */
function draft(version: string, cursor: ValueType, isSecond: boolean): ReadonlyArray<HostInterface> {
  const error = variant({ "no-such-store": undefined, "access-denied": undefined, other: string })
  const keyResponse = record({ keys: list(string), cursor: option(cursor) })
  const bucketType = resource("bucket")
  const casType = resource("cas")
  const bucket = plainResource(bucketType)
  const self = { self: borrow(bucketType) }
  const inBucket = { bucket: borrow(bucketType) }
  const nothing = result(undefined, error)
  const casError = variant({ "store-error": error, "cas-failed": own(casType) })
  return [
    hostInterface("wasi:keyvalue/store", version, {
      resources: { bucket },
      types: { error, "key-response": keyResponse },
      functions: {
        "[method]bucket.get": serve(func({ ...self, key: string }, result(option(bytes), error)), get),
        "[method]bucket.set": serve(func({ ...self, key: string, value: bytes }, nothing), set),
        "[method]bucket.delete": serve(func({ ...self, key: string }, nothing), remove),
        "[method]bucket.exists": serve(func({ ...self, key: string }, result(bool, error)), exists),
        "[method]bucket.list-keys": serve(func({ ...self, cursor: option(cursor) }, result(keyResponse, error)), isSecond ? listByString : listByNumber),
        open: serve(func({ identifier: string }, result(own(bucketType), error)), open),
      },
    }),
    hostInterface("wasi:keyvalue/atomics", version, {
      resources: isSecond ? { bucket, cas: plainResource(casType) } : { bucket },
      types: isSecond ? { error, "cas-error": casError } : { error },
      functions: isSecond
        ? {
            "[static]cas.new": serve(func({ ...inBucket, key: string }, result(own(casType), error)), newCas),
            "[method]cas.current": serve(func({ self: borrow(casType) }, result(option(bytes), error)), current),
            increment: serve(func({ ...inBucket, key: string, delta: s64 }, result(s64, error)), increment(-(1n << 63n), (1n << 63n) - 1n)),
            swap: serve(func({ cas: own(casType), value: bytes }, result(undefined, casError)), swap),
          }
        : { increment: serve(func({ ...inBucket, key: string, delta: u64 }, result(u64, error)), increment(0n, (1n << 64n) - 1n)) },
    }),
    hostInterface("wasi:keyvalue/batch", version, {
      resources: { bucket },
      types: { error },
      functions: {
        "get-many": serve(func({ ...inBucket, keys: list(string) }, result(list(option(tuple(string, bytes))), error)), getMany),
        "set-many": serve(func({ ...inBucket, "key-values": list(tuple(string, bytes)) }, nothing), setMany),
        "delete-many": serve(func({ ...inBucket, keys: list(string) }, nothing), deleteMany),
      },
    }),
  ]
}

export const keyValue: Capability = {
  name: "kv",
  risk: "The plugin reads or changes the stored values whose names start as granted, within its tenant.",
  mode: "either",
  forms: ["kv:read:PREFIX", "kv:write:PREFIX"],
  isInert: false,
  parse: actionForm("kv", ["read", "write"]),
  subset: isWithin,
  interfaces: [...draft("0.2.0-draft", u64, false), ...draft("0.2.0-draft2", string, true)],
  needs: (interfaceName) => (interfaceName.endsWith("/atomics") ? "kv:write:*" : "kv:read:*"),
  heads: (interfaceName) => (interfaceName.endsWith("/atomics") ? ["kv:write"] : ["kv:read", "kv:write"]),
  ports: ["keyValue"],
}
