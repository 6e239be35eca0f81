import t from "tap"
import { SeededBytes } from "../../host/capability/chacha20.ts"
import { coarseNs } from "../../host/capability/clock.ts"
import { pollBytesMax } from "../../host/capability/event.ts"
import { lineBytesMax } from "../../host/wasi/stdio.ts"
import { chunkBytesMax, heldBytesMax } from "../../host/capability/io.ts"
import { batchKeysMax, pageKeysMax } from "../../host/capability/key-value.ts"
import { cut, settled } from "../../host/capability/serve.ts"
import { memoryBlob, memoryConfig, memoryKeyValue, memorySecret, memoryWallClock, tenantKey } from "../../host/port/mod.ts"
import { codeOf, okOf, testCall } from "./capability-call.ts"

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const ok = (val: unknown) => ({ tag: "ok", val })
const done = ok(undefined)
const err = (val: unknown) => ({ tag: "err", val })
const accessDenied = err({ tag: "access-denied" })

t.test("`log` writes messages tagged with their plugin and tenant, and stops when revoked", async (t) => {
  const call = testCall(["log"])
  call.do("wasi:logging/logging#log", "warn", "ctx", "hello")
  t.same(call.log.records, [{ plugin: "sha256:0001", tenant: "tenant", level: "warn", context: "ctx", message: "hello", isTruncated: false }])
  t.same(call.uses, [["log", 5]])
  call.grants.revoke("log")
  t.equal(
    codeOf(() => call.do("wasi:logging/logging#log", "info", "", "again")),
    "STELE-CAP-0004",
  )
  t.same(call.denials, ["log"])
  t.equal(call.log.records.length, 1)
})

t.test("`log` cuts long messages and contexts between characters", async (t) => {
  const call = testCall(["log"])
  call.do("wasi:logging/logging#log", "info", "c".repeat(200), `${"x".repeat(8_191)}😀`)
  const [record] = call.log.records
  t.equal(record?.message.length, 8_191)
  t.ok(record?.isTruncated)
  t.equal(record?.context.length, 128)
  t.equal(cut("a😀", 2), "a")
})

t.test("`log` drops what comes too fast, across instances, and reports how much when there is room again", async (t) => {
  const call = testCall(["log"])
  for (let i = 0; i < 1_005; i++) (i % 2 === 0 ? call : call.again()).do("wasi:logging/logging#log", "info", "", String(i))
  t.equal(call.log.records.length + call.log.dropped, 1_000)
  call.clock.advance(10_000_000n)
  call.do("wasi:logging/logging#log", "info", "", "later")
  t.same(
    call.log.records.slice(-2).map((r) => [r.context, r.message]),
    [
      ["stele", "5 messages dropped: the plugin wrote too fast"],
      ["", "later"],
    ],
  )
})

t.test("`clock` tells monotonic time in steps of 100 µs unless the fine clock is granted", async (t) => {
  const call = testCall(["clock:monotonic"])
  call.clock.advance(123_456n)
  t.equal(call.do("wasi:clocks/monotonic-clock#now"), 1_000_100_000n)
  t.equal(call.do("wasi:clocks/monotonic-clock#resolution"), coarseNs)
  call.grants.grant("clock:monotonic:fine")
  t.equal(call.do("wasi:clocks/monotonic-clock#now"), 1_000_123_456n)
  t.equal(call.do("wasi:clocks/monotonic-clock#resolution"), 1n)
  call.grants.revoke("clock:monotonic:fine")
  t.equal(
    codeOf(() => call.do("wasi:clocks/monotonic-clock#now")),
    "STELE-CAP-0004",
  )
})

t.test("`clock` tells wall time as seconds and nanoseconds, by its own grant", async (t) => {
  const call = testCall(["clock:wall"], { wallClock: memoryWallClock(() => 1_700_000_000_123) })
  t.same(call.do("wasi:clocks/wall-clock#now"), { seconds: 1_700_000_000n, nanoseconds: 123_000_000 })
  t.same(call.do("wasi:clocks/wall-clock#resolution"), { seconds: 0n, nanoseconds: 1_000_000 })
  t.equal(
    codeOf(() => call.do("wasi:clocks/monotonic-clock#now")),
    "STELE-CAP-0004",
  )
  t.equal(
    codeOf(() => testCall(["clock:monotonic"]).do("wasi:clocks/wall-clock#now")),
    "STELE-CAP-0004",
  )
})

t.test("timers wait inside the deadline and fail at once beyond it", async (t) => {
  const call = testCall(["clock:monotonic"])
  const timer = call.do("wasi:clocks/monotonic-clock#subscribe-duration", 20_000_000n)
  t.equal(call.do("wasi:io/poll#[method]pollable.ready", timer), false)
  call.do("wasi:io/poll#[method]pollable.block", timer)
  t.equal(call.clock.nowNs(), 1_020_000_000n, "20 ms later")
  t.equal(call.do("wasi:io/poll#[method]pollable.ready", timer), true)
  const late = call.do("wasi:clocks/monotonic-clock#subscribe-instant", 3_000_000_000n)
  call.remaining = 500
  t.equal(
    codeOf(() => call.do("wasi:io/poll#[method]pollable.block", late)),
    "STELE-CAP-0007",
  )
  t.equal(call.clock.nowNs(), 1_020_000_000n, "nothing was waited for")
  call.remaining = Number.POSITIVE_INFINITY
  t.equal(
    codeOf(() => call.do("wasi:io/poll#[method]pollable.block", late)),
    "STELE-CAP-0007",
    "longer than the port waits",
  )
  const far = call.do("wasi:clocks/monotonic-clock#subscribe-duration", (1n << 64n) - 1n)
  t.equal(
    codeOf(() => call.do("wasi:io/poll#poll", [far])),
    "STELE-CAP-0007",
  )
})

t.test("`poll()` answers with what is ready, waits for the first, and refuses an empty list", async (t) => {
  const call = testCall(["clock:monotonic"])
  const after = (ms: number) => call.do("wasi:clocks/monotonic-clock#subscribe-duration", BigInt(ms * 1e6))
  t.same(call.do("wasi:io/poll#poll", [after(50), after(10), after(10)]), Uint32Array.of(1, 2))
  t.same(call.do("wasi:io/poll#poll", [after(50), after(0)]), Uint32Array.of(1))
  t.equal(
    codeOf(() => call.do("wasi:io/poll#poll", [])),
    "STELE-CAP-0007",
  )
  call.grants.revoke("clock:monotonic")
  const ready = call.do("wasi:io/streams#[method]input-stream.subscribe", call.do("wasi:cli/stdin#get-stdin"))
  t.same(call.do("wasi:io/poll#poll", [ready, ready]), Uint32Array.of(0, 1), "streams need no clock")
})

t.test("timers fail where the thread cannot block, the signal is aborted, or the clock stands still", async (t) => {
  const frozen = { nowNs: () => 0n, resolutionNs: 1n, waitMsMax: 1_000 }
  const block = (call: ReturnType<typeof testCall>) =>
    codeOf(() => call.do("wasi:io/poll#[method]pollable.block", call.do("wasi:clocks/monotonic-clock#subscribe-duration", 1_000_000n)))
  t.equal(block(testCall(["clock:monotonic"], { monotonicClock: frozen })), "STELE-CAP-0007")
  let waits = 0
  t.equal(block(testCall(["clock:monotonic"], { monotonicClock: { ...frozen, wait: () => void waits++ } })), "STELE-CAP-0007")
  t.ok(waits <= 1_010)
  let nowNs = 0n
  const hasty = { nowNs: () => nowNs, resolutionNs: 1n, waitMsMax: 1_000, wait: (ms: number) => void (nowNs += BigInt(Math.ceil(ms * 0.9 * 1e6))) }
  const longest = testCall(["clock:monotonic"], { monotonicClock: hasty })
  longest.do("wasi:io/poll#[method]pollable.block", longest.do("wasi:clocks/monotonic-clock#subscribe-duration", 90_000_000n))
  t.ok(nowNs >= 90_000_000n, "a wait that comes back early goes on")
  const aborted = testCall(["clock:monotonic"])
  t.equal(block(Object.assign(aborted, { signal: AbortSignal.abort() })), "STELE-CAP-0007")
})

t.test("an open timer's handle is denied when the clock's grant is revoked", async (t) => {
  const call = testCall(["clock:monotonic"])
  const timer = call.do("wasi:clocks/monotonic-clock#subscribe-duration", 1n)
  call.grants.revoke("clock:monotonic")
  t.equal(
    codeOf(() => call.do("wasi:io/poll#[method]pollable.ready", timer)),
    "STELE-CAP-0004",
  )
})

t.test("`SeededBytes` is the ChaCha20 keystream of RFC 8439", async (t) => {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
  // Appendix A.1, test vectors 1 and 2: zero key and nonce, blocks 0 and 1.
  t.equal(
    hex(new SeededBytes("", 0).fill(new Uint8Array(128))),
    "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586" +
      "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f",
  )
  const whole = new SeededBytes("seed", 1).fill(new Uint8Array(300))
  const parts = new SeededBytes("seed", 1)
  t.same(Buffer.concat([1, 63, 64, 65, 107].map((n) => parts.fill(new Uint8Array(n)))), Buffer.from(whole), "however it is drawn")
  t.notSame(new SeededBytes("seed", 0).fill(new Uint8Array(32)), whole.subarray(0, 32), "streams differ")
})

t.test("`random` is unpredictable, `random:seeded` the same for each fresh instance", async (t) => {
  const real = testCall(["random", "random:seeded:1"])
  t.notSame(real.do("wasi:random/random#get-random-bytes", 32n), real.again().do("wasi:random/random#get-random-bytes", 32n), "the wider grant serves")
  const call = testCall(["random:seeded:1"])
  const first = call.do("wasi:random/random#get-random-bytes", 8n) as Uint8Array
  const next = call.do("wasi:random/random#get-random-u64")
  t.notSame(Buffer.from(first).readBigUInt64LE(), next, "it goes on")
  const again = call.again()
  t.equal(again.do("wasi:random/random#get-random-u64"), Buffer.from(first).readBigUInt64LE())
  t.equal(again.do("wasi:random/random#get-random-u64"), next)
  t.notSame(testCall(["random:seeded:2"]).do("wasi:random/random#get-random-bytes", 8n), first)
  // Drawing from one interface does not move another.
  const insecure = testCall(["random:seeded:1"]).do("wasi:random/insecure#get-insecure-random-u64")
  t.equal(call.do("wasi:random/insecure#get-insecure-random-u64"), insecure)
  t.equal((call.do("wasi:random/insecure-seed#insecure-seed") as ReadonlyArray<bigint>).length, 2)
  t.same(call.uses[0], ["random:seeded:1", 8])
})

t.test("`random` refuses lengths over the port's limit and everything without a grant", async (t) => {
  for (const grants of [["random"], ["random:seeded"]]) {
    const call = testCall(grants)
    t.equal((call.do("wasi:random/random#get-random-bytes", 1n << 20n) as Uint8Array).length, 1 << 20)
    for (const length of [(1n << 20n) + 1n, (1n << 64n) - 1n])
      t.equal(
        codeOf(() => call.do("wasi:random/random#get-random-bytes", length)),
        "STELE-CAP-0008",
      )
    call.grants.revoke("random")
    t.equal(
      codeOf(() => call.do("wasi:random/random#get-random-u64")),
      "STELE-CAP-0004",
    )
  }
})

t.test("`config` shows the settings granted and no other", async (t) => {
  const call = testCall(["config:app.*", "config:greeting"], {
    config: memoryConfig({ shared: { "app.a": "1", "app.b": "2", greeting: "hi", password: "x" }, tenants: { tenant: { "app.b": "3" } } }),
  })
  t.same(call.do("wasi:config/store#get", "app.b"), ok("3"))
  t.same(call.do("wasi:config/store#get", "app.none"), ok(undefined))
  const denied = call.do("wasi:config/store#get", "password") as { tag: string; val: { tag: string; val: string } }
  t.match(denied, { tag: "err", val: { tag: "upstream", val: /config:password/ } })
  t.same(call.denials, ["config:password"])
  t.same(
    call.do("wasi:config/runtime#get-all"),
    ok([
      ["app.a", "1"],
      ["app.b", "3"],
      ["greeting", "hi"],
    ]),
  )
  call.grants.revoke("config:app.*")
  t.same(call.do("wasi:config/store#get-all"), ok([["greeting", "hi"]]))
  call.grants.revoke("config:*")
  t.match(call.do("wasi:config/store#get-all"), { tag: "err" })
})

t.test("`secret` reveals what is granted, and not through a handle whose grant was revoked", async (t) => {
  const call = testCall(["secret:api-*"], { secret: memorySecret({ shared: { "api-key": "s3cret", "api-cert": Uint8Array.of(1, 2), other: "x" } }) })
  const handle = okOf(call.do("stele:secret/store#get", "api-key"))
  t.same(call.do("stele:secret/store#[method]secret.reveal", handle), ok({ tag: "text", val: "s3cret" }))
  t.same(
    call.do("stele:secret/store#[method]secret.reveal", okOf(call.do("stele:secret/store#get", "api-cert"))),
    ok({ tag: "bytes", val: Uint8Array.of(1, 2) }),
  )
  t.same(call.do("stele:secret/store#get", "api-none"), err({ tag: "not-found" }))
  t.same(call.do("stele:secret/store#get", "other"), accessDenied)
  t.notMatch(JSON.stringify(handle), /s3cret/, "a handle does not hold the value")
  call.grants.revoke("secret:api-key")
  t.same(call.do("stele:secret/store#[method]secret.reveal", handle), accessDenied)
  t.same(call.denials, ["secret:other", "secret:api-key"])
  t.same(call.uses, [
    ["secret:api-*", 6],
    ["secret:api-*", 2],
  ])
})

for (const draft of ["0.2.0-draft", "0.2.0-draft2"]) {
  const store = `wasi:keyvalue/store@${draft}`
  t.test(`\`kv\` reads and writes under separate grants in ${draft}`, async (t) => {
    const call = testCall(["kv:read:prices/*", "kv:write:prices/eur"])
    const bucket = okOf(call.do(`${store}#open`, "prices"))
    t.same(call.do(`${store}#[method]bucket.set`, bucket, "eur", utf8("1.1")), done)
    t.same(call.do(`${store}#[method]bucket.get`, bucket, "eur"), ok(utf8("1.1")))
    t.same(call.do(`${store}#[method]bucket.get`, bucket, "usd"), ok(undefined))
    t.same(call.do(`${store}#[method]bucket.exists`, bucket, "eur"), ok(true))
    t.same(call.do(`${store}#[method]bucket.set`, bucket, "usd", utf8("1")), accessDenied)
    t.same(call.do(`${store}#[method]bucket.delete`, bucket, "usd"), accessDenied)
    t.same(call.do(`${store}#[method]bucket.delete`, bucket, "eur"), done)
    t.same(call.do(`${store}#[method]bucket.exists`, bucket, "eur"), ok(false))
    t.same(call.denials, ["kv:write:prices/usd", "kv:write:prices/usd"])
    t.same(call.do(`${store}#open`, "rates"), accessDenied)
    t.same(call.do(`${store}#[method]bucket.get`, okOf(call.do(`${store}#open`, "")), "prices/eur"), ok(undefined), "a bucket is a prefix of one key space")
  })

  t.test(`\`kv\` is denied through an open bucket after a revocation in ${draft}`, async (t) => {
    const call = testCall(["kv:read:prices/*", "kv:write:prices/*"])
    const bucket = okOf(call.do(`${store}#open`, "prices"))
    call.do(`${store}#[method]bucket.set`, bucket, "secret/a", utf8("x"))
    call.do(`${store}#[method]bucket.set`, bucket, "eur", utf8("1"))
    call.grants.revoke("kv:read:prices/secret/*")
    t.same(call.do(`${store}#[method]bucket.get`, bucket, "secret/a"), accessDenied)
    t.same(call.do(`${store}#[method]bucket.exists`, bucket, "secret/a"), accessDenied)
    t.match(call.do(`${store}#[method]bucket.list-keys`, bucket, undefined), { tag: "ok", val: { keys: ["eur"] } }, "nor listed")
    call.grants.revoke("kv:read:prices/*")
    for (const operation of ["get", "exists"]) t.same(call.do(`${store}#[method]bucket.${operation}`, bucket, "eur"), accessDenied)
    t.same(call.do(`${store}#[method]bucket.list-keys`, bucket, undefined), accessDenied)
    t.same(call.do(`${store}#[method]bucket.set`, bucket, "eur", utf8("2")), done, "writing is another grant")
    call.grants.revoke("kv:write:*")
    t.same(call.do(`${store}#[method]bucket.set`, bucket, "eur", utf8("3")), accessDenied)
    t.same(call.do(`wasi:keyvalue/batch@${draft}#set-many`, bucket, [["eur", utf8("3")]]), accessDenied)
  })

  t.test(`\`kv\` lists every key granted, once and in order, over many pages in ${draft}`, async (t) => {
    const keyValue = memoryKeyValue()
    const call = testCall(["kv:read:b/a*", "kv:read:b/ab", "kv:read:b/c", "kv:read:other/*"], { keyValue })
    const shown: Array<string> = []
    for (let i = 0; i < 2 * pageKeysMax + 10; i++) {
      shown.push(`a${String(i).padStart(5, "0")}`)
      keyValue.set(tenantKey("tenant", `b/${shown[i]}`), utf8(""))
      keyValue.set(tenantKey("tenant", `b/b${i}`), utf8(""))
      keyValue.set(tenantKey("another", `b/a${i}x`), utf8(""))
    }
    for (const name of ["ab", "c", "cc"]) keyValue.set(tenantKey("tenant", `b/${name}`), utf8(""))
    shown.push("ab", "c")
    const bucket = okOf(call.do(`${store}#open`, "b"))
    const seen: Array<string> = []
    let pages = 0
    for (let cursor: unknown; ;) {
      const page = okOf(call.do(`${store}#[method]bucket.list-keys`, bucket, cursor)) as { keys: ReadonlyArray<string>; cursor: unknown }
      t.ok(page.keys.length <= pageKeysMax)
      seen.push(...page.keys)
      pages++
      cursor = page.cursor
      if (cursor === undefined) break
    }
    t.same(seen, shown)
    t.equal(pages, 3)
  })

  t.test(`\`kv\` gives a port's refusal as the interface's error in ${draft}`, async (t) => {
    const call = testCall(["kv:read:*", "kv:write:*"], { keyValue: memoryKeyValue({ valueBytesMax: 4 }) })
    const bucket = okOf(call.do(`${store}#open`, "b"))
    t.match(call.do(`${store}#[method]bucket.set`, bucket, "k", new Uint8Array(5)), { tag: "err", val: { tag: "other", val: /valueBytesMax.*limit is 4/ } })
    t.same(call.do(`${store}#[method]bucket.set`, bucket, "k", new Uint8Array(4)), done)
  })

  t.test(`\`kv\` takes batches up to their limit in ${draft}`, async (t) => {
    const call = testCall(["kv:read:*", "kv:write:*"])
    const bucket = okOf(call.do(`${store}#open`, "b"))
    const pairs = Array.from({ length: batchKeysMax }, (_, i) => [`k${i}`, Uint8Array.of(i & 255)] as const)
    t.same(call.do(`wasi:keyvalue/batch@${draft}#set-many`, bucket, pairs), done)
    t.match(call.do(`wasi:keyvalue/batch@${draft}#set-many`, bucket, [...pairs, ["more", utf8("")]]), { tag: "err", val: { tag: "other" } })
    t.same(call.do(`wasi:keyvalue/batch@${draft}#get-many`, bucket, ["k3", "none", "k3"]), ok([["k3", Uint8Array.of(3)], undefined, ["k3", Uint8Array.of(3)]]))
    t.same(call.do(`wasi:keyvalue/batch@${draft}#delete-many`, bucket, ["k3", "none"]), done)
    t.same(call.do(`${store}#[method]bucket.exists`, bucket, "k3"), ok(false))
    const big = new Uint8Array(1 << 20)
    call.do(`${store}#[method]bucket.set`, bucket, "big", big)
    t.match(
      call.do(
        `wasi:keyvalue/batch@${draft}#get-many`,
        bucket,
        Array.from({ length: 17 }, () => "big"),
      ),
      { tag: "err", val: { tag: "other" } },
      "one value many times",
    )
  })
}

t.test("`kv` keeps tenants apart", async (t) => {
  const keyValue = memoryKeyValue()
  const [a, b] = ["a", "a/b"].map((tenant) => testCall(["kv:read:*", "kv:write:*"], { keyValue }, tenant)) as [
    ReturnType<typeof testCall>,
    ReturnType<typeof testCall>,
  ]
  const open = (call: typeof a, name: string) => okOf(call.do("wasi:keyvalue/store#open", name))
  a.do("wasi:keyvalue/store#[method]bucket.set", open(a, "b"), "k", utf8("a's"))
  t.same(b.do("wasi:keyvalue/store#[method]bucket.get", open(b, ""), "k"), ok(undefined))
  t.same(b.do("wasi:keyvalue/store#[method]bucket.get", open(b, "../a/b"), "k"), ok(undefined))
  t.same(okOf(b.do("wasi:keyvalue/store#[method]bucket.list-keys", open(b, ""), undefined)), { keys: [], cursor: undefined })
})

t.test("`kv` increments within its draft's integer type, and needs both grants", async (t) => {
  const call = testCall(["kv:read:*", "kv:write:*"])
  const first = okOf(call.do("wasi:keyvalue/store@0.2.0-draft#open", ""))
  const second = okOf(call.do("wasi:keyvalue/store@0.2.0-draft2#open", ""))
  t.same(call.do("wasi:keyvalue/atomics@0.2.0-draft#increment", first, "n", (1n << 64n) - 1n), ok((1n << 64n) - 1n))
  t.match(call.do("wasi:keyvalue/atomics@0.2.0-draft#increment", first, "n", 1n), { tag: "err", val: { tag: "other" } })
  t.same(call.do("wasi:keyvalue/atomics@0.2.0-draft2#increment", second, "m", -5n), ok(-5n))
  t.match(call.do("wasi:keyvalue/atomics@0.2.0-draft2#increment", second, "n", 1n), { tag: "err", val: { tag: "other" } })
  call.do("wasi:keyvalue/store#[method]bucket.set", second, "text", utf8("abc"))
  t.match(call.do("wasi:keyvalue/atomics@0.2.0-draft2#increment", second, "text", 1n), { tag: "err", val: { tag: "other", val: /not a decimal integer/ } })
  call.grants.revoke("kv:read:*")
  t.same(call.do("wasi:keyvalue/atomics@0.2.0-draft2#increment", second, "m", 1n), accessDenied)
})

t.test("`kv` swaps only what nobody changed since it was read", async (t) => {
  const call = testCall(["kv:read:*", "kv:write:*"])
  const bucket = okOf(call.do("wasi:keyvalue/store#open", ""))
  const newCas = () => okOf(call.do("wasi:keyvalue/atomics#[static]cas.new", bucket, "k"))
  t.same(call.do("wasi:keyvalue/atomics#swap", newCas(), utf8("1")), done)
  const stale = newCas()
  call.do("wasi:keyvalue/store#[method]bucket.set", bucket, "k", utf8("2"))
  const failed = call.do("wasi:keyvalue/atomics#swap", stale, utf8("3")) as { tag: string; val: { tag: string; val: unknown } }
  t.match(failed, { tag: "err", val: { tag: "cas-failed" } })
  t.same(call.do("wasi:keyvalue/atomics#[method]cas.current", failed.val.val), ok(utf8("2")))
  t.same(call.do("wasi:keyvalue/atomics#swap", failed.val.val, utf8("4")), done, "the new handle is up to date")
  const open = newCas()
  call.grants.revoke("kv:write:*")
  t.same(call.do("wasi:keyvalue/atomics#swap", open, utf8("5")), err({ tag: "store-error", val: { tag: "access-denied" } }))
})

const types = "wasi:blobstore/types"
const container = "wasi:blobstore/container"
const blobstore = "wasi:blobstore/blobstore"
type Call = ReturnType<typeof testCall>

/** Writes an object as a guest does. */
function writeObject(call: Call, into: unknown, name: string, content: Uint8Array): unknown {
  const value = call.do(`${types}#[static]outgoing-value.new-outgoing-value`)
  const answer = call.do(`${container}#[method]container.write-data`, into, name, value) as { tag: string }
  if (answer.tag === "err") return answer
  const stream = okOf(call.do(`${types}#[method]outgoing-value.outgoing-value-write-body`, value))
  for (let at = 0; at < content.length; at += 4096)
    okOf(call.do("wasi:io/streams#[method]output-stream.blocking-write-and-flush", stream, content.subarray(at, at + 4096)))
  call.drop("wasi:io/streams", "output-stream", stream)
  return call.do(`${types}#[static]outgoing-value.finish`, value)
}
const readObject = (call: Call, from: unknown, name: string, start = 0n, end = (1n << 64n) - 1n): unknown =>
  call.do(`${types}#[static]incoming-value.incoming-value-consume-sync`, okOf(call.do(`${container}#[method]container.get-data`, from, name, start, end)))

t.test("`blob` stores, reads, lists and deletes objects in containers", async (t) => {
  const call = testCall(["blob:read:photos/*", "blob:write:photos/*"], { blob: memoryBlob({}, () => 5_000) })
  t.match(call.do(`${blobstore}#get-container`, "photos"), { tag: "err", val: /There is no container/ })
  t.same(call.do(`${blobstore}#container-exists`, "photos"), ok(false))
  const photos = okOf(call.do(`${blobstore}#create-container`, "photos"))
  t.match(call.do(`${blobstore}#create-container`, "photos"), { tag: "err", val: /already/ })
  t.same(call.do(`${container}#[method]container.name`, photos), ok("photos"))
  t.same(call.do(`${container}#[method]container.info`, photos), ok({ name: "photos", createdAt: 5n }))
  const content = Uint8Array.from({ length: 10_000 }, (_, i) => i & 255)
  t.same(writeObject(call, photos, "2024/a.png", content), done)
  t.same(writeObject(call, photos, "b", utf8("")), done)
  t.same(readObject(call, photos, "2024/a.png"), ok(content))
  t.same(readObject(call, photos, "2024/a.png", 1n, 2n), ok(Uint8Array.of(1, 2)), "both ends are inclusive")
  t.same(readObject(call, photos, "2024/a.png", 9_999n, 20_000n), ok(content.subarray(9_999)))
  t.same(readObject(call, photos, "2024/a.png", 20_000n, 20_001n), ok(utf8("")))
  t.match(call.do(`${container}#[method]container.get-data`, photos, "b", 2n, 1n), { tag: "err" })
  t.match(call.do(`${container}#[method]container.get-data`, photos, "none", 0n, 1n), { tag: "err", val: /There is no object/ })
  t.same(call.do(`${container}#[method]container.has-object`, photos, "b"), ok(true))
  t.same(
    call.do(`${container}#[method]container.object-info`, photos, "2024/a.png"),
    ok({ name: "2024/a.png", container: "photos", createdAt: 5n, size: 10_000n }),
  )
  const names = okOf(call.do(`${container}#[method]container.list-objects`, photos))
  t.same(call.do(`${container}#[method]stream-object-names.read-stream-object-names`, names, 1n), ok([["2024/a.png"], false]))
  t.same(call.do(`${container}#[method]stream-object-names.skip-stream-object-names`, names, 5n), ok([1n, true]))
  t.same(call.do(`${blobstore}#copy-object`, { container: "photos", object: "b" }, { container: "photos", object: "c" }), done)
  t.same(call.do(`${blobstore}#move-object`, { container: "photos", object: "c" }, { container: "photos", object: "d" }), done)
  t.same(call.do(`${blobstore}#move-object`, { container: "photos", object: "d" }, { container: "photos", object: "d" }), done, "onto itself loses nothing")
  const all = okOf(call.do(`${container}#[method]container.list-objects`, photos))
  t.same(call.do(`${container}#[method]stream-object-names.read-stream-object-names`, all, 100n), ok([["2024/a.png", "b", "d"], true]))
  t.same(call.do(`${container}#[method]container.delete-objects`, photos, ["b", "none"]), done)
  t.same(call.do(`${container}#[method]container.delete-object`, photos, "d"), done)
  t.same(call.do(`${container}#[method]container.clear`, photos), done)
  t.same(call.do(`${blobstore}#container-exists`, "photos"), ok(true), "clear keeps the container")
  t.same(call.do(`${blobstore}#delete-container`, "photos"), done)
  t.same(call.do(`${blobstore}#container-exists`, "photos"), ok(false))
  for (const bad of ["", "a/b"]) t.match(call.do(`${blobstore}#create-container`, bad), { tag: "err" })
})

t.test("`blob` names the grant in its error, and asks again on handles and streams", async (t) => {
  const call = testCall(["blob:read:photos/*", "blob:write:photos/*"])
  const photos = okOf(call.do(`${blobstore}#create-container`, "photos"))
  writeObject(call, photos, "a", utf8("abcdef"))
  t.match(call.do(`${blobstore}#get-container`, "other"), { tag: "err", val: /"blob:read:other\/\*"/ })
  t.match(call.do(`${blobstore}#copy-object`, { container: "photos", object: "a" }, { container: "other", object: "a" }), {
    tag: "err",
    val: /"blob:write:other\/a"/,
  })
  const stream = okOf(
    call.do(`${types}#[static]incoming-value.incoming-value-consume-async`, okOf(call.do(`${container}#[method]container.get-data`, photos, "a", 0n, 10n))),
  )
  t.same(call.do("wasi:io/streams#[method]input-stream.read", stream, 2n), ok(utf8("ab")))
  const unread = okOf(call.do(`${container}#[method]container.get-data`, photos, "a", 0n, 10n))
  call.grants.revoke("blob:read:photos/a")
  t.match(call.do("wasi:io/streams#[method]input-stream.read", stream, 2n), {
    tag: "err",
    val: { tag: "last-operation-failed", val: { message: /blob:read:photos\/a/ } },
  })
  t.match(call.do(`${types}#[static]incoming-value.incoming-value-consume-sync`, unread), { tag: "err" })
  t.match(call.do(`${container}#[method]container.has-object`, photos, "a"), { tag: "err" })
  const value = call.do(`${types}#[static]outgoing-value.new-outgoing-value`)
  call.do(`${container}#[method]container.write-data`, photos, "b", value)
  call.grants.revoke("blob:write:*")
  t.match(call.do(`${types}#[static]outgoing-value.finish`, value), { tag: "err", val: /blob:write:photos\/b/ }, "revoked between writing and finishing")
  t.match(call.do(`${container}#[method]container.clear`, photos), { tag: "err" })
  t.match(call.do(`${blobstore}#delete-container`, "photos"), { tag: "err" })
})

t.test("`blob` deletes nothing when a part of the container is outside the grants", async (t) => {
  const call = testCall(["blob:read:*", "blob:write:*"])
  const c = okOf(call.do(`${blobstore}#create-container`, "c"))
  for (const name of ["a", "b"]) writeObject(call, c, name, utf8("x"))
  call.grants.revoke("blob:write:c/b")
  t.match(call.do(`${container}#[method]container.clear`, c), { tag: "err", val: /blob:write:c\/b/ })
  t.same(call.do(`${container}#[method]container.has-object`, c, "a"), ok(true))
})

t.test("`blob` holds a bounded number of bytes for one instance and gives them back", async (t) => {
  const call = testCall(["blob:read:*", "blob:write:*"])
  const c = okOf(call.do(`${blobstore}#create-container`, "c"))
  call.ports.blob.put(tenantKey("tenant", "c/big"), new Uint8Array(heldBytesMax / 4))
  const get = () => call.do(`${container}#[method]container.get-data`, c, "big", 0n, BigInt(heldBytesMax))
  const values = [get(), get(), get(), get()].map(okOf)
  t.match(get(), { tag: "err", val: /heldBytesMax/ })
  const value = call.do(`${types}#[static]outgoing-value.new-outgoing-value`)
  const body = okOf(call.do(`${types}#[method]outgoing-value.outgoing-value-write-body`, value))
  t.match(call.do("wasi:io/streams#[method]output-stream.check-write", body), { tag: "err", val: { tag: "last-operation-failed" } })
  call.drop(types, "incoming-value", values[0])
  t.match(get(), { tag: "ok" }, "dropping gives room")
  call.do(`${types}#[static]incoming-value.incoming-value-consume-sync`, values[1])
  t.match(get(), { tag: "ok" }, "consuming gives room")
  const stream = okOf(call.do(`${types}#[static]incoming-value.incoming-value-consume-async`, values[2]))
  t.match(get(), { tag: "err" }, "a stream still holds")
  call.drop("wasi:io/streams", "input-stream", stream)
  call.drop("wasi:io/streams", "input-stream", stream)
  t.match(get(), { tag: "ok" })
  t.match(get(), { tag: "err" }, "dropping twice gives room once")
  t.match(call.again().do(`${container}#[method]container.get-data`, c, "big", 0n, 1n), { tag: "ok" }, "another instance has its own")
})

t.test("`blob` follows the protocol of outgoing values", async (t) => {
  const call = testCall(["blob:read:*", "blob:write:*"])
  const c = okOf(call.do(`${blobstore}#create-container`, "c"))
  const value = call.do(`${types}#[static]outgoing-value.new-outgoing-value`)
  call.do(`${container}#[method]container.write-data`, c, "a", value)
  const body = okOf(call.do(`${types}#[method]outgoing-value.outgoing-value-write-body`, value))
  t.same(call.do(`${types}#[method]outgoing-value.outgoing-value-write-body`, value), err(undefined), "only once")
  t.same(call.do("wasi:io/streams#[method]output-stream.write-zeroes", body, 3n), done)
  t.match(call.do(`${types}#[static]outgoing-value.finish`, value), { tag: "err", val: /still open/ })
  t.same(call.do(`${container}#[method]container.has-object`, c, "a"), ok(false), "nothing stored")
  t.match(call.do(`${container}#[method]container.write-data`, c, "", value), { tag: "err" })
})

t.test("`event` publishes and polls topics within the tenant, by separate grants", async (t) => {
  const call = testCall(["event:publish:orders", "event:subscribe:*"])
  t.same(call.do("stele:event/bus#publish", "orders", utf8("1")), ok(1n))
  t.same(call.do("stele:event/bus#publish", "orders", utf8("2")), ok(2n))
  t.same(call.do("stele:event/bus#publish", "other", utf8("1")), accessDenied)
  t.same(call.do("stele:event/bus#poll", "orders", 0n, 1), ok({ events: [{ sequence: 1n, payload: utf8("1") }], next: 1n, lost: 0n }))
  t.same(call.do("stele:event/bus#poll", "orders", 1n, 10), ok({ events: [{ sequence: 2n, payload: utf8("2") }], next: 2n, lost: 0n }))
  t.same(call.do("stele:event/bus#poll", "orders", 2n, 10), ok({ events: [], next: 2n, lost: 0n }))
  t.match(call.do("stele:event/bus#publish", "orders", new Uint8Array((256 << 10) + 1)), { tag: "err", val: { tag: "too-large", val: /payloadBytesMax/ } })
  for (let i = 0; i < 5; i++) call.do("stele:event/bus#publish", "orders", new Uint8Array(256 << 10))
  const batch = okOf(call.do("stele:event/bus#poll", "orders", 2n, 4_000_000_000)) as { events: ReadonlyArray<{ payload: Uint8Array }>; next: bigint }
  t.ok(batch.events.reduce((sum, e) => sum + e.payload.length, 0) <= pollBytesMax)
  t.equal(batch.next, 6n, "the rest comes with the next poll")
  call.grants.revoke("event:subscribe:orders")
  t.same(call.do("stele:event/bus#poll", "orders", 0n, 1), accessDenied)
  t.same(call.do("stele:event/bus#poll", "other", 0n, 1), ok({ events: [], next: 0n, lost: 0n }))
})

t.test("the inert set tells nothing", async (t) => {
  const call = testCall([])
  t.same(call.do("wasi:cli/environment#get-environment"), [])
  t.same(call.do("wasi:cli/environment#get-arguments"), [])
  t.equal(call.do("wasi:cli/environment#initial-cwd"), undefined)
  t.same(call.do("wasi:filesystem/preopens#get-directories"), [])
  for (const stream of ["stdin", "stdout", "stderr"]) t.equal(call.do(`wasi:cli/terminal-${stream}#get-terminal-${stream}`), undefined)
  const stdin = call.do("wasi:cli/stdin#get-stdin")
  for (const read of ["read", "blocking-read", "skip", "blocking-skip"])
    t.same(call.do(`wasi:io/streams#[method]input-stream.${read}`, stdin, 10n), err({ tag: "closed" }))
  t.same(call.uses, [])
  t.same(call.denials, [])
})

t.test("`exit()` ends the call with its status", async (t) => {
  const call = testCall([])
  for (const [name, argument, status] of [
    ["exit", { tag: "ok" }, 0],
    ["exit", { tag: "err" }, 1],
    ["exit-with-code", 42, 42],
  ] as const) {
    try {
      call.do(`wasi:cli/exit#${name}`, argument)
      t.fail(name)
    } catch (error) {
      t.match(error, { code: "STELE-PLG-0012", reason: { _tag: "Exit", status } })
    }
  }
})

t.test("stdout and stderr become log lines when `log` is granted, and nothing otherwise", async (t) => {
  const call = testCall(["log"])
  const write = (stream: unknown, text: string | Uint8Array) =>
    call.do("wasi:io/streams#[method]output-stream.blocking-write-and-flush", stream, typeof text === "string" ? utf8(text) : text)
  const stdout = call.do("wasi:cli/stdout#get-stdout")
  const stderr = call.do("wasi:cli/stderr#get-stderr")
  write(stdout, "hel")
  write(stderr, "oops\r\n")
  write(call.do("wasi:cli/stdout#get-stdout"), "lo\nwor")
  write(stdout, "ld")
  const lines = () => call.log.records.map((r) => [r.context, r.level, r.message])
  t.same(lines(), [
    ["stderr", "error", "oops"],
    ["stdout", "info", "hello"],
  ])
  call.drop("wasi:io/streams", "output-stream", stdout)
  t.same(lines().at(-1), ["stdout", "info", "world"], "the rest comes when the stream is dropped")
  call.drop("wasi:io/streams", "output-stream", stdout)
  t.equal(lines().length, 3, "once")
  write(stdout, "kept")
  call.grants.revoke("log")
  t.same(write(stdout, " back\n"), done, "a revoked stream takes everything and keeps nothing")
  call.grants.grant("log")
  write(stdout, "new\n")
  t.same(lines().at(-1), ["stdout", "info", "new"])
  const silent = testCall([])
  t.same(silent.do("wasi:io/streams#[method]output-stream.blocking-write-and-flush", silent.do("wasi:cli/stdout#get-stdout"), utf8("x\n")), done)
  t.same(silent.log.records, [])
})

t.test("stdout cuts overlong lines between characters and survives bytes that are not text", async (t) => {
  const call = testCall(["log"])
  const stdout = call.do("wasi:cli/stdout#get-stdout")
  const write = (bytes: Uint8Array) => call.do("wasi:io/streams#[method]output-stream.write", stdout, bytes)
  write(utf8(`${"x".repeat(lineBytesMax - 2)}鍵y\n`))
  t.same(
    call.log.records.map((r) => r.message.length),
    [lineBytesMax - 2, 2],
  )
  t.equal(call.log.records[1]?.message, "鍵y")
  write(Uint8Array.of(0xff, 0xfe, 0x80, 10))
  t.equal(call.log.records[2]?.message, "\ufffd\ufffd\ufffd")
  write(new Uint8Array(3 * lineBytesMax).fill(0x80))
  t.equal(call.log.records.length, 6, "a buffer of continuation bytes still empties")
})

t.test("streams hold to their permits and splice one into another", async (t) => {
  const call = testCall(["blob:read:*", "blob:write:*"])
  const stdout = call.do("wasi:cli/stdout#get-stdout")
  t.same(call.do("wasi:io/streams#[method]output-stream.check-write", stdout), ok(BigInt(chunkBytesMax)))
  t.same(call.do("wasi:io/streams#[method]output-stream.write", stdout, new Uint8Array(chunkBytesMax)), done)
  for (const write of ["write", "blocking-write-and-flush"])
    t.equal(
      codeOf(() => call.do(`wasi:io/streams#[method]output-stream.${write}`, stdout, new Uint8Array(chunkBytesMax + 1))),
      "STELE-CAP-0008",
    )
  for (const write of ["write-zeroes", "blocking-write-zeroes-and-flush"])
    t.equal(
      codeOf(() => call.do(`wasi:io/streams#[method]output-stream.${write}`, stdout, (1n << 64n) - 1n)),
      "STELE-CAP-0008",
    )
  t.same(call.do("wasi:io/streams#[method]output-stream.flush", stdout), done)
  t.same(call.do("wasi:io/poll#poll", [call.do("wasi:io/streams#[method]output-stream.subscribe", stdout)]), Uint32Array.of(0))
  const c = okOf(call.do(`${blobstore}#create-container`, "c"))
  writeObject(call, c, "a", utf8("abcdef"))
  const source = okOf(
    call.do(`${types}#[static]incoming-value.incoming-value-consume-async`, okOf(call.do(`${container}#[method]container.get-data`, c, "a", 0n, 99n))),
  )
  t.same(call.do("wasi:io/streams#[method]input-stream.skip", source, 1n), ok(1n))
  const value = call.do(`${types}#[static]outgoing-value.new-outgoing-value`)
  call.do(`${container}#[method]container.write-data`, c, "b", value)
  const body = okOf(call.do(`${types}#[method]outgoing-value.outgoing-value-write-body`, value))
  t.same(call.do("wasi:io/streams#[method]output-stream.splice", body, source, 2n), ok(2n))
  t.same(call.do("wasi:io/streams#[method]output-stream.blocking-splice", body, source, 100n), ok(3n))
  t.same(call.do("wasi:io/streams#[method]output-stream.splice", body, source, 1n), err({ tag: "closed" }))
  call.drop("wasi:io/streams", "output-stream", body)
  call.do(`${types}#[static]outgoing-value.finish`, value)
  t.same(readObject(call, c, "b"), ok(utf8("bcdef")))
})

t.test("`settled()` refuses a promise with its own code and lets no rejection escape", async (t) => {
  t.equal(settled(5, "x"), 5)
  t.equal(settled(undefined, "x"), undefined)
  t.equal(
    codeOf(() => settled(Promise.reject(new Error("late")), "wasi:config/store")),
    "STELE-CAP-0006",
  )
  const call = testCall(["random", "config:*"], {
    random: { limits: { bytesMax: 8 }, bytes: () => Promise.resolve(new Uint8Array(8)) },
    config: { get: () => Promise.resolve("x"), list: () => Promise.resolve([]) },
  })
  t.equal(
    codeOf(() => call.do("wasi:random/random#get-random-u64")),
    "STELE-CAP-0006",
  )
  t.same(await call.do("wasi:config/store#get", "a"), ok("x"), "what its guest may wait for is passed on")
})
