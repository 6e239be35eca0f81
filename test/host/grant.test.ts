import fc from "../property.ts"
import t from "tap"
import { attenuate, deniedMax, type GrantChange, grantForms, GrantSet, isSubset, parseGrant, printGrant } from "../../host/capability/grant.ts"
import { covers, type Grant, grantCharsMax, headsOf } from "../../host/capability/scope.ts"
import { CapabilityError } from "../../schemas/error/mod.ts"
import { replay } from "../seed.ts"

t.comment(`${replay} replays`)
const runs = { numRuns: 2_000 }

const codeOf = (act: () => unknown): string => {
  try {
    act()
    return "none"
  } catch (error) {
    return error instanceof CapabilityError ? error.code : `not typed: ${String(error)}`
  }
}

// Few letters, so that scopes nest, coincide and miss each other often.
const name = fc.string({ unit: fc.constantFrom("a", "b", "/"), minLength: 1, maxLength: 4 })
const head = fc.constantFrom("kv:read", "kv:write", "config", "event:publish", "blob:read", "secret")
const scope = fc.oneof(
  name.filter((n) => !n.endsWith("/")),
  name.map((n) => `${n}*`),
  fc.constant("*"),
)
const url = fc.oneof(
  fc.constantFrom("*", "https://*/*", "https://*.b/*", "https://*.a.b/*", "http://127.0.0.1/*", "https://a.b:8443/*"),
  name.filter((n) => !n.endsWith("/")).map((n) => `https://a.b/x${n}`),
  name.map((n) => `https://a.b/x${n}*`),
)
const grantText = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(head, scope).map(([h, s]) => `${h}:${s}`) },
  // One grant of several heads: the only scopes that can cross are its own with those of one method.
  { weight: 4, arbitrary: fc.tuple(fc.constantFrom("GET", "POST", "*"), url).map(([m, u]) => `http:${m}:${u}`) },
  {
    weight: 1,
    arbitrary: fc.constantFrom("log", "clock:wall", "clock:monotonic", "clock:monotonic:fine", "random", "random:seeded", "random:seeded:a", "random:seeded:b"),
  },
)
/** An operation: what a host function asks. Every name a scope above can cover, and the names of grants without scope. */
const heads = ["log", "clock:wall", "clock:monotonic", "random", "kv:read", "kv:write", "config", "event:publish", "blob:read", "secret"]
const target = fc.oneof(
  name.map((n) => `https:443:b.a/x${n}`),
  fc.constantFrom("https:443:b.c/", "https:443:b.a.c/", "https:8443:b.a/", "http:80:b/", "[127.0.0.1]:http:80/a"),
)
const operation: fc.Arbitrary<[string, string]> = fc.oneof(
  fc.tuple(fc.constantFrom(...heads), fc.oneof(name, fc.constantFrom("", "fine", "seeded", "seeded:a", "seeded:b"))),
  fc.tuple(fc.constantFrom("http:GET", "http:POST", "http:PUT"), target),
)
const allowsOne = (grant: Grant, [h, n]: readonly [string, string]): boolean => headsOf(grant).includes(h) && covers(grant.scope, n)

t.test("`parseGrant()` reads every form of the grammar when it is written canonically", async (t) => {
  for (const text of [
    "log",
    "clock:wall",
    "clock:monotonic",
    "clock:monotonic:fine",
    "random",
    "random:seeded",
    "random:seeded:42",
    "random:seeded:a:b",
    "config:greeting",
    "config:app.*",
    "secret:stripe-key",
    "kv:read:prices/*",
    "kv:write:prices/eur",
    "kv:read:*",
    "blob:read:photos/2024/*",
    "blob:write:photos/a b.png",
    "event:publish:orders",
    "event:subscribe:orders:*",
    "call:notify",
    "call:acme:host#notify",
    "call:*",
    "kv:read:naïve/ключ/鍵/🗝*",
  ]) {
    const grant = parseGrant(text)
    t.equal(printGrant(grant), text)
    t.same(parseGrant(printGrant(grant)), grant)
  }
})

t.test("`parseGrant()` refuses with a typed error when the text is not a grant", async (t) => {
  for (const text of [
    "",
    " log",
    "log ",
    "log:x",
    "LOG",
    "kv",
    "kv:read",
    "kv:read:",
    "kv:rw:x",
    "kv:read|write:x",
    "kv:read:a*b",
    "kv:read:**",
    "kv:read:prices/",
    "clock",
    "clock:cpu",
    "clock:wall:fine",
    "clock:monotonic:finer",
    "random:seeded:",
    `random:seeded:${"x".repeat(33)}`,
    "random:real",
    "config",
    "config:",
    "event:poll:x",
    "inert",
    "constructor",
    "__proto__",
    "kv:read:a\u0000b",
    "kv:read:a\nb",
    "kv:read:a\u202eb",
    "kv:read:\ud800",
    `kv:read:${"x".repeat(grantCharsMax)}`,
  ])
    t.equal(
      codeOf(() => parseGrant(text)),
      "STELE-CAP-0001",
      JSON.stringify(text.slice(0, 40)),
    )
  for (const notText of [undefined, null, 1, {}, []])
    t.equal(
      codeOf(() => parseGrant(notText as unknown as string)),
      "STELE-CAP-0001",
    )
})

t.test("`parseGrant()` says what exists when the capability is of a later version", async (t) => {
  for (const text of ["gpu", "gpu:0"]) {
    try {
      parseGrant(text)
      t.fail(text)
    } catch (error) {
      t.match(error, { code: "STELE-CAP-0009", reason: { _tag: "NotBuilt", grant: text, exists: grantForms } })
    }
  }
})

t.test("`parseGrant()` never throws anything but `CapabilityError` when given any string", async () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: "binary", maxLength: 40 }),
        fc.array(fc.constantFrom("kv", "read", ":", "*", "/", "a", "random", "seeded"), { maxLength: 8 }).map((p) => p.join("")),
      ),
      (text) => {
        try {
          const grant = parseGrant(text)
          return printGrant(grant) === text
        } catch (error) {
          return error instanceof CapabilityError
        }
      },
    ),
    runs,
  )
})

t.test("`isSubset()` keeps read and write, and names and prefixes, apart", async (t) => {
  for (const [a, b, expected] of [
    ["kv:read:prices/eur", "kv:read:prices/*", true],
    ["kv:read:prices/*", "kv:read:*", true],
    ["kv:read:prices/*", "kv:read:prices/eur", false],
    ["kv:read:prices", "kv:read:prices/*", false],
    ["kv:read:a", "kv:write:a", false],
    ["kv:write:a", "kv:read:*", false],
    ["blob:read:a", "kv:read:*", false],
    ["clock:monotonic", "clock:monotonic:fine", true],
    ["clock:monotonic:fine", "clock:monotonic", false],
    ["clock:wall", "clock:monotonic:fine", false],
    ["random:seeded", "random", true],
    ["random:seeded:1", "random", true],
    ["random", "random:seeded", false],
    ["random:seeded:1", "random:seeded", false],
    ["log", "log", true],
  ] as const)
    t.equal(isSubset(a, b), expected, `${a} in ${b}`)
})

t.test("`parseGrant()` reads URLs as the URL standard does, and writes what it read", async (t) => {
  for (const [text, canonical] of [
    ["http:GET:https://API.example.com:443/v1/../v2/*", "http:GET:https://api.example.com/v2/*"],
    ["http:GET:http://0x7f.1:8080/*", "http:GET:http://127.0.0.1:8080/*"],
    ["http:GET:http://[0:0::1]/x", "http:GET:http://[::1]/x"],
    ["http:PROPFIND:https://bücher.example/a?b*", "http:PROPFIND:https://xn--bcher-kva.example/a?b*"],
    ["http:*:https://*.example.com:8443/*", "http:*:https://*.example.com:8443/*"],
    ["http:*:*", "http:*:*"],
    ["http:GET:https://example.com./a", "http:GET:https://example.com/a"],
    ["tcp:connect:DB.example.com:5432", "tcp:connect:db.example.com:5432"],
    ["tcp:connect:[::1]:5432", "tcp:connect:[::1]:5432"],
    ["tcp:connect:127.1:*", "tcp:connect:127.0.0.1:*"],
    ["tcp:connect:*.example.com:5432", "tcp:connect:*.example.com:5432"],
    ["tcp:connect:*:5432", "tcp:connect:*:5432"],
    ["tcp:connect:*", "tcp:connect:*"],
    ["tcp:listen:127.1:8080", "tcp:listen:127.0.0.1:8080"],
    ["tcp:listen:[0:0::1]:*", "tcp:listen:[::1]:*"],
    ["tcp:listen:0.0.0.0:80", "tcp:listen:0.0.0.0:80"],
    ["udp:send:NS.example.com:53", "udp:send:ns.example.com:53"],
    ["udp:send:*", "udp:send:*"],
    ["udp:send:127.0.0.1:*", "udp:send:127.0.0.1:*"],
    ["udp:bind:0x7f.1:53", "udp:bind:127.0.0.1:53"],
  ] as const) {
    t.equal(parseGrant(text).text, canonical)
    t.same(parseGrant(canonical), parseGrant(text))
  }
  for (const text of [
    "http",
    "http:GET",
    "http:GET:",
    "http:GET:example.com/*",
    "http:GET:https://example.com",
    "http:GET:https://example.com/",
    "http:GET:https://example.com/v1/",
    "http:GET:https://exa*mple.com/*",
    "http:GET:https://*.example.com/v1/*",
    "http:GET:https://*.127.0.0.1/*",
    "http:GET:https://ada:secret@example.com/*",
    "http:GET:https://example.com/a#b",
    "http:GET:https://example.com/a*b",
    "http:GET:https://a..b/*",
    "http:GET:https://example.com:0/*",
    "http:GET:ftp://example.com/*",
    "http:GET:http://[fe80::1%25eth0]/*",
    "http:get:*",
    "http:CONNECT:*",
    "http:TRACE:*",
    "http:G T:*",
    "tcp:listen:*:80",
    "tcp:listen:*",
    "tcp:listen:localhost:80",
    "tcp:listen:127.0.0.1:0",
    "tcp:listen:127.0.0.1",
    "tcp:accept:127.0.0.1:80",
    "udp:bind:*",
    "udp:bind:example.com:53",
    "udp:send:example.com:*",
    "udp:receive:127.0.0.1:53",
    "tcp:connect:",
    "tcp:connect:example.com",
    "tcp:connect:example.com:*",
    "tcp:connect:example.com:0",
    "tcp:connect:example.com:65536",
    "tcp:connect:example.com:1e3",
    "tcp:connect:a/b:80",
    "tcp:connect:a@b:80",
    "tcp:connect:*.127.0.0.1:80",
  ])
    t.equal(
      codeOf(() => parseGrant(text)),
      "STELE-CAP-0001",
      text,
    )
})

t.test("`http:*` is taken from by method and by URL, and what is left is exact", async (t) => {
  const set = new GrantSet(["http:*:https://example.com/*"])
  t.ok(set.allows("http:PUT", "https:443:com.example/a"))
  t.notOk(set.allows("http:PURGE", "https:443:com.example/a"), "a method that is not common is named")
  t.ok(set.revoke("http:PUT:https://example.com/a/*"))
  t.notOk(set.allows("http:PUT", "https:443:com.example/a/b"))
  t.ok(set.allows("http:PUT", "https:443:com.example/b"))
  t.ok(set.allows("http:GET", "https:443:com.example/a/b"))
  t.same([set.list(), set.revoked()], [["http:*:https://example.com/*"], ["http:PUT:https://example.com/a/*"]])
  t.same(attenuate(["http:*:https://example.com/v1/*"], ["http:GET:https://example.com/*"]).map(printGrant), ["http:GET:https://example.com/v1/*"])
  t.same(attenuate(["http:GET:*"], ["http:*:http://127.0.0.1/*"]), [], "a grant of all names covers no address")
})

t.test("`isSubset()` holds exactly when every operation that the one allows the other allows", async () => {
  fc.assert(
    fc.property(grantText, grantText, fc.array(operation, { minLength: 20, maxLength: 60 }), (a, b, operations) => {
      const [ga, gb] = [parseGrant(a), parseGrant(b)]
      const own = headsOf(ga).flatMap((h) => [[h, ga.scope.text] as const, [h, `${ga.scope.text}z`] as const])
      const counterexample = [...operations, ...own].some((o) => allowsOne(ga, o) && !allowsOne(gb, o))
      return isSubset(a, b) === !counterexample
    }),
    runs,
  )
})

t.test("`isSubset()` is reflexive and transitive", async () => {
  fc.assert(
    fc.property(grantText, grantText, grantText, (a, b, c) => isSubset(a, a) && (!(isSubset(a, b) && isSubset(b, c)) || isSubset(a, c))),
    runs,
  )
})

t.test("`attenuate()` allows exactly what both lists allow", async () => {
  fc.assert(
    fc.property(fc.array(grantText, { maxLength: 6 }), fc.array(grantText, { maxLength: 6 }), fc.array(operation, { maxLength: 40 }), (own, by, operations) => {
      const common = attenuate(own, by)
      const allows = (grants: Iterable<Grant | string>, o: readonly [string, string]): boolean =>
        Array.from(grants, (g) => (typeof g === "string" ? parseGrant(g) : g)).some((g) => allowsOne(g, o))
      return (
        operations.every((o) => allows(common, o) === (allows(own, o) && allows(by, o))) &&
        common.every((g) => own.some((w) => isSubset(g, w)) && by.some((w) => isSubset(g, w))) &&
        // No result says what another says.
        common.every((g, i) => common.every((other, j) => i === j || !isSubset(g, other)))
      )
    }),
    runs,
  )
})

t.test("`GrantSet` denies everything when it is empty", async (t) => {
  const set = new GrantSet()
  for (const h of heads) {
    t.notOk(set.allows(h, "a"))
    t.notOk(set.reaches(h))
  }
  t.same(set.list(), [])
})

t.test("`GrantSet.match()` names the grant that allows the operation", async (t) => {
  const set = new GrantSet(["kv:read:prices/*", "kv:read:rates/eur", "log"])
  t.equal(set.match("kv:read", "prices/a"), "kv:read:prices/*")
  t.equal(set.match("kv:read", "rates/eur"), "kv:read:rates/eur")
  t.equal(set.match("kv:read", "rates/usd"), undefined)
  t.equal(set.match("kv:write", "prices/a"), undefined)
  t.equal(set.match("log", ""), "log")
})

t.test("`GrantSet.revoke()` removes exactly what its text covers", async (t) => {
  const set = new GrantSet(["kv:read:prices/*", "kv:read:prices/eur", "kv:read:rates/*", "kv:write:prices/*"])
  t.ok(set.revoke("kv:read:prices/*"))
  t.same(set.list(), ["kv:read:rates/*", "kv:write:prices/*"])
  t.notOk(set.allows("kv:read", "prices/eur"))
  t.ok(set.allows("kv:write", "prices/eur"))
  t.notOk(set.revoke("kv:read:prices/*"), "a second time changes nothing")
  t.ok(set.revoke("kv:read:*"), "wider than what is left")
  t.same(set.list(), ["kv:write:prices/*"])
  t.same(set.revoked(), [])
})

t.test("`GrantSet.revoke()` leaves a hole when its text is narrower than the grant", async (t) => {
  const set = new GrantSet(["kv:read:prices/*"])
  t.ok(set.revoke("kv:read:prices/secret/*"))
  t.same(set.list(), ["kv:read:prices/*"])
  t.same(set.revoked(), ["kv:read:prices/secret/*"])
  t.ok(set.allows("kv:read", "prices/eur"))
  t.notOk(set.allows("kv:read", "prices/secret/a"))
  t.notOk(set.reaches("kv:read", "prices/secret/"))
  t.ok(set.reaches("kv:read", "prices/s"))
  t.notOk(set.revoke("kv:read:prices/secret/a"), "already out")
  t.ok(set.grant("kv:read:prices/secret/a"), "granted back, only this")
  t.ok(set.allows("kv:read", "prices/secret/a"))
  t.notOk(set.allows("kv:read", "prices/secret/b"))
  t.ok(set.grant("kv:read:prices/*"), "granted back whole")
  t.ok(set.allows("kv:read", "prices/secret/b"))
  t.same(set.revoked(), [])
})

t.test("`GrantSet.revoke()` takes the fine clock's coarse half when only that is named", async (t) => {
  const set = new GrantSet(["clock:monotonic:fine"])
  t.ok(set.allows("clock:monotonic", "") && set.allows("clock:monotonic", "fine"))
  set.revoke("clock:monotonic")
  t.notOk(set.allows("clock:monotonic", ""))
  set.revoke("clock:monotonic:fine")
  t.notOk(set.allows("clock:monotonic", "fine"))
})

t.test("`GrantSet` answers as the list of its changes does when grants and revocations come in any order", async () => {
  const change = fc.record({ isGrant: fc.boolean(), text: grantText })
  fc.assert(
    fc.property(fc.array(change, { maxLength: 12 }), fc.array(operation, { minLength: 10, maxLength: 40 }), (changes, operations) => {
      const events: Array<GrantChange> = []
      const set = new GrantSet([], (event) => events.push(event))
      // The model: the newest change that covers an operation decides.
      const model = (o: readonly [string, string], upTo: number): boolean => {
        for (let i = upTo; i-- > 0;)
          if (allowsOne(parseGrant((changes[i] as (typeof changes)[number]).text), o)) return (changes[i] as (typeof changes)[number]).isGrant
        return false
      }
      for (const [i, { isGrant, text }] of changes.entries()) {
        const before = set.revision
        const heard = events.length
        const changed = isGrant ? set.grant(text) : set.revoke(text)
        if (changed !== events.length > heard || (!changed && set.revision !== before)) return false
        for (const o of operations) if (set.allows(...o) !== model(o, i + 1)) return false
      }
      for (const [h, n] of operations) {
        const matched = set.match(h, n)
        if (matched !== undefined && !(set.list().includes(matched) && allowsOne(parseGrant(matched), [h, n]))) return false
        // `reaches` may not miss anything that is allowed below a prefix.
        for (let length = 0; length <= n.length; length++) if (set.allows(h, n) && !set.reaches(h, n.slice(0, length))) return false
      }
      return true
    }),
    runs,
  )
})

t.test("`GrantSet.reaches()` is false exactly when nothing below the prefix is allowed", async () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ isGrant: fc.boolean(), text: fc.tuple(fc.constant("kv:read"), scope).map((p) => p.join(":")) }), { maxLength: 8 }),
      fc.oneof(name, fc.constant("")),
      (changes, prefix) => {
        const set = new GrantSet()
        for (const { isGrant, text } of changes) void (isGrant ? set.grant(text) : set.revoke(text))
        // Every scope has at most 4 letters of {a, b, /}, so these names decide: one more letter, or one outside.
        const names = [""]
        for (let at = 0; at < names.length && (names[at] as string).length < 5; at++) for (const c of ["a", "b", "/", "z"]) names.push(names[at] + c)
        return set.reaches("kv:read", prefix) === names.some((n) => n.startsWith(prefix) && set.allows("kv:read", n))
      },
    ),
    { numRuns: 200 },
  )
})

t.test("`GrantSet.report()` counts uses by grant and bounds the denials a guest can name", async (t) => {
  const set = new GrantSet(["kv:read:*"])
  set.countUse("kv:read:*", 10)
  set.countUse("kv:read:*", 5)
  for (let i = 0; i < deniedMax + 7; i++) set.countDenial(`kv:write:${i}`)
  set.countDenial("kv:write:0")
  const report = set.report()
  t.same(report.used, [{ grant: "kv:read:*", count: 2, bytes: 15 }])
  t.equal(report.denied.length, deniedMax)
  t.same(report.denied[0], { grant: "kv:write:0", count: 2, bytes: 0 })
  t.equal(report.deniedOther, 7)
  t.same(report.granted, ["kv:read:*"])
})
