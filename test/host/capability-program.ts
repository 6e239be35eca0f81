/** What must not differ between engines: seeded bytes, key order, grants; and whether this thread can wait. Prints one JSON object. */
import { GrantSet, parseGrant } from "../../host/capability/grant.ts"
import { memoryKeyValue, memoryMonotonicClock } from "../../host/port/mod.ts"
import { okOf, testCall } from "./capability-call.ts"

const call = testCall(["random:seeded:stele", "kv:read:*", "kv:write:*"])
const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
const bytes = hex(call.do("wasi:random/random#get-random-bytes", 100n) as Uint8Array)
const word = String(call.do("wasi:random/insecure#get-insecure-random-u64"))

const store = memoryKeyValue()
for (const key of ["z", "a", "\uffff", "𐀀", "é", ""]) store.set(`t/${key}`, new Uint8Array(0))
const order = store.list("t/", undefined, 10)

const bucket = okOf(call.do("wasi:keyvalue/store#open", "b"))
call.do("wasi:keyvalue/store#[method]bucket.set", bucket, "k", Uint8Array.of(1, 2, 3))
const value = hex(okOf(call.do("wasi:keyvalue/store#[method]bucket.get", bucket, "k")) as Uint8Array)

const grants = new GrantSet(["kv:read:prices/*"])
grants.revoke("kv:read:prices/secret/*")
let refusal = ""
try {
  parseGrant("kv:read:\ud800")
} catch (error) {
  refusal = (error as Error).message
}

const clock = memoryMonotonicClock()
const before = clock.nowNs()
clock.wait?.(3)
const canWait = clock.wait !== undefined && clock.nowNs() - before >= 2_000_000n

console.log(JSON.stringify({ bytes, word, order, value, grants: [grants.list(), grants.revoked()], refusal, canWait }))
